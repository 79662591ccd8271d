"""Judging: raw answers to pass rates and win rates, by a model or by the sealed world's verifier."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias, Unpack

from pydantic import Field, with_config
from typing_extensions import TypedDict

from alpha_umi.config.calls import STRICT, validated
from alpha_umi.errors import ConfigError, InterruptedWorkError
from alpha_umi.event_loops import run_blocking
from alpha_umi.file_names import file_name
from alpha_umi.formats.prompts.judging import OWN
from alpha_umi.jobs.groups import VerbGroup
from alpha_umi.jobs.options import AtLeastOne
from alpha_umi.judging import runs
from alpha_umi.judging.files import (
    LedgerRecord,
    convert_file_or_folder,
    convert_run,
    read_evaluator,
    read_pass_run,
    read_sets,
    read_settings,
)
from alpha_umi.judging.flow import Judge
from alpha_umi.judging.report import Report, describe_rates, report
from alpha_umi.loading.judges import choose_model, open_judge
from alpha_umi.output_lock import locks_out
from alpha_umi.rollouts.runner import ROLLOUTS
from alpha_umi.store import write_json, write_text
from alpha_umi.types import Json, Reference, Sampling

OnProgress: TypeAlias = Callable[[int, int], object]
_ANSWER_TOKENS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertedAnswers:
    """Files in ToolEval's answer format."""

    files: Mapping[Path, int]
    """Number of answers in each."""
    notes: Sequence[str] = ()

    def to_json(self) -> dict[str, Json]:
        """JSON object of the results."""
        return {"files": {str(path): count for path, count in self.files.items()}, "notes": list(self.notes)}


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingRun:
    """Result of judging in its folder."""

    out: Path
    lines: Sequence[str]
    """Rates in words, a line per set; with compat what the published script prints."""
    notes: Sequence[str]
    published: bool = False

    @property
    def rates(self) -> list[Json]:
        """A row of numbers per set, as `umi judge report` has them; none with compat."""
        return [] if self.published else [row for rows in report([self.out]).document.values() for row in rows]

    def to_json(self) -> dict[str, Json]:
        """JSON object of the results."""
        return {"out": str(self.out), "rates": self.rates, "summary": list(self.lines), "notes": list(self.notes)}


@with_config(STRICT)
class JudgeOptions(TypedDict, total=False):
    """Choice of a judge, and how often it votes."""

    model: str | None
    """A model at `base_url`, else a folder with weights."""
    base_url: str | None
    """An OpenAI-compatible endpoint that serves `model`."""
    key_env: str
    """The environment variable that holds the endpoint's key."""
    evaluator: Path | None
    """A ToolEval evaluator folder in place of our questions."""
    votes: AtLeastOne
    """At most that many votes on a query; 3 by default."""
    temperature: Annotated[float, Field(ge=0)] | None
    """Of the judge; None: the evaluator folder's, else 0."""
    concurrency: AtLeastOne
    """Queries at once; 8 by default."""
    compat: Reference | None
    """As that published code, mistakes included."""
    world: bool
    """Tasks of the sealed world: judge by its verifier."""
    on_progress: OnProgress | None
    """Called with the queries done and all of them."""


@validated
@locks_out
def convert_answers(
    answers: Path, out: Path, *, method: str | None = None, compat: Reference | None = None, strict: bool = False
) -> ConvertedAnswers:
    """Convert a run of rollouts, a folder of raw answers or trajectories to ToolEval's answer format.

    `out`: the file to write; of a run the folder, a file per query set. `method`: only files with this in their name;
    `strict`: stop at a raw answer that cannot be read, in place of a note. Raises DataError for what is no answers.
    """
    if compat is None and (answers / ROLLOUTS).exists():
        files: dict[Path, int] = {}
        for name, each in convert_run(answers, method).items():
            path = out / f"{file_name(name)}.json"
            write_json(path, each.records)
            files[path] = len(each.records)
        return ConvertedAnswers(files=files)
    converted = convert_file_or_folder(answers, method, compat, strict=strict)
    write_json(out, converted.records)
    return ConvertedAnswers(files={out: len(converted.records)}, notes=converted.notes)


@validated
@locks_out
def judge_passes(
    answers: Path,
    out: Path,
    *,
    ids: Path | None = None,
    name: str | None = None,
    solvable: bool = False,
    **options: Unpack[JudgeOptions],
) -> JudgingRun:
    """Judge whether each answer passes. Without a judge the run's ledger is scored again, without any model request.

    `answers`: a converted file, or a folder of them; `ids`: query ids of the set; `name`: of the system. Raises
    ConfigError, DataError or ModelError; InterruptedWorkError on Ctrl-C: the same call goes on.
    """
    sets = read_sets(answers, ids)
    run = _run_options(out, options, solvable=solvable)
    system = name or (answers.name if answers.is_dir() else answers.resolve().parent.name)
    return _judge(out, options, lambda judge, show: runs.run_pass(system, sets, judge, run, show))


@validated
@locks_out
def judge_wins(reference: Path, candidate: Path, out: Path, **options: Unpack[JudgeOptions]) -> JudgingRun:
    """Compare two runs of `judge pass`. Each vote asks in both orders; disagreement is a tie.

    Raises as `judge pass`.
    """
    pair = read_pass_run(reference), read_pass_run(candidate)
    run = _run_options(out, options)
    return _judge(out, options, lambda judge, show: runs.run_win(pair, judge, run, show))


@validated
@locks_out
def judge_report(folders: Sequence[Path], out: Path | None = None, *, labels: Path | None = None) -> Report:
    """Rates of judging runs with 95 % intervals, McNemar's test for every two systems, agreement with labels.

    `out`: where to write the numbers (.json) and the tables (.md). Raises DataError for what is no judging run.
    """
    made = report(folders, labels)
    if out is not None:
        write_json(out, made.document)
        with write_text(out.with_suffix(".md")) as file:
            file.write(made.text)
    return made


class JudgeVerbs(VerbGroup):
    """Judge rollouts as ToolEval does: `judge.convert`, `judge.pass_`, `judge.win`, `judge.report`.

    `judge("pass", ...)` is `judge.pass_(...)`, as on the command line.
    """

    convert = staticmethod(convert_answers)
    pass_ = staticmethod(judge_passes)
    win = staticmethod(judge_wins)
    report = staticmethod(judge_report)


judge = JudgeVerbs()


# --- the judge --------------------------------------------------------------------------------------------

_Start: TypeAlias = Callable[[Judge | None, runs.Progress], Awaitable[runs.Written]]


def _run_options(out: Path, options: JudgeOptions, *, solvable: bool = False) -> runs.RunOptions:
    return runs.RunOptions(
        out=out,
        votes=options.get("votes", 3),
        workers=options.get("concurrency", 8),
        solvable=solvable,
        compat=options.get("compat"),
    )


def _judge(out: Path, options: JudgeOptions, start: _Start) -> JudgingRun:
    model, base_url, folder = options.get("model"), options.get("base_url"), options.get("evaluator")
    if options.get("world") and (model or base_url or folder):
        raise ConfigError("--world judges by rule; leave out --model, --base-url and --evaluator")
    if base_url and not model:
        raise ConfigError("--base-url needs --model, the name of the model there")
    on_progress = options.get("on_progress")

    def show(done: int, total: int) -> None:
        if on_progress is not None:
            on_progress(done, total)

    try:
        written = run_blocking(_judge_with(out, options, lambda judge: start(judge, show)))
    except KeyboardInterrupt:
        raise InterruptedWorkError("interrupted; every reply so far is kept, the same command goes on") from None
    published = options.get("compat") is not None
    lines = written.summary if published else describe_rates(out)
    return JudgingRun(out=out, lines=lines, notes=written.notes, published=published)


async def _judge_with(
    out: Path, options: JudgeOptions, start: Callable[[Judge | None], Awaitable[runs.Written]]
) -> runs.Written:
    if options.get("world"):
        return await start(None)
    folder, model, base_url = options.get("evaluator"), options.get("model"), options.get("base_url")
    concurrency, temperature = options.get("concurrency", 8), options.get("temperature")
    evaluator = read_evaluator(folder) if folder else OWN
    record = LedgerRecord(out / "ledger.jsonl")
    slots = asyncio.Semaphore(concurrency)
    if model is None:
        if not (out / "settings.json").exists():
            raise ConfigError(
                "name a judge: --model (with --base-url for an endpoint), or --world for the sealed world"
            )
        judge = Judge(name=read_settings(out)["judge"], model=None, evaluator=evaluator, record=record, slots=slots)
        return await start(judge)
    if temperature is None:
        temperature = _number(evaluator.completion, "temperature")
    tokens = int(_number(evaluator.completion, "max_tokens") or _ANSWER_TOKENS)
    config = choose_model(model, base_url, options.get("key_env", "OPENAI_API_KEY"), concurrency)
    async with open_judge(config, evaluator) as loaded:
        judge = Judge(
            name=f"{os.path.basename(model.rstrip('/'))} at {temperature:g}",  # noqa: PTH119  it may be a hub id
            model=loaded.ask,
            evaluator=evaluator,
            sampling=Sampling(temperature=temperature, max_tokens=tokens),
            record=record,
            slots=slots,
        )
        return await start(judge)


def _number(settings: Mapping[str, Json], key: str) -> float:
    value = settings.get(key)
    return float(value) if isinstance(value, int | float) else 0.0
