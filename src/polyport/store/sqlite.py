"""SQLite as Polyport's database: one writer thread with group commit, a few reader threads, nothing that blocks the event loop.

Every unit that ``write`` takes is durable when it returns (``synchronous=FULL``); units of many callers share one commit, which is what makes that cheap.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from polyport.errors import SetupError
from polyport.store.base import DbRow, Duplicate, Params, Stale, Statement, StoreFault, StoreUnavailable
from polyport.store.queries import load_migrations, load_queries

BATCH: Final = 512
READERS: Final = 4
BUSY_MS: Final = 10_000

Rows = list[list[DbRow]]
_PRAGMAS: Final = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "PRAGMA foreign_keys=ON", "PRAGMA cache_size=-16000")


class _Unit:
    """Statements that stand or fall together, and who waits for them."""

    __slots__ = ("error", "future", "loop", "rows", "statements")

    def __init__(self, statements: Sequence[Statement], loop: asyncio.AbstractEventLoop) -> None:
        self.statements = statements
        self.loop = loop
        self.future: asyncio.Future[Rows] = loop.create_future()
        self.rows: Rows = []
        self.error: Exception | None = None


class SqliteDatabase:
    """A ``Database`` in one file. ``commits`` counts the transactions, ``units`` what they held."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sql = {name: query.sql for name, query in load_queries().items()}
        self._pending: deque[_Unit] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._readers = ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="polyport-read")
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._writer = threading.Thread(target=self._write_loop, name="polyport-write", daemon=True)
        self.commits = 0
        self.units = 0

    @classmethod
    async def open(cls, path: Path) -> SqliteDatabase:
        """Open the file, made and migrated if need be. Raises ``SetupError`` with a sentence when that cannot be."""
        database = cls(path)
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(database._readers, _prepare, path)
        except BaseException:
            database._readers.shutdown(wait=False)
            raise
        database._writer.start()
        return database

    async def read(self, query: str, params: Params | None = None) -> Sequence[DbRow]:
        """Run a named query that changes nothing; all rows."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._read, self._sql[query], params or {})

    async def write(self, *statements: Statement) -> Sequence[Sequence[DbRow]]:
        """Run a unit of statements, all or none; returns once it is durable. Raises ``Stale``, ``Duplicate`` or ``StoreUnavailable``."""
        unit = _Unit(statements, asyncio.get_running_loop())
        with self._wake:
            if self._closing:
                raise StoreUnavailable("the database is closing")
            self._pending.append(unit)
            if len(self._pending) == 1:
                self._wake.notify()
        return await unit.future

    async def ready(self) -> None:
        """Return if the database can be written now; raise ``StoreUnavailable`` with the reason if not."""
        await self.write(Statement(query="probe"))

    async def close(self) -> None:
        """Finish what was accepted, then release everything."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._writer.join)
        self._readers.shutdown(wait=True)
        for connection in self._connections:
            connection.close()

    def _read(self, sql: str, params: Params) -> list[DbRow]:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        try:
            if connection is None:
                connection = _connect(self._path, read_only=True)
                self._connections.append(connection)
                self._local.connection = connection
            return connection.execute(sql, params).fetchall()
        except sqlite3.Error as error:
            raise _unavailable(error) from error

    def _write_loop(self) -> None:
        connection: sqlite3.Connection | None = None
        while True:
            with self._wake:
                while not self._pending and not self._closing:
                    self._wake.wait()
                if not self._pending:
                    break
                units = [self._pending.popleft() for _unit in range(min(BATCH, len(self._pending)))]
            try:
                if connection is None:
                    connection = _connect(self._path)
                self._commit(connection, units)
            except sqlite3.Error as error:
                fault = _unavailable(error)
                for unit in units:
                    unit.error, unit.rows = fault, []
                if connection is not None:
                    with contextlib.suppress(sqlite3.Error):
                        connection.close()
                connection = None
            _resolve(units)
        if connection is not None:
            connection.close()

    def _commit(self, connection: sqlite3.Connection, units: Sequence[_Unit]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        for unit in units:
            self._run(connection, unit)
        connection.execute("COMMIT")
        self.commits += 1
        self.units += len(units)

    def _run(self, connection: sqlite3.Connection, unit: _Unit) -> None:
        """Run one unit inside the transaction; a fault of the unit itself undoes it alone, a fault of the database is raised."""
        alone = len(unit.statements) == 1 and unit.statements[0].expect is None
        if not alone:
            connection.execute("SAVEPOINT unit")
        try:
            for statement in unit.statements:
                unit.rows.append(self._execute(connection, statement))
        except (sqlite3.IntegrityError, StoreFault) as error:
            unit.error = Duplicate(str(error)) if isinstance(error, sqlite3.IntegrityError) else error
            unit.rows = []
            if not alone:
                connection.execute("ROLLBACK TO unit")
        except (sqlite3.InterfaceError, sqlite3.ProgrammingError, sqlite3.DataError, OverflowError, KeyError) as error:
            unit.error = StoreFault(f"{unit.statements[0].query}: {type(error).__name__}")
            unit.error.__cause__ = error
            unit.rows = []
            if not alone:
                connection.execute("ROLLBACK TO unit")
        if not alone:
            connection.execute("RELEASE unit")

    def _execute(self, connection: sqlite3.Connection, statement: Statement) -> list[DbRow]:
        cursor = connection.execute(self._sql[statement.query], statement.params)
        rows = cursor.fetchall() if cursor.description is not None else []
        if statement.expect is not None:
            changed = len(rows) if cursor.description is not None else cursor.rowcount
            if changed != statement.expect:
                raise Stale(statement.query)
        return rows


def _resolve(units: Sequence[_Unit]) -> None:
    """Wake the waiters: one call into each event loop for the whole batch."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Unit]] = {}
    for unit in units:
        by_loop.setdefault(unit.loop, []).append(unit)
    for loop, waiting in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more, the rows are durable
            loop.call_soon_threadsafe(_settle, waiting)


def _settle(units: Sequence[_Unit]) -> None:
    for unit in units:
        if unit.future.done():  # the caller was cancelled; what it asked for stands
            continue
        if unit.error is not None:
            unit.future.set_exception(unit.error)
        else:
            unit.future.set_result(unit.rows)


def _connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256, timeout=BUSY_MS / 1000)
    for pragma in _PRAGMAS[0 if not read_only else 2 :]:
        connection.execute(pragma)
    if read_only:
        connection.execute("PRAGMA query_only=ON")
    return connection


def _prepare(path: Path) -> None:
    """Make and migrate the file under a lock, so that processes that start together do it once."""
    migrations = load_migrations()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(_connect(path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                _migrate(connection, path, migrations)
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise
    except (sqlite3.Error, OSError) as error:
        raise SetupError(f"{path} cannot be used as a database: {error}.") from error


def _migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[tuple[int, str]]) -> None:
    newest = migrations[-1][0]
    present = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if present > newest:
        raise SetupError(f"{path} was written by a newer Polyport (schema {present}, this one knows {newest}): start the newer program.")
    for version, script in migrations:
        if version > present:
            _run_script(connection, script)
            connection.execute(f"PRAGMA user_version={version}")


def _run_script(connection: sqlite3.Connection, script: str) -> None:
    """Run a migration statement by statement: ``executescript`` would commit the transaction that holds the lock."""
    buffer = ""
    for line in script.splitlines(keepends=True):
        buffer += line
        if sqlite3.complete_statement(buffer):
            connection.execute(buffer)
            buffer = ""


def _unavailable(error: sqlite3.Error) -> StoreUnavailable:
    return StoreUnavailable(f"{getattr(error, 'sqlite_errorname', type(error).__name__)}: {error}")
