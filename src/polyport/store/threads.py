"""Threads that do for an event loop what may wait for a disk or a lock, call after call.

``concurrent.futures`` does the same by futures with locks of their own, which are chained to those of the loop: some seventy calls of functions each time,
which at two commits a run were a tenth of the processor's time where few callers share a commit (docs/adr/0028).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

T = TypeVar("T")
_Call = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[..., Any], tuple[Any, ...]]


class Threads:
    """At most so many threads, begun when there is work for them."""

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most: Final = most
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._begun: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._free = 0  # threads that wait for work and were not given any yet
        self._closed = False

    def run(self, work: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
        """What ``work`` gives, or raises, by a thread. It is done to its end also when nobody waits for it any more. Called on the event loop."""
        if self._closed:
            raise RuntimeError("these threads were closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._calls.put((loop, future, work, arguments))
        with self._lock:
            more = not self._free
            if self._free:
                self._free -= 1
        if more and len(self._begun) < self._most:
            thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._begun)}", daemon=True)
            thread.start()
            self._begun.append(thread)  # only then: one that the system could not begin is not waited for at the end
        return future

    def close(self, *, wait: bool) -> None:
        """Let what was asked for be done, and end."""
        self._closed = True
        for _thread in self._begun:
            self._calls.put(None)
        if wait:
            for thread in self._begun:
                thread.join()

    def _work(self) -> None:
        while True:
            try:
                call = self._calls.get_nowait()
            except Empty:
                with self._lock:
                    self._free += 1
                call = self._calls.get()
            if call is None:
                return
            _do(*call)
            del call  # nothing of it is held until the next one


def _do(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    given: Any = None
    error: BaseException | None = None
    try:
        given = work(*arguments)
    except BaseException as raised:  # noqa: BLE001  whatever it is, it is told to who waits
        error = raised
    with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits
        loop.call_soon_threadsafe(_tell, future, given, error)


def _tell(future: asyncio.Future[Any], given: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(given)
    else:
        future.set_exception(error)
