"""World: the public interface to tasks, tools, gold trajectories and verification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

from alpha_umi.errors import ConfigError, DataError
from alpha_umi.types import Call, Json, Observation, Task, ToolSpec, Trajectory, Turn
from alpha_umi.world.documents import query_document
from alpha_umi.world.facts import Facts
from alpha_umi.world.pages import Pages
from alpha_umi.world.presets import find_preset
from alpha_umi.world.problems import execute
from alpha_umi.world.verifier import Verdict

_KEPT = 512
"""Problems at hand, so that the calls of many tasks that go on side by side do not draw them again each time."""


class World:
    """Sealed world of tools and tasks: a pure function of (preset, seed), with endless tasks."""

    def __init__(self, preset: str = "tiny", seed: int = 0) -> None:
        """Raises ConfigError for an unknown preset."""
        self._preset = find_preset(preset)
        self._seed = seed
        self._drawn = lru_cache(_KEPT)(self._preset.draw)

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        """All tools, the held-out ones too."""
        return tuple(tool.spec for tool in self._preset.open().tools.values())

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits: `train` and the test sets."""
        return self._preset.splits

    @property
    def documents(self) -> Mapping[tuple[str, str], Mapping[str, Json]]:
        """Category and name -> tool JSON as ToolBench publishes it; empty in the tiny world."""
        return self._preset.open().documents

    @cached_property
    def pages(self) -> Pages:
        """Texts for pretraining on it. Raises ConfigError for the tiny world, which has none."""
        catalogue = self._preset.open()
        if not catalogue.documents:
            raise ConfigError("the tiny world has no pages; take the preset small or full")
        return Pages(catalogue, self._preset.name, self._seed)

    def query(self, task: Task) -> dict[str, Json]:
        """The task as an entry of a ToolBench query file. Raises DataError for a task of another world."""
        return query_document(self._problem(task))

    def task(self, split: str, index: int) -> Task:
        """The task of an index (from 0, endless). Raises ConfigError for an unknown split or a negative index."""
        return self._generate(split, index).task

    def check(self, task: Task) -> None:
        """Check that this world made the task.

        Raises DataError where another made it, or its query or its tools were changed since. The other methods do not
        mind the tools: a rollout's task also lists those of environments beside the world.
        """
        made = self._problem(task).task
        if task.tools != made.tools:
            offered, wanted = (", ".join(spec.name for spec in each.tools) or "none" for each in (task, made))
            raise DataError(
                f"task {task.id!r} offers tools other than it was made with: {offered}; they were, as the world "
                f"documents them: {wanted}. Make the tasks again or give them back their tools"
            )

    def gold(self, task: Task) -> Trajectory:
        """The gold trajectory: right, supported, and as short as the observed failures allow."""
        return self._preset.gold(self._problem(task))

    def history(self, task: Task) -> tuple[Turn, ...]:
        """The exchanges of user and agent before the one that the task asks for; empty in worlds of single queries."""
        return self._preset.history(self._problem(task))

    def execute(self, call: Call, task: Task | None = None, earlier: Sequence[Call] = ()) -> Observation:
        """Execute a call after the `earlier` ones of its branch; never raises for the content of the call.

        Within a task only the offered tools answer, by the facts and the outages of that task. Without one all do,
        and none is down.
        """
        if task is None:
            return execute(call, Facts(seed=self._seed, moment=""), self._preset.open().tools, {})
        return self._problem(task).execute(call, earlier)

    def verify(self, task: Task, trajectory: Trajectory) -> Verdict:
        """Verify that the turns of a trajectory do the task."""
        return self._preset.judge(self._problem(task), trajectory)

    def _generate(self, split: Any, index: int) -> Any:
        if split not in self._preset.splits:
            known = ", ".join(self._preset.splits)
            raise ConfigError(f"unknown world split {split!r}; known: {known}")
        if index < 0:
            raise ConfigError(f"world task index {index} is below 0")
        return self._drawn(self._seed, str(split), index)

    def _problem(self, task: Task) -> Any:
        """The problem behind a task. Raises DataError when another world made it, or its query was changed since."""
        made_by = {name: task.metadata.get(name) for name in ("world", "preset", "seed")}
        mine = {"world": self._preset.version, "preset": self._preset.name, "seed": self._seed}
        if made_by != mine:
            raise DataError(f"task {task.id!r} was made by {made_by}; this is {mine}. Make the tasks again or match it")
        index = task.metadata.get("index")
        if not isinstance(index, int):
            raise DataError(f"task {task.id!r} has no index in its metadata; it cannot be rebuilt")
        problem = self._generate(task.metadata.get("split"), index)
        if task.query != problem.task.query:
            raise DataError(f"task {task.id!r} asks {task.query!r}, the world has {problem.task.query!r} there")
        return problem
