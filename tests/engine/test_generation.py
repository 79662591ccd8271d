"""Sampling of tokens: by the reference formulas, by a completion's own seed, within a grammar."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from alpha_umi.errors import ModelError
from alpha_umi.models.engine.engine import Engine
from alpha_umi.models.generation import Generation, sample
from alpha_umi.models.padded import PaddedRunner
from alpha_umi.types import FinishReason, Sampling
from support.adapted_models import tiny
from support.engine_requests import Asked, run
from support.examples import examples

MODEL = tiny("llama")


def generation(written=(), budget=100, ends=(), **sampling):
    one = Generation(Sampling(**sampling), budget, frozenset(ends), lambda ids: "".join(map(chr, ids)))
    for token in written:
        one.append(token)
    return one


def logits(seed, vocabulary=50):
    return torch.randn(vocabulary, generator=torch.Generator().manual_seed(seed)) * 3


def drawn(row, times, **sampling):
    one = generation(**sampling)
    return {one.sample(row, []) for _ in range(times)}


@settings(max_examples=examples(20), deadline=None)
@given(
    seed=st.integers(0, 999),
    heat=st.sampled_from([0.5, 1.0, 2.0]),
    top_k=st.sampled_from([1, 5, 49, 80]),
    top_p=st.sampled_from([0.1, 0.6, 0.95]),
    min_p=st.sampled_from([0.01, 0.2]),
)
def test_the_ids_that_may_be_drawn_are_those_of_transformers_warpers(seed, heat, top_k, top_p, min_p):
    row = logits(seed)
    warpers = [TemperatureLogitsWarper(heat), TopKLogitsWarper(top_k), TopPLogitsWarper(top_p), MinPLogitsWarper(min_p)]
    left = LogitsProcessorList(warpers)(None, row[None].double())[0]
    allowed = set(left.isfinite().nonzero().flatten().tolist())
    found = drawn(row, 60, temperature=heat, top_k=top_k, top_p=top_p, min_p=min_p, seed=seed)
    assert found <= allowed
    likely = {token for token, chance in enumerate(left.softmax(dim=-1)) if chance > 0.3}
    assert likely <= found


def test_ids_are_drawn_as_often_as_they_are_likely():
    row, counts = logits(1, 6), torch.zeros(6)
    one = generation(temperature=1.5, seed=3)
    for _ in range(4000):
        counts[one.sample(row, [])] += 1
    torch.testing.assert_close(counts / 4000, (row / 1.5).softmax(dim=-1), atol=0.03, rtol=0)


@settings(max_examples=examples(30), deadline=None)
@given(seed=st.integers(0, 999), penalty=st.sampled_from([0.5, 1.3, 2.0]), limit=st.integers(1, 3), data=st.data())
def test_repetition_is_limited_as_in_transformers(seed, penalty, limit, data):
    prompt = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=6))
    written = data.draw(st.lists(st.integers(0, 5), max_size=12))
    row = logits(seed, 8)
    penalised = RepetitionPenaltyLogitsProcessor(penalty)(torch.tensor([prompt + written]), row[None].clone())[0]
    assert generation(written, repetition_penalty=penalty).sample(row, prompt) == int(penalised.argmax())
    if len(written) >= limit:  # transformers reads the prompt as well; here only the completion counts
        limited = NoRepeatNGramLogitsProcessor(limit)(torch.tensor([written]), row[None].clone())[0]
        assert generation(written, repetition_limit=limit).sample(row, prompt) == int(limited.argmax())


def test_logits_that_are_not_finite_are_an_error_of_their_own_row():
    rows = torch.stack([logits(1), torch.full((50,), torch.nan), logits(2), torch.full((50,), float("-inf"))])
    first, second, third, fourth = sample(rows, [generation() for _ in range(4)], [[]] * 4)
    assert (first, third) == (int(rows[0].argmax()), int(rows[2].argmax()))
    assert isinstance(second, ModelError)
    assert isinstance(fourth, ModelError)


# --- grammars ---------------------------------------------------------------------------------------------


class Script:
    """A grammar that knows the ids a completion may have at each place, and forces what has no alternative."""

    def __init__(self, *places, jump=True):
        self.places, self.at, self.jump, self.log = places, 0, jump, []

    def mask(self, row):
        allowed = torch.zeros(len(row), dtype=torch.bool)
        allowed[list(self.places[self.at]) if self.at < len(self.places) else []] = True
        row.masked_fill_(~allowed, float("-inf"))

    def forced(self):
        found = []
        for place in self.places[self.at :] if self.jump else ():
            if len(place) != 1:
                break
            found.extend(place)
        return found

    def accept(self, token):
        assert token in self.places[self.at]
        self.log.append(token)
        self.at += 1


PLACES = [{5}, {20, 21, 22}, {7}, {8}, {9}, {30, 31}, {40}, {50, 51}, {2}]


@pytest.mark.parametrize("runner", ["engine", "padded"])
def test_forced_tokens_take_no_forward_and_change_nothing(runner):
    found = {}
    for jump in (True, False):
        model = copy.deepcopy(MODEL)
        one = Engine(model) if runner == "engine" else PaddedRunner(model, batch_tokens=1000)
        scripts = [Script(*PLACES, jump=jump) for _ in range(2)]
        asked = [Asked([11, 12, 13 + at], tokens=20, ends=[2], grammar=script) for at, script in enumerate(scripts)]
        beside = Asked([30, 31], tokens=12)
        found[jump] = run(one, [*asked, beside])
        for each in asked:
            assert each.error is None
            assert each.request.generation.finish is FinishReason.STOP
            assert [len(place & {token}) for place, token in zip(PLACES[:-1], each.written, strict=True)] == [1] * 8
        assert all(script.log[:8] == each.written for script, each in zip(scripts, asked, strict=True))
        assert {each.steps for each in asked} == ({3} if jump else {9})
    assert found[True] == found[False]


def test_log_probabilities_include_forced_tokens():
    free, jumping = (Asked([11, 12], tokens=20, ends=[2], grammar=Script(*PLACES, jump=jump), logprobs=True)
                     for jump in (False, True))  # fmt: skip
    run(Engine(copy.deepcopy(MODEL)), [free, jumping])
    assert [token for token, _ in jumping.request.generation.logprobs] == [*jumping.written, 2]
    first, second = (dict(each.request.generation.logprobs) for each in (jumping, free))
    assert first == pytest.approx(second)


def test_log_probabilities_of_chosen_tokens_are_the_same_and_forced_ones_cost_no_forward():
    for grammar, forwards in ((lambda: None, 8), (lambda: Script(*PLACES, jump=True), 3)):
        every = Asked([11, 12], ends=[2], tokens=8 if forwards == 8 else 20, grammar=grammar(), logprobs=True)
        chosen = Asked([11, 12], ends=[2], tokens=8 if forwards == 8 else 20, grammar=grammar(), choice_logprobs=True)
        run(Engine(copy.deepcopy(MODEL)), [every, chosen])
        assert chosen.written == every.written
        assert chosen.steps == forwards
        all_told, told = every.request.generation.logprobs, chosen.request.generation.logprobs
        assert [token for token, _ in told] == [token for token, _ in all_told]
        known = [(one, two) for (_, one), (_, two) in zip(told, all_told, strict=True) if one is not None]
        assert len(known) >= forwards - 1
        assert all(one == pytest.approx(two, abs=1e-4) for one, two in known)


def test_a_grammar_that_allows_nothing_fails_its_own_request():
    stuck, free = Asked([11, 12], grammar=Script({5}, {6}, jump=False)), Asked([11, 12])
    run(Engine(copy.deepcopy(MODEL)), [stuck, free])
    assert "allows no token" in str(stuck.error)
    assert free.error is None


def test_a_budget_ends_forced_tokens():
    asked = Asked([11, 12], tokens=3, grammar=Script({5}, {6}, {7}, {8}, {9}))
    run(Engine(copy.deepcopy(MODEL)), [asked])
    assert asked.written == [5, 6, 7]
    assert asked.request.generation.finish is FinishReason.LENGTH
