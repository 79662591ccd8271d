"""The public names of the package: all there, sorted, and free until they are used."""

import subprocess
import sys

import pytest

import alpha_umi as umi
from support.commands import environment

VERBS = ["aask", "ask", "chat", "explore", "load", "tool"]
HEAVY = ("torch", "transformers", "pydantic", "numpy", "rich", "typer", "asyncio", "httpx2", "huggingface_hub")


def test_the_exported_names_are_sorted_and_all_there():
    assert sorted(umi.__all__) == umi.__all__
    for name in umi.__all__:
        assert getattr(umi, name) is not None, name
    assert set(VERBS) <= set(umi.__all__)
    assert {*umi.__all__} <= {*dir(umi)}


def test_every_public_name_has_a_docstring():
    assert [name for name in umi.__all__ if name != "Turn" and not getattr(umi, name).__doc__] == []


def test_a_name_that_is_not_public_is_no_attribute():
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = umi.nothing


def test_importing_the_package_imports_no_library():
    code = f"import alpha_umi, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True)
    assert ended.stdout.strip() == "[]"
