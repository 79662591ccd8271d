"""Verifier of the functions world: the right calls and no others, and an answer that holds the results."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from itertools import pairwise

from alpha_umi.arguments import Fault, read_arguments
from alpha_umi.types import Answer, Call, Decision, Json, Observation, Plan, ToolStatus, Trajectory, Turn, User
from alpha_umi.world.functions.answers import required_results
from alpha_umi.world.functions.needs import Effect, Parameter
from alpha_umi.world.functions.oracle import write_gold, write_history
from alpha_umi.world.functions.problems import End, Exchange, FunctionProblem, Made, Request
from alpha_umi.world.functions.wording import write_dates, write_plain, write_times
from alpha_umi.world.reading import is_hedged, sentences
from alpha_umi.world.verifier import Verdict

_NUMBER = re.compile(r"(?<![\w.,])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w])")
_DECLINING = re.compile(
    r"\b(?:cannot|can not|can['’]t|couldn['’]t|could not|unable|not able|not possible|impossible|no tools?|none of|"
    r"not available|don['’]t have|do not have|have no|nothing here|isn['’]t possible|not supported|cannot be)\b",
    re.IGNORECASE,
)
_FAILING = re.compile(
    rf"{_DECLINING.pattern}|\b(?:fail(?:ed|s|ure)?|errors?|did not work|didn['’]t work|not working|does not work|"
    r"doesn['’]t work|unavailable|no answer|try again)\b",
    re.IGNORECASE,
)
_ASKING = re.compile(
    r"\?|\bplease (?:tell|give|say|name|let)\b|\b(?:tell me|let me know|need to know)\b", re.IGNORECASE
)
_NO = re.compile(r"\b(?:no|not|false|none)\b|n['’]t\b", re.IGNORECASE)
_YES = re.compile(r"\b(?:yes|true)\b")
_SMALL = 12
"""Whole numbers up to it are free in an answer: they count things."""
_WORD = re.compile(r"[a-z]+")


def judge(problem: FunctionProblem, trajectory: Trajectory) -> Verdict:
    """Verify the last exchange of a trajectory; what comes before it must be as in the gold trajectory."""
    turns, history = trajectory.turns, write_history(problem)
    start = len(history)
    if turns[:start] != history:
        return Verdict(right=False, supported=False, reasons=("the exchanges before the last request are others",))
    solution = list(problem.solution())
    exchange, made = solution[-1]
    known = {each.step.name: each for _, several in solution for each in several}
    unsupported = list(_judge_calls(problem, exchange, made, turns, start))
    wrong = list(_judge_end(problem, exchange, known, trajectory.final_turn, turns))
    return Verdict(right=not wrong, supported=not unsupported, reasons=(*wrong, *unsupported))


# --- the calls --------------------------------------------------------------------------------------------


def _judge_calls(
    problem: FunctionProblem, exchange: Exchange, solution: Sequence[Made], turns: Sequence[Turn], start: int
) -> Iterator[str]:
    books, made, tried = problem.books(), Counter[Request](), set[Request]()
    for at, (turn, after) in enumerate(pairwise(turns)):
        if not isinstance(turn, Call) or not isinstance(after, Observation):
            continue
        truth = problem.run(turn, books)
        if truth.content != after.content:
            yield f"{turn.name} did not answer {after.content!r}"
        request = _requested(problem, turn) if at >= start else None
        if request is not None and turn.name in problem.down:
            tried.add(request)
        elif request is not None and truth.status is ToolStatus.OK:
            made[request] += 1
    yield from _compare(solution, made)
    if exchange.end is End.FAILURE:
        (step,) = exchange.steps
        if Request.of(step.tools[0], step.values) not in tried:
            yield f"{step.tools[0].spec.name} was not tried with the right arguments"


def _compare(solution: Sequence[Made], made: Counter[Request]) -> Iterator[str]:
    """Calls that are missing, and calls that nobody asked for. Reading twice is no fault."""
    effects = {each.request: each.tool.need.effect for each in solution}
    wanted = Counter(each.request for each in solution)
    for request, count in wanted.items():
        if made[request] < count:
            yield f"no call of {request.need} with {request.arguments}"
        if made[request] > count and effects[request] is not Effect.READ:
            yield f"{request.need} was called too often"
    for request in made:
        if request not in wanted:
            yield f"{request.need} was called with {request.arguments}, which nobody asked for"


def _requested(problem: FunctionProblem, call: Call) -> Request | None:
    """The request of a call; None for an unknown tool and bad arguments."""
    tool = problem.tools.get(call.name)
    if tool is None:
        return None
    arguments = read_arguments(tool.spec, call.arguments)
    return None if isinstance(arguments, Fault) else Request.of(tool, tool.read(arguments))


# --- the end ----------------------------------------------------------------------------------------------


def _judge_end(
    problem: FunctionProblem, exchange: Exchange, known: dict[str, Made], last: Turn | None, turns: Sequence[Turn]
) -> Iterator[str]:
    if isinstance(last, Plan) and last.decision is Decision.GIVE_UP:
        if exchange.end not in (End.DECLINE, End.FAILURE):
            yield "the task can be done, but it is given up"
        return
    if not isinstance(last, Answer):
        yield "it ends neither with an answer nor by giving up"
        return
    match exchange.end:
        case End.ANSWER:
            yield from _judge_answer(problem, exchange, known, last.text, turns)
        case End.DECLINE:
            if not _DECLINING.search(last.text):
                yield "the answer does not say that no tool can do it"
        case End.FAILURE:
            if not _FAILING.search(last.text):
                yield "the answer does not say that the tool failed"
        case End.ASK:
            yield from _judge_question(exchange, last.text)


def _judge_question(exchange: Exchange, text: str) -> Iterator[str]:
    assert exchange.asked is not None  # noqa: S101
    tool, name = exchange.asked
    own, parameter = tool.parameters[name], tool.need.parameters[name]
    names = _words_of(parameter) | _words(own.name)
    if not _ASKING.search(text):
        yield "the answer asks for nothing"
    elif not any(word.startswith(each[:4]) for word in _words(text) for each in names):
        yield f"the answer does not ask for {parameter.noun}"


def _words_of(parameter: Parameter) -> set[str]:
    """Words by which a parameter may be asked for."""
    texts = [parameter.noun, *parameter.names, *(each.noun for each in parameter.fields.values())]
    return set[str]().union(*map(_words, texts))


def _words(text: str) -> set[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return {word for word in _WORD.findall(spaced.lower()) if len(word) > 2 and word not in ("the", "and", "for")}


def _judge_answer(
    problem: FunctionProblem, exchange: Exchange, known: dict[str, Made], text: str, turns: Sequence[Turn]
) -> Iterator[str]:
    answer = _normalized(text)
    numbers = set(_numbers(answer))
    for tool, results in required_results(exchange, known):
        for name, value in results.items():
            if not _holds(answer, numbers, value):
                yield f"the answer lacks {name} of {tool.need.id}: {write_plain(value)[:80]}"
    said = " ".join(
        turn.text if isinstance(turn, User) else turn.content for turn in turns if isinstance(turn, (User, Observation))
    )
    called = " ".join(turn.arguments for turn in turns if isinstance(turn, Call))
    fixed = " ".join(each.text for tool in problem.tools.values() for each in tool.need.answers)
    allowed = set(_numbers(_normalized(f"{said} {called} {fixed}")))
    allowed |= {Decimal(part) for part in re.findall(r"\d+", said + called)}
    for number in sorted(numbers - allowed):
        if not (number == number.to_integral_value() and 0 <= number <= _SMALL):
            yield f"the answer holds {number}, which is not so"
    right = write_gold(problem).answer or ""
    if any(map(is_hedged, sentences(text))) and not any(map(is_hedged, sentences(right))):
        yield "the answer denies or doubts something"


def _holds(answer: str, numbers: set[Decimal], value: Json) -> bool:
    """True for an answer with a value, in any of its wordings."""
    match value:
        case bool():
            denied = bool(_NO.search(answer))
            return denied if not value else not denied or bool(_YES.search(answer))
        case int() | float():
            return Decimal(str(value)) in numbers
        case list():
            return all(_holds(answer, numbers, _key(each)) for each in value)
        case str():
            wordings = {value, *write_dates(value), *write_times(value)}
            return any(_stands_in(answer, _normalized(each)) for each in wordings)
        case _:
            return True


def _key(value: Json) -> Json:
    """Of a record its key, which stands first."""
    return next(iter(value.values()), None) if isinstance(value, dict) else value


def _stands_in(answer: str, words: str) -> bool:
    return bool(re.search(rf"(?<![\w]){re.escape(words)}(?![\w])", answer)) if words else True


def _normalized(text: str) -> str:
    return " ".join(text.casefold().replace("’", "'").replace("−", "-").split())


def _numbers(text: str) -> Iterator[Decimal]:
    for found in _NUMBER.findall(text):
        try:
            yield Decimal(found.replace(",", ""))
        except InvalidOperation:
            continue
