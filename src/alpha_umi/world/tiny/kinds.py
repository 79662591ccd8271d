"""Kinds of tasks of the tiny world."""

from __future__ import annotations

from collections.abc import Mapping

from alpha_umi.world.kinds import Kind, Step
from alpha_umi.world.needs import AnswerPart


def _step(need: str, *bindings: str, keep: str = "", goal: str = "") -> Step:
    return Step(need=need, inputs=_pairs(bindings), keep=_pairs(keep.split()), goal=goal)


def _pairs(bindings: tuple[str, ...] | list[str]) -> dict[str, str]:
    """Read "a" as a: a, "a:b" as a: b."""
    split = [binding.partition(":") for binding in bindings]
    return {name: other or name for name, _, other in split}


def _kind(name: str, slots: str, steps: tuple[Step, ...], queries: str, answer: str) -> Kind:
    """Read a kind. `answer`: its parts, as "value" or "value:unit", then ": " and the sentence."""
    parts, _, sentence = answer.partition(": ")
    return Kind(
        name=name,
        slots=_pairs(slots.split()),
        steps=steps,
        queries=tuple(line.strip() for line in queries.strip().splitlines()),
        answer=sentence,
        answer_parts=tuple(
            AnswerPart(value=value, unit=unit) for value, _, unit in (part.partition(":") for part in parts.split())
        ),
    )


_CITY = _step("city", "city")
_WEATHER = _step("weather", "city")
_HOTEL = _step("hotel", "city")
_LOCATE = _step("locate", "person")
_ITEM = _step("item", "item")
_CODE = _step("item", "item", goal="the code of {item}")
_FROM = _step("airport", "city:start", keep="airport:origin")
_TO = _step("airport", "city:end", keep="airport:destination")
_FLIGHT = _step("flight", "origin", "destination")
_IN_TARGET = _step("convert", "amount:price", "source:currency", "target", keep="amount:sum currency:target")
_IN_LOCAL = _step("convert", "amount:price", "source:paid", "target:currency", keep="amount:sum")
_ITEM_IN_USD = _step("item", "item", keep="currency:paid")
_HOTEL_IN_USD = _step("hotel", "city", keep="currency:paid")

_ONE_CALL = (
    _kind(
        "weather",
        "city",
        (_WEATHER,),
        """What is the weather in {city}?
        How is the weather in {city} now?
        Tell me the weather of {city}.
        Give me the weather for {city}, please.
        I want to know the weather in {city}.
        Is the weather good in {city} today?""",
        "temperature:unit sky: It is {temperature} {unit} and {sky} in {city}.",
    ),
    _kind(
        "weather_in_f",
        "city",
        (_step("weather", "city", "unit:=F", goal="the weather of {city} in F"),),
        """What is the weather in {city} in F?
        How is the weather in {city} now, in F?
        Tell me the weather of {city} in F.
        Give me the weather for {city} in F, please.
        I want to know the weather in {city} in F.
        Is the weather good in {city} today, in F?""",
        "temperature:unit sky: It is {temperature} {unit} and {sky} in {city}.",
    ),
    _kind(
        "wind",
        "city",
        (_step("wind", "city"),),
        """How strong is the wind in {city}?
        What is the wind in {city}?
        Tell me the wind of {city}.
        Give me the wind for {city}, please.
        I want to know the wind in {city}.
        Is there much wind in {city} today?""",
        "speed:unit: The wind in {city} is {speed} {unit}.",
    ),
    _kind(
        "country",
        "city",
        (_CITY,),
        """Which country is {city} in?
        What is the country of {city}?
        Tell me the country of {city}.
        In which country is {city}?
        I want to know the country of {city}.
        Give me the country for {city}, please.""",
        "country: {city} is in {country}.",
    ),
    _kind(
        "currency",
        "city",
        (_step("city", "city", goal="the currency of {city}"),),
        """Which currency does {city} use?
        What is the currency of {city}?
        Tell me the currency of {city}.
        Which currency do I need in {city}?
        I want to know the currency of {city}.
        Give me the currency for {city}, please.""",
        "currency: The currency of {city} is {currency}.",
    ),
    _kind(
        "airport",
        "city",
        (_step("airport", "city"),),
        """Which airport does {city} have?
        What is the airport of {city}?
        Tell me the airport of {city}.
        Give me the airport for {city}, please.
        I want to know the airport of {city}.
        What is the code of the airport in {city}?""",
        "airport: The airport of {city} is {airport}.",
    ),
    _kind(
        "hotel",
        "city",
        (_HOTEL,),
        """Find a hotel in {city}.
        I need a hotel in {city}.
        Which hotel is there in {city} and what does it cost?
        Give me a hotel for {city}, please.
        Tell me a hotel of {city} with its price.
        I want to sleep in a hotel in {city}.""",
        "hotel price:currency: The hotel {hotel} in {city} costs {price} {currency}.",
    ),
    _kind(
        "convert",
        "amount source:currency target:currency",
        (_step("convert", "amount", "source", "target", keep="amount:sum currency:target"),),
        """How much is {amount} {source} in {target}?
        What is {amount} {source} in {target}?
        Convert {amount} {source} to {target}.
        Change {amount} {source} into {target}, please.
        I want to know {amount} {source} in {target}.
        I have {amount} {source}. How much is it in {target}?""",
        "sum:target: {amount} {source} is {sum} {target}.",
    ),
    _kind(
        "share",
        "company",
        (_step("share", "company"),),
        """What does a share of {company} cost?
        How much is the share of {company}?
        Tell me the share of {company}.
        Give me the share for {company}, please.
        I want to know the share of {company}.
        I want to buy a share of {company}. How much is it?""",
        "price:currency: The share of {company} costs {price} {currency}.",
    ),
    _kind(
        "phone",
        "person",
        (_step("phone", "person"),),
        """What is the phone of {person}?
        How can I phone {person}?
        Tell me the phone of {person}.
        Give me the phone for {person}, please.
        I want to know the phone of {person}.
        I want to phone {person}.""",
        "phone: The phone of {person} is {phone}.",
    ),
    _kind(
        "locate",
        "person",
        (_LOCATE,),
        """Where is {person}?
        In which city is {person}?
        Tell me the city of {person}.
        Where can I find {person}?
        I want to know the city of {person}.
        Where is {person} now, please?""",
        "city: {person} is in {city}.",
    ),
    _kind(
        "work",
        "person",
        (_step("work", "person"),),
        """What is the job of {person} and at which company?
        What does {person} do and for which company?
        Tell me the job and the company of {person}.
        Give me the job and the company for {person}, please.
        I want to know the job and the company of {person}.
        Where does {person} work and as what?""",
        "job company: {person} works as {job} at {company}.",
    ),
    _kind(
        "item",
        "item",
        (_ITEM,),
        """What does a {item} cost?
        How much is the {item}?
        Tell me the price of a {item}.
        Give me the price for a {item}, please.
        I want to know the price of the {item}.
        I want to buy a {item}. How much is it?""",
        "price:currency: The {item} costs {price} {currency}.",
    ),
)

_TWO_CALLS = (
    _kind(
        "weather_of_person",
        "person",
        (_LOCATE, _WEATHER),
        """What is the weather where {person} is?
        How is the weather now where {person} is?
        Tell me the weather where I find {person}.
        Find {person} and give me the weather there.
        I want to know the weather where {person} is.
        {person} is on a trip. How is the weather there?""",
        "temperature:unit sky: It is {temperature} {unit} and {sky} in {city}.",
    ),
    _kind(
        "hotel_of_person",
        "person",
        (_LOCATE, _HOTEL),
        """Find a hotel where {person} is.
        I need a hotel where {person} is.
        Which hotel is there where {person} is and what does it cost?
        Find {person} and give me a hotel there.
        I want to sleep in a hotel where {person} is.
        {person} is on a trip and needs a hotel there.""",
        "hotel price:currency: The hotel {hotel} in {city} costs {price} {currency}.",
    ),
    _kind(
        "stock",
        "item",
        (_CODE, _step("stock", "code")),
        """How many pieces of the {item} are in stock?
        Is the {item} in stock and how many?
        Tell me the stock of the {item}.
        Give me the stock for the {item}, please.
        I want to know the stock of the {item}.
        I want to buy a {item}. How many are in stock?""",
        "stock:=pieces: There are {stock} pieces of the {item} in stock.",
    ),
    _kind(
        "delivery",
        "item city",
        (_CODE, _step("delivery", "code", "city")),
        """How long does a {item} take to {city}?
        When will a {item} be in {city}?
        Tell me the delivery of a {item} to {city}.
        Send a {item} to {city}. How long does it take?
        I want to know the delivery of a {item} to {city}.
        I am in {city} and want a {item}. How long does it take?""",
        "days:=days: The {item} takes {days} days to {city}.",
    ),
    _kind(
        "share_of_person",
        "person",
        (_step("work", "person"), _step("share", "company")),
        """What does a share of the company of {person} cost?
        How much is the share of the company where {person} works?
        Tell me the share of the company of {person}.
        Find the company of {person} and give me its share.
        I want to know the share of the company of {person}.
        I want to buy a share of the company of {person}.""",
        "company price:currency: The share of {company} costs {price} {currency}.",
    ),
    _kind(
        "item_in_currency",
        "item target:foreign",
        (_ITEM, _IN_TARGET),
        """What does a {item} cost in {target}?
        How much is the {item} in {target}?
        Tell me the price of a {item} in {target}.
        Give me the price for a {item} in {target}, please.
        I want to know the price of the {item} in {target}.
        I want to buy a {item}. How much is it in {target}?""",
        "sum:target: The {item} costs {sum} {target}.",
    ),
    _kind(
        "hotel_in_currency",
        "city target:foreign",
        (_HOTEL, _IN_TARGET),
        """Find a hotel in {city} with its price in {target}.
        I need a hotel in {city}. How much is it in {target}?
        What does a hotel in {city} cost in {target}?
        Give me a hotel for {city} in {target}, please.
        Tell me the price of a hotel of {city} in {target}.
        I want to know what a hotel in {city} costs in {target}.""",
        "hotel sum:target: The hotel {hotel} in {city} costs {sum} {target}.",
    ),
    _kind(
        "weather_and_hotel",
        "city",
        (_WEATHER, _HOTEL),
        """What is the weather in {city} and which hotel is there?
        Find a hotel in {city} and tell me the weather.
        Tell me the weather of {city} and a hotel.
        Give me the weather and a hotel for {city}, please.
        I want to know the weather in {city} and a hotel.
        I will go to {city}. How is the weather and which hotel is there?""",
        "temperature:unit sky hotel price:currency: It is {temperature} {unit} and {sky} in {city}. "
        "The hotel {hotel} costs {price} {currency}.",
    ),
)

_THREE_CALLS = (
    _kind(
        "flight",
        "start:city end:city",
        (_FROM, _TO, _FLIGHT),
        """Find a flight from {start} to {end}.
        I need a flight from {start} to {end}.
        What does a flight from {start} to {end} cost?
        Give me a flight from {start} to {end}, please.
        Tell me a flight from {start} to {end} with its price.
        I am in {start} and want to fly to {end}.""",
        "flight price:currency: Flight {flight} from {start} to {end} costs {price} {currency}.",
    ),
    _kind(
        "delivery_to_person",
        "item person",
        (_CODE, _LOCATE, _step("delivery", "code", "city")),
        """How long does a {item} take to where {person} is?
        When will a {item} be where {person} is?
        Tell me the delivery of a {item} to {person}.
        Send a {item} to {person}. How long does it take?
        I want to know the delivery of a {item} to {person}.
        {person} wants a {item}. How long does it take?""",
        "days:=days: The {item} takes {days} days to {city}.",
    ),
    _kind(
        "item_in_local_currency",
        "item city",
        (_ITEM_IN_USD, _step("city", "city", goal="the currency of {city}"), _IN_LOCAL),
        """What does a {item} cost in the currency of {city}?
        How much is the {item} in the currency of {city}?
        Tell me the price of a {item} in the currency of {city}.
        Give me the price for a {item} in the currency of {city}, please.
        I am in {city} and want to buy a {item}. How much is it in the currency here?
        I want to know the price of the {item} in the currency of {city}.""",
        "sum:currency: The {item} costs {sum} {currency}.",
    ),
    _kind(
        "hotel_of_person_in_currency",
        "person target:foreign",
        (_LOCATE, _HOTEL, _IN_TARGET),
        """Find a hotel where {person} is with its price in {target}.
        I need a hotel where {person} is. How much is it in {target}?
        What does a hotel cost in {target} where {person} is?
        Find {person} and give me a hotel there in {target}.
        Tell me the price in {target} of a hotel where {person} is.
        I want to know what a hotel costs in {target} where {person} is.""",
        "hotel sum:target: The hotel {hotel} in {city} costs {sum} {target}.",
    ),
)

_FOUR_CALLS = (
    _kind(
        "flight_of_person",
        "person end:city",
        (_step("locate", "person", keep="city:start"), _FROM, _TO, _FLIGHT),
        """Find a flight for {person} to {end}.
        {person} needs a flight to {end}.
        What does a flight to {end} cost from where {person} is?
        Give me a flight to {end} for {person}, please.
        Find {person} and tell me a flight from there to {end}.
        {person} wants to fly to {end}.""",
        "flight price:currency: Flight {flight} from {start} to {end} costs {price} {currency}.",
    ),
    _kind(
        "flight_in_currency",
        "start:city end:city target:foreign",
        (_FROM, _TO, _FLIGHT, _IN_TARGET),
        """Find a flight from {start} to {end} with its price in {target}.
        I need a flight from {start} to {end}. How much is it in {target}?
        What does a flight from {start} to {end} cost in {target}?
        Give me a flight from {start} to {end} in {target}, please.
        Tell me the price in {target} of a flight from {start} to {end}.
        I am in {start} and want to fly to {end}. How much is it in {target}?""",
        "flight sum:target: Flight {flight} from {start} to {end} costs {sum} {target}.",
    ),
    _kind(
        "hotel_of_person_in_local_currency",
        "person",
        (_LOCATE, _HOTEL_IN_USD, _step("city", "city", goal="the currency of {city}"), _IN_LOCAL),
        """Find a hotel where {person} is with its price in the currency there.
        I need a hotel where {person} is. How much is it in the currency there?
        What does a hotel cost in the currency there where {person} is?
        Find {person} and give me a hotel there in the currency of the city.
        Tell me the price in the currency there of a hotel where {person} is.
        {person} needs a hotel. How much is it in the currency there?""",
        "hotel sum:currency: The hotel {hotel} in {city} costs {sum} {currency}.",
    ),
)

_LIBRARY = (
    _kind(
        "book",
        "book",
        (_step("book", "book"),),
        """Who wrote {book} and how many pages has it?
        Tell me the author and the pages of {book}.
        Give me the author and the pages for {book}, please.
        I want to know the author and the pages of {book}.""",
        "author pages:=pages: {author} wrote {book} on {pages} pages.",
    ),
    _kind(
        "city_of_author",
        "book",
        (_step("book", "book"), _step("author", "author")),
        """Where is the author of {book}?
        Tell me the city of the author of {book}.
        In which city is the author of {book}?
        I want to know the city of the author of {book}.""",
        "city: {author} is in {city}.",
    ),
    _kind(
        "weather_of_author",
        "book",
        (_step("book", "book"), _step("author", "author"), _WEATHER),
        """What is the weather where the author of {book} is?
        Tell me the weather where the author of {book} is.
        Find the author of {book} and give me the weather there.
        I want to know the weather where the author of {book} is.""",
        "temperature:unit sky: It is {temperature} {unit} and {sky} in {city}.",
    ),
)

KINDS: Mapping[str, Kind] = {
    kind.name: kind for kind in (*_ONE_CALL, *_TWO_CALLS, *_THREE_CALLS, *_FOUR_CALLS, *_LIBRARY)
}
