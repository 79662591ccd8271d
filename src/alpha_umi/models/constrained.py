"""Constrained decoding: grammars that mask the logits of a completion, by llguidance.

A GrammarCompiler belongs to a tokenizer, a GrammarMatcher to one completion: `mask` before a token is sampled,
`accept` after it; while `forced` returns tokens there is nothing to sample. A grammar is compiled once, and its
matcher copied.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from copy import copy
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from alpha_umi.errors import ConfigError, ModelError, explain_missing_extra

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_COMPILED = 512
_BITS = torch.arange(32, dtype=torch.int32)


class GrammarCompiler:
    """Compiler of grammars for one tokenizer; it keeps the 512 used last."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, vocabulary: int, ends: Iterable[int]) -> None:
        """`vocabulary`: number of logits of the model. `ends`: the ids that end a completion.

        Raises ConfigError where llguidance is not installed or the tokenizer is not a fast one.
        """
        with explain_missing_extra("local", "constrained decoding", instead="set constrained = false"):
            from llguidance import LLTokenizer
        if not tokenizer.is_fast:
            raise ConfigError(
                "constrained decoding needs a fast tokenizer, which this model's is not; set constrained = false"
            )
        self._vocabulary = vocabulary
        backend = cast("Any", tokenizer).backend_tokenizer
        if backend.padding is not None or backend.truncation is not None:
            backend = copy(backend)  # which takes longer than the rest
            backend.no_padding()
            backend.no_truncation()
        self._tokenizer = LLTokenizer(backend.to_str(), n_vocab=vocabulary, eos_token=sorted(ends))
        self._compiled: OrderedDict[str, Any] = OrderedDict()
        self._lock = Lock()

    def compile(self, grammar: str) -> GrammarMatcher:
        """Compile a grammar (Lark syntax of llguidance); returns its matcher for one completion.

        Raises ModelError for a grammar that is invalid, or names special tokens that the tokenizer lacks.
        """
        return GrammarMatcher(self._matcher(grammar), self._vocabulary)

    def _matcher(self, grammar: str) -> Any:
        from llguidance import LLMatcher

        with self._lock:
            if grammar not in self._compiled:
                matcher = LLMatcher(self._tokenizer, grammar)
                if matcher.is_error():
                    raise ModelError(f"this grammar cannot constrain the model: {_first_line(matcher.get_error())}")
                self._compiled[grammar] = matcher
                if len(self._compiled) > _COMPILED:
                    self._compiled.popitem(last=False)
            self._compiled.move_to_end(grammar)
            return self._compiled[grammar].deep_copy()


class GrammarMatcher:
    """State of one completion in its grammar (a generation.Grammar)."""

    def __init__(self, matcher: Any, vocabulary: int) -> None:
        self._matcher = matcher
        self._mask = torch.empty((vocabulary + 31) // 32, dtype=torch.int32)

    def mask(self, row: Tensor) -> None:
        """Set the logits of the tokens that the grammar excludes here to -inf. `row`: [vocabulary], in place.

        Raises ModelError where the grammar failed.
        """
        self._matcher.unsafe_compute_mask_ptr(self._mask.data_ptr(), self._mask.nbytes)
        self._check()
        allowed = ((self._mask[:, None] >> _BITS) & 1).flatten()[: len(row)].bool()
        row.masked_fill_(~allowed.to(row.device), float("-inf"))

    def forced(self) -> list[int]:
        """The only tokens that can come next, not accepted yet; empty where there is a choice."""
        tokens = cast("list[int]", self._matcher.compute_ff_tokens())
        self._check()
        return tokens

    def accept(self, token: int) -> None:
        """Advance by `token`. Raises ModelError for a token that the mask excludes."""
        if not self._matcher.consume_token(token):
            self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise ModelError(f"the grammar cannot go on: {_first_line(self._matcher.get_error())}")


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "unknown error")[:300]
