"""Architectures whose attention this package computes exactly, in packed trees and in the engine.

Both put many texts in one row and attend with code of their own, so whatever else an architecture does along a row
would be silently lost. `unsupported_reason` names it; PROVEN lists what the tests have compared.
"""

from __future__ import annotations

from collections.abc import Iterator

from transformers import PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

PROVEN = (
    "apertus", "arcee", "cohere", "cohere2", "ernie4_5", "exaone4", "gemma", "gemma3_text", "glm", "glm4", "granite",
    "helium", "llama", "ministral3", "mistral", "mixtral", "olmo", "olmo2", "olmo3", "olmoe", "phi", "phi3", "qwen2",
    "qwen2_moe", "qwen3", "qwen3_moe", "seed_oss", "smollm3", "starcoder2",
)  # fmt: skip
"""Model types that the tests compare with transformers' own computation, in training and in the engine."""

_SEQUENCE_DEPENDENT_ROPE = ("dynamic", "longrope")


def unsupported_reason(config: PreTrainedConfig, length: int) -> str | None:
    """The reason why texts of up to `length` tokens cannot share a row; None: nothing is known to forbid it."""
    kind = config.model_type
    window, kinds = getattr(config, "sliding_window", None), getattr(config, "layer_types", None)
    other = sorted(set(kinds or ()) - {"full_attention", "sliding_attention"})
    if _is_recurrent(config):
        return f"{kind} is recurrent: a branch cannot go back to the state that its trunk left"
    if other:
        return f"{kind} has layers of {', '.join(other)}"
    if window is not None and window < length and (kinds is None or "sliding_attention" in kinds):
        return f"{kind} attends within a sliding window of {window} tokens, and texts may have {length}"
    if getattr(config, "attn_logit_softcapping", None) is not None:
        return f"{kind} caps its attention scores (attn_logit_softcapping)"
    if not getattr(config, "is_causal", True):
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
