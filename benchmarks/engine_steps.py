"""Where the time of the engine's steps goes, in CPU seconds of its thread (OMP_NUM_THREADS=1).

Without an agent: the episodes of benchmarks/engine.py, at each of its sizes. With one: `umi bench engine` on it.
Every part of a step is clocked without the parts inside it; the clocks themselves take some of the time, which the
last line says.

usage: python benchmarks/engine_steps.py [--sizes 1.3M 20M] [--tasks 32] [--steps 2]
       python benchmarks/engine_steps.py --agent RUN [--preset tiny] [--constrained]
"""

from __future__ import annotations

import argparse
import functools
import time
import warnings
from collections import defaultdict
from pathlib import Path

from torch import nn

import engine as ways
from alpha_umi.jobs.bench import BenchOptions, bench_engine
from alpha_umi.loading.agents import read_agent
from alpha_umi.models import adapter_stacks
from alpha_umi.models.constrained import GrammarMatcher
from alpha_umi.models.engine import engine
from alpha_umi.models.engine.attention import ForwardBatch
from alpha_umi.models.engine.scheduler import Scheduler

PARTS = (
    (Scheduler, "drop_cancelled", "scheduling"),
    (Scheduler, "schedule", "scheduling"),
    (ForwardBatch, "__init__", "making the batch"),
    (ForwardBatch, "inputs", "making the batch"),
    (ForwardBatch, "adapters", "making the batch"),
    (adapter_stacks.Selection, "__init__", "making the batch"),
    (engine.Engine, "_forward", "model, the rest: norms, rotary, activations, Python"),
    (adapter_stacks.FrozenStack, "add", "model, adapters"),
    (ForwardBatch, "_write", "model, keys and values written"),
    (ForwardBatch, "attend", "model, attention"),
    (engine.Engine, "_is_finite", "looking for what is no number"),
    (engine, "argmax_of", "sampling"),
    (engine, "sample", "sampling"),
    (GrammarMatcher, "mask", "grammar"),
    (GrammarMatcher, "forced", "grammar"),
    (GrammarMatcher, "accept", "grammar"),
    (engine.Engine, "_write", "writing back"),
    (engine.Engine, "step", "the rest of a step"),
)


class Clock:
    """CPU seconds by part, each without the parts that it calls."""

    def __init__(self):
        self.seconds, self.calls = defaultdict(float), defaultdict(int)
        self._inside = []

    def around(self, function, part):
        @functools.wraps(function)
        def clocked(*arguments, **named):
            self._inside.append(0.0)
            started = time.thread_time()
            try:
                return function(*arguments, **named)
            finally:
                took = time.thread_time() - started
                self.seconds[part] += took - self._inside.pop()
                self.calls[part] += 1
                if self._inside:
                    self._inside[-1] += took

        return clocked

    def install(self):
        for owner, name, part in PARTS:
            setattr(owner, name, self.around(getattr(owner, name), part))
        plain = nn.Linear.forward
        inner, head = self.around(plain, "model, projections"), self.around(plain, "model, head")
        nn.Linear.forward = lambda module, given: (head if module.out_features >= 4 * module.in_features
                                                   and module.bias is None and module.out_features >= 1000
                                                   else inner)(module, given)  # fmt: skip

    def cost(self):
        """Seconds of one clocked call that does nothing."""
        own, count = Clock(), 20_000
        nothing = own.around(lambda: None, "")
        started = time.thread_time()
        for _ in range(count):
            nothing()
        return (time.thread_time() - started) / count

    def tell(self, title, counts):
        whole = sum(self.seconds.values())
        print(f"\n{title}: {counts} steps, {whole:.1f} CPU s, {1000 * whole / counts:.1f} ms each")
        for part, seconds in sorted(self.seconds.items(), key=lambda pair: -pair[1]):
            print(f"  {part:52} {seconds / whole:6.1%} {1000 * seconds / counts:7.2f} ms a step")
        print(f"  (clocking: about {self.cost() * sum(self.calls.values()) / whole:.1%})", flush=True)
        self.seconds.clear()
        self.calls.clear()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="*", default=list(ways.SHAPES))
    parser.add_argument("--workloads", nargs="*", default=["distinct", "branches"])
    parser.add_argument("--tasks", type=int, default=32)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--agent", type=Path)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--constrained", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    clock = Clock()
    clock.install()
    if arguments.agent is not None:
        agent = read_agent(arguments.agent).model_copy(update={"constrained": arguments.constrained})
        options = BenchOptions(agent=agent, preset=arguments.preset, tasks=arguments.tasks)
        found = bench_engine(options, lambda done, total: clock.seconds.clear() if not done else None)
        clock.tell(
            f"{arguments.agent}, {'constrained' if arguments.constrained else 'unconstrained'}", found.engine_steps
        )
        return
    for size in arguments.sizes:
        for workload in arguments.workloads:
            todo = ways.episodes(workload, arguments.tasks, arguments.steps)
            result = ways.engine(size, todo)
            clock.tell(f"{size}, {workload}, {arguments.tasks} episodes", int(result.note.split()[0]))


if __name__ == "__main__":
    main()
