"""Oracle: writer of gold trajectories, which knows a task's kind, tries its steps and reacts to observations.

It sees no more of the perturbation than a model does. Its thoughts follow from the turns before and name the tool
and the values to copy. They end as those read from raw answers do, so that both are the same to a format.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from alpha_umi.formats.prompts.hints import write_hint
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
from alpha_umi.world.domains import Amounts
from alpha_umi.world.kinds import Kind, Step
from alpha_umi.world.problems import Perturbation, Problem, bind, find_unit, keep
from alpha_umi.world.tools import Tool

_RENAMED = re.compile(r"is invalid: (?P<old>.+) is now (?P<new>.+)$")
_END = "\n "
"""Text between a thought and the mark of its decision."""
_UNKNOWN = re.compile(r"is invalid: (?P<name>.+) is unknown$")


def write_gold(problem: Problem) -> Trajectory:
    """Write the gold trajectory of a problem."""
    turns: list[Turn] = [User(text=problem.task.query)]
    if problem.perturbation is Perturbation.MISSING:
        return _give_up(problem, turns, "The query does not say what it is about.")
    known = dict(problem.slots)
    for place, step in enumerate(problem.kind.steps):
        if problem.failed_branch and problem.failed_branch[0] == place:
            turns.append(User(text=write_hint([_write_failed_branch(problem, problem.failed_branch[1], step, known)])))
        found = _do(problem, step, known, turns)
        if not isinstance(found, dict):
            return _give_up(problem, turns, found)
        known |= found
    turns.append(
        Plan(thought=f"I have {_values(problem.kind, known)}. I can answer.{_END}", decision=Decision.CONCLUDE)
    )
    turns.append(Answer(text=problem.kind.answer.format(**known)))
    return Trajectory(task=problem.task, turns=tuple(turns), stop=StopReason.ANSWERED)


def _give_up(problem: Problem, turns: list[Turn], why: str) -> Trajectory:
    turns.append(Plan(thought=f"{why} I give up.{_END}", decision=Decision.GIVE_UP))
    return Trajectory(task=problem.task, turns=tuple(turns), stop=StopReason.GAVE_UP)


def _do(problem: Problem, step: Step, known: dict[str, Json], turns: list[Turn]) -> dict[str, Json] | str:
    """Do one step with all its retries. Returns the values that it gives, or the reason for giving up."""
    lead = ""
    tools = problem.providers(step.need)
    for tool in tools:
        before = len(turns)
        observation = _ask(problem, tool, step, known, lead, turns)
        renamed = _RENAMED.search(observation.content)
        if observation.status is ToolStatus.BAD_ARGUMENTS and renamed:
            _rename(known, renamed["old"], renamed["new"])
            observation = _ask(problem, tool, step, known, f"{renamed['old']} is now {renamed['new']}. ", turns)
        outputs = tool.outputs(observation.content) if observation.status is ToolStatus.OK else None
        if outputs is not None:
            return keep(step, outputs)
        unknown = _UNKNOWN.search(observation.content)
        if observation.status is ToolStatus.BAD_ARGUMENTS and unknown:
            return f"{unknown['name']} is unknown."
        found_nothing = observation.status is ToolStatus.OK
        lead = f"{tool.spec.name} {'found nothing' if found_nothing else 'failed'}. "
        if problem.hinted and tool is not tools[-1]:
            turns[before:] = [User(text=write_hint([turns[before:]]))]
    return f"{lead}No tool can find {_goal(problem, step, known)}."


def _ask(
    problem: Problem, tool: Tool, step: Step, known: Mapping[str, Json], lead: str, turns: list[Turn]
) -> Observation:
    return _call(problem, tool, bind(step, known), _goal(problem, step, known), turns, lead)


def _call(
    problem: Problem, tool: Tool, inputs: Mapping[str, Json], goal: str, turns: list[Turn], lead: str = ""
) -> Observation:
    thought = f"{lead}I need {goal}. I will call {tool.spec.name}.{_END}"
    call = Call(name=tool.spec.name, arguments=json.dumps(tool.write(inputs)))
    observation = problem.execute(call)
    turns += (Plan(thought=thought, decision=Decision.CALL), call, observation)
    return observation


def _write_failed_branch(problem: Problem, name: str, step: Step, known: Mapping[str, Json]) -> list[Turn]:
    """A branch that calls a useless tool for a step, as if it served the need; or that gives up ("")."""
    goal = _goal(problem, step, known)
    if not name:
        return [Plan(thought=f"No tool can find {goal}. I give up.{_END}", decision=Decision.GIVE_UP)]
    tool = problem.catalogue.tools[name]
    about = next(str(value) for value in bind(step, known).values() if not isinstance(value, int))
    inputs = {
        own: domain.low if isinstance(domain, Amounts) else about
        for own, domain in tool.served_need.inputs.items()
        if own not in tool.served_need.defaults
    }
    turns: list[Turn] = []
    _call(problem, tool, inputs, goal, turns)
    return turns


def _goal(problem: Problem, step: Step, known: Mapping[str, Json]) -> str:
    return (step.goal or problem.catalogue.needs[step.need].goal).format(**bind(step, known))


def _rename(known: dict[str, Json], old: str, new: str) -> None:
    for name, value in known.items():
        if value == old:
            known[name] = new


def _values(kind: Kind, known: Mapping[str, Json]) -> str:
    return " and ".join(f"{known[part.value]} {find_unit(part, known)}".strip() for part in kind.answer_parts)
