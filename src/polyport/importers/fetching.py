"""A description by its address: fetched through the same guard as calls to partners, with the files beside it that it refers to."""

from __future__ import annotations

import posixpath
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from polyport.errors import BlockedAddress
from polyport.importers.documents import SIZE_LIMIT, Refused, read_document
from polyport.net.message import Network, NetworkFault, Request

FILES_MOST: Final = 200
SECONDS: Final = 60.0


async def fetch(network: Network, url: str) -> tuple[bytes, dict[str, bytes]]:
    """The document at an address, and the files in its folder that it refers to, by their paths. Raises ``Refused``."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise Refused("An address begins with https:// and holds no user.")
    content = await _get(network, url)
    files: dict[str, bytes] = {}
    waiting = sorted(_siblings(read_document(content), ""))
    left = SIZE_LIMIT - len(content)
    while waiting:
        name = waiting.pop()
        where = urljoin(url, name)
        if name in files or urlsplit(where)[:2] != parts[:2]:
            continue
        if len(files) >= FILES_MOST or left <= 0:
            raise Refused(f"The document consists of more than {FILES_MOST} files, or of more than {SIZE_LIMIT // 1024 // 1024} MiB.")
        try:
            files[name] = await _get(network, where)
            waiting += sorted(_siblings(read_document(files[name], name), posixpath.dirname(name)) - files.keys())
        except Refused:
            files[name] = b""  # a file that is not there leaves a reference that leads nowhere: the report names it
        left -= len(files[name])
    return content, files


def _siblings(data: Any, folder: str) -> set[str]:
    """The files in the same folder or below that a document refers to."""
    found: set[str] = set()
    seen: set[int] = set()
    waiting = [data]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, dict | list) or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, dict):
            told = node.get("$ref")
            name = told.partition("#")[0] if isinstance(told, str) else ""
            path = posixpath.normpath(posixpath.join(folder, name)) if name else ""
            if path and not urlsplit(name).scheme and not path.startswith(("/", "..")):
                found.add(path)
            waiting.extend(node.values())
        else:
            waiting.extend(node)
    return found


async def _get(network: Network, url: str) -> bytes:
    try:
        reply = await network.send(
            Request(method="GET", url=url, headers=(("Accept", "application/json, application/yaml, */*"),), timeout=SECONDS)
        )
    except BlockedAddress as error:
        raise Refused(f"{url[:200]} cannot be fetched: {error.message}") from None
    except NetworkFault as fault:
        raise Refused(f"{url[:200]} cannot be fetched: {fault}") from None
    if reply.status != 200:
        raise Refused(f"{url[:200]} answers with status {reply.status}.")
    return reply.body
