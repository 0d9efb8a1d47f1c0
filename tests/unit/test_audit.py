"""The audit log: a chain that shows every change of what was written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import stored
from polyport.audit import STEP, AuditLog, Verdict, hash_of, shown, verify
from polyport.store.base import Statement
from polyport.store.repo import Repo
from polyport.store.rows import params
from polyport.store.sqlite import SqliteDatabase

pytestmark = pytest.mark.anyio


@pytest.fixture
async def repo(anyio_backend: str, tmp_path: Path) -> AsyncIterator[Repo]:
    database = await SqliteDatabase.open(tmp_path / "audit.db")
    yield Repo(database)
    await database.close()


@pytest.fixture
async def account(repo: Repo) -> int:
    return await stored.account(repo)


def log_of(repo: Repo) -> AuditLog:
    return AuditLog(repo.audit, lambda: 1_700_000_000_000)


async def some(repo: Repo, account: int, count: int) -> AuditLog:
    log = log_of(repo)
    for number in range(count):
        await log.note(
            account, via="api", actor=("user/1", "ada@example.com"), action="DELETE /credentials/{id}", target=f"/{number}", status=200
        )
    return log


async def exported(log: AuditLog, account: int) -> list[dict[str, Any]]:
    return [json.loads(json.dumps(shown(entry))) async for entry in log.entries(account)]


async def test_entries_follow_each_other_in_a_chain(repo: Repo, account: int):
    log = await some(repo, account, 3)
    found = await exported(log, account)

    assert [entry["sequence"] for entry in found] == [1, 2, 3]
    assert [entry["prior"] for entry in found] == ["0" * 64, found[0]["hash"], found[1]["hash"]]
    assert await log.verify(account) == Verdict(entries=3, head=found[2]["hash"])


async def test_an_empty_log_is_whole(repo: Repo, account: int):
    assert await log_of(repo).verify(account) == Verdict(entries=0, head=None)


async def test_a_log_longer_than_a_step_is_verified_to_its_end(repo: Repo, account: int):
    first = await exported(await some(repo, account, 1), account)
    entry, entries = (await repo.audit.after(account, 0, limit=1))[0], []
    for number in range(2, STEP + 3):
        entry = replace(entry, sequence=number, prior=entry.hash)
        entry = replace(entry, hash=hash_of(shown(entry)))
        entries.append(entry)
    await repo.database.write(*(Statement(query="insert_audit_entry", params=params(each)) for each in entries))

    assert first[0]["hash"] == entries[0].prior.hex()
    assert await log_of(repo).verify(account) == Verdict(entries=STEP + 2, head=entry.hash.hex())


async def test_two_accounts_have_chains_of_their_own(repo: Repo, account: int):
    other = await stored.account(repo, email="other@example.com")
    await some(repo, account, 2)
    log = await some(repo, other, 1)

    assert [entry["sequence"] for entry in await exported(log, other)] == [1]
    assert (await log.verify(account)).entries == 2


async def test_entries_of_two_processes_make_one_chain(repo: Repo, account: int):
    logs = [log_of(repo) for _process in range(3)]
    await asyncio.gather(
        *(
            log.note(account, via="console", actor=("user/1", "a"), action="x", target=str(number), status=200)
            for log in logs
            for number in range(5)
        )
    )

    assert (await logs[0].verify(account)).entries == 15


@pytest.mark.parametrize(
    ("name", "value"), [("target", "/5"), ("at", 1), ("actor", "user/2"), ("status", 403), ("action", "GET /"), ("actorName", "eve")]
)
async def test_a_changed_entry_shows(repo: Repo, account: int, name: str, value: Any):
    found = await exported(await some(repo, account, 4), account)
    found[1][name] = value

    verdict = verify(found)
    assert (verdict.broken_at, verdict.entries) == (2, 1)


@pytest.mark.parametrize("index", [0, 1, 2])
async def test_a_missing_entry_shows(repo: Repo, account: int, index: int):
    found = await exported(await some(repo, account, 4), account)
    del found[index]

    assert verify(found).broken_at == index + 1


async def test_an_entry_that_was_changed_together_with_its_hash_shows_at_the_next(repo: Repo, account: int):
    found = await exported(await some(repo, account, 4), account)
    found[1]["target"] = "/9"
    found[1]["hash"] = hash_of(found[1]).hex()

    assert verify(found).broken_at == 3


async def test_a_log_that_was_cut_at_its_end_has_another_head(repo: Repo, account: int):
    log = await some(repo, account, 3)
    found = await exported(log, account)

    assert verify(found[:2]).head != (await log.verify(account)).head


async def test_a_change_in_the_database_shows(repo: Repo, account: int, tmp_path: Path):
    log = await some(repo, account, 3)
    with stored.opened_file(tmp_path / "audit.db") as connection, connection:
        connection.execute("UPDATE audit_entries SET actor_name = 'eve' WHERE sequence = 2")

    assert (await log.verify(account)).broken_at == 2
