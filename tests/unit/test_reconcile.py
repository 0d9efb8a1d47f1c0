"""What becomes of a run in doubt whose partner can be asked: found, not found, not to be told, and looked for no more than is of use."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from engines import Bench, open_bench
from polyport.catalog import Catalog
from polyport.engine.reconcile import AT_ONCE, LOOKS_MS, Reconciler, following, in_turns
from polyport.errors import Conflict
from polyport.store.base import Stale, Statement, StoreUnavailable
from polyport.store.records import ConnectionStatus, Finding, RunStatus
from polyport.store.rows import params
from samples import action, json_reply, partner
from samples import field as input_field
from stored import run

pytestmark = pytest.mark.anyio
ORDER, SURE, BARE = 10011, 10012, 10013


def _order(number, **reconcile):
    given = {
        "call": {"path": "/orders", "query": {"reference": "{{run.key}}"}, "when": {"at": "name"}},
        "items": "orders",
        "where": [{"at": "open", "equals": True}],
        "marker": {"at": "reference", "value": "{{run.key}}"},
        **reconcile,
    }
    return action(
        id=number,
        name=f"order_{number}",
        fields=[input_field("name")],
        call={"method": "POST", "path": "/orders", "body": {"name": "{{name}}", "reference": "{{run.key}}"}},
        result={"fields": [{"name": "id", "type": "integer", "label": "ID"}]},
        reconcile=given,
    )


def _served():
    connection = {
        "auth": [
            {
                "name": "key",
                "label": "Key",
                "fields": [input_field("key", secret=True, required=True)],
                "scheme": {"kind": "bearer", "token": "{{connection.key}}"},
            }
        ],
    }
    bare = _order(BARE, items=[], where=[], marker=None, at=["order"])
    return partner(_order(ORDER), _order(SURE, absent="failed"), bare, connection=connection)


@pytest.fixture
async def bench(anyio_backend, tmp_path):
    async with open_bench(tmp_path, _served()) as found:
        yield found


class Shop:
    """A partner that makes an order and answers with a 500, and that can be asked for its orders."""

    def __init__(self, bench: Bench, *, makes: bool = True) -> None:
        self.orders, self.makes, self.line = [], makes, bench.line
        self.reply = None
        bench.line.answer = self._answer

    def _answer(self, request):
        if request.method == "POST":
            told = json.loads(request.body)
            if self.makes:
                self.orders.append({"id": len(self.orders) + 1, "open": True, "reference": told["reference"]})
            return json_reply(b"{}", 500)
        return self.reply or json_reply(json.dumps({"orders": self.orders}))

    @property
    def looks(self):
        return sum(1 for request in self.line.sent if request.method == "GET")


class Later:
    """A clock that is ahead of the real one by what a test adds."""

    def __init__(self, bench: Bench) -> None:
        self._clock, self._ahead = bench.engine.runtime.clock, 0.0
        object.__setattr__(bench.engine.runtime, "clock", self)
        bench.engine.runtime.__post_init__()  # its milliseconds are this clock's from now on

    def __call__(self):
        return self._clock() + timedelta(seconds=self._ahead)

    def forward(self, seconds: float) -> None:
        self._ahead += seconds


async def _doubt(bench: Bench, operation: int = ORDER, **more):
    done = await bench.engine.run_sync(bench.ask(operation, **more))
    assert done.run.status is RunStatus.UNCERTAIN
    assert done.error.details.outcome == "uncertain"
    return done.run


async def _read(bench: Bench, run):
    return await bench.engine.ledger.read(bench.account, run.run_id)


async def test_what_the_partner_has_made_is_found_by_its_marker_and_becomes_the_result(bench: Bench):
    shop, clock, sweep = Shop(bench), Later(bench), Reconciler(bench.engine).sweep
    shop.orders = [
        None,
        {"id": 90, "open": True, "reference": "another's"},
        {"id": 91, "open": False, "reference": "x"},
        {"id": 92, "open": True},
    ]
    doubtful = await _doubt(bench)
    await sweep()
    assert shop.looks == 0
    clock.forward(3)
    await sweep()
    done = await _read(bench, doubtful)
    assert (done.run.status, done.result, done.error, done.run.probe_at) == (RunStatus.SUCCEEDED, {"id": 5}, None, None)
    assert (json.loads(done.run.settled)["found"], done.run.finished_at) == (True, doubtful.finished_at)
    first, look = await bench.engine.ledger.attempts(done.run)
    assert ("probe" in first, look["probe"], look["exchanges"][0]["step"]) == (False, True, "reconcile")
    await sweep()
    assert (shop.looks, sum(request.method == "POST" for request in shop.line.sent)) == (1, 1)
    usage = await bench.engine.runtime.repo.runs.usage(bench.account, 0, 99_999, None)
    assert [(row.status, row.runs) for row in usage] == [("succeeded", 1)]


@pytest.mark.parametrize(("operation", "status"), [(ORDER, RunStatus.UNCERTAIN), (SURE, RunStatus.FAILED)])
async def test_what_is_not_found_is_looked_for_again_and_means_what_the_partners_folder_says(bench: Bench, operation, status):
    shop, clock, sweep = Shop(bench, makes=False), Later(bench), Reconciler(bench.engine).sweep
    doubtful = await _doubt(bench, operation)
    for number, offset in enumerate(LOOKS_MS, start=1):
        assert (await _read(bench, doubtful)).run.status is RunStatus.UNCERTAIN
        clock.forward((doubtful.finished_at + offset - bench.engine.runtime.now_ms()) / 1000 + 0.5)
        await sweep()
        assert shop.looks == number
    done = await _read(bench, doubtful)
    assert (done.run.status, done.run.probe_at, json.loads(done.run.settled)["found"]) == (status, None, False)
    assert (done.error.retryable, done.error.details.outcome) == ((True, None) if status is RunStatus.FAILED else (False, "uncertain"))
    assert len(await bench.engine.ledger.attempts(done.run)) == 1 + len(LOOKS_MS)
    clock.forward(10_000)
    await sweep()
    assert shop.looks == len(LOOKS_MS)


async def test_a_partner_that_does_not_answer_proves_nothing(bench: Bench):
    shop, clock, sweep = Shop(bench, makes=False), Later(bench), Reconciler(bench.engine).sweep
    doubtful = await _doubt(bench, SURE)
    shop.reply = json_reply(b"{}", 503)
    clock.forward(3)
    await sweep()
    clock.forward(2_000)
    await sweep()
    done = await _read(bench, doubtful)
    assert (done.run.status, shop.looks, json.loads(done.run.settled)["found"]) == (RunStatus.UNCERTAIN, 2, False)


async def test_an_answer_that_there_is_none_is_an_answer(bench: Bench):
    shop, clock, sweep = Shop(bench, makes=False), Later(bench), Reconciler(bench.engine).sweep
    doubtful = await _doubt(bench, SURE)
    shop.reply = json_reply(b"{}", 404)
    clock.forward(2_000)
    await sweep()
    assert (await _read(bench, doubtful)).run.status is RunStatus.FAILED


async def test_a_record_may_stand_alone_and_within_a_wrapping(bench: Bench):
    shop, clock = Shop(bench), Later(bench)
    doubtful = await _doubt(bench, BARE)
    shop.reply = json_reply(b'{"order": {"id": 77}}')
    clock.forward(3)
    await Reconciler(bench.engine).sweep()
    assert (await _read(bench, doubtful)).result == {"id": 77}


async def test_a_marker_that_is_no_plain_value_finds_nothing(bench: Bench):
    shop, clock = Shop(bench, makes=False), Later(bench)
    shop.orders = [{"id": 1, "open": True, "reference": {"not": "a text"}}]
    doubtful = await _doubt(bench)
    clock.forward(3)
    await Reconciler(bench.engine).sweep()
    assert (await _read(bench, doubtful)).run.status is RunStatus.UNCERTAIN


async def test_where_there_is_nothing_to_look_for_nothing_is_asked_and_nothing_is_claimed(bench: Bench):
    shop, clock = Shop(bench, makes=False), Later(bench)
    doubtful = await _doubt(bench, SURE, runner_data={})
    clock.forward(2_000)
    await Reconciler(bench.engine).sweep()
    done = await _read(bench, doubtful)
    assert (done.run.status, done.run.probe_at, shop.looks) == (RunStatus.UNCERTAIN, None, 0)


async def test_what_can_no_longer_be_looked_for_stays_in_doubt(bench: Bench):
    shop, clock = Shop(bench), Later(bench)
    doubtful = await _doubt(bench)
    await bench.engine.runtime.repo.connections.delete(bench.account, bench.connection)
    bench.desk.forget()
    clock.forward(3)
    await Reconciler(bench.engine).sweep()
    done = await _read(bench, doubtful)
    assert (done.run.status, done.run.probe_at, shop.looks) == (RunStatus.UNCERTAIN, None, 0)


async def _stands(bench: Bench, status: ConnectionStatus):
    connections, now = bench.engine.runtime.repo.connections, bench.engine.runtime.now_ms()
    found = Finding(status=status, proved=True, account_label=None, last_error=None, check_at=None, refusals=0)
    await connections.verified(await connections.get(bench.account, bench.connection), found, now=now)
    bench.desk.forget()


@pytest.mark.parametrize("why", ["left alone", "asked to wait", "invalid"])
async def test_a_partner_that_cannot_be_asked_now_is_asked_later(bench: Bench, why: str):
    shop, clock, runtime = Shop(bench), Later(bench), bench.engine.runtime
    doubtful = await _doubt(bench)
    host = shop.line.sent[0].url.split("/")[2]
    if why == "left alone":
        for _failure in range(runtime.settings.partner.breaker_failures):
            runtime.breakers.failed(bench.connection, host)
    elif why == "invalid":
        await _stands(bench, ConnectionStatus.INVALID)
    else:
        shop.reply = json_reply(b"{}", 429, retry_after="5")
    clock.forward(3)
    await Reconciler(bench.engine).sweep()
    left = await runtime.repo.runs.get(bench.account, doubtful.run_id)
    assert left is not None
    assert (left.status, left.probe_at) == (RunStatus.UNCERTAIN, doubtful.finished_at + LOOKS_MS[1])
    (_attempt, look) = await bench.engine.ledger.attempts(left)
    assert look["probe"]
    runtime.breakers.succeeded(bench.connection, host)
    if why == "invalid":
        await _stands(bench, ConnectionStatus.ACTIVE)
    shop.reply = None
    clock.forward(20)
    await Reconciler(bench.engine).sweep()
    assert (await _read(bench, doubtful)).run.status is RunStatus.SUCCEEDED


async def test_a_partner_that_hangs_does_not_keep_others_waiting(bench: Bench, monkeypatch):
    Shop(bench)
    clock, reconciler = Later(bench), Reconciler(bench.engine)
    hanging, sound = await _doubt(bench), await _doubt(bench)
    go_on, look = asyncio.Event(), reconciler._look

    async def hangs(run):
        if run.run_id == hanging.run_id:
            await go_on.wait()
        await look(run)

    monkeypatch.setattr(reconciler, "_look", hangs)
    clock.forward(3)
    sweeping = asyncio.create_task(reconciler.sweep())
    async with asyncio.timeout(60):
        while (await _read(bench, sound)).run.status is not RunStatus.SUCCEEDED:  # noqa: ASYNC110  what is waited for signals nothing
            await asyncio.sleep(0.01)
    assert not sweeping.done()
    go_on.set()
    await sweeping
    assert (await _read(bench, hanging)).run.status is RunStatus.SUCCEEDED


def test_partners_take_turns_in_being_asked():
    due = [run(1, partner_id=7) for _number in range(40)] + [run(1, partner_id=8), run(1, partner_id=9)]
    chosen = in_turns(due)
    assert len(chosen) == AT_ONCE
    assert [each.partner_id for each in chosen[:4]] == [7, 8, 9, 7]


async def test_a_store_that_cannot_be_written_is_told_once_all_looks_have_ended(bench: Bench):
    Shop(bench)
    clock = Later(bench)
    doubtful = await _doubt(bench)
    clock.forward(3)
    bench.store.failing.add("take_probe")
    with pytest.raises(StoreUnavailable):
        await Reconciler(bench.engine).sweep()
    bench.store.failing.clear()
    await Reconciler(bench.engine).sweep()
    assert (await _read(bench, doubtful)).run.status is RunStatus.SUCCEEDED


async def test_an_action_that_no_longer_says_how_is_not_asked_about(bench: Bench, monkeypatch):
    shop, clock = Shop(bench), Later(bench)
    doubtful = await _doubt(bench)
    program = await bench.desk.program(bench.account, ORDER)
    operation = program.operation.model_copy(update={"reconcile": None})
    newer = Catalog([program.partner.model_copy(update={"actions": (operation,)})], [], "http://127.0.0.1")
    monkeypatch.setattr(bench.desk, "runtime", replace(bench.desk.runtime, catalog=newer))
    clock.forward(3)
    await Reconciler(bench.engine).sweep()
    done = await _read(bench, doubtful)
    assert (done.run.status, done.run.probe_at, shop.looks) == (RunStatus.UNCERTAIN, None, 0)


async def test_a_look_that_breaks_keeps_the_others_not_waiting_and_comes_again(bench: Bench):
    shop, clock = Shop(bench), Later(bench)
    broken, sound = await _doubt(bench), await _doubt(bench)
    await bench.store.inner.write(*_spoil(broken))
    clock.forward(3)
    await Reconciler(bench.engine).sweep()
    assert (await _read(bench, sound)).run.status is RunStatus.SUCCEEDED
    left = await bench.engine.runtime.repo.runs.get(bench.account, broken.run_id)
    assert (left.status, left.probe_at > bench.engine.runtime.now_ms()) == (RunStatus.UNCERTAIN, True)
    clock.forward(2_000)
    await Reconciler(bench.engine).sweep()
    left = await bench.engine.runtime.repo.runs.get(bench.account, broken.run_id)
    assert (left.status, left.probe_at, shop.looks) == (RunStatus.UNCERTAIN, None, 3)


def _spoil(run):
    spoiled = msgspec.structs.replace(run, sealed_attempts=b"no box of ours")
    given = {**params(spoiled), "seen": run.probe_at}
    return (Statement(query="settle_doubt", params=given, expect=1),)


async def test_two_processes_that_look_at_once_look_once(bench: Bench):
    shop, clock = Shop(bench), Later(bench)
    doubtful = await _doubt(bench)
    clock.forward(3)
    await asyncio.gather(*(Reconciler(bench.engine).sweep() for _number in range(4)))
    assert ((await _read(bench, doubtful)).run.status, shop.looks) == (RunStatus.SUCCEEDED, 1)
    stored = await bench.engine.runtime.repo.runs.get(bench.account, doubtful.run_id)
    with pytest.raises(Stale):
        await bench.engine.runtime.repo.runs.take_probe(msgspec.structs.replace(stored, probe_at=doubtful.probe_at), 1)


async def test_a_run_is_not_replayed_while_it_is_looked_for(bench: Bench):
    Shop(bench)
    doubtful = await _doubt(bench)
    with pytest.raises(Conflict, match="looked for"):
        await bench.engine.replay(bench.account, doubtful.run_id)


async def test_a_doubt_that_is_settled_is_told_like_an_end(bench: Bench):
    _shop, clock = Shop(bench), Later(bench)
    await _doubt(bench, callback_url="https://example.com/hook")
    clock.forward(3)
    announced = []
    bench.engine.runtime.events.announce, kept = lambda: announced.append(1), bench.engine.runtime.events.announce
    await Reconciler(bench.engine).sweep()
    bench.engine.runtime.events.announce = kept
    assert announced == [1]


def test_looks_come_ever_later_and_end():
    ended = run(1, finished_at=1_000_000)
    at, seen = 1_000_000, []
    while (at := following(ended, at)) is not None:
        seen.append(at - 1_000_000)
    assert tuple(seen) == LOOKS_MS
    assert following(run(1), 5_000) == 5_000 + LOOKS_MS[0]


async def test_a_look_that_was_overtaken_changes_nothing(bench: Bench):
    shop, clock = Shop(bench), Later(bench)
    doubtful = await _doubt(bench)
    clock.forward(3)
    reconciler, repo = Reconciler(bench.engine), bench.engine.runtime.repo.runs
    stored = await repo.get(bench.account, doubtful.run_id)
    taken = await repo.take_probe(stored, stored.probe_at + 1)
    await repo.take_probe(taken, taken.probe_at + 1)
    await reconciler._look_safely(taken)
    left = await repo.get(bench.account, doubtful.run_id)
    assert (left.status, left.probe_at, shop.looks) == (RunStatus.UNCERTAIN, taken.probe_at + 1, 1)
