"""How large each difference to the published static evaluation is, on the data at hand.

    python benchmarks/compat_static_sizes.py

Prints the figures of "Static evaluation and prediction" in docs/compat.md: how many steps and prompts of the published
test file each difference touches, then every golden predictions file whose two evaluations differ.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from alpha_umi.evaluation.metrics import METRICS
from alpha_umi.evaluation.reference import PublishedScores
from alpha_umi.evaluation.rows import read_rows
from alpha_umi.evaluation.runner import ScoredStep, scored_steps
from alpha_umi.evaluation.static import StaticScores, evaluate_rows
from alpha_umi.formats.load import load_format
from alpha_umi.formats.steps import PublishedStep, parse_published, published_shape, read_step, write_step
from alpha_umi.preparation.processed import read_processed_file
from alpha_umi.store import read_json
from alpha_umi.types import Answer, Call, Decision, Plan, Role

GOLDEN = Path(os.environ.get("ALPHA_UMI_GOLDEN", Path(__file__).resolve().parents[2] / "shared/golden"))
TEST_FILE = GOLDEN.parent / "data/out_of_domain.json"
FORMAT = GOLDEN.parent / "formats/alpha_umi_v1.json"
SAME = {
    "plan_em": "plan_accuracy",
    "action_em": "action_exact_match",
    "f1": "argument_f1",
    "hallu_rate": "hallucination_rate",
    "rouge": "rouge_l",
}
"""Published keys, and ours for what they mean."""
NEAR = 1e-6
PUBLISHED_LIMIT = 3750
"""Tokens that the published prediction keeps of a prompt, from its right end."""


# --- the test file ----------------------------------------------------------------------------------------


def test_file_lines(steps: Sequence[ScoredStep]) -> Iterator[tuple[str, str]]:
    calls = [turn for step in steps for turn in step.reference if isinstance(turn, Call)]
    answers = [turn.text for step in steps for turn in step.reference if isinstance(turn, Answer)]
    shapes = [shape(call.arguments) for call in calls]
    yield "scored steps", str(len(steps))
    for kind in ("no JSON", "JSON but no object", "an empty object ('easy')"):
        yield f"reference arguments that are {kind}", of(shapes.count(kind), len(calls))
    yield "reference calls to a tool that is not offered", of(sum(map(calls_unknown, steps)), len(calls))
    yield "steps that are offered a tool called none", of(sum(map(offers_none, steps)), len(steps))
    yield "reference answers without a sentence", of(sum(not answer.strip(" .\n") for answer in answers), len(answers))
    yield "reference answers that are the word none", of(answers.count("none"), len(answers))
    yield "steps after a plan that names nobody", of(sum(map(follows_undecided, steps)), len(steps))
    yield "references that the published script reads otherwise", of(sum(map(read_otherwise, steps)), len(steps))


def shape(arguments: str) -> str:
    try:
        value = json.loads(arguments)
    except ValueError:
        return "no JSON"
    if not isinstance(value, dict):
        return "JSON but no object"
    return "an object" if value else "an empty object ('easy')"


def offers_none(step: ScoredStep) -> bool:
    return any(tool.name == "none" for tool in step.task.tools)


def calls_unknown(step: ScoredStep) -> bool:
    offered = {tool.name for tool in step.task.tools}
    return any(isinstance(turn, Call) and turn.name not in offered for turn in step.reference)


def follows_undecided(step: ScoredStep) -> bool:
    return any(isinstance(turn, Plan) and turn.decision is Decision.NONE for turn in step.history)


def read_otherwise(step: ScoredStep) -> bool:
    text = write_step(step.reference)
    published = parse_published(text, published_shape([text]))
    if not isinstance(published, PublishedStep):
        return True
    plan, *said = read_step(text)
    call = next((turn for turn in said if isinstance(turn, Call)), None)
    answer = next((turn.text for turn in said if isinstance(turn, Answer)), None)
    ours = (plan.decision, call and call.name, call and call.arguments.removesuffix("</s>"), answer)
    arguments = published.arguments and published.arguments.removesuffix("</s>")
    return ours != (published.decision, published.name, arguments, published.answer)


def prompt_lines(steps: Sequence[ScoredStep]) -> Iterator[tuple[str, str]]:
    """Prompts that published prediction renders: a planner's for every step, then a caller's or a summarizer's."""
    template = load_format(read_json(FORMAT))
    lengths: dict[Role, list[int]] = {Role.PLANNER: [], Role.CALLER: [], Role.SUMMARIZER: []}
    for step in steps:
        lengths[Role.PLANNER].append(len(template.render(Role.PLANNER, step.task, step.history)))
        match step.reference:
            case plan, said:
                role = Role.CALLER if isinstance(said, Call) else Role.SUMMARIZER
                lengths[role].append(len(template.render(role, step.task, (*step.history, plan))))
            case _:
                pass
    everything = [length for of_role in lengths.values() for length in of_role]
    yield "prompts: planner, caller, summarizer", ", ".join(str(len(of_role)) for of_role in lengths.values())
    yield "longest prompt in characters", str(max(everything))
    for density in (3, 4):
        over = sum(length > density * PUBLISHED_LIMIT for length in everything)
        yield f"prompts beyond {PUBLISHED_LIMIT} tokens of {density} characters", of(over, len(everything))


def of(count: int, total: int) -> str:
    return f"{count} of {total}"


# --- golden predictions -----------------------------------------------------------------------------------


def case_lines() -> Iterator[str]:
    for path in sorted(GOLDEN.glob("static_eval/cases/*.json")):
        rows = read_json(path)
        ours, published = evaluate_rows(rows), evaluate_rows(rows, published=True)
        assert isinstance(ours, StaticScores)
        assert isinstance(published, PublishedScores)
        differing = [key for key in SAME if differ(published.metrics[key], ours.metrics[SAME[key]].value)]
        crashes = sum("ends here" in note for note in published.notes)
        left_out = sum("leaves the row out" in note for note in published.notes)
        if not (differing or crashes or left_out):
            continue
        values = [f"{key} {published.metrics[key]:.4f}, {shown(ours.metrics[SAME[key]].value)}" for key in differing]
        by_calls = ours.metrics["hallucination_rate_calls"].value
        told = "; ".join([*values, f"over calls {shown(by_calls)}"])
        yield f"| {path.stem} | {len(read_rows(rows))} | {told} | {crashes} | {left_out} |"


def differ(published: float, ours: float | None) -> bool:
    return ours is None or abs(published - ours) > NEAR


def shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def main() -> int:
    if not TEST_FILE.is_file():
        print(f"no data under {GOLDEN.parent}; set ALPHA_UMI_GOLDEN")
        return 0
    assert set(SAME.values()) <= set(METRICS)
    steps = list(scored_steps(read_processed_file(TEST_FILE)))
    print("| test file | |\n|---|---|")
    for name, count in [*test_file_lines(steps), *prompt_lines(steps)]:
        print(f"| {name} | {count} |")
    print("\n| predictions | steps | published, ours | places where the script ends | rows it leaves out |")
    print("|---|---|---|---|---|")
    for line in case_lines():
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
