"""Stages and runs over short trajectories of the sealed world, with models of a few thousand weights."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from alpha_umi.config import DataConfig, ModelConfig, StageConfig, TinyConfig, TrainConfig
from alpha_umi.formats.shared import SharedFormat
from alpha_umi.formats.template import TemplateFormat
from alpha_umi.models.checkpoint import load_weights
from alpha_umi.store import dump_line, encode_trajectory, write_trajectories
from alpha_umi.training.data.batches import Layout, Packing, StepData, TokenizedTrajectories, pack
from alpha_umi.training.data.corpus import Corpus, Sources
from alpha_umi.training.data.examples import make_examples
from alpha_umi.training.data.labels import Lengths, Tokeniser, Weights, label
from alpha_umi.training.data.order import Amount, order
from alpha_umi.training.sft import Stage
from alpha_umi.training.start import tiny_model
from alpha_umi.training.tokenizer import learn_tokenizer
from alpha_umi.types import Role
from alpha_umi.world import Split, World
from support.plain_format import PLAIN

FORMATS = {"shared": SharedFormat(), "template": TemplateFormat.from_document(PLAIN)}
THREE = (Role.PLANNER, Role.CALLER, Role.SUMMARIZER)
MAX_LENGTH = 400
TINY = TinyConfig(hidden_size=32, layers=2, heads=4, kv_heads=2, vocab_size=500, max_position=512)
SETTINGS = StageConfig(batch_size=6, max_steps=4, learning_rate=1e-3, warmup_ratio=0.0)
RUN = TrainConfig(
    data=DataConfig(train=("unused",)),
    model=ModelConfig(tiny=TINY),
    out="unused",
    max_length=MAX_LENGTH,
    device="cpu",
    log_every=1,
    save_every=100,
    report_to=(),
)


@cache
def gold(count=12):
    """The shortest of the first trajectories: of one and of two calls."""
    world = World()
    made = [world.gold(world.task(Split.TRAIN, index)) for index in range(40)]
    return tuple(sorted(made, key=lambda trajectory: len(dump_line(encode_trajectory(trajectory))))[:count])


@cache
def tokenizer(form="shared"):
    rows = (
        row for trajectory in gold() for role in Role for row in make_examples(trajectory, role, FORMATS[form]).rows
    )
    texts = [text for row in rows for text in (row.prompt, row.completion)]
    return learn_tokenizer(
        texts, vocab_size=TINY.vocab_size, special_tokens=FORMATS[form].special_tokens, end=FORMATS[form].end
    )


def fresh_model(form="shared", seed=0):
    return tiny_model(TINY, tokenizer(form), seed)


def tokeniser(form="shared", roles=THREE):
    lengths = Lengths(prompt=RUN.prompt_limit, example=MAX_LENGTH)
    return Tokeniser(tokenizer(form), FORMATS[form], roles, lengths)


def packing(layout="tree", tokens_per_microbatch=RUN.tokens_per_microbatch, weights=Weights(), tagging=None):  # noqa: B008
    return Packing(
        layout=Layout(layout),
        tokens_per_microbatch=tokens_per_microbatch,
        max_length=MAX_LENGTH,
        weights=weights,
        tagging=tagging,
    )


def step_data(folder, packed=None, *, form="shared", roles=THREE, settings=SETTINGS, seed=0, world_size=1):
    write_trajectories(folder / "t.jsonl", gold())
    sources = Sources(paths=[folder / "t.jsonl"], folder=folder / "cache", read_dialogues=lambda path: ())
    corpus = Corpus.open(sources)
    amount = Amount(batch_size=settings.batch_size, epochs=settings.epochs, max_steps=settings.max_steps)
    steps = order(corpus.counts(roles), amount, seed=seed)
    return StepData(TokenizedTrajectories(corpus, tokeniser(form, roles)), steps, packed or packing(), world_size)


def validation_rows(form="shared", roles=THREE, count=4, tagging=None):
    """Examples by role, each a tree of its own."""
    alone = packing("rows", tagging=tagging)
    units = [tokeniser(form, roles)(trajectory) for trajectory in gold()[-count:]]
    return {
        role.value: pack(
            [[label(one, alone.weights, tagging)] for unit in units for one in unit.examples if one.role is role], alone
        )
        for role in roles
    }


def a_stage(folder, **changes):
    """A stage of all three roles in the shared format. `run` and `settings`: changes of RUN and SETTINGS."""
    folder.mkdir(parents=True, exist_ok=True)
    form, roles = changes.pop("form", "shared"), changes.pop("roles", THREE)
    run = RUN.model_copy(update=changes.pop("run", {}))
    settings = SETTINGS.model_copy(update=changes.pop("settings", {}))
    model = changes.pop("model", None) or fresh_model(form, run.seed)
    packed = changes.pop("packing", None) or packing(run.layout, run.tokens_per_microbatch)
    return Stage(
        **{
            "name": "planner",
            "model": model,
            "data": step_data(folder, packed, form=form, roles=roles, settings=settings, seed=run.seed),
            "settings": settings,
            "run": run,
            "out": folder / "planner",
            "history": folder / "history.jsonl",
            "write": lambda part, weights: model.save_pretrained(part, state_dict=dict(weights)),
            **changes,
        }
    )


def again(stage, **changes):
    """The same stage as another process would begin it."""
    model = AutoModelForCausalLM.from_config(stage.model.config)
    return replace(stage, model=model, **changes)


def weights(folder):
    return dict(load_weights(str(folder)).named_parameters())


def distance(one, other):
    """The largest difference of two models' weights, each a folder or weights by name."""
    left, right = (weights(each) if isinstance(each, Path) else each for each in (one, other))
    assert left.keys() == right.keys()
    return max((left[name] - right[name]).abs().max().item() for name in left)


def gradients(model):
    return torch.cat([weight.grad.flatten() for weight in model.parameters()])


def gradient_distance(one, other):
    """Relative to the length of the gradient."""
    return ((gradients(one) - gradients(other)).norm() / gradients(other).norm()).item()


def tokens_of(share):
    return np.concatenate([forest.ids for forest in share.micro_batches])
