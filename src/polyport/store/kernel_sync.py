"""Bring a file to the disk while the event loop goes on: the kernel waits for the disk, and tells the loop when it is done (Linux AIO).

A thread that calls ``fdatasync`` waits twice: for the disk, and then for the interpreter's lock, which a busy event loop gives up after five milliseconds
only (docs/adr/0035). caio is the binding; where a system has no AIO, or forbids it to a container, there is no ``KernelSync``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from caio import linux_aio

_AT_ONCE: Final = 4  # one commit is brought to the disk at a time
_TRIAL_SECONDS: Final = 10
_WORD: Final = 2**64
_REFUSALS: Final = (SystemError, ValueError, RuntimeError)  # caio's words for what the kernel did not take
# Contexts that nobody uses just now. To give one back to the kernel takes tens of milliseconds, with all of the process's threads waiting.
_spare: list[linux_aio.Context] = []


class NotTaken(Exception):
    """The kernel did not take a request, and nothing is known of the file: bring it to the disk in another way."""


class KernelSync:
    """The kernel's side of one event loop's ``fdatasync``."""

    def __init__(self, context: linux_aio.Context, operations: type[linux_aio.Operation], loop: asyncio.AbstractEventLoop) -> None:
        self._context, self._operations, self._loop = context, operations, loop
        loop.add_reader(context.fileno, self._reap)

    def sync(self, file: int) -> asyncio.Future[None]:
        """Done once all that was written to the file before is on the disk; ends in ``OSError`` when that failed. Raises ``NotTaken``."""
        future: asyncio.Future[None] = self._loop.create_future()
        operation = self._operations.fdsync(file)
        operation.set_callback(partial(_tell, future))
        try:
            taken = self._context.submit(operation)
        except _REFUSALS as error:
            raise NotTaken(str(error)) from error
        if taken != 1:
            raise NotTaken
        return future

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it was told of already
            self._context.poll()
        self._context.process_events()

    def close(self) -> None:
        """Leave the loop. Nothing may be under way."""
        self._loop.remove_reader(self._context.fileno)
        _spare.append(self._context)


async def open_kernel_sync(file: int) -> KernelSync | None:
    """Try it with this file, and let the running loop hear of what is done from now on. ``None`` where it does not work."""
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(None, _try, file)
    return None if found is None else KernelSync(*found, loop)


def _try(file: int) -> tuple[linux_aio.Context, type[linux_aio.Operation]] | None:
    try:
        import caio  # noqa: PLC0415  commands that serve nothing do without, and so do other systems
    except ImportError:
        return None
    linux_aio = getattr(caio, "linux_aio", None)
    if linux_aio is None:  # it could not be loaded: the kernel forbids it
        return None
    told: list[int] = []
    operation = linux_aio.Operation.fdsync(file)
    operation.set_callback(told.append)
    try:
        context = _spare.pop() if _spare else linux_aio.Context(_AT_ONCE)
        context.submit(operation)
        context.process_events(min_requests=1, timeout=_TRIAL_SECONDS)
    except _REFUSALS:
        return None
    return (context, linux_aio.Operation) if told == [0] else None


def _tell(future: asyncio.Future[None], result: int) -> None:
    if future.done():  # nobody waits any more
        return
    if result == 0:
        future.set_result(None)
    else:
        number = _WORD - result  # caio hands a negative number over as if it had no sign
        future.set_exception(OSError(number, os.strerror(number)))
