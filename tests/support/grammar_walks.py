"""Tools of every kind, arguments that fit them, and strings drawn from a grammar, for tests."""

import json
import random
import re
from functools import lru_cache

import torch
from hypothesis import strategies as st

from alpha_umi.formats.json_types import normalise
from alpha_umi.models.constrained import GrammarCompiler
from alpha_umi.types import Task, ToolSpec
from support.strategies import json_values, names, texts
from support.tiny_models import tiny_tokenizer

WORDS = (
    *("str", "STRING", "NUMBER", "DATE (YYYY-MM-DD)", "TIME (24-hour HH:MM)", "dict", "float", "ENUM", "BOOLEAN"),
    *("integer", "", "string|null", "array<number|null>", "Array of Integers", "ARRAY", "OBJECT", "BINARY", "Office"),
    *('"c"|"f"', "int or str", "Optional[List[int]]", "null", "any"),
)
SPECIAL = ("<|tools|>", "<|user|>", "<|planner|>", "<|caller|>", "<|observation|>", "<|summarizer|>")
MARKS = ("<|call|>", "<|conclude|>", "<|give_up|>", "<|end|>")
odd_names = names | st.sampled_from(["<|what|>", 'a"b', "a\\b", "é ü", "a/b", "<\\|", "a<", "id"])
small_values = json_values.filter(lambda value: len(json.dumps(value)) < 60)
declared = st.recursive(
    st.sampled_from(WORDS).map(lambda word: {"type": word})
    | st.just({})
    | st.lists(small_values, min_size=1, max_size=3).map(lambda choices: {"enum": choices})
    | st.just({"type": "string", "pattern": "^[a-z]{1,3}(/[0-9]+)?$"}),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=2).map(lambda options: {"anyOf": options})
        | inner.map(lambda item: {"type": "array", "items": item})
        | st.builds(
            lambda properties, others: {"type": "object", "properties": properties, "additionalProperties": others},
            st.dictionaries(odd_names, inner, max_size=2),
            st.booleans(),
        )
    ),
    max_leaves=4,
)


def _parameters(properties, chosen, others):
    required = [name for name, wanted in zip(properties, chosen, strict=False) if wanted]
    return {"type": "object", "properties": properties, "required": required} | (others or {})


tools = st.builds(
    lambda name, parameters: ToolSpec(name=name, parameters=parameters),
    odd_names,
    st.builds(
        _parameters,
        st.dictionaries(odd_names, declared, max_size=4),
        st.lists(st.booleans(), min_size=4, max_size=4),
        st.none() | st.just({"additionalProperties": {"type": "int"}}),
    ),
)
tasks = st.lists(tools, min_size=1, max_size=3, unique_by=lambda tool: tool.name).map(
    lambda offered: Task(id="task", query="query", tools=tuple(offered))
)


def values(schema):
    """Values that a normalised schema allows."""
    if not schema:
        return json_values
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of([values(option) for option in schema["anyOf"]])
    if "pattern" in schema:
        return st.from_regex(schema["pattern"][1:-1], fullmatch=True, alphabet="abc0123456789/:-")
    match schema["type"]:
        case "string":
            return texts | st.sampled_from(["<|call|>", "<\\|", "<", "\\", '<"', "<\\\\|x"])
        case "integer":
            return st.integers(-(10**20), 10**20)
        case "number":
            return st.integers(-(10**6), 10**6) | st.floats(-1e200, 1e200, allow_subnormal=False)
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case "array":
            return st.lists(values(schema.get("items", {})), max_size=3)
        case _:
            return _objects(schema)


@st.composite
def _objects(draw, schema):
    wanted = {name: value for name, value in schema["properties"].items() if name in schema["required"]}
    kept = {name: value for name, value in schema["properties"].items() if name not in wanted and draw(st.booleans())}
    made = {name: draw(values(value)) for name, value in draw(st.permutations(list((wanted | kept).items())))}
    if isinstance(schema["additionalProperties"], dict) and draw(st.booleans()):
        others = names.filter(lambda name: name not in schema["properties"])
        made |= draw(st.dictionaries(others, values(schema["additionalProperties"]), max_size=1))
    return made


@st.composite
def calls(draw):
    """A task, one of its tools, and JSON text of arguments that fit it."""
    task = draw(tasks)
    tool = draw(st.sampled_from(task.tools))
    value = draw(values(normalise(tool).schema))
    text = json.dumps(value, ensure_ascii=draw(st.booleans()), indent=draw(st.none() | st.integers(0, 4)))
    return task, tool, text


def satisfies(value, schema):
    """JSON Schema, as far as normalised schemas go."""
    if "enum" in schema:
        return any(json.dumps(value, sort_keys=True) == json.dumps(each, sort_keys=True) for each in schema["enum"])
    if "anyOf" in schema:
        return any(satisfies(value, option) for option in schema["anyOf"])
    kinds = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None)}
    kinds |= {"array": list, "object": dict}
    if "type" not in schema:
        return True
    if not isinstance(value, kinds[schema["type"]]) or (isinstance(value, bool) and schema["type"] != "boolean"):
        return False
    if isinstance(value, str) and "pattern" in schema:
        return re.fullmatch(schema["pattern"], value) is not None
    if isinstance(value, list):
        return all(satisfies(item, schema.get("items", {})) for item in value)
    if isinstance(value, dict):
        others = schema["additionalProperties"]
        below = {name: schema["properties"].get(name, others) for name in value}
        given = all(isinstance(inner, dict) and satisfies(value[name], inner) for name, inner in below.items())
        return given and all(name in value for name in schema["required"])
    return True


# --- tokens -----------------------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def tokenizer(end):
    """A tokenizer with all tokens of the shared format that ends completions with `end`, and its grammar compiler."""
    made = tiny_tokenizer((*SPECIAL, *MARKS), end=end)
    return made, GrammarCompiler(made, vocabulary=len(made) + 5, ends=[made.convert_tokens_to_ids(end)])


def accepts(grammar, text, end="</s>", *, special=True):
    """True where a model constrained by `grammar` can write exactly `text`.

    `special`: text that looks like a special token is one.
    """
    plain, compiler = tokenizer(end)
    state = compiler.compile(grammar)
    ids = plain.encode(text, add_special_tokens=False, split_special_tokens=not special)
    for token in [*ids, plain.convert_tokens_to_ids(end)]:
        row = torch.zeros(compiler._vocabulary)
        state.mask(row)
        if row[token] != 0:
            return False
        state.accept(token)
    return True


def walk(grammar, seed, wishes=(), end="<|end|>", longest=250):
    """A string that a model constrained by `grammar` may write, drawn by chance; None where it found no end.

    At some point one of `wishes` is written, where that is possible.
    """
    plain, compiler = tokenizer(end)
    chance, state = random.Random(seed), compiler.compile(grammar)
    over = plain.convert_tokens_to_ids(end)
    closing = [plain.convert_tokens_to_ids(letter) for letter in '"}],0'] + [over]
    wished = plain.encode(chance.choice(wishes), add_special_tokens=False) if wishes else []
    written, due = [], chance.randrange(6)
    while len(written) < longest:
        row = torch.zeros(compiler._vocabulary)
        state.mask(row)
        allowed = (row == 0).nonzero().flatten().tolist()
        if wished and (due <= 0 or len(wished) == 1) and wished[0] in allowed:
            token = wished.pop(0)
        else:
            likely = [token for token in closing if token in allowed]
            token = chance.choice(likely if likely and chance.random() < 0.5 else allowed)
            due -= 1
        if token == over:
            return plain.decode(written, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        written.append(token)
        state.accept(token)
    return None
