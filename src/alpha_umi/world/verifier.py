"""The exact verifier: is an answer right, and do the calls support it?

Right: it holds every part that the task owes, numbers with their units, and no number, unit or name that the task
does not warrant. Wording is free. Supported: every fact that the answer rests on was asked for in calls that the
world really answers so. A task that cannot be solved is passed by giving up, after seeing why.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain, pairwise

from alpha_umi.arguments import Fault, read_arguments
from alpha_umi.types import Answer, Call, Decision, Json, Observation, Plan, Score, ToolStatus, Trajectory, Turn
from alpha_umi.world.catalogue import TOOLS
from alpha_umi.world.facts import FORMER_NAMES, STRANGERS, TERMS
from alpha_umi.world.problems import Problem, Request, Solution, Trouble, request


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    right: bool
    """The end is the one that the task asks for, in all its parts."""
    supported: bool
    """The calls and their observations are true and give what the end rests on."""
    reasons: tuple[str, ...] = ()
    """What is wrong, one sentence each; empty when the trajectory passes."""

    @property
    def passed(self) -> bool:
        return self.right and self.supported

    @property
    def score(self) -> Score:
        """One row of the pass rate."""
        details: dict[str, Json] = {"right": self.right, "supported": self.supported, "reasons": list(self.reasons)}
        return Score(metric="pass_rate", value=float(self.passed), details=details)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    value: Decimal
    unit: str = ""


def judge(problem: Problem, trajectory: Trajectory) -> Verdict:
    last = trajectory.turns[-1] if trajectory.turns else None
    wrong = _judge_end(problem, last)
    unsupported = _judge_calls(problem, trajectory.turns)
    return Verdict(right=not wrong, supported=not unsupported, reasons=(*wrong, *unsupported))


# --- the end ----------------------------------------------------------------------------------------------


def _judge_end(problem: Problem, last: Turn | None) -> list[str]:
    match last:
        case Answer(text=text):
            if not problem.solvable:
                return ["the task cannot be solved, but an answer is given"]
            return judge_answer(problem, text)
        case Plan(decision=Decision.GIVE_UP):
            return ["the task can be solved, but it is given up"] if problem.solvable else []
        case _:
            return ["it ends neither with an answer nor by giving up"]


def judge_answer(problem: Problem, text: str) -> list[str]:
    """What is wrong with an answer to a solvable problem."""
    solution = problem.solution()
    owed_quantities, owed_terms = _owed(problem, solution)
    held_quantities, held_terms = list(_read_quantities(text)), _read_terms(text)
    allowed_quantities = {*owed_quantities, *_known_quantities(solution), *_read_quantities(problem.task.query)}
    allowed_values = {quantity.value for quantity in allowed_quantities}
    allowed_terms = {str(value).casefold() for value in solution.known.values()}
    allowed_terms |= _read_terms(problem.task.query) | {quantity.unit.casefold() for quantity in allowed_quantities}
    missing = [quantity for quantity in owed_quantities if quantity not in held_quantities]
    reasons = [f"the answer lacks {_show(quantity)}" for quantity in missing]
    reasons += [f"the answer lacks {term}" for term in owed_terms if term.casefold() not in held_terms]
    for quantity in held_quantities:
        bare = not quantity.unit and quantity.value in allowed_values
        if not bare and quantity not in allowed_quantities:
            reasons.append(f"the answer holds {_show(quantity)}, which is not so")
    reasons += [f"the answer holds {term}, which is not so" for term in sorted(held_terms - allowed_terms)]
    if _NEGATION.search(text):
        reasons.append("the answer denies something")
    return reasons


def _owed(problem: Problem, solution: Solution) -> tuple[list[Quantity], list[str]]:
    quantities: list[Quantity] = []
    terms: list[str] = []
    for owed in problem.kind.owed:
        value = solution.known[owed.value]
        if isinstance(value, str):
            terms.append(value)
            continue
        unit = owed.unit[1:] if owed.unit.startswith("=") else str(solution.known.get(owed.unit, ""))
        quantities.append(Quantity(value=Decimal(str(value)), unit=unit))
    return quantities, terms


def _known_quantities(solution: Solution) -> Iterator[Quantity]:
    """Numbers that come up on the way, with the units that the same reply or request gives them."""
    for asked, given in zip(solution.requests, solution.outputs, strict=True):
        for values, unit in ((dict(asked.inputs), "source"), (given, "currency"), (given, "unit")):
            for value in values.values():
                if isinstance(value, (int, float)):
                    yield Quantity(value=Decimal(str(value)), unit=str(values.get(unit, "")))


def _show(quantity: Quantity) -> str:
    return f"{quantity.value} {quantity.unit}".strip()


# --- reading an answer ------------------------------------------------------------------------------------

_UNITS = {
    "C": ("C", "°C", "° C", "degrees C", "degrees Celsius", "degree Celsius", "Celsius"),
    "F": ("F", "°F", "° F", "degrees F", "degrees Fahrenheit", "degree Fahrenheit", "Fahrenheit"),
    "km/h": ("km/h", "kmh", "kph", "kilometers per hour", "kilometres per hour"),
    "pieces": ("pieces", "piece", "units", "unit", "items", "item"),
    "days": ("days", "day"),
    "pages": ("pages", "page"),
    "USD": ("USD", "US dollars", "dollars", "$"),
    "EUR": ("EUR", "euros", "euro", "€"),
}
_SPELLINGS = {
    **{code.casefold(): code for code in TERMS["currency"]},
    **{spelling.casefold(): unit for unit, spellings in _UNITS.items() for spelling in spellings},
}
_MONEY = frozenset(TERMS["currency"])


def _any_of(words: Sequence[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_NUMBER = re.compile(r"(?<![\w.,])(?:[-+\u2212](?=\d))?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")
_UNIT_AFTER = re.compile(rf"\s?({_any_of(list(_SPELLINGS))})(?!\w)", re.IGNORECASE)
_UNIT_BEFORE = re.compile(
    rf"(?<!\w)({_any_of([spelling for spelling, unit in _SPELLINGS.items() if unit in _MONEY])})\s?$", re.IGNORECASE
)
_NAMES = [*chain(*TERMS.values()), *FORMER_NAMES, *chain(*STRANGERS.values())]
_TERM = re.compile(rf"(?<!\w)({_any_of(_NAMES)})(?!\w)", re.IGNORECASE)
_NEGATION = re.compile(r"\b(?:not|never|cannot|neither|nor|unable)\b|n['’]t\b", re.IGNORECASE)


def _read_quantities(text: str) -> Iterator[Quantity]:
    """The numbers of a text, each with the unit after it, else the currency before it."""
    taken = 0
    for number in _NUMBER.finditer(text):
        after = _UNIT_AFTER.match(text, number.end())
        before = _UNIT_BEFORE.search(text[taken : number.start()])
        unit = after or before
        taken = after.end() if after else number.end()
        value = Decimal(number[0].replace(",", "").replace("\u2212", "-"))
        yield Quantity(value=value, unit=_SPELLINGS[unit[1].casefold()] if unit else "")


def _read_terms(text: str) -> set[str]:
    return {found[1].casefold() for found in _TERM.finditer(text)}


# --- the calls --------------------------------------------------------------------------------------------


def _judge_calls(problem: Problem, turns: Sequence[Turn]) -> list[str]:
    pairs = [(turn, after) for turn, after in pairwise(turns) if isinstance(turn, Call)]
    made: set[Request] = set()
    truths: list[tuple[Call, Observation]] = []
    reasons: list[str] = []
    offered = {spec.name for spec in problem.task.tools}
    for call, observation in pairs:
        if call.name not in offered or not isinstance(observation, Observation):
            continue
        truth = problem.execute(call)
        if truth.content != observation.content:
            reasons.append(f"{call.name} did not answer {observation.content!r}")
            continue
        truths.append((call, truth))
        if truth.status is ToolStatus.OK:
            made.add(_request_of(call))
    if not problem.solvable:
        return [*reasons, *_judge_despair(problem, truths)]
    missing = [asked for asked in problem.solution().requests if asked not in made]
    return [*reasons, *(f"no call found {asked.need} of {dict(asked.inputs)}" for asked in missing)]


def _request_of(call: Call) -> Request:
    tool = TOOLS[call.name]
    arguments = read_arguments(tool.spec, call.arguments)
    if isinstance(arguments, Fault):
        raise AssertionError(f"{call.name} succeeded with bad arguments: {arguments.reason}")
    return request(tool.need, tool.inputs(arguments))


def _judge_despair(problem: Problem, truths: Sequence[tuple[Call, Observation]]) -> list[str]:
    """Giving up is supported once the calls have shown that nothing else is left."""
    providers = [tool.spec.name for tool in problem.providers(problem.blocked)]
    seen = {call.name: observation for call, observation in truths}
    if problem.trouble is Trouble.STRANGER:
        told = any(call.name in providers and "is unknown" in truth.content for call, truth in truths)
        return [] if told else ["no call shows that a name is unknown"]
    return [f"{name} was not tried" for name in providers if name not in seen]
