"""Term index of APIs: BM25 over the terms of their documents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alpha_umi.errors import explain_missing_extra
from alpha_umi.formats.prompts.retrieval import split_short_terms, split_terms, write_terms
from alpha_umi.retrieval.corpus import Corpus


def import_bm25() -> Any:
    """Import the class of BM25 indexes. Raises ConfigError where it is not installed."""
    with explain_missing_extra("retrieval", "retrieval"):
        import bm25s
    return bm25s.BM25


class TermIndex:
    """Index by Okapi BM25 as Lucene computes it, k1 = 1.5 and b = 0.75."""

    kind = "bm25"

    def __init__(self, counted: Any) -> None:
        self._counted = counted

    @classmethod
    def build(cls, corpus: Corpus) -> TermIndex:
        counted = import_bm25()(k1=1.5, b=0.75, method="lucene")
        counted.index([write_terms(api) for api in corpus], show_progress=False)
        return cls(counted)

    @classmethod
    def load(cls, folder: Path) -> TermIndex:
        return cls(import_bm25().load(str(folder)))

    def save(self, folder: Path) -> None:
        self._counted.save(str(folder), show_progress=False)

    def scores(self, query: str) -> np.ndarray:
        """Return the BM25 score per API of the corpus, of shape (APIs,); 0 for one that shares no term.

        Where none shares a term, shorter n-grams of text without blanks count in their place.
        """
        known = next(filter(None, map(self._known, (split_terms(query), split_short_terms(query)))), None)
        if known is None:
            return np.zeros(self._counted.scores["num_docs"], dtype=np.float32)
        return self._counted.get_scores(known)

    def _known(self, terms: Sequence[str]) -> list[str]:
        return [term for term in terms if term in self._counted.vocab_dict]
