"""The lists of connections as they are kept: fresh, stale, too old, failing, shared, forgotten. Time is moved, never waited for."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from e2e.served import Clock
from engines import CREATE, Bench, listed, open_bench
from polyport.engine import lists as lists_module
from polyport.engine.calls import ListItems
from polyport.engine.lists import FIRST_PAUSE_MS, LONGEST_PAUSE_MS, _Failed, _Kept
from polyport.engine.schema import custom_name
from polyport.errors import ConnectionInvalid, PartnerError, PartnerUnavailable, ValidationFailed
from polyport.store.base import StoreUnavailable
from samples import action, json_reply, list_spec, partner
from samples import field as input_field

pytestmark = pytest.mark.anyio
LIFETIME, STALE = 600, 86_400


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def bench(anyio_backend, tmp_path, clock):
    async with open_bench(tmp_path, clock=clock) as found:
        yield found


def _owners(*names):
    return lambda _request: listed(*({"id": number, "name": name} for number, name in enumerate(names or ("Ada", "Grace"), start=1)))


def _down(_request):
    return json_reply(b"{}", 503)


async def _open(bench: Bench):
    return await bench.desk.bench(bench.account, await bench.engine.runtime.catalog.seen_by(None).partner(9), bench.connection)


async def _read(bench: Bench, **more) -> ListItems:
    found = await _open(bench)
    return await bench.desk.lists(found).get(found.caller.partner.lists["owners"], {}, **more)


async def _names(bench: Bench, **more) -> list[str]:
    return [item["name"] for item in (await _read(bench, **more)).items]


async def _settle(bench: Bench) -> None:
    """Let what is read in the background end."""
    while bench.desk._memory._reading:
        await asyncio.wait(list(bench.desk._memory._reading.values()))


async def test_a_list_is_read_once_for_all_who_want_it_at_the_same_time(bench: Bench):
    bench.line.answer = _owners()
    found = await asyncio.gather(*(_read(bench) for _number in range(10)))
    assert (len(bench.line.sent), {items.items[1]["name"] for items in found}) == (1, {"Grace"})


async def test_a_list_that_somebody_read_while_the_store_was_asked_is_not_read_again(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    bench.line.answer = _owners()
    memory = bench.desk._memory
    asked, read = asyncio.Event(), asyncio.Event()
    stored = memory._stored

    async def late(wanted: Any) -> Any:
        found = await stored(wanted)
        asked.set()
        await read.wait()
        return found

    monkeypatch.setattr(memory, "_stored", late)
    slow = asyncio.create_task(_names(bench))
    await asked.wait()
    monkeypatch.setattr(memory, "_stored", stored)
    first = await _names(bench)
    read.set()
    assert await slow == first
    assert len(bench.line.sent) == 1


async def test_a_list_tells_when_it_was_read_also_from_the_store(bench: Bench, clock: Clock):
    bench.line.answer = _owners()
    first = await _read(bench)
    assert first.read_at == bench.engine.runtime.now_ms()
    clock.forward(100)
    bench.desk.forget()
    again = await _read(bench)
    assert (again.read_at, again.serial == first.serial) == (first.read_at, False)
    assert (await _read(bench)).serial == again.serial


async def test_a_list_outlives_the_memory_of_the_process_and_a_damaged_copy_is_read_again(bench: Bench):
    bench.line.answer = _owners()
    await _read(bench)
    bench.desk.forget()
    assert await _names(bench) == ["Ada", "Grace"]
    assert len(bench.line.sent) == 1
    bench.desk.forget()
    stored = await bench.engine.runtime.repo.connections.cached_list(bench.connection, "owners")
    await bench.engine.runtime.repo.connections.put_cached_list(replace(stored, sealed=b"no box of ours"), generation=1)
    assert await _names(bench) == ["Ada", "Grace"]
    assert len(bench.line.sent) == 2


async def test_a_list_serves_its_caller_also_when_it_cannot_be_kept(bench: Bench):
    bench.line.answer = _owners()
    bench.store.failing.add("put_cached_list")
    assert len((await _read(bench)).items) == 2
    assert len((await _read(bench)).items) == 2
    assert len(bench.line.sent) == 2


async def test_a_stale_list_is_given_at_once_and_read_again_once_in_the_background(bench: Bench, clock: Clock):
    bench.line.answer = _owners("Ada")
    await _read(bench)
    bench.line.answer = _owners("Ada", "Linus")
    clock.forward(LIFETIME + 1)
    assert [await _names(bench) for _number in range(5)] == [["Ada"]] * 5
    await _settle(bench)
    assert len(bench.line.sent) == 2
    assert await _names(bench) == ["Ada", "Linus"]
    assert (await _read(bench)).read_at == bench.engine.runtime.now_ms()


async def test_a_stale_list_of_the_store_is_given_at_once_too(bench: Bench, clock: Clock):
    bench.line.answer = _owners("Ada")
    await _read(bench)
    bench.desk.forget()
    bench.line.answer = _owners("Linus")
    clock.forward(STALE)
    assert await _names(bench) == ["Ada"]
    await _settle(bench)
    assert await _names(bench) == ["Linus"]


async def test_what_another_process_has_read_meanwhile_is_taken_from_the_store(bench: Bench, clock: Clock):
    bench.line.answer = _owners("Ada")
    await _read(bench)
    clock.forward(LIFETIME + 1)
    opened, connections = await _open(bench), bench.engine.runtime.repo.connections
    stored = await connections.cached_list(bench.connection, "owners")
    sealed = bench.engine.runtime.connections.seal_list(opened.record, "owners", {"items": [{"id": 1, "name": "Linus"}], "complete": True})
    now = bench.engine.runtime.now_ms()
    await connections.put_cached_list(replace(stored, sealed=sealed, read_at=now, stale_at=now + 1_000), generation=1)
    assert await _names(bench) == ["Ada"]
    await _settle(bench)
    assert (await _names(bench), len(bench.line.sent)) == (["Linus"], 1)


async def test_a_list_that_is_too_old_is_read_before_it_is_given(bench: Bench, clock: Clock):
    bench.line.answer = _owners("Ada")
    await _read(bench)
    clock.forward(LIFETIME + STALE + 1)
    bench.line.answer = _owners("Linus")
    assert await _names(bench) == ["Linus"]
    clock.forward(LIFETIME + STALE + 1)
    bench.line.answer = _down
    with pytest.raises(PartnerUnavailable):
        await _read(bench)


async def test_without_stale_lists_each_is_read_when_its_time_is_over(anyio_backend, tmp_path, clock: Clock):
    async with open_bench(tmp_path, clock=clock, lists_stale=0) as bench:
        bench.line.answer = _owners("Ada")
        await _read(bench)
        bench.line.answer = _owners("Linus")
        clock.forward(LIFETIME + 1)
        assert await _names(bench) == ["Linus"]


@pytest.fixture
async def unbroken(anyio_backend, tmp_path, clock):
    """A bench without circuit breakers: they go by the machine's clock, which an hour of failures in no time does not move."""
    async with open_bench(tmp_path, clock=clock, partner_breaker_failures=0) as found:
        yield found


async def test_while_the_partner_is_down_the_old_list_stays_and_the_partner_is_asked_less_and_less(unbroken: Bench, clock: Clock):
    bench = unbroken
    bench.line.answer = _owners("Ada")
    await _read(bench)
    bench.line.answer = _down
    clock.forward(LIFETIME + 1)
    asked = []
    for _minute in range(60):
        before = len(bench.line.sent)
        assert await _names(bench) == ["Ada"]
        await _settle(bench)
        asked.append(len(bench.line.sent) - before)
        clock.forward(60)
    assert asked[:4] == [1, 1, 1, 0]
    assert sum(asked) <= 11
    bench.line.answer = _owners("Linus")
    clock.forward(601)
    await _names(bench)
    await _settle(bench)
    assert await _names(bench) == ["Linus"]


def test_the_pause_after_failures_has_a_bound():
    pauses = [_Failed(error=PartnerUnavailable(), at=0, times=times).again_at for times in (1, 2, 3, 100)]
    assert pauses == [FIRST_PAUSE_MS, 2 * FIRST_PAUSE_MS, 4 * FIRST_PAUSE_MS, LONGEST_PAUSE_MS]


async def test_a_fresh_list_is_asked_for_once_in_fifteen_seconds_also_when_that_fails(bench: Bench, clock: Clock):
    bench.line.answer = _owners("Ada")
    await _read(bench)
    clock.forward(14)
    await _read(bench, fresh=True)
    assert len(bench.line.sent) == 1
    clock.forward(2)
    bench.line.answer = _down
    for _number in range(3):
        with pytest.raises(PartnerUnavailable):
            await _read(bench, fresh=True)
    assert len(bench.line.sent) == 2
    clock.forward(16)
    bench.line.answer = _owners("Ada", "Linus")
    assert await _names(bench, fresh=True) == ["Ada", "Linus"]


async def test_a_form_is_told_for_five_seconds_why_a_list_cannot_be_read_and_a_run_asks_the_partner(bench: Bench, clock: Clock):
    bench.line.answer = _down
    found = await _open(bench)
    spec = found.caller.partner.lists["owners"]
    forms = bench.desk.lists(found, form=True)
    told = set()
    for _request in range(4):
        with pytest.raises(PartnerUnavailable) as caught:
            await forms.get(spec, {})
        told.add(caught.value.message)
    assert (len(bench.line.sent), len(told)) == (1, 1)
    bench.line.answer = _owners("Ada")
    clock.forward(4)
    with pytest.raises(PartnerUnavailable):
        await forms.get(spec, {})
    clock.forward(2)
    assert len((await forms.get(spec, {})).items) == 1
    bench.desk.forget()
    other = list_spec(name="teams")
    bench.line.answer = _down
    for _run in range(2):
        with pytest.raises(PartnerUnavailable):
            await bench.desk.lists(found).get(other, {})
    assert len(bench.line.sent) == 4
    bench.line.answer = lambda _request: json_reply(b"{}", 401)
    for _request in range(2):
        with pytest.raises(ConnectionInvalid):
            await bench.desk.lists(found, form=True).get(list_spec(name="crews"), {})
    assert len(bench.line.sent) == 6


async def test_a_list_that_the_connection_is_refused_for_in_the_background_has_the_connection_checked(bench: Bench, clock: Clock):
    bench.line.answer = _owners("Ada")
    await _read(bench)
    clock.forward(LIFETIME + 1)
    bench.line.answer = lambda _request: json_reply(b"{}", 401)
    assert await _names(bench) == ["Ada"]
    await _settle(bench)
    record = await bench.engine.runtime.connections.record(bench.account, bench.connection)
    assert (record.status, record.check_at) == ("active", bench.engine.runtime.now_ms())


async def test_a_refusal_is_told_also_when_the_check_cannot_be_noted(bench: Bench):
    bench.line.answer = lambda _request: json_reply(b"{}", 401)
    bench.store.failing.add("check_soon")
    with pytest.raises(ConnectionInvalid):
        await _read(bench)


async def test_a_list_that_is_read_anew_does_not_take_what_was_asked_before(bench: Bench):
    opened = await _open(bench)
    lists, spec = bench.desk.lists(opened), opened.caller.partner.lists["owners"]
    bench.line.answer = _owners("Ada")
    early = asyncio.create_task(lists.get(spec, {}))
    await asyncio.sleep(0)
    while not bench.desk._memory._reading:  # noqa: ASYNC110  what is waited for signals nothing
        await asyncio.sleep(0)
    again = await lists.reread(spec, {})
    assert (len(bench.line.sent), (await early).serial == again.serial) == (2, False)


async def test_a_suspected_list_is_read_again_unless_it_is_as_good_as_new(bench: Bench, clock: Clock):
    opened = await _open(bench)
    lists, spec = bench.desk.lists(opened), opened.caller.partner.lists["owners"]
    bench.line.answer = _owners("Ada")
    await lists.suspect(spec, {})
    await lists.get(spec, {})
    await lists.suspect(spec, {})
    await _settle(bench)
    assert len(bench.line.sent) == 1
    clock.forward(16)
    await lists.suspect(spec, {})
    await lists.suspect(spec, {})
    await _settle(bench)
    assert len(bench.line.sent) == 2


async def test_a_reading_that_everybody_gave_up_fails_quietly(bench: Bench):
    bench.line.answer = _down
    waiting = asyncio.create_task(_read(bench))
    await asyncio.sleep(0)
    while not bench.desk._memory._reading:  # noqa: ASYNC110  what is waited for signals nothing
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await _settle(bench)
    assert bench.desk._memory._reading == {}
    assert len(bench.line.sent) == 1


async def test_a_reading_that_is_given_up_is_forgotten(bench: Bench):
    bench.line.answer = _owners()
    waiting = asyncio.create_task(_read(bench))
    while not bench.desk._memory._reading:  # noqa: ASYNC110  what is waited for signals nothing
        await asyncio.sleep(0)
    bench.desk.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert bench.desk._memory._reading == {}


async def test_what_is_remembered_has_bounds(bench: Bench):
    memory = bench.desk._memory
    for number in range(lists_module.LISTS_MOST + 10):
        memory._keep((1, 1, str(number)), _Kept(found=ListItems(items=[], complete=True), read_at=0, stale_at=0))
    assert len(memory._kept) == lists_module.LISTS_MOST
    for number in range(lists_module.FAILURES_MOST):
        memory._failed[(1, 1, str(number))] = _Failed(error=PartnerError(), at=0, times=1)
    bench.line.answer = _down
    with pytest.raises(PartnerUnavailable):
        await _read(bench)
    assert len(memory._failed) == lists_module.FAILURES_MOST


async def test_lists_of_a_partner_without_connections_are_read_each_time(bench: Bench):
    bench.line.answer = _owners()
    opened = replace(await _open(bench), record=None)
    lists, spec = bench.desk.lists(opened), opened.caller.partner.lists["owners"]
    for _time in range(2):
        assert len((await lists.get(spec, {})).items) == 2
    assert len((await lists.reread(spec, {})).items) == 2
    await lists.suspect(spec, {})
    assert len(bench.line.sent) == 3


def _with_custom_fields():
    told = {"customFields": {"key": "key", "label": "name"}}
    return partner(
        action(
            id=CREATE,
            name="create",
            fields=[input_field("name")],
            customFields={"list": "fields"},
            call={"method": "POST", "path": "/things", "body": {"name": "{{name}}", "more": "{{custom}}"}},
        ),
        lists={"fields": list_spec("fields", **told)},
        connection={
            "auth": [
                {
                    "name": "key",
                    "label": "Key",
                    "fields": [input_field("key", secret=True, required=True)],
                    "scheme": {"kind": "bearer", "token": "{{connection.key}}"},
                }
            ],
            "verify": {"call": {"path": "/me"}},
        },
    )


class Fields:
    """A partner whose account has custom fields, and refuses those that it has not."""

    def __init__(self, *keys: str):
        self.keys, self.read = list(keys), 0

    def __call__(self, request):
        if request.url.endswith("/fields"):
            self.read += 1
            return listed(*({"key": key, "name": key} for key in self.keys))
        if request.url.endswith("/things") and any(f'"{key}"'.encode() in request.body for key in ("gone",) if key not in self.keys):
            return json_reply(b'{"error": "unknown field"}', 400)
        return json_reply(b'{"id": 1}')


async def test_a_field_that_is_new_at_the_partner_is_looked_for_once_before_it_is_refused(anyio_backend, tmp_path, clock: Clock):
    async with open_bench(tmp_path, _with_custom_fields(), clock=clock) as bench:
        fields = bench.line.answer = Fields("old")
        assert (await bench.engine.run_sync(bench.ask(runner_data={custom_name("old"): "x"}))).run.status == "succeeded"
        clock.forward(20)
        fields.keys.append("new")
        assert (await bench.engine.run_sync(bench.ask(runner_data={custom_name("new"): "x"}))).run.status == "succeeded"
        assert fields.read == 2
        for _number in range(5):
            with pytest.raises(ValidationFailed):
                await bench.engine.run_sync(bench.ask(runner_data={custom_name("never"): "x"}))
        assert fields.read == 2


async def test_a_field_that_is_gone_at_the_partner_is_refused_here_after_the_partner_refused_it(anyio_backend, tmp_path, clock: Clock):
    async with open_bench(tmp_path, _with_custom_fields(), clock=clock) as bench:
        fields = bench.line.answer = Fields("gone", "stays")
        ask = bench.ask(runner_data={custom_name("gone"): "x"})
        assert (await bench.engine.run_sync(ask)).run.status == "succeeded"
        clock.forward(20)
        fields.keys.remove("gone")
        refused = await bench.engine.run_sync(ask)
        assert (refused.run.status, refused.error.code) == ("failed", "partner_error")
        await _settle(bench)
        with pytest.raises(ValidationFailed) as told:
            await bench.engine.run_sync(ask)
        assert [fault.code for fault in told.value.details.fields] == ["unknown_field"]
        assert fields.read == 2


async def test_a_store_that_fails_while_a_list_is_suspected_leaves_the_runs_error_as_it_is(
    anyio_backend, tmp_path, clock: Clock, monkeypatch
):
    async with open_bench(tmp_path, _with_custom_fields(), clock=clock) as bench:
        fields = bench.line.answer = Fields("gone")
        ask = bench.ask(runner_data={custom_name("gone"): "x"})
        await bench.engine.run_sync(ask)
        fields.keys.remove("gone")

        async def fail(*_arguments):
            raise StoreUnavailable("told to fail")

        monkeypatch.setattr(lists_module.KeptLists, "suspect", fail)
        assert (await bench.engine.run_sync(ask)).error.code == "partner_error"
