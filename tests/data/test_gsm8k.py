"""GSM8K's solutions as trajectories: steps from annotations, new numbers along the equations, and what is left out."""

import json
import random

import pytest

import alpha_umi as umi
from alpha_umi.datasets.gsm8k import WordProblem
from alpha_umi.environments.calculator import calculate
from alpha_umi.preparation.new_numbers import draw_new_numbers
from alpha_umi.preparation.solutions import NUMBER, UnusableSolutionError, read_solution
from alpha_umi.store import read_trajectories
from alpha_umi.training.data.examples import count_targets

CLIPS = {
    "question": "Ana sold clips to 48 of her friends in April, and half as many in May. How many clips in all?",
    "answer": "Ana sold 48/2 = <<48/2=24>>24 clips in May.\nShe sold 48+24 = $<<48+24=72>>72 clips in all.\n#### 72",
}
ROWS = {
    "several in a line": "5*2=<<5*2=10>>10 and 10+30=<<10+30=40>>40 apples\n#### 40",
    "no annotation": "He walks 6 * 7 = 42 miles.\n#### 42",
    "words between": "There are days.\nSo 20 - 8 = <<20-8=12>>12 days.\nThat is all, 12.\n#### 12",
    "thousands": "It is 1,200*2 = $<<1200*2=2400>>2,400.\n#### 2,400",
}  # fmt: skip
BAD = {
    "no equation": "He has many.\n#### 5",
    "an equation that does not hold": "He has <<2+2=5>>5.\n#### 5",
    "an equation that is not the one of its text": "He has 6-3 = <<2+2=4>>4.\n#### 4",
    "a thought that tells the result": "He has 9 because 6+3 = <<6+3=9>>9.\n#### 9",
    "the answer is neither the last result nor named behind it": "He has 6+3 = <<6+3=9>>9.\n#### 11",
}


def problem(answer, question="How many of 20?"):
    solution, _, gold = answer.rpartition("####")
    return WordProblem(id="gsm8k-1", question=question, solution=solution.strip(), answer=gold.strip().replace(",", ""))


@pytest.mark.parametrize(
    ("name", "expressions"),
    [
        ("several in a line", ["5*2", "10+30"]),
        ("no annotation", ["6 * 7"]),
        ("words between", ["20-8"]),
        ("thousands", ["1200*2"]),
    ],
)
def test_equations_of_every_notation_become_steps_whose_thought_holds_the_numbers(name, expressions):
    solution = read_solution(problem(ROWS[name]))
    assert [step.expression for step in solution.steps] == expressions
    for step in solution.steps:
        assert "<<" not in step.thought
        numbers = NUMBER.findall(step.expression)
        assert all(number in step.thought.replace(",", "") for number in numbers)


@pytest.mark.parametrize("reason", BAD)
def test_solutions_that_do_not_lead_to_their_answer_are_left_out_by_reason(reason):
    with pytest.raises(UnusableSolutionError, match=reason):
        read_solution(problem(BAD[reason]))


def test_new_numbers_change_question_and_solution_alike():
    old = problem(CLIPS["answer"], CLIPS["question"])
    drawn = [draw_new_numbers(old, random.Random(seed), "new") for seed in range(20)]
    assert len({each.question for each in drawn}) > 5
    for each in drawn:
        (number,) = (int(word) for word in each.question.split() if word.isdigit())
        assert number % 2 == 0
        assert each.answer == str(number + number // 2)
        assert [calculate(step.expression) for step in read_solution(each).steps] == [number // 2, int(each.answer)]


@pytest.mark.parametrize(
    ("question", "answer", "reason"),
    [
        ("She has 9 cats and 9 dogs?", "9+9 = <<9+9=18>>18\n#### 18", "no number to change"),
        ("In 1999 he had 40% of it?", "40+1999 = <<40+1999=2039>>2039\n#### 2039", "no number to change"),
        ("She has 48 cats?", "48/2 = <<48/2=24>>24, so twenty-four.\n#### 24", "a number in words"),
        ("She has 48 cats?", "48/2 = <<48/2=24>>24 of the 77.\n#### 24", "a number that no equation explains"),
        ("She has 48 cats and 24 dogs?", "48/2 = <<48/2=24>>24\n#### 24", "odd results"),
    ],
)
def test_numbers_that_could_mean_something_else_are_not_changed(question, answer, reason):
    with pytest.raises(UnusableSolutionError, match=reason):
        draw_new_numbers(problem(answer, question), random.Random(0), "new")


@pytest.mark.parametrize("tool", ["calculator", "python"])
def test_a_file_becomes_trajectories_of_three_roles_and_mixes_with_others(tmp_path, tool):
    broken = {"question": "no answer"}
    shared = {"question": " ".join(f"word{n}" for n in range(13)) + " 20?", "answer": ROWS["words between"]}
    rows = [CLIPS, broken, shared, {"question": "How many of 20?", "answer": BAD["no equation"]}]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "test.jsonl").write_text(json.dumps(shared))
    report = umi.prepare.gsm8k(
        [tmp_path / "train.jsonl"], tmp_path / "out.jsonl", tool=tool, new_numbers=2, held_out=[tmp_path / "test.jsonl"]
    )
    assert (report.kept, dict(report.deviations)) == (3, {"problems": 1, "new_problems": 2})
    assert {reason.split(";")[0] for reason in report.skipped} == {
        "broken or of another shape", "shares 13 words in a row with a test half", "no equation",
    }  # fmt: skip
    trajectories = list(read_trajectories(tmp_path / "out.jsonl"))
    first = trajectories[0]
    assert [turn.content for turn in first.turns if isinstance(turn, umi.Observation)][-1].startswith("72")
    assert first.answer == "The answer is 72."
    assert len({each.task.query for each in trajectories}) == 3
    counts = count_targets(first)
    assert [counts[role] for role in (umi.Role.PLANNER, umi.Role.CALLER, umi.Role.SUMMARIZER)] == [3, 2, 1]


def test_a_file_without_problems_is_an_error_that_names_it(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(
        umi.DataError, match=r"x\.jsonl: holds no usable problem; .*:1: no GSM8K problem.*'question' and 'answer'"
    ):
        umi.prepare.gsm8k([tmp_path / "x.jsonl"], tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
