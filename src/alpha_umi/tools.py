"""Tools that come with the package: `python`, programs in the sandbox, and `calculator`, arithmetic without code.

As environments by name: `umi ask --tools calculator`, `tools="python"`, or `code = "alpha_umi.tools:python"` in a TOML
file. Nothing runs before the first call.
"""

from __future__ import annotations

from alpha_umi.environments.calculator import calculator as calculator_tool
from alpha_umi.environments.python import PythonEnvironment
from alpha_umi.environments.sandbox.environment import SandboxEnvironment

__all__ = ["BUILT_IN", "calculator", "python"]

python = SandboxEnvironment()
calculator = PythonEnvironment([calculator_tool])
BUILT_IN = ("python", "calculator")
"""Names by which `--tools` takes them."""
