"""Reader of ToolAlpaca's APIs: training instances with their steps, and evaluation instructions with golden calls.

One API is many tasks. Golden calls have no results. The tool `getDetails`, which asks the user, is offered where it is
called. Source: tangqiaoyu/ToolAlpaca, README.md and build_dataset.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from alpha_umi.datasets.chats import Origin, finish, make_reading, text_of
from alpha_umi.datasets.toolbench import Reading
from alpha_umi.errors import DataError
from alpha_umi.formats.messages import read_arguments
from alpha_umi.formats.turn_builder import TurnBuilder
from alpha_umi.literals import UnreadableError, read_value
from alpha_umi.loose_json import read_loosely
from alpha_umi.types import Json, ToolSpec

DETAILS = ToolSpec(
    name="getDetails",
    description="Asks the user for what the request leaves open.",
    parameters={
        "type": "object",
        "properties": {"Question": {"type": "string", "description": "The question to the user."}},
        "required": ["Question"],
    },
)
_PARAMETERS = "Parameters: "
_CHOICES = re.compile(r"\s*One of: \[(?P<choices>[^\[\]]*)\]\.?\s*")
_ACTION = re.compile(r"\n?(?:ASSISTANT )?Action:")
_ARRAY_OF = re.compile(r"array\[(?P<items>[a-z]+)\]")
_WORDS = ("string", "integer", "number", "boolean", "object", "array")


def read_row(row: Mapping[str, Json], origin: Origin) -> Iterator[Reading | DataError]:
    """Read one API: a reading for each task, or the error that names it. Raises DataError where the API is none."""
    functions = row.get("Function_Description")
    if not isinstance(functions, dict):
        raise DataError("'Function_Description' is no object; ToolAlpaca's own script leaves such an API out, too")
    tools = tuple(read_function(name, text_of(told)) for name, told in functions.items() if name != "components")
    kept = {**origin.metadata, "api": text_of(row.get("Name"))}
    instances, instructions = row.get("Instances"), row.get("Instructions")
    if isinstance(instances, list):
        read, entries, what = _read_instance, instances, "Instances"
    else:
        golden = row.get("Golden_Answers")
        if not isinstance(instructions, list) or not isinstance(golden, list) or len(golden) != len(instructions):
            raise DataError("neither 'Instances' nor as many 'Golden_Answers' as 'Instructions'")
        read, entries, what = (
            _read_golden,
            [list(pair) for pair in zip(instructions, golden, strict=True)],
            "Instructions",
        )
    for index, entry in enumerate(entries):
        builder = TurnBuilder()
        try:
            called = read(entry, builder)
            offered = (*tools, DETAILS) if DETAILS.name in called else tools
            place = Origin(task_id=f"{origin.task_id}-{index}", metadata=kept)
            yield make_reading(finish(builder, offered), place)
        except DataError as error:
            yield DataError(f"{what}[{index}]: {error}")


def _read_instance(instance: Json, builder: TurnBuilder) -> set[str]:
    if not isinstance(instance, dict) or not isinstance(instance.get("input"), str):
        raise DataError("no text under 'input'")
    steps, output = instance.get("intermediate_steps"), instance.get("output")
    builder.user(str(instance["input"]).rsplit("\nHint: ", 1)[0])
    called: set[str] = set()
    for number, step in enumerate(steps if isinstance(steps, list) else []):
        match step:
            case [[str() as name, given, log], observation]:
                if thought := _thought(text_of(log)):
                    builder.say(thought)
                builder.call(name, read_arguments(given))
                builder.result(text_of(observation))
                called.add(name)
            case _:
                raise DataError(f"intermediate_steps[{number}] is no [[action, input, log], observation]")
    if isinstance(output, str) and output.strip():
        thought = text_of(instance.get("Final Thought")).strip()
        builder.say(output, thought)
    elif not called:
        raise DataError("neither a step nor an output")
    return called


def _thought(log: str) -> str:
    """Thought of a step: what its log says before the action."""
    return _ACTION.split(log)[0].strip().removeprefix("Thought:").strip()


def _read_golden(pair: Json, builder: TurnBuilder) -> set[str]:
    match pair:
        case [str() as instruction, list() as calls] if calls:
            builder.user(instruction)
        case _:
            raise DataError("an instruction with a list of golden calls is needed")
    called: set[str] = set()
    for number, call in enumerate(calls):
        name = call.get("Action") if isinstance(call, dict) else None
        if not isinstance(call, dict) or not isinstance(name, str):
            raise DataError(f"golden call {number} names no 'Action'")
        arguments = read_arguments(call.get("Action_Input", "{}"))
        builder.deviations["golden_inputs_that_are_no_json"] += not _is_object(arguments)
        builder.call(name, arguments)
        called.add(name)
    return called


def _is_object(text: str) -> bool:
    try:
        return isinstance(read_loosely(text).value, dict)
    except ValueError:
        return False


# --- tools ----------------------------------------------------------------------------------------------


def read_function(name: str, told: str) -> ToolSpec:
    """Read the tool of a Function_Description: its text, its parameters, and its output as a part of the text."""
    at = told.find(_PARAMETERS)
    try:
        declared, end = read_value(told, at + len(_PARAMETERS)) if at >= 0 else (None, 0)
    except UnreadableError:
        declared, end = None, 0
    if not isinstance(declared, dict):
        return ToolSpec(name=name, description=told, parameters={"type": "object", "properties": {}})
    read = {key: _read_parameter(text_of(text)) for key, text in declared.items()}
    return ToolSpec(
        name=name,
        description=f"{told[:at].strip()}\n{told[end:].strip()}".strip(),
        parameters={
            "type": "object",
            "properties": {key: schema for key, (schema, _) in read.items()},
            "required": [key for key, (_, required) in read.items() if required],
        },
    )


def _read_parameter(told: str) -> tuple[dict[str, Json], bool]:
    """Schema of `Required. TYPE. One of: [a, b]. TEXT`, and whether it is required."""
    rest = told.removeprefix("Required. ")
    kind, rest_told = _split_type(rest)
    schema: dict[str, Json] = _schema(kind)
    if choices := _CHOICES.match(rest_told):
        rest_told = rest_told[choices.end() :]
        listed: list[Json] = [choice.strip() for choice in choices["choices"].split(",")]
        if schema.get("type") == "string":
            schema["enum"] = listed
        else:
            rest_told = f"One of {', '.join(map(str, listed))}. {rest_told}"
    if text := ". ".join(
        part for part in (schema.get("description"), rest_told.strip()) if isinstance(part, str) and part
    ):
        schema["description"] = text
    return schema, rest != told


def _split_type(told: str) -> tuple[str, str]:
    """The type of a parameter, which ends at a full stop outside brackets, and the text after it."""
    depth = 0
    for at, letter in enumerate(told):
        depth += (letter in "[{") - (letter in "]}")
        if letter == "." and depth == 0:
            kind = told[:at].strip()
            return (kind, told[at + 1 :]) if kind.lower().split("[")[0].split("{")[0] in _WORDS else ("", told)
    return "", told


def _schema(kind: str) -> dict[str, Json]:
    low = kind.lower()
    if low in _WORDS:
        return {"type": low}
    if simple := _ARRAY_OF.fullmatch(low):
        return {"type": "array", "items": {"type": simple["items"]}}
    if low.startswith(("array", "object")):
        return {"type": low.partition("[")[0].partition("{")[0], "description": kind}
    return {}
