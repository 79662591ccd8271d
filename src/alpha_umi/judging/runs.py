"""Judging runs: test sets in, verdicts out, with every judge reply in a ledger from which a run resumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from alpha_umi.errors import AlphaUMiError, ConfigError, DataError
from alpha_umi.file_names import is_file_name
from alpha_umi.judging.files import (
    SCHEMA,
    PassRun,
    TestSet,
    read_verdicts,
    some_ids,
    write_published,
    write_verdicts,
)
from alpha_umi.judging.flow import Judge, judge_pair, judge_pass, settled_by_passes
from alpha_umi.judging.reference import Pair, PublishedRun, each
from alpha_umi.judging.reference_rates import published_summary, published_win_summary
from alpha_umi.judging.rules import compare_by_rule, judge_world
from alpha_umi.judging.verdicts import Comparison, PassVerdict, Preference
from alpha_umi.store import write_json
from alpha_umi.types import Json, Reference

Progress = Callable[[int, int], None]
"""Called with the queries done and all of them."""


# --- runs ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Options of a judging run."""

    out: Path
    votes: int = 3
    workers: int = 8
    """Concurrent queries."""
    solvable: bool = False
    """The tasks are known to be solvable, so that question is skipped."""
    compat: Reference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Results of a judging run."""

    summary: Sequence[str]
    """With compat, what the published script prints."""
    notes: Sequence[str]


async def run_pass(
    name: str, sets: Sequence[TestSet], judge: Judge | None, options: RunOptions, progress: Progress
) -> Written:
    """Judge one system's answers; with `judge` None, tasks of the sealed world are judged by rule."""
    if not is_file_name(name):
        raise ConfigError(
            f"--name {name!r}: a name without '/', odd signs or a dot first is needed, it becomes part of file names"
        )
    published = None
    if options.compat is not None:
        published = PublishedRun(version=options.compat, judge=_needed(judge), workers=options.workers)
    ids: dict[str, Json] = {test_set.name: list[Json](test_set.ids) for test_set in sets}
    _write_settings(options, judge, {"kind": "pass", "name": name, "sets": ids})
    summary: list[str] = []
    fate = "are left out, as published" if published else "fail"
    notes = [_missing(test_set, fate) for test_set in sets if test_set.missing]
    total, done = sum(len(test_set.cases) for test_set in sets), 0

    def judged(count: int = 1) -> None:
        nonlocal done
        done += count
        progress(done, total)

    for test_set in sets:
        write_json(options.out / "answers" / f"{test_set.name}.json", dict(test_set.records))
        if published is not None:
            summary.append(await _publish_pass(published, name, test_set, options))
            judged(len(test_set.cases))
        else:
            write_verdicts(options.out, test_set, await _judge_all(test_set, judge, options, judged))
    return Written(summary=summary, notes=[*notes, *(published.notes if published else ())])


def _missing(test_set: TestSet, fate: str) -> str:
    missing = test_set.missing
    count = f"{len(missing)} of {len(test_set.ids)}"
    return f"{test_set.name}: {count} queries have no answer and {fate} ({some_ids(missing)})"


def _needed(judge: Judge | None) -> Judge:
    if judge is None:
        raise ConfigError("--compat asks a judge model; name one by --model, or leave --compat out")
    return judge


async def _judge_all(
    test_set: TestSet, judge: Judge | None, options: RunOptions, judged: Callable[[], None]
) -> dict[str, PassVerdict]:
    async def one(key: str) -> PassVerdict:
        if judge is None:
            verdict = _by_rule(test_set, key)
        else:
            verdict = await judge_pass(judge, test_set.cases[key], options.votes, solvable=options.solvable)
        judged()
        return verdict

    keys = list(test_set.cases)
    return dict(zip(keys, await each(keys, one, options.workers), strict=True))


def _by_rule(test_set: TestSet, key: str) -> PassVerdict:
    task = test_set.records[key].get("task")
    metadata = task.get("metadata") if isinstance(task, dict) else None
    try:
        return judge_world(test_set.cases[key], metadata if isinstance(metadata, dict) else {})
    except AlphaUMiError as error:
        raise DataError(f"{test_set.name}: query {key}: {error}") from None


async def _publish_pass(run: PublishedRun, name: str, test_set: TestSet, options: RunOptions) -> str:
    labels = await run.passes(test_set.cases, options.votes)
    write_published(options.out / f"{test_set.name}_{name}", labels, run.pass_rows(labels, name))
    return published_summary(run.version, test_set.name, name, labels, options.votes)


def _write_settings(options: RunOptions, judge: Judge | None, more: dict[str, Json]) -> None:
    write_json(
        options.out / "settings.json",
        {
            "schema": SCHEMA,
            **more,
            "judge": judge.name if judge else "world",
            "evaluator": f"{judge.evaluator.name}-{judge.evaluator.fingerprint}" if judge else "world",
            "votes": options.votes,
            "solvable": options.solvable,
            "compat": options.compat.value if options.compat else None,
        },
    )


# --- win ----------------------------------------------------------------------------------------------------


async def run_win(
    runs: tuple[PassRun, PassRun], judge: Judge | None, options: RunOptions, progress: Progress
) -> Written:
    """Compare a candidate with a reference, on the sets that both were judged on."""
    reference, candidate = runs
    if reference.name == candidate.name:
        raise ConfigError(
            f"both runs are of {reference.name!r}: a system would be compared with itself; "
            "give one another --name in 'judge pass'"
        )
    names = [name for name in reference.sets if name in candidate.sets]
    if not names:
        raise DataError(
            f"{reference.path} has sets {some_ids(reference.sets)}, {candidate.path} {some_ids(candidate.sets)}"
        )
    published = None
    if options.compat is not None:
        published = PublishedRun(version=options.compat, judge=_needed(judge))
    ids: dict[str, Json] = {name: list[Json](reference.sets[name]) for name in names}
    kinds: dict[str, Json] = {"kind": "win", "reference": reference.name, "candidate": candidate.name}
    _write_settings(options, judge, {**kinds, "sets": ids})
    summary: list[str] = []
    for done, name in enumerate(names, start=1):
        if published is not None:
            summary.append(await _publish_win(published, runs, name, options))
        else:
            await _compare_set(runs, name, judge, options)
        progress(done, len(names))
    return Written(summary=summary, notes=published.notes if published else ())


async def _compare_set(runs: tuple[PassRun, PassRun], name: str, judge: Judge | None, options: RunOptions) -> None:
    verdicts = [read_verdicts(run.path, name) for run in runs]
    cases = [run.cases(name) for run in runs]
    keys = list(dict.fromkeys(key for each in verdicts for key in (*each.passes, *each.missing)))

    async def one(key: str) -> Comparison:
        have = [key in each.passes for each in verdicts]
        if have != [True, True]:
            winner = {(True, False): Preference.REFERENCE, (False, True): Preference.CANDIDATE}
            return Comparison(votes=(winner.get((have[0], have[1]), Preference.TIE),), reason="an answer is missing")
        both = verdicts[0].passes[key], verdicts[1].passes[key]
        pair = cases[0][key], cases[1][key]
        if judge is None:
            return compare_by_rule(pair, both)
        settled = settled_by_passes(*both)
        if settled is not None:
            return Comparison(votes=(settled,), reason="settled by the pass verdicts")
        return await judge_pair(judge, pair, options.votes)

    compared = await each(keys, one, options.workers)
    rows: dict[str, Json] = {
        key: {
            "preference": each.preference.value,
            "votes": [vote.value for vote in each.votes],
            "reason": each.reason,
            "nonsense": each.nonsense,
        }
        for key, each in zip(keys, compared, strict=True)
    }
    write_json(options.out / "verdicts" / f"{name}.json", rows)


async def _publish_win(run: PublishedRun, runs: tuple[PassRun, PassRun], name: str, options: RunOptions) -> str:
    reference, candidate = runs
    pair = Pair(
        reference_name=reference.name,
        candidate_name=candidate.name,
        reference=reference.cases(name),
        candidate=candidate.cases(name),
        reference_passes=reference.table(name),
        candidate_passes=candidate.table(name),
    )
    prefer = await run.prefers(reference.sets[name], pair, options.votes)
    names = reference.name, candidate.name
    write_published(options.out / f"{name}_{names[0]}_{names[1]}", prefer, run.prefer_rows(prefer, pair))
    return published_win_summary(name, names, prefer)
