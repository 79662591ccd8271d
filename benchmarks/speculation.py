"""Drafts by n-gram look-up against one token a step: umi-smol's answers to queries with tools of one's own, in one run.

Two agents, with drafts and without, answer each query in turn on one thread. By role: completions, tokens written,
forwards, and CPU seconds of whole answers, with the ratio's median and spread over the queries. Every trajectory must
be the same. `--tools` and queries of your own: a Python file as `umi ask --tools` takes it.

usage: python benchmarks/speculation.py [--agent umi-smol] [--tools FILE.py QUERY ...]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

QUERIES = (
    "How many people live in Graz?", "What is the weather in Paris tomorrow?", "How much is 25 EUR in USD?",
    "How many people live in Linz?", "Will it rain in Oslo on Friday?", "Convert 310 CHF to JPY.",
    "How many people live in Buenos Aires?", "What is the weather in Lima?",
)  # fmt: skip


def population(city: str) -> int:
    """Number of people who live in a city.

    Args:
        city: Name of the city.
    """
    return 1000 * len(city) + 291


def weather(city: str, day: str = "today") -> str:
    """Weather in a city on a day.

    Args:
        city: Name of the city.
        day: The day, such as today or Friday.
    """
    return f"{12 + len(city)} degrees and cloudy in {city}, {day}"


def convert(amount: float, source: str, target: str) -> dict:
    """Convert money from one currency to another.

    Args:
        amount: How much money.
        source: Code of its currency, such as EUR.
        target: Code of the currency wanted.
    """
    return {"amount": round(amount * 1.25, 2), "currency": target}


class Engines:
    """The engine of an agent's only model, with drafts and without; the forwards of completions are counted by role."""

    def __init__(self, agent):
        (self.model,) = agent._loaded.models  # noqa: SLF001
        self.limits = {"without": 0, "with": self.model._limits.draft_rows}  # noqa: SLF001
        self.started = {}
        self.found = {name: {} for name in self.limits}
        self.complete = self.model._completion  # noqa: SLF001
        self.model._completion = self._count  # noqa: SLF001

    def use(self, name):
        model, self.name = self.model, name
        model._limits = replace(model._limits, draft_rows=self.limits[name])  # noqa: SLF001
        model._worker, model._engine = self.started.get(name, (None, None))  # noqa: SLF001
        self.steps = model._engine.stats.steps if model._engine else 0  # noqa: SLF001

    def keep(self):
        self.started[self.name] = self.model._worker, self.model._engine  # noqa: SLF001

    def _count(self, request):
        role, done = self.model._tokenizer.decode(request.prompt[-1:]), self.complete(request)  # noqa: SLF001
        steps = self.model.engine.stats.steps
        counts = self.found[self.name].setdefault(role, Counter())
        counts.update(completions=1, tokens=done.usage.completion_tokens, forwards=steps - self.steps)
        self.steps = steps
        return done


def measure(options, tools):
    import alpha_umi as umi

    with umi.load(options.agent) as agent:
        engines, seconds, same = Engines(agent), {"without": [], "with": []}, 0
        for at, query in enumerate(["Hello.", *options.queries]):
            turns = {}
            for name in sorted(seconds, reverse=bool(at % 2)):
                engines.use(name)
                started = time.process_time()
                turns[name] = agent.ask(query, tools=tools, max_steps=options.steps).turns
                seconds[name].append(time.process_time() - started)
                engines.keep()
            if not at:  # a first query starts the engines
                engines.found, seconds = {name: {} for name in seconds}, {name: [] for name in seconds}
                continue
            same += turns["with"] == turns["without"]
            print(f"{query[:60]:60}", *(f"{name} {each[-1]:.1f} s" for name, each in seconds.items()), flush=True)
        stats = engines.started["with"][1].stats
    count = len(options.queries)
    print(f"\n{os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}; {count} queries, {same} trajectories the same")
    for role, before in engines.found["without"].items():
        after = engines.found["with"][role]
        print(
            f"{role:16} {before['completions']} completions, {before['tokens']} tokens: {before['forwards']} forwards "
            f"without, {after['forwards']} with ({before['forwards'] / after['forwards']:.2f}x)"
        )
    ratios = [one / other for one, other in zip(seconds["without"], seconds["with"], strict=True)]
    print(f"drafted {stats.drafted_tokens}, confirmed {stats.confirmed_tokens}")
    print(
        f"CPU seconds of an answer: {median(seconds['without']):.1f} without, {median(seconds['with']):.1f} with; "
        f"{median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agent", default="umi-smol")
    parser.add_argument("--tools")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("queries", nargs="*", default=QUERIES)
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    measure(options, options.tools or [population, weather, convert])


if __name__ == "__main__":
    main()
