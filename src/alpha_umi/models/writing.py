"""Completions under way: which id comes next, and when that was the last.

What is drawn depends on a completion's own logits and its own seed alone: one number in [0, 1) per id, found in the
probabilities in the order of the ids, so that float noise from whatever shares a batch moves nothing but its edges.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence, Set
from typing import Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor

from alpha_umi.errors import ModelError
from alpha_umi.types import FinishReason, Sampling

_LIKELIEST = 1024
"""Ids among which the nucleus is sought first."""
_NEVER = float("-inf")

Likeliest: TypeAlias = tuple[list[float], list[int]]
"""Per row its highest logit and the id that has it."""


class Grammar(Protocol):
    """What a completion is held to, one per completion."""

    def mask(self, row: Tensor) -> None:
        """Set the logits [vocabulary] of ids that may not come next to -inf, in place."""
        ...

    def forced(self) -> list[int]:
        """The ids that must come next, whatever the model says; often none."""
        ...

    def accept(self, token: int) -> None:
        """This id was written."""
        ...


class Writer:
    """One completion under way."""

    def __init__(
        self,
        sampling: Sampling,
        budget: int,
        ends: Set[int],
        text: Callable[[Sequence[int]], str],
        grammar: Grammar | None = None,
    ) -> None:
        """`budget`: most ids to write. `ends`: ids that end it. `text`: what ids say."""
        self.sampling = sampling
        self.budget = budget
        self.written: list[int] = []
        """Without the id that ended it."""
        self.finish: FinishReason | None = None
        self.logprobs: list[tuple[int, float]] = []
        """Ids with their log-probabilities, the id that ended it too; empty where nobody asked."""
        self._ends = ends
        self._text = text
        self._grammar = grammar
        self._runs: dict[tuple[int, ...], set[int]] = {}
        self._tail = max((len(stop.encode()) for stop in sampling.stop), default=0) + 4
        self._generator: torch.Generator | None = None
        if sampling.temperature > 0:
            self._generator = torch.Generator()
            if sampling.seed is None:
                self._generator.seed()
            else:
                self._generator.manual_seed(sampling.seed)

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest id comes next and nothing else is asked for."""
        said = self.sampling
        plain = said.repetition_penalty == 1.0 and said.repetition_limit is None and not said.logprobs
        return self._generator is None and self._grammar is None and plain

    def start(self) -> None:
        """Write what the grammar forces before the model says anything."""
        self._write_forced()

    def take(self, token: int) -> None:
        """Write one more id, and those that it forces; `finish` says whether and why that was the last."""
        self._append(token)
        if self.finish is None and self._grammar is not None:
            self._grammar.accept(token)
            self._write_forced()

    def choose(self, logits: Tensor, prompt: Sequence[int]) -> int:
        """The next id. `logits`: [vocabulary]. Raises ModelError where the grammar allows none."""
        row = logits.detach().float().cpu()
        scores = self._allowed(self._penalised(row, prompt))
        token = int(scores.argmax()) if self._generator is None else _draw(scores, self.sampling, self._generator)
        if self.sampling.logprobs:
            self.logprobs.append((token, float(row[token] - row.logsumexp(dim=-1))))
        return token

    def _append(self, token: int) -> None:
        if token in self._ends:
            self.finish = FinishReason.STOP
            return
        if (limit := self.sampling.repetition_limit) is not None and len(self.written) >= limit - 1:
            self._runs.setdefault(self._before(limit), set()).add(token)
        self.written.append(token)
        if self._stops():
            self.finish = FinishReason.STOP
        elif len(self.written) >= self.budget:
            self.finish = FinishReason.LENGTH

    def _write_forced(self) -> None:
        """Where log-probabilities are asked for, the model has to see every id, so nothing is written unseen."""
        if self._grammar is None or self.sampling.logprobs:
            return
        for token in self._grammar.forced():
            self._append(token)
            if self.finish is not None:
                return
            self._grammar.accept(token)

    def _stops(self) -> bool:
        """Whether a stop string has just appeared. A token writes a byte at least, so a short tail shows it."""
        if not self.sampling.stop:
            return False
        tail = self._text(self.written[-self._tail :])
        return any(stop in tail for stop in self.sampling.stop)

    def _before(self, limit: int) -> tuple[int, ...]:
        return tuple(self.written[len(self.written) - limit + 1 :])

    def _penalised(self, row: Tensor, prompt: Sequence[int]) -> Tensor:
        """A new row with the ids of the prompt and the completion made less likely."""
        scores = row.clone()
        if self.sampling.repetition_penalty != 1.0:
            seen = torch.tensor(sorted({*prompt, *self.written}))
            before = scores[seen]
            penalty = self.sampling.repetition_penalty
            scores[seen] = torch.where(before < 0, before * penalty, before / penalty)
        return scores

    def _allowed(self, scores: Tensor) -> Tensor:
        """`scores` without what the grammar forbids and, where something is left then, without repeated runs."""
        if self._grammar is not None:
            self._grammar.mask(scores)
            if not bool(scores.amax() > _NEVER):
                raise ModelError("the grammar allows no token here")
        if (limit := self.sampling.repetition_limit) is None:
            return scores
        fewer = scores.clone()
        fewer[list(self._runs.get(self._before(limit), ()))] = _NEVER
        return fewer if bool(fewer.amax() > _NEVER) else scores


def choose(
    logits: Tensor, writers: Sequence[Writer], prompts: Sequence[Sequence[int]], likeliest: Likeliest | None = None
) -> list[int | ModelError]:
    """The next id of every writer, or why there is none. `logits`: [writers, vocabulary]."""
    best, tokens = likeliest or likeliest_of(logits)
    if not all(writer.is_greedy for writer in writers):
        logits = logits.cpu()  # once, and not row by row
    chosen: list[int | ModelError] = []
    for at, (writer, prompt) in enumerate(zip(writers, prompts, strict=True)):
        if not math.isfinite(best[at]):
            chosen.append(NotFiniteError())
        elif writer.is_greedy:
            chosen.append(tokens[at])
        else:
            try:
                chosen.append(writer.choose(logits[at], prompt))
            except ModelError as error:
                chosen.append(error)
    return chosen


def likeliest_of(logits: Tensor) -> Likeliest:
    """The highest logits and whose they are; no number where any of a row is none."""
    if logits.device.type == "cpu" and logits.dtype is torch.float32:  # numpy finds them ten times as fast
        rows = logits.numpy()
        places = rows.argmax(axis=-1)
        return rows[np.arange(len(rows)), places].tolist(), places.tolist()
    best, tokens = logits.max(dim=-1)
    return best.tolist(), tokens.tolist()


class NotFiniteError(ModelError):
    """The model computed what is no number."""

    def __init__(self) -> None:
        super().__init__(
            "the model computed logits that are no numbers (NaN or infinite) for this prompt; its weights are broken, "
            "or their dtype is too narrow (try dtype = 'float32')"
        )


def _draw(scores: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """One id by its probability among those that top_k, top_p and min_p leave, cut in this order."""
    chances = (scores.double() / sampling.temperature).softmax(dim=-1)
    if sampling.top_k is not None and sampling.top_k < len(chances):
        chances = chances * (chances >= chances.topk(sampling.top_k).values[-1])
    if sampling.top_p < 1.0:
        chances = chances * (chances >= _edge(chances, sampling.top_p * float(chances.sum())))
    if sampling.min_p is not None:
        chances = chances * (chances >= sampling.min_p * chances.max())
    reached = chances.cumsum(dim=-1)
    drawn = torch.rand((), generator=generator, dtype=torch.float64) * reached[-1]
    return min(int(torch.searchsorted(reached, drawn, right=True)), int(chances.nonzero()[-1]))


def _edge(chances: Tensor, enough: float) -> Tensor:
    """The probability of the last of the likeliest ids that hold `enough` together."""
    for count in (min(_LIKELIEST, len(chances)), len(chances)):
        best = chances.topk(count).values
        inside = best.cumsum(dim=-1) - best < enough
        if count == len(chances) or not bool(inside[-1]):
            break
    return best[inside][-1]
