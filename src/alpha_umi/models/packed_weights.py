"""Linear layers with the matrices of 4 and 8 bits of a GGUF file, for steps of few tokens, which are bound by reading.

Blocks of 32 values keep their own scale and offset, rounded to bfloat16, so what is computed is what bfloat16 weights
give, up to the rounding of either; a value of 8 bits is two of 4. Layers that read one input are one matrix. torch has
a fast product for bfloat16 inputs alone, and that on processors with AVX512; elsewhere nothing is packed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

BLOCK = 32
"""Values that share a scale and an offset."""
FEW = 8
"""Tokens up to which products with packed matrices are faster than with bfloat16 ones."""
_UNIT = 64
"""Rows that torch packs together."""
_AT_ONCE = 16 * _UNIT
"""Rows that are unpacked at once."""
_MOST_CHANGED = 256
"""Rows of an embedding that are computed by themselves."""
_OFFSETS: Mapping[str, int] = {"Q4_0": 2, "Q4_1": 4, "Q8_0": 2}
"""Bytes of a block before its values, by the kinds that can be packed."""


def can_pack(dtype: torch.dtype) -> bool:
    """Test if this processor has fast products of packed matrices with inputs of `dtype`."""
    return dtype == torch.bfloat16 and torch.backends.cpu.get_cpu_capability() == "AVX512"


@dataclass(frozen=True, slots=True)
class Plane:
    """Matrix of 4 bits: its values as torch packs them, and scale and offset of each block."""

    values: Tensor
    scales: Tensor
    """[columns / BLOCK, rows, 2]"""


def pack(kind: str, blocks: np.ndarray, shape: Sequence[int], heads: int | None = None) -> tuple[Plane, ...] | None:
    """Pack the blocks of a stored matrix, [blocks, bytes]; None for a kind or a shape that cannot be.

    The matrix is the sum of the planes. `heads`: of a matrix whose rows llama.cpp has in another order than
    transformers.
    """
    if kind not in _OFFSETS or len(shape) != 2 or shape[0] % _UNIT or shape[1] % BLOCK:
        return None
    bits = torch.from_numpy(blocks.copy()).view(shape[0], shape[1] // BLOCK, -1)
    if heads is not None:
        bits = bits.view(heads, shape[0] // heads // 2, 2, *bits.shape[1:]).swapaxes(1, 2).reshape(bits.shape)
    halves = bits[:, :, :4].contiguous().view(torch.float16).float()
    scale, values = halves[:, :, 0], bits[:, :, _OFFSETS[kind] :]
    if kind == "Q8_0":
        values = values ^ 128  # from signed ones to those above -128
        return _plane(values >> 4, 16 * scale, torch.zeros_like(scale)), _plane(values & 15, scale, 8 * scale)
    values = torch.cat((values & 15, values >> 4), dim=2)
    return (_plane(values, scale, torch.zeros_like(scale) if kind == "Q4_0" else halves[:, :, 1] + 8 * scale),)


def _plane(values: Tensor, scale: Tensor, middle: Tensor) -> Plane:
    """Pack values from 0 to 15, [rows, blocks, BLOCK]; `middle`: what 8 stands for in each block."""
    packed = [
        torch.ops.aten._convert_weight_to_int4pack_for_cpu(rows.int(), 1)  # noqa: SLF001
        for rows in values.flatten(1).split(_AT_ONCE)
    ]
    scales = torch.stack((scale, middle), dim=2).transpose(0, 1).contiguous().to(torch.bfloat16)
    return Plane(torch.cat(packed), scales)


class PackedLayers:
    """Linear layers that read one input, as one packed matrix, beside their own weights.

    What has changed of the weights since is seen: new or few changed rows of an embedding are computed by themselves,
    with anything else changed the layers run as they are.
    """

    def __init__(
        self, layers: Sequence[nn.Linear], planes: Sequence[tuple[Plane, ...]], *, rows_may_change: bool = False
    ) -> None:
        """Take the planes of each layer, as many of each. `rows_may_change`: of one layer that is an embedding, too."""
        self._layers, self._columns = list(layers), layers[0].in_features
        self._parameters = [layer._parameters for layer in layers]  # noqa: SLF001 - found in a tenth of the time
        self._sizes = [layer.out_features for layer in layers]
        self._planes = [
            Plane(torch.cat([one.values for one in each]), torch.cat([one.scales for one in each], dim=1))
            for each in zip(*planes, strict=True)
        ]
        self._state = self._now()
        self._rows = sum(self._sizes)
        self._sums = layers[0].weight.sum(dim=1, dtype=torch.float32) if rows_may_change else None
        self._changed: tuple[Tensor, Tensor] | None = None
        """Places of the rows that are not as packed, and these rows."""

    @property
    def bytes(self) -> int:
        """Bytes of the packed matrix."""
        return sum(plane.values.nbytes + plane.scales.nbytes for plane in self._planes)

    def product(self, given: Tensor) -> Tensor | None:
        """Outputs of all layers side by side, [..., in] to [..., out], without biases.

        None where the layers are to run as they are: for many tokens, or with weights that have changed.
        """
        if given.numel() > FEW * self._columns or (self._state != self._now() and not self._follows()):
            return None
        rows = given.reshape(-1, self._columns)
        first, *others = self._planes
        out = torch.ops.aten._weight_int4pack_mm_for_cpu(rows, first.values, BLOCK, first.scales)  # noqa: SLF001
        for plane in others:
            out += torch.ops.aten._weight_int4pack_mm_for_cpu(rows, plane.values, BLOCK, plane.scales)  # noqa: SLF001
        if self._changed is not None:
            places, own = self._changed
            out = functional.pad(out, (0, self._layers[0].out_features - self._rows))
            out[:, places] = functional.linear(rows, own)
        return out.view(*given.shape[:-1], -1)

    def outputs(self, given: Tensor) -> Sequence[Tensor] | None:
        """The output of each layer, biases and adapters included; None as `product`."""
        out = self.product(given)
        if out is None:
            return None
        parts = out.split(self._sizes, dim=-1)
        for layer, parameters, own in zip(self._layers, self._parameters, parts, strict=True):
            if (bias := parameters["bias"]) is not None:
                own += bias
            for hook in layer._forward_hooks.values():  # noqa: SLF001
                hook(layer, (given,), own)
        return parts

    def _now(self) -> list[int]:
        found: list[int] = []
        for parameters in self._parameters:
            weight = cast("Tensor", parameters["weight"])
            found += (weight.data_ptr(), weight._version)  # noqa: SLF001
        return found

    def _follows(self) -> bool:
        """Note the rows that have changed or are new; False where they are many."""
        if self._sums is None:
            return False
        weight = self._layers[0].weight
        is_same = torch.zeros(len(weight), dtype=torch.bool)
        is_same[: self._rows] = weight[: self._rows].sum(dim=1, dtype=torch.float32) == self._sums
        places = (~is_same).nonzero().squeeze(1)
        if len(places) > _MOST_CHANGED:
            self._sums = None
            return False
        self._changed, self._state = (places, weight[places]), self._now()
        return True
