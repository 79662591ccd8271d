"""Categories: Finance, Social, eCommerce."""

from __future__ import annotations

from alpha_umi.world.needs import code, converted, fixed, given, name_of, number
from alpha_umi.world.wide import names
from alpha_umi.world.wide.tables import Category, ask, need

FINANCE = Category(
    name="Finance",
    needs=(
        need(
            "convert",
            "{amount} {source} in {target}",
            "amount source:money target:currency",
            {"amount": converted(names.RATES), "currency": given("target")},
            ask(
                "amount:currency",
                "It is {amount} {currency}.",
                "the value of {amount} {source} in {target} | the worth of {amount} {source} in {target} |"
                "what {amount} {source} makes in {target}",
                "How much is {amount} {source} in {target}? | Change {amount} {source} into {target}, please."
                "| I have {amount} {source}. How much do I get in {target}? | Convert {amount} {source} to {target}.",
            ),
        ),
        need(
            "share",
            "the share of {company}",
            "company",
            {"price": number("share", 11, 499, "company"), "currency": fixed("USD")},
            ask(
                "price:currency",
                "A share of {company} costs {price} {currency}.",
                "the price of a share of {company} | the stock price of {company} | the share price of {company}",
                "What does a share of {company} cost? | How much is one share of {company}?"
                "| At what price are shares of {company} sold?",
            ),
        ),
        need(
            "firm",
            "the boss and the seat of {company}",
            "company",
            {
                "boss": name_of("boss", names.PERSON.terms, "company"),
                "seat": name_of("seat", names.CITIES, "company"),
                "staff": number("staff", 12, 9900, "company"),
            },
            ask(
                "boss",
                "The boss of {company} is {boss}.",
                "the boss of {company} | the head of {company} | the person who leads {company}",
                "Who leads {company}? | Who is in charge of {company}?",
            ),
            ask(
                "seat",
                "{company} has its seat in {seat}.",
                "the seat of {company} | the city of the main office of {company} | the headquarters of {company}",
                "In which city is {company} based? | Where does {company} have its main office?",
            ),
            ask(
                "staff:=employees",
                "{company} has {staff} employees.",
                "the number of employees of {company} | the size of the staff of {company}",
                "How many employees does {company} have? | How many people work for {company}?",
            ),
            refs={
                "boss:person": "the boss of {company} | the head of {company} | the person who leads {company}",
                "seat:city": "the city of the main office of {company} | the city where {company} is based",
            },
        ),
        need(
            "tax",
            "the sales tax of {country}",
            "country",
            {"tax": number("tax", 3, 29, "country")},
            ask(
                "tax:=percent",
                "The sales tax of {country} is {tax} percent.",
                "the sales tax of {country} | the tax rate for goods in {country} | the percentage of sales tax in {country}",
                "How high is the sales tax of {country}? | How many percent of tax are there on goods in {country}?",
            ),
        ),
    ),
    providers="""
Coinflow: Money in motion.
  convert fx: Change between currencies. | amount source target -> amount currency
  tax vat: Duty on goods of a land. | country -> tax
Moneta: Bank data.
  convert exchange: What a sum is worth elsewhere. | value=amount have=source~lower want=target~lower -> result=amount currency
  share equity: Price of one part of a firm. | firm=company -> price currency
Tickerly: Stock market.
  share quote: Last price on the market. | company -> @quote last=price currency
  firm overview: Who runs a corporation and where. | company -> @overview ceo=boss headquarters=seat employees=staff
  tax duty: Rate for goods. | nation=country -> @rate percent=tax
Corpdata: A register of firms.
  firm entry: Head and place of a business. | business=company -> head=boss place=seat size=staff
*Cashly: Pocket finance.
  convert swap: Swap a sum. | sum=amount pair=source+target -> gives=amount of=currency
  share bid: What one must bid. | name=company -> bid=price of=currency
  firm people_of: The people behind a name. | name=company -> leader=boss town=seat team=staff
*Fisco: All about duties.
  tax levy: Levy on what is sold. | state=country -> levy=tax
""",
)

SOCIAL = Category(
    name="Social",
    needs=(
        need(
            "locate",
            "the city of {person}",
            "person",
            {"city": name_of("whereabouts", names.CITIES, "person")},
            ask(
                "city",
                "{person} is in {city}.",
                "the city where {person} is | the place where {person} is now | the city that {person} is in",
                "Where is {person}? | In which city is {person} now? | Where can I find {person}?"
                "| {person} is on a trip. Where to?",
            ),
            refs={
                "city": "the city where {person} is | the place where {person} is now | the city that {person} is in"
            },
        ),
        need(
            "phone",
            "the phone of {person}",
            "person",
            {"phone": number("phone", 100001, 998989, "person")},
            ask(
                "phone",
                "The phone number of {person} is {phone}.",
                "the phone number of {person} | the phone of {person} | the number to call {person}",
                "How can I phone {person}? | Which number do I dial for {person}? | I want to call {person}. What is the number?",
            ),
        ),
        need(
            "work",
            "the job of {person}",
            "person",
            {
                "job": name_of("job", names.JOBS, "person"),
                "company": name_of("company", names.COMPANY.terms, "person"),
            },
            ask(
                "job company",
                "{person} works as {job} at {company}.",
                "the job and the company of {person} | the profession and the employer of {person}",
                "What does {person} do and for which company? | Where does {person} work and as what?",
            ),
            ask(
                "company",
                "{person} works at {company}.",
                "the company of {person} | the employer of {person} | the company that {person} works for",
                "For which company does {person} work? | Who employs {person}, which company?",
            ),
            refs={
                "company": "the company of {person} | the company that {person} works for | the employer of {person}"
            },
        ),
        need(
            "friend",
            "the best friend of {person}",
            "person",
            {"friend": name_of("friend", names.PERSON.terms, "person")},
            ask(
                "friend",
                "The best friend of {person} is {friend}.",
                "the best friend of {person} | the closest friend of {person} | the person whom {person} likes best",
                "Who is the best friend of {person}? | With whom is {person} close friends?",
            ),
            refs={"friend:person": "the best friend of {person} | the closest friend of {person}"},
        ),
        need(
            "age",
            "the age of {person}",
            "person",
            {"age": number("age", 18, 89, "person")},
            ask(
                "age:=years",
                "{person} is {age} years old.",
                "the age of {person} | the age in years of {person} | the years that {person} has lived",
                "How old is {person}? | How many years old is {person} now?",
            ),
        ),
    ),
    providers="""
Peoplebook: Who is where.
  locate whereabouts: Town in which somebody is. | name=person -> city
  phone contact: Number to call somebody. | name=person -> phone
  age birthday: Years somebody has lived. | name=person -> age
Workline: A network for jobs.
  work career: Profession and employer. | person -> job company
  friend contacts: Who is close to somebody. | person -> friend
  locate checkin: Where somebody was seen last. | person -> place=city
Circle: Friends and family.
  friend closest: Nearest of the contacts. | user=person -> @profile buddy=friend
  age years: Time since birth. | user=person -> @profile old=age
  work occupation: What somebody does. | user=person -> @profile position=job firm=company
*Yellowpage: The old phone book, renewed.
  phone dial: Digits to dial. | entry=person -> digits=phone
  locate address: Town in the address. | entry=person -> town=city
  work trade: Trade and business. | entry=person -> trade=job business=company
*Palio: Find your pals.
  friend pal: Favourite pal. | of=person -> pal=friend
  age lived: How long on earth. | of=person -> since_birth=age
""",
)

ECOMMERCE = Category(
    name="eCommerce",
    needs=(
        need(
            "item",
            "the price of {item}",
            "item",
            {"code": code(names.CODE, "item"), "price": number("price", 12, 399, "item"), "currency": fixed("USD")},
            ask(
                "price:currency",
                "The {item} costs {price} {currency}.",
                "the price of the {item} | the cost of the {item} | the price in the shop of the {item}",
                "What does the {item} cost? | How much is the {item}? | I want to buy the {item}. What is its price?",
            ),
            ask(
                "code",
                "The {item} has the code {code}.",
                "the article code of the {item} | the code of the {item} in the shop | the product code of the {item}",
                "Under which code is the {item} sold? | Which article code does the {item} have?",
            ),
            refs={"code": "the {item}"},
        ),
        need(
            "stock",
            "the stock of {code}",
            "code",
            {"stock": number("stock", 1, 890, "code")},
            ask(
                "stock:=pieces",
                "There are {stock} pieces in stock.",
                "the stock of {code} | the number of pieces in stock of {code} | the pieces left of {code}",
                "How many pieces of {code} are in stock? | Is there enough of {code}, how many pieces are left?",
            ),
        ),
        need(
            "review",
            "the rating of {code}",
            "code",
            {"stars": number("review", 1, 5, "code"), "reviews": number("reviews", 7, 990, "code")},
            ask(
                "stars:=stars",
                "Buyers give {stars} stars.",
                "the rating in stars of {code} | the stars that buyers give {code} | the customer rating of {code}",
                "How many stars does {code} get? | How do buyers rate {code}, how many stars?",
            ),
            ask(
                "reviews:=reviews",
                "There are {reviews} reviews.",
                "the number of reviews of {code} | the count of customer reviews for {code}",
                "How many reviews does {code} have? | How many buyers wrote reviews of {code}?",
            ),
        ),
        need(
            "maker",
            "the maker of {code}",
            "code",
            {"company": name_of("maker", names.COMPANY.terms, "code")},
            ask(
                "company",
                "The maker is {company}.",
                "the maker of {code} | the company that makes {code} | the manufacturer of {code}",
                "Which company makes {code}? | By whom is {code} made, by which company?",
            ),
            refs={"company": "the company that makes {code} | the maker of {code} | the manufacturer of {code}"},
        ),
        need(
            "delivery",
            "the delivery of {code} to {city}",
            "code city",
            {"days": number("delivery", 2, 29, "code", "city")},
            ask(
                "days:=days",
                "The delivery to {city} takes {days} days.",
                "the delivery time of {code} to {city} | the days that {code} takes to {city} |"
                "the time in days to deliver {code} to {city}",
                "How many days does the delivery of {code} to {city} take? | When will {code} be in {city}, in how many days?",
            ),
        ),
    ),
    providers="""
Shopster: The department store.
  item product: What a thing costs. | item -> code price currency
  stock inventory: Pieces on the shelf. | code -> stock
  delivery ship: Days until it is there. | code city -> days
  maker brand: Who produces it. | code -> company
Bargain: Cheap and good.
  item find: Offer for a thing. | product=item -> id=code cost=price currency
  review feedback: Opinion of buyers. | id=code -> stars count=reviews
  stock available: What can be bought now. | id=code -> pieces=stock
Mallory: A mall online.
  review score: What customers think. | article=code -> @article rating=stars votes=reviews
  maker producer: Firm behind the goods. | article=code -> @article firm=company
  delivery courier: How soon it comes. | article=code town=city -> @article wait=days
*Marketo: The market place.
  item look_up: Price tag of a thing. | article=item -> number=code amount=price money=currency
  stock warehouse: What the warehouse holds. | number=code -> left=stock
  delivery arrival: When it gets there. | number=code where=city -> in_days=days
*Ratello: Only opinions.
  review verdict: Verdict of the crowd. | sku=code -> points=stars voices=reviews
  maker origin_firm: Firm it comes from. | sku=code -> made_by=company
""",
)
