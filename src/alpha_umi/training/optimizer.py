"""Muon for the matrices inside the layers and AdamW for all else, as one torch optimizer.

Muon (Jordan and others, 2024) steps along the orthogonalised momentum of a matrix. Matrices of one shape are
orthogonalised together, in float32, which is what makes it cheap for small models on a CPU. Weights that are
spread over processes keep their state spread; only the matrices of one shape at a time travel.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Shard
from torch.nn import Parameter
from transformers import PreTrainedModel

from alpha_umi.config import StageConfig

_MOMENTUM = 0.95
_BETAS = (0.9, 0.95)
_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of the Newton-Schulz iteration as published with Muon."""
_ROUNDS = 5

_Weight: TypeAlias = tuple[Parameter, Tensor]
"""A weight and its gradient."""


def make_optimizer(model: PreTrainedModel, settings: StageConfig) -> torch.optim.Optimizer:
    """Make the optimizer named by `settings`; only weights with two or more dimensions decay."""
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    matrices: dict[str, Parameter] = {}
    if settings.optimizer == "muon":
        tables = (model.get_input_embeddings(), model.get_output_embeddings())
        outer = {id(table.weight) for table in tables if table is not None}
        matrices = {name: weight for name, weight in trained.items() if weight.ndim == 2 and id(weight) not in outer}
    rest = [weight for name, weight in trained.items() if name not in matrices]
    decay, rate = settings.weight_decay, settings.learning_rate
    groups: list[dict[str, Any]] = [
        {"params": [weight for weight in rest if weight.ndim >= 2], "lr": rate, "weight_decay": decay},
        {"params": [weight for weight in rest if weight.ndim < 2], "lr": rate, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, betas=(0.9, 0.999))
    matrix_group = {"params": list(matrices.values()), "lr": settings.muon_learning_rate, "weight_decay": decay}
    return MuonWithAdamW([matrix_group | {"muon": True}, *(group | {"muon": False} for group in groups)])


class MuonWithAdamW(torch.optim.Optimizer):
    """Optimizer with Muon for the groups marked `muon`, which hold matrices, and AdamW for the others."""

    def __init__(self, groups: Iterable[dict[str, Any]]) -> None:
        super().__init__(groups, {"lr": 1e-3, "weight_decay": 0.0, "muon": False})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [(weight, weight.grad) for weight in group["params"] if weight.grad is not None]
            if group["muon"]:
                self._step_muon(weights, group["lr"], group["weight_decay"])
            else:
                self._step_adamw(weights, group["lr"], group["weight_decay"])
        return loss

    def _step_muon(self, weights: list[_Weight], rate: float, decay: float) -> None:
        same_shape: dict[torch.Size, list[_Weight]] = defaultdict(list)
        for weight, gradient in weights:
            same_shape[weight.shape].append((weight, gradient))
        for (height, width), stack in same_shape.items():
            gradients = [_local(gradient) for _, gradient in stack]
            momenta = [_local(self._state(weight, "momentum")) for weight, _ in stack]
            for momentum, gradient in zip(momenta, gradients, strict=True):
                momentum.lerp_(gradient, 1 - _MOMENTUM)
            ahead = torch.lerp(torch.stack(gradients), torch.stack(momenta), _MOMENTUM)
            steps = _orthogonalise_spread(ahead.float(), like=stack[0][0])
            scale = rate * max(1.0, height / width) ** 0.5
            for (weight, _), step in zip(stack, steps, strict=True):
                _local(weight).mul_(1 - rate * decay).add_(step.to(weight.dtype), alpha=-scale)

    def _step_adamw(self, weights: list[_Weight], rate: float, decay: float) -> None:
        for weight, gradient in weights:
            first, second, count = (_local(self._state(weight, name)) for name in ("first", "second", "count"))
            count += 1
            steps = float(count.flatten()[0])
            mine = _local(gradient)
            first.lerp_(mine, 1 - _BETAS[0])
            second.mul_(_BETAS[1]).addcmul_(mine, mine, value=1 - _BETAS[1])
            scale = (second / (1 - _BETAS[1] ** steps)).sqrt_().add_(1e-8)
            _local(weight).mul_(1 - rate * decay).addcdiv_(first, scale, value=-rate / (1 - _BETAS[0] ** steps))

    def _state(self, weight: Parameter, name: str) -> Tensor:
        state = self.state[weight]
        if name not in state:
            state[name] = torch.zeros(1) if name == "count" else torch.zeros_like(weight)
        return state[name]


def _local(tensor: Tensor) -> Tensor:
    """Local shard of a tensor, sharing its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _orthogonalise_spread(mine: Tensor, like: Tensor) -> Tensor:
    """Orthogonalise a stack of matrices sharded by rows over the processes, as `like` is.

    Each process is sent whole matrices, a share of the stack, and sends back the rows of its results: it computes
    1/N of the work and holds no more numbers than before, if the stack has at least N matrices (gloo has no
    all-to-all and gathers the whole stack on the way).
    """
    if not isinstance(like, DTensor):
        return orthogonalise(mine)
    shape = torch.Size((len(mine), *like.shape))
    stride = (like.shape[0] * like.shape[1], like.shape[1], 1)
    mesh, rows, whole = like.device_mesh, [Shard(1)], [Shard(0)]
    if list(like.placements) != [Shard(0)]:
        raise NotImplementedError(f"Muon for weights laid out as {like.placements}")
    share = DTensor.from_local(mine, mesh, rows, shape=shape, stride=stride).redistribute(placements=whole).to_local()
    steps = orthogonalise(share) if len(share) else share
    return DTensor.from_local(steps, mesh, whole, shape=shape, stride=stride).redistribute(placements=rows).to_local()


def orthogonalise(matrices: Tensor) -> Tensor:
    """Nearest matrices with singular values about one (0.7 to 1.2). `matrices`: [stack, height, width]."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = _QUINTIC
    for _ in range(_ROUNDS):
        gram = x @ x.mT
        x = a * x + torch.baddbmm(gram, gram, gram, beta=b, alpha=c) @ x
    return x.mT if tall else x
