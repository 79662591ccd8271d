"""Base class of configuration tables, and the reading of the paths in them."""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, create_model, model_validator

from alpha_umi.deprecation import warn_renamed
from alpha_umi.types import Role

NAMED_FORMATS = ("shared", "chat", "zero-shot", "native", "native-finish", "react")
_CODE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


AnyTable = typing.TypeVar("AnyTable", bound="Table")


class Table(BaseModel):
    """TOML table as a frozen model that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
    renamed: ClassVar[Mapping[str, str]] = {}
    """Keys of the previous version and their names now; read with a warning."""

    @model_validator(mode="before")
    @classmethod
    def _rename_keys(cls, document: Any) -> Any:
        if not isinstance(document, Mapping):
            return document
        old = typing.cast("Mapping[str, Any]", document)
        for key in cls.renamed.keys() & old.keys():
            if cls.renamed[key] in old:
                raise ValueError(f"{key!r} is called {cls.renamed[key]!r} now; both are given")
            warn_renamed(f"the key {key!r}", f"{cls.renamed[key]!r}")
        return {cls.renamed.get(key, key): value for key, value in old.items()}

    def rebased(self, folder: Path) -> typing.Self:
        """Resolve the relative paths of this table, and of those in it, against `folder`."""
        updates: dict[str, Any] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, Table):
                updates[name] = value.rebased(folder)
        return self.model_copy(update=updates) if updates else self


def keyed_by_role(base: type[AnyTable], value: Any) -> type[AnyTable]:
    """Make a table class like `base` with a further optional key for every role, which holds a `value`."""
    keys: Any = {role.value: (value | None, None) for role in Role}
    return create_model(base.__name__, __base__=base, **keys)


def file_path(value: str, folder: Path) -> str:
    return str(folder / Path(value).expanduser())


def model_or_hub_id(value: str, folder: Path) -> str:
    """Read a path if it looks like one or is there, else leave a hub id as it is."""
    looks_like_path = value.startswith((".", "/", "~")) or value.count("/") > 1
    path = folder / Path(value).expanduser()
    return str(path) if looks_like_path or path.exists() else value


def format_name(value: str, folder: Path) -> str:
    """Leave a named format and a coded one (`module:attribute`) as they are, else read a path."""
    return value if value.partition("@")[0] in NAMED_FORMATS or is_code(value) else file_path(value, folder)


def is_code(name: str) -> bool:
    """Return True for `module:attribute`, unless a file has that name."""
    return _CODE.fullmatch(name) is not None and not Path(name).exists()
