"""OpenTelemetry spans of replies by the GenAI conventions, which are in development: their names stand here alone.

    invoke_agent NAME  >  plan, chat ROLE, execute_tool NAME

Opt in as those conventions ask: OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental, with the extra `trace`. Where
spans go is what the process sets up (a TracerProvider). Spans hold names and counts, never texts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias

from alpha_umi.errors import explain_missing_extra
from alpha_umi.protocols import Environment
from alpha_umi.types import Call, Completion, Observation, Role, ToolSpec, ToolStatus

OPT_IN, STABILITY = "gen_ai_latest_experimental", "OTEL_SEMCONV_STABILITY_OPT_IN"
_OPERATION, _SYSTEM, _AGENT, _MODEL, _TOOL = (
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.agent.name",
    "gen_ai.request.model",
    "gen_ai.tool.name",
)
_INPUT, _OUTPUT, _FINISH, _ERROR = (
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "gen_ai.response.finish_reasons",
    "error.type",
)
_OURS = "alpha-umi"
Note: TypeAlias = Callable[[str, Any], object]
"""Setter of an attribute of a span."""


@dataclass(frozen=True, slots=True)
class Spans:
    """Spans of one process."""

    tracer: Any

    @contextmanager
    def _span(self, name: str, operation: str, attributes: dict[str, str]) -> Generator[Note]:
        given = {_OPERATION: operation, _SYSTEM: _OURS, **attributes}
        with self.tracer.start_as_current_span(name, attributes=given, record_exception=False) as span:
            yield span.set_attribute

    def agent(self, name: str) -> AbstractContextManager[Note]:
        """Span of one reply."""
        return self._span(f"invoke_agent {name}", "invoke_agent", {_AGENT: name})

    def completion(self, role: Role) -> AbstractContextManager[Note]:
        """Span of one completion: `plan` of the planner's, `chat` of the others'."""
        operation = "plan" if role is Role.PLANNER else "chat"
        return self._span(f"{operation} {role.value}", operation, {_MODEL: role.value})

    def tool(self, name: str) -> AbstractContextManager[Note]:
        """Span of one call that runs here."""
        return self._span(f"execute_tool {name}", "execute_tool", {_TOOL: name})


def open_spans() -> Spans | None:
    """Spans of this process; None where it does not opt in. Raises ConfigError where the extra is missing."""
    if OPT_IN not in os.environ.get(STABILITY, "").split(","):
        return None
    with explain_missing_extra("trace", f"{STABILITY}={OPT_IN}"):
        from opentelemetry import trace
    return Spans(trace.get_tracer(_OURS))


def completion_span(spans: Spans | None, role: Role) -> AbstractContextManager[Note]:
    """Span of a completion; none where there are no spans."""
    return nullcontext(_nothing) if spans is None else spans.completion(role)


def agent_span(spans: Spans | None, name: str) -> AbstractContextManager[Note]:
    """Span of a reply; none where there are no spans."""
    return nullcontext(_nothing) if spans is None else spans.agent(name)


def note_completion(note: Note, completion: Completion) -> None:
    """Set what a completion took."""
    note(_INPUT, completion.usage.prompt_tokens)
    note(_OUTPUT, completion.usage.completion_tokens)
    note(_FINISH, (completion.finish.value,))


def _nothing(name: str, value: Any) -> None:
    pass


@dataclass(frozen=True, slots=True)
class TracedEnvironment:
    """Environment whose calls are spans (`protocols.Environment`)."""

    inner: Environment
    spans: Spans

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        return self.inner.tools

    async def execute(self, call: Call) -> Observation:
        with self.spans.tool(call.name) as note:
            seen = await self.inner.execute(call)
            if seen.status is not ToolStatus.OK:
                note(_ERROR, seen.status.value)
            return seen

    def fork(self) -> TracedEnvironment:
        return TracedEnvironment(self.inner.fork(), self.spans)
