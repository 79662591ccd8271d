"""Completions held to a grammar, token by token, by llguidance.

`HeldTokenizer` is made once for a model, by its `hold` a `Held` for each request. A grammar is compiled once and
copied from then on. Whoever decodes calls `mask` before a token is chosen and `accept` after; while `forced` names
tokens there is nothing to choose.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from threading import Lock
from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from alpha_umi.errors import ConfigError, ModelError, explain_missing_extra

_COMPILED = 512
_BITS = torch.arange(32, dtype=torch.int32)


class HeldTokenizer:
    """A tokenizer as llguidance reads it, and the grammars that were compiled for it, the latest 512."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, vocabulary: int, ends: Iterable[int]) -> None:
        """`vocabulary`: how many logits the model gives. `ends`: the ids that end a completion.

        Raises ConfigError where llguidance is not installed or the tokenizer is not a fast one.
        """
        with explain_missing_extra("local", "holding a model to a grammar", instead="set held = false"):
            from llguidance.hf import from_tokenizer
        if not isinstance(tokenizer, PreTrainedTokenizerFast):
            raise ConfigError("this model's tokenizer is not a fast one and cannot be held to a grammar: held = false")
        self._vocabulary = vocabulary
        self._tokenizer = from_tokenizer(tokenizer, n_vocab=vocabulary, eos_token=sorted(ends))
        self._compiled: OrderedDict[str, Any] = OrderedDict()
        self._lock = Lock()

    def hold(self, grammar: str) -> Held:
        """A completion at its start. Raises ModelError for a grammar that this tokenizer cannot be held to."""
        return Held(self._matcher(grammar), self._vocabulary)

    def _matcher(self, grammar: str) -> Any:
        from llguidance import LLMatcher

        with self._lock:
            if grammar not in self._compiled:
                made = LLMatcher(self._tokenizer, grammar)
                if made.is_error():
                    raise ModelError(f"the model cannot be held to this grammar: {_first_line(made.get_error())}")
                self._compiled[grammar] = made
                if len(self._compiled) > _COMPILED:
                    self._compiled.popitem(last=False)
            self._compiled.move_to_end(grammar)
            return self._compiled[grammar].deep_copy()


class Held:
    """Where one completion stands in its grammar."""

    def __init__(self, matcher: Any, vocabulary: int) -> None:
        self._matcher = matcher
        self._mask = torch.empty((vocabulary + 31) // 32, dtype=torch.int32)

    def mask(self, row: Tensor) -> None:
        """Set the logits of tokens that cannot come next to minus infinity. `row`: [vocabulary], changed in place."""
        self._matcher.unsafe_compute_mask_ptr(self._mask.data_ptr(), self._mask.nbytes)
        self._check()
        allowed = ((self._mask[:, None] >> _BITS) & 1).flatten()[: len(row)].bool()
        row.masked_fill_(~allowed.to(row.device), float("-inf"))

    def forced(self) -> list[int]:
        """The tokens that come next whatever the model says; none where it has a choice. They are not accepted yet."""
        tokens = cast("list[int]", self._matcher.compute_ff_tokens())
        self._check()
        return tokens

    def accept(self, token: int) -> None:
        """Go on behind `token`. Raises ModelError for a token that the mask excludes."""
        if not self._matcher.consume_token(token):
            self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise ModelError(f"the grammar cannot go on: {_first_line(self._matcher.get_error())}")


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "unknown error")[:300]
