"""Whole sentences in which users ask, for training tasks alone: what tells wishes apart is what they mean.

The tables word a need in a few ways, and keep one of them for tests. An agent that was asked in so few ways knows
them by heart and is lost at the first new one. None of these stands on a page of the base models' text.
"""

from __future__ import annotations

from collections.abc import Mapping

from alpha_umi.world.phrases import phrases

ASKED: Mapping[str, tuple[str, ...]] = {
    wish: phrases(text)
    for wish, text in {
        # Location
        "place.country": """{city}: which country is that? | I am reading about {city}. What country is it in? |
            Name the country of {city}, please. | What is the country where {city} can be found? | Is there
            somebody who knows the country {city} is part of? | Which nation does {city} lie in? | I forgot in
            which land {city} lies. | Of which country is {city} a city?""",
        "place.postcode": """{city}: which postcode? | I am sending a letter to {city}. Which postcode goes on
            it? | Which zip code belongs to {city}? | My parcel goes to {city}. I need the postcode. | Under
            which postcode do letters reach {city}? | The form asks for the postal code of {city}. Which is it?
            | Name the postcode of {city}, please. | How is {city} coded in the post?""",
        "country.capital": """{country}: what is its capital? | Which capital does {country} have? | Name the
            capital of {country}, please. | In what city does the government of {country} sit? | I have a quiz
            about {country}. What is the capital? | Where is the parliament of {country}, in which city? | What
            do they call the capital of {country}? | I keep forgetting the capital of {country}.""",
        "country.currency": """{country}: which currency? | I travel to {country}. Which money do I take along?
            | What are prices in {country} written in, which currency? | Which coins and notes are there in
            {country}? | Name the currency of {country}, please. | What is money called in {country}? | Into
            what should I change my money for {country}? | My hotel in {country} wants cash. In which
            currency?""",
        "country.language": """{country}: which language? | In which language are the signs in {country}? | I
            move to {country}. How do they speak there? | Name the language of {country}, please. | What tongue
            is used in {country}? | Which language is taught at schools in {country}? | My neighbour is from
            {country}. What does she speak? | How do people talk in {country}, in which language?""",
        "airport.airport": """{city}: which airport? | Which airport is near {city}? | I land at {city}. What is
            the code of the airport? | Name the airport of {city}, please. | At which airport do I get off for
            {city}? | What letters does the airport of {city} have? | I want to book a flight to {city}. Which
            airport do I type in? | Where do I land when I visit {city}, at which airport?""",
        "clock.time": """{city}: what time is it there? | Is it early or late in {city}, what time? | I want to
            phone somebody in {city}. What time do they have? | Which hour is it at the moment in {city}? | Give
            me the hour and the minute in {city}. | How late do we have it in {city}? | My cousin lives in
            {city}. What time is it for her? | Tell the time in {city}, please. | Somebody in {city} looks at a
            watch. What does it say?""",
        # Weather
        "weather.temperature+sky": """{city}: how is the weather? | Is it warm in {city}, and is it cloudy? | I
            am going out in {city}. What weather do I get? | How many degrees are there in {city}, and what does
            the sky look like? | Is the sky clear in {city}, and how warm is it? | What is it like outside in
            {city}? | Describe the weather of {city}, please. | We walk through {city}. How warm will we be, and
            is the sky blue?""",
        "wind.speed": """{city}: how much wind? | What speed does the wind have in {city}? | I want to sail at
            {city}. How hard does it blow? | How many kilometers per hour does the wind make in {city}? | Is
            there a storm in {city}, how fast is the wind? | Which wind do they measure in {city}? | Does it
            blow in {city}, and how fast? | My kite is ready in {city}. How strong is the wind?""",
        "rain.chance": """{city}: how likely is rain? | Shall I take an umbrella to {city}, how probable is
            rain? | How many percent is the chance that it rains in {city}? | Do they expect rain in {city},
            with which probability? | We want to sit outside in {city}. How likely are showers? | Will I get wet
            in {city}, in percent? | How sure is the rain in {city}? | Is rain on its way to {city}, how
            probable?""",
        "air.index": """The air of {city}: fresh or not, by the index? | Can I breathe well in {city}, which
            index does the air have? | Which air quality does {city} have? | How bad is the smog in {city}, by
            the index? | I want to run in {city}. How is the air? | What does the air index of {city} say? | Is
            the air in {city} fresh, by the index? | Which value has the air in {city}?""",
        "sun.sunrise": """{city}: when is sunrise? | When do I see the first sun in {city}? | At which hour does
            the sun come up in {city}? | I get up with the sun in {city}. When is that? | When does it get light
            in {city}? | When is the morning sun there in {city}? | From when is it bright in {city}? | I
            photograph the sunrise of {city}. When must I be there?""",
        "sun.sunset": """{city}: when is sunset? | When does the sun go down in {city}? | Until when does the
            sun shine in {city}? | At which hour is the sunset in {city}? | I watch the sunset in {city}. When
            do I have to come? | When is the last light of the sun in {city}? | When does the evening begin in
            {city}, by the sun? | How long do we have the sun in {city}, until when?""",
        # Travel
        "hotel.hotel+price": """{city}: which hotel, and what does it cost? | Name a hotel in {city} and its
            price. | I need a bed in {city}. Where is one and what does it cost? | Where do I spend the night in
            {city}, and at which price? | Which hotel in {city} has rooms, and how much is one? | We are looking
            for a room in {city}. In which hotel and for how much? | How much is a night in {city}, and in which
            hotel? | I arrive in {city} late. Which hotel takes me and what do I pay?""",
        "flight.flight+price": """{origin} to {destination}: number and fare of the flight? | Which flight takes
            me from {origin} to {destination} and at what price? | I need a flight from {origin} to
            {destination}. Its number and its price, please. | What does the plane from {origin} to
            {destination} cost, and what is its number? | We leave {origin} for {destination} by plane. Which
            flight, and for how much? | Which number does the flight from {origin} to {destination} have and
            what do I pay? | Name a flight from {origin} to {destination} with its fare.""",
        "flight.departure": """{origin} to {destination}: when is the departure? | When does the flight from
            {origin} to {destination} start? | My plane goes from {origin} to {destination}. When is the
            departure? | At which hour does the plane take off from {origin} to {destination}? | When must I
            board in {origin} for {destination}? | At what hour does the flight leave {origin} for
            {destination}? | How late is the departure from {origin} to {destination}?""",
        "visa.days": """{country}: how many days for the visa? | After how many days do I get a visa for
            {country}? | I have applied for a visa for {country}. How many days will it be? | In how many days
            is a visa for {country} ready? | How many days before my trip to {country} should I ask for the
            visa? | How quickly do they give a visa for {country}, in days? | How many days pass until I have my
            visa for {country}?""",
        "visa.fee": """{country}: what is the visa fee? | How expensive is a visa for {country}? | Which fee do
            they take for a visa for {country}? | I go to {country} and need a visa. What is the price? | What
            do they want for a visa for {country}, how much money? | What will the visa for {country} cost me? |
            How high is the fee to enter {country}?""",
        "museum.museum+price": """{city}: which museum, and what is the ticket? | Name a museum in {city} and
            its price. | We want to see a museum in {city}. Which one is there and how much is a ticket? | Which
            museum does {city} have, and what do they take at the door? | I have an afternoon in {city}. Which
            museum can I see and at which price? | What is the museum of {city} called and what does a ticket
            cost? | How much is the museum in {city}, and what is its name?""",
        # Finance
        "convert.amount": """{amount} {source} in {target}: how much? | How many {target} do I get for {amount}
            {source}? | What are {amount} {source} worth in {target}? | I pay {amount} {source}. What is that in
            {target}? | Please change {amount} {source} to {target}. | Express {amount} {source} in {target}. |
            My bill is {amount} {source}. How much is it in {target}? | What do {amount} {source} come to in
            {target}? | Turn {amount} {source} into {target}.""",
        "share.price": """{company}: how much is a share? | What do I pay for a share of {company}? | How much
            money is one share of {company}? | How does the stock of {company} stand? | I want to buy stock of
            {company}. How much is it? | What is the quote of {company} on the market? | How expensive are the
            shares of {company}? | How much is {company} worth per share?""",
        "firm.boss": """{company}: who is the boss? | Who runs {company}? | Who is the chief of {company}? | I
            write to the boss of {company}. What is the name? | Who stands at the top of {company}? | By whom is
            {company} led? | Who decides at {company}? | Name the director of {company}, please.""",
        "firm.seat": """{company}: where is it based? | From which city is {company} run? | What city is home to
            {company}? | I visit the headquarters of {company}. To which city do I go? | Which city does
            {company} have its seat in? | In what place is {company} at home? | Name the city of {company},
            please. | In which town are the headquarters of {company}?""",
        "firm.staff": """{company}: how many employees? | How large is the staff of {company}? | How big is
            {company}, counted in employees? | How many people does {company} employ? | What is the number of
            workers at {company}? | How many colleagues would I have at {company}? | How many men and women earn
            their money at {company}? | Count the staff of {company}, please.""",
        "tax.tax": """{country}: how high is the sales tax? | What is the tax on goods in {country}, in percent?
            | How much tax does {country} put on a sale? | I sell things in {country}. Which tax do I add? |
            Which rate does the sales tax have in {country}? | How much of a price in {country} is tax? | What
            share does {country} take as sales tax? | I shop in {country}. How high is the tax on it?""",
        # Social
        "locate.city": """{person}: in which city? | What city is {person} in? | I am looking for {person}. In
            which city do I look? | Has {person} gone away, to which city? | In what place does {person} stay at
            the moment? | I would like to visit {person}. To which city must I go? | Do you see where {person}
            is? | Which city did {person} go to? | {person} does not answer. Where is {person} now?""",
        "phone.phone": """{person}: which phone number? | What is the number of {person}? | Under which number
            do I reach {person}? | How do I call {person}? | I lost the phone number of {person}. | Which
            telephone does {person} have? | I have to ring {person}. Which number do I take? | Do we have the
            phone number of {person}?""",
        "work.job+company": """{person}: which job, and at which company? | What is the job of {person}, and who
            is the employer? | What work does {person} do, and at what company? | Which profession does {person}
            have and for whom? | As what is {person} employed and at which firm? | I meet {person} tomorrow.
            What is the job, and what is the company? | How does {person} earn a living and at which company? |
            Which company has {person} and for which job?""",
        "work.company": """{person}: which company? | At which company is {person}? | Who is the employer of
            {person}? | Which firm pays {person}? | At what firm is {person} employed? | In which company do I
            meet {person} at work? | Which firm does {person} go to every morning? | What company has {person}
            on its staff?""",
        "friend.friend": """{person}: who is the best friend? | Who is closest to {person}? | Which friend does
            {person} like most? | Whom does {person} call a best friend? | Who is the dearest friend that
            {person} has? | Who is always there for {person}, which friend? | I plan a party for {person}. Who
            is the best friend? | Name the best friend of {person}, please.""",
        "age.age": """{person}: what age? | Which age does {person} have? | What is the age of {person} today? |
            How long has {person} lived, in years? | {person} has a birthday. What is the age? | How many
            birthdays has {person} had? | Is {person} old or young, which age? | Name the age of {person},
            please.""",
        # eCommerce
        "item.price": """The {item}: what is the price? | How expensive is the {item}? | I want the {item}. What
            do I pay? | What is the {item} sold for? | For how much do I get the {item}? | Which price does the
            shop have for the {item}? | How much money do I need for the {item}? | What do they take for the
            {item}? | The {item} is on my list. What will it cost?""",
        "item.code": """The {item}: which code? | What is the code of the {item}? | Which code do I order for
            the {item}? | Which code stands on the {item}? | I order the {item}. Which code do I write? | How is
            the {item} coded in the shop? | By which code do they know the {item}? | Name the article code of
            the {item}, please.""",
        "stock.stock": """{code}: how many are in stock? | How many pieces of {code} does the shop have? | How
            much of {code} is in the store? | What is the stock of {code}? | How many units of {code} can I
            still buy? | Is {code} sold out, or how many pieces are there? | I want a lot of {code}. How many
            are there? | Count the pieces of {code}, please.""",
        "review.stars": """{code}: how many stars? | What rating does {code} have? | How good is {code}, in
            stars? | Which stars did customers give {code}? | How well do customers like {code}, in stars? | Is
            {code} any good, what is its rating? | How many stars stand next to {code}? | What do people think
            of {code}, in stars?""",
        "review.reviews": """{code}: how many reviews? | How many people have reviewed {code}? | What is the
            number of reviews for {code}? | How often was {code} reviewed? | How many opinions are there about
            {code}? | How many customers said something of {code}? | On how many reviews does the rating of
            {code} rest? | Count the reviews of {code}, please.""",
        "maker.company": """{code}: who makes it? | Who is the maker of {code}? | From which company does {code}
            come? | Which firm produces {code}? | What is the manufacturer of {code}? | Which brand is {code}? |
            Whose product is {code}? | I want to complain about {code}. To which company do I write?""",
        "delivery.days": """{code} to {city}: how many days? | How long does {code} take to {city}? | I order
            {code} to {city}. How many days do I wait? | After how many days does {code} arrive in {city}? | How
            fast is {code} brought to {city}, in days? | What is the delivery time for {code} to {city}? | How
            many days is {code} on its way to {city}? | How soon do they deliver {code} in {city}?""",
        # Books
        "book.author": """Can you tell me the author of {book}? | {book}: who wrote it? | I just finished {book}
            and loved it. Which author do I have to thank? | Please find out which writer is behind {book}. | I
            would like to know who the author of {book} is. | What is the name of the person who wrote {book}? |
            Somebody must have written {book}. Who was it? | For my reading list I need the writer of {book},
            please.""",
        "book.pages": """What is the page count of {book}? | {book}: page count? | I want to read {book} on a
            short holiday. How many pages would that be? | Please look up the number of pages in {book}. | Would
            you tell me how long {book} is in pages? | How many pages do I have to get through if I start {book}
            tonight? | I ask myself on which page {book} ends. How many are there in total? | Tell me the length
            of {book}, counted in pages.""",
        "book.year": """What year is {book} from? | {book}: first printed in what year? | I would like to know
            the year when {book} first appeared. | Please give me the year in which {book} came out. | How old
            is {book}? The year of its first printing would do. | Can you find out when {book} was first in the
            shops? The year is enough. | I have to cite {book} and I am missing the year. What is it? | Since
            what year have people been able to read {book}?""",
        "reading.city": """Where is the evening about {author} held, in what town? | Which city hosts the
            literary evening on {author}? | There is said to be an evening about {author}. Which city is it in?
            | I would love to attend an evening about {author}. To what city do I have to travel? | Please find
            the city with the evening about {author}. | Evening about {author}: which city? | Can you tell me
            the city where they hold an evening in honour of {author}? | Does any city have a reading evening
            devoted to {author}, and which one is it?""",
        "copies.copies": """How many copies of {book} do the libraries in {city} have? | {book} in {city}: how
            many library copies? | Please check the libraries in {city} for {book}. How many copies do they
            hold? | I am in {city} and hope to get {book} from the library. What is the number of copies? |
            Would you tell me the number of copies of {book} in the library of {city}? | Does the library in
            {city} have {book}, and if so, how many of them? | I would like to know how many times {book} stands
            on the library shelves in {city}. | For our reading group in {city} we all need {book}. How many
            copies does the library own?""",
        "favourite.book": """What is the favourite book of {person}? | {person}: favourite book? | I am looking
            for a present and want to know what book {person} loves most. | Please tell me the title of the book
            that {person} likes more than any other. | Which book is {person} most fond of? | If {person} could
            keep only one book, which would it be? | I would like to find out which book {person} prefers to all
            others. | Of all books, which one is the dearest to {person}?""",
        # Music
        "album.album": """What is the title of the newest album by {artist}? | {artist}: name of the latest
            album? | I want to buy the most recent album of {artist}. What is its title? | Please tell me the
            name of the newest record by {artist}. | Is there a new album by {artist}, and what is it called? |
            Can you give me the title of the album that {artist} released most recently? | I lost track of
            {artist} a while ago. What is their latest album? | Find out for me what {artist} named the newest
            album.""",
        "album.tracks": """What is the track count of the newest album by {artist}? | {artist}, newest album:
            how many tracks? | I would like to know the number of tracks on the most recent album by {artist}. |
            Please count the tracks on the latest album of {artist}. | Is the new album by {artist} a long one?
            How many tracks does it have? | How many songs are there on the newest album of {artist}? | Can you
            tell me how many tracks {artist} put on the latest album? | If I play the newest album by {artist}
            from start to end, how many tracks are that?""",
        "concert.city+venue": """What are the city and the venue of the next concert by {artist}? | Next concert
            of {artist}: which city and which venue? | I want to see {artist} live. Please tell me the city and
            the venue. | Please find out to which city {artist} comes next and at what venue the concert is. |
            Could you give me the venue where {artist} performs next, and the city as well? | At what venue does
            {artist} go on stage next, and in which town is that? | I would not miss {artist} for anything.
            Which city is the next gig in, and what is the venue? | I have to know in what city {artist} gives
            the next concert, and the name of the venue there.""",
        "concert.price": """What is the ticket price for the next concert of {artist}? | {artist} live: what is
            the price of a ticket? | I am thinking of going to see {artist}. How expensive are the tickets? |
            Please tell me how much they charge for a ticket to {artist}. | How much money do I need for one
            ticket to the {artist} concert? | Could you check the price of admission to the next concert by
            {artist}? | Are tickets for {artist} expensive? I would like to know the price. | I would like to
            know what they want for a seat at the concert of {artist}.""",
        "chart.rank": """What is the chart position of {artist}? | {artist}: what rank in the charts? | I would
            like to know the place that {artist} holds in the charts right now. | Please look up {artist} in the
            charts and tell me the rank. | Can you tell me what position {artist} has reached in the charts? |
            At what number in the charts do I find {artist}? | They say {artist} is doing well in the charts.
            What rank is it? | Which place in the charts belongs to {artist} at the moment?""",
        "chart.weeks": """How many weeks has {artist} spent in the charts? | {artist} in the charts: how many
            weeks by now? | Please tell me the number of weeks that {artist} has stayed in the charts. | I would
            like to know since how many weeks {artist} has been a chart act. | Can you count the weeks of
            {artist} in the charts? | What is the number of weeks for which {artist} has held on in the charts?
            | It feels as if {artist} never leaves the charts. How many weeks is it now? | How many weeks ago
            did {artist} enter the charts?""",
        "fan.artist": """What is the favourite band of {person}? | {person}: favourite band? | I want to give
            {person} a record. Which band would be the favourite? | Please find out what band {person} loves
            most. | Can you tell me the name of the band that {person} prefers to all others? | Whose music does
            {person} like most, which band? | I would like to know which band {person} adores. | If {person}
            could see only one band live, which would it be?""",
        # Sports
        "team.coach": """What is the name of the coach of the {team}? | Name of the coach of the {team}, please?
            | I would like to know who trains the {team}. | Please tell me which person is coaching the {team}
            at present. | Who is in charge of the training of the {team}? | Can you find out under which coach
            the {team} play? | After that game I have a word to say to the coach of the {team}. Who is it? | Who
            stands at the sideline as coach of the {team}?""",
        "team.city": """What is the home city of the {team}? | Home town of the {team}: which one? | I would
            like to know what city the {team} call their home. | Please tell me the city where the {team} are
            based. | Which city do the {team} represent? | Can you find out to what city the {team} belong? | I
            have forgotten the home of the {team}. I mean the city. | I want to visit the home of the {team}.
            Which city do I go to?""",
        "match.opponent+time": """Who is the next opponent of the {team}, and what time is the match? | Next
            match of the {team}: opponent and time? | I do not want to miss the next match of the {team}. Who is
            the opponent, and when does it start? | Please tell me which team the {team} face next and at what
            time. | When is the next game of the {team}, and who is on the other side? | Can you look up the
            opponent and the starting time for the next match of the {team}? | I would like to know when the
            {team} have their next match and against which opponent. | What time is kick-off for the {team}
            next, and which team is the opponent?""",
        "match.place": """Which city gets to see the {team} in their coming game? | Next match of the {team}:
            what city? | I plan to follow the {team} to their next game. To which city do I have to travel? |
            Please tell me the city in which the {team} have their next match. | What town is the coming game of
            the {team} played in? | Can you find out to which city the {team} travel for their next match? | I
            would like to know the city where the {team} will be playing next. | What city is the host when the
            {team} play again?""",
        "table.points": """What is the number of points of the {team}? | Points of the {team} this season: how
            many? | I would like to know how many points the {team} hold at the moment. | Please tell me the
            points total of the {team}. | How many points have the {team} collected this season? | Can you look
            up what the {team} have in the way of points? | Are the {team} doing well? Tell me how many points
            they have. | With how many points do the {team} stand right now?""",
        "table.rank": """What is the rank of the {team} in the league? | Rank of the {team}: what is it at the
            moment? | I would like to know the position of the {team} in the standings. | Please tell me which
            place the {team} hold this season. | Are the {team} near the top? What is their rank? | Can you look
            up the league position of the {team}? | What place are the {team} in right now? | How well are the
            {team} ranked at present?""",
        "stadium.stadium+seats": """What is the name of the stadium of the {team}, and what is its number of
            seats? | Stadium of the {team}: name and seats? | I would like to know the home stadium of the
            {team} and how many people can sit there. | Please tell me which stadium belongs to the {team} and
            how many seats are in it. | How many seats does the stadium of the {team} have, and what is its
            name? | Can you find out at what stadium the {team} play their home games and for how many people it
            has seats? | I am going to see the {team} at home. Which stadium is it, and how many does it seat? |
            Which is the home ground of the {team}, and how many seats does it offer?""",
        "supports.team": """What is the favourite team of {person}? | {person}: which team? | I would like to
            know the team that {person} follows. | Please find out what team {person} is a supporter of. | On
            the side of which team is {person}? | Can you tell me which team has the heart of {person}? | I want
            to buy a scarf for {person}. Which team should be on it? | Whose supporter is {person}, of what
            team?""",
        # Food
        "restaurant.restaurant+price": """Can you recommend a restaurant in {city} and tell me the price of a
            meal there? | Restaurant in {city}: name and price of a meal? | I will be hungry when I get to
            {city}. What restaurant is good, and how expensive is it? | Please find me a restaurant in {city}
            and say how much a meal is. | I would like to go out for dinner in {city}. At what restaurant, and
            what is the price? | Do you have a place to eat in {city}? I need its name and the price of a
            dinner. | In {city}, at which restaurant should I have lunch and how much will I be charged? | What
            is the name of a restaurant in {city}, and how much money do I need for a meal?""",
        "menu.dish": """Which dish is the special of the day at {restaurant}? | {restaurant}: dish of the day? |
            I am going to have lunch at {restaurant}. What is the dish of the day there? | Please tell me what
            is on the board as the special at {restaurant}. | Can you find out which dish {restaurant}
            recommends for the day? | I would like to know the special of the day at {restaurant}. | What dish
            does {restaurant} serve as its special? | What is on the menu at {restaurant} as the daily
            special?""",
        "menu.tables": """What is the number of free tables at {restaurant}? | {restaurant}: how many tables
            still free? | I want to take my family to {restaurant}. How many tables do they have free? | Please
            check how many tables are not yet taken at {restaurant}. | Is {restaurant} full already, or how many
            tables are there still to be had? | Could you find out how many free tables remain at {restaurant}?
            | I would like to book at {restaurant}. How many tables are available? | Tell me how many tables one
            can still reserve at {restaurant}.""",
        "nutrition.kcal": """What is the energy of {dish} in kcal? | {dish}: how many kcal? | I am on a diet and
            fancy {dish}. How much energy does it have in kcal? | Please tell me the kcal of {dish}. | How much
            energy, in kcal, do I take in with {dish}? | Can you look up how many kcal a plate of {dish} has? |
            Is {dish} bad for my waist? Tell me the kcal. | I would like to know with how many kcal I have to
            reckon for {dish}.""",
        "nutrition.protein": """What is the protein content of {dish}? | {dish}: how much protein? | I am
            training hard. How much protein would {dish} give me? | Please tell me the amount of protein in
            {dish}. | Is {dish} rich in protein? I need to know how much it contains. | Can you look up the
            protein of {dish}? | I would like to know how much of {dish} is protein. | How much protein do I get
            when I eat a portion of {dish}?""",
        "recipe.minutes": """What is the cooking time of {dish}? | {dish}: how much time in the kitchen? | My
            guests will be here soon and I want to serve {dish}. How long will the cooking take? | Please tell
            me the number of minutes for cooking {dish}. | How long does {dish} need until it is ready to eat? |
            Can you look up the time that {dish} needs on the stove? | I would like to know how much time I
            should plan for cooking {dish}. | After how many minutes is {dish} done?""",
        # Transportation
        "train.train+departure": """What is the train from {start} to {end}, and what is its departure time? |
            Train from {start} to {end}: which one, and when does it depart? | I have to get from {start} to
            {end}. Please give me the train and the departure time. | Please find me a train that runs from
            {start} to {end} and tell me when it goes. | When does the train to {end} leave {start}, and what is
            its number? | Can you look up a train connection between {start} and {end}, with the number of the
            train and its departure? | I want to visit {end} and I start in {start}. Which train should I take,
            and when does it depart? | On which train do I get from {start} to {end}, and when must I be on the
            platform?""",
        "train.hours": """How many hours do I sit in the train between {start} and {end}? | By train from
            {start} to {end}: how many hours? | Please tell me the travel time by train from {start} to {end} in
            hours. | I would like to know how many hours the train needs to get from {start} to {end}. | I take
            the train in {start}. After how many hours do I get to {end}? | Can you look up the duration of the
            train journey between {start} and {end}? | Is it a long journey by train from {start} to {end}? Tell
            me the hours. | What is the number of hours that one spends on the train from {start} to {end}?""",
        "route.distance": """What is the distance between {start} and {end} by road? | From {start} to {end}:
            how many kilometers by road? | Please tell me how many kilometers lie between {start} and {end}. | I
            would like to know the distance from {start} to {end}. | I am planning a bicycle tour from {start}
            to {end}. How far would I have to ride? | Can you look up how long the road from {start} to {end} is
            in kilometers? | How far away from {start} is {end} on the road? | Are {start} and {end} close to
            each other? Tell me the road distance.""",
        "route.minutes": """What is the travel time by car between {start} and {end}? | By car from {start} to
            {end}: how many minutes? | Please tell me how many minutes the car needs to get from {start} to
            {end}. | I start in {start} by car. After how many minutes will I be in {end}? | I would like to
            know the time behind the wheel from {start} to {end}. | Can you look up the minutes by car for the
            road from {start} to {end}? | If I leave {start} by car now, how many minutes later do I reach
            {end}? | How much time should I plan for the car trip from {start} to {end}?""",
        "taxi.price": """What is the taxi fare in {city}? | Taxi in {city}: what price? | I do not want to walk
            in {city}. How expensive is a taxi? | Please tell me the price of a taxi ride in {city}. | How much
            money do I need for a taxi in {city}? | Can you find out what they charge for a taxi in {city}? | I
            would like to know the price I have to expect for a taxi in {city}. | Are taxis expensive in {city}?
            Tell me the fare.""",
        "taxi.minutes": """What is the waiting time for a taxi in {city}? | Taxi in {city}: how many minutes to
            wait? | I am standing in the rain in {city}. How many minutes until a taxi is here? | Please tell me
            how many minutes it takes to get a taxi in {city}. | If I call a taxi in {city} now, how soon will
            it pick me up? | Can you find out how many minutes one has to wait for a taxi in {city}? | I would
            like to know how quickly a taxi gets to me in {city}, in minutes. | How much patience do I need for
            a taxi in {city}? I mean the minutes of waiting.""",
        "parking.spaces": """What is the number of free parking spaces in {city}? | Parking in {city}: how many
            free spaces? | I am coming to {city} by car. How many parking spaces are there still? | Please check
            how many places for cars are free in {city}. | Would you tell me how many parking spaces remain in
            {city}? | Is it hard to find a parking space in {city}? Tell me how many are available. | I would
            like to know the number of parking spaces still open in {city}. | How many cars could still find a
            parking space in {city}?""",
        # Logistics
        "order.parcel": """What is the number of the parcel for {person}? | Parcel of {person}: which number? |
            I would like to know the tracking number of the parcel that {person} is waiting for. | Please look
            up the parcel number of {person}. | There is a parcel for {person}. Under which number does it
            travel? | Can you tell me what parcel number {person} was given? | {person} has lost the slip with
            the parcel number. What does it say? | With which number can I track the parcel of {person}?""",
        "track.city": """What is the present place of {parcel}? | {parcel}: which city at the moment? | I am
            worried about {parcel}. What city is it in? | Please tell me the city where {parcel} lies. | Which
            city has {parcel} reached? | Can you track {parcel} and tell me where it is now? | I would like to
            know in what town {parcel} can be found. | Where is {parcel} at present?""",
        "track.days": """How many days until {parcel} arrives? | {parcel}: how many more days? | I am impatient
            for {parcel}. How many days do I still have to wait? | Please tell me the number of days before
            {parcel} is delivered. | How many days does {parcel} still need to get to me? | Can you look up how
            soon {parcel} gets delivered, in days? | I would like to know how many days are left until {parcel}
            comes. | Will {parcel} come soon? Tell me the days that remain.""",
        "weight.weight": """What is the weight of {parcel}? | {parcel}: what weight? | I have to pick up
            {parcel} on foot. How heavy will it be? | Please tell me how many kilograms {parcel} has. | Can you
            look up the kilograms of {parcel}? | What would the scales show for {parcel}? | I would like to know
            the weight of {parcel} in kilograms. | Is {parcel} a heavy one? Tell me its weight.""",
        "shipping.price": """What is the price for sending a box from {start} to {end}? | Postage from {start}
            to {end}: what price? | I want to send a present from {start} to a friend in {end}. How expensive
            will it be? | Please tell me the postage for a box that goes from {start} to {end}. | How much money
            do I need to post a box in {start} to an address in {end}? | Can you find out what they charge for a
            box between {start} and {end}? | I would like to know the postage that I must reckon with from
            {start} to {end}. | A box has to go to {end}, and I am in {start}. What will the postage come
            to?""",
        "shipping.days": """What is the shipping time from {start} to {end} in days? | Box from {start} to
            {end}: how many days? | I post a box in {start} this morning. After how many days does it get to
            {end}? | Please tell me how many days shipping from {start} to {end} needs. | How many days should I
            plan for the mail between {start} and {end}? | Can you find out within how many days a box posted in
            {start} gets to {end}? | I would like to know how fast a box gets from {start} to {end}, in days. |
            My aunt in {end} needs a box from {start} for her birthday. How many days ahead must I send it?""",
    }.items()
}
"""By the need's name and what is owed, for example "work.job+company"."""
