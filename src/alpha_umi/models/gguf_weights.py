"""Models read from GGUF files: Llama, Qwen2 and Qwen3, dequantised into the engine's modules or transformers'.

Law: the logits are llama.cpp's. A file that sets anything which is not known here, or holds a tensor that the model has
no place for, is refused by name. Weights are made once: the model is built without any, and each is put in its place.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from alpha_umi.errors import CheckpointError, explain_missing_extra
from alpha_umi.models.base_sketch import QUANTIZED
from alpha_umi.models.engine.decoder import (
    KINDS,
    Attention,
    Decoder,
    DecoderConfig,
    FeedForward,
    Linear,
    rope_frequencies,
)
from alpha_umi.models.gguf_reader import GGUFFile, StoredTensor
from alpha_umi.models.gguf_tokenizer import end_tokens
from alpha_umi.models.packed_weights import PackedLayers, can_pack, pack

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

_Module = TypeVar("_Module", bound=nn.Module)
READABLE = KINDS
"""llama.cpp's names of the architectures that are read."""
_KNOWN_KEYS = frozenset(
    {
        "block_count", "context_length", "embedding_length", "feed_forward_length", "vocab_size",
        "attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.value_length",
        "attention.layer_norm_rms_epsilon", "rope.freq_base", "rope.dimension_count", "rope.scaling.type",
        "rope.scaling.factor", "rope.scaling.original_context_length", "expert_count", "expert_used_count",
    }
)  # fmt: skip
_FACTORS = "rope_freqs.weight"
_PLAIN = {0: "float32", 1: "float16", 30: "bfloat16"}
"""Types of tensors that are no quantization, by torch's names."""
_LARGEST = 2**31
_CONTEXTS = tuple(2**power for power in range(6, 18))


def read_model(file: GGUFFile, dtype: torch.dtype | str) -> PreTrainedModel:
    """Make transformers' model of a GGUF file, on the CPU. `dtype` "auto": as stored, bfloat16 for quantised weights.

    Raises CheckpointError for an architecture or a setting that is not known to be computed alike, ConfigError without
    the package gguf.
    """
    from transformers import GenerationConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    config = read_config(file)
    model: PreTrainedModel = _filled(
        file, lambda: cast("Any", MODEL_FOR_CAUSAL_LM_MAPPING)[type(config)](config), config, dtype
    )
    model.tie_weights()
    if quantised := _quantised(file):
        setattr(model.config, QUANTIZED, quantised)
    inner = cast("Any", model).model
    inner.rotary_emb = type(inner.rotary_emb)(config)  # its frequencies are computed from the configuration
    _check_whole(file, model)
    model.requires_grad_(requires_grad=True)
    ends = end_tokens(file)
    model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=ends[0] if ends else None)
    return model.eval()


def read_decoder(file: GGUFFile, dtype: torch.dtype) -> Decoder:
    """Make the model of a GGUF file for the engine alone, on the CPU. Raises CheckpointError as `read_model` does."""
    with _explained(file):
        settings = _read_settings(file)
        known = {field.name for field in fields(DecoderConfig)}
        config = DecoderConfig(
            model_type=file.architecture,
            **{name: value for name, value in settings.items() if name in known},
            dequantized_from=_quantised(file),
        )
    model = _filled(file, lambda: Decoder(config), config, dtype)
    model.tie()
    _check_whole(file, model)
    model.requires_grad_(requires_grad=False).eval()
    if can_pack(dtype):
        _pack_layers(file, model)
    return model


def _pack_layers(file: GGUFFile, model: Decoder) -> None:
    """Keep the linear layers as the file has them, too, for steps of few tokens."""
    names = {theirs: name for name, theirs in _places(file, model, model.config).items()}
    of = {module: f"{name}.weight" for name, module in model.named_modules()}

    def packed(*layers: Linear) -> PackedLayers | None:
        stored = [names.get(of[layer], "token_embd.weight") for layer in layers]
        planes = [
            pack(*_blocks(file, name), file.tensors[name].shape, _heads(file, name, model.config)) for name in stored
        ]
        whole = [each for each in planes if each is not None]
        if len(whole) < len(layers) or len({len(each) for each in whole}) > 1:
            return None
        return PackedLayers(layers, whole, rows_may_change=layers[0] is model.lm_head)

    for layer in model.model.layers:
        attention, inner = cast("Attention", layer.self_attn), cast("FeedForward", layer.mlp)
        attention.packed = packed(attention.q_proj, attention.k_proj, attention.v_proj)
        inner.packed = packed(inner.gate_proj, inner.up_proj)
        for single in (attention.o_proj, inner.down_proj):
            single.packed = packed(single)
    model.lm_head.packed = packed(model.lm_head)


def _filled(file: GGUFFile, make: Callable[[], _Module], config: Any, dtype: torch.dtype | str) -> _Module:
    """The model that `make` builds, with the weights of the file."""
    wanted = _stored_dtype(file) if isinstance(dtype, str) else dtype
    with _explained(file), torch.device("meta"):
        model = make()
        nn.Module.to(model, wanted)
    names = _places(file, model, config)
    # A thread per core, each without threads of torch's own, which would wait for each other on small pieces. torch
    # takes what a thread sets as the default of all threads that have not computed yet, this one perhaps among them.
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(initializer=torch.set_num_threads, initargs=(1,)) as pool:
            restored = pool.map(lambda name: _restored(file, name, wanted, config), names)
            weights = dict(zip(names.values(), restored, strict=True))
    finally:
        torch.set_num_threads(threads)
    try:
        model.load_state_dict(weights, assign=True, strict=False)
    except RuntimeError as error:
        raise CheckpointError(f"{file.path}: a broken GGUF file: {' '.join(str(error).split())}") from None
    return model


def read_config(file: GGUFFile) -> PreTrainedConfig:
    """Read the configuration of the model in a GGUF file. Raises CheckpointError as `read_model` does."""
    from transformers import LlamaConfig, Qwen2Config, Qwen3Config

    kinds: Mapping[str, Callable[..., PreTrainedConfig]] = {
        "llama": LlamaConfig, "qwen2": Qwen2Config, "qwen3": Qwen3Config
    }  # fmt: skip
    with _explained(file):
        settings = _read_settings(file)
        if file.architecture == "qwen2":
            del settings["head_dim"], settings["attention_bias"]
        return kinds[file.architecture](**settings)


@contextmanager
def _explained(file: GGUFFile) -> Iterator[None]:
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:  # transformers' configurations raise errors of many kinds for numbers that do not fit
        raise CheckpointError(f"{file.path}: a broken GGUF file: {' '.join(str(error).split())}") from None


# --- the architecture -------------------------------------------------------------------------------------


def _check_known(file: GGUFFile) -> None:
    """Raise CheckpointError for an architecture, or a setting of it, that is not read from GGUF."""
    arch, path = file.architecture, file.path
    if arch not in READABLE:
        raise CheckpointError(
            f"{path}: a model of architecture {arch!r}; GGUF files of {', '.join(READABLE)} are read. Serve it by "
            "llama.cpp's llama-server and name its address (--base-url), or take its Hugging Face folder"
        )
    own = {key.removeprefix(f"{arch}."): value for key, value in file.metadata.items() if key.startswith(f"{arch}.")}
    if unknown := sorted(set(own) - _KNOWN_KEYS):
        raise CheckpointError(
            f"{path}: this GGUF file sets {arch}.{unknown[0]}, which is not known here; serve it by llama.cpp's "
            "llama-server and name its address (--base-url)"
        )
    if own.get("expert_count"):
        raise CheckpointError(f"{path}: a mixture of {own['expert_count']} experts, which is not read from GGUF")


def _read_settings(file: GGUFFile) -> dict[str, Any]:
    """Settings of the model by transformers' names."""
    arch, path = file.architecture, file.path
    _check_known(file)

    def number(key: str, default: int | None = None) -> int:
        value = file.need(f"{arch}.{key}", int) if default is None else file.get(f"{arch}.{key}", int, default)
        if not 0 < value < _LARGEST:
            raise CheckpointError(f"{path}: a broken GGUF file: {arch}.{key} is {value}")
        return int(value)

    heads, hidden = number("attention.head_count"), number("embedding_length")
    width = number("attention.key_length", number("rope.dimension_count", max(hidden // heads, 1)))
    if number("block_count") > len(file.tensors):
        raise CheckpointError(
            f"{path}: a broken GGUF file: {number('block_count')} layers, {len(file.tensors)} tensors"
        )
    if number("rope.dimension_count", width) != width or number("attention.value_length", width) != width:
        raise CheckpointError(f"{path}: heads that are rotated in part, or whose keys and values differ in width")
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise CheckpointError(f"{path}: a broken GGUF file: no embedding (token_embd.weight)")
    settings: dict[str, Any] = {
        "vocab_size": embedding.shape[0],
        "hidden_size": hidden,
        "intermediate_size": number("feed_forward_length"),
        "num_hidden_layers": number("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": number("attention.head_count_kv", heads),
        "head_dim": width,
        "max_position_embeddings": number("context_length"),
        "rms_norm_eps": float(file.need(f"{arch}.attention.layer_norm_rms_epsilon", float)),
        "rope_parameters": _rope(file, width),
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "bos_token_id": file.get("tokenizer.ggml.bos_token_id", int),
        "eos_token_id": end_tokens(file),
    }
    if arch == "llama":
        settings["attention_bias"] = "blk.0.attn_q.bias" in file.tensors
        settings["mlp_bias"] = "blk.0.ffn_gate.bias" in file.tensors
    if heads % settings["num_key_value_heads"] or width % 2:
        told = f"{heads} heads of {width} on {settings['num_key_value_heads']} of keys"
        raise CheckpointError(f"{path}: a broken GGUF file: {told}")
    if arch == "qwen2":
        settings["attention_bias"] = True
        if width * heads != hidden:
            raise CheckpointError(f"{path}: heads of {width} x {heads} in a model of width {hidden}")
    return settings


def _rope(file: GGUFFile, width: int) -> dict[str, Any]:
    """RoPE as transformers describes it. Raises CheckpointError for a scaling that is not known to be the same."""
    arch = file.architecture
    base = float(file.get(f"{arch}.rope.freq_base", float, 10000.0))
    kind = file.get(f"{arch}.rope.scaling.type", str, "none")
    if kind not in ("none", "linear"):
        raise CheckpointError(f"{file.path}: RoPE scaled by {kind!r}, which is not read from GGUF")
    if _FACTORS in file.tensors:
        return _llama3_rope(file, base, width)
    if kind == "linear":
        factor = float(file.need(f"{arch}.rope.scaling.factor", float))
        return {"rope_type": "linear", "rope_theta": base, "factor": factor}
    return {"rope_type": "default", "rope_theta": base}


def _llama3_rope(file: GGUFFile, base: float, width: int) -> dict[str, Any]:
    """The parameters of Llama 3's scaling that give the factors in the file."""
    factors = _dequantised(file, _FACTORS)
    plain = 1.0 / base ** (torch.arange(0, width, 2, dtype=torch.float32) / width)
    for context in _CONTEXTS:
        rope = {
            "rope_type": "llama3",
            "rope_theta": base,
            "factor": float(factors.max()),
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": context,
        }
        scaled = rope_frequencies(rope, width)
        if factors.shape == scaled.shape and torch.allclose(plain / factors, scaled, rtol=1e-4):
            return rope
    raise CheckpointError(f"{file.path}: RoPE frequencies scaled in a way that is not Llama 3's ({_FACTORS})")


def _check_whole(file: GGUFFile, model: nn.Module) -> None:
    """Raise CheckpointError for a weight that the file has not."""
    everything = [*model.named_parameters(), *model.named_buffers()]
    missing = [name for name, tensor in everything if tensor.is_meta]
    if missing:
        raise CheckpointError(f"{file.path}: this GGUF file has no weights for {missing[0]}")


# --- tensors ----------------------------------------------------------------------------------------------


def _places(file: GGUFFile, model: nn.Module, config: Any) -> dict[str, str]:
    """The model's name of each tensor. Raises CheckpointError for a tensor that it has no place for."""
    with explain_missing_extra("local", "reading GGUF files"):
        from gguf.constants import MODEL_ARCH
        from gguf.tensor_mapping import get_tensor_name_map
    table = get_tensor_name_map(MODEL_ARCH[file.architecture.upper()], config.num_hidden_layers)
    theirs = {table.get_name(name, try_suffixes=(".weight", ".bias")): name for name in model.state_dict()}
    surplus = sorted(set(file.tensors) - set(theirs) - {_FACTORS})
    if surplus:
        raise CheckpointError(
            f"{file.path}: this GGUF file has a tensor {surplus[0]}, which {file.architecture} has not"
        )
    return {name: theirs[name] for name in file.tensors if name in theirs}


def _heads(file: GGUFFile, name: str, config: Any) -> int | None:
    """The heads of a tensor whose rows llama.cpp has in another order than transformers; None for the others."""
    if file.architecture != "llama" or not name.startswith("blk."):
        return None
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    return heads.get(name.split(".")[2])


def _restored(file: GGUFFile, name: str, dtype: torch.dtype, config: Any) -> Tensor:
    """A weight in transformers' order of rows."""
    weight = _dequantised(file, name)
    rotated = _heads(file, name, config)
    if rotated is not None:
        if weight.shape[0] % (2 * rotated):
            raise CheckpointError(f"{file.path}: a broken GGUF file: {name} has {weight.shape[0]} rows")
        pairs = weight.reshape(rotated, weight.shape[0] // rotated // 2, 2, *weight.shape[1:])
        weight = pairs.swapaxes(1, 2).reshape(weight.shape)
    return weight.to(dtype)


def _quantised(file: GGUFFile) -> str | None:
    """The quantisation of most matrices; None where none is quantised."""
    from gguf.constants import GGMLQuantizationType

    kinds = [tensor.kind for tensor in file.tensors.values() if len(tensor.shape) > 1 and tensor.kind not in _PLAIN]
    return GGMLQuantizationType(max(kinds, key=kinds.count)).name if kinds else None


def _stored_dtype(file: GGUFFile) -> torch.dtype:
    kinds = {tensor.kind for tensor in file.tensors.values() if len(tensor.shape) > 1}
    plain = [getattr(torch, _PLAIN[kind]) for kind in kinds if kind in _PLAIN]
    return plain[0] if len(kinds) == 1 and plain else torch.bfloat16


def _dequantised(file: GGUFFile, name: str) -> Tensor:
    """A tensor's values in float32. Raises CheckpointError for a type that is not known, or where the file ends."""
    kind, raw = _blocks(file, name)
    tensor = file.tensors[name]
    if (unpack := _FAST.get(kind)) is not None:
        return _unpacked(raw, tensor, unpack)
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import dequantize

    try:
        values = dequantize(raw.reshape(*tensor.shape[:-1], -1), GGMLQuantizationType[kind])
        return torch.from_numpy(values.copy()).reshape(tensor.shape)
    except (ValueError, KeyError, NotImplementedError) as error:
        raise CheckpointError(f"{file.path}: the tensor {name} cannot be read: {error}") from None


def _blocks(file: GGUFFile, name: str) -> tuple[str, np.ndarray]:
    """The kind of a tensor and its stored blocks, [blocks, bytes]. Raises CheckpointError as `_dequantised` does."""
    with explain_missing_extra("local", "reading GGUF files"):
        from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
    tensor = file.tensors[name]
    try:
        kind = GGMLQuantizationType(tensor.kind)
        block, size = GGML_QUANT_SIZES[kind]
        if not tensor.shape or tensor.shape[-1] % block or tensor.elements <= 0:
            raise ValueError(f"rows of {tensor.shape}, which are not multiples of {block}")
        if tensor.start + tensor.elements // block * size > len(file.content):
            raise ValueError("the file ends before it does")
    except (ValueError, KeyError) as error:
        raise CheckpointError(f"{file.path}: the tensor {name} cannot be read: {error}") from None
    raw = np.frombuffer(file.content, np.uint8, tensor.elements // block * size, tensor.start)
    return kind.name, raw.reshape(-1, size)


def _unpacked(raw: np.ndarray, tensor: StoredTensor, unpack: Callable[[Tensor, Tensor], object]) -> Tensor:
    """Values of quantised blocks, made in their place, some thousand blocks at a time: those stay in the cache."""
    out = torch.empty(len(raw), _BLOCK)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch warns of memory that cannot be written; it is only read
        blocks = torch.from_numpy(raw if tensor.start % 2 == 0 else raw.copy())  # halves lie at even bytes
    for first in range(0, len(raw), _AT_ONCE):
        unpack(blocks[first : first + _AT_ONCE], out[first : first + _AT_ONCE])
    return out.reshape(tensor.shape)


def _half(blocks: Tensor, index: int) -> Tensor:
    """A float16 of each block, [blocks, 1]."""
    return blocks.view(torch.float16)[:, index : index + 1].float()


def _nibbles(packed: Tensor, out: Tensor) -> Tensor:
    """Values of 4 bits into `out`, [blocks, 32]: the low ones first."""
    values = packed.new_empty(len(packed), 2, 16)
    torch.bitwise_and(packed, 15, out=values[:, 0])
    torch.bitwise_right_shift(packed, 4, out=values[:, 1])
    return out.copy_(values.view(-1, 32))


def _q4_0(blocks: Tensor, out: Tensor) -> None:
    _nibbles(blocks[:, 2:], out).sub_(8).mul_(_half(blocks, 0))


def _q4_1(blocks: Tensor, out: Tensor) -> None:
    _nibbles(blocks[:, 4:], out).mul_(_half(blocks, 0)).add_(_half(blocks, 1))


def _q8_0(blocks: Tensor, out: Tensor) -> None:
    out.copy_(blocks[:, 2:].view(torch.int8)).mul_(_half(blocks, 0))


_BLOCK, _AT_ONCE = 32, 4096
_FAST: Mapping[str, Callable[[Tensor, Tensor], object]] = {"Q4_0": _q4_0, "Q4_1": _q4_1, "Q8_0": _q8_0}
"""The types of small files, many times as fast as gguf's own; the others are read by gguf."""
