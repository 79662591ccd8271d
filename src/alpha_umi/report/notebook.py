"""Trajectories and search trees in a notebook: the card of a rollout, with the styles of the reports within it."""

from __future__ import annotations

from functools import cache

from alpha_umi.report.markup import Html, tag
from alpha_umi.report.page import read_style
from alpha_umi.report.turns import write_card
from alpha_umi.rollouts.runner import Rollout
from alpha_umi.search import Node, NodeStatus, Tree
from alpha_umi.types import Trajectory

_FRAME = """\
& {
  font: 14px/1.55 ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  color: var(--ink); max-width: 60rem; text-align: left;
}
& :is(ol, ul, li) { list-style: none; }
& .card { margin: .2rem 0; }
& .card pre { color: var(--ink); }
& .turns { padding: 0; margin: .8rem 0; }
& .turn p { margin: 0; }
& .tools ul { padding-left: 0; margin: .4rem 0; }
"""
"""Notebooks style lists and paragraphs of their own; these rules come after the reports'."""


def write_trajectory(trajectory: Trajectory) -> str:
    """Write a trajectory as HTML that needs nothing around it; text of models and tools is escaped."""
    node = Node(index=0, parent=None, turns=trajectory.turns, status=NodeStatus.DONE)
    return _frame(Rollout(set="", trajectory=trajectory, nodes=(node,), method=""))


def write_tree(tree: Tree) -> str:
    """Write a search tree as HTML: its best branch, and all that was tried where it branched."""
    if not tree.nodes:
        return write_trajectory(Trajectory(task=tree.task, turns=()))
    return _frame(Rollout(set="", trajectory=tree.best, nodes=tuple(tree.nodes), method=""))


def _frame(rollout: Rollout) -> str:
    return tag("div", tag("style", _scoped_style()), write_card(rollout, unfolded=True), class_="alpha-umi")


@cache
def _scoped_style() -> Html:
    """Styles of the reports for what is within the element alone; colours follow the system's setting."""
    return Html(f".alpha-umi {{\n{read_style().replace(':root {', '& {', 1)}\n{_FRAME}}}")
