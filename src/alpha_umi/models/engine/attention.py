"""One forward for the tokens of many requests: how they lie in one row, and how each sees its own lane.

Installed as one of transformers' attention implementations, so model definitions stay transformers' own. In every
layer keys and values are written first, to the pool for what is shared and to the lanes, so that requests can share
what another one computes in the same forward. Without a Step the same model attends as usual.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from alpha_umi.models.engine.memory import Memory
from alpha_umi.models.engine.padded import Padded
from alpha_umi.models.engine.ragged import Ragged
from alpha_umi.models.engine.trie import NONE, Numbers

NAME = "alpha_umi_engine"
"""Of the attention, among transformers' implementations."""
ARGUMENT = "engine_step"
"""What a forward calls the layout of its tokens."""
_HARMLESS = ("position_ids", "cache_position", "use_cache", "output_hidden_states", "return_dict", "dropout")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The tokens that one request gives to a step: those at positions start to stop of its lane."""

    ids: Sequence[int]
    lane: int
    start: int
    adapters: Sequence[int] = ()
    """The number of the adapter per token; () for none at all."""
    fill_from: int = 0
    fill: Numbers = field(default_factory=lambda: NONE)
    """Slots whose tokens are copied to the lane, at positions fill_from and on, before anything else."""
    kept_from: int = 0
    kept: Numbers = field(default_factory=lambda: NONE)
    """Slots that tokens of this part are written to as well, those at positions kept_from and on."""

    @property
    def stop(self) -> int:
        return self.start + len(self.ids)


class Layout(Protocol):
    """Where the keys and values of a forward's tokens go, and what they see."""

    @property
    def longest(self) -> int:
        """Tokens of the longest request."""
        ...

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
        """[1, heads, tokens, size] each in, [1, tokens, heads, size] out."""
        ...


class Step:
    """The parts of one forward in one row: single tokens by lane first, then longer parts."""

    def __init__(self, parts: Iterable[Part], memory: Memory) -> None:
        self.memory = memory
        self.parts = sorted(parts, key=lambda part: (len(part.ids) > 1, part.lane))
        self.starts = [0, *accumulate(len(part.ids) for part in self.parts)]
        """The row of the first token of each part, and the number of rows."""
        self._device = memory.shape.device

    @property
    def only_writes(self) -> bool:
        """Whether every part is one token that nothing but its own lane is needed for."""
        return all(len(part.ids) == 1 and not len(part.fill) and not len(part.kept) for part in self.parts)

    def layout(self) -> Layout:
        """How its tokens lie and what they see, made once for all layers."""
        if self.memory.kernel is None:
            return Padded(self.parts, self.starts, self.memory)
        return Ragged.of(self.parts, self.starts, self.memory)

    def inputs(self) -> dict[str, Any]:
        """What a forward is given, the rows of which logits are wanted apart."""
        ids = [token for part in self.parts for token in part.ids]
        positions = [place for part in self.parts for place in range(part.start, part.stop)]
        both = torch.tensor([ids, positions], dtype=torch.int64, device=self._device)
        return along(self.layout(), both[:1], both[1:])

    def adapters(self) -> Tensor | None:
        """[tokens] on the CPU: which adapter acts on each; None: none on any."""
        if not any(part.adapters for part in self.parts):
            return None
        numbers = [number for part in self.parts for number in part.adapters or [0] * len(part.ids)]
        return torch.tensor(numbers, dtype=torch.int8)


def along(layout: Layout, ids: Tensor, positions: Tensor) -> dict[str, Any]:
    """The arguments of a forward of tokens [1, tokens] that lie so."""
    return {
        "input_ids": ids,
        "position_ids": positions,
        # Four dimensions end transformers' own making of masks; this one is never looked at.
        "attention_mask": torch.empty((1, 1, 1, 1), dtype=torch.bool, device=ids.device),
        "use_cache": False,
        ARGUMENT: layout,
    }


def install(model: PreTrainedModel) -> None:
    """Let `model` attend along the Step that a forward names; without one as PyTorch's own attention does."""
    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """As transformers calls an attention."""
    layout = others.pop(ARGUMENT, None)
    if layout is None:
        seen, _ = sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **others)
        return seen, None
    layout = cast("Layout", layout)
    window = others.pop("sliding_window", None)
    if window is not None and window < layout.longest:
        raise ValueError(f"a sliding window of {window} tokens cannot be kept in lanes")
    if others.pop("is_causal", None) is False:
        raise ValueError("lanes are causal; this attention is called with is_causal=False")
    unknown = [name for name, argument in others.items() if name not in _HARMLESS and not _is_nothing(argument)]
    if unknown:
        raise ValueError(f"the engine's attention does not know {', '.join(unknown)}")
    return layout.attend(cast("int", module.layer_idx), query, key, value, scaling), None


def _is_nothing(argument: object) -> bool:
    return argument is None or (isinstance(argument, bool | int | float) and not argument)
