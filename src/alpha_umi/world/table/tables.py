"""How the tables of the table world are written: needs in a few lines, providers as text, one line per API.

An API is declared as ToolBench's tool JSON, and what a model is told of it is made from that by the same rules as for
any ToolBench tool, so that the world's tools are documented alike in training data, in files and behind a service.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from alpha_umi.formats.tool_json import Api, argument_name, read_api, standard_name, write_spec
from alpha_umi.types import Json
from alpha_umi.world.domains import Amounts
from alpha_umi.world.needs import Ask, Find, Need, Owed
from alpha_umi.world.phrases import phrases
from alpha_umi.world.table.asked import ASKED
from alpha_umi.world.table.names import CURRENCY, DOMAINS
from alpha_umi.world.tools import Document, Seen, Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    name: str
    needs: tuple[Need, ...]
    providers: str
    """Per provider a line "Name: what it is" (a "*" before it holds it out of training), then its APIs, indented:
    "need api_name: description. | arguments -> results"."""
    held_out: bool = False
    """No tool of it may stand in training tasks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A tool in ToolBench's sense: some APIs under one name."""

    name: str
    description: str
    category: str
    seen: Seen
    document: Mapping[str, Json]
    """Its tool JSON."""
    tools: tuple[Tool, ...] = field(default_factory=tuple)


def ask(owed: str, answer: str, nouns: str, questions: str = "") -> Ask:
    """`owed`: "value" or "value:unit" each; nouns and questions stand between bars."""
    parts = (part.partition(":") for part in owed.split())
    return Ask(
        owed=tuple(Owed(value=value, unit=unit) for value, _, unit in parts),
        answer=answer,
        nouns=phrases(nouns),
        questions=phrases(questions),
    )


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def need(
    name: str,
    goal: str,
    inputs: str,
    outputs: Mapping[str, Find],
    *asks: Ask,
    refs: Mapping[str, str] | None = None,
    options: Mapping[str, Mapping[str, str]] | None = None,
) -> Need:
    """`inputs`: "name", "name:domain" or, where it may be left out, "name:domain=default" each.

    `refs`: output, or "output:domain", -> phrases.
    """
    read = [part.partition("=") for part in inputs.split()]
    domains = {label.partition(":")[0]: label.partition(":")[2] or label for label, _, _ in read}
    made = {label.partition(":")[0]: label.partition(":")[2] or label for label in refs or {}}
    return Need(
        name=name,
        goal=goal,
        inputs={label: DOMAINS[domain] for label, domain in domains.items()},
        outputs=outputs,
        defaults={label.partition(":")[0]: default for label, _, default in read if default},
        asks=tuple(
            replace(ask, asked=ASKED.get(f"{name}.{'+'.join(owed.value for owed in ask.owed)}", ())) for ask in asks
        ),
        refs={label.partition(":")[0]: phrases(text) for label, text in (refs or {}).items()},
        makes={label: DOMAINS[domain] for label, domain in made.items()},
        options={
            label: {value: phrases(text) for value, text in choices.items()}
            for label, choices in (options or {}).items()
        },
    )


# --- providers ------------------------------------------------------------------------------------------

_CONVENTIONS: Mapping[str, Mapping[str, str]] = {
    "metric": {"C": "metric", "F": "imperial"},
    "celsius": {"C": "celsius", "F": "fahrenheit"},
    "offset": {"today": "0", "tomorrow": "1"},
    "lower": {code: code.lower() for code in CURRENCY.terms},
}
_CONVENTIONS_TOLD = {
    "metric": "metric (C) or imperial (F)",
    "celsius": "celsius or fahrenheit",
    "offset": "0 for today, 1 for tomorrow",
    "lower": "currency code in lower case",
}
_API = re.compile(r"(?P<need>\w+) (?P<name>\w+): (?P<told>[^|]+) \| (?P<taken>[^>]+) -> (?P<given>.+)")
_ARGUMENT = re.compile(r"(?P<own>\w+)(?:=(?P<inputs>[\w+]+))?(?:~(?P<convention>\w+))?(?P<must>!)?")


def read_providers(category: Category) -> list[Provider]:
    """The providers of a category with their tools. Raises ValueError for a line of another form."""
    needs = {need.name: need for need in category.needs}
    providers: list[Provider] = []
    blocks = re.split(r"\n(?=\S)", "\n".join(line.rstrip() for line in category.providers.strip().splitlines()))
    for block in blocks:
        head, *lines = block.splitlines()
        title, _, description = head.partition(": ")
        seen = Seen.NO_CATEGORY if category.held_out else Seen.NO if title.startswith("*") else Seen.YES
        provider = title.removeprefix("*")
        read = [read_line(line.strip(), provider, category.name, needs, seen) for line in lines]
        document: dict[str, Json] = {
            "tool_name": provider,
            "tool_description": description,
            "title": provider,
            "pricing": "FREE",
            "host": f"{standard_name(provider)}.invalid",
            "home_url": f"https://{standard_name(provider)}.invalid",
            "api_list": [entry for entry, _ in read],
        }
        providers.append(
            Provider(
                name=provider,
                description=description,
                category=category.name,
                seen=seen,
                document=document,
                tools=tuple(tool for _, tool in read),
            )
        )
    return providers


def read_line(
    line: str, provider: str, category: str, needs: Mapping[str, Need], seen: Seen
) -> tuple[dict[str, Json], Tool]:
    found = _API.fullmatch(line)
    if found is None:
        raise ValueError(f"{provider}: not an API: {line!r}")
    served = needs[found["need"]]
    arguments: dict[str, str] = {}
    codes: dict[str, Mapping[str, Json]] = {}
    required: list[Json] = []
    optional: list[Json] = []
    for text in found["taken"].split():
        taken = _ARGUMENT.fullmatch(text)
        if taken is None:
            raise ValueError(f"{provider}: not an argument: {text!r}")
        inputs = (taken["inputs"] or taken["own"]).split("+")
        arguments |= dict.fromkeys(inputs, argument_name(taken["own"]))
        if taken["convention"]:
            codes |= {name: dict(_CONVENTIONS[taken["convention"]]) for name in inputs}
        may_lack = all(name in served.defaults for name in inputs) and not taken["must"]
        (optional if may_lack else required).append(_declare(taken, inputs, served))
    first, *rest = found["given"].split()
    wrapped = first[1:] if first.startswith("@") else ""
    results = [part.partition("=") for part in (rest if wrapped else [first, *rest])]
    entry: dict[str, Json] = {
        "name": found["name"],
        "url": f"https://{standard_name(provider)}.invalid/{found['name']}",
        "description": found["told"].strip(),
        "method": "GET",
        "required_parameters": required,
        "optional_parameters": optional,
        "schema": _schema([own for own, _, _ in results], wrapped),
    }
    tool = Tool(
        spec=write_spec(_api(entry, provider, category)),
        category=category,
        provider=provider,
        need=served.name,
        finds=served,
        arguments=arguments,
        results={canonical or own: own for own, _, canonical in results},
        seen=seen,
        codes=codes,
        joint="/",
        document=Document(tool=provider, api=found["name"], entry=entry),
        wrapped=wrapped,
    )
    return entry, tool


def _schema(keys: list[str], wrapped: str) -> Json:
    """The keys of a reply."""
    flat: dict[str, Json] = dict.fromkeys(keys, "value")
    if not wrapped:
        return flat
    return {wrapped.removesuffix("[]"): [flat] if wrapped.endswith("[]") else flat}


def _declare(taken: re.Match[str], inputs: list[str], served: Need) -> dict[str, Json]:
    told = served.inputs[inputs[0]].told
    alike = [name for name, domain in served.inputs.items() if domain.told == told]
    if len(inputs) > 1:
        told = f"{'/'.join(inputs)}, each a {told}"
    elif len(alike) > 1:
        told = f"{told}, {inputs[0]}"
    if taken["convention"]:
        told = _CONVENTIONS_TOLD[taken["convention"]] + (f", {inputs[0]}" if len(alike) > 1 else "")
    default = served.defaults.get(inputs[0])
    if default is not None:
        default = _CONVENTIONS.get(taken["convention"] or "", {}).get(str(default), str(default))
        told = told if taken["must"] else f"{told}, {default} by default"
    number = isinstance(served.inputs[inputs[0]], Amounts) and len(inputs) == 1
    return {"name": taken["own"], "type": "NUMBER" if number else "STRING", "description": told, "default": ""}


def _api(entry: Mapping[str, Json], provider: str, category: str) -> Api:
    return read_api(entry, {"tool_name": provider}, category)
