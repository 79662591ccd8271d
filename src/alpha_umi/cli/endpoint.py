"""Verb `umi serve`: an agent behind an OpenAI-compatible endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from alpha_umi.cli import ask as asking
from alpha_umi.cli.shared_options import with_options_of
from alpha_umi.cli.streams import echo
from alpha_umi.errors import explain_missing_extra


@with_options_of(asking.agent_options)
def serve(
    host: Annotated[str, typer.Option(help="The address to listen on; beyond this machine a key is needed.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one, which is printed.")] = 8000,
    api_key_env: Annotated[
        str | None, typer.Option(help="The environment variable with the key to ask for; none is asked for.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="The origin of a page of another site that may ask, such as https://a.example."),
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="Keep responses and calls here (.sqlite) for later requests, and restarts.")
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(help="Keep every whole reply as a trajectory in this folder, for umi prepare rollouts."),
    ] = None,
    approval_timeout: Annotated[
        float,
        typer.Option(min=0, help="Seconds in which a client approves a call that asks for it; then it is refused."),
    ] = 300,
    *,
    allow_mcp: Annotated[
        bool,
        typer.Option("--allow-mcp", help="Users of the page may name MCP servers, which runs commands of theirs here."),
    ] = False,
    agent: str | None = None,
    **options: Any,
) -> None:
    """Serve an agent to OpenAI's clients, at /v1, and as a web page, at /. Tools are those of a request, else the ones
    named here."""
    with explain_missing_extra("serve", "an endpoint"):
        from alpha_umi.serving.endpoint import start
    listening: dict[str, Any] = {"host": host, "port": port, "key_env": api_key_env, "state": state, "keep": keep}
    listening |= {"origins": tuple(allow_origin or ()), "approval_s": approval_timeout}
    started = start.read_options(agent, asking.api_options(**options), allow_mcp=allow_mcp, **listening)
    start.run(started, _print_addresses)
    echo("stopped")


def _print_addresses(url: str) -> None:
    """Print the API's address for programs, and the page's for people."""
    print(f"{url}/v1", flush=True)
    echo(f"web page: {url}/", err=True)
