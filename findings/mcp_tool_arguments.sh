#!/usr/bin/env bash
# mcp 2.3.0, a server's tool `weather(city: str, days: int = 1)` that raises LookupError("no city called Atlantis; ...") for one city.
# Guessed: the client reads the exception's words, a misspelt argument is refused, and so are "2" and true for an integer.
# Seen:    the words of an exception are left out (only "Error executing tool weather" arrives, though the errors of the argument check
#          arrive in full); a misspelt optional argument is dropped without a word, and the default is used; "2" is 2 and true is 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=$(command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet mcp==2.3.0
cd "$folder"
PYTHONPATH='' venv/bin/python - <<'PY'
import asyncio
import logging
from importlib.metadata import version

from mcp import Client
from mcp.server import MCPServer

logging.disable(logging.CRITICAL)
server = MCPServer("demo")


@server.tool()
def weather(city: str, days: int = 1) -> str:
    """Forecast for some days."""
    if city == "Atlantis":
        raise LookupError("no city called Atlantis; did you mean Atlanta?")
    return f"{city}, {days!r} days"


async def main():
    cases = {
        "raises": {"city": "Atlantis"},
        "misspelt": {"city": "Oslo", "dasy": 3},
        "text": {"city": "Oslo", "days": "2"},
        "true": {"city": "Oslo", "days": True},
        "no number": {"city": "Oslo", "days": "x"},
    }
    async with Client(server) as client:
        seen = {}
        for name, given in cases.items():
            result = await client.call_tool("weather", given)
            seen[name] = " ".join(part.text for part in result.content).split("\n")[0]
            print(f"  {given}: {'error' if result.is_error else 'fine'}: {seen[name]}")
    assert seen["raises"] == "Error executing tool weather", "this has changed"
    assert seen["misspelt"] == "Oslo, 1 days", "this has changed"
    assert (seen["text"], seen["true"]) == ("Oslo, 2 days", "Oslo, 1 days"), "this has changed"
    assert "validation error" in seen["no number"], "this has changed"


print(f"mcp {version('mcp')}")
asyncio.run(main())
PY
