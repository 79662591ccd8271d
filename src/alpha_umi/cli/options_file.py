"""Options of a verb from a TOML file: `--config FILE`, and `--set NAME=VALUE` in its words; flags go before both.

The file's keys are the verb's options without dashes in front, `_` or `-` between words; its paths, as those of flags,
are taken from where the command runs.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from alpha_umi.errors import ConfigError

_META = ("config", "options_set", "help")


def _read_file(context: typer.Context, path: Path | None) -> Path | None:
    if path is not None:
        from alpha_umi.config import read_toml

        known = _options(context)
        _add(context, {_known(name, known, str(path)): value for name, value in read_toml(path).items()}, below=True)
    return path


def _read_overrides(context: typer.Context, overrides: list[str] | None) -> list[str] | None:
    known, values = _options(context), dict[str, Any]()
    for override in overrides or ():
        name, equals, text = override.partition("=")
        if not equals:
            raise ConfigError(f"--set {override!r}: write it as NAME=VALUE, with an option of this command")
        values[_known(name.strip(), known, "--set")] = text.strip()
    _add(context, values, below=False)
    return overrides


def read_own_overrides(context: typer.Context, overrides: list[str] | None) -> list[str] | None:
    """Set the options that `--set` names; return the other overrides, which the verb reads."""
    known = _names(_options(context))
    own = [each for each in overrides or () if each.partition("=")[0].strip().replace("-", "_") in known]
    _read_overrides(context, own)
    return None if overrides is None else [each for each in overrides if each not in own]


def _options(context: typer.Context) -> dict[str, Any]:
    named = {str(parameter.name): parameter for parameter in context.command.params}
    return {name: parameter for name, parameter in named.items() if name not in _META}


def _known(name: str, known: Mapping[str, Any], where: str) -> str:
    """The parameter of an option's name: as it is called, or as its first flag is written."""
    names = _names(known)
    found = names.get(name.replace("-", "_"))
    if found is None:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(names))}"
        raise ConfigError(f"{where}: unknown option {name!r}; {hint}")
    return found


def _names(known: Mapping[str, Any]) -> dict[str, str]:
    """The parameter of every name that an option has."""
    flags = {flag.lstrip("-").replace("-", "_"): key for key, each in known.items() for flag in each.opts}
    return {key: key for key in known if key not in flags.values()} | flags


def _add(context: typer.Context, values: Mapping[str, Any], *, below: bool) -> None:
    """Make values the defaults of this command; `below`: under those that are there."""
    there = context.default_map or {}
    context.default_map = {**values, **there} if below else {**there, **values}


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        is_eager=True,
        callback=_read_file,
        help="A TOML file with options of this command, under their names; flags go before it.",
    ),
]
OptionOverrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        is_eager=True,
        callback=_read_overrides,
        help="Set an option as in a --config file.",
    ),
]


def one_of(argument: str | None, option: str | None, what: str) -> str:
    """The configuration that an argument or `--config` names. Raises ConfigError for none, or two."""
    if (argument is None) == (option is None):
        raise ConfigError(f"name {what}, once: as the argument or by --config")
    return argument or option or ""
