"""Hostile files, names, texts and streams on the command line: errors in words, nothing misprinted or replaced."""

import io
import itertools
import os
import shutil
import signal
import stat
import subprocess
import sys

import pytest
import typer
from rich.console import Console

from alpha_umi.cli.app import app
from alpha_umi.cli.streams import echo
from alpha_umi.display import loading, print_line
from alpha_umi.errors import DataError, StorageError
from alpha_umi.plain_text import plain
from alpha_umi.serving.http.server import Server
from alpha_umi.store import read_json, write_text
from support.commands import environment, run_here, stream
from support.folders import TESTS
from support.offline import NetworkBlockedError

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes and devices")
TOOLS = """
from alpha_umi import tool

@tool
def up(text: str) -> str:
    "Upper case."
    return text.upper()
"""
HOSTILE = (
    "[red]x[/red]", "[/red]", "[/red].toml", ":smile:", "\udcff", "\udcff.json", "\ud800", "", " ", "a\nb", "\x1b[31m",
    "\u202e", "fifo", "/dev/full", "/dev/null", "d", "x" * 300, "-", "nope:[/red]", "http://[", "1e999", "nan",
)  # fmt: skip
CODES = {0, 1, 2, 3, 4, 5, 6, 7}
QUICK = ("report", "data check", "judge report")


def verbs():
    def walk(command, path):
        below = getattr(command, "commands", {})
        for name, each in below.items():
            yield from walk(each, (*path, name))
        if not below:
            yield " ".join(path), command

    return dict(walk(typer.main.get_command(app), ()))


VERBS = verbs()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    assert run_here("world", "write", "--count", "1", "--out", "w", cwd=folder).code == 0
    return folder / "w"


@pytest.fixture
def desk(tmp_path, monkeypatch, written):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tools.py").write_text(TOOLS)
    (tmp_path / "d").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name in ("[red]x[/red]", "[/red]", "[/red].toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    shutil.copytree(written, tmp_path / "w")
    return tmp_path


@pytest.fixture
def alarm():
    """What hangs is interrupted, as by nobody else; torch is imported within it, on a busy machine."""

    class HangError(BaseException):
        pass

    def ring(*_):
        raise HangError

    before = signal.signal(signal.SIGALRM, ring)
    yield lambda: signal.alarm(300)
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def commands(verb, of_each):
    """Calls of a verb with one hostile value at a time, and the value where it is one of the verb's inputs.

    Every argument and option takes one of the values (`of_each`: "one"), or "all" of them.
    """
    parameters = [each for each in VERBS[verb].params if each.name != "help"]
    arguments = [each for each in parameters if each.param_type_name == "argument"]
    options = [each for each in parameters if each.param_type_name == "option" and not each.is_flag]
    targets = (*arguments, *options)
    pairs = itertools.product(targets, HOSTILE) if of_each == "all" else zip(targets, itertools.cycle(HOSTILE))
    for target, value in pairs:
        words = [value if each is target else "w/train.jsonl" for each in arguments]
        for each in options:
            if each is target or each.required:
                usual = "out" if each.name == "out" else "w/train.jsonl"
                words += [each.opts[0], value if each is target else usual]
            elif each.name in ("count", "limit", "tasks"):
                words += [each.opts[0], "1"]
        yield (*verb.split(), *words), value if target in arguments else ""


ENDLESS = ("demo", "study")
"""Verbs that do their whole work with a value that suits them: minutes."""


@pytest.fixture
def interrupted(monkeypatch):
    """Servers that start and stop as ever, interrupted as soon as they are ready."""

    async def stop(self):
        self.should_exit = True

    monkeypatch.setattr(Server, "main_loop", stop)


@pytest.mark.parametrize(
    ("verb", "of_each"),
    [
        *((verb, "one") for verb in QUICK),
        *(pytest.param(verb, "all", marks=pytest.mark.slow) for verb in QUICK),
        *(pytest.param(verb, "one", marks=pytest.mark.slow) for verb in VERBS if verb not in ENDLESS + QUICK),
    ],
)
@pytest.mark.usefixtures("interrupted")
def test_no_value_of_an_option_makes_a_verb_hang_or_crash(desk, alarm, monkeypatch, verb, of_each):
    for command, value in commands(verb, of_each):
        monkeypatch.setattr(sys, "stdin", stream(b"hello\n"))
        alarm()
        try:
            ended = run_here(*command)
        except NetworkBlockedError:  # a server looks its address up
            assert "--host" in command
            continue
        assert ended.code in CODES, (command, ended.err)
        assert "Traceback" not in ended.err, (command, ended.err)
        assert "\x1b[31m" not in ended.out + ended.err, command
        if value.startswith("[") and ended.code == 3 and "w/train.jsonl" not in ended.err:
            assert value in ended.err, (command, ended.err)
    assert stat.S_ISFIFO((desk / "fifo").stat().st_mode)


# --- files that are none --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fifo", "/dev/zero", "/dev/full"])
def test_a_pipe_or_a_device_is_neither_read_nor_replaced(desk, alarm, name):
    path = desk / name
    before = path.stat()
    alarm()
    with pytest.raises(DataError, match=r"is a (pipe|device)"):
        read_json(path)
    with pytest.raises(StorageError, match=r"is a (pipe|device)"), write_text(path):
        pass
    assert path.stat() == before


def test_a_socket_is_not_read(tmp_path):
    import socket

    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "s"))
        with pytest.raises(DataError, match="is a socket"):
            read_json(tmp_path / "s")


# --- the standard streams -------------------------------------------------------------------------------


def umi(*arguments, stdin=b"", stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more):
    path = os.pathsep.join((environment()["PYTHONPATH"], str(TESTS)))
    return subprocess.run(
        [sys.executable, "-m", "alpha_umi.cli", *arguments],
        input=stdin,
        stdout=stdout,
        stderr=stderr,
        env=environment(PYTHONPATH=path, **more),
        timeout=300,
        check=False,
    )


ASK = ("ask", "hello", "--tools", "tools.py", "--agent", "support.coded_agents:Echo")
FULL = "error: the standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize("buffered", ["", pytest.param("1", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "command", [("--version",), ("--help",), ("data", "check", "w/train.jsonl"), ASK, (*ASK, "--json")], ids=str
)
def test_a_full_disk_under_the_standard_output_is_an_error_in_one_line(desk, command, buffered):
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        ended = umi(*command, stdout=full, PYTHONUNBUFFERED=buffered)
    assert (ended.returncode, ended.stderr.decode().endswith(FULL)) == (7, True)
    assert b"Traceback" not in ended.stderr
    assert b"Exception ignored" not in ended.stderr


@pytest.mark.slow
def test_stderr_that_takes_nothing_changes_no_result(desk):
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        assert umi(*ASK, stderr=full).stdout == b"hello: HELLO\n"
        assert umi("data", "check", "nope", stderr=full).returncode == 3
        assert umi("data", "check", "nope", stdout=full, stderr=full).returncode == 3


def test_a_reader_that_has_gone_ends_a_verb_without_a_word(desk):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        ended = umi("--help", stdout=pipe)
    assert (ended.returncode, ended.stderr) == (1, b"")


@pytest.mark.parametrize(
    "encoding", ["ascii", *(pytest.param(name, marks=pytest.mark.slow) for name in ("utf-8", "latin-1"))]
)
def test_half_characters_and_bytes_that_are_no_text_are_printed_as_escapes(desk, encoding):
    ended = umi("ask", b"hi \xff \xed\xa0\x80 \xe2\x82\xac", *ASK[2:], PYTHONIOENCODING=encoding)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(b"hi \\udcff")
    assert b"Traceback" not in ended.stderr


def test_a_conversation_goes_on_after_bytes_that_are_no_text(desk):
    ended = umi("chat", *ASK[2:], stdin=b"hi \xff\nyou\n")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.decode().splitlines()[-1].endswith("YOU")


# --- printed text ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["[red]x[/red]", "[/red]", ":smile: [link=x]y", "a [bold]b", "\\[x]"])
def test_markup_in_a_name_is_printed_as_it_is(text):
    for force_terminal in (False, True):
        shown = io.StringIO()
        console = Console(file=shown, force_terminal=force_terminal, width=200, no_color=True, legacy_windows=False)
        with loading(console, text):
            pass
        print_line(console, f"error: {text}")
        assert shown.getvalue().count(text) >= 2, shown.getvalue()


@pytest.mark.parametrize("text", ["\x1b[31mred", "\x07", "a\rb", "\u202egnp.exe", "\u2066x", "\x9b31m", "\x7f"])
def test_text_that_moves_or_turns_a_terminal_is_marked(text, capsys):
    echo(text)
    assert capsys.readouterr().out == plain(text) + "\n"
    assert "\ufffd" in plain(text)
    assert plain("tab\tand line\n") == "tab\tand line\n"
