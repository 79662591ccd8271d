"""A run directory without what only its training needed, to be given away."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from alpha_umi.config import AgentConfig, LocalConfig
from alpha_umi.errors import ConfigError
from alpha_umi.loading.agents import read_agent
from alpha_umi.loading.bundled import provenance_of, write_provenance
from alpha_umi.loading.formats import open_format
from alpha_umi.loading.saving import new_folder
from alpha_umi.output_lock import locked
from alpha_umi.types import Role

AGENT = "umi.toml"
BASE = "base"
_KEPT = (AGENT, "format.json", "metrics.json")
_HISTORY = "history"


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleOptions:
    """Options of a bundle: the run, its world and the folder to write."""

    run: Path
    """A finished run directory of GLPFT."""
    out: Path
    preset: str
    """Of the world that the agent learned in."""
    base: Path | None = None
    """The run directory of the base model that it started from."""
    card: Path | None = None


def bundle(options: BundleOptions) -> int:
    """Write the folder `options.out` whole and return its size in bytes.

    Raises ConfigError where the run is not finished, a weight lies elsewhere or the place is taken; StorageError
    when the disk is full.
    """
    with locked(options.out):
        return _write(options, _check(options))


def _write(options: BundleOptions, config: AgentConfig) -> int:
    provenance = provenance_of(options.run, config, open_format(config.format), options.preset)
    with new_folder(options.out) as part:
        for path in _files(options, config):
            place = part / path.relative_to(options.run)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        _take_base(options, part)
        if options.card is not None:
            shutil.copyfile(options.card, part / "README.md")
        write_provenance(part, provenance.model_copy(update={"agent": options.out.name}))
        read_agent(part)
    return sum(path.stat().st_size for path in options.out.rglob("*") if path.is_file())


def _check(options: BundleOptions) -> AgentConfig:
    if not (options.run / AGENT).exists():
        raise ConfigError(f"{options.run}: no {AGENT} in it, so this is no finished run; go on with it by --resume")
    if options.out.exists():
        raise ConfigError(f"{options.out}: is there already; remove it or name another place")
    if options.base is not None and not (options.base / BASE).is_dir():
        raise ConfigError(f"{options.base}: holds no folder '{BASE}', so it is no run of 'umi pretrain'")
    return read_agent(options.run)


def _files(options: BundleOptions, config: AgentConfig) -> Iterator[Path]:
    """Files of the run that the bundle holds."""
    run = options.run.absolute()
    folders: dict[Path, None] = {}
    for role in Role:
        local = config.roles.get(role)
        folders |= {Path(folder): None for folder in (local.folders if isinstance(local, LocalConfig) else ())}
    for folder in folders:
        if not folder.is_dir() or run not in folder.absolute().parents:
            raise ConfigError(f"{folder}: lies outside of {options.run}, so the run cannot be given away alone")
        yield from (
            options.run / path.absolute().relative_to(run) for path in sorted(folder.iterdir()) if path.is_file()
        )
    yield from (options.run / name for name in _KEPT if (options.run / name).exists())
    yield from sorted((options.run / _HISTORY).glob("*.jsonl"))


def _take_base(options: BundleOptions, part: Path) -> None:
    if options.base is None:
        return
    shutil.copytree(options.base / BASE, part / BASE)
    for history in (options.base / _HISTORY).glob("*.jsonl"):
        (part / _HISTORY).mkdir(exist_ok=True)
        shutil.copyfile(history, part / _HISTORY / history.name)
