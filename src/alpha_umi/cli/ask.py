"""The verb that asks an agent one query, with every turn shown as it happens."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from alpha_umi.cli import rollout as rollouts
from alpha_umi.errors import ConfigError

Constrained = Annotated[
    bool | None,
    typer.Option(
        "--constrained/--unconstrained",
        help="Constrain calls to the offered tools and their schemas; by default as the agent says.",
    ),
]


def ask(
    query: Annotated[str | None, typer.Argument(help="What to do.")] = None,
    tools: Annotated[
        Path | None,
        typer.Option(
            help="A Python file with @tool functions, or ToolBench's tool JSON files; without it the agent's own "
            "world is asked, with the tools that fit the query."
        ),
    ] = None,
    agent: Annotated[
        Path | None, typer.Option(help="A run directory, an agent file, or umi-tiny, which is the default.")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="An OpenAI-compatible endpoint, in place of --agent.")] = None,
    model: Annotated[str | None, typer.Option(help="The model at that endpoint, untrained in all three roles.")] = None,
    world: Annotated[
        str | None, typer.Option(help="Ask in this sealed world (tiny, small or full), not in the agent's own.")
    ] = None,
    world_task: Annotated[
        str | None, typer.Option(metavar="SPLIT:INDEX", help="A task of the world, in place of a query.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the trajectory here (.jsonl).")] = None,
    env: Annotated[
        str | None,
        typer.Option(
            help="Where tools of JSON files are called: a service's address, rapidapi, or a TOML file; "
            "or an environment of your own, module:attribute."
        ),
    ] = None,
    strategy: rollouts.StrategyName = "chain",
    max_steps: rollouts.MaxSteps = 12,
    max_completions: rollouts.MaxCompletions = None,
    max_tokens: rollouts.MaxTokens = None,
    max_seconds: rollouts.MaxSeconds = None,
    max_calls: rollouts.MaxCalls = None,
    *,
    single: Annotated[bool, typer.Option("--single", help="The backbone alone.")] = False,
    native: Annotated[bool, typer.Option("--native", help="With --model: alone, by native function calling.")] = False,
    constrained: Constrained = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the trajectory as one JSON object, in place of the answer.")
    ] = False,
) -> None:
    """Answer one query with tools; every turn is shown as it happens. Exit code 0 only for an answer."""
    from rich.console import Console

    from alpha_umi.config import LimitsConfig, RolloutConfig
    from alpha_umi.display import TurnPrinter, verdict_words
    from alpha_umi.jobs.rollout import explore_one
    from alpha_umi.store import write_trajectories

    config = _read_agent(agent, base_url, model, native=native)
    if tools is None and env is None:
        asked = _read_world_query(query, world or (config.provenance.preset if config.provenance else None), world_task)
    elif query is None or world is not None or world_task is not None:
        raise ConfigError("tools of your own need a query, and neither --world nor --world-task")
    else:
        asked = rollouts.read_query(query, tools, env)
    limits = LimitsConfig(
        max_steps=max_steps,
        max_completions=max_completions,
        max_tokens=max_tokens,
        max_seconds=max_seconds,
        max_calls=max_calls,
    )
    run = RolloutConfig(
        agent=with_constraint(config, constrained),
        single=single,
        environment=asked.environment,
        strategy=strategy,
        limits=limits,
    )
    console = Console(stderr=True)
    loaded = _load(console, run, asked.opened, agent)
    with TurnPrinter(console) as printer:
        trajectory = explore_one(loaded, asked.query, printer.on_node, printer.on_token)
    if out is not None:
        write_trajectories(out, [trajectory])
    if world_task is not None:
        verdict = loaded.environment.verify(asked.query.task, trajectory)
        console.print(f"{'verifier':>10}  {verdict_words(verdict)}", markup=False, highlight=False, soft_wrap=True)
    print_outcome(trajectory, as_json=as_json)


def with_constraint(agent: Any, constrained: bool | None) -> Any:
    return agent if constrained is None else agent.model_copy(update={"constrained": constrained})


def _read_agent(agent: Path | None, base_url: str | None, model: str | None, *, native: bool) -> Any:
    from alpha_umi.loading.agents import endpoint_agent, read_agent
    from alpha_umi.loading.bundled import DEFAULT

    if base_url is None and model is None and not native:
        return read_agent(agent or Path(DEFAULT))
    if agent is None and base_url is not None and model is not None:
        return endpoint_agent(base_url, model, native=native)
    raise ConfigError("name an agent by --agent, or an endpoint by --base-url and --model (--native goes with these)")


def _read_world_query(text: str | None, preset: str | None, task: str | None) -> Any:
    from alpha_umi.config import EnvironmentConfig, WorldConfig
    from alpha_umi.jobs.world_query import free_query, name_task, open_world

    if preset is None:
        raise ConfigError("which tools may be used? Name them by --tools, or a sealed world by --world")
    if (text is None) == (task is None):
        raise ConfigError("say what to do: a query, or the name of a task of the world by --world-task")
    opened = EnvironmentConfig(world=WorldConfig())
    if task is not None:
        return rollouts.Asked(query=name_task(preset, task), environment=opened)
    return rollouts.Asked(query=free_query(preset, text or ""), environment=opened, opened=open_world(preset))


def _load(console: Any, run: Any, opened: Any, agent: Path | None) -> Any:
    from alpha_umi.display import loading
    from alpha_umi.loading.bundled import DEFAULT
    from alpha_umi.loading.environments import open_environment
    from alpha_umi.loading.models import import_engine
    from alpha_umi.loading.rollouts import check_agent, open_explorer

    check_agent(run)
    opened = opened or open_environment(run.environment)  # What is wrong with tools is said before seconds of imports.
    if not run.agent.roles.is_local:
        return open_explorer(run, opened)
    with loading(console, "torch and transformers"):
        import_engine()
    with loading(console, str(agent or DEFAULT)):
        return open_explorer(run, opened)


def print_outcome(trajectory: Any, *, as_json: bool) -> None:
    """Print the answer, or the trajectory as JSON, on the standard output; exit code 1 where there is no answer."""
    from alpha_umi.cli.output import print_json
    from alpha_umi.display import plain

    if as_json:
        print_json(trajectory.to_json())
    elif trajectory.answer is not None:
        print(plain(trajectory.answer))
    if trajectory.answer is None:
        print(f"no answer: {trajectory.stop.value}", file=sys.stderr)
        raise typer.Exit(1)
