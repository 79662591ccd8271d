"""Reading of replies: calls in every dialect, damaged replies, and the replies of another project.

    python benchmarks/replies.py [TRIES]

Prints how many of TRIES (10,000) rendered calls, each with words and perhaps reasoning around it, are not read exactly
in some format, how many damaged ones end as no turns of their role, or are read differently once written, and how long
the longest took. With the package canitoolcall (a conformance suite with replies of nine families, which takes
`pip install canitoolcall`), prints how many of its replies are read as it says they should be.
"""

import json
import random
import sys
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "tests"))

from alpha_umi.formats.dialects.declared import as_declared  # noqa: E402
from alpha_umi.formats.native import NativeFormat, write_reply  # noqa: E402
from alpha_umi.types import Answer, Call, Role, ToolSpec  # noqa: E402
from support import reply_fuzz  # noqa: E402
from support.dialects import DIALECTS  # noqa: E402

NATIVE = NativeFormat()


def main():
    fuzz(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
    if find_spec("canitoolcall"):
        corpus()


def fuzz(tries):
    rng, dialects = random.Random(0), list(DIALECTS)
    faults, slowest = Counter(), 0.0
    for number in range(tries):
        started = time.perf_counter()
        rendered = reply_fuzz.a_call(rng, dialects[number % len(dialects)])
        faults["misread"] += any(True for _ in reply_fuzz.misread(rendered))
        text = reply_fuzz.damaged(rng, rendered.text)
        try:
            faults["damaged replies without turns of their role"] += any(True for _ in reply_fuzz.untyped(rng, text))
        except Exception:  # counted, whatever it is
            faults["raised"] += 1
        slowest = max(slowest, time.perf_counter() - started)
    print(f"{tries} calls in {len(dialects)} dialects, {tries} damaged replies; the slowest took {slowest:.3f} s")
    for name in ("misread", "damaged replies without turns of their role", "raised"):
        print(f"  {name}: {faults[name]}")


def corpus():
    import canitoolcall.fixtures as fixtures

    print("canitoolcall: replies whose calls are read as they should be, and malformed ones of which none is a call")
    for family in sorted(path for path in fixtures.default_fixtures_dir().iterdir() if path.is_dir()):
        counts = Counter()
        for path in sorted(family.glob("*.jsonl")):
            for row in map(json.loads, path.read_text().splitlines()):
                count(row, counts)
        print(
            f"  {family.name:13} calls {counts['read']:3} of {counts['whole']:3}   malformed "
            f"{counts['refused']} of {counts['malformed']}"
        )


def count(row, counts):
    functions = [tool["function"] for tool in row["tools"]]
    tools = [ToolSpec(name=each["name"], parameters=each.get("parameters") or {}) for each in functions]
    reply = write_reply(row["raw_output"], [])
    turns = as_declared(NATIVE.parse(Role.BACKBONE, reply), tools, reply)
    calls = [turn for turn in turns if isinstance(turn, Call) and turn.name]
    if row.get("expected") is None:
        counts["malformed"] += 1
        counts["refused"] += not calls
        return
    counts["whole"] += 1
    wanted = [(call["name"], call["arguments"]) for call in row["expected"]["tool_calls"]]
    answered = isinstance(turns[-1], Answer) or not calls
    counts["read"] += answered if not wanted else [(call.name, decoded(call)) for call in calls] == wanted


def decoded(call):
    try:
        return json.loads(call.arguments)
    except ValueError:
        return call.arguments


if __name__ == "__main__":
    main()
