"""Words in which providers could tell of what they serve: what imagined ones are documented with."""

from __future__ import annotations

from collections.abc import Mapping

from alpha_umi.world.phrases import phrases
from alpha_umi.world.table.tables import words

CLASSES: Mapping[str, tuple[str, ...]] = {
    domain: phrases(text)
    for domain, text in {
        "city": "a city | a town | a place | some city | any town | the city you name | a given city",
        "country": "a country | a nation | a land | a state | any country | a given nation",
        "currency": "a currency | another currency | any currency | other money | a given currency",
        "money": "a currency | one currency | your money | coins of a country",
        "amount": "a sum | an amount | some money | a number",
        "airport": "an airport | one airport | any airport | a given airport",
        "person": "a person | someone | somebody | a man or woman | a member | people by name | a given person",
        "company": "a company | a firm | a business | an enterprise | any company | a given firm",
        "item": "an item | a product | goods | a thing | something to buy | merchandise",
        "code": "an article | a product | an item by its code | goods by code | a coded article",
        "book": "a book | a title | a printed work | some book",
        "author": "an author | a writer | someone who writes",
        "team": "a team | a club | a side | any team",
        "artist": "a band | a group | musicians | an artist",
        "dish": "a dish | a meal | food | a plate",
        "restaurant": "a restaurant | an eating house | a place to eat",
        "parcel": "a parcel | a package | a consignment | what was sent",
        "unit": "a scale",
        "day": "a day",
    }.items()
}
"""How a document speaks of an input of a domain."""

MORE: Mapping[str, tuple[str, ...]] = {
    "city": ("another city", "a second city", "another one"),
    "airport": ("another airport", "a second airport", "another one"),
}
"""How it speaks of a second one."""

TOLD: Mapping[str, tuple[str, ...]] = {
    need: phrases(text)
    for need, text in {
        # Location
        "place": """in which country {city} lies | the nation that {city} belongs to | country for {city} |
            where on the map {city} is: land and postal code | state and zip code of {city} | land to which
            {city} belongs | the land around {city} | post code and land of {city} | geography of {city} | to
            which state {city} is counted | details of {city}: nation, postcode | what country holds {city} |
            where {city} lies, with the code for letters | tells the country and the post code of {city} |
            {city} on the map: its country | which land has {city} | codes for the mail of {city}, country too""",
        "country": """capital city and money of {country} | what is spoken and paid with in {country} | seat of
            government, currency, tongue of {country} | profile of {country} | main city and language of
            {country} | general data on {country} | money, capital, speech of {country} | what to know of
            {country}: capital, language | basics of {country} | capital, currency and official language for
            {country} | where {country} is governed from and what is paid there | which language and which money
            {country} has | who speaks what in {country}; its capital, its coins | essential facts about
            {country} | how {country} pays, speaks and is governed""",
        "airport": """airport near {city} | where planes land for {city} | code of the airport for {city} | the
            airfield of {city} | where to fly to for {city} | airport that serves {city} | flying to {city}: the
            airport | the nearest place to land at {city} | at which airport one arrives in {city} | letters of
            the airport that {city} has | which airfield is closest to {city} | airports by town: {city} | three
            letters for planes to {city}""",
        "clock": """local time in {city} | what time it is in {city} | the hour in {city} at this moment |
            present time of {city} | the clock of {city} | time of day at {city} | current hour and minute in
            {city} | how late it is in {city} | which hour {city} has now | tells the time for {city} | what the
            watch of somebody in {city} says | hours and minutes in {city} | the moment of the day in {city} |
            time there is in {city}""",
        # Weather
        "weather": """temperature and sky in {city} | how warm or cold it is in {city} | weather report for
            {city} | forecast for {city} | heat and clouds in {city} | what the weather is like in {city} |
            degrees and sky of {city} | whether it is warm in {city} | conditions outside in {city} | today or
            tomorrow in {city}: temperature, sky | how the sky looks over {city} and how many degrees there are
            | what to wear in {city}: degrees, sky | if it is sunny, cloudy or snowy in {city} | measured heat
            of {city}, with the sky | weather for {city}, now or the day after | how {city} feels outside""",
        "wind": """speed of the wind in {city} | how fast the wind blows in {city} | wind strength at {city} |
            how windy it is in {city} | gusts in {city} | wind of {city} in km/h | force of the wind over {city}
            | storm or breeze in {city} | what the wind does in {city} | kilometers per hour that the air moves
            in {city} | how hard it blows in {city} | blowing air over {city}: its speed | sailors ask this for
            {city}""",
        "rain": """chance of rain in {city} | how probable rain is in {city} | risk of showers in {city} |
            whether it will rain in {city} | percent of rain for {city} | the odds of a wet day in {city} | need
            of an umbrella in {city} | wet weather in {city}, in percent | how probable it is that {city} gets
            wet | will there be rain in {city} | if an umbrella helps in {city} | water from the sky over
            {city}: the probability | rainfall to be expected in {city}""",
        "air": """quality of the air in {city} | air pollution of {city} | how clean the air of {city} is | how
            bad the air in {city} is | air quality index of {city} | smog in {city} | what people breathe in
            {city} | dirt in the air over {city} | how well one breathes in {city} | what is in the air of
            {city}, as one value | if the air of {city} is healthy | index for the air of {city} | how dirty the
            air is in {city}""",
        "sun": """when the sun rises and sets in {city} | sunrise and sunset for {city} | first and last light
            in {city} | length of the day in {city}: sunrise, sunset | hours of the sun in {city} | dawn and
            dusk at {city} | times of the sun in {city} | when it gets light and dark in {city} | when day
            begins and ends in {city} | from when to when the sun is up in {city} | which hours the sun shines
            in {city} | morning and evening sun of {city} | at what time {city} has sunrise and sunset""",
        # Travel
        "hotel": """hotel in {city} and its price | where to stay in {city} | a bed for the night in {city} |
            rooms in {city} | what a night in {city} costs, and where | accommodation in {city} | price of a
            hotel in {city} | overnight stays in {city} | lodging and its cost in {city} | a house to sleep in
            at {city} | which hotel {city} has and what it takes | who rents rooms in {city}, for how much |
            where visitors of {city} sleep, with the rate | nights in {city}: the house and the rate | how much
            a room is in {city}, and in which hotel""",
        "flight": """flight between {origin} and {destination} | planes from {origin} to {destination} | fare,
            number and departure of a flight | which plane goes from {origin} to {destination} | plane tickets
            from {origin} to {destination} | air travel from {origin} to {destination} | how to fly from
            {origin} to {destination} | price of flying from {origin} to {destination} | airline connections |
            which plane flies from {origin} to {destination}, when and for how much | when planes leave {origin}
            for {destination} and what they cost | flights by route: {origin} to {destination} | how to get from
            {origin} to {destination} through the air | seats on planes from {origin} to {destination}, with
            prices""",
        "visa": """visa for {country} | how long a visa for {country} takes and what it costs | entry papers for
            {country} | fee and days of a visa for {country} | permission to enter {country} | travel documents
            for {country} | what to pay to get into {country} | visa rules of {country}: wait and fee | papers
            needed for {country} | what a visa for {country} costs and when it is ready | how soon and for how
            much one may enter {country} | entering {country}: the fee, the wait | what travellers to {country}
            have to pay and wait | who wants to see {country} needs this: fee and days""",
        "museum": """museum in {city} and its ticket price | museums to visit in {city} | art in {city}, and the
            price | what to see in {city}: the museum | exhibitions of {city} | entry to the museum of {city} |
            where art hangs in {city} | culture for visitors of {city} | gallery of {city} with its entrance fee
            | which museum is worth a visit in {city}, with the price | what visitors of {city} pay to see art |
            where there is art to see in {city} | name of the museum of {city}, and its admission | how much the
            museum of {city} takes""",
        # Finance
        "convert": """change of {amount} into {target} | exchange of money | what {amount} is worth in {target}
            | converts {source} to {target} | how much {amount} makes in {target} | currency calculator | rate
            of exchange from {source} to {target} | turns money into other money | swapping one currency for
            another | value of {amount} in {target} | how many {target} one gets for {amount} | what money from
            one land is in another | sums in another currency | what {amount} comes to in {target} | changes
            coins into other coins | worth of money elsewhere""",
        "share": """price of a share of {company} | stock price for {company} | what one share of {company} is
            worth | the stock of {company} | shares on the stock market | market price of {company} | quote for
            {company} | what investors pay for {company} | equity of {company}: last price | what {company} is
            traded at | how much a part of {company} is sold for | how the stock of {company} stands | which
            price {company} has at the exchange | money for one share of {company}""",
        "firm": """boss, seat and staff of {company} | who runs {company} | head and headquarters of {company} |
            people and place of {company} | where {company} is based and who leads it | facts on {company} |
            company profile: leader, city, staff | how many work for {company}, and where | chief and main
            office of {company} | register entry of {company} | who leads {company}, from where and with how
            many people | what kind of house {company} is: leader, town, size | where {company} has its offices
            and who is the chief | how big {company} is and where | who is who at {company}""",
        "tax": """sales tax in {country} | tax rate for goods of {country} | how high the tax is in {country} |
            percent of tax on goods in {country} | duty on what is sold in {country} | what the state of
            {country} takes of a sale | value added tax for {country} | taxes of {country} | how much tax
            {country} takes on goods | which rate buyers pay in {country} | what {country} adds to prices |
            sales in {country}: the tax | the share of the state in {country} when things are sold""",
        # Social
        "locate": """city where {person} is | where {person} is at the moment | whereabouts of {person} |
            present place of {person} | in which town {person} stays | finds {person} | position of {person} on
            the map | the place at which {person} is now | where to meet {person} | where {person} has gone | in
            what city {person} can be met | where to look for {person} | which city {person} has travelled to |
            town in which {person} is seen | where in the world {person} is""",
        "phone": """phone number of {person} | how to call {person} | telephone of {person} | the number under
            which to ring {person} | which number {person} has | digits to dial for {person} | reach {person} by
            phone | calling {person}: the number | which number reaches {person} | what to dial to speak with
            {person} | numbers of people: {person} | how {person} is called by telephone | line of {person}""",
        "age": """age of {person} | how many years {person} has | years of {person} | the age in years of
            {person} | how long {person} has lived | how old {person} is today | number of birthdays of {person}
            | life of {person} in years | what age {person} has | for how many years {person} has been alive |
            since when {person} lives, in years | if {person} is young or old | counts the years of {person}""",
        "work": """job and employer of {person} | what {person} does for a living | for whom {person} works |
            profession of {person}, and the company | the career of {person} | occupation and firm of {person} |
            which company {person} works for, and as what | who employs {person} | working life of {person} |
            what {person} works as, and where | which employer and which job {person} has | how {person} earns
            money and from whom | who pays {person} and what for | at which company {person} is found during the
            day""",
        "friend": """best friend of {person} | to whom {person} is closest | the closest friend that {person}
            has | who {person} likes best | the companion of {person} | friendship: who is close to {person} |
            buddy of {person} | the dearest friend of {person} | with whom {person} spends time | who {person}
            is friends with | which friend stands next to {person} | who matters most to {person} | name of the
            one {person} trusts | whom {person} likes best""",
        # eCommerce
        "item": """price and code of {item} | what {item} costs in the shop | article code and price of {item} |
            buying {item}: price | catalogue entry of {item} | search of the shop for {item} | offers for {item}
            | the shop's price for {item} | looks up {item}: code, cost | what to pay for {item} and its code |
            what the shop takes for {item}, and the code | for how much {item} is sold, under which code | which
            code and price {item} has | prices of goods: {item} | finds {item} on the shelf: price, code""",
        "stock": """pieces of {code} that are left | how much of {code} is there | stock of {code} | number of
            pieces in store of {code} | whether {code} is sold out | units on hand of {code} | what the store
            has of {code} | how many of {code} can be bought | inventory for {code} | how many of {code} are
            left | if {code} can still be bought | what is left of {code} in the store | how full the shelf with
            {code} is | counts {code} in store""",
        "delivery": """days until {code} arrives in {city} | how long {code} takes to {city} | delivery time of
            {code} to {city} | when {code} is delivered to {city} | shipping of {code} to {city}, in days | days
            of sending {code} | the way of {code} to {city}: how many days | waiting time for {code} in {city} |
            how many days {code} needs to {city} | when {code} comes to {city} | how fast {code} gets to {city}
            | after how many days {code} is brought to {city} | sending {code} off to {city}: the days""",
        "maker": """company that makes {code} | who makes {code} | manufacturer of {code} | which firm {code}
            comes from | brand behind {code} | the producer of {code} | by whom {code} is made | origin of
            {code}: the firm | maker's name for {code} | which company is behind {code} | from whom {code} comes
            | what firm builds {code} | who manufactures {code} | house that makes {code}""",
        "review": """stars that buyers give {code} | what customers think of {code} | rating of {code} | reviews
            for {code} | opinions on {code}: stars and number | how well {code} is liked | score of {code} among
            buyers | customer votes for {code} | average stars for {code} | how many stars buyers gave {code},
            and how many wrote | what buyers say of {code} | how good {code} is in the eyes of buyers | votes on
            {code} and their mean | whether people are content with {code}""",
        # Books
        "book": """author, year and pages of {book} | who wrote {book} and when | how long {book} is | data of {book} | the writer of
            {book} | catalogue entry for {book} | when {book} came out""",
        "reading": """evening about {author}: city, time | where {author} is read aloud | reading of {author} | literary evening for
            {author} | where to hear {author}""",
        "copies": """copies of {book} in {city} | whether {city} has {book} to borrow | how often {book} stands in the library of {city} |
            borrowing {book} in {city} | number of volumes of {book} in {city}""",
        "favourite": """favourite book of {person} | what {person} likes to read most | the book {person} loves | best-loved title of
            {person} | taste of {person} in books""",
        # Music
        "album": """latest album of {artist} | newest record of {artist}, with tracks | what {artist} published last | songs on the
            last album of {artist} | recent music by {artist}""",
        "concert": """next concert of {artist} | where {artist} plays | tickets for {artist}: city, hall, price | live dates of {artist} |
            when and where to hear {artist} on stage""",
        "chart": """rank of {artist} in the charts | how popular {artist} is | chart place and weeks of {artist} | hit list: {artist} |
            where {artist} stands in the charts""",
        "fan": """favourite band of {person} | music that {person} likes | which band {person} follows | whom {person} listens to |
            the band {person} loves""",
        # Sports
        "team": """city and coach of {team} | who trains {team} | home of {team} | trainer of {team}, and its town | about {team}: coach,
            city""",
        "table": """points and rank of {team} | where {team} stands | league place of {team} | table entry of {team} | how well {team}
            does this season""",
        "match": """next match of {team} | against whom {team} plays | opponent, time and place for {team} | coming game of {team} | when
            {team} plays again""",
        "stadium": """stadium of {team} | where {team} plays at home | seats in the arena of {team} | ground of {team} | home arena of
            {team} and its size""",
        "supports": """team that {person} supports | club of which {person} is a fan | favourite team of {person} | whom {person} cheers
            for""",
        # Food
        "restaurant": """restaurant in {city} and its price | where to eat in {city} | dinner in {city} | a table in {city}, and what a
            meal costs | dining in {city}""",
        "menu": """dish of the day at {restaurant} | what {restaurant} cooks | menu of {restaurant} | free tables at {restaurant} |
            today's plate of {restaurant}""",
        "nutrition": """calories and protein of {dish} | energy in {dish} | how rich {dish} is | what is in {dish}: kcal, protein |
            nutrition facts for {dish}""",
        "recipe": """minutes to cook {dish} | how long {dish} takes in the kitchen | steps of the recipe for {dish} | preparing
            {dish} | cooking {dish}: time, steps""",
        # Transportation
        "train": """train between {start} and {end} | rail connection from {start} to {end} | departure and platform of a train |
            by train from {start} to {end} | timetable from {start} to {end}""",
        "route": """distance by road from {start} to {end} | driving from {start} to {end} | how long one drives from {start} to {end} |
            kilometers and minutes by car | the way from {start} to {end}""",
        "taxi": """price of a taxi in {city} | cab in {city}: fare and wait | how soon a taxi comes in {city} | riding a taxi in
            {city} | what a cab costs in {city}""",
        "parking": """free parking spaces in {city} | room for a car in {city} | where to leave the car in {city}: spaces | parking
            in {city} | spaces for cars in {city}""",
        # Logistics
        "order": """parcel number of {person} | which parcel {person} expects | what was sent to {person} | parcels for {person} |
            tracking number for {person}""",
        "track": """where {parcel} is | city of {parcel}, and the days left | follows {parcel} | present place of {parcel} | how far
            {parcel} has come""",
        "weight": """weight of {parcel} | how heavy {parcel} is | kilograms of {parcel} | mass of {parcel} | scales for {parcel}""",
        "shipping": """shipping from {start} to {end} | postage between {start} and {end} | price and days of sending from {start} to
            {end} | what sending a box costs | freight from {start} to {end}""",
    }.items()
}
"""Need -> what a document can say that it finds, besides what users call it; inputs in braces."""

PATTERNS = (
    "{x}.",
    "{x}.",
    "{x}.",
    "Gives {x}.",
    "Finds {x}.",
    "Returns {x}.",
    "Tells {x}.",
    "Look up {x}.",
    "Use it for {x}.",
    "Ask for {x}.",
    "Get {x}.",
    "Service for {x}.",
)
"""Sentences of documents around what is found."""

ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    domain: words(text)
    for domain, text in {
        "city": "city town place location where city_name q at local spot target area",
        "country": "country nation land state country_name where realm territory",
        "currency": "target to want into currency new money code coin wanted",
        "money": "source from have given base old money of",
        "amount": "amount sum value number money total quantity",
        "airport": "airport code field iata port",
        "person": "person name who user member full_name individual whom friend subject contact someone",
        "company": "company firm business name corporation company_name who enterprise symbol",
        "item": "item product article name thing goods what query title",
        "code": "code article id sku product number article_code key ref",
        "book": "book title name work what",
        "author": "author writer name who by",
        "team": "team club side name who",
        "artist": "artist band group name who",
        "dish": "dish meal food name plate",
        "restaurant": "restaurant house name place venue",
        "parcel": "parcel id number package code",
        "unit": "unit scale degrees units measure system",
        "day": "day when date on time",
    }.items()
}
"""What providers call an input of a domain."""
ENDS: Mapping[str, tuple[str, ...]] = {
    "origin": ("origin", "from", "start", "source", "leave", "from_airport", "departure", "a"),
    "destination": ("destination", "to", "end", "target", "arrive", "to_airport", "arrival", "b"),
    "start": ("start", "from", "origin", "source", "leave", "a", "sender"),
    "end": ("end", "to", "destination", "target", "arrive", "b", "receiver"),
}
"""What they call one of two inputs of a domain."""
JOINED = words("route trip pair way between connection path both lane ends")
"""What they call two inputs in one."""

RESULTS: Mapping[str, tuple[str, ...]] = {
    output: words(text)
    for output, text in {
        "age": "age years old age_years lived",
        "airport": "airport code iata field airport_code near",
        "amount": "amount result value sum converted total makes gives",
        "author": "author writer by written_by name",
        "boss": "boss head ceo chief leader director led_by manager president",
        "chance": "chance percent probability risk rain likelihood odds",
        "capital": "capital main_city seat capital_city first_city",
        "city": "city town place location where at in_city",
        "code": "code id article number sku product_code article_code",
        "company": "company firm business employer maker brand made_by producer works_for",
        "country": "country nation land state belongs_to",
        "currency": "currency money unit in of coin currency_code",
        "days": "days wait duration in_days takes eta time_days",
        "departure": "departure leaves at starts time takeoff departs",
        "fee": "fee cost price charge amount pay",
        "flight": "flight number no flight_number plane id",
        "friend": "friend buddy pal best_friend closest companion mate",
        "hotel": "hotel name house lodging stay place_to_stay",
        "index": "index aqi quality pollution level score",
        "job": "job position profession occupation works_as title trade",
        "language": "language tongue speech spoken languages",
        "minutes": "minutes length runtime duration min time_minutes",
        "museum": "museum name gallery house collection",
        "phone": "phone number telephone digits call tel",
        "postcode": "postcode zip postal_code post zip_code",
        "price": "price cost rate fare amount charge costs ticket fee money_needed",
        "reviews": "reviews votes count voices ratings opinions",
        "seat": "seat headquarters place city town based_in main_office",
        "sky": "sky condition outlook clouds weather looks",
        "speed": "speed strength kmh wind force velocity",
        "staff": "staff employees size team people workforce",
        "stars": "stars rating score points average mark",
        "stock": "stock pieces left available units quantity in_store",
        "sunrise": "sunrise rise first dawn up morning",
        "sunset": "sunset set last dusk down evening",
        "tax": "tax percent rate vat tax_percent",
        "temperature": "temperature degrees heat temp warmth value",
        "time": "time hour clock now local starts at local_time",
        "unit": "unit scale in unit_of measure",
        "year": "year released published since came_out",
        "album": "album record title disc_name release",
        "artist": "artist band group favourite who",
        "book": "book title work name best",
        "coach": "coach trainer manager trained_by",
        "copies": "copies stock number available shelf",
        "dish": "dish meal plate special today",
        "distance": "distance km kilometers far length",
        "hours": "hours duration takes time lasts_hours",
        "kcal": "kcal calories energy",
        "opponent": "opponent against rival_team versus",
        "pages": "pages length page_count",
        "parcel": "parcel id number tracking package",
        "place": "place town city where",
        "platform": "platform track gate",
        "points": "points score total",
        "protein": "protein proteins protein_grams",
        "rank": "rank place position",
        "restaurant": "restaurant house name eat_at",
        "seats": "seats capacity places_to_sit",
        "spaces": "spaces free places lots",
        "stadium": "stadium arena ground name",
        "steps": "steps stages parts",
        "tables": "tables free free_tables",
        "team": "team club side",
        "tracks": "tracks songs titles",
        "train": "train number no rail",
        "venue": "venue hall stage place",
        "weeks": "weeks duration time_in",
        "weight": "weight kg mass kilograms",
    }.items()
}
"""What providers call an output; those that are not here keep their own name."""
WRAPS = ("data", "result", "results[]", "items[]", "reply", "answer", "found", "entry", "info[]", "record", "response")

APIS = words("get find search look show data info query fetch ask tell name facts check read list give new quick")
"""Words in the names of APIs that say little."""

ANY = words(
    """
    able acorn agent album almond amber anchor angle ankle apple april arch army arrow atom attic autumn axis
    badge baker bamboo barrel basket beacon bean beaver bell berry birch bison blade blanket blaze block bloom
    board bottle bow branch brave brick bridge bright broom brush bubble bucket button cabin cactus camel candle
    canoe canvas cargo carpet castle cedar chain chalk cherry chess chimney circle citrus clever cliff cloud
    clover coast cobalt comet copper coral cotton crane crayon cricket crown crystal cube curtain dagger daisy
    dance deer delta desert diamond dolphin donkey door dragon drum eagle early earth echo edge eight elbow elm
    ember engine equal evening exact fabric falcon fancy feather fence fern fiddle finger flame flint flock
    flora flute foam forest fossil fountain fox frost fruit galaxy garden garlic gate giant ginger glass globe
    glove goat gold grain grape gravel green grove guitar hammer harbor harp harvest hazel heart hedge helmet
    heron hill hive hollow honey horizon horn husky ice igloo indigo ink iron island ivory ivy jacket jade
    jaguar jelly jewel jolly judge juice jungle juniper kettle keen kite kitten knight knot ladder lagoon lake
    lantern larch laser laurel lava leaf lemon level lily lion lizard llama lotus lunar lynx magnet mango maple
    marble meadow medal melon metal mint mirror monkey moon moss motor mountain mule music nectar needle nest
    nickel noble north nova nut oak oasis oat ocean olive onyx opal orange orbit orchid otter owl oxygen oyster
    paddle palace panda paper parrot pearl pebble pepper piano pigeon pilot pine planet plum polar pond pony
    poppy prairie prism puzzle pyramid quail quartz queen quick quiet quill rabbit radar raven reef ribbon ridge
    river robin rocket root ruby saddle sage salmon sand sapphire satin scarf scout shadow shell shield silk
    silver skate slate smooth snail snow solar sonic spark spice spider spruce square squirrel star steel stone
    storm straw summer swan swift tango teal tempo tent thistle thunder tiger timber toast topaz torch tower
    trail trumpet tulip tundra tunnel turtle twig ultra umbrella under unique upper urban useful valley vanilla
    vapor vault velvet violet vista vivid volcano voyage wagon walnut water wave whale wheat wheel whistle wild
    willow window winter wolf wonder wood wool yacht yarn yeast yoga young zebra zenith zero zigzag zinc zone
    """
)
"""Words that mean nothing here: names are made of any, and have to be copied letter by letter."""
