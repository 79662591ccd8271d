"""Survey of a run's data: a sample of trajectories, tokenised as the stages would and counted."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from alpha_umi.config import TrainConfig
from alpha_umi.training.data.labels import TokenizedTrajectory, Weights, label
from alpha_umi.training.data.packing import pack_prefix_trees
from alpha_umi.training.glpft import Run, TrainInputs
from alpha_umi.training.planning.counts import Estimate, TokenCounts, estimate
from alpha_umi.training.recipe import make_steps


def survey(config: TrainConfig, inputs: TrainInputs, sample: int) -> dict[str, Estimate]:
    """Estimate the counts of every step of the run (see training.recipe) from `sample` random trajectories of its data.

    Nothing is kept and no weights are loaded. Raises ConfigError, DataError and CheckpointError as a run would.
    """
    found: dict[str, Estimate] = {}
    with tempfile.TemporaryDirectory() as folder:
        run = Run(config.model_copy(update={"cache": config.cache or folder, "out": str(Path(folder, "out"))}), inputs)
        run.check_examples(make_steps(config))
        tokenizer = run.tokenizer()
        for step in make_steps(config):
            there = np.flatnonzero(run.taken(step))
            drawn = np.random.default_rng(config.seed).permutation(there)[:sample]
            units = run.units(tokenizer, step.learns)
            counts = [_count(units[int(index)], config) for index in drawn]
            found[step.name] = estimate(counts or [TokenCounts()], len(there) or 1)
    return found


def _count(unit: TokenizedTrajectory, config: TrainConfig) -> TokenCounts:
    examples = [label(example, Weights()) for example in unit.examples]
    trees: Sequence[int] = [packed.tokens for packed in pack_prefix_trees(examples, config.tokens_per_microbatch)]
    return TokenCounts(
        examples=len(examples),
        trees=len(trees),
        tree_tokens=sum(trees),
        row_tokens=sum(len(example.ids) for example in examples),
        padded_tokens=len(examples) * config.max_length,
        completion_tokens=sum(len(example.parts) for example in unit.examples),
        longest=max(trees, default=0),
    )
