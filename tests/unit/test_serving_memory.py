"""What a server does with the memory it has used once."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

HASHES = """
from polyport.cli.serving import settle_memory
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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the habit is that of glibc, and so is the remedy")
def test_the_memory_of_a_password_hash_goes_back_to_the_system():
    told = subprocess.run([sys.executable, "-c", HASHES], check=True, capture_output=True, text=True)  # noqa: S603  our own interpreter, our own text
    assert int(told.stdout) < 8 * 1024 * 1024
