"""What a server does with the memory it has used once."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

HASHES = """
from polyport.cli.memory import settle_memory
from polyport.passwords import hash_password

def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

hash_password("correct horse battery")
settle_memory()
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
GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the habit is that of glibc, and so is the remedy")


def run(program: str, *told: str) -> str:
    return subprocess.run([sys.executable, "-c", program, *told], check=True, capture_output=True, text=True).stdout  # noqa: S603  our own interpreter, our own text


@GLIBC
def test_all_threads_of_a_server_share_one_heap():
    assert run(HEAPS).count("<heap nr=") > 1
    assert run(HEAPS, "shared").count("<heap nr=") == 1


@GLIBC
def test_the_memory_of_a_password_hash_goes_back_to_the_system():
    assert int(run(HASHES)) < 8 * 1024 * 1024
