"""Forms of the settings that were refused, sent twice, taken back or are very large: nothing typed is lost, nothing is done twice, nothing is done unasked."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from e2e.console import Browsing, member, text_of
from e2e.receiver import open_receiver
from e2e.served import EMAIL, PIPEDRIVE, Reply, Served, answer, running_server

pytestmark = pytest.mark.anyio

TURNED = "Acme\u202eemcA"


def description(operations: int, **more: Any) -> dict[str, Any]:
    paths = {
        f"/things/{number}": {"get": {"operationId": f"get{number}", "summary": f"Thing {number}: " + 'a {"b"} ' * 200, "responses": {}}}
        for number in range(operations)
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Things", "version": "1"},
        "servers": [{"url": "https://things.example.com"}],
        "paths": paths,
    } | more


async def ended(owner: Browsing, found: Reply) -> str:
    assert found.status == 303, found.content[:2000]
    async with asyncio.timeout(120):
        while b"<progress" in (shown := await owner.get(found.headers["location"])).content:  # noqa: ASYNC110  it is read as somebody at the page reads it
            await asyncio.sleep(0.1)
    return text_of(shown)


async def test_a_description_of_three_mib_is_imported(owner: Browsing):
    document = json.dumps(description(1_600))
    assert len(document) > 3 * 1024 * 1024
    told = await ended(owner, await owner.post("/console/settings/partners", {"slug": "things", "document": document, "publish": "1"}))
    assert "serves." in told


async def test_files_beside_a_description_are_sent_with_it(owner: Browsing):
    document = description(1)
    document["paths"]["/things/0"]["get"]["responses"] = {
        "200": {"description": "x", "content": {"application/json": {"schema": {"$ref": "thing.json"}}}}
    }
    beside = {"file.0.name": "thing.json", "file.0.text": json.dumps({"type": "object", "properties": {"name": {"type": "string"}}})}
    form = {"slug": "beside", "document": json.dumps(document), "publish": "1"}
    assert "serves." in await ended(owner, await owner.post("/console/settings/partners", form | beside))
    wrong = await owner.post("/console/settings/partners", form | beside | {"file.0.name": "../up.json"})
    assert (wrong.status, wrong.content.count(b'class="error"')) == (422, 1)
    assert "Beside the description: ../up.json." in text_of(wrong), "what was read is still there"


async def test_only_who_may_import_sends_more_than_a_form_has(house: Served):
    form = {"slug": "x", "document": "x" * 1_100_000}
    stranger = await Browsing(served=house).post("/console/settings/partners", form, proof=None)
    viewer = await (await member(house, "viewer", "large@team.example")).post("/console/settings/partners", form)
    assert (stranger.status, viewer.status) == (413, 413)


async def test_what_is_too_much_for_the_importer_is_refused_with_what_was_typed_still_there(tmp_path):
    async with running_server(tmp_path, imports_document_limit=200_000) as served:
        owner = Browsing(served=served)
        await owner.sign_in()
        found = await owner.post("/console/settings/partners", {"slug": "kept-here", "document": "x" * 300_000})
        assert found.status == 413
        assert 'value="kept-here"' in found.content.decode()
        assert "x" * 300_000 in found.content.decode()


async def test_a_webhook_keeps_its_events_when_a_button_beside_them_is_refused(house: Served, owner: Browsing):
    made = (
        await house.call("POST", "/event-endpoints", {"url": house.origin + "/hooks", "title": "Kept", "eventTypes": ["run.finished"]})
    )[2]["data"]
    path = f"/console/settings/webhooks/{made['endpointId']}"
    refused = await owner.post(path + "/secret", {"keepFor": "0", "confirm": "not it"})
    assert refused.status == 422
    assert re.search(r'name="type\.run\.finished" value="1" checked', refused.content.decode())


async def test_the_secret_of_a_webhook_ends_at_once_for_who_types_its_name(house: Served, owner: Browsing):
    made = (await house.call("POST", "/event-endpoints", {"url": house.origin + "/hooks", "title": "Ends"}))[2]["data"]
    path = f"/console/settings/webhooks/{made['endpointId']}"
    asked = await owner.follow(await owner.post(path + "/secret", {"keepFor": "0"}))
    assert "refuses every event until it knows the new one" in text_of(asked)
    shown = await owner.follow(await owner.post(path + "/secret", {"keepFor": "0", "confirm": "Ends"}))
    assert "whsec_" in text_of(shown)
    assert "whsec_" not in text_of(await owner.get(path))
    assert len((await house.fetch("GET", f"/event-endpoints/{made['endpointId']}")).json["data"]["secrets"]) == 1


async def test_what_a_webhook_was_told_is_listed_and_sent_again(house: Served, owner: Browsing):
    async with open_receiver() as receiver:
        made = (await house.call("POST", "/event-endpoints", {"url": receiver.url, "title": "Heard"}))[2]["data"]
        path = f"/console/settings/webhooks/{made['endpointId']}"
        sent = await owner.post(path + "/test")
        await receiver.arrived()
        event = receiver.ids[0]
        assert sent.headers["location"].endswith(f"?sent={event}")
        assert "was taken: your receiver answered 204." in await told(owner, sent.headers["location"], "was taken")
        listed = text_of(await owner.get(path))
        assert re.search(r"endpoint\.test\s+evt_\w+…\s+Delivered", listed)
        again = await owner.post(f"{path}/events/{event}/replay")
        await receiver.arrived(2)
        assert receiver.ids == [event, event]
        assert again.headers["location"].endswith(f"?sent={event}")

        async def gone(_asked: Any) -> bytes:
            return answer(500)

        receiver.wire.handler = gone
        failed = await owner.post(path + "/test")
        assert "was not taken. The receiver answered with status 500." in await told(owner, failed.headers["location"], "was not taken")
        assert "No event fits" in text_of(await owner.get(path + "?status=dead"))
        other = (await house.call("POST", "/event-endpoints", {"url": receiver.url, "title": "Silent", "eventTypes": ["link.completed"]}))[
            2
        ]["data"]
        assert "Nothing was told yet" in text_of(await owner.get(f"/console/settings/webhooks/{other['endpointId']}"))
        first = (await house.call("GET", f"/events?endpointId={made['endpointId']}&per-page=1"))[2]
        rest = (await house.call("GET", f"/events?endpointId={made['endpointId']}&cursor={first['meta']['nextCursor']}"))[2]
        assert [each["eventId"] for each in rest["data"]] == [event]


async def told(owner: Browsing, path: str, words: str) -> str:
    async with asyncio.timeout(60):
        while words not in (shown := text_of(await owner.get(path))):  # noqa: ASYNC110  it is read as somebody at the page reads it
            await asyncio.sleep(0.05)
    return shown


async def test_webhooks_and_versions_are_paged_by_cursor_in_an_order(house: Served):
    for title in ("zeta", "Alpha", "beta"):
        await house.call("POST", "/event-endpoints", {"url": house.origin + "/hooks", "title": title})
    found: list[str] = []
    cursor = "*"
    while cursor:
        page = (await house.call("GET", f"/event-endpoints?per-page=2&cursor={cursor}"))[2]
        found += [each["title"] or each["url"] for each in page["data"]]
        cursor = page["meta"]["nextCursor"]
    assert found == sorted(found, key=str.casefold)
    assert {"zeta", "Alpha", "beta"} <= set(found)
    own = (await house.call("GET", "/partners/own"))[2]["data"]
    if own:
        versions = (await house.call("GET", f"/partners/{own[0]['partnerId']}/versions?cursor=*&per-page=1"))[2]
        assert versions["meta"]["perPage"] == 1


async def test_a_choice_that_was_taken_back_stays_so_after_an_error(house: Served, owner: Browsing):
    await house.call("PATCH", "/account", {"branding": {"name": "Acme", "color": "#aa3300"}})
    found = (await owner.post("/console/settings/connect-page", {"name": "x" * 101, "color": "#aa3300"})).content.decode()
    assert re.search(r'name="colored" value="1">', found)
    assert "This is too long: at most 100 characters." in found


async def test_the_preview_is_the_page_itself_and_can_be_shown_here_alone(house: Served, owner: Browsing):
    await house.call("PATCH", "/account", {"branding": {"name": "Acme", "color": "#ffd400"}})
    kept = await owner.get("/console/settings/connect-page/preview")
    tried = await owner.post(
        "/console/settings/connect-page/preview", {"name": TURNED, "color": "#112233", "colored": "1", "logo": "no image"}
    )
    plain = await owner.post("/console/settings/connect-page/preview", {"name": "", "color": "#112233"})
    shown = await owner.get("/console/settings/connect-page")
    assert "Acme asks for access to your Pipedrive account" in text_of(kept)
    assert "/connect/brand/ffd400" in kept.content.decode()
    assert "#000000" in (await house.fetch("GET", "/connect/brand/ffd400", token=None)).content.decode()
    assert "/connect/brand/112233" in tried.content.decode()
    assert "Acme\\u202eemcA asks for access" in text_of(tried)
    assert "/connect/brand/" not in plain.content.decode()
    for page in (kept, tried, plain):
        assert (page.status, b" inert>" in page.content, b"<script" in page.content) == (200, True, False)
        assert "frame-ancestors 'self'" in page.headers["content-security-policy"]
        assert "form-action 'none'" in page.headers["content-security-policy"]
        assert page.headers["x-frame-options"] == "SAMEORIGIN"
    assert "frame-src 'self'" in shown.headers["content-security-policy"]
    assert "frame-src" not in (await owner.get("/console/settings/keys")).headers["content-security-policy"]
    assert (await house.call("GET", "/account"))[2]["data"]["branding"]["color"] == "#ffd400", "to look changes nothing"


@pytest.mark.parametrize(
    ("hosts", "told"),
    [
        ("app.example.com\nhttps://x/y\nlocalhost:3000", "“https://x/y”: A host is needed here"),
        ("app.example.com:99999", "“app.example.com:99999”: A port is a number from 1 to 65535"),
        ("a.example.com\na.example.com", "A.example.com stands here twice"),
        ("bücher.example", '“bücher.example”: Browsers write this host as "xn--bcher-kva.example"'),
    ],
)
async def test_what_is_wrong_with_which_host_is_told(owner: Browsing, hosts: str, told: str):
    found = await owner.post("/console/settings/redirect-hosts", {"hosts": hosts})
    assert (found.status, told in text_of(found)) == (422, True), text_of(found)
    assert hosts.splitlines()[0] in text_of(found)


@pytest.mark.parametrize("seen", ["\u200b", " \u00a0 ", "\u3164"])
async def test_a_title_of_which_nothing_is_seen_is_refused(house: Served, seen: str):
    for path, body in (
        ("/api-keys", {"scopes": ["runs:read"]}),
        ("/event-endpoints", {"url": house.origin + "/hooks"}),
        ("/credentials", {"partnerId": PIPEDRIVE, "simulated": True}),
        ("/credentials/grant-access-sharing", {"partnerId": PIPEDRIVE}),
    ):
        status, _headers, found = await house.call("POST", path, body | {"title": seen})
        assert (status, [fault["path"] for fault in found["error"]["fields"]]) == (422, ["title"]), path


async def test_a_key_that_is_called_as_another_one_is_asked_for_by_what_it_begins_with(house: Served, owner: Browsing):
    for _key in range(2):
        made = (await house.call("POST", "/api-keys", {"title": "Twin", "scopes": ["runs:read"]}))[2]["data"]
    shown = await owner.get("/console/settings/keys")
    assert f'data-confirms="{made["prefix"]}"' in shown.content.decode()
    assert f"by {EMAIL}" in text_of(shown)
    assert (await owner.post(f"/console/settings/keys/{made['id']}/delete", {"confirm": made["prefix"]})).status == 303


async def test_an_owner_is_made_by_who_types_the_address(house: Served, owner: Browsing):
    asked = await owner.follow(await owner.post("/console/settings/people", {"email": "boss@team.example", "role": "owner"}))
    assert "Add an owner?" in text_of(asked)
    assert all(each["email"] != "boss@team.example" for each in (await house.call("GET", "/console-users"))[2]["data"])
    form = {"email": "boss@team.example", "role": "owner", "confirm": "boss@team.example"}
    assert "A link for boss@team.example" in text_of(await owner.follow(await owner.post("/console/settings/people", form)))
    made = (await house.call("POST", "/console-users", {"email": "dev@team.example", "role": "developer"}))[2]["data"]
    path = f"/console/settings/people/{made['id']}/role"
    assert "Make this person an owner?" in text_of(await owner.follow(await owner.post(path, {"role": "owner"})))
    assert (await house.call("GET", f"/console-users/{made['id']}"))[2]["data"]["role"] == "developer"
    done = await owner.post(path + "?cursor=abc", {"role": "owner", "confirm": "dev@team.example"})
    assert (done.status, done.headers["location"]) == (303, "/console/settings/people?cursor=abc"), "the page of the list is kept"


async def test_a_message_with_markup_stays_text_and_a_day_that_is_over_is_refused(owner: Browsing, house: Served):
    await ended(
        owner, await owner.post("/console/settings/partners", {"slug": "old", "document": json.dumps(description(1)), "publish": "1"})
    )
    partner = next(each for each in (await house.call("GET", "/partners/own"))[2]["data"] if each["slug"] == "old")
    path = f"/console/settings/partners/{partner['partnerId']}"
    late = await owner.post(path + "/deprecation", {"message": "Use <b>v2</b>", "on": "2020-01-01"})
    assert (late.status, "This day is over" in text_of(late)) == (422, True)
    assert "Use &lt;b&gt;v2&lt;/b&gt;" in late.content.decode()
    assert (await owner.post(path + "/deprecation", {"message": "Use <b>v2</b> & go"})).status == 303
    shown = await owner.get(path)
    assert "Who uses it is told so from now on." in text_of(shown)
    assert "Use <b>v2</b> & go" in text_of(shown).replace("\n", " ") or "Use &lt;b&gt;v2&lt;/b&gt; &amp; go" in shown.content.decode()
    assert "Use &lt;b&gt;v2&lt;/b&gt; &amp; go" in (await owner.get(f"/console/catalogue/{partner['partnerId']}")).content.decode()


async def test_pages_of_lists_and_forms_that_cannot_be_are_told_in_words(owner: Browsing, house: Served):
    lost = await owner.get("/console/settings/keys?cursor=nonsense")
    assert (lost.status, "This page of the list is not there" in text_of(lost)) == (422, True)
    assert "cursor:" not in text_of(lost)
    stale = await owner.post("/console/settings/keys", {"title": "x"}, proof="nonsense")
    assert "This page is too old" in text_of(stale)
    body = await house.fetch(
        "POST",
        "/console/settings/keys",
        content=b"{}",
        token=None,
        headers={"Cookie": owner.cookie, "Content-Type": "application/json", "Origin": house.origin},
    )
    assert "This is no form as browsers send it" in text_of(body)
    long = await owner.post("/console/settings/keys", {"title": "x" * 201, "scope.runs:read": "1"})
    assert "This is too long: at most 200 characters." in text_of(long)


async def test_what_customers_may_allow_is_chosen_where_there_is_a_choice_and_kept(house: Served, owner: Browsing):
    flow = {"authorizationUrl": "https://things.example.com/authorize", "tokenUrl": "https://things.example.com/token"}
    scopes = {"notes.read": "Read notes", "notes.write": "Change notes"}
    schemes = {"login": {"type": "oauth2", "flows": {"authorizationCode": flow | {"scopes": scopes}}}}
    document = description(1, components={"securitySchemes": schemes}, security=[{"login": []}])
    await ended(owner, await owner.post("/console/settings/partners", {"slug": "asks", "document": json.dumps(document), "publish": "1"}))
    partner = next(each for each in (await house.call("GET", "/partners/own"))[2]["data"] if each["slug"] == "asks")
    path = f"/console/settings/oauth-apps/{partner['partnerId']}"
    offered = await owner.get(path)
    assert "What customers may allow beside that" in text_of(offered)
    assert "What customers may allow beside that" not in text_of(await owner.get(f"/console/settings/oauth-apps/{PIPEDRIVE}"))
    form = {"clientId": "one", "clientSecret": "s3cr3t-7f6e5d4c", "choice.notes.write": "1"}
    assert (await owner.post(path, form)).status == 303
    shown = (await owner.get(path)).content.decode()
    assert re.search(r'name="choice\.notes\.write" value="1" checked', shown)
    assert re.search(r'name="choice\.notes\.read" value="1">', shown)
    # What the page shows is sent again with another id, as a browser does.
    ticked = dict.fromkeys(re.findall(r'name="(choice\.[^"]+)" value="1" checked', shown), "1")
    assert (await owner.post(path, {"clientId": "one", **ticked})).status == 303
    app = (await house.call("GET", f"/oauth-apps/{partner['partnerId']}"))[2]["data"]
    assert (app["ownScopeChoices"], app["ownScopes"]) == (["notes.write"], None)
    assert (await owner.post(path, {"clientId": "one", "choice.notes.write": "1", "choice.notes.read": "1"})).status == 303
    assert (await house.call("GET", f"/oauth-apps/{partner['partnerId']}"))[2]["data"]["ownScopeChoices"] is None
