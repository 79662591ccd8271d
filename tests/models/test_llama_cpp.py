"""What llama.cpp's server computes with exported files is what torch computes, and it reads text as the same ids."""

import asyncio
from pathlib import Path

import pytest
import torch

from alpha_umi.config import AgentConfig
from alpha_umi.formats.load import builtin
from alpha_umi.jobs.gguf import export_run
from alpha_umi.loading.agents import open_agent, read_agent
from alpha_umi.loading.environments import open_environment
from alpha_umi.models.adapter_files import save_adapter
from alpha_umi.models.adapters import AdapterKind
from alpha_umi.models.checkpoint import load_tokenizer
from alpha_umi.models.gguf_files import write_adapter, write_model
from alpha_umi.models.gguf_pre_tokenizers import PRE_TOKENIZERS
from support.adapted_models import THREE, WAKING, adapter_settings, example, numbers, with_adapters
from support.gguf_models import MODELS, TOKENIZER, saved, write_odd
from support.llama_server import llama_server
from support.odd_texts import odd_texts

pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
pytestmark = pytest.mark.slow
END = builtin("shared").end
ROWS = len(TOKENIZER) + 3


def assert_alike(found, expected):
    assert len(found) > 300
    for token, logprob in found.items():
        assert logprob == pytest.approx(expected[token].item(), abs=1e-3), token


@pytest.mark.parametrize("name", MODELS)
def test_llama_cpp_computes_the_same_probabilities(name, tmp_path):
    model = saved(MODELS[name], tmp_path / "model")
    write_model(str(tmp_path / "model"), tmp_path / "m.gguf", end=END)
    ids = torch.randint(12, len(TOKENIZER), (60,), generator=torch.Generator().manual_seed(0)).tolist()
    with llama_server(tmp_path / "m.gguf", exact=True) as server:
        for length in (1, 7, 60):
            expected = model(torch.tensor([ids[:length]])).logits[0, -1].log_softmax(-1)
            assert_alike(server.logprobs(ids[:length], ROWS), expected)


@pytest.mark.parametrize("kind", AdapterKind)
def test_llama_cpp_computes_the_same_probabilities_with_strong_adapters_in_turn(kind, tmp_path):
    model = saved(MODELS["llama"], tmp_path / "model")
    write_model(str(tmp_path / "model"), tmp_path / "m.gguf", end=END)
    settings, bos = adapter_settings(kind), TOKENIZER.bos_token_id
    adapters, files = with_adapters(model, settings), [tmp_path / f"{role.value}.gguf" for role in THREE]
    for role, path in zip(THREE, files, strict=True):
        save_adapter(adapters, role, settings, tmp_path / role.value)
        write_adapter(str(tmp_path / role.value), str(tmp_path / "model"), path, opening=bos)
    none = [{"id": number, "scale": 0.0} for number in range(3)]
    with llama_server(tmp_path / "m.gguf", files, exact=True) as server:
        for number, role in [*enumerate(THREE), (0, THREE[0])]:
            ids, length = example(role, seed=5, length=30)
            ids = [bos, *ids[:length]]
            acting = torch.tensor([numbers(role, kind, ids)], dtype=torch.int8)
            with adapters.select(acting):
                expected = model(torch.tensor([ids]), use_cache=False).logits[0, -1].log_softmax(-1)
            own = [{**each, "scale": float(each["id"] == number)} for each in none]
            prefilled = kind is AdapterKind.ALORA and len(WAKING[role]) == 1
            if prefilled:
                server.post("/completion", prompt=ids[:-1], n_predict=0, lora=none, cache_prompt=False, id_slot=0)
            found = server.logprobs(ids, ROWS, lora=own, cache_prompt=prefilled, id_slot=0)
            assert_alike(found, expected)
            base = model(torch.tensor([ids]), use_cache=False).logits[0, -1].log_softmax(-1)
            assert (base - expected).abs().max() > 0.5


def test_the_bundled_agent_answers_alike_behind_llama_cpp(tmp_path):
    exported = export_run(read_agent(Path("umi-tiny")), tmp_path / "served")
    adapters = [path for path in exported.files if path.name.endswith(".lora.gguf")]
    config = read_agent(exported.agent)
    assert all(config.roles.get(role).prefill for role in THREE)
    with llama_server(exported.files[0], adapters, context=2048, slots=4, exact=True) as server:
        here = roll_out(read_agent(Path("umi-tiny")))
        there = roll_out(served_at(config, server.url))
    assert there == here


def served_at(config: AgentConfig, url):
    roles = {
        name: None if role is None else role.model_copy(update={"base_url": f"{url}/v1"})
        for name, role in dict(config.roles).items()
    }
    return config.model_copy(update={"roles": config.roles.model_copy(update=roles)})


def roll_out(config):
    """Turns of the agent on six tasks of its world, at once."""
    from alpha_umi.config import EnvironmentConfig, WorldConfig
    from alpha_umi.datasets.queries import Query
    from alpha_umi.search import Limits, Tree, open_strategy
    from alpha_umi.search.solve import solve
    from alpha_umi.world import World

    tasks = [World("small").task("G1_tool", 10_000 + index) for index in range(6)]

    async def one(loaded, environments, task):
        tree = Tree(task=task)
        await solve(
            tree, loaded.agent, environments.open(Query(task=task)), Limits(max_steps=6), open_strategy("chain")
        )
        return tree.best.turns

    async def all_of_them():
        async with (
            open_agent(config) as loaded,
            open_environment(EnvironmentConfig(world=WorldConfig())) as environments,
        ):
            return await asyncio.gather(*(one(loaded, environments, task) for task in tasks))

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_llama_cpp_reads_text_as_the_same_ids_for_every_cut(name, tmp_path):
    path = write_odd(tmp_path / "m.gguf", name)
    tokenizer = load_tokenizer(str(path))
    with llama_server(path) as server:
        for text in odd_texts(50):
            assert server.tokens(text) == tokenizer.encode(text, add_special_tokens=False), text


def test_llama_cpp_reads_text_as_the_same_ids_for_a_tokenizer_learned_here(tmp_path):
    saved(MODELS["llama"], tmp_path / "model")
    write_model(str(tmp_path / "model"), tmp_path / "m.gguf", end=END)
    with llama_server(tmp_path / "m.gguf") as server:
        for text in (*odd_texts(100), "<|planner|>don't<|call|><|end|>"):
            assert server.tokens(text) == TOKENIZER.encode(text, add_special_tokens=False), text
