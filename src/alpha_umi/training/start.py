"""Starting models: a tiny model drawn from a seed, and the dtype of weights that are not trained."""

from __future__ import annotations

from typing import cast

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from alpha_umi.config import TinyConfig


def tiny_model(config: TinyConfig, tokenizer: PreTrainedTokenizerBase, seed: int) -> PreTrainedModel:
    """Make a tiny Llama; its weights are a function of (config, size of the tokenizer, seed)."""
    shape = tiny_shape(config, len(tokenizer))
    shape.bos_token_id = cast("int | None", tokenizer.bos_token_id)
    shape.eos_token_id = cast("int | None", tokenizer.eos_token_id)
    shape.pad_token_id = cast("int | None", tokenizer.pad_token_id)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(shape)


def tiny_shape(config: TinyConfig, vocabulary: int) -> LlamaConfig:
    """Architecture of a tiny model for a tokenizer of a given size."""
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size or 3 * config.hidden_size,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads or config.heads,
        max_position_embeddings=config.max_position,
        tie_word_embeddings=True,
    )


def cast_frozen(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """Cast frozen weights to `dtype`, in which they are computed; trained ones stay as they are."""
    for weight in model.parameters():
        if not weight.requires_grad:
            weight.data = weight.data.to(dtype)
