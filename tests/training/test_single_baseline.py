"""The ToolLLaMA-style baseline: served what it was trained on, trained by the same command, searched as any agent."""

import asyncio
import json

import pytest

from alpha_umi.agent import RoleModel, SingleAgent
from alpha_umi.config import AgentConfig, EndpointConfig, RolesConfig, TrainConfig, load_config
from alpha_umi.environments.replay import ReplayEnvironment
from alpha_umi.environments.world import WorldEnvironment
from alpha_umi.errors import ConfigError
from alpha_umi.formats.load import load_format
from alpha_umi.formats.tokens import prompt_ids
from alpha_umi.jobs.train import train
from alpha_umi.loading.agents import open_agent, read_agent
from alpha_umi.loading.formats import open_format
from alpha_umi.models.scripted import ScriptedModel
from alpha_umi.search import DepthFirst, Limits, Tree, explore
from alpha_umi.store import write_trajectories
from alpha_umi.training.data.examples import make_examples, targets
from alpha_umi.training.data.labels import Lengths, Tokeniser
from alpha_umi.training.tokenizer import learn_tokenizer
from alpha_umi.types import Observation, Role, StopReason
from alpha_umi.world import Split, World
from support.endpoint_server import EndpointServer, Reply, chat_reply, text_reply
from support.live_prompts import along_each, backbone_prompts
from support.plain_format import PLAIN_REACT
from support.published_data import out_of_domain, raw_answers

FORMATS = {"react": open_format("react"), "other": load_format(PLAIN_REACT)}
TRAINING = """
out = "run"
format = "react"
method = "single"
max_length = 2000
device = "cpu"
report_to = []
[data]
train = "t.jsonl"
[model.tiny]
hidden_size = 32
layers = 1
heads = 2
vocab_size = 400
max_position = 2000
[stages]
backbone = { max_steps = 2, batch_size = 2, learning_rate = 1e-3 }
"""


def gold(count):
    world = World()
    return [world.gold(world.task(Split.TRAIN, index)) for index in range(count)]


SOURCES = {"world": lambda: gold(40), "out_of_domain": out_of_domain, "raw_answers": raw_answers}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", FORMATS)
def test_prompts_seen_live_are_the_prompts_trained_on_and_steps_are_read_as_they_were_learned(name, source):
    form, compared = FORMATS[name], 0
    trajectories = SOURCES[source]()
    live = asyncio.run(along_each(backbone_prompts, trajectories, form))
    for trajectory, shown in zip(trajectories, live, strict=True):
        examples = make_examples(trajectory, Role.BACKBONE, form).rows
        for target, example in zip(targets(trajectory, Role.BACKBONE), examples, strict=True):
            assert shown[target.at] == example.prompt
            assert form.parse(Role.BACKBONE, example.completion) == target.said
            compared += 1
    assert compared > 40


@pytest.mark.parametrize("name", FORMATS)
def test_a_whole_rollout_shows_the_prompts_trained_on_in_their_order(name):
    form = FORMATS[name]
    for trajectory in gold(20):
        said = [target.said for target in targets(trajectory, Role.BACKBONE)]
        model = ScriptedModel(iter([form.write(Role.BACKBONE, turns) for turns in said]))
        agent = SingleAgent(backbone=RoleModel(model=model), format=form)

        async def roll_out(trajectory=trajectory, agent=agent):
            tree = Tree(task=trajectory.task)
            async for node in explore(agent, ReplayEnvironment(trajectory), trajectory.task, Limits(max_steps=50)):
                tree.add(node)
            return tree.best

        rolled_out = asyncio.run(roll_out())
        assert (rolled_out.turns, rolled_out.stop) == (trajectory.turns, trajectory.stop)
        assert model.prompts == [row.prompt for row in make_examples(trajectory, Role.BACKBONE, form).rows]


def test_ids_seen_live_are_the_ids_trained_on():
    form, trajectories = FORMATS["other"], gold(20)
    prompts = [[row.prompt for row in make_examples(each, Role.BACKBONE, form).rows] for each in trajectories]
    tokenizer = learn_tokenizer([texts[-1] for texts in prompts], vocab_size=800, end=form.end)
    tokenise = Tokeniser(tokenizer, form, [Role.BACKBONE], Lengths(prompt=10**6, example=10**6))
    for trajectory, texts in zip(trajectories, prompts, strict=True):
        examples = tokenise(trajectory).examples
        assert [each.ids[: -len(each.parts)].tolist() for each in examples] == [prompt_ids(tokenizer, t) for t in texts]


@pytest.mark.slow
def test_it_is_trained_by_the_same_command_and_the_run_is_an_agent(tmp_path):
    (tmp_path / "train.toml").write_text(TRAINING)
    write_trajectories(tmp_path / "t.jsonl", gold(4))
    run = train(load_config(TrainConfig, tmp_path / "train.toml"), resume=False)
    agent = read_agent(run)
    assert agent.roles.planner is None
    loaded = open_agent(agent)
    assert loaded.format == FORMATS["react"]

    async def propose():
        async with loaded:
            return await loaded.agent.propose(gold(1)[0].task, gold(1)[0].turns[:1])

    assert asyncio.run(propose()).usage.completions == 1


@pytest.mark.parametrize(("form", "method"), [("react", "glpft"), ("native", "single"), ("native", "glpft")])
def test_a_format_without_prompts_for_a_role_is_refused_before_anything_is_trained(tmp_path, form, method):
    (tmp_path / "train.toml").write_text(TRAINING)
    write_trajectories(tmp_path / "t.jsonl", gold(1))
    config = load_config(TrainConfig, tmp_path / "train.toml", [f"format={form}", f"method={method}"])
    with pytest.raises(ConfigError, match=f"format '{form}' has no prompt"):
        train(config, resume=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("api", "path"), [("auto", "/v1/completions"), ("chat", "/v1/chat/completions")])
@pytest.mark.parametrize("strategy", [None, DepthFirst()])
def test_an_endpoint_plays_it_through_either_api(api, path, strategy, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    trajectory = gold(1)[0]
    said = [FORMATS["react"].write(Role.BACKBONE, each.said) for each in targets(trajectory, Role.BACKBONE)]
    reply = chat_reply if api == "chat" else text_reply

    async def roll_out():
        # A model that is not stopped goes on to write the observation, too.
        behaviours = [Reply(body=reply(text + "\nObservation: made up\nThought: so")) for text in said]
        async with EndpointServer(*behaviours) as server:
            roles = RolesConfig(backbone=EndpointConfig(base_url=server.url, model="m", api=api))
            async with open_agent(AgentConfig(format="react", roles=roles)) as loaded:
                tree = Tree(task=trajectory.task)
                place = WorldEnvironment(World(), trajectory.task)
                async for node in explore(loaded.agent, place, trajectory.task, strategy=strategy):
                    tree.add(node)
            return tree.best, [request.path for request in server.received]

    best, paths = asyncio.run(roll_out())
    assert best.turns == trajectory.turns
    assert best.stop is StopReason.ANSWERED
    assert set(paths) == {path}
    assert len(paths) == len(said)


def test_what_it_learns_of_a_trajectory_is_one_example_per_step_with_finish_last():
    trajectory = gold(1)[0]
    rows = make_examples(trajectory, Role.BACKBONE, FORMATS["react"]).rows
    steps = sum(isinstance(turn, Observation) for turn in trajectory.turns) + 1
    assert len(rows) == steps
    answer = json.loads(rows[-1].completion.rpartition("Action Input: ")[2])
    assert answer == {"return_type": "give_answer", "final_answer": trajectory.turns[-1].text}
