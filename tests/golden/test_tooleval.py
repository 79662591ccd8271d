"""The published ToolEval, conversion to aggregates, on every case found in the goldens."""

import asyncio
import csv
import hashlib
import io
import json

import pytest

from alpha_umi.formats.prompts.judging import VERDICT_FIELD, Question, load_evaluator
from alpha_umi.judging.convert import read_case
from alpha_umi.judging.flow import Judge
from alpha_umi.judging.labels import score_toolalpaca
from alpha_umi.judging.reference import TEST_SETS, Pair, PublishedRun
from alpha_umi.judging.reference_convert import PublishedConverter
from alpha_umi.judging.reference_rates import (
    published_pass_rate,
    published_solve_rate,
    published_summary,
    published_win_rate,
    published_win_summary,
)
from alpha_umi.judging.report import read_labels
from alpha_umi.models.scripted import ScriptedModel
from alpha_umi.types import Reference
from support.folders import DEFAULT_GOLDEN, golden_dir

GOLDEN = golden_dir("tooleval")
VERSIONS = {"umi": Reference.ALPHA_UMI, "openbmb": Reference.OPENBMB, "stable": Reference.STABLE}


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def rows_of(name):
    """The rows of a file of this family, which others of its shape may lack."""
    return read(GOLDEN / name) if (GOLDEN / name).exists() else []


# --- conversion -----------------------------------------------------------------------------------------


def conversions():
    return sorted(p for p in (GOLDEN / "convert").glob("*.json") if p.stem.rpartition("_")[2] in (*VERSIONS, "SHIPPED"))


def raw_answers(name):
    """The folder of the raw answers behind a conversion; the goldens keep them in several places."""
    if (GOLDEN / "convert/inputs" / name).is_dir():
        return GOLDEN / "convert/inputs" / name
    kind, _, rest = name.partition("_")
    if kind == "C":
        return GOLDEN / "convert/inputs_hist" / rest.partition("_")[2]
    if kind == "B":
        answers = GOLDEN / "stable_example/answer"
        return next(folder for model in answers.iterdir() if model.name in name for folder in model.iterdir())
    folder, _, group = rest.rpartition("_")
    return GOLDEN.parent / "prepro" / f"A_{folder}" / "answer" / f"{group}_answer"


def convert(name, version, method, order=None):
    files = {p.name.split("_")[0]: p for p in sorted(raw_answers(name).glob("*.json")) if method in p.name}
    converter = PublishedConverter(version=version, method=method)
    return {key: converter.convert(key, read(files[key])) for key in order or files}


def method_of(name, records):
    for record in records.values():
        return record["answer"]["method"]
    return "DFS_woFilter_w2" if "DFS" in name else "CoT@1"


@pytest.mark.parametrize("path", conversions(), ids=lambda path: path.stem)
def test_raw_answers_convert_as_the_published_code_converts_them(path):
    name, _, version = path.stem.rpartition("_")
    expected = read(path)
    method = method_of(name, expected)
    if version == "SHIPPED":  # listed by another disk, so drawn in another order
        made = convert(name, Reference.OPENBMB, method, order=list(expected))
    else:
        made = convert(name, VERSIONS[version], method)
    assert list(made) == list(expected)
    assert made == expected


def test_there_are_conversions():
    assert conversions() or not (GOLDEN / "convert").is_dir()


# --- whole runs -----------------------------------------------------------------------------------------

RUNS = GOLDEN / "runs"
INPUTS = next(
    (folder for root in (GOLDEN, DEFAULT_GOLDEN / "tooleval") if (folder := root / "passrate_inputs").is_dir()), GOLDEN
)
UNKNOWN = "(a question whose words no log shows)"


def runs(kind):
    """The runs that a report lists, and those of which there is a log alone: what they printed is not known."""
    report = RUNS / "report.json"
    rows = {row["tag"]: row for row in (read(report) if report.exists() else [])}
    for path in sorted(RUNS.glob("*.judge_log.json")):
        tag = path.name.partition(".")[0]
        _, version, *_, last = tag.split("_")
        times = last if last.isdecimal() else tag.split("_")[-2]
        rows.setdefault(tag, {"tag": tag, "version": version, "args": ["--evaluate_times", times]})
    return [row for row in rows.values() if row["tag"].startswith(kind)]


def has_crashed(row):
    """Whether the published script ended before its last set."""
    return "crash" in row or ("printed" not in row and len(list((RUNS / row["tag"]).glob("*.csv"))) < len(sets()))


def cases(model, name):
    return {key: read_case(record) for key, record in read(INPUTS / "converted" / model / f"{name}.json").items()}


def sets():
    return [name for name in TEST_SETS if (INPUTS / "test_query_ids" / f"{name}.json").exists()]


def logged(tag):
    return read(RUNS / f"{tag}.judge_log.json")


@pytest.fixture(scope="module")
def evaluator():
    """The published questions, recovered from the prompts in the logs: what varies there is a field."""
    every = [
        case
        for model in (INPUTS / "converted").iterdir()
        for name in sets()
        for case in cases(model.name, name).values()
    ]
    forms = {}
    for path in sorted(RUNS.glob("*.judge_log.json")):
        for row in read(path):
            question = Question(row["function"])
            if row["prompt"] and question not in forms:
                forms[question] = template(question, row["prompt"], every)
    for question in set(Question) - set(forms):  # no log shows a prompt of it, so none can be compared
        forms[question] = UNKNOWN + " {query} {answer} {task} {answer_0} {answer_1}"
    text = "\n".join(
        f"<function>\n<name>{q}</name>\n<description>{t}</description>\n</function>" for q, t in forms.items()
    )
    functions = [{"name": q.value, "parameters": {"properties": {VERDICT_FIELD[q]: {}}}} for q in Question]
    return load_evaluator({"evaluator_name": "golden", "completions_kwargs": {"functions": functions}}, text)


def template(question, prompt, every):
    """Documents are JSON objects, so a whole one can be told; queries and answers are those of the cases."""
    decoder = json.JSONDecoder()
    names = iter(document_names(question))
    text, at = "", 0
    while question is not Question.ANSWER and (start := prompt.find('{"', at)) >= 0:
        _, end = decoder.raw_decode(prompt, start)
        text, at = f"{text}{prompt[at:start]}{{{next(names)}}}", end
    text += prompt[at:]
    if question is Question.TASK:
        return text
    case = next(
        case
        for case in every
        if case.query in prompt
        and (question is not Question.ANSWER or (case.answer["final_answer"] in prompt and case.answer["final_answer"]))
    )
    if question is Question.ANSWER:
        text = text.replace(case.answer["final_answer"], "{answer}")
    return text.replace(case.query, "{query}")


def document_names(question):
    return {Question.STEPS: ["answer"], Question.TASK: ["task"], Question.BETTER: ["answer_0", "answer_1"]}.get(
        question, []
    )


def replay(tag, evaluator, more=()):
    """A judge that says what the log says, in its order; `more` answers what the log does not reach."""
    model = ScriptedModel([json.dumps(row["reply"]) for row in logged(tag)] + list(more))
    return model, Judge(name="log", model=lambda _: model, evaluator=evaluator)


def same_prompts(model, tag):
    """Whether the prompts are those of the log, as far as it goes and its questions are known."""
    contents = [prompt[-1].content for prompt in model.prompts]
    hashes = [hashlib.sha256(content.encode()).hexdigest() for content in contents]
    known = [entry["prompt_sha256"] for entry in logged(tag)]
    return len(hashes) >= len(known) and all(
        made == expected or content.startswith(UNKNOWN)
        for content, made, expected in zip(contents, hashes, known, strict=False)
    )


def as_csv(rows):
    text = io.StringIO(newline="")
    csv.writer(text, delimiter="\t").writerows(rows)
    return text.getvalue()


def as_json(labels):
    return json.dumps(labels, ensure_ascii=False, indent=4)


@pytest.mark.parametrize("row", runs("pass"), ids=lambda row: row["tag"])
def test_a_pass_run_asks_and_writes_what_the_published_script_does(row, evaluator):
    run, _, system = row["tag"].rpartition("_")
    version, times = VERSIONS[row["version"]], int(row["args"][1])
    model, judge = replay(row["tag"], evaluator)
    published = PublishedRun(version=version, judge=judge)
    printed = []
    for name in sets():
        ids = read(INPUTS / "test_query_ids" / f"{name}.json")
        chosen = {key: case for key, case in cases(system, name).items() if key in ids}
        labels = asyncio.run(published.passes(chosen, times))
        table = published.pass_rows(labels, system)
        assert as_json(labels) == (RUNS / run / system / f"{name}_{system}.json").read_text(encoding="utf-8")
        assert as_csv(table) == (RUNS / run / system / f"{name}_{system}.csv").read_bytes().decode()
        printed += published_summary(version, name, system, labels, times).splitlines()
    assert printed == row.get("printed", printed)
    assert same_prompts(model, row["tag"])
    assert len(model.prompts) == len(logged(row["tag"]))


def inputs_of(tag):
    """The folder of pass tables that a preference run takes over, named after the pass run that made them."""
    inputs = {path.name.removeprefix("pref_in_"): path for path in RUNS.glob("pref_in_*")}
    return next(path for name, path in inputs.items() if tag.removeprefix("pref_").startswith(f"{name}_"))


def pass_table(folder, system, name):
    path = folder / f"{name}_{system}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return {line["query_id"]: line for line in csv.DictReader(file, delimiter="\t")}


def pair_of(name, tag, *, stable):
    systems = "modelA", "modelB"
    tables = [{} if stable else pass_table(inputs_of(tag), system, name) for system in systems]
    answers = [cases(system, name) for system in systems]
    return Pair(
        reference_name=systems[0],
        candidate_name=systems[1],
        reference=answers[0],
        candidate=answers[1],
        reference_passes=tables[0],
        candidate_passes=tables[1],
    )


@pytest.mark.parametrize("row", runs("pref"), ids=lambda row: row["tag"])
def test_a_preference_run_asks_and_writes_what_the_published_script_does_and_goes_on_where_that_ends(row, evaluator):
    version, times = VERSIONS[row["version"]], int(row["args"][1])
    more = ['{"index": 0}'] * 1000 if has_crashed(row) else []
    model, judge = replay(row["tag"], evaluator, more)
    run = PublishedRun(version=version, judge=judge)
    listed = "test_query_ids" if "onemissing" in row["tag"] else "test_query_ids_present"
    printed = []
    for name in sets():
        pair = pair_of(name, row["tag"], stable=version is Reference.STABLE)
        prefer = asyncio.run(run.prefers(list(read(INPUTS / listed / f"{name}.json")), pair, times))
        table = as_csv(run.prefer_rows(prefer, pair))
        printed.append(published_win_summary(name, (pair.reference_name, pair.candidate_name), prefer))
        expected = RUNS / row["tag"] / f"{name}_modelA_modelB"
        if expected.with_suffix(".json").exists():
            known = read(expected.with_suffix(".json"))
            if times > 1:  # the published script ends after its first round
                first = PublishedRun(version=version, judge=replay(row["tag"], evaluator)[1])
                prefer = asyncio.run(first.prefers(list(prefer), pair, 1))
            assert as_json(prefer) == as_json(known)
        if expected.with_suffix(".csv").exists():
            assert table.startswith(expected.with_suffix(".csv").read_bytes().decode())
    assert same_prompts(model, row["tag"])
    assert len(printed) == len(sets())
    if has_crashed(row):
        assert any("the published script ends" in note for note in run.notes)
    else:
        assert len(model.prompts) == len(logged(row["tag"]))
        assert printed == row.get("printed", printed)
        assert not run.notes


# --- aggregates of real vote files ----------------------------------------------------------------------


@pytest.mark.parametrize("row", rows_of("labels_qaq/expected.json"), ids=lambda row: row["file"].split("/")[1])
def test_the_pass_rate_of_a_real_vote_file_is_the_published_one(row):
    path = GOLDEN / "labels_qaq" / row["file"]
    labels = read(path)
    assert len(labels) == row["n"]
    assert published_pass_rate(labels) == row["pass_rate_reference_formula"]
    decided = [label for label in labels.values() if label["passed"] != label["failed"]]
    assert len(labels) - len(decided) == row["ties"]
    assert sum(label["passed"] > label["failed"] for label in decided) / len(labels) == row["strict_majority_rate"]


def test_win_rates_of_real_preferences_are_the_published_ones():
    for row in rows_of("winrate_aggregation.json"):
        rates = published_win_rate(row["prefer_dict"], row["reference_model"], row["output_model"])
        assert (rates.win, rates.lose, rates.tie) == (row["win_rate"], row["lose_rate"], row["tie_rate"])


def test_stabletoolbench_solve_rates_and_preferences_are_the_published_ones():
    folder = GOLDEN / "stable_example"
    for row in rows_of("stable_example/expected_aggregates.json"):
        if "model" in row:
            labels = read(next((folder / "pass_rate_results" / row["model"]).glob("*.json")))
            solved = published_solve_rate(labels, len(row["scores_by_round"]))
            assert list(solved.rounds) == row["scores_by_round"]
            assert (solved.rate, solved.deviation) == (row["solve_rate_pct"], row["std_pct_population"])
        else:
            names = [name for name in next(iter(row["preference"].values())) if not name.startswith("round_")]
            rates = published_win_rate(row["preference"], *names)
            outcomes = row["outcomes"]
            assert rates.win == outcomes.count("win") / len(outcomes)
            assert rates.tie == outcomes.count("tie") / len(outcomes)


# --- other label files ----------------------------------------------------------------------------------


def test_toolalpaca_label_files_give_the_published_statistics():
    for model in read(golden_dir("aux") / "aggregates.json")["toolalpaca"].values():
        scores = score_toolalpaca(model["labels"])
        for known in (model["published_statistics"], model["recomputed"]):
            assert (scores.count, scores.errors, scores.both) == (known["num"], known["error_num"], known["both"])
            assert (scores.process, scores.response) == (known["process"], known["response"])


def test_the_labels_of_a_vote_file_agree_with_its_own_table():
    """The table decides a balance by lot; all other labels are the same."""
    for row in rows_of("labels_qaq/expected.json"):
        path = GOLDEN / "labels_qaq" / row["file"]
        votes, table = read_labels(path), read_labels(path.with_suffix(".csv"))
        clear = {key: label for key, label in votes.items() if label != "unsure"}
        assert len(votes) - len(clear) == row["ties"]
        assert sum(clear[key] != table[key] for key in clear) == len(row["csv_label_mismatch_nontie"])
        assert sum(label == "passed" for label in table.values()) / len(table) == row["csv_pass_rate"]
