"""Saving of agents as self-contained folders: a run directory that needs no other file, written whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alpha_umi.config import AgentConfig, LocalConfig, RoleConfig, RolesConfig, resolved
from alpha_umi.errors import ConfigError, StorageError
from alpha_umi.loading.agents import AGENT_FILE, read_agent
from alpha_umi.loading.bundled import write_provenance
from alpha_umi.store import write_text
from alpha_umi.types import Role

_FORMAT_FILE = "format.json"


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Make a folder beside `out` to be filled, which is renamed to `out` on success.

    Raises ConfigError where `out` holds anything already, StorageError when it cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: is there already; remove it or name another place")
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        yield part
        part.replace(out)
    except OSError as error:
        raise StorageError(f"{out}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def save_agent(config: AgentConfig, out: Path) -> None:
    """Write an agent with its weights, format and provenance as a run directory that loads and answers the same.

    Models that are Hugging Face Hub ids or endpoints stay names. Raises ConfigError where `out` holds anything,
    StorageError when the disk is full.
    """
    with new_folder(out.absolute()) as part:
        copied: dict[Path, str] = {}
        roles = {role.value: _with_copies(config.roles.get(role), part, copied) for role in Role}
        name = _copy_format(config.format, part)
        saved = config.model_copy(update={"roles": RolesConfig(**roles), "format": name, "provenance": None})
        with write_text(part / AGENT_FILE) as file:
            file.write(resolved(saved))
        if config.provenance is not None:
            write_provenance(part, config.provenance)
        read_agent(part)


def _with_copies(role: RoleConfig | None, part: Path, copied: dict[Path, str]) -> RoleConfig | None:
    """Role configuration with its local folders copied to `part` and named from there."""
    if not isinstance(role, LocalConfig):
        return role
    model = _copy_folder(Path(role.model), part, copied) if Path(role.model).is_dir() else role.model
    adapters = {name: getattr(role, name) for name in ("adapter", "merged_adapter")}
    copies = {name: None if path is None else _copy_folder(Path(path), part, copied) for name, path in adapters.items()}
    return role.model_copy(update={"model": model, **copies})


def _copy_folder(folder: Path, part: Path, copied: dict[Path, str]) -> str:
    source = folder.resolve()
    if source not in copied:
        name, number = folder.name, 2
        while name in copied.values():
            name, number = f"{folder.name}-{number}", number + 1
        (part / name).mkdir()
        for file in sorted(folder.iterdir()):
            if file.is_file():
                shutil.copyfile(file, part / name / file.name)
        copied[source] = name
    return copied[source]


def _copy_format(name: str, part: Path) -> str:
    """Format's name, or that of its copied file where it is one."""
    path, at, variant = name.rpartition("@")
    file = Path(name) if Path(name).exists() else Path(path)
    file = file / _FORMAT_FILE if file.is_dir() else file
    if not file.is_file():
        return name
    shutil.copyfile(file, part / _FORMAT_FILE)
    return _FORMAT_FILE if Path(name).exists() else f"{_FORMAT_FILE}{at}{variant}"
