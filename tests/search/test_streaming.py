"""An agent that is read aloud while it writes: the same turns, heard piece by piece, and a line on the terminal."""

import asyncio
import io
import time
from itertools import groupby

from rich.console import Console

from alpha_umi.agent import MultiAgent, RoleModel, SingleAgent, with_streaming
from alpha_umi.display import TurnPrinter
from alpha_umi.formats.load import builtin
from alpha_umi.models.local import LocalModel
from alpha_umi.search import Node, NodeStatus
from alpha_umi.types import Decision, Plan, Role, Sampling, Task, User
from support.tiny_models import tiny_llama, tiny_tokenizer

TURNS = (User(text="Where is Ana?"),)
SAMPLING = Sampling(max_tokens=40)
TOKENIZER = tiny_tokenizer()


def local():
    return LocalModel(tiny_llama(len(TOKENIZER)), TOKENIZER, end="</s>")


def propose(agent, turns=TURNS):
    return asyncio.run(agent.propose(Task(id="0", query="Where is Ana?", tools=()), turns))


def test_what_is_heard_is_what_is_said():
    layout, heard = builtin("shared"), []
    silent = SingleAgent(backbone=RoleModel(model=local(), sampling=SAMPLING), format=layout)
    aloud = with_streaming(silent, lambda role, piece: heard.append((role, piece)))
    assert propose(aloud) == propose(silent)
    prompt = layout.render(Role.BACKBONE, Task(id="0", query="Where is Ana?", tools=()), TURNS)
    completion = asyncio.run(local().complete(prompt, SAMPLING))
    assert "".join(piece for _, piece in heard) == completion.text
    assert {role for role, _ in heard} == {Role.BACKBONE}
    assert len(heard) > 4


def test_every_role_is_heard_under_its_name():
    heard, model = [], local()
    role_models = {
        role: RoleModel(model=model, sampling=SAMPLING) for role in (Role.PLANNER, Role.CALLER, Role.SUMMARIZER)
    }
    agent = with_streaming(
        MultiAgent(role_models=role_models, format=builtin("shared")), lambda role, _: heard.append(role)
    )
    propose(agent)
    for decision in (Decision.CALL, Decision.CONCLUDE):
        propose(agent, (*TURNS, Plan(thought="I see.", decision=decision)))
    assert [role for role, _ in groupby(heard)] == [*role_models]


def test_an_agent_that_is_code_stays_as_it_is():
    agent = object()
    assert with_streaming(agent, print) is agent


def test_what_is_being_written_stands_in_a_line_that_its_turn_takes():
    text = io.StringIO()
    with TurnPrinter(Console(file=text, force_terminal=True, width=80)) as printer:
        printer.on_token(Role.PLANNER, "I need the ci")
        printer.on_token(Role.PLANNER, "ty of \x1b[31mAna")
        until = time.monotonic() + 60
        while "I need the city of �[31mAna" not in text.getvalue() and time.monotonic() < until:
            time.sleep(0.01)  # the line is drawn some times a second
        written = text.getvalue()
        printer.on_node(Node(index=0, parent=None, turns=TURNS, status=NodeStatus.OPEN))
    assert "I need the city of �[31mAna" in written
    assert "Where is Ana?" in text.getvalue()[len(written) :]


def test_nothing_is_drawn_where_no_terminal_is():
    text = io.StringIO()
    with TurnPrinter(Console(file=text)) as printer:
        printer.on_token(Role.PLANNER, "I need")
    assert text.getvalue() == ""
