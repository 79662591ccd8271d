"""The README is run: its Python works, its commands exist and do the whole job."""

import json
import re
import shlex
import subprocess
import sys

import pytest
from typer.main import get_command

from alpha_umi.cli import app
from support.commands import environment, run_here
from support.folders import REPOSITORY

README = REPOSITORY / "README.md"
STAGES = ("backbone", "planner", "caller", "summarizer")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def commands():
    written = "\n".join([*blocks("bash"), *re.findall(r"`(umi [^`]*)`", README.read_text(encoding="utf-8"))])
    return [line.partition("  #")[0] for line in written.splitlines() if line.startswith("umi ") and "VERB" not in line]


@pytest.mark.parametrize("line", commands())
def test_every_command_exists_with_its_options(line):
    words, command = shlex.split(line)[1:], get_command(app)
    while words and hasattr(command, "commands") and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    assert not hasattr(command, "commands") or command.invoke_without_command, line
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} - {"--help"} <= known


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """The whole job as the README has it, with fewer tasks and steps."""
    folder = tmp_path_factory.mktemp("readme")
    [block] = [block for block in blocks("bash") if "umi train" in block]
    few = "".join(f" --set stages.{stage}.max_steps=2" for stage in STAGES)
    for line in block.splitlines():
        small = line.replace("--count 3000", "--count 30").replace("--count 100", "--count 3")
        ended = run_here(
            *shlex.split(small)[1:], *(shlex.split(few) if small.startswith("umi train") else ()), cwd=folder
        )
        assert ended.code == 0, f"{small}\n{ended.err}"
    return folder


@pytest.mark.slow
def test_the_whole_job_works_as_written(job):
    assert (job / "metrics.json").exists()
    assert "plan_accuracy" in (job / "metrics.md").read_text()


@pytest.mark.slow
def test_the_python_example_works_as_written(job):
    [example] = blocks("python")
    (job / "umi-tiny").symlink_to(job / "run")  # a folder goes before the bundled agent of its name
    (job / "example.py").write_text(example)
    ended = subprocess.run(
        [sys.executable, "example.py"], cwd=job, env=environment(), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "How many people live in Graz?" in ended.stdout
    assert "Plan(" in ended.stdout


@pytest.mark.slow
def test_the_loop_over_query_sets_works_as_written(tmp_path):
    [block] = [block for block in blocks("bash") if "umi judge" in block]
    for line in block.splitlines():
        ended = run_here(*shlex.split(line)[1:], cwd=tmp_path)
        assert ended.code == 0, f"{line}\n{ended.err}"
    report = json.loads((tmp_path / "report.json").read_text())
    rates = {(row["system"], row["set"]): row["pass rate"]["value"] for row in report["Pass rate"]}
    sets = {name for _, name in rates}
    assert len(sets) >= 3
    assert all(rates["ours", name] == 1.0 > rates["hasty", name] for name in sets)
    assert all(row["win (SoWR)"]["value"] > 0.0 for row in report["Win rate"])
    assert {row["candidate"] for row in report["Win rate"]} == {"ours"}
    assert (tmp_path / "report.html").exists()
