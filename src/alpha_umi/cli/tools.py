"""Verb `umi tools from-openapi`: the operations of an API as tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alpha_umi.cli.streams import echo

tools_app = typer.Typer(help="Make tools.", no_args_is_help=True)
_SHOWN = 20


@tools_app.callback()
def tools() -> None:
    """Make tools."""


@tools_app.command("from-openapi")
def from_openapi(
    source: Annotated[str, typer.Argument(help="An OpenAPI document: a file (JSON or YAML) or an address.")],
    out: Annotated[Path, typer.Option("--out", help="The file to write (.json).")],
    base_url: Annotated[str | None, typer.Option(help="The API's address, in place of the document's.")] = None,
    auth: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PLACE:NAME=VALUE",
            help="A key that goes with every request: 'header:X-Api-Key=$VARIABLE', 'query:appid=$VARIABLE', "
            "'header:Authorization=Bearer $VARIABLE'; the variable is read when tools are called.",
        ),
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Keep this tool; may be given again.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that a request may take.")] = 30.0,
) -> None:
    """Write the operations of an OpenAPI document as tools that call the API: umi ask "..." --tools FILE."""
    from alpha_umi.jobs.tools import tools_from_openapi

    done = tools_from_openapi(source, out, base_url=base_url, auth=auth or (), only=only or (), timeout_s=timeout)
    operations = done.api.operations
    echo(f"{out}: {len(operations)} tools, called at {done.api.base_url}")
    for operation in operations[:_SHOWN]:
        echo(f"  {operation.tool.name}: {operation.method} {operation.path}")
    if len(operations) > _SHOWN:
        echo(f"  and {len(operations) - _SHOWN} more")
    for each in done.api.auth:
        echo(f"  key: {each.place} {each.name}, from the environment variable {each.variable}")
    for note in done.notes:
        echo(f"  note: {note}")
    echo(f'then: umi ask "..." --tools {out}')
