"""How large each difference to the published data preparation is, on the data at hand.

    python benchmarks/compat_sizes.py

Prints the table of sizes in docs/compat.md: a row per difference, a column per data set (raw answers and
published stage-2 files under the golden folder, and the published test file beside it).
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alpha_umi.datasets.reference import published_examples
from alpha_umi.datasets.toolbench import HALLUCINATED, Skip
from alpha_umi.formats.marks import Marks, write_call
from alpha_umi.formats.template import Filling, TemplateFormat
from alpha_umi.preparation import AnswerOptions, prepare_answers
from alpha_umi.preparation.answers import GROUPS
from alpha_umi.preparation.export import example_rows
from alpha_umi.preparation.processed import read_processed_file
from alpha_umi.store import read_json, read_trajectories
from alpha_umi.types import Answer, Call, Decision, Observation, Plan, Role, Trajectory

GOLDEN = Path(os.environ.get("ALPHA_UMI_GOLDEN", Path(__file__).resolve().parents[2] / "shared/golden"))
MARKS = Marks()
GIVE_UP = MARKS.decisions[Decision.GIVE_UP]


@dataclass
class DataSet:
    name: str
    published: Sequence[Trajectory]
    """As the published preparation reads it."""
    ours: Sequence[Trajectory]
    deviations: dict[str, int] = field(default_factory=dict)
    raw: bool = False
    shared_ids: int = 0
    skipped: int = 0

    def turns(self, kind) -> list:
        return [turn for one in self.published for turn in one.turns if isinstance(turn, kind)]


def data_sets() -> list[DataSet]:
    found = [raw_answers(path) for path in sorted(GOLDEN.glob("prepro/*/answer"))]
    processed = [
        *sorted(GOLDEN.glob("prepro/*/rerun/raw_data_stage_2.json")),
        GOLDEN.parent / "data/out_of_domain.json",
    ]
    for path in processed:
        if path.is_file():
            rows = list(read_processed_file(path))
            found.append(DataSet(path.parent.parent.name if "rerun" in path.parts else path.stem, rows, rows))
    return found


def raw_answers(answers: Path) -> DataSet:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "t.jsonl"
        published = prepare_answers(answers, out, AnswerOptions(compat=True))
        before = list(read_trajectories(out))
        report = prepare_answers(answers, out)
        after = list(read_trajectories(out))
    groups = [{path.name.split("_")[0] for path in (answers / group).glob("*.json")} for group in GROUPS]
    ids = [query_id for group in groups for query_id in group]
    shared = sum(ids.count(query_id) > 1 for query_id in ids)
    deviations = dict(report.deviations)
    return DataSet(answers.parent.name, before, after, deviations, True, shared, sum(published.skipped.values()))


def rows_of(trajectories: Sequence[Trajectory], role: Role, template: TemplateFormat) -> dict[str, list]:
    """Role files as published, as published but filled once, and ours."""
    chained = template.using(filling=Filling.CHAINED)
    published = [row for row in published_examples(trajectories, role, chained) if not isinstance(row, Skip)]
    return {"published": published, "ours": list(example_rows(trajectories, role, template))}


def filled_twice(data: DataSet, template: TemplateFormat) -> int:
    """Steps whose prompt the chain of replacements fills inside a document or a turn, too."""
    chained = template.using(filling=Filling.CHAINED)
    return sum(
        template.render(Role.PLANNER, one.task, one.turns[:at])
        != chained.render(Role.PLANNER, one.task, one.turns[:at])
        for one in data.published
        for at, turn in enumerate(one.turns)
        if isinstance(turn, Plan)
    )


def of(count: int, total: int) -> str:
    return f"{count} of {total}"


def calls_to_unknown_tools(data: DataSet) -> int:
    return sum(
        isinstance(turn, Call) and all(turn.name != tool.name for tool in one.task.tools)
        for one in data.published
        for turn in one.turns
    )


def differing_histories(data: DataSet) -> int:
    """Caller examples after a marked hallucination, whose published history lacks that call."""
    count = 0
    for one in data.published:
        marked = [
            at for at, turn in enumerate(one.turns) if isinstance(turn, Call) and HALLUCINATED in write_call(turn)
        ]
        later = [at for at, turn in enumerate(one.turns) if isinstance(turn, Call) and at not in marked]
        count += sum(bool(marked) and at > marked[0] for at in later)
    return count


def lines(template: TemplateFormat) -> list[tuple[str, Callable[[DataSet], str]]]:
    def raw(count: Callable[[DataSet], str]) -> Callable[[DataSet], str]:
        return lambda data: count(data) if data.raw else "not in this file"

    def deviation(name: str, total: type) -> Callable[[DataSet], str]:
        return raw(lambda data: of(data.deviations.get(name, 0), len(data.turns(total))))

    def without_call(data: DataSet) -> str:
        plans = [turn for one in data.ours for turn in one.turns if isinstance(turn, Plan)]
        return of(sum(plan.decision is Decision.NONE for plan in plans), len(plans))

    def inner_mark(data: DataSet) -> str:
        plans = data.turns(Plan)
        odd = [plan for plan in plans if GIVE_UP in MARKS.write_plan(plan) and plan.decision is not Decision.GIVE_UP]
        return of(len(odd), len(plans))

    return [
        ("answers beyond the slice of 20", raw(lambda data: of(max(0, len(data.published) - 20), len(data.published)))),
        ("answers that share their id with another group", raw(lambda data: str(data.shared_ids))),
        ("answers without messages, skipped in both", raw(lambda data: str(data.skipped))),
        ("observations whose error text was dropped", deviation("error_text_kept", Observation)),
        ("observations that are empty as published", lambda data: empty(data.published)),
        ("observations that are empty in ours", lambda data: empty(data.ours)),
        ("observations cut short, left escaped as published", deviation("cut_observations_decoded", Observation)),
        ("plain observations emptied as published", deviation("plain_observations_kept", Observation)),
        ("argument descriptions that lose their beginning", argument_descriptions),
        ("tools without any argument", lambda data: tools_without(data)),
        ("plans without a call, dropped by the published stage 2", without_call),
        ("broken Finish arguments", deviation("broken_finish_decoded", Plan)),
        ("answers that are 'none' or empty", lambda data: no_answers(data)),
        ("give-ups of the backbone with another step's prompt", lambda data: stale(data, template)),
        ("plans with the give-up mark elsewhere than at their end", inner_mark),
        ("calls to tools that were not offered", lambda data: of(calls_to_unknown_tools(data), len(data.turns(Call)))),
        ("calls that mention the mark of a hallucination elsewhere", marks_in_arguments),
        ("arguments without a type", raw(lambda data: str(data.deviations.get("arguments_without_type_read", 0)))),
        ("places where a published role script stops", lambda data: stops(data, template)),
        ("caller examples whose history lacks a call", lambda data: str(differing_histories(data))),
        ("steps with a placeholder filled inside their text", lambda data: str(filled_twice(data, template))),
        *[
            (f"{role.value} rows, published and ours", lambda data, role=role: compare(data, role, template))
            for role in Role
        ],
    ]


def empty(trajectories: Sequence[Trajectory]) -> str:
    seen = [turn for one in trajectories for turn in one.turns if isinstance(turn, Observation)]
    return of(sum(not turn.content for turn in seen), len(seen))


def argument_descriptions(data: DataSet) -> str:
    described = [
        schema["description"]
        for one in data.ours
        for tool in one.task.tools
        for schema in tool.parameters.get("properties", {}).values()
        if "description" in schema
    ]
    if data.raw:
        return of(data.deviations.get("argument_descriptions_cut_at_the_end", 0), len(described))
    return f"{sum(len(text) == 256 for text in described)} of {len(described)} are 256 long"


def tools_without(data: DataSet) -> str:
    tools = [tool for one in data.ours for tool in one.task.tools]
    return of(sum(not tool.parameters.get("properties") for tool in tools), len(tools))


def no_answers(data: DataSet) -> str:
    answers = data.turns(Answer)
    return of(sum(answer.text.strip() in ("", "none") for answer in answers), len(answers))


def stale(data: DataSet, template: TemplateFormat) -> str:
    rows = rows_of(data.published, Role.BACKBONE, template)["published"]
    give_ups = [row for row in rows if row["target"].endswith("conclusion: give up.")]
    prompts = {
        template.using(filling=Filling.CHAINED).render(Role.BACKBONE, one.task, one.turns[:at])
        for one in data.published
        for at, turn in enumerate(one.turns)
        if isinstance(turn, Plan) and GIVE_UP in MARKS.write_plan(turn)
    }
    wrong = sum(row["input"] not in prompts for row in give_ups)
    return of(wrong, len(give_ups))


def compare(data: DataSet, role: Role, template: TemplateFormat) -> str:
    published = rows_of(data.published, role, template)["published"]
    ours = rows_of(data.ours, role, template)["ours"]
    alike = Counter((row["input"], row["target"]) for row in published)
    alike &= Counter((row["input"], row["target"]) for row in ours)
    return f"{len(published)} and {len(ours)}, {alike.total()} alike"


def stops(data: DataSet, template: TemplateFormat) -> str:
    chained = template.using(filling=Filling.CHAINED)
    return str(sum(isinstance(row, Skip) for role in Role for row in published_examples(data.published, role, chained)))


def marks_in_arguments(data: DataSet) -> str:
    calls = data.turns(Call)
    return of(sum(HALLUCINATED in write_call(call) and call.name != HALLUCINATED for call in calls), len(calls))


def main() -> int:
    path = GOLDEN.parent / "formats/alpha_umi_v1.json"
    found = data_sets() if path.is_file() else []
    if not found:
        print(f"no data under {GOLDEN}; set ALPHA_UMI_GOLDEN")
        return 0
    template = TemplateFormat.from_document(read_json(path))
    print("| | " + " | ".join(f"`{data.name}`" for data in found) + " |")
    print("|---" * (len(found) + 1) + "|")
    for name, count in lines(template):
        print(f"| {name} | " + " | ".join(count(data) for data in found) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
