"""Lenient parser of instruct models' replies into turns, through markdown, labels, chatter, reasoning and dialects.

Labels are read here, for `chat` and `react`; what else a model may write for a call, and its reasoning, is read by
`dialects`. A reply in the asked shape is kept to the byte. Laws: every function is total, and what it read, written
back in the asked shape, is read the same again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice

from alpha_umi.formats.dialects.calls import Bare, FoundCall, find_bare, find_named, first_marked
from alpha_umi.formats.dialects.objects import calls_of
from alpha_umi.formats.dialects.reasoning import find_reasoning, without_frame, without_reasoning
from alpha_umi.formats.marks import ACTION, COLON, cut_call, read_call
from alpha_umi.literals import UnreadableError, read_notation, read_value, write_value
from alpha_umi.types import Answer, Call, Decision, FinishReason, Plan, Role, Turn


def label_of_observations(end: str) -> str:
    """Pattern of how a line of a tool's words begins, in lower case, for Python and for grammars.

    With a colon, or with a number and a mark behind it, or alone on its line. `end`: pattern of that line's end.
    "Observation 2 says that" is a thought.
    """
    word, number = "(?:observation|tool (?:output|response|result))", r"[ \t]*(?:no\.? ?|number |#|\()?[0-9]{1,3}\)?"
    markup = r"[*_`]*[ \t\u3000]*"
    return rf"[ \t>*_#`-]*{word}(?:(?:{number})?{markup}[:：]|{number}{markup}(?:[.…–—-]|{end})|{markup}{end})"


_FLAGS = re.IGNORECASE | re.MULTILINE | re.ASCII
_EDGE = r"^[ \t>*_#`-]*+"
_NEXT = (
    rf"(?<![a-z])(?:Next{COLON}[ \t\u3000*_`\"']*+){{1,3}}"
    r"(?P<who>caller|call|conclusion|conclude|summarizer|give[ _-]?up)(?![a-z])"
)

_LABELS = {
    Role.PLANNER: "planner|assistant|thought",
    Role.CALLER: "caller|assistant",
    Role.SUMMARIZER: "summarizer|assistant|final answer|answer",
    Role.BACKBONE: "assistant|thought",
}
_LABEL = {
    role: re.compile(rf"[\s>*_#`-]*+(?:{words}){COLON}\s*+", re.IGNORECASE | re.ASCII)
    for role, words in _LABELS.items()
}
_DECISIONS = (
    re.compile(rf"{_EDGE}{_NEXT}[ \t\r.!*_`\"'。．！]*+$", _FLAGS),
    re.compile(_EDGE + _NEXT, _FLAGS),
    re.compile(_NEXT, _FLAGS),
)
"""A line of its own, else the start of a line, else anywhere: a thought may speak of a decision before it is made."""
_NAMED = {"cal": Decision.CALL, "con": Decision.CONCLUDE, "sum": Decision.CONCLUDE, "giv": Decision.GIVE_UP}

_ACTION = re.compile(rf"{_EDGE}Action{COLON}", _FLAGS)
_ACTION_WITHIN = re.compile(r"(?<![A-Za-z])Action[:：]")
_EXACT = re.compile(rf"{ACTION}(?P<name>[^\n]+)\nAction Input: ")
_INPUT = re.compile(rf"Action[ _]?Input{COLON}[ \u3000]?", _FLAGS)
_NEXT_TURN = re.compile(rf"{_EDGE}(?:Action|Observation){COLON}", _FLAGS)
_BELOW = re.compile(rf"[^\n]*+\n[ \t>*_#`-]*+Action{COLON}(?P<name>[^\n]*+)", _FLAGS)
_OBSERVATION = re.compile(rf"{_EDGE}Observation{COLON}", _FLAGS)
_MADE_UP = re.compile(r"\n" + label_of_observations(end=r"(?:\n|\Z)"), re.IGNORECASE | re.ASCII)
_CONCLUSION = re.compile(rf"{_EDGE}(?:(?:conclusion|final answer){COLON}[ \u3000]?)++", _FLAGS)
_GIVES_UP = re.compile(r"[\s.!*_`\"'。．！]*+give[ _-]?up[\s.!*_`\"'。．！]*+", re.IGNORECASE | re.ASCII)
_FENCE = re.compile(r"(?P<ticks>`++)(?:[\w-]*+\s)?", re.ASCII)
_DOUBLED = re.compile(rf"\A(?:\s*+Action{COLON}[ \t]*+)++", re.IGNORECASE | re.ASCII)
_DOUBLED_INPUT = re.compile(rf"(?:\s*+Action[ _]?Input{COLON}\s*+)++", re.IGNORECASE | re.ASCII)
_CALLED = re.compile(r"(?P<name>[^\s()\[\]{}\"'`]++)\s*+(?P<opens>[(\[{])")
_LIST = re.compile(r"\[\s*\{")
_AROUND_NAME = " \t\r`*\"'[]<>.,。，"
_LONGEST_NAME = 1000
_MOST_LABELS = 50
"""Labels of calls that are tried in one reply."""
_DECODER = json.JSONDecoder(strict=False)


def read_reply(role: Role, text: str, finish: FinishReason = FinishReason.STOP) -> tuple[Turn, ...]:
    """Read the turns of `role` from `text`."""
    said = _without_labels(role, without_frame(without_reasoning(text)))
    match role:
        case Role.PLANNER:
            own = _before_observation(said)
            return (_read_plan(own, text if own == said else own),)
        case Role.CALLER:
            return (_read_call(said, text, finish),)
        case Role.SUMMARIZER:
            return (Answer(text=said),)
        case _:
            return _read_step(said, text, finish)


def _before_observation(said: str) -> str:
    """The reply up to what a tool is made to say: its words are the environment's."""
    found = _MADE_UP.search(said)
    return said[: found.start()] if found else said


def _without_labels(role: Role, text: str) -> str:
    """The reply after labels such as `**Planner:**`."""
    at = 0
    while label := _LABEL.get(role, _LABEL[Role.BACKBONE]).match(text, at):
        at = label.end()
    return text[at:]


def _read_plan(said: str, text: str) -> Plan:
    found = next((found for pattern in _DECISIONS if (found := pattern.search(said))), None)
    if found is None:
        return _undecided(said, text)
    thought = said[: found.start()].removesuffix("\n")
    return Plan(thought=thought, decision=_NAMED[found["who"][:3].lower()])


def _undecided(said: str, text: str) -> Plan:
    """Plan that names nobody. A text that is reasoning alone is the thought: the next turn goes on from there."""
    return Plan(thought=said if said.strip() else text, decision=Decision.NONE)


def _read_call(said: str, text: str, finish: FinishReason) -> Call:
    found = first_call(said, finish)
    if found is not None and found[1].name:
        return found[1]
    loose = _settled(find_bare(said, Bare.ANYWHERE) or find_named(said))
    if loose is None and found is not None:
        return found[1]
    return loose or Call(name="", arguments=said if said.strip() else text)


def _read_step(said: str, text: str, finish: FinishReason) -> tuple[Turn, ...]:
    """Read a backbone's reply: a thought, then a call, an answer, or the give-up word."""
    concludes = _CONCLUSION.search(said)
    found = first_call(said, finish, within=concludes is None)
    own = _before_observation(said)
    if len(own) < min(found[0] if found else len(said), concludes.start() if concludes else len(said)):
        return (_undecided(own, own),)
    if concludes and (found is None or concludes.start() < found[0]):
        thought, answer = said[: concludes.start()].removesuffix("\n"), said[concludes.end() :]
        if _GIVES_UP.fullmatch(answer):
            return (Plan(thought=thought, decision=Decision.GIVE_UP),)
        return Plan(thought=thought, decision=Decision.CONCLUDE), Answer(text=answer)
    if found:
        return Plan(thought=said[: found[0]].removesuffix("\n"), decision=Decision.CALL), found[1]
    return (_undecided(said, text),)


# --- calls --------------------------------------------------------------------------------------------


def first_call(text: str, finish: FinishReason, *, within: bool = True) -> tuple[int, Call] | None:
    """Find the first call of a reply, behind a label or in any dialect, and where it starts.

    Where none can be read, what is marked as a call, or was cut off, is one without a name. `within`: a label that
    starts no line counts, too.
    """
    found: list[tuple[int, Call]] = []
    for place in (first_marked(text, finish), find_bare(text, Bare.AT_THE_END)):
        if place is not None:
            call = _settled(place) or Call(name="", arguments=text[place.start :])
            found.append((place.start, call))
    if labelled := next(find_calls(text, finish, within=within), None):
        found.append(labelled)
    return min(found, key=lambda one: (not one[1].name, one[0]), default=None)


def _settled(found: FoundCall | None) -> Call | None:
    """The first call of a place, its name and arguments as they are read back; None where it has no name."""
    if found is None or not found.calls:
        return None
    call = found.calls[0]
    name = _name(call.name)
    if not name or find_reasoning(name).spans:
        return None
    return Call(name=name, arguments=_arguments(call.arguments))


def find_calls(text: str, finish: FinishReason, *, within: bool = True) -> Iterator[tuple[int, Call]]:
    """Find labelled calls and their start indices: those that start a line, and (`within`) then those that do not.

    The last one may be a call that LENGTH cut off before its arguments.
    """
    cut: tuple[int, Call] | None = None
    for pattern in (_ACTION, _ACTION_WITHIN) if within else (_ACTION,):
        doubled: tuple[int, Call] | None = None
        for header in islice(pattern.finditer(text), _MOST_LABELS):
            call = _read_action(text, header.start(), header.end())
            start = doubled[0] if doubled and doubled[1].name == call.name else header.start()
            doubled = None
            if call.name and finish is FinishReason.LENGTH and _ends_before_arguments(text, header.end()):
                cut = cut or (start, cut_call(text))
            elif call.name and _repeats(text, header.end(), call):
                doubled = start, call
            elif call.name:
                yield start, call
        if doubled:
            yield doubled
    if cut:
        yield cut


def _read_action(text: str, start: int, after: int) -> Call:
    """Read the call whose `Action:` is at `start:after`; nameless if no name follows."""
    exact = _EXACT.match(text, start)
    if exact and exact["name"] == _name(exact["name"]):
        call = read_call(text[start:])
        if call.arguments.strip() == _arguments(call.arguments):
            return call
    turn = _NEXT_TURN.search(text, after)
    given = _INPUT.search(text, after, turn.start() if turn else len(text))
    head = text[after : given.start() if given else turn.start() if turn else None]
    if not given and (call := _read_called(head)):
        return call
    name = _name(head)
    if not name:
        return Call(name="", arguments="")
    if given:
        return Call(name=name, arguments=_arguments(text[given.end() :]))
    _, _, rest = head.strip().partition("\n")
    return Call(name=name, arguments=_arguments(rest) if _looks_given(rest) else "{}")


def _read_called(head: str) -> Call | None:
    """Read what stands behind `Action:` where it is a whole call: an object, `NAME(...)`, `NAME {...}`, `NAME[...]`."""
    text = head.strip()
    fence = _FENCE.match(text)
    text = text[fence.end() :].lstrip() if fence else text
    called = _CALLED.match(text)
    try:
        if text.startswith("{") or _LIST.match(text):
            calls = calls_of(read_value(text, 0)[0], marked=True)
            return _settled(FoundCall(start=0, end=0, calls=calls))
        if called and called["opens"] == "(":
            name, given = read_notation(text, 0)[0][0]
            return Call(name=_name(name), arguments=write_value(given))
        if called and called["opens"] == "{":
            value, end = read_value(text, called.end() - 1)
            return Call(name=_name(called["name"]), arguments=text[called.end() - 1 : end] if value else "{}")
    except UnreadableError:
        pass
    if called and "\n" not in called[0] and (inner := text[called.end() :].strip().rstrip(")]}").strip()):
        return Call(name=_name(called["name"]), arguments=_arguments(inner))
    return None


def _repeats(text: str, after: int, call: Call) -> bool:
    """Return True if the call whose `Action:` ends at `after` stands there again, on the line below."""
    below = _BELOW.match(text, after)
    return below is not None and call.arguments == "{}" and _name(below["name"]) == call.name


def _ends_before_arguments(text: str, after: int) -> bool:
    """Return True if the call whose `Action:` ends at `after` ends the text, without any arguments."""
    if _INPUT.search(text, after) or _NEXT_TURN.search(text, after):
        return False
    called = _read_called(text[after:])
    if called is not None and called.arguments.startswith(("{", "[")):
        return _cannot_read(called.arguments)
    _, _, rest = text[after:].strip().partition("\n")
    return not _looks_given(rest)


def _cannot_read(arguments: str) -> bool:
    try:
        return read_value(arguments, 0)[1] != len(arguments)
    except UnreadableError:
        return True


def _looks_given(text: str) -> bool:
    return text.lstrip().startswith(("{", "`"))


def _name(text: str) -> str:
    doubled = _DOUBLED.match(text)
    line = text[doubled.end() :] if doubled else text.lstrip()
    name = _INPUT.split(line.partition("\n")[0])[0]
    if len(name) > _LONGEST_NAME:
        return name.strip()
    called = _CALLED.match(name.strip(_AROUND_NAME))
    if called and called["opens"] == "(":
        name = called["name"]
    while (bare := _DOUBLED.sub("", name.strip().strip(_AROUND_NAME).removesuffix("()"), count=1)) != name:
        name = bare
    return name


def _arguments(text: str) -> str:
    """The JSON object that `text` starts with, fences removed; where there is none, all up to an observation."""
    while (bare := _unwrapped(text.strip())) != text:
        text = bare
    return text


def _unwrapped(text: str) -> str:
    doubled = _DOUBLED_INPUT.match(text)
    text = text[doubled.end() :] if doubled else text
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
