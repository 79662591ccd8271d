"""Layers that mix tokens otherwise than by attention: short convolutions, Mamba, DeltaNet.

transformers' own modules compute them; here they are found, and for a while called in another way. All keep their
state in a cache that they ask for what came before and tell what they saw, so a stand-in for that cache decides what
came before.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, cast

from torch import Tensor, nn

_TELLS = {"update_conv_state", "update_recurrent_state"}


class MixerCache(Protocol):
    """Stand-in for transformers' cache, as far as such layers know it."""

    def get_conv_state(self, layer_idx: int, state_idx: int = 0) -> Tensor | None:
        """The last inputs of the convolution, [batch, channels, width]; None at the start of a text."""
        ...

    def get_recurrent_state(self, layer_idx: int, state_idx: int = 0) -> Tensor | None:
        """The state behind the last token; None at the start of a text."""
        ...

    def update_conv_state(
        self, conv_states: Tensor, layer_idx: int, state_idx: int = 0, conv_kernel_size: int | None = None
    ) -> Tensor:
        """Take inputs of the convolution, [batch, channels, tokens]; returns them behind earlier ones that count."""
        ...

    def update_recurrent_state(self, recurrent_states: Tensor, layer_idx: int, state_idx: int = 0) -> Tensor:
        """Take the state behind the last token."""
        ...

    def is_recording_past(self, layer_idx: int) -> bool:
        """True: single tokens go the way of many, which changes no state in place."""
        ...


def mixers_of(model: nn.Module) -> list[nn.Module]:
    """The modules of a model that keep a state in the cache other than keys and values."""
    return [module for module in model.modules() if _TELLS & _names(type(module))]


def _names(kind: type[nn.Module]) -> set[str]:
    code = getattr(inspect.unwrap(kind.forward), "__code__", None)
    return set(code.co_names) if code is not None else set()


@contextmanager
def called_by(module: nn.Module, call: Callable[..., Tensor]) -> Iterator[None]:
    """Let `call(forward, hidden_states, ...)` be the forward of a module."""
    attributes = vars(module)
    before, forward = attributes.get("forward"), cast("Callable[..., Tensor]", module.forward)

    def instead(hidden_states: Tensor, **others: object) -> Tensor:
        return call(forward, hidden_states, **others)

    attributes["forward"] = instead
    try:
        yield
    finally:
        if before is None:
            del attributes["forward"]
        else:
            attributes["forward"] = before
