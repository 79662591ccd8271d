"""Report on a run of rollouts as one HTML page: results by set, trajectories turn by turn, search trees.

Text of models, tools and files is untrusted; it enters a page through `markup` alone, which escapes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from alpha_umi.evaluation.metrics import mean
from alpha_umi.report.markup import Html
from alpha_umi.report.page import Section, write_metric, write_page, write_table, write_tile, write_tiles
from alpha_umi.report.turns import is_right, write_cards
from alpha_umi.rollouts.runner import Counts, Rollout

SHOWN = 200
"""Trajectories of each set in a page, by default."""


def rollout_report(title: str, rollouts: Sequence[Rollout], shown: int = SHOWN) -> str:
    """Write the page of a run of rollouts; of each set the first `shown` trajectories, in the order of their ids."""
    sets = _by_set(rollouts)
    total = sum((_count(each) for each in sets.values()), Counts())
    sections = [Section(title="Results", body=(_tiles(total), _table(sets)))]
    for name, each in sets.items():
        note = f"The first {shown} of {len(each)}." if len(each) > shown else ""
        sections.append(Section(title=name, body=(write_cards(each[:shown]),), note=note))
    methods = ", ".join(sorted({rollout.method for rollout in rollouts}))
    lead = f"{len(rollouts):,} rollouts by {methods}. Unfold a task to see it turn by turn, with its tree."
    return write_page(title, lead, sections)


def _by_set(rollouts: Iterable[Rollout]) -> dict[str, list[Rollout]]:
    sets: dict[str, list[Rollout]] = {}
    for rollout in rollouts:
        sets.setdefault(rollout.set, []).append(rollout)
    return {name: sorted(sets[name], key=_by_number) for name in sorted(sets)}


def _by_number(rollout: Rollout) -> tuple[int, str]:
    """Sort key of task ids: those that end with a number, by it."""
    name = rollout.trajectory.task.id
    digits = name[len(name.rstrip("0123456789")) :]
    return (int(digits[:18]) if digits else -1, name)


def _count(rollouts: Iterable[Rollout]) -> Counts:
    counts = Counts()
    for rollout in rollouts:
        counts.add(rollout)
    return counts


def _tiles(counts: Counts) -> Html:
    ended = write_tile(f"{counts.answered:,}", "answered", f"{counts.gave_up:,} gave up")
    if counts.verified:
        percent = f"{100 * counts.passed / counts.verified:.1f} %"
        ended = write_tile(percent, "pass rate", f"{counts.passed:,} of {counts.verified:,}")
    errors = f"{counts.errors:,} ended with an error" if counts.errors else "none ended with an error"
    return write_tiles(
        ended,
        write_tile(f"{counts.tasks:,}", "tasks", errors),
        write_tile(f"{counts.calls:,}", "tool calls", _each(counts.calls, counts.tasks)),
        write_tile(f"{counts.tokens:,}", "tokens", _each(counts.tokens, counts.tasks)),
    )


def _each(total: float, tasks: int) -> str:
    return f"{total / tasks:,.1f} per task" if tasks else ""


def _table(sets: dict[str, list[Rollout]]) -> Html:
    columns = ("set", "pass rate, with 95 % interval", "tasks", "answered", "gave up", "errors", "calls", "tokens")
    rows: list[list[Html | str]] = []
    for name, each in sets.items():
        counts = _count(each)
        rate = mean([float(is_right(rollout)) for rollout in each if rollout.verdict is not None])
        numbers = (counts.tasks, counts.answered, counts.gave_up, counts.errors, counts.calls, counts.tokens)
        rows.append([name, write_metric(rate), *(f"{number:,}" for number in numbers)])
    return write_table(columns, rows)
