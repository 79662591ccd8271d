"""The verifier of the table presets, by mutation: right answers made wrong, and said in other words."""

import re
from collections import Counter

import pytest

from alpha_umi.world.problems import find_unit
from alpha_umi.world.table.names import load_domains, load_ordinary_names
from alpha_umi.world.verifier import judge_answer
from support.table_tasks import NAMES_OF_PRESETS, catalogue, problems

SPELLINGS = {
    "C": "degrees Celsius", "F": "°F", "USD": "US dollars", "EUR": "euros", "km/h": "kilometers per hour",
    "km": "kilometers", "kg": "kilograms", "percent": "%", "minutes": "min", "hours": "hours", "mg": "milligrams",
    "kcal": "calories", "stars": "stars", "students": "students",
}  # fmt: skip
OTHER_UNITS = {"C", "F", "km/h", "km", "kg", "EUR", "USD", "days", "minutes", "pieces", "percent", "pages"}
POOLS = {
    **load_ordinary_names(),
    **{name: domain.terms for name, domain in load_domains().items() if hasattr(domain, "terms")},
}


BENDING = (
    "less than {}", "more than {}", "at least {}", "about {}", "approximately **{}**", "almost {}", "twice {}",
    "half of {}", "up to the {}", "{} or more", "{} at most",
)  # fmt: skip
BELOW_ZERO = ("minus {}", "negative {}", "\u2212{}", "\u2013{}", "is - {}", "{} below zero")
DENYING = (
    "It is false that this holds: {}", "{} That is wrong.", "None of this is true: {}", "No. {}", "Hardly: {}",
    "I doubt that {}", "I am unsure, but {}", "Probably {}", "I guess: {}", "{} But I am not sure.", "{} I doubt it.",
)  # fmt: skip
POLITE = (
    "Do not hesitate to ask.", "Perhaps this helps.", "If this is not what you wanted, ask again.",
    "Never mind the rest!",
)  # fmt: skip


def short(time):
    """By the clock of twelve hours."""
    return f"{(int(time[:2]) + 11) % 12 + 1}{time[2:]}"


def parts(made):
    """(value, unit) of each part, as the gold answer writes them."""
    known = made.solution().known
    return [(str(known[part.value]), find_unit(part, known)) for part in made.kind.answer_parts]


def replace_part(text, part, other):
    return re.sub(rf"(?<!\w){re.escape(part)}(?!\w)", lambda _: other, text)


def wrong_answers(made, text):
    """Answers made wrong in one place each."""
    for value, unit in parts(made):
        part = f"{value} {unit}".strip()
        yield replace_part(text, part, "so much")
        if re.fullmatch(r"-?\d+", value):
            for wrong in (int(value) + 1, int(value) * 10 + 3, -int(value) - 1):
                yield replace_part(text, part, f"{wrong} {unit}".strip())
            yield from (replace_part(text, part, words.format(part)) for words in BENDING)
        if re.fullmatch(r"[1-9]\d*", value):
            yield from (replace_part(text, part, words.format(part)) for words in BELOW_ZERO)
        if value.startswith("-"):
            yield from (
                replace_part(text, part, words.format(part[1:])) for words in ("{}", "plus {}", "{} above zero")
            )
        if unit:
            yield replace_part(text, part, value)
            for other in sorted(OTHER_UNITS - {unit}):
                yield replace_part(text, part, f"{value} {other}")
            yield f"{text} Or is it {int(value) + 2} {unit}?"
        if re.fullmatch(r"\d\d:\d\d", value):
            yield replace_part(text, value, f"{(int(value[:2]) + 1) % 24:02}{value[2:]}")
            yield replace_part(text, value, f"{value[:3]}{(int(value[3:]) + 5) % 60:02}")
            wrong_half = "am" if int(value[:2]) >= 12 else "pm"
            yield from (replace_part(text, value, f"{other} {wrong_half}") for other in (value, f"{short(value)}"))
            yield from (replace_part(text, value, f"{word} {value}") for word in ("about", "before", "after"))
        if re.fullmatch(r"[A-Z]\d+", value):
            yield replace_part(text, value, f"{value[0]}{int(value[1:]) + 1}")
            yield replace_part(text, value, f"{'B' if value[0] != 'B' else 'C'}{value[1:]}")
        for names in POOLS.values():
            if value in names:
                others = [name for name in names if name != value and name not in text][:3]
                yield from (replace_part(text, value, other) for other in others)
                yield from (f"{text} Or is it {other}?" for other in others)
                yield from (replace_part(text, value, f"{value} or {other}") for other in others)
    yield re.sub(r" (is|are|has|have|costs|works|was) ", r" \1 not ", text, count=1) + " That is not sure."
    yield from (words.format(text) for words in DENYING)
    yield made.task.query
    yield "I do not know."
    yield ""


def right_answers(made):
    """The gold answer in other words."""
    text = made.kind.answer.format(**made.solution().known)
    yield from (f"{text} {words}" for words in POLITE)
    for value, unit in parts(made):
        part = f"{value} {unit}".strip()
        if re.fullmatch(r"-\d+", value):
            below = ("minus {}", "\u2212{}", "\u2013{}", "exactly - {}", "{} below zero")
            yield from (replace_part(text, part, words.format(part[1:])) for words in below)
        if unit:
            yield replace_part(text, part, f"**{value}** {unit}")
            yield replace_part(text, part, f"just {value}-{unit}")
        if re.fullmatch(r"\d\d:\d\d", value):
            half = "pm" if int(value[:2]) >= 12 else "a.m."
            yield replace_part(text, value, f"{short(value)} {half}")
            yield replace_part(text, value, value.removeprefix("0"))
    plain = [f"{value} {unit}".strip() for value, unit in parts(made)]
    spelt = [f"{value} {SPELLINGS.get(unit, unit)}".strip() for value, unit in parts(made)]
    grouped = [re.sub(r"^(\d{1,3})(\d{3})(?= |$)", r"\1,\2", part) for part in plain]
    yield f"Sure! Here you are: {', '.join(plain)}."
    yield f"I found {' and '.join(reversed(spelt))}, as you wanted."
    yield "\n".join(f"- **{part}**" for part in grouped)
    yield f"You asked: {made.task.query} It is {' with '.join(plain)}".upper()
    yield f"Well, after some calls I can say: {'; '.join(spelt)}. Anything else?"


def solvable(each):
    """Problems of both presets and all splits."""
    return [made for preset in NAMES_OF_PRESETS for made in problems(preset, each) if made.solvable]


def count_rejected(each, most=1000):
    """`most`: answers made wrong of one need that comes last; those of a problem once begun are all tried."""
    rejected = Counter()
    for made in solvable(each):
        if rejected[made.kind.steps[-1].need] >= most:
            continue
        text = made.kind.answer.format(**made.solution().known)
        assert judge_answer(made, text) == []
        for wrong in {*wrong_answers(made, text)} - {text}:
            assert judge_answer(made, wrong), (made.task.query, text, wrong)
            rejected[made.kind.steps[-1].need] += 1
    return rejected


def count_accepted(each):
    accepted = Counter()
    for made in solvable(each):
        for right in right_answers(made):
            assert judge_answer(made, right) == [], (made.task.query, right)
            accepted[made.kind.steps[-1].need] += 1
    return accepted


def test_answers_made_wrong_are_rejected():
    rejected = count_rejected(6)
    assert rejected.total() >= 1000


def test_right_answers_in_other_words_are_accepted():
    accepted = count_accepted(12)
    assert accepted.total() >= 1000


@pytest.mark.slow
def test_thousands_of_wrong_and_right_answers_over_all_needs_are_told_apart():
    rejected, accepted = count_rejected(220, most=300), count_accepted(220)
    assert min(rejected.total(), accepted.total()) >= 10_000
    finals = {need.name for need in catalogue("full").needs.values()}
    assert set(rejected) == set(accepted) == finals
    assert min(accepted.values()) >= 5


@pytest.mark.parametrize("preset", NAMES_OF_PRESETS)
def test_no_task_owes_two_values_that_could_be_taken_for_each_other(preset):
    for made in [made for made in problems(preset, 60) if made.solvable]:
        units = [unit for _, unit in parts(made) if unit]
        assert len(set(units)) == len(units)
