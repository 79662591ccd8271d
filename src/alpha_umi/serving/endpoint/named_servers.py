"""MCP servers that users of the page name; only where the endpoint was started with the flag that allows it.

To connect to a server may start a command of the user's choice on this machine.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from alpha_umi.config import AgentConfig
from alpha_umi.errors import AlphaUMiError
from alpha_umi.jobs.toolbox import Toolbox, ToolRules, open_toolbox
from alpha_umi.serving.endpoint.errors import invalid

_MOST = 8


@dataclass(slots=True, kw_only=True)
class NamedServers:
    """Connected servers by the command or address that names them."""

    agent: AgentConfig | None
    rules: ToolRules
    _connected: dict[str, Toolbox] = field(default_factory=dict[str, Toolbox])
    _connecting: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def connect(self, source: str) -> Toolbox:
        """Connect to a server, once. Raises ApiError for one that cannot be used, and for too many."""
        async with self._connecting:
            if source not in self._connected:
                if len(self._connected) >= _MOST:
                    raise invalid(f"{_MOST} MCP servers are connected, which is the most", "source")
                try:
                    opened = await asyncio.to_thread(open_toolbox, mcp=[source], agent=self.agent, rules=self.rules)
                except AlphaUMiError as error:
                    raise invalid(str(error), "source", "mcp_failed") from None
                self._connected[source] = opened
            return self._connected[source]

    def find(self, source: str) -> Toolbox:
        """The toolbox of a connected server. Raises ApiError for another."""
        found = self._connected.get(source)
        if found is None:
            raise invalid("mcp: there is no connection to this server; connect by POST /mcp", "mcp")
        return found

    async def aclose(self) -> None:
        """Close all connections; commands that were started for them end."""
        for toolbox in self._connected.values():
            await toolbox.__aexit__()
        self._connected.clear()
