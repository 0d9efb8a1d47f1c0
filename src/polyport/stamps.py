"""Stamps of partners' folders: a text for each that changes whenever one of its files does.

A catalogue of thousands of partners has tens of thousands of files to look at, which takes as long as half of a start. So a start lets another process
look, this file as a program of its own, while it loads what it needs itself. It therefore takes nothing but the standard library.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

MANY: Final = 100  # folders, for which another process is worth it
_KINDS: Final = ("", "actions", "triggers", "lists")


def stamp_of(folder: str) -> str:
    """Names, sizes, times and inodes of the files of a folder that make its partner, as one text."""
    told: list[object] = []
    for kind in _KINDS:
        top = f"{folder}/{kind}/"
        try:
            names = sorted(os.listdir(top))  # noqa: PTH208  a path object each would take twice as long
            for name in names:
                status = os.stat(top + name)  # noqa: PTH116  as above
                told += (name, status.st_size, status.st_mtime_ns, status.st_ino)
        except OSError as error:
            told.append(error.errno)
    return hashlib.sha256(repr(told).encode("utf-8", "surrogateescape")).hexdigest()


class Ahead:
    """Another process that looks at the folders of some roots. What it does not tell, for whatever reason, has to be looked at here."""

    def __init__(self, roots: Sequence[str]) -> None:
        command = [sys.executable, "-I", "-S", __file__, *roots]
        self._process: subprocess.Popen[bytes] | None = None
        self._found: Mapping[str, Mapping[str, str]] = {}
        with suppress(OSError):
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # noqa: S603  this file

    def of(self, root: str) -> Mapping[str, str]:
        """The stamps of the folders under a root, by name; each root is told once."""
        if self._process is not None:
            told, _nothing = self._process.communicate()
            self._process = None
            with suppress(ValueError):
                self._found = json.loads(told)
        found, self._found = self._found.get(root, {}), {name: stamps for name, stamps in self._found.items() if name != root}
        return found


def look_ahead(roots: Sequence[str]) -> Ahead | None:
    """Begin to look at the roots with many folders, if there are any."""
    large = [root for root in roots if len(_names(root)) >= MANY]
    return Ahead(large) if large else None


def _names(root: str) -> list[str]:
    try:
        return os.listdir(root)  # noqa: PTH208  as above
    except OSError:
        return []


def main(roots: Sequence[str]) -> None:
    """Print the stamps of all that is in the roots, as JSON."""
    print(json.dumps({root: {name: stamp_of(f"{root}/{name}") for name in _names(root)} for root in roots}))  # noqa: T201  it is a program


if __name__ == "__main__":
    main(sys.argv[1:])
