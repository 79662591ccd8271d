"""The two stages together: a run directory that describes itself, goes on where it was, and is one run only."""

import json
import tomllib

import pytest

from alpha_umi.config import AgentConfig, TrainConfig, load_config
from alpha_umi.errors import CheckpointError, ConfigError
from alpha_umi.formats.shared import SharedFormat
from alpha_umi.formats.tokens import decode
from alpha_umi.models.checkpoint import load_tokenizer, load_weights
from alpha_umi.training import glpft
from alpha_umi.training.glpft import Material
from alpha_umi.types import Answer, Call, Decision, Observation, Plan, Role, Task, ToolSpec, Trajectory, User

CONFIG = """
out = "run"
max_length = 256
log_every = 1
device = "cpu"
[data]
train = "unused.jsonl"
[model.tiny]
hidden_size = 32
layers = 1
heads = 2
vocab_size = 400
max_position = 256
[stages]
backbone = { max_steps = 2, batch_size = 2, learning_rate = 1e-3 }
planner = { max_steps = 2, batch_size = 2, learning_rate = 1e-3 }
caller = { max_steps = 2, batch_size = 2, learning_rate = 1e-3 }
summarizer = { max_steps = 2, batch_size = 2, learning_rate = 1e-3 }
"""


def trajectory(city: str, told: str = "24 degrees") -> Trajectory:
    tool = ToolSpec(name="get_weather", description="the weather", parameters={"properties": {"city": {}}})
    return Trajectory(
        task=Task(id=city, query=f"weather in {city}?", tools=(tool,)),
        turns=(
            User(text=f"weather in {city}?"),
            Plan(thought="ask the tool", decision=Decision.CALL),
            Call(name="get_weather", arguments=json.dumps({"city": city})),
            Observation(content=told),
            Plan(thought="enough", decision=Decision.CONCLUDE),
            Answer(text=f"{told} in {city}"),
        ),
    )


MATERIAL = Material(trajectories=[trajectory(city) for city in ("Paris", "Rome", "Oslo")], format=SharedFormat())


@pytest.fixture
def config(tmp_path):
    (tmp_path / "train.toml").write_text(CONFIG)

    def load(*overrides):
        return load_config(TrainConfig, tmp_path / "train.toml", overrides)

    return load


def test_a_run_directory_holds_an_agent(config):
    out = glpft.run(config(), MATERIAL)
    agent = load_config(AgentConfig, out / "umi.toml")
    for role in Role:
        model = agent.roles.get(role)
        assert model.model == str(out / role.value)
        assert load_weights(model.model).num_parameters() > 0
        assert (out / "history" / f"{role.value}.jsonl").read_text().count("\n") == 2
    assert agent.format == str(out / "format.json")
    assert agent.max_input_tokens == config().prompt_limit
    assert json.loads((out / "format.json").read_text()) == SharedFormat().to_document()
    metrics = json.loads((out / "metrics.json").read_text())
    taken = {role: metrics[role]["examples"]["taken"] for role in metrics}
    assert taken == {"backbone": 6, "planner": 6, "caller": 3, "summarizer": 3}
    assert load_config(TrainConfig, out / "config.toml") == config()


def test_a_run_goes_on_after_its_finished_stages(config, tmp_path):
    out = glpft.run(config(), MATERIAL)
    first = (out / "planner" / "model.safetensors").read_bytes()
    written = (out / "backbone" / "model.safetensors").stat().st_mtime_ns
    for name in ("planner", "caller"):
        (out / name / "done.json").unlink()
    (out / "umi.toml").unlink()
    assert glpft.run(config("save_every=7"), MATERIAL, resume=True) == out
    assert (out / "backbone" / "model.safetensors").stat().st_mtime_ns == written
    assert (out / "planner" / "model.safetensors").read_bytes() == first
    assert (out / "umi.toml").exists()


def test_a_directory_holds_one_run(config):
    out = glpft.run(config(), MATERIAL)
    with pytest.raises(ConfigError, match="--resume"):
        glpft.run(config(), MATERIAL)
    with pytest.raises(ConfigError, match=r"stages\.planner\.max_steps was 2, is 3"):
        glpft.run(config("stages.planner.max_steps=3"), MATERIAL, resume=True)
    other = Material(trajectories=[trajectory("Bern")], format=SharedFormat())
    with pytest.raises(ConfigError, match="trained on other data"):
        glpft.run(config(), other, resume=True)
    (out / "config.toml").unlink()
    with pytest.raises(ConfigError, match="no run directory"):
        glpft.run(config(), MATERIAL)


@pytest.mark.slow
def test_roles_start_from_the_backbone_and_a_backbone_from_a_checkpoint(config):
    base = glpft.run(config("out=base"), MATERIAL) / "backbone"
    (base / "done.json").unlink()
    text = config().model_dump()
    text["model"] = {"base": str(base)}
    started = TrainConfig.model_validate(text)
    out = glpft.run(started, MATERIAL)
    assert load_tokenizer(str(out / "caller")).get_vocab() == load_tokenizer(str(base)).get_vocab()
    before, after = (json.loads((path / "metrics.json").read_text()) for path in (base.parent, out))
    assert after["backbone"]["result"]["loss"] < before["backbone"]["result"]["loss"]
    too_long = started.model_copy(update={"max_length": 300, "out": str(out) + "2"})
    with pytest.raises(CheckpointError, match="reads 256 tokens at most"):
        glpft.run(too_long, MATERIAL)


def test_long_observations_are_cut_and_counted_and_completions_never(config):
    long = [trajectory("Paris", told="rain 24 " * 60), trajectory("Rome")]
    out = glpft.run(config(), Material(trajectories=long, format=SharedFormat()))
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["planner"]["examples"]["cut"] == 1
    summarizer = metrics["summarizer"]["examples"]
    assert {name: summarizer[name] for name in ("taken", "cut", "left_out")} == {"taken": 1, "cut": 1, "left_out": 1}
    assert metrics["planner"]["examples"]["taken"] == 4


def test_special_tokens_of_the_format_are_single_in_every_model(config):
    out = glpft.run(config(), MATERIAL)
    tokenizer = load_tokenizer(str(out / "summarizer"))
    for token in SharedFormat().special_tokens:
        ids = tokenizer.encode(token, add_special_tokens=False)
        assert len(ids) == 1
        assert decode(tokenizer, [*ids, tokenizer.eos_token_id], SharedFormat().end) == token
    assert tomllib.loads((out / "umi.toml").read_text())["roles"]["planner"]["model"] == "planner"
