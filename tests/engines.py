"""An engine over a real database in a folder, a network that answers as a test says, and a database that can be told to fail."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from polyport.accounts import account_scope
from polyport.catalog import Catalog
from polyport.connections import ConnectionBook
from polyport.engine.connect import NewConnection, create_connection
from polyport.engine.desk import Desk
from polyport.engine.record import Ask
from polyport.engine.run import Engine
from polyport.net.message import Reply, Request
from polyport.runtime import open_runtime
from polyport.settings import load_settings
from polyport.store.base import Database, DbRow, Params, Statement, StoreUnavailable
from polyport.store.records import Account, Run
from polyport.store.repo import Repo
from polyport.vault import Vault
from samples import action, json_reply, list_spec, partner
from samples import field as input_field

CREATE, PUT, SEND = 10001, 10002, 10003


@dataclass(slots=True)
class Line:
    """A network without a wire: ``answer`` makes the reply, or raises; what was sent is kept."""

    answer: Callable[[Request], Reply] = lambda _request: json_reply(b'{"id": 1}')
    sent: list[Request] = field(default_factory=list)

    async def send(self, request: Request) -> Reply:
        self.sent.append(request)
        return self.answer(request)


@dataclass(slots=True)
class Moody:
    """A database over the real one. The queries in ``failing`` find it unavailable, those in ``blind`` find nothing."""

    inner: Database
    failing: set[str] = field(default_factory=set)
    blind: set[str] = field(default_factory=set)

    async def read(self, query: str, params: Params | None = None) -> Sequence[DbRow]:
        if query in self.failing:
            raise StoreUnavailable("told to fail")
        return [] if query in self.blind else await self.inner.read(query, params)

    async def write(self, *statements: Statement) -> Sequence[Sequence[DbRow]]:
        if any(statement.query in self.failing for statement in statements):
            raise StoreUnavailable("told to fail")
        return await self.inner.write(*statements)

    async def ready(self) -> None:
        await self.inner.ready()

    async def scrub(self) -> bool:
        return "scrub" not in self.failing and await self.inner.scrub()

    async def close(self) -> None:
        await self.inner.close()


@dataclass(slots=True, kw_only=True)
class Bench:
    """An engine with one account and one connection."""

    engine: Engine
    line: Line
    store: Moody
    account: int
    connection: int = 0

    @property
    def desk(self) -> Desk:
        return self.engine.desk

    def ask(self, operation: int = CREATE, mode: str = "sync", **more: Any) -> Ask:
        """An ask with the connection; ``name`` is given unless ``runner_data`` says otherwise."""
        told = {"runner_data": {"name": "Lamp"}, "credential_data": {"0": self.connection}} | more
        return Ask(account_id=self.account, operation_id=operation, mode=mode, **told)

    async def claimed(self, **ask: Any) -> Run:
        """An asynchronous run that this process claimed."""
        await self.engine.start(self.ask(mode="async", **ask))
        (run,) = await self.engine.runtime.queue.claim(self.engine.runtime.owner, 1, self.engine.runtime.now_ms())
        return run

    async def status(self, run: Run) -> str:
        """Where a run stands in the database."""
        found = await self.engine.runtime.repo.runs.get(self.account, run.run_id)
        return "" if found is None else str(found.status)


def sample_partner() -> Any:
    """A partner whose connection is a key: something to create, something to put, something to send a file to, a list of owners."""
    name = input_field("name", required=True)
    return partner(
        action(id=CREATE, name="create", fields=[name, input_field("owner", "integer", list="owners")], result={"fields": []}),
        action(id=PUT, name="put", idempotent=True, fields=[name], call={"method": "PUT", "path": "/things"}),
        action(
            id=SEND,
            name="send",
            fields=[input_field("photo", "file")],
            call={"method": "POST", "path": "/files", "encoding": "multipart", "body": {"photo": "{{photo}}"}},
        ),
        lists={"owners": list_spec("owners")},
        connection={
            "auth": [
                {
                    "name": "key",
                    "label": "Key",
                    "fields": [input_field("key", secret=True, required=True)],
                    "scheme": {"kind": "bearer", "token": "{{connection.key}}"},
                }
            ],
            "verify": {"call": {"path": "/me"}},
        },
    )


async def new_account(repo: Repo, vault: Vault, email: str) -> int:
    """An account that nobody signs in to: its user has no password, so no slow hash of one is made."""
    account_id = await repo.accounts.reserve_id()
    account = Account(account_id=account_id, title="A", data_key=vault.new_key(account_scope(account_id)), created_at=1)
    return (await repo.accounts.create(account, email=email, password_hash="none")).account_id


@contextlib.asynccontextmanager
async def open_bench(
    folder: Path, served: Any = None, clock: Callable[[], datetime] | None = None, **settings: Any
) -> AsyncIterator[Bench]:
    """The engine, opened over ``folder``, with one partner: ``served``, or the sample. ``clock`` replaces the machine's."""
    line = Line()
    given = load_settings({f"POLYPORT_{name.upper()}": str(value) for name, value in settings.items()}, data=folder)
    catalog = Catalog([served or sample_partner()], [], "http://127.0.0.1")
    async with open_runtime(given, catalog=catalog, network=line, clock=clock) as runtime:
        store = Moody(runtime.repo.database)
        account = await new_account(runtime.repo, runtime.vault, "a@b.example")
        repo = Repo(store)
        engine = Engine(Desk(replace(runtime, repo=repo, connections=ConnectionBook(repo, runtime.vault))))
        bench = Bench(engine=engine, line=line, store=store, account=account)
        new = NewConnection(account_id=account, partner_id=9, title="Mine", fields={"key": "a-secret-key-1"})
        bench.connection = (await create_connection(engine.desk, new)).connection_id
        line.sent.clear()
        yield bench


def listed(*items: dict[str, Any]) -> Reply:
    """The answer of a list."""
    return json_reply(json.dumps(list(items)))
