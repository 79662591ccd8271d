"""Oracle of the functions world: writer of gold trajectories."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from alpha_umi.types import Answer, Call, Decision, Json, Observation, Plan, StopReason, Trajectory, Turn, User
from alpha_umi.world.functions.answers import required_results, write_part
from alpha_umi.world.functions.problems import End, Exchange, FunctionProblem, Made, Step
from alpha_umi.world.functions.thoughts import (
    think_of_answer,
    think_of_asking,
    think_of_call,
    think_of_declining,
    think_of_failure,
)
from alpha_umi.world.functions.tools import InventedTool
from alpha_umi.world.random_streams import RandomStream

_DECLINES = (
    "I'm sorry, I can't do that: none of my tools is made for it.",
    "I cannot help with this, since no tool for it is available.",
    "That is not possible with the tools that I have.",
    "None of the tools that I can use does that.",
    "I have no tool for this request, so I cannot do it.",
    "Sorry, this cannot be done here: there is no tool for it.",
    "I don't have a tool that can do this.",
    "My tools cannot do that.",
)
_QUESTIONS = (
    "Which {bare} do you mean?",
    "Could you tell me {noun}?",
    "What {verb} {noun}?",
    "Please tell me {noun}, then I can do it.",
    "I can do that. Could you give me {noun}?",
    "Before I start: what {verb} {noun}?",
    "To do that I need to know {noun}. Can you tell me?",
    "You did not mention {noun}. What should I take?",
)
_FAILURE_ANSWERS = (
    "I could not do that: {tool} failed ({reason}).",
    "Sorry, it did not work. {tool} reported: {reason}",
    "This failed: {reason}. Please try again later.",
    "{tool} is not working at the moment ({reason}), so I cannot answer that.",
)


def write_gold(problem: FunctionProblem) -> Trajectory:
    """Write the gold trajectory of a problem."""
    return _Writer(problem).write()


def write_decline(rng: RandomStream) -> str:
    """Answer where no tool fits."""
    return rng.pick(_DECLINES)


def write_question(rng: RandomStream, noun: str) -> str:
    """Answer that asks for a missing argument."""
    head = noun.partition(" of ")[0]
    return rng.pick(_QUESTIONS).format(
        noun=noun,
        bare=re.sub(r"^(?:the|an?) ", "", noun),
        verb="are" if head.endswith("s") and not head.endswith("ss") else "is",
    )


def write_history(problem: FunctionProblem) -> tuple[Turn, ...]:
    """The exchanges before the last request."""
    if len(problem.exchanges) == 1:
        return ()
    turns = write_gold(problem).turns
    return turns[: max(at for at, turn in enumerate(turns) if isinstance(turn, User))]


class _Writer:
    """Writer of one gold trajectory."""

    def __init__(self, problem: FunctionProblem) -> None:
        self._problem = problem
        self._rng = RandomStream("oracle", problem.seed, problem.task.id)
        self._books = problem.books()
        self._known: dict[str, Made] = {}
        self._turns: list[Turn] = []

    def write(self) -> Trajectory:
        for exchange, made in self._problem.solution():
            self._turns.append(User(text=exchange.text))
            match exchange.end:
                case End.ANSWER:
                    self._answer(exchange, made)
                case End.DECLINE:
                    thought = think_of_declining(self._rng, exchange.wanted)
                    self._conclude(thought, write_decline(self._rng))
                case End.ASK:
                    self._ask(exchange)
                case End.FAILURE:
                    self._report(exchange)
        return Trajectory(task=self._problem.task, turns=tuple(self._turns), stop=StopReason.ANSWERED)

    def _conclude(self, thought: str, answer: str) -> None:
        self._turns += (Plan(thought=thought, decision=Decision.CONCLUDE), Answer(text=answer))

    def _answer(self, exchange: Exchange, solution: Sequence[Made]) -> None:
        for at, made in enumerate(solution, 1):
            failed = ""
            for tool in made.step.tools:
                self._call(made.step, tool, made.values, failed, (at, len(solution)))
                failed = tool.spec.name
            self._known[made.step.name] = made
        found = required_results(exchange, self._known)
        parts = [write_part(self._rng, part, self._known) for part in exchange.parts]
        self._conclude(think_of_answer(found), " ".join(dict.fromkeys(parts)))

    def _call(
        self, step: Step, tool: InventedTool, values: dict[str, Json], failed: str, place: tuple[int, int]
    ) -> Observation:
        givers = {name: made.tool.spec.name for name, made in self._known.items()}
        thought = think_of_call(tool, step, values, givers, failed=failed, place=place)
        call = Call(name=tool.spec.name, arguments=json.dumps(tool.write(values), ensure_ascii=False))
        observation = self._problem.run(call, self._books)
        self._turns += (Plan(thought=thought, decision=Decision.CALL), call, observation)
        return observation

    def _ask(self, exchange: Exchange) -> None:
        assert exchange.asked is not None  # noqa: S101
        tool, name = exchange.asked
        noun = tool.need.parameters[name].noun
        self._conclude(think_of_asking(tool, noun), write_question(self._rng, noun))

    def _report(self, exchange: Exchange) -> None:
        (step,) = exchange.steps
        (tool,) = step.tools
        observation = self._call(step, tool, dict(step.values), "", (1, 1))
        name, reason = tool.spec.name, observation.content
        answer = self._rng.pick(_FAILURE_ANSWERS).format(tool=name, reason=reason)
        self._conclude(think_of_failure(name, reason), answer)
