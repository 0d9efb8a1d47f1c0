"""What a server does with its memory: one heap for all threads, large blocks that go back to the system, large pages, a garbage collector that looks at little at a time."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Final

# Of <malloc.h>.
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_LARGE_BLOCK: Final = 1024 * 1024
# Of <linux/mman.h>, and the size on x86-64 and most ARM machines; where large pages are larger, the system joins what it can.
_MADV_COLLAPSE: Final = 25
_LARGE_PAGE: Final = 2 * 1024 * 1024


def share_heap() -> None:
    """Let all threads take their memory from one heap, and large blocks from none; to be called before there are any.

    The C library of Linux gives each thread a heap of its own. Under the interpreter's lock hardly two of them ask at a time, and what one has given back
    the others do not get: with 64 callers that came to 12 MB. And it keeps the memory of the first large block that was freed for the next one: the 24 MB of a
    password's hash stayed with the process.
    """
    _tell(_M_ARENA_MAX, 1)
    _tell(_M_MMAP_THRESHOLD, _LARGE_BLOCK)


@contextlib.contextmanager
def unswept() -> Iterator[None]:
    """What is made in here is not looked through for garbage, now or later: what is imported stays, and to walk it took a thirtieth of a start."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def settle_memory() -> None:
    """Take what was loaded at start out of the garbage collector's sight, and let it look at what is new a millisecond at a time, and seldom at the rest.

    Partners and compiled operations live as long as the process; walking them again and again cost a quarter of a run's CPU. What is new is walked once in any
    case, but to walk 50,000 objects takes some fifteen milliseconds, which everybody waits for.
    """
    gc.unfreeze()  # what was imported left some garbage, which nobody saw so far
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 200, 50)
    _join_pages()


def _join_pages() -> None:
    """Let the processor find what was loaded at start through few large pages instead of many small ones, where the system can (Linux 6.1 or newer).

    A run touches a little of very much, and under a hypervisor each page that the processor has forgotten is looked up twice. It saves a few hundredths of a run's CPU.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError, ValueError):  # as above; and a system that says no loses nothing but this
        madvise = ctypes.CDLL(None).madvise
        madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for first, end in loaded_memory(Path("/proc/self/maps").read_text(encoding="ascii", errors="replace")):
            madvise(first, end - first, _MADV_COLLAPSE)


def loaded_memory(maps: str) -> Iterator[tuple[int, int]]:
    """The stretches of memory that belong to no file and can be written to, in whole large pages."""
    for line in maps.splitlines():
        place, rights, _offset, _device, inode, *name = line.split()
        if "w" in rights and inode == "0" and name in ([], ["[heap]"]):
            first, end = (int(address, 16) for address in place.split("-"))
            first, end = -(-first // _LARGE_PAGE) * _LARGE_PAGE, end // _LARGE_PAGE * _LARGE_PAGE
            if first < end:
                yield first, end


def _tell(option: int, value: int) -> None:
    with contextlib.suppress(OSError, AttributeError, TypeError):  # other systems have no such call, and no such habit
        ctypes.CDLL(None).mallopt(option, value)
