"""`umi serve` under load against the same agent in process: lost replies, leaked slots, memory, overhead, first piece.

    python benchmarks/serve.py [--clients 200] [--requests 2000] [--hang-up 0.1] [--first 30]

Both answer the same questions with the tools of the agent's own world, `--clients` at a time, in turn for `--rounds`
rounds. Overhead is CPU time of the server's process against that of this process without HTTP, so that other work on
the machine counts little; in both a part of the clients, the same one, leaves after the first piece, and what was done
for it counts. The time to the first piece is that of questions that are asked one after the other, each in both ways.
"""

import argparse
import asyncio
import itertools
import random
import re
import statistics
import subprocess
import sys
import time
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

import alpha_umi as umi
from alpha_umi.jobs.chat import Chat
from alpha_umi.jobs.toolbox import open_toolbox

CITIES = ("Lima", "Oslo", "Paris", "Rome", "Tokyo", "Cairo", "Delhi", "Madrid", "Vienna", "Berlin", "Dublin", "Athens")
QUESTION = "What is the weather in {}?"


def questions(count):
    return [QUESTION.format(city) for city in itertools.islice(itertools.cycle(CITIES), count)]


async def spread(asked, clients, ask):
    """Ask all questions, so many at a time; the outcomes in order."""
    turns = asyncio.Semaphore(clients)

    async def one(number, text):
        async with turns:
            return await ask(number, text)

    return await asyncio.gather(*(one(number, text) for number, text in enumerate(asked)))


# --- in process -------------------------------------------------------------------------------------------


async def ask_here(agent, toolbox, text, *, hangs_up=False):
    """The answer; None where it was left after the first piece."""
    if hangs_up:
        await first_here(agent, toolbox, text)
        return None
    return (await Chat(agent, toolbox, **agent.read_search({})).asend(text)).answer


async def first_here(agent, toolbox, text):
    started = time.perf_counter()
    async with aclosing(Chat(agent, toolbox, **agent.read_search({})).astream(text)) as pieces:
        async for _ in pieces:
            return time.perf_counter() - started
    raise AssertionError("no piece")


async def measure_here(agent, toolbox, asked, gone, clients):
    async def ask(number, text):
        return await ask_here(agent, toolbox, text, hangs_up=gone[number])

    cpu, wall = time.process_time(), time.perf_counter()
    answers = await spread(asked, clients, ask)
    return answers, time.process_time() - cpu, time.perf_counter() - wall


# --- served -----------------------------------------------------------------------------------------------


class Server:
    """`umi serve` as a process of its own."""

    def __enter__(self):
        command = [sys.executable, "-m", "alpha_umi.cli", "serve", "--port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)

    @property
    def cpu(self):
        """Seconds of the processor that it has taken."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    @property
    def megabytes(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1000

    def count(self, name):
        text = httpx2.get(self.url.removesuffix("/v1") + "/metrics", timeout=60).text
        return sum(float(value) for value in re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE))


async def ask_there(client, url, text, *, hangs_up):
    """The streamed answer; None for one that was hung up on."""
    body = {"model": "umi-tiny", "messages": [{"role": "user", "content": text}], "stream": True}
    answer = ""
    async with client.stream("POST", f"{url}/chat/completions", json=body) as reply:
        assert reply.status_code == 200, await reply.aread()
        async for line in reply.aiter_lines():
            if '"delta":{"content"' in line:
                answer += httpx2.Response(200, content=line[6:].encode()).json()["choices"][0]["delta"]["content"]
            if hangs_up and '"reasoning_content"' in line:
                return None
            if line == "data: [DONE]":
                return answer
    return f"lost after {answer!r}"


async def first_there(client, url, text):
    started = time.perf_counter()
    body = {"model": "umi-tiny", "messages": [{"role": "user", "content": text}], "stream": True}
    async with client.stream("POST", f"{url}/chat/completions", json=body) as reply:
        async for line in reply.aiter_lines():
            if "reasoning_content" in line:
                return time.perf_counter() - started
    raise AssertionError("no piece")


async def measure_there(server, client, asked, gone, clients):
    async def ask(number, text):
        return await ask_there(client, server.url, text, hangs_up=gone[number])

    cpu, wall = server.cpu, time.perf_counter()
    answers = await spread(asked, clients, ask)
    return answers, server.cpu - cpu, time.perf_counter() - wall


@dataclass
class Measured:
    """Sums over all rounds, and CPU of a whole reply in process and served by round."""

    lost: int = 0
    gone: int = 0
    rounds: list[tuple[float, float]] = field(default_factory=list)
    rates: list[tuple[float, float]] = field(default_factory=list)
    first: list[tuple[float, float]] = field(default_factory=list)
    grown: float = 0.0
    left: tuple[float, ...] = ()


async def measure(options):
    """In process and served in turn, so that what else the machine does falls on both."""
    chance, found = random.Random(0), Measured()
    limits = httpx2.Limits(max_connections=options.clients + 10)
    asked = questions(options.requests // options.rounds)
    with Server() as server:
        async with umi.load() as agent, httpx2.AsyncClient(timeout=600, limits=limits) as client:
            toolbox = open_toolbox(agent=agent.config)
            await spread(asked[: options.clients], options.clients, lambda _, text: ask_here(agent, toolbox, text))
            await measure_there(server, client, asked[: options.clients], [False] * len(asked), options.clients)
            memory = server.megabytes
            for _ in range(options.rounds):
                gone = [chance.random() < options.hang_up for _ in asked]
                right, cpu_here, wall_here = await measure_here(agent, toolbox, asked, gone, options.clients)
                answers, cpu, wall = await measure_there(server, client, asked, gone, options.clients)
                served = len(asked) - sum(gone)
                found.gone += sum(gone)
                found.lost += sum(a != b for a, b in zip(answers, right, strict=True))
                found.rounds.append((cpu_here / served, cpu / served))
                found.rates.append((served / wall_here, served / wall))
            for text in questions(options.first):
                here = await first_here(agent, toolbox, text)
                found.first.append((here, await first_there(client, server.url, text)))
        await asyncio.sleep(1)
        found.left = tuple(
            server.count(f"umi_{name}") for name in ("replies_in_progress", "engine_running", "engine_waiting")
        )
        found.grown = server.megabytes - memory
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--hang-up", type=float, default=0.1)
    parser.add_argument("--first", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=10, help="in which both are asked in turn")
    options = parser.parse_args()
    found = asyncio.run(measure(options))
    here, there = (statistics.median(times) * 1e3 for times in zip(*found.rounds, strict=True))
    ratios = sorted(served / own - 1 for own, served in found.rounds)
    rates = [statistics.median(rate) for rate in zip(*found.rates, strict=True)]
    firsts = [statistics.median(times) * 1e3 for times in zip(*found.first, strict=True)]
    more = statistics.median(served - own for own, served in found.first) * 1e3
    print(f"{options.requests} requests of {options.clients} clients, {found.gone} hung up: {found.lost} lost or wrong")
    print(
        f"left: {found.left[0]:.0f} replies, {found.left[1]:.0f} running and {found.left[2]:.0f} waiting in the "
        f"engine; {found.grown:+.0f} MB"
    )
    print(
        f"CPU of a reply, medians of {options.rounds} rounds: {here:.1f} ms in process, {there:.1f} ms served; "
        f"{statistics.median(ratios):+.0%} in a round (from {ratios[0]:+.0%} to {ratios[-1]:+.0%})"
    )
    print(f"replies per second: {rates[0]:.1f} in process, {rates[1]:.1f} served")
    print(f"first piece, medians: {firsts[0]:.1f} ms in process, {firsts[1]:.1f} ms served, {more:+.1f} ms in a pair")


if __name__ == "__main__":
    main()
