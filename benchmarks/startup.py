"""Seconds until the package is imported and until the help is printed, beside an interpreter that does nothing."""

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

SOURCES = Path(__file__).parents[1] / "src"
RUNS = 5
PROGRAMS = {
    "python -c pass": ["-c", "pass"],
    "import alpha_umi": ["-c", "import alpha_umi"],
    "umi --help": ["-m", "alpha_umi.cli", "--help"],
}


def seconds(arguments: list[str]) -> float:
    started = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(SOURCES)}
    subprocess.run([sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def main() -> None:
    taken: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(RUNS):
        for name, arguments in PROGRAMS.items():
            taken[name].append(seconds(arguments))
    peer = median(taken["python -c pass"])
    for name, each in taken.items():
        print(f"{name:>18}: {median(each):.3f} s, {median(each) / peer:.1f} times an empty interpreter")


if __name__ == "__main__":
    main()
