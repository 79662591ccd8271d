"""Domains of tau2-bench: the program that runs their tools, and the policy above a task."""

from __future__ import annotations

from pathlib import Path

from alpha_umi.environments.simulators import Program, Simulator
from alpha_umi.types import Task

INSTALL = (
    "git clone https://github.com/sierra-research/tau2-bench && pip install --no-deps -e tau2-bench && "
    "pip install pydantic loguru deepdiff python-dotenv addict toml PyYAML docstring-parser"
)
PROGRAM = Program(
    path=Path(__file__).with_name("simulator.py"), setting="tau2.python", install=INSTALL, failed="Error: "
)


def introduce(simulator: Simulator, task: Task) -> str:
    """Policy of a task's domain, which stands above its query. Raises ConfigError."""
    simulation = task.metadata.get("simulation")
    if not isinstance(simulation, dict) or "domain" not in simulation:
        return ""
    results = simulator.run(simulator.open_session(), simulation, (), introduced=True)
    return "" if results is None else results[-1]
