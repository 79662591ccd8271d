"""Task of inspect_ai over the sealed world: `inspect eval alpha_umi/episodes/inspect_task.py`, or `world_task()`."""

from __future__ import annotations

from typing import Any

from alpha_umi.episodes.episode import Episode
from alpha_umi.errors import explain_missing_library
from alpha_umi.types import ToolSpec

with explain_missing_library("inspect-ai", "the task"):
    from inspect_ai import Task, task  # pyright: ignore  # of the user's environment
    from inspect_ai.dataset import Sample  # pyright: ignore
    from inspect_ai.model import ChatMessageAssistant, messages_from_openai  # pyright: ignore
    from inspect_ai.scorer import Score, Scorer, Target, accuracy, scorer, stderr  # pyright: ignore
    from inspect_ai.solver import Generate, Solver, TaskState, generate, solver  # pyright: ignore
    from inspect_ai.tool import ToolDef, ToolParams  # pyright: ignore


@task
def world_task(preset: str = "small", split: str = "train", seed: int = 0, count: int = 100) -> Task:
    places = [{"preset": preset, "split": split, "index": index, "seed": seed} for index in range(count)]
    samples = [
        Sample(id=str(at), input=Episode.open(**place).task.query, metadata=place) for at, place in enumerate(places)
    ]
    return Task(dataset=samples, solver=[open_episode(), generate()], scorer=verdict())


@solver
def open_episode() -> Solver:
    """Show the task's messages, and offer its tools."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        episode = Episode.open(**state.metadata)
        state.messages = await messages_from_openai(episode.request["messages"])
        state.tools = [_tool(episode, spec) for spec in episode.tools]
        return state

    return solve


def _tool(episode: Episode, spec: ToolSpec) -> Any:
    async def execute(**arguments: Any) -> str:
        return episode.call(spec.name, arguments).content

    declared = ToolParams.model_validate(spec.parameters)
    for argument, schema in declared.properties.items():
        schema.description = schema.description or argument
    return ToolDef(execute, spec.name, spec.description or spec.name, declared).as_tool()


@scorer(metrics=[accuracy(), stderr()])
def verdict() -> Scorer:
    """Score by the world's verdict on the replies of the model."""

    async def score(state: TaskState, target: Target) -> Score:
        episode = Episode.open(**state.metadata)
        before = sum(message["role"] == "assistant" for message in episode.request["messages"])
        said = [each for each in state.messages if isinstance(each, ChatMessageAssistant)][before:]
        replies = [(each.text, [(call.function, call.arguments) for call in each.tool_calls or ()]) for each in said]
        told = episode.replay(replies).outcome
        why = "; ".join(told["reasons"])
        return Score(value=told["passed"], answer=state.output.completion, explanation=why, metadata=told)

    return score
