"""Choices of a tool, for training: further requests to the tools of a group, of which only the first plan is learned.

What a small model learns last is which tool a request is for, or that none is; a choice costs it a few tokens where the
tools are computed once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias

from alpha_umi.roles import LEARN
from alpha_umi.types import Answer, Call, Decision, Plan, Trajectory, User
from alpha_umi.world.functions.drawing import Values
from alpha_umi.world.functions.library import SplitDomains, load_library, might_serve
from alpha_umi.world.functions.needs import FunctionNeed
from alpha_umi.world.functions.oracle import write_decline, write_question
from alpha_umi.world.functions.problems import FunctionProblem, Step
from alpha_umi.world.functions.requests import Draft, fill_query
from alpha_umi.world.functions.splits import Split
from alpha_umi.world.functions.stores import Books
from alpha_umi.world.functions.thoughts import think_of_asking, think_of_call, think_of_declining
from alpha_umi.world.functions.tools import InventedTool
from alpha_umi.world.random_streams import RandomStream

_Choice: TypeAlias = tuple[str, Plan, Call | Answer]
"""Request, plan and what follows it."""
_EACH = 2
"""Further requests for each tool."""
_NONE, _ASK = 6, 3
"""One in so many choices is that no tool fits; one in so many, where it can be, that a value is missing."""
_UNLIKE = 4
"""One in so many is kept of the requests that share fewer words with their tool than with another."""
_TRIES = 20
_WORD = re.compile("[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_SMALL_WORDS = frozenset(
    re.findall(
        "[a-z]+",
        """and are can could did does for from get give had has have how into its many much must need not our out please
        she should tell than that the their them they this want was were what when where which who will with would you
        your""",
    )
)


def write_choices(rng: RandomStream, problem: FunctionProblem, split: str) -> Iterator[Trajectory]:
    """Write first plans for requests to the tools of a problem, in random order."""
    source = load_library().of_split(Split(split))
    tools = [tool for tool in problem.tools.values() if _is_alone(tool, problem.tools)]
    for number, tool in enumerate(rng.sample(tools * _EACH, len(tools) * _EACH)):
        name = f"{problem.task.id}-{number}"
        books = Books(key=(problem.seed, name), train=problem.train, domains=problem.domains)
        found = (
            _decline(rng, source, books, problem.tools)
            if not rng.below(_NONE)
            else _ask(rng, source, books, tool, problem.tools) or _call(rng, source, books, tool, problem.tools)
        )
        if found is not None:
            text, *turns = found
            metadata = {**problem.task.metadata, "kind": "choice", "calls": 0, "needs": [], LEARN: {"planner": [1]}}
            task = replace(problem.task, id=name, query=text, metadata=metadata)
            yield Trajectory(task=task, turns=(User(text=text), *turns))


def _is_alone(tool: InventedTool, tools: Mapping[str, InventedTool]) -> bool:
    """Test if no other tool serves the same need."""
    others = [other for other in tools.values() if other is not tool]
    return not any(
        other.need is tool.need or (other.domain != tool.domain and might_serve(other.need, tool.need))
        for other in others
    )


def _call(
    rng: RandomStream, source: SplitDomains, books: Books, tool: InventedTool, tools: Mapping[str, InventedTool]
) -> _Choice | None:
    templates = source.templates(tool.need.queries)
    for _ in range(_TRIES if templates else 0):
        draft = Draft(domain=source.domains[tool.domain], need=tool.need, rng=rng, books=books)
        text = fill_query(draft, rng.pick(templates))
        if draft.values.keys() <= tool.parameters.keys() and (
            share_words(text, tool, tools.values()) or not rng.below(_UNLIKE)
        ):
            values: Values = dict(draft.values)
            step = Step(name=tool.need.id, tools=(tool,), values=values, texts=dict(draft.texts))
            call = Call(name=tool.spec.name, arguments=json.dumps(tool.write(values), ensure_ascii=False))
            return text, Plan(thought=think_of_call(tool, step, values, {}), decision=Decision.CALL), call
    return None


def _ask(
    rng: RandomStream, source: SplitDomains, books: Books, tool: InventedTool, tools: Mapping[str, InventedTool]
) -> _Choice | None:
    near = any(other is not tool and other.domain == tool.domain for other in tools.values())  # it might find the value
    missing = {name: source.templates(templates) for name, templates in tool.need.missing.items()}
    names = [name for name, templates in missing.items() if templates]
    if near or not names or rng.below(_ASK):
        return None
    name = rng.pick(names)
    draft = Draft(domain=source.domains[tool.domain], need=tool.need, rng=rng, books=books)
    text = fill_query(draft, rng.pick(missing[name]))
    noun = tool.need.parameters[name].noun
    plan = Plan(thought=think_of_asking(tool, noun), decision=Decision.CONCLUDE)
    return text, plan, Answer(text=write_question(rng, noun))


def _decline(
    rng: RandomStream, source: SplitDomains, books: Books, tools: Mapping[str, InventedTool]
) -> _Choice | None:
    for _ in range(_TRIES):
        domain, need = rng.pick(source.asking)
        if any(_may_serve(tool, domain.name, need) for tool in tools.values()):
            continue
        draft = Draft(domain=domain, need=need, rng=rng, books=books)
        text = fill_query(draft, rng.pick(source.templates(need.queries)))
        plan = Plan(thought=think_of_declining(rng, need), decision=Decision.CONCLUDE)
        return text, plan, Answer(text=write_decline(rng))
    return None


def _may_serve(tool: InventedTool, domain: str, need: FunctionNeed) -> bool:
    return tool.need is need if tool.domain == domain else might_serve(tool.need, need)


def is_plain(problem: FunctionProblem) -> bool:
    """Test if each request shares words with the tools that serve it, and as many as with any other tool."""
    offered = problem.tools.values()
    for exchange in problem.exchanges:
        tools = [tool for step in exchange.steps for tool in step.tools]
        if any(not share_words(exchange.text, tool, offered if len(tools) == 1 else ()) for tool in tools):
            return False
    return True


def share_words(text: str, tool: InventedTool, others: Iterable[InventedTool]) -> bool:
    """Test if a request shares words with a tool, and as many as with any other."""
    asked = _words(text)
    own = len(asked & _words(_described(tool)))
    return own > 0 and all(len(asked & _words(_described(other))) <= own for other in others)


def _described(tool: InventedTool) -> str:
    names = " ".join(own.name for own in tool.parameters.values())
    return f"{tool.spec.name} {tool.spec.description} {names}"


def _words(text: str) -> set[str]:
    """Content words of a text, or of a name in any case, without endings."""
    found = {word.lower() for word in _WORD.findall(text)}
    return {word.removesuffix("s") for word in found if len(word) > 2 and word not in _SMALL_WORDS}
