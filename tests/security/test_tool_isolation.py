"""Tools that raise what they like, block, swallow their cancellation or cancel themselves: each call has a status."""

import asyncio
import json
import threading
import time
from typing import Literal

import pytest

import alpha_umi as umi
from alpha_umi.environments.python import CallersLoopEnvironment, PythonEnvironment
from alpha_umi.types import Call, ToolStatus
from support.echo_agent import Echo

TIMEOUT_S = 1.0
RELEASED = threading.Event()


class Own(BaseException):
    """Of no class that anybody catches by name."""


class UnreadableError(Exception):
    def __str__(self):
        raise RuntimeError("no message for you")

    __repr__ = __str__


class NoTextError(Exception):
    def __str__(self):
        return 5


class Word(str):
    """Text with methods of its own, which nobody should call."""

    def __format__(self, spec):
        raise RuntimeError("not to be formatted")


class Unwritable:
    def __repr__(self):
        raise RuntimeError("not to be shown")

    __str__ = __repr__


def _raise(kind):
    kinds = {
        "exit": lambda: SystemExit(3),
        "interrupt": KeyboardInterrupt,
        "cancelled": asyncio.CancelledError,
        "generator": GeneratorExit,
        "own": lambda: Own("words"),
        "unreadable": UnreadableError,
        "no text": NoTextError,
        "group": lambda: BaseExceptionGroup("several", [KeyboardInterrupt(), ValueError()]),
        "time": TimeoutError,
        "memory": MemoryError,
        "recursion": RecursionError,
    }
    raise kinds[kind]()


KINDS = ("exit", "interrupt", "cancelled", "generator", "own", "unreadable", "no text", "group", "time", "memory",
         "recursion")  # fmt: skip


def fails(kind: str) -> str:
    """Raises at once."""
    _raise(kind)


async def fails_later(kind: str) -> str:
    """Raises after a pause."""
    await asyncio.sleep(0)
    _raise(kind)


def fails_when_awaited(kind: str):
    """Returns what raises."""
    return fails_later(kind)


async def misbehaves(how: Literal["itself", "all", "task", "stop", "close", "default"]) -> str:
    """Harms the loop that it runs in."""
    loop = asyncio.get_running_loop()
    if how == "itself":
        asyncio.current_task().cancel()
    if how == "all":
        for each in asyncio.all_tasks():
            each.cancel()
    if how == "task":

        async def leave():
            raise SystemExit(4)

        loop.create_task(leave()).add_done_callback(lambda done: done.exception())
    if how == "stop":
        loop.stop()
    if how == "close":
        loop.close()
    return "still here"


async def blocks(seconds: float) -> str:
    """Holds up the thread of its loop."""
    RELEASED.wait(seconds)
    return "late"


async def stays(word: str) -> str:
    """Takes no cancellation for an answer."""
    while not RELEASED.is_set():
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            continue
    return word


async def echo(word: str) -> str:
    """Answers."""
    await asyncio.sleep(0.01)
    return word


def text_of_its_own() -> str:
    return Word("fine")


def unwritable() -> object:
    return {1: Unwritable(), Unwritable(): 2}


TOOLS = (fails, fails_later, fails_when_awaited, misbehaves, blocks, stays, echo, text_of_its_own, unwritable)
ENVIRONMENTS = {
    "apart": PythonEnvironment(TOOLS, timeout_s=TIMEOUT_S),
    "in the caller's loop": CallersLoopEnvironment(PythonEnvironment(TOOLS, timeout_s=TIMEOUT_S)),
}


@pytest.fixture(scope="module", autouse=True)
def released():
    yield
    RELEASED.set()


@pytest.fixture(params=list(ENVIRONMENTS))
def environment(request):
    return ENVIRONMENTS[request.param]


def call(name, **arguments):
    return Call(name=name, arguments=json.dumps(arguments))


def run(*calls, environment=ENVIRONMENTS["apart"]):
    async def all_of_them():
        return await asyncio.gather(*[environment.execute(each) for each in calls])

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("tool", ["fails", "fails_later", "fails_when_awaited"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_exception_of_any_class_is_a_status_and_others_go_on(environment, tool, kind):
    seen, other = run(call(tool, kind=kind), call("echo", word="on"), environment=environment)
    assert seen.status is ToolStatus.ERROR
    assert seen.content.isprintable()
    assert other.content == "on"


@pytest.mark.parametrize("how", ["itself", "task", "stop", "close", "all"])
def test_a_tool_that_harms_its_loop_harms_no_later_call(how):
    (seen,) = run(call("misbehaves", how=how))
    assert seen.status in (ToolStatus.OK, ToolStatus.ERROR)
    assert [each.content for each in run(*[call("echo", word=str(number)) for number in range(5)])] == list("01234")


@pytest.mark.parametrize("how", ["itself"])
def test_a_tool_that_cancels_itself_in_the_callers_loop_is_answered_like_any_other(how):
    environment = ENVIRONMENTS["in the caller's loop"]
    seen, other = run(call("misbehaves", how=how), call("echo", word="on"), environment=environment)
    assert seen.status is ToolStatus.OK
    assert other.content == "on"


def test_a_timeout_holds_for_a_coroutine_that_blocks_its_thread_and_others_are_answered():
    started = time.monotonic()
    blocked, *others = run(call("blocks", seconds=60), *[call("echo", word=str(number)) for number in range(5)])
    assert blocked.status is ToolStatus.TIMEOUT
    assert [each.content for each in others] == list("01234")
    assert run(call("echo", word="after"))[0].content == "after"
    assert time.monotonic() - started < 10 * TIMEOUT_S


def test_a_timeout_holds_for_a_coroutine_that_swallows_its_cancellation():
    started = time.monotonic()
    seen = run(*[call("stays", word="no")] * 3, call("echo", word="on"))
    assert [each.status for each in seen] == [*[ToolStatus.TIMEOUT] * 3, ToolStatus.OK]
    assert time.monotonic() - started < 10 * TIMEOUT_S


def test_a_cancelled_call_does_not_wait_for_its_tool():
    async def main():
        waiting = asyncio.ensure_future(PythonEnvironment([stays], timeout_s=None).execute(call("stays", word="no")))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    started = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - started < 10 * TIMEOUT_S


def test_results_with_methods_of_their_own_are_plain_text_or_an_error():
    text, error = run(call("text_of_its_own"), call("unwritable"))
    assert type(text.content) is str
    assert text.content == "fine"
    assert error.status is ToolStatus.ERROR


def test_a_thread_that_cannot_start_is_a_status(monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("can't start new thread")

    environment = PythonEnvironment([fails])
    monkeypatch.setattr(threading.Thread, "start", refuse)
    seen = [run(call("fails", kind="exit"), environment=environment)[0] for _ in range(40)]
    monkeypatch.undo()
    assert {each.status for each in seen} == {ToolStatus.ERROR}


def test_a_query_goes_on_after_a_tool_that_exits():
    assert umi.ask("exit", tools=[fails], agent=Echo()).answer.startswith("exit: RuntimeError: SystemExit")
