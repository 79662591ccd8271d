"""Domains of the table world's values, and the facts about them that never change.

`data/facts.txt` holds tables with a header, whose first column is the key. A section of `data/domains.txt` is a domain:

    description: words of a document for such an argument
    names: A, B, C      or  column: TABLE.COLUMN    or  amounts: LOW..HIGH
    codes of: DOMAIN    with digits: LOW..HIGH, stride: N and mention: phrase of a query, with {}
    former: OLD = NEW, ...    names that tools refuse with a message that has the new one
    unknown: A, B             plausible names that are no names of the domain
    vague: A, B               mentions that leave open which one is meant
    words: proper | ordinary  names that answers are searched for; ordinary ones are also everyday words
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from alpha_umi.world.domains import Amounts, Codes, Domain, Names
from alpha_umi.world.table.sections import load_sections, read_entries, read_list

_Entries = Mapping[str, str]


@cache
def load_columns() -> Mapping[str, Mapping[str, str | int]]:
    """Columns of the facts: "table.column" -> key of the row -> value; digits alone are read as a number."""
    columns: dict[str, dict[str, str | int]] = {}
    for table, (header, *lines) in load_sections("facts").items():
        rows = [_read_row(line) for line in lines]
        for place, column in enumerate(_read_row(header)):
            columns[f"{table}.{column}"] = {row[0]: _read_cell(row[place]) for row in rows}
    return columns


@cache
def load_rates() -> Mapping[str, float]:
    """Exchange rates: currency -> about what one US dollar is worth."""
    return {currency: float(rate) for currency, rate in load_columns()["currency.rate"].items()}


@cache
def load_domains() -> Mapping[str, Domain]:
    """Domains by name. Raises ValueError for a section that describes none."""
    domains: dict[str, Domain] = {}
    for name, entries in _load_entries().items():
        domains[name] = _read_domain(name, entries, domains)
    return domains


@cache
def load_proper_names() -> Mapping[str, tuple[str, ...]]:
    """Domain -> its names, former and unknown ones included, for domains whose names are nothing but names."""
    return _load_names("proper")


@cache
def load_ordinary_names() -> Mapping[str, tuple[str, ...]]:
    """Domain -> its names, for domains whose names are everyday words too."""
    return _load_names("ordinary")


def names_of(domain: str) -> tuple[str, ...]:
    """The names of a domain. Raises ValueError where it has none."""
    found = load_domains()[domain]
    if not isinstance(found, Names):
        raise ValueError(f"the domain {domain} has no list of names")
    return found.terms


@cache
def _load_entries() -> Mapping[str, _Entries]:
    return {name: dict(read_entries(lines)) for name, lines in load_sections("domains").items()}


def _load_names(words: str) -> dict[str, tuple[str, ...]]:
    domains = load_domains()
    named = {name: domains[name] for name, entries in _load_entries().items() if entries.get("words") == words}
    return {
        name: (*domain.terms, *domain.former, *domain.unknown_entities)
        for name, domain in named.items()
        if isinstance(domain, Names)
    }


def _read_domain(name: str, entries: _Entries, known: Mapping[str, Domain]) -> Domain:
    description, vague = entries.get("description", ""), _list_of(entries, "vague")
    if "amounts" in entries:
        low, high = read_range(entries["amounts"])
        return Amounts(name=name, low=low, high=high, description=description, vague=vague)
    if "codes of" in entries:
        of = known[entries["codes of"]]
        if not isinstance(of, Names):
            raise ValueError(f"the domain {name} holds codes of {of.name}, which has no names")
        low, high = read_range(entries["digits"])
        return Codes(
            name=name,
            of=of,
            low=low,
            count=high - low + 1,
            stride=int(entries["stride"]),
            description=description,
            mention=entries["mention"],
            vague=vague,
        )
    if "column" in entries:
        terms = tuple(dict.fromkeys(str(value) for value in load_columns()[entries["column"]].values()))
    else:
        terms = _list_of(entries, "names")
    former = dict(pair.split(" = ") for pair in _list_of(entries, "former"))
    unknown_entities = _list_of(entries, "unknown")
    return Names(
        name=name, terms=terms, former=former, unknown_entities=unknown_entities, description=description, vague=vague
    )


def _list_of(entries: _Entries, key: str) -> tuple[str, ...]:
    return read_list(entries[key]) if key in entries else ()


def read_range(text: str) -> tuple[int, int]:
    """Read "LOW..HIGH", both included."""
    low, _, high = text.partition("..")
    return int(low), int(high)


def _read_row(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("|")]


def _read_cell(cell: str) -> str | int:
    return int(cell) if cell.isdecimal() else cell
