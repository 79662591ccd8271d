"""Problems: tasks with everything that user and agent do not see, the facts, the outages and the solution.

The result of a call and the values that an answer must hold are computed here, by needs, never by tool names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from alpha_umi.formats.prompts.unknown_tools import unknown_tool
from alpha_umi.types import Call, Json, Observation, Task
from alpha_umi.world.catalogue import Catalogue
from alpha_umi.world.facts import Facts
from alpha_umi.world.kinds import Kind, Step
from alpha_umi.world.needs import AnswerPart, Need, Refusal, Values
from alpha_umi.world.tools import Tool


class Perturbation(StrEnum):
    """Perturbation of a task. With one of the last four it is unsolvable: the right end is to give up."""

    NONE = "none"
    FALLBACK = "rival"
    """The provider tried first is down, another one works."""
    FORMER_NAME = "former_name"
    """The query uses an old name, which tools refuse, saying the new one."""
    UNKNOWN_ENTITY = "stranger"
    """The query names an entity that the world does not know."""
    DOWN = "down"
    """Every offered provider of one need is down."""
    NO_TOOL = "no_tool"
    """No offered tool serves one need."""
    MISSING = "missing"
    """The query leaves out what it is about."""


UNSOLVABLE = frozenset({Perturbation.UNKNOWN_ENTITY, Perturbation.DOWN, Perturbation.NO_TOOL, Perturbation.MISSING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A need with canonical inputs: the meaning of a call, whichever provider it goes to."""

    need: str
    inputs: tuple[tuple[str, Json], ...]


def request(need: Need, inputs: Values) -> Request:
    """The request for a need, with defaults for the inputs left out."""
    return Request(need=need.name, inputs=tuple(sorted({**need.defaults, **inputs}.items())))


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """The shortest solution of a solvable problem."""

    requests: tuple[Request, ...]
    outputs: tuple[Values, ...]
    """Outputs of each request."""
    known: Mapping[str, Json]
    """All slots and outputs under the names that the kind gives them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A task with its facts, perturbation and outages."""

    task: Task
    catalogue: Catalogue
    kind: Kind
    slots: Values
    """As the query names them."""
    facts: Facts
    perturbation: Perturbation
    down: Mapping[str, Observation]
    """Tools that fail at every call, with their observations; an empty reply is a failure, too."""
    blocked: str
    """The need at which an unsolvable problem ends; empty for a solvable one, and where something is left out."""
    hinted: bool = False
    """The gold trajectory is a later branch of a search, with a hint that describes the failed one."""
    failed_branch: tuple[int, str] | None = None
    """Step and tool of a failed branch that the gold trajectory follows: a call of no use, or giving up ("")."""

    @property
    def solvable(self) -> bool:
        """True where the right end is an answer and not giving up."""
        return self.perturbation not in UNSOLVABLE

    def providers(self, need: str) -> tuple[Tool, ...]:
        """The offered tools for a need, in the order of the offer, in which they are tried."""
        offered = (self.catalogue.tools[spec.name] for spec in self.task.tools)
        return tuple(tool for tool in offered if tool.need == need)

    def execute(self, call: Call, earlier: Sequence[Call] = ()) -> Observation:
        """Execute a call in this problem; total over all calls. No call changes anything."""
        offered = {spec.name: self.catalogue.tools[spec.name] for spec in self.task.tools}
        return execute(call, self.facts, offered, self.down)

    def solution(self) -> Solution:
        """The shortest solution; only for solvable problems."""
        return solve(self.catalogue, self.kind, self.slots, self.facts)


def execute(call: Call, facts: Facts, offered: Mapping[str, Tool], down: Mapping[str, Observation]) -> Observation:
    """Execute a call with the offered tools, of which those in `down` fail; total over all calls."""
    if call.name not in offered:
        return unknown_tool(call.name)
    if call.name in down:
        return down[call.name]
    return offered[call.name].run(facts, call.arguments)


def bind(step: Step, known: Values) -> dict[str, Json]:
    """The canonical inputs of a step."""
    return {name: source[1:] if source.startswith("=") else known[source] for name, source in step.inputs.items()}


def keep(step: Step, outputs: Values) -> dict[str, Json]:
    """The outputs of a step under the names by which the kind knows them."""
    return {step.keep.get(name, name): value for name, value in outputs.items()}


def unknown_slots(kind: Kind, slots: Values, catalogue: Catalogue) -> set[str]:
    """The slots whose values are unknown entities of their domains."""
    unknown = catalogue.unknown_entities
    return {name for name, value in slots.items() if str(value) in unknown.get(kind.slots[name], ())}


def step_of_unknown(kind: Kind, slots: Values, catalogue: Catalogue) -> Step:
    """The first step that takes an unknown entity."""
    unknown = unknown_slots(kind, slots, catalogue)
    return next(step for step in kind.steps if unknown & set(step.inputs.values()))


def find_unit(part: AnswerPart, known: Values) -> str:
    """The unit of a value, fixed or known under its name; empty for none."""
    return part.unit[1:] if part.unit.startswith("=") else str(known.get(part.unit, ""))


def solve(catalogue: Catalogue, kind: Kind, slots: Values, facts: Facts) -> Solution:
    """Compute the shortest solution of a kind of task with these slots."""
    known = {name: catalogue.former.get(str(value), value) for name, value in slots.items()}
    requests: list[Request] = []
    given: list[Values] = []
    for step in kind.steps:
        inputs = bind(step, known)
        need = catalogue.needs[step.need]
        outputs = need.answer(facts, inputs)
        if isinstance(outputs, Refusal):
            raise AssertionError(f"{kind.name} is not solvable: {outputs.reason}")
        requests.append(request(need, inputs))
        given.append(outputs)
        known |= keep(step, outputs)
    return Solution(requests=tuple(requests), outputs=tuple(given), known=known)
