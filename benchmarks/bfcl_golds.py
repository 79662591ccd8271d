"""BFCL's checker on BFCL's own golds: for each category that has any, an agent that makes the golden calls.

    python benchmarks/bfcl_golds.py --data bfcl/lib/python3.11/site-packages/bfcl_eval/data --python bfcl/bin/python

Of several allowed values the first is taken; an argument that may be left out is, unless the tool requires it. Values
of Java and JavaScript are texts in these languages, objects of Java aside. Questions about a memory are
answered by their first gold; those where no tool fits by no call. Prints, for each category, how many the checker
accepts and which it does not. Questions of several turns need the simulated classes: `umi rollout --env bfcl`.
"""

import argparse
import json
import tempfile
from pathlib import Path

from alpha_umi.datasets.bfcl import MEMORY, SINGLE_TURN, read_bfcl
from alpha_umi.jobs.bfcl import evaluate_bfcl
from alpha_umi.store import write_trajectories
from alpha_umi.types import Answer, Call, StopReason, Trajectory, User


def pick(allowed):
    """The first allowed value, with the first of each of its own parts."""
    if not isinstance(allowed, list):
        return allowed
    value = next((each for each in allowed if each != ""), [] if not allowed else "")
    if isinstance(value, dict):
        return _pick_members(value)
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        return [_pick_members(each) for each in value]
    return value


def _pick_members(value):
    return {name: pick(each) for name, each in value.items() if not (isinstance(each, list) and "" in each)}


def as_text(value, schema, category):
    """A value as a text of the question's language."""
    if category not in ("simple_java", "simple_javascript") or isinstance(value, str):
        return value
    text = json.dumps(value)
    kind = schema.get("description", "").rpartition("This is Java ")[2].partition(" ")[0]
    if kind in ("ArrayList", "Array") and isinstance(value, list):
        members = text[1:-1]
        return f"new ArrayList<>(Arrays.asList({members}))" if kind == "ArrayList" else f"new Object[]{{{members}}}"
    return text + {"long": "L", "float": "f"}.get(kind, "")


def follow(gold, task):
    """Golden calls as turns."""
    schemas = {tool.name: tool.parameters for tool in task.tools}
    for call in gold:
        for name, allowed in call.items():
            schema = schemas.get(name, {})
            needed, known = schema.get("required", []), schema.get("properties", {})
            arguments = {
                key: as_text(pick(options), known.get(key, {}), task.metadata["category"])
                for key, options in allowed.items()
                if "" not in options or key in needed
            }
            yield Call(name=name, arguments=json.dumps(arguments))


def trajectories(data, category):
    base = "memory" if category in MEMORY else category
    path = data / "possible_answer" / f"BFCL_v4_{base}.json"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    golds = {row["id"].replace(base, category, 1): row["ground_truth"] for row in rows}
    for task in read_bfcl(data / f"BFCL_v4_{base}.json"):
        if not rows:  # no tool fits, or any call does
            turns = () if "irrelevance" in category else (Call(name=task.tools[0].name, arguments="{}"),)
        elif task.id not in golds:
            continue
        else:
            turns = (Answer(text=golds[task.id][0]),) if base == "memory" else tuple(follow(golds[task.id], task))
        yield Trajectory(task=task, turns=(User(text=task.query), *turns), stop=StopReason.ANSWERED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--python", type=Path, required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for category in (*SINGLE_TURN, *MEMORY):
            run = Path(folder) / "run.jsonl"
            write_trajectories(run, trajectories(arguments.data, category))
            report = evaluate_bfcl(run, Path(folder) / "s.json", python=arguments.python)
            figure = report.accuracy(category)
            wrong = report.to_json()["wrong"]
            right = round(figure.value * figure.count)
            print(json.dumps({"category": category, "questions": figure.count, "right": right, "wrong": wrong})[:600])


if __name__ == "__main__":
    main()
