"""Processor seconds until the package is imported, the help is printed and an agent's first token is there.

Beside an interpreter that does nothing, and an earlier build in turns with this one where its sources are named. The
agents are asked with one tool, `umi-tiny` and `umi-smol` as well as SmolLM2 zero-shot; those that are not on this
machine are left out. Seconds of the processor are less disturbed by other work on the machine than those of the clock.

usage: python benchmarks/startup.py [--before SOURCES] [--runs 5] [--only NAME]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

SOURCES = Path(__file__).parents[1] / "src"
ASKS = """
import os, sys
import alpha_umi as umi

def population(city: str) -> int:
    "How many people live in a city."
    return 0

kind, name = sys.argv[1:]
umi.ask("How many people live in Graz?", tools=[population], on_token=lambda *_: os._exit(0), **{kind: name})
sys.exit("no token")
"""
PROGRAMS = {
    "python -c pass": ["-c", "pass"],
    "import alpha_umi": ["-c", "import alpha_umi"],
    "umi --help": ["-m", "alpha_umi.cli", "--help"],
    "first token of umi-tiny": ["-c", ASKS, "agent", "umi-tiny"],
    "first token of umi-smol": ["-c", ASKS, "agent", "umi-smol"],
    "first token of smollm2-135m": ["-c", ASKS, "model", "smollm2-135m"],
}


def seconds(arguments: list[str], sources: Path) -> tuple[float, float] | None:
    """Seconds of the processor and of the clock; None where the program fails."""
    environment = os.environ | {"PYTHONPATH": str(sources)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as running:
        _, status, used = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    return None if running.returncode else (used.ru_utime + used.ru_stime, time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="sources (a folder src) of an earlier build")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default="", help="part of the names of the programs to run")
    given = parser.parse_args()
    builds = {"now": SOURCES, **({} if given.before is None else {"before": given.before})}
    for name, arguments in ((name, own) for name, own in PROGRAMS.items() if given.only in name):
        for sources in builds.values():
            seconds(arguments, sources)  # compiles the sources
        taken = [{build: seconds(arguments, sources) for build, sources in builds.items()} for _ in range(given.runs)]
        whole = [each for each in taken if all(each.values())]
        if not whole:
            print(f"{name:>28}: not on this machine")
            continue
        cells = []
        for build in builds:
            cpu, wall = ([each[build][at] for each in whole] for at in (0, 1))
            cells.append(
                f"{build} {median(cpu):.2f} s CPU ({min(cpu):.2f} to {max(cpu):.2f}), {median(wall):.2f} s wall"
            )
        if len(builds) > 1:
            cells.append(f"ratio of CPU {median(each['before'][0] / each['now'][0] for each in whole):.2f}")
        print(f"{name:>28}: {'; '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
