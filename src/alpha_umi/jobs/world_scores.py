"""Scores of rollouts of a sealed world's tasks, by kind of task: verdicts, first calls, all calls, invented names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from alpha_umi.config.calls import validated
from alpha_umi.errors import DataError
from alpha_umi.evaluation.call_faults import CallFaults, find_faults
from alpha_umi.evaluation.metrics import Metric, mean
from alpha_umi.evaluation.reliability import THRESHOLDS, Reliability, least_confidence
from alpha_umi.output_lock import locks_out
from alpha_umi.report.tables import markdown_table
from alpha_umi.rollouts.runner import Rollout, read_rollouts
from alpha_umi.store import write_json
from alpha_umi.types import Call, Json, Turn
from alpha_umi.world import World

ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskScore:
    """Scores of one rolled out task against its gold trajectory."""

    kind: str
    """Kind of the task; its split, in a world that names none."""
    right: bool
    """The verifier passes its calls and its answer."""
    calls: bool
    """The verifier passes its calls."""
    first_tool: bool
    """The first call is to the tool that the gold trajectory calls first; where that calls none, there is none."""
    faults: CallFaults
    confidence: float | None = None
    """Of the least sure call, 0 to 1; None where no call has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldScores:
    """Scores of rollouts, by kind and over all."""

    tasks: tuple[TaskScore, ...]

    def rows(self) -> dict[str, dict[str, Metric]]:
        """Shares by kind, in the order of the alphabet; `all` comes last."""
        kinds = sorted({task.kind for task in self.tasks})
        groups = {kind: [task for task in self.tasks if task.kind == kind] for kind in kinds} | {ALL: [*self.tasks]}
        return {kind: _shares(tasks) for kind, tasks in groups.items()}

    def to_json(self) -> dict[str, Json]:
        """JSON object of the results."""
        rows: dict[str, Json] = {
            kind: {name: [metric.value, metric.low, metric.high, metric.count] for name, metric in row.items()}
            for kind, row in self.rows().items()
        }
        told = self.reliability
        bins: list[Json] = [[each.low, each.high, each.right.value, each.right.count] for each in told.bins()]
        return {"kinds": rows, "reliability": {"bins": bins, "error": told.error}} if bins else {"kinds": rows}

    @property
    def reliability(self) -> Reliability:
        """Confidences of the tasks with calls, each with whether the verifier passes the calls."""
        return Reliability(tuple((task.confidence, task.calls) for task in self.tasks if task.confidence is not None))

    def to_markdown(self) -> str:
        """Table in percent, with 95 % intervals over all tasks; a second one of confidences where calls have them."""
        columns = ("kind", "tasks", "right", "right calls", "right first tool", "invented names, of the calls")
        table = markdown_table(columns, [_line(kind, row) for kind, row in self.rows().items()])
        return f"{table}\n{_reliability_table(self.reliability)}" if self.reliability.pairs else table


def _shares(tasks: Sequence[TaskScore]) -> dict[str, Metric]:
    of: Mapping[str, Callable[[TaskScore], bool]] = {
        "right": lambda task: task.right,
        "calls": lambda task: task.calls,
        "first_tool": lambda task: task.first_tool,
    }
    shares = {name: mean([float(read(task)) for task in tasks]) for name, read in of.items()}
    faults = sum((task.faults for task in tasks), CallFaults())
    invented = [1.0] * faults.unknown_names + [0.0] * (faults.calls - faults.unknown_names)
    return {**shares, "invented": mean(invented)}


def _line(kind: str, row: Mapping[str, Metric]) -> list[str]:
    cells = [metric.percent if kind == ALL else metric.percent.partition(" ")[0] for metric in row.values()]
    return [kind, str(row["right"].count), *cells]


def _reliability_table(told: Reliability) -> str:
    """Right calls by confidence, and of those that thresholds keep."""
    bins = [[f"{each.low:.2f} to {each.high:.2f}", each.right] for each in told.bins()]
    kept = [[f"at least {threshold}", told.kept(threshold)] for threshold in THRESHOLDS]
    rows = [[name, str(share.count), share.percent if share.count else ""] for name, share in [*bins, *kept]]
    return markdown_table(("least confidence of a call", "tasks", "right calls"), rows)


@validated
@locks_out
def evaluate_world(rollouts: Path, out: Path | None = None) -> WorldScores:
    """Score rollouts of a sealed world's tasks (`umi rollout --env world`) by kind of task.

    `rollouts`: the run's folder; `out`: where the figures go (.json). Raises DataError for rollouts of other tasks.
    """
    worlds = dict[tuple[str, int], World]()
    scores = WorldScores(tasks=tuple(_score(each, rollouts, worlds) for each in read_rollouts(rollouts)))
    if not scores.tasks:
        raise DataError(f"{rollouts}: holds no finished task")
    if out is not None:
        write_json(out, scores.to_json())
    return scores


def _score(rollout: Rollout, source: Path, worlds: dict[tuple[str, int], World]) -> TaskScore:
    trajectory, task = rollout.trajectory, rollout.trajectory.task
    preset, seed = task.metadata.get("preset"), task.metadata.get("seed", 0)
    if not isinstance(preset, str) or not isinstance(seed, int):
        raise DataError(f"{source}: task {task.id!r} is of no sealed world; roll out tasks of `umi world write`")
    world = worlds.setdefault((preset, seed), World(preset, seed))
    verdict, start = world.verify(task, trajectory), len(world.history(task))
    return TaskScore(
        kind=str(task.metadata.get("kind", task.metadata.get("split"))),
        right=verdict.passed,
        calls=verdict.supported,
        first_tool=_first_tool(trajectory.turns[start:]) == _first_tool(world.gold(task).turns[start:]),
        confidence=least_confidence(trajectory.turns[start:]),
        faults=find_faults(trajectory.turns[start:], {tool.name for tool in task.tools}),
    )


def _first_tool(turns: Sequence[Turn]) -> str | None:
    return next((turn.name for turn in turns if isinstance(turn, Call)), None)
