"""Every method from data to an agent: a run directory that describes itself, goes on where it was, and is one run."""

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel

from alpha_umi.config import AgentConfig, TrainConfig, load_config
from alpha_umi.deprecation import RenamedWarning
from alpha_umi.errors import CheckpointError, ConfigError
from alpha_umi.formats.tokens import decode, prompt_ids
from alpha_umi.jobs.predict import PredictOptions, predict
from alpha_umi.loading.agents import read_agent
from alpha_umi.models.adapter_files import load_adapters, read_adapter
from alpha_umi.models.adapters import ADAPTERS, AdapterKind, AdapterSettings, attach
from alpha_umi.models.checkpoint import load_tokenizer, load_weights
from alpha_umi.preparation.processed import read_processed_file
from alpha_umi.roles import OPTIONAL_ROLES
from alpha_umi.store import read_trajectories, write_trajectories
from alpha_umi.training import glpft
from alpha_umi.training.data.examples import make_examples
from alpha_umi.training.data.labels import AdapterAssignment
from alpha_umi.training.glpft import TrainInputs
from alpha_umi.training.planning.survey import survey
from alpha_umi.training.sft import train_stage
from alpha_umi.training.start import cast_frozen
from alpha_umi.types import Answer, Decision, Observation, Plan, Role, Trajectory
from support.stages import FORMATS, THREE, a_stage, distance, fresh_model, gold, packing, tokenizer

CONFIG = """
out = "run"
max_length = 400
log_every = 1
device = "cpu"
report_to = []
[data]
train = "t.jsonl"
[model.tiny]
hidden_size = 32
layers = 1
heads = 2
vocab_size = 400
max_position = 400
[stages]
backbone = { max_steps = 2, batch_size = 2, learning_rate = 1e-3 }
planner = { max_steps = 2, batch_size = 2, learning_rate = 1e-3 }
caller = { max_steps = 2, batch_size = 2, learning_rate = 1e-3 }
summarizer = { max_steps = 2, batch_size = 2, learning_rate = 1e-3 }
roles = { max_steps = 3, batch_size = 4, learning_rate = 2e-2, warmup_ratio = 0 }
"""
LOUD = ("stages.planner.learning_rate=2e-2", "stages.caller.learning_rate=2e-2", "stages.summarizer.learning_rate=2e-2")
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing")  # PEFT's
INPUTS = TrainInputs(format=FORMATS["shared"], read_dialogues=read_processed_file)


@pytest.fixture
def config(tmp_path):
    (tmp_path / "train.toml").write_text(CONFIG)
    write_trajectories(tmp_path / "t.jsonl", gold())

    def load(*overrides):
        return load_config(TrainConfig, tmp_path / "train.toml", overrides)

    return load


def done(out, name):
    return json.loads((out / name / "done.json").read_text())


# --- nothing to learn from ---


def long_answers(folder):
    """Trajectories whose answers are longer than any limit here, so that only the summarizer learns nothing."""
    long = [replace(each, turns=(*each.turns[:-1], Answer(text="far too long " * 900))) for each in gold()]
    write_trajectories(folder / "t.jsonl", long)


@pytest.mark.parametrize("kind", ["none", "lora", "alora"])
def test_a_role_whose_examples_are_all_too_long_stops_the_run_and_its_plan_before_they_start(config, tmp_path, kind):
    long_answers(tmp_path)
    run = config(f"adapter.kind={kind}")
    for begin in (lambda: glpft.run(run, INPUTS), lambda: survey(run, INPUTS, 4)):
        with pytest.raises(ConfigError, match=r"summarizer: no examples to train on; all 7 are longer .*max_length"):
            begin()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.jsonl", "train.toml"]


def test_a_role_without_a_step_stops_the_run_before_it_starts(config, tmp_path):
    answers = [
        replace(each, turns=(each.turns[0], Plan(thought="k", decision=Decision.CONCLUDE), each.turns[-1]))
        for each in gold()
    ]
    write_trajectories(tmp_path / "t.jsonl", answers)
    for begin in (lambda: glpft.run(config(), INPUTS), lambda: survey(config(), INPUTS, 4)):
        with pytest.raises(ConfigError, match="caller: no examples to train on; no trajectory has a step"):
            begin()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.jsonl", "train.toml"]


def test_one_model_for_all_roles_needs_one_example(config, tmp_path):
    long_answers(tmp_path)
    assert (glpft.run(config("method=multi-task"), INPUTS) / "umi.toml").exists()


# --- the run directory ------------------------------------------------------------------------------------


def test_a_run_directory_holds_an_agent(config):
    out = glpft.run(config(), INPUTS)
    agent = load_config(AgentConfig, out / "umi.toml")
    assert agent.trained_tools
    metrics = json.loads((out / "metrics.json").read_text())
    for role in (role for role in Role if role not in OPTIONAL_ROLES):
        model = agent.roles.get(role)
        assert model.model == str(out / role.value)
        assert load_weights(model.model).num_parameters() == metrics[role.value]["parameters"]
        assert metrics[role.value]["learned"] == metrics[role.value]["parameters"]
        assert (out / "history" / f"{role.value}.jsonl").read_text().count("\n") == 2
        result = metrics[role.value]["result"]
        assert 0 < result["tokens"] <= result["alone"]
        assert result["examples"] >= 4
    assert agent.format == str(out / "format.json")
    assert agent.max_input_tokens == config().prompt_limit
    assert json.loads((out / "format.json").read_text()) == FORMATS["shared"].to_document()
    assert load_config(TrainConfig, out / "config.toml") == config()
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_a_run_goes_on_after_its_finished_stages(config):
    out = glpft.run(config(), INPUTS)
    first = (out / "planner" / "model.safetensors").read_bytes()
    written = (out / "backbone" / "model.safetensors").stat().st_mtime_ns
    for name in ("planner", "caller"):
        (out / name / "done.json").unlink()
    (out / "umi.toml").unlink()
    assert glpft.run(config("save_every=7", "tokens_per_microbatch=500"), INPUTS, resume=True) == out
    assert (out / "backbone" / "model.safetensors").stat().st_mtime_ns == written
    assert (out / "planner" / "model.safetensors").read_bytes() == first
    assert (out / "umi.toml").exists()


def test_a_run_of_the_previous_version_goes_on_under_its_old_key_for_micro_batches(config):
    out = glpft.run(config(), INPUTS)
    kept = out / "config.toml"
    assert "tokens_per_microbatch" in kept.read_text()
    kept.write_text(kept.read_text().replace("tokens_per_microbatch", "tokens_per_pass"))
    assert glpft.run(config(), INPUTS, resume=True) == out
    with pytest.warns(RenamedWarning, match="'tokens_per_pass' is called 'tokens_per_microbatch' now"):
        assert load_config(TrainConfig, kept) == config()


def test_a_directory_holds_one_run(config, tmp_path):
    out = glpft.run(config(), INPUTS)
    with pytest.raises(ConfigError, match="--resume"):
        glpft.run(config(), INPUTS)
    with pytest.raises(ConfigError, match=r"stages\.planner\.max_steps was 2, is 3"):
        glpft.run(config("stages.planner.max_steps=3"), INPUTS, resume=True)
    write_trajectories(tmp_path / "t.jsonl", gold()[:-1])
    with pytest.raises(ConfigError, match="trained on other data"):
        glpft.run(config(), INPUTS, resume=True)
    (out / "config.toml").unlink()
    with pytest.raises(ConfigError, match="no run directory"):
        glpft.run(config(), INPUTS)


def test_roles_start_from_the_backbone_and_a_backbone_from_a_checkpoint(config):
    small = ("stages.planner.learning_rate=1e-9", "stages.backbone.learning_rate=5e-3")
    base = glpft.run(config("out=base", *small), INPUTS) / "backbone"
    assert distance(base.parent / "planner", base) < 1e-7 < 1e-4 < distance(base.parent / "caller", base)
    text = config().model_dump(exclude={"model"}) | {"model": {"base": str(base)}, "method": "single"}
    started = TrainConfig.model_validate(text)
    out = glpft.run(started, INPUTS)
    assert load_tokenizer(str(out / "backbone")).get_vocab() == load_tokenizer(str(base)).get_vocab()
    assert done(out, "backbone")["result"]["loss"] < done(base.parent, "backbone")["result"]["loss"] - 0.1
    too_long = started.model_copy(update={"max_length": 401, "out": str(out) + "2"})
    with pytest.raises(CheckpointError, match="reads 400 tokens at most"):
        glpft.run(too_long, INPUTS)


def test_long_observations_are_cut_and_counted_and_completions_never(config, tmp_path):
    two = next(one for one in gold() if len(make_examples(one, Role.PLANNER, INPUTS.format).rows) == 2)
    turns = tuple(Observation(content="rain 24 " * 80) if isinstance(turn, Observation) else turn for turn in two.turns)
    write_trajectories(tmp_path / "t.jsonl", [Trajectory(task=two.task, turns=turns)])
    once = ("stages.planner.max_steps=1", "stages.summarizer.max_steps=1", "stages.summarizer.batch_size=1")
    out = glpft.run(config("method=one-stage", *once), INPUTS)
    result = done(out, "planner")["result"]
    assert (result["examples"], result["cut"], result["left_out"]) == (2, 1, 0)


def test_examples_over_the_limit_are_left_out_and_counted(config):
    out = glpft.run(config("max_length=200", "max_input_tokens=190", "method=single"), INPUTS)
    everything = glpft.run(config("out=all", "method=single"), INPUTS)
    less, all_ = done(out, "backbone")["result"], done(everything, "backbone")["result"]
    assert all_["left_out"] == 0
    assert less["left_out"] > 0
    assert less["examples"] + less["left_out"] == all_["examples"]


def test_special_tokens_of_the_format_are_single_in_every_model(config):
    form = FORMATS["shared"]
    out = glpft.run(config(), INPUTS)
    words = load_tokenizer(str(out / "summarizer"))
    for token in form.special_tokens:
        ids = words.encode(token, add_special_tokens=False)
        assert len(ids) == 1
        assert decode(words, [*ids, words.eos_token_id], form.end) == token
    assert tomllib.loads((out / "umi.toml").read_text())["roles"]["planner"]["model"] == "planner"


# --- methods ----------------------------------------------------------------------------------------------


def test_single_is_the_backbone_alone(config):
    out = glpft.run(config("method=single"), INPUTS)
    agent = read_agent(out)
    assert (agent.roles.backbone.model, agent.roles.planner) == (str(out / "backbone"), None)
    assert predicted(out, config)


def test_multi_task_is_one_model_that_plays_all_roles(config):
    out = glpft.run(config("method=multi-task"), INPUTS)
    agent = read_agent(out)
    assert {agent.roles.get(role).model for role in THREE} == {str(out / "multi-task")}
    assert not (out / "backbone").exists()
    assert predicted(out, config)


@pytest.mark.slow
def test_without_reuse_the_stages_learn_from_different_queries(config):
    often = [f"stages.{name}.max_steps=12" for name in ("backbone", "planner", "caller", "summarizer")]
    out = glpft.run(config("method=glpft-without-reuse", *often), INPUTS)
    learned = [ids_in(folder) for folder in (out / "cache").glob("tokens-*")]
    assert len(learned) == 4
    (backbone,) = [ids for ids in learned if all(ids is other or not ids & other for other in learned)]
    assert backbone
    assert set().union(*learned) == {trajectory.task.id for trajectory in gold()}


def ids_in(cache):
    """Of the trajectories that were tokenised for one set of roles."""
    return {name.decode() for path in cache.iterdir() for name in re.findall(rb"tiny-0-train-\d+", path.read_bytes())}


# --- adapters ---------------------------------------------------------------------------------------------


def predicted(out, config):
    """The rows that the agent of a run directory predicts for a trajectory."""
    rows = out.parent / f"{out.name}.json"
    data = Path(config().data.train[0])
    options = PredictOptions(agent=read_agent(out), data=data, out=rows, limit=1)
    predict(options, lambda done, total: None)
    return json.loads(rows.read_text())


def agrees_with_peft(base, folder, role, ids):
    """Logits of an adapter by plain PEFT, by our own loading, and by the base alone."""
    with torch.no_grad():
        bare = load_weights(str(base)).eval()(input_ids=torch.tensor([ids])).logits[0]
        theirs = (
            PeftModel.from_pretrained(load_weights(str(base)), folder).eval()(input_ids=torch.tensor([ids])).logits[0]
        )
        model = load_weights(str(base)).eval()
        adapters = load_adapters(model, {role: str(folder)})
        start = adapters.active_from(role, ids)
        numbers = torch.tensor([0] * start + [ADAPTERS[role]] * (len(ids) - start))
        with adapters.select(numbers):
            ours = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
    return start, bare, ours


def a_row(folder, role):
    """The ids of a prompt and a completion, and how long the prompt is."""
    words = load_tokenizer(str(folder))
    row = make_examples(gold()[3], role, INPUTS.format).rows[-1]
    prompt = prompt_ids(words, row.prompt)
    return [*prompt, *words.encode(row.completion, add_special_tokens=False)], len(prompt)


ALORA = ("adapter.kind=alora", "adapter.rank=4")


def test_three_activated_adapters_learn_in_one_pass_and_play_the_roles(config):
    out = glpft.run(config(*ALORA), INPUTS)
    assert sorted(path.name for path in (out / "roles").iterdir()) == ["caller", "done.json", "planner", "summarizer"]
    agent = read_agent(out)
    for role in THREE:
        folder = out / "roles" / role.value
        assert (agent.roles.get(role).model, agent.roles.get(role).adapter) == (str(out / "backbone"), str(folder))
        ids, prompt = a_row(out / "backbone", role)
        start, bare, ours = agrees_with_peft(out / "backbone", folder, role, ids)
        assert start == prompt - 1
        assert torch.equal(bare[:start], ours[:start])
        assert (bare[start:] - ours[start:]).abs().max() > 1e-2
    assert done(out, "roles")["learned"] < done(out, "roles")["parameters"]
    result = done(out, "roles")["result"]
    assert result["unsupported_reason"] is None
    apart = glpft.run(config("out=apart", "adapter.kind=lora", "adapter.joint=true", "adapter.rank=4"), INPUTS)
    assert result["alone"] == done(apart, "roles")["result"]["alone"]
    assert result["tokens"] < 0.6 * done(apart, "roles")["result"]["tokens"]  # the trunk is the base's, for all three
    assert predicted(out, config)


def test_under_bfloat16_what_is_frozen_is_narrow_while_it_is_used_and_kept_as_it_was(config):
    base = glpft.run(config("out=base", "method=single"), INPUTS) / "backbone"
    text = (base.parent.parent / "train.toml").read_text()
    table = text[text.index("[model.tiny]") : text.index("[stages]")]
    (base.parent.parent / "train.toml").write_text(text.replace(table, f'[model]\nbase = "{base}"\n'))
    lora = ("adapter.kind=lora", "adapter.backbone=lora", "adapter.rank=4")
    out = glpft.run(config("out=narrow", "method=single", "dtype=bfloat16", *lora), INPUTS)
    before, after = load_weights(str(base)).state_dict(), load_weights(str(out / "backbone")).state_dict()
    assert {weight.dtype for weight in after.values()} == {torch.float32}
    changed = {name for name, weight in before.items() if not torch.equal(weight, after[name])}
    assert changed == {name for name in before if "_proj" in name}


def test_what_learns_is_never_narrow():
    model = fresh_model()
    attach(model, AdapterSettings(kind=AdapterKind.LORA, rank=2), THREE, invocations={}, seed=0)
    cast_frozen(model, torch.bfloat16)
    kinds = {(weight.requires_grad, weight.dtype) for weight in model.parameters()}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}


def test_an_adapter_that_nothing_wakes_is_refused_before_anything_is_trained(config):
    template = TrainInputs(format=FORMATS["template"], read_dialogues=read_processed_file)
    with pytest.raises(ConfigError, match="format 'plain' has none for planner, caller, summarizer"):
        glpft.run(config(*ALORA), template)
    assert not Path(config().out).exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(AdapterKind))
def test_adapters_learn_the_same_in_every_layout_and_the_base_stands_still(tmp_path, kind):
    words, form = tokenizer(), FORMATS["shared"]
    woken = {role: words.encode(form.role_token(role), add_special_tokens=False) for role in THREE}
    tagging = AdapterAssignment(numbers=ADAPTERS, from_role_token=kind is AdapterKind.ALORA)
    learned = {}
    for layout in ("tree", "rows", "padded"):
        model = fresh_model()
        before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
        attach(model, AdapterSettings(kind=kind, rank=4), THREE, invocations=woken)
        start = {name: weight.detach().clone() for name, weight in model.named_parameters()}
        train_stage(
            a_stage(
                tmp_path / layout,
                model=model,
                run={"layout": layout, "tokens_per_microbatch": 700},
                settings={"learning_rate": 1e-2},
                packing=packing(layout, 700, tagging=tagging),
                write=lambda part, weights: None,
            )
        )
        after = dict(model.named_parameters())
        assert all(torch.equal(after[name], before[name]) for name in before)
        learned[layout] = {name: after[name].detach() for name in after if name not in before}
        moved = {name: (after[name] - start[name]).abs().max().item() for name in learned[layout]}
        assert min(moved.values()) > 1e-3, min(moved, key=moved.get)
    # An early step of Adam is the rate times a gradient over its own size: where a gradient is near zero, its rounding
    # (layouts sum in other orders) is a part of the step. Measured by the same comparison: up to 9.7e-6 (LoRA) and
    # 7.1e-6 (activated) in single precision, 1.4e-8 and 1.0e-14 in double; the bound is three times the first. The
    # gradients themselves are compared within 1e-5 in test_attention.
    assert distance(learned["tree"], learned["rows"]) < 3e-5
    assert distance(learned["tree"], learned["padded"]) < 3e-5


def test_lora_adapters_learn_role_by_role_and_lie_in_folders_of_their_own(config):
    out = glpft.run(config("adapter.kind=lora", "adapter.rank=4", *LOUD), INPUTS)
    for role in THREE:
        assert read_agent(out).roles.get(role).adapter == str(out / role.value)
        ids, _ = a_row(out / "backbone", role)
        start, bare, ours = agrees_with_peft(out / "backbone", out / role.value, role, ids)
        assert start == 0
        assert (bare - ours).abs().max() > 1e-2
    assert predicted(out, config)


def test_a_backbone_tuned_by_lora_is_a_whole_model(config):
    lora = ("adapter.kind=lora", "adapter.backbone=lora", "adapter.rank=4", "stages.backbone.learning_rate=2e-2")
    out = glpft.run(config(*lora, "method=single"), INPUTS)
    plain = glpft.run(config("method=single", "out=plain", "stages.backbone.learning_rate=1e-9"), INPUTS)
    tuned, untouched = load_weights(str(out / "backbone")), load_weights(str(plain / "backbone"))
    apart = {
        name: (weight - dict(untouched.named_parameters())[name]).abs().max().item()
        for name, weight in tuned.named_parameters()
    }
    assert {name for name, much in apart.items() if much > 1e-3} == {name for name in apart if "proj" in name}
    assert done(out, "backbone")["learned"] < done(out, "backbone")["parameters"]
    assert predicted(out, config)


def test_new_tokens_are_learned_under_a_merged_lora(config):
    from support.stages import TINY, tiny_model
    from support.tiny_models import tiny_tokenizer

    base = Path(config().out).parent / "base"
    words = tiny_tokenizer()
    tiny_model(TINY, words, 0).save_pretrained(base)
    words.save_pretrained(base)
    lora = {"kind": "lora", "backbone": "lora", "rank": 4}
    text = config("method=single").model_dump(exclude={"model"}) | {"max_length": 512}
    text["stages"]["backbone"]["learning_rate"] = 1e-2
    out = glpft.run(TrainConfig.model_validate(text | {"model": {"base": str(base)}, "adapter": lora}), INPUTS)
    after = load_weights(str(out / "backbone")).get_input_embeddings().weight
    before = load_weights(str(base)).get_input_embeddings().weight
    assert torch.equal(after[: len(before)], before)
    new = after[len(before) :]
    assert len(new) == len(load_tokenizer(str(out / "backbone"))) - len(words) > 3
    assert (new - before.mean(dim=0)).abs().max() > 1e-3
    start = {"start": str(out / "backbone" / "adapter")}
    text["stages"]["backbone"]["learning_rate"] = 1e-12
    further = text | {"model": {"base": str(base)}, "adapter": lora | start, "out": str(base.parent / "further")}
    again = load_weights(str(glpft.run(TrainConfig.model_validate(further), INPUTS) / "backbone"))
    for name, weight in load_weights(str(out / "backbone")).named_parameters():
        torch.testing.assert_close(dict(again.named_parameters())[name], weight, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["lora", "alora"])
def test_adapters_on_the_base_model_keep_it_beside_them(config, kind):
    joint = f"adapter.joint={'true' if kind == 'lora' else 'false'}"
    out = glpft.run(config("method=one-stage", f"adapter.kind={kind}", joint, "adapter.rank=4", *LOUD), INPUTS)
    agent = read_agent(out)
    for role in THREE:
        assert agent.roles.get(role).model == str(out / "base")
        folder = agent.roles.get(role).adapter
        ids, _ = a_row(out / "base", role)
        _, bare, ours = agrees_with_peft(out / "base", folder, role, ids)
        assert (bare - ours).abs().max() > 1e-2
    assert distance(out / "base", dict(load_weights(str(out / "base")).named_parameters())) == 0
    assert predicted(out, config)


def test_training_goes_on_from_the_adapters_of_an_earlier_run(config, tmp_path):
    one = ("method=one-stage", "adapter.kind=alora", "adapter.rank=4")
    first = glpft.run(config(*one, f"out={tmp_path / 'first'}"), INPUTS)
    start, unmoved = f"adapter.start={first / 'roles'}", "stages.roles.learning_rate=1e-12"
    again = glpft.run(config(*one, start, unmoved, f"out={tmp_path / 'again'}"), INPUTS)
    for role in THREE:
        before, after = (read_adapter(str(out / "roles" / role)).pairs for out in (first, again))
        assert max(lora_b.abs().max() for _, lora_b in before.values()) > 1e-3
        for name, pair in before.items():
            torch.testing.assert_close(after[name], pair, atol=1e-6, rtol=0)
    with pytest.raises(CheckpointError, match=r"has rank 4 in it; see \[adapter\] rank \(now 8\)"):
        glpft.run(config("method=one-stage", "adapter.kind=alora", "adapter.rank=8", start, "out=other"), INPUTS)


# --- validation -------------------------------------------------------------------------------------------


def test_validation_is_told_in_the_history_and_of_the_weights_that_are_kept(config, tmp_path):
    write_trajectories(tmp_path / "v.jsonl", gold()[-3:])
    more = ("data.validation=v.jsonl", "validate_every=1", "method=one-stage", "stages.planner.early_stop=1")
    out = glpft.run(config(*more, "stages.planner.max_steps=4", "stages.planner.learning_rate=0.05"), INPUTS)
    for role in THREE:
        lines = [json.loads(line) for line in (out / "history" / f"{role.value}.jsonl").read_text().splitlines()]
        told = [line for line in lines if "validation_loss" in line]
        assert told
        assert all(0 <= line[f"validation_exact_match_{role.value}"] <= 1 for line in told)
        kept = done(out, role.value)["result"]["validation"]
        wanted = min(told, key=lambda line: line["validation_loss"]) if role is Role.PLANNER else told[-1]
        assert kept["validation_loss"] == wanted["validation_loss"]
    assert len(list(read_trajectories(tmp_path / "v.jsonl"))) == 3
    assert np.isfinite(kept["validation_loss"])
