"""Agent that follows the gold trajectory, for dry runs and as the upper bound of other agents."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from alpha_umi.errors import DataError
from alpha_umi.types import Answer, Call, Decision, Plan, Proposal, Task, Turn, Usage, User
from alpha_umi.world.universe import World


class OracleAgent:
    """protocols.Agent for tasks of the sealed world: the next step of the gold, whatever the tools answered."""

    async def propose(self, task: Task, turns: Sequence[Turn]) -> Proposal:
        """The next step of the gold trajectory. Raises DataError for a task that no world of this version made."""
        made = sum(not isinstance(turn, User) for turn in turns)
        rest = [turn for turn in world_of(task).gold(task).turns if not isinstance(turn, User)][made:]
        end = next((at for at, turn in enumerate(rest, start=1) if isinstance(turn, Call | Answer)), len(rest))
        step = tuple(rest[:end]) or (Plan(thought="", decision=Decision.GIVE_UP),)
        return Proposal(turns=step, usage=Usage(completions=1))


def world_of(task: Task) -> World:
    """The world that made a task, by the task's metadata. Raises DataError where that names none."""
    preset, seed = task.metadata.get("preset"), task.metadata.get("seed")
    if "world" not in task.metadata or not isinstance(preset, str) or not isinstance(seed, int):
        raise DataError(f"task {task.id!r} is no task of the sealed world; make some by 'umi world write'")
    return open_world(preset, seed)


open_world = lru_cache(maxsize=8)(World)
"""The world of a preset and a seed, made once."""
