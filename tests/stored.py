"""Records in a few words, for tests of the store and the queue. Sealed columns hold any bytes: the store never opens them."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path
from typing import Any

import apsw

from polyport.store.base import Statement
from polyport.store.records import (
    Account,
    Connection,
    ConnectionStatus,
    Endpoint,
    EndpointStatus,
    EventStatus,
    Finding,
    IdempotencyKey,
    Link,
    LinkStatus,
    OutgoingEvent,
    Priority,
    Run,
    RunStatus,
    SignIn,
    StoredGrant,
    Token,
)
from polyport.store.repo import Repo

_numbers = itertools.count(1)


def opened_file(path: Path) -> contextlib.closing[apsw.Connection]:
    """A database as another program has it open. The driver is the server's: two copies of SQLite in one process take each other's locks away."""
    return contextlib.closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE))


def run(account_id: int, *, at: int = 1_000, **changes: Any) -> Run:
    """A queued run that was accepted at ``at`` (unix milliseconds); ids are in the order in which they were made within a millisecond."""
    told: dict[str, Any] = {
        "run_id": f"run_{at:012x}{next(_numbers):020x}",
        "account_id": account_id,
        "partner_id": 10055,
        "operation_id": 10025156,
        "connection_id": None,
        "external_user_id": None,
        "mode": "async",
        "status": RunStatus.QUEUED,
        "sending": False,
        "repeatable": False,
        "owner": None,
        "attempts": 0,
        "priority": Priority.NORMAL,
        "due_at": at,
        "deadline_at": None,
        "created_at": at,
        "started_at": None,
        "finished_at": None,
        "cancel_at": None,
        "queued_ms": 0,
        "waited_ms": 0,
        "upstream_ms": None,
        "idempotency_key": None,
        "replay_of": None,
        "reconciles": False,
        "probe_at": None,
        "settled": None,
        "callback_url": None,
        "metadata": "{}",
        "error": None,
        "sealed_input": b"input",
        "sealed_result": None,
        "sealed_attempts": None,
    }
    return Run(**(told | changes))


def running(account_id: int, owner: str, **changes: Any) -> Run:
    """A run that a process works on."""
    return run(account_id, **({"status": RunStatus.RUNNING, "owner": owner, "attempts": 1, "started_at": 1_000} | changes))


def key(account_id: int, of: Run, text: str = "key", *, at: int = 1_000) -> IdempotencyKey:
    """The key a run was started under."""
    return IdempotencyKey(account_id=account_id, key=text, digest=b"digest", run_id=of.run_id, created_at=at)


def connection(account_id: int, connection_id: int, **changes: Any) -> Connection:
    """An active connection."""
    told: dict[str, Any] = {
        "connection_id": connection_id,
        "account_id": account_id,
        "partner_id": 10055,
        "title": "Sales",
        "status": ConnectionStatus.ACTIVE,
        "auth": "token",
        "account_label": None,
        "external_user_id": None,
        "metadata": "{}",
        "shown": "{}",
        "data_key": b"wrapped",
        "sealed": b"first",
        "generation": 1,
        "data_status": 0,
        "last_error": None,
        "last_used_at": None,
        "last_verified_at": None,
        "check_at": None,
        "refusals": 0,
        "created_at": 1_000,
        "updated_at": 1_000,
    }
    return Connection(**(told | changes))


def grant(connection_id: int, **changes: Any) -> StoredGrant:
    """A grant that is due at 9,000 and ends at 10,000."""
    told: dict[str, Any] = {
        "connection_id": connection_id,
        "sealed": b"first",
        "generation": 1,
        "expires_at": 10_000,
        "refresh_at": 9_000,
        "exchange_until": None,
        "exchange_by": None,
        "failures": 0,
        "fence": 0,
        "updated_at": 1_000,
    }
    return StoredGrant(**(told | changes))


def finding(**changes: Any) -> Finding:
    """That the partner took a connection."""
    told: dict[str, Any] = {
        "status": ConnectionStatus.ACTIVE,
        "proved": True,
        "account_label": None,
        "last_error": None,
        "check_at": None,
        "refusals": 0,
    }
    return Finding(**(told | changes))


def refused(**changes: Any) -> Finding:
    """That the partner refused a connection, twice."""
    return finding(**({"status": ConnectionStatus.INVALID, "proved": False, "last_error": "refused", "refusals": 2} | changes))


def token(account_id: int, token_hash: bytes, **changes: Any) -> Token:
    """A session token."""
    told: dict[str, Any] = {
        "token_id": 0,
        "token_hash": token_hash,
        "kind": "session",
        "account_id": account_id,
        "user_id": None,
        "family": "family",
        "title": "",
        "prefix": "",
        "scopes": "admin",
        "created_at": 1_000,
        "expires_at": 9_000,
        "last_used_at": None,
    }
    return Token(**(told | changes))


async def account(repo: Repo, email: str = "ada@example.com") -> int:
    """A new account with one user; its id."""
    account_id = await repo.accounts.reserve_id()
    made = Account(account_id=account_id, title="Example", data_key=b"wrapped", created_at=1_000)
    await repo.accounts.create(made, email=email, password_hash="hash")
    return account_id


def bump() -> Statement:
    """A unit of one statement that always changes exactly one row."""
    return Statement(query="bump_epoch", expect=1)


def link(account_id: int, **changes: Any) -> Link:
    """A link that nobody has opened."""
    told: dict[str, Any] = {
        "link_id": 0,
        "account_id": account_id,
        "partner_id": 10055,
        "token_hash": b"hash",
        "status": LinkStatus.WAITING,
        "connection_id": None,
        "renews": False,
        "title": "Sales",
        "external_user_id": None,
        "redirect_url": None,
        "callback_url": None,
        "metadata": "{}",
        "language": None,
        "last_error": None,
        "session_hash": None,
        "created_at": 1_000,
        "expires_at": 100_000,
        "opened_at": None,
        "used_at": None,
    }
    return Link(**(told | changes))


def sign_in(of: Link, state_hash: bytes, **changes: Any) -> SignIn:
    """A customer who is at a partner's sign-in, led there by the link."""
    told: dict[str, Any] = {
        "state_hash": state_hash,
        "link_id": of.link_id,
        "account_id": of.account_id,
        "token_hash": of.token_hash,
        "session_hash": b"session",
        "sealed": b"sealed",
        "used_at": None,
        "created_at": 1_000,
        "expires_at": 9_000,
    }
    return SignIn(**(told | changes))


def event(account_id: int, *, at: int = 1_000, **changes: Any) -> OutgoingEvent:
    """An event that is due, for a callback address; ids are in the order in which they were made within a millisecond."""
    told: dict[str, Any] = {
        "event_id": f"evt_{at:012x}{next(_numbers):020x}",
        "account_id": account_id,
        "external_user_id": None,
        "type": "run.finished",
        "endpoint_id": None,
        "url": "https://hooks.example.com/a",
        "lane": f"{account_id} https://hooks.example.com",
        "status": EventStatus.PENDING,
        "attempts": 0,
        "due_at": at,
        "owner": None,
        "last_status": None,
        "last_error": None,
        "created_at": at,
        "ended_at": None,
        "sealed": b"body",
    }
    return OutgoingEvent(**(told | changes))


def endpoint(account_id: int, endpoint_id: str = "ep_1", **changes: Any) -> Endpoint:
    """An endpoint that wants everything."""
    told: dict[str, Any] = {
        "endpoint_id": endpoint_id,
        "account_id": account_id,
        "url": "https://hooks.example.com/a",
        "event_types": '["*"]',
        "title": "Ours",
        "status": EndpointStatus.ACTIVE,
        "reason": None,
        "secrets": b"sealed",
        "generation": 1,
        "created_at": 1_000,
        "updated_at": 1_000,
    }
    return Endpoint(**(told | changes))
