"""Try it: an operation is filled in, looked at and run, by people of each role; what they type and what partners answer is shown as text."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from html import unescape
from typing import Any
from urllib.parse import quote

import pytest

from e2e.console import Browsing, member, text_of
from e2e.served import PIPEDRIVE, PIPEDRIVE_FIELDS, Reply, Served
from html_forms import sent_of
from polyport.server.console.sharing import packed, unpacked
from polyport.server.console.tryit import file_most

pytestmark = pytest.mark.anyio

CREATE_PERSON = "/console/try/2250101"
EVIL = '"><script>alert(1)</script>\u202e{{7*7}}'


@pytest.fixture(scope="module")
async def connection(anyio_backend: str, house: Served) -> int:
    status, _headers, made = await house.call(
        "POST", "/credentials", {"partnerId": PIPEDRIVE, "title": f"Team {EVIL}", "fields": PIPEDRIVE_FIELDS}
    )
    assert status == 201, made
    return int(made["data"]["credentialId"])


@pytest.fixture(scope="module")
async def viewer(anyio_backend: str, house: Served) -> Browsing:
    return await member(house, "viewer", "viewer@tryit.example")


async def operation_id(house: Served, name: str, partner_id: int) -> int:
    _status, _headers, found = await house.call("GET", f"/partners/trigger-actions/info?filter[partnerId]={partner_id}&per-page=100")
    return next(int(item["triggerActionId"]) for item in found["data"] if item["name"] == name)


async def run_ids(house: Served) -> list[str]:
    _status, _headers, found = await house.call("GET", "/runs")
    return [run["runId"] for run in found["data"]]


def errors_of(html: str) -> dict[str, str]:
    """What stands at fields, by their ids."""
    return {unescape(found[1]): unescape(found[2]) for found in re.finditer(r'<p class="error" id="([^"]+)\.error">([^<]*)<', html)}


async def test_operations_are_found_by_words_partner_and_kind(owner: Browsing):
    found = await owner.get("/console/try?q=create+person&partner=225")

    assert found.status == 200
    assert 'href="/console/try/2250101"' in found.content.decode()
    assert "No operation fits" in text_of(await owner.get("/console/try?q=zzzzqqqq"))


async def test_without_a_connection_it_says_what_to_do(owner: Browsing, house: Served):
    found = await owner.get(f"/console/try/{await operation_id(house, 'create_contact', 10055)}")

    assert found.status == 200
    assert "No connection yet" in text_of(found)


async def test_without_a_connection_a_simulated_one_is_a_press_away(owner: Browsing, house: Served):
    operation = await operation_id(house, "append_row", 334)
    path = f"/console/try/{operation}"
    empty = await owner.get(path)
    assert "Practice with a simulated Google Sheets" in text_of(empty)

    made = await owner.post("/console/catalogue/334/practice", {"operation": str(operation)})
    assert made.headers["location"].startswith(f"{path}?connection=")
    shown = await owner.follow(made)
    assert "A simulated Google Sheets is connected" in text_of(shown)
    assert "(simulated)" in text_of(shown)
    assert dict(sent_of(shown.content.decode()))["connection"] == made.headers["location"].partition("=")[2]


async def test_the_form_has_every_field_that_may_be_sent_the_accounts_own_as_well(owner: Browsing, connection: int):
    html = (await owner.get(f"{CREATE_PERSON}?connection={connection}")).content.decode()
    names = {name for name, _text in sent_of(html)}

    assert {
        "s:d.name",
        "k:d.owner_id",
        "k:d.visible_to",
        "k:d.org_id",
        "s:d.birthday",
        "n:d.add_time",
        "rows:d.email",
        "rows:d.phone",
    } <= names
    assert "k:d.cf__f1b2cd22dd8e67362263467115f592c8" in names
    assert "lk:d.label_ids" in html
    assert "d.first_name" not in html


async def test_a_row_is_added_and_what_was_typed_stays(owner: Browsing, connection: int):
    found = await owner.post(CREATE_PERSON, {"connection": connection, "s:d.name": EVIL, "how:d.notes": "null", "do": "add:d.email"})
    sent = dict(sent_of(found.content.decode()))

    assert found.status == 200
    assert (sent["s:d.name"], sent["how:d.notes"], sent["rows:d.email"], sent["s:d.email[0].value"]) == (EVIL, "null", "1", "")


async def test_form_and_json_say_the_same_there_and_back(owner: Browsing, connection: int):
    given = {"connection": connection, "s:d.name": "Bo", "rows:d.email": "1", "s:d.email[0].value": "bo@example.com", "lk:d.label_ids": "5"}
    as_json = (await owner.post(CREATE_PERSON, given | {"do": "json"})).content.decode()
    sent = dict(sent_of(as_json))
    assert sent["view"] == "json"
    assert json.loads(sent["text"]) == {"email": [{"value": "bo@example.com"}], "label_ids": [5], "name": "Bo"}

    back = (await owner.post(CREATE_PERSON, sent | {"text": sent["text"].replace("Bo", "Bea"), "do": "form"})).content.decode()
    fields = dict(sent_of(back))
    assert (fields["view"], fields["s:d.name"], fields["s:d.email[0].value"], fields["lk:d.label_ids"]) == (
        "form",
        "Bea",
        "bo@example.com",
        "5",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"name": }', "This is not valid JSON (line 1, column 10)."),
        ("[1]", "An object with the fields"),
        ('{"a": 1, "a": 2}', "twice"),
        ("[" * 100, ""),
    ],
)
async def test_text_that_is_no_input_stays_in_its_box_and_nothing_runs(
    owner: Browsing, house: Served, connection: int, text: str, said: str
):
    before = await run_ids(house)
    found = await owner.post(CREATE_PERSON, {"connection": connection, "view": "json", "text": text, "do": "run"})

    assert found.status == 422
    assert dict(sent_of(found.content.decode()))["text"] == text
    assert said in text_of(found)
    assert await run_ids(house) == before


async def test_a_dry_run_shows_the_exact_request_and_keeps_nothing(owner: Browsing, house: Served, connection: int):
    before = await run_ids(house)
    found = await owner.post(
        CREATE_PERSON,
        {"connection": connection, "s:d.name": "Bo", "rows:d.email": "1", "s:d.email[0].value": "bo@example.com", "do": "dry"},
    )
    text = text_of(found)

    assert found.status == 200
    assert "1 request would be sent" in text
    assert "/api/v2/persons" in text
    assert '"bo@example.com"' in re.sub(r"\s+", " ", text)
    assert "body.emails[].value" in text
    assert "x-api-token" in text
    assert PIPEDRIVE_FIELDS["api_token"] not in found.content.decode()
    assert await run_ids(house) == before


async def test_a_run_shows_request_answer_mapped_result_and_time_line(owner: Browsing, house: Served, connection: int):
    found = await owner.post(CREATE_PERSON, {"connection": connection, "s:d.name": "Ada Lovelace", "do": "run"})
    html, text = found.content.decode(), text_of(found)
    newest = (await run_ids(house))[0]

    assert found.status == 200
    assert newest in text
    for part in ("Succeeded", "Mapped result", "first_name", "Time line", "Whole run", "POST", "/api/v2/persons", "201"):
        assert part in text
    assert html.count('<svg viewBox="0 0 600 10"') == 3
    assert PIPEDRIVE_FIELDS["api_token"] not in html
    status, _headers, audit = await house.call("GET", "/audit?per-page=1")
    assert (status, audit["data"][0]["action"]) == (200, "POST /partners/trigger-actions/{id}/run/sync")


async def test_a_form_that_is_sent_twice_runs_once_and_a_changed_one_again(owner: Browsing, house: Served, connection: int):
    given = {"connection": connection, "nonce": "aaaabbbbcccc1111", "s:d.name": "Only once", "do": "run"}
    await owner.post(CREATE_PERSON, given)
    after = await run_ids(house)
    again = await owner.post(CREATE_PERSON, given)

    assert "nothing ran twice" in text_of(again)
    assert await run_ids(house) == after
    assert dict(sent_of(again.content.decode()))["nonce"] != given["nonce"]
    changed = await owner.post(CREATE_PERSON, given | {"s:d.name": "Another"})
    assert changed.status == 200
    assert len(await run_ids(house)) == len(after) + 1


async def test_faults_stand_at_their_fields_and_the_form_keeps_what_was_typed(owner: Browsing, house: Served, connection: int):
    given = {
        "connection": connection,
        "s:d.name": "",
        "rows:d.email": "2",
        "s:d.email[0].value": "ok@example.com",
        "s:d.email[1].value": "no mail",
        "more:d": '{"shoe_size": 44}',
    }
    before = await run_ids(house)
    found = await owner.post(CREATE_PERSON, given | {"do": "run"})
    html = found.content.decode()

    assert found.status == 422
    assert errors_of(html) == {"f-d-dname": "This field is needed.", "f-d-demail-o1-c-dvalue": "An e-mail address is needed here."}
    assert "runnerData.shoe_size: The operation has no such field for this connection." in text_of(found)
    assert dict(sent_of(html))["s:d.email[1].value"] == "no mail"
    assert await run_ids(house) == before


async def test_a_list_is_searched_at_the_partner(owner: Browsing, house: Served, connection: int):
    await owner.post("/console/try/2250201", {})
    found = await owner.post(CREATE_PERSON, {"connection": connection, "find:d.org_id": "x", "do": "find:d.org_id"})
    assert found.status == 200
    assert "at least" in errors_of(found.content.decode()).get("f-d-dorg_id", "at least")
    found = await owner.post(CREATE_PERSON, {"connection": connection, "find:d.org_id": "example", "do": "find:d.org_id"})
    assert re.search(r'id="f-d-dorg_id.found">.*?<option value="\d+"', found.content.decode(), re.DOTALL)


async def test_a_viewer_looks_and_does_not_run(viewer: Browsing, house: Served, connection: int):
    shown = await viewer.get(f"{CREATE_PERSON}?connection={connection}")
    assert shown.status == 200
    assert 'value="run"' not in shown.content.decode()
    before = await run_ids(house)
    for action in ("run", "dry"):
        assert (await viewer.post(CREATE_PERSON, {"connection": connection, "s:d.name": "Bo", "do": action})).status == 403
    assert (await viewer.post(f"{CREATE_PERSON}/files", {"name": "a.txt", "base64": "YQ=="})).status == 403
    assert await run_ids(house) == before


@pytest.mark.parametrize("path", ["/console/try/999999", "/console/try/x", "/console/try/2250101%00"])
async def test_an_operation_that_is_not_there_is_not_found(owner: Browsing, path: str):
    assert (await owner.get(path)).status == 404
    assert (await owner.post(path, {"do": "run"})).status == 404


@pytest.mark.parametrize(
    "form",
    [
        {"do": "zzz"},
        {"do": "add:d.nothing[9999].x"},
        {"do": "find:d.nope"},
        {"do": "find:"},
        {"do": "run", "connection": "999999"},
        {"do": "run", "connection": "x" * 9_000},
        {"do": "dry", "rows:d.email": "99999"},
        {"do": "dry", "s:d.name": "x" * 10_000},
        {"do": "dry", "s:c.9": "1"},
        {"do": "dry", "s:d.name": EVIL, f"s:d.{EVIL}": EVIL, "how:d.name": "nonsense"},
        {"do": "link", "s:d.name": "x" * 100_000, "texts": "yes"},
        {"do": "run", "from": "yesterday", "limit": "many"},
        {"view": "json", "text": "\x00\ud7ff", "do": "json"},
    ],
)
async def test_whatever_a_form_holds_the_page_is_a_page(owner: Browsing, connection: int, form: dict[str, str]):
    found = await owner.post(CREATE_PERSON, {"connection": str(connection)} | form)

    assert found.status in {200, 422}, text_of(found)
    assert "<script>" not in found.content.decode()


async def test_hostile_names_and_answers_are_text(owner: Browsing, connection: int):
    long = "x" * 10_000
    for name in (EVIL, long, "\u202egnp.exe"):
        found = await owner.post(CREATE_PERSON, {"connection": connection, "s:d.name": name, "do": "run"}) if len(name) < 255 else await owner.post(CREATE_PERSON, {"connection": connection, "s:d.notes": name, "s:d.name": "Bo", "do": "run"})  # fmt: skip
        html = found.content.decode()
        assert "<script>" not in html
        assert found.status == 200, text_of(found)
        assert name in unescape(html).replace("\n", "") or len(name) > 1000


async def test_a_link_holds_choices_but_nothing_that_was_typed_unless_that_is_asked_for(owner: Browsing, connection: int):
    given = {"connection": connection, "s:d.name": "Private Person", "k:d.visible_to": '"3"', "rows:d.email": "1", "s:d.email[0].value": "p@example.com", "k:d.email[0].label": '"work"'}  # fmt: skip
    found = await owner.post(CREATE_PERSON, given | {"do": "link"})
    link = re.search(r'data-copies="([^"]+/console/try/[^"]+)"', found.content.decode())
    assert link is not None
    path = unescape(link[1]).removeprefix(owner.served.origin)
    assert unpacked(path.partition("input=")[2]) == {"d": {"visible_to": "3", "email": [{"label": "work"}]}, "c": {}}
    assert dict(sent_of((await owner.get(path)).content.decode()))["k:d.visible_to"] == '"3"'

    whole = await owner.post(CREATE_PERSON, given | {"do": "link", "texts": "yes"})
    link = re.search(r'data-copies="([^"]+/console/try/[^"]+)"', whole.content.decode())
    assert link is not None
    again = dict(sent_of((await owner.get(unescape(link[1]).removeprefix(owner.served.origin))).content.decode()))
    assert {name: again[name] for name in given} == {name: str(text) for name, text in given.items()}


async def test_a_link_leads_through_the_sign_in_and_a_broken_one_to_an_empty_form(owner: Browsing, house: Served, connection: int):
    text = packed({"d": {"visible_to": "3"}, "c": {}})
    stranger = await Browsing(served=house).get(f"{CREATE_PERSON}?connection={connection}&input={text}")
    assert stranger.status == 303
    assert str(text) in unescape(stranger.headers["location"])
    for broken in ("zzz", "%F0%9F%98%80", "A" * 7_000):
        found = await owner.get(f"{CREATE_PERSON}?input={broken}")
        assert found.status == 200
        assert "cannot be read" in text_of(found)


async def test_a_secret_is_in_no_page_no_code_and_no_link(owner: Browsing, house: Served):
    path = f"/console/try/{await operation_id(house, 'sign_text', 1)}"
    secret = "a-secret-that-nobody-sees-37"
    for given in ({"s:d.key": secret}, {"view": "json", "text": f'{{"key": "{secret}"}}'}):
        for action in ("refresh", "form", "json", "link", "dry", "run"):
            found = await owner.post(path, given | {"s:d.text": "hello", "texts": "yes", "do": action})
            assert found.status in {200, 422}, text_of(found)
            assert secret not in unescape(found.content.decode())


async def test_a_tool_runs_without_a_connection(owner: Browsing, house: Served):
    path = f"/console/try/{await operation_id(house, 'sign_text', 1)}"
    html = (await owner.get(path)).content.decode()

    assert 'name="connection"' not in html
    assert 'type="password"' in html


async def test_a_trigger_is_read_within_its_window_page_by_page(owner: Browsing, house: Served, connection: int):
    _status, _headers, found = await house.call(
        "GET", "/partners/trigger-actions/info?filter[partnerId]=225&filter[kind]=apiTrigger&per-page=1"
    )
    path = f"/console/try/{found['data'][0]['triggerActionId']}"
    ran = await owner.post(path, {"connection": connection, "limit": "1", "from": "2020-01-01T00:00:00Z", "do": "run"})
    assert ran.status == 200
    assert "hasMore" in text_of(ran)
    wrong = await owner.post(path, {"connection": connection, "limit": "0", "do": "run"})
    assert wrong.status == 422
    assert "limit" in text_of(wrong)


async def send_file(owner: Browsing, content: bytes, proof: str | None = None, **headers: str) -> Reply:
    """What the page's script sends for a file."""
    sent = {
        "Content-Type": "application/octet-stream",
        "Cookie": owner.cookie,
        "Origin": owner.served.origin,
        "X-CSRF-Token": await owner.proof() if proof is None else proof,
        **headers,
    }
    return await owner.served.fetch("POST", f"{CREATE_PERSON}/files", content=content, token=None, headers=sent)


async def test_a_file_is_kept_and_comes_back_by_its_name(owner: Browsing, house: Served, connection: int):
    name = "Grüße & \u202e.txt"
    found = await send_file(owner, b"hello", **{"X-File-Name": quote(name), "X-File-Type": "text/plain"})
    assert found.status == 200, found.content
    kept = (await house.call("GET", f"/files/{found.json['fileId']}"))[2]["data"]
    assert (kept["name"], kept["contentType"], kept["size"]) == ("Grüße & _.txt", "text/plain", 5)

    given = await owner.get(f"/console/files/{found.json['fileId']}")
    assert (given.status, given.content) == (200, b"hello")
    assert given.headers["content-disposition"].startswith("attachment;")
    assert (await owner.get("/console/files/file_0")).status == 404
    stranger = await Browsing(served=house).get(f"/console/files/{found.json['fileId']}")
    assert stranger.status == 303


async def test_a_file_is_taken_up_to_what_the_api_takes_and_from_nobody_without_proof(owner: Browsing, house: Served):
    most = file_most(house.runtime.settings)
    assert (await send_file(owner, b"x" * most, **{"X-File-Name": "large.bin"})).status == 200
    large = await send_file(owner, b"x" * (most + 1), **{"X-File-Name": "large.bin"})
    assert large.status == 413
    assert f"The file is larger than {most / 1_000_000:.1f} MB." in text_of(large)
    assert (await send_file(owner, b"hello", proof="wrong", **{"X-File-Name": "a.txt"})).status == 403
    assert (await send_file(owner, b"hello", **{"X-File-Name": "a.txt", "Origin": "https://evil.example"})).status == 403
    assert (await send_file(owner, b"", **{"X-File-Name": ""})).status == 422
    # Who is not signed in is told so before the bytes are looked at, however many they are.
    assert (await send_file(Browsing(served=house, cookie="polyport_console=x"), b"x" * (most + 1), proof="x")).status == 401


async def test_the_code_for_a_shell_for_python_and_for_javascript_runs(owner: Browsing, house: Served, connection: int):
    given = {"connection": connection, "s:d.name": 'O\'Hara $HOME `id` "x" \u00e9\U0001f600', "n:d.add_time": "1700000000"}
    html = (await owner.post(CREATE_PERSON, given | {"do": "preview"})).content.decode()
    panes = re.findall(r'aria-label="The call for (\w+)"><code>(.*?)</code>', html, re.DOTALL)
    code = {language: unescape(re.sub(r"<[^>]+>", "", found)) for language, found in panes}
    assert set(code) == {"curl", "Python", "JavaScript"}
    programs = [[sys.executable, "-c", code["Python"]]]
    if shutil.which("curl"):
        programs.append(["bash", "-c", code["curl"].replace("curl ", "curl -s ", 1)])
    if shutil.which("node"):
        programs.append(["node", "--input-type=module", "--eval", code["JavaScript"]])
    for program in programs:
        url = f"http://127.0.0.1:{house.origin.rpartition(':')[2]}"
        made = [part.replace(house.runtime.settings.origin, url) for part in program]
        running = await asyncio.create_subprocess_exec(
            *made,
            env={"PATH": os.environ["PATH"], "POLYPORT_TOKEN": house.token},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        told, _nothing = await running.communicate()
        assert running.returncode == 0, told
        newest: Any = (await house.call("GET", f"/runs/{(await run_ids(house))[0]}"))[2]
        assert newest["data"]["result"]["name"] == given["s:d.name"]
        assert newest["data"]["result"]["added"] == 1_700_000_000
