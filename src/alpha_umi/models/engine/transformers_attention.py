"""The engine's attention as one of transformers' attention implementations, so that model definitions stay its own."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from alpha_umi.models import mask_rules
from alpha_umi.models.engine.attention import BATCH_ARGUMENT, AttentionBatch, AttentionInputs
from alpha_umi.models.mask_rules import MaskRule

NAME = "alpha_umi_engine"
"""The name under which transformers knows this attention."""
_IGNORED_ARGUMENTS = ("position_ids", "cache_position", "use_cache", "output_hidden_states", "return_dict", "dropout")


def install(model: PreTrainedModel) -> None:
    """Set the attention of `model` to this one, which is PyTorch's own in forwards without a ForwardBatch."""
    AttentionInterface.register(NAME, _attend)
    mask_rules.register(NAME)
    model.set_attn_implementation(NAME)


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | MaskRule | None,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention function with the signature that transformers calls."""
    batch = cast("AttentionBatch | None", others.pop(BATCH_ARGUMENT, None))
    if batch is None:
        row = attention_mask.row_mask() if isinstance(attention_mask, MaskRule) else attention_mask
        if softcap is not None or s_aux is not None:
            raise ValueError("a model that caps its scores or has sinks runs in the engine alone once it is there")
        return sdpa_attention_forward(module, query, key, value, row, scaling=scaling, **others)[0], None
    if not isinstance(attention_mask, MaskRule) or attention_mask.unknown:
        raise ValueError("the engine's attention does not know the mask of this architecture")
    others.pop("sliding_window", None)  # as for SDPA, it is the mask that says what is seen
    if others.pop("is_causal", None) is False:
        raise ValueError("the engine's attention is causal; this attention is called with is_causal=False")
    unknown = [name for name, value in others.items() if name not in _IGNORED_ARGUMENTS and not _is_unset(value)]
    if unknown:
        raise ValueError(f"the engine's attention does not know {', '.join(unknown)}")
    if query.shape[2] != key.shape[2]:
        raise ValueError("some of its layers attend with fewer tokens than they write")
    inputs = AttentionInputs(
        query=query, key=key, value=value, rule=attention_mask, scaling=scaling, softcap=softcap, sinks=s_aux
    )
    return batch.attend(cast("int", module.layer_idx), inputs), None


def _is_unset(value: object) -> bool:
    return value is None or (isinstance(value, bool | int | float) and not value)
