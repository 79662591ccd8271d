"""Decoding of a call's arguments, and their validation against the JSON Schema that a tool declares.

Environments decide by it whether a call is run at all. A fault is a value, not an exception: a model wrote it. What
the schema leaves one reading of is mended, and the mend is named. Checked are types (in words too, where
`formats.json_types` is sure of them), `enum`, `const`, dates and times, references, `allOf`, `anyOf`, `oneOf` (as
`anyOf`), objects and arrays; any other keyword allows any value. The work of a check is bounded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import unquote

from alpha_umi.formats.json_types import DATE, TIME, read_type
from alpha_umi.literals import Loose
from alpha_umi.loose_json import read_loosely
from alpha_umi.types import Json, ToolSpec

Schema = dict[str, Json]
Path: TypeAlias = tuple[str | int, ...]
"""Keys and indices from the arguments down to a value."""

_STEPS, _STEPS_PER_CHARACTER = 50_000, 10
"""Pairs of a value and a schema that are checked for one text."""
_MOST_MENDS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Reason for which a call cannot be run."""

    reason: str
    """One sentence that names the argument."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """Arguments that a tool takes, with what was mended in the text that a model wrote."""

    values: dict[str, Json]
    mends: tuple[str, ...] = ()
    """One sentence each; empty where the text is JSON that fits the schema as it is."""


def read_arguments(spec: ToolSpec, text: str) -> dict[str, Json] | Fault:
    """Return the arguments that `text` holds for `spec`, or the first fault found in them. Total over all strings."""
    found = decode_arguments(spec, text)
    return found if isinstance(found, Fault) else found.values


def decode_arguments(spec: ToolSpec, text: str) -> Arguments | Fault:
    """Decode the arguments that `text` holds for `spec`, mended where they can mean one thing. Total over all strings.

    An argument that the schema does not name is a fault, unless the schema allows `additionalProperties`. Mended are
    text that `loose_json` reads, objects and lists within a string where no string may be, null for an argument that
    is not required and takes none, and null or nothing for a tool without arguments. Law: the values, written as JSON,
    decode to themselves without a mend.
    """
    checks = _Checks(root={**spec.parameters, "type": "object"}, left=_STEPS + _STEPS_PER_CHARACTER * len(text))
    try:
        read = _read_object(text, checks)
    except ValueError as error:
        return Fault(reason=f"the arguments are not JSON: {error}")
    if not isinstance(read.value, dict):
        return Fault(reason=f"the arguments must be a JSON object, not {_kind(read.value)}")
    try:
        return _mended(read.value, read.mends, checks)
    except RecursionError:
        return Fault(reason="the arguments are nested too deeply")
    except _OutOfStepsError:
        return Fault(reason="the arguments cannot be checked: they and the tool's schema are too large together")


# --- the text ---------------------------------------------------------------------------------------------


def _read_object(text: str, checks: _Checks) -> Loose:
    """Value of a text; nothing and null are an object without members for a tool without arguments."""
    if text.strip() in ("", "null", "None") and checks.takes_nothing:
        return Loose(value={}, mends=("no arguments were written",))
    read = read_loosely(text)
    mends = tuple(f"the arguments were {mend}" for mend in read.mends)
    if not isinstance(read.value, str):
        return Loose(value=read.value, mends=mends)
    inner = _read_object(read.value, checks)
    if isinstance(inner.value, dict):
        return Loose(value=inner.value, mends=(*mends, "the arguments were JSON within a string", *inner.mends))
    return read


# --- mends ------------------------------------------------------------------------------------------------


def _mended(values: dict[str, Json], mends: tuple[str, ...], checks: _Checks) -> Arguments | Fault:
    """Mend fault by fault, as long as one reading alone removes each of them."""
    first = fault = checks.first_fault(values)
    while fault is not None and len(mends) <= _MOST_MENDS:
        readings = [
            (reading, rest, mend)
            for path in filter(None, fault.mendable)
            for reading, mend in _readings(values, path)
            if (rest := checks.first_fault(reading)) is None or path not in rest.mendable
        ]
        readings = [each for each in readings if each[1] is None] or readings
        if not readings or any(reading != readings[0][0] for reading, _, _ in readings):
            break
        values, fault, mend = readings[0]
        mends = (*mends, mend)
    return Arguments(values=values, mends=mends) if first is None or fault is None else Fault(reason=first.reason)


def _readings(values: dict[str, Json], path: Path) -> Iterator[tuple[dict[str, Json], str]]:
    """Arguments in which the value at `path` is read otherwise, and what was mended in them."""
    copy: dict[str, Json] = json.loads(json.dumps(values))
    holder: Any = copy
    for key in path[:-1]:
        holder = holder[key]
    key, name = path[-1], _written(path)
    if holder[key] is None and isinstance(holder, dict):
        del holder[key]
        yield copy, f"argument '{name}' was null and is not required"
    elif isinstance(holder[key], str):
        try:
            inner = read_loosely(holder[key])
        except ValueError:
            return
        if isinstance(inner.value, (dict, list)):
            holder[key] = inner.value
            yield copy, f"argument '{name}' was JSON within a string"


# --- validation -------------------------------------------------------------------------------------------


class _OutOfStepsError(Exception):
    """Validation that takes more steps than it may."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A fault of a document."""

    reason: str
    mendable: tuple[Path, ...] = ()
    """Paths of values of which another reading might fit."""


@dataclass(slots=True, kw_only=True)
class _Checks:
    """Validation of documents against one schema; every pair of a value and a schema is checked once."""

    root: Schema
    left: int
    seen: dict[tuple[Path, int], _Found | None] = field(default_factory=dict[tuple[Path, int], "_Found | None"])
    words: dict[str, Schema] = field(default_factory=dict[str, Schema])
    """Schemas of types in words."""

    def first_fault(self, values: dict[str, Json]) -> _Found | None:
        """Find the first fault of all arguments."""
        self.seen.clear()
        return self.check((), values, self.root) or self.unnamed(values)

    @property
    def takes_nothing(self) -> bool:
        """True for a tool that declares no argument."""
        names, is_open = self.names()
        return not names and not self.root.get("required") and ("properties" in self.root or not is_open)

    def unnamed(self, values: dict[str, Json]) -> _Found | None:
        """Fault of an argument that the schema, with all that it refers to, does not name."""
        names, is_open = self.names()
        if is_open or "additionalProperties" in self.root:
            return None
        return next((_unknown((name,), names) for name in values if name not in names), None)

    def names(self) -> tuple[dict[str, None], bool]:
        """Names of all arguments, and True where others may be given."""
        names, is_open = dict[str, None](), False
        for schema in self.parts(self.root, set()):
            declared = schema.get("properties")
            names |= dict.fromkeys(declared) if isinstance(declared, dict) else {}
            is_open |= schema.get("additionalProperties", False) is not False or "patternProperties" in schema
        return names, is_open

    def parts(self, schema: Json, seen: set[int]) -> Iterator[Schema]:
        """A schema with all others that apply to the same value."""
        if not isinstance(schema, dict) or id(schema) in seen:
            return
        seen.add(id(schema))
        yield schema
        below = [self.target(schema)] if "$ref" in schema else []
        for key in ("allOf", "anyOf", "oneOf"):
            options = schema.get(key)
            below += options if isinstance(options, list) else []
        for each in below:
            yield from self.parts(each, seen)

    def check(self, path: Path, value: Json, schema: Json) -> _Found | None:
        """First fault of `value`; a schema that leads to itself for one value adds nothing."""
        if schema is False:
            return _Found(f"argument '{_written(path)}' is not allowed")
        if not isinstance(schema, dict) or not schema:
            return None
        key = path, id(schema)
        if key in self.seen:
            return self.seen[key]
        self.left -= 1
        if self.left < 0:
            raise _OutOfStepsError
        self.seen[key] = None
        null = value is None and (schema.get("nullable") is True or ("default" in schema and schema["default"] is None))
        found = None
        for keywords, check in () if null else _CHECKS:
            if schema.keys().isdisjoint(keywords):
                continue
            found = check(self, path, value, schema)
            if found is not None:
                break
        self.seen[key] = found
        return found

    # --- keywords -----------------------------------------------------------------------------------------

    def reference(self, path: Path, value: Json, schema: Schema) -> _Found | None:
        return self.check(path, value, self.target(schema))

    def target(self, schema: Schema) -> Json:
        """Schema that a reference within the root names by a JSON pointer (RFC 6901); any value where there is none."""
        reference = schema["$ref"]
        if not isinstance(reference, str) or not reference.startswith("#"):
            return True
        found: Json = self.root
        for key in unquote(reference[1:]).split("/")[1:]:
            key = key.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict):
                found = found.get(key, True)
            elif isinstance(found, list) and key.isdecimal() and len(key) < 6 and int(key) < len(found):
                found = found[int(key)]
            else:
                return True
        return found

    def type(self, path: Path, value: Json, schema: Schema) -> _Found | None:
        declared = schema.get("type")
        names = declared if isinstance(declared, list) else [declared]
        wanted = list[str]()
        found = None
        for name in names:
            if not isinstance(name, str):
                return None
            if name not in _TYPES:
                found = self.check(path, value, self.word(name))
                if found is None:
                    return None
            elif _TYPES[name](value):
                return None
            else:
                wanted.append(_WORDS[name])
        if found is not None and not wanted:
            return found
        return _misfit(path, f"must be {' or '.join(wanted)}, not {_kind(value)}") if wanted else None

    def word(self, name: str) -> Schema:
        """Schema of a type in words; any value where the words leave a doubt."""
        if name not in self.words:
            read = read_type(name)
            self.words[name] = {} if read.notes else dict(read.schema)
        return self.words[name]

    def choice(self, path: Path, value: Json, schema: Schema) -> _Found | None:
        listed = schema.get("enum")
        for choices in ([schema["const"]] if "const" in schema else None, listed):
            if isinstance(choices, list) and not any(_same(value, choice) for choice in choices):
                return _misfit(path, f"must be {' or '.join(_show(choice) for choice in choices) or 'left out'}")
        return None

    def moment(self, path: Path, value: Json, schema: Schema) -> _Found | None:
        """Check dates and times by their shape; other formats and patterns are not checked."""
        if not isinstance(value, str):
            return None
        for name in (schema.get("format"), schema.get("pattern")):
            known = _FORMATS.get(name) if isinstance(name, str) else None
            if known is not None and not re.fullmatch(known[0], value):
                return _misfit(path, f"must be {known[1]}, not {json.dumps(value, ensure_ascii=False)}")
        return None

    def union(self, path: Path, value: Json, schema: Schema) -> _Found | None:
        for key in ("anyOf", "oneOf"):
            options = schema.get(key)
            if not isinstance(options, list) or not options:
                continue
            found = [self.check(path, value, option) for option in options]
            faults = [each for each in found if each is not None]
            if len(faults) == len(found):
                reasons = dict.fromkeys(each.reason for each in faults)
                return _Found("; or ".join(reasons), tuple(dict.fromkeys(p for each in faults for p in each.mendable)))
        return None

    def conjunction(self, path: Path, value: Json, schema: Schema) -> _Found | None:
        together = schema.get("allOf")
        found = (self.check(path, value, each) for each in together) if isinstance(together, list) else ()
        return next((each for each in found if each is not None), None)

    def object(self, path: Path, value: Json, schema: Schema) -> _Found | None:
        if not isinstance(value, dict):
            return None
        declared, required = schema.get("properties"), schema.get("required")
        properties: dict[str, Json] = declared if isinstance(declared, dict) else {}
        for name in required if isinstance(required, list) else []:
            if isinstance(name, str) and name not in value:
                return _Found(f"argument '{_written((*path, name))}' is missing")
        others = schema.get("additionalProperties", True) if "patternProperties" not in schema else True
        for name, item in value.items():
            below = properties.get(name, others)
            if below is False:
                return _unknown((*path, name), properties)
            found = self.check((*path, name), item, below)
            if found is not None:
                return found
        return None

    def array(self, path: Path, value: Json, schema: Schema) -> _Found | None:
        if not isinstance(value, list):
            return None
        first, rest = schema.get("prefixItems"), schema.get("items")
        if isinstance(rest, list):  # before JSON Schema 2020-12
            first, rest = rest, schema.get("additionalItems")
        start = first if isinstance(first, list) else []
        for index, item in enumerate(value):
            found = self.check((*path, index), item, start[index] if index < len(start) else rest)
            if found is not None:
                return found
        return None


_Check: TypeAlias = Callable[[_Checks, Path, Json, Schema], _Found | None]
_CHECKS: Sequence[tuple[tuple[str, ...], _Check]] = (
    (("$ref",), _Checks.reference),
    (("type",), _Checks.type),
    (("enum", "const"), _Checks.choice),
    (("format", "pattern"), _Checks.moment),
    (("anyOf", "oneOf"), _Checks.union),
    (("allOf",), _Checks.conjunction),
    (("properties", "required", "additionalProperties"), _Checks.object),
    (("items", "prefixItems"), _Checks.array),
)
"""In order, each with the keywords of which one must be there."""


# --- words ------------------------------------------------------------------------------------------------


def _misfit(path: Path, what: str) -> _Found:
    return _Found(f"argument '{_written(path)}' {what}", (path,))


def _unknown(path: Path, names: Mapping[str, object]) -> _Found:
    return _Found(f"argument '{_written(path)}' is unknown; known: {', '.join(names) or 'none'}")


def _written(path: Path) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def _same(value: Json, choice: Json) -> bool:
    """JSON equality: `true` is not 1, and 1.0 is."""
    if isinstance(value, dict) and isinstance(choice, dict):
        return value.keys() == choice.keys() and all(_same(item, choice[key]) for key, item in value.items())
    if isinstance(value, list) and isinstance(choice, list):
        return len(value) == len(choice) and all(map(_same, value, choice))
    return value == choice and isinstance(value, bool) == isinstance(choice, bool)


def _show(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _kind(value: Json) -> str:
    return next(_WORDS[name] for name in _TYPES if _TYPES[name](value))


def _is_integer(value: Json) -> bool:
    return not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))


_TYPES: Mapping[str, Callable[[Json], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": _is_integer,
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}
_DAY, _CLOCK = r"\d{4}-\d{2}-\d{2}", r"\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?"
_FORMATS = {
    "date": (_DAY, "a date, YYYY-MM-DD"),
    "time": (_CLOCK, "a time, HH:MM or HH:MM:SS"),
    "date-time": (rf"{_DAY}([Tt ]{_CLOCK})?", "a date and time, YYYY-MM-DDTHH:MM:SS"),
    DATE: (DATE, "a date, YYYY-MM-DD"),
    TIME: (TIME, "a time, HH:MM"),
}
_WORDS = {
    "null": "null",
    "boolean": "true or false",
    "integer": "an integer",
    "number": "a number",
    "string": "a string",
    "array": "a list",
    "object": "an object",
}
