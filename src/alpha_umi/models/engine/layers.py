"""Layers of a model as the engine runs them: the shapes that they keep, and short convolutions over request caches.

A convolution's inputs are kept per token, as keys are, so they are shared, evicted and copied as keys are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor, nn

from alpha_umi.models import architectures
from alpha_umi.models.engine.attention import BATCH_ARGUMENT, AttentionInputs
from alpha_umi.models.engine.kv_cache import KVShape, LayerShape
from alpha_umi.models.mixers import called_by, mixers_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class UnsupportedLayersError(Exception):
    """Layers of a model that the engine does not reach, know or tell apart."""


class ConvolutionBatch(Protocol):
    """Batch for convolutions (protocol); a ForwardBatch satisfies it."""

    def windows(self, layer: int, inputs: Tensor, width: int) -> Tensor:
        """Inputs, [tokens, channels], to those of each token's output, [tokens, channels, width]."""
        ...


@contextmanager
def convolving(mixers: Sequence[nn.Module], batch: ConvolutionBatch) -> Iterator[None]:
    """Let short convolutions look back along the requests of a batch, in the forwards inside."""
    with ExitStack() as calls:
        for module in mixers:
            calls.enter_context(called_by(module, _in_batch(batch)))
        yield


def _in_batch(batch: ConvolutionBatch) -> Callable[..., Tensor]:
    def call(forward: Callable[..., Tensor], hidden: Tensor, **others: object) -> Tensor:
        """Each token is a text of its own to the layer, with its window for a past."""
        own = others | {"cache": _Windows(batch), "attention_mask": None}
        return forward(hidden.transpose(0, 1), **own).transpose(0, 1)

    return call


class _Windows:
    """Stand-in (models.mixers.MixerCache) for the cache in one call."""

    def __init__(self, batch: ConvolutionBatch) -> None:
        self._batch = batch

    def get_conv_state(self, layer_idx: int, state_idx: int = 0) -> Tensor | None:
        return None

    def get_recurrent_state(self, layer_idx: int, state_idx: int = 0) -> Tensor | None:
        raise ValueError("a recurrent state cannot be kept per token")

    def update_conv_state(
        self, conv_states: Tensor, layer_idx: int, state_idx: int = 0, conv_kernel_size: int | None = None
    ) -> Tensor:
        if state_idx or conv_kernel_size is None:
            raise ValueError("the engine does not know this kind of convolution")
        return self._batch.windows(layer_idx, conv_states[:, :, 0], conv_kernel_size)

    def update_recurrent_state(self, recurrent_states: Tensor, layer_idx: int, state_idx: int = 0) -> Tensor:
        raise ValueError("a recurrent state cannot be kept per token")

    def is_recording_past(self, layer_idx: int) -> bool:
        return True


def kv_shape(model: PreTrainedModel) -> KVShape:
    """The shape of what the layers of a model keep, from a forward of one token; attention must be installed.

    Raises UnsupportedLayersError for a model whose layers the engine does not reach, know or tell apart.
    """
    probe, token = _ShapeProbe(), torch.zeros((1, 1), dtype=torch.int64, device=model.device)
    inputs = {"input_ids": token, "position_ids": token, "attention_mask": torch.ones_like(token, dtype=torch.bool)}
    try:
        with torch.inference_mode(), convolving(mixers_of(model), probe):
            cast("Any", model)(**inputs, use_cache=False, **{BATCH_ARGUMENT: probe})
    except Exception as error:  # whatever an unknown layer raises when it is given what it does not expect
        raise UnsupportedLayersError(f"its layers cannot run in the engine: {error}") from error
    if len(probe.layers) < architectures.layers_with_context(model.config):
        raise UnsupportedLayersError("not all of its layers attend through transformers' AttentionInterface")
    return KVShape(layers=probe.layers, dtype=model.dtype, device=model.device)


class _ShapeProbe:
    """Stand-in for a ForwardBatch of one token at the start of a text, that notes what each layer writes."""

    def __init__(self) -> None:
        self.layers: dict[int, LayerShape] = {}

    def attend(self, layer: int, inputs: AttentionInputs) -> Tensor:
        """The value of the token for every query head, [1, 1, heads, size]."""
        heads, value = inputs.key.shape[1], inputs.value
        self._note(layer, LayerShape(heads=heads, key_size=inputs.key.shape[3], value_size=value.shape[3]))
        return value.repeat_interleave(inputs.query.shape[1] // heads, dim=1).transpose(1, 2)

    def windows(self, layer: int, inputs: Tensor, width: int) -> Tensor:
        """The token alone."""
        self._note(layer, LayerShape(heads=1, key_size=inputs.shape[1], value_size=0))
        return inputs[:, :, None]

    def _note(self, layer: int, shape: LayerShape) -> None:
        if layer in self.layers:
            raise ValueError(f"two of its layers have the number {layer}")
        self.layers[layer] = shape
