"""Frozen prefixes need no backward pass: the gradients of activated adapters are those of a pass over whole trees."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.models.adapters import ADAPTERS, AdapterKind, AdapterSettings, attach
from alpha_umi.training.attention import packed_trees_loss, tree_attention
from alpha_umi.training.data.packing import WeightedExample, concatenate, pack_prefix_trees, path
from alpha_umi.training.data.prefixes import split_prefixes
from alpha_umi.training.losses import LossComputer
from alpha_umi.types import Role
from support.adapted_models import THREE, WAKING
from support.examples import examples
from support.tree_models import VOCABULARY, difference, family_config, take_gradients, tiny_model


@st.composite
def activated(draw):
    """An example of a small alphabet whose adapter acts from some token on."""
    ids = draw(st.lists(st.integers(0, 2), min_size=2, max_size=14))
    start = draw(st.integers(0, len(ids) - 1))
    adapters = [0] * start + [draw(st.integers(0, 3))] * (len(ids) - start)
    weights = draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=len(ids), max_size=len(ids)))
    return WeightedExample(ids=ids, weights=[0.0, *weights[1:-1], 1.0], adapters=adapters)


@settings(max_examples=examples(150), deadline=None)
@given(examples=st.lists(activated(), min_size=1, max_size=6), budget=st.integers(8, 40) | st.none())
def test_every_token_keeps_its_path_and_every_loss_its_place(examples, budget):
    whole = concatenate(pack_prefix_trees(examples, budget))
    split = split_prefixes(whole)
    if split is None:
        return
    prefix, branches = split.prefix, split.branches
    both = np.concatenate([prefix.ids, branches.ids])
    adapters = np.concatenate([prefix.adapters, branches.adapters])
    depths = np.concatenate([prefix.depths, branches.depths])
    assert not prefix.adapters.any()
    assert not len(prefix.at)
    assert len(both) == whole.tokens
    paths = {}
    for number, (start, stop, _) in enumerate(split.segments.tolist()):
        way = path(split.segments, number)
        for place in range(start, stop):
            seen = way[: int(np.flatnonzero(way == place)[0]) + 1]
            assert depths[place] == len(seen) - 1
            paths[place] = (tuple(both[seen]), tuple(adapters[seen]))
    wanted = []
    for number, (start, stop, _) in enumerate(whole.segments.tolist()):
        way = path(whole.segments, number)
        ways = [way[: len(way) - (stop - place) + 1] for place in range(start, stop)]
        wanted += [(tuple(whole.ids[each]), tuple(whole.adapters[each])) for each in ways]
    assert sorted(paths.values()) == sorted(wanted)
    losses = [paths[prefix.tokens + place] for place in branches.at]
    assert losses == [wanted[place] for place in whole.at]
    assert branches.targets.tolist() == whole.targets.tolist()
    for row in (prefix, branches):  # what descends from a token is the run behind it
        for number, (_, stop, _) in enumerate(row.segments.tolist()):
            for place in path(row.segments, number):
                assert row.ends[place] >= stop


def conversations(seed=0):
    """Examples of three roles on one history that grows, one role's prompt with a second branch of its own."""
    random = np.random.default_rng(seed)
    found = []
    for length in (40, 9, 300):
        history = random.integers(11, VOCABULARY, length).tolist()
        for step in range(4):
            for role in THREE[: 2 + step % 2]:
                said = random.integers(11, VOCABULARY, 5 + 3 * step).tolist()
                for end in ([*said, 1], [*said[:3], 2, 3]):
                    ids = [*history, WAKING[role][-1], *end]
                    tags = [0] * len(history) + [ADAPTERS[role]] * (1 + len(end))
                    weights = [0.0] * (len(history) + 1) + [1.0] * len(end)
                    found.append(WeightedExample(ids=ids, weights=weights, adapters=tags))
            history += random.integers(11, VOCABULARY, 6).tolist()
    return pack_prefix_trees(found)


def adapted(kind, dtype=torch.float64, **changes):
    model = tiny_model(kind, dtype, family_config(kind, **changes)).eval()
    names = {name.rpartition(".")[2] for name, part in model.named_modules() if isinstance(part, torch.nn.Linear)}
    targets = tuple(sorted(names & {"q_proj", "v_proj", "o_proj", "kv_b_proj", "up_proj", "down_proj"}))
    attach(model, AdapterSettings(kind=AdapterKind.ALORA, rank=4, targets=targets), THREE, invocations=WAKING)
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if name.endswith("lora_B"):
            torch.nn.init.normal_(weight, std=0.3)
    return model.to(dtype)


def in_one_pass(model, forests):
    total = 0.0
    with tree_attention(model):
        for packed in forests:
            with model.token_adapters.select(torch.from_numpy(packed.adapters)):
                loss, _ = packed_trees_loss(model, packed)
            loss.backward()
            total += loss.item()
    return total, take_gradients(model)


def in_two(model, forests):
    total, computer = 0.0, LossComputer(model, max_length=4096)
    with computer.installed():
        for packed in forests:
            loss = computer.loss(packed)
            loss.backward()
            total += loss.item()
    return total, take_gradients(model)


FAMILIES = {
    "llama": {},
    "gemma2": {"attn_logit_softcapping": 2.0},  # also windows
    "gpt_oss": {},  # sinks
    "deepseek_v3": {},  # values of another size than keys
    "lfm2": {},  # convolutions: computed in one pass
}


@pytest.mark.parametrize("kind", FAMILIES)
def test_gradients_of_activated_adapters_equal_those_of_one_pass(kind):
    model, forests = adapted(kind, **FAMILIES[kind]), conversations()
    sizes = []
    handle = model.get_input_embeddings().register_forward_hook(lambda module, given, out: sizes.append(out.shape[1]))
    found = in_two(model, forests)
    handle.remove()
    if kind != "lfm2":
        split = split_prefixes(forests[0])
        assert sizes == [split.prefix.tokens, split.branches.tokens]
    wanted = in_one_pass(model, forests)
    assert found[0] == pytest.approx(wanted[0], rel=1e-6)
    assert difference(found[1], wanted[1]) < 1e-5


def test_weights_that_learn_below_an_adapter_are_reached_through_whole_trees():
    model, forests = adapted("llama"), conversations()
    model.get_input_embeddings().weight.requires_grad_(True)
    found, wanted = in_two(model, forests), in_one_pass(model, forests)
    assert "model.embed_tokens.weight" in found[1]
    assert difference(found[1], wanted[1]) < 1e-5


def test_gradients_in_bfloat16_point_where_those_in_float32_do():
    model, forests = adapted("llama", torch.float32), conversations()
    for name, weight in model.named_parameters():
        if name.endswith("lora_B"):
            weight.data /= 3  # else the chosen tokens are certain, and their gradients rounding
    exact = in_two(model, forests)[1]
    with torch.autocast("cpu", torch.bfloat16):
        found = in_two(model, forests)[1]
    both = [torch.cat([each[name].flatten() for name in exact]) for each in (found, exact)]
    assert torch.cosine_similarity(*both, dim=0) > 0.999


def test_an_idle_pass_reaches_every_adapter():
    model = adapted("llama")
    computer = LossComputer(model, max_length=4096)
    with computer.installed():
        computer.idle().backward()
    learned = [weight for name, weight in model.named_parameters() if "lora" in name]
    assert all(weight.grad is not None and not weight.grad.any() for weight in learned)


def test_roles_without_an_adapter_need_no_prefix():
    (packed,) = pack_prefix_trees([WeightedExample(ids=[1, 2, 3], weights=[0, 1, 1], adapters=[1, 1, 1])])
    assert split_prefixes(packed) is None
    assert ADAPTERS[Role.PLANNER] == 1
