"""Scores of a retriever on queries with known relevant APIs: recall@k and NDCG@k."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from alpha_umi.errors import DataError
from alpha_umi.evaluation.metrics import Metric, mean
from alpha_umi.formats.tool_json import unpack_json
from alpha_umi.retrieval.corpus import identity, listed_apis
from alpha_umi.retrieval.retriever import Retriever
from alpha_umi.text_files import read_json_rows
from alpha_umi.types import Json

CUTS = (1, 3, 5, 10)
Item = TypeVar("Item")
Identity = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldQuery:
    """Query with its relevant APIs."""

    query: str
    relevant: frozenset[Identity]


def recall(ranked: Sequence[Item], relevant: Collection[Item], k: int) -> float:
    """Return the fraction of `relevant`, which is not empty, among the first `k`."""
    return len(set(ranked[:k]) & set(relevant)) / len(set(relevant))


def ndcg(ranked: Sequence[Item], relevant: Collection[Item], k: int) -> float:
    """Normalised discounted cumulative gain of the first `k`, relevance 0 or 1, discount log2(rank + 1).

    1 where the first `k` ranks hold as much as they can (Järvelin and Kekäläinen, 2002). `ranked` repeats nothing.
    """
    wanted = set(relevant)
    gained = math.fsum(_gain(rank) for rank, item in enumerate(ranked[:k]) if item in wanted)
    return gained / math.fsum(_gain(rank) for rank in range(min(k, len(wanted))))


def _gain(rank: int) -> float:
    return 1 / math.log2(rank + 2)


def score(retriever: Retriever, queries: Iterable[GoldQuery]) -> dict[str, Metric]:
    """Score a retriever: means with 95 % intervals: `recall@k` and `ndcg@k` for every cut."""
    values: dict[str, list[float]] = {f"{name}@{k}": [] for name in ("recall", "ndcg") for k in CUTS}
    for gold in queries:
        ranked = [identity(hit.api) for hit in retriever.rank(gold.query, max(CUTS))]
        for k in CUTS:
            values[f"recall@{k}"].append(recall(ranked, gold.relevant, k))
            values[f"ndcg@{k}"].append(ndcg(ranked, gold.relevant, k))
    return {name: mean(each) for name, each in values.items()}


def load_gold(path: Path) -> tuple[list[GoldQuery], list[str]]:
    """Read the queries of a file with their `relevant APIs`, and notes on those that were left out.

    An API is named there by tool and name; its category is that of the query's own `api_list`. A relevant API that is
    not listed cannot be found, and counts as missed. Raises DataError for a file of another shape, or where no query
    says what is relevant.
    """
    gold: list[GoldQuery] = []
    notes: list[str] = []
    for row in read_json_rows(path):
        found = _read_gold(row.value)
        if found is None:
            notes.append(f"{path.name}: entry {row.index} has no 'query' or no 'relevant APIs'; left out")
        else:
            gold.append(found)
    if not gold:
        raise DataError(f"{path}: no query says by 'relevant APIs' what is to be found")
    return gold, notes


def _read_gold(entry: Json) -> GoldQuery | None:
    found = entry if isinstance(entry, dict) else {}
    query, pairs = found.get("query"), unpack_json(found.get("relevant APIs"))
    if not isinstance(entry, dict) or not isinstance(query, str) or not isinstance(pairs, list):
        return None
    apis = listed_apis([entry])
    relevant: set[Identity] = set()
    for pair in pairs:
        if isinstance(pair, list) and len(pair) == 2:
            tool, name = str(pair[0]), str(pair[1])
            known = {identity(api) for api in apis if (api.tool, api.name) == (tool, name)}
            relevant |= known or {("", tool, name)}
    return GoldQuery(query=query, relevant=frozenset(relevant)) if relevant else None
