"""On a GPU: what the engine writes there, and what training learns there, is what a CPU writes and learns."""

import copy

import pytest
import torch

from adapted_models import THREE, VOCABULARY, WAKING, adapter_settings, example, numbers, with_adapters
from alpha_umi.models.adapters import ADAPTERS, AdapterKind, adapters_of
from alpha_umi.models.engine.engine import Engine, Room
from alpha_umi.models.engine.memory import Shape
from alpha_umi.models.engine.ragged import best_kernel, difference, flash, plain
from alpha_umi.training.attention import tree_attention
from alpha_umi.training.packing import Labelled, join, plant
from alpha_umi.training.passes import Passes
from engine_requests import Asked, asked_of, assert_conserved, held, run
from tree_models import take_gradients, tiny_model

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.filterwarnings("default"),  # what other versions of libraries warn of is not what is tested here
]
KINDS = [None, *AdapterKind]
ROOM = Room(bytes=64 << 20, step_tokens=64)


@pytest.fixture(autouse=True)
def _exact():
    """Without TF32, and on one thread."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32 = before


def model_with(kind, dtype=torch.float32):
    model = tiny_model("llama", hidden_size=64, head_dim=16, vocab_size=VOCABULARY).eval()
    if kind is not None:
        with_adapters(model, adapter_settings(kind))
    return model.to(dtype=dtype, device="cuda")


def words(seed, length):
    return torch.randint(11, VOCABULARY, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def prompts_of(kind):
    """Role and prompt: some begin alike, some are long, some short."""
    history = words(5, 150)
    bare = [(None, history[:cut]) for cut in (3, 100, 150)] + [(None, words(6, 20))]
    if kind is None:
        return bare
    mixed = [
        (role, [*history[:cut], *WAKING[role], *words(7, more)]) for role in THREE for cut, more in ((150, 0), (90, 5))
    ]
    return [*bare, *mixed, *((role, example(role, 1)[0]) for role in THREE)]


def asked(kind, tokens=12, **more):
    waking = WAKING if kind is AdapterKind.ALORA else dict.fromkeys(THREE, ())
    return [
        Asked(prompt, tokens=tokens, **more)
        if role is None
        else asked_of(role, prompt, waking[role], tokens=tokens, **more)
        for role, prompt in prompts_of(kind)
    ]


def generated(model, kind, role, prompt, tokens=12):
    """By transformers' generate; with an adapter token by token without a cache, from the adapters' own choice."""
    if role is None:
        ids = torch.tensor([prompt], device="cuda")
        out = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=tokens, pad_token_id=0
        )
        return out[0, len(prompt) :].tolist()
    ids = list(prompt)
    for _ in range(tokens):
        ids.append(int(logits_of(model, kind, role, prompt, ids)[-1].argmax()))
    return ids[len(prompt) :]


@torch.inference_mode()
def logits_of(model, kind, role, prompt, ids):
    chosen = torch.tensor(numbers(role, kind, prompt) + [ADAPTERS[role]] * (len(ids) - len(prompt)))
    with adapters_of(model).select(chosen):
        return model(input_ids=torch.tensor([ids], device="cuda"), use_cache=False).logits[0]


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_completions_in_float32_are_those_of_generate(kind):
    model = model_with(kind)
    expected = [generated(model, kind, role, prompt) for role, prompt in prompts_of(kind)]
    engine = Engine(model, ROOM)
    assert run(engine, asked(kind)) == expected
    assert run(engine, asked(kind)) == expected, "warm"
    assert [run(engine, [one])[0] for one in asked(kind)] == expected, "alone"
    assert engine.recorder is not None
    assert (engine.recorder.refused, bool(engine.recorder.graphs)) == (None, True)
    assert_conserved(engine)
    assert run(Engine(copy.deepcopy(model), ROOM, ragged=False), asked(kind)) == expected, "padded"


@pytest.mark.parametrize("kind", KINDS)
def test_log_probabilities_in_float32_are_those_of_a_plain_forward(kind):
    model = model_with(kind)
    some = asked(kind, logprobs=True)
    run(Engine(model, ROOM), some)
    for one, (role, prompt) in zip(some, prompts_of(kind), strict=True):
        ids = [*prompt, *one.written]
        if role is None:
            with torch.inference_mode():
                logits = model(input_ids=torch.tensor([ids], device="cuda"), use_cache=False).logits[0]
        else:
            logits = logits_of(model, kind, role, prompt, ids)
        said = logits.log_softmax(dim=-1)[len(prompt) - 1 : -1].cpu()
        told = torch.tensor([logprob for _, logprob in one.request.writer.logprobs])
        assert (said.gather(1, torch.tensor(one.written)[:, None])[:, 0] - told).abs().max() < 1e-3


@pytest.mark.parametrize("heads", [(32, 8), (4, 4), (6, 2)])
@pytest.mark.parametrize("size", [16, 64, 128])
def test_flash_attention_over_lanes_computes_what_the_plain_kernel_does(heads, size):
    place = torch.device("cuda", 0)
    assert difference(plain, place, torch.float32, heads, size) < 1e-5
    assert difference(flash, place, torch.bfloat16, heads, size) < 0.03
    assert best_kernel(place, torch.bfloat16, heads, size) is flash
    assert best_kernel(place, torch.float32, heads, size) is plain


def test_in_bfloat16_log_probabilities_are_near_and_nothing_is_lost():
    model = model_with(AdapterKind.ALORA, torch.bfloat16)
    some = asked(AdapterKind.ALORA, logprobs=True)
    engine = Engine(model, ROOM)
    assert engine.scheduler.memory.kernel is flash
    run(engine, some)
    for one, (role, prompt) in zip(some, prompts_of(AdapterKind.ALORA), strict=True):
        if role is not None:
            logits = logits_of(model, AdapterKind.ALORA, role, prompt, [*prompt, *one.written]).float()
            said = logits.log_softmax(dim=-1)[len(prompt) - 1 : -1].cpu()
            told = torch.tensor([logprob for _, logprob in one.request.writer.logprobs])
            far = (said.gather(1, torch.tensor(one.written)[:, None])[:, 0] - told).abs()
            assert far.max() < 0.5
            assert far.mean() < 0.1
    assert_conserved(engine)


def test_a_seed_reproduces_whatever_shares_the_batch():
    engine = Engine(model_with(None), ROOM)
    (alone,) = run(engine, [Asked(words(1, 30), tokens=10, temperature=1.0, seed=3, top_p=0.9)])
    some = [Asked(words(at, 20 + at), tokens=14, temperature=1.0, seed=at) for at in range(5)]
    assert run(engine, [*some, Asked(words(1, 30), tokens=10, temperature=1.0, seed=3, top_p=0.9)])[-1] == alone


def test_what_adapters_learn_is_seen_by_what_was_recorded():
    model = model_with(AdapterKind.ALORA)
    engine = Engine(model, ROOM)
    before = run(engine, asked(AdapterKind.ALORA))
    with torch.no_grad():
        for role in THREE:
            for weight in adapters_of(model).parameters(role).values():
                weight.add_(0.5 * torch.randn_like(weight))
    after = run(Engine(copy.deepcopy(model), ROOM), asked(AdapterKind.ALORA))
    assert after != before
    assert run(engine, asked(AdapterKind.ALORA)) == after


def test_a_model_that_computes_no_numbers_fails_alone_and_the_next_requests_are_well():
    model = model_with(None)
    sound = run(Engine(copy.deepcopy(model), ROOM), [Asked(words(1, 40))])[0]
    engine = Engine(model, ROOM)
    with torch.no_grad():
        model.get_input_embeddings().weight[7] = float("nan")
    bad, good = Asked([*words(2, 30), 7, *words(3, 5)]), Asked(words(1, 40))
    run(engine, [bad, good])
    assert bad.error is not None
    assert (good.error, good.written) == (None, sound)
    assert held(engine)["lanes"] == 0


def test_keys_and_values_lie_on_the_device_in_the_dtype_of_the_weights():
    model = model_with(None, torch.bfloat16)
    memory = Engine(model, ROOM).scheduler.memory
    assert memory.shape == Shape(layers=2, heads=2, size=16, dtype=torch.bfloat16, device=model.device)
    assert memory.pool_keys.device.type == "cuda"


def labelled(seed, length, trunk=()):
    ids = [*trunk, *(token % 40 for token in words(seed, length))]
    return Labelled(ids=ids, weights=[0.0] * len(trunk) + [0.0] + [1.0] * (length - 1))


@pytest.mark.parametrize("head", [8, 16])  # the smaller one is too small for FlexAttention
def test_a_training_step_on_trees_is_that_of_a_cpu(head):
    torch.manual_seed(0)
    plain_model = tiny_model("llama", hidden_size=64, head_dim=head)
    trunk = [token % 40 for token in words(1, 150)]
    few = [labelled(2, 30, trunk), labelled(3, 40, trunk), labelled(4, 9, trunk[:70])]
    forests = [join(plant([*few])), join(plant([*few, labelled(5, 300)]))]
    found = []
    for device in ("cpu", "cuda"):
        model = copy.deepcopy(plain_model).to(device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        passes, losses = Passes(model, max_length=512), []
        assert passes.why_rows is None
        with tree_attention(model):
            for forest in forests:
                loss = passes.loss(forest)
                loss.backward()
                losses.append(loss.item())
        weights = {name: gradient.cpu().clone() for name, gradient in take_gradients(model).items()}
        for name, weight in model.named_parameters():
            weight.grad = weights[name].to(device)
        optimizer.step()
        found.append((losses, weights, {name: weight.detach().cpu() for name, weight in model.named_parameters()}))
    (losses, gradients, after), (losses_there, gradients_there, after_there) = found
    assert losses_there == pytest.approx(losses, rel=1e-4)
    for name, gradient in gradients.items():
        assert (gradients_there[name] - gradient).norm() <= 1e-2 * gradient.norm() + 1e-6, name
    for name, weight in after.items():
        assert (after_there[name] - weight).abs().max() < 2.1e-3, name  # no step of AdamW is longer than its rate
