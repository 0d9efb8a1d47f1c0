"""Connections that were made by a sign-in, at a partner whose tokens rotate, in one or several processes' worth of engines over one data folder."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import stored
from engines import new_account
from polyport.catalog import Catalog
from polyport.engine.desk import Desk
from polyport.engine.record import Ask
from polyport.engine.run import Engine
from polyport.kinds.auth.base import Grant
from polyport.net.message import Reply, Request
from polyport.runtime import Runtime, open_runtime
from polyport.settings import load_settings
from polyport.testing.tokens import Tokens, Untaken
from samples import action, json_reply, partner
from samples import field as input_field

CREATE, PARTNER = 10001, 9
CLIENT = {"client_id": "id-1", "client_secret": "client-secret-canary"}
TOKEN_PATH = "/oauth/token"
_numbers = count(1)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 25, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


@dataclass(slots=True)
class Provider:
    """A network with the partner behind it: it rotates refresh tokens and ends the whole sign-in when one comes twice.

    ``before`` is waited for when a token request comes, ``after`` when it was carried out; ``answers`` are given in place of the partner's own, one each;
    a fault is raised. With ``loses`` what was carried out is not answered.
    """

    clock: Clock
    seconds: int = 3600
    rotates: bool = True
    before: Callable[[], Awaitable[None]] | None = None
    after: Callable[[], Awaitable[None]] | None = None
    answers: list[Any] = field(default_factory=list)
    loses: Exception | None = None
    learned: Mapping[str, Any] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    sent: list[Request] = field(default_factory=list)
    refuses: Callable[[Request], Reply | None] = lambda _request: None
    tokens: Tokens = field(default_factory=lambda: Tokens(lambda: f"canary{next(_numbers)}"))

    def sign_in(self, **more: Any) -> Grant:
        """What a sign-in leads to now."""
        told = self._issue("authorization_code", code=f"code{next(_numbers)}")
        values = {"access_token": told["access"], "refresh_token": told["refresh"]}
        return Grant(values=values, expires_at=self.clock().timestamp() + self.seconds, **more)

    async def send(self, request: Request) -> Reply:
        """Answer a request."""
        if urlsplit(request.url).path == TOKEN_PATH:
            return await self._token(request)
        self.sent.append(request)
        refused = self.refuses(request)
        if refused is not None:
            return refused
        token = (request.header("authorization") or "").removeprefix("Bearer ")
        if not self.tokens.judge(token, self.clock().timestamp()):
            return json_reply('{"error": "token_expired"}', 401)
        return json_reply('{"id": 1, "name": "Ada"}')

    async def _token(self, request: Request) -> Reply:
        given = {name: values[0] for name, values in parse_qs((request.body or b"").decode()).items()}
        self.asked.append(given)
        if self.before is not None:
            await self.before()
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        try:
            told = self._issue(given["grant_type"], refresh=given["refresh_token"])
        except Untaken as untaken:
            return json_reply(json.dumps({"error": untaken.reason, "error_description": "It was used or taken back."}), 400)
        if self.after is not None:
            await self.after()
        if self.loses is not None:
            lost, self.loses = self.loses, None
            raise lost
        shown = {"access_token": told["access"], "expires_in": self.seconds, **self.learned}
        if self.rotates:
            shown["refresh_token"] = told["refresh"]
        return json_reply(json.dumps(shown))

    def _issue(self, grant: str, *, refresh: str = "", code: str = "") -> dict[str, Any]:
        now = self.clock().timestamp()
        return self.tokens.issue(grant, refresh=refresh, code=code, rotates=self.rotates, seconds=self.seconds, now=now)


@dataclass(slots=True)
class App:
    """The operator's client, or none, or one that cannot be opened."""

    material: Mapping[str, str] = field(default_factory=lambda: CLIENT)
    missing: bool = False
    fault: Exception | None = None

    async def serving(self, _account_id: int, _partner: Any, _auth: str) -> App | None:
        """Itself."""
        if self.fault is not None:
            raise self.fault
        return None if self.missing else self


def oauth_partner(*, expired: bool = True, verify: bool = True, **scheme: Any) -> Any:
    """A partner whose customers sign in. Without ``expired`` it does not say that it is the token that it refuses."""
    told = {
        "kind": "oauth2",
        "authorizeUrl": "https://login.example.com/authorize",
        "tokenUrl": f"https://login.example.com{TOKEN_PATH}",
        "rotates": True,
        **scheme,
    }
    spec: dict[str, Any] = {"auth": [{"name": "signin", "label": "Sign in", "scheme": told}]}
    if verify:
        spec["verify"] = {"call": {"path": "/me"}, "account": "{{answer.name}}"}
    rules = [{"status": [401], "body": {"at": "error", "equals": "token_expired"}, "kind": "expired_token"}] if expired else []
    create = action(id=CREATE, name="create", fields=[input_field("name")], result={"fields": []})
    return partner(create, connection=spec, errors=rules, id=PARTNER)


@dataclass(slots=True, kw_only=True)
class House:
    """One process's engine with a connection that was signed in to."""

    engine: Engine
    provider: Provider
    clock: Clock
    app: App
    account: int
    connection: int

    @property
    def desk(self) -> Desk:
        return self.engine.desk

    @property
    def repo(self) -> Any:
        return self.engine.runtime.repo

    async def bench(self) -> Any:
        """The open connection."""
        partner = await self.engine.runtime.catalog.seen_by(self.account).partner(PARTNER)
        return await self.desk.bench(self.account, partner, self.connection)

    async def run(self) -> str:
        """Run the action; what became of it."""
        ask = Ask(
            account_id=self.account, operation_id=CREATE, mode="sync", runner_data={"name": "x"}, credential_data={"0": self.connection}
        )
        done = await self.engine.run_sync(ask)
        return done.run.status if done.error is None else f"{done.error.code}: {done.error.message}"

    async def kept(self) -> Any:
        """The grant as it is in the store."""
        return await self.repo.grants.get(self.connection)

    async def record(self) -> Any:
        """The connection as it is in the store."""
        return await self.repo.connections.get(self.account, self.connection)

    async def connect(self, grant: Grant | None = None) -> int:
        """A connection by a sign-in; its id."""
        granted = self.provider.sign_in() if grant is None else grant
        self.connection = await keep_sign_in(self.engine.runtime, self.account, PARTNER, granted)
        return self.connection


async def keep_sign_in(runtime: Runtime, account_id: int, partner_id: int, grant: Grant) -> int:
    """Keep the connection that a sign-in led to; its id."""
    now, connection_id = runtime.now_ms(), await runtime.repo.connections.reserve_id()
    data_key = runtime.connections.new_key(account_id, connection_id)
    sealed = runtime.connections.seal(account_id, connection_id, data_key, {})
    record = stored.connection(
        account_id, connection_id, partner_id=partner_id, auth="signin", data_key=data_key, sealed=sealed, last_used_at=now
    )
    await runtime.repo.connections.insert(record, runtime.connections.seal_grant(record, grant, now=now))
    return connection_id


@contextlib.asynccontextmanager
async def open_house(folder: Path, provider: Provider, served: Any = None, *, beside: House | None = None) -> AsyncIterator[House]:
    """A process over ``folder``. ``beside`` is another one over the same folder: its account and connection are used."""
    catalog = Catalog([served or oauth_partner()], [], "http://127.0.0.1")
    async with open_runtime(load_settings({}, data=folder), catalog=catalog, network=provider, clock=provider.clock) as runtime:
        app = App()
        house = House(engine=Engine(Desk(runtime, app)), provider=provider, clock=provider.clock, app=app, account=0, connection=0)
        if beside is None:
            house.account = await new_account(runtime.repo, runtime.vault, "a@b.example")
            await house.connect()
        else:
            house.account, house.connection = beside.account, beside.connection
        yield house


class Gate:
    """Where a coroutine is held up until it is opened; ``reached`` tells that it is there."""

    def __init__(self) -> None:
        self.reached, self.opened = asyncio.Event(), asyncio.Event()

    async def __call__(self) -> None:
        self.reached.set()
        await self.opened.wait()
