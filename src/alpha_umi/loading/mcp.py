"""Composition root of MCP tools: servers by command, address or file, and the environment of their tools."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast
from urllib.parse import urlsplit

from alpha_umi.config import McpConfig
from alpha_umi.datasets.queries import Query
from alpha_umi.errors import ConfigError, DataError, explain_missing_extra
from alpha_umi.formats.tool_names import unique_names
from alpha_umi.protocols import Environment
from alpha_umi.text_files import read_json
from alpha_umi.types import Json

if TYPE_CHECKING:
    from alpha_umi.environments.mcp.connection import McpServer
    from alpha_umi.environments.mcp.environment import McpServers
    from alpha_umi.environments.mcp.listing import McpTool
    from alpha_umi.retrieval import Retriever

McpSource: TypeAlias = str | Path | Mapping[str, Any] | object
"""A command with its arguments, an address, a file with `mcpServers` or what it holds, or a server of the SDK."""

_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?\}")
_HTTP = ("http", "streamable-http", "streamableHttp", "streamable_http")


def open_mcp(sources: Sequence[McpSource], config: McpConfig | None = None) -> McpTools:
    """Read the servers; nothing is connected yet. Raises ConfigError or DataError for what names none."""
    with explain_missing_extra("mcp", "tools of MCP servers"):
        from alpha_umi.environments.mcp.environment import McpServers
    config = config or McpConfig(servers=[])
    found = [server for source in sources for server in read_source(source)]
    limits = {"timeout_s": config.timeout_s, "connect_timeout_s": config.connect_timeout_s}
    if not found:
        raise ConfigError("no MCP server is named; give a command, an address, or a file with mcpServers")
    return McpTools(servers=McpServers([replace(server, **limits) for server in found]), offer=config.offer)


@dataclass(slots=True, kw_only=True)
class McpTools:
    """Tools of MCP servers for queries: all of them, or those that a query is found to need."""

    servers: McpServers
    offer: int
    _indexed: tuple[tuple[McpTool, ...], Retriever] | None = None

    def open(self, query: Query, taken: Set[str] = frozenset()) -> Environment:
        """Environment of a query; a tool whose name is `taken` by another has its server's name added.

        Raises ConfigError where no server can be used.
        """
        from alpha_umi.environments.mcp.environment import McpEnvironment

        tools = self.servers.tools
        if not taken.isdisjoint(tool.spec.name for tool in tools):
            pairs = [*(("", name) for name in taken), *((self._server(tool), tool.spec.name) for tool in tools)]
            names = unique_names(pairs)[len(taken) :]
            tools = tuple(
                replace(tool, spec=replace(tool.spec, name=name)) for tool, name in zip(tools, names, strict=True)
            )
        return McpEnvironment(self.servers, self._chosen(tools, query))

    def _server(self, tool: McpTool) -> str:
        return self.servers.servers[tool.server].name

    def _chosen(self, tools: Sequence[McpTool], query: Query) -> Sequence[McpTool]:
        """Tools that the task names, then those that BM25 finds, then the first ones of the listing."""
        if len(tools) <= self.offer:
            return tools
        named = {spec.name for spec in query.task.tools}
        by_name = {tool.spec.name: tool for tool in tools}
        found = [api.name for api in self._retriever(tuple(tools)).offer(query.task.query, self.offer)]
        order = dict.fromkeys([*(name for name in by_name if name in named), *found, *by_name])
        return [by_name[name] for name in [*order][: max(self.offer, len(named & by_name.keys()))]]

    def _retriever(self, tools: tuple[McpTool, ...]) -> Retriever:
        from alpha_umi.retrieval import Retriever
        from alpha_umi.retrieval.corpus import spec_document

        if self._indexed is None or self._indexed[0] != tools:
            self._indexed = (
                tools,
                Retriever.index(tuple(spec_document(tool.spec, self._server(tool)) for tool in tools)),
            )
        return self._indexed[1]


# --- servers ----------------------------------------------------------------------------------------------


def read_source(source: McpSource) -> list[McpServer]:
    """Read the servers that a source names. Raises ConfigError or DataError."""
    from alpha_umi.environments.mcp.connection import McpServer

    if isinstance(source, Path) or (isinstance(source, str) and _is_file(source)):
        return _read_file(Path(source))
    if isinstance(source, Mapping):
        return _read_document(cast("Mapping[str, Json]", source), "mcp")
    if not isinstance(source, str):
        return [McpServer(name=str(getattr(source, "name", "server")), local=source)]
    if source.startswith(("http://", "https://")):
        return [McpServer(name=_host(source), url=source)]
    return [_read_command(source)]


def _is_file(source: str) -> bool:
    return source.endswith(".json") and (Path(source).expanduser().exists() or len(source.split()) == 1)


def _read_command(line: str) -> McpServer:
    from alpha_umi.environments.mcp.connection import McpServer

    try:
        words = shlex.split(line)
    except ValueError as error:
        raise ConfigError(f"--mcp {line!r} is no command: {error}") from None
    if not words:
        raise ConfigError("--mcp is empty; give a command, an address (http://...), or a file with mcpServers (.json)")
    if words[0].endswith(".py") and not os.access(words[0], os.X_OK):
        words.insert(0, sys.executable)
    return McpServer(name=_command_name(words), command=tuple(words))


def _command_name(words: Sequence[str]) -> str:
    """Name of a server by its command: of its script, module or package, where one is named."""
    named = [word for word in words[1:] if not word.startswith("-")]
    is_runner = re.match(r"(python|node|npx|uvx|uv|docker|deno|bun|bunx|pipx)", Path(words[0]).name) is not None
    return Path(named[0] if named and is_runner else words[0]).stem


def _read_file(path: Path) -> list[McpServer]:
    path = path.expanduser()
    if not path.is_file():
        raise DataError(f"{path}: no such file; a JSON file with 'mcpServers' is needed")
    document = read_json(path)
    if not isinstance(document, dict):
        raise DataError(f"{path}: has no object 'mcpServers'")
    return _read_document(cast("dict[str, Json]", document), str(path))


def _read_document(document: Mapping[str, Json], where: str) -> list[McpServer]:
    listed = document.get("mcpServers", document.get("servers"))
    if not isinstance(listed, dict):
        raise DataError(f"{where}: has no object 'mcpServers'")
    servers = [
        _read_server(name, entry, f"{where}: mcpServers.{name}")
        for name, entry in listed.items()
        if not (isinstance(entry, dict) and entry.get("disabled") is True)
    ]
    if not servers:
        raise DataError(f"{where}: 'mcpServers' names no server that is not disabled")
    return servers


def _read_server(name: str, entry: Json, where: str) -> McpServer:
    from alpha_umi.environments.mcp.connection import McpServer

    if not isinstance(entry, dict):
        raise DataError(f"{where}: an object is needed")
    command, url = _text(entry, "command", where), _text(entry, "url", where)
    if bool(command) == bool(url):
        raise DataError(f"{where}: either 'command' or 'url' is needed")
    kind = _text(entry, "type", where) or _text(entry, "transport", where)
    if kind not in ("", "stdio", "sse", *_HTTP) or (kind == "stdio") > bool(command):
        raise DataError(
            f"{where}: type {kind!r} is not known here; known: stdio with a command, http or sse with a url"
        )
    arguments = entry.get("args") or []
    if not isinstance(arguments, list) or not all(isinstance(each, str) for each in arguments):
        raise DataError(f"{where}.args: a list of texts is needed")
    words = [_filled(cast("str", each), f"{where}.args") for each in arguments]
    return McpServer(
        name=name,
        command=(_filled(command, where), *words) if command else (),
        env=_texts(entry, "env", where),
        cwd=_filled(_text(entry, "cwd", where), where) or None,
        url=_filled(url, where),
        headers=_texts(entry, "headers", where),
        is_sse=kind == "sse",
    )


def _text(entry: Mapping[str, Json], key: str, where: str) -> str:
    value = entry.get(key)
    if value is not None and not isinstance(value, str):
        raise DataError(f"{where}.{key}: a text is needed")
    return value or ""


def _texts(entry: Mapping[str, Json], key: str, where: str) -> dict[str, str]:
    value = entry.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise DataError(f"{where}.{key}: an object of texts is needed")
    return {name: _filled(cast("str", each), f"{where}.{key}.{name}") for name, each in value.items()}


def _filled(text: str, where: str) -> str:
    """The text with `${NAME}` and `${NAME:-DEFAULT}` replaced by environment variables."""

    def value(found: re.Match[str]) -> str:
        known = os.environ.get(found["name"], found["default"])
        if known is None:
            raise ConfigError(f"{where}: the environment variable {found['name']} is not set")
        return known

    return _VARIABLE.sub(value, text)


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or "server"
    except ValueError as error:
        raise ConfigError(f"--mcp {url!r} is no address: {error}") from None
