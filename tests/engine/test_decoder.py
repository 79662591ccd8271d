"""Models and tokenizers that run without transformers write what they write with it; all others are left to it."""

import asyncio
import json

import pytest
import torch
from gguf import GGMLQuantizationType
from jinja2 import TemplateError
from transformers import AutoTokenizer

from alpha_umi.formats.tokens import prompt_ids
from alpha_umi.loading.bundled import FOLDER
from alpha_umi.models.adapters import base_fingerprint
from alpha_umi.models.base_sketch import sketch
from alpha_umi.models.checkpoint import load_to_run, load_tokenizer, load_weights
from alpha_umi.models.decoder_files import open_decoder
from alpha_umi.models.engine.decoder import Decoder
from alpha_umi.models.fast_tokenizer import FastTokenizer, open_tokenizer
from alpha_umi.models.format_tokens import hold_tokens
from alpha_umi.models.gguf_files import write_model
from alpha_umi.models.local import LocalModel
from alpha_umi.models.tokenizer_check import ODD_STRINGS
from alpha_umi.types import Message, Sampling
from support.gguf_models import MODELS, SHARED, TOKENIZER, saved, write_small

TINY = FOLDER / "umi-tiny" / "backbone"
PROMPTS = ("the planner calls get_weather for Paris", "and 24 degrees are told to the user in one sentence " * 4, "a")


def completions(model, tokenizer):
    """Completions of prompts one after the other, with the log-probabilities of their tokens."""

    async def run():
        local, sampling = LocalModel(model, tokenizer, end=""), Sampling(max_tokens=8, logprobs=True)
        done = [await local.complete(prompt, sampling) for prompt in PROMPTS]  # side by side chance decides on noise
        assert local.engine is not None
        await local.aclose()
        return done

    return asyncio.run(run())


@pytest.mark.parametrize("name", [name for name in MODELS if name != "mistral"])
def test_a_decoder_writes_the_tokens_of_transformers_model_with_the_same_log_probabilities(name, tmp_path):
    saved(MODELS[name], tmp_path / "model")
    write_model(str(tmp_path / "model"), tmp_path / "m.gguf", end=SHARED.end)
    for file in (tmp_path / "model", tmp_path / "m.gguf"):
        model, tokenizer = load_to_run(str(file), None, torch.float32, "cpu")
        theirs = load_weights(str(file))
        assert isinstance(model, Decoder)
        assert isinstance(tokenizer, FastTokenizer)
        assert (base_fingerprint(model), sketch(model)) == (base_fingerprint(theirs), sketch(theirs))
        assert completions(model, tokenizer) == completions(theirs, load_tokenizer(str(file)))


def test_a_folder_of_dequantised_weights_is_known_as_such(tmp_path):
    load_weights(str(write_small(tmp_path / "m.gguf", quantised=GGMLQuantizationType.Q8_0))).save_pretrained(tmp_path)
    model = open_decoder(str(tmp_path), torch.float32)
    assert model is not None
    assert sketch(model) == sketch(load_weights(str(tmp_path)))


def test_tokens_of_a_format_are_held_as_transformers_holds_them(tmp_path):
    saved(MODELS["llama 3"], tmp_path)
    tokens = ["<|order|>", *SHARED.special_tokens]
    ours = load_to_run(str(tmp_path), None, torch.float32, "cpu")
    theirs = load_weights(str(tmp_path)), load_tokenizer(str(tmp_path))
    assert [hold_tokens(*each, tokens, SHARED.end) for each in (ours, theirs)] == [1, 1]
    more = [f"<|order{number}|>" for number in range(8)]
    assert [hold_tokens(*each, more, SHARED.end) for each in (ours, theirs)] == [8, 8]
    assert torch.equal(*(model.get_parameter("model.embed_tokens.weight") for model, _ in (ours, theirs)))
    assert torch.equal(*(model.get_parameter("lm_head.weight") for model, _ in (ours, theirs)))
    assert completions(*ours) == completions(*theirs)


def test_a_tokenizer_reads_and_writes_as_transformers_does():
    ours, theirs = open_tokenizer(TINY), AutoTokenizer.from_pretrained(TINY)
    assert ours is not None
    for text in (*ODD_STRINGS, "", "a<|call|> b<|end|>\n<|begin|>", "<|pad|><|tools|>", "<|call |>"):
        for special in (True, False):
            ids = ours.encode(text, add_special_tokens=special)
            assert ids == theirs.encode(text, add_special_tokens=special)
            assert ours.decode(ids) == theirs.decode(ids)
            assert ours.decode(ids, skip_special_tokens=True) == theirs.decode(ids, skip_special_tokens=True)
        found = theirs(text, add_special_tokens=False, return_offsets_mapping=True)
        asked = ours(text, add_special_tokens=False, return_offsets_mapping=True)
        assert asked == {"input_ids": found["input_ids"], "offset_mapping": found["offset_mapping"]}
    same = ("all_special_tokens", "all_special_ids", "special_tokens_map", "extra_special_tokens", "chat_template")
    same += ("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "is_fast")
    assert [getattr(ours, name) for name in same] == [getattr(theirs, name) for name in same]
    assert repr(ours.added_tokens_decoder) == repr(theirs.added_tokens_decoder)
    assert ours.get_vocab() == theirs.get_vocab()


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "mistral", "architectures": ["MistralForCausalLM"]},
        {"hidden_act": "gelu"},
        {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0}},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}},
        {"architectures": ["LlamaForSequenceClassification"]},
        {"quantization_config": {"quant_method": "fp8"}},
        {"auto_map": {"AutoModelForCausalLM": "model.Model"}},
        {"a_new_setting": 2},
        {"num_hidden_layers": 3},
        {"intermediate_size": 40},
        {"tie_word_embeddings": None},
    ],
)
def test_a_folder_with_a_setting_that_is_not_known_is_left_to_transformers(changes, tmp_path):
    saved(MODELS["llama"], tmp_path)
    assert open_decoder(str(tmp_path), torch.float32) is not None
    settings = json.loads((tmp_path / "config.json").read_text()) | changes
    if settings["tie_word_embeddings"] is None:
        del settings["tie_word_embeddings"]
    (tmp_path / "config.json").write_text(json.dumps(settings))
    assert open_decoder(str(tmp_path), torch.float32) is None


@pytest.mark.parametrize(
    "changes", [{"tokenizer_class": "GPT2Tokenizer"}, {"add_bos_token": True}, {"auto_map": {}}, {"bos_token": "<new>"}]
)
def test_a_tokenizer_with_a_setting_that_is_not_known_is_left_to_transformers(changes, tmp_path):
    TOKENIZER.save_pretrained(tmp_path)
    assert open_tokenizer(tmp_path) is not None
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    assert open_tokenizer(tmp_path) is None


# --- chat templates ---------------------------------------------------------------------------------------

MESSAGES = (Message(role="system", content="<é> & 'x'"), Message(role="user", content="2 + 2?"))
TEMPLATES = (
    "{{ bos_token }}{% for m in messages %}\n  {% if loop.first %}{% continue %}{% endif %}\n{{ m.role }}: "
    "{{ m.content }}{% endfor %}\n{% if add_generation_prompt %}\nA:{% endif %}",
    "{{ messages | tojson }}{{ messages[0] | tojson(indent=2) }}",
    "{% set ns = namespace(n=1) %}{% for m in messages %}{% set ns.n = 2 %}{% endfor %}{{ ns.n }}",
    "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% break %}{% endfor %}",
    "{{ dict(a=1) | tojson }}{{ strftime_now('%Y') }}{{ tools }}{{ documents }}{{ enable_thinking }}{{ unk_token }}",
    "{{ messages | map(attribute='content') | join('|') }}{% macro f(x) %}[{{ x }}]{% endmacro %}{{ f(eos_token) }}",
)
REFUSED = (
    "{{ raise_exception('no') }}",
    "{{ ''.__class__.__mro__ }}",
    "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
    "{{ namespace(_a=1) }}",
    "{{ messages.append(1) }}",
    "{{ messages[0].update({'a': 1}) }}",
    "{% for m in messages %}",
)


@pytest.fixture
def chat(tmp_path):
    TOKENIZER.save_pretrained(tmp_path)
    return open_tokenizer(tmp_path), AutoTokenizer.from_pretrained(tmp_path)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_chat_template_is_rendered_as_transformers_renders_it(template, chat):
    for each in chat:
        each.chat_template = template
    told = [{"role": m.role, "content": m.content, "name": None} for m in MESSAGES]
    options = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": False}
    ours, theirs = (each.apply_chat_template(told, **options) for each in chat)
    assert ours == theirs
    assert prompt_ids(chat[0], MESSAGES) == prompt_ids(chat[1], MESSAGES)


@pytest.mark.parametrize("template", REFUSED)
def test_a_chat_template_may_do_no_more_than_in_transformers(template, chat):
    for each in chat:
        each.chat_template = template
        with pytest.raises(TemplateError):
            each.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False, add_generation_prompt=True)
