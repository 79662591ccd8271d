"""Adapters per token: a token gets what it gets where its adapter is alone, here, on disk and under PEFT."""

import asyncio
import copy
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

from alpha_umi.build import open_agent, read_agent
from alpha_umi.config import AgentConfig, LocalConfig, RolesConfig, resolved
from alpha_umi.errors import CheckpointError, ConfigError, StorageError
from alpha_umi.formats.shared import SharedFormat
from alpha_umi.formats.tokens import decode, prompt_ids
from alpha_umi.models.adapter_files import load_adapters, save_adapter
from alpha_umi.models.adapters import (
    ADAPTERS,
    AdapterKind,
    AdapterSettings,
    active_from,
    adapters_of,
    attach,
    detach,
    merge,
)
from alpha_umi.models.checkpoint import load_tokenizer, load_weights
from alpha_umi.models.local import AdaptedModel, LocalModel, load_roles
from alpha_umi.models.token_rows import fold_rows, train_rows
from alpha_umi.training.start import hold_tokens
from alpha_umi.types import Role, Sampling
from tiny_models import tiny_llama, tiny_tokenizer

pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated"),
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
]
THREE = (Role.PLANNER, Role.CALLER, Role.SUMMARIZER)
WAKING = {Role.PLANNER: (7,), Role.CALLER: (8, 9), Role.SUMMARIZER: (10,)}
VOCABULARY = 64
CONFIGS = {"llama": LlamaConfig, "qwen2": Qwen2Config, "qwen3": Qwen3Config}


def tiny(kind="llama", *, tied=False, seed=0, vocabulary=VOCABULARY):
    torch.manual_seed(seed)
    config = CONFIGS[kind](
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=256,
        initializer_range=0.2,
        tie_word_embeddings=tied,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    return AutoModelForCausalLM.from_config(config).eval()


def adapter_settings(kind=AdapterKind.LORA, **changes):
    return AdapterSettings(**({"kind": kind, "rank": 4, "alpha": 8.0} | changes))


def with_adapters(model, settings, roles=THREE, seed=1):
    """Adapters that have learned something: B is no longer zero."""
    adapters = attach(model, settings, roles, invocations=WAKING, seed=seed)
    torch.manual_seed(seed)
    with torch.no_grad():
        for role in roles:
            for name, weight in adapters.parameters(role).items():
                if name.endswith("lora_B"):
                    weight.normal_(std=0.3)
    return adapters


def example(role, seed, length=12):
    """A prompt that ends with the tokens that wake `role`, a completion, and where the completion begins."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(11, VOCABULARY, (length + 5,), generator=generator).tolist()
    prompt = [*words[:4], *WAKING[role], *words[4:length], *WAKING[role]]
    return [*prompt, *words[length:]], len(prompt)


def numbers(role, kind, ids):
    start = active_from(ids, WAKING[role] if kind is AdapterKind.ALORA else ())
    return [0] * start + [ADAPTERS[role]] * (len(ids) - start)


def logits(model, ids, **more):
    return model(input_ids=torch.tensor([ids]), use_cache=False, **more).logits[0]


def under_peft(model, folder, ids):
    tuned = PeftModel.from_pretrained(copy.deepcopy(model), folder).eval()
    return tuned(input_ids=torch.tensor([ids])).logits[0]


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


@settings(max_examples=15, deadline=None)
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
    with pytest.raises(ValueError, match="chosen for 3 tokens, a layer was given 4"), adapters.select(torch.ones(3)):
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
    woken = {Role.PLANNER: [7], Role.CALLER: [8]}
    with pytest.raises(ConfigError, match="none for: summarizer"):
        attach(tiny(), adapter_settings(AdapterKind.ALORA), THREE, invocations=woken)


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
        with adapters.select(chosen):
            ours = logits(model, ids)
        with loaded.select(chosen):
            assert torch.equal(logits(again, ids), ours)
        assert not torch.allclose(ours, logits(base, ids), atol=1e-2)
    torch.testing.assert_close(under_peft(base, tmp_path / role, ids), ours, atol=1e-4, rtol=0)


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
    refused(tiny(vocabulary=8), folder, "woken by token 8, the base has 8 tokens")
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


# --- the backbone -----------------------------------------------------------------------------------------


def extended(*, tied):
    """A model and a tokenizer that have just been given the tokens of the shared format."""
    tokenizer = tiny_tokenizer()
    model = tiny(tied=tied, vocabulary=len(tokenizer))
    added = hold_tokens(model, tokenizer, SharedFormat().special_tokens)
    return model, tokenizer, list(range(len(tokenizer) - added, len(tokenizer)))


@pytest.mark.parametrize("tied", [False, True])
def test_role_tokens_belong_to_the_backbone_and_both_reload_together(tied, tmp_path):
    model, tokenizer, new = extended(tied=tied)
    train_rows(model, new)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.requires_grad and ".rows." in name:
                weight.normal_(std=0.3)
    merge(model)
    model.save_pretrained(tmp_path / "backbone")
    tokenizer.save_pretrained(tmp_path / "backbone")
    woken = {role: tokenizer.encode(f"<|{role}|>", add_special_tokens=False) for role in THREE}
    assert all(len(ids) == 1 and ids[0] in new for ids in woken.values())
    settings = adapter_settings(AdapterKind.ALORA)
    adapters = attach(model, settings, THREE, invocations=woken)
    ids = {role: prompt_ids(tokenizer, f"Paris <|{role}|> in one sentence") for role in THREE}
    expected = {}
    for role in THREE:
        torch.nn.init.normal_(next(w for n, w in adapters.parameters(role).items() if n.endswith("lora_B")))
        save_adapter(adapters, role, settings, tmp_path / role)
        chosen = [0] * adapters.active_from(role, ids[role])
        chosen += [ADAPTERS[role]] * (len(ids[role]) - len(chosen))
        with adapters.select(torch.tensor(chosen)):
            expected[role] = logits(model, ids[role])
        assert not any(
            "embed" in name or "lm_head" in name for name in load_file(tmp_path / role / "adapter_model.safetensors")
        )
        fresh = load_weights(str(tmp_path / "backbone"))
        reloaded = load_adapters(fresh, {role: str(tmp_path / role)})
        assert prompt_ids(load_tokenizer(str(tmp_path / "backbone")), f"Paris <|{role}|> in one sentence") == ids[role]
        with reloaded.select(torch.tensor(chosen)):
            torch.testing.assert_close(logits(fresh, ids[role]), expected[role])
        base = load_weights(str(tmp_path / "backbone"))
        torch.testing.assert_close(under_peft(base, tmp_path / role, ids[role]), expected[role], atol=1e-4, rtol=0)


@pytest.mark.parametrize("tied", [False, True])
def test_only_the_rows_of_new_tokens_learn_and_as_they_would_in_whole_tables(tied):
    model, _, new = extended(tied=tied)
    whole = copy.deepcopy(model)
    before = copy.deepcopy(model.state_dict())
    weights = train_rows(model, new)
    assert len(weights) == 2 - tied
    ids = torch.tensor([[3, new[0], 5, new[4], new[4], 17, new[1]]])
    targets = torch.tensor([new[0], 5, new[4], 3, 17, new[1], 8])

    def loss(one):
        return functional.cross_entropy(one(input_ids=ids).logits[0], targets)

    torch.testing.assert_close(loss(model), loss(whole))
    loss(model).backward()
    loss(whole).backward()
    tables = (whole.get_input_embeddings(), whole.get_output_embeddings())
    for rows, table in zip(weights, tables, strict=False):
        torch.testing.assert_close(rows.grad, table.weight.grad[new])
    optimizer = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=0.1, weight_decay=0.5)
    others = {name for name, w in model.named_parameters() if w.requires_grad and ".rows." not in name}
    for _ in range(3):
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()
    learned = logits(model, ids[0].tolist())
    fold_rows(model)
    torch.testing.assert_close(logits(model, ids[0].tolist()), learned)
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert (model.lm_head.weight is model.model.embed_tokens.weight) is tied
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        assert name not in others
        assert torch.equal(after[name][: new[0]], before[name][: new[0]])
        assert not torch.isclose(after[name][new], before[name][new]).all(dim=1).any()


@pytest.mark.parametrize("tied", [False, True])
def test_a_lora_and_trained_rows_become_part_of_a_full_backbone(tied, tmp_path):
    model, _, new = extended(tied=tied)
    train_rows(model, new)
    adapters = with_adapters(model, adapter_settings(), (Role.BACKBONE,))
    learns = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert {name for name in learns if ".adapters." not in name} == {
        f"{table}.rows.values" for table in (["model.embed_tokens"] if tied else ["model.embed_tokens", "lm_head"])
    }
    ids = [3, new[0], 5, new[2], 8]
    optimizer = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], lr=0.05)
    with adapters.select(ADAPTERS[Role.BACKBONE]):
        functional.cross_entropy(logits(model, ids), torch.tensor([new[0], 5, new[2], 8, 9])).backward()
        optimizer.step()
        expected = logits(model, ids)
    merge(model).save_pretrained(tmp_path)
    torch.testing.assert_close(logits(model, ids), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(logits(load_weights(str(tmp_path)), ids), expected, atol=1e-5, rtol=1e-5)


def test_only_a_single_plain_lora_is_merged():
    model = tiny()
    with_adapters(model, adapter_settings())
    with pytest.raises(ValueError, match="only a single LoRA"):
        merge(model)
    awake = tiny()
    with_adapters(awake, adapter_settings(AdapterKind.ALORA), (Role.CALLER,))
    with pytest.raises(ValueError, match="only a single LoRA"):
        merge(awake)


# --- a live agent -----------------------------------------------------------------------------------------

TOKENIZER = tiny_tokenizer(SharedFormat().special_tokens, end=SharedFormat().end)
TEXTS = ("<|user|>Paris<|end|>", "<|user|>the planner calls get_weather<|planner|>a<|end|>", "<|planner|>24 degrees")


@pytest.fixture
def run_directory(tmp_path):
    """A run whose roles are activated LoRAs on one backbone, as training writes it."""
    model = tiny_llama(len(TOKENIZER))
    model.save_pretrained(tmp_path / "backbone")
    TOKENIZER.save_pretrained(tmp_path / "backbone")
    woken = {role: TOKENIZER.encode(f"<|{role}|>", add_special_tokens=False) for role in THREE}
    settings = adapter_settings(AdapterKind.ALORA)
    adapters = attach(model, settings, THREE, invocations=woken)
    torch.manual_seed(3)
    for role in THREE:
        for name, weight in adapters.parameters(role).items():
            if name.endswith("lora_B"):
                torch.nn.init.normal_(weight, std=0.2)
        save_adapter(adapters, role, settings, tmp_path / role, base="../backbone")
    roles = {role.value: LocalConfig(model="backbone", adapter=role.value, device="cpu") for role in THREE}
    roles["backbone"] = LocalConfig(model="backbone", device="cpu")
    (tmp_path / "umi.toml").write_text(resolved(AgentConfig(format="shared", roles=RolesConfig(**roles))))
    return tmp_path


def under_generate(folder, requests, length):
    """What PEFT's own generate writes, request by request; a role without a folder is the base."""
    models = {}
    for role in {role for role, _ in requests}:
        models[role] = load_weights(str(folder / "backbone"))
        if (folder / role).exists():
            models[role] = PeftModel.from_pretrained(models[role], folder / role).eval()
    return [generated(models[role], prompt, length) for role, prompt in requests]


def generated(model, prompt, length):
    ids = torch.tensor([prompt_ids(TOKENIZER, prompt)])
    written = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=length,
        eos_token_id=TOKENIZER.encode("<|end|>", add_special_tokens=False)[0],
        pad_token_id=0,
    )
    return decode(TOKENIZER, written[0, ids.shape[1] :].tolist(), "<|end|>")


def spoken(models, requests, length):
    async def together():
        return await asyncio.gather(
            *(models[role].complete(prompt, Sampling(max_tokens=length)) for role, prompt in requests)
        )

    return [completion.text for completion in asyncio.run(together())]


def test_roles_on_one_backbone_write_what_peft_generates_together_and_in_one_memory(run_directory):
    loaded = open_agent(read_agent(run_directory))
    models = {role: loaded.agent.speakers[role].model for role in THREE}
    assert len({id(model._model._model) for model in models.values()}) == 1
    requests = [(role, text + f"<|{role}|>") for text in TEXTS for role in THREE]
    requests += [(Role.CALLER, TEXTS[0]), (Role.CALLER, "Paris<|caller|>Paris<|caller|>in one")]
    written = spoken(models, requests, 20)
    assert written == under_generate(run_directory, requests, 20)
    assert len(set(written)) > 6
    assert written == [spoken(models, [request], 20)[0] for request in requests]


def test_a_role_without_an_adapter_is_the_bare_backbone_beside_the_others(run_directory):
    folders = {Role.PLANNER: None, Role.CALLER: str(run_directory / "caller"), Role.SUMMARIZER: None}
    models = load_roles(str(run_directory / "backbone"), folders, end="<|end|>", device="cpu")
    assert models[Role.PLANNER] is models[Role.SUMMARIZER]
    prompt = TEXTS[0] + "<|caller|>"
    requests = [(Role.PLANNER, prompt), (Role.CALLER, prompt)]
    expected = under_generate(run_directory, [("no adapter", prompt), (Role.CALLER, prompt)], 12)
    assert spoken(models, requests, 12) == expected
    assert expected[0] != expected[1]


def test_the_backbone_alone_speaks_without_adapters(run_directory):
    loaded = open_agent(read_agent(run_directory), players=None)
    assert len(loaded.models) == 3
    config = read_agent(run_directory)
    alone = AgentConfig(format="shared", roles=RolesConfig(backbone=config.roles.backbone))
    (model,) = open_agent(alone).models
    assert isinstance(model, LocalModel)
    assert adapters_of(model._model) is None


def test_a_plain_lora_alone_on_its_base_is_merged_and_an_activated_one_is_not(run_directory, tmp_path):
    base = load_weights(str(run_directory / "backbone"))
    adapters = with_adapters(base, adapter_settings(), (Role.CALLER,))
    save_adapter(adapters, Role.CALLER, adapter_settings(), tmp_path / "plain")
    for folder, kind in ((tmp_path / "plain", LocalModel), (run_directory / "caller", AdaptedModel)):
        models = load_roles(str(run_directory / "backbone"), dict.fromkeys(THREE, str(folder)), end="<|end|>")
        assert len(set(models.values())) == 1
        assert isinstance(models[Role.CALLER], kind)
        prompt = TEXTS[1] + "<|caller|>"
        expected = under_generate(run_directory, [(folder, prompt)], 12)
        assert spoken(models, [(Role.PLANNER, prompt)], 12) == expected


def test_three_plain_loras_share_one_base(run_directory, tmp_path):
    adapters = with_adapters(load_weights(str(run_directory / "backbone")), adapter_settings())
    for role in THREE:
        save_adapter(adapters, role, adapter_settings(), tmp_path / role)
    folders = {role: str(tmp_path / role) for role in THREE}
    models = load_roles(str(run_directory / "backbone"), folders, end="<|end|>")
    requests = [(role, text) for role in THREE for text in TEXTS]
    assert spoken(models, requests, 12) == under_generate(run_directory, requests, 12)


def test_an_adapter_of_another_run_is_named_when_an_agent_is_opened(run_directory):
    tiny_llama(len(TOKENIZER), seed=8).save_pretrained(run_directory / "backbone")
    with pytest.raises(CheckpointError, match=r"planner: this adapter does not fit .* trained on other weights"):
        open_agent(read_agent(run_directory))
