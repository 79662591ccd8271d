"""Configuration: what is read, and what is said of what cannot be."""

import json
from pathlib import Path

import pytest

from alpha_umi.config import (
    AdapterConfig,
    AgentConfig,
    EndpointConfig,
    LocalConfig,
    PretrainConfig,
    TrainConfig,
    WeightsConfig,
    load_config,
    resolved,
)
from alpha_umi.deprecation import RenamedWarning
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
        (TrainConfig, TINY + "[stages]\nfinisher = 4", "unknown key 'finisher' in [stages]; known: planner, "),
        (TrainConfig, TINY.replace("[model.tiny]\nlayers = 2", "[model]"), "either 'base'"),
        (TrainConfig, TINY + "heads = 3", "hidden_size (128)"),
        (TrainConfig, "max_length = 9000\n" + TINY, "max_position (4096) is less than max_length (9000)"),
        (
            TrainConfig,
            "tokens_per_microbatch = 1000\n" + TINY,
            "tokens_per_microbatch (1000) is less than max_length (4096)",
        ),
        (TrainConfig, 'method = "glptf"\n' + TINY, "method: input should be 'glpft', "),
        (
            TrainConfig,
            TINY + "[stages.caller]\nbatch_size = 8\ngradient_accumulation = 6",
            "[stages.caller]: gradient_accumulation is gone: batch_size now counts the examples of a whole step",
        ),
        (TrainConfig, TINY + '[stages.caller]\nweights = "ms-swft"', "write 'ms-swift', or a table"),
        (TrainConfig, TINY + "[stages.caller.weights]\nargument = 2", "did you mean 'arguments'?"),
        (TrainConfig, TINY + "[stages.caller]\nearly_stop = 2", "early_stop in [stages.caller] needs data.validation"),
        (TrainConfig, TINY + "[adapter]\njoint = true", "[adapter]: joint = true needs adapters"),
        (TrainConfig, TINY + '[adapter]\nkind = "lora"\nranks = 4', "'ranks' in [adapter]; did you mean 'rank'?"),
        (TrainConfig, TINY + "[spread]\nshard = false\ncpu_offload = true", "cpu_offload = true works on shards"),
        (TrainConfig, 'deepspeed = "gone.json"\n' + TINY, "deepspeed: DeepSpeed is not used; runs are spread by FSDP2"),
        (TrainConfig, TINY + '[stages.backbone]\nds_config = "x"', "ds_config in [stages.backbone]: DeepSpeed is not"),
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
    assert stages.backbone.schedule == "constant"


def test_a_step_is_of_48_examples_as_published_and_a_pass_holds_the_longest(tmp_path):
    config = load(TrainConfig, tmp_path, TINY)
    assert {stage.batch_size for stage in (config.stages.backbone, config.stages.caller)} == {48}
    assert config.tokens_per_microbatch == 16384
    long = "max_length = 50000\n" + TINY + "max_position = 60000"
    assert load(TrainConfig, tmp_path, long).tokens_per_microbatch == 50000


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (TrainConfig, "max_length = 20000\n" + TINY + "max_position = 30000\n"),
        (PretrainConfig, 'texts = "t"\nout = "o"\n'),
    ],
)
def test_the_old_key_of_micro_batches_is_read_with_a_warning(tmp_path, kind, text):
    with pytest.warns(RenamedWarning, match="'tokens_per_pass' is called 'tokens_per_microbatch' now"):
        assert load(kind, tmp_path, "tokens_per_pass = 21000\n" + text).tokens_per_microbatch == 21000


def test_loss_weights_are_a_table_or_a_preset(tmp_path):
    assert load(TrainConfig, tmp_path, TINY).stages.caller.weights == WeightsConfig()
    text = TINY + '[stages.caller]\nweights = "ms-swift"\n[stages.planner.weights]\nthought = 0.5'
    stages = load(TrainConfig, tmp_path, text).stages
    assert stages.caller.weights == WeightsConfig(decision=2, name=2, arguments=2, mark=2, divide_by="tokens")
    assert stages.planner.weights == WeightsConfig(thought=0.5)


def test_adapters_are_joint_where_they_share_the_history(tmp_path):
    kinds = {kind: load(TrainConfig, tmp_path, TINY, f"adapter.kind={kind}").adapter for kind in ("lora", "alora")}
    assert (kinds["lora"].is_joint, kinds["alora"].is_joint) == (False, True)
    assert (kinds["lora"].scale, AdapterConfig(rank=8, alpha=8).scale) == (2, 1)


# --- files that extend others ----------------------------------------------------------------------------


def test_a_file_extends_a_recipe_or_another_file(tmp_path):
    (tmp_path / "below.toml").write_text('extends = "paper-7b"\nseed = 7\n[stages.planner]\nepochs = 5')
    config = load(TrainConfig, tmp_path, 'extends = "below.toml"\nout = "mine"\n[stages.planner]\nbatch_size = 3')
    planner = config.stages.planner
    assert (planner.epochs, planner.batch_size, planner.warmup_ratio) == (5, 3, 0.2)
    assert (config.seed, config.gradient_checkpointing, config.out) == (7, True, str(tmp_path / "mine"))
    assert config.data.train == (str(tmp_path / "train.jsonl"),)


def test_an_extending_file_names_another_model_as_a_whole(tmp_path):
    config = load(TrainConfig, tmp_path, 'extends = "paper-7b"\n[model.tiny]\nlayers = 1')
    assert config.model.base is None


@pytest.mark.parametrize(
    ("parent", "said"),
    [
        ('"paper-7c"', "extends 'paper-7c', which is no recipe and no file there; did you mean 'paper-7b'?"),
        ('"some.toml"', "extends itself"),
        ("3", "extends: the name of one recipe or file, not 3"),
    ],
)
def test_what_cannot_be_extended_is_named(tmp_path, parent, said):
    with pytest.raises(ConfigError) as caught:
        load(TrainConfig, tmp_path, f"extends = {parent}")
    assert said in str(caught.value)


# --- DeepSpeed ---------------------------------------------------------------------------------------------

ZERO_3 = {
    "bf16": {"enabled": "auto"},
    "zero_optimization": {"stage": 3, "offload_optimizer": {"device": "cpu"}, "offload_param": {"device": "cpu"}},
    "scheduler": {"type": "WarmupLR"},
    "train_micro_batch_size_per_gpu": "auto",
}


@pytest.mark.parametrize(("file", "overrides"), [("stage3.json", []), ("run.toml", ["deepspeed=stage3.json"])])
def test_a_deepspeed_configuration_is_refused_with_what_replaces_it(tmp_path, file, overrides):
    (tmp_path / "stage3.json").write_text(json.dumps(ZERO_3))
    (tmp_path / "run.toml").write_text(TINY)
    with pytest.raises(ConfigError) as caught:
        load_config(TrainConfig, tmp_path / file, overrides)
    for said in (
        "torchrun",
        "spread.reshard_after_forward = true",
        "spread.cpu_offload = true",
        "tokens_per_microbatch",
    ):
        assert said in str(caught.value)
    assert "dtype" in str(caught.value)
    assert "warmup_ratio" in str(caught.value)


def test_gradients_shared_out_alone_are_weights_that_stay(tmp_path):
    with pytest.raises(ConfigError, match=r"write spread\.reshard_after_forward = false$"):
        load(TrainConfig, tmp_path, TINY, "deepspeed.zero_optimization.stage=2")


def test_another_json_file_is_no_configuration(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ConfigError, match="a configuration is a TOML file"):
        load_config(TrainConfig, tmp_path / "x.json")


# --- as a whole --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "text"), [(AgentConfig, THREE), (TrainConfig, TINY), (TrainConfig, 'extends = "alora-4b"')]
)
def test_a_resolved_configuration_loads_as_itself(tmp_path, kind, text):
    config = load(kind, tmp_path, text)
    assert load(kind, tmp_path, resolved(config)) == config
