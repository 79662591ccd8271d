#!/usr/bin/env bash
# MCPServer of mcp 2.3.0 publishes a strict-looking schema and does not hold callers to it.
# Guessed: `{"x": {"type": "integer"}}` refuses "2" and true, and an argument that no parameter has is an error.
# Seen:    "2" and true arrive as integers, other arguments vanish without a word; and of an exception of the tool the
#          client reads "Error executing tool NAME" alone: only the SDK's own ToolError carries its words.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=$(command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet mcp==2.3.0
cd "$folder"
PYTHONPATH='' venv/bin/python - 2>/dev/null <<'PY'
import asyncio
from importlib.metadata import version

from mcp import Client
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("demo")


@server.tool()
def double(x: int) -> str:
    return f"{type(x).__name__} {2 * x}"


@server.tool()
def fail(kind: str) -> str:
    raise (ToolError if kind == "ToolError" else ValueError)("no such city")


async def main():
    print(f"mcp {version('mcp')}")
    seen = {}
    async with Client(server) as client:
        [spec] = [tool for tool in (await client.list_tools()).tools if tool.name == "double"]
        print(f"  schema: {spec.input_schema['properties']}")
        for arguments in ({"x": "2"}, {"x": True}, {"x": 2, "y": 3}):
            result = await client.call_tool("double", arguments)
            seen[str(arguments)] = result.content[0].text
            print(f"  double{arguments}: {'error' if result.is_error else 'ok'} {result.content[0].text}")
        words = [(await client.call_tool("fail", {"kind": kind})).content[0].text for kind in ("ValueError", "ToolError")]
        print(f"  ValueError: {words[0]!r}; ToolError: {words[1]!r}")
    assert list(seen.values()) == ["int 4", "int 2", "int 4"], "this has changed"
    assert "no such city" not in words[0] and "no such city" in words[1], "this has changed"


asyncio.run(main())
PY
