"""Architectures whose attention this package computes exactly, in packed trees and in the engine.

Both put many texts in one row and attend with code of their own, so whatever else an architecture does along a row
would be silently lost. `unsupported_reason` names it; PROVEN lists what the tests have compared, windows, softcaps and
sinks included.
"""

from __future__ import annotations

from collections.abc import Iterator

from transformers import PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

PROVEN = (
    "afmoe", "apertus", "apertus1p5_text", "arcee", "aria_text", "axk1", "beam", "biogpt", "bitnet", "codegen",
    "cohere", "cohere2", "cohere2_moe", "cwm", "deepseek_v2", "deepseek_v3", "dots1", "ernie4_5", "ernie4_5_moe",
    "exaone", "exaone4", "exaone_moe", "flex_olmo", "flint", "gemma", "gemma2", "gemma3_text", "gemma3n_text",
    "gemma4_text", "gemma4_unified_text", "glm", "glm4", "glm4_moe", "glm4_moe_lite", "gpt2", "gpt_bigcode",
    "gpt_neox", "gpt_oss", "gptj", "granite", "granite_swa", "granitemoe", "granitemoe_swa", "granitemoehybrid",
    "granitemoeshared", "helium", "hunyuan_v1_dense", "hunyuan_v1_moe", "hy_v3", "hyperclovax", "internlm3",
    "iquestcoder", "jais2", "jetmoe", "kolibri1", "laguna", "lfm2", "lfm2_moe", "llama", "longcat_flash", "mellum",
    "mimo_v2_flash", "minicpm3", "minimax_m2", "minimax_m3_vl_text", "ministral", "ministral3", "mistral",
    "mixtral", "modernbert-decoder", "nanochat", "olmo", "olmo2", "olmo3", "olmoe", "opt", "persimmon", "phi",
    "phi3", "phimoe", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "sarvam_mla", "sarvam_moe", "seed_oss", "smollm3",
    "solar_open", "starcoder2", "vaultgemma", "youtu",
)  # fmt: skip
"""Model types that the tests compare with transformers' own computation, in training and in the engine."""

_LAYERS = {"attention", "full_attention", "sliding_attention", "chunked_attention"}
_SEQUENCE_DEPENDENT_ROPE = ("dynamic", "longrope")


def unsupported_reason(config: PreTrainedConfig, length: int) -> str | None:
    """The reason why texts of up to `length` tokens cannot share a row; None: nothing is known to forbid it."""
    kind = config.model_type
    other = sorted(set(getattr(config, "layer_types", None) or ()) - _LAYERS)
    if _is_recurrent(config) and (other or not getattr(config, "layer_types", None)):
        return f"{kind} is recurrent: a branch cannot go back to the state that its trunk left"
    if other:
        return f"{kind} has layers of {', '.join(other)}"
    if getattr(config, "attn_temperature_tuning", False):
        return f"{kind} scales its queries by their place in the row (attn_temperature_tuning)"
    if not getattr(config, "is_causal", True) or getattr(config, "use_bidirectional_attention", None) in (True, "all"):
        return f"{kind} is set to attend in both directions"
    for rope, limit in _ropes(config):
        if rope in _SEQUENCE_DEPENDENT_ROPE and limit < length:
            return f"{kind} turns positions by the length of the row ({rope} beyond {limit} tokens)"
    return None


def _is_recurrent(config: PreTrainedConfig) -> bool:
    try:
        classes = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    except KeyError:
        return False
    return bool(getattr(classes, "_is_stateful", False))


def _ropes(config: PreTrainedConfig) -> Iterator[tuple[str, int]]:
    """Types of rotary embeddings, each with the length from which it depends on the row."""
    parameters = getattr(config, "rope_parameters", None) or {}
    nested = [each for each in parameters.values() if isinstance(each, dict)]
    for each in nested or [parameters]:
        original = each.get("original_max_position_embeddings") or getattr(config, "max_position_embeddings", 0)
        yield each.get("rope_type", "default"), original
