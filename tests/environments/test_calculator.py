"""Calculator tool: exact arithmetic, the notations of word problems, and errors in words."""

import asyncio
import json
import random
from fractions import Fraction

import pytest

import alpha_umi as umi
from alpha_umi.environments.calculator import CalculationError, calculate, calculator, write_number
from alpha_umi.tools import calculator as environment


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("48/2", "24"),
        ("0.1+0.2", "0.3"),
        ("1,234 + 1", "1235"),
        ("$5 × 3 ÷ 2", "7.5"),
        ("0.2 x 50", "10"),
        ("20% * 50", "10"),
        ("7 % 4", "3"),
        ("2^10", "1024"),
        ("10/3", "3.33333333333"),
        ("48/2=24", "24"),
        ("sqrt(16) + max(1, 2, 3)", "7"),
        ("round(2.5) + round(2.345, 2)", "5.35"),
        ("-(3 - 05)", "2"),
        ("1/3*3", "1"),
        ("1e3", "1000"),
        ("sqrt(2)", "1.41421356237"),
        ("-1/8", "-0.125"),
    ],
)
def test_expressions_of_word_problems_are_computed_exactly(expression, result):
    assert calculator(expression) == result


@pytest.mark.parametrize(
    "expression",
    ["", "1/0", "9**9**9", "10**99999", "().__class__", "x + 1", "'a' * 3", "[1][0]", "(" * 400, "1 if 2 else 3",
     "1e99999999", "1e-99999999", "sqrt(-1)", "max(1)", "round(1, 0.5)", "True + 1", "1_0j", "f'{1}'", "9" * 2000,
     "2**0.5**-9999", "a := 3"],
)  # fmt: skip
def test_anything_but_arithmetic_is_refused_in_words(expression):
    with pytest.raises(CalculationError):
        calculator(expression)


def test_random_expressions_agree_with_fractions():
    draw = random.Random(4)
    for _ in range(300):
        numbers = [draw.randint(-99, 99) for _ in range(4)]
        a, b, c, d = (Fraction(n) for n in numbers)
        want = (a + b) * c - d / 7
        assert calculate(f"({numbers[0]} + {numbers[1]}) * {numbers[2]} - {numbers[3]}/7") == want
        if want.denominator == 1:
            assert write_number(want) == str(want.numerator)


def test_it_is_a_tool_by_its_name():
    call = umi.Call(name="calculator", arguments=json.dumps({"expression": "6*7"}))
    assert asyncio.run(environment.execute(call)) == umi.Observation(content="42")
    wrong = asyncio.run(environment.execute(umi.Call(name="calculator", arguments='{"expression": "import os"}')))
    assert wrong.status is umi.ToolStatus.ERROR
