"""Rules of visibility between tokens, as transformers states them, and attention with softcap and sinks.

transformers asks the mask function of an attention for a mask of the row that it sees. In a packed or ragged row that
would be the wrong one, so ours hands on the rule itself: a function of two positions, which each attention applies to
positions in a text. A window or a chunk is thus whatever transformers' own SDPA would be given, in any architecture
that makes its masks by transformers' functions; an attention that is given anything else refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor


class MaskRule:
    """Rule of the layers that share a mask.

    No dataclass: FSDP2 takes those apart to cast what is in them, and would hand every layer a copy of its own.
    """

    __slots__ = ("_arguments", "_function", "_mask", "local_size", "unknown")

    def __init__(self, arguments: dict[str, Any]) -> None:
        """`arguments`: those that transformers calls a mask function with."""
        self._arguments = arguments
        self._function = cast("Callable[..., Tensor]", arguments["mask_function"])
        self.local_size: int | None = arguments.get("local_size")
        """Tokens of the window or of a chunk; None: every token sees all before it."""
        self.unknown = not arguments.get("allow_is_causal_skip", False)
        """True where more than causality and locality decides, such as packed texts, images or an indexer."""
        self._mask: list[Tensor | None] = []

    def is_causal_within(self, length: int) -> bool:
        """True where in texts of up to `length` tokens every token sees all before it."""
        return self.local_size is None or self.local_size >= length

    def first_key(self, position: int) -> int:
        """A position before which a query at `position`, and any behind it, sees nothing."""
        return 0 if self.local_size is None else max(0, position - self.local_size + 1)

    def sees(self, query: Tensor, key: Tensor) -> Tensor:
        """Visibility of keys to queries, by positions in one text, of any shapes that broadcast."""
        return self._function(0, 0, query, key)

    def row_mask(self) -> Tensor | None:
        """The mask that SDPA is given in a plain forward."""
        from transformers.masking_utils import sdpa_mask

        if not self._mask:
            self._mask.append(sdpa_mask(**self._arguments))
        return self._mask[0]


def _is_before(_batch: object, _head: object, query: Tensor, key: Tensor) -> Tensor:
    return key <= query


CAUSAL = MaskRule({"mask_function": _is_before, "allow_is_causal_skip": True})
"""Every token sees all before it."""


def register(name: str) -> None:
    """Let the layers of models with the attention `name` be given a MaskRule for a mask."""
    from transformers import AttentionMaskInterface

    AttentionMaskInterface.register(name, _rule)


def _rule(**arguments: Any) -> MaskRule:
    return MaskRule(arguments)


def scored_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    *,
    scaling: float | None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
) -> Tensor:
    """Attention that computes its scores, for what SDPA does not know; [batch, heads, queries, size].

    `key` and `value` may have fewer heads. `bias` is added to the scores. `softcap`: bound of the scores (Gemma 2).
    `sinks`: a further score per query that takes its share of the softmax (gpt-oss), [heads] or, where queries are of
    several heads, of any shape that broadcasts to [batch, heads, queries, 1].
    """
    repeats = query.shape[1] // key.shape[1]
    if repeats > 1:
        key, value = (each.repeat_interleave(repeats, dim=1) for each in (key, value))
    scores = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if bias is not None:
        scores = scores + bias
    wide = torch.promote_types(scores.dtype, torch.float32)
    if sinks is not None:
        own = (sinks[:, None, None] if sinks.dim() == 1 else sinks).expand(*scores.shape[:-1], 1)
        scores = torch.cat([scores, own.to(scores.dtype)], dim=-1)
    shares = scores.softmax(dim=-1, dtype=wide).to(value.dtype)
    return shares[..., : key.shape[2]] @ value
