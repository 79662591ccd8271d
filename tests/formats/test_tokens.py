"""Text to ids and back: the same ids in training and live, and every character kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_umi.errors import FormatError
from alpha_umi.formats.tokens import PromptIds, completion_ids, completion_parts, decode, end_ids, prompt_ids
from alpha_umi.training.tokenizer import BOS, learn_tokenizer
from alpha_umi.types import Message, Part
from support.tiny_models import TEXT, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
ANY_TEXT = st.text() | st.lists(st.sampled_from(["</s>", "<|role|>", " ", "  ", "a", "_", "é", "\n", " ,", "'s"])).map(
    "".join
)


@given(ANY_TEXT)
def test_a_learned_tokenizer_gives_back_every_text(text):
    ids = TOKENIZER.encode(text, add_special_tokens=False)
    assert TOKENIZER.decode(ids, skip_special_tokens=False) == text


@given(ANY_TEXT)
def test_the_ids_of_a_completion_decode_to_the_completion(text):
    assert decode(TOKENIZER, completion_ids(TOKENIZER, text, "</s>"), "</s>") == text


@given(ANY_TEXT, ANY_TEXT)
def test_nothing_of_a_completion_depends_on_its_prompt(prompt, completion):
    whole = prompt_ids(TOKENIZER, prompt) + completion_ids(TOKENIZER, completion, "</s>")
    assert whole[: -len(completion_ids(TOKENIZER, completion, "</s>"))] == prompt_ids(TOKENIZER, prompt)
    assert whole[-1] == TOKENIZER.eos_token_id


def test_half_a_character_is_tokenised_as_the_replacement_character():
    """A tool that cuts its text by UTF-16 units leaves such halves, and JSON can hold them."""
    for text, shown in [("cut \ud83d", "cut \ufffd"), ("\ude00\ud83d b", "\ufffd\ufffd b")]:
        assert prompt_ids(TOKENIZER, text) == prompt_ids(TOKENIZER, shown)
        assert decode(TOKENIZER, completion_ids(TOKENIZER, text, "</s>"), "</s>") == shown
        assert PromptIds(TOKENIZER, ("<|role|>",))(text) == prompt_ids(TOKENIZER, shown)
        ids, parts = completion_parts(TOKENIZER, [(text, Part.ANSWER), ("x", Part.MARK)])
        assert len(ids) == len(parts)
        assert parts[-1] is Part.MARK
    learn_tokenizer(["cut \ud83d"], vocab_size=300)


def test_a_space_that_ends_a_prompt_stays_a_token_of_the_prompt():
    prompt = "history assistant: "
    ids = prompt_ids(TOKENIZER, prompt)
    assert TOKENIZER.decode(ids[-1:]) == " "
    assert ids[0] == TOKENIZER.bos_token_id


@pytest.mark.parametrize("word", ["weather", "Paris"])
def test_a_word_has_the_same_token_wherever_it_stands(word):
    (token,) = TOKENIZER.encode(word, add_special_tokens=False)
    for text in (f" {word}", f"get_{word}_for", f'{{"{word}": 1}}', f"\n{word},", f"a {word} b"):
        assert token in TOKENIZER.encode(text, add_special_tokens=False), text


def test_a_digit_is_a_token():
    assert len(TOKENIZER.encode("2024", add_special_tokens=False)) == 4


def test_special_tokens_are_single_and_survive_a_save(tmp_path):
    from transformers import AutoTokenizer

    TOKENIZER.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    for text in ("a<|role|>b", "</s>", "x </s> y", TEXT):
        assert again.encode(text) == TOKENIZER.encode(text)
    assert len(again.encode("<|role|>", add_special_tokens=False)) == 1


def test_equal_texts_give_equal_tokenizers():
    assert tiny_tokenizer().backend_tokenizer.to_str() == TOKENIZER.backend_tokenizer.to_str()


def test_a_tokenizer_without_the_end_mark_ends_with_its_own():
    assert end_ids(TOKENIZER, "</s>") == (TOKENIZER.eos_token_id,)
    assert end_ids(TOKENIZER, "two words") == (TOKENIZER.eos_token_id,)
    assert end_ids(TOKENIZER, "<|role|>")[1:] == (TOKENIZER.eos_token_id,)
    assert end_ids(TOKENIZER, "") == (TOKENIZER.eos_token_id,)


def test_a_tokenizer_that_can_end_nothing_is_refused():
    tokenizer = tiny_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(FormatError, match="nothing can end a completion"):
        end_ids(tokenizer, "two words")


def test_an_eos_that_a_tokenizer_appends_is_not_in_the_prompt():
    from tokenizers import processors

    tokenizer = learn_tokenizer([TEXT], vocab_size=300, end="</s>")
    pair = [(BOS, tokenizer.bos_token_id), ("</s>", tokenizer.eos_token_id)]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A </s>", special_tokens=pair
    )
    assert tokenizer.encode("a")[-1] == tokenizer.eos_token_id
    assert prompt_ids(tokenizer, "a") == tokenizer.encode("a")[:-1]


def test_messages_go_through_the_chat_template():
    tokenizer = tiny_tokenizer()
    messages = (Message(role="system", content="the user"), Message(role="user", content="Paris"))
    with pytest.raises(FormatError, match="chat template"):
        prompt_ids(tokenizer, messages)
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    text = "system: the user\nuser: Paris\nassistant: "
    assert prompt_ids(tokenizer, messages) == tokenizer.encode(text, add_special_tokens=False)
