"""How often ToolEval's published converters, pass runs and preferences differ from ours, on the golden cases.

Reads the folder named by ALPHA_UMI_GOLDEN, else ../shared/golden. The judge's replies are those of the golden logs, so
published and our numbers come from the same verdicts.
"""

import asyncio
import contextlib
import csv
import json
import os
from collections import Counter
from pathlib import Path

from alpha_umi.errors import DataError
from alpha_umi.formats.prompts.judging import OWN, final_text, tool_steps
from alpha_umi.judging.convert import convert_answer, read_case
from alpha_umi.judging.flow import Judge, Memory, judge_pass
from alpha_umi.judging.reference import TEST_SETS, PublishedRun
from alpha_umi.judging.reference_convert import Published, PublishedConverter
from alpha_umi.judging.reference_rates import published_pass_rate, published_solve_rate
from alpha_umi.judging.report import read_labels
from alpha_umi.judging.scores import score_passes
from alpha_umi.models.scripted import ScriptedModel

ROOT = Path(os.environ.get("ALPHA_UMI_GOLDEN") or Path(__file__).parents[2] / "shared" / "golden")
GOLDEN = ROOT / "tooleval"
RUNS, INPUTS = GOLDEN / "runs", GOLDEN / "passrate_inputs"
SYSTEMS = "modelA", "modelB"
VERSIONS = {"umi": Published.ALPHA_UMI, "openbmb": Published.OPENBMB, "stable": Published.STABLE}


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def conversions():
    folders = {
        path.parent
        for place in (GOLDEN / "convert", GOLDEN / "stable_example/answer", ROOT / "prepro/A_openbmb15/answer")
        for path in place.rglob("*_*.json")
        if path.parent.name != "convert"
    }
    count = Counter()
    for folder in sorted(folders):
        for path in sorted(folder.glob("*.json")):
            document, method = read(path), path.stem.partition("_")[2]
            ours = list(tool_steps(read_case(convert_answer(read(path), method))))
            generation = document["answer_generation"]
            count["answers"] += 1
            count["unfinished"] += not generation["valid_data"]
            count["tool calls, ours"] += len(ours)
            for name, version in VERSIONS.items():
                record = PublishedConverter(version=version, method=method).convert(path.name, read(path))
                theirs = list(tool_steps(read_case(record)))
                lost = len(ours) - len(theirs)
                kind = "finished" if generation["valid_data"] else "unfinished"
                count[f"{name}: {kind}, fewer calls"] += lost > 0
                count[f"{name}: {kind}, calls fewer"] += max(lost, 0)
                count[f"{name}: {kind}, other calls"] += [s["name"] for s in ours] != [s["name"] for s in theirs]
                count[f"{name}: finished, wrapped twice"] += kind == "finished" and sum(
                    step["name"] != "Finish" and is_record(step["response"]) and is_record(inner(step["response"]))
                    for step in theirs
                )
    return count


def is_record(text):
    try:
        found = json.loads(text)
    except (TypeError, ValueError):
        return False
    return isinstance(found, dict) and {"error", "response"} <= found.keys()


def inner(text):
    return json.loads(text)["response"]


def pass_runs():
    """Published and our rates over the queries whose questions are the same in both, from the same replies."""
    for row in read(RUNS / "report.json"):
        if not row["tag"].startswith("pass"):
            continue
        system, times = row["tag"].rpartition("_")[2], int(row["args"][1])
        log = read(RUNS / f"{row['tag']}.judge_log.json")
        model, record = ScriptedModel([json.dumps(entry["reply"]) for entry in log]), Memory()
        asked = Judge(name="log", model=lambda _, model=model: model, evaluator=OWN, record=record)
        run = PublishedRun(version=VERSIONS[row["version"]], judge=asked)
        nobody = Judge(name="log", model=None, evaluator=OWN, record=record)
        stable = run.version is Published.STABLE
        every, verdicts, missing = {}, {}, 0
        for name in TEST_SETS:
            cases = {key: read_case(each) for key, each in read(INPUTS / "converted" / system / f"{name}.json").items()}
            ids = read(INPUTS / "test_query_ids" / f"{name}.json")
            cases = {key: case for key, case in cases.items() if key in ids}
            labels = asyncio.run(run.passes(cases, times))
            run.pass_rows(labels, system)  # draws its lots
            missing += len(ids) - len(cases)
            for key, case in cases.items():
                with contextlib.suppress(DataError):  # the detailed check shows other text
                    verdicts[name, key] = asyncio.run(judge_pass(nobody, case, times, solvable=stable))
                    every[name, key] = labels[key]
        scores = score_passes(verdicts)
        whole = score_passes(verdicts, [str(number) for number in range(missing)])
        ours, with_missing = ((each.sopr if stable else each.pass_rate).value for each in (scores, whole))
        published = published_solve_rate(every, times).rate / 100 if stable else published_pass_rate(every)
        balanced = 0 if stable else sum(label["passed"] == label["failed"] for label in every.values())
        yield (
            f"{row['tag']}: {len(every)} queries: {published:.4f}, ours {ours:.4f}, with {missing} unanswered "
            f"{with_missing:.4f}; {balanced} balanced votes; {scores.votes} of {times * len(every)} votes cast; "
            f"{scores.unsure} unsure"
        )


def preferences():
    """What a preference run on the golden pairs is decided by."""
    count = Counter()
    csv.field_size_limit(2**31 - 1)
    for name in TEST_SETS:
        answers = [read(INPUTS / "converted" / system / f"{name}.json") for system in SYSTEMS]
        tables = [read_table(RUNS / "pref_in_umi_nounsure_3" / f"{name}_{system}.csv") for system in SYSTEMS]
        for key in read(INPUTS / "test_query_ids_present" / f"{name}.json"):
            one, two = (each[key]["answer"] for each in answers)
            rows = [table[key] for table in tables]
            count["pairs"] += 1
            same = one["final_answer"] == two["final_answer"] and one["answer_details"] == two["answer_details"]
            if rows[0]["pass_rate_label"] != rows[1]["pass_rate_label"]:
                count["settled by pass labels"] += 1
            elif rows[0]["is_solved"] != rows[1]["is_solved"]:
                count["settled by statuses, whichever answer is shown first"] += 1
            elif same:
                count["the same answer twice: a lot, ours a tie"] += 1
            else:
                count["asked in one order, ours in both"] += 1
    for row in read(RUNS / "report.json"):
        if row["tag"].startswith("pref") and "crash" not in row:
            log = Counter(entry["function"] for entry in read(RUNS / f"{row['tag']}.judge_log.json"))
            count[f"{row['tag']}: questions about tasks, never used"] = log["check_task_solvable"]
    return count


def read_table(path):
    with path.open(encoding="utf-8", newline="") as file:
        return {row["query_id"]: row for row in csv.DictReader(file, delimiter="\t")}


def main():
    print("conversion")
    for name, number in sorted(conversions().items()):
        print(f"  {name}: {number}")
    print("pass runs")
    for line in pass_runs():
        print(f"  {line}")
    print("answers judged")
    for kind, number in sorted(answers().items()):
        print(f"  {kind}: {number}")
    print("preferences")
    for kind, number in sorted(preferences().items()):
        print(f"  {kind}: {number}")
    ties = queries = 0
    for row in read(GOLDEN / "labels_qaq/expected.json"):
        votes = read_labels(GOLDEN / "labels_qaq" / row["file"])
        ties, queries = ties + list(votes.values()).count("unsure"), queries + len(votes)
        if row["ties"]:
            passed = sum((label == "passed") + 0.5 * (label == "unsure") for label in votes.values()) / len(votes)
            print(f"  {row['file'].split('/')[1]}: {row['pass_rate_reference_formula']:.4f}, ours {passed:.4f}")
    print(f"  real vote files: {ties} of {queries} queries tie")


def answers():
    count = Counter()
    for path in sorted((INPUTS / "converted").rglob("*.json")):
        for record in read(path).values():
            case = read_case(record)
            final, steps = str(case.answer["final_answer"]), list(tool_steps(case))
            count["answers"] += 1
            count["answered, but the last step is not Finish"] += bool(final_text(case)) and (
                not steps or steps[-1]["name"] != "Finish"
            )
            count["empty words, asked about as published"] += (
                not final_text(case) and final != "" and "give_up_and_restart" not in final
            )
            count["mark of giving up inside words"] += bool(final_text(case)) and "give_up_and_restart" in final
            offered = {tool["name"] for tool in case.tools}
            count["a call not offered"] += any(step["name"] not in offered for step in steps)
    return count


if __name__ == "__main__":
    main()
