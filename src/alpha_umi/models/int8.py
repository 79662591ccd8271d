"""Linear layers with weights of 8 bits for decoding on a CPU, which reads every weight once for each token.

A weight is a whole number from -127 to 127 times the scale of its row. Values of a row of activations are sums of two
numbers of 7 bits each, coarse and fine, so that a product is the one with the dequantised weights to 1e-3 of its size,
and is the same whatever other rows there are. Inputs of more rows, such as prompts, are multiplied by the dequantised
weights, which stay in memory. The kernels are torch's (FBGEMM): 7 bits, since sums of two products must fit 16 bits on
processors without VNNI.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from alpha_umi.errors import CheckpointError
from alpha_umi.models.shared_inputs import SharedResult, group_by_input

_ENGINE = "fbgemm"
_MOST_ROWS, _MOST_ROWS_OF_LARGE = 4, 32
"""Most rows that are multiplied in 8 bits; beyond, a layer's float32 weights are faster, of a large one later."""
_LARGE = 16_000_000
"""Weights of a large layer, such as the projection to the vocabulary."""
_STEPS = 63
"""Largest whole number of the coarse part; the fine part has as many steps to half a coarse one."""
_ZERO_POINT = 64
_TINY = 1e-30


class Int8Linear(nn.Linear):
    """Linear layer whose float32 weights are those of 8 bits; it has them in both forms."""

    def attach(self, packed: PackedLinears, index: int) -> None:
        """Set the packed weights, which other layers of one input share, and where its own stand in them."""
        vars(self)["_packed"], vars(self)["_index"] = packed, index

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # its name in nn.Linear
        packed = cast("PackedLinears", vars(self)["_packed"])
        if torch.is_grad_enabled() or input.dtype != torch.float32 or input[..., 0].numel() > packed.most_rows:
            return super().forward(input)
        return packed.product(input, cast("int", vars(self)["_index"]))


class PackedLinears:
    """Weights of linear layers that read one input, in 8 bits, one below the other."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        """Take the weights of layers, and set them to what 8 bits make of them."""
        weight = torch.cat([layer.weight.detach() for layer in layers])
        scales = weight.abs().amax(dim=1).clamp_(min=_TINY).div_(127)
        with warnings.catch_warnings():
            # torch says that tensors of these dtypes will go; the kernels take no others.
            warnings.simplefilter("ignore")
            whole = torch.quantize_per_channel(
                weight, scales.double(), torch.zeros(len(weight), dtype=torch.int64), 0, torch.qint8
            )
            self._packed = torch.ops.quantized.linear_prepack(whole, None)
            weight = whole.dequantize()
        self.most_rows = _MOST_ROWS_OF_LARGE if weight.numel() > _LARGE else _MOST_ROWS
        self.bytes = weight.numel() + 4 * len(weight)
        self._biases = [layer.bias for layer in layers]
        sizes = [layer.out_features for layer in layers]
        for layer, own in zip(layers, weight.split(sizes), strict=True):
            layer.weight.data.copy_(own)
        self._sizes = sizes
        self._shared = SharedResult[Sequence[Tensor]](len(layers))

    def product(self, given: Tensor, index: int) -> Tensor:
        """The output of the layer of that index. `given`: [..., in], float32."""
        parts = self._shared.get(given, None, lambda: self._products(given))
        bias = self._biases[index]
        return parts[index] if bias is None else parts[index] + bias

    def _products(self, given: Tensor) -> Sequence[Tensor]:
        rows = given.reshape(-1, given.shape[-1])
        count = len(rows)
        largest = torch.linalg.vector_norm(rows, float("inf"), dim=1, keepdim=True).clamp_(min=_TINY)
        scaled = rows * (_STEPS / largest)
        both = scaled.new_empty(2 * count, scaled.shape[1])
        coarse, fine = both[:count], both[count:]
        torch.round(scaled, out=coarse)
        torch.sub(scaled, coarse, out=fine).mul_(2 * _STEPS)
        found = cast("Tensor", _multiply()(both, 1.0, _ZERO_POINT, self._packed))
        out = found[:count].add_(found[count:], alpha=0.5 / _STEPS).mul_(largest / _STEPS)
        return out.view(*given.shape[:-1], -1).split(self._sizes, dim=-1)


def quantize_int8(model: PreTrainedModel) -> None:
    """Give all linear layers of a model on the CPU weights of 8 bits, in place; each is then a sum of float32 noise
    away from its dequantised weights.

    Raises CheckpointError where the weights are not float32 on a CPU, or torch has no such kernels here.
    """
    if model.device.type != "cpu" or model.dtype != torch.float32:
        kind = f"{str(model.dtype).removeprefix('torch.')} on {model.device.type}"
        raise CheckpointError(f"quantize = 'int8' is for float32 weights on a CPU, and these are {kind}; leave it out")
    if _ENGINE not in torch.backends.quantized.supported_engines or not hasattr(torch.ops.quantized, _NAME):
        raise CheckpointError(f"quantize = 'int8': this torch has no kernels for it ({_ENGINE}); leave it out")
    layers = {name: module for name, module in model.named_modules() if type(module) is nn.Linear}
    engine = torch.backends.quantized.engine
    torch.backends.quantized.engine = _ENGINE
    try:
        for group in group_by_input(layers):
            packed = PackedLinears([layers[name] for name in group])
            for index, name in enumerate(group):
                layers[name].__class__ = Int8Linear
                cast("Int8Linear", layers[name]).attach(packed, index)
    finally:
        torch.backends.quantized.engine = engine


def packed_bytes(model: nn.Module) -> int:
    """Bytes of the weights of 8 bits of a model, beside those of float32."""
    packed = {id(each): each for module in model.modules() if (each := vars(module).get("_packed")) is not None}
    return sum(cast("PackedLinears", each).bytes for each in packed.values())


_NAME = "linear_with_input_q_dq_qweight_dq_output_fp32"


def _multiply() -> Any:
    return getattr(torch.ops.quantized, _NAME)
