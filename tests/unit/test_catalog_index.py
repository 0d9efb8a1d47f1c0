"""The index of the catalogue: what is read when, what becomes of it when it is damaged, and how processes share it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import apsw
import pytest

from polyport.catalog import Catalog, Wanted, loaded, open_catalog, reading
from polyport.errors import NotFound
from polyport.stamps import stamp_of
from polyport.store.catalogue import OfferRow, OperationRow, PartnerRow, Stored
from polyport.store.sqlite_catalogue import SqliteCatalogue

pytestmark = pytest.mark.anyio
ORIGIN = "http://127.0.0.1"

PARTNER = """\
id: {id}
slug: {slug}
title: {title}
owners: [Somebody]
base: https://api.example.com
verified: {{how: cases, on: "2026-11-01"}}
"""
ACTION = """\
id: {id}
name: {name}
title: {title}
idempotent: true
fields:
  - {{name: amount, type: decimal, label: Amount, default: 1.10}}
  - {{name: owner, type: integer, label: Owner, list: owners}}
call: {{method: PUT, path: /things, body: {{amount: "{{{{amount}}}}"}}}}
"""
LIST = "name: {name}\ntitle: Owners\ncall: {{path: /owners}}\n"


def write(root: Path, number: int, *names: str, slug: str = "", title: str = "Depot") -> Path:
    """A partner's folder with an action of each name."""
    folder = root / (slug or f"depot-{number}")
    for kind in ("actions", "lists"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    (folder / "partner.yaml").write_text(PARTNER.format(id=number, slug=folder.name, title=title))
    for place, name in enumerate(names or ("create",)):
        told = ACTION.format(id=number * 1000 + place, name=name, title=f"{name.title()} a thing")
        (folder / "actions" / f"{name}.yaml").write_text(told)
    for name in ("owners", "unused"):
        (folder / "lists" / f"{name}.yaml").write_text(LIST.format(name=name))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "partners"
    folder.mkdir()
    return folder


@pytest.fixture
def opened(tmp_path: Path, root: Path) -> Iterator[Opener]:
    opener = Opener(tmp_path / "data", root)
    yield opener
    for catalog in opener.made:
        catalog.close()


class Opener:
    """Opens the catalogue of a data folder, as a process does at its start, without the bundled partners; notes which folders were parsed meanwhile."""

    def __init__(self, data: Path, root: Path) -> None:
        self.data = data
        self.root = root
        self.made: list[Catalog] = []
        self.parsed: list[str] = []

    def __call__(self, *, late: bool = False) -> Catalog:
        self.parsed.clear()
        self.made.append(open_catalog(self.data, [str(self.root)], ORIGIN, late=late))
        return self.made[-1]

    @property
    def file(self) -> Path:
        (found,) = (self.data / "catalog").glob("*.db")
        return found


@pytest.fixture(autouse=True)
def _watched(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    real = reading.load_partner

    def noted(folder):
        opened.parsed.append(folder.name)
        return real(folder)

    monkeypatch.setattr(reading, "load_partner", noted)
    monkeypatch.setattr("polyport.catalog.sources.files", lambda _package: opened.root.parent / "none")
    (opened.root.parent / "none" / "connectors").mkdir(parents=True)


async def titles(catalog: Catalog) -> list[str]:
    return [item["title"] for item in (await catalog.seen_by(None).list_partners(Wanted())).items]


async def test_a_start_with_an_index_parses_what_changed_and_nothing_else(opened: Opener):
    for number in (3, 4, 5):
        write(opened.root, number)
    opened()
    assert opened.parsed == ["depot-3", "depot-4", "depot-5"]
    opened()
    assert opened.parsed == []
    write(opened.root, 4, "create", "remove")
    shutil.rmtree(opened.root / "depot-5")
    write(opened.root, 6)
    again = opened()
    assert opened.parsed == ["depot-4", "depot-6"]
    assert (again.count, again.problems) == (3, [])
    assert (await again.seen_by(None).operation(4001))[1].name == "remove"
    with pytest.raises(NotFound):
        await again.seen_by(None).partner(5)


async def test_a_program_that_was_installed_elsewhere_finds_what_it_knew(opened: Opener, monkeypatch: pytest.MonkeyPatch):
    bundled = opened.root.parent / "none" / "connectors"
    write(bundled, 3)
    opened()
    assert opened.parsed == ["depot-3"]
    moved = opened.root.parent / "other"
    shutil.copytree(bundled, moved / "connectors")
    shutil.rmtree(bundled)
    monkeypatch.setattr("polyport.catalog.sources.files", lambda _package: moved)
    again = opened()
    assert (opened.parsed, again.problems, await titles(again)) == ([], [], ["Depot"])


async def test_of_many_folders_a_start_looks_at_the_names_and_at_the_files_once_it_serves(opened: Opener, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("polyport.catalog.sources.MANY", 3)
    looked: list[str] = []
    monkeypatch.setattr("polyport.catalog.sources.stamp_of", lambda folder: looked.append(folder) or stamp_of(folder))
    for number in (3, 4, 5):
        write(opened.root, number)
    opened(late=True)
    looked.clear()
    again = opened(late=True)
    assert (opened.parsed, looked, again.count) == ([], [], 3)
    write(opened.root, 4, "create", "remove", title="After")
    serving = opened(late=True)
    assert (opened.parsed, looked, await titles(serving)) == ([], [], ["Depot", "Depot", "Depot"])
    assert await serving.look_again()
    assert (opened.parsed, await titles(serving)) == (["depot-4"], ["Depot", "After", "Depot"])
    opened.parsed.clear()
    assert not await serving.look_again()
    assert (opened.parsed, opened(late=True).changed) == ([], False)


@pytest.mark.parametrize("change", ["one more", "one less", "another name", "a start that was cut off"])
async def test_of_many_folders_those_that_came_and_went_count_from_the_start_on(
    opened: Opener, monkeypatch: pytest.MonkeyPatch, change: str
):
    monkeypatch.setattr("polyport.catalog.sources.MANY", 3)
    for number in (3, 4, 5, 6):
        write(opened.root, number)
    first = opened(late=True)
    match change:
        case "one more":
            write(opened.root, 7)
        case "one less":
            shutil.rmtree(opened.root / "depot-3")
        case "another name":
            (opened.root / "depot-3").rename(opened.root / "depot-9")
        case _:
            rows = [row for row in first._index.offers() if row.key == "depot-6"]
            first._index.change(rows, (), None)
    write(opened.root, 4, title="After")
    found = opened(late=True)
    assert (await titles(found)).count("After") == 1
    assert sorted(row.key for row in found._index.offers()) == sorted(path.name for path in opened.root.iterdir())
    assert not await found.look_again()


async def test_files_that_were_written_anew_with_the_same_content_are_not_parsed(opened: Opener):
    folder = write(opened.root, 3)
    opened()
    (folder / "partner.yaml").write_bytes((folder / "partner.yaml").read_bytes())
    write(opened.root, 3)
    opened()
    assert opened.parsed == []


async def test_a_folder_with_a_fault_is_named_at_every_start_until_it_is_mended(opened: Opener):
    folder = write(opened.root, 3)
    (folder / "actions" / "broken.yaml").write_text("id: x\n")
    write(opened.root, 4)
    for _start in range(2):
        catalog = opened()
        assert catalog.count == 1
        assert 'depot-3/actions/broken.yaml:1:1: "id" has to be a whole number.' in map(str, catalog.problems)
    assert opened.parsed == []
    (folder / "actions" / "broken.yaml").unlink()
    assert (opened().count, opened.made[-1].problems) == (2, [])


async def test_of_two_folders_with_the_same_id_the_first_is_there_and_the_other_once_the_first_is_gone(opened: Opener):
    write(opened.root, 3, slug="one")
    write(opened.root, 3, slug="two", title="Second")
    catalog = opened()
    assert await titles(catalog) == ["Depot"]
    assert [str(each) for each in catalog.problems] == [
        'two/partner.yaml:1:1: The partner "one" has the same id; choose another one. This partner is left out.',
        'two/actions/create.yaml:1:1: The partner "one" has the same id for an operation; choose another one. This partner is left out.',
    ]
    write(opened.root, 3, slug="a-third", title="Third")
    assert await titles(opened()) == ["Third"], "the first by name, though it came last"
    shutil.rmtree(opened.root / "a-third")
    shutil.rmtree(opened.root / "one")
    last = opened()
    assert (await titles(last), last.problems) == (["Second"], [])


async def test_an_operation_is_loaded_without_the_others_of_its_partner(opened: Opener, monkeypatch: pytest.MonkeyPatch):
    write(opened.root, 3, *(f"create_{number}" for number in range(30)))
    catalog = opened()
    made: list[str] = []
    real = loaded.part_of
    monkeypatch.setattr(loaded, "part_of", lambda name, data: made.append(name) or real(name, data))
    partner, operation = await catalog.seen_by(None).operation(3007)
    assert made == ["partner.yaml", f"actions/{operation.name}.yaml"]
    assert partner.lists["owners"].call.path == "/owners"
    assert made[2:] == ["lists/owners.yaml"]
    assert (operation.fields[0].default, type(operation.fields[0].default)) == (Decimal("1.10"), Decimal)
    assert await catalog.seen_by(None).operation(3007) == (partner, operation)
    assert len(made) == 3
    assert sorted(partner.lists) == ["owners", "unused"]
    with pytest.raises(KeyError):
        partner.lists["none"]


async def test_what_is_loaded_has_bounds_and_who_made_something_of_it_is_told(opened: Opener, monkeypatch: pytest.MonkeyPatch):
    for number in (3, 4, 5):
        write(opened.root, number, "create", "remove")
    catalog = opened()
    dropped: list[int] = []
    catalog.on_drop(dropped.append)
    monkeypatch.setattr(loaded, "HEADS_MOST", 2)
    view = catalog.seen_by(None)
    for number in (3, 4, 5):
        await view.operation(number * 1000)
    assert 3000 in dropped
    assert 4000 not in dropped
    assert catalog.kept_head(3) is None
    catalog._kept._most = 400
    dropped.clear()
    await view.operation(5000)
    await view.operation(5001)
    assert 4000 in dropped
    await view.operation(3000)
    assert (await view.operation(3000))[1].id == 3000


async def test_a_folder_that_is_edited_while_a_process_runs_is_taken_up_by_the_next_one_and_then_by_all(opened: Opener):
    folder = write(opened.root, 3, title="Before")
    first = opened()
    kept = await first.seen_by(None).operation(3000)
    write(opened.root, 3, "create", "remove", title="After")
    write(opened.root, 4)
    await first.refresh()
    assert await titles(first) == ["Before"]
    assert await first.seen_by(None).operation(3000) == kept
    second = opened()
    assert await titles(second) == ["After", "Depot"]
    await first.refresh()
    assert await titles(first) == ["After", "Depot"]
    partner, _operation = await first.seen_by(None).operation(3001)
    assert partner.file.title == "After"
    assert folder.exists()


async def test_files_that_are_gone_after_they_were_indexed_do_not_matter_to_who_serves_them(opened: Opener):
    folder = write(opened.root, 3)
    catalog = opened()
    shutil.rmtree(folder)
    assert (await catalog.seen_by(None).operation(3000))[1].name == "create"


@pytest.mark.parametrize("damage", [b"", b"no database", b"SQLite format 3\0" + bytes(4080)])
async def test_a_damaged_index_is_built_again_at_the_start(opened: Opener, damage: bytes):
    write(opened.root, 3)
    opened().close()
    for ending in ("-wal", "-shm"):
        opened.file.with_name(opened.file.name + ending).unlink(missing_ok=True)
    opened.file.write_bytes(damage)
    assert await titles(opened()) == ["Depot"]
    assert opened.parsed == ["depot-3"]
    opened()
    assert opened.parsed == []


async def test_an_index_that_is_damaged_while_it_is_used_is_built_again_once_by_those_who_find_out(opened: Opener):
    write(opened.root, 3)
    first, second = opened(), opened()
    for name in ("", "-wal", "-shm"):
        with opened.file.with_name(opened.file.name + name).open("r+b") as file:
            size = file.seek(0, 2)
            file.seek(0)
            file.write(b"\xff" * size)
    found = await asyncio.gather(*(view.operation(3000) for _reader in range(4) for view in (first.seen_by(None), second.seen_by(None))))
    assert {operation.name for _partner, operation in found} == {"create"}
    assert await titles(first) == await titles(second) == ["Depot"]


def test_an_index_that_is_made_anew_closes_no_connection_that_another_thread_may_be_using(tmp_path):
    index = SqliteCatalogue(tmp_path / "index.db")
    with ThreadPoolExecutor(1) as other:
        assert other.submit(index.generation).result() == 0
        _era, held = other.submit(lambda: index._local.held).result()
        index.renew()
        assert held.execute("SELECT 1").fetchall() == [(1,)]
        assert other.submit(index.generation).result() == 0
        with pytest.raises(apsw.ConnectionClosedError, match="closed"):
            held.execute("SELECT 1")
        assert index.generation() == 0
    index.close()
    assert index._closing == {}


async def test_where_no_index_can_be_kept_there_is_one_of_the_process_alone(opened: Opener):
    write(opened.root, 3)
    opened.data.mkdir()
    (opened.data / "catalog").write_text("a file where a folder is needed")
    for _start in range(2):
        catalog = opened()
        assert opened.parsed == ["depot-3"]
        assert (await catalog.seen_by(None).operation(3000))[1].name == "create"


STARTING = """
import sys
from polyport.catalog import open_catalog, reading
from pathlib import Path
real = reading.load_partner
def noted(folder):
    print("parsed", folder.name, flush=True)
    return real(folder)
reading.load_partner = noted
catalog = open_catalog(Path(sys.argv[1]), [sys.argv[2]], "http://127.0.0.1")
print("count", catalog.count, flush=True)
"""


async def test_two_processes_that_start_at_once_build_the_index_once(opened: Opener):
    for number in range(3, 23):
        write(opened.root, number)
    given = [sys.executable, "-c", STARTING, str(opened.data), str(opened.root)]
    running = [subprocess.Popen(given, stdout=subprocess.PIPE, text=True) for _process in range(2)]  # noqa: ASYNC220, S603  both have to run at once
    told = [process.communicate(timeout=300)[0].splitlines() for process in running]
    counts = {line for lines in told for line in lines if line.startswith("count")}
    parsed = [line for lines in told for line in lines if line.startswith("parsed depot")]
    assert len(counts) == 1
    assert (len(parsed), len(set(parsed))) == (20, 20)


async def test_many_folders_are_read_by_several_processes_and_the_index_is_the_same(opened: Opener, monkeypatch: pytest.MonkeyPatch):
    for number in range(3, 12):
        write(opened.root, number, "create", "remove")
    (opened.root / "depot-5" / "actions" / "broken.yaml").write_text("id: x\n")
    shutil.copytree(opened.root / "depot-6", opened.root / "depot-twin")
    alone = opened()
    monkeypatch.setattr(reading, "WORTH_IT", 4)
    monkeypatch.setattr(reading, "_cores", lambda: 2)
    opened.parsed.clear()
    together = open_catalog(opened.data.parent / "other", [str(opened.root)], ORIGIN)
    opened.made.append(together)
    assert opened.parsed == []  # not in this process
    assert (together.problems, together._index.offers()) == (alone.problems, alone._index.offers())
    assert {str(problem).split("/")[0] for problem in alone.problems} == {"depot-5", "depot-6"}  # the twin is called by its slug
    for partner_id in (3, 7, 11):
        assert together._index.head(partner_id) == alone._index.head(partner_id)
        assert together._index.operation(partner_id * 1000)[1] == alone._index.operation(partner_id * 1000)[1]
    again = open_catalog(opened.data.parent / "other", [str(opened.root)], ORIGIN, anew=True)
    opened.made.append(again)
    assert again._index.offers() == alone._index.offers()


async def test_what_processes_that_were_killed_did_not_read_is_read_by_the_one_that_began_them(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
):
    for number in range(3, 13):
        write(opened.root, number)
    monkeypatch.setattr(reading, "WORTH_IT", 4)
    monkeypatch.setattr(reading, "_cores", lambda: 2)
    monkeypatch.setattr(reading, "_begin", _die)
    assert opened().count == 10
    assert len(opened.parsed) == 10


def _die() -> None:
    os._exit(1)


async def test_indexes_of_earlier_versions_go_when_nobody_used_them_for_long(opened: Opener):
    opened()
    old, fresh = (opened.data / "catalog" / f"{name}.db" for name in ("old", "fresh"))
    for path in (old, fresh):
        path.write_bytes(b"")
    import os  # noqa: PLC0415  this test alone

    os.utime(old, (1, 1))
    opened()
    assert (old.exists(), fresh.exists()) == (False, True)


async def test_an_index_of_another_format_is_made_anew(tmp_path: Path):
    path = tmp_path / "index.db"
    index, reason = SqliteCatalogue.opened(path)
    assert reason is None
    index._own().execute("PRAGMA user_version=99")
    index.close()
    index, reason = SqliteCatalogue.opened(path)
    assert (reason, index.count(), index.offers()) == (None, 0, [])
    index.close()


def private(number: int, owner: int | None, word: str) -> tuple[OfferRow, Stored]:
    """A partner with one operation, whose words and documents say this word."""
    words = f"{word}\n{word}\n{word}\n{word}\npartner{number}" + ("" if owner is None else f" private owner{owner}")
    partner = PartnerRow(number, owner, word, word, False, False, f"category={word}", "1", words, f'{{"title": "{word}"}}'.encode())
    operation = OperationRow(
        number * 10, number, owner, True, False, "action", word, f"actions/{word}.yaml", words, f'{{"name": "{word}"}}'.encode()
    )
    offer = OfferRow("private" if owner is not None else "folders", word, 0, "1", "1", owner, number, False, "[]")
    return offer, Stored(partner=partner, operations=[operation], documents={f"actions/{word}.yaml": word.encode()})


def test_nothing_of_a_private_partner_stays_in_the_file_once_it_is_removed(tmp_path: Path):
    index = SqliteCatalogue(tmp_path / "index.db")
    files = ("index.db", "index.db-wal", "index.db-shm")
    for number in range(1, 40):
        offer, stored = private(number, None, f"public{number}")
        index.change([], [offer], stored)
    secret, stored = private(99, 7, "zephyrine")
    index.change([], [secret], stored)

    def held() -> bytes:
        return b"".join((tmp_path / name).read_bytes() for name in files if (tmp_path / name).exists()).lower()

    assert b"zephyrine" in held()
    index.change([secret], [], None)
    assert b"zephyrine" not in held()
    assert b"public17" in held()
    assert index.matches("operation", '"public17"') == 1
    index.close()
