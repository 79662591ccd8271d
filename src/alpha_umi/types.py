"""Core value types: tasks, turns, trajectories, prompts and completions, which pass between the parts of the package.

Standard library only. All types are frozen: a trajectory is a tuple of turns and never changes under a
reader. Text that a model or a tool wrote is kept verbatim here and decoded late, where it is needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from typing import ClassVar, TypeAlias, cast

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


class Role(StrEnum):
    """Role of a model in an agent (paper, section 3).

    BACKBONE is one model playing all three roles in one completion.
    """

    PLANNER = "planner"
    CALLER = "caller"
    SUMMARIZER = "summarizer"
    BACKBONE = "backbone"
    CRITIC = "critic"
    """Optional: reads an answer and accepts it, or sends it back with a reason."""


class Reference(StrEnum):
    """A published code base whose behaviour `--compat` reproduces, mistakes included."""

    ALPHA_UMI = "alpha-umi"
    """X-PLUG's alpha-UMi."""
    OPENBMB = "openbmb"
    """OpenBMB's ToolBench and ToolEval."""
    STABLE = "stable"
    """StableToolBench's ToolEval."""


class Decision(StrEnum):
    """Decision of a plan: the next role or the end; NONE when the planner named neither."""

    CALL = "call"
    CONCLUDE = "conclude"
    GIVE_UP = "give_up"
    NONE = "none"


class ToolStatus(StrEnum):
    """Outcome of a tool call. Whatever a model or a tool does wrong is one of these, never an exception."""

    OK = "ok"
    UNKNOWN_TOOL = "unknown_tool"
    BAD_ARGUMENTS = "bad_arguments"
    ERROR = "error"
    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"
    DECLINED = "declined"
    """Not run: the user was asked and said no, or nobody could be asked."""


class StopReason(StrEnum):
    """Reason for the end of a trajectory. UNFINISHED: it was cut off, or recorded without an ending."""

    ANSWERED = "answered"
    GAVE_UP = "gave_up"
    LIMIT = "limit"
    CANCELLED = "cancelled"
    UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """Specification of one tool, as models read it."""

    name: str
    description: str = ""
    parameters: Mapping[str, Json] = field(default_factory=dict[str, Json])
    """JSON Schema of the arguments as declared; types may be no JSON Schema type (`DATE (YYYY-MM-DD)`)."""
    confirm: bool = False
    """True: its calls have effects, and the user is asked before one is run; models are not shown it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Query with the tools that may be used for it."""

    id: str
    query: str
    tools: tuple[ToolSpec, ...] = ()
    metadata: Mapping[str, Json] = field(default_factory=dict[str, Json])
    """Source of the task, with all that a reader must keep to write that source back unchanged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Turn of the user, or a hint that a search put between two steps."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint(User):
    """Words of a search, read in one step alone, about what was tried from there before."""

    tried: tuple[tuple[Turn, ...], ...]
    """The turns of each of the earlier steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Review(User):
    """Turn of the critic: it accepts an answer, or sends it back; to the other roles its reason is the user's words."""

    accepted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Turn of the planner. With Decision.NONE `thought` is all it wrote."""

    thought: str
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Turn of the caller: a tool call.

    An empty `name`: the text names no tool, or ended within the name; `arguments` holds it.
    """

    name: str
    arguments: str
    """JSON text exactly as written; it may fail to parse."""
    confidence: float | None = field(default=None, compare=False)
    """Mean log probability (nats, at most 0) that the model itself gave the call's tokens, without those that a grammar
    left no choice of; None where it is not known. No part of what a call is: calls are equal without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Turn of a tool: its reply to a call."""

    content: str
    status: ToolStatus = ToolStatus.OK
    mends: tuple[str, ...] = ()
    """Changes that the call's arguments needed to be read, one sentence each; models are not shown them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Turn of the summarizer: the final answer to the user."""

    text: str


Turn: TypeAlias = User | Plan | Call | Observation | Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Usage of models in tokens and completions; usages can be added.

    Raises ValueError for what is no count: none is negative or above `most`, and a sum stays at `most`.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    completions: int = 0
    most: ClassVar[int] = 10**15

    def __post_init__(self) -> None:
        for count in (self.prompt_tokens, self.completion_tokens, self.completions):
            if type(count) is not int or not 0 <= count <= self.most:
                raise ValueError(
                    f"a usage counts whole numbers from 0 to {self.most:.0e}, which {_shown(count)} is not"
                )

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            prompt_tokens=min(self.prompt_tokens + other.prompt_tokens, self.most),
            completion_tokens=min(self.completion_tokens + other.completion_tokens, self.most),
            completions=min(self.completions + other.completions, self.most),
        )


def _shown(count: object) -> str:
    if type(count) is int and abs(count) > Usage.most:
        return "one far larger" if count > 0 else "one far smaller"
    return repr(count)[:40]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Proposal of an agent: its next turns, and the usage that they took."""

    turns: tuple[Turn, ...]
    """A plan; then, where it decided so, the answer or the call, or several calls to be run one after the other."""
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """Trajectory of turns through one task: the record of every dataset, rollout, branch and log."""

    task: Task
    turns: tuple[Turn, ...]
    stop: StopReason = StopReason.UNFINISHED
    usage: Usage = field(default_factory=Usage)

    @property
    def final_turn(self) -> Turn | None:
        """The last turn, a review of it aside."""
        return next((turn for turn in reversed(self.turns) if not isinstance(turn, Review)), None)

    @property
    def answer(self) -> str | None:
        """Text of the answer that ends the trajectory; None where it ends otherwise."""
        last = self.final_turn
        return last.text if isinstance(last, Answer) else None

    @property
    def calls(self) -> tuple[Call, ...]:
        """All tool calls, in order."""
        return tuple(turn for turn in self.turns if isinstance(turn, Call))

    def _repr_html_(self) -> str:
        """HTML for notebooks; what writes it is imported when it is needed."""
        return import_module("alpha_umi.report.notebook").write_trajectory(self)

    def to_json(self) -> dict[str, Json]:
        """Convert to a readable JSON object: query, turns, answer, stop and usage; `store` writes the lossless record.

        Every turn has a `kind` (user, plan, call, observation, answer). Arguments of a call are an object; what a
        model wrote that is no JSON object stays text.
        """
        return {
            "query": self.task.query,
            "turns": [_turn_json(turn) for turn in self.turns],
            "answer": self.answer,
            "stop": self.stop.value,
            "usage": {
                "prompt_tokens": self.usage.prompt_tokens,
                "completion_tokens": self.usage.completion_tokens,
                "completions": self.usage.completions,
            },
        }


def _turn_json(turn: Turn) -> dict[str, Json]:
    match turn:
        case Review(text=text, accepted=accepted):
            return {"kind": "review", "content": text, "accepted": accepted}
        case User(text=text):
            return {"kind": "user", "content": text}
        case Plan(thought=thought, decision=decision):
            return {"kind": "plan", "content": thought, "decision": decision.value}
        case Call(name=name, arguments=arguments, confidence=confidence):
            sure: dict[str, Json] = {} if confidence is None else {"confidence": confidence}
            return {"kind": "call", "name": name, "arguments": _object_or_text(arguments), **sure}
        case Observation(content=content, status=status, mends=mends):
            mended: dict[str, Json] = {"mends": list(mends)} if mends else {}
            return {"kind": "observation", "content": content, "status": status.value, **mended}
        case Answer(text=text):
            return {"kind": "answer", "content": text}


def _object_or_text(text: str) -> Json:
    try:
        value: object = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return text
    return cast("dict[str, Json]", value) if isinstance(value, dict) else text


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Chat message, as chat completion endpoints take them. `role`: system, user, assistant or tool."""

    role: str
    content: str
    calls: tuple[Call, ...] = ()
    """Calls of an assistant's message in native function calling; a tool message for each follows, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPrompt:
    """Chat messages with the tools beside them, for native function calling.

    Its completion is the text that `formats.native.write_reply` makes of the content and the calls.
    """

    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = field(default=(), hash=False)


Prompt: TypeAlias = str | tuple[Message, ...] | ToolPrompt
"""Prompt of a model: text, or chat messages where the format is a chat."""


class Part(StrEnum):
    """Part of a completion, by which losses are weighted."""

    THOUGHT = "thought"
    DECISION = "decision"
    NAME = "name"
    """Of the tool that is called."""
    ARGUMENTS = "arguments"
    ANSWER = "answer"
    MARK = "mark"
    """Labels and separators that the format itself writes."""


Span: TypeAlias = tuple[str, Part]
"""Some text of a completion and what it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """Supervised example. The loss falls on `completion` alone."""

    role: Role
    prompt: Prompt
    completion: str
    """Without the format's end mark, which tokenization appends."""


class FinishReason(StrEnum):
    """Reason for the end of a completion. STOP: an end mark or a stop string; LENGTH: the token limit."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Ending that is forced on a completion which does not come to it within its tokens."""

    grammar: str
    """Of the rest of the completion."""
    marks: tuple[str, ...]
    """Texts of which one stands in a completion that has come to its ending."""
    reserve: int = 32
    """Tokens that are kept for it; at most half of all."""

    def budget(self, tokens: int) -> int:
        """Tokens of what comes before the ending, out of all."""
        return tokens - min(self.reserve, tokens // 2)

    def is_in(self, text: str) -> bool:
        """Return True if a completion has come to its ending."""
        return any(mark in text for mark in self.marks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Sampling parameters. Temperature 0 is greedy and deterministic."""

    temperature: float = 0.0
    top_p: float = 1.0
    """Draw from the likeliest tokens alone that hold this much probability together."""
    max_tokens: int = 512
    stop: tuple[str, ...] = ()
    seed: int | None = None
    top_k: int | None = None
    """Draw from this many likeliest tokens alone."""
    min_p: float | None = None
    """Draw from tokens alone that are at least this likely, as a share of the likeliest."""
    repetition_penalty: float = 1.0
    """Above 1: tokens of the prompt and the completion so far lose (Keskar and others, 2019); as in transformers."""
    repetition_limit: int | None = None
    """No run of this many tokens is written twice in a completion."""
    logprobs: bool = False
    """True: the completion has the log probabilities of its tokens."""
    top_logprobs: int = 0
    """So many likeliest tokens are told with each of its tokens, where `logprobs` are."""
    choice_logprobs: bool = False
    """True: the completion has the log probabilities of the tokens that the model chose, which cost no forward; those
    that a grammar forces have none. Of local models alone."""
    grammar: str | None = None
    """A Lark grammar in the dialect of llguidance that the completion is held to."""
    ending: Ending | None = None
    """Forced where the grammar's own ending does not come in time; None: the completion may run out of tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprob:
    """Log probability of a written token: the natural logarithm of the probability that the model itself gave it."""

    text: str
    """Of this token alone; a part of a character is shown as U+FFFD."""
    logprob: float | None
    """Before temperature, cuts, penalties and grammar; None for a token that the grammar forced (`choice_logprobs`)."""
    id: int | None = None
    """None where an endpoint does not tell it."""
    likeliest: tuple[tuple[str, float], ...] = ()
    """The tokens that the model gave most, with their logarithms; where `top_logprobs` asks for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """Completion of a prompt, without the stop string that ended it."""

    text: str
    finish: FinishReason
    usage: Usage = field(default_factory=Usage)
    logprobs: tuple[TokenLogprob, ...] | None = None
    """Every token that was written, the end token and those of a stop string too; None where not requested."""
    cached_tokens: int = field(default=0, compare=False)
    """Tokens of the prompt that were found in a cache; 0 where that is not known."""
