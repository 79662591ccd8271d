"""Indexes of the tools that tasks offer, kept while they are in use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from alpha_umi.retrieval.corpus import spec_document
from alpha_umi.retrieval.retriever import Retriever
from alpha_umi.types import ToolSpec

_KEPT = 64
"""Indexes at hand: of a set of tools that all tasks share, or of the tools of tasks that run at once."""


@dataclass(frozen=True, slots=True)
class ToolIndexes:
    """Retrievers by the tools that they hold."""

    model: str | None = None
    """A SentenceTransformer in place of BM25."""
    _indexes: OrderedDict[tuple[str, ...], Retriever] = field(
        default_factory=OrderedDict[tuple[str, ...], Retriever], repr=False, compare=False
    )

    def of(self, tools: Sequence[ToolSpec]) -> Retriever:
        """Return the retriever of some tools. Raises DataError where there are none."""
        key = tuple(text for tool in tools for text in (tool.name, tool.description))
        found = self._indexes.pop(key, None) or Retriever.index(tuple(map(spec_document, tools)), self.model)
        self._indexes[key] = found
        while len(self._indexes) > _KEPT:
            self._indexes.popitem(last=False)
        return found
