"""The oracle with noise: on its way it is right, now and then it errs, and then it is lost and ends."""

import hashlib
import json

from alpha_umi.types import Answer, Call, Decision, Plan, Proposal, Usage, User
from alpha_umi.world.oracle_agent import world_of


def share(*told):
    """A number in [0, 1) that is always the same for the same things."""
    return int(hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12], 16) / 16**12


class Noisy:
    async def propose(self, task, turns):
        gold = world_of(task).gold(task).turns[1:]
        said = tuple(turn for turn in turns if not isinstance(turn, User))
        rest = gold[len(said) :]
        end = next((at for at, turn in enumerate(rest, 1) if isinstance(turn, Call | Answer)), len(rest))
        return Proposal(
            turns=self._step(said == gold[: len(said)], rest[:end], share(task.id, [str(t) for t in turns])),
            usage=Usage(completions=1),
        )

    def _step(self, on_the_way, step, luck):
        if on_the_way and luck < 0.5:
            return step
        if on_the_way and luck < 0.7 and isinstance(step[-1], Call):
            return step[0], Call(name=step[1].name, arguments='{"no": 1}')
        if luck < 0.75:
            return Plan(thought="I guess.", decision=Decision.CONCLUDE), Answer(text="Seven.")
        return (Plan(thought="I am lost.", decision=Decision.GIVE_UP),)
