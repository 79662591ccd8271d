"""Exact answers: their extraction, the two judges in the sandbox, and the table of a benchmark."""

import json
from fractions import Fraction

import pytest

import alpha_umi as umi
from alpha_umi.datasets.problems import read_math_tasks
from alpha_umi.evaluation.exact.judge import judge_exact
from alpha_umi.evaluation.exact.program import tora_strip
from alpha_umi.exact_answers import extract_answer, read_number
from alpha_umi.store import write_trajectories

BOTH, NEITHER, TORA, VERIFY = (True, True), (False, False), (False, True), (True, False)
PAIRS = {
    ("72", "72"): BOTH,
    ("1,200", "1200"): BOTH,
    (r"\frac{1}{2}", "0.5"): BOTH,
    ("4,6,14,15", "4, 6, 14, 15"): BOTH,
    (r"(1,\frac{9}{2})", "(1,4.5)"): BOTH,
    (r"\frac{x+2}{7}", r"\frac{x}{7}+\frac{2}{7}"): BOTH,
    (r"\frac12", r"\dfrac{1}{2}"): BOTH,
    ("12", "1,2"): TORA,
    ("50", "0.5"): TORA,
    ("1112_3", "1112_8"): NEITHER,
    ("1112_{3}", "1112_3"): BOTH,
    ("7", "8"): NEITHER,
    ("7", ""): NEITHER,
    ("7", "x" * 10_000): NEITHER,
    ("7", "__import__('os').system('true')"): NEITHER,
    ("7", "}"): NEITHER,
}


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("So it is $\\boxed{\\frac{1}{2}}$, not \\boxed{3}... \\boxed{\\text{a \\} b}}", "\\text{a \\} b}"),
        ("The answer is 1,234.", "1,234"),
        ("The answer is $x+1$. Good.", "x+1"),
        ("work\n#### 72", "72"),
        ("\\frac{3}{4}", "\\frac{3}{4}"),
        ("She has 3 apples and 4 pears, 7 in all", "7"),
        ("no number", ""),
        ("", ""),
        ("\\boxed{1", "\\boxed{1"),
    ],
)
def test_answers_are_found_in_texts(text, answer):
    assert extract_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "number"),
    [("$1,234", 1234), ("72.00", 72), ("18 dollars", 18), ("3 of 4", None), ("-.5", Fraction(-1, 2))],
)
def test_numbers_of_answers_are_normalised(text, number):
    assert read_number(text) == number


@pytest.mark.parametrize(
    ("text", "stripped"),
    [
        ("\\dfrac12", "\\frac{1}{2}"),
        ("x = 3", "3"),
        ("10\\text{ cm}", "10"),
        ("3.0", "3"),
        (".5", "0.5"),
        ("2/3", "\\frac{2}{3}"),
        ("90^\\circ", "90"),
        ("\\sqrt2", "\\sqrt{2}"),
        ("\\frac1{72}", "\\frac{1}{72}"),
        ("50\\%", "50"),
        ("\\frac", "\\frac"),
    ],
)
def test_tora_strips_units_and_layout(text, stripped):
    assert tora_strip(text) == stripped


def test_both_judges_are_asked_and_may_differ():
    verdicts = judge_exact(list(PAIRS), workers=1)
    assert dict(zip(PAIRS, [(each.math_verify, each.tora) for each in verdicts], strict=True)) == PAIRS


# --- benchmarks -------------------------------------------------------------------------------------------

GSM8K = {"question": "How many?", "answer": "1+1 = <<1+1=2>>2\n#### 1,002"}
SHAPES = [
    (GSM8K, "gsm8k", "1002"),
    ({"problem": "p", "solution": "so $\\boxed{\\frac{1}{2}}$", "level": "Level 2"}, "math", "\\frac{1}{2}"),
    ({"body": "b.", "question": "q?", "answer": "9 (apples)"}, "asdiv", "9"),
    ({"Body": "b", "Question": "q?", "Answer": 145.0}, "svamp", "145"),
    ({"input": "i", "target": -9867630.0}, "gsm-hard", "-9867630"),
]


def test_problems_of_every_set_are_read_with_their_golds(tmp_path):
    (tmp_path / "all.jsonl").write_text("\n".join(json.dumps(row) for row, _, _ in SHAPES))
    tasks = list(read_math_tasks(tmp_path / "all.jsonl"))
    assert [(task.metadata["source"], task.metadata["answer"]) for task in tasks] == [each[1:] for each in SHAPES]
    (tmp_path / "bad.jsonl").write_text('{"problem": "p", "solution": 3}\n')
    with pytest.raises(umi.DataError, match=r"bad\.jsonl:1: no problem with an answer"):
        list(read_math_tasks(tmp_path / "bad.jsonl"))


def test_a_benchmark_counts_every_problem_and_lists_where_the_judges_differ(tmp_path):
    answers = {"a": "The answer is 1,002.", "b": "It is 10.02 units", "c": "no idea", "d": None}
    rows = [{"question": query, "answer": GSM8K["answer"]} for query in answers]
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    tried = [
        umi.Trajectory(task=umi.Task(id=query, query=f" {query} "), turns=(umi.Answer(text=text),))
        for query, text in answers.items()
        if text is not None
    ]
    write_trajectories(tmp_path / "run.jsonl", tried)
    report = umi.evaluate.gsm8k(tmp_path / "run.jsonl", tmp_path / "s.json", gold=tmp_path / "test.jsonl")
    assert {judge: report.accuracy(judge).value for judge in report.judges} == {
        "number": 0.25, "math_verify": 0.25, "tora": 0.5,
    }  # fmt: skip
    assert [(each.id, each.answer) for each in report.disagreements] == [("gsm8k-2", "10.02")]
    assert (len(report.answers), report.unanswered) == (4, 2)
    assert json.loads((tmp_path / "s.json").read_text())["accuracy"]["tora"]["count"] == 4
    table = (tmp_path / "s.md").read_text()
    assert "49.73" in table
    assert "50.0 (15.0-85.0)" in table


def test_tasks_without_golds_need_the_test_file(tmp_path):
    write_trajectories(tmp_path / "run.jsonl", [umi.Trajectory(task=umi.Task(id="1", query="q"), turns=())])
    with pytest.raises(umi.DataError, match="name the test file by --gold"):
        umi.evaluate.math(tmp_path / "run.jsonl", tmp_path / "s.json")
    (tmp_path / "test.jsonl").write_text(json.dumps(GSM8K))
    with pytest.raises(umi.DataError, match="none of its tasks asks a problem of"):
        umi.evaluate.math(tmp_path / "run.jsonl", tmp_path / "s.json", gold=tmp_path / "test.jsonl")
