"""Argument types as tools declare them, normalised to a small part of JSON Schema.

Tools declare `str`, `NUMBER`, `DATE (YYYY-MM-DD)`, `dict`, `Array of Integers`, `string|null` or nothing. `normalise`
reads a whole tool, `read_type` one type. The schema that comes out uses nothing but `type` (one word), `enum`,
`anyOf`, `properties`, `required`, `additionalProperties`, `items` and `pattern` (of the few patterns that
`is_plain_pattern` knows), so that a grammar can enforce all of it. What it cannot say is named in `notes`, never
guessed: the argument is then constrained less, in the worst case to any JSON value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from alpha_umi.types import Json, ToolSpec

Schema = dict[str, Json]

DATE = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"
TIME = "^([01][0-9]|2[0-3]):[0-5][0-9]$"
ANY: Schema = {}
"""Every JSON value."""
_DEEPEST, _LONGEST, _MOST, _UNROLLED = 12, 200, 4000, 1
_WORDS: Mapping[str, str] = {
    word: name
    for name, words in {
        "string": "string str text char character varchar url uri email uuid password",
        "integer": "integer int long int32 int64 short whole",
        "number": "number float double decimal real numeric float32 float64",
        "boolean": "boolean bool",
        "array": "array list tuple set sequence iterable",
        "object": "object dict dictionary map mapping json record struct",
        "null": "null none nil nonetype",
        "any": "any mixed unknown value variant unspecified",
    }.items()
    for word in words.split()
}
_LOOSE = {
    "enum": "its choices are not listed",
    "binary": "it is binary",
    "file": "it is a file",
    "bytes": "it is binary",
}
_TEMPORAL = ("date", "datetime", "date-time", "time", "timestamp")
_GENERIC = re.compile(r"(?P<outer>[a-z]+)\s*(?:<(?P<angle>.*)>|\[(?P<square>.*)\])", re.DOTALL)
_OF = re.compile(r"(?:array|list|set|sequence|tuple)s?\s+of\s+(?P<inner>.+)", re.DOTALL)
_REMARK = re.compile(r"\s*\([^()]*\)\s*$")
_UNIONS = ("anyOf", "oneOf")
_UNHELD = (
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"),
    *("minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties", "patternProperties", "not"),
    *("prefixItems", "contains", "dependentRequired", "dependentSchemas", "if", "propertyNames"),
)
_PLAIN_PATTERN = re.compile(
    r"\^(?:[A-Za-z0-9 _:,/@#=-]|\[(?:[0-9]-[0-9]|[a-z]-[a-z]|[A-Z]-[A-Z]|[A-Za-z0-9 _:,/@#=])+\]|[()|?*+]"
    r"|\{[0-9]{1,2}(?:,[0-9]{1,2})?\})*\$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalised:
    """Arguments of a tool as normalised JSON Schema, with notes on what that schema leaves out."""

    schema: Mapping[str, Json]
    """Of an object."""
    notes: tuple[str, ...] = ()
    """One sentence each, beginning with the argument's name."""


def normalise(tool: ToolSpec) -> Normalised:
    """Return the arguments of `tool`; total over whatever a tool may declare.

    As everywhere in this package, arguments that the tool does not name are not allowed, unless it says so.
    """
    reader = _Reader(root=tool.parameters)
    return Normalised(schema=reader.object("", tool.parameters, 0), notes=tuple(dict.fromkeys(reader.notes)))


def read_type(declared: str) -> Normalised:
    """Return the schema of one type as a tool words it. Total over all strings."""
    reader = _Reader(root={})
    return Normalised(schema=reader.words("it", declared), notes=tuple(reader.notes))


def is_plain_pattern(pattern: str) -> bool:
    """Return True for a pattern that is anchored at both ends and made of letters, digits, classes, groups and counts.

    Such a pattern means the same in every dialect of regular expressions and matches no text that JSON would escape.
    """
    if not _PLAIN_PATTERN.fullmatch(pattern) or "(?" in pattern or re.search(r"[+*?}][+*?{]", pattern):
        return False
    depth = 0
    for letter in re.sub(r"\[[^\]]*\]", "x", pattern):
        depth += (letter == "(") - (letter == ")")
        if letter == "|" and depth == 0:
            return False  # an anchor would belong to one alternative alone
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


# --- schemas ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Reader:
    root: Mapping[str, Json]
    notes: list[str] = field(default_factory=list[str])
    open: list[str] = field(default_factory=list[str])
    """The references that are being read, the outermost first."""
    left: int = _MOST
    """Schemas that may still be read: references that lead to several others multiply."""

    def note(self, path: str, reason: str) -> None:
        self.notes.append(f"{path or 'the arguments'}: {reason}")

    def object(self, path: str, schema: Mapping[str, Json], depth: int) -> Schema:
        """Schema of an object whose properties may be declared."""
        declared = schema.get("properties")
        named: dict[str, Json] = declared if isinstance(declared, dict) else {}
        properties: dict[str, Json] = {
            name: self.value(f"{path}.{name}" if path else name, value, depth + 1) for name, value in named.items()
        }
        required = schema.get("required")
        wanted = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
        for name in wanted:
            if name not in properties:
                self.note(path, f"{name!r} is required but not declared, so it cannot be given")
        others = schema.get("additionalProperties", False)
        if isinstance(others, dict):
            others = self.value(f"{path}.*" if path else "*", others, depth + 1)
        elif others is True or (depth and not isinstance(declared, dict)):
            others = ANY
        result: Schema = {"type": "object", "properties": properties}
        result["required"] = [name for name in dict.fromkeys(wanted) if name in properties]
        result["additionalProperties"] = others if isinstance(others, dict) else False
        return result

    def value(self, path: str, schema: Json, depth: int) -> Schema:
        """Schema of one value; any value where nothing is declared."""
        if isinstance(schema, str):
            return self.words(path, schema)
        if not isinstance(schema, dict):
            if schema is not None and not isinstance(schema, bool):
                self.note(path, f"its declaration {_short(schema)} is no schema")
            return ANY
        self.left -= 1
        if depth > _DEEPEST or self.left < 0:
            self.note(_first(path), "it is nested too deeply to be read")
            return ANY
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return self.plain(path, schema, depth)
        if self.open.count(reference) > _UNROLLED:
            self.note(_first(path), f"{reference!r} holds itself, and is read {_UNROLLED + 1} levels deep")
            return ANY
        self.open.append(reference)
        found = self.plain(path, schema, depth)
        self.open.pop()
        return found

    def plain(self, path: str, schema: Mapping[str, Json], depth: int) -> Schema:
        resolved = self.resolved(path, schema)
        self.name_unheld(path, resolved)
        found = self.choice(path, resolved) or self.union(path, resolved, depth) or self.typed(path, resolved, depth)
        return _union([found, {"type": "null"}]) if resolved.get("nullable") is True else found

    def resolved(self, path: str, schema: Mapping[str, Json]) -> Mapping[str, Json]:
        for _ in range(_DEEPEST):
            reference = schema.get("$ref")
            if not isinstance(reference, str):
                return schema
            found: Json = dict(self.root)
            for key in reference.removeprefix("#/").split("/"):
                found = found.get(key) if isinstance(found, dict) else None
            if not isinstance(found, dict):
                break
            schema = found
        self.note(path, f"{schema.get('$ref')!r} refers to nothing that is declared here")
        return {}

    def name_unheld(self, path: str, schema: Mapping[str, Json]) -> None:
        for key in _UNHELD:
            if key in schema:
                self.note(path, f"{key} {_short(schema[key])} is not held")

    def choice(self, path: str, schema: Mapping[str, Json]) -> Schema | None:
        """Schema of listed values, without those that the declared type rules out."""
        choices = [schema["const"]] if "const" in schema else schema.get("enum")
        if not isinstance(choices, list) or not choices:
            return None
        declared = schema.get("type")
        names = {_WORDS.get(declared.casefold())} if isinstance(declared, str) else {None}
        fitting = [choice for choice in choices if names & {None, "any", *_types_of(choice)}]
        if not fitting:
            self.note(path, f"none of its choices is of its type {_short(declared)}; the choices are held")
        return {"enum": fitting or choices}

    def union(self, path: str, schema: Mapping[str, Json], depth: int) -> Schema | None:
        for key in _UNIONS:
            options = schema.get(key)
            if isinstance(options, list) and options:
                return _union([self.value(path, option, depth + 1) for option in options])
        together = schema.get("allOf")
        if isinstance(together, list) and len(together) == 1:
            return self.value(path, together[0], depth + 1)
        if isinstance(together, list) and together:
            self.note(path, "allOf is not held")
            return ANY
        return None

    def typed(self, path: str, schema: Mapping[str, Json], depth: int) -> Schema:
        declared = schema.get("type")
        if isinstance(declared, list):
            return _union([self.typed(path, {**schema, "type": each}, depth) for each in declared]) if declared else ANY
        if declared is None:
            declared = "object" if "properties" in schema else "array" if "items" in schema else "any"
        if not isinstance(declared, str):
            self.note(path, f"its type {_short(declared)} is no type")
            return ANY
        found = self.words(path, declared)
        match found.get("type"):
            case "object":
                return self.object(path, schema, depth)
            case "array" if "items" in schema and "items" not in found:
                return {"type": "array", "items": self.value(f"{path}[]", schema["items"], depth + 1)}
            case "string" if "pattern" not in found:
                return self.text(path, schema)
            case _:
                return found

    def text(self, path: str, schema: Mapping[str, Json]) -> Schema:
        pattern, form = schema.get("pattern"), schema.get("format")
        if isinstance(pattern, str):
            if is_plain_pattern(pattern):
                return {"type": "string", "pattern": pattern}
            self.note(path, f"pattern {_short(pattern)} is not held")
        if form == "date":
            return {"type": "string", "pattern": DATE}
        if isinstance(form, str) and form:
            self.note(path, f"format {_short(form)} is not held")
        return {"type": "string"}

    # --- types in words -----------------------------------------------------------------------------------

    def words(self, path: str, declared: str) -> Schema:
        text = declared.strip()
        low = text.casefold()
        if not text:
            return ANY
        if len(text) > _LONGEST:
            self.note(path, f"its type {_short(text)} is not known: any value is allowed")
            return ANY
        if low in _WORDS:
            return _typed(_WORDS[low])
        literal = _literal(text)
        if literal is not None:
            return {"enum": [literal]}
        options = _split(text)
        if len(options) > 1:
            return _union([self.words(path, option) for option in options])
        return self.moment(path, low) or self.generic(path, text) or self.other(path, text)

    def moment(self, path: str, low: str) -> Schema | None:
        """Schema of dates and times: text, with a pattern where the shape is declared."""
        word = re.match(r"[a-z-]*", low)
        if word is None or word[0] not in _TEMPORAL:
            return None
        if "(yyyy-mm-dd)" in low:
            return {"type": "string", "pattern": DATE}
        if "hh:mm)" in low:
            return {"type": "string", "pattern": TIME}
        self.note(path, f"how its type {_short(low)} is written is not held")
        return {"type": "string"}

    def generic(self, path: str, text: str) -> Schema | None:
        """Schema of a generic type, such as `list[int]`, `Array of Integers`, `string[]`, `Optional[str]`."""
        if text.endswith("[]"):
            return {"type": "array", "items": self.words(f"{path}[]", text[:-2])}
        if of := _OF.fullmatch(text.casefold()):
            return {"type": "array", "items": self.words(f"{path}[]", of["inner"])}
        found = _GENERIC.fullmatch(text.casefold())
        if found is None:
            return None
        begin = found.start("angle") if found["angle"] is not None else found.start("square")
        parts = list(_commas(text[begin : len(text) - 1]))
        match _WORDS.get(found["outer"], found["outer"]):
            case "array":
                return {"type": "array", "items": _union([self.words(f"{path}[]", part) for part in parts])}
            case "object":
                kept: Json = self.words(f"{path}.*", parts[1]) if len(parts) == 2 else ANY
                return {"type": "object", "properties": {}, "required": [], "additionalProperties": kept}
            case "optional":
                return _union([self.words(path, part) for part in (*parts, "null")])
            case "union" | "literal":
                return _union([self.words(path, part.replace("'", '"')) for part in parts])
            case _:
                return None

    def other(self, path: str, text: str) -> Schema:
        low = text.casefold()
        bare = _REMARK.sub("", low)
        for word, reason in _LOOSE.items():
            if bare == word:
                self.note(path, f"{reason}: any text is allowed")
                return {"type": "string"}
        if bare != low:
            return self.words(path, bare)
        if low.endswith("s") and low[:-1] in _WORDS:
            return _typed(_WORDS[low[:-1]])
        self.note(path, f"its type {_short(text)} is not known: any value is allowed")
        return ANY


def _typed(name: str) -> Schema:
    match name:
        case "any":
            return ANY
        case "object":
            return {"type": "object", "properties": {}, "required": [], "additionalProperties": ANY}
        case _:
            return {"type": name}


def _union(options: Sequence[Schema]) -> Schema:
    """Union of schemas; any value where one of them allows any."""
    flat: list[Json] = []
    for option in options:
        inner = option.get("anyOf")
        flat += inner if isinstance(inner, list) else [option]
    distinct = [each for at, each in enumerate(flat) if each not in flat[:at]]
    if not distinct or ANY in distinct:
        return ANY
    return cast("Schema", distinct[0]) if len(distinct) == 1 else {"anyOf": distinct}


def _types_of(value: Json) -> tuple[str, ...]:
    match value:
        case None:
            return ("null",)
        case bool():
            return ("boolean",)
        case int():
            return "integer", "number"
        case float():
            return ("number",)
        case str():
            return ("string",)
        case list():
            return ("array",)
        case dict():
            return ("object",)


def _literal(text: str) -> Json:
    """JSON scalar that `text` is, as `"c"|"f"` lists choices; None where it is none."""
    if text[0] not in '"-0123456789' and text not in ("true", "false"):
        return None
    try:
        value: Json = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, str | bool | int | float) else None


def _split(text: str) -> list[str]:
    """Options of a union: `a|b`, `a or b`, `a/b`, outside of brackets and quotes."""
    parts = [part.strip() for part in re.split(r"\||\bor\b|/", _masked(text))]
    if len(parts) < 2 or not all(parts):
        return [text]
    return list(_at(text, re.split(r"(\||\bor\b|/)", _masked(text))))


def _commas(text: str) -> Iterator[str]:
    return (part for part in _at(text, re.split("(,)", _masked(text))))


def _at(text: str, pieces: Sequence[str]) -> Iterator[str]:
    """Substrings of `text` at the positions of every other piece of its mask."""
    begin = 0
    for number, piece in enumerate(pieces):
        if number % 2 == 0:
            yield text[begin : begin + len(piece)].strip()
        begin += len(piece)


def _masked(text: str) -> str:
    """Mask of `text`, of the same length, with the contents of brackets and quotes blanked."""
    depth, quoted, letters = 0, False, list[str]()
    for letter in text:
        quoted ^= letter == '"'
        depth += (letter in "([<{") - (letter in ")]>}") if not quoted else 0
        letters.append("\0" if depth > 0 or quoted else letter)
    return "".join(letters)


def _first(path: str) -> str:
    """Top-level argument of a path."""
    return re.split(r"[.\[]", path)[0]


def _short(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"
