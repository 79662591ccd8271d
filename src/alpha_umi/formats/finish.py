"""ToolBench's `Finish`, the tool whose call ends a task with an answer or a give-up: its calls written and read.

Reading is tolerant where models are careless and total; what cannot be read stays the call that it is.
"""

from __future__ import annotations

import json
import re

from alpha_umi.formats.marks import filled, joined
from alpha_umi.types import Answer, Call, Decision, FinishReason, Json, Part, Plan, Span, ToolSpec, Turn

FINISH = "Finish"
_TYPE, _ANSWER = "return_type", "final_answer"
_GIVES_ANSWER, _GIVES_UP = "give_answer", "give_up_and_restart"
_BROKEN_TYPE = re.compile(rf'"{_TYPE}"\s*:\s*"(?P<type>\w+)"')
_BROKEN_ANSWER = re.compile(rf'"{_ANSWER}"\s*:\s*"(?P<answer>.*)', re.DOTALL)
_CLOSING = re.compile(r'(?<!\\)"\s*\}?\s*$')

FINISH_TOOL = ToolSpec(
    name=FINISH,
    description=(
        "Ends the task. Call it with the complete answer once the request is settled; call it to give up and start "
        "over once nothing that can still be tried would settle it. Nothing but this answer reaches the user."
    ),
    parameters={
        "type": "object",
        "properties": {
            _TYPE: {"type": "string", "enum": [_GIVES_ANSWER, _GIVES_UP]},
            _ANSWER: {"type": "string", "description": f"The answer for the user; needed with {_GIVES_ANSWER}."},
        },
        "required": [_TYPE],
    },
)


def write_finish(turn: Plan | Answer) -> Call:
    """Write the `Finish` call of an answer, or of a plan that gives up."""
    return Call(name=FINISH, arguments=joined(finish_spans(turn)))


def finish_spans(turn: Plan | Answer) -> tuple[Span, ...]:
    """Split the arguments of that call into spans by their part."""
    if isinstance(turn, Plan):
        return ((f'{{"{_TYPE}": "{_GIVES_UP}"}}', Part.DECISION),)
    answer = json.dumps(turn.text, ensure_ascii=False)[1:-1]
    return filled(
        (
            (f'{{"{_TYPE}": "{_GIVES_ANSWER}"', Part.DECISION),
            (f', "{_ANSWER}": "', Part.MARK),
            (answer, Part.ANSWER),
            ('"}', Part.MARK),
        )
    )


def read_finish(thought: str, call: Call, finish: FinishReason = FinishReason.STOP) -> tuple[Turn, ...]:
    """Read the turns of a thought and a `Finish` call.

    Total. Without a type an answer counts as one; LENGTH may cut it off.
    """
    if call.name != FINISH:
        return Plan(thought=thought, decision=Decision.CALL), call
    kind, answer = _read_arguments(call.arguments, finish)
    if answer is not None and kind != _GIVES_UP:
        return Plan(thought=thought, decision=Decision.CONCLUDE), Answer(text=answer)
    if kind == _GIVES_UP or (isinstance(kind, str) and kind.startswith("give_up")):
        return (Plan(thought=thought, decision=Decision.GIVE_UP),)
    return Plan(thought=thought, decision=Decision.CALL), call


def _read_arguments(text: str, finish: FinishReason) -> tuple[Json, str | None]:
    """Type and answer in the arguments."""
    try:
        given: Json = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        kind, answer = _BROKEN_TYPE.search(text), _BROKEN_ANSWER.search(text)
        return kind and kind["type"], answer and _unquoted(answer["answer"], whole=finish is FinishReason.STOP)
    if not isinstance(given, dict):
        return None, None
    answer = given.get(_ANSWER)
    if answer is None or isinstance(answer, str):
        return given.get(_TYPE), answer
    return given.get(_TYPE), json.dumps(answer, ensure_ascii=False)


def _unquoted(text: str, *, whole: bool) -> str:
    """Answer recovered from broken JSON: quotes within it are not escaped, or its end is missing."""
    if whole:
        text = _CLOSING.sub("", text)
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return text
