"""What a server does with its memory: one heap for all threads, large blocks that go back to the system, a garbage collector that looks less often."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from typing import Final

# Of <malloc.h>.
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_LARGE_BLOCK: Final = 1024 * 1024


def share_heap() -> None:
    """Let all threads take their memory from one heap; to be called before there are any.

    The C library of Linux gives each thread a heap of its own. Under the interpreter's lock hardly two of them ask at a time, and what one has given back
    the others do not get: with 64 callers that came to 12 MB.
    """
    _tell(_M_ARENA_MAX, 1)


def settle_memory() -> None:
    """Take what was loaded at start out of the garbage collector's sight, let it look less often, and let large blocks go back to the system.

    Partners and compiled operations live as long as the process; walking them again and again cost a quarter of a run's CPU.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    # The C library keeps the memory of the first large block that was freed for the next one: the 24 MB of a password's hash stayed with the process.
    _tell(_M_MMAP_THRESHOLD, _LARGE_BLOCK)


def _tell(option: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError, TypeError):  # other systems have no such call, and no such habit
        ctypes.CDLL(None).mallopt(option, value)
