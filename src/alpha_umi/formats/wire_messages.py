"""Chat messages in OpenAI's wire format, read as the turns of a trajectory; tools of its requests as tool specs.

An assistant's message with calls is a plan and its calls: its text, or else its reasoning, is the thought. One without
calls is a plan that concludes, and the answer. Each call is followed by its own observation, in whichever order the
tools' messages stand. System and developer messages are no turns. Calls and observations that smolagents writes as
text are read as what they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from alpha_umi.errors import FormatError
from alpha_umi.formats.dialects.objects import write_arguments
from alpha_umi.loose_json import read_loosely
from alpha_umi.types import (
    Answer,
    Call,
    Decision,
    Json,
    Observation,
    Plan,
    ToolSpec,
    ToolStatus,
    Turn,
    User,
)

INSTRUCTORS = ("system", "developer")
ROLES = (*INSTRUCTORS, "user", "assistant", "tool", "function")
_TEXTS = ("text", "input_text", "output_text", "refusal")
_REASONING = ("reasoning_content", "reasoning")
_CALLING, _OBSERVATION, _ERROR, _CALL_ID, _TASK = (
    "Calling tools:\n",
    "Observation:\n",
    "Error:\n",
    "Call id: ",
    "New task:\n",
)
"""Words of smolagents before calls, observations, errors and the task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Messages as turns, with what turns do not hold."""

    turns: tuple[Turn, ...]
    instructions: str = ""
    """Texts of system and developer messages, in paragraphs."""
    call_ids: tuple[str, ...] = ()
    """Id of every call in `turns`, in order; empty where a message gave none."""


def read_messages(messages: Sequence[Json]) -> Conversation:
    """Read messages. Raises FormatError naming the message that is of another shape, or answers no call."""
    reader = _Reader()
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        reader.read(_object(message, where), where)
    return reader.conversation()


def read_tools(tools: Sequence[Json]) -> tuple[ToolSpec, ...]:
    """Read the tools of a request, in either of OpenAI's shapes. Raises FormatError naming one that is no function."""
    read: dict[str, ToolSpec] = {}
    for number, each in enumerate(tools):
        where = f"tools[{number}]"
        tool = _object(each, where)
        if tool.get("type", "function") != "function":
            raise FormatError(f"{where}.type: only functions can be called here")
        function = _object(tool.get("function", tool), f"{where}.function")
        name = _text_of(function, "name", where)
        if not name:
            raise FormatError(f"{where}.name: a function needs a name")
        if name in read:
            raise FormatError(f"{where}.name: two tools have this name")
        parameters = function.get("parameters")
        read[name] = ToolSpec(
            name=name,
            description=_text_of(function, "description", where),
            parameters={} if parameters is None else _object(parameters, f"{where}.parameters"),
        )
    return tuple(read.values())


def content_text(content: Json, where: str) -> str:
    """Text of a message's content: a text, parts of text, or none. Raises FormatError for other parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise FormatError(f"{where}: a text, or a list of parts, is needed")
    texts: list[str] = []
    for number, part in enumerate(content):
        at = f"{where}[{number}]"
        if isinstance(part, str):
            texts.append(part)
            continue
        fields = _object(part, at)
        kind = fields.get("type", "text")
        if kind not in _TEXTS:
            raise FormatError(f"{at}.type: only parts of text can be read here")
        texts.append(_text_of(fields, "refusal" if kind == "refusal" else "text", at))
    return "".join(texts)


# --- messages ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Asked:
    """Call that waits for its observation."""

    id: str
    call: Call
    observation: Observation | None = None


@dataclass(slots=True)
class _Reader:
    entries: list[Turn | _Asked] = field(default_factory=list["Turn | _Asked"])
    instructions: list[str] = field(default_factory=list[str])
    open: list[_Asked] = field(default_factory=list[_Asked])
    """Calls of the last message that have no observation yet."""
    as_text: bool = False
    """True: the open calls were written as text."""
    thought: str | None = None
    """An assistant's text that may be an answer, or the thought of the message after it."""
    reasoning: str = ""

    def read(self, message: Mapping[str, Json], where: str) -> None:
        role = message.get("role")
        if role not in ROLES:
            raise FormatError(f"{where}.role: one of {', '.join(ROLES)} is needed")
        text = content_text(message.get("content"), f"{where}.content")
        match role:
            case "system" | "developer":
                if text:
                    self.instructions.append(text)
            case "user":
                self.user(text, where)
            case "assistant":
                self.assistant(message, text, where)
            case _:
                self.tool(message, text, where)

    def conversation(self) -> Conversation:
        self.end_answer()
        turns: list[Turn] = []
        ids: list[str] = []
        for entry in self.entries:
            if isinstance(entry, _Asked):
                turns += [entry.call, *([] if entry.observation is None else [entry.observation])]
                ids.append(entry.id)
            else:
                turns.append(entry)
        return Conversation(turns=tuple(turns), instructions="\n\n".join(self.instructions), call_ids=tuple(ids))

    def user(self, text: str, where: str) -> None:
        if self.as_text and self.open and (seen := _read_observation(text)) is not None:
            self.open.pop(0).observation = seen
            return
        if self.open:
            raise FormatError(f"{where}: the calls before it need an answer each, by messages of the role tool")
        self.end_answer()
        self.entries.append(User(text=text.removeprefix(_TASK)))

    def assistant(self, message: Mapping[str, Json], text: str, where: str) -> None:
        if self.open:
            raise FormatError(f"{where}: the calls before it need an answer each, by messages of the role tool")
        asked = _read_calls(message, where)
        self.as_text = not asked
        if not asked:
            text, asked = _calls_in(text)
        text = text or _text_of(message, "refusal", where)
        reasoning = next((found for key in _REASONING if (found := _text_of(message, key, where))), "")
        if not asked:
            self.end_answer()
            self.thought, self.reasoning = text, reasoning
            return
        before = self.thought or ""
        thought = "\n".join(part for part in (before, text) if part) or reasoning
        self.thought, self.reasoning = None, ""
        self.entries += [Plan(thought=thought, decision=Decision.CALL), *asked]
        self.open = list(asked)

    def tool(self, message: Mapping[str, Json], text: str, where: str) -> None:
        given = _text_of(message, "tool_call_id", where)
        name = _text_of(message, "name", where)
        for asked in self.open:
            if asked.id == given if given else name in ("", asked.call.name):
                self.open.remove(asked)
                asked.observation = Observation(content=text)
                return
        raise FormatError(f"{where}.tool_call_id: it is the id of no call of the message before that has no answer yet")

    def end_answer(self) -> None:
        """Take an assistant's text for an answer, as no call follows it."""
        if self.thought is not None:
            self.entries += [Plan(thought=self.reasoning, decision=Decision.CONCLUDE), Answer(text=self.thought)]
        self.thought, self.reasoning = None, ""


def _read_calls(message: Mapping[str, Json], where: str) -> list[_Asked]:
    found = message.get("tool_calls")
    if found is None and message.get("function_call") is not None:
        found = [{"function": message["function_call"]}]
    if found is None:
        return []
    if not isinstance(found, list):
        raise FormatError(f"{where}.tool_calls: a list is needed")
    return [_read_call(entry, f"{where}.tool_calls[{number}]") for number, entry in enumerate(found)]


def _read_call(entry: Json, where: str) -> _Asked:
    call = _object(entry, where)
    function = _object(call.get("function"), f"{where}.function")
    name = _text_of(function, "name", f"{where}.function")
    arguments = _text_of(function, "arguments", f"{where}.function")
    return _Asked(_text_of(call, "id", where), Call(name=name, arguments=arguments))


# --- smolagents' text -------------------------------------------------------------------------------------


def _calls_in(text: str) -> tuple[str, list[_Asked]]:
    """The thought and the calls of a text; no calls, and all of the text, where it holds none."""
    thought, mark, written = text.rpartition(_CALLING)
    if not mark:
        return text, []
    try:
        entries = read_loosely(written.strip()).value
        asked = [_text_call(entry) for entry in entries] if isinstance(entries, list) else []
    except (ValueError, FormatError):
        return text, []
    return (thought.rstrip(), asked) if asked else (text, [])


def _text_call(entry: Json) -> _Asked:
    call = _object(entry, "")
    function = _object(call.get("function"), "")
    name, given = _text_of(function, "name", ""), function.get("arguments")
    return _Asked(_text_of(call, "id", ""), Call(name=name, arguments=write_arguments(given)))


def _read_observation(text: str) -> Observation | None:
    if text.startswith(_OBSERVATION):
        return Observation(content=text.removeprefix(_OBSERVATION))
    head, mark, error = text.partition(_ERROR)
    if mark and (not head or head.startswith(_CALL_ID)):
        return Observation(content=error, status=ToolStatus.ERROR)
    return None


# --- shapes -----------------------------------------------------------------------------------------------


def _object(value: Json, where: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise FormatError(f"{where}: an object is needed")
    return value


def _text_of(fields: Mapping[str, Json], key: str, where: str) -> str:
    """Text of a field that may be missing or null."""
    value = fields.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise FormatError(f"{where}.{key}: a text is needed")
    return value
