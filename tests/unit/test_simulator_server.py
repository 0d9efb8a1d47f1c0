"""The simulator on a real port: its doors, its faults, and what becomes of the connection."""

import asyncio
import contextlib
import socket
import textwrap
import time

import msgspec
import pytest

from polyport.net.egress import EgressPolicy
from polyport.net.message import NetworkFault, Request
from polyport.net.send import Sender
from polyport.testing.line import BODY_LIMIT
from polyport.testing.server import open_simulator, serve_simulator
from polyport.testing.simulator import load_simulator

pytestmark = pytest.mark.anyio

SIMULATION = """
    auth: {headers: [x-token], refuse: {status: 401, json: {error: unauthorised}}}
    collections: {people: {required: [name]}}
    routes:
      - {route: POST /people, do: create, in: people, reply: {status: 201, json: "{{record}}"}}
      - {route: GET /people, do: list, in: people, reply: {json: "{{items}}"}}
      - {route: GET /nothing, reply: {status: 204}}
    faults:
      rateLimited: {status: 429, headers: {Retry-After: "{{retry_after}}", X-Left: "0"}, json: {error: slow down}}
      expired: {status: 401, json: {error: expired}}
      error: {status: 503, json: {error: broken}}
"""


class Simulator:
    def __init__(self, url, sender):
        self.url = url
        self.sender = sender

    async def send(self, method, path, data=None, *, timeout=5.0, **headers):
        pairs = {"X-Token": "good-token-1", "Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        body = None if data is None else data if isinstance(data, bytes) else msgspec.json.encode(data)
        return await self.sender.send(Request(method=method, url=self.url + path, headers=tuple(pairs.items()), body=body, timeout=timeout))

    async def ask(self, method, path, data=None, **options):
        reply = await self.send(method, path, data, **options)
        return reply.status, msgspec.json.decode(reply.body) if reply.body else None

    async def names(self):
        return [record["name"] for record in (await self.ask("GET", "/_simulator/records/people"))[1]]


@contextlib.asynccontextmanager
async def simulator(folder):
    (folder / "simulator.yaml").write_text(textwrap.dedent(SIMULATION), "utf-8")
    sender = Sender(EgressPolicy(("127.0.0.1/32",)), connections=20, connections_per_host=20, answer_limit=1_000_000, timeout_limit=30.0)
    async with open_simulator(load_simulator(folder)) as url:
        yield Simulator(url, sender)
        await sender.close()


async def test_a_request_is_answered_and_its_record_can_be_watched(tmp_path):
    async with simulator(tmp_path) as partner:
        status, record = await partner.ask("POST", "/people", {"name": "Ada"})

        assert (status, record) == (201, {"name": "Ada", "id": 1})
        assert await partner.names() == ["Ada"]


async def test_an_answer_without_a_body_is_whole(tmp_path):
    async with simulator(tmp_path) as partner:
        assert await partner.ask("GET", "/nothing") == (204, None)
        assert (await partner.ask("GET", "/people"))[0] == 200


async def test_arrivals_are_shown_with_credentials_masked(tmp_path):
    async with simulator(tmp_path) as partner:
        await partner.send(
            "POST", "/people?api_key=sekret-value-1&page=2", {"name": "good-token-1", "password": "sekret-value-2"}, X_Run_Id="run-7"
        )
        text = (await partner.send("GET", "/_simulator/requests")).body

        assert b"good-token-1" not in text
        assert b"sekret-value" not in text
        (arrival,) = msgspec.json.decode(text)
        assert (arrival["number"], arrival["method"], arrival["path"], arrival["run"]) == (1, "POST", "/people", "run-7")
        assert arrival["query"].endswith("&page=2")
        assert set(arrival["body"]) == {"name", "password"}


async def test_counts_tell_which_runs_arrived_twice(tmp_path):
    async with simulator(tmp_path) as partner:
        for run in ("a", "b", "a"):
            await partner.send("POST", "/people", {"name": run}, X_Run_Id=run)
        await partner.send("GET", "/people")
        _, counts = await partner.ask("GET", "/_simulator/counts")

        assert counts == {
            "total": 4,
            "routes": {"POST /people": 3, "GET /people": 1},
            "runs": 2,
            "repeated": {"a": 2},
            "records": {"people": {"held": 3, "created": 3}},
        }


async def test_the_log_keeps_the_last_thousand_and_long_bodies_cut(tmp_path):
    async with simulator(tmp_path) as partner:
        for _ in range(10):
            await asyncio.gather(*(partner.send("GET", "/people") for _ in range(100)))
        await partner.send("POST", "/people", {"name": "x" * 100_000})
        _, arrivals = await partner.ask("GET", "/_simulator/requests")

        assert len(arrivals) == 1_000
        assert arrivals[-1]["number"] == 1_001
        assert arrivals[-1]["bodyBytes"] > 100_000
        assert len(arrivals[-1]["body"]) < 20_000


async def test_a_reset_forgets_records_arrivals_and_faults(tmp_path):
    async with simulator(tmp_path) as partner:
        await partner.send("POST", "/people", {"name": "Ada"})
        await partner.ask("POST", "/_simulator/faults", {"kind": "expired", "times": 0})

        assert (await partner.send("DELETE", "/_simulator")).status == 204
        assert (await partner.ask("GET", "/_simulator/counts"))[1]["total"] == 0
        assert await partner.ask("GET", "/people") == (200, [])


async def test_an_armed_fault_meets_as_many_matching_requests_as_was_said(tmp_path):
    async with simulator(tmp_path) as partner:
        fault = {"kind": "rate_limited", "times": 2, "match": "POST /people", "retryAfter": 7}
        assert (await partner.ask("POST", "/_simulator/faults", fault))[0] == 201
        assert (await partner.ask("GET", "/people"))[0] == 200

        reply = await partner.send("POST", "/people", {"name": "a"})

        assert (reply.status, reply.header("retry-after"), reply.header("x-left")) == (429, "7", "0")
        assert (await partner.ask("GET", "/_simulator/faults"))[1][0]["times"] == 1
        assert [(await partner.ask("POST", "/people", {"name": "a"}))[0] for _ in range(2)] == [429, 201]


async def test_a_fault_for_all_paths_below_lasts_until_it_is_taken_back(tmp_path):
    async with simulator(tmp_path) as partner:
        await partner.ask("POST", "/_simulator/faults", {"kind": "expired", "times": 0, "match": "GET /peo*"})

        assert [(await partner.ask("GET", "/people"))[1] for _ in range(3)] == [{"error": "expired"}] * 3
        assert (await partner.send("DELETE", "/_simulator/faults")).status == 204
        assert (await partner.ask("GET", "/people"))[0] == 200


@pytest.mark.parametrize(
    "data", [{"kind": "nonsense"}, {"times": 1}, {"kind": "slow", "seconds": -1}, {"kind": "cut", "more": 1}, [], b"{"]
)
async def test_what_is_no_fault_cannot_be_armed(tmp_path, data):
    async with simulator(tmp_path) as partner:
        status, answer = await partner.ask("POST", "/_simulator/faults", data)

        assert status == 400
        assert answer["error"]


async def test_a_fault_may_come_under_the_name_of_a_form(tmp_path):
    async with simulator(tmp_path) as partner:
        fault = b'{"kind": "expired"}'

        assert (await partner.ask("POST", "/_simulator/faults", fault, Content_Type="application/x-www-form-urlencoded"))[0] == 201


async def test_only_so_many_faults_wait(tmp_path):
    async with simulator(tmp_path) as partner:
        for _ in range(1_000):
            await partner.send("POST", "/_simulator/faults", {"kind": "cut"})

        assert (await partner.ask("POST", "/_simulator/faults", {"kind": "cut"}))[0] == 400


async def test_a_header_that_names_no_fault_is_told(tmp_path):
    async with simulator(tmp_path) as partner:
        assert (await partner.ask("GET", "/people", X_Simulate="nonsense"))[0] == 400


@pytest.mark.parametrize("path", ["/_simulator/nonsense", "/_simulator/records/nonsense", "/_simulator"])
async def test_a_door_that_is_not_there_is_told(tmp_path, path):
    async with simulator(tmp_path) as partner:
        assert (await partner.ask("GET", path))[0] == 404


@pytest.mark.parametrize(
    ("fault", "status", "effect"),
    [
        ("error_before", 503, []),
        ("error_after", 503, ["Ada"]),
        ("expired", 401, []),
        ("html", 200, []),
        ("slow; seconds=0.05", 201, ["Ada"]),
    ],
)
async def test_a_fault_asked_for_by_a_header_has_its_answer_and_its_effect(tmp_path, fault, status, effect):
    async with simulator(tmp_path) as partner:
        reply = await partner.send("POST", "/people", {"name": "Ada"}, X_Simulate=fault)

        assert reply.status == status
        assert await partner.names() == effect


async def test_an_html_answer_looks_like_one(tmp_path):
    async with simulator(tmp_path) as partner:
        reply = await partner.send("GET", "/people", X_Simulate="html")

        assert (reply.header("content-type") or "").startswith("text/html")
        assert reply.body.startswith(b"<!doctype html>")


async def test_a_redirect_leads_where_it_was_told(tmp_path):
    async with simulator(tmp_path) as partner:
        reply = await partner.send(
            "POST", "/people", {"name": "a"}, X_Simulate="redirect; status=307; location=http://169.254.169.254/latest"
        )

        assert (reply.status, reply.header("location")) == (307, "http://169.254.169.254/latest")


@pytest.mark.parametrize(
    ("fault", "effect"),
    [("cut", ["Ada"]), ("reset", []), ("reset_after", ["Ada"]), ("hang", []), ("hang_after", ["Ada"]), ("slow", ["Ada"])],
)
async def test_an_answer_that_never_comes_whole_has_its_effect_or_none(tmp_path, fault, effect):
    endless = fault in {"hang", "hang_after", "slow"}
    async with simulator(tmp_path) as partner:
        with pytest.raises(NetworkFault) as caught:
            await partner.send("POST", "/people", {"name": "Ada"}, X_Simulate=fault, timeout=1.0 if endless else 30.0)

        assert caught.value.reached
        assert caught.value.timed_out == endless
        assert await partner.names() == effect


async def test_a_reset_is_a_reset_and_not_an_end(tmp_path):
    async with simulator(tmp_path) as partner:
        host, port = partner.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /people HTTP/1.1\r\nHost: x\r\nX-Simulate: reset\r\n\r\n")

        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_a_flood_is_cut_off_by_the_reader_and_stops(tmp_path):
    async with simulator(tmp_path) as partner:
        with pytest.raises(NetworkFault):
            await partner.send("GET", "/people", X_Simulate="big")

        assert (await partner.ask("GET", "/people"))[0] == 200


async def test_a_small_flood_is_json_of_that_size(tmp_path):
    async with simulator(tmp_path) as partner:
        _, answer = await partner.ask("GET", "/people", X_Simulate="big; size=100000")

        assert answer == {"data": "a" * 100_000}


async def test_a_body_beyond_the_limit_is_refused(tmp_path):
    async with simulator(tmp_path) as partner:
        assert (await partner.ask("POST", "/people", b"x" * (BODY_LIMIT + 1)))[0] == 413


async def test_a_request_that_breaks_off_has_no_effect(tmp_path):
    async with simulator(tmp_path) as partner:
        host, port = partner.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b'POST /people HTTP/1.1\r\nHost: x\r\nX-Token: t\r\nContent-Length: 100\r\n\r\n{"name": "Ada"}')
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(0.1)

        assert (await partner.ask("GET", "/_simulator/counts"))[1]["total"] == 0
        assert await partner.names() == []


async def test_it_ends_quickly_while_callers_hang(tmp_path):
    async with simulator(tmp_path) as partner:
        hanging = asyncio.create_task(partner.send("GET", "/people", X_Simulate="hang", timeout=60.0))
        while (await partner.ask("GET", "/_simulator/counts"))[1]["total"] < 1:  # noqa: ASYNC110  what is waited for signals nothing
            await asyncio.sleep(0.02)
        started = time.monotonic()
    with pytest.raises(NetworkFault):
        await hanging

    assert time.monotonic() - started < 30


async def test_it_serves_a_folder_until_it_is_cancelled(tmp_path):
    (tmp_path / "simulator.yaml").write_text("routes: [{route: GET /x, reply: {text: here}}]", "utf-8")
    urls: asyncio.Queue[str] = asyncio.Queue()
    serving = asyncio.create_task(serve_simulator(tmp_path, "127.0.0.1", 0, ready=urls.put_nowait))
    url = await urls.get()
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert (await reader.read()).endswith(b"here")

    writer.close()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection(host, int(port))


async def test_a_taken_port_is_told_as_what_it_is(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        with pytest.raises(OSError, match="Address already in use"):
            await serve_simulator(tmp_path, "127.0.0.1", taken.getsockname()[1])


async def test_an_address_of_the_newer_kind_has_its_brackets(tmp_path):
    try:
        async with open_simulator(load_simulator(tmp_path), host="::1") as url:
            assert url.startswith("http://[::1]:")
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
