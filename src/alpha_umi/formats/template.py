"""Template format, described by data: templates, suffixes, turn wrappers and marks, read from a JSON document.

The published checkpoints know prompts of this kind. `variant` chooses between the prompts they were trained
on and the prompts they were evaluated with, `filling` between filling a template once and the published
chain of replacements, which also fills placeholders that a document or an observation happens to contain.

A backbone completion joins a stripped thought to what follows it, so a thought is expressible there only
when it has no outer whitespace and none of the texts that start a call or a conclusion.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import cast

from alpha_umi.errors import FormatError
from alpha_umi.formats.dialects.calls import first_marked
from alpha_umi.formats.dialects.reasoning import masked, without_reasoning
from alpha_umi.formats.dialects.reply import OwnCalls, read_call_of
from alpha_umi.formats.documents import write_document
from alpha_umi.formats.framed import FramedText, as_content, concat, cut, substitute
from alpha_umi.formats.grammars import Calls, decision, one_decision, one_step, quoted, without
from alpha_umi.formats.marks import ACTION, Marks, call_spans, filled, find_call, joined, parse_call, write_call
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
    ToolSpec,
    Turn,
    User,
)

_RESERVE = 128
"""Tokens that are kept for a backbone's call or answer."""
_PLACEHOLDER = re.compile(r"\{(doc|history|thought|tool_names)\}")
_TARGET_PART = re.compile(r"\{(thought|call|answer)[^}]*\}")
_STEP_PART = re.compile(r"\{(?:target|text)\}")


class Variant(StrEnum):
    """Variant of the published prompts: EVALUATION as they are, TRAINING with the trainer's prefix before them."""

    EVALUATION = "evaluation"
    TRAINING = "training"


class Filling(StrEnum):
    """Filling of placeholders: ONCE, or by the published CHAINED replacements (bugs included)."""

    ONCE = "once"
    CHAINED = "chained"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """The backbone's completion for one decision: `before` thought `middle` rest `after`."""

    before: str
    middle: str
    after: str

    def write(self, thought: str, rest: str) -> str:
        return f"{self.before}{thought}{self.middle}{rest}{self.after}"

    def spans(self, thought: str, rest: Sequence[Span]) -> tuple[Span, ...]:
        """Spans of a completion.

        The text around its parts is a label, or the decision where no part follows the thought.
        """
        labels = Part.MARK if rest else Part.DECISION
        return (self.before, Part.MARK), (thought, Part.THOUGHT), (self.middle, labels), *rest, (self.after, labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateFormat:
    """Format over templates of a document (`protocols.Format`); `from_document` makes one."""

    name: str
    end: str
    templates: Mapping[Role, str]
    suffixes: Mapping[Role, str]
    wrappers: Mapping[str, str]
    """Turn wrappers by kind (user, planner, caller, observation, summarizer), each with `{text}`."""
    step_wrappers: Mapping[str, str]
    """The backbone's wrappers (user, step, observation)."""
    targets: Mapping[Decision, _Target]
    marks: Marks
    prefix: str = ""
    variant: Variant = Variant.EVALUATION
    filling: Filling = Filling.ONCE
    document: Mapping[str, Json]

    @property
    def special_tokens(self) -> tuple[str, ...]:
        return ()

    @classmethod
    def from_document(cls, document: Mapping[str, Json]) -> TemplateFormat:
        """Read a document of the published shape. Raises FormatError naming the key that is wrong."""
        reader = _Reader(document)
        roles = {role: role.value for role in Role if role.value in reader.mapping("templates")}
        if not roles:
            raise FormatError(f"'templates' names no role; known roles: {', '.join(role.value for role in Role)}")
        backbone = Role.BACKBONE in roles
        return cls(
            name=reader.text("name"),
            end=reader.text("target_end"),
            templates={role: reader.text("templates", key) for role, key in roles.items()},
            suffixes={role: reader.text("suffixes", key) for role, key in roles.items()},
            wrappers={kind: reader.text("turns", kind) for kind in _KINDS},
            step_wrappers={kind: reader.text("backbone_turns", kind) for kind in _STEP_KINDS} if backbone else {},
            targets=_read_targets(reader) if backbone else {},
            marks=Marks(decisions={kind: reader.text("decision_marks", kind.value) for kind in _DECIDED}),
            prefix=cast("str", document.get("training_prefix") or ""),
            variant=Variant(cast("str", document.get("variant", Variant.EVALUATION.value))),
            document=document,
        )

    def to_document(self) -> dict[str, Json]:
        """Return the document from which `from_document` makes this format, its variant included."""
        return {**self.document, "variant": self.variant.value}

    def using(self, *, variant: Variant | None = None, filling: Filling | None = None) -> TemplateFormat:
        """Return the same format in another variant or with the other filling."""
        return replace(self, variant=variant or self.variant, filling=filling or self.filling)

    # --- prompts --------------------------------------------------------------------------------------

    def role_token(self, role: Role) -> str:
        return ""

    def render(self, role: Role, task: Task, turns: Sequence[Turn]) -> FramedText:
        if role not in self.templates:
            known = ", ".join(known.value for known in self.templates)
            raise FormatError(f"format {self.name!r} has no template for role {role.value!r}; it has {known}")
        steps = role is Role.BACKBONE
        history = concat(self._steps(turns) if steps else map(self._wrap, turns))
        values = {
            "doc": as_content(_documents(task.tools)),
            "tool_names": as_content(", ".join(_names(task.tools))),
            "history": history,
            "thought": self._last_thought(turns),
        }
        prefix = self.prefix if self.variant is Variant.TRAINING else ""
        return concat((prefix, _FILLINGS[self.filling](self.templates[role], values), self.suffixes[role]))

    def _wrap(self, turn: Turn) -> FramedText:
        match turn:
            case User(text=text):
                return _fill(self.wrappers["user"], as_content(text))
            case Plan():
                return _fill(self.wrappers["planner"], self.marks.write_plan(turn))
            case Call():
                return _fill(self.wrappers["caller"], write_call(turn))
            case Observation(content=content):
                return _fill(self.wrappers["observation"], as_content(content))
            case Answer(text=text):
                return _fill(self.wrappers["summarizer"], as_content(text))

    def _last_thought(self, turns: Sequence[Turn]) -> str:
        last = next((turn for turn in reversed(turns) if isinstance(turn, Plan)), None)
        return self.marks.write_plan(last) if last else ""

    def _steps(self, turns: Sequence[Turn]) -> Iterator[FramedText]:
        """History of the backbone: a plan and the turn that it asked for are one utterance."""
        rest = list(turns)
        while rest:
            turn = rest.pop(0)
            match turn:
                case User(text=text):
                    yield _fill(self.step_wrappers["user"], as_content(text))
                case Observation(content=content):
                    yield _fill(self.step_wrappers["observation"], as_content(content))
                case Plan():
                    step: list[Turn] = [turn]
                    if rest and isinstance(rest[0], Call | Answer):
                        step.append(rest.pop(0))
                    yield _fill(self.step_wrappers["step"], self._write_step(step))
                case Call() | Answer():
                    orphan = Plan(thought="", decision=_decided_by(turn))
                    yield _fill(self.step_wrappers["step"], self._write_step([orphan, turn]))

    # --- completions ----------------------------------------------------------------------------------

    def write(self, role: Role, turns: Sequence[Turn]) -> str:
        return joined(self.spans(role, turns))

    def spans(self, role: Role, turns: Sequence[Turn]) -> tuple[Span, ...]:
        match role, tuple(turns):
            case Role.PLANNER, (Plan() as plan,):
                return filled(self.marks.plan_spans(plan))
            case Role.CALLER, (Call() as call,):
                return filled(call_spans(call))
            case Role.SUMMARIZER, (Answer(text=text),):
                return filled(((text, Part.ANSWER),))
            case Role.BACKBONE, (Plan(), *_):
                return filled(self._step_spans(turns))
            case _:
                kinds = ", ".join(type(turn).__name__ for turn in turns) or "nothing"
                raise FormatError(f"the {role.value} cannot say {kinds}")

    def _write_step(self, turns: Sequence[Turn]) -> FramedText:
        return joined(self._step_spans(turns))

    def _step_spans(self, turns: Sequence[Turn]) -> tuple[Span, ...]:
        plan = cast("Plan", turns[0])
        said = turns[1] if len(turns) > 1 else None
        if self.filling is Filling.CHAINED and self.marks.decisions[Decision.GIVE_UP] in self.marks.write_plan(plan):
            said, decision = None, Decision.GIVE_UP
        else:
            decision = _decided_by(said) if said else plan.decision
        thought = self._plain_thought(plan, decision)
        match said:
            case Call():
                return self.targets[Decision.CALL].spans(thought, call_spans(said))
            case Answer(text=text):
                return self.targets[Decision.CONCLUDE].spans(thought, ((text, Part.ANSWER),))
            case _ if decision is Decision.GIVE_UP:
                return self.targets[Decision.GIVE_UP].spans(thought, ())
            case _:
                return self.marks.plan_spans(plan)

    def _plain_thought(self, plan: Plan, decision: Decision) -> str:
        if self.filling is Filling.ONCE or decision not in self.marks.decisions:
            return plan.thought.strip()
        return self.marks.write_plan(plan).replace(self.marks.decisions[decision], "").strip()

    def parse(self, role: Role, text: str, finish: FinishReason = FinishReason.STOP) -> tuple[Turn, ...]:
        """Parse a completion. Reasoning in it stays in the thought, and is never read as anything else."""
        match role:
            case Role.PLANNER:
                return (self.marks.parse_plan(text),)
            case Role.CALLER:
                own = OwnCalls(read=lambda said: parse_call(said, finish), unread=_nameless, after_words=True)
                return (read_call_of(text, finish, own),)
            case Role.SUMMARIZER:
                return (Answer(text=without_reasoning(text)),)
            case _:
                return self._parse_step(text, finish)

    def _parse_step(self, text: str, finish: FinishReason) -> tuple[Turn, ...]:
        said = masked(text)
        gives_up = self.targets[Decision.GIVE_UP].write("", "")
        if said.rstrip().endswith(gives_up.rstrip()):
            return (Plan(thought=text.rstrip().removesuffix(gives_up.rstrip()), decision=Decision.GIVE_UP),)
        concludes, calls = self.targets[Decision.CONCLUDE].middle, self.targets[Decision.CALL].middle
        at_conclusion, at_call = said.find(concludes), find_call(said)
        if at_conclusion >= 0 and (at_call < 0 or at_conclusion < at_call):
            plan = Plan(thought=text[:at_conclusion], decision=Decision.CONCLUDE)
            return plan, Answer(text=without_reasoning(text[at_conclusion + len(concludes) :]))
        if at_call >= 0:
            thought = text[:at_call].removesuffix(calls)
            return Plan(thought=thought, decision=Decision.CALL), parse_call(text[at_call:], finish)
        plan = self.marks.parse_plan(text)
        if plan.decision is Decision.GIVE_UP:
            return (plan,)
        found = first_marked(said, finish)
        if found is None:
            return (Plan(thought=text, decision=Decision.NONE),)
        call = found.calls[0] if found.calls else _nameless(text[found.start :])
        return Plan(thought=text[: found.start].rstrip(), decision=Decision.CALL), call

    def grammar(self, role: Role, task: Task, turns: Sequence[Turn] = ()) -> str | None:
        calls = Calls.of(task.tools, write_call, lambda text: (parse_call(text),))
        match role:
            case Role.PLANNER:
                marks = self.marks.told(callable=calls is not None)
                return one_decision(marks) if marks else None
            case Role.CALLER if calls is not None:
                return "\n".join(["start: call", *calls.lines("call")])
            case Role.BACKBONE if role in self.templates:
                marks = (quoted(ACTION.rstrip()), quoted(self.targets[Decision.CONCLUDE].middle))
                return self._step_grammar(calls, without(marks))
            case _:
                return None

    def stops(self, role: Role) -> tuple[str, ...]:
        """Return none: models that were trained on a template end by themselves."""
        return ()

    def ending(self, role: Role, task: Task, turns: Sequence[Turn] = ()) -> Ending | None:
        calls = Calls.of(task.tools, write_call, lambda text: (parse_call(text),))
        match role:
            case Role.PLANNER:
                marks = self.marks.told(callable=calls is not None)
                return decision(marks) if marks else None
            case Role.BACKBONE if role in self.templates:
                grammar = self._step_grammar(calls, '""')
                given_up, concluded = self.targets[Decision.GIVE_UP], self.targets[Decision.CONCLUDE].middle
                marks = (ACTION.rstrip(), concluded, given_up.middle + given_up.after)
                return None if grammar is None else Ending(grammar=grammar, marks=marks, reserve=_RESERVE)
            case _:
                return None

    def _step_grammar(self, calls: Calls | None, free: str) -> str | None:
        """Grammar of a backbone's step whose thought is `free`, a part of a terminal."""
        calling, concluding, giving_up = (self.targets[decision] for decision in _DECIDED)
        if not concluding.middle:
            return None  # nothing tells a thought from an answer

        def ends(target: _Target, mark: str) -> str:
            return f"{quoted(target.before)} {free} {quoted(target.middle + mark)}"

        endings = [(ends(concluding, ""), f"TEXT? {quoted(concluding.after)}")]
        if calls is not None:
            endings.append((ends(calling, ACTION), f"call {quoted(calling.after)}"))
        if not giving_up.middle.startswith(concluding.middle):  # else it is an answer like any other
            endings.append((ends(giving_up, giving_up.after), ""))
        return one_step(endings, calls.lines("call", ACTION) if calls is not None else ())


# --- reading a document -------------------------------------------------------------------------------

_KINDS = ("user", "planner", "caller", "observation", "summarizer")
_STEP_KINDS = ("user", "step", "observation")
_DECIDED = (Decision.CALL, Decision.CONCLUDE, Decision.GIVE_UP)


@dataclass(frozen=True, slots=True)
class _Reader:
    document: Mapping[str, Json]

    def mapping(self, key: str) -> Mapping[str, Json]:
        value = self.document.get(key)
        if not isinstance(value, dict):
            raise FormatError(f"a template format needs an object under {key!r}")
        return value

    def text(self, key: str, inner: str | None = None) -> str:
        where = repr(key) if inner is None else f"{key!r}.{inner!r}"
        value = self.document.get(key) if inner is None else self.mapping(key).get(inner)
        if not isinstance(value, str):
            raise FormatError(f"a template format needs text under {where}")
        return value


def _read_targets(reader: _Reader) -> dict[Decision, _Target]:
    targets = reader.mapping("backbone_turns").get("target")
    if not isinstance(targets, dict):
        raise FormatError("a template format needs an object under 'backbone_turns'.'target'")
    return {decision: _read_target(decision, targets.get(decision.value)) for decision in _DECIDED}


def _read_target(decision: Decision, text: Json) -> _Target:
    # The published description spells line breaks in targets as backslash and n; learned documents do not.
    parts = _TARGET_PART.split(text.replace("\\n", "\n")) if isinstance(text, str) else []
    names, texts = parts[1::2], parts[0::2]
    wanted = {Decision.CALL: ["thought", "call"], Decision.CONCLUDE: ["thought", "answer"]}.get(decision, ["thought"])
    if names != wanted:
        places = " then ".join(f"{{{name}}}" for name in wanted)
        raise FormatError(f"'backbone_turns'.'target'.{decision.value!r} must hold {places}; it is {text!r}")
    return _Target(before=texts[0], middle=texts[1], after=texts[2] if len(texts) > 2 else "")


# --- filling ------------------------------------------------------------------------------------------


def _fill_once(template: str, values: Mapping[str, str]) -> FramedText:
    return substitute(_PLACEHOLDER, template, lambda found: values[found[1]])


def _fill_chained(template: str, values: Mapping[str, str]) -> FramedText:
    text = cut(template, 0, len(template))
    for name in ("doc", "tool_names", "history", *(["thought"] if "{thought}" in template else [])):
        text = substitute(re.compile(rf"\{{{name}\}}"), text, partial(_chained_value, text, values[name]))
    return text


def _chained_value(text: FramedText, value: str, found: re.Match[str]) -> str:
    """Value of a placeholder; content that holds one is given the value as content."""
    in_frame = any(start <= found.start() and found.end() <= stop for start, stop in text.frame)
    return value if in_frame else as_content(value)


_FILLINGS: Mapping[Filling, Callable[[str, Mapping[str, str]], FramedText]] = {
    Filling.ONCE: _fill_once,
    Filling.CHAINED: _fill_chained,
}


def _fill(wrapper: str, text: FramedText) -> FramedText:
    return substitute(_STEP_PART, wrapper, lambda _: text)


def _documents(tools: Sequence[ToolSpec]) -> str:
    return "".join(json.dumps(write_document(tool)) + "\n" for tool in tools)


def _names(tools: Sequence[ToolSpec]) -> Iterator[str]:
    return (tool.name for tool in tools)


def _nameless(text: str) -> Call:
    return Call(name="", arguments=text)


def _decided_by(turn: Turn) -> Decision:
    return Decision.CALL if isinstance(turn, Call) else Decision.CONCLUDE
