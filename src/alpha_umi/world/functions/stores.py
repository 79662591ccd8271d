"""Books of a branch: what tools find, and the records that they create, change and cancel."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from alpha_umi.types import Json
from alpha_umi.world.functions.drawing import Values, draw_argument, draw_value
from alpha_umi.world.functions.needs import DomainNeeds, Effect, FunctionNeed
from alpha_umi.world.functions.tools import InventedTool, with_defaults
from alpha_umi.world.functions.values import Pattern, Range, Records, ValueKind
from alpha_umi.world.random_streams import RandomStream

Key: TypeAlias = tuple[str, str]
"""Domain and store."""
_FIRST_RECORDS = 3
_COUNTS = ("count", "total", "number", "total_count")
"""Results that count the records listed beside them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Refusal of a call."""

    reason: str


@dataclass(slots=True, kw_only=True)
class Books:
    """Records of the stores along one branch."""

    key: tuple[int, str]
    """Seed and task, of which all that is found is a function."""
    train: bool
    domains: Mapping[str, DomainNeeds]
    records: dict[Key, dict[str, dict[str, Json]]] = field(default_factory=dict[Key, dict[str, dict[str, Json]]])
    """Store -> key of a record -> the record; filled when first opened."""
    cancelled: set[tuple[Key, str]] = field(default_factory=set[tuple[Key, str]])
    created: int = 0

    def run(self, tool: InventedTool, values: Values, arguments: str) -> dict[str, Json] | Refusal:
        """Results of a need with all its arguments; `arguments` is their canonical text. Changes the records."""
        need = tool.need
        if not need.store:
            return self._find(tool.domain, need, values, arguments)
        store = (tool.domain, need.store)
        records = self.open(store)
        match need.effect:
            case Effect.CREATE:
                return self._create(store, need, values, arguments)
            case Effect.READ if not need.key:
                return self._list(store, need, values, arguments)
            case _:
                pass
        key = str(values[need.key])
        if (store, key) in self.cancelled or not self._may_exist(store, key):
            return Refusal(reason=f"no {need.store.replace('_', ' ')} {key} was found")
        record = records.setdefault(key, {})
        found = self._find(tool.domain, need, values, arguments)
        if need.effect is Effect.READ:
            return {name: record.get(name, value) for name, value in found.items()}
        if need.effect is Effect.CANCEL:
            del records[key]
            self.cancelled.add((store, key))
            return {name: record.get(name, value) for name, value in found.items()}
        found |= {name: record[name.partition("_")[2]] for name in found if _names_former(name, record)}
        record |= {**values, **found}
        return found

    def open(self, store: Key) -> dict[str, dict[str, Json]]:
        """The records of a store; some are there before the first call."""
        if store not in self.records:
            self.records[store] = dict(self._first_records(store))
        return self.records[store]

    def _first_records(self, store: Key) -> dict[str, dict[str, Json]]:
        rng = RandomStream(*self.key, "records", *store)
        create, kind = self._creator(store), self._key_kind(store)
        found: dict[str, dict[str, Json]] = {}
        for _ in range(_FIRST_RECORDS if kind is not None else 0):
            assert kind is not None  # noqa: S101
            key = draw_value(rng, kind, train=self.train)
            record: dict[str, Json] = {}
            if create is not None:
                given = {
                    name: draw_argument(rng, of, train=self.train)
                    for name, of in create.parameters.items()
                    if of.required
                }
                record = {**with_defaults(create, given), **self._draw(rng, create, given), create.key: key}
            found[str(key)] = record
        return found

    def _create(self, store: Key, need: FunctionNeed, values: Values, arguments: str) -> dict[str, Json]:
        self.created += 1
        results = self._find(store[0], need, values, f"{arguments}{self.created}")
        if need.key:
            self.records[store][str(results[need.key])] = {**values, **results}
        return results

    def _list(self, store: Key, need: FunctionNeed, values: Values, arguments: str) -> dict[str, Json]:
        create = self._creator(store)
        fields = [*create.parameters] if create is not None else []
        name = create.key if create is not None else "id"
        listed: list[Json] = [
            {name: record.get(name, key), **{field: record[field] for field in fields if field in record}}
            for key, record in self.records[store].items()
            if all(record.get(asked, value) == value for asked, value in values.items())
        ]
        results = self._find(store[0], need, values, arguments)
        for result, kind in need.results.items():
            if isinstance(kind, Records):
                results[result] = listed
            elif result in _COUNTS and isinstance(kind, Range):
                results[result] = len(listed)
        return results

    def _find(self, domain: str, need: FunctionNeed, values: Values, arguments: str) -> dict[str, Json]:
        """Results by the hash of the arguments."""
        return self._draw(RandomStream(*self.key, "results", domain, need.id, arguments), need, values)

    def _draw(self, rng: RandomStream, need: FunctionNeed, values: Values) -> dict[str, Json]:
        """Draw results; one with the name of an argument repeats it."""
        found = {name: draw_value(rng, kind, train=self.train) for name, kind in need.results.items()}
        return {name: values.get(name, value) for name, value in found.items()}

    def _creator(self, store: Key) -> FunctionNeed | None:
        needs = self.domains[store[0]].needs.values()
        return next((need for need in needs if need.store == store[1] and need.effect is Effect.CREATE), None)

    def _key_kind(self, store: Key) -> ValueKind | None:
        """Kind of the keys of a store."""
        for need in self.domains[store[0]].needs.values():
            if need.store == store[1] and need.key:
                if need.effect is Effect.CREATE:
                    return need.results[need.key]
                return need.parameters[need.key].values
        return None

    def _may_exist(self, store: Key, key: str) -> bool:
        """True for a known key, and for one of the right form: somebody else may have made that record."""
        kind = self._key_kind(store)
        return key in self.records[store] or not isinstance(kind, Pattern) or bool(_pattern(kind).fullmatch(key))


def _names_former(name: str, record: Values) -> bool:
    """True for a result such as `old_day` beside the `day` of a record."""
    lead, _, rest = name.partition("_")
    return lead in ("old", "former", "previous") and rest in record


def _pattern(kind: Pattern) -> re.Pattern[str]:
    parts = {"A": "[A-Z]", "9": r"[0-9]"}
    return re.compile("".join(parts.get(char, re.escape(char)) for char in kind.pattern))
