"""Corpora of APIs: of tool JSON files, query files, or the published `corpus.tsv`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, cast

from alpha_umi.errors import DataError
from alpha_umi.formats.tool_json import Api, read_api, unpack_json
from alpha_umi.store import write_text
from alpha_umi.text_files import read_json_list, read_lines
from alpha_umi.types import Json, ToolSpec

Corpus: TypeAlias = tuple[Api, ...]
"""Every API once, by category, tool and name."""
_COLUMNS = ["docid", "document_content"]
_LONGEST_FIELD = 1 << 28


def identity(api: Api) -> tuple[str, str, str]:
    """Return the key by which two APIs are the same: category, tool, name."""
    return api.category, api.tool, api.name


def unite(apis: Iterable[Api]) -> Corpus:
    """Return every API once; of those under one identity the first."""
    known: dict[tuple[str, str, str], Api] = {}
    for api in apis:
        known.setdefault(identity(api), api)
    return tuple(known.values())


def spec_document(spec: ToolSpec, tool: str = "", category: str = "") -> Api:
    """Write a tool spec as the API that retrieval reads, with its parameters' names and descriptions."""
    properties = spec.parameters.get("properties")
    parameters = properties.items() if isinstance(properties, dict) else ()
    return Api(
        category=category,
        tool=tool,
        name=spec.name,
        description=spec.description,
        required=tuple(
            {"name": name, "description": each.get("description") if isinstance(each, dict) else None}
            for name, each in parameters
        ),
    )


def load_corpus(path: Path) -> Corpus:
    """Load a `.tsv` of the published shape, a query file or tool JSON file, or a folder of either.

    Raises DataError for what is none of these or holds no API.
    """
    from alpha_umi.environments.rapidapi import load_apis  # it imports an HTTP client

    if path.suffix == ".tsv":
        found = read_corpus(path)
    elif path.is_dir() and not any(path.glob("*/*.json")) and any(path.glob("*.json")):
        found = unite(api for file in sorted(path.glob("*.json")) for api in _load_file(file))
    else:
        found = unite(load_apis(path) if path.is_dir() else _load_file(path))
    if not found:
        raise DataError(f"{path}: declares no API, so nothing can be found; name tool JSON files or query files")
    return found


def _load_file(path: Path) -> Iterable[Api]:
    entries = read_json_list(path)
    if not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f"{path}: is neither a tool JSON file nor a list of queries with an 'api_list'")
    if not _is_tool(entries):
        return listed_apis(entries)
    from alpha_umi.environments.rapidapi import load_apis  # it imports an HTTP client

    return load_apis(path)


def _is_tool(entries: Sequence[Mapping[str, Json]]) -> bool:
    return len(entries) == 1 and not entries[0].keys() & {"query", "query_id"}


def listed_apis(queries: Iterable[Mapping[str, Json]]) -> list[Api]:
    """Return the APIs that queries list."""
    lists = [unpack_json(query.get("api_list")) for query in queries]
    apis = [unpack_json(api) for each in lists if isinstance(each, list) for api in each]
    return [read_api(api) for api in apis if isinstance(api, dict)]


# --- corpus.tsv -----------------------------------------------------------------------------------------


def read_corpus(path: Path) -> Corpus:
    """Read the published shape: a table of `docid` and `document_content` (JSON). Raises DataError naming the row."""
    apis: list[Api] = []
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        lines = (line for _, line in read_lines(path))
        for number, row in enumerate(csv.DictReader(lines, dialect="excel-tab"), start=2):
            apis.append(_read_row(row, f"{path}: row {number}"))
    except csv.Error as error:
        raise DataError(f"{path}: is no table: {error}") from None
    finally:
        csv.field_size_limit(before)
    return unite(apis)


def _read_row(row: dict[str, str | None], where: str) -> Api:
    content = row.get("document_content")
    if content is None:
        raise DataError(f"{where} has no 'document_content'; the columns docid and document_content are needed")
    try:
        document: object = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: its 'document_content' is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise DataError(f"{where}: its 'document_content' is no object")
    return read_api(cast("dict[str, Json]", document))


def write_corpus(path: Path, corpus: Corpus) -> None:
    """Write the published shape; `read_corpus` gives the same APIs back, but for their addresses."""
    with write_text(path) as text:
        table = io.StringIO(newline="")
        writer = csv.writer(table, dialect="excel-tab", lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows((number, json.dumps(_document(api))) for number, api in enumerate(corpus))
        text.write(table.getvalue())


def _document(api: Api) -> dict[str, Json]:
    return {
        "category_name": api.category,
        "tool_name": api.tool,
        "tool_description": api.tool_description,
        "api_name": api.name,
        "api_description": api.description,
        "required_parameters": [dict(each) for each in api.required],
        "optional_parameters": [dict(each) for each in api.optional],
        "method": api.method,
        "url": api.url,
        "template_response": api.schema,
    }
