"""A run directory cut down to what an agent needs, as it comes with the package."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from alpha_umi.build import AGENT_FILE, open_format, read_agent
from alpha_umi.build.bundled import write_made
from alpha_umi.config import LocalConfig
from alpha_umi.errors import CheckpointError, StorageError
from alpha_umi.types import Role

MOST_BYTES = 20_000_000
"""Of a bundled agent with its base model."""
_BESIDE = ("format.json", "README.md", "metrics.json")
_WEIGHTS = ("config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json", "token*.json",
            "special_tokens_map.json", "adapter_config.json", "chat_template.jinja", "README.md")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundled:
    """What was written."""

    files: int
    bytes: int


def bundle(run: Path, out: Path, preset: str, base: Path | None = None) -> Bundled:
    """Copy the agent of `run` to a new folder `out`, with its histories and, as `base`, the model that it began from.

    Raises CheckpointError for one that is too large, or whose parts lie elsewhere; StorageError where `out` is there.
    """
    if out.exists():
        raise StorageError(f"{out}: is there already; remove it, or name another --out")
    config = read_agent(run)
    top = run.absolute().resolve()
    parts = {Path(each).resolve() for role in Role for each in _folders(config.roles.get(role))}
    outside = [part for part in parts if not part.is_relative_to(top)]
    if outside:
        raise CheckpointError(f"{run}: {outside[0]} lies outside of it; bundle a run directory with all its parts")
    out.mkdir(parents=True)
    for name in (AGENT_FILE, *_BESIDE):
        if (run / name).exists():
            shutil.copyfile(run / name, out / name)
    for part in parts:
        _copy(part, out / part.relative_to(top))
    if base is not None:
        _copy(base, out / "base")
    for history in (run / "history").glob("*.jsonl"):
        (out / "history").mkdir(exist_ok=True)
        shutil.copyfile(history, out / "history" / history.name)
    write_made(out, read_agent(out), open_format(config.format), preset)
    files = [file for file in out.rglob("*") if file.is_file()]
    total = sum(file.stat().st_size for file in files)
    if total > MOST_BYTES:
        shutil.rmtree(out)
        raise CheckpointError(
            f"{run}: takes {total / 1e6:.1f} MB, more than {MOST_BYTES / 1e6:.0f}; bundle a smaller one"
        )
    return Bundled(files=len(files), bytes=total)


def _folders(named: object) -> list[str]:
    if not isinstance(named, LocalConfig):
        return []
    return [named.model] if named.adapter is None else [named.model, named.adapter]


def _copy(source: Path, target: Path) -> None:
    """What is needed to load a model or an adapter, and nothing else."""
    target.mkdir(parents=True, exist_ok=True)
    for pattern in _WEIGHTS:
        for file in source.glob(pattern):
            shutil.copyfile(file, target / file.name)
