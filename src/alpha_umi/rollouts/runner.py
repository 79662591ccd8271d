"""Rollouts: many tasks searched at once, each finished one on disk at once, so that a run can be killed and go on.

RUN/rollout.toml                what the rollouts are made with
RUN/rollouts.jsonl              a line per finished task: a trajectory, and what its search tried
RUN/answers/SET/ID_METHOD.json  the same as ToolBench's answer files

A line is written whole, after its answer file, and is on the disk before its task counts as finished. Whatever goes
wrong in one task is that task's `error`; only what nobody could go on from (a full disk) ends the run.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from alpha_umi.datasets.queries import Query, QuerySet
from alpha_umi.errors import AlphaUMiError, DataError
from alpha_umi.protocols import Agent, Environment
from alpha_umi.search import Limits, Node, NodeStatus, Strategy, Tree, explore, method_name
from alpha_umi.search.record import Recorder
from alpha_umi.store import (
    append_rows,
    decode_trajectory,
    decode_turn,
    drop_half_line,
    dump_line,
    encode_trajectory,
    encode_turn,
    encode_usage,
    read_rows,
    write_text,
)
from alpha_umi.types import Json, Observation, StopReason, Task, Trajectory, Usage

if TYPE_CHECKING:
    from alpha_umi.world import Verdict

ROLLOUTS = "rollouts.jsonl"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One query to roll out."""

    set: str
    query: Query

    @property
    def key(self) -> str:
        return f"{self.set}/{self.query.task.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One searched task."""

    set: str
    trajectory: Trajectory
    """The best branch."""
    nodes: tuple[Node, ...]
    """All that was tried."""
    method: str
    """ToolBench's name of the strategy."""
    verdict: Mapping[str, Json] | None = None
    """`passed` and `reasons`, where the environment can tell."""
    error: str = ""
    """What ended the task before its search came to an end; empty where nothing did."""
    seconds: float = 0.0

    @property
    def key(self) -> str:
        return f"{self.set}/{self.trajectory.task.id}"

    @property
    def tree(self) -> Tree:
        return Tree(task=self.trajectory.task, nodes=list(self.nodes))


# --- one task -------------------------------------------------------------------------------------------


class Environments(Protocol):
    """Where the tools of each query are run; build.environments.LoadedEnvironment."""

    def open(self, query: Query, notes: list[str] | None = None) -> Environment: ...

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Explorer:
    """All that a rollout needs but its query."""

    agent: Agent
    environments: Environments
    strategy: Strategy
    limits: Limits
    method: str

    async def roll_out(self, job: Job) -> Rollout:
        """Never raises but for cancellation: what goes wrong is the rollout's `error`."""
        started = time.monotonic()
        tree = Tree(task=job.query.task)
        verdict, error = None, ""
        # Agents, models and tools may be anybody's code, and one task must not end the others.
        try:
            environment = self.environments.open(job.query)
            tree = Tree(task=with_tools(job.query.task, environment))
            async with aclosing(explore(self.agent, environment, tree.task, self.limits, self.strategy)) as nodes:
                async for node in nodes:
                    tree.add(node)
            verdict = self.environments.verify(tree.task, tree.best)
        except (Exception, SystemExit, asyncio.CancelledError) as raised:
            if isinstance(raised, asyncio.CancelledError) and _is_cancelled():
                raise
            error = f"{type(raised).__name__}: {raised}"
            if not isinstance(raised, AlphaUMiError):
                _log.info("%s ended with an error", job.key, exc_info=raised)
        return Rollout(
            set=job.set,
            trajectory=tree.best if tree.nodes else Trajectory(task=tree.task, turns=()),
            nodes=tuple(tree.nodes),
            method=self.method,
            verdict=None if verdict is None else {"passed": verdict.passed, "reasons": list(verdict.reasons)},
            error=error,
            seconds=round(time.monotonic() - started, 3),
        )


def _is_cancelled() -> bool:
    """Whether it is this task that is to end, and not something in it that was cancelled by others."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def with_tools(task: Task, environment: Environment) -> Task:
    """The task as its environment offers it."""
    return Task(id=task.id, query=task.query, tools=environment.tools, metadata=task.metadata)


# --- many -----------------------------------------------------------------------------------------------


async def roll_out_all(
    jobs: Iterable[Job], roll_out: Callable[[Job], Awaitable[Rollout]], concurrency: int
) -> AsyncGenerator[list[Rollout], None]:
    """Roll out all jobs, `concurrency` at a time; yields those that finished together, in no order."""
    waiting = iter(jobs)
    running = {asyncio.ensure_future(roll_out(job)) for job in islice(waiting, concurrency)}
    try:
        while running:
            finished, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            running |= {asyncio.ensure_future(roll_out(job)) for job in islice(waiting, len(finished))}
            yield [done.result() for done in finished]
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def list_jobs(sets: Sequence[QuerySet], limit: int | None = None) -> list[Job]:
    """The first `limit` queries of each set. Raises DataError where two answers would have one file's name."""
    jobs = [Job(set=each.name, query=query) for each in sets for query in each.queries[:limit]]
    environments: dict[tuple[str, str], Job] = {}
    for job in jobs:
        environment = job.set, file_name(job.query.task.id)
        if environment in environments:
            one, other = environments[environment].query.task.id, job.query.task.id
            raise DataError(f"set {job.set}: the answers to {one!r} and {other!r} would be one file; rename a query")
        environments[environment] = job
    return jobs


def file_name(task_id: str) -> str:
    """A task's id as it stands in file names, where `_` ends it."""
    return re.sub(r"[^\w.-]|_", "-", task_id).lstrip(".") or "-"


# --- on disk ----------------------------------------------------------------------------------------------


class RolloutFolder:
    """The folder of a run; one process at a time may add to it."""

    def __init__(self, out: Path, recorder: Recorder) -> None:
        """Takes away a line that a kill cut short, and writes what answer files are missing."""
        self.out = out
        self._recorder = recorder
        self._method = method_name(recorder.strategy)
        drop_half_line(out / ROLLOUTS)

    def read(self) -> Iterator[Rollout]:
        return read_rollouts(self.out) if (self.out / ROLLOUTS).exists() else iter(())

    def add(self, rollouts: Sequence[Rollout]) -> None:
        """They are on the disk when this returns. Raises StorageError."""
        for rollout in rollouts:
            self.write_answer(rollout)
        append_rows(self.out / ROLLOUTS, (encode_rollout(rollout) for rollout in rollouts))

    def write_answer(self, rollout: Rollout, *, anew: bool = True) -> None:
        """The answer file of a rollout; unless `anew`, only where there is none."""
        name = f"{file_name(rollout.trajectory.task.id)}_{self._method}.json"
        path = self.out / "answers" / rollout.set / name
        if rollout.nodes and (anew or not path.exists()):
            # On one line: of every task's tree there is one, and indenting takes longer than all the rest of it.
            with write_text(path) as text:
                text.write(dump_line(self._recorder.write(rollout.tree)))

    def forget(self, unwanted: Callable[[Rollout], bool]) -> None:
        """Take rollouts out of the run, so that they are made again."""
        kept = [row for row in self.read() if not unwanted(row)]
        with write_text(self.out / ROLLOUTS) as text:
            for rollout in kept:
                text.write(dump_line(encode_rollout(rollout)))


def read_rollouts(run: Path) -> Iterator[Rollout]:
    """The finished tasks of a run, in the order in which they finished. Raises DataError naming the line."""
    path = run / ROLLOUTS if run.is_dir() else run
    for number, row in read_rows(path):
        try:
            yield decode_rollout(row)
        except DataError as error:
            raise DataError(f"{path}:{number}: {error}") from None


def encode_rollout(rollout: Rollout) -> dict[str, Json]:
    """A trajectory's JSON form with fields of its own, so that a file of rollouts is one of trajectories, too."""
    return {
        **encode_trajectory(rollout.trajectory),
        "set": rollout.set,
        "method": rollout.method,
        "nodes": [encode_node(node) for node in rollout.nodes],
        "verdict": None if rollout.verdict is None else dict(rollout.verdict),
        "error": rollout.error,
        "seconds": rollout.seconds,
    }


def encode_node(node: Node) -> dict[str, Json]:
    return {
        "index": node.index,
        "parent": node.parent,
        "turns": [encode_turn(turn) for turn in node.turns],
        "status": node.status.value,
        "usage": encode_usage(node.usage),
        "hint": node.hint,
        "visit": node.visit,
    }


def decode_rollout(row: Any) -> Rollout:
    """The inverse of `encode_rollout`. Raises DataError that names the field."""
    trajectory = decode_trajectory(row)
    try:
        return Rollout(
            set=row["set"],
            trajectory=trajectory,
            nodes=tuple(_decode_node(node) for node in row["nodes"]),
            method=row["method"],
            verdict=row.get("verdict"),
            error=row.get("error", ""),
            seconds=row.get("seconds", 0.0),
        )
    except KeyError as error:
        raise DataError(f"not a rollout: field {error} is missing") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"not a rollout: {error}") from None


def _decode_node(row: Mapping[str, Any]) -> Node:
    return Node(
        index=row["index"],
        parent=row["parent"],
        turns=tuple(decode_turn(turn) for turn in row["turns"]),
        status=NodeStatus(row["status"]),
        usage=Usage(**row["usage"]),
        hint=row["hint"],
        visit=row["visit"],
    )


# --- counts -----------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Counts:
    """What became of the tasks of a run, or of one of its sets."""

    tasks: int = 0
    answered: int = 0
    gave_up: int = 0
    verified: int = 0
    """Of them, those whose environment can tell whether they are done."""
    passed: int = 0
    errors: int = 0
    tokens: int = 0
    completions: int = 0
    calls: int = 0
    seconds: float = 0.0

    def add(self, rollout: Rollout) -> None:
        usage = rollout.trajectory.usage
        self.tasks += 1
        self.answered += rollout.trajectory.stop is StopReason.ANSWERED
        self.gave_up += rollout.trajectory.stop is StopReason.GAVE_UP
        self.verified += rollout.verdict is not None
        self.passed += bool(rollout.verdict and rollout.verdict.get("passed"))
        self.errors += bool(rollout.error)
        self.tokens += usage.prompt_tokens + usage.completion_tokens
        self.completions += usage.completions
        self.calls += count_calls(rollout.nodes)
        self.seconds += rollout.seconds

    def to_json(self) -> dict[str, Json]:
        """JSON object of the counts."""
        return {each.name: getattr(self, each.name) for each in fields(Counts)}

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(Counts)})


def count_calls(nodes: Iterable[Node]) -> int:
    """Tool calls that were answered, on all branches."""
    return sum(isinstance(turn, Observation) for node in nodes for turn in node.turns)
