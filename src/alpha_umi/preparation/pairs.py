"""Preference pairs from search trees: a step that led to a verified answer against siblings that led to none.

Pure. A sibling counts as worse only when all of it was explored: one left open by a failing model, a spent budget or a
ranking proves nothing. A role's pair is two completions of one prompt, so planner and backbone are paired wherever a
step has siblings, caller and summarizer where the siblings' plans are the same. Hints that a search gave between steps
are not part of the prompts: an agent starts without them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from alpha_umi.errors import FormatError
from alpha_umi.protocols import Format
from alpha_umi.search import Node, NodeStatus, Tree
from alpha_umi.training.data.examples import learnable_steps
from alpha_umi.types import Answer, Call, Plan, Prompt, Role, Task, Trajectory, Turn, User

Verify: TypeAlias = Callable[[Node], bool | None]
"""Verifier of the end of a branch: True if it solves the task; None if that is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Two alternative steps after the same turns, the better and the worse."""

    turns: tuple[Turn, ...]
    chosen: tuple[Turn, ...]
    """A plan, with the call or the answer that it asks for."""
    rejected: tuple[Turn, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One row of preference training, in TRL's names; completions without the format's end mark."""

    role: Role
    prompt: Prompt
    chosen: str
    rejected: str


def without_hints(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Remove the hints of a search: all user turns but the query."""
    return tuple(turn for at, turn in enumerate(turns) if at == 0 or not isinstance(turn, User))


def find_choices(tree: Tree, verify: Verify) -> Iterator[Choice]:
    """Find, at every step that led to a verified answer, each sibling that is known to have led to none."""
    led = _outcomes(tree, verify)
    for node in tree.nodes:
        children = tree.children(node) if led.get(node.index) else []
        good = [step for child in children if led[child.index] is True and (step := _step(child))]
        bad = [step for child in children if led[child.index] is False and (step := _step(child))]
        before = without_hints(tree.branch(node))
        for chosen in good:
            if not any(learnable_steps(Trajectory(task=tree.task, turns=(*before, *chosen)))):
                continue
            yield from (Choice(turns=before, chosen=chosen, rejected=rejected) for rejected in bad)


def _outcomes(tree: Tree, verify: Verify) -> Mapping[int, bool | None]:
    """By node, True if its subtree holds a verified answer, False if it holds none, None if that is unknown."""
    ends = {node.index: _end(node, verify) for node in tree.nodes}
    led: dict[int, bool | None] = {}
    solvable = any(ends[node.index] for node in tree.nodes if node.status is NodeStatus.ANSWERED)
    families: dict[int, list[bool | None]] = {}
    for node in reversed(tree.nodes):  # a parent comes before its children
        below = families.get(node.index)
        led[node.index] = ends[node.index] if below is None else _any(below)
        if node.status is NodeStatus.GAVE_UP and solvable:
            led[node.index] = False
        if node.parent is not None:
            families.setdefault(node.parent, []).append(led[node.index])
    return led


def _end(node: Node, verify: Verify) -> bool | None:
    match node.status:
        case NodeStatus.ANSWERED | NodeStatus.GAVE_UP:
            return verify(node)
        case NodeStatus.LIMIT:
            return False
        case NodeStatus.OPEN | NodeStatus.DONE | NodeStatus.FAILED:
            return None


def _any(found: Sequence[bool | None]) -> bool | None:
    return True if True in found else None if None in found else False


def _step(node: Node) -> tuple[Turn, ...]:
    """A plan and the first call or answer after it; empty where there is no plan."""
    turns = [turn for turn in node.turns if not isinstance(turn, User)]
    if not turns or not isinstance(turns[0], Plan):
        return ()
    return tuple(turns[:2]) if len(turns) > 1 and isinstance(turns[1], Call | Answer) else (turns[0],)


def make_pairs(task: Task, choice: Choice, form: Format, roles: Sequence[Role]) -> Iterator[Pair]:
    """Make the pairs of a choice; none for a role without a prompt in the format or without two completions of it."""
    plans = [turns[0] for turns in (choice.chosen, choice.rejected)]
    acts = [turns[1:] for turns in (choice.chosen, choice.rejected)]
    for role in roles:
        match role:
            case Role.BACKBONE:
                turns, said = choice.turns, (choice.chosen, choice.rejected)
            case Role.PLANNER:
                turns, said = choice.turns, ((plans[0],), (plans[1],))
            case Role.CALLER | Role.SUMMARIZER:
                if plans[0] != plans[1] or not all(acts):
                    continue
                turns, said = (*choice.turns, plans[0]), (acts[0], acts[1])
            case _:
                continue  # an optional role says nothing that a search chooses between
        try:
            chosen, rejected = (form.write(role, each) for each in said)
            prompt = form.render(role, task, turns)
        except FormatError:
            continue
        if chosen != rejected:
            yield Pair(role=role, prompt=prompt, chosen=chosen, rejected=rejected)
