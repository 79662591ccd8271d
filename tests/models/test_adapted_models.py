"""Backbones under adapters: new tokens, LoRAs that become weights, and live roles on one base."""

import asyncio
import copy

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch.nn import functional

from alpha_umi.config import AgentConfig, LocalConfig, RolesConfig, resolved
from alpha_umi.errors import CheckpointError
from alpha_umi.formats.shared import SharedFormat
from alpha_umi.formats.tokens import decode, prompt_ids
from alpha_umi.loading.agents import open_agent, read_agent
from alpha_umi.models.adapter_files import load_adapters, merge_folder, save_adapter
from alpha_umi.models.adapters import (
    ADAPTERS,
    AdapterKind,
    adapters_of,
    attach,
    merge,
)
from alpha_umi.models.checkpoint import load_tokenizer, load_weights
from alpha_umi.models.format_tokens import hold_tokens
from alpha_umi.models.local import AdaptedModel, LocalModel, load_roles
from alpha_umi.models.token_rows import fold_rows, train_rows, trained_rows
from alpha_umi.types import Role, Sampling
from support.adapted_models import (
    THREE,
    adapter_settings,
    logits,
    tiny,
    under_peft,
    with_adapters,
)
from support.tiny_models import tiny_llama, tiny_tokenizer

pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated"),
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
]
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
    invocations = {role: tokenizer.encode(f"<|{role}|>", add_special_tokens=False) for role in THREE}
    assert all(len(ids) == 1 and ids[0] in new for ids in invocations.values())
    settings = adapter_settings(AdapterKind.ALORA)
    adapters = attach(model, settings, THREE, invocations=invocations)
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


@pytest.mark.parametrize("tied", [False, True])
def test_a_backbone_kept_as_an_adapter_is_the_merged_one_under_its_roles(tied, tmp_path):
    model, tokenizer, new = extended(tied=tied)
    for folder in (tmp_path / "base", tmp_path / "plain"):
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    rows, settings = train_rows(model, new), adapter_settings()
    adapters = with_adapters(model, settings, (Role.BACKBONE,))
    with torch.no_grad():
        for weight in rows:
            weight.normal_(std=0.3)
    save_adapter(adapters, Role.BACKBONE, settings, tmp_path / "backbone", rows=trained_rows(model))
    whole = merge(model)
    ids = [3, new[0], 5, new[2], 8]
    expected = logits(whole, ids)
    fresh = load_weights(str(tmp_path / "base"))
    merge_folder(fresh, str(tmp_path / "backbone"))
    torch.testing.assert_close(logits(fresh, ids), expected)
    awake = adapter_settings(AdapterKind.ALORA)
    on_top = with_adapters(whole, awake, (Role.PLANNER,))
    save_adapter(on_top, Role.PLANNER, awake, tmp_path / "planner")
    merged, planner = str(tmp_path / "backbone"), {Role.PLANNER: str(tmp_path / "planner"), Role.CALLER: None}
    roles = load_roles(str(tmp_path / "base"), planner, end="", merged_adapter=merged)
    assert roles[Role.PLANNER].base is roles[Role.CALLER]
    with pytest.raises(CheckpointError, match="trained on other weights"):
        load_roles(str(tmp_path / "base"), planner, end="")
    with pytest.raises(CheckpointError, match="an activated LoRA, which cannot be merged"):
        merge_folder(load_weights(str(tmp_path / "base")), str(tmp_path / "planner"))
    (tmp_path / "backbone" / "token_rows.safetensors").write_bytes(b"cut")
    with pytest.raises(CheckpointError, match=r"token_rows\.safetensors: these rows do not fit"):
        merge_folder(load_weights(str(tmp_path / "base")), merged)


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
    invocations = {role: TOKENIZER.encode(f"<|{role}|>", add_special_tokens=False) for role in THREE}
    settings = adapter_settings(AdapterKind.ALORA)
    adapters = attach(model, settings, THREE, invocations=invocations)
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
    models = {role: loaded.agent.role_models[role].model for role in THREE}
    assert len({id(model._model._model) for model in models.values()}) == 1
    requests = [(role, text + f"<|{role}|>") for text in TEXTS for role in THREE]
    requests += [(Role.CALLER, TEXTS[0]), (Role.CALLER, "Paris<|caller|>Paris<|caller|>in one")]
    written = spoken(models, requests, 16)
    assert written == under_generate(run_directory, requests, 16)
    assert len(set(written)) > 6
    assert written[:3] == [spoken(models, [request], 16)[0] for request in requests[:3]]


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
    loaded = open_agent(read_agent(run_directory), kind=None)
    assert set(loaded.models) == {loaded.role_models[role].model for role in (*THREE, Role.BACKBONE)}
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
