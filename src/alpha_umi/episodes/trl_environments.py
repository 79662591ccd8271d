"""Environments of the sealed world for TRL's GRPOTrainer: one class per task, whose methods are the task's tools.

rows, factories = trl_environments(range(100))
GRPOTrainer(..., train_dataset=Dataset.from_list(rows), environment_factory=factories, reward_funcs=passed)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Literal, cast

from alpha_umi.episodes.episode import Episode
from alpha_umi.types import ToolSpec
from alpha_umi.world import Verdict

_TYPES = {"string": str, "integer": int, "number": float, "boolean": bool, "array": list, "object": dict}


def trl_environments(
    indices: Iterable[int], preset: str = "small", split: str = "train", seed: int = 0
) -> tuple[list[dict[str, Any]], dict[str, Callable[[], Any]]]:
    """Make the rows of a data set, and the factory of each row's environment under the name that the row has."""
    rows, factories = list[dict[str, Any]](), dict[str, Callable[[], Any]]()
    for index in indices:
        place = {"preset": preset, "split": split, "index": index, "seed": seed}
        episode = Episode.open(**place)
        methods = {tool.name: _method(tool) for tool in episode.tools}
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


def _method(tool: ToolSpec) -> Callable[..., str]:
    """Method that calls a tool, with a signature and a docstring from which TRL reads the tool's schema."""

    def call(self: Any, /, **arguments: Any) -> str:
        return self._episode.call(tool.name, arguments).content

    properties = cast("dict[str, dict[str, Any]]", tool.parameters["properties"])
    required = cast("list[str]", tool.parameters.get("required", []))
    lines = [f"    {name}: {_line(str(schema.get('description') or name))}" for name, schema in properties.items()]
    call.__name__ = tool.name
    call.__doc__ = "\n".join([_line(tool.description or tool.name), *(["", "Args:", *lines] if lines else [])])
    call.__annotations__ = {**{name: _hint(schema) for name, schema in properties.items()}, "return": str}
    named = [_parameter(name, schema, name in required) for name, schema in properties.items()]
    self = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    vars(call)["__signature__"] = inspect.Signature([self, *named])
    return call


def _parameter(name: str, schema: dict[str, Any], is_required: bool) -> inspect.Parameter:
    default = inspect.Parameter.empty if is_required else schema.get("default")
    made = inspect.Parameter("name", inspect.Parameter.KEYWORD_ONLY, default=default, annotation=_hint(schema))
    made._name = name  # type: ignore[attr-defined]  # noqa: SLF001  # may be a keyword of Python, such as `from`
    return made


def _line(text: str) -> str:
    return " ".join(text.split())


def _hint(schema: dict[str, Any]) -> Any:
    if "enum" in schema:
        return Literal[tuple(schema["enum"])]
    if schema.get("type") == "array":
        return list[_hint(schema["items"])] if "items" in schema else list
    return _TYPES.get(str(schema.get("type")), str)
