"""Static evaluation of a predictions file, whole processes: ours against the straightforward peer.

The peer does what the published scripts do: split each text, count, and score answers with the package `rouge`
1.0.1 (pure Python), whose default call computes ROUGE-1, -2 and -L. It is installed into a temporary folder; where
that fails the peer falls back on the textbook dynamic programme, ROUGE-L alone. Ours also draws 95 % intervals and
tables by tool and decision. Two inputs: the file itself (its predictions equal its references), and the same with
every answer moved to the next step that answers.

usage: python benchmarks/static_eval.py [FILE]     default: the 1,547 out-of-domain steps among the golden cases
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = Path(os.environ.get("ALPHA_UMI_GOLDEN") or ROOT.parent / "shared" / "golden")
FILE = GOLDEN / "static_eval" / "cases" / "perfect_pipeline_format.json"
RUNS = 3
METRICS = ("plan_accuracy", "action_exact_match", "argument_f1", "hallucination_rate", "rouge_l")

OURS = """
import json, sys
from pathlib import Path
from alpha_umi.evaluation.static import evaluate_rows, report_document
report = evaluate_rows(json.loads(Path(sys.argv[1]).read_text()))
Path(sys.argv[2]).write_text(json.dumps(report_document(report)))
"""

PEER = """
import json, sys
try:
    from rouge import Rouge
except ImportError:
    Rouge = None
sys.setrecursionlimit(100_000)

def longest(a, b):
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]

def textbook(prediction, reference):
    a, b = prediction.split(), reference.split()
    return 2 * longest(a, b) / (len(a) + len(b))

def read(text):
    plan, _, said = text.partition("</s>")
    if "Next: give up" in plan:
        return "give up", "", "{}", "none"
    if "Next: conclusion" in plan:
        return "conclude", "", "{}", said.removeprefix("conclusion: ").replace("</s>", "")
    name, _, arguments = said.replace("</s>", "").partition("Action Input:")
    return "call", name.partition("Action:")[2].strip(), arguments.strip(), "none"

def f1(prediction, reference):
    try:
        a, b = json.loads(prediction), json.loads(reference)
        if not a and not b:
            return 1.0
        credit = sum(1.0 if a[key] == b[key] else 0.5 for key in b if key in a)
        return 2 * credit / (len(a) + len(b))
    except (ValueError, TypeError):
        return 0.0

rows = json.load(open(sys.argv[1]))
plan, hallucinated, action, arguments, answers, expected = [], [], [], [], [], []
for row in rows:
    p, r = read(row["predictions"]), read(row["reference"])
    plan.append(p[0] == r[0])
    hallucinated.append(p[0] == "call" and p[1] not in [tool["Name"] for tool in row["tools"]])
    if r[0] == "call":
        action.append(p[1] == r[1])
        arguments.append(f1(p[2], r[2]) if p[1] == r[1] else 0.0)
    if r[0] == "conclude":
        answers.append(p[3])
        expected.append(r[3])
if Rouge:
    rouge = Rouge().get_scores(answers, expected, avg=True)["rouge-l"]["f"]
else:
    rouge = sum(map(textbook, answers, expected)) / len(answers)
average = lambda values: sum(values) / len(values)
result = [average(plan), average(action), average(arguments), average(hallucinated), rouge]
json.dump(result, open(sys.argv[2], "w"))
"""


def seconds(program: str, file: Path, out: Path, path: Path) -> float:
    """The median wall time of whole processes."""
    environment = {**os.environ, "PYTHONPATH": str(path)}
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", program, file, out], check=True, env=environment)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def install_rouge(folder: Path) -> bool:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, "rouge==1.0.1"]
    return subprocess.run(command, capture_output=True).returncode == 0


def move_predictions(rows: list[dict]) -> list[dict]:
    """Each answer goes to the next step that answers: every pair of texts is of one kind and differs."""
    texts = [row["predictions"] for row in rows]
    answers = [number for number, text in enumerate(texts) if "Next: conclusion" in text]
    for number, text in zip(answers, [texts[n] for n in (*answers[1:], *answers[:1])], strict=True):
        texts[number] = text
    return [{**row, "predictions": text} for row, text in zip(rows, texts, strict=True)]


def main() -> None:
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else FILE
    if not file.is_file():
        print(f"static_eval: skipped, no predictions at {file}")
        return
    rows = json.loads(file.read_text())
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        peer = "rouge 1.0.1" if install_rouge(scratch / "site") else "textbook ROUGE-L"
        moved = scratch / "moved.json"
        moved.write_text(json.dumps(move_predictions(rows)))
        for name, source in (("as they are", file), ("with moved answers", moved)):
            ours = seconds(OURS, source, scratch / "ours.json", ROOT / "src")
            theirs = seconds(PEER, source, scratch / "peer.json", scratch / "site")
            metrics = json.loads((scratch / "ours.json").read_text())["metrics"]
            values = json.loads((scratch / "peer.json").read_text())
            print(f"static_eval: {len(rows)} steps, predictions {name}, median of {RUNS} whole processes:")
            print(f"  ours {ours:.2f} s, peer ({peer}) {theirs:.2f} s: {theirs / ours:.1f} times as fast")
            for metric, value in zip(METRICS, values, strict=True):
                print(f"  {metric:20} ours {metrics[metric]['value']:.6f}  peer {value:.6f}")


if __name__ == "__main__":
    main()
