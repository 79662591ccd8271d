"""Problems of the functions world: exchanges of user and agent, the tools offered, and what calls find and change.

What a call finds is a function of the task, the need and the arguments, and of the calls before it on the same branch:
they are run again each time, so a fork needs no copy of anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from alpha_umi.arguments import Fault, read_arguments
from alpha_umi.formats.prompts.unknown_tools import unknown_tool
from alpha_umi.types import Call, Json, Observation, Task, ToolStatus
from alpha_umi.world.functions.drawing import Values, fit_argument
from alpha_umi.world.functions.needs import DomainNeeds, FunctionNeed
from alpha_umi.world.functions.stores import Books, Refusal
from alpha_umi.world.functions.templates import Template
from alpha_umi.world.functions.tools import InventedTool, with_defaults


class Kind(StrEnum):
    """Kind of a task."""

    SINGLE = "single"
    """One call; the other tools are of other domains."""
    CHOOSE = "choose"
    """One call, with a tool among similar ones."""
    PARALLEL = "parallel"
    """One call for each of several values."""
    JOINED = "joined"
    """Two requests in one text."""
    CHAIN = "chain"
    """A call takes what another gave."""
    NONE = "none"
    """No tool fits: the user is told so, and nothing is called."""
    ASK = "ask"
    """A required argument is missing: the user is asked for it, and nothing is called."""
    SUPPLIED = "supplied"
    """As `ASK`, and the user supplies it."""
    FALLBACK = "fallback"
    """A tool fails, another one does the same."""
    FAILED = "failed"
    """The only tool fails: the user is told so."""
    TURNS = "turns"
    """Several messages of the user, each with calls, the later ones about the earlier ones."""
    SUCCESSION = "succession"
    """Several messages of the user about different things."""


class End(StrEnum):
    """Right end of an exchange; all of them are answers to the user."""

    ANSWER = "answer"
    DECLINE = "decline"
    """It says that no tool can do this."""
    ASK = "ask"
    """It asks for a missing argument."""
    FAILURE = "failure"
    """It says that the tools failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call of the solution."""

    name: str
    """Unique in the task."""
    tools: tuple[InventedTool, ...]
    """Tools that serve it, in the order in which they are tried; all but the last one fail."""
    values: Values
    """Arguments that the user names."""
    texts: Mapping[str, str] = field(default_factory=dict[str, str])
    """Slot -> its wording in the query."""
    links: Mapping[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    """Slot -> the step and the result that it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerPart:
    """Part of an answer: a template about one step, or about the steps of a chain (`{step.slot}`)."""

    template: Template
    steps: tuple[str, ...]
    chained: bool = False
    lead: str = ""
    """Text before it, of a template that does not say which value it is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A message of the user, the calls that it needs, and the right end."""

    text: str
    steps: tuple[Step, ...] = ()
    end: End = End.ANSWER
    parts: tuple[AnswerPart, ...] = ()
    asked: tuple[InventedTool, str] | None = None
    """The tool and the parameter that the agent asks for."""
    wanted: FunctionNeed | None = None
    """The need that no tool serves, where it is one of the world's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A step as it is carried out."""

    step: Step
    tool: InventedTool
    values: dict[str, Json]
    """Arguments that are given."""
    results: dict[str, Json]

    @property
    def request(self) -> Request:
        return Request.of(self.tool, self.values)


@dataclass(frozen=True, slots=True)
class Request:
    """Meaning of a call: the need and all its arguments, defaults too, whatever the tool calls them."""

    domain: str
    need: str
    arguments: str

    @classmethod
    def of(cls, tool: InventedTool, values: Values) -> Request:
        """The request of a tool for these values of the need's parameters."""
        return cls(tool.domain, tool.need.id, canonical(with_defaults(tool.need, values)))


def canonical(values: Values) -> str:
    """One text for equal arguments: keys in order, whole numbers without a fraction."""
    return json.dumps(_whole(dict(values)), sort_keys=True)


def _whole(value: Json) -> Json:
    match value:
        case dict():
            return {name: _whole(each) for name, each in value.items()}
        case list():
            return [_whole(each) for each in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionProblem:
    """A task with its solution, and with what its tools find."""

    task: Task
    kind: Kind
    seed: int
    train: bool
    domains: Mapping[str, DomainNeeds]
    tools: Mapping[str, InventedTool]
    """The tools offered, by name."""
    exchanges: tuple[Exchange, ...]
    down: Mapping[str, Observation]
    """Tools that fail at every call."""

    def execute(self, call: Call, earlier: Sequence[Call] = ()) -> Observation:
        """Execute a call after the earlier ones of its branch; total over all calls."""
        books = self.books()
        for before in earlier:
            tool = self.tools.get(before.name)
            if tool is not None and tool.need.store:
                self.run(before, books)
        return self.run(call, books)

    def books(self) -> Books:
        """The records before the first call."""
        return Books(key=(self.seed, self.task.id), train=self.train, domains=self.domains)

    def run(self, call: Call, books: Books) -> Observation:
        """Execute a call, which may change the books."""
        tool = self.tools.get(call.name)
        if tool is None:
            return unknown_tool(call.name)
        if call.name in self.down:
            return self.down[call.name]
        arguments = read_arguments(tool.spec, call.arguments)
        if isinstance(arguments, Fault):
            return Observation(content=arguments.reason, status=ToolStatus.BAD_ARGUMENTS)
        values = tool.read(arguments)
        results = books.run(tool, values, canonical(values))
        if isinstance(results, Refusal):
            return Observation(content=results.reason, status=ToolStatus.ERROR)
        return Observation(content=tool.reply.write(results))

    def solution(self) -> Iterator[tuple[Exchange, tuple[Made, ...]]]:
        """The exchanges with their steps carried out; where all tools fail there are none."""
        books, known = self.books(), dict[str, Made]()
        for exchange in self.exchanges:
            made = [self._carry_out(step, books, known) for step in exchange.steps if exchange.end is End.ANSWER]
            yield exchange, tuple(made)

    def _carry_out(self, step: Step, books: Books, known: dict[str, Made]) -> Made:
        tool, values = step.tools[-1], arguments_of(step, known)
        complete = with_defaults(tool.need, values)
        results = books.run(tool, complete, canonical(complete))
        if isinstance(results, Refusal):
            raise AssertionError(f"{self.task.id}: step {step.name} is refused: {results.reason}")
        known[step.name] = Made(step=step, tool=tool, values=values, results=results)
        return known[step.name]


def arguments_of(step: Step, known: Mapping[str, Made]) -> dict[str, Json]:
    """The arguments of a step, with what earlier steps gave."""
    values: dict[str, Json] = dict(step.values)
    for slot, (source, result) in step.links.items():
        name, _, inner = slot.partition(".")
        value = known[source].results[result]
        parameter = step.tools[-1].need.parameters[name]
        if inner:
            held = values.get(name)
            values[name] = {
                **(held if isinstance(held, dict) else {}),
                inner: fit_argument(value, parameter.fields[inner]),
            }
        else:
            values[name] = fit_argument(value, parameter)
    return values
