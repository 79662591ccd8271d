"""Judges of exact answers on all golds of GSM8K and MATH: each against itself, and mutated answers, which are wrong.

    python benchmarks/exact_answers.py --gsm8k gsm8k/test.jsonl --math math/test.jsonl --mutated 1000 --out judges.json

A mutated answer has another leading digit in one of its numbers, or without digits another letter. Prints counts; the
file lists every gold on which the judges do not both say yes, and every mutated answer that one of them accepts.
"""

import argparse
import json
import random
import re
import time
from pathlib import Path

from alpha_umi.datasets.gsm8k import WordProblem, read_gsm8k
from alpha_umi.evaluation.exact.judge import judge_exact
from alpha_umi.exact_answers import last_box


def mutate(gold: str, rng: random.Random) -> str:
    """Another answer: a leading digit, or a letter, is another one."""
    places = [found.start() for found in re.finditer(r"(?<![\d.,])\d", gold)]
    if places:
        place = rng.choice(places)
        return gold[:place] + rng.choice([digit for digit in "123456789" if digit != gold[place]]) + gold[place + 1 :]
    letters = [found.start() for found in re.finditer(r"(?<![\\A-Za-z])[A-Za-z](?![a-z]*\{)", gold)]
    inner = [found.start(1) for found in re.finditer(r"\{([A-Za-z])", gold)]
    if not (letters or inner):
        return f"{gold}7"
    place = rng.choice(letters or inner)
    return gold[:place] + ("Q" if gold[place] != "Q" else "P") + gold[place + 1 :]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gsm8k", type=Path, required=True)
    parser.add_argument("--math", type=Path, required=True)
    parser.add_argument("--mutated", type=int, default=1000)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    golds = [problem.answer for problem in read_gsm8k(arguments.gsm8k) if isinstance(problem, WordProblem)]
    rows = [json.loads(line) for line in arguments.math.read_text().splitlines()]
    golds = golds[: arguments.limit] + [last_box(row["solution"]) or "" for row in rows[: arguments.limit]]
    rng = random.Random(0)
    mutated = [(gold, mutate(gold, rng)) for gold in rng.sample(golds, min(arguments.mutated, len(golds)))]
    started = time.perf_counter()
    document: dict[str, object] = {}
    for name, pairs, right in (("golds", [(gold, gold) for gold in golds], True), ("mutated", mutated, False)):
        verdicts = judge_exact(pairs)
        listed = [
            {"gold": gold, "answer": answer, "math_verify": verdict.math_verify, "tora": verdict.tora}
            for (gold, answer), verdict in zip(pairs, verdicts, strict=True)
            if verdict.math_verify is not right or verdict.tora is not right
        ]
        counts = {
            judge: sum(getattr(verdict, judge) is right for verdict in verdicts) for judge in ("math_verify", "tora")
        }
        document[name] = {"pairs": len(pairs), "as_expected": counts, "listed": listed}
        print(json.dumps({name: {"pairs": len(pairs), "as_expected": counts, "listed": len(listed)}}), flush=True)
    arguments.out.write_text(json.dumps(document, indent=1, ensure_ascii=False))
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
