"""Training of three activated LoRAs on SmolLM2-135M: this build, another build, and PEFT on rows, in one run.

    python benchmarks/train_adapters.py [--against SRC] [--trajectories 2] [--rounds 3] [--threads 1] [--dtype float32]

Forward and backward pass over the same examples, without an optimizer step: gold trajectories of the world of functions
in the shared format, all three roles, rank 16 on all linear layers. `--against`: the folder `src` of another build, as
from `git worktree add /tmp/old 475a57c`. PEFT computes each example as a row of its own with the adapter of its role,
without padding and with logits only where there is loss, which no trainer does better on a CPU. Every way has a process
of its own and they take turns; CPU seconds per round, median and spread, and the gradients' distance to this build's.
"""

from __future__ import annotations

import argparse
import os
import pickle
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RANK, BUDGET = 16, 4096
WAYS = {"this": "this build, trees", "one pass": "this build, trees in one pass", "other": "the other build, trees",
        "peft": "PEFT, rows"}  # fmt: skip
ROLES = ("planner", "caller", "summarizer")


# --- what is learned ----------------------------------------------------------------------------------------


def prepare(folder: Path, count: int) -> None:
    """Write SmolLM2 with the format's tokens, and the examples of some trajectories as (ids, weights, adapters)."""
    from alpha_umi.loading.formats import open_format
    from alpha_umi.loading.pretrained import find_model
    from alpha_umi.models.adapters import ADAPTERS
    from alpha_umi.models.checkpoint import load_tokenizer, load_weights
    from alpha_umi.models.format_tokens import hold_tokens
    from alpha_umi.training.data.labels import AdapterAssignment, Lengths, Tokeniser, Weights, label
    from alpha_umi.types import Role
    from alpha_umi.world import World

    weights = find_model("smollm2-135m")
    model, tokenizer, form = load_weights(weights), load_tokenizer(weights), open_format("shared")
    hold_tokens(model, tokenizer, form.special_tokens, form.end)
    model.save_pretrained(folder / "base")
    tokeniser = Tokeniser(tokenizer, form, [Role(name) for name in ROLES], Lengths(prompt=3500, example=BUDGET))
    tagging = AdapterAssignment(numbers=ADAPTERS, from_role_token=True)
    world = World("functions")
    groups = []
    for index in range(count):
        found = tokeniser(world.gold(world.task(world.splits[0], index))).examples
        labelled = [label(one, Weights(), tagging) for one in found]
        groups.append(
            [([*map(int, each.ids)], [*map(float, each.weights)], [*map(int, each.adapters)]) for each in labelled]
        )
    (folder / "groups.pkl").write_bytes(pickle.dumps(groups))


# --- the ways -----------------------------------------------------------------------------------------------


def adapted(folder: Path):
    """SmolLM2 with adapters, and the losses' computer, by the names of either build."""
    import torch
    from transformers import AutoModelForCausalLM

    from alpha_umi.models.adapters import AdapterKind, AdapterSettings, attach
    from alpha_umi.types import Role

    model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32).train()
    roles = [Role(name) for name in ROLES]
    settings = AdapterSettings(kind=AdapterKind.ALORA, rank=RANK)
    attach(model, settings, roles, invocations={role: [1 + place] for place, role in enumerate(roles)})
    spread(model)
    try:
        from alpha_umi.training.losses import LossComputer as Computer
    except ImportError:
        from alpha_umi.training.passes import Passes as Computer
    return model, Computer(model, max_length=BUDGET)


def spread(model) -> None:
    """Draw the weights of every adapter, the same in every build and in PEFT: by role and layer in their order."""
    import torch

    generator = torch.Generator().manual_seed(0)
    for kind in ("lora_A", "lora_B"):
        for weight in sorted_weights(model, kind):
            weight.data.normal_(std=0.02, generator=generator)


def sorted_weights(model, kind: str) -> list:
    """Weights of adapters, role by role, in the order of the layers."""
    named = [(name, weight) for name, weight in model.named_parameters() if kind in name]
    return [weight for role in ROLES for name, weight in named if f".{role}." in name]


def trees(groups: list, budget: int) -> list:
    try:
        from alpha_umi.training.data.packing import WeightedExample as Labelled
        from alpha_umi.training.data.packing import bin_pack, concatenate, pack_prefix_trees
    except ImportError:
        from alpha_umi.training.packing import Labelled
        from alpha_umi.training.packing import fill as bin_pack
        from alpha_umi.training.packing import join as concatenate
        from alpha_umi.training.packing import plant as pack_prefix_trees
    labelled = [[Labelled(ids=ids, weights=weights, adapters=tags) for ids, weights, tags in each] for each in groups]
    forests = [tree for each in labelled for tree in pack_prefix_trees(each, budget)]
    bins = bin_pack([tree.tokens for tree in forests], budget)
    return [concatenate([forests[index] for index in each]) for each in bins]


def on_trees(folder: Path, groups: list, *, one_pass: bool):
    model, computer = adapted(folder)
    if one_pass:
        computer._has_frozen_prefixes = lambda: False  # noqa: SLF001
    packed = trees(groups, BUDGET)

    def step(backward) -> float:
        with computer.installed():
            return sum(backward(computer.loss(each)) for each in packed)

    return model, step, sum(each.tokens for each in packed)


def on_rows(folder: Path, groups: list):
    import torch
    from peft import LoraConfig, get_peft_model
    from torch.nn import functional
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32).train()
    rows = [
        (torch.tensor([ids]), torch.tensor(weights), max(tags), tags) for each in groups for ids, weights, tags in each
    ]
    marks = {ROLES[tag - 1]: [ids[0, tags.index(tag)].item()] for ids, _, tag, tags in rows}
    layers = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    configs = {
        role: LoraConfig(
            r=RANK,
            lora_alpha=2 * RANK,
            target_modules=list(layers),
            alora_invocation_tokens=mark,
            task_type="CAUSAL_LM",
        )
        for role, mark in marks.items()
    }
    model = get_peft_model(plain, configs[ROLES[0]], adapter_name=ROLES[0])
    for role in ROLES[1:]:
        model.add_adapter(role, configs[role])
    spread(model)
    rows = [
        (torch.tensor([ids]), torch.tensor(weights), max(tags), tags) for each in groups for ids, weights, tags in each
    ]

    def step(backward) -> float:
        total = 0.0
        for role in ROLES:
            model.set_adapter(role)
            for ids, weights, tag, _ in rows:
                if ROLES[tag - 1] == role:
                    at = weights.nonzero().squeeze(1)
                    logits = model(input_ids=ids, logits_to_keep=at - 1, use_cache=False).logits[0]
                    losses = functional.cross_entropy(logits.float(), ids[0, at], reduction="none")
                    total += backward((losses * weights[at]).sum())
        return total

    return model, step, sum(ids.shape[1] for ids, *_ in rows)


def work(way: str, folder: Path, threads: int, dtype: str) -> None:
    """Answer each line of the input with the seconds of a step; the first line of the output tells the tokens."""
    import torch

    torch.set_num_threads(threads)
    groups = pickle.loads((folder / "groups.pkl").read_bytes())  # noqa: S301 - written by this very benchmark
    made = on_rows(folder, groups) if way == "peft" else on_trees(folder, groups, one_pass=way == "one pass")
    model, step, tokens = made
    low = dtype == "bfloat16"
    if low and way != "peft":
        from alpha_umi.training.start import cast_frozen

        cast_frozen(model, torch.bfloat16)

    def backward(loss) -> float:
        loss.backward()
        return loss.item()

    print(tokens, flush=True)
    for _ in sys.stdin:
        model.zero_grad(set_to_none=True)
        start = time.process_time(), time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            loss = step(backward)
        seconds = time.process_time() - start[0], time.perf_counter() - start[1]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        gradients = [weight.grad for kind in ("lora_A", "lora_B") for weight in sorted_weights(model, kind)]
        flat = torch.cat([gradient.flatten().float() for gradient in gradients])
        torch.save(flat, folder / f"{way.replace(' ', '-')}.pt")
        print(*seconds, peak, loss, flush=True)


# --- measuring ----------------------------------------------------------------------------------------------


def start(way: str, folder: Path, options) -> subprocess.Popen:
    source = options.against if way == "other" else Path(__file__).resolve().parents[1] / "src"
    command = [sys.executable, __file__, "--work", way, "--folder", str(folder), "--threads", str(options.threads)]
    return subprocess.Popen(
        [*command, "--dtype", options.dtype], env={**os.environ, "PYTHONPATH": str(source)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def measure(folder: Path, options) -> None:
    import torch

    ways = [way for way in WAYS if way != "other" or options.against]
    workers = {way: start(way, folder, options) for way in ways}
    tokens = {way: int(worker.stdout.readline()) for way, worker in workers.items()}
    found = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, worker in workers.items():
            worker.stdin.write("\n")
            worker.stdin.flush()
            found[way].append([float(each) for each in worker.stdout.readline().split()])
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()
    ours = torch.load(folder / "this.pt")
    base = statistics.median(row[0] for row in found["this"])
    print(
        f"{'':32}{'tokens':>8}{'CPU s':>9}  {'spread':16}{'times':>6}{'wall s':>8}{'peak MB':>9}  {'loss':>10}  apart"
    )
    for way in ways:
        seconds = [row[0] for row in found[way]]
        apart = (torch.load(folder / f"{way.replace(' ', '-')}.pt") - ours).norm() / ours.norm()
        wall, peak, loss = statistics.median(row[1] for row in found[way]), found[way][-1][2], found[way][-1][3]
        middle = statistics.median(seconds)
        print(
            f"{WAYS[way]:32}{tokens[way]:8,}{middle:9.2f}  {f'{min(seconds):.2f} to {max(seconds):.2f}':16}"
            f"{middle / base:5.2f}x{wall:8.1f}{peak:9.0f}  {loss:10.3f}  {apart:.1e}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="the folder src of another build")
    parser.add_argument("--trajectories", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="of each process; one works at a time")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.folder, options.threads, options.dtype)
        return
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), options.trajectories)
        print(
            f"train_adapters: {platform.machine()}, {os.cpu_count()} cores, {options.threads} threads, "
            f"load {os.getloadavg()[0]:.1f}, {options.dtype}; median of {options.rounds} rounds over "
            f"{options.trajectories} trajectories"
        )
        measure(Path(folder), options)


if __name__ == "__main__":
    main()
