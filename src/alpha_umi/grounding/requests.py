"""Requests as tools can be found for them: in parts that each ask for something, and spelled as the tools spell."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Set
from difflib import get_close_matches
from itertools import pairwise

from alpha_umi.formats.prompts.retrieval import split_terms
from alpha_umi.grounding.evidence import Evidence, things_named
from alpha_umi.grounding.mentions import Mention
from alpha_umi.types import ToolSpec

_WORD = re.compile(r"[A-Za-z]+")
_SHORT = 3
"""Letters of a word that has no endings."""
_STARTS = (
    "how what when where which who whose why does do did can could tell give show find count get list"
    " write book add set turn send convert calculate compute check look move cancel create order open close search"
    " translate play reserve remind start stop buy sell put make change rename delete remove update call mark log"
    " schedule read save share print sort estimate compare determine report fetch"
)
_JOINED = re.compile(r"\b(?:and|or|then|also|plus|both|each|versus|vs|as well)\b|[;&]")
"""What stands between things of which each is asked for."""
_LEADS = r"(?:(?:and|then|also|please|next|finally|afterwards)[\s,]+)*(?:(?:could|can|would) you (?:please )?)?"
_TELLS = re.compile(r"(?:i|we|my|our|his|her|their|the|an?|he|she|it|this|there|hi|hello)\b", re.IGNORECASE)
_POINTS = re.compile(
    r"\bthat(?=\s+(?:in|to|for)\b|[.,?!]|$)|\b(?:it|this|them|those|these|they|he|she|him|her|there|i'm|my name)\b",
    re.IGNORECASE,
)
_BREAK = re.compile(
    rf"(?:[.?!;]|,?\s+and(?=\s)|,\s+then(?=\s)|\n)\s*(?={_LEADS}(?:{'|'.join(_STARTS.split())})\b)", re.IGNORECASE
)


def split_request(text: str, tools: Iterable[ToolSpec]) -> list[str]:
    """Split a request into parts that each ask for something and name values of their own; most are one part.

    What a part says of another ("put it in euros", "it is for two") belongs to that one.
    """
    tools = [*tools]
    pieces: list[str] = []
    for piece in (each.strip() for each in _BREAK.split(text)):
        if pieces and not (_stands_alone(piece, tools) and not _TELLS.match(pieces[-1])):
            pieces[-1] = f"{pieces[-1]}. {piece}"
        else:
            pieces.append(piece)
    return pieces if all(_stands_alone(piece, tools) for piece in pieces) else [text]


def _stands_alone(piece: str, tools: Iterable[ToolSpec]) -> bool:
    return not _POINTS.search(piece) and bool(things_named(Evidence.read([piece]), tools))


def list_further(query: str, named: Iterable[Mention], left: Set[str]) -> bool:
    """Test if what is left was said as a further one: "Oslo and Bergen", but not "Bergen, Norway"."""
    text = query.casefold()
    found = ((text.find(mention.text.casefold()), mention.text) for mention in named)
    places = sorted((at, at + len(name), name) for at, name in found if at >= 0)
    return any(_JOINED.search(text[one[1] : next_[0]]) for one, next_ in pairwise(places) if {one[2], next_[2]} & left)


def without_taken(query: str, named: Iterable[Mention], left: Set[str]) -> str:
    """The request without what was taken up."""
    for mention in named:
        if mention.text not in left:
            query = re.sub(rf"(?<!\w){re.escape(mention.text)}(?!\w) ?", "", query, flags=re.IGNORECASE)
    return query


def as_known(query: str, known: Set[str]) -> str:
    """Return a query with the known words that its own are like: other endings, or a letter wrong."""
    strange = [term for term in split_terms(query) if term not in known and len(term) > _SHORT]
    alike = [
        other
        for term in strange
        for other in (
            *(each for each in known if each.startswith(term) or (term.startswith(each) and len(each) > _SHORT)),
            *get_close_matches(term, known, n=1, cutoff=0.8),
        )
    ]
    return " ".join([query, *dict.fromkeys(alike)])


def as_spelled(query: str, tools: Iterable[ToolSpec]) -> str:
    """Return a query with its misspelled words as the tools spell them; names and short words stay."""
    known = {word for tool in tools for word in _WORD.findall(_words_of(tool).lower()) if len(word) > _SHORT}
    return _WORD.sub(lambda match: _nearest(match.group(), known), query)


def _words_of(tool: ToolSpec) -> str:
    return " ".join([tool.name.replace("_", " "), tool.description, json.dumps(tool.parameters)])


def _nearest(word: str, known: Set[str]) -> str:
    if word in known or not word.islower() or len(word) <= _SHORT:
        return word
    found = get_close_matches(word, known, n=1, cutoff=0.8)
    return found[0] if found and not found[0].startswith(word) else word
