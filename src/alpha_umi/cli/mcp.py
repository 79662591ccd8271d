"""Verb `umi mcp`: an agent, tools, and retrieval over a tool corpus as an MCP server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from alpha_umi.cli import ask as asking
from alpha_umi.cli.shared_options import with_options_of
from alpha_umi.cli.streams import echo
from alpha_umi.errors import explain_missing_extra


@with_options_of(asking.agent_options)
def mcp(
    offer: Annotated[
        list[str] | None,
        typer.Option(
            help="What is offered: ask (the agent), tools (those that are named, themselves), task (the tools of "
            "--world-task with Finish, whose result is the verdict), retrieve (a corpus); repeatable. By default "
            "ask, with --world-task tools, and retrieve where a corpus is named."
        ),
    ] = None,
    world_task: Annotated[
        str | None, typer.Option(metavar="SPLIT:INDEX", help="Offer the tools of this task of the world.")
    ] = None,
    retrieve_from: Annotated[
        Path | None,
        typer.Option(help="The corpus of find_tools: tool JSON files, query files, or a corpus.tsv."),
    ] = None,
    index: Annotated[Path | None, typer.Option(help="A saved index (umi retrieve --save) in its place.")] = None,
    *,
    http: Annotated[bool, typer.Option("--http", help="Serve over HTTP, in place of the standard streams.")] = False,
    host: Annotated[str, typer.Option(help="With --http: the address; beyond this machine a key is needed.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="With --http; 0: any free one, which is printed.")] = 8000,
    api_key_env: Annotated[
        str | None, typer.Option(help="With --http: the environment variable with the key to ask for.")
    ] = None,
    agent: str | None = None,
    **options: Any,
) -> None:
    """Serve an agent, tools, or retrieval to MCP clients, over the standard streams or HTTP."""
    with explain_missing_extra("mcp", "an MCP server"):
        from alpha_umi.serving.mcp import start
    started = start.read_options(
        agent,
        asking.api_options(**options),
        offers=tuple(offer or ()),
        world_task=world_task,
        retrieve_from=retrieve_from,
        index=index,
    )
    if http:
        start.run_http(started, host, port, api_key_env, lambda url: print(url, flush=True))
        echo("stopped")
    else:
        start.run_stdio(started)
