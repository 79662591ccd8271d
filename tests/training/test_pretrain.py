"""Base models: a tokenizer and a small Llama from texts."""

import json

import pytest

from alpha_umi.config import PretrainConfig, make_config
from alpha_umi.errors import ConfigError, DataError
from alpha_umi.formats.shared import SharedFormat
from alpha_umi.jobs.train import pretrain, read_pretrain_config
from alpha_umi.models.checkpoint import load_tokenizer, load_weights
from alpha_umi.store import dump_line
from alpha_umi.training.pretrain import TextUnits
from alpha_umi.training.tokenizer import learn_tokenizer
from alpha_umi.world import World

SMALLEST = ("model.hidden_size=32", "model.layers=2", "model.vocab_size=400", "max_length=96", "device='cpu'")


@pytest.fixture
def texts(tmp_path):
    pages = World("small").pages
    path = tmp_path / "pages.jsonl"
    path.write_text("".join(dump_line({"text": pages[index]}) for index in range(60)))
    return path


def config(tmp_path, texts, *more):
    overrides = [f"texts='{texts}'", f"out='{tmp_path / 'run'}'", *SMALLEST, "stage.batch_size=6", *more]
    return make_config(PretrainConfig, {}, overrides)


def test_a_base_model_learns_its_texts_and_can_be_loaded(tmp_path, texts):
    folder = pretrain(config(tmp_path, texts, "stage.epochs=3", "log_every=1"), resume=False)
    history = [json.loads(line) for line in (tmp_path / "run/history/base.jsonl").read_text().splitlines()]
    assert history[-1]["loss"] < history[0]["loss"] - 0.5
    model, tokenizer = load_weights(str(folder)), load_tokenizer(str(folder))
    assert model.config.vocab_size == len(tokenizer)
    assert all(len(tokenizer.encode(token, add_special_tokens=False)) == 1 for token in SharedFormat().special_tokens)
    assert json.loads((folder / "done.json").read_text())["result"]["examples"] == 180


def test_a_text_is_learned_from_its_second_token_to_its_end_mark():
    form = SharedFormat()
    tokenizer = learn_tokenizer(["a b c"], vocab_size=300, special_tokens=form.special_tokens, end=form.end)
    units = TextUnits(["a b", "abc" * 90], tokenizer, tokenizer.eos_token_id, max_length=20)
    (example,) = units[0].examples
    assert tokenizer.decode(example.ids[1:-1]) == "a b"
    assert (example.ids[0], example.ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert len(example.parts) == len(example.ids) - 1
    assert not example.cut
    assert len(units[1].examples[0].ids) == 20
    assert units[1].examples[0].cut


def test_a_run_goes_on_only_as_it_began(tmp_path, texts):
    first = config(tmp_path, texts, "stage.max_steps=2")
    folder = pretrain(first, resume=False)
    with pytest.raises(ConfigError, match="--resume"):
        pretrain(first, resume=False)
    assert pretrain(first, resume=True) == folder
    with pytest.raises(ConfigError, match=r"stage\.max_steps was 2, is 3"):
        pretrain(config(tmp_path, texts, "stage.max_steps=3"), resume=True)
    texts.write_text(dump_line({"text": "other"}))
    with pytest.raises(ConfigError, match="other texts"):
        pretrain(first, resume=True)


@pytest.mark.parametrize("line", ['{"page": "x"}', '{"text": ""}', '{"text": 3}', "[]"])
def test_a_line_without_text_is_named_and_nothing_is_left(tmp_path, texts, line):
    texts.write_text(dump_line({"text": "good"}) + line + "\n")
    with pytest.raises(DataError, match=r"pages\.jsonl:2: not a text"):
        pretrain(config(tmp_path, texts), resume=False)
    assert not (tmp_path / "run").exists()


def test_recipes_for_base_models_are_found_by_name(tmp_path):
    for name in ("base-tiny", "base-small"):
        assert read_pretrain_config(name).model.vocab_size == 1536
    with pytest.raises(ConfigError, match="base-small, base-tiny"):
        read_pretrain_config("base-large")
