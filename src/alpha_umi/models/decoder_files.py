"""Decoders of the engine read from folders and GGUF files, without transformers.

A folder whose settings or weights are not known here to the last is left to transformers, which also says what is
wrong with a broken one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from alpha_umi.errors import DataError
from alpha_umi.models.base_sketch import QUANTIZED
from alpha_umi.models.engine.decoder import KINDS, ROPE_TYPES, Decoder, DecoderConfig
from alpha_umi.models.gguf_reader import is_gguf, open_gguf
from alpha_umi.models.gguf_weights import read_decoder
from alpha_umi.text_files import read_json

_ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
_SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
_READ = frozenset(
    {*_SIZES, QUANTIZED, "architectures", "attention_bias", "eos_token_id", "head_dim", "hidden_act", "layer_types",
     "max_position_embeddings", "mlp_bias", "model_type", "num_key_value_heads", "rms_norm_eps", "rope_parameters",
     "rope_scaling", "rope_theta", "tie_word_embeddings", "use_sliding_window"}
)  # fmt: skip
_WITHOUT_EFFECT = frozenset(
    {"_name_or_path", "attention_dropout", "bos_token_id", "dtype", "initializer_range", "is_llama_config",
     "max_window_layers", "pad_token_id", "pretraining_tp", "rope_interleaved", "sliding_window", "torch_dtype",
     "transformers.js_config", "transformers_version", "use_cache"}
)  # fmt: skip
"""Settings that change no logits where there are no windows."""
_ROPE_KEYS = frozenset(
    {"rope_type", "type", "rope_theta", "factor", "low_freq_factor", "high_freq_factor",
     "original_max_position_embeddings"}
)  # fmt: skip
_INDEX = "model.safetensors.index.json"


def open_decoder(name: str, dtype: torch.dtype) -> Decoder | None:
    """Open the model of a folder or a GGUF file, on the CPU; None: it is left to transformers.

    Raises CheckpointError for a GGUF file that is broken, or not known to be computed right.
    """
    if is_gguf(name):
        return read_decoder(open_gguf(Path(name)), dtype)
    try:
        config = _read_config(Path(name))
        weights = None if config is None else _read_weights(Path(name))
    except (DataError, OSError, SafetensorError, KeyError, TypeError, ValueError, ZeroDivisionError):
        return None  # transformers says what is wrong
    return None if config is None or weights is None else _filled(config, weights, dtype)


def _read_config(folder: Path) -> DecoderConfig | None:
    found: Any = read_json(folder / "config.json")
    kind = found.get("model_type")
    own = _ARCHITECTURES.get(kind)
    if kind not in KINDS or found.get("architectures", [own]) != [own] or found.keys() - _READ - _WITHOUT_EFFECT:
        return None
    layers = set(found.get("layer_types") or ["full_attention"])
    if layers != {"full_attention"} or found.get("use_sliding_window") or found.get("hidden_act", "silu") != "silu":
        return None
    rope = _read_rope(found)
    if rope is None or (kind == "qwen3" and "head_dim" not in found):
        return None
    heads = found["num_attention_heads"]
    keys, size = found.get("num_key_value_heads") or heads, found.get("head_dim") or found["hidden_size"] // heads
    if heads % keys or size % 2:
        return None
    return DecoderConfig(
        model_type=kind,
        **{name: found[name] for name in _SIZES},
        num_key_value_heads=keys,
        head_dim=size,
        max_position_embeddings=found["max_position_embeddings"],
        rms_norm_eps=found["rms_norm_eps"],
        rope_parameters=rope,
        tie_word_embeddings=bool(found["tie_word_embeddings"]),
        attention_bias=kind == "qwen2" or bool(found.get("attention_bias", False)),
        mlp_bias=kind == "llama" and bool(found.get("mlp_bias", False)),
        eos_token_id=_ends(folder, found),
        dequantized_from=found.get(QUANTIZED),
    )


def _read_rope(found: Mapping[str, Any]) -> dict[str, Any] | None:
    """RoPE as newer folders describe it, or older ones; None for a type that is not known here."""
    rope = dict(found.get("rope_parameters") or found.get("rope_scaling") or {})
    kind = rope.get("rope_type") or rope.get("type") or "default"
    theta = rope.get("rope_theta") or found.get("rope_theta")
    if kind not in ROPE_TYPES or rope.keys() - _ROPE_KEYS or theta is None:
        return None
    return {**rope, "rope_type": kind, "rope_theta": theta}


def _ends(folder: Path, found: Mapping[str, Any]) -> int | list[int] | None:
    """Tokens that end a completion."""
    file = folder / "generation_config.json"
    return (cast("Any", read_json(file)) if file.is_file() else found).get("eos_token_id")


def _read_weights(folder: Path) -> dict[str, Tensor] | None:
    """Weights by name, which are read from the file when they are used; None where they are not safetensors."""
    whole, index = folder / "model.safetensors", folder / _INDEX
    if whole.is_file():
        return load_file(whole)
    if not index.is_file():
        return None
    names = sorted(set(cast("Any", read_json(index))["weight_map"].values()))
    files = [folder / name for name in names if isinstance(name, str) and name == Path(name).name]
    if len(files) != len(names):
        return None
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


def _filled(config: DecoderConfig, weights: Mapping[str, Tensor], dtype: torch.dtype) -> Decoder | None:
    """The model of the settings with these weights; None where some are missing, surplus or of another shape."""
    with torch.device("meta"):
        model = Decoder(config).to(dtype)
    wanted = {name: tensor.shape for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings and "lm_head.weight" not in weights:
        del wanted["lm_head.weight"]
    if wanted != {name: tensor.shape for name, tensor in weights.items()}:
        return None
    if not all(tensor.is_floating_point() for tensor in weights.values()):
        return None
    model.load_state_dict({name: tensor.to(dtype) for name, tensor in weights.items()}, assign=True, strict=False)
    model.tie()
    return model.requires_grad_(requires_grad=False).eval()
