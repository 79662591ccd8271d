"""The choice of an adapter for each token, and frozen adapters side by side, as they run in few operations.

Linear layers that read one input share the product with their As. Where one adapter acts in a forward, as in most
steps of one task, its weights alone are read; where several do, all are computed and masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias, cast

import torch
from torch import Tensor
from torch.nn import functional

from alpha_umi.models.shared_inputs import SharedResult

_Ranks: TypeAlias = tuple[tuple[int, int], ...]
"""Number and rank of adapters side by side."""


class Selection:
    """The adapter of each token of a forward."""

    def __init__(self, numbers: Tensor | int, device: torch.device) -> None:
        whole = torch.tensor([numbers]) if isinstance(numbers, int) else numbers.reshape(-1)
        active = whole.nonzero().squeeze(1)
        self.tokens = None if isinstance(numbers, int) else len(whole)
        self.rows = None if len(active) == len(whole) else active.to(device)
        """The tokens with an adapter; None: all."""
        self.span: slice | None = None
        """These tokens, where they follow each other."""
        if self.rows is not None and len(active) and int(active[-1] - active[0]) == len(active) - 1:
            self.span = slice(int(active[0]), int(active[-1]) + 1)
        self.numbers = whole[active].to(device)
        self.present = frozenset(cast("list[int]", self.numbers.tolist()))
        self._masks: dict[_Ranks, Tensor] = {}
        self._sorted: tuple[Tensor | None, dict[int, slice]] | None = None

    def by_number(self, given: Tensor) -> tuple[Tensor | None, dict[int, slice]]:
        """The tokens with an adapter, ordered by its number, and where each number's stand; None: all, as they are.

        `given`: [tokens, size], whose number of tokens counts where one adapter acts on all.
        """
        if self._sorted is None:
            numbers = self.numbers if self.tokens is not None else self.numbers.expand(len(given))
            order = numbers.argsort(stable=True)
            found, counts = cast("tuple[Tensor, Tensor]", numbers.unique(return_counts=True))
            stops = counts.cumsum(0)
            spans = (slice(stop - count, stop) for stop, count in zip(stops.tolist(), counts.tolist(), strict=True))
            rows = order if self.rows is None else self.rows[order]
            whole = self.rows is None and len(found) == 1
            self._sorted = None if whole else rows, dict(zip(cast("list[int]", found.tolist()), spans, strict=True))
        return self._sorted

    def taken(self, tokens: Tensor) -> Tensor:
        """The rows of `tokens`, [tokens, size], that have an adapter."""
        if self.span is not None:
            return tokens[self.span]
        return tokens if self.rows is None else tokens.index_select(0, self.rows)

    def by_rank(self, ranks: _Ranks) -> Tensor:
        """True for each rank of the adapter that a token has: [active tokens, ranks]."""
        if ranks not in self._masks:
            owner = torch.tensor([number for number, rank in ranks for _ in range(rank)])
            self._masks[ranks] = self.numbers[:, None] == owner.to(self.numbers.device)
        return self._masks[ranks]


class Adapter(Protocol):
    """Adapter on one linear layer (protocol); adapters.LoraPair satisfies it."""

    number: int
    scaling: float

    @property
    def lora_A(self) -> Tensor:  # noqa: N802  # PEFT's name
        """[rank, in]"""
        ...

    @property
    def lora_B(self) -> Tensor:  # noqa: N802
        """[out, rank]"""
        ...


class FrozenStack:
    """Copy of the adapters on linear layers that read one input: all As in one matrix, the Bs of each layer in one."""

    def __init__(self, layers: Sequence[Sequence[Adapter]]) -> None:
        """Copy the adapters of each layer."""
        self._parts = [weight for pairs in layers for pair in pairs for weight in (pair.lora_A, pair.lora_B)]
        self._state = self._now()
        placed = sorted(
            ((pair.number, layer, pair) for layer, pairs in enumerate(layers) for pair in pairs),
            key=lambda one: one[:2],
        )
        self._lora_a = torch.cat([pair.lora_A for _, _, pair in placed])
        self._ranks: _Ranks = tuple((number, len(pair.lora_A)) for number, _, pair in placed)
        self._spans: dict[int, slice] = {}
        """Rows of all As of an adapter."""
        self._own: list[dict[int, slice]] = [{} for _ in layers]
        """Of each layer, rows of the A of each adapter."""
        stop = 0
        for number, layer, pair in placed:
            start, stop = stop, stop + len(pair.lora_A)
            self._own[layer][number] = slice(start, stop)
            self._spans[number] = slice(self._spans[number].start if number in self._spans else start, stop)
        self._lora_b = [
            torch.cat([pair.lora_B * pair.scaling for pair in sorted(pairs, key=lambda one: one.number)], dim=1)
            .t()
            .contiguous()
            for pairs in layers
        ]
        self._alone = [self._parts_alone(layer) for layer in range(len(layers))]
        """Of each layer and adapter, the columns of its products among those of the adapter, and its B."""
        rows = torch.arange(stop, device=self._lora_a.device)
        self._columns = [torch.cat([rows[span] for span in own.values()]) for own in self._own]
        self._shared = SharedResult[Tensor | None](len(layers))

    def _parts_alone(self, layer: int) -> dict[int, tuple[slice, Tensor]]:
        found: dict[int, tuple[slice, Tensor]] = {}
        stop = 0
        for number, own in sorted(self._own[layer].items()):
            start, stop = stop, stop + own.stop - own.start
            first = self._spans[number].start
            found[number] = slice(own.start - first, own.stop - first), self._lora_b[layer][start:stop]
        return found

    def is_under_way(self, selection: Selection, given: Tensor) -> bool:
        """True where another layer was just given the same, so that nothing has changed since."""
        return self._shared.has(given, selection)

    @property
    def changed(self) -> bool:
        """True where the adapters were updated, or moved to another device, since the copy."""
        return self._now() != self._state

    @property
    def bytes(self) -> int:
        """Bytes of the copy."""
        return self._lora_a.nbytes + sum(each.nbytes for each in self._lora_b)

    def add(self, layer: int, selection: Selection, given: Tensor, result: Tensor) -> None:
        """Add the outputs of the adapters on one of the layers, by its index, to the layer's own, in place."""
        low = self._shared.get(given, selection, lambda: self._low(selection, given))
        if low is None:
            return
        lora_b = self._lora_b[layer]
        if len(selection.present) == 1:
            (number,) = selection.present
            alone = self._alone[layer].get(number)
            if alone is None:
                return
            low, lora_b = low[:, alone[0]], alone[1]
        elif len(self._own) > 1:
            low = low.index_select(1, self._columns[layer])
        out = result.view(-1, result.shape[-1])
        if selection.rows is not None and selection.span is None:
            out.index_add_(0, selection.rows, (low @ lora_b).to(out.dtype))
            return
        out = out if selection.span is None else out[selection.span]
        if out.dtype == low.dtype:
            out.addmm_(low, lora_b)
        else:
            out.add_((low @ lora_b).to(out.dtype))

    def _low(self, selection: Selection, given: Tensor) -> Tensor | None:
        """Products with the As, [active tokens, ranks], of the one adapter that acts or of all; None: none is here."""
        active = selection.taken(given.reshape(-1, given.shape[-1])).to(self._lora_a.dtype)
        if len(selection.present) > 1:
            return functional.linear(active, self._lora_a).mul_(selection.by_rank(self._ranks))
        (number,) = selection.present
        span = self._spans.get(number)
        return None if span is None else functional.linear(active, self._lora_a[span])

    def _now(self) -> list[int]:
        return [self._parts[0].data_ptr(), *(part._version for part in self._parts)]  # noqa: SLF001
