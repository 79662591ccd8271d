"""Catalogue of a preset: its needs, the tools that serve them, and the reader of its answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from alpha_umi.types import Json
from alpha_umi.world.domains import Domain, Names
from alpha_umi.world.needs import Need
from alpha_umi.world.reading import Reader
from alpha_umi.world.tools import Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Needs and tools of a world, or of one task."""

    needs: Mapping[str, Need]
    tools: Mapping[str, Tool]
    """By name, in the order in which alternatives are tried."""
    providers: Mapping[str, tuple[Tool, ...]]
    """Need -> its tools in that order."""
    former: Mapping[str, str]
    """Names that tools refuse -> the new ones."""
    unknown_entities: Mapping[str, tuple[str, ...]]
    """Domain -> plausible names that are none of it."""
    reader: Reader
    """Finds quantities and names in an answer."""
    documents: Mapping[tuple[str, str], Mapping[str, Json]]
    """Category and name of a provider -> its tool JSON; empty where the world has none."""

    def offering(self, tools: Iterable[Tool]) -> Catalogue:
        """The same catalogue with other tools, those of one task."""
        offered = {tool.spec.name: tool for tool in tools}
        return replace(self, tools=offered, providers=_by_need(self.needs, offered.values()))

    @classmethod
    def of(
        cls,
        needs: Mapping[str, Need],
        tools: Iterable[Tool],
        domains: Iterable[Domain],
        reader: Reader,
        documents: Mapping[tuple[str, str], Mapping[str, Json]] | None = None,
    ) -> Catalogue:
        """The catalogue of these needs, tools and domains."""
        by_name = {tool.spec.name: tool for tool in tools}
        names = [domain for domain in domains if isinstance(domain, Names)]
        return cls(
            needs=needs,
            tools=by_name,
            providers=_by_need(needs, by_name.values()),
            former={old: new for domain in names for old, new in domain.former.items()},
            unknown_entities={domain.name: domain.unknown_entities for domain in names if domain.unknown_entities},
            reader=reader,
            documents=documents or {},
        )


def _by_need(needs: Iterable[str], tools: Iterable[Tool]) -> dict[str, tuple[Tool, ...]]:
    found = tuple(tools)
    return {need: tuple(tool for tool in found if tool.need == need) for need in needs}
