"""Special tokens of a format in a model that lacks them: single tokens, with embeddings by the words in their names.

The new embeddings are a function of the model, the tokenizer and the format alone, so an adapter that was trained over
them fits the plain base model again, with the tokens added at loading.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor
from torch.nn import Parameter

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def hold_tokens(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, tokens: Sequence[str], end: str = ""
) -> int:
    """Add each of `tokens` to the tokenizer as a single one; returns the number of new ones.

    A new token's embedding lies between that of the words in its name and that of the tokenizer's own first token, or
    last token for `end`, the end mark of a turn. A model whose embeddings have rows to spare is not resized.
    """
    words = {token: _pieces(tokenizer, _words(token)) for token in tokens}
    added = add_tokens(tokenizer, tokens)
    first = len(tokenizer) - added
    if len(tokenizer) > len(_tables(model)[0]):
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        for table in {id(table): table for table in _tables(model)}.values() if added else []:
            size = table[:first].norm(dim=1).mean()
            for token in tokens:
                (number,) = _pieces(tokenizer, token)
                if number >= first:
                    control = tokenizer.eos_token_id if token == end else tokenizer.bos_token_id
                    table[number] = size * _between(table[:first], words[token], cast("int | None", control))
    return added


def add_tokens(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[str]) -> int:
    """Add each of `tokens` to the tokenizer as a single one; returns the number of new ones."""
    return tokenizer.add_special_tokens(
        {"extra_special_tokens": [token for token in tokens if len(_pieces(tokenizer, token)) > 1]},
        replace_extra_special_tokens=False,
    )


def _between(table: Tensor, words: Sequence[int], control: int | None) -> Tensor:
    """Direction between the embeddings of words and of a control token, [hidden], of length 1."""
    parts = [table[list(words)].mean(dim=0) if words else table.mean(dim=0)]
    parts += [] if control is None else [table[control]]
    whole = torch.stack([part / part.norm().clamp(min=1e-6) for part in parts]).sum(dim=0)
    return whole / whole.norm().clamp(min=1e-6)


def _words(token: str) -> str:
    """Words of a token's name: ` give up` of `<|give_up|>`."""
    return " " + token.strip("<|>").replace("_", " ")


def _tables(model: PreTrainedModel) -> list[Parameter]:
    """Weights of the input and the output embedding, [tokens, hidden] each."""
    modules = (model.get_input_embeddings(), model.get_output_embeddings())
    return [cast("Parameter", module.weight) for module in modules if module is not None]


def _pieces(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False)
