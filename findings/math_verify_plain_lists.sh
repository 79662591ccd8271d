#!/usr/bin/env bash
# math-verify 0.9.0: answers that are lists of numbers, without LaTeX around them.
# Guessed: "4,6,14,15" is read as four numbers, or not at all.
# Seen:    it is read as 4.6 (a decimal comma; the rest is dropped), so it is equal to the reference 4.6 and to "4,6,20", and not to the
#          set $4,6,14,15$; with blanks, "4, 6, 14, 15", it is read as 15.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=$(command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet math-verify==0.9.0 latex2sympy2_extended==1.11.0 sympy==1.14.0
cd "$folder"
PYTHONPATH='' venv/bin/python - <<'PY'
from importlib.metadata import version

from math_verify import parse, verify

print(f"math-verify {version('math-verify')}")
for text in ("4,6,14,15", "4, 6, 14, 15", "$4,6,14,15$", "1,000"):
    print(f"  {text!r} is read as {parse(text)}")
pairs = {
    ("4.6", "4,6,14,15"): True,
    ("4,6,20", "4,6,14,15"): True,
    ("15", "4, 6, 14, 15"): True,
    ("$4,6,14,15$", "4,6,14,15"): False,
}
for (gold, answer), expected in pairs.items():
    equal = verify(parse(gold), parse(answer))
    print(f"  reference {gold!r}, answer {answer!r}: {'equal' if equal else 'not equal'}")
    assert equal is expected, "this has changed"
PY
