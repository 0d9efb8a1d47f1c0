"""SQLite as Polyport's database: group commit, a few reader threads, nothing that makes the event loop wait.

Every unit that ``write`` takes is durable when it returns (``synchronous=FULL``); units of many callers share one commit, which is what makes that cheap.
What can wait happens in threads: reads, the lock that another process holds, the commit with its fsync, statements that touch many rows. The
statements of a unit (a few microseconds each, in memory) run on the event loop itself: handing each of them to a thread cost more than all else of a
run together, because both sides fight for the interpreter's lock (docs/adr/0010). The driver is APSW, which brings its SQLite along (docs/adr/0034).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import apsw

from polyport.errors import SetupError
from polyport.store.base import DbRow, Duplicate, Params, Stale, Statement, StoreFault, StoreUnavailable
from polyport.store.binding import ONLY_USER, bind, lower
from polyport.store.place import Displaced, Place
from polyport.store.queries import load_migrations, load_queries
from polyport.store.reach import only_user
from polyport.store.threads import Threads
from polyport.store.totals import summed

BATCH: Final = 128  # units of one commit: what the event loop does at a stretch stays within a few milliseconds
STRETCH: Final = 4 * BATCH  # statements beyond which a batch runs in the thread: a unit of its own may be that long
READERS: Final = 4
BUSY_MS: Final = 10_000
STATEMENTS: Final = 256  # that a connection keeps compiled
SHORT_MS: Final = 500  # patience with a lock that was held for longer than that: callers hear of it at once until it is gone
READY_SECONDS: Final = 3.0
SCRUB_MS: Final = 1_000  # so long writers wait for readers at most when the log is emptied

Rows = list[list[DbRow]]
# What may touch many rows, or pages that nobody has looked at for long: its batch runs in the thread.
_HEAVY: Final = frozenset(
    {
        "add_sums",
        "bury_parked_events",
        "cancel_runs_of_user",
        "claim_events",
        "claim_lane",
        "claim_one",
        "delete_old_budget_uses",
        "hold_lane",
        "delete_cached_lists",
        "delete_connection",
        "delete_events_of_user",
        "delete_older_lists",
        "delete_expired_tokens",
        "delete_files_of_user",
        "delete_links_of_user",
        "delete_old_events",
        "delete_old_console_sessions",
        "delete_old_imports",
        "delete_older_versions",
        "delete_partner_versions",
        "delete_old_keys",
        "delete_old_leases",
        "delete_old_links",
        "delete_old_sign_ins",
        "delete_old_sums",
        "delete_old_throttles",
        "delete_ended_runs",
        "delete_sums_from",
        "delete_tokens_of_user",
        "forget_budget_uses_beyond",
        "forget_keys_of_user",
        "insert_file",
        "insert_import",
        "insert_partner_version",
        "keep_import_input",
        "answer_import",
        "mend_due_events",
        "mend_due_runs",
        "redact_runs_of_user",
        "remove_private_partner",
        "stop_runs_of_user",
        "replay_dead_events",
        "resume_events",
        "strip_ended_runs",
        "revoke_renewals",
    },
)
_CLOSING: Final = "the database is closing"
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
_TAKEN: Final = frozenset(
    {apsw.SQLITE_CONSTRAINT_UNIQUE, apsw.SQLITE_CONSTRAINT_PRIMARYKEY, apsw.SQLITE_CONSTRAINT_ROWID},
)
_ASKED_WRONG: Final = frozenset({apsw.SQLITE_ERROR, apsw.SQLITE_TOOBIG, apsw.SQLITE_MISMATCH, apsw.SQLITE_RANGE})


class _Unguarded(Exception):
    """A unit without a savepoint has to be undone."""


class _Unit:
    """Statements that stand or fall together, what they add to sums, and who waits for them. ``heavy``: they may touch many rows."""

    __slots__ = ("added", "error", "future", "heavy", "rows", "statements")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.statements: list[Statement] = []
        self.added: list[Statement] = []
        self.heavy = False
        self.future: asyncio.Future[Rows] = loop.create_future()
        self.rows: Rows = []
        self.error: Exception | None = None


class SqliteDatabase:
    """A ``Database`` in one file, of one event loop. ``commits`` counts the transactions, ``units`` what they held."""

    def __init__(self, path: Path) -> None:
        self._path, self._place = path, Place(path)
        queries = load_queries()
        self._bound = {name: bind(query.sql) for name, query in queries.items()}
        self._limited = frozenset(name for name, query in queries.items() if ":only_user" in query.sql)
        self._loop = asyncio.get_running_loop()  # kept: CPython before 3.12 asks the system for the process's number each time
        self._pending: deque[_Unit] = deque()
        self._draining: asyncio.Task[None] | None = None
        self._writing: apsw.Connection | None = None
        self._closing = False
        self._busy_ms = BUSY_MS
        self._readers = Threads("polyport-read", READERS)
        self._writer = Threads("polyport-write", 1)
        self._local = threading.local()
        self._connections: list[apsw.Connection] = []
        self.commits = 0
        self.units = 0

    @classmethod
    async def open(cls, path: Path) -> SqliteDatabase:
        """Open the file, made and migrated if need be. Raises ``SetupError`` with a sentence when that cannot be."""
        database = cls(path)
        try:
            await database._writer.run(_prepare, path)
            database._place.settle()
        except BaseException:
            database._readers.close(wait=False)
            database._writer.close(wait=False)
            raise
        return database

    async def read(self, query: str, params: Params | None = None) -> Sequence[DbRow]:
        """Run a named query that changes nothing; all rows."""
        if self._closing:
            raise StoreUnavailable(_CLOSING)
        return await self._readers.run(self._read, query, self._reaching(query, params or {}))

    def write(self, *statements: Statement) -> asyncio.Future[Rows]:
        """Run a unit of statements, all or none; returns once it is durable. Raises ``Stale``, ``Duplicate`` or ``StoreUnavailable``.

        A caller that is cancelled while it waits takes nothing back: the unit was accepted and is carried out.
        """
        if self._closing:
            raise StoreUnavailable(_CLOSING)
        unit = _Unit(self._loop)
        for statement in statements:
            if statement.adds:
                unit.added.append(statement)
                continue
            if statement.query in _HEAVY:
                unit.heavy = True
            unit.statements.append(self._limit(statement) if statement.query in self._limited else statement)
        self._pending.append(unit)
        if self._draining is None:
            self._draining = self._loop.create_task(self._drain())
        return unit.future

    def _reaching(self, query: str, params: Params) -> Params:
        return {**params, ONLY_USER: only_user()} if query in self._limited else params

    def _limit(self, statement: Statement) -> Statement:
        """The statement within the caller's reach, read here: the units of many callers are run together later."""
        limited = {**statement.params, ONLY_USER: only_user()}
        return Statement(query=statement.query, params=limited, expect=statement.expect, record=statement.record)

    async def ready(self) -> None:
        """Return if the database can be written now; raise ``StoreUnavailable`` with the reason if not, within a few seconds."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self.write(Statement(query="probe"))
        except TimeoutError:
            raise StoreUnavailable(
                f"the database took no write within {READY_SECONDS:.0f} seconds; another program may hold its lock"
            ) from None

    async def scrub(self) -> bool:
        """Write what is in the log (the file beside the database) into the database and empty it: old pages stand in there until then.

        False when somebody else reads or writes just now: ask again later.
        """
        return await self._readers.run(self._scrub)

    def _scrub(self) -> bool:
        with contextlib.suppress(Displaced), contextlib.closing(self._connect()) as connection:  # the writer's may be within a transaction
            connection.execute(f"PRAGMA busy_timeout={SCRUB_MS}")
            return not connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").get[0]
        return False

    async def close(self) -> None:
        """Finish what was accepted, then release everything. A second call does nothing."""
        self._closing = True
        if self._draining is not None:
            await asyncio.shield(self._draining)
        await asyncio.get_running_loop().run_in_executor(None, self._release)

    def _release(self) -> None:
        self._writer.close(wait=True)
        self._readers.close(wait=True)
        while self._connections:
            self._connections.pop().close()
        self._drop()

    def _read(self, query: str, params: Params) -> list[DbRow]:
        connection: apsw.Connection | None = getattr(self._local, "connection", None)
        try:
            if connection is None:
                connection = self._local.connection = self._connect(read_only=True)
                self._connections.append(connection)
            sql, take, _take_record = self._bound[query]
            return connection.execute(sql, take(params)).fetchall()
        except Exception as error:
            fault = _fault_of(error, query)
            if fault is not None:
                raise fault from error
            if connection is not None:  # the next read opens the file anew, and works again once the file does
                self._local.connection = None
                self._connections.remove(connection)
                connection.close()
            raise _unavailable(error) from error

    async def _drain(self) -> None:
        """Write what is pending, batch after batch; what comes in during a commit makes the next batch."""
        try:
            while self._pending:
                units = [self._pending.popleft() for _unit in range(min(BATCH, len(self._pending)))]
                try:
                    await self._transact(units)
                except Exception as error:  # noqa: BLE001  whatever it is, these units are answered and the next ones get a fresh connection
                    self._busy_ms = SHORT_MS if _is_busy(error) else BUSY_MS
                    for unit in units:
                        unit.error = _unavailable(error)
                        unit.error.__cause__ = error
                    if not isinstance(error, Displaced):
                        await self._writer.run(self._drop)
                _settle(units)
        finally:
            self._draining = None

    async def _transact(self, units: Sequence[_Unit]) -> None:
        if self._writing is None:
            self._writing = await self._writer.run(self._connect)
        connection = self._writing
        length, heavy = 0, False
        for unit in units:
            length += len(unit.statements)
            heavy = heavy or unit.heavy
        if heavy or length > STRETCH:
            await self._writer.run(self._transact_whole, connection, units)
        else:
            if not _begins(connection):
                await self._writer.run(_patiently, connection, "BEGIN IMMEDIATE", self._busy_ms)
            try:
                self._run_all(connection, units)
            except _Unguarded:
                await self._writer.run(self._again_guarded, connection, units)
            self._check_place(connection)
            await self._writer.run(connection.execute, "COMMIT")
        self._busy_ms = BUSY_MS
        self.commits += 1
        self.units += len(units)

    def _transact_whole(self, connection: apsw.Connection, units: Sequence[_Unit]) -> None:
        _patiently(connection, "BEGIN IMMEDIATE", self._busy_ms)
        try:
            self._run_all(connection, units)
        except _Unguarded:
            self._again_guarded(connection, units)
        self._check_place(connection)
        connection.execute("COMMIT")

    def _connect(self, *, read_only: bool = False) -> apsw.Connection:
        self._place.check()
        return _connect(self._path, read_only=read_only)

    def _check_place(self, connection: apsw.Connection) -> None:
        try:
            self._place.check_commit()
        except Displaced:  # what is open is all there is of what was written: it is kept until the files are back, or the program ends
            connection.execute("ROLLBACK")
            raise

    def _again_guarded(self, connection: apsw.Connection, units: Sequence[_Unit]) -> None:
        """Run a batch again, each unit in a savepoint: one of them has to be undone alone."""
        connection.execute("ROLLBACK")
        _patiently(connection, "BEGIN IMMEDIATE", self._busy_ms)
        for unit in units:
            unit.error, unit.rows = None, []
            self._run(connection, unit, guarded=True)
        self._add(connection, units)

    def _drop(self) -> None:
        """Give up a connection that failed; closing it undoes what it had begun."""
        connection, self._writing = self._writing, None
        self._place.leave_log()
        if connection is not None:
            with contextlib.suppress(apsw.Error):
                connection.close()

    def _run_all(self, connection: apsw.Connection, units: Sequence[_Unit]) -> None:
        for unit in units:
            self._run(connection, unit, guarded=False)
        self._add(connection, units)

    def _add(self, connection: apsw.Connection, units: Sequence[_Unit]) -> None:
        """Add what the units that stand add to sums: each sum once for all of them."""
        added: list[Statement] = []
        for unit in units:
            if unit.added and unit.error is None:
                added += unit.added
        for statement in summed(added) if added else ():
            self._execute(connection, statement, guarded=True)

    def _run(self, connection: apsw.Connection, unit: _Unit, *, guarded: bool) -> None:
        """Run one unit inside the transaction; a fault of the unit itself undoes it alone, a fault of the database is raised.

        A unit that fails at its first statement needs no savepoint: a statement that fails undoes itself, and one that should have changed a row and
        changed none has nothing to undo. Where that is not so, ``_Unguarded`` is raised and the batch is run again with savepoints: seldom, since what is
        likely to fail (a key that is remembered, a run that is another's) stands first.
        """
        if guarded:
            connection.execute("SAVEPOINT unit")
        try:
            for statement in unit.statements:
                unit.rows.append(self._execute(connection, statement, guarded=guarded))
        except _Unguarded:
            raise
        except Exception as error:
            fault = _fault_of(error, unit.statements[len(unit.rows)].query)
            if fault is None or not connection.in_transaction:
                raise
            if unit.rows and not guarded:
                raise _Unguarded from error
            fault.__cause__ = error if fault is not error else None
            unit.error, unit.rows = fault, []
            if guarded:
                connection.execute("ROLLBACK TO unit")
        if guarded:
            connection.execute("RELEASE unit")

    def _execute(self, connection: apsw.Connection, statement: Statement, *, guarded: bool) -> list[DbRow]:
        sql, take, take_record = self._bound[statement.query]
        cursor = connection.execute(sql, take(statement.params) if statement.record is None else take_record(statement))
        rows = cursor.fetchall()
        if statement.expect is not None:
            changed = len(rows) or connection.changes()
            if changed != statement.expect:
                if changed and not guarded:
                    raise _Unguarded
                raise Stale(statement.query)
        return rows


def _settle(units: Sequence[_Unit]) -> None:
    for unit in units:
        if unit.future.done():  # the caller was cancelled; what it asked for stands
            continue
        if unit.error is not None:
            unit.future.set_exception(unit.error)
        else:
            unit.future.set_result(unit.rows)


def _begins(connection: apsw.Connection) -> bool:
    """Take the write lock if no other process holds it; never waits."""
    try:
        connection.execute("BEGIN IMMEDIATE")
    except apsw.BusyError:
        return False
    return True


def _is_busy(error: Exception) -> bool:
    """Whether another process's lock was in the way."""
    return isinstance(error, apsw.BusyError)


def _connect(path: Path, *, read_only: bool = False, create: bool = False) -> apsw.Connection:
    """Open the file. Only ``create`` makes one: a database that vanished must not be taken for an empty one."""
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
    connection = apsw.Connection(str(path.absolute()), flags=flags, statementcachesize=STATEMENTS)
    try:
        connection.set_busy_timeout(BUSY_MS if read_only else 0)
        for pragma in _READ if read_only else _WRITE:
            _patiently(connection, pragma)
        connection.create_scalar_function("lower", lower, 1, deterministic=True)
    except BaseException:
        connection.close()
        raise
    return connection


def _patiently(connection: apsw.Connection, statement: str, busy_ms: int = BUSY_MS) -> None:
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


def _prepare(path: Path) -> None:
    """Make and migrate the file under a lock, so that processes that start together do it once."""
    migrations = load_migrations()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(_connect(path, create=True)) as connection:
            _patiently(connection, "BEGIN IMMEDIATE")
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


def _fault_of(error: Exception, query: str) -> StoreFault | None:
    """The fault of a unit that did this; ``None`` when the database is at fault."""
    if isinstance(error, StoreFault):
        return error
    if isinstance(error, apsw.ConstraintError):
        code = getattr(error, "extendedresult", None)
        if code in _TAKEN:
            return Duplicate(str(error).partition(": ")[2])
        if code == apsw.SQLITE_CONSTRAINT_FOREIGNKEY:
            return Stale(f"{query}: what it refers to is gone")
        if code == apsw.SQLITE_CONSTRAINT_TRIGGER:  # the schema's one objection: a retired master key
            return StoreUnavailable(f"{query}: {error}; it will be left in a moment")
        return StoreFault(f"{query}: {error}")
    # What the driver itself refuses, a parameter say, has no result.
    if isinstance(error, apsw.Error) and getattr(error, "result", apsw.SQLITE_ERROR) not in _ASKED_WRONG:
        return None
    return StoreFault(f"{query}: {type(error).__name__}")


def _unavailable(error: Exception) -> StoreUnavailable:
    code = getattr(error, "extendedresult", None)
    names = apsw.mapping_extended_result_codes, apsw.mapping_result_codes
    name = next((str(known[code]) for known in names if code is not None and code in known), type(error).__name__)
    return StoreUnavailable(f"{name}: {error}")
