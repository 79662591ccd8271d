"""GGUF files for llama.cpp: Llama, Mistral, Qwen2 and Qwen3 models, and LoRA and activated LoRA adapters on them.

llama.cpp rotates neighbouring values of a head where transformers rotates its two halves, so for Llama and Mistral
the rows of Q and K are reordered (`reorder`), in adapters those of their B. Norms and biases are always float32.
A model that llama.cpp would compute otherwise is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from alpha_umi.errors import CheckpointError, StorageError, explain_missing_extra
from alpha_umi.models.adapter_files import invocation, read_adapter, read_config, scaling
from alpha_umi.models.checkpoint import load_config, load_tokenizer, load_weights
from alpha_umi.models.gguf_vocabulary import write_vocabulary

ARCHITECTURES: Mapping[str, str] = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
"""llama.cpp's names of architectures, by transformers' model types."""
_ROTATED = ("q_proj", "k_proj")
_FILE_TYPES = {torch.float32: "ALL_F32", torch.float16: "MOSTLY_F16", torch.bfloat16: "MOSTLY_BF16"}


def reorder(weight: Tensor, heads: int) -> Tensor:
    """Reorder the rows of Q or K, of `heads` heads, from transformers' order to llama.cpp's: halves to neighbours."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """Model as llama.cpp's server runs it, with the adapters on it, for requests to that server."""

    end: str
    """The tokenizer's own end, as text."""
    opening: int | None
    """Token with which every prompt begins; None: there is no such token."""
    context: int
    """Most tokens of a prompt with its completion."""
    prefilled: tuple[str, ...]
    """Folders of activated adapters that need a request before each completion; see `write_adapter`."""


def served_model(name: str, adapters: Sequence[str], opening: str) -> ServedModel:
    """Look at a model, and the adapters on it, that llama.cpp's server is to run. `opening`: how every prompt begins.

    Raises CheckpointError.
    """
    tokenizer = load_tokenizer(name)
    first = tokenizer.encode("", add_special_tokens=True)[:1] or tokenizer.encode(opening, add_special_tokens=False)[:1]
    known = first[0] if first and first[0] in tokenizer.added_tokens_decoder else None
    return ServedModel(
        end=str(tokenizer.eos_token or ""),
        opening=known,
        context=int(load_config(name).max_position_embeddings),
        prefilled=tuple(folder for folder in adapters if len(invocation(read_config(folder))) == 1),
    )


def write_model(name: str, path: Path, *, end: str, dtype: str = "auto") -> None:
    """Write the model and tokenizer of a folder or hub id. `dtype`: of matrices; auto: as stored.

    Raises CheckpointError for a model that llama.cpp would compute otherwise, ConfigError without the package gguf,
    StorageError where the file cannot be written.
    """
    gguf = _package()
    model = load_weights(name, "auto" if dtype == "auto" else getattr(torch, dtype))
    arch = _architecture(name, model.config)
    writer = gguf.GGUFWriter(None, arch)
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(Path(name).resolve().name if Path(name).exists() else name)
    stored = cast("Tensor", model.get_input_embeddings().weight).dtype
    writer.add_file_type(gguf.LlamaFileType[_FILE_TYPES[stored]])
    _write_settings(writer, model.config)
    write_vocabulary(writer, load_tokenizer(name), model.config.vocab_size, end)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[arch.upper()], model.config.num_hidden_layers)
    for theirs, tensor in _tensors(model):
        ours = names.get_name(theirs, try_suffixes=(".weight", ".bias"))
        if ours is None:
            raise CheckpointError(f"{name}: llama.cpp's {arch} has no tensor for {theirs}")
        _add(writer, ours, _ordered(theirs, tensor, model.config), torch.float32 if tensor.ndim == 1 else stored)
    if (factors := _rope_factors(model)) is not None:
        _add(writer, "rope_freqs.weight", factors, torch.float32)
    _save(writer, path)


def write_adapter(folder: str, base: str, path: Path, *, opening: int | None = None) -> None:
    """Write the LoRA or activated LoRA of a folder, on the model `base`. Raises as `write_model` does.

    llama.cpp's server lets an activated adapter act from one token before its invocation. So of an invocation of
    several tokens the first is left out. One of a single token is replaced by `opening`, the token that begins every
    prompt: the adapter then acts on all that is not in the server's cache, and a request before
    (`EndpointConfig.prefill`) puts there what it must not act on.
    """
    gguf = _package()
    stored, config = read_adapter(folder), load_config(base)
    arch = _architecture(base, config)
    writer = gguf.GGUFWriter(None, arch)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    alpha = float(stored.config["lora_alpha"])
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
    if invoking := invocation(stored.config):
        invoking = invoking[1:] or (() if opening is None else (opening,))
        if not invoking:
            raise CheckpointError(f"{folder}: an activated adapter, and it is not known with which token prompts begin")
        key = gguf.Keys.Adapter.ALORA_INVOCATION_TOKENS
        writer.add_key_value(key, list(invoking), gguf.GGUFValueType.ARRAY, gguf.GGUFValueType.UINT32)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[arch.upper()], config.num_hidden_layers)
    for layer, (lora_a, lora_b) in stored.pairs.items():
        ours = names.get_name(f"{layer}.weight", try_suffixes=(".weight",))
        if ours is None or (layer == "lm_head" and config.tie_word_embeddings):
            raise CheckpointError(f"{folder}: llama.cpp's {arch} cannot have an adapter on {layer}")
        # llama.cpp knows one alpha and divides it by each layer's rank; all other scaling goes into B.
        rest = scaling(stored.config, layer, len(lora_a)) / (alpha / len(lora_a))
        _add(writer, f"{ours}.lora_a", lora_a, torch.float32)
        _add(writer, f"{ours}.lora_b", _ordered(f"{layer}.weight", lora_b, config) * rest, torch.float32)
    _save(writer, path)


# --- models -----------------------------------------------------------------------------------------------


def _package() -> Any:
    with explain_missing_extra("local", "writing GGUF files"):
        import gguf
    return gguf


def _architecture(name: str, config: Any) -> str:
    """llama.cpp's name of the architecture. Raises CheckpointError where it would compute something else."""
    kind = str(getattr(config, "model_type", None))
    if kind not in ARCHITECTURES:
        raise CheckpointError(
            f"{name}: models of type {kind!r} are not written as GGUF (known: {', '.join(ARCHITECTURES)}); "
            "use llama.cpp's own convert_hf_to_gguf.py"
        )
    windows = {kind for kind in getattr(config, "layer_types", None) or () if kind != "full_attention"}
    if windows or (kind == "mistral" and config.sliding_window is not None):
        raise CheckpointError(f"{name}: sliding-window attention is not what llama.cpp would compute for {kind}")
    if getattr(config, "hidden_act", "silu") != "silu":
        raise CheckpointError(f"{name}: llama.cpp computes silu where this model has {config.hidden_act}")
    if _rope(config).get("rope_type", "default") not in ("default", "llama3", "linear"):
        raise CheckpointError(f"{name}: RoPE of type {_rope(config)['rope_type']!r} is not written as GGUF")
    return ARCHITECTURES[kind]


def _rope(config: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", getattr(config, "rope_parameters", None) or {})


def _head_width(config: Any) -> int:
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def _write_settings(writer: Any, config: Any) -> None:
    width, rope = _head_width(config), _rope(config)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(float(rope.get("rope_theta", 10000.0)))
    writer.add_rope_dimension_count(width)
    writer.add_vocab_size(config.vocab_size)
    if rope.get("rope_type") == "linear":
        from gguf import RopeScalingType

        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(rope["factor"]))


def _rope_factors(model: PreTrainedModel) -> Tensor | None:
    """The divisor of each RoPE frequency, where RoPE is scaled as in Llama 3."""
    rope = _rope(model.config)
    if rope.get("rope_type") != "llama3":
        return None
    width = _head_width(model.config)
    plain = 1.0 / float(rope["rope_theta"]) ** (torch.arange(0, width, 2, dtype=torch.float32) / width)
    rotary = next(module for module in model.modules() if hasattr(module, "inv_freq"))
    return plain / cast("Tensor", rotary.inv_freq).float()


def _tensors(model: PreTrainedModel) -> Iterator[tuple[str, Tensor]]:
    """Tensors by name; an output tied to the embedding is left out, as llama.cpp expects."""
    tied = model.get_output_embeddings()
    shared = isinstance(tied, nn.Linear) and tied.weight is cast("nn.Embedding", model.get_input_embeddings()).weight
    for name, tensor in model.state_dict().items():
        if not (shared and name == "lm_head.weight"):
            yield name, tensor.detach()


def _ordered(name: str, tensor: Tensor, config: Any) -> Tensor:
    layer = name.rpartition(".")[0].rpartition(".")[2]
    if ARCHITECTURES[config.model_type] != "llama" or layer not in _ROTATED:
        return tensor
    return reorder(tensor, config.num_attention_heads if layer == "q_proj" else config.num_key_value_heads)


def _add(writer: Any, name: str, tensor: Tensor, dtype: torch.dtype) -> None:
    from gguf import GGMLQuantizationType, quantize

    if dtype == torch.bfloat16:
        kind = GGMLQuantizationType.BF16
        writer.add_tensor(name, quantize(tensor.float().numpy(), kind), raw_dtype=kind)
    else:
        writer.add_tensor(name, tensor.to(dtype).contiguous().numpy())


def _save(writer: Any, path: Path) -> None:
    """Write the file whole or not at all. Raises StorageError."""
    part = path.with_name(f".{path.name}.part")
    steps: list[Callable[[], object]] = [
        lambda: path.parent.mkdir(parents=True, exist_ok=True),
        lambda: writer.write_header_to_file(path=part),
        writer.write_kv_data_to_file,
        writer.write_tensors_to_file,
        writer.close,
        lambda: part.replace(path),
    ]
    try:
        for step in steps:
            step()
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StorageError(f"{path}: cannot be written: {error}") from error
