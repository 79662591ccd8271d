"""Categories held out of training: Health, Education."""

from __future__ import annotations

from alpha_umi.world.needs import fixed, name_of, number
from alpha_umi.world.table import names
from alpha_umi.world.table.tables import Category, ask, need

HEALTH = Category(
    name="Health",
    held_out=True,
    needs=(
        need(
            "hospital",
            "the hospital of {city}",
            "city",
            {"hospital": name_of("hospital", names.HOSPITAL.terms, "city"), "beds": number("beds", 3, 890, "city")},
            ask(
                "hospital",
                "The hospital in {city} is {hospital}.",
                "the hospital in {city} | the name of a hospital in {city} | the clinic for emergencies in {city}",
                "Which hospital is there in {city}? | Where do I go in {city} when I am ill, to which hospital?",
            ),
            ask(
                "beds:=beds",
                "The hospital in {city} has {beds} beds.",
                "the number of beds of the hospital in {city} | the hospital beds in {city}",
                "How many beds does the hospital in {city} have? | How many hospital beds are there in {city}?",
            ),
            refs={"hospital": "the hospital in {city} | the clinic in {city}"},
        ),
        need(
            "doctor",
            "the doctor at {hospital}",
            "hospital",
            {
                "doctor": name_of("doctor", names.PERSON.terms, "hospital"),
                "minutes": number("doctor wait", 5, 240, "hospital"),
            },
            ask(
                "doctor",
                "The doctor at {hospital} is {doctor}.",
                "the doctor at {hospital} | the doctor on duty at {hospital} | the name of the doctor at {hospital}",
                "Who is the doctor at {hospital}? | Which doctor is on duty at {hospital}?",
            ),
            ask(
                "minutes:=minutes",
                "The wait at {hospital} is {minutes} minutes.",
                "the waiting time at {hospital} | the wait in minutes at {hospital}",
                "How long do I wait at {hospital}? | How many minutes is the wait at {hospital}?",
            ),
            refs={"doctor:person": "the doctor at {hospital} | the doctor on duty at {hospital}"},
        ),
        need(
            "drug",
            "the price and the dose of {drug}",
            "drug",
            {
                "price": number("drug", 3, 99, "drug"),
                "currency": fixed("USD"),
                "dose": number("dose", 5, 900, "drug"),
            },
            ask(
                "price:currency",
                "The drug {drug} costs {price} {currency}.",
                "the price of {drug} | the cost of a box of {drug} | the price of {drug} without a prescription",
                "What does {drug} cost? | How much do I pay for {drug}?",
            ),
            ask(
                "dose:=mg",
                "The dose of {drug} is {dose} mg.",
                "the dose of {drug} | the daily dose of {drug} | the dose in mg of {drug}",
                "How many mg of {drug} should one take? | Which dose of {drug} is right?",
            ),
        ),
        need(
            "pharmacy",
            "the pharmacy of {city}",
            "city",
            {"pharmacy": name_of("pharmacy", names.PHARMACIES, "city"), "distance": number("pharmacy", 1, 19, "city")},
            ask(
                "pharmacy distance:=km",
                "The pharmacy {pharmacy} in {city} is {distance} km away.",
                "the pharmacy in {city} and how far it is | the name and the distance of the pharmacy in {city}",
                "Which pharmacy is open in {city} and how far is it? | Where do I get medicine in {city} and how far is it?",
            ),
        ),
    ),
    providers="""
Medico: Help when you need it.
  hospital clinic: Hospital in a city and its beds. | city -> hospital beds
  doctor on_call: Doctor at a hospital. | clinic_name=hospital -> doctor minutes
  drug remedy: Price and dose of a drug. | drug -> price currency dose
Pillbox: Remedies and where to get them.
  drug pill: What a drug costs, and its dose. | pill_name=drug -> cost=price money=currency mg=dose
  pharmacy chemist: Pharmacy in a city and how far it is. | town=city -> shop=pharmacy km=distance
Carefind: Find care nearby.
  hospital ward: Which hospital a city has. | place=city -> @care house=hospital capacity=beds
  doctor roster: Doctor on duty at a hospital, and the wait. | house=hospital -> @care physician=doctor wait=minutes
  pharmacy open_now: Open pharmacy of a city with its distance. | place=city -> @care name=pharmacy away=distance
""",
)

EDUCATION = Category(
    name="Education",
    held_out=True,
    needs=(
        need(
            "university",
            "the university of {city}",
            "city",
            {
                "university": name_of("university", names.UNIVERSITY.terms, "city"),
                "students": number("students", 900, 59000, "city"),
            },
            ask(
                "university",
                "The university in {city} is {university}.",
                "the university in {city} | the name of the university in {city} | the place to study in {city}",
                "Which university is there in {city}? | Where can one study in {city}, at which university?",
            ),
            ask(
                "students:=students",
                "The university in {city} has {students} students.",
                "the number of students at the university in {city} | the students at the university in {city}",
                "How many students does the university in {city} have? | How many students are there in {city}?",
            ),
            refs={"university": "the university in {city} | the place to study in {city}"},
        ),
        need(
            "course",
            "the course at {university}",
            "university",
            {
                "subject": name_of("subject", names.SUBJECTS, "university"),
                "professor": name_of("professor", names.PERSON.terms, "university"),
            },
            ask(
                "subject professor",
                "At {university} one can hear {subject} by {professor}.",
                "the open course at {university} and its professor | the subject and the teacher of the course at {university}",
                "Which course is open at {university} and who teaches it? | What can I hear at {university} and from whom?",
            ),
            refs={"professor:person": "the professor at {university} | the teacher of the course at {university}"},
        ),
        need(
            "tuition",
            "the fee of {university}",
            "university",
            {"price": number("tuition", 200, 19900, "university"), "currency": fixed("USD")},
            ask(
                "price:currency",
                "A year at {university} costs {price} {currency}.",
                "the fee of {university} | the cost of a year at {university} | the tuition of {university}",
                "What does a year at {university} cost? | How much do students pay at {university}?",
            ),
        ),
        need(
            "degree",
            "the university of {person}",
            "person",
            {"university": name_of("degree", names.UNIVERSITY.terms, "person")},
            ask(
                "university",
                "{person} studied at {university}.",
                "the university where {person} studied | the university of {person} | the school from which {person} has a degree",
                "At which university did {person} study? | Where does the degree of {person} come from?",
            ),
            refs={"university": "the university where {person} studied | the university of {person}"},
        ),
    ),
    providers="""
Campusly: Study anywhere.
  university campus: University in a city. | city -> university students
  course lecture: Course at a university and its professor. | school=university -> subject professor
  tuition yearly: Fee of a university. | school=university -> price currency
Scholar: People and papers.
  degree alma_mater: University where a person studied. | graduate=person -> university
  course class_of: Subject and teacher of a course at a university. | institute=university -> topic=subject teacher=professor
  university institute: University of a city and its students. | town=city -> institute=university learners=students
Studyo: Plan your studies.
  tuition budget: Cost of a year at a university. | name=university -> @study fee=price money=currency
  degree diploma: Where a person has a degree from: university. | holder=person -> @study school=university
  university places: Where to study in a city: university. | location=city -> @study school=university enrolled=students
""",
)
