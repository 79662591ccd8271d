"""The examples that ask and serve run as they are written, and every example is a page."""

import runpy
import sys

import pytest

from alpha_umi.loading.trained_tools import UntrainedToolsWarning
from support.folders import REPOSITORY

EXAMPLES = REPOSITORY / "examples"
MOST_LINES = 80


def run(name, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


@pytest.mark.parametrize("name", ["ask.py", "serve_and_connect.py"])
def test_an_example_is_at_most_a_page(name):
    assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.slow
def test_asking_and_talking_and_exploring_work_as_written(monkeypatch, capsys):
    with pytest.warns(UntrainedToolsWarning, match="population"):
        run("ask.py", monkeypatch)
    told = capsys.readouterr().out
    assert "stop: " in told
    assert "exchanges: 2" in told
    assert "node: 0 done" in told


def test_tools_are_served_and_called_over_http_as_written(monkeypatch, capfd):
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "src"))
    run("serve_and_connect.py", monkeypatch)
    told = capfd.readouterr().out
    assert "served at http://127.0.0.1:" in told
    assert "3 tasks, " in told
    assert "'errors': 0" in told
