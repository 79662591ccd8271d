"""Calls with effects: asked about before they run, and an observation where they are declined."""

import asyncio
import os
import pty
import re
import subprocess
import sys

import pytest

import alpha_umi as umi
from alpha_umi.config import EnvironmentConfig, make_config
from alpha_umi.datasets.queries import Query
from alpha_umi.environments.confirming import Confirmation, ConfirmingEnvironment, UnconfirmedWarning
from alpha_umi.environments.python import PythonEnvironment
from alpha_umi.loading.environments import open_environment
from alpha_umi.store import decode_task, encode_task
from support.coded_agents import Echo
from support.commands import environment
from support.folders import REPOSITORY, SOURCES


def booking():
    """A tool with effects, and the list of them."""
    booked = []

    @umi.tool(confirm=True)
    def book(text: str) -> str:
        """Book it."""
        booked.append(text)
        return f"booked {text}"

    return book, booked


def asked(text="hello", **options):
    book, booked = booking()
    trajectory = umi.ask(text, tools=[book], agent=Echo(), **options)
    [seen] = [turn for turn in trajectory.turns if isinstance(turn, umi.Observation)]
    return seen, booked


async def later(call, tool):
    await asyncio.sleep(0)
    return tool.name == "book" and "hello" in call.arguments


def failing(call, tool):
    raise RuntimeError("the client has gone")


@pytest.mark.parametrize(
    ("confirm", "runs"),
    [
        (lambda call, tool: True, True),
        (later, True),
        (lambda call, tool: False, False),
        (lambda call, tool: "no", False),
        (lambda call, tool: later(umi.Call(name="book", arguments="{}"), tool), False),
        (failing, False),
    ],
)
def test_a_call_with_effects_runs_only_where_it_is_confirmed(confirm, runs):
    seen, booked = asked(confirm=confirm)
    assert booked == (["hello"] if runs else [])
    assert seen.status is (umi.ToolStatus.OK if runs else umi.ToolStatus.DECLINED)


def test_where_nobody_can_be_asked_the_call_is_declined_and_the_user_told():
    with pytest.warns(UnconfirmedWarning, match=r"book was not run.*--approve book.*confirm="):
        seen, booked = asked()
    assert (seen.status, booked) == (umi.ToolStatus.DECLINED, [])
    seen, booked = asked(approve_tools=["BOO*"])
    assert booked == ["hello"]


def test_nobody_is_asked_about_a_call_that_cannot_run_or_needs_no_confirmation():
    questions = []

    def confirm(call, tool):
        questions.append(call.name)
        return True

    def look(text: str) -> str:
        """Look."""
        return text

    book, booked = booking()
    place = ConfirmingEnvironment(
        PythonEnvironment([book, look]), Confirmation(confirm=confirm, tools=("del*",))
    ).fork()

    def run(name, arguments):
        return asyncio.run(place.execute(umi.Call(name=name, arguments=arguments))).status

    assert run("book", '{"txt": 1}') is umi.ToolStatus.BAD_ARGUMENTS
    assert run("boo", "{}") is umi.ToolStatus.UNKNOWN_TOOL
    assert run("look", '{"text": "a"}') is umi.ToolStatus.OK
    assert (questions, booked) == ([], [])
    assert run("book", '{"text": "a"}') is umi.ToolStatus.OK
    assert (questions, booked) == (["book"], ["a"])


def test_patterns_of_a_file_and_of_the_caller_add_up():
    def look(text: str) -> str:
        """Look."""
        return text

    seen = umi.ask("a", tools=[look], agent=Echo(), confirm_tools=["lo*"], confirm=lambda call, tool: False)
    assert [turn.status for turn in seen.turns if isinstance(turn, umi.Observation)] == [umi.ToolStatus.DECLINED]


def test_an_environment_file_says_what_is_confirmed_and_what_runs_unasked(tmp_path):
    (tmp_path / "t.py").write_text("from alpha_umi import tool\n\n\n@tool\ndef drop(a: str) -> str:\n    return a\n")
    document = {"python": {"tools": str(tmp_path / "t.py")}, "confirm": ["d*"]}
    call = umi.Call(name="drop", arguments='{"a": "x"}')

    def run(document):
        opened = open_environment(make_config(EnvironmentConfig, document, source="t"))
        return asyncio.run(opened.open(Query(task=umi.Task(id="1", query="q"))).execute(call)).status

    with pytest.warns(UnconfirmedWarning):
        assert run(document) is umi.ToolStatus.DECLINED
    assert run({**document, "approve": ["drop"]}) is umi.ToolStatus.OK


def test_a_tool_keeps_its_need_of_confirmation_when_it_is_renamed_bound_and_stored():
    class Diary:
        @umi.tool(confirm=True)
        def write(self, text: str) -> str:
            """Write."""
            return text

    renamed = umi.tool(name="note")(Diary().write)
    assert (renamed.spec.name, renamed.spec.confirm) == ("note", True)
    task = umi.Task(id="1", query="q", tools=(renamed.spec,))
    assert decode_task(encode_task(task)) == task
    with pytest.raises(umi.ConfigError, match="confirm='yes'"):
        umi.tool(confirm="yes")(Diary().write)


@pytest.mark.slow
@pytest.mark.parametrize(("typed", "runs"), [("y\n", True), ("\n", False)])
def test_on_a_terminal_the_user_is_asked_and_a_word_runs_the_call(typed, runs, tmp_path):
    (tmp_path / "t.py").write_text(
        "from alpha_umi import tool\n\n\n@tool(confirm=True)\ndef book(text: str) -> str:\n"
        '    open("booked", "a").write(text)\n    return "booked"\n'
    )
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "alpha_umi.cli",
            "ask",
            "hello",
            "--agent",
            "support.echo_agent:ECHO",
            "--tools",
            "t.py",
        ],
        cwd=tmp_path,
        env=environment(PYTHONPATH=f"{SOURCES}{os.pathsep}{REPOSITORY / 'tests'}"),
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = ""
    while "[a]lways" not in shown:
        shown += os.read(ours, 4096).decode()
    assert re.search(r"confirm\s+book", shown)
    os.write(ours, typed.encode())
    assert process.wait(60) == 0
    assert (tmp_path / "booked").exists() is runs
