"""What a cell was made with: written when it is begun, compared before anything goes on with it or tells of it."""

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
"""The same without the base, for a report where that is not at hand. Older cells lack it."""
_INSTEAD = "move the folder away to measure it anew, or name another --out"

Document = Mapping[str, Any]


def is_done(config: StudyConfig, cell: Cell, out: Path) -> bool:
    """Whether a cell is whole. Raises ConfigError where it was made, or begun, with other settings."""
    folder = cell.folder(out)
    for name in (DONE, _BEGUN):
        if (folder / name).exists():
            if _read(folder / name).get(_WHOLE) != made_with(config, cell, out)[_WHOLE]:
                raise _other(folder)
            return name == DONE
    if folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise ConfigError(f"{folder}: does not say what it was begun with ({_BEGUN}); {_INSTEAD}")
    return False


def begin(config: StudyConfig, cell: Cell, out: Path) -> None:
    """Say in a cell's folder what it is made with. Raises StorageError."""
    write_json(cell.folder(out) / _BEGUN, made_with(config, cell, out))


def made_with(config: StudyConfig, cell: Cell, out: Path) -> dict[str, Json]:
    """As it stands in a cell's files."""
    train = train_config(config, cell, Data(out, config), out)
    return {
        _WHOLE: fingerprint(config, cell, train),
        _SETTINGS: fingerprint(config, cell, train, with_base=False),
    }


def read_done(config: StudyConfig, out: Path) -> tuple[list[Document], list[str]]:
    """The cells that are done, and what could not be compared of them since their base is not here.

    Raises ConfigError for one that was made with other settings.
    """
    done: list[Document] = []
    unknown, unchecked = list[str](), list[str]()
    for cell in cells(config):
        path = cell.folder(out) / DONE
        if not path.exists():
            continue
        document = _read(path)
        done.append(document)
        wanted = made_with(config, cell, out)
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
        *_told("base, which is not here", unknown),
        *_told("settings, since their base is not here", unchecked),
    ]


def _other(folder: Path) -> ConfigError:
    return ConfigError(f"{folder}: was measured with other settings; {_INSTEAD}")


def _fits(config: StudyConfig, document: Document) -> bool:
    """Whether what was measured can be what this study measures, as far as can be seen from it."""
    live, budget = config.live, config.budget
    spent = sum(stage["row_tokens"] for stage in document["stages"].values())
    rolled_out = {strategy: {name: len(tasks) for name, tasks in one["sets"].items()}
                  for strategy, one in document["live"].items()}  # fmt: skip
    return (
        document["static"].keys() == set(config.static.sets)
        and rolled_out == {strategy: dict.fromkeys(live.sets, live.tasks) for strategy in live.strategies if live.sets}
        and abs(spent - budget.tokens) <= budget.tolerance * budget.tokens
    )


def _told(what: str, found: Sequence[str]) -> list[str]:
    names = ", ".join(dict.fromkeys(found))
    return [f"Not compared with this study's {what}: {names}."] if found else []


def _read(path: Path) -> Document:
    document = read_json(path)
    return cast("Document", document) if isinstance(document, dict) else {}
