"""SQLite under load, in several processes, and with a disk that fails."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import stored
from polyport.errors import SetupError
from polyport.store import sqlite
from polyport.store.base import Duplicate, Statement, StoreUnavailable
from polyport.store.place import LOOK_SECONDS
from polyport.store.queries import load_migrations
from polyport.store.repo import Repo
from polyport.store.runs import RunFilter
from polyport.store.sqlite import SqliteDatabase

pytestmark = pytest.mark.anyio

_HEAD = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import stored
from polyport.store.base import StoreUnavailable
from polyport.store.repo import Repo
from polyport.store.sqlite import SqliteDatabase
path = Path(sys.argv[1])
"""
_started: list[subprocess.Popen[str]] = []


def start(script: str, path: Path, *more: str) -> subprocess.Popen[str]:
    """A real process that works on the same file."""
    process = subprocess.Popen(  # noqa: S603  the program is this interpreter, the script stands in this file
        [sys.executable, "-c", _HEAD + script, str(path), str(Path(__file__).parents[1]), *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _started.append(process)
    return process


@pytest.fixture(autouse=True)
def no_process_outlives_its_test() -> Iterator[None]:
    yield
    while _started:
        process = _started.pop()
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> str:
    """What a process printed, once it ended well."""
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return out.strip()


@contextlib.asynccontextmanager
async def closing(database: SqliteDatabase) -> AsyncIterator[SqliteDatabase]:
    try:
        yield database
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteDatabase]:
    async with closing(await SqliteDatabase.open(path)) as database:
        yield database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "polyport ? #1.db"


async def test_many_writes_at_once_share_few_commits(path: Path) -> None:
    async with opened(path) as database:
        repo = Repo(database)
        account_id = await stored.account(repo)
        commits, units = database.commits, database.units
        await asyncio.gather(*(repo.runs.insert(stored.run(account_id)) for _number in range(1_000)))
        assert database.units - units == 1_000
        assert database.commits - commits <= 20


async def test_a_claim_runs_in_the_thread_alone_and_in_its_turn(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_COLD", frozenset({"bump_epoch"}))
    async with opened(path) as database:
        await database.ready()
        ran: list[tuple[str, bool]] = []
        run = database._run

        def note(connection: Any, unit: Any, *, guarded: bool) -> None:
            ran.append((unit.statements[0].query, threading.current_thread() is threading.main_thread()))
            run(connection, unit, guarded=guarded)

        monkeypatch.setattr(database, "_run", note)
        commits = database.commits
        probe = Statement(query="probe")
        await asyncio.gather(*(database.write(statement) for statement in (probe, stored.bump(), probe)))
        assert database.commits == commits + 1
        assert ran == [("probe", True), ("bump_epoch", False), ("probe", True)]


async def test_a_unit_that_fails_beside_a_claim_is_undone_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_COLD", frozenset({"bump_epoch"}))
    async with opened(path) as database:
        repo = Repo(database)
        account_id = await stored.account(repo)
        run = stored.run(account_id)
        await repo.runs.insert(run)
        again = Statement(query="insert_run", record=run)
        probe = Statement(query="probe")
        told = await asyncio.gather(
            database.write(probe),
            database.write(stored.bump()),
            database.write(probe, again),
            database.write(stored.bump()),
            return_exceptions=True,
        )
        assert [type(each) for each in told] == [list, list, Duplicate, list]
        assert await repo.tokens.epoch() == 2


async def test_slow_reads_do_not_hold_up_the_event_loop_or_the_writer(path: Path) -> None:
    async with opened(path) as database:
        reads = [asyncio.create_task(database.read("epoch")) for _number in range(200)]
        await asyncio.wait_for(database.ready(), 60)
        assert {rows[0][0] for rows in await asyncio.gather(*reads)} == {0}


async def test_a_reader_cannot_write(path: Path) -> None:
    async with opened(path) as database:
        with pytest.raises(StoreUnavailable, match="readonly"):
            await database.read("bump_epoch")
        assert await Repo(database).tokens.epoch() == 0


async def test_nothing_is_left_running_after_a_close(path: Path) -> None:
    before = set(threading.enumerate())
    database = await SqliteDatabase.open(path)
    await asyncio.gather(database.ready(), database.read("epoch"))
    await database.close()
    left = [thread.name for thread in threading.enumerate() if thread not in before]
    assert [name for name in left if name.startswith("polyport-")] == []
    assert len(left) <= 1  # the loop's own pool, in which the close waited


async def test_the_settings_that_durability_rests_on_are_set(path: Path) -> None:
    async with opened(path):
        script = "from polyport.store.opening import connect\nc = connect(path)\n"
        script += "print([c.execute(f'PRAGMA {name}').fetchone()[0] for name in ('journal_mode', 'synchronous', 'foreign_keys')])"
        assert ended(start(script, path)) == "['wal', 2, 1]"


async def test_the_log_is_emptied_while_writers_write_and_not_while_somebody_reads_an_old_state(path: Path) -> None:
    database = await SqliteDatabase.open(path)
    log = path.with_name(path.name + "-wal")
    await asyncio.gather(*(database.write(stored.bump()) for _each in range(200)))
    assert log.stat().st_size > 0
    with stored.opened_file(path) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM sequences").fetchall()
        await database.write(stored.bump())
        assert await database.scrub() is False
    writing = asyncio.gather(*(database.write(stored.bump()) for _each in range(200)))
    assert await database.scrub() in {True, False}
    await writing
    assert await database.scrub() is True
    assert log.stat().st_size == 0
    await database.close()


def left(path: Path) -> set[bytes]:
    content = path.read_bytes()
    return {word for word in (b"wrapped-canary", b"large-canary") if word in content}


async def test_deleted_content_is_overwritten(path: Path) -> None:
    async with opened(path) as database:
        repo = Repo(database)
        account = await stored.account(repo)
        await repo.connections.insert(stored.connection(account, 5_000, data_key=b"wrapped-canary", sealed=b"large-canary" + bytes(20_000)))
        await database.scrub()
        assert left(path) == {b"wrapped-canary", b"large-canary"}
        await repo.connections.delete(account, 5_000)
        await database.scrub()
        assert left(path) == set()


async def test_processes_that_write_one_file_lose_nothing(path: Path) -> None:
    async with opened(path) as database:
        script = """
async def main():
    database = await SqliteDatabase.open(path)
    for _turn in range(30):
        await asyncio.gather(*(database.write(stored.bump()) for _number in range(10)))
    await database.close()
asyncio.run(main())
"""
        others = [start(script, path) for _number in range(2)]
        for _turn in range(30):
            await asyncio.gather(*(database.write(stored.bump()) for _number in range(10)))
        for other in others:
            await asyncio.to_thread(ended, other)
        assert await Repo(database).tokens.epoch() == 900


async def test_a_write_waits_for_another_process_that_holds_the_lock(path: Path) -> None:
    async with opened(path) as database:
        await database.ready()
        with stored.opened_file(path) as other:
            other.execute("BEGIN IMMEDIATE")
            write = asyncio.ensure_future(database.write(stored.bump()))
            await asyncio.sleep(0.3)
            assert not write.done()
            other.execute("COMMIT")
        await asyncio.wait_for(write, 60)
        assert await Repo(database).tokens.epoch() == 1


async def test_what_was_confirmed_survives_a_kill(path: Path) -> None:
    script = """
async def main():
    database = await SqliteDatabase.open(path)
    repo = Repo(database)
    account_id = await stored.account(repo)
    async def work(number):
        while True:
            run = stored.run(account_id)
            await repo.runs.insert(run, stored.key(account_id, run, run.run_id))
            print(run.run_id, flush=True)
    await asyncio.gather(*map(work, range(16)))
asyncio.run(main())
"""
    process = start(script, path)
    assert process.stdout is not None
    confirmed = [(await asyncio.to_thread(process.stdout.readline)).strip() for _line in range(300)]
    process.send_signal(signal.SIGKILL)
    rest, _errors = await asyncio.to_thread(process.communicate)
    confirmed += rest.split("\n")[1:-1]  # the first line may lack its head, which readline had read ahead
    async with opened(path) as database:
        repo = Repo(database)
        kept = {run.run_id for run in (await repo.runs.page(1, RunFilter(), limit=1_000_000)).runs}
        assert set(confirmed) <= kept
        assert len([run_id for run_id in kept if await repo.runs.key(1, run_id) is None]) == 0


async def test_processes_that_start_together_make_the_schema_once(tmp_path: Path) -> None:
    script = """
async def main():
    print("here", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    for number in range(15):
        database = await SqliteDatabase.open(path.with_name(f"{number}.db"))
        await database.ready()
        await database.close()
asyncio.run(main())
"""
    together = [start(script, tmp_path / "x.db") for _number in range(3)]
    for process in together:
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == "here\n"
    for process in together:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in together:
        await asyncio.to_thread(ended, process)
    for number in range(15):
        with stored.opened_file(tmp_path / f"{number}.db") as file:
            assert file.execute("PRAGMA user_version").fetchone()[0] == len(load_migrations())
            assert file.execute("SELECT value FROM sequences WHERE name = 'probe'").fetchone()[0] == 3


async def test_a_newer_schema_is_refused_with_a_sentence_and_left_as_it_is(path: Path) -> None:
    await (await SqliteDatabase.open(path)).close()
    with stored.opened_file(path) as file:
        file.execute("PRAGMA user_version=99")
    with pytest.raises(SetupError, match="newer Polyport"):
        await SqliteDatabase.open(path)
    with stored.opened_file(path) as file:
        assert file.execute("PRAGMA user_version").fetchone()[0] == 99


@pytest.fixture
def no_database(tmp_path: Path) -> Path:
    path = tmp_path / "polyport.db"
    path.write_bytes(b"This is a text, and a rather long one at that." * 100)
    return path


async def test_a_file_that_is_no_database_stops_the_start_with_a_sentence(no_database: Path) -> None:
    with pytest.raises(SetupError, match="cannot be used as a database"):
        await SqliteDatabase.open(no_database)


async def test_a_folder_that_cannot_be_made_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SetupError, match="cannot be used as a database"):
        await SqliteDatabase.open(tmp_path / "file" / "polyport.db")


async def test_a_full_disk_refuses_whole_batches_keeps_nothing_of_them_and_heals(path: Path) -> None:
    script = """
import resource
async def main():
    database = await SqliteDatabase.open(path)
    repo = Repo(database)
    account_id = await stored.account(repo)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    accepted, refused = [], []
    for _turn in range(6):
        runs = [stored.run(account_id, sealed_input=b"x" * 5_000) for _number in range(20)]
        told = await asyncio.gather(*(repo.runs.insert(run) for run in runs), return_exceptions=True)
        for run, error in zip(runs, told):
            assert not isinstance(error, BaseException) or type(error) is StoreUnavailable, repr(error)
            (refused if isinstance(error, BaseException) else accepted).append(run.run_id)
    assert accepted and refused
    assert await repo.runs.get(account_id, accepted[0]) is not None
    assert [run_id for run_id in refused if await repo.runs.get(account_id, run_id)] == []
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    try:
        await database.ready()
    except StoreUnavailable:
        print("not ready")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await database.ready()
    after = stored.run(account_id)
    await repo.runs.insert(after)
    await database.close()
    database = await SqliteDatabase.open(path)
    repo = Repo(database)
    kept = [await repo.runs.get(account_id, run_id) is not None for run_id in [*accepted, after.run_id]]
    print(all(kept), [run_id for run_id in refused if await repo.runs.get(account_id, run_id)])
    await database.close()
asyncio.run(main())
"""
    assert ended(start(script, path)).splitlines() == ["not ready", "True []"]


async def test_a_database_that_vanished_is_unavailable_and_not_made_anew_and_heals_when_it_is_back(path: Path) -> None:
    async with opened(path) as database:
        move(path, path.with_name("away"))
        with pytest.raises(StoreUnavailable):
            await database.ready()
        with pytest.raises(StoreUnavailable):
            await database.read("epoch")
        move(path.with_name("away"), path)
        await database.ready()
        assert await Repo(database).tokens.epoch() == 0


def move(path: Path, to: Path) -> None:
    """Also says that nothing stands where the file goes: a database that vanished was not made anew."""
    assert not to.exists()
    path.rename(to)


@pytest.mark.parametrize("end", ["", "-wal"])
async def test_nothing_is_taken_in_while_another_file_or_none_stands_in_the_place_of_one_that_is_open(path: Path, end: str) -> None:
    file, away = path.with_name(path.name + end), path.with_name("away")
    async with opened(path) as database:
        await database.write(stored.bump())
        move(file, away)
        for content in (None, b"", b"somebody else's"):
            if content is not None:
                file.write_bytes(content)
            reason = "gone" if content is None else "not the file that this server opened"
            await asyncio.sleep(2 * LOOK_SECONDS)
            for _time in range(2):
                with pytest.raises(StoreUnavailable, match=f"{re.escape(file.name)} is {reason}: put that one back"):
                    await database.write(stored.bump())
                with pytest.raises(StoreUnavailable, match=reason):
                    await database.write(Statement(query="delete_old_leases", params={"before": 0}))  # in the thread, as a whole
                assert await database.scrub() is False
            assert content is None or file.read_bytes() == content
        away.replace(file)
        await database.write(stored.bump())
        assert await Repo(database).tokens.epoch() == 2
    async with opened(path) as database:
        assert await Repo(database).tokens.epoch() == 2


async def test_a_fault_of_the_database_is_told_to_each_caller_of_the_batch(path: Path) -> None:
    async with opened(path) as database:
        move(path, path.with_name("away"))
        told = await asyncio.gather(*(database.write(stored.bump()) for _number in range(20)), return_exceptions=True)
        assert {type(error) for error in told} == {StoreUnavailable}
        assert len({id(error) for error in told}) == 20


async def test_a_statement_that_nobody_wrote_is_a_defect_that_stays_alone(path: Path) -> None:
    async with opened(path) as database:
        told = await asyncio.gather(database.write(Statement(query="no_such")), database.write(stored.bump()), return_exceptions=True)
        assert "no_such" in str(told[0])
        assert await Repo(database).tokens.epoch() == 1
