"""No benchmark's item stands in the needs: n-grams of words are compared."""

import json
import os
from pathlib import Path

import pytest

from alpha_umi.world.functions.library import load_library
from alpha_umi.world.functions.ngrams import overlapping_ngrams, texts_of

FOREIGN = os.environ.get("ALPHA_UMI_FOREIGN_TASKS", "")
"""Folder of benchmarks' files, of any text format."""


def test_a_planted_copy_is_found():
    domain = next(iter(load_library().domains.values()))
    planted = next(text for text in texts_of(domain) if len(text.split()) > 9 and "{" not in text)
    foreign = ["Something else entirely.", f"Prefix: {planted.upper()} And more."]
    assert overlapping_ngrams(texts_of(domain), foreign)
    assert overlapping_ngrams(texts_of(domain), foreign[:1]) == []


def test_shorter_overlaps_do_not_count():
    assert overlapping_ngrams(["one two three four five six seven"], ["one two three four five six seven"]) == []
    assert overlapping_ngrams(["a b c d"], ["x a B, c; d!"], n=4) == ["a b c d"]


@pytest.mark.skipif(not FOREIGN, reason="ALPHA_UMI_FOREIGN_TASKS names no folder of benchmarks")
def test_no_item_of_a_benchmark_stands_in_the_needs():
    foreign = [text for path in sorted(Path(FOREIGN).rglob("*")) if path.is_file() for text in _texts(path)]
    texts = [text for domain in load_library().domains.values() for text in texts_of(domain)]
    assert foreign
    assert overlapping_ngrams(texts, foreign) == []


def _texts(path):
    """Strings of a file: of JSON its values, else its lines."""
    for line in path.read_text("utf-8", errors="replace").splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            yield line
        else:
            yield json.dumps(value, ensure_ascii=False)
