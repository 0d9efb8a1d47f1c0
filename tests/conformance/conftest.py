"""The backends that have to pass these suites. A backend is done when it does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import stored
from polyport.queue.base import Queue
from polyport.queue.database import DatabaseQueue
from polyport.queue.processes import ProcessLock
from polyport.store.base import Database
from polyport.store.repo import Repo
from polyport.store.sqlite import SqliteDatabase


@pytest.fixture(params=["sqlite", "sqlite of several processes"])
async def database(request: pytest.FixtureRequest, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Database]:
    path = tmp_path / "polyport.db"
    opened = {
        "sqlite": lambda: SqliteDatabase.open(path, sole=True),
        "sqlite of several processes": lambda: SqliteDatabase.open(path, sole=False),
    }
    found = await opened[request.param]()
    yield found
    await found.close()


@pytest.fixture
def repo(database: Database) -> Repo:
    return Repo(database)


@pytest.fixture
async def account_id(repo: Repo) -> int:
    return await stored.account(repo)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[ProcessLock]:
    lock = ProcessLock(tmp_path / "processes")
    yield lock
    lock.release()


@pytest.fixture(params=["database"])
def queue(request: pytest.FixtureRequest, database: Database, processes: ProcessLock) -> Queue:
    return {"database": lambda: DatabaseQueue(database, processes)}[request.param]()
