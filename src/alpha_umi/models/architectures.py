"""Architectures whose attention this package computes exactly, in packed trees and in the engine.

Both put many texts in one row and attend with code of their own, so whatever else an architecture does along a row
would be silently lost. `unsupported_reason` names it; PROVEN lists what the tests have compared, windows, softcaps and
sinks included.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

PROVEN = (
    "afmoe", "apertus", "apertus1p5_text", "arcee", "aria_text", "axk1", "bamba", "beam", "biogpt", "bitnet",
    "codegen", "cohere", "cohere2", "cohere2_moe", "cwm", "deepseek_v2", "deepseek_v3", "dots1", "ernie4_5",
    "ernie4_5_moe", "exaone", "exaone4", "exaone_moe", "flex_olmo", "flint", "gemma", "gemma2", "gemma3_text",
    "gemma3n_text", "gemma4_text", "gemma4_unified_text", "glm", "glm4", "glm4_moe", "glm4_moe_lite", "gpt2",
    "gpt_bigcode", "gpt_neox", "gpt_oss", "gptj", "granite", "granite_swa", "granitemoe", "granitemoe_swa",
    "granitemoehybrid", "granitemoeshared", "helium", "hunyuan_v1_dense", "hunyuan_v1_moe", "hy_v3", "hyperclovax",
    "internlm3", "iquestcoder", "jais2", "jetmoe", "kimi_linear", "kolibri1", "laguna", "lara_mini", "lfm2",
    "lfm2_moe", "lfm3", "llama", "longcat_flash", "mamba2", "mellum", "mimo_v2_flash", "minicpm3", "minimax_m2",
    "minimax_m3_vl_text", "ministral", "ministral3", "mistral", "mixtral", "modernbert-decoder", "nanochat",
    "nemotron_h", "olmo", "olmo2", "olmo3", "olmo_hybrid", "olmoe", "opt", "persimmon", "phi", "phi3", "phimoe",
    "qwen2", "qwen2_moe", "qwen3", "qwen3_5_moe_text", "qwen3_5_text", "qwen3_moe", "qwen3_next", "sarvam_mla",
    "sarvam_moe", "seed_oss", "smollm3", "solar_open", "starcoder2", "vaultgemma", "youtu",
)  # fmt: skip
"""Model types that the tests compare with transformers' own computation: all of them on trees, those without a
recurrent state in the engine too."""

_OWN_ATTENTION = "attends by code of its own, not through transformers' AttentionInterface"
_INDEXED = "chooses the keys of each query by an indexer over the row"
_TWO_PARTS = "has more than one part that mixes tokens in some layers"
OTHERS: Mapping[str, str] = {
    "axk2": _INDEXED,
    "big_bird": _OWN_ATTENTION,
    "bloom": _OWN_ATTENTION,
    "deepseek_v32": _INDEXED,
    "deepseek_v4": _INDEXED,
    "diffllama": "attends twice in each layer",
    "doge": "builds a mask of its own in each layer",
    "falcon_h1": _TWO_PARTS,
    "falcon_mamba": "forgets its state where several tokens follow it at once",
    "glm_moe_dsa": _INDEXED,
    "gpt_neo": _OWN_ATTENTION,
    "gpt_neox_japanese": _OWN_ATTENTION,
    "hrm_text": "runs its layers several times",
    "hy_v4": _INDEXED,
    "inkling_text": "adds a bias of its own to the scores",
    "jamba": "forgets its state where several tokens follow it at once",
    "llama4_text": "scales its queries by their place in the row",
    "mamba": "forgets its state where several tokens follow it at once",
    "minimax": "keeps its recurrent state in a way of its own",
    "mpt": _OWN_ATTENTION,
    "nemotron": _OWN_ATTENTION,
    "openai-gpt": _OWN_ATTENTION,
    "recurrent_gemma": "keeps its recurrent state in a way of its own",
    "roberta": "counts positions from the padding token on",
    "rwkv": "keeps its recurrent state in a way of its own",
    "stablelm": _OWN_ATTENTION,
    "xglm": _OWN_ATTENTION,
    "xlm-roberta": "counts positions from the padding token on",
    "zamba": _TWO_PARTS,
    "zamba2": _TWO_PARTS,
}
"""Model types that are known not to be computed exactly, and what stands in the way; all others were never compared."""

_ATTENTION = {"attention", "full_attention", "sliding_attention", "chunked_attention"}
_CONVOLUTION = {"conv"}
_RECURRENT = {"linear_attention"}
_WITHOUT_CONTEXT = {"mlp", "moe"}
_SEQUENCE_DEPENDENT_ROPE = ("dynamic", "longrope")


def unsupported_reason(config: PreTrainedConfig, length: int, *, keeps_states: bool) -> str | None:
    """The reason why texts of up to `length` tokens cannot share a row; None: nothing is known to forbid it.

    `keeps_states`: recurrent layers can go on from the state behind any token, as on trees.
    """
    kind, kinds = config.model_type, set(getattr(config, "layer_types", None) or ())
    if kind in OTHERS:
        return f"{kind} {OTHERS[kind]}"
    if not keeps_states and (kinds & _RECURRENT or (not kinds and _is_recurrent(config))):
        return f"{kind} is recurrent: what it keeps of a text is one state, which texts cannot share in part"
    if other := sorted(kinds - _ATTENTION - _CONVOLUTION - _RECURRENT - _WITHOUT_CONTEXT):
        return f"{kind} has layers of {', '.join(other)}"
    if kind not in PROVEN:
        return f"{kind} was never compared with transformers' own computation"
    if getattr(config, "attn_temperature_tuning", False):
        return f"{kind} scales its queries by their place in the row (attn_temperature_tuning)"
    if not getattr(config, "is_causal", True) or getattr(config, "use_bidirectional_attention", None) in (True, "all"):
        return f"{kind} is set to attend in both directions"
    for rope, limit in _ropes(config):
        if rope in _SEQUENCE_DEPENDENT_ROPE and limit < length:
            return f"{kind} turns positions by the length of the row ({rope} beyond {limit} tokens)"
    return None


def layers_with_context(config: PreTrainedConfig) -> int:
    """The number of layers in which tokens see each other."""
    kinds = getattr(config, "layer_types", None) or range(config.num_hidden_layers)
    return sum(kind not in _WITHOUT_CONTEXT for kind in kinds)


def _is_recurrent(config: PreTrainedConfig) -> bool:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

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
