"""Schemas that take named values alone."""

import json

import pytest

from alpha_umi.arguments import Fault, read_arguments
from alpha_umi.grounding.evidence import Evidence
from alpha_umi.grounding.narrowing import as_said, narrow
from alpha_umi.types import ToolSpec


def tool(required=None, **properties):
    named = required if required is not None else [name for name, about in properties.items() if "default" not in about]
    parameters = {"type": "object", "properties": properties, "required": named}
    return ToolSpec(name="tool", description="", parameters=parameters)


def takes(narrowed, **values):
    return not isinstance(read_arguments(narrowed.spec, json.dumps(values)), Fault)


NUMBER, INTEGER, TEXT = {"type": "number"}, {"type": "integer"}, {"type": "string"}


def test_a_number_is_one_that_was_named():
    found = narrow(tool(value=NUMBER), Evidence.read(["Convert two and a half pounds, or 3."]))
    assert not found.missing
    assert takes(found, value=2.5)
    assert takes(found, value=3)
    assert not takes(found, value=25)


def test_more_numbers_than_were_named_are_missing():
    assert narrow(tool(length=NUMBER, width=NUMBER), Evidence.read(["A table of 4.5."])).missing == ("width",)


def test_an_optional_number_that_nobody_named_cannot_be_given():
    found = narrow(tool(name=TEXT, days={"type": "integer", "default": 14}), Evidence.read(["Renew it."]))
    assert not found.missing
    assert not takes(found, name="it", days=7)


def test_a_day_is_no_number_of_another_thing():
    said = Evidence.read(["Move the lesson to 9 June 2025."])
    assert narrow(tool(event_id=INTEGER, date=TEXT), said).missing == ("event_id",)
    assert takes(narrow(tool(day=INTEGER, month=INTEGER), said), day=9, month=6)


@pytest.mark.parametrize("hint", ["YYYY-MM-DD", "Like 2024-01-31."])
def test_a_date_is_one_that_was_named(hint):
    spec = tool(date={"type": "string", "description": hint})
    found = narrow(spec, Evidence.read(["What is on June 2nd 2025?"]))
    assert takes(found, date="2025-06-02")
    assert not takes(found, date="2022-01-09")
    assert narrow(spec, Evidence.read(["When is my lesson?"])).missing == ("date",)
    assert not narrow(spec, Evidence.read(["What is on tomorrow?"])).missing


def test_a_time_may_be_said_by_its_hour():
    found = narrow(tool(start={"type": "string", "description": "HH:MM"}), Evidence.read(["Begin at 8."]))
    assert takes(found, start="08:00")
    assert takes(found, start="20:00")
    assert not takes(found, start="10:00")


def test_choices_are_the_named_ones_where_enough_were_named():
    units = {"type": "string", "enum": ["m", "km", "mile"]}
    both = narrow(tool(source=units, target=units), Evidence.read(["3 miles to kilometers"]))
    assert not takes(both, source="m", target="km")
    assert takes(both, source="mile", target="km")
    one = narrow(tool(source=units, target=units), Evidence.read(["3 leagues to kilometers"]))
    assert takes(one, source="m", target="km")


@pytest.mark.parametrize("text", ["How many km are 12 miles?", "12 miles to kilometers"])
def test_what_stands_behind_the_number_is_what_is_converted(text):
    units = {"type": "string", "enum": ["m", "km", "mile"]}
    found = narrow(tool(value=NUMBER, from_unit=units, to_unit=units), Evidence.read([text]))
    assert takes(found, value=12, from_unit="mile", to_unit="km")
    assert not takes(found, value=12, from_unit="km", to_unit="mile")


def test_codes_are_the_named_ones():
    code = {"type": "string", "description": "Currency code"}
    found = narrow(tool(source=code, target=code), Evidence.read(["80 GBP to JPY"]))
    assert takes(found, source="GBP", target="JPY")
    assert not takes(found, source="JPY", target="USD")
    free = narrow(tool(source=code, target=code), Evidence.read(["80 pounds to yen"]))
    assert takes(free, source="GBP", target="JPY")


def test_identifiers_are_named_ones():
    found = narrow(tool(book_code=TEXT), Evidence.read(["Renew B118."]))
    assert takes(found, book_code="B118")
    assert not takes(found, book_code="Paper Lanterns")
    assert narrow(tool(sku=TEXT), Evidence.read(["How many claw hammers are left?"])).missing == ("sku",)


def test_a_label_beside_a_number_says_which_argument_it_is():
    found = narrow(tool(cups=NUMBER), Evidence.read(["How much is 5 feet in cm, and how many litres are 3 cups?"]))
    assert takes(found, cups=3)
    assert not takes(found, cups=5)
    listed = narrow(tool(years=INTEGER), Evidence.read(["The value after 10, 20 and 30 years"]))
    assert takes(listed, years=10)


def test_tools_that_declare_nothing_are_left_alone():
    odd = ToolSpec(name="odd", description="", parameters={"properties": "none"})
    assert narrow(odd, Evidence.read(["5"])).missing == ()


def text(description):
    return {"type": "string", "description": description}


def test_codes_are_those_of_what_was_named_from_the_first_to_the_second():
    codes = {"source": text("Currency code, e.g. USD."), "target": text("Currency code, e.g. EUR.")}
    found = narrow(tool(amount=NUMBER, **codes), Evidence.read(["Change 250 dollars into Swiss francs"]))
    assert takes(found, amount=250, source="USD", target="CHF")
    assert not takes(found, amount=250, source="CHF", target="USD")


def test_an_abbreviation_is_a_code_only_if_it_is_one():
    found = narrow(tool(country=text("ISO 3166-1 alpha-2 country code.")), Evidence.read(["London in the UK"]))
    assert takes(found, country="GB")
    assert not takes(found, country="UK")


def test_an_example_that_was_named_is_the_value():
    found = narrow(tool(aroma=text("Such as 'fruity', 'hoppy'.")), Evidence.read(["A hoppy lager, please."]))
    assert takes(found, aroma="hoppy")
    assert not takes(found, aroma="lager")


def test_a_number_with_another_unit_is_none_of_an_arguments():
    assert narrow(tool(cups=NUMBER), Evidence.read(["How many litres are ten gallons?"])).missing == ("cups",)
    assert takes(narrow(tool(minutes=INTEGER), Evidence.read(["Book it for two hours."])), minutes=120)
    assert takes(narrow(tool(count=INTEGER), Evidence.read(["Book it for two hours."])), count=2)


def test_the_hour_of_a_time_is_no_length_of_time():
    said = Evidence.read(["Book court T2 on 5 May 2025 at 18 o'clock for 90 minutes."])
    found = narrow(tool(court=TEXT, hour=INTEGER, minutes=INTEGER), said)
    assert not found.is_misfit
    assert takes(found, court="T2", hour=18, minutes=90)


def test_a_number_is_of_the_argument_whose_description_has_its_unit():
    spec = tool(
        trees={"type": "integer", "default": 1, "description": "How many trees."},
        period={"type": "integer", "default": 1, "description": "How many years to forecast."},
    )
    found = narrow(spec, Evidence.read(["House prices for the next 5 years"]))
    assert takes(found, period=5)
    assert not takes(found, trees=5)


def test_a_share_is_a_share_where_the_tool_says_so():
    found = narrow(tool(rate={"type": "number", "description": "As a decimal, e.g. 0.05."}), Evidence.read(["at 5%"]))
    assert takes(found, rate=0.05)
    assert not takes(found, rate=5)


def test_an_optional_day_that_only_a_calendar_tells_is_left_out():
    said = Evidence.read(["The alerts of today."])
    assert not takes(narrow(tool(day={**text("YYYY-MM-DD"), "default": None}), said), day="2020-01-03")
    assert takes(narrow(tool(day=text("YYYY-MM-DD")), said), day="2020-01-03")


def test_fields_of_an_object_take_named_values_alone():
    fields = {"mode": {"type": "string", "enum": ["COOL", "DRY"]}, "target": INTEGER, "fan": INTEGER}
    spec = tool(body={"type": "object", "properties": {**fields, "note": TEXT}, "required": ["fan"]})
    found = narrow(spec, Evidence.read(["Cool to 22, fan 3"]))
    assert takes(found, body={"mode": "COOL", "target": 22, "fan": 3})
    assert not takes(found, body={"mode": "DRY", "target": 22, "fan": 3})
    assert not takes(found, body={"target": 24, "fan": 3})


def test_words_that_were_said_together():
    said = Evidence.read(["Find the price of Van Gogh's painting 'Starry Night' on all platforms."])
    mixed = "Van Gogh's painting 'Starry Night', artist Van Gogh"
    assert said.is_put_together(mixed)
    assert not said.is_put_together("starry night")
    spec = tool(artist=TEXT, note=TEXT)
    wanted = as_said(spec, ["artist", "note"], said)
    assert wanted is not None
    assert takes(narrow(wanted, said), artist="Van Gogh", note=mixed)
    assert not takes(narrow(wanted, said), artist=mixed, note="a")
    assert as_said(spec, ["note"], said) is None, "notes are free"


@pytest.mark.parametrize(("form", "value"), [("MM-DD-YYYY", "06-01-2023"), ("YYYY/MM/DD", "2023/06/01")])
def test_a_date_has_the_form_that_is_spelled_out(form, value):
    found = narrow(tool(date=text(f"In the format {form}.")), Evidence.read(["On June 1st, 2023"]))
    assert takes(found, date=value)
    assert not takes(found, date="2023-06-01")


def test_the_next_week_is_seven_days():
    assert takes(narrow(tool(days=INTEGER), Evidence.read(["The air of the next week"])), days=7)


def test_a_count_of_days_is_not_the_day_of_a_date():
    said = Evidence.read(["Reserve it from 14 May 2025."])
    assert narrow(tool(days={"type": "integer"}), said).missing == ("days",)
    assert takes(narrow(tool(day={"type": "integer"}), said), day=14)


def test_an_identifier_is_no_number_in_words():
    wine = tool(wine_id={"type": "integer"})
    assert narrow(wine, Evidence.read(["We drank two of them."])).missing == ("wine_id",)
    assert takes(narrow(wine, Evidence.read(["We drank number 2."])), wine_id=2)


def test_what_a_tool_says_of_itself_is_said_of_its_only_argument():
    moon = ToolSpec(
        name="next_full_moon",
        description="First full moon after a day (YYYY-MM-DD).",
        parameters={"type": "object", "properties": {"after": {"type": "string"}}, "required": ["after"]},
    )
    assert narrow(moon, Evidence.read(["the brightest star in Orion"])).missing == ("after",)
    assert takes(narrow(moon, Evidence.read(["after 3 May 2025"])), after="2025-05-03")


def test_an_argument_whose_example_is_a_code_takes_codes():
    vitals = tool(bed={"type": "string", "description": "Bed, like A1."})
    assert narrow(vitals, Evidence.read(["What is Mira Kowal's pulse?"])).missing == ("bed",)
    assert takes(narrow(vitals, Evidence.read(["the pulse in B12"])), bed="B12")
