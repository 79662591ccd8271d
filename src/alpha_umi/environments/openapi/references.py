"""References of an OpenAPI document, resolved within it; what cannot be, and cycles, are noted.

A schema is copied with its references replaced by what they name. One that holds itself, and everything beyond a bound
on the copy's size, stays a reference, to `$defs` beside the copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from alpha_umi.types import Json

Schema = dict[str, Json]
_MOST_HOPS, _DEEPEST = 32, 40
_MOST_COPIED = 2000
"""Schemas in the copy of one tool's arguments, before references stay what they are."""
_DROPPED = frozenset({"xml", "externalDocs", "discriminator", "example", "examples", "readOnly", "writeOnly"})
_OF_SCHEMAS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else")


@dataclass(slots=True)
class Document:
    """OpenAPI document with notes on what in it cannot be used."""

    root: Mapping[str, Json]
    notes: dict[str, None] = field(default_factory=dict[str, None])

    def note(self, text: str) -> None:
        """Keep a note, once."""
        self.notes[text] = None

    def resolve(self, value: Json) -> Json:
        """Follow references from a value to what they name; None, with a note, where they lead nowhere."""
        seen: set[str] = set()
        while isinstance(value, dict) and isinstance(reference := value.get("$ref"), str):
            if reference in seen or len(seen) > _MOST_HOPS:
                self.note(f"{reference!r} refers to itself alone and is left out")
                return None
            seen.add(reference)
            found = self._find(reference)
            if found is None:
                return None
            value = found
        return value

    def _find(self, reference: str) -> Json:
        if not reference.startswith("#"):
            self.note(f"{reference!r} is in another document, which is not read")
            return None
        found: Json = dict(self.root)
        for part in filter(None, unquote(reference[1:]).split("/")):
            found = _member(found, part.replace("~1", "/").replace("~0", "~"))
        if found is None:
            self.note(f"{reference!r} names nothing in the document")
        return found


def _member(value: Json, key: str) -> Json:
    if isinstance(value, list):
        return value[int(key)] if key.isascii() and key.isdecimal() and int(key) < len(value) else None
    return value.get(key) if isinstance(value, dict) else None


@dataclass(slots=True)
class SchemaCopier:
    """Copier of schemas out of a document, for the arguments of one tool."""

    document: Document
    definitions: dict[str, Json] = field(default_factory=dict[str, Json])
    """Schemas that copies refer to, by name, for `$defs`."""
    _names: dict[str, str] = field(default_factory=dict[str, str])
    _copied: int = 0

    def copy(self, schema: Json, above: tuple[str, ...] = (), depth: int = 0) -> Json:
        """Copy a schema without references to the document. `above`: references that are being copied."""
        if not isinstance(schema, dict):
            return schema if isinstance(schema, bool) else {}
        self._copied += 1
        if depth > _DEEPEST:
            self.document.note("a schema is nested too deeply; below it any value is allowed")
            return {}
        reference = schema.get("$ref")
        if isinstance(reference, str):
            return self._copy_reference(reference, schema, above, depth)
        copied: Schema = {}
        for key, value in schema.items():
            if key in _OF_SCHEMAS and isinstance(value, dict):
                copied[key] = {name: self.copy(each, above, depth + 1) for name, each in value.items()}
            elif key in _LISTS and isinstance(value, list):
                copied[key] = [self.copy(each, above, depth + 1) for each in value]
            elif key in _SINGLE and isinstance(value, dict):
                copied[key] = self.copy(value, above, depth + 1)
            elif key not in _DROPPED and not key.startswith("x-"):
                copied[key] = value
        return copied

    def _copy_reference(self, reference: str, schema: Schema, above: tuple[str, ...], depth: int) -> Json:
        beside: Schema = {key: value for key, value in schema.items() if key in ("description", "default", "nullable")}
        is_cycle = reference in above
        if is_cycle:
            self.document.note(f"{reference!r} holds itself; it is kept as a reference")
        if is_cycle or self._copied > _MOST_COPIED or reference in self._names:
            return {"$ref": f"#/$defs/{self._define(reference)}", **beside}
        target = self.document.resolve({"$ref": reference})
        copied = self.copy({} if target is None else target, (*above, reference), depth + 1)
        return {**copied, **beside} if isinstance(copied, dict) else copied

    def _define(self, reference: str) -> str:
        if reference not in self._names:
            name = reference.rpartition("/")[2].replace("~1", "_").replace("~0", "_") or "schema"
            number, free = 1, name
            while free in self._names.values():
                number += 1
                free = f"{name}_{number}"
            self._names[reference] = free
            target = self.document.resolve({"$ref": reference})
            self.definitions[free] = {}
            self.definitions[free] = self.copy({} if target is None else target, (reference,), 1)
        return self._names[reference]
