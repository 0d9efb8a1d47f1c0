"""Files that are read while they are sent: which fields may be, and a file at an address as a source of bytes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from polyport.engine.caller import LEAST_SECONDS
from polyport.engine.render import CallProgram
from polyport.kinds.filters import FILTERS
from polyport.net.message import Incoming, NetworkFault, Opener, Request
from polyport.template import compile_value

STREAMED: Final = frozenset({"multipart", "bytes"})
OPEN_SECONDS: Final = 30.0
# The length of what is encoded says nothing about the file.
_PLAIN: Final = (("Accept-Encoding", "identity"),)


def streamed_fields(calls: tuple[CallProgram, ...], *others: Any) -> frozenset[str]:
    """The fields and sections whose files nothing but the bodies of uploads reads, and that as they are; ``others`` are further templates."""
    found: set[str] = set()
    held: set[str] = set()
    for program in calls:
        call = program.call
        target = found if call.encoding in STREAMED else held
        for leaf in _leaves(call.body):
            (held if "|" in leaf else target).update(_heads(leaf))
        for told in (call.method, call.path, call.url, call.query, call.headers, call.content_type, call.for_each):
            held.update(head for leaf in _leaves(told) for head in _heads(leaf))
    held.update(head for told in others for leaf in _leaves(told) for head in _heads(leaf))
    return frozenset(found - held)


def _leaves(template: Any) -> Iterator[str]:
    if isinstance(template, str):
        yield template
    elif isinstance(template, dict):
        for key, inner in template.items():
            yield from _leaves(key)
            yield from _leaves(inner)
    elif isinstance(template, list):
        for inner in template:
            yield from _leaves(inner)


def _heads(leaf: str) -> set[str]:
    return {str(name[0]) for name in compile_value(leaf, FILTERS).names} if "{{" in leaf else set()


class FileAtAddress:
    """A ``Source``: the file at an address. The answer that told its size is used for the first reading; each further one asks again."""

    def __init__(self, network: Opener, url: str, *, limit: int, until: float | None) -> None:
        self.size: int | None = None
        self.content_type = ""
        self._network, self._url, self._limit, self._until = network, url, limit, until
        self._opened: Incoming | None = None

    async def begin(self) -> int:
        """Open it; the status of the answer. Raises ``NetworkFault`` and ``BlockedAddress``; a file that is too large is a fault too."""
        self._opened, status = await self._open()
        return status

    async def _open(self) -> tuple[Incoming, int]:
        seconds = OPEN_SECONDS if self._until is None else max(LEAST_SECONDS, min(OPEN_SECONDS, self._until - time.monotonic()))
        opened = await self._network.open(Request(method="GET", url=self._url, headers=_PLAIN, timeout=seconds))
        told = {name.lower(): value for name, value in opened.headers}
        length = told.get("content-length", "")
        known = length.isascii() and length.isdecimal() and len(length) < 18 and told.get("content-encoding", "identity") == "identity"
        self.size = int(length) if known else None
        self.content_type = told.get("content-type", "").partition(";")[0].strip()
        if self.size is not None and self.size > self._limit:
            opened.close()
            raise self._too_large()
        return opened, opened.status

    def _too_large(self) -> NetworkFault:
        return NetworkFault(f"The file is larger than {self._limit} bytes.", reached=True)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The bytes from the beginning. Raises ``NetworkFault`` when they are more or fewer than was told, or too many."""
        size, seen = self.size, 0
        opened, self._opened = self._opened, None
        if opened is None:
            opened = await self._again(size)
        try:
            async for piece in opened.pieces():
                seen += len(piece)
                if size is None and seen > self._limit:
                    raise self._too_large()
                if size is not None and seen > size:
                    raise NetworkFault("The file has more bytes than was told.", reached=True)
                yield piece
            if size is not None and seen != size:
                raise NetworkFault("The file broke off while it was sent.", reached=True)
        finally:
            opened.close()

    async def _again(self, size: int | None) -> Incoming:
        """The file once more, if it is still the same."""
        opened, status = await self._open()
        if status == 200 and self.size == size:
            return opened
        opened.close()
        raise NetworkFault("The file at the address has changed while it was sent.", reached=True)

    def close(self) -> None:
        """Give up what was opened and not read."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None
