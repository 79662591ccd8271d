"""Codes and units of what was named in words."""

import pytest

from alpha_umi.grounding.codes import CodeKind, codes_in, converted, unit_of, units_in


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("Change 250 dollars into euros please", ("USD", "EUR")),
        ("How much are 100 euros in Swiss francs?", ("EUR", "CHF")),
        ("from the euro to the Swedish krona", ("EUR", "SEK")),
        ("$30 in yen", ("USD", "JPY")),
        ("30\u20ac in Canadian dollars", ("EUR", "CAD")),
        ("500 pesos", ()),  # of eight countries
        ("the dollar sign $ in a text", ("USD",)),
    ],
)
def test_currencies_by_their_names_and_signs(text, codes):
    assert codes_in(text, CodeKind.CURRENCY) == codes


def test_countries_and_languages_by_their_names():
    assert codes_in("London in the UK, or Lyon in France", CodeKind.COUNTRY) == ("GB", "FR")
    assert codes_in("from French to German", CodeKind.LANGUAGE) == ("fr", "de")
    assert codes_in("C\u00f4te d'Ivoire and Mexico", CodeKind.COUNTRY)[-1] == "MX"


def test_a_longer_name_goes_before_a_shorter_one():
    assert codes_in("in Canadian dollars", CodeKind.CURRENCY) == ("CAD",)
    assert units_in("10 miles per hour") == {"speed-mile-per-hour"}


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("two and a half pounds", "lb"),
        ("5 feet", "ft"),
        ("7 centimetres", "cm"),
        ("3 ounces", "oz"),
        ("20 degrees Celsius", "celsius"),
        ("in \u00b0F", "fahrenheit"),
    ],
)
def test_units_by_their_names_and_abbreviations(text, choice):
    assert units_in(text) & unit_of(choice)


def test_a_small_word_is_no_unit():
    assert not units_in("35 in the study")


def test_lengths_of_time_are_converted_to_whole_ones():
    assert converted(2, "duration-hour", "duration-minute") == 120
    assert converted(90, "duration-minute", "duration-hour") is None
    assert converted(2, "length-foot", "length-inch") is None
