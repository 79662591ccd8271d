"""Tasks that go on where another one ended: its calls, and those before it, are played before their own.

A task names the other one as `after` in its metadata, which must stand before it in the file; the calls are then its
`earlier`, for environments that keep a state. Nothing else is taken along: what was said is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace

from alpha_umi.errors import DataError
from alpha_umi.rollouts.runner import Job, Rollout
from alpha_umi.types import Json, Task, Trajectory

AFTER, EARLIER = "after", "earlier"


class Sequences:
    """Tasks of a run by the ones that they go on after; each waits for that one."""

    def __init__(self, jobs: Sequence[Job], roll_out: Callable[[Job], Awaitable[Rollout]]) -> None:
        """Take `jobs` in the order in which they begin. Raises DataError for one that stands before its `after`."""
        self._roll_out = roll_out
        self._ended: dict[str, asyncio.Event] = {}
        self._calls: dict[str, list[Json]] = {}
        before = set[str]()
        for job in jobs:
            other = job.query.task.metadata.get(AFTER)
            if other is not None and f"{job.set}/{other}" not in before:
                raise DataError(f"task {job.key} goes on after {other!r}, which must stand before it in the same file")
            before.add(job.key)
            if other is not None:
                self._ended[f"{job.set}/{other}"] = asyncio.Event()

    def recall(self, rollouts: Iterable[Rollout]) -> None:
        """Take the calls of tasks that are finished already."""
        for rollout in rollouts:
            self._end(rollout.key, rollout.trajectory)

    async def roll_out(self, job: Job) -> Rollout:
        """Roll out a job after the one that it goes on after. Raises nothing but cancellation, as `Explorer`."""
        task = job.query.task
        key = f"{job.set}/{task.metadata.get(AFTER)}"
        if AFTER in task.metadata:
            await self._ended[key].wait()
            task = replace(task, metadata={**task.metadata, EARLIER: self._calls[key]})
            job = replace(job, query=replace(job.query, task=task))
        rollout = await self._roll_out(job)
        self._end(job.key, replace(rollout.trajectory, task=task))
        return rollout

    def _end(self, key: str, trajectory: Trajectory) -> None:
        if key in self._ended:
            own: list[Json] = [{"name": call.name, "arguments": call.arguments} for call in trajectory.calls]
            self._calls[key] = [*earlier_calls(trajectory.task), *own]
            self._ended[key].set()


def earlier_calls(task: Task) -> list[Json]:
    """Calls that were made before a task, as objects of `name` and `arguments`."""
    earlier = task.metadata.get(EARLIER)
    return list(earlier) if isinstance(earlier, list) else []
