"""Requests: a need's query with values in it, and the step that serves it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from alpha_umi.types import Json
from alpha_umi.world.functions.drawing import draw_argument, fitted
from alpha_umi.world.functions.needs import DomainNeeds, Effect, FunctionNeed, Parameter, ParameterType, slots_of
from alpha_umi.world.functions.stores import Books
from alpha_umi.world.functions.templates import OptionalPart, Slot, Template
from alpha_umi.world.functions.wording import word_argument
from alpha_umi.world.random_streams import RandomStream

_TRIES = 20


@dataclass(slots=True, kw_only=True)
class Draft:
    """Arguments of one need as they are drawn for a query."""

    domain: DomainNeeds
    need: FunctionNeed
    rng: RandomStream
    books: Books
    values: dict[str, Json] = field(default_factory=dict[str, Json])
    texts: dict[str, str] = field(default_factory=dict[str, str])

    def put(self, slot: str) -> str:
        """Draw the argument of a slot, once, and word it."""
        if slot not in self.texts:
            parameter = slots_of(self.need.parameters.values())[slot]
            value = self._draw(slot, parameter)
            for _ in range(_TRIES):
                if self._in_order(slot, value):
                    break
                value = self._draw(slot, parameter)
            self.set(slot, value)
        return self.texts[slot]

    def _in_order(self, slot: str, value: Json) -> bool:
        """Test if a date comes after those of the parameters declared before it, and before those after it."""
        dates = [name for name, each in self.need.parameters.items() if each.type is ParameterType.DATE]
        if slot not in dates:
            return True
        at = dates.index(slot)
        earlier = [self.values[name] for name in dates[:at] if name in self.values]
        later = [self.values[name] for name in dates[at + 1 :] if name in self.values]
        return all(str(one) < str(value) for one in earlier) and all(str(value) < str(one) for one in later)

    def set(self, slot: str, value: Json) -> None:
        """Set the argument of a slot, and word it."""
        parameter = slots_of(self.need.parameters.values())[slot]
        name, _, inner = slot.partition(".")
        if inner:
            held = self.values.get(name)
            self.values[name] = {**(held if isinstance(held, dict) else {}), inner: value}
        else:
            self.values[name] = value
        self.texts[slot] = word_argument(self.rng, parameter, value)

    def others(self, slot: str, count: int) -> list[Json]:
        """Different arguments for a slot."""
        parameter = slots_of(self.need.parameters.values())[slot]
        found: list[Json] = []
        for _ in range(20):
            value = self._draw(slot, parameter)
            if value not in found:
                found.append(value)
            if len(found) == count:
                break
        return found

    def _draw(self, slot: str, parameter: Parameter) -> Json:
        """An argument; one that names or finds a record is of one that is there."""
        need = self.need
        if need.store and need.effect is not Effect.CREATE:
            records = self.books.open((self.domain.name, need.store))
            if slot == need.key and records:
                return fitted(self.rng.pick(list(records)), parameter.type)
            found = [record[slot] for record in records.values() if slot in record]
            if not need.key and found and self.rng.below(4):
                return self.rng.pick(found)
        return draw_argument(self.rng, parameter, train=self.books.train)


def options_of(rng: RandomStream, templates: Iterable[Template], chance: int = 55) -> set[str]:
    """Slots whose optional parts appear, each part with a chance in percent."""
    given: set[str] = set()
    for template in templates:
        for part in template.parts:
            if isinstance(part, OptionalPart) and rng.below(100) < chance:
                given |= {inner.name for inner in part.parts if isinstance(inner, Slot)}
    return given


def options_named(need: FunctionNeed, values: Mapping[str, Json]) -> list[str]:
    """Optional parameters among the arguments."""
    return [name for name in values if not need.parameters[name].required]


def fill_query(draft: Draft, template: Template) -> str:
    """Write a query about one need."""
    given = options_of(draft.rng, [template])
    return template.fill(given, draft.put)
