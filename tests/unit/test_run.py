"""The order of a run's steps where no partner and no caller leads: a store that fails, records that cannot be opened, defects of our own."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import msgspec
import pytest

from engines import CREATE, PUT, Bench, open_bench
from polyport.engine.intake import key_of
from polyport.engine.operation import Outcome
from polyport.engine.record import _plain, decode, encode
from polyport.errors import IdempotencyInProgress, Overloaded
from polyport.net.message import NetworkFault
from polyport.store.base import Stale, StoreUnavailable
from polyport.store.records import RESTORED, RunStatus
from samples import json_reply
from stored import run as stored_run
from stored import running as stored_running

pytestmark = pytest.mark.anyio


@pytest.fixture
async def bench(anyio_backend, tmp_path):
    async with open_bench(tmp_path) as found:
        yield found


def _broken(_request):
    raise RuntimeError("a defect of ours")


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_what_cannot_be_recorded_is_not_begun(bench: Bench, mode: str):
    bench.store.failing.add("insert_run")
    with pytest.raises(Overloaded):
        await (bench.engine.run_sync(bench.ask()) if mode == "sync" else bench.engine.start(bench.ask(mode="async")))
    assert bench.line.sent == []


async def test_a_key_that_is_taken_by_a_run_that_cannot_be_seen_yet_is_in_progress(bench: Bench):
    await bench.engine.run_sync(bench.ask(idempotency_key="one"))
    bench.store.blind.add("idempotency_key")
    with pytest.raises(IdempotencyInProgress):
        await bench.engine.run_sync(bench.ask(idempotency_key="one"))
    assert len(bench.line.sent) == 1


async def test_a_key_that_is_taken_between_the_look_and_the_record_gives_the_other_runs_answer(bench: Bench):
    first = await bench.engine.start(bench.ask(mode="async", idempotency_key="one"))
    reads = iter([set(), {"idempotency_key"}])

    class Late(type(bench.store)):
        async def read(self, query, params=None):
            if query == "idempotency_key" and next(reads, None) == set():
                return []
            return await super().read(query, params)

    database = Late(bench.store.inner)
    bench.engine.runtime = replace(bench.engine.runtime, repo=type(bench.engine.runtime.repo)(database))
    earlier, run, prepared = await bench.engine.start(bench.ask(mode="async", idempotency_key="one"))
    assert (earlier.replayed, run.run_id, prepared) == (True, first[1].run_id, None)


@pytest.mark.parametrize(
    ("operation", "reached", "again"), [(PUT, True, True), (PUT, False, True), (CREATE, False, True), (CREATE, True, False)]
)
async def test_a_call_that_a_stop_cuts_ends_at_once_and_its_key_is_free_unless_it_may_have_taken_effect(
    bench: Bench, operation, reached, again
):
    def cut(_request):
        raise NetworkFault("This server was stopped.", reached=reached, stopped=True)

    usual, bench.line.answer = bench.line.answer, cut
    ask = bench.ask(operation, idempotency_key="cut")
    done = await bench.engine.run_sync(ask)
    assert (done.run.status, done.error.message) == (RunStatus.FAILED if again else RunStatus.UNCERTAIN, "This server was stopped.")
    assert (done.error.retryable, len(bench.line.sent)) == (again, 1)
    bench.line.answer = usual
    repeated = await bench.engine.run_sync(ask)
    assert (repeated.replayed, repeated.run.status) == (not again, RunStatus.SUCCEEDED if again else RunStatus.UNCERTAIN)


async def test_a_queued_run_that_a_stop_cuts_is_left_to_the_next_process(bench: Bench):
    def cut(_request):
        raise NetworkFault("This server was stopped.", reached=True, stopped=True)

    bench.line.answer = cut
    run = await bench.claimed(operation=PUT, idempotency_key="cut")
    assert (await bench.engine.run_once(run)).run.status is RunStatus.WAITING
    assert await bench.engine.runtime.repo.runs.key(bench.account, "cut") is not None


@pytest.mark.parametrize("what", ["sealed_input", "sealed_attempts"])
async def test_a_stored_run_that_cannot_be_opened_ends_instead_of_running_for_ever(bench: Bench, what: str):
    run = await bench.claimed()
    bench.engine._fresh.forget()  # as after a restart: what is kept of a run that was accepted just now is not opened
    done = await bench.engine.run_once(msgspec.structs.replace(run, **{what: b"no box of ours"}))
    assert (done.run.status, done.error.code) == (RunStatus.FAILED, "internal_error")
    assert (await bench.status(run), bench.line.sent) == ("failed", [])


@pytest.mark.parametrize(("query", "operation"), [("connection", PUT), ("mark_sending", CREATE)])
async def test_an_accepted_run_waits_for_a_store_that_cannot_be_read_or_cannot_note_that_it_is_sent(
    bench: Bench, query: str, operation: int
):
    run = await bench.claimed(operation=operation)
    bench.desk.forget()
    bench.store.failing.add(query)
    working = asyncio.create_task(bench.engine.run_once(run))
    await asyncio.sleep(0.1)
    assert (working.done(), bench.line.sent) == (False, [])
    bench.store.failing.clear()
    assert (await working).run.status is RunStatus.SUCCEEDED
    assert len(bench.line.sent) == 1


async def test_an_outcome_is_written_as_soon_as_the_store_can(bench: Bench):
    bench.store.failing.add("finish_run")
    working = asyncio.create_task(bench.engine.run_sync(bench.ask()))
    async with asyncio.timeout(60):
        while not bench.line.sent:  # noqa: ASYNC110  the line signals nothing
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.1)
    assert (working.done(), len(bench.line.sent)) == (False, 1)
    bench.store.failing.clear()
    done = await working
    assert (done.run.status, await bench.status(done.run), len(bench.line.sent)) == (RunStatus.SUCCEEDED, "succeeded", 1)


@pytest.mark.parametrize(("operation", "status"), [(CREATE, RunStatus.UNCERTAIN), (PUT, RunStatus.FAILED)])
async def test_a_defect_of_ours_ends_the_run_honestly(bench: Bench, operation: int, status: RunStatus):
    bench.line.answer = _broken
    done = await bench.engine.run_sync(bench.ask(operation))
    assert (done.run.status, done.error.code) == (status, "internal_error")
    assert "defect" not in str(done.error.as_record())
    assert await bench.status(done.run) == status


@pytest.mark.parametrize("marked", [False, True])
async def test_a_defect_after_an_asynchronous_run_was_marked_leaves_a_doubt(bench: Bench, marked: bool):
    bench.line.answer = _broken
    await bench.engine.start(bench.ask(CREATE, mode="async"))
    queue, owner = bench.engine.runtime.queue, bench.engine.runtime.owner
    (run,) = await queue.claim(owner, 1, bench.engine.runtime.now_ms(), sends=lambda _lane: marked)
    assert run.sending is marked
    done = await bench.engine.run_once(run)
    assert (done.run.status, done.error.code) == (RunStatus.UNCERTAIN, "internal_error")


@pytest.mark.parametrize(("operation", "status"), [(CREATE, RunStatus.UNCERTAIN), (PUT, RunStatus.FAILED)])
async def test_a_result_that_cannot_be_recorded_ends_the_run_honestly(bench: Bench, operation: int, status: RunStatus):
    _earlier, run, prepared = await bench.engine.start(bench.ask(operation))
    done = await bench.engine._succeed(run, prepared, Outcome(result={"value": object()}), [])
    assert (done.run.status, done.error.code, await bench.status(done.run)) == (status, "internal_error", status)


async def test_a_run_that_another_process_settled_is_not_sent(bench: Bench):
    run = await bench.claimed()
    with pytest.raises(Stale):
        await bench.engine.run_once(msgspec.structs.replace(run, owner="another process"))
    assert bench.line.sent == []


async def test_draining_waits_for_synchronous_runs_and_not_longer_than_told(bench: Bench):
    await bench.engine.drain(1)
    bench.store.failing.add("finish_run")
    working = asyncio.create_task(bench.engine.run_sync(bench.ask()))
    await asyncio.sleep(0.05)
    await bench.engine.drain(0.05)
    assert not working.done()
    bench.store.failing.clear()
    await bench.engine.drain(5)
    assert (await working).run.status is RunStatus.SUCCEEDED


async def test_a_run_that_is_asked_to_stop_before_it_is_marked_ends_without_an_attempt(bench: Bench):
    run = await bench.claimed(operation=CREATE)
    await bench.engine.runtime.repo.runs.ask_to_stop(run, 5)
    done = await bench.engine.run_once(run)
    assert (done.run.status, bench.line.sent, await bench.engine.ledger.attempts(done.run)) == (RunStatus.CANCELLED, [], [])


async def test_a_queued_run_whose_operation_is_gone_ends_and_says_so(bench: Bench):
    run = await bench.claimed()
    done = await bench.engine.run_once(msgspec.structs.replace(run, operation_id=99_999))
    assert (done.run.status, done.error.code, bench.line.sent) == (RunStatus.FAILED, "not_found", [])
    (attempt,) = await bench.engine.ledger.attempts(done.run)
    assert (attempt["error"]["code"], attempt["exchanges"]) == ("not_found", [])


async def _needing_a_list(bench: Bench):
    """A claimed run whose input names somebody in a list that nobody has read yet."""
    run = await bench.claimed()
    bench.desk.forget()
    box = await bench.desk.box(bench.account)
    content = decode(box.open(run.sealed_input, f"run/{run.run_id}/input"))
    content["runnerData"]["owner"] = "Ada"
    return msgspec.structs.replace(run, sealed_input=box.seal(encode(content), f"run/{run.run_id}/input"))


async def test_an_attempt_that_ended_while_a_list_was_read_is_kept_as_one(bench: Bench):
    run = await _needing_a_list(bench)
    bench.line.answer = lambda _request: json_reply(status=503)
    done = await bench.engine.run_once(run)
    assert (done.run.status, done.run.attempts, done.error.code) == (RunStatus.WAITING, 1, "partner_unavailable")
    (attempt,) = await bench.engine.ledger.attempts(done.run)
    assert (attempt["number"], attempt["error"]["code"]) == (1, "partner_unavailable")


async def test_a_run_that_is_held_back_before_a_list_is_read_made_no_attempt(tmp_path):
    async with open_bench(tmp_path, partner_breaker_failures=1) as bench:
        run = await _needing_a_list(bench)
        bench.line.answer = lambda _request: json_reply(status=503)
        await bench.engine.run_sync(bench.ask())
        done = await bench.engine.run_once(run)
        assert (done.run.status, done.run.attempts, done.error.details.reason) == (RunStatus.WAITING, 0, "circuit_open")
        assert await bench.engine.ledger.attempts(done.run) == []


@pytest.mark.parametrize("replaced", [True, False])
async def test_a_simulator_is_told_the_run_and_a_partner_is_not(tmp_path, replaced: bool):
    settings = {"partner_example_base_url": "http://127.0.0.1:9"} if replaced else {}
    async with open_bench(tmp_path, **settings) as bench:
        done = await bench.engine.run_sync(bench.ask())
        (sent,) = bench.line.sent
        assert sent.header("X-Polyport-Run") == (done.run.run_id if replaced else None)


async def test_an_ask_shows_nothing_of_what_it_carries(bench: Bench):
    shown = repr(bench.ask(CREATE, runner_data={"name": "canary"}, credential_data={"0": {"value": "canary"}}))
    assert "canary" not in shown


async def test_a_run_that_another_process_settled_does_not_wait(bench: Bench):
    run = await bench.claimed(operation=PUT)
    with pytest.raises(Stale):
        await bench.engine.ledger.wait(msgspec.structs.replace(run, owner="another process"), [], Overloaded(), 1_000)
    assert await bench.status(run) == "running"


async def test_a_run_that_went_on_while_it_was_being_cancelled_is_looked_at_again(bench: Bench):
    _earlier, run, _prepared = await bench.engine.start(bench.ask(PUT, mode="async"))
    runtime = bench.engine.runtime

    class Late(type(bench.store)):
        claimed = False

        async def write(self, *statements):
            if statements[0].query == "cancel_run" and not Late.claimed:
                Late.claimed = True
                assert await runtime.queue.claim(runtime.owner, 1, runtime.now_ms())
            return await super().write(*statements)

    late = type(runtime.repo)(Late(bench.store.inner))
    bench.engine.ledger._runtime = replace(runtime, repo=late)
    told = await bench.engine.ledger.cancel(bench.account, run.run_id)
    assert (told.status, told.cancel_at is not None, await bench.status(run)) == (RunStatus.RUNNING, True, "running")


async def test_a_run_that_is_cancelled_is_told_to_who_listens(bench: Bench):
    _earlier, run, _prepared = await bench.engine.start(bench.ask(PUT, mode="async", callback_url="https://example.com/hook"))
    announced = []
    bench.engine.runtime.events.announce, kept = lambda: announced.append(1), bench.engine.runtime.events.announce
    await bench.engine.ledger.cancel(bench.account, run.run_id)
    bench.engine.runtime.events.announce = kept
    assert announced == [1]


def test_what_is_no_number_is_no_other_number():
    assert str(_plain({"a": [Decimal("NaN"), Decimal("1.50"), Decimal("0E+9"), Decimal("12E-9000")]})["a"]) == (
        "[Decimal('NaN'), Decimal('1.5'), 0, Decimal('1.2E-8999')]"
    )


async def test_a_run_of_another_process_is_asked_to_stop_through_its_record_alone(bench: Bench):
    theirs = stored_running(bench.account, "another process")
    await bench.engine.runtime.repo.runs.insert(theirs)
    told = await bench.engine.ledger.cancel(bench.account, theirs.run_id)
    assert (told.status, told.cancel_at is not None, bench.engine.ledger.stopping) == (RunStatus.RUNNING, True, set())
    assert await bench.engine.runtime.repo.runs.to_stop("another process") == {theirs.run_id}


@pytest.mark.parametrize("given_back", [True, False])
async def test_a_key_that_is_given_back_between_two_looks_at_it_is_free(bench: Bench, monkeypatch, given_back: bool):
    ask = bench.ask(PUT, idempotency_key="k")
    runtime, intake = bench.engine.runtime, bench.engine.intake
    program = await bench.desk.program(bench.account, PUT)
    owner = "1-dead" if given_back else RESTORED  # what a backup was restored with keeps its key: it may have been sent since
    dead = msgspec.structs.replace(await intake.new_run(ask, program, None), owner=owner)
    await runtime.repo.runs.insert(dead, key_of(ask, dead))
    kind, read = type(runtime.repo.runs), runtime.repo.runs.get

    async def settled_meanwhile(_runs, account_id: int, run_id: str):
        await runtime.queue.recover(runtime.now_ms())
        return await read(account_id, run_id)

    monkeypatch.setattr(kind, "get", settled_meanwhile)
    done = await bench.engine.run_sync(ask)
    expected = (RunStatus.SUCCEEDED, True, False) if given_back else (RunStatus.FAILED, False, True)
    assert (done.run.status, done.run.run_id != dead.run_id, done.replayed) == expected


async def test_runs_whose_time_is_over_while_they_wait_are_ended_once_and_told(bench: Bench):
    runs, now = bench.engine.runtime.repo.runs, bench.engine.runtime.now_ms()
    late = [
        stored_run(bench.account, at=now - 9_000, deadline_at=now - 1, callback_url=url) for url in (None, None, "https://example.com/hook")
    ]
    others = [stored_run(bench.account, at=now - 9_000, deadline_at=deadline) for deadline in (None, now + 60_000)]
    await runs.insert_many([(run, None) for run in [*late, *others]])
    bench.store.failing.add("expire_run")
    with pytest.raises(StoreUnavailable):
        await bench.engine.ledger.expire()
    bench.store.failing.clear()
    announced = []
    bench.engine.runtime.events.announce, kept = lambda: announced.append(1), bench.engine.runtime.events.announce
    await asyncio.gather(bench.engine.ledger.expire(), bench.engine.ledger.expire())
    bench.engine.runtime.events.announce = kept
    assert [await bench.status(run) for run in [*late, *others]] == ["failed"] * 3 + ["queued"] * 2
    assert (announced, bench.line.sent) == ([1], [])
