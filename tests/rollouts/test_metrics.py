"""Laws of the scores and of the text of a step."""

import json
import math
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_umi.errors import DataError, FormatError
from alpha_umi.evaluation.metrics import METRICS, aggregate, argument_f1, confusion, mean, mean_over_tasks, score_step
from alpha_umi.evaluation.rouge import common_words, rouge_l
from alpha_umi.evaluation.static import evaluate_rows, report_document, report_text
from alpha_umi.formats.steps import StepShape, parse_published, published_shape, read_step, write_step
from alpha_umi.types import Answer, Call, Decision, Observation, Plan
from support.offline import NetworkBlockedError
from support.strategies import json_values, texts

plain = st.text(st.sampled_from('ab{}":1 .\n'), max_size=20)
names = st.text(st.sampled_from("abc_"), min_size=1, max_size=4)
calls = st.builds(lambda name, arguments: Call(name=name, arguments=arguments), names, plain)
answers = st.builds(lambda text: Answer(text=text), plain)


def plans(decision):
    return st.builds(lambda thought: Plan(thought=thought, decision=decision), plain)


steps = st.one_of(
    st.tuples(plans(Decision.CALL), calls),
    st.tuples(plans(Decision.CONCLUDE), answers),
    st.tuples(plans(Decision.NONE), calls),
    *(st.tuples(plans(decision)) for decision in Decision),
)
arguments = st.dictionaries(names, json_values, max_size=3).map(json.dumps)
sentences = st.lists(st.sampled_from(["a", "b", "c", "d.", "e", "."]), max_size=14).map(" ".join)


# --- the text of a step -----------------------------------------------------------------------------------


@given(steps)
def test_a_written_step_reads_back(step):
    assert read_step(write_step(step)) == step


@given(st.text() | st.lists(st.sampled_from(["Next: caller.", "</s>", "caller: ", "conclusion: ", "x\n", "Action:",
    "Action Input:", "conclusion: give up", "Next: conclusion", "assistant: ", "{}"])).map("".join))  # fmt: skip
def test_any_text_is_a_step_that_begins_with_its_plan(text):
    first, *rest = read_step(text)
    assert isinstance(first, Plan)
    assert all(isinstance(turn, Call | Answer) for turn in rest)
    assert len(rest) <= 1
    for shape in StepShape:
        parse_published(text, shape)


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("asssitant: t Next: caller.</s>caller: Action: a\nAction Input: {}", ("t ", "call", ("a", "{}"))),
        ("t Next: caller. caller: Action: a\nAction Input: {}", ("t ", "call", ("a", "{}"))),
        ("t Next: conclusion.</s>conclusion:x</s></s>", ("t ", "conclude", "x")),
        ("t Next: caller.</s>caller: Action: a\nAction Input: {}</s>observation: x", ("t ", "call", ("a", "{}"))),
        ("t\nAction: a\nAction Input: {}", ("t", "call", ("a", "{}"))),
        ("t\nAction: try this\nAction: a\nAction Input: {}", ("t\nAction: try this", "call", ("a", "{}"))),
        ("t\nAction: try this\nAction: a\nAction Input:", ("t\nAction: try this", "call", ("a", ""))),
        ("t\nAction: stop\nconclusion: give up.", ("t\nAction: stop", "give_up", None)),
        ("t\nconclusion: Action: none", ("t", "conclude", "Action: none")),
        ("t Action: a", ("t ", "call", ("a", "{}"))),
        ("In conclusion: nothing", ("In conclusion: nothing", "none", None)),
        ("", ("", "none", None)),
    ],
)
def test_a_text_of_either_shape_says_its_step(text, step):
    thought, decision, said = step
    turns = (Plan(thought=thought, decision=Decision(decision)),)
    if isinstance(said, tuple):
        turns += (Call(name=said[0], arguments=said[1]),)
    elif said is not None:
        turns += (Answer(text=said),)
    assert read_step(text) == turns


def test_a_step_without_a_plan_has_no_text():
    with pytest.raises(FormatError, match="Observation"):
        write_step((Observation(content="x"),))


def test_the_shape_is_what_most_references_have():
    assert published_shape(["t Next: caller.", "t Next: give up.", "t\nAction: a"]) is StepShape.MULTI_AGENT
    assert published_shape(["t Next: caller.", "t\nconclusion: x", "t\nAction: a"]) is StepShape.BACKBONE


# --- arguments --------------------------------------------------------------------------------------------


@given(arguments | texts, arguments | texts)
def test_argument_f1_is_symmetric_and_bounded(one, other):
    assert 0 <= argument_f1(one, other) <= 1
    assert argument_f1(one, other) == argument_f1(other, one)


@given(arguments | texts)
def test_equal_arguments_score_one(text):
    assert argument_f1(text, text) == 1


@pytest.mark.parametrize(
    ("prediction", "reference", "score"),
    [
        ("{}", "{}", 1),
        ("{}", '{"a": 1}', 0),
        ('{"a": 2}', '{"a": 1}', 0.5),
        ('{"a": 1, "b": 2}', '{"a": 1}', 2 / 3),
        ('{"b": 2, "a": 1.0}', '{"a": 1, "b": 2}', 1),
        ('{"a": true}', '{"a": 1}', 0.5),
        ('{"a": NaN}', '{"a": NaN}', 1),
        ('{"a": {"x": 1, "y": 2}}', '{"a": {"y": 2, "x": 1}}', 1),
        ("[1, 2]", "[1,2]", 1),
        ("{bad", " {bad\n", 1),
        ("{bad", "{}", 0),
        ("{}", "{bad", 0),
        ('{"a": ' * 100_000, "{}", 0),
    ],
)
def test_arguments_compare_as_json(prediction, reference, score):
    assert argument_f1(prediction, reference) == pytest.approx(score)


# --- ROUGE-L ----------------------------------------------------------------------------------------------


def naive_lcs(one, other):
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, word in enumerate(one):
        for j, candidate in enumerate(other):
            table[i + 1][j + 1] = table[i][j] + 1 if word == candidate else max(table[i][j + 1], table[i + 1][j])
    return table


def naive_walk(one, other):
    table, i, j, words = naive_lcs(one, other), len(one), len(other), []
    while i and j:
        if one[i - 1] == other[j - 1]:
            words, i, j = [*words, one[i - 1]], i - 1, j - 1
        elif table[i - 1][j] > table[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return words


@given(st.lists(st.sampled_from("abcde"), max_size=90), st.lists(st.sampled_from("abcdef"), max_size=90))
def test_the_bit_parallel_subsequence_is_the_naive_one(one, other):
    words, _ = common_words(one, other)
    assert len(words) == naive_lcs(one, other)[-1][-1]
    assert words == naive_walk(one, other)


@given(sentences, sentences)
def test_rouge_is_bounded_and_never_better_than_a_perfect_match(one, other):
    score = rouge_l(one, other)
    assert 0 <= score.f <= 0.999999995
    assert score.f == 0 or math.isclose(score.f, 2 / (1 / score.precision + 1 / score.recall), abs_tol=1e-7)


@given(sentences)
def test_rouge_of_a_text_with_itself_is_perfect_unless_it_has_no_sentence(text):
    assert rouge_l(text, text).f == (0.999999995 if text.replace(".", "") else 0)


def test_rouge_has_no_limit_of_length():
    words = " ".join(f"w{number}" for number in range(5000))
    assert rouge_l(words, words[::-1]).f < rouge_l(words, words).f == 0.999999995


# --- steps ------------------------------------------------------------------------------------------------


@given(steps, steps)
def test_every_score_is_bounded_and_the_confusion_counts_every_step(prediction, reference):
    score = score_step(prediction, reference, {"a", "b"})
    assert all(0 <= value <= 1 for value in score.scores.values())
    assert sum(sum(row.values()) for row in confusion([score]).values()) == 1


@given(steps)
def test_a_step_scored_against_itself_is_right_in_every_way(step):
    score = score_step(step, step, {turn.name for turn in step if isinstance(turn, Call)})
    perfect = {name: 0.0 if name.startswith("hallucination") else 1.0 for name in score.scores}
    assert score.scores == pytest.approx(perfect, abs=1e-8)


CALL = (Plan(thought="t", decision=Decision.CALL), Call(name="a", arguments="{}"))
CONCLUDE = (Plan(thought="t", decision=Decision.CONCLUDE), Answer(text="the end"))


def scores(prediction, reference=CALL):
    return score_step(prediction, reference, {"a"}).scores


def test_a_call_without_a_name_is_a_miss_and_no_hallucination():
    nameless = (CALL[0], Call(name="", arguments="{}"))
    assert scores(nameless) == {
        "hallucination_rate": 0, "plan_accuracy": 1, "action_exact_match": 0, "argument_f1": 0,
    }  # fmt: skip


def test_a_call_of_a_tool_that_is_not_offered_is_hallucinated():
    unknown = (CALL[0], Call(name="b", arguments="{}"))
    assert scores(unknown)["hallucination_rate"] == scores(unknown)["hallucination_rate_calls"] == 1
    assert scores(unknown, CONCLUDE)["hallucination_rate"] == 1


def test_a_plan_that_names_nobody_is_wrong_even_before_the_right_call():
    assert scores((Plan(thought="t", decision=Decision.NONE), CALL[1]))["plan_accuracy"] == 0


def test_no_answer_scores_zero_where_the_reference_answers():
    assert scores(CALL, CONCLUDE)["rouge_l"] == 0
    assert "rouge_l" not in scores(CONCLUDE, CALL)


# --- means ------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1) | st.sampled_from([0.0, 1.0]), min_size=1, max_size=40), st.integers(0, 3))
def test_an_interval_lies_within_the_possible_values_and_repeats_with_its_seed(values, seed):
    metric = mean(values, seed=seed)
    slack = 1e-9
    assert -slack <= metric.low <= metric.high <= 1 + slack
    assert metric.count == len(values)
    assert metric == mean(values, seed=seed)


@given(st.integers(1, 400), st.data())
def test_the_interval_of_a_share_holds_the_shares_that_the_observed_one_does_not_rule_out(count, data):
    right = data.draw(st.integers(0, count))
    metric = mean([1.0] * right + [0.0] * (count - right))
    for bound in (metric.low, metric.high):  # each lies 1.96 standard errors of its own from the observed share
        distance = abs(right / count - bound)
        assert distance == pytest.approx(1.959964 * math.sqrt(bound * (1 - bound) / count), abs=1e-6)
    assert metric.low < metric.high


def test_values_that_all_agree_leave_room_for_others():
    assert (mean([0.0] * 89).low, mean([0.0] * 89).high) == pytest.approx((0, 0.0414), abs=1e-4)
    assert (mean([1.0] * 89).low, mean([1.0] * 89).high) == pytest.approx((0.9586, 1), abs=1e-4)
    half = mean([0.5] * 89)
    assert half.low < 0.41 < 0.59 < half.high


values_of_steps = st.sampled_from([0.0, 0.5, 1.0])


def first(key):
    return key.split("/")[0]


@given(st.lists(st.lists(values_of_steps, min_size=1, max_size=4), min_size=1, max_size=8), st.integers(2, 5))
def test_steps_that_only_repeat_others_of_their_task_make_no_interval_narrower(tasks, times):
    once = {f"{number}/{at}": value for number, task in enumerate(tasks) for at, value in enumerate(task)}
    often = {f"{key}/{more}": value for key, value in once.items() for more in range(times)}
    few, many = mean_over_tasks(once, first), mean_over_tasks(often, first)
    assert many.count == times * few.count
    assert 0 <= few.low <= few.high <= 1
    if set(once.values()) != {0.0, 1.0}:
        assert (few.value, few.low, few.high) == pytest.approx((many.value, many.low, many.high))


@given(st.lists(st.booleans(), min_size=1, max_size=50))
def test_tasks_of_one_score_each_that_is_0_or_1_get_wilsons_interval(passed):
    values = [float(one) for one in passed]
    found = mean_over_tasks({str(at): value for at, value in enumerate(values)}, str)
    expected = mean(values)
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))


@given(values_of_steps, st.integers(1, 200))
def test_tasks_that_all_score_the_same_leave_room_for_the_share_that_might_not(value, count):
    found, other = mean_over_tasks({str(at): value for at in range(count)}, str), mean([0.0] * count).high
    assert found.high - found.low == pytest.approx(other)
    assert found.low <= value <= found.high


@pytest.mark.parametrize("spread", [0, 1e-6], ids=["few distinct values", "many"])
def test_an_interval_is_that_of_the_normal_approximation_for_many_values(spread):
    metric = mean([float(number < 300) + spread * number for number in range(1000)])
    half = 1.96 * math.sqrt(0.3 * 0.7 / 1000)
    assert (metric.low, metric.high) == pytest.approx((0.3 - half, 0.3 + half), abs=0.005)


def test_a_metric_that_no_step_counts_for_has_no_value():
    assert aggregate([])["rouge_l"] == mean([])
    assert mean([]).value is None


# --- reports ----------------------------------------------------------------------------------------------


def row(prediction, reference=CALL, tools=("a",)):
    return {
        "tools": [{"Name": name} for name in tools],
        "reference": write_step(reference),
        "predictions": write_step(prediction),
    }


def test_a_report_says_what_was_scored_and_what_was_not():
    on_no_decision = (Plan(thought="t", decision=Decision.NONE),)
    rows = [row(CALL), row(CONCLUDE, CONCLUDE), row(CALL, tools=()), row(CALL, on_no_decision)]
    rows[0]["tools"].append({"name": "b"})
    report = evaluate_rows(rows)
    document = report_document(report)
    assert report.hallucinated == (2,)
    assert list(document["metrics"]) == list(METRICS)
    assert document["metrics"]["plan_accuracy"] == {
        "value": 1.0, "count": 3, "low": pytest.approx(0.4385, abs=1e-4), "high": 1.0,
    }  # fmt: skip
    assert document["by_decision"]["call"]["call"] == 2
    assert document["by_tool"]["a"]["hallucination_rate"] == 0.5
    assert [note.partition(":")[0] for note in report.notes] == ["row 0", "row 3"]
    assert "row 3" in report_text(report)
    json.dumps(document, allow_nan=False)


@pytest.mark.parametrize("published", [None, *StepShape])
def test_a_missing_prediction_counts_as_wrong_and_is_counted(published):
    answered, called = row(CONCLUDE, CONCLUDE), row(CALL)
    without = {key: value for key, value in called.items() if key != "predictions"}
    rows = [answered, called, without, {**answered, "predictions": None}]
    report = evaluate_rows(rows, published=published is not None, shape=published)
    document = report_document(report)
    if published:
        assert document["metrics"]["plan_em"] == 0.5
    else:
        assert document["missing"] == 2
        assert document["metrics"]["plan_accuracy"]["value"] == 0.5
        assert document["metrics"]["rouge_l"]["value"] == pytest.approx(0.5)
        assert document["metrics"]["argument_f1"]["value"] == 0.5
    assert any(note.startswith("2 of 4 predictions are missing or null and count as wrong") for note in report.notes)
    with pytest.raises(DataError, match=r"'predictions' is missing .*are these predictions"):
        evaluate_rows([without, without])


def test_the_tables_of_a_report_are_aligned_whatever_a_tool_is_called():
    odd = (CALL[0], Call(name="a|b\x1b[2J" + "c" * 80, arguments="{}"))
    text = report_text(evaluate_rows([row(CALL), row(CONCLUDE, CONCLUDE), row(odd, odd)]))
    tables = [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]
    assert len(tables) == 3
    for lines in tables:
        assert len({len(line) for line in lines}) == 1
        assert len({line.count("|") for line in lines}) == 1
    assert "\x1b" not in text


def test_rows_with_the_same_note_share_a_line():
    on_no_decision = (Plan(thought="t", decision=Decision.NONE),)
    text = report_text(evaluate_rows([row(CALL, on_no_decision)] * 15))
    (note,) = [line for line in text.splitlines() if line.startswith("- ")]
    assert note.startswith("- rows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 5 more: the reference names no decision")


def test_a_published_report_has_the_published_keys():
    report = evaluate_rows([row(CALL), row(CALL, CONCLUDE)], published=True)
    assert set(report_document(report)["metrics"]) == {
        "rouge", "plan_em", "action_em", "easy_f1", "hard_f1", "f1", "hallu_rate",
    }  # fmt: skip
    assert report.shape is StepShape.MULTI_AGENT
    assert any(note.startswith("hard_f1") for note in report.notes)
    assert "multi-agent" in report_text(report)


def test_the_shape_can_be_chosen():
    assert evaluate_rows([row(CALL)], published=True, shape=StepShape.BACKBONE).shape is StepShape.BACKBONE


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"rows": []}, "an object"),
        ([], "empty"),
        ([row(CALL), 3], "row 1: .* a number"),
        ([{"tools": [], "reference": ""}], "row 0: key 'predictions' is missing"),
        ([row(CALL) | {"predictions": 3}], "row 0: 'predictions' must be a text, this is a number"),
        ([row(CALL) | {"tools": {}}], "row 0: 'tools' must be a list"),
        ([row(CALL) | {"tools": ["a"]}], "row 0: 'tools' must hold objects"),
    ],
)
def test_rows_of_another_shape_are_named(rows, message):
    with pytest.raises(DataError, match=message):
        evaluate_rows(rows)


def test_the_tests_cannot_leave_this_machine():
    with socket.socket() as client, pytest.raises(NetworkBlockedError):
        client.connect(("192.0.2.1", 80))
    with pytest.raises(NetworkBlockedError):
        socket.getaddrinfo("example.org", 80)
