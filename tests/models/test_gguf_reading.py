"""GGUF files are read as the models that they are; what would be read otherwise is refused by name."""

import contextlib
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from alpha_umi.errors import CheckpointError
from alpha_umi.models.checkpoint import load_to_run, load_tokenizer, load_weights
from alpha_umi.models.gguf_files import write_model
from alpha_umi.models.gguf_pre_tokenizers import PRE_TOKENIZERS, name_of, read_parts, write_parts
from alpha_umi.models.gguf_reader import open_gguf
from alpha_umi.models.tokenizer_check import ODD_STRINGS
from support.gguf_models import MODELS, SHARED, TOKENIZER, saved, write_small

gguf = pytest.importorskip("gguf")


def running(name):
    return load_to_run(name, None, torch.float32, "cpu")


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_was_written_is_read_back_with_its_logits(name, tmp_path):
    model = saved(MODELS[name], tmp_path / "model")
    write_model(str(tmp_path / "model"), tmp_path / "m.gguf", end=SHARED.end)
    again = load_weights(str(tmp_path / "m.gguf"))
    ids = torch.randint(12, len(TOKENIZER), (2, 40), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(again(ids).logits, model(ids).logits, atol=1e-5, rtol=1e-5)
    assert again.config.max_position_embeddings == model.config.max_position_embeddings


def test_a_model_from_a_file_is_saved_and_loaded_like_any_other(tmp_path):
    first = load_weights(str(write_small(tmp_path / "m.gguf")))
    first.save_pretrained(tmp_path / "saved")
    again = load_weights(str(tmp_path / "saved"))
    ids = torch.arange(2, 12)[None]
    assert torch.equal(again(ids).logits, first(ids).logits)
    assert again.generation_config.eos_token_id == [0]


def test_reading_a_file_leaves_the_threads_of_torch_as_they_were(tmp_path):
    def of_a_new_thread():
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(torch.get_num_threads).result()

    before, path = torch.get_num_threads(), write_small(tmp_path / "m.gguf")
    try:
        torch.set_num_threads(3)
        load_weights(str(path))
        assert of_a_new_thread() == torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_tokenizer_that_was_written_is_read_back_with_its_ids(tmp_path):
    saved(MODELS["llama"], tmp_path / "model")
    write_model(str(tmp_path / "model"), tmp_path / "m.gguf", end=SHARED.end)
    again = load_tokenizer(str(tmp_path / "m.gguf"))
    for text in (*ODD_STRINGS, "the planner's 24 degrees<|call|><|end|>"):
        assert again.encode(text) == TOKENIZER.encode(text), text
    assert again.eos_token_id == TOKENIZER.eos_token_id


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_a_cut_is_written_as_a_tokenizer_file_has_it_and_read_back(name):
    known = PRE_TOKENIZERS[name]
    assert read_parts(write_parts(known.cut)["pretokenizers"]) == known.cut
    alike = name_of(known.cut, ignore_merges=known.ignore_merges)
    assert PRE_TOKENIZERS[alike].cut == known.cut


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q8_0", "Q5_0", "BF16", "F16"])
def test_quantised_weights_are_those_that_gguf_itself_reads(kind, tmp_path):
    kind = gguf.GGMLQuantizationType[kind]
    path = write_small(tmp_path / "m.gguf", quantised=kind)
    wanted = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    model = load_weights(str(path))
    for ours, theirs in (("model.layers.0.mlp.up_proj", "blk.0.ffn_up"), ("model.embed_tokens", "token_embd")):
        tensor = wanted[f"{theirs}.weight"]
        values = torch.from_numpy(gguf.dequantize(tensor.data, kind).copy()).float()
        assert torch.equal(model.get_parameter(f"{ours}.weight"), values)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architecture": "mamba"}, "architecture 'mamba'; GGUF files of llama, qwen2, qwen3 are read"),
        ({"metadata": {"llama.logit_scale": 2.0}}, "sets llama.logit_scale, which is not known here"),
        ({"metadata": {"llama.expert_count": 8}}, "a mixture of 8 experts"),
        ({"metadata": {"llama.rope.scaling.type": "yarn"}}, "RoPE scaled by 'yarn'"),
        ({"metadata": {"llama.rope.dimension_count": 8, "llama.attention.key_length": 16}}, "rotated in part"),
        ({"tensors": {"rope_freqs.weight": (8,)}}, "not Llama 3's"),
        ({"tensors": {"blk.0.attn_sinks.weight": (2,)}}, "a tensor blk.0.attn_sinks.weight"),
        ({"without": ("blk.0.ffn_up.weight",)}, "no weights for model.layers.0.mlp.up_proj.weight"),
        ({"tensors": {"blk.0.ffn_up.weight": (32, 64)}}, "a broken GGUF file"),
        ({"without": ("token_embd.weight",)}, "no embedding"),
        ({"without": ("llama.block_count",)}, "does not say llama.block_count"),
        ({"metadata": {"llama.block_count": "one"}}, "llama.block_count is str"),
    ],
)
def test_a_model_that_would_be_computed_otherwise_is_refused_by_name(changes, said, tmp_path):
    path = write_small(tmp_path / "m.gguf", **changes)
    for load in (load_weights, running):
        with pytest.raises(CheckpointError, match=said):
            load(str(path))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metadata": {"tokenizer.ggml.pre": "kimi-k2"}}, "cuts text as 'kimi-k2'"),
        ({"without": ("tokenizer.ggml.pre",)}, "does not say how its tokenizer cuts text"),
        ({"metadata": {"tokenizer.ggml.model": "llama"}}, "its tokenizer is of kind 'llama'"),
        ({"without": ("tokenizer.ggml.merges",)}, "does not say tokenizer.ggml.merges"),
        ({"metadata": {"tokenizer.ggml.merges": ["a z"]}}, "the tokenizer in this GGUF file is broken"),
        ({"metadata": {"tokenizer.ggml.merges": ["az"]}}, "'az' is no merge"),
        ({"metadata": {"tokenizer.ggml.token_type": [1, 3]}}, "13 tokens, 2 types"),
    ],
)
def test_a_tokenizer_that_would_be_read_otherwise_is_refused_by_name(changes, said, tmp_path):
    path = write_small(tmp_path / "m.gguf", **changes)
    for load in (load_tokenizer, running):
        with pytest.raises(CheckpointError, match=said):
            load(str(path))


def test_a_file_that_is_cut_anywhere_or_spoiled_is_an_error_or_a_model(tmp_path):
    whole = write_small(tmp_path / "m.gguf").read_bytes()
    draw, broken = random.Random(0), tmp_path / "broken.gguf"
    cuts = [whole[: draw.randrange(len(whole))] for _ in range(60)]
    header = whole.index(b"token_embd.weight")
    spoiled = [bytearray(whole) for _ in range(120)]
    for each in spoiled:
        each[draw.randrange(header + 400)] = draw.randrange(256)
    refused = 0
    for content in (b"", b"GGUF", *cuts, *spoiled):
        broken.write_bytes(content)
        for load in (load_weights, load_tokenizer, running):
            with contextlib.suppress(CheckpointError):
                refused += 1
                load(str(broken))
                refused -= 1
    assert refused >= 2 + len(cuts)
    assert len(open_gguf(tmp_path / "m.gguf").tensors) == 11
