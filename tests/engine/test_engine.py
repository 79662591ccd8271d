"""The engine: what a prompt gets in it is what it gets alone from transformers and PEFT, whatever happens beside it."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftModel
from transformers.masking_utils import causal_mask_function

from alpha_umi.errors import ModelError
from alpha_umi.models.adapter_files import save_adapter
from alpha_umi.models.adapters import AdapterKind
from alpha_umi.models.architectures import PROVEN
from alpha_umi.models.engine.attention import AttentionInputs, Chunk, ForwardBatch
from alpha_umi.models.engine.engine import Engine, EngineLimits, unsupported_reason
from alpha_umi.models.engine.kv_cache import KVCache, KVShape, LayerShape
from alpha_umi.models.mask_rules import MaskRule
from alpha_umi.types import Role
from support.adapted_models import THREE, VOCABULARY, WAKING, adapter_settings, example, tiny, with_adapters
from support.engine_requests import Asked, asked_of, assert_conserved, memory_in_use, run
from support.examples import examples
from support.tree_models import PARTICULARS, family_config, tiny_model

pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated"),
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Tiny tensors are slower on several threads, and much slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


MODELS = {kind: tiny(kind) for kind in ("llama", "qwen3")} | {
    kind: tiny_model(kind, config=family_config(kind, vocab_size=VOCABULARY)).eval() for kind in ("gemma2", "lfm2")
}
REFERENCES = {kind: copy.deepcopy(model) for kind, model in MODELS.items()}


def generated(model, prompt, tokens):
    ids = torch.tensor([prompt])
    out = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=tokens, pad_token_id=0
    )
    return out[0, len(prompt) :].tolist()


def small(tokens, step_tokens=16, requests=4):
    """EngineLimits for so many tokens in MODELS' shape, half of them in request caches."""
    return EngineLimits(cache_bytes=tokens * 2 * 2 * 2 * 8 * 4, step_tokens=step_tokens, requests=requests)


KEYS = LayerShape(heads=2, key_size=8, value_size=8)


def attended(batch, layer, query, key, value):
    """The attention of a layer that sees all that came before, as in a Llama."""
    rule = MaskRule({"mask_function": causal_mask_function, "allow_is_causal_skip": True})
    return batch.attend(layer, AttentionInputs(query=query, key=key, value=value, rule=rule, scaling=None))


def words(seed, length):
    return torch.randint(11, VOCABULARY, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


@st.composite
def families(draw):
    """Prompts of which some begin alike, or are the same, or one the beginning of another."""
    trunk = words(draw(st.integers(0, 99)), 40)
    cuts = draw(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 20)), min_size=1, max_size=6))
    return [trunk[:kept] + words(own, own) or trunk[:1] for kept, own in cuts]


# --- equal to transformers and PEFT -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", MODELS)
@settings(max_examples=examples(5), deadline=None)
@given(prompts=families(), step_tokens=st.sampled_from([1, 7, 64]), tokens=st.sampled_from([300, 2000]))
def test_greedy_completions_are_those_of_generate(kind, prompts, step_tokens, tokens):
    engine = Engine(MODELS[kind], small(tokens, step_tokens))
    expected = [generated(REFERENCES[kind], prompt, 6) for prompt in prompts]
    assert run(engine, [Asked(prompt, tokens=6) for prompt in prompts]) == expected
    assert run(engine, [Asked(prompt, tokens=6) for prompt in prompts]) == expected, "warm"
    assert [run(engine, [Asked(prompt, tokens=6)])[0] for prompt in prompts] == expected, "alone"
    assert_conserved(engine)


def assert_exact(model):
    """The engine, in small steps and beside others, writes what `generate` does, and gives it the same probability."""
    assert unsupported_reason(model, 64) is None
    reference = copy.deepcopy(model)
    prompts = [[1 + token % 30 for token in prompt] for prompt in (words(1, 30), words(1, 30)[:19] + words(2, 5), [4])]
    expected = [generated(reference, prompt, 8) for prompt in prompts]
    with torch.no_grad():
        rows = [
            reference(input_ids=torch.tensor([prompt + written]), use_cache=False).logits[0].log_softmax(dim=-1)
            for prompt, written in zip(prompts, expected, strict=True)
        ]
    engine = Engine(model, EngineLimits(cache_bytes=1 << 22, step_tokens=7))
    for _ in ("cold", "warm"):
        asked = [Asked(prompt, logprobs=True) for prompt in prompts]
        assert run(engine, asked) == expected
        for one, prompt, row in zip(asked, prompts, rows, strict=True):
            said = row[len(prompt) - 1 : -1]
            for (token, logprob), wanted in zip(one.request.generation.logprobs, said, strict=True):
                assert math.isclose(logprob, wanted[token], abs_tol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", PROVEN)
def test_every_proven_architecture_is_exact_or_named(kind):
    model = tiny_model(kind, config=family_config(kind)).eval()
    if "linear_attention" in (getattr(model.config, "layer_types", None) or ()):
        assert "recurrent" in (unsupported_reason(model, 64) or "")
    else:
        assert_exact(model)


@pytest.mark.parametrize(("kind", "changes"), PARTICULARS, ids=str)
def test_what_is_particular_to_a_family_is_exact(kind, changes):
    assert_exact(tiny_model(kind, config=family_config(kind, **changes)).eval())


@pytest.fixture(scope="module", params=AdapterKind)
def roles(request, tmp_path_factory):
    """A model with three adapters, and what PEFT writes with each."""
    kind = request.param
    plain, chosen = tiny("llama"), adapter_settings(kind)
    model = copy.deepcopy(plain)
    adapters = with_adapters(model, chosen)
    peft = {}
    for role in THREE:
        folder = tmp_path_factory.mktemp(role.value)
        save_adapter(adapters, role, chosen, folder / "adapter")
        peft[role] = PeftModel.from_pretrained(copy.deepcopy(plain), folder / "adapter").eval()

    def expected(role, prompt, tokens):
        return generated(peft[role] if role else plain, prompt, tokens)

    waking = {role: WAKING[role] if kind is AdapterKind.ALORA else () for role in THREE}
    return model, waking, expected


def test_roles_in_one_batch_write_what_peft_writes_with_each_alone(roles):
    model, waking, expected = roles
    history = words(5, 50)
    prompts = [(role, example(role, seed)[0]) for role in THREE for seed in range(2)]
    prompts += [(role, [*history[:cut], *WAKING[role]]) for role in THREE for cut in (10, 30, 50)]
    prompts += [(role, [*history[:20], *WAKING[role], *history[20:]]) for role in THREE]
    wanted = [expected(role, prompt, 6) for role, prompt in prompts] + [expected(None, history, 6)]

    def asked():
        three = [asked_of(role, prompt, waking[role], tokens=6) for role, prompt in prompts]
        return [*three, Asked(history, tokens=6)]

    for limits in (small(4000, 512, 64), small(400, 9, 3)):
        engine = Engine(model, limits)
        assert run(engine, asked()) == wanted
        assert run(engine, asked()) == wanted, "warm"
        assert_conserved(engine)


def test_activated_adapters_share_the_cache_of_their_base_and_others_keep_to_themselves(roles):
    model, waking, _ = roles
    engine, history = Engine(model, small(4000)), words(5, 100)
    for role in THREE:
        run(engine, [asked_of(role, [*history, *WAKING[role]], waking[role], tokens=2)])
    shared = 200 if waking[Role.PLANNER] else 0
    assert engine.stats.cached_tokens == shared
    assert engine.stats.prefill_tokens == 3 * 100 + 4 - shared
    again = engine.stats.prefill_tokens
    run(engine, [asked_of(Role.CALLER, [*history, *WAKING[Role.CALLER]], waking[Role.CALLER], tokens=2)])
    assert engine.stats.prefill_tokens - again <= 2


def test_what_the_base_wrote_is_not_computed_again_as_history():
    engine, prompt = Engine(MODELS["llama"], small(4000)), words(5, 60)
    (written,) = run(engine, [Asked(prompt, tokens=30)])
    before = engine.stats.prefill_tokens
    run(engine, [Asked([*prompt, *written, *words(6, 5)], tokens=2)])
    assert engine.stats.prefill_tokens - before == 6  # the last written token was never computed


@settings(max_examples=examples(8), deadline=None)
@given(data=st.data(), prompts=families(), tokens=st.sampled_from([160, 300, 2000]))
def test_eviction_cancellation_and_preemption_change_nothing(data, prompts, tokens):
    engine = Engine(MODELS["llama"], small(tokens, step_tokens=11))
    asked = [Asked(prompt, tokens=6) for prompt in prompts * 2]
    for one in asked:
        engine.submit(one.request)
    cancelled = set(data.draw(st.sets(st.integers(0, len(asked) - 1), max_size=3)))
    for at in range(500):
        if engine.idle:
            break
        if at == 2:
            for index in cancelled:
                asked[index].gone = True
        running = engine.scheduler.running
        if running and at < 40 and data.draw(st.integers(0, 3)) == 0:
            engine.scheduler.preempt(running[data.draw(st.integers(0, len(running) - 1))])
        engine.step()
        assert_conserved(engine)
    assert engine.idle
    for one in asked:
        if not one.gone:
            assert one.error is None
            assert one.written == generated(REFERENCES["llama"], one.request.prompt, 6)


@pytest.mark.parametrize("kind", MODELS)
def test_log_probabilities_are_those_of_transformers_own_forward(kind):
    prompts = [words(1, 60), words(1, 30) + words(2, 9), words(3, 1)]
    asked = [Asked(prompt, tokens=10, logprobs=True) for prompt in prompts]
    run(Engine(MODELS[kind], small(4000, step_tokens=20)), asked)
    for one, prompt in zip(asked, prompts, strict=True):
        with torch.no_grad():
            logits = REFERENCES[kind](input_ids=torch.tensor([prompt + one.written])).logits[0]
        said = logits.log_softmax(dim=-1)[len(prompt) - 1 : -1]
        assert [token for token, _ in one.request.generation.logprobs] == one.written
        for (token, logprob), row in zip(one.request.generation.logprobs, said, strict=True):
            assert math.isclose(logprob, row[token], abs_tol=1e-4)


# --- seeds ------------------------------------------------------------------------------------------------


@settings(max_examples=examples(6), deadline=None)
@given(prompts=families(), seed=st.integers(0, 999))
def test_a_seed_reproduces_a_completion_in_any_batch(prompts, seed):
    def asked():
        return Asked(prompts[0], tokens=8, temperature=1.2, seed=seed, top_p=0.95, top_k=40, min_p=0.01)

    (alone,) = run(Engine(MODELS["qwen3"], small(2000)), [asked()])
    others = [Asked(prompt, tokens=8, temperature=2.0, seed=seed) for prompt in prompts]
    engine = Engine(MODELS["qwen3"], small(300, step_tokens=5))
    assert run(engine, [*others, asked()])[-1] == alone


# --- memory and fairness ----------------------------------------------------------------------------------


def test_prompts_that_begin_alike_are_computed_once_even_when_they_come_together():
    trunk = words(1, 90)
    engine = Engine(MODELS["llama"], small(8000, step_tokens=64, requests=16))
    run(engine, [Asked(trunk + words(at, 5), tokens=2) for at in range(2, 12)])
    assert engine.stats.prefill_tokens <= 90 + 10 * 5
    assert engine.stats.preemptions == 0


def test_the_least_recently_used_goes_first():
    engine = Engine(MODELS["llama"], small(400))
    first, second, third = words(1, 80), words(2, 80), words(3, 80)
    run(engine, [Asked(first, tokens=1)])
    run(engine, [Asked(second, tokens=1)])
    run(engine, [Asked(first, tokens=1)])
    run(engine, [Asked(third, tokens=1)])
    before = engine.stats.prefill_tokens
    run(engine, [Asked(first, tokens=1)])
    assert engine.stats.prefill_tokens - before == 1
    run(engine, [Asked(second, tokens=1)])
    assert engine.stats.prefill_tokens - before > 30
    assert engine.stats.evicted_tokens > 0


def test_a_request_that_memory_could_never_hold_is_refused_with_the_numbers():
    engine = Engine(MODELS["llama"], small(200))
    too_long, fits = Asked(words(1, 150), tokens=4), Asked(words(1, 60), tokens=4)
    run(engine, [too_long, fits])
    assert "304 tokens x 256 bytes" in str(too_long.error)
    assert "cache_gb" in str(too_long.error)
    assert (fits.error, len(fits.written)) == (None, 4)


def test_long_prompts_do_not_hold_up_decoding():
    engine = Engine(MODELS["llama"], small(4000, step_tokens=8))
    writing = Asked(words(1, 3), tokens=40)
    engine.submit(writing.request)
    engine.step()
    run_before = writing.steps
    engine.submit(Asked(words(2, 120), tokens=4).request)
    for _ in range(12):
        engine.step()
    assert writing.steps - run_before >= 12


def test_a_new_group_does_not_wait_for_all_requests_of_a_large_one():
    engine = Engine(MODELS["llama"], small(4000, step_tokens=16, requests=2))
    many = [Asked(words(at, 30), tokens=4, group="many") for at in range(20)]
    for one in many:
        engine.submit(one.request)
    for _ in range(10):
        engine.step()
    newcomer = Asked(words(99, 30), tokens=4, group="one")
    engine.submit(newcomer.request)
    while not newcomer.finished:
        engine.step()
    assert sum(one.finished for one in many) < 8


class Begun:
    """A grammar that forces the first two ids."""

    def __init__(self):
        self.left = [5, 6]

    def mask(self, row):
        pass

    def forced(self):
        return list(self.left)

    def accept(self, token):
        self.left = self.left[1:]


def test_a_request_that_waits_for_memory_does_not_stop_those_that_hold_it():
    engine = Engine(MODELS["llama"], small(4000, step_tokens=8, requests=1))
    long, begun = Asked(words(1, 40), tokens=3), Asked(words(2, 10), tokens=5, grammar=Begun())
    engine.submit(long.request)
    engine.step()  # the first part of its prompt
    run(engine, [begun], limit=50)
    assert (len(long.written), begun.written[:2]) == (3, [5, 6])


# --- failures ---------------------------------------------------------------------------------------------

POISON = 7


@pytest.fixture
def breaks():
    """A model that does something when it reads POISON, which it never writes."""
    model = copy.deepcopy(MODELS["llama"])
    project = model.get_output_embeddings()
    project.register_forward_hook(lambda _, ids, logits: logits.index_fill(-1, torch.tensor([POISON]), -1e9))
    embed = model.get_input_embeddings()

    def with_hook(act):
        embed.register_forward_hook(lambda _, ids, hidden: act(hidden, ids[0] == POISON))
        return model

    return with_hook


def sound(prompt, tokens):
    """What the model writes that does not read POISON."""
    model = copy.deepcopy(REFERENCES["llama"])
    project = model.get_output_embeddings()
    project.register_forward_hook(lambda _, ids, logits: logits.index_fill(-1, torch.tensor([POISON]), -1e9))
    return generated(model, prompt, tokens)


def explode(hidden, poisoned):
    if poisoned.any():
        raise RuntimeError("the device is on fire")


def become_nan(hidden, poisoned):
    return torch.where(poisoned[..., None], torch.nan, hidden)


@pytest.mark.parametrize(("act", "said"), [(explode, "on fire"), (become_nan, "no numbers")])
def test_a_failure_loses_only_the_requests_that_cause_it(breaks, act, said):
    engine = Engine(breaks(act), small(2000, step_tokens=32, requests=8))
    trunk = words(1, 20)
    good = [Asked(trunk + words(at, 9), tokens=6) for at in range(2, 6)]
    bad = [Asked([*trunk, POISON, *words(8, 9)], tokens=6), Asked([*trunk, POISON, *words(8, 20)], tokens=6)]
    early = Asked(words(9, 4), tokens=12)
    engine.submit(early.request)
    engine.step()
    engine.step()
    run(engine, [good[0], bad[0], *good[1:], bad[1]])
    for one in bad:
        assert said in str(one.error)
        assert isinstance(one.error, ModelError)
    for one in [*good, early]:
        assert one.error is None
        assert one.written == sound(one.request.prompt, one.request.generation.budget)
    assert_conserved(engine)
    healthy = [Asked(words(at, 40), tokens=4) for at in range(20, 30)]
    run(engine, healthy)
    for one in healthy:
        assert one.written == sound(one.request.prompt, 4), "what was left in memory harms"
    assert memory_in_use(engine)["request caches"] == 0


# --- other devices ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_all_of_a_step_is_made_on_the_models_device_in_its_dtype(dtype):
    """No GPU is needed to see that: what meets a tensor on `meta` and lies elsewhere, or has another dtype, raises."""
    place = torch.device("meta")
    kv_cache = KVCache(KVShape(layers=dict.fromkeys(range(2), KEYS), dtype=dtype, device=place), 4000, max_requests=6)
    kv_cache.resize(256)
    slots = torch.arange(50).numpy()
    chunks = [
        Chunk(ids=[1], cache_index=0, start=30, adapters=[1]),
        Chunk(ids=[1], cache_index=1, start=9, load_start=0, load_slots=slots[:9]),
        Chunk(ids=[1], cache_index=4, start=70),
        Chunk(ids=[1, 2, 3], cache_index=2, start=0, store_start=0, store_slots=slots[9:12]),
        Chunk(ids=[1, 2, 3, 4], cache_index=3, start=12, adapters=[0, 0, 2, 2], load_start=0, load_slots=slots[12:24]),
    ]
    batch = ForwardBatch(chunks, kv_cache)
    assert all(value.device == place for value in batch.inputs().values() if isinstance(value, torch.Tensor))
    query, key = (torch.empty(1, heads, 10, 8, dtype=dtype, device=place) for heads in (4, 2))
    seen = attended(batch, 1, query, key, key)
    assert (seen.shape, seen.dtype, seen.device) == ((1, 10, 4, 8), dtype, place)


def test_heads_that_are_repeated_attend_as_grouped_ones_do():
    """What is done on a GPU, computed here."""
    kv_cache = KVCache(KVShape(layers={0: KEYS}, dtype=torch.float32, device=torch.device("cpu")), 4000, max_requests=4)
    kv_cache.resize(256)
    torch.manual_seed(0)
    query, key, value = torch.randn(1, 6, 9, 8), torch.randn(1, 2, 9, 8), torch.randn(1, 2, 9, 8)
    batch = ForwardBatch(
        [Chunk(ids=[1] * 4, cache_index=0, start=5), Chunk(ids=[1] * 5, cache_index=1, start=0)], kv_cache
    )
    grouped = attended(batch, 0, query, key, value)
    batch._device = torch.device("meta")
    torch.testing.assert_close(attended(batch, 0, query, key, value), grouped)


def test_in_bfloat16_requests_come_to_their_end_and_nothing_is_lost():
    engine = Engine(tiny("llama").to(torch.bfloat16), small(4000))
    asked = [Asked(words(seed, 20 + seed), tokens=9, temperature=seed / 4, seed=seed) for seed in range(5)]
    written = run(engine, asked)
    assert [len(each) for each in written] == [9] * 5
    assert_conserved(engine)
