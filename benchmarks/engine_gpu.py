"""The engine on one GPU, at about 1B parameters in bfloat16, against other ways and against the memory's bandwidth.

No trained model is needed: weights are random, prompts are random tokens, and every completion has a set length. The
shape of the work is that of gold trajectories of the sealed world: how long tools and query are, which role speaks
when, how much it writes and how much is observed (tokens of a tokenizer learned from them). `distinct`: every episode
is another task; `branches`: four search branches on each, which begin alike. The ways are those of
benchmarks/engine.py:

        published  three models, one prompt at a time, no cache between calls (transformers `generate`)
        padded     `generate` on left-padded batches of all calls that are due at the same time
        per role   our engine with plain LoRAs: a cache per role
        engine     our engine with activated LoRAs (rank 16, three roles): one cache

The published way and the padded one get the adapters for nothing: they run the base alone. The published way is
stopped after some seconds and counted up by what it wrote; three models are one, since they are alike.

`decode`: tokens per second of steps that only write, at several numbers of requests of the median prompt's length,
against what the bandwidth of memory allows: weights, adapters, and keys and values read once per step, over the rate
of a device-to-device copy (read and written bytes) measured here. `plain` is without adapters, `unrecorded` without
CUDA graphs. Beside it, the time of the device for such a step, from the recorded graph alone.

Every row is printed as it comes and written to rows.json in --out; a row that fails is told with its traceback, and
the next one follows. Rows that would begin after --seconds are left out, and said so. --small: a toy model on the CPU,
where the same code runs without recordings and without the kernel of half precision.

usage: python benchmarks/engine_gpu.py [--out FOLDER] [--tasks 32] [--seconds 120] [--small] [--profile]
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

from alpha_umi.formats.shared import SharedFormat
from alpha_umi.formats.tokens import completion_ids, prompt_ids
from alpha_umi.models.adapters import ADAPTERS, AdapterKind, AdapterSettings, adapters_of, attach, detach
from alpha_umi.models.engine.engine import Engine, Room
from alpha_umi.models.engine.requests import Request
from alpha_umi.models.writing import Writer
from alpha_umi.training.examples import make_examples
from alpha_umi.training.tokenizer import learn_tokenizer
from alpha_umi.types import Role, Sampling
from alpha_umi.world import World

THREE = (Role.PLANNER, Role.CALLER, Role.SUMMARIZER)
WAKING = {Role.PLANNER: 5, Role.CALLER: 6, Role.SUMMARIZER: 7}
BRANCHES = 4
LARGE = {
    "vocab_size": 32_000, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
    "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 8192,
}  # fmt: skip
SMALL = {
    "vocab_size": 1000, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 8, "num_key_value_heads": 2, "max_position_embeddings": 8192,
}  # fmt: skip


@dataclass(frozen=True)
class Turn:
    """Who speaks, how many tokens it writes, and how many are put behind that."""

    role: Role
    writes: int
    follows: int


@dataclass(frozen=True)
class Shape:
    """Of one gold trajectory: tokens of tools and query, and its turns."""

    prefix: int
    turns: tuple[Turn, ...]


def gold_shapes(count):
    """Of the first tasks of the world; and the median length of a prompt."""
    world, form = World("small"), SharedFormat()
    rows = []
    for index in range(count):
        gold = world.gold(world.task(world.splits[0], index))
        found = [(role, row) for role in THREE for row in make_examples(gold, role, form).rows]
        rows.append(sorted(found, key=lambda each: len(each[1].prompt)))
    texts = [prompts[-1][1].prompt for prompts in rows if prompts]
    tokenizer = learn_tokenizer(texts, vocab_size=8000, special_tokens=form.special_tokens, end=form.end)
    shapes, lengths = [], []
    for prompts in rows:
        sizes = [
            (role, len(prompt_ids(tokenizer, row.prompt)), len(completion_ids(tokenizer, row.completion, form.end)))
            for role, row in prompts
        ]
        if not sizes:
            continue
        lengths += [length for _, length, _ in sizes]
        following = [length for _, length, _ in sizes[1:]]
        turns = [
            Turn(role, writes, max(0, after - length - writes - 1))
            for (role, length, writes), after in zip(sizes, [*following, 0], strict=True)
        ]
        shapes.append(Shape(sizes[0][1] - 1, tuple(turns)))
    return shapes, int(statistics.median(lengths))


@dataclass
class Episode:
    """One branch of one task: the history so far and who speaks next."""

    history: list[int]
    chance: random.Random
    turns: list[Turn]
    group: int
    vocabulary: int

    @property
    def prompt(self):
        return [*self.history, WAKING[self.turns[0].role]]

    def told(self, written):
        before, turn = self.prompt, self.turns.pop(0)
        assert len(written) >= turn.writes, "a completion is too short"
        self.history = [*before, *written[: turn.writes], *tokens(self.chance, turn.follows, self.vocabulary)]


def tokens(chance, count, vocabulary):
    return [chance.randrange(100, vocabulary) for _ in range(count)]


def episodes(shapes, branches, vocabulary, seed=0):
    """As many as there are shapes; with branches, of fewer tasks."""
    found = []
    for task, shape in enumerate(shapes[: len(shapes) // branches]):
        prefix = tokens(random.Random(f"{seed} {task}"), shape.prefix, vocabulary)
        for branch in range(branches):
            chance = random.Random(f"{seed} {task} {branch}")
            found.append(Episode(prefix, chance, list(shape.turns), task, vocabulary))
    return found


# --- models and clocks ------------------------------------------------------------------------------------


@dataclass
class Bench:
    """What all rows have in common."""

    shape: dict
    device: torch.device
    dtype: torch.dtype
    arguments: argparse.Namespace
    began: float
    rows: list[dict] = field(default_factory=list)
    model: LlamaForCausalLM | None = None

    @property
    def on_gpu(self):
        return self.device.type == "cuda"

    @property
    def left(self):
        return self.arguments.seconds - (time.perf_counter() - self.began)

    def wait(self):
        if self.on_gpu:
            torch.cuda.synchronize()

    def tell(self, name, **row):
        self.rows.append({"row": name, **row})
        said = "  ".join(
            f"{key} {value:,.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()
        )
        print(f"[{time.perf_counter() - self.began:6.1f} s] {name}: {said}", flush=True)
        if self.arguments.out is not None:
            self.arguments.out.mkdir(parents=True, exist_ok=True)
            (self.arguments.out / "rows.json").write_text(json.dumps(self.rows, indent=1) + "\n")

    def attempt(self, name, function, *arguments, needs=5.0):
        """What `function` finds; None where it fails, or there is no time for it."""
        if self.left < needs:
            self.tell(name, left_out=f"{self.left:.0f} s are left")
            return None
        try:
            return function(self, *arguments)
        except Exception as error:  # the other rows are worth having
            traceback.print_exc()
            self.tell(name, failed=f"{type(error).__name__}: {str(error)[:300]}")
            return None

    def with_adapters(self, kind):
        """The model with three adapters that say something, or none."""
        if adapters_of(self.model) is not None:
            detach(self.model)
        self.model.set_attn_implementation("sdpa")  # an engine puts its own in
        if kind is None:
            return self.model
        waking = {role: (token,) for role, token in WAKING.items()}
        adapters = attach(self.model, AdapterSettings(kind=kind, rank=16, alpha=16.0), THREE, invocations=waking)
        with torch.no_grad():
            for role in THREE:
                for name, weight in adapters.parameters(role).items():
                    if name.endswith("lora_B"):
                        weight.normal_(std=0.01)
        return self.model

    def engine(self, kind, requests=64):
        gc.collect()  # engines and their requests know each other
        if self.on_gpu:
            torch.cuda.empty_cache()
        room = Room(bytes=(12 << 30) if self.on_gpu else (1 << 28), requests=requests)
        return Engine(self.with_adapters(kind), room, ragged=True)


def make_model(bench):
    torch.manual_seed(0)
    torch.set_default_dtype(bench.dtype)
    try:
        with torch.device(bench.device):
            config = LlamaConfig(
                **bench.shape, tie_word_embeddings=False, bos_token_id=None, eos_token_id=None, pad_token_id=None
            )
            bench.model = LlamaForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(torch.float32)
    bench.wait()
    weights = sum(weight.numel() for weight in bench.model.parameters())
    bench.tell(
        "machine", device=torch.cuda.get_device_name(bench.device) if bench.on_gpu else "cpu", torch=torch.__version__,
        transformers=transformers.__version__, parameters=weights, dtype=str(bench.dtype),
    )  # fmt: skip


def bandwidth(bench):
    """Bytes per second of a device-to-device copy, read and written: the best of some."""
    size = (4 << 30) if bench.on_gpu else (64 << 20)
    source = torch.empty(size, dtype=torch.uint8, device=bench.device).fill_(1)
    target, best = torch.empty_like(source), float("inf")
    for _ in range(8):
        bench.wait()
        started = time.perf_counter()
        target.copy_(source)
        bench.wait()
        best = min(best, time.perf_counter() - started)
    bench.tell("copy", gigabytes_per_second=2 * size / best / 1e9)
    return 2 * size / best


# --- the ways ---------------------------------------------------------------------------------------------


def generate(bench, prompts, writes):
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts], device=bench.device)
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=bench.device)
    with torch.inference_mode():
        out = bench.model.generate(
            input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=writes, min_new_tokens=writes,
            pad_token_id=0,
        )  # fmt: skip
    return out[:, longest:].tolist()


def published(bench, todo, box):
    """As many calls as there is time for, counted up to all by the tokens that they write."""
    bench.with_adapters(None)
    generate(bench, [todo[0].prompt], 4)
    whole = sum(turn.writes for episode in todo for turn in episode.turns)
    written, prefilled, calls, all_prefilled = 0, 0, 0, 0
    bench.wait()
    started = time.perf_counter()
    wall = 0.0
    for episode in todo:
        while episode.turns:
            all_prefilled += len(episode.prompt)
            writes = episode.turns[0].writes
            if wall < box:
                found = generate(bench, [episode.prompt], writes)[0]
                prefilled, calls, written = prefilled + len(episode.prompt), calls + 1, written + writes
                wall = time.perf_counter() - started
            else:
                found = [100] * writes
            episode.told(found)
    return {
        "wall": wall * whole / written, "prefill": all_prefilled, "written": whole,
        "note": f"{calls} calls measured in {wall:.1f} s, {written / whole:.0%} of what is written",
    }  # fmt: skip


def padded(bench, todo, box):
    bench.with_adapters(None)
    generate(bench, [episode.prompt for episode in todo], 4)
    prefilled, rounds = 0, 0
    whole = sum(turn.writes for episode in todo for turn in episode.turns)
    bench.wait()
    started = time.perf_counter()
    while due := [episode for episode in todo if episode.turns]:
        prompts = [episode.prompt for episode in due]
        prefilled += max(map(len, prompts)) * len(prompts)
        writes = max(episode.turns[0].writes for episode in due)
        if rounds and time.perf_counter() - started > box:
            raise TimeoutError(f"{rounds} rounds took more than {box} s; take fewer --tasks")
        for episode, found in zip(due, generate(bench, prompts, writes), strict=True):
            episode.told(found)
        rounds += 1
    bench.wait()
    wall = time.perf_counter() - started
    return {"wall": wall, "prefill": prefilled, "written": whole, "note": f"{rounds} rounds"}


def drive(bench, engine, todo, kind):
    def ask(episode):
        turn, prompt = episode.turns[0], episode.prompt

        def done(request, error):
            if error is not None:
                raise error
            episode.told(request.writer.written)
            if episode.turns:
                ask(episode)

        engine.submit(
            Request(
                prompt=prompt,
                writer=Writer(Sampling(max_tokens=turn.writes), turn.writes, frozenset(), str),
                adapter=0 if kind is None else ADAPTERS[turn.role],
                adapter_from=len(prompt) - 1 if kind is AdapterKind.ALORA else 0,
                group=episode.group,
                done=done,
            )
        )

    for episode in todo:
        ask(episode)
    while not engine.idle:
        engine.step()


def by_engine(bench, todo, kind, warming):
    engine = bench.engine(kind)
    drive(bench, engine, warming, kind)
    engine.recount()
    whole = sum(turn.writes for episode in todo for turn in episode.turns)
    bench.wait()
    started = time.perf_counter()
    drive(bench, engine, todo, kind)
    bench.wait()
    wall, counts = time.perf_counter() - started, engine.counts
    recorder = engine.recorder
    return {
        "wall": wall, "prefill": counts.prefilled, "written": whole,
        "note": f"{counts.steps} steps, {1000 * wall / counts.steps:.2f} ms each, {counts.reading_seconds:.1f} s in "
        f"those that read, {counts.shared:,} tokens found in memory, {counts.preempted} preempted, kernel "
        f"{engine.scheduler.memory.kernel.__name__}, {len(recorder.graphs) if recorder else 0} graphs, "
        f"refused: {recorder.refused if recorder else 'no recorder'}",
    }  # fmt: skip


def compare(bench, workload, shapes):
    branches, vocabulary = (BRANCHES if workload == "branches" else 1), bench.shape["vocab_size"]

    def fresh(seed=0):
        return episodes(shapes, branches, vocabulary, seed)

    box = 12.0 if bench.on_gpu else 3.0
    ways = {
        "engine": (by_engine, lambda: (fresh(), AdapterKind.ALORA, fresh(1))),
        "per role": (by_engine, lambda: (fresh(), AdapterKind.LORA, fresh(1))),
        "padded": (padded, lambda: (fresh(), 2 * box)),
        "published": (published, lambda: (fresh(), box)),
    }
    found = {}
    for name, (way, given) in ways.items():
        result = bench.attempt(f"{workload}, {name}", way, *given(), needs=box + 4)
        if result is None:
            continue
        found[name] = result
        ratios = {}
        if (ours := found.get("engine")) is not None and name != "engine":
            ratios = {"engine_is_times_as_fast": result["wall"] / ours["wall"],
                      "engine_prefills_one_of": result["prefill"] / ours["prefill"]}  # fmt: skip
        bench.tell(
            f"{workload}, {name}", wall_seconds=result["wall"], prefill_tokens=result["prefill"],
            written_tokens=result["written"], written_per_second=result["written"] / result["wall"], **ratios,
            note=result["note"],
        )  # fmt: skip


# --- decode -----------------------------------------------------------------------------------------------


def writing(bench, kind, requests, length, *, recorded=True):
    """An engine all of whose requests have read their prompts."""
    engine = bench.engine(kind, requests)
    if not recorded:
        engine.recorder = None
    for at in range(requests):
        prompt = [*tokens(random.Random(at), length - 1, bench.shape["vocab_size"]), WAKING[THREE[at % 3]]]
        writer = Writer(Sampling(max_tokens=500), 500, frozenset(), str)
        engine.submit(
            Request(prompt=prompt, writer=writer, adapter=0 if kind is None else ADAPTERS[THREE[at % 3]],
                    adapter_from=length - 1, group=at)
        )  # fmt: skip
    while engine.scheduler.waiting or any(request.pending > 1 for request in engine.scheduler.running):
        engine.step()
    for _ in range(4):
        engine.step()
    return engine


def decode(bench, requests, length, rate, variant):
    kind = None if variant == "plain" else AdapterKind.ALORA
    engine = writing(bench, kind, requests, length, recorded=variant != "unrecorded")
    steps = 100 if bench.on_gpu else 5
    before = engine.counts.written
    bench.wait()
    started = time.perf_counter()
    for _ in range(steps):
        engine.step()
    bench.wait()
    step = (time.perf_counter() - started) / steps
    written = (engine.counts.written - before) / steps
    weights = sum(weight.nbytes for name, weight in bench.model.named_parameters()
                  if "embed_tokens" not in name and ".adapters." not in name)  # fmt: skip
    adapters = adapters_of(bench.model)
    weights += 0 if adapters is None else adapters.copies
    read = statistics.fmean(request.computed for request in engine.scheduler.running) * requests
    kept = int(read * engine.scheduler.memory.shape.bytes)
    limit = requests / ((weights + kept) / rate)
    device = {}
    if engine.recorder is not None and engine.recorder.graphs:
        device = {"device_ms": 1000 * replayed(bench, engine)}
    bench.tell(
        f"decode, {requests} requests, {variant}", tokens_per_second=written / step, limit=limit,
        share=written / step / limit, step_ms=1000 * step, **device,
        weights_gb=weights / 1e9, keys_values_gb=kept / 1e9, kernel=engine.scheduler.memory.kernel.__name__,
        refused=None if engine.recorder is None else engine.recorder.refused,
    )  # fmt: skip
    return engine


def replayed(bench, engine, times=50):
    """Seconds of the device for the widest recorded step, without the host between."""
    graph = engine.recorder.graphs[max(engine.recorder.graphs)]
    graph.replay()
    bench.wait()
    started = time.perf_counter()
    for _ in range(times):
        graph.replay()
    bench.wait()
    return (time.perf_counter() - started) / times


def profile(bench, requests, length):
    """Which kernels a step of decode takes its time for."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiled

    engine = writing(bench, AdapterKind.ALORA, requests, length)
    with profiled(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
        for _ in range(5):
            engine.step()
        bench.wait()
    spent, calls = Counter(), Counter()
    for event in found.key_averages():
        if event.self_device_time_total > 0:
            spent[event.key] += event.self_device_time_total / 5
            calls[event.key] += event.count / 5
    for key, microseconds in spent.most_common(14):
        print(f"    {microseconds:9.1f} us in {calls[key]:6.1f} calls  {key[:110]}", flush=True)
    bench.tell(f"profile, {requests} requests", microseconds=sum(spent.values()), kernels=sum(calls.values()),
               most={key[:80]: round(value, 1) for key, value in spent.most_common(14)})  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--tasks", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--requests", type=int, nargs="*", default=[1, 16, 64])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--profile", action="store_true", help="also tell which kernels a step takes")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.utils.logging.set_verbosity_error()
    if not (arguments.small or torch.cuda.is_available()):
        parser.error("there is no GPU here; --small runs a toy model on the CPU")
    place = (torch.device("cpu"), torch.float32) if arguments.small else (torch.device("cuda", 0), torch.bfloat16)
    bench = Bench(SMALL if arguments.small else LARGE, *place, arguments, time.perf_counter())
    shapes, length = gold_shapes(8 if arguments.small else arguments.tasks)
    bench.tell("work", episodes=len(shapes), turns=statistics.fmean(len(shape.turns) for shape in shapes),
               prefix=statistics.fmean(shape.prefix for shape in shapes), median_prompt=length,
               written=statistics.fmean(turn.writes for shape in shapes for turn in shape.turns))  # fmt: skip
    make_model(bench)
    rate = bench.attempt("copy", bandwidth) or float("nan")
    for requests in arguments.requests:
        for variant in ("engine", "plain", "unrecorded"):
            bench.attempt(f"decode, {requests} requests, {variant}", decode, requests, length, rate, variant)
    compare(bench, "distinct", shapes)
    compare(bench, "branches", shapes)
    if arguments.profile:
        for requests in (arguments.requests[0], arguments.requests[-1]):
            bench.attempt(f"profile, {requests} requests", profile, requests, length)


if __name__ == "__main__":
    main()
