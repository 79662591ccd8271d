"""Training and test data of a study: raw answers of the sealed world, read by each preparation in use."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from alpha_umi.config import StudyConfig, VariantConfig
from alpha_umi.errors import ConfigError, StorageError
from alpha_umi.preparation.answers import AnswerOptions, prepare_answers
from alpha_umi.preparation.reference_targets import prepare_published
from alpha_umi.preparation.world_files import Choice, write_gold
from alpha_umi.store import read_json, write_json
from alpha_umi.study.changes import changing
from alpha_umi.types import Json
from alpha_umi.world.presets import find_preset

_DONE = "done.json"
"""Written first, so that the folder is known to be a study's, and again when all data is written."""
_OF = "of"
"""Key of the fingerprint of the data; None while it is written."""
_TRAIN = "train"


@dataclass(frozen=True, slots=True)
class Data:
    """The files of a study's data."""

    out: Path
    """The study's folder."""
    config: StudyConfig

    @property
    def folder(self) -> Path:
        """The folder of all data."""
        return self.out.absolute() / "data"

    def training(self, preparation: str) -> Path:
        """Return the file of training trajectories by a preparation."""
        return self.folder / f"{preparation}.jsonl"

    def test(self, name: str) -> Path:
        """Return the file of a set for static evaluation."""
        return self.folder / "static" / f"{name}.jsonl"

    @property
    def live(self) -> Path:
        """The folder of the sets that are rolled out."""
        return self.folder / "live"

    @property
    def validation(self) -> Path:
        """The file of validation trajectories."""
        return self.folder / "validation" / f"{_TRAIN}.jsonl"

    def document(self, variant: VariantConfig) -> dict[str, Json]:
        """Return the table [data] of a variant's training run."""
        document: dict[str, Json] = {"train": str(self.training(variant.preparation))}
        if variant.share < 1:
            document["limit"] = max(1, round(variant.share * self.config.world.train))
        if self.config.world.validation:
            document["validation"] = str(self.validation)
        return document

    def make(self, on_progress: Callable[[str], None]) -> None:
        """Write the data where it is missing, and all of it again where the study asks for other data than before.

        `on_progress` gets the name of each part. Raises ConfigError where the folder holds what no study wrote;
        StorageError.
        """
        wanted = self._wanted()
        done = self.folder / _DONE
        if done.exists() and read_json(done) == wanted:
            return
        self._clear()
        write_json(done, {_OF: None})
        world = self.config.world
        on_progress(f"{world.train} training tasks")
        answers = self._write(self.folder, _TRAIN, world.train, 0, train=True)
        for preparation in self._preparations():
            on_progress(f"preparation: {preparation}")
            if preparation == "published":
                prepare_published(answers, self.training(preparation))
            else:
                prepare_answers(answers, self.training(preparation), AnswerOptions())
        if world.validation:
            self._write(self.folder / "validation", _TRAIN, world.validation, world.train)
        for kind, sets, count in (
            ("static", self.config.static.sets, self.config.static.tasks),
            ("live", self.config.live.sets, self.config.live.tasks),
        ):
            for name in sets:
                on_progress(f"{kind}: {name}")
                self._write(self.folder / kind, name, count, self.config.static.first)
        write_json(done, wanted)

    def _clear(self) -> None:
        """Remove the files of a study, and nothing else."""
        folder, done = self.folder, self.folder / _DONE
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return
        made = read_json(done) if done.is_file() else None
        if not isinstance(made, dict) or made.keys() != {_OF}:
            raise ConfigError(f"{folder}: holds something else than a study's data; name another --out")
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise StorageError(f"{folder}: cannot be replaced: {error.strerror or error}") from error

    def _write(self, folder: Path, split: str, count: int, first: int, *, train: bool = False) -> Path:
        config = self.config.world
        choice = Choice(
            split=split, count=count, preset=config.preset, seed=config.seed, first=first, max_calls=config.max_calls
        )
        written = write_gold(folder, choice, changing(config) if train else None)
        if not train:
            for extra in (folder / split, folder / "queries", folder / "test_query_ids"):
                shutil.rmtree(extra, ignore_errors=True)  # live runs read the trajectories beside them
        return written.answers

    def _preparations(self) -> list[str]:
        return sorted({variant.preparation for variant in self.config.variants.values()})

    def _wanted(self) -> Mapping[str, Json]:
        config = self.config
        settings: Json = [
            find_preset(config.world.preset).version,
            cast("Json", config.world.model_dump(mode="json")),
            cast("Json", config.static.model_dump(mode="json")),
            [list[Json](config.live.sets), config.live.tasks],
            list[Json](self._preparations()),
        ]
        return {_OF: hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]}
