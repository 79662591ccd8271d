"""Decoding of SmolLM2-135M with three activated LoRAs, against an earlier build and llama.cpp's server, in one run.

Tokens per second of CPU (each process on one thread, which other work on the machine disturbs less than wall time) of
one task, prompt cached: a planner, a caller and a summarizer write in turn. `--many 8`: of so many tasks at once, too.
Builds run in processes of their own, and all take turns, round by round; ratios are medians of the rounds' own.
Adapters have rank 16 on all projections. `--peer`: llama.cpp (xllamacpp) with the base alone, from the file as it is
(Q4_1) and as Q8_0.

usage: python benchmarks/decoding.py [--before FOLDER_OF_ANOTHER_BUILD] [--rounds 5] [--tokens 8] [--many 1] [--peer]
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
from dataclasses import replace
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
MODEL = "smollm2-135m"
FILLER = "The tool answers with the number of people who live in a city, by its name. " * 12
TASK = "Write a long story about a town by the sea, number {}."


class Ours:
    """The package on the path: the base and three activated LoRAs."""

    def __init__(self, tokens, many):
        import torch

        torch.set_num_threads(1)
        from alpha_umi.formats.tokens import prompt_ids
        from alpha_umi.loading.pretrained import find_model
        from alpha_umi.models.adapters import AdapterKind, AdapterSettings, attach
        from alpha_umi.models.checkpoint import load_tokenizer, load_weights
        from alpha_umi.models.engine.engine import EngineLimits
        from alpha_umi.models.local import LocalModel
        from alpha_umi.types import Message, Role, Sampling

        path = find_model(MODEL)
        self.roles = (Role.PLANNER, Role.CALLER, Role.SUMMARIZER)
        tokenizer = load_tokenizer(path)
        self.prompts = [(Message(role="user", content=FILLER + TASK.format(at)),) for at in range(many)]
        waking = prompt_ids(tokenizer, self.prompts[0])[-1:]
        self.sampling = Sampling(max_tokens=tokens)
        self.loop, self.warm = asyncio.new_event_loop(), False
        weights = load_weights(path, torch.float32)
        settings = AdapterSettings(kind=AdapterKind.ALORA, rank=16)
        adapters = attach(weights, settings, self.roles, invocations=dict.fromkeys(self.roles, waking))
        with torch.no_grad():
            for role in self.roles:
                for name, weight in adapters.parameters(role).items():
                    if name.endswith("lora_B"):
                        weight.normal_(std=0.01)
        limits = EngineLimits()
        if hasattr(limits, "draft_rows"):  # the same text is written again and again, which drafts would foresee
            limits = replace(limits, draft_rows=0)
        self.model = LocalModel(weights, tokenizer, end="", limits=limits)

    async def _write(self, prompts, roles):
        done = await asyncio.gather(
            *(self.model.complete(prompt, self.sampling, role) for prompt, role in zip(prompts, roles, strict=True))
        )
        return sum(each.usage.completion_tokens for each in done)

    async def _turns(self, count, roles):
        """Every task is written by three roles in turn; the tasks begin with different ones."""
        prompts = self.prompts[:count]
        return sum([await self._write(prompts, [roles[(turn + at) % 3] for at in range(count)]) for turn in range(3)])

    def speeds(self):
        found = {}
        for acting, roles in (("base", [None] * 3), ("adapters", self.roles)):
            for count in sorted({1, len(self.prompts)}):
                if not self.warm:
                    self.loop.run_until_complete(self._turns(count, roles))  # reads the prompts
                started = time.process_time()
                tokens = self.loop.run_until_complete(self._turns(count, roles))
                found[f"{acting}, {count}"] = tokens / (time.process_time() - started)
        self.warm = True
        return found


class LlamaCpp:
    """llama.cpp's server on one file."""

    def __init__(self, server, tokens, many):
        self.server, self.tokens = server, 3 * tokens
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
        for count in sorted({1, len(self.prompts)}):
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


def llama_cpp(stack, options):
    """llama.cpp's servers of both files, by name."""
    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests"), str(ROOT / "tests" / "support")]
    from alpha_umi.loading.pretrained import find_model
    from support.llama_server import llama_server

    path = find_model(MODEL)
    q8_0 = Path(stack.enter_context(tempfile.TemporaryDirectory()), "q8_0.gguf")
    write_q8_0(path, q8_0)
    peers = {}
    for name, file in (("llama.cpp Q4_1", path), ("llama.cpp Q8_0", q8_0)):
        server = stack.enter_context(llama_server(file, context=1024, slots=options.many, special=False))
        peers[name] = LlamaCpp(server, options.tokens, options.many)
    return peers


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
    with ExitStack() as stack:
        peers = {"ours": Child(ROOT / "src", options)}
        if options.before is not None:
            peers["before"] = Child(options.before / "src", options)
        if options.peer:
            peers |= llama_cpp(stack, options)
        rounds = []
        for number in range(options.rounds):
            rounds.append(
                {f"{name}: {what}": speed for name, one in peers.items() for what, speed in one.speeds().items()}
            )
            print(f"round {number + 1}:", {what: round(speed, 1) for what, speed in rounds[-1].items()}, flush=True)
    print(f"\n{os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}; tokens per CPU second, median of {len(rounds)}")
    for what in rounds[0]:
        print(f"{what:40} {_spread([each[what] for each in rounds], '.1f')}")
    for count in sorted({1, options.many}):
        for name in peers.keys() & {"ours", "before"}:
            parts = [1 - each[f"{name}: adapters, {count}"] / each[f"{name}: base, {count}"] for each in rounds]
            print(f"{name}, {count} at once: adapters take {_spread(parts, '.0%')} of decoding")
        for name in peers.keys() - {"ours"}:
            part = "adapters" if name == "before" else "base"
            ratios = [each[f"ours: {part}, {count}"] / each[f"{name}: {part}, {count}"] for each in rounds]
            print(f"ours / {name}, {part}, {count} at once: {_spread(ratios, '.2f')}")


def _spread(values, form):
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=8, help="of each turn")
    parser.add_argument("--many", type=int, default=1)
    parser.add_argument("--peer", action="store_true")
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
