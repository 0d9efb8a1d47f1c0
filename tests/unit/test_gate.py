"""What stands between calls and their partner: budgets and circuit breakers, in the engine."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from msgspec import structs

from e2e.served import Clock
from engines import CREATE, PUT, Bench, open_bench
from polyport.engine import gate as gates
from polyport.engine.calls import exchange
from polyport.engine.lanes import LaneHolder
from polyport.engine.render import compile_call
from polyport.errors import NotFound, PartnerRateLimited, PartnerUnavailable
from polyport.manifest.model import Call
from polyport.net.message import NetworkFault, Reply
from polyport.queue.departures import read_departures
from polyport.store.base import Stale, Statement
from polyport.store.records import Lane, RunStatus
from samples import action, json_reply, partner
from samples import field as input_field

pytestmark = pytest.mark.anyio
TWO = 10009


def limited(**budget):
    """A partner that takes one call an hour, unless told otherwise."""
    told = {"name": "few", "limit": 1, "seconds": 3_600} | budget
    put = {"method": "PUT", "path": "/things"}
    return partner(
        action(id=CREATE, name="create", fields=[input_field("name")], result={"fields": []}),
        action(id=PUT, name="put", idempotent=True, fields=[input_field("name")], call=put),
        action(id=TWO, name="two", idempotent=True, fields=[input_field("name")], calls=[put, put]),
        budgets=[told],
        connection={
            "auth": [
                {
                    "name": "key",
                    "label": "Key",
                    "fields": [input_field("key", secret=True, required=True)],
                    "scheme": {"kind": "bearer", "token": "{{connection.key}}"},
                }
            ],
        },
    )


@pytest.fixture
async def bench(anyio_backend, tmp_path):
    async with open_bench(tmp_path, limited(), runs_sync_wait=0.05) as found:
        yield found


async def test_a_queued_run_without_a_permit_keeps_its_place_and_no_attempt_counts(bench: Bench):
    first, second = await bench.claimed(operation=CREATE), await bench.claimed(operation=CREATE)
    assert (await bench.engine.run_once(first)).run.status is RunStatus.SUCCEEDED
    done = await bench.engine.run_once(second)
    stored = await bench.engine.runtime.repo.runs.get(bench.account, second.run_id)
    assert (stored.status, stored.attempts, stored.due_at, stored.sending) == (RunStatus.WAITING, 0, second.due_at, False)
    told = json.loads(stored.error)
    assert (told["code"], told["reason"]) == ("partner_rate_limited", "budget")
    assert told["until"] > bench.engine.runtime.now_ms() + 3_000_000
    assert done.error.details.retry_after_ms > 3_000_000
    assert len(bench.line.sent) == 1


async def test_a_queued_run_whose_time_would_be_over_first_ends_with_the_reason(bench: Bench):
    await bench.engine.run_sync(bench.ask())
    run = await bench.claimed(operation=CREATE, timeout_ms=60_000)
    done = await bench.engine.run_once(run)
    assert (done.run.status, done.error.details.reason) == (RunStatus.FAILED, "budget")
    assert len(bench.line.sent) == 1


async def test_a_run_that_was_asked_to_stop_meanwhile_is_cancelled_in_place_of_held(bench: Bench):
    await bench.engine.run_sync(bench.ask())
    run = await bench.claimed(operation=PUT)
    await bench.engine.runtime.repo.runs.ask_to_stop(run, 5)
    assert (await bench.engine.run_once(run)).run.status is RunStatus.CANCELLED


async def test_a_held_run_that_another_process_took_is_left_to_it(bench: Bench):
    await bench.engine.run_sync(bench.ask())
    run = await bench.claimed(operation=PUT)
    with pytest.raises(Stale):
        await bench.engine.run_once(structs.replace(run, owner="another"))


async def test_a_call_that_follows_another_waits_for_its_permit_instead_of_leaving_it_half_done(tmp_path, monkeypatch):
    async with open_bench(tmp_path / "soon", limited(seconds=1), runs_attempts=1) as bench:
        done = await bench.engine.run_once(await bench.claimed(operation=TWO))
        assert (done.run.status, len(bench.line.sent)) == (RunStatus.SUCCEEDED, 2)
    async with open_bench(tmp_path / "late", limited(seconds=3_600), runs_attempts=1) as bench:
        monkeypatch.setattr(gates, "MIDDLE_SECONDS", 0.01)
        done = await bench.engine.run_sync(bench.ask(TWO))
        assert (done.run.status, done.error.details.reason, len(bench.line.sent)) == (RunStatus.FAILED, "budget", 1)


async def test_calls_outside_of_runs_take_permits_too_and_each_waits_for_itself(bench: Bench):
    caller = bench.desk.caller(await bench.desk.runtime.catalog.seen_by(None).partner(9), "key", {"key": "k-123456"}, 77)
    program = compile_call(Call.model_validate({"path": "/me"}), {})
    await exchange(caller, program, {"connection": {}})
    with pytest.raises(PartnerRateLimited) as refused:
        await exchange(caller, program, {"connection": {}})
    assert refused.value.details.reason == "budget"


async def test_a_permit_that_was_taken_ahead_and_not_used_is_given_back(tmp_path):
    async with open_bench(tmp_path, limited(limit=None, seconds=None, concurrency=1)) as bench:
        program = await bench.desk.program(bench.account, PUT)
        opened = await bench.desk.bench(bench.account, program.partner, bench.connection)
        for _attempt in range(3):
            gate = bench.desk.gate(program, opened, 5.0)
            await gate.ready(None, None)
            gate.close()
            gate.close()
        assert (await bench.engine.run_sync(bench.ask(PUT))).run.status is RunStatus.SUCCEEDED


@pytest.mark.parametrize(("late_ms", "sent"), [(0, 1), (30_000, 1), (50_000, 0)])
async def test_a_run_whose_mark_took_long_to_write_goes_by_the_moment_at_which_it_goes(tmp_path, monkeypatch, late_ms, sent):
    clock = Clock()
    async with open_bench(tmp_path, limited(limit=1, seconds=60), clock, runs_sync_wait=0.05) as bench:
        run = await bench.claimed(operation=CREATE)
        ledger, mark = bench.engine.ledger, bench.engine.ledger.mark_sending

        async def slowly(run):  # a disk that takes its time: time is moved, nobody waits
            marked = await mark(run)
            clock.forward(late_ms / 1000)
            return marked

        monkeypatch.setattr(ledger, "mark_sending", slowly)
        done = await bench.engine.run_once(run)
        assert (done.run.status, len(bench.line.sent)) == (RunStatus.SUCCEEDED if sent else RunStatus.WAITING, sent)
        monkeypatch.undo()
        clock.forward(65 - late_ms / 1000)  # what counts from the taking is over, what counts from the sending is not
        second = await bench.engine.run_sync(bench.ask(PUT))
        assert second.run.status is (RunStatus.FAILED if late_ms == 30_000 else RunStatus.SUCCEEDED)


async def test_a_refusal_that_asks_to_wait_is_kept_for_the_others(tmp_path):
    async with open_bench(tmp_path, limited(limit=5, seconds=3_600)) as bench:
        bench.line.answer = lambda _request: Reply(status=429, headers=(("Retry-After", "90"),), body=b"{}")
        done = await bench.engine.run_sync(bench.ask(CREATE))
        assert done.error.details.reason is None
        toll = bench.desk.toll(await bench.desk.program(bench.account, CREATE), bench.connection)
        assert 80_000 < bench.desk.runtime.budgets.room()(toll, bench.connection) <= 90_000


@pytest.fixture
async def fragile(anyio_backend, tmp_path):
    async with open_bench(tmp_path, partner_breaker_failures=2, runs_attempts=1, runs_sync_wait=0) as found:
        yield found


def unreachable(_request):
    raise NetworkFault("No connection.", reached=False)


async def test_a_partner_that_cannot_be_reached_is_left_alone_and_callers_hear_of_it_at_once(fragile: Bench):
    fragile.line.answer = unreachable
    for _call in range(2):
        assert (await fragile.engine.run_sync(fragile.ask(PUT))).error.code == "partner_unavailable"
    done = await fragile.engine.run_sync(fragile.ask(PUT))
    assert (done.error.code, done.error.details.reason, done.error.retryable) == ("partner_unavailable", "circuit_open", True)
    assert 0 < done.error.details.retry_after_ms <= 5_000
    assert len(fragile.line.sent) == 2
    run = await fragile.claimed(operation=PUT)
    assert (await fragile.engine.run_once(run)).run.status is RunStatus.WAITING
    stored = await fragile.engine.runtime.repo.runs.get(fragile.account, run.run_id)
    assert (stored.attempts, json.loads(stored.error)["reason"]) == (0, "circuit_open")


@pytest.mark.parametrize(
    ("answer", "timeout", "opens"),
    [
        (json_reply(b"{}", status=500), 30.0, True),
        (json_reply(b"{}", status=404), 30.0, False),
        (NetworkFault("Silence.", reached=True, timed_out=True), 30.0, True),
        (NetworkFault("Silence.", reached=True, timed_out=True), 1.0, False),
        (ValueError("a defect"), 30.0, False),
    ],
)
async def test_what_is_a_failure_of_the_partner_and_what_is_not(fragile: Bench, answer, timeout, opens):
    def told(_request):
        if isinstance(answer, Exception):
            raise answer
        return answer

    fragile.line.answer = told
    for _call in range(3):
        await fragile.engine.run_sync(fragile.ask(PUT, timeout_ms=int(timeout * 1000)))
    assert (fragile.desk.runtime.breakers.opened == 1) is opens


async def test_a_call_that_meets_an_open_breaker_on_its_way_is_not_sent(fragile: Bench):
    gate = fragile.desk.gate(await fragile.desk.program(fragile.account, PUT), await _opened(fragile), 1.0)
    breakers = fragile.desk.runtime.breakers
    for _failure in range(2):
        breakers.failed(fragile.connection, "api.example.com")
    request = SimpleNamespace(url="https://api.example.com", timeout=30.0)
    with pytest.raises(PartnerUnavailable):
        await gate.send(fragile.line, request, None)
    assert fragile.line.sent == []


async def _opened(bench: Bench):
    program = await bench.desk.program(bench.account, PUT)
    return await bench.desk.bench(bench.account, program.partner, bench.connection)


def lane_of(bench: Bench, operation=PUT):
    return Lane(bench.account, bench.connection, operation, 9)


async def test_lanes_whose_budget_is_used_up_are_not_claimed_and_their_next_runs_are_told_why(bench: Bench):
    holder = LaneHolder(bench.desk)
    for _look in range(2):
        assert not holder.room(lambda _lane: True)(lane_of(bench)), "the operation is being fetched"
    await holder.fetched()
    assert holder.room(lambda _lane: True)(lane_of(bench))
    await bench.engine.run_sync(bench.ask(PUT))
    ids = [(await bench.engine.start(bench.ask(PUT, mode="async")))[1].run_id for _run in range(2)]
    admits = holder.room(lambda _lane: True)
    assert not admits(lane_of(bench))
    for _time in range(2):
        await holder.explain()
        assert not admits(lane_of(bench))
    for run_id in ids:
        stored = await bench.engine.runtime.repo.runs.get(bench.account, run_id)
        assert (stored.status, json.loads(stored.error)["reason"]) == (RunStatus.WAITING, "budget")
    assert not holder.room(lambda _lane: False)(lane_of(bench))


async def test_what_a_claimed_run_will_take_of_a_budget_is_kept_for_it_until_it_ends(tmp_path):
    async with open_bench(tmp_path, limited(limit=1, seconds=3_600)) as bench:
        await bench.desk.program(bench.account, PUT)
        holder, lane = LaneHolder(bench.desk), lane_of(bench)
        run = await bench.claimed(operation=PUT)
        assert holder.room(lambda _lane: True)(lane)
        holder.claimed(run, lane)
        assert not holder.room(lambda _lane: True)(lane)
        holder.ended(run)
        assert holder.room(lambda _lane: True)(lane)


async def test_runs_that_ask_a_budget_are_not_sent_at_once(bench: Bench):
    await bench.desk.program(bench.account, PUT)
    holder = LaneHolder(bench.desk)
    holder.went(lane_of(bench))
    assert not holder.sends(lane_of(bench))


async def test_runs_of_a_lane_are_sent_at_once_while_others_of_it_have_just_succeeded(fragile: Bench, monkeypatch):
    holder, lane = LaneHolder(fragile.desk), lane_of(fragile)
    holder.went(lane)
    assert not holder.sends(lane), "the operation was not looked at yet"
    await fragile.desk.program(fragile.account, PUT)
    assert holder.sends(lane)
    monkeypatch.setattr("polyport.engine.lanes.KNOWN_MOST", 1)
    holder.went(lane_of(fragile, CREATE))
    assert not holder.sends(lane), "it was so long ago that it is forgotten"
    holder.went(lane)
    monkeypatch.setattr("polyport.engine.lanes.WENT_SECONDS", 0)
    assert not holder.sends(lane)


async def test_an_explanation_that_cannot_be_written_is_left_for_later(bench: Bench, monkeypatch):
    monkeypatch.setattr("polyport.engine.lanes.KNOWN_MOST", 0)
    holder = LaneHolder(bench.desk)
    await bench.engine.run_sync(bench.ask(PUT))
    bench.store.failing.add("hold_lane")
    assert not holder.room(lambda _lane: True)(lane_of(bench))
    await holder.explain()
    await holder.explain()


async def test_lanes_whose_partner_is_left_alone_are_not_claimed(fragile: Bench):
    holder = LaneHolder(fragile.desk)
    fragile.line.answer = unreachable
    for _call in range(2):
        await fragile.engine.run_sync(fragile.ask(PUT))
    assert not holder.room(lambda _lane: True)(lane_of(fragile))
    await holder.explain()


async def test_a_lane_of_an_operation_that_there_is_not_is_claimed_so_that_its_runs_can_end(bench: Bench):
    holder, lane = LaneHolder(bench.desk), lane_of(bench, 424242)
    assert not holder.room(lambda _lane: True)(lane)
    await holder.fetched()
    assert holder.room(lambda _lane: True)(lane)
    with pytest.raises(NotFound):
        await bench.desk.program(bench.account, 424242)


async def test_a_connection_that_was_asked_to_wait_is_left_to_its_own_turn_where_nothing_is_declared(fragile: Bench):
    holder = LaneHolder(fragile.desk)
    fragile.line.answer = lambda _request: Reply(status=429, headers=(("Retry-After", "90"),), body=b"{}")
    await fragile.engine.run_sync(fragile.ask(PUT))
    await fragile.engine.start(fragile.ask(PUT, mode="async"))
    assert not holder.room(lambda _lane: True)(lane_of(fragile))
    await holder.explain()
    assert 80_000 < fragile.desk.runtime.budgets.room()(None, fragile.connection) <= 90_000


async def test_a_ledger_that_cannot_be_written_holds_back_what_it_would_count(bench: Bench):
    bench.store.failing.add("take_budgets")
    uses = bench.desk.runtime.budgets._uses
    bench.desk.runtime.budgets._uses = replace(uses, database=bench.store)
    done = await bench.engine.run_sync(bench.ask(PUT))
    assert (done.error.code, done.error.details.reason, bench.line.sent) == ("partner_rate_limited", "budget", [])
    bench.store.failing.clear()
    assert (await bench.engine.run_sync(bench.ask(PUT))).run.status is RunStatus.SUCCEEDED
    await bench.store.write(Statement(query="probe"))


@pytest.mark.parametrize(("operation", "noted"), [(CREATE, True), (PUT, False)])
@pytest.mark.parametrize("budget", [{"limit": 9}, None])
async def test_that_a_request_leaves_is_noted_where_it_may_not_be_repeated(tmp_path, operation, noted, budget):
    served = limited(**budget) if budget else None
    async with open_bench(tmp_path, served) as bench:
        (path,) = (tmp_path / "processes").glob("*.sent")
        seen = []

        def answered(request):
            before = read_departures(path)
            if request.leaves is not None:
                request.leaves()
            seen.append((before, read_departures(path)))
            return json_reply(b'{"id": 1}')

        bench.line.answer = answered
        run = await bench.claimed(operation=operation)
        assert (await bench.engine.run_once(run)).run.status is RunStatus.SUCCEEDED
        assert seen == [(set(), {run.run_id} if noted else set())]
        assert read_departures(path) == set()


async def test_a_run_that_waits_for_another_attempt_has_sent_nothing_that_counts(bench: Bench, tmp_path):
    (path,) = (tmp_path / "processes").glob("*.sent")

    def busy(request):
        request.leaves()
        return Reply(status=429, headers=(("Retry-After", "60"),))

    bench.line.answer = busy
    done = await bench.engine.run_once(await bench.claimed(operation=CREATE))
    assert (done.run.status, read_departures(path)) == (RunStatus.WAITING, set())
