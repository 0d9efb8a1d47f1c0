"""Deleting for good: a connection with its key, an end user with everything.

An end user is deleted unit by unit. That it is to be deleted is kept first, so what a killed process leaves undone the next one goes on with; each unit may
be done twice, also by two processes at once.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from typing import Final

import structlog

from polyport.connections import scope_of
from polyport.engine.desk import Desk
from polyport.errors import NotFound, RunCancelled
from polyport.store.base import Stale
from polyport.store.records import Connection, EndUser

MARK: Final = "erased_"
_log: Final = structlog.get_logger("polyport.erasure")
_CANCELLED: Final = RunCancelled("The user that this run was for was deleted; what the run had sent before stands.")


async def erase_connection(desk: Desk, record: Connection) -> None:
    """Delete a connection: without its data key, nobody can read any more what was sealed with it. Raises ``Stale`` when it is gone already."""
    await desk.runtime.repo.connections.delete(record.account_id, record.connection_id)
    desk.drop_grant(record)
    desk.runtime.vault.forget(scope_of(record.account_id, record.connection_id))
    desk.forget()


async def begin_erasure(desk: Desk, user: EndUser) -> None:
    """Note that a user is to be deleted: its tokens end with that. One that is being deleted already is left to that."""
    with contextlib.suppress(Stale):
        # A random mark, not a digest of the id: ids can be guessed, and whoever guesses right would know whose runs these were.
        await desk.runtime.repo.end_users.begin_deletion(user, mark=MARK + secrets.token_hex(16), now=desk.runtime.now_ms())


async def erase_users(desk: Desk) -> None:
    """Go on with every deletion that was begun, here or elsewhere."""
    for user in await desk.runtime.repo.end_users.being_deleted():
        with contextlib.suppress(Stale):  # a run is under way: that ends by itself, then its record is redacted
            await _erase(desk, user)
            _log.info("an end user was deleted", account=user.account_id, user=user.end_user_id)


async def _erase(desk: Desk, user: EndUser) -> None:
    """Delete what there is of a user. Raises ``Stale`` when something is left, or another process was first."""
    repo = desk.runtime.repo
    await repo.end_users.delete_events(user)
    while connections := await repo.end_users.connections(user):
        for connection_id in connections:
            with contextlib.suppress(Stale, NotFound):  # another process was first
                await erase_connection(desk, await desk.runtime.connections.record(user.account_id, connection_id))
    await repo.end_users.delete_links(user)
    await repo.end_users.delete_files(user)
    await repo.end_users.redact_runs(user)
    await repo.end_users.cancel_runs(user, error=json.dumps(_CANCELLED.as_record()), now=desk.runtime.now_ms())
    await repo.end_users.redact_runs(user)
    await repo.end_users.delete_events(user)  # of runs that ended meanwhile
    await repo.end_users.forget(user)


async def scrub(desk: Desk) -> None:
    """Clean the store's files of what was deleted; what is not possible now is tried again the next time."""
    if not await desk.runtime.repo.scrub():
        _log.info("the files of the store cannot be cleaned now")
