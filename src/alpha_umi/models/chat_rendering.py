"""Chat templates rendered by jinja2's sandbox, with what transformers gives to templates; importing that takes seconds.

A template is a program of a checkpoint's author: it sees plain JSON alone, and nothing of it can be changed. Law: the
text is that of transformers' `apply_chat_template`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from jinja2 import Template, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace


def render_template(template: str, messages: Sequence[Mapping[str, Any]], **variables: Any) -> str:
    """Render messages, plain JSON, by a chat template. Raises whatever the template raises."""
    told = [{key: value for key, value in message.items() if value is not None} for message in messages]
    return _compiled(template).render(messages=told, documents=None, **variables)


@lru_cache(maxsize=16)
def _compiled(template: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals.update(
        raise_exception=_raise, strftime_now=_now, dict=_Dictionary(), namespace=_GuardedNamespace
    )
    return environment.from_string(template)


class _Generation(Extension):
    """Blocks `{% generation %}`, which mark what a model wrote, rendered as what is in them."""

    tags = {"generation"}  # noqa: RUF012  # as jinja2 declares it

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Dictionary:
    """`dict`, without the attributes of a type."""

    def __call__(self, *values: Any, **named: Any) -> dict[Any, Any]:
        return dict(*values, **named)

    def fromkeys(self, *values: Any) -> dict[Any, Any]:
        """As dict.fromkeys."""
        return dict.fromkeys(*values)


class _GuardedNamespace(Namespace):
    """`namespace`, in which no name begins with an underscore."""

    def __init__(*values: Any, **named: Any) -> None:  # `namespace(self=...)` is allowed
        own, *rest = values
        attributes: dict[str, Any] = dict(*rest, **named)
        for name in attributes:
            _check_name(name)
        Namespace.__init__(own, attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a chat template sets the attribute {name!r} of a namespace")


def _to_json(
    value: Any,
    ensure_ascii: bool = False,  # templates may give these by place
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # the same
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise(message: str) -> None:
    raise TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().strftime(form)  # noqa: DTZ005  # templates name the day where the user is
