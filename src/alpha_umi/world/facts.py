"""What is true in the world. Every tool reads the same facts, so what one tool finds the others know.

Two sorts: facts that hold for ever (a city, its country, currency and airport: those are real), and facts that
change (weather, prices, where somebody is: those are invented). A task has its own moment, and the changing facts
are drawn anew for it, so that no model can know them by heart: it has to read what the tools say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alpha_umi.world.chance import drawn, drawn_between, drawn_from


@dataclass(frozen=True, slots=True, kw_only=True)
class City:
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

_RATES: Mapping[str, float] = {
    "AUD": 1.5, "CAD": 1.4, "CHF": 0.9, "CNY": 7.2, "CZK": 23, "EGP": 48, "EUR": 0.9, "GBP": 0.8, "INR": 83,
    "JPY": 150, "NOK": 10.6, "PEN": 3.7, "PLN": 4, "TRY": 32, "USD": 1,
}  # fmt: skip
"""What one US dollar is worth, about; the rate of a moment lies within a tenth of it."""

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
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"

STRANGERS: Mapping[str, tuple[str, ...]] = {
    "city": ("Atlantis", "Avalon", "Camelot", "Gotham"),
    "person": ("Zoltan", "Xenia", "Ugo", "Wanda"),
    "item": ("dragon", "flux", "gizmo", "unicorn"),
    "book": ("Nemo", "Zorro"),
}
"""Plausible names that nobody in the world knows, by domain."""

TERMS: Mapping[str, tuple[str, ...]] = {
    "city": tuple(CITIES),
    "country": tuple(dict.fromkeys(city.country for city in CITIES.values())),
    "currency": tuple(_RATES),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The world of one seed at one moment. Each fact is drawn from its own key, when it is asked for."""

    seed: int
    moment: str

    def _between(self, low: int, high: int, *key: str) -> int:
        return drawn_between(low, high, self.seed, self.moment, *key)

    def _from(self, options: tuple[str, ...], *key: str) -> str:
        return drawn_from(options, self.seed, self.moment, *key)

    def temperature(self, city: str, unit: str) -> int:
        """Whole degrees, unit C or F."""
        celsius = self._between(-9, 39, "temperature", city)
        return celsius if unit == "C" else round(celsius * 9 / 5 + 32)

    def sky(self, city: str) -> str:
        return self._from(SKIES, "sky", city)

    def wind(self, city: str) -> int:
        """km/h"""
        return self._between(2, 69, "wind", city)

    def hotel(self, city: str) -> str:
        return self._from(HOTELS, "hotel", city)

    def night(self, city: str) -> int:
        """What a night in the hotel costs, USD."""
        return self._between(31, 299, "night", city)

    def fare(self, origin: str, destination: str) -> int:
        """Between two airports, USD."""
        return self._between(41, 989, "fare", origin, destination)

    def flight(self, origin: str, destination: str) -> int:
        """The number of the flight."""
        return self._between(101, 989, "flight", origin, destination)

    def converted(self, amount: float, source: str, target: str) -> int:
        """In whole units of `target`, rounded half up."""
        worth = amount * self._rate(target) / self._rate(source)
        return int(worth + 0.5)

    def _rate(self, currency: str) -> float:
        return _RATES[currency] * self._between(91, 109, "rate", currency) / 100 if currency != "USD" else 1.0

    def share(self, company: str) -> int:
        """USD"""
        return self._between(11, 499, "share", company)

    def whereabouts(self, person: str) -> str:
        return self._from(tuple(CITIES), "whereabouts", person)

    def phone(self, person: str) -> int:
        return self._between(1001, 9989, "phone", person)

    def company(self, person: str) -> str:
        return self._from(COMPANIES, "company", person)

    def job(self, person: str) -> str:
        return self._from(JOBS, "job", person)

    def code(self, item: str) -> str:
        """The article number of an item: a letter and two digits, another for every item."""
        offset = drawn(self.seed, self.moment, "code")
        place = (offset + ITEMS.index(item) * 37) % (90 * len(_LETTERS))
        return f"{_LETTERS[place % len(_LETTERS)]}{10 + place // len(_LETTERS)}"

    def item(self, code: str) -> str | None:
        """The inverse of `code`."""
        return next((item for item in ITEMS if self.code(item) == code), None)

    def price(self, item: str) -> int:
        """USD"""
        return self._between(12, 199, "price", item)

    def stock(self, item: str) -> int:
        return self._between(1, 89, "stock", item)

    def delivery(self, item: str, city: str) -> int:
        """Days."""
        return self._between(2, 29, "delivery", item, city)

    def pages(self, book: str) -> int:
        return self._between(90, 899, "pages", book)
