"""The published evaluation's numbers on every golden case, and a score where it crashed."""

import json
import math

import pytest

from alpha_umi.errors import DataError
from alpha_umi.evaluation.static import evaluate_rows, report_document, report_text
from alpha_umi.formats.steps import PublishedStep, StepShape, parse_published, published_shape, read_step
from alpha_umi.types import Answer, Call, Plan
from support.folders import golden_dir

FOLDER = golden_dir("static_eval")
BOOKS = [
    row
    for book in sorted(FOLDER.glob("expected_*.json"))
    for row in json.loads(book.read_text())
    if "UNPATCHED" not in row.get("note", "") and (FOLDER / "cases" / f"{row['case']}.json").is_file()
]
CASES = sorted(FOLDER.glob("cases/*.json"))


def books(kind):
    return [pytest.param(row, id=f"{row['case']}-{row['script']}") for row in BOOKS if kind in row]


def load(row):
    return json.loads((FOLDER / "cases" / f"{row['case']}.json").read_text())


@pytest.mark.parametrize("row", books("metrics"))
def test_published_scores_are_the_published_ones(row):
    report = evaluate_rows(load(row), published=True)
    assert report.metrics == pytest.approx(row["metrics"], rel=1e-12, abs=1e-12)
    assert list(report.hallucinated) == row["hallu_case_indices"]
    assert report.count == row["n"]


@pytest.mark.parametrize("row", books("crash"))
def test_where_the_published_script_crashed_there_is_a_score_and_a_note_or_a_clear_error(row):
    try:
        report = evaluate_rows(load(row), published=True)
    except DataError:
        return  # rows of another shape: the error names the row, see test_metrics
    error = row["crash"]["exception"].partition(":")[0]
    assert any(error in note for note in report.notes), report.notes
    assert all(math.isfinite(value) for value in report.metrics.values())


@pytest.mark.parametrize("row", books("metrics"))
def test_where_the_published_script_did_not_crash_no_note_says_so(row):
    assert not [note for note in evaluate_rows(load(row), published=True).notes if "ends here" in note]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_every_case_has_a_report_as_text_and_as_json(path):
    report = evaluate_rows(json.loads(path.read_text()))
    assert all(metric.value is None or 0 <= metric.low <= metric.high <= 1 for metric in report.metrics.values())
    assert json.loads(json.dumps(report_document(report), allow_nan=False))["rows"] == report.count
    assert all(name in report_text(report) for name in report.metrics)


def as_published(text):
    match read_step(text):
        case (Plan(decision=decision),):
            return PublishedStep(decision=decision)
        case (Plan(decision=decision), Call(name=name, arguments=arguments)):
            return PublishedStep(decision=decision, name=name, arguments=arguments.strip())
        case (Plan(decision=decision), Answer(text=answer)):
            return PublishedStep(decision=decision, answer=answer)


def test_references_read_as_published_in_the_shape_of_their_script():
    same = []
    for row in BOOKS:
        texts = [step["reference"] for step in load(row)]
        shape = published_shape(texts)
        assert shape is (StepShape.BACKBONE if "backbone" in row["script"] else StepShape.MULTI_AGENT)
        same += [as_published(text) == parse_published(text, shape) for text in texts]
    assert sum(same) >= 0.99 * len(same)  # a folder may hold references made to be misread
