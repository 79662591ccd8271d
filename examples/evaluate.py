"""Measure an agent on tasks of your own: every step after the recorded turns, then whole tasks live.

    python examples/train_on_own_tools.py runs/shop
    python examples/evaluate.py runs/shop

The test tasks are worded as no training task is. A step that differs from the recorded one is not always wrong, so the
live measure looks at what counts: the answer holds the value, and the calls are the right ones.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from train_on_own_tools import TOOLS, trajectory

import alpha_umi as umi
from alpha_umi.store import write_trajectories

TASKS = 40


def measure_steps(run: Path, tasks: Sequence[umi.Trajectory], folder: Path) -> str:
    """Plan accuracy, action exact match, argument F1, hallucinations and ROUGE-L, as tables with intervals."""
    data, predictions, metrics = folder / "test.jsonl", folder / "predictions.json", folder / "metrics.json"
    write_trajectories(data, tasks)
    umi.predict(run, data, predictions)
    umi.evaluate.static(predictions, metrics)
    return metrics.with_suffix(".md").read_text(encoding="utf-8")


def measure_tasks(run: Path, tasks: Sequence[umi.Trajectory], tools: Sequence[Callable[..., Any]]) -> float:
    """The fraction of tasks whose live answer and calls are right."""
    right = 0
    with umi.load(run) as agent:
        for gold in tasks:
            live = agent.ask(gold.task.query, tools=tools, max_steps=3)
            [value] = [turn.content for turn in gold.turns if isinstance(turn, umi.Observation)]
            called = [call.name for call in live.calls] == [call.name for call in gold.calls]
            right += called and value in (live.answer or "")
    return right / len(tasks)


def main(folder: Path) -> None:
    """Print both measures of the run that `train_on_own_tools.py` left in a folder."""
    run, tasks = folder / "run", [trajectory(1000 + number, test=True) for number in range(TASKS)]
    print(measure_steps(run, tasks, folder))
    print(f"live: {measure_tasks(run, tasks, list(TOOLS.values())):.0%} of {TASKS} tasks right")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/shop"))
