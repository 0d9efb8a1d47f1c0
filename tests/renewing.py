"""Servers that renew tokens: a provider that counts, a partner's folder, four servers over one data folder."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from e2e.killable import Process, running_process
from e2e.served import Asked, answer, make_settings
from polyport.apps import NewApp
from polyport.catalog import Catalog
from polyport.kinds.auth.base import Grant
from polyport.runtime import Runtime, open_runtime
from polyport.testing.tokens import Tokens, Untaken
from signed_in import keep_sign_in

PARTNER: Final = 900003
CREATE: Final = 90000301
CLIENT, CLIENT_SECRET = "drill", "secret-of-drill"
FOLDER: Final = {
    "partner.yaml": """
id: 900003
slug: renewing
title: Renewing
owners: [tests]
base: https://api.renewing.example.com/api
connection:
  auth:
    - name: signin
      label: Sign in
      scheme:
        kind: oauth2
        authorizeUrl: https://login.renewing.example.com/auth
        tokenUrl: https://login.renewing.example.com/token
        rotates: true
  verify: {call: {path: /me}, account: "{{answer.name}}"}
errors:
  - {status: [401], body: {at: error, equals: invalid_token}, kind: expired_token}
verified: {how: cases, on: "2026-11-25"}
""",
    "actions/create_note.yaml": """
id: 90000301
name: create_note
title: Create a note
idempotent: false
fields: [{name: text, type: string, label: Text}]
call: {method: POST, path: /notes, body: {text: "{{text}}"}}
result: {fields: [{name: id, type: integer, label: ID}]}
""",
}


@dataclass(slots=True, kw_only=True)
class Counting:
    """A provider that rotates refresh tokens, ends a sign-in when one comes twice, answers after ``delay`` seconds, and counts.

    ``arrived`` and ``granted`` count token requests and new grants by sign-in. ``drops``: sign-ins whose next request is not carried out. ``held``: sign-ins that get no answer before ``release``.
    """

    delay: float
    origin: str = ""
    arrived: Counter[str] = field(default_factory=Counter)
    granted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    drops: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    _released: asyncio.Event = field(default_factory=asyncio.Event)
    _numbers: int = 0
    _owners: dict[str, str] = field(default_factory=dict)
    _valid: dict[str, str] = field(default_factory=dict)
    _tokens: Tokens = field(init=False)

    def __post_init__(self) -> None:
        self._tokens = Tokens(self._fresh)

    def _fresh(self) -> str:
        self._numbers += 1
        return f"t{self._numbers}"

    def sign_in(self, name: str) -> Grant:
        """What the sign-in ``name`` leads to."""
        told = self._issue(name, "authorization_code", code=self._fresh())
        return Grant(values={"access_token": told["access"], "refresh_token": told["refresh"]}, expires_at=time.time() + told["seconds"])

    def expire(self, names: Sequence[str]) -> None:
        """From now on the access tokens of these sign-ins are refused."""
        for name in names:
            self._valid.pop(name, None)

    def _issue(self, name: str, grant: str, *, refresh: str = "", code: str = "") -> dict[str, Any]:
        told = self._tokens.issue(grant, refresh=refresh, code=code, rotates=True, seconds=86_400, now=time.time())
        self._owners[told["refresh"]] = name
        self._valid[name] = told["access"]
        return told

    def hold(self, names: Sequence[str]) -> None:
        """Answer none of these until they are released, however slow this machine is."""
        self.held |= set(names)

    def release(self, names: Sequence[str]) -> None:
        """Answer them, and all that come from now on."""
        self.held -= set(names)
        self._released.set()
        self._released = asyncio.Event()

    async def _pause(self, name: str) -> None:
        await asyncio.sleep(self.delay)
        while name in self.held:
            await self._released.wait()

    async def __call__(self, asked: Asked) -> bytes:
        """Answer a request."""
        if asked.target == "/token":
            return await self._token(asked)
        token = asked.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self._valid.values():
            return answer(401, {"error": "invalid_token"})
        return answer(200, {"id": 1, "name": "Ada"})

    async def _token(self, asked: Asked) -> bytes:
        given = {key: values[0] for key, values in parse_qs(asked.body.decode()).items()}
        name = self._owners.get(given.get("refresh_token", ""), "unknown")
        self.arrived[name] += 1
        if name in self.drops:
            self.drops.discard(name)
            await self._pause(name)
            return b""
        try:
            told = self._issue(name, "refresh_token", refresh=given["refresh_token"])
        except Untaken as untaken:
            self.refused[name] += 1
            self._valid.pop(name, None)  # the whole sign-in has ended
            return answer(400, {"error": untaken.reason})
        self.granted[name] += 1
        await self._pause(name)
        return answer(200, {"access_token": told["access"], "refresh_token": told["refresh"], "expires_in": told["seconds"]})


@dataclass(slots=True, kw_only=True)
class Fleet:
    """Several ``polyport serve`` over one data folder, and the same folder opened here."""

    processes: list[Process]
    runtime: Runtime
    account: int = 1

    async def sign_in(self, grant: Grant) -> int:
        """A connection with this grant."""
        return await keep_sign_in(self.runtime, self.account, PARTNER, grant)

    async def call(self, process: int, connection: int) -> dict[str, Any]:
        """Run the action by one of the processes; its answer, ``status`` being that of HTTP."""
        body = {"credentialData": {"0": connection}, "runnerData": {"text": "x"}}
        status, _headers, told = await self.processes[process].served.call("POST", f"/partners/trigger-actions/{CREATE}/run/sync", body)
        return {**told, "status": status}

    async def generation(self, connection: int) -> int:
        """How many grants the connection has had."""
        kept = await self.runtime.repo.grants.get(connection)
        assert kept is not None
        return kept.generation

    async def read(self, connection: int) -> dict[str, Any]:
        """The connection as a living process shows it."""
        return dict((await self.processes[-1].served.call("GET", f"/credentials/{connection}"))[2]["data"])

    def signal(self, process: int, number: signal.Signals) -> None:
        """Send a signal to one of the processes."""
        os.kill(self.processes[process].pid, number)


async def put_app(runtime: Runtime) -> None:
    """Make the installation a client of the partner."""
    app = NewApp(partner_id=PARTNER, client_id=CLIENT, client_secret=CLIENT_SECRET)
    await runtime.apps.put(None, await runtime.catalog.seen_by(None).partner(PARTNER), app, runtime.now_ms())


def write_connectors(folder: Path) -> Path:
    """The folder of connectors with the partner in it."""
    connectors = folder / "connectors"
    for name, text in FOLDER.items():
        (connectors / "renewing" / name).parent.mkdir(parents=True, exist_ok=True)
        (connectors / "renewing" / name).write_text(text)
    return connectors


@contextlib.asynccontextmanager
async def fleet(folder: Path, provider: Any, *, size: int = 4, **settings: Any) -> AsyncIterator[Fleet]:
    """Servers whose partner is ``provider`` (it has an ``origin``), with an OAuth app."""
    connectors = write_connectors(folder)
    given = {"connectors": connectors, "partner_renewing_base_url": provider.origin, "login_attempts": 100, **settings}
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(running_process(folder, provider, **given))
        token = first.served.token
        rest = [stack.enter_async_context(running_process(folder, provider, token=token, **given)) for _number in range(size - 1)]
        processes = [first, *await asyncio.gather(*rest)]
        catalog = Catalog.load([str(connectors)], "http://127.0.0.1")
        runtime = await stack.enter_async_context(open_runtime(make_settings(folder / "data"), catalog=catalog))
        await put_app(runtime)
        yield Fleet(processes=processes, runtime=runtime)


def told(answers: Sequence[dict[str, Any]]) -> str:
    """What came back, counted, for people."""
    return json.dumps(dict(Counter(_told(found) for found in answers)))


def _told(found: dict[str, Any]) -> str:
    if found["success"]:
        return str(found["status"])
    code, message = found["error"]["code"], found["error"]["message"]
    return f"{found['status']} {code}" if code == "connection_invalid" else f"{found['status']} {code}: {message}"
