"""How events are sent: the schedule, receivers that fail in every way, and what becomes of an event when processes die or share the work.

Time is moved by the server's clock; nothing here waits for the schedule.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from e2e.depot import CREATE, PARTNER, PUT, SECRET, Bay, depot_catalog, open_depot
from e2e.killable import running_process
from e2e.receiver import events_of, fine, make_endpoint, open_receiver, read_event, signed, until
from e2e.served import Asked, Clock, Served, answer, running_server
from polyport.deliveries import ATTEMPTS, JITTER, WAITS, Courier

pytestmark = pytest.mark.anyio

DAY = 24 * 3600


@dataclass(slots=True, kw_only=True)
class Timed:
    """A server whose clock the test moves."""

    served: Served
    clock: Clock

    async def forward(self, seconds: float) -> None:
        """Let time pass and look for what is due."""
        self.clock.forward(seconds)
        self.served.runtime.events.announce()

    def moment(self) -> int:
        return int(self.clock().timestamp())


@contextlib.asynccontextmanager
async def open_timed(folder: Path, **settings: Any) -> AsyncIterator[Timed]:
    clock = Clock()
    async with running_server(folder, clock=clock, catalog=depot_catalog(), login_token_lifetime=400 * DAY, **settings) as served:
        yield Timed(served=served, clock=clock)


@pytest.fixture
async def timed(anyio_backend: str, tmp_path: Path) -> AsyncIterator[Timed]:
    async with open_timed(tmp_path) as found:
        yield found


@pytest.fixture
async def impatient(anyio_backend: str, tmp_path: Path) -> AsyncIterator[Timed]:
    async with open_timed(tmp_path, events_timeout=1.5) as found:
        yield found


async def send(served: Served, endpoint: Any) -> str:
    """One event for an endpoint; its id."""
    status, _headers, found = await served.call("POST", f"/event-endpoints/{endpoint['endpointId']}/test")
    assert status == 202, found
    return str(found["data"]["eventId"])


def answering(status: int, **headers: str) -> Callable[[Asked], Any]:
    async def handle(_asked: Asked) -> bytes:
        return answer(status, b"", headers)

    return handle


def attempted(times: int) -> Callable[[Any], bool]:
    """Whether so many attempts were made, and the last one noted."""
    return lambda event: event["attempts"] == times and event["nextAttemptAt"] is not None


async def test_an_event_is_tried_eight_times_over_a_day_and_more_then_it_is_a_dead_letter_that_can_be_replayed(timed: Timed):
    assert sum(WAITS) == 99_305
    async with open_receiver(answering(500)) as receiver:
        endpoint = await make_endpoint(timed.served, receiver.url)
        event_id = await send(timed.served, endpoint)
        for number in range(1, ATTEMPTS):
            event = await until(timed.served, event_id, attempted(number))
            wait = event["nextAttemptAt"] - timed.moment()
            assert WAITS[number] * (1 - JITTER) - 1 <= wait <= WAITS[number] * (1 + JITTER) + 1
            assert (event["status"], event["lastStatus"]) == ("pending", 500)
            await timed.forward(wait - 1)
            assert await timed.served.runtime.repo.outbox.lanes_due(timed.served.runtime.now_ms()) == []
            await timed.forward(2)
        dead = await until(timed.served, event_id, "dead")
        assert (dead["attempts"], dead["nextAttemptAt"], dead["lastError"]) == (8, None, "The receiver answered with status 500.")
        assert len(receiver.asked) == ATTEMPTS
        await timed.forward(3 * DAY)

        receiver.wire.handler = fine
        assert [event["eventId"] for event in await events_of(timed.served, "&status=dead")] == [event_id]
        assert (await timed.served.call("POST", f"/events/{event_id}/replay"))[0] == 202
        await until(timed.served, event_id, "delivered")
        assert set(receiver.ids) == {event_id}
        assert len({asked.body for asked in receiver.asked}) == 1
        assert len(receiver.asked) == ATTEMPTS + 1


async def measured(served: Served, prefix: str = "polyport_event") -> dict[str, float]:
    """What ``/metrics`` tells of events, without the moments at which counters began."""
    lines = (await served.fetch("GET", "/metrics", token=None)).content.decode().splitlines()
    told = (line.rpartition(" ") for line in lines if line.startswith(prefix) and "_created" not in line)
    return {name: float(value) for name, _space, value in told}


async def test_metrics_tell_what_came_of_attempts_what_waits_and_since_when(timed: Timed):
    async with open_receiver(answering(500)) as receiver:
        endpoint = await make_endpoint(timed.served, receiver.url)
        first = await send(timed.served, endpoint)
        await until(timed.served, first, attempted(1))
        await timed.forward(3)
        waiting = await measured(timed.served)
        receiver.wire.handler = fine
        await timed.forward(3)
        await until(timed.served, first, "delivered")
        receiver.wire.handler = answering(410)
        await until(timed.served, await send(timed.served, endpoint), "dead")
        ended = await measured(timed.served)

    attempts = 'polyport_event_attempts_total{outcome="%s",type="endpoint.test"}'
    assert waiting.pop("polyport_events_oldest_seconds") >= 3
    assert waiting == {attempts % "failed": 1, "polyport_events_waiting": 1, "polyport_events_paused": 0, "polyport_events_dead": 0}
    assert ended == {
        **{attempts % outcome: 1 for outcome in ("failed", "delivered", "dead")},
        "polyport_events_waiting": 0,
        "polyport_events_paused": 0,
        "polyport_events_dead": 1,
        "polyport_events_oldest_seconds": 0,
    }


async def test_dead_letters_are_replayed_together(timed: Timed):
    async with open_receiver(answering(410)) as gone, open_receiver() as receiver:
        endpoint = await make_endpoint(timed.served, receiver.url, "run.finished")
        runs = [await timed.served.call("POST", f"/partners/trigger-actions/{PUT}/run/sync", {}) for _run in range(1)]
        assert runs[0][0] in {404, 409, 422}
        ids = [await send(timed.served, endpoint) for _event in range(3)]
        for event_id in ids:
            await until(timed.served, event_id, "delivered")
        receiver.wire.handler = gone.wire.handler
        dead = [await send(timed.served, endpoint)]
        await until(timed.served, dead[0], "dead")
        receiver.wire.handler = fine
        path = f"/event-endpoints/{endpoint['endpointId']}"
        assert (await timed.served.call("PATCH", path, {"status": "active"}))[2]["data"]["status"] == "active"
        nothing = await timed.served.call("POST", "/events/replay", {"type": "link.completed"})
        told = await timed.served.call("POST", "/events/replay", {"endpointId": endpoint["endpointId"]})
        wrong = await timed.served.call("POST", "/events/replay", {"type": "lost", "all": True})
        await until(timed.served, dead[0], "delivered")

    assert nothing[2]["data"] == {"replayed": 0, "more": False}
    assert told[2]["data"] == {"replayed": 1, "more": False}
    assert wrong[0] == 422


async def test_what_waits_for_another_attempt_is_sent_now_and_goes_on_counting(timed: Timed):
    async with open_receiver(answering(500)) as receiver:
        event_id = await send(timed.served, await make_endpoint(timed.served, receiver.url))
        await until(timed.served, event_id, attempted(1))
        receiver.wire.handler = fine
        status, _headers, _found = await timed.served.call("POST", f"/events/{event_id}/replay")
        event = await until(timed.served, event_id, "delivered")

    assert (status, event["attempts"]) == (202, 2)
    assert [(each["status"], each["error"]) for each in event["deliveries"]] == [
        (500, "The receiver answered with status 500."),
        (204, None),
    ]
    assert all(each["ms"] >= 0 and each["at"] > 0 for each in event["deliveries"])


async def test_what_is_being_sent_and_what_waits_for_its_endpoint_is_not_sent_now(timed: Timed):
    let_go = asyncio.Event()

    async def wait(_asked: Asked) -> bytes:
        await let_go.wait()
        return answer(204)

    async with open_receiver(wait) as receiver:
        endpoint = await make_endpoint(timed.served, receiver.url, "run.finished")
        event_id = await send(timed.served, endpoint)
        await receiver.arrived()
        sending = await timed.served.call("POST", f"/events/{event_id}/replay")
        let_go.set()
        await until(timed.served, event_id, "delivered")

    assert (sending[0], sending[2]["error"]["code"]) == (409, "conflict")


@pytest.mark.parametrize(("told", "least", "most"), [("3600", 3600, 3600), ("1", 4, 6), ("200000", DAY, DAY), ("soon", 4, 6), ("-5", 4, 6)])
async def test_a_receiver_that_says_how_long_to_wait_is_waited_for_within_a_day(timed: Timed, told: str, least: int, most: int):
    headers = {"Retry-After": told}
    async with open_receiver(answering(429, **headers)) as receiver:
        event_id = await send(timed.served, await make_endpoint(timed.served, receiver.url))
        event = await until(timed.served, event_id, attempted(1))

    assert least - 1 <= event["nextAttemptAt"] - timed.moment() <= most + 1


async def test_a_receiver_that_is_gone_is_told_nothing_any_more_until_it_is_brought_back(timed: Timed):
    async with open_receiver(answering(410)) as receiver:
        endpoint = await make_endpoint(timed.served, receiver.url, "connection.*")
        path = f"/event-endpoints/{endpoint['endpointId']}"
        first = await until(timed.served, await send(timed.served, endpoint), "dead")
        disabled = (await timed.served.call("GET", path))[2]["data"]
        refused = await timed.served.call("POST", f"{path}/test")
        receiver.wire.handler = fine
        await timed.served.call("PATCH", path, {"status": "active"})
        await until(timed.served, await send(timed.served, endpoint), "delivered")

    assert (first["attempts"], first["lastStatus"]) == (1, 410)
    assert (disabled["status"], disabled["reason"]) == ("disabled", "It answered with status 410: it is gone.")
    assert refused[0] == 409
    assert len(receiver.asked) == 2


async def test_redirects_are_not_followed(timed: Timed):
    async with open_receiver() as inside, open_receiver(answering(302, Location=inside.url)) as receiver:
        event_id = await send(timed.served, await make_endpoint(timed.served, receiver.url))
        event = await until(timed.served, event_id, attempted(1))

    assert (event["status"], event["lastStatus"]) == ("pending", 302)
    assert event["lastError"] == "The receiver answered with status 302. Redirects are not followed."
    assert inside.asked == []


async def test_an_address_that_may_not_be_called_is_given_up_at_once(tmp_path: Path):
    async with open_receiver() as receiver:
        async with open_timed(tmp_path) as timed:
            endpoint = await make_endpoint(timed.served, receiver.url)
            by_name = await make_endpoint(timed.served, receiver.url.replace("127.0.0.1", "localhost"))
        async with open_timed(tmp_path, allow_networks="") as timed:
            for made in (endpoint, by_name):
                dead = await until(timed.served, await send(timed.served, made), "dead")
                assert dead["attempts"] == 1
                assert dead["lastError"].startswith("blocked_address: ")

    assert receiver.asked == []


async def _endless(asked: Asked) -> None:
    asked.writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        while True:
            asked.writer.write(b"x" * 65536)
            await asked.writer.drain()


async def _trickling(asked: Asked) -> None:
    asked.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx")
    await asyncio.sleep(60)


async def _bomb(_asked: Asked) -> bytes:
    return answer(200, b"\x1f\x8b" + b"\x00" * 100, {"Content-Encoding": "gzip"})


@pytest.mark.parametrize("handler", [_endless, _trickling, _bomb], ids=["endless", "trickling", "not what it says it is"])
async def test_only_the_status_of_an_answer_counts_whatever_comes_after_it(timed: Timed, handler: Any):
    async with open_receiver(handler) as receiver:
        event = await until(timed.served, await send(timed.served, await make_endpoint(timed.served, receiver.url)), "delivered")

    assert (event["attempts"], event["lastStatus"]) == (1, 200)


async def _garbage(_asked: Asked) -> bytes:
    return b"\x00\x01 this is no HTTP\r\n\r\n"


async def _nothing(_asked: Asked) -> None:
    return None


async def _silent(_asked: Asked) -> None:
    await asyncio.sleep(60)


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (_garbage, "The answer of 127.0.0.1 is not valid HTTP."),
        (_nothing, "127.0.0.1 closed the connection before it had answered."),
        (answering(404), "The receiver answered with status 404."),
        (answering(304), "The receiver answered with status 304. Redirects are not followed."),
    ],
    ids=["garbage", "nothing", "404", "304"],
)
async def test_whatever_is_no_answer_is_tried_again(timed: Timed, handler: Any, reason: str):
    async with open_receiver(handler) as receiver:
        event_id = await send(timed.served, await make_endpoint(timed.served, receiver.url))
        event = await until(timed.served, event_id, attempted(1))
        receiver.wire.handler = fine
        await timed.forward(10)
        delivered = await until(timed.served, event_id, "delivered")

    assert (event["status"], event["lastError"]) == ("pending", reason)
    assert delivered["attempts"] == 2


async def test_a_receiver_that_stays_silent_is_tried_again(impatient: Timed):
    async with open_receiver(_silent) as receiver:
        event = await until(
            impatient.served, await send(impatient.served, await make_endpoint(impatient.served, receiver.url)), attempted(1)
        )

    assert (event["status"], event["lastError"]) == ("pending", "127.0.0.1 did not answer within 1.5 seconds.")


async def test_a_receiver_that_nobody_serves_is_tried_again(timed: Timed):
    async with open_receiver() as receiver:
        endpoint = await make_endpoint(timed.served, receiver.url)
    event = await until(timed.served, await send(timed.served, endpoint), attempted(1))

    assert event["lastError"] == "No connection to 127.0.0.1 could be made."


async def test_receivers_that_hang_hold_up_neither_others_nor_runs(tmp_path: Path):
    now = most = 0

    async def hang(_asked: Asked) -> bytes:
        nonlocal now, most
        now += 1
        most = max(most, now)
        try:
            await asyncio.sleep(60)
        finally:
            now -= 1
        return answer(204)

    async with (
        open_depot() as depot,
        open_receiver(hang) as hanging,
        open_receiver() as quick,
        running_server(
            tmp_path,
            catalog=depot_catalog(),
            partner_depot_base_url=depot.origin,
            events_timeout=60,
            events_concurrency=16,
            events_per_receiver=3,
        ) as served,
    ):
        bay = Bay(served=served, depot=depot, connection=await served.connect(PARTNER, {"key": SECRET}))
        stuck = await make_endpoint(served, hanging.url, "run.finished")
        await make_endpoint(served, quick.url, "run.finished")
        for number in range(12):
            assert (await bay.run(CREATE, {"name": f"Lamp {number}"})).status == 200
        await quick.arrived(12)
        await hanging.arrived(3)

        assert (len(hanging.asked), most) == (3, 3)
        waiting = await events_of(served, f"&status=pending&endpointId={stuck['endpointId']}")
        assert len(waiting) == 12
        assert (await bay.run(CREATE, {"name": "One more"})).status == 200


async def test_a_receiver_that_let_its_time_pass_gets_one_event_at_a_time_until_it_answers(impatient: Timed):
    async with open_receiver(_silent) as receiver:
        endpoint = await make_endpoint(impatient.served, receiver.url)
        first = await send(impatient.served, endpoint)
        await until(impatient.served, first, attempted(1))
        for _event in range(3):
            await send(impatient.served, endpoint)
        seen, events = [0], await events_of(impatient.served)
        while not all(event["attempts"] and event["nextAttemptAt"] for event in events):
            events = await events_of(impatient.served)
            seen.append(sum(event["nextAttemptAt"] is None for event in events))
            await asyncio.sleep(0.02)
    assert max(seen) == 1


async def test_each_account_and_each_receiver_has_so_many_places_and_a_slow_one_a_single_one(timed: Timed):
    courier = Courier(timed.served.runtime, timed.served.services.reconnects)  # 64 places: 16 of an account, 8 of one of its receivers
    assert courier._rooms(["1 a", "1 b", "1 c", "2 a"]) == {"1 a": 8, "1 b": 8, "2 a": 8}
    courier._slow |= {"1 b", "2 a"}
    assert courier._rooms(["1 a", "1 b", "1 c", "2 a"]) == {"1 a": 8, "1 b": 1, "1 c": 7, "2 a": 1}
    sleeping = [asyncio.create_task(asyncio.sleep(60)) for _place in range(62)]
    courier._sending = {task: ("1 a", "2 a", "3 a", "4 a", "5 a", "6 a", "7 a", "8 a")[number % 8] for number, task in enumerate(sleeping)}
    assert courier._rooms(["1 a", "1 b", "2 a", "9 a", "9 b"]) == {"1 b": 1, "9 a": 1}
    for task in sleeping:
        task.cancel()


async def test_during_a_rotation_both_secrets_fit_and_afterwards_the_new_one_alone(tmp_path: Path):
    clock = Clock()
    async with open_receiver() as receiver, running_server(tmp_path, clock=clock, login_token_lifetime=9 * DAY) as served:
        endpoint = await make_endpoint(served, receiver.url)
        path = f"/event-endpoints/{endpoint['endpointId']}"
        old, rotated = endpoint["secret"], (await served.call("POST", f"{path}/rotate-secret"))[2]["data"]
        await until(served, await send(served, endpoint), "delivered")
        cut = (await served.call("POST", f"{path}/rotate-secret", {"keepFor": 0}))[2]["data"]
        await until(served, await send(served, endpoint), "delivered")
        during, after = receiver.asked
        clock.forward(24 * 3600 + 1)
        left = (await served.call("GET", path))[2]["data"]["secrets"]

    assert rotated["secrets"][1]["until"] - rotated["secrets"][0]["createdAt"] == 24 * 3600
    assert [signed(during, secret) for secret in (old, rotated["secret"])] == [True, True]
    assert len(during.headers["webhook-signature"].split(" ")) == 2
    assert [signed(after, secret) for secret in (rotated["secret"], cut["secret"])] == [False, True]
    assert signed(after, old)
    assert [secret["hint"] for secret in left] == [f"...{cut['secret'][-4:]}"]


async def test_what_a_killed_process_was_sending_is_sent_again_with_the_same_id(tmp_path: Path):
    async with open_depot() as depot, open_receiver(_silent) as receiver:
        async with running_process(tmp_path, depot, events_timeout=10) as process:
            token = process.served.token
            endpoint = await make_endpoint(process.served, receiver.url)
            event_id = await send(process.served, endpoint)
            await receiver.arrived()
            await process.kill()
        receiver.wire.handler = fine
        clock = Clock()
        clock.forward(60)
        async with running_server(tmp_path, clock=clock, catalog=depot_catalog()) as served:
            served.token = token
            delivered = await until(served, event_id, "delivered")

    assert receiver.ids == [event_id, event_id]
    assert delivered["attempts"] == 2
    assert receiver.asked[0].body == receiver.asked[1].body


async def test_the_event_of_a_run_that_a_killed_process_had_begun_is_told_by_the_next(tmp_path: Path):
    async def slow(_asked: Asked) -> bytes:
        await asyncio.sleep(60)
        return answer(201)

    async with open_depot() as depot, open_receiver() as receiver:
        depot.answers["POST /things"] = slow
        async with running_process(tmp_path, depot) as process:
            bay = process.bay(depot, await process.served.connect(PARTNER, {"key": SECRET}))
            run = (await bay.run(CREATE, {"name": "Lamp"}, mode="async", callbackUrl=receiver.url)).json["data"]
            await depot.arrived("POST /things")
            await process.kill()
        async with running_server(tmp_path, catalog=depot_catalog(), partner_depot_base_url=depot.origin):
            await receiver.arrived()

    (told,) = receiver.told
    assert (told["type"], told["data"]["runId"], told["data"]["status"]) == ("run.finished", run["runId"], "uncertain")
    assert told["data"]["error"]["outcome"] == "uncertain"


async def test_two_processes_send_each_event_once(tmp_path: Path):
    async with (
        open_depot() as depot,
        open_receiver() as receiver,
        running_process(tmp_path, depot) as first,
        running_process(tmp_path, depot, token=first.served.token) as second,
    ):
        connection = await first.served.connect(PARTNER, {"key": SECRET})
        bays = [first.bay(depot, connection), second.bay(depot, connection)]
        runs = await asyncio.gather(
            *(bays[number % 2].run(CREATE, {"name": f"Lamp {number}"}, mode="async", callbackUrl=receiver.url) for number in range(60))
        )
        assert {run.status for run in runs} == {202}
        await receiver.arrived(60)
        for event in await events_of(first.served):
            await until(first.served, event["eventId"], "delivered")

        assert len(receiver.asked) == 60
        assert Counter(told["data"]["runId"] for told in receiver.told) == Counter(run.json["data"]["runId"] for run in runs)


async def test_an_endpoint_made_in_one_process_is_told_what_happens_in_another(tmp_path: Path):
    async with open_depot() as depot, open_receiver() as receiver, running_process(tmp_path, depot) as first:
        connection = await first.served.connect(PARTNER, {"key": SECRET})
        async with running_process(tmp_path, depot, token=first.served.token) as second:
            bay = second.bay(depot, connection)
            assert (await bay.run(CREATE, {"name": "Before"})).status == 200  # it remembers that nobody listens
            await make_endpoint(first.served, receiver.url, "run.finished")
            async with asyncio.timeout(60):
                while not receiver.asked:
                    assert (await bay.run(CREATE, {"name": "After"})).status == 200
                    await asyncio.sleep(0.05)

    assert receiver.told[0]["data"]["result"]["name"] == "After"


async def test_delivered_events_are_forgotten_after_a_week_and_dead_letters_after_a_month(timed: Timed):
    runtime = timed.served.runtime
    courier = Courier(runtime, timed.served.services.reconnects)
    async with open_receiver(answering(410)) as gone, open_receiver() as receiver:
        bad, good = await make_endpoint(timed.served, gone.url), await make_endpoint(timed.served, receiver.url)
        dead, delivered = await send(timed.served, bad), await send(timed.served, good)
        await until(timed.served, dead, "dead")
        await until(timed.served, delivered, "delivered")
        path = f"/event-endpoints/{good['endpointId']}"
        await timed.served.call("POST", f"{path}/test")
        await timed.served.call("PATCH", path, {"status": "paused"})
    left = []
    for days in (6, 2, 21, 2):
        timed.clock.forward(days * DAY)
        await courier.tidy()
        left.append({event["eventId"] for event in await events_of(timed.served)} & {dead, delivered})

    assert left == [{dead, delivered}, {dead}, {dead}, set()]


async def test_what_waits_for_a_paused_endpoint_is_given_up_after_a_month(timed: Timed):
    courier = Courier(timed.served.runtime, timed.served.services.reconnects)
    async with open_receiver(answering(500)) as receiver:
        endpoint = await make_endpoint(timed.served, receiver.url)
        event_id = await send(timed.served, endpoint)
        await until(timed.served, event_id, attempted(1))
        await timed.served.call("PATCH", f"/event-endpoints/{endpoint['endpointId']}", {"status": "paused"})
        await timed.forward(10)
        await until(timed.served, event_id, lambda event: event["nextAttemptAt"] is None and event["attempts"] == 1)
    await timed.forward(31 * DAY)
    await courier.tidy()

    event = await read_event(timed.served, event_id)
    assert (event["status"], event["lastError"]) == ("dead", "Its endpoint was paused for too long.")
