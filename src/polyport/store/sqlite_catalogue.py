"""The index of the catalogue in SQLite: a file that all processes of a data folder share, or one of a process alone where no file can be had."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
import weakref
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import apsw

from polyport.store.asked_catalogue import beyond_of, conditions_of, order_of, seen_in
from polyport.store.base import StoreUnavailable
from polyport.store.catalogue import COLUMNS, Clash, IndexDamaged, OfferRow, Ordered, PartnerRow, Place, Reach, Stored
from polyport.store.rows import After

FORMAT: Final = 1
BUSY_MS: Final = 30_000
CLEAN_MS: Final = 500
CACHE_KB: Final = 4_000  # of each thread that reads
COUNTS_MOST: Final = 10_000
DEEP: Final = 1_000  # rows that are skipped: how far a page of a list may be before the order of the whole list is kept
ORDERS_MOST: Final = 8  # of half a megabyte each, with 60,000 operations
LOCK_SECONDS: Final = 0.05
_OFFER: Final = ", ".join(OfferRow._fields)
_PARTNER: Final = "partner_id, owner, slug, title_key, deprecated, signs_in, facets, digest, words, item"
_HEAD: Final = "name NOT LIKE 'actions/%' AND name NOT LIKE 'triggers/%'"
_TABLES: Final = {"partner": "partners", "operation": "operations"}
_ITEMS: Final = {"partner": "partners", "operation": "operation_items"}


class SqliteCatalogue:
    """A ``CatalogIndex`` in one file. Each thread has its own connection; without a file there is one connection, for one thread at a time."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._local = threading.local()
        self._lock = threading.RLock()
        self._closing: dict[apsw.Connection, Any] = {}
        self._era = 0
        self._stopped = threading.Event()
        self._inode = 0
        self._alone = self._connect() if path is None else None
        self._counts: dict[Any, int] = {}
        self._orders: dict[Any, array[int]] = {}
        self._counted = -1
        self._unclean = False
        if self._alone is not None:
            _make(self._alone)
        else:
            self._open()

    @classmethod
    def opened(cls, path: Path) -> tuple[SqliteCatalogue, str | None]:
        """The index in a file. One that cannot be used is made anew; where that cannot be either, one of this process alone, and why."""
        reason = ""
        for _try in range(2):
            try:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                return cls(path), None
            except (apsw.Error, OSError, StoreUnavailable) as error:
                reason = str(error)
            with contextlib.suppress(OSError):
                _remove(path)
        return cls(), reason

    def stop(self) -> None:
        """Wait no more for other processes that build."""
        self._stopped.set()

    def close(self) -> None:
        """Release everything."""
        while self._closing:
            self._closing.popitem()[1]()

    def _connect(self) -> apsw.Connection:
        # An empty name is a file of this connection alone, which the system removes; what is small stays in memory.
        name = "" if self._path is None else str(self._path)
        connection = apsw.Connection(name)
        connection.set_busy_timeout(BUSY_MS)
        self._closing[connection] = weakref.finalize(self, connection.close)
        connection.execute(f"PRAGMA cache_size=-{CACHE_KB}")
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute("PRAGMA synchronous=NORMAL")  # a cache: what a crash of the machine takes is built again
        return connection

    def _open(self) -> None:
        """Open the file, made if need be."""
        connection = self._own()
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN IMMEDIATE")
        try:
            present = connection.pragma("user_version")
            if present == 0:
                _make(connection)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        if present not in {0, FORMAT}:
            raise apsw.FormatError(f"{self._path} has a format that this program does not know")
        self._inode = _inode(self._path)

    def _own(self) -> apsw.Connection:
        if self._alone is not None:
            return self._alone
        era, found = getattr(self._local, "held", (None, None))
        if found is None or era != self._era:
            if found is not None:
                self._closing.pop(found)()  # by its own thread: to close a connection that another thread uses ends the process
            era, found = self._era, self._connect()
            self._local.held = (era, found)
        return found

    def renew(self) -> None:
        """Make a damaged index anew, empty, unless another process did so already. Raises ``StoreUnavailable``."""
        try:
            with self._lock, self.building():
                if self._alone is not None:
                    self._closing.pop(self._alone)()
                self._era += 1
                if self._path is not None and _inode(self._path) == self._inode:
                    _remove(self._path)
                if self._path is None:
                    self._alone = self._connect()
                    _make(self._alone)
                else:
                    self._open()
        except (apsw.Error, OSError) as error:
            raise StoreUnavailable(f"the index of the catalogue cannot be made anew: {error}") from error

    def _read(self, sql: str, given: Sequence[Any] = ()) -> list[Any]:
        """All rows. Raises ``IndexDamaged`` or ``StoreUnavailable``."""
        try:
            with self._lock if self._alone is not None else contextlib.nullcontext():
                return self._own().execute(sql, given).fetchall()
        except apsw.Error as error:
            raise _fault(error) from error

    def generation(self) -> int:
        """A number that grows with every change."""
        return int(self._read("SELECT value FROM facts WHERE name = 'generation'")[0][0])

    @contextlib.contextmanager
    def building(self) -> Iterator[None]:
        """Alone among all processes of the data folder, for as long as it takes."""
        if self._path is None:
            yield
            return
        file = os.open(self._path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if self._stopped.wait(LOCK_SECONDS):
                        raise StoreUnavailable("the index of the catalogue is being closed") from None
            yield
        finally:
            os.close(file)

    def offers(self, source: str | None = None) -> list[OfferRow]:
        """Every offer that was taken up or left out, of one source or of all, by key."""
        rows = self._read(f"SELECT {_OFFER} FROM offers WHERE ? IS NULL OR source = ? ORDER BY position, key", (source, source))  # noqa: S608  columns alone
        return list(map(OfferRow._make, rows))

    def left_out(self) -> list[OfferRow]:
        """The offers that were left out, and those that something is told about."""
        return list(map(OfferRow._make, self._read(f"SELECT {_OFFER} FROM offers WHERE clash OR problems != '[]'")))  # noqa: S608  as above

    def clashes(self, partner_id: int, slug: str, owner: int | None, operations: Iterable[int]) -> list[Clash]:
        """What of a new partner is taken. Slugs are those of an account, or of what everybody sees."""
        found = [
            Clash("id", partner_id, *row)
            for row in self._read("SELECT partner_id, owner FROM partners WHERE partner_id = ?", (partner_id,))
        ]
        found += [
            Clash("slug", 0, *row)
            for row in self._read(
                "SELECT partner_id, owner FROM partners WHERE slug = ? AND partner_id != ? AND owner IS ?",
                (slug, partner_id, owner),
            )
        ]
        found += [
            Clash("operation", *row)
            for row in self._read(
                "SELECT operation_id, partner_id, owner FROM operations WHERE operation_id IN (SELECT value FROM json_each(?))",
                (json.dumps(list(operations)),),
            )
        ]
        return found

    def change(self, gone: Sequence[OfferRow], offers: Sequence[OfferRow], stored: Stored | None) -> None:
        """In one: what these offers brought goes, these are noted, and a partner comes. Raises ``StoreUnavailable``."""
        try:
            with self._lock:
                connection = self._own()
                connection.execute("BEGIN IMMEDIATE")
                try:
                    for row in gone:
                        connection.execute("DELETE FROM offers WHERE source = ? AND key = ?", (row.source, row.key))
                        if row.partner_id is not None:
                            _take_out(connection, row.partner_id)
                    for row in offers:
                        connection.execute("INSERT OR REPLACE INTO offers VALUES (?,?,?,?,?,?,?,?,?)", row)
                    if stored is not None:
                        _put_in(connection, stored)
                    if private := any(row.owner is not None and row.partner_id is not None for row in gone):
                        _forget_words(connection)
                    connection.execute("UPDATE facts SET value = value + 1 WHERE name = 'generation'")
                    connection.execute("COMMIT")
                    self._unclean = self._unclean or private
                except BaseException:
                    with contextlib.suppress(apsw.Error):
                        connection.execute("ROLLBACK")
                    raise
                self._clean(connection)
        except apsw.Error as error:
            raise _fault(error) from error

    def _clean(self, connection: apsw.Connection) -> None:
        """Empty the log of changes, which holds what was taken out, unless somebody reads from it just now: then the next change does."""
        if not self._unclean or self._path is None:
            return
        connection.execute(f"PRAGMA busy_timeout={CLEAN_MS}")
        try:
            self._unclean = bool(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").get[0])
        finally:
            connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")

    def partner(self, partner_id: int) -> PartnerRow | None:
        """A partner."""
        rows = self._read(f"SELECT {_PARTNER} FROM partners WHERE partner_id = ?", (partner_id,))  # noqa: S608  a list of columns
        return PartnerRow(*rows[0]) if rows else None

    def operation(self, operation_id: int) -> tuple[Place, bytes] | None:
        """Where an operation is, and its item."""
        rows = self._read(
            "SELECT o.partner_id, o.owner, p.digest, o.document, i.item FROM operations o JOIN operation_items i USING (number) "
            "JOIN partners p USING (partner_id) WHERE o.operation_id = ?",
            (operation_id,),
        )
        return (Place(*rows[0][:4]), rows[0][4]) if rows else None

    def head(self, partner_id: int) -> tuple[PartnerRow, dict[str, bytes]] | None:
        """A partner with its documents, those of its operations left out; both of one version."""
        while True:
            row = self.partner(partner_id)
            if row is None:
                return None
            documents = dict(self._read(f"SELECT name, content FROM documents WHERE partner_id = ? AND {_HEAD}", (partner_id,)))  # noqa: S608  as above
            again = self.partner(partner_id)
            if again is not None and again.digest == row.digest:
                return row, documents

    def document(self, place: Place) -> bytes | None:
        """The document of an operation; ``None`` where the version of the place is gone."""
        rows = self._read(
            "SELECT d.content FROM documents d JOIN partners p USING (partner_id) WHERE d.partner_id = ? AND d.name = ? AND p.digest = ?",
            (place.partner_id, place.document, place.digest),
        )
        return rows[0][0] if rows else None

    def ids(self, reach: Reach, *, signs_in: bool = False, name: str | None = None) -> list[int]:
        """The ids of partners, by title: all, those where customers sign in, or those with this slug or id."""
        seen, given = seen_in(reach)
        where = [seen]
        if signs_in:
            where.append("signs_in = 1")
        if name is not None:
            where.append("(slug = ? OR CAST(partner_id AS TEXT) = ?)")
            given += [name, name]
        first = "owner IS NULL, " if name is not None else ""
        sql = f"SELECT partner_id FROM partners WHERE {' AND '.join(where)} ORDER BY {first}title_key, partner_id"  # noqa: S608  made of what stands here
        return [row[0] for row in self._read(sql, given)]

    def count(self) -> int:
        """How many partners there are, whoever sees them."""
        return int(self._read("SELECT count(*) FROM partners")[0][0])

    def page(self, kind: str, reach: Reach, wanted: Ordered, start: int, limit: int) -> tuple[list[bytes], int]:
        """Items of a list, and how many there are in all. Whoever leafs to the end is served from the end."""
        reach = self._shared(reach)
        where, given = conditions_of(kind, reach, wanted)
        total = self._count(f"SELECT count(*) FROM {_TABLES[kind]} WHERE {where}", given)  # noqa: S608  as above
        limit = max(0, min(limit, total - start))
        backwards = start > total // 2
        first = total - start - limit if backwards else start
        if first > DEEP and reach == Reach():
            numbers = self._ordered(kind, wanted, where, given)[start : start + limit].tolist()
        elif limit:
            order = order_of(kind, wanted, backwards=backwards)
            sql = f"SELECT number FROM {_TABLES[kind]} WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?"  # noqa: S608  as above
            numbers = [row[0] for row in self._read(sql, [*given, limit, first])][:: -1 if backwards else 1]
        else:
            numbers = []
        held = self.items(kind, numbers)
        return [held[number] for number in numbers if number in held], total

    def _shared(self, reach: Reach) -> Reach:
        """What is seen, without whose eyes it is where these see nothing of their own: most accounts share what is kept of lists."""
        if reach.owner is None or self._count("SELECT EXISTS (SELECT 1 FROM partners WHERE owner = ?)", (reach.owner,)):
            return reach
        return replace(reach, owner=None)

    def _ordered(self, kind: str, wanted: Ordered, where: str, given: Sequence[Any]) -> array[int]:
        """The numbers of a long list in order, kept until anything changes: to skip tens of thousands of rows takes longer than all else of a page."""
        generation, order = self.generation(), order_of(kind, wanted, backwards=False)
        key = (generation, kind, where, *given, order)
        found = self._orders.get(key)
        if found is None:
            sql = f"SELECT number FROM {_TABLES[kind]} WHERE {where} ORDER BY {order}"  # noqa: S608  as above
            found = array("q", [row[0] for row in self._read(sql, given)])
            kept = {each: numbers for each, numbers in self._orders.items() if each[0] == generation}
            self._orders = {**dict(list(kept.items())[1 - ORDERS_MOST :]), key: found}
        return found

    def page_after(
        self, kind: str, reach: Reach, wanted: Ordered, after: After | None, limit: int
    ) -> tuple[list[tuple[bytes, After]], int]:
        """Items of a list that come after a place, each with its own, and how many there are in all."""
        where, given = conditions_of(kind, reach, wanted)
        total = self._count(f"SELECT count(*) FROM {_TABLES[kind]} WHERE {where}", given)  # noqa: S608  as above
        columns = ", ".join(wanted.columns(kind))
        beyond, more = beyond_of(kind, wanted, after)
        order = order_of(kind, wanted, backwards=False)
        sql = f"SELECT number, {columns} FROM {_TABLES[kind]} WHERE {where} AND {beyond} ORDER BY {order} LIMIT ?"  # noqa: S608  as above
        places = {row[0]: tuple(row[1:]) for row in self._read(sql, [*given, *more, limit])}
        held = self.items(kind, list(places))
        return [(held[number], place) for number, place in places.items() if number in held], total

    def _count(self, sql: str, given: Sequence[Any]) -> int:
        """A count, kept until anything changes."""
        generation = self.generation()
        key = (generation, sql, *given)
        found = self._counts.get(key)
        if found is None:
            found = int(self._read(sql, given)[0][0])
            if len(self._counts) > COUNTS_MOST or generation != self._counted:
                self._counts, self._counted = {}, generation
            self._counts[key] = found
        return found

    def has_private(self) -> bool:
        """Whether any partner belongs to an account."""
        return bool(self._count("SELECT EXISTS (SELECT 1 FROM partners WHERE owner IS NOT NULL)", ()))

    def vocabulary(self, kind: str) -> list[tuple[str, int]]:
        """Every word that is searched, and in how many places it stands."""
        sql = f"SELECT term, sum(doc) FROM {kind}_vocabulary WHERE col != 'marks' GROUP BY term ORDER BY term"  # noqa: S608  one of two kinds
        return [(row[0], row[1]) for row in self._read(sql)]

    def matches(self, kind: str, expression: str) -> int:
        """How many an expression of words finds."""
        return self._count(f"SELECT count(*) FROM {kind}_words WHERE {kind}_words MATCH ?", (expression,))  # noqa: S608  as above

    def numbers(self, kind: str, expression: str, start: int, limit: int) -> list[int]:
        """The numbers of what an expression finds, in the order of numbers."""
        sql = f"SELECT rowid FROM {kind}_words WHERE {kind}_words MATCH ? ORDER BY rowid LIMIT ? OFFSET ?"  # noqa: S608  as above
        return [row[0] for row in self._read(sql, (expression, limit, start))]

    def within(self, kind: str, partner_ids: Iterable[int]) -> list[int]:
        """The numbers of partners, or of what they offer."""
        sql = f"SELECT number FROM {_TABLES[kind]} WHERE partner_id IN (SELECT value FROM json_each(?))"  # noqa: S608  as above
        return [row[0] for row in self._read(sql, (json.dumps(list(partner_ids)),))]

    def words(self, kind: str, numbers: Sequence[int]) -> dict[int, str]:
        """The words of partners or operations, by number."""
        sql = f"SELECT number, words FROM {_TABLES[kind]} WHERE number IN ({_marks(numbers)})"  # noqa: S608  marks alone
        return dict(self._read(sql, numbers))

    def items(self, kind: str, numbers: Sequence[int]) -> dict[int, bytes]:
        """The items of partners or operations, by number."""
        sql = f"SELECT number, item FROM {_ITEMS[kind]} WHERE number IN ({_marks(numbers)})"  # noqa: S608  as above
        return dict(self._read(sql, numbers))

    def narrowed(self, kind: str, expression: str, reach: Reach, wanted: Ordered) -> Iterator[int]:
        """The numbers of what an expression finds and a list holds, in the order of the list."""
        where, given = conditions_of(kind, reach, wanted)
        found = f"number IN (SELECT rowid FROM {kind}_words WHERE {kind}_words MATCH ?)"  # noqa: S608  as above
        order = order_of(kind, wanted, backwards=False)
        sql = f"SELECT number FROM {_TABLES[kind]} WHERE {found} AND {where} ORDER BY {order}"  # noqa: S608  as above
        return (row[0] for row in self._read(sql, [expression, *given]))


def _marks(numbers: Sequence[int]) -> str:
    return ",".join("?" * len(numbers))


def _make(connection: apsw.Connection) -> None:
    connection.execute(files("polyport.store").joinpath("sql", "catalogue", "schema.sql").read_text("utf-8"))
    connection.execute(f"PRAGMA user_version={FORMAT}")


def _fault(error: apsw.Error) -> StoreUnavailable:
    """A file that is damaged, that another program changed or that is gone is told apart from one that cannot be used just now."""
    code = getattr(error, "result", apsw.SQLITE_ERROR)
    if code in {apsw.SQLITE_CORRUPT, apsw.SQLITE_NOTADB, apsw.SQLITE_ERROR, apsw.SQLITE_IOERR}:
        return IndexDamaged(f"the index of the catalogue is damaged: {error}")
    return StoreUnavailable(f"the index of the catalogue cannot be used: {error}")


def _inode(path: Path | None) -> int:
    try:
        return path.stat().st_ino if path is not None else 0
    except OSError:
        return 0


def _remove(path: Path) -> None:
    for ending in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _take_out(connection: apsw.Connection, partner_id: int) -> None:
    for kind, table in _TABLES.items():
        rows = connection.execute(f"SELECT number, words FROM {table} WHERE partner_id = ?", (partner_id,)).fetchall()  # noqa: S608  one of two
        names = ", ".join(COLUMNS)
        connection.executemany(
            f"INSERT INTO {kind}_words ({kind}_words, rowid, {names}) VALUES ('delete', ?, ?, ?, ?, ?, ?)",  # noqa: S608  as above
            [(number, *str(words).split("\n")) for number, words in rows],
        )
        if kind == "operation":
            connection.executemany("DELETE FROM operation_items WHERE number = ?", [(number,) for number, _words in rows])
        connection.execute(f"DELETE FROM {table} WHERE partner_id = ?", (partner_id,))  # noqa: S608  as above
    connection.execute("DELETE FROM documents WHERE partner_id = ?", (partner_id,))


def _forget_words(connection: apsw.Connection) -> None:
    """Write the words anew without those of what was taken out: until then they stand in the file, marked as gone."""
    for kind in _TABLES:
        connection.execute(f"INSERT INTO {kind}_words ({kind}_words) VALUES ('optimize')")  # noqa: S608  one of two


def _put_in(connection: apsw.Connection, stored: Stored) -> None:
    names = ", ".join(COLUMNS)
    row = stored.partner
    connection.execute(f"INSERT INTO partners ({_PARTNER}) VALUES (?,?,?,?,?,?,?,?,?,?)", row)  # noqa: S608  as above
    number = connection.last_insert_rowid()
    connection.execute(f"INSERT INTO partner_words (rowid, {names}) VALUES (?,?,?,?,?,?)", (number, *row.words.split("\n")))  # noqa: S608  as above
    for operation in stored.operations:
        connection.execute(
            "INSERT INTO operations (operation_id, partner_id, owner, is_action, deprecated, kind, title_key, document, words) "
            "VALUES (?,?,?,?,?,?,?,?,?)",
            operation[:9],
        )
        number = connection.last_insert_rowid()
        connection.execute("INSERT INTO operation_items VALUES (?,?)", (number, operation.item))
        connection.execute(
            f"INSERT INTO operation_words (rowid, {names}) VALUES (?,?,?,?,?,?)",  # noqa: S608  as above
            (number, *operation.words.split("\n")),
        )
    connection.executemany(
        "INSERT INTO documents VALUES (?,?,?)", [(row.partner_id, name, content) for name, content in stored.documents.items()]
    )
