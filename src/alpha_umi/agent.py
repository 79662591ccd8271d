"""Agents over formats and models: choice of the next role, its prompt, and the turns in its reply.

An agent keeps no state. `propose` looks at the last turn and asks one role for the next one, so the same
object serves a chain, a tree, teacher-forced evaluation, and a request whose tools run elsewhere.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import accumulate
from typing import Any, Protocol, TypeAlias, cast, runtime_checkable

from alpha_umi.event_loops import off_loop
from alpha_umi.formats.dialects.declared import as_declared
from alpha_umi.formats.dialects.reasoning import without_open_reasoning
from alpha_umi.formats.fit import Window, fit
from alpha_umi.formats.rendering import render
from alpha_umi.protocols import Agent, BoundedFormat, Format, Model, StreamingModel
from alpha_umi.roles import followers, next_role, optional_turn
from alpha_umi.types import (
    Call,
    Completion,
    Decision,
    Plan,
    Prompt,
    Proposal,
    Role,
    Sampling,
    Task,
    TokenLogprob,
    Turn,
    Usage,
)

ChangeModel: TypeAlias = Callable[[Role, "RoleModel"], "RoleModel"]
OnToken: TypeAlias = Callable[[Role, str], None]
"""Callback with the role that writes, and the next piece of its text."""


class OnNoDecision(StrEnum):
    """Policy for a plan without a decision: the planner goes on after it, or it counts as a call (as published)."""

    PLANNER = "planner"
    CALLER = "caller"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleModel:
    """Model of a role, with its sampling parameters and its context window."""

    model: Model
    sampling: Sampling = field(default_factory=Sampling)
    window: Window | None = None
    """None: the prompt is never cut."""
    constrained: bool = False
    """True: completions are constrained to the format's grammar: callers to offered tools, planners to a decision."""

    async def complete_turn(
        self,
        role: Role,
        format: Format,  # noqa: A002
        task: Task,
        turns: Sequence[Turn],
        *,
        held_to: Task | None = None,
        begun: str = "",
    ) -> Proposal:
        """Complete one turn. `held_to`: the task with narrower schemas, for the grammar alone.

        `begun`: how the completion begins; only where prompts are text.
        """
        read = tuple(turns)
        if self.window is not None:
            # A long prompt takes milliseconds to count, and many tasks ask at once.
            read = (await off_loop(fit, format, role, task, turns, self.window)).turns
        sampling = self._sampling(role, format, held_to or task, turns)
        prompt = render(format, role, task, read)
        begun = begun if isinstance(prompt, str) else ""
        completion = await self.model.complete(prompt + begun if isinstance(prompt, str) else prompt, sampling)
        text = begun + str(completion.text)  # what a model wrote has no frame, whatever wrote it
        if sampling.ending is not None:
            text = without_open_reasoning(text, sampling.ending.marks)
        said = as_declared(format.parse(role, text, completion.finish), task.tools, text)
        return Proposal(turns=with_confidence(said, completion.logprobs or ()), usage=completion.usage)

    def _sampling(self, role: Role, format: Format, task: Task, turns: Sequence[Turn]) -> Sampling:  # noqa: A002
        """Sampling with what the format bounds completions of `role` by."""
        bounded = format if isinstance(format, BoundedFormat) else None
        stops = (*self.sampling.stop, *(bounded.stops(role) if bounded else ()))
        scored = role in (Role.CALLER, Role.BACKBONE)
        sampling = replace(self.sampling, stop=tuple(dict.fromkeys(stops)), choice_logprobs=scored)
        grammar = format.grammar(role, task, turns) if self.constrained else None
        if grammar is None:
            return sampling
        return replace(sampling, grammar=grammar, ending=bounded and bounded.ending(role, task, turns))


def with_confidence(turns: tuple[Turn, ...], tokens: Sequence[TokenLogprob]) -> tuple[Turn, ...]:
    """Turns of a completion whose calls have their confidence, from its tokens.

    All tokens count where the call is all there is; else those from the call's name to the end of its arguments.
    """
    if not tokens or not any(isinstance(turn, Call) for turn in turns):
        return turns
    text, ends = "".join(token.text for token in tokens), list(accumulate(len(token.text) for token in tokens))
    scored: list[Turn] = []
    at = 0
    for turn in turns:
        if isinstance(turn, Call):
            start = max(text.find(turn.name, at), at) if len(turns) > 1 else 0
            found = text.find(turn.arguments, start) if len(turns) > 1 else -1
            at = len(text) if found < 0 else found + len(turn.arguments)
            first, last = bisect_right(ends, start), bisect_left(ends, at) + 1
            chosen = [each.logprob for each in tokens[first:last] if each.logprob is not None]
            mean = round(min(sum(chosen) / len(chosen), 0.0), 4) if chosen else None
            turn = replace(turn, confidence=mean)
        scored.append(turn)
    return tuple(scored)


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiAgent:
    """Multi-LLM agent of planner, caller and summarizer (paper, section 3.2): one turn per proposal."""

    role_models: Mapping[Role, RoleModel]
    """One each for PLANNER, CALLER and SUMMARIZER, and for optional roles (`roles.ROLES`)."""
    format: Format
    on_no_decision: OnNoDecision = OnNoDecision.PLANNER

    async def propose(self, task: Task, turns: Sequence[Turn]) -> Proposal:
        return await self.followed(await self.draft(task, turns), task, turns)

    async def draft(self, task: Task, turns: Sequence[Turn]) -> Proposal:
        """Propose the next turn, without those of optional roles that read it."""
        role = next_role(turns)
        proposal = await self.role_models[role].complete_turn(role, self.format, task, turns)
        match proposal.turns:
            case (Plan(decision=Decision.NONE) as plan,) if self.on_no_decision is OnNoDecision.CALLER:
                return replace(proposal, turns=(replace(plan, decision=Decision.CALL),))
            case _:
                return proposal

    async def followed(self, proposal: Proposal, task: Task, turns: Sequence[Turn]) -> Proposal:
        """The proposal with the turn of the optional role that reads its last one, where the agent has that role."""
        found = (role for role in followers(proposal.turns[-1]) if role in self.role_models) if proposal.turns else ()
        follower = next(iter(found), None)
        if follower is None:
            return proposal
        role_model = self.role_models[follower]
        after = await role_model.complete_turn(follower, self.format, task, (*turns, *proposal.turns))
        return Proposal(turns=(*proposal.turns, *after.turns), usage=proposal.usage + after.usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleAgent:
    """Single-LLM agent, the paper's baseline: one backbone that plans, calls and answers in one completion."""

    backbone: RoleModel
    format: Format

    async def propose(self, task: Task, turns: Sequence[Turn]) -> Proposal:
        return await self.backbone.complete_turn(Role.BACKBONE, self.format, task, turns)


@runtime_checkable
class Drafting(Agent, Protocol):
    """Agent, a dataclass, that drafts turns with another one and drops some: no stream of them can be shown."""

    drafter: Agent


def undrafted(agent: Agent) -> Agent:
    """Return the agent that an agent drafts with; any other as it is."""
    return undrafted(agent.drafter) if isinstance(agent, Drafting) else agent


def with_role_models(agent: Agent, change: ChangeModel) -> Agent:
    """Return the agent with each of its role models changed; an agent that is code stays as it is."""
    match agent:
        case Drafting(drafter=drafter):
            return cast("Agent", replace(cast("Any", agent), drafter=with_role_models(drafter, change)))
        case MultiAgent(role_models=role_models):
            return replace(agent, role_models={role: change(role, each) for role, each in role_models.items()})
        case SingleAgent(backbone=backbone):
            return replace(agent, backbone=change(Role.BACKBONE, backbone))
        case _:
            return agent


def with_streaming(agent: Agent, on_token: OnToken) -> Agent:
    """Return the agent with a listener for its streamed text.

    Models that cannot stream, agents that draft, and coded agents, send none.
    """
    if isinstance(agent, Drafting):
        return agent

    def streamed(role: Role, role_model: RoleModel) -> RoleModel:
        model = role_model.model
        return (
            replace(role_model, model=_Streamed(model, role, on_token))
            if isinstance(model, StreamingModel)
            else role_model
        )

    return with_role_models(agent, streamed)


class _Streamed:
    """Model that passes each piece of a completion to a listener."""

    def __init__(self, model: StreamingModel, role: Role, on_token: OnToken) -> None:
        self._model, self._role, self._on_token = model, role, on_token

    async def complete(self, prompt: Prompt, sampling: Sampling) -> Completion:
        """Complete by the model, and pass the pieces on."""
        async with aclosing(self._model.stream(prompt, sampling)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Completion):
                    return piece
                self._on_token(self._role, piece)
        raise AssertionError("a stream ends with its completion")


async def propose_step(agent: Agent, task: Task, turns: Sequence[Turn]) -> Proposal:
    """Propose one whole step: a plan and, where it asks for one, the call or the answer; no review of it."""
    said: tuple[Turn, ...] = ()
    usage = Usage()
    while not said or (_asks(said[-1]) and len(said) < 2):
        proposal = await agent.propose(task, (*turns, *said))
        said, usage = (*said, *proposal.turns), usage + proposal.usage
    return Proposal(turns=tuple(turn for turn in said if optional_turn(turn) is None), usage=usage)


def _asks(turn: Turn) -> bool:
    return isinstance(turn, Plan) and turn.decision in (Decision.CALL, Decision.CONCLUDE)
