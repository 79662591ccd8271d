"""Losses of micro-batches of packed trees, by tree attention, or as padded rows where trees are not supported.

Packed trees that are single examples (layouts `rows` and `padded`, and all packed trees of an architecture that
cannot be masked) may be computed as rows: one padded batch, attention as the model has it. No attention mask is
needed then: attention looks back only, padding stands behind, and no loss falls on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from alpha_umi.models.adapters import Adapters, adapters_of
from alpha_umi.models.mixers import mixers_of
from alpha_umi.training import attention, distributed
from alpha_umi.training.attention import (
    branch_logits,
    packed_trees_logits,
    prefix_keys,
    tree_attention,
    weighted_loss,
)
from alpha_umi.training.data.packing import PackedTrees, WeightedExample, pack_prefix_trees
from alpha_umi.training.data.prefixes import split_prefixes

_IDLE = pack_prefix_trees([WeightedExample(ids=[0, 0], weights=[0.0, 1.0], adapters=[1, 1])])[0]


class LossComputer:
    """Computer of the losses of one model on packed trees; `installed` while it computes."""

    def __init__(self, model: PreTrainedModel, *, max_length: int, pad_to: int | None = None) -> None:
        """Set up the computation; `pad_to`: compute rows, each padded to this number of tokens."""
        self._model = model
        self._adapters: Adapters | None = adapters_of(model)
        self.unsupported_reason = (
            "padded rows are asked for" if pad_to else attention.unsupported_reason(model.config, max_length)
        )
        """The reason why rows are computed and not trees; None: trees are."""
        self._mixes = bool(mixers_of(model))
        """True: layers keep states, which only a pass over whole trees has."""
        self._pad_to = pad_to
        self._projection = cast("nn.Module", model.get_output_embeddings())
        self._at: tuple[Tensor, ...] | None = None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Context manager in which the model computes micro-batches only."""
        if self.unsupported_reason is None:
            with tree_attention(self._model):
                yield
            return
        handle = self._projection.register_forward_pre_hook(self._select)
        try:
            yield
        finally:
            handle.remove()

    def loss(self, packed: PackedTrees) -> Tensor:
        """Weighted cross entropy, summed, in nats."""
        return weighted_loss(*self._logits(packed), packed)

    def idle(self) -> Tensor:
        """Loss of a short dummy micro-batch with zero gradients, for a process without data while others compute."""
        return self.loss(_IDLE) * 0

    @torch.no_grad()
    def score(self, packed: PackedTrees) -> tuple[float, list[bool]]:
        """Summed loss, and for each tree if greedy decoding would write its completion.

        The trees must be single examples.
        """
        logits, which = self._logits(packed)
        loss = weighted_loss(logits, which, packed)
        hits = logits.argmax(dim=-1)[which] == torch.from_numpy(packed.targets).to(logits.device)
        owner = np.searchsorted(_roots(packed), packed.at, side="right") - 1
        missed = np.bincount(owner[~hits.cpu().numpy()], minlength=len(_roots(packed)))
        return loss.item(), (missed == 0).tolist()

    def _logits(self, packed: PackedTrees) -> tuple[Tensor, Tensor]:
        """Logits of the positions with targets, and the row of each target in them."""
        return self._tree_logits(packed) if self.unsupported_reason is None else self._row_logits(packed)

    def _tree_logits(self, packed: PackedTrees) -> tuple[Tensor, Tensor]:
        split = split_prefixes(packed) if self._has_frozen_prefixes() else None
        if split is None:
            with self._acting(torch.from_numpy(packed.adapters)):
                return packed_trees_logits(self._model, packed)
        before = prefix_keys(self._model, split)
        with self._acting(torch.from_numpy(split.branches.adapters)):
            return branch_logits(self._model, split, before)

    def _has_frozen_prefixes(self) -> bool:
        """Test if tokens without an adapter depend on no trained weight, so that they need no backward pass.

        Only on one device, a CPU: processes that share weights must compute the same passes.
        """
        if self._adapters is None or not torch.is_grad_enabled() or self._mixes or distributed.processes() > 1:
            return False
        learned = {id(weight) for weight in self._model.parameters() if weight.requires_grad}
        own = {id(weight) for role in self._adapters.roles for weight in self._adapters.parameters(role).values()}
        return self._model.device.type == "cpu" and learned <= own

    def _row_logits(self, packed: PackedTrees) -> tuple[Tensor, Tensor]:
        device = next(self._model.parameters()).device
        starts = _roots(packed)
        if len(starts) < len(packed.segments):
            raise ValueError(
                f"a tree with branches cannot be computed as rows, which this model needs: {self.unsupported_reason}"
            )
        lengths = np.diff([*starts, packed.tokens])
        size = (len(starts), self._pad_to or int(lengths.max()))
        rows = np.repeat(np.arange(len(starts)), lengths)
        columns = np.arange(packed.tokens) - np.repeat(starts, lengths)
        ids, adapters = np.zeros(size, np.int64), np.zeros(size, np.int8)
        ids[rows, columns], adapters[rows, columns] = packed.ids, packed.adapters
        at = rows[packed.at], columns[packed.at]
        self._at = tuple(torch.from_numpy(index).to(device) for index in at)
        try:
            with self._acting(torch.from_numpy(adapters)):
                logits: Tensor = self._model(input_ids=torch.from_numpy(ids).to(device), use_cache=False).logits
        finally:
            self._at = None
        return logits, torch.arange(len(logits), device=device)

    def _select(self, module: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        """Let only positions with a loss through to the vocabulary."""
        return None if self._at is None else (arguments[0][self._at], *arguments[1:])

    def _acting(self, adapters: Tensor) -> AbstractContextManager[None]:
        return nullcontext() if self._adapters is None else self._adapters.select(adapters)


def _roots(packed: PackedTrees) -> np.ndarray:
    """Start of each tree in the row, [trees]."""
    return packed.segments[packed.segments[:, 2] < 0, 0]
