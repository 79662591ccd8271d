"""Adapters per token: a token gets what it gets where its adapter is alone, here, on disk and under PEFT."""

import copy
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch.nn import functional

from alpha_umi.errors import CheckpointError, ConfigError, StorageError
from alpha_umi.models.adapter_files import load_adapters, save_adapter
from alpha_umi.models.adapters import (
    ADAPTERS,
    AdapterKind,
    active_from,
    adapters_of,
    attach,
    detach,
)
from alpha_umi.models.checkpoint import merge_adapter
from alpha_umi.types import Role
from support.adapted_models import (
    THREE,
    VOCABULARY,
    WAKING,
    adapter_settings,
    example,
    logits,
    numbers,
    tiny,
    under_peft,
    with_adapters,
)
from support.examples import examples
from support.tiny_models import tiny_llama

pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated"),
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
]


def packed(examples):
    """Several examples in one row: ids, positions and the mask that keeps them apart."""
    ids = [token for one in examples for token in one]
    positions = [at for one in examples for at in range(len(one))]
    owner = torch.tensor([index for index, one in enumerate(examples) for _ in one])
    seen = (owner[:, None] == owner) & torch.ones(len(ids), len(ids)).tril().bool()
    return {
        "input_ids": torch.tensor([ids]),
        "position_ids": torch.tensor([positions]),
        "attention_mask": seen[None, None],
        "use_cache": False,
    }


# --- laws of a forward ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", AdapterKind)
def test_a_new_adapter_says_nothing_and_the_base_is_untouched(kind):
    model = tiny()
    ids, _ = example(Role.CALLER, 3)
    before, weights = logits(model, ids), copy.deepcopy(model.state_dict())
    adapters = attach(model, adapter_settings(kind), THREE, invocations=WAKING)
    with adapters.select(ADAPTERS[Role.CALLER]):
        assert torch.equal(logits(model, ids), before)
    assert torch.equal(logits(model, ids), before)
    assert {name for name, weight in model.named_parameters() if weight.requires_grad} == {
        name for role in THREE for name in adapters.parameters(role)
    }
    detach(model)
    assert adapters_of(model) is None
    assert all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())
    assert model.state_dict().keys() == weights.keys()


def test_a_drawn_as_by_peft_is_a_function_of_seed_and_role():
    def drawn(seed, roles):
        adapters = attach(tiny(), adapter_settings(), roles, seed=seed)
        return {name: weight.detach() for role in roles for name, weight in adapters.parameters(role).items()}

    three, again, other = drawn(1, THREE), drawn(1, (Role.CALLER,)), drawn(2, THREE)
    assert all(torch.equal(three[name], weight) for name, weight in again.items())
    assert not any(torch.equal(three[name], other[name]) for name in three if name.endswith("lora_A"))
    wide = three["model.layers.0.self_attn.q_proj.adapters.caller.lora_A"]
    assert 0.9 / 32**0.5 < wide.abs().max() <= 1 / 32**0.5


def test_tokens_without_an_adapter_get_the_base_bit_for_bit():
    model = tiny()
    ids, _ = example(Role.PLANNER, 5)
    before = logits(model, ids)
    adapters = with_adapters(model, adapter_settings(AdapterKind.ALORA))
    chosen = torch.tensor(numbers(Role.PLANNER, AdapterKind.ALORA, ids), dtype=torch.int8)
    with adapters.select(chosen):
        after = logits(model, ids)
    base = (chosen == 0).nonzero().squeeze(1)
    assert torch.equal(after[base], before[base])
    assert not torch.allclose(after[-1], before[-1], atol=1e-2)
    assert torch.equal(logits(model, ids), before)


@pytest.mark.parametrize("kind", AdapterKind)
def test_three_roles_in_one_packed_row_get_what_each_gets_alone_under_peft(kind, tmp_path):
    base = tiny()
    model = copy.deepcopy(base)
    adapters = with_adapters(model, adapter_settings(kind))
    roles = (Role.SUMMARIZER, Role.PLANNER, Role.CALLER, Role.PLANNER)
    examples = [example(role, seed, length=6 + 3 * seed)[0] for seed, role in enumerate(roles)]
    chosen = [number for role, ids in zip(roles, examples, strict=True) for number in numbers(role, kind, ids)]
    with adapters.select(torch.tensor(chosen, dtype=torch.int8)):
        together = model(**packed(examples)).logits[0]
    at = 0
    for role, ids in zip(roles, examples, strict=True):
        save_adapter(adapters, role, adapter_settings(kind), tmp_path / role)
        alone = under_peft(base, tmp_path / role, ids)
        torch.testing.assert_close(together[at : at + len(ids)], alone, atol=1e-4, rtol=0)
        at += len(ids)


@settings(max_examples=examples(15), deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(THREE), st.integers(4, 14)), min_size=1, max_size=4),
    st.sampled_from(AdapterKind),
)
def test_gradients_of_a_joint_pass_are_the_sums_of_separate_passes(drawn, kind):
    model = tiny()
    adapters = with_adapters(model, adapter_settings(kind, targets=("q_proj", "down_proj")))
    examples = [(role, *example(role, seed, length)) for seed, (role, length) in enumerate(drawn)]

    def gradients(passes):
        model.zero_grad()
        for members in passes:
            rows, chosen, targets = [], [], []
            for role, ids, start in members:
                rows.append(ids)
                chosen += numbers(role, kind, ids)
                targets += [-100] * (start - 1) + ids[start:] + [-100]
            with adapters.select(torch.tensor(chosen, dtype=torch.int8)):
                output = model(**packed(rows)).logits[0]
            functional.cross_entropy(output, torch.tensor(targets), reduction="sum").backward()
        return {name: weight.grad.clone() for role in THREE for name, weight in adapters.parameters(role).items()}

    joint, separate = gradients([examples]), gradients([[one] for one in examples])
    for name, gradient in joint.items():
        torch.testing.assert_close(gradient, separate[name], atol=1e-4, rtol=1e-4)
    learned = {role for role, _ in drawn}
    for role in THREE:
        assert any(joint[name].any() for name in adapters.parameters(role)) is (role in learned)


@pytest.mark.parametrize("reentrant", [False, True])
def test_recomputing_for_gradient_checkpointing_keeps_to_the_choice_of_the_forward(reentrant):
    ids, _ = example(Role.PLANNER, 2)

    def gradients(*, checkpointing):
        model = tiny().train()
        adapters = with_adapters(model, adapter_settings(AdapterKind.ALORA))
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": reentrant})
        total = 0
        for role in (Role.PLANNER, Role.CALLER):
            mixed = [ADAPTERS[role]] * 5 + numbers(Role.PLANNER, AdapterKind.ALORA, ids)[5:]
            with adapters.select(torch.tensor(mixed, dtype=torch.int8)):
                total = total + logits(model, ids).square().mean()
        with adapters.select(ADAPTERS[Role.SUMMARIZER]):  # another choice stands while the layers are recomputed
            total.backward()
        return {name: weight.grad for role in THREE for name, weight in adapters.parameters(role).items()}

    plain, recomputed = gradients(checkpointing=False), gradients(checkpointing=True)
    assert any(gradient.any() for gradient in plain.values())
    for name, gradient in plain.items():
        torch.testing.assert_close(recomputed[name], gradient)


def test_padded_batches_choose_per_row_and_token():
    model = tiny()
    adapters = with_adapters(model, adapter_settings())
    rows = [example(role, 4, length)[0] for role, length in zip(THREE, (6, 9, 12), strict=True)]
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    chosen = mask * torch.tensor([[ADAPTERS[role]] for role in THREE])
    with adapters.select(chosen):
        together = model(input_ids=ids, attention_mask=mask).logits
    for row, (role, tokens) in enumerate(zip(THREE, rows, strict=True)):
        with adapters.select(ADAPTERS[role]):
            torch.testing.assert_close(together[row, : len(tokens)], logits(model, tokens), atol=1e-5, rtol=0)


def test_dropout_acts_while_training_and_only_then():
    model = tiny()
    adapters = with_adapters(model, adapter_settings(dropout=0.5))
    ids, _ = example(Role.CALLER, 1)
    with adapters.select(ADAPTERS[Role.CALLER]):
        assert torch.equal(logits(model, ids), logits(model, ids))
        model.train()
        assert not torch.allclose(logits(model, ids), logits(model, ids), atol=1e-3)
    exact = tiny().train()
    adapters = with_adapters(exact, adapter_settings(dropout=0.0))
    with adapters.select(ADAPTERS[Role.CALLER]):
        assert torch.equal(logits(exact, ids), logits(exact.eval(), ids))


def test_a_choice_for_another_number_of_tokens_is_refused():
    model = tiny()
    adapters = with_adapters(model, adapter_settings())
    with pytest.raises(ValueError, match="selected for 3 tokens, a layer was given 4"), adapters.select(torch.ones(3)):
        logits(model, [11, 12, 13, 14])
    assert torch.equal(logits(model, [11, 12]), logits(tiny(), [11, 12]))


def test_adapters_work_in_bfloat16_under_and_without_autocast():
    ids, _ = example(Role.CALLER, 1)
    for model in (tiny().bfloat16(), tiny()):
        adapters = with_adapters(model, adapter_settings())
        with adapters.select(ADAPTERS[Role.CALLER]), torch.autocast("cpu", dtype=torch.bfloat16):
            logits(model, ids).float().square().mean().backward()
        assert all(weight.grad.dtype == torch.float32 for weight in adapters.parameters(Role.CALLER).values())


def test_a_copy_of_a_model_has_adapters_of_its_own():
    model = tiny()
    with_adapters(model, adapter_settings())
    ids, _ = example(Role.CALLER, 1)
    other = copy.deepcopy(model)
    adapters = adapters_of(other)
    with adapters.select(ADAPTERS[Role.CALLER]):
        expected = logits(other, ids)
        assert not torch.allclose(logits(model, ids), expected, atol=1e-2)
    detach(model)
    with adapters.select(ADAPTERS[Role.CALLER]):
        assert torch.equal(logits(other, ids), expected)


def test_what_cannot_be_attached_is_explained():
    with pytest.raises(ConfigError, match=r"no such linear layer; it has: .*q_proj"):
        attach(tiny(), adapter_settings(targets=("query",)), THREE)
    invocations = {Role.PLANNER: [7], Role.CALLER: [8]}
    with pytest.raises(ConfigError, match="none for: summarizer"):
        attach(tiny(), adapter_settings(AdapterKind.ALORA), THREE, invocations=invocations)


@given(st.lists(st.integers(0, 2), max_size=12), st.lists(st.integers(0, 2), max_size=3))
def test_an_adapter_is_active_from_its_last_invocation(prompt, invocation):
    starts = [at for at in range(len(prompt)) if prompt[at : at + len(invocation)] == invocation]
    assert active_from(prompt, invocation) == (0 if not invocation else max(starts, default=None))


# --- on disk ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("architecture", "tied"), [("llama", False), ("llama", True), ("qwen2", False), ("qwen3", True)]
)
@pytest.mark.parametrize("kind", AdapterKind)
def test_what_is_saved_says_the_same_under_peft_and_loaded_again(kind, architecture, tied, tmp_path):
    base = tiny(architecture, tied=tied)
    model = copy.deepcopy(base)
    adapters = with_adapters(model, adapter_settings(kind))
    again = copy.deepcopy(base)
    for role in THREE:
        save_adapter(adapters, role, adapter_settings(kind), tmp_path / role, base="../backbone")
    loaded = load_adapters(again, {role: str(tmp_path / role) for role in THREE})
    assert loaded.invocations == adapters.invocations
    for role in THREE:
        ids, _ = example(role, 9)
        chosen = torch.tensor(numbers(role, kind, ids), dtype=torch.int8)
        with torch.no_grad(), adapters.select(chosen):
            ours = logits(model, ids)
        with torch.no_grad(), loaded.select(chosen):
            assert torch.equal(logits(again, ids), ours)
        assert not torch.allclose(ours, logits(base, ids), atol=1e-2)
    torch.testing.assert_close(under_peft(base, tmp_path / role, ids), ours, atol=1e-4, rtol=0)


def test_a_setting_that_is_not_known_is_ignored_with_a_warning(tmp_path, caplog):
    base = tiny()
    adapters = with_adapters(copy.deepcopy(base), adapter_settings(), (Role.CALLER,))
    save_adapter(adapters, Role.CALLER, adapter_settings(), tmp_path / "a")
    settings = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    for more in ({}, {"use_sparkles": False, "sparkle_factor": 0.5}):
        (tmp_path / "a" / "adapter_config.json").write_text(json.dumps({**settings, **more}))
        caplog.clear()
        loaded = load_adapters(copy.deepcopy(base), {Role.CALLER: str(tmp_path / "a")})
        merged = merge_adapter(copy.deepcopy(base), str(tmp_path / "a"))
        warned = [record.getMessage() for record in caplog.records if "sparkle_factor" in record.getMessage()]
        assert len(warned) == (2 if more else 0)
        assert not more or all("use_sparkles" in message and str(tmp_path) in message for message in warned)
        ids, _ = example(Role.CALLER, 9)
        chosen = torch.tensor(numbers(Role.CALLER, AdapterKind.LORA, ids), dtype=torch.int8)
        model = copy.deepcopy(base)
        again = load_adapters(model, {Role.CALLER: str(tmp_path / "a")})
        with torch.no_grad(), again.select(chosen):
            torch.testing.assert_close(logits(merged, ids), logits(model, ids), atol=1e-4, rtol=0)
        assert loaded.invocations == adapters.invocations


@pytest.mark.parametrize(
    "more",
    [{}, {"use_rslora": True}, {"rank_pattern": {"v_proj": 2}, "alpha_pattern": {"layers.1.self_attn.v_proj": 64}}],
)
@pytest.mark.parametrize("safe", [True, False])
def test_folders_made_by_peft_are_read(more, safe, tmp_path):
    base = tiny()
    config = LoraConfig(
        r=8, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM", **more
    )
    tuned = get_peft_model(copy.deepcopy(base), config).eval()
    tuned.save_pretrained(tmp_path, safe_serialization=safe)
    ids, _ = example(Role.CALLER, 6)
    adapters = load_adapters(base, {Role.CALLER: str(tmp_path)})
    with adapters.select(ADAPTERS[Role.CALLER]):
        expected = tuned(input_ids=torch.tensor([ids])).logits[0]
        torch.testing.assert_close(logits(base, ids), expected, atol=1e-4, rtol=0)


def saved(tmp_path, kind=AdapterKind.LORA, **changes):
    settings = adapter_settings(kind, **changes)
    adapters = with_adapters(tiny(), settings)
    save_adapter(adapters, Role.CALLER, settings, tmp_path / "caller")
    return tmp_path / "caller"


def refused(model, folder, match):
    before = model.state_dict().keys()
    with pytest.raises(CheckpointError, match=match) as caught:
        load_adapters(model, {Role.CALLER: str(folder)})
    assert str(folder) in str(caught.value)
    assert model.state_dict().keys() == before


def test_an_adapter_of_another_base_is_refused_with_what_does_not_fit(tmp_path):
    folder = saved(tmp_path, AdapterKind.ALORA)
    refused(tiny_llama(VOCABULARY, hidden=48), folder, r"layers\.0\.mlp\.down_proj is 48 x 64 there, 32 x 48 in")
    refused(tiny(seed=5), folder, "trained on other weights")
    refused(tiny(vocabulary=8), folder, "invoked by token 8, the base has 8 tokens")
    shallow = tiny()
    del shallow.model.layers[1]
    refused(shallow, folder, r"no linear layer model\.layers\.1\.")
    deep = tiny()
    deep.model.layers.append(copy.deepcopy(deep.model.layers[0]))
    refused(deep, folder, r"no weights for model\.layers\.2\.")
    load_adapters(tiny().bfloat16(), {Role.CALLER: str(folder)})
    load_adapters(tiny(), {Role.CALLER: str(folder)})


def test_a_broken_folder_is_refused_with_what_is_wrong(tmp_path):
    refused(tiny(), tmp_path / "nothing", "no adapter here")
    folder = saved(tmp_path)
    weights, config = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    whole = load_file(weights)
    half = {name: tensor for name, tensor in whole.items() if "layers.0.self_attn.q_proj.lora_B" not in name}
    save_file(half, weights)
    refused(tiny(), folder, "q_proj has no lora_B")
    save_file(whole | {"base_model.model.lm_head.weight": torch.zeros(1)}, weights)
    refused(tiny(), folder, "holds base_model.model.lm_head.weight")
    weights.write_bytes(b"torn")
    refused(tiny(), folder, "cannot be read")
    weights.unlink()
    refused(tiny(), folder, "has no weights")
    document = json.loads(config.read_text())
    config.write_text(json.dumps(document | {"use_dora": True, "modules_to_save": ["lm_head"]}))
    refused(tiny(), folder, "uses use_dora, modules_to_save")
    config.write_text(json.dumps(document | {"init_lora_weights": "pissa"}))
    refused(tiny(), folder, "init_lora_weights=pissa")
    config.write_text(json.dumps(document | {"peft_type": "IA3"}))
    refused(tiny(), folder, "not a LoRA")


def test_a_folder_that_cannot_be_written_leaves_the_one_before(tmp_path):
    folder = saved(tmp_path)
    before = (folder / "adapter_model.safetensors").read_bytes()
    (tmp_path / ".caller.part").touch()  # something that is no folder stands where the new one is made
    adapters = with_adapters(tiny(), adapter_settings(), seed=3)
    with pytest.raises(StorageError, match=r"caller: the adapter \([\d,]+ bytes\) cannot be written"):
        save_adapter(adapters, Role.CALLER, adapter_settings(), folder)
    assert (folder / "adapter_model.safetensors").read_bytes() == before


def test_an_adapter_of_another_quantisation_of_its_base_is_taken_with_a_warning(tmp_path, caplog):
    folder = saved(tmp_path, AdapterKind.LORA)
    base, other = tiny(), tiny()
    with torch.no_grad():
        for weight in other.parameters():
            if weight.ndim == 2:  # as 4 bits a weight would have it
                step = weight.abs().amax(dim=1, keepdim=True) / 7
                weight.copy_((weight / step).round() * step)
    refused(copy.deepcopy(other), folder, "trained on other weights")  # nothing says that these were quantised
    other.config.dequantized_from = "Q4_0"
    load_adapters(other, {Role.CALLER: str(folder)})
    assert "trained on another quantisation of the base model" in caplog.text
    stranger = tiny(seed=5)
    stranger.config.dequantized_from = "Q4_0"
    refused(stranger, folder, "trained on other weights")
    caplog.clear()
    load_adapters(base, {Role.CALLER: str(folder)})
    assert not caplog.text
