"""Retrieval over the published queries, which say themselves what is to be found."""

import math

import pytest

from alpha_umi.retrieval import Retriever, load_corpus
from alpha_umi.retrieval.corpus import identity
from alpha_umi.retrieval.scores import load_gold, score
from support.published_data import QUERIES

if not QUERIES.is_dir():
    pytest.skip(f"no {QUERIES}", allow_module_level=True)


def test_figures_of_real_queries_are_what_a_slow_count_of_the_rankings_gives():
    retriever = Retriever.index(load_corpus(QUERIES))
    for path in sorted(QUERIES.glob("*.json"))[:2]:
        gold, odd = load_gold(path)
        assert not odd
        figures = score(retriever, gold)
        for k in (1, 5):
            found = total = 0.0
            for each in gold:
                first = [identity(api) in each.relevant for api in retriever.offer(each.query, k)]
                found += sum(first) / len(each.relevant)
                ideal = [1.0] * min(k, len(each.relevant))
                total += slow_dcg(first) / slow_dcg(ideal)
            assert figures[f"recall@{k}"].value == pytest.approx(found / len(gold))
            assert figures[f"ndcg@{k}"].value == pytest.approx(total / len(gold))
        assert figures["recall@10"].value > 10 * 10 / len(retriever.corpus)  # ten times what chance finds


def slow_dcg(gains):
    total, place = 0.0, 1
    for gain in gains:
        total += float(gain) / math.log(place + 1, 2)
        place += 1
    return total
