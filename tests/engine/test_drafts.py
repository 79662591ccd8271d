"""Speculative decoding by n-gram look-up: the completions are those without drafts, in fewer forwards."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.models.adapters import AdapterKind
from alpha_umi.models.engine.drafts import Drafts, Lookup
from alpha_umi.models.engine.engine import Engine, EngineLimits
from alpha_umi.types import Role
from support.adapted_models import WAKING, adapter_settings, tiny, with_adapters
from support.engine_requests import Asked, asked_of, assert_conserved, run
from support.examples import examples

MODEL = tiny("llama")
POISON = 7


def engine(rows=8, model=MODEL):
    return Engine(copy.copy(model), EngineLimits(cache_bytes=1 << 21, step_tokens=16, requests=4, draft_rows=rows))


class Foreseen:
    """Drafts that are the right tokens, but for some places of a completion."""

    def __init__(self, completions, wrong, other=5):
        self.completions, self.wrong, self.other = completions, wrong, other

    def draft(self, lookup, ids, *, running, most):
        prompt, right = next(pair for pair in self.completions if tuple(ids[: len(pair[0])]) == tuple(pair[0]))
        at = len(ids) - len(prompt)
        draft = [self.other if place in self.wrong else token for place, token in enumerate(right)]
        return draft[at : at + most]

    def learn(self, prompt, written):
        pass


class Pairs:
    """A grammar that forces the second token of every pair."""

    def __init__(self):
        self.last = None

    def mask(self, row):
        row[40:] = float("-inf")

    def forced(self):
        return [] if self.last is None else [self.last]

    def accept(self, token):
        self.last = token if self.last is None else None


KINDS = {
    "greedy": {},
    "sampled": {"temperature": 1.3, "seed": 4, "top_p": 0.9},
    "penalised": {"repetition_penalty": 1.4, "repetition_limit": 3},
    "recorded": {"logprobs": True, "temperature": 0.8, "seed": 1},
    "grammar": {"grammar": Pairs},
}


def asked(prompts, kind, tokens=14):
    said = dict(KINDS[kind])
    grammar = said.pop("grammar", None)
    return [Asked(prompt, tokens=tokens, grammar=grammar and grammar(), **said) for prompt in prompts]


PROMPTS = [[11, 12, 13, 14, 11, 12], [20, 21, 22], [30]]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=examples(6), deadline=None)
@given(wrong=st.sets(st.integers(0, 13)), several=st.booleans())
def test_whatever_is_drafted_completions_are_token_by_token_those_without_drafts(kind, wrong, several):
    prompts = PROMPTS if several else PROMPTS[:1]
    plain, drafting = asked(prompts, kind), asked(prompts, kind)
    one, other = engine(rows=0), engine()
    right = run(one, plain)
    other.scheduler._drafts = Foreseen(list(zip(prompts, right, strict=True)), wrong)
    assert run(other, drafting) == right
    for before, after in zip(plain, drafting, strict=True):
        assert before.request.generation.finish is after.request.generation.finish
        for (token, probable), (same, near) in zip(
            before.request.generation.logprobs, after.request.generation.logprobs, strict=True
        ):
            assert token == same
            assert near == pytest.approx(probable, abs=1e-4)
    if not wrong:
        assert other.stats.steps < one.stats.steps / 2
        assert other.stats.confirmed_tokens > 0
    assert_conserved(other)


def test_what_was_written_before_is_drafted_the_next_time():
    one = engine()
    first = run(one, asked(PROMPTS[:1], "greedy"))
    steps = one.stats.steps
    assert run(one, asked(PROMPTS[:1], "greedy")) == first
    assert one.stats.steps - steps <= 3


def test_adapters_act_on_drafts():
    model = copy.deepcopy(MODEL)
    with_adapters(model, adapter_settings(AdapterKind.ALORA))
    prompts = [[*PROMPTS[0], *WAKING[role], 15] for role in (Role.PLANNER, Role.CALLER)]
    found = []
    for rows in (0, 8):
        one = engine(rows, model)
        for _ in range(2):
            roles = zip((Role.PLANNER, Role.CALLER), prompts, strict=True)
            found.append(run(one, [asked_of(role, prompt, WAKING[role], tokens=12) for role, prompt in roles]))
    assert one.stats.confirmed_tokens > 0
    assert found[1:] == found[:1] * 3


@pytest.mark.parametrize("breaks", ["raises", "is no number"])
def test_a_draft_that_the_model_cannot_compute_loses_nothing(breaks):
    model = copy.deepcopy(MODEL)

    def act(_, ids, hidden):
        if breaks == "raises" and (ids[0] == POISON).any():
            raise RuntimeError("the device is on fire")
        return torch.where((ids[0] == POISON)[..., None], torch.nan, hidden)

    model.get_input_embeddings().register_forward_hook(act)
    project = model.get_output_embeddings()
    project.register_forward_hook(lambda _, ids, logits: logits.index_fill(-1, torch.tensor([POISON]), -1e9))
    right = run(engine(0, model), asked(PROMPTS, "greedy"))
    one = engine(8, model)
    one.scheduler._drafts = Foreseen(list(zip(PROMPTS, right, strict=True)), {3, 4}, other=POISON)
    again = asked(PROMPTS, "greedy")
    assert run(one, again) == right
    assert not any(each.error for each in again)
    assert run(one, asked(PROMPTS[::-1], "greedy")) == right[::-1], "what was left in memory harms"
    assert_conserved(one)


def test_a_draft_is_what_followed_before_as_long_as_drafts_come_true_and_few_requests_run():
    drafts, lookup, text = Drafts(8), Lookup(), [1, 2, 3, 4, 5, 6, 7, 8, 1, 2]
    assert drafts.draft(lookup, text, running=1, most=20) == [3, 4, 5, 6, 7, 8, 1]
    assert drafts.draft(Lookup(), text, running=2, most=20) == [3, 4, 5]
    assert drafts.draft(Lookup(), text, running=1, most=2) == [3, 4]
    assert drafts.draft(Lookup(), text, running=5, most=20) == []
    assert Drafts(0).draft(Lookup(), text, running=1, most=20) == []
    assert drafts.draft(lookup, [*text, 3, 4, 9, 1, 2], running=1, most=20) == [3, 4], "two of seven came true"
    assert drafts.draft(lookup, [*text, 3, 4, 9, 1, 2, 3, 4, 9], running=1, most=20) == [1, 2, 3, 4]
    drafts.learn([50, 51], [52, 53])
    assert drafts.draft(Lookup(), [40, 50, 51], running=1, most=20) == [52, 53]
