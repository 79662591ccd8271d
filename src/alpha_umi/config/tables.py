"""What every table of a configuration file can do, and how paths in one are read."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

NAMED_FORMATS = ("shared", "chat", "native", "native-finish", "react")


class Table(BaseModel):
    """A TOML table: frozen, and every key is known."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    def rebased(self, folder: Path) -> typing.Self:
        """The same with the relative paths of this table, and of those in it, taken from `folder`."""
        updates: dict[str, Any] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, Table):
                updates[name] = value.rebased(folder)
        return self.model_copy(update=updates) if updates else self


def file_path(value: str, folder: Path) -> str:
    return str(folder / Path(value).expanduser())


def model_or_hub_id(value: str, folder: Path) -> str:
    """A path if it looks like one or is there, else a hub id and left as it is."""
    looks_like_path = value.startswith((".", "/", "~")) or value.count("/") > 1
    path = folder / Path(value).expanduser()
    return str(path) if looks_like_path or path.exists() else value


def format_name(value: str, folder: Path) -> str:
    return value if value.partition("@")[0] in NAMED_FORMATS else file_path(value, folder)
