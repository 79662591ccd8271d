"""What training on trees saves: tokens, time and memory against every usual way, on real trajectories.

    python benchmarks/train.py [--data FILE] [--format FILE] [--conversations 1] [--rounds 3] [--threads 2]

One model (a Llama of 20 million parameters, float32, its 32k byte-level BPE learned from the file) learns the same
examples in each way. Tokens are counted over the whole file. Time is that of one optimizer step (forward, backward,
AdamW) over all examples of some conversations, evenly spaced by size, divided by their number; the ways take turns,
each in a process of its own; the median and the spread of the rounds are shown. Rows padded to 4,096 tokens all cost
the same, so one of them is timed, for all sets. Memory is the most that the process held in RAM during a step.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

from alpha_umi.datasets.processed import read_processed
from alpha_umi.formats.fit import Window
from alpha_umi.formats.tokens import completion_ids, prompt_ids
from alpha_umi.loading.formats import open_format
from alpha_umi.training.data.examples import make_examples
from alpha_umi.training.data.packing import PackedTrees, WeightedExample, fill, join, pack_prefix_trees
from alpha_umi.types import Role

SHARED = Path(__file__).resolve().parents[2] / "shared"
LONGEST, ROOM = 4096, 512  # tokens of an example, and of them kept for the completion
BUDGET = 16384  # tokens of a row of trees
GROUPED = 2  # rows of a batch that is grouped by length
VOCABULARY = 32_000
SETS = {
    "planner": (Role.PLANNER,),
    "all roles": (Role.PLANNER, Role.CALLER, Role.SUMMARIZER),
    "planner and caller": (Role.PLANNER, Role.CALLER),
}
TIMED = ("planner", "all roles")


# --- data -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Material:
    """Of each set of roles the examples of each conversation, in the published prompts and in the shared layout."""

    published: dict[str, list[list[WeightedExample]]]
    shared: dict[str, list[list[WeightedExample]]]
    tokenizer: object

    def some(self, chosen: list[int]) -> Material:
        """Of these conversations alone."""
        both = (self.published, self.shared)
        kept = ({roles: [every[index] for index in chosen] for roles, every in each.items()} for each in both)
        return Material(*kept, self.tokenizer)


def prepare(data: Path, format_file: Path) -> Material:
    conversations = [read_processed(row, str(index)) for index, row in enumerate(json.loads(data.read_text()))]
    forms = open_format(f"{format_file}@training"), open_format("shared")
    made = [[make_examples(each, role, forms[0]).rows for role in SETS["all roles"]] for each in conversations]
    texts = [row.prompt for planner, *_ in made for row in planner[-1:]]
    texts += [row.completion for each in made for rows in each for row in rows]
    tokenizer = learn_bpe(texts, forms[1].special_tokens)
    both = ([labelled(each, form, tokenizer) for each in conversations] for form in forms)
    sets = (
        {name: [[one for role in roles for one in each[role]] for each in every] for name, roles in SETS.items()}
        for every in both
    )
    return Material(*sets, tokenizer)


def learn_bpe(texts: list[str], special: tuple[str, ...]):
    """Byte-level BPE as GPT-2 splits text; the ends of completions and the roles are tokens."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    learned = ByteLevelBPETokenizer()
    learned.train_from_iterator(
        texts, vocab_size=VOCABULARY, min_frequency=1, special_tokens=["<pad>", "</s>", *special], show_progress=False
    )
    return PreTrainedTokenizerFast(tokenizer_object=learned, pad_token="<pad>", eos_token="</s>")  # noqa: S106


def labelled(trajectory, form, tokenizer) -> dict[Role, list[WeightedExample]]:
    """The examples of each role as ids, cut to the length limit as training cuts them."""
    ids = lru_cache(maxsize=64)(lambda prompt: prompt_ids(tokenizer, prompt))
    window = Window(limit=LONGEST - ROOM, count=lambda prompt: len(ids(prompt)))
    found: dict[Role, list[WeightedExample]] = {}
    for role in SETS["all roles"]:
        rows = make_examples(trajectory, role, form, window).rows
        pairs = [(ids(row.prompt), completion_ids(tokenizer, row.completion, form.end)) for row in rows]
        every = [
            WeightedExample(ids=[*prompt, *said], weights=[0.0] * len(prompt) + [1.0] * len(said))
            for prompt, said in pairs
        ]
        found[role] = [example for example in every if len(example.ids) <= LONGEST]
    return found


def sizes(conversations: list[list[WeightedExample]]) -> list[int]:
    return [len(example.ids) for examples in conversations for example in examples]


def rows_of_trees(conversations: list[list[WeightedExample]]) -> list[PackedTrees]:
    trees = [tree for examples in conversations for tree in pack_prefix_trees(examples, BUDGET)]
    return [join([trees[index] for index in row]) for row in fill([tree.tokens for tree in trees], BUDGET)]


def by_length(examples: list[WeightedExample]) -> list[list[WeightedExample]]:
    longest_first = sorted(examples, key=lambda example: -len(example.ids))
    return [longest_first[at : at + GROUPED] for at in range(0, len(examples), GROUPED)]


def grouped_tokens(lengths: list[int]) -> int:
    """Tokens in batches as transformers' own sampler groups them."""
    import torch
    from transformers.trainer_pt_utils import get_length_grouped_indices

    order = get_length_grouped_indices(lengths, GROUPED, generator=torch.Generator().manual_seed(0))
    batches = [[lengths[index] for index in order[at : at + GROUPED]] for at in range(0, len(order), GROUPED)]
    return sum(len(batch) * max(batch) for batch in batches)


def tokens_computed(material: Material, roles: str) -> dict[str, int]:
    """Of the whole file, by way."""
    lengths = sizes(material.published[roles])
    grouped, alone = grouped_tokens(lengths), sum(lengths)
    trees, shared = (rows_of_trees(each[roles]) for each in (material.published, material.shared))
    ours = [sum(row.tokens for row in rows) for rows in (trees, shared)]
    found = [LONGEST * len(lengths), grouped, grouped, alone, alone, *ours]
    return dict(zip(WAYS, found, strict=True))


# --- the ways to train ------------------------------------------------------------------------------------


def padded_to(length: int, examples: list[WeightedExample]):
    """ids, mask and labels [rows, length], as a collator makes them."""
    import torch

    ids, mask = torch.zeros(len(examples), length, dtype=torch.long), torch.zeros(len(examples), length)
    labels = torch.full_like(ids, -100)
    for row, example in enumerate(examples):
        count, marked = len(example.ids), torch.tensor(example.weights) > 0
        ids[row, :count] = torch.tensor(example.ids)
        mask[row, :count] = 1
        labels[row, :count] = torch.where(marked, ids[row, :count], -100)
    return ids, mask.long(), labels


def published_way(model, batches: list[list[WeightedExample]], length: int | None = None) -> Iterator:
    """What the Trainer computes: a padding mask and the logits of every position."""
    for batch in batches:
        ids, mask, labels = padded_to(length or max(len(example.ids) for example in batch), batch)
        yield model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss


def at_best(model, batches: list[list[WeightedExample]], **inputs) -> Iterator:
    """No mask, and logits only where there is a loss."""
    from torch.nn import functional

    for batch in batches:
        ids, _, labels = padded_to(max(len(example.ids) for example in batch), batch)
        wanted = labels.roll(-1, 1) != -100
        logits = model(input_ids=ids, logits_to_keep=wanted, use_cache=False, **inputs).logits
        yield functional.cross_entropy(logits.view(-1, logits.shape[-1]), labels.roll(-1, 1)[wanted])


def packed_at_best(model, examples: list[WeightedExample]) -> Iterator:
    """Rows as TRL packs them, told apart by their positions."""
    import torch

    for row in fill([len(example.ids) for example in examples], LONGEST):
        chosen = [examples[index] for index in row]
        ids = [token for example in chosen for token in example.ids]
        whole = WeightedExample(ids=ids, weights=[weight for example in chosen for weight in example.weights])
        positions = torch.cat([torch.arange(len(example.ids)) for example in chosen])[None]
        yield from at_best(model, [[whole]], position_ids=positions)


def our_way(model, rows: list[PackedTrees]) -> Iterator:
    from alpha_umi.training.attention import packed_trees_loss, tree_attention

    with tree_attention(model):
        for row in rows:
            loss, weight = packed_trees_loss(model, row)
            yield loss / weight


def losses(way: str, model, material: Material, roles: str) -> tuple[int, Callable[[], Iterator]]:
    """How many examples a step takes, and what yields the loss of each of its parts."""
    conversations, shared = material.published[roles], material.shared[roles]
    examples = [example for each in conversations for example in each]
    parts = {
        "padded": lambda: published_way(model, [examples[:1]], LONGEST),
        "grouped": lambda: published_way(model, by_length(examples)),
        "best": lambda: at_best(model, by_length(examples)),
        "trl-best": lambda: packed_at_best(model, examples),
        "tree": lambda: our_way(model, rows_of_trees(conversations)),
        "shared": lambda: our_way(model, rows_of_trees(shared)),
    }
    return {"padded": 1, "shared": sum(map(len, shared))}.get(way, len(examples)), parts[way]


def trl_step(model, material: Material, roles: str) -> tuple[int, Callable[[], float]]:
    """TRL's trainer with its bfd packing, told to do in one step what the others do; returns that step's seconds."""
    from datasets import Dataset, disable_progress_bars
    from transformers import PrinterCallback, TrainerCallback
    from transformers.utils import logging
    from trl import SFTConfig, SFTTrainer

    disable_progress_bars()
    logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    examples = [example for each in material.published[roles] for example in each]
    masks = [[int(weight > 0) for weight in example.weights] for example in examples]
    data = Dataset.from_dict({"input_ids": [list(each.ids) for each in examples], "completion_mask": masks})
    marks = {}

    class Clock(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs) -> None:
            marks["start"] = time.perf_counter()

        def on_step_end(self, args, state, control, **kwargs) -> None:
            marks["stop"] = time.perf_counter()

    config = SFTConfig(
        output_dir=tempfile.mkdtemp(), packing=True, packing_strategy="bfd", max_length=LONGEST, bf16=False,
        per_device_train_batch_size=1, gradient_accumulation_steps=len(examples), max_steps=1, use_cpu=True,
        completion_only_loss=True, gradient_checkpointing=False, save_strategy="no", report_to=[], disable_tqdm=True,
        logging_strategy="no",
    )  # fmt: skip
    trainer = SFTTrainer(model, config, None, data, processing_class=material.tokenizer, callbacks=[Clock()])
    trainer.remove_callback(PrinterCallback)
    trainer.args.gradient_accumulation_steps = len(trainer.train_dataset)  # one step is all packed rows

    def step() -> float:
        trainer.train()
        return marks["stop"] - marks["start"]

    return len(examples), step


# --- measuring --------------------------------------------------------------------------------------------


def llama(vocabulary: int):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=vocabulary, hidden_size=320, intermediate_size=864, num_hidden_layers=8, num_attention_heads=5,
        max_position_embeddings=BUDGET, tie_word_embeddings=True, bos_token_id=None, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    return LlamaForCausalLM(shape).train()


def work(way: str, roles: str, material: Material, threads: int, pipe) -> None:
    """A process that trains in one way: a step for each message, answered with (examples, seconds, bytes)."""
    import torch

    torch.set_num_threads(threads)
    model = llama(VOCABULARY)
    if way == "trl":
        examples, step = trl_step(model, material, roles)
    else:
        examples, parts = losses(way, model, material, roles)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

        def step() -> float:
            start = time.perf_counter()
            for loss in parts():
                loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return time.perf_counter() - start

    pipe.send(examples)
    while pipe.recv():  # a daemon: it ends with the process that asks
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        seconds = step()
        peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what the next one needs
        pipe.send((seconds, peak))


WAYS = {
    "padded": "rows padded to 4,096 (published)",
    "grouped": "grouped by length, transformers' default",
    "best": "grouped by length, at best",
    "trl": "TRL SFTTrainer, bfd packing",
    "trl-best": "TRL's rows, logits where the loss is",
    "tree": "ours: trees",
    "shared": "ours: the shared layout",
}
AIMS = {  # of the set, by the way that ours is compared with: times fewer tokens, times faster
    "planner": {"padded": (6, 10), "grouped": (2, 2.5), "best": (2, 1.5), "trl": (2.1, 5), "trl-best": (2.1, 2.5)},
    "all roles": {"padded": (6.5, 10), "grouped": (2, 2.5), "best": (2, 1.5), "trl": (2.3, 5), "trl-best": (2.3, 2.5)},
    "planner and caller": {"padded": (8, None)},
    "shared": {"padded": (15, 25), "trl": (4.5, 6)},
}


def measure(material: Material, options) -> dict[tuple[str, str], tuple[list[float], int]]:
    """Of each way and set the seconds per example of every round, and the peak in bytes."""
    left_out = [("shared", "planner"), ("padded", "planner")]
    left_out += [] if find_spec("trl") else [("trl", roles) for roles in TIMED]
    jobs = [(way, roles) for roles in TIMED for way in WAYS if (way, roles) not in left_out]
    context, workers = get_context("spawn"), {}
    for way, roles in jobs:
        workers[way, roles], there = context.Pipe()
        context.Process(target=work, args=(way, roles, material, options.threads, there), daemon=True).start()
        there.close()
    examples = {job: pipe.recv() for job, pipe in workers.items()}
    found = {job: ([], 0) for job in jobs}
    for _ in range(options.rounds):
        for job, pipe in workers.items():
            pipe.send(True)
            seconds, peak = pipe.recv()
            found[job] = ([*found[job][0], seconds / examples[job]], max(found[job][1], peak))
    return found | {("padded", "planner"): found["padded", "all roles"]}


def spaced(conversations: list[list[WeightedExample]], count: int) -> list[int]:
    """Conversations at even quantiles of size."""
    order = sorted(range(len(conversations)), key=lambda index: (sum(sizes([conversations[index]])), index))
    return [order[round((number + 0.5) / count * (len(order) - 1))] for number in range(count)]


# --- the table --------------------------------------------------------------------------------------------


def times_ours(theirs: float, ours: float, aim: float | None) -> str:
    reached = "" if aim is None else f" (aim {aim:g}{'' if theirs / ours >= aim else ', MISSED'})"
    return f"{theirs / ours:.2f}x{reached}"


def show(roles: str, ours: str, tokens: dict[str, int], found, ways: list[str]) -> None:
    """One table: every way against `ours`."""
    print(f"{'':42}{'tokens':>11}  {'times ours':23}s/example  {'spread':17}{'times ours':23}peak MB  times")
    for way in ways:
        aims = AIMS["shared" if ours == "shared" else roles].get(way, (None, None))
        line = f"{WAYS[way]:42}{tokens[way]:11,}  {times_ours(tokens[way], tokens[ours], aims[0]):23}"
        times, peak = found.get((way, roles), ([], 0))
        if times:
            own_times, own_peak = found[ours, roles]
            middle, spread = statistics.median(times), f"{min(times):.3f} to {max(times):.3f}"
            ratio = times_ours(middle, statistics.median(own_times), aims[1])
            line += f"{middle:9.3f}  {spread:17}{ratio:23}{peak / 2**20:7.0f} {peak / own_peak:5.1f}x"
        elif way == "trl" and not find_spec("trl"):
            line += "  not timed: trl is not installed (make bench installs it)"
        print(line.rstrip())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "out_of_domain.json")
    parser.add_argument("--format", type=Path, default=SHARED / "formats" / "alpha_umi_v1.json")
    parser.add_argument("--conversations", type=int, default=1, help="how many are timed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="of each process; one works at a time")
    options = parser.parse_args()
    if not (options.data.is_file() and options.format.is_file()):
        print(f"train: skipped, no {options.data} or no {options.format}")
        return
    material = prepare(options.data, options.format)
    every = {roles: tokens_computed(material, roles) for roles in SETS}
    chosen = spaced(material.published["all roles"], options.conversations)
    found = measure(material.some(chosen), options)
    parameters = sum(parameter.numel() for parameter in llama(VOCABULARY).parameters())
    print(
        f"train: {platform.processor() or platform.machine()}, {os.cpu_count()} cores, {options.threads} threads, load "
        f"{os.getloadavg()[1]:.1f}, Python {platform.python_version()}; Llama of {parameters / 1e6:.1f}M parameters; "
        f"median of {options.rounds} rounds over conversations {', '.join(map(str, chosen))}"
    )
    for roles in SETS:
        print(f"\n{roles}, published prompts: {len(sizes(material.published[roles]))} examples")
        show(roles, "tree", every[roles], found, [way for way in WAYS if way != "shared"])
    print(f"\nall roles, our shared layout: {len(sizes(material.shared['all roles']))} examples")
    show("all roles", "shared", every["all roles"], found, ["padded", "trl", "tree", "shared"])


if __name__ == "__main__":
    main()
