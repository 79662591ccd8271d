"""What a run will need: counts from samples, memory without weights, steps, time; and what cannot fit is refused."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen3Config

from alpha_umi.config import AdapterConfig, ModelConfig, TrainConfig
from alpha_umi.errors import CheckpointError
from alpha_umi.training.planning.counts import Estimate, TokenCounts, estimate
from alpha_umi.training.planning.estimate import GIB, Machine, PlanError, make_plan
from alpha_umi.training.planning.footprint import Pass, adapter_parameters, pass_bytes, read_architecture, read_shape
from alpha_umi.training.planning.text import plan_text
from alpha_umi.training.precision import choose_precision
from alpha_umi.training.recipe import make_steps
from support.examples import examples

LLAMA_7B = LlamaConfig(intermediate_size=11008, num_hidden_layers=32, vocab_size=32000, tie_word_embeddings=False)
SMALL = LlamaConfig(
    hidden_size=64, intermediate_size=160, num_hidden_layers=5, num_attention_heads=4, vocab_size=700, head_dim=16
)
COUNTS = Estimate(
    total=TokenCounts(
        examples=4000,
        trees=1000,
        tree_tokens=1_500_000,
        row_tokens=4_000_000,
        padded_tokens=16_384_000,
        completion_tokens=400_000,
        longest=3000,
    ),
    sampled=1000,
    of=1000,
)


def config(**changes):
    document = {"data": {"train": "t.jsonl"}, "model": {"tiny": {}}, "out": "run", "dtype": "bfloat16"}
    return TrainConfig.model_validate(document | changes)


def plan(machine=None, counts=COUNTS, **changes):
    run = config(**changes)
    return make_plan(run, {step.name: counts for step in make_steps(run)}, machine or Machine())


@pytest.fixture(scope="module")
def llama_7b(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama-7b")
    LLAMA_7B.save_pretrained(folder)
    return {"base": str(folder)}


# --- counts ------------------------------------------------------------------------------------------------


def trajectories(count, seed=0):
    chance = random.Random(seed)
    sizes = [chance.choice([1, 2, 2, 3, 5]) for _ in range(count)]
    lengths = [int(chance.lognormvariate(7, 0.5)) for _ in sizes]
    return [
        TokenCounts(examples=n, trees=1, tree_tokens=t, row_tokens=n * t, completion_tokens=t // 5, longest=t)
        for n, t in zip(sizes, lengths, strict=True)
    ]


def test_all_trajectories_counted_leave_nothing_to_guess():
    sample = trajectories(100)
    counted = estimate(sample)
    assert counted.margin == 0
    assert counted.total.tree_tokens == sum(each.tree_tokens for each in sample)
    assert counted.total.longest == max(each.longest for each in sample)


def test_the_interval_of_a_sample_holds_the_truth_about_as_often_as_it_says():
    everything = trajectories(4000)
    truth = sum(each.tree_tokens for each in everything)
    held = 0
    for seed in range(300):
        guess = estimate(random.Random(seed).sample(everything, 80), of=4000)
        held += abs(guess.total.tree_tokens - truth) <= guess.margin * guess.total.tree_tokens
    assert 270 <= held <= 297


@pytest.mark.parametrize("batch_size", [8, 48])
def test_steps_are_those_of_whole_trajectories(batch_size):
    everything = trajectories(3000)
    taken = steps = 0
    for each in everything:
        taken += each.examples
        if taken >= batch_size:
            steps, taken = steps + 1, 0
    assert estimate(everything).steps(batch_size) == pytest.approx(steps, rel=0.03)


def test_layouts_compute_what_they_say():
    tokens = {layout: COUNTS.tokens(config(layout=layout)) for layout in ("tree", "rows", "padded")}
    assert tokens == {"tree": 1_500_000, "rows": 4_000_000, "padded": 16_384_000}
    assert COUNTS.tokens(config(shuffle="example")) == 4_000_000


# --- shapes and passes -------------------------------------------------------------------------------------


def test_parameters_are_exact(llama_7b):
    shape = read_shape(read_architecture(ModelConfig(**llama_7b)))
    assert shape.parameters == 6_738_415_616
    assert (shape.layers, shape.head, shape.attention_width) == (32, 32000 * 4096, 4096)
    assert adapter_parameters(LLAMA_7B, AdapterConfig(rank=8, targets=("q_proj", "v_proj"))) == 4_194_304


def test_a_model_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"no architecture \(config\.json\) can be read"):
        read_architecture(ModelConfig(base=str(tmp_path)))


QWEN = Qwen3Config(
    hidden_size=64,
    intermediate_size=160,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    vocab_size=500,
)


@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize("architecture", [SMALL, QWEN], ids=["llama", "qwen3"])
def test_a_pass_takes_the_memory_that_was_said(architecture, checkpointed):
    """Against every allocation of a real pass, as torch's profiler sees it."""
    work = Pass(tokens=256, losses=60, checkpointed=checkpointed)
    said = pass_bytes(architecture, work, architecture.num_hidden_layers)
    assert said == pytest.approx(_measured(architecture, work), rel=0.02)


def _measured(architecture, work):
    model = AutoModelForCausalLM.from_config(architecture, attn_implementation="sdpa").train()
    if work.checkpointed:
        getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    ids, at = torch.zeros(1, work.tokens, dtype=torch.long), torch.arange(work.losses)

    def run():
        logits = model(input_ids=ids, logits_to_keep=at, use_cache=False).logits.float()
        logits.backward(torch.empty_like(logits))

    run()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    held = highest = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            highest = max(highest, held)
    return highest


@pytest.mark.slow
@settings(max_examples=examples(3), deadline=None)
@given(tokens=st.integers(64, 600), losses=st.integers(1, 60))
def test_more_tokens_take_more_memory_and_checkpointing_takes_less(tokens, losses):
    plain = pass_bytes(SMALL, Pass(tokens=tokens, losses=losses), 5)
    assert plain < pass_bytes(SMALL, Pass(tokens=tokens + 64, losses=losses), 5)
    assert pass_bytes(SMALL, Pass(tokens=tokens, losses=losses, checkpointed=True), 5) < plain


# --- plans -------------------------------------------------------------------------------------------------


def test_a_7b_model_on_one_device_holds_16_bytes_per_parameter(llama_7b):
    (stage,) = plan(model=llama_7b, method="single").stages
    fixed = stage.memory.weights + stage.memory.gradients + stage.memory.optimizer
    assert fixed == 16 * 6_738_415_616
    assert stage.checkpoint == 12 * 6_738_415_616


def test_eight_devices_share_what_one_holds(llama_7b):
    (stage,) = plan(Machine(world_size=8), model=llama_7b, method="single").stages
    assert stage.memory.weights + stage.memory.gradients + stage.memory.optimizer == 2 * 6_738_415_616
    (whole,) = plan(Machine(world_size=8), model=llama_7b, method="single", spread={"shard": False}).stages
    assert whole.memory.weights == 4 * 6_738_415_616


def test_a_run_that_cannot_fit_is_refused_with_numbers_and_a_way_that_fits(llama_7b):
    with pytest.raises(PlanError) as caught:
        plan(Machine(world_size=2, memory=80 * GIB), model=llama_7b, method="single").check()
    said = str(caught.value)
    for part in ("stage backbone needs ", "80.0 GiB", "optimizer 25.1", "what would fit: ", "gradient_checkpointing"):
        assert part in said
    plan(Machine(world_size=8, memory=80 * GIB), model=llama_7b, method="single", gradient_checkpointing=True).check()


def test_without_known_memory_nothing_is_refused(llama_7b):
    plan(model=llama_7b, method="single").check()


def test_adapters_need_neither_gradients_nor_states_of_what_is_frozen(llama_7b):
    adapter = {"kind": "alora", "backbone": "lora", "rank": 16}
    backbone, roles = plan(model=llama_7b, adapter=adapter).stages
    assert backbone.learned == 39_976_960
    assert roles.learned == 3 * backbone.learned
    assert roles.memory.optimizer == 8 * roles.learned
    assert roles.memory.weights == 2 * 6_738_415_616 + 4 * roles.learned
    assert (backbone.folder, roles.folder) == (4 * 6_738_415_616, 4 * roles.learned)


def test_offloaded_weights_are_not_on_the_device(llama_7b):
    machine = Machine(world_size=8)
    (stays,) = plan(machine, model=llama_7b, method="single").stages
    (leaves,) = plan(machine, model=llama_7b, method="single", spread={"cpu_offload": True}).stages
    assert stays.memory.total - leaves.memory.total == 2 * 6_738_415_616


def test_time_follows_the_rate_or_the_operations():
    by_rate = plan(Machine(tokens_per_second=1000, world_size=2), method="single")
    assert by_rate.seconds == pytest.approx(2 * 1_500_000 / 2000)
    by_work = [plan(Machine(flops=1e12, utilisation=share), method="single").seconds for share in (0.25, 0.5)]
    assert by_work[0] == pytest.approx(2 * by_work[1])
    again = plan(Machine(flops=1e12), method="single", gradient_checkpointing=True).seconds
    assert again > plan(Machine(flops=1e12), method="single").seconds
    assert plan(method="single").seconds is None


def test_max_steps_go_before_epochs():
    (stage,) = plan(method="single", stages={"backbone": {"max_steps": 10}}).stages
    assert stage.optimizer_steps == 10
    assert stage.epochs == pytest.approx(10 * 48 / 4000)
    (whole,) = plan(method="single").stages
    assert whole.optimizer_steps == -(-2 * 4000 // 48)


def test_muon_keeps_one_state_of_the_matrices():
    (adamw,), (muon,) = (
        plan(method="single", stages={"backbone": {"optimizer": name}}).stages for name in ("adamw", "muon")
    )
    shape = read_shape(read_architecture(config().model))
    assert adamw.memory.optimizer - muon.memory.optimizer == 4 * shape.layer_matrices


def test_the_text_says_what_it_rests_on():
    sampled = estimate(trajectories(50), of=4000)
    text = plan_text(plan(Machine(memory=80 * GIB, flops=1e14, world_size=8), counts=sampled))
    for part in ("8 device(s)", "50 of 4,000 trajectories", "95 % interval", "summarizer", "as published", "fits: "):
        assert part in text
    assert max(map(len, text.splitlines())) < 130


@pytest.mark.parametrize(
    ("instructions", "width", "dtype"),
    [("AMX", 576, "bfloat16"), ("AVX512-BF16", 576, "bfloat16"), ("AMX", 128, "float32"), ("", 576, "float32")],
)
def test_auto_computes_on_a_cpu_in_what_it_multiplies_fastest(monkeypatch, instructions, width, dtype):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: instructions == "AMX")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: instructions == "AVX512-BF16")
    found = choose_precision("auto", LlamaConfig(hidden_size=width), on_cpu=True)
    assert str(found.dtype) == f"torch.{dtype}"
    assert (instructions or "no AMX or AVX512-BF16") in found.reason or width == 128
    assert choose_precision("auto", LlamaConfig(hidden_size=width), on_cpu=False).is_low
    assert ("without AMX" in choose_precision("bfloat16", LlamaConfig(), on_cpu=True).reason) == (not instructions)
