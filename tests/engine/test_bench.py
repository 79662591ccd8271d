"""What `umi bench engine` measures: a real agent of three activated adapters, and one of three models."""

import json

import pytest
import torch

from alpha_umi.config import AgentConfig, LocalConfig, RolesConfig, SamplingsConfig, resolved
from alpha_umi.errors import ConfigError, DataError
from alpha_umi.evaluation.runner import scored_steps
from alpha_umi.jobs.bench import BenchOptions, bench_engine
from alpha_umi.loading.agents import read_agent
from alpha_umi.models.adapter_files import save_adapter
from alpha_umi.models.adapters import AdapterKind, attach
from alpha_umi.store import write_trajectories
from support.adapted_models import THREE, adapter_settings
from support.commands import run_here
from support.stages import fresh_model, gold, tokenizer

TOKENS = 6


def write_agent(folder, **roles):
    form = AgentConfig(
        format="shared",
        roles=RolesConfig(**{role.value: LocalConfig(device="cpu", **roles[role.value]) for role in THREE}),
        sampling=SamplingsConfig(max_tokens=TOKENS),
    )
    (folder / "umi.toml").write_text(resolved(form))
    return folder


@pytest.fixture(scope="module")
def adapted(tmp_path_factory):
    """Three activated LoRAs on one backbone."""
    folder, model = tmp_path_factory.mktemp("adapted"), fresh_model()
    model.save_pretrained(folder / "backbone")
    tokenizer().save_pretrained(folder / "backbone")
    invocations = {role: tokenizer().encode(f"<|{role}|>", add_special_tokens=False) for role in THREE}
    settings = adapter_settings(AdapterKind.ALORA)
    adapters = attach(model, settings, THREE, invocations=invocations)
    for role in THREE:
        save_adapter(adapters, role, settings, folder / role, base="../backbone")
    return write_agent(folder, **{role.value: {"model": "backbone", "adapter": role.value} for role in THREE})


@pytest.fixture(scope="module")
def separate(tmp_path_factory):
    """Three models, as published."""
    folder = tmp_path_factory.mktemp("separate")
    for seed, role in enumerate(THREE):
        fresh_model(seed=seed).save_pretrained(folder / role)
        tokenizer().save_pretrained(folder / role)
    return write_agent(folder, **{role.value: {"model": role.value} for role in THREE})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "t.jsonl"
    write_trajectories(path, gold()[:5])
    return path


def turns(tasks):
    return sum(len(step.reference) for step in scored_steps(gold()[:tasks]))


def measure(folder, data, **options):
    return bench_engine(BenchOptions(agent=read_agent(folder), data=data, **options), lambda done, total: None)


def test_every_token_that_is_asked_for_is_computed_or_found_and_roles_on_one_base_find_more(adapted, separate, data):
    shared, apart = (measure(folder, data, tasks=4, concurrency=3) for folder in (adapted, separate))
    for found in (shared, apart):
        assert found.preempted == found.failed == found.evicted_tokens == 0
        assert found.prompt_tokens == found.prefill_tokens + found.shared_tokens
        assert found.requests == found.completions == turns(4)
        assert 0 < found.hits <= found.requests
        assert found.written_tokens <= found.completions * TOKENS
        assert 0 < found.first_token_median <= found.first_token_p95 < found.wall_seconds
        assert found.engine_seconds < found.wall_seconds
        assert 0 < found.forward_share < 1
        assert found.prefill_per_second > 0
        assert found.decode_per_second > 0
        assert 0 < found.prefix_cache_bytes < found.cache_bytes
        assert found.peak_bytes > found.weights_bytes
        assert found.device_peak_bytes is None
    assert shared.saved > apart.saved > 0


def test_weights_are_those_of_all_roles_each_model_once(adapted, separate, data):
    one = sum(weight.nbytes for weight in fresh_model().parameters())
    shared, apart = (measure(folder, data, tasks=1).weights_bytes for folder in (adapted, separate))
    assert apart == 3 * one
    assert one < shared < 2 * one


def test_the_task_that_goes_before_is_not_counted(adapted, data):
    few, all_of_them = (measure(adapted, data, tasks=tasks) for tasks in (4, 5))
    assert (few.tasks, all_of_them.tasks) == (4, 5)
    assert few.requests == few.completions == turns(4) < all_of_them.completions == turns(5)


def test_the_command_shows_a_table_and_writes_its_numbers(adapted, tmp_path):
    torch.manual_seed(0)
    ended = run_here(
        "bench", "engine", adapted, "--preset", "tiny", "--tasks", 2, "--concurrency", 2, "--out", tmp_path / "b.json"
    )
    assert ended.code == 0, ended.err
    found = json.loads((tmp_path / "b.json").read_text())
    assert found["machine"]["device"] == "cpu"
    assert found["prompt_tokens"] > found["prefill_tokens"] > 0
    assert found["saved"] == 1 - found["prefill_tokens"] / found["prompt_tokens"]
    for number in ("prompt_tokens", "prefill_tokens", "shared_tokens", "written_tokens"):
        assert f"{found[number]:,}" in ended.out


def test_models_behind_endpoints_and_in_padded_batches_are_refused(separate, data, tmp_path):
    elsewhere = tmp_path / "agent.toml"
    elsewhere.write_text('format = "chat"\n[roles.backbone]\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "m"\n')
    with pytest.raises(ConfigError, match="only models that run here can be measured"):
        measure(elsewhere, data)
    config = separate / "planner" / "config.json"
    text = config.read_text()
    try:
        config.write_text(json.dumps(json.loads(text) | {"attn_temperature_tuning": True}))
        with pytest.raises(ConfigError, match="the engine does not run this agent"):
            measure(separate, data)
    finally:
        config.write_text(text)


def test_data_without_a_step_is_refused(adapted, tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DataError, match="holds no step"):
        measure(adapted, tmp_path / "empty.jsonl")
