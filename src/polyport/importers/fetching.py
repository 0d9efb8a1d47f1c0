"""A description by its address: fetched through the same guard as calls to partners, with the files beside it that it turns out to need."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

from polyport.errors import BlockedAddress
from polyport.importers.documents import SIZE_LIMIT, Refused
from polyport.net.message import Network, NetworkFault, Reply, Request

FILES_MOST: Final = 200
SECONDS: Final = 60.0


@dataclass(slots=True, kw_only=True)
class Fetched:
    """A description that was fetched from ``url``, at the end of all redirects, and the ``files`` in its folder that were asked for since.

    Nothing of it is parsed here: that is left to the process that reads it.
    """

    network: Network
    url: str
    content: bytes = field(repr=False)
    left: int
    files: dict[str, bytes] = field(default_factory=dict, repr=False)

    async def file(self, name: str) -> bytes:
        """A file by its path from the description's folder. Raises ``OSError`` for one that is not there, at another host, or too much."""
        where = urljoin(self.url, quote(name, safe="/"))
        if urlsplit(where)[:2] != urlsplit(self.url)[:2] or len(self.files) >= FILES_MOST or self.left <= 0:
            raise OSError(f"there is no {name[:100]}")
        if name not in self.files:
            try:
                reply = await _get(self.network, where, self.left)
            except Refused as error:
                raise OSError(str(error)) from None
            if urlsplit(reply.url or where)[:2] != urlsplit(self.url)[:2]:
                raise OSError(f"{name[:100]} is at another host")
            self.files[name] = reply.body
            self.left -= len(reply.body)
        return self.files[name]

    def read(self, loop: asyncio.AbstractEventLoop, name: str) -> bytes:
        """The same for a thread beside the event loop. Raises ``OSError``."""
        return asyncio.run_coroutine_threadsafe(self.file(name), loop).result(2 * SECONDS)


async def fetch(network: Network, url: str, limit: int = SIZE_LIMIT) -> Fetched:
    """The document at an address, of at most so many bytes with all its files. Raises ``Refused``."""
    try:
        parts = urlsplit(url)
        plain = parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        plain = False
    if not plain:
        raise Refused("An address begins with https:// and holds no user.")
    reply = await _get(network, url, limit)
    return Fetched(network=network, url=reply.url or url, content=reply.body, left=limit - len(reply.body))


async def _get(network: Network, url: str, limit: int) -> Reply:
    headers = (("Accept", "application/json, application/yaml, */*"),)
    try:
        reply = await network.send(Request(method="GET", url=url, headers=headers, timeout=SECONDS, answer_limit=limit))
    except BlockedAddress as error:
        raise Refused(f"{shown(url)} cannot be fetched: {error.message}") from None
    except NetworkFault as fault:
        raise Refused(f"{shown(url)} cannot be fetched: {fault}") from None
    if reply.status != 200:
        raise Refused(f"{shown(url)} answers with status {reply.status}.")
    return reply


def shown(url: str) -> str:
    """An address as it may be shown: what stands behind a question mark may be a key."""
    return url.partition("#")[0].partition("?")[0][:200]
