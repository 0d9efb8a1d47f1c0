"""SQLite as Polyport's database: group commit, a few reader threads, nothing that makes the event loop wait.

Every unit that ``write`` takes is durable when it returns (``synchronous=FULL``); units of many callers share one commit, which is what makes that cheap.
What can wait happens in threads: reads, the lock that another process holds, statements that touch many rows. The statements of a unit (a few
microseconds each, in memory) run on the event loop itself: handing each of them to a thread cost more than all else of a run together, because both
sides fight for the interpreter's lock (docs/adr/0010). So does the commit of a process that has the file to itself, and the kernel brings it to the disk
(docs/adr/0035); of several processes each commits in a thread. The driver is APSW, which brings its SQLite along (docs/adr/0034).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import apsw

from polyport.store.base import DbRow, Params, Stale, Statement, StoreUnavailable
from polyport.store.binding import ONLY_USER, bind
from polyport.store.log_file import LogFile
from polyport.store.opening import BUSY_MS, connect, patiently, prepare
from polyport.store.place import Displaced, Place
from polyport.store.queries import load_queries
from polyport.store.reach import only_user
from polyport.store.sqlite_faults import fault_of, is_busy, unavailable
from polyport.store.threads import Threads
from polyport.store.totals import summed

BATCH: Final = 128  # units of one commit: what the event loop does at a stretch stays within a few milliseconds
STRETCH: Final = 4 * BATCH  # statements beyond which a batch runs in the thread: a unit of its own may be that long
READERS: Final = 4
SHORT_MS: Final = 500  # patience with a lock that was held for longer than that: callers hear of it at once until it is gone
READY_SECONDS: Final = 3.0
SCRUB_MS: Final = 1_000  # so long writers wait for readers at most when the log is emptied

Rows = list[list[DbRow]]
# What may meet pages that nobody has looked at for long, but changes few: it runs in the thread, all else of its batch does not.
_COLD: Final = frozenset({"claim_events", "claim_lane", "claim_one", "hold_lane"})
# What may touch many rows: its batch runs in the thread.
_HEAVY: Final = frozenset(
    {
        "add_sums",
        "bury_parked_events",
        "cancel_runs_of_user",
        "delete_old_budget_uses",
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


class _Unguarded(Exception):
    """A unit without a savepoint has to be undone."""


class _Unit:
    """Statements that stand or fall together, what they add to sums, and who waits for them. ``heavy``: they may touch many rows; ``cold``: cold pages."""

    __slots__ = ("added", "cold", "error", "future", "heavy", "rows", "statements")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.statements: list[Statement] = []
        self.added: list[Statement] = []
        self.heavy = self.cold = False
        self.future: asyncio.Future[Rows] = loop.create_future()
        self.rows: Rows = []
        self.error: Exception | None = None


class SqliteDatabase:
    """A ``Database`` in one file, of one event loop. ``commits`` counts the transactions, ``units`` what they held."""

    def __init__(self, path: Path, *, sole: bool = False) -> None:
        self._path, self._place, self._sole = path, Place(path), sole
        queries = load_queries()
        self._bound = {name: bind(query.sql) for name, query in queries.items()}
        self._limited = frozenset(name for name, query in queries.items() if ":only_user" in query.sql)
        self._loop = asyncio.get_running_loop()  # kept: CPython before 3.12 asks the system for the process's number each time
        self._pending: deque[_Unit] = deque()
        self._draining: asyncio.Task[None] | None = None
        self._writing: apsw.Connection | None = None
        self._log: LogFile | None = None
        self._bringing: asyncio.Future[None] | None = None  # what was committed and may not be on the disk yet; done when it is
        self._copying: asyncio.Future[None] | None = None
        self._closing = False
        self._busy_ms = BUSY_MS
        self._readers = Threads("polyport-read", READERS)
        self._writer = Threads("polyport-write", 1)
        self._local = threading.local()
        self._connections: list[apsw.Connection] = []
        self.commits = 0
        self.units = 0

    @classmethod
    async def open(cls, path: Path, *, sole: bool = False) -> SqliteDatabase:
        """Open the file, made and migrated if need be; ``sole``: this is the one process that serves it. Raises ``SetupError`` with a sentence when that cannot be."""
        database = cls(path, sole=sole)
        try:
            await database._writer.run(prepare, path)
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
        rows = await self._readers.run(self._read, query, self._reaching(query, params or {}))
        if self._bringing is not None:  # nobody is told of what a loss of power could still take back
            await asyncio.wait((self._bringing,))
        return rows

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
            elif statement.query in _COLD:
                unit.cold = True
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
        if self._log is not None:
            log, self._log = self._log, None
            log.close()
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
            connection = connection or self._reader()
            sql, take, _take_record = self._bound[query]
            return connection.execute(sql, take(params)).fetchall()
        except Exception as error:
            fault = fault_of(error, query)
            if fault is not None:
                raise fault from error
            if connection is not None:  # the next read opens the file anew, and works again once the file does
                self._local.connection = None
                self._connections.remove(connection)
                connection.close()
            raise unavailable(error) from error

    def _reader(self) -> apsw.Connection:
        """The connection of a reader's thread."""
        connection: apsw.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect(read_only=True)
            self._connections.append(connection)
        return connection

    async def _drain(self) -> None:
        """Write what is pending, batch after batch; what comes in during a commit makes the next batch."""
        try:
            while self._pending:
                units = [self._pending.popleft() for _unit in range(min(BATCH, len(self._pending)))]
                try:
                    await self._transact(units)
                except Exception as error:  # noqa: BLE001  whatever it is, these units are answered and the next ones get a fresh connection
                    self._busy_ms = SHORT_MS if is_busy(error) else BUSY_MS
                    for unit in units:
                        unit.error = unavailable(error)
                        unit.error.__cause__ = error
                    if not isinstance(error, Displaced):
                        await self._writer.run(self._drop)
                _settle(units)
        finally:
            self._draining = None

    async def _transact(self, units: Sequence[_Unit]) -> None:
        connection = self._writing or await self._begin_writing()
        log = self._log
        if log is not None and log.is_long and self._copying is not None:
            await asyncio.wait((self._copying,))  # the disk is slower than those who write: they wait for it
        length, heavy, cold = 0, log is not None and log.fold_due, False
        for unit in units:
            length += len(unit.statements)
            heavy = heavy or unit.heavy
            cold = cold or unit.cold
        try:
            if heavy or length > STRETCH:
                await self._writer.run(self._transact_whole, connection, units)
            else:
                await self._transact_in_turn(connection, units, cold=cold)
            if log is not None:
                await log.sync(self._writer)
        finally:
            if self._bringing is not None:
                self._bringing.set_result(None)
                self._bringing = None
        self._busy_ms = BUSY_MS
        self.commits += 1
        self.units += len(units)
        if log is not None and log.copy_due and self._copying is None:
            self._copying = self._readers.run(self._copy_log, log)
            self._copying.add_done_callback(self._note_copied)

    def _transact_whole(self, connection: apsw.Connection, units: Sequence[_Unit]) -> None:
        if self._log is not None and self._log.fold_due:
            self._log.fold(connection)
        patiently(connection, "BEGIN IMMEDIATE", self._busy_ms)
        try:
            self._run_all(connection, units)
        except _Unguarded:
            self._again_guarded(connection, units)
        self._check_place(connection)
        self._commit(connection)

    def _commit(self, connection: apsw.Connection) -> None:
        """Commit. Where the log is brought to the disk afterwards, readers are told to wait for that before anybody can see what was committed."""
        if self._log is not None:
            self._bringing = self._loop.create_future()
        connection.execute("COMMIT")

    async def _begin_writing(self) -> apsw.Connection:
        connection = self._writing = await self._writer.run(self._connect)  # given up like any other where what follows fails
        if self._sole:
            if self._log is None:
                self._log = await LogFile.open(self._path)
                self._sole = self._log is not None
            if self._log is not None:
                await self._writer.run(self._log.follow, connection)
        return connection

    def _copy_log(self, log: LogFile) -> None:
        log.copy_due = False
        with contextlib.suppress(apsw.Error):  # another process is at it, or the disk is full: it is tried again when the log has grown
            log.copy(self._reader())

    def _note_copied(self, _copied: asyncio.Future[None]) -> None:
        self._copying = None

    def _connect(self, *, read_only: bool = False) -> apsw.Connection:
        self._place.check()
        return connect(self._path, read_only=read_only)

    def _check_place(self, connection: apsw.Connection) -> None:
        try:
            self._place.check_commit()
        except Displaced:  # what is open is all there is of what was written: it is kept until the files are back, or the program ends
            connection.execute("ROLLBACK")
            raise

    def _again_guarded(self, connection: apsw.Connection, units: Sequence[_Unit]) -> None:
        """Run a batch again, each unit in a savepoint: one of them has to be undone alone."""
        connection.execute("ROLLBACK")
        patiently(connection, "BEGIN IMMEDIATE", self._busy_ms)
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

    async def _transact_in_turn(self, connection: apsw.Connection, units: Sequence[_Unit], *, cold: bool) -> None:
        if not _begins(connection):
            await self._writer.run(patiently, connection, "BEGIN IMMEDIATE", self._busy_ms)
        try:
            if cold:
                await self._run_in_turn(connection, units)
            else:
                self._run_all(connection, units)
        except _Unguarded:
            await self._writer.run(self._again_guarded, connection, units)
        self._check_place(connection)
        if self._log is None:
            await self._writer.run(connection.execute, "COMMIT")
        else:
            self._commit(connection)

    async def _run_in_turn(self, connection: apsw.Connection, units: Sequence[_Unit]) -> None:
        """Run the units one after the other, those that may wait for the disk in the thread."""
        for unit in units:
            if unit.cold:
                await self._writer.run(self._run_alone, connection, unit)
            else:
                self._run(connection, unit, guarded=False)
        self._add(connection, units)

    def _run_alone(self, connection: apsw.Connection, unit: _Unit) -> None:
        self._run(connection, unit, guarded=False)

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
            fault = fault_of(error, unit.statements[len(unit.rows)].query)
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
