"""The examples that train and evaluate: an agent learns tools that it did not know, and is measured with them."""

import importlib
import re

import pytest

from support.folders import REPOSITORY


@pytest.mark.slow
def test_an_agent_learns_tools_from_trajectories_made_by_running_them_and_is_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(REPOSITORY / "examples")
    importlib.import_module("train_on_own_tools").main(tmp_path)
    assert capsys.readouterr().out.splitlines()[-1] == "The drill costs 88 euros."
    importlib.import_module("evaluate").main(tmp_path)
    printed = capsys.readouterr().out
    assert "plan_accuracy" in printed
    live = re.search(r"live: (\d+)% of 40 tasks right", printed)
    assert live is not None
    assert int(live[1]) >= 70
