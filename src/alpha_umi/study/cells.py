"""Cells of a study, each one variant from one base with one seed: their folders, training runs and fingerprints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from alpha_umi.config import StudyConfig, TrainConfig, VariantConfig, load_config, make_config, merged, read_recipe
from alpha_umi.errors import ConfigError
from alpha_umi.study.data import Data
from alpha_umi.world import World
from alpha_umi.world.presets import find_preset

STUDIES = Path(__file__).parents[1] / "recipes" / "studies"
DONE = "cell.json"
_FREE = ("out", "cache", "workers", "device", "data", "model", "save_every", "log_every", "report_to")
"""Settings of a training run that may differ between machines without a change of its results."""
_MODEL = ("config.json", "tokenizer.json")
_WEIGHTS = ".safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A variant trained from a base with a seed."""

    base: str
    variant: str
    seed: int

    @property
    def key(self) -> str:
        """The cell's name in a study."""
        return f"{self.base}/{self.variant}/{self.seed}"

    def folder(self, out: Path) -> Path:
        """Return the cell's folder below that of the study."""
        return out / "cells" / self.base / self.variant / str(self.seed)


def read_study(name: str, overrides: tuple[str, ...] = ()) -> StudyConfig:
    """Read a study from a file, or the one of that name that comes with the package.

    Also reads the training run of every variant and a task of every test set, so that faults show before any work.
    Raises ConfigError.
    """
    path, ours = Path(name), STUDIES / f"{name}.toml"
    if not path.exists() and ours.exists():
        config = load_config(StudyConfig, ours, overrides, folder=Path.cwd())
    elif not path.exists() and not path.suffix:
        known = ", ".join(sorted(entry.stem for entry in STUDIES.glob("*.toml")))
        raise ConfigError(f"{name}: no such file, and no study of that name; studies: {known}")
    else:
        config = load_config(StudyConfig, path, overrides)
    for cell in cells(config):
        train_config(config, cell, Data(Path(), config), Path())
    world = World(config.world.preset, config.world.seed)
    for name in (*config.static.sets, *config.live.sets):
        world.task(name, config.static.first)
    return config


def check_bases(config: StudyConfig) -> None:
    """Raise ConfigError for a base model that is named by its folder and is not there."""
    for name, base in config.bases.items():
        if is_there(config, name):
            continue
        if base.bundled is not None:
            raise ConfigError(f"base {name!r}: no agent {base.bundled!r} with a base model comes with this package")
        raise ConfigError(
            f"base {name!r}: {base.model.base} is not there; make it first (umi pretrain), or leave this base out"
        )


def is_there(config: StudyConfig, base: str) -> bool:
    """Tell whether a base model exists here; one that is named by its hub id or trained from scratch is taken to."""
    folder = config.bases[base].model.base
    return folder is None or not Path(folder).is_absolute() or Path(folder).exists()


def cells(config: StudyConfig) -> Iterator[Cell]:
    """List all cells, seed by seed, so that an interrupted study has compared all variants on the first seeds."""
    for seed in config.seeds:
        for base in config.bases:
            for name, variant in config.variants.items():
                if seed in (variant.seeds or config.seeds) and base in (variant.bases or config.bases):
                    yield Cell(base=base, variant=name, seed=seed)


def train_config(config: StudyConfig, cell: Cell, data: Data, out: Path) -> TrainConfig:
    """Return the training configuration of a cell before its budget is split. Raises ConfigError naming the variant."""
    variant = config.variants[cell.variant]
    document = read_recipe(config.recipe) if config.recipe else {}
    document = merged(merged(document, config.train), variant.train)
    document |= {
        "data": data.document(variant),
        "model": config.bases[cell.base].model.model_dump(exclude_none=True),
        "out": str(cell.folder(out).absolute() / "run"),
        "cache": str((out / "cache").absolute()),
        "seed": cell.seed,
    }
    return make_config(TrainConfig, document, source=f"variant {cell.variant!r}")


def fingerprint(config: StudyConfig, cell: Cell, train: TrainConfig, *, with_base: bool = True) -> str:
    """Hash everything that a cell's results depend on, but not the paths of its folder and its base."""
    settings: list[Any] = [
        {key: value for key, value in train.model_dump(mode="json").items() if key not in _FREE},
        _base_of(train) if with_base else None,
        find_preset(config.world.preset).version,
        config.world.model_dump(mode="json"),
        config.static.model_dump(mode="json"),
        config.live.model_dump(mode="json"),
        config.budget.model_dump(mode="json"),
        _data_settings(config.variants[cell.variant]),
    ]
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def _base_of(train: TrainConfig) -> Any:
    """A model from scratch by its settings, a folder by its contents, anything else by its name."""
    if train.model.base is None:
        return train.model.model_dump(mode="json")
    files = sorted(path for path in Path(train.model.base).glob("*") if path.suffix == _WEIGHTS or path.name in _MODEL)
    return [[path.name, hashlib.sha256(path.read_bytes()).hexdigest()] for path in files] or train.model.base


def _data_settings(variant: VariantConfig) -> list[Any]:
    return cast("list[Any]", [variant.preparation, variant.share, variant.first])
