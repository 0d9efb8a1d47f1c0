"""Customers sign in at a partner: the way there and back, at a real OAuth server that no one here wrote."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest

from e2e.served import Clock
from e2e.visitor import PATH, Browser, status_of, text
from oidc.house import ADD_NOTE, LOGIN, NOTES, House, begin, come_back, make, notes_partner, open_house, sign_in
from oidc.provider import Provider, running_provider
from polyport.testing.leaks import find_leaks

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def provider(anyio_backend: str) -> AsyncIterator[Provider]:
    async with running_provider() as found:
        yield found


@pytest.fixture(scope="module")
async def house(anyio_backend: str, provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with open_house(tmp_path_factory.mktemp("house"), provider) as found:
        yield found


def changed(url: str, **query: str | None) -> str:
    """An address with another query."""
    parts = urlsplit(url)
    told = {**dict(parse_qsl(parts.query)), **query}
    return parts._replace(query=urlencode({name: value for name, value in told.items() if value is not None})).geturl()


async def test_a_customer_signs_in_and_the_connection_runs(house: House):
    link, browser = await make(house, externalUserId="u1"), Browser(house.served)
    form = await browser.open(link)
    assert ("Continue to Notes" in text(form), "Write notes" in text(form)) == (True, True)
    url = await begin(browser, link, "notes.write")
    end = await come_back(browser, await sign_in(url))

    assert (end.status, "Notes is connected" in text(end), "Connected as ada" in text(end)) == (200, True, True)
    told = await status_of(house.served, link)
    assert (told["status"], told["lastError"]) == (1, None)
    connection = (await house.served.call("GET", f"/credentials/{told['credentialId']}"))[2]["data"]
    assert (connection["status"], connection["account"], connection["auth"], connection["externalUserId"]) == (
        "active",
        "ada",
        "login",
        "u1",
    )
    assert connection["fields"] == {"grantedScopes": ["openid", "notes.read", "notes.write"]}
    body = {"credentialData": {"0": {"value": told["credentialId"]}}, "runnerData": {"text": "Hello"}}
    status, _headers, ran = await house.served.call("POST", f"/partners/trigger-actions/{ADD_NOTE}/run/sync", body)
    assert (status, ran["data"]["status"]) == (200, "succeeded")


async def test_the_way_there_says_what_the_standards_want_and_no_secret(house: House):
    link, browser = await make(house), Browser(house.served)
    url = await begin(browser, link)
    query = dict(parse_qsl(urlsplit(url).query))

    assert url.startswith(f"{house.provider.origin}/auth?"), "the operator put that address in the place of the partner's"
    assert query.keys() == {"response_type", "client_id", "redirect_uri", "state", "scope", "code_challenge", "code_challenge_method"}
    assert (query["response_type"], query["client_id"], query["redirect_uri"]) == ("code", house.client, house.callback)
    assert (query["scope"], query["code_challenge_method"], len(query["state"])) == ("openid notes.read", "S256", 43)
    assert link["token"] not in url
    assert query["state"] != dict(parse_qsl(urlsplit(await begin(browser, link)).query))["state"]


async def test_only_scopes_that_are_offered_are_asked_for(house: House):
    url = await begin(Browser(house.served), await make(house), "notes.write", "admin.all")
    assert dict(parse_qsl(urlsplit(url).query))["scope"] == "openid notes.read notes.write"


async def test_connecting_again_keeps_the_id_and_ticks_what_was_allowed(house: House):
    link, browser = await make(house), Browser(house.served)
    await come_back(browser, await sign_in(await begin(browser, link, "notes.write")))
    connection = (await status_of(house.served, link))["credentialId"]
    again = (await house.served.call("POST", f"/credentials/{connection}/reconnect", {}))[2]["data"]
    form = await browser.open(again)
    assert 'name="scope.notes.write" value="true" checked' in form.content.decode()
    end = await come_back(browser, await sign_in(await begin(browser, again)))

    assert "Notes is connected" in text(end)
    assert (await status_of(house.served, again))["credentialId"] == connection
    found = (await house.served.call("GET", f"/credentials/{connection}"))[2]["data"]
    assert (found["status"], found["fields"]) == ("active", {"grantedScopes": ["openid", "notes.read"]})


async def test_a_customer_who_gives_no_access_can_try_again(house: House):
    link, browser = await make(house), Browser(house.served)
    found = await come_back(browser, await sign_in(await begin(browser, link), allows=False))

    assert (found.status, "You did not give access at Notes" in text(found), "Continue to Notes" in text(found)) == (403, True, True)
    told = await status_of(house.served, link)
    assert (told["status"], told["lastError"].startswith("The customer gave no access at Notes: access_denied")) == (3, True)
    end = await come_back(browser, await sign_in(await begin(browser, link)))
    assert "Notes is connected" in text(end)


async def test_a_way_back_that_was_gone_leads_to_the_same_end_and_asks_the_partner_nothing_more(house: House):
    link, browser = await make(house), Browser(house.served)
    url = await sign_in(await begin(browser, link))
    await come_back(browser, url)
    before = len(await house.provider.asked())
    for _ in range(2):
        assert "Notes is connected" in text(await come_back(browser, url))
    assert len(await house.provider.asked()) == before
    for stranger in (Browser(house.served), Browser(house.served, cookie="polyport_connect=" + "x" * 43)):
        found = await come_back(stranger, url)
        assert (found.status, "cannot be finished here" in text(found)) == (400, True)


async def test_the_way_back_twice_at_once_makes_one_connection(house: House):
    link, browser = await make(house), Browser(house.served)
    url = await sign_in(await begin(browser, link))
    before = (await house.served.call("GET", "/credentials"))[2]["meta"]["totalItemsCount"]
    ends = await asyncio.gather(*(come_back(browser, url) for _ in range(4)))
    after = (await house.served.call("GET", "/credentials"))[2]["meta"]["totalItemsCount"]

    assert after - before == 1
    assert {found.status for found in ends} <= {200, 409}
    assert "Notes is connected" in text(await browser.open(link))


async def test_two_tabs_come_to_the_same_end(house: House):
    link, browser = await make(house), Browser(house.served)
    first, second = [await sign_in(await begin(browser, link)) for _ in range(2)]
    before = (await house.served.call("GET", "/credentials"))[2]["meta"]["totalItemsCount"]
    ends = await asyncio.gather(come_back(browser, first), come_back(browser, second))
    after = (await house.served.call("GET", "/credentials"))[2]["meta"]["totalItemsCount"]

    assert [("Notes is connected" in text(found), found.status) for found in ends] == [(True, 200), (True, 200)]
    assert after - before == 1


async def test_another_browser_or_a_lost_cookie_finishes_nothing_and_takes_nothing_away(house: House):
    link, browser, thief = await make(house), Browser(house.served), Browser(house.served)
    await thief.open(link)
    url = await sign_in(await begin(browser, link))
    for other in (thief, Browser(house.served)):
        found = await come_back(other, url)
        assert (found.status, "cannot be finished here" in text(found)) == (400, True)
        assert link["token"] not in found.content.decode()
    assert (await status_of(house.served, link))["status"] == 0
    assert "Notes is connected" in text(await come_back(browser, url))


@pytest.mark.parametrize(
    "change",
    [
        {"state": None},
        {"state": ""},
        {"state": "x" * 43},
        {"state": "é\x00"},
        {"state": "s" * 30_000},
    ],
)
async def test_a_state_that_is_none_leads_nowhere(house: House, change: dict[str, str | None]):
    link, browser = await make(house), Browser(house.served)
    url = await sign_in(await begin(browser, link))
    found = await come_back(browser, changed(url, **change))

    assert (found.status, "cannot be finished here" in text(found)) == (400, True)
    assert (await status_of(house.served, link))["status"] == 0


async def test_the_state_of_one_sign_in_with_the_code_of_another_is_refused_by_the_proof_key(house: House):
    first, second = await make(house), await make(house)
    browser, attacker = Browser(house.served), Browser(house.served)
    mine = await sign_in(await begin(browser, first))
    theirs = parse_qs(urlsplit(await sign_in(await begin(attacker, second), account="mallory")).query)["code"][0]
    found = await come_back(browser, changed(mine, code=theirs))

    assert (found.status, "did not complete the sign-in" in text(found)) == (424, True)
    told = await status_of(house.served, first)
    assert (told["status"], told["credentialId"], theirs in json.dumps(told)) == (3, None, False)


@pytest.mark.parametrize(
    ("change", "status", "sentence"),
    [
        ({"iss": "https://evil.example.com"}, 400, "was not the answer of Notes"),
        ({"iss": None}, 400, "was not the answer of Notes"),
        ({"iss": ""}, 400, "was not the answer of Notes"),
        ({"code": None}, 424, "did not complete the sign-in"),
        ({"code": ""}, 424, "did not complete the sign-in"),
        ({"code": "not-a-code"}, 424, "did not complete the sign-in"),
        ({"code": "c" * 10_000}, 424, "did not complete the sign-in"),
        ({"code": None, "error": "server_error"}, 502, "cannot be reached at the moment"),
        ({"code": None, "error": "invalid_scope"}, 424, "did not complete the sign-in"),
        (
            {"code": None, "error": "<script>alert(1)</script>", "error_description": "<img src=x onerror=alert(2)>"},
            424,
            "did not complete",
        ),
        ({"code": None, "error": "access_denied", "error_description": "x" * 20_000}, 403, "did not give access"),
        ({"code": None, "error": "access_denied", "iss": None}, 400, "was not the answer of Notes"),
    ],
)
async def test_what_may_be_wrong_with_an_answer_is_told_on_the_page(
    named_house: House, change: dict[str, str | None], status: int, sentence: str
):
    house = named_house
    link, browser = await make(house), Browser(house.served)
    before = (await house.served.call("GET", "/credentials"))[2]["meta"]["totalItemsCount"]
    found = await come_back(browser, changed(await sign_in(await begin(browser, link)), **change))

    assert (found.status, sentence in text(found), "Continue to Notes" in text(found)) == (status, True, True)
    assert "<script>alert" not in found.content.decode()
    assert "onerror" not in found.content.decode()
    told = await status_of(house.served, link)
    assert (told["status"], len(told["lastError"]) <= 500) == (3, True)
    assert (await house.served.call("GET", "/credentials"))[2]["meta"]["totalItemsCount"] == before
    assert "Notes is connected" in text(await come_back(browser, await sign_in(await begin(browser, link))))


@pytest.fixture(scope="module")
async def named_house(anyio_backend: str, provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """Notes says by itself where its customers sign in, and that its answers name it."""
    async with open_house(tmp_path_factory.mktemp("named"), provider, notes_partner(issuer=LOGIN)) as found:
        yield found


async def test_a_parameter_that_comes_twice_is_not_believed(house: House):
    link, browser = await make(house), Browser(house.served)
    url = await sign_in(await begin(browser, link))
    found = await come_back(browser, f"{url}&code=another")

    assert (found.status, "was not the answer of Notes" in text(found)) == (400, True)
    assert (await status_of(house.served, link))["status"] == 3


@pytest.mark.parametrize(
    ("fault", "status"), [({"faults": ["unavailable"]}, 502), ({"faults": ["drop_before"]}, 502), ({"faults": ["drop_after"]}, 502)]
)
async def test_a_partner_that_is_down_at_the_exchange_is_told_as_such(house: House, fault: dict[str, Any], status: int):
    link, browser = await make(house), Browser(house.served)
    url = await sign_in(await begin(browser, link))
    await house.provider.set(**fault)
    found = await come_back(browser, url)

    assert (found.status, "Notes cannot be reached at the moment" in text(found)) == (status, True)
    told = await status_of(house.served, link)
    assert (told["status"], bool(told["lastError"])) == (3, True)
    repeated = await come_back(browser, url)
    assert (repeated.status, "was used already" in text(repeated)) == (409, True)
    assert "Notes is connected" in text(await come_back(browser, await sign_in(await begin(browser, link))))


async def test_a_link_that_was_revoked_or_given_another_token_meanwhile_connects_nothing(house: House):
    revoked, renewed, browser = await make(house), await make(house), Browser(house.served)
    urls = [await sign_in(await begin(browser, link)) for link in (revoked, renewed)]
    await house.served.call("DELETE", f"{PATH}/{revoked['id']}")
    fresh = (await house.served.call("PUT", f"{PATH}/{renewed['id']}"))[2]["data"]
    asked = len(await house.provider.asked())
    found = [await come_back(browser, url) for url in urls]

    assert [each.status for each in found] == [410, 404]
    assert fresh["token"] not in found[1].content.decode()
    assert len(await house.provider.asked()) == asked, "no code is exchanged for a link that leads nowhere"
    assert [(await status_of(house.served, link))["credentialId"] for link in (revoked, renewed)] == [None, None]


async def test_an_app_that_is_gone_or_wrong_when_the_customer_comes_back_is_told_and_nothing_is_kept(tmp_path: Path, provider: Provider):
    async with open_house(tmp_path, provider) as house:
        link, browser = await make(house), Browser(house.served)
        url = await sign_in(await begin(browser, link))
        await house.served.call("PUT", f"/oauth-apps/{NOTES}", {"clientId": house.client, "clientSecret": "another-secret-1"})
        found = await come_back(browser, url)
        assert found.status == 424
        url = await sign_in(await begin(browser, link))
        await house.served.call("DELETE", f"/oauth-apps/{NOTES}")
        gone = await come_back(browser, url)
        assert (gone.status, "cannot be connected here yet" in text(gone)) == (424, True)
        assert (await status_of(house.served, link))["lastError"] == "There is no OAuth app for Notes any more."
        assert (await browser.send(link, {}, path="/connect/authorize", auth="login")).status == 404
        assert (await house.served.call("GET", "/credentials"))[2]["data"] == []


async def test_a_sign_in_lasts_ten_minutes_and_is_then_told_to_have_taken_too_long(tmp_path: Path, provider: Provider):
    clock = Clock()
    async with open_house(tmp_path, provider, clock=clock) as house:
        link, browser = await make(house), Browser(house.served)
        url = await sign_in(await begin(browser, link))
        clock.forward(601)
        found = await come_back(browser, url)
        assert (found.status, "took too long" in text(found)) == (410, True)
        clock.forward(2 * 3600)
        await house.served.runtime.repo.sign_ins.tidy(house.served.runtime.now_ms() - 3_600_000)
        assert (await come_back(browser, url)).status == 400


async def test_who_only_looks_at_the_way_back_uses_nothing_up(house: House):
    link, browser = await make(house), Browser(house.served)
    url = await sign_in(await begin(browser, link))
    parts = urlsplit(url)
    assert (await browser.ask("HEAD", f"{parts.path}?{parts.query}")).status == 204
    assert "Notes is connected" in text(await come_back(browser, url))


async def test_the_verify_call_decides_and_what_it_refuses_is_not_kept(tmp_path: Path, provider: Provider):
    made = notes_partner()
    spec = made.file.connection
    broken = spec.model_copy(
        update={"verify": spec.verify.model_copy(update={"call": spec.verify.call.model_copy(update={"path": "/api/none"})})}
    )
    made = type(made)(
        file=made.file.model_copy(update={"connection": broken}), actions=made.actions, triggers=made.triggers, lists=made.lists
    )
    async with open_house(tmp_path, provider, made) as house:
        link, browser = await make(house), Browser(house.served)
        found = await come_back(browser, await sign_in(await begin(browser, link)))
        assert found.status == 424
        assert (await house.served.call("GET", "/credentials"))[2]["data"] == []
        assert await house.served.runtime.repo.grants.get(1001) is None


async def test_without_an_app_nobody_is_offered_to_sign_in(tmp_path: Path, provider: Provider):
    async with open_house(tmp_path, provider, app=False) as house:
        link = await make(house)
        found = await Browser(house.served).open(link)
        assert (found.status, "cannot be connected here yet" in text(found), "Continue to" in text(found)) == (200, True, False)
        assert (await Browser(house.served).send(link, {}, path="/connect/authorize", auth="login")).status == 404


async def test_tokens_codes_and_the_way_back_stand_in_no_log_and_unsealed_nowhere(
    house: House, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    link, browser = await make(house), Browser(house.served)
    way = await begin(browser, link)
    url = await sign_in(way)
    attempts = house.served.runtime.settings.data / "polyport.db"
    told = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    secret = {"state": told["state"], "code": told["code"], "client": house.secret, "link": link["token"]}
    assert find_leaks(secret, b"".join(path.read_bytes() for path in attempts.parent.glob("polyport.db*"))) == []
    await come_back(browser, url)
    connection = (await status_of(house.served, link))["credentialId"]
    runtime = house.served.runtime
    stored, record = await runtime.repo.grants.get(connection), await runtime.repo.connections.get(1, connection)
    assert stored is not None
    assert record is not None
    secret |= dict(runtime.connections.open_grant(record, stored).values)
    assert {"access_token", "refresh_token"} <= secret.keys()

    assert find_leaks(secret, b"".join(path.read_bytes() for path in attempts.parent.glob("polyport.db*"))) == []
    captured = capfd.readouterr()
    assert find_leaks(secret, (captured.out + captured.err + caplog.text).encode()) == []
    pages = b"".join(found.content for found in browser.seen)
    assert find_leaks({name: value for name, value in secret.items() if name not in {"link", "state"}}, pages) == []
    shown = json.dumps([(await house.served.call("GET", path))[2] for path in (f"/credentials/{connection}", f"{PATH}/{link['id']}")])
    assert find_leaks(secret, shown.encode()) == []
