"""LoRA and activated LoRA chosen per token: every token of a forward names the adapter that acts on it, 0 for none.

So several roles share one forward over one frozen base: packed training rows, and batches of a live agent.
An activated LoRA (Greenewald and others, 2025) acts from its invocation tokens on; the tokens before them get the
base's outputs, bit for bit. Laws: a token gets what it gets where its adapter is alone; the gradients of a joint
pass are the sums of those of separate passes. Weights on disk: models.adapter_files.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parameter import Parameter

from alpha_umi.errors import ConfigError
from alpha_umi.models.adapter_products import computed_dtype, products_by_adapter
from alpha_umi.models.adapter_stacks import FrozenStack, Selection
from alpha_umi.models.base_sketch import sketch
from alpha_umi.models.shared_inputs import group_by_input
from alpha_umi.models.token_rows import TokenRows, fold_rows
from alpha_umi.roles import ROLES
from alpha_umi.types import Role

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ADAPTERS: Mapping[Role, int] = {role: spec.adapter for role, spec in ROLES.items()}
"""The number of each role's adapter; 0 is the base alone."""
ALL_LINEAR = "all-linear"
_SEEDS = 5
"""Seeds of the adapters' first weights for each seed of a run; fixed, so that a run draws the same ever after."""
_ROWS_AT_ONCE = 128
"""Rows of a weight that are merged at once: their products in float64 stay in the processor's cache."""
_SAMPLED = 64
"""Values of each base weight in its fingerprint."""


class AdapterKind(StrEnum):
    """Kinds of adapters: acting on every token of a role's example, or from its invocation tokens on."""

    LORA = "lora"
    ALORA = "alora"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSettings:
    """Settings of new adapters; names and meanings are PEFT's."""

    kind: AdapterKind = AdapterKind.LORA
    rank: int = 16
    alpha: float = 32.0
    """The output of an adapter is multiplied by alpha / rank."""
    dropout: float = 0.0
    targets: tuple[str, ...] = (ALL_LINEAR,)
    """Last parts of the names of linear layers; `all-linear`: all but the projection to the vocabulary."""


_NONE = slice(0, 0)

# --- one layer --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Current:
    """The selection that is in force, for all layers of a model."""

    selection: Selection | None = None


class LoraPair(nn.Module):
    """The adapter of one role on one linear layer: `lora_A` [rank, in] and `lora_B` [out, rank], in float32."""

    def __init__(self, lora_a: Tensor, lora_b: Tensor, *, number: int, scaling: float) -> None:
        super().__init__()
        self.lora_A = Parameter(lora_a.float())
        self.lora_B = Parameter(lora_b.float())
        self.number = number
        self.scaling = scaling


class TokenLora(nn.ModuleDict):
    """The adapters on one linear layer, by role; a forward hook adds their outputs to the layer's."""

    def __init__(self, linear: nn.Linear, current: _Current) -> None:
        super().__init__()
        self.dropout = 0.0
        self._current = current
        self._hook = linear.register_forward_hook(self._add)
        self.group = _Group([self])

    def __setitem__(self, key: str, module: nn.Module) -> None:
        super().__setitem__(key, module)
        self.group.stack = None

    @property
    def pairs(self) -> list[LoraPair]:
        """The adapters, in the order in which they were added."""
        return [cast("LoraPair", pair) for pair in self.values()]

    def detach(self) -> None:
        """Remove the forward hook."""
        self._hook.remove()

    def _add(self, linear: nn.Module, arguments: tuple[Tensor, ...], result: Tensor) -> None:
        selection = self._current.selection
        if selection is None or not self._acts(selection, arguments[0]):
            return
        if not torch.is_grad_enabled() and not self.training:
            self.group.add(self, selection, arguments[0], result)
            return
        # An adapter that no token has still takes part in a training pass: its gradient is zero and not
        # missing, so that all processes of a sharded run reduce the same weights.
        pairs = [pair for pair in self.pairs if pair.number in selection.present or _learns(pair)]
        if not pairs:
            return
        tokens, out = arguments[0].reshape(-1, arguments[0].shape[-1]), result.view(-1, result.shape[-1])
        rows, spans = selection.by_number(tokens)
        active = (tokens if rows is None else tokens.index_select(0, rows)).to(computed_dtype(pairs[0].lora_A))
        dropped = functional.dropout(active, self.dropout, training=self.training)
        parts = [(spans.get(pair.number, _NONE), pair.scaling) for pair in pairs]
        weights = [weight for pair in pairs for weight in (pair.lora_A, pair.lora_B)]
        added = products_by_adapter(dropped, parts, weights).to(out.dtype)
        out.add_(added) if rows is None else out.index_add_(0, rows, added)

    def _acts(self, selection: Selection, given: Tensor) -> bool:
        """True where an adapter acts. Raises ValueError where the selection is for another number of tokens."""
        tokens = given.numel() // given.shape[-1]
        if selection.tokens is not None and tokens != selection.tokens:
            raise ValueError(f"adapters were selected for {selection.tokens} tokens, a layer was given {tokens}")
        return bool(selection.present)


class _Group:
    """Adapters on linear layers that read one input, and their frozen copy, made when they first run so."""

    def __init__(self, layers: Sequence[TokenLora]) -> None:
        self.layers = list(layers)
        self._places = {id(layer): at for at, layer in enumerate(layers)}
        self.stack: FrozenStack | None = None

    def add(self, layer: TokenLora, selection: Selection, given: Tensor, result: Tensor) -> None:
        """Add the outputs of the adapters on one of the layers to the layer's own, in place."""
        stack = self.stack
        if stack is None or (not stack.is_under_way(selection, given) and stack.changed):
            stack = self.stack = FrozenStack([each.pairs for each in self.layers])
        stack.add(self._places[id(layer)], selection, given, result)


def _learns(pair: LoraPair) -> bool:
    return torch.is_grad_enabled() and pair.lora_A.requires_grad


class _Checkpoint:
    """Gradient checkpointing that recomputes a layer under the selection of its forward."""

    def __init__(self, checkpoint: Callable[..., Any], current: _Current) -> None:
        self._checkpoint = checkpoint
        self._current = current

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Any:
        selection = self._current.selection

        def under_the_same_selection(*arguments: Any) -> Any:
            with _using(self._current, selection):
                return function(*arguments)

        return self._checkpoint(under_the_same_selection, *arguments)


@contextmanager
def _using(current: _Current, selection: Selection | None) -> Iterator[None]:
    before, current.selection = current.selection, selection
    try:
        yield
    finally:
        current.selection = before


# --- a model ----------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True, eq=False)
class Adapters:
    """The adapters on one model. One thread at a time may run that model."""

    layers: Mapping[str, TokenLora]
    """By the names of the linear layers."""
    invocations: Mapping[Role, tuple[int, ...]]
    """The invocation tokens of each role's adapter; none: it acts on every token of a prompt and a completion."""
    base: str | None
    """Fingerprint of the weights under the adapters; None where there is none (on no device, or in float16)."""
    sketch: str | None
    """Sketch of these weights; see models.base_sketch."""
    _current: _Current
    _checkpointed: Sequence[nn.Module] = field(default_factory=list[nn.Module])

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles that have an adapter."""
        return tuple(self.invocations)

    @contextmanager
    def select(self, numbers: Tensor | int) -> Iterator[None]:
        """Select the adapters of the forwards inside: ADAPTERS' numbers, [tokens] or [rows, tokens], or one for all.

        Outside, the base runs alone. Recomputation under gradient checkpointing keeps the selection.
        """
        if torch.is_grad_enabled():
            self._wrap_checkpointing()
        with _using(self._current, Selection(numbers, self.device)):
            yield

    @property
    def device(self) -> torch.device:
        """The device of the adapters; a trainer may move a model after they were attached."""
        pairs = (pair for layer in self.layers.values() for pair in layer.pairs)
        return next((pair.lora_A.device for pair in pairs), torch.device("cpu"))

    def active_from(self, role: Role, prompt: Sequence[int]) -> int | None:
        """The position from which the adapter of `role` acts; None where the prompt does not invoke it."""
        return active_from(prompt, self.invocations[role])

    @property
    def copy_bytes(self) -> int:
        """Bytes of the stacked copies that run, beside the adapters themselves."""
        groups = {id(layer.group): layer.group for layer in self.layers.values()}
        return sum(group.stack.bytes for group in groups.values() if group.stack is not None)

    def parameters(self, role: Role) -> dict[str, Parameter]:
        """The weights of the adapter of `role`, by their names in the model."""
        return {
            f"{name}.adapters.{role.value}.{part}": weight
            for name, layer in self.layers.items()
            if role.value in layer
            for part, weight in layer[role.value].named_parameters()
        }

    def _wrap_checkpointing(self) -> None:
        for module in self._checkpointed:
            checkpoint = module.__dict__.get("_gradient_checkpointing_func")
            if checkpoint is not None and not isinstance(checkpoint, _Checkpoint):
                vars(module)["_gradient_checkpointing_func"] = _Checkpoint(checkpoint, self._current)


def active_from(prompt: Sequence[int], invocation: Sequence[int]) -> int | None:
    """The position of the last `invocation` in a prompt; 0 for an empty one, None where there is none."""
    if not invocation:
        return 0
    wanted, width = list(invocation), len(invocation)
    starts = range(len(prompt) - width, -1, -1)
    return next((at for at in starts if list(prompt[at : at + width]) == wanted), None)


def attach(
    model: PreTrainedModel,
    settings: AdapterSettings,
    roles: Sequence[Role],
    *,
    invocations: Mapping[Role, Sequence[int]] | None = None,
    seed: int = 0,
) -> Adapters:
    """Give `model` one new adapter per role and freeze all else but rows of models.token_rows.

    A new adapter adds nothing: A is drawn as PEFT draws it, a function of (seed, role), and B is zero.
    `invocations`: the invocation tokens of each role's adapter; ignored for kind lora. Raises ConfigError when
    the model has no layer of a target's name, or tokens are missing.
    """
    tokens_of: dict[Role, tuple[int, ...]] = dict.fromkeys(roles, ())
    if settings.kind is AdapterKind.ALORA:
        tokens_of = {role: tuple((invocations or {}).get(role, ())) for role in roles}
        missing = ", ".join(role.value for role, tokens in tokens_of.items() if not tokens)
        if missing:
            raise ConfigError(f"adapter kind alora needs invocation tokens; the format has none for: {missing}")
    layers = _targets(model, settings.targets)
    adapters = install(model, list(layers), tokens_of)
    _freeze(model)
    for role in roles:
        generator = torch.Generator().manual_seed(seed * _SEEDS + ADAPTERS[role])
        for name, linear in layers.items():
            lora_a = torch.empty(settings.rank, linear.in_features)
            nn.init.kaiming_uniform_(lora_a, a=math.sqrt(5), generator=generator)
            lora_b = torch.zeros(linear.out_features, settings.rank)
            weights = (lora_a.to(linear.weight.device), lora_b.to(linear.weight.device))
            add_lora(adapters, name, role, weights, settings.alpha / settings.rank)
            adapters.layers[name].dropout = settings.dropout
    return adapters


def install(model: PreTrainedModel, layers: Sequence[str], invocations: Mapping[Role, tuple[int, ...]]) -> Adapters:
    """Prepare the named linear layers for adapters, which `add_lora` adds.

    Raises ValueError where the model has adapters already.
    """
    if adapters_of(model) is not None:
        raise ValueError("this model has adapters already; merge or detach them first")
    base, base_sketch, current = base_fingerprint(model), sketch(model), _Current()
    hooked: dict[str, TokenLora] = {}
    for name in layers:
        linear = cast("nn.Linear", model.get_submodule(name))
        hooked[name] = TokenLora(linear, current)
        hooked[name].train(linear.training)
        linear.add_module("adapters", hooked[name])
    for names in group_by_input(hooked):
        group = _Group([hooked[name] for name in names])
        for name in names:
            hooked[name].group = group
    adapters = Adapters(
        layers=hooked,
        invocations=dict(invocations),
        base=base,
        sketch=base_sketch,
        _current=current,
        _checkpointed=[module for module in model.modules() if hasattr(module, "gradient_checkpointing")],
    )
    vars(model)["token_adapters"] = adapters
    return adapters


def add_lora(adapters: Adapters, layer: str, role: Role, weights: tuple[Tensor, Tensor], scaling: float) -> None:
    """Add the adapter of `role` to a layer. `weights`: A [rank, in] and B [out, rank], on the layer's device."""
    pair = LoraPair(*weights, number=ADAPTERS[role], scaling=scaling)
    adapters.layers[layer][role.value] = pair


def adapters_of(model: nn.Module) -> Adapters | None:
    """The adapters of a model; None where it has none."""
    return getattr(model, "token_adapters", None)


def detach(model: PreTrainedModel) -> None:
    """Remove the adapters; the base stays as it is, frozen where it was."""
    adapters = adapters_of(model)
    if adapters is None:
        return
    for name, layer in adapters.layers.items():
        layer.detach()
        del model.get_submodule(name).adapters
    del model.token_adapters


@torch.no_grad()
def merge(model: PreTrainedModel) -> PreTrainedModel:
    """Fold the one LoRA on a model, and rows of models.token_rows, into its weights; `model` is then a plain one.

    Without an adapter only the rows are folded. Raises ValueError for several adapters or an activated one.
    """
    fold_rows(model)
    adapters = adapters_of(model)
    if adapters is None:
        return model
    if len(adapters.roles) != 1 or any(adapters.invocations.values()):
        raise ValueError("only a single LoRA that acts on every token can become part of the weights")
    for name, layer in adapters.layers.items():
        weight = cast("nn.Linear", model.get_submodule(name)).weight
        for pair in layer.pairs:
            up, down = pair.lora_B.double(), pair.lora_A.double()
            for own, rows in zip(weight.split(_ROWS_AT_ONCE), up.split(_ROWS_AT_ONCE), strict=True):
                own += (pair.scaling * (rows @ down)).to(weight.dtype)
    detach(model)
    return model


def linear_layers(model: PreTrainedModel) -> dict[str, nn.Linear]:
    """The linear layers that can have adapters: all but the projection to the vocabulary."""
    output = model.get_output_embeddings()
    return {
        name: module for name, module in model.named_modules() if isinstance(module, nn.Linear) and module is not output
    }


def matches(name: str, target: str) -> bool:
    """True where a target names a layer, as PEFT reads it."""
    return name == target or name.endswith(f".{target}")


def base_fingerprint(model: PreTrainedModel) -> str | None:
    """Fingerprint of a model's weights, from some values of each; the same for float32 and its bfloat16 copy."""
    digest = hashlib.sha256()
    for name, weight in model.named_parameters():
        if ".rows." in name or ".adapters." in name:
            continue
        if weight.is_meta or weight.dtype not in (torch.float32, torch.bfloat16):
            return None
        values = weight.detach().flatten()
        values = values[:: max(1, len(values) // _SAMPLED)][:_SAMPLED]
        digest.update(f"{name} {tuple(weight.shape)} ".encode())
        digest.update(values.to(torch.bfloat16).view(torch.int16).cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _targets(model: PreTrainedModel, targets: Sequence[str]) -> dict[str, nn.Linear]:
    layers = linear_layers(model)
    if ALL_LINEAR in targets and layers:
        return layers
    for target in targets:
        if not any(matches(name, target) for name in layers):
            known = ", ".join(sorted({name.rpartition(".")[2] for name in layers})) or "none"
            raise ConfigError(f"adapter target {target!r}: the model has no such linear layer; it has: {known}")
    return {name: linear for name, linear in layers.items() if any(matches(name, target) for target in targets)}


def _freeze(model: nn.Module) -> None:
    model.requires_grad_(False)
    for module in model.modules():
        if isinstance(module, TokenRows):
            module.requires_grad_(True)
