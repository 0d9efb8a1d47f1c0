"""Imports while processes come, die and go: nothing is lost, nothing is done twice, what is too much is refused."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from e2e.served import Asked, Served, answer, import_finished, make_settings, running_server, upstream
from first_day import bring_first_day
from petshop import pets
from polyport.accounts import AccountBoxes
from polyport.engine import desk as desk_module
from polyport.engine.desk import Desk
from polyport.errors import Conflict, Forbidden, NotFound
from polyport.importers.jobs import UNDER_WAY_MOST, Given, NewImport, cancel_import, start_import
from polyport.importers.working import TRIES_MOST, ImportWorker
from polyport.manifest.passing import passing_id
from polyport.private_partners import PrivateSource
from polyport.rotation import rotate
from polyport.runtime import Runtime, open_runtime
from polyport.store.copies import copy_database, make_ready
from polyport.store.private_partners import ImportStatus, PartnerImport
from polyport.store.repo import Repo
from polyport.store.sqlite import SqliteDatabase
from polyport.vault import Keyring, Vault

pytestmark = pytest.mark.anyio
DOCUMENT = pets(servers=[{"url": "https://pets.example/v1"}])
ACCOUNT = 1


async def shown(served: Served, path: str, title: str) -> None:
    """Wait until a partner shows this title."""
    for _look in range(400):
        found = await served.fetch("GET", path)
        if found.status == 200 and found.json["data"]["title"] == title:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(found)


async def test_every_process_serves_what_one_of_them_imported_and_so_does_the_next_start(tmp_path: Path):
    async with running_server(tmp_path) as first, running_server(tmp_path) as second:
        found = await import_finished(first, "pets", document=DOCUMENT)
        path = f"/partners/{found['partnerId']}"
        await shown(second, path, "Pets")
        await import_finished(second, "pets", document=DOCUMENT | {"info": {"title": "More pets", "version": "2"}})
        await shown(first, path, "More pets")
        await shown(second, path, "More pets")
        connection = await first.connect(found["partnerId"], {"key": "k"})
    async with running_server(tmp_path) as again:
        assert (await again.fetch("GET", path)).json["data"]["title"] == "More pets"
        assert (await again.fetch("DELETE", f"/credentials/{connection}")).status == 200
        assert (await again.fetch("DELETE", path)).status == 200
        assert (await again.fetch("GET", path)).status == 404


@pytest.fixture
async def bench(anyio_backend: str, tmp_path: Path) -> AsyncIterator[Runtime]:
    """A process with an account, in which nobody works on imports yet."""
    settings = make_settings(tmp_path / "data")
    bring_first_day(settings.data)
    async with open_runtime(settings) as runtime:
        yield runtime


async def started(runtime: Runtime, slug: str = "pets", **given: Any) -> PartnerImport:
    told = Given(**({"content": json.dumps(DOCUMENT).encode()} | given))
    return await start_import(runtime, NewImport(account_id=ACCOUNT, slug=slug, asked_by="user/1", given=told))


async def standing(runtime: Runtime, made: PartnerImport) -> PartnerImport:
    found = await runtime.repo.imports.get(ACCOUNT, made.import_id)
    assert found is not None
    return found


async def test_an_import_whose_process_died_is_done_by_another(bench: Runtime):
    made = await started(bench)
    assert await bench.repo.imports.claim("a dead process", most=2, now=bench.now_ms()) is not None
    await ImportWorker(bench).work()

    found = await standing(bench, made)
    assert (found.status, found.tries, found.version) == (ImportStatus.DONE, 2, 1)
    assert await bench.repo.imports.input(made.import_id) is None


async def test_an_import_that_processes_die_of_ends(bench: Runtime):
    made, worker = await started(bench), ImportWorker(bench)
    for _death in range(TRIES_MOST):
        assert await bench.repo.imports.claim("a dead process", most=2, now=bench.now_ms()) is not None
        await worker.recover()

    found = await standing(bench, made)
    assert (found.status, found.finished_at is not None) == (ImportStatus.REFUSED, True)
    assert "died again and again" in str(found.outcome)


async def test_a_version_that_was_kept_by_a_process_that_died_then_is_not_made_again(bench: Runtime, monkeypatch: pytest.MonkeyPatch):
    made, worker = await started(bench), ImportWorker(bench)

    async def dies(*_given: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(worker, "_end", dies)
    with pytest.raises(asyncio.CancelledError):
        await worker.work()
    assert (await standing(bench, made)).status is ImportStatus.RUNNING
    await ImportWorker(bench).work()

    found = await standing(bench, made)
    assert (found.status, found.version, json.loads(str(found.outcome))) == (ImportStatus.DONE, 1, {"changes": {}, "whole": True})
    assert found.partner_id is not None
    assert len(await bench.repo.private_partners.versions(ACCOUNT, found.partner_id)) == 1


async def test_an_import_that_is_cancelled_is_given_up_while_it_waits_for_its_description(bench: Runtime):
    async def silent(_asked: Asked) -> bytes | None:
        await asyncio.sleep(60)
        return answer(200, b"")

    async with upstream(silent) as partner:
        made = await started(bench, content=None, url=f"{partner.origin}/openapi.yaml")
        working = asyncio.create_task(ImportWorker(bench).work())
        while (await standing(bench, made)).step != "fetch":
            await asyncio.wait({working}, timeout=0.05)
        assert (await cancel_import(bench, ACCOUNT, made.import_id)).status is ImportStatus.CANCELLED
        async with asyncio.timeout(60):
            await working
    assert (await standing(bench, made)).status is ImportStatus.CANCELLED


async def test_one_import_of_an_account_is_at_work_at_a_time_and_few_in_all(bench: Runtime):
    for slug in ("one", "two"):
        await started(bench, slug)
    imports, now = bench.repo.imports, bench.now_ms()

    first = await imports.claim("a", most=9, now=now)
    assert first is not None
    assert first.slug == "one"
    assert await imports.claim("b", most=9, now=now) is None
    for number in range(UNDER_WAY_MOST - 2):
        await started(bench, f"more-{number}")
    with pytest.raises(Conflict, match="20 imports under way"):
        await started(bench, "too-many")


async def test_a_description_that_needs_more_than_its_process_has_is_refused(tmp_path: Path):
    settings = make_settings(tmp_path / "data", imports_memory=256 * 1024 * 1024)
    bring_first_day(settings.data)
    large = json.dumps(DOCUMENT | {"x-more": [{"a": number} for number in range(1_000_000)]}).encode()
    async with open_runtime(settings) as runtime:
        made = await started(runtime, content=large)
        await ImportWorker(runtime).work()
        found = await standing(runtime, made)

    assert found.status is ImportStatus.REFUSED
    assert "256 MiB of memory" in str(found.outcome)


async def test_fifty_megabytes_are_refused_without_being_held(bench: Runtime):
    async def endless(asked: Asked) -> bytes | None:
        asked.writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 52428800\r\n\r\n")
        for _piece in range(800):
            asked.writer.write(b" " * 65_536)
            await asked.writer.drain()
        return None

    async with upstream(endless) as partner:
        made = await started(bench, content=None, url=f"{partner.origin}/large.json")
        await ImportWorker(bench).work()
    found = await standing(bench, made)
    assert found.status is ImportStatus.REFUSED
    assert "large.json cannot be fetched" in str(found.outcome)


async def test_an_operator_can_turn_imports_off(tmp_path: Path):
    settings = make_settings(tmp_path / "data", imports_partners=0)
    bring_first_day(settings.data)
    async with open_runtime(settings) as runtime:
        with pytest.raises(Forbidden, match="takes no imports"):
            await started(runtime)


async def test_an_account_has_so_many_partners_and_a_removed_one_makes_room(tmp_path: Path):
    settings = make_settings(tmp_path / "data", imports_partners=1)
    bring_first_day(settings.data)
    async with open_runtime(settings) as runtime:
        worker, partners = ImportWorker(runtime), runtime.repo.private_partners
        first = await started(runtime, "first")
        await worker.work()
        second = await started(runtime, "second")
        await worker.work()
        assert "1 partners of its own" in str((await standing(runtime, second)).outcome)
        held = await partners.by_slug(ACCOUNT, "first")
        assert held is not None
        await partners.remove(held, runtime.now_ms())
        third = await started(runtime, "third")
        await worker.work()

        assert (await standing(runtime, first)).status is ImportStatus.DONE
        assert (await standing(runtime, third)).status is ImportStatus.DONE


async def test_what_an_import_keeps_is_sealed_and_waits_for_a_key_that_is_missing(bench: Runtime):
    secret = DOCUMENT | {"info": {"title": "Pets", "version": "1", "description": "a canary of the description"}}
    await started(bench, content=json.dumps(secret).encode())
    canary = b"a canary of the description"
    files = [path for path in bench.settings.data.rglob("polyport.db*") if path.is_file()]
    assert not any(canary in path.read_bytes() for path in files)
    await ImportWorker(bench).work()
    assert not any(canary in path.read_bytes() for path in files)

    other = AccountBoxes(bench.repo.accounts, Vault(Keyring.parse("A" * 43 + "=")))
    source = PrivateSource(bench.repo.private_partners, other)
    before = await source.revision()
    assert await source.offers() == ([], ())
    whole = PrivateSource(bench.repo.private_partners, bench.boxes)
    assert await whole.revision() != before
    (offer,) = (await whole.offers())[0]
    assert (await whole.folder(offer)).joinpath("partner.yaml").is_file()


async def two_versions(runtime: Runtime) -> tuple[int, dict[str, int]]:
    """A partner whose second version has one operation less; its id, and the ids of its operations."""
    less = copy.deepcopy(DOCUMENT)
    del less["paths"]["/pets/{pet_id}"]
    for document in (DOCUMENT, less):
        made = await started(runtime, content=json.dumps(document).encode(), accept_breaking=True)
        await ImportWorker(runtime).work()
    found = await standing(runtime, made)
    assert (found.version, found.partner_id is not None) == (2, True)
    partner_id = found.partner_id or 0
    older = await runtime.private.version(ACCOUNT, partner_id, 1)
    return partner_id, {operation.name: operation.id for operation in older.operations}


async def test_operations_of_older_versions_are_there_for_runs_that_need_them_and_for_nobody_else(
    bench: Runtime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(desk_module, "OLDER_MOST", 1)
    partner_id, operations = await two_versions(bench)
    desk, gone, kept = Desk(bench), operations["delete_pet"], operations["create_pet"]

    older = await desk.program(ACCOUNT, gone, (partner_id, 1))
    assert (older.operation.name, older.partner.file.version) == ("delete_pet", 1)
    assert await desk.program(ACCOUNT, gone, (partner_id, 1)) is older
    passing = await desk.program(ACCOUNT, passing_id(partner_id, "GET"), (partner_id, 1))
    assert passing.partner.file.version == 1
    assert await desk.program(ACCOUNT, gone, (partner_id, 1)) is not older  # room for one alone
    assert (await desk.program(ACCOUNT, kept, (partner_id, 2))).partner.file.version == 2
    with pytest.raises(NotFound, match=r'"delete_pet" was in version 1 of "pets" and is not in version 2'):
        await desk.program(ACCOUNT, gone)
    for number, pinned in ((gone, (partner_id, 2)), (2**50 + 3, (partner_id, 1)), (gone, (partner_id, 9))):
        with pytest.raises(NotFound):
            await desk.program(ACCOUNT, number, pinned)
    with pytest.raises(NotFound, match="There is no partner with this id"):
        await desk.program(ACCOUNT + 1, gone, (partner_id, 1))


async def test_what_was_imported_opens_after_the_master_key_was_changed(bench: Runtime):
    partner_id, _operations = await two_versions(bench)
    await rotate(bench.keys, lambda _text: None)
    source = PrivateSource(bench.repo.private_partners, AccountBoxes(bench.repo.accounts, bench.vault))
    await source.revision()
    (offer,) = (await source.offers())[0]

    assert (await source.folder(offer)).joinpath("partner.yaml").is_file()
    assert (await source.version(ACCOUNT, partner_id, 1)).file.version == 1


async def test_an_account_that_is_limited_hears_why_it_does_not_see_what_it_imported(tmp_path: Path):
    async with running_server(tmp_path) as served:
        assert (await served.fetch("PUT", "/account/partners", {"partnerIds": [225]})).status == 200
        found = await import_finished(served, "pets", document=DOCUMENT)
        assert (found["status"], found["published"]) == ("done", True)
        assert "limited to some partners" in found["reason"]
        assert (await served.fetch("GET", f"/partners/{found['partnerId']}")).status == 404
        listed = await served.fetch("PUT", "/account/partners", {"partnerIds": [225, found["partnerId"]]})
        assert listed.status == 200
        again = await served.fetch("GET", f"/partners/imports/{found['importId']}")
        assert again.json["data"]["reason"] is None


async def test_nothing_in_a_copy_goes_on_by_itself(bench: Runtime, tmp_path: Path):
    made = await started(bench)
    (tmp_path / "copy.db").touch()
    copy_database(bench.settings.data / "polyport.db", tmp_path / "copy.db", bench.now_ms())
    make_ready(tmp_path / "copy.db")
    database = await SqliteDatabase.open(tmp_path / "copy.db")
    try:
        found = await Repo(database).imports.get(ACCOUNT, made.import_id)
    finally:
        await database.close()

    assert found is not None
    assert found.status is ImportStatus.CANCELLED
    assert (await standing(bench, made)).status is ImportStatus.QUEUED
