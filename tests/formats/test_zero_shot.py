"""Zero-shot format: one conversation that every prompt goes on from, one-line thoughts, and an end of repetition."""

import pytest

from alpha_umi.errors import FormatError
from alpha_umi.formats.load import builtin, load_format
from alpha_umi.formats.prompts import zero_shot as prompts
from alpha_umi.types import Answer, Call, Decision, Observation, Plan, Role, Task, ToolSpec, ToolStatus, User
from support.grammar_walks import accepts, walk

FORM = builtin("zero-shot")
TOOL = ToolSpec(
    name="population",
    description="Inhabitants of a city.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
TASK = Task(id="1", query="How many live in Graz?", tools=(TOOL,))
LOOK = Plan(thought="population, of Graz.", decision=Decision.CALL)
CALL = Call(name="population", arguments='{"city": "Graz"}')
SEEN = Observation(content="302749")
KNOWN = Plan(thought="Yes: 302749.", decision=Decision.CONCLUDE)
TURNS = (User(text=TASK.query), LOOK, CALL, SEEN, KNOWN, Answer(text="302749 people."), User(text="And in Linz?"))
WRITERS = {Plan: Role.PLANNER, Call: Role.CALLER, Answer: Role.SUMMARIZER}


def shown(messages):
    return "".join(f"<{message.role}>{message.content}" for message in messages)


def test_every_prompt_goes_on_from_the_one_before_and_what_was_written_after_it():
    read = ""
    for at, turn in enumerate(TURNS):
        if type(turn) in WRITERS:
            role = WRITERS[type(turn)]
            prompt = shown(FORM.render(role, TASK, TURNS[:at]))
            assert prompt.startswith(read)
            read = f"{prompt}<assistant>{FORM.write(role, [turn])}"
    assert shown(FORM.render(Role.PLANNER, TASK, TURNS)).startswith(read)


@pytest.mark.parametrize("role", [Role.PLANNER, Role.CALLER, Role.SUMMARIZER, Role.BACKBONE])
def test_speakers_alternate_and_the_tools_come_once_with_the_first_request(role):
    messages = FORM.render(role, TASK, TURNS if role is Role.PLANNER else TURNS[:4])
    assert messages[0].role == "system"
    assert [each.role for each in messages[1:]] == (["user", "assistant"] * len(messages))[: len(messages) - 1]
    assert messages[-1].role == "user"
    assert shown(messages).count("population(city: string)") == 1
    assert messages[-1].content.endswith(prompts.CUES[role]) or role is Role.PLANNER


def test_the_planner_is_asked_otherwise_where_a_tool_has_answered():
    first, after = (FORM.render(Role.PLANNER, TASK, TURNS[:length])[-1].content for length in (1, 4))
    assert first.endswith(prompts.CUES[Role.PLANNER])
    assert after == f"Observation: 302749\n\n{prompts.AFTER_OBSERVATION}"


@pytest.mark.parametrize("role", [Role.PLANNER, Role.BACKBONE])
def test_a_constrained_thought_is_one_line_that_opens_no_reasoning(role):
    grammar = FORM.grammar(role, TASK)
    ending = {Role.PLANNER: "Next: caller.", Role.BACKBONE: 'Action: population\nAction Input: {"city": "Graz"}'}[role]
    assert accepts(grammar, f"I need it.\n{ending}")
    for thought in ("I need it.\nObservation, it is 7.", "<think>I need it", "", "Next: conclusion."):
        assert not accepts(grammar, f"{thought}\n{ending}"), thought


@pytest.mark.parametrize(
    ("seen", "offered"),
    [(("7",), True), (("7", "7"), False), (("7", "8"), True), (("7", "8", "9"), False), (("7", "8", "8"), False)],
)
def test_no_further_call_is_offered_after_the_same_one_brought_nothing_new(seen, offered):
    steps = [turn for content in seen for turn in (LOOK, CALL, Observation(content=content))]
    turns = (User(text=TASK.query), *steps)
    assert accepts(FORM.grammar(Role.PLANNER, TASK, turns), "I need it.\nNext: caller.") is offered
    assert accepts(FORM.grammar(Role.PLANNER, TASK, turns), "I need it.\nNext: conclusion.")
    assert ("caller" in FORM.ending(Role.PLANNER, TASK, turns).grammar) is offered
    assert ("population" in FORM.ending(Role.BACKBONE, TASK, turns).grammar) is offered
    other = Call(name="population", arguments='{"city": "Linz"}')
    assert accepts(FORM.grammar(Role.PLANNER, TASK, (*turns, LOOK, other, SEEN)), "I need it.\nNext: caller.")


def test_a_planner_whose_calls_all_failed_gives_up_where_it_would_repeat_them():
    failed = Observation(content="no such city", status=ToolStatus.ERROR)
    turns = (*TURNS, LOOK, CALL, failed, LOOK, CALL, failed)
    for decision, allowed in ((LOOK.decision, False), (KNOWN.decision, False), (Decision.GIVE_UP, True)):
        text = FORM.write(Role.PLANNER, [Plan(thought="I need it.", decision=decision)])
        assert accepts(FORM.grammar(Role.PLANNER, TASK, turns), text) is allowed
    assert FORM.ending(Role.PLANNER, TASK, turns).marks == ("Next: give up.",)
    asked_again = (*turns, User(text="Try again."))
    assert accepts(FORM.grammar(Role.PLANNER, TASK, asked_again), "I need it.\nNext: caller.")


def test_whatever_a_constrained_planner_writes_is_read_as_it_was_meant():
    for seed in range(20):
        mark = ("Next: caller.", "Next: conclusion.", "Next: give up.")[seed % 3]
        text = walk(FORM.grammar(Role.PLANNER, TASK), seed, [f"\n{mark}"])
        if text is not None:
            (plan,) = FORM.parse(Role.PLANNER, text)
            assert FORM.write(Role.PLANNER, [plan]).endswith(text.rpartition("\n")[2])


def test_it_is_kept_by_its_version_and_has_no_prompt_of_optional_roles():
    assert load_format(FORM.to_document()) == FORM
    with pytest.raises(FormatError, match="version 9"):
        load_format({**FORM.to_document(), "version": 9})
    with pytest.raises(FormatError, match="no prompt of the critic"):
        FORM.render(Role.CRITIC, TASK, TURNS)
