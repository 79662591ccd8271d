"""What can be asked of the world, apart from who answers it: one need, several providers.

A need takes canonical inputs and gives canonical outputs. Tools rename both; tasks, oracle and verifier think in
needs, so a task is right by whichever provider it was done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from alpha_umi.types import Json
from alpha_umi.world.facts import BOOKS, CITIES, FORMER_NAMES, TERMS, Facts

Values = Mapping[str, Json]
_LARGEST_SUM = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An input that the world does not know, and what to say of it."""

    input: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    name: str
    goal: str
    """What it finds, as a noun phrase over the inputs."""
    inputs: Mapping[str, str]
    """Canonical input -> domain of its values; empty where any value of the declared type is known."""
    compute: Callable[[Facts, Mapping[str, str]], Values]
    """Total over known inputs, given as text."""
    defaults: Mapping[str, Json] = field(default_factory=dict[str, Json])
    """Inputs that may be left out."""

    def answer(self, facts: Facts, inputs: Values) -> Values | Refusal:
        known = {**self.defaults, **inputs}
        for name, domain in self.inputs.items():
            refusal = _refuse(facts, name, domain, str(known[name]))
            if refusal is not None:
                return refusal
        return self.compute(facts, {name: str(value) for name, value in known.items()})


def _refuse(facts: Facts, name: str, domain: str, value: str) -> Refusal | None:
    if not domain or value in TERMS.get(domain, ()):
        return None
    if domain == "amount":
        return None if 0 <= float(value) <= _LARGEST_SUM else Refusal(input=name, reason=f"{value} is no sum of money")
    if domain == "code" and facts.item(value) is not None:
        return None
    if domain == "city" and value in FORMER_NAMES:
        return Refusal(input=name, reason=f"{value} is now {FORMER_NAMES[value]}")
    return Refusal(input=name, reason=f"{value} is unknown")


def _weather(facts: Facts, of: Mapping[str, str]) -> Values:
    return {
        "temperature": facts.temperature(of["city"], of["unit"]),
        "unit": of["unit"],
        "sky": facts.sky(of["city"]),
    }


def _hotel(facts: Facts, of: Mapping[str, str]) -> Values:
    return {"hotel": facts.hotel(of["city"]), "price": facts.night(of["city"]), "currency": "USD"}


def _flight(facts: Facts, of: Mapping[str, str]) -> Values:
    between = of["origin"], of["destination"]
    return {"flight": facts.flight(*between), "price": facts.fare(*between), "currency": "USD"}


def _converted(facts: Facts, of: Mapping[str, str]) -> Values:
    amount = facts.converted(float(of["amount"]), of["source"], of["target"])
    return {"amount": amount, "currency": of["target"]}


def _item(facts: Facts, of: Mapping[str, str]) -> Values:
    return {"code": facts.code(of["item"]), "price": facts.price(of["item"]), "currency": "USD"}


def _delivery(facts: Facts, of: Mapping[str, str]) -> Values:
    return {"days": facts.delivery(facts.item(of["code"]) or "", of["city"])}


NEEDS: Mapping[str, Need] = {
    need.name: need
    for need in (
        Need(
            name="city",
            goal="the country of {city}",
            inputs={"city": "city"},
            compute=lambda _, of: {"country": CITIES[of["city"]].country, "currency": CITIES[of["city"]].currency},
        ),
        Need(
            name="airport",
            goal="the airport of {city}",
            inputs={"city": "city"},
            compute=lambda _, of: {"airport": CITIES[of["city"]].airport},
        ),
        Need(
            name="weather",
            goal="the weather of {city}",
            inputs={"city": "city", "unit": ""},
            compute=_weather,
            defaults={"unit": "C"},
        ),
        Need(
            name="wind",
            goal="the wind of {city}",
            inputs={"city": "city"},
            compute=lambda facts, of: {"speed": facts.wind(of["city"]), "unit": "km/h"},
        ),
        Need(
            name="flight",
            goal="the flight from {origin} to {destination}",
            inputs={"origin": "airport", "destination": "airport"},
            compute=_flight,
        ),
        Need(name="hotel", goal="the hotel of {city}", inputs={"city": "city"}, compute=_hotel),
        Need(
            name="convert",
            goal="{amount} {source} in {target}",
            inputs={"amount": "amount", "source": "currency", "target": "currency"},
            compute=_converted,
        ),
        Need(
            name="share",
            goal="the share of {company}",
            inputs={"company": "company"},
            compute=lambda facts, of: {"price": facts.share(of["company"]), "currency": "USD"},
        ),
        Need(
            name="locate",
            goal="the city of {person}",
            inputs={"person": "person"},
            compute=lambda facts, of: {"city": facts.whereabouts(of["person"])},
        ),
        Need(
            name="phone",
            goal="the phone of {person}",
            inputs={"person": "person"},
            compute=lambda facts, of: {"phone": facts.phone(of["person"])},
        ),
        Need(
            name="work",
            goal="the job of {person}",
            inputs={"person": "person"},
            compute=lambda facts, of: {"job": facts.job(of["person"]), "company": facts.company(of["person"])},
        ),
        Need(name="item", goal="the price of {item}", inputs={"item": "item"}, compute=_item),
        Need(
            name="stock",
            goal="the stock of {code}",
            inputs={"code": "code"},
            compute=lambda facts, of: {"stock": facts.stock(facts.item(of["code"]) or "")},
        ),
        Need(
            name="delivery",
            goal="the delivery of {code} to {city}",
            inputs={"code": "code", "city": "city"},
            compute=_delivery,
        ),
        Need(
            name="book",
            goal="the book {book}",
            inputs={"book": "book"},
            compute=lambda facts, of: {"author": BOOKS[of["book"]], "pages": facts.pages(of["book"])},
        ),
        Need(
            name="author",
            goal="the city of {author}",
            inputs={"author": "author"},
            compute=lambda facts, of: {"city": facts.whereabouts(of["author"])},
        ),
    )
}
