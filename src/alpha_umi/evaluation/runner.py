"""Teacher-forced prediction: an agent proposes every scored step after the reference's own history.

Steps are independent of each other, so they run concurrently, resume from finished ones, and shard over processes
that share only a folder: each process appends to its own part, and the one that finds all parts complete writes the
result. A small file beside it (`.provenance`) records the settings, so that the same work is not repeated, not even
by a process that starts after the parts are removed. The rows have the published shape
(`tools, reference, predictions`) and our fields.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from alpha_umi.agent import propose_step
from alpha_umi.errors import DataError
from alpha_umi.formats.documents import write_document
from alpha_umi.formats.steps import write_step
from alpha_umi.protocols import Agent
from alpha_umi.store import Ledger, encode_turn, read_json, write_json
from alpha_umi.types import Answer, Call, Decision, Json, Plan, Proposal, Task, Trajectory, Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredStep:
    """One step of a reference trajectory: the turns that follow `history`."""

    key: str
    task: Task
    history: tuple[Turn, ...]
    reference: tuple[Turn, ...]


def scored_steps(trajectories: Iterable[Trajectory]) -> Iterator[ScoredStep]:
    """Select the steps whose plan decides and is followed by what it decided, as the published evaluation does."""
    for number, trajectory in enumerate(trajectories):
        for at, step in _decided_steps(trajectory.turns):
            yield ScoredStep(
                key=f"{number}/{trajectory.task.id}/{at}",
                task=trajectory.task,
                history=trajectory.turns[:at],
                reference=step,
            )


def _decided_steps(turns: Sequence[Turn]) -> Iterator[tuple[int, tuple[Turn, ...]]]:
    for at, turn in enumerate(turns):
        match turn, turns[at + 1] if at + 1 < len(turns) else None:
            case Plan(decision=Decision.GIVE_UP), _:
                yield at, (turn,)
            case (Plan(decision=Decision.CALL), Call() as said) | (Plan(decision=Decision.CONCLUDE), Answer() as said):
                yield at, (turn, said)
            case _:
                pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Rank of this process among those that share the predictions."""

    rank: int = 0
    world_size: int = 1

    def take(self, steps: Sequence[ScoredStep]) -> Sequence[ScoredStep]:
        """Select the items of this process."""
        return steps[self.rank :: self.world_size]


class Predictions:
    """Predictions of one agent on one list of steps, stored in parts until all of them are there.

    `fingerprint` identifies the settings: parts with another one are not read, and a result with another one is
    replaced. A result that was changed since it was written is ignored, too.
    """

    def __init__(
        self,
        out: Path,
        steps: Sequence[ScoredStep],
        fingerprint: str,
        shard: Shard | None = None,
        *,
        constrained: bool = False,
    ) -> None:
        """Open the predictions. `constrained`: whether a grammar constrains the agent; every row records it."""
        self._out = out
        self._constrained = constrained
        self._steps = steps
        self._shard = shard or Shard()
        self._fingerprint = fingerprint
        self._provenance = out.with_name(f"{out.name}.provenance")
        self._parts = out.with_name(f"{out.name}.{fingerprint}.parts")
        self._own = Ledger(self._parts / f"{self._shard.rank:05d}.jsonl")
        self._own.mend()
        done = self._rows()
        self.kept = sum(step.key in done for step in steps)
        self._open = [step for step in self._shard.take(steps) if step.key not in done]
        # Looked for after the parts: another process says that all is done before it takes the parts away.
        if self._is_finished():
            self.kept, self._open = len(steps), []

    @property
    def remaining(self) -> int:
        """Count the steps of this process that are still to be predicted."""
        return len(self._open)

    async def run(self, agent: Agent, concurrency: int) -> AsyncGenerator[ScoredStep, None]:
        """Predict the remaining steps, `concurrency` at a time; yields each step once it is on disk."""
        waiting = iter(self._open)
        running = {asyncio.create_task(_predict(agent, step)) for step in islice(waiting, concurrency)}
        try:
            while running:
                finished, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in finished:
                    step, proposal = task.result()
                    self._own.append(step.key, {**_row(step, proposal), "constrained": self._constrained})
                    yield step
                running |= {asyncio.create_task(_predict(agent, step)) for step in islice(waiting, len(finished))}
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def write(self) -> bool:
        """Write the result, in the order of the steps, if the rows of every process are there; else return False."""
        if not self._is_finished():
            rows = self._rows()
            if any(step.key not in rows for step in self._steps):
                return False
            write_json(self._out, [rows[step.key] for step in self._steps])
            write_json(self._provenance, self._certificate())
        shutil.rmtree(self._parts, ignore_errors=True)
        return True

    def _rows(self) -> dict[str, Json]:
        rows: dict[str, Json] = {}
        try:
            for part in sorted(self._parts.iterdir()):
                rows |= Ledger(part).read()
        except FileNotFoundError:
            pass  # not begun, or another process has just finished
        return rows

    def _is_finished(self) -> bool:
        try:
            return read_json(self._provenance) == self._certificate()
        except (DataError, OSError):
            return False

    def _certificate(self) -> dict[str, Json]:
        with self._out.open("rb") as file:
            return {"fingerprint": self._fingerprint, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


async def _predict(agent: Agent, step: ScoredStep) -> tuple[ScoredStep, Proposal]:
    return step, await propose_step(agent, step.task, step.history)


def _row(step: ScoredStep, proposal: Proposal) -> dict[str, Json]:
    return {
        "tools": [write_document(tool) for tool in step.task.tools],
        "reference": write_step(step.reference),
        "predictions": write_step(proposal.turns),
        "key": step.key,
        "query": step.task.query,
        "proposal": [encode_turn(turn) for turn in proposal.turns],
        "prompt_tokens": proposal.usage.prompt_tokens,
        "completion_tokens": proposal.usage.completion_tokens,
    }
