"""The names of the table world, and what never changes of them."""

from __future__ import annotations

from collections.abc import Mapping

from alpha_umi.world.domains import Amounts, Codes, Domain, Names


def _words(text: str) -> tuple[str, ...]:
    """Names between commas."""
    return tuple(" ".join(name.split()) for name in text.split(","))


def _rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()]


# --- places: these are real -----------------------------------------------------------------------------

_COUNTRIES = _rows("""
Argentina | Buenos Aires | ARS | Spanish | America
Australia | Canberra | AUD | English | Oceania
Austria | Vienna | EUR | German | Europe
Brazil | Brasilia | BRL | Portuguese | America
Bulgaria | Sofia | BGN | Bulgarian | Europe
Canada | Ottawa | CAD | English | America
Chile | Santiago | CLP | Spanish | America
China | Beijing | CNY | Chinese | Asia
Colombia | Bogota | COP | Spanish | America
Czechia | Prague | CZK | Czech | Europe
Denmark | Copenhagen | DKK | Danish | Europe
Ecuador | Quito | USD | Spanish | America
Egypt | Cairo | EGP | Arabic | Africa
Finland | Helsinki | EUR | Finnish | Europe
France | Paris | EUR | French | Europe
Germany | Berlin | EUR | German | Europe
Greece | Athens | EUR | Greek | Europe
Hungary | Budapest | HUF | Hungarian | Europe
India | Delhi | INR | Hindi | Asia
Ireland | Dublin | EUR | English | Europe
Italy | Rome | EUR | Italian | Europe
Japan | Tokyo | JPY | Japanese | Asia
Kenya | Nairobi | KES | Swahili | Africa
Mexico | Mexico City | MXN | Spanish | America
Algeria | Algiers | DZD | Arabic | Africa
Nepal | Kathmandu | NPR | Nepali | Asia
Norway | Oslo | NOK | Norwegian | Europe
Peru | Lima | PEN | Spanish | America
Poland | Warsaw | PLN | Polish | Europe
Portugal | Lisbon | EUR | Portuguese | Europe
Romania | Bucharest | RON | Romanian | Europe
Senegal | Dakar | XOF | French | Africa
Spain | Madrid | EUR | Spanish | Europe
Sweden | Stockholm | SEK | Swedish | Europe
Switzerland | Bern | CHF | German | Europe
Thailand | Bangkok | THB | Thai | Asia
Tunisia | Tunis | TND | Arabic | Africa
Turkey | Ankara | TRY | Turkish | Asia
Uruguay | Montevideo | UYU | Spanish | America
Vietnam | Hanoi | VND | Vietnamese | Asia
""")
_OTHER_CITIES = _rows("""
Barcelona | Spain
Bergen | Norway
Oran | Algeria
Chennai | India
Cusco | Peru
Geneva | Switzerland
Hamburg | Germany
Istanbul | Turkey
Kolkata | India
Krakow | Poland
Kyoto | Japan
Lyon | France
Melbourne | Australia
Milan | Italy
Mumbai | India
Munich | Germany
Osaka | Japan
Porto | Portugal
Salzburg | Austria
Seville | Spain
Shanghai | China
Sydney | Australia
Toronto | Canada
Valencia | Spain
Venice | Italy
Zurich | Switzerland
""")
_AIRPORTS = _words("""
EZE, CBR, VIE, BSB, SOF, YOW, SCL, PEK, BOG, PRG, CPH, UIO, CAI, HEL, CDG, BER, ATH, BUD, DEL, DUB, FCO, HND, NBO,
MEX, ALG, KTM, OSL, LIM, WAW, LIS, OTP, DSS, MAD, ARN, BRN, BKK, TUN, ESB, MVD, HAN,
BCN, BGO, ORN, MAA, CUZ, GVA, HAM, IST, CCU, KRK, UKY, LYS, MEL, MXP, BOM, MUC, KIX, OPO, SZG, SVQ, PVG, SYD, YYZ,
VLC, VCE, ZRH
""")
CAPITAL_OF: Mapping[str, str] = {row[0]: row[1] for row in _COUNTRIES}
CURRENCY_OF: Mapping[str, str] = {row[0]: row[2] for row in _COUNTRIES}
LANGUAGE_OF: Mapping[str, str] = {row[0]: row[3] for row in _COUNTRIES}
CONTINENT_OF: Mapping[str, str] = {row[0]: row[4] for row in _COUNTRIES}
COUNTRY_OF: Mapping[str, str] = {
    **{row[1]: row[0] for row in _COUNTRIES},
    **{row[0]: row[1] for row in _OTHER_CITIES},
}
AIRPORT_OF: Mapping[str, str] = dict(zip(COUNTRY_OF, _AIRPORTS, strict=True))
CITIES = tuple(COUNTRY_OF)
RATES: Mapping[str, float] = {
    "ARS": 900, "AUD": 1.5, "BGN": 1.8, "BRL": 5, "CAD": 1.4, "CHF": 0.9, "CLP": 920, "CNY": 7.2, "COP": 3900,
    "CZK": 23, "DKK": 6.9, "EGP": 48, "EUR": 0.9, "GBP": 0.8, "HUF": 360, "INR": 83, "JPY": 150, "DZD": 134, "KES": 130,
    "MXN": 17, "NOK": 10.6, "NPR": 133, "PEN": 3.7, "PLN": 4, "RON": 4.6, "SEK": 10.4, "THB": 36, "TND": 3.1,
    "TRY": 32, "USD": 1, "UYU": 39, "VND": 24800, "XOF": 600,
}  # fmt: skip
"""What one US dollar is worth, about; the rate of a moment lies within a tenth of it."""

# --- works: their makers and years are real -------------------------------------------------------------

_BOOKS = _rows("""
Candide | Voltaire | 1759
Carmilla | Le Fanu | 1872
Cranford | Gaskell | 1853
Dracula | Stoker | 1897
Emma | Austen | 1815
Faust | Goethe | 1808
Frankenstein | Shelley | 1818
Germinal | Zola | 1885
Hamlet | Shakespeare | 1603
Ivanhoe | Scott | 1819
Kidnapped | Stevenson | 1886
Kim | Kipling | 1901
Macbeth | Shakespeare | 1623
Middlemarch | Eliot | 1871
Moby Dick | Melville | 1851
Nana | Zola | 1880
Nostromo | Conrad | 1904
Oblomov | Goncharov | 1859
Othello | Shakespeare | 1622
Persuasion | Austen | 1817
Treasure Island | Stevenson | 1883
Ulysses | Joyce | 1922
Villette | Bronte | 1853
Walden | Thoreau | 1854
""")
_FILMS = _rows("""
Amadeus | Forman | 1984
Amelie | Jeunet | 2001
Arrival | Villeneuve | 2016
Avatar | Cameron | 2009
Fargo | Coen | 1996
Gandhi | Attenborough | 1982
Chinatown | Polanski | 1974
Gravity | Cuaron | 2013
Inception | Nolan | 2010
Jaws | Spielberg | 1975
Lincoln | Spielberg | 2012
Memento | Nolan | 2000
Metropolis | Lang | 1927
Parasite | Bong | 2019
Persona | Bergman | 1966
Lolita | Kubrick | 1962
Psycho | Hitchcock | 1960
Rashomon | Kurosawa | 1950
Solaris | Tarkovsky | 1972
Stalker | Tarkovsky | 1979
Tenet | Nolan | 2020
Titanic | Cameron | 1997
Vertigo | Hitchcock | 1958
Zodiac | Fincher | 2007
""")
AUTHOR_OF: Mapping[str, str] = {row[0]: row[1] for row in _BOOKS}
BOOK_YEAR: Mapping[str, int] = {row[0]: int(row[2]) for row in _BOOKS}
DIRECTOR_OF: Mapping[str, str] = {row[0]: row[1] for row in _FILMS}
FILM_YEAR: Mapping[str, int] = {row[0]: int(row[2]) for row in _FILMS}

# --- the rest is invented -------------------------------------------------------------------------------

_PEOPLE = _words("""
Ana, Boris, Carla, David, Elena, Felix, Gita, Hugo, Irene, Jonas, Karin, Leo, Maria, Nadia, Oscar, Petra, Ravi, Selma,
Tomas, Vera, Amara, Bruno, Chloe, Dario, Esther, Farid, Greta, Hanna, Ivan, Jamal, Kenji, Lucia, Marco, Nina, Omar,
Paula, Rosa, Stefan, Tara, Yusuf
""")
_COMPANIES = _words("""
Altera, Borealis, Cobaltix, Dynamo, Everline, Fabrika, Granit, Heliosa, Indigora, Junipera, Kestrel, Lumina, Maritim,
Nordwind, Octavia, Pinnacle, Quantix, Rubicon, Sabletec, Terranova, Umbrasoft, Vantage, Westbrook, Zenithal
""")
_ITEMS = _words("""
backpack, blanket, camera, candle, chair, clock, desk, drone, flute, guitar, hammer, helmet, jacket, kayak, kettle,
ladder, lamp, mirror, necklace, oven, pillow, printer, radio, scooter, sofa, stapler, telescope, tent, toaster,
umbrella, vase, violin
""")
_HOTELS = _words("""
Anchor, Bellevue, Crown, Driftwood, Fountain, Gardenia, Harborview, Imperial, Lantern, Meridian, Orchid, Parkside,
Regent, Savoy, Sunrise Inn, Whitehall
""")
SKIES = _words("clear, cloudy, foggy, hazy, rainy, snowy, stormy, sunny")
JOBS = _words("""
accountant, baker, chemist, dentist, driver, engineer, gardener, lawyer, mechanic, nurse, painter, pilot, plumber,
teacher, translator, writer
""")
_TEAMS = _words("""
Badgers, Bluejays, Comets, Cyclones, Dolphins, Falcons, Foxes, Gulls, Hornets, Lynxes, Mariners, Otters, Panthers,
Ravens, Rockets, Sharks, Stallions, Titans, Vikings, Wolves
""")
STADIUMS = _words("""
Ashfield, Birchway, Coppergate, Eastgate, Fairmead, Goldcrest, Highbank, Kingsway, Lakeshore, Millpond, Oakridge,
Rosehill, Stonebridge, Westerly
""")
_ARTISTS = _words("""
Amberline, Blackthorn, Cassiopeia, Daydrift, Echolane, Foxglove, Glasshouse, Hollowtree, Ironbark, Jetstream, Kaleido,
Lowtide, Moonrakers, Nightjar, Overpass, Paperboats, Quicksand, Redfern, Silverlake, Tangerine
""")
ALBUMS = _words("""
Afterglow, Bittersweet, Crossroads, Daybreak, Evergreen, Fireflies, Gossamer, Horizon, Islands, Lullaby, Mirage,
Northern Lights, Overture, Polaroid, Reverie, Starlight
""")
VENUES = _words("""
Apollo Hall, Beacon, Cathedral Square, Docklands, Grand Palace, Kulturhaus, Odeon, Phoenix Club, Riverside, Tempodrom,
Tivoli, Velodrome
""")
_DISHES = _words("""
biryani, borscht, burrito, couscous, curry, falafel, fondue, goulash, gumbo, lasagna, moussaka, paella, pancake,
pierogi, pizza, poutine, ramen, ratatouille, risotto, schnitzel, sushi, tagine, tamales, tortilla
""")
_RESTAURANTS = _words("""
Basilico, Bluefin, Casa Verde, Ember, Fig Tree, Golden Spoon, Hearth, Juniper Table, La Paloma, Mangrove, Nonna,
Olive Grove, Pepperhouse, Saffron, Tamarind, Thyme, Vineleaf, Walnut
""")
_HOSPITALS = _words("""
Ambrose, Bethany, Carewell, Clementine, Elmwood, Florence, Graceland, Hopewell, Lindenhof, Mercy, Providence,
Saint Luke, Trinity, Willowbrook
""")
_DRUGS = _words("""
aspirin, cetirizine, codeine, dexamethasone, ibuprofen, insulin, loratadine, metformin, naproxen, omeprazole,
paracetamol, penicillin, ramipril, simvastatin
""")
_UNIVERSITIES = _words("""
Aldermoor, Brightwater, Cedarhurst, Draycott, Eastmoor, Fernhill, Greystone, Highgrove, Larkspur, Northgate, Redwood,
Thornbury
""")
SUBJECTS = _words("""
algebra, anatomy, astronomy, biology, botany, chemistry, economics, geology, history, linguistics, logic, philosophy,
physics, statistics
""")
CINEMAS = _words("Bijou, Capitol, Electra, Gloria, Lumiere, Majestic, Orpheum, Palladium, Rialto, Roxy")
MUSEUMS = _words("""
Archive, Belvedere, Cloisters, Doria, Ethno, Gallery One, Hermes, Kunsthalle, Maritime House, Old Mint, Planetarium,
Rotunda
""")
PHARMACIES = _words("Alba, Central, Eagle, Green Cross, Lotus, Medika, Rose, Swan")

CITY = Names(
    name="city",
    terms=CITIES,
    former={
        "Angora": "Ankara",
        "Bombay": "Mumbai",
        "Calcutta": "Kolkata",
        "Christiania": "Oslo",
        "Constantinople": "Istanbul",
        "Madras": "Chennai",
        "Peking": "Beijing",
    },
    strangers=_words("Atlantis, Avalon, Camelot, Eldorado, Gotham, Narnia, Utopia, Xanadu"),
    told="city name",
    vague=_words("a city that I forgot, that city, the town, a city of my choice"),
)
COUNTRY = Names(
    name="country",
    terms=tuple(CAPITAL_OF),
    former={"Siam": "Thailand"},
    strangers=_words("Genovia, Latveria, Ruritania, Sylvania, Wakanda, Zubrowka"),
    told="country name",
    vague=_words("a country that I forgot, that country, some country"),
)
CURRENCY = Names(name="currency", terms=tuple(RATES), told="currency code", vague=_words("another currency"))
MONEY = Names(name="money", terms=CURRENCY.terms, told=CURRENCY.told, vague=_words("coins of mine"))
"""A currency that no other need finds: queries say "24 EUR"."""
AIRPORT = Names(name="airport", terms=_AIRPORTS, told="airport code", vague=_words("some airport"))
AMOUNT = Amounts(name="amount", told="sum of money")
UNIT = Names(name="unit", terms=("C", "F"), told="C or F")
DAY = Names(name="day", terms=("today", "tomorrow"), told="today or tomorrow")
PERSON = Names(
    name="person",
    terms=_PEOPLE,
    strangers=_words("Zoltan, Xenia, Ugo, Wanda, Quentin, Ophelia"),
    told="first name",
    vague=_words("my friend, somebody, that person, a colleague"),
)
COMPANY = Names(
    name="company",
    terms=_COMPANIES,
    strangers=_words("Acmeco, Globex, Initech, Umbrelco, Vandelay"),
    told="company name",
    vague=_words("a company, that company, some firm"),
)
ITEM = Names(
    name="item",
    terms=_ITEMS,
    strangers=_words("flux capacitor, gizmo, jetpack, lightsaber, thingamajig, unicorn"),
    told="what to buy",
    vague=_words("thing that I saw, present, product"),
)
CODE = Codes(name="code", of=ITEM, told="article code", spoken="article {}", vague=_words("an article, that article"))
PARCEL = Codes(
    name="parcel",
    of=PERSON,
    low=1000,
    count=9000,
    stride=3301,
    told="parcel number",
    spoken="parcel {}",
    vague=_words("my parcel, a parcel"),
)
BOOK = Names(
    name="book",
    terms=tuple(AUTHOR_OF),
    strangers=_words("Necronomicon, Pnakotica, Tlonica"),
    told="title of a book",
    vague=_words("a book, that book"),
)
AUTHOR = Names(
    name="author",
    terms=tuple(dict.fromkeys(AUTHOR_OF.values())),
    told="family name of an author",
    vague=_words("a writer"),
)
FILM = Names(
    name="film",
    terms=tuple(DIRECTOR_OF),
    strangers=_words("Angelfood, Rochelle, Simplejack"),
    told="title of a film",
    vague=_words("a film, that film, a movie that I forgot"),
)
DIRECTOR = Names(
    name="director",
    terms=tuple(dict.fromkeys(DIRECTOR_OF.values())),
    told="family name of a director",
    vague=_words("a director"),
)
TEAM = Names(
    name="team",
    terms=_TEAMS,
    strangers=_words("Griffins, Krakens, Yetis, Gremlins"),
    told="team name",
    vague=_words("team that I like, team of my brother"),
)
ARTIST = Names(
    name="artist",
    terms=_ARTISTS,
    strangers=_words("Dethklok, Weyland Trio, Zydrate"),
    told="name of a band",
    vague=_words("a band, that band, my favourite band"),
)
DISH = Names(
    name="dish",
    terms=_DISHES,
    strangers=_words("ambrosia, lembas, nectar, soylent"),
    told="name of a dish",
    vague=_words("a dish, that dish, my lunch"),
)
RESTAURANT = Names(name="restaurant", terms=_RESTAURANTS, told="restaurant name", vague=_words("a restaurant"))
HOSPITAL = Names(name="hospital", terms=_HOSPITALS, told="hospital name", vague=_words("a hospital, that hospital"))
DRUG = Names(
    name="drug",
    terms=_DRUGS,
    strangers=_words("panacea, placebex, snakeroot oil"),
    told="name of a drug",
    vague=_words("a drug, that medicine"),
)
UNIVERSITY = Names(
    name="university",
    terms=_UNIVERSITIES,
    strangers=_words("Hogwarts, Miskatonic, Starfleet"),
    told="university name",
    vague=_words("a university, that university"),
)
HOTEL = Names(name="hotel", terms=_HOTELS, told="hotel name")

DOMAINS: Mapping[str, Domain] = {
    domain.name: domain
    for domain in (
        CITY, COUNTRY, CURRENCY, MONEY, AIRPORT, AMOUNT, UNIT, DAY, PERSON, COMPANY, ITEM, CODE, PARCEL, BOOK, AUTHOR, FILM,
        DIRECTOR, TEAM, ARTIST, DISH, RESTAURANT, HOSPITAL, DRUG, UNIVERSITY, HOTEL,
    )
}  # fmt: skip
ORDINARY: Mapping[str, tuple[str, ...]] = {
    "currency": CURRENCY.terms,
    "airport": _AIRPORTS,
    "item": (*_ITEMS, *ITEM.strangers),
    "dish": (*_DISHES, *DISH.strangers),
    "drug": (*_DRUGS, *DRUG.strangers),
    "sky": SKIES,
    "job": JOBS,
    "subject": SUBJECTS,
    "author": AUTHOR.terms,
    "director": DIRECTOR.terms,
    "language": tuple(dict.fromkeys(LANGUAGE_OF.values())),
    "continent": tuple(dict.fromkeys(CONTINENT_OF.values())),
    "album": ALBUMS,
    "venue": VENUES,
    "stadium": STADIUMS,
    "hotel": _HOTELS,
    "restaurant": _RESTAURANTS,
    "hospital": _HOSPITALS,
    "cinema": CINEMAS,
    "museum": MUSEUMS,
    "pharmacy": PHARMACIES,
    "team": (*_TEAMS, *TEAM.strangers),
}
"""Names that are also words, by domain; an answer is held to them only where its task has to do with the domain."""
NAMES: Mapping[str, tuple[str, ...]] = {
    domain.name: (*domain.terms, *domain.former, *domain.strangers)
    for domain in (CITY, COUNTRY, PERSON, COMPANY, BOOK, FILM, ARTIST, UNIVERSITY)
}
"""Names that are nothing else."""
