"""Export of the sealed world's tasks: gold trajectories, raw ToolBench answers, query files, test ids and tool JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count as count_up
from itertools import islice
from pathlib import Path
from typing import cast

from alpha_umi.errors import ConfigError
from alpha_umi.preparation.answers import GROUPS
from alpha_umi.store import make_folder, write_json, write_trajectories
from alpha_umi.types import Json, Task, Trajectory
from alpha_umi.world import World, answer_document


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Selection of tasks of the sealed world."""

    split: str
    count: int
    preset: str = "tiny"
    seed: int = 0
    first: int = 0
    """The index to start from."""
    max_calls: int | None = None
    """Upper limit of calls in a task's gold trajectory; None: no limit."""

    def tasks(self, world: World) -> Iterator[Task]:
        """Generate the tasks in the order of their indices, without end."""
        for index in count_up(self.first):
            task = world.task(self.split, index)
            if self.max_calls is None or cast("int", task.metadata["calls"]) <= self.max_calls:
                yield task


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Paths of the written files."""

    answers: Path
    trajectories: Path
    queries: Path | None = None
    """None in the tiny world, whose tools have no tool JSON."""


def write_gold(out: Path, choice: Choice, change: Callable[[int, Trajectory], Trajectory] | None = None) -> Written:
    """Write the first tasks of a choice with the oracle's trajectories, as JSONL and, if single queries, raw answers.

    `change` maps each trajectory to another, given its index among them. Where the world has tool JSON, also a query
    file and, of a test set, its ids. Raises ConfigError for an unknown preset or split.
    """
    world = World(choice.preset, choice.seed)
    answers, trajectories = out / choice.split / "answer", out / f"{choice.split}.jsonl"
    documented = bool(world.documents)
    world.task(choice.split, choice.first)  # An unknown split leaves nothing behind.
    queries: list[Json] = []

    def gold() -> Iterator[Trajectory]:
        for place, task in enumerate(islice(choice.tasks(world), choice.count)):
            trajectory = world.gold(task) if change is None else change(place, world.gold(task))
            if not world.history(task):  # ToolBench's answers hold one message of the user
                write_json(answers / _answer_name(task), answer_document(trajectory))
            if documented:
                queries.append(world.query(task))
            yield trajectory

    for group in GROUPS:
        make_folder(answers / group)
    write_trajectories(trajectories, gold())
    if not documented:
        return Written(answers=answers, trajectories=trajectories)
    write_json(out / "queries" / f"{choice.split}.json", queries)
    if choice.split != "train":
        ids = [str(cast("dict[str, Json]", query)["query_id"]) for query in queries]
        write_json(out / "test_query_ids" / f"{choice.split}.json", {name: place for place, name in enumerate(ids)})
    return Written(answers=answers, trajectories=trajectories, queries=out / "queries" / f"{choice.split}.json")


def write_shared(out: Path, choice: Choice) -> tuple[Path, int]:
    """Write trajectories of the functions world in groups that share their tools, a line each.

    Returns the file and the number of trajectories.

    Raises ConfigError for another world, or an unknown split.
    """
    from alpha_umi.world.functions.groups import write_groups
    from alpha_umi.world.functions.splits import NAME

    if choice.preset != NAME:
        raise ConfigError(
            f"--share-tools: tasks of the world {choice.preset!r} do not share tools; name --preset {NAME}"
        )
    World(NAME, choice.seed).task(choice.split, choice.first)
    path = out / f"{choice.split}.jsonl"
    groups = write_groups(choice.seed, choice.split, choice.first, choice.count)
    return path, write_trajectories(path, (trajectory for group in groups for trajectory in group))


def write_tools(out: Path, preset: str) -> int:
    """Write the tool JSON files of a world as `tools/CATEGORY/TOOL.json`; returns their number."""
    documents = World(preset).documents
    for (category, name), document in documents.items():
        write_json(out / "tools" / category / f"{name.lower()}.json", dict(document))
    return len(documents)


def _answer_name(task: Task) -> str:
    """Path of an answer file: its group's folder, and a name that begins with its query id, as ToolBench's do."""
    group = task.metadata.get("group", "G1")
    return f"{group}_answer/{task.metadata.get('query_id', task.metadata['index'])}_Oracle.json"
