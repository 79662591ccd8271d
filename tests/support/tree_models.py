"""Tiny models of many architectures, and their losses and gradients one example at a time."""

import torch
from torch import nn
from torch.nn import functional
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from alpha_umi.training.attention import packed_trees_loss, tree_attention

VOCABULARY = 48


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


def tiny_model(kind, dtype=torch.float32, **changes):
    """A model in training mode whose norms have weights of their own; in float64 they are computed in it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(tiny_config(kind, **changes)).train().to(dtype)
        for name, parameter in model.named_parameters():
            if "norm" in name or name.endswith("bias"):
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
