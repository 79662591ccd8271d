"""Arguments that somebody named, and mentions that calls take up."""

import pytest

from alpha_umi.grounding.evidence import Evidence, taken_up, things_named
from alpha_umi.types import Observation, ToolSpec, User

ROOMS = {"type": "string", "enum": ["kitchen", "study"]}


def tool(**properties):
    parameters = {"type": "object", "properties": properties, "required": [*properties]}
    return ToolSpec(name="tool", description="", parameters=parameters)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("How long does the mushroom risotto take?", "Mushroom Risotto"),
        ("What can I cook with apples?", "apple"),
        ("weather in New York", "New York, NY"),
        ("250 dollars", "USD"),
        ("twenty-five rolls", 25),
        ("on 5 May 2025", "2025-05-05"),
        ("at 8", "08:00"),
        ("the two of them", [2]),
        ("anything", True),
        ("\u4e0a\u6d77\u7684\u5929\u6c14", "Shanghai"),
    ],
)
def test_values_that_were_named(text, value):
    assert Evidence.read([text]).is_named(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Order more of SC-22", "Ireland"),
        ("Order from whoever supplies it", "whoever supplies it"),
        ("80 GBP to JPY", "USD"),
        ("Turn on the lamp", 5),
        ("When is my lesson?", "2022-01-09"),
        ("the team that member 17 plays for", "team 17"),
        ("Renew their only book", "B118"),
    ],
)
def test_values_that_nobody_named(text, value):
    assert not Evidence.read([text]).is_named(value)


def test_observations_name_values():
    turns = (User(text="Renew the book."), Observation(content='{"code": "B118", "days": 14}'))
    assert Evidence.of(turns).is_named("B118")
    assert Evidence.of(turns).is_named(14)


def test_unnamed_arguments_are_told_and_defaults_are_none():
    spec = tool(room=ROOMS, brightness={"type": "integer", "default": 100}, note={"type": "string"})
    said = Evidence.read(["Turn on the lamp."])
    assert said.unnamed(spec, {"room": "study", "brightness": 100, "note": "for guests"}) == ("note",)
    assert said.unnamed(spec, {"brightness": 30}) == ("brightness",)


def test_choices_of_tools_are_among_the_things_named():
    named = things_named(Evidence.read(["How warm are the kitchen and the study?"]), [tool(room=ROOMS)])
    assert taken_up(named, {"room": "kitchen"}) == {"kitchen"}
    assert {mention.text for mention in named} == {"kitchen", "study"}


def test_a_call_takes_up_numbers_dates_and_names():
    named = things_named(Evidence.read(["Book court T2 on 5 May 2025 at 18 o'clock for 90 minutes"]), [])
    assert taken_up(named, {"court": "T2", "date": "2025-05-05", "hour": 18}) == {"T2", "5 May 2025", "18 o'clock"}
    assert taken_up(named, {"text": "90 minutes"}) == {"90"}


def test_one_mention_fills_one_argument():
    size = {"type": "number"}
    said = Evidence.read(["The table has a radius of 4.5."])
    assert said.unnamed(tool(length=size, width=size), {"length": 4.5, "width": 4.5}) == ("length", "width")
    twice = Evidence.read(["A table of 4.5 by 4.5."])
    assert twice.unnamed(tool(length=size, width=size), {"length": 4.5, "width": 4.5}) == ()


def test_a_part_of_a_sentence_is_no_name():
    text = {"type": "string"}
    said = Evidence.read(["Where is the book that member 4077 has borrowed?"])
    assert said.unnamed(tool(title=text), {"title": "the book that member 4077 has borrowed"}) == ("title",)
    assert said.unnamed(tool(text=text), {"text": "the book that member 4077 has borrowed"}) == ()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('Write "lantern", and count the words of "we met at the old mill".', "the old mill"),
        ("Email my sister an invitation to the team lunch.", "email my sister an invitation to the team lunch"),
        ("How late is L7, and where does it go to?", "to"),
    ],
)
def test_half_a_quotation_a_whole_request_and_a_small_word_are_no_names(text, value):
    assert Evidence.read([text]).unnamed(tool(title={"type": "string"}), {"title": value}) == ("title",)


def test_an_article_is_no_part_of_a_name():
    said = Evidence.read(["The book club is off. Where is The Salt Road?"])
    assert said.mended("title", "the book club") == "book club"
    assert said.mended("title", "The Salt Road") == "The Salt Road"
    assert said.mended("text", "the book club") == "the book club"


def test_a_mark_at_the_end_that_nobody_said_goes():
    said = Evidence.read(['How often is the letter e in "seven green beetles"?'])
    assert said.mended("text", "seven green beetles.") == "seven green beetles"
    assert said.mended("text", "beetles?") == "seven green beetles", "what is quoted is one"
    assert said.mended("letter", "e") == "e", "said elsewhere too"
    assert said.mended("museum", "letter,") == "letter"
    assert said.mended("text", 5) == 5


def test_fields_that_nobody_named_go_unless_they_are_required():
    fields = {
        "mode": {"type": "string", "enum": ["COOL", "DRY"]},
        "note": {"type": "string"},
        "fan": {"type": "integer"},
    }
    spec = tool(body={"type": "object", "properties": fields, "required": ["fan"]})
    said = Evidence.read(["Set it to cool."])
    body = {"mode": "COOL", "note": "bedroom lamp", "fan": 4}
    assert said.without_unnamed_fields(spec, {"body": body}) == {"body": {"mode": "COOL", "fan": 4}}
    assert said.without_unnamed_fields(spec, {"body": {"note": "bedroom lamp"}}) == {"body": {"note": "bedroom lamp"}}


def test_a_choice_may_be_a_unit_or_a_code_of_what_was_named():
    said = Evidence.read(["Two pounds of tea from France, paid in yen"])
    assert all(said.is_named(each, chosen=True) for each in ("lb", "FR", "JPY"))
    assert not any(said.is_named(each, chosen=True) for each in ("kg", "DE", "USD"))


def test_what_another_argument_has_is_none_of_a_name():
    said = Evidence.read(["Find an expert in garden design in Portland"])
    values = {"place": "Portland", "field": "garden design in Portland", "text": "design in Portland"}
    assert said.apart(values) == {**values, "field": "garden design"}


def test_the_kind_of_a_name_is_no_part_of_it():
    said = Evidence.read(["A lager from Sierra Nevada brewery, with the tea club"])
    assert said.mended("brewery", "Sierra Nevada brewery") == "Sierra Nevada"
    assert said.mended("maker", "Sierra Nevada brewery") == "Sierra Nevada brewery"
    assert said.mended("club", "tea club") == "tea club", "no name"
    assert said.mended("food_type", "Thai food") == "Thai"


def test_a_place_is_whole_where_the_tool_shows_one():
    said = Evidence.read(["The weather in Boston, MA, please"])
    assert said.mended("city", "Boston", "In the form San Francisco, CA") == "Boston, MA"
    assert said.mended("city", "Boston", "A city.") == "Boston"


def test_names_that_are_choices_each_are_two():
    facts = tool(planet={"type": "string", "enum": ["saturn", "uranus"]})
    named = things_named(Evidence.read(["How many moons do Saturn and Uranus have?"]), [facts])
    assert [each.text for each in named] == ["Saturn", "Uranus"]
    shop = things_named(Evidence.read(["Where is Marks and Spencer?"]), [facts])
    assert [each.text for each in shop] == ["Marks and Spencer"]


def test_a_title_goes_on_behind_small_words():
    said = Evidence.read(["Who painted Harvest at Dusk for the king?"])
    assert said.mended("title", "Harvest") == "Harvest at Dusk"
    assert said.mended("place", "Harvest") == "Harvest"
