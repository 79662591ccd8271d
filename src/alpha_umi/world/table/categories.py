"""Categories of the table world, read from `data/categories/NAME.txt`.

    [category]               name: NAME, and "held out: yes" where no tool of it may stand in training tasks
    [need NAME]              goal: noun phrase over the inputs
                             inputs: NAME, NAME:DOMAIN or, where it may be left out, NAME:DOMAIN=DEFAULT each
                             output NAME: RULE
                             reference OUTPUT or OUTPUT:DOMAIN: noun phrase that stands for the output in a query
                             option INPUT=VALUE: how a query asks for a value other than the default
    [intent NEED.PARTS]      parts: VALUE, VALUE:UNIT or, with a fixed unit, VALUE:=UNIT each
                             answer: sentence; noun: phrase; question: sentence (nouns and questions any number)
    [provider NAME]          description: text; then its APIs as `providers.read_line` reads them
    [held-out provider NAME] the same of a provider that may not stand in training tasks

Rules of outputs, with "by INPUTS" and ", stream KEY" for values drawn at random:

    number LOW..HIGH, clock LOW..HIGH (hours), temperature, name DOMAIN, other DOMAIN (not the input itself)
    column TABLE.COLUMN by INPUT, input INPUT, constant TEXT, code DOMAIN by INPUT, conversion
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from alpha_umi.world.domains import Codes
from alpha_umi.world.needs import (
    AnswerPart,
    IntentTemplate,
    Need,
    OutputRule,
    code_of,
    constant,
    converted_amount,
    input_value,
    other_name,
    random_name,
    random_number,
    random_temperature,
    random_time,
    table_value,
)
from alpha_umi.world.table import names
from alpha_umi.world.table.providers import Provider, read_provider
from alpha_umi.world.table.sections import Sections, load_sections, read_entries
from alpha_umi.world.tools import Seen

CATEGORIES = (
    "Location", "Weather", "Travel", "Finance", "Social", "eCommerce", "Movies", "Books", "Music", "Sports", "Food",
    "Transportation", "Logistics", "Health", "Education",
)  # fmt: skip
"""In the order in which a preset lists them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """Category of ToolBench: needs and their providers."""

    name: str
    needs: Mapping[str, Need]
    """By name."""
    providers: tuple[Provider, ...]


@cache
def load_category(name: str) -> Category:
    """Load a category. Raises ValueError where its file has another form."""
    sections = load_sections(f"categories/{name.lower()}")
    needs: dict[str, Need] = {}
    providers: list[Provider] = []
    head = dict(read_entries(sections["category"]))
    for title, lines in sections.items():
        kind, _, label = title.rpartition(" ")
        match kind:
            case "need":
                needs[label] = _read_need(label, lines, sections)
            case "provider" | "held-out provider":
                seen = Seen.NO_CATEGORY if "held out" in head else Seen.NO if kind != "provider" else Seen.YES
                providers.append(read_provider(label, lines, name, needs, seen))
            case "intent" if label.partition(".")[0] in needs:
                pass
            case "" if label == "category":
                pass
            case _:
                raise ValueError(f"data/categories: {name} has an unknown section [{title}]")
    return Category(name=head["name"], needs=needs, providers=tuple(providers))


def _read_need(name: str, lines: Iterable[str], sections: Sections) -> Need:
    goal = ""
    inputs: list[tuple[str, str, str]] = []
    outputs: dict[str, OutputRule] = {}
    references: dict[str, tuple[str, ...]] = {}
    reference_domains: dict[str, str] = {}
    options: dict[str, dict[str, tuple[str, ...]]] = {}
    for entry, text in read_entries(lines):
        key, _, label = entry.partition(" ")
        match key:
            case "goal":
                goal = text
            case "inputs":
                inputs = [_read_input(part) for part in text.split()]
            case "output":
                outputs[label] = _read_rule(text)
            case "reference":
                output, domain = _read_label(label)
                references[output] = (*references.get(output, ()), text)
                reference_domains[output] = domain
            case "option":
                option, _, value = label.partition("=")
                choices = options.setdefault(option, {})
                choices[value] = (*choices.get(value, ()), text)
            case _:
                raise ValueError(f"the need {name} has an unknown entry {entry!r}")
    domains = names.load_domains()
    return Need(
        name=name,
        goal=goal,
        inputs={label: domains[domain] for label, domain, _ in inputs},
        outputs=outputs,
        defaults={label: default for label, _, default in inputs if default},
        templates=tuple(
            _read_intent(title.removeprefix("intent "), lines)
            for title, lines in sections.items()
            if title.startswith(f"intent {name}.")
        ),
        references=references,
        reference_domains={label: domains[domain] for label, domain in reference_domains.items()},
        options=options,
    )


def _read_label(text: str) -> tuple[str, str]:
    """Name and domain."""
    name, _, domain = text.partition(":")
    return name, domain or name


def _read_input(text: str) -> tuple[str, str, str]:
    """Name, domain and default."""
    label, _, default = text.partition("=")
    return *_read_label(label), default


def _read_intent(title: str, lines: Iterable[str]) -> IntentTemplate:
    entries: dict[str, list[str]] = {}
    for key, text in read_entries(lines):
        entries.setdefault(key, []).append(text)
    parts = (part.partition(":") for part in entries["parts"][0].split())
    return IntentTemplate(
        answer_parts=tuple(AnswerPart(value=value, unit=unit) for value, _, unit in parts),
        answer=entries["answer"][0],
        nouns=tuple(entries["noun"]),
        questions=tuple(entries.get("question", ())),
        paraphrases=tuple(load_sections("paraphrases").get(title, ())),
    )


def _read_rule(text: str) -> OutputRule:
    rule, _, key = text.partition(", stream ")
    left, _, right = rule.partition(" by ")
    kind, _, of = left.partition(" ")
    inputs = right.split()
    match kind:
        case "number":
            return random_number(key, *names.read_range(of), *inputs)
        case "clock":
            return random_time(key, *names.read_range(of), *inputs)
        case "temperature":
            return random_temperature(key, *inputs)
        case "name":
            return random_name(key, names.names_of(of), *inputs)
        case "other":
            return other_name(key, names.names_of(of), *inputs)
        case "column":
            return table_value(names.load_columns()[of], *inputs)
        case "input":
            return input_value(of)
        case "constant":
            return constant(of)
        case "code" if isinstance(domain := names.load_domains()[of], Codes):
            return code_of(domain, *inputs)
        case "conversion":
            return converted_amount(names.load_rates())
        case _:
            raise ValueError(f"{text!r} is no rule of an output")
