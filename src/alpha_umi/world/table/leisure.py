"""Categories: Books, Movies, Music, Sports, Food."""

from __future__ import annotations

from alpha_umi.world.needs import another, clock, fixed, looked_up, name_of, number
from alpha_umi.world.table import names
from alpha_umi.world.table.tables import Category, ask, need

BOOKS = Category(
    name="Books",
    needs=(
        need(
            "book",
            "the book {book}",
            "book",
            {
                "author": looked_up(names.AUTHOR_OF, "book"),
                "year": looked_up(names.BOOK_YEAR, "book"),
                "pages": number("pages", 90, 899, "book"),
            },
            ask(
                "author",
                "{author} wrote {book}.",
                "the author of {book} | the writer of {book} | the name of the one who wrote {book}",
                "Who wrote {book}? | By whom is {book}? | Whose book is {book}?",
            ),
            ask(
                "pages:=pages",
                "{book} has {pages} pages.",
                "the number of pages of {book} | the length of {book} in pages | the page count of {book}",
                "How many pages does {book} have? | How thick is {book}, how many pages?",
            ),
            ask(
                "year",
                "{book} came out in {year}.",
                "the year of {book} | the year in which {book} came out | the year when {book} was printed first",
                "When did {book} come out? | In which year was {book} published?",
            ),
            refs={"author": "the author of {book} | the writer of {book}"},
        ),
        need(
            "reading",
            "the reading by {author}",
            "author",
            {"city": name_of("reading", names.CITIES, "author"), "time": clock("reading time", 17, 22, "author")},
            ask(
                "city",
                "The evening about {author} is in {city}.",
                "the city of the evening about {author} | the place of the evening about {author}",
                "In which city is there an evening about {author}? | Where can I hear about {author}, in which city?",
            ),
            refs={"city": "the city of the evening about {author} | the place of the evening about {author}"},
        ),
        need(
            "copies",
            "the copies of {book} in {city}",
            "book city",
            {"copies": number("copies", 1, 49, "book", "city")},
            ask(
                "copies:=copies",
                "There are {copies} copies of {book} in {city}.",
                "the number of copies of {book} in {city} | the library copies of {book} in {city}",
                "How many copies of {book} are there in {city}? | Can I borrow {book} in {city}, how many copies are there?",
            ),
        ),
        need(
            "favourite",
            "the favourite book of {person}",
            "person",
            {"book": name_of("favourite book", names.BOOK.terms, "person")},
            ask(
                "book",
                "The favourite book of {person} is {book}.",
                "the favourite book of {person} | the book that {person} likes best | the best-loved book of {person}",
                "Which book does {person} like best? | What is {person} always reading, which book?",
            ),
            refs={"book": "the favourite book of {person} | the book that {person} likes best"},
        ),
    ),
    providers="""
Bookhive: All that is printed.
  book title: Author, year and pages of a book. | title_of=book -> author year pages
  copies shelf: Copies of a book in a city. | title_of=book city -> copies
  favourite reader: Favourite book of a person. | reader_name=person -> book
Libris: Library network.
  book volume: Facts of a book: author, pages. | name=book -> @entry writer=author published=year length=pages
  reading event: City of an evening about an author. | writer=author -> @entry city hour=time
  copies lend: How many copies of a book a library has. | name=book library=city -> @entry stock=copies
Pageturner: For those who read.
  favourite loves: Book that a person likes best. | user=person -> top=book
  reading evening: Evening about an author: city and time. | author -> town=city starts=time
*Inkwell: Literature as data.
  book work: Who wrote a book, and when. | work_title=book -> by=author since=year sheets=pages
  favourite best: Which book is a person's favourite. | whose=person -> work=book
  copies loan: Library copies of a book. | work_title=book place=city -> number=copies
""",
)

MOVIES = Category(
    name="Movies",
    held_out=True,
    needs=(
        need(
            "film",
            "the film {film}",
            "film",
            {
                "director": looked_up(names.DIRECTOR_OF, "film"),
                "year": looked_up(names.FILM_YEAR, "film"),
                "minutes": number("minutes", 70, 219, "film"),
            },
            ask(
                "director",
                "{director} made {film}.",
                "the director of {film} | the name of the one who directed {film} | the maker of the film {film}",
                "Who directed {film}? | Whose film is {film}? | By which director is {film}?",
            ),
            ask(
                "minutes:=minutes",
                "{film} takes {minutes} minutes.",
                "the length of {film} in minutes | the running time of {film} | the number of minutes of {film}",
                "How long is {film}? | How many minutes does {film} run?",
            ),
            ask(
                "year",
                "{film} is from {year}.",
                "the year of {film} | the year in which {film} came to the cinemas",
                "From which year is {film}? | When was {film} shown first, in which year?",
            ),
            refs={"director": "the director of {film} | the one who directed {film}"},
        ),
        need(
            "showing",
            "the showing of {film} in {city}",
            "film city",
            {
                "cinema": name_of("cinema", names.CINEMAS, "film", "city"),
                "time": clock("showing", 14, 23, "film", "city"),
            },
            ask(
                "cinema time",
                "The cinema {cinema} in {city} shows {film} at {time}.",
                "the cinema and the time of {film} in {city} | the next showing of {film} in {city}, where and when",
                "Which cinema shows {film} in {city} and when? | Where and at what time can I watch {film} in {city}?",
            ),
        ),
        need(
            "premiere",
            "the premiere of {director}",
            "director",
            {"city": name_of("premiere", names.CITIES, "director"), "days": number("premiere days", 2, 89, "director")},
            ask(
                "city",
                "The next premiere of {director} is in {city}.",
                "the city of the next premiere of {director} | the place of the next premiere of {director}",
                "In which city is the next premiere of {director}? | Where does {director} have the next premiere?",
            ),
            refs={"city": "the city of the next premiere of {director} | the place of the next premiere of {director}"},
        ),
        need(
            "watched",
            "the film that {person} watched",
            "person",
            {"film": name_of("watched", names.FILM.terms, "person")},
            ask(
                "film",
                "{person} watched {film}.",
                "the film that {person} watched last | the last film of {person} | the latest movie that {person} saw",
                "Which film did {person} watch last? | What did {person} see in the cinema?",
            ),
            refs={"film": "the film that {person} watched last | the last film of {person}"},
        ),
    ),
    providers="""
Filmotek: An archive of pictures.
  film picture: Director, year and minutes of a film. | name=film -> director year minutes
  showing screens: Cinema that shows a film in a city. | name=film town=city -> cinema time
  watched seen_by: Film that a person watched last. | visitor=person -> film
Reelbase: Reels and stars.
  film reel: Facts of a film: director, length. | reel_title=film -> @movie directed_by=director released=year runtime=minutes
  premiere gala: City of the next premiere of a director. | maker=director -> @gala place=city wait=days
  watched history: Last film of a person. | user=person -> @movie title=film
Kinoplan: Tonight in the cinema.
  showing tonight: Cinema and time for a film in a city. | movie=film place=city -> house=cinema starts=time
  premiere upcoming: Next premiere of a director: city and days. | who=director -> where=city in_days=days
""",
)

MUSIC = Category(
    name="Music",
    needs=(
        need(
            "album",
            "the album of {artist}",
            "artist",
            {"album": name_of("album", names.ALBUMS, "artist"), "tracks": number("tracks", 5, 24, "artist")},
            ask(
                "album",
                "The latest album of {artist} is {album}.",
                "the latest album of {artist} | the newest album by {artist} | the title of the last album of {artist}",
                "What is the latest album of {artist} called? | Which album did {artist} bring out last?",
            ),
            ask(
                "tracks:=tracks",
                "The latest album of {artist} has {tracks} tracks.",
                "the number of tracks on the latest album of {artist} | the track count of the latest album of {artist}",
                "How many tracks are on the latest album of {artist}? | How many tracks did {artist} record last?",
            ),
        ),
        need(
            "concert",
            "the concert of {artist}",
            "artist",
            {
                "city": name_of("concert", names.CITIES, "artist"),
                "venue": name_of("venue", names.VENUES, "artist"),
                "price": number("concert price", 15, 180, "artist"),
                "currency": fixed("USD"),
            },
            ask(
                "city venue",
                "{artist} plays in {city} at {venue}.",
                "the city and the venue of the next concert of {artist} | the place and the hall where {artist} plays next",
                "In which city and where does {artist} play next? | Where can I hear {artist}, in which city and hall?",
            ),
            ask(
                "price:currency",
                "A ticket for {artist} costs {price} {currency}.",
                "the price of a ticket for {artist} | the ticket price of the next concert of {artist}",
                "What does a ticket for {artist} cost? | How much do I pay to hear {artist}?",
            ),
            refs={"city": "the city where {artist} plays next | the city of the next concert of {artist}"},
        ),
        need(
            "chart",
            "the chart rank of {artist}",
            "artist",
            {"rank": number("rank", 1, 99, "artist"), "weeks": number("weeks", 1, 60, "artist")},
            ask(
                "rank",
                "{artist} is on rank {rank}.",
                "the rank of {artist} in the charts | the chart position of {artist} | the place of {artist} in the charts",
                "On which rank is {artist} in the charts? | How high is {artist} in the charts?",
            ),
            ask(
                "weeks:=weeks",
                "{artist} has been in the charts for {weeks} weeks.",
                "the number of weeks of {artist} in the charts | the weeks that {artist} has been in the charts",
                "For how many weeks has {artist} been in the charts? | How long is {artist} in the charts?",
            ),
        ),
        need(
            "fan",
            "the favourite band of {person}",
            "person",
            {"artist": name_of("fan", names.ARTIST.terms, "person")},
            ask(
                "artist",
                "The favourite band of {person} is {artist}.",
                "the favourite band of {person} | the band that {person} likes best | the band of which {person} is a fan",
                "Which band does {person} like best? | Of which band is {person} a fan?",
            ),
            refs={"artist": "the favourite band of {person} | the band that {person} likes best"},
        ),
    ),
    providers="""
Soundbox: A record collection.
  album record: Latest album of a band. | artist -> album tracks
  chart hits: Rank of a band in the charts. | artist -> rank weeks
  fan listener: Favourite band of a person. | listener_name=person -> artist
Gigfinder: Live music.
  concert gig: Next concert of a band: city, hall, price. | band=artist -> city hall=venue ticket=price currency
  fan follows: Band that a person likes best. | user=person -> band=artist
Tunely: Numbers about songs.
  album release: Newest album of a band and its tracks. | name=artist -> @music title=album songs=tracks
  chart position: Charts: rank and weeks of a band. | name=artist -> @music place=rank since=weeks
  concert tour: Where a band plays next. | name=artist -> @music town=city stage=venue fee=price money=currency
*Melodia: Music for all.
  concert live: City of the next concert of a band. | group=artist -> where=city at=venue entry=price in=currency
  chart ranking: How high a band is in the charts. | group=artist -> no=rank duration=weeks
  album disc: Album of a band: title, tracks. | group=artist -> disc=album pieces=tracks
""",
)

SPORTS = Category(
    name="Sports",
    needs=(
        need(
            "team",
            "the city and the coach of {team}",
            "team",
            {
                "city": name_of("team city", names.CITIES, "team"),
                "coach": name_of("coach", names.PERSON.terms, "team"),
            },
            ask(
                "coach",
                "The coach of {team} is {coach}.",
                "the coach of the {team} | the trainer of the {team} | the person who trains the {team}",
                "Who coaches the {team}? | Who is the trainer of the {team}?",
            ),
            ask(
                "city",
                "The {team} are at home in {city}.",
                "the home city of the {team} | the city where the {team} are at home | the home town of the {team}",
                "In which city are the {team} at home? | Where do the {team} come from, from which city?",
            ),
            refs={
                "city": "the home city of the {team} | the city where the {team} are at home",
                "coach:person": "the coach of the {team} | the trainer of the {team}",
            },
        ),
        need(
            "match",
            "the next match of {team}",
            "team",
            {
                "opponent": another("opponent", names.TEAM.terms, "team"),
                "time": clock("match", 12, 22, "team"),
                "place": name_of("match place", names.CITIES, "team"),
            },
            ask(
                "opponent time",
                "The {team} play against the {opponent} at {time}.",
                "the next opponent of the {team} and the time of the match | the next match of the {team}, against whom and when",
                "Against whom and at what time do the {team} play next? | Whom do the {team} meet next and when?",
            ),
            ask(
                "place",
                "The {team} play next in {place}.",
                "the city of the next match of the {team} | the city where the {team} play next",
                "In which city do the {team} play next? | Where is the next match of the {team}, in which city?",
            ),
            refs={
                "opponent:team": "next opponent of the {team}",
                "place:city": "the city of the next match of the {team} | the city where the {team} play next",
            },
        ),
        need(
            "table",
            "the points of {team}",
            "team",
            {"points": number("points", 1, 99, "team"), "rank": number("table rank", 1, 20, "team")},
            ask(
                "points:=points",
                "The {team} have {points} points.",
                "the points of the {team} | the number of points that the {team} have | the score of the {team} this season",
                "How many points do the {team} have? | How many points did the {team} win so far?",
            ),
            ask(
                "rank",
                "The {team} are on rank {rank}.",
                "the rank of the {team} | the place of the {team} in the table | the position of the {team}",
                "On which rank are the {team}? | Where in the table are the {team}, on which rank?",
            ),
        ),
        need(
            "stadium",
            "the stadium of {team}",
            "team",
            {"stadium": name_of("stadium", names.STADIUMS, "team"), "seats": number("seats", 900, 89000, "team")},
            ask(
                "stadium seats:=seats",
                "The {team} play at {stadium} with {seats} seats.",
                "the stadium of the {team} and its seats | the name and the seats of the stadium of the {team}",
                "In which stadium do the {team} play and how many seats does it have?"
                "| How is the stadium of the {team} called and how many seats are there?",
            ),
        ),
        need(
            "supports",
            "the team of {person}",
            "person",
            {"team": name_of("supports", names.TEAM.terms, "person")},
            ask(
                "team",
                "{person} supports the {team}.",
                "the team that {person} supports | the favourite team of {person} | the team for which {person} cheers",
                "Which team does {person} support? | For which team does {person} cheer?",
            ),
            refs={"team": "team that {person} supports | favourite team of {person}"},
        ),
    ),
    providers="""
Sportika: Results and more.
  team club: Home city and coach of a team. | team -> city coach
  table standings: Points and rank of a team. | team -> points rank
  supports fanbase: Team that a person supports. | fan=person -> team
Goalline: All about games.
  match fixture: Next match of a team. | side=team -> opponent kickoff=time place
  team squad: Coach of a team and its city. | side=team -> home=city trainer=coach
  stadium ground: Stadium of a team and its seats. | side=team -> arena=stadium seats
Arenas: Where games are played.
  stadium arena: Where a team plays: stadium, seats. | club=team -> @arena name=stadium capacity=seats
  supports loyal: Favourite team of a person. | user=person -> @fan club=team
  match next_game: Next opponent of a team, time and place. | club=team -> @game versus=opponent hour=time town=place
*Leagueo: League tables.
  table league: Rank of a team in the table, with points. | club=team -> score=points position=rank
  match upcoming: Whom a team plays next. | club=team -> rival=opponent starts=time where=place
  team about: Facts of a team: city, coach. | club=team -> town=city manager=coach
""",
)

FOOD = Category(
    name="Food",
    needs=(
        need(
            "restaurant",
            "the restaurant of {city}",
            "city",
            {
                "restaurant": name_of("restaurant", names.RESTAURANT.terms, "city"),
                "price": number("meal", 8, 120, "city"),
                "currency": fixed("USD"),
            },
            ask(
                "restaurant price:currency",
                "The restaurant {restaurant} in {city} costs {price} {currency}.",
                "a restaurant in {city} and the price of a meal | the name and the price of a restaurant in {city} |"
                "a good table in {city} with the price of a meal",
                "Where can I eat in {city} and for how much? | Which restaurant is there in {city} and what does a meal cost?",
            ),
            refs={"restaurant": "the best restaurant in {city} | the restaurant to go to in {city}"},
        ),
        need(
            "menu",
            "the menu of {restaurant}",
            "restaurant",
            {"dish": name_of("menu", names.DISH.terms, "restaurant"), "tables": number("tables", 1, 30, "restaurant")},
            ask(
                "dish",
                "The dish of the day at {restaurant} is {dish}.",
                "the dish of the day at {restaurant} | the special of the day at {restaurant}",
                "What is the dish of the day at {restaurant}? | What do they cook today at {restaurant}?",
            ),
            ask(
                "tables:=tables",
                "There are {tables} free tables at {restaurant}.",
                "the number of free tables at {restaurant} | the tables left at {restaurant}",
                "How many tables are free at {restaurant}? | Can I sit at {restaurant}, how many tables are left?",
            ),
            refs={"dish": "the dish of the day at {restaurant}"},
        ),
        need(
            "nutrition",
            "the calories of {dish}",
            "dish",
            {"kcal": number("kcal", 120, 1200, "dish"), "protein": number("protein", 2, 70, "dish")},
            ask(
                "kcal:=kcal",
                "It is {kcal} kcal for {dish}.",
                "the calories of {dish} | the kcal of {dish} | the energy in kcal of {dish}",
                "How many kcal does {dish} have? | How many calories are there in {dish}?",
            ),
            ask(
                "protein:=grams",
                "There are {protein} grams of protein in {dish}.",
                "the protein of {dish} in grams | the grams of protein in {dish}",
                "How much protein is there in {dish}? | How many grams of protein does {dish} have?",
            ),
        ),
        need(
            "recipe",
            "the recipe of {dish}",
            "dish",
            {"minutes": number("recipe", 10, 240, "dish"), "steps": number("recipe steps", 3, 19, "dish")},
            ask(
                "minutes:=minutes",
                "It takes {minutes} minutes to cook {dish}.",
                "the cooking time of {dish} | the minutes to cook {dish} | the time that {dish} takes in the kitchen",
                "How long do I cook {dish}? | How many minutes does it take to make {dish}?",
            ),
        ),
    ),
    providers="""
Tastebud: Eat out, eat well.
  restaurant dine: Restaurant in a city with its price. | city -> restaurant price currency
  menu special: Dish of the day at a restaurant. | restaurant -> dish tables
Calorix: Know what you eat.
  nutrition energy: Calories and protein of a dish. | food=dish -> kcal protein
  recipe prepare: Minutes to cook a dish. | food=dish -> minutes steps
Gourmand: For lovers of food.
  restaurant table_for: Where to eat: restaurant and price. | town=city -> @place name=restaurant meal=price money=currency
  menu card: Restaurant menu: dish and free tables. | house=restaurant -> @place meal_of_day=dish free=tables
  nutrition facts: Energy of a dish in kcal, and protein. | plate=dish -> @plate calories=kcal protein_g=protein
*Cookwell: The kitchen companion.
  recipe howto: Cooking time of a dish. | meal=dish -> takes=minutes stages=steps
  nutrition label: How many calories a dish has. | meal=dish -> energy=kcal proteins=protein
  menu stove: What a restaurant cooks today. | venue=restaurant -> serves=dish seats=tables
*Forkful: Reservations.
  restaurant book_in: Restaurant of a town and what a meal costs. | place=city -> house=restaurant bill=price in=currency
""",
)
