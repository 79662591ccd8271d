"""A run that is given away: all that its agent needs, nothing that only its training needed."""

import json
import shutil

import pytest

from alpha_umi.config import ModelConfig, PretrainConfig, TrainConfig, load_config, make_config
from alpha_umi.errors import ConfigError
from alpha_umi.jobs.adapters import AdapterOptions, export_adapters
from alpha_umi.jobs.ask import ask
from alpha_umi.jobs.bundle import BundleOptions, bundle
from alpha_umi.jobs.train import pretrain, train
from alpha_umi.loading.agents import read_agent
from alpha_umi.store import dump_line, write_trajectories
from alpha_umi.world import World
from support.stages import RUN, gold

pytestmark = pytest.mark.slow
SMALL = ("model.hidden_size=32", "model.layers=2", "model.vocab_size=400", "max_length=96", "device='cpu'")


@pytest.fixture(scope="module")
def options(tmp_path_factory):
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
    return BundleOptions(run=run, out=desk / "given", preset="tiny", base=desk / "base", card=desk / "card.md")


def test_an_agent_is_whole_without_its_run(options):
    size = bundle(options)
    try:
        files = {str(path.relative_to(options.out)) for path in options.out.rglob("*") if path.is_file()}
        assert {"umi.toml", "format.json", "provenance.json", "README.md", "base/model.safetensors"} <= files
        assert {"history/base.jsonl", "history/backbone.jsonl", "history/roles.jsonl"} <= files
        assert not [name for name in files if "cache" in name or "curves" in name or name == "config.toml"]
        assert size == sum(path.stat().st_size for path in options.out.rglob("*") if path.is_file())
        made = json.loads((options.out / "provenance.json").read_text())
        assert (made["agent"], made["preset"]) == ("given", "tiny")
        kept = options.run.with_name("away")
        options.run.rename(kept)
        try:
            agent = read_agent(options.out)
            assert agent.provenance is not None
            asked = ask("Where is Rome?", tools=[], agent=options.out)
        finally:
            kept.rename(options.run)
        assert asked.turns
    finally:
        shutil.rmtree(options.out)


def test_what_cannot_be_given_away_is_said_and_nothing_is_left(options, tmp_path):
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="no finished run"):
        bundle(BundleOptions(run=unfinished, out=out, preset="tiny"))
    with pytest.raises(ConfigError, match="no run of 'umi pretrain'"):
        bundle(BundleOptions(run=options.run, out=out, preset="tiny", base=tmp_path))
    with pytest.raises(ConfigError, match="is there already"):
        bundle(BundleOptions(run=options.run, out=unfinished, preset="tiny"))
    with pytest.raises(ConfigError, match="unknown world preset"):
        bundle(BundleOptions(run=options.run, out=out, preset="huge"))
    agent = tmp_path / "elsewhere"
    agent.mkdir()
    text = (options.run / "umi.toml").read_text().replace('"backbone"', f'"{options.run / "backbone"}"')
    (agent / "umi.toml").write_text(text.replace('"format.json"', '"shared"'))
    with pytest.raises(ConfigError, match="outside of"):
        bundle(BundleOptions(run=agent, out=out, preset="tiny"))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".out") or path == out]


# --- adapters over a base model that stays where it is ---


def test_adapters_are_an_agent_with_the_named_base(options, tmp_path):
    document = load_config(TrainConfig, options.run / "config.toml").model_dump(exclude_none=True)
    base = tmp_path / "named"
    shutil.copytree(options.run / "backbone", base)
    changes = {"method": "one-stage", "model": {"base": str(base)}, "out": str(tmp_path / "run"), "save_every": 1}
    run = train(make_config(TrainConfig, document | changes), resume=False)
    export = AdapterOptions(run=run, out=tmp_path / "given", base=str(base), preset="tiny")
    done = export_adapters(export)
    assert done.steps == [1]
    assert done.size < 2 * 2**20
    assert not list(export.out.rglob("*tokenizer*"))
    agent = read_agent(export.out)
    assert agent.constrained
    assert agent.roles.planner.model == str(base)
    shutil.rmtree(run)
    query = "Where is Rome?"
    assert ask(query, tools=[], agent=export.out).task.query == query


def test_one_lora_of_all_roles_is_an_agent_and_role_adapters_lie_on_it(options, tmp_path):
    document = load_config(TrainConfig, options.run / "config.toml").model_dump(exclude_none=True)
    base = tmp_path / "named"
    shutil.copytree(options.run / "backbone", base)
    one = document["adapter"] | {"backbone": "lora"}
    changes = {"method": "multi-task", "model": {"base": str(base)}, "out": str(tmp_path / "run"), "adapter": one}
    run = train(make_config(TrainConfig, document | changes), resume=False)
    whole = tmp_path / "whole"
    assert export_adapters(AdapterOptions(run=run, out=whole, base=str(base))).steps == [1]
    assert read_agent(whole).provenance is None  # of no world
    roles = read_agent(whole).roles
    assert (roles.planner.merged_adapter, roles.planner.adapter) == (str(whole / "backbone"), None)
    on_top = {"base": str(base), "merged_adapter": str(whole / "backbone")}
    changes = {"method": "one-stage", "model": on_top, "out": str(tmp_path / "roles")}
    further = train(make_config(TrainConfig, document | changes), resume=False)
    given = AdapterOptions(run=further, out=tmp_path / "given", base=str(base), preset="tiny")
    export_adapters(given)
    shutil.rmtree(whole)
    roles = read_agent(given.out).roles
    assert roles.caller.merged_adapter == str(given.out / "backbone")
    assert roles.caller.adapter == str(given.out / "roles" / "caller")
    assert ask("Where is Rome?", tools=[], agent=given.out).task.query == "Where is Rome?"


def test_adapters_that_lie_on_a_model_of_the_run_are_not_exported_alone(options, tmp_path):
    with pytest.raises(ConfigError, match="no adapters on the base model alone"):
        export_adapters(AdapterOptions(run=options.run, out=tmp_path / "given", base="x/y", preset="tiny"))
