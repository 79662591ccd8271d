"""Options that several verbs take, declared once as the parameters of a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

_Verb = TypeVar("_Verb", bound=Callable[..., Any])


def with_options_of(declaration: Callable[..., None]) -> Callable[[_Verb], _Verb]:
    """Give a verb the parameters of `declaration` beside its own; it gets them as keywords."""
    shared = inspect.signature(declaration, eval_str=True).parameters.values()

    def decorate(verb: _Verb) -> _Verb:
        own = inspect.signature(verb, eval_str=True).parameters.values()
        parameters = {each.name: each for each in own if each.kind is not each.VAR_KEYWORD}
        parameters |= {each.name: each.replace(kind=each.KEYWORD_ONLY) for each in shared}
        vars(verb)["__signature__"] = inspect.Signature(sorted(parameters.values(), key=lambda each: each.kind))
        verb.__annotations__ = {each.name: each.annotation for each in parameters.values()}
        return verb

    return decorate
