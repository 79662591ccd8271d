"""Replies of agents to requests, as events: thoughts and answers while they are written, calls and observations whole.

A request is a trajectory: the conversation as turns, whose next step the agent proposes. Where the client runs the
tools the reply ends with the calls; where the server does it is searched to its end. A reply that is abandoned is
cancelled, with all that it holds in the engine.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from alpha_umi.agent import RoleModel, undrafted, with_role_models
from alpha_umi.arguments import Fault, read_arguments
from alpha_umi.errors import FormatError, ModelError
from alpha_umi.formats.live_call import LiveCall
from alpha_umi.formats.live_text import LiveText, before_stop
from alpha_umi.formats.prompts.unknown_tools import unknown_tool
from alpha_umi.protocols import Agent, Environment, Format
from alpha_umi.search import Limits, Node, NodeStatus, Strategy, Tree
from alpha_umi.search.solve import solve
from alpha_umi.serving.endpoint.approvals import ASK_CLIENT, Approvals
from alpha_umi.serving.endpoint.errors import ApiError, failed, invalid
from alpha_umi.serving.endpoint.events import ApprovalAsked, Called, Calling, Ended, Event, Grown, Text, Thought
from alpha_umi.serving.endpoint.meters import RequestMeter, SpentError
from alpha_umi.serving.endpoint.spans import agent_span
from alpha_umi.types import (
    Answer,
    Call,
    Decision,
    FinishReason,
    Observation,
    Plan,
    Role,
    StopReason,
    Task,
    ToolSpec,
    ToolStatus,
    Trajectory,
    Turn,
    Usage,
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTools:
    """Tools that run here, with the search that uses them."""

    environment: Environment
    strategy: Strategy
    is_chain: bool
    """True: an answer is final when it is written."""
    approvals: Approvals
    needs_approval: Callable[[str], bool]
    """True for the name of a tool whose calls the client approves or refuses."""
    begun: tuple[Turn, ...] = ()
    """Whole steps of the reply that the search goes on from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRequest:
    """Request to an agent."""

    agent: Agent
    name: str
    """Of the model that was asked."""
    format: Format | None
    """None: an agent that is code."""
    task: Task
    turns: tuple[Turn, ...]
    """Of the conversation; the last is the user's or an observation."""
    meter: RequestMeter
    limits: Limits
    steer: Callable[[Agent], Agent] = lambda agent: agent
    """What becomes of the agent whose models are measured: steered by a tool choice, or one role of it alone."""
    streams: bool = False
    """True: text is sent while it is written."""
    shows_nodes: bool = False
    """True: the nodes of the search are sent as they grow."""
    parallel: bool = True
    """False: one call at most."""
    tools: ServerTools | None = None
    """None: the client runs the tools."""
    has_critic: bool = False
    alone: Role | None = None
    """The role that is asked alone, for one completion; None: an agent."""
    answer_tool: ToolSpec | None = None
    """The tool as whose call the answer is sent; None: it is sent as text."""


async def reply(request: AgentRequest) -> AsyncGenerator[Event]:
    """Reply to a request. Closing the generator cancels the work. Raises ApiError."""
    events: asyncio.Queue[Event | None] = asyncio.Queue()
    work = asyncio.ensure_future(_Reply(request, events.put_nowait).run())
    work.add_done_callback(lambda _: events.put_nowait(None))
    try:
        async for event in _joined(events):
            yield event
        work.result()
    except FormatError as error:
        raise _unwritable(error) from None
    except ModelError as error:
        raise _explained(error) from None
    except ApiError:
        raise
    except Exception as error:  # whatever fails here is not to reach a client
        _log.error("a reply failed", exc_info=error)
        raise failed() from None
    finally:
        work.cancel()
        await asyncio.wait([work])


async def _joined(events: asyncio.Queue[Event | None]) -> AsyncGenerator[Event]:
    """The events up to None; pieces of one text that wait together are one."""
    held: Event | None = None
    while True:
        if held is not None and events.empty():
            yield held
            held = None
        event = await events.get()
        match held, event:
            case Text(text=first), Text(text=second):
                event = Text(first + second)
            case Thought(text=first, starts=starts), Thought(text=second, starts=False):
                event = Thought(first + second, starts=starts)
            case Calling(name=name, arguments=first, starts=starts), Calling(arguments=second, starts=False):
                event = Calling(name, first + second, starts=starts)
            case None, _:
                pass
            case _:
                yield held
        if event is None:
            return
        held = event


def _unwritable(error: FormatError) -> ApiError:
    """The error of a prompt that cannot be written, mostly as it is too long, without the task's id."""
    before, _, reason = str(error).partition("'s prompt needs ")
    if not reason:
        return invalid(str(error))
    role = before.rpartition(" ")[2]
    return invalid(f"the {role}'s prompt needs {reason}", "messages", "context_length_exceeded")


def _explained(error: ModelError) -> ApiError:
    """The error that a client may see: its own prompt being too long, or a failure without its words."""
    text = str(error)
    if "prompt has" in text or "no memory for this request" in text or "too long" in text:
        return invalid("the conversation is too long for this model", "messages", "context_length_exceeded")
    _log.error("a model failed: %s", text)
    return failed()


@dataclass(slots=True)
class _Reply:
    """Reply in progress."""

    request: AgentRequest
    send: Callable[[Event], object]
    live: dict[Role, LiveText] = field(default_factory=dict[Role, LiveText])
    answer: LiveText | None = None
    call: LiveCall | None = None
    """The call that is sent while it is written: one that is constrained, and so cannot be taken back."""
    thought: str = ""
    """Of the last plan."""
    waiting: Called | None = None
    """Call that may need approval; it is sent when it is decided or has its observation."""

    async def run(self) -> None:
        request = self.request
        ASK_CLIENT.set(self.ask)
        with agent_span(request.meter.spans, request.name):
            await self._run(request)

    async def _run(self, request: AgentRequest) -> None:
        request.meter.on_start = self.on_start
        streams = request.streams and undrafted(request.agent) is request.agent
        request.meter.on_token = self.on_token if streams else None
        agent = request.steer(with_role_models(request.agent, self._metered))
        if request.alone is not None:
            await self._complete(agent)
        elif request.tools is None:
            await self._step(agent)
        else:
            await self._search(agent, request.tools)

    def _metered(self, role: Role, role_model: RoleModel) -> RoleModel:
        return self.request.meter.measure(role, role_model)

    # --- the client runs the tools --------------------------------------------------------------------

    async def _step(self, agent: Agent) -> None:
        """Propose steps until one calls a tool of the client, answers or gives up."""
        request = self.request
        said: tuple[Turn, ...] = ()
        usage, steps, finish = Usage(), 0, ""
        while not finish:
            if not (said and _hands_over(said[-1])):
                if steps >= request.limits.max_steps:
                    finish = "length"
                    break
                steps += 1
            self.call = None
            try:
                proposal = await agent.propose(request.task, (*request.turns, *said))
            except SpentError:
                finish = "length"
                break
            usage += proposal.usage
            turns = proposal.turns or (Plan(thought="", decision=Decision.NONE),)
            turns, finish = self._judge(turns)
            said = (*said, *turns)
        self._end(said, finish, usage)

    def _judge(self, turns: Sequence[Turn]) -> tuple[tuple[Turn, ...], str]:
        """Turns of a proposal with what is said to calls that cannot be sent; the finish, where they end the reply."""
        request = self.request
        calls = [turn for turn in turns if isinstance(turn, Call)]
        for turn in turns:
            if isinstance(turn, (Plan, Answer)):
                self.on_turn(turn)
        if calls:
            good = [call for call in calls if self._fault(call) is None]
            if request.meter.last_finish is FinishReason.LENGTH and not good:
                return tuple(turns), "length"
            good = good or [call for call in calls[:1] if self.call and self.call.shown and self.call.begins(call)]
            if not good:
                seen = self._fault(calls[0]) or Observation(content="")
                return (*(turn for turn in turns if not isinstance(turn, Call)), calls[0], seen), ""
            kept = good if request.parallel else good[:1]
            for call in kept:
                self.send(Called(call, self.thought))
            return tuple(turn for turn in turns if not isinstance(turn, Call) or turn in kept), "tool_calls"
        match turns[-1]:
            case Plan(decision=Decision.GIVE_UP):
                return tuple(turns), "stop"
            case Plan():
                return tuple(turns), ""
            case _:
                return tuple(turns), "length" if request.meter.is_cut else "stop"

    def _fault(self, call: Call) -> Observation | None:
        """Observation of a call that no client could run."""
        spec = next((tool for tool in self.request.task.tools if tool.name == call.name), None)
        if spec is None:
            return unknown_tool(call.name)
        read = read_arguments(spec, call.arguments)
        if isinstance(read, Fault):
            return Observation(content=read.reason, status=ToolStatus.BAD_ARGUMENTS)
        return None

    async def _complete(self, agent: Agent) -> None:
        """One completion of one role: a call that a client can run, else the text as the role writes it."""
        request = self.request
        proposal = await agent.propose(request.task, request.turns)
        good = [turn for turn in proposal.turns if isinstance(turn, Call) and self._fault(turn) is None]
        if good:
            self.send(Called(good[0], ""))
            self._end((good[0],), "tool_calls", proposal.usage)
            return
        text = request.meter.completions[-1][1].text
        if request.alone is Role.CALLER or request.meter.on_token is None:
            self.send(Text(text))
        cut = request.meter.last_finish is FinishReason.LENGTH
        self._end(proposal.turns, "length" if cut else "stop", proposal.usage)

    # --- the server runs the tools --------------------------------------------------------------------

    async def _search(self, agent: Agent, tools: ServerTools) -> None:
        request = self.request
        history = request.turns[: len(request.turns) - len(tools.begun) - 1]
        tree, shown = Tree(task=request.task), dict[int, int]()

        def on_node(node: Node) -> None:
            for turn in node.turns[shown.get(node.index, 0) :] if node.parent is not None else ():
                if not isinstance(turn, Answer) or tools.is_chain:
                    self.on_turn(turn)
                self.on_tool_turn(turn, tools)
            shown[node.index] = len(node.turns)
            if request.shows_nodes and node.parent is not None:
                self.send(Grown(node))

        with suppress(SpentError):
            await solve(tree, agent, tools.environment, request.limits, tools.strategy, history=history,
                        begun=tools.begun, on_node=on_node)  # fmt: skip
        best = tree.best
        said = best.turns[len(request.turns) :]
        cut = request.meter.is_spent or best.stop is StopReason.LIMIT
        finish = "length" if best.answer is None and cut else "stop"
        if best.answer is not None and request.meter.is_cut:
            finish = "length"
        self._end(said, finish, best.usage, tuple(tree.nodes))

    async def ask(self, call: Call, _: ToolSpec) -> bool:
        """Ask the client whether a call is run (`protocols.Confirm`)."""
        tools = self.request.tools
        if tools is None:
            return False
        written = self.waiting or Called(call, self.thought)

        def announce(name: str) -> None:
            self.waiting = replace(written, approval_id=name)
            self.send(ApprovalAsked(name, replace(written, call=call)))

        approved = await tools.approvals.ask(announce)
        self._send_waiting()
        return approved

    # --- what is sent ---------------------------------------------------------------------------------

    def on_start(self, role: Role) -> None:
        """Forget what the role wrote before: another completion begins, which may be of another turn."""
        self.live.pop(role, None)
        if role in (Role.SUMMARIZER, Role.BACKBONE):
            self.answer = None

    def on_token(self, role: Role, piece: str) -> None:
        """Send what a piece of a completion makes certain."""
        request = self.request
        if request.alone is not None:
            if role is not Role.CALLER:
                self.send(Text(piece))
            return
        if request.format is None:
            return
        if role is Role.CALLER and request.tools is None and request.meter.is_constrained:
            self.call = self.call or LiveCall(request.format)
            starts = not self.call.shown
            if arguments := self.call.feed(piece):
                self.send(Calling(self.call.name, arguments, starts=starts))
        if role in (Role.PLANNER, Role.BACKBONE):
            if role not in self.live:
                self.live[role] = LiveText(request.format, role, Plan)
            started = not self.live[role].shown
            if text := self.live[role].feed(piece):
                self.send(Thought(text, starts=started))
        streams = role in (Role.SUMMARIZER, Role.BACKBONE) and not request.has_critic and request.answer_tool is None
        if streams and (request.tools is None or request.tools.is_chain):
            if self.answer is None:
                self.answer = LiveText(request.format, role, Answer, request.meter.settings.stop)
            if text := self.answer.feed(piece):
                self.send(Text(text))

    def on_tool_turn(self, turn: Turn, tools: ServerTools) -> None:
        """Send a call or an observation of tools that run here; a call that may need approval waits."""
        if isinstance(turn, Call):
            self.waiting = Called(turn, self.thought)
            if not tools.needs_approval(turn.name):
                self._send_waiting()
        elif isinstance(turn, Observation):
            self._send_waiting()
            self.send(turn)

    def _send_waiting(self) -> None:
        called, self.waiting = self.waiting, None
        if called is not None:
            self.send(called)

    def on_turn(self, turn: Turn) -> None:
        """Send the rest of a turn that is whole."""
        if isinstance(turn, Plan):
            self.thought = turn.thought
            live = self.live.pop(Role.PLANNER, None) or self.live.pop(Role.BACKBONE, None)
            text = turn.thought if live is None else live.finish(turn.thought)
            if text.strip():
                self.send(Thought(text.rstrip(), starts=live is None or live.shown == text))
            if turn.decision is not Decision.CONCLUDE:
                self.answer = None  # the next completion is another role's, or another step's

    def _end(self, said: tuple[Turn, ...], finish: str, usage: Usage, nodes: tuple[Node, ...] = ()) -> None:
        request = self.request
        text = None if request.alone is not None else final_text(said)
        if text is not None and (kept := before_stop(text, request.meter.settings.stop)) != text:
            said = tuple(replace(turn, text=kept) if turn == Answer(text=text) else turn for turn in said)
            text, finish = kept, "stop"
        if text is not None and request.answer_tool is not None:
            self.send(Called(answer_call(request.answer_tool, text), self.thought))
            finish = "tool_calls" if finish == "stop" else finish
        elif text is not None and (rest := text if self.answer is None else self.answer.finish(text)):
            self.send(Text(rest))
        stop = {"tool_calls": StopReason.UNFINISHED, "length": StopReason.LIMIT}.get(finish, StopReason.ANSWERED)
        if finish == "stop" and isinstance(said[-1] if said else None, Plan):
            stop = StopReason.GAVE_UP
        trajectory = Trajectory(task=request.task, turns=(*request.turns, *said), stop=stop, usage=usage)
        self.send(Ended(trajectory, said, finish, nodes or _as_nodes(trajectory, said)))


_STATUS = {StopReason.ANSWERED: NodeStatus.ANSWERED, StopReason.GAVE_UP: NodeStatus.GAVE_UP}


def _as_nodes(trajectory: Trajectory, said: tuple[Turn, ...]) -> tuple[Node, ...]:
    before = trajectory.turns[: len(trajectory.turns) - len(said)]
    root = Node(index=0, parent=None, turns=before, status=NodeStatus.DONE)
    status = _STATUS.get(trajectory.stop, NodeStatus.DONE)
    return root, Node(index=1, parent=0, turns=said, status=status, usage=trajectory.usage)


def final_text(said: Sequence[Turn]) -> str | None:
    """Text for the user at the end of a reply: the answer, or why it was given up; None where calls end it."""
    match next((turn for turn in reversed(said) if type(turn) in (Answer, Plan, Call)), None):
        case Answer(text=text):
            return text
        case Plan(thought=thought, decision=Decision.GIVE_UP):
            return thought.strip()
        case _:
            return None


def text_argument(tool: ToolSpec) -> str | None:
    """The only argument of a tool, where it may be any text."""
    properties = tool.parameters.get("properties")
    match list(properties.items()) if isinstance(properties, dict) else []:
        case [(name, dict(schema))] if schema.get("type", "any") in ("string", "any") and "enum" not in schema:
            return name
        case _:
            return None


def answer_call(tool: ToolSpec, text: str) -> Call:
    """The call of an answer's tool: the answer is its argument, or holds all of them."""
    argument = text_argument(tool)
    arguments = text if argument is None else json.dumps({argument: text}, ensure_ascii=False)
    return Call(name=tool.name, arguments=arguments)


def _hands_over(turn: Turn) -> bool:
    return isinstance(turn, Plan) and turn.decision in (Decision.CALL, Decision.CONCLUDE)
