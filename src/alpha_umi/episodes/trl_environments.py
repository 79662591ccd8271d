"""Environments of the sealed world for TRL's GRPOTrainer: one class per task, whose methods are the task's tools.

rows, factories = trl_environments(range(100))
GRPOTrainer(..., train_dataset=Dataset.from_list(rows), environment_factory=factories, reward_funcs=passed)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from alpha_umi.episodes.episode import Episode
from alpha_umi.episodes.tool_methods import tool_method
from alpha_umi.world import Verdict


def trl_environments(
    indices: Iterable[int], preset: str = "small", split: str = "train", seed: int = 0
) -> tuple[list[dict[str, Any]], dict[str, Callable[[], Any]]]:
    """Make the rows of a data set, and the factory of each row's environment under the name that the row has."""
    rows, factories = list[dict[str, Any]](), dict[str, Callable[[], Any]]()
    for index in indices:
        place = {"preset": preset, "split": split, "index": index, "seed": seed}
        episode = Episode.open(**place)
        methods = {tool.name: tool_method(tool) for tool in episode.tools}
        rows.append({"prompt": episode.request["messages"], "environment": episode.task.id})
        factories[episode.task.id] = type("WorldEnvironment", (_Task,), {"_place": place, **methods})
    return rows, factories


def passed(completions: Sequence[Sequence[dict[str, Any]]], environments: Sequence[Any], **_: Any) -> list[float]:
    """Reward function of TRL: 1 for each rollout that passed its task, else 0."""
    return [float(judge(each, said).passed) for said, each in zip(completions, environments, strict=True)]


def judge(environment: Any, completion: Sequence[dict[str, Any]]) -> Verdict:
    """Verdict on the messages of one rollout."""
    said = [message for message in completion if message["role"] == "assistant"]
    calls = [[call["function"] for call in message.get("tool_calls") or ()] for message in said]
    replies = [
        (str(message.get("content") or ""), [(call["name"], call["arguments"]) for call in of_message])
        for message, of_message in zip(said, calls, strict=True)
    ]
    return Episode.open(**environment._place).replay(replies).verdict  # noqa: SLF001


class _Task:
    """Environment of one task, reset before each rollout; TRL takes its public methods for tools."""

    _place: ClassVar[dict[str, Any]]

    def reset(self, **_: Any) -> None:
        self._episode = Episode.open(**self._place)
