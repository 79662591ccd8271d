"""Configuration files: reading, extending, overriding, writing back, and error messages."""

from __future__ import annotations

import copy
import difflib
import re
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import tomli_w
from pydantic import BaseModel, ValidationError

from alpha_umi.config import deepspeed
from alpha_umi.config.agents import AgentConfig
from alpha_umi.config.environments import EnvironmentConfig
from alpha_umi.config.rollouts import RolloutConfig
from alpha_umi.config.study import StudyConfig
from alpha_umi.config.tables import Table
from alpha_umi.config.training import PretrainConfig, TrainConfig
from alpha_umi.errors import ConfigError, DataError
from alpha_umi.text_files import open_text, read_json

Config = TypeVar("Config", AgentConfig, EnvironmentConfig, RolloutConfig, StudyConfig, PretrainConfig, TrainConfig)
RECIPES = Path(__file__).parents[1] / "recipes"
"""Training configurations that come with the package."""
_EXTENDING = (TrainConfig, PretrainConfig, StudyConfig)
_REPLACED = "model"
"""A table that an extending file replaces whole: it names one model."""


def load_config(kind: type[Config], path: Path, overrides: Sequence[str] = (), folder: Path | None = None) -> Config:
    """Read `path` as `kind`, with overrides `a.b=c`. Raises ConfigError naming the file and the key.

    A training or study file may have `extends = "paper-7b"`: keys that it leaves out are as in that recipe, or in the
    TOML file of that path. All relative paths are taken from `folder`, or else from the folder of `path`.
    """
    document = _extended(path, ()) if kind in _EXTENDING else read_toml(path)
    return make_config(kind, document, overrides, str(path)).rebased((folder or path.parent).absolute())


def make_config(
    kind: type[Config], document: Mapping[str, Any], overrides: Sequence[str] = (), source: str = "options"
) -> Config:
    """Convert `document`, with overrides `a.b=c`, to `kind`. Paths stay as they are written; errors name `source`."""
    changed: dict[str, Any] = copy.deepcopy(dict(document))
    for override in overrides:
        _override(changed, override)
    return parse_config(kind, changed, source)


def read_recipe(name: str) -> dict[str, Any]:
    """Read the whole document of a training recipe, with the one that it extends.

    Raises ConfigError where there is none.
    """
    path = RECIPES / f"{name}.toml"
    if not path.exists():
        raise ConfigError(f"no recipe {name!r}; recipes: {', '.join(recipe_names())}")
    return _extended(path, ())


def recipe_names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in RECIPES.glob("*.toml")))


def _extended(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    if path in above:
        raise ConfigError(f"{path}: extends itself, through {' and '.join(str(other) for other in above)}")
    document = _read_json(path) if path.suffix == ".json" else read_toml(path)
    parent = document.pop("extends", None)
    if parent is None:
        return document
    if not isinstance(parent, str):
        raise ConfigError(f"{path}: extends: the name of one recipe or file, not {parent!r}")
    return merged(_extended(_parent(parent, path), (*above, path)), document)


def _parent(name: str, path: Path) -> Path:
    recipe = RECIPES / f"{name}.toml"
    if recipe.exists():
        return recipe
    found = path.parent / Path(name).expanduser()
    if not found.exists():
        known = recipe_names()
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"recipes: {', '.join(known)}"
        raise ConfigError(f"{path}: extends {name!r}, which is no recipe and no file there; {hint}")
    return found


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge tables key by key; `above` takes precedence."""
    both = dict(below)
    for key, value in above.items():
        old = both.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping) and key != _REPLACED:
            value = merged(cast("Mapping[str, Any]", old), cast("Mapping[str, Any]", value))
        both[key] = value
    return both


def _read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file to refuse it: never a configuration here, but a DeepSpeed one has an error of its own."""
    try:
        document = read_json(path)
    except DataError:
        document = None
    if isinstance(document, dict):
        deepspeed.refuse(cast("dict[str, Any]", document), str(path))
    raise ConfigError(f"{path}: a configuration is a TOML file")


def read_toml(path: Path) -> dict[str, Any]:
    """Read one TOML document. Raises ConfigError with line and column where it is broken."""
    try:
        with open_text(path) as text:
            return tomllib.loads(text.read())
    except DataError as error:
        raise ConfigError(str(error)) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: broken TOML: {error}") from None


def parse_config(kind: type[Config], document: Mapping[str, Any], source: str) -> Config:
    """Validate `document` as `kind`; `source` is named in errors. Paths stay as they are written."""
    if kind is TrainConfig:
        deepspeed.refuse(document, source)
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise ConfigError(f"{source}: {'; '.join(_explain(kind, error))}") from None


def resolved(config: Table) -> str:
    """Write the whole configuration as TOML, defaults included."""
    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))


def _override(document: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or not all(parts):
        raise ConfigError(f"override {override!r}: write it as key.of.table=value")
    table = document
    for depth, part in enumerate(parts[:-1], start=1):
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"override {override!r}: {'.'.join(parts[:depth])} is a value, not a table")
        table = cast("dict[str, Any]", inner)
    try:
        table[parts[-1]] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        table[parts[-1]] = text.strip()


# --- what is wrong, in words ------------------------------------------------------------------------------


MEMBER = re.compile(r"<\w+\.\w+: ('[^']*')>")
"""An enum's member as pydantic shows it; users write its value."""


def _explain(kind: type[BaseModel], error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False):
        tables, keys = _where(kind, problem["loc"])
        place = ".".join(keys[:-1])
        at = f" in [{place}]" if place else ""
        match problem["type"]:
            case "extra_forbidden":
                yield f"unknown key {keys[-1]!r}{at}{_nearest(keys[-1], tables)}"
            case "missing":
                yield f"key {keys[-1]!r} is missing{at}"
            case "value_error":
                prefix = f"[{'.'.join(keys)}]: " if keys else ""
                yield prefix + str(problem["msg"]).removeprefix("Value error, ")
            case _:
                wrong, key = MEMBER.sub(r"\1", str(problem["msg"])), keys[-1] if keys else "the file"
                yield f"{key}{at}: {wrong[:1].lower()}{wrong[1:]}, not {problem['input']!r}"


def _where(kind: type[BaseModel], location: Sequence[str | int]) -> tuple[list[type[BaseModel]], list[str]]:
    """Tables that could have the last key of a location, and the location's keys without the tags of unions."""
    tables, keys = [kind], list[str]()
    for index, part in enumerate(location):
        tagged = [table for table in tables if len(tables) > 1 and table.model_fields["type"].default == part]
        if tagged:
            tables = tagged
            continue
        keys.append(str(part))
        if index < len(location) - 1:
            fields = [table.model_fields[part] for table in tables if part in table.model_fields]
            tables = [inner for field in fields for inner in _tables(field.annotation)]
    return tables, keys


def _tables(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [table for inner in typing.get_args(annotation) for table in _tables(inner)]


def _nearest(key: str, tables: Sequence[type[BaseModel]]) -> str:
    known = [name for table in tables for name in table.model_fields]
    near = difflib.get_close_matches(key, known, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known: {', '.join(known)}" if known else ""
