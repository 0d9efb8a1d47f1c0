"""Files on their way to a partner: those given by URL or by id are fetched before the call that sends them."""

from __future__ import annotations

import mimetypes
import time
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from polyport.engine.caller import LEAST_SECONDS
from polyport.engine.desk import Desk
from polyport.errors import BlockedAddress, Fault, ValidationFailed
from polyport.kinds.fields import FileValue
from polyport.net.message import NetworkFault, Request
from polyport.paths import Step, format_path
from polyport.vault import VaultFault

FETCH_SECONDS: Final = 30.0

Slot = tuple[Any, Any, FileValue, tuple[Step, ...]]


async def check_files(desk: Desk, account_id: int, slots: Sequence[Slot]) -> list[Fault]:
    """What is wrong with files that can be told before anything is fetched: addresses that are never called, ids that there are not."""
    faults: list[Fault] = []
    for _holder, _key, file, where in slots:
        path = format_path(where)
        if file.file_id is not None:
            await _stored(desk, account_id, file, path, faults)
            continue
        try:
            desk.runtime.policy.check_url(file.url or "")
        except BlockedAddress as error:
            faults.append(Fault(path=f"{path}.url", code=error.code, message=error.message))
    return faults


async def pretend_files(desk: Desk, account_id: int, slots: Sequence[Slot]) -> None:
    """For a dry run: kept files in their places, and a stand-in for each that would be fetched."""
    for holder, key, file, where in slots:
        if file.file_id is not None:
            holder[key] = await _stored(desk, account_id, file, format_path(where), [])
        else:
            content = f"(the content of {file.url})".encode()
            holder[key] = FileValue(content=content, name=_name(file), content_type=file.content_type)


async def fetch_files(desk: Desk, account_id: int, slots: Sequence[Slot], until: float | None = None) -> None:
    """Put the content of every file in its place, by ``until`` (``time.monotonic``). Raises ``ValidationFailed`` that names each file that cannot be had."""
    faults: list[Fault] = []
    for holder, key, file, where in slots:
        seconds = FETCH_SECONDS if until is None else max(LEAST_SECONDS, min(FETCH_SECONDS, until - time.monotonic()))
        found = await _fetched(desk, account_id, file, format_path(where), seconds, faults)
        if found is not None:
            holder[key] = found
    if faults:
        raise ValidationFailed.of(*faults)


async def _fetched(desk: Desk, account_id: int, file: FileValue, path: str, seconds: float, faults: list[Fault]) -> FileValue | None:
    if file.file_id is not None:
        return await _stored(desk, account_id, file, path, faults)
    try:
        reply = await desk.runtime.network.send(Request(method="GET", url=file.url or "", timeout=seconds))
    except BlockedAddress as error:
        faults.append(Fault(path=f"{path}.url", code=error.code, message=error.message))
        return None
    except NetworkFault as fault:
        faults.append(Fault(path=f"{path}.url", code="unreachable_file", message=f"The file could not be read: {fault.message}"))
        return None
    if reply.status != 200:
        faults.append(
            Fault(path=f"{path}.url", code="unreachable_file", message=f"The file's address answered with status {reply.status}.")
        )
        return None
    name = _name(file)
    told = (reply.header("content-type") or "").partition(";")[0].strip()
    kind = file.content_type or told or mimetypes.guess_type(name)[0]
    return FileValue(content=reply.body, name=name, content_type=kind)


def _name(file: FileValue) -> str:
    """The name of a file that has an address: the one given, or the end of its path."""
    return file.name or unquote(urlsplit(file.url or "").path.rpartition("/")[2])[:255] or "file"


async def _stored(desk: Desk, account_id: int, file: FileValue, path: str, faults: list[Fault]) -> FileValue | None:
    stored = await desk.runtime.repo.files.get(account_id, file.file_id or "")
    if stored is None:
        faults.append(Fault(path=f"{path}.fileId", code="not_found", message="There is no file with this id."))
        return None
    try:
        content = (await desk.box(account_id)).open(stored.sealed, f"file/{stored.file_id}")
    except VaultFault:
        faults.append(Fault(path=f"{path}.fileId", code="unreadable_file", message="This file can no longer be opened."))
        return None
    return FileValue(content=content, name=file.name or stored.name, content_type=file.content_type or stored.content_type)
