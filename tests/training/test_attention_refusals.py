"""Models and inputs that tree attention cannot train exactly are refused by name, never computed wrongly."""

import re

import numpy as np
import pytest
import torch
from transformers import CONFIG_MAPPING, LlamaForCausalLM
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from alpha_umi.training.attention import NAME, packed_trees_loss, tree_attention, unsupported_reason
from alpha_umi.training.data.packing import WeightedExample, pack_prefix_trees
from alpha_umi.training.trees import Trees
from support.tree_models import (
    VOCABULARY,
    difference,
    on_trees,
    one_by_one,
    tiny_config,
    tiny_model,
)  # fmt: skip

KINDS = {
    "llama": ("llama", {"num_key_value_heads": 4}),
    "llama with grouped heads": ("llama", {}),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {}),
    "mistral": ("mistral", {"sliding_window": None}),
}
MODELS = {(name, dtype): tiny_model(KINDS[name][0], dtype, **KINDS[name][1]) for name in KINDS for dtype in
          (torch.float32, torch.float64)}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Tiny tensors are slower on several threads, and much slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def example(ids, learned):
    """The loss falls on the last `learned` ids."""
    return WeightedExample(ids=ids, weights=[0.0] * (len(ids) - learned) + [1.0] * learned)


def branching(seed=0):
    """Examples with branches off branches, duplicates, one the prefix of another, and two trees."""
    random = np.random.default_rng(seed)
    ids = random.integers(2, VOCABULARY, 400).tolist()
    trunk = ids[:60]
    rows = [trunk[:20] + ids[100:107], trunk[:20] + ids[110:119], trunk[:40] + ids[120:150], trunk + ids[150:190]]
    rows += [rows[2][:65] + ids[200:220], rows[3][:-5] + ids[220:230], rows[3][:80], [1, *ids[300:320]]]
    found = [example(row, 6) for row in rows]
    return [*found, found[0]]


def assert_same(dtype, trees, rows):
    within = 1e-6 if dtype == torch.float32 else 1e-12
    assert trees[0] == pytest.approx(rows[0], rel=within)
    whole = torch.cat([gradient.flatten() for gradient in rows[1].values()])
    moved = torch.cat([trees[1][name].flatten() for name in rows[1]]) - whole
    assert moved.norm() <= within * whole.norm()
    assert difference(trees[1], rows[1]) <= within


# --- what cannot be trained so ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "changes", "reason"),
    [
        ("mamba", {}, "forgets its state"),
        ("minimax", {}, "recurrent state in a way of its own"),
        ("deepseek_v32", {}, "indexer"),
        ("qwen4_exp_text", {}, "indexed_attention"),
        ("llama4_text", {}, "place in the row"),
        ("gemma3_text", {"use_bidirectional_attention": True}, "both directions"),
        ("llama", {"attention_dropout": 0.1}, "drops"),
        ("gpt2", {}, "attn_pdrop"),
        ("llama", {"is_causal": False}, "both directions"),
        ("llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}}, "dynamic"),
        ("bert", {}, "never compared"),
        ("bloom", {}, "code of its own"),
        ("t5", {}, "never compared"),
    ],
)
def test_what_does_not_suit_is_named(kind, changes, reason):
    config = CONFIG_MAPPING[kind](**({"max_position_embeddings": 64} | changes))
    assert re.search(reason, unsupported_reason(config, 100) or "")


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("mistral", {"sliding_window": 105}),
        ("qwen2", {"sliding_window": 9, "use_sliding_window": False}),
        ("llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}}),
    ],
)
def test_what_never_comes_into_play_does_not_matter(kind, changes):
    assert unsupported_reason(tiny_config(kind, **changes), 105) is None
    model, examples = tiny_model(kind, torch.float64, **changes), branching()
    assert_same(torch.float64, on_trees(model, pack_prefix_trees(examples)), one_by_one(model, examples))


@pytest.mark.parametrize("kind", ["nemotron", "minimax", "falcon_h1", "stablelm", "bloom"])
def test_what_does_not_suit_raises_rather_than_learn_something_else(kind):
    changes = {"head_dim": 8, "num_local_experts": 2, "n_routed_experts": 2}
    model = tiny_model(kind, **changes)
    assert unsupported_reason(model.config, 100) is not None
    with tree_attention(model), pytest.raises(ValueError, match="tree"):
        packed_trees_loss(model, pack_prefix_trees(branching())[0])


# --- silent traps -----------------------------------------------------------------------------------------


def test_depths_as_positions_alone_would_cut_the_branches_off():
    """The trap is real: transformers takes a branch for the next of several packed rows."""
    model = MODELS["llama", torch.float64]
    (forest,) = pack_prefix_trees([example([1, 2, 3, 4], 1), example([1, 2, 5, 6], 1)])
    ids, depths = torch.tensor(forest.ids)[None].long(), torch.tensor(forest.depths)[None].long()
    branch = torch.tensor([[1, 2, 5, 6]])
    with torch.no_grad():
        alone = model(input_ids=branch, use_cache=False).logits[0, -1]
        trapped = model(input_ids=ids, position_ids=depths, use_cache=False).logits[0, -1]
        with tree_attention(model):
            trees, mask = Trees(forest, ids.device), torch.ones_like(ids)
            seen = model(input_ids=ids, position_ids=depths, attention_mask=mask, use_cache=False, trees=trees).logits
    assert (trapped - alone).abs().max() > 1e-3
    assert (seen[0, -1] - alone).abs().max() < 1e-12


def test_outside_of_tree_attention_nothing_is_computed_wrongly():
    with pytest.raises(ValueError, match="0 of 2 layers"):
        packed_trees_loss(MODELS["llama", torch.float32], pack_prefix_trees(branching())[0])


def test_a_backward_pass_outside_of_tree_attention_raises():
    """Gradient checkpointing would compute the layers again, by another attention."""
    model = MODELS["llama", torch.float32]
    with tree_attention(model):
        loss, _ = packed_trees_loss(model, pack_prefix_trees(branching())[0])
    with pytest.raises(ValueError, match="backward"):
        loss.backward()


def test_a_model_with_tree_attention_does_not_take_plain_rows():
    model = MODELS["llama", torch.float32]
    with tree_attention(model), pytest.raises(ValueError, match="did not reach"):
        model(input_ids=torch.tensor([[1, 2, 3]]))


def call(model, **inputs):
    (forest,) = pack_prefix_trees([example([1, 2, 3, 4], 1), example([1, 2, 5, 6], 1)])
    ids = torch.tensor(forest.ids)[None].long()
    with tree_attention(model):
        inputs = {"attention_mask": torch.ones_like(ids)} | inputs
        return model(input_ids=ids, trees=Trees(forest, ids.device), use_cache=False, **inputs)


@pytest.mark.parametrize("mask", [torch.ones(1, 1, 6, 6, dtype=torch.bool), torch.zeros(1, 1, 6, 6)])
def test_a_mask_that_would_be_dropped_raises(mask):
    with pytest.raises(ValueError, match="mask"):
        call(MODELS["llama", torch.float32], attention_mask=mask)


def test_a_mask_function_under_our_name_raises():
    model = MODELS["llama", torch.float32]
    (forest,) = pack_prefix_trees([example([1, 2, 3, 4], 1), example([1, 2, 5, 6], 1)])
    ids = torch.tensor(forest.ids)[None].long()
    with tree_attention(model):
        AttentionMaskInterface.register(NAME, sdpa_mask)
        with pytest.raises(ValueError, match="mask"):
            model(input_ids=ids, position_ids=torch.tensor([[0, 1, 2, 3, 2, 3]]), trees=Trees(forest, ids.device))


def test_positions_that_would_be_taken_for_packed_texts_raise():
    with pytest.raises(ValueError, match="mask"):
        call(MODELS["llama", torch.float32], position_ids=torch.tensor([[0, 1, 2, 3, 2, 3]]), attention_mask=None)


@pytest.mark.parametrize(
    "unknown", [{"position_bias": torch.ones(4)}, {"is_causal": False}, {"cu_seq_lens_q": torch.ones(3)}]
)
def test_an_argument_that_the_attention_does_not_know_raises(unknown):
    with pytest.raises(ValueError, match=next(iter(unknown))):
        call(MODELS["llama", torch.float32], **unknown)


def test_attention_dropout_raises():
    model = tiny_model("llama", attention_dropout=0.1)
    with pytest.raises(ValueError, match="dropout"):
        call(model)


def test_several_rows_at_once_raise():
    model = MODELS["llama", torch.float32]
    (forest,) = pack_prefix_trees([example([1, 2, 3, 4], 1)])
    trees = Trees(forest, torch.device("cpu"))
    ids = torch.ones(2, 4, dtype=torch.long)
    with tree_attention(model), pytest.raises(ValueError, match="4 tokens"):
        model(input_ids=ids, attention_mask=torch.ones_like(ids), trees=trees, use_cache=False)


class ProjectsAll(LlamaForCausalLM):
    """A model that does not know of logits_to_keep."""

    def forward(self, logits_to_keep=0, **inputs):
        return super().forward(**inputs)


def test_a_model_that_projects_other_positions_raises():
    model = ProjectsAll(tiny_config("llama"))
    with tree_attention(model), pytest.raises(ValueError, match="projected"):
        packed_trees_loss(model, pack_prefix_trees(branching())[0])


@pytest.mark.parametrize("before", ["sdpa", "eager"])
def test_what_was_there_is_restored_after_an_error_too(before):
    model = tiny_model("llama")
    model.set_attn_implementation(before)
    ids = torch.tensor([[1, 2, 3]])
    logits = model(input_ids=ids).logits
    with tree_attention(model), tree_attention(model):
        assert model.config._attn_implementation == model.model.config._attn_implementation == NAME
    with pytest.raises(KeyError), tree_attention(model):
        raise KeyError
    assert model.config._attn_implementation == model.model.config._attn_implementation == before
    assert torch.equal(model(input_ids=ids).logits, logits)
