"""Results of the demo: tables on the terminal, and one HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from alpha_umi.demo.measures import UNCONSTRAINED, LiveScores
from alpha_umi.display import print_line, print_table
from alpha_umi.evaluation.call_faults import CallFaults
from alpha_umi.evaluation.metrics import HALLUCINATION_RATE, HALLUCINATION_RATE_CALLS, INTERVALS, LABELS, Metric
from alpha_umi.evaluation.static import StaticScores
from alpha_umi.report.markup import Html
from alpha_umi.report.page import Section, write_metric, write_page, write_table, write_tile, write_tiles
from alpha_umi.report.training import training_section
from alpha_umi.report.turns import is_right, write_card
from alpha_umi.rollouts.runner import Rollout

_NAMES = {"chain": "chain", "dfsdt": "DFSDT"}
_LOWER = (HALLUCINATION_RATE, HALLUCINATION_RATE_CALLS)
"""Metrics of which less is better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTask:
    """A task that was answered live."""

    title: str
    rollout: Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Everything that the demo measured and showed."""

    agent: str
    preset: str
    run: Path | None
    """The agent's run directory; None for one that is code."""
    tasks: int
    """Of each set, tasks whose steps are measured."""
    live_tasks: int
    """Of each set, tasks that are rolled out."""
    shown: Sequence[ShownTask]
    """Chosen by rule alone."""
    own: Sequence[ShownTask]
    """Requests to the agent for tools of a user's own; empty where that agent cannot run."""
    searched_again: Sequence[ShownTask]
    """Chosen because the chain fails at them, and searched by DFSDT."""
    rescue: str
    """A sentence on how often DFSDT passes where the chain fails."""
    unsupported: str
    """Reason why nothing was measured with constrained decoding; empty where it was."""
    errors: str
    """A sentence on rollouts that ended with an error; empty where none did."""
    static: Mapping[str, StaticScores]
    """By mode of decoding."""
    live: Mapping[tuple[str, str], Mapping[str, LiveScores]]
    """By strategy and mode of decoding; then by set."""
    seconds: Mapping[str, float]
    """By stage."""

    @property
    def faults(self) -> dict[str, CallFaults]:
        """Faults of all live calls, by mode of decoding."""
        return {
            mode: sum(
                (score.faults for (_, each), sets in self.live.items() if each == mode for score in sets.values()),
                CallFaults(),
            )
            for mode in self.static
        }


# --- the terminal -------------------------------------------------------------------------------------------


def print_results(results: Results, console: Console) -> None:
    """Print the tables of the demo."""
    static = results.static
    title = f"{_steps(results)}, after the reference history, greedy; percent with\n{INTERVALS}"
    rows = [[label, *(scores.metrics[name].percent for scores in static.values())] for name, label in LABELS.items()]
    print_table(console, title, ["metric", *static], rows)
    title = f"Whole tasks, {results.live_tasks} of each set: percent that the verifier passes"
    rows = [[name, *(score.pass_rate.percent for score in scores)] for name, scores in _live_rows(results)]
    print_table(console, title, ["set and search", *static], rows)
    for words in (_left_out(results), results.errors):
        if words:
            print_line(console, words)
    print_table(console, "Calls in whole tasks", ["", *results.faults], _fault_rows(results))
    seconds = [[name, f"{took:.1f}"] for name, took in results.seconds.items()]
    print_table(console, "Seconds", ["stage", "took"], [*seconds, ["all", f"{sum(results.seconds.values()):.1f}"]])


def _live_rows(results: Results) -> Iterator[tuple[str, list[LiveScores]]]:
    """Yield a row per set and strategy, with a score for each mode of decoding."""
    strategies = list(dict.fromkeys(strategy for strategy, _ in results.live))
    for name in next(iter(results.live.values())):
        for strategy in strategies:
            yield f"{name}, {_NAMES[strategy]}", [results.live[strategy, mode][name] for mode in results.static]


def _fault_rows(results: Results) -> list[list[str]]:
    each = results.faults.values()
    return [
        ["calls", *(f"{faults.calls:,}" for faults in each)],
        ["hallucinated names", *(f"{faults.unknown_names:,}" for faults in each)],
        ["broken JSON", *(f"{faults.broken_json:,}" for faults in each)],
    ]


def _steps(results: Results) -> str:
    tasks = results.tasks * len(next(iter(results.live.values())))
    return f"{results.static[UNCONSTRAINED].count} held-out steps of {tasks} tasks"


def _left_out(results: Results) -> str:
    """A sentence on what was not measured; empty where all was."""
    return f"Constrained decoding is left out: {results.unsupported}." if results.unsupported else ""


# --- the page -----------------------------------------------------------------------------------------------


def write_results(results: Results) -> str:
    """Write the page of the demo."""
    lead = (
        f"The agent {results.agent} in the sealed world '{results.preset}': every query needs calls of executable "
        "tools, and a verifier knows the exact answer. All tasks are held out from training."
    )
    sections = [
        Section(title="At a glance", body=(_tiles(results),)),
        _shown_section(results),
        *([_own_section(results.own)] if results.own else []),
        _live_section(results),
        _static_section(results),
    ]
    training = None if results.run is None else training_section(results.run)
    if training is not None:
        sections.append(training)
    rows = [[name, f"{took:.1f} s"] for name, took in results.seconds.items()]
    total = ["all", f"{sum(results.seconds.values()):.1f} s"]
    sections.append(Section(title="Time", body=(write_table(("part", "took"), [*rows, total]),)))
    return write_page("An agent of three small models, at work", lead, sections)


def _tiles(results: Results) -> Html:
    every = (*results.shown, *results.searched_again)
    right = sum(is_right(shown.rollout) for shown in every)
    tiles = [write_tile(f"{right} of {len(every)}", "shown tasks right", "turn by turn, below")]
    for name, scores in _live_rows(results):
        rate = scores[0].pass_rate
        tiles.append(write_tile(_percent(rate), "pass rate", f"{name}, {rate.count} tasks"))
    return write_tiles(*tiles)


def _percent(metric: Metric) -> str:
    return "–" if metric.value is None else f"{100 * metric.value:.0f} %"


def _shown_section(results: Results) -> Section:
    every = (*results.shown, *results.searched_again)
    cards = (write_card(shown.rollout, shown.title, unfolded=number == 0) for number, shown in enumerate(every))
    note = f"The first {len(results.shown)} tasks are each the first held-out one of its kind. {results.rescue}"
    if results.searched_again:
        last = "card is" if len(results.searched_again) == 1 else f"{len(results.searched_again)} cards are"
        note += f" The last {last} of such tasks, by tree search."
    return Section(title="Live", body=tuple(cards), note=note)


def _own_section(own: Sequence[ShownTask]) -> Section:
    cards = (write_card(shown.rollout, shown.rollout.trajectory.task.query, unfolded=True) for shown in own)
    right = sum(is_right(shown.rollout) for shown in own)
    note = (
        "umi-smol, one LoRA on SmolLM2-135M, with three Python functions that nobody trained it on. The requests were "
        f"written before it was asked: {right} of {len(own)} right."
    )
    return Section(title="Tools of one's own", body=tuple(cards), note=note)


def _live_section(results: Results) -> Section:
    rows = [[name, *(write_metric(score.pass_rate) for score in scores)] for name, scores in _live_rows(results)]
    modes = _left_out(results) or "Constrained: calls follow a grammar of the offered tools and their schemas."
    note = f"Whole tasks, {results.live_tasks} of each set: percent that the verifier passes. {modes} {results.errors}"
    faults = write_table(("calls in whole tasks", *results.faults), _fault_rows(results))
    return Section(
        title="Pass rates", body=(write_table(("set and search", *results.static), rows), faults), note=note.strip()
    )


def _static_section(results: Results) -> Section:
    rows = [
        [
            label,
            *(write_metric(each.metrics[name], lower=name in _LOWER) for each in results.static.values()),
        ]
        for name, label in LABELS.items()
    ]
    note = (
        f"{_steps(results)}, each after the reference history, greedy. Percent, with {INTERVALS}. Of hallucinated "
        f"calls less is better. {_left_out(results)}"
    ).strip()
    return Section(title="Step by step", body=(write_table(("metric", *results.static), rows),), note=note)
