"""Requests in the terms of an agent: which model, what conversation, which tools run where, and the settings."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from alpha_umi.agent import MultiAgent, undrafted
from alpha_umi.errors import AlphaUMiError, DataError
from alpha_umi.formats.answers import ANY_OBJECT, answer_grammar
from alpha_umi.formats.messages import ReadMessages, read_messages
from alpha_umi.formats.smolagents import with_calls
from alpha_umi.formats.tool_lists import read_tools
from alpha_umi.protocols import Agent
from alpha_umi.search import Chain, Limits
from alpha_umi.search.names import Named
from alpha_umi.serving.endpoint.errors import ApiError, invalid, unsupported
from alpha_umi.serving.endpoint.events import ApprovalAsked, Called, Event
from alpha_umi.serving.endpoint.meters import RequestMeter, Settings
from alpha_umi.serving.endpoint.replying import AgentRequest, ServerTools, text_argument
from alpha_umi.serving.endpoint.served import RoleAgent, ServedAgent, check_length, check_turns, turns_for
from alpha_umi.serving.endpoint.spans import TracedEnvironment
from alpha_umi.serving.endpoint.state import State
from alpha_umi.serving.endpoint.steering import SteeredAgent, ToolChoice
from alpha_umi.serving.endpoint.wire import Budgets, ChatRequest, NamedChoice, ResponseFormat, TextFormat
from alpha_umi.types import Call, Json, Plan, Role, Task, ToolSpec, Turn, User


def new_call_id() -> str:
    """An id of a call, which no other has."""
    return f"call_{secrets.token_hex(12)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Request that is read and checked."""

    model: str
    request: AgentRequest
    state: State

    def remember(self, called: Called, call_id: str | None = None) -> str:
        """Give a call its id, else the one that was sent, under which the plan before it is remembered."""
        call_id = call_id or new_call_id()
        self.state.keep_call(call_id, called.thought, called.call)
        return call_id

    def choices(self, count: int) -> list[Asked]:
        """The request as often as choices are asked for; each has a meter of its own, and a seed where one is given."""
        meter = self.request.meter
        seed = meter.settings.seed

        def choice(number: int) -> Asked:
            settings = replace(meter.settings, seed=None if seed is None else seed + number)
            own = RequestMeter(settings=settings, spans=meter.spans)
            return replace(self, request=replace(self.request, meter=own))

        return [self, *(choice(number) for number in range(1, count))]

    def park(self, asking: ApprovalAsked, events: AsyncGenerator[Event]) -> None:
        """Keep the reply, whose client is sent a request for approval, for the request that decides."""
        if self.request.tools is not None:
            self.request.tools.approvals.park(asking.id, self, events)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRequest:
    """Request of either API, in the terms that chat completions and responses have in common."""

    model: str
    conversation: ReadMessages
    tools: tuple[ToolSpec, ...] | None
    """None: the request names none, so those of the server are used where it has any."""
    choice: ToolChoice
    named: str | None
    settings: Settings
    format: ResponseFormat | TextFormat | None
    """Of the answer."""
    budgets: Budgets
    parallel: bool
    streams: bool
    choices: int = 1
    strategy: Named | None = None
    """Search of the server's tools; None: the server's own."""
    shows_nodes: bool = False


def read_chat(body: ChatRequest) -> ParsedRequest:
    """Read a chat request. Raises ApiError naming the field."""
    if body.top_logprobs and not body.logprobs:
        raise invalid("top_logprobs: they stand beside logprobs, which must be true", "top_logprobs")
    tools = read_functions(body.tools)
    choice, named = read_choice(body.tool_choice, tools)
    stop = [body.stop] if isinstance(body.stop, str) else body.stop or []
    limits = [each for each in (body.max_completion_tokens, body.max_tokens) if each is not None]
    return ParsedRequest(
        model=body.model,
        conversation=read_conversation(body.messages),
        tools=tools,
        choice=choice,
        named=named,
        settings=Settings(
            temperature=body.temperature,
            top_p=body.top_p,
            seed=body.seed,
            stop=tuple(each for each in stop if each),
            logprobs=bool(body.logprobs),
            top_logprobs=body.top_logprobs or 0,
            max_tokens=min(limits, default=None),
        ),
        format=body.response_format,
        budgets=body,
        parallel=body.parallel_tool_calls is not False,
        streams=bool(body.stream),
        choices=body.n or 1,
    )


def read_conversation(messages: Sequence[Json]) -> ReadMessages:
    """Read messages. Raises ApiError naming the one that cannot stand where it is, or holds more than text."""
    try:
        read = read_messages(with_calls(messages))
    except DataError as error:
        raise invalid(
            str(error), str(error).partition(":")[0] if str(error).startswith("messages[") else "messages"
        ) from None
    if read.deviations.get("parts_that_are_no_text_left_out"):
        raise unsupported("messages", "only text can be read here, and no images, sounds or files")
    return read


def read_functions(tools: Sequence[Json] | None) -> tuple[ToolSpec, ...] | None:
    """Read the tools of a request. Raises ApiError naming one that is no function, or has no arguments by name."""
    if tools is None:
        return None
    for number, tool in enumerate(tools):
        if not isinstance(tool, dict) or tool.get("type", "function") != "function":
            raise unsupported(f"tools[{number}]", "only functions can be called here")
    try:
        read = read_tools(list(tools))
    except DataError as error:
        raise invalid(str(error), "tools") from None
    for tool in read:
        if not isinstance(tool.parameters.get("type", "object"), (str, list)):
            raise invalid(f"tools: the 'type' of the parameters of {tool.name!r} is no text", "tools")
        if not isinstance(tool.parameters.get("properties", {}), dict):
            raise invalid(f"tools: the 'properties' of {tool.name!r} are no object", "tools")
    return read


def read_choice(choice: str | NamedChoice | None, tools: Sequence[ToolSpec] | None) -> tuple[ToolChoice, str | None]:
    """Read a tool choice. Raises ApiError for one that names no tool of the request."""
    if isinstance(choice, NamedChoice):
        name = choice.function.name if choice.function is not None else choice.name
        if name is None or name not in {tool.name for tool in tools or ()}:
            raise invalid("tool_choice: it names no function of the request", "tool_choice")
        return ToolChoice.REQUIRED, name
    read = ToolChoice(choice or "auto")
    if read is ToolChoice.REQUIRED and not tools:
        raise invalid("tool_choice: a call is required, but there are no tools", "tool_choice")
    return read, None


async def ask(parsed: ParsedRequest, served: ServedAgent, state: State) -> Asked:
    """Turn a parsed request into what is asked of the agent. Raises ApiError."""
    turns = recalled(parsed.conversation, served.turns_of(parsed.conversation), state)
    return await ask_about(turns, parsed, served, state, own_tools=not parsed.conversation.call_ids)


async def ask_about(
    turns: tuple[Turn, ...], parsed: ParsedRequest, served: ServedAgent, state: State, *, own_tools: bool
) -> Asked:
    """Turn a request about some turns into what is asked of the agent. Raises ApiError.

    `own_tools`: those of the server may be used, where the request names none.
    """
    agent = served.find(parsed.model)
    own_tools = own_tools and parsed.tools is None
    alone = agent.role if isinstance(agent, RoleAgent) else None
    if alone is not None:
        turns = turns_for(alone, turns)
    else:
        check_turns(turns)
    asked_at, query = max((at, turn.text) for at, turn in enumerate(turns) if type(turn) is User)
    task = Task(id=secrets.token_hex(8), query=query, tools=parsed.tools or ())
    check_length(task, turns, served.most_tokens)
    answer_tool = _answer_tool(parsed, served) if alone is None else None
    if answer_tool is not None:
        task = replace(task, tools=tuple(tool for tool in task.tools if tool not in _answer_tools(task.tools)))
    tools: ServerTools | None = None
    if own_tools and alone is None and served.toolbox is not None and parsed.choice is not ToolChoice.NONE:
        task, tools = await _server_tools(parsed, served, query, turns[asked_at + 1 :])
    choice = ToolChoice.AUTO if answer_tool is not None or tools is not None else parsed.choice
    if tools is None and not task.tools:
        choice = ToolChoice.NONE
    steer: Callable[[Agent], Agent] = partial(steered, served=served, choice=choice, named=parsed.named)
    settings = _settings(parsed, served, answer_tool, alone)
    if isinstance(agent, RoleAgent):
        steer, agent = partial(_alone, served=served, role=agent.role), agent.agent
    if choice is not ToolChoice.AUTO or answer_tool is not None or settings.answer_grammar is not None:
        agent = undrafted(agent)  # the client decides what is called, or what an answer looks like
    request = AgentRequest(
        agent=agent,
        name=parsed.model,
        format=served.loaded.format,
        task=task,
        turns=turns,
        meter=RequestMeter(settings=settings, spans=served.spans),
        limits=bounded(served.limits, parsed.budgets),
        steer=steer,
        streams=parsed.streams,
        shows_nodes=parsed.shows_nodes,
        parallel=parsed.parallel,
        tools=tools,
        has_critic=Role.CRITIC in served.loaded.role_models,
        alone=alone,
        answer_tool=answer_tool,
    )
    return Asked(model=parsed.model, request=request, state=state)


def _settings(parsed: ParsedRequest, served: ServedAgent, answer_tool: ToolSpec | None, alone: Role | None) -> Settings:
    """Settings of a request, with the grammars that its tool choice and its format of answers ask for."""
    forced = parsed.choice is ToolChoice.REQUIRED and served.takes_grammars
    return replace(
        parsed.settings,
        constrained=frozenset({Role.CALLER}) if forced else frozenset(),
        answer_grammar=_answer_grammar(parsed, served, answer_tool),
        answering=parsed.settings.answering if alone is None else frozenset({alone}),
    )


def steered(agent: Agent, served: ServedAgent, choice: ToolChoice, named: str | None) -> Agent:
    """The agent as a tool choice says, reading the tools that the server selects."""
    agent = served.selecting(agent)
    return agent if choice is ToolChoice.AUTO else SteeredAgent(agent=agent, choice=choice, name=named)


def _alone(agent: Agent, served: ServedAgent, role: Role) -> Agent:
    return served.selecting(RoleAgent(agent=agent, role=role) if isinstance(agent, MultiAgent) else agent)


# --- answers of a form ------------------------------------------------------------------------------------

_ANSWER_TOOLS = ("final_answer", "final_result")
"""Names with which clients take an answer as a call (smolagents, pydantic-ai), where a call is required."""


def _answer_tools(tools: Sequence[ToolSpec]) -> list[ToolSpec]:
    return [tool for tool in tools if tool.name.startswith(_ANSWER_TOOLS)]


def _answer_tool(parsed: ParsedRequest, served: ServedAgent) -> ToolSpec | None:
    """The tool whose call is the answer: of an agent with a summarizer, which is not shown such tools."""
    if parsed.choice is not ToolChoice.REQUIRED or not served.has_summarizer:
        return None
    found = _answer_tools(parsed.tools or ())
    named = [tool for tool in found if tool.name == parsed.named]
    return next(iter(named if parsed.named else found), None)


def _answer_grammar(parsed: ParsedRequest, served: ServedAgent, answer_tool: ToolSpec | None) -> str | None:
    """The grammar of an answer of a form. Raises ApiError where the agent's models take none."""
    if answer_tool is not None and text_argument(answer_tool) is None:
        return _grammar(served, dict(answer_tool.parameters), "tools")
    match parsed.format:
        case None | ResponseFormat(type="text") | TextFormat(type="text"):
            return None
        case ResponseFormat(type="json_schema", json_schema=found) if found is not None:
            schema = found.json_schema
        case TextFormat(type="json_schema", json_schema=schema):
            pass
        case _:
            schema = None
    if schema is None and parsed.format.type == "json_schema":
        raise invalid("response_format: a json_schema is needed", "response_format")
    return _grammar(served, ANY_OBJECT if schema is None else schema, "response_format")


def _grammar(served: ServedAgent, schema: Mapping[str, Json], param: str) -> str:
    form = served.loaded.format
    found = (
        answer_grammar(form, schema) if form is not None and served.takes_grammars and served.has_summarizer else None
    )
    if found is None:
        raise unsupported(param, "the models of this agent cannot be constrained to a schema")
    return found


def bounded(own: Limits, asked: Budgets) -> Limits:
    """The server's limits, or tighter ones that a request asks for."""

    def least(*limits: Any) -> Any:
        return min((limit for limit in limits if limit is not None), default=None)

    return replace(
        own,
        max_steps=least(own.max_steps, asked.max_steps),
        max_calls=least(own.max_calls, asked.max_tool_calls),
        max_seconds=least(own.max_seconds, asked.max_seconds),
    )


async def _server_tools(
    parsed: ParsedRequest, served: ServedAgent, query: str, begun: tuple[Turn, ...]
) -> tuple[Task, ServerTools]:
    toolbox = served.toolbox
    if toolbox is None:
        raise AssertionError("only a server with tools runs them")
    if parsed.choices > 1:
        raise unsupported("n", "the server's tools would be run for each choice; send tools of your own, or ask again")
    try:
        task, environment = await asyncio.to_thread(toolbox.open, query)
    except AlphaUMiError as error:
        raise ApiError(status=503, message=f"no tools can be had: {error}", code="no_tools") from None
    if served.spans is not None:
        environment = TracedEnvironment(environment, served.spans)
    rules = toolbox.environment.confirmation
    strategy = parsed.strategy or served.strategy
    return task, ServerTools(
        environment=environment,
        strategy=strategy,
        is_chain=isinstance(strategy, Chain) and strategy.attempts == 1,
        approvals=served.approvals,
        needs_approval=lambda name: any(tool.name == name and rules.needs(tool) for tool in task.tools),
        begun=begun,
    )


def recalled(conversation: ReadMessages, turns: Sequence[Turn], state: State) -> tuple[Turn, ...]:
    """The turns with the thoughts that clients do not send back, calls as they were written, and parallel calls joined.

    `turns`: those of the conversation, some of which may have changed.
    """
    read, ids, joined = list[Turn](), iter(conversation.call_ids), frozenset(conversation.layout.parallel)
    plan_at = 0
    for at, turn in enumerate(turns):
        match turn:
            case Plan() if at in joined:
                continue
            case Plan():
                plan_at = len(read)
                read.append(turn)
            case Call():
                kept = state.find_call(next(ids))
                read.append(turn if kept is None else kept.as_written(turn))
                plan = read[plan_at]
                if kept is not None and isinstance(plan, Plan) and not plan.thought:
                    read[plan_at] = replace(plan, thought=kept.thought)
            case _:
                read.append(turn)
    return tuple(read)
