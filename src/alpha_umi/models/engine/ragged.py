"""Attention over lanes of unlike lengths without padding between them: one call for those that write, one for prompts.

What a GPU takes. Lanes lie token by token there, [lanes x width, heads, size], so that the flash attention in PyTorch
reads every request's keys where they lie; it is compared with the plain computation before it is trusted. In float32,
and where it is not there or computes something else, the plain computation takes its place, on any device.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from alpha_umi.models.engine.trie import Numbers

if TYPE_CHECKING:
    from alpha_umi.models.engine.attention import Part
    from alpha_umi.models.engine.memory import Memory

_LOG = logging.getLogger(__name__)
_NARROW = (torch.bfloat16, torch.float16)
_WIDEST_HEAD = 256
_TOLERANCE = 0.03
"""Of the proof, in attended values of about 1: bfloat16 keeps eight bits."""
_KINDS = (
    ((1, 1, 1), (300, 1, 512)), ((1,), (401,)), ((1, 1), (9, 4)), ((200, 2, 33), (200, 500, 300)), ((3, 4), (3, 9)),
)  # fmt: skip
"""Steps of the proof: queries of each request, and tokens that its lane holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """Which queries see which tokens: n requests, the last query of each sees all that is used of its lane."""

    queries: Tensor
    """[n + 1], int32: where each request's queries begin, and their number."""
    lanes: Tensor
    """[n + 1], int32: the token at which each request's lane begins; the last is not looked at."""
    used: Tensor
    """[n], int32: tokens of each lane."""
    longest: int
    """Most queries of a request."""
    reach: int
    """No lane is used beyond so many tokens."""
    width: int
    """Tokens from lane to lane."""
    parts: Sequence[tuple[slice, int, int]] = ()
    """The queries, lane and used tokens of each request, where `longest` is more than 1."""


Kernel: TypeAlias = Callable[[Tensor, tuple[Tensor, Tensor], Spans, float | None], Tensor]
"""Queries [tokens, heads, size], and keys and values [places, heads, size], to [tokens, heads, size]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ragged:
    """The tokens of one forward: where their keys and values go, and what they see."""

    memory: Memory
    places: Tensor
    """[tokens]: where in the lanes each belongs."""
    spans: Sequence[tuple[slice, Spans]]
    kept: tuple[Tensor, Tensor] | None = None
    """Rows that are written to the pool as well, and their slots."""
    fills: tuple[Tensor, Tensor] | None = None
    """Where in the lanes tokens of the pool are copied to, and their slots."""
    longest: int = 0
    """Tokens of the longest request."""

    @classmethod
    def of(cls, parts: Sequence[Part], starts: Sequence[int], memory: Memory) -> Ragged:
        """`parts`: those of a step, single tokens first; `starts`: the row of the first token of each."""
        device, width = memory.shape.device, memory.width
        places = [np.arange(part.start, part.stop) + part.lane * width for part in parts]
        kept, fills = kept_of(parts, starts), fills_of(parts, width)
        return cls(
            memory=memory,
            places=_on(np.concatenate(places), device),
            spans=list(_spans(parts, starts, memory)),
            kept=None if kept is None else (_on(kept[0], device), _on(kept[1], device)),
            fills=None if fills is None else (_on(fills[0], device), _on(fills[1], device)),
            longest=max(part.stop for part in parts),
        )

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
        """[1, heads, tokens, size] each in, [1, tokens, heads, size] out."""
        lanes = self.memory.tokens_of[layer]
        for lane, pool, states in zip(lanes, self.memory.pools_of[layer], (key, value), strict=True):
            rows = states[0].transpose(0, 1)
            if self.kept is not None:
                pool.index_copy_(0, self.kept[1], rows.index_select(0, self.kept[0]))
            if self.fills is not None:
                lane.index_copy_(0, self.fills[0], pool.index_select(0, self.fills[1]))
            lane.index_copy_(0, self.places, rows)
        queries, kernel = query[0].transpose(0, 1), self.memory.kernel or plain
        found = [kernel(queries[rows], lanes, spans, scaling) for rows, spans in self.spans]
        return (found[0] if len(found) == 1 else torch.cat(found))[None]


def kept_of(parts: Sequence[Part], starts: Sequence[int]) -> tuple[Numbers, Numbers] | None:
    """Rows that are written to the pool as well, and their slots."""
    found = [(starts[at] - part.start + part.kept_from, part.kept) for at, part in enumerate(parts) if len(part.kept)]
    return _joined(found)


def fills_of(parts: Sequence[Part], width: int) -> tuple[Numbers, Numbers] | None:
    """Where in the lanes tokens of the pool are copied to, and their slots."""
    return _joined([(part.lane * width + part.fill_from, part.fill) for part in parts if len(part.fill)])


def _joined(runs: Sequence[tuple[int, Numbers]]) -> tuple[Numbers, Numbers] | None:
    """Numbers that count up from the start of each run, and those of the runs."""
    if not runs:
        return None
    return np.concatenate([start + np.arange(len(run)) for start, run in runs]), np.concatenate(
        [run for _, run in runs]
    )


def _spans(parts: Sequence[Part], starts: Sequence[int], memory: Memory) -> list[tuple[slice, Spans]]:
    """Of single tokens, and of longer parts."""
    device, width, found = memory.shape.device, memory.width, list[tuple[slice, Spans]]()
    singles = sum(len(part.ids) == 1 for part in parts)
    for first, some in ((0, parts[:singles]), (singles, parts[singles:])):
        if not some:
            continue
        here = starts[first : first + len(some) + 1]
        rows = [at - here[0] for at in here]
        lanes = [part.lane * width for part in some]
        used = [part.stop for part in some]
        numbers = _on(np.array([*rows, *lanes, 0, *used], dtype=np.int32), device)
        queries, begins, ends = numbers.split([len(rows), len(lanes) + 1, len(used)])
        spans = Spans(
            queries=queries, lanes=begins, used=ends, longest=max(len(part.ids) for part in some), reach=max(used),
            width=width, parts=[
                (slice(*pair), part.lane, part.stop) for part, pair in zip(some, pairwise(rows), strict=True)
            ],
        )  # fmt: skip
        found.append((slice(here[0], here[-1]), spans))
    return found


def _on(numbers: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(numbers)).to(device, non_blocking=True)


# --- the kernels ------------------------------------------------------------------------------------------


def plain(query: Tensor, lanes: tuple[Tensor, Tensor], spans: Spans, scale: float | None) -> Tensor:
    """Kernel by PyTorch's scaled dot product attention. One token per request: nothing is read back to the host."""
    heads, kept, size = query.shape[1], lanes[0].shape[1], query.shape[2]
    whole = len(lanes[0]) // spans.width * spans.width
    by_lane = [tokens[:whole].unflatten(0, (-1, spans.width)) for tokens in lanes]
    if spans.longest == 1:
        at = spans.lanes[:-1] // spans.width
        own = (tokens[:, : spans.reach].index_select(0, at).transpose(1, 2) for tokens in by_lane)
        seen = torch.arange(spans.reach, device=query.device) < spans.used[:, None]
        # Query heads that share a key head stand in the place of several tokens of one head.
        grouped = query.reshape(-1, kept, heads // kept, size)
        out = functional.scaled_dot_product_attention(grouped, *own, attn_mask=seen[:, None, None], scale=scale)
        return out.reshape(-1, heads, size)
    found: list[Tensor] = []
    for rows, lane, stop in spans.parts:
        # On a GPU no kernel takes both grouped heads and a mask, and without one all scores would be in memory at once.
        own = (tokens[lane, :stop].transpose(0, 1).repeat_interleave(heads // kept, dim=0)[None] for tokens in by_lane)
        places = torch.arange(stop, device=query.device)
        seen = places <= places[stop - (rows.stop - rows.start) :, None]
        out = functional.scaled_dot_product_attention(
            query[rows].transpose(0, 1)[None], *own, attn_mask=seen, scale=scale
        )
        found.append(out[0].transpose(0, 1))
    return torch.cat(found)


def flash(query: Tensor, lanes: tuple[Tensor, Tensor], spans: Spans, scale: float | None) -> Tensor:
    """Kernel by the flash attention in PyTorch for CUDA, in half precision."""
    out = torch.ops.aten._flash_attention_forward(  # noqa: SLF001
        query, *lanes, spans.queries, spans.lanes, spans.longest, spans.reach, 0.0, True, False,
        scale=scale, seqused_k=spans.used,
    )  # fmt: skip
    return cast("Tensor", out[0])


@functools.cache
def best_kernel(device: torch.device, dtype: torch.dtype, heads: tuple[int, int], size: int) -> Kernel:
    """The fastest kernel that computes here what `plain` does. `heads`: of queries, and of keys."""
    if device.type != "cuda" or dtype not in _NARROW or size % 8 or size > _WIDEST_HEAD:
        return plain
    try:
        far = difference(flash, device, dtype, heads, size)
    except Exception as error:  # an older GPU, or another PyTorch, refuses as it likes
        _LOG.warning("no flash attention over lanes here: %s", error)
        return plain
    if not far <= _TOLERANCE:
        _LOG.warning("flash attention over lanes computes something else here, by %.3g; it is not used", far)
        return plain
    return flash


@torch.inference_mode()
def difference(kernel: Kernel, device: torch.device, dtype: torch.dtype, heads: tuple[int, int], size: int) -> float:
    """By how much `kernel` misses the plain computation in float32, at most, on parts of several kinds."""
    generator = torch.Generator().manual_seed(0)
    width, worst = 512, 0.0

    def some(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(device, dtype)

    for lengths, used in _KINDS:
        rows, places = [0, *accumulate(lengths)], [2, 0, 1][: len(lengths)]
        spans = Spans(
            queries=torch.tensor(rows, dtype=torch.int32, device=device),
            lanes=torch.tensor([*(lane * width for lane in places), 0], dtype=torch.int32, device=device),
            used=torch.tensor(used, dtype=torch.int32, device=device), longest=max(lengths), reach=width, width=width,
            parts=[
                (slice(*pair), lane, stop)
                for pair, lane, stop in zip(pairwise(rows), places, used, strict=True)
            ],
        )  # fmt: skip
        query, lanes = (
            some(rows[-1], heads[0], size),
            (some(3 * width, heads[1], size), some(3 * width, heads[1], size)),
        )
        for lane, stop in zip(places, used, strict=True):
            lanes[1][lane * width + stop : (lane + 1) * width] = 1000  # to be seen by nobody
        wide = lanes[0].float(), lanes[1].float()
        far = (kernel(query, lanes, spans, None).float() - plain(query.float(), wide, spans, None)).abs().max()
        if far.isnan():
            return float("nan")
        worst = max(worst, float(far))
    return worst
