"""Requests of an API: the method, address and body that a call's arguments mean."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from urllib.parse import quote, urlencode

from alpha_umi.arguments import Fault, read_arguments
from alpha_umi.environments.access import Request
from alpha_umi.environments.openapi.operations import Argument, Body, Operation, Style
from alpha_umi.types import Json

_SEPARATORS = {Style.COMMA: ",", Style.SPACE: " ", Style.PIPE: "|"}


def build_request(operation: Operation, base_url: str, arguments: str) -> Request | Fault:
    """Build the request of a call; a Fault where its arguments are not the declared ones."""
    values = read_arguments(operation.tool, arguments)
    if isinstance(values, Fault):
        return values
    given = {name: value for name, value in values.items() if value is not None or _is_body(operation, name)}
    path = operation.path if operation.path.startswith("/") else f"/{operation.path}"
    query: list[tuple[str, str]] = []
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for each in operation.arguments:
        if each.argument not in given:
            continue
        value = given[each.argument]
        match each.place:
            case "path":
                text = _joined(value, each.style)
                if text in ("", ".", ".."):
                    return Fault(reason=f"{each.argument}: {text!r} cannot be part of an address")
                path = path.replace(f"{{{each.name}}}", quote(text, safe=""))
            case "query":
                query += _pairs(each, value)
            case "header" | "cookie":
                text = _joined(value, each.style)
                if not text.isprintable() or not text.isascii():
                    return Fault(reason=f"{each.argument}: a {each.place} takes one line of ASCII")
                if each.place == "header":
                    headers[each.name] = text
                else:
                    cookies.append(f"{quote(each.name)}={quote(text)}")
            case _:
                pass
    if cookies:
        headers["Cookie"] = "; ".join(cookies)
    return _with_body(operation, given, headers, _url(base_url, path, query))


def _url(base_url: str, path: str, query: list[tuple[str, str]]) -> str:
    url = base_url.rstrip("/") + path
    if not query:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query, quote_via=quote)}"


def _is_body(operation: Operation, name: str) -> bool:
    return any(each.argument == name and each.place == "body" for each in operation.arguments)


def _with_body(operation: Operation, given: Mapping[str, Json], headers: dict[str, str], url: str) -> Request:
    members = [each for each in operation.arguments if each.place == "body"]
    whole = next((each for each in members if not each.name), None)
    method, content = operation.method, None
    match operation.body:
        case Body.JSON if whole is not None:
            content = json.dumps(given[whole.argument]) if whole.argument in given else None
            headers["Content-Type"] = "application/json"
        case Body.JSON:
            content = json.dumps({each.name: given[each.argument] for each in members if each.argument in given})
            headers["Content-Type"] = "application/json"
        case Body.FORM:
            pairs = [pair for each in members if each.argument in given for pair in _pairs(each, given[each.argument])]
            content = urlencode(pairs)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        case Body.TEXT:
            content = _text(given[whole.argument]) if whole is not None and whole.argument in given else None
            headers["Content-Type"] = "text/plain; charset=utf-8"
        case Body.NONE:
            pass
    return Request(method=method, url=url, headers=headers, content=None if content is None else content.encode())


def _pairs(argument: Argument, value: Json) -> Iterator[tuple[str, str]]:
    """Names and texts of a value in a query or form."""
    name, style = argument.name or argument.argument, argument.style
    if style is Style.JSON:
        yield name, json.dumps(value, ensure_ascii=False)
    elif isinstance(value, list) and style in (Style.REPEAT, Style.DEEP):
        yield from ((name, _text(item)) for item in value)
    elif isinstance(value, dict) and style is Style.DEEP:
        yield from ((f"{name}[{key}]", _text(item)) for key, item in value.items())
    elif isinstance(value, dict) and style is Style.REPEAT:
        yield from ((key, _text(item)) for key, item in value.items())
    else:
        yield name, _joined(value, style)


def _joined(value: Json, style: Style) -> str:
    separator = _SEPARATORS.get(style, ",")
    if style is Style.JSON:
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return separator.join(map(_text, value))
    if isinstance(value, dict):
        return separator.join(text for key, item in value.items() for text in (key, _text(item)))
    return _text(value)


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
