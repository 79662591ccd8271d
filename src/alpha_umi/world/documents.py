"""Writer of tasks as entries of ToolBench query files."""

from __future__ import annotations

from alpha_umi.errors import ConfigError
from alpha_umi.types import Json
from alpha_umi.world.problems import Problem
from alpha_umi.world.tools import Tool


def query_document(problem: Problem) -> dict[str, Json]:
    """Write a task as an entry of a query file; its `metadata` names the task of the world.

    Raises ConfigError for a world whose tools have no tool JSON.
    """
    if not problem.catalogue.documents:
        raise ConfigError("the tiny world has no tool JSON to list in queries; take the preset small or full")
    tools = [problem.catalogue.tools[spec.name] for spec in problem.task.tools]
    return {
        "api_list": [_listed(tool) for tool in tools],
        "query": problem.task.query,
        "relevant APIs": [[tool.document.tool, tool.document.api] for tool in _relevant(problem)],
        "query_id": problem.task.metadata["query_id"],
        "metadata": dict(problem.task.metadata),
    }


def _listed(tool: Tool) -> Json:
    return {
        "category_name": tool.category,
        "tool_name": tool.document.tool,
        "api_name": tool.document.api,
        "api_description": tool.document.entry["description"],
        "required_parameters": tool.document.entry["required_parameters"],
        "optional_parameters": tool.document.entry["optional_parameters"],
        "method": tool.document.entry["method"],
        "template_response": tool.document.entry["schema"],
    }


def _relevant(problem: Problem) -> list[Tool]:
    """The offered tool that the shortest solution uses, for each need: the first that works, else the first."""
    found: list[Tool] = []
    for need in dict.fromkeys(step.need for step in problem.kind.steps):
        tools = problem.providers(need)
        found += [tool for tool in tools if tool.spec.name not in problem.down][:1] or tools[:1]
    return found
