"""The tools: what each is called, who provides it, how its provider names arguments and results.

A tool is a pure function of (facts, arguments). Which providers are down is not known here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from alpha_umi.arguments import Fault, read_arguments
from alpha_umi.types import Json, Observation, ToolSpec, ToolStatus
from alpha_umi.world.facts import Facts
from alpha_umi.world.needs import NEEDS, Refusal, Values


class Seen(StrEnum):
    """What of a tool may stand in training tasks."""

    YES = "yes"
    NO = "no"
    """Held out, while other tools of its category are not."""
    NO_CATEGORY = "no_category"
    """Its whole category is held out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    spec: ToolSpec
    category: str
    provider: str
    need: str
    arguments: Mapping[str, str]
    """Canonical input -> this provider's name for it, in the order of the schema."""
    results: Mapping[str, str]
    """Canonical output -> this provider's key."""
    seen: Seen

    def run(self, facts: Facts, arguments: str) -> Observation:
        """What the tool answers to JSON text; total over all strings."""
        given = read_arguments(self.spec, arguments)
        if isinstance(given, Fault):
            return Observation(content=given.reason, status=ToolStatus.BAD_ARGUMENTS)
        found = NEEDS[self.need].answer(facts, self.inputs(given))
        if isinstance(found, Refusal):
            reason = f"argument '{self.arguments[found.input]}' is invalid: {found.reason}"
            return Observation(content=reason, status=ToolStatus.BAD_ARGUMENTS)
        return Observation(content=json.dumps({self.results[name]: value for name, value in found.items()}))

    def inputs(self, arguments: Values) -> dict[str, Json]:
        """The canonical inputs of well-formed arguments."""
        return {name: arguments[own] for name, own in self.arguments.items() if own in arguments}

    def outputs(self, content: str) -> dict[str, Json]:
        """The canonical outputs that an OK observation of this tool holds."""
        held = json.loads(content)
        return {name: held[own] for name, own in self.results.items()}


_SCHEMAS: Mapping[str, dict[str, Json]] = {
    "city": {"type": "string", "description": "city"},
    "unit": {"type": "string", "description": "C or F, optional", "enum": ["C", "F"]},
    "origin": {"type": "string", "description": "airport code"},
    "destination": {"type": "string", "description": "airport code"},
    "amount": {"type": "number", "description": "sum"},
    "source": {"type": "string", "description": "currency"},
    "target": {"type": "string", "description": "currency"},
    "company": {"type": "string", "description": "company"},
    "person": {"type": "string", "description": "first name"},
    "item": {"type": "string", "description": "item"},
    "code": {"type": "string", "description": "item code"},
    "book": {"type": "string", "description": "title"},
    "author": {"type": "string", "description": "author"},
}


def _tool(need: str, full_name: str, description: str, names: str, seen: Seen = Seen.YES) -> Tool:
    """`names`: "own=canonical ..." of the arguments, " -> ", the same of the results; equal names stand once."""
    taken, _, given = names.partition(" -> ")
    arguments, results = _renamings(taken), _renamings(given)
    properties: dict[str, Json] = {own: _SCHEMAS[name] for name, own in arguments.items()}
    defaults = NEEDS[need].defaults
    parameters: dict[str, Json] = {
        "type": "object",
        "properties": properties,
        "required": [own for name, own in arguments.items() if name not in defaults],
        "optional": [own for name, own in arguments.items() if name in defaults],
    }
    category, _, name = full_name.partition(".")
    return Tool(
        spec=ToolSpec(name=name, description=description, parameters=parameters),
        category=category,
        provider=name.rpartition("_for_")[2],
        need=need,
        arguments=arguments,
        results=results,
        seen=seen,
    )


def _renamings(names: str) -> dict[str, str]:
    pairs = [name.partition("=") for name in names.split()]
    return {canonical or own: own for own, _, canonical in pairs}


_WEATHER = "temperature unit sky"
_HOTEL = "hotel price currency"
_FLIGHT = "flight price currency"
_ITEM = "code price currency"
_NO, _NO_CATEGORY = Seen.NO, Seen.NO_CATEGORY

TOOLS: Mapping[str, Tool] = {
    tool.spec.name: tool
    for tool in (
        _tool("city", "places.city_for_atlas", "Country and currency of a city.", "city -> country currency"),
        _tool(
            "city",
            "places.place_for_geodex",
            "Nation and money of a place.",
            "name=city -> nation=country money=currency",
        ),
        _tool("airport", "places.airport_for_atlas", "Airport of a city.", "city -> airport"),
        _tool("weather", "weather.weather_for_skycast", "Weather of a city.", f"city unit -> {_WEATHER}"),
        _tool(
            "weather",
            "weather.current_for_meteolab",
            "Current weather at a location.",
            "location=city scale=unit -> degrees=temperature scale=unit condition=sky",
        ),
        _tool(
            "weather",
            "weather.report_for_windrose",
            "Report of the weather in a place.",
            "place=city degrees=unit -> heat=temperature in=unit outlook=sky",
            _NO,
        ),
        _tool("wind", "weather.wind_for_skycast", "Wind of a city.", "city -> speed unit"),
        _tool("flight", "travel.flight_for_flyfinder", "Flight between airports.", f"origin destination -> {_FLIGHT}"),
        _tool(
            "flight",
            "travel.fare_for_aerodeal",
            "Fare of a flight.",
            "from=origin to=destination -> number=flight fare=price currency",
        ),
        _tool("hotel", "travel.hotel_for_staywell", "Hotel in a city.", f"city -> {_HOTEL}"),
        _tool(
            "hotel",
            "travel.room_for_nightly",
            "Room for a night in a town.",
            "town=city -> house=hotel rate=price currency",
        ),
        _tool(
            "hotel",
            "travel.lodging_for_bedly",
            "Lodging at a destination.",
            "destination=city -> lodging=hotel cost=price money=currency",
            _NO,
        ),
        _tool("convert", "money.convert_for_coinflow", "Convert money.", "amount source target -> amount currency"),
        _tool(
            "convert",
            "money.exchange_for_moneta",
            "Exchange of money.",
            "value=amount have=source want=target -> result=amount currency",
        ),
        _tool(
            "convert",
            "money.change_for_cashly",
            "Change of a sum.",
            "sum=amount old=source new=target -> gives=amount of=currency",
            _NO,
        ),
        _tool("share", "money.share_for_tickerly", "Share of a company.", "company -> price currency"),
        _tool("locate", "people.city_for_peoplebook", "City where a person is.", "name=person -> city"),
        _tool("phone", "people.phone_for_peoplebook", "Phone of a person.", "name=person -> phone"),
        _tool("work", "people.job_for_workline", "Job and company of a person.", "person -> job company"),
        _tool("item", "shop.item_for_shopster", "Code and price of an item.", f"item -> {_ITEM}"),
        _tool("item", "shop.product_for_bargain", "Find a product.", "product=item -> id=code cost=price currency"),
        _tool(
            "item",
            "shop.article_for_marketo",
            "Look up an article.",
            "article=item -> number=code amount=price money=currency",
            _NO,
        ),
        _tool("stock", "shop.stock_for_shopster", "Stock of an item.", "code -> stock"),
        _tool("delivery", "shop.delivery_for_shopster", "Delivery of an item to a city.", "code city -> days"),
        _tool("book", "library.book_for_bookhive", "Author of a book.", "title=book -> author pages", _NO_CATEGORY),
        _tool("author", "library.author_for_bookhive", "City of an author.", "author -> city", _NO_CATEGORY),
    )
}
"""By name, in the order in which rivals are tried."""
