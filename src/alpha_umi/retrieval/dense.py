"""Dense index: cosine similarity of API and query vectors (sentence-transformers)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from alpha_umi.errors import CheckpointError, DataError, explain_missing_extra
from alpha_umi.formats.prompts.retrieval import write_retrieval_text
from alpha_umi.retrieval.corpus import Corpus

_VECTORS = "vectors.npy"


class DenseIndex:
    """Index by cosine similarity with an encoder that is loaded once."""

    kind = "dense"

    def __init__(self, vectors: np.ndarray, encoder: Any) -> None:
        self._vectors, self._encoder = vectors, encoder

    @classmethod
    def build(cls, corpus: Corpus, model: str) -> DenseIndex:
        """Encode a corpus. `model`: a folder of a SentenceTransformer, or a hub id.

        Raises CheckpointError where it cannot be loaded.
        """
        encoder = _load_encoder(model)
        return cls(_encode(encoder, [write_retrieval_text(api) for api in corpus]), encoder)

    @classmethod
    def load(cls, folder: Path, model: str) -> DenseIndex:
        """Read the vectors and load the encoder. Raises DataError where they do not fit, and CheckpointError."""
        try:
            vectors = np.load(folder / _VECTORS)
        except (OSError, ValueError) as error:
            raise DataError(f"{folder / _VECTORS}: cannot be read: {error}; make the index again") from None
        encoder = _load_encoder(model)
        width = _encode(encoder, ["tool"]).shape[1]
        if vectors.shape[1:] != (width,):
            raise DataError(
                f"{folder}: holds vectors of {vectors.shape[-1]} numbers, {model} makes {width}; make the index again"
            )
        return cls(vectors, encoder)

    def save(self, folder: Path) -> None:
        np.save(folder / _VECTORS, self._vectors)

    def scores(self, query: str) -> np.ndarray:
        """Return the cosine per API of the corpus, of shape (APIs,)."""
        return self._vectors @ _encode(self._encoder, [query])[0]


@lru_cache(maxsize=2)
def _load_encoder(model: str) -> Any:
    with explain_missing_extra("retrieval", "a dense encoder"):
        from sentence_transformers import SentenceTransformer
    try:
        return SentenceTransformer(model, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{model}: no encoder can be loaded from there: {error}") from None


def _encode(encoder: Any, texts: Sequence[str]) -> np.ndarray:
    vectors = encoder.encode(list(texts), normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True)
    return np.asarray(vectors, dtype=np.float32)
