"""Categories: Location, Weather."""

from __future__ import annotations

from alpha_umi.world.needs import clock, given, looked_up, name_of, number, temperature
from alpha_umi.world.table import names
from alpha_umi.world.table.tables import Category, ask, need

LOCATION = Category(
    name="Location",
    needs=(
        need(
            "place",
            "the country of {city}",
            "city",
            {"country": looked_up(names.COUNTRY_OF, "city"), "postcode": number("postcode", 10001, 98989, "city")},
            ask(
                "country",
                "{city} is in {country}.",
                "the country of {city} | the country that {city} is in | the country where {city} lies |"
                "the state to which {city} belongs",
                "Which country is {city} in? | In which country do I find {city}? | To which country does {city} belong?"
                "| Where in the world is {city}, in which country?",
            ),
            ask(
                "postcode",
                "The postcode of {city} is {postcode}.",
                "the postcode of {city} | the postal code of {city} | the postcode for letters to {city}",
                "Which postcode does {city} have? | What postal code do I write for {city}?",
            ),
            refs={"country": "the country of {city} | the country that {city} is in | the country where {city} lies"},
        ),
        need(
            "country",
            "the capital and the currency of {country}",
            "country",
            {
                "capital": looked_up(names.CAPITAL_OF, "country"),
                "currency": looked_up(names.CURRENCY_OF, "country"),
                "language": looked_up(names.LANGUAGE_OF, "country"),
            },
            ask(
                "capital",
                "The capital of {country} is {capital}.",
                "the capital of {country} | the capital city of {country} | the seat of government of {country}",
                "Which city is the capital of {country}? | From which city is {country} governed?",
            ),
            ask(
                "currency",
                "The currency of {country} is {currency}.",
                "the currency of {country} | the money used in {country} | the code of the currency in {country}",
                "Which currency do I need in {country}? | With which currency do people pay in {country}?"
                "| What money do they use in {country}?",
            ),
            ask(
                "language",
                "The language of {country} is {language}.",
                "the language of {country} | the language spoken in {country} | the main language in {country}",
                "Which language do people speak in {country}? | What language should I learn for {country}?",
            ),
            refs={
                "capital:city": "the capital of {country} | the capital city of {country}",
                "currency": "the currency of {country} | the money of {country}",
            },
        ),
        need(
            "airport",
            "the airport of {city}",
            "city",
            {"airport": looked_up(names.AIRPORT_OF, "city")},
            ask(
                "airport",
                "The airport of {city} is {airport}.",
                "the airport of {city} | the airport code of {city} | the code of the airport in {city}",
                "Which airport does {city} have? | To which airport do planes to {city} fly?",
            ),
            refs={"airport": "{city}"},
        ),
        need(
            "clock",
            "the local time in {city}",
            "city",
            {"time": clock("clock", 0, 24, "city")},
            ask(
                "time",
                "It is {time} in {city}.",
                "the local time in {city} | the time in {city} now | the present time in {city} |"
                "the time of the day in {city}",
                "What time is it in {city}? | How late is it in {city} now? | What do the clocks in {city} show?",
            ),
        ),
    ),
    providers="""
Atlasia: Places of the world.
  place find_city: Country and postcode of a city. | city -> country postcode
  country find_nation: Capital, currency and language of a country. | country -> capital currency language
  airport find_airport: Airport of a city. | city -> airport
Geodex: A register of places.
  place lookup: Country in which a city lies. | name=city -> nation=country zip=postcode
  clock now: Local time in a city. | name=city -> local=time
Terrabase: Lands and towns as data.
  country profile: What the capital and the currency of a country are. | state=country -> @data main_city=capital money=currency tongue=language
  airport iata: Code of the airport near a city. | municipality=city -> @data code=airport
*Mapwise: Geography at hand.
  place locate_town: Which country a city belongs to. | town=city -> land=country post=postcode
  country about_land: Facts of a country: capital, money, language. | land=country -> seat=capital coin=currency speech=language
  airport landing: Which airport belongs to a city. | town=city -> field=airport
Timely: Clocks around the globe.
  clock local_time: The time of the day in a city. | city -> time
*Chronos: World time.
  clock hour: Which time it is in a city. | place=city -> clock=time
""",
)

_DAY = {"day": {"tomorrow": "tomorrow | for tomorrow"}}

WEATHER = Category(
    name="Weather",
    needs=(
        need(
            "weather",
            "the weather of {city}",
            "city unit=C day=today",
            {
                "temperature": temperature("temperature", "city", "day"),
                "unit": given("unit"),
                "sky": name_of("sky", names.SKIES, "city", "day"),
            },
            ask(
                "temperature:unit sky",
                "It is {temperature} {unit} and {sky} in {city}.",
                "the weather in {city} | the temperature and the sky in {city} | the weather report for {city} |"
                "the weather conditions in {city}",
                "How is the weather in {city}? | What is the weather like in {city}? | How warm is it in {city}, "
                "and how does the sky look? | Do I need a coat in {city}, what is the weather?",
            ),
            options={"unit": {"F": "in Fahrenheit | in F | in degrees Fahrenheit"}, **_DAY},
        ),
        need(
            "wind",
            "the wind of {city}",
            "city day=today",
            {"speed": number("wind", 2, 89, "city", "day")},
            ask(
                "speed:=km/h",
                "The wind in {city} is {speed} km/h.",
                "the wind in {city} | the wind speed in {city} | the speed of the wind in {city} |"
                "the strength of the wind in {city}",
                "How strong is the wind in {city}? | How fast does the wind blow in {city}?"
                "| Is it windy in {city}, how much?",
            ),
            options=_DAY,
        ),
        need(
            "rain",
            "the chance of rain in {city}",
            "city day=today",
            {"chance": number("rain", 1, 99, "city", "day")},
            ask(
                "chance:=percent",
                "The chance of rain in {city} is {chance} percent.",
                "the chance of rain in {city} | the probability of rain in {city} | the risk of rain in {city}",
                "How likely is rain in {city}? | Will it rain in {city}, how likely is it?"
                "| Do I need something against the rain in {city}, what is the chance?",
            ),
            options=_DAY,
        ),
        need(
            "air",
            "the air quality of {city}",
            "city",
            {"index": number("air", 11, 299, "city")},
            ask(
                "index",
                "The air quality index of {city} is {index}.",
                "the air quality of {city} | the air quality index in {city} | the index of air pollution in {city}",
                "How clean is the air in {city}? | How polluted is the air in {city}?",
            ),
        ),
        need(
            "sun",
            "sunrise and sunset in {city}",
            "city",
            {"sunrise": clock("sunrise", 5, 8, "city"), "sunset": clock("sunset", 17, 21, "city")},
            ask(
                "sunrise",
                "The sun rises at {sunrise} in {city}.",
                "the time of sunrise in {city} | the sunrise in {city} | the hour of dawn in {city}",
                "When does the sun rise in {city}? | At what time does the day begin in {city}?",
            ),
            ask(
                "sunset",
                "The sun sets at {sunset} in {city}.",
                "the time of sunset in {city} | the sunset in {city} | the hour of dusk in {city}",
                "When does the sun set in {city}? | At what time does it get dark in {city}?",
            ),
        ),
    ),
    providers="""
Skycast: Forecasts for developers.
  weather conditions: Weather of a city: temperature and sky. | city unit day -> temperature unit sky
  wind gusts: Wind of a city. | city day -> speed
  rain showers: Chance of rain in a city. | city day -> chance
Meteolab: A weather laboratory.
  weather current: Current weather at a location. | location=city scale=unit~celsius when=day~offset -> degrees=temperature scale=unit condition=sky
  wind anemometer: Speed of the wind at a location. | location=city when=day~offset -> kmh=speed
  air aqi: Air quality of a city. | location=city -> aqi=index
Nimbus: Rain and sun.
  rain precipitation: Probability of rain in percent. | q=city day -> @forecast percent=chance
  sun daylight: Sunrise and sunset in a city. | q=city -> @forecast rise=sunrise set=sunset
*Windrose: Weather for sailors.
  weather report: Weather in a town, in C or F. | port=city degrees=unit day -> heat=temperature in=unit outlook=sky
  wind breeze: How strong the wind is in a town. | port=city day -> strength=speed
  sun almanac: Time of sunrise and of sunset in a town. | port=city -> first=sunrise last=sunset
*Clearair: Pollution monitor.
  air quality: Index of the air in a town. | town=city -> pollution=index
  rain outlook: How likely rain is in a town. | town=city day=day~offset -> risk=chance
""",
)
