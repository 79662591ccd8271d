"""Categories: Travel, Transportation, Logistics."""

from __future__ import annotations

from alpha_umi.world.needs import clock, code, fixed, name_of, number
from alpha_umi.world.table import names
from alpha_umi.world.table.tables import Category, ask, need

TRAVEL = Category(
    name="Travel",
    needs=(
        need(
            "hotel",
            "the hotel of {city}",
            "city",
            {
                "hotel": name_of("hotel", names.HOTEL.terms, "city"),
                "price": number("night", 31, 299, "city"),
                "currency": fixed("USD"),
            },
            ask(
                "hotel price:currency",
                "The hotel {hotel} in {city} costs {price} {currency}.",
                "a hotel in {city} and its price | the name and the price of a hotel in {city} |"
                "a hotel for one night in {city} with its price | somewhere to sleep in {city}, with the price",
                "Which hotel is there in {city} and what does it cost? | Where can I sleep in {city} and for how much?"
                "| I will stay in {city}. Which hotel can I take and how much is it?",
            ),
        ),
        need(
            "flight",
            "the flight from {origin} to {destination}",
            "origin:airport destination:airport",
            {
                "flight": number("flight", 101, 989, "origin", "destination"),
                "price": number("fare", 41, 989, "origin", "destination"),
                "currency": fixed("USD"),
                "departure": clock("departure", 6, 23, "origin", "destination"),
            },
            ask(
                "flight price:currency",
                "Flight {flight} from {origin} to {destination} costs {price} {currency}.",
                "a flight from {origin} to {destination} and its price | the number and the fare of a flight from"
                " {origin} to {destination} | a plane from {origin} to {destination} with its price",
                "Which flight goes from {origin} to {destination} and what does it cost?"
                "| I want to fly from {origin} to {destination}. Which flight is there and how much is it?",
            ),
            ask(
                "departure",
                "The flight from {origin} to {destination} leaves at {departure}.",
                "the departure time of the flight from {origin} to {destination} |"
                "the time at which the plane from {origin} to {destination} leaves",
                "When does the plane from {origin} to {destination} leave?"
                "| At what time do I fly from {origin} to {destination}?",
            ),
        ),
        need(
            "visa",
            "the visa for {country}",
            "country",
            {
                "days": number("visa", 3, 89, "country"),
                "fee": number("visa fee", 10, 190, "country"),
                "currency": fixed("USD"),
            },
            ask(
                "days:=days",
                "A visa for {country} takes {days} days.",
                "the waiting time for a visa for {country} | the days that a visa for {country} takes",
                "How many days does a visa for {country} take? | How long do I wait for a visa for {country}?",
            ),
            ask(
                "fee:currency",
                "A visa for {country} costs {fee} {currency}.",
                "the fee of a visa for {country} | the price of a visa for {country} | the cost of a visa for {country}",
                "What does a visa for {country} cost? | How much do I pay for a visa for {country}?",
            ),
        ),
        need(
            "museum",
            "the museum of {city}",
            "city",
            {
                "museum": name_of("museum", names.MUSEUMS, "city"),
                "price": number("museum ticket", 4, 39, "city"),
                "currency": fixed("USD"),
            },
            ask(
                "museum price:currency",
                "The museum {museum} in {city} costs {price} {currency}.",
                "a museum in {city} and its ticket price | the name and the ticket price of a museum in {city} |"
                "a museum worth seeing in {city} with the price of a ticket",
                "Which museum can I visit in {city} and what does it cost?"
                "| Where do I find art in {city}, in which museum and for how much?",
            ),
        ),
    ),
    providers="""
Flyfinder: Search for flights.
  flight search: Flight between two airports. | origin destination -> flight price currency departure
  visa entry: Visa for a country. | country -> days fee currency
Staywell: Rooms for travellers.
  hotel rooms: Hotel in a city with its price. | city -> hotel price currency
  museum culture: Museum in a city with its price. | city -> museum price currency
Nomado: All for a journey.
  hotel one_night: A hotel for a night. | destination=city -> @offer house=hotel rate=price money=currency
  flight fare: Number and price of a flight. | route=origin+destination -> @offer number=flight fare=price money=currency leaves=departure
  visa papers: Days and fee of a visa. | land=country -> @offer wait=days cost=fee money=currency
Tripmate: Friends of travellers.
  museum exhibitions: Museum of a town and what a visit costs. | town=city -> @results[] name=museum ticket=price currency
  hotel lodging: Where to sleep: hotel and price. | town=city -> @results[] name=hotel rate=price currency
*Aerodeal: Cheap journeys.
  flight deal: Flight from an airport to another. | from_airport=origin to_airport=destination -> no=flight amount=price unit=currency at=departure
  hotel bed: Hotel in a town and its rate. | place=city -> lodging=hotel amount=price unit=currency
  museum ticket: Which museum a town has. | place=city -> gallery=museum amount=price unit=currency
""",
)

TRANSPORTATION = Category(
    name="Transportation",
    needs=(
        need(
            "train",
            "the train from {start} to {end}",
            "start:city end:city",
            {
                "train": number("train", 11, 899, "start", "end"),
                "platform": number("platform", 1, 24, "start", "end"),
                "departure": clock("train departure", 5, 23, "start", "end"),
                "hours": number("train hours", 2, 40, "start", "end"),
            },
            ask(
                "train departure",
                "Train {train} from {start} to {end} leaves at {departure}.",
                "a train from {start} to {end} and its departure time |"
                "the number and the departure time of the train from {start} to {end}",
                "Which train goes from {start} to {end} and when does it leave?"
                "| I travel by rail from {start} to {end}. Which train is it and at what time?",
            ),
            ask(
                "hours:=hours",
                "The train from {start} to {end} takes {hours} hours.",
                "the travel time of the train from {start} to {end} | the hours by train from {start} to {end}",
                "How many hours is it by train from {start} to {end}?"
                "| How long does the train take from {start} to {end}?",
            ),
        ),
        need(
            "route",
            "the road from {start} to {end}",
            "start:city end:city",
            {
                "distance": number("distance", 60, 9900, "start", "end"),
                "minutes": number("drive", 50, 5900, "start", "end"),
            },
            ask(
                "distance:=km",
                "From {start} to {end} it is {distance} km.",
                "the distance by road from {start} to {end} | the length of the road from {start} to {end} |"
                "the kilometers from {start} to {end}",
                "How far is it from {start} to {end}? | How many km do I drive from {start} to {end}?",
            ),
            ask(
                "minutes:=minutes",
                "The drive from {start} to {end} takes {minutes} minutes.",
                "the driving time from {start} to {end} | the time by car from {start} to {end} in minutes",
                "How many minutes is it by car from {start} to {end}? | How long do I drive from {start} to {end}?",
            ),
        ),
        need(
            "taxi",
            "the taxi in {city}",
            "city",
            {
                "price": number("taxi", 6, 89, "city"),
                "currency": fixed("USD"),
                "minutes": number("taxi wait", 2, 45, "city"),
            },
            ask(
                "price:currency",
                "A taxi in {city} costs {price} {currency}.",
                "the price of a taxi in {city} | the taxi fare in {city} | the cost of a cab in {city}",
                "What does a taxi cost in {city}? | How much is a cab in {city}?",
            ),
            ask(
                "minutes:=minutes",
                "A taxi in {city} comes in {minutes} minutes.",
                "the waiting time for a taxi in {city} | the minutes until a taxi comes in {city}",
                "How long do I wait for a taxi in {city}? | When does a taxi come in {city}, in how many minutes?",
            ),
        ),
        need(
            "parking",
            "the free parking spaces in {city}",
            "city",
            {"spaces": number("parking", 3, 990, "city")},
            ask(
                "spaces:=spaces",
                "There are {spaces} parking spaces in {city}.",
                "the number of free parking spaces in {city} | the parking spaces left in {city} |"
                "the room for cars in {city}",
                "How many parking spaces are free in {city}? | Can I park in {city}, how many spaces are left?",
            ),
        ),
    ),
    providers="""
Railway: Trains of the world.
  train timetable: Train between two cities. | start end -> train platform departure hours
  taxi cabs: Taxi in a city. | city -> price currency minutes
Roadster: For those who drive.
  route directions: Distance by road between two cities. | origin=start target=end -> km=distance minutes
  parking garage: Free parking spaces in a city. | place=city -> free=spaces
Movely: One app for all ways.
  train rail: Number and departure of a train. | trip=start+end -> no=train track=platform leaves=departure duration=hours
  route road: Road from a city to another. | trip=start+end -> length=distance time=minutes
  taxi ride: Price of a taxi and the wait. | town=city -> fare=price money=currency wait=minutes
*Wheelie: City mobility.
  taxi hail: What a taxi in a town costs. | where=city -> @ride cost=price in=currency eta=minutes
  parking lots: Parking in a town. | where=city -> @lots open=spaces
  route drive: How far it is by car. | a=start b=end -> @way kilometers=distance min=minutes
*Trackline: Rail data.
  train journey: Train from a city to another. | leave=start arrive=end -> service=train gate=platform at=departure lasts=hours
""",
)

LOGISTICS = Category(
    name="Logistics",
    needs=(
        need(
            "order",
            "the parcel of {person}",
            "person",
            {"parcel": code(names.PARCEL, "person")},
            ask(
                "parcel",
                "The parcel of {person} has the number {parcel}.",
                "the parcel number of {person} | the tracking number of the parcel for {person} |"
                "the number of the parcel that {person} expects",
                "Which number does the parcel of {person} have? | {person} expects a parcel. What is its number?",
            ),
            refs={"parcel": "the parcel of {person} | the parcel that {person} expects | the parcel for {person}"},
        ),
        need(
            "track",
            "the place of parcel {parcel}",
            "parcel",
            {"city": name_of("parcel place", names.CITIES, "parcel"), "days": number("parcel days", 1, 29, "parcel")},
            ask(
                "city",
                "The parcel is in {city}.",
                "the city where {parcel} is | the place where {parcel} lies | the present place of {parcel}",
                "Where is {parcel} now? | In which city is {parcel}? | How far has {parcel} come, where is it?",
            ),
            ask(
                "days:=days",
                "The parcel arrives in {days} days.",
                "the days until {parcel} arrives | the arrival of {parcel} in days | the time left until {parcel} comes",
                "When does {parcel} arrive? | In how many days will {parcel} be here?",
            ),
            refs={"city": "the city where {parcel} is | the place where {parcel} lies"},
        ),
        need(
            "weight",
            "the weight of parcel {parcel}",
            "parcel",
            {"weight": number("weight", 1, 60, "parcel")},
            ask(
                "weight:=kg",
                "The parcel weighs {weight} kg.",
                "the weight of {parcel} | the kilograms of {parcel} | the weight in kg of {parcel}",
                "How heavy is {parcel}? | How much does {parcel} weigh? | Can I carry {parcel}, what does it weigh?",
            ),
        ),
        need(
            "shipping",
            "the shipping from {start} to {end}",
            "start:city end:city",
            {
                "price": number("shipping", 5, 220, "start", "end"),
                "currency": fixed("USD"),
                "days": number("shipping days", 1, 39, "start", "end"),
            },
            ask(
                "price:currency",
                "Shipping from {start} to {end} costs {price} {currency}.",
                "the price of shipping from {start} to {end} | the postage from {start} to {end} |"
                "the cost of sending a box from {start} to {end}",
                "What does it cost to send a box from {start} to {end}?| How much is shipping from {start} to {end}?",
            ),
            ask(
                "days:=days",
                "Shipping from {start} to {end} takes {days} days.",
                "the days of shipping from {start} to {end} | the shipping time from {start} to {end}",
                "How many days does a box take from {start} to {end}?"
                "| How long is a box on its way from {start} to {end}?",
            ),
        ),
    ),
    providers="""
Parcelo: Follow what you sent.
  order consignment: Number of the parcel of a person. | customer=person -> parcel
  track status: City where a parcel is. | parcel -> city days
  weight scale: Weight of a parcel. | parcel -> weight
Shipwise: Freight made easy.
  shipping rates: Price of shipping between two cities. | start end -> price currency days
  order receiver: Which parcel a person expects. | name=person -> id=parcel
  track trace: Place of a parcel and days left. | id=parcel -> location=city eta=days
Cargonaut: Cargo of all sizes.
  weight mass: How heavy a parcel is, in kg. | piece=parcel -> @cargo kg=weight
  shipping quote: Shipping from a city to another. | lane=start+end -> @cargo cost=price money=currency transit=days
*Postino: The postman.
  order letterbox: Parcel for a person. | addressee=person -> number=parcel
  track where_is: Where a parcel lies now. | number=parcel -> town=city wait=days
  weight heavy: Kilograms of a parcel. | number=parcel -> kilos=weight
  shipping postage: Cost and days of sending a box. | sender=start receiver=end -> stamps=price in=currency duration=days
""",
)
