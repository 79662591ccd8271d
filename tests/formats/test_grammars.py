"""Laws of the grammars by which formats constrain completions, checked with real tokens and llguidance."""

import json

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from alpha_umi.arguments import Arguments, decode_arguments
from alpha_umi.errors import ModelError
from alpha_umi.formats.json_types import is_plain_pattern, normalise, read_type
from alpha_umi.formats.load import builtin, load_format
from alpha_umi.types import Answer, Call, Decision, Plan, Role, Task, ToolSpec
from support.examples import examples
from support.grammar_walks import WORDS, accepts, calls, satisfies, tasks, tokenizer, walk
from support.plain_format import PLAIN
from support.strategies import texts

FORMATS = {"shared": builtin("shared"), "template": load_format(PLAIN), "chat": builtin("chat")}
DECIDED = [Decision.CALL, Decision.CONCLUDE, Decision.GIVE_UP]
thoughts = texts.filter(lambda text: text == text.strip() and "think" not in text)
law = settings(max_examples=examples(10), deadline=None)
every_format = pytest.mark.parametrize("name", FORMATS)


def says(form, role, turns):
    """What is written for `turns`, where the format can express them at all."""
    text = form.write(role, turns)
    assume(form.parse(role, text) == tuple(turns))
    return text


# --- what formats write is accepted -----------------------------------------------------------------------


@every_format
@law
@given(calls())
def test_every_valid_call_is_accepted(name, call):
    task, tool, arguments = call
    form = FORMATS[name]
    text = says(form, Role.CALLER, [Call(name=tool.name, arguments=arguments)])
    assert accepts(form.grammar(Role.CALLER, task), text, special=name == "shared")


@every_format
@law
@given(tasks, thoughts, st.sampled_from(DECIDED))
def test_every_plan_that_decides_is_accepted(name, task, thought, decision):
    form = FORMATS[name]
    text = says(form, Role.PLANNER, [Plan(thought=thought, decision=decision)])
    assume(form.grammar(Role.CALLER, task) is not None)
    assert accepts(form.grammar(Role.PLANNER, task), text, special=name == "shared")


@every_format
@law
@given(calls(), thoughts)
def test_every_step_with_a_valid_call_is_accepted(name, call, thought):
    task, tool, arguments = call
    turns = [Plan(thought=thought, decision=Decision.CALL), Call(name=tool.name, arguments=arguments)]
    text = says(FORMATS[name], Role.BACKBONE, turns)
    assert accepts(FORMATS[name].grammar(Role.BACKBONE, task), text, special=name == "shared")


@every_format
@law
@given(tasks, thoughts, texts)
def test_every_step_with_an_answer_is_accepted(name, task, thought, answer):
    turns = [Plan(thought=thought, decision=Decision.CONCLUDE), Answer(text=answer)]
    text = says(FORMATS[name], Role.BACKBONE, turns)
    assert accepts(FORMATS[name].grammar(Role.BACKBONE, task), text, special=name == "shared")


@every_format
@law
@given(tasks, thoughts)
def test_every_step_that_gives_up_is_accepted(name, task, thought):
    text = says(FORMATS[name], Role.BACKBONE, [Plan(thought=thought, decision=Decision.GIVE_UP)])
    assert accepts(FORMATS[name].grammar(Role.BACKBONE, task), text, special=name == "shared")


# --- what is accepted means something ---------------------------------------------------------------------


def assert_valid(task, call):
    tool = next(tool for tool in task.tools if tool.name == call.name)
    assert decode_arguments(tool, call.arguments) == Arguments(values=json.loads(call.arguments))
    assert satisfies(json.loads(call.arguments), normalise(tool).schema)


@every_format
@law
@given(tasks, st.integers(0, 2**32))
def test_whatever_a_held_caller_writes_is_a_valid_call(name, task, seed):
    form = FORMATS[name]
    grammar = form.grammar(Role.CALLER, task)
    assume(grammar is not None)
    text = walk(grammar, seed)
    assume(text is not None)
    (call,) = form.parse(Role.CALLER, text)
    assert_valid(task, call)


@every_format
@law
@given(tasks, st.integers(0, 2**32))
def test_whatever_a_held_planner_writes_decides(name, task, seed):
    form = FORMATS[name]
    wishes = [form.write(Role.PLANNER, [Plan(thought="", decision=decision)]) for decision in DECIDED]
    lead = "\n" if name == "chat" else ""
    text = walk(form.grammar(Role.PLANNER, task), seed, [lead + wish for wish in wishes])
    assume(text is not None)
    (plan,) = form.parse(Role.PLANNER, text)
    assert plan.decision is not Decision.NONE


@every_format
@law
@given(tasks, texts, st.sampled_from([Role.PLANNER, Role.BACKBONE]), st.integers(0, 2**32))
def test_an_ending_that_is_forced_behind_any_thought_decides(name, task, thought, role, seed):
    form = FORMATS[name]
    ending = form.ending(role, task)
    assume("think" not in thought and not ending.is_in(thought))
    rest = walk(ending.grammar, seed, end="<|end|>" if name == "shared" else "</s>")
    assume(rest is not None)
    assert ending.is_in(rest)
    plan, *said = form.parse(role, form.write(Role.SUMMARIZER, [Answer(text=thought)]) + rest)
    assert plan.decision is not Decision.NONE
    for turn in said:
        if isinstance(turn, Call):
            assert_valid(task, turn)


@every_format
@law
@given(tasks, st.integers(0, 2**32))
def test_whatever_a_held_backbone_writes_is_a_step_with_a_valid_call_if_any(name, task, seed):
    form = FORMATS[name]
    wishes = {
        "shared": ["<|call|>", "<|conclude|>", "<|give_up|>"],
        "template": ["\nAction: ", "\nanswer: ", "\nstop"],
        "chat": ["\nAction: ", "\nconclusion: "],
    }[name]
    text = walk(form.grammar(Role.BACKBONE, task), seed, wishes, end="</s>")
    assume(text is not None)
    plan, *said = form.parse(Role.BACKBONE, text)
    assert plan.decision is not Decision.NONE
    for turn in said:
        if isinstance(turn, Call):
            assert_valid(task, turn)


@law
@given(tasks, st.integers(0, 2**32))
def test_a_held_backbone_of_the_shared_format_says_what_its_plan_asked_for(task, seed):
    form = FORMATS["shared"]
    asked = [Plan(thought="t", decision=Decision.CALL)]
    text = walk(form.grammar(Role.BACKBONE, task, asked), seed)
    assume(text is not None)
    (call,) = form.parse(Role.BACKBONE, text)
    assert_valid(task, call)
    asked = [Plan(thought="t", decision=Decision.CONCLUDE)]
    assert accepts(form.grammar(Role.BACKBONE, task, asked), "<|summarizer|>done")
    assert not accepts(form.grammar(Role.BACKBONE, task, asked), "t<|call|>")


# --- single grammars --------------------------------------------------------------------------------------

WEATHER = ToolSpec(
    name="weather",
    parameters={"properties": {"city": {"type": "str"}, "days": {"type": "int"}}, "required": ["city"]},
)
TASK = Task(id="t", query="q", tools=(WEATHER, ToolSpec(name="weather_map")))


@every_format
@pytest.mark.parametrize(
    "call",
    [
        Call(name="weathe", arguments='{"city": "Oslo"}'),
        Call(name="weather", arguments='{"days": 2}'),
        Call(name="weather", arguments='{"city": 2}'),
        Call(name="weather", arguments='{"city": "Oslo", "city": "Graz"}'),
        Call(name="weather", arguments='{"city": "Oslo", "days": 2.5}'),
        Call(name="weather", arguments='{"city": "Oslo", "hours": 2}'),
        Call(name="weather", arguments='{"city": "Oslo"'),
        Call(name="weather_map", arguments='{"city": "Oslo"}'),
    ],
)
def test_an_invalid_call_is_refused(name, call):
    form = FORMATS[name]
    assert not accepts(form.grammar(Role.CALLER, TASK), form.write(Role.CALLER, [call]))


def test_arguments_beyond_the_declared_ones_cannot_take_their_names():
    parameters = {"properties": {"a": {"type": "str"}}, "additionalProperties": {"type": "int"}}
    task = Task(id="t", query="q", tools=(ToolSpec(name="open", parameters=parameters),))
    grammar = FORMATS["shared"].grammar(Role.CALLER, task)
    assert accepts(grammar, 'open\n{"b": 3, "a": "x", "c": 4}')
    assert not accepts(grammar, 'open\n{"a": 3}')
    assert not accepts(grammar, 'open\n{"b": "x"}')


@every_format
def test_nobody_calls_where_there_is_no_tool(name):
    form, task = FORMATS[name], Task(id="t", query="q")
    assert form.grammar(Role.CALLER, task) is None
    grammar = form.grammar(Role.PLANNER, task)
    plans = {decision: form.write(Role.PLANNER, [Plan(thought="so", decision=decision)]) for decision in DECIDED}
    assert [accepts(grammar, plans[decision]) for decision in DECIDED] == [False, True, True]


@every_format
def test_answers_are_free(name):
    assert FORMATS[name].grammar(Role.SUMMARIZER, TASK) is None


@pytest.mark.parametrize("required", [0, 1, 70])
def test_a_tool_may_have_more_arguments_than_rules_have_bits(required):
    names = [f"a{number}" for number in range(80)]
    properties = {name: {"type": "integer"} for name in names}
    tool = ToolSpec(name="many", parameters={"properties": properties, "required": names[:required]})
    grammar = FORMATS["shared"].grammar(Role.CALLER, Task(id="t", query="q", tools=(tool,)))
    whole = dict.fromkeys(names, 1)
    assert accepts(grammar, f"many\n{json.dumps(whole)}")
    assert accepts(grammar, f"many\n{json.dumps(dict.fromkeys(names[:required], 1))}")
    assert accepts(grammar, f"many\n{json.dumps(dict.fromkeys([*names[:required], 'a79'], 1))}")
    if required:
        assert not accepts(grammar, f"many\n{json.dumps(dict.fromkeys(names[1:], 1))}")


def test_a_grammar_with_tokens_that_the_tokenizer_lacks_says_which():
    with pytest.raises(ModelError, match=r"<\|nowhere\|>"):
        tokenizer("</s>")[1].compile('start: "a" <|nowhere|>')


def test_what_is_forced_is_what_alone_is_possible():
    plain, compiler = tokenizer("</s>")
    state = compiler.compile(FORMATS["template"].grammar(Role.CALLER, TASK))
    assert plain.decode(state.forced()).startswith("Action: weather")
    with pytest.raises(ModelError, match="grammar"):
        state.accept(plain.encode("z", add_special_tokens=False)[0])


# --- types ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "schema"),
    [
        ("STRING", {"type": "string"}),
        ("NUMBER", {"type": "number"}),
        ("float", {"type": "number"}),
        ("Integers", {"type": "integer"}),
        ("string (optional)", {"type": "string"}),
        ("Array of Integers", {"type": "array", "items": {"type": "integer"}}),
        ("array<string|null>", {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}}),
        ("int or str", {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        ("Optional[bool]", {"anyOf": [{"type": "boolean"}, {"type": "null"}]}),
        ('"c"|"f"', {"anyOf": [{"enum": ["c"]}, {"enum": ["f"]}]}),
        ("string|any", {}),
        ("", {}),
    ],
)
def test_types_in_words_become_json_schema(declared, schema):
    normal = read_type(declared)
    assert (normal.schema, normal.notes) == (schema, ())


@pytest.mark.parametrize(
    ("schema", "note"),
    [
        ({"type": "Office"}, '"Office" is not known'),
        ({"type": "ENUM"}, "choices are not listed"),
        ({"type": "BINARY"}, "binary"),
        ({"type": "integer", "minimum": 3}, "minimum 3 is not held"),
        ({"type": "string", "pattern": "^a.b$"}, "pattern"),
        ({"type": "string", "format": "email"}, "format"),
        ({"$ref": "#/nowhere"}, "refers to nothing"),
        ({"type": "integer", "enum": ["a"]}, "none of its choices"),
        ({"allOf": [{"type": "string"}, {"minLength": 2}]}, "allOf"),
        (["string"], "no schema"),
    ],
)
def test_what_cannot_be_held_is_named_with_its_argument(schema, note):
    notes = normalise(ToolSpec(name="t", parameters={"properties": {"when": schema}})).notes
    assert len(notes) == 1
    assert notes[0].startswith("when: ")
    assert note in notes[0]


@law
@given(st.text(max_size=40) | st.sampled_from(WORDS))
def test_types_are_read_whatever_they_say(declared):
    normal = read_type(declared)
    assert satisfies(None, normal.schema) in (True, False)


@pytest.mark.parametrize("pattern", ["^a|b$", "a", "^.$", "^[ -~]$", "^(a$", "^a++$", r"^\d$", "^[^a]$", "^(?=a)$"])
def test_patterns_that_json_or_another_dialect_might_read_otherwise_are_not_plain(pattern):
    assert not is_plain_pattern(pattern)
