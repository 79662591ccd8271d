"""Export of role files `{tools, history, input, target}` from trajectories: by training's own rule, or as published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from alpha_umi.datasets.processed import write_conversations
from alpha_umi.datasets.reference import published_examples
from alpha_umi.datasets.toolbench import Skip
from alpha_umi.errors import FormatError
from alpha_umi.formats.documents import write_document
from alpha_umi.formats.marks import Marks
from alpha_umi.formats.template import Filling, TemplateFormat
from alpha_umi.models.tool_calls import ToolWire
from alpha_umi.preparation.lists import dump_indented, writing_list
from alpha_umi.protocols import Format
from alpha_umi.training.data.examples import targets
from alpha_umi.types import Json, Plan, Prompt, Role, ToolPrompt, Trajectory

_MARKS = Marks()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """Counts of one exported file, with what was left out, or where the published script stops or differs."""

    rows: int
    skipped: tuple[str, ...] = ()
    """Task, turn and reason of each."""
    places: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """Task and turn of each, by reason."""


def export_published(trajectories: Iterable[Trajectory], role: Role, format: Format, out: Path) -> ExportReport:  # noqa: A002
    """Export as the published script for `role`, byte for byte. Raises FormatError for any but a template format."""
    if not isinstance(format, TemplateFormat):
        raise FormatError(f"format {format.name!r} is no template; the published role files are made with one")
    chained = format.using(filling=Filling.CHAINED)
    return _export(published_examples(trajectories, role, chained), out)


def export_examples(trajectories: Iterable[Trajectory], role: Role, format: Format, out: Path) -> ExportReport:  # noqa: A002
    """Export by the rule that training follows (`training.data.examples`), in the same shape."""
    return _export(example_rows(trajectories, role, format), out)


def example_rows(trajectories: Iterable[Trajectory], role: Role, format: Format) -> Iterator[dict[str, Json]]:  # noqa: A002
    """Rows of `role`: prompt and completion are those of `training.data.examples.make_examples`."""
    for trajectory in trajectories:
        tools = cast("Json", [write_document(tool) for tool in trajectory.task.tools])
        entries = cast("list[Json]", _write_history(trajectory, format))
        for target in targets(trajectory, role):
            prompt = format.render(role, trajectory.task, trajectory.turns[: target.at])
            yield {
                "tools": tools,
                "history": entries[: target.at],
                "input": _write_prompt(prompt),
                "target": format.write(role, target.said),
            }


def _write_history(trajectory: Trajectory, format: Format) -> list[dict[str, Json]]:  # noqa: A002
    """Entries of all turns; plans name the next role in the format's own words, as prompt and target do."""
    entries = write_conversations(trajectory)
    if isinstance(format, TemplateFormat):
        for at, turn in enumerate(trajectory.turns):
            if isinstance(turn, Plan) and entries[at]["value"] == _MARKS.write_plan(turn):
                entries[at] = {**entries[at], "value": format.marks.write_plan(turn)}
    return entries


def _write_prompt(prompt: Prompt) -> Json:
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, ToolPrompt):
        return ToolWire(prompt).request()
    return [{"role": message.role, "content": message.content} for message in prompt]


def _export(rows: Iterable[dict[str, Json] | Skip], out: Path) -> ExportReport:
    skipped: list[Skip] = []
    with writing_list(out) as written:
        for row in rows:
            if isinstance(row, Skip):
                skipped.append(row)
            else:
                written.add(dump_indented(row))
    return make_report(written.rows, skipped)


def make_report(rows: int, skipped: Sequence[Skip]) -> ExportReport:
    """Make the report of an export: rows written, and what was left out."""
    reasons = dict.fromkeys(skip.reason for skip in skipped)
    return ExportReport(
        rows=rows,
        skipped=tuple(f"{skip.where}: {skip.reason}" for skip in skipped),
        places={reason: [skip.where for skip in skipped if skip.reason == reason] for reason in reasons},
    )
