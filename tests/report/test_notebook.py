"""HTML of trajectories and search trees in notebooks."""

import re

from alpha_umi.search import Node, NodeStatus, Tree
from alpha_umi.types import Answer, Call, Decision, Observation, Plan, StopReason, Task, Trajectory, User

TASK = Task(id="t", query="How warm is it?")
CALL = (Plan(thought="Look it up.", decision=Decision.CALL), Call(name="warmth", arguments='{"in": "Lima"}'))
SEEN, END = Observation(content="21 C"), (Plan(thought="I know.", decision=Decision.CONCLUDE), Answer(text="21 C."))


def test_a_trajectory_shows_its_turns_with_its_style_and_nothing_from_elsewhere():
    shown = Trajectory(
        task=TASK, turns=(User(text=TASK.query), *CALL, SEEN, *END), stop=StopReason.ANSWERED
    )._repr_html_()
    assert all(text in shown for text in ("How warm is it?", "Look it up.", "warmth", "21 C.", "answered", "1 call"))
    assert not re.search(r"https?://|<script|<link|@import|url\(", shown)


def test_the_style_applies_within_the_element_alone_and_follows_the_system():
    shown = Trajectory(task=TASK, turns=())._repr_html_()
    style = re.search(r"<style>(.*?)</style>", shown, re.DOTALL)[1]
    depth, outside = 0, ""
    for letter in style:
        depth -= letter == "}"
        outside += letter if not depth else ""
        depth += letter == "{"
    assert outside.split() == [".alpha-umi", "{}"]
    assert "color-scheme: light dark" in style
    assert "light-dark(" in style


def test_text_of_models_and_tools_is_escaped():
    evil = '</style></div><script>alert(1)</script><img src=x onerror="alert(2)">'
    turns = (User(text=evil), Plan(thought=evil, decision=Decision.CALL), Call(name=evil, arguments=evil))
    shown = Trajectory(task=Task(id=evil, query=evil), turns=(*turns, Observation(content=evil)))._repr_html_()
    assert "<script" not in shown
    assert "<img" not in shown
    assert shown.count("</style>") == 1


def test_a_tree_is_drawn_where_it_branched():
    root = Node(index=0, parent=None, turns=(User(text=TASK.query),), status=NodeStatus.DONE)
    step = Node(index=1, parent=0, turns=(*CALL, SEEN), status=NodeStatus.DONE)
    ended = Node(index=2, parent=1, turns=END, status=NodeStatus.ANSWERED)
    given_up = Node(index=3, parent=1, turns=(Plan(thought="", decision=Decision.GIVE_UP),), status=NodeStatus.GAVE_UP)
    assert "<svg" not in Tree(task=TASK, nodes=[root, step, ended])._repr_html_()
    shown = Tree(task=TASK, nodes=[root, step, ended, given_up])._repr_html_()
    assert "search tree of 4 nodes" in shown
    assert "How warm is it?" in Tree(task=TASK)._repr_html_()
