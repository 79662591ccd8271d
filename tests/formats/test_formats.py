"""Laws of formats: what is written is read back, reading never fails, and prompts of `shared` share prefixes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from alpha_umi.errors import FormatError
from alpha_umi.formats.documents import read_document, write_document
from alpha_umi.formats.load import builtin, load_format
from alpha_umi.formats.shared import SharedFormat
from alpha_umi.formats.signatures import signature
from alpha_umi.formats.template import TemplateFormat
from alpha_umi.protocols import Format
from alpha_umi.roles import FORMAT_ROLES
from alpha_umi.types import Answer, Call, Decision, Observation, Plan, Role, Task, ToolSpec, ToolStatus, Turn, User
from support.examples import examples

SHARED = SharedFormat()
PIECES = [
    *SHARED.special_tokens,
    "<",
    "|",
    ">",
    "\\",
    "<|",
    "<\\|",
    "|>",
    "\n",
    "\r\n",
    " ",
    "\u2028",
    "{",
    '"',
    "é",
    "词",
]
hostile = st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=8).map("".join)
plans = st.builds(
    lambda thought, decision: Plan(thought=thought, decision=decision), hostile, st.sampled_from(Decision)
)
calls = st.builds(lambda name, arguments: Call(name=name, arguments=arguments), hostile, hostile)
answers = st.builds(lambda text: Answer(text=text), hostile)
observations = st.builds(lambda content: Observation(content=content), hostile)
tools = st.builds(
    lambda name, description, argument: ToolSpec(
        name=name, description=description, parameters={"properties": {argument: {"type": "string"}}}
    ),
    hostile,
    hostile,
    hostile,
)
tasks = st.builds(lambda tools: Task(id="t", query="q", tools=tuple(tools)), st.lists(tools, max_size=3))
steps = st.tuples(plans) | st.tuples(plans, calls) | st.tuples(plans, answers) | st.tuples(plans, calls, observations)
SPOKEN = {Role.PLANNER: st.tuples(plans), Role.CALLER: st.tuples(calls), Role.SUMMARIZER: st.tuples(answers)}


@st.composite
def spoken(draw: st.DrawFn) -> tuple[Role, tuple[Turn, ...]]:
    role = draw(st.sampled_from(FORMAT_ROLES))
    by_backbone = st.tuples(plans) | st.tuples(plans, calls) | st.tuples(plans, answers) | st.tuples(calls)
    return role, draw(SPOKEN.get(role, by_backbone))


@st.composite
def histories(draw: st.DrawFn) -> tuple[Turn, ...]:
    """A query and steps, with hints of a search between them."""
    hints = st.builds(lambda text: (User(text=text),), hostile)
    rest = draw(st.lists(steps | hints, max_size=4))
    return (User(text=draw(hostile)), *(turn for step in rest for turn in step))


# --- the shared layout ------------------------------------------------------------------------------------


@given(spoken())
@settings(max_examples=examples(300))
def test_shared_reads_back_whatever_it_writes(case):
    role, turns = case
    assert SHARED.parse(role, SHARED.write(role, turns)) == turns


@given(st.sampled_from(FORMAT_ROLES), hostile)
@settings(max_examples=examples(300))
def test_shared_reads_any_text(role, text):
    turns = SHARED.parse(role, text)
    assert turns
    assert SHARED.parse(role, SHARED.write(role, turns)) == turns


@given(tasks, histories())
def test_no_text_can_hold_a_special_token_in_shared(task, turns):
    written = len(turns) * 2 + 2 + sum(isinstance(turn, Plan) and turn.decision is not Decision.NONE for turn in turns)
    prompt = SHARED.render(Role.PLANNER, task, turns)
    found = sum(prompt.count(token) for token in SHARED.special_tokens)
    assert found == written + 1 == prompt.count("<|")


def hands_over(turn: Turn) -> bool:
    return isinstance(turn, Plan) and turn.decision in (Decision.CALL, Decision.CONCLUDE)


def spoken_along(turns: tuple[Turn, ...]) -> list[tuple[Role, int, tuple[Turn, ...]]]:
    """Who speaks at which place of a history, and what."""
    roles = {Plan: Role.PLANNER, Call: Role.CALLER, Answer: Role.SUMMARIZER}
    single = [(roles[type(turn)], at, (turn,)) for at, turn in enumerate(turns) if type(turn) in roles]
    whole = [
        (Role.BACKBONE, at, turns[at : at + 2])
        for at, turn in enumerate(turns[:-1])
        if isinstance(turn, Plan) and isinstance(turns[at + 1], Call | Answer) and not hands_over(turns[at - 1])
    ]
    return sorted([*single, *whole], key=lambda case: case[1])


@given(tasks, histories())
def test_every_shared_prompt_continues_the_one_before_and_its_completion(task, turns):
    whole = SHARED.render(Role.PLANNER, task, turns)
    for role, at, said in spoken_along(turns):
        stream = SHARED.render(role, task, turns[:at]) + SHARED.write(role, said) + SHARED.end
        assert whole.startswith(stream)


def test_backbone_and_planner_read_the_same_prompt_and_a_halted_backbone_goes_on_in_the_stream():
    task = Task(id="t", query="q")
    plan, call = Plan(thought="look it up", decision=Decision.CALL), Call(name="find", arguments="{}")
    turns = (User(text="q"),)
    assert SHARED.render(Role.BACKBONE, task, turns) == SHARED.render(Role.PLANNER, task, turns)
    stream = SHARED.render(Role.BACKBONE, task, turns) + SHARED.write(Role.BACKBONE, (plan, call))
    halted, rest = SHARED.write(Role.BACKBONE, (plan,)), SHARED.write(Role.BACKBONE, (call,))
    assert SHARED.parse(Role.BACKBONE, halted) == (plan,)
    assert SHARED.render(Role.BACKBONE, task, (*turns, plan)) + rest == stream
    assert SHARED.parse(Role.BACKBONE, rest) == (call,)


def tiny_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SHARED.special_tokens],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    corpus = ["<|end|> <|planner|>> |> <\\|call|> a plan, a call and an answer\n\n{} {}"] * 3
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer


TOKENIZER = tiny_tokenizer()


def ids(text: str) -> list[int]:
    return TOKENIZER.encode(text, add_special_tokens=False).ids


@given(tasks, histories())
def test_token_ids_of_a_shared_prompt_are_a_prefix_of_the_next(task, turns):
    whole = ids(SHARED.render(Role.PLANNER, task, turns))
    for role, at, said in spoken_along(turns):
        prompt = ids(SHARED.render(role, task, turns[:at]))
        stream = prompt + ids(SHARED.write(role, said)) + ids(SHARED.end)
        assert whole[: len(stream)] == stream


def test_a_failure_shows_only_through_what_the_tool_said():
    task = Task(id="t", query="q")
    shown = {SHARED.render(Role.PLANNER, task, (Observation(content="late", status=status),)) for status in ToolStatus}
    assert len(shown) == 1


def test_a_call_without_arguments_or_without_a_name_is_read():
    assert SHARED.parse(Role.CALLER, "weather") == (Call(name="weather", arguments="{}"),)
    assert SHARED.parse(Role.CALLER, "I would rather not") == (Call(name="", arguments="I would rather not"),)
    assert SHARED.parse(Role.CALLER, "weather\n{}<|end|><|observation|>sun") == (Call(name="weather", arguments="{}"),)


def test_a_role_cannot_say_another_roles_turn():
    with pytest.raises(FormatError, match="caller cannot say Plan"):
        SHARED.write(Role.CALLER, (Plan(thought="", decision=Decision.NONE),))


# --- signatures -------------------------------------------------------------------------------------------


def test_a_signature_shows_types_as_declared_and_what_is_optional():
    properties = {
        "city": {"type": "string", "description": 'the  "city"\nor town'},
        "day": {"type": "DATE (YYYY-MM-DD)"},
        "unit": {"type": "string", "enum": ["c", "f"], "default": "c"},
        "near": {"type": "array", "items": {"type": ["number", "null"]}},
        "box": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]},
        "odd": {"anyOf": [{"type": "string"}, {"const": 3}]},
        "free": {},
    }
    tool = ToolSpec(
        name="weather", description="Tells\nthe weather.", parameters={"properties": properties, "required": ["city"]}
    )
    assert signature(tool) == (
        'weather(city: string "the \\"city\\" or town", day?: DATE (YYYY-MM-DD), unit?: "c"|"f" = "c", '
        "near?: array<number|null>, box?: {x: integer}, odd?: string|3, free?: any) — Tells the weather."
    )


@pytest.mark.parametrize(
    ("description", "shown"),
    [
        ('This is the subfunction for tool "geo", you can use this tool.The description of this function is: "A "b"."',
         'A "b".'),
        ('This is the subfunction for tool "geo", you can use this tool.The description of this function is: "Cut',
         "Cut"),
        ('This is the subfunction for tool "geo", you can use this tool.', ""),
        ('This is the subfunction for tool "geo". "Other"', 'This is the subfunction for tool "geo". "Other"'),
    ],
)  # fmt: skip
def test_a_line_leaves_out_the_sentence_that_toolbench_wraps_a_description_in(description, shown):
    assert signature(ToolSpec(name="f_for_geo", description=description)) == (
        "f_for_geo() — " + shown if shown else "f_for_geo()"
    )


def test_a_document_shows_the_types_of_elements_and_of_choices():
    schemas = {
        "days": {"type": "array", "items": {"type": "integer"}, "description": "counted from 1"},
        "near": {"type": ["string", "null"]},
        "odd": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "number"}}]},
        "plain": {"type": "array"},
        "unit": {"type": "string", "enum": ["c", "f"]},
        "date": {"type": "DATE  (YYYY-MM-DD)"},
        "free": {},
    }
    tool = ToolSpec(name="weather", parameters={"properties": schemas})
    document = write_document(tool)
    assert document["input"] == {
        "days": "array<integer>, counted from 1",
        "near": "string|null",
        "odd": "string|array<number>",
        "plain": "array",
        "unit": "string",
        "date": "DATE  (YYYY-MM-DD)",
        "free": "any",
    }
    assert write_document(read_document(document)) == document


def test_without_a_list_of_required_arguments_none_is_marked():
    tool = ToolSpec(name="find", parameters={"type": "object", "properties": {"q": {"type": "string"}}})
    assert signature(tool) == "find(q: string)"


schemas = st.recursive(
    st.none() | st.booleans() | st.integers() | hostile,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "enum", "items", "properties", "required", "anyOf"]), inner)
    ),
    max_leaves=10,
)


@given(hostile, hostile, st.dictionaries(st.sampled_from(["type", "properties", "required"]), schemas))
def test_a_signature_of_anything_is_one_line(name, description, parameters):
    line = signature(ToolSpec(name=name, description=description, parameters=parameters))
    assert len(line.splitlines()) <= 1


# --- formats described by data ----------------------------------------------------------------------------

DOCUMENT = {
    "name": "plain",
    "templates": {
        "planner": "Tools:\n{doc}\nSo far:\n{history}\nPlan on.",
        "caller": "Tools:\n{doc}\nSo far:\n{history}\nThought: {thought}\nCall one of {tool_names}.",
        "summarizer": "So far:\n{history}\nSum up.",
        "backbone": "Tools:\n{doc}\nSo far:\n{history}\nGo on with one of {tool_names}.",
    },
    "suffixes": {"planner": " PLAN: ", "caller": " CALL: ", "summarizer": " ANSWER: ", "backbone": " STEP: "},
    "turns": {
        "user": "USER: {text}\n",
        "planner": "PLAN: {text}\n",
        "caller": "CALL: {text}\n",
        "observation": "SEEN: {text}\n",
        "summarizer": "ANSWER: {text}\n",
    },
    "decision_marks": {"call": "[call]", "conclude": "[conclude]", "give_up": "[give up]"},
    "target_end": "<eos>",
    "backbone_turns": {
        "user": "USER: {text}\n",
        "step": "STEP: {target}\n",
        "observation": "SEEN: {text}\n",
        "target": {
            "call": "{thought}\n{call}",
            "conclude": "{thought}\nanswer: {answer}",
            "give_up": "{thought}\nanswer: I give up",
        },
    },
}
TEMPLATE = TemplateFormat.from_document(DOCUMENT)
MARKS = tuple(DOCUMENT["decision_marks"].values())
plain = st.text(max_size=20).filter(lambda text: not any(mark in text for mark in MARKS))
template_spoken = (
    st.tuples(
        st.just(Role.PLANNER),
        st.tuples(st.builds(lambda t, d: Plan(thought=t, decision=d), plain, st.sampled_from(Decision))),
    )
    | st.tuples(
        st.just(Role.CALLER),
        st.tuples(
            st.builds(lambda n, a: Call(name=n, arguments=a), st.from_regex(r"[a-z_]+", fullmatch=True), hostile)
        ),
    )
    | st.tuples(st.just(Role.SUMMARIZER), st.tuples(answers))
)


@given(template_spoken)
def test_a_template_reads_back_what_it_can_express(case):
    role, turns = case
    assert TEMPLATE.parse(role, TEMPLATE.write(role, turns)) == turns


@pytest.mark.parametrize("form", [SHARED, TEMPLATE], ids=["shared", "template"])
@given(role=st.sampled_from(FORMAT_ROLES), text=hostile)
def test_no_text_of_a_model_is_an_error(form: Format, role, text):
    assert form.parse(role, text)


# --- loading ----------------------------------------------------------------------------------------------


def test_a_format_is_loaded_from_its_own_document():
    assert load_format(SHARED.to_document()) == SHARED == builtin("shared")
    assert load_format(TEMPLATE.to_document()).name == "plain"


@pytest.mark.parametrize(
    ("document", "said"),
    [({}, "not a format"), ({"kind": "shard"}, "unknown kind"), ({"kind": "shared", "version": 1}, "version 1")],
)
def test_a_document_of_no_known_format_is_refused(document, said):
    with pytest.raises(FormatError, match=said):
        load_format(document)
    with pytest.raises(FormatError, match="unknown format"):
        builtin("no such")
