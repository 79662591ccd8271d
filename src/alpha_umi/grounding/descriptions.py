"""What tools say of the values that their arguments take: examples, units, shares of a whole."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from alpha_umi.formats.prompts.retrieval import split_terms
from alpha_umi.grounding.mentions import Mention, MentionKind
from alpha_umi.types import Json, ToolSpec

_QUOTED = re.compile("(?<!\\w)'([^'\n]{1,40})'(?!\\w)|\"([^\"\n]{1,40})\"|`([^`\n]{1,40})`")
_LISTED = re.compile(
    r"(?:\be\.?\s?g\.?[:,]?|\bsuch as|\bfor example[:,]?|\bexamples?:|\bone of:?|\beither)\s+([^.;()\n]+)",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r",(?!\s*[A-Z]{2}\b)\s*(?:(?:or|and)\s+)?|\s+(?:or|and)\s+|\s*[|/]\s*")
_PLAIN = re.compile(r"[\w '\u2019-]+")
_ETC, _DIGIT = re.compile(r"\W*\betc\W*$"), re.compile(r"\d")
_TIMES = ("time", "times")
_WORDS = 3
"""Words of an example that is not quoted, at most."""
_CODE = re.compile(r"\b(?i:like|such as|e\.\s?g\.,?|for example,?)\s+['\"`\u201c]?[A-Z]{1,4}-?\d")
_SHARE = re.compile(r"\bdecimal|\bfraction|\bbetween 0 and 1\b|\b0 to 1\b|\b0\.\d", re.IGNORECASE)
_PERCENT = re.compile(r"percent|%|\b0\s?(?:-|\u2013|to)\s?100\b|\b0 and 100\b", re.IGNORECASE)


def described(tool: ToolSpec, name: str) -> str:
    """What a tool says of an argument; nothing where it says nothing."""
    told = tool.parameters.get("properties")
    about = told.get(name) if isinstance(told, dict) else None
    text = about.get("description") if isinstance(about, dict) else None
    return text if isinstance(text, str) else ""


def shows_code(text: str) -> bool:
    """Test if a description shows a code as its example: a bed, like A1."""
    return _CODE.search(text) is not None


def with_shared_descriptions(tools: Sequence[ToolSpec]) -> tuple[ToolSpec, ...]:
    """The tools, with arguments that one leaves undescribed described as those of the same name and type in others."""
    known: dict[tuple[str, str], Json] = {}
    for tool in tools:
        for name, about in _properties(tool).items():
            if isinstance(about, dict) and about.get("description"):
                known.setdefault((name, str(about.get("type"))), about["description"])
    return tuple(_with_descriptions(tool, known) for tool in tools)


def _with_descriptions(tool: ToolSpec, known: Mapping[tuple[str, str], Json]) -> ToolSpec:
    told = {
        name: {**about, "description": known[name, str(about.get("type"))]}
        for name, about in _properties(tool).items()
        if isinstance(about, dict) and not about.get("description") and (name, str(about.get("type"))) in known
    }
    if not told:
        return tool
    return replace(tool, parameters={**tool.parameters, "properties": {**_properties(tool), **told}})


def _properties(tool: ToolSpec) -> Mapping[str, Json]:
    declared = tool.parameters.get("properties")
    return declared if isinstance(declared, dict) else {}


def named_examples(text: str, said: str) -> list[str]:
    """The examples of a description that a text names, in the description's order; of a single example none.

    Several are choices ("fruity", "hoppy"), a single one is a place that stands for all places.
    """
    terms, examples = split_terms(said), _examples(text)
    return [each for each in examples if _is_named(each, said, terms)] if len(examples) > 1 else []


def _is_named(example: str, said: str, terms: Sequence[str]) -> bool:
    """Test if an example was named; one with signs, and one of a single letter, as it is."""
    if len(example) == 1 or not _PLAIN.fullmatch(example):
        return re.search(rf"(?<![\w#]){re.escape(example)}(?![\w#])", said, re.IGNORECASE) is not None
    return is_within(split_terms(example), terms)


def _examples(text: str) -> list[str]:
    quoted = [next(group for group in match.groups() if group is not None) for match in _QUOTED.finditer(text)]
    listed = [
        _ETC.sub("", each).strip(" '\"`") for match in _LISTED.finditer(text) for each in _BETWEEN.split(match[1])
    ]
    found = [*quoted, *(each for each in listed if each and each.count(" ") < _WORDS)]
    return [each for each in dict.fromkeys(found) if not _DIGIT.search(each)] if "{" not in text else []


def is_within(terms: Sequence[str], all_terms: Sequence[str]) -> bool:
    """Test if terms follow each other in a text's terms."""
    count = len(terms)
    return count > 0 and any([*all_terms[at : at + count]] == [*terms] for at in range(len(all_terms) - count + 1))


def of_share(mention: Mention, text: str) -> tuple[float, ...]:
    """The numbers of a mention that an argument takes by its description: 5 % is 5 of a hundred, or a share of 0.05."""
    if mention.kind is not MentionKind.NUMBER or not mention.text.endswith(("%", "percent")):
        return mention.numbers
    if _SHARE.search(text):
        return mention.numbers[1::2]
    return mention.numbers[::2] if _PERCENT.search(text) else mention.numbers


def by_units(texts: Mapping[str, tuple[str, str]], mentions: Sequence[Mention]) -> dict[str, list[Mention]]:
    """The numbers that stand with a word which is one argument's alone: 5 years, the term in years.

    It is in the argument's name; or its description counts such things, or is in that unit. `texts`: names and
    descriptions of the arguments that take numbers, by name.
    """
    found: dict[str, list[Mention]] = {}
    unit = before = ""
    for mention in reversed([each for each in mentions if each.kind is MentionKind.NUMBER]):
        unit = unit if mention.after == before and before in ("and", "or", "to") else mention.after
        before = mention.before
        if not unit or unit in _TIMES:
            continue
        owners = [name for name, (named, told) in texts.items() if _counts(unit, named, told)]
        if len(owners) == 1:
            found.setdefault(owners[0], []).append(mention)
    return found


def _counts(unit: str, name: str, told: str) -> bool:
    (term, *_) = split_terms(unit) or [""]
    if not term:
        return False
    if term in split_terms(name):
        return True
    counted = re.search(
        rf"\b(?:number of|how many|in) (?:\w+ ){{0,1}}{re.escape(term)}\w{{0,2}}\b(?! per\b)", told, re.IGNORECASE
    )
    return counted is not None
