"""The connect page over real HTTP, as a browser without script sees it: the form, what is wrong with it, its end, and why there is none."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from e2e.served import PIPEDRIVE, PIPEDRIVE_FIELDS, Asked, Clock, Reply, Served, answer, running_server, upstream
from e2e.visitor import PATH, Browser, make, status_of, text
from polyport.catalog import Catalog
from polyport.testing.leaks import find_leaks

pytestmark = pytest.mark.anyio

GOOD = {f"field.{name}": value for name, value in PIPEDRIVE_FIELDS.items()}


def errors(found: Reply) -> dict[str, str]:
    return dict(re.findall(r'<p class="error" id="field-(\w+)-error">(.*?)</p>', html.unescape(found.content.decode())))


@pytest.fixture
async def timed(anyio_backend: str, tmp_path: Path, pipedrive: str) -> AsyncIterator[tuple[Served, Clock]]:
    clock = Clock()
    async with running_server(tmp_path, clock=clock, partner_pipedrive_base_url=pipedrive, login_token_lifetime=9_000_000) as served:
        yield served, clock


async def test_a_customer_connects_and_the_connection_runs(house: Served):
    link = await make(house, externalUserId="u1", metadata={"plan": "pro"})
    browser = Browser(house)
    form = await browser.open(link)
    assert (form.status, form.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "Connect Pipedrive" in text(form)
    sent = await browser.send(link, GOOD)
    end = await browser.follow(sent)

    assert (end.status, "Pipedrive is connected" in text(end), "Sam Sample" in text(end)) == (200, True, True)
    told = await status_of(house, link)
    assert (told["status"], told["lastError"], told["usedAt"] is not None) == (1, None, True)
    connection = (await house.call("GET", f"/credentials/{told['credentialId']}"))[2]["data"]
    assert (connection["title"], connection["externalUserId"], connection["metadata"], connection["status"]) == (
        "Acme",
        "u1",
        {"plan": "pro"},
        "active",
    )
    body = {"credentialData": {"0": {"value": told["credentialId"]}}, "runnerData": {"name": "Ada"}}
    assert (await house.call("POST", "/partners/trigger-actions/2250101/run/sync", body))[0] == 200


async def test_looking_at_a_page_uses_nothing_up_whoever_looks(house: Served):
    link = await make(house)
    for _ in range(3):
        robot = Browser(house)
        assert (await robot.open(link)).status == 200
        assert (await robot.ask("HEAD", f"/connect?id={link['id']}&token={link['token']}")).status == 200

    assert (await status_of(house, link))["status"] == 0
    assert (await Browser(house).ask("GET", f"/?id={link['id']}&token={link['token']}")).status == 200
    assert (await Browser(house).send(link, GOOD)).status == 303


async def test_a_browser_with_script_tells_that_a_person_looks(house: Served):
    link = await make(house)
    browser = Browser(house)
    told = await browser.send(link, {}, path="/connect/opened")
    read = await status_of(house, link)
    again = await browser.send(link, {}, path="/connect/opened")

    assert (told.status, told.content, again.status) == (204, b"", 204)
    assert (read["status"], read["openedAt"] is not None) == (2, True)
    assert (await browser.send({**link, "token": "x"}, {}, path="/connect/opened")).status == 404
    assert (await browser.send(link, GOOD)).status == 303


async def test_a_secret_that_the_partner_refuses_is_told_at_its_field_and_may_be_tried_again(house: Served):
    link = await make(house)
    browser = Browser(house)
    refused = await browser.send(link, GOOD | {"field.api_token": "bad-token"})

    assert refused.status == 422
    assert set(errors(refused)) == {"api_token"}
    assert errors(refused)["api_token"].startswith("Pipedrive did not accept this: ")
    assert 'value="acme"' in refused.content.decode(), "what is no secret need not be typed again"
    read = await status_of(house, link)
    assert (read["status"], "refused" in read["lastError"]) == (3, True)
    await browser.follow(await browser.send(link, GOOD))
    assert (await status_of(house, link))["status"] == 1


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"field.company": "", "field.api_token": ""}, {"company", "api_token"}),
        ({"field.company": "  ", "field.api_token": "   \r\n"}, {"company", "api_token"}),
        ({"field.company": "evil.example/#"}, {"company"}),
        ({"field.company": "acme.pipedrive.com@evil.example"}, {"company"}),
        ({"field.company": "ACME Ltd"}, {"company"}),
        ({"field.api_token": "short"}, {"api_token"}),
        ({"field.api_token": "gehe\u00ednnis-\u00e9\u00e9\u00e9"}, {"api_token"}),
        ({"field.api_token": "first line\r\nsecond line"}, {"api_token"}),
        ({"field.api_token": "x" * 65_536}, {"api_token"}),
        ({"field.api_token": "\u00e9" * 10_000}, {"api_token"}),
        ({"field.api_token": "half \ud800".encode("utf-8", "surrogatepass")}, {"api_token"}),
        ({"field.api_token": "null\x00byte-here"}, {"api_token"}),
    ],
)
async def test_what_cannot_be_is_told_at_its_field_and_goes_nowhere(house: Served, fields: dict[str, Any], wrong: set[str]):
    link = await make(house)
    found = await Browser(house).send(link, GOOD | fields)

    assert found.status == 422
    assert set(errors(found)) == wrong
    assert (await status_of(house, link))["status"] == 0, "nothing was asked of the partner"
    assert (
        find_leaks(
            {"secret": str(fields.get("field.api_token", ""))} if len(str(fields.get("field.api_token", ""))) > 12 else {}, found.content
        )
        == []
    )


async def test_a_form_that_is_no_form_is_refused_with_a_page(house: Served):
    link = await make(house)
    browser = Browser(house)
    large = await browser.send(link, GOOD | {"field.api_token": "x" * 300_000})
    many = await browser.send(link, {f"f{number}": "" for number in range(500)})
    json = await house.fetch("POST", "/connect", {"id": link["id"], "token": link["token"]}, token=None)
    way = await browser.send(link, GOOD, auth="oauth2")

    assert [found.status for found in (large, many, json, way)] == [413, 413, 415, 404]
    assert all(found.headers["content-type"].startswith("text/html") for found in (large, many, json, way))
    assert (await status_of(house, link))["status"] == 0


async def test_a_partner_that_is_down_is_told_as_such(tmp_path: Path):
    async with running_server(tmp_path, partner_pipedrive_base_url="http://127.0.0.1:9") as served:
        link = await make(served)
        found = await Browser(served).send(link, GOOD)
        read = await status_of(served, link)

    assert found.status == 502
    assert "Pipedrive cannot be reached at the moment" in text(found)
    assert (read["status"], bool(read["lastError"])) == (3, True)


@pytest.mark.parametrize(
    ("change", "code", "sentence"),
    [
        ({"token": "ppl_wrong"}, 404, "not valid"),
        ({"token": ""}, 404, "not valid"),
        ({"token": "x" * 5_000}, 404, "not valid"),
        ({"token": "\u00e9\x00"}, 404, "not valid"),
        ({"id": "999999"}, 404, "not valid"),
        ({"id": "0"}, 404, "not valid"),
        ({"id": "-1"}, 404, "not valid"),
        ({"id": "9" * 400}, 404, "not valid"),
        ({"id": "1 OR 1=1"}, 404, "not valid"),
        ({"id": ""}, 404, "not valid"),
    ],
)
async def test_a_link_that_is_none_shows_a_page_that_says_so(house: Served, change: dict[str, str], code: int, sentence: str):
    link = await make(house)
    for found in (await Browser(house).open({**link, **change}), await Browser(house).send({**link, **change}, GOOD)):
        assert (found.status, sentence in text(found)) == (code, True)
        assert found.headers["referrer-policy"] == "no-referrer"


async def test_a_truncated_token_and_one_of_another_link_open_nothing(house: Served):
    first, second = await make(house), await make(house)
    for token in (first["token"][:-1], second["token"], first["token"] + "a", first["token"].upper()):
        assert (await Browser(house).open({**first, "token": token})).status == 404


async def test_an_old_token_a_revoked_and_an_expired_link_lead_to_pages_that_say_why(timed: tuple[Served, Clock]):
    served, clock = timed
    link, revoked = await make(served), await make(served)
    renewed = (await served.call("PUT", f"{PATH}/{link['id']}"))[2]["data"]
    await served.call("DELETE", f"{PATH}/{revoked['id']}")
    browser = Browser(served)

    assert [(await browser.open(each)).status for each in (link, revoked, renewed)] == [404, 410, 200]
    assert (await browser.send(revoked, GOOD)).status == 410
    clock.forward(48 * 3600 + 1)
    for found in (await browser.open(renewed), await browser.send(renewed, GOOD)):
        assert (found.status, "has expired" in text(found)) == (410, True)
    assert (await served.call("GET", "/credentials"))[2]["data"] == []


async def test_a_used_link_shows_its_end_to_the_browser_that_used_it_and_to_no_other(house: Served):
    link = await make(house)
    browser, other = Browser(house), Browser(house)
    await browser.open(link)
    await other.open(link)
    end = await browser.follow(await browser.send(link, GOOD))
    back = await browser.open(link)
    again = await browser.follow(await browser.send(link, GOOD))

    assert [found.status for found in (end, back, again)] == [200, 200, 200]
    assert all("Pipedrive is connected" in text(found) for found in (end, back, again))
    for found in (await other.open(link), await other.send(link, GOOD), await Browser(house).open(link)):
        assert (found.status, "has been used" in text(found), "Sam Sample" in text(found)) == (410, True, False)
    assert (await house.call("PUT", f"{PATH}/{link['id']}"))[2]["error"]["code"] == "link_used"
    assert (await house.call("DELETE", f"{PATH}/{link['id']}"))[2]["error"]["code"] == "link_used"


async def test_two_tabs_at_once_make_one_connection(house: Served):
    link = await make(house)
    browser, stranger = Browser(house), Browser(house)
    await browser.open(link)
    before = (await house.call("GET", "/credentials"))[2]["meta"]["totalItemsCount"]
    answers = await asyncio.gather(*(each.send(link, GOOD) for each in (browser, browser, browser, stranger, stranger)))
    after = (await house.call("GET", "/credentials"))[2]["meta"]["totalItemsCount"]

    assert after - before == 1
    assert {found.status for found in answers} <= {303, 410}
    assert 303 in {found.status for found in answers}
    same = {found.status for found in answers[:3]}
    assert len(same) == 1, "in one browser all tabs come to the same end"


async def test_tries_by_one_link_are_limited(timed: tuple[Served, Clock]):
    served, clock = timed
    link = await make(served)
    browser = Browser(served)
    found = [await browser.send(link, GOOD | {"field.company": "no such"}) for _ in range(31)]

    assert [each.status for each in found] == [422] * 30 + [429]
    assert ("Too many tries" in text(found[-1]), int(found[-1].headers["retry-after"]) > 0) == (True, True)
    clock.forward(901)
    assert (await browser.send(link, GOOD)).status == 303


async def test_the_headers_keep_everything_to_this_server(house: Served):
    link = await make(house)
    found = await Browser(house).open(link)
    policy = dict(part.strip().split(" ", 1) for part in found.headers["content-security-policy"].split(";"))

    assert policy == {
        "default-src": "'none'", "style-src": "'self'", "script-src": "'self'", "img-src": "'self' data:", "connect-src": "'self'",
        "form-action": "'self'", "base-uri": "'none'", "frame-ancestors": "'none'",
    }  # fmt: skip
    assert found.headers["referrer-policy"] == "no-referrer"
    assert found.headers["cache-control"] == "no-store"
    assert found.headers["x-robots-tag"] == "noindex, nofollow"
    cookie = found.headers["set-cookie"]
    assert all(part in cookie for part in ("polyport_connect=", "Path=/", "HttpOnly", "SameSite=Lax"))
    content = found.content.decode()
    assert not re.findall(r"""(?:src|href|action)=.(?:https?:)?//""", content), "nothing comes from elsewhere"
    assert not re.findall(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=", content), "nothing is inline"
    for source in re.findall(r'(?:src|href)="(/[^"?]+)"', content):
        assert (await house.fetch("GET", source, token=None)).status == 200, source


async def test_a_page_behind_https_and_a_path_keeps_to_both(tmp_path: Path, pipedrive: str):
    async with running_server(tmp_path, partner_pipedrive_base_url=pipedrive, public_url="https://polyport.example/hub") as served:
        link = await make(served)
        found = await Browser(served).open(link)
        sent = await Browser(served).send(link, GOOD)

    assert link["url"].startswith("https://polyport.example/hub/connect?id=")
    assert ("; Secure" in found.headers["set-cookie"], "Path=/hub;" in found.headers["set-cookie"]) == (True, True)
    assert 'action="/hub/connect"' in found.content.decode()
    assert sent.headers["location"].startswith("/hub/connect?")


@pytest.mark.parametrize(
    ("language", "accepts", "asked", "heading"),
    [
        (None, "", "", "Connect Pipedrive"),
        (None, "de-AT,en;q=0.5", "", "Pipedrive verbinden"),
        (None, "xx, en;q=0.2, fr;q=0.9", "", "Connecter Pipedrive"),
        ("es", "de", "", "Conectar Pipedrive"),
        ("es", "de", "fr", "Connecter Pipedrive"),
        (None, "pt;q=nonsense, de;q=0", "xx", "Connect Pipedrive"),
    ],
)
async def test_the_page_speaks_the_language_that_was_asked_for(house: Served, language: str | None, accepts: str, asked: str, heading: str):
    link = await make(house, **({"language": language} if language else {}))
    found = await Browser(house, accepts=accepts).open(link, **({"language": asked} if asked else {}))

    assert f"<h1>{heading}</h1>" in found.content.decode()


async def test_errors_and_the_end_are_in_the_customers_language_too(house: Served):
    link = await make(house, language="de")
    browser = Browser(house)
    wrong = await browser.send(link, GOOD | {"field.company": ""})
    refused = await browser.send(link, GOOD | {"field.api_token": "bad-token"})
    end = await browser.follow(await browser.send(link, GOOD))
    gone = await Browser(house, accepts="fr").open({**link, "token": "x"})

    assert errors(wrong)["company"] == "Bitte füllen Sie dieses Feld aus."
    assert errors(refused)["api_token"].startswith("Pipedrive hat das nicht angenommen: ")
    assert "Pipedrive ist verbunden" in text(end)
    assert "pas valide" in text(gone)


async def test_the_page_looks_like_the_company_that_sent_the_link(timed: tuple[Served, Clock]):
    served, _clock = timed
    logo = "data:image/svg+xml;base64,PHN2Zy8+"
    branding = {"name": "Acme <& Sons>", "color": "#FFcc00", "logo": logo}
    assert (await served.call("PATCH", "/account", {"branding": branding}))[0] == 200
    found = (await Browser(served).open(await make(served))).content.decode()

    assert f'src="{logo}" alt="Acme &lt;&amp; Sons&gt;"' in found
    assert "Acme &lt;&amp; Sons&gt; asks for access to your Pipedrive account" in found
    css = await served.fetch("GET", "/connect/brand/FFcc00", token=None)
    assert css.content.decode() == ":root { --brand: #FFcc00; --on-brand: #000000; }\n"
    assert css.headers["content-type"] == "text/css; charset=utf-8"
    assert (await served.fetch("GET", "/connect/brand/123456", token=None)).content.decode().endswith("--on-brand: #ffffff; }\n")
    assert (await served.fetch("GET", "/connect/brand/red;}", token=None)).status == 404
    assert (await served.fetch("GET", "/connect/static/pages.py", token=None)).status == 404


async def test_the_end_leads_back_and_may_tell_only_the_origin_that_is_allowed(timed: tuple[Served, Clock]):
    served, _clock = timed
    await served.call("PATCH", "/account", {"allowedRedirectHosts": ["app.example.com", "*.example.org", "localhost:3000"]})
    link = await make(served, redirectUrl="https://App.example.com/done?a=1&b=%26#part")
    browser = Browser(served)
    end = html.unescape((await browser.follow(await browser.send(link, GOOD))).content.decode())
    told = await status_of(served, link)
    other = await make(served)
    plain = html.unescape((await browser.follow(await browser.send(other, GOOD))).content.decode())

    query = f"a=1&b=%26&status=done&linkId={link['id']}&credentialId={told['credentialId']}&partnerId=225"
    assert f'data-back="https://App.example.com/done?{query}#part"' in end
    assert 'data-origins="["https://app.example.com"]"' in end
    assert f'"type": "polyport.connected", "status": "done", "linkId": {link["id"]}' in end
    assert 'data-origins="["https://app.example.com", "http://localhost:3000"]"' in plain
    assert "data-back" not in plain


async def test_no_secret_and_no_token_stands_in_a_page_that_has_no_need_of_it(house: Served):
    link = await make(house)
    browser = Browser(house)
    await browser.open(link)
    await browser.send(link, GOOD | {"field.company": "no such"})
    await browser.send(link, GOOD | {"field.api_token": "bad-token-canary-1234"})
    await browser.follow(await browser.send(link, GOOD))
    secrets = {"api token": PIPEDRIVE_FIELDS["api_token"], "refused": "bad-token-canary-1234"}

    assert find_leaks(secrets, *(found.content for found in browser.seen)) == []
    assert find_leaks({"link": link["token"]}, browser.seen[-1].content) == []
    assert find_leaks(secrets | {"link": link["token"]}, house.runtime.settings.data) == []


async def test_a_link_to_connect_again_gives_the_same_connection_new_secrets(tmp_path: Path):
    valid = {PIPEDRIVE_FIELDS["api_token"]}

    async def partner(asked: Asked) -> bytes:
        if asked.headers.get("x-api-token") not in valid:
            return answer(401, {"success": False, "error": "unauthorized access"})
        return answer(200, {"success": True, "data": {"id": 7, "name": "Ada", "company_name": "Example"}})

    async with upstream(partner) as up, running_server(tmp_path, partner_pipedrive_base_url=up.origin) as served:
        connection = await served.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, externalUserId="u1")
        body = {"credentialData": {"0": {"value": connection}}, "runnerData": {"name": "Ada"}}
        assert (await served.call("POST", "/partners/trigger-actions/2250101/run/sync", body))[0] == 200
        valid.clear()
        _status, _headers, refused = await served.call("POST", "/partners/trigger-actions/2250101/run/sync", body)
        url = refused["error"]["reconnectUrl"]
        link = dict(re.findall(r"(id|token)=([^&]+)", url))
        browser = Browser(served)
        form = await browser.open(link)
        blank = await browser.send(link, GOOD | {"field.api_token": ""})
        valid.add("a-new-token-987654")
        end = await browser.follow(await browser.send(link, GOOD | {"field.api_token": "a-new-token-987654"}))
        again = await served.call("POST", "/partners/trigger-actions/2250101/run/sync", body)
        read = (await served.call("GET", f"/credentials/{connection}"))[2]["data"]

    assert "Connect Pipedrive again" in text(form)
    assert 'value="acme"' in form.content.decode()
    assert set(errors(blank)) == {"api_token"}, "an old secret does not stand in for a new one"
    assert "Pipedrive is connected" in text(end)
    assert (again[0], read["status"], read["title"], read["externalUserId"]) == (200, "active", "A connection", "u1")


async def test_a_link_whose_connection_is_gone_or_changed_meanwhile_keeps_nothing(house: Served):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    link = (await house.call("POST", f"/credentials/{connection}/reconnect"))[2]["data"]
    await house.call("DELETE", f"/credentials/{connection}")
    browser = Browser(house)
    form, found = await browser.open(link), await browser.send(link, GOOD)

    assert (form.status, found.status) == (200, 410)
    assert (await status_of(house, link))["status"] == 0


@dataclass
class Slow:
    """A partner that lets something happen while it is asked, once."""

    meanwhile: Callable[[], Awaitable[Any]] | None = None

    async def __call__(self, _asked: Asked) -> bytes:
        if self.meanwhile is not None:
            happen, self.meanwhile = self.meanwhile, None
            await happen()
        return answer(200, {"success": True, "data": {"id": 7, "name": "Ada", "company_name": "Example"}})


@pytest.fixture
async def slow(anyio_backend: str, tmp_path: Path) -> AsyncIterator[tuple[Served, Slow]]:
    partner = Slow()
    async with upstream(partner) as up, running_server(tmp_path, partner_pipedrive_base_url=up.origin) as served:
        yield served, partner


async def connections(served: Served) -> int:
    return int((await served.call("GET", "/credentials"))[2]["meta"]["totalItemsCount"])


async def test_an_address_that_may_not_be_called_is_told_in_the_form_without_saying_which(tmp_path: Path):
    async with running_server(tmp_path, allow_networks="", partner_pipedrive_base_url="http://127.0.0.1:9") as served:
        link = await make(served)
        found = await Browser(served).send(link, GOOD)
        read = await status_of(served, link)

    assert (found.status, "That did not work" in text(found), "127.0.0.1" in text(found)) == (403, True, False)
    assert read["status"] == 3


async def test_a_token_that_is_replaced_while_the_partner_is_asked_leads_to_nothing(slow: tuple[Served, Slow]):
    served, partner = slow
    link = await make(served)
    partner.meanwhile = lambda: served.call("PUT", f"{PATH}/{link['id']}")
    found = await Browser(served).send(link, GOOD)

    assert (found.status, await connections(served), (await status_of(served, link))["status"]) == (404, 0, 0)


async def test_a_link_that_is_revoked_while_the_partner_is_asked_leads_to_nothing(slow: tuple[Served, Slow]):
    served, partner = slow
    link = await make(served)
    partner.meanwhile = lambda: served.call("DELETE", f"{PATH}/{link['id']}")
    found = await Browser(served).send(link, GOOD)

    assert (found.status, await connections(served), (await status_of(served, link))["status"]) == (410, 0, 5)


async def test_a_connection_that_is_changed_while_the_partner_is_asked_is_not_overwritten(slow: tuple[Served, Slow]):
    served, partner = slow
    connection = await served.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    link = (await served.call("POST", f"/credentials/{connection}/reconnect"))[2]["data"]
    partner.meanwhile = lambda: served.call("PATCH", f"/credentials/{connection}", {"fields": {"api_token": "from-the-api-1234"}})
    browser = Browser(served)
    found = await browser.send(link, GOOD)
    read = (await served.call("GET", f"/credentials/{connection}"))[2]["data"]

    assert (found.status, "Something changed at the same time" in text(found)) == (409, True)
    assert read["fields"]["api_token"].endswith("1234")
    assert (await status_of(served, link))["status"] == 0
    assert (await browser.send(link, GOOD)).status == 303


async def test_an_address_to_connect_again_is_made_for_connections_that_are_there_and_kept_for_so_many(
    slow: tuple[Served, Slow], monkeypatch: pytest.MonkeyPatch
):
    served, _partner = slow
    monkeypatch.setattr("polyport.engine.links.KEPT_MOST", 1)
    account = (await served.runtime.repo.accounts.all())[0].account_id
    first, second = [await served.connect(PIPEDRIVE, PIPEDRIVE_FIELDS) for _ in range(2)]
    reconnects = served.services.reconnects
    urls = [await reconnects.url(account, connection) for connection in (first, first, second, first)]

    assert await reconnects.url(account, 999_999) is None
    assert urls[0] == urls[1]
    assert len(set(urls)) == 3, "that of the first was forgotten for that of the second"


FILES = {
    "partner.yaml": """
id: 900003
slug: many
title: Many <b>Ways</b>
titles: {de: Viele Wege}
owners: [tests]
base: "https://{{connection.shop}}.many.example.com"
connection:
  fields: [{name: shop, type: string, label: Shop, required: true, pattern: "[a-z]+", prefix: "https://", suffix: .many.example.com}]
  auth:
    - name: key
      label: A key
      hint: The key of an <i>owner</i>.
      fields:
        - {name: key, type: string, label: Key, required: true, secret: true, maxLength: 65536, format: multiline}
        - {name: plan, type: string, label: Plan, required: true, options: [{key: a, label: Plan A}, {key: b, label: Plan B}]}
        - {name: sandbox, type: boolean, label: Sandbox, default: true}
        - {name: page, type: integer, label: Page, min: 1, sample: 3}
        - {name: mail, type: string, label: Mail, format: email}
      scheme: {kind: api_key, in: header, param: x-key, value: "{{connection.key | base64}}"}
    - name: login
      label: Sign in
      scheme: {kind: oauth2, authorizeUrl: https://many.example.com/authorize, tokenUrl: https://many.example.com/token, scopes: [a]}
  verify: {call: {path: /me}}
errors: []
verified: {how: cases, on: "2026-11-25"}
""",
    "actions/create_thing.yaml": """
id: 90000301
name: create_thing
title: Create a thing
idempotent: false
fields: [{name: name, type: string, label: Name}]
call: {method: POST, path: /things, body: {name: "{{name}}"}}
result: {fields: [{name: id, type: integer, label: ID}]}
""",
}
WAYS = {"field.shop": "acme", "field.key": "line one\r\nline two", "field.plan": "b"}


@dataclass
class Many:
    """A partner with all kinds of fields; what it was asked, and the status that it answers with."""

    served: Served
    asked: list[Asked] = field(default_factory=list)
    status: int = 200


@pytest.fixture(scope="module")
def of_many(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """The catalogue with that partner in it."""
    folder = tmp_path_factory.mktemp("connectors")
    for name, content in FILES.items():
        (folder / "many" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "many" / name).write_text(content)
    catalog = Catalog.load([str(folder)], "http://127.0.0.1")
    assert not catalog.problems, catalog.problems
    return catalog


@pytest.fixture
async def many(anyio_backend: str, tmp_path: Path, of_many: Catalog) -> AsyncIterator[Many]:
    found = Many(served=None)  # type: ignore[arg-type]  # set below: the partner is there before the server

    async def partner(asked: Asked) -> bytes:
        found.asked.append(asked)
        return answer(found.status, {"name": "Ada", "message": "no <script>"}, {"Retry-After": "9"} if found.status == 429 else {})

    async with upstream(partner) as up, running_server(tmp_path / "data", catalog=of_many, partner_many_base_url=up.origin) as served:
        found.served = served
        yield found


async def test_every_kind_of_field_is_asked_for_in_its_way(many: Many):
    link = await make(many.served, partnerId=900003)
    content = (await Browser(many.served).open(link)).content.decode()

    assert '<span class="affix" id="field-shop-prefix">https://</span>' in content
    assert '<span class="affix" id="field-shop-suffix">.many.example.com</span>' in content
    assert 'aria-describedby="field-shop-prefix field-shop-suffix"' in content
    assert re.search(r'<textarea [^>]*id="field-key"[^>]* data-secret></textarea>', content)
    assert '<option value="b">Plan B</option>' in content
    assert re.search(r'<input type="checkbox" value="true" id="field-sandbox"[^>]* checked>', content)
    assert re.search(r'id="field-page"[^>]* inputmode="numeric" placeholder="3"', content)
    assert re.search(r'id="field-mail"[^>]* inputmode="email"', content)
    assert "Many &lt;b&gt;Ways&lt;/b&gt;" in content
    assert "<b>" not in content


async def test_a_secret_of_several_lines_arrives_whole_and_the_address_may_be_pasted_whole(many: Many):
    link = await make(many.served, partnerId=900003)
    sent = await Browser(many.served).send(link, WAYS | {"field.shop": " https://acme.many.example.com/ "}, auth="key")
    read = await status_of(many.served, link)
    fields = (await many.served.call("GET", f"/credentials/{read['credentialId']}"))[2]["data"]["fields"]

    assert sent.status == 303
    assert many.asked[0].headers["x-key"] == "bGluZSBvbmUKbGluZSB0d28="
    assert (fields["shop"], fields["plan"], fields["sandbox"], "page" in fields) == ("acme", "b", False, False)


async def test_a_secret_of_64_kib_is_taken_where_the_partner_takes_it(many: Many):
    link = await make(many.served, partnerId=900003)
    assert (await Browser(many.served).send(link, WAYS | {"field.key": "\u00e9" * 20_000}, auth="key")).status in {303, 422}
    link = await make(many.served, partnerId=900003)
    found = await Browser(many.served).send(link, WAYS | {"field.key": "x" * 65_537}, auth="key")

    assert (found.status, set(errors(found))) == (422, {"key"})


async def test_every_fault_of_a_form_is_told_at_once(many: Many):
    link = await make(many.served, partnerId=900003)
    wrong = {"field.shop": "Acme Inc", "field.key": "", "field.plan": "z", "field.page": "0", "field.mail": "nobody"}
    found = await Browser(many.served).send(link, wrong, auth="key")

    assert set(errors(found)) == {"shop", "key", "plan", "page", "mail"}
    assert found.content.decode().count(" autofocus") == 1
    assert "<title>Error: Connect Many &lt;b&gt;Ways&lt;/b&gt;</title>" in found.content.decode()


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [(403, 424, "no <script>"), (429, 424, "asks for a pause"), (503, 502, "cannot be reached"), (401, 422, "did not accept this")],
)
async def test_what_the_partner_says_is_told_and_can_do_no_harm(many: Many, status: int, code: int, sentence: str):
    link = await make(many.served, partnerId=900003)
    many.status = status
    found = await Browser(many.served).send(link, WAYS, auth="key")

    assert (found.status, sentence in text_of(found)) == (code, True)
    assert "<script>" not in found.content.decode()
    assert (await status_of(many.served, link))["status"] == 3


def text_of(found: Reply) -> str:
    return html.unescape(found.content.decode())


async def test_a_way_that_needs_a_sign_in_is_not_shown_while_nobody_can_use_it(many: Many):
    link = await make(many.served, partnerId=900003)
    browser = Browser(many.served)
    form = await browser.open(link, auth="login")
    sent = await browser.send(link, {"field.shop": "acme"}, path="/connect/authorize", auth="login")

    assert "Sign in" not in text(form)
    assert 'name="auth" value="key"' in form.content.decode()
    assert sent.status == 404


async def test_a_way_that_needs_a_sign_in_is_a_button_and_a_hop(many: Many):
    app = {"clientId": "client-1", "clientSecret": "client-secret-canary"}
    assert (await many.served.call("PUT", "/oauth-apps/900003", app))[0] == 200
    link = await make(many.served, partnerId=900003)
    browser = Browser(many.served)
    first = await browser.open(link)
    by_key = await browser.open(link, auth="key")
    form = await browser.open(link, auth="login")
    wrong = await browser.send(link, {"field.shop": "Acme Inc"}, path="/connect/authorize", auth="login")
    hop = await browser.send(link, {"field.shop": "acme"}, path="/connect/authorize", auth="login")
    by_fields = await browser.send(link, WAYS, auth="login")

    assert 'action="/connect/authorize"' in first.content.decode(), "who can sign in at the partner is offered that first"
    shown = re.findall(r"[?&;]auth=(\w+)", text_of(first))
    assert shown.index("login") < shown.index("key")
    assert "The key of an <i>owner</i>." in text_of(by_key)
    assert 'action="/connect/authorize"' in form.content.decode()
    assert "Continue to Many <b>Ways</b>" in text_of(form)
    assert (wrong.status, set(errors(wrong))) == (422, {"shop"})
    assert hop.status == 200
    assert "/authorize?response_type=code&amp;client_id=client-1&amp;" in hop.content.decode().partition('data-hop="')[2].partition('"')[0]
    assert by_fields.status == 404
    assert (await browser.send({**link, "token": "x"}, {}, path="/connect/authorize", auth="login")).status == 404
    await many.served.call("DELETE", "/oauth-apps/900003")
