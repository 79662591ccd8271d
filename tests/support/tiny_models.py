"""Real models and tokenizers of a few thousand weights, for tests."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from alpha_umi.training.tokenizer import learn_tokenizer

TEXT = "the planner calls get_weather for Paris and 24 degrees are told to the user in one sentence"


def tiny_tokenizer(special_tokens: tuple[str, ...] = ("<|role|>",), end: str = "</s>") -> PreTrainedTokenizerFast:
    return learn_tokenizer([TEXT] * 4, vocab_size=340, special_tokens=special_tokens, end=end)


def tiny_llama(vocabulary: int, seed: int = 0, context: int = 256, hidden: int = 32) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    return LlamaForCausalLM(config).eval()
