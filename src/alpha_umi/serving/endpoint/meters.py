"""RequestMeter of one request: its settings for every role, its budget of tokens, and what its completions took."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from alpha_umi.agent import RoleModel
from alpha_umi.errors import ModelError
from alpha_umi.protocols import Model, StreamingModel
from alpha_umi.serving.endpoint.spans import Spans, completion_span, note_completion
from alpha_umi.types import Completion, FinishReason, Prompt, Role, Sampling, TokenLogprob, Usage


class SpentError(ModelError):
    """Budget of completion tokens that is spent before a completion begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of a request that take the place of the roles' own."""

    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    """Of the answer, or of a planner that is asked alone; other plans and calls end as their format says.

    Roles that write these alone stop there; other answers are ended in the reply.
    """
    logprobs: bool = False
    top_logprobs: int = 0
    answering: frozenset[Role] = frozenset({Role.SUMMARIZER, Role.BACKBONE})
    """Roles whose completion is the answer; a role that is asked alone."""
    max_tokens: int | None = None
    """Of all completions together."""
    answer_grammar: str | None = None
    """Of the answer."""
    constrained: frozenset[Role] = frozenset()
    """Roles that are constrained to the format's grammar, whatever the agent says."""

    def apply(self, role: Role, role_model: RoleModel) -> RoleModel:
        """The role's model with these settings."""
        own, changes = role_model.sampling, dict[str, object]()
        for name in ("temperature", "top_p", "seed"):
            value = getattr(self, name)
            if value is not None:
                changes[name] = value
        if role in self.answering and role in (Role.SUMMARIZER, Role.PLANNER) and self.stop:
            changes["stop"] = (*own.stop, *self.stop)
        if role in self.answering and self.logprobs:
            changes |= {"logprobs": True, "top_logprobs": self.top_logprobs}
        constrained = role_model.constrained or role in self.constrained
        return replace(role_model, sampling=replace(own, **changes), constrained=constrained)  # pyright: ignore[reportArgumentType]


@dataclass(slots=True, kw_only=True)
class RequestMeter:
    """Usage of the completions of one request, and what is left for them."""

    settings: Settings = field(default_factory=Settings)
    on_start: Callable[[Role], object] | None = None
    """Called when a completion begins."""
    on_token: Callable[[Role, str], object] | None = None
    spans: Spans | None = None
    """None: completions are no spans."""
    completions: list[tuple[Role, Completion]] = field(default_factory=list[tuple[Role, Completion]])
    is_constrained: bool = False
    """True where the completion in progress, or the last one, is constrained to a grammar."""
    counted: int = 0
    """Completions that an earlier part of the reply has told of; usage is that of the others."""

    def measure(self, role: Role, role_model: RoleModel) -> RoleModel:
        """The role's model with the request's settings, measured."""
        changed = self.settings.apply(role, role_model)
        return replace(changed, model=_Measured(changed.model, role, self))

    def begin_part(self) -> None:
        """Count anew for the next part of the reply; the budget stays that of all parts."""
        self.counted = len(self.completions)

    @property
    def _new(self) -> list[tuple[Role, Completion]]:
        return self.completions[self.counted :]

    @property
    def usage(self) -> Usage:
        return _total(self._new)

    @property
    def cached_tokens(self) -> int:
        return sum(completion.cached_tokens for _, completion in self._new)

    @property
    def reasoning_tokens(self) -> int:
        """Tokens of plans."""
        return sum(each.usage.completion_tokens for role, each in self._new if role is Role.PLANNER)

    @property
    def _answer(self) -> Completion | None:
        """The last completion of an answering role."""
        return next((each for role, each in reversed(self.completions) if role in self.settings.answering), None)

    def answer_logprobs(self, text: str) -> tuple[TokenLogprob, ...] | None:
        """Log probabilities of the tokens in which a text of the answer was written; None where there are none."""
        if self._answer is None or self._answer.logprobs is None:
            return None
        written = "".join(token.text for token in self._answer.logprobs)
        ends = (*self.settings.stop, "")  # what follows the text tells it from a later one like it
        start = next((at for end in ends if (at := written.rfind(text + end)) >= 0), 0)
        kept, at = list[TokenLogprob](), 0
        for token in self._answer.logprobs:
            if at < start + len(text) and at + len(token.text) > start:
                kept.append(token)
            at += len(token.text)
        return tuple(kept)

    @property
    def last_finish(self) -> FinishReason | None:
        return self.completions[-1][1].finish if self.completions else None

    @property
    def is_cut(self) -> bool:
        """True where the last completion of an answering role ran out of tokens."""
        return self._answer is not None and self._answer.finish is FinishReason.LENGTH

    @property
    def is_spent(self) -> bool:
        return self.left is not None and self.left <= 0

    @property
    def left(self) -> int | None:
        """Tokens that completions may still take; None: as many as they like."""
        most = self.settings.max_tokens
        return None if most is None else most - _total(self.completions).completion_tokens

    def bounded(self, role: Role, sampling: Sampling) -> Sampling:
        """Sampling within what is left. Raises SpentError where nothing is."""
        if (left := self.left) is not None:
            if left <= 0:
                raise SpentError("the request's max_completion_tokens are spent")
            sampling = replace(sampling, max_tokens=min(left, sampling.max_tokens))
        if role is Role.SUMMARIZER and self.settings.answer_grammar is not None:
            sampling = replace(sampling, grammar=self.settings.answer_grammar, ending=None)
        return sampling


def _total(completions: list[tuple[Role, Completion]]) -> Usage:
    return sum((completion.usage for _, completion in completions), Usage())


@dataclass(frozen=True, slots=True)
class _Measured:
    """Model whose completions are noted, and whose text is passed on as it is written."""

    model: Model
    role: Role
    meter: RequestMeter

    async def complete(self, prompt: Prompt, sampling: Sampling) -> Completion:
        sampling = self.meter.bounded(self.role, sampling)
        self.meter.is_constrained = sampling.grammar is not None
        if self.meter.on_start is not None:
            self.meter.on_start(self.role)
        with completion_span(self.meter.spans, self.role) as note:
            completion = await self._complete(prompt, sampling)
            note_completion(note, completion)
        self.meter.completions.append((self.role, completion))
        return completion

    async def _complete(self, prompt: Prompt, sampling: Sampling) -> Completion:
        on_token = self.meter.on_token
        if on_token is None or not isinstance(self.model, StreamingModel):
            return await self.model.complete(prompt, sampling)
        async with aclosing(self.model.stream(prompt, sampling)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Completion):
                    return piece
                on_token(self.role, piece)
        raise AssertionError("a stream ends with its completion")
