"""Tiny models of many architectures, and their losses and gradients one example at a time."""

import torch
from torch import nn
from torch.nn import functional
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from alpha_umi.training.attention import packed_trees_loss, tree_attention

VOCABULARY = 48


WINDOW = 8
_WHERE_KNOWN = {
    "sliding_window": WINDOW,
    "use_sliding_window": True,
    "max_window_layers": 0,
    "attention_chunk_size": WINDOW,
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 8,
    "n_routed_experts": 4,
    "num_local_experts": 4,
    "topk_group": 1,
    "n_group": 1,
    "first_k_dense_replace": 1,
    "num_dense_layers": 1,
    "n_shared_experts": 1,
    "ffn_hidden_size": 48,
    "rotary_dim": 4,
    "attn_pdrop": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "vocab_size_per_layer_input": VOCABULARY,
    "hidden_size_per_layer_input": 0,
    "num_kv_shared_layers": 0,
}
"""Sizes for configurations that have them; windows and chunks are much shorter than the texts of tests."""
_DELTA_NET = {
    "layer_types": ["linear_attention", "full_attention"], "linear_num_key_heads": 2, "linear_num_value_heads": 4,
    "linear_key_head_dim": 8, "linear_value_head_dim": 8,
}  # fmt: skip
_MAMBA = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_chunk_size": 16}
MAMBA_LAYERS = _MAMBA | {"layer_types": ["linear_attention", "full_attention"]}
_OF_A_FAMILY = {
    "bamba": _MAMBA | {"attn_layer_indices": [1]},
    "kimi_linear": {
        "layer_types": ["linear_attention", "full_attention"],
        "linear_attn_config": {
            "head_dim": 8,
            "num_heads": 4,
            "short_conv_kernel_size": 4,
            "kda_layers": [1],
            "full_attn_layers": [2],
        },
    },
    "lfm3": {"layer_types": ["conv", "sliding_attention", "full_attention"], "num_hidden_layers": 3},
    "mamba2": {"num_heads": 4, "head_dim": 16, "state_size": 8, "n_groups": 1, "chunk_size": 16},
    "nemotron_h": {
        "mamba_num_heads": 4,
        "mamba_head_dim": 16,
        "ssm_state_size": 8,
        "n_groups": 1,
        "chunk_size": 16,
        "layer_types": ["linear_attention", "mlp", "full_attention", "moe"],
        "num_hidden_layers": 4,
    },
    "olmo_hybrid": _DELTA_NET,
    "qwen3_5_moe_text": _DELTA_NET,
    "qwen3_5_text": _DELTA_NET,
    "qwen3_next": _DELTA_NET,
    "axk1": {"head_dim": 4, "num_key_value_heads": 4},
    "cwm": {"bos_token_id": 1},
    "deepseek_v3": {"head_dim": 4, "num_key_value_heads": 4},
    "gemma3n_text": {"hidden_size_per_layer_input": 8, "activation_sparsity_pattern": [0.0, 0.0], "laurel_rank": 4},
    "glm4_moe_lite": {"head_dim": 4, "num_key_value_heads": 4},
    "granitemoehybrid": {"layer_types": ["attention"] * 2, "mamba_n_heads": 4},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "longcat_flash": {"head_dim": 4, "num_key_value_heads": 4},
    "modernbert-decoder": dict.fromkeys([f"{name}_token_id" for name in ("bos", "eos", "pad", "cls", "sep")], 0),
    "youtu": {"head_dim": 4, "num_key_value_heads": 4},
}


_BOTH = ["sliding_attention", "full_attention"]
_SHARED_KEYS = {"num_hidden_layers": 4, "num_kv_shared_layers": 2, "layer_types": _BOTH * 2}
PARTICULARS = [
    ("mistral", {}),
    ("qwen2", {"layer_types": _BOTH}),
    ("gemma2", {"attn_logit_softcapping": 2.0}),
    ("gemma3_text", {}),
    ("gemma3n_text", _SHARED_KEYS | {"activation_sparsity_pattern": [0.5, 0.0, 0.0, 0.0]}),
    ("gemma4_text", _SHARED_KEYS | {"hidden_size_per_layer_input": 8}),
    ("gemma4_text", {"attention_k_eq_v": True, "num_global_key_value_heads": 1, "global_head_dim": 16}),
    ("gpt_oss", {}),
    ("lfm2", {"layer_types": ["conv", "full_attention", "conv"], "num_hidden_layers": 3}),
    ("deepseek_v3", {"q_lora_rank": None}),
    ("granitemoehybrid", {"position_embedding_type": "nope", "num_local_experts": 0}),
    ("ministral3", {"rope_parameters": {
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8, "rope_theta": 1e4,
        "llama_4_scaling_beta": 0.1,
    }}),
]  # fmt: skip
"""Families with what sets them apart from a Llama: windows, softcaps, sinks, convolutions, shared or differing keys and
values."""


def family_config(kind, **changes):
    """A tiny configuration with all that is particular to a family, and a layer of each kind that it has by default."""
    usual = CONFIG_MAPPING[kind]()
    kinds = set(getattr(usual, "layer_types", None) or ())
    particular = {name: size for name, size in _WHERE_KNOWN.items() if hasattr(usual, name)}
    if kinds == {"sliding_attention", "full_attention"}:
        particular["layer_types"] = ["sliding_attention", "full_attention"]
    elif kinds == {"chunked_attention", "full_attention"}:
        particular["layer_types"] = ["chunked_attention", "full_attention"]
    return tiny_config(kind, **(particular | _OF_A_FAMILY.get(kind, {}) | changes))


def tiny_config(kind, **changes):
    shape = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 4096,
        "initializer_range": 0.1,
        "attention_dropout": 0.0,
        "bos_token_id": None,
        "experts_implementation": "eager",  # the only one in float64
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 16,
        "eos_token_id": None,
        "pad_token_id": None,
    }
    return CONFIG_MAPPING[kind](**(shape | changes))


def tiny_model(kind, dtype=torch.float32, config=None, **changes):
    """A model in training mode whose norms have weights of their own; in float64 they are computed in it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config or tiny_config(kind, **changes)).train().to(dtype)
        for name, parameter in model.named_parameters():
            if "norm" in name or name.endswith(("bias", "sinks")):
                nn.init.normal_(parameter, mean=1.0 if "norm" in name else 0.0, std=0.2)
    if dtype == torch.float64:
        for parent in list(model.modules()):
            for name, child in list(parent.named_children()):
                if type(child).__name__ in ("LlamaRMSNorm", "MistralRMSNorm", "Qwen2RMSNorm", "Qwen3RMSNorm"):
                    setattr(parent, name, WideRMSNorm(child))
    return model


class WideRMSNorm(nn.Module):
    """The root mean square norm of transformers, without its step down to float32."""

    def __init__(self, norm):
        super().__init__()
        self.weight, self.epsilon = norm.weight, norm.variance_epsilon

    def forward(self, hidden):
        return self.weight * hidden * torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + self.epsilon)


def take_gradients(model):
    found = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def one_by_one(model, examples):
    """The loss and the gradients of plain rows of one example each, by transformers' own attention."""
    total = 0.0
    for example in examples:
        ids = torch.tensor([example.ids])
        logits = model(input_ids=ids, use_cache=False).logits[0, :-1]
        weights = torch.tensor(example.weights[1:], dtype=logits.dtype)
        loss = (functional.cross_entropy(logits, ids[0, 1:], reduction="none") * weights).sum()
        loss.backward()
        total += loss.item()
    return total, take_gradients(model)


def on_trees(model, forests):
    """The same by `packed_trees_loss`; also the sum of the weights."""
    total, weights = 0.0, 0.0
    with tree_attention(model):
        for forest in forests:
            loss, weight = packed_trees_loss(model, forest)
            loss.backward()
            total, weights = total + loss.item(), weights + weight
    return total, take_gradients(model), weights


def difference(left, right):
    """The largest L2 distance of a parameter's gradients, relative to it; below the average norm, to that.

    Gradients may be nothing but rounding: of attention's weights, say, where all tokens are equal.
    """
    assert left.keys() == right.keys()
    average = torch.stack([gradient.norm() for gradient in right.values()]).square().mean().sqrt()
    return max(((left[name] - right[name]).norm() / right[name].norm().clamp_min(average)).item() for name in right)
