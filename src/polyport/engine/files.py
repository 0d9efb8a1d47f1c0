"""Files on their way to a partner, and from it: those given by URL or by id are fetched before the call that sends them; those that a result tells are kept."""

from __future__ import annotations

import asyncio
import contextlib
import mimetypes
import secrets
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import structlog

from polyport.engine.caller import LEAST_SECONDS
from polyport.engine.desk import Desk
from polyport.engine.operation import Outcome
from polyport.engine.streams import OPEN_SECONDS, FileAtAddress
from polyport.errors import BlockedAddress, Fault, ValidationFailed
from polyport.kinds.fields import FileValue
from polyport.kinds.filenames import name_in_url
from polyport.net.message import NetworkFault, Opener, Request
from polyport.paths import Step, format_path
from polyport.store.base import StoreUnavailable
from polyport.store.records import File
from polyport.vault import VaultFault

# A file up to this size is held whole: its upload can then be signed, and a request with a body repeated without asking again.
WHOLE_MOST: Final = 1024 * 1024
STORE_SECONDS: Final = 0.5
OCTETS: Final = "application/octet-stream"

_log: Final = structlog.get_logger("polyport.files")

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


@contextlib.asynccontextmanager
async def files_in_place(
    desk: Desk, account_id: int, slots: Sequence[Slot], streamed: Collection[str], until: float | None = None
) -> AsyncIterator[None]:
    """Put the content of every file in its place, by ``until`` (``time.monotonic``). Raises ``ValidationFailed`` that names each file that cannot be had.

    Of a large file at an address that only uploads take (its field is ``streamed``), the place gets a source instead: it is read while it is sent. What
    was opened is closed at the end of the block.
    """
    faults: list[Fault] = []
    async with contextlib.AsyncExitStack() as stack:
        for holder, key, file, where in slots:
            path = format_path(where)
            if file.file_id is not None:
                found = await _stored(desk, account_id, file, path, faults)
            else:
                found = await _at_address(desk, file, path, stack if where[1] in streamed else None, until, faults)
            if found is not None:
                holder[key] = found
        if faults:
            raise ValidationFailed.of(*faults)
        yield


async def _at_address(
    desk: Desk, file: FileValue, path: str, stack: contextlib.AsyncExitStack | None, until: float | None, faults: list[Fault]
) -> FileValue | None:
    """The file at an address: whole, or as a source where there is a ``stack`` that closes it and it is large."""
    try:
        network = desk.runtime.network
        if stack is not None and isinstance(network, Opener):
            source = FileAtAddress(network, file.url or "", limit=desk.runtime.settings.partner.file_limit, until=until)
            stack.callback(source.close)
            status = await source.begin()
            content: bytes | None = None
            if status == 200 and source.size is not None and source.size <= WHOLE_MOST:
                content = b"".join([piece async for piece in source.pieces()])
            told = source.content_type
        else:
            seconds = OPEN_SECONDS if until is None else max(LEAST_SECONDS, min(OPEN_SECONDS, until - time.monotonic()))
            reply = await network.send(Request(method="GET", url=file.url or "", timeout=seconds))
            source, status, content = None, reply.status, reply.body
            told = (reply.header("content-type") or "").partition(";")[0].strip()
    except BlockedAddress as error:
        faults.append(Fault(path=f"{path}.url", code=error.code, message=error.message))
        return None
    except NetworkFault as fault:
        faults.append(Fault(path=f"{path}.url", code="unreachable_file", message=f"The file could not be read: {fault.message}"))
        return None
    if status != 200:
        faults.append(Fault(path=f"{path}.url", code="unreachable_file", message=f"The file's address answered with status {status}."))
        return None
    name = _name(file)
    kind = file.content_type or told or mimetypes.guess_type(name)[0]
    return FileValue(content=content, source=source if content is None else None, name=name, content_type=kind)


def _name(file: FileValue) -> str:
    """The name of a file that has an address: the one given, or the end of its path."""
    return file.name or name_in_url(file.url or "") or "file"


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


async def keep_files(desk: Desk, account_id: int, outcome: Outcome, external_user_id: str | None = None) -> None:
    """Keep the files in a result, for an end user if it is one's, and put what is told of each in its place; a file of the raw answer that the result does not tell is not kept."""
    kept: dict[int, dict[str, Any]] = {}
    for file in _files_in(outcome.result):
        if id(file) not in kept:
            kept[id(file)] = told_file(file, await _kept(desk, account_id, file, external_user_id))
    outcome.result = _told(outcome.result, kept)
    outcome.raw = _told(outcome.raw, kept)


def told_file(file: FileValue, file_id: str | None) -> dict[str, Any]:
    """What is told of a file; without an id where it was not kept."""
    told = {"name": file.name, "contentType": file.content_type or OCTETS, "size": len(file.content or b"")}
    return told if file_id is None else {"fileId": file_id, **told}


async def _kept(desk: Desk, account_id: int, file: FileValue, external_user_id: str | None) -> str:
    file_id = f"file_{secrets.token_hex(16)}"
    content = file.content or b""
    box = await desk.box(account_id)
    record = File(
        file_id=file_id,
        account_id=account_id,
        name=file.name or "file",
        content_type=file.content_type or OCTETS,
        size=len(content),
        created_at=desk.runtime.now_ms(),
        external_user_id=external_user_id,
        sealed=box.seal(content, f"file/{file_id}"),
    )
    while True:
        try:
            await desk.runtime.repo.files.insert(record)
        except StoreUnavailable as error:  # what the partner has done must not be lost for it
            _log.warning("a file cannot be kept, trying again", file=file_id, reason=str(error))
            await asyncio.sleep(STORE_SECONDS)
        else:
            return file_id


def _files_in(value: Any) -> Iterator[FileValue]:
    if isinstance(value, FileValue):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _files_in(inner)


def _told(value: Any, kept: Mapping[int, dict[str, Any]]) -> Any:
    if isinstance(value, FileValue):
        return kept.get(id(value)) or told_file(value, None)
    if isinstance(value, dict):
        return {key: _told(inner, kept) for key, inner in value.items()}
    return [_told(inner, kept) for inner in value] if isinstance(value, list) else value
