"""Results of MCP tools as observations: their text, structured content, and notes for what a text model cannot read."""

from __future__ import annotations

import json
from typing import Any

from mcp.types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from alpha_umi.environments.results import write_result
from alpha_umi.types import Json, Observation, ToolStatus


def read_result(result: CallToolResult) -> Observation:
    """Return the observation of a result: its texts, structured content that they do not repeat, and notes."""
    texts = [_text_of(block) for block in result.content]
    said = [text for text in texts if text is not None]
    notes = [_note_of(block) for block, text in zip(result.content, texts, strict=True) if text is None]
    content = "\n".join((*_with_structure(said, result.structured_content), *notes))
    return Observation(content=_valid(content), status=ToolStatus.ERROR if result.is_error else ToolStatus.OK)


def _with_structure(texts: list[str], structured: Json) -> list[str]:
    """Texts, with the structured content unless they say the same."""
    if structured is None:
        return [write_result(text) for text in texts]
    value = structured
    if isinstance(structured, dict) and list(structured) == ["result"]:
        value = structured["result"]  # as the SDKs wrap a value that is no object
    if len(texts) == 1 and (texts[0] == value or _read(texts[0]) in (value, structured)):
        return [write_result(texts[0])]
    items = value if isinstance(value, list) else None
    if (
        items is not None
        and [text if text == item else _read(text) for text, item in zip(texts, items, strict=False)] == items
    ):
        return [write_result(value)]
    return [*(write_result(text) for text in texts if text), write_result(structured)]


def _text_of(block: object) -> str | None:
    if isinstance(block, TextContent):
        return block.text
    if isinstance(block, EmbeddedResource) and isinstance(block.resource, TextResourceContents):
        return block.resource.text
    return None


def _note_of(block: object) -> str:
    match block:
        case ImageContent(mime_type=kind, data=data):
            return f"[an image that cannot be shown: {kind}, {_size(data)}]"
        case AudioContent(mime_type=kind, data=data):
            return f"[a sound that cannot be played: {kind}, {_size(data)}]"
        case EmbeddedResource(resource=BlobResourceContents(uri=uri, mime_type=kind, blob=data)):
            return f"[a file that cannot be shown: {uri}, {kind or 'of unknown type'}, {_size(data)}]"
        case ResourceLink(name=name, uri=uri):
            return f"[a link: {name}, {uri}]"
        case _:
            return f"[content that cannot be shown: {type(block).__name__}]"


def _size(base64: str) -> str:
    return f"{len(base64.rstrip('=')) * 3 // 4:,} bytes"


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _valid(text: str) -> str:
    """Replace halves of surrogate pairs, which no file can hold."""
    return text.encode("utf-8", errors="replace").decode("utf-8")
