"""The console as a browser without script uses it: pages, forms with their proof, a cookie."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import urlencode

from e2e.served import EMAIL, PASSWORD, Reply, Served

PROOF = re.compile(r'name="csrf" value="([^"]+)"')


@dataclass(slots=True, kw_only=True)
class Browsing:
    """A browser at the console of a server. ``cookie`` is that of the sign-in, or what the server set last; ``said`` is what the next page has to say."""

    served: Served
    cookie: str = field(default="", repr=False)
    said: str = field(default="", repr=False)

    async def get(self, path: str, **headers: str) -> Reply:
        """Open a page."""
        return await self._fetch("GET", path, None, headers)

    async def status(self, path: str) -> int:
        """The status of a page, or of a stream, which is left at once."""
        headers = {"Cookie": self.cookie} if self.cookie else {}
        async with self.served.client.get(self.served.origin + path, headers=headers, allow_redirects=False) as answer:
            return answer.status

    async def post(self, path: str, form: Mapping[str, Any] | None = None, *, proof: str | None = "", **headers: str) -> Reply:
        """Send a form; ``proof`` "" is the right one, ``None`` is none."""
        given = dict(form or {})
        if proof == "":
            given["csrf"] = await self.proof()
        elif proof is not None:
            given["csrf"] = proof
        return await self._fetch("POST", path, urlencode(given).encode(), {"Origin": self.served.origin} | headers)

    async def follow(self, found: Reply) -> Reply:
        """Go where the answer to a form leads."""
        assert found.status == 303, found.content
        return await self.get(found.headers["location"].removeprefix(self.served.origin))

    async def proof(self) -> str:
        """What the forms of this browser carry."""
        found = PROOF.search((await self.get("/console/you")).content.decode())
        return unescape(found[1]) if found is not None else ""

    async def sign_in(self, email: str = EMAIL, password: str = PASSWORD) -> Reply:
        """Sign in."""
        return await self.post("/console/sign-in", {"email": email, "password": password}, proof=None)

    async def _fetch(self, method: str, path: str, content: bytes | None, headers: Mapping[str, str]) -> Reply:
        sent = {name: text for name, text in headers.items() if text}
        if cookies := "; ".join(each for each in (sent.get("Cookie", self.cookie), self.said) if each):
            sent["Cookie"] = cookies
        if content is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        found = await self.served.fetch(method, path, content=content, token=None, headers=sent)
        told = found.headers.get("set-cookie", "").partition(";")[0]
        if told.startswith("polyport_said="):
            self.said = told if told != "polyport_said=" else ""
        elif told:
            self.cookie = told
        return found


async def member(served: Served, role: str, email: str) -> Browsing:
    """A user with a role, made through the API, who has come in by the link."""
    status, _headers, made = await served.call("POST", "/console-users", {"email": email, "role": role})
    assert status == 201, made
    browsing = Browsing(served=served)
    token = made["data"]["url"].partition("token=")[2]
    form = {"token": token, "email": email, "password": PASSWORD, "again": PASSWORD}
    found = await browsing.post("/console/welcome", form, proof=None)
    assert found.status == 303, found.content
    return browsing


def text_of(reply: Reply) -> str:
    """A page as text, entities resolved."""
    return unescape(re.sub(r"<[^>]+>", " ", reply.content.decode()))
