"""OAuth apps: with which client id and secret customers sign in at partners, per account and for the whole installation."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from e2e.processes import FIRST_ACCOUNT, run, serving
from e2e.served import HUBSPOT, PIPEDRIVE, TOOLS, Served, running_server
from polyport.apps import NewApp
from polyport.errors import Conflict, ConnectionInvalid, ValidationFailed
from polyport.rotation import rotate
from polyport.testing.leaks import find_leaks
from polyport.vault import Keyring, Vault, key_id_of
from samples import partner

pytestmark = pytest.mark.anyio

SECRET = "a-client-secret-of-hubspot-1"
APP = {"clientId": "hub-app-1", "clientSecret": SECRET}


@pytest.fixture
async def house(anyio_backend: str, tmp_path: Path) -> AsyncIterator[Served]:
    async with running_server(tmp_path) as served:
        yield served


async def put(served: Served, body: dict[str, Any], partner_id: int = HUBSPOT, **more: Any) -> tuple[int, Any]:
    status, _headers, found = await served.call("PUT", f"/oauth-apps/{partner_id}", body, **more)
    return status, found


async def read(served: Served, partner_id: int = HUBSPOT, **more: Any) -> Any:
    return (await served.call("GET", f"/oauth-apps/{partner_id}", **more))[2]["data"]


async def test_an_app_says_what_to_register_and_what_is_missing(house: Served):
    before = await read(house)
    assert (before["owner"], before["clientId"], before["missing"]) == (None, None, ["clientId", "clientSecret"])
    assert before["redirectUri"] == f"{house.origin}/connect/callback"
    assert before["scopes"]
    status, found = await put(house, APP)

    assert (status, found["data"]) == (200, await read(house))
    after = found["data"]
    assert (after["owner"], after["clientId"], after["missing"]) == ("account", "hub-app-1", [])
    assert after["clientSecret"] == "••••ot-1"
    assert find_leaks({"secret": SECRET}, json.dumps(found).encode()) == []


async def test_a_secret_that_is_not_given_stays_with_its_client_id_alone(house: Served):
    await put(house, APP)
    status, found = await put(house, {"clientId": "hub-app-1", "scopes": ["crm.objects.contacts.read"]})
    assert (status, found["data"]["clientSecret"], found["data"]["scopes"]) == (200, "••••ot-1", ["crm.objects.contacts.read"])
    status, found = await put(house, {"clientId": "hub-app-2"})
    assert (status, [fault["path"] for fault in found["error"]["fields"]]) == (422, ["clientSecret"])
    assert (await read(house))["clientId"] == "hub-app-1", "nothing was changed"


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        ({"clientId": ""}, ["clientId"]),
        ({"clientId": "line\nbreak", "clientSecret": "né"}, ["clientId", "clientSecret"]),
        ({"clientSecret": "x" * 20_000}, ["clientSecret"]),
        ({"clientSecret": None}, ["clientSecret"]),
        ({"auth": "api_token"}, ["auth"]),
        ({"scopes": ["two words", "fine", 'quo"te']}, ["scopes[0]", "scopes[2]"]),
        ({"scopes": ["x"] * 300}, ["scopes"]),
        ({"scopeChoices": ["no.such.scope"]}, ["scopeChoices[0]"]),
        ({"client_secret": "x", "url": "x"}, ["client_secret", "url"]),
    ],
)
async def test_what_is_wrong_with_an_app_is_told_fault_by_fault(house: Served, change: dict[str, Any], paths: list[str]):
    status, found = await put(house, APP | change)
    assert (status, sorted(fault["path"] for fault in found["error"]["fields"])) == (422, sorted(paths))
    assert (await read(house))["owner"] is None


async def test_a_partner_without_sign_in_has_no_app(house: Served):
    for partner_id in (TOOLS, 999_999):
        assert (await house.call("GET", f"/oauth-apps/{partner_id}"))[0] == 404
        assert (await put(house, APP, partner_id))[0] == 404
        assert (await house.call("DELETE", f"/oauth-apps/{partner_id}"))[0] == 404


async def test_the_list_has_every_partner_where_customers_sign_in(house: Served):
    await put(house, APP)
    status, _headers, found = await house.call("GET", "/oauth-apps?per-page=100")
    by_id = {item["partnerId"]: item for item in found["data"]}

    assert status == 200
    assert {HUBSPOT, PIPEDRIVE} <= set(by_id)
    assert TOOLS not in by_id
    assert by_id[HUBSPOT] == await read(house)
    assert found["meta"]["totalItemsCount"] == len(found["data"])
    only = (await house.call("GET", f"/oauth-apps?filter[partnerId]={HUBSPOT}"))[2]["data"]
    assert [item["partnerId"] for item in only] == [HUBSPOT]
    titles = [item["partnerTitle"] for item in (await house.call("GET", "/oauth-apps?sort=-title"))[2]["data"]]
    assert titles == sorted(titles, key=str.lower, reverse=True)
    assert (await house.call("GET", "/oauth-apps?sort=id"))[0] == 422
    assert (await house.call("GET", "/oauth-apps?filter[owner]=account"))[0] == 422


async def test_only_administrators_see_and_set_apps(house: Served):
    key = (await house.call("POST", "/api-keys", {"title": "k", "scopes": ["connections:write", "connections:read"]}))[2]["data"]["key"]
    assert (await house.call("GET", "/oauth-apps", token=key))[0] == 403
    assert (await put(house, APP, token=key))[0] == 403


async def test_an_account_sees_and_ends_its_own_app_and_no_other(house: Served):
    other = await house.second_account()
    await put(house, APP)
    assert (await read(house, token=other))["owner"] is None
    assert (await house.call("DELETE", f"/oauth-apps/{HUBSPOT}", token=other))[0] == 404
    assert (await read(house))["owner"] == "account"
    assert (await house.call("DELETE", f"/oauth-apps/{HUBSPOT}"))[0] == 200
    assert (await read(house))["owner"] is None
    assert (await house.call("DELETE", f"/oauth-apps/{HUBSPOT}"))[0] == 404


async def test_the_app_of_an_account_wins_over_that_of_the_installation_which_serves_all_others(house: Served):
    runtime, other = house.runtime, await house.second_account()
    hubspot = await runtime.catalog.seen_by(1).partner(HUBSPOT)
    await runtime.apps.put(None, hubspot, NewApp(partner_id=HUBSPOT, client_id="shared", client_secret="shared-client-secret"), 1)
    await put(house, APP)

    for account, token, client in ((1, "", "hub-app-1"), (2, other, "shared")):
        opened = await runtime.apps.serving(account, hubspot, _choice(hubspot))
        assert opened is not None
        assert opened.material["client_id"] == client
        assert (await read(house, token=token))["clientId"] == client
    theirs = await read(house, token=other)
    assert (theirs["owner"], theirs["clientSecret"]) == ("installation", None), "not even the mask of the operator's secret is shown"
    await house.call("DELETE", f"/oauth-apps/{HUBSPOT}")
    assert (await read(house))["owner"] == "installation"


def _choice(found: Any) -> str:
    return next(str(choice.name) for choice in found.file.connection.auth if choice.scheme.by_link_only)


async def test_an_app_for_one_way_serves_no_other(house: Served):
    hubspot = await house.runtime.catalog.seen_by(1).partner(HUBSPOT)
    await put(house, APP | {"auth": _choice(hubspot)})
    assert await house.runtime.apps.serving(1, hubspot, _choice(hubspot)) is not None
    assert await house.runtime.apps.serving(1, hubspot, "another") is None


async def test_a_secret_is_sealed_and_opens_under_a_new_master_key_after_a_rotation(house: Served):
    runtime = house.runtime
    await put(house, APP)
    record = await runtime.repo.oauth_apps.get(1, HUBSPOT)
    assert record is not None
    assert find_leaks({"secret": SECRET}, (runtime.settings.data / "polyport.db").read_bytes()) == []
    done = await rotate(runtime.keys, lambda _text: None)
    assert done.unreadable == ()
    fresh = await runtime.repo.oauth_apps.get(1, HUBSPOT)
    assert fresh is not None
    assert (key_id_of(record.data_key), key_id_of(fresh.data_key)) == (done.idle[-1], done.key_id)
    hubspot = await runtime.catalog.seen_by(1).partner(HUBSPOT)
    opened = await runtime.apps.serving(1, hubspot, _choice(hubspot))
    assert opened is not None
    assert SECRET in opened.material.values()


async def test_an_app_whose_key_is_gone_is_told_and_can_be_entered_anew(house: Served, monkeypatch: pytest.MonkeyPatch):
    await put(house, APP)
    hubspot = await house.runtime.catalog.seen_by(1).partner(HUBSPOT)
    monkeypatch.setattr(house.runtime.apps, "_vault", Vault(Keyring(b"k" * 32)))
    with pytest.raises(ConnectionInvalid, match="secret cannot be opened"):
        await house.runtime.apps.serving(1, hubspot, _choice(hubspot))
    assert (await put(house, {"clientId": "hub-app-1"}))[0] == 422
    assert (await put(house, APP))[0] == 200
    assert await house.runtime.apps.serving(1, hubspot, _choice(hubspot)) is not None


async def test_two_who_set_an_app_at_once_do_not_mix_it(house: Served, monkeypatch: pytest.MonkeyPatch):
    hubspot, apps = await house.runtime.catalog.seen_by(1).partner(HUBSPOT), house.runtime.apps
    new = NewApp(partner_id=HUBSPOT, client_id="one", client_secret="a-secret")

    async def blind(*_given: object) -> None:
        return None

    await apps.put(1, hubspot, new, 1)
    monkeypatch.setattr("polyport.store.apps.OAuthApps.get", blind)
    with pytest.raises(Conflict):
        await apps.put(1, hubspot, new, 1)


def signing_partner() -> Any:
    scheme = {
        "kind": "oauth2",
        "authorizeUrl": "https://example.com/authorize",
        "tokenUrl": "https://example.com/token",
        "clientAuth": "private_key_jwt",
        "scopeChoices": {"notes.write": "Change notes"},
    }
    return partner(connection={"auth": [{"name": "login", "label": "Log in", "scheme": scheme}]})


async def test_a_partner_that_wants_a_key_gets_one_that_fits(house: Served):
    made, apps = signing_partner(), house.runtime.apps
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    for wrong in (None, "no key", pem.replace("PRIVATE", "PUBLIC")):
        with pytest.raises(ValidationFailed) as caught:
            await apps.put(1, made, NewApp(partner_id=9, client_id="one", private_key=wrong), 1)
        assert [fault.path for fault in caught.value.details.fields] == ["privateKey"]
    await apps.put(1, made, NewApp(partner_id=9, client_id="one", private_key=pem, key_id="k1", scope_choices=("notes.write",)), 1)
    opened = await apps.serving(1, made, "login")
    assert opened is not None
    assert (opened.material["key_id"], opened.secrets) == ("k1", frozenset({pem}))
    assert opened.choices(made.file.connection.auth[0].scheme) == {"notes.write": "Change notes"}
    assert pem not in repr(opened)


# From the shell


def test_the_installation_has_its_apps_from_the_shell_and_no_secret_stands_in_an_argument(tmp_path: Path):
    data = tmp_path / "data"
    assert "There is no server's data" in run("oauth-app", "list", "--data", data).stderr
    with serving(tmp_path, **FIRST_ACCOUNT) as server:
        token = server.sign_in()
        done = run(
            "oauth-app", "set", "hubspot", "--client-id", "shared-1", "--scopes", "oauth, tickets", "--data", data, given=f"{SECRET}\n"
        )
        assert (done.returncode, "Register this address at the partner: http" in done.stdout, done.stderr) == (0, True, "")
        found = server.ask("GET", f"/oauth-apps/{HUBSPOT}", token=token)[1]["data"]
        assert (found["owner"], found["clientId"], found["clientSecret"], found["missing"]) == ("installation", "shared-1", None, [])
        assert found["scopes"] == ["oauth", "tickets"]
        assert server.ask("DELETE", f"/oauth-apps/{HUBSPOT}", token=token)[0] == 404, "no account ends what serves all"

        listed = run("oauth-app", "list", "--data", data)
        assert "hubspot          client id shared-1, secret ••••ot-1" in listed.stdout
        assert "pipedrive        not set (missing: clientId, clientSecret)" in listed.stdout
        assert find_leaks({"secret": SECRET}, (done.stdout + listed.stdout).encode()) == []
        assert run("oauth-app", "remove", str(HUBSPOT), "--data", data).returncode == 0
        assert run("oauth-app", "remove", "hubspot", "--data", data).returncode == 1
        assert server.ask("GET", f"/oauth-apps/{HUBSPOT}", token=token)[1]["data"]["owner"] is None


@pytest.mark.parametrize(
    ("arguments", "given", "told"),
    [
        (("nobody", "--client-id", "x"), "s", "There is no partner nobody"),
        ((str(TOOLS), "--client-id", "x"), "s", "it needs no OAuth app"),
        (("hubspot", "--client-id", "x"), "", "Standard input has to hold the client secret"),
        (("hubspot", "--client-id", "x"), "x" * 20_000, "at most 16384 characters"),
        (("hubspot", "--client-id", "x", "--auth", "none"), "s", "The ways to sign in at HubSpot are: "),
        (("hubspot", "--client-id", "é"), "s", "clientId: This has to be visible ASCII"),
    ],
)
def test_the_shell_tells_what_is_wrong_in_one_sentence(data: Path, arguments: tuple[str, ...], given: str, told: str):
    done = run("oauth-app", "set", *arguments, "--data", data, given=given)
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a server that has stopped."""
    folder = tmp_path_factory.mktemp("stopped")
    with serving(folder, **FIRST_ACCOUNT):
        pass
    return folder / "data"
