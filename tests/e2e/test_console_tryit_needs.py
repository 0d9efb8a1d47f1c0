"""Try it where much is to be said: which connection of very many, what is needed instead of what, and what is shown of secrets that were typed."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import pytest

from e2e.console import Browsing, text_of
from e2e.pillar_box import LETTERS, SEND, connect_many, open_pillar_box
from e2e.served import Reply, Served
from html_forms import sent_of
from polyport.server.console.picking import LISTED_MOST

pytestmark = pytest.mark.anyio

PAGE = f"/console/try/{SEND}"
MANY = LISTED_MOST + 5
NEEDED = "One of these is needed here: E-mail address; Phone number and Country of the phone."
IN_A_COPY = "One of these is needed here: To whom; To which desk."


@pytest.fixture(scope="module")
async def house(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with open_pillar_box(tmp_path_factory.mktemp("letters")) as served:
        yield served


@pytest.fixture(scope="module")
async def connections(anyio_backend: str, house: Served) -> list[int]:
    return await connect_many(house, MANY)


@pytest.fixture(scope="module")
async def owner(anyio_backend: str, house: Served, connections: list[int]) -> Browsing:
    browsing = Browsing(served=house)
    await browsing.sign_in()
    return browsing


def offered(found: Reply) -> list[str]:
    """What can be chosen among connections, the chosen one marked."""
    chosen = re.search(r'<select id="connection".*?</select>', found.content.decode(), re.DOTALL)
    assert chosen is not None
    return [("*" if mark else "") + unescape(text) for mark, text in re.findall(r"<option[^>]*?( selected)?>([^<]*)<", chosen[0])]


def marked(found: Reply) -> list[str]:
    """The demands that are marked as not met."""
    return [unescape(text) for text in re.findall(r'<p class="error demand"[^>]*>([^<]*)<', found.content.decode())]


def holding(folder: Path, text: str) -> list[Path]:
    """The files of a folder that hold a text."""
    kept = [path for path in folder.rglob("*") if path.is_file()]
    assert kept
    return [path for path in kept if text.encode() in path.read_bytes()]


async def test_of_very_many_connections_the_newest_are_offered_and_others_are_searched(owner: Browsing):
    first = await owner.get(PAGE)
    assert offered(first)[:2] == ["Choose a connection…", f"Customer {MANY - 1} · user-{MANY - 1}"]
    assert len(offered(first)) == LISTED_MOST + 1
    assert f"{MANY} connections, the newest {LISTED_MOST} are listed" in text_of(first)

    found = await owner.post(PAGE, {"seek": "customer 3", "do": "seek", "s:d.email": "a@example.com"})
    assert found.status == 200
    assert "Customer 3 · user-3" in "".join(offered(found))
    assert f"{len(offered(found)) - 1} found" in text_of(found)
    assert json.loads(dict(sent_of(found.content.decode()))["more:d"]) == {"email": "a@example.com"}
    assert offered(await owner.post(PAGE, {"seek": "user-2", "do": "seek"})) == ["Choose a connection…", "Customer 2 · user-2"]


async def test_the_connection_that_is_chosen_stays_whatever_is_searched_and_however_old_it_is(owner: Browsing, connections: list[int]):
    oldest = str(connections[0])
    assert "*Customer 0 · user-0" in offered(await owner.get(f"{PAGE}?connection={oldest}"))
    assert offered(await owner.post(PAGE, {"connection": oldest, "seek": "nobody at all", "do": "seek"})) == ["*Customer 0 · user-0"]
    ran = await owner.post(PAGE, {"connection": oldest, "s:d.email": "a@example.com", "do": "run"})
    assert "It ran" in text_of(ran)
    assert "Customer 0" in next(each for each in offered(ran) if each.startswith("*"))


async def test_a_connection_that_is_gone_or_of_another_partner_gives_way_and_that_is_said(house: Served, owner: Browsing):
    gone = await house.connect(LETTERS, {"key": "k"}, verify=False, title="Gone")
    await house.call("DELETE", f"/credentials/{gone}")
    for told in (str(gone), "999999", "x", "9" * 30):
        found = await owner.get(f"{PAGE}?connection={told}")
        assert found.status == 200
        assert "not there any more: choose another one" in text_of(found)


async def test_what_is_needed_instead_of_what_is_said_before_anything_is_typed(owner: Browsing, connections: list[int]):
    found = await owner.post(PAGE, {"connection": connections[0], "do": "add:d.copies"})
    text = text_of(found)
    assert NEEDED in text
    assert IN_A_COPY in text
    assert marked(found) == []


async def test_what_is_lacking_is_marked_at_its_level_and_only_there(owner: Browsing, connections: list[int]):
    one = {"connection": str(connections[0])}
    form = one | {"s:d.phone": "1", "rows:d.copies": "2", "s:d.copies[0].to": "x", "do": "dry"}
    found = await owner.post(PAGE, form)
    assert found.status == 422
    assert marked(found) == [NEEDED, IN_A_COPY]
    assert "2 things are wrong or missing" in text_of(found)
    first, second = re.findall(r'<div class="row".*?(?=<div class="row"|</fieldset>)', found.content.decode(), re.DOTALL)
    assert ("error demand" in first, "error demand" in second) == (False, True)

    as_json = await owner.post(PAGE, one | {"view": "json", "text": '{"copies": [{}]}', "do": "dry"})
    assert as_json.status == 422
    assert NEEDED in text_of(as_json)
    assert "copies[0] : " + IN_A_COPY in " ".join(text_of(as_json).split())

    met = await owner.post(PAGE, one | {"s:d.phone": "1", "s:d.country": "de", "do": "dry"})
    assert (met.status, marked(met)) == (200, [])


async def test_text_that_is_no_json_comes_back_to_who_typed_it_and_gets_nowhere_else(
    house: Served, owner: Browsing, capfd: pytest.CaptureFixture[str]
):
    canary = "canary-in-broken-json-41-Pw8Rt3"
    typed = f'{{"email": "a@example.com", "pin": "{canary}",}}'
    for action in ("run", "dry", "json", "form", "refresh", "link", "preview", "find:d.email", "seek"):
        found = await owner.post(PAGE, {"view": "json", "text": typed, "do": action})
        html = unescape(found.content.decode())
        assert dict(sent_of(found.content.decode()))["text"] == typed
        assert html.count(canary) == 1, action  # in the box, not in the call beside it, in code or in a link
        assert (found.headers["cache-control"], found.headers.get("content-encoding")) == ("no-store", None)
        assert all(canary not in text for text in found.headers.values())
    for path in (PAGE, "/console/runs", "/console/settings/audit"):
        assert canary.encode() not in (await owner.get(path)).content
    assert canary not in str((await house.call("GET", "/audit"))[2])
    assert canary not in "".join(capfd.readouterr())
    assert holding(Path(house.runtime.settings.data), canary) == []


async def test_a_secret_that_is_no_json_is_not_shown_again_in_its_own_field(owner: Browsing, connections: list[int]):
    found = await owner.post(PAGE, {"connection": connections[0], "how:d.pin": "json", "j:d.pin": '{"canary-42-Lk5', "do": "refresh"})
    assert "canary-42" not in found.content.decode()
    assert "This is not valid JSON" in text_of(found)
