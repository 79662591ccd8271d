"""Calculator tool: arithmetic on exact fractions. No code is run: expressions are read by a grammar of their own."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, TypeAlias

from alpha_umi.environments.signatures import tool

Number: TypeAlias = Fraction | float
_MOST_CHARACTERS = 1_000
_MOST_BITS = 4_096
"""Bits of a numerator or denominator; beyond, a result is refused."""
_DIGITS = 12
"""Significant digits of a result that no short decimal expresses."""
_SIGNS = str.maketrans({"×": "*", "·": "*", "⋅": "*", "÷": "/", "∕": "/", "−": "-", "–": "-", "^": "**", "$": " "})
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_TIMES = re.compile(r"(?<=[\d)])\s*[xX]\s*(?=[\d(.])")
_PERCENT = re.compile(r"(?<=[\d)])\s*%(?!\s*[\d(.a-z])")
_LEADING_ZEROS = re.compile(r"(?<![\w.])0+(?=\d)")
_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_CONSTANTS = {"pi": math.pi, "e": math.e}


class CalculationError(ValueError):
    """Expression that cannot be computed; the message says why."""


@tool(name="calculator")
def calculator(expression: str) -> str:
    """Computes an arithmetic expression, such as 12 * (3 + 4.5) / 2.

    Args:
        expression: Numbers with + - * / ** % and parentheses; also sqrt, abs, round, floor, ceil, min, max.
    """
    return write_number(calculate(expression))


def calculate(expression: str) -> Number:
    """Compute an expression; exact where no root, logarithm or fractional power makes it a float.

    Thousands commas, `$`, `×`, `÷`, `x` between numbers, `^` and a percent sign behind a number are read; of an
    equation, what stands before its first `=`. Raises CalculationError.
    """
    if len(expression) > _MOST_CHARACTERS:
        raise CalculationError(f"the expression is longer than {_MOST_CHARACTERS} characters")
    text = plain_expression(expression)
    if not text:
        raise CalculationError("the expression is empty")
    try:
        return _compute(ast.parse(text, mode="eval").body, text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, CalculationError):
            raise
        raise CalculationError(f"{expression.strip()[:80]!r} is no arithmetic expression") from None
    except ZeroDivisionError:
        raise CalculationError("division by zero") from None
    except OverflowError:
        raise CalculationError("the result is too large") from None


def plain_expression(expression: str) -> str:
    """Write an expression of a word problem in Python's notation."""
    text = expression.translate(_SIGNS).partition("=")[0].strip()
    text = _THOUSANDS.sub(lambda found: found[0].replace(",", ""), text)
    return _LEADING_ZEROS.sub("", _PERCENT.sub("/100", _TIMES.sub("*", text)))


def write_number(value: Number) -> str:
    """Write a result: a whole number, an exact decimal where a short one exists, else 12 significant digits."""
    if isinstance(value, Fraction):
        if value.denominator == 1:
            return str(value.numerator)
        exact = _exact_decimal(value)
        if exact is not None:
            return exact
        try:
            value = float(value)
        except OverflowError:
            raise CalculationError("the result is too large") from None
    if not math.isfinite(value):
        raise CalculationError("the result is no finite number")
    rounded = f"{value:.{_DIGITS}g}"
    return str(int(value)) if value == int(value) and "e" not in rounded else rounded


def _exact_decimal(value: Fraction) -> str | None:
    places = next((places for places in range(_DIGITS + 1) if 10**places % value.denominator == 0), None)
    if places is None:
        return None
    digits = str(abs(value.numerator) * (10**places // value.denominator)).rjust(places + 1, "0")
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def _compute(node: ast.expr, text: str) -> Number:
    match node:
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            return _bounded(Fraction(value))
        case ast.Constant(value=float()):
            # As written: 0.1 is a tenth, not the nearest binary fraction.
            written = (ast.get_source_segment(text, node) or "0").replace("_", "").lower()
            if len(written.partition("e")[2]) > 4:
                raise CalculationError("the result is too large")
            return _bounded(Fraction(written))
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_compute(operand, text)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _compute(operand, text)
        case ast.BinOp(op=ast.Pow(), left=left, right=right):
            return _power(_compute(left, text), _compute(right, text))
        case ast.BinOp(op=sign, left=left, right=right) if type(sign) in _BINARY:
            return _bounded(_BINARY[type(sign)](_compute(left, text), _compute(right, text)))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            return _apply(name, [_compute(each, text) for each in arguments])
        case _:
            what = ast.get_source_segment(text, node) or text
            raise CalculationError(f"{what[:40]!r} is nothing that the calculator knows")


def _bounded(value: Number) -> Number:
    if isinstance(value, Fraction) and max(value.numerator.bit_length(), value.denominator.bit_length()) > _MOST_BITS:
        raise CalculationError("the result is too large")
    return value


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, Fraction) and isinstance(exponent, Fraction) and exponent.denominator == 1:
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if abs(exponent) * bits > _MOST_BITS and abs(base) != 1 and base != 0:
            raise CalculationError("the result is too large")
        return Fraction(base ** int(exponent)) if abs(base) != 1 else base ** int(exponent % 2)
    result = float(base) ** float(exponent)
    if isinstance(result, complex):
        raise CalculationError("a root of a negative number is not real")
    return result


def _root(value: Number) -> Number:
    if value < 0:
        raise CalculationError("a root of a negative number is not real")
    if isinstance(value, Fraction):
        exact = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
        if exact * exact == value:
            return exact
    return math.sqrt(value)


def _round(value: Number, places: Number = Fraction(0)) -> Number:
    """Round halves away from zero, as taught at school."""
    if places != int(places) or abs(places) > 30:
        raise CalculationError("round needs a whole number of places")
    scale = Fraction(10) ** int(places)
    return Fraction(math.floor(abs(Fraction(value)) * scale + Fraction(1, 2))) / scale * (-1 if value < 0 else 1)


_FUNCTIONS: Mapping[str, Callable[..., Number]] = {
    "sqrt": _root,
    "abs": lambda value: abs(value),
    "round": _round,
    "floor": lambda value: Fraction(math.floor(value)),
    "ceil": lambda value: Fraction(math.ceil(value)),
    "min": lambda *values: min(values),
    "max": lambda *values: max(values),
}


def _apply(name: str, values: list[Number]) -> Number:
    fits = {"round": (1, 2), "min": (2, 99), "max": (2, 99)}.get(name, (1, 1))
    if not fits[0] <= len(values) <= fits[1]:
        raise CalculationError(f"{name} does not take {len(values)} numbers")
    return _bounded(_FUNCTIONS[name](*values))
