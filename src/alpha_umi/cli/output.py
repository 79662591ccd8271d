"""JSON output of verbs for scripts: one object on the standard output."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated

import typer

from alpha_umi.types import Json

AsJson = Annotated[bool, typer.Option("--json", help="Print the results as one JSON object.")]


def print_json(document: Mapping[str, Json]) -> None:
    """Write one JSON object in one line to the standard output."""
    from alpha_umi.store import dump_line

    sys.stdout.write(dump_line(document))
