"""Completions in progress: sampling of the next token id, and the conditions that end a completion.

A sampled id depends on the completion's own logits and its own seed alone: one number in [0, 1) per id, looked up in
the cumulative probabilities in the order of the ids, so that float noise of a batch moves nothing but their edges.
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

_FIRST_TOP_K = 1024
"""Most likely ids among which the nucleus of top_p is sought before all are sorted."""
_NEG_INF = float("-inf")

Argmax: TypeAlias = tuple[list[float], list[int]]
"""The highest logit of each row, and its id."""


class Grammar(Protocol):
    """Constraint on the ids of one completion."""

    def mask(self, row: Tensor) -> None:
        """Set the logits, [vocabulary], of ids that may not come next to -inf, in place."""
        ...

    def forced(self) -> list[int]:
        """The only ids that can come next, whatever the logits; often none."""
        ...

    def accept(self, token: int) -> None:
        """Advance by an id that was appended."""
        ...


class Generation:
    """State of one completion: its ids so far, how the next is sampled, and when it ends."""

    def __init__(
        self,
        sampling: Sampling,
        budget: int,
        ends: Set[int],
        text: Callable[[Sequence[int]], str],
        grammar: Grammar | None = None,
        ending: Grammar | None = None,
    ) -> None:
        """`budget`: most ids. `ends`: ids that end it. `text`: decodes ids, to look for stop strings.

        `ending`: that of `sampling.ending`, which follows `grammar` where its own ending has not come in time.
        """
        self.sampling = sampling
        self.budget = budget
        self.output_ids: list[int] = []
        """The ids so far, without the one that ended it."""
        self.finish: FinishReason | None = None
        self.logprobs: list[tuple[int, float | None]] = []
        """Ids with their log-probabilities (nats), None for those that the grammar forced, the id that ended it too;
        empty unless asked for."""
        self.likeliest: list[list[tuple[int, float]]] = []
        """The likeliest ids beside each of `logprobs`; empty unless asked for."""
        self._ends = ends
        self._text = text
        self._grammar = grammar
        self._ending = ending
        self._ngrams: dict[tuple[int, ...], set[int]] = {}
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
        """True where the next id is the argmax of the logits and nothing else is asked for."""
        asked = self.sampling
        plain = asked.repetition_penalty == 1.0 and asked.repetition_limit is None and not asked.logprobs
        return self._generator is None and self._grammar is None and plain

    @property
    def records(self) -> bool:
        """True where log-probabilities are asked for."""
        return self.sampling.logprobs or self.sampling.choice_logprobs

    def start(self) -> None:
        """Append the ids that the grammar forces before the first forward."""
        self._append_forced()

    def append(self, token: int) -> None:
        """Append an id, and those that the grammar forces after it; sets `finish` where one was the last."""
        self._append(token)
        if self.finish is None and self._grammar is not None:
            self._grammar.accept(token)
            self._append_forced()
            if self._must_end():
                self._grammar, self._ending = self._ending, None
                self._append_forced()

    def sample(self, logits: Tensor, prompt: Sequence[int]) -> int:
        """Sample the next id. `logits`: [vocabulary]. Raises ModelError where the grammar allows none."""
        row = logits.detach().float().cpu()
        scores = self._allowed(self._penalised(row, prompt))
        token = int(scores.argmax()) if self._generator is None else _draw(scores, self.sampling, self._generator)
        if self.records:
            total = row.logsumexp(dim=-1)
            self.logprobs.append((token, float(row[token] - total)))
            if self.sampling.logprobs and self.sampling.top_logprobs:
                best = row.topk(min(self.sampling.top_logprobs, len(row)))
                likeliest = zip(best.indices.tolist(), (best.values - total).tolist(), strict=True)
                self.likeliest.append(list(likeliest))
        return token

    def _append(self, token: int) -> None:
        if token in self._ends:
            self.finish = FinishReason.STOP
            return
        if (limit := self.sampling.repetition_limit) is not None and len(self.output_ids) >= limit - 1:
            self._ngrams.setdefault(self._ngram_before(limit), set()).add(token)
        self.output_ids.append(token)
        if self._has_stop_string():
            self.finish = FinishReason.STOP
        elif len(self.output_ids) >= self.budget:
            self.finish = FinishReason.LENGTH

    def _append_forced(self) -> None:
        """Append forced ids; none where log-probabilities are asked for, which take a forward for every id."""
        if self._grammar is None or self.sampling.logprobs:
            return
        for token in self._grammar.forced():
            self._append(token)
            if self.sampling.choice_logprobs:
                self.logprobs.append((token, None))
            if self.finish is not None:
                return
            self._grammar.accept(token)

    def _must_end(self) -> bool:
        """True where only the tokens that are kept for the ending are left, and it has not begun."""
        kept = self.sampling.ending
        if self.finish is not None or self._ending is None or kept is None:
            return False
        if len(self.output_ids) < kept.budget(self.budget):
            return False
        text = self._text(self.output_ids)
        if kept.is_in(text):
            self._ending = None
        return self._ending is not None and not text.endswith("\ufffd")

    def _has_stop_string(self) -> bool:
        """True where a stop string has just appeared. A token is a byte at least, so a short tail shows it."""
        if not self.sampling.stop:
            return False
        tail = self._text(self.output_ids[-self._tail :])
        return any(stop in tail for stop in self.sampling.stop)

    def _ngram_before(self, limit: int) -> tuple[int, ...]:
        return tuple(self.output_ids[len(self.output_ids) - limit + 1 :])

    def _penalised(self, row: Tensor, prompt: Sequence[int]) -> Tensor:
        """A copy of the logits with the repetition penalty on ids of the prompt and the completion."""
        scores = row.clone()
        if self.sampling.repetition_penalty != 1.0:
            seen = torch.tensor(sorted({*prompt, *self.output_ids}))
            before = scores[seen]
            penalty = self.sampling.repetition_penalty
            scores[seen] = torch.where(before < 0, before * penalty, before / penalty)
        return scores

    def _allowed(self, scores: Tensor) -> Tensor:
        """`scores` without the ids that the grammar excludes and, where others are left, without repeated n-grams."""
        if self._grammar is not None:
            self._grammar.mask(scores)
            if not bool(scores.amax() > _NEG_INF):
                raise ModelError("the grammar allows no token here")
        if (limit := self.sampling.repetition_limit) is None:
            return scores
        fewer = scores.clone()
        fewer[list(self._ngrams.get(self._ngram_before(limit), ()))] = _NEG_INF
        return fewer if bool(fewer.amax() > _NEG_INF) else scores


def sample(
    logits: Tensor, generations: Sequence[Generation], prompts: Sequence[Sequence[int]], argmax: Argmax | None = None
) -> list[int | ModelError]:
    """Sample the next id of every generation; an error where there is none. `logits`: [generations, vocabulary]."""
    best, tokens = argmax or argmax_of(logits)
    _record(logits, generations, best, tokens)
    if not all(generation.is_greedy for generation in generations):
        logits = logits.cpu()  # once, and not row by row
    chosen: list[int | ModelError] = []
    for at, (generation, prompt) in enumerate(zip(generations, prompts, strict=True)):
        if not math.isfinite(best[at]):
            chosen.append(NotFiniteError())
        elif generation.is_greedy:
            chosen.append(tokens[at])
        else:
            try:
                chosen.append(generation.sample(logits[at], prompt))
            except ModelError as error:
                chosen.append(error)
    return chosen


def _record(logits: Tensor, generations: Sequence[Generation], best: Sequence[float], tokens: Sequence[int]) -> None:
    """Record the log-probabilities of the ids that greedy generations take; others do so when they sample."""
    rows = [at for at, each in enumerate(generations) if each.is_greedy and each.records and math.isfinite(best[at])]
    if rows:
        totals = logits[rows].float().logsumexp(dim=-1).tolist()
        for at, total in zip(rows, totals, strict=True):
            generations[at].logprobs.append((tokens[at], best[at] - total))


def argmax_of(logits: Tensor) -> Argmax:
    """The highest logit of each row and its id; NaN where a row has one. `logits`: [rows, vocabulary]."""
    if logits.device.type == "cpu" and logits.dtype in (torch.float32, torch.bfloat16):  # numpy is ten times as fast
        rows = logits.float().numpy()
        ids = rows.argmax(axis=-1)
        return rows[np.arange(len(rows)), ids].tolist(), ids.tolist()
    best, tokens = logits.max(dim=-1)
    return best.tolist(), tokens.tolist()


class NotFiniteError(ModelError):
    """Logits that are NaN or infinite."""

    def __init__(self) -> None:
        super().__init__(
            "the model computed logits that are no numbers (NaN or infinite) for this prompt; its weights are broken, "
            "or the precision of their dtype is too low (try dtype = 'float32')"
        )


def _draw(scores: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """Draw an id by its probability among those that top_k, top_p and min_p leave, applied in this order."""
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
    """The least probability in the nucleus: the most likely ids that hold `enough` together."""
    for count in (min(_FIRST_TOP_K, len(chances)), len(chances)):
        best = chances.topk(count).values
        inside = best.cumsum(dim=-1) - best < enough
        if count == len(chances) or not bool(inside[-1]):
            break
    return best[inside][-1]
