"""Attention and loss over packed prefix trees, equal to those of each example alone, on any device.

`tree_attention` puts an attention of our own into a transformers model, `packed_trees_loss` runs a row through it. On a
CPU trees are computed by path decomposition: each run of first children attends to itself causally, what branches
off it attends to the part of the run above, all without a mask, and the parts are merged by their log-sum-exp. On a
GPU FlexAttention takes the same formula as a block mask; where neither can, a dense mask does.

Nothing here is silently wrong: `unsupported_reason` names what cannot be trained on trees, and an argument that the
attention does not know, a mask that it would drop or a layer that it never reached raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention.flex_attention import BlockMask
from transformers import AttentionInterface, PreTrainedConfig, PreTrainedModel

from alpha_umi.models import architectures
from alpha_umi.training.data.packing import PackedTrees

NAME = "alpha_umi_tree"
"""Of the attention, among transformers' implementations."""

_BLOCK = 128
"""Tokens of a side of a block of FlexAttention."""
_KERNEL_TYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_HARMLESS = ("position_ids", "cache_position", "use_cache", "output_hidden_states", "return_dict", "num_items_in_batch")
"""Arguments that transformers hands to every attention and that change nothing here."""
_Span: TypeAlias = tuple[int, int]


# --- what can be trained so -------------------------------------------------------------------------------


def unsupported_reason(config: PreTrainedConfig, max_length: int) -> str | None:
    """Reason why this architecture cannot train on trees of up to `max_length` tokens; None: it can."""
    kind = config.model_type
    if (reason := architectures.unsupported_reason(config, max_length)) is not None:
        return reason
    if getattr(config, "attention_dropout", 0.0):
        return f"{kind} drops attention at random (attention_dropout {config.attention_dropout})"
    if kind not in architectures.PROVEN:
        return f"the gradients of {kind} on trees have not been compared with those on rows"
    return None


# --- the layout of a row, for attention -------------------------------------------------------------------


class Trees:
    """Visibility among the tokens of one packed row, ready for each attention implementation.

    No dataclass: FSDP2 takes those apart to cast what is in them, and would hand every layer a copy of its own.
    """

    __slots__ = ("_blocks", "_masks", "deepest", "ends", "links", "reached", "roots", "runs")

    def __init__(
        self, *, ends: Tensor, runs: list[_Span], links: list[tuple[_Span, _Span]], roots: list[_Span], deepest: int
    ) -> None:
        """Set the visibility. `ends`: [n], as in PackedTrees, on the model's device. `runs`: every token is in one,
        causal in itself. `links`: queries and keys where each of those queries sees all of those keys. `roots`: the
        trees. `deepest`: the highest position."""
        self.ends, self.runs, self.links, self.roots, self.deepest = ends, runs, links, roots, deepest
        self.reached: set[int] = set()
        """The attention modules that have used it."""
        self._masks: list[Tensor] = []
        self._blocks: list[BlockMask] = []

    @classmethod
    def of(cls, packed: PackedTrees, device: torch.device) -> Trees:
        ends, count = packed.ends.tolist(), packed.tokens
        starts, stops, parents = packed.segments.T.tolist()
        heads = [index for index, parent in enumerate(parents) if parent != index - 1 or parent < 0]
        first = [starts[index] for index in heads]
        links: list[tuple[_Span, _Span]] = []
        head = 0
        for index, (start, stop, parent) in enumerate(zip(starts, stops, parents, strict=True)):
            head = start if parent != index - 1 or parent < 0 else head
            # The first child goes on with the run; what branches off here stands behind all that it holds.
            light = (ends[stop] if stop < ends[start] else stop, ends[start])
            if light[0] < light[1]:
                links.append((light, (head, stop)))
        return cls(
            ends=torch.from_numpy(packed.ends).to(device),
            runs=list(zip(first, [*first[1:], count], strict=True)),
            links=links,
            roots=[(start, ends[start]) for start, parent in zip(starts, parents, strict=True) if parent < 0],
            deepest=int(packed.depths.max()),
        )

    def sees(self, query: Tensor, key: Tensor) -> Tensor:
        """Visibility of keys to queries, by indices of any shapes that broadcast."""
        return (key <= query) & (query < self.ends[key])

    @property
    def masks(self) -> list[Tensor]:
        """Dense masks, one per tree, [its tokens, its tokens]; True: attend."""
        if not self._masks:
            for start, stop in self.roots:
                token = torch.arange(start, stop, device=self.ends.device)
                self._masks.append(self.sees(token[:, None], token))
        return self._masks

    @property
    def blocks(self) -> BlockMask:
        """Block mask of FlexAttention, made from the extremes of `ends` in each block without an [n, n] mask."""
        if not self._blocks:
            self._blocks.append(self._block_mask())
        return self._blocks[0]

    def _block_mask(self) -> BlockMask:
        count = len(self.ends)
        padding = -count % _BLOCK
        ends = functional.pad(self.ends, (0, padding)).view(-1, _BLOCK)
        first = torch.arange(0, count + padding, _BLOCK, device=ends.device, dtype=ends.dtype)
        last = first + _BLOCK - 1
        touched = (first <= last[:, None]) & (first[:, None] < ends.amax(dim=1))
        whole = (last <= first[:, None]) & (last[:, None] < ends.amin(dim=1))
        partly = touched & ~whole

        def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return self.sees(query, key)

        return BlockMask.from_kv_blocks(
            *_listed(partly), *_listed(whole), BLOCK_SIZE=_BLOCK, mask_mod=sees, seq_lengths=(count, count)
        )


def _listed(chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Counts and indices of the chosen columns per row of a [rows, columns] mask; with batch and head of 1."""
    columns = chosen.to(torch.int32).argsort(dim=1, descending=True, stable=True)
    return chosen.sum(dim=1, dtype=torch.int32)[None, None], columns.to(torch.int32).contiguous()[None, None]


# --- the attention ----------------------------------------------------------------------------------------


@contextmanager
def tree_attention(model: nn.Module) -> Iterator[None]:
    """Context manager in which `model` (or the model in a wrapper) attends along trees and takes nothing but
    `packed_trees_loss`."""
    AttentionInterface.register(NAME, _attend)
    parts = [part for part in model.modules() if isinstance(part, PreTrainedModel)]
    before = [(part.config, part.config._attn_implementation) for part in parts]  # noqa: SLF001
    try:
        for part in parts:
            part.set_attn_implementation(NAME)
        yield
    finally:
        for config, implementation in before:
            config._attn_implementation = implementation  # noqa: SLF001


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: object,
    *,
    scaling: float | None = None,
    trees: Trees | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention function with the signature of transformers: [1, heads, n, size] each in, [1, n, heads, size] out."""
    if trees is None:
        raise ValueError(
            "the trees did not reach the attention: inside tree_attention a model takes packed_trees_loss alone"
        )
    if attention_mask is not None:
        raise ValueError("a mask reached the tree attention, which would drop it")
    _check(others, trees)
    trees.reached.add(id(module))
    if torch.is_autocast_enabled(query.device.type):
        dtype = torch.get_autocast_dtype(query.device.type)
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    if query.shape[0] != 1 or query.shape[2] != len(trees.ends):
        raise ValueError(
            f"packed trees of {len(trees.ends)} tokens cannot be seen through queries {tuple(query.shape)}"
        )
    return _way(query, value)(query, key, value, trees, scaling).transpose(1, 2).contiguous(), None


def _check(others: dict[str, Any], trees: Trees) -> None:
    """Raise ValueError for attention options that are not supported here."""
    window = others.pop("sliding_window", None)
    if window is not None and window <= trees.deepest:
        raise ValueError(f"a sliding window of {window} tokens cannot be kept along paths of {trees.deepest + 1}")
    if others.pop("is_causal", None) is False:
        raise ValueError("trees are causal; this attention is called with is_causal=False")
    unknown = [name for name, argument in others.items() if name not in _HARMLESS and not _is_nothing(argument)]
    if unknown:
        raise ValueError(f"the tree attention does not know {', '.join(unknown)}; train on rows instead")


def _is_nothing(argument: object) -> bool:
    return argument is None or (isinstance(argument, bool | int | float) and not argument)


_Way: TypeAlias = Callable[[Tensor, Tensor, Tensor, Trees, float | None], Tensor]


def _way(query: Tensor, value: Tensor) -> _Way:
    kernels = hasattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu_backward")
    if query.device.type == "cpu" and kernels and query.dtype in _KERNEL_TYPES and query.shape[-1] == value.shape[-1]:
        return _by_paths
    if query.device.type == "cuda" and query.dtype != torch.float64:
        return _by_blocks
    return _by_masks


def _by_paths(query: Tensor, key: Tensor, value: Tensor, trees: Trees, scale: float | None) -> Tensor:
    return cast("Tensor", _Paths.apply(query, key, value, trees, scale))


def _by_masks(query: Tensor, key: Tensor, value: Tensor, trees: Trees, scale: float | None) -> Tensor:
    """Attention with a dense mask per tree; [1, heads, n, size]."""
    seen = [
        functional.scaled_dot_product_attention(
            *(part[:, :, start:stop] for part in (query, key, value)), attn_mask=mask, scale=scale, enable_gqa=True
        )
        for (start, stop), mask in zip(trees.roots, trees.masks, strict=True)
    ]
    return torch.cat(seen, dim=2)


def _by_blocks(query: Tensor, key: Tensor, value: Tensor, trees: Trees, scale: float | None) -> Tensor:
    """Attention with FlexAttention, compiled once by transformers; [1, heads, n, size]."""
    from transformers.integrations.flex_attention import compile_friendly_flex_attention

    flex, count = cast("Callable[..., Tensor]", compile_friendly_flex_attention), query.shape[1]
    if grouped := count & (count - 1) == 0:  # as transformers does: groups only where heads are a power of two
        parts = query, key, value
    else:
        parts = query, *(part.repeat_interleave(count // part.shape[1], dim=1) for part in (key, value))
    return flex(*parts, block_mask=trees.blocks, enable_gqa=grouped, scale=scale, training=True)


class _Paths(torch.autograd.Function):
    """Attention by path decomposition over the CPU's flash kernels.

    A kernel that is given the log-sum-exp and the output over all keys returns the gradients of its own part of them:
    so the backward pass needs the parts of the forward pass no more.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, trees: Trees, scale: float | None) -> Tensor:
        kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # noqa: SLF001
        out, total = _like(query), query.new_empty(query.shape[:3], dtype=_wide(query.dtype))
        for span in trees.runs:
            part = kernel(*_cut((query, key, value), span, span), 0.0, True, scale=scale)
            out[:, :, slice(*span)], total[:, :, slice(*span)] = part
        for queries, keys in trees.links:
            more, weight = kernel(*_cut((query, key, value), queries, keys), 0.0, False, scale=scale)
            here, before = out[:, :, slice(*queries)], total[:, :, slice(*queries)]
            after = torch.logaddexp(before, weight)
            here.mul_((before - after).exp_()[..., None]).add_(more * (weight - after).exp_()[..., None])
            before.copy_(after)
        seen = out.to(query.dtype)
        ctx.save_for_backward(query, key, value, seen, total)
        ctx.trees, ctx.scale = trees, scale
        return seen

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        query, key, value, seen, total = ctx.saved_tensors
        kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward  # noqa: SLF001
        sums = _like(query), _like(key), _like(value)

        def parts(queries: _Span, keys: _Span, *, causal: bool) -> Iterator[tuple[Tensor, Tensor]]:
            """Pairs of a part's gradient and the slice of the sums that it belongs to."""
            rows = slice(*queries)
            gradient, out, weights = gradients[0][:, :, rows], seen[:, :, rows], total[:, :, rows]
            cut = _cut((query, key, value), queries, keys)
            found = kernel(gradient, *cut, out, weights, 0.0, causal, scale=ctx.scale)
            yield from zip(_cut(sums, queries, keys), found, strict=True)

        for span in ctx.trees.runs:
            for place, gradient in parts(span, span, causal=True):
                place.copy_(gradient)
        for queries, keys in ctx.trees.links:
            for place, gradient in parts(queries, keys, causal=False):
                place.add_(gradient)
        return *(each.to(query.dtype) for each in sums), None, None


def _cut(parts: Sequence[Tensor], queries: _Span, keys: _Span) -> tuple[Tensor, Tensor, Tensor]:
    query, key, value = parts
    return query[:, :, slice(*queries)], key[:, :, slice(*keys)], value[:, :, slice(*keys)]


def _like(heads: Tensor) -> Tensor:
    """Empty tensor, [1, heads, n, size] on memory [1, n, heads, size], of at least float32 for sums."""
    batch, count, length, size = heads.shape
    return heads.new_empty((batch, length, count, size), dtype=_wide(heads.dtype)).transpose(1, 2)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


# --- the loss ---------------------------------------------------------------------------------------------


def packed_trees_logits(model: nn.Module, packed: PackedTrees) -> tuple[Tensor, Tensor]:
    """Logits of the positions with targets, [k, vocabulary], and the row of each target in them, [m].

    Only these are projected to the vocabulary, each once. Call it, and backward, inside `tree_attention`; the model
    must have no `unsupported_reason`. Raises ValueError where the trees would not be kept to.
    """
    device = next(model.parameters()).device
    trees = Trees.of(packed, device)
    at, which = np.unique(packed.at, return_inverse=True)
    logits: Tensor = model(
        input_ids=_on(packed.ids, device)[None],
        position_ids=_on(packed.depths, device)[None],
        logits_to_keep=_on(at, device),
        use_cache=False,
        trees=trees,
    ).logits
    config = _core(model).config
    _check_reached(config, trees)
    if logits.shape[:2] != (1, len(at)):
        raise ValueError(f"{type(model).__name__} projected {tuple(logits.shape[:2])} positions, not {len(at)}")
    if logits.requires_grad:
        logits.register_hook(partial(_check_inside, config))
    return logits[0], _on(which, device)


def weighted_loss(logits: Tensor, which: Tensor, packed: PackedTrees) -> Tensor:
    """Weighted cross entropy of the targets of packed trees, summed, in nats, at least float32.

    `logits`: [k, vocabulary]; `which`: the row of each target, [m].
    """
    wide = logits.to(_wide(logits.dtype))
    weights = torch.from_numpy(packed.weights).to(wide)
    return cast("Tensor", _CrossEntropy.apply(wide, which, _on(packed.targets, logits.device), weights))


def packed_trees_loss(model: nn.Module, packed: PackedTrees) -> tuple[Tensor, float]:
    """Summed loss of a packed row and the sum of its weights; see `packed_trees_logits` and `weighted_loss`."""
    loss = weighted_loss(*packed_trees_logits(model, packed), packed)
    return loss, float(packed.weights.sum(dtype=np.float64))


def _on(numbers: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(numbers.astype(np.int64)).to(device)


def _core(model: nn.Module) -> PreTrainedModel:
    """The transformers model without its wrappers."""
    return next(part for part in model.modules() if isinstance(part, PreTrainedModel))


def _check_reached(config: PreTrainedConfig, trees: Trees) -> None:
    """Raise ValueError unless every layer attended along the trees."""
    if len(trees.reached) != config.num_hidden_layers:
        raise ValueError(
            f"{len(trees.reached)} of {config.num_hidden_layers} layers attended along trees; "
            "packed_trees_loss works inside tree_attention, on models that suit"
        )


def _check_inside(config: PreTrainedConfig, gradient: Tensor) -> None:
    """Check that the backward pass runs within `tree_attention`: gradient checkpointing computes the layers again
    there."""
    if config._attn_implementation != NAME:  # noqa: SLF001
        raise ValueError("the backward pass of packed_trees_loss works inside tree_attention too")


class _CrossEntropy(torch.autograd.Function):
    """Cross entropy of several weighted targets per row of logits, with one buffer of their size in the backward
    pass."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, which: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        total = logits.logsumexp(dim=-1)
        ctx.save_for_backward(logits, total, which, targets, weights)
        return (weights * (total[which] - logits[which, targets])).sum()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        logits, total, which, targets, weights = ctx.saved_tensors
        weights = weights * gradients[0]
        found = (logits - total[:, None]).exp_()
        found.mul_(total.new_zeros(len(total)).index_add_(0, which, weights)[:, None])
        found.index_put_((which, targets), -weights, accumulate=True)
        return found, None, None, None
