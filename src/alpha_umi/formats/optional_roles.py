"""Optional roles for any format. The critic reads what the planner would, with a question, and writes a plan.

A plan that concludes accepts the answer, any other sends it back with the thought as the reason. So every format has a
critic, with the planner's layout, tokens and grammar, and none changes by it. Others read a review as the user's words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from alpha_umi.errors import FormatError
from alpha_umi.protocols import BoundedFormat, Format, StoredFormat
from alpha_umi.types import Decision, Ending, FinishReason, Json, Plan, Prompt, Review, Role, Span, Task, Turn, User

QUESTION = (
    "Is this answer right and complete, and do the observations support it? Conclude if so; else say what is wrong."
)


@dataclass(frozen=True, slots=True)
class CriticFormat:
    """Format with a critic, wrapped around another format (`protocols.StoredFormat`)."""

    inner: StoredFormat

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def end(self) -> str:
        return self.inner.end

    @property
    def special_tokens(self) -> tuple[str, ...]:
        return self.inner.special_tokens

    def to_document(self) -> dict[str, Json]:
        """Return the document of the inner format: the critic is the configuration's, not the format's."""
        return self.inner.to_document()

    def role_token(self, role: Role) -> str:
        return self.inner.role_token(_played(role))

    def render(self, role: Role, task: Task, turns: Sequence[Turn]) -> Prompt:
        asked = (*turns, User(text=QUESTION)) if role is Role.CRITIC else turns
        return self.inner.render(_played(role), task, asked)

    def write(self, role: Role, turns: Sequence[Turn]) -> str:
        return self.inner.write(_played(role), _written(role, turns))

    def spans(self, role: Role, turns: Sequence[Turn]) -> tuple[Span, ...]:
        return self.inner.spans(_played(role), _written(role, turns))

    def parse(self, role: Role, text: str, finish: FinishReason = FinishReason.STOP) -> tuple[Turn, ...]:
        turns = self.inner.parse(_played(role), text, finish)
        if role is not Role.CRITIC:
            return turns
        plan = next((turn for turn in turns if isinstance(turn, Plan)), None)
        accepted = plan is not None and plan.decision is Decision.CONCLUDE
        return (Review(text=text if plan is None else plan.thought, accepted=accepted),)

    def grammar(self, role: Role, task: Task, turns: Sequence[Turn] = ()) -> str | None:
        return self.inner.grammar(_played(role), task, turns)

    def stops(self, role: Role) -> tuple[str, ...]:
        return self.inner.stops(_played(role)) if isinstance(self.inner, BoundedFormat) else ()

    def ending(self, role: Role, task: Task, turns: Sequence[Turn] = ()) -> Ending | None:
        return self.inner.ending(_played(role), task, turns) if isinstance(self.inner, BoundedFormat) else None


def _played(role: Role) -> Role:
    return Role.PLANNER if role is Role.CRITIC else role


def _written(role: Role, turns: Sequence[Turn]) -> Sequence[Turn]:
    """Plan that expresses a review."""
    if role is not Role.CRITIC:
        return turns
    match tuple(turns):
        case (Review(text=text, accepted=accepted),):
            return (Plan(thought=text, decision=Decision.CONCLUDE if accepted else Decision.CALL),)
        case _:
            raise FormatError(f"the critic writes one review, not {', '.join(type(turn).__name__ for turn in turns)}")


_FORMATS: Mapping[Role, Callable[[StoredFormat], StoredFormat]] = {Role.CRITIC: CriticFormat}


def with_optional_roles(format: Format, roles: Iterable[Role]) -> StoredFormat:  # noqa: A002
    """Extend a format by the prompts of optional roles."""
    stored = cast("StoredFormat", format)
    for role in roles:
        stored = _FORMATS[role](stored)
    return stored
