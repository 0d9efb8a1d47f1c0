"""The narrow protocol that a database has to keep; ``repo`` says everything else in terms of it."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

Params = Mapping[str, Any]
DbRow = tuple[Any, ...]


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One named statement of ``sql/queries`` with its parameters.

    ``expect`` is the number of rows it has to change (or return): when it differs, the whole unit is undone and the
    caller gets ``Stale``. That is how every compare-and-swap is written.

    ``record`` is one whose fields are parameters too: to make a mapping of a run's thirty took longer than to hand them over.

    ``adds`` are further parameters, numbers that it adds to what is there: of statements of one commit that differ in these alone, the database may run one
    with their sums. Such a statement does not fail, and gives no rows.
    """

    query: str
    params: Params = msgspec.field(default_factory=dict)
    expect: int | None = None
    record: Any = None
    adds: Mapping[str, int] | None = None


class StoreFault(Exception):
    """The database did not do what was asked."""


class Stale(StoreFault):
    """A compare-and-swap found that somebody else was first; nothing of its unit was written."""


class Duplicate(StoreFault):
    """A unique key exists already; nothing of its unit was written. ``constraint`` tells which."""

    def __init__(self, constraint: str) -> None:
        super().__init__(constraint)
        self.constraint = constraint


class StoreUnavailable(StoreFault):
    """The database cannot be written or read now (disk full, read-only, corrupt, gone). Nothing was accepted."""


class Database(Protocol):
    """A database of Polyport: SQLite on one machine, PostgreSQL on many.

    Both give every statement that says ``:only_user`` the reach of the caller's context (see ``reach``).
    """

    async def read(self, query: str, params: Params | None = None) -> Sequence[DbRow]:
        """Run a named query that changes nothing; all rows."""

    def write(self, *statements: Statement) -> Awaitable[Sequence[Sequence[DbRow]]]:
        """Run a unit of statements, all or none; returns once it is durable, with the rows of each statement.

        Units of many callers share one commit. Raises ``Stale``, ``Duplicate`` or ``StoreUnavailable``.
        """

    async def ready(self) -> None:
        """Return if the database can be written now; raise ``StoreUnavailable`` with the reason if not."""

    async def scrub(self) -> bool:
        """Let nothing of what was deleted stay in the database's own files. False when that is not possible now: ask again later."""

    async def close(self) -> None:
        """Finish what was accepted, then release everything."""
