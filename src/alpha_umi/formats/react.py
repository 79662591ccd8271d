"""ReAct format of ToolLLaMA: one model writes thought, action and input in one completion; `Finish` ends the task.

Everything around the turns is data, so that a document can carry the prompt that a published checkpoint knows; the
labels within a step are fixed, since they are how such models are recognised. Law: a step that is written is read
back, if its thought has no line that reads as an action and its call has a name of one line, which is not `Finish`,
and arguments that are one JSON object.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import zip_longest
from typing import cast

from alpha_umi.errors import FormatError
from alpha_umi.formats.dialects.reasoning import find_reasoning, without_frame, without_reasoning
from alpha_umi.formats.documents import write_document, write_function
from alpha_umi.formats.finish import FINISH, FINISH_TOOL, finish_spans, read_finish
from alpha_umi.formats.framed import FramedText, as_content, concat, substitute
from alpha_umi.formats.marks import COLON, filled, joined
from alpha_umi.formats.replies import first_call
from alpha_umi.types import (
    Answer,
    Call,
    Decision,
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

KIND = "react"
_ACTION, _INPUT = "\nAction: ", "\nAction Input: "
_WHOLE = re.compile(r"^Action: [^\n]+\nAction Input: ", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\{(tools|tool_names|history)\}")
_TEXT = re.compile(r"\{text\}")
_LOOSE_THOUGHT = re.compile(rf"(?:\s*+[*_`]*+Thought{COLON}\s*+)++", re.IGNORECASE)
_LABEL_LINE = re.compile(rf"[ \t>*_#`-]*+Action{COLON}", re.IGNORECASE)

_TEMPLATE = """\
You serve the user's request with tools, one step at a time. A step is written in exactly three lines:
Thought: what is settled, what is missing, and what to do next
Action: the name of one tool
Action Input: one JSON object on one line with the arguments that the tool declares; {} if it takes none
Then stop: the observation comes from the tool, and you never write one yourself. Take every value from the request or \
from an observation. If a call failed, change something before you try again, or use another tool.

A task ends with the tool Finish and nothing else. Once the request is settled:
Action Input: {"return_type": "give_answer", "final_answer": "the complete answer for the user"}
If no tool can help any more:
Action Input: {"return_type": "give_up_and_restart"}

The tools:
{tools}
Action is one of: {tool_names}

{history}Assistant: """


class ToolText(StrEnum):
    """Listing of tools in the prompt: ToolBench's documents or functions on a line each, or one list of functions.

    PYTHON is that list as Python prints it, which is what ToolLLaMA was trained on.
    """

    DOCUMENTS = "documents"
    FUNCTIONS = "functions"
    LIST = "list"
    PYTHON = "python"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Layout of a ReAct prompt: all text around the turns."""

    template: str = _TEMPLATE
    """With `{history}`, and `{tools}` and `{tool_names}` where they are shown."""
    user: str = "User: {text}\n"
    step: str = "Assistant: {text}\n"
    observation: str = "Observation: {text}\n"
    thought: str = "Thought: "
    """Text at the start of a step."""
    tools: ToolText = ToolText.FUNCTIONS
    finish: Mapping[str, Json] = field(default_factory=lambda: write_function(FINISH_TOOL), hash=False)
    """Entry of `Finish` after the tools, as a function or a document; empty: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReActFormat:
    """ReAct format for the backbone alone (`protocols.Format`); `from_document` makes one from a document."""

    name: str = KIND
    end: str = ""
    """Empty: whatever the tokenizer ends texts with."""
    layout: Layout = field(default_factory=Layout)

    @property
    def special_tokens(self) -> tuple[str, ...]:
        return ()

    @classmethod
    def from_document(cls, document: Mapping[str, Json]) -> ReActFormat:
        """Read what `to_document` wrote; what is left out is built in. Raises FormatError naming the key."""
        known = ("kind", "name", "end", "template", "turns", "thought", "tools", "finish")
        if unknown := set(document) - set(known):
            raise FormatError(f"a react format knows no key {min(unknown)!r}; its keys: {', '.join(known)}")
        turns = document.get("turns", {})
        if not isinstance(turns, dict) or set(turns) - set(_WRAPPED):
            raise FormatError(f"a react format needs an object under 'turns' with texts for {', '.join(_WRAPPED)}")
        for kind, wrapper in turns.items():
            if not isinstance(wrapper, str) or "{text}" not in wrapper:
                raise FormatError(f"'turns'.{kind!r} must be text with {{text}} in it; it is {wrapper!r}")
        texts = {key: document[key] for key in ("name", "end", "template", "thought") if key in document}
        if wrong := [key for key, text in texts.items() if not isinstance(text, str)]:
            raise FormatError(f"a react format needs text under {wrong[0]!r}")
        if "{history}" not in cast("str", texts.get("template", _TEMPLATE)):
            raise FormatError("a react format's 'template' has no {history}")
        shown, finish = document.get("tools", ToolText.FUNCTIONS.value), document.get("finish", Layout().finish)
        if shown not in list(ToolText):
            raise FormatError(f"a react format's 'tools' is {shown!r}; known: {', '.join(ToolText)}")
        if not isinstance(finish, Mapping):
            raise FormatError("a react format needs an object under 'finish'; {} where Finish is not told")
        around = {key: text for key, text in texts.items() if key in ("template", "thought")} | turns
        layout = Layout(**cast("dict[str, str]", around), tools=ToolText(cast("str", shown)), finish=finish)
        named = {key: text for key, text in texts.items() if key in ("name", "end")}
        return cls(**cast("dict[str, str]", named), layout=layout)

    def to_document(self) -> dict[str, Json]:
        layout = self.layout
        return {
            "kind": KIND,
            "name": self.name,
            "end": self.end,
            "template": layout.template,
            "turns": {kind: cast("str", getattr(layout, kind)) for kind in _WRAPPED},
            "thought": layout.thought,
            "tools": layout.tools.value,
            "finish": dict(layout.finish),
        }

    # --- prompts --------------------------------------------------------------------------------------

    def role_token(self, role: Role) -> str:
        return ""

    def render(self, role: Role, task: Task, turns: Sequence[Turn]) -> FramedText:
        """Render the prompt. Raises FormatError for a role other than the backbone."""
        self._check(role)
        values = {
            "tools": as_content(self._tools(task.tools)),
            "tool_names": as_content(", ".join((*(tool.name for tool in task.tools), FINISH))),
            "history": concat(self._history(turns)),
        }
        return substitute(_PLACEHOLDER, self.layout.template, lambda found: values[found[1]])

    def _check(self, role: Role) -> None:
        if role is not Role.BACKBONE:
            raise FormatError(f"format {self.name!r} is for one model that does all; it has no {role.value}")

    def _tools(self, tools: Sequence[ToolSpec]) -> str:
        write = write_document if self.layout.tools is ToolText.DOCUMENTS else write_function
        told = [*map(write, tools), *([dict(self.layout.finish)] if self.layout.finish else [])]
        match self.layout.tools:
            case ToolText.LIST:
                return json.dumps(told, ensure_ascii=False)
            case ToolText.PYTHON:
                return str(told)
            case ToolText.DOCUMENTS | ToolText.FUNCTIONS:
                return "\n".join(json.dumps(each, ensure_ascii=False) for each in told)

    def _history(self, turns: Sequence[Turn]) -> Iterator[FramedText]:
        """Text of the turns; a plan and the turn that it asked for are one step."""
        layout = self.layout
        for before, turn, after in zip_longest((None, *turns), turns, turns[1:]):
            match turn:
                case User(text=text):
                    yield _wrap(layout.user, as_content(text))
                case Observation(content=content):
                    yield _wrap(layout.observation, as_content(content))
                case Plan(thought=thought) if not isinstance(after, Call | Answer):
                    yield _wrap(layout.step, joined(self._spans(thought, turn)))
                case Call() | Answer():
                    thought = before.thought if isinstance(before, Plan) else ""
                    yield _wrap(layout.step, joined(self._spans(thought, turn)))
                case _:
                    pass

    # --- completions ----------------------------------------------------------------------------------

    def write(self, role: Role, turns: Sequence[Turn]) -> str:
        return joined(self.spans(role, turns))

    def spans(self, role: Role, turns: Sequence[Turn]) -> tuple[Span, ...]:
        self._check(role)
        match tuple(turns):
            case (Plan() as plan,):
                return filled(self._spans(plan.thought, plan))
            case (Plan(thought=thought), (Call() | Answer()) as turn):
                return filled(self._spans(thought, turn))
            case _:
                kinds = ", ".join(type(turn).__name__ for turn in turns) or "nothing"
                raise FormatError(f"the {role.value} cannot say {kinds}")

    def _spans(self, thought: str, turn: Plan | Call | Answer) -> tuple[Span, ...]:
        spans: tuple[Span, ...] = ((self.layout.thought, Part.MARK), (thought, Part.THOUGHT))
        match turn:
            case Call(name="", arguments=text):
                return (*spans, ("\n", Part.MARK), (text, Part.ARGUMENTS))
            case Call(name=name, arguments=arguments):
                given: tuple[Span, ...] = ((arguments, Part.ARGUMENTS),)
                named = name, Part.NAME
            case Answer() | Plan(decision=Decision.GIVE_UP):
                given, named = finish_spans(turn), (FINISH, Part.DECISION)
            case Plan():
                return spans
        return *spans, (_ACTION, Part.MARK), named, (_INPUT, Part.MARK), *given

    def parse(self, role: Role, text: str, finish: FinishReason = FinishReason.STOP) -> tuple[Turn, ...]:
        """Parse leniently: the first action counts, one with an input before others; the text after it is dropped.

        Reasoning is no part of a step, and a call of another dialect is an action.
        """
        said = without_frame(without_reasoning(text))
        whole = _WHOLE.search(said)
        found = first_call(said[whole.start() :] if whole else said, finish)
        if found is None:
            thought = self._read_thought(said)
            if not thought.strip() and find_reasoning(text).is_open:
                thought = self._read_thought(text)
            return (Plan(thought=thought, decision=Decision.NONE),)
        at = found[0] + (whole.start() if whole else 0)
        return read_finish(self._read_thought(_before_labels(said, at, found[1].name)), found[1], finish)

    def _read_thought(self, text: str) -> str:
        if text.startswith(self.layout.thought):
            return text.removeprefix(self.layout.thought)
        label = _LOOSE_THOUGHT.match(text)
        return text[label.end() :] if label else text

    def grammar(self, role: Role, task: Task, turns: Sequence[Turn] = ()) -> str | None:
        """Return None: the baseline is not constrained."""
        return None


_WRAPPED = ("user", "step", "observation")


def _wrap(wrapper: str, text: FramedText) -> FramedText:
    return substitute(_TEXT, wrapper, lambda _: text)


def _before_labels(text: str, at: int, name: str) -> str:
    """Thought that ends at `at`, without lines that are the label of the call `name` behind it once more."""
    end = at
    while (start := text.rfind("\n", 0, max(end - 1, 0)) + 1) < end:
        label = _LABEL_LINE.match(text, start, end)
        if label is None or text[label.end() : end].strip(" \t\r\n*_`'\"") not in ("", name):
            break
        end = start
    return text[:end].removesuffix("\n")
