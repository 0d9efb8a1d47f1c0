"""What is kept warm between calls, making and mending connections, re-reading what belongs to them."""

import asyncio
from dataclasses import replace

import msgspec
import pytest

from engines import CREATE, SEND, Bench, listed, open_bench, sample_partner
from polyport.catalog import Catalog
from polyport.engine import desk as desk_module
from polyport.engine.connect import (
    checked_fields,
    choose_auth,
    confirm_refusal,
    replace_fields,
)
from polyport.engine.connect import test_connection as prove_connection
from polyport.engine.desk import Desk
from polyport.engine.files import files_in_place, keep_files
from polyport.engine.operation import Outcome
from polyport.engine.record import Ask
from polyport.errors import BlockedAddress, Conflict, ConnectionInvalid, NotFound, ValidationFailed
from polyport.kinds.fields import FileValue
from polyport.manifest.passing import passing_id
from polyport.net.message import NetworkFault
from polyport.store.base import StoreFault
from polyport.store.records import File
from samples import action, json_reply, partner
from shelf import Shelf, folder

pytestmark = pytest.mark.anyio


@pytest.fixture
async def bench(anyio_backend, tmp_path):
    async with open_bench(tmp_path) as found:
        yield found


def _owners(_request):
    return listed({"id": 1, "name": "Ada"}, {"id": 2, "name": "Grace"})


async def _open(bench: Bench):
    partner = await bench.engine.runtime.catalog.seen_by(bench.account).partner(9)
    return await bench.desk.bench(bench.account, partner, bench.connection)


async def test_requests_are_passed_on_only_to_partners_with_an_address(anyio_backend, tmp_path):
    served = sample_partner()
    async with open_bench(tmp_path, served) as found:
        assert (await found.desk.program(found.account, passing_id(9, "GET"))).partner is served
        bare = served.model_copy(update={"file": served.file.model_copy(update={"base": None})})
        runtime = replace(found.engine.runtime, catalog=Catalog([bare], [], "http://127.0.0.1"))
        with pytest.raises(NotFound, match="no address of its own"):
            await Desk(runtime).program(found.account, passing_id(9, "POST"))


async def test_a_program_goes_when_its_partner_has_another_version(bench: Bench):
    shelf, catalog = Shelf(), Catalog((), (), "http://127.0.0.1")
    catalog.add_source(shelf)
    shelf.held["3"] = (None, folder(3, operation="Before"))
    await catalog.refresh()
    desk = Desk(replace(bench.engine.runtime, catalog=catalog))
    program = await desk.program(bench.account, 3001)
    assert desk.held_program(3001) is await desk.program(bench.account, 3001) is program
    shelf.held["3"] = (None, folder(3, operation="After"))
    await catalog.refresh()
    assert desk.held_program(3001) is None
    assert (await desk.program(bench.account, 3001)).operation.title == "After"
    assert program.operation.title == "Before"


async def test_what_is_kept_has_bounds(bench: Bench):
    opened = await _open(bench)
    assert len(bench.desk._benches) == 1
    for number in range(desk_module.CALLERS_MOST + 5):
        bench.desk._benches[(bench.account, -number)] = opened
    bench.desk._benches.pop((bench.account, bench.connection), None)
    await _open(bench)
    assert len(bench.desk._benches) <= desk_module.CALLERS_MOST
    for number in range(100_001):
        bench.desk._touched[number] = 0.0
    assert bench.desk.due_touch(opened.record)
    assert bench.desk._touched.keys() == {opened.record.connection_id}
    assert not bench.desk.due_touch(opened.record)


async def test_tags_of_schemas_are_kept_up_to_a_bound(bench: Bench):
    tags = bench.desk.tags
    assert (tags.get(None), tags.keep(None, "a"), tags.get(("x",))) == (None, "a", None)
    for number in range(desk_module.TAGS_MOST + 5):
        tags.keep((number,), str(number))
    assert (tags.get((0,)), tags.get((desk_module.TAGS_MOST,))) == (None, str(desk_module.TAGS_MOST))


async def test_an_account_that_is_gone_has_no_box(bench: Bench):
    with pytest.raises(StoreFault, match="gone"):
        await bench.desk.box(bench.account + 77)


async def test_a_connection_that_was_changed_meanwhile_is_not_overwritten(bench: Bench):
    record = await bench.engine.runtime.connections.record(bench.account, bench.connection)
    changed = await replace_fields(bench.desk, record, {"key": "second-key-22"}, None)
    assert changed.generation == record.generation + 1
    with pytest.raises(Conflict):
        await replace_fields(bench.desk, record, {"key": "third-key-333"}, "key")


async def test_a_connection_whose_secrets_cannot_be_opened_is_mended_by_new_ones(bench: Bench):
    record = await bench.engine.runtime.connections.record(bench.account, bench.connection)
    lost = replace(record, sealed=b"no box of ours")
    with pytest.raises(ValidationFailed):
        await replace_fields(bench.desk, lost, {}, None)
    assert (await replace_fields(bench.desk, lost, {"key": "second-key-22"}, None)).generation == 2


async def test_a_test_that_does_not_reach_the_partner_leaves_the_status_alone(bench: Bench):
    def down(_request):
        return json_reply(b"{}", 503)

    bench.line.answer = down
    record, error = await prove_connection(bench.desk, bench.account, bench.connection)
    assert (record.status, error.code, record.last_error) == ("active", "partner_unavailable", error.message)


async def test_a_refusal_counts_as_it_is_where_nothing_can_be_verified(bench: Bench):
    opened = await _open(bench)
    unproved = opened.caller.partner.model_copy(
        update={
            "file": opened.caller.partner.file.model_copy(
                update={"connection": opened.caller.partner.file.connection.model_copy(update={"verify": None})}
            )
        }
    )
    error = ConnectionInvalid()
    assert (
        await confirm_refusal(bench.desk, replace(opened, caller=msgspec.structs.replace(opened.caller, partner=unproved)), error) is error
    )
    assert await confirm_refusal(bench.desk, replace(opened, record=None), error) is error
    assert bench.line.sent == []


async def test_a_kept_file_that_cannot_be_opened_is_named(bench: Bench):
    file = File(file_id="file_1", account_id=bench.account, name="a", content_type="text/plain", size=1, created_at=1, sealed=b"no box")
    await bench.engine.runtime.repo.files.insert(file)
    with pytest.raises(ValidationFailed) as told:
        await bench.engine.start(bench.ask(SEND, runner_data={"photo": {"fileId": "file_1"}}))
    assert [(fault.path, fault.code) for fault in told.value.details.fields] == [("runnerData.photo.fileId", "unreadable_file")]


async def test_a_label_is_looked_up_in_a_fresh_copy_before_it_is_refused(bench: Bench):
    bench.line.answer = _owners
    opened = await _open(bench)
    await bench.desk.lists(opened).get(opened.caller.partner.lists["owners"], {})
    with pytest.raises(ValidationFailed):
        await bench.engine.prepare(bench.ask(CREATE, runner_data={"name": "Lamp", "owner": "Nobody"}))


async def test_every_file_that_cannot_be_fetched_is_named(bench: Bench):
    def answer(request):
        if request.url.endswith("/blocked"):
            raise BlockedAddress
        if request.url.endswith("/down"):
            raise NetworkFault("No connection.", reached=False)
        return json_reply(b"", 404)

    bench.line.answer = answer
    holder: dict[str, FileValue] = {}
    slots = [
        (holder, name, FileValue(url=f"https://files.example.com/{name}"), ("runnerData", name)) for name in ("blocked", "down", "gone")
    ]
    with pytest.raises(ValidationFailed) as told:
        async with files_in_place(bench.desk, bench.account, slots, streamed=()):
            pytest.fail("the block is not entered")
    assert [(fault.path, fault.code) for fault in told.value.details.fields] == [
        ("runnerData.blocked.url", "blocked_address"),
        ("runnerData.down.url", "unreachable_file"),
        ("runnerData.gone.url", "unreachable_file"),
    ]
    assert holder == {}


async def test_a_file_that_a_result_tells_twice_is_kept_once_and_as_soon_as_the_store_can(bench: Bench):
    file = FileValue(content=b"scan", name="a.txt", content_type="text/plain")
    outcome = Outcome(result={"id": 5, "first": file, "all": [file]}, raw={"first": file})
    bench.store.failing.add("insert_file")
    keeping = asyncio.create_task(keep_files(bench.desk, bench.account, outcome))
    await asyncio.sleep(0.2)
    assert not keeping.done()
    bench.store.failing.clear()
    await keeping
    told = outcome.result["first"]
    assert outcome.result == {"id": 5, "first": told, "all": [told]}
    assert outcome.raw == {"first": told}
    kept = await bench.engine.runtime.repo.files.get(bench.account, told["fileId"])
    assert (kept.name, kept.content_type, kept.size) == ("a.txt", "text/plain", 4)


async def test_connection_data_has_to_be_an_object(bench: Bench):
    with pytest.raises(ValidationFailed) as told:
        await bench.engine.start(bench.ask(credential_data=[1]))
    assert told.value.details.fields[0].path == "credentialData"


def test_a_partner_that_is_authorised_by_a_link_alone_takes_no_fields():
    told = {"kind": "oauth2", "authorizeUrl": "https://a.example.com/o", "tokenUrl": "https://a.example.com/t"}
    linked = partner(action(), connection={"auth": [{"name": "oauth2", "label": "Link", "scheme": told}]})
    with pytest.raises(ValidationFailed) as refused:
        choose_auth(linked, None, {})
    assert refused.value.details.fields[0].path == "auth"


@pytest.mark.parametrize(
    ("around", "given", "kept"),
    [
        ({"prefix": "https://"}, "https://acme.example", "acme.example"),
        ({"prefix": "https://"}, " acme.example", "acme.example"),
        ({"suffix": ".example.com"}, "acme.example.com/", "acme"),
        ({"prefix": "https://", "suffix": ".example.com"}, "https://acme.example.com/", "acme"),
        ({}, "https://acme.example.com/", "https://acme.example.com/"),
    ],
)
def test_who_gives_the_whole_of_an_address_has_given_what_stands_between(around, given, kept):
    site = {"name": "site", "type": "string", "label": "Site", "required": True, **around}
    held = partner(action(), connection={"auth": [{"name": "key", "label": "Key", "fields": [site], "scheme": {"kind": "none"}}]})
    assert checked_fields(held, held.file.connection.auth[0], {"site": given}) == {"site": kept}


def test_what_is_asked_shows_nothing_of_its_content():
    told = Ask(account_id=1, operation_id=CREATE, mode="sync", credential_data={"key": "canary-1"}, runner_data={"name": "canary-2"})
    assert repr(told) == f"<Ask sync {CREATE}>"
