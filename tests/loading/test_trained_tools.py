"""An agent says which tools lie outside what its own record says it was trained for."""

import warnings
from pathlib import Path

import pytest

import alpha_umi as umi
from alpha_umi.config import AgentConfig
from alpha_umi.errors import ConfigError
from alpha_umi.jobs.predict import PredictOptions, predict
from alpha_umi.loading.agents import AgentKind, LoadedAgent, read_agent
from alpha_umi.loading.trained_tools import UntrainedToolsWarning, untrained_tools
from alpha_umi.store import write_trajectories
from alpha_umi.types import Answer, Decision, Plan, Trajectory, User
from alpha_umi.world import World
from support.coded_agents import Echo


@pytest.fixture(scope="module")
def tiny():
    return read_agent(Path("umi-tiny"))


def upper(text: str) -> str:
    """Text in capitals."""
    return text.upper()


def task(*names, **metadata):
    return umi.Task(id="1", query="q", tools=tuple(umi.ToolSpec(name=name) for name in names), metadata=metadata)


def recorded(config, **record):
    provenance = config.provenance.model_copy(update=record)
    return config.model_copy(update={"provenance": provenance})


def test_tools_of_ones_own_are_said_once_to_be_outside_a_sealed_world(tiny):
    agent = umi.Agent(LoadedAgent(agent=Echo()), tiny)
    with pytest.warns(UntrainedToolsWarning) as said:
        assert agent.ask("hello", tools=[upper]).answer == "hello: HELLO"
    assert len(said) == 1
    assert "umi-tiny" in str(said[0].message)
    assert "not for upper" in str(said[0].message)
    assert "Take --agent umi-smol" in str(said[0].message)


def test_predictions_over_data_with_other_tools_warn_too(tmp_path):
    server = {"model": "m", "base_url": "http://localhost:1/v1"}
    roles = dict.fromkeys(("planner", "caller", "summarizer"), server)
    agent = AgentConfig.model_validate({"format": "chat", "roles": roles, "trained_tools": ["lower"]})
    turns = (User(text="q"), Plan(thought="", decision=Decision.CONCLUDE), Answer(text="a"))
    write_trajectories(tmp_path / "data.jsonl", [Trajectory(task=task("upper"), turns=turns)])
    options = PredictOptions(
        agent=agent, data=tmp_path / "data.jsonl", out=tmp_path / "out.json", kind=AgentKind.SINGLE
    )
    with pytest.warns(UntrainedToolsWarning, match="not for upper"), pytest.raises(ConfigError, match="backbone"):
        predict(options, lambda done, total: None)


def test_queries_to_its_own_world_say_nothing(tiny):
    agent = umi.Agent(LoadedAgent(agent=Echo()), tiny)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        agent.ask("What is the weather in Lima?")
        agent.ask(world_task="G1_tool:7")
    invented = World("small").task("train", 3)
    assert untrained_tools(tiny, [invented]) == []


def test_the_record_decides_and_not_the_name(tiny):
    elsewhere = task("upper", preset="full")
    assert untrained_tools(recorded(tiny, agent="mine"), [elsewhere]) == ["upper"]
    assert untrained_tools(recorded(tiny, preset="functions"), [elsewhere]) == []
    assert untrained_tools(tiny.model_copy(update={"provenance": None}), [elsewhere]) == []
    known = tiny.model_copy(update={"provenance": None, "trained_tools": ("upper", "lower")})
    assert untrained_tools(known, [elsewhere, task("lower", "turn"), task("turn")]) == ["turn"]


def test_instruct_models_are_expected_to_read_any_tool():
    roles = {role: {"model": "m", "base_url": "http://localhost:1/v1"} for role in ("planner", "caller", "summarizer")}
    assert untrained_tools(AgentConfig.model_validate({"format": "chat", "roles": roles}), [task("upper")]) == []
