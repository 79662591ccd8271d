"""Token and example counts of the training data, estimated from a sample of trajectories."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from alpha_umi.config import TrainConfig

_Z = 1.96
"""Of a two-sided interval of 95 %."""
_RARE = 4.0
"""Deviations above the mean that about one pass in thirty thousand exceeds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCounts:
    """Token counts of a stage's examples, in one trajectory or in many, in every layout."""

    examples: int = 0
    trees: int = 0
    tree_tokens: int = 0
    """Prefixes that the examples of a trajectory share are counted once."""
    row_tokens: int = 0
    """Every example alone."""
    padded_tokens: int = 0
    """Every example alone and padded to the longest length allowed, as published."""
    completion_tokens: int = 0
    """Those with a loss."""
    longest: int = 0
    """Tokens of the largest tree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Estimated counts of all trajectories, from some of them or from all."""

    total: TokenCounts
    sampled: int
    """Trajectories counted."""
    of: int
    """Trajectories there are."""
    margin: float = 0.0
    """Half the 95 % interval of `total.tree_tokens`, as a fraction of it; 0 when all were counted."""
    overshoot: float = 0.0
    """Examples by which a step exceeds its batch size on average, as it takes whole trajectories."""
    uneven: float = 0.0
    """Standard deviation over trajectories of their fraction of tokens with a loss, by tree tokens."""

    def tokens(self, config: TrainConfig) -> int:
        """Number of tokens computed in one epoch in the layout of the run."""
        match config.layout, config.shuffle:
            case "padded", _:
                return self.total.padded_tokens
            case "tree", "trajectory":
                return self.total.tree_tokens
            case _:
                return self.total.row_tokens

    def steps(self, batch_size: int) -> float:
        """Number of optimizer steps in one epoch."""
        return self.total.examples / (batch_size + self.overshoot)

    def losses(self, config: TrainConfig, tokens: int) -> int:
        """Upper bound, rarely exceeded, on tokens with a loss in a micro-batch of a given number of tokens."""
        share = self.total.completion_tokens / max(1, self.tokens(config))
        trajectories = max(1.0, tokens * self.of / max(1, self.total.tree_tokens))
        return math.ceil(tokens * min(1.0, share + _RARE * self.uneven / math.sqrt(trajectories)))


def estimate(sample: Sequence[TokenCounts], of: int | None = None) -> Estimate:
    """Estimate the counts of `of` trajectories from those of single ones, drawn at random. None: these are all.

    Raises ValueError for an empty sample.
    """
    if not sample:
        raise ValueError("nothing was counted")
    of = len(sample) if of is None else of
    scale = of / len(sample)

    def total(get: Callable[[TokenCounts], int]) -> int:
        return round(sum(map(get, sample)) * scale)

    tokens = [counts.tree_tokens for counts in sample]
    shares = [counts.completion_tokens / counts.tree_tokens for counts in sample if counts.tree_tokens]
    examples = [counts.examples for counts in sample]
    unseen = math.sqrt(max(0.0, 1 - len(sample) / of))
    mean = sum(tokens) / len(tokens)
    return Estimate(
        total=TokenCounts(
            examples=total(lambda counts: counts.examples),
            trees=total(lambda counts: counts.trees),
            tree_tokens=total(lambda counts: counts.tree_tokens),
            row_tokens=total(lambda counts: counts.row_tokens),
            padded_tokens=total(lambda counts: counts.padded_tokens),
            completion_tokens=total(lambda counts: counts.completion_tokens),
            longest=max(counts.longest for counts in sample),
        ),
        sampled=len(sample),
        of=of,
        margin=_Z * _deviation(tokens) / math.sqrt(len(tokens)) / mean * unseen if mean else 0.0,
        overshoot=_overshoot(examples),
        uneven=_deviation(shares),
    )


def _overshoot(examples: Sequence[int]) -> float:
    """Mean overshoot beyond a threshold when whole trajectories are added up to it; by renewal theory,
    (E[n^2] / E[n] - 1) / 2."""
    count = sum(examples)
    return (sum(n * n for n in examples) / count - 1) / 2 if count else 0.0


def _deviation(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
