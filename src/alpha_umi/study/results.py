"""Results of a study as one JSON document, from the documents of its cells. Pure.

Pooled over seeds: a score of one step or task is first averaged over the seeds, and the interval is that of another
draw of tasks (`evaluation.metrics.mean_over_tasks`: the steps of a task go together). `seeds` holds one mean for each
seed, which shows the effect of the choice of seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

from alpha_umi.config import StudyConfig
from alpha_umi.evaluation.metrics import (
    ACTION_EXACT_MATCH,
    ARGUMENT_F1,
    HALLUCINATION_RATE,
    PLAN_ACCURACY,
    ROUGE_L,
    mean_over_tasks,
)
from alpha_umi.judging.rules import prefer
from alpha_umi.judging.verdicts import Preference
from alpha_umi.study.cells import cells
from alpha_umi.types import Json

SCHEMA = "alpha_umi.study/1"
STATIC: Mapping[str, str] = {
    PLAN_ACCURACY: "Plan ACC",
    ACTION_EXACT_MATCH: "Act. EM",
    HALLUCINATION_RATE: "Hallu.",
    ARGUMENT_F1: "Arg. F1",
    ROUGE_L: "R-L",
}
"""The metrics of the paper's table 1, with their names there."""
ALL = "all"
_CREDIT = {Preference.CANDIDATE: 1.0, Preference.TIE: 0.5, Preference.REFERENCE: 0.0}

Document = Mapping[str, Any]
"""The contents of a `cell.json`."""
_Values = Mapping[int, Mapping[str, float]]
"""By seed and step or task."""


def results(config: StudyConfig, done: Sequence[Document], notes: Sequence[str] = ()) -> dict[str, Json]:
    """Compute all tables of the study from its finished cells. `notes`: remarks on these."""
    every = [cell.key for cell in cells(config)]
    there = {f"{one['base']}/{one['variant']}/{one['seed']}" for one in done}
    return {
        "schema": SCHEMA,
        "study": config.name,
        "config": cast("Json", config.model_dump(mode="json", exclude_none=True)),
        "cells": {"all": len(every), "missing": [key for key in every if key not in there]},
        "notes": list[Json](notes),
        "seconds": math.fsum(seconds for one in done for seconds in one["seconds"].values()),
        "static": list[Json](_static(config, done)),
        "live": list[Json](_live(config, done)),
        "costs": list[Json](_costs(config, done)),
    }


def _groups(config: StudyConfig, done: Sequence[Document]) -> Iterator[tuple[str, str, dict[int, Document]]]:
    """Base, variant, and the cells by seed."""
    for base in config.bases:
        for variant in config.variants:
            found = {int(one["seed"]): one for one in done if (one["base"], one["variant"]) == (base, variant)}
            if found:
                yield base, variant, dict(sorted(found.items()))


def _task_of(step: str) -> str:
    """By the key that predictions have, NUMBER/ID/AT, behind the set."""
    return step.rsplit("/", 1)[0]


def _pooled(values: _Values, task: Callable[[str], str] = _task_of) -> dict[str, Json]:
    """A metric over steps or tasks, each averaged over the seeds, and the mean of every seed. `task`: of a key."""
    gathered: dict[str, list[float]] = {}
    for one in values.values():
        for key, value in one.items():
            gathered.setdefault(key, []).append(value)
    metric = mean_over_tasks({key: math.fsum(each) / len(each) for key, each in gathered.items()}, task)
    by_seed: dict[str, Json] = {str(seed): _average(one.values()) for seed, one in values.items()}
    return {**cast("dict[str, Json]", asdict(metric)), "tasks": len({task(key) for key in gathered}), "seeds": by_seed}


# --- static -----------------------------------------------------------------------------------------------


def _static(config: StudyConfig, done: Sequence[Document]) -> Iterator[dict[str, Json]]:
    groups = {"in-domain": config.static.in_domain, "unseen": config.static.unseen}
    groups |= {name: (name,) for name in config.static.sets}
    reference = _reference(config, done)
    for base, variant, seeds in _groups(config, done):
        for group, sets in groups.items():
            if sets:
                scores = {
                    metric: {seed: _scores(one, sets, metric) for seed, one in seeds.items()} for metric in STATIC
                }
                metrics: dict[str, Json] = {metric: _pooled(values) for metric, values in scores.items()}
                against: dict[str, Json] = {
                    metric: _compared(
                        {seed: (one, _scores(reference[base, seed], sets, metric)) for seed, one in values.items()
                         if (base, seed) in reference}
                    )
                    for metric, values in scores.items()
                }  # fmt: skip
                yield {"base": base, "variant": variant, "group": group, "metrics": metrics, "against": against}


def _compared(pairs: Mapping[int, tuple[Mapping[str, float], Mapping[str, float]]]) -> dict[str, Json]:
    """The mean difference on what both were measured on, candidate less baseline, pooled as a metric; from -1 to 1."""
    halved = {
        seed: {key: (1 + value - reference[key]) / 2 for key, value in candidate.items() if key in reference}
        for seed, (candidate, reference) in pairs.items()
    }
    pooled = _pooled(halved)  # intervals are known for values from 0 to 1
    ends: dict[str, Json] = {end: _unhalved(cast("float | None", pooled[end])) for end in ("value", "low", "high")}
    seeds = cast("Mapping[str, float | None]", pooled["seeds"])
    return {**pooled, **ends, "seeds": {seed: _unhalved(value) for seed, value in seeds.items()}}


def _unhalved(value: float | None) -> float | None:
    return None if value is None else 2 * value - 1


def _reference(config: StudyConfig, done: Sequence[Document]) -> dict[tuple[str, int], Document]:
    """The baseline's cells by base and seed."""
    return {(one["base"], int(one["seed"])): one for one in done if one["variant"] == config.baseline}


def _scores(cell: Document, sets: Iterable[str], metric: str) -> dict[str, float]:
    return {
        f"{name}/{key}": scores[metric]
        for name in sets
        for key, scores in cell["static"][name].items()
        if metric in scores
    }


# --- live -------------------------------------------------------------------------------------------------


def _live(config: StudyConfig, done: Sequence[Document]) -> Iterator[dict[str, Json]]:
    live = config.live
    if not live.sets:
        return
    reference = _reference(config, done)
    for base, variant, seeds in _groups(config, done):
        for strategy in live.strategies:
            for name, sets in {ALL: live.sets, **{name: (name,) for name in live.sets}}.items():
                passes = {
                    seed: _tasks(one, strategy, sets, lambda task: float(task["passed"])) for seed, one in seeds.items()
                }
                wins = {
                    seed: _wins(reference[base, seed], one, (live.strategies[0], strategy), sets)
                    for seed, one in seeds.items()
                    if (base, seed) in reference
                }
                yield {
                    "base": base,
                    "variant": variant,
                    "strategy": strategy,
                    "set": name,
                    "pass": _pooled(passes, str),
                    "win": _pooled(wins, str),
                    "errors": [error for one in seeds.values() for error in _errors(one, strategy, sets)],
                }


def _tasks(cell: Document, strategy: str, sets: Iterable[str], value: Callable[[Document], float]) -> dict[str, float]:
    return {f"{name}/{key}": value(task) for name in sets for key, task in cell["live"][strategy]["sets"][name].items()}


def _errors(cell: Document, strategy: str, sets: Iterable[str]) -> list[str]:
    """Errors that ended tasks before their search came to an end, one each."""
    found = cell["live"][strategy]["sets"]
    return [task["error"] for name in sets for task in found[name].values() if task["error"]]


def _wins(
    reference: Document, candidate: Document, strategies: tuple[str, str], sets: Iterable[str]
) -> dict[str, float]:
    """1 where the candidate is better, 0.5 for a tie: who passes, then who needs fewer calls."""
    found: dict[str, float] = {}
    for name in sets:
        before, after = (
            one["live"][strategy]["sets"][name]
            for one, strategy in zip((reference, candidate), strategies, strict=True)
        )
        for key in before.keys() & after.keys():
            pair = before[key], after[key]
            better = prefer((pair[0]["passed"], pair[1]["passed"]), (pair[0]["calls"], pair[1]["calls"]))
            found[f"{name}/{key}"] = _CREDIT[better]
    return found


# --- costs ------------------------------------------------------------------------------------------------


def _costs(config: StudyConfig, done: Sequence[Document]) -> Iterator[dict[str, Json]]:
    for base, variant, seeds in _groups(config, done):
        every = list(seeds.values())
        live: dict[str, Json] = {
            strategy: _used(every, strategy, config.live.sets)
            for strategy in (config.live.strategies if config.live.sets else ())
        }
        yield {
            "base": base,
            "variant": variant,
            "storage": _average(float(one["storage"]) for one in every),
            "memory": _average(float(one["memory"]) for one in every),
            **{what: _average(_summed(one, what) for one in every) for what in _SUMMED},
            "learned": _average(max(float(stage["learned"]) for stage in one["stages"].values()) for one in every),
            "stages": {name: _stage(name, every) for name in every[0]["stages"]},
            "live": live,
        }


def _used(every: Sequence[Document], strategy: str, sets: Sequence[str]) -> dict[str, Json]:
    """Per task: tokens of all prompts, and of these what an engine computed; tokens written; completions; calls."""
    used: dict[str, Json] = {
        what: _average(
            value
            for one in every
            for value in _tasks(one, strategy, sets, lambda task, what=what: float(task[what])).values()
        )
        for what in ("read", "written", "completions", "calls")
    }
    engines = [one["live"][strategy]["engine"] for one in every]
    return {**used, "prefilled": _average(one["prefilled"] for one in engines if one)}


_SUMMED = ("row_tokens", "computed_tokens", "steps", "examples", "left_out", "seconds")
"""Over the stages of a run."""


def _summed(cell: Document, what: str) -> float:
    return math.fsum(stage[what] for stage in cell["stages"].values())


def _stage(name: str, every: Sequence[Document]) -> dict[str, Json]:
    return {what: _average(float(one["stages"][name][what]) for one in every) for what in _SUMMED}


def _average(values: Iterable[float]) -> float | None:
    found = list(values)
    return math.fsum(found) / len(found) if found else None
