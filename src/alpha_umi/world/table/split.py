"""Split of queries into training and tests, by a hash of the plan and of the names in it.

A test query is in the test split in every way to ask it: in either order of its intents, by a name's old form or its
new one. So none of its equivalents is a training query.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from alpha_umi.types import Json
from alpha_umi.world.needs import Values
from alpha_umi.world.random_streams import random_bits
from alpha_umi.world.table.plans import Derived, Intent, Slot, Source

TEST_ODDS = 5
"""One query of this many is for tests."""


def is_for_training(name: str, values: Values) -> bool:
    """True for queries of the training split.

    `name`: of the kind of task; `values`: of the slots, as the query names them.
    """
    return not _is_for_tests(name, values)


def is_for_tests(intents: Sequence[Intent], values: Values, former: Mapping[str, str]) -> bool:
    """True for queries of the test split, in all equivalent forms.

    `former`: old names -> new names.
    """
    return all(_is_for_tests(name, named) for name, named in _equivalents(intents, values, former))


def _is_for_tests(name: str, values: Values) -> bool:
    return random_bits("side", name, *(f"{label}={value}" for label, value in values.items())) % TEST_ODDS == 0


def _equivalents(intents: Sequence[Intent], values: Values, former: Mapping[str, str]) -> Iterator[tuple[str, Values]]:
    """Names of kinds and values of all forms of a query: the order of its intents, old and new names."""
    for order in (intents, intents[::-1])[: len(intents)]:
        name, labels = " & ".join(intent.signature for intent in order), _labels(order)
        for named in _naming_variants(values, former):
            yield name, {label: named[slot] for slot, label in labels.items()}


def _naming_variants(values: Values, former: Mapping[str, str]) -> Iterator[dict[str, Json]]:
    """The values with new names, and with one of them in each of its old forms."""
    today: dict[str, Json] = {label: former.get(str(value), value) for label, value in values.items()}
    yield today
    for label, value in today.items():
        for old in (old for old, new in former.items() if new == value):
            yield {**today, label: old}


def _labels(intents: Sequence[Intent]) -> dict[str, str]:
    """Slot -> its label in a plan whose intents are drawn in this order."""
    labels: dict[str, str] = {}

    def visit(name: str, source: Source) -> None:
        match source:
            case Slot(name=slot) if slot not in labels:
                labels[slot] = name if name not in labels.values() else f"{name}{len(labels)}"
            case Derived(node=node):
                for below, given in node.inputs.items():
                    visit(below, given)
            case _:
                pass

    for intent in intents:
        for name, source in intent.last.inputs.items():
            visit(name, source)
    return labels
