"""Annotated solutions of word problems as steps: a thought from the text, the expression, and its result."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from alpha_umi.datasets.gsm8k import WordProblem
from alpha_umi.environments.calculator import CalculationError, calculate, write_number

_ANNOTATION = re.compile(r"\s*(=?)\s*\$?\s*<<([^<>=]+)=([^<>=]+)>>\s*(\$?(?:\d[\d,]*\.?\d*|\.\d+))?")
_EQUATION = re.compile(
    r"(?P<expression>[($]*[\d.][\d.,$\s()+\-–−*/x×÷]*[\d)])\s*=\s*\$?(?P<result>\d[\d,]*(?:\.\d+)?)(?![\d%/*+x×÷-])"
)
_OPERATOR = re.compile(r"[\d)]\s*[-+*/x×÷–−]\s*[$(\d.]")
NUMBER = re.compile(r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+")
"""Number in a text, with its thousands commas."""
_SHOWN = re.compile(r"[($]*[\d.][\d.,$\s()+\-–−*/x×÷]*$")
_TWICE = re.compile(r"\b([A-Za-z]+(?: [A-Za-z]+)?) \1\b")
_STARTS_WITH_OPERATOR = re.compile(r"\s*[-+*/x×÷–−]")


class UnusableSolutionError(Exception):
    """Solution that is no chain of equations to its answer; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SolutionStep:
    """Equation of a solution."""

    thought: str
    """The solution's words, up to the result."""
    expression: str
    result: str
    """As the calculator writes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """Solution in steps."""

    steps: tuple[SolutionStep, ...]
    ending: str
    """Words behind the last step; may be empty."""


def read_solution(problem: WordProblem) -> Solution:
    """Read the steps of a solution. Unannotated equations count where they hold.

    Raises UnusableSolutionError where there is no equation, one is wrong, or the answer does not follow.
    """
    steps: list[SolutionStep] = []
    waiting: list[str] = []
    known = {read_number(each) for each in NUMBER.findall(problem.question)}
    for line in filter(None, map(str.strip, problem.solution.splitlines())):
        pieces, rest = _split(annotate(line))
        for text, expression, result in pieces:
            thought = _tidy(" ".join((*waiting, text)))
            waiting = []
            steps.append(_step(thought, expression, result, known))
            known.add(read_number(steps[-1].result.lstrip("-")))
        if rest:
            waiting.append(rest)
    ending = _tidy(" ".join(waiting))
    if not steps:
        raise UnusableSolutionError("no equation")
    if calculate(steps[-1].result) != calculate(problem.answer) and not _names(ending, problem.answer):
        raise UnusableSolutionError("the answer is neither the last result nor named behind it")
    return Solution(steps=tuple(steps), ending=ending)


def annotate(line: str) -> str:
    """Annotate the equations of a line that has no annotation, where they hold."""
    if "<<" in line:
        return line

    def mark(found: re.Match[str]) -> str:
        expression, result = found["expression"], found["result"]
        if _OPERATOR.search(expression) is None or not _agree(expression, result):
            return found[0]
        plain = expression.replace("$", "").replace(",", "").strip()
        return f"{expression.strip()} = <<{plain}={result.replace(',', '')}>>{result}"

    return _EQUATION.sub(mark, line)


def _split(line: str) -> tuple[list[tuple[str, str, str]], str]:
    """The (text, expression, result) of each annotation, and the text of a line that has none."""
    pieces: list[tuple[str, str, str]] = []
    end, shown = 0, ""
    for found in _ANNOTATION.finditer(line):
        text = line[end : found.start()]
        if _STARTS_WITH_OPERATOR.match(text) and shown:
            text = shown + text
        if not found[1]:
            text = f"{text} {found[2].strip()}"
        elif (seen := _SHOWN.search(text)) and _differs(seen[0], found[3]):
            raise UnusableSolutionError("an equation that is not the one of its text")
        pieces.append((text, found[2].strip(), found[3].strip()))
        end, shown = found.end(), found[4] or ""
    if not pieces:
        return [], line
    text, expression, result = pieces[-1]
    pieces[-1] = (f"{text}{line[end:]}", expression, result)
    return pieces, ""


def _step(thought: str, expression: str, result: str, known: set[Fraction]) -> SolutionStep:
    """One step; `known`: numbers of the question and earlier results. Raises UnusableSolutionError."""
    try:
        value = calculate(expression)
    except CalculationError as error:
        raise UnusableSolutionError("an equation that is no arithmetic") from error
    if not _agree(expression, result):
        raise UnusableSolutionError("an equation that does not hold")
    numbers = {read_number(each) for each in NUMBER.findall(thought)}
    operands = {read_number(each) for each in NUMBER.findall(expression)}
    if value in numbers - operands - known:
        raise UnusableSolutionError("a thought that tells the result")
    if operands - numbers:
        thought = f"{thought.rstrip('.')}: {expression}" if thought else expression
    return SolutionStep(thought=thought, expression=expression, result=write_number(value))


def _agree(expression: str, result: str) -> bool:
    """Tell whether an equation holds, its result perhaps rounded to the places that it has."""
    try:
        left, right = calculate(expression), calculate(result)
    except CalculationError:
        return False
    places = len(result.partition(".")[2])
    return left == right or abs(float(left) - float(right)) <= 0.5 * 10.0**-places * (places > 0)


def _differs(shown: str, result: str) -> bool:
    """Tell whether an expression that stands in the text has another result."""
    try:
        return _OPERATOR.search(shown) is not None and not _agree(shown, result)
    except CalculationError:
        return False


def read_number(text: str) -> Fraction:
    """Read a number that `NUMBER` found."""
    return Fraction(text.replace(",", ""))


def _names(text: str, answer: str) -> bool:
    return calculate(answer) in {read_number(each) for each in NUMBER.findall(text)}


def _tidy(text: str) -> str:
    text = re.sub(r"\s+([.,;!?])", r"\1", re.sub(r"\s+", " ", text)).strip(" =:-")
    return _TWICE.sub(r"\1", text)
