"""alpha-UMi: tool agents made of three small language models."""

from typing import TYPE_CHECKING, Any

from alpha_umi.deprecation import serve_old_modules

if TYPE_CHECKING:
    from alpha_umi.environments.signatures import tool
    from alpha_umi.jobs.ask import ask

__version__ = "0.1.0"
__all__ = ["ask", "tool"]

serve_old_modules()


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first asked for, so that importing the package costs nothing."""
    if name == "tool":
        from alpha_umi.environments.signatures import tool

        return tool
    if name == "ask":
        from alpha_umi.jobs.ask import ask

        return ask
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
