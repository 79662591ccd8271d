"""`umi serve` under load against the same agent in process: lost replies, leaked slots, memory, overhead, first piece.

    python benchmarks/serve.py [--clients 200] [--requests 2000] [--hang-up 0.1] [--first 30]

Both answer the same questions with the tools of the agent's own world, `--clients` at a time. Overhead is CPU time of
the server's process per whole reply against that of this process without HTTP, so that other work on the machine counts
little; a part of the clients hangs up after the first piece. The time to the first piece is the median of questions
that are asked one after the other.
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


async def ask_here(agent, toolbox, text):
    return (await Chat(agent, toolbox, **agent.read_search({})).asend(text)).answer


async def first_here(agent, toolbox, text):
    started = time.perf_counter()
    async with aclosing(Chat(agent, toolbox, **agent.read_search({})).astream(text)) as pieces:
        async for _ in pieces:
            return time.perf_counter() - started
    raise AssertionError("no piece")


async def measure_here(asked, clients, first):
    async with umi.load() as agent:
        toolbox = open_toolbox(agent=agent.config)
        await ask_here(agent, toolbox, asked[0])
        cpu, wall = time.process_time(), time.perf_counter()
        answers = await spread(asked, clients, lambda _, text: ask_here(agent, toolbox, text))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        return answers, cpu, wall, [await first_here(agent, toolbox, text) for text in questions(first)]


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


async def measure_there(server, asked, clients, first, hang_up):
    chance = random.Random(0)
    gone = [chance.random() < hang_up for _ in asked]
    limits = httpx2.Limits(max_connections=clients + 10)
    async with httpx2.AsyncClient(timeout=600, limits=limits) as client:

        async def ask(number, text):
            return await ask_there(client, server.url, text, hangs_up=gone[number])

        await spread(asked[:clients], clients, lambda _, text: ask_there(client, server.url, text, hangs_up=False))
        memory, cpu, wall = server.megabytes, server.cpu, time.perf_counter()
        answers = await spread(asked, clients, ask)
        cpu, wall = server.cpu - cpu, time.perf_counter() - wall
        firsts = [await first_there(client, server.url, text) for text in questions(first)]
    return answers, gone, cpu, wall, firsts, memory


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--hang-up", type=float, default=0.1)
    parser.add_argument("--first", type=int, default=30)
    options = parser.parse_args()
    asked = questions(options.requests)
    right, cpu_here, wall_here, first_of_here = asyncio.run(measure_here(asked, options.clients, options.first))
    with Server() as server:
        answers, gone, cpu, wall, firsts, memory = asyncio.run(
            measure_there(server, asked, options.clients, options.first, options.hang_up)
        )
        time.sleep(1)
        left = [server.count(f"umi_{name}") for name in ("replies_in_progress", "engine_running", "engine_waiting")]
        grown = server.megabytes - memory
    lost = sum(said != wanted for said, wanted, hung in zip(answers, right, gone, strict=True) if not hung)
    served = len(asked) - sum(gone)
    here, there = cpu_here / len(asked), cpu / served
    print(f"{len(asked)} requests of {options.clients} clients, {sum(gone)} hung up: {lost} lost or otherwise answered")
    print(
        f"left: {left[0]:.0f} replies, {left[1]:.0f} running and {left[2]:.0f} waiting in the engine; {grown:+.0f} MB"
    )
    print(f"CPU of a reply: {here * 1e3:.1f} ms in process, {there * 1e3:.1f} ms served ({there / here - 1:+.0%})")
    print(f"replies per second: {len(asked) / wall_here:.1f} in process, {served / wall:.1f} served")
    medians = [statistics.median(times) * 1e3 for times in (first_of_here, firsts)]
    print(f"first piece, median: {medians[0]:.1f} ms in process, {medians[1]:.1f} ms served")


if __name__ == "__main__":
    main()
