"""Run directory: its ownership by one configuration, and the checks before a run starts or resumes in it."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from alpha_umi.config import PretrainConfig, TrainConfig, read_toml, resolved
from alpha_umi.errors import AlphaUMiError, ConfigError
from alpha_umi.store import write_json, write_text
from alpha_umi.training import distributed
from alpha_umi.types import Json


def check_place(out: Path, document: Mapping[str, Any], *, resume: bool, free: Collection[str]) -> bool:
    """Check that a run may start (True) or resume (False) in `out`; `free`: keys that may change when it is resumed.

    Raises ConfigError where it holds anything but this run, to be resumed.
    """
    kept = out / "config.toml"
    if not kept.exists():
        if out.exists() and (not out.is_dir() or not all(_is_of_killed(entry.name) for entry in out.iterdir())):
            raise ConfigError(f"{out}: is there and is no run directory; name another 'out'")
        return True
    changes = sorted(_changes(read_toml(kept), document, free))
    if changes:
        raise ConfigError(f"{out}: holds a run with another configuration ({'; '.join(changes)}); name another 'out'")
    if not resume:
        raise ConfigError(f"{out}: holds this run already; go on with it by --resume, or name another 'out'")
    return False


@contextmanager
def cleanup_on_error(folder: Path | None) -> Iterator[None]:
    """Remove a new run's folder when the block ends with an AlphaUMiError, as with nothing to learn from."""
    try:
        yield
    except AlphaUMiError:
        if folder is not None and distributed.is_first():
            shutil.rmtree(folder, ignore_errors=True)
        raise


def claim(out: Path, config: TrainConfig | PretrainConfig, format_document: Mapping[str, Json]) -> None:
    """Claim `out` as this run's directory; config.toml, which marks it, is written last."""
    write_json(out / "format.json", format_document)
    with write_text(out / "config.toml") as text:
        text.write(resolved(config))


def document_of(config: TrainConfig | PretrainConfig) -> dict[str, Any]:
    """Configuration as JSON, as it is kept on disk."""
    return config.model_dump(mode="json", exclude_none=True)


def _changes(
    before: Mapping[str, Any], after: Mapping[str, Any], free: Collection[str], place: str = ""
) -> Iterator[str]:
    """Describe the differences between two configurations."""
    for key in before.keys() | after.keys():
        old, new = before.get(key), after.get(key)
        if old == new or (not place and key in free):
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _changes(cast("Mapping[str, Any]", old), cast("Mapping[str, Any]", new), free, f"{place}{key}.")
        else:
            yield f"{place}{key} was {old!r}, is {new!r}"


def _is_of_killed(name: str) -> bool:
    """Test if a file may be left by a run that was killed before it had claimed the place; parts are swept later."""
    return name in ("cache", "format.json") or (name.startswith(".umi-") and name.endswith(".part"))
