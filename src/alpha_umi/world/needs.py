"""What can be asked of the world, apart from who answers it: one need, several providers.

A need takes canonical inputs and gives canonical outputs. Tools rename both; tasks, oracle and verifier think in
needs, so a task is right by whichever provider it was done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from alpha_umi.types import Json
from alpha_umi.world.domains import Codes, Domain, Unknown
from alpha_umi.world.facts import Facts

Values = Mapping[str, Json]
OutputRule: TypeAlias = Callable[[Facts, Mapping[str, str]], Json]
"""One output from the facts and the inputs, each read as its domain reads it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An input that the world does not know, and what to say of it."""

    input: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerPart:
    """One part of an answer, by the names under which it is known."""

    value: str
    unit: str = ""
    """Of a number; "=text" for a fixed unit. Empty: a name, or a number without unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentTemplate:
    """One thing that users want of a need; texts hold inputs and outputs in braces."""

    answer_parts: tuple[AnswerPart, ...]
    answer: str
    """The sentence that answers."""
    nouns: tuple[str, ...]
    """What is wanted, as noun phrases over the inputs."""
    questions: tuple[str, ...] = ()
    """The same as whole sentences."""
    paraphrases: tuple[str, ...] = ()
    """More whole sentences, for training tasks alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    name: str
    goal: str
    """What it finds, as a noun phrase over the inputs."""
    inputs: Mapping[str, Domain]
    outputs: Mapping[str, OutputRule]
    defaults: Mapping[str, Json] = field(default_factory=dict[str, Json])
    """Inputs that may be left out."""
    templates: tuple[IntentTemplate, ...] = ()
    references: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Output -> noun phrases that stand for it in a query, so that what one need finds is asked of another."""
    reference_domains: Mapping[str, Domain] = field(default_factory=dict[str, Domain])
    """Output of `refs` -> its domain."""
    options: Mapping[str, Mapping[str, tuple[str, ...]]] = field(
        default_factory=dict[str, Mapping[str, tuple[str, ...]]]
    )
    """Input that may be left out -> value other than the default -> how a query says it."""

    def answer(self, facts: Facts, inputs: Values) -> Values | Refusal:
        known: dict[str, str] = {}
        for name, domain in self.inputs.items():
            value = inputs[name] if name in inputs else self.defaults[name]
            read = domain.read(facts, str(value))
            if isinstance(read, Unknown):
                return Refusal(input=name, reason=read.reason)
            known[name] = read
        return {name: find(facts, known) for name, find in self.outputs.items()}


# --- where outputs come from ----------------------------------------------------------------------------


def random_number(key: str, low: int, high: int, *inputs: str) -> OutputRule:
    """A number of `low` to `high` drawn for these inputs."""
    return lambda facts, of: facts.between(low, high, key, *(of[name] for name in inputs))


def random_name(key: str, options: tuple[str, ...], *inputs: str) -> OutputRule:
    """A name drawn for these inputs."""
    return lambda facts, of: facts.pick(options, key, *(of[name] for name in inputs))


def other_name(key: str, options: tuple[str, ...], name: str) -> OutputRule:
    """A name drawn for an input, other than that."""
    return lambda facts, of: facts.pick(tuple(option for option in options if option != of[name]), key, of[name])


def table_value(table: Mapping[str, str | int], name: str) -> OutputRule:
    """What never changes."""
    return lambda _, of: table[of[name]]


def input_value(name: str) -> OutputRule:
    """The input again."""
    return lambda _, of: of[name]


def constant(value: str) -> OutputRule:
    return lambda _facts, _of: value


def code_of(domain: Codes, name: str) -> OutputRule:
    """The code of the name that an input gives."""
    return lambda facts, of: domain.write(facts, of[name])


def random_temperature(key: str, *inputs: str) -> OutputRule:
    """Whole degrees in the unit that the input `unit` asks for, C or F."""

    def find(facts: Facts, of: Mapping[str, str]) -> Json:
        celsius = facts.between(-9, 39, key, *(of[name] for name in inputs))
        return celsius if of["unit"] == "C" else round(celsius * 9 / 5 + 32)

    return find


def random_time(key: str, first: int, last: int, *inputs: str) -> OutputRule:
    """A time of the day between two full hours, on five minutes."""

    def find(facts: Facts, of: Mapping[str, str]) -> str:
        minutes = 5 * facts.between(first * 12, last * 12 - 1, key, *(of[name] for name in inputs))
        return f"{minutes // 60:02}:{minutes % 60:02}"

    return find


def converted_amount(rates: Mapping[str, float]) -> OutputRule:
    """`amount` of `source` in whole units of `target`, rounded half up; `rates`: about what one US dollar is worth.

    The rate of a moment lies within a tenth of it.
    """

    def rate(facts: Facts, currency: str) -> float:
        return rates[currency] * facts.between(91, 109, "rate", currency) / 100 if currency != "USD" else 1.0

    def find(facts: Facts, of: Mapping[str, str]) -> Json:
        return int(float(of["amount"]) * rate(facts, of["target"]) / rate(facts, of["source"]) + 0.5)

    return find
