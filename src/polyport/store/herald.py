"""Who turns a change into events: their rows are written in the unit of the change itself, so that neither is ever there without the other.

What to tell, to whom and in which words is not the store's to know: it is handed a ``Herald`` and writes what that gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from polyport.errors import PolyportError
from polyport.store.base import Statement
from polyport.store.records import Connection, Link, Run


class Herald(Protocol):
    """Gives the statements that keep the events of a change; none where nobody listens."""

    async def listens(self, account_id: int, event_type: str) -> bool:
        """Whether anybody wants events of this type, for those who would have to read first what they tell."""

    async def connection(self, event_type: str, record: Connection, *, becomes: str | None = None) -> Sequence[Statement]:
        """The events of a connection, as it stands after the change.

        With ``becomes`` they are written only if the connection of this generation stands at another status: run them before the change.
        """

    async def link(self, link: Link) -> Sequence[Statement]:
        """The events of a link that was used, as it stands afterwards."""

    async def run(self, run: Run, *, result: Any = None, error: PolyportError | None = None) -> Sequence[Statement]:
        """The events of a run that ended, as it stands afterwards."""

    def announce(self) -> None:
        """Say that events were written: whoever sends them looks at once."""


class Silence:
    """The herald of a store that tells nobody."""

    async def listens(self, _account_id: int, _event_type: str) -> bool:
        """Nobody does."""
        return False

    async def connection(self, _event_type: str, _record: Connection, *, becomes: str | None = None) -> Sequence[Statement]:  # noqa: ARG002  the protocol names it
        """Nothing."""
        return ()

    async def link(self, _link: Link) -> Sequence[Statement]:
        """Nothing."""
        return ()

    async def run(self, _run: Run, *, result: Any = None, error: PolyportError | None = None) -> Sequence[Statement]:  # noqa: ARG002  the protocol names it
        """Nothing."""
        return ()

    def announce(self) -> None:
        """Nobody waits."""
