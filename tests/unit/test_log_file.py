"""The log beside the database: nothing is confirmed, and nothing told, before it is on the disk; it is copied while others write, and begun anew."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import stored
from polyport.store import kernel_sync, log_file
from polyport.store.kernel_sync import KernelSync, NotTaken, open_kernel_sync
from polyport.store.log_file import EXIT_CODE, PAGES, PAGES_MANY, LogFile
from polyport.store.repo import Repo
from polyport.store.sqlite import SqliteDatabase

linux_aio = pytest.importorskip(
    "caio", reason="only Linux has asynchronous I/O of this kind: elsewhere SQLite brings its log to the disk itself"
).linux_aio

pytestmark = pytest.mark.anyio
PAGE = 8_192
HERE = Path(__file__).parents[1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "polyport.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[SqliteDatabase]:
    found = await SqliteDatabase.open(path, sole=True)
    await found.ready()
    yield found
    await found.close()


def log_of(database: SqliteDatabase) -> LogFile:
    assert database._log is not None, "the kernel of this machine has no asynchronous I/O, or forbids it: nothing here can be shown"
    return database._log


def size_of(path: Path) -> int:
    return path.stat().st_size


def size_of_log(path: Path) -> int:
    return size_of(path.with_name("polyport.db-wal"))


class Held:
    """The kernel's answers, kept back until they are let through: a disk that takes its time."""

    def __init__(self, kernel: KernelSync, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gate, self.asked = asyncio.Event(), asyncio.Event()
        self.files: list[tuple[int, int]] = []
        self._real = kernel.sync
        monkeypatch.setattr(kernel, "sync", self.sync)

    def sync(self, file: int) -> asyncio.Future[None]:
        found = os.fstat(file)
        self.files.append((found.st_dev, found.st_ino))
        self.asked.set()
        return asyncio.ensure_future(self._late(file))

    async def _late(self, file: int) -> None:
        await self.gate.wait()
        await self._real(file)


async def test_a_write_is_confirmed_once_the_kernel_has_brought_its_log_to_the_disk(
    database: SqliteDatabase, path: Path, monkeypatch: pytest.MonkeyPatch
):
    held = Held(log_of(database)._kernel, monkeypatch)
    write = asyncio.ensure_future(database.write(stored.bump()))
    await asyncio.sleep(0.1)
    assert not write.done()
    held.gate.set()
    await asyncio.wait_for(write, 30)
    log = path.with_name("polyport.db-wal").stat()
    assert held.files == [(log.st_dev, log.st_ino)]


@pytest.mark.parametrize("heavy", [False, True])
async def test_nobody_reads_what_was_committed_before_it_is_on_the_disk(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch, heavy: bool
):
    if heavy:
        monkeypatch.setattr("polyport.store.sqlite._HEAVY", frozenset({"bump_epoch"}))
    held = Held(log_of(database)._kernel, monkeypatch)
    write = asyncio.ensure_future(database.write(stored.bump()))
    await held.asked.wait()
    read = asyncio.ensure_future(database.read("epoch"))
    await asyncio.sleep(0.1)
    assert not read.done()
    held.gate.set()
    assert [tuple(row) for row in await asyncio.wait_for(read, 30)] == [(1,)]
    await write


async def test_a_reader_does_not_wait_for_a_writer_that_waits_for_a_lock(database: SqliteDatabase, path: Path):
    with stored.opened_file(path) as other:
        other.execute("BEGIN IMMEDIATE")
        write = asyncio.ensure_future(database.write(stored.bump()))
        await asyncio.sleep(0.05)
        assert [tuple(row) for row in await asyncio.wait_for(database.read("epoch"), 5)] == [(0,)]
        assert not write.done()
        other.execute("COMMIT")
    await asyncio.wait_for(write, 30)


async def test_each_commit_is_brought_to_the_disk_once_and_all_its_units_wait_for_that(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
):
    held = Held(log_of(database)._kernel, monkeypatch)
    held.gate.set()
    commits = database.commits
    await asyncio.gather(*(database.write(stored.bump()) for _each in range(300)))
    assert 1 < database.commits - commits == len(held.files) < 20


async def test_what_the_kernel_does_not_take_is_brought_to_the_disk_by_a_thread(database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch):
    def refuse(_file: int) -> asyncio.Future[None]:
        raise NotTaken

    synced: list[int] = []
    real: Callable[[int], None] = os.fdatasync
    monkeypatch.setattr(log_of(database)._kernel, "sync", refuse)
    monkeypatch.setattr(log_file.os, "fdatasync", lambda file: (synced.append(file), real(file)))
    await database.write(stored.bump())
    assert len(synced) == 1
    assert await Repo(database).tokens.epoch() == 1


async def commits_are_sqlites_own(database: SqliteDatabase) -> None:
    await database.write(stored.bump())
    assert database._log is None
    assert database._writing is not None
    assert database._writing.pragma("synchronous") == 2
    await database.close()


async def test_where_the_kernel_does_not_do_it_commits_are_durable_by_sqlite_itself(path: Path, monkeypatch: pytest.MonkeyPatch):
    async def none(_file: int) -> None:
        return None

    monkeypatch.setattr(log_file, "open_kernel_sync", none)
    database = await SqliteDatabase.open(path, sole=True)
    await commits_are_sqlites_own(database)


async def test_of_several_processes_each_commits_with_a_sync_of_its_own(path: Path):
    database = await SqliteDatabase.open(path, sole=False)
    await commits_are_sqlites_own(database)


async def test_a_file_that_cannot_be_brought_to_a_disk_is_found_by_trying():
    reading, writing = os.pipe()
    assert await open_kernel_sync(writing) is None
    os.close(reading)
    os.close(writing)


async def test_a_closed_file_is_not_taken(path: Path, database: SqliteDatabase):
    file = os.open(path, os.O_RDONLY)
    kernel = await open_kernel_sync(file)
    assert kernel is not None
    await kernel.sync(file)
    os.close(file)
    with pytest.raises(NotTaken):
        kernel.sync(file)
    kernel.close()


async def test_databases_that_come_and_go_take_no_more_of_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made: list[int] = []
    real = linux_aio.Context
    monkeypatch.setattr(linux_aio, "Context", lambda number: (made.append(number), real(number))[1])
    monkeypatch.setattr(kernel_sync, "_spare", [])
    for number in range(5):
        database = await SqliteDatabase.open(tmp_path / f"{number}.db", sole=True)
        await database.ready()
        log_of(database)
        await database.close()
    assert len(made) == 1


async def test_the_log_stays_short_while_writers_never_rest(database: SqliteDatabase, path: Path):
    repo = Repo(database)
    account = await stored.account(repo)
    content, largest = bytes(30_000), 0
    for _turn in range(200):
        runs = [stored.run(account, sealed_input=content) for _number in range(32)]
        await asyncio.gather(*(repo.runs.insert(run) for run in runs))
        largest = max(largest, log_of(database).pages * PAGE)
    written, short = 200 * 32 * len(content), (PAGES_MANY + PAGES) * PAGE
    assert written > 2 * short
    assert largest < short
    assert size_of(path) > written - short


async def test_writers_wait_for_a_disk_that_is_slower_than_they(database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch):
    repo, log = Repo(database), log_of(database)
    account = await stored.account(repo)
    copy, slow, longest = log.copy, threading.Event(), 0

    def copy_slowly(connection: Any) -> None:
        slow.wait(30)
        time.sleep(0.3)
        copy(connection)

    monkeypatch.setattr(log, "copy", copy_slowly)
    for _turn in range(200):
        await asyncio.gather(*(repo.runs.insert(stored.run(account, sealed_input=bytes(30_000))) for _number in range(32)))
        if log.pages >= PAGES_MANY - PAGES:
            slow.set()
        longest = max(longest, log.pages)
    assert slow.is_set()
    assert longest < PAGES_MANY + PAGES


async def test_a_log_that_a_reader_of_an_old_state_kept_is_begun_anew_after_it(database: SqliteDatabase, path: Path):
    repo = Repo(database)
    account = await stored.account(repo)
    log = log_of(database)

    async def write_until(true: Callable[[], bool]) -> None:
        for _turn in range(2_000):
            if true():
                return
            await asyncio.gather(*(repo.runs.insert(stored.run(account, sealed_input=bytes(30_000))) for _number in range(16)))
        raise AssertionError(f"{log.pages} pages are in the log")

    with stored.opened_file(path) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM sequences").fetchall()
        await write_until(lambda: log.pages > PAGES_MANY)
    await write_until(lambda: log.pages < PAGES)


async def test_a_log_is_begun_anew_though_there_is_always_somebody_who_reads(database: SqliteDatabase, path: Path):
    repo = Repo(database)
    account = await stored.account(repo)
    over = threading.Event()

    def read(late: float) -> None:
        time.sleep(late)
        with stored.opened_file(path) as reader:
            while not over.is_set():
                reader.execute("BEGIN")
                reader.execute("SELECT * FROM sequences").fetchall()
                time.sleep(0.03)
                reader.execute("COMMIT")

    readers = [asyncio.create_task(asyncio.to_thread(read, number * 0.01)) for number in range(3)]
    longest, shortened = 0, 0
    try:
        for _turn in range(300):
            before = log_of(database).pages
            await asyncio.gather(*(repo.runs.insert(stored.run(account, sealed_input=bytes(30_000))) for _number in range(16)))
            longest, shortened = max(longest, log_of(database).pages), shortened + (log_of(database).pages < before)
    finally:
        over.set()
        await asyncio.gather(*readers)
    assert shortened
    assert longest < PAGES_MANY + 3 * PAGES


@contextlib.contextmanager
def serving(script: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(  # noqa: S603  this program
        [sys.executable, "-c", _HEAD + script, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HERE)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


_HEAD = """
import asyncio, errno, sys
from pathlib import Path
import stored
from polyport.store.repo import Repo
from polyport.store.sqlite import SqliteDatabase
path = Path(sys.argv[1])
"""
# No disk of this machine fails at a word: what the kernel would hand over is put in its place.
_FAILS = """
async def main():
    database = await SqliteDatabase.open(path, sole=True)
    repo = Repo(database)
    account = await stored.account(repo)
    kept = stored.run(account)
    await repo.runs.insert(kept)
    print(kept.run_id, flush=True)
    def fail(file):
        future = asyncio.get_running_loop().create_future()
        future.set_exception(OSError(errno.EIO, "Input/output error"))
        return future
    database._log._kernel.sync = fail
    try:
        await repo.runs.insert(stored.run(account))
    finally:
        print("answered", flush=True)
asyncio.run(main())
"""


async def test_a_process_whose_disk_did_not_keep_a_commit_ends_without_an_answer_and_the_next_one_goes_on(path: Path):
    with serving(_FAILS, path) as process:
        out, _none = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == EXIT_CODE
    run_id, *said = out.splitlines()
    assert "answered" not in said
    assert any("the disk did not keep" in line and "Input/output error" in line for line in said)
    assert size_of_log(path) > 0  # nothing was copied on the way out
    database = await SqliteDatabase.open(path, sole=True)
    assert await Repo(database).runs.get(1, run_id) is not None
    await database.close()


async def test_an_error_of_the_kernel_keeps_its_number():
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    kernel_sync._tell(future, 2**64 - 5)
    with pytest.raises(OSError, match="Input/output error") as told:
        await future
    assert told.value.errno == 5
    kernel_sync._tell(future, 0)  # of a caller that is gone nothing is told
