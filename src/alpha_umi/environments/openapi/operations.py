"""Operations of an OpenAPI document (3.x, or Swagger 2.0) as tools, with the places of their arguments in a request.

Parameters of path, query, header and cookie, and the members of a body that is an object, are arguments beside each
other; any other body is one argument. Whatever cannot be a tool is noted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from alpha_umi.environments.openapi.references import Document, Schema, SchemaCopier
from alpha_umi.errors import DataError
from alpha_umi.types import Json, ToolSpec

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST_NAME = 64
_JSON = re.compile(
    r"(?:application/json|[\w.+-]+/[\w.+-]*\+json|text/json|\*/\*|application/\*)\s*(?:;.*)?", re.IGNORECASE
)
_FORM = "application/x-www-form-urlencoded"
_IGNORED_HEADERS = ("accept", "content-type", "authorization")
"""Headers that OpenAPI itself does not let a parameter set."""
_PART = re.compile(r"\{([^{}]+)\}")
_LONGEST_TEXT = 2000


class Style(StrEnum):
    """Spelling of a value in a request that is more than one text."""

    COMMA = "comma"
    SPACE = "space"
    PIPE = "pipe"
    REPEAT = "repeat"
    """The name again for each item, or a name for each member."""
    DEEP = "deep"
    """`name[member]` for each member."""
    JSON = "json"


class Body(StrEnum):
    """Kind of a request's body."""

    NONE = "none"
    JSON = "json"
    FORM = "form"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """Place of an argument in a request."""

    argument: str
    """Name for the model."""
    name: str
    """Name in the request; of a whole body empty."""
    place: str
    """path, query, header, cookie or body."""
    style: Style = Style.REPEAT


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """Tool with the request that its call means."""

    tool: ToolSpec
    method: str
    path: str
    """With `{name}` for arguments, below the API's address."""
    arguments: tuple[Argument, ...]
    body: Body = Body.NONE


def read_operations(document: Document) -> tuple[Operation, ...]:
    """Read all operations. Raises DataError where the document has no paths."""
    paths = document.root.get("paths")
    if not isinstance(paths, dict):
        raise DataError("no OpenAPI document: an object with 'openapi' and 'paths' is needed")
    taken: set[str] = set()
    operations: list[Operation] = []
    for path, method, item, declared in _declared(document, paths):
        operation = _read(document, path, method, item, declared, taken)
        if operation is not None:
            taken.add(operation.tool.name)
            operations.append(operation)
    return tuple(operations)


def _declared(document: Document, paths: Mapping[str, Json]) -> Iterator[tuple[str, str, Schema, Schema]]:
    """Path, method, path item and operation of each operation; a path inside a path item counts as one of its own."""
    waiting = list(paths.items())
    seen: set[str] = set()
    for path, value in waiting:
        item = document.resolve(value)
        if path in seen or path.startswith("x-"):
            continue
        seen.add(path)
        if not isinstance(item, dict):
            document.note(f"{path}: it is no object and is left out")
            continue
        for key, declared in item.items():
            if key.lower() in METHODS and isinstance(declared, dict):
                yield path, key.lower(), item, declared
            elif key.startswith("/") and key not in paths:
                document.note(f"{key}: it stands inside the path {path}; it is read as a path of its own")
                waiting.append((key, declared))


def _read(
    document: Document, path: str, method: str, item: Schema, declared: Schema, taken: set[str]
) -> Operation | None:
    where = f"{method.upper()} {path}"
    copier = SchemaCopier(document)
    builder = _Arguments(document, copier, where)
    listed = [*_list(item.get("parameters")), *_list(declared.get("parameters"))]
    merged: dict[tuple[str, str], Schema] = {}
    for value in listed:
        parameter = document.resolve(value)
        if isinstance(parameter, dict) and isinstance(parameter.get("name"), str):
            merged[str(parameter["name"]), str(parameter.get("in"))] = parameter
        else:
            document.note(f"{where}: a parameter has no name and is left out")
    for parameter in merged.values():
        builder.parameter(parameter)
    body = builder.body
    if declared.get("requestBody") is not None:
        body = builder.request_body(document.resolve(declared["requestBody"]))
    if body is None:
        return None
    for missing in _PART.findall(path):
        if not any(each.place == "path" and each.name == missing for each in builder.arguments):
            document.note(f"{where}: {missing!r} of its path is no parameter; it is taken as a required text")
            builder.add(missing, "path", {"type": "string"}, required=True, style=Style.COMMA)
    parameters: Schema = {"type": "object", "properties": builder.properties, "required": list[Json](builder.required)}
    if copier.definitions:
        parameters["$defs"] = copier.definitions
    name = _free(_name(declared.get("operationId"), path, method), taken, document, where)
    tool = ToolSpec(name=name, description=_describe(declared, item, where), parameters=parameters)
    return Operation(tool=tool, method=method.upper(), path=path, arguments=tuple(builder.arguments), body=body)


def _describe(declared: Schema, item: Schema, where: str) -> str:
    texts = [declared.get("summary"), declared.get("description")]
    told = list(dict.fromkeys(text.strip() for text in texts if isinstance(text, str) and text.strip()))
    inherited = item.get("summary") or item.get("description")
    text = "\n".join(told) or (inherited.strip() if isinstance(inherited, str) else "") or where
    return f"{text[:_LONGEST_TEXT]} (deprecated)" if declared.get("deprecated") is True else text[:_LONGEST_TEXT]


def _name(identity: Json, path: str, method: str) -> str:
    """The operation's id; without one the words of the path and the method, as ToolAlpaca names functions."""
    if isinstance(identity, str) and _NOT_IN_NAMES.sub("", identity):
        return _NOT_IN_NAMES.sub("_", identity).strip("_")[:_LONGEST_NAME]
    words = "_".join(filter(None, _NOT_IN_NAMES.sub("_", path.replace("/", "_")).split("_")))
    return f"{words[: _LONGEST_NAME - len(method) - 1]}_{method}" if words else method


def _free(name: str, taken: set[str], document: Document, where: str) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name[: _LONGEST_NAME - len(str(number)) - 1]}_{number}"
    if free != name:
        document.note(f"{where}: another operation is called {name!r}; this one is {free!r}")
    return free


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


# --- arguments ----------------------------------------------------------------------------------------


class _Arguments:
    """Arguments of one operation, as they are found."""

    def __init__(self, document: Document, copier: SchemaCopier, where: str) -> None:
        self.document, self.copier, self.where = document, copier, where
        self.arguments: list[Argument] = []
        self.properties: dict[str, Json] = {}
        self.required: list[str] = []
        self.body: Body | None = Body.NONE

    def add(self, name: str, place: str, schema: Json, *, required: bool, style: Style = Style.REPEAT) -> None:
        argument = name or "body"
        while argument in self.properties:
            argument = f"{argument}_{place}"
        self.properties[argument] = schema
        self.arguments.append(Argument(argument=argument, name=name, place=place, style=style))
        if required:
            self.required.append(argument)

    def parameter(self, parameter: Schema) -> None:
        name, place = str(parameter["name"]), parameter.get("in")
        required = parameter.get("required") is True
        if place == "body":  # Swagger 2.0
            self.body = self._members(parameter.get("schema"), required, Body.JSON)
        elif place == "formData":
            self.body = Body.FORM
            self.add(name, "body", self._schema(parameter), required=required, style=_style(parameter, "query"))
        elif place == "header" and name.lower() in _IGNORED_HEADERS:
            self.document.note(f"{self.where}: the header {name!r} is set by the client, and no argument")
        elif place in ("path", "query", "header", "cookie"):
            schema = self._schema(parameter)
            required = required or (place == "path" and f"{{{name}}}" in self.where)
            self.add(name, str(place), schema, required=required, style=_style(parameter, str(place)))
        else:
            self.document.note(f"{self.where}: the parameter {name!r} is in {str(place)[:40]!r}, which is not known")

    def _schema(self, parameter: Schema) -> Json:
        """Schema of a parameter, with its description."""
        declared = parameter.get("schema")
        if declared is None and isinstance(parameter.get("content"), dict):
            media = next(iter(cast("Schema", parameter["content"]).values()), None)
            declared = media.get("schema") if isinstance(media, dict) else None
        if declared is None:  # Swagger 2.0 writes the schema beside the name
            keys = ("type", "format", "items", "enum", "default", "minimum", "maximum", "pattern")
            declared = {key: parameter[key] for key in keys if key in parameter}
        schema = self.copier.copy(declared)
        told = parameter.get("description")
        if isinstance(schema, dict) and isinstance(told, str) and told.strip():
            return {**schema, "description": told.strip()[:_LONGEST_TEXT]}
        return schema

    def request_body(self, body: Json) -> Body | None:
        """Arguments of a body; None, with a note, where no request of this operation can be built."""
        content = body.get("content") if isinstance(body, dict) else None
        if not isinstance(body, dict) or not isinstance(content, dict) or not content:
            self.document.note(f"{self.where}: its body has no content; it is sent without one")
            return Body.NONE
        required = body.get("required") is True
        kinds = {kind.partition(";")[0].strip().lower(): media for kind, media in content.items()}
        found = next((media for kind, media in kinds.items() if _JSON.fullmatch(kind)), None)
        if found is not None:
            return self._members(found.get("schema") if isinstance(found, dict) else None, required, Body.JSON)
        if isinstance(media := kinds.get(_FORM), dict):
            return self._members(media.get("schema"), required, Body.FORM)
        if any(kind.startswith("text/") for kind in kinds):
            self.add("", "body", {"type": "string"}, required=required)
            return Body.TEXT
        self.document.note(f"{self.where}: a body of {', '.join(kinds)[:80]} cannot be written; it is left out")
        if required:
            return None
        return Body.NONE

    def _members(self, schema: Json, required: bool, kind: Body) -> Body:
        """Members of an object as arguments of their own; any other body as one argument."""
        flat = self._flat(schema, 0)
        if flat is None:
            self.add("", "body", self.copier.copy(schema), required=required)
            return kind
        properties, needed = flat
        for name, each in properties.items():
            self.add(name, "body", self.copier.copy(each), required=required and name in needed)
        return kind

    def _flat(self, schema: Json, depth: int) -> tuple[dict[str, Json], set[str]] | None:
        """Members of an object and those that are required; None for what is no plain object."""
        found = self.document.resolve(schema)
        if not isinstance(found, dict) or depth > 8 or "oneOf" in found or "anyOf" in found:
            return None
        properties: dict[str, Json] = {}
        needed: set[str] = set()
        for part in _list(found.get("allOf")):
            inner = self._flat(part, depth + 1)
            if inner is None:
                return None
            properties |= inner[0]
            needed |= inner[1]
        own = found.get("properties")
        properties |= own if isinstance(own, dict) else {}
        needed |= {name for name in _list(found.get("required")) if isinstance(name, str)}
        return (properties, needed) if properties else None


def _style(parameter: Schema, place: str) -> Style:
    if isinstance(parameter.get("content"), dict):
        return Style.JSON
    collected = parameter.get("collectionFormat")  # Swagger 2.0
    if isinstance(collected, str) or ("schema" not in parameter and parameter.get("type") == "array"):
        known = {"csv": Style.COMMA, "ssv": Style.SPACE, "pipes": Style.PIPE, "multi": Style.REPEAT}
        return known.get(str(collected), Style.COMMA)
    if place in ("path", "header"):
        return Style.COMMA
    style, explode = parameter.get("style", "form"), parameter.get("explode")
    if style == "deepObject":
        return Style.DEEP
    if style in ("spaceDelimited", "pipeDelimited") and explode is not True:
        return Style.SPACE if style == "spaceDelimited" else Style.PIPE
    return Style.COMMA if explode is False else Style.REPEAT
