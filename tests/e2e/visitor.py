"""A customer who opens a link, in a browser without script that keeps the cookie it was given."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from e2e.served import PIPEDRIVE, Reply, Served

PATH = "/credentials/grant-access-sharing"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass
class Browser:
    """A browser without script: it keeps the cookie it was given."""

    served: Served
    cookie: str = ""
    accepts: str = ""
    seen: list[Reply] = field(default_factory=list)

    async def ask(self, method: str, path: str, content: bytes | None = None) -> Reply:
        headers = dict(FORM) if content is not None else {}
        if self.cookie:
            headers["Cookie"] = self.cookie
        if self.accepts:
            headers["Accept-Language"] = self.accepts
        found = await self.served.fetch(method, path, content=content, token=None, headers=headers)
        self.cookie = found.headers.get("set-cookie", self.cookie).partition(";")[0]
        self.seen.append(found)
        return found

    async def open(self, link: Mapping[str, Any], **more: str) -> Reply:
        return await self.ask("GET", "/connect?" + urlencode({"id": link["id"], "token": link["token"], **more}))

    async def send(self, link: Mapping[str, Any], fields: Mapping[str, Any], *, path: str = "/connect", **more: str) -> Reply:
        form = {"id": link["id"], "token": link["token"], "auth": "api_token", **more, **fields}
        return await self.ask("POST", path, urlencode(form).encode())

    async def follow(self, found: Reply) -> Reply:
        assert found.status == 303, found.content.decode()
        return await self.ask("GET", found.headers["location"])


async def make(served: Served, **more: Any) -> dict[str, Any]:
    status, _headers, found = await served.call("POST", PATH, {"partnerId": PIPEDRIVE, "title": "Acme", **more})
    assert status == 201, found
    return dict(found["data"])


async def status_of(served: Served, link: Mapping[str, Any]) -> dict[str, Any]:
    return dict((await served.call("GET", f"{PATH}/{link['id']}"))[2]["data"])


def text(found: Reply) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", found.content.decode())))
