"""Headers as they are sent and as they came: what may not be sent is refused, what came is readable text."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from polyport import __version__
from polyport.net.message import NetworkFault, Pairs

TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_BAD_VALUE: Final = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
_FRAMING: Final = frozenset({"host", "content-length", "connection", "transfer-encoding", "upgrade", "expect"})
# Of these a missing body is none; of all others it is an empty one, and they say so.
_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_AGENT: Final = ("User-Agent", f"polyport/{__version__}")
_ENCODINGS: Final = ("Accept-Encoding", "gzip, deflate")


def checked(headers: Pairs, length: int | None) -> tuple[list[tuple[str, str]], bool]:
    """The headers to send, and whether a content type is among them.

    Refuses what HTTP does not allow and what would change where a message ends; a correct Content-Length is accepted.
    """
    sound = _BAD_VALUE.search("".join([value for _name, value in headers])) is None  # nearly always: one search for all
    pairs: list[tuple[str, str]] = []
    # aiohttp drops a repeated header whose spelling differs, so the first spelling holds for all.
    spelled: dict[str, str] = {}
    for name, value in headers:
        folded = _folded(name)
        if folded is None:
            raise NetworkFault("The name of a header holds characters that HTTP does not allow.", reached=False)
        if not sound and _BAD_VALUE.search(value):
            raise NetworkFault(f"The header {name} holds characters that HTTP does not allow.", reached=False)
        spelling = spelled.setdefault(folded, name)
        if folded not in _FRAMING:
            pairs.append((spelling, value))
        elif folded == "host":
            pairs.append(("Host", value))
        elif folded == "connection" and value.lower() in {"close", "keep-alive"}:
            pairs.append((spelling, value))
        elif folded != "content-length" or value != str(length):
            raise NetworkFault(f"The header {name} is set by the connection itself and cannot be given.", reached=False)
    if "user-agent" not in spelled:
        pairs.append(_AGENT)
    if "accept-encoding" not in spelled:
        pairs.append(_ENCODINGS)
    return pairs, "content-type" in spelled


@lru_cache(maxsize=1024)
def _folded(name: str) -> str | None:
    """The name in small letters; ``None`` for what is none."""
    return name.lower() if TOKEN.fullmatch(name) else None


def as_text(value: bytes) -> str:
    """A header's value. Bytes that are not UTF-8 are read as latin-1: lone surrogates would break every later encoder."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def message_of(method: str, target: str, host: str, pairs: list[tuple[str, str]], body: bytes | None) -> bytes:
    """A whole request as it goes out. A host among the headers takes the place of the address's own."""
    lines = []
    for name, value in pairs:
        if name == "Host":
            host = value
        else:
            lines.append(f"{name}: {value}\r\n")
    if body is not None or method not in _WITHOUT_BODY:
        lines.append(f"Content-Length: {len(body or b'')}\r\n")
    path = target if target[:1] == "/" else f"/{target}"
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{''.join(lines)}\r\n".encode()
    return head + body if body else head
