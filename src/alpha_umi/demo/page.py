"""What the demo found, as tables on the terminal and as one HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from alpha_umi.demo.measures import LiveScores
from alpha_umi.display import print_line, print_table
from alpha_umi.evaluation.call_faults import CallFaults
from alpha_umi.evaluation.metrics import HALLUCINATION_RATE, HALLUCINATION_RATE_CALLS, INTERVALS, METRICS, Metric
from alpha_umi.evaluation.rollouts import Rollout
from alpha_umi.evaluation.static import StaticScores
from alpha_umi.report.markup import Html
from alpha_umi.report.page import Section, write_metric, write_page, write_table, write_tile, write_tiles
from alpha_umi.report.training import training_section
from alpha_umi.report.turns import is_right, write_card

_NAMES = {"chain": "chain", "dfsdt": "DFSDT"}
_LOWER = (HALLUCINATION_RATE, HALLUCINATION_RATE_CALLS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A task that was answered before the user's eyes."""

    title: str
    rollout: Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """All that the demo found."""

    agent: str
    preset: str
    run: Path | None
    """The agent's run directory; None for one that is code."""
    tasks: int
    """Whose steps are measured, of each set."""
    live_tasks: int
    """Done live, of each set."""
    shown: Sequence[Shown]
    """Chosen by rule alone."""
    rescued: Sequence[Shown]
    """Chosen because the chain fails at them, and done by DFSDT."""
    rescue: str
    """How often DFSDT does what the chain fails at, in words."""
    why_free: str
    """Why nothing was measured held to a grammar; empty where it was."""
    errors: str
    """How many tasks done live ended with an error, in words; empty where none did."""
    static: Mapping[str, StaticScores]
    """By `free` and `held`."""
    live: Mapping[tuple[str, str], Mapping[str, LiveScores]]
    """By strategy, and `free` or `held`; then by set."""
    seconds: Mapping[str, float]
    """By stage."""

    @property
    def faults(self) -> dict[str, CallFaults]:
        """Of all live calls, `free` and `held`."""
        return {
            how: sum(
                (score.faults for (_, of), sets in self.live.items() if of == how for score in sets.values()),
                CallFaults(),
            )
            for how in self.static
        }


# --- the terminal -------------------------------------------------------------------------------------------


def show_results(results: Results, console: Console) -> None:
    static = results.static
    console.print()
    title = f"{_steps(results)}, after the gold history, greedy; percent with\n{INTERVALS}"
    rows = [[name, *(_words(scores.metrics[name]) for scores in static.values())] for name in METRICS]
    print_table(console, title, ["metric", *static], rows)
    title = f"Whole tasks live, {results.live_tasks} of each set: percent that the verifier passes"
    rows = [[name, *(_words(score.pass_rate) for score in scores)] for name, scores in _live_rows(results)]
    print_table(console, title, ["set and search", *static], rows)
    for words in (_left_out(results), results.errors):
        if words:
            print_line(console, words)
    print_table(console, "Live calls", ["", *results.faults], _fault_rows(results))
    seconds = [[name, f"{took:.1f}"] for name, took in results.seconds.items()]
    print_table(console, "Seconds", ["stage", "took"], [*seconds, ["all", f"{sum(results.seconds.values()):.1f}"]])


def _words(metric: Metric) -> str:
    if metric.value is None or metric.low is None or metric.high is None:
        return "-"
    return f"{100 * metric.value:.1f} ({100 * metric.low:.1f}-{100 * metric.high:.1f})"


def _live_rows(results: Results) -> Iterator[tuple[str, list[LiveScores]]]:
    """One row per set and strategy; a score for each way of holding."""
    strategies = list(dict.fromkeys(strategy for strategy, _ in results.live))
    for name in next(iter(results.live.values())):
        for strategy in strategies:
            yield f"{name}, {_NAMES[strategy]}", [results.live[strategy, how][name] for how in results.static]


def _fault_rows(results: Results) -> list[list[str]]:
    each = results.faults.values()
    return [
        ["calls", *(f"{faults.calls:,}" for faults in each)],
        ["hallucinated names", *(f"{faults.unknown_names:,}" for faults in each)],
        ["broken JSON", *(f"{faults.broken_json:,}" for faults in each)],
    ]


def _steps(results: Results) -> str:
    tasks = results.tasks * len(next(iter(results.live.values())))
    return f"{results.static['free'].count} held-out steps of {tasks} tasks"


def _left_out(results: Results) -> str:
    """Empty where nothing was."""
    return f"Held to a grammar is left out: {results.why_free}." if results.why_free else ""


# --- the page -----------------------------------------------------------------------------------------------


def write_results(results: Results) -> str:
    """One page that needs no other file."""
    lead = (
        f"The agent {results.agent} in the sealed world '{results.preset}': three roles, tools that they must call, "
        "and a verifier that knows the exact answer. All tasks are held out; nothing here was chosen by how it went "
        "but the tasks of the tree search, which say so."
    )
    sections = [
        Section(title="At a glance", body=(_tiles(results),)),
        _shown_section(results),
        _live_section(results),
        _static_section(results),
    ]
    training = None if results.run is None else training_section(results.run)
    if training is not None:
        sections.append(training)
    rows = [[name, f"{took:.1f} s"] for name, took in results.seconds.items()]
    total = ["all", f"{sum(results.seconds.values()):.1f} s"]
    sections.append(Section(title="Time", body=(write_table(("stage", "took"), [*rows, total]),)))
    return write_page("An agent of three small models, at work", lead, sections)


def _tiles(results: Results) -> Html:
    right = sum(is_right(shown.rollout) for shown in results.shown)
    tiles = [write_tile(f"{right} of {len(results.shown)}", "shown tasks right", "live, below")]
    for name, scores in _live_rows(results):
        rate = scores[0].pass_rate
        tiles.append(write_tile(_percent(rate), "pass rate", f"{name}, {rate.count} tasks"))
    return write_tiles(*tiles)


def _percent(metric: Metric) -> str:
    return "–" if metric.value is None else f"{100 * metric.value:.0f} %"


def _shown_section(results: Results) -> Section:
    every = (*results.shown, *results.rescued)
    cards = (write_card(shown.rollout, shown.title, unfolded=place == 0) for place, shown in enumerate(every))
    note = f"The first held-out task of its kind each. {results.rescue}"
    return Section(title="Live", body=tuple(cards), note=note)


def _live_section(results: Results) -> Section:
    rows = [[name, *(write_metric(score.pass_rate) for score in scores)] for name, scores in _live_rows(results)]
    how = _left_out(results) or "Free, and held by grammar to the offered tools and their schemas."
    note = f"Whole tasks, {results.live_tasks} of each set: percent the verifier passes. {how} {results.errors}".strip()
    faults = write_table(("live calls", *results.faults), _fault_rows(results))
    return Section(title="Pass rates", body=(write_table(("set and search", *results.static), rows), faults), note=note)


def _static_section(results: Results) -> Section:
    rows = [
        [
            name.replace("_", " "),
            *(write_metric(each.metrics[name], lower=name in _LOWER) for each in results.static.values()),
        ]
        for name in METRICS
    ]
    note = (
        f"{_steps(results)}, each after the gold history, greedy. Percent, with {INTERVALS}. Of hallucination less is "
        f"better. {_left_out(results)}"
    ).strip()
    return Section(title="Step by step", body=(write_table(("metric", *results.static), rows),), note=note)
