"""New word problems: other numbers in a problem's text, its annotated equations computed again, odd results dropped.

A number is changed only where the text and the equations leave no doubt what it is: it stands once in the question, as
a plain number, in an equation, and is the result of none. All others stay as they are.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

from alpha_umi.datasets.gsm8k import WordProblem
from alpha_umi.environments.calculator import CalculationError, calculate, write_number
from alpha_umi.preparation.solutions import NUMBER, UnusableSolutionError, annotate, read_number, read_solution

_PLAIN = re.compile(
    r"(?<![\w.,/:%-])(?:\d+(?:,\d{3})+|\d+)(?:\.\d+)?"
    r"(?![\w%:/-]|\.\d|,\d|\s*(?:%|percent|am\b|pm\b|a\.m|p\.m|o'clock|th\b))"
)
_ANNOTATION = re.compile(r"<<([^<>=]+)=([^<>=]+)>>")
_WORD = re.compile(
    r"\b(?:three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|twenty|thirty|forty|fifty|sixty|seventy|eighty"
    r"|ninety|hundred|thousand|dozen)\b",
    re.IGNORECASE,
)
_CONSTANTS = frozenset(map(Fraction, (1, 2, 3, 4, 5, 7, 12, 24, 30, 31, 52, 60, 100, 365, 1000)))
"""Numbers that may stand for something that the question does not say: days of a week, halves, percent."""
_DOUBTFUL = frozenset(map(Fraction, (1, 2, 3, 4, 7, 12, 60, 100)))
"""Results that an equation may name without meaning the result."""
_TRIES = 100
_FURTHEST = 4
"""Times by which a result may be larger or smaller than before."""


def draw_new_numbers(problem: WordProblem, rng: random.Random, id_: str) -> WordProblem:
    """Draw another problem along the equations of `problem`. Raises UnusableSolutionError where there is none."""
    solution = "\n".join(annotate(line) for line in problem.solution.splitlines())
    values = Counter(read_number(each) for each in NUMBER.findall(problem.question))
    equations = _ANNOTATION.findall(solution)
    used = Counter(read_number(each) for expression, _ in equations for each in NUMBER.findall(expression))
    if set(map(str.lower, _WORD.findall(solution))) - set(map(str.lower, _WORD.findall(problem.question))):
        raise UnusableSolutionError("a number in words")
    results = {read_number(each) for _, result in equations for each in NUMBER.findall(result)}
    spans = [found for found in _PLAIN.finditer(problem.question) if _may_change(found[0], values, used, results)]
    if not spans:
        raise UnusableSolutionError("no number to change")
    for _ in range(_TRIES):
        drawn = {read_number(found[0]): _draw(found[0], rng) for found in spans}
        mapping = _compute(equations, drawn, values) if _keeps_order(values, drawn) else None
        if mapping is not None:
            break
    else:
        raise UnusableSolutionError("odd results with every draw")
    gold = mapping.get(read_number(problem.answer))
    if gold is None:
        raise UnusableSolutionError("the answer does not change")
    new = replace(
        problem,
        id=id_,
        question=_PLAIN.sub(lambda found: _write(found[0], drawn), problem.question),
        solution=_rewrite(solution, mapping, values, used),
        answer=write_number(gold),
    )
    read_solution(new)  # all equations hold, and lead to the answer
    return new


def _may_change(text: str, values: Counter[Fraction], used: Counter[Fraction], results: set[Fraction]) -> bool:
    value = read_number(text)
    is_year = value.denominator == 1 and 1900 <= value <= 2100
    # Small numbers stand for many things: one that is used twice may be two of them.
    single = values[value] == 1 and 1 <= used[value] <= (1 if value < 10 else 9) and value not in results
    return single and value not in _CONSTANTS and value > 1 and not is_year and value < 10**6


def _draw(text: str, rng: random.Random) -> Fraction:
    """Another number of the same kind: as many decimals, as round, from half to twice as large."""
    value = read_number(text)
    places = len(text.partition(".")[2])
    unit = Fraction(1, 10**places)
    whole = int(value / unit)
    for step in (1000, 500, 100, 50, 10, 5):
        if whole % step == 0 and whole > step:
            unit *= step
            break
    steps = int(value / unit)
    return unit * rng.randint(max(2, (steps + 1) // 2), max(3, 2 * steps))


def _keeps_order(values: Counter[Fraction], mapping: dict[Fraction, Fraction]) -> bool:
    """Tell whether the numbers of the question, changed or not, are as different and as ordered as before."""
    new = [mapping.get(value, value) for value in sorted(values)]
    changed = [value for value in mapping if mapping[value] != value]
    fresh = all(mapping[value] not in _CONSTANTS for value in mapping)
    return bool(changed) and fresh and all(one < two for one, two in pairwise(new))


def _compute(
    equations: list[tuple[str, str]], drawn: dict[Fraction, Fraction], values: Counter[Fraction]
) -> dict[Fraction, Fraction] | None:
    """The new value of every drawn number and result; None where a result is odd, or a number could be two things."""
    mapping = dict(drawn)
    for expression, shown in equations:
        new_expression = NUMBER.sub(
            lambda found: write_number(mapping.get(read_number(found[0]), read_number(found[0]))), expression
        )
        try:
            old, new = calculate(shown), calculate(new_expression)
        except CalculationError:
            return None
        if not isinstance(old, Fraction) or not isinstance(new, Fraction) or _is_odd(old, new):
            return None
        doubtful = old in values or old in _DOUBTFUL
        if (doubtful and new != old) or mapping.get(old, new) != new:
            return None
        mapping[old] = new
    return mapping


def _is_odd(old: Fraction, new: Fraction) -> bool:
    """Tell whether a new result is not of the old one's kind: sign, size, decimals."""
    if old <= 0 or new <= 0:
        return True
    fits = 1 / Fraction(_FURTHEST) <= new / old <= _FURTHEST
    return not fits or 10 ** _places(old) % new.denominator != 0


def _places(value: Fraction) -> int:
    return next((places for places in range(4) if 10**places % value.denominator == 0), 0)


def _rewrite(
    solution: str, mapping: dict[Fraction, Fraction], values: Counter[Fraction], used: Counter[Fraction]
) -> str:
    """Write the solution with the new numbers. Raises UnusableSolutionError for a number that nothing explains."""

    def write(found: re.Match[str]) -> str:
        value = read_number(found[0])
        if value in mapping:
            if solution[found.end() : found.end() + 1] == "%" and mapping[value] != value:
                raise UnusableSolutionError("a percentage that could be another number")
            return _write(found[0], mapping)
        if value not in values and value not in used and value not in _CONSTANTS:
            raise UnusableSolutionError("a number that no equation explains")
        return found[0]

    return NUMBER.sub(write, solution)


def _write(text: str, mapping: dict[Fraction, Fraction]) -> str:
    """Write the new value of a number as the old one was written: with its commas, its decimals."""
    value = read_number(text)
    new = mapping.get(value, value)
    if new == value:
        return text
    places = len(text.partition(".")[2])
    plain = write_number(new)
    if places and len(plain.partition(".")[2]) < places:
        plain = f"{float(new):.{places}f}"
    whole, point, decimals = plain.partition(".")
    commas = "," in text or (new >= 10_000 and "," in text)
    return f"{int(whole):,}{point}{decimals}" if commas else plain
