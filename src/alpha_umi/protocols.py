"""Protocols of the four extension points: model, environment, agent and format.

Any object with these methods fits; no class needs to be inherited or registered."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Sequence
from typing import Protocol, runtime_checkable

from alpha_umi.types import (
    Call,
    Completion,
    Ending,
    FinishReason,
    Json,
    Observation,
    Prompt,
    Proposal,
    Role,
    Sampling,
    Span,
    Task,
    ToolSpec,
    Turn,
)


@runtime_checkable
class Model(Protocol):
    """Text generator. Callers await single completions; batching and caching are hidden inside."""

    async def complete(self, prompt: Prompt, sampling: Sampling) -> Completion:
        """Continue `prompt`. Raises ModelError when no completion can be had."""
        ...


@runtime_checkable
class StreamingModel(Model, Protocol):
    """Model that can stream its completions."""

    def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[str | Completion]:
        """Stream a completion: its text piece by piece, and at last the Completion, whose text the pieces are."""
        ...


@runtime_checkable
class Environment(Protocol):
    """Environment in which tool calls are executed."""

    @property
    def tools(self) -> tuple[ToolSpec, ...]: ...

    async def execute(self, call: Call) -> Observation:
        """Run one call. Never raises for what the call or the tool does wrong: that is the status."""
        ...

    def fork(self) -> Environment:
        """Return a copy whose later calls do not affect this one; a search needs it to branch."""
        ...


class Confirm(Protocol):
    """Decision of the user on one call, before it is run.

    A plain function is called in a thread of its own, so that it may wait for an input; a coroutine function runs in
    the event loop of the search, as a server needs whose client decides. Only `True` runs the call.
    """

    def __call__(self, call: Call, tool: ToolSpec, /) -> bool | Awaitable[bool]: ...


@runtime_checkable
class Agent(Protocol):
    """Agent that proposes the next turns and keeps no state between proposals."""

    async def propose(self, task: Task, turns: Sequence[Turn]) -> Proposal:
        """Propose the next turns after `turns`: a plan, with the call or the answer that it asked for."""
        ...


@runtime_checkable
class Format(Protocol):
    """Format of prompts and completions: renders the ones and parses the others; the only source of prompt text.

    Laws: `parse(role, write(role, turns)) == turns` for turns the format can express; `parse` never
    raises on any text; the texts of `spans` joined are what is written. So a model is served exactly the
    prompts that it was trained on.
    """

    @property
    def name(self) -> str: ...

    @property
    def end(self) -> str:
        """End mark of every completion, as text. A tokenizer that lacks it ends with its own EOS."""
        ...

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """Tokens that a tokenizer must hold as single, unmergeable ones; may be empty."""
        ...

    def role_token(self, role: Role) -> str:
        """Return the special token that ends every prompt of `role`; empty where there is none of its own."""
        ...

    def render(self, role: Role, task: Task, turns: Sequence[Turn]) -> Prompt:
        """Render the prompt that `role` reads after `turns`.

        Caller and summarizer read the plan that called them last.
        """
        ...

    def write(self, role: Role, turns: Sequence[Turn]) -> str:
        """Write the completion of `turns` by `role`: one turn, or for the backbone a plan and what follows."""
        ...

    def spans(self, role: Role, turns: Sequence[Turn]) -> tuple[Span, ...]:
        """Split the text of `write` into spans by their part; no span is empty."""
        ...

    def parse(self, role: Role, text: str, finish: FinishReason = FinishReason.STOP) -> tuple[Turn, ...]:
        """Parse a completion into turns; total over all strings.

        A call that LENGTH cut off before its arguments names no tool: its name may be half of another one.
        """
        ...

    def grammar(self, role: Role, task: Task, turns: Sequence[Turn] = ()) -> str | None:
        """Return a Lark grammar in llguidance's dialect that a completion of `role` after `turns` can be held to.

        Callers are held to the tools of the task and arguments that their schemas allow, planners to end with one of
        their decisions, the backbone to both; None where any text will do, or no tool can be called. The end mark
        is not part of it. Laws: what `write` writes for such turns is accepted; what is accepted parses to such turns.
        """
        ...


@runtime_checkable
class BoundedFormat(Format, Protocol):
    """Format that bounds its completions: by stop strings, and by the ending that is forced on constrained ones."""

    def stops(self, role: Role) -> tuple[str, ...]:
        """Return the stop strings of completions of `role`: labels that belong to others."""
        ...

    def ending(self, role: Role, task: Task, turns: Sequence[Turn] = ()) -> Ending | None:
        """Return the ending of constrained completions of `role`: decisions, or for the backbone what follows them.

        None for a role without a thought. Law: a completion that `grammar` accepts up to any place without one of the
        marks, with one that the ending's grammar accepts behind it, parses to a decision.
        """
        ...


class StoredFormat(Format, Protocol):
    """Format that a run directory keeps as a JSON document."""

    def to_document(self) -> dict[str, Json]: ...
