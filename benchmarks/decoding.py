"""Decoding of SmolLM2-135M with three activated LoRAs, against an earlier build and llama.cpp's server, in one run.

Tokens per second of CPU (each process on one thread, which other work on the machine disturbs less than wall time), of
one task and of eight at once, prompts cached. Builds run in processes of their own, and all take turns, round by
round; ratios are of medians. Adapters have rank 16 on all projections; of eight tasks, every role has some. llama.cpp
(xllamacpp) runs the base alone, from the file as it is (Q4_1) and as Q8_0.

usage: python benchmarks/decoding.py [--before FOLDER_OF_ANOTHER_BUILD] [--rounds 5] [--tokens 24] [--many 8]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
MODEL = "smollm2-135m"
FILLER = "The tool answers with the number of people who live in a city, by its name. " * 12
TASK = "Write a long story about a town by the sea, number {}."


class Ours:
    """The package on the path: the base and three activated LoRAs, in float32 and, where it can, in 8 bits."""

    def __init__(self, tokens, many):
        import torch

        torch.set_num_threads(1)
        from alpha_umi.formats.tokens import prompt_ids
        from alpha_umi.loading.pretrained import find_model
        from alpha_umi.models.adapters import AdapterKind, AdapterSettings, attach
        from alpha_umi.models.checkpoint import load_tokenizer, load_weights
        from alpha_umi.models.local import LocalModel
        from alpha_umi.types import Message, Role, Sampling

        path = find_model(MODEL)
        self.roles = (Role.PLANNER, Role.CALLER, Role.SUMMARIZER)
        tokenizer = load_tokenizer(path)
        self.prompts = [(Message(role="user", content=FILLER + TASK.format(at)),) for at in range(many)]
        waking = prompt_ids(tokenizer, self.prompts[0])[-1:]
        self.sampling = Sampling(max_tokens=tokens)
        self.models, self.loop = {}, asyncio.new_event_loop()
        for kind in ("float32", "int8"):
            weights = load_weights(path, torch.float32)
            settings = AdapterSettings(kind=AdapterKind.ALORA, rank=16)
            adapters = attach(weights, settings, self.roles, invocations=dict.fromkeys(self.roles, waking))
            with torch.no_grad():
                for role in self.roles:
                    for name, weight in adapters.parameters(role).items():
                        if name.endswith("lora_B"):
                            weight.normal_(std=0.01)
            if kind == "int8":
                try:
                    from alpha_umi.models.int8 import quantize_int8
                except ImportError:
                    continue
                quantize_int8(weights)
            self.models[kind] = LocalModel(weights, tokenizer, end="", limits=None)

    async def _write(self, model, prompts, roles):
        done = await asyncio.gather(
            *(model.complete(prompt, self.sampling, role) for prompt, role in zip(prompts, roles, strict=True))
        )
        return sum(each.usage.completion_tokens for each in done)

    def speeds(self):
        found = {}
        for kind, model in self.models.items():
            for acting in ("base", "adapters"):
                for count in (1, len(self.prompts)):
                    roles = [self.roles[at % 3] if acting == "adapters" else None for at in range(count)]
                    self.loop.run_until_complete(self._write(model, self.prompts[:count], roles))  # reads the prompts
                    started = time.process_time()
                    tokens = self.loop.run_until_complete(self._write(model, self.prompts[:count], roles))
                    found[f"{kind}, {acting}, {count}"] = tokens / (time.process_time() - started)
        return found


class LlamaCpp:
    """llama.cpp's server on one file."""

    def __init__(self, server, tokens, many):
        self.server, self.tokens = server, tokens
        chat = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
        self.prompts = [server.tokens(chat.format(FILLER + TASK.format(at))) for at in range(many)]

    def _cpu(self):
        fields = Path(f"/proc/{self.server.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _write(self, slot):
        more = {"n_predict": self.tokens, "temperature": 0, "ignore_eos": True, "cache_prompt": True, "id_slot": slot}
        return self.server.post("/completion", prompt=self.prompts[slot], **more)["tokens_predicted"]

    def speeds(self):
        found = {}
        for count in (1, len(self.prompts)):
            with ThreadPoolExecutor(count) as pool:
                list(pool.map(self._write, range(count)))
                started = self._cpu()
                tokens = sum(pool.map(self._write, range(count)))
                found[f"base, {count}"] = tokens / (self._cpu() - started)
        return found


def write_q8_0(path, out):
    """The model of a file with all matrices in Q8_0."""
    import gguf
    import torch

    from alpha_umi.models import gguf_files

    def add(writer, name, tensor, dtype):
        kind = gguf.GGMLQuantizationType.Q8_0 if tensor.ndim > 1 else gguf.GGMLQuantizationType.F32
        values = tensor.to(torch.float32).contiguous().numpy()
        writer.add_tensor(name, gguf.quantize(values, kind) if tensor.ndim > 1 else values, raw_dtype=kind)

    gguf_files._add = add  # noqa: SLF001
    gguf_files.write_model(path, out, end="", dtype="float32")


class Child:
    """A process of this script on another build's sources."""

    def __init__(self, sources, options):
        told = [sys.executable, __file__, "--child", "--tokens", str(options.tokens), "--many", str(options.many)]
        environment = os.environ | {"PYTHONPATH": str(sources), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(told, env=environment, **pipes)

    def speeds(self):
        print("go", file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())


def compare(options):
    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests"), str(ROOT / "tests" / "support")]
    from alpha_umi.loading.pretrained import find_model
    from support.llama_server import llama_server

    path = find_model(MODEL)
    with ExitStack() as stack:
        peers = {"ours": Child(ROOT / "src", options)}
        if options.before is not None:
            peers["before"] = Child(options.before / "src", options)
        q8_0 = Path(stack.enter_context(tempfile.TemporaryDirectory()), "q8_0.gguf")
        write_q8_0(path, q8_0)
        for name, file in (("llama.cpp Q4_1", path), ("llama.cpp Q8_0", q8_0)):
            server = stack.enter_context(llama_server(file, context=1024, slots=options.many, special=False))
            peers[name] = LlamaCpp(server, options.tokens, options.many)
        rounds = []
        for number in range(options.rounds):
            rounds.append(
                {f"{name}: {what}": speed for name, one in peers.items() for what, speed in one.speeds().items()}
            )
            print(f"round {number + 1}:", {what: round(speed, 1) for what, speed in rounds[-1].items()}, flush=True)
    middle = {what: median(each[what] for each in rounds) for what in rounds[0]}
    print(f"\n{os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}; tokens per CPU second, median of {len(rounds)}")
    for what, speed in middle.items():
        spread = [each[what] for each in rounds]
        print(f"{what:40} {speed:7.1f}  ({min(spread):.1f} to {max(spread):.1f})")
    for name in ("ours", "before"):
        for kind in ("float32", "int8"):
            for count in (1, options.many):
                base, acting = (middle.get(f"{name}: {kind}, {part}, {count}") for part in ("base", "adapters"))
                if base and acting:
                    print(f"{name}, {kind}, {count} at once: adapters take {1 - acting / base:.0%} of decoding")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--many", type=int, default=8)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.child:
        compare(options)
        return
    ours = Ours(options.tokens, options.many)
    for _ in sys.stdin:
        print(json.dumps(ours.speeds()), flush=True)


if __name__ == "__main__":
    main()
