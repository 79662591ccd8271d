"""Trajectories of the published data beside the golden cases."""

import functools
import json

import pytest

from alpha_umi.datasets.processed import read_processed
from alpha_umi.datasets.toolbench import Reading, read_answer
from support.folders import SHARED, golden_dir

OUT_OF_DOMAIN = SHARED / "data" / "out_of_domain.json"
PUBLISHED_FORMAT = SHARED / "formats" / "alpha_umi_v1.json"
QUERIES = SHARED / "data" / "queries"


@functools.cache
def out_of_domain():
    if not OUT_OF_DOMAIN.exists():
        pytest.skip(f"no {OUT_OF_DOMAIN}")
    return [read_processed(row, str(index)) for index, row in enumerate(json.loads(OUT_OF_DOMAIN.read_text()))]


@functools.cache
def raw_answers():
    answers = sorted(golden_dir("prepro").glob("*/answer/*/*.json"))
    readings = [read_answer(json.loads(path.read_text()), path.stem) for path in answers]
    found = [reading.trajectory for reading in readings if isinstance(reading, Reading)]
    if not found:
        pytest.skip("no raw answers among the golden cases")
    return found
