"""Environment that asks before it runs calls with effects; a call that is declined is an observation.

Nobody is asked about a call that cannot run: one without such a tool passes, one whose arguments do not fit is refused.
"""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Awaitable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from alpha_umi.arguments import Fault, read_arguments
from alpha_umi.environments.tool_threads import ToolThreadError, run_in_thread
from alpha_umi.errors import AlphaUMiWarning, describe
from alpha_umi.protocols import Confirm, Environment
from alpha_umi.types import Call, Observation, ToolSpec, ToolStatus

_LOG = logging.getLogger(__name__)
DECLINED = "the user declined this call; it was not run"
UNASKED = "this call needs the user's confirmation, and nobody can be asked here; it was not run"


class UnconfirmedWarning(AlphaUMiWarning):
    """A call was not run because nobody could be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """Rules by which calls are confirmed: those of tools that ask for it (`ToolSpec.confirm`), and of named ones."""

    confirm: Confirm | None = None
    """Decides on each call; None: nobody can be asked, so calls that need it are declined."""
    tools: tuple[str, ...] = ()
    """Patterns (`delete_*`) of further tools whose calls are confirmed, whatever their case."""
    approved: tuple[str, ...] = ()
    """Patterns of tools whose calls run unasked; they go before the others."""

    def needs(self, tool: ToolSpec) -> bool:
        """Return True for a tool whose calls are confirmed."""
        return (tool.confirm or _matches(tool.name, self.tools)) and not _matches(tool.name, self.approved)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


class ConfirmingEnvironment:
    """Environment that has calls confirmed before another one runs them."""

    def __init__(self, inner: Environment, rules: Confirmation) -> None:
        self._inner, self._rules = inner, rules

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        return self._inner.tools

    async def execute(self, call: Call) -> Observation:
        tool = next((tool for tool in self._inner.tools if tool.name == call.name), None)
        if tool is None or not self._rules.needs(tool):
            return await self._inner.execute(call)
        if isinstance(read := read_arguments(tool, call.arguments), Fault):
            return Observation(content=read.reason, status=ToolStatus.BAD_ARGUMENTS)
        if self._rules.confirm is None:
            warnings.warn(
                f"{call.name} was not run: it needs a confirmation, and nobody can be asked here; approve it before "
                f"(--approve {call.name}; in Python confirm=, a function that decides on each call)",
                UnconfirmedWarning,
                stacklevel=2,
            )
            return Observation(content=UNASKED, status=ToolStatus.DECLINED)
        if not await _decide(self._rules.confirm, call, tool):
            return Observation(content=DECLINED, status=ToolStatus.DECLINED)
        return await self._inner.execute(call)

    def fork(self) -> ConfirmingEnvironment:
        return ConfirmingEnvironment(self._inner.fork(), self._rules)


async def _decide(confirm: Confirm, call: Call, tool: ToolSpec) -> bool:
    """Ask; whatever is not True, an exception included, declines. Cancellations pass."""
    # The callback is the user's code: what it raises must not run the call, nor end the search.
    try:
        if inspect.iscoroutinefunction(confirm) or inspect.iscoroutinefunction(type(confirm).__call__):
            answer: object = confirm(call, tool)
        else:
            answer = await run_in_thread(lambda: _answer(confirm, call, tool))
        if isinstance(answer, Awaitable):
            answer = await answer
    except (Exception, ToolThreadError) as error:
        answer = error
    if isinstance(answer, BaseException):
        _LOG.warning("%s was not run: its confirmation failed: %s", call.name, describe(answer))
    return answer is True


def _answer(confirm: Confirm, call: Call, tool: ToolSpec) -> object:
    try:
        return confirm(call, tool)
    except BaseException as error:
        return error
