"""Exact verifier of trajectories: the answer is right, and the calls support it.

Right: the answer holds every required value, numbers with their units, and no number, unit or name that the task does
not warrant. Wording is free. Supported: calls whose observations the world confirms gave every fact that the answer
needs. An unsolvable task is passed by giving up, after the calls have shown the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise

from alpha_umi.arguments import Fault, read_arguments
from alpha_umi.types import Answer, Call, Decision, Observation, Plan, ToolStatus, Trajectory, Turn
from alpha_umi.world.needs import Refusal
from alpha_umi.world.problems import Perturbation, Problem, Request, Solution, find_unit, request, unknown_slots
from alpha_umi.world.reading import Quantity, Reader, is_hedged, is_retraction, normalize, sentences


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Verdict of the verifier on a trajectory."""

    right: bool
    """The last turn is the one that the task asks for, with all required values."""
    supported: bool
    """The calls and their observations are true and give the facts that the last turn needs."""
    reasons: tuple[str, ...] = ()
    """Faults, one sentence each; empty when the trajectory passes."""

    @property
    def passed(self) -> bool:
        """True where the trajectory is right and supported."""
        return self.right and self.supported


def judge(problem: Problem, trajectory: Trajectory) -> Verdict:
    """Verify a trajectory against its problem."""
    last = trajectory.final_turn
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
    """Faults of an answer to a solvable problem, one sentence each; empty for a right one."""
    query, text = normalize(problem.task.query), normalize(text)
    answer = re.sub(re.escape(query.rstrip(".?! ")), "", text, flags=re.IGNORECASE)
    solution = problem.solution()
    required = _required_values(problem, solution)
    return [
        *_judge_values(problem, solution, query, answer),
        *_judge_assertion(problem.catalogue.reader, required, answer),
    ]


def _judge_values(problem: Problem, solution: Solution, query: str, answer: str) -> list[str]:
    """Faults of the values in an answer, which is given without an echo of the query: missing and unwarranted ones."""
    reader = problem.catalogue.reader
    required_quantities, required_terms = _required_values(problem, solution)
    found_quantities, found_terms = list(reader.quantities(answer)), reader.terms(answer)
    queried = {replace(quantity, qualifier="") for quantity in reader.quantities(query)}
    allowed_quantities = {*required_quantities, *queried, *_side_quantities(problem, solution)}
    allowed_values = {quantity.value for quantity in allowed_quantities}
    allowed_terms = {term.casefold() for term in required_terms} | reader.terms(query) | _side_terms(problem, solution)
    allowed_terms |= {quantity.unit.casefold() for quantity in allowed_quantities}
    missing = [quantity for quantity in required_quantities if quantity not in found_quantities]
    reasons = [f"the answer lacks {_show(quantity)}" for quantity in missing]
    reasons += [f"the answer lacks {term}" for term in required_terms if term.casefold() not in found_terms]
    for quantity in found_quantities:
        bare = not quantity.unit and not quantity.qualifier and quantity.value in allowed_values
        if not bare and quantity not in allowed_quantities:
            reasons.append(f"the answer holds {_show(quantity)}, which is not so")
    wrong_terms = reader.relevant_names(found_terms - allowed_terms, allowed_terms)
    return reasons + [f"the answer holds {term}, which is not so" for term in sorted(wrong_terms)]


def _judge_assertion(reader: Reader, required: tuple[list[Quantity], list[str]], answer: str) -> list[str]:
    """Hedges of required values and retractions; other sentences are free."""
    values = {quantity.value for quantity in required[0]}
    terms = {term.casefold() for term in required[1]}
    reasons: list[str] = []
    for sentence in sentences(answer):
        relevant = terms & reader.terms(sentence) or any(
            quantity.value in values for quantity in reader.quantities(sentence)
        )
        if is_hedged(sentence) if relevant else is_retraction(sentence):
            reasons.append(f"the answer denies or doubts something: {sentence!r}")
    if reader.offers_choice(answer):
        reasons.append("the answer leaves something open")
    return reasons


def _required_values(problem: Problem, solution: Solution) -> tuple[list[Quantity], list[str]]:
    quantities: list[Quantity] = []
    terms: list[str] = []
    for part in problem.kind.answer_parts:
        value = solution.known[part.value]
        if isinstance(value, str):
            terms.append(value)
            continue
        quantities.append(Quantity(value=Decimal(str(value)), unit=find_unit(part, solution.known)))
    return quantities, terms


def _side_quantities(problem: Problem, solution: Solution) -> Iterator[Quantity]:
    """Further numbers that an answer may hold, with the units that their reply or request gives them.

    Other values of a reply are allowed, unless they could be confused with a required one.
    """
    units = {quantity.unit for quantity in _required_values(problem, solution)[0]}
    used = {str(value) for made in solution.requests for _, value in made.inputs}
    for made, given in zip(solution.requests, solution.outputs, strict=True):
        inputs = dict(made.inputs)
        parts = [part for template in problem.catalogue.needs[made.need].templates for part in template.answer_parts]
        known = [(given[part.value], find_unit(part, given)) for part in parts]
        known += [(value, str(inputs.get("source", ""))) for value in inputs.values()]
        known += [(value, "") for value in (*inputs.values(), *given.values())]
        for value, unit in known:
            if isinstance(value, (int, float)) and (str(value) in used or unit not in units):
                yield Quantity(value=Decimal(str(value)), unit=unit)


def _side_terms(problem: Problem, solution: Solution) -> set[str]:
    """Further names that an answer may hold: inputs, and outputs that cannot be confused with a required one."""
    domain = problem.catalogue.reader.domain
    required = {domain(term.casefold()) for term in _required_values(problem, solution)[1]}
    used = {str(value).casefold() for made in solution.requests for _, value in made.inputs}
    known = {str(value).casefold() for value in solution.known.values()}
    return used | {term for term in known if domain(term) not in required}


def _show(quantity: Quantity) -> str:
    return f"{quantity.value} {quantity.unit}".strip() + (f" ({quantity.qualifier})" if quantity.qualifier else "")


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
        if truth.status is ToolStatus.OK and call.name not in problem.down:
            made.add(_request_of(problem, call))
    if not problem.solvable:
        return [*reasons, *_judge_giving_up(problem, truths)]
    missing = [wanted for wanted in problem.solution().requests if wanted not in made]
    return [*reasons, *(f"no call found {wanted.need} of {dict(wanted.inputs)}" for wanted in missing)]


def _request_of(problem: Problem, call: Call) -> Request:
    tool = problem.catalogue.tools[call.name]
    arguments = read_arguments(tool.spec, call.arguments)
    inputs = arguments if isinstance(arguments, Fault) else tool.inputs(arguments)
    if isinstance(inputs, (Fault, Refusal)):
        raise AssertionError(f"{call.name} succeeded with bad arguments: {inputs.reason}")
    return request(tool.served_need, inputs)


def _judge_giving_up(problem: Problem, truths: Sequence[tuple[Call, Observation]]) -> list[str]:
    """Faults of the calls before giving up, which must show that nothing else is left."""
    providers = [tool.spec.name for tool in problem.providers(problem.blocked)]
    seen = {call.name: observation for call, observation in truths}
    if problem.perturbation is Perturbation.MISSING:
        return []
    if problem.perturbation is Perturbation.UNKNOWN_ENTITY:
        unknown = unknown_slots(problem.kind, problem.slots, problem.catalogue)
        refusals = tuple(f"is invalid: {problem.slots[slot]} is unknown" for slot in unknown)
        shown = any(call.name in providers and truth.content.endswith(refusals) for call, truth in truths)
        return [] if shown else ["no call shows that a name is unknown"]
    return [f"{name} was not tried" for name in providers if name not in seen]
