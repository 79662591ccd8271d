"""Runner of rollouts: many tasks searched concurrently, each saved when it finishes, so that a killed run can resume.

RUN/rollout.toml                settings of the rollouts
RUN/rollouts.jsonl              a line per finished task: a trajectory, and the nodes of its search
RUN/answers/SET/ID_METHOD.json  the same as ToolBench's answer files

A line is written whole, after its answer file, and is on the disk before its task counts as finished. An error within
a task becomes that task's `error`; only an error that stops every task (a full disk) ends the run.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from alpha_umi.datasets.queries import Query, QuerySet
from alpha_umi.errors import AlphaUMiError, DataError, describe
from alpha_umi.file_names import file_name, is_file_name
from alpha_umi.protocols import Agent, Environment
from alpha_umi.record_faults import rollout_fault, value_fault
from alpha_umi.rollouts.dialogues import Opening, converse
from alpha_umi.search import Limits, Node, NodeStatus, Strategy, Tree, method_name
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
from alpha_umi.types import Json, Observation, StopReason, Task, ToolSpec, Trajectory, Turn, Usage

if TYPE_CHECKING:
    from alpha_umi.world import Verdict

ROLLOUTS = "rollouts.jsonl"
_CLEANUP_S = 5.0
"""Time for a cancelled search to clean up."""
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
    """Result of one task: the trajectory, the search tree and the counts of its search."""

    set: str
    trajectory: Trajectory
    """The best branch."""
    nodes: tuple[Node, ...]
    """All nodes of the search."""
    method: str
    """ToolBench's name of the strategy."""
    verdict: Mapping[str, Json] | None = None
    """`passed` and `reasons`, where the environment can tell."""
    error: str = ""
    """Error that ended the task before its search did; empty where there was none."""
    seconds: float = 0.0

    @property
    def key(self) -> str:
        return f"{self.set}/{self.trajectory.task.id}"

    @property
    def tree(self) -> Tree:
        """Search tree of the rollout."""
        return Tree(task=self.trajectory.task, nodes=list(self.nodes))


# --- one task -------------------------------------------------------------------------------------------


class Environments(Protocol):
    """Source of the environment in which the tools of a query are run; loading.environments.LoadedEnvironment."""

    def open(self, query: Query, notes: list[str] | None = None) -> Environment: ...

    def history(self, task: Task) -> tuple[Turn, ...]: ...

    async def introduction(self, task: Task) -> str: ...

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict | None: ...


class Selection(Protocol):
    """Selection of the tools that an agent reads; retrieval.selection.ToolSelection."""

    def of(self, agent: Agent) -> Agent: ...

    def seen(self, tree: Tree) -> tuple[ToolSpec, ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Explorer:
    """Agent, search and environments of a run: all that a rollout needs besides its query."""

    agent: Agent
    environments: Environments
    strategy: Strategy
    limits: Limits
    method: str
    selection: Selection | None = None
    """Tools that the agent reads of those that a task offers; None: all."""

    async def roll_out(self, job: Job) -> Rollout:
        """Roll out one job. Raises nothing but cancellation: any other error is the rollout's `error`."""
        started = time.monotonic()
        search = _Search(Tree(task=job.query.task))
        # A task of its own: an agent that cancels itself, or swallows a cancellation, does so to that one.
        running = asyncio.ensure_future(self._search(job, search))
        try:
            await asyncio.wait({running})
        except asyncio.CancelledError:
            running.cancel()
            await asyncio.wait({running}, timeout=_CLEANUP_S)
            raise
        if running.cancelled():
            search.error = describe(asyncio.CancelledError())
        tree, verdict = search.tree, search.verdict
        return Rollout(
            set=job.set,
            trajectory=tree.best if tree.nodes else Trajectory(task=tree.task, turns=()),
            nodes=tuple(tree.nodes),
            method=self.method,
            verdict=None if verdict is None else {"passed": verdict.passed, "reasons": list(verdict.reasons)},
            error=search.error,
            seconds=round(time.monotonic() - started, 3),
        )

    async def _search(self, job: Job, search: _Search) -> None:
        # Agents, models and environments may be third-party code: what they raise, of any class, must not end the other
        # tasks. Ctrl-C is no exception in here: asyncio.run turns it into a cancellation.
        try:
            environment = self.environments.open(job.query)
            search.tree = Tree(task=with_tools(job.query.task, environment))
            opening = Opening(
                history=self.environments.history(job.query.task),
                introduction=await self.environments.introduction(job.query.task),
            )
            await self._solve(search.tree, environment, opening)
            search.verdict = self.environments.verify(search.tree.task, search.tree.best)
        except asyncio.CancelledError:
            raise
        except BaseException as raised:
            search.error = describe(raised)
            if not isinstance(raised, AlphaUMiError):
                _log.info("%s ended with an error", job.key, exc_info=raised)

    async def _solve(self, tree: Tree, environment: Environment, opening: Opening) -> None:
        """Solve the tree's task, which keeps of its tools those that the agent has read."""
        if self.selection is None:
            return await converse(tree, self.agent, environment, self.limits, self.strategy, opening)
        try:
            agent = self.selection.of(self.agent)
            await converse(tree, agent, environment, self.limits, self.strategy, opening)
        finally:
            tree.task = replace(tree.task, tools=self.selection.seen(tree))


@dataclass(slots=True)
class _Search:
    """Search of one task as far as it got."""

    tree: Tree
    verdict: Verdict | None = None
    error: str = ""


def with_tools(task: Task, environment: Environment) -> Task:
    """Return the task with the tools that its environment offers."""
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
    """List the first `limit` queries of each set."""
    return [Job(set=each.name, query=query) for each in sets for query in each.queries[:limit]]


# --- on disk ----------------------------------------------------------------------------------------------


class RolloutFolder:
    """Folder of a run on disk; one process at a time may add to it."""

    def __init__(self, out: Path, recorder: Recorder) -> None:
        """Open the folder and remove an incomplete last line."""
        self.out = out
        self._recorder = recorder
        self._method = method_name(recorder.strategy)
        drop_half_line(out / ROLLOUTS)

    def read(self) -> Iterator[Rollout]:
        """Read the finished tasks of the folder."""
        return read_rollouts(self.out) if (self.out / ROLLOUTS).exists() else iter(())

    def add(self, rollouts: Sequence[Rollout]) -> None:
        """Append finished tasks; they are on the disk on return. Raises StorageError."""
        append_rows(self.out / ROLLOUTS, [self._encode(rollout) for rollout in rollouts])

    def _encode(self, rollout: Rollout) -> dict[str, Json]:
        """Row of a rollout whose answer file is written; of one that JSON cannot express, the error alone."""
        try:
            self.write_answer(rollout)
            row = encode_rollout(rollout)
            dump_line(row)
        except (TypeError, ValueError, RecursionError) as error:
            task = Task(id=rollout.trajectory.task.id, query=rollout.trajectory.task.query)
            reason = f"{rollout.error}; " if rollout.error else ""
            return encode_rollout(
                Rollout(
                    set=rollout.set,
                    trajectory=Trajectory(task=task, turns=()),
                    nodes=(),
                    method=rollout.method,
                    error=f"{reason}cannot be written: {describe(error)}",
                    seconds=rollout.seconds,
                )
            )
        return row

    def write_answer(self, rollout: Rollout, *, overwrite: bool = True) -> None:
        """Write the answer file of a rollout; unless `overwrite`, only where there is none."""
        path = self._answer_path(rollout.set, rollout.trajectory.task.id)
        if rollout.nodes and (overwrite or not path.exists()):
            # On one line: of every task's tree there is one, and indenting takes longer than all the rest of it.
            with write_text(path) as text:
                text.write(dump_line(self._recorder.write(rollout.tree)))

    def _answer_path(self, query_set: str, task_id: str) -> Path:
        """Path of an answer file: where an earlier version put it, if there is one."""
        answers, end = self.out / "answers", f"_{self._method}.json"
        before = re.sub(r"[^\w.-]|_", "-", task_id).lstrip(".") or "-"
        if (
            is_file_name(query_set)
            and is_file_name(before)
            and (old := answers / query_set / f"{before}{end}").exists()
        ):
            return old
        return answers / file_name(query_set) / f"{file_name(task_id, without='_')}{end}"

    def forget(self, unwanted: Callable[[Rollout], bool]) -> None:
        """Remove rollouts from the run, so that their tasks run again."""
        kept = [row for row in self.read() if not unwanted(row)]
        with write_text(self.out / ROLLOUTS) as text:
            for rollout in kept:
                text.write(dump_line(encode_rollout(rollout)))


def read_rollouts(run: Path) -> Iterator[Rollout]:
    """Read the finished tasks of a run, in the order in which they finished. Raises DataError naming the line."""
    path = run / ROLLOUTS if run.is_dir() else run
    for number, row in read_rows(path):
        try:
            yield decode_rollout(row)
        except DataError as error:
            raise DataError(f"{path}:{number}: {error}") from None


def encode_rollout(rollout: Rollout) -> dict[str, Json]:
    """Encode as a trajectory's JSON form with further fields: a file of rollouts is a file of trajectories, too."""
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
    """Encode a node of the search tree as JSON."""
    return {
        "index": node.index,
        "parent": node.parent,
        "turns": [encode_turn(turn) for turn in node.turns],
        "status": node.status.value,
        "usage": encode_usage(node.usage),
        "hint": node.hint,
        "visit": node.visit,
        **({"faulty": True} if node.faulty else {}),
    }


def decode_rollout(row: Any) -> Rollout:
    """Decode the JSON form of `encode_rollout`. Raises DataError naming the field."""
    trajectory = decode_trajectory(row)
    if fault := value_fault(trajectory) or rollout_fault(row):
        raise DataError(f"not a rollout: {fault}")
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
    except (KeyError, TypeError, ValueError, AttributeError) as error:
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
        faulty=row.get("faulty", False),
    )


# --- counts -----------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Counts:
    """Counts over the rollouts of a run, or of one of its sets: outcomes, errors, tokens, calls, seconds."""

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
        """Count one rollout."""
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
    """Count the tool calls that were answered, on all branches."""
    return sum(isinstance(turn, Observation) for node in nodes for turn in node.turns)
