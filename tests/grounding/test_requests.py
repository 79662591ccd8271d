"""Requests in parts, and as the tools spell."""

import pytest

from alpha_umi.grounding.requests import as_spelled, split_request
from alpha_umi.types import ToolSpec

POINTS = ToolSpec(name="team_points", description="Points of a team.", parameters={"type": "object", "properties": {}})


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("How much is 5 feet in cm, and how many cups are 3 litres?",
         ["How much is 5 feet in cm", "how many cups are 3 litres?"]),
        ('Reverse "lantern". Then count the words of "an old mill".',
         ['Reverse "lantern"', 'Then count the words of "an old mill".']),
        ("Find something that has rice, within 45 minutes and tell me the amounts for 2.",
         ["Find something that has rice, within 45 minutes", "tell me the amounts for 2."]),
    ],
)  # fmt: skip
def test_a_request_has_parts_that_each_ask_for_something(text, parts):
    assert split_request(text, ()) == parts


@pytest.mark.parametrize(
    "text",
    [
        "Compare Oslo and Bergen.",
        "A sail is 6 long and 5 tall. How big is the sail?",
        "I have 100 euros. How much is it in USD?",
        "Find a room in Basel for 4 nights and book it for Olivia Kim.",
        "What is the weather in Oslo and could you tell that in Celsius?",
        "What is the weather like and how long does it take?",
    ],
)
def test_what_belongs_together_is_one_part(text):
    assert split_request(text, ()) == [text]


def test_misspelled_words_are_those_of_the_tools():
    assert as_spelled("How many ponts do the Otters hav?", [POINTS]) == "How many points do the Otters hav?"
    assert as_spelled("Has Pont a point?", [POINTS]) == "Has Pont a point?"
