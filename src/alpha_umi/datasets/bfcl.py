"""Files of the Berkeley Function Calling Leaderboard (BFCL v4): questions with their tools, and rows of results."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from alpha_umi.errors import DataError
from alpha_umi.text_files import JsonRow, read_json_rows
from alpha_umi.types import Answer, Call, Json, Task, ToolSpec, Trajectory, Turn, User

SINGLE_TURN = (
    "simple_python",
    "simple_java",
    "simple_javascript",
    "multiple",
    "parallel",
    "parallel_multiple",
    "irrelevance",
    "live_simple",
    "live_multiple",
    "live_parallel",
    "live_parallel_multiple",
    "live_irrelevance",
    "live_relevance",
)
MULTI_TURN = ("multi_turn_base", "multi_turn_miss_func", "multi_turn_miss_param", "multi_turn_long_context")
MEMORY = ("memory_kv", "memory_rec_sum")
"""Questions about a memory that the agent wrote in conversations before them: names with values, or one text."""
CATEGORIES = (*SINGLE_TURN, *MULTI_TURN, *MEMORY)
"""Categories that are read and checked. Web search is not, nor is memory in vectors, whose model is on the network."""
_ID = re.compile(r"(.+?)_\d[\d-]*(?:[a-z]+-\d+)?")
_MEMORY_ID = re.compile(r"memory_\d")
_LANGUAGES: Mapping[str, str] = {"simple_java": "Java", "simple_javascript": "JavaScript"}
_SYNTAX: Mapping[str, str] = {"Java": "Java 8 SDK", "JavaScript": "JavaScript"}
_MORE_FUNCTIONS = "I have updated some more functions you can choose from. What about now?"
"""BFCL's message of the turn in which a function is offered that was kept back."""
_DOCUMENTS: Mapping[str, str] = {
    "GorillaFileSystem": "gorilla_file_system.json",
    "MathAPI": "math_api.json",
    "MessageAPI": "message_api.json",
    "TwitterAPI": "posting_api.json",
    "TicketAPI": "ticket_api.json",
    "TradingBot": "trading_bot.json",
    "TravelAPI": "travel_booking.json",
    "VehicleControlAPI": "vehicle_control.json",
    **{f"MemoryAPI_{name.removeprefix('memory_')}": f"{name}.json" for name in MEMORY},
}
"""Files of the functions of BFCL's simulated classes, in the folder `multi_turn_func_doc` beside the questions."""


def read_bfcl(path: Path, limit: int | None = None) -> Iterator[Task]:
    """Read the first `limit` questions of a file as tasks, under their ids; `metadata` holds `source` and `category`.

    Questions of several turns have the later ones as `followups`, and the start of their simulation. Those about a
    memory are read once for each kind of it, the conversations that fill it before them. Raises DataError naming a row
    of another shape or category, or a file of functions or conversations that is missing.
    """
    rows = list(islice(read_json_rows(path), limit))
    if rows and isinstance(rows[0].value, dict) and _MEMORY_ID.match(str(rows[0].value.get("id"))):
        for category in MEMORY:
            yield from _memory_tasks(rows, category, path.parent)
        return
    for row in rows:
        yield _task(row, path.parent / "multi_turn_func_doc")


def category_of(id_: str) -> str | None:
    """Return the category of an id such as `live_simple_0-0-0`; None where it is none of CATEGORIES."""
    found = _ID.fullmatch(id_)
    return found[1] if found is not None and found[1] in CATEGORIES else None


def write_result(trajectory: Trajectory) -> dict[str, Json]:
    """Write a row of BFCL's result files, as its models with function calling do: each call with its arguments as JSON.

    Without a call the result is the answer's text, which its checker takes for none. Of several turns it is a list of
    turns of steps.
    """
    if category_of(trajectory.task.id) in (*MULTI_TURN, *MEMORY):
        return {"id": trajectory.task.id, "result": [_steps(turns) for turns in _exchanges(trajectory.turns)]}
    calls = [_written(call) for call in trajectory.calls if call.name]
    return {"id": trajectory.task.id, "result": calls or trajectory.answer or ""}


def _exchanges(turns: Sequence[Turn]) -> list[list[Turn]]:
    """The turns after each message of the user."""
    exchanges: list[list[Turn]] = []
    for turn in turns:
        if type(turn) is User:
            exchanges.append([])
        elif exchanges:
            exchanges[-1].append(turn)
    return exchanges


def _steps(turns: Sequence[Turn]) -> list[Json]:
    """Steps of an exchange: the calls of each, or the text of its answer."""
    said = [turn for turn in turns if isinstance(turn, Call | Answer)]
    return [[_written(turn)] if isinstance(turn, Call) else turn.text for turn in said]


def _written(call: Call) -> Json:
    return {call.name: call.arguments}


def _task(row: JsonRow, documents: Path) -> Task:
    value: Mapping[str, Any] = row.value if isinstance(row.value, dict) else {}
    category = category_of(str(value.get("id")))
    if category is None:
        raise DataError(
            f"{row.where}: no question of BFCL that is read; 'id' must begin with one of {', '.join(CATEGORIES)}"
        )
    metadata: dict[str, Json] = {"source": "bfcl", "category": category}
    try:
        if category in MULTI_TURN:
            tools, simulation = _simulation(value, category, documents)
            metadata |= simulation
        else:
            tools = tuple(_tool(_in_language(tool, category)) for tool in value["function"])
        query = _text(value["question"][0])
        json.dumps([metadata, [tool.parameters for tool in tools]])
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise DataError(f"{row.where}: 'question' or 'function' is of another shape: {error!r}") from None
    return Task(id=value["id"], query=query, tools=tools, metadata=metadata)


def _text(messages: Sequence[Mapping[str, str]]) -> str:
    return "\n\n".join(message["content"].strip() for message in messages)


def _tool(document: Mapping[str, Any]) -> ToolSpec:
    return ToolSpec(
        name=document["name"],
        description=document.get("description", ""),
        parameters=dict(document["parameters"]),
    )


def _simulation(
    value: Mapping[str, Any], category: str, documents: Path
) -> tuple[tuple[ToolSpec, ...], dict[str, Json]]:
    """The tools of a question of several turns, and its later turns and simulated classes.

    A function that is kept back is a tool of the task all the same; the followup from which on it is offered names it.
    """
    classes: list[str] = list(value["involved_classes"])
    tools = [_tool(row) for name in classes for row in _rows(documents / _DOCUMENTS[name])]
    kept_back: Mapping[str, Sequence[str]] = value.get("missed_function", {})
    followups: list[Json] = [
        {"user": _text(messages) or _MORE_FUNCTIONS, "tools": list[Json](kept_back.get(str(number), ()))}
        for number, messages in enumerate(value["question"])
        if number
    ]
    return tuple(tools), {
        "followups": followups,
        "simulation": {
            "classes": list[Json](classes),
            "initial_config": value["initial_config"],
            "long_context": "long_context" in category,
        },
    }


def _memory_tasks(rows: Sequence[JsonRow], category: str, folder: Path) -> Iterator[Task]:
    """Questions about one kind of memory, each scenario's conversations before its first question."""
    last: dict[str, str] = {}
    for row in rows:
        value: Mapping[str, Any] = row.value if isinstance(row.value, dict) else {}
        scenario = str(value.get("scenario"))
        if not scenario.isidentifier():
            raise DataError(f"{row.where}: no question about a memory: 'scenario' is no name")
        if scenario not in last:
            path = folder / "memory_prereq_conversation" / f"memory_{scenario}.json"
            for number, conversation in enumerate(_rows(path)):
                before = last.get(scenario)
                task = _memory_task(conversation, f"{path}:{number + 1}", (category, scenario, before), folder)
                yield task
                last[scenario] = task.id
        yield _memory_task(value, row.where, (category, scenario, last.get(scenario)), folder)


def _memory_task(value: Mapping[str, Any], where: str, place: tuple[str, str, str | None], folder: Path) -> Task:
    """Task of one conversation or question; `place`: kind of memory, scenario, and the task that it goes on after."""
    category, scenario, before = place
    try:
        identity = str(value["id"]).replace("memory", category, 1)
        scored = category_of(identity) == category
        simulated = f"MemoryAPI_{category.removeprefix('memory_')}"
        messages = [_text(turn) for turn in value["question"]]
        tools = tuple(_tool(row) for row in _rows(folder / "multi_turn_func_doc" / _DOCUMENTS[simulated]))
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise DataError(f"{where}: 'question' is of another shape: {error!r}") from None
    simulation: dict[str, Json] = {
        "classes": [simulated],
        "initial_config": {},
        "long_context": False,
        "scenario": scenario,
        "scored": scored,
    }
    metadata: dict[str, Json] = {"source": "bfcl", "category": category, "simulation": simulation}
    if before is not None:
        metadata["after"] = before
    if later := messages[1:]:
        metadata["followups"] = [{"user": text} for text in later]
    return Task(id=identity, query=messages[0], tools=tools, metadata=metadata)


def _rows(path: Path) -> list[Mapping[str, Any]]:
    if not path.exists():
        raise DataError(
            f"{path}: no such file; BFCL keeps the functions of its simulated classes, and the conversations before "
            "questions, beside these"
        )
    return [row.value for row in read_json_rows(path) if isinstance(row.value, dict)]


def _in_language(document: Mapping[str, Any], category: str) -> Mapping[str, Any]:
    """A function of Java or JavaScript as BFCL shows it to models: every argument a text in that language's syntax."""
    language = _LANGUAGES.get(category)
    if language is None:
        return document
    properties = {name: _as_text(each, language) for name, each in document["parameters"]["properties"].items()}
    return {
        **document,
        "description": f"{document['description']} Note that the provided function is in {_SYNTAX[language]} syntax.",
        "parameters": {**document["parameters"], "properties": properties},
    }


def _as_text(parameter: Mapping[str, Any], language: str) -> dict[str, Any]:
    """A parameter with what it is in its description, as BFCL words it, and the type of a text."""
    kind, words = parameter["type"], [parameter["description"]]
    shown = {name: each for name, each in parameter.items() if name not in ("type", "description")}
    if kind == "any":
        words.append(f"This parameter can be of any type of {language} object in string representation.")
    else:
        words.append(f"This is {language} {kind} type parameter in string representation.")
    if kind in ("ArrayList", "Array") if language == "Java" else kind == "array":
        items = shown.pop("items")
        words.append(f"The list elements are of type {items['type']}; they are not in string representation.")
    if language == "JavaScript" and kind == "dict" and "properties" in shown:
        schema = json.dumps(shown.pop("properties"))
        words.append(
            f"The dictionary entries have the following schema; they are not in string representation. {schema}"
        )
    return {**shown, "type": "string", "description": " ".join(words)}
