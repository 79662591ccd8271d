"""Training on trees is training on rows: losses and gradients, whichever way they are computed."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from torch.nn.attention.flex_attention import flex_attention

from alpha_umi.datasets.processed import read_processed
from alpha_umi.formats.tokens import completion_ids, prompt_ids
from alpha_umi.loading.formats import open_format
from alpha_umi.models.architectures import PROVEN
from alpha_umi.training import attention
from alpha_umi.training.attention import Scoring, packed_trees_loss, tree_attention, unsupported_reason
from alpha_umi.training.data.examples import make_examples
from alpha_umi.training.data.packing import WeightedExample, concatenate, pack_prefix_trees
from alpha_umi.training.tokenizer import learn_tokenizer
from alpha_umi.training.trees import Trees
from alpha_umi.types import Role
from support.examples import examples
from support.published_data import OUT_OF_DOMAIN, PUBLISHED_FORMAT
from support.tree_models import (
    MAMBA_LAYERS,
    PARTICULARS,
    VOCABULARY,
    difference,
    family_config,
    on_trees,
    one_by_one,
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


@st.composite
def labelled(draw, alphabet):
    ids = draw(st.lists(st.integers(0, alphabet - 1), min_size=2, max_size=20))
    weights = draw(st.lists(st.sampled_from([0.0, 1.0, 2.0, 0.5]), min_size=len(ids), max_size=len(ids)))
    return WeightedExample(ids=ids, weights=[0.0, *weights[1:-1], 1.0])


groups = st.sampled_from([2, 3, VOCABULARY]).flatmap(lambda size: st.lists(labelled(size), min_size=1, max_size=7))


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


# --- the law ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=examples(8), deadline=None)
@given(examples=groups, budget=st.integers(8, 60) | st.none(), side_by_side=st.booleans())
def test_loss_and_every_gradient_equal_those_of_rows_one_by_one(name, dtype, examples, budget, side_by_side):
    model, forests = MODELS[name, dtype], pack_prefix_trees(examples, budget)
    trees = on_trees(model, [concatenate(forests)] if side_by_side else forests)
    assert_same(dtype, trees, one_by_one(model, examples))
    assert trees[2] == sum(sum(example.weights) for example in examples)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", KINDS)
def test_branches_off_branches_and_trees_in_one_row_are_exact(name, dtype):
    model, examples = MODELS[name, dtype], branching()
    assert_same(dtype, on_trees(model, [concatenate(pack_prefix_trees(examples))]), one_by_one(model, examples))


def test_a_position_that_predicts_several_targets_is_projected_once():
    model = MODELS["llama", torch.float64]
    examples = [
        WeightedExample(ids=[5, 6, last], weights=[0, 0, weight]) for last, weight in ((7, 1), (8, 2), (9, 0.5), (7, 3))
    ]
    (forest,) = pack_prefix_trees(examples)
    assert forest.at.tolist() == [1, 1, 1]
    shapes = []
    handle = model.lm_head.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape)))
    trees = on_trees(model, [forest])
    handle.remove()
    assert shapes == [(1, 1, VOCABULARY)]
    assert_same(torch.float64, trees, one_by_one(model, examples))


@pytest.mark.slow
@pytest.mark.parametrize("kind", PROVEN)
def test_every_proven_architecture_is_exact(kind):
    """Also where windows and chunks are shorter than a trunk; many compute their norms in float32 come what may."""
    model = tiny_model(kind, torch.float64, family_config(kind)).eval()  # some drop out elsewhere than in attention
    assert unsupported_reason(model.config, 4096) is None
    trees, rows = on_trees(model, pack_prefix_trees(branching())), one_by_one(model, branching())
    assert trees[0] == pytest.approx(rows[0], rel=1e-7)
    assert difference(trees[1], rows[1]) < 1e-5


@pytest.mark.parametrize(
    ("kind", "changes"),
    [*PARTICULARS, ("granitemoehybrid", MAMBA_LAYERS), ("qwen3_5_text", {})],
    ids=str,
)
def test_what_is_particular_to_a_family_is_exact(kind, changes):
    model = tiny_model(kind, torch.float64, family_config(kind, **changes)).eval()
    assert unsupported_reason(model.config, 4096) is None
    trees = on_trees(model, [concatenate(pack_prefix_trees(branching()))])
    rows = one_by_one(model, branching())
    assert trees[0] == pytest.approx(rows[0], rel=1e-7)
    assert difference(trees[1], rows[1]) < 1e-5


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable.:FutureWarning")
@pytest.mark.parametrize("kind", ["lfm2", "qwen3_5_text"])
def test_states_at_forks_are_exact_under_gradient_checkpointing(kind):
    model = tiny_model(kind, torch.float64, family_config(kind))
    rows = one_by_one(model, branching())
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    trees = on_trees(model, [concatenate(pack_prefix_trees(branching()))])
    assert difference(trees[1], rows[1]) < 1e-5


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable.:FutureWarning")  # its new name is newer than 5.16
@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_changes_nothing(reentrant):
    model, examples = tiny_model("llama", torch.float64), branching()
    rows = one_by_one(model, examples)
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    model.enable_input_require_grads()
    assert_same(torch.float64, on_trees(model, [concatenate(pack_prefix_trees(examples))]), rows)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")  # of PEFT
def test_wrapped_in_an_adapter_it_is_exact_too():
    examples = branching()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        settings = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        model = get_peft_model(tiny_model("llama", torch.float64), settings)
    assert_same(torch.float64, on_trees(model, pack_prefix_trees(examples)), one_by_one(model, examples))


def real_examples(name, count):
    """Examples of all roles from real trajectories as ids, and the size of their vocabulary."""
    file, document = OUT_OF_DOMAIN, PUBLISHED_FORMAT
    if not file.exists() or not document.exists():
        pytest.skip(f"no {file} or no {document}")
    form = open_format(name if name == "shared" else f"{document}@training")
    read = [read_processed(row, str(index)) for index, row in enumerate(json.loads(file.read_text())[:count])]
    roles = (Role.PLANNER, Role.CALLER, Role.SUMMARIZER)
    made = [[row for role in roles for row in make_examples(each, role, form).rows] for each in read]
    texts = [row.prompt for rows in made for row in rows]
    tokenizer = learn_tokenizer(texts, vocab_size=600, special_tokens=form.special_tokens, end=form.end)
    labelled = []
    for rows in made:
        pairs = [
            (prompt_ids(tokenizer, row.prompt), completion_ids(tokenizer, row.completion, form.end)) for row in rows
        ]
        labelled.append([example([*prompt, *said], len(said)) for prompt, said in pairs])
    return labelled, len(tokenizer)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["shared", "published"])
def test_real_trajectories_are_exact(name, dtype):
    trajectories, vocabulary = real_examples(name, 2)
    model = tiny_model("llama", dtype, vocab_size=vocabulary, num_hidden_layers=1, max_position_embeddings=32768)
    row = concatenate([forest for examples in trajectories for forest in pack_prefix_trees(examples)])
    examples = [example for examples in trajectories for example in examples]
    assert row.tokens < 0.6 * sum(len(example.ids) for example in examples)
    assert_same(dtype, on_trees(model, [row]), one_by_one(model, examples))


# --- the ways to compute it -------------------------------------------------------------------------------


def heads(forest, dtype, keys=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(1, count, forest.tokens, 8) for count in (4, keys, keys, 4)]
    *parts, gradient = [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]
    return [part.requires_grad_() for part in parts], gradient


def trees_of(forest):
    return Trees(forest, torch.device("cpu"))


@pytest.mark.parametrize("keys", [1, 2, 4])
@pytest.mark.parametrize(("dtype", "within"), [(torch.float64, 1e-14), (torch.float32, 1e-6), (torch.bfloat16, 1e-2)])
def test_paths_and_gathered_keys_give_the_same(dtype, within, keys):
    forest = concatenate(pack_prefix_trees(branching()))
    parts, gradient = heads(forest, dtype, keys)
    ways = attention._by_paths, attention._by_gathering
    paths, masks = (way(*parts, trees_of(forest), Scoring()) for way in ways)
    assert paths.dtype == dtype
    ours, theirs = (torch.autograd.grad(seen, parts, gradient) for seen in (paths, masks))
    for left, right in zip((paths, *ours), (masks, *theirs), strict=True):
        assert (left - right).double().norm() <= within * right.double().norm()


def test_the_trunk_is_attended_to_without_a_mask_and_once_for_all_that_branches_off():
    trunk = list(range(20, 40))
    examples = [example([*trunk[:stop], tail], 1) for stop, tail in ((5, 1), (5, 2), (12, 3), (20, 4))]
    trees = trees_of(pack_prefix_trees(examples)[0])
    assert trees.runs == [(0, 21), (21, 22), (22, 23), (23, 24)]
    assert sorted(trees.links) == [((21, 22), (0, 12)), ((22, 24), (0, 5))]


def test_a_plain_row_is_one_causal_run():
    trees = trees_of(
        concatenate([pack_prefix_trees([example([7, 8, 9], 1)])[0], pack_prefix_trees([example([7, 8], 1)])[0]])
    )
    assert trees.runs == [(0, 3), (3, 5)]
    assert trees.links == []


@settings(max_examples=examples(25), deadline=None)
@given(groups)
def test_the_block_mask_leaves_out_no_pair_and_takes_no_block_for_whole_that_is_not(examples):
    forest = concatenate([pack_prefix_trees([longer(each) for each in examples])[0], pack_prefix_trees(branching())[0]])
    trees = trees_of(forest)
    blocks = trees.block_mask(None)
    token = torch.arange(len(blocks.kv_indices[0, 0]) * 128)
    ends = torch.zeros(len(token), dtype=torch.int32)
    ends[: forest.tokens] = trees.ends
    dense = (token <= token[:, None]) & (token[:, None] < ends)
    tiles = dense.view(len(dense) // 128, 128, -1, 128)
    some, every = tiles.any(3).any(1), tiles.all(3).all(1)
    partly, whole = (
        listed(numbers[0, 0], indices[0, 0])
        for numbers, indices in (
            (blocks.kv_num_blocks, blocks.kv_indices),
            (blocks.full_kv_num_blocks, blocks.full_kv_indices),
        )
    )
    assert not (some & ~partly & ~whole).any()
    assert torch.equal(whole, every)
    assert not (partly & whole).any()


def longer(each):
    """The same tree with 30 tokens for each."""
    return example([token * 30 + step for token in each.ids for step in range(30)], 1)


def listed(numbers, indices):
    chosen = torch.zeros(indices.shape, dtype=torch.bool)
    for row, (number, columns) in enumerate(zip(numbers.tolist(), indices.tolist(), strict=True)):
        chosen[row, columns[:number]] = True
    return chosen


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_over_the_block_mask_sees_what_a_dense_mask_sees():
    forest = concatenate(
        [
            *pack_prefix_trees([longer(example([1, 2, 3, 4, 5, 6, 7], 1)), longer(example([1, 2, 8], 1))]),
            *pack_prefix_trees(branching()),
        ]
    )
    trees = trees_of(forest)
    parts, _ = heads(forest, torch.float64)
    with torch.no_grad():
        blocks = flex_attention(*(part.detach() for part in parts), block_mask=trees.block_mask(None), enable_gqa=True)
        masks = attention._by_gathering(*parts, trees, Scoring())
    assert torch.allclose(blocks, masks, atol=1e-12)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_a_forest_is_exact_too():
    model, examples = tiny_model("llama", hidden_size=64, head_dim=16), branching()
    rows = one_by_one(model, examples)
    trees = on_trees(model.cuda(), [concatenate(pack_prefix_trees(examples))])
    assert trees[0] == pytest.approx(rows[0], rel=1e-4)
    assert difference({name: gradient.cpu() for name, gradient in trees[1].items()}, rows[1]) < 1e-2


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_under_autocast_it_computes_in_the_lower_precision(kind):
    model, examples = tiny_model(kind), branching()
    with torch.autocast("cpu", torch.bfloat16):
        trees = on_trees(model, [concatenate(pack_prefix_trees(examples))])
        rows = one_by_one(model, examples)
    exact = one_by_one(model, examples)
    assert trees[0] == pytest.approx(exact[0], rel=2e-3)
    assert difference(trees[1], exact[1]) < 2 * difference(rows[1], exact[1])


def test_in_bfloat16_the_loss_is_summed_in_float32():
    model = tiny_model("llama").to(torch.bfloat16)
    with tree_attention(model):
        loss, weight = packed_trees_loss(model, concatenate(pack_prefix_trees(branching())))
    assert loss.dtype == torch.float32
    assert weight == 54.0
