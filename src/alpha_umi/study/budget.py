"""Equal budgets: how many epochs each stage of a variant may take, so that all of it costs what the study allows.

A budget is in tokens as the published way computes them, every example in a row of its own. What a variant really
spent is counted while it trains, and checked afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alpha_umi.config import TrainConfig
from alpha_umi.errors import ConfigError
from alpha_umi.training.recipe import BASE, Step


def split(tokens: int, first: float, steps: Sequence[Step], rows: Mapping[str, int]) -> dict[str, float]:
    """Epochs by the name of the step. `rows`: tokens of one epoch of each, every example in a row of its own.

    Steps that start from the base come first and get `first` of the tokens, those that start from another step the
    rest; where all start from the base they get all. Steps beside each other take equally many epochs.
    Law: the sum of epochs times rows is `tokens`. Raises ConfigError for a step without examples.
    """
    for step in steps:
        if not rows[step.name]:
            raise ConfigError(f"{step.name}: no examples to learn from, so no budget can be spent on it")
    waves = [
        [step for step in steps if step.starts_from == BASE],
        [step for step in steps if step.starts_from != BASE],
    ]
    shares = [first, 1 - first] if all(waves) else [1.0, 1.0]
    return {
        step.name: share * tokens / sum(rows[other.name] for other in wave)
        for wave, share in zip(waves, shares, strict=True)
        for step in wave
    }


def spend(config: TrainConfig, steps: Sequence[Step], epochs: Mapping[str, float]) -> TrainConfig:
    """The run with every step's epochs in its table of settings."""
    tables = {
        step.table: step.settings.model_copy(update={"epochs": epochs[step.name], "max_steps": None}) for step in steps
    }
    return config.model_copy(update={"stages": config.stages.model_copy(update=tables)})


def check(spent: int, tokens: int, tolerance: float, what: str) -> None:
    """Raise ConfigError where a variant's tokens are not those of the budget."""
    if abs(spent - tokens) > tolerance * tokens:
        raise ConfigError(
            f"{what}: trained on {spent:,} tokens where the study's budget is {tokens:,} ({spent / tokens - 1:+.1%}); "
            "a step takes whole trajectories, so raise budget.tokens or lower its batch_size"
        )
