"""The way out that is loaded when it is first taken, and the late look at folders: what a start does not wait for."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from polyport import stamps
from polyport.catalog import FolderSource
from polyport.cli.app import app
from polyport.cli.start import starter
from polyport.manifest.load import prepare
from polyport.manifest.model import PartnerFile
from polyport.net.late import LateSender
from polyport.net.message import Incoming, Network, Opener, Reply, Request

ASKED = Request(method="GET", url="http://127.0.0.1/")
GIVEN = Reply(url=ASKED.url, status=200, headers=(), body=b"", elapsed=0.0)

asynchronous = pytest.mark.anyio


class Way:
    """What is made: it notes what is asked of it."""

    def __init__(self) -> None:
        self.made_in = threading.current_thread()
        self.told: list[str] = []

    async def send(self, _request: Request) -> Reply:
        self.told.append("send")
        return GIVEN

    async def open(self, _request: Request) -> Incoming:
        self.told.append("open")
        raise LookupError("opened")

    async def close(self) -> None:
        self.told.append("close")


class Ways:
    """Makes them, and counts."""

    def __init__(self) -> None:
        self.made: list[Way] = []

    def __call__(self) -> Way:
        self.made.append(Way())
        return self.made[-1]


@asynchronous
async def test_the_way_out_is_made_once_in_a_thread_by_the_first_who_send_and_is_then_the_way_itself():
    ways = Ways()
    sender = LateSender(ways)
    assert isinstance(sender, Opener)
    network: Network = sender
    assert ways.made == []
    answers = await asyncio.gather(*(network.send(ASKED) for _each in range(5)))
    assert answers == [GIVEN] * 5
    [way] = ways.made
    assert way.made_in is not threading.current_thread()
    assert sender.send == way.send  # nothing stands between any more
    with pytest.raises(LookupError, match="opened"):
        await sender.open(ASKED)
    await sender.prepare()
    await sender.close()
    assert way.told == [*["send"] * 5, "open", "close"]
    assert len(ways.made) == 1


@asynchronous
async def test_who_gives_up_waiting_for_the_way_out_leaves_it_to_the_others():
    go = threading.Event()
    ways = Ways()

    def slowly() -> Way:
        go.wait(10)
        return ways()

    sender = LateSender(slowly)
    first, second = asyncio.create_task(sender.send(ASKED)), asyncio.create_task(sender.send(ASKED))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    go.set()
    assert await second == GIVEN
    assert len(ways.made) == 1


@asynchronous
async def test_a_way_out_that_could_not_be_made_is_tried_again_and_is_no_fault_of_closing():
    ways, faults = Ways(), [OSError("no memory"), OSError("no memory")]

    def at_last() -> Way:
        if faults:
            raise faults.pop()
        return ways()

    sender = LateSender(at_last)
    with pytest.raises(OSError, match="no memory"):
        await sender.send(ASKED)
    await sender.close()
    with pytest.raises(OSError, match="no memory"):
        await sender.open(ASKED)
    assert await sender.send(ASKED) == GIVEN
    await sender.close()
    assert ways.made[0].told == ["send", "close"]


@asynchronous
async def test_a_way_out_that_was_never_taken_is_not_made_to_be_closed():
    ways = Ways()
    await LateSender(ways).close()
    assert ways.made == []


@pytest.mark.parametrize(
    ("program", "late"),
    [
        ("polyport.cli.serving", ("aiohttp", "joserfc.jws", "cryptography.x509", "phonenumbers", "hypothesis")),
        ("polyport.cli.serving", ("polyport.cli.app", "rich", "yaml", "rapidfuzz", "whenever", "xmltodict", "oauthlib", "segno")),
        ("polyport.cli", ("polyport.runtime", "polyport.manifest.model", "polyport.cli.serving", "uvicorn")),
    ],
)
def test_what_a_start_does_not_need_is_not_loaded(program: str, late: tuple[str, ...]):
    """Whoever imports one of these at the top of a module makes every start slower."""
    code = f"import sys, {program}; print([each for each in {late!r} if each in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603  this program
    assert told.stdout.strip() == "[]"


MODELS = """
import asyncio
from polyport.catalog import Catalog
from polyport.manifest.model import Action, PartnerFile

print([model.__pydantic_complete__ for model in (Action, PartnerFile)])
catalog = Catalog((), (), "")
asyncio.run(catalog.prepare())
print([model.__pydantic_complete__ for model in (Action, PartnerFile)], sorted(catalog._search._kept))
"""


def test_what_reads_partners_is_built_when_a_server_answers_already():
    told = subprocess.run([sys.executable, "-c", MODELS], capture_output=True, text=True, check=True)  # noqa: S603  this program
    assert told.stdout.split("\n") == ["[False, False]", "[True, True] ['operation', 'partner']", ""]


def test_what_was_built_is_built_once():
    prepare()
    built = PartnerFile.__pydantic_validator__
    prepare()
    assert PartnerFile.__pydantic_complete__
    assert PartnerFile.__pydantic_validator__ is built


AT_ONCE = """
import threading
from concurrent.futures import ThreadPoolExecutor
from polyport.manifest.load import part_of
from polyport.manifest.source import read_source

told = read_source("a.yaml", b"{id: 1, name: a, title: A, description: d, idempotent: true, call: {method: GET, path: /a}}").data
ready = threading.Barrier(8)

def build(_number):
    ready.wait()
    return repr(part_of("actions/a.yaml", told))

with ThreadPoolExecutor(8) as threads:
    print(len(set(threads.map(build, range(8)))))
"""


def test_threads_that_read_the_first_partners_at_the_same_time_read_the_same():
    told = subprocess.run([sys.executable, "-c", AT_ONCE], capture_output=True, text=True, check=True)  # noqa: S603  this program
    assert told.stdout.strip() == "1"


def test_the_command_that_serves_is_the_same_alone_and_among_the_others():
    alone, among = (CliRunner().invoke(program, ["serve", "--help"], prog_name="polyport") for program in (starter, app))
    assert "--workers" in alone.output
    assert (alone.exit_code, alone.output) == (0, among.output)


ALONE = """
import sys
from polyport.cli import main

sys.argv[1:] = ["serve", "--port", "x"]
try:
    main()
except SystemExit as end:
    print(end.code, "polyport.cli.app" in sys.modules)
"""


def test_a_server_is_started_without_the_other_commands():
    told = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True)  # noqa: S603  this program
    assert told.stdout.strip() == "2 False"
    assert "--port" in told.stderr


def test_the_program_that_looks_prints_the_stamps_of_all_folders_and_needs_nothing_but_the_standard_library(tmp_path: Path):
    for name in ("partner-1", "pärtner \udcff", "_left", ".git"):
        (tmp_path / name / "actions").mkdir(parents=True)
        (tmp_path / name / "partner.yaml").write_text("id: 1", "utf-8")
    (tmp_path / "README.md").touch()
    told = subprocess.run([sys.executable, "-I", "-S", stamps.__file__, str(tmp_path)], capture_output=True, check=True)  # noqa: S603  this program
    assert json.loads(told.stdout) == {name: stamps.stamp_of(f"{tmp_path}/{name}") for name in ("partner-1", "pärtner \udcff")}
    assert stamps.folder_names(str(tmp_path)) == ["partner-1", "pärtner \udcff"]
    assert stamps.folder_names(str(tmp_path / "nothing")) == []


@asynchronous
@pytest.mark.parametrize("program", ["/bin/false", "no-program", ""])
async def test_what_another_process_cannot_tell_of_the_folders_is_looked_at_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
):
    (tmp_path / "partner-1").mkdir()
    if program:
        monkeypatch.setattr(sys, "executable", program)
    source = FolderSource(tmp_path)
    await source.look_later()
    assert [(each.key, each.stamp) for each in source.seen()[0]] == [("partner-1", stamps.stamp_of(f"{tmp_path}/partner-1"))]


@pytest.mark.parametrize("change", ["content", "name", "more", "less", "folder"])
def test_a_stamp_changes_with_every_file_that_makes_a_partner(tmp_path: Path, change: str):
    folder = tmp_path / "one"
    (folder / "actions").mkdir(parents=True)
    (folder / "actions" / "a.yaml").write_text("a", "utf-8")
    before = stamps.stamp_of(str(folder))
    assert stamps.stamp_of(str(folder)) == before
    match change:
        case "content":
            (folder / "actions" / "a.yaml").write_text("another", "utf-8")
        case "name":
            (folder / "actions" / "a.yaml").rename(folder / "actions" / "b.yaml")
        case "more":
            (folder / "icon.svg").write_text("<svg/>", "utf-8")
        case "less":
            (folder / "actions" / "a.yaml").unlink()
        case _:
            (folder / "lists").mkdir()
    assert stamps.stamp_of(str(folder)) != before
