"""A fourth role, the critic: asked after an answer, it accepts it or sends it back, in every format."""

import asyncio
import json

import pytest

from alpha_umi.agent import MultiAgent, RoleModel, propose_step
from alpha_umi.config import AgentConfig, TrainConfig, make_config
from alpha_umi.display import TurnPrinter
from alpha_umi.environments.replay import ReplayEnvironment
from alpha_umi.errors import FormatError
from alpha_umi.formats.chat import ChatFormat
from alpha_umi.formats.fingerprint import fingerprint
from alpha_umi.formats.optional_roles import QUESTION, CriticFormat
from alpha_umi.formats.shared import SharedFormat
from alpha_umi.models.scripted import ScriptedModel
from alpha_umi.report.turns import write_turns
from alpha_umi.roles import AGENT_ROLES, ROLES, next_role
from alpha_umi.search import NodeStatus, Tree, explore
from alpha_umi.store import decode_turn, encode_turn
from alpha_umi.training.data.examples import count_targets, make_examples
from alpha_umi.training.recipe import agent_roles, make_steps
from alpha_umi.types import Answer, Decision, Plan, Review, Role, StopReason, Task, Trajectory, User

TASK = Task(id="t", query="How far is it?")
CONCLUDE, ACCEPT = Plan(thought="I can answer.", decision=Decision.CONCLUDE), Review(text="Right.", accepted=True)
REJECT = Review(text="It is in km, not in miles.", accepted=False)
FIRST, SECOND = Answer(text="7 miles."), Answer(text="7 km.")
FORMATS = [CriticFormat(SharedFormat()), CriticFormat(ChatFormat())]


def agent(form, turns):
    """An agent whose models say `turns`, each its own role's."""
    said = {role: [form.write(role, (turn,)) for turn in turns if type(turn) is ROLES[role].turn] for role in ROLES}
    roles = (*AGENT_ROLES, Role.CRITIC) if any(isinstance(turn, Review) for turn in turns) else AGENT_ROLES
    return MultiAgent(role_models={role: RoleModel(model=ScriptedModel(said[role])) for role in roles}, format=form)


def searched(form, turns):
    async def run():
        tree = Tree(task=TASK)
        environment = ReplayEnvironment(Trajectory(task=TASK, turns=()))
        async for node in explore(agent(form, turns), environment, TASK):
            tree.add(node)
        return tree

    return asyncio.run(run())


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
@pytest.mark.parametrize("review", [ACCEPT, REJECT])
def test_a_critic_reads_its_own_writing(form, review):
    assert form.parse(Role.CRITIC, form.write(Role.CRITIC, (review,))) == (review,)
    assert form.parse(Role.CRITIC, "")[0].accepted is False
    with pytest.raises(FormatError, match="one review"):
        form.write(Role.CRITIC, (FIRST,))


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_an_answer_is_sent_back_until_the_critic_accepts_it(form):
    tree = searched(form, [CONCLUDE, FIRST, REJECT, CONCLUDE, SECOND, ACCEPT])
    assert tree.best.turns[1:] == (CONCLUDE, FIRST, REJECT, CONCLUDE, SECOND, ACCEPT)
    assert tree.best.stop is StopReason.ANSWERED
    assert [node.status for node in tree.nodes] == [NodeStatus.DONE, NodeStatus.DONE, NodeStatus.ANSWERED]
    assert tree.best.answer == "7 km."


def test_the_others_read_a_review_as_the_users_words():
    for form in FORMATS:
        as_review = form.render(Role.PLANNER, TASK, (User(text=TASK.query), CONCLUDE, FIRST, REJECT))
        as_words = form.render(Role.PLANNER, TASK, (User(text=TASK.query), CONCLUDE, FIRST, User(text=REJECT.text)))
        assert as_review == as_words
    assert next_role((CONCLUDE, FIRST, REJECT)) is Role.PLANNER


def test_an_agent_without_a_critic_is_asked_exactly_as_before():
    plain, form = SharedFormat(), FORMATS[0]
    assert fingerprint(plain) == fingerprint(form)
    tree = searched(plain, [CONCLUDE, FIRST])
    assert tree.best.turns[1:] == (CONCLUDE, FIRST)
    assert tree.best.usage.completions == 2


def test_a_scored_step_holds_no_review():
    said = asyncio.run(propose_step(agent(FORMATS[0], [CONCLUDE, FIRST, REJECT]), TASK, (User(text=TASK.query),)))
    assert said.turns == (CONCLUDE, FIRST)


def test_reviews_are_learned_by_the_critic_alone_from_the_prompts_that_it_is_asked_live():
    turns = (User(text=TASK.query), CONCLUDE, FIRST, REJECT, CONCLUDE, SECOND, ACCEPT)
    trajectory, form = Trajectory(task=TASK, turns=turns), FORMATS[0]
    assert count_targets(trajectory)[Role.CRITIC] == 2
    rows = make_examples(trajectory, Role.CRITIC, form).rows
    assert [form.parse(Role.CRITIC, row.completion) for row in rows] == [(REJECT,), (ACCEPT,)]
    critic = ScriptedModel([row.completion for row in rows])
    live = agent(form, [CONCLUDE, FIRST, REJECT, CONCLUDE, SECOND, ACCEPT])
    live = MultiAgent(role_models={**live.role_models, Role.CRITIC: RoleModel(model=critic)}, format=form)

    async def run():
        environment = ReplayEnvironment(Trajectory(task=TASK, turns=()))
        return [node async for node in explore(live, environment, TASK)]

    asyncio.run(run())
    assert critic.prompts == [row.prompt for row in rows]
    assert QUESTION in rows[0].prompt


def test_a_review_is_stored_shown_and_reported(capsys):
    from rich.console import Console

    from alpha_umi.search import Node

    for review in (ACCEPT, REJECT):
        assert decode_turn(json.loads(json.dumps(encode_turn(review)))) == review
    with TurnPrinter(Console(no_color=True, width=120)) as printer:
        printer.on_node(Node(index=0, parent=None, turns=(FIRST, REJECT)))
    assert "critic  It is in km, not in miles.  → sent back" in capsys.readouterr().out
    assert "critic" in str(write_turns((REJECT,)))
    assert "sent back" in str(write_turns((REJECT,)))


def test_a_recipe_with_a_critic_trains_it_beside_the_three():
    document = {"data": {"train": "t.jsonl"}, "model": {"base": "b"}, "out": "o", "optional_roles": ["critic"]}
    config = make_config(TrainConfig, {**document, "adapter": {"kind": "alora"}}, source="test")
    assert make_steps(config)[-1].learns == (*AGENT_ROLES, Role.CRITIC)
    assert agent_roles(config).get(Role.CRITIC).adapter == "roles/critic"
    plain = make_config(TrainConfig, {**document, "optional_roles": None}, source="test")
    assert agent_roles(plain).optional == ()


def test_an_agent_file_may_name_a_critic():
    roles = {name: {"base_url": "http://localhost:1/v1", "model": "m"} for name in (*AGENT_ROLES, "critic")}
    config = make_config(AgentConfig, {"format": "chat", "roles": roles}, source="test")
    assert config.roles.optional == (Role.CRITIC,)
