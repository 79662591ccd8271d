"""tau2-bench's check against its own golden actions, and against an agent that does nothing.

    python benchmarks/tau2_golds.py --python PYTHON [--domain retail]

PYTHON is the interpreter of an environment with tau2. Every task's golden actions are made as the calls of a
trajectory; each must be right, and without them only the tasks that change nothing.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import alpha_umi as umi
from alpha_umi.environments.simulators import Simulator
from alpha_umi.environments.tau2.environment import PROGRAM
from alpha_umi.store import read_trajectories, write_trajectories
from alpha_umi.types import Answer, Call, Trajectory


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", type=Path, required=True)
    parser.add_argument("--domain", default="retail")
    options = parser.parse_args()
    simulator = Simulator(options.python, PROGRAM)
    described = simulator.ask({"domain": options.domain}) or {}
    simulator.close()
    golds = {each["id"]: each["evaluation_criteria"] for each in described["tasks"]}
    with tempfile.TemporaryDirectory() as folder:
        tasks, run = Path(folder) / "tasks.jsonl", Path(folder) / "run.jsonl"
        umi.prepare.tau2([options.domain], tasks, python=options.python)
        for name in ("golden", "nothing"):
            made: list[Trajectory] = []
            for trajectory in read_trajectories(tasks):
                gold = golds[trajectory.task.metadata["simulation"]["task"]]
                calls = [Call(name=each["name"], arguments=json.dumps(each["arguments"])) for each in gold["actions"]]
                told = Answer(text=" ".join(gold["communicate_info"] or ()))
                made.append(Trajectory(task=trajectory.task, turns=(*calls, told) if name == "golden" else ()))
            write_trajectories(run, made)
            report = umi.evaluate.tau2(run, Path(folder) / "scores.json", python=options.python)
            print(f"{name}\n{report.to_markdown()}")
            print("wrong:", [each.id for each in report.checks if not each.right][:5])


if __name__ == "__main__":
    main()
