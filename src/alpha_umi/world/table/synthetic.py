"""Synthetic providers for training tasks: the same needs under names, arguments and documents drawn for each task.

A model that always meets the same tools learns them by heart instead of reading their documents. So most training
tasks offer synthetic providers, whose names, documents, arguments, conventions and replies are drawn from the words of
`vocabulary` and from the phrases of queries. Names often mean little or mislead, so that only the document shows what a
tool does. No document of a tool that is held out of training is ever drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import combinations

from alpha_umi.world.domains import Domain, Names
from alpha_umi.world.needs import Need
from alpha_umi.world.pseudowords import draw_pseudoword
from alpha_umi.world.random_streams import RandomStream
from alpha_umi.world.table import wording
from alpha_umi.world.table.categories import Category
from alpha_umi.world.table.names import names_of
from alpha_umi.world.table.providers import read_line
from alpha_umi.world.table.vocabulary import load_vocabulary
from alpha_umi.world.tools import Seen, Tool

_PERCENT = 100
_FROM_VOCABULARY = 60
"""Percent of documents worded by the vocabulary; the others by phrases of queries."""
_FITTING = 35
"""Percent of words in API names that fit the need."""
_MISLEADING = 25
"""Percent that fit another need; the others are any words, or pseudowords."""
_JOINED = 35
"""Percent of two inputs that can be joined in one argument and are."""
_CONVENTIONS = 35
"""Percent of inputs with another convention that use it."""
_WRAPPED = 45
"""Percent of replies under a key."""
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_TAILS = ("", "", "", "ly", "o", "hub", "base", "data", "er", "ia", "ix", "io")


class SyntheticProviders:
    """The synthetic providers of one task: each replaces a real one and serves the same needs."""

    def __init__(
        self, categories: Mapping[str, Category], held_out_documents: frozenset[str], rng: RandomStream
    ) -> None:
        self._categories, self._held_out_documents, self._rng = categories, held_out_documents, rng
        self._names: dict[str, str] = {}
        self._made: dict[str, Tool] = {}

    def replace_tool(self, tool: Tool) -> Tool:
        """The synthetic tool that replaces a real one; always the same one."""
        name = tool.spec.name
        if name not in self._made:
            self._made[name] = self._draw_synthetic(tool)
        return self._made[name]

    def _draw_synthetic(self, tool: Tool) -> Tool:
        provider = self._names.setdefault(tool.provider, self._provider())
        category = self._categories[tool.category]
        while True:
            line = _Line(tool.served_need, self._rng).write()
            entry, made = read_line(line, provider, category.name, category.needs, Seen.YES)
            description = str(entry["description"])
            taken = (other.spec.name for other in self._made.values())
            if (
                made.spec.name not in taken
                and wording.normalized_words(description) not in self._held_out_documents
                and str(entry["name"]) not in description.lower()
            ):
                return made

    def _provider(self) -> str:
        rng = self._rng
        while True:
            name = (_any_word(rng) + (_any_word(rng) if rng.below(4) == 0 else rng.pick(_TAILS))).capitalize()
            if len(name) > 2 and name not in self._names.values():
                return name


class _Line:
    """Generator of the line that declares one API, as `providers.read_line` reads it."""

    def __init__(self, need: Need, rng: RandomStream) -> None:
        self._need, self._rng = need, rng

    def write(self) -> str:
        """Write the line."""
        return f"{self._need.name} {self._name()}: {self._describe()} | {self._taken()} -> {self._given()}"

    def _name(self) -> str:
        """A name of one to three words."""
        rng = self._rng
        words = [self._word(rng.below(_PERCENT)) for _ in range(rng.weighted({1: 50, 2: 40, 3: 10}))]
        return "_".join(dict.fromkeys(words))

    def _word(self, percent: int) -> str:
        rng = self._rng
        if percent < _FITTING:
            return rng.pick((*_words(self._need), *load_vocabulary().api_words))
        if percent < _FITTING + _MISLEADING:
            return rng.pick(_all_words())
        return _any_word(rng)

    def _describe(self) -> str:
        """A description."""
        need, rng = self._need, self._rng
        descriptions = load_vocabulary().descriptions.get(need.name, ())
        if descriptions and rng.below(_PERCENT) < _FROM_VOCABULARY:
            phrase = rng.pick(descriptions)
        elif rng.below(3) == 0:
            questions = wording.questions(rng.pick(need.templates), train=True)
            return _sentence(self._classed(rng.pick(questions or (need.goal,))))
        else:
            phrase = rng.pick((need.goal, *(noun for template in need.templates for noun in template.nouns)))
        return _sentence(rng.pick(load_vocabulary().patterns).format(x=self._classed(phrase)))

    def _classed(self, phrase: str) -> str:
        """The phrase with the classes of its inputs in their places: "a city" for {city}."""
        rng = self._rng
        classes: dict[str, str] = {}
        met: set[str] = set()
        for name, domain in self._need.inputs.items():
            if f"{{{name}}}" not in phrase:
                continue
            more = domain.name in met and load_vocabulary().second_classes.get(domain.name)
            classes[name] = rng.pick(more or load_vocabulary().classes[domain.name])
            met.add(domain.name)
        text = phrase.format_map(classes)
        return text.replace("the a ", "a ").replace("the an ", "an ").replace("|", "/").replace(">", "")

    def _taken(self) -> str:
        need, rng = self._need, self._rng
        used: set[str] = set()
        pair = next((pair for pair in combinations(need.inputs, 2) if _alike(need, *pair)), ())
        joined = pair if rng.below(_PERCENT) < _JOINED else ()
        taken = [self._argument(name, domain, used) for name, domain in need.inputs.items() if name not in joined]
        if joined:
            taken.append(f"{_fresh(load_vocabulary().joined, 'pair', used, rng)}={'+'.join(joined)}")
        return " ".join(taken)

    def _argument(self, name: str, domain: Domain, used: set[str]) -> str:
        rng = self._rng
        words = load_vocabulary().inputs.get(name) or load_vocabulary().arguments[domain.name]
        own = _fresh(words, name, used, rng)
        return f"{own}={name}{self._convention(name, domain)}"

    def _convention(self, name: str, domain: Domain) -> str:
        rng = self._rng
        ways = {"unit": ("metric", "celsius"), "day": ("offset",)}.get(name, ())
        if isinstance(domain, Names) and domain.terms == names_of("currency"):
            ways = ("lower",)
        return f"~{rng.pick(ways)}" if ways and rng.below(_PERCENT) < _CONVENTIONS else ""

    def _given(self) -> str:
        rng = self._rng
        used: set[str] = set()
        outputs = [*self._need.outputs]
        if rng.below(4) == 0:
            outputs = rng.sample(outputs, len(outputs))
        keys = [f"{_fresh(load_vocabulary().results.get(name, (name,)), name, used, rng)}={name}" for name in outputs]
        if rng.below(_PERCENT) < _WRAPPED:
            keys.insert(0, f"@{rng.pick(load_vocabulary().wrappers)}")
        return " ".join(keys)


def _any_word(rng: RandomStream) -> str:
    """A word without meaning here, a pseudoword, or letters."""
    match rng.below(5):
        case 0:
            return "".join(rng.pick(_LETTERS) for _ in range(rng.between(2, 7)))
        case 1 | 2:
            return rng.pick(load_vocabulary().any_words)
        case _:
            return draw_pseudoword(rng)


def _alike(need: Need, one: str, other: str) -> bool:
    """True for two required inputs with the same description."""
    return need.inputs[one].description == need.inputs[other].description and not {one, other} & set(need.defaults)


def _fresh(words: Sequence[str], otherwise: str, used: set[str], rng: RandomStream) -> str:
    """One of the words that is not used yet; earlier ones are likelier."""
    left = [word for word in words if word not in used] or [otherwise]
    word = rng.pick(left[: 1 + rng.below(len(left))])
    used.add(word)
    return word


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


@cache
def _all_words() -> tuple[str, ...]:
    """Words of the documents and replies of all needs."""
    described = {
        word for phrases in load_vocabulary().descriptions.values() for phrase in phrases for word in _plain(phrase)
    }
    results = {word for words in load_vocabulary().results.values() for word in words if "_" not in word}
    return tuple(sorted(described | results))


def _words(need: Need) -> tuple[str, ...]:
    """Words of the phrases about a need."""
    phrases = (
        *load_vocabulary().descriptions.get(need.name, ()),
        *(noun for template in need.templates for noun in template.nouns),
    )
    return tuple(sorted({word for phrase in phrases for word in _plain(phrase)}))


def _plain(phrase: str) -> list[str]:
    return [word for word in phrase.lower().split() if word.isascii() and word.isalpha() and len(word) > 3]
