"""Weights of 8 bits for decoding: the outputs of their dequantised values, whatever else is computed beside them."""

import asyncio
import copy

import pytest
import torch
from torch import nn

from alpha_umi.config import AgentConfig
from alpha_umi.errors import CheckpointError, ConfigError
from alpha_umi.models.adapters import AdapterKind, adapters_of
from alpha_umi.models.int8 import Int8Linear, packed_bytes, quantize_int8
from alpha_umi.models.local import LocalModel
from alpha_umi.types import Role, Sampling
from support.adapted_models import adapter_settings, tiny, with_adapters
from support.tiny_models import tiny_llama, tiny_tokenizer

if "fbgemm" not in torch.backends.quantized.supported_engines:
    pytest.skip("this torch has no kernels of 8 bits", allow_module_level=True)


def dequantised(model):
    """The same weights without the kernels of 8 bits."""
    plain = copy.deepcopy(model)
    for module in plain.modules():
        if isinstance(module, Int8Linear):
            module.__class__ = nn.Linear
            vars(module).pop("_packed")
    return plain


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@torch.inference_mode()
def test_a_decoding_step_is_that_of_the_dequantised_weights(kind):
    model = tiny(kind)
    quantize_int8(model)
    plain, tokens = dequantised(model), torch.tensor([[5, 9, 2]])
    assert packed_bytes(model) > 0 == packed_bytes(plain)
    found, expected = model(tokens).logits, plain(tokens).logits
    assert not torch.equal(found, expected)
    assert (found - expected).norm() / expected.norm() < 1e-3


@torch.inference_mode()
def test_a_row_is_computed_alike_whatever_stands_beside_it_and_nan_stays_nan():
    torch.manual_seed(0)
    linear = nn.Linear(64, 48)
    host = tiny_llama(20)
    host.model.layers[0].self_attn.o_proj = linear
    quantize_int8(host)
    rows = torch.randn(4, 64) * torch.tensor([[1e-6], [1.0], [300.0], [0.0]])
    alone = torch.cat([linear(row[None]) for row in rows])
    assert torch.equal(linear(rows), alone)
    exact = nn.functional.linear(rows, linear.weight, linear.bias)
    wrong = (alone - exact).norm(dim=1)
    assert (wrong <= 1e-3 * (exact - linear.bias).norm(dim=1) + 1e-6).all()
    assert torch.equal(alone[3], linear.bias)
    assert linear(torch.full((1, 64), float("nan"))).isnan().all()
    assert not linear(torch.full((1, 64), float("inf"))).isfinite().any()


def test_adapters_act_on_quantised_weights_as_on_the_dequantised():
    model = tiny()
    with_adapters(model, adapter_settings(AdapterKind.ALORA))
    quantize_int8(model)
    plain, tokens = dequantised(model), torch.tensor([[5, 9, 2]])
    for acting in ([0, 1, 1], [1, 0, 1], [1, 2, 3], [2, 2, 2]):
        selected = torch.tensor(acting)
        with torch.inference_mode(), adapters_of(model).select(selected), adapters_of(plain).select(selected):
            found, expected = model(tokens).logits, plain(tokens).logits
        assert (found - expected).norm() / expected.norm() < 1e-3


def test_the_engine_writes_with_quantised_weights_what_it_writes_with_their_values():
    tokenizer, weights = tiny_tokenizer(), tiny_llama(len(tiny_tokenizer()))
    quantize_int8(weights)

    async def written(model):
        prompts = [f"what {n} is it" for n in range(3)]
        done = await asyncio.gather(*(model.complete(prompt, Sampling(max_tokens=8)) for prompt in prompts))
        await model.aclose()
        return [one.text for one in done]

    found, expected = (
        asyncio.run(written(LocalModel(each, tokenizer, end="</s>"))) for each in (weights, dequantised(weights))
    )
    assert found == expected


def test_what_cannot_be_quantised_is_said():
    with pytest.raises(CheckpointError, match="float32 weights on a CPU, and these are bfloat16"):
        quantize_int8(tiny_llama(20).bfloat16())
    server = {"model": "m", "base_url": "http://localhost:1/v1"}
    agent = AgentConfig.model_validate(
        {"format": "chat", "roles": dict.fromkeys(("planner", "caller", "summarizer"), server)}
    )
    with pytest.raises(ConfigError, match="this agent has none"):
        agent.with_local_settings(quantize="int8")
    local = agent.model_validate({"format": "chat", "roles": {"backbone": {"model": "m"}}})
    assert local.with_local_settings(quantize="int8").roles.get(Role.BACKBONE).quantize == "int8"
