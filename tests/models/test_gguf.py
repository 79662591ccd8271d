"""GGUF files for llama.cpp: what was written is read back and is the model, up to the order of rotated rows."""

import asyncio
import json
import tomllib

import numpy as np
import pytest
import torch
from tokenizers import Regex, pre_tokenizers
from transformers import LlamaConfig, MistralConfig, Qwen2Config

from alpha_umi.agent import MultiAgent
from alpha_umi.errors import CheckpointError
from alpha_umi.loading.agents import open_agent, read_agent
from alpha_umi.models.adapter_files import read_adapter, save_adapter
from alpha_umi.models.adapters import AdapterKind
from alpha_umi.models.gguf_files import reorder, write_adapter, write_model
from alpha_umi.types import Call, Decision, Plan, Role, Task, User
from support.adapted_models import THREE, WAKING, adapter_settings, tiny, with_adapters
from support.commands import run_here
from support.endpoint_server import Reply, serving, text_reply
from support.gguf_models import MODELS, SHARED, SIZES, TOKENIZER, saved
from support.tiny_models import tiny_tokenizer

gguf = pytest.importorskip("gguf")


def tensors(path):
    """By name, in the rows and columns of torch."""
    read = {}
    for tensor in gguf.GGUFReader(path).tensors:
        data = gguf.dequantize(tensor.data, tensor.tensor_type)
        read[tensor.name] = torch.from_numpy(np.array(data)).reshape(list(reversed(tensor.shape.tolist())))
    return read


def told(path):
    fields = gguf.GGUFReader(path).fields
    return {name: field.contents() for name, field in fields.items()}


def neighbours_apart(weight, heads):
    """The inverse of `reorder`, said in another way: row 2i of a head goes to i, row 2i + 1 to the second half."""
    rows = weight.reshape(heads, -1, *weight.shape[1:])
    return torch.cat([rows[:, 0::2], rows[:, 1::2]], dim=1).reshape(weight.shape)


@pytest.mark.parametrize("name", MODELS)
def test_every_tensor_of_a_model_is_read_back(name, tmp_path):
    model = saved(MODELS[name], tmp_path / "model")
    write_model(str(tmp_path / "model"), tmp_path / "m.gguf", end=SHARED.end)
    read, config = tensors(tmp_path / "m.gguf"), MODELS[name]
    rotated = {"q_proj": 4, "k_proj": 2} if name in ("llama", "llama 3", "mistral") else {}
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[told(tmp_path / "m.gguf")["general.architecture"].upper()], 2)
    wanted = dict(model.state_dict())
    if config.tie_word_embeddings:
        del wanted["lm_head.weight"]
    factors = read.pop("rope_freqs.weight", None)
    assert len(read) == len(wanted)
    for theirs, tensor in wanted.items():
        found = read[names.get_name(theirs, try_suffixes=(".weight", ".bias"))]
        layer = theirs.split(".")[-2]
        again = neighbours_apart(found, rotated[layer]) if layer in rotated else found
        assert torch.equal(again, tensor), theirs
    if name == "llama 3":
        plain = 1.0 / 500000.0 ** (torch.arange(0, 8, 2) / 8)
        torch.testing.assert_close(plain / factors, model.model.rotary_emb.inv_freq)
    else:
        assert factors is None


def test_rotated_rows_become_neighbours():
    assert reorder(torch.arange(8), 2).tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_a_model_says_what_llama_cpp_needs_to_know(tmp_path):
    saved(MODELS["qwen3"], tmp_path / "model", torch.bfloat16)
    write_model(str(tmp_path / "model"), tmp_path / "m.gguf", end=SHARED.end)
    read = told(tmp_path / "m.gguf")
    assert read["general.architecture"] == "qwen3"
    assert read["general.file_type"] == gguf.LlamaFileType.MOSTLY_BF16
    sizes = {"block_count": 2, "embedding_length": 32, "feed_forward_length": 48, "context_length": 256}
    sizes |= {"attention.head_count": 4, "attention.head_count_kv": 2, "attention.key_length": 8}
    assert {name: read[f"qwen3.{name}"] for name in sizes} == sizes
    tokens, kinds = read["tokenizer.ggml.tokens"], read["tokenizer.ggml.token_type"]
    assert len(tokens) == len(TOKENIZER) + 3
    assert tokens[TOKENIZER.convert_tokens_to_ids("<|call|>")] == "<|call|>"
    assert kinds[TOKENIZER.convert_tokens_to_ids("<|call|>")] == gguf.TokenType.CONTROL
    assert kinds[-1] == gguf.TokenType.UNUSED
    assert read["tokenizer.ggml.eos_token_id"] == TOKENIZER.eos_token_id
    assert read["tokenizer.ggml.add_bos_token"] is True
    types = {tensor.name: tensor.tensor_type for tensor in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
    assert types["output_norm.weight"] == gguf.GGMLQuantizationType.F32
    assert types["blk.0.attn_q.weight"] == gguf.GGMLQuantizationType.BF16


@pytest.mark.parametrize("kind", AdapterKind)
def test_adapters_are_read_back_with_their_scale_and_what_wakes_them(kind, tmp_path):
    model, settings = tiny(), adapter_settings(kind)
    adapters = with_adapters(model, settings)
    model.config.save_pretrained(tmp_path / "base")
    save_adapter(adapters, Role.CALLER, settings, tmp_path / "caller")
    write_adapter(str(tmp_path / "caller"), str(tmp_path / "base"), tmp_path / "a.gguf")
    read, facts = tensors(tmp_path / "a.gguf"), told(tmp_path / "a.gguf")
    pairs = read_adapter(str(tmp_path / "caller")).pairs
    assert len(read) == 2 * len(pairs)
    lora_a, lora_b = pairs["model.layers.1.self_attn.k_proj"]
    assert torch.equal(read["blk.1.attn_k.weight.lora_a"], lora_a)
    assert torch.equal(neighbours_apart(read["blk.1.attn_k.weight.lora_b"], 2), lora_b)
    assert (facts["general.type"], facts["adapter.type"]) == ("adapter", "lora")
    assert facts["adapter.lora.alpha"] == settings.alpha
    # llama.cpp's server begins one token before the invocation
    waking = list(WAKING[Role.CALLER][1:]) if kind is AdapterKind.ALORA else None
    assert facts.get("adapter.alora.invocation_tokens") == waking


def test_an_adapter_that_one_token_wakes_is_woken_by_the_opening_of_every_prompt(tmp_path):
    model, settings = tiny(), adapter_settings(AdapterKind.ALORA)
    adapters = with_adapters(model, settings)
    model.config.save_pretrained(tmp_path / "base")
    save_adapter(adapters, Role.PLANNER, settings, tmp_path / "planner")
    write_adapter(str(tmp_path / "planner"), str(tmp_path / "base"), tmp_path / "a.gguf", opening=1)
    assert told(tmp_path / "a.gguf")["adapter.alora.invocation_tokens"] == [1]
    with pytest.raises(CheckpointError, match="with which token prompts begin"):
        write_adapter(str(tmp_path / "planner"), str(tmp_path / "base"), tmp_path / "b.gguf")


def test_what_scales_layers_differently_goes_into_their_weights(tmp_path):
    model, settings = tiny("qwen2"), adapter_settings()
    adapters = with_adapters(model, settings)
    model.config.save_pretrained(tmp_path / "base")
    save_adapter(adapters, Role.CALLER, settings, tmp_path / "caller")
    path = tmp_path / "caller" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"use_rslora": True, "alpha_pattern": {"v_proj": 2}}))
    write_adapter(str(tmp_path / "caller"), str(tmp_path / "base"), tmp_path / "a.gguf")
    read, pairs = tensors(tmp_path / "a.gguf"), read_adapter(str(tmp_path / "caller")).pairs
    alpha, rank = 8.0, 4
    for layer, theirs, own in (("q_proj", "attn_q", 8.0), ("v_proj", "attn_v", 2.0)):
        applied = read[f"blk.0.{theirs}.weight.lora_b"] * alpha / rank
        torch.testing.assert_close(applied, pairs[f"model.layers.0.self_attn.{layer}"][1] * own / rank**0.5)


# --- refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (MistralConfig(**SIZES, sliding_window=16), "sliding-window"),
        (Qwen2Config(**SIZES, use_sliding_window=True, sliding_window=16, max_window_layers=1), "sliding-window"),
        (LlamaConfig(**SIZES, hidden_act="gelu"), "gelu"),
        (LlamaConfig(**SIZES, rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}), "dynamic"),
    ],
)
def test_what_llama_cpp_would_compute_otherwise_is_refused(config, said, tmp_path):
    saved(config, tmp_path / "model")
    with pytest.raises(CheckpointError, match=said):
        write_model(str(tmp_path / "model"), tmp_path / "m.gguf", end=SHARED.end)
    assert not list(tmp_path.glob("*.gguf"))


def test_a_tokenizer_that_llama_cpp_would_read_otherwise_is_refused(tmp_path):
    saved(MODELS["llama"], tmp_path / "model")
    other = tiny_tokenizer(SHARED.special_tokens, end=SHARED.end)
    other.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex("a|b"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    other.save_pretrained(tmp_path / "model")
    with pytest.raises(CheckpointError, match="how it cuts text"):
        write_model(str(tmp_path / "model"), tmp_path / "m.gguf", end=SHARED.end)


# --- a whole run ------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    """A run of activated adapters on one base."""
    folder = tmp_path / "run"
    model = saved(LlamaConfig(**SIZES), folder / "backbone")
    adapters = with_adapters(model, adapter_settings(AdapterKind.ALORA))
    for role in THREE:
        save_adapter(adapters, role, adapter_settings(AdapterKind.ALORA), folder / role.value)
    (folder / "format.json").write_text(json.dumps(SHARED.to_document()))
    roles = "".join(f'[roles.{role.value}]\nmodel = "backbone"\nadapter = "{role.value}"\n' for role in THREE)
    (folder / "umi.toml").write_text(f'format = "format.json"\n{roles}[roles.backbone]\nmodel = "backbone"\n')
    return folder


def test_a_run_becomes_a_folder_that_serves_it(run, tmp_path):
    out = tmp_path / "served"
    ended = run_here("export", "gguf", run, "--out", out)
    assert ended.code == 0, ended.err
    files = {"model.gguf", *(f"{role.value}.lora.gguf" for role in THREE)}
    assert {path.name for path in out.iterdir()} == {*files, "agent.toml", "format.json"}
    (command,) = [line for line in ended.out.splitlines() if "llama-server" in line]
    assert command.count("--lora ") == 3
    assert "--lora-init-without-apply" in command
    assert "--special" in command
    assert "--parallel 4 --ctx-size 1024" in command
    written = tomllib.loads((out / "agent.toml").read_text())
    named = {role: config["extra"]["lora"] for role, config in written["roles"].items()}
    assert named["caller"] == [{"id": 0, "scale": 0.0}, {"id": 1, "scale": 1.0}, {"id": 2, "scale": 0.0}]
    assert named["backbone"] == [{"id": number, "scale": 0.0} for number in range(3)]
    assert not any(written["roles"][role]["extra"]["cache_prompt"] for role in ("caller", "backbone"))
    assert written["roles"]["planner"]["prefill"] == {
        "without": "<|planner|>",
        "extra": {"lora": named["backbone"], "cache_prompt": False},
    }
    assert written["sampling"]["stop"] == ["<|end|>"]


def test_every_role_of_the_served_agent_asks_for_its_own_adapter(run, tmp_path):
    out = tmp_path / "served"
    assert run_here("export", "gguf", run, "--out", out).code == 0
    with serving(Reply(body=text_reply("weather\n{}<|end|>"))) as server:
        text = (out / "agent.toml").read_text().replace("http://127.0.0.1:8080/v1", server.url)
        (out / "agent.toml").write_text(text)
        loaded = open_agent(read_agent(out / "agent.toml"))
        assert isinstance(loaded.agent, MultiAgent)

        async def ask():
            async with loaded:
                asked = (User(text="Hi"), Plan(thought="Call.", decision=Decision.CALL))
                return await loaded.agent.propose(Task(id="t", query="Hi"), asked)

        proposal = asyncio.run(ask())
    assert proposal.turns == (Call(name="weather", arguments="{}"),)
    assert server.received[0].body["lora"][1] == {"id": 1, "scale": 1.0}
    assert server.received[0].body["prompt"].endswith("<|caller|>")
    assert server.received[0].body["stop"] == ["<|end|>"]


def test_examples_need_all_their_options():
    ended = run_here("export", "--role", "planner")
    assert ended.code == 2
    assert "umi export gguf" in ended.err
