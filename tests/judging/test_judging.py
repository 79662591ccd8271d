"""Verdicts on rollouts: the questions, the flow, votes and numbers, with a scripted judge."""

import asyncio
import itertools
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.errors import DataError, FormatError
from alpha_umi.formats.prompts.judging import OWN, Question, load_evaluator, read_reply, tool_steps
from alpha_umi.judging.convert import convert_trajectory, read_case
from alpha_umi.judging.flow import Judge, Memory, judge_pair, judge_pass, settled_by_passes
from alpha_umi.judging.labels import score_toolalpaca
from alpha_umi.judging.reference import each
from alpha_umi.judging.rules import compare_by_rule, judge_world
from alpha_umi.judging.scores import agree, mcnemar, score_passes, score_wins, sign_test
from alpha_umi.judging.verdicts import (
    AnswerStatus,
    Comparison,
    Outcome,
    PassVerdict,
    Preference,
    TaskStatus,
    Vote,
    decided,
    outcome,
)
from alpha_umi.models.scripted import ScriptedModel
from alpha_umi.types import Answer, Call, Decision, Observation, Plan, Sampling, Task, Trajectory, User
from alpha_umi.world import World
from support.examples import examples

SOLVED, UNSOLVED, UNSURE = ({"answer_status": status, "reason": "r"} for status in ("Solved", "Unsolved", "Unsure"))
SOLVABLE, UNSOLVABLE = ({"task_status": status, "reason": "r"} for status in ("Solvable", "Unsolvable"))


def case(final="It is 21 degrees.", calls=1):
    task = Task(id="1", query="How warm is it?")
    turns = [User(text=task.query)]
    for number in range(calls):
        turns += [
            Plan(thought="look", decision=Decision.CALL),
            Call(name=f"look_{number}", arguments="{}"),
            Observation(content="21"),
        ]
    if final is not None:
        turns += [Plan(thought="done", decision=Decision.CONCLUDE), Answer(text=final)]
    return read_case(convert_trajectory(Trajectory(task=task, turns=tuple(turns)), "test"))


def judge(*replies, **more):
    model = ScriptedModel([reply if isinstance(reply, str) else json.dumps(reply) for reply in replies])
    return model, Judge(name="scripted", model=lambda _: model, evaluator=OWN, **more)


def passed(*replies, votes=1, final="It is 21 degrees.", solvable=False):
    model, asked = judge(*replies)
    verdict = asyncio.run(judge_pass(asked, case(final), votes, solvable=solvable))
    return verdict, model


# --- replies --------------------------------------------------------------------------------------------


@given(st.sampled_from(list(Question)), st.text() | st.text(alphabet='{}[]":,01 answer_statusSolved'))
def test_any_text_is_a_reply_or_none(question, text):
    reply = read_reply(question, text)
    assert reply is None or reply.verdict


@pytest.mark.parametrize(
    ("question", "text", "verdict"),
    [
        (Question.ANSWER, '{"answer_status": "Solved"}', "Solved"),
        (Question.ANSWER, '```json\n{"reason": "a {b} c", "answer_status": "unsolved"}\n```', "Unsolved"),
        (Question.ANSWER, 'First {"answer_status": "Solved"}, no: {"answer_status": "Unsure"}', "Unsure"),
        (Question.TASK, '{"task_status": "Solved"}', None),
        (Question.BETTER, '{"index": 1}', "1"),
        (Question.BETTER, '{"index": 1.0}', "1"),
        (Question.BETTER, '{"index": "Answer_0"}', "0"),
        (Question.BETTER, '{"index": true}', None),
        (Question.BETTER, '{"index": 2}', None),
        (Question.ANSWER, "{" * 5000, None),
        (Question.ANSWER, "I think it is Solved.", None),
    ],
)
def test_a_verdict_is_found_whatever_stands_around_it(question, text, verdict):
    reply = read_reply(question, text)
    assert (reply and reply.verdict) == verdict


def test_what_the_agent_wrote_cannot_fill_a_place_of_the_question():
    prompt = OWN.ask(Question.ANSWER, [case("{query} {{x}} {schema}")])
    assert "{query} {{x}} {schema}" in prompt[-1].content


@pytest.mark.parametrize("question", list(Question))
def test_our_questions_leave_no_place_empty_and_name_their_verdicts(question):
    cases = [case("A"), case("B", calls=3)]
    system, asked = OWN.ask(question, cases)
    assert not re.search(r"\{\w+\}", asked.content)
    assert json.loads(system.content[system.content.index('{"type"') :])["required"]
    assert "look_2" in asked.content or question is not Question.BETTER


def test_a_long_response_is_cut_and_says_so():
    long = case()
    message = dict(tool_steps(long)[0])
    node = long.answer["answer_details"][0]["next"][0]["next"][0]
    node["message"] = {**message, "response": "x" * 10_000}
    asked = OWN.ask(Question.STEPS, [long])[-1].content
    assert "10000 characters in all" in asked
    assert len(asked) < 6000


# --- evaluator folders ----------------------------------------------------------------------------------


def evaluator_config():
    fields = {"check_task_solvable": "task_status", "select_better_answer": "index"}
    return {
        "completions_kwargs": {
            "temperature": 0.2,
            "functions": [
                {
                    "name": q.value,
                    "parameters": {"properties": {fields.get(q.value, "answer_status"): {"type": "string"}}},
                }
                for q in Question
            ],
        }
    }


def evaluator_template(*left_out):
    places = {"check_task_solvable": "{task}", "select_better_answer": "{query} {answer_0} {answer_1}"}
    asked = {q.value: places.get(q.value, "{query} {answer}") for q in Question if q.value not in left_out}
    return "\n".join(
        f"<function><name>{name}</name><description>{text}</description></function>" for name, text in asked.items()
    )


def test_an_evaluator_folder_asks_its_own_questions_over_the_raw_record():
    evaluator = load_evaluator(evaluator_config(), evaluator_template())
    subject = case()
    assert evaluator.ask(Question.ANSWER, [subject])[-1].content == f"{subject.query} {subject.answer['final_answer']}"
    assert evaluator.ask(Question.STEPS, [subject])[-1].content == f"{subject.query} {json.dumps(subject.answer)}"
    assert evaluator.completion["temperature"] == 0.2
    assert evaluator.fingerprint != OWN.fingerprint


@pytest.mark.parametrize(
    ("config", "template", "said"),
    [
        ({}, evaluator_template(), "completions_kwargs"),
        (evaluator_config(), evaluator_template("parse_answer_status"), "parse_answer_status"),
        ({"completions_kwargs": {"functions": []}}, evaluator_template(), "answer_status"),
        (None, "", "ToolEval"),
    ],
)
def test_an_evaluator_folder_that_lacks_something_says_what(config, template, said):
    with pytest.raises(FormatError, match=said):
        load_evaluator(config, template)


# --- the flow -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ([SOLVED], Outcome.PASSED),
        ([UNSURE, SOLVED], Outcome.PASSED),
        ([UNSURE, UNSOLVED, SOLVABLE], Outcome.FAILED),
        ([UNSOLVED, SOLVABLE], Outcome.FAILED),
        ([UNSOLVED, UNSOLVABLE], Outcome.PASSED),
        ([UNSURE, UNSURE, SOLVABLE], Outcome.UNSURE),
        ([UNSOLVED, {"task_status": "Unsure"}], Outcome.UNSURE),
    ],
)
def test_each_verdict_leads_to_the_next_question(replies, expected):
    verdict, model = passed(*replies)
    assert verdict.outcome is expected
    assert len(model.requests) == len(replies)


def test_a_solution_passes_and_so_does_anything_on_a_task_that_cannot_be_solved():
    for answer, task in itertools.product(AnswerStatus, TaskStatus):
        known = outcome(answer, task) is Outcome.PASSED
        assert known == (answer is AnswerStatus.SOLVED or task is TaskStatus.UNSOLVABLE)


@pytest.mark.parametrize(("final", "questions"), [("", 1), ("  ", 1), (None, 0)])
def test_no_answer_is_unsolved_without_a_question_about_it_and_no_end_fails(final, questions):
    verdict, model = passed(UNSOLVABLE, final=final)
    assert verdict.votes[0].answer is AnswerStatus.UNSOLVED
    assert verdict.outcome is (Outcome.PASSED if questions else Outcome.FAILED)
    assert len(model.requests) == questions


def test_known_solvable_tasks_are_not_asked_about():
    verdict, model = passed(UNSOLVED, UNSOLVED, SOLVED, solvable=True, votes=3)
    assert verdict.outcome is Outcome.FAILED
    assert len(model.requests) == 3  # SoPR is a mean over all votes


def test_nonsense_is_asked_again_with_the_reply_shown_and_then_counts_as_unsure():
    verdict, model = passed("what?", "still no", "no", "no", "no", "no", SOLVABLE)
    assert verdict.outcome is Outcome.UNSURE
    assert verdict.votes[0].nonsense == 2
    assert model.prompts[1][-2].content == "what?"
    again, model = passed("what?", SOLVED)
    assert again.outcome is Outcome.PASSED
    assert again.votes[0].nonsense == 0


def test_two_votes_of_three_settle_it():
    verdict, model = passed(SOLVED, SOLVED, votes=3)
    assert len(model.requests) == 2
    assert len(verdict.votes) == 2


@given(st.lists(st.sampled_from(["Solved", "Unsolved", "Unsure"]), min_size=1, max_size=7))
def test_stopping_early_never_changes_the_outcome(statuses):
    task = {"Solved": TaskStatus.SOLVABLE, "Unsolved": TaskStatus.SOLVABLE, "Unsure": TaskStatus.UNSURE}
    whole = PassVerdict(votes=tuple(Vote(answer=AnswerStatus(s), task=task[s]) for s in statuses))
    replies = []
    for status in statuses:
        replies += {
            "Solved": [SOLVED],
            "Unsolved": [UNSOLVED, SOLVABLE],
            "Unsure": [UNSURE, UNSURE, {"task_status": "Unsure"}],
        }[status]
    verdict, _ = passed(*replies, votes=len(statuses))
    assert verdict.outcome is whole.outcome


@given(st.lists(st.sampled_from(list(Preference)), min_size=1, max_size=7))
def test_a_decided_comparison_stays_as_it_is(votes):
    for made in range(1, len(votes)):
        if decided(votes[:made], len(votes)):
            assert Comparison(votes=tuple(votes[:made])).preference is Comparison(votes=tuple(votes)).preference


def test_votes_differ_by_seed_only_where_the_judge_is_random():
    for temperature, seeds in ((0.0, [None, None]), (0.7, [0, 1])):
        model, asked = judge(SOLVED, SOLVED, sampling=Sampling(temperature=temperature))
        asyncio.run(judge_pass(asked, case(), 3))
        assert [request.sampling.seed for request in model.requests] == seeds


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (0, 1, Preference.REFERENCE),
        (1, 0, Preference.CANDIDATE),
        (0, 0, Preference.TIE),
        (1, 1, Preference.TIE),
    ],
)
def test_both_orders_are_asked_and_disagreement_is_a_tie(first, second, expected):
    model, asked = judge({"index": first}, {"index": second})
    one, two = case("A"), case("B")
    comparison = asyncio.run(judge_pair(asked, (one, two), 1))
    assert comparison.preference is expected
    contents = [prompt[-1].content for prompt in model.prompts]
    assert contents[0].index("Final answer: A") < contents[0].index("Final answer: B")
    assert contents[1].index("Final answer: B") < contents[1].index("Final answer: A")


def test_equal_answers_tie_without_a_question():
    model, asked = judge()
    assert asyncio.run(judge_pair(asked, (case(), case()), 3)).preference is Preference.TIE
    assert not model.requests


def verdict_of(answer, task=TaskStatus.SOLVABLE):
    return PassVerdict(votes=(Vote(answer=answer, task=task),))


def test_passing_settles_a_comparison_then_the_status_does():
    solved, unsolved = verdict_of(AnswerStatus.SOLVED), verdict_of(AnswerStatus.UNSOLVED)
    lucky = verdict_of(AnswerStatus.UNSOLVED, TaskStatus.UNSOLVABLE)
    unsure = verdict_of(AnswerStatus.UNSURE)
    assert settled_by_passes(solved, unsolved) is Preference.REFERENCE
    assert settled_by_passes(unsolved, lucky) is Preference.CANDIDATE
    assert settled_by_passes(lucky, solved) is Preference.CANDIDATE
    assert settled_by_passes(unsure, unsolved) is Preference.REFERENCE
    assert settled_by_passes(solved, solved) is None


def test_a_question_on_record_is_not_asked_again_even_by_nobody():
    record = Memory()
    _, first = judge(UNSURE, "nonsense", SOLVED, record=record)
    told = asyncio.run(judge_pass(first, case(), 1))
    again = asyncio.run(judge_pass(Judge(name="scripted", model=None, evaluator=OWN, record=record), case(), 1))
    assert again == told
    assert {row["question"] for row in record.rows.values()} == {"check_answer_status", "parse_answer_status"}
    with pytest.raises(DataError, match="no reply to check_answer_status"):
        asyncio.run(judge_pass(Judge(name="other", model=None, evaluator=OWN, record=record), case(), 1))


def test_results_keep_the_order_of_the_items_and_no_more_workers_run_than_asked():
    under_way = most = 0

    async def work(number):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001 * (5 - number))
        under_way -= 1
        return number

    assert asyncio.run(each(range(5), work, 2)) == list(range(5))
    assert most == 2


def test_the_first_error_of_many_workers_comes_out_as_itself():
    async def work(number):
        raise DataError(f"broken {number}")

    with pytest.raises(DataError, match="broken 0"):
        asyncio.run(each(range(5), work, 3))


# --- the sealed world -----------------------------------------------------------------------------------


def test_the_world_judges_gold_as_passed_and_another_answer_as_failed():
    world = World()
    for index in range(20):
        task = world.task("test", index)
        gold = world.gold(task)
        good = read_case(convert_trajectory(gold, "gold"))
        bad = read_case(
            convert_trajectory(Trajectory(task=task, turns=(User(text=task.query), Answer(text="42"))), "bad")
        )
        right, wrong = judge_world(good, task.metadata), judge_world(bad, task.metadata)
        assert (right.outcome, wrong.outcome) == (Outcome.PASSED, Outcome.FAILED)
        assert compare_by_rule((good, bad), (right, wrong)).preference is Preference.REFERENCE
        assert compare_by_rule((good, good), (right, right)).preference is Preference.TIE


def test_only_tasks_of_the_world_are_judged_by_rule():
    task = World().task("test", 0)
    with pytest.raises(DataError, match="sealed world"):
        judge_world(case(), {})
    with pytest.raises(DataError, match="made by another"):
        judge_world(case(), task.metadata)


# --- numbers --------------------------------------------------------------------------------------------

statuses = st.sampled_from(list(AnswerStatus))
verdicts = st.dictionaries(
    st.text(max_size=3),
    st.lists(statuses, min_size=1, max_size=4).map(
        lambda s: PassVerdict(votes=tuple(Vote(answer=a, task=TaskStatus.SOLVABLE) for a in s))
    ),
)


@settings(max_examples=examples(40))
@given(verdicts, st.integers(0, 3))
def test_missing_answers_only_lower_the_rates(made, missing):
    whole = score_passes(made)
    lower = score_passes(made, [f"missing {number}" for number in range(missing)])
    for before, after in ((whole.pass_rate, lower.pass_rate), (whole.sopr, lower.sopr)):
        assert after.count == before.count + missing
        if before.value is not None:
            assert after.value <= before.value
            assert after.low <= after.value <= after.high


def test_sopr_is_the_mean_status_over_votes_and_queries():
    made = {
        "1": PassVerdict(votes=(Vote(answer=AnswerStatus.SOLVED, task=TaskStatus.SOLVABLE),) * 2),
        "2": PassVerdict(
            votes=(
                Vote(answer=AnswerStatus.UNSURE, task=TaskStatus.SOLVABLE),
                Vote(answer=AnswerStatus.UNSOLVED, task=TaskStatus.SOLVABLE),
            )
        ),
    }
    assert score_passes(made).sopr.value == 0.625
    assert (
        score_passes(
            {"1": PassVerdict(votes=(made["2"].votes[0], made["1"].votes[0], made["2"].votes[1]))}
        ).pass_rate.value
        == 0.5
    )


def test_win_rates_add_up_and_half_the_ties_count():
    made = {str(n): Comparison(votes=(p,)) for n, p in enumerate([Preference.CANDIDATE] * 5 + [Preference.TIE] * 2)}
    scores = score_wins(made)
    assert scores.win.value + scores.tie.value + scores.lose.value == pytest.approx(1)
    assert scores.preference.value == pytest.approx(6 / 7)
    assert scores.p_value == 0.0625


def test_the_sign_test_is_symmetric_and_says_nothing_of_nothing():
    assert sign_test(0, 0) is None
    assert sign_test(3, 3) == 1.0
    assert sign_test(9, 1) == sign_test(1, 9) == pytest.approx(22 / 1024)


def test_mcnemar_counts_pairs_and_leaves_out_the_unsure():
    first = dict(zip("abcde", [Outcome.PASSED] * 3 + [Outcome.FAILED, Outcome.UNSURE], strict=True))
    second = dict(zip("abcde", [Outcome.PASSED] + [Outcome.FAILED] * 4, strict=True))
    test = mcnemar(first, second)
    assert (test.both, test.first_only, test.second_only, test.neither) == (1, 2, 0, 1)
    assert test.p_value == 0.5


def test_kappa_is_one_for_agreement_and_zero_for_chance():
    labels = {"a": "passed", "b": "failed", "c": "passed", "d": "failed"}
    assert agree(labels, labels).kappa == 1.0
    assert agree(labels, {"a": "passed", "b": "passed", "c": "failed", "d": "failed"}).kappa == 0.0
    assert agree({"a": "passed"}, {"a": "passed"}).kappa is None
    assert agree(labels, {"z": "passed"}).agreement.value is None


def test_toolalpaca_counts_only_readable_verdicts():
    rows = [{"process": "Yes", "response": "Yes"}, {"process": "No", "response": "Uncertain"}, {"process": None}]
    scores = score_toolalpaca(rows)
    assert (scores.count, scores.errors, scores.both) == (3, 1, 1)
    assert scores.response == {"Yes": 1, "No": 0, "Uncertain": 1}
