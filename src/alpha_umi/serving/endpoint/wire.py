"""Wire format of requests: the fields that are read, their types and bounds. Other fields are ignored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from alpha_umi.loose_json import decode_json
from alpha_umi.serving.endpoint.errors import invalid
from alpha_umi.types import Json

MOST_CHARACTERS = 16 << 20
MOST_MESSAGES, MOST_TOOLS, MOST_STOPS, MOST_CHOICES = 4096, 1024, 16, 16
DEEPEST = 64
"""Most levels of a request."""
_KINDS = 16
"""Most faults that are looked at: those of all kinds that one field may be of."""
_Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
_Read = TypeVar("_Read", bound=BaseModel)


class Fields(BaseModel):
    """Fields of a request; others are ignored."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)


class JsonSchemaFormat(Fields):
    """The `json_schema` of a response format."""

    name: str | None = None
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")


class ResponseFormat(Fields):
    """Format of the answer."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: JsonSchemaFormat | None = None


class TextFormat(Fields):
    """Format of the answer, as the Responses API has it."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str | None = None
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")


class TextOptions(Fields):
    """Options of the answer's text."""

    format: TextFormat = Field(default_factory=TextFormat)


class StreamOptions(Fields):
    """Options of a stream."""

    include_usage: bool | None = None


class NamedFunction(Fields):
    """Function that must be called."""

    name: _Name


class NamedChoice(Fields):
    """Tool choice that names a function, in either of OpenAI's shapes."""

    type: Literal["function"] = "function"
    function: NamedFunction | None = None
    name: _Name | None = None


class Budgets(Fields):
    """Budgets of a request beyond OpenAI's fields; the server's own bound them."""

    max_steps: int | None = Field(default=None, ge=1)
    max_tool_calls: int | None = Field(default=None, ge=0)
    max_seconds: float | None = Field(default=None, gt=0)


class Approval(Fields):
    """Decision on a call that waits for it."""

    id: _Name
    approve: bool


class ChatRequest(Budgets):
    """Body of `POST /v1/chat/completions`."""

    model: _Name
    messages: list[dict[str, Any]] = Field(min_length=1, max_length=MOST_MESSAGES)
    tools: list[dict[str, Any]] | None = Field(default=None, max_length=MOST_TOOLS)
    tool_choice: Literal["auto", "none", "required"] | NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: str | list[str] | None = Field(default=None, max_length=MOST_STOPS)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    max_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    n: int | None = Field(default=None, ge=1, le=MOST_CHOICES)
    approval: Approval | None = None
    """Decision with which a reply goes on whose status is `requires_action`."""


class RunRequest(Budgets):
    """Body of `POST /runs`: a conversation as turns, as files of trajectories have them."""

    turns: list[dict[str, Any]] = Field(min_length=1, max_length=MOST_MESSAGES)
    """The last one is the user's, or an observation after which the reply goes on."""
    tools: list[dict[str, Any]] | None = Field(default=None, max_length=MOST_TOOLS)
    """Tools that the client runs; null: those of the server."""
    mcp: Annotated[str, StringConstraints(min_length=1, max_length=4096)] | None = None
    """Connected MCP server whose tools are used, in place of the server's own."""
    strategy: Literal["chain", "dfsdt", "dfs"] | None = None
    """Of the search with the server's tools; null: the server's."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)


class McpRequest(Fields):
    """Body of `POST /mcp`."""

    source: str = Field(min_length=1, max_length=4096)
    """A command with its arguments, or an address."""


class ApprovalDecision(Fields):
    """Body of `POST /runs/approvals/{name}`."""

    approve: bool


class ResponsesRequest(Budgets):
    """Body of `POST /v1/responses`."""

    model: _Name
    input: str | list[dict[str, Any]] = Field(max_length=MOST_CHARACTERS)
    instructions: str | None = None
    previous_response_id: _Name | None = None
    store: bool | None = None
    tools: list[dict[str, Any]] | None = Field(default=None, max_length=MOST_TOOLS)
    tool_choice: Literal["auto", "none", "required"] | NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    stream: bool | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_output_tokens: int | None = Field(default=None, ge=1)
    include: list[str] | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    background: bool | None = None
    metadata: dict[str, str] | None = None


def read_body(kind: type[_Read], body: bytes) -> _Read:
    """Read a request of a kind. Raises ApiError naming the field."""
    document = read_document(body)
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        param, said = _fault(error, document)
        raise invalid(f"{param}: {said}" if param else said, param or None) from None


def _fault(error: ValidationError, document: Json) -> tuple[str, str]:
    """Path and message of the first fault; of what may be of several kinds, that of the kind that it is most like."""
    found = error.errors(include_url=False, include_context=False, include_input=False)[:_KINDS]
    told = [(_path(each["loc"], document, is_missing=each["type"] == "missing"), each["msg"]) for each in found]
    path, said = max((each for each in told if each[0][:1] == told[0][0][:1]), key=lambda each: len(each[0]))
    return ".".join(path)[:200], said


def _path(parts: Sequence[int | str], document: Json, *, is_missing: bool) -> tuple[str, ...]:
    """Path of a fault in a document, without the names that pydantic gives the kinds of a union."""
    found, value = list[str](), document
    for place, part in enumerate(parts, start=1):
        if isinstance(value, dict) and part in value:
            value = value[str(part)]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        elif not is_missing or place < len(parts):
            continue
        found.append(str(part))
    return tuple(found)


def read_document(body: bytes) -> dict[str, Json]:
    """Read a JSON object of bounded depth. Raises ApiError."""
    try:
        document = decode_json(body.decode())
    except ValueError:
        raise invalid("the request is no JSON in UTF-8, or too many levels deep", code="invalid_json") from None
    if not isinstance(document, dict):
        raise invalid("the request must be a JSON object", code="invalid_json")
    if not _is_plain(document):
        raise invalid(f"the request is more than {DEEPEST} levels deep, or has half a character", code="invalid_json")
    return document


def _is_plain(value: Json) -> bool:
    """Return True for a value of bounded depth whose texts can be written as UTF-8."""
    level: list[Json] = [value]
    for _ in range(DEEPEST):
        following: list[Json] = []
        for each in level:
            if isinstance(each, dict):
                following += [*each, *each.values()]
            elif isinstance(each, list):
                following += each
            elif isinstance(each, str) and not _is_writable(each):
                return False
        if not following:
            return True
        level = following
    return False


def _is_writable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
