"""Tiny models of every architecture that is exported to GGUF."""

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

from alpha_umi.formats.load import builtin
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
