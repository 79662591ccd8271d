"""Several exchanges in one trajectory: every format shows them in order, and the last query is never cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_umi.formats.fit import Window, fit
from alpha_umi.formats.load import BUILTIN, builtin, load_format
from alpha_umi.formats.shared import SharedFormat
from alpha_umi.types import Answer, Call, Decision, Observation, Plan, Role, Task, ToolPrompt, ToolSpec, User
from support.plain_format import PLAIN

FORMATS = {**{name: builtin(name) for name in BUILTIN}, "template": load_format(PLAIN)}
TOOL = ToolSpec(name="weather", description="Weather of a city.")
TASK = Task(id="chat", query="second question", tools=(TOOL,))


def exchange(query, result, answer):
    return (
        User(text=query),
        Plan(thought="look it up", decision=Decision.CALL),
        Call(name="weather", arguments="{}"),
        Observation(content=result),
        Plan(thought="have it", decision=Decision.CONCLUDE),
        Answer(text=answer),
    )


FIRST = exchange("first question", "first result", "first answer")
BOTH = (*FIRST, User(text="second question"))
UNFINISHED = (*FIRST[:3], User(text="second question"))
"""Interrupted before the tool was called."""


def texts(prompt):
    if isinstance(prompt, str):
        return prompt
    messages = prompt.messages if isinstance(prompt, ToolPrompt) else prompt
    return "\n".join(message.content for message in messages)


def cases():
    for name, form in FORMATS.items():
        for role in (Role.BACKBONE,) if name in ("native", "native-finish", "react") else (Role.PLANNER, Role.BACKBONE):
            yield pytest.param(form, role, id=f"{name}-{role.value}")


@pytest.mark.parametrize(("form", "role"), [*cases()])
def test_a_prompt_shows_the_earlier_exchange_before_the_new_query(form, role):
    shown = texts(form.render(role, TASK, BOTH))
    parts = ["first question", "first result", "second question"]
    assert [shown.count(part) for part in parts] == [1, 1, 1]
    assert sorted(parts, key=shown.index) == parts
    assert "first answer" in str(form.render(role, TASK, BOTH))


@pytest.mark.parametrize(("form", "role"), [*cases()])
def test_a_prompt_can_follow_an_exchange_that_was_interrupted(form, role):
    shown = texts(form.render(role, TASK, UNFINISHED))
    assert shown.index("first question") < shown.index("second question")


@given(st.integers(0, 1500), st.integers(1, 4))
def test_the_oldest_exchanges_are_cut_whole_and_the_last_query_never(room, count):
    form = SharedFormat()
    earlier = [exchange(f"question {number}", "r" * 300, "answer") for number in range(count)]
    turns = (*[turn for each in earlier for turn in each], User(text="second question"))
    least = len(form.render(Role.PLANNER, TASK, turns[-1:]))
    kept = fit(form, Role.PLANNER, TASK, turns, Window(limit=least + room, count=len)).turns
    assert kept[-1] == turns[-1]
    assert isinstance(kept[0], User)
    assert (len(kept) - 1) % len(FIRST) == 0
    assert [turn for turn in kept if isinstance(turn, User)] == [turn for turn in turns if isinstance(turn, User)][
        -len([turn for turn in kept if isinstance(turn, User)]) :
    ]


def test_steps_of_the_last_exchange_go_after_all_earlier_ones():
    form = SharedFormat()
    turns = (*BOTH, *FIRST[1:4], *FIRST[1:4])
    least = len(form.render(Role.PLANNER, TASK, (*BOTH[-1:], *FIRST[1:4])))
    kept = fit(form, Role.PLANNER, TASK, turns, Window(limit=least, count=len)).turns
    assert kept == (User(text="second question"), *FIRST[1:4])


def test_a_hint_of_a_search_is_no_query():
    form = SharedFormat()
    task = Task(id="1", query="q", tools=(TOOL,))
    turns = (User(text="q"), *FIRST[1:4], User(text="hint " * 50), *FIRST[1:4])
    least = len(form.render(Role.PLANNER, task, (User(text="q"), *FIRST[1:4])))
    kept = fit(form, Role.PLANNER, task, turns, Window(limit=least, count=len)).turns
    assert kept == (User(text="q"), *FIRST[1:4])
