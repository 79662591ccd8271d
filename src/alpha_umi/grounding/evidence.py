"""Evidence for the arguments of calls: what users, tools and earlier answers said, and which of it a call takes up."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import cast

from alpha_umi.formats.json_types import Schema, normalise
from alpha_umi.formats.prompts.retrieval import split_terms
from alpha_umi.grounding.codes import CodeKind, codes_in, unit_of, units_in
from alpha_umi.grounding.descriptions import described, is_within, named_examples
from alpha_umi.grounding.mentions import Mention, MentionKind, read_all, read_mentions
from alpha_umi.types import Answer, Json, Observation, ToolSpec, Turn, User

_WORD = re.compile(r"[^\W_]+")
_LONG, _CODE, _SENTENCE = 3, 4, 5
"""Letters of a word that tells something; letters of a code (USD, SEK) at most; words of what is no name."""
_POINTER = re.compile(r"(?:who|what|which)ever\b.*|it|its|them|they|their|this|that|someone|something", re.DOTALL)
"""Words in place of a value."""
_FREE_TEXT = re.compile(
    r"text|message|body|content|note|descri|comment|query|question|sentence|prompt|expression|code|sql|reason|subject"
    r"|answer|statement|command|instruction|task|utterance|function|equation|formula",
    re.IGNORECASE,
)
"""Arguments that take sentences, by their names."""
_CLAUSE = re.compile(r"\b(?:that|which|who|whose)\b", re.IGNORECASE)
_ASKED = re.compile(r"(?:what|how|which|when|where|please|(?:tell|give|show|find|get) me)\b")
_KEY = re.compile(r'"([^"\\]*)"\s*:')
"""Name of a field, which is quoted as names are that somebody said."""
_SAID_WORD, _POSSESSIVE = re.compile(r"[^\W_][\w&-]*(?:['\u2019]\w+)?"), re.compile(r"['\u2019]s$")
_CLAUSES = re.compile(r"[.,;:!?](?:\s|$)|[\n\"\u201c\u201d()]")
_PHRASE, _PHRASES = 5, 150
"""Words of a phrase, and phrases, at most."""
_MARKS = re.compile(r"[,;: ]+$|(?<=[a-z]{3})(?<!\bInc)(?<!\bLtd)\.$")
_KINDS = frozenset(("type", "kind", "category", "genre", "style"))
_PLACE, _WHERE = re.compile(r"\b[A-Z][a-z]+, ?[A-Z][A-Za-z]"), r", [A-Z][\w\u2019'-]*(?: [A-Z][\w\u2019'-]*)*"
_TITLES = re.compile(r"(?:^|_)(?:title|song|track|album|book|film|movie|painting|work|poem|play)(?:_|$)|Title$")
"""Arguments that take titles, by their names."""
_ON = r"(?: (?:at|on|of|the|and|an?)){1,2}(?: [A-Z][\w\u2019'-]*)+"
"""How a title goes on behind small words."""
_NUMERAL = re.compile(r"\d{1,3}")
_IDENTIFIERS = re.compile(r"ids?|codes?|no|nr|sku|uuid|ref", re.IGNORECASE)
_ARTICLE = re.compile(r"^(?:the|an?|my|our) (?=\S)")
_COUNTED = re.compile(r"[a-z]{3,} \d+$")
"""A word with a number, which stands together where it was said."""
_RELATIVE = re.compile(
    r"\b(?:today|tonight|tomorrow|yesterday|now|noon|midnight|next|last|this"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)day)\b",
    re.IGNORECASE,
)
"""Words for dates and times that only a calendar or a clock resolves."""
_DATE, _TIME = re.compile(r"\d{4}-\d\d-\d\d"), re.compile(r"\d\d?:\d\d")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was said so far."""

    text: str
    mentions: tuple[Mention, ...]
    words: frozenset[str]

    @classmethod
    def of(cls, turns: Iterable[Turn]) -> Evidence:
        """Read what users, tools and answers said."""
        texts = [text for turn in turns if (text := _said(turn)) is not None]
        return cls.read(texts)

    @classmethod
    def read(cls, texts: Sequence[str]) -> Evidence:
        text = "\n".join(texts)
        return cls(text, read_all(texts), frozenset(_WORD.findall(text.casefold())))

    def with_moments_of(self, asked: Evidence) -> Evidence:
        """The evidence without dates, or times, that `asked` does not have, where that has any."""
        kinds = {each.kind for each in asked.mentions} & {MentionKind.DATE, MentionKind.TIME}
        kept = tuple(each for each in self.mentions if each.kind not in kinds or each in asked.mentions)
        return replace(self, mentions=kept)

    @property
    def needs_calendar(self) -> bool:
        """True where a date or a time is said relative to now."""
        return _RELATIVE.search(self.text) is not None

    @property
    def units(self) -> frozenset[str]:
        """The units that were named, as CLDR calls them."""
        return units_in(self.text)

    def mended(self, name: str, value: Json, told: str = "") -> Json:
        """An argument's value without marks at its end that nobody said with it; a name without its article.

        `told`: its description; where that shows a place with a comma, the value is what was said: Boston, MA.
        """
        if not isinstance(value, str):
            return value
        bare = value.rstrip(".,;:!? ")
        value = bare if value not in self.text and bare and bare in self.text else value
        value = value if takes_sentences(name) else _MARKS.sub("", value)
        quotes = [each.text for each in self.mentions if each.kind is MentionKind.QUOTED]
        parts = [quote for quote in quotes if value != quote and _is_part(value, quote)]
        if len(parts) == 1 and value not in quotes and self._count(value) == 1:
            return parts[0]
        value = self._without_kind(name, value)
        if _PLACE.search(told) and value and (whole := re.search(rf"\b{re.escape(value)}{_WHERE}", self.text)):
            return whole.group()
        if _TITLES.search(name) and value and (whole := re.search(rf"\b{re.escape(value)}{_ON}", self.text)):
            return whole.group()
        is_whole = takes_sentences(name) or any(each.text == value for each in self.mentions)
        return value if is_whole else _ARTICLE.sub("", value)

    def _without_kind(self, name: str, value: str) -> str:
        """A name without what the argument is called: the team of "Otters team" is Otters."""
        first, _, last = value.rpartition(" ")
        kinds = set(split_terms(name))
        if first and kinds & _KINDS and set(split_terms(last)) <= kinds:
            return first
        named = any(each.kind is MentionKind.NAME and each.text == first for each in self.mentions)
        return first if named and split_terms(last) and set(split_terms(last)) <= set(split_terms(name)) else value

    def apart(self, values: Mapping[str, Json]) -> dict[str, Json]:
        """Arguments without another's value at their end: garden design in Portland, where the place is Portland."""
        texts = [value for value in values.values() if isinstance(value, str) and value]
        found = dict(values)
        for name, value in values.items():
            for other in texts if isinstance(value, str) and not takes_sentences(name) else ():
                ends = re.search(rf"\s+(?:in|at|from|for|on|to|by|near|with) (?:the )?{re.escape(other)}$", str(value))
                if ends and ends.start() > 0:
                    found[name] = str(value)[: ends.start()]
        return found

    def without_unnamed_fields(self, tool: ToolSpec, values: Mapping[str, Json]) -> dict[str, Json]:
        """Arguments without the fields of objects that nobody named and that need not be given."""
        declared = cast("Mapping[str, Schema]", normalise(tool).schema["properties"])
        return {name: self._pruned(declared.get(name, {}), value) for name, value in values.items()}

    def _pruned(self, schema: Schema, value: Json) -> Json:
        if not isinstance(value, dict):
            return value
        fields = cast("Mapping[str, Schema]", schema.get("properties") or {})
        required = cast("Sequence[str]", schema.get("required") or ())
        kept = {
            name: self._pruned(fields.get(name, {}), each)
            for name, each in value.items()
            if name in required or self.is_named(each, chosen="enum" in fields.get(name, {}))
        }
        return kept or value

    def unnamed(self, tool: ToolSpec, values: Mapping[str, Json]) -> tuple[str, ...]:
        """Arguments whose values nobody named, in the order of the call; defaults, true and false need no naming.

        A choice of a required argument needs none either: "centimetres" may be `cm` and "pounds" `lb`.
        """
        schema = normalise(tool).schema
        declared, required = (
            cast("Mapping[str, Schema]", schema["properties"]),
            cast("Sequence[str]", schema["required"]),
        )
        own = tool.parameters.get("properties")
        told = cast("Mapping[str, Json]", own) if isinstance(own, dict) else {}
        found: list[str] = []
        for name, value in values.items():
            about = told.get(name)
            if isinstance(about, dict) and "default" in about and about["default"] == value:
                continue
            chosen = "enum" in declared.get(name, {})
            if chosen and name in required:
                continue
            clause = not chosen and isinstance(value, str) and self._is_clause(name, value)
            unknown_day = name not in required and isinstance(value, str) and self._is_unknown_day(value)
            if (
                unknown_day
                or clause
                or not self.is_named(value, chosen=chosen)
                or (not chosen and self._is_used_up(value, values))
            ):
                found.append(name)
        return tuple(found)

    def _is_unknown_day(self, value: str) -> bool:
        """Test if a value is a day that was not said, where only a calendar could tell it."""
        days = [day for each in self.mentions for day in each.dates]
        return _DATE.fullmatch(value) is not None and self.needs_calendar and value not in days

    def _is_clause(self, name: str, value: str) -> bool:
        """Test if a value is a bare number, or a part of a sentence or a quotation, where it should be a name."""
        quotes = [each.text for each in self.mentions if each.kind is MentionKind.QUOTED]
        if value in quotes:
            return False
        if _NUMERAL.fullmatch(value):
            return not is_identifier(name)
        folded = value.casefold()
        if any(" " in value and folded in quote.casefold() for quote in quotes):
            return True
        words, lines = set(_WORD.findall(folded)), self.text.casefold().split("\n")
        wholes = [whole for whole in (set(_WORD.findall(line)) for line in lines) if words <= whole]
        sentence = folded.count(" ") + 1 >= _SENTENCE and any(2 * len(words) > len(whole) for whole in wholes)
        return not _FREE_TEXT.search(name) and (
            sentence or _CLAUSE.search(value) is not None or _ASKED.match(value) is not None
        )

    def _is_used_up(self, value: Json, values: Mapping[str, Json]) -> bool:
        """Test if more arguments have a value than it was said."""
        if isinstance(value, bool | dict | list) or value is None:
            return False
        text = str(value).casefold()
        used = sum(str(each).casefold() == text for each in values.values())
        if used < 2:
            return False
        said = self._count(text)
        meant = 0
        if isinstance(value, int | float):
            meant = sum(any(math.isclose(value, each) for each in mention.numbers) for mention in self.mentions)
        return used > max(said, meant)

    def _count(self, text: str) -> int:
        """How often words were said."""
        return len(re.findall(rf"(?<!\w){re.escape(text.casefold())}(?!\w)", self.text.casefold()))

    def is_put_together(self, value: Json) -> bool:
        """Test if a value is of several words that were not said together."""
        if not isinstance(value, str) or _DATE.fullmatch(value) or _is_foreign(self.text):
            return False
        words = " ".join(_WORD.findall(value.casefold()))
        return " " in words and words not in " ".join(_WORD.findall(self.text.casefold()))

    def phrases(self) -> list[str]:
        """Words that were said together, that begin and end with telling ones; what was quoted or is a name, whole."""
        wholes = [each for each in self.mentions if each.kind in (MentionKind.QUOTED, MentionKind.NAME)]
        found = dict.fromkeys(each.text for each in wholes)
        text = self.text
        for each in wholes:
            text = text.replace(each.text, "\n") if each.kind is MentionKind.QUOTED else text
        for clause in _CLAUSES.split(text):
            spans = [match.span() for match in _SAID_WORD.finditer(clause)]
            for at, (start, _) in enumerate(spans):
                for first, end in spans[at : at + _PHRASE]:
                    if split_terms(clause[slice(*spans[at])]) and split_terms(clause[first:end]):
                        found.setdefault(_POSSESSIVE.sub("", clause[start:end]))
        return [*found][:_PHRASES]

    def is_named(self, value: Json, *, chosen: bool = False) -> bool:
        """Test if a value was named; text needs half of its telling words. `chosen`: it is one of a tool's choices."""
        match value:
            case bool() | None:
                return True
            case int() | float():
                return any(math.isclose(value, number) for each in self.mentions for number in each.numbers)
            case str():
                return self._is_said(value, chosen=chosen)
            case list():
                return all(self.is_named(each, chosen=chosen) for each in value)
            case dict():
                return all(self.is_named(each) for each in value.values())

    def _is_said(self, value: str, *, chosen: bool) -> bool:
        folded = value.casefold().strip()
        if not chosen and _POINTER.fullmatch(folded):
            return False
        if not chosen and folded.isalpha() and len(folded) > 1 and not split_terms(folded):
            return False
        if not folded or re.search(rf"(?<!\w){re.escape(folded)}(?!\w)", self.text.casefold()):
            return True
        if any(value.upper() == code.upper() for kind in CodeKind for code in codes_in(self.text, kind)):
            return True
        if chosen and unit_of(value) & self.units:
            return True
        if _DATE.fullmatch(folded):
            dates = [each.dates for each in self.mentions if each.kind is MentionKind.DATE]
            return any(folded in each or not each for each in dates) or self.needs_calendar
        if _TIME.fullmatch(folded):
            times = [time for each in self.mentions for time in each.times]
            hours = [f"{number:02.0f}:00" for each in self.mentions for number in each.numbers]
            return folded.zfill(5) in (times or hours) or self.needs_calendar
        if not chosen and _COUNTED.search(folded):
            return False
        if not chosen and is_code(value):
            return not any(is_code(each.text) for each in self.mentions)
        if not chosen and _is_foreign(self.text):
            return True
        parts = [word for word in _WORD.findall(folded) if len(word) >= _LONG] or _WORD.findall(folded)
        alike = sum(any(_are_alike(part, word, short=chosen) for word in self.words) for part in parts)
        return 2 * alike >= max(len(parts), 1)


def is_identifier(name: str) -> bool:
    """Test if an argument is an identifier by its name, which another tool may tell."""
    return _IDENTIFIERS.fullmatch(re.split(r"_|(?<=[a-z])(?=[A-Z])", name)[-1]) is not None


def takes_sentences(name: str) -> bool:
    """Test if an argument takes sentences by its name."""
    return _FREE_TEXT.search(name) is not None


def is_code(text: str) -> bool:
    """Test if a text looks like a code, such as USD: it may stand for words that are not like it."""
    return text.isalpha() and text.isupper() and 1 < len(text) <= _CODE


def _is_foreign(text: str) -> bool:
    """Test if a text is mostly in another script than arguments are written in."""
    letters = [letter for letter in text if letter.isalpha()]
    return sum(letter > "\u024f" for letter in letters) * 4 > len(letters)


def _is_part(value: str, quote: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", quote) is not None


def _said(turn: Turn) -> str | None:
    match turn:
        case User(text=text) | Answer(text=text):
            return text
        case Observation(content=content):
            return _KEY.sub(r"\1:", content)
        case _:
            return None


def _are_alike(part: str, word: str, *, short: bool) -> bool:
    """Test if two words are one but for their endings; `short`: or the first abbreviates the second (cm)."""
    if part == word:
        return True
    few, many = sorted((part, word), key=len)
    if len(few) >= _LONG and many.startswith(few[: max(_LONG, len(few) - 1)]) and (short or len(few) > _CODE - 1):
        return True
    return short and 2 <= len(part) <= _CODE < len(word) and part[0] == word[0] and _is_within(part, word)


def _is_within(part: str, word: str) -> bool:
    letters = iter(word)
    return all(letter in letters for letter in part)


# --- what a call takes up -----------------------------------------------------------------------------------


def things_named(query: Evidence, tools: Iterable[ToolSpec]) -> tuple[Mention, ...]:
    """The mentions of a query that calls should take up: values, names, and choices of the tools in its words."""
    choices = [
        choice for tool in tools for choice in (*_choices(normalise(tool).schema), *_named_examples(tool, query.text))
    ]
    known = {choice.casefold() for choice in choices}
    found = {each.text.casefold(): each for mention in query.mentions for each in _apart(mention, known)}
    for choice in choices:
        key = choice.casefold()
        named = key in query.words or (" " in key and is_within(split_terms(key), split_terms(query.text)))
        if len(key) >= _LONG and named and not any(key in other for other in found):
            found[key] = Mention(kind=MentionKind.NAME, text=choice)
    return tuple(found.values())


def _apart(mention: Mention, known: Set[str]) -> list[Mention]:
    """The parts of a name that are choices each: "Saturn and Uranus" are two."""
    parts = mention.text.split(" and ")
    if mention.kind is not MentionKind.NAME or len(parts) == 1 or not {part.casefold() for part in parts} <= known:
        return [mention]
    return [replace(mention, text=part) for part in parts]


def _named_examples(tool: ToolSpec, said: str) -> Iterator[str]:
    declared = tool.parameters.get("properties")
    for name in declared if isinstance(declared, dict) else ():
        if not takes_sentences(name):
            yield from named_examples(described(tool, name), said)


def _choices(schema: object) -> Iterator[str]:
    match schema:
        case {"enum": [*listed]}:
            yield from (each for each in listed if isinstance(each, str))
        case Mapping():
            for each in cast("Mapping[str, object]", schema).values():
                yield from _choices(each)
        case [*parts]:
            for each in parts:
                yield from _choices(each)
        case _:
            return


def defaults_of(tool: ToolSpec) -> dict[str, Json]:
    """Values of the arguments of a tool that need not be given."""
    declared = tool.parameters.get("properties")
    named = declared if isinstance(declared, dict) else {}
    return {name: about["default"] for name, about in named.items() if isinstance(about, dict) and "default" in about}


def choices_of(tool: ToolSpec) -> dict[str, list[str]]:
    """The choices of those arguments of a tool that have some."""
    declared = cast("Mapping[str, Schema]", normalise(tool).schema["properties"])
    return {name: found for name, schema in declared.items() if (found := [*_choices(schema)])}


def free_arguments(tool: ToolSpec) -> frozenset[str]:
    """Arguments of a tool that take any text."""
    declared = cast("Mapping[str, Schema]", normalise(tool).schema["properties"])
    return frozenset(name for name, schema in declared.items() if schema == {"type": "string"})


def is_moment(value: Json) -> bool:
    """Test if a value is a date or a time of day."""
    kinds = [each.kind for each in read_mentions(value)] if isinstance(value, str) else []
    return bool(kinds) and all(kind in (MentionKind.DATE, MentionKind.TIME) for kind in kinds)


def taken_up(mentions: Iterable[Mention], values: Mapping[str, Json]) -> frozenset[str]:
    """Texts of the mentions that a call's arguments take up."""
    flat = [*_flat(dict(values))]
    text = "\n".join(str(each) for each in flat).casefold()
    numbers = [float(each) for each in flat if isinstance(each, int | float) and not isinstance(each, bool)]
    return frozenset(each.text for each in mentions if _takes_up(each, text, numbers))


def _flat(value: Json) -> Iterator[Json]:
    match value:
        case dict():
            for each in value.values():
                yield from _flat(each)
        case list():
            for each in value:
                yield from _flat(each)
        case _:
            yield value


def _takes_up(mention: Mention, text: str, numbers: Sequence[float]) -> bool:
    likely = mention.numbers[:1] if mention.kind in (MentionKind.DATE, MentionKind.TIME) else mention.numbers
    if any(math.isclose(number, each) for number in numbers for each in likely):
        return True
    forms = (mention.text, *mention.dates, *mention.times)
    if any(re.search(rf"(?<!\w){re.escape(form.casefold())}(?!\w)", text) for form in forms):
        return True
    words = [word for word in _WORD.findall(mention.text.casefold()) if len(word) >= _LONG]
    named = mention.kind in (MentionKind.NAME, MentionKind.QUOTED, MentionKind.IDENTIFIER)
    return named and bool(words) and all(word in _WORD.findall(text) for word in words)
