"""Judges of exact answers, as a program of the sandbox: math-verify, and ToRA's rule.

It imports nothing of the package, for its text is run by `judge` in a confined process: both judges give text that a
model wrote to parsers that evaluate it. ToRA's rule follows its published grader (Gou and others, 2024): strings are
stripped of units and layout, `1,2` is 12, a hundredth and a hundredfold count, numbers agree within 1e-4 and formulas
within 1e-3. In place of sympy's `parse_latex`, which needs another version of its grammar than math-verify, latex2sympy
reads formulas.
"""

from __future__ import annotations

import logging
import re
import signal
from math import isclose
from typing import Any

_SECONDS = 3
"""Of the processor, so that verdicts do not depend on what else the machine does."""
_LONGEST = 600
"""Characters of an answer; what is longer is no answer."""
_REMOVED = re.compile(
    r"\^\{\\circ\}|\^\\circ|\\\$|\$|\\text|x\\in|\\%|%",
)
_LAYOUT = re.compile(r"\n|\\!|\\ |\\left|\\right")
_UNIT = re.compile(r"\\text{.*?}$")
_MBOX = re.compile(r"\\mbox{.*?}")
_SHORT_FRACTION = re.compile(r"\\frac(?!\{)(.)(.)", re.DOTALL)
_CUT_FRACTION = re.compile(r"\\frac(?!\{).?(?=\\frac|$)", re.DOTALL)
_BASE = re.compile(r"[0-9A-Z]+_(?:\{(?:\\text\{)?(\w+)\}*|(\w))")
_INTEGER = re.compile(r"-?\d+")


class _TooLongError(BaseException):
    """Judgement that takes too long; no `except Exception` of a library stops it."""


def judge(pairs: list[tuple[str, str]]) -> list[list[bool | None]]:
    """Judge (gold, answer) pairs: math-verify's verdict and ToRA's; None where one took too long, or crashed."""
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGPROF, _stop)
    return [[_timed(verify, *pair), _timed(tora_equal, *pair)] for pair in pairs]


def _stop(*_: object) -> None:
    raise _TooLongError


def _timed(rule: Any, gold: str, answer: str) -> bool | None:
    if not answer.strip() or len(answer) > _LONGEST:
        return False
    signal.setitimer(signal.ITIMER_PROF, _SECONDS)
    try:
        return bool(rule(gold, answer))
    except (_TooLongError, Exception):  # a parser that gives up on a text says nothing of it
        return None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def verify(gold: str, answer: str) -> bool:
    """Compare by math-verify, both in a box: of bare texts it reads lists and mixed numbers wrongly.

    Numbers of another base differ, which it does not tell: it leaves the base out.
    """
    import math_verify

    bases = [_base(text) for text in (gold, answer)]
    if None not in bases and bases[0] != bases[1]:
        return False

    parsed = [math_verify.parse(f"\\boxed{{{text}}}", parsing_timeout=0) for text in (gold, answer)]
    return math_verify.verify(parsed[0], parsed[1], timeout_seconds=0)


def _base(text: str) -> str | None:
    found = _BASE.fullmatch(text.strip(" $"))
    return found and (found[1] or found[2])


# --- ToRA -------------------------------------------------------------------------------------------------


def tora_equal(gold: str, answer: str) -> bool:
    """Compare by ToRA's rule, both stripped as it strips them."""
    return _equal(tora_strip(answer), tora_strip(gold))


def tora_strip(text: str) -> str:
    """Strip units, layout and spelling from an answer."""
    text = text.strip().replace("\n", "").rstrip(".")
    text = _LAYOUT.sub("", text.replace("\\!", "").replace("\\ ", "").replace("\\\\", "\\").replace("\\\\", "\\"))
    text = text.replace("tfrac", "frac").replace("dfrac", "frac")
    text = _UNIT.sub("", text).strip() or text
    text = _REMOVED.sub("", text)
    text = text.replace(" .", " 0.").replace("{.", "{0.").replace("\\cdot", "").replace("infinity", "\\infty")
    if "\\infty" not in text:
        text = text.replace("inf", "\\infty")
    text = _MBOX.sub("", text.replace("and", "").replace("\\mathbf", ""))
    if "j" in text and "i" not in text:
        text = text.replace("j", "i")
    text = re.sub(r"(\d+)\.0+(\D|$)", r"\1\2", text)
    if text.startswith("."):
        text = f"0{text}"
    sides = text.split("=")
    if len(sides) == 2 and len(sides[0]) <= 2:
        text = sides[1]
    text = re.sub(r"\\sqrt(\w+)", r"\\sqrt{\1}", text).replace(" ", "")
    return _slash_to_fraction(_brace_fractions(text))


def _brace_fractions(text: str) -> str:
    if _CUT_FRACTION.search(text):
        return text

    def brace(found: re.Match[str]) -> str:
        below = found[2] if found[2] == "{" else f"{{{found[2]}}}"
        return f"\\frac{{{found[1]}}}{below}"

    return _SHORT_FRACTION.sub(brace, text)


def _slash_to_fraction(text: str) -> str:
    parts = text.split("/")
    if len(parts) == 2 and all("sqrt" in part or _is_written_integer(part) for part in parts):
        return f"\\frac{{{parts[0]}}}{{{parts[1]}}}"
    return text


def _is_written_integer(text: str) -> bool:
    return _INTEGER.fullmatch(text) is not None and str(int(text)) == text


def _as_float(text: str) -> float | None:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


def _equal(answer: str, gold: str) -> bool:
    given, wanted = _as_float(answer), _as_float(gold)
    if given is not None and wanted is not None:
        return any(isclose(each, given, rel_tol=1e-4) for each in (wanted / 100, wanted, wanted * 100))
    if not answer:
        return False
    answer, gold = answer.strip(), gold.strip()
    bare_answer, bare_gold = answer, gold
    if (_within(answer, "[]") and not gold.startswith("(")) or (_within(answer, "()") and not gold.startswith("[")):
        bare_answer, bare_gold = answer.strip("[]()"), gold.strip("[]()")
    if re.sub(r"[{}()]", "", bare_answer) == re.sub(r"[{}()]", "", bare_gold):
        return True
    if any(_within(answer, ends) and _within(gold, ends) for ends in ("[]", "()")):
        parts, wanted_parts = answer[1:-1].split(","), gold[1:-1].split(",")
        if len(parts) == len(wanted_parts) and all(map(_equal, parts, wanted_parts)):
            return True
    return _symbolic_equal(answer, gold)


def _within(text: str, ends: str) -> bool:
    return text.startswith(ends[0]) and text.endswith(ends[1])


def _symbolic_equal(answer: str, gold: str) -> bool:
    import sympy

    one, two = _parse(answer), _parse(gold)
    for same in (
        lambda: sympy.simplify(one - two) == 0,
        lambda: isclose(sympy.N(one), sympy.N(two), rel_tol=1e-3),
    ):
        try:
            if same():
                return True
        except Exception:  # noqa: S112  # texts that are no formulas
            continue
    return False


def _parse(text: str) -> Any:
    from latex2sympy2_extended import latex2sympy
    from sympy.parsing.sympy_parser import parse_expr

    for read in (latex2sympy, parse_expr):
        try:
            return read(text)
        except Exception:  # noqa: S112  # the next one may read it
            continue
    return text
