"""What survives the death of a process at the worst moment, a stop in the middle of work, and a full disk."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections import Counter
from typing import Any

import aiohttp
import pytest

from e2e.depot import CREATE, PARTNER, PUT, SECRET, Bay, open_depot
from e2e.killable import children, running_process
from e2e.served import Asked, Served, answer

pytestmark = pytest.mark.anyio


async def _never(_asked: Asked) -> bytes:
    await asyncio.Event().wait()
    return b""


async def _quietly(work: Any) -> None:
    with contextlib.suppress(aiohttp.ClientError):
        await work


async def test_what_was_under_way_at_a_kill_is_settled_without_a_second_send(tmp_path):
    async with open_depot() as depot:
        depot.answers |= {"POST /things": _never, "PUT /things/7": _never, "PUT /things/8": _never}
        async with running_process(tmp_path, depot) as first:
            token, connection = first.served.token, await first.served.connect(PARTNER, {"key": SECRET})
            bay = first.bay(depot, connection)
            once = (await bay.run(CREATE, {"name": "async"}, mode="async")).json["data"]["runId"]
            again = (await bay.run(PUT, {"id": "7", "name": "Lamp"}, mode="async")).json["data"]["runId"]
            callers = [
                asyncio.create_task(_quietly(bay.run(CREATE, {"name": "sync"}, key="sync"))),
                asyncio.create_task(_quietly(bay.run(PUT, {"id": "8", "name": "Lamp"}))),
            ]
            for line, times in (("POST /things", 2), ("PUT /things/7", 1), ("PUT /things/8", 1)):
                await depot.arrived(line, times)
            await first.kill()
            await asyncio.gather(*callers)
        depot.answers.clear()
        async with running_process(tmp_path, depot, token=token) as second:
            bay = second.bay(depot, connection)
            doubtful = await bay.until(once)
            assert (doubtful["status"], doubtful["error"]["outcome"], doubtful["error"]["retryable"]) == ("uncertain", "uncertain", False)
            finished = await bay.until(again)
            assert (finished["status"], finished["attempts"], finished["result"]) == ("succeeded", 2, {"name": "Lamp"})
            listed = (await bay.served.fetch("GET", "/runs")).json["data"]
            by_mode = {(run["mode"], run["triggerActionId"]): run for run in listed}
            assert by_mode["sync", CREATE]["status"] == "uncertain"
            assert (by_mode["sync", PUT]["status"], by_mode["sync", PUT]["error"]["retryable"]) == ("failed", True)
            replayed = await bay.run(CREATE, {"name": "sync"}, key="sync")
            assert (replayed.status, replayed.json["error"]["outcome"], replayed.headers["idempotent-replayed"]) == (
                502,
                "uncertain",
                "true",
            )
        assert (depot.count("POST /things"), depot.count("PUT /things/7"), depot.count("PUT /things/8")) == (2, 2, 1)


async def test_what_a_killed_server_had_not_sent_yet_leaves_no_doubt(tmp_path):
    async with open_depot() as depot:
        async with running_process(tmp_path, depot, partner_connections_per_host=1) as first:
            token, connection = first.served.token, await first.served.connect(PARTNER, {"key": SECRET})
            bay = first.bay(depot, connection)
            warm = (await bay.run(CREATE, {"name": "warm"}, mode="async")).json["data"]["runId"]
            await bay.until(warm)  # from now on a claim marks the runs of this lane as being sent
            depot.answers["POST /things"] = _never
            callers = [asyncio.create_task(_quietly(bay.run(CREATE, {"name": "sent"}, key="sent")))]
            await depot.arrived("POST /things", 2)  # the only connection is taken: what follows waits for it
            callers.append(asyncio.create_task(_quietly(bay.run(CREATE, {"name": "kept"}, key="kept"))))
            queued = (await bay.run(CREATE, {"name": "queued"}, mode="async")).json["data"]["runId"]
            async with asyncio.timeout(60):
                while len((await bay.served.fetch("GET", "/runs?filter[status]=running")).json["data"]) < 3:  # noqa: ASYNC110  a caller looks as callers do
                    await asyncio.sleep(0.02)
            await first.kill()
            await asyncio.gather(*callers)
        depot.answers.clear()
        async with running_process(tmp_path, depot, token=token) as second:
            bay = second.bay(depot, connection)
            told = [await bay.run(CREATE, {"name": name}, key=name) for name in ("sent", "kept")]
            assert [(answer.status, answer.headers.get("idempotent-replayed")) for answer in told] == [(502, "true"), (200, None)]
            assert (await bay.until(queued))["status"] == "succeeded"
            ends = Counter(run["status"] for run in (await bay.served.fetch("GET", "/runs")).json["data"])
            assert ends == {"succeeded": 3, "uncertain": 1, "failed": 1}
            assert list((tmp_path / "processes").glob("*.sent")) == [
                path.with_suffix(".sent") for path in (tmp_path / "processes").glob("*.lock")
            ]
    assert sorted(json.loads(asked.body)["name"] for asked in depot.of("POST /things")) == ["kept", "queued", "sent", "warm"]


async def test_nothing_accepted_is_lost_or_doubled_over_kills_under_load(tmp_path):
    accepted: dict[str, tuple[str, int]] = {}

    async def busy(asked: Asked) -> bytes:
        await asyncio.sleep(0.02)
        return answer(201, {"data": {"id": 1, "name": "Lamp"}})

    async def accept(bay: Bay, name: str, operation: int) -> None:
        data = {"name": name} if operation == CREATE else {"id": name, "name": name}
        with contextlib.suppress(aiohttp.ClientError):
            told = await bay.run(operation, data, mode="async")
            assert told.status == 202
            accepted[told.json["data"]["runId"]] = (name, operation)

    async with open_depot() as depot:
        depot.answers["*"] = busy
        token, connection = "", 0
        for round_ in range(2):
            async with running_process(tmp_path, depot, token=token, runs_concurrency=8) as server:
                connection = connection or await server.served.connect(PARTNER, {"key": SECRET})
                token, before = server.served.token, len(depot.wire.asked)
                bay = server.bay(depot, connection)
                load = [asyncio.create_task(accept(bay, f"{round_}-{number}", CREATE if number % 2 else PUT)) for number in range(60)]
                async with asyncio.timeout(60):
                    while len(depot.wire.asked) < before + 10 + 7 * round_ or len(accepted) <= 21 * (round_ + 1):  # noqa: ASYNC110  the moment of the kill
                        await asyncio.sleep(0.002)
                await server.kill()
                await asyncio.gather(*load)
        async with running_process(tmp_path, depot, token=token) as server:
            bay = server.bay(depot, connection)
            ended = {run_id: (await bay.until(run_id, seconds=30))["status"] for run_id in accepted}
    arrivals = Counter(json.loads(asked.body)["name"] for asked in depot.of("POST /things"))
    assert len(accepted) > 40
    assert max(arrivals.values()) == 1
    for run_id, (name, operation) in accepted.items():
        if operation == PUT:
            assert ended[run_id] == "succeeded"
        else:
            assert (ended[run_id], arrivals[name]) in {
                ("succeeded", 1),
                ("uncertain", 1),
                ("uncertain", 0),
            }  # the last: killed just before the first byte left
    assert Counter(ended.values())["uncertain"] <= 2 * 8


async def test_a_stop_lets_accepted_calls_end(tmp_path):
    async with open_depot() as depot:
        stopping = asyncio.Event()

        async def late(_asked: Asked) -> bytes:
            await stopping.wait()
            return answer(201, {"data": {"id": 1, "name": "Lamp"}})

        depot.answers["POST /things"] = late
        async with running_process(tmp_path, depot, http_drain=0, http_grace=60) as server:
            token, connection = server.served.token, await server.served.connect(PARTNER, {"key": SECRET})
            bay = server.bay(depot, connection)
            queued = (await bay.run(CREATE, {"name": "async"}, mode="async")).json["data"]["runId"]
            caller = asyncio.create_task(bay.run(CREATE, {"name": "sync"}))
            await depot.arrived("POST /things", 2)
            stop = asyncio.create_task(server.stop())
            await _is_closed(server.served)
            stopping.set()
            assert await stop == 0
            assert (await caller).status == 200
        async with running_process(tmp_path, depot, token=token) as server:
            assert (await server.bay(depot, connection).read(queued))["status"] == "succeeded"
        assert depot.count("POST /things") == 2


async def _is_closed(served: Served) -> None:
    """Wait until a server that stops takes no connection any more."""
    with contextlib.suppress(aiohttp.ClientError):
        async with asyncio.timeout(60):
            while True:
                await served.fetch("GET", "/healthz", token=None)
                await asyncio.sleep(0.02)


async def test_two_processes_share_the_work_and_do_each_run_once(tmp_path):
    async with (
        open_depot() as depot,
        running_process(tmp_path, depot, workers=2, runs_concurrency=4, runs_partner_share=1, runs_connection_share=1) as server,
    ):
        bay = server.bay(depot, await server.served.connect(PARTNER, {"key": SECRET}))
        told = await asyncio.gather(*(bay.run(CREATE, {"name": f"thing {number}"}, mode="async") for number in range(100)))
        for reply in told:
            assert (await bay.until(reply.json["data"]["runId"], seconds=60))["status"] == "succeeded"
        assert Counter(asked.body for asked in depot.of("POST /things")).most_common(1)[0][1] == 1
        assert depot.count("POST /things") == 100


async def test_a_process_that_dies_is_replaced_and_its_runs_are_settled(tmp_path):
    async with open_depot() as depot, running_process(tmp_path, depot, workers=2) as server:
        depot.answers["POST /things"] = _never
        bay = server.bay(depot, await server.served.connect(PARTNER, {"key": SECRET}))
        told = [(await bay.run(CREATE, {"name": f"thing {number}"}, mode="async")).json["data"]["runId"] for number in range(4)]
        await depot.arrived("POST /things", 4)
        victims = children(server.pid)
        assert len(victims) == 2
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        statuses = {(await _until_back(bay, run_id))["status"] for run_id in told}
        assert statuses == {"uncertain"}
        assert depot.count("POST /things") == 4


async def _until_back(bay: Bay, run_id: str) -> dict[str, Any]:
    """The end of a run while the server comes back: until then nobody listens."""
    async with asyncio.timeout(120):
        while True:
            try:
                return await bay.until(run_id)
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)


async def test_what_one_process_changes_the_other_respects_within_a_second(tmp_path):
    async with open_depot() as depot, running_process(tmp_path, depot) as one:
        connection = await one.served.connect(PARTNER, {"key": SECRET})
        async with running_process(tmp_path, depot) as other:
            bay = other.bay(depot, connection)
            assert (await bay.run(CREATE, {"name": "before"})).status == 200
            fields = {"fields": {"key": "another-key-77"}}
            assert (await one.served.fetch("PATCH", f"/credentials/{connection}", fields)).status == 200
            async with asyncio.timeout(60):  # it looks once a second: how long that is on a machine that is busy, nobody knows
                while depot.of("POST /things")[-1].headers["x-key"] == SECRET:
                    assert (await bay.run(CREATE, {"name": "after"})).status == 200
                    await asyncio.sleep(0.05)
            assert depot.of("POST /things")[-1].headers["x-key"] == "another-key-77"
            leaked = one.served.token
            assert (await other.served.fetch("GET", "/runs", token=leaked)).status == 200
            assert (await one.served.fetch("POST", "/user/logout", token=leaked)).status == 200
            async with asyncio.timeout(60):
                while (status := (await other.served.fetch("GET", "/runs", token=leaked)).status) == 200:  # noqa: ASYNC110  read as a caller reads it
                    await asyncio.sleep(0.05)
            assert status == 401


async def test_nothing_is_accepted_on_a_full_disk_and_the_server_heals_by_itself(tmp_path):
    async with open_depot() as depot, running_process(tmp_path, depot) as server:
        bay = server.bay(depot, await server.served.connect(PARTNER, {"key": SECRET}))
        assert (await bay.run(CREATE, {"name": "before"})).status == 200
        assert (await bay.served.fetch("GET", "/readyz", token=None)).status == 200
        server.fill_disk()
        for mode in ("sync", "async"):
            told = await bay.run(CREATE, {"name": "never"}, mode=mode, key=mode)
            assert (told.status, told.json["error"]["code"], told.json["error"]["retryable"]) == (503, "overloaded", True)
            assert int(told.headers["retry-after"]) >= 1
        assert (await bay.served.fetch("GET", "/readyz", token=None)).status == 503
        assert (await bay.served.fetch("GET", "/healthz", token=None)).status == 200
        assert await bay.count_runs() == 1
        server.free_disk()
        assert (await bay.run(CREATE, {"name": "after"}, key="sync")).status == 200
        assert (await bay.served.fetch("GET", "/readyz", token=None)).status == 200
        assert [asked.body for asked in depot.of("POST /things")] == [b'{"name":"before"}', b'{"name":"after"}']


async def test_a_caller_hears_of_a_result_only_once_it_is_recorded(tmp_path):
    async with open_depot() as depot, running_process(tmp_path, depot) as server:
        bay = server.bay(depot, await server.served.connect(PARTNER, {"key": SECRET}))
        go_on = asyncio.Event()

        async def late(_asked: Asked) -> bytes:
            await go_on.wait()
            return answer(201, {"data": {"id": 9}})

        depot.answers["POST /things"] = late
        caller = asyncio.create_task(bay.run(CREATE, {"name": "Lamp"}))
        await depot.arrived("POST /things")
        server.fill_disk()
        go_on.set()
        done, _waiting = await asyncio.wait([caller], timeout=0.5)
        assert not done
        server.free_disk()
        told = await caller
        assert (told.status, told.json["data"]["result"]) == (200, {"thing_id": 9})
        assert (await bay.read(told.json["data"]["runId"]))["status"] == "succeeded"
        assert depot.count("POST /things") == 1


async def test_bodies_that_nest_without_end_or_never_end_do_no_harm(tmp_path):
    async with open_depot() as depot, running_process(tmp_path, depot) as server:
        path = f"/partners/trigger-actions/{CREATE}/run/sync"
        for content in (b"[" * 200_000 + b"]" * 200_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b"[" * 500_000):
            told = await server.served.fetch("POST", path, content=content)
            assert (told.status, told.json["error"]["code"]) in {(422, "validation_failed"), (400, "malformed_json")}
        connection = await server.served.connect(PARTNER, {"key": SECRET})
        assert (await server.bay(depot, connection).run(CREATE, {"name": "Lamp"})).status == 200


async def test_a_key_whose_run_was_cut_off_by_a_kill_gives_its_honest_end_and_no_second_effect(tmp_path):
    async with open_depot() as depot:
        depot.answers["POST /things"] = _never
        async with running_process(tmp_path, depot) as first:
            token, connection = first.served.token, await first.served.connect(PARTNER, {"key": SECRET})
            cut = asyncio.create_task(_quietly(first.bay(depot, connection).run(CREATE, {"name": "Lamp"}, key="cut off")))
            await depot.arrived("POST /things")
            await first.kill()
            await cut
        async with running_process(tmp_path, depot, token=token) as second:
            bay = second.bay(depot, connection)
            told = [await bay.run(CREATE, {"name": "Lamp"}, key="cut off") for _time in range(3)]
        assert [(reply.status, reply.json["error"]["outcome"], reply.headers["idempotent-replayed"]) for reply in told] == [
            (502, "uncertain", "true")
        ] * 3
        assert depot.count("POST /things") == 1
