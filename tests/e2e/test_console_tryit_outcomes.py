"""Try it, what came of it: partners that do not answer, answers that are none, results that are long, pages of triggers, and what stays while one edits."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from e2e.console import Browsing, text_of
from e2e.odd_shop import LATEST, ORDER, PATIENT, open_shop, usual
from e2e.served import Asked, Handler, Served, Upstream, answer
from html_forms import sent_of

pytestmark = pytest.mark.anyio

PAGE = f"/console/try/{ORDER}"


@pytest.fixture(scope="module")
async def shop(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Served, Upstream]]:
    async with open_shop(tmp_path_factory.mktemp("shop")) as opened:
        yield opened


@pytest.fixture
async def house(shop: tuple[Served, Upstream]) -> AsyncIterator[Served]:
    shop[1].handler = usual
    yield shop[0]
    shop[1].handler = usual


@pytest.fixture(scope="module")
async def owner(anyio_backend: str, shop: tuple[Served, Upstream]) -> Browsing:
    browsing = Browsing(served=shop[0])
    await browsing.sign_in()
    return browsing


def only_orders(handler: Handler) -> Handler:
    """The shop, of which only what takes orders is as ``handler`` says: its lists are read."""

    async def reply(asked: Asked) -> bytes | None:
        return await (handler if asked.method == "POST" else usual)(asked)

    return reply


async def never(_asked: Asked) -> bytes | None:
    await asyncio.sleep(20)
    return None


async def hangs_up(asked: Asked) -> bytes | None:
    asked.writer.transport.abort()
    return None


async def stops_in_the_middle(asked: Asked) -> bytes | None:
    asked.writer.write(b"HTTP/1.1 200 Fine\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{")
    return None


async def no_json(_asked: Asked) -> bytes:
    return answer(200, b"<html>Down for maintenance</html>", {"Content-Type": "text/html"})


async def refuses(_asked: Asked) -> bytes:
    return answer(500, {"error": "Broken <b>badly</b>"})


@pytest.mark.parametrize("handler", [never, hangs_up, stops_in_the_middle, no_json, refuses])
async def test_a_run_that_goes_wrong_at_the_partner_is_shown_with_what_is_known_of_it(
    shop: tuple[Served, Upstream], house: Served, owner: Browsing, handler: Any
):
    shop[1].handler = only_orders(handler)
    found = await owner.post(PAGE, {"s:d.title": "A chair", "do": "run"})
    text = " ".join(text_of(found).split())

    assert found.status == 200
    assert any(said in text for said in ("It did not work", "It may have taken effect"))
    assert "POST" in text
    assert "Time line" in text
    assert dict(sent_of(found.content.decode()))["s:d.title"] == "A chair"
    if handler in {never, hangs_up, stops_in_the_middle}:
        assert "No answer" in text
    assert "<b>badly</b>" not in found.content.decode()
    # The run's own page shows it as well, and the form brings it back.
    run_id = dict(sent_of(found.content.decode()))["run"]
    assert (await owner.get(f"/console/runs/{run_id}")).status == 200
    again = await owner.post(PAGE, {"s:d.title": "A table", "run": run_id, "run_of": "0" * 16, "do": "add:d.boxes"})
    assert run_id in text_of(again)


async def test_a_run_whose_partner_has_no_open_port_is_shown(tmp_path: Path):
    async with open_shop(tmp_path, partner_oddshop_base_url="http://127.0.0.1:9") as (house, _there):
        owner = Browsing(served=house)
        await owner.sign_in()
        found = await owner.post(PAGE, {"s:d.title": "A chair", "do": "run"})
        text = " ".join(text_of(found).split())

    assert found.status == 200
    assert "It did not work" in text
    assert "partner_unavailable" in text
    assert "No answer" in text


async def test_what_the_partner_says_is_said_once(shop: tuple[Served, Upstream], house: Served, owner: Browsing):
    async def told(_asked: Asked) -> bytes:
        return answer(422, {"message": "The colour is sold out."})

    shop[1].handler = only_orders(told)
    found = await owner.post(PAGE, {"s:d.title": "A chair", "do": "run"})
    note = re.search(r'<div class="note bad">(.*?)</div>', found.content.decode(), re.DOTALL)
    assert note is not None
    assert note[1].count("sold out") <= 1


async def test_what_came_of_a_run_stays_while_one_edits_and_says_when_it_is_of_another_input(house: Served, owner: Browsing):
    ran = await owner.post(PAGE, {"s:d.title": "A chair", "do": "run"})
    form = dict(sent_of(ran.content.decode()))
    before = "This is of the run before"
    assert 'id="before" hidden' in ran.content.decode()

    for action in ("add:d.boxes", "json", "link", "refresh"):
        edited = await owner.post(PAGE, form | {"s:d.title": "A table", "do": action})
        assert "It ran" in text_of(edited)
        assert before in text_of(edited)
        assert 'id="before" hidden' not in edited.content.decode()
    same = await owner.post(PAGE, form | {"do": "refresh"})
    assert 'id="before" hidden' in same.content.decode()
    # A script has it in its page already; it asks for it when it comes back to the page.
    part = {"HX-Request": "true"}
    assert 'id="outcome"' not in (await owner.post(PAGE, form | {"do": "add:d.boxes"}, **part)).content.decode()
    assert "It ran" in text_of(await owner.post(PAGE, form | {"do": "restore"}, **part))
    for wrong in ("run_0", "../../x", "run_" + "0" * 32, "x" * 9_000):
        assert "It ran" not in text_of(await owner.post(PAGE, form | {"run": wrong, "do": "restore"}))


async def test_a_trigger_is_read_on_page_by_page_and_its_items_are_a_table(house: Served, owner: Browsing):
    path = f"/console/try/{LATEST}"
    first = await owner.post(path, {"limit": "2", "do": "run"})
    html = first.content.decode()
    assert "items, item by item" in html
    assert '<time datetime="2023-11-14T22:13:20Z"' in html
    form = dict(sent_of(html))
    second = await owner.post(path, form | {"do": "next"})
    assert second.status == 200
    assert dict(sent_of(second.content.decode()))["cursor"] == form["following"]
    assert text_of(second) != text_of(first)
    assert re.findall(r"<td><code>(\d\d)</code>", second.content.decode())[:2] != re.findall(r"<td><code>(\d\d)</code>", html)[:2]


@pytest.mark.parametrize(
    ("form", "field"),
    [({"from": "yesterday"}, "from"), ({"to": "x"}, "to"), ({"limit": "0"}, "limit"), ({"cursor": "nonsense"}, "cursor")],
)
async def test_what_is_wrong_with_the_range_of_a_trigger_stands_at_its_field(
    house: Served, owner: Browsing, form: dict[str, str], field: str
):
    found = await owner.post(f"/console/try/{LATEST}", form | {"do": "run"})
    html = found.content.decode()

    assert found.status == 422
    assert re.search(rf'id="f-r-d{field}\.error">[^<]+<', html), text_of(found)
    assert re.search(rf'id="f-r-d{field}" name="{field}"[^>]*aria-invalid="true"', html)


async def test_a_choice_that_belongs_to_another_one_is_cleared_and_that_is_said(house: Served, owner: Browsing):
    form = {"k:d.pipeline": '"1"', "k:d.stage": '"12"', "do": "refresh"}
    kept = await owner.post(PAGE, form)
    assert dict(sent_of(kept.content.decode()))["k:d.stage"] == '"12"'

    changed = await owner.post(PAGE, form | {"k:d.pipeline": '"2"'}, **{"HX-Request": "true", "HX-Trigger-Name": "k:d.pipeline"})
    assert "Stage was cleared: it belongs to another Pipeline." in text_of(changed)
    assert dict(sent_of(changed.content.decode()))["k:d.stage"] == ""
    own = await owner.post(PAGE, {"k:d.pipeline": '"2"', "how:d.stage": "typed", "s:d.stage": "12", "do": "refresh"})
    assert "was cleared" not in text_of(own)
    assert dict(sent_of(own.content.decode()))["s:d.stage"] == "12"


async def test_a_list_that_is_empty_says_why(house: Served, owner: Browsing):
    empty = text_of(await owner.get(PAGE))
    assert "Choose Pipeline first." in empty
    assert "Search to see choices." in empty
    assert "Default: Not in a hurry" in empty
    assert "e.g. Blue chair" in (await owner.get(PAGE)).content.decode()
    nothing = await owner.post(PAGE, {"k:d.pipeline": '"1"', "do": "refresh"})
    assert "Choose Pipeline first." not in text_of(nothing)


async def test_what_was_chosen_in_a_searched_list_keeps_its_name(house: Served, owner: Browsing):
    found = await owner.post(PAGE, {"find:d.person": "Ada", "do": "find:d.person"})
    form = dict(sent_of(found.content.decode())) | {"k:d.person": '"p1"'}
    for action in ("refresh", "add:d.boxes", "run", "json", "form"):
        found = await owner.post(PAGE, form | {"do": action})
        form = dict(sent_of(found.content.decode()))
    assert re.search(r'<option value="&#34;p1&#34;" selected>Ada number 1<', found.content.decode())
    odd = await owner.post(PAGE, form | {"labels:d.person": '[["x"', "do": "refresh"})
    assert odd.status == 200
    many = await owner.post(PAGE, form | {"labels:d.person": json.dumps([[str(n), "<b>"] for n in range(9_000)]), "do": "refresh"})
    assert (many.status, "<b>" in many.content.decode()) == (200, False)


async def test_nothing_is_chosen_by_itself_where_there_are_several_and_it_is_said_which_are_simulated(house: Served, owner: Browsing):
    one = (await house.call("GET", "/credentials?per-page=1"))[2]["data"][0]["credentialId"]
    another = await house.connect(900030, {"key": "k"}, verify=False, title="Another")
    try:
        found = await owner.get(PAGE)
        assert "Choose a connection: the fields are those of its account." in text_of(found)
        assert dict(sent_of(found.content.decode()))["connection"] == ""
        ran = await owner.post(PAGE, {"do": "run"})
        assert (ran.status, 'id="connection-error"' in ran.content.decode()) == (422, True)
        chosen = await owner.get(f"{PAGE}?connection={one}")
        assert dict(sent_of(chosen.content.decode()))["connection"] == str(one)
    finally:
        await house.call("DELETE", f"/credentials/{another}")


async def test_the_choice_of_an_operation_keeps_the_connection(house: Served, owner: Browsing):
    one = (await house.call("GET", "/credentials?per-page=1"))[2]["data"][0]["credentialId"]
    found = await owner.get(f"/console/try?connection={one}")
    html = found.content.decode()
    assert f'href="/console/try/{ORDER}?connection={one}"' in html
    assert "Pipedrive" not in text_of(found)
    assert dict(sent_of(html))["connection"] == str(one)
    for wrong in ("999999", "x", "9" * 30):
        assert (await owner.get(f"/console/try?connection={wrong}")).status == 200
    near = await owner.get("/console/try")
    assert re.search(r'class="near".*Odd shop', near.content.decode(), re.DOTALL)


async def test_a_long_run_is_cancelled_through_the_form_it_came_from(shop: tuple[Served, Upstream], house: Served, owner: Browsing):
    arrived, go = asyncio.Event(), asyncio.Event()

    async def slow(asked: Asked) -> bytes:
        arrived.set()
        await go.wait()
        return await usual(asked)

    shop[1].handler = only_orders(slow)
    path, nonce = f"/console/try/{PATIENT}", "abcd1234abcd1234"
    running = asyncio.create_task(owner.post(path, {"s:d.title": "Slow", "nonce": nonce, "do": "run"}))
    await arrived.wait()
    assert (await owner.post(f"{path}/cancel", {"nonce": "0" * 16})).json == {"cancelled": 0}
    assert (await owner.post(f"{path}/cancel", {"nonce": nonce})).json == {"cancelled": 1}
    go.set()
    assert (await running).status == 200
    assert (await owner.post(f"{path}/cancel", {"nonce": nonce})).json == {"cancelled": 0}


async def test_a_refusal_to_a_part_of_a_page_is_a_notice_that_a_script_can_take(house: Served, owner: Browsing):
    found = await owner.post("/console/try/999999", {"do": "refresh"}, **{"HX-Request": "true"})
    assert found.status == 404
    assert (found.headers["hx-retarget"], found.headers["hx-reselect"]) == ("#notice", "[data-notice]")
    assert "data-notice" in found.content.decode()
