"""Lenient parser of instruct models' replies into turns, through markdown, labels and chatter.

Only `chat` reads through this. A reply in the asked shape is kept to the byte. Laws: every function is total,
and what it read, written back in the asked shape, is read the same again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from alpha_umi.formats.marks import cut_call, read_call
from alpha_umi.types import Answer, Call, Decision, FinishReason, Json, Plan, Role, Turn

_FLAGS = re.IGNORECASE | re.MULTILINE | re.ASCII
_EDGE = r"^[ \t>*_#`-]*"
_COLON = r"[*_`]*[ \t]*:[*_]*"
_NEXT = rf"(?<![a-z])Next{_COLON}[ \t*_`\"']*(?P<who>caller|call|conclusion|conclude|summarizer|give[ _-]?up)(?![a-z])"

_LABELS = {
    Role.PLANNER: "planner|assistant|thought",
    Role.CALLER: "caller|assistant",
    Role.SUMMARIZER: "summarizer|assistant|final answer|answer",
    Role.BACKBONE: "assistant|thought",
}
_LABEL = {
    role: re.compile(rf"[\s>*_#`-]*(?:{words}){_COLON}\s*", re.IGNORECASE | re.ASCII) for role, words in _LABELS.items()
}
_DECISIONS = (
    re.compile(rf"{_EDGE}{_NEXT}[ \t\r.!*_`\"']*$", _FLAGS),
    re.compile(_EDGE + _NEXT, _FLAGS),
    re.compile(_NEXT, _FLAGS),
)
"""A line of its own, else the start of a line, else anywhere: a thought may speak of a decision before it is made."""
_NAMED = {"cal": Decision.CALL, "con": Decision.CONCLUDE, "sum": Decision.CONCLUDE, "giv": Decision.GIVE_UP}

_ACTION = re.compile(rf"{_EDGE}Action{_COLON}", _FLAGS)
_ACTION_WITHIN = re.compile(r"(?<![A-Za-z])Action:")
_INPUT = re.compile(rf"Action[ _]?Input{_COLON}[ ]?", _FLAGS)
_NEXT_TURN = re.compile(rf"{_EDGE}(?:Action|Observation){_COLON}", _FLAGS)
_OBSERVATION = re.compile(rf"{_EDGE}Observation{_COLON}", _FLAGS)
_CONCLUSION = re.compile(rf"{_EDGE}(?:conclusion|final answer){_COLON}[ ]?", _FLAGS)
_GIVES_UP = re.compile(r"[\s.!*_`\"']*give[ _-]?up[\s.!*_`\"']*", re.IGNORECASE | re.ASCII)
_FENCE = re.compile(r"(?P<ticks>`+)(?:[\w-]*\s)?", re.ASCII)
_AROUND_NAME = " \t\r`*\"'[]<>.,"
_CALL_KEYS = (("name", "arguments"), ("name", "parameters"), ("action", "action_input"))
_DECODER = json.JSONDecoder(strict=False)


def read_reply(role: Role, text: str, finish: FinishReason = FinishReason.STOP) -> tuple[Turn, ...]:
    """Read the turns of `role` from `text`."""
    said = _without_preamble(role, text)
    match role:
        case Role.PLANNER:
            return (_read_plan(said),)
        case Role.CALLER:
            return (_read_call(said, finish),)
        case Role.SUMMARIZER:
            return (Answer(text=said),)
        case _:
            return _read_step(said, finish)


def _without_preamble(role: Role, text: str) -> str:
    """The reply after a reasoning block and after labels such as `**Planner:**`."""
    _, found, rest = text.rpartition("</think>")
    text, at = (rest.lstrip() if found else text), 0
    while label := _LABEL.get(role, _LABEL[Role.BACKBONE]).match(text, at):
        at = label.end()
    return text[at:]


def _read_plan(text: str) -> Plan:
    found = next((found for pattern in _DECISIONS if (found := pattern.search(text))), None)
    if found is None:
        return Plan(thought=text, decision=Decision.NONE)
    thought = text[: found.start()].removesuffix("\n")
    return Plan(thought=thought, decision=_NAMED[found["who"][:3].lower()])


def _read_call(text: str, finish: FinishReason) -> Call:
    call = _call_object(text)
    return call or next(find_calls(text, finish), (0, Call(name="", arguments=text)))[1]


def _read_step(text: str, finish: FinishReason) -> tuple[Turn, ...]:
    """Read a backbone's reply: a thought, then a call, an answer, or the give-up word."""
    concludes = _CONCLUSION.search(text)
    at, call = next(find_calls(text, finish, within=concludes is None), (len(text), None))
    if concludes and concludes.start() < at:
        thought, answer = text[: concludes.start()].removesuffix("\n"), text[concludes.end() :]
        if _GIVES_UP.fullmatch(answer):
            return (Plan(thought=thought, decision=Decision.GIVE_UP),)
        return Plan(thought=thought, decision=Decision.CONCLUDE), Answer(text=answer)
    if call:
        return Plan(thought=text[:at].removesuffix("\n"), decision=Decision.CALL), call
    return (Plan(thought=text, decision=Decision.NONE),)


# --- calls --------------------------------------------------------------------------------------------


def find_calls(text: str, finish: FinishReason, *, within: bool = True) -> Iterator[tuple[int, Call]]:
    """Find calls and their start indices: those that start a line, and (`within`) then those that do not.

    The last one may be a call that LENGTH cut off before its arguments.
    """
    cut: tuple[int, Call] | None = None
    for pattern in (_ACTION, _ACTION_WITHIN) if within else (_ACTION,):
        for header in pattern.finditer(text):
            call = _read_action(text, header.start(), header.end())
            if call.name and finish is FinishReason.LENGTH and _ends_before_arguments(text, header.end()):
                cut = cut or (header.start(), cut_call(text))
            elif call.name:
                yield header.start(), call
    if cut:
        yield cut


def _read_action(text: str, start: int, after: int) -> Call:
    """Read the call whose `Action:` is at `start:after`; nameless if no name follows."""
    exact = read_call(text[start:])
    if exact.name and exact.name == _name(exact.name) and exact.arguments.strip() == _arguments(exact.arguments):
        return exact
    turn = _NEXT_TURN.search(text, after)
    given = _INPUT.search(text, after, turn.start() if turn else len(text))
    head = text[after : given.start() if given else turn.start() if turn else None]
    name = _name(head)
    if not name:
        return Call(name="", arguments="")
    if given:
        return Call(name=name, arguments=_arguments(text[given.end() :]))
    _, _, rest = head.strip().partition("\n")
    return Call(name=name, arguments=_arguments(rest) if _looks_given(rest) else "{}")


def _ends_before_arguments(text: str, after: int) -> bool:
    """Return True if the call whose `Action:` ends at `after` ends the text, without any arguments."""
    if _INPUT.search(text, after) or _NEXT_TURN.search(text, after):
        return False
    _, _, rest = text[after:].strip().partition("\n")
    return not _looks_given(rest)


def _looks_given(text: str) -> bool:
    return text.lstrip().startswith(("{", "`"))


def _name(text: str) -> str:
    name = _INPUT.split(text.strip().partition("\n")[0])[0]
    while (bare := name.strip().strip(_AROUND_NAME).removesuffix("()")) != name:
        name = bare
    return name


def _arguments(text: str) -> str:
    """The JSON object that `text` starts with, fences removed; where there is none, all up to an observation."""
    while (bare := _unwrapped(text.strip())) != text:
        text = bare
    return text


def _unwrapped(text: str) -> str:
    fence = _FENCE.match(text)
    bare = text[fence.end() :].lstrip() if fence else text
    if bare.startswith("{"):
        try:
            return bare[: _DECODER.raw_decode(bare)[1]]
        except (ValueError, RecursionError):
            pass
    if fence:
        bare = bare.partition(fence["ticks"])[0]
    return _OBSERVATION.split(bare)[0]


def _call_object(text: str) -> Call | None:
    """A call written as one JSON object, as models trained on tool calls like to."""
    bare = _arguments(text.strip().removeprefix("<tool_call>"))
    if not bare.startswith("{"):
        return None
    try:
        found: Json = _DECODER.decode(bare)
        return _named_call(found) if isinstance(found, dict) else None
    except (ValueError, RecursionError):
        return None


def _named_call(found: dict[str, Json]) -> Call | None:
    for name_key, arguments_key in _CALL_KEYS:
        name, given = found.get(name_key), found.get(arguments_key)
        if isinstance(name, str) and name and name == _name(name) and isinstance(given, dict | str):
            arguments = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
            return Call(name=name, arguments=_arguments(arguments))
    return None
