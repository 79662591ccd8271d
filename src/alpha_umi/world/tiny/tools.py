"""Tools of the tiny world."""

from __future__ import annotations

from collections.abc import Mapping

from alpha_umi.types import Json, ToolSpec
from alpha_umi.world.catalogue import Catalogue
from alpha_umi.world.reading import Reader, Words
from alpha_umi.world.tiny import names as known
from alpha_umi.world.tiny.needs import NEEDS
from alpha_umi.world.tools import Seen, Tool, read_renamings

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
    """Read a tool.

    `names`: "own=canonical ..." of the arguments, " -> ", the same of the results; equal names stand once.
    """
    taken, _, given = names.partition(" -> ")
    arguments, results = read_renamings(taken), read_renamings(given)
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
        served_need=NEEDS[need],
        arguments=arguments,
        results=results,
        seen=seen,
    )


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

_UNITS = {
    "C": ("C", "°C", "° C", "degrees C", "degrees Celsius", "degree Celsius", "Celsius"),
    "F": ("F", "°F", "° F", "degrees F", "degrees Fahrenheit", "degree Fahrenheit", "Fahrenheit"),
    "km/h": ("km/h", "kmh", "kph", "kilometers per hour", "kilometres per hour"),
    "pieces": ("pieces", "piece", "units", "unit", "items", "item"),
    "days": ("days", "day"),
    "pages": ("pages", "page"),
    "USD": ("USD", "US dollars", "dollars", "$"),
    "EUR": ("EUR", "euros", "euro", "€"),
}
_NAMES = {
    **known.TERMS,
    **{
        domain: (*known.TERMS[domain], *unknown_entities) for domain, unknown_entities in known.UNKNOWN_ENTITIES.items()
    },
}
_NAMES["city"] = (*_NAMES["city"], *known.FORMER_NAMES)

CATALOGUE = Catalogue.of(
    NEEDS,
    TOOLS.values(),
    known.DOMAINS,
    Reader(Words(names=_NAMES, currencies=known.TERMS["currency"], units=_UNITS)),
)
