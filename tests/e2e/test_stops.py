"""How a server goes: it says so first, lets what is under way end, and tells clients to connect anew before it closes what is idle."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

import aiohttp
import pytest

from e2e.depot import CREATE, PARTNER, PUT, SECRET, open_depot
from e2e.killable import children, running_process
from e2e.served import Asked, Served, answer, make_settings
from polyport.cli.serving import QuietServer, listen, make_config, make_guard
from polyport.server.routing import Standing

pytestmark = pytest.mark.anyio
CUT = "This server was stopped while it waited for 127.0.0.1."


async def test_a_server_that_was_asked_to_stop_says_so_and_still_serves_who_is_connected(tmp_path):
    async with open_depot() as depot, running_process(tmp_path, depot, http_drain=3_600) as server:
        go_on = asyncio.Event()

        async def late(_asked: Asked) -> bytes:
            await go_on.wait()
            return answer(201, {"data": {"id": 1}})

        depot.answers["POST /things"] = late
        connection = await server.served.connect(PARTNER, {"key": SECRET})
        caller = asyncio.create_task(server.bay(depot, connection).run(CREATE, {"name": "Lamp"}))
        await depot.arrived("POST /things")
        server.child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            while (await server.served.fetch("GET", "/readyz", token=None)).status == 200:  # noqa: ASYNC110  what is waited for signals nothing
                await asyncio.sleep(0.05)
        async with aiohttp.ClientSession() as client:
            served = Served(origin=server.served.origin, token=server.served.token, runtime=None, services=None, client=client)
            told = await served.fetch("GET", "/partners/info")
        assert (told.status, told.headers["connection"]) == (200, "close")
        go_on.set()
        assert (await caller).status == 200
        assert await server.stop() == 0  # asked once more, it waits no longer


async def test_a_server_that_was_asked_to_stop_takes_runs_and_leaves_them_to_who_comes_after(tmp_path):
    async with open_depot() as depot:
        async with running_process(tmp_path, depot, http_drain=3_600) as server:
            connection = await server.served.connect(PARTNER, {"key": SECRET})
            bay = server.bay(depot, connection)
            async with aiohttp.ClientSession() as client:  # one that stays connected, so that there is something to wait for
                served = Served(origin=server.served.origin, token=server.served.token, runtime=None, services=None, client=client)
                await served.fetch("GET", "/healthz", token=None)
                server.child.send_signal(signal.SIGTERM)
                async with asyncio.timeout(60):
                    while (await bay.served.fetch("GET", "/readyz", token=None)).status == 200:  # noqa: ASYNC110  what is waited for signals nothing
                        await asyncio.sleep(0.05)
                told = await bay.run(CREATE, {"name": "queued"}, mode="async")
                assert told.status == 202
                assert (await bay.run(CREATE, {"name": "at once"})).status == 200
                assert (await bay.read(told.json["data"]["runId"]))["status"] == "queued"
            await server.kill()
        async with running_process(tmp_path, depot, token=server.served.token) as server:
            bay = server.bay(depot, connection)
            assert (await bay.until(told.json["data"]["runId"]))["status"] == "succeeded"


async def test_what_hangs_is_cut_when_the_grace_time_is_over_and_settled_as_after_a_crash(tmp_path):
    never = asyncio.Event()

    async def hang(_asked: Asked) -> None:
        await never.wait()

    async with open_depot() as depot:
        depot.answers["POST /things"] = hang
        async with running_process(tmp_path, depot, http_drain=0, http_grace=1) as server:
            connection = await server.served.connect(PARTNER, {"key": SECRET})
            bay = server.bay(depot, connection)
            queued = (await bay.run(CREATE, {"name": "queued"}, mode="async")).json["data"]["runId"]
            callers = [asyncio.create_task(bay.run(CREATE, {"name": "at once"})) for _caller in range(6)]
            path = f"/proxy/{connection}/things"
            callers += [asyncio.create_task(server.served.fetch("POST", path, {"method": "POST"})) for _caller in range(3)]
            await depot.arrived("POST /things", 10)
            assert await server.stop() == 0
            for caller in callers:
                told = (await caller).json["error"]  # it hears that nobody knows: some would send again what just ends
                assert (told["code"], told["message"]) == ("partner_unavailable", CUT) or told["code"] == "internal_error"
                assert (told["outcome"], told["retryable"]) == ("uncertain", False)
                assert "upstream" not in told
        never.set()
        async with running_process(tmp_path, depot, token=server.served.token) as server:
            bay = server.bay(depot, connection)
            assert (await bay.until(queued))["status"] == "uncertain"
            others = [run for run in (await server.served.fetch("GET", "/runs")).json["data"] if run["mode"] == "sync"]
            found = [await bay.until(other["runId"]) for other in others]
            assert [run["status"] for run in found] == ["uncertain"] * 9
            assert {run["error"]["message"] for run in found} <= {CUT, "The server stopped while the request was under way."}
            assert depot.count("POST /things") == 10
    assert "Traceback" not in (tmp_path / "server.log").read_text("utf-8")


async def test_what_a_stop_cuts_and_may_be_repeated_can_be_called_again_under_its_key(tmp_path):
    never = asyncio.Event()

    async def hang(_asked: Asked) -> None:
        await never.wait()

    async with open_depot() as depot:
        depot.answers["PUT /things/7"] = hang
        async with running_process(tmp_path, depot, http_drain=0, http_grace=1) as server:
            connection = await server.served.connect(PARTNER, {"key": SECRET})
            caller = asyncio.create_task(server.bay(depot, connection).run(PUT, {"id": "7"}, key="again"))
            await depot.arrived("PUT /things/7")
            assert await server.stop() == 0
            with contextlib.suppress(aiohttp.ClientError):  # as above
                told = (await caller).json["error"]
                assert (told["code"], told["retryable"], told["message"]) == ("partner_unavailable", True, CUT)
        never.set()
        del depot.answers["PUT /things/7"]
        async with running_process(tmp_path, depot, token=server.served.token) as server:
            again = await server.bay(depot, connection).run(PUT, {"id": "7"}, key="again")
            assert (again.status, "idempotent-replayed" in again.headers, depot.count("PUT /things/7")) == (200, False, 2)
    assert "Traceback" not in (tmp_path / "server.log").read_text("utf-8")


def test_the_grace_time_is_one_for_all_that_is_under_way():
    told: list[int] = []
    standing = Standing(told=lambda: told.append(1))
    assert (standing.stopping, standing.left(30)) == (False, 30)
    standing.stop(3_600)
    assert 0 < standing.left(30) <= 3_600
    standing.stop(7_200)  # asked once more
    assert (standing.left(9_000) <= 3_600, told) == (True, [1])
    over = Standing()
    over.stop(0)
    assert (over.stopping, over.left(30)) == (True, 0)


async def test_a_server_nobody_is_connected_to_stops_at_once(tmp_path):
    async with open_depot() as depot, running_process(tmp_path, depot, http_drain=3_600) as server:
        await server.served.client.close()
        async with asyncio.timeout(60):
            assert await server.stop() == 0


async def test_one_of_several_processes_that_goes_leaves_new_connections_to_the_others_and_serves_its_own(tmp_path):
    settings = make_settings(tmp_path / "data")
    listener, guard = listen("127.0.0.1", 0), make_guard(settings)
    others = listener.dup()  # what another process accepts from

    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    server = QuietServer(make_config(app, settings, guard), lambda: None, guard)
    serving = asyncio.create_task(server.serve(sockets=[listener]))

    async def ask(reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        return (await reader.readuntil(b"\r\n\r\n")).lower()

    async with asyncio.timeout(60):
        mine = await asyncio.open_connection(*others.getsockname())
        assert b"connection: close" not in await ask(*mine)
        server.drain(3_600, shared=True)
        _reader, late = await asyncio.open_connection(*others.getsockname())
        taken, address = await asyncio.get_running_loop().sock_accept(others)
        assert address == late.get_extra_info("sockname")
        last = await ask(*mine)
        assert (last.split(b" ", 2)[1], b"connection: close" in last) == (b"200", True)
        server.should_exit = True
        await serving
    for each in (mine[1], late, taken, others):
        each.close()


async def test_new_processes_take_the_place_of_the_old_ones(tmp_path):
    async with open_depot() as depot, running_process(tmp_path, depot, workers=2, http_drain=0) as server:
        old = set(children(server.pid))
        os.kill(server.pid, signal.SIGHUP)
        async with asyncio.timeout(120):
            while old & (now := set(children(server.pid))) or len(now) != 2:  # noqa: ASYNC110  processes signal nothing
                await asyncio.sleep(0.05)
        assert (await server.served.fetch("GET", "/readyz", token=None)).status == 200
        assert await server.stop() == 0
