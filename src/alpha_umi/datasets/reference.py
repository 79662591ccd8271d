"""Reference implementation of the published ToolBench preparation, mistakes included: two stages, four role files.

Kept apart from the correct reading (`toolbench`) so that neither constrains the other. `published_stage_1` and
`published_stage_2` follow the two raw stages, `published_examples` the four role files. Where the published code
crashes, these return or yield a `Skip` that says so, and go on. Prompts come from the format alone; for equality with
the published bytes it must fill its templates as they do (`Filling.CHAINED`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from alpha_umi.datasets.processed import read_processed, verbatim_entries, write_conversations
from alpha_umi.datasets.toolbench import (
    DESCRIPTION_LENGTH,
    HALLUCINATED,
    NAME_LENGTH,
    Skip,
    find_generation,
)
from alpha_umi.errors import FormatError
from alpha_umi.formats.documents import write_document
from alpha_umi.formats.marks import Marks, write_call
from alpha_umi.protocols import Format
from alpha_umi.types import Answer, Call, Decision, Json, Plan, Prompt, Role, Trajectory, Turn

COMPAT = "alpha-umi"
"""Metadata value under `reading` of trajectories that were prepared as published."""

_CRASHES = (KeyError, IndexError, TypeError, AttributeError)
_MARKS = Marks()
_FINAL_ANSWER = '"final_answer": '
_RESPONSE = '"response":'
_CRASHED = "the published preparation stops here"


# --- raw answers --------------------------------------------------------------------------------------


def read_published_row(row: Json, task_id: str, metadata: Mapping[str, Json] | None = None) -> Trajectory:
    """Read a stage-2 row as a trajectory marked as prepared as published."""
    return read_processed(row, task_id, {"source": "toolbench", "reading": COMPAT, **(metadata or {})})


def published_stage_1(document: Json) -> dict[str, Json] | Skip:
    """Build the stage-1 row `{tools, instruction, chains}` of an answer file."""
    found = find_generation(document)
    if isinstance(found, Skip):
        return found
    generation = cast("dict[str, Any]", found)
    try:
        tools = [_stage_1_tool(function) for function in generation["function"] if function["name"] != "Finish"]
        chain = generation["train_messages"][-1]
        return {"tools": cast("Json", tools), "instruction": generation["query"], "chains": chain}
    except _CRASHES as error:
        return _crash("stage 1", error)


def _stage_1_tool(function: dict[str, Any]) -> dict[str, Json]:
    return {
        "Name": function["name"][-NAME_LENGTH:],
        "function": function["description"][:DESCRIPTION_LENGTH],
        "input": {name: _stage_1_argument(value) for name, value in function["parameters"]["properties"].items()},
    }


def _stage_1_argument(value: dict[str, Any]) -> Json:
    # Published: the last characters of a description, not the first.
    return (
        value["type"] + ", " + value["description"][-DESCRIPTION_LENGTH:] if "description" in value else value["type"]
    )


def published_stage_2(row: Mapping[str, Json]) -> dict[str, Json] | Skip:
    """Build the stage-2 row `{tools, instruction, conversations}` of a stage-1 row."""
    conversations: list[Json] = [_entry("user", row["instruction"])]
    try:
        for message in cast("list[dict[str, Any]]", row["chains"])[2:]:
            match message["role"]:
                case "assistant":
                    conversations.extend(_stage_2_plan(message))
                case "user":
                    conversations.append(_entry("user", message["content"]))
                case "function":
                    conversations.append(_entry("observation", _stage_2_observation(message["content"])))
                case _:
                    pass
    except _CRASHES as error:
        return _crash("stage 2", error)
    return {"tools": row["tools"], "instruction": row["instruction"], "conversations": conversations}


def _stage_2_plan(message: dict[str, Any]) -> Iterator[Json]:
    content = message["content"]
    thought = "" if content is None else content + "\n"
    if "function_call" not in message:
        return
    function_call = message["function_call"]
    if function_call["name"] != "Finish":
        call = "Action: " + function_call["name"] + "\nAction Input: " + function_call["arguments"]
        yield _entry("assistant", f"{thought} {_MARKS.decisions[Decision.CALL]}")
        yield _entry("caller", call)
        return
    decision, answer = _stage_2_finish(function_call["arguments"], content)
    yield _entry("assistant", f"{thought} {_MARKS.decisions[decision]}")
    if decision is Decision.CONCLUDE:
        yield _entry("conclusion", answer)


def _stage_2_finish(arguments: Any, content: Json) -> tuple[Decision, Json]:
    try:
        said = arguments if isinstance(arguments, dict) else json.loads(arguments)
        if said["return_type"] == "give_up_and_restart":
            return Decision.GIVE_UP, None
        return Decision.CONCLUDE, said.get("final_answer", "none")
    except (*_CRASHES, ValueError, RecursionError):
        text = cast("str", arguments)
        if "give_up_and_restart" in text:
            return Decision.GIVE_UP, None
        at = text.find(_FINAL_ANSWER)
        if at >= 0:
            return Decision.CONCLUDE, text[at + len(_FINAL_ANSWER) :].strip().strip("}").strip('"')
        return Decision.CONCLUDE, "none" if content is None else content


def _stage_2_observation(content: Any) -> Json:
    record: Any = content
    try:
        record = json.loads(content)
        return record["response"]
    except (*_CRASHES, ValueError, RecursionError):
        # Raises for any JSON value that is no text: so does the published code.
        at = record.find(_RESPONSE)
        return record[at + len(_RESPONSE) :] if at >= 0 else ""


def _entry(role: str, value: Json) -> dict[str, Json]:
    return {"from": role, "value": value}


def _crash(where: str, error: Exception) -> Skip:
    return Skip(reason=f"{_CRASHED} ({where}): {type(error).__name__}: {error}")


# --- role files ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Dialogue:
    """A trajectory with its entries, on which the published code operates."""

    trajectory: Trajectory
    entries: Sequence[Mapping[str, Json]]
    tools: Json

    @classmethod
    def of(cls, trajectory: Trajectory) -> _Dialogue:
        tools = [write_document(tool) for tool in trajectory.task.tools]
        return cls(trajectory, write_conversations(trajectory), cast("Json", tools))

    @property
    def turns(self) -> Sequence[Turn]:
        return self.trajectory.turns

    def following(self, at: int) -> Turn | None:
        return self.turns[at + 1] if at + 1 < len(self.turns) else None

    def row(self, at: int, prompt: Prompt, target: str) -> dict[str, Json]:
        history = [dict(entry) for entry in self.entries[:at]]
        return {"tools": self.tools, "history": cast("Json", history), "input": cast("str", prompt), "target": target}

    def skip(self, at: int, why: str) -> Skip:
        return Skip(reason=why, where=f"{self.trajectory.task.id}: turn {at}")

    def crash(self, at: int, why: str) -> Skip:
        return self.skip(at, f"{_CRASHED}: {why}")


def published_examples(
    trajectories: Iterable[Trajectory],
    role: Role,
    format: Format,  # noqa: A002
) -> Iterator[dict[str, Json] | Skip]:
    """Rows `{tools, history, input, target}` as the published script for `role` writes them.

    A dialogue with an entry that is no text yields one Skip; a turn at which the published script crashes
    yields one, too, and its dialogue goes on as if that turn were no target.
    """
    rows = _rows_of(role, format)
    for trajectory in trajectories:
        dialogue = _Dialogue.of(trajectory)
        odd = next((at for at, entry in enumerate(dialogue.entries) if not isinstance(entry.get("value"), str)), None)
        if odd is None or odd not in verbatim_entries(trajectory):
            yield from rows(dialogue)
        else:
            kind = type(dialogue.entries[odd]["value"]).__name__
            yield dialogue.crash(odd, f"its value is no text but {kind}; the dialogue is left out")


_Rows = Callable[["_Dialogue"], "Iterator[dict[str, Json] | Skip]"]


def _rows_of(role: Role, format: Format) -> _Rows:  # noqa: A002
    match role:
        case Role.BACKBONE:
            return _BackboneRows(format)
        case Role.PLANNER:
            return lambda dialogue: _planner_rows(dialogue, format)
        case Role.CALLER:
            return lambda dialogue: _caller_rows(dialogue, format)
        case Role.SUMMARIZER:
            return lambda dialogue: _summarizer_rows(dialogue, format)
        case _:
            raise FormatError(f"the published preparation has no {role.value}")


def _planner_rows(dialogue: _Dialogue, format: Format) -> Iterator[dict[str, Json] | Skip]:  # noqa: A002
    for at, plan in enumerate(dialogue.turns):
        if not isinstance(plan, Plan):
            continue
        following = dialogue.following(at)
        if not _says_give_up(plan):
            if following is None:
                yield dialogue.crash(at, "a plan that does not give up is the last turn")
            if not isinstance(following, Call | Answer):
                continue
        if not _is_hallucinated(following):
            prompt = format.render(Role.PLANNER, dialogue.trajectory.task, dialogue.turns[:at])
            yield dialogue.row(at, prompt, _MARKS.write_plan(plan))


def _caller_rows(dialogue: _Dialogue, format: Format) -> Iterator[dict[str, Json] | Skip]:  # noqa: A002
    history: list[Turn] = []
    for at, turn in enumerate(dialogue.turns):
        if isinstance(turn, Call):
            if _is_hallucinated(turn):
                continue
            if at and isinstance(dialogue.turns[at - 1], Plan):
                prompt = format.render(Role.CALLER, dialogue.trajectory.task, history)
                yield dialogue.row(at, prompt, write_call(turn))
            else:
                why = "a call without a plan before it, which the published preparation gives"
                yield dialogue.skip(at, f"{why} the turn before it for a thought")
        history.append(turn)


def _summarizer_rows(dialogue: _Dialogue, format: Format) -> Iterator[dict[str, Json] | Skip]:  # noqa: A002
    history: list[Turn] = []
    for at, turn in enumerate(dialogue.turns):
        if isinstance(turn, Answer):
            if turn.text == "none":
                continue
            prompt = format.render(Role.SUMMARIZER, dialogue.trajectory.task, history)
            yield dialogue.row(at, prompt, turn.text)
        history.append(turn)


class _BackboneRows:
    """Rows of the backbone's script, which pairs give-ups with the last prompt, even of an earlier dialogue."""

    def __init__(self, format: Format) -> None:  # noqa: A002
        self._format = format
        self._stale: Prompt | None = None

    def __call__(self, dialogue: _Dialogue) -> Iterator[dict[str, Json] | Skip]:
        history: list[Turn] = []
        for at, turn in enumerate(dialogue.turns):
            if isinstance(turn, Plan):
                yield from self._row(dialogue, at, turn, history)
            elif isinstance(turn, Call | Answer) and not (at and isinstance(dialogue.turns[at - 1], Plan)):
                continue
            history.append(turn)

    def _row(
        self, dialogue: _Dialogue, at: int, plan: Plan, history: Sequence[Turn]
    ) -> Iterator[dict[str, Json] | Skip]:
        following = dialogue.following(at)
        if _says_give_up(plan):
            if self._stale is None:
                yield dialogue.crash(at, "the first plan of all gives up, before there is any prompt to pair it with")
            else:
                yield dialogue.row(at, self._stale, self._format.write(Role.BACKBONE, (plan,)))
        elif following is None:
            yield dialogue.crash(at, "a plan that does not give up is the last turn")
        elif isinstance(following, Call | Answer):
            self._stale = self._format.render(Role.BACKBONE, dialogue.trajectory.task, history)
            yield dialogue.row(at, self._stale, self._format.write(Role.BACKBONE, (plan, following)))


def _says_give_up(plan: Plan) -> bool:
    return _MARKS.decisions[Decision.GIVE_UP] in _MARKS.write_plan(plan)


def _is_hallucinated(turn: Turn | None) -> bool:
    return isinstance(turn, Call) and HALLUCINATED in write_call(turn)
