"""The watch over connections: what is checked when, what a refusal leads to, what is left alone. Time is moved, never waited for."""

import asyncio
from dataclasses import replace

import pytest

import stored
from e2e.served import Clock
from engines import PUT, Bench, open_bench
from polyport.engine import desk as desk_module
from polyport.engine.checks import DAY_MS, look_again, next_check, refusal_words
from polyport.engine.connect import NewConnection, create_connection, note_refused
from polyport.engine.connect import test_connection as prove_connection
from polyport.engine.health import FIRST_PAUSE_MS, LONGEST_PAUSE_MS, PAUSES_MOST, Health
from polyport.errors import ConnectionInvalid, PartnerUnavailable, ValidationFailed
from polyport.net.message import NetworkFault
from polyport.store.base import Stale
from polyport.store.records import Connection
from samples import action, json_reply, partner
from samples import field as input_field

pytestmark = pytest.mark.anyio
DAY = 86_400


class House:
    """A bench, its clock, and a watch as one process has it."""

    def __init__(self, bench: Bench, clock: Clock):
        self.bench, self.clock, self.health = bench, clock, Health(bench.desk)

    async def record(self, connection: int = 0) -> Connection:
        return await self.bench.engine.runtime.connections.record(self.bench.account, connection or self.bench.connection)

    async def connect(self, **more) -> int:
        new = NewConnection(account_id=self.bench.account, partner_id=9, title="One more", fields={"key": "a-secret-key-1"}, **more)
        return (await create_connection(self.bench.desk, new)).connection_id

    async def after(self, seconds: float) -> int:
        """Let time pass, have the watch look once; how many requests went out."""
        self.clock.forward(seconds)
        before = len(self.bench.line.sent)
        await self.health.check_due()
        return len(self.bench.line.sent) - before

    def answer(self, status: int, body: bytes = b"{}", **headers: str) -> None:
        self.bench.line.answer = lambda _request: json_reply(body, status, **headers)


@pytest.fixture
async def house(anyio_backend, tmp_path):
    clock = Clock()
    async with open_bench(tmp_path, clock=clock) as bench:
        yield House(bench, clock)


async def test_a_connection_is_checked_a_day_after_it_was_proved_and_not_before(house: House):
    made = await house.record()
    assert abs(made.check_at - made.created_at - DAY_MS) <= DAY_MS // 10
    assert await house.after(DAY * 0.89) == 0
    assert await house.after(DAY * 0.22) == 1
    found = await house.record()
    assert (found.status, found.last_verified_at) == ("active", house.bench.engine.runtime.now_ms())
    assert found.check_at >= found.last_verified_at + DAY_MS * 9 // 10
    assert await house.after(60) == 0


async def test_several_processes_check_a_connection_once(house: House):
    house.clock.forward(2 * DAY)
    watches = [Health(house.bench.desk) for _process in range(5)]
    await asyncio.gather(*(watch.check_due() for watch in watches))
    assert len(house.bench.line.sent) == 1


async def test_who_lost_a_connection_to_another_process_leaves_it_alone(house: House, monkeypatch):
    house.clock.forward(2 * DAY)
    connections = house.bench.engine.runtime.repo.connections
    kept = await connections.due_check(9, house.bench.engine.runtime.now_ms())
    await connections.move_check(kept, kept.check_at + 1, refusals=0)

    async def stale(_self, _partner_id, _now):
        return kept

    monkeypatch.setattr(type(connections), "due_check", stale)
    assert await house.after(0) == 0


async def test_what_was_missed_is_caught_up_one_by_one(house: House):
    for _number in range(7):
        await house.connect()
    house.bench.line.sent.clear()
    house.clock.forward(30 * DAY)
    asked = [await house.after(5) for _tick in range(12)]
    assert sum(asked) == 6
    assert max(asked) == 1


async def test_the_first_refusal_changes_nothing_and_the_second_makes_the_connection_invalid(house: House):
    house.answer(401, b'{"error": "No such key"}')
    assert await house.after(2 * DAY) > 0
    once = await house.record()
    assert (once.status, once.refusals, once.last_error) == ("active", 1, None)
    assert 0 < once.check_at - house.bench.engine.runtime.now_ms() <= 180_000
    await house.after(180)
    twice = await house.record()
    assert (twice.status, twice.refusals) == ("invalid", 2)
    assert twice.last_error.startswith("Example refused this Key")
    with pytest.raises(ConnectionInvalid):
        await house.bench.engine.start(house.bench.ask(PUT))


async def test_a_slip_of_the_partner_is_forgotten_at_the_second_look(house: House):
    house.answer(401)
    await house.after(2 * DAY)
    house.answer(200)
    await house.after(180)
    found = await house.record()
    assert (found.status, found.refusals, found.last_error) == ("active", 0, None)


async def test_an_invalid_connection_is_looked_at_again_at_growing_distances_and_becomes_active_by_itself(house: House):
    house.answer(401)
    await house.after(2 * DAY)
    await house.after(180)
    distances = []
    for _look in range(4):
        found = await house.record()
        distances.append((found.check_at - house.bench.engine.runtime.now_ms()) / 3_600_000)
        assert await house.after(distances[-1] * 3600 - 30) == 0
        assert await house.after(60) > 0
    assert [round(distance / 2**number) for number, distance in enumerate(distances)] == [1, 1, 1, 1]
    house.answer(200)
    assert await house.after(7 * DAY) > 0
    found = await house.record()
    assert (found.status, found.last_error, found.refusals) == ("active", None, 0)
    assert (await house.bench.engine.run_sync(house.bench.ask(PUT))).run.status == "succeeded"


def test_the_distance_grows_to_a_week_and_no_further():
    assert look_again(0, 2, 0.5) == 3_600_000
    assert look_again(0, 3, 0.5) == 2 * 3_600_000
    assert look_again(0, 1_000, 0.5) == 7 * DAY_MS
    assert look_again(0, 0, 0.5) == 3_600_000
    assert next_check(0, 0, 0.5) == DAY_MS


@pytest.mark.parametrize(
    "told",
    [
        lambda _request: json_reply(b"{}", 503),
        lambda _request: json_reply(b"{}", 500),
        lambda _request: json_reply(b"{}", 429),
        lambda _request: json_reply(b"no json"),
    ],
)
async def test_a_partner_that_is_down_makes_no_connection_invalid_and_is_left_alone(house: House, told):
    await house.connect()
    house.bench.line.sent.clear()
    house.bench.line.answer = told
    assert await house.after(2 * DAY) == 1
    assert await house.after(15) == 0
    assert await house.after(15) == 0
    asked = sum([await house.after(60) for _minute in range(120)])
    assert 1 <= asked <= 7
    found = await house.record()
    assert (found.status, found.refusals, found.last_error) == ("active", 0, None)
    house.answer(200)
    assert sum([await house.after(600) for _time in range(30)]) == 2
    assert (await house.record()).last_verified_at > found.last_verified_at


async def test_no_answer_at_all_is_no_refusal(house: House):
    def lost(_request):
        raise NetworkFault("No answer.", reached=True, timed_out=True)

    house.bench.line.answer = lost
    for _time in range(5):
        await house.after(2 * DAY)
    assert (await house.record()).status == "active"


async def test_a_partner_that_says_how_long_to_wait_is_left_alone_for_that_long_an_hour_at_most(house: House):
    asked_for = {"retry_after_ms": 0}
    for seconds, paused in ((5, FIRST_PAUSE_MS), (600, 600_000), (86_400, LONGEST_PAUSE_MS)):
        asked_for["retry_after_ms"] = seconds * 1000
        error = PartnerUnavailable()
        error.details = replace(error.details, retry_after_ms=seconds * 1000)
        assert house.health._pause("h", 0, error) - house.bench.engine.runtime.now_ms() == paused
    for number in range(PAUSES_MOST + 5):
        house.health._pause(f"h{number}", 0, PartnerUnavailable())
    assert len(house.health._pauses) == PAUSES_MOST


async def test_an_answer_that_is_neither_taken_nor_refused_leaves_the_connection_as_it_is(house: House):
    house.answer(404)
    assert await house.after(2 * DAY) == 1
    found = await house.record()
    assert (found.status, found.refusals) == ("active", 0)
    assert found.check_at - house.bench.engine.runtime.now_ms() >= DAY_MS * 9 // 10


async def test_secrets_that_cannot_be_opened_were_refused_by_nobody(house: House):
    runtime = house.bench.engine.runtime
    record = await house.record()
    await runtime.repo.connections.replace_secrets(replace(record, sealed=b"no box of ours"), now=runtime.now_ms())
    house.bench.desk.forget()
    assert await house.after(2 * DAY) == 0
    found, error = await prove_connection(house.bench.desk, house.bench.account, house.bench.connection)
    assert (found.status, error.code) == ("active", "connection_invalid")


async def test_a_connection_whose_sign_in_is_over_is_not_asked_about(house: House):
    runtime = house.bench.engine.runtime
    record = await house.record()
    over = replace(_refused(record), status="expired", check_at=record.check_at)
    await runtime.repo.connections.verified(record, over, now=runtime.now_ms())
    house.bench.desk.forget()
    assert await house.after(2 * DAY) == 0
    with pytest.raises(ConnectionInvalid, match="expired"):
        await house.bench.engine.start(house.bench.ask(PUT))


def _refused(record: Connection):
    return stored.refused(refusals=record.refusals)


async def test_secrets_that_were_replaced_during_a_check_are_not_judged_by_it(house: House):
    runtime, record = house.bench.engine.runtime, await house.record()
    house.answer(401)
    await house.after(2 * DAY)
    judged = await house.record()
    await runtime.repo.connections.replace_secrets(record, now=runtime.now_ms())
    await note_refused(house.bench.desk, await runtime.catalog.seen_by(None).partner(9), judged, ConnectionInvalid())
    found = await house.record()
    assert (found.status, found.generation, found.refusals) == ("active", 2, 0)


async def test_a_refusal_that_the_status_tells_already_only_moves_the_next_look(house: House):
    record = await house.record()
    told = ConnectionInvalid()
    told.details = replace(told.details, connection_id=record.connection_id)
    await house.health._refused(await house.bench.desk.runtime.catalog.seen_by(None).partner(9), record, told)
    found = await house.record()
    assert (found.status, found.refusals, found.check_at < record.check_at) == ("active", 1, True)


async def test_a_partner_whose_folder_is_gone_is_passed_over(house: House, monkeypatch):
    monkeypatch.setattr(type(house.bench.engine.runtime.repo.connections), "due_partners", _partner_77)
    assert await house.after(2 * DAY) == 0


async def _partner_77(_self, _now):
    return [77]


async def test_a_connection_that_was_checked_by_another_meanwhile_is_not_there_any_more(house: House, monkeypatch):
    monkeypatch.setattr(type(house.bench.engine.runtime.repo.connections), "due_partners", _partner_9)
    assert await house.after(1) == 0


async def _partner_9(_self, _now):
    return [9]


async def test_a_run_that_succeeds_is_a_check_and_is_noted_now_and_then(house: House):
    made = await house.record()
    house.clock.forward(3_700)
    await house.bench.engine.run_sync(house.bench.ask(PUT))
    proved = await house.record()
    assert proved.last_verified_at == house.bench.engine.runtime.now_ms()
    assert proved.check_at > made.last_verified_at + 3_700_000 + DAY_MS * 9 // 10 - 1
    house.clock.forward(60)
    await house.bench.engine.run_sync(house.bench.ask(PUT))
    assert (await house.record()).last_verified_at == proved.last_verified_at
    house.clock.forward(3_600)
    await house.bench.engine.run_sync(house.bench.ask(PUT))
    assert (await house.record()).last_verified_at == house.bench.engine.runtime.now_ms()


async def test_a_run_that_fails_proves_nothing(house: House):
    made = await house.record()
    house.answer(404)
    house.clock.forward(60)
    assert (await house.bench.engine.run_sync(house.bench.ask(PUT))).run.status == "failed"
    assert await house.record() == replace(made, last_used_at=house.bench.engine.runtime.now_ms())


async def test_the_memory_of_proofs_has_a_bound(house: House):
    record = await house.record()
    house.bench.desk._proved.update(dict.fromkeys(range(-100_001, 0), 0))
    assert house.bench.desk.due_proof(record) is not None
    assert house.bench.desk._proved.keys() == {record.connection_id}
    assert house.bench.desk.due_proof(record) is None
    assert house.bench.desk.due_proof(replace(record, check_at=None)) is None
    assert desk_module.PROOFS_A_CYCLE > 1


async def test_without_the_watch_no_run_is_noted_as_a_check(anyio_backend, tmp_path):
    async with open_bench(tmp_path, health_check_every=0) as bench:
        record = await bench.engine.runtime.connections.record(bench.account, bench.connection)
        assert record.check_at is not None
        assert bench.desk.due_proof(record) is None


async def test_a_connection_that_was_kept_unproved_is_pending_until_the_partner_takes_it(house: House):
    house.answer(503)
    connection = await house.connect(verify=False)
    assert house.bench.line.sent == []
    made = await house.record(connection)
    assert (made.status, made.last_verified_at, made.check_at) == ("pending", None, made.created_at)
    await house.after(1)
    assert (await house.record(connection)).status == "pending"
    house.answer(200)
    await house.after(300)
    assert (await house.record(connection)).status == "active"


async def test_a_connection_that_was_kept_unproved_becomes_invalid_when_the_partner_refuses_it_twice(house: House):
    connection = await house.connect(verify=False)
    house.answer(401)
    await house.after(1)
    await house.after(200)
    assert (await house.record(connection)).status == "invalid"


async def test_the_first_run_that_succeeds_proves_a_pending_connection(house: House):
    connection = await house.connect(verify=False)
    done = await house.bench.engine.run_sync(house.bench.ask(PUT, credential_data={"0": connection}))
    assert (done.run.status, (await house.record(connection)).status) == ("succeeded", "active")


async def test_a_run_has_succeeded_also_when_that_its_connection_works_cannot_be_noted(house: House):
    connection = await house.connect(verify=False)
    house.bench.store.failing.add("verified_connection")
    done = await house.bench.engine.run_sync(house.bench.ask(PUT, credential_data={"0": connection}))
    assert (done.run.status, (await house.record(connection)).status) == ("succeeded", "pending")


async def test_a_connection_that_only_its_verify_call_can_complete_is_not_kept_unproved(anyio_backend, tmp_path):
    learning = partner(
        action(id=10002, name="put", idempotent=True, call={"method": "PUT", "path": "/things"}),
        connection={
            "auth": [
                {
                    "name": "key",
                    "label": "Key",
                    "fields": [input_field("key", secret=True, required=True)],
                    "scheme": {"kind": "bearer", "token": "{{connection.key}}"},
                }
            ],
            "learn": [{"name": "site", "label": "Site", "value": "{{answer.site}}"}],
            "verify": {"call": {"path": "/me"}},
        },
    )
    async with open_bench(tmp_path, learning) as bench:
        new = NewConnection(account_id=bench.account, partner_id=9, title="x", fields={"key": "a-secret-key-1"}, verify=False)
        with pytest.raises(ValidationFailed) as told:
            await create_connection(bench.desk, new)
        assert [fault.path for fault in told.value.details.fields] == ["verify"]


def test_a_refusal_is_said_in_words_for_people():
    def held(*fields):
        way = {"name": "key", "label": "Key", "fields": list(fields), "scheme": {"kind": "none"}}
        return partner(action(), connection={"auth": [way]})

    secret = input_field("token", secret=True) | {"label": "API token"}
    assert refusal_words(held(secret), "key", ConnectionInvalid()) == "Example refused this API token."
    assert refusal_words(held(), "key", ConnectionInvalid()) == "Example refused this connection."


async def test_a_finding_about_a_connection_that_is_gone_is_dropped(house: House):
    record = await house.record()
    runtime = house.bench.engine.runtime
    await runtime.repo.connections.delete(house.bench.account, house.bench.connection)
    with pytest.raises(Stale):
        await runtime.repo.connections.move_check(record, 1, refusals=0)
    assert await house.after(2 * DAY) == 0
