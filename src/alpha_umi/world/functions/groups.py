"""Groups of tasks that are offered the same tools, for training: beside its own, each request has those of the others.

A prefix tree computes the tools of a group once, and an agent learns more from a list whose tools are all asked for
than from one in which a single tool is ever right. Most requests share words with the tool that serves them, as those
of users do: a small model learns to look a tool up before it learns what means the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from alpha_umi.types import Call, Trajectory, User
from alpha_umi.world.functions.choices import is_plain, write_choices
from alpha_umi.world.functions.library import load_library, might_serve
from alpha_umi.world.functions.needs import FunctionNeed
from alpha_umi.world.functions.oracle import write_gold
from alpha_umi.world.functions.problems import End, FunctionProblem, Kind
from alpha_umi.world.functions.tasks import draw_problem
from alpha_umi.world.functions.tools import InventedTool
from alpha_umi.world.random_streams import RandomStream

_SIMILAR = 1
"""Tools that a request keeps beside those that it needs, of the same domain."""
_TOOLS = (3, 9)
"""Tools of a group: the fewest and the most, about."""
_REQUESTS = 6
_WINDOW = 600
"""Problems among which the members of a group are sought."""
_ASKING = (Kind.ASK, Kind.SUPPLIED)
_UNLIKE = 4
"""One in so many requests is kept of those that share fewer words with their tool than with another."""
_WHOLE = 3
"""One in so many trajectories of one call goes on after it; of several calls, all but so many."""


def write_groups(seed: int, split: str, first: int, count: int) -> Iterator[list[Trajectory]]:
    """Write the gold trajectories of the problems `first` to `first + count`, in groups that share their tools.

    Problems whose requests share few words with their tools are mostly left out, so fewer than `count` are written.
    Most trajectories of one call end at it, and some of several: what comes later is the same whatever tools are
    offered. Further requests to the tools of a group end at their first plan (`choices`).
    """
    for start in range(first, first + count, _WINDOW):
        stop = min(start + _WINDOW, first + count)
        problems = [_trimmed(draw_problem(seed, split, index)) for index in range(start, stop)]
        rng = RandomStream("groups", seed, split, start)
        problems = [one for one in problems if is_plain(one) or not rng.below(_UNLIKE)]
        groups = [*enumerate(group(rng, problems))]
        for number, members in rng.sample(groups, len(groups)):
            shared = _sharing(rng, members, f"{split}-{start}-{number}")
            yield [*(_cut(rng, write_gold(each)) for each in shared), *write_choices(rng, shared[0], split)]


def group(rng: RandomStream, problems: Sequence[FunctionProblem]) -> Iterator[list[FunctionProblem]]:
    """Divide problems into groups in which no tool of one serves a request of another."""
    left = [*problems]
    while left:
        members, most = [left.pop(0)], rng.between(*_TOOLS)
        domains = {tool.domain for tool in members[0].tools.values()}
        near = [one for one in left if domains & {tool.domain for tool in one.tools.values()}]
        others = rng.sample(left, len(left))
        for candidate in [*(near if rng.below(3) else []), *others]:
            if len(members) == _REQUESTS or sum(len(one.tools) for one in members) >= most:
                break
            if candidate not in members and all(_fits(candidate, one) and _fits(one, candidate) for one in members):
                members.append(candidate)
        left = [one for one in left if one not in members]
        yield members


def _fits(other: FunctionProblem, problem: FunctionProblem) -> bool:
    """Test if the tools of `other` may stand beside those of `problem` without serving its request."""
    if other.tools.keys() & problem.tools.keys():
        return False
    own = {tool.domain for tool in problem.tools.values()}
    if problem.kind in _ASKING and any(tool.domain in own for tool in other.tools.values()):
        return False
    outside = any(each.end is End.DECLINE and each.wanted is None for each in problem.exchanges)
    if outside and any(tool.domain not in own for tool in other.tools.values()):
        return False
    served = _served(problem)
    return not any(
        (tool.domain, tool.need.id) == (domain, need.id) or (tool.domain != domain and might_serve(tool.need, need))
        for tool in other.tools.values()
        for domain, need in served
    )


def _served(problem: FunctionProblem) -> list[tuple[str, FunctionNeed]]:
    """Domain and need of each request of a problem, served or not."""
    domains = load_library().domains
    named = problem.task.metadata.get("needs")
    pairs = [str(name).partition(".") for name in (named if isinstance(named, list) else [])]
    return [(domain, domains[domain].needs[need]) for domain, _, need in pairs]


def _needed(problem: FunctionProblem) -> dict[str, InventedTool]:
    """Tools that a solution calls or asks about."""
    tools = [tool for exchange in problem.exchanges for step in exchange.steps for tool in step.tools]
    tools += [exchange.asked[0] for exchange in problem.exchanges if exchange.asked is not None]
    return {tool.spec.name: tool for tool in tools}


def _trimmed(problem: FunctionProblem) -> FunctionProblem:
    """The problem without most of the tools that it does not need."""
    needed = _needed(problem)
    domains = {tool.domain for tool in needed.values()} or {tool.domain for tool in problem.tools.values()}
    similar = [name for name, tool in problem.tools.items() if name not in needed and tool.domain in domains]
    kept = {*needed, *similar[: _SIMILAR if needed else _SIMILAR + 1]}
    return replace(problem, tools={name: tool for name, tool in problem.tools.items() if name in kept})


def _sharing(rng: RandomStream, members: Sequence[FunctionProblem], name: str) -> list[FunctionProblem]:
    """The problems, each with the tools of all in one random order; those of one need keep theirs."""
    tools = {name: tool for member in members for name, tool in member.tools.items()}
    order = rng.sample([*tools], len(tools))
    for member in members:
        for down in member.down:
            same = [at for at, other in enumerate(order) if tools[other].need is tools[down].need]
            at = order.index(down)
            order[at], order[same[0]] = order[same[0]], order[at]
    shared = {name: tools[name] for name in order}
    specs = tuple(tool.spec for tool in shared.values())
    return [
        replace(
            member,
            tools=shared,
            task=replace(member.task, tools=specs, metadata={**member.task.metadata, "group": name}),
        )
        for member in members
    ]


def _cut(rng: RandomStream, trajectory: Trajectory) -> Trajectory:
    at = next((at for at, turn in enumerate(trajectory.turns) if isinstance(turn, Call)), None)
    users = sum(isinstance(turn, User) for turn in trajectory.turns)
    if at is None or users > 1:
        return trajectory
    several = sum(isinstance(turn, Call) for turn in trajectory.turns) > 1
    if bool(rng.below(_WHOLE)) is several:
        return trajectory
    return replace(trajectory, turns=trajectory.turns[: at + 1])
