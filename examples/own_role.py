"""Add a fourth role: a critic that reads an answer and accepts it, or sends it back with a reason.

    python examples/own_role.py

The role is a row of `alpha_umi.roles`; its prompts are in `formats/optional_roles.py`. Here it is trained by the usual
recipe from a dozen trajectories on the bundled backbone (a minute on two cores), and asked live in the sealed world.
"""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console

import alpha_umi as umi
from alpha_umi.display import TurnPrinter
from alpha_umi.jobs.train import read_train_config, train
from alpha_umi.store import write_trajectories
from alpha_umi.types import Review
from alpha_umi.world import World

WORLD = World("small")
RIGHT = Review(text="It says what was asked, and the observations support it.", accepted=True)
WRONG = Review(text="That is not what was asked. Answer again from the observations.", accepted=False)


def reviewed(number: int, trajectory: umi.Trajectory, other: umi.Answer) -> umi.Trajectory:
    """A right answer that is accepted; of every second task, a wrong one before it that is sent back."""
    *before, conclusion, answer = trajectory.turns
    turns = (conclusion, answer, RIGHT)
    if number % 2:
        turns = (conclusion, other, WRONG, *turns)
    return replace(trajectory, turns=(*before, *turns))


def write_data(path: Path, count: int = 12) -> None:
    """Gold trajectories of training tasks of the world, each with reviews of its answers."""
    golds = [WORLD.gold(WORLD.task("train", number)) for number in range(4 * count)]
    golds = [gold for gold in golds if isinstance(gold.turns[-1], umi.Answer)][:count]
    others = [gold.turns[-1] for gold in golds[1:] + golds[:1]]
    write_trajectories(path, map(reviewed, range(count), golds, others))


async def ask(agent: umi.Agent, task: umi.Task) -> umi.Trajectory:
    """Explore one task and print every turn, the critic's too."""
    tree = umi.Tree(task=task)
    with TurnPrinter(Console()) as printer:
        async for node in umi.explore(agent, task, max_steps=6):
            tree.add(node)
            printer.on_node(node)
    return tree.best


def main(folder: Path) -> umi.Trajectory:
    """Write data, train the four roles as adapters on one backbone, and ask a test task."""
    write_data(folder / "reviewed.jsonl")
    changes = ["method=one-stage", "model.base=umi-tiny/backbone", 'optional_roles=["critic"]', "max_length=1024"]
    changes += ["adapter.kind=alora", "stages.roles.epochs=20", "stages.roles.learning_rate=2e-3"]
    changes += [f"data.train={folder / 'reviewed.jsonl'}", f"out={folder / 'run'}"]
    run = train(read_train_config("demo-train", changes), resume=False)
    with umi.load(run) as agent:
        return asyncio.run(ask(agent, WORLD.task("G1_instruction", 10_000)))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/critic"))
