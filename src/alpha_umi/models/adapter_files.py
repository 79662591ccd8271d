"""Adapter folders in PEFT's format: written so that plain PEFT reads them, and read where PEFT wrote them.

Beside PEFT's content the weights file holds a fingerprint of the base that the adapter was trained on (in the header,
which other readers ignore), so that it is not put on another base unnoticed. PEFT itself is not needed.
"""

from __future__ import annotations

import json
import logging
import math
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from alpha_umi.errors import CheckpointError, DataError, StorageError
from alpha_umi.models.adapter_patterns import check_patterns
from alpha_umi.models.adapters import (
    Adapters,
    AdapterSettings,
    LoraPair,
    add_lora,
    base_fingerprint,
    install,
    linear_layers,
    matches,
    merge,
)
from alpha_umi.models.base_sketch import is_other_quantisation, sketch
from alpha_umi.models.token_rows import set_rows
from alpha_umi.text_files import read_json
from alpha_umi.types import Role

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LOG = logging.getLogger(__name__)
CONFIG, WEIGHTS, OLD_WEIGHTS = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
ROWS = "token_rows.safetensors"
"""Embeddings of the format's tokens that were learned with a LoRA; PEFT does not read them."""
_PREFIX = "base_model.model."
_BASE, _SKETCH = "alpha_umi_base", "alpha_umi_base_sketch"
_PARTS = ("lora_A", "lora_B")
_NOT_READ = (
    "use_dora",
    "use_qalora",
    "use_bdlora",
    "arrow_config",
    "kasa_config",
    "lora_bias",
    "fan_in_fan_out",
    "modules_to_save",
    "layer_replication",
    "trainable_token_indices",
    "target_parameters",
)
"""Settings of PEFT that go beyond A and B on linear layers."""
_READ = frozenset(
    {
        *("alora_invocation_tokens", "alpha_pattern", "auto_mapping", "base_model_name_or_path", "bias"),
        *("corda_config", "ensure_weight_tying", "eva_config", "exclude_modules", "inference_mode"),
        *("init_lora_weights", "layers_pattern", "layers_to_transform", "loftq_config", "lora_alpha"),
        *("lora_dropout", "lora_ga_config", "megatron_config", "megatron_core", "monteclora_config", "peft_type"),
        *("peft_version", "qalora_group_size", "r", "rank_pattern", "revision", "runtime_config", "target_modules"),
        *("task_type", "use_rslora", "velora_config"),
    }
)
"""Further settings of PEFT 0.21."""
_CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
_SUBSETS = ("exclude_modules", "layers_to_transform", "layers_pattern")

_Pairs = dict[str, tuple[Tensor, Tensor]]
"""A [rank, in] and B [out, rank] by the name of the linear layer."""


# --- writing ----------------------------------------------------------------------------------------------


def save_adapter(
    adapters: Adapters,
    role: Role,
    settings: AdapterSettings,
    folder: Path,
    *,
    base: str | None = None,
    state: Mapping[str, Tensor] | None = None,
    dtype: torch.dtype | None = None,
    rows: Mapping[str, Tensor] | None = None,
) -> None:
    """Write the adapter of `role` to `folder`, whole or not at all.

    `base`: the base model's name or path in the folder. `state`: whole weights by their names in the model, where
    the model's own are sharded. `dtype`: of the file; None: as they are. `rows`: of models.token_rows, learned with a
    LoRA that is to be merged. Raises StorageError.
    """
    weights = state or dict(adapters.parameters(role))
    tensors: dict[str, Tensor] = {}
    for name in adapters.parameters(role):
        layer, part = name.rsplit(f".adapters.{role.value}.", 1)
        tensors[f"{_PREFIX}{layer}.{part}.weight"] = weights[name].detach().to("cpu", dtype).contiguous()
    known = {_BASE: adapters.base, _SKETCH: adapters.sketch}
    metadata = {"format": "pt", **{key: value for key, value in known.items() if value is not None}}
    part_folder = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part_folder, ignore_errors=True)
        part_folder.mkdir(parents=True)
        save_file(tensors, part_folder / WEIGHTS, metadata=metadata)
        if rows:
            save_file(dict(rows), part_folder / ROWS)
        document = _document(adapters, role, settings, base)
        (part_folder / CONFIG).write_text(json.dumps(document, indent=2), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        part_folder.rename(folder)
    except (OSError, SafetensorError) as error:  # safetensors wraps an OSError of the disk
        size = sum(tensor.nbytes for tensor in tensors.values())
        raise StorageError(f"{folder}: the adapter ({size:,} bytes) cannot be written: {error}") from error


def _document(adapters: Adapters, role: Role, settings: AdapterSettings, base: str | None) -> dict[str, Any]:
    alpha = settings.alpha
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "inference_mode": True,
        "r": settings.rank,
        "lora_alpha": int(alpha) if alpha == int(alpha) else alpha,
        "lora_dropout": settings.dropout,
        "target_modules": _names(adapters, role),
        "alora_invocation_tokens": list(adapters.invocations[role]) or None,
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
        "modules_to_save": None,
        "use_dora": False,
        "use_rslora": False,
    }


def _names(adapters: Adapters, role: Role) -> list[str]:
    return sorted({name.rpartition(".")[2] for name, layer in adapters.layers.items() if role.value in layer})


# --- reading ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAdapter:
    """Contents of an adapter folder."""

    folder: str
    config: Mapping[str, Any]
    pairs: _Pairs
    base: str | None
    sketch: str | None = None


def load_adapters(model: PreTrainedModel, folders: Mapping[Role, str]) -> Adapters:
    """Put adapters from folders on one model, for inference.

    Raises CheckpointError with the folder that does not fit and the reason: no adapter, another base, layers that
    the model lacks or that have another shape, or a feature of PEFT beyond LoRA on linear layers.
    """
    stored = {role: read_adapter(folder) for role, folder in folders.items()}
    layers = linear_layers(model)
    for adapter in stored.values():
        check_patterns(adapter.folder, adapter.config, layers)
    fingerprint = base_fingerprint(model)
    for adapter in stored.values():
        _check_layers(adapter, layers)
        _check_tokens(adapter, len(cast("nn.Embedding", model.get_input_embeddings()).weight))
        if None not in (adapter.base, fingerprint) and adapter.base != fingerprint:
            if not is_other_quantisation(adapter.sketch or "", sketch(model) or ""):
                raise _misfit(adapter, "it was trained on other weights; name the base model it was trained on")
            _LOG.warning("%s: was trained on another quantisation of the base model; it may do worse", adapter.folder)
    used = [name for name in layers if any(name in adapter.pairs for adapter in stored.values())]
    adapters = install(model, used, {role: invocation(adapter.config) for role, adapter in stored.items()})
    for role, adapter in stored.items():
        for name, weights in adapter.pairs.items():
            device = layers[name].weight.device
            weights = (weights[0].to(device), weights[1].to(device))
            add_lora(adapters, name, role, weights, scaling(adapter.config, name, len(weights[0])))
    for layer in adapters.layers.values():
        layer.requires_grad_(False)
    return adapters


@torch.no_grad()
def merge_folder(model: PreTrainedModel, folder: str) -> None:
    """Merge the plain LoRA of a folder, and the token rows beside it, into the weights of `model`.

    Raises CheckpointError as `load_adapters` does, and for an activated LoRA, which cannot be merged.
    """
    if invocation(read_config(folder)):
        raise CheckpointError(f"{folder}: an activated LoRA, which cannot be merged; a plain LoRA is needed")
    load_adapters(model, {Role.BACKBONE: folder})
    merge(model)
    load_rows(model, folder)


def load_rows(model: PreTrainedModel, folder: str) -> None:
    """Set the token rows of a model to those of an adapter folder, where it has any. Raises CheckpointError."""
    rows = Path(folder, ROWS)
    if rows.is_file():
        try:
            set_rows(model, load_file(rows))
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            raise CheckpointError(f"{rows}: these rows do not fit the base model: {error}") from error


@torch.no_grad()
def restart(adapters: Adapters, role: Role, folder: str) -> None:
    """Set the weights of the adapter of `role` to those of a folder, to be trained on.

    Raises CheckpointError for an adapter of another base, of other layers or of another rank.
    """
    stored = read_adapter(folder)
    is_other = None not in (stored.base, adapters.base) and stored.base != adapters.base
    if is_other and not is_other_quantisation(stored.sketch or "", adapters.sketch or ""):
        raise _misfit(stored, "it was trained on other weights; name the base model it was trained on")
    own = {name: layer[role.value] for name, layer in adapters.layers.items() if role.value in layer}
    if stored.pairs.keys() != own.keys():
        odd = min(stored.pairs.keys() ^ own.keys())
        raise _misfit(stored, f"only one of the two adapts {odd}; see [adapter] targets")
    for name, (lora_a, lora_b) in stored.pairs.items():
        pair = cast("LoraPair", own[name])
        if pair.lora_A.shape != lora_a.shape or pair.lora_B.shape != lora_b.shape:
            raise _misfit(stored, f"{name} has rank {len(lora_a)} in it; see [adapter] rank (now {len(pair.lora_A)})")
        pair.lora_A.copy_(lora_a)
        pair.lora_B.copy_(lora_b)


def read_config(folder: str) -> Mapping[str, Any]:
    """Read PEFT's settings of the adapter in a folder. Raises CheckpointError where there is none."""
    path = Path(folder, CONFIG)
    if not path.is_file():
        raise CheckpointError(f"{folder}: no adapter here (a folder with {CONFIG} is needed)")
    try:
        config: object = read_json(path)
    except DataError as error:
        raise CheckpointError(str(error)) from None
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise CheckpointError(f"{path}: not a LoRA; adapters of other kinds are not read")
    return cast("Mapping[str, Any]", config)


def invocation(config: Mapping[str, Any]) -> tuple[int, ...]:
    """The invocation tokens of an adapter; none for one that acts everywhere."""
    return tuple(config.get("alora_invocation_tokens") or ())


def read_adapter(folder: str) -> StoredAdapter:
    """Read an adapter folder; unknown settings are ignored, with a warning, as PEFT does.

    Raises CheckpointError unless it holds LoRA on linear layers alone.
    """
    config = read_config(folder)
    unread = [name for name in _NOT_READ if config.get(name)]
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.startswith(_CHANGES_BASE):
        unread.append(f"init_lora_weights={start}")
    if config.get("bias", "none") != "none":
        unread.append("bias")
    if unread:
        raise CheckpointError(
            f"{folder}: this adapter uses {', '.join(unread)}, which roles on one base cannot share; "
            "merge it with PEFT into a model of its own and name that"
        )
    if unknown := sorted(config.keys() - _READ - set(_NOT_READ)):
        _LOG.warning("%s: settings that are not known here, perhaps of a newer PEFT, are ignored: %s", folder, unknown)
    tensors, told = _tensors(folder)
    pairs = _paired(folder, tensors)
    return StoredAdapter(folder=folder, config=config, pairs=pairs, base=told.get(_BASE), sketch=told.get(_SKETCH))


def _tensors(folder: str) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """The weights by PEFT's names, and what the file says of the base."""
    new, old = Path(folder, WEIGHTS), Path(folder, OLD_WEIGHTS)
    try:
        if new.is_file():
            with safe_open(new, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
        if old.is_file():
            return torch.load(old, map_location="cpu", weights_only=True), {}
    except Exception as error:  # safetensors and torch raise errors of many kinds for broken files
        raise CheckpointError(f"{folder}: the adapter's weights cannot be read: {error}") from error
    raise CheckpointError(f"{folder}: the adapter has no weights ({WEIGHTS} is needed)")


def _paired(folder: str, tensors: Mapping[str, Tensor]) -> _Pairs:
    """Pair A and B of each layer."""
    found: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, part = key.removesuffix(".weight").removeprefix(_PREFIX).rpartition(".")
        if part not in _PARTS or not key.startswith(_PREFIX):
            raise CheckpointError(f"{folder}: the adapter holds {key}, which is no LoRA of a linear layer")
        found.setdefault(name, {})[part] = tensor
    for name, parts in found.items():
        for part in _PARTS:
            if part not in parts:
                raise CheckpointError(f"{folder}: the adapter is not whole: {name} has no {part}")
    return {name: (parts["lora_A"], parts["lora_B"]) for name, parts in found.items()}


# --- checks -----------------------------------------------------------------------------------------------


def _check_layers(adapter: StoredAdapter, layers: Mapping[str, nn.Linear]) -> None:
    for name, (lora_a, lora_b) in adapter.pairs.items():
        if name not in layers:
            raise _misfit(adapter, f"it has no linear layer {name} that can be adapted")
        shape = (lora_b.shape[0], lora_a.shape[1])
        wanted = (layers[name].out_features, layers[name].in_features)
        if shape != wanted or lora_a.shape[0] != lora_b.shape[1]:
            raise _misfit(adapter, f"{name} is {wanted[0]} x {wanted[1]} there, {shape[0]} x {shape[1]} in the adapter")
    missing = [name for name in layers if _is_target(adapter.config, name) and name not in adapter.pairs]
    if missing or not adapter.pairs:
        raise _misfit(adapter, f"the adapter has no weights for {missing[0] if missing else 'any layer'}")


def _check_tokens(adapter: StoredAdapter, vocabulary: int) -> None:
    beyond = [token for token in invocation(adapter.config) if token >= vocabulary]
    if beyond:
        raise _misfit(
            adapter,
            f"it is invoked by token {beyond[0]}, the base has {vocabulary} tokens; name the backbone whose tokenizer "
            "has the role tokens",
        )


def _misfit(adapter: StoredAdapter, reason: str) -> CheckpointError:
    return CheckpointError(f"{adapter.folder}: this adapter does not fit the base model: {reason}")


def _is_target(config: Mapping[str, Any], name: str) -> bool:
    """True where the settings certainly name this layer."""
    targets = config.get("target_modules")
    if not isinstance(targets, list) or any(config.get(key) for key in _SUBSETS):
        return False
    return any(matches(name, str(target)) for target in cast("list[object]", targets))


def scaling(config: Mapping[str, Any], name: str, rank: int) -> float:
    """The factor of B A of the layer `name`: alpha / rank, or alpha / sqrt(rank) with rslora."""
    alphas = cast("Mapping[str, float]", config.get("alpha_pattern") or {})
    alpha = next((alphas[key] for key in alphas if re.match(rf"(.*\.)?({key})$", name)), config["lora_alpha"])
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
