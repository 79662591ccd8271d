"""Llama, Qwen2 and Qwen3 for the engine alone, in plain torch, since importing transformers takes seconds.

Laws: the operations are transformers' own in their order, so logits are the same bits; names of weights are too, so
that adapters, fingerprints and checkpoints are. Without a batch of the engine nothing here runs, and nothing trains.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from alpha_umi.models.engine.attention import AttentionBatch, AttentionInputs
from alpha_umi.models.mask_rules import CAUSAL
from alpha_umi.models.packed_weights import PackedLayers

KINDS = ("llama", "qwen2", "qwen3")
"""Model types that are computed here."""
ROPE_TYPES = ("default", "linear", "llama3")


@dataclass(slots=True, kw_only=True)
class DecoderConfig:
    """Settings of a decoder, by transformers' names."""

    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    rms_norm_eps: float
    rope_parameters: Mapping[str, Any]
    tie_word_embeddings: bool
    attention_bias: bool = False
    """Biases of the projections to queries, keys and values, and of that of their output but in Qwen2."""
    mlp_bias: bool = False
    eos_token_id: int | list[int] | None = None
    dequantized_from: str | None = None
    """Quantization that the weights were stored in."""

    @property
    def layer_types(self) -> tuple[str, ...]:
        """Every layer attends to all tokens before."""
        return ("full_attention",) * self.num_hidden_layers


class Linear(nn.Linear):
    """Linear layer whose weights are read and never drawn: that takes time, and on no device imports half of torch."""

    packed: PackedLayers | None = None
    """Smaller copy of the weights, which is faster for few tokens."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Outputs, [..., out], of [..., in]."""
        out = None if self.packed is None else self.packed.product(input)
        if out is None:
            return functional.linear(input, self.weight, self.bias)
        return out if self.bias is None else out.add_(self.bias)

    def reset_parameters(self) -> None:
        """Leave the weights as they are."""


class Embedding(nn.Embedding):
    """Embedding whose weights are read and never drawn."""

    def reset_parameters(self) -> None:
        """Leave the weights as they are."""


class RMSNorm(nn.Module):
    """Root mean square norm, in float32."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.eps = eps

    def forward(self, hidden: Tensor) -> Tensor:
        """Scale each row, [..., width]."""
        wide = functional.rms_norm(hidden.to(torch.float32), self.weight.shape, eps=self.eps)
        return self.weight * wide.to(hidden.dtype)


class Attention(nn.Module):
    """Attention of one layer, which the batch computes over its cache."""

    packed: PackedLayers | None = None
    """Smaller copy of the projections to queries, keys and values."""

    def __init__(self, config: DecoderConfig, index: int) -> None:
        super().__init__()
        size, bias = config.head_dim, config.attention_bias
        queries, keys = config.num_attention_heads * size, config.num_key_value_heads * size
        self.layer_idx, self.size = index, size
        self.q_proj = Linear(config.hidden_size, queries, bias=bias)
        self.k_proj = Linear(config.hidden_size, keys, bias=bias)
        self.v_proj = Linear(config.hidden_size, keys, bias=bias)
        self.o_proj = Linear(queries, config.hidden_size, bias=bias and config.model_type != "qwen2")
        self.has_norms = config.model_type == "qwen3"
        if self.has_norms:
            self.q_norm = RMSNorm(size, config.rms_norm_eps)
            self.k_norm = RMSNorm(size, config.rms_norm_eps)

    def forward(self, hidden: Tensor, rotation: tuple[Tensor, Tensor], batch: AttentionBatch) -> Tensor:
        """Output for every token, [1, tokens, hidden]."""
        shape = (*hidden.shape[:-1], -1, self.size)
        found = None if self.packed is None else self.packed.outputs(hidden)
        if found is None:
            found = self.q_proj(hidden), self.k_proj(hidden), self.v_proj(hidden)
        query, key, value = (each.view(shape) for each in found)
        if self.has_norms:
            query, key = self.q_norm(query), self.k_norm(key)
        query, key = _rotated(query.transpose(1, 2), rotation), _rotated(key.transpose(1, 2), rotation)
        inputs = AttentionInputs(
            query=query, key=key, value=value.transpose(1, 2), rule=CAUSAL, scaling=self.size**-0.5
        )
        out = batch.attend(self.layer_idx, inputs)
        return self.o_proj(out.reshape(*hidden.shape[:-1], -1).contiguous())


class FeedForward(nn.Module):
    """Gated feed-forward layer (SwiGLU)."""

    packed: PackedLayers | None = None
    """Smaller copy of the two projections to the inner width."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.gate_proj = Linear(config.hidden_size, config.intermediate_size, bias=config.mlp_bias)
        self.up_proj = Linear(config.hidden_size, config.intermediate_size, bias=config.mlp_bias)
        self.down_proj = Linear(config.intermediate_size, config.hidden_size, bias=config.mlp_bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Output for every token, [1, tokens, hidden]."""
        found = None if self.packed is None else self.packed.outputs(hidden)
        gate, up = (self.gate_proj(hidden), self.up_proj(hidden)) if found is None else found
        return self.down_proj(functional.silu(gate) * up)


class Layer(nn.Module):
    """Attention and feed-forward, each behind a norm and beside a residual."""

    def __init__(self, config: DecoderConfig, index: int) -> None:
        super().__init__()
        self.self_attn = Attention(config, index)
        self.mlp = FeedForward(config)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, hidden: Tensor, rotation: tuple[Tensor, Tensor], batch: AttentionBatch) -> Tensor:
        """Hidden states for the next layer, [1, tokens, hidden]."""
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), rotation, batch)
        return hidden + self.mlp(self.post_attention_layernorm(hidden))


class Stack(nn.Module):
    """Embedding, layers and last norm."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.embed_tokens = Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config, index) for index in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)


@dataclass(frozen=True, slots=True)
class Logits:
    """Output of a forward."""

    logits: Tensor
    """[1, rows, vocabulary]"""


class Decoder(nn.Module):
    """Causal language model whose attention is the engine's.

    It is used as a transformers.PreTrainedModel where models are run: what is used of that is here.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Stack(config)
        self.lm_head = Linear(config.hidden_size, config.vocab_size, bias=False)
        self._turns: Tensor | None = None
        self.tie()

    def tie(self) -> None:
        """Make the projection to the vocabulary the embedding, where the settings say so."""
        if self.config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    @property
    def generation_config(self) -> DecoderConfig:
        """Settings that name the tokens that end a completion."""
        return self.config

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.model.embed_tokens.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return self.model.embed_tokens.weight.dtype

    def get_input_embeddings(self) -> nn.Embedding:
        """The embedding."""
        return self.model.embed_tokens

    def get_output_embeddings(self) -> nn.Linear:
        """The projection to the vocabulary."""
        return self.lm_head

    @torch.no_grad()
    def resize_token_embeddings(self, rows: int, *, mean_resizing: bool = False) -> None:
        """Give both tables `rows` rows; new ones are zero. `mean_resizing`: False, as transformers has it."""
        if mean_resizing:
            raise ValueError("new rows are zero here")
        for table in (self.model.embed_tokens, *([] if self.config.tie_word_embeddings else [self.lm_head])):
            old = cast("Tensor", table.weight)
            kept = min(rows, len(old))
            new = old.new_zeros(rows, old.shape[1])
            new[:kept] = old[:kept]
            table.weight = nn.Parameter(new)
        self.config.vocab_size = self.model.embed_tokens.num_embeddings = self.lm_head.out_features = rows
        self.tie()

    def forward(
        self,
        *,
        input_ids: Tensor,
        position_ids: Tensor,
        forward_batch: AttentionBatch,
        logits_to_keep: Tensor | None = None,
        **_: object,
    ) -> Logits:
        """Logits of the rows `logits_to_keep`, or of all. `input_ids`, `position_ids`: [1, tokens]."""
        hidden = self.model.embed_tokens(input_ids)
        rotation = self._rotation(position_ids, hidden.dtype)
        for layer in self.model.layers:
            hidden = layer(hidden, rotation, forward_batch)
        hidden = self.model.norm(hidden)
        return Logits(self.lm_head(hidden if logits_to_keep is None else hidden[:, logits_to_keep, :]))

    def _rotation(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosines and sines of the rotary embedding, [1, 1, tokens, size]."""
        if self._turns is None or self._turns.device != positions.device:
            self._turns = rope_frequencies(self.config.rope_parameters, self.config.head_dim).to(positions.device)
        angles = positions[..., None].float() * self._turns
        angles = torch.cat((angles, angles), dim=-1)[:, None]
        return angles.cos().to(dtype), angles.sin().to(dtype)


def _rotated(states: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Queries or keys, [1, heads, tokens, size], turned by their positions."""
    first, second = states[..., : states.shape[-1] // 2], states[..., states.shape[-1] // 2 :]
    return states * rotation[0] + torch.cat((-second, first), dim=-1) * rotation[1]


def rope_frequencies(rope: Mapping[str, Any], size: int) -> Tensor:
    """Angle per position of each pair of a head of `size`, [size / 2]. Raises ValueError for an unknown type.

    `rope`: transformers' rope_parameters. Type `llama3` stretches long wavelengths (Llama 3.1).
    """
    turns = 1.0 / (float(rope["rope_theta"]) ** (torch.arange(0, size, 2, dtype=torch.int64).float() / size))
    match rope.get("rope_type", "default"):
        case "default":
            return turns
        case "linear":
            return turns / rope["factor"]
        case "llama3":
            return _stretched(turns, rope)
        case other:
            raise ValueError(f"RoPE of type {other!r}")


def _stretched(turns: Tensor, rope: Mapping[str, Any]) -> Tensor:
    factor, low, high = rope["factor"], rope["low_freq_factor"], rope["high_freq_factor"]
    context = rope["original_max_position_embeddings"]
    waves = 2 * math.pi / turns
    outer = torch.where(waves > context / low, turns / factor, turns)
    part = (context / waves - low) / (high - low)
    between = (1 - part) * outer / factor + part * outer
    is_between = ~(waves < context / high) * ~(waves > context / low)
    return torch.where(is_between, between, outer)
