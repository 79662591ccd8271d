"""Categories: Finance, Social, eCommerce."""

from __future__ import annotations

from alpha_umi.world.needs import another, code, converted, fixed, given, name_of, number
from alpha_umi.world.table import names
from alpha_umi.world.table.tables import Category, ask, need

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
  convert fx: Convert money to another currency. | amount source target -> amount currency
  tax vat: Sales tax of a country. | country -> tax
Moneta: Bank data.
  convert exchange: Value of a sum in another currency. | value=amount have=source~lower want=target~lower -> result=amount currency
  share equity: Price of a share of a company. | firm=company -> price currency
Tickerly: Stock market.
  share quote: Share of a company on the market. | company -> @quote last=price currency
  firm overview: Boss and city of a company. | company -> @overview ceo=boss headquarters=seat employees=staff
  tax duty: Tax of a country in percent. | nation=country -> @rate percent=tax
Corpdata: A register of firms.
  firm entry: Who leads a company and where it is. | business=company -> head=boss place=seat size=staff
*Cashly: Pocket finance.
  convert swap: Change money between currencies. | sum=amount pair=source+target -> gives=amount of=currency
  share bid: What a share costs. | name=company -> bid=price of=currency
  firm people_of: Company facts: boss, city, employees. | name=company -> leader=boss town=seat team=staff
*Fisco: All about duties.
  tax levy: Which tax a country takes. | state=country -> levy=tax
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
            {"friend": another("friend", names.PERSON.terms, "person")},
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
  locate whereabouts: City where a person is. | name=person -> city
  phone contact: Phone number of a person. | name=person -> phone
  age birthday: Age of a person. | name=person -> age
Workline: A network for jobs.
  work career: Job and company of a person. | person -> job company
  friend contacts: Best friend of a person. | person -> friend
  locate checkin: Place of a person now. | person -> place=city
Circle: Friends and family.
  friend closest: Closest friend of a person. | user=person -> @profile buddy=friend
  age lifetime: Age of a person in years. | user=person -> @profile old=age
  work occupation: Profession and employer of a person. | user=person -> @profile position=job firm=company
*Yellowpage: The old phone book, renewed.
  phone dial: Number to call a person. | entry=person -> digits=phone
  locate address: Where to find a person. | entry=person -> town=city
  work trade: Where a person works. | entry=person -> trade=job business=company
*Palio: Find your pals.
  friend pal: Who is the friend of a person. | of=person -> pal=friend
  age lived: How old a person is. | of=person -> since_birth=age
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
  item product: Price and code of an item to buy. | item -> code price currency
  stock inventory: Stock of an article by its code. | code -> stock
  delivery ship: Days of delivery of an article to a city. | code city -> days
  maker brand: Company that makes an article. | code -> company
Bargain: Cheap and good.
  item find: What an item costs, with its code. | product=item -> id=code cost=price currency
  review feedback: Stars that buyers give an article. | id=code -> stars count=reviews
  stock available: Pieces of an article that are left. | id=code -> pieces=stock
Mallory: A mall online.
  review score: Reviews of an article by its code. | article=code -> @article rating=stars votes=reviews
  maker producer: Maker of an article by its code. | article=code -> @article firm=company
  delivery courier: Delivery time of an article. | article=code town=city -> @article wait=days
*Marketo: The market place.
  item look_up: Find an item in the shop: price, code. | article=item -> number=code amount=price money=currency
  stock warehouse: How many pieces are in stock. | number=code -> left=stock
  delivery arrival: When an article arrives in a city. | number=code where=city -> in_days=days
*Ratello: Only opinions.
  review verdict: How buyers rate an article. | sku=code -> points=stars voices=reviews
  maker origin_firm: Which company an article is from. | sku=code -> made_by=company
""",
)
