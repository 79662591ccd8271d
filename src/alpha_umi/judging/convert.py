"""Conversion of raw answers and trajectories to ToolEval's answer format.

The format is `{query, available_tools, answer}` by query id.

By default every tool call is kept and nothing is random: of an answer that never finished, the branch with the most
tool calls is shown, the first of equals. `reference_convert` has the converters of the published code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from alpha_umi.errors import DataError
from alpha_umi.formats.prompts.judging import Case
from alpha_umi.formats.recorded import read_exchanges
from alpha_umi.types import Answer, Call, Decision, Json, Observation, Plan, Task, ToolStatus, Trajectory, Turn, User

Node: TypeAlias = tuple[str, Json]
"""Role (`assistant`, `tool`) and message."""
_FINISH = "Finish"


def convert_answer(document: Json, method: str) -> dict[str, Json]:
    """Convert one raw answer file. Raises DataError naming what it lacks."""
    generation = document.get("answer_generation") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(generation, dict):
        raise DataError("not a raw answer: no 'answer_generation'")
    messages = generation.get("train_messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    if generation.get("valid_data") and isinstance(last, list):
        nodes = list(_read_messages(last))
    else:
        nodes = max(_branches(document), key=_count_calls, default=list[Node]())
    return write_answer(generation, method, nodes)


def write_answer(generation: Mapping[str, Json], method: str, nodes: Sequence[Node]) -> dict[str, Json]:
    """Build ToolEval's record of an answer; `total_steps` counts system and user message, too, as published."""
    query = generation.get("query", "")
    details: list[Json] = []
    for role, message in reversed([("system", ""), ("user", ""), *nodes]):
        details = [{"role": role, "message": message, "next": details}]
    return {
        "query": query if isinstance(query, str) else json.dumps(query),
        "available_tools": generation.get("function", []),
        "answer": {
            "method": method,
            "total_steps": len(nodes) + 2,
            "final_answer": generation.get("final_answer", ""),
            "answer_details": details,
        },
    }


def _count_calls(nodes: Sequence[Node]) -> int:
    return sum(role == "tool" for role, _ in nodes)


# --- a finished answer ----------------------------------------------------------------------------------


def _read_messages(messages: Sequence[Json]) -> Iterator[Node]:
    """Pair every call with its response, empty where none was recorded; keep other utterances of the agent."""
    for exchange in read_exchanges(messages):
        for call, response in exchange.answered:
            said = "" if response is None else response.get("content", "")
            yield "tool", {"name": call.name, "arguments": call.arguments, "response": said}
        if exchange.message.get("role") == "assistant" and not exchange.answered:
            yield "assistant", exchange.message.get("content")


# --- an unfinished one ----------------------------------------------------------------------------------


def _branches(document: Mapping[str, Json]) -> Iterator[list[Node]]:
    """All branches of a search: the chains of independent tries, or the root-to-leaf paths of a tree."""
    tries = document.get("trys")
    for each in tries if isinstance(tries, list) else []:
        chain = each.get("chain") if isinstance(each, dict) else None
        if isinstance(chain, list):
            yield _read_path([node for node in chain if isinstance(node, dict)])
    tree = document.get("tree")
    root = tree.get("tree") if isinstance(tree, dict) else None
    if isinstance(root, dict):
        for path in _paths(root):
            yield _read_path(path[1:])


def _paths(root: Mapping[str, Json]) -> Iterator[list[Mapping[str, Json]]]:
    """Root-to-leaf paths, from left to right."""
    waiting: list[list[Mapping[str, Json]]] = [[root]]
    while waiting:
        path = waiting.pop()
        children = path[-1].get("children")
        below = [child for child in children if isinstance(child, dict)] if isinstance(children, list) else []
        if not below:
            yield path
        waiting.extend([*path, child] for child in reversed(below))


def _read_path(path: Sequence[Mapping[str, Json]]) -> list[Node]:
    """Thoughts and calls; a call without its input has no arguments and no response."""
    nodes: list[Node] = []
    call: dict[str, Json] | None = None
    for node in path:
        match node.get("node_type"):
            case "Action":
                call = {"name": node.get("description", ""), "arguments": "", "response": ""}
                nodes.append(("tool", call))
            case "Action Input" if call is not None:
                call |= {"arguments": node.get("description", ""), "response": node.get("observation", "")}
                call = None
            case "Thought":
                nodes.append(("assistant", node.get("description", "")))
            case _:
                pass
    return nodes


# --- trajectories -----------------------------------------------------------------------------------------


def convert_trajectory(trajectory: Trajectory, method: str) -> dict[str, Json]:
    """Convert a rollout's trajectory. A plan that names no role is an utterance; thoughts before a call are not shown,
    as published.
    """
    nodes: list[Node] = []
    final: Json = ""
    turns = trajectory.turns
    for at, turn in enumerate(turns):
        match turn:
            case Call(name=name, arguments=arguments):
                response = _observed(turns[at + 1]) if at + 1 < len(turns) else ""
                nodes.append(("tool", {"name": name, "arguments": arguments, "response": response}))
            case Answer(text=text):
                final = json.dumps({"return_type": "give_answer", "final_answer": text}, ensure_ascii=False)
                nodes.append(("tool", {"name": _FINISH, "arguments": final, "response": ""}))
            case Plan(decision=Decision.GIVE_UP):
                final = json.dumps({"return_type": "give_up_and_restart"})
                nodes.append(("tool", {"name": _FINISH, "arguments": final, "response": ""}))
            case Plan(thought=thought, decision=Decision.NONE):
                nodes.append(("assistant", thought.strip()))
            case _:
                pass
    task = trajectory.task
    tools: list[Json] = [
        {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)} for tool in task.tools
    ]
    generation: dict[str, Json] = {"query": task.query, "function": tools, "final_answer": final}
    metadata = dict(task.metadata)
    converted = write_answer(generation, method, nodes)
    return {**converted, "task": {"id": task.id, "metadata": metadata}} if metadata else converted


def _observed(turn: Turn) -> Json:
    if not isinstance(turn, Observation):
        return ""
    failed = turn.status is not ToolStatus.OK
    record = {"error": turn.content if failed else "", "response": "" if failed else turn.content}
    return json.dumps(record, ensure_ascii=False)


# --- reading the format -----------------------------------------------------------------------------------


def read_case(record: Json) -> Case:
    """Read one record of a converted file. Raises DataError naming what it lacks."""
    if not isinstance(record, dict) or not isinstance(record.get("answer"), dict):
        raise DataError("no record of ToolEval's answer format: 'answer' is missing; was it made by 'judge convert'?")
    query, tools, answer = record.get("query"), record.get("available_tools"), record["answer"]
    if not isinstance(query, str) or not isinstance(answer, dict):
        raise DataError("no record of ToolEval's answer format: 'query' is no text")
    return Case(query=query, tools=tools if isinstance(tools, list) else [], answer=answer)


def read_trajectory(case: Case, task: Task) -> Trajectory:
    """Rebuild the turns that a converted answer still shows, for judges by rule."""
    turns: list[Turn] = [User(text=case.query)]
    for node in _walk(case.answer.get("answer_details")):
        message = node.get("message")
        if node.get("role") == "tool" and isinstance(message, dict):
            turns.extend(_read_call(message))
        elif node.get("role") == "assistant":
            turns.append(Plan(thought=str(message), decision=Decision.NONE))
    return Trajectory(task=task, turns=tuple(turns))


def _walk(details: Json) -> Iterator[dict[str, Json]]:
    while isinstance(details, list) and details and isinstance(details[0], dict):
        yield details[0]
        details = details[0].get("next")


def _read_call(message: Mapping[str, Json]) -> Sequence[Turn]:
    name, arguments = str(message.get("name", "")), message.get("arguments", "")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    if name != _FINISH:
        call = Call(name=name, arguments=text)
        return Plan(thought="", decision=Decision.CALL), call, _read_response(message.get("response", ""))
    said = _decode(text)
    if isinstance(said, dict) and str(said.get("return_type", "")).startswith("give_up"):
        return (Plan(thought="", decision=Decision.GIVE_UP),)
    answer = said.get("final_answer", "") if isinstance(said, dict) else text
    return Plan(thought="", decision=Decision.CONCLUDE), Answer(text=str(answer))


def _read_response(response: Json) -> Observation:
    text = response if isinstance(response, str) else json.dumps(response)
    record = _decode(text)
    if not isinstance(record, dict) or not record.keys() >= {"error", "response"}:
        return Observation(content=text)
    if record["error"]:
        return Observation(content=str(record["error"]), status=ToolStatus.ERROR)
    content = record["response"]
    return Observation(content=content if isinstance(content, str) else json.dumps(content))


def _decode(text: str) -> Json:
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
