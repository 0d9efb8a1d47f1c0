"""How a database file is opened: what every connection is told, patience with the locks of other processes, and the schema made and brought up to date."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import apsw

from polyport.errors import SetupError
from polyport.store.binding import lower
from polyport.store.queries import load_migrations

BUSY_MS: Final = 10_000
STATEMENTS: Final = 256  # that a connection keeps compiled
_WRITE: Final = (
    "PRAGMA page_size=8192",  # of a new file: of usual runs three have place in a page, in one of 4,096 bytes a single one
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA secure_delete=ON",  # what is deleted is overwritten with zeros, in pages that are free afterwards too
    "PRAGMA cache_size=-2000",  # runs are written at the end of their tables: what is kept beyond that is hardly read again, and looked through at commits
    "PRAGMA journal_size_limit=67108864",
)
_READ: Final = (
    "PRAGMA query_only=ON",
    "PRAGMA cache_size=-2000",
)  # the system keeps the pages of the file too: half as much costs a page of runs nothing


def connect(path: Path, *, read_only: bool = False, create: bool = False) -> apsw.Connection:
    """Open the file. Only ``create`` makes one: a database that vanished must not be taken for an empty one."""
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
    connection = apsw.Connection(str(path.absolute()), flags=flags, statementcachesize=STATEMENTS)
    try:
        connection.set_busy_timeout(BUSY_MS if read_only else 0)
        for pragma in _READ if read_only else _WRITE:
            patiently(connection, pragma)
        connection.create_scalar_function("lower", lower, 1, deterministic=True)
    except BaseException:
        connection.close()
        raise
    return connection


def patiently(connection: apsw.Connection, statement: str, busy_ms: int = BUSY_MS) -> None:
    """Run a statement that other processes may keep waiting: the change to WAL does not wait by itself, and writers have no busy timeout."""
    end, pause = time.monotonic() + busy_ms / 1000, 0.0005
    while True:
        try:
            connection.execute(statement).fetchall()
        except apsw.BusyError:
            if time.monotonic() > end:
                raise
        else:
            return
        time.sleep(pause)
        pause = min(0.01, pause * 2)


def prepare(path: Path) -> None:
    """Make and migrate the file under a lock, so that processes that start together do it once."""
    migrations = load_migrations()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(connect(path, create=True)) as connection:
            patiently(connection, "BEGIN IMMEDIATE")
            try:
                _migrate(connection, path, migrations)
                connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(apsw.Error):  # SQLite may have rolled back by itself
                    connection.execute("ROLLBACK")
                raise
    except (apsw.Error, OSError) as error:
        raise SetupError(f"{path} cannot be used as a database: {error}.") from error


def _migrate(connection: apsw.Connection, path: Path, migrations: Sequence[tuple[int, str]]) -> None:
    newest = migrations[-1][0]
    present = int(connection.pragma("user_version"))
    if present > newest:
        raise SetupError(f"{path} was written by a newer Polyport (schema {present}, this one knows {newest}): start the newer program.")
    for version, script in migrations:
        if version > present:
            connection.execute(script)  # all its statements, and no commit of its own
            connection.execute(f"PRAGMA user_version={version}")
