"""Every way in which an OAuth app shows itself, and partners that tell themselves where they are asked: each at the real OAuth server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import RSAKey

from e2e.served import Served, running_server
from e2e.visitor import Browser, status_of, text
from oidc.house import ADD_NOTE, LOGIN, NOTES, STATIC, begin, come_back, make, notes_partner, open_house, sign_in
from oidc.provider import Provider, running_provider
from polyport.catalog import Catalog
from samples import action, field, partner

pytestmark = pytest.mark.anyio

PRIVATE = rsa.generate_private_key(65537, 2048)
PEM = PRIVATE.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
JWKS = {"keys": [{**RSAKey.import_key(PEM).as_dict(private=False), "kid": "key-1", "use": "sig", "alg": "RS256"}]}
SIGNS = {"token_endpoint_auth_method": "private_key_jwt", "jwks": JWKS, "client_secret": None}

# How the client shows itself: what the file says, what the app has, what the provider knows.
WAYS: dict[str, tuple[dict[str, Any], dict[str, Any] | None, dict[str, Any]]] = {
    "body": ({"clientAuth": "body"}, None, {"token_endpoint_auth_method": "client_secret_post"}),
    "basic": ({"clientAuth": "basic"}, None, {"token_endpoint_auth_method": "client_secret_basic"}),
    "none": ({"clientAuth": "none"}, {}, {"token_endpoint_auth_method": "none", "client_secret": None}),
    "private_key_jwt": ({"clientAuth": "private_key_jwt"}, {"privateKey": PEM, "keyId": "key-1"}, SIGNS),
}


@pytest.fixture(scope="module")
async def provider(anyio_backend: str) -> AsyncIterator[Provider]:
    async with running_provider() as found:
        yield found


@pytest.mark.parametrize("where", ["static", "issuer"])
@pytest.mark.parametrize("way", WAYS)
async def test_a_customer_signs_in_whatever_the_client_shows_itself_by(tmp_path: Path, provider: Provider, way: str, where: str):
    scheme, secret, metadata = WAYS[way]
    made = notes_partner(**scheme, **(STATIC if where == "static" else {"issuer": LOGIN}))
    async with open_house(tmp_path, provider, made, secret=secret, metadata=metadata) as house:
        link, browser = await make(house), Browser(house.served)
        end = await come_back(browser, await sign_in(await begin(browser, link)))
        assert "Notes is connected" in text(end), text(end)
        connection = (await status_of(house.served, link))["credentialId"]
        body = {"credentialData": {"0": {"value": connection}}, "runnerData": {"text": "Hello"}}
        status, _headers, ran = await house.served.call("POST", f"/partners/trigger-actions/{ADD_NOTE}/run/sync", body)
        assert (status, ran["data"]["status"]) == (200, "succeeded")


async def test_a_key_that_the_partner_does_not_know_is_refused_and_never_shown(tmp_path: Path, provider: Provider):
    other = rsa.generate_private_key(65537, 2048)
    pem = other.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    made = notes_partner(clientAuth="private_key_jwt")
    async with open_house(tmp_path, provider, made, secret={"privateKey": pem}, metadata=SIGNS) as house:
        link, browser = await make(house), Browser(house.served)
        found = await come_back(browser, await sign_in(await begin(browser, link)))
        assert found.status == 424
        assert "PRIVATE" not in str(await status_of(house.served, link))


# Client credentials


def own_partner(**scheme: Any) -> Any:
    """A partner that customers connect to with a client of their own."""
    names = {"private_key_jwt": ("private_key",), "none": ()}.get(scheme["clientAuth"], ("client_secret",))
    fields = [field("client_id", required=True), *(field(name, required=True, secret=True) for name in names)]
    told = {"kind": "oauth2", "grant": "client_credentials", **scheme}
    add = {"method": "POST", "path": "/api/notes", "body": {"text": "{{text}}"}}
    return partner(
        action(id=ADD_NOTE, name="add_note", title="Add a note", fields=[field("text")], call=add, result={"fields": []}),
        id=NOTES,
        slug="notes",
        title="Notes",
        base="https://api.example.com",
        connection={
            "auth": [{"name": "app", "label": "App", "fields": fields, "scheme": told}],
            "verify": {"call": {"path": "/api/me"}, "account": "{{answer.name}}"},
        },
    )


async def connected(served: Served, fields: dict[str, str]) -> tuple[int, Any]:
    status, _headers, found = await served.call("POST", "/credentials", {"partnerId": NOTES, "title": "N", "fields": fields})
    return status, found


@pytest.mark.parametrize("where", ["static", "issuer"])
@pytest.mark.parametrize("way", ["body", "basic", "private_key_jwt"])
async def test_client_credentials_whatever_the_client_shows_itself_by(tmp_path: Path, provider: Provider, way: str, where: str):
    scheme, _secret, metadata = WAYS[way]
    client = f"own-{way}-{where}"
    given = {"private_key": PEM} if way == "private_key_jwt" else {"client_secret": f"secret-of-{client}"}
    told = {"grant_types": ["client_credentials"], "response_types": [], "redirect_uris": [], **metadata}
    await provider.add_client(client, **told)
    made = own_partner(**scheme, **({"tokenUrl": STATIC["tokenUrl"]} if where == "static" else {"issuer": LOGIN}))
    async with running_server(tmp_path, catalog=Catalog([made], [], "http://127.0.0.1"), partner_notes_base_url=provider.origin) as served:
        status, found = await connected(served, {"client_id": client, **given})
        assert (status, found["data"]["account"]) == (201, client)
        body = {"credentialData": {"0": found["data"]["credentialId"]}, "runnerData": {"text": "Hello"}}
        assert (await served.call("POST", f"/partners/trigger-actions/{ADD_NOTE}/run/sync", body))[0] == 200
        wrong = dict.fromkeys(given, "a-wrong-secret-1") if way != "private_key_jwt" else {"client_id": "nobody", **given}
        status, found = await connected(served, {"client_id": client, **given, **wrong})
        assert (status, found["error"]["code"]) == (422, "validation_failed")


# What a partner says of itself


@pytest.fixture(scope="module")
async def spoken(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Path, Provider]]:
    async with running_provider() as found:
        yield tmp_path_factory.mktemp("spoken"), found


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example.com"},
        {"issuer": None},
        {"token_endpoint": None},
        {"token_endpoint": "https://evil.example.com/token"},
        {"token_endpoint": 5},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "https://evil.example.com/login"},
        {"authorization_endpoint": "x" * 5_000},
    ],
    ids=str,
)
async def test_a_partner_that_says_what_cannot_be_is_told_as_such_and_asked_again(
    spoken: tuple[Path, Provider], tmp_path: Path, metadata: dict[str, Any]
):
    _folder, provider = spoken
    async with open_house(tmp_path, provider, notes_partner(issuer=LOGIN)) as house:
        await provider.set(metadata=metadata)
        link, browser = await make(house), Browser(house.served)
        found = await browser.send(link, {}, path="/connect/authorize", auth="login")
        await provider.set(metadata={})

        assert (found.status, "Notes cannot be reached at the moment" in text(found)) == (502, True)
        assert "evil" not in found.content.decode()
        told = await status_of(house.served, link)
        assert (told["status"], told["lastError"].startswith("Notes cannot be used to sign in now: what it says")) == (3, True)
        assert "Notes is connected" in text(await come_back(browser, await sign_in(await begin(browser, link))))


async def test_a_partner_that_is_down_does_not_say_where_to_sign_in(tmp_path: Path, provider: Provider):
    async with open_house(tmp_path, provider, notes_partner(issuer=LOGIN), partner_notes_base_url="http://127.0.0.1:9") as house:
        link = await make(house)
        found = await Browser(house.served).send(link, {}, path="/connect/authorize", auth="login")
        assert (found.status, "Notes cannot be reached at the moment" in text(found)) == (502, True)


async def test_what_a_partner_says_is_read_once_and_kept(spoken: tuple[Path, Provider], tmp_path: Path):
    _folder, provider = spoken
    async with open_house(tmp_path, provider, notes_partner(issuer=LOGIN)) as house:
        for _ in range(3):
            link, browser = await make(house), Browser(house.served)
            await begin(browser, link)
            await provider.set(metadata={"token_endpoint": None})
        await provider.set(metadata={})
