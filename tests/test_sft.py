"""One supervised stage: the right loss, the same weights after an interruption, nothing half-written."""

import json
import os
import shutil
import signal
import threading
import time

import numpy as np
import pytest
import torch
from torch.nn import functional

from alpha_umi.config import DataConfig, ModelConfig, StageConfig, TinyConfig, TrainConfig
from alpha_umi.errors import ConfigError
from alpha_umi.models.checkpoint import load_weights
from alpha_umi.training import sft
from alpha_umi.training.optimizer import orthogonalise
from alpha_umi.training.rows import NO_LOSS, Order, Rows, collate
from alpha_umi.training.sft import Stage, finished, mean_loss, train_stage
from alpha_umi.training.start import hold_tokens, tiny_model
from tiny_models import tiny_llama, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
TINY = TinyConfig(hidden_size=32, layers=2, heads=4, kv_heads=2, max_position=128)
RUN = TrainConfig(
    data=DataConfig(train=("unused",)),
    model=ModelConfig(tiny=TINY),
    out="unused",
    max_length=128,
    device="cpu",
    log_every=1,
    save_every=2,
)
SETTINGS = StageConfig(epochs=2, batch_size=6, learning_rate=1e-3)


def some_rows(count=20, seed=0):
    random = np.random.default_rng(seed)
    lengths = [(int(random.integers(3, 30)), int(random.integers(1, 9))) for _ in range(count)]
    return Rows([[(random.integers(4, 300, a).tolist(), random.integers(4, 300, b).tolist())] for a, b in lengths])


def a_stage(folder, **changes):
    return Stage(
        **{
            "name": "planner",
            "model": tiny_model(TINY, TOKENIZER, seed=0),
            "tokenizer": TOKENIZER,
            "rows": some_rows(),
            "settings": SETTINGS,
            "run": RUN,
            "out": folder / "planner",
            "history": folder / "history.jsonl",
            **changes,
        }
    )


def weights(folder):
    return dict(load_weights(str(folder)).named_parameters())


def assert_same_weights(one, other):
    for name, value in weights(one).items():
        torch.testing.assert_close(value, weights(other)[name], rtol=0, atol=1e-7)


def gradient_distance(one, other):
    """Relative to the length of the gradient."""
    ours, theirs = (torch.cat([value.grad.flatten() for value in model.parameters()]) for model in (one, other))
    return ((ours - theirs).norm() / theirs.norm()).item()


def test_the_loss_falls_on_completions_alone_and_its_gradient_is_that_of_the_plain_way():
    rows = some_rows(5)
    ours, plain = tiny_llama(320), tiny_llama(320)
    positions = sft._LossPositions(ours)
    with positions.installed():
        loss, tokens = positions.loss(ours, collate([rows[index] for index in range(5)]))
    loss.backward()
    assert tokens == rows.completion_tokens
    total = torch.zeros(())
    for index in range(5):
        row = rows[index]
        ids = torch.from_numpy(row.ids.astype(np.int64))
        logits = plain(input_ids=ids[None]).logits[0, :-1][row.marked[1:]]
        total = total + functional.cross_entropy(logits, ids[row.marked], reduction="sum")
    total.backward()
    assert loss.item() == pytest.approx(total.item(), rel=1e-6)
    assert gradient_distance(ours, plain) < 1e-6


def test_one_row_has_the_loss_and_the_gradient_that_transformers_gives_it():
    row = some_rows(1)
    ours, theirs = tiny_llama(320), tiny_llama(320)
    batch = collate([row[0]])
    positions = sft._LossPositions(ours)
    with positions.installed():
        loss, tokens = positions.loss(ours, batch)
    (loss / tokens).backward()
    expected = theirs(input_ids=batch["input_ids"], labels=batch["labels"]).loss
    expected.backward()
    assert loss.item() / tokens == pytest.approx(expected.item(), rel=1e-6)
    assert gradient_distance(ours, theirs) < 1e-6


def test_training_lowers_the_loss_and_leaves_a_whole_folder(tmp_path):
    rows = some_rows()
    before = mean_loss(tiny_model(TINY, TOKENIZER, seed=0), rows)
    result = train_stage(a_stage(tmp_path, validation=rows), {"mark": 7})
    assert result.validation_loss < before
    assert result.steps == 8
    assert result.tokens_seen == 2 * rows.tokens
    assert mean_loss(load_weights(str(tmp_path / "planner")), rows) == pytest.approx(result.validation_loss, rel=1e-5)
    assert finished(tmp_path / "planner")["mark"] == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.jsonl", "planner"]
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 9))


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_an_interrupted_stage_ends_with_the_weights_of_an_uninterrupted_one(tmp_path, optimizer):
    settings = SETTINGS.model_copy(update={"optimizer": optimizer})
    train_stage(a_stage(tmp_path / "whole", settings=settings))
    for stop_at in (3, 5):
        stage = a_stage(tmp_path / "resumed", settings=settings)
        with pytest.raises(KeyboardInterrupt, match=r"stopped and saved at step \d of 8"):
            stop_after(stop_at, stage)
        assert not stage.out.exists()
    result = train_stage(a_stage(tmp_path / "resumed", settings=settings))
    assert result.steps == 8
    assert_same_weights(tmp_path / "whole" / "planner", tmp_path / "resumed" / "planner")
    histories = [(tmp_path / name / "history.jsonl").read_text() for name in ("whole", "resumed")]
    assert histories[0] == histories[1]


def stop_after(step, stage):
    """Train until Ctrl-C, which comes about `step`."""
    seen = threading.Event()

    def watch():
        while not seen.is_set():
            lines = stage.history.read_text().count("\n") if stage.history.exists() else 0
            if lines >= step - 1:
                os.kill(os.getpid(), signal.SIGINT)
                return

    rows = stage.rows
    original = type(rows).__getitem__

    class Slow(Rows):
        def __getitem__(self, index):
            time.sleep(0.02)
            return original(self, index)

    rows.__class__ = Slow
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        train_stage(stage)
    finally:
        seen.set()
        thread.join()


@pytest.mark.slow
def test_a_checkpoint_cut_short_by_a_crash_is_passed_over(tmp_path):
    stage = a_stage(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        stop_after(5, stage)
    newest = max(stage.checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    assert len(list(stage.checkpoints.iterdir())) == 2
    (newest / "trainer_state.json").unlink()
    train_stage(a_stage(tmp_path))
    train_stage(a_stage(tmp_path / "whole"))
    assert_same_weights(tmp_path / "planner", tmp_path / "whole" / "planner")


def test_a_loss_that_is_no_number_stops_the_stage_by_name(tmp_path):
    model = tiny_model(TINY, TOKENIZER, seed=0)
    with torch.no_grad():
        model.get_input_embeddings().weight[:] = float("nan")
    with pytest.raises(ConfigError, match=r"planner: the loss is nan at step 1; .*\[stages.planner\]"):
        train_stage(a_stage(tmp_path, model=model))
    assert not (tmp_path / "planner").exists()


def test_a_stage_without_examples_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="planner: no examples"):
        train_stage(a_stage(tmp_path, rows=Rows([])))


def test_every_epoch_has_an_order_of_its_own(tmp_path):
    epochs = []

    class Seen(Rows):
        def __getitem__(self, index):
            epochs.append(index)
            return super().__getitem__(index)

    rows = some_rows(40)
    rows.__class__ = Seen
    train_stage(a_stage(tmp_path, rows=rows))
    assert sorted(epochs[:40]) == sorted(epochs[40:]) == list(range(40))
    assert epochs[:40] != epochs[40:]


def test_the_seed_decides_the_weights(tmp_path):
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        train_stage(a_stage(tmp_path / name, run=RUN.model_copy(update={"seed": seed})))
    assert_same_weights(tmp_path / "one" / "planner", tmp_path / "again" / "planner")
    with pytest.raises(AssertionError):
        assert_same_weights(tmp_path / "one" / "planner", tmp_path / "other" / "planner")


# --- parts ------------------------------------------------------------------------------------------------


def test_a_row_too_long_is_left_out_and_none_is_cut():
    rows = Rows([[([1, 2, 3], [4, 5]), ([1, 2, 3, 4], [5, 6])]], max_length=5)
    assert (len(rows), rows.left_out, rows.tokens, rows.completion_tokens) == (1, 1, 5, 2)
    batch = collate([rows[0]])
    assert batch["labels"].tolist() == [[NO_LOSS] * 3 + [4, 5]]


def test_examples_that_continue_each_other_are_one_row_with_the_same_gradient():
    first, other = ([5, 6, 7], [8, 9]), ([5, 6], [8])
    second = ([*first[0], *first[1], 10, 11], [12, 13, 14])
    joined, apart = Rows([[first, second, other]]), Rows([[first], [second], [other]])
    assert (len(joined), len(apart)) == (2, 3)
    assert joined.examples == apart.examples == 3
    assert joined.completion_tokens == apart.completion_tokens == 6
    assert joined[0].marked.tolist() == [False] * 3 + [True] * 2 + [False] * 2 + [True] * 3
    models = []
    for rows in (joined, apart):
        model = tiny_llama(320)
        positions = sft._LossPositions(model)
        with positions.installed():
            loss, tokens = positions.loss(model, collate([rows[index] for index in range(len(rows))]))
        (loss / tokens).backward()
        models.append(model)
    assert gradient_distance(*models) < 1e-6


@pytest.mark.parametrize("count", [1, 7, 8, 213])
def test_an_order_takes_every_row_once_and_is_another_in_every_epoch(count):
    lengths = np.random.default_rng(0).integers(1, 100, count)
    order = Order(lengths, 4, seed=1)
    first = list(order)
    assert sorted(first) == list(range(count))
    assert list(order) == first
    order.start_epoch(1)
    assert sorted(order) == list(range(count))
    assert count < 20 or list(order) != first


def test_the_rows_of_a_batch_are_others_in_every_epoch_though_there_are_few():
    order = Order(np.random.default_rng(0).integers(20, 100, 60), 6, seed=1)
    epochs = []
    for epoch in range(2):
        order.start_epoch(epoch)
        rows = list(order)
        epochs.append({frozenset(rows[at : at + 6]) for at in range(0, 60, 6)})
    assert len(epochs[0] & epochs[1]) < 3


def test_rows_of_a_batch_are_about_equally_long():
    lengths = np.random.default_rng(0).integers(1, 1000, 400)
    order = list(Order(lengths, 8, seed=1))
    padded = sum(8 * lengths[order[at : at + 8]].max() for at in range(0, 400, 8))
    assert padded < 1.2 * lengths.sum()


def test_muon_s_steps_have_singular_values_about_one():
    torch.manual_seed(0)
    for shape in ((3, 8, 20), (2, 20, 8), (1, 16, 16)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)))
        assert values.max() < 1.3
        assert values.median() > 0.6


@pytest.mark.parametrize("tied", [True, False])
def test_new_special_tokens_get_the_mean_embedding(tied):
    tokenizer, model = tiny_tokenizer(), tiny_llama(len(TOKENIZER))
    model.config.tie_word_embeddings = tied
    if tied:
        model.tie_weights()
    before = model.get_input_embeddings().weight.detach().clone()
    assert hold_tokens(model, tokenizer, ["<|role|>", "<|new|>", "<|newer|>"]) == 2
    after = model.get_input_embeddings().weight
    assert after.shape[0] == len(tokenizer) == before.shape[0] + 2
    torch.testing.assert_close(after[:-2], before)
    torch.testing.assert_close(after[-1], before.mean(dim=0))
    assert tokenizer.encode("a<|new|>b", add_special_tokens=False)[1] == len(TOKENIZER)
    assert len(tokenizer.encode("<|role|>", add_special_tokens=False)) == 1


def test_a_folder_left_half_written_is_replaced(tmp_path):
    part = tmp_path / ".planner.part"
    part.mkdir()
    (part / "model.safetensors").write_text("half")
    train_stage(a_stage(tmp_path, settings=SETTINGS.model_copy(update={"max_steps": 1})))
    assert weights(tmp_path / "planner")
    assert not part.exists()
    shutil.rmtree(tmp_path)
