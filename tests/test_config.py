"""Configuration: what is read, and what is said of what cannot be."""

from pathlib import Path

import pytest

from alpha_umi.config import AgentConfig, EndpointConfig, LocalConfig, TrainConfig, load_config, resolved
from alpha_umi.errors import ConfigError
from alpha_umi.types import Role

THREE = """
format = "format.json@training"
[roles]
planner = { model = "./planner" }
caller = { model = "owner/caller-7b", adapter = "lora" }
summarizer = { base_url = "http://localhost:1/v1", model = "m" }
"""
TINY = """
out = "run"
[data]
train = "train.jsonl"
[model.tiny]
layers = 2
"""


def load(kind, tmp_path: Path, text: str, *overrides: str):
    path = tmp_path / "some.toml"
    path.write_text(text)
    return load_config(kind, path, overrides)


def test_an_agent_names_folders_hub_ids_and_endpoints(tmp_path):
    agent = load(AgentConfig, tmp_path, THREE)
    assert agent.roles.planner == LocalConfig(model=str(tmp_path / "planner"))
    assert agent.roles.caller == LocalConfig(model="owner/caller-7b", adapter=str(tmp_path / "lora"))
    assert agent.roles.summarizer == EndpointConfig(base_url="http://localhost:1/v1", model="m")
    assert agent.format == str(tmp_path / "format.json@training")
    assert agent.roles.is_multi
    assert agent.roles.get(Role.BACKBONE) is None


def test_a_folder_that_is_there_is_a_path_though_it_looks_like_a_hub_id(tmp_path):
    (tmp_path / "owner" / "model").mkdir(parents=True)
    agent = load(AgentConfig, tmp_path, 'format = "shared"\n[roles.backbone]\nmodel = "owner/model"')
    assert agent.roles.backbone == LocalConfig(model=str(tmp_path / "owner" / "model"))
    assert agent.format == "shared"


def test_a_role_s_sampling_goes_before_the_common_one(tmp_path):
    text = THREE + "[sampling]\ntemperature = 0.5\nmax_tokens = 64\n[sampling.caller]\ntemperature = 0"
    sampling = load(AgentConfig, tmp_path, text).sampling
    assert sampling.of(Role.PLANNER).temperature == 0.5
    assert sampling.of(Role.CALLER).temperature == 0
    assert sampling.of(Role.CALLER).max_tokens == 64


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (AgentConfig, 'format = "shared"\n[roles.planer]\nmodel = "x"', "'planer' in [roles]; did you mean 'planner'?"),
        (
            AgentConfig,
            'format = "shared"\n[roles.backbone]\nmodle = "x"',
            "'modle' in [roles.backbone]; did you mean 'model'?",
        ),
        (
            AgentConfig,
            'format = "shared"\n[roles.backbone]\nbase_url = "x"\nmodel = "x"\nkeyenv = "x"',
            "did you mean 'key_env'?",
        ),
        (AgentConfig, 'format = "shared"\n[roles.planner]\nmodel = "x"', "missing: caller, summarizer"),
        (AgentConfig, 'format = "shared"\n[roles.backbone]\nmodel = 3', "model in [roles.backbone]: "),
        (AgentConfig, "[roles.backbone]\nmodel = 'x'", "key 'format' is missing"),
        (AgentConfig, 'format = "shared', "broken TOML: "),
        (TrainConfig, TINY + "[stages.planner]\nepoch = 3", "'epoch' in [stages.planner]; did you mean 'epochs'?"),
        (TrainConfig, TINY + '[stages.planner]\nepochs = "many"', "epochs in [stages.planner]: "),
        (TrainConfig, TINY + "[stages]\nfinisher = 4", "unknown key 'finisher' in [stages]; known: backbone, "),
        (TrainConfig, TINY.replace("[model.tiny]\nlayers = 2", "[model]"), "either 'base'"),
        (TrainConfig, TINY + "heads = 3", "hidden_size (128)"),
        (TrainConfig, "max_length = 9000\n" + TINY, "max_position (4096) is less than max_length (9000)"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_what_was_meant(tmp_path, kind, text, said):
    with pytest.raises(ConfigError) as caught:
        load(kind, tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "some.toml") + ": ")
    assert said in str(caught.value)


def test_broken_toml_is_named_with_line_and_column(tmp_path):
    with pytest.raises(ConfigError, match=r"line 2, column 5"):
        load(TrainConfig, tmp_path, 'out = "x"\na = = 3')


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nothing\.toml: no such file"):
        load_config(TrainConfig, tmp_path / "nothing.toml")
    with pytest.raises(ConfigError, match="is a directory"):
        load_config(TrainConfig, tmp_path)


def test_overrides_are_toml_values_or_else_text(tmp_path):
    config = load(
        TrainConfig,
        tmp_path,
        TINY,
        "stages.planner.learning_rate=3e-4",
        "data.train=['a.jsonl', 'b.jsonl']",
        "out = other",
        "model.tiny.layers=3",
    )
    assert config.stages.planner.learning_rate == 3e-4
    assert config.data.train == (str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl"))
    assert config.out == str(tmp_path / "other")
    assert config.model.tiny is not None
    assert config.model.tiny.layers == 3


@pytest.mark.parametrize("override", ["seed", "=3", "a..b=3", "out.more=3"])
def test_an_override_that_says_nothing_is_refused(tmp_path, override):
    with pytest.raises(ConfigError, match="override"):
        load(TrainConfig, tmp_path, TINY, override)


def test_a_stage_that_names_one_setting_keeps_its_other_defaults(tmp_path):
    stages = load(TrainConfig, tmp_path, TINY + "[stages.backbone]\nbatch_size = 4").stages
    assert (stages.backbone.batch_size, stages.backbone.epochs, stages.backbone.learning_rate) == (4, 2, 5e-5)
    assert (stages.planner.epochs, stages.summarizer.warmup_ratio) == (1, 0.4)


@pytest.mark.parametrize(("kind", "text"), [(AgentConfig, THREE), (TrainConfig, TINY)])
def test_a_resolved_configuration_loads_as_itself(tmp_path, kind, text):
    config = load(kind, tmp_path, text)
    assert load(kind, tmp_path, resolved(config)) == config
