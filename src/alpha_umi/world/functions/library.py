"""Library of the functions world: all domains, what each split draws from, and which needs are alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from hashlib import blake2b
from importlib.resources import files
from pathlib import Path
from typing import TypeAlias, TypeVar

from alpha_umi.world.functions.needs import Chain, DomainNeeds, FunctionNeed, read_domain
from alpha_umi.world.functions.splits import Split
from alpha_umi.world.functions.templates import Template
from alpha_umi.world.random_streams import random_bits

CODE_VERSION = "4"
"""Changes with any code that changes a task; the version of the world also changes with its data."""
_HELD_OUT_DOMAINS, _HELD_OUT_WORDINGS = 7, 8
"""One of so many is kept back for tests."""
_SMALL_WORDS = frozenset(
    [
        "a",
        "an",
        "the",
        "of",
        "for",
        "to",
        "in",
        "on",
        "by",
        "from",
        "with",
        "and",
        "or",
        "my",
        "is",
        "get",
        "set",
        "new",
        "all",
    ]
)
Entry = TypeVar("Entry")
Owned: TypeAlias = tuple[DomainNeeds, Entry]


@dataclass(frozen=True)
class SplitDomains:
    """Domains and wordings that one split draws from."""

    split: Split
    domains: Mapping[str, DomainNeeds]

    @cached_property
    def needs(self) -> tuple[Owned[FunctionNeed], ...]:
        return tuple((domain, need) for domain in self.domains.values() for need in domain.needs.values())

    def templates(self, templates: Sequence[Template]) -> list[Template]:
        """The templates of the split among those of one list."""
        return [each for each in templates if self.takes(each.text, alone=len(templates) < 2)]

    def takes(self, text: str, *, alone: bool = False) -> bool:
        """True for a text of the split; one that stands `alone` in its list is trained on."""
        if self.split is Split.UNSEEN_NEEDS:
            return True
        return (_is_held_out(text) and not alone) is (self.split is Split.UNSEEN_WORDING)

    @cached_property
    def asking(self) -> tuple[Owned[FunctionNeed], ...]:
        """Needs with requests of the split."""
        return tuple((domain, need) for domain, need in self.needs if self.templates(need.queries))

    @cached_property
    def incomplete(self) -> tuple[Owned[tuple[FunctionNeed, str]], ...]:
        """Needs with a required parameter that requests leave out."""
        return tuple(
            (domain, (need, name))
            for domain, need in self.needs
            for name, templates in need.missing.items()
            if self.templates(templates)
        )

    @cached_property
    def several(self) -> tuple[Owned[FunctionNeed], ...]:
        """Needs with requests for several values."""
        found = ((domain, need) for domain, need in self.needs if self._several(need))
        return tuple(found)

    def _several(self, need: FunctionNeed) -> list[Template]:
        return [each for each in self.templates(need.several) if each.several]

    def chains(self, *, turns: bool) -> tuple[Owned[Chain], ...]:
        """Chains asked for in one text, or with one for each step."""
        return self._turned if turns else self._plain

    @cached_property
    def _plain(self) -> tuple[Owned[Chain], ...]:
        return tuple(self._chains(turns=False))

    @cached_property
    def _turned(self) -> tuple[Owned[Chain], ...]:
        return tuple(self._chains(turns=True))

    def _chains(self, *, turns: bool) -> list[Owned[Chain]]:
        return [
            (domain, chain)
            for domain in self.domains.values()
            for chain in domain.chains
            if self.chain_queries(chain, turns=turns)
        ]

    def chain_queries(self, chain: Chain, *, turns: bool) -> list[tuple[Template, ...]]:
        """The texts of the split that ask for a chain."""
        alone = len(chain.queries) < 2
        return [
            texts for texts in chain.queries if (len(texts) > 1) is turns and self.takes(texts[0].text, alone=alone)
        ]

    @cached_property
    def outside(self) -> tuple[Owned[str], ...]:
        """Requests that none of their domain's needs serves."""
        return tuple((domain, text) for domain in self.domains.values() for text in domain.outside if self.takes(text))


@cache
def _is_held_out(wording: str) -> bool:
    return random_bits("wording", wording) % _HELD_OUT_WORDINGS == 0


@dataclass(frozen=True)
class Library:
    """All domains of the world."""

    domains: Mapping[str, DomainNeeds]
    _by_split: dict[Split, SplitDomains] = field(default_factory=dict[Split, SplitDomains])

    def of_split(self, split: Split) -> SplitDomains:
        """Domains and wordings of a split."""
        if split not in self._by_split:
            unseen = split is Split.UNSEEN_NEEDS
            domains = {name: each for name, each in self.domains.items() if (name in self.held_out) is unseen}
            self._by_split[split] = SplitDomains(split, domains)
        return self._by_split[split]

    @cached_property
    def held_out(self) -> frozenset[str]:
        """Domains that training never meets; at least one."""
        ranked = sorted(self.domains, key=lambda name: random_bits("held out", name))
        return frozenset(ranked[: max(1, len(ranked) // _HELD_OUT_DOMAINS)])


@cache
def content_words(need: FunctionNeed) -> frozenset[str]:
    """Content words of a need's names, without endings."""
    words = (word for name in need.names for word in name.split())
    return frozenset(word.rstrip("s") for word in words if word not in _SMALL_WORDS)


@cache
def might_serve(other: FunctionNeed, need: FunctionNeed) -> bool:
    """True where a need of another domain might do the same, as far as names tell."""
    mine, its = content_words(need), content_words(other)
    return 3 * len(mine & its) >= min(len(mine), len(its))


@cache
def load_library() -> Library:
    """The domains that come with the package. Raises DataError for a file that cannot be read."""
    domains = [read_domain(path) for path in _paths()]
    return Library({domain.name: domain for domain in domains})


@cache
def version() -> str:
    """Version of the world, which changes with any of its files of data."""
    digest = blake2b(digest_size=4)
    for path in (*_paths(), Path(str(files("alpha_umi.world.functions") / "pools.toml"))):
        digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return f"{CODE_VERSION}.{digest.hexdigest()}"


def _paths() -> list[Path]:
    return sorted(Path(str(files("alpha_umi.world.functions") / "data")).glob("*.toml"))
