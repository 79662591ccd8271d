"""A checkpoint is data: its code is not run unless the user says so, and its patterns take bounded time."""

import io
import json
import shutil
import sys
import time
import warnings

import pytest

from alpha_umi.config import AgentConfig, TrainConfig, make_config
from alpha_umi.errors import CheckpointError
from alpha_umi.jobs.agent import choose_agent
from alpha_umi.loading.agents import read_agent
from alpha_umi.models.adapter_files import load_adapters
from alpha_umi.models.checkpoint import load_config, load_tokenizer, load_weights, merge_adapter
from alpha_umi.store import write_trajectories
from alpha_umi.training.planning.footprint import read_architecture
from alpha_umi.types import Role
from support.commands import run_here
from support.stages import gold
from support.tiny_models import tiny_llama, tiny_tokenizer

CODE = """
import pathlib
pathlib.Path({mark!r}).write_text("it ran")
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast


class OwnConfig(LlamaConfig):
    model_type = "own"


class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig


class OwnTokenizer(PreTrainedTokenizerFast):
    pass
"""


@pytest.fixture
def with_code(tmp_path, monkeypatch):
    """A checkpoint whose configuration, weights and tokenizer are code; and the file that the code writes."""
    folder, mark = tmp_path / "model", tmp_path / "mark"
    tokenizer = tiny_tokenizer()
    tiny_llama(len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "own.py").write_text(CODE.format(mark=str(mark)))
    own = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    for name, more in (
        ("config.json", {"model_type": "own", "auto_map": own}),
        (
            "tokenizer_config.json",
            {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": [None, "own.OwnTokenizer"]}},
        ),
    ):
        document = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**document, **more}))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 50))
    return str(folder), mark


def test_code_of_a_checkpoint_is_not_run_though_the_answer_would_be_yes(with_code):
    folder, mark = with_code
    recipe = make_config(TrainConfig, {"out": "o", "data": {"train": ["d"]}, "model": {"base": folder}})
    for load in (load_config, load_weights, load_tokenizer, lambda _: read_architecture(recipe.model)):
        with pytest.raises(CheckpointError, match="trust_remote_code"):
            load(folder)
    assert not mark.exists()


def test_code_of_a_checkpoint_is_run_aloud_where_the_user_says_so(with_code, caplog):
    folder, mark = with_code
    assert load_config(folder, trust_remote_code=True).model_type == "own"
    assert mark.exists()
    assert f"{folder}: Python code that comes with it is run" in caplog.text


@pytest.mark.parametrize("verb", ["predict", "rollout"])
def test_predict_and_rollout_run_code_of_a_checkpoint_with_the_option_alone(with_code, tmp_path, verb):
    folder, mark = with_code
    (tmp_path / "agent.toml").write_text(f'format = "react"\n[roles.backbone]\nmodel = "{folder}"\n')
    write_trajectories(tmp_path / "t.jsonl", gold(1))
    agent, data = ["--agent", str(tmp_path / "agent.toml")], str(tmp_path / "t.jsonl")
    command = {
        "predict": ["predict", "--data", data, "--out", str(tmp_path / "out.json")],
        "rollout": ["rollout", "--queries", data, "--env", "world", "--out", str(tmp_path / "out")],
    }[verb]
    assert run_here(*command, *agent).code
    assert not mark.exists()
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    run_here(*command, *agent, "--trust-remote-code")
    assert mark.exists()


def agent_file(folder, **more):
    roles = {"backbone": {"model": str(folder), **more}}
    return {"format": "react", "roles": roles}


def test_a_run_directory_cannot_choose_to_run_code(tmp_path):
    text = 'format = "react"\n[roles.backbone]\nmodel = "backbone"\ntrust_remote_code = true\n'
    (tmp_path / "umi.toml").write_text(text)
    with pytest.raises(CheckpointError, match="a run directory may not choose"):
        read_agent(tmp_path)
    (tmp_path / "agent.toml").write_text(text)
    assert read_agent(tmp_path / "agent.toml").roles.backbone.trust_remote_code


def test_the_option_is_for_every_local_model_of_an_agent(tmp_path):
    (tmp_path / "agent.toml").write_text('format = "react"\n[roles.backbone]\nmodel = "backbone"\n')
    chosen = choose_agent(str(tmp_path / "agent.toml"), {"trust_remote_code": True})
    assert chosen.config.roles.backbone.trust_remote_code
    assert not make_config(AgentConfig, agent_file("m")).roles.backbone.trust_remote_code


# --- patterns ---------------------------------------------------------------------------------------------

SLOW = r"(([a-z._0-9]+)+)+!"
"""Takes time that doubles with every character of a layer's name."""


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    from peft import LoraConfig, get_peft_model

    folder = tmp_path_factory.mktemp("adapter")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT's
        lora = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
        get_peft_model(tiny_llama(300), lora).save_pretrained(folder)
    return folder


@pytest.fixture
def changed(adapter, tmp_path, monkeypatch):
    monkeypatch.setattr("alpha_umi.models.adapter_patterns.TRIAL_S", 1)

    def change(**settings):
        for path in adapter.iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        config = json.loads((adapter / "adapter_config.json").read_text())
        (tmp_path / "adapter_config.json").write_text(json.dumps({**config, **settings}))
        return str(tmp_path)

    return change


@pytest.mark.parametrize(
    "settings",
    [{"target_modules": SLOW}, {"exclude_modules": SLOW}, {"alpha_pattern": {SLOW: 4}}, {"rank_pattern": {SLOW: 4}}],
    ids=lambda settings: next(iter(settings)),
)
def test_a_pattern_of_an_adapter_that_would_take_for_ever_is_refused_in_bounded_time(changed, settings):
    folder, began = changed(**settings), time.monotonic()
    with pytest.raises(CheckpointError, match="take longer than"):
        merge_adapter(tiny_llama(300), folder)
    if "alpha_pattern" in settings:
        with pytest.raises(CheckpointError, match="take longer than"):
            load_adapters(tiny_llama(300), {Role.PLANNER: folder})
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("settings", [{"target_modules": r".*\.(q_proj)"}, {"alpha_pattern": {r"layers\.[01]\..*": 4}}])
def test_a_pattern_that_takes_no_time_is_used(changed, settings):
    assert merge_adapter(tiny_llama(300), changed(**settings)) is not None


def test_a_pattern_that_is_none_is_named(changed):
    with pytest.raises(CheckpointError, match="cannot be used"):
        merge_adapter(tiny_llama(300), changed(target_modules="(q_proj"))
