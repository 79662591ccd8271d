"""Reports are one page that loads nothing, runs nothing, and shows whatever anybody wrote as text."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.report.markup import escape, tag
from alpha_umi.report.rollouts import rollout_report
from alpha_umi.report.trees import draw_tree
from alpha_umi.report.turns import write_card
from alpha_umi.rollouts.runner import Rollout, read_rollouts
from alpha_umi.search import Node, NodeStatus
from alpha_umi.types import (
    Answer,
    Call,
    Decision,
    Observation,
    Plan,
    StopReason,
    Task,
    ToolSpec,
    ToolStatus,
    Trajectory,
    User,
)
from support.commands import run_here
from support.examples import examples
from support.pages import Page, check_safe

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'</style></title><svg onload=alert(3)>"


def rollout(word="a", **changes):
    """A search that gave up, went back and answered; `word` stands wherever somebody else writes."""
    turns = (
        (User(text=word),),
        (
            Plan(thought=word, decision=Decision.CALL),
            Call(name=word, arguments=word),
            Observation(content=word, status=ToolStatus.ERROR),
        ),
        (Plan(thought=word, decision=Decision.GIVE_UP),),
        (
            Plan(thought=word, decision=Decision.CALL),
            Call(name=word, arguments=word),
            Observation(content=word),
            Plan(thought=word, decision=Decision.CONCLUDE),
            Answer(text=word),
        ),
    )
    statuses = (NodeStatus.DONE, NodeStatus.DONE, NodeStatus.GAVE_UP, NodeStatus.ANSWERED)
    nodes = tuple(
        Node(index=index, parent=parent, turns=said, status=status, hint=word)
        for index, (parent, said, status) in enumerate(zip((None, 0, 1, 0), turns, statuses, strict=True))
    )
    task = Task(id=word, query=word, tools=(ToolSpec(name=word, description=word, parameters={word: word}),))
    made = {
        "set": word,
        "trajectory": Trajectory(task=task, turns=turns[0] + turns[3], stop=StopReason.ANSWERED),
        "nodes": nodes,
        "method": word,
        "verdict": {"passed": False, "reasons": [word]},
        "error": "",
    }
    return Rollout(**{**made, **changes})


# --- what is untrusted ----------------------------------------------------------------------------------


def test_a_script_in_anybodys_words_is_shown_and_not_run():
    page = Page(rollout_report(HOSTILE, [rollout(HOSTILE), rollout(HOSTILE, error=HOSTILE, verdict=None)]))
    check_safe(page)
    assert page.text.count(HOSTILE) > 20


PLAIN_ELEMENTS = Page(write_card(rollout("x"))).elements


@settings(max_examples=examples(30))
@given(st.text(max_size=30))
def test_whatever_is_written_is_text_and_can_be_stored(word):
    text = write_card(rollout(f"x{word}"))
    text.encode()
    page = Page(text)
    check_safe(page)
    assert page.elements == PLAIN_ELEMENTS


@given(st.text())
def test_escaped_text_reads_as_it_was_written_but_for_what_cannot_be_seen(word):
    shown = Page(tag("p", word)).text
    seen = [letter for letter in word if letter.isprintable()]
    assert [letter for letter in shown if letter.isprintable() and letter != "�"] == [x for x in seen if x != "�"]
    assert len(escape("\x1b[2J\u202e\ud800")) == 6


def test_the_page_loads_nothing_and_forbids_scripts():
    text = rollout_report("report", [rollout()])
    page = Page(text)
    check_safe(page)
    style = text[text.index("<style>") : text.index("</style>")]
    assert not re.search(r"url\(|@import|@font-face|expression", style)
    [policy] = [value for _, name, value in page.attributes if name == "content" and "default-src" in value]
    assert "default-src 'none'" in policy
    assert "script" not in policy


# --- what is shown --------------------------------------------------------------------------------------


def test_a_search_that_branched_is_drawn_with_every_node_and_its_best_branch():
    page = Page(draw_tree(rollout().tree))
    assert not page.faults
    assert page.elements.count("circle") == 4
    assert [value for _, name, value in page.attributes if name == "class" and "edge" in value].count("edge best") == 1
    assert page.elements.count("path") == 3


def test_branches_stand_apart_and_children_to_the_right_of_their_parents():
    page = Page(draw_tree(rollout().tree))
    circles = [dict(each) for each in by_element(page, "circle")]
    places = [(float(each["cx"]), float(each["cy"])) for each in circles]
    assert len({*places}) == 4
    root, first, below_first, second = places
    assert root[0] < first[0] == second[0] < below_first[0]
    assert first[1] == below_first[1] != second[1]


def by_element(page, wanted):
    found = []
    for element, name, value in page.attributes:
        if element == wanted:
            if not found or name in dict(found[-1]):
                found.append([])
            found[-1].append((name, value))
    return found


def test_a_chain_is_not_drawn():
    chain = rollout().nodes[:2]
    assert "figure" not in Page(write_card(rollout(nodes=chain))).elements


@pytest.mark.parametrize(
    ("changes", "badge"),
    [
        ({"verdict": {"passed": True, "reasons": []}}, "right"),
        ({}, "wrong"),
        ({"verdict": None}, "answered"),
        ({"error": "ModelError: busy", "verdict": None}, "error"),
    ],
)
def test_the_badge_says_how_it_went(changes, badge):
    assert Page(write_card(rollout(**changes))).text.startswith(badge)


def test_a_report_on_a_run_of_rollouts_counts_what_the_run_counted(tmp_path):
    for command in (
        ("world", "write", "--preset", "small", "--set", "G1_instruction", "--count", "4", "--out", "w"),
        ("rollout", "--agent", "oracle", "--queries", "w/queries", "--env", "world", "--out", "run"),
        ("report", "run", "--out", "page.html", "--shown", "3"),
    ):
        ended = run_here(*command, cwd=tmp_path)
        assert ended.code == 0, ended.err
    text = (tmp_path / "page.html").read_text()
    page = Page(text)
    check_safe(page)
    assert "4 of 4" in page.text
    assert "The first 3 of 4." in page.text
    assert sum(name == "class" and value == "card" for _, name, value in page.attributes) == 3
    tasks = (rollout.trajectory.task for rollout in read_rollouts(tmp_path / "run"))  # in the order of finishing
    *shown, left_out = sorted(tasks, key=lambda task: task.metadata["index"])
    assert all(task.query in page.text for task in shown)
    assert left_out.query not in page.text


def test_a_report_on_nothing_says_so(tmp_path):
    (tmp_path / "rollouts.jsonl").touch()
    ended = run_here("report", tmp_path, "--out", tmp_path / "page.html")
    assert ended.code == 3
    assert "holds no finished task" in ended.err
    assert not (tmp_path / "page.html").exists()
