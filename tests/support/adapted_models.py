"""Tiny models with adapters that have learned something, and PEFT beside them, for tests."""

import copy

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

from alpha_umi.models.adapters import (
    ADAPTERS,
    AdapterKind,
    AdapterSettings,
    active_from,
    attach,
)
from alpha_umi.types import Role

THREE = (Role.PLANNER, Role.CALLER, Role.SUMMARIZER)
WAKING = {Role.PLANNER: (7,), Role.CALLER: (8, 9), Role.SUMMARIZER: (10,)}
VOCABULARY = 64
CONFIGS = {"llama": LlamaConfig, "qwen2": Qwen2Config, "qwen3": Qwen3Config}


def tiny(kind="llama", *, tied=False, seed=0, vocabulary=VOCABULARY):
    torch.manual_seed(seed)
    config = CONFIGS[kind](
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=256,
        initializer_range=0.2,
        tie_word_embeddings=tied,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    return AutoModelForCausalLM.from_config(config).eval()


def adapter_settings(kind=AdapterKind.LORA, **changes):
    return AdapterSettings(**({"kind": kind, "rank": 4, "alpha": 8.0} | changes))


def with_adapters(model, settings, roles=THREE, seed=1):
    """Adapters that have learned something: B is no longer zero."""
    adapters = attach(model, settings, roles, invocations=WAKING, seed=seed)
    torch.manual_seed(seed)
    with torch.no_grad():
        for role in roles:
            for name, weight in adapters.parameters(role).items():
                if name.endswith("lora_B"):
                    weight.normal_(std=0.3)
    return adapters


def example(role, seed, length=12):
    """A prompt that ends with the tokens that wake `role`, a completion, and where the completion begins."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(11, VOCABULARY, (length + 5,), generator=generator).tolist()
    prompt = [*words[:4], *WAKING[role], *words[4:length], *WAKING[role]]
    return [*prompt, *words[length:]], len(prompt)


def numbers(role, kind, ids):
    start = active_from(ids, WAKING[role] if kind is AdapterKind.ALORA else ())
    return [0] * start + [ADAPTERS[role]] * (len(ids) - start)


def logits(model, ids, **more):
    return model(input_ids=torch.tensor([ids]), use_cache=False, **more).logits[0]


def under_peft(model, folder, ids):
    tuned = PeftModel.from_pretrained(copy.deepcopy(model), folder).eval()
    return tuned(input_ids=torch.tensor([ids])).logits[0]
