"""ToolBench's `Finish`, the tool whose call ends a task with an answer or a give-up: its calls written and read.

Reading is tolerant where models are careless and total; what cannot be read stays the call that it is.
"""

from __future__ import annotations

import json
import re

from alpha_umi.formats.marks import filled, joined
from alpha_umi.literals import UnreadableError, read_value, write_value
from alpha_umi.types import Answer, Call, Decision, FinishReason, Json, Part, Plan, Span, ToolSpec, Turn

FINISH = "Finish"
_TYPE, _ANSWER = "return_type", "final_answer"
_GIVES_ANSWER, _GIVES_UP = "give_answer", "give_up_and_restart"
_BROKEN_TYPE = re.compile(rf"""["']{_TYPE}["']\s*:\s*["'](?P<type>\w+)""")
_BROKEN_ANSWER = re.compile(rf"""["']{_ANSWER}["']\s*:\s*["'](?P<answer>.*)""", re.DOTALL)
_CLOSING = re.compile(r"""(?<!\\)["']\s*\}?\s*(?:`{3,}\s*)?\Z""")
_FENCED = re.compile(r"\A`{3,}[ \t]*(?:json|python|py)?[ \t]*\n?(?P<text>.*?)\n?[ \t]*(?:`{3,}\s*)?\Z", re.DOTALL)

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

    Total. Without a type an answer counts as one; text that is no object is the answer; LENGTH may cut it off.
    """
    if call.name != FINISH:
        return Plan(thought=thought, decision=Decision.CALL), call
    kind, answer = read_finish_arguments(call.arguments, finish)
    if gives_up(kind):
        return (Plan(thought=thought, decision=Decision.GIVE_UP),)
    if answer is not None:
        return Plan(thought=thought, decision=Decision.CONCLUDE), Answer(text=answer)
    return Plan(thought=thought, decision=Decision.CALL), call


def gives_up(kind: Json) -> bool:
    """Return True for a type of `Finish` that gives up."""
    return isinstance(kind, str) and kind.strip().lower().startswith("give_up")


def read_finish_arguments(text: str, finish: FinishReason = FinishReason.STOP) -> tuple[Json, str | None]:
    """Return type and answer in the arguments of `Finish`: JSON, a Python literal, either in a code fence, or text."""
    given = read_finish_object(text)
    if isinstance(given, dict):
        answer = given.get(_ANSWER)
        if answer is None or isinstance(answer, str):
            return given.get(_TYPE), answer
        return given.get(_TYPE), write_value(answer)
    if isinstance(given, str):
        return (given, None) if gives_up(given) else (None, given)
    kind, answer = _BROKEN_TYPE.search(text), _BROKEN_ANSWER.search(text)
    if kind or answer:
        return kind and kind["type"], answer and _unquoted(answer["answer"], whole=finish is FinishReason.STOP)
    return None, None


def read_finish_object(text: str) -> Json:
    """Return the object of the arguments, or the text where it is none; None where something else is meant."""
    bare = _FENCED.sub(lambda found: found["text"], text.strip(), count=1).strip()
    try:
        value, end = read_value(bare, 0)
    except UnreadableError:
        broken = bare[:1] in ("{", "[") or _BROKEN_TYPE.search(bare) or _BROKEN_ANSWER.search(bare)
        return bare if bare and not broken else None
    if isinstance(value, dict):
        return value if not bare[end:].strip(" \t\r\n`}") else None
    if isinstance(value, str) and end == len(bare):
        inner = read_finish_object(value) if value.lstrip().startswith("{") else value
        return inner if isinstance(inner, dict) else value
    return None if end == len(bare) else bare


def _unquoted(text: str, *, whole: bool) -> str:
    """Answer recovered from broken JSON: quotes within it are not escaped, or its end is missing."""
    if whole:
        text = _CLOSING.sub("", text)
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return text
