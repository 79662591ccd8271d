"""Libraries that are not installed: the message names an installation that works from a clone."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

from alpha_umi.errors import ConfigError, explain_missing_extra
from alpha_umi.store import open_text

ROOT = Path(__file__).parents[2]


def test_a_library_that_is_missing_is_named_with_the_extra_that_brings_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    packed = tmp_path / "tasks.jsonl.zst"
    packed.write_bytes(b"")
    with pytest.raises(ConfigError) as found, open_text(packed):
        pass
    assert str(found.value) == f"{packed}: reading .zst needs zstandard; in the clone: pip install -e '.[zst]'"


def test_what_to_do_without_the_library_follows_the_installation():
    message = r"pip install -e '\.\[local\]', or name an endpoint$"
    explained = explain_missing_extra("local", "running it here", instead="name an endpoint")
    with pytest.raises(ConfigError, match=message), explained:
        import no_such_library  # noqa: F401  # pyright: ignore


def test_a_module_of_ours_that_is_missing_is_no_matter_of_extras():
    with pytest.raises(ModuleNotFoundError), explain_missing_extra("local", "running it here"):
        import alpha_umi.no_such_module  # noqa: F401  # pyright: ignore


def test_every_extra_that_a_message_names_exists():
    source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    named = set(re.findall(r"explain_missing_extra\(\"(\w+)\"", source))
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert named
    assert named <= set(known)
    assert "pip install 'alpha-umi" not in source
