"""Many long prompts at once: the event loop goes on while they are counted and tokenised."""

import asyncio
import time

from alpha_umi.agent import RoleModel, SingleAgent
from alpha_umi.formats.fit import Window
from alpha_umi.formats.react import ReActFormat
from alpha_umi.models.local import LocalModel
from alpha_umi.models.scripted import ScriptedModel
from alpha_umi.types import Sampling, Task, User
from support.tiny_models import tiny_llama, tiny_tokenizer

PROMPTS, EACH_S = 40, 0.02


class SlowTokenizer:
    """Tokenizer that takes its time, as for a long prompt."""

    def __init__(self):
        self._inner = tiny_tokenizer()
        self.encoded = 0

    def encode(self, text, **options):
        time.sleep(EACH_S)
        self.encoded += 1
        return self._inner.encode(text, **options)

    def __len__(self):
        return len(self._inner)

    def __getattr__(self, name):
        return getattr(self._inner, name)


async def longest_pause(coroutines):
    """Seconds for which the event loop did nothing else while all coroutines were run."""
    longest, last = 0.0, time.perf_counter()

    async def watch():
        nonlocal longest, last
        while True:
            await asyncio.sleep(0.002)
            longest, last = max(longest, time.perf_counter() - last), time.perf_counter()

    watching = asyncio.ensure_future(watch())
    await asyncio.sleep(0)
    last = time.perf_counter()
    await asyncio.gather(*coroutines)
    longest = max(longest, time.perf_counter() - last)
    watching.cancel()
    return longest


def test_prompts_are_tokenised_beside_the_event_loop():
    tokenizer = SlowTokenizer()
    model = LocalModel(tiny_llama(len(tokenizer)), tokenizer, end="</s>")

    async def main():
        prompts = [f"the planner {number}" for number in range(PROMPTS)]
        pause = await longest_pause([model.complete(each, Sampling(max_tokens=1)) for each in prompts])
        await model.aclose()
        return pause

    assert asyncio.run(main()) < PROMPTS * EACH_S / 2
    assert tokenizer.encoded >= PROMPTS


def test_prompts_are_fitted_into_their_window_beside_the_event_loop():
    def count(prompt):
        time.sleep(EACH_S)
        return len(prompt)

    backbone = RoleModel(model=ScriptedModel(["no"] * PROMPTS), window=Window(limit=10**6, count=count))
    agent = SingleAgent(backbone=backbone, format=ReActFormat())

    async def main():
        tasks = [Task(id=str(number), query="q") for number in range(PROMPTS)]
        return await longest_pause([agent.propose(task, (User(text="q"),)) for task in tasks])

    assert asyncio.run(main()) < PROMPTS * EACH_S / 2
