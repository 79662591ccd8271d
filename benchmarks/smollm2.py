"""SmolLM2-135M-Instruct from its GGUF file: the time to a first token and its parts, and equality with two peers.

`first` starts `umi ask --model smollm2-135m` RUNS times and takes the medians, in seconds of the wall and of the CPU
(which other work on the machine disturbs less), from the start of the process to the first token that is generated;
beside it the parts in one process: imports, tokenizer, weights, the first forward of a prompt. `same` writes greedily
on 50 prompts with the engine and with transformers' `generate` in float32, and compares the ids of 200 odd strings
with llama.cpp's (xllamacpp).

usage: python benchmarks/smollm2.py first|same [--runs 3] [--prompts 50]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
SOURCES, TESTS = ROOT / "src", ROOT / "tests"
MODEL = "smollm2-135m"
QUERY = "How many people live in Graz?"
THINGS = (
    "rain", "a noun", "the moon", "bread", "a river", "iron", "a prime number", "jazz", "a lighthouse", "salt",
)  # fmt: skip
FRAMES = ("What is {}?", "Write a sentence about {}.", "Name two facts about {}.", "Explain {} to a child.", "{}:")
WRITES = 24

FIRST = """
import os, sys, time
started = float(sys.argv.pop(1))
import alpha_umi as umi

def on_token(role, text):
    print(time.time() - started, sum(os.times()[:2]), flush=True)
    os._exit(0)

def population(city: str) -> int:
    "How many people live in a city."
    return 0

umi.ask(sys.argv[1], tools=[population], model=sys.argv[2], on_token=on_token)
"""
PARTS = """
import os, sys, time

def lap(name, begun=[time.perf_counter(), sum(os.times()[:2])]):
    now = [time.perf_counter(), sum(os.times()[:2])]
    print(name, now[0] - begun[0], now[1] - begun[1], flush=True)
    begun[:] = [time.perf_counter(), sum(os.times()[:2])]

lap("interpreter")
import torch
lap("torch")
import alpha_umi.models.local
lap("engine and transformers")
from alpha_umi.loading.pretrained import find_model
from alpha_umi.models.checkpoint import load_tokenizer, load_weights
path = find_model(sys.argv[1])
tokenizer = load_tokenizer(path)
lap("tokenizer")
model = load_weights(path, torch.float32)
lap("weights")
import asyncio
from alpha_umi.models.local import LocalModel
from alpha_umi.types import Sampling
asyncio.run(LocalModel(model, tokenizer, end="").complete("one " * 500, Sampling(max_tokens=1)))
lap("first token (500 in the prompt)")
"""


def run(program, *arguments):
    environment = os.environ | {"PYTHONPATH": str(SOURCES), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def first(runs):
    taken = [tuple(map(float, run(FIRST, str(time.time()), QUERY, MODEL)[-1].split())) for _ in range(runs)]
    wall, cpu = (median(each[at] for each in taken) for at in (0, 1))
    print(f"from the start of the process to the first token, median of {runs}: {wall:.1f} s wall, {cpu:.1f} s CPU")
    parts: dict[str, list[tuple[float, float]]] = {}
    for _ in range(runs):
        for line in run(PARTS, MODEL):
            name, wall, cpu = line.rsplit(maxsplit=2)
            parts.setdefault(name, []).append((float(wall), float(cpu)))
    for name, laps in parts.items():
        print(f"{name:>31}: {median(w for w, _ in laps):6.2f} s wall, {median(c for _, c in laps):6.2f} s CPU")


def same(count):
    import torch

    sys.path[:0] = [str(SOURCES), str(TESTS), str(TESTS / "support")]
    from alpha_umi.formats.tokens import prompt_ids
    from alpha_umi.loading.pretrained import find_model
    from alpha_umi.models.checkpoint import load_tokenizer, load_weights
    from alpha_umi.models.local import LocalModel
    from alpha_umi.types import Message, Sampling
    from support.llama_server import llama_server
    from support.odd_texts import odd_texts

    path = find_model(MODEL)
    tokenizer, weights = load_tokenizer(path), load_weights(path, torch.float32)
    questions = [frame.format(thing) for frame in FRAMES for thing in THINGS][:count]
    prompts = [(Message(role="user", content=question),) for question in questions]
    expected = []
    for prompt in prompts:
        ids = prompt_ids(tokenizer, prompt)
        written = weights.generate(torch.tensor([ids]), max_new_tokens=WRITES, do_sample=False)[0, len(ids) :]
        expected.append([token for token in written.tolist() if token not in (0, 2)])

    async def complete_all():
        model = LocalModel(weights, tokenizer, end="")
        sampling = Sampling(max_tokens=WRITES, logprobs=True)
        done = await asyncio.gather(*(model.complete(prompt, sampling) for prompt in prompts))
        assert model.engine is not None
        await model.aclose()
        return [[token.id for token in one.logprobs if token.id not in (0, 2)] for one in done]

    found = asyncio.run(complete_all())
    equal = sum(one == other for one, other in zip(found, expected, strict=True))
    print(f"greedy, float32, {WRITES} tokens: {equal} of {len(prompts)} completions as `generate` writes them")
    with llama_server(path, context=2048, special=False) as server:
        texts = odd_texts(200)
        alike = sum(server.tokens(text) == tokenizer.encode(text, add_special_tokens=False) for text in texts)
    print(f"tokenizer: {alike} of {len(texts)} odd strings have llama.cpp's ids")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("first", "same"))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=50)
    options = parser.parse_args()
    if options.what == "first":
        first(options.runs)
    else:
        same(options.prompts)


if __name__ == "__main__":
    main()
