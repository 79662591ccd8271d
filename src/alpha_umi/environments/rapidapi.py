"""Environment of RapidAPI tools, called directly with a user's own key, from ToolBench's tool JSON files.

A request is built from what the file declares, and from nothing else: the address is the file's, arguments must be
declared and become percent-encoded path parts, query parameters or entries of a JSON body. Nothing that a model
wrote is ever run or takes part in an address unescaped.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast
from urllib.parse import quote

import httpx2

from alpha_umi.arguments import Fault, read_arguments
from alpha_umi.environments.access import Access, AccessLimits, Request, refusal
from alpha_umi.errors import ConfigError, DataError
from alpha_umi.formats.prompts.unknown_tools import unknown_tool
from alpha_umi.formats.tool_json import (
    DESCRIPTION_LENGTH,
    Api,
    read_api,
    spoken_argument,
    unpack_json,
    write_trained_spec,
)
from alpha_umi.loose_json import readable_json
from alpha_umi.text_files import read_json
from alpha_umi.types import Call, Json, Observation, ToolSpec, ToolStatus

_log = logging.getLogger(__name__)
_PART = re.compile(r"\{([^{}]*)\}")
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_METHODS = frozenset({"GET", "DELETE", "HEAD", *_WITH_BODY})


class RapidApiEnvironment:
    """Environment of declared APIs over HTTP. Changes on their side cannot be copied: forks share them."""

    def __init__(
        self, apis: Sequence[Api], key: str, access: Access | None = None, description_length: int = DESCRIPTION_LENGTH
    ) -> None:
        """Of APIs under one name the first is called.

        Raises ConfigError without a key, DataError for an API that declares no address or another method.
        """
        if not key:
            raise ConfigError("calling RapidAPI directly needs a key; set RAPIDAPI_KEY, or use a tool service")
        self.access = access or Access(AccessLimits(), secrets=(key,))
        self._key = key
        self._specs: dict[str, ToolSpec] = {}
        self._apis: dict[str, Api] = {}
        for api in apis:
            where = f"API {api.name!r} of tool {api.tool!r}"
            scheme, _, rest = api.url.partition("://")
            if scheme not in ("http", "https") or not rest:
                raise DataError(f"{where} declares no 'url' to call; take tool JSON files that do")
            if _PART.search(re.split("[/?#]", rest)[0]):
                raise DataError(f"{where} lets an argument choose the host, which would get the key; leave it out")
            if api.method not in _METHODS:
                raise DataError(f"{where} declares the method {api.method!r}; known: {', '.join(sorted(_METHODS))}")
            spec = write_trained_spec(api, description_length)
            self._specs.setdefault(spec.name, spec)
            self._apis.setdefault(spec.name, api)

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        return tuple(self._specs.values())

    def fork(self) -> RapidApiEnvironment:
        return self

    async def aclose(self) -> None:
        await self.access.aclose()

    async def execute(self, call: Call) -> Observation:
        api = self._apis.get(call.name)
        if api is None:
            return unknown_tool(call.name)
        request = build_request(api, call.arguments)
        if isinstance(request, Fault):
            return Observation(content=request.reason, status=ToolStatus.BAD_ARGUMENTS)
        host = api.host or httpx2.URL(request.url).host
        headers = {"X-RapidAPI-Key": self._key, "X-RapidAPI-Host": host}
        request = Request(
            method=request.method, url=request.url, params=request.params, headers=headers, body=request.body
        )
        response = await self.access.send(request, repeatable=api.method == "GET")
        if isinstance(response, Observation):
            return response
        if not response.is_success:
            return refusal(response, self.access)
        return Observation(content=self.access.redact(readable_json(response.text)))


def build_request(api: Api, arguments: str) -> Request | Fault:
    """Build the request that a call means, without a key; a Fault where its arguments are not the declared ones."""
    declared = {spoken_argument(_name(each)): _name(each) for each in (*api.required, *api.optional)}
    required = [spoken_argument(_name(each)) for each in api.required]
    spec = ToolSpec(
        name=api.name,
        parameters={
            "type": "object",
            "properties": {name: {} for name in declared},
            "required": list[Json](required),
        },
    )
    values = read_arguments(spec, arguments)
    if isinstance(values, Fault):
        return values
    given = {declared[name]: value for name, value in values.items() if value is not None}
    parts = {name: given.pop(name) for name in _PART.findall(api.url) if name in given}
    if any(_write(value) in (".", "..") for value in parts.values()):
        return Fault(reason="'.' and '..' cannot be part of an address")
    # A part that is not given stays empty: it must not be invented.
    url = _PART.sub(lambda found: quote(_write(parts.get(found[1], "")), safe=""), api.url)
    if api.method in _WITH_BODY:
        return Request(method=api.method, url=url, body=given)
    return Request(method=api.method, url=url, params={name: _write(value) for name, value in given.items()})


def _write(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _name(parameter: Mapping[str, Json]) -> str:
    name = parameter.get("name")
    return name if isinstance(name, str) else ""


# --- files ------------------------------------------------------------------------------------------------


def load_apis(path: Path) -> list[Api]:
    """Read the APIs of a tool JSON file, or of all files `CATEGORY/TOOL.json` below a folder.

    Raises DataError naming the file when it is missing, no JSON, or has no `api_list`; of a folder, where all files are
    so, while a broken one among others is logged and left out.
    """
    if path.is_dir():
        files = sorted(path.glob("*/*.json")) or sorted(path.glob("*.json"))
        if not files:
            raise DataError(f"{path}: holds no tool JSON files (CATEGORY/TOOL.json)")
        return list(_load_files(files))
    return list(_load_file(path))


def _load_files(files: Sequence[Path]) -> Iterator[Api]:
    """Load all files that are tool JSON, and log a warning for each other one. Raises its DataError where all are."""
    broken: list[DataError] = []
    for file in files:
        try:
            yield from _load_file(file)
        except DataError as error:
            broken.append(error)
            _log.warning("%s; its tools are left out", error)
    if len(broken) == len(files):
        raise broken[0]


def _load_file(path: Path) -> Iterable[Api]:
    document: object = read_json(path)
    apis = unpack_json(cast("dict[str, Json]", document).get("api_list")) if isinstance(document, dict) else None
    if not isinstance(apis, list):
        raise DataError(f"{path}: has no 'api_list'; a ToolBench tool JSON file is needed")
    tool = cast("dict[str, Json]", document)
    return [read_api(api, tool, path.parent.name) for api in apis if isinstance(api, dict)]
