"""The README is short, and what it links to is there."""

import re

import pytest

from support.folders import REPOSITORY

README = REPOSITORY / "README.md"
TEXT = README.read_text(encoding="utf-8")
MOST_LINES = 150


def test_the_readme_is_read_in_one_go():
    assert len(TEXT.splitlines()) <= MOST_LINES


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?://|#)([^)#]+)", TEXT))))
def test_what_the_readme_links_to_is_there(link):
    assert (REPOSITORY / link).exists()


def test_the_rooms_of_the_readme_are_those_of_the_package():
    rooms = re.search(r"## Rooms\n(.*?)\n## ", TEXT + "\n## ", re.DOTALL)
    assert rooms is not None
    named = re.findall(r"`(\w+)`", "\n".join(line.split("|")[1] for line in rooms[1].splitlines() if "|" in line))
    package = REPOSITORY / "src" / "alpha_umi"
    assert all((package / name).is_dir() or (package / f"{name}.py").exists() for name in named)
    assert {path.parent.name for path in package.glob("*/__init__.py")} <= set(named)
