"""Search strategies by name: ours (`chain`, `dfsdt`, `dfs`) and ToolBench's (`CoT@3`, `DFS_woFilter_w2`, `DFS_w2`)."""

from __future__ import annotations

import re
from typing import TypeAlias

from alpha_umi.errors import ConfigError
from alpha_umi.search.chain import Chain
from alpha_umi.search.dfsdt import DepthFirst
from alpha_umi.search.ranking import Ranker
from alpha_umi.search.reference import PublishedChain, PublishedTree
from alpha_umi.search.tree import Limits

Named: TypeAlias = Chain | DepthFirst | PublishedChain | PublishedTree

_OURS = {"chain": "CoT@1", "dfsdt": "DFS_woFilter_w2", "dfs": "DFS_w2"}
_METHOD = re.compile(r"CoT@(?P<attempts>[1-9]\d*)|DFS_(?P<free>woFilter_)?w(?P<width>[1-9]\d*)")
_NODES_PER_STEP, _MAX_QUERIES = 3, 200


def open_strategy(name: str, ranker: Ranker | None = None) -> Chain | DepthFirst:
    """Return the strategy of a name. Raises ConfigError for another name, or for `dfs` without a ranker."""
    attempts, width, ranks = _read(name)
    if ranks and ranker is None:
        raise ConfigError(f"strategy {name!r} compares children with a model; name one, or take 'dfsdt'")
    return DepthFirst(width=width, ranker=ranker if ranks else None) if width else Chain(attempts=attempts)


def check_strategy(name: str) -> None:
    """Check the name of a strategy. Raises ConfigError for an unknown one."""
    _read(name)


def open_published(name: str, limits: Limits, ranker: Ranker | None = None) -> PublishedChain | PublishedTree:
    """Return a strategy with the published order and counts: a step of `limits` is 3 nodes, a completion a query."""
    ours = open_strategy(name, ranker)
    nodes = limits.max_steps * _NODES_PER_STEP
    if isinstance(ours, Chain):
        return PublishedChain(attempts=ours.attempts, max_nodes=nodes)
    queries = _MAX_QUERIES if limits.max_completions is None else limits.max_completions
    return PublishedTree(width=ours.width, max_nodes=nodes, max_queries=queries, ranker=ours.ranker)


def method_name(strategy: Named) -> str:
    """Return ToolBench's name of a strategy, as in the names of answer files."""
    match strategy:
        case Chain(attempts=attempts) | PublishedChain(attempts=attempts):
            return f"CoT@{attempts}"
        case DepthFirst(width=width, ranker=ranker) | PublishedTree(width=width, ranker=ranker):
            return f"DFS_{'' if ranker else 'woFilter_'}w{width}"


def _read(name: str) -> tuple[int, int, bool]:
    """Attempts of a chain, width of a tree (0: a chain), and whether children are ranked."""
    found = _METHOD.fullmatch(_OURS.get(name, name))
    if found is None:
        raise ConfigError(
            f"no strategy {name!r}; known: {', '.join(_OURS)}, CoT@N (N chains), DFS_woFilter_wN and DFS_wN (N wide)"
        )
    return int(found["attempts"] or 1), int(found["width"] or 0), bool(found["width"]) and not found["free"]
