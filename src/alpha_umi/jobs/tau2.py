"""tau2-bench: tasks of its domains with a scripted user, and the check of a run's end states."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from alpha_umi.config.calls import validated
from alpha_umi.datasets.tau2 import read_task
from alpha_umi.environments.simulators import Simulator, read_object
from alpha_umi.environments.tau2.environment import PROGRAM
from alpha_umi.errors import DataError
from alpha_umi.evaluation.tau2 import EndState, Tau2Report
from alpha_umi.formats.tool_lists import read_tools
from alpha_umi.jobs.options import AtLeastOne
from alpha_umi.output_lock import locks_out
from alpha_umi.rollouts.runner import ROLLOUTS
from alpha_umi.store import read_trajectories, write_json, write_text, write_trajectories
from alpha_umi.types import Answer, Task, Trajectory


@validated
@locks_out
def prepare_tau2(
    domains: Sequence[Literal["airline", "retail"]], out: Path, *, python: Path, limit: AtLeastOne | None = None
) -> int:
    """Write the tasks of tau2-bench's domains for `rollout`; returns their number.

    `python`: the interpreter of an environment with tau2; `limit`: tasks of each domain. Roll them out with the
    environment `tau2`. Raises ConfigError where tau2 cannot be run there.
    """
    with closing(Simulator(python, PROGRAM)) as simulator:
        tasks = [task for domain in domains for task in _tasks(simulator, domain)[:limit]]
    return write_trajectories(out, (Trajectory(task=task, turns=()) for task in tasks))


def _tasks(simulator: Simulator, domain: str) -> list[Task]:
    told = _ask(simulator, {"domain": domain})
    tools = read_tools(told["tools"])
    return [read_task(each, domain, tools) for each in told["tasks"]]


@validated
@locks_out
def evaluate_tau2(predictions: Path, out: Path, *, python: Path) -> Tau2Report:
    """Check the databases that the calls of a run lead to, against those after the golden actions.

    `predictions`: a run of rollouts, or trajectories, whose tasks are tau2-bench's; `out`: where figures (.json) and
    table (.md) go; `python`: the interpreter of an environment with tau2. Raises ConfigError where it cannot be run
    there, DataError where no task is of tau2-bench.
    """
    path = predictions / ROLLOUTS if predictions.is_dir() else predictions
    with closing(Simulator(python, PROGRAM)) as simulator:
        checks = [each for trajectory in read_trajectories(path) if (each := _check(simulator, trajectory)) is not None]
    if not checks:
        raise DataError(f"{path}: none of its tasks is one of tau2-bench; make them by 'umi prepare tau2'")
    report = Tau2Report(checks=checks)
    write_json(out, report.to_json())
    with write_text(out.with_suffix(".md")) as file:
        file.write(report.to_markdown())
    return report


def _check(simulator: Simulator, trajectory: Trajectory) -> EndState | None:
    """Check one trajectory; None where its task is not tau2-bench's."""
    simulation = trajectory.task.metadata.get("simulation")
    if not isinstance(simulation, dict) or trajectory.task.metadata.get("source") != "tau2":
        return None
    offered = {tool.name for tool in trajectory.task.tools}
    calls = [
        {"name": call.name, "arguments": arguments}
        for call in trajectory.calls
        if call.name in offered and (arguments := read_object(call.arguments)) is not None
    ]
    answers = [turn.text for turn in trajectory.turns if isinstance(turn, Answer)]
    domain = str(simulation.get("domain"))
    found = _ask(simulator, {"domain": domain, "task": simulation.get("task"), "calls": calls, "answers": answers})
    return EndState(
        id=trajectory.task.id,
        domain=domain,
        right=found["right"],
        right_without=found["right_without"],
        told=found["told"],
    )


def _ask(simulator: Simulator, request: dict[str, Any]) -> dict[str, Any]:
    """Ask once more where an answer took too long: the first one waits for tau2 to be imported. Raises DataError."""
    answer = simulator.ask(request) or simulator.ask(request)
    if answer is None:
        raise DataError(f"tau2's {request['domain']}: no answer in time; try again when the machine is free")
    return answer
