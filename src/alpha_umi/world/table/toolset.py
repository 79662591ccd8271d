"""Toolset of a preset: its tools by split, and the plans that they allow."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from alpha_umi.types import Json
from alpha_umi.world.catalogue import Catalogue
from alpha_umi.world.domains import Codes, Names
from alpha_umi.world.facts import Facts
from alpha_umi.world.needs import IntentTemplate, Need, Refusal
from alpha_umi.world.reading import Reader, Words
from alpha_umi.world.table.categories import CATEGORIES, Category, load_category
from alpha_umi.world.table.names import load_domains, load_ordinary_names, load_proper_names, names_of
from alpha_umi.world.table.plans import Scope
from alpha_umi.world.table.providers import Provider
from alpha_umi.world.table.sections import load_sections, read_entries, read_list
from alpha_umi.world.table.wording import normalized_words
from alpha_umi.world.tools import Seen, Tool


class TestSet(StrEnum):
    """ToolBench's six test sets: number of tools that a query needs, and unseen part."""

    __test__ = False

    G1_INSTRUCTION = "G1_instruction"
    """New queries for one seen tool."""
    G1_TOOL = "G1_tool"
    """One tool that training never offers, of a category that it knows."""
    G1_CATEGORY = "G1_category"
    """One tool of a category that training never offers."""
    G2_INSTRUCTION = "G2_instruction"
    """New queries for several seen tools of one category."""
    G2_CATEGORY = "G2_category"
    """Several tools of a category that training never offers."""
    G3_INSTRUCTION = "G3_instruction"
    """New queries for seen tools of several categories."""


class Group(StrEnum):
    """Number of tools that a query needs: one; several of one category; several of several categories."""

    G1 = "G1"
    G2 = "G2"
    G3 = "G3"


_LITERAL = r"[A-Z]\d{2,4}|\d{1,2}:\d{2}"


@cache
def _reader() -> Reader:
    return Reader(
        Words(
            names={**load_proper_names(), **load_ordinary_names()},
            ordinary=frozenset(load_ordinary_names()),
            currencies=names_of("currency"),
            units={unit: read_list(spellings) for unit, spellings in read_entries(load_sections("units")["units"])},
            literal=_LITERAL,
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pool:
    """Tools and plans for the queries of one split."""

    scopes: Mapping[Group, tuple[tuple[Scope, tuple[Tool, ...]], ...]]
    """Group -> scopes of plans with their tools: one per provider, per category, or one for all."""
    alternatives: Mapping[str, tuple[Tool, ...]]
    """Need -> tools that may stand beside the one that is used."""
    others: tuple[Tool, ...]
    """Tools that may be offered without need."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Toolset:
    """Tools of some categories, with a pool for each split."""

    catalogue: Catalogue
    providers: tuple[Provider, ...]
    value_kinds: Mapping[tuple[str, int], frozenset[str]]
    """Need and number of its template -> kinds of required values. Two of one kind in an answer could be confused."""
    categories: Mapping[str, Category]
    held_out_documents: frozenset[str]
    """Normalized words of the documents of tools that are held out of training."""

    def pool(self, split: str) -> Pool:
        """Tools and plans for the queries of a split; made when first needed."""
        return _pool(self, Seen.YES if split == "train" else _UNSEEN.get(TestSet(split), Seen.YES))

    @classmethod
    def of(cls, categories: Iterable[str]) -> Toolset:
        """The toolset of these categories."""
        wanted = set(categories)
        chosen = [load_category(name) for name in CATEGORIES if name in wanted]
        providers = tuple(provider for category in chosen for provider in category.providers)
        needs = {name: need for category in chosen for name, need in category.needs.items()}
        tools = [tool for provider in providers for tool in provider.tools]
        documents = {(provider.category, provider.name): provider.document for provider in providers}
        catalogue = Catalogue.of(needs, tools, load_domains().values(), _reader(), documents)
        value_kinds = {
            (need.name, number): _value_kinds(need, template)
            for need in needs.values()
            for number, template in enumerate(need.templates)
        }
        return cls(
            catalogue=catalogue,
            providers=providers,
            value_kinds=value_kinds,
            categories={category.name: category for category in chosen},
            held_out_documents=frozenset(
                normalized_words(str(tool.document.entry["description"])) for tool in tools if tool.seen is not Seen.YES
            ),
        )


_UNSEEN = {
    TestSet.G1_TOOL: Seen.NO,
    TestSet.G1_CATEGORY: Seen.NO_CATEGORY,
    TestSet.G2_CATEGORY: Seen.NO_CATEGORY,
}
"""Test sets with unseen tools -> the tools that their queries need."""


@cache
def _pool(toolset: Toolset, seen: Seen) -> Pool:
    mine = [provider for provider in toolset.providers if provider.seen is seen]
    tools = tuple(tool for provider in mine for tool in provider.tools)
    categories = dict.fromkeys(provider.category for provider in mine)
    by_category = [tuple(tool for tool in tools if tool.category == category) for category in categories]
    scopes = {
        Group.G1: tuple((_scope(provider.tools), provider.tools) for provider in mine),
        Group.G2: tuple((_scope(some), some) for some in by_category if len({tool.provider for tool in some}) > 1),
        Group.G3: ((_scope(tools), tools),),
    }
    alternatives = {
        need: tuple(tool for tool in served if tool.seen in (seen, Seen.YES))
        for need, served in toolset.catalogue.providers.items()
    }
    others = tuple(tool for tool in toolset.catalogue.tools.values() if tool.seen in (seen, Seen.YES))
    return Pool(scopes=scopes, alternatives=alternatives, others=others)


def _scope(tools: Iterable[Tool]) -> Scope:
    return Scope.of({tool.need: tool.served_need for tool in tools}.values())


def _value_kinds(need: Need, template: IntentTemplate) -> frozenset[str]:
    sample = need.answer(Facts(seed=0, moment="sample"), _sample_inputs(need))
    if isinstance(sample, Refusal):
        raise ValueError(f"{need.name} refuses its own names: {sample.reason}")
    return frozenset(_value_kind(need, part.value, part.unit, sample[part.value]) for part in template.answer_parts)


def _sample_inputs(need: Need) -> dict[str, Json]:
    facts = Facts(seed=0, moment="sample")
    sample: dict[str, Json] = {}
    for name, domain in need.inputs.items():
        if isinstance(domain, Codes):
            sample[name] = domain.write(facts, domain.of.terms[0])
        else:
            sample[name] = domain.terms[0] if isinstance(domain, Names) else domain.low
    return sample


def _value_kind(need: Need, value: str, unit: str, sample: Json) -> str:
    if unit:
        return unit
    if not isinstance(sample, str):
        return "number"
    if value in need.reference_domains:
        return need.reference_domains[value].name
    return "literal" if re.fullmatch(_LITERAL, sample) else value
