"""Starting models: a tiny model drawn from a seed, or a checkpoint with a format's tokens added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch.nn import Parameter
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


def hold_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, tokens: Sequence[str]) -> int:
    """Add each of `tokens` to the tokenizer as a single one, and give the new ones the mean embedding.

    Returns how many were new. A model whose embeddings have rows to spare is not resized.
    """
    added = add_tokens(tokenizer, tokens)
    first = len(tokenizer) - added
    if len(tokenizer) > len(_tables(model)[0]):
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        for table in _tables(model) if added else []:
            table[first:] = table[:first].mean(dim=0)
    return added


def add_tokens(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[str]) -> int:
    """Add each of `tokens` to the tokenizer as a single one; returns the number of new ones."""
    return tokenizer.add_special_tokens(
        {"extra_special_tokens": [token for token in tokens if _pieces(tokenizer, token) > 1]},
        replace_extra_special_tokens=False,
    )


def cast_frozen(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """Cast frozen weights to `dtype`, in which they are computed; trained ones stay as they are."""
    for weight in model.parameters():
        if not weight.requires_grad:
            weight.data = weight.data.to(dtype)


def _tables(model: PreTrainedModel) -> list[Parameter]:
    """Weights of the input and the output embedding, [tokens, hidden] each."""
    modules = (model.get_input_embeddings(), model.get_output_embeddings())
    return [cast("Parameter", module.weight) for module in modules if module is not None]


def _pieces(tokenizer: PreTrainedTokenizerBase, token: str) -> int:
    return len(tokenizer.encode(token, add_special_tokens=False))
