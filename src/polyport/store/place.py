"""Whether a database's files are still those that were opened.

Who deletes or replaces them beside a running server takes them away from everybody but the processes that have them open: what is written from then on is
gone with the last of these. So a look goes before commits, a few times a second: before each of them it would be a twentieth of what a commit costs.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import apsw

LOOK_SECONDS: Final = 0.05
Mark = tuple[int, int]


class Displaced(apsw.CantOpenError):
    """Another file stands in the place of one that was opened, or none. It is told as SQLite's own reasons are."""

    def __init__(self, path: Path, *, gone: bool) -> None:
        what = "gone" if gone else "not the file that this server opened"
        super().__init__(f"{path.name} is {what}: put that one back, or stop the server, put the data folder in order and start it")
        self.result = self.extendedresult = apsw.SQLITE_CANTOPEN


class Place:
    """The place of one database. ``settle`` says that its file was opened."""

    def __init__(self, path: Path) -> None:
        self._path, self._log = path, path.with_name(f"{path.name}-wal")
        self._file: Mark | None = None
        self._log_file: Mark | None = None
        self._looked = 0.0

    def settle(self) -> None:
        """From now on the file that is there is the one."""
        self._file = _mark(self._path)

    def check(self) -> None:
        """Raise ``Displaced`` when the file, or a log that is open, is not the one: before they are opened once more."""
        _check(self._path, self._file)
        if self._log_file is not None:
            _check(self._log, self._log_file)

    def check_commit(self) -> None:
        """``check`` within a transaction that writes, unless that was done a moment ago. Which log is the one is known from the first one on: it is open then."""
        now = time.monotonic()
        if now < self._looked + LOOK_SECONDS:
            return
        if self._log_file is None:
            self._log_file = _mark(self._log)
        self.check()
        self._looked = now

    def leave_log(self) -> None:
        """The log was closed: the next one may be another."""
        self._log_file = None


def _check(path: Path, known: Mark | None) -> None:
    found = _mark(path)
    if found is None or found != known:
        raise Displaced(path, gone=found is None)


def _mark(path: Path) -> Mark | None:
    """What tells a file from all others of the machine; ``None`` when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
