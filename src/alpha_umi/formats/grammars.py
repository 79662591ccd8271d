r"""Lark grammars in llguidance's dialect for constrained decoding: the parts that the formats share.

`Calls` writes a call of one of a task's tools: what the format puts before the arguments, and arguments as JSON that
the tool's schema (normalised by `json_types`) allows. Members come in any order, each at most once; white space is
JSON's, but bounded, and numbers have a bounded number of digits, so that no model can go on in them for ever. Laws:
what the grammar accepts is JSON that satisfies the schema, and `json.dumps` of every value that satisfies it, with
any indent, is accepted, but for numbers and strings that are written longer or otherwise than `json.dumps` does.

A format that escapes text says so in `Spelling`. `one_decision` is the shape of a plan that ends with a mark.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from alpha_umi.formats.json_types import normalise
from alpha_umi.types import Call, Ending, Json, ToolSpec, Turn

_MOST_FREE = 64
"""Members whose order is free: as many as llguidance's rules have bits."""
_BLANKS = r"[ \t\r\n]{0,40}"
_HEX = "[0-9a-fA-F]"
CODE = rf"u([0-9abcefABCEF]{_HEX}{{3}}|[dD][0-7]{_HEX}{{2}}|[dD][89abAB]{_HEX}{{2}}\\u[dD][c-fC-F]{_HEX}{{2}})"
"""Escape of a character by its code point, after the backslash; a lone surrogate is excluded."""
_PLAIN_STRING = rf'"([^"\\\x00-\x1f]|\\(["\\\/bfnrt]|{CODE}))*"'
_TERMINALS = {
    "OPEN": rf"/\{{{_BLANKS}/",
    "CLOSE": rf"/{_BLANKS}\}}/",
    "FIRST": rf"/\[{_BLANKS}/",
    "LAST": rf"/{_BLANKS}\]/",
    "COMMA": rf"/{_BLANKS},{_BLANKS}/",
    "COLON": rf"/{_BLANKS}:{_BLANKS}/",
    "INTEGER": "/-?(0|[1-9][0-9]{0,39})/",
    "NUMBER": r"/-?(0|[1-9][0-9]{0,39})(\.[0-9]{1,40})?"
    r"|-?[0-9](\.[0-9]{1,40})?[eE](-3[0-9]{2}|[+-]?(30[0-7]|[0-2]?[0-9]{1,2}))/",
}
_ANY = {
    "any": 'STRING | NUMBER | "true" | "false" | "null" | any_array | any_object',
    "any_array": "FIRST (any (COMMA any)*)? LAST",
    "any_object": "OPEN (any_member (COMMA any_member)*)? CLOSE",
    "any_member": "STRING COLON any",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spelling:
    """Spelling of a call's arguments in a format: the escapes of their text."""

    string: str = f"/{_PLAIN_STRING}/"
    """The terminal of any JSON string, quotes included."""
    key: str = r'/"[^"\\\x00-\x1f]*"/'
    """The same of strings without a backslash."""
    literal: Callable[[str], str] = str
    """Written form of a text."""


PLAIN = Spelling()


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """Grammar of tool calls as one format writes them."""

    heads: Sequence[tuple[str, ToolSpec]]
    """Every tool that can be called, and what is written before its arguments."""
    spelling: Spelling = PLAIN

    @classmethod
    def of(
        cls,
        tools: Iterable[ToolSpec],
        write: Callable[[Call], str],
        read: Callable[[str], Sequence[Turn]],
        spelling: Spelling = PLAIN,
    ) -> Calls | None:
        """Calls of the tools whose names `read` reads back as `write` writes them; None where there are none."""
        calls = [(Call(name=tool.name, arguments="{}"), tool) for tool in tools if tool.name]
        heads = [(write(call).removesuffix("{}"), tool) for call, tool in calls if tuple(read(write(call))) == (call,)]
        return cls(heads=heads, spelling=spelling) if heads else None

    def lines(self, name: str, after: str = "") -> list[str]:
        """Lines of the grammar whose rule `name` is a call; `after` is in the text already."""
        rules = _Rules(spelling=self.spelling)
        told = [
            f"{quoted(head.removeprefix(after))} {rules.object(normalise(tool).schema)}" for head, tool in self.heads
        ]
        return [f"{name}: {_either(told)}", *rules.lines()]


def json_lines(schema: Mapping[str, Json], spelling: Spelling = PLAIN) -> tuple[str, list[str]]:
    """Symbol and lines of the grammar of one JSON value that a normalised schema allows."""
    rules = _Rules(spelling=spelling)
    symbol = rules.value(schema)
    return (symbol if " " not in symbol else f"({symbol})"), rules.lines()


def quoted(text: str) -> str:
    """A text as a Lark literal."""
    return json.dumps(text)


def either(texts: Iterable[str]) -> str:
    """Alternation of several texts, as a part of a terminal."""
    return f"({_either(map(quoted, texts))})"


def without(terms: Iterable[str]) -> str:
    """Any text that has no match of `terms` (parts of terminals) in it, as a part of a terminal."""
    return f"(/(?s:.*)/ & ~(/(?s:.*)/ ({_either(terms)}) /(?s:.*)/))"


def one_decision(marks: Sequence[str], thought: str = "/(?s:.*)/") -> str:
    """A grammar of a thought (a part of a terminal) that ends with the first mark in it."""
    return "\n".join(["start: said", "said[lazy]: SAID", f"SAID: {thought} {either(marks)}"])


def decision(marks: Sequence[str], lead: str = "") -> Ending:
    """The ending of a plan: one of its marks, behind `lead`."""
    return Ending(grammar=f"start: ({_either(quoted(lead + mark) for mark in marks)})", marks=tuple(marks))


def one_step(endings: Sequence[tuple[str, str]], lines: Iterable[str]) -> str:
    """A grammar of a thought and what follows it, by whichever ending is written first.

    An ending: the terminal of the thought with its ending, and the symbols of what follows.
    """
    start = " | ".join(f"ending_{number} {rest}" for number, (_, rest) in enumerate(endings))
    rules = [
        rule
        for number, (terminal, _) in enumerate(endings)
        for rule in (f"ending_{number}[lazy]: ENDING_{number}", f"ENDING_{number}: {terminal}")
    ]
    return "\n".join([f"start: {start}", *rules, "TEXT: /(?s:.+)/", *lines])


def _either(parts: Iterable[str]) -> str:
    return " | ".join(parts)


@dataclass(slots=True, kw_only=True)
class _Rules:
    """Builder of grammar rules, one for each distinct schema."""

    spelling: Spelling
    rules: dict[str, str] = field(default_factory=dict[str, str])
    keys: dict[str, str] = field(default_factory=dict[str, str])
    """Terminals by what they stand for."""
    known: dict[str, str] = field(default_factory=dict[str, str])
    """Names of rules by schema."""

    def lines(self) -> list[str]:
        fixed = _TERMINALS | {"STRING": self.spelling.string}
        every = _ANY | self.rules | fixed | {name: body for body, name in self.keys.items()}
        return [f"{name}: {body}" for name, body in every.items()]

    def value(self, schema: Mapping[str, Json]) -> str:
        """Symbol of the values that a normalised schema allows."""
        if not schema:
            return "any"
        if "pattern" in schema or "enum" in schema or "anyOf" in schema:
            return self.named(schema, self.alternatives)
        match schema["type"]:
            case "string":
                return "STRING"
            case "integer":
                return "INTEGER"
            case "number":
                return "NUMBER"
            case "boolean":
                return self.named(schema, lambda _: '"true" | "false"')
            case "null":
                return '"null"'
            case "array":
                return self.named(schema, self.array) if "items" in schema else "any_array"
            case _:
                return self.object(schema)

    def named(self, schema: Mapping[str, Json], body: Callable[[Mapping[str, Json]], str]) -> str:
        key = json.dumps(schema, sort_keys=True)
        if key not in self.known:
            self.known[key] = name = f"value_{len(self.known)}"
            self.rules[name] = body(schema)
        return self.known[key]

    def alternatives(self, schema: Mapping[str, Json]) -> str:
        options, choices = schema.get("anyOf"), schema.get("enum")
        if isinstance(options, list):
            return _either(self.value(cast("Mapping[str, Json]", option)) for option in options)
        if isinstance(choices, list):
            return _either(dict.fromkeys(map(self.exactly, choices)))
        pattern = cast("str", schema["pattern"])[1:-1].replace("/", r"\/")
        return f'/"({pattern})"/'

    def exactly(self, value: Json) -> str:
        """Symbols of one fixed value with any white space."""
        match value:
            case list():
                return f"FIRST {' COMMA '.join(f'({self.exactly(item)})' for item in value)} LAST"
            case dict():
                properties: Json = {name: {"enum": [item]} for name, item in value.items()}
                return self.object({"properties": properties, "required": list(value), "additionalProperties": False})
            case _:
                return _either(map(quoted, self.texts(value)))

    def texts(self, value: Json) -> list[str]:
        """Texts in which a fixed value may be written."""
        written = (json.dumps(value, ensure_ascii=ascii_only) for ascii_only in (False, True))
        return list(dict.fromkeys(self.spelling.literal(text) for text in written))

    def array(self, schema: Mapping[str, Json]) -> str:
        item = self.value(cast("Mapping[str, Json]", schema["items"]))
        return f"FIRST ({item} (COMMA {item})*)? LAST"

    # --- objects ------------------------------------------------------------------------------------------

    def object(self, schema: Mapping[str, Json]) -> str:
        return self.named(schema, self.members)

    def members(self, schema: Mapping[str, Json]) -> str:
        """Required members first in the numbering, so that one test tells whether all of them are there."""
        declared = cast("dict[str, Mapping[str, Json]]", schema["properties"])
        required = cast("list[str]", schema["required"])
        order = [*required, *(name for name in declared if name not in required)]
        pairs = [f"{self.key(name)} {self.value(declared[name])}" for name in order]
        others = schema["additionalProperties"]
        extra = [f"{self.other_key(order)} {self.value(others)}"] if isinstance(others, dict) else []
        if len(required) > _MOST_FREE:
            head = " COMMA ".join(pairs[: len(required)])
            return f"OPEN {head} ({' | '.join(f'COMMA {pair}' for pair in (*pairs[len(required) :], *extra))})* CLOSE"
        if not pairs and not extra:
            return "OPEN CLOSE"
        return f"OPEN ({self.any_order(pairs, len(required), extra)}){'' if required else '?'} CLOSE"

    def any_order(self, pairs: Sequence[str], required: int, extra: Sequence[str]) -> str:
        """Bit n of the rule's parameter says whether pair n was written; pairs beyond the bits may come again."""
        rest = f"rest_{len(self.rules)}"
        whole = f" %if is_ones([0:{required}])" if required else ""
        once, more = pairs[:_MOST_FREE], (*pairs[_MOST_FREE:], *extra)
        options = [f'""{whole}']
        options += [f"COMMA {pair} {rest}::set_bit({bit}) %if bit_clear({bit})" for bit, pair in enumerate(once)]
        options += [f"COMMA {pair} {rest}::_" for pair in more]
        self.rules[f"{rest}::_"] = _either(options)
        begins = [f"{pair} {rest}::{1 << bit:#x}" for bit, pair in enumerate(once)]
        return _either([*begins, *(f"{pair} {rest}::0x0" for pair in more)])

    def key(self, name: str) -> str:
        return self.terminal(f"{either(self.texts(name))} COLON")

    def other_key(self, names: Sequence[str]) -> str:
        taken = f" & ~{either(text for name in names for text in self.texts(name))}" if names else ""
        return self.terminal(f"({self.spelling.key}{taken}) COLON")

    def terminal(self, body: str) -> str:
        return self.keys.setdefault(body, f"KEY_{len(self.keys)}")
