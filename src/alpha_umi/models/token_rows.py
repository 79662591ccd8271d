"""Trainable embeddings of chosen tokens, with all others frozen: for special tokens that a format adds.

The rows are weights beside the frozen tables and replace theirs during a forward, so no optimizer, weight decay or
momentum can touch another row, and optimizer state is kept for these rows only. Law: the outputs of a forward and the
gradients of the rows are those of the whole tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parameter import Parameter
from torch.utils.hooks import RemovableHandle

from alpha_umi.errors import CheckpointError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class TokenRows(nn.Module):
    """Embeddings of some tokens of one table (or two tied ones). `values`: [rows, hidden], float32."""

    lookup: Tensor
    """The row of each token of the vocabulary, -1 for none: [vocabulary]."""
    tokens: Tensor

    def __init__(self, table: Tensor, tokens: Tensor) -> None:
        super().__init__()
        self.values = Parameter(table.detach()[tokens].float())
        lookup = torch.full((len(table),), -1, device=table.device)
        lookup[tokens] = torch.arange(len(tokens), device=table.device)
        self.register_buffer("lookup", lookup, persistent=False)
        self.register_buffer("tokens", tokens, persistent=False)
        self.hooks: list[RemovableHandle] = []

    def read(self, module: nn.Module, arguments: tuple[Tensor, ...], embedded: Tensor) -> Tensor:
        """Forward hook of the input embedding: replaces the embeddings of these tokens, [.., hidden]."""
        at = self.lookup[arguments[0]]
        own = functional.embedding(at.clamp(min=0), self.values).to(embedded.dtype)
        return torch.where((at >= 0)[..., None], own, embedded)

    def write(self, module: nn.Module, arguments: tuple[Tensor, ...], logits: Tensor) -> None:
        """Forward hook of the projection to the vocabulary: sets the logits of these tokens, in place."""
        hidden, bias = arguments[0], cast("Tensor | None", module.bias)
        own = functional.linear(
            hidden, self.values.to(hidden.dtype), None if bias is None else bias[self.tokens].to(hidden.dtype)
        )
        logits.index_copy_(-1, self.tokens, own.to(logits.dtype))


def train_rows(model: PreTrainedModel, token_ids: Sequence[int]) -> list[Parameter]:
    """Freeze the embeddings but for the rows of `token_ids`; returns the weights to train.

    One weight for tied embeddings, else two. `fold_rows` (and adapters.merge) writes them into the tables. The
    projection to the vocabulary must run as a module. Raises CheckpointError for an architecture whose embeddings are
    no plain tables.
    """
    reader, writer = model.get_input_embeddings(), model.get_output_embeddings()
    if type(reader) is not nn.Embedding or type(writer) is not nn.Linear:
        kind = type(model).__name__
        raise CheckpointError(f"{kind}: its embeddings are no plain tables, so single rows of them cannot be trained")
    tokens = torch.tensor(sorted(set(token_ids)), device=reader.weight.device)
    rows = TokenRows(reader.weight, tokens)
    reader.add_module("rows", rows)
    rows.hooks.append(reader.register_forward_hook(rows.read))
    reader.weight.requires_grad_(False)
    if writer.weight is reader.weight:
        rows.hooks.append(writer.register_forward_hook(rows.write))
        return [rows.values]
    own = TokenRows(writer.weight, tokens)
    writer.add_module("rows", own)
    own.hooks.append(writer.register_forward_hook(own.write))
    writer.requires_grad_(False)
    own.requires_grad_(True)
    return [rows.values, own.values]


def trained_rows(model: PreTrainedModel) -> dict[str, Tensor]:
    """Trained rows as tensors to store: `tokens` [rows], `input` and, where it is not tied, `output` [rows, hidden]."""
    found: dict[str, Tensor] = {}
    for name, table in (("input", model.get_input_embeddings()), ("output", model.get_output_embeddings())):
        rows = getattr(table, "rows", None)
        if isinstance(rows, TokenRows):
            found |= {"tokens": rows.tokens.cpu(), name: rows.values.detach().cpu()}
    return found


@torch.no_grad()
def set_rows(model: PreTrainedModel, stored: Mapping[str, Tensor]) -> None:
    """Write stored rows into the tables of a model, or into rows that are trained.

    Raises ValueError for rows or tables of other sizes.
    """
    for name, table in (("input", model.get_input_embeddings()), ("output", model.get_output_embeddings())):
        if name not in stored or table is None:
            continue
        weight, tokens, values = cast("Parameter", table.weight), stored["tokens"], stored[name]
        if values.shape != (len(tokens), weight.shape[1]) or int(tokens.max()) >= len(weight):
            raise ValueError(f"{name} rows {tuple(values.shape)} do not fit a table of {tuple(weight.shape)}")
        rows = getattr(table, "rows", None)
        if isinstance(rows, TokenRows):
            rows.values.copy_(values)
        else:
            weight[tokens.to(weight.device)] = values.to(weight.device, weight.dtype)


@torch.no_grad()
def fold_rows(model: PreTrainedModel) -> None:
    """Write trained rows into the tables and remove the rows."""
    for table in (model.get_input_embeddings(), model.get_output_embeddings()):
        rows = getattr(table, "rows", None)
        if table is not None and isinstance(rows, TokenRows):
            weight = cast("Parameter", table.weight)
            weight[rows.tokens] = rows.values.to(weight.dtype)
            for hook in rows.hooks:
                hook.remove()
            del table.rows
