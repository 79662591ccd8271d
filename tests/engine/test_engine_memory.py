"""Slots, pins and request caches are conserved after any sequence of submissions, cancellations and failures."""

import functools

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from alpha_umi.models.adapters import ADAPTERS, AdapterKind
from alpha_umi.models.engine.engine import Engine, EngineLimits
from alpha_umi.models.engine.radix_tree import RadixTree, token_keys
from support.adapted_models import adapter_settings, tiny, with_adapters
from support.engine_requests import Asked, assert_conserved
from support.examples import examples

KABOOM, NOTHING = 7, 9
"""Reading these raises, and gives NaN."""


@functools.cache
def fragile():
    """A model with three adapters that breaks when it reads certain tokens."""
    torch.set_num_threads(1)
    model = tiny("llama")
    with_adapters(model, adapter_settings(AdapterKind.ALORA))

    def act(_, ids, hidden):
        if (ids[0] == KABOOM).any():
            raise RuntimeError("kaboom")
        return torch.where((ids[0] == NOTHING)[..., None], torch.nan, hidden)

    model.get_input_embeddings().register_forward_hook(act)
    return model


class EngineMachine(RuleBasedStateMachine):
    """Prompts from a small alphabet, so that they share, in a memory so small that they push each other out."""

    def __init__(self):
        super().__init__()
        self.engine = Engine(fragile(), EngineLimits(cache_bytes=260 * 256, step_tokens=9, requests=3))
        self.asked = []

    @rule(
        prompt=st.lists(st.sampled_from([1, 2]), min_size=1, max_size=70),
        broken=st.sampled_from([None, None, None, KABOOM, NOTHING]),
        role=st.sampled_from([None, *list(ADAPTERS)[:3]]),
        group=st.sampled_from(["one", "other"]),
        data=st.data(),
    )
    def submit(self, prompt, broken, role, group, data):
        at = data.draw(st.integers(0, len(prompt)))
        prompt = prompt if broken is None else [*prompt[:at], broken, *prompt[at:]]
        adapter = (0, 0) if role is None else (ADAPTERS[role], data.draw(st.integers(0, len(prompt) - 1)))
        self._submit(Asked(prompt, tokens=data.draw(st.integers(1, 6)), adapter=adapter, group=group))

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def cancel(self, data):
        data.draw(st.sampled_from(self.asked)).gone = True

    @precondition(lambda self: self.engine.scheduler.running)
    @rule(data=st.data())
    def preempt(self, data):
        self.engine.scheduler.preempt(data.draw(st.sampled_from(self.engine.scheduler.running)))

    @rule(times=st.integers(1, 4))
    def step(self, times):
        for _ in range(times):
            self.engine.step()

    @invariant()
    def conserved(self):
        assert_conserved(self.engine)

    def teardown(self):
        for _ in range(3000):
            if self.engine.idle:
                break
            self.engine.step()
        assert self.engine.idle, "it does not come to an end"
        assert_conserved(self.engine)
        for one in self.asked:
            assert one.finished or one.gone
            broken = {KABOOM, NOTHING} & {*one.request.prompt, *one.written}
            assert one.error is None or broken or "no memory" in str(one.error)
        kv_cache, tree = self.engine.scheduler.kv_cache, self.engine.scheduler.prefix_tree
        for node in tree.nodes():
            assert not len(node.slots) or kv_cache.is_finite(node.slots)
        for layer in kv_cache.request_layers.values():
            assert all(states.isfinite().all() for states in layer)

    def _submit(self, asked):
        self.asked.append(asked)
        self.engine.submit(asked.request)


TestEngineMachine = EngineMachine.TestCase
TestEngineMachine.settings = settings(max_examples=examples(12), stateful_step_count=30, deadline=None)


@pytest.mark.slow
def test_more_sequences_conserve_slots_pins_and_request_caches():
    run_state_machine_as_test(EngineMachine, settings=settings(max_examples=examples(120), deadline=None))


# --- the radix tree ---------------------------------------------------------------------------------------


def grown(*texts):
    tree = RadixTree(100)
    for text in texts:
        keys = token_keys(text, 0, 0)
        node, found = tree.match_prefix(tree.root, keys)
        new = keys[len(found) :]
        tree.insert(node, new, tree.allocate(len(new)))
    tree.commit()
    return tree


def test_the_longest_inserted_prefix_is_matched():
    tree = grown([1, 2, 3, 4], [1, 2, 5])
    slots = tree.match_prefix(tree.root, token_keys([1, 2, 3, 4], 0, 0))[1].tolist()
    assert len(slots) == 4
    assert tree.match_prefix(tree.root, token_keys([1, 2, 9], 0, 0))[1].tolist() == slots[:2]
    assert tree.match_prefix(tree.root, token_keys([1, 2, 5, 6], 0, 0))[1].tolist()[:2] == slots[:2]
    assert not len(tree.match_prefix(tree.root, token_keys([2], 0, 0))[1])


def test_tokens_of_different_adapters_are_different_tokens():
    tree = grown([1, 2, 3])
    assert len(tree.match_prefix(tree.root, token_keys([1, 2, 3], 2, 2))[1]) == 2
    assert len(tree.match_prefix(tree.root, token_keys([1, 2, 3], 2, 0))[1]) == 0


def test_a_rollback_removes_inserted_tokens_even_where_their_node_was_split():
    tree = grown([1, 2, 3])
    keys = token_keys([1, 2, 3, 4, 5, 6], 0, 0)
    node, _ = tree.match_prefix(tree.root, keys)
    tree.insert(node, keys[3:], tree.allocate(3))
    tree.match_prefix(tree.root, keys[:5])
    tree.rollback()
    assert len(tree.match_prefix(tree.root, keys)[1]) == 3
    assert tree.free_slots == 97


def test_eviction_takes_only_the_ends_of_runs_and_nothing_pinned():
    tree = grown(range(60), range(100, 130))
    assert tree.allocate(20) is not None
    assert len(tree.match_prefix(tree.root, token_keys(list(range(60)), 0, 0))[1]) == 50
    node, _ = tree.match_prefix(tree.root, token_keys(list(range(50)), 0, 0))
    node.pins += 1
    assert tree.allocate(31) is None
    assert tree.allocate(30) is not None
    assert len(tree.match_prefix(tree.root, token_keys(list(range(60)), 0, 0))[1]) == 50
