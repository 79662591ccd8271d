"""Narrowing of a tool's schema to the values that somebody named: numbers, dates and times of day.

A caller that is held to the narrowed schema cannot invent such a value. Free text and choices stay as they are; whether
those were named is told afterwards (`is_named`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from alpha_umi.formats.json_types import DATE, TIME, Schema, normalise
from alpha_umi.grounding.codes import CodeKind, codes_in
from alpha_umi.grounding.descriptions import described, named_examples, shows_code
from alpha_umi.grounding.evidence import Evidence, is_code, is_identifier, takes_sentences
from alpha_umi.grounding.mentions import Mention, MentionKind
from alpha_umi.grounding.quantities import are_listed, has_other_units, read_numbers
from alpha_umi.types import Json, ToolSpec

_MOST = 64
"""Values that a schema is narrowed to; where more are named, it stays as it is."""
_DATE_HINT = re.compile(r"\bYYYY-MM-DD\b|\bISO (?:8601 )?date\b|\b\d{4}-\d\d-\d\d\b", re.IGNORECASE)
_DATE_FORM = re.compile(
    r"\b(MM|DD)([-/.])(MM|DD)([-/.])(YYYY)\b(?! HH)|\b(YYYY)([/.])(MM)([/.])(DD)\b(?! HH)", re.IGNORECASE
)
_CODE_KINDS = {
    CodeKind.CURRENCY: re.compile(r"currenc|\b4217\b|\bmoney\b", re.IGNORECASE),
    CodeKind.COUNTRY: re.compile(r"countr|\b3166\b|\bnation", re.IGNORECASE),
    CodeKind.LANGUAGE: re.compile(r"language|\b639\b", re.IGNORECASE),
}
_CODE_HINT = re.compile(r"\bcodes?\b|currency(?:$|\b)|\bISO\b(?![\s-]?8601)(?! date)", re.IGNORECASE)
_SOURCE = re.compile(r"(?:^|_)(?:from|source|src|base|origin)(?:_|$)|^(?:from|source|base)[A-Z]")
_TARGET = re.compile(r"(?:^|_)(?:to|target|dst|dest|quote|destination)(?:_|$)|^(?:to|target)[A-Z]")
_AMOUNT = re.compile(r"[,.%]|^[A-Za-z ]+$")
_DATE_NAME = re.compile(r"(?:^|_)date$|[a-z]Date$")
_TIME_HINT = re.compile(r"(?<!YYYY )(?<!DD )\bHH:MM\b|(?<!\d)[012]\d:[0-5]\d\b", re.IGNORECASE)
_SPELLED = re.compile(r"[A-Za-z\s-]+")
_TEMPORAL = (MentionKind.DATE, MentionKind.TIME)
_PARTS = {
    "day": (MentionKind.DATE, 0),
    "month": (MentionKind.DATE, 1),
    "year": (MentionKind.DATE, 2),
    "hour": (MentionKind.TIME, 0),
    "minute": (MentionKind.TIME, 1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowed:
    """Tool whose schema takes named values alone."""

    tool: ToolSpec
    spec: ToolSpec
    """The tool with its narrowed schema."""
    missing: tuple[str, ...] = ()
    """Required arguments of which no value was named."""
    is_misfit: bool = False
    """True: an argument takes a unit, and only others were named."""


def narrow(tool: ToolSpec, said: Evidence, asked: Evidence | None = None) -> Narrowed:
    """Narrow a tool's schema to what was said. An optional argument that nobody named is left out of it.

    `asked`: what users said, whose dates and times go before those that tools told. Arguments that stand for different
    things take different mentions: of more required numbers than were named, the last ones are missing.
    """
    said = said if asked is None else said.with_moments_of(asked)
    schema = normalise(tool).schema
    own = tool.parameters.get("properties")
    told = cast("Mapping[str, Json]", own) if isinstance(own, dict) else {}
    declared = dict(cast("Mapping[str, Schema]", schema["properties"]))
    declared |= _codes(tool, declared, said) | _identifiers(tool, declared, said)
    declared |= _exemplified(tool, declared, said)
    fitting = {name: declared[name] for name in cast("Sequence[str]", schema["required"])}
    declared = _with_named_choices(declared, said)
    required = cast("Sequence[str]", schema["required"])
    properties: dict[str, Json] = {}
    missing: list[str] = []
    left = sum(_countable(each) for each in said.mentions)
    texts = {name: (name, described(tool, name)) for name, schema in declared.items() if _is_number(schema)}
    read = read_numbers(texts, required, said)
    for name in sorted(declared, key=lambda name: name not in required):
        about = told.get(name)
        around = _described(tool, name, about if isinstance(about, dict) else {})
        value = _narrowed(name, declared[name], around, read.get(name, said), needed=name in required)
        if name in required and value is not None and _is_counted(name, declared[name]):
            value, left = (value, left - 1) if left > 0 else (None, left)
        if value is not None:
            properties[name] = value
        elif name in required:
            missing.append(name)
            properties[name] = declared[name]
    order = [name for name in declared if name in properties]
    parameters: dict[str, Json] = {**schema, "properties": {name: properties[name] for name in order}}
    misfit = any(has_other_units(name, schema, _text_of(name, tool), said) for name, schema in fitting.items())
    spec = replace(tool, parameters=parameters)
    return Narrowed(tool=tool, spec=spec, missing=tuple(missing), is_misfit=misfit)


def as_said(spec: ToolSpec, names: Iterable[str], said: Evidence) -> ToolSpec | None:
    """A schema whose arguments of free text, of those named, are words that were said together; None where none is."""
    declared = cast("Mapping[str, Json]", spec.parameters["properties"])
    free = [name for name in names if declared.get(name) == {"type": "string"} and not takes_sentences(name)]
    phrases: list[Json] = [*said.phrases()]
    if not free or not phrases:
        return None
    held = {name: {"enum": phrases} for name in free}
    return replace(spec, parameters={**spec.parameters, "properties": {**declared, **held}})


def _described(tool: ToolSpec, name: str, about: Mapping[str, Json]) -> Mapping[str, Json]:
    """What a tool says of an argument; of a date, and of a single one that it does not describe, of itself too."""
    is_single = len(cast("Mapping[str, Json]", tool.parameters.get("properties") or {})) == 1
    if not _DATE_NAME.search(name) and not (is_single and not about.get("description")):
        return about
    return {**about, "description": f"{about.get('description') or ''} {tool.description}"}


def _text_of(name: str, tool: ToolSpec) -> str:
    """The name and the description of an argument."""
    return f"{name} {described(tool, name)}".strip()


def _exemplified(tool: ToolSpec, declared: Mapping[str, Schema], said: Evidence) -> dict[str, Schema]:
    """Properties of free text whose descriptions give examples that were named, with these alone."""
    texts = {name: schema for name, schema in declared.items() if schema == {"type": "string"}}
    named = {name: named_examples(_text_of(name, tool), said.text) for name in texts if not takes_sentences(name)}
    return {name: {"enum": list[Json](examples)} for name, examples in named.items() if examples}


def _countable(mention: Mention) -> int:
    """How many numbers a mention can fill."""
    quoted = mention.kind is MentionKind.QUOTED
    return len(mention.numbers) if quoted else int(bool(mention.numbers) and mention.kind not in _TEMPORAL)


def _with_named_choices(properties: Mapping[str, Schema], said: Evidence) -> dict[str, Schema]:
    """Properties with those of their choices that were named, where enough were for all arguments that have them."""
    found = dict(properties)
    for name, schema in properties.items():
        choices = schema.get("enum")
        if isinstance(choices, list):
            named: list[Json] = [each for each in choices if isinstance(each, str) and said.is_named(each, chosen=True)]
            if len(named) >= sum(other.get("enum") == choices for other in properties.values()):
                found[name] = {**schema, "enum": named}
    return found | _directed(found, said)


def _directed(properties: Mapping[str, Schema], said: Evidence) -> dict[str, Schema]:
    """Two arguments with the same choices, from one to the other: the first is what stands behind a number."""
    sources, targets = ([name for name in properties if ends.search(name)] for ends in (_SOURCE, _TARGET))
    if len(sources) != 1 or len(targets) != 1:
        return {}
    (source,), (target,) = sources, targets
    choices = properties[source].get("enum")
    if not isinstance(choices, list) or choices != properties[target].get("enum"):
        return {}
    behind = Evidence.read([" ".join(each.after for each in said.mentions if each.kind is MentionKind.NUMBER)])
    first: list[Json] = [each for each in choices if behind.is_named(each, chosen=True)]
    rest: list[Json] = [each for each in choices if each not in first]
    if len(first) != 1 or not rest:
        return {}
    return {source: {**properties[source], "enum": first}, target: {**properties[target], "enum": rest}}


def _is_counted(name: str, schema: Schema) -> bool:
    return _is_number(schema) and not _parts_of(name)


def _is_number(schema: Schema) -> bool:
    return schema.get("type") in ("integer", "number") and "enum" not in schema


def _codes(tool: ToolSpec, declared: Mapping[str, Schema], said: Evidence) -> dict[str, Schema]:
    """Properties described as codes, with the codes that were named, where enough were for all of them."""
    told = {name: _code_text(name, tool) for name, schema in declared.items() if schema == {"type": "string"}}
    wanting = [name for name, text in told.items() if _CODE_HINT.search(text)]
    kind = next((kind for kind, hint in _CODE_KINDS.items() if any(hint.search(told[name]) for name in wanting)), None)
    named = [each.text for each in said.mentions if is_code(each.text) and not (kind and codes_in(each.text, kind))]
    worded = codes_in(said.text, kind) if kind else ()
    codes = list(dict.fromkeys([*(each for each in named if not worded or len(each) == len(worded[0])), *worded]))
    return {name: {"enum": list[Json](codes)} for name in wanting} if len(codes) >= len(wanting) > 0 else {}


def _code_text(name: str, tool: ToolSpec) -> str:
    """What a tool says of an argument; of one that it does not describe, what it says of itself."""
    told = _text_of(name, tool)
    return f"{name} {tool.description}" if told == name else told


def _identifiers(tool: ToolSpec, declared: Mapping[str, Schema], said: Evidence) -> dict[str, Schema]:
    """Properties that are identifiers, with those that were named; with no choice where none was."""
    kinds = (MentionKind.IDENTIFIER, MentionKind.NUMBER)
    named = [
        each.text
        for each in said.mentions
        if (each.kind in kinds and not _AMOUNT.search(each.text))
        or is_code(each.text)
        or (each.kind is MentionKind.QUOTED and " " not in each.text)
    ]
    return {
        name: {"enum": list[Json](dict.fromkeys(named))}
        for name, schema in declared.items()
        if schema == {"type": "string"} and (is_identifier(name) or shows_code(described(tool, name)))
    }


def _parts_of(name: str) -> list[tuple[MentionKind, int]]:
    """Parts of dates and times that an argument may take by its name: the kind of mention and the part's place.

    Names in the plural count such parts: the days of a stay are not the day of a date.
    """
    words = re.findall("[a-z]+", name.lower().replace("_", " "))
    return [part for word, part in _PARTS.items() if any(_names_part(each, word) for each in words)]


def _names_part(word: str, part: str) -> bool:
    return word.startswith(part) and word != f"{part}s"


def _narrowed(
    name: str, schema: Schema, about: Mapping[str, Json], said: Evidence, *, needed: bool = True
) -> Schema | None:
    """Schema of the named values that a schema allows; None where it takes such values and none was named.

    `needed` False: a date or time that only a calendar resolves ("tomorrow") is left out.
    """
    if "enum" in schema:
        return schema if schema["enum"] else None
    options = schema.get("anyOf")
    if isinstance(options, list):
        found = [_narrowed(name, cast("Schema", each), about, said, needed=needed) for each in options]
        kept: list[Json] = [each for each in found if each is not None]
        return {**schema, "anyOf": kept} if kept else None
    kind = schema.get("type")
    if kind in ("integer", "number"):
        return _one_of(schema, _with_default(_numbers(name, said.mentions, whole=kind == "integer"), about, kind))
    hint = " ".join(value for key in ("description", "format") if isinstance(value := about.get(key), str))
    if schema.get("pattern") == DATE or (kind == "string" and (_DATE_HINT.search(hint) or _DATE_FORM.search(hint))):
        named = [_dated(value, hint) for each in said.mentions for value in each.dates]
        unresolved = any(each.kind is MentionKind.DATE and not each.dates for each in said.mentions)
        free = unresolved or (needed and said.needs_calendar)
        return schema if free else _one_of(schema, _with_default(named, about, "string"))
    if schema.get("pattern") == TIME or (kind == "string" and _TIME_HINT.search(hint)):
        free = needed and said.needs_calendar
        return schema if free else _one_of(schema, _with_default(_times(said.mentions), about, "string"))
    if kind == "array" and isinstance(items := schema.get("items"), dict):
        inner = _narrowed(name, cast("Schema", items), {}, said)
        return None if inner is None else {**schema, "items": inner}
    if kind == "object" and isinstance(fields := schema.get("properties"), dict) and fields:
        return {**schema, "properties": _narrowed_fields(cast("Mapping[str, Schema]", fields), schema, about, said)}
    return schema


def _narrowed_fields(
    fields: Mapping[str, Schema], schema: Schema, about: Mapping[str, Json], said: Evidence
) -> dict[str, Json]:
    """Fields of an object, without the optional ones that nobody named; a required one is never left out."""
    listed, own = schema.get("required"), about.get("properties")
    required, told = listed if isinstance(listed, list) else [], own if isinstance(own, dict) else {}
    found: dict[str, Json] = {}
    for name, field in _with_named_choices(fields, said).items():
        around = told.get(name)
        value = _narrowed(name, field, around if isinstance(around, dict) else {}, said, needed=name in required)
        if value is not None or name in required:
            found[name] = field if value is None else value
    return found


def _dated(value: str, hint: str) -> str:
    """A date in the form that a description spells out, such as MM/DD/YYYY; else as it is."""
    form = _DATE_FORM.search(hint)
    year, month, day = value.split("-")
    parts = {"YYYY": year, "MM": month, "DD": day}
    return "".join(parts.get(each.upper(), each) for each in form.groups("") if each) if form else value


def _numbers(name: str, mentions: Sequence[Mention], *, whole: bool) -> list[Json]:
    parts = _parts_of(name)
    if is_identifier(name):
        mentions = [each for each in mentions if not _SPELLED.fullmatch(each.text)]  # "two bottles" are no number 2
    values = [
        value
        for each in _labelled(name, mentions) or mentions
        for value in (
            [each.numbers[at] for kind, at in parts if each.kind is kind and at < len(each.numbers)]
            if each.kind in _TEMPORAL
            else each.numbers
        )
    ]
    return [int(value) if value.is_integer() else value for value in values if value.is_integer() or not whole]


def _labelled(name: str, mentions: Iterable[Mention]) -> list[Mention]:
    """Numbers beside an argument's name: 3 cups, radius 2. None where numbers are listed, which share their label."""
    numbers = [each for each in mentions if each.kind is MentionKind.NUMBER]
    if are_listed(numbers):
        return []
    if any(each.before in ("and", "or") and (not each.after or _is_label(each.after, name)) for each in numbers):
        return []
    return [each for each in numbers if _is_label(each.after, name) or _is_label(each.before, name)]


def _is_label(word: str, name: str) -> bool:
    """Test if a word beside a number is the name of an argument: 3 cups, radius 2."""
    one, other = word.removesuffix("s"), name.lower().removesuffix("s")
    return len(one) > 2 and one == other


def _times(mentions: Iterable[Mention]) -> list[Json]:
    exact: list[Json] = [value for each in mentions for value in each.times]
    hours = [each.numbers[0] for each in mentions if each.kind is MentionKind.NUMBER and each.numbers]
    whole = [int(hour) for hour in hours if hour.is_integer()]
    bare: list[Json] = [f"{hour:02}:00" for hour in (*whole, *(hour + 12 for hour in whole)) if 0 <= hour <= 24]
    return exact or bare


def _with_default(values: Iterable[Json], about: Mapping[str, Json], kind: Json) -> list[Json]:
    default = about.get("default")
    fits = isinstance(default, str) if kind == "string" else isinstance(default, int | float)
    found = [*values]
    return [*found, default] if found and fits and default not in found else found


def _one_of(schema: Schema, values: Sequence[Json]) -> Schema | None:
    distinct = list(dict.fromkeys(cast("Sequence[str]", values)))
    if not distinct:
        return None
    return schema if len(distinct) > _MOST else {"enum": list[Json](distinct)}
