"""What a server does with the memory it has used once."""

from __future__ import annotations

import gc
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from polyport.cli.memory import loaded_memory, unswept

HASHES = """
from polyport.cli.memory import share_heap
from polyport.passwords import hash_password

share_heap()

def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

before = held()
for _time in range(3):
    hash_password("correct horse battery")
print(held() - before)
"""

HEAPS = """
import ctypes, sys, threading
from polyport.cli.memory import share_heap

if "shared" in sys.argv:
    share_heap()
threads = [threading.Thread(target=lambda: [bytearray(9_000) for _time in range(100)]) for _thread in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
libc.malloc_info(0, ctypes.c_void_p(libc.fdopen(1, b"w")))
libc.fflush(None)
"""
PAGES = """
from polyport.cli.memory import settle_memory

kept = [bytearray(4_000) for _each in range(4_000)]
settle_memory()
with open("/proc/self/smaps_rollup") as file:
    print(next(line.split()[1] for line in file if line.startswith("AnonHugePages:")))
assert all(each == bytes(4_000) for each in kept)
"""
LEFT = """
import weakref
from polyport.cli.memory import settle_memory, unswept

class Ring:
    pass

with unswept():
    ring = Ring()
    ring.ring, seen = ring, weakref.ref(ring)
    del ring
print(seen() is not None)
settle_memory()
print(seen() is not None)
"""
GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the habit is that of glibc, and so is the remedy")


def joins_pages() -> bool:
    """Whether this system can: MADV_COLLAPSE came with Linux 6.1, and large pages may be missing or forbidden."""
    release = re.match(r"(\d+)\.(\d+)", platform.release())
    allowed = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return (
        bool(release) and tuple(map(int, release.groups())) >= (6, 1) and allowed.is_file() and "[never]" not in allowed.read_text("ascii")
    )


def run(program: str, *told: str) -> str:
    return subprocess.run([sys.executable, "-c", program, *told], check=True, capture_output=True, text=True).stdout  # noqa: S603  our own interpreter, our own text


@GLIBC
def test_all_threads_of_a_server_share_one_heap():
    assert run(HEAPS).count("<heap nr=") > 1
    assert run(HEAPS, "shared").count("<heap nr=") == 1


@GLIBC
def test_the_memory_of_a_password_hash_goes_back_to_the_system():
    assert int(run(HASHES)) < 8 * 1024 * 1024


@pytest.mark.skipif(platform.system() != "Linux" or not joins_pages(), reason="this system joins no pages")
def test_what_was_loaded_at_the_start_stands_in_large_pages_and_is_the_same():
    assert int(run(PAGES)) >= 8 * 1024


def test_only_whole_large_pages_of_memory_that_is_no_file_are_joined():
    maps = """\
55d0a1e00000-55d0a1e80000 rw-p 00000000 00:00 0                          [heap]
55d0a2100000-55d0a2900000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000400000 r--p 00000000 00:00 0
7f0001000000-7f0001400000 rw-p 00000000 fe:00 1311                       /a b/store.db-shm
7f0002000000-7f0002400000 rw-p 00000000 00:00 0
7ffc00000000-7ffc00400000 rw-p 00000000 00:00 0                          [stack]
"""
    assert list(loaded_memory(maps)) == [(0x55D0A2200000, 0x55D0A2800000), (0x7F0002000000, 0x7F0002400000)]


def test_what_is_imported_is_not_looked_through_for_garbage_until_the_server_settles():
    before = gc.get_freeze_count()
    try:
        with unswept():
            assert not gc.isenabled()
            kept = [[] for _each in range(100)]
        assert gc.isenabled()
        assert gc.get_freeze_count() - before > len(kept)
    finally:
        gc.unfreeze()


def test_garbage_that_an_import_left_is_gone_when_the_server_has_settled():
    told = subprocess.run([sys.executable, "-c", LEFT], capture_output=True, text=True, check=True)  # noqa: S603  this program
    assert told.stdout.split() == ["True", "False"]
