"""A partner whose customers sign in at the real OAuth server, a server of ours that knows it, and a customer who signs in there."""

from __future__ import annotations

import contextlib
import hashlib
import html
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import aiohttp

from e2e.served import Reply, Served, running_server
from e2e.visitor import PATH, Browser, text
from oidc.provider import Provider, running_provider
from polyport.catalog import Catalog
from samples import action, field, partner

NOTES: Final = 9
ADD_NOTE: Final = 10001
LOGIN: Final = "https://login.example.com"
STATIC: Final = {"authorizeUrl": f"{LOGIN}/auth", "tokenUrl": f"{LOGIN}/token"}


def notes_partner(**scheme: Any) -> Any:
    """Notes, a partner with notes to read and write; ``scheme`` says how customers sign in, beside what it says anyway."""
    told = {"kind": "oauth2", "scopes": ["openid", "notes.read"], "scopeChoices": {"notes.write": "Write notes"}, "rotates": True}
    where = {} if "issuer" in scheme and "authorizeUrl" not in scheme else STATIC
    choice = {"name": "login", "label": "Log in", "scheme": {**told, **where, **scheme}}
    return partner(
        action(id=ADD_NOTE, name="add_note", title="Add a note", fields=[field("text", required=True)], call={"method": "POST", "path": "/api/notes", "body": {"text": "{{text}}"}}, result={"fields": [field("id", "integer")]}),
        id=NOTES,
        slug="notes",
        title="Notes",
        base="https://api.example.com",
        connection={"auth": [choice], "verify": {"call": {"path": "/api/me"}, "account": "{{answer.name}}"}},
        errors=[{"status": [401], "kind": "expired_token", "message": "error"}],
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """Our server and the provider, which knows it as ``client``."""

    served: Served
    provider: Provider
    client: str

    @property
    def secret(self) -> str:
        """What the provider gave the client."""
        return hashlib.sha256(self.client.encode()).hexdigest()

    @property
    def callback(self) -> str:
        """Where customers come back."""
        return f"{self.served.origin}/connect/callback"


@contextlib.asynccontextmanager
async def open_house(
    folder: Path,
    provider: Provider | None = None,
    made: Any = None,
    *,
    app: bool = True,
    secret: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    clock: Callable[[], datetime] | None = None,
    **settings: Any,
) -> AsyncIterator[House]:
    """Our server, with Notes at a real OAuth server. Without ``app`` nobody has set up the OAuth app.

    ``secret`` is what the app proves itself with, ``metadata`` what the provider knows of it; a client secret if nothing is said.
    """
    async with contextlib.AsyncExitStack() as stack:
        found = provider or await stack.enter_async_context(running_provider())
        catalog = Catalog([made or notes_partner()], [], "http://127.0.0.1")
        given = {"partner_notes_base_url": found.origin, **settings}
        served = await stack.enter_async_context(running_server(folder, catalog=catalog, clock=clock, **given))
        house = House(served=served, provider=found, client=f"polyport-{urlsplit(served.origin).port}")
        known = {"client_secret": house.secret, **(metadata or {})}
        await found.add_client(house.client, redirect_uris=[house.callback], **known)
        if app:
            told = {"clientId": house.client, **(secret if secret is not None else {"clientSecret": house.secret})}
            status, _headers, answer = await served.call("PUT", f"/oauth-apps/{NOTES}", told)
            assert status == 200, answer
        yield house


async def sign_in(url: str, *, account: str = "ada", allows: bool = True) -> str:
    """Sign in at the provider by its own pages, as a browser does that keeps cookies; the address that it then sends the browser to."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        here, content, there = await _go(browser, "GET", url)
        for _step in range(10):
            if there is not None:
                if "/connect/callback" in there:
                    return there
                here, content, there = await _go(browser, "GET", there)
                continue
            if not allows:
                here, content, there = await _go(browser, "GET", f"{here}/abort")
                continue
            prompt = re.search(r'name="prompt" value="(\w+)"', content)
            assert prompt is not None, content
            form = {"prompt": prompt[1], "login": account, "password": "any"}
            here, content, there = await _go(browser, "POST", here, form)
    raise AssertionError("the provider sends nobody back")


async def _go(browser: aiohttp.ClientSession, method: str, url: str, form: dict[str, str] | None = None) -> tuple[str, str, str | None]:
    async with browser.request(method, url, data=form, allow_redirects=False) as answer:
        location = answer.headers.get("location")
        return url, await answer.text(), urljoin(url, location) if location else None


async def make(house: House, **more: Any) -> dict[str, Any]:
    status, _headers, found = await house.served.call("POST", PATH, {"partnerId": NOTES, "title": "Ada's notes", **more})
    assert status == 201, found
    return dict(found["data"])


def way_out(found: Reply) -> str:
    """Where the page sends the customer."""
    assert found.status == 200, text(found)
    return html.unescape(str(re.findall(r'data-hop="([^"]+)"', found.content.decode())[0]))


async def begin(browser: Browser, link: dict[str, Any], *scopes: str) -> str:
    """Fill in the form; the address at the partner."""
    ticked = {f"scope.{scope}": "true" for scope in scopes}
    return way_out(await browser.send(link, ticked, path="/connect/authorize", auth="login"))


async def come_back(browser: Browser, url: str) -> Reply:
    """Follow the way back to the page at its end."""
    parts = urlsplit(url)
    answered = await browser.ask("GET", f"{parts.path}?{parts.query}")
    assert (answered.headers["referrer-policy"], answered.headers["cache-control"]) == ("no-referrer", "no-store")
    location = answered.headers["location"]
    assert "code=" not in location
    assert "state=" not in location
    return await browser.follow(answered)
