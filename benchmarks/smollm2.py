"""SmolLM2-135M-Instruct from its GGUF file: equality with two peers.

Writes greedily on 50 prompts with the engine and with transformers' `generate` in float32, and compares the ids of 200
odd strings with llama.cpp's (xllamacpp). The time to its first token is in startup.py.

usage: python benchmarks/smollm2.py [--prompts 50]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES, TESTS = ROOT / "src", ROOT / "tests"
MODEL = "smollm2-135m"
THINGS = (
    "rain", "a noun", "the moon", "bread", "a river", "iron", "a prime number", "jazz", "a lighthouse", "salt",
)  # fmt: skip
FRAMES = ("What is {}?", "Write a sentence about {}.", "Name two facts about {}.", "Explain {} to a child.", "{}:")
WRITES = 24


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
        model = LocalModel.load(path, end="")
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
    parser.add_argument("--prompts", type=int, default=50)
    same(parser.parse_args().prompts)


if __name__ == "__main__":
    main()
