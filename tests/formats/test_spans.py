"""Which part of a completion is what: the spans of every format make up exactly what it writes."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from alpha_umi.errors import FormatError
from alpha_umi.formats.chat import ChatFormat
from alpha_umi.formats.marks import joined
from alpha_umi.formats.shared import SharedFormat
from alpha_umi.formats.template import Filling, TemplateFormat
from alpha_umi.formats.tokens import PromptIds, completion_ids, completion_parts, end_ids, prompt_ids
from alpha_umi.types import Answer, Call, Decision, Observation, Part, Plan, Role, Task, User
from support import strategies
from support.examples import examples
from support.plain_format import PLAIN
from support.tiny_models import TEXT, tiny_tokenizer

SHARED, CHAT, TEMPLATE = SharedFormat(), ChatFormat(), TemplateFormat.from_document(PLAIN)
FORMATS = (SHARED, CHAT, TEMPLATE, TEMPLATE.using(filling=Filling.CHAINED))
PLAN = Plan(thought="look it up", decision=Decision.CALL)
CALL = Call(name="find", arguments='{"q": 1}')
ENDING, ANSWER = Plan(thought="I know", decision=Decision.CONCLUDE), Answer(text="It is so.")
GIVE_UP = Plan(thought="no way", decision=Decision.GIVE_UP)

pieces = st.sampled_from(["<|end|>", "<\\|call|>", "\n", "[call]", "Next: caller.", "conclusion: ", "Action: ", " "])
texts = st.lists(pieces | st.text(max_size=5), max_size=5).map("".join)
plans = st.builds(lambda thought, decision: Plan(thought=thought, decision=decision), texts, st.sampled_from(Decision))
calls = st.builds(lambda name, arguments: Call(name=name, arguments=arguments), texts, texts)
answers = st.builds(lambda text: Answer(text=text), texts)
spoken = (
    st.tuples(st.just(Role.PLANNER), st.tuples(plans))
    | st.tuples(st.just(Role.CALLER), st.tuples(calls))
    | st.tuples(st.just(Role.SUMMARIZER), st.tuples(answers))
    | st.tuples(st.just(Role.BACKBONE), st.tuples(plans) | st.tuples(plans, calls | answers))
)


@given(st.sampled_from(FORMATS), spoken)
@settings(max_examples=examples(300))
def test_spans_joined_are_what_is_written_and_none_is_empty(format, case):  # noqa: A002
    spans = format.spans(*case)
    assert "".join(text for text, _ in spans) == format.write(*case)
    assert all(text for text, _ in spans)


@given(st.sampled_from(FORMATS), spoken)
def test_a_backbones_spans_tell_a_thought_from_a_call_and_an_answer(format, case):  # noqa: A002
    role, turns = case
    expected = {Plan: {Part.THOUGHT, Part.DECISION}, Call: {Part.NAME, Part.ARGUMENTS}, Answer: {Part.ANSWER}}
    allowed = {Part.MARK}.union(*(expected[type(turn)] for turn in turns))
    assert {part for _, part in format.spans(role, turns)} <= allowed


@given(strategies.texts, strategies.names, strategies.texts)
def test_a_span_holds_the_words_of_its_turn_and_nothing_else(thought, name, arguments):
    plan, call = Plan(thought=thought, decision=Decision.CALL), Call(name=name, arguments=arguments)
    for format in (CHAT, TEMPLATE):  # noqa: A001
        told = {part: text for text, part in format.spans(Role.BACKBONE, (plan, call)) if part is not Part.MARK}
        words = thought.strip() if format is TEMPLATE else thought
        wanted = {Part.THOUGHT: words, Part.NAME: name, Part.ARGUMENTS: arguments}
        assert told == {part: text for part, text in wanted.items() if text}


@pytest.mark.parametrize(
    ("format", "role", "turns", "expected"),
    [
        (SHARED, Role.PLANNER, (PLAN,), [("look it up", "thought"), ("<|call|>", "decision")]),
        (SHARED, Role.CALLER, (CALL,), [("find", "name"), ("\n", "mark"), ('{"q": 1}', "arguments")]),
        (
            SHARED,
            Role.BACKBONE,
            (ENDING, ANSWER),
            [
                ("I know", "thought"),
                ("<|conclude|>", "decision"),
                ("<|end|><|summarizer|>", "mark"),
                ("It is so.", "answer"),
            ],
        ),
        (
            SHARED,
            Role.BACKBONE,
            (CALL,),
            [("<|caller|>", "mark"), ("find", "name"), ("\n", "mark"), *[('{"q": 1}', "arguments")]],
        ),
        (CHAT, Role.PLANNER, (PLAN,), [("look it up", "thought"), ("\n", "mark"), ("Next: caller.", "decision")]),
        (
            CHAT,
            Role.BACKBONE,
            (GIVE_UP,),
            [("no way", "thought"), ("\n", "mark"), ("conclusion: give up.", "decision")],
        ),
        (
            CHAT,
            Role.BACKBONE,
            (ENDING, ANSWER),
            [("I know", "thought"), ("\n", "mark"), ("conclusion: ", "mark"), ("It is so.", "answer")],
        ),
        (TEMPLATE, Role.PLANNER, (PLAN,), [("look it up", "thought"), ("[call]", "decision")]),
        (
            TEMPLATE,
            Role.CALLER,
            (CALL,),
            [("Action: ", "mark"), ("find", "name"), ("\nAction Input: ", "mark"), ('{"q": 1}', "arguments")],
        ),
        (
            TEMPLATE,
            Role.BACKBONE,
            (ENDING, ANSWER),
            [("I know", "thought"), ("\nanswer: ", "mark"), ("It is so.", "answer")],
        ),
        (TEMPLATE, Role.BACKBONE, (GIVE_UP,), [("no way", "thought"), ("\nstop", "decision")]),
    ],
)
def test_every_format_knows_its_marks(format, role, turns, expected):  # noqa: A002
    assert [(text, part.value) for text, part in format.spans(role, turns)] == expected


@pytest.mark.parametrize("format", FORMATS)
def test_spans_of_what_a_role_cannot_say_are_refused_as_its_writing_is(format):  # noqa: A002
    with pytest.raises(FormatError, match="caller cannot say Plan"):
        format.spans(Role.CALLER, (PLAN,))


# --- parts of tokens --------------------------------------------------------------------------------------

LEARNED = tiny_tokenizer(SHARED.special_tokens, end=SHARED.end)


def byte_tokenizer():
    """A slow tokenizer, without offsets."""
    tokenizer = ByT5Tokenizer()
    tokenizer.add_special_tokens({"extra_special_tokens": list(SHARED.special_tokens)})
    return tokenizer


def merging_tokenizer(pre_tokenizer, normalizer=None):
    """A tokenizer that merges a space into the word behind it, learned without any special token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([f"{TEXT} Next: caller. Next: conclusion. Action: Action Input: find"] * 4, trainer)
    named = {"bos_token": "<s>", "eos_token": "<s>", "unk_token": "<unk>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)
    fast.add_special_tokens({"extra_special_tokens": list(SHARED.special_tokens)})
    return fast


def byte_alphabet():
    """The sign that byte-level tokenizers write for a byte -> the byte."""
    split = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    signs = {}
    for sign in map(
        chr, (*range(0x800), *range(0x800, 0xD800, 0x400), 0xE000, 0xF000, *range(0x10000, 0x110000, 0x8000))
    ):
        written = split.pre_tokenize_str(sign)[0][0]
        signs.update(zip(written, sign.encode(), strict=True))
    return signs


SLOW = byte_tokenizer()
MERGING = merging_tokenizer(pre_tokenizers.ByteLevel(add_prefix_space=False))
MERGING.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
METASPACE = merging_tokenizer(pre_tokenizers.Metaspace(prepend_scheme="first"))
PREFIXED = merging_tokenizer(pre_tokenizers.ByteLevel(add_prefix_space=True), normalizers.NFC())
ALPHABET = byte_alphabet()
LOSSLESS = {"learned": LEARNED, "slow": SLOW, "merging": MERGING}
any_spans = st.lists(st.tuples(texts.filter(bool), st.sampled_from(Part)), max_size=5)


@pytest.mark.parametrize("kind", LOSSLESS)
@given(any_spans)
def test_parts_leave_the_ids_of_a_completion_as_they_are(kind, spans):
    ids, parts = completion_parts(LOSSLESS[kind], spans)
    assert [*ids, end_ids(LOSSLESS[kind], "")[0]] == completion_ids(LOSSLESS[kind], joined(spans), "")
    assert len(parts) == len(ids)


@pytest.mark.parametrize("kind", LOSSLESS)
@given(any_spans)
@example([(" ", Part.DECISION), ("<|end|>", Part.THOUGHT)])
@settings(max_examples=examples(50), deadline=None)
def test_a_token_has_the_part_in_which_its_first_character_stands(kind, spans):
    tokenizer = LOSSLESS[kind]
    text = joined(spans)
    ids, parts = completion_parts(tokenizer, spans)
    owners = [part for words, part in spans for _ in words.encode()]
    begins = [len(b"".join(bytes_of(tokenizer, one) for one in ids[:index])) for index in range(len(ids))]
    assert sum(len(bytes_of(tokenizer, one)) for one in ids) == len(text.encode())
    assert parts == [owners[begin] for begin in begins]


def bytes_of(tokenizer, token):
    """The bytes that one id stands for, by the tokenizer's own alphabet."""
    written = tokenizer.convert_ids_to_tokens(token)
    if token in tokenizer.added_tokens_decoder:
        return written.encode()
    if tokenizer is SLOW:
        return written.encode("latin-1")
    return bytes(ALPHABET[sign] for sign in written)


def test_a_space_that_offsets_leave_out_still_begins_its_token():
    spans = (("to the user ", Part.THOUGHT), ("Next: caller.", Part.DECISION))
    ids, parts = completion_parts(MERGING, spans)
    told = list(zip(MERGING.convert_ids_to_tokens(ids), parts, strict=True))
    assert ("ĠNext", Part.THOUGHT) in told
    assert [part for _, part in told[-2:]] == [Part.DECISION] * 2


# --- prompts cut at special tokens ------------------------------------------------------------------------

CUTTING = {"learned": LEARNED, "merging": MERGING, "metaspace": METASPACE, "prefixed": PREFIXED}
streams = st.lists(
    st.sampled_from([*SHARED.special_tokens, "<s>", " ", "  ", "e\u0301", "weather"]) | texts, max_size=9
).map("".join)


@pytest.mark.parametrize("kind", [*CUTTING, "slow"])
@given(st.lists(streams, min_size=1, max_size=3))
@settings(max_examples=examples(100), deadline=None)
def test_ids_made_piece_by_piece_are_those_of_the_whole_prompt(kind, prompts):
    tokenizer = CUTTING.get(kind, SLOW)
    ids = PromptIds(tokenizer, SHARED.special_tokens)
    for prompt in (*prompts, "".join(prompts)):
        assert ids(prompt) == prompt_ids(tokenizer, prompt)


@pytest.mark.parametrize("kind", CUTTING)
def test_prompts_of_the_shared_format_are_cut(kind):
    tokenizer = Counting(CUTTING[kind])
    ids = PromptIds(tokenizer, SHARED.special_tokens)
    task = Task(id="t", query="q")
    turns = (User(text="q"), PLAN, CALL, Observation(content="seen"), ENDING, ANSWER)
    for at in range(1, len(turns) + 1):
        ids(SHARED.render(Role.PLANNER, task, turns[:at]))
    whole = SHARED.render(Role.PLANNER, task, turns)
    assert tokenizer.characters < 1.2 * len(whole)


@pytest.mark.parametrize("odd", ["x<|", "|><|end", "<|end|>x", AddedToken("<|end|>", rstrip=True)])
def test_a_tokenizer_with_a_token_that_could_reach_across_a_cut_is_given_the_whole_prompt(odd):
    tokenizer = merging_tokenizer(pre_tokenizers.ByteLevel(add_prefix_space=False))
    tokenizer.add_tokens([odd], special_tokens=True)
    counting = Counting(tokenizer)
    ids = PromptIds(counting, SHARED.special_tokens)
    for prompt in ("ax<|end|> x", "a<|end|>x <|end|> b", "|><|end|>"):
        counting.characters = 0
        assert ids(prompt) == prompt_ids(tokenizer, prompt)
        assert counting.characters == len(prompt)


class Counting:
    """A tokenizer that counts the characters it is given."""

    def __init__(self, tokenizer):
        self._tokenizer, self.characters = tokenizer, 0

    def __getattr__(self, name):
        return getattr(self._tokenizer, name)

    def encode(self, text, *, add_special_tokens):
        self.characters += len(text)
        return self._tokenizer.encode(text, add_special_tokens=add_special_tokens)
