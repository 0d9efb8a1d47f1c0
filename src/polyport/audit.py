"""The audit log: who did what, in one chain of hashes for each account, so that a change of what was written shows.

An entry says who, what and to which id, and what that was called then if it is the account's own: never what was in a body, no secret, nothing of an end user. Its hash is the SHA-256 of the entry as
JSON (sorted keys, no blanks, UTF-8) with the hash of the entry before it among its fields, so an exported log can be verified with nothing but itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import structlog

from polyport.store.base import Duplicate
from polyport.store.console import AuditEntries, AuditEntry

START: Final = bytes(32)  # what the first entry of a chain has as the hash before it
STEP: Final = 500
TEXT_MOST: Final = 200
_TRIES: Final = 20
_log: Final = structlog.get_logger("polyport.audit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What verifying a chain found: ``broken_at`` is the first entry that is not as it was written, or is missing."""

    entries: int
    head: str | None
    broken_at: int | None = None
    why: str | None = None


class Target(NamedTuple):
    """To what something was done: its path, what it was called, and what became of it."""

    path: str
    name: str = ""
    change: str = ""


class AuditLog:
    """Writes and verifies the logs. ``now_ms`` gives the time in unix milliseconds."""

    def __init__(self, store: AuditEntries, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._now = now_ms
        self._locks: dict[int, asyncio.Lock] = {}
        self._failed: dict[int, int] = {}
        self._failing: set[asyncio.Task[AuditEntry]] = set()

    async def note(
        self,
        account_id: int,
        *,
        via: str,
        actor: tuple[str, str],
        action: str,
        target: str | Target,
        status: int,
        came: tuple[str, str] = ("", ""),
    ) -> AuditEntry:
        """Add an entry; it is durable when this returns. ``actor``: id and name; ``came``: the client's address and the request's id."""
        told = target if isinstance(target, Target) else Target(target)
        made = AuditEntry(
            account_id=account_id,
            sequence=0,
            at=self._now(),
            via=via,
            actor=actor[0],
            actor_name=actor[1][:TEXT_MOST],
            action=action,
            target=told.path[:TEXT_MOST],
            target_name=told.name[:TEXT_MOST],
            change=told.change[:TEXT_MOST],
            status=status,
            address=came[0],
            request_id=came[1],
            prior=START,
            hash=b"",
        )
        async with self._locks.setdefault(
            account_id, asyncio.Lock()
        ):  # one of this process at a time; other processes are met by trying again
            entry = await self._add(made)
        # The head of the chain leaves for wherever logs are kept: who rewrites the whole chain in the database cannot rewrite that.
        _log.info("audit", account=account_id, sequence=entry.sequence, action=action, hash=entry.hash.hex())
        return entry

    def failed(self, account_id: int, user_id: int, *, via: str, name: str, action: str, came: tuple[str, str]) -> None:
        """Note that somebody did not get in as this user: once a minute at most. It is written by itself, so that the answer takes no longer for users that there are."""
        minute = self._now() // 60_000
        if self._failed.get(user_id) == minute:
            return
        self._failed[user_id] = minute
        noted = self.note(account_id, via=via, actor=(f"user/{user_id}", name), action=action, target="", status=401, came=came)
        task = asyncio.ensure_future(noted)
        self._failing.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[AuditEntry]) -> None:
        self._failing.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.warning("a sign-in that failed could not be noted", reason=str(task.exception()))

    async def _add(self, made: AuditEntry) -> AuditEntry:
        for _try in range(_TRIES):
            last = await self._store.last(made.account_id)
            prior, sequence = (last.hash, last.sequence + 1) if last is not None else (START, 1)
            entry = replace(made, sequence=sequence, prior=prior)
            entry = replace(entry, hash=hash_of(shown(entry)))
            try:
                await self._store.add(entry)
            except Duplicate:
                continue
            return entry
        raise Duplicate("audit_entries")

    async def verify(self, account_id: int) -> Verdict:
        """Read a whole chain and hold each entry against its hash and the one before it."""
        found: list[Mapping[str, Any]] = []
        checked = Verdict(entries=0, head=None)
        async for entry in self.entries(account_id):
            found.append(shown(entry))
            if len(found) == STEP:
                checked = verify(found, checked)
                found = []
                if checked.broken_at is not None:
                    return checked
        return verify(found, checked)

    async def entries(self, account_id: int) -> AsyncIterator[AuditEntry]:
        """The whole log, in order."""
        after = 0
        while entries := await self._store.after(account_id, after, limit=STEP):
            for entry in entries:
                yield entry
            after = entries[-1].sequence


_NAMED_BELOW: Final = ("/api-keys", "/console-users", "/event-endpoints", "/oauth-apps", "/partners/", "/credentials")
_LINKS: Final = "/credentials/grant-access-sharing"  # they are titled for the customer who opens them
_NAMES: Final = ("title", "email", "slug", "partnerTitle")


def name_of(path: str, data: Any) -> str:
    """What the thing is called that an answer tells of; "" for what belongs to an end user, whose data can be erased from everywhere else."""
    if (
        not path.startswith(_NAMED_BELOW)
        or path.startswith(_LINKS)
        or not isinstance(data, Mapping)
        or data.get("externalUserId") is not None
    ):
        return ""
    return next((name for key in _NAMES if isinstance(name := data.get(key), str) and name), "")


def shown(entry: AuditEntry) -> dict[str, Any]:
    """An entry as it is exported. ``at`` is in unix milliseconds."""
    return {
        "sequence": entry.sequence,
        "at": entry.at,
        "via": entry.via,
        "actor": entry.actor,
        "actorName": entry.actor_name,
        "action": entry.action,
        "target": entry.target,
        "targetName": entry.target_name,
        "change": entry.change,
        "status": entry.status,
        "address": entry.address,
        "requestId": entry.request_id,
        "prior": entry.prior.hex(),
        "hash": entry.hash.hex(),
    }


def hash_of(told: Mapping[str, Any]) -> bytes:
    """The hash that an entry should have."""
    content = {name: value for name, value in told.items() if name != "hash"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()).digest()


def verify(told: Iterable[Mapping[str, Any]], before: Verdict = Verdict(entries=0, head=None)) -> Verdict:
    """Hold entries, in order, against their hashes; ``before`` is what was found for those that came before them."""
    count, head = before.entries, before.head or START.hex()
    for entry in told:
        count += 1
        if entry.get("sequence") != count:
            return Verdict(entries=count - 1, head=head, broken_at=count, why="An entry is missing here, or one was put in.")
        if entry.get("prior") != head:
            return Verdict(entries=count - 1, head=head, broken_at=count, why="It does not follow the entry before it.")
        if entry.get("hash") != hash_of(entry).hex():
            return Verdict(entries=count - 1, head=head, broken_at=count, why="It was changed after it was written.")
        head = str(entry["hash"])
    return Verdict(entries=count, head=head if count else None)
