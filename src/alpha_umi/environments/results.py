"""Results of Python tools as the text of an observation."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from enum import Enum
from typing import Any, cast

from pydantic_core import PydanticSerializationError, to_jsonable_python

from alpha_umi.loose_json import readable_json
from alpha_umi.types import Json


def write_result(result: object) -> str:
    """Return a text as it is (JSON unescaped), and any other value as JSON.

    Sets are sorted, so that a text does not depend on the run.
    Dataclasses, pydantic models, enums, dates, decimals and paths are written as pydantic does. Raises TypeError for a
    value that JSON cannot express.
    """
    if isinstance(result, str) and not isinstance(result, Enum):
        return readable_json(str.__str__(result))
    return json.dumps(_as_json(result), ensure_ascii=False)


def _as_json(value: Any) -> Json:
    if isinstance(value, Enum):
        return _as_json(value.value)
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Mapping):
        return {_key(key): _as_json(item) for key, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(item) for item in cast("list[Any]", value)]
    if isinstance(value, (set, frozenset)):
        return [_as_json(item) for item in sorted(cast("set[Any]", value), key=str)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _as_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    try:
        return to_jsonable_python(value)
    except (PydanticSerializationError, ValueError):
        raise TypeError(f"a result of type {type(value).__name__} cannot be written as JSON") from None


def _key(key: object) -> str:
    written = _as_json(key)
    return written if isinstance(written, str) else json.dumps(written)
