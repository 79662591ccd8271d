"""Exit codes of `umi ask` and `umi chat`: 0 is an answer and nothing else."""

import io

import pytest

from support.commands import run_here

TOOLS = "from alpha_umi import tool\n\n\n@tool\ndef upper(text: str) -> str:\n    return text.upper()\n"


@pytest.fixture
def desk(tmp_path):
    (tmp_path / "t.py").write_text(TOOLS)
    return tmp_path


@pytest.mark.parametrize(
    ("agent", "query", "options", "code", "says"),
    [
        ("ENDING", "42", (), 0, ""),
        ("ENDING", "give_up", (), 2, "no answer: gave up"),
        ("ENDING", "empty", (), 1, "no answer: the agent wrote an empty one"),
        ("ECHO", "a", ("--max-steps", "1"), 1, "no answer: limit"),
        ("ECHO", "a", ("--max-steps", "0"), 2, "--max-steps"),
    ],
)
def test_only_an_answer_is_a_success(agent, query, options, code, says, desk):
    ended = run_here("ask", query, "--agent", f"support.echo_agent:{agent}", "--tools", "t.py", *options, cwd=desk)
    assert ended.code == code, ended.err
    assert says in ended.err


def test_a_query_that_is_too_long_for_the_model_is_said_with_the_numbers(desk):
    ended = run_here("ask", "weather in Lima " * 600, cwd=desk)
    assert ended.code == 4, ended.err
    assert "the limit is 896" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(("lines", "code"), [("give_up\n42\n", 0), ("42\ngive_up\n", 2)])
def test_the_last_reply_of_a_conversation_decides(lines, code, desk, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    ended = run_here("chat", "--agent", "support.echo_agent:ENDING", "--tools", "t.py", cwd=desk)
    assert ended.code == code, ended.err
