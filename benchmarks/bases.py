"""What base models can do before any trajectory: the share of copied lines of unseen pages that they get right.

python benchmarks/bases.py --base runs/base-mini/base --base src/alpha_umi/bundled/umi-tiny/base

A line counts when every token of it is the most likely one after the true text before, so greedy writing would copy it
whole. Only lines that follow from the page are asked for: a list again, a key's value, a cell, a tool's name for what
it is documented to do, and its arguments as JSON. Pages are of another history of the world than those learned from.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import torch

from alpha_umi.models.checkpoint import load_tokenizer, load_weights
from alpha_umi.world import PRESETS
from alpha_umi.world.pages import Pages


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", action="append", required=True, help="a folder or a hub id; may be given again")
    parser.add_argument("--pages", type=int, default=1000)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--seed", type=int, default=1, help="the history of the pages; bases learned from 0")
    asked = parser.parse_args()
    pages = Pages(PRESETS[asked.preset].open(), asked.preset, asked.seed)
    texts = [pages[index] for index in range(asked.pages)]
    print(
        "| base | weights | "
        + " | ".join(("a list again", "a key's value", "a cell", "a tool's name", "its JSON"))
        + " |"
    )
    print("|" + "---|" * 7)
    for base in asked.base:
        model, tokenizer = load_weights(base).eval(), load_tokenizer(base)
        tally = defaultdict(list)
        for text in texts:
            for kind, right in judged(text, model, tokenizer):
                tally[kind].append(right)
        weights = sum(weight.numel() for weight in model.parameters())
        cells = [f"{100 * sum(tally[kind]) / len(tally[kind]):.1f} of {len(tally[kind])}" for kind in KINDS]
        print(f"| {Path(base).parent.name}/{Path(base).name} | {weights:,} | " + " | ".join(cells) + " |")


KINDS = ("list", "value", "cell", "name", "json")


def judged(text, model, tokenizer):
    """(kind, whether it is copied) of every line that follows from what stands before it."""
    lines = text.split("\n")
    kinds = [*kinds_of(lines)]
    if not any(kinds):
        return
    encoded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False, truncation=True, max_length=512)
    tokens = torch.tensor([encoded["input_ids"]])
    with torch.inference_mode():
        likely = model(tokens).logits[0, :-1].argmax(-1)
    right = [True, *(likely == tokens[0, 1:]).tolist()]
    start = 0
    for line, (kind, given) in zip(lines, kinds, strict=True):
        own = [
            place
            for place, (low, high) in enumerate(encoded["offset_mapping"])
            if low >= start + given and high <= start + len(line) and high > low
        ]
        if kind and own and encoded["offset_mapping"][-1][1] >= start + len(line):
            yield kind, all(right[place] for place in own)
        start += len(line) + 1


def kinds_of(lines):
    """Of each line its kind, if it follows from what is above, and how many of its characters are given."""
    head = lines[0]
    table, record = " | " in head, ": {" in head and " — " not in head
    for place, line in enumerate(lines):
        above = lines[place - 1] if place else ""
        if place and line == head and ", " in head:
            yield "list", 0
        elif place and (table or record) and line.startswith("The ") and " is " in line:
            yield ("cell" if table else "value"), line.index(" is ") + 4
        elif above.startswith("I need ") and " I will use " in above:
            yield "name", 0
        elif place > 1 and line.startswith("{") and " I will use " in lines[place - 2]:
            yield "json", 0
        else:
            yield "", 0


if __name__ == "__main__":
    main()
