"""The published parsers, ROUGE and argument F1 on odd inputs."""

import json
import math

import pytest

from alpha_umi.evaluation.reference import published_arguments
from alpha_umi.evaluation.rouge import rouge_l
from alpha_umi.formats.steps import PublishedCrash, StepShape, parse_published
from alpha_umi.types import Decision
from support.folders import golden_dir

FOLDER = golden_dir("units")
SHAPES = {"multi_agent": StepShape.MULTI_AGENT, "backbone": StepShape.BACKBONE}
WORDS = {Decision.CALL: "call", Decision.CONCLUDE: "finish", Decision.GIVE_UP: "give up"}


def rows(holds):
    """The rows of every file whose rows hold these keys."""
    found = []
    for path in sorted(FOLDER.glob("*.json")):
        document = json.loads(path.read_text())
        listed = document.get("rows", []) if isinstance(document, dict) else document
        found += [row for row in listed if holds <= set(row)]
    if not found:
        pytest.skip(f"no rows with {', '.join(sorted(holds))} at {FOLDER}")
    return found


@pytest.mark.parametrize("script", SHAPES)
def test_published_parsers_read_as_published(script):
    for row in rows({"text", script}):
        step, expected = parse_published(row["text"], SHAPES[script]), row[script]
        if isinstance(step, PublishedCrash):
            assert expected == {"error": step.error}, row["text"]
        else:
            assert expected == {"ok": [WORDS[step.decision], step.name, step.arguments, step.answer]}, row["text"]


def test_rouge_l_is_that_of_rouge_1_0_1():
    for row in rows({"hyp", "ref"}):
        score = rouge_l(row["hyp"], row["ref"])
        expected = row["ok"]["rouge-l"] if "ok" in row else {"p": 0.0, "r": 0.0, "f": 0.0}
        got = {"p": score.precision, "r": score.recall, "f": score.f}
        assert got == pytest.approx(expected, rel=1e-12, abs=1e-12), row


def mean(values):
    return sum(values) / len(values) + 1e-30


def test_argument_f1_pairs_score_as_published():
    for row in rows({"ref", "cand", "f1_mean_with_pad"}):
        references = [("tool", text) for text in (row["ref"], "{}", '{"z":1}')]
        predictions = [("tool", text) for text in (row["cand"], "{}", '{"z":1}')]
        scores = published_arguments(predictions, references)
        assert mean(scores.easy) == pytest.approx(row["easy_mean_with_pad"], rel=1e-12), row
        assert mean(scores.hard) == pytest.approx(row["hard_mean_with_pad"], rel=1e-12), row
        assert mean(scores.all) == pytest.approx(row["f1_mean_with_pad"], rel=1e-12), row


def test_argument_f1_batches_score_as_published():
    for row in rows({"action_pred", "action_ref", "cand", "ref"}):
        predictions = list(zip(row["action_pred"], row["cand"], strict=True))
        references = list(zip(row["action_ref"], row["ref"], strict=True))
        scores = published_arguments(predictions, references)
        lists = (scores.easy, scores.hard, scores.all)
        if "ok" in row:
            assert [mean(values) for values in lists] == pytest.approx(row["ok"], rel=1e-12, abs=1e-12)
        else:
            assert not all(lists), row
        same = sum(a[0] == b[0] for a, b in zip(predictions, references, strict=True))
        assert math.isclose(same / len(references), row["action_em"]["ok"])
