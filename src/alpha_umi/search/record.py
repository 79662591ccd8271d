"""ToolBench answer files of finished searches: the tree, and the messages of its best branch."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from alpha_umi.formats.finish import FINISH
from alpha_umi.search.chain import Chain
from alpha_umi.search.dfsdt import DepthFirst
from alpha_umi.search.drawing import Act, Drawing, write_acts
from alpha_umi.search.reference import PublishedChain, PublishedTree, node_depth, retell
from alpha_umi.search.tree import Node, NodeStatus, Tree
from alpha_umi.types import Json, Plan, Reference, ToolSpec, Turn, User

_Message: TypeAlias = dict[str, Json]
_ENOUGH, _EXHAUSTED, _CUT = 10_000, 1, 100_000
_SEPARATOR = "\n "
"""Stands before a decision in thoughts as the published data writes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """Writer of the answer documents of searches by one strategy."""

    strategy: Chain | DepthFirst | PublishedChain | PublishedTree
    reference: Reference = Reference.OPENBMB
    seed: int | None = None
    """Chooses among several give-ups, as published; None: the first one."""

    def write(self, tree: Tree) -> dict[str, Json]:
        """Write the answer document in ToolBench's keys; the tree is under `tree`, that of chains under `trys`."""
        answered = self._counted(tree, NodeStatus.ANSWERED)
        gave_up = [] if self._is_chain else self._counted(tree, NodeStatus.GAVE_UP)
        leaf = answered[0] if answered else self._choose(gave_up) if gave_up else None
        acts = self._acts(leaf.turns) if leaf else []
        generation: dict[str, Json] = {
            "valid_data": leaf is not None,
            "query_count": self._queries(tree),
            "total_tokens": tree.usage.prompt_tokens + tree.usage.completion_tokens,
            "final_answer": acts[-1].arguments if acts else "",
            "finish_type": "give_up" if gave_up and not answered else "give_answer",
            "function": [*map(_write_tool, tree.task.tools), {"name": FINISH}],
            "chain": [],
            "train_messages": list[Json](self._messages(tree, leaf)) if leaf else [],
            "query": tree.task.query,
        }
        return {"win": bool(answered), **self._tried(tree), "answer_generation": generation}

    def return_value(self, tree: Tree) -> int:
        """Return the value that ToolBench's search function returned: the steps that its caller was to go back."""
        enough = len(self._counted(tree, NodeStatus.ANSWERED)) >= getattr(self.strategy, "answers", 1)
        if self._is_chain:
            return int(enough)
        cut = cut_at(tree, self.strategy) if isinstance(self.strategy, PublishedTree) else None
        if enough or cut is None:
            return _ENOUGH if enough else _EXHAUSTED
        return _CUT - (len(tree.path(cut)) - 1)

    @property
    def _is_chain(self) -> bool:
        return isinstance(self.strategy, Chain | PublishedChain)

    @property
    def _is_published(self) -> bool:
        return isinstance(self.strategy, PublishedChain | PublishedTree)

    def _acts(self, turns: Sequence[Turn]) -> list[Act]:
        return write_acts(turns, published=self._is_published)

    @property
    def _is_umi(self) -> bool:
        """Return True where X-PLUG's messages differ: it changed those of trees alone."""
        return self.reference is Reference.ALPHA_UMI and not self._is_chain

    def _counted(self, tree: Tree, status: NodeStatus) -> list[Node]:
        """Ends of a kind, in the order found. As published only those count that were looked into."""
        found = [node for node in tree.nodes if node.status is status]
        if isinstance(self.strategy, PublishedTree):
            found = sorted((node for node in found if node.visit is not None), key=lambda node: node.visit or 0)
        return found

    def _choose(self, gave_up: list[Node]) -> Node:
        return gave_up[0] if self.seed is None else random.Random(self.seed).choice(gave_up)  # noqa: S311

    def _queries(self, tree: Tree) -> int:
        """Steps, comparisons, and the last step of a published search, which was asked for and discarded."""
        steps, strategy = len(tree.nodes) - 1, self.strategy
        if not isinstance(strategy, PublishedTree):
            return steps
        if strategy.ranker:
            families = [len(tree.children(node)) for node in tree.nodes]
            steps += sum(size * (size - 1) for size in families if size == strategy.width)
        return steps + (cut_at(tree, strategy) is not None)

    def _tried(self, tree: Tree) -> dict[str, Json]:
        strategy = self.strategy
        drawing = Drawing(tree, getattr(strategy, "max_nodes", 0), published=self._is_published)
        if not self._is_chain:
            for node in self._backed_up(tree):
                drawing.finish(node)
            return {"tree": {"size": drawing.size, "max_length": drawing.length, "tree": drawing.root}}
        leaves = [node for node in tree.nodes[1:] if not tree.children(node)]
        ends = [leaf.status is NodeStatus.ANSWERED for leaf in leaves]
        # As published, a chain counts as won when one before it was.
        return {
            "trys": [
                {"chain": list[Json](drawing.chain(leaf)), "win": any(ends[:number])}
                for number, leaf in enumerate(leaves)
            ]
        }

    def _backed_up(self, tree: Tree) -> list[Node]:
        """Steps that a ranked published search left early: a child answered or gave up, or its queries were spent."""
        strategy = self.strategy
        if not isinstance(strategy, PublishedTree) or not strategy.ranker:
            return []
        left = [
            *self._counted(tree, NodeStatus.GAVE_UP),
            *self._counted(tree, NodeStatus.ANSWERED)[: strategy.answers - 1],
        ]
        parents = [tree.nodes[node.parent or 0] for node in left]
        # A spent budget of queries leaves every step above it.
        cut = cut_at(tree, strategy)
        return parents if cut is None else [*parents, *tree.path(cut)[:-1]]

    # --- messages -----------------------------------------------------------------------------------------

    def _messages(self, tree: Tree, leaf: Node) -> list[Json]:
        """Rows of messages, one per step of the branch: all before it, and the step; of hints only the last."""
        rows: list[Json] = []
        said: list[_Message] = [] if self._is_umi else [{"role": "system", "content": ""}]
        said.append(self._message("user", tree.task.query))
        for step in tree.path(leaf)[1:]:
            turns = retell(step.turns)
            if said[-1]["role"] == "assistant" and _thought(turns) is not None:
                rows.append(_last_hint_alone(said))  # as published: once more before what follows a mere thought
            hints = [turn.text for turn in turns if isinstance(turn, User)] + [step.hint] * bool(step.hint)
            said = [*said, *({**self._message("user", hint), "valid": False} for hint in hints)]
            for message, observed in self._write_step(turns):
                said = [*said, message]
                rows.append(_last_hint_alone(said))
                said = [*said, *observed]
        return rows

    def _message(self, role: str, content: str) -> _Message:
        value: _Message = {"value": content} if self._is_umi else {}
        return {"role": role, "content": content, **value}

    def _write_step(self, turns: Sequence[Turn]) -> Iterator[tuple[_Message, list[_Message]]]:
        """A message for each call of a step, with what was observed after it; of a mere thought one message."""
        content, acts = _thought(turns), self._acts(turns)
        if not acts:
            yield {"role": "assistant", "content": content}, []
        for act in acts:
            call: Json = {"name": act.name, "arguments": act.arguments}
            yield {"role": "assistant", "content": content, "function_call": call}, self._write_observation(act)
            content = None

    def _write_observation(self, act: Act) -> list[_Message]:
        if act.observation is None:
            return []
        role = "observation" if self._is_umi else "function"
        return [{**self._message(role, act.observation.content), "name": act.name}]


def cut_at(tree: Tree, strategy: PublishedTree) -> Node | None:
    """Return the step after which a published search spent its last query; None where it did not run out."""
    return next(
        (
            node
            for node in tree.nodes
            if node.status is NodeStatus.LIMIT and node_depth(tree, node) < strategy.max_nodes
        ),
        None,
    )


def _last_hint_alone(said: Sequence[_Message]) -> list[Json]:
    hints = [at for at, message in enumerate(said) if message.get("valid") is False]
    return [message for at, message in enumerate(said) if at not in hints[:-1]]


def _thought(turns: Sequence[Turn]) -> str | None:
    """Thought of a step; None where there is none and a call follows."""
    thought = next((turn.thought for turn in turns if isinstance(turn, Plan)), "").removesuffix(_SEPARATOR)
    return thought if thought or not write_acts(turns) else None


def _write_tool(tool: ToolSpec) -> Json:
    parameters: dict[str, Json] = {"type": "object", "properties": {}, **tool.parameters}
    return {"name": tool.name, "description": tool.description, "parameters": parameters}
