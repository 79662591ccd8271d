"""Detection of DeepSpeed configurations, with an error that names the FSDP2 settings in their place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from alpha_umi.errors import ConfigError, DataError
from alpha_umi.text_files import read_json

_KEYS = ("deepspeed", "deepspeed_config", "ds_config")
_OWN = ("zero_optimization", "train_micro_batch_size_per_gpu", "train_batch_size", "zero_allow_untested_optimizer")
_INSTEAD = "runs are spread by FSDP2: torchrun --nproc-per-node=N ... umi train CONFIG shares out weights by itself"


def refuse(document: Mapping[str, Any], source: str) -> None:
    """Raise ConfigError if `document`, from the file `source`, is a DeepSpeed configuration or names one."""
    if any(key in document for key in _OWN):
        raise ConfigError(f"{source}: is a DeepSpeed configuration; {_INSTEAD}{_settings(document)}")
    for place, key, value in _named(document):
        at = f" in [{place}]" if place else ""
        settings = _settings(_read(value, Path(source).parent))
        raise ConfigError(f"{source}: {key}{at}: DeepSpeed is not used; {_INSTEAD}{settings}")


def _named(document: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, str, Any]]:
    for key, value in document.items():
        if key in _KEYS:
            yield place, key, value
        elif isinstance(value, Mapping):
            yield from _named(cast("Mapping[str, Any]", value), f"{place}.{key}" if place else key)


def _read(value: Any, folder: Path) -> Mapping[str, Any]:
    """Settings that a deepspeed key holds or names; empty where they cannot be read."""
    if isinstance(value, str):
        try:
            value = read_json(folder / value)
        except DataError:
            return {}
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _settings(deepspeed: Mapping[str, Any]) -> str:
    """Keys of this package for the settings of a DeepSpeed configuration."""
    said = list(_replacements(deepspeed))
    if not said:
        return "; [spread] has shard, cpu_offload and reshard_after_forward, dtype has the precision"
    return "; for what this one says, write " + ", ".join(said)


def _replacements(deepspeed: Mapping[str, Any]) -> Iterator[str]:
    zero = _table(deepspeed, "zero_optimization")
    match zero.get("stage"):
        case 0:
            yield "spread.shard = false"
        case 1 | 2:
            yield "spread.reshard_after_forward = false"
        case 3:
            yield "spread.reshard_after_forward = true (the default)"
        case _:
            pass
    if any(_table(zero, f"offload_{what}").get("device", "none") != "none" for what in ("optimizer", "param")):
        yield "spread.cpu_offload = true if it would not fit without (umi train --plan says)"
    if _table(deepspeed, "bf16").get("enabled") not in (None, False):
        yield 'dtype = "bfloat16"'
    if _table(deepspeed, "fp16").get("enabled") is True:
        yield 'dtype = "bfloat16" (float16 is not trained in)'
    if "gradient_clipping" in deepspeed:
        yield "max_grad_norm in the tables [stages.*]"
    if any(key in deepspeed for key in ("train_batch_size", "train_micro_batch_size_per_gpu")):
        yield "batch_size in the tables [stages.*] and tokens_per_microbatch"
    if "scheduler" in deepspeed or "optimizer" in deepspeed:
        yield "learning_rate, warmup_ratio and schedule in the tables [stages.*]"


def _table(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
