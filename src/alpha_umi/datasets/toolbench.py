"""Codec of raw ToolBench answers to and from trajectories: the correct reading, which drops nothing.

An answer file records a whole search; the trajectory is the last list of its `train_messages`. Thoughts keep
the separator that the published data writes before a decision (`"\\n "`), so that trajectories from raw and
from processed files look alike to a format. Law: `read_answer(write_answer(t), id)` has the turns of `t`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, cast

from alpha_umi.datasets.processed import as_text, read_entry, stop_reason, write_entry
from alpha_umi.errors import DataError
from alpha_umi.formats.finish import gives_up, read_finish_object
from alpha_umi.formats.recorded import (
    Exchange,
    RecordedCall,
    is_finish,
    read_content,
    read_exchanges,
    read_function,
)
from alpha_umi.types import (
    Answer,
    Call,
    Decision,
    Json,
    Observation,
    Plan,
    StopReason,
    Task,
    ToolSpec,
    ToolStatus,
    Trajectory,
    Turn,
    User,
)

HALLUCINATED = "invalid_hallucination_function_name"
"""The name under which ToolBench records a call to a tool that was not offered."""
NAME_LENGTH, DESCRIPTION_LENGTH = 64, 256

_FINISH = "Finish"
_DECIDED, _UNDECIDED = "\n ", "\n"
_OWN = "alpha_umi"
_RECORD = re.compile(r'\s*\{\s*"(error|response)"\s*:\s*')
_NEXT_MEMBER = re.compile(r'\s*,\s*"(error|response)"\s*:\s*')
_CUT_ANSWER = re.compile(r"""["']final_answer["']\s*:\s*(?P<quote>["']?)(?P<text>.*)""", re.DOTALL)
_WHOLE = re.compile(r'(?:[^"\\]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*')
_HALF_CHARACTERS = re.compile("[\ud800-\udfff]")
_CUT_MARK = "..."
_GIVES_UP = re.compile(r"""give_up_and_restart|["']return_type["']\s*:\s*["']?give_up""")


class Reading(NamedTuple):
    """Trajectory of one answer, with counts of its deviations from the published reading."""

    trajectory: Trajectory
    deviations: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """Part of the input that is left out, with the reason."""

    reason: str
    where: str = ""
    """Task and turn; empty for a whole answer."""


# --- reading ------------------------------------------------------------------------------------------


def read_answer(document: Json, task_id: str, metadata: Mapping[str, Json] | None = None) -> Reading | Skip:
    """Read the trajectory of one answer file. Mistakes of a model or a tool stay in its turns."""
    found = find_generation(document)
    if isinstance(found, Skip):
        return found
    deviations: Counter[str] = Counter()
    messages = found["train_messages"]
    last = messages[-1] if isinstance(messages, list) and messages else None
    if not isinstance(last, list):
        return Skip(reason="train_messages holds no list of messages")
    query = as_text(found.get("query", ""))
    turns: list[Turn] = [User(text=query)]
    for exchange in read_exchanges(_after_query(last)):
        turns.extend(_read_exchange(exchange, deviations))
    tools = tuple(_read_tools(found.get("function"), deviations))
    offered = {tool.name for tool in tools}
    deviations["hallucinated_calls_kept"] += sum(isinstance(turn, Call) and turn.name not in offered for turn in turns)
    task = Task(id=task_id, query=query, tools=tools, metadata={"source": "toolbench", **(metadata or {})})
    trajectory = Trajectory(task=task, turns=tuple(turns), stop=stop_reason(turns))
    return Reading(trajectory=trajectory, deviations={name: count for name, count in deviations.items() if count})


def find_generation(document: Json) -> dict[str, Json] | Skip:
    """Return the part of an answer file that holds the messages."""
    if not isinstance(document, dict) or "answer_generation" not in document:
        return Skip(reason="no answer_generation")
    generation = document["answer_generation"]
    if not isinstance(generation, dict) or "train_messages" not in generation:
        return Skip(reason="no train_messages")
    return generation


def _after_query(messages: Sequence[Json]) -> Sequence[Json]:
    """Messages after the system message and the query; some collections record no system message."""
    at = 0
    while at < len(messages) and _says(messages[at], "system"):
        at += 1
    return messages[at + 1 :] if at < len(messages) and _says(messages[at], "user") else messages[at:]


def _says(message: Json, role: str) -> bool:
    return isinstance(message, dict) and message.get("role") == role


def _read_tools(functions: Json, deviations: Counter[str]) -> Iterator[ToolSpec]:
    for tool in functions if isinstance(functions, list) else []:
        function = read_function(tool)
        name = function.get("name") if function else None
        if not function or not isinstance(name, str) or name == _FINISH:
            continue
        declared = function.get("parameters")
        parameters = dict(declared) if isinstance(declared, dict) else {}
        properties = parameters.get("properties")
        arguments = properties if isinstance(properties, dict) else {}
        parameters["properties"] = {key: _read_argument(schema, deviations) for key, schema in arguments.items()}
        yield ToolSpec(
            name=name[-NAME_LENGTH:],
            description=as_text(function.get("description", ""))[:DESCRIPTION_LENGTH],
            parameters={"type": "object", **parameters},
        )


def _read_argument(schema: Json, deviations: Counter[str]) -> dict[str, Json]:
    if not isinstance(schema, dict):
        return {}
    description = schema.get("description")
    deviations["arguments_without_type_read"] += "type" not in schema
    if not isinstance(description, str) or len(description) <= DESCRIPTION_LENGTH:
        return schema
    deviations["argument_descriptions_cut_at_the_end"] += 1
    return {**schema, "description": description[:DESCRIPTION_LENGTH]}


def _read_exchange(exchange: Exchange, deviations: Counter[str]) -> Iterator[Turn]:
    """Read the turns of a message and its responses; further calls of one message have plans without a thought."""
    message, content = exchange.message, exchange.message.get("content")
    own, answered = message.get(_OWN), list(exchange.answered)
    if isinstance(own, list):
        yield from _read_own(own)
        for _, response in answered:
            if response is not None:
                yield from _read_response(response, deviations)
        answered = []
    elif message.get("role") == "user":
        yield User(text=read_content(content))
    elif message.get("role") == "assistant" and not answered:
        deviations["plans_without_call_kept"] += 1
        yield Plan(thought=read_content(content) + _UNDECIDED, decision=Decision.NONE)
    deviations["parallel_calls_kept"] += max(len(answered) - 1, 0)
    for call, response in sorted(answered, key=lambda pair: is_finish(pair[0])):
        yield from _read_call(content, call, deviations)
        content = None
        if response is not None:
            yield from _read_response(response, deviations)
    for response in exchange.others:
        yield from _read_response(response, deviations)


def _read_call(content: Json, call: RecordedCall, deviations: Counter[str]) -> Sequence[Turn]:
    text = read_content(content)
    thought = " " if content is None else text + _DECIDED
    if not is_finish(call):
        said = Call(name=as_text(call.name), arguments=as_text(call.arguments))
        return Plan(thought=thought, decision=Decision.CALL), said
    answer = _read_finish(call.arguments, text, deviations)
    if answer is None:
        return (Plan(thought=thought, decision=Decision.GIVE_UP),)
    return Plan(thought=thought, decision=Decision.CONCLUDE), Answer(text=answer)


def _read_finish(arguments: Json, content: str, deviations: Counter[str]) -> str | None:
    """Read the final answer; None where the agent gave up. Arguments cut short are decoded as far as they go."""
    said = read_finish_object(arguments) if isinstance(arguments, str) else arguments
    if isinstance(said, dict):
        if gives_up(as_text(said.get("return_type", ""))):
            return None
        answer = said.get("final_answer")
        deviations["finish_without_answer_not_learned"] += answer is None
        return "" if answer is None else as_text(answer)
    deviations["broken_finish_decoded"] += 1
    text = as_text(arguments)
    if _GIVES_UP.search(text):
        return None
    found = _CUT_ANSWER.search(text)
    if found is None:
        return content if content.strip() or not isinstance(said, str) else said
    return _unescape(found["text"].rstrip().rstrip("}").rstrip().removesuffix(found["quote"] or '"'))


def _read_response(message: Mapping[str, Json], deviations: Counter[str]) -> Sequence[Turn]:
    own = message.get(_OWN)
    return _read_own(own) if isinstance(own, list) else (read_observation(message.get("content"), deviations),)


def read_observation(content: Json, deviations: Counter[str]) -> Observation:
    text = read_content(content)
    record = _decode(text)
    if isinstance(record, dict) and ("response" in record or "error" in record):
        return _join(record.get("error"), record.get("response"), deviations)
    cut = {} if isinstance(record, dict) else _read_cut_record(text)
    if cut:
        deviations["cut_observations_decoded"] += 1
        return _join(cut.get("error"), cut.get("response"), deviations)
    deviations["plain_observations_kept"] += bool(text)
    return Observation(content=text)


def _read_cut_record(text: str) -> dict[str, Json]:
    """Read error and response of a record that was cut somewhere; of the value that was cut what is left."""
    record: dict[str, Json] = {}
    member = _RECORD.match(text)
    while member:
        at = member.end()
        try:
            record[member[1]], end = json.JSONDecoder(strict=False).raw_decode(text, at)
        except (ValueError, RecursionError):
            record[member[1]] = _unescape(text[at + 1 :]) if text[at : at + 1] == '"' else text[at:]
            break
        member = _NEXT_MEMBER.match(text, end)
    return record


def _join(error: Json, response: Json, deviations: Counter[str]) -> Observation:
    answered = "" if response is None else as_text(response)
    if not error:
        return Observation(content=answered)
    deviations["error_text_kept"] += 1
    content = f"{as_text(error)} {answered}" if answered else as_text(error)
    return Observation(content=content, status=ToolStatus.ERROR)


def _decode(text: str) -> Json:
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def _unescape(text: str) -> str:
    """Decode a JSON string that was cut, without an escape cut in two; text that is no such string stays as it is."""
    whole = _WHOLE.match(text)
    start = whole[0] if whole else ""
    rest = text[len(start) :]
    plain = _decode(f'"{start}"')
    if not isinstance(plain, str) or (rest.startswith('"') and rest.strip('"} \n')):
        return text
    return _HALF_CHARACTERS.sub("", plain) + (_CUT_MARK if rest.endswith(_CUT_MARK) else "")


# --- writing ------------------------------------------------------------------------------------------


def write_answer(trajectory: Trajectory) -> dict[str, Json]:
    """Write the raw answer document of a trajectory, as ToolBench's search records a chain.

    Turns that the raw shape cannot hold are written beside their message under a key of our own. Raises
    DataError when the first turn is not the task's query.
    """
    task, turns = trajectory.task, trajectory.turns
    if not turns or turns[0] != User(text=task.query):
        raise DataError(f"{task.id}: a raw answer starts with the query; the first turn is something else")
    messages: list[Json] = [{"role": "system", "content": ""}, {"role": "user", "content": task.query}]
    rest = list(turns[1:])
    while rest:
        said, message = _write_message(rest)
        if [turn for each in read_exchanges([message]) for turn in _read_exchange(each, Counter())] != said:
            message[_OWN] = [_write_own(turn) for turn in said]
        messages.append(message)
        rest = rest[len(said) :]
    stop = stop_reason(turns)
    answered, gave_up = stop is StopReason.ANSWERED, stop is StopReason.GAVE_UP
    return {
        "win": answered,
        "answer_generation": {
            "valid_data": answered or gave_up,
            "query_count": sum(isinstance(turn, Plan) for turn in turns),
            "total_tokens": trajectory.usage.prompt_tokens + trajectory.usage.completion_tokens,
            "final_answer": _finish_arguments(turns[-1]) if answered or gave_up else "",
            "finish_type": "give_up" if gave_up else "give_answer" if answered else "",
            "function": [_write_tool(tool) for tool in task.tools],
            "chain": [],
            "train_messages": [messages],
            "query": task.query,
        },
    }


def _write_message(turns: Sequence[Turn]) -> tuple[list[Turn], dict[str, Json]]:
    """Write the next message, and return the turns that it holds."""
    match turns:
        case [Plan(decision=Decision.CALL) as plan, Call(name=name, arguments=arguments) as call, *_]:
            return [plan, call], _assistant(plan, {"name": name, "arguments": arguments})
        case [Plan(decision=Decision.CONCLUDE) as plan, Answer() as answer, *_]:
            return [plan, answer], _assistant(plan, {"name": _FINISH, "arguments": _finish_arguments(answer)})
        case [Plan(decision=Decision.GIVE_UP) as plan, *_]:
            return [plan], _assistant(plan, {"name": _FINISH, "arguments": _finish_arguments(plan)})
        case [Plan() as plan, *_]:
            return [plan], _assistant(plan, None)
        case [Observation(content=content, status=status) as seen, *_]:
            failed = status is not ToolStatus.OK
            record = {"error": content if failed else "", "response": "" if failed else content}
            return [seen], {"role": "function", "content": json.dumps(record)}
        case [User(text=text) as user, *_]:
            return [user], {"role": "user", "content": text}
        case [turn, *_]:
            return [turn], {"role": "assistant", "content": write_entry(turn)["value"]}
        case _:
            raise AssertionError("there is a turn left")


def _assistant(plan: Plan, function_call: dict[str, Json] | None) -> dict[str, Json]:
    separator = _DECIDED if function_call else _UNDECIDED
    content = None if function_call and plan.thought == " " else plan.thought.removesuffix(separator)
    message: dict[str, Json] = {"role": "assistant", "content": content}
    return {**message, "function_call": function_call} if function_call else message


def _finish_arguments(turn: Turn) -> str:
    if isinstance(turn, Answer):
        return json.dumps({"return_type": "give_answer", "final_answer": turn.text})
    return json.dumps({"return_type": "give_up_and_restart"})


def _write_tool(tool: ToolSpec) -> dict[str, Json]:
    parameters: dict[str, Json] = {"type": "object", "properties": {}, **tool.parameters}
    return {"name": tool.name, "description": tool.description, "parameters": parameters}


def _write_own(turn: Turn) -> Json:
    match turn:
        case Plan(thought=thought, decision=decision):
            return {"from": "assistant", "thought": thought, "decision": decision.value}
        case Call(name=name, arguments=arguments):
            return {"from": "caller", "name": name, "arguments": arguments}
        case Observation(content=content, status=status):
            return {"from": "observation", "value": content, "status": status.value}
        case _:
            return write_entry(turn)


def _read_own(entries: Sequence[Json]) -> Sequence[Turn]:
    turns: list[Turn] = []
    for entry in cast("Sequence[dict[str, str]]", entries):
        match entry:
            case {"from": "assistant", "thought": thought, "decision": decision}:
                turns.append(Plan(thought=thought, decision=Decision(decision)))
            case {"from": "caller", "name": name, "arguments": arguments}:
                turns.append(Call(name=name, arguments=arguments))
            case {"from": "observation", "value": content, "status": status}:
                turns.append(Observation(content=content, status=ToolStatus(status)))
            case {"from": role, "value": text} if turn := read_entry(role, text):
                turns.append(turn)
            case _:
                raise DataError(f"a message holds an unknown turn under {_OWN!r}: {entry!r}")
    return turns
