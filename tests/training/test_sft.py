"""One supervised stage: the loss of its examples however they are laid out, and nothing half-written."""

import itertools
import json
import os
import resource
import signal
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional

from alpha_umi.config import SpreadConfig
from alpha_umi.errors import ConfigError, StorageError
from alpha_umi.models.checkpoint import load_weights
from alpha_umi.training import distributed
from alpha_umi.training.data.labels import Weights, label
from alpha_umi.training.losses import LossComputer
from alpha_umi.training.optimizer import orthogonalise
from alpha_umi.training.sft import finished, train_stage, validate
from support.stages import (
    MAX_LENGTH,
    THREE,
    a_stage,
    distance,
    fresh_model,
    gold,
    gradient_distance,
    gradients,
    packing,
    step_data,
    tokeniser,
    validation_rows,
)
from support.stages import weights as weights_of
from support.tree_models import tiny_model as any_tiny_model


def history(folder):
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


# --- what is learned --------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["tree", "rows", "padded"])
@pytest.mark.parametrize("form", ["shared", "template"])
def test_the_loss_falls_on_completions_alone_and_its_gradient_is_that_of_the_plain_way(tmp_path, form, layout):
    weigh = Weights(thought=1.5, name=2, end=0.5)
    data = step_data(tmp_path, packing(layout, tokens_per_microbatch=450, weights=weigh), form=form)
    share, ours, plain = data[1], fresh_model(form), fresh_model(form)
    passes = LossComputer(ours, max_length=MAX_LENGTH, pad_to=MAX_LENGTH if layout == "padded" else None)
    total = 0.0
    with passes.installed():
        for forest in share.micro_batches:
            loss = passes.loss(forest)
            loss.backward()
            total += loss.item()
    assert len(share.micro_batches) > 1
    expected, weight = 0.0, 0.0
    units = [tokeniser(form)(trajectory) for trajectory in gold()]
    for example in (one for unit in units if unit.id in share.ids for one in unit.examples):
        labelled = label(example, weigh)
        ids, weighed = torch.tensor(example.ids.astype(np.int64)), torch.tensor(np.asarray(labelled.weights))
        logits = plain(input_ids=ids[None]).logits[0, :-1]
        loss = (functional.cross_entropy(logits, ids[1:], reduction="none") * weighed[1:]).sum()
        assert not weighed[: len(ids) - len(example.parts)].any()
        loss.backward()
        expected, weight = expected + loss.item(), weight + weighed.sum().item()
    assert total == pytest.approx(expected, rel=2e-6)
    assert share.weight == pytest.approx(weight)
    assert gradient_distance(ours, plain) < 2e-6


def test_a_step_has_the_mean_loss_and_the_gradient_that_transformers_gives_a_single_row(tmp_path):
    stage = a_stage(tmp_path, settings={"batch_size": 1, "max_steps": 1, "max_grad_norm": 0}, roles=THREE[2:])
    (example,) = next(
        iter(unit for unit in map(tokeniser(roles=THREE[2:]), gold()) if unit.id in stage.data[0].ids)
    ).examples
    theirs = fresh_model()
    labels = torch.full((1, len(example.ids)), -100)
    ids = torch.tensor(example.ids.astype(np.int64))[None]
    labels[0, -len(example.parts) :] = ids[0, -len(example.parts) :]
    loss = theirs(input_ids=ids, labels=labels).loss
    loss.backward()
    result = train_stage(stage)
    assert result.loss == pytest.approx(loss.item(), rel=1e-6)
    (line,) = history(tmp_path)
    assert line["grad_norm"] == pytest.approx(gradients(theirs).norm().item(), rel=1e-5)


LAYOUTS = {
    "small passes": {"tokens_per_microbatch": 450},
    "rows": {"layout": "rows", "tokens_per_microbatch": 700},
    "padded": {"layout": "padded"},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "optimizer"),
    [
        ("template", "adamw"),
        pytest.param("template", "muon", marks=pytest.mark.slow),
        pytest.param("shared", "adamw", marks=pytest.mark.slow),
        ("shared", "muon"),
    ],
)
def test_neither_layout_nor_size_of_passes_changes_the_weights(tmp_path, form, optimizer):
    make = partial(a_stage, form=form, settings={"optimizer": optimizer})
    trees = train_stage(make(tmp_path / "tree"))
    start = dict(fresh_model(form).named_parameters())
    assert distance(tmp_path / "tree" / "planner", start) > 1e-3
    for name, run in LAYOUTS.items():
        result = train_stage(make(tmp_path / name, run=run))
        assert distance(tmp_path / name / "planner", tmp_path / "tree" / "planner") < 1e-5, name
        assert (result.examples, result.alone) == (trees.examples, trees.alone)
        assert result.tokens > trees.tokens or (form, name) == ("shared", "small passes")
        assert result.loss == pytest.approx(trees.loss, rel=1e-5)
    assert trees.tokens < trees.alone / (1.5 if form == "template" else 2.5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "shape", "reason"),
    [
        ("stablelm", {}, "code of its own"),
        ("mamba", {"state_size": 4, "intermediate_size": 64}, "forgets its state"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*")
def test_an_architecture_that_trees_do_not_suit_learns_from_rows_and_says_why(tmp_path, kind, shape, reason):
    def stage(folder, **changes):
        model = any_tiny_model(kind, vocab_size=500, **shape)
        return a_stage(tmp_path / folder, model=model, settings={"max_steps": 2}, **changes)

    result = train_stage(stage("rows", packing=packing("rows")))
    assert reason in result.unsupported_reason
    assert reason in finished(tmp_path / "rows" / "planner")["result"]["unsupported_reason"]
    with pytest.raises(ValueError, match="branches"):
        train_stage(stage("trees", form="template"))
    padded = train_stage(stage("padded", run={"layout": "padded"}))
    assert padded.loss == pytest.approx(result.loss, rel=1e-5)
    assert distance(tmp_path / "rows" / "planner", tmp_path / "padded" / "planner") < 1e-5


def test_training_lowers_the_loss_and_leaves_a_whole_folder(tmp_path):
    rows = validation_rows()
    stage = a_stage(tmp_path, validation=rows, settings={"max_steps": 8, "learning_rate": 5e-3})
    result = train_stage(stage, {"mark": 7})
    lines = history(tmp_path)
    assert [line["step"] for line in lines] == list(range(1, 9))
    assert result.loss < lines[0]["loss"] - 0.5
    assert result.steps == 8
    assert (result.tokens, result.unsupported_reason) == (lines[-1]["tokens"], None)
    assert result.validation == measured(tmp_path / "planner", rows)
    assert finished(tmp_path / "planner")["mark"] == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "history.jsonl", "planner", "t.jsonl"]


def measured(folder, rows):
    """The validation of the weights in a folder."""
    model = load_weights(str(folder))
    passes = LossComputer(model.eval(), max_length=MAX_LENGTH)
    with passes.installed():
        return validate(passes, rows, Weights())


def test_bfloat16_learns_on_a_cpu(tmp_path):
    settings = {"max_steps": 8, "learning_rate": 5e-3}
    result = train_stage(a_stage(tmp_path, run={"dtype": "bfloat16"}, settings=settings))
    exact = train_stage(a_stage(tmp_path / "exact", settings=settings))
    first, last = history(tmp_path)[0], history(tmp_path)[-1]
    assert last["loss"] < first["loss"] - 0.5
    assert result.loss != exact.loss
    assert result.loss == pytest.approx(exact.loss, rel=0.02)
    assert {weight.dtype for weight in weights_of(tmp_path / "planner").values()} == {torch.float32}


def test_gradient_checkpointing_changes_nothing_but_memory(tmp_path):
    train_stage(a_stage(tmp_path / "plain", form="template"))
    train_stage(a_stage(tmp_path / "checkpointed", form="template", run={"gradient_checkpointing": True}))
    assert distance(tmp_path / "plain" / "planner", tmp_path / "checkpointed" / "planner") < 1e-6


def test_the_seed_decides_the_weights(tmp_path):
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        train_stage(a_stage(tmp_path / name, model=fresh_model(), run={"seed": seed}, settings={"max_steps": 2}))
    assert distance(tmp_path / "one" / "planner", tmp_path / "again" / "planner") == 0
    assert distance(tmp_path / "one" / "planner", tmp_path / "other" / "planner") > 0


# --- validation -------------------------------------------------------------------------------------------


def test_validation_says_for_every_role_how_often_the_words_are_exactly_those_wanted():
    torch.manual_seed(0)
    model, rows = fresh_model(), validation_rows()
    passes = LossComputer(model, max_length=MAX_LENGTH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    (easy,) = rows["summarizer"]
    with passes.installed():
        for _ in range(100):
            passes.loss(easy).backward()
            optimizer.step()
            optimizer.zero_grad()
        told = validate(passes, rows, Weights())
    assert told.keys() == {"validation_loss", *(f"validation_exact_match_{role.value}" for role in THREE)}
    plain = [words_are_met(model, example) for example in examples(THREE[2])]
    assert any(plain)
    assert told["validation_exact_match_summarizer"] == np.mean(plain)
    assert told["validation_exact_match_caller"] == np.mean([words_are_met(model, one) for one in examples(THREE[1])])
    losses = [(loss_of(model, one), len(one.parts)) for role in THREE for one in examples(role)]
    assert told["validation_loss"] == pytest.approx(sum(a for a, _ in losses) / sum(b for _, b in losses), rel=1e-5)


def test_the_loss_of_ms_swift_is_the_weighted_sum_over_the_number_of_tokens(tmp_path):
    weights = Weights(decision=2, name=2, arguments=2, mark=2, answer=0)
    for divide_by in (None, "tokens"):
        rule = replace(weights, divide_by=divide_by)
        made = step_data(tmp_path / str(divide_by), packing(weights=rule))[0]
        every = np.concatenate([packed.weights for packed in made.micro_batches])
        assert set(every) == {1, 2}  # those without a weight are left out
        assert made.weight == (np.count_nonzero(every) if divide_by else every.sum())
    rows = validation_rows()
    passes = LossComputer(fresh_model(), max_length=MAX_LENGTH)
    with passes.installed():
        by_weight, by_token = (
            validate(passes, rows, replace(Weights(), divide_by=divide_by))["validation_loss"]
            for divide_by in (None, "tokens")
        )
    assert by_weight == pytest.approx(by_token)


def examples(role):
    return [one for trajectory in gold()[-4:] for one in tokeniser()(trajectory).examples if one.role is role]


@torch.no_grad()
def words_are_met(model, example):
    """By writing them greedily, token by token."""
    prompt, wanted = example.ids[: -len(example.parts)].tolist(), example.ids[-len(example.parts) :].tolist()
    written = []
    while len(written) < len(wanted):
        written.append(int(model(input_ids=torch.tensor([prompt + written])).logits[0, -1].argmax()))
        if written[-1] != wanted[len(written) - 1]:
            return False
    return True


@torch.no_grad()
def loss_of(model, example):
    ids = torch.tensor(example.ids.astype(np.int64))
    logits = model(input_ids=ids[None]).logits[0, -len(example.parts) - 1 : -1]
    return functional.cross_entropy(logits, ids[-len(example.parts) :], reduction="sum").item()


OVERFITTING = {
    "settings": {"early_stop": 2, "learning_rate": 0.02, "batch_size": 4, "max_steps": 60, "schedule": "constant"},
    "run": {"validate_every": 3, "save_every": 4},
}


def overfitting(folder, **changes):
    """A stage that learns three trajectories by heart."""
    stage = a_stage(folder, validation=validation_rows(), **OVERFITTING, **changes)
    data = stage.data
    few = np.resize(data.steps.drawn[:3], len(data.steps.drawn))
    return replace(stage, data=type(data)(data._units, replace(data.steps, drawn=few), data._packing))


def test_a_stage_ends_when_validation_no_longer_improves_and_keeps_the_best_weights(tmp_path):
    result = train_stage(overfitting(tmp_path))
    losses = [line["validation_loss"] for line in history(tmp_path) if "validation_loss" in line]
    best = losses.index(min(losses))
    assert 0 < best == len(losses) - 3
    assert result.steps == 3 * len(losses) < 60
    assert result.validation["validation_loss"] == min(losses)
    assert measured(tmp_path / "planner", validation_rows())["validation_loss"] == pytest.approx(min(losses), rel=1e-6)
    validations = [line for line in history(tmp_path) if "validation_loss" in line]
    assert all(f"validation_exact_match_{role.value}" in line for line in validations for role in THREE)


@pytest.mark.slow
def test_a_stage_that_is_interrupted_stops_early_where_it_would_have(tmp_path):
    train_stage(overfitting(tmp_path / "whole"))
    lines = history(tmp_path / "whole")
    validations = [line for line in lines if "validation_loss" in line]
    after_best = min(validations, key=lambda line: line["validation_loss"])["step"] + 1
    for stop_at in (2, after_best, lines[-1]["step"]):
        with pytest.raises(KeyboardInterrupt):
            train_stage(interrupted(overfitting(tmp_path / "resumed"), stop_at))
    result = finished(tmp_path / "resumed" / "planner")["result"]
    assert result["steps"] == lines[-1]["step"]
    assert distance(tmp_path / "whole" / "planner", tmp_path / "resumed" / "planner") == 0
    assert without_seconds(tmp_path / "whole") == without_seconds(tmp_path / "resumed")


# --- stopping ---------------------------------------------------------------------------------------------


def interrupted(stage, step):
    """The stage with a Ctrl-C that comes when it has told of a step."""

    pressed = []

    def press(_):
        lines = stage.history.read_text().splitlines()
        if lines and not pressed and json.loads(lines[-1])["step"] == step:
            pressed.append(step)
            os.kill(os.getpid(), signal.SIGINT)

    return replace(stage, on_progress=press)


def test_a_stage_tells_its_progress_after_every_step(tmp_path):
    told = []
    stage = a_stage(tmp_path)
    train_stage(replace(stage, on_progress=told.append))
    assert [*dict.fromkeys(progress.step for progress in told)] == [1, 2, 3, 4]
    assert {(progress.stage, progress.steps) for progress in told} == {("planner", 4)}
    assert told[0].loss is None
    assert told[-1].loss == history(tmp_path)[-1]["loss"]
    assert told[-1].tokens_per_second > 0
    assert told[-1].note.startswith(f"loss {told[-1].loss:.4f}, ")


def test_the_speed_of_a_resumed_stage_leaves_out_what_was_computed_before(tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        train_stage(interrupted(a_stage(tmp_path), 1))
    before, told = history(tmp_path)[-1]["tokens"], []
    clock = itertools.count()  # a second passes from one look at the clock to the next
    monkeypatch.setattr("alpha_umi.training.callbacks.time", SimpleNamespace(monotonic=lambda: next(clock)))
    train_stage(replace(a_stage(tmp_path), on_progress=told.append))
    assert 0 < told[0].tokens_per_second <= history(tmp_path)[-1]["tokens"] - before


def without_seconds(folder):
    return [{name: value for name, value in line.items() if name != "seconds"} for line in history(folder)]


@pytest.mark.parametrize("optimizer", ["adamw", pytest.param("muon", marks=pytest.mark.slow)])
def test_an_interrupted_stage_ends_with_the_weights_of_an_uninterrupted_one(tmp_path, optimizer):
    changes = {"settings": {"optimizer": optimizer, "max_steps": 8, "schedule": "cosine"}}
    whole = train_stage(a_stage(tmp_path / "whole", **changes))
    for step in (3, 5):
        stage = interrupted(a_stage(tmp_path / "resumed", **changes), step)
        with pytest.raises(KeyboardInterrupt, match=rf"stopped and saved at step {step + 1} of 8"):
            train_stage(stage)
        assert not stage.out.exists()
    result = train_stage(a_stage(tmp_path / "resumed", **changes))
    assert replace(result, seconds=whole.seconds) == whole
    assert distance(tmp_path / "whole" / "planner", tmp_path / "resumed" / "planner") == 0
    assert without_seconds(tmp_path / "whole") == without_seconds(tmp_path / "resumed")


def test_ctrl_c_in_the_last_step_is_not_forgotten(tmp_path):
    with pytest.raises(KeyboardInterrupt, match="planner: done and saved"):
        train_stage(interrupted(a_stage(tmp_path), 3))
    assert finished(tmp_path / "planner")["result"]["steps"] == 4


@pytest.mark.slow
@pytest.mark.parametrize("leftover", [".checkpoint-4.part", ".planner.part"])
def test_what_a_crash_left_half_written_is_passed_over(tmp_path, leftover):
    with pytest.raises(KeyboardInterrupt):
        train_stage(interrupted(a_stage(tmp_path / "resumed"), 1))
    folder = tmp_path / "resumed"
    part = (folder / ".planner.checkpoints" / leftover) if "checkpoint" in leftover else folder / leftover
    part.mkdir()
    (part / "model.safetensors").write_text("half")
    train_stage(a_stage(folder))
    train_stage(a_stage(tmp_path / "whole"))
    assert distance(tmp_path / "resumed" / "planner", tmp_path / "whole" / "planner") == 0
    assert not part.exists()


def test_a_disk_that_is_full_when_the_model_is_written_leaves_the_stage_to_go_on(tmp_path):
    stage = a_stage(tmp_path / "full")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def write_on_a_full_disk(part, weights):
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
        try:
            stage.write(part, weights)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    with pytest.raises(
        StorageError, match=r"full/planner: cannot be written: File too large; about 0\.2 MB are needed"
    ):
        train_stage(replace(stage, write=write_on_a_full_disk))
    assert not stage.out.exists()
    result = train_stage(a_stage(tmp_path / "full"))
    train_stage(a_stage(tmp_path / "whole"))
    assert result.steps == 4
    assert distance(tmp_path / "full" / "planner", tmp_path / "whole" / "planner") == 0


def test_a_loss_that_is_no_number_stops_the_stage_and_names_the_trajectories(tmp_path):
    model = fresh_model()
    with torch.no_grad():
        model.get_input_embeddings().weight[:] = float("nan")
    stage = a_stage(tmp_path, model=model)
    with pytest.raises(ConfigError, match=r"planner: the loss is nan at step 1 .*\[stages.planner\]") as raised:
        train_stage(stage)
    assert len(stage.data[0].ids) > 1
    assert f"on trajectories {', '.join(stage.data[0].ids)};" in str(raised.value)
    assert not (tmp_path / "planner").exists()


def test_a_learning_rate_beyond_all_numbers_stops_the_stage_at_the_step_after(tmp_path):
    stage = a_stage(tmp_path, settings={"learning_rate": 1e30})
    with pytest.raises(ConfigError, match=r"at step 2 on trajectories .*lower learning_rate \(now 1e\+30\)") as raised:
        train_stage(stage)
    assert ", ".join(stage.data[1].ids) in str(raised.value)


def test_a_gradient_that_is_no_number_changes_no_weight(tmp_path):
    stage = a_stage(tmp_path)
    stage.model.model.norm.weight.register_hook(lambda gradient: gradient * float("inf"))
    before = {name: weight.detach().clone() for name, weight in stage.model.named_parameters()}
    with pytest.raises(ConfigError, match=r"the norm of the gradient is (inf|nan) at step 1 on trajectories"):
        train_stage(stage)
    assert distance(dict(stage.model.named_parameters()), before) == 0


def test_a_stage_without_examples_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="planner: no examples"):
        train_stage(a_stage(tmp_path, settings={"max_steps": 0}))


def test_shards_on_the_cpu_need_somebody_to_share_with(tmp_path):
    from alpha_umi.training import distributed

    with pytest.raises(ConfigError, match="cpu_offload = true works on shards; start two processes"):
        distributed.shard(fresh_model(), torch.device("meta"), distributed.Spread(offload=True))
    result = train_stage(a_stage(tmp_path, run={"spread": SpreadConfig(cpu_offload=True)}))
    assert result.steps == 4  # a CPU has nowhere to offload to


# --- parts ------------------------------------------------------------------------------------------------


def test_muon_s_steps_have_singular_values_about_one():
    torch.manual_seed(0)
    for shape in ((3, 8, 20), (2, 20, 8), (1, 16, 16)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)))
        assert values.max() < 1.3
        assert values.median() > 0.6


def test_a_pass_with_nothing_to_learn_has_gradients_of_zero():
    model = fresh_model()
    passes = LossComputer(model, max_length=MAX_LENGTH)
    with passes.installed():
        passes.idle().backward()
    assert gradients(model).abs().max() == 0
    assert len(gradients(model)) == sum(weight.numel() for weight in model.parameters())


def test_several_checkpoints_are_read_as_their_mean(tmp_path):
    model = fresh_model()
    first = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    distributed.save_weights(tmp_path / "first", model)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 2.0
    distributed.save_weights(tmp_path / "second", model)
    distributed.load_mean([tmp_path / "first", tmp_path / "second"], model)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight, first[name] + 1.0)
