"""What a partner can do wrong, for an operation that may be repeated and for one that may not: status, code, doubt, record, arrivals."""

from __future__ import annotations

import asyncio
import email.utils
import json
import socket
import time
from dataclasses import dataclass
from typing import Any

import pytest

from e2e.depot import ASK, CREATE, PARTNER, PUT, SECRET, Bay, open_bay, open_depot
from e2e.served import Asked, answer

pytestmark = pytest.mark.anyio

HTTP, HTTP_REQUEST, HTTP_GET = 2, 20101, 20102


@pytest.fixture(scope="module")
async def shared(anyio_backend, tmp_path_factory):
    """One attempt a run: what a failure is, without what retries make of it."""
    folder = tmp_path_factory.mktemp("bay")
    async with open_depot() as depot, open_bay(folder, depot, runs_attempts=1, allow_networks="127.0.0.1/32") as found:
        yield found


@pytest.fixture
async def bay(shared):
    return await shared.afresh()


async def _silence(_asked: Asked) -> None:
    await asyncio.sleep(30)


async def _cut(asked: Asked) -> None:
    asked.writer.write(b'HTTP/1.1 200 Told\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"data": {"id"')
    await asked.writer.drain()


async def _endless(asked: Asked) -> None:
    asked.writer.write(b"HTTP/1.1 200 Told\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _part in range(100):
        asked.writer.write(b"100000\r\n" + b" " * (1 << 20) + b"\r\n")
        await asked.writer.drain()


async def _nothing(_asked: Asked) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Case:
    """A fault and what has to come of it. ``again``: a repeatable operation's error says that a repeat helps. ``doubt``: it may have taken effect."""

    told: Any
    status: int
    code: str
    again: bool = False
    doubt: bool = False
    wait: int | None = None
    upstream: int | None = None


CASES: dict[str, Case] = {
    "400": Case(told=answer(400, {"message": "no such colour"}), status=424, code="partner_error", upstream=400),
    "402": Case(told=answer(402, {"message": "pay first"}), status=424, code="partner_error", upstream=402),
    "403": Case(told=answer(403, {"message": "not yours"}), status=424, code="partner_error", upstream=403),
    "404": Case(told=answer(404, {"message": "gone"}), status=424, code="partner_error", upstream=404),
    "409": Case(told=answer(409, {"message": "twice"}), status=424, code="partner_error", upstream=409),
    "422": Case(told=answer(422, {"message": "odd"}), status=424, code="partner_error", upstream=422),
    "301": Case(told=answer(301, headers={"Location": "/elsewhere"}), status=424, code="partner_error", upstream=301),
    "302": Case(told=answer(302, headers={"Location": "/done"}), status=502, code="partner_unavailable", doubt=True, upstream=302),
    "303": Case(told=answer(303, {"message": "see"}), status=502, code="partner_unavailable", doubt=True, upstream=303),
    "307": Case(told=answer(307, headers={"Location": "/elsewhere"}), status=424, code="partner_error", upstream=307),
    "429": Case(told=answer(429, {"message": "slow"}), status=424, code="partner_rate_limited", again=True, upstream=429),
    "429 with seconds": Case(
        told=answer(429, headers={"Retry-After": "2"}), status=424, code="partner_rate_limited", again=True, wait=2_000, upstream=429
    ),
    "500": Case(told=answer(500, {"message": "oops"}), status=502, code="partner_unavailable", again=True, doubt=True, upstream=500),
    "503": Case(told=answer(503), status=502, code="partner_unavailable", again=True, doubt=True, upstream=503),
    "503 with seconds": Case(
        told=answer(503, headers={"Retry-After": "3"}), status=502, code="partner_unavailable", again=True, wait=3_000, upstream=503
    ),
    "html": Case(
        told=answer(200, b"<html>Welcome</html>", {"Content-Type": "text/html"}),
        status=502,
        code="partner_unavailable",
        again=True,
        doubt=True,
        upstream=200,
    ),
    "broken json": Case(told=answer(200, b'{"data": {'), status=502, code="partner_unavailable", again=True, doubt=True, upstream=200),
    "no HTTP": Case(told=b"SSH-2.0-nothing\r\n\r\n", status=502, code="partner_unavailable", again=True, doubt=True),
    "cut body": Case(told=_cut, status=502, code="partner_unavailable", again=True, doubt=True),
    "no answer": Case(told=_nothing, status=502, code="partner_unavailable", again=True, doubt=True),
    "100 MB declared": Case(
        told=answer(200, headers={"Content-Length": "104857600"}), status=502, code="partner_unavailable", again=True, doubt=True
    ),
    "100 MB in pieces": Case(told=_endless, status=502, code="partner_unavailable", again=True, doubt=True),
    "silence": Case(told=_silence, status=504, code="partner_timeout", again=True, doubt=True),
}


@pytest.mark.parametrize("name", CASES)
async def test_a_fault_of_a_call_that_may_not_be_repeated_is_told_and_recorded_as_it_is(bay: Bay, name: str):
    case = CASES[name]
    bay.depot.answers["POST /things"] = case.told
    error, run = await _failed(bay, CREATE, {"name": "Lamp"}, case)
    assert (error.get("outcome"), run["status"]) == (("uncertain", "uncertain") if case.doubt else (None, "failed"))
    assert error["retryable"] is (case.again and not case.doubt)
    assert bay.depot.count("POST /things") == 1


@pytest.mark.parametrize("name", CASES)
async def test_a_fault_of_a_call_that_may_be_repeated_says_that_a_repeat_does_no_harm(bay: Bay, name: str):
    case = CASES[name]
    bay.depot.answers["PUT /things/7"] = case.told
    error, run = await _failed(bay, PUT, {"id": "7", "name": "Lamp"}, case)
    assert "outcome" not in error
    assert run["status"] == "failed"
    assert error["retryable"] is case.again
    assert bay.depot.count("PUT /things/7") == 1


async def _failed(bay: Bay, operation: int, data: dict[str, Any], case: Case) -> tuple[dict[str, Any], dict[str, Any]]:
    """The error of a run that fails; what holds for every failure is asserted here."""
    told = await bay.run(operation, data, **({"timeoutMs": 2_000} if case.status == 504 else {}))
    error = told.json["error"]
    assert (told.status, error["code"]) == (case.status, case.code)
    assert error.get("retryAfterMs") == case.wait
    assert error["suggestedFix"]
    if case.upstream is not None:
        assert error["upstream"]["status"] == case.upstream
    run = await bay.read(error["runId"])
    assert run["error"] == {name: value for name, value in error.items() if name not in {"requestId", "runId"}}
    assert run["attempts"] == 1
    (attempt,) = await bay.attempts(error["runId"])
    assert attempt["error"]["code"] == case.code
    (exchange,) = attempt["exchanges"]
    assert exchange["request"]["body"] == '{"name":"Lamp"}'
    assert ["x-key", "[secret]"] in exchange["request"]["headers"]
    assert exchange.get("reply", {}).get("status") == case.upstream
    assert SECRET not in json.dumps([told.json, run, attempt])
    return error, run


async def test_a_wait_until_a_date_is_told_in_milliseconds(bay: Bay):
    moment = email.utils.formatdate(time.time() + 60, usegmt=True)
    bay.depot.answers["POST /things"] = answer(429, headers={"Retry-After": moment})
    told = await bay.run(CREATE, {"name": "Lamp"})
    assert told.json["error"]["code"] == "partner_rate_limited"
    assert 30_000 <= told.json["error"]["retryAfterMs"] <= 60_000


async def test_a_fault_that_the_partner_puts_on_a_field_names_the_field_as_the_caller_knows_it(bay: Bay):
    bay.depot.answers["POST /things"] = answer(422, {"field": "title", "code": "taken", "message": "There is a Lamp already"})
    told = await bay.run(CREATE, {"name": "Lamp"})
    assert told.status == 424
    assert told.json["error"]["fields"] == [{"path": "runnerData.name", "code": "taken", "message": "There is a Lamp already"}]
    assert told.json["error"]["upstream"]["message"] == "There is a Lamp already"


async def test_a_partner_that_repeats_the_secret_in_its_error_is_masked(bay: Bay):
    bay.depot.answers["POST /things"] = answer(400, {"message": f"bad key {SECRET}"}, {"X-Echo": SECRET})
    told = await bay.run(CREATE, {"name": "Lamp"})
    run_id = told.json["error"]["runId"]
    attempts = await bay.attempts(run_id)
    assert told.json["error"]["upstream"]["message"].startswith("bad key ")
    assert "x-echo" in json.dumps(attempts).lower()
    assert SECRET not in json.dumps([told.json, await bay.read(run_id), attempts])


async def test_a_refused_operation_of_a_valid_connection_is_the_partners_refusal(bay: Bay):
    bay.depot.answers["POST /things"] = answer(401, {"message": "scope missing"})
    told = await bay.run(CREATE, {"name": "Lamp"})
    assert (told.status, told.json["error"]["code"]) == (424, "partner_error")
    assert "scope" in told.json["error"]["suggestedFix"]
    assert (await _connection(bay))["status"] == "active"
    assert bay.depot.count("POST /things") == 1


async def test_a_connection_is_invalid_once_its_verify_call_is_refused_too(bay: Bay):
    bay.depot.answers["*"] = answer(401, {"message": "unknown key"})
    told = await bay.run(CREATE, {"name": "Lamp"})
    assert (told.status, told.json["error"]["code"]) == (409, "connection_invalid")
    assert told.json["error"]["retryable"] is False
    assert (await bay.read(told.json["error"]["runId"]))["status"] == "failed"
    assert (await _connection(bay))["status"] == "invalid"
    assert bay.depot.count("POST /things") == 1
    arrived = len(bay.depot.wire.asked)
    again = await bay.run(CREATE, {"name": "Lamp"})
    assert (again.status, again.json["error"]["code"]) == (409, "connection_invalid")
    assert "runId" not in again.json["error"]
    assert len(bay.depot.wire.asked) == arrived
    bay.depot.answers.clear()
    healed = await bay.served.fetch("POST", f"/credentials/{bay.connection}/test")
    assert healed.json["data"]["ok"] is True
    assert (await bay.run(CREATE, {"name": "Lamp"})).status == 200


async def test_a_verify_call_that_does_not_work_decides_nothing(bay: Bay):
    bay.depot.answers |= {"POST /things": answer(401), "GET /me": answer(500)}
    told = await bay.run(CREATE, {"name": "Lamp"})
    assert (told.status, told.json["error"]["code"]) == (409, "connection_invalid")
    assert (await _connection(bay))["status"] == "active"


async def _connection(bay: Bay) -> dict[str, Any]:
    return (await bay.served.fetch("GET", f"/credentials/{bay.connection}")).json["data"]


@pytest.mark.parametrize(
    "place", ["http://127.0.0.2:80/", "http://169.254.169.254/latest/meta-data", "http://[::1]/", "http://2130706433/"]
)
async def test_a_redirect_to_a_private_address_is_not_followed(bay: Bay, place: str):
    bay.depot.answers["GET /ask"] = answer(302, headers={"Location": place})
    told = await bay.run(ASK)
    assert (told.status, told.json["error"]["code"], told.json["error"]["retryable"]) == (403, "blocked_address", False)
    run = await bay.read(told.json["error"]["runId"])
    assert (run["status"], run["error"]["code"]) == ("failed", "blocked_address")
    assert bay.depot.count("GET /ask") == 1


@pytest.mark.parametrize("operation", [HTTP_REQUEST, HTTP_GET])
async def test_a_refused_connection_was_not_sent_and_may_be_tried_again(bay: Bay, operation: int):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        told = await _http(bay, operation, f"http://127.0.0.1:{closed.getsockname()[1]}/")
    error = told["error"]
    assert (error["code"], error["retryable"], error.get("outcome")) == ("partner_unavailable", True, None)
    assert (await bay.read(error["runId"]))["status"] == "failed"


@pytest.mark.parametrize("operation", [HTTP_REQUEST, HTTP_GET])
async def test_a_name_that_leads_nowhere_was_not_sent_and_may_be_tried_again(bay: Bay, operation: int):
    error = (await _http(bay, operation, "http://nowhere.invalid/"))["error"]
    assert (error["code"], error["retryable"], error.get("outcome")) == ("partner_unavailable", True, None)
    assert (await bay.read(error["runId"]))["status"] == "failed"


@pytest.mark.parametrize("operation", [HTTP_REQUEST, HTTP_GET])
async def test_a_private_address_is_refused_before_anything_is_sent(bay: Bay, operation: int):
    error = (await _http(bay, operation, "http://10.1.2.3/"))["error"]
    assert (error["code"], error["retryable"], error.get("outcome")) == ("blocked_address", False, None)
    assert (await bay.read(error["runId"]))["status"] == "failed"


async def _http(bay: Bay, operation: int, url: str) -> dict[str, Any]:
    bay.connection = await bay.served.connect(HTTP, {}, auth="none")
    return (await bay.run(operation, {"url": url}, timeoutMs=5_000)).json


async def test_a_caller_who_goes_away_does_not_stop_the_run(bay: Bay):
    go_on = asyncio.Event()

    async def late(_asked: Asked) -> bytes:
        await go_on.wait()
        return answer(201, {"data": {"id": 9}})

    bay.depot.answers["POST /things"] = late
    waiting = asyncio.create_task(bay.run(CREATE, {"name": "Lamp"}))
    await bay.depot.arrived("POST /things")
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    go_on.set()
    listed = (await bay.served.fetch("GET", "/runs")).json["data"]
    run = await bay.until(listed[0]["runId"])
    assert (run["status"], run["result"]) == ("succeeded", {"thing_id": 9})


async def test_a_connection_that_the_partner_refuses_is_not_made(bay: Bay):
    bay.depot.answers["GET /me"] = answer(401, {"message": "unknown key"})
    told = await bay.served.fetch("POST", "/credentials", {"partnerId": PARTNER, "title": "Mine", "fields": {"key": "bad-key-0"}})
    assert (told.status, told.json["error"]["fields"][0]["path"]) == (422, "fields.key")
    assert "bad-key-0" not in told.content.decode()
