"""Rotation of the master key while everything runs: a new key that all processes have, every data key wrapped under it, the old key dropped.

What data keys seal stays as it is: only the data keys are wrapped anew, each in a compare-and-swap of its own, so nothing waits for a rotation, and one that
was cut off goes on when it is run again.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from polyport.accounts import account_scope
from polyport.apps import app_scope
from polyport.connections import scope_of
from polyport.errors import SetupError
from polyport.master_keys import MasterKeys, Neighbour
from polyport.store.base import Stale
from polyport.store.keys import DataKey
from polyport.vault import VaultFault

BATCH: Final = 100
PATIENCE: Final = 30.0
PAUSE: Final = 0.2
SCOPES: Final[Mapping[str, Callable[[DataKey], str]]] = {
    "accounts": lambda held: account_scope(held.id),
    "connections": lambda held: scope_of(held.account_id or 0, held.id),
    "oauth_apps": lambda held: app_scope(held.account_id, held.partner_id or 0),
}
STEPS: Final = """\
The keys come from POLYPORT_MASTER_KEY, so this command cannot add one. Do it in four steps:
  1. Make a key: polyport keys new
  2. Set POLYPORT_MASTER_KEY to the new key, a comma, and the present value; restart the processes one by one.
     They go on sealing with the present key, and can open what the new one will seal.
  3. Run polyport keys rotate again, with the same POLYPORT_MASTER_KEY.
  4. Run polyport keys drop {old}, then take the old key out of POLYPORT_MASTER_KEY and restart the processes one by one."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """What a rotation did: the key that seals now, how many data keys were wrapped anew, which ones could not be opened, keys that nothing needs any more."""

    key_id: str
    moved: int
    unreadable: tuple[str, ...]
    idle: tuple[str, ...]


@contextlib.contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Keep other changes of the keys away. Raises ``SetupError`` when one is under way."""
    handle = os.open(folder / "keys.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise SetupError("Another command is changing the keys: wait until it is done.") from None
    finally:
        os.close(handle)


async def rotate(keys: MasterKeys, tell: Tell, *, patience: float = PATIENCE) -> Rotated:
    """Bring a new master key in, or go on where a rotation was cut off. Raises ``SetupError`` with what to do when that cannot be."""
    await keys.follow()
    target = await _target(keys, tell)
    tell(f"Waiting until every process has key {target}.")
    await _until(keys, lambda other: target in other.key_ids, f"does not have key {target}", patience, restart=True)
    if keys.vault.key_ids[0] != target:
        try:
            await keys.repo.keys.lead(bytes.fromhex(target), _now())
        except Stale:
            raise SetupError(f"Key {target} was dropped from this data: it cannot seal again. Take another one.") from None
        await keys.follow()
    tell(f"New data keys are sealed with {target}; wrapping those that there are.")
    moved, unreadable = await _rewrap_all(keys, target)
    await _until(keys, lambda other: other.seals == target, f"does not seal with key {target} yet", patience)
    more, unreadable = await _rewrap_all(keys, target)  # what a process sealed with the old key before it changed over
    await keys.repo.keys.forget()
    needed = {found.key_id.hex() for found in await keys.repo.keys.counts()}
    idle = tuple(key_id for key_id in keys.vault.key_ids if key_id not in needed and key_id != target)
    return Rotated(key_id=target, moved=moved + more, unreadable=unreadable, idle=idle)


async def drop(keys: MasterKeys, key_id: str, *, patience: float = PATIENCE) -> None:
    """Retire a master key, and take it out of the key file. Raises ``SetupError`` while anything needs it."""
    if key_id == keys.vault.key_ids[0]:
        raise SetupError(f"Key {key_id} is the one that seals: bring another one in first (polyport keys rotate).")
    known = {key.key_id.hex() for key in await keys.repo.keys.all()}
    if key_id not in known and key_id not in keys.vault.key_ids:
        raise SetupError(f"There is no key {key_id} here: polyport keys list shows those that there are.")
    needed = {found.holder: found.count for found in await keys.repo.keys.counts() if found.key_id.hex() == key_id}
    if needed:
        shown = ", ".join(f"{count} of {holder}" for holder, count in needed.items())
        raise SetupError(f"Key {key_id} is still needed by data keys ({shown}): run polyport keys rotate first.")
    await _until(keys, lambda other: other.seals != key_id, f"still seals with key {key_id}", patience)
    if key_id in known:
        try:
            await keys.repo.keys.retire(bytes.fromhex(key_id), _now())
        except Stale:
            raise SetupError(f"Key {key_id} was used again just now: run polyport keys rotate, then drop it.") from None
    if keys.file is not None and key_id in keys.vault.key_ids:
        keys.file.remove(key_id)
    await keys.follow()


async def _target(keys: MasterKeys, tell: Tell) -> str:
    """The key to change over to: that of a rotation that was cut off, one that waits for its turn, or a new one."""
    ring = keys.vault.key_ids
    sealing = ring[0]
    needed = {found.key_id.hex() for found in await keys.repo.keys.counts()}
    if (needed & set(ring)) - {sealing}:
        tell(f"Going on with the rotation to key {sealing}.")
        return sealing
    known = {key.key_id.hex() for key in await keys.repo.keys.all()}
    waiting = [key_id for key_id in ring if key_id not in known]
    if waiting:
        return waiting[0]
    if keys.file is None:
        raise SetupError(STEPS.format(old=sealing))
    outside = [other.pid for other in keys.neighbours() if not other.reads_file]
    if outside:
        raise SetupError(
            f"Process {', '.join(outside)} has its keys from POLYPORT_MASTER_KEY, not from {keys.file.path}: run this command with the same setting."
        )
    key_id = keys.file.add()
    tell(f"Added key {key_id} to {keys.file.path}: keep a copy of the file, apart from the data.")
    await keys.follow()
    return key_id


async def _until(keys: MasterKeys, met: Callable[[Neighbour], bool], what: str, patience: float, *, restart: bool = False) -> None:
    """Wait until every other process is so far. Raises ``SetupError`` that names who is not.

    ``restart``: one whose keys come from the setting gets there by a restart alone, and is not waited for.
    """
    end = time.monotonic() + patience
    while late := [other for other in keys.neighbours() if not met(other)]:
        stuck = [other for other in late if restart and other.key_ids and not other.reads_file]
        if stuck or time.monotonic() > end:
            named = ", ".join(other.pid for other in stuck or late)
            advice = "restart it with the new POLYPORT_MASTER_KEY" if stuck else "see whether it is stuck, or stop it"
            raise SetupError(
                f"Process {named} {what}: {advice}, then run this command again. Nothing is lost, and it goes on where it stopped."
            )
        await asyncio.sleep(PAUSE)


async def _rewrap_all(keys: MasterKeys, target: str) -> tuple[int, tuple[str, ...]]:
    """Wrap every data key that these keys open under the target; how many, and which could not be opened."""
    moved, unreadable = 0, list[str]()
    for found in await keys.repo.keys.counts():
        key_id = found.key_id.hex()
        if key_id == target:
            continue
        if key_id not in keys.vault.key_ids:
            unreadable.append(f"{found.count} of {found.holder} are under key {key_id}, which is not here")
            continue
        after = 0
        while batch := await keys.repo.keys.under(found.holder, found.key_id, after=after, limit=BATCH):
            after = batch[-1].id
            told = await asyncio.gather(*(_rewrap(keys, found.holder, held) for held in batch))
            moved += sum(one is True for one in told)
            unreadable += [one for one in told if isinstance(one, str)]
    return moved, tuple(unreadable)


async def _rewrap(keys: MasterKeys, holder: str, held: DataKey) -> bool | str:
    try:
        wrapped = keys.vault.rewrap(SCOPES[holder](held), held.data_key)
    except VaultFault as fault:
        return f"{holder} {held.id}: {fault}"
    return await keys.repo.keys.rewrap(holder, held, wrapped)


def _now() -> int:
    return int(time.time() * 1000)
