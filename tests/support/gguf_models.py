"""Tiny models of every architecture that is exported to GGUF."""

import json
from functools import cache

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

from alpha_umi.formats.load import builtin
from support.odd_texts import odd_texts
from support.tiny_models import tiny_tokenizer

SHARED = builtin("shared")
TOKENIZER = tiny_tokenizer(SHARED.special_tokens, end=SHARED.end)
SIZES = {
    "vocab_size": len(TOKENIZER) + 3,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
MODELS = {
    "llama": LlamaConfig(**SIZES, attention_bias=True),
    "llama 3": LlamaConfig(**SIZES, rope_parameters=LLAMA3, tie_word_embeddings=True),
    "mistral": MistralConfig(**SIZES, sliding_window=None),
    "qwen2": Qwen2Config(**SIZES),
    "qwen3": Qwen3Config(**SIZES),
}


def saved(config, folder, dtype=torch.float32):
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(config).to(dtype).eval()
    for parameter in model.parameters():
        if parameter.ndim == 1:  # norms of ones and biases of zeros would hide a mistake
            torch.nn.init.normal_(parameter, 1.0, 0.2)
    model.save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return model


def write_small(path, *, architecture="llama", metadata=None, tensors=None, without=(), quantised=None, rows=13):
    """Write a GGUF file of a one-layer model by gguf's own writer, with further or other metadata and tensors."""
    from gguf import GGUFValueType, GGUFWriter, quantize

    tokens = ["<|im_end|>", "<s>", *"abcdefgh", "ab", "Ġ", "Ċ"]
    known = {
        "block_count": 1, "context_length": 64, "embedding_length": 32, "feed_forward_length": 32,
        "attention.head_count": 2, "attention.layer_norm_rms_epsilon": 1e-5, "rope.dimension_count": 16,
    }  # fmt: skip
    facts = {f"{architecture}.{key}": value for key, value in known.items()} | {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3, 3] + [1] * (len(tokens) - 2),
        "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.eos_token_id": 0,
        "tokenizer.ggml.bos_token_id": 1,
        **(metadata or {}),
    }
    writer = GGUFWriter(path, architecture)
    kinds = {str: GGUFValueType.STRING, bool: GGUFValueType.BOOL, int: GGUFValueType.UINT32, list: GGUFValueType.ARRAY}
    for key, value in facts.items():
        if key not in without:
            writer.add_key_value(key, value, kinds.get(type(value), GGUFValueType.FLOAT32))
    square, draw = (32, 32), torch.Generator().manual_seed(0)
    shapes = {"token_embd.weight": (rows, 32), "output_norm.weight": (32,), "blk.0.attn_norm.weight": (32,)}
    shapes |= {"blk.0.ffn_norm.weight": (32,), **{f"blk.0.attn_{name}.weight": square for name in ("q", "k", "v")}}
    shapes |= {f"blk.0.{name}.weight": square for name in ("attn_output", "ffn_gate", "ffn_up", "ffn_down")}
    for name, shape in (shapes | (tensors or {})).items():
        if name not in without:
            values = torch.randn(shape, generator=draw).numpy()
            if quantised is not None and len(shape) > 1:
                writer.add_tensor(name, quantize(values, quantised), raw_dtype=quantised)
            else:
                writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_odd(path, pre):
    """Write a small model whose merges cross blanks, digits and marks, so that another cut gives other ids."""
    tokens, merges = odd_vocabulary()
    changes = {"tokenizer.ggml.pre": pre, "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.merges": merges}
    kinds = [3, 3] + [1] * (len(tokens) - 2)
    return write_small(path, metadata={**changes, "tokenizer.ggml.token_type": kinds}, rows=len(tokens))


@cache
def odd_vocabulary():
    model = Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=4000,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=["<|im_end|>", "<s>"],
        show_progress=False,
        max_token_length=12,
    )
    model.train_from_iterator(odd_texts(1500, seed=1) * 2, trainer)
    found = json.loads(model.to_str())["model"]
    tokens = sorted(found["vocab"], key=found["vocab"].__getitem__)
    return tokens, [" ".join(merge) for merge in found["merges"]]
