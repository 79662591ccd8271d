"""The directive `public-names`: reference entries of all names in `alpha_umi.__all__`, one section per kind."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from enum import Enum
from typing import Any, get_origin

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

import alpha_umi
from alpha_umi.jobs.groups import VerbGroup

_ANNOTATED = re.compile(r"~?[\w.]*Annotated\[~?(?:\w+\.)*(\w+), <[^>]*>\]")
GROUPS = ("Functions", "Classes", "Protocols", "Types", "Errors")


class PublicNames(SphinxDirective):
    """Documents every public name by autodoc, in the order of `__all__` within its section."""

    def run(self) -> list[nodes.Node]:
        named = {name: getattr(alpha_umi, name) for name in alpha_umi.__all__}
        sections = []
        for group in GROUPS:
            entries = [line for name, thing in named.items() if kind(thing) == group for line in entry(name, thing)]
            if entries:
                section = nodes.section(ids=[group.lower()])
                section += nodes.title(text=group)
                self.state.nested_parse(StringList(entries, source="alpha_umi.__all__"), self.content_offset, section)
                sections.append(section)
        return sections


class Options(SphinxDirective):
    """Documents the keys of a typed dictionary by the strings under them; the argument is MODULE.CLASS."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        module, _, name = self.arguments[0].rpartition(".")
        documented = ModuleAnalyzer.for_module(module).find_attr_docs()
        listed = nodes.definition_list()
        for (owner, key), lines in documented.items():
            if owner == name:
                body = nodes.container()
                self.state.nested_parse(StringList(list(lines), source=module), self.content_offset, body)
                term = nodes.term("", "", nodes.literal(text=key))
                listed += nodes.definition_list_item("", term, nodes.definition("", *body.children))
        return [listed]


def kind(thing: Any) -> str:
    """The section in which a public name is documented."""
    if not inspect.isclass(thing):
        return "Functions" if isinstance(thing, VerbGroup) or _is_function(thing) else "Types"
    if issubclass(thing, BaseException):
        return "Errors"
    if getattr(thing, "_is_protocol", False):
        return "Protocols"
    return "Types" if issubclass(thing, Enum) or hasattr(thing, "__dataclass_fields__") else "Classes"


def entry(name: str, thing: Any) -> Iterator[str]:
    """The autodoc directive of one public name."""
    if inspect.isclass(thing):
        yield from (
            f".. autoclass:: alpha_umi.{name}",
            "   :members:",
            "   :undoc-members:",
            "   :show-inheritance:",
            "",
        )
    elif isinstance(thing, VerbGroup):
        group = type(thing)
        yield from (f".. autoclass:: {group.__module__}.{group.__qualname__}()", "   :members:", "")
    elif _is_function(thing):
        yield from (f".. autofunction:: alpha_umi.{name}", "")
    else:
        yield from (f".. autodata:: alpha_umi.{name}", "   :no-value:", "")


def _is_function(thing: Any) -> bool:
    return callable(thing) and get_origin(thing) is None


def shorten(_app: Sphinx, *described: Any) -> tuple[str, str] | None:
    """Leave out of a signature what only its validation needs, which shows as an address in memory."""
    *_, signature, returned = described
    if signature is None or "Annotated[" not in signature:
        return None
    return _ANNOTATED.sub(r"\1", signature), returned


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directive known to Sphinx."""
    app.add_directive("public-names", PublicNames)
    app.add_directive("options-of", Options)
    app.connect("autodoc-process-signature", shorten)
    return {"parallel_read_safe": True}
