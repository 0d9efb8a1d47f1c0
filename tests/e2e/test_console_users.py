"""The people of an account through the API: roles, links, and who did what."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from e2e.console import Browsing, member, text_of
from e2e.served import EMAIL, PASSWORD, Clock, Served, make_settings, running_server
from polyport.audit import Verdict, verify
from polyport.cli.app import app
from polyport.console_users import PLACEHOLDER
from polyport.runtime import make_first_account

pytestmark = pytest.mark.anyio


async def add(served: Served, email: str, role: str = "viewer") -> dict[str, object]:
    status, _headers, answer = await served.call("POST", "/console-users", {"email": email, "role": role})
    assert status == 201, answer
    return dict(answer["data"])


async def test_the_first_user_owns_the_account(house: Served):
    _status, _headers, answer = await house.call("GET", "/console-users")

    assert (answer["data"][0]["email"], answer["data"][0]["role"], answer["data"][0]["scopes"]) == (EMAIL, "owner", ["admin"])


async def test_a_new_user_comes_in_by_a_link_once_and_signs_in_from_then_on(house: Served):
    made = await add(house, " Grace@Team.Example ")
    link = str(made["url"]).removeprefix(house.origin)
    browsing = Browsing(served=house)
    page = await browsing.get(link)
    robot = await browsing.get(link)
    assert (made["email"], made["hasPassword"], page.status, robot.status) == ("grace@team.example", False, 200, 200)
    assert page.headers["referrer-policy"] == "strict-origin", (
        "the address holds the token: nobody is told more than the host; without any referrer browsers would not say where the form comes from"
    )
    assert (await browsing.sign_in("grace@team.example", "")).status == 401

    form = {"token": link.partition("token=")[2], "email": "grace@team.example", "password": PASSWORD, "again": PASSWORD}
    assert (await browsing.post("/console/welcome", form, proof=None)).status == 303
    assert "grace@team.example" in text_of(await browsing.get("/console/you"))
    assert (await browsing.post("/console/welcome", form, proof=None)).status == 404
    assert (await browsing.get(link)).status == 404
    assert (await house.sign_in("grace@team.example"))["authToken"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"password": "short", "again": "short"}, "at least 8 characters"),
        ({"again": "another one"}, "not the same password"),
    ],
)
async def test_a_link_that_is_filled_in_wrongly_can_be_used_again(house: Served, change: dict[str, str], told: str):
    made = await add(house, f"{abs(hash(told))}@team.example")
    form = {"token": str(made["url"]).partition("token=")[2], "email": str(made["email"]), "password": PASSWORD, "again": PASSWORD}
    browsing = Browsing(served=house)
    wrong = await browsing.post("/console/welcome", form | change, proof=None)

    assert wrong.status == 422
    assert told in text_of(wrong)
    assert PASSWORD not in wrong.content.decode()
    assert (await browsing.post("/console/welcome", form, proof=None)).status == 303


async def test_a_link_ends_with_time_and_with_a_newer_one(tmp_path: Path):
    clock = Clock()
    async with running_server(tmp_path, clock=clock) as served:
        made = await add(served, "hal@team.example")
        newer = (await served.call("POST", f"/console-users/{made['id']}/link"))[2]["data"]["url"]
        browsing = Browsing(served=served)
        assert (await browsing.get(str(made["url"]).removeprefix(served.origin))).status == 404
        assert (await browsing.get(newer.removeprefix(served.origin))).status == 200
        clock.forward(72 * 3600 + 1)
        assert (await browsing.get(newer.removeprefix(served.origin))).status == 404


async def test_a_role_is_a_set_of_scopes_at_the_api_too(house: Served):
    await member(house, "viewer", "viewer@api.example")
    await member(house, "developer", "developer@api.example")
    viewer = str((await house.sign_in("viewer@api.example"))["authToken"])
    developer = str((await house.sign_in("developer@api.example"))["authToken"])
    link = {"partnerId": 225, "title": "L"}

    statuses = {
        (role, method, path): (await house.fetch(method, path, body, token=token)).status
        for role, token in (("viewer", viewer), ("developer", developer))
        for method, path, body in (
            ("GET", "/credentials", None),
            ("POST", "/credentials/grant-access-sharing", link),
            ("GET", "/api-keys", None),
            ("GET", "/console-users", None),
        )
    }
    assert {key for key, status in statuses.items() if status == 403} == {
        ("viewer", "POST", "/credentials/grant-access-sharing"),
        *((role, "GET", path) for role in ("viewer", "developer") for path in ("/api-keys", "/console-users")),
    }
    assert set(statuses.values()) == {200, 201, 403}


async def test_the_last_owner_stays_one(tmp_path: Path):
    async with running_server(tmp_path) as served:
        owner = (await served.call("GET", "/console-users"))[2]["data"][0]["id"]
        demoted = await served.fetch("PATCH", f"/console-users/{owner}", {"role": "viewer"})
        removed = await served.fetch("DELETE", f"/console-users/{owner}")
        assert (demoted.status, removed.status) == (409, 409)
        assert (await served.fetch("GET", "/console-users")).status == 200, "a refusal signs nobody out"

        second = await add(served, "second@team.example", "owner")
        assert (await served.fetch("DELETE", f"/console-users/{owner}")).status == 409, "who never came in lets nobody else in"
        assert (await served.fetch("PATCH", f"/console-users/{owner}", {"role": "developer"})).status == 409
        form = {"token": str(second["url"]).partition("token=")[2], "email": str(second["email"]), "password": PASSWORD, "again": PASSWORD}
        assert (await Browsing(served=served).post("/console/welcome", form, proof=None)).status == 303
        assert (await served.fetch("DELETE", f"/console-users/{owner}")).status == 200
        assert (await served.fetch("GET", "/console-users")).status == 401


async def test_the_keys_of_a_user_who_goes_stay(house: Served):
    await member(house, "owner", "goes@team.example")
    token = str((await house.sign_in("goes@team.example"))["authToken"])
    key = (await house.call("POST", "/api-keys", {"title": "k", "scopes": ["catalog:read"]}, token=token))[2]["data"]["key"]
    users = (await house.call("GET", "/console-users"))[2]["data"]
    user = next(each["id"] for each in users if each["email"] == "goes@team.example")

    assert (await house.fetch("DELETE", f"/console-users/{user}")).status == 200
    assert (await house.fetch("GET", "/partners/info", token=key)).status == 200
    assert (await house.fetch("GET", "/partners/info", token=token)).status == 401


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"email": "x", "role": "viewer"}, "email"),
        ({"email": "a b@c.de", "role": "viewer"}, "email"),
        ({"email": "<a@b.de>", "role": "viewer"}, "email"),
        ({"email": "a@b.de", "role": "admin"}, "role"),
        ({"email": "a@b.de"}, "role"),
    ],
)
async def test_a_user_that_makes_no_sense_is_refused_by_name(house: Served, body: dict[str, str], path: str):
    status, _headers, answer = await house.call("POST", "/console-users", body)

    assert status == 422
    assert [fault["path"] for fault in answer["error"]["fields"]] == [path]


async def test_an_address_that_is_taken_is_a_conflict(house: Served):
    assert (await house.fetch("POST", "/console-users", {"email": EMAIL.upper(), "role": "viewer"})).status == 409


async def test_who_did_what_is_written_down_without_a_secret_and_can_be_verified(tmp_path: Path):
    async with running_server(tmp_path) as served:
        key = (await served.call("POST", "/api-keys", {"title": "Deploy", "scopes": ["connections:write"]}))[2]["data"]
        link = {"partnerId": 225, "title": "Canary 7Hq2"}
        made = (await served.call("POST", "/credentials/grant-access-sharing", link, token=key["key"]))[2]["data"]
        forbidden = await served.fetch("POST", "/users", {"externalId": "ada"}, token=key["key"])
        _user, own = await served.end_user("ada")
        await served.call("POST", "/credentials/grant-access-sharing", link, token=own)
        browsing = Browsing(served=served)
        await browsing.sign_in()
        entries = (await served.call("GET", "/audit?per-page=100"))[2]["data"]
        verdict = (await served.call("GET", "/audit/verify"))[2]["data"]
        export = await served.fetch("GET", "/audit/export")

    lines = [json.loads(line) for line in export.content.splitlines()]
    told = [(each["via"], each["actorName"], each["action"], each["target"], each["status"]) for each in reversed(entries)]
    linked = "/credentials/grant-access-sharing"
    assert forbidden.status == 403
    assert told == [
        ("api", EMAIL, "POST /api-keys", f"/api-keys/{key['id']}", 201),
        ("api", "Deploy", f"POST {linked}", f"{linked}/{made['id']}", 201),
        ("api", "Deploy", "POST /users", "/users", 403),
        ("api", EMAIL, "POST /users", "/users/1", 201),
        ("api", EMAIL, "POST /users/{userId}/token", "/users/1/token", 201),
        ("console", EMAIL, "console sign-in", "", 200),
    ]
    assert verify(lines) == Verdict(entries=len(told) + 1, head=lines[-1]["hash"])
    assert (lines[-1]["action"], lines[-2]["hash"]) == ("GET /audit/export", verdict["head"])  # the export itself is in it
    assert (verdict["ok"], verdict["entries"]) == (True, len(told))
    assert "7Hq2" not in export.content.decode()
    assert key["key"] not in export.content.decode()


async def test_the_log_is_paged_by_cursor(house: Served):
    for number in range(3):
        await add(house, f"paged{number}@team.example")
    first = (await house.call("GET", "/audit?per-page=2"))[2]
    second = (await house.call("GET", f"/audit?per-page=2&cursor={first['meta']['nextCursor']}"))[2]

    found = [each["sequence"] for each in (*first["data"], *second["data"])]
    assert found == list(range(found[0], found[0] - 4, -1))
    assert (await house.fetch("GET", "/audit?cursor=x")).status == 422


def test_the_commands_add_list_change_and_remove_users(tmp_path: Path):
    data = tmp_path / "data"
    asyncio.run(make_first_account(make_settings(data), lambda: PASSWORD))

    def polyport(*arguments: str, data_too: bool = True) -> tuple[int, str]:
        told = CliRunner().invoke(app, [*arguments, *(("--data", str(data)) if data_too else ())])
        return told.exit_code, told.output + (str(told.exception) if told.exception is not None else "")

    code, output = polyport("console-user", "add", "ada@team.example", "--role", "viewer")
    assert (code, "/console/welcome?token=ppw_" in output) == (0, True)
    assert "ppw_" in polyport("console-user", "link", "ada@team.example")[1]
    assert polyport("console-user", "role", "ada@team.example", "developer")[0] == 0
    code, output = polyport("console-user", "list")
    assert (code, "developer  ada@team.example  (has not come in yet)" in output, f"owner      {EMAIL}" in output) == (0, True, True)
    assert polyport("console-user", "remove", "ada@team.example")[0] == 0
    for refused, told in (
        (("console-user", "remove", EMAIL), "last owner"),
        (("console-user", "role", "nobody@team.example", "viewer"), "There is no user"),
        (("console-user", "add", "x", "--role", "viewer"), "An e-mail address is needed"),
        (("console-user", "add", "b@team.example", "--role", "king"), "A role is one of"),
    ):
        code, output = polyport(*refused)
        assert (code, told in output) == (1, True), output


async def test_an_export_is_verified_anywhere(house: Served, tmp_path: Path):
    await add(house, "verified@team.example")
    lines = (await house.fetch("GET", "/audit/export")).content.splitlines(keepends=True)
    head = (await house.call("GET", "/audit/verify"))[2]["data"]["head"]
    file = tmp_path / "audit.ndjson"

    def verified(content: list[bytes], *more: str) -> tuple[int, str]:
        file.write_bytes(b"".join(content))
        told = CliRunner().invoke(app, ["audit", "verify", str(file), *more])
        return told.exit_code, told.output + str(told.exception)

    assert verified(lines, "--head", head)[0] == 0
    assert verified([lines[0].replace(b'"status":201', b'"status":200'), *lines[1:]])[0] == 1
    kept = json.loads(lines[0])["hash"]
    assert "is that of entry 1, 1 came after it" in verified(lines[:2], "--head", kept)[1]
    assert "No entry has the hash" in verified(lines, "--head", "0" * 64)[1]
    assert "its end is missing" in verified(lines[:-1], "--head", head)[1]
    assert "line 1" in verified([b"no json\n"])[1]


async def test_the_first_start_gives_a_link_by_which_the_owner_comes_in_once(tmp_path: Path):
    first = await make_first_account(
        make_settings(tmp_path / "data", bootstrap_password="", public_url="http://127.0.0.1"), lambda: PASSWORD
    )
    assert first is not None
    assert first.welcome is not None
    assert await make_first_account(make_settings(tmp_path / "data", bootstrap_password=""), lambda: PASSWORD) is None
    async with running_server(tmp_path) as served:
        browsing = Browsing(served=served)
        path = first.welcome.removeprefix("http://127.0.0.1")
        assert EMAIL in (await browsing.get(path)).content.decode()
        form = {"token": path.partition("token=")[2], "email": "me@team.example", "password": "my own password", "again": "my own password"}
        assert (await browsing.post("/console/welcome", form, proof=None)).status == 303
        assert "Owner" in text_of(await browsing.get("/console/you"))
        assert (await browsing.get(path)).status == 404
        assert (await served.sign_in(EMAIL, "my own password"))["authToken"], "the address is the one that the operator gave"


async def test_the_owner_of_a_first_start_without_any_address_gives_one_which_the_log_tells(tmp_path: Path):
    settings = make_settings(tmp_path / "data", bootstrap_email="", bootstrap_password="", public_url="http://127.0.0.1")
    first = await make_first_account(settings, lambda: PASSWORD)
    assert first is not None
    assert first.welcome is not None
    async with running_server(tmp_path, bootstrap_email=PLACEHOLDER) as served:
        browsing = Browsing(served=served)
        path = first.welcome.removeprefix("http://127.0.0.1")
        page = (await browsing.get(path)).content.decode()
        assert "readonly" not in page
        assert PLACEHOLDER not in page
        form = {"token": path.partition("token=")[2], "password": "my own password", "again": "my own password"}
        for wrong in ("", "nobody"):
            refused = await browsing.post("/console/welcome", form | {"email": wrong}, proof=None)
            assert (refused.status, "An e-mail address is needed" in text_of(refused)) == (422, True)
            assert f'value="{wrong}"' in refused.content.decode()
        assert (await browsing.post("/console/welcome", form | {"email": " Me@Team.example"}, proof=None)).status == 303
        served.token = str((await served.sign_in("me@team.example", "my own password"))["authToken"])
        entries = (await served.call("GET", "/audit"))[2]["data"]
        assert [(each["action"], each["target"]) for each in entries] == [
            ("console e-mail address", f"{PLACEHOLDER} is me@team.example now"),
            ("POST /user/welcome", "/console-users/1"),
        ]
        made = await add(served, "second@team.example")
        link = str(made["url"]).removeprefix(served.origin)
        guest = {"token": link.partition("token=")[2], "email": "other@team.example", "password": PASSWORD, "again": PASSWORD}
        other = Browsing(served=served)
        assert "readonly" in (await other.get(link)).content.decode()
        assert (await other.post("/console/welcome", guest, proof=None)).status == 303
        assert "second@team.example" in text_of(await other.get("/console/you")), "an invitation is for one address"


async def test_a_first_account_that_the_operator_named_has_no_link(tmp_path: Path):
    first = await make_first_account(make_settings(tmp_path / "data"), lambda: PASSWORD)

    assert first is not None
    assert (first.password, first.welcome) == (None, None)
