"""Laws of the cutting rule."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.errors import FormatError
from alpha_umi.formats.fit import FLOOR, MARK, Window, fit
from alpha_umi.formats.shared import SharedFormat
from alpha_umi.roles import FORMAT_ROLES
from alpha_umi.types import Answer, Call, Decision, Observation, Plan, Role, Task, ToolSpec, Turn, User
from support.examples import examples

SHARED = SharedFormat()
TASK = Task(id="t1", query="q", tools=(ToolSpec(name="find", description="Finds."),))
lengths = st.sampled_from([0, 5, FLOOR, FLOOR + 3, FLOOR + 4, FLOOR + 50, 400, 1500]) | st.integers(0, 1500)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Turn, ...]:
    turns: list[Turn] = [User(text="what is the answer?")]
    for number in range(draw(st.integers(0, 5))):
        if draw(st.booleans()):
            turns.append(User(text="a hint " * draw(st.integers(0, 20))))
        turns.append(Plan(thought=f"step {number}", decision=Decision.CALL))
        turns.append(Call(name="find", arguments="{}"))
        turns.append(Observation(content=chr(97 + number) * draw(lengths)))
    return tuple(turns)


def called(turns: tuple[Turn, ...], role: Role) -> tuple[Turn, ...]:
    decided = {Role.CALLER: Decision.CALL, Role.SUMMARIZER: Decision.CONCLUDE}.get(role)
    return (*turns, Plan(thought="the last", decision=decided)) if decided else turns


class Counter:
    """Counts characters, and how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, prompt) -> int:
        self.asked += 1
        return len(prompt)


def in_order(part: tuple[Turn, ...], whole: tuple[Turn, ...]) -> bool:
    """Every turn of `part` is one of `whole`, in order, cut observations counted as themselves."""
    rest = iter(whole)

    def same(kept: Turn, turn: Turn) -> bool:
        if isinstance(kept, Observation) and isinstance(turn, Observation) and kept != turn:
            return kept.content.endswith(MARK) and turn.content.startswith(kept.content.removesuffix(MARK))
        return kept == turn

    return all(any(same(kept, turn) for turn in rest) for kept in part)


@given(histories(), st.sampled_from(FORMAT_ROLES), st.integers(0, 6000))
@settings(max_examples=examples(300))
def test_what_is_returned_fits_keeps_what_it_must_and_needs_no_second_cut(turns, role, limit):
    turns, counter = called(turns, role), Counter()
    window = Window(limit=limit, count=counter)
    needed = len(SHARED.render(role, TASK, turns))
    try:
        fitted = fit(SHARED, role, TASK, turns, window)
    except FormatError:
        assert needed > limit
        return
    assert counter.asked <= 16
    assert len(SHARED.render(role, TASK, fitted.turns)) <= limit
    assert fit(SHARED, role, TASK, fitted.turns, window).turns == fitted.turns
    assert fitted == fit(SHARED, role, TASK, turns, window)
    assert fitted.cut is (fitted.turns != turns) is (needed > limit)
    assert fitted.turns[0] == turns[0]
    assert in_order(fitted.turns, turns)
    assert len(turns) - len(fitted.turns) == fitted.turns_dropped
    if role in (Role.CALLER, Role.SUMMARIZER):
        assert fitted.turns[-1] == turns[-1]


@given(histories(), st.integers(0, 6000))
def test_older_observations_are_cut_before_newer_ones(turns, limit):
    try:
        kept = fit(SHARED, Role.PLANNER, TASK, turns, Window(limit=limit, count=len)).turns
    except FormatError:
        return
    seen = [turn.content for turn in kept if isinstance(turn, Observation) and len(turn.content) > FLOOR + len(MARK)]
    whole = [turn.content for turn in turns if isinstance(turn, Observation)]
    assert all(content in whole for content in seen[1:])


def steps(count: int, size: int) -> tuple[Turn, ...]:
    step = (
        Plan(thought="", decision=Decision.CALL),
        Call(name="find", arguments="{}"),
        Observation(content="x" * size),
    )
    return (User(text="q"), *(step * count))


def test_whole_steps_go_from_the_oldest_when_cut_observations_do_not_suffice():
    turns = steps(6, 1000)
    fitted = fit(SHARED, Role.PLANNER, TASK, turns, Window(limit=800, count=len))
    assert fitted.turns_dropped % 3 == 0
    assert 0 < fitted.turns_dropped < 18
    assert [type(turn) for turn in fitted.turns[:3]] == [User, Plan, Call]


def test_an_observation_is_cut_no_further_than_it_must_be():
    turns = steps(1, 2000)
    needed = len(SHARED.render(Role.PLANNER, TASK, turns))
    fitted = fit(SHARED, Role.PLANNER, TASK, turns, Window(limit=needed - 100, count=len))
    assert needed - 200 < len(SHARED.render(Role.PLANNER, TASK, fitted.turns)) <= needed - 100
    assert fitted.observations_cut == 1


def test_what_fits_is_counted_once_and_left_alone():
    turns, counter = (*steps(3, 500), Answer(text="done")), Counter()
    fitted = fit(SHARED, Role.PLANNER, TASK, turns, Window(limit=10**6, count=counter))
    assert (fitted.turns, fitted.cut, counter.asked) == (turns, False, 1)


def test_tools_that_leave_no_room_are_an_error_with_the_numbers():
    with pytest.raises(FormatError, match=r"'t1'.* \d+ tokens .*limit is 10"):
        fit(SHARED, Role.PLANNER, TASK, steps(2, 10), Window(limit=10, count=len))


@pytest.mark.parametrize("role", FORMAT_ROLES)
def test_a_prompt_without_turns_that_does_not_fit_is_the_same_error(role):
    with pytest.raises(FormatError, match=r"limit is 10"):
        fit(SHARED, role, TASK, (), Window(limit=10, count=len))
