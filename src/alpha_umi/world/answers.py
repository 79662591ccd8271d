"""Writer of trajectories as raw ToolBench answer files."""

from __future__ import annotations

import json

from alpha_umi.types import (
    Answer,
    Call,
    Decision,
    Json,
    Observation,
    Plan,
    StopReason,
    ToolSpec,
    ToolStatus,
    Trajectory,
    User,
)

_SYSTEM = "Use the functions to do what the user asks. End with Finish."
_FINISH: dict[str, Json] = {
    "name": "Finish",
    "description": "Ends the task, with the final answer or by giving up.",
    "parameters": {
        "type": "object",
        "properties": {
            "return_type": {"type": "string", "enum": ["give_answer", "give_up_and_restart"]},
            "final_answer": {"type": "string", "description": "what the user is told"},
        },
        "required": ["return_type"],
    },
}


def answer_document(trajectory: Trajectory) -> dict[str, Json]:
    """Write a trajectory as a ToolBench answer. Read back it gives the same turns, but for the statuses of errors.

    `train_messages` holds one list per completion; the last one is the whole conversation.
    """
    messages, ends = _write_messages(trajectory)
    answered = trajectory.stop is StopReason.ANSWERED
    last = trajectory.final_turn
    usage = trajectory.usage
    return {
        "win": answered,
        "answer_generation": {
            "valid_data": trajectory.stop in (StopReason.ANSWERED, StopReason.GAVE_UP),
            "query_count": len(ends),
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
            "final_answer": _finish(last.text if isinstance(last, Answer) else None),
            "finish_type": "give_answer" if answered else "give_up",
            "function": [*(_write_function(tool) for tool in trajectory.task.tools), _FINISH],
            "chain": [],
            "train_messages": [list(messages[:end]) for end in ends],
            "query": trajectory.task.query,
        },
    }


def _write_function(tool: ToolSpec) -> Json:
    return {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}


def _write_messages(trajectory: Trajectory) -> tuple[list[Json], list[int]]:
    """The conversation, and the numbers of messages after which a completion ends."""
    messages: list[Json] = [{"role": "system", "content": _SYSTEM}]
    ends: list[int] = []
    thought, name = "", ""
    for turn in trajectory.turns:
        match turn:
            case User(text=text):
                messages.append({"role": "user", "content": text})
            case Plan(thought=text, decision=Decision.GIVE_UP):
                messages.append(_say(text, "Finish", _finish(None)))
            case Plan(thought=text):
                thought = text
                continue
            case Call(name=name, arguments=arguments):
                messages.append(_say(thought, name, arguments))
            case Observation():
                messages.append({"role": "function", "name": name, "content": _write_observation(turn)})
            case Answer(text=text):
                messages.append(_say(thought, "Finish", _finish(text)))
        if not isinstance(turn, (User, Observation)):
            ends.append(len(messages))
    return messages, ends


def _say(thought: str, name: str, arguments: str) -> Json:
    return {
        "role": "assistant",
        "content": thought.strip() or None,
        "function_call": {"name": name, "arguments": arguments},
    }


def _write_observation(observation: Observation) -> str:
    fine = observation.status is ToolStatus.OK
    error, response = ("", observation.content) if fine else (observation.content, "")
    return json.dumps({"error": error, "response": response})


def _finish(text: str | None) -> str:
    if text is None:
        return json.dumps({"return_type": "give_up_and_restart"})
    return json.dumps({"return_type": "give_answer", "final_answer": text})
