"""Attention of short branches to long frozen prefixes by plain matrix products, for CPUs.

Keys and values of a prefix are constants: the backward pass computes gradients of the queries, and of the keys and
values of the branches alone. Shares are computed again in the backward pass, so nothing of the size [queries, keys]
is kept.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from alpha_umi.training.trees import Branches


def attend_by_products(
    query: Tensor, key: Tensor, value: Tensor, before: tuple[Tensor, Tensor], branches: Branches, scale: float | None
) -> Tensor:
    """Attention along the paths of branches; [1, heads, n, size] each in and out.

    `before`: keys and values of the prefixes.
    """
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    return cast("Tensor", _Products.apply(query, key, value, *before, branches, scale))


class _Products(torch.autograd.Function):
    """Softmax attention of each block of queries to the keys on its path."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_before: Tensor,
        value_before: Tensor,
        branches: Branches,
        scale: float,
    ) -> Tensor:
        out = query.new_empty(*query.shape[:3], value.shape[-1])
        for rows, prefix, own in branches.paths:
            keys = torch.cat([key_before[0, :, prefix], key[0, :, own]], dim=1)
            values = torch.cat([value_before[0, :, prefix], value[0, :, own]], dim=1)
            grouped = _grouped(query, rows, len(keys))
            found = torch.bmm(_shares(grouped, keys, rows.stop - rows.start, scale).to(values.dtype), values)
            out[0, :, rows] = found.view(out.shape[1], rows.stop - rows.start, -1)
        ctx.save_for_backward(query, key, value, key_before, value_before)
        ctx.branches, ctx.scale = branches, scale
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        query, key, value, key_before, value_before = ctx.saved_tensors
        softmax_backward = torch.ops.aten._softmax_backward_data  # noqa: SLF001
        to_query, wide = torch.empty_like(query), torch.promote_types(query.dtype, torch.float32)
        to_key, to_value = torch.zeros_like(key, dtype=wide), torch.zeros_like(value, dtype=wide)
        for rows, prefix, own in ctx.branches.paths:
            count = rows.stop - rows.start
            keys = torch.cat([key_before[0, :, prefix], key[0, :, own]], dim=1)
            values = torch.cat([value_before[0, :, prefix], value[0, :, own]], dim=1)
            grouped, gradient = _grouped(query, rows, len(keys)), _grouped(gradients[0], rows, len(keys))
            shares = _shares(grouped, keys, count, ctx.scale)
            to_shares = torch.bmm(gradient, values.transpose(1, 2)).to(wide)
            to_scores = softmax_backward(to_shares, shares, -1, wide).mul_(ctx.scale).to(keys.dtype)
            to_query[0, :, rows] = torch.bmm(to_scores, keys).view(query.shape[1], count, -1)
            behind = keys.shape[1] - _length(own)
            _add(to_key, own, torch.bmm(to_scores[..., behind:].transpose(1, 2), grouped))
            _add(to_value, own, torch.bmm(shares[..., behind:].to(values.dtype).transpose(1, 2), gradient))
        return to_query, to_key.to(key.dtype), to_value.to(value.dtype), None, None, None, None


def _grouped(heads: Tensor, rows: slice, groups: int) -> Tensor:
    """Rows of [1, heads, n, size] as [groups, heads of a group x rows, size]."""
    return heads[0, :, rows].reshape(groups, -1, heads.shape[-1])


def _shares(grouped: Tensor, keys: Tensor, count: int, scale: float) -> Tensor:
    """Shares of the keys for each query, at least float32. The last `count` keys are the queries' own tokens."""
    scores = torch.bmm(grouped, keys.transpose(1, 2)).to(torch.promote_types(keys.dtype, torch.float32)).mul_(scale)
    last = scores.view(len(keys), -1, count, keys.shape[1])[..., -count:]
    last.add_(scores.new_full((count, count), float("-inf")).triu_(1))
    return functional.softmax(scores, dim=-1)


def _length(places: slice | Tensor) -> int:
    return len(places) if isinstance(places, Tensor) else places.stop - places.start


def _add(total: Tensor, places: slice | Tensor, part: Tensor) -> None:
    if isinstance(places, Tensor):
        total[0].index_add_(1, places, part.to(total.dtype))
    else:
        total[0, :, places] += part
