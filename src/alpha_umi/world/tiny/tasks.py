"""Sampler of the tiny world's tasks: a kind, its slots, an offer of tools and a perturbation.

All from (seed, split, index). Training queries and test queries are disjoint by construction: the split of a query is a
hash of its text.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from itertools import count

from alpha_umi.types import Json, Observation, Task, ToolStatus
from alpha_umi.world.facts import Facts
from alpha_umi.world.kinds import Kind
from alpha_umi.world.needs import Values
from alpha_umi.world.problems import UNSOLVABLE, Perturbation, Problem, solve, step_of_unknown
from alpha_umi.world.random_streams import RandomStream, random_bits
from alpha_umi.world.tiny.kinds import KINDS
from alpha_umi.world.tiny.names import FORMER_NAMES, TERMS, UNKNOWN_ENTITIES
from alpha_umi.world.tiny.tools import CATALOGUE, TOOLS
from alpha_umi.world.tools import Seen, Tool

NAME, VERSION = "tiny", "1"
"""The version changes with anything that changes a task, a fact or a tool."""

_TEST_ODDS = 10
"""One query of this many is for tests."""
_CALLS: Mapping[int, int] = {1: 50, 2: 25, 3: 15, 4: 10}
"""Calls that the plain way takes -> share."""
_PERTURBATIONS: Mapping[Perturbation, int] = {
    Perturbation.NONE: 70,
    Perturbation.FALLBACK: 10,
    Perturbation.FORMER_NAME: 7,
    Perturbation.UNKNOWN_ENTITY: 4,
    Perturbation.DOWN: 5,
    Perturbation.NO_TOOL: 4,
}
_FEWEST_TOOLS, _MOST_TOOLS = 3, 6
_REDUNDANT_PROVIDERS = 8
"""Percent of tasks that offer a second provider without need."""
_OUTAGES = {
    ToolStatus.ERROR: "{tool} is down",
    ToolStatus.RATE_LIMITED: "{tool} is over its limit",
    ToolStatus.TIMEOUT: "{tool} did not answer",
}


class Split(StrEnum):
    """Split of the tiny world."""

    TRAIN = "train"
    TEST = "test"
    """Seen tools, new queries (ToolBench: instruction)."""
    UNSEEN_TOOL = "unseen_tool"
    """New queries that need a held-out tool of a seen category (ToolBench: tool)."""
    UNSEEN_CATEGORY = "unseen_category"
    """New queries that need tools of a held-out category (ToolBench: category)."""


def draw_problem(seed: int, split: str, index: int) -> Problem:
    """Draw the problem of an index, always the same within a version."""
    for attempt in count():
        rng = RandomStream(VERSION, NAME, seed, split, index, attempt)
        problem = _draw(seed, Split(split), index, rng)
        if problem is not None:
            return problem
    raise AssertionError("unreachable")


def _draw(seed: int, split: Split, index: int, rng: RandomStream) -> Problem | None:
    perturbation = rng.weighted(_PERTURBATIONS)
    kind = _draw_kind(split, perturbation, rng)
    if kind is None:
        return None
    slots = _draw_slots(kind, perturbation, rng)
    query = rng.pick(kind.queries).format(**slots)
    for_tests = random_bits("side", query) % _TEST_ODDS == 0
    facts = Facts(seed=seed, moment=f"{split}/{index}")
    if for_tests is (split is Split.TRAIN) or not _makes_sense(kind, slots, facts, perturbation):
        return None
    offered, down, blocked = _draw_tools(split, kind, perturbation, rng)
    metadata: dict[str, Json] = {
        "world": VERSION,
        "preset": NAME,
        "seed": seed,
        "split": split.value,
        "index": index,
        "kind": kind.name,
        "calls": len(kind.steps),
        "trouble": perturbation.value,
        "solvable": perturbation not in UNSOLVABLE,
    }
    task = Task(
        id=f"{NAME}-{seed}-{split.value}-{index}",
        query=query,
        tools=tuple(tool.spec for tool in TOOLS.values() if tool.spec.name in offered),
        metadata=metadata,
    )
    if perturbation is Perturbation.UNKNOWN_ENTITY:
        blocked = step_of_unknown(kind, slots, CATALOGUE).need
    return Problem(
        task=task,
        catalogue=CATALOGUE,
        kind=kind,
        slots=slots,
        facts=facts,
        perturbation=perturbation,
        down=down,
        blocked=blocked,
    )


def _makes_sense(kind: Kind, slots: Values, facts: Facts, perturbation: Perturbation) -> bool:
    """False for a flight from a city to itself."""
    if perturbation is Perturbation.UNKNOWN_ENTITY:
        return True
    known = solve(CATALOGUE, kind, slots, facts).known
    return known.get("start", "") != known.get("end")


def _draw_kind(split: Split, perturbation: Perturbation, rng: RandomStream) -> Kind | None:
    """None where the split has no kind that can have the perturbation."""
    kinds = _eligible(split, perturbation)
    if not kinds:
        return None
    lengths = {len(kind.steps) for kind in kinds}
    length = rng.weighted({calls: share for calls, share in _CALLS.items() if calls in lengths})
    return rng.pick([kind for kind in kinds if len(kind.steps) == length])


@cache
def _eligible(split: Split, perturbation: Perturbation) -> tuple[Kind, ...]:
    return tuple(kind for kind in KINDS.values() if _belongs(kind, split) and _can_have(kind, split, perturbation))


def _belongs(kind: Kind, split: Split) -> bool:
    value_kinds = [{tool.seen for tool in CATALOGUE.providers[step.need]} for step in kind.steps]
    match split:
        case Split.TRAIN | Split.TEST:
            return all(Seen.YES in seen for seen in value_kinds)
        case Split.UNSEEN_TOOL:
            return all(Seen.YES in seen for seen in value_kinds) and any(Seen.NO in seen for seen in value_kinds)
        case Split.UNSEEN_CATEGORY:
            return any(Seen.NO_CATEGORY in seen for seen in value_kinds)


def _can_have(kind: Kind, split: Split, perturbation: Perturbation) -> bool:
    domains = set(kind.slots.values())
    match perturbation:
        case Perturbation.FALLBACK:
            return any(len(_usable(step.need, split)) > 1 for step in kind.steps)
        case Perturbation.FORMER_NAME:
            return "city" in domains
        case Perturbation.UNKNOWN_ENTITY:
            return bool(domains & set(UNKNOWN_ENTITIES))
        case _:
            return True


@cache
def _usable(need: str, split: Split) -> tuple[Tool, ...]:
    """The providers that a split may offer for a need; unseen_tool prefers held-out ones."""
    tools = CATALOGUE.providers[need]
    seen = tuple(tool for tool in tools if tool.seen is Seen.YES)
    held_out = tuple(tool for tool in tools if tool.seen is Seen.NO)
    if split is Split.UNSEEN_TOOL and held_out:
        return (*seen[:1], *held_out)
    return seen or tools


def _draw_slots(kind: Kind, perturbation: Perturbation, rng: RandomStream) -> dict[str, Json]:
    slots: dict[str, Json] = {}
    for name, domain in kind.slots.items():
        if domain == "amount":
            slots[name] = rng.between(5, 500)
            continue
        options = [term for term in TERMS["currency" if domain == "foreign" else domain] if term not in slots.values()]
        slots[name] = rng.pick([term for term in options if domain != "foreign" or term != "USD"])
    if perturbation is Perturbation.FORMER_NAME:
        cities = [name for name, domain in kind.slots.items() if domain == "city"]
        taken = set(slots.values())
        slots[rng.pick(cities)] = rng.pick([old for old, new in FORMER_NAMES.items() if new not in taken])
    if perturbation is Perturbation.UNKNOWN_ENTITY:
        name = rng.pick([name for name, domain in kind.slots.items() if domain in UNKNOWN_ENTITIES])
        slots[name] = rng.pick(UNKNOWN_ENTITIES[kind.slots[name]])
    return slots


def _draw_tools(
    split: Split, kind: Kind, perturbation: Perturbation, rng: RandomStream
) -> tuple[set[str], dict[str, Observation], str]:
    """The names of the offered tools, those of them that are down, and the need at which all are."""
    needs = list(dict.fromkeys(step.need for step in kind.steps))
    chosen: dict[str, tuple[Tool, ...]] = {need: (_draw_provider(_usable(need, split), split, rng),) for need in needs}
    replaceable = [need for need in needs if len(_usable(need, split)) > 1]
    down: dict[str, Observation] = {}
    blocked = ""
    failure = rng.pick(list(_OUTAGES))
    if perturbation is Perturbation.FALLBACK:
        need = rng.pick(replaceable)
        chosen[need] = _usable(need, split)[:2]
        down = _fail(chosen[need][:1], failure)
    elif replaceable and rng.below(100) < _REDUNDANT_PROVIDERS:
        need = rng.pick(replaceable)
        chosen[need] = _usable(need, split)[:2]
    if perturbation is Perturbation.DOWN:
        blocked = rng.pick(needs)
        down = _fail(chosen[blocked], failure)
    if perturbation is Perturbation.NO_TOOL:
        blocked = needs[0]
        chosen[blocked] = ()
    offered = [tool.spec.name for need in needs for tool in chosen[need]]
    others = [tool.spec.name for tool in TOOLS.values() if tool.seen is Seen.YES and tool.need not in needs]
    wanted = min(_MOST_TOOLS, max(_FEWEST_TOOLS, len(offered) + rng.below(3)))
    return {*offered, *rng.sample(others, wanted - len(offered))}, down, blocked


def _fail(tools: tuple[Tool, ...], status: ToolStatus) -> dict[str, Observation]:
    names = [tool.spec.name for tool in tools]
    return {name: Observation(content=_OUTAGES[status].format(tool=name), status=status) for name in names}


def _draw_provider(usable: tuple[Tool, ...], split: Split, rng: RandomStream) -> Tool:
    held_out = [tool for tool in usable if tool.seen is Seen.NO]
    return rng.pick(held_out if split is Split.UNSEEN_TOOL and held_out else usable)
