"""The local model: what a prompt gets does not depend on who else asks."""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel, StableLmConfig, StableLmForCausalLM

from alpha_umi.errors import CheckpointError, ModelError
from alpha_umi.formats.tokens import decode, prompt_ids
from alpha_umi.models.local import LocalModel
from alpha_umi.types import FinishReason, Sampling
from support.tiny_models import tiny_llama, tiny_tokenizer

peft_on_this_transformers = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")
TOKENIZER = tiny_tokenizer()
PROMPTS = [
    "the planner",
    "Paris and the user are told",
    "a",
    "get_weather for Paris and 24 degrees " * 3,
    "one sentence <|role|>",
    "calls " * 20,
]


@pytest.fixture
def model():
    return LocalModel(tiny_llama(len(TOKENIZER)), TOKENIZER, end="</s>")


def ask(model, prompts, *samplings):
    async def together():
        pairs = zip(prompts, samplings * (len(prompts) // len(samplings)), strict=True)
        return await asyncio.gather(*(model.complete(prompt, sampling) for prompt, sampling in pairs))

    return asyncio.run(together())


def test_greedy_completions_are_those_of_generate(model):
    weights = tiny_llama(len(TOKENIZER))
    weights.generation_config.eos_token_id = TOKENIZER.eos_token_id
    for prompt in PROMPTS:
        ids = torch.tensor([prompt_ids(TOKENIZER, prompt)])
        expected = weights.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24, pad_token_id=0
        )
        (completion,) = ask(model, [prompt], Sampling(max_tokens=24))
        assert completion.text == decode(TOKENIZER, expected[0, ids.shape[1] :].tolist(), "</s>")


def test_a_prompt_gets_in_a_batch_what_it_gets_alone(model):
    sampling = Sampling(max_tokens=24)
    alone = [ask(model, [prompt], sampling)[0] for prompt in PROMPTS]
    assert ask(model, PROMPTS, sampling) == alone
    assert len({completion.text for completion in alone}) > 3


def test_positions_count_from_the_first_token_of_each_row():
    torch.manual_seed(0)
    shape = GPT2Config(
        vocab_size=len(TOKENIZER), n_embd=32, n_layer=2, n_head=2, n_positions=256, initializer_range=0.3
    )
    shape.bos_token_id = shape.eos_token_id = None
    model = LocalModel(GPT2LMHeadModel(shape), TOKENIZER, end="</s>")
    alone = [ask(model, [prompt], Sampling(max_tokens=16))[0] for prompt in PROMPTS]
    assert ask(model, PROMPTS, Sampling(max_tokens=16)) == alone


def test_requests_of_different_lengths_and_samplings_share_a_batch(model):
    samplings = [Sampling(max_tokens=count, temperature=heat, seed=1) for count, heat in ((3, 0), (30, 1.5), (9, 0.7))]
    alone = [ask(model, [prompt], one)[0] for prompt, one in zip(PROMPTS, samplings * 2, strict=True)]
    assert ask(model, PROMPTS, *samplings) == alone
    assert alone[0].usage.completion_tokens <= 3


def test_a_small_token_budget_only_makes_more_batches():
    small = LocalModel(tiny_llama(len(TOKENIZER)), TOKENIZER, end="</s>", batch_tokens=40)
    large = LocalModel(tiny_llama(len(TOKENIZER)), TOKENIZER, end="</s>")
    assert ask(small, PROMPTS, Sampling(max_tokens=16)) == ask(large, PROMPTS, Sampling(max_tokens=16))


def test_a_seed_decides_what_is_drawn(model):
    def draw(seed):
        return ask(model, ["Paris"], Sampling(temperature=1.0, max_tokens=16, seed=seed))[0].text

    assert draw(1) == draw(1)
    assert len({draw(seed) for seed in range(6)}) > 3


def test_a_tiny_nucleus_is_greedy(model):
    greedy = ask(model, PROMPTS, Sampling(max_tokens=12))
    narrow = ask(model, PROMPTS, Sampling(max_tokens=12, temperature=1.0, top_p=1e-9, seed=3))
    assert narrow == greedy


def test_a_completion_ends_before_its_stop_string(model):
    whole = ask(model, PROMPTS[:1], Sampling(max_tokens=24))[0].text
    stop = whole[5:8]
    (cut,) = ask(model, PROMPTS[:1], Sampling(max_tokens=24, stop=("never seen", stop)))
    assert cut.text == whole[: whole.index(stop)]
    assert cut.finish is FinishReason.STOP
    assert cut.usage.completion_tokens < 24


def test_the_end_mark_ends_a_completion_and_is_not_in_it():
    weights = tiny_llama(len(TOKENIZER))
    first = ask(LocalModel(weights, TOKENIZER, end="</s>"), ["Paris"], Sampling(max_tokens=8))[0]
    assert first.finish is FinishReason.LENGTH
    fourth = TOKENIZER.encode(first.text, add_special_tokens=False)[3]
    weights.generation_config.eos_token_id = [fourth]
    (ended,) = ask(LocalModel(weights, TOKENIZER, end="</s>"), ["Paris"], Sampling(max_tokens=8))
    assert first.text.startswith(ended.text)
    assert ended.finish is FinishReason.STOP
    assert ended.usage.completion_tokens <= 4


def test_a_prompt_beyond_the_context_is_refused_with_the_numbers():
    model = LocalModel(tiny_llama(len(TOKENIZER), context=32), TOKENIZER, end="</s>")
    with pytest.raises(ModelError, match=r"102 tokens, the model reads 32"):
        ask(model, ["a " * 50 + "a"], Sampling())
    (completion,) = ask(model, ["a " * 14], Sampling(max_tokens=100))
    assert completion.usage.prompt_tokens + completion.usage.completion_tokens <= 32


def test_cancelled_requests_leave_the_others_alone(model):
    async def some_cancelled():
        tasks = [asyncio.create_task(model.complete(prompt, Sampling(max_tokens=60))) for prompt in PROMPTS]
        await asyncio.sleep(0.02)
        tasks[0].cancel()
        return (await asyncio.gather(*tasks, return_exceptions=True))[1:]

    assert asyncio.run(some_cancelled()) == ask(model, PROMPTS, Sampling(max_tokens=60))[1:]


def test_a_closed_model_refuses_every_request(model):
    async def closed_under_way():
        task = asyncio.create_task(model.complete("Paris", Sampling(max_tokens=200)))
        await asyncio.sleep(0)
        await model.aclose()
        with pytest.raises(ModelError, match="closed"):
            await task
        with pytest.raises(ModelError, match="closed"):
            await model.complete("Paris", Sampling())

    asyncio.run(closed_under_way())


def test_tokens_are_counted_as_the_model_reads_them(model):
    assert model.count_tokens("Paris") == len(prompt_ids(TOKENIZER, "Paris"))


# --- more than a completion -------------------------------------------------------------------------------


def listen(model, prompt, sampling):
    async def collect():
        return [piece async for piece in model.stream(prompt, sampling)]

    return asyncio.run(collect())


@pytest.mark.parametrize("sampling", [
    Sampling(max_tokens=24),
    Sampling(max_tokens=24, temperature=1.5, seed=2),
    Sampling(max_tokens=24, stop=("t", "never seen")),
    Sampling(max_tokens=24, stop=("the user calls", "sentence for", "in one in")),
])  # fmt: skip
def test_the_pieces_of_a_stream_are_its_completion(model, sampling):
    for prompt in PROMPTS:
        *pieces, completion = listen(model, prompt, sampling)
        assert completion == ask(model, [prompt], sampling)[0]
        assert "".join(pieces) == completion.text
    # This model writes faster than threads take turns: what is read between two turns is one piece.
    assert any(len(listen(model, PROMPTS[0], Sampling(max_tokens=150))) > 2 for _ in range(5)), "streamed"


def test_a_stream_that_is_read_no_further_is_cancelled(model):
    async def first_piece():
        async with contextlib.aclosing(model.stream("Paris", Sampling(max_tokens=200))) as pieces:
            piece = await anext(pieces)
        await model.complete("a", Sampling(max_tokens=1))
        return piece, model._worker._runner.idle or len(model._worker._runner.scheduler.running)

    piece, left = asyncio.run(first_piece())
    assert isinstance(piece, str)
    assert left in (True, 0)


def test_a_stream_ends_when_its_model_is_closed(model):
    async def read():
        return [piece async for piece in model.stream("Paris", Sampling(max_tokens=200))]

    async def closed_under_way():
        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        await model.aclose()
        with pytest.raises(ModelError, match="closed"):
            await asyncio.wait_for(reading, 10)

    asyncio.run(closed_under_way())


def test_a_stream_fails_as_a_completion_does(model):
    with pytest.raises(ModelError, match="tokens, the model reads"):
        listen(model, "a " * 300, Sampling())


def test_a_completion_tells_how_likely_its_tokens_were(model):
    plain, told = ask(model, ["Paris"] * 2, Sampling(max_tokens=6), Sampling(max_tokens=6, logprobs=True))
    assert plain.logprobs is None
    assert "".join(each.text for each in told.logprobs) == told.text == plain.text
    assert all(each.logprob < 0 for each in told.logprobs)


def test_a_grammar_goes_to_the_given_compiler():
    class Fives:
        def mask(self, row):
            row[torch.arange(len(row)) != 5] = float("-inf")

        def forced(self):
            return []

        def accept(self, token):
            assert token == 5

    grammars = []
    model = LocalModel(
        tiny_llama(len(TOKENIZER)), TOKENIZER, end="</s>", compile_grammar=lambda text: grammars.append(text) or Fives()
    )
    (completion,) = ask(model, ["Paris"], Sampling(max_tokens=3, grammar="start: /five/"))
    assert grammars == ["start: /five/"]
    assert completion.text == decode(TOKENIZER, [5, 5, 5], "</s>")


def test_a_grammar_is_compiled_without_a_given_compiler(model):
    free, constrained = ask(
        model, ["Paris"] * 2, Sampling(max_tokens=20), Sampling(max_tokens=20, grammar='start: "planner"')
    )
    assert (constrained.text, constrained.finish) == ("planner", FinishReason.STOP)
    assert free == ask(model, ["Paris"], Sampling(max_tokens=20))[0]
    with pytest.raises(ModelError, match="grammar"):
        ask(model, ["Paris"], Sampling(grammar="no grammar"))


def stable_lm():
    """A model that the engine does not run."""
    torch.manual_seed(0)
    shape = StableLmConfig(
        vocab_size=len(TOKENIZER), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, initializer_range=0.3,
        bos_token_id=None, eos_token_id=None, pad_token_id=None,
    )  # fmt: skip
    return StableLmForCausalLM(shape).eval()


def test_an_architecture_that_is_not_exact_in_the_engine_runs_in_padded_batches_and_is_named(caplog):
    weights = stable_lm()
    model = LocalModel(weights, TOKENIZER, end="</s>")
    completions = ask(model, PROMPTS, Sampling(max_tokens=12))
    assert "stablelm attends by code of its own" in caplog.text
    for prompt, completion in zip(PROMPTS, completions, strict=True):
        ids = torch.tensor([prompt_ids(TOKENIZER, prompt)])
        written = weights.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12, pad_token_id=0,
            eos_token_id=TOKENIZER.eos_token_id,
        )  # fmt: skip
        assert completion.text == decode(TOKENIZER, written[0, ids.shape[1] :].tolist(), "</s>")


def test_layers_that_the_engine_does_not_reach_run_in_padded_batches_although_the_type_is_proven(caplog):
    """A table is not all: options, or code of a later transformers, may make something else of an architecture."""
    weights = stable_lm()
    reference = LocalModel(stable_lm(), TOKENIZER, end="</s>")
    weights.config.model_type = "llama"
    model = LocalModel(weights, TOKENIZER, end="</s>")
    assert model.unsupported_reason() is None
    assert ask(model, PROMPTS, Sampling(max_tokens=6)) == ask(reference, PROMPTS, Sampling(max_tokens=6))
    assert "not all of its layers attend through transformers' AttentionInterface" in caplog.text


def test_a_padded_batch_that_fails_is_run_one_by_one(caplog):
    weights = stable_lm()
    (poison,) = set(prompt_ids(TOKENIZER, "one sentence <|role|>")) - set(prompt_ids(TOKENIZER, "one sentence "))

    def explode(_, ids):
        if (ids[0] == poison).any():
            raise RuntimeError("kaboom")

    model = LocalModel(weights, TOKENIZER, end="</s>")
    alone = [ask(model, [prompt], Sampling(max_tokens=4))[0] for prompt in PROMPTS[:4]]
    weights.get_input_embeddings().register_forward_pre_hook(explode)

    async def together():
        asked = (model.complete(prompt, Sampling(max_tokens=4)) for prompt in PROMPTS[:5])
        return await asyncio.gather(*asked, return_exceptions=True)

    *good, bad = asyncio.run(together())
    assert good == alone
    assert "kaboom" in str(bad)


@pytest.mark.slow
def test_an_interrupt_ends_the_process_at_once(tmp_path):
    tiny_llama(len(TOKENIZER), context=100_000).save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    program = f"""
import asyncio
from alpha_umi.models.local import LocalModel
from alpha_umi.types import Sampling
async def main():
    model = LocalModel.load({str(tmp_path)!r}, end="nothing", device="cpu")
    async for piece in model.stream("Paris", Sampling(max_tokens=90_000)):
        print(piece, flush=True)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        try:
            _, errors = process.communicate(timeout=60)  # to the end of what it writes it would be many minutes
        finally:
            process.kill()
    assert b"KeyboardInterrupt" in errors


# --- loading ----------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    tiny_llama(len(TOKENIZER)).save_pretrained(tmp_path / "model")
    TOKENIZER.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_saved_model_answers_as_before(model, folder):
    loaded = LocalModel.load(str(folder), end="</s>", device="cpu", dtype="float32")
    assert ask(loaded, PROMPTS, Sampling(max_tokens=12)) == ask(model, PROMPTS, Sampling(max_tokens=12))


@peft_on_this_transformers
def test_an_adapter_changes_the_answers_as_in_peft(folder, tmp_path):
    torch.manual_seed(1)
    base = tiny_llama(len(TOKENIZER))
    tuned = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    tuned.save_pretrained(tmp_path / "lora")
    ids = torch.tensor([prompt_ids(TOKENIZER, "Paris")])
    expected = tuned.eval()(input_ids=ids).logits
    loaded = LocalModel.load(str(folder), end="</s>", adapter=str(tmp_path / "lora"), device="cpu")
    torch.testing.assert_close(loaded._model(input_ids=ids).logits, expected)


def test_a_folder_that_is_no_model_is_named(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (folder / "model.safetensors").write_bytes(b"not weights")
    for path, said in (
        (tmp_path / "nothing", "no such folder"),
        (tmp_path / "empty", r"no config\.json"),
        (tmp_path / "file", "is a file"),
        (folder, "the weights cannot be loaded"),
    ):
        with pytest.raises(CheckpointError, match=said) as caught:
            LocalModel.load(str(path), end="</s>", device="cpu")
        assert str(path) in str(caught.value)


@peft_on_this_transformers
def test_an_adapter_that_does_not_fit_is_named(tmp_path, folder):
    torch.manual_seed(1)
    other = tiny_llama(len(TOKENIZER), hidden=48)
    config = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    get_peft_model(other, config).save_pretrained(tmp_path / "wide")
    with pytest.raises(CheckpointError, match="does not fit the base model"):
        LocalModel.load(str(folder), end="</s>", adapter=str(tmp_path / "wide"), device="cpu")
    with pytest.raises(CheckpointError, match="no adapter here"):
        LocalModel.load(str(folder), end="</s>", adapter=str(tmp_path), device="cpu")
    plain = json.loads((tmp_path / "wide" / "adapter_config.json").read_text())
    plain["alora_invocation_tokens"] = [1]
    (tmp_path / "wide" / "adapter_config.json").write_text(json.dumps(plain))
    with pytest.raises(CheckpointError, match="activated LoRA"):
        LocalModel.load(str(folder), end="</s>", adapter=str(tmp_path / "wide"), device="cpu")


def test_an_unknown_device_is_named(folder):
    with pytest.raises(CheckpointError, match="device 'abacus' cannot be used"):
        LocalModel.load(str(folder), end="</s>", device="abacus")


@pytest.mark.parametrize(("one_core", "inside"), [(True, 1), (False, 3)])
def test_a_tiny_model_runs_on_one_core_where_asked_and_others_keep_theirs(one_core, inside):
    weights, seen, before = tiny_llama(len(TOKENIZER)), [], torch.get_num_threads()
    weights.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    torch.set_num_threads(3)
    try:
        model = LocalModel(weights, TOKENIZER, end="</s>", one_core=one_core)
        ask(model, ["the planner"], Sampling(max_tokens=2))
        asyncio.run(model.aclose())
        assert set(seen[1:]) == {inside}  # the first forward, of one token, only finds the shape of the cache
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
