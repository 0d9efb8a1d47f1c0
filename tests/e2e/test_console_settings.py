"""The settings in the console: what they change, what is shown once, what has to be typed, and other people's text as text."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from e2e.console import Browsing, text_of
from e2e.served import EMAIL, PASSWORD, PIPEDRIVE, Reply, Served, running_server
from polyport.server.console.show import asked_name
from stored import opened_file

pytestmark = pytest.mark.anyio

HOSTILE = '<script>alert("x")</script>\u202e' + "ü" * 120
PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PETS = {
    "openapi": "3.1.0",
    "info": {"title": "Pets", "version": "1.0.0"},
    "servers": [{"url": "https://pets.example.com/v1"}],
    "paths": {"/pets": {"get": {"operationId": "listPets", "summary": "List pets", "responses": {"200": {"description": "Pets"}}}}},
}


def shown_secret(reply: Reply, prefix: str) -> str:
    found = re.search(rf"<code>({prefix}[A-Za-z0-9_+/=-]+)</code>", reply.content.decode())
    assert found, reply.content
    return found[1]


async def test_a_key_is_made_shown_once_and_works_with_its_scopes_alone(house: Served, owner: Browsing):
    made = await owner.follow(
        await owner.post("/console/settings/keys", {"title": "Nightly <job>", "scope.catalog:read": "1", "ends": "30"})
    )
    key = shown_secret(made, "ppk_")
    listed = await owner.get("/console/settings/keys")

    assert made.status == 200
    assert key not in listed.content.decode()
    assert "Nightly <job>" in text_of(listed)
    assert b"<job>" not in listed.content
    assert (await house.fetch("GET", "/partners/info", token=key)).status == 200
    assert (await house.fetch("GET", "/runs", token=key)).status == 403
    item = (await house.fetch("GET", "/api-keys")).json["data"][0]
    assert (await house.fetch("GET", f"/api-keys/{item['id']}")).json["data"] == item
    assert item["expiresAt"] - item["createdAt"] == 30 * 86_400


async def test_a_key_is_deleted_by_who_types_its_name(house: Served, owner: Browsing):
    title = HOSTILE[:150]
    await owner.post("/console/settings/keys", {"title": title, "scope.runs:read": "1"})
    item = (await house.fetch("GET", "/api-keys")).json["data"][0]
    wrong = await owner.post(f"/console/settings/keys/{item['id']}/delete", {"confirm": "something else"})
    kept = (await house.fetch("GET", f"/api-keys/{item['id']}")).status
    asked = re.search(r'data-confirms="(&lt;script[^"]*)"', wrong.content.decode())
    right = await owner.post(f"/console/settings/keys/{item['id']}/delete", {"confirm": asked_name(title)})

    assert (wrong.status, kept, right.status) == (422, 200, 303)
    assert asked
    assert b"<script>alert" not in wrong.content
    assert "That was not the name" in text_of(wrong)
    assert (await house.fetch("GET", f"/api-keys/{item['id']}")).status == 404
    assert (await owner.post("/console/settings/keys/999999/delete", {"confirm": "x"})).status == 404


async def test_a_key_that_is_filled_in_wrongly_is_asked_for_again(owner: Browsing):
    found = await owner.post("/console/settings/keys", {"title": "", "ends": "90"})

    assert found.status == 422
    assert found.content.count(b'class="error"') == 2
    assert '<option value="90" selected>' in found.content.decode()


async def test_people_are_added_by_a_link_given_roles_and_removed(house: Served, owner: Browsing):
    made = await owner.follow(await owner.post("/console/settings/people", {"email": "ada@team.example", "role": "viewer"}))
    url = re.search(r"<code>(http[^<]+/console/welcome\?token=[^<]+)</code>", made.content.decode())
    assert url, made.content
    assert "Not in yet" in text_of(made)
    assert url[1] not in (await owner.get("/console/settings/people")).content.decode()
    person = next(each for each in (await house.fetch("GET", "/console-users")).json["data"] if each["email"] == "ada@team.example")
    path = f"/console/settings/people/{person['id']}"
    assert (await owner.post(path + "/role", {"role": "developer"})).status == 303
    assert "Developer" in text_of(await owner.get("/console/settings/people"))
    ada, token = Browsing(served=house), url[1].partition("token=")[2]
    form = {"token": token, "email": "ada@team.example", "password": PASSWORD, "again": PASSWORD}
    assert (await ada.post("/console/welcome", form, proof=None)).status == 303
    assert (await owner.post(path + "/sign-out")).status == 303
    assert (await ada.get("/console/catalogue")).status == 303
    assert "ada@team.example is signed out everywhere." in text_of(await owner.get("/console/settings/people"))
    again = await owner.follow(await owner.post(path + "/link"))
    assert "A link for ada@team.example" in text_of(again)
    assert "A link for" not in text_of(await owner.get("/console/settings/people"))
    assert (await owner.post(path + "/remove", {"confirm": "grace@team.example"})).status == 422
    assert (await owner.post(path + "/remove", {"confirm": "ada@team.example"})).status == 303
    assert "ada@team.example is removed." in text_of(await owner.get("/console/settings/people"))
    assert "ada@team.example" not in text_of(await owner.get("/console/settings/people"))


async def test_the_last_owner_stays(house: Served, owner: Browsing):
    me = (await house.fetch("GET", "/console-users")).json["data"][0]
    assert me["email"] == EMAIL
    asked = await owner.follow(await owner.post(f"/console/settings/people/{me['id']}/role", {"role": "viewer"}))
    assert "Change your own role?" in text_of(asked)
    wrong = await owner.post(f"/console/settings/people/{me['id']}/role", {"role": "viewer", "confirm": "x"})
    assert (wrong.status, "That was not the name" in text_of(wrong)) == (422, True)
    found = await owner.post(f"/console/settings/people/{me['id']}/role", {"role": "viewer", "confirm": EMAIL})
    assert found.status == 409
    assert b'role="alert"' in found.content
    assert (await owner.post("/console/settings/people", {"email": "nobody", "role": "viewer"})).content.count(b'class="error"') == 1


async def test_a_webhook_is_made_changed_rotated_paused_and_deleted(house: Served, owner: Browsing):
    form = {"url": house.origin + "/hooks", "title": "Ours", "type.run.finished": "1"}
    made = await owner.follow(await owner.post("/console/settings/webhooks", form))
    secret = shown_secret(made, "whsec_")
    endpoint = (await house.fetch("GET", "/event-endpoints")).json["data"][0]
    path = f"/console/settings/webhooks/{endpoint['endpointId']}"
    assert endpoint["eventTypes"] == ["run.finished"]
    assert secret not in (await owner.get(path)).content.decode()
    assert (await owner.post(path, form | {"type.link.completed": "1"})).status == 303
    rotated = shown_secret(await owner.follow(await owner.post(path + "/secret", {"keepFor": "3600"})), "whsec_")
    assert rotated != secret
    held = (await house.fetch("GET", f"/event-endpoints/{endpoint['endpointId']}")).json["data"]
    assert (held["eventTypes"], len(held["secrets"])) == (["run.finished", "link.completed"], 2)
    sent = await owner.follow(await owner.post(path + "/test"))
    assert "endpoint.test" in text_of(sent)
    assert (await owner.post(path + "/status", {"status": "paused"})).status == 303
    paused = text_of(await owner.get(path))
    assert "It is paused: what happens now waits for it." in paused
    assert "Send a test" not in paused
    assert "A test can be sent once this webhook goes on." in text_of(await owner.follow(await owner.post(path + "/test")))
    assert (await owner.post(path + "/status", {"status": "active"})).status == 303
    assert (await owner.post(path + "/delete", {"confirm": "Theirs"})).status == 422
    assert (await owner.post(path + "/delete", {"confirm": "Ours"})).status == 303
    assert (await owner.get(path)).status == 404


async def test_a_webhook_that_is_filled_in_wrongly_is_asked_for_again(owner: Browsing):
    found = await owner.post("/console/settings/webhooks", {"url": "ftp://x", "title": HOSTILE, "type.*": "1"})
    assert found.status == 422
    assert found.content.count(b'class="error"') == 1
    assert b"<script>alert" not in found.content


async def test_the_secret_of_callbacks_is_rotated_and_shown_once(house: Served, owner: Browsing):
    asked = await owner.follow(await owner.post("/console/settings/webhooks/callback-secret", {"keepFor": "0"}))
    assert "refuses every callback until it knows the new one" in text_of(asked)
    assert (await owner.post("/console/settings/webhooks/callback-secret", {"keepFor": "0", "confirm": "webhooks"})).status == 422
    made = await owner.post("/console/settings/webhooks/callback-secret", {"keepFor": "0", "confirm": "callbacks"})
    secret = shown_secret(await owner.follow(made), "whsec_")
    listed = await owner.get("/console/settings/webhooks")
    assert secret not in listed.content.decode()
    assert (await house.fetch("GET", "/account/callback-secret")).json["data"]["secrets"][0]["hint"] in text_of(listed)


async def test_the_connect_page_gets_a_name_a_colour_a_logo_and_hosts(house: Served, owner: Browsing):
    form = {"name": "Acme & Söhne", "color": "#aa3300", "colored": "1", "logo": PIXEL}
    assert (await owner.post("/console/settings/connect-page", form)).status == 303
    assert (await owner.post("/console/settings/redirect-hosts", {"hosts": " app.example.com\r\n\r\n*.Example.org"})).status == 303
    account = (await house.fetch("GET", "/account")).json["data"]
    assert account["branding"] == {"name": "Acme & Söhne", "color": "#aa3300", "logo": PIXEL}
    assert account["allowedRedirectHosts"] == ["app.example.com", "*.example.org"]
    shown = (await owner.get("/console/settings/connect-page?saved=1")).content.decode()
    assert "Acme &amp; Söhne" in shown
    assert PIXEL in shown
    assert (await owner.post("/console/settings/connect-page", {"name": "Acme", "color": "#aa3300"})).status == 303
    assert (await house.fetch("GET", "/account")).json["data"]["branding"] == {"name": "Acme", "color": None, "logo": PIXEL}
    assert (await owner.post("/console/settings/connect-page", {"unset-logo": "1"})).status == 303
    assert (await house.fetch("GET", "/account")).json["data"]["branding"]["logo"] is None


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("connect-page", {"name": "x" * 101}),
        ("connect-page", {"logo": "data:text/html;base64,PHNjcmlwdD4="}),
        ("connect-page", {"colored": "1", "color": "red"}),
        ("redirect-hosts", {"hosts": "https://app.example.com/x"}),
    ],
)
async def test_what_the_connect_page_cannot_have_is_told_at_its_field(owner: Browsing, path: str, form: dict[str, str]):
    found = await owner.post(f"/console/settings/{path}", form)
    assert found.status == 422
    assert found.content.count(b'class="error"') == 1


async def test_an_oauth_app_is_kept_masked_and_deleted_by_its_partners_name(house: Served, owner: Browsing):
    path, secret = f"/console/settings/oauth-apps/{PIPEDRIVE}", "s3cr3t-7f6e5d4c3b2a1f0e"
    assert "None" in text_of(await owner.get("/console/settings/oauth-apps"))
    form = {"clientId": "client-1", "clientSecret": secret, "scopes": "deals:read\ncontacts:read"}
    assert (await owner.post(path, form)).status == 303
    shown = await owner.get(path)
    assert secret not in shown.content.decode()
    assert "1f0e" in text_of(shown)
    held = (await house.fetch("GET", f"/oauth-apps/{PIPEDRIVE}")).json["data"]
    assert (held["owner"], held["clientId"], held["scopes"]) == ("account", "client-1", ["deals:read", "contacts:read"])
    assert held["redirectUri"] in text_of(shown)
    empty = await owner.post(path, {"clientId": "", "clientSecret": secret})
    assert (empty.status, secret in empty.content.decode()) == (422, False)
    assert (await owner.post(path + "/delete", {"confirm": "HubSpot"})).status == 422
    assert (await owner.post(path + "/delete", {"confirm": "Pipedrive"})).status == 303
    assert (await house.fetch("GET", f"/oauth-apps/{PIPEDRIVE}")).json["data"]["owner"] is None
    assert (await owner.get("/console/settings/oauth-apps/1")).status == 404


async def test_the_audit_log_says_who_did_it_in_words_is_verified_and_exported(owner: Browsing):
    await owner.post("/console/settings/keys", {"title": "Audited", "scope.catalog:read": "1"})
    log = text_of(await owner.get("/console/settings/audit"))
    verified = text_of(await owner.follow(await owner.post("/console/settings/audit/verify")))
    exported = await owner.get("/console/settings/audit/export")

    assert re.search(r"owner@example.com\s+Console\s+Made an API key\s+Audited", log)
    assert "The log is as it was written" not in text_of(await owner.get("/console/settings/audit"))
    assert "The log is as it was written" in verified
    assert exported.headers["content-disposition"].startswith("attachment")
    actions = [json.loads(line)["action"] for line in exported.content.splitlines()]
    assert "POST /api-keys" in actions
    assert "Nothing here" in text_of(await owner.get("/console/settings/audit?target=/nothing"))
    older = await owner.get("/console/settings/audit?cursor=2")
    assert older.status == 200
    assert (await owner.get("/console/settings/audit?cursor=x")).status == 422


async def test_the_audit_log_says_which_entry_was_changed_afterwards(tmp_path: Path):
    async with running_server(tmp_path) as served:
        owner = Browsing(served=served)
        await owner.sign_in()
        assert "The log is as it was written: 1 entry." in text_of(await owner.follow(await owner.post("/console/settings/audit/verify")))
        for title in ("First", "Second"):
            await owner.post("/console/settings/keys", {"title": title, "scope.catalog:read": "1"})
        with opened_file(tmp_path / "data" / "polyport.db") as other:
            other.execute("UPDATE audit_entries SET actor_name = 'Nobody' WHERE sequence = 2")
            assert other.changes() == 1
        assert "The log was changed: entry 2 is not as it was written." in text_of(
            await owner.follow(await owner.post("/console/settings/audit/verify"))
        )


async def imported(owner: Browsing, found: Reply) -> str:
    """The page of an import once it has ended or asks."""
    assert found.status == 303, found.content
    async with asyncio.timeout(60):
        while b"<progress" in (shown := await owner.get(found.headers["location"])).content:  # noqa: ASYNC110  it is read as somebody at the page reads it
            await asyncio.sleep(0.1)
    return text_of(shown)


async def test_a_description_becomes_a_partner_with_versions_that_is_deprecated_and_removed(house: Served, owner: Browsing):
    form = {"slug": "pets", "document": json.dumps(PETS), "publish": "1"}
    told = await imported(owner, await owner.post("/console/settings/partners", form))
    assert "Version 1 serves." in told
    partner = (await house.fetch("GET", "/partners/own")).json["data"][0]
    path = f"/console/settings/partners/{partner['partnerId']}"
    report = text_of(await owner.get(path + "/versions/1"))
    assert "What came of the description" in report
    assert "1 operation described, 1 action, 0 triggers, 0 lists." in report
    changed = {**PETS, "paths": {"/pets": {"post": {"operationId": "addPet", "responses": {"200": {"description": "A pet"}}}}}}
    draft = await imported(owner, await owner.post("/console/settings/partners", {"slug": "pets", "document": json.dumps(changed)}))
    assert "is a draft" in draft
    assert "I know that it breaks" in text_of(await owner.get(path + "/versions/2"))
    assert (await owner.post(path + "/versions/2/publish")).status == 409
    assert (await owner.post(path + "/versions/2/publish", {"breaking": "1"})).status == 303
    assert (await owner.post(path + "/deprecation", {"message": "Use cats.", "on": "2027-01-01"})).status == 303
    assert "Use cats. (from 2027-01-01 on)" in text_of(await owner.get(path))
    assert re.search(r"Pets\s.*Deprecated", text_of(await owner.get("/console/catalogue?q=pets&deprecated=1")), re.DOTALL)
    assert "No partner fits" in text_of(await owner.get("/console/catalogue?q=pets&deprecated=0"))
    shown = text_of(await owner.get(f"/console/catalogue/{path.rpartition('/')[2]}"))
    assert "This partner is deprecated and may be gone from 2027-01-01 on" in shown
    assert "Use cats." in shown
    assert (await owner.post(path + "/undeprecate")).status == 303
    assert (await owner.post(path + "/remove", {"confirm": "Pets"})).status == 422
    assert (await owner.post(path + "/remove", {"confirm": "pets"})).status == 303
    assert (await owner.get(path)).status == 404


async def test_an_import_that_asks_is_answered_on_its_page(house: Served, owner: Browsing):
    two = {**PETS, "servers": [{"url": "https://pets.example.com/v1"}, {"url": "https://eu.pets.example.com/v1", "description": HOSTILE}]}
    started = await owner.post("/console/settings/partners", {"slug": "two-pets", "document": json.dumps(two), "publish": "1"})
    asked = await imported(owner, started)
    assert "It asks" in asked
    page = (await owner.get(started.headers["location"])).content.decode()
    assert "<script>alert" not in page
    answer = {"base": "https://eu.pets.example.com/v1"}
    done = await imported(owner, await owner.post(started.headers["location"] + "/answer", answer))
    assert "serves." in done


@pytest.mark.parametrize(
    "form",
    [{"slug": "X y", "url": "https://example.com/openapi.json"}, {"slug": "pets"}, {"slug": "pets", "url": "http://169.254.169.254/"}],
)
async def test_an_import_that_cannot_be_is_told_and_asked_for_again(owner: Browsing, form: dict[str, str]):
    found = await owner.post("/console/settings/partners", form)
    assert found.status in {403, 422}
    assert b'class="error"' in found.content or b'role="alert"' in found.content


async def test_a_description_that_cannot_be_read_is_refused_with_a_reason(owner: Browsing):
    told = await imported(owner, await owner.post("/console/settings/partners", {"slug": "nonsense", "document": "{}"}))
    assert "Refused" in told


async def test_who_takes_the_audit_log_away_is_in_it(house: Served, owner: Browsing):
    before = (await house.call("GET", "/audit?per-page=1"))[2]["data"][0]["sequence"]
    assert (await owner.get("/console/settings/audit/export")).status == 200
    assert (await house.fetch("GET", "/audit/export")).status == 200
    told = (await house.call("GET", "/audit?per-page=2"))[2]["data"]

    assert [(entry["action"], entry["via"]) for entry in told] == [("GET /audit/export", "api"), ("GET /audit/export", "console")]
    assert told[0]["sequence"] == before + 2
