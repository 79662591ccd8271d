"""The directive `module-list`: every module of the package with the first sentence of its docstring, by room."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

PACKAGE = Path(__file__).parents[2] / "src" / "alpha_umi"


class ModuleList(SphinxDirective):
    """One section per folder of the package; the source files are read, not imported."""

    def run(self) -> list[nodes.Node]:
        folders: dict[str, list[Path]] = {}
        for path in sorted(PACKAGE.rglob("*.py"), key=lambda path: (path.stem != "__init__", path.name)):
            folders.setdefault(path.parent.relative_to(PACKAGE).as_posix(), []).append(path)
        return [section(name, paths) for name, paths in sorted(folders.items())]


def section(folder: str, paths: list[Path]) -> nodes.section:
    """A heading with the folder's name and a list of its modules."""
    title = "alpha_umi" if folder == "." else folder
    made = nodes.section(ids=[f"modules-{title.replace('/', '-')}"])
    made += nodes.title(text=title)
    listed = nodes.bullet_list()
    for path in paths:
        line = nodes.paragraph()
        line += nodes.literal(text=path.name)
        line += nodes.Text(f": {first_sentence(path)}")
        listed += nodes.list_item("", line)
    made += listed
    return made


def first_sentence(path: Path) -> str:
    """The docstring of a module up to the first full stop."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "no docstring"
    return re.split(r"(?<=[^.])\.(?:\s|$)|\n\n", docstring.strip(), maxsplit=1)[0].replace("\n", " ")


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directive known to Sphinx."""
    app.add_directive("module-list", ModuleList)
    return {"parallel_read_safe": True}
