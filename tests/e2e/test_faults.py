"""The database's file cannot be written, is locked, is damaged; the disk is full; the clock is wrong. The server says so, takes nothing in, and heals."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from e2e.depot import CREATE, PARTNER, PUT, SECRET, Asked, Bay, open_bay, open_depot
from e2e.killable import Process, running_process
from e2e.served import Clock, answer
from polyport.engine.clock import LOOK_SECONDS
from polyport.store.place import LOOK_SECONDS as PLACE_SECONDS
from stored import opened_file

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def _open(folder: Path) -> AsyncIterator[tuple[Process, Bay]]:
    async with open_depot() as depot, running_process(folder, depot) as server:
        bay = server.bay(depot, await server.served.connect(PARTNER, {"key": SECRET}))
        assert (await bay.run(CREATE, {"name": "before"})).status == 200
        yield server, bay
        assert server.child.poll() is None
        assert "Traceback" not in (folder / "server.log").read_text("utf-8")


async def _is_refused(bay: Bay, reason: str) -> None:
    """Whatever is asked is refused with the reason, nothing of it is kept, and the process lives."""
    for mode in ("sync", "async"):
        told = await bay.run(CREATE, {"name": "never"}, mode=mode, key=mode)
        assert (told.status, told.json["error"]["code"], told.json["error"]["retryable"]) == (503, "overloaded", True)
        assert int(told.headers["retry-after"]) >= 1
    told = await bay.served.fetch("GET", "/readyz", token=None)
    assert (told.status, told.json["error"]["code"]) == (503, "overloaded")
    assert reason in told.json["error"]["message"]
    assert (await bay.served.fetch("GET", "/healthz", token=None)).status == 200


async def _is_healed(bay: Bay) -> None:
    async with asyncio.timeout(60):
        while (await bay.served.fetch("GET", "/readyz", token=None)).status != 200:  # noqa: ASYNC110  as a balancer asks
            await asyncio.sleep(0.1)
    for mode in ("sync", "async"):
        told = await bay.run(CREATE, {"name": f"after {mode}"}, mode=mode, key=mode)
        assert told.status in {200, 202}
        assert (await bay.until(told.json["data"]["runId"]))["status"] == "succeeded"
    assert await bay.count_runs() == 3
    assert sorted(asked.body for asked in bay.depot.of("POST /things")) == [
        b'{"name":"after async"}',
        b'{"name":"after sync"}',
        b'{"name":"before"}',
    ]


async def test_a_database_that_may_not_be_written_is_said_and_used_again_once_it_may(tmp_path):
    data = tmp_path / "data"
    async with _open(tmp_path) as (server, bay):
        files = [path for path in data.iterdir() if path.name.startswith("polyport.db")]
        for path in files:
            path.chmod(0o444)
        data.chmod(0o555)
        server.fill_disk()  # what is open stays open: only a failure leads to the files being opened anew
        assert (await bay.run(CREATE, {"name": "never"})).status == 503
        server.free_disk()
        await _is_refused(bay, "readonly")
        data.chmod(0o700)
        for path in files:
            path.chmod(0o600)
        await _is_healed(bay)


async def test_a_database_that_another_program_locks_is_said_and_used_again_once_it_is_free(tmp_path):
    async with _open(tmp_path) as (_server, bay):
        with opened_file(tmp_path / "data" / "polyport.db") as other:
            other.execute("BEGIN EXCLUSIVE")
            asked = asyncio.create_task(bay.run(CREATE, {"name": "never"}))
            told = await bay.served.fetch("GET", "/readyz", token=None)  # before the patience with the lock ends
            assert (told.status, "lock" in told.json["error"]["message"], asked.done()) == (503, True, False)
            assert (await asked).status == 503
            await _is_refused(bay, "lock")
            assert await bay.count_runs() == 1  # what is kept can be read
        await _is_healed(bay)


async def test_a_damaged_database_is_said_and_used_again_once_it_is_whole(tmp_path):
    path = tmp_path / "data" / "polyport.db"
    async with _open(tmp_path) as (server, bay):
        with opened_file(path) as other:  # the log stays while somebody has the file open
            other.execute("PRAGMA wal_checkpoint(FULL)")
            whole = path.read_bytes()
            for begin, reason in ((0, "not a database"), (4096, "malformed")):
                with path.open("r+b") as file:
                    file.seek(begin)
                    file.write(b"\xa5" * (len(whole) - begin))
                server.fill_disk()  # what is open has pages in memory: only a failure leads to the file being opened anew
                await bay.run(CREATE, {"name": "never"})
                server.free_disk()
                await _is_refused(bay, reason)
                path.write_bytes(whole)
        await _is_healed(bay)


async def test_a_database_that_is_taken_away_or_replaced_beside_the_server_is_said_and_used_again_once_it_is_back(tmp_path):
    data, path = tmp_path / "data", tmp_path / "data" / "polyport.db"
    async with _open(tmp_path) as (_server, bay):
        path.rename(data / "aside")
        await asyncio.sleep(2 * PLACE_SECONDS)  # how long a look counts
        await _is_refused(bay, "polyport.db is gone")
        path.write_bytes((data / "aside").read_bytes())
        await _is_refused(bay, "not the file that this server opened")
        (data / "aside").replace(path)
        data.rename(tmp_path / "moved")
        await _is_refused(bay, "polyport.db is gone")
        (tmp_path / "moved").rename(data)
        await _is_healed(bay)


async def test_a_server_does_not_start_on_a_database_that_it_cannot_use_and_says_why_in_a_sentence(tmp_path):
    path = tmp_path / "data" / "polyport.db"
    async with open_depot() as depot, running_process(tmp_path, depot) as server:
        assert await server.stop() == 0
    path.with_name("polyport.db-wal").unlink(missing_ok=True)
    whole = path.read_bytes()
    path.write_bytes(b"\xa5" * len(whole))
    assert "file is not a database" in await _start_fails(tmp_path)
    path.write_bytes(whole)
    path.chmod(0o444)
    path.parent.chmod(0o555)
    assert "cannot be used" in await _start_fails(tmp_path)
    path.parent.chmod(0o700)
    path.chmod(0o600)


async def _start_fails(folder: Path) -> str:
    log = folder / "server.log"
    before = len(log.read_text("utf-8"))
    async with open_depot() as depot:
        with pytest.raises(AssertionError):  # it ends before it answers
            async with running_process(folder, depot, workers=2):
                pass
    told = log.read_text("utf-8")[before:]
    assert "Traceback" not in told
    assert len(told.strip().splitlines()) <= 3  # said, not repeated by processes that are started again and again
    return told


async def test_a_clock_that_jumps_ahead_and_back_loses_and_doubles_nothing(tmp_path):
    clock = Clock()
    async with open_depot() as depot, open_bay(tmp_path, depot, clock=clock) as bay:
        hold = asyncio.Event()

        async def late(_asked: Asked) -> bytes:
            await hold.wait()
            return answer(201, {"data": {"id": 1}})

        depot.answers["POST /things"] = late
        tomorrow = (clock().timestamp()) + 100_000
        dated = (await bay.run(CREATE, {"name": "dated"}, mode="async", notBefore=int(tomorrow))).json["data"]["runId"]
        before = (await bay.run(CREATE, {"name": "under way"}, mode="async")).json["data"]["runId"]
        await depot.arrived("POST /things")
        clock.forward(86_000)
        depot.answers["PUT /things/1"] = answer(503, {}, {"Retry-After": "60"})
        waiting = (await bay.run(PUT, {"id": "1", "name": "waits"}, mode="async")).json["data"]["runId"]
        await bay.until(waiting, "waiting")
        await asyncio.sleep(2 * LOOK_SECONDS)  # a clock that is ahead for a moment only is not noticed
        clock.forward(-86_000)
        hold.set()
        del depot.answers["POST /things"]
        assert (await bay.until(before))["status"] == "succeeded"
        after = (await bay.run(CREATE, {"name": "after"}, mode="async")).json["data"]["runId"]
        assert (await bay.until(after))["status"] == "succeeded"
        async with asyncio.timeout(60):
            while (await _wait_of(bay, waiting, clock)) > 61:  # noqa: ASYNC110  as a caller reads it
                await asyncio.sleep(0.1)
        del depot.answers["PUT /things/1"]
        clock.forward(61)
        assert (await bay.until(waiting))["status"] == "succeeded"
        assert (await bay.read(dated))["status"] == "queued"
        assert sorted(asked.body for asked in depot.of("POST /things")) == [b'{"name":"after"}', b'{"name":"under way"}']


async def _wait_of(bay: Bay, run_id: str, clock: Clock) -> float:
    return float((await bay.read(run_id))["nextAttemptAt"]) - clock().timestamp()
