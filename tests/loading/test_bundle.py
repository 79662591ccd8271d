"""A run that is given away: all that its agent needs, nothing that only its training needed."""

import json
import shutil

import pytest

from alpha_umi.config import ModelConfig, PretrainConfig, make_config
from alpha_umi.errors import ConfigError
from alpha_umi.jobs.ask import ask
from alpha_umi.jobs.bundle import Parcel, bundle
from alpha_umi.jobs.train import pretrain, train
from alpha_umi.loading.agents import read_agent
from alpha_umi.store import dump_line, write_trajectories
from alpha_umi.world import World
from support.stages import RUN, gold

SMALL = ("model.hidden_size=32", "model.layers=2", "model.vocab_size=400", "max_length=96", "device='cpu'")


@pytest.fixture(scope="module")
def parcel(tmp_path_factory):
    """A base of four steps, and a run from it with adapters."""
    desk = tmp_path_factory.mktemp("desk")
    texts = desk / "pages.jsonl"
    pages = World("small").pages
    texts.write_text("".join(dump_line({"text": pages[index]}) for index in range(20)))
    reading = [f"texts='{texts}'", f"out='{desk / 'base'}'", *SMALL, "stage.max_steps=2"]
    base = pretrain(make_config(PretrainConfig, {}, reading), resume=False)
    write_trajectories(desk / "train.jsonl", gold(4))
    stages = {name: {"max_steps": 1, "batch_size": 4} for name in ("backbone", "roles")}
    document = RUN.model_dump(exclude_none=True) | {
        "data": {"train": str(desk / "train.jsonl")},
        "model": ModelConfig(base=str(base)).model_dump(exclude_none=True),
        "out": str(desk / "run"),
        "adapter": {"kind": "alora", "rank": 2},
        "stages": stages,
    }
    run = train(make_config(type(RUN), document), resume=False)
    (desk / "card.md").write_text("# A card\n")
    return Parcel(run=run, out=desk / "given", preset="tiny", base=desk / "base", card=desk / "card.md")


def test_an_agent_is_whole_without_its_run(parcel):
    size = bundle(parcel)
    try:
        files = {str(path.relative_to(parcel.out)) for path in parcel.out.rglob("*") if path.is_file()}
        assert {"umi.toml", "format.json", "provenance.json", "README.md", "base/model.safetensors"} <= files
        assert {"history/base.jsonl", "history/backbone.jsonl", "history/roles.jsonl"} <= files
        assert not [name for name in files if "cache" in name or "curves" in name or name == "config.toml"]
        assert size == sum(path.stat().st_size for path in parcel.out.rglob("*") if path.is_file())
        made = json.loads((parcel.out / "provenance.json").read_text())
        assert (made["agent"], made["preset"]) == ("given", "tiny")
        kept = parcel.run.with_name("away")
        parcel.run.rename(kept)
        try:
            agent = read_agent(parcel.out)
            assert agent.provenance is not None
            asked = ask("Where is Rome?", tools=[], agent=parcel.out)
        finally:
            kept.rename(parcel.run)
        assert asked.turns
    finally:
        shutil.rmtree(parcel.out)


def test_what_cannot_be_given_away_is_said_and_nothing_is_left(parcel, tmp_path):
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="no finished run"):
        bundle(Parcel(run=unfinished, out=out, preset="tiny"))
    with pytest.raises(ConfigError, match="no run of 'umi pretrain'"):
        bundle(Parcel(run=parcel.run, out=out, preset="tiny", base=tmp_path))
    with pytest.raises(ConfigError, match="is there already"):
        bundle(Parcel(run=parcel.run, out=unfinished, preset="tiny"))
    with pytest.raises(ConfigError, match="unknown world preset"):
        bundle(Parcel(run=parcel.run, out=out, preset="huge"))
    agent = tmp_path / "elsewhere"
    agent.mkdir()
    text = (parcel.run / "umi.toml").read_text().replace('"backbone"', f'"{parcel.run / "backbone"}"')
    (agent / "umi.toml").write_text(text.replace('"format.json"', '"shared"'))
    with pytest.raises(ConfigError, match="outside of"):
        bundle(Parcel(run=agent, out=out, preset="tiny"))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".out") or path == out]
