"""Episode: one task of the sealed world, played by a program outside; every adapter to another library uses it.

An episode is its task and what was called and answered, in order; what the tools say follows from that. So episodes
that were recorded as a transcript are played again, with the same verdict.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from alpha_umi.formats.dialects.reasoning import without_reasoning
from alpha_umi.formats.native import Ending, NativeFormat, write_reply
from alpha_umi.formats.prompts.unknown_tools import unknown_tool
from alpha_umi.models.tool_calls import ToolWire
from alpha_umi.types import (
    Answer,
    Call,
    Decision,
    Json,
    Observation,
    Plan,
    Role,
    Task,
    ToolSpec,
    ToolStatus,
    Trajectory,
    Turn,
    User,
)
from alpha_umi.world import Verdict
from alpha_umi.world.oracle_agent import open_world, world_of

Arguments: TypeAlias = "str | Mapping[str, Json]"
"""Arguments of a call: an object, or its JSON text as a model wrote it."""
Reply: TypeAlias = tuple[str, Sequence[tuple[str, Arguments]]]
"""Text of an assistant's message, and its calls by name and arguments."""
ENDED = "The task has ended."
EMPTY = "The answer is empty; the task goes on."


class Episode:
    """Episode of one task: tools to call, until it is answered or given up; then a verdict.

    With `Ending.REPLY` a model ends by a message without calls (`answer`), or gives up by a tool; with `FINISH` a tool
    does both, for interfaces that know calls alone. Tools are called by names that function calling allows.
    """

    def __init__(self, task: Task, ending: Ending = Ending.REPLY) -> None:
        """Raises DataError for a task that no world of this version made."""
        self.task = task
        self.ended = False
        self._world = world_of(task)
        self._world.check(task)
        self._format = NativeFormat(ending=ending)
        self._turns: list[Turn] = [*self._world.history(task), User(text=task.query)]
        self._earlier = [turn for turn in self._turns if isinstance(turn, Call)]
        prompt = self._format.render(Role.BACKBONE, task, self._turns)
        self.request: dict[str, Any] = ToolWire(prompt).request()
        """Messages and tools of the first request to a model, in OpenAI's format."""
        functions = [tool["function"] for tool in self.request["tools"]]
        self.tools = tuple(ToolSpec(**function) for function in functions)
        self.names = {wired.name: tool.name for wired, tool in zip(self.tools, prompt.tools, strict=True)}
        """Names of the task\'s tools, by those under which they are called here."""

    @classmethod
    def open(cls, preset: str, split: str, index: int, seed: int = 0, ending: Ending = Ending.REPLY) -> Episode:
        """Open the episode of a task by its place in a world. Raises ConfigError where there is none."""
        return cls(open_world(preset, seed).task(split, index), ending)

    def call(self, name: str, arguments: Arguments) -> Observation:
        """Call a tool. Total: what is wrong with a call is its observation, and after the end nothing is called."""
        if self.ended:
            return Observation(content=ENDED, status=ToolStatus.ERROR)
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        call = Call(name=self.names.get(name, ""), arguments=text)
        if not call.name:
            return unknown_tool(name)
        turns = self._format.parse(Role.BACKBONE, write_reply("", [call]))
        if isinstance(turns[-1], Answer):
            return self.answer(turns[-1].text)
        if not isinstance(turns[-1], Call):
            return self._end(turns)
        seen = self._world.execute(call, self.task, self._earlier)
        self._earlier.append(call)
        self._turns += (*turns, seen)
        return seen

    def answer(self, text: str) -> Observation:
        """End the episode with an answer. Reasoning is no part of it, and nothing ends by an empty one."""
        said = without_reasoning(text).strip()
        if self.ended or not said:
            return Observation(content=ENDED if self.ended else EMPTY, status=ToolStatus.ERROR)
        return self._end((Plan(thought="", decision=Decision.CONCLUDE), Answer(text=said)))

    def replay(self, replies: Iterable[Reply]) -> Episode:
        """Play the replies of a model, in order: their calls, and the last text without calls as the answer."""
        last = ""
        for text, calls in replies:
            for name, arguments in calls:
                self.call(name, arguments)
            last = "" if calls else text
        if last:
            self.answer(last)
        return self

    @property
    def trajectory(self) -> Trajectory:
        """What happened so far."""
        return Trajectory(task=self.task, turns=tuple(self._turns))

    @property
    def verdict(self) -> Verdict:
        """Verdict of the world's verifier on what happened so far."""
        return self._world.verify(self.task, self.trajectory)

    @property
    def outcome(self) -> dict[str, Any]:
        """The verdict as a JSON object."""
        verdict = self.verdict
        told = {"passed": verdict.passed, "right": verdict.right, "supported": verdict.supported}
        return {**told, "reasons": list(verdict.reasons)}

    def _end(self, turns: Sequence[Turn]) -> Observation:
        self._turns += turns
        self.ended = True
        return Observation(content=ENDED)
