"""BFCL's simulated classes: the program that runs them, and what a task says of a memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from alpha_umi.environments.simulators import Program, Simulator, read_object
from alpha_umi.types import Json, Task

INSTALL = (
    "pip install --no-deps bfcl-eval==2026.3.23 numpy==1.26.4 tree_sitter==0.21.3 tree-sitter-java==0.21.0 "
    "tree-sitter-javascript==0.21.4 mpmath==1.3.0 rank-bm25==0.2.2 overrides==7.7.0 filelock==4.3.1"
)
PROGRAM = Program(
    path=Path(__file__).with_name("simulator.py"),
    setting="bfcl.python",
    install=INSTALL,
    failed="Error during execution",
)


def played_before(task: Task) -> list[Mapping[str, Json]]:
    """Calls of earlier tasks that the state of this one comes from; those that could not be run are left out."""
    offered = {tool.name for tool in task.tools}
    played: list[Mapping[str, Json]] = []
    earlier = task.metadata.get("earlier")
    for call in earlier if isinstance(earlier, list) else []:
        name, text = (call.get("name"), call.get("arguments")) if isinstance(call, dict) else (None, None)
        arguments = read_object(text) if isinstance(text, str) else None
        if isinstance(name, str) and name in offered and arguments is not None:
            played.append({"name": name, "arguments": arguments})
    return played


def introduce(simulator: Simulator, task: Task) -> str:
    """Text that BFCL shows above a question about its memory: what it is, and what is in it. Raises ConfigError."""
    simulation = task.metadata.get("simulation")
    if not isinstance(simulation, dict) or "scenario" not in simulation:
        return ""
    results = simulator.run(simulator.open_session(), simulation, played_before(task), introduced=True)
    return "" if results is None else results[-1]
