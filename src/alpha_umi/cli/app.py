"""Root command of `umi`: registers the verbs, and reports user errors. `umi VERB --help` documents each verb."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from alpha_umi import __version__
from alpha_umi.cli import rollout as rollouts
from alpha_umi.cli.ask import Constrained, ask
from alpha_umi.cli.bench import bench_app
from alpha_umi.cli.bfcl import evaluate_calls
from alpha_umi.cli.chat import chat
from alpha_umi.cli.data import data_app
from alpha_umi.cli.demo import run_demo
from alpha_umi.cli.endpoint import serve
from alpha_umi.cli.examples import add_examples
from alpha_umi.cli.export import export_app
from alpha_umi.cli.judge import judge_app
from alpha_umi.cli.mathematics import evaluate_gsm8k, evaluate_math
from alpha_umi.cli.mcp import mcp
from alpha_umi.cli.options_file import ConfigFile, OptionOverrides, one_of
from alpha_umi.cli.output import AsJson, print_json
from alpha_umi.cli.prepare import prepare_app
from alpha_umi.cli.reference import Compat, read_reference
from alpha_umi.cli.report import write_report
from alpha_umi.cli.retrieve import evaluate_queries, retrieve_apis
from alpha_umi.cli.serve import cache_app, serve_world
from alpha_umi.cli.streams import checked_streams, echo, print_error
from alpha_umi.cli.study import study
from alpha_umi.cli.tau2 import evaluate_end_states
from alpha_umi.cli.toolalpaca import evaluate_golden_calls
from alpha_umi.cli.tools import tools_app
from alpha_umi.cli.world import evaluate_rollouts, write_pages, write_world
from alpha_umi.deprecation import RenamedWarning, renamed_flags
from alpha_umi.errors import AlphaUMiError, AlphaUMiWarning, ConfigError, DataError
from alpha_umi.output_lock import locks_out

# What a verb needs is imported when the verb runs: `umi --help` must not wait for numpy, rich or torch.

app = typer.Typer(
    help="Tool agents made of three small language models: planner, caller, summarizer.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
evaluate_app = typer.Typer(help="Score predictions.", no_args_is_help=True)
format_app = typer.Typer(help="Prompt formats.", no_args_is_help=True)
world_app = typer.Typer(help="The sealed world of executable tools.", no_args_is_help=True)
for name, group in (
    ("prepare", prepare_app),
    ("data", data_app),
    ("export", export_app),
    ("evaluate", evaluate_app),
    ("format", format_app),
    ("world", world_app),
    ("judge", judge_app),
    ("bench", bench_app),
    ("tools", tools_app),
):
    app.add_typer(group, name=name)

INTERRUPTED = 130
_NOTES = 10
Out = Annotated[Path, typer.Option("--out", help="The file to write.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Use only the first N.")]
Agent = Annotated[Path | None, typer.Option(help="A run directory, an agent file, or umi-tiny.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override a configuration key.")]


def main() -> None:
    """Run the command line; an error of the user is printed as one line, with an exit code."""
    # Before torch: threads that wait do not spin, which on a busy machine takes the cores from those that work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with checked_streams():
        try:
            with _notices_shown():
                app(renamed_flags(sys.argv[1:]))
        except AlphaUMiError as error:
            print_error(error)
            sys.exit(error.exit_code)
        except OSError as error:
            if error.filename is None:
                raise
            print_error(DataError(f"{error.filename}: {error.strerror}"))
            sys.exit(DataError.exit_code)
        except SystemExit as ended:
            if ended.code == INTERRUPTED:  # Typer makes this of Ctrl-C, without a word
                echo("error: interrupted", err=True)
            raise


@contextmanager
def _notices_shown() -> Iterator[None]:
    """Print our notices, and the use of old names, as one line on stderr, each once; other warnings as Python does."""
    seen = set[str]()
    default = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any) -> None:
        if not issubclass(category, (AlphaUMiWarning, RenamedWarning)):
            default(message, category, *where)
        elif str(message) not in seen:
            seen.add(str(message))
            echo(f"warning: {message}", err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("always", AlphaUMiWarning)
        warnings.simplefilter("always", RenamedWarning)
        warnings.showwarning = show
        yield


def _console() -> Any:
    from rich.console import Console

    return Console(stderr=True)


@app.callback(invoke_without_command=True)
def root(
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        echo(__version__)
        raise typer.Exit


def _role(name: str) -> Any:
    from alpha_umi.types import Role

    return _choose(Role, name, "role")


def _choose(known: type[StrEnum], name: str, what: str) -> Any:
    if name not in list(known):
        raise ConfigError(f"unknown {what} {name!r}; known: {', '.join(known)}")
    return known(name)


# --- formats ------------------------------------------------------------------------------------------


@format_app.command("learn")
@locks_out
def learn_format(
    roles: Annotated[list[str], typer.Option("--role", metavar="ROLE=FILE", help="Processed examples of a role.")],
    out: Out,
) -> None:
    """Recover the prompts of a checkpoint from its processed training files."""
    from alpha_umi.formats.learning.learn import learn
    from alpha_umi.store import write_json
    from alpha_umi.text_files import read_json_list

    files: dict[Any, Any] = {}
    for option in roles:
        role, equals, path = option.partition("=")
        if not equals:
            raise ConfigError(f"--role {option!r}: write it as ROLE=FILE")
        files[_role(role)] = read_json_list(Path(path))
    learned = learn(files)
    write_json(out, learned.document)
    for role, (explained, rows) in learned.explained.items():
        echo(f"{role.value:>10}: {explained} of {rows} inputs reproduced byte for byte")
    for role, index, reason in learned.unexplained:
        echo(f"{role.value:>10}: row {index} is not explained: {reason}")
    guessed = learned.document.get("guessed")
    if guessed:
        echo(f"no row shows, so taken as published: {guessed}")
    echo(out)


# --- train, predict, evaluate ---------------------------------------------------------------------------


@app.command()
def train(
    config: Annotated[
        str | None, typer.Argument(help="A training configuration (TOML), or the name of a recipe.")
    ] = None,
    overrides: Overrides = None,
    *,
    config_file: Annotated[str | None, typer.Option("--config", help="The same, as an option.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with this run.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what the run will need.")] = False,
    world_size: Annotated[int | None, typer.Option(min=1, help="With --plan: devices; this one by default.")] = None,
    device_memory: Annotated[float | None, typer.Option(help="With --plan: GiB of one; this one's by default.")] = None,
    device_tflops: Annotated[float | None, typer.Option(help="With --plan: of one device, as its maker says.")] = None,
    mfu: Annotated[float, typer.Option(min=0.01, max=1, help="With --device-tflops: the fraction reached.")] = 0.4,
    rate: Annotated[float | None, typer.Option(help="With --plan: tokens per second of one device, measured.")] = None,
    sample: Annotated[int, typer.Option(min=2, help="With --plan: trajectories that stand for all.")] = 400,
) -> None:
    """Train with GLPFT: a backbone on whole steps, then planner, caller and summarizer from it. torchrun shards it."""
    from alpha_umi.jobs import verbs
    from alpha_umi.jobs.train import read_train_config, train

    name = one_of(config, config_file, "a training configuration or the name of a recipe")
    if plan:
        echo(
            verbs.train(
                name,
                overrides or (),
                plan=True,
                world_size=world_size,
                device_memory=device_memory,
                device_tflops=device_tflops,
                mfu=mfu,
                rate=rate,
                sample=sample,
            )
        )
        return
    wanted = read_train_config(name, overrides or ())
    with _train_progress() as on_progress:
        run = train(wanted, resume=resume, on_progress=on_progress)
    if _is_first():
        _print_stages(run, wanted.max_length)
        echo(run)


def _is_first() -> bool:
    """Tell whether this is the first process of those that torchrun starts, or the only one."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def _train_progress() -> Iterator[Callable[[Any], None]]:
    """Show the progress of stages; Ctrl-C ends as an error that says how to resume."""
    from alpha_umi.display import progress
    from alpha_umi.errors import InterruptedWorkError

    with progress(_console(), "steps", quiet=not _is_first()) as display:
        try:
            yield lambda at: display.update(at.stage, at.step, at.steps, at.note)
        except KeyboardInterrupt:
            raise InterruptedWorkError("interrupted; what is done is saved, --resume goes on from there") from None


def _print_stages(run: Path, max_length: int) -> None:
    from alpha_umi.display import print_table
    from alpha_umi.jobs.train import trained

    rows = trained(run, max_length)
    print_table(_console(), f"{run}", list(rows[0]), [list(row.values()) for row in rows])


@app.command()
def pretrain(
    config: Annotated[str, typer.Argument(help="A pretraining configuration (TOML), or the name of a recipe.")],
    overrides: Overrides = None,
    *,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with this run.")] = False,
) -> None:
    """Train a small base model on texts, such as `umi world pages` writes; GLPFT starts from it."""
    from alpha_umi.jobs.train import pretrain, read_pretrain_config

    wanted = read_pretrain_config(config, overrides or ())
    with _train_progress() as on_progress:
        folder = pretrain(wanted, resume=resume, on_progress=on_progress)
    if _is_first():
        _print_stages(folder.parent, wanted.max_length)
        echo(folder)


@app.command()
def predict(
    data: Annotated[Path, typer.Option(help="Trajectories (.jsonl) or processed dialogues (.json).")],
    out: Out,
    agent: Agent = None,
    base_url: rollouts.BaseUrl = None,
    model: rollouts.Model = None,
    compat: Compat = None,
    limit: Limit = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Concurrent steps.")] = 64,
    *,
    config: ConfigFile = None,
    options_set: OptionOverrides = None,
    single: Annotated[bool, typer.Option("--single", help="The backbone alone, as a baseline.")] = False,
    native: rollouts.Native = False,
    thinking: rollouts.Thinking = None,
    constrained: Constrained = None,
    trust_remote_code: rollouts.TrustRemoteCode = False,
    as_json: AsJson = False,
) -> None:
    """Predict every scored step after the reference's own history. The same command resumes; torchrun shards it.

    Finished steps are not predicted again; delete the file to start over.
    """
    from alpha_umi.display import progress
    from alpha_umi.jobs.verbs import predict

    with progress(_console(), "steps", quiet=not _is_first()) as display:
        done = predict(
            agent,
            data,
            out,
            compat=read_reference(compat),
            limit=limit,
            concurrency=concurrency,
            base_url=base_url,
            model=model,
            native=native,
            chat_template_kwargs=rollouts.template_settings(thinking),
            single=single,
            constrained=constrained,
            trust_remote_code=trust_remote_code,
            on_progress=partial(display.update, "predicting"),
        )
    if not _is_first():
        return
    if as_json:
        print_json(done.to_json())
        return
    echo(f"{out}: {done.steps} steps{_kept(done)}")
    _print_notes(done.notes)


def _print_notes(notes: Sequence[str]) -> None:
    for note in notes[:_NOTES]:
        echo(f"  not enforced: {note}")
    if len(notes) > _NOTES:
        echo(f"  and {len(notes) - _NOTES} more")


def _kept(done: Any) -> str:
    if done.kept == done.steps:
        return ", all predicted before with these settings; delete the file to predict again"
    return f", {done.kept} of them predicted before" if done.kept else ""


@evaluate_app.command("static")
def evaluate_predictions(
    predictions: Annotated[Path, typer.Argument(help="Rows of {tools, reference, predictions}.")],
    out: Out,
    constrained: Annotated[
        Path | None, typer.Option(help="The same steps predicted with --constrained, to be shown beside them.")
    ] = None,
    compat: Compat = None,
    shape: Annotated[
        str | None, typer.Option(help="With --compat, which script: multi-agent or backbone; else the rows tell.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Score plan accuracy, action exact match, argument F1, hallucination rate and ROUGE-L, with 95 % intervals."""
    from alpha_umi.evaluation.static import report_document, report_text
    from alpha_umi.formats.steps import StepShape
    from alpha_umi.jobs.evaluate import evaluate_static

    chosen = None if shape is None else _choose(StepShape, shape, "shape").value
    report = evaluate_static(predictions, out, constrained=constrained, compat=read_reference(compat), shape=chosen)
    if as_json:
        print_json(report_document(report))
    else:
        echo(report_text(report), end="")


# --- live ---------------------------------------------------------------------------------------------


app.command()(ask)
app.command()(chat)
app.command()(rollouts.rollout)
app.command()(serve)
app.command()(mcp)
app.command()(study)
app.command("report")(write_report)
world_app.command("write")(write_world)
world_app.command("pages")(write_pages)


app.command("retrieve")(retrieve_apis)
evaluate_app.command("retrieval")(evaluate_queries)
evaluate_app.command("gsm8k")(evaluate_gsm8k)
evaluate_app.command("math")(evaluate_math)
evaluate_app.command("bfcl")(evaluate_calls)
evaluate_app.command("tau2")(evaluate_end_states)
evaluate_app.command("toolalpaca")(evaluate_golden_calls)
evaluate_app.command("world")(evaluate_rollouts)
world_app.command("serve")(serve_world)
world_app.add_typer(cache_app, name="cache")
app.command("demo")(run_demo)
add_examples(app)
