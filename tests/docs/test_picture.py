"""The picture of the README shows a run of the bundled agent as it is."""

import importlib

import pytest

from support.folders import REPOSITORY


@pytest.mark.slow
def test_the_picture_is_that_of_a_run_made_now(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / "docs")
    picture = importlib.import_module("picture")
    drawn = picture.draw(picture.run_agent(picture.TASK))
    assert drawn + "\n" == picture.PICTURE.read_text(encoding="utf-8"), "stale: run python docs/picture.py"
