"""What came by aiohttp's own way: the headers of an answer as text, its body within a limit."""

from __future__ import annotations

from aiohttp import ClientResponse

from polyport.net.headers import as_text
from polyport.net.message import Pairs


async def gather(response: ClientResponse, limit: int) -> bytes | None:
    """The body, decompressed piece by piece (aiohttp stops reading while pieces wait); ``None`` once it is beyond the limit."""
    stream = response.content
    if stream.at_eof():
        return b""
    declared = response.headers.get("Content-Length", "")
    if declared.isascii() and declared.isdecimal() and (len(declared) > 18 or int(declared) > limit):
        return None
    pieces = [await stream.readany()]
    size = len(pieces[0])
    while size <= limit and not stream.at_eof():
        piece = await stream.readany()
        pieces.append(piece)
        size += len(piece)
    if size > limit:
        return None
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def received(response: ClientResponse) -> Pairs:
    """The answer's headers. Bytes that are not UTF-8 are read as latin-1: lone surrogates would break every later encoder."""
    return tuple(
        (str(name), value if value.isascii() else as_text(value.encode("utf-8", "surrogateescape")))
        for name, value in response.headers.items()
    )
