"""Tools on demand: retrieval before the run beside retrieval at each step, on tasks among distractors.

    python benchmarks/tools_on_demand.py [--tasks 10] [--k 5] [--distractors 50] [--agent umi-tiny]

Each task of the six test sets of the world `small` offers its own tools among 50 of other needs, in a drawn order.
First the gold trajectories are followed: is a tool for each call in view, where the thought before it does not name the
tool? Then the agent does the tasks itself; a step counts while calls of the gold trajectory are left to make.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from dataclasses import dataclass, field, replace

from alpha_umi.agent import with_role_models
from alpha_umi.environments.composite import CompositeEnvironment
from alpha_umi.environments.world import OpenWorldEnvironment, WorldEnvironment
from alpha_umi.evaluation.metrics import mean
from alpha_umi.jobs.agent import choose_agent
from alpha_umi.loading.agents import open_agent
from alpha_umi.retrieval.selection import RetrieveAt, ToolSelection
from alpha_umi.search import Limits, Tree
from alpha_umi.search.solve import solve
from alpha_umi.types import Call, Plan, Task, ToolSpec
from alpha_umi.world import World
from alpha_umi.world.presets import find_preset

PRESET = "small"


@dataclass
class Counted:
    """Model that counts the tokens of its prompts, and those that a cache had."""

    model: object
    tokens: dict[str, int]

    async def complete(self, prompt, sampling):
        done = await self.model.complete(prompt, sampling)
        self.tokens["prompt"] += done.usage.prompt_tokens
        self.tokens["cached"] += done.cached_tokens
        return done


@dataclass
class Tally:
    """Figures of one way to retrieve."""

    in_view: list[bool] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    tokens: dict[str, int] = field(default_factory=lambda: {"prompt": 0, "cached": 0})


def crowded(world: World, task: Task, distractors: int) -> tuple[Task, tuple[ToolSpec, ...]]:
    """A task among tools that serve other needs, and those tools."""
    tools, own = find_preset(PRESET).open().tools, {tool.name for tool in task.tools}
    needs = {tools[name].need for name in own if name in tools}
    others = [tool.spec for name, tool in tools.items() if name not in own and tool.need not in needs]
    drawn = random.Random(task.id).sample(others, min(distractors, len(others)))
    everything = [*task.tools, *drawn]
    random.Random(f"order of {task.id}").shuffle(everything)
    return replace(task, tools=tuple(everything)), tuple(drawn)


def steps_in_view(world: World, task: Task, selection: ToolSelection, turns, *, gold: bool) -> list[bool]:
    """For each step while gold calls are left: is a tool that serves the next of them in view?"""
    tools, own = find_preset(PRESET).open().tools, {tool.name for tool in world.task_of(task).tools}
    need_of = {name: tools[name].need for name in own if name in tools}
    waiting = list(dict.fromkeys(need_of[turn.name] for turn in world.gold(task).turns if isinstance(turn, Call)))
    seen: list[bool] = []
    for at, turn in enumerate(turns):
        if isinstance(turn, Call) and need_of.get(turn.name) in waiting:
            waiting.remove(need_of[turn.name])
        elif isinstance(turn, Plan) and waiting:
            if gold:
                turn = replace(turn, thought=turn.thought.split(" I will call ")[0])
            view = selection.view(task, (*turns[:at], turn))
            seen.append(any(need_of.get(tool.name) == waiting[0] for tool in view))
    return seen


async def roll_out(world: World, agent, task: Task, drawn, selection: ToolSelection, tally: Tally) -> None:
    place = CompositeEnvironment([WorldEnvironment(world, world.task_of(task)), OpenWorldEnvironment(world, drawn)])
    tree = Tree(task=task)
    await solve(tree, selection.of(agent), place, Limits(max_steps=10))
    tally.in_view += steps_in_view(world, task, selection, tree.best.turns, gold=False)
    tally.right.append(world.verify(task, tree.best).passed)


async def measure(arguments) -> dict:
    world = BenchmarkWorld(PRESET)
    tasks = [
        crowded(world, world.task(split, index), arguments.distractors)
        for split in world.splits[1:]
        for index in range(arguments.tasks)
    ]
    tasks = [pair for pair in tasks if any(isinstance(turn, Call) for turn in world.gold(pair[0]).turns)]
    loaded = open_agent(choose_agent(arguments.agent, {}).config)
    alone = [(world.task_of(task), ()) for task, _ in tasks]
    ways = {
        "its own tools, no distractors": (ToolSelection(k=99), alone),
        "before the run": (ToolSelection(k=arguments.k, at=RetrieveAt.QUERY), tasks),
        "at each step": (ToolSelection(k=arguments.k, at=RetrieveAt.STEP), tasks),
    }
    rows = {}
    for name, (selection, offered) in ways.items():
        gold, live = Tally(), Tally()
        for task, _ in offered:
            gold.in_view += steps_in_view(world, task, selection, world.gold(task).turns, gold=True)
        agent = with_role_models(
            loaded.agent, lambda _, role, counts=live.tokens: replace(role, model=Counted(role.model, counts))
        )
        started = time.process_time()
        await asyncio.gather(*(roll_out(world, agent, *pair, selection, live) for pair in offered))
        rows[name] = {
            "tasks": len(offered),
            "gold steps in view": interval(gold.in_view),
            "steps in view": interval(live.in_view),
            "tasks right": interval(live.right),
            "prompt tokens": live.tokens["prompt"],
            "of them cached": live.tokens["cached"],
            "CPU s": round(time.process_time() - started, 1),
        }
    async with loaded:
        return rows


class BenchmarkWorld(World):
    """World that knows a task's own tools."""

    def task_of(self, task: Task) -> Task:
        return self.task(task.metadata["split"], task.metadata["index"])


def interval(values: list[bool]) -> str:
    metric = mean([float(value) for value in values])
    return f"{100 * metric.value:.1f} ({100 * metric.low:.1f}-{100 * metric.high:.1f}), {sum(values)} of {len(values)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=10, help="Tasks of each set.")
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--distractors", type=int, default=50)
    parser.add_argument("--agent", default="umi-tiny")
    print(json.dumps(asyncio.run(measure(parser.parse_args())), indent=1))


if __name__ == "__main__":
    main()
