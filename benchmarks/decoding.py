"""Decoding of SmolLM2-135M with three activated LoRAs, against an earlier build and llama.cpp's server, in one run.

Tokens per second of CPU (each process on one thread, which other work on the machine disturbs less than wall time) of
one task, prompt cached: a planner, a caller and a summarizer write in turn. `--many 8`: of so many tasks at once, too.
Builds run in processes of their own, and all take turns, round by round; ratios are medians of the rounds' own.
Adapters have rank 16 on all projections. `--dtypes`: of our weights, each in a process of its own. `--peer`: llama.cpp
(xllamacpp) from the file as it is (Q4_1) and as Q8_0, with the base alone and with the same three activated LoRAs.

usage: python benchmarks/decoding.py [--before FOLDER_OF_ANOTHER_BUILD] [--rounds 5] [--tokens 8] [--many 1] [--peer]
                                     [--dtypes float32 bfloat16]
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
from unittest.mock import patch

ROOT = Path(__file__).resolve().parent.parent
MODEL = "smollm2-135m"
FILLER = "The tool answers with the number of people who live in a city, by its name. " * 12
TASK = "Write a long story about a town by the sea, number {}."
ROLES = ("planner", "caller", "summarizer")


def adapted(weights, invocations, kind="alora"):
    """Put three LoRAs that have learned something on a model; `invocations`: what wakes each role's."""
    import torch

    from alpha_umi.models.adapters import AdapterKind, AdapterSettings, attach
    from alpha_umi.types import Role

    roles = [Role(name) for name in ROLES]
    settings = AdapterSettings(kind=AdapterKind(kind), rank=16)
    adapters = attach(weights, settings, roles, invocations=invocations)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for role in roles:
            for name, weight in adapters.parameters(role).items():
                if name.endswith("lora_B"):
                    weight.normal_(std=0.01, generator=generator)
    return adapters, settings


class Ours:
    """The package on the path: the base and three activated LoRAs."""

    def __init__(self, tokens, many, dtype):
        import torch

        torch.set_num_threads(1)
        from alpha_umi.formats.tokens import prompt_ids
        from alpha_umi.loading.pretrained import find_model
        from alpha_umi.models.checkpoint import load_to_run
        from alpha_umi.models.engine.engine import EngineLimits
        from alpha_umi.models.local import LocalModel
        from alpha_umi.types import Message, Role, Sampling

        self.roles = tuple(Role(name) for name in ROLES)
        weights, tokenizer = load_to_run(find_model(MODEL), None, getattr(torch, dtype), "cpu")
        self.prompts = [(Message(role="user", content=FILLER + TASK.format(at)),) for at in range(many)]
        adapted(weights, dict.fromkeys(self.roles, prompt_ids(tokenizer, self.prompts[0])[-2:]))
        self.sampling = Sampling(max_tokens=tokens)
        self.loop, self.warm = asyncio.new_event_loop(), False
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


def cpu_seconds(pid):
    """CPU seconds of another process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def scales(adapter):
    """What llama.cpp's server is told of adapters: all by name, since it lets act those that are not."""
    return [{"id": number, "scale": float(number == adapter)} for number in range(len(ROLES))]


class LlamaCpp:
    """llama.cpp's server on one file."""

    def __init__(self, server, tokens, many):
        self.server, self.tokens = server, tokens
        chat = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
        self.prompts = [server.tokens(chat.format(FILLER + TASK.format(at))) for at in range(many)]

    def _write(self, slot, adapter):
        """One turn of a task; `adapter`: its number, None for the base."""
        more = {"n_predict": self.tokens, "temperature": 0, "ignore_eos": True, "cache_prompt": True, "id_slot": slot}
        return self.server.post("/completion", prompt=self.prompts[slot], lora=scales(adapter), **more)[
            "tokens_predicted"
        ]

    def speeds(self):
        found = {}
        for acting in ("base", "adapters"):
            for count in sorted({1, len(self.prompts)}):
                with ThreadPoolExecutor(count) as pool:
                    turns = [
                        [None if acting == "base" else (turn + at) % len(ROLES) for at in range(count)]
                        for turn in range(len(ROLES))
                    ]
                    list(pool.map(self._write, range(count), turns[-1]))
                    started = cpu_seconds(self.server.pid)
                    tokens = sum(sum(pool.map(self._write, range(count), roles)) for roles in turns)
                    found[f"{acting}, {count}"] = tokens / (cpu_seconds(self.server.pid) - started)
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

    with patch.object(gguf_files, "_add", add):
        gguf_files.write_model(path, out, end="", dtype="float32")


def write_adapters(path, folder, invocations):
    """The activated LoRAs of every role as GGUF files; `invocations`: what wakes each, by the role's name."""
    import torch

    from alpha_umi.models.adapter_files import save_adapter
    from alpha_umi.models.checkpoint import load_weights
    from alpha_umi.models.gguf_files import write_adapter
    from alpha_umi.types import Role

    by_role = {Role(name): ids for name, ids in invocations.items()}
    adapters, settings = adapted(load_weights(path, torch.float32), by_role)
    files = [folder / f"{name}.gguf" for name in ROLES]
    for name, file in zip(ROLES, files, strict=True):
        save_adapter(adapters, Role(name), settings, folder / name)
        write_adapter(str(folder / name), path, file)
    return files


def llama_cpp(stack, options):
    """llama.cpp's servers of both files, by name."""
    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests"), str(ROOT / "tests" / "support")]
    from alpha_umi.loading.pretrained import find_model
    from alpha_umi.models.checkpoint import load_tokenizer
    from support.llama_server import llama_server

    path, folder = find_model(MODEL), Path(stack.enter_context(tempfile.TemporaryDirectory()))
    write_q8_0(path, folder / "q8_0.gguf")
    waking = load_tokenizer(path).encode("assistant\n", add_special_tokens=False)[-2:]
    adapters = write_adapters(path, folder, dict.fromkeys(ROLES, waking))
    peers = {}
    for name, file in (("llama.cpp Q4_1", path), ("llama.cpp Q8_0", folder / "q8_0.gguf")):
        server = stack.enter_context(llama_server(file, adapters, context=1024, slots=options.many, special=False))
        peers[name] = LlamaCpp(server, options.tokens, options.many)
    return peers


class Child:
    """A process of this script on another build's sources."""

    def __init__(self, sources, options, dtype="float32"):
        told = [sys.executable, __file__, "--child", dtype, "--tokens", str(options.tokens), "--many"]
        told.append(str(options.many))
        environment = os.environ | {"PYTHONPATH": str(sources), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(told, env=environment, **pipes)

    def speeds(self):
        print("go", file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())


def compare(options):
    with ExitStack() as stack:
        peers = {f"ours {dtype}": Child(ROOT / "src", options, dtype) for dtype in options.dtypes}
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
        for name in peers:
            parts = [1 - each[f"{name}: adapters, {count}"] / each[f"{name}: base, {count}"] for each in rounds]
            print(f"{name}, {count} at once: adapters take {_spread(parts, '.0%')} of decoding")
        for own in (name for name in peers if name.startswith("ours")):
            for name in (name for name in peers if not name.startswith("ours")):
                for part in ("base", "adapters"):
                    ratios = [each[f"{own}: {part}, {count}"] / each[f"{name}: {part}, {count}"] for each in rounds]
                    print(f"{own} / {name}, {part}, {count} at once: {_spread(ratios, '.2f')}")


def _spread(values, form):
    return f"{median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=8, help="of each turn")
    parser.add_argument("--many", type=int, default=1)
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--dtypes", nargs="+", default=["float32"], choices=("float32", "bfloat16"))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.child:
        compare(options)
        return
    ours = Ours(options.tokens, options.many, options.child)
    for _ in sys.stdin:
        print(json.dumps(ours.speeds()), flush=True)


if __name__ == "__main__":
    main()
