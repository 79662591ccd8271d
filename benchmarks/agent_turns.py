"""Whole turns of three roles on SmolLM2-135M, many tasks at once: this engine, a cache per role, llama.cpp's server.

Tasks as a live agent makes them: PREFIX tokens of tools and query, then per step a planner's and a caller's completion
and an observation, at the end a planner's and a summarizer's. `--branches 4`: as many search branches on each prefix.
Roles are LoRAs of rank 16 on all projections that have learned something, the same everywhere, activated ones but for
"per role". Every way writes the same number of tokens, one thread each, no drafts; ratios are of CPU seconds, medians
of the rounds' own, in which all ways take turns.

ways:   engine            this engine, one cache for all roles; with float32 and with bfloat16 weights
        per role          the same with plain LoRAs: a cache per role, as servers of many LoRAs have it
        llama.cpp         its server (xllamacpp) with `cache_prompt: false`, since its prompt cache does not tell
                          adapters apart; the file as it is (Q4_1) and as Q8_0
        llama.cpp, cached with its prompt cache, which lets a role read what another one computed

usage: python benchmarks/agent_turns.py [--tasks 8] [--branches 1] [--steps 2] [--writes 24] [--rounds 3] [--ways ...]
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import decoding

ROOT = Path(__file__).resolve().parent.parent
PREFIX, OBSERVES = 300, 60
WAKING = {"planner": (3, 11), "caller": (4, 12), "summarizer": (5, 13)}
"""Special tokens of SmolLM2 that no text has."""
TEXTS = ("docs/environments.md", "docs/endpoint.md", "docs/own-tools.md")
WAYS = (
    "engine, float32", "engine, bfloat16", "per role, float32", "per role, bfloat16", "llama.cpp Q8_0",
    "llama.cpp Q4_1", "llama.cpp Q8_0, cached",
)  # fmt: skip


@dataclass
class Episode:
    """One branch of one task: the history so far and whose turn it is."""

    history: list[int]
    observations: list[list[int]]
    roles: list[str]
    group: int
    writes: int
    first: list[int] | None = None

    @property
    def prompt(self) -> list[int]:
        return [*self.history, *WAKING[self.roles[0]]]

    def told(self, written: list[int]) -> None:
        assert len(written) == self.writes, len(written)
        self.first = self.first or written
        self.history = [*self.prompt, *written]
        if self.roles.pop(0) == "caller":
            self.history += self.observations.pop()


def episodes(text: list[int], options) -> list[Episode]:
    """Episodes on stretches of a text, by groups of branches."""
    found = []
    for task in range(options.tasks):
        prefix = stretch(text, PREFIX, task)
        for branch in range(options.branches):
            seeds = [1 + 1000 * task + 10 * branch + step for step in range(options.steps)]
            roles = ["planner", "caller"] * options.steps + ["planner", "summarizer"]
            seen = [stretch(text, OBSERVES, seed) for seed in seeds]
            found.append(Episode(prefix, seen, roles, task, options.writes))
    return found


def stretch(text: list[int], size: int, seed: int) -> list[int]:
    start = random.Random(seed).randrange(len(text) - size)
    return text[start : start + size]


class Ours:
    """This engine on SmolLM2 with three LoRAs."""

    def __init__(self, kind: str, dtype: str):
        import torch

        from alpha_umi.loading.pretrained import find_model
        from alpha_umi.models.checkpoint import load_to_run
        from alpha_umi.types import Role

        torch.set_num_threads(1)
        self.model, tokenizer = load_to_run(find_model(decoding.MODEL), None, getattr(torch, dtype), "cpu")
        self.kind, self.text = kind, tokens_of_docs(tokenizer)
        decoding.adapted(self.model, {Role(name): ids for name, ids in WAKING.items()}, kind)

    def run(self, todo: list[Episode]) -> tuple[float, int]:
        """CPU seconds, and prompt tokens that were computed."""
        from alpha_umi.models.engine.engine import Engine, EngineLimits

        one = Engine(self.model, EngineLimits(cache_bytes=2 << 30, draft_rows=0))
        started = time.process_time()
        for episode in todo:
            self._ask(one, episode)
        while not one.idle:
            one.step()
        return time.process_time() - started, one.stats.prefill_tokens

    def _ask(self, one, episode):
        from alpha_umi.models.adapters import ADAPTERS
        from alpha_umi.models.engine.requests import Request
        from alpha_umi.models.generation import Generation
        from alpha_umi.types import Role, Sampling

        def done(request, error):
            assert error is None, error
            episode.told(request.generation.output_ids)
            if episode.roles:
                self._ask(one, episode)

        one.submit(
            Request(
                prompt=episode.prompt,
                generation=Generation(Sampling(max_tokens=episode.writes), episode.writes, frozenset(), str),
                adapter=ADAPTERS[Role(episode.roles[0])],
                adapter_from=len(episode.prompt) - 2 if self.kind == "alora" else 0,
                group=episode.group,
                on_done=done,
            )
        )


class LlamaCpp:
    """llama.cpp's server; a client's thread for each episode."""

    def __init__(self, server, *, cached: bool):
        self.server, self.cached, self.kind = server, cached, "alora"

    def run(self, todo: list[Episode]) -> tuple[float, int]:
        """CPU seconds of the server, and prompt tokens that were computed."""
        started = decoding.cpu_seconds(self.server.pid)
        with ThreadPoolExecutor(len(todo)) as pool:
            computed = sum(pool.map(self._play, todo, range(len(todo))))
        return decoding.cpu_seconds(self.server.pid) - started, computed

    def _play(self, episode: Episode, slot: int) -> int:
        computed = 0
        while episode.roles:
            acting = decoding.ROLES.index(episode.roles[0])
            reply = self.server.post(
                "/completion", prompt=episode.prompt, n_predict=episode.writes, temperature=0, ignore_eos=True,
                cache_prompt=self.cached, id_slot=slot, return_tokens=True, lora=decoding.scales(acting),
            )  # fmt: skip
            computed += reply["timings"]["prompt_n"]
            episode.told(reply["tokens"])
        return computed


def tokens_of_docs(tokenizer) -> list[int]:
    return tokenizer.encode("\n".join((ROOT / name).read_text(encoding="utf-8") for name in TEXTS))


def opened(stack: ExitStack, options) -> dict[str, Ours | LlamaCpp]:
    ways: dict[str, Ours | LlamaCpp] = {}
    for name in (name for name in options.ways if not name.startswith("llama.cpp")):
        kind, _, dtype = name.partition(", ")
        ways[name] = Ours("alora" if kind == "engine" else "lora", dtype)
    peers = [name for name in options.ways if name.startswith("llama.cpp")]
    if peers:
        sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "support")]
        from alpha_umi.loading.pretrained import find_model
        from support.llama_server import llama_server

        path, folder = find_model(decoding.MODEL), Path(stack.enter_context(tempfile.TemporaryDirectory()))
        decoding.write_q8_0(path, folder / "q8_0.gguf")
        files, adapters = {"Q4_1": path, "Q8_0": folder / "q8_0.gguf"}, decoding.write_adapters(path, folder, WAKING)
        slots, servers = options.tasks * options.branches, {}
        for name in peers:
            kind = name.removeprefix("llama.cpp ").removesuffix(", cached")
            if kind not in servers:
                running = llama_server(files[kind], adapters, context=768, slots=slots, special=False)
                servers[kind] = stack.enter_context(running)
                servers[kind].client.timeout = 3600
            ways[name] = LlamaCpp(servers[kind], cached=name.endswith("cached"))
    return ways


def compare(options) -> None:
    from alpha_umi.loading.pretrained import find_model
    from alpha_umi.models.checkpoint import load_tokenizer

    text = tokens_of_docs(load_tokenizer(find_model(decoding.MODEL)))
    rounds: list[dict[str, tuple[float, int]]] = []
    firsts = {}
    with ExitStack() as stack:
        ways = opened(stack, options)
        for number in range(options.rounds):
            rounds.append({})
            for name, way in ways.items():
                todo = episodes(text, options)
                seconds, tokens = rounds[-1][name] = way.run(todo)
                firsts[name] = [episode.first for episode in todo]
                print(f"round {number + 1}: {name}: {seconds:.1f} s, {tokens:,} prompt tokens", flush=True)
    print(
        f"\n{os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}; {options.tasks} tasks x {options.branches}, prefix "
        f"{PREFIX}, {options.steps} steps, {options.writes} tokens a turn; CPU seconds, median of {len(rounds)} and "
        f"spread; prompt tokens computed; first turns that are those of {options.ways[0]}; times each of ours with one "
        "cache"
    )
    for name in ways:
        same = sum(one == other for one, other in zip(firsts[name], firsts[options.ways[0]], strict=True))
        line = f"{name:24} {spread([one[name][0] for one in rounds], '.1f'):24} {rounds[-1][name][1]:9,} {same:4}"
        ratios = [
            spread([one[name][0] / one[own][0] for one in rounds], ".2f") for own in ways if own.startswith("engine")
        ]
        print(line, *ratios)


def spread(values: list[float], form: str) -> str:
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--branches", type=int, default=1)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--writes", type=int, default=24, help="tokens of a turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS, metavar="WAY")
    compare(parser.parse_args())


if __name__ == "__main__":
    main()
