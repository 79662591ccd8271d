"""Attention and loss over packed prefix trees, equal to those of each example alone, on any device.

`tree_attention` puts an attention of our own into a transformers model, `packed_trees_loss` runs a row through it. On a
CPU trees are computed by path decomposition: each run of first children attends to itself causally, what branches
off it attends to the part of the run above, all without a mask, and the parts are merged by their log-sum-exp. On a
GPU FlexAttention takes the same formula as a block mask. Where neither can, as for windows on a CPU, softcaps and
sinks, blocks of queries attend to keys gathered along their path.

Nothing here is silently wrong: `unsupported_reason` names what cannot be trained on trees, and an argument that the
attention does not know, a mask that it would drop or a layer that it never reached raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, PreTrainedConfig, PreTrainedModel

from alpha_umi.models import architectures, mask_rules
from alpha_umi.models.mask_rules import MaskRule, scored_attention
from alpha_umi.training.branches import attend_by_products
from alpha_umi.training.data.packing import PackedTrees
from alpha_umi.training.data.prefixes import PrefixSplit
from alpha_umi.training.recurrence import TreeMixers, along_trees
from alpha_umi.training.trees import Branches, Kept, Span, Trees

NAME = "alpha_umi_tree"
"""Of the attention, among transformers' implementations."""

_MIXERS = "tree_mixers"
"""Attribute of a model inside tree_attention."""
_DROPOUTS = ("attention_dropout", "attn_pdrop", "attention_probs_dropout_prob")
_KERNEL_TYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_HARMLESS = ("position_ids", "cache_position", "use_cache", "output_hidden_states", "return_dict", "num_items_in_batch")
"""Arguments that transformers hands to every attention and that change nothing here."""


# --- what can be trained so -------------------------------------------------------------------------------


def unsupported_reason(config: PreTrainedConfig, max_length: int) -> str | None:
    """Reason why this architecture cannot train on trees of up to `max_length` tokens; None: it can."""
    kind = config.model_type
    if (reason := architectures.unsupported_reason(config, max_length, keeps_states=True)) is not None:
        return reason
    for name in _DROPOUTS:
        if dropout := getattr(config, name, 0.0):
            return f"{kind} drops attention at random ({name} {dropout})"
    return None


# --- the attention ----------------------------------------------------------------------------------------


@contextmanager
def tree_attention(model: nn.Module) -> Iterator[None]:
    """Context manager in which `model` (or the model in a wrapper) attends along trees and takes nothing but
    `packed_trees_loss`."""
    AttentionInterface.register(NAME, _attend)
    mask_rules.register(NAME)
    parts = [part for part in model.modules() if isinstance(part, PreTrainedModel)]
    before = [(part.config, part.config._attn_implementation) for part in parts]  # noqa: SLF001
    try:
        for part in parts:
            part.set_attn_implementation(NAME)
        with along_trees(model) as vars(parts[0])[_MIXERS]:
            yield
    finally:
        vars(parts[0]).pop(_MIXERS, None)
        for config, implementation in before:
            config._attn_implementation = implementation  # noqa: SLF001


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """Scoring of keys in a layer: scale, softcap, sinks, and the rule of what a query sees."""

    rule: MaskRule | None = None
    """None: every token sees all before it."""
    scaling: float | None = None
    softcap: float | None = None
    sinks: Tensor | None = None
    """[heads]"""

    @property
    def is_plain(self) -> bool:
        """True where it is what SDPA computes without a mask."""
        return self.rule is None and self.softcap is None and self.sinks is None


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: object,
    *,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    trees: Trees | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention function with the signature of transformers: [1, heads, n, size] each in, [1, n, heads, size] out."""
    if trees is None:
        raise ValueError(
            "the trees did not reach the attention: inside tree_attention a model takes packed_trees_loss alone"
        )
    _check(others)
    if not isinstance(attention_mask, MaskRule) or attention_mask.unknown:
        raise ValueError("a mask reached the tree attention, which would drop it")
    trees.reached.add(id(module))
    if torch.is_autocast_enabled(query.device.type):
        dtype = torch.get_autocast_dtype(query.device.type)
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    if query.shape[0] != 1 or query.shape[2] != len(trees.ends):
        raise ValueError(
            f"packed trees of {len(trees.ends)} tokens cannot be seen through queries {tuple(query.shape)}"
        )
    if trees.kept is not None:
        trees.kept[id(module)] = key, value
        if len(trees.kept) == trees.layers:
            raise _AllKept
    rule = None if attention_mask.is_causal_within(trees.deepest + 1) else attention_mask
    scoring = Scoring(rule=rule, scaling=scaling, softcap=softcap, sinks=s_aux)
    if isinstance(trees, Branches):
        found = _behind_prefixes(query, key, value, trees, scoring, trees.before[id(module)])
        return found.transpose(1, 2).contiguous(), None
    return _way(query, value, scoring)(query, key, value, trees, scoring).transpose(1, 2).contiguous(), None


def _check(others: dict[str, Any]) -> None:
    """Raise ValueError for attention options that are not supported here."""
    others.pop("sliding_window", None)  # as for SDPA, it is the mask that says what is seen
    if others.pop("is_causal", None) is False:
        raise ValueError("trees are causal; this attention is called with is_causal=False")
    unknown = [name for name, argument in others.items() if name not in _HARMLESS and not _is_nothing(argument)]
    if unknown:
        raise ValueError(f"the tree attention does not know {', '.join(unknown)}; train on rows instead")


def _is_nothing(argument: object) -> bool:
    return argument is None or (isinstance(argument, bool | int | float) and not argument)


_Way: TypeAlias = Callable[[Tensor, Tensor, Tensor, Trees, Scoring], Tensor]


def _way(query: Tensor, value: Tensor, scoring: Scoring) -> _Way:
    kernels = hasattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu_backward")
    usual = query.device.type == "cpu" and kernels and query.dtype in _KERNEL_TYPES
    if scoring.is_plain and usual and query.shape[-1] == value.shape[-1]:
        return _by_paths
    if query.device.type == "cuda" and query.dtype != torch.float64 and scoring.sinks is None:
        return _by_blocks
    return _by_gathering


def _behind_prefixes(
    query: Tensor, key: Tensor, value: Tensor, branches: Branches, scoring: Scoring, before: tuple[Tensor, Tensor]
) -> Tensor:
    """Attention of branches to their path, whose start is in `before`; [1, heads, n, size]."""
    if scoring.is_plain:
        return attend_by_products(query, key, value, before, branches, scoring.scaling)
    keys, values = (torch.cat(parts, dim=2) for parts in zip(before, (key, value), strict=True))
    return _by_gathering(query, keys, values, branches, scoring)


def _by_paths(query: Tensor, key: Tensor, value: Tensor, trees: Trees, scoring: Scoring) -> Tensor:
    return cast("Tensor", _Paths.apply(query, key, value, trees, scoring.scaling))


def _by_gathering(query: Tensor, key: Tensor, value: Tensor, trees: Trees, scoring: Scoring) -> Tensor:
    """Attention of blocks of queries to the keys on their path; [1, heads, n, size]."""
    seen: list[Tensor] = []
    for rows, keys, mask in trees.gathered(scoring.rule):
        parts = query[:, :, rows], key[:, :, keys], value[:, :, keys]
        if scoring.softcap is None and scoring.sinks is None:
            part = functional.scaled_dot_product_attention(
                *parts, attn_mask=mask, scale=scoring.scaling, enable_gqa=query.shape[1] != key.shape[1]
            )
        else:
            bias = query.new_zeros(mask.shape).masked_fill_(~mask, float("-inf"))
            part = scored_attention(*parts, bias, scaling=scoring.scaling, softcap=scoring.softcap, sinks=scoring.sinks)
        seen.append(part)
    return torch.cat(seen, dim=2)


def _by_blocks(query: Tensor, key: Tensor, value: Tensor, trees: Trees, scoring: Scoring) -> Tensor:
    """Attention with FlexAttention, compiled once by transformers; [1, heads, n, size]."""
    from transformers.integrations.flex_attention import compile_friendly_flex_attention

    flex, count = cast("Callable[..., Tensor]", compile_friendly_flex_attention), query.shape[1]
    if grouped := count & (count - 1) == 0:  # as transformers does: groups only where heads are a power of two
        parts = query, key, value
    else:
        parts = query, *(part.repeat_interleave(count // part.shape[1], dim=1) for part in (key, value))
    capped = {} if scoring.softcap is None else {"score_mod": partial(_capped, scoring.softcap)}
    mask = trees.block_mask(scoring.rule)
    return flex(*parts, block_mask=mask, enable_gqa=grouped, scale=scoring.scaling, training=True, **capped)


def _capped(softcap: float, score: Tensor, *_: Tensor) -> Tensor:
    return torch.tanh(score / softcap) * softcap


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

        def parts(queries: Span, keys: Span, *, causal: bool) -> Iterator[tuple[Tensor, Tensor]]:
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


def _cut(parts: Sequence[Tensor], queries: Span, keys: Span) -> tuple[Tensor, Tensor, Tensor]:
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
    return _projected(model, packed, Trees(packed, next(model.parameters()).device))


@torch.no_grad()
def prefix_keys(model: nn.Module, split: PrefixSplit) -> Kept:
    """Keys and values of the tokens of frozen prefixes, for `branch_logits`. Call it inside `tree_attention`."""
    trees = Trees(split.prefix, next(model.parameters()).device)
    trees.kept, trees.layers = {}, architectures.layers_with_context(_core(model).config)
    with suppress(_AllKept):
        _run(model, split.prefix, trees, split.prefix.at[:0])
    return trees.kept


class _AllKept(Exception):  # noqa: N818 - it ends a forward of which the rest is of no use
    """Signal that the last layer has computed its keys and values."""


def branch_logits(model: nn.Module, split: PrefixSplit, before: Kept) -> tuple[Tensor, Tensor]:
    """As `packed_trees_logits`, of the whole trees, computed for their branches alone.

    `before`: of `prefix_keys`, of the same weights.
    """
    return _projected(model, split.branches, Branches(split, next(model.parameters()).device, before))


def _projected(model: nn.Module, packed: PackedTrees, trees: Trees) -> tuple[Tensor, Tensor]:
    """Logits of the positions with targets, and the row of each target in them."""
    at, which = np.unique(packed.at, return_inverse=True)
    logits = _run(model, packed, trees, at)
    if logits.shape[:2] != (1, len(at)):
        raise ValueError(f"{type(model).__name__} projected {tuple(logits.shape[:2])} positions, not {len(at)}")
    if logits.requires_grad:
        logits.register_hook(partial(_check_inside, _core(model), trees))
    return logits[0], _on(which, logits.device)


def _run(model: nn.Module, packed: PackedTrees, trees: Trees, at: np.ndarray) -> Tensor:
    """Logits of the tokens `at` some places of a row, [1, k, vocabulary]."""
    device, core = trees.ends.device, _core(model)
    mixers: TreeMixers | None = getattr(core, _MIXERS, None)
    if mixers is not None:
        mixers.trees = trees
    logits: Tensor = model(
        input_ids=_on(packed.ids, device)[None],
        position_ids=_on(packed.depths, device)[None],
        # Without a mask of padding transformers would take branches for texts packed in a row.
        attention_mask=torch.ones((1, packed.tokens), dtype=torch.bool, device=device),
        logits_to_keep=_on(at, device),
        use_cache=False,
        trees=trees,
    ).logits
    _check_reached(core.config, trees)
    return logits


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
    expected = architectures.layers_with_context(config)
    if len(trees.reached) != expected:
        raise ValueError(
            f"{len(trees.reached)} of {expected} layers attended along trees; "
            "packed_trees_loss works inside tree_attention, on models that suit"
        )


def _check_inside(core: PreTrainedModel, trees: Trees, gradient: Tensor) -> None:
    """Check that the backward pass runs within `tree_attention`, and next: gradient checkpointing computes the layers
    again there."""
    mixers: TreeMixers | None = getattr(core, _MIXERS, None)
    if core.config._attn_implementation != NAME or mixers is None or mixers.trees is not trees:  # noqa: SLF001
        raise ValueError(
            "the backward pass of packed_trees_loss works inside tree_attention too, before the next forward"
        )


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
