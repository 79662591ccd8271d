"""Conversion of ToolBench's tool JSON to ToolSpecs, with the descriptions that models were trained on.

A raw ToolBench answer records the functions that were offered to the model which wrote it; they were made from tool
JSON by the rules below (names of at most 64 characters, descriptions of at most 256, arguments only where one is
required). Law: the ToolSpec made here has the document of the one that is read from such an answer.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace

from alpha_umi.loose_json import read_loosely
from alpha_umi.types import Json, ToolSpec

NAME_LENGTH, DESCRIPTION_LENGTH = 64, 256
PROCESSED_LENGTH = 150
"""Characters of a tool's description that X-PLUG's published test file keeps."""
_NOT_IN_NAMES = re.compile(r"[^\u4e00-\u9fa5^a-zA-Z0-9_]")
_TAKEN = frozenset({"from", "class", "return", "false", "true", "id", "and"})
_TYPES: Mapping[str, str] = {"NUMBER": "integer", "STRING": "string", "BOOLEAN": "boolean"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """One API of one tool, as tool JSON and the `api_list` of a query declare it."""

    category: str
    tool: str
    name: str
    """Declared name; models call it `function_name(name, tool)`."""
    description: str = ""
    tool_description: str = ""
    """Of the whole tool, where its own file is at hand."""
    required: tuple[Mapping[str, Json], ...] = ()
    """Parameters as declared: name, type, description, default."""
    optional: tuple[Mapping[str, Json], ...] = ()
    method: str = "GET"
    url: str = ""
    host: str = ""
    """RapidAPI's name of the tool's host; may be empty."""
    schema: Json = None
    """Declared shape of a reply."""


def standard_name(name: str) -> str:
    """Return a tool's or a parameter's name as ToolBench writes it: lower case, `_` for what is no letter or digit."""
    text = re.sub("__+", "_", _NOT_IN_NAMES.sub("_", name)).lower().strip("_")
    return f"get_{text}" if text[:1].isdigit() else text


def argument_name(name: str) -> str:
    """Return the standard name of a parameter, changed where it is a word that ToolBench avoids."""
    text = standard_name(name)
    return f"is_{text}" if text in _TAKEN else text


def spoken_name(name: str) -> str:
    """Return the standard name of a tool, in its own letters where ToolBench's rule drops a word of them.

    ToolBench keeps Latin letters and most ideographs, so that all Thai or Korean names are one. Law: names that differ
    in a letter or a digit have different spoken names, but for Latin letters with accents, which are ToolBench's.
    """
    text, composed = standard_name(name), unicodedata.normalize("NFC", name)
    letters = [sign for sign in composed if unicodedata.category(sign)[0] in "LM" and _NOT_IN_NAMES.match(sign)]
    others = sum(not unicodedata.name(sign, "").startswith(("LATIN", "COMBINING")) for sign in letters)
    if others < (2 if text else 1):
        return text
    kept = "".join(sign if unicodedata.category(sign)[0] in "LMN" else "_" for sign in composed.lower())
    text = unicodedata.normalize("NFC", re.sub("__+", "_", kept).strip("_"))
    return f"get_{text}" if text[:1].isdigit() else text


def spoken_argument(name: str) -> str:
    """Return the spoken name of a parameter, changed where it is a word that ToolBench avoids."""
    text = spoken_name(name)
    return f"is_{text}" if text in _TAKEN else text


def function_name(api: str, tool: str) -> str:
    """Return the name by which models call an API of a tool, both declared or spoken."""
    spoken = spoken_argument(api), spoken_name(tool)
    name = "_for_".join(spoken)
    if len(name) <= NAME_LENGTH or spoken == (argument_name(api), standard_name(tool)):
        return name[-NAME_LENGTH:]
    digest = hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=4).hexdigest()
    return f"{name[: NAME_LENGTH - len(digest) - 1]}_{digest}"


def category_name(name: str) -> str:
    """Return the folder name of a category in ToolBench."""
    return re.sub("__", "_", re.sub("[ ,/]", "_", name))


def read_api(document: Mapping[str, Json], tool: Mapping[str, Json] | None = None, category: str = "") -> Api:
    """Read an entry of a query's `api_list`, or of a tool's, with the tool's own document beside it.

    What is missing or of another shape is read as empty; a caller that needs it checks.
    """
    tool = tool or {}
    return Api(
        category=_text(document.get("category_name")) or category,
        tool=_text(document.get("tool_name")) or _text(tool.get("tool_name")) or _text(tool.get("name")),
        name=_text(document.get("api_name")) or _text(document.get("name")),
        description=_text(document.get("api_description")) or _text(document.get("description")),
        tool_description=_text(document.get("tool_description")) or _text(tool.get("tool_description")),
        required=_parameters(document.get("required_parameters")),
        optional=_parameters(document.get("optional_parameters")),
        method=_text(document.get("method")).upper() or "GET",
        url=_text(document.get("url")),
        host=_text(tool.get("host")),
        schema=document.get("schema", document.get("template_response")),
    )


_WRAPPED = re.compile(
    r'This is the subfunction for tool "[^"]*", you can use this tool\.'
    r'(The description of this function is: "(?P<told>.*))?',
    re.DOTALL,
)


def write_spec(api: Api) -> ToolSpec:
    """Write the ToolSpec of an API, word for word as in ToolBench's training data."""
    tool, name = spoken_name(api.tool), function_name(api.name, api.tool)
    description = f'This is the subfunction for tool "{tool}", you can use this tool.'
    told = api.description.strip().replace(api.name, name)[:DESCRIPTION_LENGTH]
    if api.description.strip():
        description += f'The description of this function is: "{told}"'
    # As recorded: a tool without a required parameter shows none, not even its optional ones.
    shown = [*api.required, *api.optional] if api.required else []
    return ToolSpec(
        name=name,
        description=description,
        parameters={
            "type": "object",
            "properties": {spoken_argument(_text(each.get("name"))): _schema(each) for each in shown},
            "required": [spoken_argument(_text(each.get("name"))) for each in api.required],
            "optional": [spoken_argument(_text(each.get("name"))) for each in api.optional] if api.required else [],
        },
    )


def own_words(description: str) -> str:
    """Return the provider's description of an API, without ToolBench's sentence around it; other texts as they are."""
    wrapped = _WRAPPED.fullmatch(description.strip())
    if wrapped is None:
        return description
    return (wrapped["told"] or "").removesuffix('"')


def write_trained_spec(api: Api, length: int = DESCRIPTION_LENGTH) -> ToolSpec:
    """Write the ToolSpec of an API with at most `length` characters of the whole description.

    The default is what our preparation of raw answers keeps; checkpoints trained on X-PLUG's processed files have
    seen PROCESSED_LENGTH.
    """
    spec = write_spec(api)
    return replace(spec, description=spec.description[:length])


def _schema(parameter: Mapping[str, Json]) -> Json:
    schema: dict[str, Json] = {
        "type": _TYPES.get(_text(parameter.get("type")), "string"),
        "description": _text(parameter.get("description"))[:DESCRIPTION_LENGTH],
    }
    default = parameter.get("default", "")
    return {**schema, "example_value": default} if str(default) else schema


def _parameters(value: Json) -> tuple[Mapping[str, Json], ...]:
    listed = unpack_json(value)
    entries = [unpack_json(each) for each in listed] if isinstance(listed, list) else []
    return tuple(entry for entry in entries if isinstance(entry, dict))


def unpack_json(value: Json) -> Json:
    """Return what a JSON text or Python literal says, as tables store lists and objects; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return read_loosely(value).value
    except ValueError:
        return value


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""
