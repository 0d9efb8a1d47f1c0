"""The leak detector: looks for planted secrets (canaries) in everything a server writes, also encoded.

Finds each canary in all forms of ``polyport.redaction.forms``, and besides as

- ``utf-16``  in either byte order
- ``part``    one half of it, for canaries of 24 characters or more: what a page of a database file or a cut log line has split
- ``gzip/...`` any of these inside a gzip or zlib stream that begins anywhere in the bytes
- ``name/...`` any of these in the name of a file
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from polyport.redaction import Redactor, compile_bytes, forms

SHORTEST_CANARY: Final = 8
_SPLITTABLE: Final = 24
_UNPACKED_LIMIT: Final = 64 << 20
_STREAM: Final = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]")
_CHUNK: Final = 64 << 10
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """A canary that was found: its name (never its value), the sink, the first byte offset in it, and the form it had.

    For a compressed form the offset is that of the stream. ``sink`` is a path, or ``#1`` for the first argument, and so on.
    """

    canary: str
    sink: str
    offset: int
    form: str


@dataclass(frozen=True, slots=True)
class _Canary:
    name: str
    plain: bytes
    patterns: tuple[tuple[str, Any], ...]
    halves: tuple[bytes, ...]


def find_leaks(canaries: Mapping[str, str], *sinks: bytes | str | Path) -> list[Leak]:
    """Every canary (name -> secret) that is in a sink, once for each form, in the order of the sinks.

    A sink is bytes, text, a file, or a folder, which is searched with all that is in it (links are not followed). Raises ``ValueError`` for
    a canary under eight characters, which could be found by chance, and ``FileNotFoundError`` for a path that is not there: a search
    that looked at nothing has shown nothing.
    """
    hunted = [_canary(name, secret) for name, secret in canaries.items()]
    shown = Redactor(canaries.values())
    leaks: list[Leak] = []
    for place, sink in enumerate(sinks, 1):
        if isinstance(sink, Path):
            for path in _files(sink):
                name = shown.text(str(path))
                leaks += _search(hunted, str(path).encode("utf-8", "surrogateescape"), name, "name/")
                leaks += _search_packed(hunted, path.read_bytes(), name)
        else:
            data = sink.encode("utf-8", "surrogatepass") if isinstance(sink, str) else sink
            leaks += _search_packed(hunted, data, f"#{place}")
    return leaks


def _canary(name: str, secret: str) -> _Canary:
    if len(secret) < SHORTEST_CANARY:
        raise ValueError(f"the canary {name} is too short: take at least {SHORTEST_CANARY} characters")
    plain = secret.encode("utf-8", "surrogatepass")
    patterns = [(form, compile_bytes(pattern)) for form, pattern in forms(secret)]
    wide = (secret.encode(f"utf-16-{order}", "surrogatepass") for order in ("le", "be"))
    patterns.append(("utf-16", compile_bytes("|".join("".join(rf"\x{byte:02x}" for byte in data) for data in wide))))
    middle = len(plain) // 2
    halves = (plain[:middle], plain[middle:]) if len(plain) >= _SPLITTABLE else ()
    return _Canary(name, plain, tuple(patterns), halves)


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for inner in sorted(path.rglob("*")):
        if inner.is_file() and not inner.is_symlink():
            yield inner


def _search_packed(hunted: list[_Canary], data: bytes, sink: str) -> Iterator[Leak]:
    yield from _search(hunted, data, sink, "")
    for start in _STREAM.finditer(data):
        for leak in _search(hunted, _unpack(memoryview(data)[start.start() :]), sink, "gzip/"):
            yield Leak(canary=leak.canary, sink=sink, offset=start.start(), form=leak.form)


def _unpack(data: memoryview) -> bytes:
    # As much as can be read: a stream may be cut or broken, and what looked like the head of one may be none.
    unpacker = zlib.decompressobj(_GZIP_OR_ZLIB)
    unpacked = bytearray()
    for place in range(0, len(data), _CHUNK):
        chunk = data[place : place + _CHUNK]
        before = unpacker.copy()
        try:
            unpacked += unpacker.decompress(chunk, _UNPACKED_LIMIT - len(unpacked))
        except zlib.error:
            # The chunk again, byte by byte: so that what stands before the break is not lost with it.
            with suppress(zlib.error):
                for byte in chunk:  # pragma: no branch - the same bytes break again
                    unpacked += before.decompress(bytes((byte,)))
            break
        if unpacker.eof or len(unpacked) >= _UNPACKED_LIMIT:
            break
    return bytes(unpacked)


def _search(hunted: list[_Canary], data: bytes, sink: str, prefix: str) -> Iterator[Leak]:
    for canary in hunted:
        found = False
        for form, pattern in canary.patterns:
            # The pattern of "escaped" takes the plain form as well, which has been reported by then.
            match = next((match for match in pattern.finditer(data) if form == "plain" or match.group() != canary.plain), None)
            if match is not None:
                found = True
                yield Leak(canary=canary.name, sink=sink, offset=match.start(), form=prefix + form)
        parts = [] if found else [offset for half in canary.halves if (offset := data.find(half)) >= 0]
        if parts:
            yield Leak(canary=canary.name, sink=sink, offset=min(parts), form=prefix + "part")
