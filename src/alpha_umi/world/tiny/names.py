"""Names of the tiny world, and the facts about them that never change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alpha_umi.world.domains import Amounts, Codes, Names


@dataclass(frozen=True, slots=True, kw_only=True)
class City:
    """Facts of a city that never change."""

    country: str
    currency: str
    airport: str


def _city(country: str, currency: str, airport: str) -> City:
    return City(country=country, currency=currency, airport=airport)


CITIES: Mapping[str, City] = {
    "Athens": _city("Greece", "EUR", "ATH"),
    "Beijing": _city("China", "CNY", "PEK"),
    "Berlin": _city("Germany", "EUR", "BER"),
    "Boston": _city("USA", "USD", "BOS"),
    "Cairo": _city("Egypt", "EGP", "CAI"),
    "Chennai": _city("India", "INR", "MAA"),
    "Dublin": _city("Ireland", "EUR", "DUB"),
    "Istanbul": _city("Turkey", "TRY", "IST"),
    "Kolkata": _city("India", "INR", "CCU"),
    "Lima": _city("Peru", "PEN", "LIM"),
    "Lisbon": _city("Portugal", "EUR", "LIS"),
    "London": _city("Britain", "GBP", "LHR"),
    "Madrid": _city("Spain", "EUR", "MAD"),
    "Mumbai": _city("India", "INR", "BOM"),
    "Oslo": _city("Norway", "NOK", "OSL"),
    "Paris": _city("France", "EUR", "CDG"),
    "Prague": _city("Czechia", "CZK", "PRG"),
    "Quito": _city("Ecuador", "USD", "UIO"),
    "Rome": _city("Italy", "EUR", "FCO"),
    "Sydney": _city("Australia", "AUD", "SYD"),
    "Tokyo": _city("Japan", "JPY", "HND"),
    "Toronto": _city("Canada", "CAD", "YYZ"),
    "Vienna": _city("Austria", "EUR", "VIE"),
    "Warsaw": _city("Poland", "PLN", "WAW"),
    "Zurich": _city("Switzerland", "CHF", "ZRH"),
}
FORMER_NAMES: Mapping[str, str] = {
    "Bombay": "Mumbai",
    "Calcutta": "Kolkata",
    "Christiania": "Oslo",
    "Constantinople": "Istanbul",
    "Madras": "Chennai",
    "Peking": "Beijing",
}
"""Names that tools refuse, saying the new one."""

RATES: Mapping[str, float] = {
    "AUD": 1.5, "CAD": 1.4, "CHF": 0.9, "CNY": 7.2, "CZK": 23, "EGP": 48, "EUR": 0.9, "GBP": 0.8, "INR": 83,
    "JPY": 150, "NOK": 10.6, "PEN": 3.7, "PLN": 4, "TRY": 32, "USD": 1,
}  # fmt: skip
"""Approximate worth of one US dollar; the rate of a moment lies within a tenth of it."""

SKIES = ("clear", "cloudy", "foggy", "rainy", "snowy", "stormy", "sunny", "hazy")
PEOPLE = (
    "Ana", "Boris", "Carla", "David", "Elena", "Felix", "Grace", "Hugo", "Irene", "Jonas", "Karin", "Leo",
    "Maria", "Nadia", "Oscar", "Petra", "Ravi", "Sofia", "Tomas", "Vera",
)  # fmt: skip
COMPANIES = ("Altera", "Borealis", "Cobalt", "Dynamo", "Everest", "Fabrika", "Granit", "Helios", "Indigo", "Juniper")
JOBS = ("baker", "cook", "driver", "engineer", "lawyer", "nurse", "painter", "pilot", "teacher", "writer")
ITEMS = (
    "backpack", "blanket", "camera", "chair", "clock", "desk", "guitar", "helmet", "jacket", "kettle", "lamp",
    "mirror", "pillow", "radio", "tent", "watch",
)  # fmt: skip
HOTELS = ("Anchor", "Bellevue", "Crown", "Fountain", "Harbor", "Imperial", "Lantern", "Meridian", "Orchid", "Savoy")
BOOKS: Mapping[str, str] = {
    "Dracula": "Stoker", "Emma": "Austen", "Faust": "Goethe", "Hamlet": "Shakespeare", "Kim": "Kipling",
    "Nana": "Zola", "Persuasion": "Austen", "Ulysses": "Joyce", "Candide": "Voltaire", "Walden": "Thoreau",
}  # fmt: skip

UNKNOWN_ENTITIES: Mapping[str, tuple[str, ...]] = {
    "city": ("Atlantis", "Avalon", "Camelot", "Gotham"),
    "person": ("Zoltan", "Xenia", "Ugo", "Wanda"),
    "item": ("dragon", "flux", "gizmo", "unicorn"),
    "book": ("Nemo", "Zorro"),
}
"""Domain -> plausible names that are none of it."""

TERMS: Mapping[str, tuple[str, ...]] = {
    "city": tuple(CITIES),
    "country": tuple(dict.fromkeys(city.country for city in CITIES.values())),
    "currency": tuple(RATES),
    "airport": tuple(city.airport for city in CITIES.values()),
    "sky": SKIES,
    "person": PEOPLE,
    "company": COMPANIES,
    "job": JOBS,
    "item": ITEMS,
    "hotel": HOTELS,
    "book": tuple(BOOKS),
    "author": tuple(dict.fromkeys(BOOKS.values())),
}
"""Every name that an answer may hold, by domain."""

CITY = Names(name="city", terms=tuple(CITIES), former=FORMER_NAMES, unknown_entities=UNKNOWN_ENTITIES["city"])
UNIT = Names(name="unit", terms=("C", "F"))
AIRPORT = Names(name="airport", terms=TERMS["airport"])
AMOUNT = Amounts(name="amount")
CURRENCY = Names(name="currency", terms=TERMS["currency"])
COMPANY = Names(name="company", terms=COMPANIES)
PERSON = Names(name="person", terms=PEOPLE, unknown_entities=UNKNOWN_ENTITIES["person"])
ITEM = Names(name="item", terms=ITEMS, unknown_entities=UNKNOWN_ENTITIES["item"])
CODE = Codes(name="code", of=ITEM)
BOOK = Names(name="book", terms=tuple(BOOKS), unknown_entities=UNKNOWN_ENTITIES["book"])
AUTHOR = Names(name="author", terms=TERMS["author"])
DOMAINS = (CITY, UNIT, AIRPORT, AMOUNT, CURRENCY, COMPANY, PERSON, ITEM, CODE, BOOK, AUTHOR)
