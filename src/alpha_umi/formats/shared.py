r"""Shared-prefix format: tools and history first, one special token per role, so that prompts share prefixes.

    <|tools|> signatures, one per line <|end|> <|user|> query <|end|>
    then turn by turn  <|planner|> thought <|call|> <|end|>  <|caller|> name, line break, arguments <|end|>
                       <|observation|> text <|end|>  <|planner|> thought <|conclude|> <|end|>
                       <|summarizer|> answer <|end|>                      (the spaces are not written)

A prompt is everything so far and the role's token, so along a trajectory every prompt begins with the one
before, its completion and its end mark; no tokenizer that holds `special_tokens` can merge across turns.

The backbone has no layout of its own: it reads and writes the very stream of the three roles: a plan, the
end mark, the next role's token and that role's words. So the second training stage starts from prompts that
the first has seen token for token, and a whole trajectory is one training sequence for all of them. A model
that halts at the end mark has then said its plan only; the backbone's prompt after a plan that hands over
ends with that mark, and the reply starts with the token of the role it speaks for, so it parses by itself.
(A second plan straight after such a plan is the one thing that no backbone prompt can lead to.)

In text of users, tools and models `<|` is written `<\|`, `<\|` is written `<\\|` and so on, hence no text can
hold a special token. In names a backslash and a line break are written `\\` and `\n`. Every turn can be
expressed; only `Observation.status` is not shown: a model learns of a failure from what the tool said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alpha_umi.errors import FormatError
from alpha_umi.formats.dialects.reasoning import find_reasoning, without_reasoning
from alpha_umi.formats.dialects.reply import OwnCalls, read_call_of
from alpha_umi.formats.framed import FramedText, framed
from alpha_umi.formats.grammars import CODE, Calls, Spelling
from alpha_umi.formats.marks import filled, joined
from alpha_umi.formats.signatures import signature
from alpha_umi.types import (
    Answer,
    Call,
    Decision,
    Ending,
    FinishReason,
    Json,
    Observation,
    Part,
    Plan,
    Role,
    Span,
    Task,
    Turn,
    User,
)

_VERSION = 2
"""Changes with anything that changes a prompt or a completion."""
_TOOLS, _USER, _OBSERVATION, _END = "<|tools|>", "<|user|>", "<|observation|>", "<|end|>"
_PLANNER, _CALLER, _SUMMARIZER = "<|planner|>", "<|caller|>", "<|summarizer|>"
_ROLE_TOKENS = {Role.PLANNER: _PLANNER, Role.CALLER: _CALLER, Role.SUMMARIZER: _SUMMARIZER}
_DECISIONS = {Decision.CALL: "<|call|>", Decision.CONCLUDE: "<|conclude|>", Decision.GIVE_UP: "<|give_up|>"}
_DECIDED = {token: decision for decision, token in _DECISIONS.items()}
_HANDS_OVER = (Decision.CALL, Decision.CONCLUDE)
_SPECIAL = (_TOOLS, _USER, _PLANNER, _CALLER, _OBSERVATION, _SUMMARIZER, *_DECIDED, _END)
_ANY_SPECIAL = re.compile("(" + "|".join(map(re.escape, _SPECIAL)) + ")")
_OPEN = re.compile(r"<(\\*)\|")
_ESCAPED_OPEN = re.compile(r"<\\(\\*)\|")
_NAME_ESCAPE = re.compile(r"\\([\\n])")
_TEXT = r"TEXT: /([^<]|<+[^<|])*<*/"
"""Every text that escaping can yield: none with `<|` in it."""
_RESERVE = 128
"""Tokens that are kept for a backbone's call or answer."""
_PLAIN, _ESCAPED = r'[^"\\<\x00-\x1f]', rf'\\(["\\\/bfnrt]|{CODE})'
_BEHIND_OPEN = rf'([^"\\<|\x00-\x1f]|\\(["\/bfnrt]|{CODE})|\\\|)'
_STRING = rf'/"({_PLAIN}|{_ESCAPED})*(<(<|\\\\)*({_BEHIND_OPEN}({_PLAIN}|{_ESCAPED})*)?)*"/'
"""A JSON string in which a bar that follows `<` and backslashes has one backslash more."""


@dataclass(frozen=True, slots=True)
class SharedFormat:
    """Format in the shared-prefix layout of this module (`protocols.Format`)."""

    @property
    def name(self) -> str:
        return "shared"

    @property
    def end(self) -> str:
        return _END

    @property
    def special_tokens(self) -> tuple[str, ...]:
        return _SPECIAL

    @classmethod
    def from_document(cls, document: Mapping[str, Json]) -> SharedFormat:
        """Read the document. Raises FormatError for a version that this package does not write."""
        if document.get("version") != _VERSION:
            raise FormatError(
                f"format 'shared' has version {document.get('version')!r}; this package knows {_VERSION}: "
                "use the package version that made the checkpoint"
            )
        return cls()

    def to_document(self) -> dict[str, Json]:
        return {"kind": "shared", "version": _VERSION}

    def role_token(self, role: Role) -> str:
        return _ROLE_TOKENS.get(role, "")

    def render(self, role: Role, task: Task, turns: Sequence[Turn]) -> FramedText:
        tools = _escape("\n".join(signature(tool) for tool in task.tools))
        pieces = [(_TOOLS, False), (tools, True), (_END, False)]
        for turn in turns:
            pieces += [(_token(turn), False), *_pieces(turn), (_END, False)]
        return framed([*pieces, (_last_token(role, turns), False)])

    def write(self, role: Role, turns: Sequence[Turn]) -> str:
        return joined(self.spans(role, turns))

    def spans(self, role: Role, turns: Sequence[Turn]) -> tuple[Span, ...]:
        match role, tuple(turns):
            case (Role.PLANNER, (Plan() as turn,)) | (Role.BACKBONE, (Plan() as turn,)):
                return filled(_spans(turn))
            case (Role.CALLER, (Call() as turn,)) | (Role.SUMMARIZER, (Answer() as turn,)):
                return filled(_spans(turn))
            case Role.BACKBONE, (Plan() as plan, (Call() | Answer()) as turn):
                return filled((*_spans(plan), (_END + _token(turn), Part.MARK), *_spans(turn)))
            case Role.BACKBONE, ((Call() | Answer()) as turn,):
                return filled(((_token(turn), Part.MARK), *_spans(turn)))
            case _:
                kinds = ", ".join(type(turn).__name__ for turn in turns) or "nothing"
                raise FormatError(f"the {role.value} cannot say {kinds}")

    def parse(self, role: Role, text: str, finish: FinishReason = FinishReason.STOP) -> tuple[Turn, ...]:
        """Parse a completion; the text after the first misplaced special token is dropped.

        Reasoning stays in a thought, and is never read as anything else.
        """
        words, *rest = _ANY_SPECIAL.split(text)
        match role:
            case Role.PLANNER:
                return (_read_plan(words, rest, finish),)
            case Role.CALLER:
                return (_read_call(words, whole=bool(rest) or finish is FinishReason.STOP),)
            case Role.SUMMARIZER:
                return (_read_answer(words),)
            case _:
                return _read_step(words, rest, finish)

    def grammar(self, role: Role, task: Task, turns: Sequence[Turn] = ()) -> str | None:
        """Return the grammar. Role and decision tokens must be special ones of the tokenizer that it is used with."""
        calls = Calls.of(task.tools, _write, lambda text: (_read_call(text, whole=True),), _SPELLING)
        last = turns[-1] if turns else None
        match role:
            case Role.PLANNER:
                start, rules = _decisions(calls is not None), [_TEXT]
            case Role.CALLER if calls is not None:
                start, rules = "call", calls.lines("call")
            case Role.BACKBONE:
                said = last.decision if isinstance(last, Plan) else None
                start, rules = _step(said, callable=calls is not None), [_TEXT, *(calls.lines("call") if calls else ())]
            case _:
                return None
        return "\n".join([f"start: {start}", *rules])

    def stops(self, role: Role) -> tuple[str, ...]:
        """Return none: every turn ends with a token of its own."""
        return ()

    def ending(self, role: Role, task: Task, turns: Sequence[Turn] = ()) -> Ending | None:
        calls = Calls.of(task.tools, _write, lambda text: (_read_call(text, whole=True),), _SPELLING)
        last = turns[-1] if turns else None
        match role:
            case Role.PLANNER:
                tokens = _decisions(calls is not None).removeprefix("TEXT? ")
                return Ending(grammar=f"start: {tokens}", marks=tuple(_DECIDED))
            case Role.BACKBONE if not (isinstance(last, Plan) and last.decision in _HANDS_OVER):
                start = _step(None, callable=calls is not None).removeprefix("TEXT? ")
                rules = [_TEXT, *(calls.lines("call") if calls else ())]
                return Ending(grammar="\n".join([f"start: {start}", *rules]), marks=tuple(_DECIDED), reserve=_RESERVE)
            case _:
                return None


# --- turns ------------------------------------------------------------------------------------------------


def _last_token(role: Role, turns: Sequence[Turn]) -> str:
    """Last token of a prompt. The backbone's ends as the planner's, but after a plan that hands over."""
    last = turns[-1] if turns else None
    if role is Role.BACKBONE and isinstance(last, Plan) and last.decision in _HANDS_OVER:
        return ""
    return _ROLE_TOKENS.get(role, _PLANNER)


def _token(turn: Turn) -> str:
    match turn:
        case User():
            return _USER
        case Plan():
            return _PLANNER
        case Call():
            return _CALLER
        case Observation():
            return _OBSERVATION
        case Answer():
            return _SUMMARIZER


def _pieces(turn: Turn) -> Sequence[tuple[str, bool]]:
    """Texts of a turn, each with whether it is content."""
    match turn:
        case User(text=text) | Observation(content=text):
            return ((_escape(text), True),)
        case Plan(thought=thought, decision=decision):
            return (_escape(thought), True), (_DECISIONS.get(decision, ""), False)
        case Call(name=name, arguments=arguments):
            return (_escape_name(name), True), ("\n", False), (_escape(arguments), True)
        case Answer(text=text):
            return ((_escape(text), True),)


def _write(call: Call) -> str:
    return joined(_spans(call))


def _spans(turn: Plan | Call | Answer) -> tuple[Span, ...]:
    match turn:
        case Plan(thought=thought, decision=decision):
            return (_escape(thought), Part.THOUGHT), (_DECISIONS.get(decision, ""), Part.DECISION)
        case Call(name=name, arguments=arguments):
            return (_escape_name(name), Part.NAME), ("\n", Part.MARK), (_escape(arguments), Part.ARGUMENTS)
        case Answer(text=text):
            return ((_escape(text), Part.ANSWER),)


def _read_plan(words: str, rest: Sequence[str], finish: FinishReason) -> Plan:
    """Read a plan. Where its thought ends within reasoning, a decision counts only as the last token of the text."""
    decision = _DECIDED.get(rest[0], Decision.NONE) if rest else Decision.NONE
    ends = finish is FinishReason.STOP and (rest[1:] == [""] or rest[1:3] == ["", _END])
    if not ends and decision is not Decision.NONE and find_reasoning(words).is_open:
        decision = Decision.NONE
    return Plan(thought=_unescape(words), decision=decision)


def _read_answer(words: str) -> Answer:
    return Answer(text=_unescape(without_reasoning(words)))


def _read_call(words: str, *, whole: bool) -> Call:
    """Read a call. `whole`: no part of it can be missing at its end."""
    own = OwnCalls(read=lambda said: _read_own_call(said, whole=whole), unread=_unread, after_words=False)
    return read_call_of(words, FinishReason.STOP if whole else FinishReason.LENGTH, own)


def _unread(words: str) -> Call:
    return Call(name="", arguments=_unescape(words.removeprefix("\n")))


def _read_own_call(words: str, *, whole: bool) -> Call:
    name, line_break, arguments = words.partition("\n")
    if line_break:
        return Call(name=_unescape_name(name), arguments=_unescape(arguments))
    if whole and name and not re.search(r"[\s{]", name):
        return Call(name=_unescape_name(name), arguments="{}")
    return Call(name="", arguments=_unescape(words))


def _read_step(words: str, rest: Sequence[str], finish: FinishReason) -> tuple[Turn, ...]:
    """Read a plan and the turn that it asked for; that turn alone, where the text starts with a role's token."""
    plan = () if not words and rest and rest[0] in (_CALLER, _SUMMARIZER) else (_read_plan(words, rest, finish),)
    if plan and plan[0].decision is Decision.NONE and rest and rest[0] in _DECIDED:
        return plan
    for at in range(0, len(rest), 2):
        token, following = rest[at : at + 2]
        if token == _CALLER:
            return *plan, _read_call(following, whole=at + 2 < len(rest) or finish is FinishReason.STOP)
        if token == _SUMMARIZER:
            return *plan, _read_answer(following)
        if token != _END and token not in _DECIDED:
            break
    return plan


def _decisions(callable: bool) -> str:  # noqa: A002
    tokens = [token for token, decision in _DECIDED.items() if callable or decision is not Decision.CALL]
    return f"TEXT? ({' | '.join(tokens)})"


def _step(said: Decision | None, *, callable: bool) -> str:  # noqa: A002
    """Grammar of the backbone's step after a plan that decided `said`, or anywhere else (None)."""
    call, answer = f"{_CALLER} call", f"{_SUMMARIZER} TEXT?"
    match said:
        case Decision.CALL if callable:
            return call
        case Decision.CONCLUDE:
            return answer
        case _:
            called = f" | <|call|> ({_END} {call})?" if callable else ""
            return f"TEXT? (<|give_up|> | <|conclude|> ({_END} {answer})?{called})"


# --- escapes ----------------------------------------------------------------------------------------------


def _escape(text: str) -> str:
    return _OPEN.sub(r"<\\\1|", text)


def _unescape(text: str) -> str:
    return _ESCAPED_OPEN.sub(r"<\1|", text)


def _escape_name(name: str) -> str:
    return _escape(name.replace("\\", r"\\").replace("\n", r"\n"))


def _unescape_name(text: str) -> str:
    return _NAME_ESCAPE.sub(lambda found: "\n" if found[1] == "n" else "\\", _unescape(text))


_SPELLING = Spelling(string=_STRING, key=r'/"[^"\\<\x00-\x1f]*"/', literal=_escape)
