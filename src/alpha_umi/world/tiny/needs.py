"""The needs of the tiny world."""

from __future__ import annotations

from collections.abc import Mapping

from alpha_umi.world.needs import Find, Need, code, converted, fixed, given, looked_up, name_of, number, temperature
from alpha_umi.world.tiny import names
from alpha_umi.world.tiny.names import CITIES

_USD: Mapping[str, Find] = {"currency": fixed("USD")}

NEEDS: Mapping[str, Need] = {
    need.name: need
    for need in (
        Need(
            name="city",
            goal="the country of {city}",
            inputs={"city": names.CITY},
            outputs={
                "country": looked_up({name: city.country for name, city in CITIES.items()}, "city"),
                "currency": looked_up({name: city.currency for name, city in CITIES.items()}, "city"),
            },
        ),
        Need(
            name="airport",
            goal="the airport of {city}",
            inputs={"city": names.CITY},
            outputs={"airport": looked_up({name: city.airport for name, city in CITIES.items()}, "city")},
        ),
        Need(
            name="weather",
            goal="the weather of {city}",
            inputs={"city": names.CITY, "unit": names.UNIT},
            outputs={
                "temperature": temperature("temperature", "city"),
                "unit": given("unit"),
                "sky": name_of("sky", names.SKIES, "city"),
            },
            defaults={"unit": "C"},
        ),
        Need(
            name="wind",
            goal="the wind of {city}",
            inputs={"city": names.CITY},
            outputs={"speed": number("wind", 2, 69, "city"), "unit": fixed("km/h")},
        ),
        Need(
            name="flight",
            goal="the flight from {origin} to {destination}",
            inputs={"origin": names.AIRPORT, "destination": names.AIRPORT},
            outputs={
                "flight": number("flight", 101, 989, "origin", "destination"),
                "price": number("fare", 41, 989, "origin", "destination"),
                **_USD,
            },
        ),
        Need(
            name="hotel",
            goal="the hotel of {city}",
            inputs={"city": names.CITY},
            outputs={
                "hotel": name_of("hotel", names.HOTELS, "city"),
                "price": number("night", 31, 299, "city"),
                **_USD,
            },
        ),
        Need(
            name="convert",
            goal="{amount} {source} in {target}",
            inputs={"amount": names.AMOUNT, "source": names.CURRENCY, "target": names.CURRENCY},
            outputs={"amount": converted(names.RATES), "currency": given("target")},
        ),
        Need(
            name="share",
            goal="the share of {company}",
            inputs={"company": names.COMPANY},
            outputs={"price": number("share", 11, 499, "company"), **_USD},
        ),
        Need(
            name="locate",
            goal="the city of {person}",
            inputs={"person": names.PERSON},
            outputs={"city": name_of("whereabouts", tuple(CITIES), "person")},
        ),
        Need(
            name="phone",
            goal="the phone of {person}",
            inputs={"person": names.PERSON},
            outputs={"phone": number("phone", 1001, 9989, "person")},
        ),
        Need(
            name="work",
            goal="the job of {person}",
            inputs={"person": names.PERSON},
            outputs={
                "job": name_of("job", names.JOBS, "person"),
                "company": name_of("company", names.COMPANIES, "person"),
            },
        ),
        Need(
            name="item",
            goal="the price of {item}",
            inputs={"item": names.ITEM},
            outputs={"code": code(names.CODE, "item"), "price": number("price", 12, 199, "item"), **_USD},
        ),
        Need(
            name="stock",
            goal="the stock of {code}",
            inputs={"code": names.CODE},
            outputs={"stock": number("stock", 1, 89, "code")},
        ),
        Need(
            name="delivery",
            goal="the delivery of {code} to {city}",
            inputs={"code": names.CODE, "city": names.CITY},
            outputs={"days": number("delivery", 2, 29, "code", "city")},
        ),
        Need(
            name="book",
            goal="the book {book}",
            inputs={"book": names.BOOK},
            outputs={"author": looked_up(names.BOOKS, "book"), "pages": number("pages", 90, 899, "book")},
        ),
        Need(
            name="author",
            goal="the city of {author}",
            inputs={"author": names.AUTHOR},
            outputs={"city": name_of("whereabouts", tuple(CITIES), "author")},
        ),
    )
}
