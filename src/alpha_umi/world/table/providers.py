"""Providers of the table world: tools in ToolBench's sense, each with some APIs, declared one API a line.

    NEED API_NAME: description. | ARGUMENTS -> RESULTS

An argument is OWN=INPUT, or INPUT where both have the same name; A=B+C joins two inputs under one name, ~CONVENTION is
the spelling of values, and "!" makes the argument required. A result is OWN=OUTPUT or OUTPUT; "@KEY" before the results
wraps them under a key ("@KEY[]": as the only item of a list).

An API is declared as ToolBench's tool JSON, and the spec that a model reads is made from that by the same rules as for
any ToolBench tool, so that the world's tools are documented alike in training data, in files and behind a service.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

from alpha_umi.formats.tool_json import Api, argument_name, read_api, standard_name, write_spec
from alpha_umi.types import Json
from alpha_umi.world.domains import Amounts
from alpha_umi.world.needs import Need
from alpha_umi.world.table.names import names_of
from alpha_umi.world.tools import Document, Seen, Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Tool in ToolBench's sense: APIs under one name."""

    name: str
    description: str
    category: str
    seen: Seen
    document: Mapping[str, Json]
    """Its tool JSON."""
    tools: tuple[Tool, ...] = field(default_factory=tuple)


_CONVENTION_DESCRIPTIONS = {
    "metric": "metric (C) or imperial (F)",
    "celsius": "celsius or fahrenheit",
    "offset": "0 for today, 1 for tomorrow",
    "lower": "currency code in lower case",
}
_API = re.compile(r"(?P<need>\w+) (?P<name>\w+): (?P<description>[^|]+) \| (?P<taken>[^>]+) -> (?P<given>.+)")
_ARGUMENT = re.compile(r"(?P<own>\w+)(?:=(?P<inputs>[\w+]+))?(?:~(?P<convention>\w+))?(?P<must>!)?")


@cache
def _conventions() -> Mapping[str, Mapping[str, str]]:
    """Conventions: name -> canonical value -> a provider's spelling of it."""
    return {
        "metric": {"C": "metric", "F": "imperial"},
        "celsius": {"C": "celsius", "F": "fahrenheit"},
        "offset": {"today": "0", "tomorrow": "1"},
        "lower": {code: code.lower() for code in names_of("currency")},
    }


def read_provider(name: str, lines: Iterable[str], category: str, needs: Mapping[str, Need], seen: Seen) -> Provider:
    """The provider whose description and APIs stand in `lines`. Raises ValueError for a line of another form."""
    head, *declared = lines
    label, _, description = head.partition(": ")
    if label != "description":
        raise ValueError(f"{name}: its first line is no description: {head!r}")
    apis = [read_line(line, name, category, needs, seen) for line in declared]
    document: dict[str, Json] = {
        "tool_name": name,
        "tool_description": description,
        "title": name,
        "pricing": "FREE",
        "host": f"{standard_name(name)}.invalid",
        "home_url": f"https://{standard_name(name)}.invalid",
        "api_list": [entry for entry, _ in apis],
    }
    return Provider(
        name=name,
        description=description,
        category=category,
        seen=seen,
        document=document,
        tools=tuple(tool for _, tool in apis),
    )


def read_line(
    line: str, provider: str, category: str, needs: Mapping[str, Need], seen: Seen
) -> tuple[dict[str, Json], Tool]:
    """Read the declaration of one API: its entry in tool JSON, and the tool. Raises ValueError for another form."""
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
            codes |= {name: dict(_conventions()[taken["convention"]]) for name in inputs}
        may_lack = all(name in served.defaults for name in inputs) and not taken["must"]
        (optional if may_lack else required).append(_declare(taken, inputs, served))
    first, *rest = found["given"].split()
    wrapped = first[1:] if first.startswith("@") else ""
    results = [part.partition("=") for part in (rest if wrapped else [first, *rest])]
    entry: dict[str, Json] = {
        "name": found["name"],
        "url": f"https://{standard_name(provider)}.invalid/{found['name']}",
        "description": found["description"].strip(),
        "method": "GET",
        "required_parameters": required,
        "optional_parameters": optional,
        "schema": _schema([own for own, _, _ in results], wrapped),
    }
    tool = Tool(
        spec=write_spec(_api(entry, provider, category)),
        category=category,
        provider=provider,
        served_need=served,
        arguments=arguments,
        results={canonical or own: own for own, _, canonical in results},
        seen=seen,
        codes=codes,
        separator="/",
        document=Document(tool=provider, api=found["name"], entry=entry),
        wrapped=wrapped,
    )
    return entry, tool


def _schema(keys: list[str], wrapped: str) -> Json:
    """The keys of a reply, as tool JSON shows them."""
    flat: dict[str, Json] = dict.fromkeys(keys, "value")
    if not wrapped:
        return flat
    return {wrapped.removesuffix("[]"): [flat] if wrapped.endswith("[]") else flat}


def _declare(taken: re.Match[str], inputs: list[str], served: Need) -> dict[str, Json]:
    text = served.inputs[inputs[0]].description
    alike = [name for name, domain in served.inputs.items() if domain.description == text]
    if len(inputs) > 1:
        text = f"{'/'.join(inputs)}, each a {text}"
    elif len(alike) > 1:
        text = f"{text}, {inputs[0]}"
    if taken["convention"]:
        text = _CONVENTION_DESCRIPTIONS[taken["convention"]] + (f", {inputs[0]}" if len(alike) > 1 else "")
    default = served.defaults.get(inputs[0])
    if default is not None:
        default = _conventions().get(taken["convention"] or "", {}).get(str(default), str(default))
        text = text if taken["must"] else f"{text}, {default} by default"
    number = isinstance(served.inputs[inputs[0]], Amounts) and len(inputs) == 1
    return {"name": taken["own"], "type": "NUMBER" if number else "STRING", "description": text, "default": ""}


def _api(entry: Mapping[str, Json], provider: str, category: str) -> Api:
    return read_api(entry, {"tool_name": provider}, category)
