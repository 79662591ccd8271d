"""Programs per second of the Python tool's sandbox: warm workers beside a process per program, in one run.

    python benchmarks/sandbox.py --programs 400 --workers 2

Each process per program imports what the sandbox offers (sympy, numpy) and is confined by nothing. Prints one JSON
object; `cpu_ms` is processor time per program, and `on_free_cores` the programs a second that follow from it where
nobody else uses as many cores as there are workers.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from alpha_umi.environments.sandbox.pool import Ending, SandboxPool

PROGRAMS = (
    "price = 12\ntotal = price * 7 / 2\nprint(total)",
    "print(sum(n for n in range(1000) if n % 3 == 0))",
    "import sympy\nx = sympy.Symbol('x')\nprint(sympy.solve(x**2 - 5*x + 6))",
    "from fractions import Fraction\nprint(Fraction(3, 4) + Fraction(5, 6))",
    "import numpy as np\nprint(np.linalg.det(np.array([[1.0, 2.0], [3.0, 4.0]])))",
)
ALONE = "import sympy, numpy, sys; exec(sys.argv[1])"


def measure(run, count: int, workers: int, pool: SandboxPool) -> dict[str, float]:
    def cpu() -> float:
        ours = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        idle = [worker._process.pid for kind in pool._idle.values() for worker in kind]  # noqa: SLF001
        stats = [Path(f"/proc/{pid}/stat").read_text().split() for pid in idle]
        return ours + sum(int(ticks) for stat in stats for ticks in stat[13:17]) / os.sysconf("SC_CLK_TCK")

    before, started = cpu(), time.perf_counter()
    with ThreadPoolExecutor(workers) as threads:
        list(threads.map(run, (PROGRAMS[index % len(PROGRAMS)] for index in range(count))))
    seconds, spent = time.perf_counter() - started, cpu() - before
    return {
        "programs": count,
        "per_second": round(count / seconds, 1),
        "cpu_ms": round(1000 * spent / count, 2),
        "on_free_cores": round(workers * count / spent, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=400)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    pool = SandboxPool(arguments.workers)

    def warm(code: str) -> None:
        assert pool.run(code).ending is Ending.OK

    def alone(code: str) -> None:
        subprocess.run([sys.executable, "-c", ALONE, code], check=True, stdout=subprocess.DEVNULL)

    measure(warm, 20, arguments.workers, pool)
    warmed = measure(warm, arguments.programs, arguments.workers, pool)
    processes = measure(alone, max(10, arguments.programs // 20), arguments.workers, pool)
    pool.close()
    document = {
        "workers": arguments.workers,
        "load": round(os.getloadavg()[0], 1),
        "warm": warmed,
        "process_per_program": processes,
        "ratio": round(processes["cpu_ms"] / warmed["cpu_ms"], 1),
    }
    print(json.dumps(document))


if __name__ == "__main__":
    main()
