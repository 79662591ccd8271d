"""The verbs of judging: from raw answers to pass rates and win rates, by a model or by the sealed world's verifier."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from alpha_umi.errors import ConfigError

judge_app = typer.Typer(help="Judge rollouts as ToolEval does: pass rate, SoPR, win rate, SoWR.", no_args_is_help=True)

_ANSWER_TOKENS = 1024
COMPATS = ("alpha-umi", "openbmb", "stable")

Compat = Annotated[str | None, typer.Option(help=f"{', '.join(COMPATS)}: as that published code, mistakes included.")]
Model = Annotated[str | None, typer.Option(help="The judge: a model at --base-url, else a folder with weights.")]
BaseUrl = Annotated[str | None, typer.Option(help="An OpenAI-compatible endpoint that serves --model.")]
KeyEnv = Annotated[str, typer.Option(help="The environment variable that holds the endpoint's key.")]
EvaluatorFolder = Annotated[
    Path | None, typer.Option("--evaluator", help="A ToolEval evaluator folder in place of our questions.")
]
Votes = Annotated[int, typer.Option(min=1, help="At most so many votes on a query; fewer where the rest cannot tell.")]
Temperature = Annotated[
    float | None, typer.Option(min=0.0, help="Of the judge; by default the evaluator folder's, else 0.")
]
Concurrency = Annotated[int, typer.Option(min=1, help="Queries under way at once.")]
RunFolder = Annotated[Path, typer.Option("--out", help="The run's folder; the same command goes on in it.")]


@judge_app.command("convert")
def convert(
    answers: Annotated[
        Path,
        typer.Argument(help="A run of 'umi rollout', a folder of raw answers ID_METHOD.json, trajectories (.jsonl)."),
    ],
    out: Annotated[Path, typer.Option("--out", help="The file to write; of a run the folder, a file per query set.")],
    method: Annotated[
        str | None, typer.Option(help="Only files with this in their name; recorded as the method.")
    ] = None,
    compat: Compat = None,
) -> None:
    """Raw answers in ToolEval's answer format."""
    from alpha_umi.judging.files import convert_file_or_folder, convert_run
    from alpha_umi.rollouts.runner import ROLLOUTS
    from alpha_umi.store import write_json

    if compat is None and (answers / ROLLOUTS).exists():
        for name, each in convert_run(answers, method).items():
            write_json(out / f"{name}.json", each.records)
            print(f"{out / name}.json: {len(each.records)} answers")
        return
    converted = convert_file_or_folder(answers, method, _compat(compat))
    write_json(out, converted.records)
    print(f"{out}: {len(converted.records)} answers")
    _print_notes(converted.notes)


@judge_app.command("pass")
def judge_pass(
    answers: Annotated[Path, typer.Argument(help="A converted file, or a folder of them, one per test set.")],
    out: RunFolder,
    ids: Annotated[
        Path | None, typer.Option(help="Query ids of the set; for a folder, a folder of such files.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call the system; by default the folder's name.")] = None,
    model: Model = None,
    base_url: BaseUrl = None,
    key_env: KeyEnv = "OPENAI_API_KEY",
    evaluator: EvaluatorFolder = None,
    votes: Votes = 3,
    temperature: Temperature = None,
    concurrency: Concurrency = 8,
    compat: Compat = None,
    *,
    world: Annotated[bool, typer.Option("--world", help="Tasks of the sealed world: judge by its verifier.")] = False,
    solvable: Annotated[
        bool,
        typer.Option("--solvable", help="The queries are known to be solvable: do not ask; cast all votes (SoPR)."),
    ] = False,
) -> None:
    """Does each answer pass? Without a judge the run's ledger is scored anew, and nobody is asked."""
    from alpha_umi.judging import runs
    from alpha_umi.judging.files import read_sets

    sets = read_sets(answers, ids)
    options = runs.RunOptions(out=out, votes=votes, workers=concurrency, solvable=solvable, compat=_compat(compat))
    system = name or (answers.name if answers.is_dir() else answers.resolve().parent.name)
    asked = _Asked(
        model=model,
        base_url=base_url,
        key_env=key_env,
        folder=evaluator,
        temperature=temperature,
        concurrency=concurrency,
        world=world,
    )
    written = _run(asked, out, lambda judge, show: runs.run_pass(system, sets, judge, options, show))
    _print_run(out, written, published=compat is not None)


@judge_app.command("win")
def judge_win(
    reference: Annotated[Path, typer.Argument(help="The reference's run of 'judge pass'.")],
    candidate: Annotated[Path, typer.Argument(help="The candidate's.")],
    out: RunFolder,
    model: Model = None,
    base_url: BaseUrl = None,
    key_env: KeyEnv = "OPENAI_API_KEY",
    evaluator: EvaluatorFolder = None,
    votes: Votes = 3,
    temperature: Temperature = None,
    concurrency: Concurrency = 8,
    compat: Compat = None,
    *,
    world: Annotated[bool, typer.Option("--world", help="Compare by rule: passing, then fewer tool calls.")] = False,
) -> None:
    """Which of two systems is better? Each vote asks in both orders; disagreement is a tie."""
    from alpha_umi.judging import runs
    from alpha_umi.judging.files import read_pass_run

    pair = read_pass_run(reference), read_pass_run(candidate)
    options = runs.RunOptions(out=out, votes=votes, workers=concurrency, compat=_compat(compat))
    asked = _Asked(
        model=model,
        base_url=base_url,
        key_env=key_env,
        folder=evaluator,
        temperature=temperature,
        concurrency=concurrency,
        world=world,
    )
    written = _run(asked, out, lambda judge, show: runs.run_win(pair, judge, options, show))
    _print_run(out, written, published=compat is not None)


@judge_app.command("report")
def judge_report(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Runs of 'judge pass' and 'judge win'.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Also write the numbers here (.json), tables as .md.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Labels of people, or a published pass file, to measure agreement with.")
    ] = None,
) -> None:
    """Rates with 95 % intervals, McNemar's test for every two systems, agreement with labels. Asks nobody."""
    from alpha_umi.judging.report import report
    from alpha_umi.store import write_json, write_text

    made = report(folders, labels)
    if out is not None:
        write_json(out, made.document)
        with write_text(out.with_suffix(".md")) as file:
            file.write(made.text)
    print(made.text, end="")


# --- running --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """Who is to judge, as the options say it."""

    model: str | None
    base_url: str | None
    key_env: str
    folder: Path | None
    temperature: float | None
    concurrency: int
    world: bool

    def __post_init__(self) -> None:
        if self.world and (self.model or self.base_url or self.folder):
            raise ConfigError("--world judges by rule; leave out --model, --base-url and --evaluator")
        if self.base_url and not self.model:
            raise ConfigError("--base-url needs --model, the name of the model there")


def _run(asked: _Asked, out: Path, start: Any) -> Any:
    from rich.console import Console

    from alpha_umi.display import progress
    from alpha_umi.errors import InterruptedWorkError

    with progress(Console(stderr=True), "queries") as display:
        show = partial(display.update, "judging")
        try:
            return asyncio.run(_judge_with(asked, out, lambda judge: start(judge, show)))
        except KeyboardInterrupt:
            raise InterruptedWorkError("interrupted; every reply so far is kept, the same command goes on") from None


async def _judge_with(asked: _Asked, out: Path, start: Any) -> Any:
    if asked.world:
        return await start(None)
    from alpha_umi.config import EndpointConfig, LocalConfig
    from alpha_umi.formats.prompts.judging import OWN
    from alpha_umi.judging.files import LedgerRecord, read_evaluator, read_settings
    from alpha_umi.judging.flow import Judge
    from alpha_umi.loading.judges import open_judge
    from alpha_umi.types import Sampling

    evaluator = read_evaluator(asked.folder) if asked.folder else OWN
    record = LedgerRecord(out / "ledger.jsonl")
    slots = asyncio.Semaphore(asked.concurrency)
    if asked.model is None:
        if not (out / "settings.json").exists():
            raise ConfigError(
                "name a judge: --model (with --base-url for an endpoint), or --world for the sealed world"
            )
        judge = Judge(name=read_settings(out)["judge"], model=None, evaluator=evaluator, record=record, slots=slots)
        return await start(judge)
    temperature = asked.temperature if asked.temperature is not None else _number(evaluator.completion, "temperature")
    tokens = int(_number(evaluator.completion, "max_tokens") or _ANSWER_TOKENS)
    config = (
        EndpointConfig(base_url=asked.base_url, model=asked.model, key_env=asked.key_env, concurrency=asked.concurrency)
        if asked.base_url
        else LocalConfig(model=asked.model)
    )
    async with open_judge(config, evaluator) as loaded:
        judge = Judge(
            name=f"{os.path.basename(asked.model.rstrip('/'))} at {temperature:g}",  # noqa: PTH119  it may be a hub id
            model=loaded.ask,
            evaluator=evaluator,
            sampling=Sampling(temperature=temperature, max_tokens=tokens),
            record=record,
            slots=slots,
        )
        return await start(judge)


def _number(settings: Any, key: str) -> float:
    value = settings.get(key)
    return float(value) if isinstance(value, int | float) else 0.0


def _compat(name: str | None) -> Any:
    from alpha_umi.judging.reference_convert import Published

    if name is None:
        return None
    if name not in COMPATS:
        raise ConfigError(f"--compat {name!r} is not known; known: {', '.join(COMPATS)}")
    return Published(name)


# --- printing -------------------------------------------------------------------------------------------


def _print_run(out: Path, written: Any, *, published: bool) -> None:
    from alpha_umi.judging.report import describe_rates

    for line in written.summary if published else describe_rates(out):
        print(line)
    _print_notes(written.notes)
    print(f"{out}" if published else f"{out}; next: umi judge report {out}")


def _print_notes(notes: Sequence[str]) -> None:
    for note in notes:
        print(f"  {note}")
