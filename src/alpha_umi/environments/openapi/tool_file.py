"""File of an API's tools: what models are told of each, and the request that a call means.

It is made from an OpenAPI document, and is ToolBench's tool JSON as well (`api_list`), so that a virtual service can
stand in for the API. Keys are named by environment variables and never stored.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast
from urllib.parse import urljoin, urlsplit

from alpha_umi.environments.openapi.operations import Argument, Body, Operation, Style, read_operations
from alpha_umi.environments.openapi.references import Document
from alpha_umi.errors import ConfigError, DataError
from alpha_umi.text_files import read_json
from alpha_umi.types import Json, ToolSpec

KIND = "openapi-tools/1"
_VARIABLE = re.compile(r"\$(?P<name>[A-Za-z_][A-Za-z0-9_]*)")
_AUTH = re.compile(r"(?P<place>header|query|cookie):(?P<name>[^=\s]+)=(?P<value>.+)")
_SERVER_VARIABLE = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth:
    """Key that goes with every request."""

    place: str
    """header, query or cookie."""
    name: str
    value: str
    """Its text, with the environment variable that holds the key: `Bearer $TOKEN`."""

    @property
    def variable(self) -> str:
        found = _VARIABLE.search(self.value)
        return found["name"] if found else ""

    def fill(self) -> str:
        """The text with the key. Raises ConfigError where the variable is not set."""
        key = os.environ.get(self.variable, "")
        if not key or not key.isprintable():
            what = "is not set" if not key else "holds more than one line"
            raise ConfigError(
                f"the environment variable {self.variable} {what}; it holds the key for {self.place} {self.name!r}"
            )
        return _VARIABLE.sub(lambda _: key, self.value, count=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiTools:
    """Tools of one API."""

    title: str
    description: str
    base_url: str
    operations: tuple[Operation, ...]
    auth: tuple[Auth, ...] = ()
    timeout_s: float = 30.0


def parse_auth(text: str) -> Auth:
    """Parse `header:NAME=Bearer $VARIABLE`, `query:NAME=$VARIABLE` or `cookie:...`. Raises ConfigError."""
    found = _AUTH.fullmatch(text)
    if found is None or len(_VARIABLE.findall(found["value"])) != 1:
        raise ConfigError(
            f"--auth {text!r}: write it as header:NAME=$VARIABLE, header:Authorization=Bearer $VARIABLE or "
            "query:NAME=$VARIABLE, with the name of an environment variable"
        )
    return Auth(place=found["place"], name=found["name"], value=found["value"])


# --- documents ------------------------------------------------------------------------------------------


def read_api_document(
    root: Json, source: str, *, base_url: str | None = None, auth: Sequence[Auth] = ()
) -> tuple[ApiTools, tuple[str, ...]]:
    """Read an OpenAPI document that came from `source`, a path or an address; returns its tools and notes.

    `auth`: keys that the document does not tell. Raises DataError for what is no such document, holds no operation, or
    does not tell the API's address.
    """
    if not isinstance(root, dict) or not ("openapi" in root or "swagger" in root or "paths" in root):
        raise DataError(f"{source}: no OpenAPI document: an object with 'openapi' and 'paths' is needed")
    document = Document(root=root)
    try:
        operations = read_operations(document)
    except DataError as error:
        raise DataError(f"{source}: {error}") from None
    if not operations:
        raise DataError(f"{source}: holds no operation{''.join(f'; {note}' for note in document.notes)}")
    info = root.get("info")
    told = info if isinstance(info, dict) else {}
    title = told.get("title") if isinstance(told.get("title"), str) else "api"
    keys = (*auth, *(each for each in _declared_auth(document, str(title)) if not _names(each) & _all_names(auth)))
    api = ApiTools(
        title=str(title),
        description=str(told.get("description") or ""),
        base_url=_address(document, source, base_url),
        operations=tuple(_without(operation, keys) for operation in operations),
        auth=keys,
    )
    return api, tuple(document.notes)


def _names(auth: Auth) -> set[tuple[str, str]]:
    return {(auth.place, auth.name.lower())}


def _all_names(auths: Sequence[Auth]) -> set[tuple[str, str]]:
    return {name for each in auths for name in _names(each)}


def _without(operation: Operation, auth: Sequence[Auth]) -> Operation:
    """The operation without arguments that a key stands for: a model is not told of keys."""
    taken = _all_names(auth)
    gone = {each.argument for each in operation.arguments if (each.place, each.name.lower()) in taken}
    if not gone:
        return operation
    parameters = dict(operation.tool.parameters)
    properties, required = parameters["properties"], parameters["required"]
    parameters["properties"] = {k: v for k, v in cast("dict[str, Json]", properties).items() if k not in gone}
    parameters["required"] = [name for name in cast("list[Json]", required) if name not in gone]
    kept = tuple(each for each in operation.arguments if each.argument not in gone)
    return replace(operation, tool=replace(operation.tool, parameters=parameters), arguments=kept)


def _address(document: Document, source: str, base_url: str | None) -> str:
    declared = base_url or next(_servers(document.root), "")
    base = source if source.startswith(("http://", "https://")) else ""
    address = urljoin(base, declared) if base else declared
    try:
        parts = urlsplit(address)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        told = f"its address {declared!r} is no whole one" if declared else "it does not tell the API's address"
        raise DataError(f"{source}: {told}; give it by --base-url https://...")
    return address.rstrip("/")


def _servers(root: Mapping[str, Json]) -> Iterator[str]:
    servers = root.get("servers")
    for server in servers if isinstance(servers, list) else []:
        if isinstance(server, dict) and isinstance(url := server.get("url"), str):
            variables = server.get("variables")
            known = variables if isinstance(variables, dict) else {}
            yield _SERVER_VARIABLE.sub(lambda found, known=known: _default(known.get(found[1])), url)
    if isinstance(host := root.get("host"), str):  # Swagger 2.0
        schemes, path = root.get("schemes"), root.get("basePath")
        scheme = "https" if not isinstance(schemes, list) or not schemes or "https" in schemes else str(schemes[0])
        yield f"{scheme}://{host}{path if isinstance(path, str) else ''}"


def _default(variable: Json) -> str:
    return str(variable.get("default", "")) if isinstance(variable, dict) else ""


def _declared_auth(document: Document, title: str) -> Iterator[Auth]:
    """Keys that the document's security asks for, each with a variable named after the API."""
    components = document.root.get("components")
    schemes = components.get("securitySchemes") if isinstance(components, dict) else None
    schemes = schemes or document.root.get("securityDefinitions")
    for name in _required_schemes(document.root):
        scheme = document.resolve(schemes.get(name)) if isinstance(schemes, dict) else None
        if not isinstance(scheme, dict):
            continue
        variable = re.sub(r"[^A-Za-z0-9]+", "_", f"{title} {name}").strip("_").upper()[:60]
        variable = variable if variable[:1].isalpha() else f"API_{variable}"
        kind, place = scheme.get("type"), scheme.get("in")
        if kind == "apiKey" and place in ("header", "query", "cookie") and isinstance(scheme.get("name"), str):
            yield Auth(place=str(place), name=str(scheme["name"]), value=f"${variable}")
        elif kind == "basic" or (kind == "http" and str(scheme.get("scheme")).lower() == "basic"):
            document.note(f"security {name!r}: {variable} holds the base64 of USER:PASSWORD")
            yield Auth(place="header", name="Authorization", value=f"Basic ${variable}")
        elif kind in ("http", "oauth2", "openIdConnect"):
            yield Auth(place="header", name="Authorization", value=f"Bearer ${variable}")
        else:
            document.note(f"security {name!r}: its type {str(kind)[:40]!r} is not known; give the key by --auth")


def _required_schemes(root: Mapping[str, Json]) -> list[str]:
    """Schemes of the first alternative that each `security` allows, in order."""
    found: dict[str, None] = {}
    paths = root.get("paths")
    items = [item for item in paths.values() if isinstance(item, dict)] if isinstance(paths, dict) else []
    operations = [each for item in items for each in item.values() if isinstance(each, dict)]
    for security in (root.get("security"), *(operation.get("security") for operation in operations)):
        first = security[0] if isinstance(security, list) and security else None
        found |= dict.fromkeys(first if isinstance(first, dict) else {})
    return list(found)


# --- files ------------------------------------------------------------------------------------------------


def is_tool_file(document: Json) -> bool:
    """Tell whether a JSON document is a file of an API's tools, or an OpenAPI document that can be read as one."""
    return isinstance(document, dict) and (
        document.get("kind") == KIND or "openapi" in document or "swagger" in document
    )


def load_api_tools(path: Path, base_url: str | None = None) -> ApiTools:
    """Load a tool file, or an OpenAPI document. Raises DataError."""
    document: Json = read_json(path)
    if isinstance(document, dict) and document.get("kind") == KIND:
        try:
            api = _decode(document)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{path}: no whole file of tools: {error!r}; make it again with umi tools") from None
    else:
        api, _ = read_api_document(document, str(path), base_url=base_url)
    return api if base_url is None else replace(api, base_url=base_url.rstrip("/"))


def write_document(api: ApiTools) -> dict[str, Json]:
    """Write the document of a tool file."""
    return {
        "kind": KIND,
        "tool_name": api.title,
        "tool_description": api.description,
        "base_url": api.base_url,
        "timeout_s": api.timeout_s,
        "auth": [{"in": each.place, "name": each.name, "value": each.value} for each in api.auth],
        "tools": [_encode(operation) for operation in api.operations],
        "api_list": [_api(operation, api.base_url) for operation in api.operations],
    }


def _encode(operation: Operation) -> Json:
    arguments: list[Json] = [
        {"argument": each.argument, "name": each.name, "in": each.place, "style": each.style.value}
        for each in operation.arguments
    ]
    return {
        "name": operation.tool.name,
        "description": operation.tool.description,
        "parameters": dict(operation.tool.parameters),
        "request": {
            "method": operation.method,
            "path": operation.path,
            "body": operation.body.value,
            "arguments": arguments,
        },
    }


def _api(operation: Operation, base_url: str) -> Json:
    """The operation as an API of ToolBench's tool JSON."""
    properties = cast("dict[str, Json]", operation.tool.parameters.get("properties", {}))
    required = cast("list[Json]", operation.tool.parameters.get("required", []))
    declared: dict[bool, list[Json]] = {True: [], False: []}
    for name, schema in properties.items():
        entry = schema if isinstance(schema, dict) else {}
        kind = entry.get("type")
        declared[name in required].append(
            {
                "name": name,
                "type": kind.upper() if isinstance(kind, str) else "STRING",
                "description": str(entry.get("description", "")),
                "default": str(entry.get("default", "")),
            }
        )
    return {
        "name": operation.tool.name,
        "url": base_url + operation.path,
        "description": operation.tool.description,
        "method": operation.method,
        "required_parameters": declared[True],
        "optional_parameters": declared[False],
    }


def _decode(document: Mapping[str, Json]) -> ApiTools:
    entries = cast("list[dict[str, dict[str, Json]]]", document["tools"])
    auth = cast("list[dict[str, str]]", document.get("auth") or [])
    return ApiTools(
        title=str(document["tool_name"]),
        description=str(document.get("tool_description", "")),
        base_url=str(document["base_url"]),
        timeout_s=float(cast("float", document.get("timeout_s", 30.0))),
        auth=tuple(parse_auth(f"{each['in']}:{each['name']}={each['value']}") for each in auth),
        operations=tuple(_decode_operation(entry) for entry in entries),
    )


def _decode_operation(entry: Mapping[str, Json]) -> Operation:
    request = cast("dict[str, Json]", entry["request"])
    return Operation(
        tool=ToolSpec(
            name=str(entry["name"]),
            description=str(entry["description"]),
            parameters=cast("dict[str, Json]", entry["parameters"]),
        ),
        method=str(request["method"]),
        path=str(request["path"]),
        body=Body(cast("str", request["body"])),
        arguments=tuple(
            Argument(argument=each["argument"], name=each["name"], place=each["in"], style=Style(each["style"]))
            for each in cast("list[dict[str, str]]", request["arguments"])
        ),
    )
