"""Simulator program: the tools of tau2-bench's domains over their databases, run by a Python that has tau2.

Reads JSON Lines on the standard input and answers each by one:

    {"session", "simulation": {"domain"}, "calls", "introduced"}   {"results"}, a text for each call, and the policy
    {"domain"}                                                     {"tools", "tasks"} of a domain
    {"domain", "task", "calls", "answers"}                         {"right", "right_without", "told"}

`right`: the database after the calls is the one after the golden actions; `right_without`: so is the one at the start;
`told`: the answers hold what the task wants told. Standard library and tau2 alone: nothing of the package is there. Of
tau2 only the domains are imported; its own `__init__` would import the clients of language models.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import json
import resource
import sys
from collections import OrderedDict
from contextlib import redirect_stderr, redirect_stdout, suppress
from functools import lru_cache
from types import ModuleType
from typing import Any

_MOST_BYTES = 1 << 32
_MOST_LIVE = 8
"""Sessions whose database is in memory; the others play their calls again."""


class _Domain:
    """Domain of tau2 as it begins."""

    def __init__(self, name: str) -> None:
        self._module = importlib.import_module(f"tau2.domains.{name}.environment")
        self.start = self._module.get_environment()
        self.start_hash = self.start.get_db_hash()
        self.tasks = {task.id: task for task in self._module.get_tasks()}

    def new(self) -> Any:
        return self._module.get_environment(self.start.tools.db.model_copy(deep=True))


_domain = lru_cache(_Domain)


class _Sessions:
    """Environments by session, of which the last used are in memory."""

    def __init__(self) -> None:
        self._calls: dict[str, list[dict[str, Any]]] = {}
        self._live: OrderedDict[str, Any] = OrderedDict()

    def run(self, session: str, domain: str, calls: list[dict[str, Any]]) -> list[str]:
        before = self._calls.setdefault(session, [])
        if session not in self._live:
            self._live[session] = _domain(domain).new()
            for call in before:
                _run(self._live[session], call)
        self._live.move_to_end(session)
        results = [_run(self._live[session], call) for call in calls]
        before += calls
        if len(self._live) > _MOST_LIVE:
            self._live.popitem(last=False)
        return results


def _run(environment: Any, call: dict[str, Any]) -> str:
    message = importlib.import_module("tau2.data_model.message")
    return environment.get_response(message.ToolCall(name=call["name"], arguments=call["arguments"])).content


def _describe(domain: _Domain) -> dict[str, Any]:
    tools = [tool.openai_schema for tool in domain.start.get_tools()]
    return {"tools": tools, "tasks": [task.model_dump(mode="json") for task in domain.tasks.values()]}


def _check(domain: _Domain, asked: dict[str, Any]) -> dict[str, bool]:
    criteria = domain.tasks[asked["task"]].evaluation_criteria
    gold, made = domain.new(), domain.new()
    for action in criteria.actions or ():
        with suppress(Exception):  # as tau2 does: a golden action that fails changes nothing
            gold.make_tool_call(action.name, requestor=action.requestor, **action.arguments)
    for call in asked["calls"]:
        _run(made, call)
    said = [answer.lower().replace(",", "") for answer in asked["answers"]]
    wanted = gold.get_db_hash()
    return {
        "right": made.get_db_hash() == wanted,
        "right_without": domain.start_hash == wanted,
        "told": all(any(each.lower() in text for text in said) for each in criteria.communicate_info or ()),
    }


def _import_tau2() -> None:
    """Put an empty package in the place of tau2's `__init__`."""
    found = importlib.util.find_spec("tau2")
    if found is None or found.submodule_search_locations is None:
        raise ModuleNotFoundError("No module named 'tau2'")
    package = ModuleType("tau2")
    package.__path__ = list(found.submodule_search_locations)
    sys.modules["tau2"] = package


def main() -> None:
    _import_tau2()
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    sessions = _Sessions()
    for line in sys.stdin:
        asked = json.loads(line)
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            if "session" in asked:
                name = asked["simulation"]["domain"]
                results = sessions.run(asked["session"], name, asked["calls"])
                answer: dict[str, Any] = {
                    "results": [*results, _domain(name).start.get_policy()] if asked.get("introduced") else results
                }
            elif "task" in asked:
                answer = _check(_domain(asked["domain"]), asked)
            else:
                answer = _describe(_domain(asked["domain"]))
        print(json.dumps(answer), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
