"""How large each difference to the published search is, on the scripted scenarios at hand.

    python benchmarks/compat_search_sizes.py

Plays every scenario as published and as ours (the same model replies, tools, and limits: 12 nodes are 4 steps) and
counts where they part. Prints the sizes of docs/compat.md, section Search.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from alpha_umi.errors import ModelError  # noqa: E402
from alpha_umi.search import Limits, NodeStatus, PublishedTree, Tree, explore  # noqa: E402
from alpha_umi.search.drawing import write_acts  # noqa: E402
from alpha_umi.search.record import cut_at  # noqa: E402
from alpha_umi.search.reference import HALLUCINATED  # noqa: E402
from alpha_umi.types import Call, Decision, Observation, Plan, Proposal, Task  # noqa: E402
from support.search_scenarios import Played, context_roles, play, scenarios  # noqa: E402

GOLDEN = Path(os.environ.get("ALPHA_UMI_GOLDEN", ROOT.parent / "shared/golden"))


def ours_limits(scenario) -> Limits:
    given = scenario["params"]
    return Limits(max_steps=given["single_chain_max_step"] // 3, max_completions=given.get("max_query_count"))


def published_facts(scenario, played: Played) -> Counter:
    """What the published search did in one scenario that ours does otherwise."""
    tree, steps = played.tree, ours_limits(scenario).max_steps
    facts: Counter = Counter(scenarios=1, queries=tree.usage.completions, asked=len(played.agent.calls))
    facts["steps"] = len(tree.nodes) - 1
    facts["steps deeper than the limit in steps"] = sum(len(tree.path(node)) - 1 > steps for node in tree.nodes)
    facts["model failed, branch ended"] = sum(node.status is NodeStatus.FAILED for node in tree.nodes)
    for call in played.agent.calls:
        turns = call["turns"]
        facts["asked with an earlier hint in context"] += "u!" in context_roles(turns)
        names = [turn.name for turn in turns if isinstance(turn, Call)]
        facts["asked with a call renamed"] += HALLUCINATED in names
    gave_up = [node for node in tree.nodes if node.status is NodeStatus.GAVE_UP]
    facts["several give-ups to choose from"] = len(gave_up) > 1 and not answered(tree)
    if isinstance(played.strategy, PublishedTree):
        facts += tree_facts(played)
    return facts


def tree_facts(played: Played) -> Counter:
    tree, strategy = played.tree, played.strategy
    facts: Counter = Counter(trees=1)
    ends = (NodeStatus.GAVE_UP, NodeStatus.ANSWERED)
    top = tree.children(tree.nodes[0])
    enough = len([node for node in tree.nodes if node.status is NodeStatus.ANSWERED]) >= strategy.answers
    facts["ended by a first step"] = bool(top) and top[-1].status in ends and not enough and len(top) < strategy.width
    facts["went on after a second give-up"] = went_on(tree)
    facts["last query discarded"] = cut_at(tree, strategy) is not None
    for node in tree.nodes:
        children = tree.children(node)
        for at in range(len(children)):
            before = children[:at]
            facts["further children"] += bool(before)
            facts["further children not told of all"] += bool(before) and not all(
                write_acts(one.turns) for one in before
            )
        if strategy.ranker:
            done = [at for at, child in enumerate(children) if child.status is NodeStatus.ANSWERED]
            facts["ranked: steps made after an answer"] += len(children) - 1 - done[0] if done else 0
            facts["ranked: give-ups and answers compared"] += sum(child.status in ends for child in children)
            left = [child for child in children if child.visit is None and child.status is NodeStatus.DONE]
            facts["ranked: children left for a sibling's give-up"] += sum(
                bool(left) and child.status is NodeStatus.GAVE_UP and child.visit is not None for child in children
            )
    return facts


def went_on(tree: Tree) -> bool:
    gave_up = [node.index for node in tree.nodes if node.status is NodeStatus.GAVE_UP]
    return len(gave_up) > 1 and len(tree.nodes) - 1 > gave_up[1]


def answered(tree: Tree) -> bool:
    return any(node.status is NodeStatus.ANSWERED for node in tree.nodes)


async def overhead(steps: int = 20_000, per_task: int = 200) -> float:
    """Milliseconds per step of a depth-first search whose model and tools take no time."""

    class Agent:
        async def propose(self, task, turns):
            return Proposal(turns=(Plan(thought="go on", decision=Decision.CALL), Call(name="a", arguments="{}")))

    class Tools:
        tools = ()

        async def execute(self, call):
            return Observation(content="here")

        def fork(self):
            return self

    from alpha_umi.search import DepthFirst

    done, started = 0, time.perf_counter()
    while done < steps:
        task = Task(id="1", query="q")
        tree = Tree(task=task)
        async for node in explore(Agent(), Tools(), task, Limits(max_steps=8), DepthFirst(width=2)):
            tree.add(node)
            if len(tree.nodes) > per_task:
                break
        done += len(tree.nodes) - 1
    return (time.perf_counter() - started) / done * 1000


async def main() -> int:
    found = scenarios(GOLDEN / "search")
    if not found:
        print(f"no scenarios at {GOLDEN / 'search'}; set ALPHA_UMI_GOLDEN", file=sys.stderr)
        return 1
    facts: Counter = Counter()
    outcomes: Counter = Counter()
    spent: Counter = Counter()
    for name, scenario in found.items():
        theirs = await play(scenario, published=True, limits=Limits())
        facts += published_facts(scenario, theirs)
        try:
            ours = await play(scenario, published=False, limits=ours_limits(scenario))
        except ModelError as error:
            print(f"  {name}: ours raises ModelError: {error}; answered {answered(theirs.tree)} as published")
            continue
        outcomes[answered(theirs.tree), answered(ours.tree)] += 1
        spent["published"] += theirs.tree.usage.completions
        spent["ours"] += ours.tree.usage.completions
        if answered(theirs.tree) != answered(ours.tree):
            print(f"  {name}: answered {answered(theirs.tree)} as published, {answered(ours.tree)} ours")
    for fact, count in sorted(facts.items()):
        print(f"{count:6} {fact}")
    both, lost, won, none = (outcomes[key] for key in ((True, True), (True, False), (False, True), (False, False)))
    print(f"answered: both {both}, as published alone {lost}, ours alone {won}, neither {none}")
    print(f"completions: published {spent['published']}, ours {spent['ours']}")
    print(f"search overhead: {await overhead():.3f} ms per step")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
