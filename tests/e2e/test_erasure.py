"""What is deleted is gone: from the API, from the data folder, and also when the process dies in the middle."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

import stored
from e2e.depot import CREATE, FETCH, PARTNER, SECRET, Bay, open_bay, open_depot
from e2e.killable import running_process
from e2e.receiver import events_of, make_endpoint, open_receiver
from e2e.served import Asked, Reply, answer
from polyport.store.records import CachedList, RunStatus
from polyport.store.repo import Repo
from polyport.store.sqlite import SqliteDatabase

pytestmark = pytest.mark.anyio

NAME = "Zerlina Quodlibet"  # every canary holds it
PHOTO = bytes(range(256)) * 300


@pytest.fixture
async def bay(anyio_backend: str, tmp_path: Path) -> AsyncIterator[Bay]:
    async with open_depot() as depot, open_bay(tmp_path, depot) as found:
        yield found


async def gone(bay: Bay, user: int) -> None:
    """Wait until a user is not found any more."""
    async with asyncio.timeout(60):
        while (await bay.served.fetch("GET", f"/users/{user}")).status != 404:  # noqa: ASYNC110  read as a caller reads it
            await asyncio.sleep(0.05)


def bytes_of(folder: Path) -> bytes:
    """Everything in the database's files."""
    return b"".join(path.read_bytes() for path in sorted(folder.glob("polyport.db*")))


async def scrubbed(bay: Bay) -> bytes:
    """The bytes of the database once it was cleaned of what was deleted so far."""
    repo = bay.served.runtime.repo
    async with asyncio.timeout(60):
        while len(set((await repo.database.read("erasures"))[0])) != 1:  # noqa: ASYNC110  the server's own chore does it
            await asyncio.sleep(0.05)
    return bytes_of(bay.served.runtime.settings.data)


@dataclass(frozen=True, kw_only=True)
class Customer:
    """An end user with one thing of each kind: the bytes in ``kept`` must go."""

    id: int
    external_id: str
    token: str
    connection: int
    runs: list[str]
    kept: list[bytes]


async def customer(bay: Bay, external_id: str) -> Customer:
    served = bay.served
    told = {"externalId": external_id, "title": f"{NAME} title", "email": f"{NAME}@example.com", "metadata": {"n": f"{NAME} user"}}
    user = (await served.fetch("POST", "/users", told)).json["data"]["id"]
    _id, token = await served.end_user(external_id)
    meta = {"metadata": {"n": f"{NAME} meta"}}
    connection = await served.connect(PARTNER, {"key": SECRET, "room": f"{NAME} room"}, token=token, **meta)
    link = await served.fetch("POST", "/credentials/grant-access-sharing", {"partnerId": PARTNER, "title": NAME, **meta}, token=token)
    file = await served.fetch("POST", "/files", {"name": f"{NAME}.txt", "base64": "aGk="}, token=token)
    record = await served.runtime.repo.connections.get(1, connection)
    assert record is not None
    await served.runtime.repo.connections.put_cached_list(
        CachedList(connection_id=connection, name="owners", sealed=b"sealed-list-of-" + external_id.encode(), read_at=1, stale_at=2),
        generation=1,
    )
    mine = Bay(served=served, depot=bay.depot, connection=connection)
    first = await mine.run(CREATE, {"name": NAME}, key=f"{NAME} key {external_id}", **meta)
    own = await served.fetch(
        "POST",
        f"/partners/trigger-actions/{CREATE}/run/sync",
        {"credentialData": {"0": connection}, "runnerData": {"name": "x"}},
        token=token,
        headers={"Idempotency-Key": f"{NAME} own key"},
    )
    bay.depot.answers["GET /report"] = answer(
        200, PHOTO, {"Content-Type": "image/png", "Content-Disposition": f'attachment; filename="{NAME}.png"'}
    )
    given = await mine.run(FETCH, {"send": True})
    assert [reply.status for reply in (link, file, first, own, given)] == [201, 201, 200, 200, 200], first.json
    runs = [reply.json["data"]["runId"] for reply in (first, own, given)]
    sealed = [run.sealed_input for run_id in runs if (run := await served.runtime.repo.runs.get(1, run_id)) is not None]
    kept = [record.data_key, record.sealed, NAME.encode(), external_id.encode(), b"sealed-list-of-", *(each for each in sealed if each)]
    return Customer(id=user, external_id=external_id, token=token, connection=connection, runs=runs, kept=kept)


async def delete(bay: Bay, user: int) -> Reply:
    return await bay.served.fetch("DELETE", f"/users/{user}")


async def test_everything_of_a_user_goes_but_that_there_were_runs(bay: Bay):
    leaver, stayer = await customer(bay, "leaver-7f3a"), await customer(bay, "stayer-91bc")
    before = Counter(run["status"] for run in (await bay.served.fetch("GET", "/runs?per-page=100")).json["data"])
    told = await delete(bay, leaver.id)
    assert told.status == 202
    shown = {name: told.json["data"][name] for name in ("externalId", "status", "title", "email", "metadata")}
    assert shown == {"externalId": "leaver-7f3a", "status": "deleting", "title": None, "email": None, "metadata": {}}
    assert (await bay.served.fetch("GET", "/credentials", token=leaver.token)).status == 401
    await gone(bay, leaver.id)

    for path in ("/credentials", "/credentials/grant-access-sharing", "/runs"):
        assert (await bay.served.fetch("GET", f"{path}?filter[externalUserId]=leaver-7f3a")).json["data"] == []
        assert len((await bay.served.fetch("GET", f"{path}?filter[externalUserId]=stayer-91bc")).json["data"]) == (
            3 if path == "/runs" else 1
        )
    assert (await bay.served.fetch("GET", f"/credentials/{leaver.connection}")).status == 404
    runs = [(await bay.served.fetch("GET", f"/runs/{run_id}")).json["data"] for run_id in leaver.runs]
    assert [run["status"] for run in runs] == ["succeeded"] * 3
    assert all(run["metadata"] == {} and "result" not in run for run in runs)
    marks = {run["externalUserId"] for run in runs}
    assert len(marks) == 1
    assert marks.pop().startswith("erased_")
    assert [(await bay.served.fetch("GET", f"/runs/{run_id}/attempts")).json["data"] for run_id in leaver.runs] == [[]] * 3
    assert Counter(run["status"] for run in (await bay.served.fetch("GET", "/runs?per-page=100")).json["data"]) == before
    for run_id in stayer.runs:
        assert (await bay.served.fetch("GET", f"/runs/{run_id}", token=stayer.token)).json["data"]["result"]
    mine = Bay(served=bay.served, depot=bay.depot, connection=stayer.connection)
    assert (await mine.run(CREATE, {"name": "still"})).status == 200


async def test_nothing_of_a_user_is_left_in_the_bytes_of_the_database(bay: Bay):
    await asyncio.gather(*(bay.served.connect(PARTNER, {"key": SECRET}) for _each in range(40)))  # so that rows move between pages
    leaver = await customer(bay, "leaver-7f3a")
    await asyncio.gather(*(bay.served.connect(PARTNER, {"key": SECRET}) for _each in range(40)))
    present = bytes_of(bay.served.runtime.settings.data)
    assert [kept in present for kept in leaver.kept] == [True] * len(leaver.kept)

    await delete(bay, leaver.id)
    await gone(bay, leaver.id)
    left = await scrubbed(bay)
    assert [kept in left for kept in leaver.kept] == [False] * len(leaver.kept)


async def test_a_deleted_connection_leaves_neither_key_nor_secrets_in_the_bytes_of_the_database(bay: Bay):
    repo = bay.served.runtime.repo
    connections = [await bay.served.connect(PARTNER, {"key": SECRET, "room": f"{NAME} room {number}"}) for number in range(30)]
    await asyncio.gather(*(bay.served.fetch("PATCH", f"/credentials/{each}", {"title": "t" * 250}) for each in connections))
    records = [await repo.connections.get(1, each) for each in connections]
    present = bytes_of(bay.served.runtime.settings.data)
    assert all(record is not None and record.data_key in present and record.sealed in present for record in records)

    for each in connections[::2]:
        assert (await bay.served.fetch("DELETE", f"/credentials/{each}")).status == 200
    left = await scrubbed(bay)
    found = [record is not None and (record.data_key in left or record.sealed in left) for record in records]
    assert found == [False, True] * 15


async def test_a_deleted_file_leaves_no_bytes(bay: Bay):
    repo = bay.served.runtime.repo
    file = (await bay.served.fetch("POST", "/files", {"name": f"{NAME}.bin", "base64": "QUJD" * 9_000})).json["data"]["fileId"]
    sealed = (await repo.files.get(1, file)).sealed
    pieces = [sealed[at : at + 64] for at in range(0, len(sealed) - 64, 3_000)]
    assert all(piece in bytes_of(bay.served.runtime.settings.data) for piece in pieces)
    assert (await bay.served.fetch("DELETE", f"/files/{file}")).status == 200
    left = await scrubbed(bay)
    assert not any(piece in left for piece in (*pieces, NAME.encode()))


async def test_what_waits_is_cancelled_and_what_is_under_way_ends_honestly(bay: Bay):
    user, _token = await bay.served.end_user("busy")
    mine = Bay(served=bay.served, depot=bay.depot, connection=await bay.served.connect(PARTNER, {"key": SECRET}, externalUserId="busy"))
    go_on = asyncio.Event()

    async def held(asked: Asked) -> bytes:
        await go_on.wait()
        return answer(201, {"data": {"id": 1, "name": "Lamp"}})

    bay.depot.answers["POST /things"] = held
    under_way = asyncio.create_task(mine.run(CREATE, {"name": NAME}))
    claimed = (await mine.run(CREATE, {"name": NAME}, mode="async")).json["data"]["runId"]
    await bay.depot.arrived("POST /things", 2)
    bay.depot.answers["POST /things"] = answer(429, {}, {"Retry-After": "500"})
    waiting = (await mine.run(CREATE, {"name": NAME}, mode="async")).json["data"]["runId"]
    await mine.until(waiting, "waiting")
    later = int(time.time()) + 3_600
    queued = (await mine.run(CREATE, {"name": NAME}, mode="async", notBefore=later)).json["data"]["runId"]
    await delete(bay, user)
    for run_id in (waiting, queued):
        cancelled = await mine.until(run_id, "cancelled")
        assert (cancelled["error"]["code"], cancelled["error"]["retryable"]) == ("cancelled", False)
    assert (await bay.served.fetch("GET", f"/credentials/{mine.connection}")).status == 404
    refused = await mine.run(CREATE, {"name": "late"})
    assert refused.status == 404
    assert (await bay.served.fetch("GET", f"/users/{user}")).json["data"]["status"] == "deleting"

    assert (await mine.read(claimed))["cancelRequestedAt"] is not None

    go_on.set()
    assert ((await under_way).status, (await under_way).json["data"]["result"]["name"]) == (200, "Lamp")
    await gone(bay, user)
    ended = await mine.until(claimed)
    assert (ended["status"], ended["externalUserId"].startswith("erased_"), "result" in ended) == ("succeeded", True, False)
    assert bay.depot.count("POST /things") == 3


async def test_of_events_only_those_that_tell_of_the_deletion_are_still_sent(bay: Bay):
    async with open_receiver() as receiver:
        endpoint = await make_endpoint(bay.served, receiver.url)
        stayer = await bay.served.connect(PARTNER, {"key": SECRET}, externalUserId="stayer")
        leaver = await bay.served.connect(PARTNER, {"key": SECRET}, externalUserId="leaver")
        user, _token = await bay.served.end_user("leaver")
        await receiver.arrived(2)
        paused = await bay.served.fetch("PATCH", f"/event-endpoints/{endpoint['endpointId']}", {"status": "paused"})
        assert paused.status == 200, paused.json
        run = await Bay(served=bay.served, depot=bay.depot, connection=leaver).run(CREATE, {"name": NAME})
        assert run.status == 200
        assert Counter(event["type"] for event in await events_of(bay.served)) == {"connection.created": 2, "run.finished": 1}
        await delete(bay, user)
        await gone(bay, user)
        assert Counter(event["type"] for event in await events_of(bay.served)) == {"connection.created": 1, "connection.deleted": 1}
        await bay.served.fetch("PATCH", f"/event-endpoints/{endpoint['endpointId']}", {"status": "active"})
        await receiver.arrived(3)
        assert [(told["type"], told["data"]["credentialId"]) for told in receiver.told] == [
            ("connection.created", stayer),
            ("connection.created", leaver),
            ("connection.deleted", leaver),
        ]


async def test_a_user_who_is_being_deleted_is_not_made_changed_or_given_tokens(bay: Bay):
    user, _token = await bay.served.end_user("twice")
    held = stored.running(1, bay.served.runtime.owner, external_user_id="twice", sending=True)
    await bay.served.runtime.repo.runs.insert(held)  # as long as it is under way, the deletion is
    assert (await delete(bay, user)).status == 202
    for method, path, body in (
        ("POST", "/users", {"externalId": "twice"}),
        ("PATCH", f"/users/{user}", {"title": "x"}),
        ("POST", f"/users/{user}/token", {}),
    ):
        refused = await bay.served.fetch(method, path, body)
        assert (refused.status, refused.json["error"]["code"]) == (409, "conflict")
    again = await delete(bay, user)
    assert (again.status, again.json["data"]["status"]) == (202, "deleting")
    listed = (await bay.served.fetch("GET", "/users?filter[status]=deleting")).json["data"]
    assert [each["id"] for each in listed] == [user]

    made_meanwhile = await bay.served.connect(PARTNER, {"key": SECRET}, externalUserId="twice")
    await bay.served.runtime.repo.runs.finish(msgspec.structs.replace(held, status=RunStatus.SUCCEEDED, finished_at=2))
    await gone(bay, user)
    assert (await bay.served.fetch("GET", f"/credentials/{made_meanwhile}")).status == 404
    again_new = await bay.served.fetch("POST", "/users", {"externalId": "twice"})
    assert (again_new.status, again_new.json["data"]["id"] != user) == (201, True)
    assert (await bay.served.fetch("GET", "/runs?externalUserId=twice")).json["data"] == []


async def _fill(folder: Path, rows: int) -> None:
    """Many things of one user, written by another process than the server."""
    database = await SqliteDatabase.open(folder / "data" / "polyport.db")
    repo = Repo(database)
    await asyncio.gather(
        *(repo.connections.insert(stored.connection(1, 5_000 + each, external_user_id="huge")) for each in range(rows)),
        *(repo.links.insert(stored.link(1, external_user_id="huge")) for _each in range(rows)),
        *(repo.runs.insert(stored.run(1, external_user_id="huge", status=status, due_at=1 << 45))
          for each in range(rows) for status in ("queued", "waiting", "succeeded", "failed", "uncertain")),
    )  # fmt: skip
    await database.close()


def _left(folder: Path) -> dict[str, int]:
    """What there is of the user, table by table, read beside the server."""
    with stored.opened_file(folder / "data" / "polyport.db") as database:
        tables = ("connections", "links", "files", "runs")
        return {name: database.execute(f"SELECT COUNT(*) FROM {name} WHERE external_user_id = 'huge'").fetchone()[0] for name in tables}  # noqa: S608  names of this file


async def test_a_deletion_goes_on_after_kills_in_the_middle(tmp_path: Path):
    rows, seen = 400, list[dict[str, int]]()
    async with open_depot() as depot:
        async with running_process(tmp_path, depot) as first:
            token = first.served.token
            user, _token = await first.served.end_user("huge")
            await _fill(tmp_path, rows)
            assert (await first.served.fetch("DELETE", f"/users/{user}")).status == 202
            await _some_gone(tmp_path, rows * 7)
            await first.kill()
        seen.append(_left(tmp_path))
        async with running_process(tmp_path, depot, token=token) as second:
            await _some_gone(tmp_path, sum(seen[-1].values()))
            await second.kill()
        seen.append(_left(tmp_path))
        async with running_process(tmp_path, depot, token=token) as third:
            bay = third.bay(depot, 0)
            await gone(bay, user)
            counts = Counter[Any]()
            with stored.opened_file(tmp_path / "data" / "polyport.db") as database:
                counts.update(dict(database.execute("SELECT status, COUNT(*) FROM runs GROUP BY status")))
                marks = database.execute("SELECT COUNT(DISTINCT external_user_id), COUNT(sealed_input) FROM runs").fetchone()
    assert sum(seen[0].values()) > sum(seen[1].values()) > 0
    assert set(_left(tmp_path).values()) == {0}
    assert counts == {"cancelled": 2 * rows, "succeeded": rows, "failed": rows, "uncertain": rows}
    assert marks == (1, 0)


async def _some_gone(folder: Path, before: int) -> None:
    async with asyncio.timeout(60):
        while sum(_left(folder).values()) >= before:  # noqa: ASYNC110  the moment of the kill
            await asyncio.sleep(0.001)
