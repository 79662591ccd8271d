"""Running search: the growth of nodes and the accounting of its limits; strategies pick the nodes."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Protocol, TypeAlias, TypeVar

from alpha_umi.errors import FormatError, ModelError
from alpha_umi.event_loops import Outcome, outcome
from alpha_umi.protocols import Agent, Environment
from alpha_umi.roles import ending
from alpha_umi.search.checks import check_proposal, checked_observation
from alpha_umi.search.tree import Limits, Node, NodeStatus, Tree
from alpha_umi.types import Call, Decision, Hint, Observation, Plan, Proposal, StopReason, Task, Turn, Usage, User

_Result = TypeVar("_Result")
Retelling: TypeAlias = Callable[[tuple[Turn, ...]], tuple[Turn, ...]]


class FaultyReplyError(ModelError):
    """Error of a model that came together with a reply. Searches count a failure; the published ones run its call."""

    def __init__(self, message: str, proposal: Proposal) -> None:
        super().__init__(message)
        self.proposal = proposal


class Strategy(Protocol):
    """Search strategy: the order in which nodes grow. Strategies keep no state, so one serves many searches at once."""

    def run(self, walk: Walk, environment: Environment) -> AsyncGenerator[Node, None]:
        """Yield the nodes of one search, each as often as it grows."""
        ...


class Walk:
    """Running search: the tree so far, and what is left of its limits."""

    def __init__(
        self,
        agent: Agent,
        task: Task,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
        history: Sequence[Turn] = (),
        begun: Sequence[Turn] = (),
    ) -> None:
        self.limits = limits
        self.tree = Tree(task=task)
        root = (*history, User(text=task.query), *begun)
        self.tree.add(Node(index=0, parent=None, turns=root, status=NodeStatus.DONE))
        self._agent = agent
        self._clock, self._started = clock, clock()
        self._used, self._calls, self._visits = Usage(), 0, 0
        self._waiting: dict[int, tuple[Turn, ...]] = {}
        """By node, what of a proposal follows its first call."""
        self.failure: ModelError | FormatError | None = None
        """Last error that ended a branch."""

    @property
    def root(self) -> Node:
        return self.tree.nodes[0]

    def open(self, parent: Node, hint: str = "", turns: tuple[Turn, ...] = ()) -> Node:
        """Open a child. `hint` is read in this step alone; `turns` stay before it for the whole branch."""
        return self.put(Node(index=len(self.tree.nodes), parent=parent.index, hint=hint, turns=turns))

    def put(self, node: Node) -> Node:
        self.tree.add(node)
        return node

    def visit(self, node: Node) -> Node:
        """Mark the node as the next one that the search visits."""
        self._visits += 1
        return self.put(replace(self.tree.nodes[node.index], visit=self._visits - 1))

    def end(self, node: Node) -> Node:
        """Mark the node as ended by a limit."""
        return self.put(replace(self.tree.nodes[node.index], status=NodeStatus.LIMIT))

    def charge(self, node: Node, usage: Usage) -> Node:
        """Add usage to the node that was not spent by its own turns."""
        self._used += usage
        node = self.tree.nodes[node.index]
        return self.put(replace(node, usage=node.usage + usage))

    @property
    def is_spent(self) -> bool:
        """Return True if no further completion may start."""
        limits, used = self.limits, self._used
        amounts: list[tuple[float, float | None]] = [
            (used.completions, limits.max_completions),
            (used.prompt_tokens + used.completion_tokens, limits.max_tokens),
            (self._clock() - self._started, limits.max_seconds),
        ]
        return any(limit is not None and amount >= limit for amount, limit in amounts)

    def is_stuck(self, node: Node) -> bool:
        """Return True if the branch repeats itself.

        So it does where it has made the last call of `node` `max_repeats` times, each with the same result, or said the
        same plan without a decision so often in a row.
        """
        most = self.limits.max_repeats
        if most is None or not node.turns:
            return False
        turns = self.tree.branch(node)
        match node.turns[-1]:
            case Observation():
                made = [pair for pair in itertools.pairwise(turns) if isinstance(pair[0], Call)]
                return made.count(made[-1]) >= most
            case Plan(decision=Decision.NONE) as last:
                return turns[-most:] == (last,) * most
            case _:
                return False

    async def grow(self, node: Node, environment: Environment, retell: Retelling | None = None) -> Node:
        """Grow the node by its next turns, with the status that they give it; LIMIT where a limit is spent.

        `retell` changes the branch that the agent reads.
        """
        last = node.turns[-1] if node.turns else None
        if isinstance(last, Call):
            return await self._execute(node, last, environment)
        if self.is_spent:
            return self.end(node)
        hint = (self._hint(node),) if node.hint else ()
        before = self.tree.branch(self.tree.nodes[node.parent]) if node.parent is not None else ()
        history = (*(retell(before) if retell else before), *hint, *node.turns)
        proposed = await self.within_time(self._agent.propose(self.tree.task, history))
        if proposed is None:
            return self.end(node)
        return self.say(node, proposed.get())

    def _hint(self, node: Node) -> Hint:
        """The node's hint, with the turns of the steps that were opened before it at the same place."""
        before = self.tree.nodes[: node.index] if node.parent is not None else ()
        return Hint(text=node.hint, tried=tuple(each.turns for each in before if each.parent == node.parent))

    def say(self, node: Node, proposal: Proposal) -> Node:
        """Add a proposal to the node, up to its first call; the rest waits until that has run."""
        check_proposal(proposal)
        self._used += proposal.usage
        said, self._waiting[node.index] = _until_call(proposal.turns or (Plan(thought="", decision=Decision.NONE),))
        usage = node.usage + proposal.usage
        return self.put(replace(node, turns=(*node.turns, *said), status=_status(node.turns, said), usage=usage))

    async def try_to_grow(self, node: Node, environment: Environment, retell: Retelling | None = None) -> Node:
        """Grow the node; a model that cannot complete, or a prompt that does not fit it, ends the branch: FAILED."""
        try:
            return await self.grow(node, environment, retell)
        except (ModelError, FormatError) as error:
            self.failure = error
            usage = Usage(completions=1)
            self._used += usage
            return self.put(replace(node, status=NodeStatus.FAILED, usage=node.usage + usage))

    async def _execute(self, node: Node, call: Call, environment: Environment) -> Node:
        limits = self.limits
        if limits.max_calls is not None and self._calls >= limits.max_calls:
            return self.end(node)
        self._calls += 1
        returned = await self.within_time(environment.execute(call))
        if returned is None:
            return self.end(node)
        observation = checked_observation(returned.get())
        said, self._waiting[node.index] = _until_call(self._waiting[node.index])
        status = _status(node.turns, said) if said else NodeStatus.DONE
        return self.put(replace(node, turns=(*node.turns, observation, *said), status=status))

    async def within_time(self, work: Awaitable[_Result]) -> Outcome[_Result] | None:
        """Await `work`; None when the wall time is over first, and what swallows its cancellation goes on.

        Raises what `work` raises, here or by `get`.
        """
        if self.limits.max_seconds is None:
            return Outcome(await work)
        task = asyncio.ensure_future(outcome(work))
        try:
            left_s = max(self._started + self.limits.max_seconds - self._clock(), 0.0)
            await asyncio.wait({task}, timeout=left_s)
            return task.result() if task.done() else None
        finally:
            task.cancel()


def _until_call(turns: tuple[Turn, ...]) -> tuple[tuple[Turn, ...], tuple[Turn, ...]]:
    """Turns up to the first call, which is run before anything follows it, and the rest."""
    end = next((at for at, turn in enumerate(turns, 1) if isinstance(turn, Call)), len(turns))
    return turns[:end], turns[end:]


def _status(before: tuple[Turn, ...], said: tuple[Turn, ...]) -> NodeStatus:
    asked = any(isinstance(turn, Plan) for turn in before)
    match ending(said[-1]):
        case StopReason.ANSWERED:
            return NodeStatus.ANSWERED
        case StopReason.GAVE_UP:
            return NodeStatus.GAVE_UP
        case _:
            pass
    match said[-1]:
        case Plan(decision=Decision.CALL | Decision.CONCLUDE) if not asked:
            return NodeStatus.OPEN
        case Call():
            return NodeStatus.OPEN
        case _:
            return NodeStatus.DONE
