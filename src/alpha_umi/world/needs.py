"""Needs: operations of the world, each served by tools of several providers.

A need takes canonical inputs and gives canonical outputs. Tools rename both; tasks, oracle and verifier use needs
alone, so that a task may be done with any provider.
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
    """Refusal of an input that the world does not know."""

    input: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerPart:
    """A required value of an answer, by the names under which it and its unit are known."""

    value: str
    unit: str = ""
    """Name under which the unit of a number is known; "=text" for a fixed one. Empty: a name, or no unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentTemplate:
    """Template of one thing that users ask of a need; its texts hold inputs and outputs in braces."""

    answer_parts: tuple[AnswerPart, ...]
    answer: str
    """The sentence that answers."""
    nouns: tuple[str, ...]
    """Noun phrases over the inputs for the wanted values."""
    questions: tuple[str, ...] = ()
    """The same as whole sentences."""
    paraphrases: tuple[str, ...] = ()
    """More whole sentences, for training tasks alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """An operation of the world: inputs with their domains, outputs with their rules, and templates of queries."""

    name: str
    goal: str
    """Noun phrase over the inputs for the result."""
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
    """Optional input -> value other than the default -> phrases of queries for it."""

    def answer(self, facts: Facts, inputs: Values) -> Values | Refusal:
        """Compute the outputs of these inputs."""
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
    """Rule: a number from `low` to `high`, drawn for these inputs."""
    return lambda facts, of: facts.between(low, high, key, *(of[name] for name in inputs))


def random_name(key: str, options: tuple[str, ...], *inputs: str) -> OutputRule:
    """Rule: one of the options, drawn for these inputs."""
    return lambda facts, of: facts.pick(options, key, *(of[name] for name in inputs))


def other_name(key: str, options: tuple[str, ...], name: str) -> OutputRule:
    """Rule: one of the options other than the input, drawn for it."""
    return lambda facts, of: facts.pick(tuple(option for option in options if option != of[name]), key, of[name])


def table_value(table: Mapping[str, str | int], name: str) -> OutputRule:
    """Rule: the value of an input in a table; it never changes."""
    return lambda _, of: table[of[name]]


def input_value(name: str) -> OutputRule:
    """Rule: the input itself."""
    return lambda _, of: of[name]


def constant(value: str) -> OutputRule:
    """Rule: a fixed text."""
    return lambda _facts, _of: value


def code_of(domain: Codes, name: str) -> OutputRule:
    """Rule: the code of a name."""
    return lambda facts, of: domain.write(facts, of[name])


def random_temperature(key: str, *inputs: str) -> OutputRule:
    """Rule: whole degrees in the unit that the input `unit` names, C or F, drawn for these inputs."""

    def find(facts: Facts, of: Mapping[str, str]) -> Json:
        celsius = facts.between(-9, 39, key, *(of[name] for name in inputs))
        return celsius if of["unit"] == "C" else round(celsius * 9 / 5 + 32)

    return find


def random_time(key: str, first: int, last: int, *inputs: str) -> OutputRule:
    """Rule: a time of the day (HH:MM, in steps of five minutes) between two full hours, drawn for these inputs."""

    def find(facts: Facts, of: Mapping[str, str]) -> str:
        minutes = 5 * facts.between(first * 12, last * 12 - 1, key, *(of[name] for name in inputs))
        return f"{minutes // 60:02}:{minutes % 60:02}"

    return find


def converted_amount(rates: Mapping[str, float]) -> OutputRule:
    """Rule: `amount` of `source` in whole units of `target`, rounded half up.

    `rates`: about what one US dollar is worth; the rate of a moment lies within a tenth of it.
    """

    def rate(facts: Facts, currency: str) -> float:
        return rates[currency] * facts.between(91, 109, "rate", currency) / 100 if currency != "USD" else 1.0

    def find(facts: Facts, of: Mapping[str, str]) -> Json:
        return int(float(of["amount"]) * rate(facts, of["target"]) / rate(facts, of["source"]) + 0.5)

    return find
