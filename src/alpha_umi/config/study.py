"""Configuration of a study: a world, base models, seeds, a budget, and the training variants that are compared."""

from __future__ import annotations

import re
import typing
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from alpha_umi.config.tables import Table, model_or_hub_id
from alpha_umi.config.training import ModelConfig, TinyConfig

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
_STUDYS = ("data", "model", "out", "seed", "cache")
"""Keys of a training run that the study sets itself."""


class StudyWorldConfig(Table):
    """Training and test tasks of a study, from the sealed world."""

    preset: str = "small"
    seed: int = 0
    train: PositiveInt
    """Training tasks."""
    max_calls: PositiveInt | None = None
    """Largest number of calls of a task, in training and in tests."""
    masked: float = Field(default=0.0, ge=0, le=1)
    """Share of the training tasks whose tools get invented names (see preparation.masking)."""
    hallucinated: float = Field(default=0.0, ge=0, le=1)
    """Share of the raw training answers with a call of a tool that is not there, marked as ToolBench marks them."""
    validation: NonNegativeInt = 0
    """Tasks of the training split, behind those for training, whose loss is measured after every stage."""


class StaticConfig(Table):
    """Static evaluation: teacher-forced prediction of every step, as in the paper's table 1."""

    in_domain: tuple[str, ...] = Field(min_length=1)
    """Test sets whose tools training has seen."""
    unseen: tuple[str, ...] = ()
    """Test sets whose tools or categories it has not."""
    tasks: PositiveInt
    """Of each set."""
    first: NonNegativeInt = 0
    """The index to start from."""

    @property
    def sets(self) -> tuple[str, ...]:
        return (*self.in_domain, *self.unseen)


class LiveConfig(Table):
    """Live evaluation: rollouts with the exact verifier, as in the paper's table 2."""

    sets: tuple[str, ...] = ()
    tasks: PositiveInt = 20
    """Of each set."""
    strategies: tuple[str, ...] = Field(default=("chain", "dfsdt"), min_length=1)
    """The baseline's rollouts by the first of them are what all others are compared with."""
    max_steps: PositiveInt = 8
    max_completions: PositiveInt | None = 60
    """Per task, of all roles together; a bound for searches that find no answer."""


class StudyBudgetConfig(Table):
    """Training budget of every variant. Tokens are counted as the published way computes them: every example
    in a row of its own, as often as it is seen, whatever this package saves by sharing."""

    tokens: PositiveInt
    first: float = Field(default=0.5, gt=0, lt=1)
    """Share of the stage from the base model, where other stages follow it. Stages that start from the same weights
    share what is theirs so that each sees its examples equally often."""
    tolerance: float = Field(default=0.03, gt=0, lt=1)
    """Tolerance by which a variant's tokens may differ from `tokens`."""


class StudyBaseConfig(Table):
    """Base model of every variant: a folder or hub id, a base model in the package, or a model from nothing."""

    base: str | None = None
    bundled: str | None = None
    """The name of a bundled agent, whose base model is meant."""
    tiny: TinyConfig | None = None

    @model_validator(mode="after")
    def _is_one(self) -> typing.Self:
        if sum(each is not None for each in (self.base, self.bundled, self.tiny)) != 1:
            raise ValueError("name either 'base' (a folder or a hub id), 'bundled', or a table 'tiny'")
        return self

    @property
    def model(self) -> ModelConfig:
        if self.bundled is None:
            return ModelConfig(base=self.base, tiny=self.tiny)
        return ModelConfig(base=str(Path(__file__).parents[1] / "bundled" / self.bundled / "base"))

    def rebased(self, folder: Path) -> typing.Self:
        return self if self.base is None else self.model_copy(update={"base": model_or_hub_id(self.base, folder)})


class VariantConfig(Table):
    """Training variant, as its changes to the study's [train]."""

    title: str
    train: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Keys of a training recipe (method, adapter, stages, ...), merged into the study's own."""
    preparation: Literal["ours", "published"] = "ours"
    """Preparation of examples from the raw answers; published: with its unfair filter and its wrong give-up prompts."""
    share: float = Field(default=1.0, gt=0, le=1)
    """Number of training tasks, the first ones; the budget stays the same."""
    scales: str | None = None
    """The variant of which this is the same with less data: shown in the figure of data, not in the tables."""
    first: float | None = Field(default=None, gt=0, lt=1)
    """In place of the budget's."""
    bases: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Only from these bases; None: from all."""
    seeds: tuple[NonNegativeInt, ...] | None = Field(default=None, min_length=1)
    """Only with these seeds; None: with all."""

    @model_validator(mode="after")
    def _can_be_made(self) -> typing.Self:
        _check_keys(self.train)
        if self.share < 1 and self.preparation != "ours":
            raise ValueError("share: only of our preparation; the published one pairs prompts across trajectories")
        return self


class StudyConfig(Table):
    """Configuration of a study: every variant from every base with every seed."""

    name: str
    world: StudyWorldConfig
    static: StaticConfig
    live: LiveConfig = LiveConfig()
    budget: StudyBudgetConfig
    seeds: tuple[NonNegativeInt, ...] = Field(default=(0,), min_length=1)
    bases: dict[str, StudyBaseConfig] = Field(min_length=1)
    recipe: str | None = None
    """The training recipe that [train] changes."""
    train: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Settings of all variants, as keys of a training recipe."""
    baseline: str
    """The variant that the others are compared with."""
    variants: dict[str, VariantConfig] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_what_there_is(self) -> typing.Self:
        _check_keys(self.train)
        for name in (*self.variants, *self.bases):
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r}: a name is made of a-z, 0-9, '.' and '-', as it becomes a folder")
        if self.baseline not in self.variants:
            raise ValueError(f"baseline {self.baseline!r} is no variant; variants: {', '.join(self.variants)}")
        for name, variant in self.variants.items():
            scaled = variant.scales
            if scaled is not None and (scaled not in self.variants or scaled == name):
                raise ValueError(f"variant {name!r} scales {scaled!r}, which is no other variant")
            _check_among(f"variant {name!r}: bases", variant.bases, self.bases)
            _check_among(f"variant {name!r}: seeds", variant.seeds, self.seeds)
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: a seed stands there twice")
        return self

    def rebased(self, folder: Path) -> typing.Self:
        bases = {name: base.rebased(folder) for name, base in self.bases.items()}
        return super().rebased(folder).model_copy(update={"bases": bases})


def _check_among(what: str, chosen: Collection[object] | None, known: Collection[object]) -> None:
    strange = [one for one in chosen or () if one not in known]
    if strange:
        raise ValueError(f"{what}: {strange[0]!r} is not among those of the study: {', '.join(map(str, known))}")


def _check_keys(train: dict[str, Any]) -> None:
    for key in _STUDYS:
        if key in train:
            raise ValueError(f"train: {key!r} is set by the study itself; leave it out")
