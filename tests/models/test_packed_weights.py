"""Packed matrices of a GGUF file compute what bfloat16 weights do; what has changed of the weights since is seen."""

import pytest
import torch
from gguf import GGMLQuantizationType, dequantize, quantize
from torch.nn import functional

from alpha_umi.models import gguf_weights
from alpha_umi.models.checkpoint import load_to_run
from alpha_umi.models.engine.decoder import Linear
from alpha_umi.models.engine.engine import Engine
from alpha_umi.models.engine.requests import Request
from alpha_umi.models.generation import Generation
from alpha_umi.models.packed_weights import FEW, PackedLayers, can_pack, pack
from alpha_umi.types import Role, Sampling
from support.adapted_models import adapter_settings, with_adapters
from support.gguf_models import write_small

KINDS = ("Q4_0", "Q4_1", "Q8_0")
ROUNDING = 0.01
"""Of bfloat16, relative."""


def layer_of(kind, rows=128, columns=96, seed=0):
    """A bfloat16 layer with the values of random blocks, and these packed."""
    values = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) + 0.5
    blocks = quantize(values.numpy(), GGMLQuantizationType[kind])
    layer = Linear(columns, rows, bias=False)
    layer.weight.data = torch.from_numpy(dequantize(blocks, GGMLQuantizationType[kind]).copy()).bfloat16()
    planes = pack(kind, blocks.reshape(rows * columns // 32, -1), (rows, columns))
    assert planes is not None
    return layer.requires_grad_(requires_grad=False), planes


def rows_of(count, columns=96):
    return torch.randn(1, count, columns, generator=torch.Generator().manual_seed(9)).bfloat16()


def apart(found, expected):
    return ((found.float() - expected.float()).norm() / expected.float().norm()).item()


@pytest.mark.parametrize("kind", KINDS)
def test_layers_that_read_one_input_give_what_each_gives(kind):
    pairs = [layer_of(kind, rows, seed=rows) for rows in (128, 64, 64)]
    layers = [layer for layer, _ in pairs]
    layers[1].bias = torch.nn.Parameter(torch.randn(64).bfloat16(), requires_grad=False)
    packed = PackedLayers(layers, [planes for _, planes in pairs])
    for count in (1, FEW):
        given = rows_of(count)
        found = packed.outputs(given)
        assert found is not None
        for layer, own in zip(layers, found, strict=True):
            assert apart(own, functional.linear(given, layer.weight, layer.bias)) < ROUNDING
    assert packed.outputs(rows_of(FEW + 1)) is None


def test_a_kind_or_a_shape_that_cannot_be_packed_is_not():
    blocks = quantize(torch.randn(48, 96).numpy(), GGMLQuantizationType.Q8_0).reshape(144, -1)
    assert pack("Q8_0", blocks, (48, 96)) is None
    assert pack("Q6_K", blocks, (64, 72)) is None


def test_layers_with_a_changed_weight_run_as_they_are():
    layer, planes = layer_of("Q4_1")
    layer.packed = PackedLayers([layer], [planes])
    assert layer.packed.product(rows_of(1)) is not None
    layer.weight[3] += 1
    assert layer.packed.product(rows_of(1)) is None
    assert torch.equal(layer(rows_of(1)), functional.linear(rows_of(1), layer.weight))


@pytest.mark.parametrize("changed", [[3, 319], [3, 70, 321]])
def test_new_and_changed_rows_of_an_embedding_are_computed_by_themselves(changed):
    layer, planes = layer_of("Q8_0", rows=320)
    packed = PackedLayers([layer], [planes], rows_may_change=True)
    if changed[-1] >= len(layer.weight):
        layer.weight = torch.nn.Parameter(torch.cat((layer.weight, torch.randn(5, 96).bfloat16())), requires_grad=False)
        layer.out_features = 325
    layer.weight[changed] = torch.randn(len(changed), 96).bfloat16()
    found = packed.product(rows_of(2))
    assert found is not None
    assert apart(found, functional.linear(rows_of(2), layer.weight)) < ROUNDING
    layer.weight.add_(1)
    assert packed.product(rows_of(2)) is None


# --- whole models -----------------------------------------------------------------------------------------


def small(folder, monkeypatch, kind, *, packs=True):
    """A model of width 64 from a file of this kind, with packed layers or without."""
    monkeypatch.setattr(gguf_weights, "can_pack", lambda _: packs)
    square, wide, tall = (64, 64), (128, 64), (64, 128)
    shapes = {"token_embd.weight": (64, 64), **{f"{name}.weight": (64,) for name in ("output_norm", "blk.0.attn_norm")}}
    shapes |= {"blk.0.ffn_norm.weight": (64,), "blk.0.ffn_gate.weight": wide, "blk.0.ffn_up.weight": wide}
    shapes |= {f"blk.0.attn_{name}.weight": square for name in ("q", "k", "v", "output")}
    metadata = {"llama.embedding_length": 64, "llama.feed_forward_length": 128, "llama.rope.dimension_count": 32}
    path = write_small(
        folder / "m.gguf", metadata=metadata, tensors=shapes | {"blk.0.ffn_down.weight": tall},
        quantised=GGMLQuantizationType[kind],
    )  # fmt: skip
    return load_to_run(str(path), None, torch.bfloat16, "cpu")[0]


def written(model, *, adapter=0):
    """Tokens, and log-probabilities, of a completion."""
    engine, done = Engine(model), []
    prompt = [3, 4, 5, 6, 7, 2, 3, 9, 8, 11, 12, 7]
    generation = Generation(Sampling(max_tokens=6, logprobs=True), 6, frozenset(), str)
    engine.submit(
        Request(
            prompt=prompt, generation=generation, adapter=adapter, adapter_from=10 if adapter else 0, group=0,
            on_done=lambda request, error: done.append((request, error)),
        )
    )  # fmt: skip
    while not engine.idle:
        engine.step()
    assert done[0][1] is None
    return [token for token, _ in generation.logprobs], [logprob for _, logprob in generation.logprobs]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("adapter", [0, 1])
def test_a_packed_model_writes_what_its_bfloat16_weights_write(kind, adapter, tmp_path, monkeypatch):
    found = []
    for packs in (False, True):
        model = small(tmp_path, monkeypatch, kind, packs=packs)
        model.resize_token_embeddings(70)
        with torch.no_grad():
            model.lm_head.weight[66] = 2 * model.lm_head.weight[5]
        with_adapters(model, adapter_settings(), roles=[Role.PLANNER])
        assert (model.lm_head.packed is not None) == packs
        found.append(written(model, adapter=adapter))
    assert found[0][0] == found[1][0]
    assert found[0][1] == pytest.approx(found[1][1], abs=0.5)
    assert found[0][1] != found[1][1]


def test_float32_weights_are_not_packed():
    assert not can_pack(torch.float32)
