"""Tools that come with the package: `python`, programs in the sandbox, and `calculator`, arithmetic without code.

`acknowledging` offers a task's own tools and runs none.

As environments by name: `umi ask --tools calculator`, `tools="python"`, or `code = "alpha_umi.tools:python"` in a TOML
file. Nothing runs before the first call.
"""

from __future__ import annotations

from alpha_umi.environments.acknowledging import AcknowledgingEnvironment
from alpha_umi.environments.calculator import calculator as calculator_tool
from alpha_umi.environments.python import PythonEnvironment
from alpha_umi.environments.sandbox.environment import SandboxEnvironment

__all__ = ["BUILT_IN", "acknowledging", "calculator", "python"]

python = SandboxEnvironment()
calculator = PythonEnvironment([calculator_tool])
acknowledging = AcknowledgingEnvironment
BUILT_IN = ("python", "calculator", "acknowledging")
"""Names by which `--tools` takes them."""
