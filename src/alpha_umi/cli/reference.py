"""The option --compat: the published code bases whose behaviour a verb can reproduce."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from alpha_umi.errors import ConfigError
from alpha_umi.types import Reference

CLIENTS = (Reference.ALPHA_UMI, Reference.OPENBMB)
Compat = Annotated[
    str | None, typer.Option("--compat", help=f"'{Reference.ALPHA_UMI}': exactly as published, mistakes included.")
]
SearchCompat = Annotated[
    str | None,
    typer.Option("--compat", help=f"{', '.join(CLIENTS)}: searches as that published code, mistakes included."),
]
JudgeCompat = Annotated[
    str | None, typer.Option("--compat", help=f"{', '.join(Reference)}: as that published code, mistakes included.")
]


def read_reference(name: str | None, known: tuple[Reference, ...] = (Reference.ALPHA_UMI,)) -> Any:
    """Find the Reference of a name; None for none. Raises ConfigError for one that is not `known`."""
    if name is None:
        return None
    if name not in known:
        raise ConfigError(f"--compat {name!r} is not known; known: {', '.join(known)}")
    return Reference(name)
