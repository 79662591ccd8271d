"""Parameter counts of a model and the memory of one pass through it, found without its weights.

The memory of a pass is not a formula: the architecture's own code runs forward and backward on tensors that have
shapes and no contents, with one layer and with two, and every storage that comes to life is counted. What a layer
adds is the difference. Attention is taken to save what flash attention saves, which holds for all of ours but the
dense mask. Temporaries inside a kernel are not seen.
"""

from __future__ import annotations

import copy
import functools
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AttentionInterface, AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from alpha_umi.config import AdapterConfig, ModelConfig
from alpha_umi.errors import CheckpointError
from alpha_umi.models.checkpoint import load_config, quiet
from alpha_umi.models.gguf_reader import is_gguf
from alpha_umi.training.start import tiny_shape

_FEW_LAYERS = 1
_CAUSAL = "alpha_umi_causal"
"""An attention for which transformers makes no mask, as ours; without contents it would make one for sdpa."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Exact parameter counts and dimensions of a model."""

    parameters: int
    layer_parameters: int
    """Of one decoder layer; the largest, if they differ."""
    layers: int
    layer_matrices: int
    """Parameters of the linear layers inside all decoder layers."""
    head: int
    """Parameters of the projection to the vocabulary, counted where it is tied to the embeddings too."""
    attention_width: int
    """Heads times their size."""
    vocabulary: int

    @property
    def outer_parameters(self) -> int:
        """Number of parameters of embeddings, final norm and projection."""
        return self.parameters - self.layer_parameters * self.layers


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """Forward and backward pass on one device."""

    tokens: int
    losses: int
    """Positions that are projected to the vocabulary."""
    dtype: torch.dtype = torch.float32
    """Of the computation."""
    weights: torch.dtype = torch.float32
    """As the weights lie while they are in use; another than `dtype`: autocast makes copies."""
    checkpointed: bool = False
    """Gradient checkpointing: only the inputs of the layers are kept, all else is computed again."""
    rank: int = 0
    """Of all LoRA adapters that act on a token, together; 0: all weights are learned."""
    targets: Sequence[str] = ()


def read_architecture(model: ModelConfig) -> PreTrainedConfig:
    """Read the architecture without weights. Raises CheckpointError where there is none."""
    if model.tiny is not None:
        return tiny_shape(model.tiny, model.tiny.vocab_size)
    base = cast("str", model.base)
    if is_gguf(base):
        return load_config(base)
    try:
        with quiet():
            return AutoConfig.from_pretrained(base, trust_remote_code=model.trust_remote_code)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        if "trust_remote_code" in str(error):
            reason = "it is Python code, which is not run; read it, then set model.trust_remote_code = true"
        raise CheckpointError(f"{base}: no architecture (config.json) can be read: {reason}") from None


def read_shape(architecture: PreTrainedConfig) -> Shape:
    """Read exact counts from the architecture's own code, without weights."""
    with torch.device("meta"), quiet():
        model = AutoModelForCausalLM.from_config(architecture, trust_remote_code=False)
    layers = _layers(model)
    text = architecture.get_text_config()
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    head = cast("nn.Linear", model.get_output_embeddings())
    return Shape(
        parameters=sum(weight.numel() for weight in model.parameters()),
        layer_parameters=max(sum(weight.numel() for weight in layer.parameters()) for layer in layers),
        layers=len(layers),
        layer_matrices=sum(linear.weight.numel() for linear in _linears(layers)),
        head=head.weight.numel(),
        attention_width=size * text.num_attention_heads,
        vocabulary=head.out_features,
    )


def adapter_parameters(architecture: PreTrainedConfig, adapter: AdapterConfig) -> int:
    """Number of parameters of one LoRA adapter."""
    with torch.device("meta"), quiet():
        model = AutoModelForCausalLM.from_config(architecture, trust_remote_code=False)
    adapted = _linears(_layers(model), adapter.targets)
    return sum(adapter.rank * (linear.in_features + linear.out_features) for linear in adapted)


def pass_bytes(architecture: PreTrainedConfig, work: Pass, layers: int) -> int:
    """Peak memory of a pass in bytes, beside weights, their gradients and the optimizer."""
    model = _Architecture(architecture.to_json_string(use_diff=False), architecture)
    few, more = (_peak(model, work, count) for count in (_FEW_LAYERS, _FEW_LAYERS + 1))
    return max(0, few + (layers - _FEW_LAYERS) * (more - few))


# --- a pass without contents ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Architecture:
    """Architecture that equals every other one with the same values."""

    text: str
    config: PreTrainedConfig = field(compare=False)


@functools.lru_cache(maxsize=256)
def _peak(architecture: _Architecture, work: Pass, layers: int) -> int:
    shape = copy.deepcopy(architecture.config)
    shape.num_hidden_layers = layers
    if getattr(shape, "layer_types", None):
        shape.layer_types = shape.layer_types[:layers]
    with FakeTensorMode(allow_non_fake_inputs=True), quiet():
        AttentionInterface.register(_CAUSAL, _attend)
        model = AutoModelForCausalLM.from_config(
            shape, trust_remote_code=False, attn_implementation=_CAUSAL, dtype=work.weights
        )
        live = _Live()
        _prepare(model, work, live)
        with live, torch.autocast("cpu", work.dtype, enabled=work.dtype != work.weights):
            _forward_and_back(model, work)
    return live.peak


def _prepare(model: PreTrainedModel, work: Pass, live: _Live) -> None:
    """Allocate weights and gradients before the pass, so that they do not count as its own."""
    if work.rank:
        model.requires_grad_(requires_grad=False)
        for linear in _linears(_layers(model), work.targets):
            _adapt(linear, work.rank)
    if work.checkpointed:
        _checkpoint(model)
    model.train()
    for weight in model.parameters():
        live.ignore(weight)
        if weight.requires_grad:
            weight.grad = torch.zeros_like(weight)
            live.ignore(weight.grad)


def _checkpoint(model: PreTrainedModel) -> None:
    """Turn on gradient checkpointing, under the name that this version of transformers has for it."""
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    cast("Callable[[], None]", enable)()


def _adapt(linear: nn.Linear, rank: int) -> None:
    down = nn.Parameter(torch.empty(rank, linear.in_features))
    up = nn.Parameter(torch.empty(linear.out_features, rank))
    linear.register_parameter("lora_down", down)
    linear.register_parameter("lora_up", up)

    def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output + ((inputs[0].to(down.dtype) @ down.T) @ up.T).to(output.dtype)

    linear.register_forward_hook(add)


def _forward_and_back(model: PreTrainedModel, work: Pass) -> None:
    """Run forward and backward with a loss that keeps float32 logits and returns a buffer of their size."""
    ids = torch.zeros(1, work.tokens, dtype=torch.long)
    at = torch.zeros(work.losses, dtype=torch.long)
    logits = model(input_ids=ids, logits_to_keep=at, use_cache=False).logits.float()
    logits.backward(torch.empty_like(logits))


def _attend(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: object, **others: Any
) -> tuple[Tensor, None]:
    """Attention function with the signature of transformers: [1, heads, n, size] each in, [1, n, heads, size] out."""
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
    return seen.transpose(1, 2).contiguous(), None


class _Live(TorchDispatchMode):
    """Counter of the bytes of live storages made by operations."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._sizes: dict[int, int] = {}

    def ignore(self, tensor: Tensor) -> None:
        self._sizes[tensor.untyped_storage()._cdata] = 0  # noqa: SLF001

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._see(tensor.untyped_storage())
        return made

    def _see(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata  # noqa: SLF001
        if key not in self._sizes:
            self._sizes[key] = storage.nbytes()
            self.now += self._sizes[key]
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.now -= self._sizes.pop(key, 0)


# --- parts of a model -------------------------------------------------------------------------------------


def _layers(model: PreTrainedModel) -> list[nn.Module]:
    found = getattr(model.get_decoder(), "layers", None)
    if found is None:
        raise CheckpointError(f"{type(model).__name__}: has no decoder layers that can be counted")
    return list(cast("nn.ModuleList", found))


def _linears(layers: Sequence[nn.Module], names: Sequence[str] | None = None) -> Iterator[nn.Linear]:
    """Linear layers inside, or those of the given names."""
    for layer in layers:
        for name, module in layer.named_modules():
            if isinstance(module, nn.Linear) and (names is None or name.rpartition(".")[2] in names):
                yield module
