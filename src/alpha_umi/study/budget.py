"""Equal budgets: epochs of each stage of a variant, so that all its stages together cost the study's budget.

A budget is in tokens as the published way computes them, every example in a row of its own. The tokens that a variant
really took are counted while it trains, and checked afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alpha_umi.config import TrainConfig
from alpha_umi.errors import ConfigError
from alpha_umi.training.recipe import BASE, Step


def split(tokens: int, first: float, steps: Sequence[Step], rows: Mapping[str, int]) -> dict[str, float]:
    """Split a budget; returns epochs by the name of the step.

    `tokens`: the budget. `first`: the fraction for steps that start from the base; those that start from another step
    get the rest, and where all start from the base they get all. Steps of the same start take equally many epochs.
    `rows`: tokens of one epoch of each step, every example in a row of its own.
    Law: the sum of epochs times rows is `tokens`. Raises ConfigError for a step without examples.
    """
    for step in steps:
        if not rows[step.name]:
            raise ConfigError(f"{step.name}: no examples to learn from, so no budget can be spent on it")
    waves = [
        [step for step in steps if step.starts_from == BASE],
        [step for step in steps if step.starts_from != BASE],
    ]
    fractions = [first, 1 - first] if all(waves) else [1.0, 1.0]
    return {
        step.name: fraction * tokens / sum(rows[other.name] for other in wave)
        for wave, fraction in zip(waves, fractions, strict=True)
        for step in wave
    }


def spend(config: TrainConfig, steps: Sequence[Step], epochs: Mapping[str, float]) -> TrainConfig:
    """Return the training configuration with every step's epochs in its table of settings."""
    tables = {
        step.table: step.settings.model_copy(update={"epochs": epochs[step.name], "max_steps": None}) for step in steps
    }
    return config.model_copy(update={"stages": config.stages.model_copy(update=tables)})


def check(spent: int, tokens: int, tolerance: float, what: str) -> None:
    """Raise ConfigError where a variant's tokens differ from the budget by more than `tolerance`, a fraction of it."""
    if abs(spent - tokens) > tolerance * tokens:
        raise ConfigError(
            f"{what}: trained on {spent:,} tokens where the study's budget is {tokens:,} ({spent / tokens - 1:+.1%}); "
            "a step takes whole trajectories, so raise budget.tokens or lower its batch_size"
        )
