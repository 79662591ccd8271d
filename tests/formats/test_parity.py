"""The keystone: the prompts that a live agent is shown are the prompts it was trained on, byte for byte, id for id."""

import asyncio
import functools
from itertools import islice

import pytest

from alpha_umi.agent import MultiAgent, RoleModel
from alpha_umi.environments.replay import ReplayEnvironment
from alpha_umi.formats.fit import Window
from alpha_umi.formats.load import load_format
from alpha_umi.formats.tokens import prompt_ids
from alpha_umi.loading.formats import open_format
from alpha_umi.models.scripted import ScriptedModel
from alpha_umi.roles import AGENT_ROLES
from alpha_umi.search import Limits, Tree, explore
from alpha_umi.training.data.examples import make_examples, targets
from alpha_umi.training.data.labels import Lengths, Tokeniser
from alpha_umi.training.tokenizer import learn_tokenizer
from alpha_umi.types import Answer, Call, Observation, Plan, Role, Task, User
from alpha_umi.world import Split, World
from support.folders import golden_dir
from support.live_prompts import along_each, backbone_prompts
from support.plain_format import PLAIN
from support.published_data import PUBLISHED_FORMAT, out_of_domain, raw_answers

FORMATS = ["shared", "chat", "plain", "published", "published@training"]
SPEAKERS = {Plan: Role.PLANNER, Call: Role.CALLER, Answer: Role.SUMMARIZER}


def open_named(name):
    if name == "plain":
        return load_format(PLAIN)
    if not name.startswith("published"):
        return open_format(name)
    golden_dir("prepro")
    return open_format(name.replace("published", str(PUBLISHED_FORMAT)))


@functools.cache
def world_gold(count):
    world = World()
    return [world.gold(world.task(Split.TRAIN, index)) for index in range(count)]


SOURCES = {
    "world": lambda: world_gold(150),
    "some_out_of_domain": lambda: out_of_domain()[::6],
    "out_of_domain": out_of_domain,
    "raw_answers": raw_answers,
}


def scripted(replies):
    return ScriptedModel(iter(replies))


async def live_prompts(trajectory, form, window=None):
    """What each role is shown while an agent is driven along the trajectory, by the index of the turn it says."""
    shown = {}
    for index, turn in enumerate(trajectory.turns):
        role = SPEAKERS.get(type(turn))
        if role is None or (role is not Role.PLANNER and not isinstance(trajectory.turns[index - 1], Plan)):
            continue  # a user, a tool, or an answer that no plan asked for
        model = scripted([form.write(role, (turn,))])
        agent = MultiAgent(role_models={role: RoleModel(model=model, window=window)}, format=form)
        try:
            await agent.propose(trajectory.task, trajectory.turns[:index])
        except KeyError:  # the plan before it asks for another role: no example either
            continue
        shown[role, index] = model.prompts[0]
    return shown


@pytest.mark.parametrize(
    "source", [pytest.param(name, marks=[pytest.mark.slow] * (name == "out_of_domain")) for name in SOURCES]
)
@pytest.mark.parametrize("name", FORMATS)
def test_prompts_seen_live_are_the_prompts_trained_on(name, source):
    form = open_named(name)
    compared = 0
    trajectories = SOURCES[source]()
    live = asyncio.run(along_each(live_prompts, trajectories, form))
    alone = asyncio.run(along_each(backbone_prompts, trajectories, form))
    for trajectory, shown, shown_alone in zip(trajectories, live, alone, strict=True):
        for role in (Role.PLANNER, Role.CALLER, Role.SUMMARIZER):
            examples = make_examples(trajectory, role, form).rows
            for target, example in zip(targets(trajectory, role), examples, strict=True):
                assert shown[role, target.at] == example.prompt
                compared += 1
        for (at, prompt), example in zip(
            shown_alone.items(),
            make_examples(trajectory, Role.BACKBONE, form).rows,
            strict=True,
        ):
            assert prompt == example.prompt, at
            compared += 1
    assert compared > 50


@pytest.mark.parametrize("name", FORMATS)
def test_a_whole_rollout_shows_the_prompts_trained_on_in_their_order(name):
    form = open_named(name)
    for trajectory in world_gold(40):
        replies = [
            form.write(SPEAKERS[type(turn)], (turn,))
            for turn in trajectory.turns
            if not isinstance(turn, User | Observation)
        ]
        model = scripted(replies)
        role_model = RoleModel(model=model)
        agent = MultiAgent(role_models=dict.fromkeys(AGENT_ROLES, role_model), format=form)

        async def roll_out(trajectory=trajectory, agent=agent):
            tree = Tree(task=trajectory.task)
            async for node in explore(agent, ReplayEnvironment(trajectory), trajectory.task, Limits(max_steps=50)):
                tree.add(node)
            return tree.best

        rolled_out = asyncio.run(roll_out())
        assert len(rolled_out.turns) == len(trajectory.turns)
        assert rolled_out.stop is trajectory.stop
        trained = {
            target.at: example.prompt
            for role in (Role.PLANNER, Role.CALLER, Role.SUMMARIZER)
            for target, example in zip(
                targets(rolled_out, role), make_examples(rolled_out, role, form).rows, strict=True
            )
        }
        assert model.prompts == [trained[at] for at in sorted(trained)]


@pytest.mark.parametrize("name", ["shared", "plain", "published", "published@training"])
def test_ids_seen_live_are_the_ids_trained_on(name):
    form = open_named(name)
    trajectories = [*world_gold(30), *islice(out_of_domain(), 0, None, 20)]
    texts = [example.prompt for t in trajectories for example in make_examples(t, Role.PLANNER, form).rows[-1:]]
    tokenizer = learn_tokenizer(texts, vocab_size=1200, special_tokens=form.special_tokens, end=form.end)
    lengths = Lengths(prompt=10**6, example=10**6)
    live = asyncio.run(along_each(live_prompts, trajectories, form))
    for trajectory, shown in zip(trajectories, live, strict=True):
        for role in (Role.PLANNER, Role.CALLER, Role.SUMMARIZER):
            wanted = [prompt_ids(tokenizer, shown[role, target.at]) for target in targets(trajectory, role)]
            examples = Tokeniser(tokenizer, form, [role], lengths)(trajectory).examples
            assert [example.ids[: -len(example.parts)].tolist() for example in examples] == wanted


def test_prompts_that_are_cut_are_cut_alike():
    form = open_named("shared")
    cut = 0
    window, trajectories = Window(limit=900, count=len), world_gold(60)
    live = asyncio.run(along_each(live_prompts, trajectories, form, window))
    for trajectory, shown in zip(trajectories, live, strict=True):
        for role in (Role.PLANNER, Role.CALLER, Role.SUMMARIZER):
            made = make_examples(trajectory, role, form, window)
            if made.left_out:
                continue
            cut += made.cut
            for target, example in zip(targets(trajectory, role), made.rows, strict=True):
                assert shown[role, target.at] == example.prompt
    assert cut > 10


def test_a_document_that_looks_like_a_placeholder_is_shown_as_it_is():
    task = Task(id="1", query="{thought} {history} <|end|>", tools=world_gold(1)[0].task.tools)
    for name in ("plain", "shared"):
        prompt = open_named(name).render(Role.PLANNER, task, (User(text=task.query),))
        assert "{thought} {history}" in prompt
