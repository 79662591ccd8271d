"""Outputs of LoRA adapters in training: each is computed on its own tokens alone, its gradients too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor


def products_by_adapter(given: Tensor, parts: Sequence[tuple[slice, float]], weights: Sequence[Tensor]) -> Tensor:
    """Outputs of adapters on tokens that stand in the order of their adapters: [tokens, in] to [tokens, out].

    `parts`: the tokens and the scaling of each adapter. `weights`: of each its A [rank, in] and its B [out, rank]; they
    are computed in the dtype of `given`. An adapter without tokens gets gradients of zero.
    """
    return cast("Tensor", _Products.apply(given, parts, *weights))


class _Products(torch.autograd.Function):
    """Two products for each adapter on its own tokens."""

    @staticmethod
    def forward(ctx: Any, given: Tensor, parts: Sequence[tuple[slice, float]], *weights: Tensor) -> Tensor:
        out = given.new_zeros(len(given), len(weights[1]))
        lows: list[Tensor] = []
        for (span, scaling), lora_a, lora_b in zip(parts, weights[::2], weights[1::2], strict=True):
            lows.append((given[span] @ lora_a.to(given.dtype).t()).mul_(scaling))
            torch.mm(lows[-1], lora_b.to(given.dtype).t(), out=out[span])
        ctx.save_for_backward(given, *weights, *lows)
        ctx.parts = parts
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        given, *rest = ctx.saved_tensors
        count = 2 * len(ctx.parts)
        weights, lows, found = rest[:count], rest[count:], list[Tensor | None]()
        to_given = torch.zeros_like(given) if ctx.needs_input_grad[0] else None
        for (span, scaling), lora_a, lora_b, low in zip(ctx.parts, weights[::2], weights[1::2], lows, strict=True):
            gradient = gradients[0][span]
            to_low = (gradient @ lora_b.to(given.dtype)).mul_(scaling)
            found += [(to_low.t() @ given[span]).to(lora_a.dtype), (gradient.t() @ low).to(lora_b.dtype)]
            if to_given is not None:
                torch.mm(to_low, lora_a.to(given.dtype), out=to_given[span])
        wanted = ctx.needs_input_grad[2:]
        return to_given, None, *(each if needed else None for each, needed in zip(found, wanted, strict=True))


def computed_dtype(weight: Tensor) -> torch.dtype:
    """The dtype in which a weight's products are computed."""
    device = weight.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
