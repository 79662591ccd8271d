"""Grammar of answers that are JSON of a schema, as a format writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from alpha_umi.errors import FormatError
from alpha_umi.formats.grammars import json_lines, quoted
from alpha_umi.formats.json_types import normalise
from alpha_umi.protocols import Format
from alpha_umi.types import Answer, Json, Role, ToolSpec

ANY_OBJECT: Mapping[str, Json] = {"type": "object", "additionalProperties": True}
_STAND_IN, _VALUE = "✱", "value"


def answer_grammar(format: Format, schema: Mapping[str, Json]) -> str | None:  # noqa: A002
    """Grammar of the summarizer's completions whose answer is JSON of `schema`; None where the format writes none.

    What the grammar cannot say of the schema (bounds, lengths) is left out, as in the grammars of calls.
    """
    try:
        before, mark, after = format.write(Role.SUMMARIZER, (Answer(text=_STAND_IN),)).partition(_STAND_IN)
    except FormatError:
        return None
    if not mark:
        return None
    definitions = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
    around: dict[str, Json] = {"type": "object", "properties": {_VALUE: dict(schema)}, **definitions}
    properties = cast(
        "dict[str, dict[str, Json]]", normalise(ToolSpec(name="", parameters=around)).schema["properties"]
    )
    symbol, lines = json_lines(properties[_VALUE])
    parts = [*([quoted(before)] if before else []), symbol, *([quoted(after)] if after else [])]
    return "\n".join([f"start: {' '.join(parts)}", *lines])
