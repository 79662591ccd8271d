"""Reader of answers: quantities with units, names, hedges and retractions, however they are worded.

The reader takes text as `normalize` returns it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A number in a text, with its unit."""

    value: Decimal
    unit: str = ""
    qualifier: str = ""
    """Words beside it that change the value: "about", "twice", "or more"; empty: the value is exact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Words that a Reader recognises."""

    names: Mapping[str, Sequence[str]]
    """Domain -> every name of it that an answer may hold."""
    ordinary: frozenset[str] = frozenset()
    """Domains whose names are everyday words, which count only in a task about the domain."""
    currencies: Iterable[str] = ()
    units: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """Unit -> its spellings."""
    literal: str = ""
    """Regular expression of names that hold digits: codes, times of the day."""


_NUMBER = re.compile(r"(?<![\w.,])(?:[-+](?=\d))?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")
_BELOW_ZERO = re.compile(r"(?:\s*degrees?)?\s*\b(?:below|under) zero\b", re.IGNORECASE)
_OR = re.compile(r"\bor\b", re.IGNORECASE)
_NEAR = 30
"""Characters after an "or" that are searched for another choice, and before a value for a qualifier."""
_WORD = re.compile(r"\w+")

_QUALIFIERS = (
    r"about|around|approximately|approx\.?|roughly|circa|ca\.?|some|an estimated|nearly|almost|near|barely|hardly|"
    r"(?:close|closer|next|up) to|than|at (?:the )?(?:least|most|earliest|latest)|(?:minimum|maximum|upwards?) of|"
    r"under|over|below|above|beyond|before|past|anything but|except|twice|thrice|double|triple|half|times|"
    r"(?:third|quarter|fraction|part|multiple)s? of"
)


def _qualified_by(words: str) -> re.Pattern[str]:
    """Pattern of such words at the end of the text before a value."""
    return re.compile(
        rf"((?<!\w)(?:{words})(?!\w)|[~≈±<>≤≥]=?)(?: of)?(?: (?:the|a|an|these|those))?[\s(-]*$", re.IGNORECASE
    )


_QUALIFIER_BEFORE = _qualified_by(rf"{_QUALIFIERS}|no")
_QUALIFIER_BEFORE_BARE = _qualified_by(rf"{_QUALIFIERS}|after")
"""Of times, codes and numbers without unit, where "no" means number and "after" does not mean "in"."""
_QUALIFIER_AFTER = re.compile(
    r"[ (]*(\+|(?:or (?:more|less|so|fewer|thereabouts|under|over|later|earlier)|at (?:the )?(?:least|most|earliest|"
    r"latest)|approximately|approx|roughly|(?:more|less|fewer|below|above)(?! zero)|hundred|thousand|million|billion|"
    r"dozen|times)\b)",
    re.IGNORECASE,
)


class Reader:
    """Reader of quantities and names."""

    def __init__(self, words: Words) -> None:
        currencies = list(words.currencies)
        self._spellings = {
            **{code.casefold(): code for code in currencies},
            **{spelling.casefold(): unit for unit, spellings in words.units.items() for spelling in spellings},
        }
        money = [spelling for spelling, unit in self._spellings.items() if unit in currencies]
        self._unit_after = re.compile(rf"[\s-]?({_any_of(list(self._spellings))})(?!\w)", re.IGNORECASE)
        self._unit_before = re.compile(rf"(?<!\w)({_any_of(money)})\s?$", re.IGNORECASE)
        self._names: dict[str, list[str]] = {}
        self._domain = {name.casefold(): domain for domain, names in words.names.items() for name in names}
        for name in sorted(self._domain, key=len, reverse=True):
            self._names.setdefault(_WORD.findall(name)[0], []).append(name)
        self._literal = re.compile(rf"(?<!\w)(?:{words.literal})(?!\w)", re.IGNORECASE) if words.literal else None
        self._ordinary = words.ordinary

    def quantities(self, text: str) -> Iterator[Quantity]:
        """The numbers of a text, each with the unit after it, else the currency before it."""
        if self._literal is not None:
            text = self._literal.sub(lambda found: "_" * len(found[0]), text)
        taken = 0
        for number in _NUMBER.finditer(text):
            after = self._unit_after.match(text, number.end())
            before = self._unit_before.search(text[taken : number.start()])
            unit = after or before
            start = taken + before.start() if before else number.start()
            end = after.end() if after else number.end()
            value = Decimal(number[0].replace(",", ""))
            if below := _BELOW_ZERO.match(text, end):
                value, end = -abs(value), below.end()
            yield Quantity(
                value=value,
                unit=self._spellings[unit[1].casefold()] if unit else "",
                qualifier=_find_qualifier(text, start, end, _QUALIFIER_BEFORE if unit else _QUALIFIER_BEFORE_BARE),
            )
            taken = end

    def terms(self, text: str) -> set[str]:
        """The names in a text, in lower case; codes and times, too, with their qualifiers in parentheses."""
        found = set(self._find_names(text.casefold()))
        if self._literal is not None:
            for literal in self._literal.finditer(text):
                qualifier = _find_qualifier(text, literal.start(), literal.end(), _QUALIFIER_BEFORE_BARE)
                found.add(f"{literal[0]} ({qualifier})".casefold() if qualifier else literal[0].casefold())
        return found

    def _find_names(self, text: str) -> Iterator[str]:
        """The names that stand as whole words; the longest of those that begin at one place."""
        end = 0
        for word in _WORD.finditer(text):
            start = word.start()
            for name in self._names.get(word[0], ()) if start >= end else ():
                if text.startswith(name, start) and not _WORD.match(text, start + len(name)):
                    yield name
                    end = start + len(name)
                    break

    def domain(self, name: str) -> str:
        """The domain of a name in lower case; "literal" for codes and times."""
        return self._domain.get(name, "literal")

    def relevant_names(self, held: set[str], relevant: Iterable[str]) -> set[str]:
        """The names of `held` that count: no everyday words, or such of a domain of the `relevant` names."""
        domains = {self.domain(name) for name in relevant}
        return {name for name in held if self.domain(name) not in self._ordinary - domains}

    def offers_choice(self, text: str) -> bool:
        """True where it offers a choice of values ("A or B")."""
        after = (text[found.end() : found.end() + _NEAR] for found in _OR.finditer(text))
        return any(self.terms(near) or any(self.quantities(near)) for near in after)


def _find_qualifier(text: str, start: int, end: int, before: re.Pattern[str]) -> str:
    found = before.search(text[max(0, start - _NEAR) : start]) or _QUALIFIER_AFTER.match(text, end)
    return found[1] if found else ""


def _any_of(words: Sequence[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


# --- normalization ----------------------------------------------------------------------------------------

_MARKDOWN = re.compile(r"[*`]+|(?<!\w)_+|_+(?!\w)")
_DASH = re.compile(r"[\u2010-\u2015\u2212]")
_MINUS = re.compile(r"\b(?:minus|negative) +(?=\d)", re.IGNORECASE)
_MINUS_APART = re.compile(r"((?:\b(?:is|are|at|of|exactly|just|only)|:) )- (?=\d)", re.IGNORECASE)
"""After other words a dash that stands alone joins two parts of a sentence, or begins a line of a list."""
_ZERO = re.compile(r"\b(below|under|above) 0(?!\w|[.,:]\d)", re.IGNORECASE)
_PART_OF_DAY = re.compile(
    r"(?<![\w.,:])(?P<hour>\d{1,2})(?:[:.](?P<minutes>\d\d))?"
    r"(?:\s?(?P<half>[ap])\.?m\b|(?<=:\d\d) (?:in the (?P<part>morning|afternoon|evening)|at night)\b)",
    re.IGNORECASE,
)
_SHORT_TIME = re.compile(r"(?<![\w:.,])(\d):(?=\d\d(?![\w:]))")


def normalize(text: str) -> str:
    """Rewrite a text without bold marks, with "-" before negative numbers and times of the day as HH:MM."""
    text = _DASH.sub("-", _MARKDOWN.sub("", text))
    text = _ZERO.sub(r"\1 zero", _MINUS_APART.sub(r"\1-", _MINUS.sub("-", text)))
    return _SHORT_TIME.sub(r"0\1:", _PART_OF_DAY.sub(_read_time, text))


def _read_time(found: re.Match[str]) -> str:
    """HH:MM; with a full stop where the words are no time of the day ("20:10 am")."""
    named, part = int(found["hour"]), (found["half"] or found["part"] or "night").casefold()
    late = part in ("p", "afternoon", "evening") or (part == "night" and named != 12 and named >= 6)
    hour = named % 12 + 12 * late if 1 <= named <= 12 else named
    if hour > 23 or (hour >= 12) is not late:
        return found[0].replace(":", ".")
    return f"{hour:02}:{found['minutes'] or '00'}"


# --- hedges and retractions -------------------------------------------------------------------------------

_DENIAL = (
    r"(?:\b(?:not|never|cannot|neither|nor|unable|hardly|scarcely|false|untrue|(?<!go )wrong|incorrect|mistaken|"
    r"opposite|(?:none|nothing) of|no (?:longer|way|means)|den(?:y|ies|ied))\b|n['’]t\b|^\W*no\s*(?:[.,:;!-]|$))"
)
_DOUBT = (
    r"(?:\b(?:either|maybe|perhaps|possibly|probably|presumably|supposedly|allegedly|apparently|seems?|most likely|"
    r"unlikely that|unsure|uncertain|(?:a|my|only|just) guess|guess(?:ed|ing)|i (?:guess|think|believe|suppose|assume)|"
    r"(?:may|might|could) (?:be|have|take|cost))\b|(?<!\bno )(?<!\bwithout )(?<!\bwithout a )\bdoubt(?:s|ed|ful)?\b)"
)
_TRUE = r"true|right|correct|accurate|reliable|the case"
_HEDGED = re.compile(rf"{_DENIAL}|{_DOUBT}", re.IGNORECASE)
_RETRACTION = re.compile(
    r"\b(?:false|untrue|(?<!go )wrong|incorrect|mistaken|opposite|unsure|uncertain|unlikely|lied?|kidding|joking)\b|"
    r"\bi (?:guess|doubt)\b|\b(?:a|my|only|just) guess\b|"
    rf"{_DENIAL}.*\b(?:{_TRUE}|sure|certain|know|known|believe|think)\b|{_DOUBT}.*\b(?:{_TRUE})\b|"
    r"(?:\bnot|\bnever|n['’]t)(?: (?:so|really|quite))?\W*$|"
    r"^\W*(?:or )?(?:no|hardly|perhaps|maybe|possibly|probably)\W*(?:$|[.,:;!-])",
    re.IGNORECASE | re.DOTALL,
)
"""Statements about the sentence before: that it is wrong or not certain."""
_POLITE = re.compile(r"\bif\b[^,;]*|(?:\bdo not|\bdon['’]t|\bnever) (?:hesitate|forget|worry|mind)\b.*", re.I | re.S)
_END = re.compile(
    r"(?:(?<!\b[DM]r)(?<!\bMrs)(?<!\bMs)(?<!\bSt)(?<!\bca)(?<!\bapprox)[.!?]+[\"')\]]*)(?=\s)|(?<!:)\n(?=\s*[-•A-Z])"
)


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text; lines of a list count as sentences."""
    start = 0
    for end in _END.finditer(text):
        yield text[start : end.end()].strip()
        start = end.end()
    yield text[start:].strip()


def is_hedged(sentence: str) -> bool:
    """True for a sentence that denies or doubts its own content."""
    return _HEDGED.search(sentence) is not None


def is_retraction(sentence: str) -> bool:
    """True for a sentence that denies or doubts the one beside it; not for questions and polite endings."""
    return not sentence.endswith("?") and _RETRACTION.search(_POLITE.sub("", sentence)) is not None
