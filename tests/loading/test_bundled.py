"""Agents by name, what they were made with, and what of them is refused."""

import asyncio
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from alpha_umi.config import EnvironmentConfig, RolloutConfig, WorldConfig
from alpha_umi.errors import CheckpointError, ConfigError
from alpha_umi.formats.fingerprint import fingerprint
from alpha_umi.formats.load import BUILTIN
from alpha_umi.formats.template import TemplateFormat
from alpha_umi.jobs.train import read_train_config
from alpha_umi.jobs.world_query import free_query, name_task, open_world
from alpha_umi.loading.agents import read_agent
from alpha_umi.loading.bundled import (
    DEFAULT,
    FOLDER,
    OWN_TOOLS_BASE,
    PROVENANCE,
    check_world,
    default_agent,
    find_adapters,
    find_run,
    provenance_of,
    write_provenance,
)
from alpha_umi.loading.formats import open_format
from alpha_umi.loading.pretrained import is_here
from alpha_umi.loading.rollouts import open_explorer
from alpha_umi.store import write_trajectories
from alpha_umi.types import Call, ToolStatus, Trajectory
from alpha_umi.world import PRESETS, World
from support.commands import run_here
from support.folders import REPOSITORY
from support.plain_format import PLAIN
from support.tiny_models import tiny_llama, tiny_tokenizer

MOST_BYTES = 25_000_000
HAS_BUNDLED = (FOLDER / DEFAULT).is_dir()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run directory of an untrained backbone, made in the world small."""
    run = tmp_path_factory.mktemp("home") / "some-agent"
    form = open_format("shared")
    tokenizer = tiny_tokenizer(form.special_tokens, form.end)
    tiny_llama(len(tokenizer), context=2048).save_pretrained(run / "backbone")
    tokenizer.save_pretrained(run / "backbone")
    (run / "umi.toml").write_text(
        'format = "shared"\n[sampling]\nmax_tokens = 4\n[roles.backbone]\nmodel = "backbone"\n'
    )
    write_provenance(run, provenance_of(run, read_agent(run), form, "small"))
    return run


@pytest.fixture
def agent(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "some-agent"))


def change(agent, **changes):
    told = json.loads((agent / PROVENANCE).read_text())
    (agent / PROVENANCE).write_text(json.dumps({**told, **changes}))


# --- what an agent was made with ------------------------------------------------------------------------


def test_an_agent_says_what_it_was_made_with(agent):
    config = read_agent(agent)
    assert config.provenance.agent == "some-agent"
    assert (config.provenance.preset, config.provenance.world) == ("small", PRESETS["small"].version)


def test_an_agent_of_another_format_is_refused_by_name(agent):
    change(agent, format="0123456789abcdef")
    with pytest.raises(CheckpointError, match=r"some-agent.*another version of the format 'shared'.*train another"):
        read_agent(agent)


def test_an_agent_of_another_world_version_is_refused_where_it_meets_that_world_and_only_there(agent):
    change(agent, world="0")
    config = read_agent(agent)
    with pytest.raises(CheckpointError, match=r"some-agent.*version 0 of the world 'small'.*train another"):
        open_explorer(RolloutConfig(agent=config, environment=EnvironmentConfig(world=WorldConfig())))
    with pytest.raises(CheckpointError, match="some-agent"):
        check_world(config.provenance)


def test_steps_of_another_version_of_its_world_are_not_predicted(agent, tmp_path):
    for preset in ("tiny", "small"):
        world = World(preset)
        task = world.task("test" if preset == "tiny" else "G1_tool", 0)
        write_trajectories(tmp_path / f"{preset}.jsonl", [world.gold(task)])
    change(agent, world="0")
    options = ("predict", "--agent", agent, "--out", tmp_path / "p.json", "--data")
    ended = run_here(*options, tmp_path / "small.jsonl", "--single")
    assert ended.code == 5
    assert "some-agent: was made in version 0 of the world 'small', the task 'small-0-G1_tool-0' is of" in ended.err
    assert run_here(*options, tmp_path / "tiny.jsonl", "--single").code == 0


@pytest.mark.parametrize("command", [("ask", "Weather in Lima?"), ("ask", "--world-task", "G1_tool:0"), ("demo",)])
def test_the_command_line_refuses_it_in_one_line(agent, command, tmp_path):
    change(agent, world="0")
    ended = run_here(*command, "--agent", agent, cwd=tmp_path)
    assert ended.code == 5
    assert ended.err.splitlines()[-1].startswith("error: some-agent: was made in version 0 of the world 'small'")


@pytest.mark.parametrize("broken", ['{"agent": 1}', "[]", "{"])
def test_a_broken_note_of_what_made_an_agent_is_an_error_that_names_the_file(agent, broken, tmp_path):
    (agent / PROVENANCE).write_text(broken)
    ended = run_here("ask", "x", "--agent", agent, cwd=tmp_path)
    assert ended.code in (2, 3)
    assert str(agent) in ended.err


def test_a_run_directory_loads_no_pickle(agent):
    weights = agent / "backbone" / "model.safetensors"
    (agent / "backbone" / "training_args.bin").write_bytes(b"never loaded")
    read_agent(agent)
    weights.rename(weights.with_name("pytorch_model.bin"))
    with pytest.raises(CheckpointError, match=r"backbone are pickled.*convert them"):
        read_agent(agent)


@pytest.mark.parametrize("name", BUILTIN)
def test_a_format_has_one_fingerprint_and_no_other_has_it(name):
    assert fingerprint(open_format(name)) == fingerprint(open_format(name))
    assert [other for other in BUILTIN if fingerprint(open_format(other)) == fingerprint(open_format(name))] == [name]


def test_other_words_are_another_fingerprint():
    one, other = (TemplateFormat.from_document(json.loads(json.dumps(PLAIN))) for _ in range(2))
    assert fingerprint(one) == fingerprint(other)
    changed = json.loads(json.dumps(PLAIN).replace("What is next?", "What now?"))
    assert fingerprint(TemplateFormat.from_document(changed)) != fingerprint(one)


def test_a_run_is_cut_down_to_an_agent_that_says_the_same(agent, tmp_path):
    (agent / PROVENANCE).unlink()
    (agent / "cache").mkdir()
    (agent / "cache" / "tokens").write_text("large")
    (agent / "history").mkdir()
    (agent / "history" / "backbone.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    options = ("--world", "tiny", "--out", tmp_path / "umi-small")
    ended = run_here("export", "agent", agent, *options)
    assert ended.code == 0, ended.err
    made = read_agent(tmp_path / "umi-small").provenance
    assert (made.agent, made.preset) == ("umi-small", "tiny")
    kept = {str(path.relative_to(tmp_path / "umi-small")) for path in (tmp_path / "umi-small").rglob("*")}
    assert {"history/backbone.jsonl", "backbone/tokenizer.json"} < kept
    assert not [name for name in kept if "cache" in name]
    answers = [run_here("ask", "Weather in Lima?", "--world", "tiny", "--agent", each, "--max-steps", 1, "--single")
               for each in (agent, tmp_path / "umi-small")]  # fmt: skip
    assert answers[0].err.splitlines()[2:] == answers[1].err.splitlines()[2:]
    again = run_here("export", "agent", agent, *options)
    assert again.code != 0
    assert "is there already" in again.err


def test_an_agent_that_is_given_away_again_stays_of_the_version_that_it_learned_in(agent, tmp_path):
    change(agent, world="0")
    assert run_here("export", "agent", agent, "--world", "small", "--out", tmp_path / "again").code == 0
    again = json.loads((tmp_path / "again" / PROVENANCE).read_text())
    assert again == {**json.loads((agent / PROVENANCE).read_text()), "agent": "again"}
    other = run_here("export", "agent", agent, "--world", "tiny", "--out", tmp_path / "other")
    assert (other.code, "was made in the world 'small', not in 'tiny'" in other.err) == (2, True)
    assert not (tmp_path / "other").exists()


def test_the_training_data_tell_in_which_version_of_the_world_an_agent_learned(agent, tmp_path):
    (agent / PROVENANCE).unlink()
    task = World("small").task("train", 0)
    older = replace(task, metadata={**task.metadata, "world": "0"})
    (agent / "config.toml").write_text("data.train = ['gone.jsonl', 'old.jsonl']\nout = 'x'\nmodel.base = 'b'\n")

    def version(preset):
        return provenance_of(agent, read_agent(agent), open_format("shared"), preset).world

    assert version("small") == PRESETS["small"].version
    write_trajectories(agent / "old.jsonl", [Trajectory(task=older, turns=())])
    assert version("small") == "0"
    assert version("tiny") == PRESETS["tiny"].version
    write_trajectories(agent / "old.jsonl", [Trajectory(task=replace(task, metadata={}), turns=())])
    assert version("small") == PRESETS["small"].version


# --- by name --------------------------------------------------------------------------------------------


def test_a_folder_goes_before_a_bundled_agent_of_its_name(agent, monkeypatch):
    agent.rename(agent.parent / DEFAULT)
    monkeypatch.chdir(agent.parent)
    assert find_run(Path(DEFAULT)) == Path(DEFAULT)


def test_a_name_of_nothing_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="no such run directory"):
        read_agent(Path("umi-huge"))


@pytest.mark.skipif(HAS_BUNDLED, reason="the bundled agent is there")
@pytest.mark.parametrize("command", [("ask", "x"), ("demo",), ("ask", "x", "--agent", DEFAULT)])
def test_a_package_without_its_agent_says_what_to_do(command, tmp_path):
    ended = run_here(*command, cwd=tmp_path)
    assert ended.code == 5
    assert "comes without its bundled agent" in ended.err
    assert "umi demo --train" in ended.err


def test_what_is_bundled_is_small_and_no_pickle():
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES
    assert not [path for path in files if path.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl")]


@pytest.mark.skipif(not HAS_BUNDLED, reason="the bundled agent is not there")
def test_the_bundled_agent_fits_this_package_and_this_world():
    config = read_agent(Path(DEFAULT))
    assert config.provenance.agent == DEFAULT
    check_world(config.provenance)


# --- queries to the world -------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["tiny", "small", "full"])
def test_a_free_query_is_offered_a_few_tools_that_fit(preset):
    tools = PRESETS[preset].open().tools
    task = free_query(preset, "What is the weather in Lima?").task
    assert 4 <= len(task.tools) <= 5
    needs = [tools[spec.name].need for spec in task.tools]
    assert len({*needs}) == len(needs)
    assert "weather" in needs
    assert 4 <= len(free_query(preset, "zzz").task.tools) <= 5


def test_an_unknown_world_is_refused():
    with pytest.raises(ConfigError, match="known: tiny, small, full"):
        free_query("huge", "x")


def test_the_tools_of_a_free_query_answer_and_no_others():
    query = free_query("small", "What is the weather in Lima?")
    place = open_world("small").open(query)
    assert place.tools == query.task.tools
    world = World("small")
    other = next(tool.name for tool in world.tools if tool not in place.tools)
    refused = asyncio.run(place.execute(Call(name=other, arguments="{}")))
    assert refused.status is ToolStatus.UNKNOWN_TOOL
    seen = asyncio.run(place.fork().execute(Call(name=place.tools[0].name, arguments="{}")))
    assert seen.status is ToolStatus.BAD_ARGUMENTS


def test_a_task_of_the_world_is_named_by_split_and_index():
    assert name_task("small", "G1_tool:3").task == World("small").task("G1_tool", 3)
    for name in ("G1_tool", "G1_tool:x", ":3", "G1_tool:-1", "nowhere:1"):
        with pytest.raises(ConfigError):
            name_task("small", name)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("Weather in Lima?",), (0, 1), "planner"),
        (("--world-task", "G1_tool:3"), (0, 1), "verifier"),
        (("Weather in Lima?", "--world", "tiny", "--constrained"), (0, 1), "planner"),
        ((), (2,), "a query, or the name of a task"),
        (("x", "--world-task", "G1_tool:3"), (2,), "a query, or the name of a task"),
        (("x", "--world", "huge"), (2,), "known: tiny, small, full"),
        (("x", "--world", "tiny", "--tools", "t.py"), (2,), "neither --world"),
        (("x", "--env", "http://localhost"), (2,), "--tools"),
    ],
)
def test_an_agent_is_asked_in_its_world_where_no_tools_are_named(made, words, code, said, tmp_path):
    ended = run_here("ask", *words, "--agent", made, "--max-steps", "1", cwd=tmp_path)
    assert ended.code in code, ended.err
    assert said in ended.err
    if 2 not in code:
        first, second = ended.err.splitlines()[:2]
        assert first.split()[:2] == ["loaded", "torch"]
        assert second.split()[0] == "loaded"


@pytest.mark.parametrize("weights", ["backbone", "base"])
def test_training_may_start_from_the_weights_of_the_bundled_agent_by_name(weights):
    overrides = [f"model.base=umi-tiny/{weights}"]
    base = read_train_config("umi-tiny", overrides).model.base
    assert base is not None
    assert (Path(base) / "model.safetensors").exists()


def test_a_folder_of_the_user_goes_before_the_weights_of_the_bundled_agent(tmp_path, monkeypatch):
    (tmp_path / "umi-tiny" / "base").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    base = read_train_config("demo-train", ["model.base=umi-tiny/base"]).model.base
    assert base is not None
    assert Path(base) == tmp_path / "umi-tiny" / "base"


def test_tools_of_ones_own_have_a_default_agent_of_their_own_where_it_and_its_base_are_there(tmp_path, monkeypatch):
    assert default_agent(own_tools=True, folder=tmp_path) == default_agent(own_tools=False) == "umi-tiny"
    (tmp_path / "umi-smol" / "roles").mkdir(parents=True)
    monkeypatch.setattr("alpha_umi.loading.bundled.is_here", "smollm2-135m".__eq__)
    assert default_agent(own_tools=True, folder=tmp_path) == "umi-smol"
    monkeypatch.setattr("alpha_umi.loading.bundled.is_here", lambda _: False)
    assert default_agent(own_tools=True, folder=tmp_path) == "umi-tiny"
    assert default_agent(own_tools=False, folder=tmp_path) == "umi-tiny"
    assert find_adapters("umi-smol/roles", tmp_path) == str(tmp_path / "umi-smol" / "roles")
    assert find_adapters("runs/mine/roles", tmp_path) == "runs/mine/roles"


@pytest.mark.slow
@pytest.mark.skipif(not is_here(OWN_TOOLS_BASE), reason="its base model is not installed")
def test_the_agent_for_tools_of_ones_own_does_the_example_of_the_documents(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "start.md").read_text("utf-8"), re.DOTALL)
    (tools,) = (block for block in blocks if "def population" in block)
    (tmp_path / "tools.py").write_text(tools, encoding="utf-8")
    ended = run_here("ask", "How many people live in Graz?", "--tools", "tools.py", "--json", cwd=tmp_path)
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert [turn["arguments"] for turn in told["turns"] if turn["kind"] == "call"] == [{"city": "Graz"}]
    assert "302660" in told["answer"]
