"""Speed of the sealed world, gold trajectories that pass, and lengths of prompts for a tiny tokenizer.

python benchmarks/world.py --tasks 1000
"""

import argparse
import statistics
import time
import warnings

from alpha_umi.formats.load import builtin
from alpha_umi.training.data.examples import make_examples
from alpha_umi.types import Role
from alpha_umi.world import World

PRESETS = ("tiny", "small", "full")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1000, help="of every split")
    parser.add_argument("--vocabulary", type=int, default=2048)
    options = parser.parse_args()
    print("| preset | split | tasks/s | gold/s | verified/s | gold passes | calls | solvable |")
    print("|---|---|---|---|---|---|---|---|")
    for preset in PRESETS:
        for split in World(preset).splits:
            measure(preset, split, options.tasks)
    print(
        "\n| preset | role | examples | prompt: median tokens | 95 % | longest | completion: mean | trajectory: mean |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for preset in PRESETS:
        count(preset, options.tasks, options.vocabulary)


def measure(preset, split, count):
    world = World(preset)
    world.task(split, 0)
    tasks, making = timed(lambda: [world.task(split, index) for index in range(count)])
    golds, doing = timed(lambda: [world.gold(task) for task in tasks])
    verdicts, judging = timed(lambda: [world.verify(task, gold) for task, gold in zip(tasks, golds, strict=True)])
    passed = sum(verdict.passed for verdict in verdicts) / count
    calls = statistics.mean(task.metadata["calls"] for task in tasks)
    solvable = statistics.mean(task.metadata["solvable"] for task in tasks)
    speeds = " | ".join(f"{count / seconds:.0f}" for seconds in (making, doing, judging))
    print(f"| {preset} | {split} | {speeds} | {passed:.1%} | {calls:.2f} | {solvable:.1%} |", flush=True)


def timed(work):
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def count(preset, tasks, vocabulary):
    from alpha_umi.training.tokenizer import learn_tokenizer

    world, layout = World(preset), builtin("shared")
    golds = [world.gold(world.task("train", index)) for index in range(tasks)]
    rows = {role: [row for gold in golds for row in make_examples(gold, role, layout).rows] for role in Role}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tokenizer = learn_tokenizer(
            (text for of_role in rows.values() for row in of_role for text in (row.prompt, row.completion)),
            vocab_size=vocabulary,
            special_tokens=layout.special_tokens,
        )
    whole = statistics.mean(
        len(tokenizer.encode(last.prompt + last.completion))
        for gold in golds
        if (last := make_examples(gold, Role.BACKBONE, layout).rows[-1])
    )
    for role, of_role in rows.items():
        lengths = sorted(len(tokenizer.encode(row.prompt)) for row in of_role)
        said = statistics.mean(len(tokenizer.encode(row.completion)) for row in of_role)
        shown = f"{statistics.median(lengths):.0f} | {lengths[int(0.95 * len(lengths))]} | {lengths[-1]}"
        print(f"| {preset} | {role} | {len(of_role)} | {shown} | {said:.0f} | {whole:.0f} |", flush=True)


if __name__ == "__main__":
    main()
