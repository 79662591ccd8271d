"""Convolutions and recurrences along prefix trees: a branch goes on from the state that its trunk left.

Each segment of a tree is one call of transformers' own layer, on a state that its parent's call left behind, with
gradients through it. The layers take one token by other code, which changes states in place, so one token alone never
advances a state: it is computed again before those that follow it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from alpha_umi.models.mixers import called_by, mixers_of
from alpha_umi.training.trees import Trees


class TreeMixers:
    """The mixers of a model that run along trees; see `along_trees`."""

    def __init__(self) -> None:
        self.trees: Trees | None = None
        """Those of the current forward; its backward pass may compute layers again."""

    def forward(self, module: nn.Module, forward: Callable[..., Tensor], hidden: Tensor, **others: object) -> Tensor:
        """The forward of a module, [1, n, size] to [1, n, size], segment by segment."""
        if self.trees is None or hidden.shape[:2] != (1, len(self.trees.ends)):
            raise ValueError(
                "the trees did not reach a mixer: inside tree_attention a model takes packed_trees_loss alone"
            )
        self.trees.reached.add(id(module))
        others.pop("attention_mask", None)  # of padding, of which there is none
        others.pop("trees", None)
        found: list[Tensor] = []
        behind: list[_State] = []
        for start, stop, parent in self.trees.segments.tolist():
            state = behind[parent] if parent >= 0 else _State()
            out, after = _go_on(forward, state, hidden[:, start:stop], others)
            found.append(out)
            behind.append(after)
        return torch.cat(found, dim=1)


def _go_on(
    forward: Callable[..., Tensor], state: _State, hidden: Tensor, others: dict[str, object]
) -> tuple[Tensor, _State]:
    """The outputs of a segment's tokens, and the state behind it."""
    whole = torch.cat([*state.left, hidden], dim=1)
    single = whole.shape[1] == 1
    cache = _SegmentCache(state)
    out = forward(whole.expand(-1, 2, -1) if single else whole, **(others | {"cache": cache}))
    if single:
        after = _State()
        after.convolved, after.recurrent, after.left = state.convolved, state.recurrent, [whole]
        return out[:, :1], after
    return out[:, -hidden.shape[1] :], cache.after


class _State:
    """The state of a layer behind a token: by the number of the state, and inputs that it does not hold yet."""

    def __init__(self) -> None:
        self.convolved: dict[int, Tensor] = {}
        self.recurrent: dict[int, Tensor] = {}
        self.left: list[Tensor] = []


class _SegmentCache:
    """Stand-in (models.mixers.MixerCache) for the cache in one call: the state before it, and the state after."""

    def __init__(self, before: _State) -> None:
        self._before, self.after = before, _State()

    def get_conv_state(self, layer_idx: int, state_idx: int = 0) -> Tensor | None:
        return self._before.convolved.get(state_idx)

    def get_recurrent_state(self, layer_idx: int, state_idx: int = 0) -> Tensor | None:
        return self._before.recurrent.get(state_idx)

    def update_conv_state(
        self, conv_states: Tensor, layer_idx: int, state_idx: int = 0, conv_kernel_size: int | None = None
    ) -> Tensor:
        before = self._before.convolved.get(state_idx)
        whole = conv_states if before is None else torch.cat([before, conv_states], dim=-1)
        width = conv_kernel_size or whole.shape[-1]
        self.after.convolved[state_idx] = functional.pad(whole, (max(0, width - whole.shape[-1]), 0))[..., -width:]
        return whole

    def update_recurrent_state(self, recurrent_states: Tensor, layer_idx: int, state_idx: int = 0) -> Tensor:
        self.after.recurrent[state_idx] = recurrent_states
        return recurrent_states

    def is_recording_past(self, layer_idx: int) -> bool:
        return True


@contextmanager
def along_trees(model: nn.Module) -> Iterator[TreeMixers]:
    """Context manager in which the mixers of `model` run along the trees that it is told."""
    mixers = TreeMixers()
    with ExitStack() as calls:
        for module in mixers_of(model):
            calls.enter_context(called_by(module, _bound(mixers, module)))
        yield mixers


def _bound(mixers: TreeMixers, module: nn.Module) -> Callable[..., Tensor]:
    def call(forward: Callable[..., Tensor], hidden: Tensor, **others: object) -> Tensor:
        return mixers.forward(module, forward, hidden, **others)

    return call
