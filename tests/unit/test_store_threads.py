"""Threads that work for an event loop."""

import asyncio
import threading
import time

import pytest

from polyport.store.threads import Threads

pytestmark = pytest.mark.anyio


async def test_what_the_work_gives_is_given_and_what_it_raises_is_raised():
    threads = Threads("test-work", 1)
    assert await threads.run(lambda one, two: one + two, 1, 2) == 3
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 / 0)
    assert await threads.run(threading.get_ident) != threading.get_ident()
    threads.close(wait=True)


async def test_one_thread_works_in_the_order_of_asking():
    threads, seen = Threads("test-order", 1), []
    await asyncio.gather(*(threads.run(seen.append, number) for number in range(100)))
    assert seen == list(range(100))
    threads.close(wait=True)


async def test_more_threads_are_begun_only_while_those_there_are_have_work():
    threads, gate = Threads("test-more", 3), threading.Event()
    for _again in range(5):
        await threads.run(lambda: None)
        while not threads._free:  # noqa: ASYNC110  a thread that is done signals nothing
            await asyncio.sleep(0.001)
    assert _named("test-more") == 1
    waiting = [threads.run(gate.wait, 60) for _one in range(5)]
    assert _named("test-more") == 3
    gate.set()
    assert await asyncio.gather(*waiting) == [True] * 5
    threads.close(wait=True)
    assert _named("test-more") == 0


async def test_a_slow_call_holds_up_nobody_else():
    threads, gate = Threads("test-slow", 2), threading.Event()
    slow = threads.run(gate.wait, 60)
    for number in range(20):
        assert await asyncio.wait_for(threads.run(lambda number=number: number), 60) == number
    gate.set()
    await slow
    threads.close(wait=True)


async def test_work_whose_caller_went_away_is_done_to_its_end():
    threads, done = Threads("test-gone", 1), threading.Event()

    def work() -> None:
        time.sleep(0.05)
        done.set()

    asked = threads.run(work)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert await threads.run(done.is_set)
    threads.close(wait=True)


async def test_closed_threads_do_what_was_asked_before_and_nothing_more():
    threads, seen = Threads("test-closed", 1), []
    asked = [threads.run(seen.append, number) for number in range(10)]
    threads.close(wait=True)
    assert seen == list(range(10))
    await asyncio.gather(*asked)
    with pytest.raises(RuntimeError, match="closed"):
        threads.run(print)


async def test_a_thread_that_the_system_cannot_begin_is_told_and_not_waited_for(monkeypatch):
    threads = Threads("test-none", 1)

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            threads.run(print)
    assert await threads.run(lambda: 7) == 7
    threads.close(wait=True)


def test_a_loop_that_was_closed_meanwhile_is_no_fault(monkeypatch):
    faults = []
    monkeypatch.setattr(threading, "excepthook", faults.append)
    threads, gate = Threads("test-lost", 1), threading.Event()

    async def ask() -> None:
        threads.run(gate.wait, 60)

    asyncio.run(ask())
    gate.set()
    threads.close(wait=True)
    assert faults == []


def _named(name: str) -> int:
    return sum(thread.name.startswith(f"{name}-") for thread in threading.enumerate())
