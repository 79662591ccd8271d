"""Environment of the tools of MCP servers, whose connections live in an event loop of their own.

Arguments are checked against the declared schema before a server sees them, for SDKs bend what does not fit ("2"
becomes 2) and drop what is not declared. What servers say is untrusted text like any tool's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from alpha_umi.arguments import Fault, read_arguments
from alpha_umi.environments.mcp.connection import McpConnection, McpError, McpServer
from alpha_umi.environments.mcp.listing import McpTool, list_specs
from alpha_umi.environments.mcp.results import read_result
from alpha_umi.errors import ConfigError
from alpha_umi.event_loops import LoopThread
from alpha_umi.formats.prompts.unknown_tools import unknown_tool
from alpha_umi.plain_text import plain
from alpha_umi.types import Call, Observation, ToolSpec, ToolStatus

_log = logging.getLogger(__name__)


class McpServers:
    """Several MCP servers and their tools. Connections open when the tools are first asked for."""

    def __init__(self, servers: Sequence[McpServer]) -> None:
        logging.getLogger("mcp").addHandler(logging.NullHandler())  # the SDK's tracebacks of what servers send
        self.servers = tuple(servers)
        self._thread = LoopThread("alpha-umi-mcp")
        self._connections: list[McpConnection] = []
        self._tools: tuple[McpTool, ...] | None = None
        self._refresh: asyncio.Task[None] | None = None
        self._is_stale = False

    @property
    def tools(self) -> tuple[McpTool, ...]:
        """Tools of all servers as last listed; waits for the first listing alone.

        Raises ConfigError where no server can be used; one of several that cannot is told in the log.
        """
        if self._tools is None:
            self._thread.run(self._open())
        return self._tools or ()

    def connect(self) -> None:
        """Connect and list the tools, so that servers which cannot be used are known now. Raises as `tools`."""
        self.tools  # noqa: B018

    async def call(self, tool: McpTool, arguments: dict[str, object]) -> Observation:
        """Call a tool of a server. Raises nothing for what the server does wrong: that is the status."""
        return await self._thread.wait_for(self._call(tool, arguments))

    async def aclose(self) -> None:
        """Close all connections; servers that were started for them end."""
        if self._connections:
            await self._thread.wait_for(self._close())
        self._connections, self._tools = [], None
        await asyncio.to_thread(self._thread.close)

    # --- in the loop of the connections ---------------------------------------------------------------

    async def _open(self) -> None:
        self._connections = [McpConnection(server, self._on_change) for server in self.servers]
        listings = await asyncio.gather(*(each.list_tools() for each in self._connections), return_exceptions=True)
        failures = [
            f"MCP server {each.server.name!r} cannot be used: {listing}"
            for each, listing in zip(self._connections, listings, strict=True)
            if isinstance(listing, McpError)
        ]
        wrong = next(
            (each for each in listings if isinstance(each, BaseException) and not isinstance(each, McpError)), None
        )
        if wrong is not None or len(failures) == len(listings):
            await self._close()
            self._connections = []
            raise wrong or ConfigError(plain("; ".join(failures) or "no MCP server is named"))
        for failure in failures:
            _log.warning("%s", plain(failure))
        self._tools = list_specs(
            (each.server.name, [] if isinstance(listing, BaseException) else listing)
            for each, listing in zip(self._connections, listings, strict=True)
        )

    def _on_change(self) -> None:
        """List the tools again beside all else; later queries see the new ones."""
        self._is_stale = True
        if self._refresh is None or self._refresh.done():
            self._refresh = asyncio.ensure_future(self._list_again())

    async def _list_again(self) -> None:
        while self._is_stale and self._tools is not None:
            self._is_stale = False
            known = self._tools
            listings = await asyncio.gather(*(each.list_tools() for each in self._connections), return_exceptions=True)
            if any(isinstance(each, BaseException) for each in listings):
                return  # a server that is gone: its tools stay as they were
            self._tools = list_specs(
                (each.server.name, listing if isinstance(listing, list) else ())
                for each, listing in zip(self._connections, listings, strict=True)
            )
            if self._tools != known:
                _log.info("the MCP servers list other tools now: %d", len(self._tools))

    async def _call(self, tool: McpTool, arguments: dict[str, object]) -> Observation:
        connection = self._connections[tool.server]
        try:
            return read_result(await connection.call(tool.declared, arguments))
        except McpError as error:
            status = ToolStatus.TIMEOUT if error.timed_out else ToolStatus.ERROR
            return Observation(content=f"{tool.spec.name} failed: {error}", status=status)

    async def _close(self) -> None:
        if self._refresh is not None:
            self._refresh.cancel()
        await asyncio.gather(*(each.aclose() for each in self._connections))


class McpEnvironment:
    """Environment of some tools of MCP servers. Servers keep what they keep: forks share them."""

    def __init__(self, servers: McpServers, offered: Sequence[McpTool]) -> None:
        self._servers = servers
        self._tools = {tool.spec.name: tool for tool in offered}

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        return tuple(tool.spec for tool in self._tools.values())

    async def execute(self, call: Call) -> Observation:
        tool = self._tools.get(call.name)
        if tool is None:
            return unknown_tool(call.name)
        arguments = read_arguments(tool.spec, call.arguments)
        if isinstance(arguments, Fault):
            return Observation(content=arguments.reason, status=ToolStatus.BAD_ARGUMENTS)
        return await self._servers.call(tool, {**arguments})

    def fork(self) -> McpEnvironment:
        return self
