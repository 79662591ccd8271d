"""Calls into an event loop from other threads."""

import asyncio
import threading

from alpha_umi.event_loops import LoopCalls


def test_calls_from_other_threads_are_all_made_in_order_and_wake_a_busy_loop_once():
    seen, wakes, threads = [], [], 4

    async def main():
        loop = asyncio.get_running_loop()
        calls, own = LoopCalls(loop), loop.call_soon_threadsafe

        def wake(function):
            wakes.append(function)
            own(function)

        loop.call_soon_threadsafe = wake
        for begun in (0, 500):
            working = [threading.Thread(target=give, args=(calls, which, begun)) for which in range(threads)]
            for each in working:
                each.start()
            for each in working:
                each.join()
            await asyncio.sleep(0.01)
            assert len(seen) == threads * (begun + 500)

    def give(calls, which, begun):
        for number in range(begun, begun + 500):
            calls.soon(seen.append, (which, number))

    asyncio.run(main())
    assert len(wakes) == 2
    for which in range(threads):
        assert [number for each, number in seen if each == which] == list(range(1000))


def test_a_call_that_fails_takes_no_other_along_and_a_closed_loop_is_left_alone():
    seen, failed = [], []

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: failed.append(context["exception"]))
        calls = LoopCalls(loop)
        calls.soon(lambda: 1 / 0)
        calls.soon(seen.append, "after")
        await asyncio.sleep(0.01)
        return calls

    calls = asyncio.run(main())
    assert seen == ["after"]
    assert [type(error) for error in failed] == [ZeroDivisionError]
    calls.soon(seen.append, "closed")
    assert seen == ["after"]
