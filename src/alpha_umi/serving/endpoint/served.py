"""Models that an endpoint serves: the agent under its name, and each of its roles under the role's."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from alpha_umi.agent import MultiAgent, SingleAgent, undrafted
from alpha_umi.config import AgentConfig, EndpointConfig
from alpha_umi.formats.messages import ReadMessages
from alpha_umi.jobs.toolbox import Toolbox
from alpha_umi.loading.agents import LoadedAgent
from alpha_umi.loading.models import chat_use
from alpha_umi.protocols import Agent
from alpha_umi.search import Limits, Strategy
from alpha_umi.serving.endpoint.approvals import Approvals
from alpha_umi.serving.endpoint.errors import ApiError, invalid
from alpha_umi.serving.endpoint.named_servers import NamedServers
from alpha_umi.serving.endpoint.spans import Spans
from alpha_umi.types import Answer, Decision, Json, Observation, Plan, Proposal, Role, Task, Turn, User

if TYPE_CHECKING:
    from alpha_umi.retrieval.selection import ToolSelection


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleAgent:
    """One role of an agent, asked alone (`protocols.Agent`)."""

    agent: MultiAgent
    role: Role

    async def propose(self, task: Task, turns: Sequence[Turn]) -> Proposal:
        role_model = self.agent.role_models[self.role]
        return await role_model.complete_turn(self.role, self.agent.format, task, turns)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedAgent:
    """Agent with all that requests to it share."""

    name: str
    loaded: LoadedAgent
    config: AgentConfig | None
    """None: an agent that is code."""
    toolbox: Toolbox | None
    """Tools that run here; None: clients run theirs."""
    strategy: Strategy
    tools_by_query: bool = False
    """True: which of the tools are offered depends on the query."""
    limits: Limits = field(default_factory=Limits)
    approvals: Approvals = field(default_factory=Approvals)
    selection: ToolSelection | None = None
    """Tools that the agent reads of those that a request or the server has; None: all."""
    named_servers: NamedServers | None = None
    """MCP servers that users of the page name; None: they may name none."""
    spans: Spans | None = None
    """None: replies are no spans."""
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def takes_grammars(self) -> bool:
        """True where the models can be constrained to a grammar."""
        roles = [] if self.config is None else [self.config.roles.get(role) for role in Role]
        named = [each for each in roles if each is not None]
        return bool(named) and all(not isinstance(each, EndpointConfig) or each.grammar is not None for each in named)

    @property
    def reads_instructions(self) -> bool:
        """True for instruct models, which system messages mean something to; trained formats have no place for them."""
        return self.loaded.format is not None and chat_use(self.loaded.format).messages

    @property
    def engine_load(self) -> Callable[[], tuple[int, int]] | None:
        """Running and waiting requests of the first engine that runs here; None where none does."""
        base = next((found for model in self.loaded.models if (found := getattr(model, "base", None))), None)

        def load() -> tuple[int, int]:
            engine = base.engine if base is not None else None
            return (0, 0) if engine is None else (len(engine.scheduler.running), len(engine.scheduler.waiting))

        return None if base is None else load

    @property
    def most_tokens(self) -> int | None:
        """Tokens of the longest prompt that some role reads; None where that is not known."""
        windows = [each.window.limit for each in self.loaded.role_models.values() if each.window is not None]
        return max(windows, default=None)

    @property
    def has_summarizer(self) -> bool:
        """True for an agent whose answers are written by a role of their own."""
        return isinstance(undrafted(self.loaded.agent), MultiAgent)

    @property
    def roles(self) -> tuple[Role, ...]:
        """Roles that can be asked alone."""
        if not isinstance(undrafted(self.loaded.agent), MultiAgent):
            return (Role.BACKBONE,) if isinstance(self.loaded.agent, SingleAgent) else ()
        return tuple(role for role in self.loaded.role_models if role is not Role.CRITIC)

    @property
    def cards(self) -> list[Json]:
        """Entries of `GET /v1/models`."""
        names = [self.name, *(role.value for role in self.roles)]
        return [self.card(name) for name in names]

    def card(self, name: str) -> dict[str, Json]:
        return {"id": name, "object": "model", "created": self.created, "owned_by": "alpha-umi"}

    def selecting(self, agent: Agent) -> Agent:
        """The agent, which reads of many tools those that the server selects."""
        return agent if self.selection is None else self.selection.of(agent)

    def find(self, name: str) -> Agent:
        """The agent, or one of its roles, by the name of a model. Raises ApiError."""
        if name == self.name:
            return self.loaded.agent
        role = next((role for role in self.roles if role.value == name), None)
        if role is None:
            known = ", ".join([self.name, *(role.value for role in self.roles)])
            message = f"there is no such model; there are: {known}"
            raise ApiError(status=404, message=message, param="model", code="model_not_found")
        form = self.loaded.format
        if role is Role.BACKBONE and form is not None:
            return SingleAgent(backbone=self.loaded.role_models[role], format=form)
        if isinstance(drafter := undrafted(self.loaded.agent), MultiAgent):
            return RoleAgent(agent=drafter, role=role)
        return self.loaded.agent

    def turns_of(self, conversation: ReadMessages) -> tuple[Turn, ...]:
        """Turns of a conversation, its instructions in the user's first words where the models read such."""
        turns = conversation.turns
        if not conversation.system or not self.reads_instructions:
            return turns
        for at, turn in enumerate(turns):
            if isinstance(turn, User):
                first = User(text=f"{conversation.system}\n\n{turn.text}")
                return (*turns[:at], first, *turns[at + 1 :])
        return turns


def check_turns(turns: Sequence[Turn]) -> None:
    """Refuse a conversation that no agent can continue. Raises ApiError."""
    if not any(isinstance(turn, User) for turn in turns):
        raise invalid("a message of the user is needed", "messages")
    if not isinstance(turns[-1], (User, Observation)):
        raise invalid("the last message must be the user's, or a tool's for each call before it", "messages")


_CHARACTERS_PER_TOKEN, _PROMPTS = 64, 16
"""Characters of a token at most, and prompts' worth of a conversation, whose oldest turns are left out."""


def check_length(task: Task, turns: Sequence[Turn], most_tokens: int | None) -> None:
    """Refuse what no prompt could hold, before it is tokenized, which takes its time. Raises ApiError."""
    if most_tokens is None:
        return
    tools = sum(len(tool.name) + len(tool.description) + len(json.dumps(dict(tool.parameters))) for tool in task.tools)
    most = most_tokens * _CHARACTERS_PER_TOKEN
    conversation = sum(len(str(turn)) for turn in turns)
    if len(task.query) > most or tools > most or conversation > most * _PROMPTS:
        raise invalid("the conversation is too long for this model", "messages", "context_length_exceeded")


def turns_for(role: Role, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """Turns that a role reads when it is asked alone; caller and summarizer read the last assistant's text as the plan.

    Raises ApiError where there is no message of the user.
    """
    if role not in (Role.CALLER, Role.SUMMARIZER):
        check_turns(turns)
        return turns
    decision = Decision.CALL if role is Role.CALLER else Decision.CONCLUDE
    match turns:
        case (*before, Plan(), Answer(text=text)):
            check_turns(before)
            return (*before, Plan(thought=text, decision=decision))
        case _:
            check_turns(turns)
            return (*turns, Plan(thought="", decision=decision))
