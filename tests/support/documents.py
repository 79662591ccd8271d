"""Fenced code blocks of the README and the documentation, and the comments that say how each is tested.

A comment stands on a line of its own before its block:

    <!-- run -->            it is run, in the folder of its page, after the blocks before it; python blocks always are
    <!-- run: slow -->      the same, among the slow tests
    <!-- exit code 1 -->    of the last command of the block
    <!-- not run: REASON -->
    <!-- file: NAME -->     the block is also written to a file of that name
    <!-- is: KIND -->       of a toml or json block: what it is loaded as
    <!-- output -->         what the run block before it prints; seconds may differ
"""

import re
from dataclasses import dataclass

from support.folders import REPOSITORY

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[\w{}-]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"<!-- ([^\n]*?) -->\s*\Z")
HISTORICAL = ("log.md",)
"""Pages of commands as they were when they were run."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block."""

    page: str
    line: int
    language: str
    text: str
    marks: dict[str, str]

    def __str__(self):
        return f"{self.page}:{self.line}"


def pages():
    docs = sorted((REPOSITORY / "docs").rglob("*.md"))
    kept = [path for path in docs if path.name not in HISTORICAL and "_build" not in path.parts]
    return [REPOSITORY / "README.md", *kept]


def blocks_of(path):
    text = path.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        indent = len(found["indent"])
        yield Block(
            page=path.relative_to(REPOSITORY).as_posix(),
            line=text.count("\n", 0, found.start()) + 1,
            language=found["language"],
            text="".join(line[indent:] if line.strip() else line for line in found["text"].splitlines(keepends=True)),
            marks=dict(marks_before(text[: found.start()])),
        )


def marks_before(text):
    while found := COMMENT.search(text):
        name, _, value = found[1].partition(": ")
        yield name, value
        text = text[: found.start()]


def commands(text):
    """The commands of a shell block: continued lines are joined, comments are dropped."""
    for line in re.sub(r"\s*\\\n\s*", " ", text).splitlines():
        command = re.split(r"\s+#\s", line.strip(), maxsplit=1)[0]
        if command and not command.startswith("#"):
            yield command


def inline_commands(path):
    """Commands named in running text and tables."""
    outside = FENCE.sub("", path.read_text(encoding="utf-8"))
    return [" ".join(found.split()) for found in re.findall(r"`(umi [^`]*)`", outside)]
