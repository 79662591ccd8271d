"""Values that texts name."""

import pytest

from alpha_umi.grounding.mentions import MentionKind, read_mentions


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("flows of [200,300,400]", [(200.0,), (300.0,), (400.0,)]),
        ("12,000 miles, twice", [(12000.0,), (2.0,)]),
        ("set it to 35 percent", [(35.0, 0.35)]),
        ("nineteen degrees", [(19.0,)]),
        ("two and a half pounds", [(2.5,)]),
        ("three hundred and twenty-five eggs", [(325.0,)]),
        ("half a dozen eggs", [(6.0,)]),
        ("two thousand five hundred", [(2500.0,)]),
        ("1,250.50 euros", [(1250.5,)]),
        ("-3 degrees", [(-3.0, 3.0)]),
        ("a charge of 2e-9", [(2e-9,)]),
        ("at 300 K", [(300000.0, 300.0)]),
        ("119.5 W", [(119.5, -119.5)]),
        ("the second row", [(2.0,)]),
        ("for the next week", [(1.0, 7.0)]),
        ("version 4.2.1 of it", []),
    ],
)
def test_numbers_are_read_in_digits_and_in_words(text, numbers):
    assert [mention.numbers for mention in read_mentions(text) if mention.numbers] == numbers


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("on 2025-06-03", "2025-06-03"),
        ("on 5 May 2025", "2025-05-05"),
        ("on the 5th of May, 2025", "2025-05-05"),
        ("on June 2nd 2025", "2025-06-02"),
        ("on Mar. 11, 2022", "2022-03-11"),
        ("on 3.10.2024", "2024-10-03"),
    ],
)
def test_dates_are_read_as_people_write_them(text, date):
    (mention,) = read_mentions(text)
    assert (mention.kind, mention.dates) == (MentionKind.DATE, (date,))


@pytest.mark.parametrize("text", ["on 31 February 2025", "on 2025-13-01"])
def test_days_that_are_not_are_no_dates(text):
    assert all(mention.kind is not MentionKind.DATE for mention in read_mentions(text))


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("until 22:30", "22:30"),
        ("at 5pm", "17:00"),
        ("at 12 am", "00:00"),
        ("at 18 o'clock", "18:00"),
        ("8:05 p.m.", "20:05"),
    ],
)
def test_times_of_day_are_read(text, time):
    assert [mention.times for mention in read_mentions(text) if mention.times] == [(time,)]


def test_identifiers_quotes_and_names_are_one_mention_each():
    text = 'Move loan B311 of user_name to Tarn Hill and note "seven green beetles".'
    found = [(mention.kind, mention.text) for mention in read_mentions(text)]
    assert found == [
        (MentionKind.IDENTIFIER, "B311"),
        (MentionKind.IDENTIFIER, "user_name"),
        (MentionKind.NAME, "Tarn Hill"),
        (MentionKind.QUOTED, "seven green beetles"),
    ]


def test_a_quoted_time_is_a_time():
    assert [mention.kind for mention in read_mentions('["09:00", "2025-06-03"]')] == [
        MentionKind.TIME,
        MentionKind.DATE,
    ]


def test_the_words_beside_a_number_are_kept():
    (mention,) = read_mentions("It takes 3 cups.")
    assert (mention.before, mention.after) == ("takes", "cups")


@pytest.mark.parametrize(
    "text", ["between 14 and 16 March 2025", "from 14 to the 16th of March 2025", "14-16 March 2025"]
)
def test_two_days_may_share_their_month(text):
    found = [each for each in read_mentions(text) if each.kind is MentionKind.DATE]
    assert [each.dates for each in found] == [("2025-03-14",), ("2025-03-16",)]
