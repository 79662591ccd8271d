"""The examples that train: an agent learns tools that it did not know, from trajectories made by running them."""

import importlib

import pytest

from support.folders import REPOSITORY


@pytest.mark.slow
def test_an_agent_trained_on_own_tools_answers_in_a_wording_it_has_not_met(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(REPOSITORY / "examples")
    importlib.import_module("train_on_own_tools").main(tmp_path)
    assert capsys.readouterr().out.splitlines()[-1] == "The drill costs 88 euros."
