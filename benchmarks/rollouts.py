"""All published queries explored by DFSDT through the virtual tool service, beside the shape of the published code.

    python benchmarks/rollouts.py [--queries DIR] [--url URL] [--concurrency 256] [--sample 3]

A scripted agent stands for the models, so what is measured is the rest: search, environment, HTTP, files. Without
--url a virtual ToolBench is started that replays a recording of every call which the agent may make. The peer does
what the published client does: it sleeps 2 s before each call and works at one task at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path

from alpha_umi.config import EnvironmentConfig, make_config
from alpha_umi.datasets.queries import QuerySet
from alpha_umi.environments.recording import Recording
from alpha_umi.loading.environments import open_environment
from alpha_umi.rollouts.query_sets import read_sets
from alpha_umi.rollouts.runner import Counts, Explorer, list_jobs, read_rollouts
from alpha_umi.search import DepthFirst, Limits, Tree, explore
from alpha_umi.types import Answer, Call, Decision, Observation, Plan, Proposal, Task, Turn, Usage, User

HERE = Path(__file__).resolve().parent
QUERIES = HERE.parents[1] / "shared" / "data" / "queries"
REPLAY = HERE.parents[1] / "shared" / "golden" / "replay_cache" / "observations.jsonl"
STEPS = 4
"""Depth in steps: ToolBench's 12 nodes."""
SLEEP_S = 2.0
"""What the published client waits before every call."""


class Wanderer:
    """Calls one tool after the other, gives up at the bottom, and answers in the end; always the same for the same."""

    async def propose(self, task: Task, turns: list[Turn]) -> Proposal:
        calls = [turn for turn in turns if isinstance(turn, Call)]
        told = f"{task.id} {[call.name for call in calls]} {sum(isinstance(turn, User) for turn in turns)}"
        drawn = int(hashlib.sha256(told.encode()).hexdigest()[:8], 16)
        usage = Usage(prompt_tokens=400 + 200 * len(calls), completion_tokens=60, completions=2)
        if not task.tools or len(calls) >= STEPS - 1:
            if drawn % 4 == 0:
                said = (Plan(thought="This is enough.", decision=Decision.CONCLUDE), Answer(text=f"Done: {drawn}"))
                return Proposal(turns=said, usage=usage)
            return Proposal(turns=(Plan(thought="Not so.", decision=Decision.GIVE_UP),), usage=usage)
        tool = task.tools[drawn % len(task.tools)]
        said = (Plan(thought=f"I try {tool.name}.", decision=Decision.CALL), Call(name=tool.name, arguments=fill(tool)))
        return Proposal(turns=said, usage=usage)


agent = Wanderer()


def fill(tool) -> str:
    """Arguments as the tool's document shows them."""
    properties = tool.parameters.get("properties", {})
    return json.dumps(
        {name: properties[name].get("example_value", "x") for name in tool.parameters.get("required", [])}
    )


def write_recording(path: Path, sets: list[QuerySet]) -> int:
    """Observations of every call that the agent may make: real ones where they are there, in any order."""
    contents = ['{"error": "", "response": "nothing found"}']
    if REPLAY.exists():
        rows = (json.loads(line) for line in REPLAY.read_text().splitlines())
        contents = [row["observations"][0]["observation"] for row in rows]
    recording = Recording(path)
    for query in (query for each in sets for query in each.queries):
        for tool in query.task.tools:
            call = Call(name=tool.name, arguments=fill(tool))
            drawn = int(hashlib.sha256(f"{call}".encode()).hexdigest()[:8], 16)
            recording.add(call, Observation(content=contents[drawn % len(contents)]))
    return len(recording)


@contextmanager
def serving(recording: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "alpha_umi.cli", "world", "serve", "--simulator", "none", "--port", "0"]
    process = subprocess.Popen([*command, "--replay", str(recording)], stdout=subprocess.PIPE, text=True)
    try:
        url = process.stdout.readline().strip()
        if not url:
            raise SystemExit("'umi world serve' did not start; name a running tool service by --url")
        yield url
    finally:
        process.terminate()
        process.wait()


def roll_out(queries: Path, url: str, out: Path, concurrency: int) -> tuple[float, float, float]:
    """Seconds of the whole command, its CPU seconds, and its peak memory in MiB."""
    arguments = ["rollout", "--agent", "rollouts:agent", "--queries", queries, "--env", url, "--strategy", "dfsdt",
                 "--max-steps", STEPS, "--concurrency", concurrency, "--out", out]  # fmt: skip
    path = os.pathsep.join([str(HERE), str(HERE.parent / "src"), os.environ.get("PYTHONPATH", "")])
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "alpha_umi.cli", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": path},
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


class Sleepy:
    """An environment that is asked as the published client asks."""

    def __init__(self, inner):
        self._inner, self.tools = inner, inner.tools

    async def execute(self, call: Call) -> Observation:
        await asyncio.sleep(SLEEP_S)
        return await self._inner.execute(call)

    def fork(self):
        return Sleepy(self._inner.fork())


async def one_by_one(sets: list[QuerySet], url: str, count: int) -> tuple[float, int]:
    """Seconds and calls of the first tasks, each after the other, with the published client's sleep."""
    config = make_config(EnvironmentConfig, {"http": {"url": url}})
    calls, started = 0, time.monotonic()
    async with open_environment(config) as environment:
        for job in list_jobs(sets)[:count]:
            tree = Tree(task=job.query.task)
            place = Sleepy(environment.open(job.query))
            async with aclosing(explore(agent, place, tree.task, Limits(max_steps=STEPS), DepthFirst())) as nodes:
                async for node in nodes:
                    tree.add(node)
            calls += sum(isinstance(turn, Observation) for node in tree.nodes for turn in node.turns)
    return time.monotonic() - started, calls


def overhead_ms(sets: list[QuerySet]) -> float:
    """Milliseconds of the search per step, without model or network."""

    class Nowhere:
        tools = ()

        async def execute(self, call: Call) -> Observation:
            return Observation(content="{}")

        def fork(self):
            return self

    class Anywhere:
        def open(self, query, notes=None):
            return Nowhere()

        def verify(self, task, trajectory):
            return None

    async def explore_all():
        explorer = Explorer(agent=agent, environments=Anywhere(), strategy=DepthFirst(), limits=Limits(), method="x")
        return sum([len((await explorer.roll_out(job)).nodes) for job in list_jobs(sets)])

    started = time.perf_counter()
    steps = asyncio.run(explore_all())
    return 1000 * (time.perf_counter() - started) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=Path, default=QUERIES)
    parser.add_argument("--url", default="", help="a running tool service")
    parser.add_argument("--record", type=Path, help="only write the recording for such a service here")
    parser.add_argument("--concurrency", type=int, default=256)
    parser.add_argument("--sample", type=int, default=3, help="tasks of the peer, which takes 2 s per call")
    options = parser.parse_args()
    if not options.queries.is_dir():
        print(f"no query files at {options.queries}; name them by --queries")
        return
    sets = read_sets(options.queries)
    with tempfile.TemporaryDirectory() as folder:
        recording = options.record or Path(folder) / "recording.jsonl"
        recorded = write_recording(recording, sets)
        if options.record:
            print(f"{recording}: {recorded} calls")
        elif options.url:
            measure(options, sets, options.url, Path(folder))
        else:
            with serving(recording) as url:
                measure(options, sets, url, Path(folder))


def measure(options: argparse.Namespace, sets: list[QuerySet], url: str, folder: Path) -> None:
    seconds, cpu, peak = roll_out(options.queries, url, folder / "run", options.concurrency)
    counts = Counts()
    for rollout in read_rollouts(folder / "run"):
        counts.add(rollout)
    print(
        f"{counts.tasks} queries by DFSDT at concurrency {options.concurrency}: {seconds:.1f} s (CPU {cpu:.1f} s), "
        f"{counts.tasks / seconds:.1f} tasks/s, {counts.calls / seconds:.0f} calls/s; {counts.calls} calls, "
        f"{counts.answered} answered, {counts.errors} errors, peak memory {peak:.0f} MiB",
        flush=True,
    )
    computed = counts.tasks / (counts.calls * SLEEP_S)
    print(f"the published shape, {SLEEP_S:g} s for each of these calls: {computed:.4f} tasks/s")
    sampled, calls = asyncio.run(one_by_one(sets, url, options.sample))
    if calls:
        print(f"  measured on {options.sample} tasks ({calls} calls): {options.sample / sampled:.4f} tasks/s")
    print(f"ratio: {counts.tasks / seconds / computed:.0f} times as many tasks per second")
    print(f"search overhead: {overhead_ms(sets):.3f} ms per step, without model and network")


if __name__ == "__main__":
    main()
