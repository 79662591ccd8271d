"""Verb `umi ask`: an agent's answer to one query, with every turn shown live."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alpha_umi.cli import rollout as rollouts
from alpha_umi.cli.shared_options import with_options_of
from alpha_umi.cli.streams import echo
from alpha_umi.output_lock import locks_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from alpha_umi.jobs.ask import Conversation
    from alpha_umi.jobs.chat import Chat
    from alpha_umi.types import Trajectory

NO_ANSWER, GAVE_UP = 1, 2
"""Exit codes without an answer: the search ended before there was one, or the agent decided that there is none."""
Constrained = Annotated[
    bool | None,
    typer.Option(
        "--constrained/--unconstrained",
        help="Constrain calls to the offered tools and their schemas; by default as the agent says.",
    ),
]
Grounded = Annotated[
    bool | None,
    typer.Option(
        "--grounded/--ungrounded",
        help="Hold calls and answers to values that you or a tool named; by default as the agent says.",
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=1.0,
        help="Give up rather than make a call of which the agent is less sure (mean probability of its tokens).",
    ),
]
Tools = Annotated[
    Path | None,
    typer.Option(
        help="A Python file with @tool functions, a file of 'umi tools', ToolBench's tool JSON, module:attribute, "
        "or calculator or python (a sandbox), which come along; without it the agent's own world is asked, with the "
        "tools that fit."
    ),
]
Mcp = Annotated[
    list[str] | None,
    typer.Option(
        help="An MCP server whose tools are offered: a command with its arguments, an address (http://...), or a file "
        "with mcpServers (.json); repeatable."
    ),
]
Agent = Annotated[
    str | None,
    typer.Option(
        help="A run directory, an agent file, a Hugging Face Hub repository, or a bundled agent: umi-smol, the default "
        "with --tools or --env, or umi-tiny, the default in its own world."
    ),
]
World = Annotated[
    str | None,
    typer.Option(
        help="Ask in this sealed world (tiny, small or full; functions with --world-task), not in the agent's own."
    ),
]
ToolEnv = Annotated[
    str | None,
    typer.Option("--env", help="Where tools of JSON files are called: a service's address, rapidapi, or a TOML file."),
]
MaxObservationChars = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Characters of an observation that the agent reads (4096 unless a TOML environment says otherwise); the "
        "rest is left out, and said to be.",
    ),
]
Confirm = Annotated[
    list[str] | None,
    typer.Option(
        "--confirm",
        metavar="PATTERN",
        help="Ask before a call of such a tool is run ('delete_*', '*'), beside the tools that ask for it themselves; "
        "where neither a terminal nor a client of umi serve can be asked it is declined.",
    ),
]
Approve = Annotated[
    list[str] | None,
    typer.Option("--approve", metavar="PATTERN", help="Run calls of such tools unasked, whatever they ask for."),
]
Retrieve = Annotated[
    int | None,
    typer.Option(min=1, help="How many of many tools the agent reads, found by BM25 (5 with --retrieve-at)."),
]
Single = Annotated[bool, typer.Option("--single", help="The backbone alone.")]


def agent_options(
    tools: Tools = None,
    agent: Agent = None,
    base_url: rollouts.BaseUrl = None,
    model: rollouts.Model = None,
    world: World = None,
    env: ToolEnv = None,
    mcp: Mcp = None,
    strategy: rollouts.StrategyName = "chain",
    max_steps: rollouts.MaxSteps = 12,
    max_completions: rollouts.MaxCompletions = None,
    max_tokens: rollouts.MaxTokens = None,
    max_seconds: rollouts.MaxSeconds = None,
    max_calls: rollouts.MaxCalls = None,
    max_repeats: rollouts.MaxRepeats = 3,
    max_observation_chars: MaxObservationChars = None,
    confirm: Confirm = None,
    approve: Approve = None,
    retrieve: Retrieve = None,
    retrieve_at: rollouts.RetrieveAt = None,
    *,
    single: Single = False,
    native: rollouts.Native = False,
    thinking: rollouts.Thinking = None,
    constrained: Constrained = None,
    grounded: Grounded = None,
    threshold: Threshold = None,
    trust_remote_code: rollouts.TrustRemoteCode = False,
) -> None:
    """Options of an agent, its tools and the search of a reply; see `api_options`."""


def api_options(
    console: Console | None = None,
    *,
    thinking: bool | None,
    confirm: Sequence[str] | None,
    approve: Sequence[str] | None,
    **options: Any,
) -> Any:
    """Options of `agent_options` under their names in the Python API.

    `console`: where the user is asked about calls; None: nobody is.
    """
    from alpha_umi.cli.confirm import terminal_confirm

    return {
        "chat_template_kwargs": rollouts.template_settings(thinking),
        "confirm": None if console is None else terminal_confirm(console),
        "confirm_tools": confirm or (),
        "approve_tools": approve or (),
        **options,
    }


@with_options_of(agent_options)
@locks_out
def ask(
    query: Annotated[str | None, typer.Argument(help="What to do.")] = None,
    world_task: Annotated[
        str | None, typer.Option(metavar="SPLIT:INDEX", help="A task of the world, in place of a query.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the trajectory here (.jsonl).")] = None,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the trajectory as one JSON object, in place of the answer.")
    ] = False,
    agent: str | None = None,
    **options: Any,
) -> None:
    """Answer one query with tools, showing every turn live. Exit code 0 for an answer, 2 where the agent gave up."""
    from rich.console import Console

    from alpha_umi.display import TurnPrinter, print_line, verdict_words
    from alpha_umi.jobs.ask import read_question
    from alpha_umi.store import write_trajectories

    console = Console(stderr=True)
    question = read_question(query, agent, api_options(console, world_task=world_task, **options))
    with open_chat(console, question) as chat, TurnPrinter(console) as printer:
        trajectory = chat.send(query or "", on_node=printer.on_node, on_token=printer.on_token)
    if out is not None:
        write_trajectories(out, [trajectory])
    verdict = question.toolbox.environment.verify(trajectory.task, trajectory)
    if verdict is not None:
        print_line(console, f"{'verifier':>10}  {verdict_words(verdict)}")
    print_outcome(trajectory, as_json=as_json)


def open_chat(console: Console, conversation: Conversation) -> Chat:
    """Load the agent of a conversation, with a progress display."""
    from alpha_umi.display import loading
    from alpha_umi.loading.models import import_engine

    if not conversation.choice.is_local:
        return conversation.open()
    with loading(console, "torch"):
        import_engine()
    with loading(console, conversation.choice.name):
        return conversation.open()


def print_outcome(trajectory: Trajectory, *, as_json: bool) -> None:
    """Print the answer, or the trajectory as JSON, on the standard output; an exit code where there is no answer."""
    from alpha_umi.cli.output import print_json

    if as_json:
        print_json(trajectory.to_json())
    elif trajectory.answer is not None and not (sys.stdout.isatty() and sys.stderr.isatty()):
        echo(trajectory.answer)  # on a terminal the summarizer's turn has shown it
    end_without_answer(trajectory)


def end_without_answer(trajectory: Trajectory | None) -> None:
    """Say why there is no answer and end: exit code 2 where the agent gave up, 1 for another reason."""
    from alpha_umi.types import StopReason

    if trajectory is not None and (trajectory.answer or "").strip():
        return
    gave_up = trajectory is not None and trajectory.stop is StopReason.GAVE_UP
    if trajectory is None:
        why = "nothing was asked"
    elif trajectory.answer is not None:
        why = "the agent wrote an empty one"
    else:
        why = trajectory.stop.value.replace("_", " ")
    echo(f"no answer: {why}", err=True)
    raise typer.Exit(GAVE_UP if gave_up else NO_ANSWER)
