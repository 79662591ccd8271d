"""Flow of ToolAlpaca's judge: both questions about every trajectory, asked again where a reply holds no verdicts.

Every reply goes to the record, and what has a recorded reply is not asked again. A task that nobody tried is wrong
without a question.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from alpha_umi.formats.prompts.again import ask_again
from alpha_umi.formats.prompts.toolalpaca import AGAIN, Verdict, Verdicts, read_verdicts, write_questions
from alpha_umi.judging.flow import Memory, Record
from alpha_umi.protocols import Model
from alpha_umi.types import Json, Sampling, Trajectory

_UNTRIED = Verdicts(process=Verdict.NO, response=Verdict.NO, reason="the agent did nothing")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessJudge:
    """Judge of processes and responses: a model with its sampling, and the record of its replies."""

    name: str
    """Key of this judge in the record: model and settings."""
    model: Model
    sampling: Sampling = field(default_factory=lambda: Sampling(max_tokens=512))
    attempts: int = 3
    """Replies without verdicts before a trajectory has none."""
    record: Record = field(default_factory=Memory)
    concurrency: int = 8

    async def judge_all(
        self,
        pairs: Sequence[tuple[Trajectory | None, Trajectory]],
        on_progress: Callable[[int, int], object] | None = None,
    ) -> list[Verdicts | None]:
        """Judge trajectories against their golds; None: no reply held verdicts. Raises ModelError."""
        slots, done = asyncio.Semaphore(self.concurrency), 0

        async def judge(made: Trajectory | None, gold: Trajectory) -> Verdicts | None:
            nonlocal done
            async with slots:
                verdicts = await self._judge(made, gold)
            done += 1
            if on_progress is not None:
                on_progress(done, len(pairs))
            return verdicts

        return await asyncio.gather(*(judge(made, gold) for made, gold in pairs))

    async def _judge(self, made: Trajectory | None, gold: Trajectory) -> Verdicts | None:
        if made is None or not (made.calls or made.answer):
            return _UNTRIED
        prompt = write_questions(made, gold)
        said = json.dumps([message.content for message in prompt])
        key = f"{self.name}/toolalpaca/{hashlib.sha256(said.encode(errors='surrogatepass')).hexdigest()}"
        found = self.record.find(key)
        replies = list(map(str, found["replies"])) if found and isinstance(found["replies"], list) else []
        if not replies:
            asked = prompt
            for _ in range(self.attempts):
                replies.append((await self.model.complete(asked, self.sampling)).text)
                if read_verdicts(replies[-1]) is not None:
                    break
                asked = ask_again(prompt, replies[-1], AGAIN)
            row: dict[str, Json] = {"judge": self.name, "task": gold.task.id, "replies": list[Json](replies)}
            self.record.keep(key, row)
        return read_verdicts(replies[-1])
