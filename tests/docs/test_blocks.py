"""Every code block of the README and the documentation works: commands parse or run, Python runs, files load."""

import ast
import asyncio
import contextlib
import io
import json
import re
import shlex
import tomllib

import pytest
from typer.main import get_command

from alpha_umi.cli import app
from alpha_umi.config import PretrainConfig, StudyConfig, TrainConfig, load_config
from alpha_umi.loading.agents import read_agent
from alpha_umi.preparation.checks import check_trajectory, check_types
from alpha_umi.store import decode_trajectory
from support.commands import run, run_here
from support.documents import blocks_of, commands, inline_commands, pages
from support.folders import REPOSITORY

PAGES = {path.relative_to(REPOSITORY).as_posix(): path for path in pages()}
BLOCKS = [block for path in PAGES.values() for block in blocks_of(path)]
COMMAND_LINE = get_command(app)
SMALLER = {
    "--count 3000": "--count 30",
    "--count 100": "--count 3",
    "umi train tiny": "umi train tiny "
    + " ".join(f"--set stages.{stage}.max_steps=2" for stage in ("backbone", "planner", "caller", "summarizer")),
}
"""Less of the same, so that long commands are run within seconds."""
IN_A_PROCESS = ("umi train", "umi pretrain")
LANGUAGES = {"", "bash", "python", "toml", "json", "text", "mermaid"}
DIRECTIVES = {"{toctree}", "{eval-rst}", "{module-list}", "{options-of}"}
MARKS = {"run", "not run", "exit code 1", "file", "is", "output"}


def of(language):
    return [pytest.param(block, id=str(block)) for block in BLOCKS if block.language == language]


def test_every_block_has_a_known_language_and_known_marks():
    assert {block.language for block in BLOCKS} <= LANGUAGES | DIRECTIVES
    assert {mark for block in BLOCKS for mark in block.marks} <= MARKS
    assert all(block.marks["not run"] for block in BLOCKS if "not run" in block.marks)


# --- commands -------------------------------------------------------------------------------------------


def verb_of(words):
    command = COMMAND_LINE
    while words and hasattr(command, "commands") and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    return command


@pytest.mark.parametrize("block", of("bash"))
def test_every_command_of_a_block_parses(block):
    for line in commands(block.text):
        words = shlex.split(line)
        if words[0] == "umi":
            command = verb_of(arguments := words[1:])
            command.make_context(line, list(arguments))
        elif words[0] == "make":
            targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
            assert set(words[1:]) <= set(targets), line
        elif words[0] == "python" and words[1].endswith(".py"):
            assert (REPOSITORY / words[1]).exists(), line


@pytest.mark.parametrize(
    ("page", "line"), [(name, line) for name, path in PAGES.items() for line in inline_commands(path)]
)
def test_every_command_of_the_text_exists_with_its_options(page, line):
    if "VERB" in line:
        return
    command = verb_of(words := shlex.split(line)[1:])
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("--")} - {"--help"} <= known, (page, line)


# --- files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", of("toml"))
def test_every_toml_block_is_what_it_is_said_to_be(block, tmp_path):
    path = tmp_path / "example.toml"
    path.write_text(block.text)
    match block.marks["is"]:
        case "agent":
            assert read_agent(path).roles
        case "train":
            assert load_config(TrainConfig, path).out
        case "pretrain":
            assert load_config(PretrainConfig, path).out
        case "study":
            assert load_config(StudyConfig, path).variants
        case "any":
            tomllib.loads(block.text)
        case kind:
            pytest.fail(f"unknown kind {kind!r}")


@pytest.mark.parametrize("block", of("json"))
def test_every_json_block_is_what_it_is_said_to_be(block):
    document = json.loads(block.text)
    if block.marks.get("is") == "trajectory":
        trajectory = decode_trajectory(document)
        assert not check_types(trajectory)
        assert not check_trajectory(trajectory)


# --- runs -----------------------------------------------------------------------------------------------


def is_run(block):
    return "not run" not in block.marks and ("run" in block.marks or block.language == "python")


def is_slow(page):
    return any(is_run(block) and block.marks.get("run") == "slow" for block in BLOCKS if block.page == page)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(name, marks=[pytest.mark.slow] if is_slow(name) else [])
        for name in PAGES
        if any(is_run(block) for block in BLOCKS if block.page == name)
    ],
)
def test_the_blocks_of_a_page_run_one_after_the_other(page, tmp_path):
    names, printed = {}, ""
    for block in (block for block in BLOCKS if block.page == page):
        if "file" in block.marks:
            (tmp_path / block.marks["file"]).write_text(block.text)
        if "output" in block.marks:
            assert plain(printed) == plain(block.text), f"{block}: prints\n{printed}"
        elif block.language == "python" and is_run(block):
            printed = run_python(block, names, tmp_path)
        elif is_run(block):
            printed = run_commands(block, tmp_path)


def run_commands(block, folder):
    printed = ""
    *before, last = list(commands(block.text))
    for line in (*before, last):
        small = line
        for long, short in SMALLER.items():
            small = small.replace(long, short)
        assert small.startswith("umi "), f"{block}: cannot run {line}"
        how = run if small.startswith(IN_A_PROCESS) else run_here
        ended = how(*shlex.split(small)[1:], cwd=folder)
        wanted = 1 if line is last and "exit code 1" in block.marks else 0
        assert ended.code == wanted, f"{block}: {small}\n{ended.out}\n{ended.err}"
        printed += ended.err + ended.out
    return printed


def run_python(block, names, folder):
    """In the names of the blocks before it; `await` may stand outside of functions, as in a notebook."""
    code = compile(block.text, str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    names.setdefault("__name__", "example")
    out = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out):
        running = eval(code, names)  # noqa: S307
        if running is not None:
            asyncio.run(running)
    return out.getvalue()


def plain(text):
    """Without blanks at the ends of lines and without seconds."""
    lines = [re.sub(r"\d[\d.,]* s\b", "N s", line.rstrip()) for line in text.strip().splitlines()]
    return "\n".join(lines)
