"""How many runs a process claims while callers come: all there is room for, some, or a few where its loop is behind. On a real event loop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest

from polyport.queue import courtesy
from polyport.queue.courtesy import (
    CALLS_LEAST,
    LATE_RUNS,
    LATE_SECONDS,
    LONG_PAUSE_SECONDS,
    PAUSE_SECONDS,
    SOME_RUNS,
    WINDOW_SECONDS,
    Courtesy,
)

pytestmark = pytest.mark.anyio
ROOM = 200


class Callers:
    """How many runs were asked for; each look finds ``each`` more."""

    def __init__(self, each: int) -> None:
        self.count = 0
        self.each = each

    def __call__(self) -> int:
        self.count += self.each
        return self.count


@pytest.fixture
def punctual(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A machine that wakes who slept just in time: whether this one does is nothing that the courtesy is to blame for. What it gives are the pauses made."""
    now = 0.0
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        pauses.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(courtesy, "asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(courtesy, "time", SimpleNamespace(monotonic=lambda: now))
    return pauses


@contextlib.asynccontextmanager
async def busy_loop(milliseconds: int) -> AsyncIterator[None]:
    """A loop that never rests: each of its turns takes so long."""
    busy = True

    def turn() -> None:
        time.sleep(milliseconds / 1000)
        if busy:
            asyncio.get_running_loop().call_soon(turn)

    turn()
    try:
        yield
    finally:
        busy = False


async def test_where_nobody_calls_all_are_claimed_at_once_however_busy_the_process_is():
    claims = Courtesy(lambda: 0)
    async with busy_loop(10):
        turns = 0

        def turned() -> None:
            nonlocal turns
            turns += 1

        asyncio.get_running_loop().call_soon(turned)
        assert await claims.admit(ROOM) == ROOM
        assert turns == 0  # it did not wait


async def test_while_callers_come_to_a_process_that_keeps_up_some_are_claimed(punctual):
    claims = Courtesy(Callers(CALLS_LEAST))
    assert [await claims.admit(ROOM) for _ in range(3)] == [SOME_RUNS] * 3
    assert await claims.admit(2) == 2


async def test_while_callers_come_to_a_process_that_does_not_keep_up_a_few_are_claimed_again_and_again():
    claims = Courtesy(Callers(CALLS_LEAST))
    async with busy_loop(30):
        assert await claims.admit(ROOM) == LATE_RUNS
        assert await claims.admit(ROOM) == LATE_RUNS
        assert await claims.admit(1) == 1


async def test_a_process_that_keeps_up_again_claims_more_again_and_after_shorter_pauses(punctual):
    claims = Courtesy(Callers(CALLS_LEAST))
    claims._late = 2 * LATE_SECONDS  # as a loop leaves it that was behind
    admitted = [await claims.admit(ROOM) for _ in range(6)]
    # What is claimed goes by how late the pause just made was; the pause itself by those before it.
    assert admitted == [LATE_RUNS] * 2 + [SOME_RUNS] * 4
    assert punctual == [LONG_PAUSE_SECONDS] * 3 + [PAUSE_SECONDS] * 3


async def test_few_callers_are_not_what_keeps_a_process_busy():
    callers = Callers(0)
    claims = Courtesy(callers)
    async with busy_loop(10):
        for _window in range(4):
            callers.count += CALLS_LEAST // 2 - 1
            assert await claims.admit(ROOM) == ROOM
            await asyncio.sleep(WINDOW_SECONDS)


async def test_callers_count_for_as_long_as_a_window_or_two_however_many_claims_follow_each_other(punctual):
    callers = Callers(0)
    claims = Courtesy(callers)
    callers.count = CALLS_LEAST
    admitted = [await claims.admit(ROOM) for _ in range(20)]
    some = admitted.count(SOME_RUNS)
    assert admitted == [SOME_RUNS] * some + [ROOM] * (20 - some)
    assert WINDOW_SECONDS <= some * PAUSE_SECONDS <= 2 * WINDOW_SECONDS + PAUSE_SECONDS


async def test_claims_that_follow_each_other_at_once_stay_small_while_callers_come(punctual):
    """Few came since the claim before, many within the window."""
    callers = Callers(CALLS_LEAST // 4)
    claims = Courtesy(callers)
    callers.count = CALLS_LEAST
    assert [await claims.admit(ROOM) for _ in range(40)] == [SOME_RUNS] * 40
