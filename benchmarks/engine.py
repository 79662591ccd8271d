"""The engine against other ways to run three roles, on one machine in one run: wall time, prefill tokens, memory.

Episodes as a live agent makes them: tools and query (PREFIX tokens), then per step a planner's and a caller's
completion and an observation, at the end a summarizer's. `distinct`: every episode has a prefix of its own;
`branches`: four search branches on each. Roles are activated LoRAs of rank 8 that have learned something, in the
engine; the published way and padded `generate` get them for nothing (they run the base alone). All ways write the
same number of tokens. Ratios are of CPU seconds, which other work on the machine disturbs less than wall
seconds (OMP_NUM_THREADS=1: the threads of several would wait for each other). The published way takes one episode
after the other and shares nothing, so that some are measured and the others counted as the same. `replay` reads the
real out-of-domain trajectories in the shared format, and counts.

ways:   published        three models, one prompt at a time, no cache between calls (transformers `generate`)
        padded           `generate` on left-padded batches of all calls that are due at the same time
        per role         our engine with plain LoRAs: a cache per role, as servers of many LoRAs have it
        engine           our engine with activated LoRAs: one cache
        base, continuous transformers' own continuous batching without adapters
        base, llama.cpp  llama.cpp without adapters (where llama-cpp-python is installed)
        base, engine     our engine without adapters

usage: python benchmarks/engine.py [--repeat 3] [--tasks 32] [--steps 2] [--published 8] [--replay 40]
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import random
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import ContinuousBatchingConfig, GenerationConfig, LlamaConfig, LlamaForCausalLM

from alpha_umi.datasets.processed import read_processed
from alpha_umi.formats.shared import SharedFormat
from alpha_umi.formats.tokens import prompt_ids
from alpha_umi.models.adapters import ADAPTERS, AdapterKind, AdapterSettings, adapters_of, attach
from alpha_umi.models.engine.engine import Engine, EngineLimits
from alpha_umi.models.engine.radix_tree import RadixTree, token_keys
from alpha_umi.models.engine.requests import Request
from alpha_umi.models.generation import Generation
from alpha_umi.models.gguf_files import write_model
from alpha_umi.training.data.examples import make_examples
from alpha_umi.training.tokenizer import learn_tokenizer
from alpha_umi.types import Role, Sampling

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = Path(os.environ.get("ALPHA_UMI_GOLDEN") or ROOT.parent / "shared" / "golden")
VOCABULARY, PREFIX, WRITES, OBSERVES = 32_000, 1000, 24, 60
PAGE = 32
"""Of transformers' continuous batching, which shares full pages only; by itself it takes 256."""
THREE = (Role.PLANNER, Role.CALLER, Role.SUMMARIZER)
WAKING = {Role.PLANNER: 5, Role.CALLER: 6, Role.SUMMARIZER: 7}
SHAPES = {
    "1.3M": {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 8, "num_attention_heads": 4,
             "num_key_value_heads": 2, "head_dim": 16},
    "20M": {"hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 5, "num_attention_heads": 6,
            "num_key_value_heads": 2, "head_dim": 64},
}  # fmt: skip


@functools.cache
def make_model(size, kind=None):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, max_position_embeddings=8192, tie_word_embeddings=True, initializer_range=0.1,
        bos_token_id=None, eos_token_id=None, pad_token_id=None, **SHAPES[size],
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    if kind is not None:
        waking = {role: (token,) for role, token in WAKING.items()}
        adapters = attach(model, AdapterSettings(kind=kind, rank=8, alpha=8.0), THREE, invocations=waking)
        with torch.no_grad():
            for role in THREE:
                for name, weight in adapters.parameters(role).items():
                    if name.endswith("lora_B"):
                        weight.normal_(std=0.05)
    return model


# --- the work ---------------------------------------------------------------------------------------------


@dataclass
class Episode:
    """One branch of one task: the history so far and whose turn it is."""

    history: list[int]
    chance: random.Random
    roles: list[Role]
    group: int
    calls: int = 0

    @property
    def prompt(self):
        return [*self.history, WAKING[self.roles[0]]]

    def told(self, written):
        assert len(written) == WRITES
        self.calls += 1
        self.history = [*self.prompt, *written]
        if self.roles.pop(0) is Role.CALLER:
            self.history += [self.chance.randrange(100, VOCABULARY) for _ in range(OBSERVES)]


def episodes(workload, tasks, steps):
    branches = 4 if workload == "branches" else 1
    found = []
    for task in range(tasks // branches):
        own = random.Random(task)
        prefix = [own.randrange(100, VOCABULARY) for _ in range(PREFIX)]
        for branch in range(branches):
            roles = [Role.PLANNER, Role.CALLER] * steps + [Role.PLANNER, Role.SUMMARIZER]
            found.append(Episode(prefix, random.Random(1000 * task + branch), roles, task))
    return found


# --- the ways ---------------------------------------------------------------------------------------------


@dataclass
class Result:
    prefilled: int
    note: str = ""
    wall: float = 0.0
    cpu: float = 0.0


def generate(model, prompts):
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    with torch.inference_mode():
        out = model.generate(
            input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=WRITES, min_new_tokens=WRITES,
            pad_token_id=0,
        )  # fmt: skip
    return out[:, longest:].tolist()


def published(size, todo):
    models, prefilled = dict.fromkeys(THREE, make_model(size)), 0  # alike, so that only one is kept
    for episode in todo:
        while episode.roles:
            prompt = episode.prompt
            prefilled += len(prompt)
            episode.told(generate(models[episode.roles[0]], [prompt])[0])
    return Result(prefilled)


def padded(size, todo):
    model, prefilled = make_model(size), 0
    while due := [episode for episode in todo if episode.roles]:
        prompts = [episode.prompt for episode in due]
        prefilled += max(map(len, prompts)) * len(prompts)
        for episode, written in zip(due, generate(model, prompts), strict=True):
            episode.told(written)
    return Result(prefilled)


def engine(size, todo, kind=AdapterKind.ALORA):
    one = Engine(make_model(size, kind), EngineLimits(cache_bytes=2 << 30))

    def ask(episode):
        role, prompt = episode.roles[0], episode.prompt
        adapter = 0 if kind is None else ADAPTERS[role]
        start = len(prompt) - 1 if kind is AdapterKind.ALORA else 0

        def done(request, error):
            assert error is None, error
            episode.told(request.generation.output_ids)
            if episode.roles:
                ask(episode)

        one.submit(
            Request(
                prompt=prompt,
                generation=Generation(Sampling(max_tokens=WRITES), WRITES, frozenset(), str),
                adapter=adapter,
                adapter_from=start,
                group=episode.group,
                on_done=done,
            )
        )

    for episode in todo:
        ask(episode)
    while not one.idle:
        one.step()
    stats = one.stats
    share = stats.forward_seconds / stats.step_seconds
    note = f"{stats.steps} steps, {share:.0%} in forwards, {stats.cached_tokens:,} tokens found in memory"
    return Result(stats.prefill_tokens, note)


def per_role(size, todo):
    return engine(size, todo, AdapterKind.LORA)


def base_engine(size, todo):
    return engine(size, todo, None)


def base_continuous(size, todo):
    """One manager for the whole run, with the room that it needs and the tokens per step that our engine takes."""
    model = make_model(size)
    config = GenerationConfig(max_new_tokens=WRITES, do_sample=False, eos_token_id=-1, pad_token_id=0)
    pages = sum(len(episode.history) + 400 for episode in todo) // PAGE
    room = ContinuousBatchingConfig(page_size=PAGE, num_blocks=pages, max_batch_tokens=512)
    due, prefilled = {}, 0
    with model.continuous_batching_context_manager(
        generation_config=config, continuous_batching_config=room, block=True, warmup=False
    ) as manager:

        def ask(episode):
            nonlocal prefilled
            prefilled += len(episode.prompt)
            due[manager.add_request(episode.prompt, max_new_tokens=WRITES)] = episode

        for episode in todo:
            ask(episode)
        while due:
            answer = manager.get_result(timeout=60)
            assert answer is not None, "no answer within a minute"
            episode = due.pop(answer.request_id)
            episode.told(answer.generated_tokens)
            if episode.roles:
                ask(episode)
    return Result(prefilled, "prefill as asked, it tells not what it finds in its pages")


def base_llama_cpp(size, todo):
    """llama.cpp in this process, driven as its server does: a sequence per episode that is kept between its calls.

    Float32 weights, keys and values in float16 (its default). A branch copies the prefix of another one.
    """
    from llama_cpp import llama_cpp as api

    quiet = api.llama_log_callback(lambda *_: None)
    api.llama_log_set(quiet, None)
    with tempfile.TemporaryDirectory() as folder:
        form = SharedFormat()
        make_model(size).save_pretrained(folder)
        learn_tokenizer([__doc__], vocab_size=400, special_tokens=form.special_tokens, end=form.end).save_pretrained(
            folder
        )
        write_model(folder, Path(folder) / "model.gguf", end=form.end)
        model = api.llama_model_load_from_file(f"{folder}/model.gguf".encode(), api.llama_model_default_params())
    settings = api.llama_context_default_params()
    settings.n_ctx = sum(len(episode.history) + 400 for episode in todo)
    settings.n_batch = settings.n_ubatch = 512
    settings.n_seq_max, settings.kv_unified = len(todo), len({episode.group for episode in todo}) < len(todo)
    settings.n_threads = settings.n_threads_batch = 1
    context = api.llama_init_from_model(model, settings)
    cache, batch = api.llama_get_memory(context), api.llama_batch_init(512, 0, 1)
    past, written, first, prefilled = [0] * len(todo), [[] for _ in todo], {}, 0
    try:
        while any(episode.roles for episode in todo):
            asked, size_of, decoded = [], 0, past.copy()
            for number, episode in enumerate(todo):
                if not episode.roles or size_of == 512:
                    continue
                leader = first.setdefault(episode.group, number)
                if not past[number] and leader != number:
                    if decoded[leader] < PREFIX:
                        continue
                    api.llama_memory_seq_cp(cache, leader, number, 0, PREFIX)
                    past[number] = PREFIX
                ids = [*episode.prompt, *written[number]]
                part = ids[past[number] : past[number] + 512 - size_of]
                prefilled += max(0, min(past[number] + len(part), len(episode.prompt)) - past[number])
                for token in part:
                    batch.token[size_of], batch.pos[size_of] = token, past[number]
                    batch.n_seq_id[size_of], batch.seq_id[size_of][0], batch.logits[size_of] = 1, number, False
                    past[number], size_of = past[number] + 1, size_of + 1
                if past[number] == len(ids):
                    batch.logits[size_of - 1] = True
                    asked.append((number, size_of - 1))
            batch.n_tokens = size_of
            assert api.llama_decode(context, batch) == 0
            for number, row in asked:
                logits = np.ctypeslib.as_array(api.llama_get_logits_ith(context, row), (VOCABULARY,))
                written[number].append(int(logits.argmax()))
                if len(written[number]) == WRITES:
                    todo[number].told(written[number])
                    written[number] = []
    finally:
        api.llama_batch_free(batch)
        api.llama_free(context)
        api.llama_model_free(model)
    return Result(prefilled)


WAYS = {
    "published": published,
    "padded": padded,
    "per role": per_role,
    "engine": engine,
    "base, continuous": base_continuous,
    "base, llama.cpp": base_llama_cpp,
    "base, engine": base_engine,
}


def timed(way, size, *arguments):
    for kind in (None, *AdapterKind):
        make_model(size, kind).set_attn_implementation("sdpa")  # an engine puts its own in
    wall, cpu = time.perf_counter(), time.process_time()
    result = way(size, *arguments)
    result.wall, result.cpu = time.perf_counter() - wall, time.process_time() - cpu
    return result


def repeated(name, way, size, workload, arguments):
    todo = episodes(workload, arguments.tasks, arguments.steps)
    if name != "published" or arguments.published >= len(todo):
        return timed(way, size, todo)
    result, factor = timed(way, size, todo[: arguments.published]), len(todo) / arguments.published
    result.wall, result.cpu = factor * result.wall, factor * result.cpu
    result.prefilled, result.note = (
        round(factor * result.prefilled),
        f"{factor:.0f} times {arguments.published} episodes",
    )
    return result


def compare(size, workload, arguments):
    print(f"\n{size}, {workload}: {arguments.tasks} episodes, {arguments.steps} steps, prefix {PREFIX}", flush=True)
    found = {}
    for name, way in WAYS.items():
        if arguments.ways and name not in arguments.ways:
            continue
        try:
            runs = [repeated(name, way, size, workload, arguments) for _ in range(arguments.repeat)]
        except Exception as error:  # a peer that does not run here is told, and the others go on
            print(f"  {name:17} does not run here: {type(error).__name__}: {str(error)[:150]}", flush=True)
            continue
        found[name] = one = middle(runs)
        spread = f"({min(run.cpu for run in runs):.1f} to {max(run.cpu for run in runs):.1f})"
        print(
            f"  {name:17} {one.cpu:7.1f} s {spread:16} wall {one.wall:7.1f} s {one.prefilled:9,} prefill  {one.note}",
            flush=True,
        )
    ours = found.get("engine")
    for name in ("published", "padded", "per role"):
        if ours and name in found:
            speed, prefill = found[name].cpu / ours.cpu, found[name].prefilled / ours.prefilled
            print(f"  engine against {name}: {speed:.1f}x the speed, 1/{prefill:.1f} of the prefill", flush=True)
    for name in ("base, continuous", "base, llama.cpp"):
        if name in found and "base, engine" in found:
            ratio = found[name].cpu / found["base, engine"].cpu
            print(f"  base, engine against {name}: {ratio:.1f}x the speed", flush=True)


def middle(runs):
    return sorted(runs, key=lambda run: run.cpu)[len(runs) // 2]


# --- real trajectories ------------------------------------------------------------------------------------


def replay_prompts():
    """Every prompt of every trajectory, in the order of its turns: role and ids."""
    path = GOLDEN.parent / "data" / "out_of_domain.json"
    form = SharedFormat()
    trajectories = [read_processed(row, str(index)) for index, row in enumerate(json.loads(path.read_text()))]
    rows = {
        index: [(role, row.prompt) for role in THREE for row in make_examples(trajectory, role, form).rows]
        for index, trajectory in enumerate(trajectories)
    }
    texts = [max(prompts, key=lambda each: len(each[1]))[1] for prompts in rows.values() if prompts]
    tokenizer = learn_tokenizer(texts[::4], vocab_size=8000, special_tokens=form.special_tokens, end=form.end)
    return [
        [(role, prompt_ids(tokenizer, text)) for role, text in sorted(prompts, key=lambda each: len(each[1]))]
        for prompts in rows.values()
    ]


def count(prompts, *, adapter_from_start):
    """Tokens that an endless memory does not hold yet when they are asked for."""
    tree, computed = RadixTree(1 << 40), 0
    for role, ids in (pair for trajectory in prompts for pair in trajectory):
        keys = token_keys(ids, ADAPTERS[role], 0 if adapter_from_start else len(ids) - 1)
        node, found = tree.match_prefix(tree.root, keys)
        computed += max(len(keys) - len(found), 1)
        if len(found) < len(keys):
            tree.insert(node, keys[len(found) :], tree.allocate(len(keys) - len(found)))
    return computed


def replay(arguments):
    prompts = replay_prompts()
    total = sum(len(ids) for trajectory in prompts for _, ids in trajectory)
    own, shared = count(prompts, adapter_from_start=True), count(prompts, adapter_from_start=False)
    print(f"\nout-of-domain replayed: {len(prompts)} trajectories, {sum(map(len, prompts)):,} prompts")
    print(f"  prefill tokens: {total:,} without a cache, {own:,} with a cache per role, {shared:,} shared")
    print(f"  shared is 1/{total / shared:.1f} of none and 1/{own / shared:.1f} of per role", flush=True)
    chosen = prompts[: arguments.replay]
    for size in arguments.sizes:
        found = {
            kind: middle([timed(replay_once, size, chosen, kind) for _ in range(arguments.repeat)])
            for kind in (AdapterKind.LORA, AdapterKind.ALORA)
        }
        per_role, shared = found[AdapterKind.LORA].cpu, found[AdapterKind.ALORA].cpu
        print(
            f"  {size}, {len(chosen)} trajectories, {WRITES} tokens written per prompt: "
            f"per role {per_role:.1f} s, shared {shared:.1f} s; {per_role / shared:.1f}x the speed",
            flush=True,
        )


def replay_once(size, prompts, kind):
    one = Engine(make_model(size, kind), EngineLimits(cache_bytes=2 << 30))

    def ask(group, left):
        if not left:
            return
        role, ids = left[0]
        start = len(ids) - 1 if kind is AdapterKind.ALORA else 0
        generation = Generation(Sampling(max_tokens=WRITES), WRITES, frozenset(), str)
        one.submit(
            Request(
                prompt=ids,
                generation=generation,
                adapter=ADAPTERS[role],
                adapter_from=start,
                group=group,
                on_done=lambda _, error: ask(group, left[1:]),
            )
        )

    for group, trajectory in enumerate(prompts):
        ask(group, trajectory)
    while not one.idle:
        one.step()
    return Result(one.stats.prefill_tokens)


def memory():
    """Of weights; three roles with the copies of their adapters that run."""
    for size in SHAPES:
        base = sum(weight.nbytes for weight in make_model(size).parameters())
        model = make_model(size, AdapterKind.ALORA)
        with torch.inference_mode(), adapters_of(model).select(1):
            model(torch.tensor([[1, 2]]))
        three = sum(weight.nbytes for weight in model.parameters()) + adapters_of(model).copy_bytes
        print(f"memory of weights, {size}: one model {base / 1e6:.1f} MB, three roles on it {three / 1e6:.1f} MB "
              f"({three / base:.2f}x; rank 8), three models {3 * base / 1e6:.1f} MB")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=32)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument(
        "--published", type=int, default=8, help="episodes of the published way, which takes one after the other"
    )
    parser.add_argument("--replay", type=int, default=40, help="trajectories whose time is taken; 0: none")
    parser.add_argument("--sizes", nargs="*", default=list(SHAPES))
    parser.add_argument("--workloads", nargs="*", default=["distinct", "branches"])
    parser.add_argument("--ways", nargs="*", default=None)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}")
    memory()
    for size in arguments.sizes:
        for workload in arguments.workloads:
            compare(size, workload, arguments)
    if arguments.replay:
        replay(arguments)


if __name__ == "__main__":
    main()
