"""Backup and restore of the data folder's database, beside a running server and in place of a lost one.

A backup is the database alone. The master key is not in it, so that whoever finds a backup has nothing; it is kept apart.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from polyport.errors import SetupError
from polyport.keyfile import KEY_FILE, KeyFile, sync_folder
from polyport.queue.processes import FolderLock, ProcessLock
from polyport.rotation import SCOPES
from polyport.runtime import DATABASE
from polyport.settings import Settings
from polyport.store.copies import Copy, copy_database, examine, make_ready, settle_log
from polyport.store.keys import DataKey
from polyport.vault import Keyring, VaultFault


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was restored: the copy, data keys that do not open, where the database from before is."""

    copy: Copy
    unreadable: tuple[str, ...]
    aside: Path | None


def back_up(settings: Settings, target: Path, *, force: bool = False) -> Copy:
    """Copy the database of a data folder, in use or not, into a file of its own, mode 0600; it is there whole or not at all. Raises ``SetupError``."""
    source = settings.data / DATABASE
    if not source.exists():
        raise SetupError(f"There is no server's data in {settings.data}: name its folder with --data.")
    if target.exists() and not force:
        raise SetupError(f"{target} is there already: choose another name, or replace it with --force.")
    with _in_use(settings.data, alone=False), _draft(target) as draft:
        copy_database(source, draft, int(time.time() * 1000))
        copy, _faults = examine(draft, lambda _holder, _held: None)
        _put(draft, target, force=force)
    return copy


def restore(settings: Settings, source: Path, *, force: bool = False) -> Restored:
    """Put a backup in the place of a data folder's database. Everything is checked before anything is touched. Raises ``SetupError``.

    Nothing goes on by itself afterwards: runs that had not ended in the backup may have been sent since it was taken, and end when a server starts. ``force`` takes a backup some of whose
    connections no key here opens.
    """
    if not source.is_file():
        raise SetupError(f"There is no file {source}.")
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _in_use(settings.data, alone=True):
        ring = _keys(settings)
        copy, faults = examine(source, lambda holder, held: _fault(ring, holder, held))
        lost = [fault for fault in faults if fault.startswith("accounts ")]
        if lost or (faults and not force):
            shown = "\n  ".join((lost or faults)[:10])
            more = "" if lost else "\nWith --force it is restored all the same; those answer connection_invalid until their key is back."
            raise SetupError(f"{len(faults)} data keys of {source} are not opened by the keys of this server:\n  {shown}{more}")
        place, now = settings.data / DATABASE, int(time.time() * 1000)
        with _draft(place) as draft:
            copy_database(source, draft, now)
            make_ready(draft)
            _give(draft, settings.data)
            aside = _set_aside(settings.data) if place.exists() else None
            _put(draft, place, force=True)
    return Restored(copy=copy, unreadable=tuple(faults), aside=aside)


def _keys(settings: Settings) -> Keyring:
    given = settings.master_key.get_secret_value()
    if given.strip():
        return Keyring.parse(given)
    file = KeyFile(settings.data)
    if not file.exists():
        raise SetupError(
            f"There is no master key: put the {KEY_FILE} of the backup's server into {settings.data} first, or set POLYPORT_MASTER_KEY to it."
        )
    return file.read()


def _fault(ring: Keyring, holder: str, held: DataKey) -> str | None:
    try:
        ring.unwrap(SCOPES[holder](held).encode(), held.data_key)
    except VaultFault as fault:
        return f"{holder} {held.id}: {fault}"
    return None


@contextlib.contextmanager
def _in_use(folder: Path, *, alone: bool) -> Iterator[None]:
    try:
        lock = FolderLock(folder, alone=alone)
    except BlockingIOError:
        if not alone:
            raise SetupError(f"A restore is at work in {folder}: wait until it is done.") from None
        raise SetupError(f"A server or a command is at work on {folder}{_who(folder)}: stop it first. Nothing was touched.") from None
    try:
        yield
    finally:
        lock.release()


def _who(folder: Path) -> str:
    processes = ProcessLock(folder / "processes")
    try:
        pids = [owner.partition("-")[0] for owner in processes.others()]
    finally:
        processes.release()
    return f" (process {', '.join(pids)})" if pids else ""


@contextlib.contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """An empty file beside the target, mode 0600, that is gone afterwards unless it was put into place."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise SetupError(f"{target} cannot be written: {error.strerror}.") from error
    os.close(handle)
    draft = Path(name)
    try:
        yield draft
    except OSError as error:
        raise SetupError(f"{target} cannot be written: {error.strerror}.") from error
    finally:
        draft.unlink(missing_ok=True)
        draft.with_name(draft.name + "-journal").unlink(missing_ok=True)


def _put(draft: Path, target: Path, *, force: bool) -> None:
    handle = os.open(draft, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    if force:
        draft.replace(target)
    else:
        try:
            os.link(draft, target)
        except FileExistsError:
            raise SetupError(f"{target} is there already: choose another name, or replace it with --force.") from None
    sync_folder(target.parent)


def _give(draft: Path, folder: Path) -> None:
    """Root restores for the server's own user, whose folder it is."""
    owner, made = folder.stat(), draft.stat()
    if (owner.st_uid, owner.st_gid) != (made.st_uid, made.st_gid) and os.geteuid() == 0:
        os.chown(draft, owner.st_uid, owner.st_gid)


def _set_aside(folder: Path) -> Path:
    """Keep the present database under another name. The file stays in its place until the new one replaces it, so that there is a database at every moment."""
    place = folder / DATABASE
    settle_log(place)
    aside = folder / f"before-restore-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    aside.mkdir(mode=0o700)
    os.link(place, aside / DATABASE)
    for end in ("-wal", "-shm"):  # of a database that was too damaged to take them in; beside another one they would spoil it
        beside = place.with_name(place.name + end)
        if beside.exists():
            beside.rename(aside / beside.name)
    sync_folder(aside)
    return aside
