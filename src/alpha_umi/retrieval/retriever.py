"""Retriever of APIs: a corpus with an index, kept in a folder."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from alpha_umi.errors import DataError, StorageError
from alpha_umi.formats.tool_json import Api
from alpha_umi.retrieval.corpus import Corpus, read_corpus, write_corpus
from alpha_umi.retrieval.dense import DenseIndex
from alpha_umi.retrieval.terms import TermIndex
from alpha_umi.store import read_json, write_json
from alpha_umi.types import Json

SCHEMA = "alpha_umi.retriever/1"
_FILE, _CORPUS, _INDEX = "retriever.json", "corpus.tsv", "index"


class Index(Protocol):
    """Scores of all APIs of a corpus for a query."""

    @property
    def kind(self) -> str: ...

    def scores(self, query: str) -> np.ndarray: ...

    def save(self, folder: Path) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """API that was found, with its score."""

    api: Api
    score: float
    """Comparable within one query only."""


class Retriever:
    """Ranking of the APIs of a corpus by an index; of equal scores the earlier API of the corpus comes first."""

    def __init__(self, corpus: Corpus, index: Index, model: str | None = None) -> None:
        self.corpus, self._index, self._model = corpus, index, model

    @classmethod
    def index(cls, corpus: Corpus, model: str | None = None) -> Retriever:
        """Index a corpus by BM25, or by a SentenceTransformer (folder or hub id). Raises DataError, CheckpointError."""
        if not corpus:
            raise DataError("a corpus without APIs cannot be indexed")
        return cls(corpus, TermIndex.build(corpus) if model is None else DenseIndex.build(corpus, model), model)

    def rank(self, query: str, k: int) -> list[Hit]:
        """Return the `k` best APIs or fewer, best first; by BM25 only those that share a term with the query."""
        if not query.strip():
            return []
        scores = self._index.scores(query)
        order = np.argsort(-scores, kind="stable")[: max(k, 0)]
        shared = self._index.kind != TermIndex.kind
        return [Hit(api=self.corpus[at], score=float(scores[at])) for at in order if shared or scores[at] > 0]

    def offer(self, query: str, k: int = 5) -> list[Api]:
        """Return the `k` APIs to offer for a query that names none."""
        return [hit.api for hit in self.rank(query, k)]

    # --- on disk ----------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write corpus and index, whole or not at all, in the place of an index that is there.

        Raises StorageError; a folder that holds something else is left alone.
        """
        if folder.exists() and any(folder.iterdir()) and not (folder / _FILE).exists():
            raise StorageError(f"{folder}: holds other files than an index; name a new folder")
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as parts:
                made = Path(parts) / "new"
                (made / _INDEX).mkdir(parents=True)
                write_corpus(made / _CORPUS, self.corpus)
                self._index.save(made / _INDEX)
                about: dict[str, Json] = {"schema": SCHEMA, "kind": self._index.kind, "apis": len(self.corpus)}
                write_json(made / _FILE, {**about, "model": self._model})
                if folder.exists():
                    folder.rename(Path(parts) / "old")
                made.rename(folder)
        except OSError as error:
            raise StorageError(f"{folder}: the index cannot be written: {error.strerror or error}") from error

    @classmethod
    def load(cls, folder: Path) -> Retriever:
        """Load an index that `save` wrote. Raises DataError for a folder that holds no index, or half of one."""
        about: object = read_json(folder / _FILE)
        if not isinstance(about, dict) or cast("Mapping[str, Json]", about).get("schema") != SCHEMA:
            raise DataError(f"{folder / _FILE}: is no index of this version; make it again by 'umi retrieve --save'")
        document = cast("Mapping[str, Json]", about)
        corpus, model = read_corpus(folder / _CORPUS), document.get("model")
        if len(corpus) != document.get("apis"):
            raise DataError(f"{folder}: holds {len(corpus)} APIs of {document.get('apis')}; make the index again")
        try:
            index: Index = (
                DenseIndex.load(folder / _INDEX, model) if isinstance(model, str) else TermIndex.load(folder / _INDEX)
            )
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"{folder / _INDEX}: cannot be read: {error}; make the index again") from None
        return cls(corpus, index, model if isinstance(model, str) else None)
