"""What destroys something at a partner asks for the name of the operation before the console runs it, or runs it once more."""

from __future__ import annotations

import re
from typing import Any

import pytest

from e2e.console import Browsing, text_of
from e2e.served import Served

pytestmark = pytest.mark.anyio

TELEGRAM, DELETE = 330, 3300106
TITLE = "Delete a message"
PATH = f"/console/try/{DELETE}"


@pytest.fixture(scope="module")
async def owner(anyio_backend: str, house: Served) -> Browsing:
    browsing = Browsing(served=house)
    await browsing.sign_in()
    return browsing


@pytest.fixture(scope="module")
async def connection(anyio_backend: str, house: Served) -> int:
    made = (await house.call("POST", "/credentials", {"partnerId": TELEGRAM, "title": "Practice", "simulated": True}))[2]
    return int(made["data"]["credentialId"])


def filled(connection: int, **more: str) -> dict[str, Any]:
    return {"connection": connection, "s:d.chat_id": "123456789", "n:d.message_id": "42", **more}


async def runs(house: Served) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await house.call("GET", f"/runs?filter[triggerActionId]={DELETE}"))[2]["data"]
    return found


@pytest.mark.parametrize("typed", ["", "delete a message", "Delete"])
async def test_it_does_not_run_for_who_did_not_type_its_name(house: Served, owner: Browsing, connection: int, typed: str):
    before = await runs(house)
    found = await owner.post(PATH, filled(connection, confirm=typed, do="run"))

    assert found.status == 422
    assert "Nothing ran: the name of the operation has to be typed first." in text_of(found)
    assert 'value="123456789"' in found.content.decode()
    assert await runs(house) == before
    assert (await owner.post(PATH, filled(connection, do="dry"))).status == 200, "to look at what would be sent needs no name"


async def test_it_runs_and_is_replayed_for_who_typed_its_name(house: Served, owner: Browsing, connection: int):
    shown = (await owner.get(PATH)).content.decode()
    assert f'data-confirms="{TITLE}"' in shown
    await owner.post(PATH, filled(connection, confirm=f" {TITLE} ", do="run"))
    run_id = (await runs(house))[0]["runId"]

    content = (await owner.get(f"/console/runs/{run_id}")).content.decode()
    once = re.search(r'name="once" value="([0-9a-f]+)"', content)
    assert once is not None
    assert "Replay this run?" in content
    refused = await owner.post(f"/console/runs/{run_id}/replay", {"once": once[1]})
    assert refused.status == 422
    assert "nothing was replayed" in text_of(refused)
    assert len(await runs(house)) == 1
    replayed = await owner.post(f"/console/runs/{run_id}/replay", {"once": once[1], "confirm": TITLE})
    assert replayed.status == 303
    assert [run["replayOf"] for run in await runs(house)] == [run_id, None]


async def test_what_destroys_nothing_asks_for_nothing(owner: Browsing):
    assert b"data-confirms" not in (await owner.get("/console/try/3300101")).content
