"""Preparing raw answers: how much faster than a plain loop, and how much memory it takes.

    python benchmarks/prepare.py [--answers DIR] [--count 1000] [--many 10000]

The plain loop does the same work on one core with the json module alone: read a file, convert it, keep the
rows; then write the trajectories and dump both stages. The answers of DIR are repeated until there are enough.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from alpha_umi.datasets.reference import published_stage_1, published_stage_2, read_published_row
from alpha_umi.datasets.toolbench import Skip
from alpha_umi.preparation import AnswerOptions, prepare_answers
from alpha_umi.preparation.answers import GROUPS, STAGES
from alpha_umi.store import encode_trajectory

GOLDEN = Path(os.environ.get("ALPHA_UMI_GOLDEN", Path(__file__).resolve().parents[2] / "shared/golden"))


def repeat_answers(source: Path, target: Path, count: int) -> None:
    """Links to the answers of `source`, again and again under new ids, `count` in all."""
    answers = [path for group in GROUPS for path in sorted((source / group).glob("*.json"))]
    for group in GROUPS:
        (target / group).mkdir(parents=True)
    for number in range(count):
        path = answers[number % len(answers)]
        (target / path.parent.name / f"{number:06d}_{path.name}").symlink_to(path)


def prepare_plainly(answers: Path, out: Path, stages: Path) -> int:
    trajectories, firsts, seconds = [], [], []
    for group in GROUPS:
        for name in sorted(path.name for path in (answers / group).iterdir()):
            with (answers / group / name).open() as file:
                document = json.load(file)
            first = published_stage_1(document)
            if isinstance(first, Skip):
                continue
            second = published_stage_2(first)
            assert not isinstance(second, Skip)
            path = f"{group}/{name}"
            trajectories.append(read_published_row(second, path.removesuffix(".json"), {"file": path}))
            firsts.append(first)
            seconds.append(second)
    with out.open("w") as file:
        for trajectory in trajectories:
            file.write(json.dumps(encode_trajectory(trajectory), ensure_ascii=False, separators=(",", ":")) + "\n")
    for name, rows in zip(STAGES, (firsts, seconds), strict=True):
        with (stages / name).open("w") as file:
            json.dump(rows, file, indent=2)
    return len(trajectories)


def seconds_of(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def memory_of(folder: Path, answers: Path) -> tuple[float, float]:
    """Peak of all processes together and wall time of one preparation, sampled from outside: MB and seconds."""
    code = (
        "import sys; from pathlib import Path; from alpha_umi.preparation import *;"
        "prepare_answers(Path(sys.argv[1]), Path(sys.argv[2]), AnswerOptions(compat=True, stages=Path(sys.argv[3])))"
    )
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code, str(answers), str(folder / "m.jsonl"), str(folder)])
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(resident, family(process.pid))))
        time.sleep(0.02)
    assert process.returncode == 0
    return peak / 1e6, time.perf_counter() - start


def family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(member for child in children for member in family(int(child)))]


def resident(pid: int) -> int:
    """Bytes in memory; pages that a process shares with its parent are counted in both."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--answers", type=Path, default=next(iter(sorted(GOLDEN.glob("prepro/*/answer"))), None))
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--many", type=int, default=10000)
    parser.add_argument("--times", type=int, default=3)
    options = parser.parse_args()
    if options.answers is None:
        print(f"no answers under {GOLDEN}; name a folder of them with --answers")
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        some, many, plain, fast = folder / "some", folder / "many", folder / "plain", folder / "fast"
        plain.mkdir()
        repeat_answers(options.answers, some, options.count)
        repeat_answers(options.answers, many, options.many)
        ours = AnswerOptions(compat=True, stages=fast)
        plainly, fastly = [], []
        for _ in range(options.times):
            plainly.append(seconds_of(lambda: prepare_plainly(some, plain / "t.jsonl", plain)))
            fastly.append(seconds_of(lambda: prepare_answers(some, fast / "t.jsonl", ours)))
        for output in ("t.jsonl", *STAGES):
            assert (plain / output).read_bytes() == (fast / output).read_bytes(), output
        one, other = statistics.median(plainly), statistics.median(fastly)
        peak, took = memory_of(folder, many)
    cores = len(os.sched_getaffinity(0)) if platform.system() == "Linux" else os.cpu_count()
    print(f"{'prepare, ' + str(options.count) + ' answers':<34}{'seconds':>10}{'ratio':>8}")
    print(f"{'plain loop, one core':<34}{one:>10.2f}{1:>8.1f}")
    print(f"{f'prepare_answers, {cores} cores':<34}{other:>10.2f}{one / other:>8.1f}")
    print(f"median of {options.times}; outputs equal byte for byte")
    print(f"{options.many} answers: {took:.1f} s, peak memory of all processes {peak:.0f} MB (target: under 300)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
