"""Needs of the tiny world."""

from __future__ import annotations

from collections.abc import Mapping

from alpha_umi.world.needs import (
    Need,
    OutputRule,
    code_of,
    constant,
    converted_amount,
    input_value,
    random_name,
    random_number,
    random_temperature,
    table_value,
)
from alpha_umi.world.tiny import names
from alpha_umi.world.tiny.names import CITIES

_USD: Mapping[str, OutputRule] = {"currency": constant("USD")}

NEEDS: Mapping[str, Need] = {
    need.name: need
    for need in (
        Need(
            name="city",
            goal="the country of {city}",
            inputs={"city": names.CITY},
            outputs={
                "country": table_value({name: city.country for name, city in CITIES.items()}, "city"),
                "currency": table_value({name: city.currency for name, city in CITIES.items()}, "city"),
            },
        ),
        Need(
            name="airport",
            goal="the airport of {city}",
            inputs={"city": names.CITY},
            outputs={"airport": table_value({name: city.airport for name, city in CITIES.items()}, "city")},
        ),
        Need(
            name="weather",
            goal="the weather of {city}",
            inputs={"city": names.CITY, "unit": names.UNIT},
            outputs={
                "temperature": random_temperature("temperature", "city"),
                "unit": input_value("unit"),
                "sky": random_name("sky", names.SKIES, "city"),
            },
            defaults={"unit": "C"},
        ),
        Need(
            name="wind",
            goal="the wind of {city}",
            inputs={"city": names.CITY},
            outputs={"speed": random_number("wind", 2, 69, "city"), "unit": constant("km/h")},
        ),
        Need(
            name="flight",
            goal="the flight from {origin} to {destination}",
            inputs={"origin": names.AIRPORT, "destination": names.AIRPORT},
            outputs={
                "flight": random_number("flight", 101, 989, "origin", "destination"),
                "price": random_number("fare", 41, 989, "origin", "destination"),
                **_USD,
            },
        ),
        Need(
            name="hotel",
            goal="the hotel of {city}",
            inputs={"city": names.CITY},
            outputs={
                "hotel": random_name("hotel", names.HOTELS, "city"),
                "price": random_number("night", 31, 299, "city"),
                **_USD,
            },
        ),
        Need(
            name="convert",
            goal="{amount} {source} in {target}",
            inputs={"amount": names.AMOUNT, "source": names.CURRENCY, "target": names.CURRENCY},
            outputs={"amount": converted_amount(names.RATES), "currency": input_value("target")},
        ),
        Need(
            name="share",
            goal="the share of {company}",
            inputs={"company": names.COMPANY},
            outputs={"price": random_number("share", 11, 499, "company"), **_USD},
        ),
        Need(
            name="locate",
            goal="the city of {person}",
            inputs={"person": names.PERSON},
            outputs={"city": random_name("whereabouts", tuple(CITIES), "person")},
        ),
        Need(
            name="phone",
            goal="the phone of {person}",
            inputs={"person": names.PERSON},
            outputs={"phone": random_number("phone", 1001, 9989, "person")},
        ),
        Need(
            name="work",
            goal="the job of {person}",
            inputs={"person": names.PERSON},
            outputs={
                "job": random_name("job", names.JOBS, "person"),
                "company": random_name("company", names.COMPANIES, "person"),
            },
        ),
        Need(
            name="item",
            goal="the price of {item}",
            inputs={"item": names.ITEM},
            outputs={"code": code_of(names.CODE, "item"), "price": random_number("price", 12, 199, "item"), **_USD},
        ),
        Need(
            name="stock",
            goal="the stock of {code}",
            inputs={"code": names.CODE},
            outputs={"stock": random_number("stock", 1, 89, "code")},
        ),
        Need(
            name="delivery",
            goal="the delivery of {code} to {city}",
            inputs={"code": names.CODE, "city": names.CITY},
            outputs={"days": random_number("delivery", 2, 29, "code", "city")},
        ),
        Need(
            name="book",
            goal="the book {book}",
            inputs={"book": names.BOOK},
            outputs={"author": table_value(names.BOOKS, "book"), "pages": random_number("pages", 90, 899, "book")},
        ),
        Need(
            name="author",
            goal="the city of {author}",
            inputs={"author": names.AUTHOR},
            outputs={"city": random_name("whereabouts", tuple(CITIES), "author")},
        ),
    )
}
