"""Training of three LoRAs on SmolLM2-135M: this build, another build, PEFT on rows and TRL's trainer, in one run.

    python benchmarks/train_adapters.py [--against SRC] [--trajectories 2] [--rounds 3] [--threads 1] [--dtype float32]
                                        [--kind alora] [--trl PYTHON] [--ways this other ...] [--budget 4096]

Forward and backward pass over the same examples, without an optimizer step: gold trajectories of the world of functions
in the shared format, all three roles, rank 16 on all linear layers. `--against`: the folder `src` of another build, as
from `git worktree add /tmp/old 475a57c`. PEFT computes each example as a row of its own with the adapter of its role,
without padding and with logits only where there is loss, which no trainer does better on a CPU. `--trl`: an interpreter
that has trl too (`pip install trl==1.16.0`); its SFTTrainer packs the same examples (bfd) and steps three plain LoRAs
of PEFT, one role after the other, since PEFT's activated ones cannot be packed. Every way has a process of its own and
they take turns; CPU seconds per round, median and spread, tokens computed per second, and the gradients' distance to
this build's. `--budget`: most tokens of a pass, of ours and of a packed row.
"""

from __future__ import annotations

import argparse
import os
import pickle
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RANK = 16
LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
WAYS = {"this": "this build, trees", "one pass": "this build, trees in one pass", "other": "the other build, trees",
        "peft": "PEFT, rows", "trl": "TRL SFTTrainer, bfd packing"}  # fmt: skip
ROLES = ("planner", "caller", "summarizer")


# --- what is learned ----------------------------------------------------------------------------------------


def prepare(folder: Path, count: int, kind: str) -> None:
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
    tokenizer.save_pretrained(folder / "base")
    tokeniser = Tokeniser(tokenizer, form, [Role(name) for name in ROLES], Lengths(prompt=3500, example=4096))
    tagging = AdapterAssignment(numbers=ADAPTERS, from_role_token=kind == "alora")
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


def adapted(folder: Path, options):
    """SmolLM2 with adapters, and the losses' computer, by the names of either build."""
    import torch
    from transformers import AutoModelForCausalLM

    from alpha_umi.models.adapters import AdapterKind, AdapterSettings, attach
    from alpha_umi.types import Role

    model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32).train()
    roles = [Role(name) for name in ROLES]
    settings = AdapterSettings(kind=AdapterKind(options.kind), rank=RANK)
    attach(model, settings, roles, invocations={role: [1 + place] for place, role in enumerate(roles)})
    spread(model)
    try:
        from alpha_umi.training.losses import LossComputer as Computer
    except ImportError:
        from alpha_umi.training.passes import Passes as Computer
    return model, Computer(model, max_length=options.budget)


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


def on_trees(folder: Path, groups: list, options, *, one_pass: bool):
    model, computer = adapted(folder, options)
    if options.dtype == "bfloat16":
        low_frozen(model)
    if one_pass:
        computer._has_frozen_prefixes = lambda: False  # noqa: SLF001
    packed = trees(groups, options.budget)

    def step(backward) -> float:
        with computer.installed():
            return sum(backward(computer.loss(each)) for each in packed)

    return model, step, sum(each.tokens for each in packed)


def low_frozen(model) -> None:
    """Keep what is frozen in bfloat16, as a run in bfloat16 does, by the names of either build."""
    import torch

    try:
        from alpha_umi.training.start import cast_frozen
    except ImportError:
        from alpha_umi.training.start import narrow_frozen as cast_frozen
    cast_frozen(model, torch.bfloat16)


def on_rows(folder: Path, groups: list, options):
    import torch
    from peft import LoraConfig, get_peft_model
    from torch.nn import functional
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32).train()
    rows = [
        (torch.tensor([ids]), torch.tensor(weights), max(tags), tags) for each in groups for ids, weights, tags in each
    ]
    marks = {ROLES[tag - 1]: [ids[0, tags.index(tag)].item()] for ids, _, tag, tags in rows}
    configs = {
        role: LoraConfig(
            r=RANK,
            lora_alpha=2 * RANK,
            target_modules=list(LAYERS),
            alora_invocation_tokens=mark if options.kind == "alora" else None,
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


def on_trl(folder: Path, groups: list, options):
    """TRL's trainer on the rows of one role after the other: one step each, which is all its packed rows."""
    import warnings

    from datasets import Dataset, disable_progress_bars
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
    from transformers.utils import logging
    from trl import SFTConfig, SFTTrainer

    disable_progress_bars()
    logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    rows = [(ids, weights, max(tags)) for each in groups for ids, weights, tags in each]
    trainers = []
    for number in sorted({tag for *_, tag in rows}):
        own = [(ids, [int(weight > 0) for weight in weights]) for ids, weights, tag in rows if tag == number]
        data = Dataset.from_dict({"input_ids": [ids for ids, _ in own], "completion_mask": [mask for _, mask in own]})
        config = SFTConfig(
            output_dir=tempfile.mkdtemp(), packing=True, packing_strategy="bfd", max_length=options.budget,
            bf16=options.dtype == "bfloat16", per_device_train_batch_size=1, gradient_accumulation_steps=len(own),
            max_steps=1, use_cpu=True, completion_only_loss=True, gradient_checkpointing=False, save_strategy="no",
            report_to=[], disable_tqdm=True, logging_strategy="no",
        )  # fmt: skip
        model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=options.dtype)
        lora = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=list(LAYERS), task_type="CAUSAL_LM")
        tokenizer = AutoTokenizer.from_pretrained(folder / "base")
        trainer = SFTTrainer(model, config, None, data, processing_class=tokenizer, peft_config=lora)
        trainer.remove_callback(PrinterCallback)
        trainer.args.gradient_accumulation_steps = len(trainer.train_dataset)
        trainers.append(trainer)

    def step(_) -> float:
        return sum(trainer.train().training_loss for trainer in trainers)

    return None, step, sum(len(ids) for ids, *_ in rows)


def work(way: str, folder: Path, options) -> None:
    """Answer each line of the input with the seconds of a step; the first line of the output tells the tokens."""
    import torch

    torch.set_num_threads(options.threads)
    groups = pickle.loads((folder / "groups.pkl").read_bytes())  # noqa: S301 - written by this very benchmark
    if way in ("peft", "trl"):
        model, step, tokens = {"peft": on_rows, "trl": on_trl}[way](folder, groups, options)
    else:
        model, step, tokens = on_trees(folder, groups, options, one_pass=way == "one pass")

    def backward(loss) -> float:
        loss.backward()
        return loss.item()

    print(tokens, flush=True)
    for _ in sys.stdin:
        if model is not None:
            model.zero_grad(set_to_none=True)
        Path("/proc/self/clear_refs").write_text("5")
        start = time.process_time(), time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=options.dtype == "bfloat16" and way != "trl"):
            loss = step(backward)
        seconds = time.process_time() - start[0], time.perf_counter() - start[1]
        peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) // 1024
        if model is not None:
            gradients = [weight.grad for kind in ("lora_A", "lora_B") for weight in sorted_weights(model, kind)]
            flat = torch.cat([gradient.flatten().float() for gradient in gradients])
            torch.save(flat, folder / f"{way.replace(' ', '-')}.pt")
        print(*seconds, peak, loss, flush=True)


# --- measuring ----------------------------------------------------------------------------------------------


def start(way: str, folder: Path, options) -> subprocess.Popen:
    source = options.against if way == "other" else Path(__file__).resolve().parents[1] / "src"
    command = [str(options.trl) if way == "trl" else sys.executable, __file__, "--work", way, "--folder", str(folder)]
    given = [f"--{name}={getattr(options, name)}" for name in ("threads", "dtype", "kind", "budget")]
    return subprocess.Popen(
        [*command, *given], env={**os.environ, "PYTHONPATH": str(source)}, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def measure(folder: Path, options) -> None:
    there = {"other": options.against, "trl": options.trl}
    ways = [way for way in WAYS if there.get(way, True) and (not options.ways or way in options.ways)]
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
    base = statistics.median(row[0] for row in found[ways[0]])
    print(
        f"{'':32}{'tokens':>8}{'CPU s':>9}  {'spread':16}{'times':>6}{'tokens/s':>9}{'wall s':>8}{'peak MB':>9}  "
        f"{'loss':>10}  apart"
    )
    for way in ways:
        seconds = [row[0] for row in found[way]]
        wall, peak, loss = statistics.median(row[1] for row in found[way]), found[way][-1][2], found[way][-1][3]
        middle = statistics.median(seconds)
        print(
            f"{WAYS[way]:32}{tokens[way]:8,}{middle:9.2f}  {f'{min(seconds):.2f} to {max(seconds):.2f}':16}"
            f"{middle / base:5.2f}x{tokens[way] / middle:9.0f}{wall:8.1f}{peak:9.0f}  {loss:10.3f}  "
            f"{apart(folder, way, ways[0])}"
        )


def apart(folder: Path, way: str, first: str) -> str:
    """The distance of two ways' gradients, relative; none where a way leaves no gradients."""
    import torch

    path, other = (folder / f"{name.replace(' ', '-')}.pt" for name in (way, first))
    if not path.exists():
        return "-"
    ours = torch.load(other)
    return f"{(torch.load(path) - ours).norm() / ours.norm():.1e}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="the folder src of another build")
    parser.add_argument("--trajectories", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="of each process; one works at a time")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--kind", choices=("alora", "lora"), default="alora")
    parser.add_argument("--budget", type=int, default=4096, help="most tokens of a pass")
    parser.add_argument("--trl", type=Path, help="an interpreter that has trl")
    parser.add_argument("--ways", nargs="+", choices=WAYS, metavar="WAY", help=f"of {', '.join(WAYS)}")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.folder, options)
        return
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), options.trajectories, options.kind)
        print(
            f"train_adapters: {platform.machine()}, {os.cpu_count()} cores, {options.threads} threads, "
            f"load {os.getloadavg()[0]:.1f}, {options.dtype}, {options.kind}; median of {options.rounds} rounds over "
            f"{options.trajectories} trajectories"
        )
        measure(Path(folder), options)


if __name__ == "__main__":
    main()
