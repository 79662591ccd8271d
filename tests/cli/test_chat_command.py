"""`umi chat`: messages by lines, exchanges as JSON, and Ctrl-C in a real process."""

import json
import os
import signal
import subprocess
import sys

import pytest

from support.commands import environment
from support.folders import REPOSITORY, SOURCES

TOOLS = '''
def upper(text: str) -> str:
    """Text in capitals."""
    return text.upper()


from alpha_umi import tool

upper = tool(upper)
'''


@pytest.fixture
def home(tmp_path):
    (tmp_path / "tools.py").write_text(TOOLS)
    return tmp_path


def start(home, *options, agent="HESITATING"):
    return subprocess.Popen(
        [
            sys.executable,
            *("-m", "alpha_umi.cli", "chat", "--agent", f"support.echo_agent:{agent}", "--tools", "tools.py", *options),
        ],
        cwd=home,
        env=environment(PYTHONPATH=f"{SOURCES}{os.pathsep}{REPOSITORY / 'tests'}"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def say(process, message):
    process.stdin.write(message + "\n")
    process.stdin.flush()


def read_until(stream, words):
    """The lines up to the one that holds `words`."""
    lines = []
    for line in stream:
        lines.append(line)
        if words in line:
            return lines
    raise AssertionError(f"{words!r} never came: {lines}")


def test_every_line_is_a_message_and_the_conversation_is_kept_as_one_trajectory(home):
    process = start(home, "--json", "--out", "talk.jsonl", agent="ECHO")
    out, err = process.communicate("one\n\ntwo\n", timeout=300)
    assert process.returncode == 0, err
    exchanges = [json.loads(line) for line in out.splitlines()]
    assert [(each["query"], each["answer"]) for each in exchanges] == [
        ("one", "one: ONE"),
        ("two", "one | two: ONE, TWO"),
    ]
    assert exchanges[1]["turns"][0] == {"kind": "user", "content": "two"}
    [kept] = [json.loads(line) for line in (home / "talk.jsonl").read_text().splitlines()]
    assert [turn["text"] for turn in kept["turns"] if turn["turn"] == "user"] == ["one", "two"]
    assert "summarizer  one | two: ONE, TWO" in err


def test_ctrl_c_stops_the_reply_and_keeps_what_was_said_and_a_second_one_leaves(home):
    process = start(home, "--out", "talk.jsonl")
    say(process, "wait")
    read_until(process.stderr, "WAIT")  # the tool has answered, the next step is under way
    os.killpg(process.pid, signal.SIGINT)
    read_until(process.stderr, "what was said is kept")
    say(process, "go on")
    assert read_until(process.stdout, "go on") == ["wait | go on: WAIT, GO ON\n"]
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (130, "")
    assert "interrupted" in err
    assert "Traceback" not in err
    [kept] = [json.loads(line) for line in (home / "talk.jsonl").read_text().splitlines()]
    assert [turn["turn"] for turn in kept["turns"]] == [
        *("user", "plan", "call", "observation"),
        *("user", "plan", "call", "observation", "plan", "answer"),
    ]


def test_a_conversation_whose_last_reply_was_interrupted_ends_with_130(home):
    process = start(home)
    say(process, "wait")
    read_until(process.stderr, "WAIT")
    os.killpg(process.pid, signal.SIGINT)
    read_until(process.stderr, "what was said is kept")
    process.communicate(timeout=300)
    assert process.returncode == 130


def test_a_conversation_without_a_message_has_no_answer(home):
    process = start(home, agent="ECHO")
    _, err = process.communicate("", timeout=300)
    assert (process.returncode, "nothing was asked" in err) == (1, True)
