"""The oracle: an agent that knows the kind of a task, tries its steps and reacts to what it observes.

It sees no more of the troubles than a model does. Its thoughts follow from what was said before and name the tool
and the values to copy. They end as those read from raw answers do, so that both are the same to a format.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from alpha_umi.types import (
    Answer,
    Call,
    Decision,
    Json,
    Observation,
    Plan,
    StopReason,
    ToolStatus,
    Trajectory,
    Turn,
    User,
)
from alpha_umi.world.catalogue import Tool
from alpha_umi.world.kinds import Kind, Step
from alpha_umi.world.needs import NEEDS
from alpha_umi.world.problems import Problem, bind, keep

_RENAMED = re.compile(r"is invalid: (?P<old>\S+) is now (?P<new>\S+)$")
_END = "\n "
"""What stands between a thought and the mark of its decision."""
_UNKNOWN = re.compile(r"is invalid: (?P<name>\S+) is unknown$")


def write_gold(problem: Problem) -> Trajectory:
    turns: list[Turn] = [User(text=problem.task.query)]
    known = dict(problem.slots)
    for step in problem.kind.steps:
        found = _do(problem, step, known, turns)
        if not isinstance(found, dict):
            turns.append(Plan(thought=f"{found} I give up.{_END}", decision=Decision.GIVE_UP))
            return Trajectory(task=problem.task, turns=tuple(turns), stop=StopReason.GAVE_UP)
        known |= found
    turns.append(
        Plan(thought=f"I have {_values(problem.kind, known)}. I can answer.{_END}", decision=Decision.CONCLUDE)
    )
    turns.append(Answer(text=problem.kind.answer.format(**known)))
    return Trajectory(task=problem.task, turns=tuple(turns), stop=StopReason.ANSWERED)


def _do(problem: Problem, step: Step, known: dict[str, Json], turns: list[Turn]) -> dict[str, Json] | str:
    """One step with all its retries; what it made known, or why nothing can be done."""
    lead = ""
    for tool in problem.providers(step.need):
        observation = _ask(problem, tool, step, known, lead, turns)
        renamed = _RENAMED.search(observation.content)
        if observation.status is ToolStatus.BAD_ARGUMENTS and renamed:
            _rename(known, renamed["old"], renamed["new"])
            observation = _ask(problem, tool, step, known, f"{renamed['old']} is now {renamed['new']}. ", turns)
        if observation.status is ToolStatus.OK:
            return keep(step, tool.outputs(observation.content))
        unknown = _UNKNOWN.search(observation.content)
        if observation.status is ToolStatus.BAD_ARGUMENTS and unknown:
            return f"{unknown['name']} is unknown."
        lead = f"{tool.spec.name} failed. "
    return f"{lead}No tool can find {_goal(step, known)}."


def _ask(
    problem: Problem, tool: Tool, step: Step, known: Mapping[str, Json], lead: str, turns: list[Turn]
) -> Observation:
    thought = f"{lead}I need {_goal(step, known)}. I will call {tool.spec.name}.{_END}"
    inputs = bind(step, known)
    arguments = {own: inputs[name] for name, own in tool.arguments.items() if name in inputs}
    call = Call(name=tool.spec.name, arguments=json.dumps(arguments))
    observation = problem.execute(call)
    turns += (Plan(thought=thought, decision=Decision.CALL), call, observation)
    return observation


def _goal(step: Step, known: Mapping[str, Json]) -> str:
    return (step.goal or NEEDS[step.need].goal).format(**bind(step, known))


def _rename(known: dict[str, Json], old: str, new: str) -> None:
    for name, value in known.items():
        if value == old:
            known[name] = new


def _values(kind: Kind, known: Mapping[str, Json]) -> str:
    parts: list[str] = []
    for owed in kind.owed:
        unit = owed.unit[1:] if owed.unit.startswith("=") else known.get(owed.unit, "")
        parts.append(f"{known[owed.value]} {unit}".strip())
    return " and ".join(parts)
