"""Copies of the database file: taken while it is in use, examined before they are trusted, made ready to take its place."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import apsw

from polyport.errors import SetupError
from polyport.store.keys import DataKey
from polyport.store.opening import connect
from polyport.store.queries import load_migrations, load_queries
from polyport.store.records import RESTORED

# Ids that were given out after a copy was taken must not be given out again for other things: what is made after a restore gets ids from beyond.
IDS_LEFT_OUT: Final = 1_000_000
PATIENCE_MS: Final = 5_000
_UNFINISHED: Final = "SELECT COUNT(*) FROM runs WHERE status IN ('queued', 'waiting', 'running') AND "


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """What is in a copy: its schema, when it was taken (unix milliseconds; ``None`` where no backup command took it), how much of what.

    Of runs that had not ended, ``in_doubt`` are those that may not be repeated, ``repeatable`` those that may.
    """

    schema: int
    taken_at: int | None
    accounts: int
    connections: int
    runs: int
    in_doubt: int
    repeatable: int
    key_ids: tuple[str, ...]


def copy_database(source: Path, target: Path, now: int) -> None:
    """Copy a database as it is at one moment; writers go on meanwhile. ``target`` becomes one whole file. Raises ``SetupError``.

    The copy is made in one step over one snapshot: in pieces it would begin anew with every commit of another process.
    """
    with _told(source), contextlib.closing(connect(source, read_only=True)) as reading, contextlib.closing(_plain(target)) as writing:
        with writing.backup("main", reading, "main") as copying:
            copying.step()
        writing.execute("PRAGMA journal_mode=DELETE")  # nothing beside the file
        writing.execute(
            "INSERT INTO sequences (name, value) VALUES ('backup_at', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (now,)
        )
        _check(writing, target, "quick_check")


def examine(path: Path, opens: Callable[[str, DataKey], str | None]) -> tuple[Copy, list[str]]:
    """What is in a copy, and what of its data keys does not open, as ``opens`` says it. The file is not changed. Raises ``SetupError`` for one that is no good."""
    newest = load_migrations()[-1][0]
    # Without a log beside it nothing can be missing, and the folder may be read-only.
    beside = path.with_name(path.name + "-wal")
    with _told(path), contextlib.closing(_plain(path, mode="ro" if beside.exists() else "ro&immutable=1")) as database:
        schema = int(_one(database, "PRAGMA user_version"))
        if schema > newest:
            raise SetupError(
                f"{path} was written by a newer Polyport (schema {schema}, this one knows {newest}): restore it with the newer program."
            )
        if not schema or not _one(database, "SELECT COUNT(*) FROM sqlite_master WHERE name IN ('accounts', 'master_keys')") == 2:
            raise SetupError(f"{path} is no database of Polyport.")
        _check(database, path, "integrity_check")
        rows = database.execute("SELECT holder, id, account_id, partner_id, data_key FROM data_keys")
        faults = [
            fault for row in rows if (fault := opens(row[0], DataKey(id=row[1], account_id=row[2], partner_id=row[3], data_key=row[4])))
        ]
        return _describe(database, schema), faults


def make_ready(path: Path) -> None:
    """Make a copy ready to take the place of its database: nothing in it goes on by itself, and no id is given out twice."""
    with _told(path), contextlib.closing(_plain(path)) as database:
        database.execute("BEGIN IMMEDIATE")
        for name in ("hold_restored_running", "hold_restored_queue", "cancel_restored_imports"):
            database.execute(load_queries()[name].sql, {"owner": RESTORED})
        database.execute("UPDATE sequences SET value = value + ? WHERE name IN ('account', 'connection')", (IDS_LEFT_OUT,))
        database.execute("UPDATE sqlite_sequence SET seq = seq + ?", (IDS_LEFT_OUT,))
        database.execute("DELETE FROM sequences WHERE name = 'backup_at'")
        database.execute("COMMIT")
        database.execute("PRAGMA journal_mode=DELETE")


def settle_log(path: Path) -> None:
    """Bring what stands beside a database in its log into the file itself, if the file is sound enough for that."""
    with contextlib.suppress(apsw.Error), contextlib.closing(connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _describe(database: apsw.Connection, schema: int) -> Copy:
    taken = _one(database, "SELECT value FROM sequences WHERE name = 'backup_at'")
    key_ids: list[Any] = database.execute("SELECT DISTINCT key_id FROM data_key_census").fetchall()
    return Copy(
        schema=schema,
        taken_at=int(taken) if taken is not None else None,
        accounts=int(_one(database, "SELECT COUNT(*) FROM accounts")),
        connections=int(_one(database, "SELECT COUNT(*) FROM connections")),
        runs=int(_one(database, "SELECT COUNT(*) FROM runs")),
        in_doubt=int(_one(database, _UNFINISHED + "NOT repeatable")),
        repeatable=int(_one(database, _UNFINISHED + "repeatable")),
        key_ids=tuple(sorted(row[0].hex() for row in key_ids)),
    )


def _check(database: apsw.Connection, path: Path, pragma: str) -> None:
    said = [str(row[0]) for row in database.execute(f"PRAGMA {pragma}(3)")]
    if said != ["ok"]:
        raise SetupError(f"{path} is damaged: {'; '.join(said)}.")


def _one(database: apsw.Connection, sql: str) -> Any:
    return database.execute(sql).get


def _plain(path: Path, mode: str = "rw") -> apsw.Connection:
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
    connection = apsw.Connection(f"file:{quote(str(path.absolute()))}?mode={mode}", flags=flags)
    connection.set_busy_timeout(PATIENCE_MS)
    return connection


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        raise SetupError(f"{path} cannot be copied or read as a database: {error}.") from error
