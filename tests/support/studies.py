"""Small studies for tests: a file, and what its cells would have measured."""

from alpha_umi.store import write_json
from alpha_umi.study.cells import DONE, cells, read_study
from alpha_umi.study.provenance import provenance

STUDY = """
name = "small"
seeds = [0, 1]
recipe = "tiny"
baseline = "one"

[world]
preset = "tiny"
train = 40
max_calls = 1
hallucinated = 0.0

[static]
in_domain = ["test"]
unseen = ["unseen_tool"]
tasks = 2

[live]
sets = ["test"]
tasks = 2
max_steps = 2
max_completions = 4
strategies = ["chain", "dfsdt"]

[budget]
tokens = 12_000

[bases.nothing.tiny]
hidden_size = 16
layers = 1
heads = 2
vocab_size = 400
max_position = 1024

[train]
log_every = 1
stages = { backbone = { batch_size = 2 }, planner = { batch_size = 2 }, caller = { batch_size = 1 }, \
summarizer = { batch_size = 1 } }

[variants.one]
title = "One model"
train = { method = "single" }

[variants.three]
title = "Three models"
train = { method = "glpft" }
"""


def write_study(folder, text=STUDY, **replaced):
    """The file of a study; `replaced`: what stands after `KEY = ` in place of what is there."""
    for key, value in replaced.items():
        lines = [f"{key} = {value}" if line.startswith(f"{key} = ") else line for line in text.splitlines()]
        text = "\n".join(lines)
    path = folder / "study.toml"
    path.write_text(text, encoding="utf-8")
    return path


def measured(config, cell, out, *, right=1.0, passed=True, calls=1):
    """What a cell would hold whose every step scores `right` and whose every task passes in so many calls."""
    steps = {f"{number}/task-{number}/1": dict.fromkeys(METRICS, right) for number in range(4)}
    tasks = {
        name: {"passed": passed, "calls": calls, "read": 100, "written": 10, "completions": 2, "error": ""}
        for name in ("a", "b")
    }
    stage = {"parameters": 10, "learned": 10, "steps": 5, "examples": 20, "left_out": 0, "row_tokens": 12_000}
    return {
        **provenance(config, cell, out),
        "base": cell.base,
        "variant": cell.variant,
        "seed": cell.seed,
        "stages": {"backbone": {**stage, "computed_tokens": 6_000, "seconds": 3.0, "loss": 1.0, "validation": {}}},
        "memory": 2_000_000,
        "storage": 1_000_000,
        "static": dict.fromkeys(config.static.sets, steps),
        "live": {
            strategy: {"sets": dict.fromkeys(config.live.sets, tasks), "engine": {"prefilled": 40, "shared": 60}}
            for strategy in config.live.strategies
        },
        "seconds": {"train": 3.0},
    }


METRICS = ("plan_accuracy", "action_exact_match", "argument_f1", "hallucination_rate", "rouge_l")


def finish_all(path, out):
    """A study all of whose cells are done."""
    config = read_study(str(path))
    for cell in cells(config):
        write_json(cell.folder(out) / DONE, measured(config, cell, out))
    return config
