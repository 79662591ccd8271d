"""Sampler of the table world's tasks: a plan, a query, an offer of tools and a perturbation.

All from (preset, seed, split, index). Training and tests are disjoint twice: no frame of a training query words a test
query, and the split of a query is a hash of its plan and its names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count

from alpha_umi.types import Json, Task
from alpha_umi.world.domains import Amounts, Codes, Names
from alpha_umi.world.facts import Facts
from alpha_umi.world.kinds import Kind
from alpha_umi.world.needs import Values
from alpha_umi.world.problems import UNSOLVABLE, Perturbation, Problem, solve, step_of_unknown
from alpha_umi.world.random_streams import RandomStream
from alpha_umi.world.table.configs import TableWorldConfig
from alpha_umi.world.table.offers import Offer, OfferSampler
from alpha_umi.world.table.plans import (
    Intent,
    Node,
    OptionValue,
    Planner,
    Scope,
    Slot,
    make_kind,
    topological_order,
)
from alpha_umi.world.table.queries import QueryWriter
from alpha_umi.world.table.split import TEST_ODDS, is_for_tests, is_for_training
from alpha_umi.world.table.toolset import Group, Pool, TestSet
from alpha_umi.world.tools import Tool

TRAIN = "train"
SPLITS = (TRAIN, *(test_set.value for test_set in TestSet))
_TRIES = 500
"""Tries for the slots of a test query; few values put it in the test split in all equivalent forms."""


def draw_problem(config: TableWorldConfig, seed: int, split: str, index: int) -> Problem:
    """Draw the problem of an index, always the same within a version."""
    for attempt in count():
        rng = RandomStream(config.version, config.name, seed, split, index, attempt)
        problem = _TaskSampler(config, seed, split, index, rng).draw()
        if problem is not None:
            return problem
    raise AssertionError("unreachable")


class _TaskSampler:
    """One attempt at a problem."""

    def __init__(self, config: TableWorldConfig, seed: int, split: str, index: int, rng: RandomStream) -> None:
        self._config, self._rng = config, rng
        self._seed, self._split, self._index = seed, split, index
        self._train = split == TRAIN
        self._pool: Pool = config.toolset.pool(split)
        self._facts = Facts(seed=seed, moment=f"{split}/{index}")

    def draw(self) -> Problem | None:
        """Draw a problem; None where it does not fit the split."""
        config, rng = self._config, self._rng
        perturbation = rng.weighted(config.perturbations)
        group = rng.weighted(config.groups) if self._train else Group(self._split[:2])
        scope, tools = rng.pick(self._pool.scopes[group])
        planner = Planner(scope, rng)
        intents = self._draw_intents(planner, scope, 1 if group is Group.G1 else 2)
        if not intents:
            return None
        nodes = topological_order(intents)
        chosen = self._draw_providers(nodes, tools)
        if not _fits(group, chosen.values()):
            return None
        kind = make_kind(intents, nodes, planner.slots)
        slots = self._draw_fitting_slots(kind, intents, planner.slots, perturbation)
        if slots is None or not self._makes_sense(kind, slots, perturbation):
            return None
        offers = OfferSampler(config, self._pool, rng)
        offer = offers.draw(chosen, perturbation)
        if offer is None:
            return None
        if self._train and rng.below(100) < config.synthetic:
            offer = offers.with_synthetic(offer)
        writer = QueryWriter(rng, train=self._train, contexts=config.contexts)
        query = writer.write(intents, planner.slots, slots, perturbation)
        problem = self._make_problem(kind, slots, query, group, perturbation, offer)
        return problem if self._train or not _names_its_answer(problem) else None

    # --- the plan -----------------------------------------------------------------------------------

    def _draw_intents(self, planner: Planner, scope: Scope, fewest: int) -> list[Intent]:
        """One or two intents; none where the draw leads nowhere."""
        config, rng = self._config, self._rng
        total = rng.weighted({calls: share for calls, share in config.calls.items() if calls >= fewest})
        if total in scope.lengths and rng.below(100) >= config.two_intents:
            return self._draw_intent(planner, total)
        if not 1 < total <= 2 * max(scope.lengths):
            return []
        first = rng.between(1, total - 1)
        intents = self._draw_intent(planner, first)
        if intents:
            planner.share(intents[0])
            intents += self._draw_intent(planner, total - first)
        return intents if len(intents) == 2 and not self._confusable(intents) else []

    def _draw_intent(self, planner: Planner, length: int) -> list[Intent]:
        percent = self._rng.below(100)
        intent = planner.intent(
            length,
            option=percent < self._config.options,
            conversion=percent >= 100 - self._config.conversions,
        )
        return [intent] if intent is not None else []

    def _confusable(self, intents: Sequence[Intent]) -> bool:
        """True for intents whose answers could be confused."""
        first, second = (intent.node for intent in intents)
        if first.need is second.need:
            return True
        if not self._train and (_ambiguous_option(first, second) or _ambiguous_option(second, first)):
            return True
        value_kinds = [
            self._config.toolset.value_kinds[intent.node.need.name, intent.node.need.templates.index(intent.template)]
            for intent in intents
        ]
        return bool(value_kinds[0] & value_kinds[1])

    def _draw_fitting_slots(
        self, kind: Kind, intents: Sequence[Intent], slots: Mapping[str, Slot], perturbation: Perturbation
    ) -> dict[str, Json] | None:
        """Values of slots that put the query in this split; None after too many tries."""
        former = self._config.toolset.catalogue.former
        for _ in range(TEST_ODDS if self._train else _TRIES):
            values = self._draw_slots(slots, perturbation)
            if values is None:
                return None
            if is_for_training(kind.name, values) if self._train else is_for_tests(intents, values, former):
                return values
        return None

    def _makes_sense(self, kind: Kind, slots: Values, perturbation: Perturbation) -> bool:
        """False for a request with two equal inputs, a flight from a city to itself."""
        if perturbation in (Perturbation.UNKNOWN_ENTITY, Perturbation.MISSING):
            return True
        catalogue = self._config.toolset.catalogue
        for request in solve(catalogue, kind, slots, self._facts).requests:
            domains = catalogue.needs[request.need].inputs
            if len({str(value) for _, value in request.inputs}) < len(domains):
                return False
        return True

    def _draw_slots(self, slots: Mapping[str, Slot], perturbation: Perturbation) -> dict[str, Json] | None:
        rng = self._rng
        values: dict[str, Json] = {}
        for name, slot in slots.items():
            match slot.domain:
                case Amounts(low=low, high=high):
                    values[name] = rng.between(low, high)
                case Codes() as domain:
                    values[name] = domain.write(self._facts, rng.pick(domain.of.terms))
                case Names(terms=terms):
                    value = rng.pick(terms)
                    while value in values.values():
                        value = rng.pick(terms)
                    values[name] = value
        named = {name: slot.domain for name, slot in slots.items() if isinstance(slot.domain, Names)}
        match perturbation:
            case Perturbation.FORMER_NAME:
                return self._rename(values, {name: domain for name, domain in named.items() if domain.former})
            case Perturbation.UNKNOWN_ENTITY:
                return self._replace(
                    values, {name: domain for name, domain in named.items() if domain.unknown_entities}
                )
            case Perturbation.MISSING if all(isinstance(slot.domain, Amounts) for slot in slots.values()):
                return None
            case _:
                return values

    def _rename(self, values: dict[str, Json], names: Mapping[str, Names]) -> dict[str, Json] | None:
        if not names:
            return None
        name = self._rng.pick(list(names))
        fitting = [old for old, new in names[name].former.items() if new not in values.values()]
        return {**values, name: self._rng.pick(fitting)} if fitting else None

    def _replace(self, values: dict[str, Json], names: Mapping[str, Names]) -> dict[str, Json] | None:
        if not names:
            return None
        name = self._rng.pick(list(names))
        return {**values, name: self._rng.pick(names[name].unknown_entities)}

    def _draw_providers(self, nodes: Sequence[Node], tools: Sequence[Tool]) -> dict[str, Tool]:
        needs = dict.fromkeys(node.need.name for node in nodes)
        return {need: self._rng.pick([tool for tool in tools if tool.need == need]) for need in needs}

    def _make_problem(
        self, kind: Kind, slots: dict[str, Json], query: str, group: Group, perturbation: Perturbation, offer: Offer
    ) -> Problem:
        config = self._config
        metadata: dict[str, Json] = {
            "world": config.version,
            "preset": config.name,
            "seed": self._seed,
            "split": self._split,
            "index": self._index,
            "query_id": query_id(self._split, self._index),
            "group": group.value,
            "kind": kind.name,
            "calls": len(kind.steps),
            "trouble": perturbation.value,
            "solvable": perturbation not in UNSOLVABLE,
        }
        blocked = offer.blocked
        if perturbation is Perturbation.UNKNOWN_ENTITY:
            blocked = step_of_unknown(kind, slots, config.toolset.catalogue).need
        return Problem(
            task=Task(
                id=f"{config.name}-{self._seed}-{self._split}-{self._index}",
                query=query,
                tools=tuple(tool.spec for tool in offer.tools),
                metadata=metadata,
            ),
            catalogue=config.toolset.catalogue.offering(offer.tools),
            kind=kind,
            slots=slots,
            facts=self._facts,
            perturbation=perturbation,
            down=offer.failures,
            blocked=blocked,
            hinted=(hinted := perturbation is Perturbation.FALLBACK and self._rng.below(100) < config.hinted),
            failed_branch=None
            if hinted or perturbation is Perturbation.MISSING
            else self._draw_failed_branch(kind, offer),
        )

    def _draw_failed_branch(self, kind: Kind, offer: Offer) -> tuple[int, str] | None:
        """A step and a tool of no use ("" for giving up), in a part of the training tasks."""
        rng, needs = self._rng, {step.need for step in kind.steps}
        useless = [tool.spec.name for tool in offer.tools if tool.need not in needs]
        if not self._train or not useless or rng.below(100) >= self._config.failed_branch:
            return None
        return rng.below(len(kind.steps)), "" if rng.below(4) == 0 else rng.pick(useless)


def query_id(split: str, index: int) -> int:
    """Number of a query, unique within the preset and the seed."""
    return index * len(SPLITS) + SPLITS.index(split)


def find_query(number: int) -> tuple[str, int]:
    """Split and index of a query_id."""
    index, place = divmod(number, len(SPLITS))
    return SPLITS[place], index


def _fits(group: Group, tools: Iterable[Tool]) -> bool:
    """True where the tools are as many as the group asks."""
    used = list(tools)
    match group:
        case Group.G1:
            return True
        case Group.G2:
            return len({tool.provider for tool in used}) > 1
        case Group.G3:
            return len({tool.category for tool in used}) > 1


def _ambiguous_option(one: Node, other: Node) -> bool:
    """True where an option could be meant of both: "the rain here and the wind there for tomorrow"."""
    chosen = [name for name, source in one.inputs.items() if isinstance(source, OptionValue)]
    return any(name in other.need.options and not isinstance(other.inputs.get(name), OptionValue) for name in chosen)


def _names_its_answer(problem: Problem) -> bool:
    """True for a query that names its own answer: "the capital of the country in which Nairobi lies"."""
    if not problem.solvable:
        return False
    known = problem.solution().known
    values = (known[part.value] for part in problem.kind.answer_parts)
    return any(isinstance(value, str) and value in problem.task.query for value in values)
