"""Verb `umi rollout`: query sets explored by an agent, with every finished task saved at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alpha_umi.cli.options_file import ConfigFile, read_own_overrides
from alpha_umi.cli.output import AsJson, print_json
from alpha_umi.cli.reference import CLIENTS, SearchCompat, read_reference
from alpha_umi.cli.streams import echo
from alpha_umi.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from alpha_umi.jobs.rollout import Progress

_SHOWN_NOTES = 10
ON = ("here", "ray")

AgentName = Annotated[
    str | None,
    typer.Option(
        "--agent", help="A run directory, an agent file, umi-tiny, 'oracle' (of the sealed world), or 'module:attr'."
    ),
]
BaseUrl = Annotated[str | None, typer.Option(help="An OpenAI-compatible endpoint, in place of --agent.")]
Model = Annotated[
    str | None,
    typer.Option(
        help="An instruct model, untrained in all three roles: a hub id, a folder, a .gguf file, or smollm2-135m; with "
        "--base-url its name there."
    ),
]
Native = Annotated[
    bool,
    typer.Option(
        "--native", help="With --model: alone, by native function calling, where its chat template has tools."
    ),
]
Thinking = Annotated[
    bool | None,
    typer.Option("--thinking/--no-thinking", help="With --model: the variable enable_thinking of its chat template."),
]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run Python code that a checkpoint brings; read it first.")
]
Env = Annotated[
    str | None,
    typer.Option(
        help="world, http, rapidapi, replay, python, bfcl, tau2, simulated; a service's address; TOOLS.py; a TOML "
        "file; or one of your own, module:attribute."
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        is_eager=True,
        callback=read_own_overrides,
        help="Set an option as in a --config file, or a key of the environment: http.url=...",
    ),
]
StrategyName = Annotated[str, typer.Option(help="chain, CoT@N, dfsdt, dfs, or DFS_woFilter_wN, DFS_wN.")]
MaxSteps = Annotated[int, typer.Option(min=1, help="Depth in steps; ToolBench's 12 nodes are 4.")]
MaxCompletions = Annotated[int | None, typer.Option(min=1, help="Completions per task, of all roles together.")]
MaxTokens = Annotated[int | None, typer.Option(min=1, help="Tokens per task, prompts and completions together.")]
MaxSeconds = Annotated[float | None, typer.Option(help="Wall time per task.")]
RetrieveAt = Annotated[
    str | None,
    typer.Option(
        help="query: the agent reads only the tools found for the query; step: those found at each step for its "
        "thought and the query."
    ),
]
MaxCalls = Annotated[int | None, typer.Option(min=0, help="Tool calls per task.")]
MaxRepeats = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="The same call with the same result, or the same plan without a decision, so many times ends a branch.",
    ),
]


Queries = Annotated[
    Path,
    typer.Option(help="Queries (.json; in .jsonl a 'query' a line will do), tasks, trajectories, or a folder of such."),
]
McpServers = Annotated[
    list[str] | None,
    typer.Option(
        help="An MCP server whose tools are offered, alone or beside --env: a command with its arguments, an "
        "address (http://...), or a file with mcpServers (.json); repeatable."
    ),
]
RankerFile = Annotated[Path | None, typer.Option(help="An agent file in the chat format that compares, for dfs.")]
RetrieveFrom = Annotated[
    Path | None,
    typer.Option(help="Find tools for queries that name none: tool JSON files, query files, or a corpus.tsv."),
]
Retriever = Annotated[
    str | None, typer.Option(help="A SentenceTransformer (folder or hub id) that finds them, in place of BM25.")
]
On = Annotated[str, typer.Option(help="here, or ray: every machine of a Ray cluster takes its share.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with this run; nothing finished is repeated.")]
Retry = Annotated[bool, typer.Option("--retry", help="With --resume: again what ended with an error.")]


def rollout(
    queries: Queries,
    out: Annotated[Path, typer.Option("--out", help="The run's folder.")],
    env: Env = None,
    mcp: McpServers = None,
    agent: AgentName = None,
    base_url: BaseUrl = None,
    model: Model = None,
    overrides: Overrides = None,
    strategy: StrategyName = "chain",
    max_steps: MaxSteps = 12,
    max_completions: MaxCompletions = None,
    max_tokens: MaxTokens = None,
    max_seconds: MaxSeconds = None,
    max_calls: MaxCalls = None,
    max_repeats: MaxRepeats = None,
    ranker: RankerFile = None,
    compat: SearchCompat = None,
    retrieve_from: RetrieveFrom = None,
    retrieve: Annotated[int, typer.Option(min=1, help="How many tools are found.")] = 5,
    retrieve_at: RetrieveAt = None,
    retriever: Retriever = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only the first N queries of each set.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Concurrent tasks.")] = 32,
    on: On = "here",
    *,
    config: ConfigFile = None,
    single: Annotated[bool, typer.Option("--single", help="The backbone alone.")] = False,
    native: Native = False,
    thinking: Thinking = None,
    trust_remote_code: TrustRemoteCode = False,
    resume: Resume = False,
    retry: Retry = False,
    as_json: AsJson = False,
) -> None:
    """Explore query sets with an agent; every finished task is saved at once, as a trajectory and as an answer file."""
    if on not in ON:
        raise ConfigError(f"--on {on!r} is not known; known: {', '.join(ON)}")
    options: dict[str, Any] = {
        "mcp": mcp,
        "agent": agent,
        "base_url": base_url,
        "model": model,
        "native": native,
        "chat_template_kwargs": template_settings(thinking),
        "single": single,
        "trust_remote_code": trust_remote_code,
        "overrides": overrides or (),
        "strategy": strategy,
        "max_steps": max_steps,
        "max_completions": max_completions,
        "max_tokens": max_tokens,
        "max_seconds": max_seconds,
        "max_calls": max_calls,
        "max_repeats": max_repeats,
        "ranker": ranker,
        "compat": read_reference(compat, CLIENTS),
        "retrieve_from": retrieve_from,
        "retrieve": retrieve,
        "retrieve_at": retrieve_at,
        "retriever": retriever,
        "limit": limit,
        "concurrency": concurrency,
        "on": on,
        "resume": resume,
        "retry": retry,
    }
    _report(_roll_out(queries, out, env, options), out, as_json=as_json)


def _roll_out(queries: Path, out: Path, env: str | None, options: Mapping[str, Any]) -> Progress:
    """Roll out with a display of what is done."""
    from rich.console import Console

    from alpha_umi.display import progress
    from alpha_umi.jobs.verbs import rollout

    with progress(Console(stderr=True), "tasks") as display:

        def on_progress(done: Progress) -> None:
            display.update("rolling out", done.all.tasks, done.total, _words(done.all))

        return rollout(queries, out, env, **options, on_progress=on_progress)


def template_settings(thinking: bool | None) -> dict[str, bool] | None:
    """Variables of a chat template from `--thinking`."""
    return None if thinking is None else {"enable_thinking": thinking}


# --- what is shown ----------------------------------------------------------------------------------------


def _words(counts: Any) -> str:
    success = f"{counts.passed} passed" if counts.verified else f"{counts.answered} answered"
    wrong = f", {counts.errors} errors" if counts.errors else ""
    return f"{success}{wrong}, {counts.tokens:,} tokens, {counts.calls:,} calls"


def _report(done: Progress, out: Path, *, as_json: bool) -> None:
    from rich.console import Console

    from alpha_umi.display import print_table

    for note in done.notes[:_SHOWN_NOTES]:
        echo(f"  {note}", err=True)
    if len(done.notes) > _SHOWN_NOTES:
        echo(f"  ... and {len(done.notes) - _SHOWN_NOTES} more notes on the queries", err=True)
    columns = ["set", "tasks", "passed", "answered", "gave up", "errors", "calls", "tokens"]
    rows = [_row(name, counts) for name, counts in done.sets.items()]
    print_table(Console(stderr=True), f"{out}", columns, [*rows, _row("all", done.all)])
    kept = f", {done.kept} of them from before" if done.kept else ""
    if as_json:
        print_json({"out": str(out), **done.to_json()})
    else:
        echo(f"{out}: {done.all.tasks} tasks{kept}; next: umi judge convert {out} --out ANSWERS")
    if done.all.errors:
        echo(f"  {done.all.errors} ended with an error, the first: {done.first_error}", err=True)
    if done.all.tasks and done.all.errors == done.all.tasks:
        raise ModelError(f"all {done.all.tasks} tasks ended with an error; fix it and roll out with --resume --retry")


def _row(name: str, counts: Any) -> list[str]:
    passed = f"{counts.passed} of {counts.verified}" if counts.verified else "-"
    numbers = (counts.answered, counts.gave_up, counts.errors, counts.calls, counts.tokens)
    return [name, f"{counts.tasks:,}", passed, *(f"{number:,}" for number in numbers)]
