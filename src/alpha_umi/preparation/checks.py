"""Validation of recorded trajectories: field types, order of turns, calls against the declared tools.

A fault is *wrong* where training or the live agent would see something that cannot be so, and *doubtful* where it may
be meant: a call that its tool refused, a path that was cut off, a trajectory from which no role learns.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from alpha_umi.arguments import Fault, decode_arguments
from alpha_umi.training.data.examples import count_targets
from alpha_umi.types import (
    Answer,
    Call,
    Decision,
    Observation,
    Plan,
    StopReason,
    ToolSpec,
    ToolStatus,
    Trajectory,
    Turn,
    User,
)


class Severity(StrEnum):
    """Severity of a finding."""

    WRONG = "wrong"
    DOUBTFUL = "doubtful"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault of one trajectory."""

    severity: Severity
    where: str
    """The path within the row: `task.tools[0].name`, `turns[3]`."""
    message: str


def check_types(trajectory: Trajectory) -> tuple[Finding, ...]:
    """Find fields of another type than declared; `check_trajectory` requires a trajectory without any."""
    return tuple(_mistyped(trajectory))


def check_trajectory(trajectory: Trajectory) -> tuple[Finding, ...]:
    """Find all other faults of a trajectory with correct types, in the order of its row. Never raises."""
    return (*_task_faults(trajectory), *_turn_faults(trajectory), *_ending_faults(trajectory))


def is_offered(call: Call, trajectory: Trajectory) -> bool:
    """Tell whether the called tool is among those of the task."""
    return any(tool.name == call.name for tool in trajectory.task.tools)


def argument_fault(call: Call, trajectory: Trajectory) -> str:
    """Find the first fault of a call's arguments under its tool's schema; empty if they fit or the tool is unknown.

    What an environment would mend is a fault here: models learn from it.
    """
    spec = next((tool for tool in trajectory.task.tools if tool.name == call.name), None)
    read = None if spec is None else decode_arguments(spec, call.arguments)
    if read is None:
        return ""
    return read.reason if isinstance(read, Fault) else "; ".join(read.mends)


# --- types of fields ----------------------------------------------------------------------------------


def _mistyped(trajectory: Trajectory) -> Iterator[Finding]:
    task = trajectory.task
    yield from _mistyped_fields("task", task, {"id": str, "query": str, "metadata": Mapping})
    for index, tool in enumerate(task.tools):
        wanted = {"name": str, "description": str, "parameters": Mapping}
        yield from _mistyped_fields(f"task.tools[{index}]", tool, wanted)
    for index, turn in enumerate(trajectory.turns):
        texts = {field.name: str for field in fields(turn) if field.type in (str, "str")}
        yield from _mistyped_fields(f"turns[{index}]", turn, texts)


def _mistyped_fields(where: str, record: Any, wanted: Mapping[str, type]) -> Iterator[Finding]:
    for name, kind in wanted.items():
        value = getattr(record, name)
        if isinstance(value, kind):
            continue
        needed = "text" if kind is str else "an object"
        hint = "; write the object as JSON in one string" if name == "arguments" and isinstance(value, Mapping) else ""
        yield _wrong(f"{where}.{name}", f"{needed} is needed, not {_json_kind(value)}{hint}")


def _json_kind(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return "a number"
    return "text" if isinstance(value, str) else "an object" if isinstance(value, Mapping) else "a list"


# --- the task -----------------------------------------------------------------------------------------


def _task_faults(trajectory: Trajectory) -> Iterator[Finding]:
    task, names = trajectory.task, [tool.name for tool in trajectory.task.tools]
    if not task.query.strip():
        yield _wrong("task.query", "is empty")
    for index, tool in enumerate(task.tools):
        where = f"task.tools[{index}]"
        if not tool.name.strip():
            yield _wrong(f"{where}.name", "is empty")
        elif tool.name in names[:index]:
            yield _wrong(f"{where}.name", f"{tool.name!r} is the name of two tools")
        if not tool.description.strip():
            yield _doubtful(f"{where}.description", f"{tool.name!r} is not described; the roles see its name alone")
        yield from _schema_faults(f"{where}.parameters", tool)


def _schema_faults(where: str, tool: ToolSpec) -> Iterator[Finding]:
    declared = tool.parameters
    if declared and "properties" not in declared and all(isinstance(each, Mapping) for each in declared.values()):
        example = next(iter(declared))
        yield _wrong(
            where, f'no JSON Schema of an object; write {{"type": "object", "properties": {{"{example}": ...}}}}'
        )
        return
    if declared.get("type", "object") != "object":
        yield _wrong(f"{where}.type", f"'object' is needed, not {declared['type']!r}")
    properties, required = declared.get("properties", {}), declared.get("required", [])
    if not isinstance(properties, Mapping) or not isinstance(required, list):
        yield _wrong(where, "'properties' must be an object and 'required' a list of names")
        return
    for name, schema in properties.items():
        if not isinstance(schema, (Mapping, bool)):
            yield _wrong(f"{where}.properties.{name}", f"a JSON Schema is needed, not {_json_kind(schema)}")
    for name in required:
        if not isinstance(name, str) or name not in properties:
            yield _wrong(f"{where}.required", f"names {name!r}, which is no property")


# --- turns --------------------------------------------------------------------------------------------


def _turn_faults(trajectory: Trajectory) -> Iterator[Finding]:
    turns = trajectory.turns
    if not turns:
        yield _wrong("turns", "are empty")
        return
    if not isinstance(turns[0], User):
        yield _wrong("turns[0]", "the first turn must be the user's; without it no prompt holds the query")
    elif turns[0].text != trajectory.task.query:
        yield _doubtful("turns[0].text", "differs from task.query; prompts show this text")
    for index, turn in enumerate(turns):
        before = turns[index - 1] if index else None
        after = turns[index + 1] if index + 1 < len(turns) else None
        for message in _order_faults(turn, before, after):
            yield _wrong(f"turns[{index}]", message)
        if isinstance(turn, Call):
            yield from _call_faults(f"turns[{index}]", turn, after, trajectory)


def _order_faults(turn: Turn, before: Turn | None, after: Turn | None) -> Iterator[str]:
    match turn:
        case Plan(decision=Decision.CALL) if after is not None and not isinstance(after, Call):
            yield f"a plan that decides 'call' is followed by {_kind(after)}; a call is needed"
        case Plan(decision=Decision.CONCLUDE) if after is not None and not isinstance(after, Answer):
            yield f"a plan that decides 'conclude' is followed by {_kind(after)}; an answer is needed"
        case Plan(decision=Decision.GIVE_UP) if isinstance(after, (Call, Observation, Answer)):
            yield f"a plan that decides 'give_up' is followed by {_kind(after)}"
        case Call() if not _follows_call_plan(before):
            yield f"a call after {_kind(before)}; a plan that decides 'call' is needed before it"
        case Observation() if not isinstance(before, Call):
            yield f"an observation after {_kind(before)}; a call is needed before it"
        case Answer() if not (isinstance(before, Plan) and before.decision in (Decision.CONCLUDE, Decision.NONE)):
            yield f"an answer after {_kind(before)}; a plan that decides 'conclude' is needed before it"
        case _:
            pass


def _follows_call_plan(before: Turn | None) -> bool:
    """Tell whether a call continues a step of several calls, each after the observation of the one before."""
    return isinstance(before, Observation) or (
        isinstance(before, Plan) and before.decision in (Decision.CALL, Decision.NONE)
    )


def _call_faults(where: str, call: Call, after: Turn | None, trajectory: Trajectory) -> Iterator[Finding]:
    went_well = isinstance(after, Observation) and after.status is ToolStatus.OK
    severity = Severity.WRONG if went_well else Severity.DOUBTFUL
    remark = "" if went_well else "; learned from by no role" if not is_offered(call, trajectory) else ""
    if not is_offered(call, trajectory):
        names = [tool.name for tool in trajectory.task.tools]
        near = difflib.get_close_matches(call.name, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        yield Finding(
            severity=severity,
            where=f"{where}.name",
            message=f"{call.name!r} is not among the {len(names)} tools of the task{hint}{remark}",
        )
    elif reason := argument_fault(call, trajectory):
        yield Finding(severity=severity, where=f"{where}.arguments", message=f"{call.name}: {reason}")
    if after is not None and not isinstance(after, Observation):
        turns = trajectory.turns
        recorded = not isinstance(turns[-1], Call) or any(isinstance(turn, Observation) for turn in turns)
        severity = Severity.WRONG if recorded else Severity.DOUBTFUL
        needed = "its observation is needed" if recorded else "no observation was recorded"
        yield Finding(severity=severity, where=where, message=f"a call is followed by {_kind(after)}; {needed}")


def _ending_faults(trajectory: Trajectory) -> Iterator[Finding]:
    if not trajectory.turns:
        return
    last = trajectory.final_turn
    ended = {StopReason.ANSWERED: isinstance(last, Answer), StopReason.GAVE_UP: _gives_up(last)}
    if not ended.get(trajectory.stop, True):
        yield _doubtful("stop", f"is {trajectory.stop.value!r}, but the last turn is {_kind(last)}")
    if isinstance(last, (Plan, Call)) and not _gives_up(last):
        yield _doubtful(f"turns[{len(trajectory.turns) - 1}]", f"the path ends with {_kind(last)}")
    if not any(count_targets(trajectory).values()):
        yield _doubtful("turns", "no role learns from this trajectory")


def _gives_up(turn: Turn | None) -> bool:
    return isinstance(turn, Plan) and turn.decision is Decision.GIVE_UP


def _kind(turn: Turn | None) -> str:
    name = "the beginning" if turn is None else type(turn).__name__.lower()
    return name if turn is None else f"an {name}" if name[0] in "aeio" else f"a {name}"


def _wrong(where: str, message: str) -> Finding:
    return Finding(severity=Severity.WRONG, where=where, message=message)


def _doubtful(where: str, message: str) -> Finding:
    return Finding(severity=Severity.DOUBTFUL, where=where, message=message)
