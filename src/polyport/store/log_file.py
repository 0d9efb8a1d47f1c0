"""The log beside a database file, which has what was written until it is copied into that file: brought to the disk and copied while the event loop goes on.

SQLite does both within a commit, which then has to happen in a thread. Here a commit writes to the log and no more (``synchronous=NORMAL``), on the event
loop; who waits for it is answered when the kernel says that the log is on the disk. What must hold is the same: see docs/adr/0035.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final, NoReturn

import apsw
import structlog

from polyport.store.kernel_sync import KernelSync, NotTaken, open_kernel_sync
from polyport.store.threads import Threads

PAGES: Final = 1_000  # in the log, at which it is copied into the database: SQLite's own number
# From here on those who write wait for a copy that is under way, and readers of older states kept the log from being begun anew for so long that these are
# waited for too.
PAGES_MANY: Final = 8 * PAGES
PATIENCE_MS: Final = 100
_FLAGS: Final = os.O_RDONLY  # what may not be written is said by SQLite, in its own words
_NONE: Final = -1  # no file: the kernel would say so
EXIT_CODE: Final = 74  # EX_IOERR of sysexits.h

_log: Final = structlog.get_logger("polyport.store")


class LogFile:
    """The log of one connection that writes. ``pages``: how many were in it after the last commit."""

    def __init__(self, path: Path, kernel: KernelSync) -> None:
        self._path, self._kernel = path, kernel
        self._file = _NONE
        self._due = PAGES
        self.pages = 0
        self.copy_due = False
        self.fold_due = False

    @classmethod
    async def open(cls, database: Path) -> LogFile | None:
        """The log of a database that is open. ``None`` where the kernel does not do its part: commits are SQLite's own then."""
        path = database.with_name(f"{database.name}-wal")
        file = os.open(path, _FLAGS)
        try:
            kernel = await open_kernel_sync(file)
        finally:
            os.close(file)
        if kernel is None:
            _log.info("the kernel brings no files to the disk by itself here: commits do, each in a thread, which takes a little longer")
            return None
        return cls(path, kernel)

    def follow(self, connection: apsw.Connection) -> None:
        """From now on it is this connection that writes the log, which may be another file than before. Called by a thread, with no commit under way."""
        connection.set_wal_hook(self._grew)  # in the place of SQLite's own, which copies
        connection.execute("PRAGMA synchronous=NORMAL")
        self._leave()
        self._file = os.open(self._path, _FLAGS)
        self.pages, self._due, self.copy_due, self.fold_due = 0, PAGES, False, False

    def _leave(self) -> None:
        if self._file != _NONE:
            os.close(self._file)
            self._file = _NONE

    def _grew(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        if pages < self.pages:  # it was begun anew
            self._due = PAGES
        self.pages = pages
        if pages >= self._due:
            self._due = pages + PAGES
            self.copy_due = True
        return apsw.SQLITE_OK

    @property
    def is_long(self) -> bool:
        """Whether it has grown far beyond the size at which it is copied."""
        return self.pages >= PAGES_MANY

    async def sync(self, threads: Threads) -> None:
        """Return once all that was committed is on the disk. When that fails, the process ends."""
        try:
            try:
                await self._kernel.sync(self._file)
            except NotTaken:
                await threads.run(os.fdatasync, self._file)
        except OSError as error:
            _give_up(error)

    def copy(self, connection: apsw.Connection) -> None:
        """Copy what is in the log into the database while others write; what they add meanwhile stays. Called by a reader's thread."""
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        self.fold_due = True

    def fold(self, connection: apsw.Connection) -> None:
        """Copy the little that is left, so that the next commit begins the log anew. Called by the writer's thread, with no commit under way."""
        self.fold_due = False
        patient = self.is_long
        with contextlib.suppress(apsw.Error):  # it is tried again when the log has grown
            if patient:
                connection.set_busy_timeout(PATIENCE_MS)
            try:
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART if patient else apsw.SQLITE_CHECKPOINT_PASSIVE)
            finally:
                connection.set_busy_timeout(0)

    def close(self) -> None:
        """Called on the event loop, with nothing under way."""
        self._kernel.close()
        self._leave()


def _give_up(error: OSError) -> NoReturn:
    """The commit stands, others may have seen it, and nobody knows whether it is on the disk: the kernel tells of it once and takes the pages for written.

    Nothing that this process says from here on could be relied on. Its callers see the connection end, as in any crash; the next process finds in the log
    what is whole there. Nothing is closed: that would copy the log into the database.
    """
    _log.critical(
        "the disk did not keep what was written, so this process ends; the next one goes on with what is on the disk", reason=str(error)
    )
    os._exit(EXIT_CODE)
