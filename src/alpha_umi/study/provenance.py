"""Provenance of a cell: a fingerprint of its settings, written first, compared before it is resumed or reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from alpha_umi.config import StudyConfig
from alpha_umi.errors import ConfigError
from alpha_umi.store import read_json, write_json
from alpha_umi.study.cells import DONE, Cell, cells, fingerprint, is_there, train_config
from alpha_umi.study.data import Data
from alpha_umi.types import Json

_BEGUN = "made.json"
_WHOLE = "made_with"
_SETTINGS = "settings"
"""The same without the base model, for a report where that is missing. Older cells lack it."""
_INSTEAD = "move the folder away to measure it again, or name another --out"

Document = Mapping[str, Any]


def is_done(config: StudyConfig, cell: Cell, out: Path) -> bool:
    """Tell whether a cell is complete. Raises ConfigError where it was completed, or begun, with other settings."""
    folder = cell.folder(out)
    for name in (DONE, _BEGUN):
        if (folder / name).exists():
            if _read(folder / name).get(_WHOLE) != provenance(config, cell, out)[_WHOLE]:
                raise _other(folder)
            return name == DONE
    if folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise ConfigError(f"{folder}: does not say what it was begun with ({_BEGUN}); {_INSTEAD}")
    return False


def begin(config: StudyConfig, cell: Cell, out: Path) -> None:
    """Write the provenance of a cell into its folder. Raises StorageError."""
    write_json(cell.folder(out) / _BEGUN, provenance(config, cell, out))


def provenance(config: StudyConfig, cell: Cell, out: Path) -> dict[str, Json]:
    """Compute the provenance of a cell, as its files hold it."""
    train = train_config(config, cell, Data(out, config), out)
    return {
        _WHOLE: fingerprint(config, cell, train),
        _SETTINGS: fingerprint(config, cell, train, with_base=False),
    }


def read_done(config: StudyConfig, out: Path) -> tuple[list[Document], list[str]]:
    """Read the cells that are done, and notes on those that could not be compared in full: their base is missing here.

    Raises ConfigError for a cell that was measured with other settings.
    """
    done: list[Document] = []
    unknown, unchecked = list[str](), list[str]()
    for cell in cells(config):
        path = cell.folder(out) / DONE
        if not path.exists():
            continue
        document = _read(path)
        done.append(document)
        wanted = provenance(config, cell, out)
        if is_there(config, cell.base):
            same = document.get(_WHOLE) == wanted[_WHOLE]
        elif _SETTINGS in document:
            unknown.append(cell.base)
            same = document[_SETTINGS] == wanted[_SETTINGS]
        else:
            unchecked.append(cell.key)
            same = _fits(config, document)
        if not same:
            raise _other(path.parent)
    return done, [
        *_note("base, which is not here", unknown),
        *_note("settings, since their base is not here", unchecked),
    ]


def _other(folder: Path) -> ConfigError:
    return ConfigError(f"{folder}: was measured with other settings; {_INSTEAD}")


def _fits(config: StudyConfig, document: Document) -> bool:
    """Tell whether the results can be those of this study, as far as they show it."""
    live, budget = config.live, config.budget
    spent = sum(stage["row_tokens"] for stage in document["stages"].values())
    rolled_out = {strategy: {name: len(tasks) for name, tasks in one["sets"].items()}
                  for strategy, one in document["live"].items()}  # fmt: skip
    return (
        document["static"].keys() == set(config.static.sets)
        and rolled_out == {strategy: dict.fromkeys(live.sets, live.tasks) for strategy in live.strategies if live.sets}
        and abs(spent - budget.tokens) <= budget.tolerance * budget.tokens
    )


def _note(what: str, found: Sequence[str]) -> list[str]:
    names = ", ".join(dict.fromkeys(found))
    return [f"Not compared with this study's {what}: {names}."] if found else []


def _read(path: Path) -> Document:
    document = read_json(path)
    return cast("Document", document) if isinstance(document, dict) else {}
