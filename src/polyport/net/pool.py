"""Where connections come from and are kept: aiohttp's pool, of wires, and its resolver under the egress policy."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import Any, cast

from aiohttp import ClientRequest, ClientTimeout, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from polyport.errors import BlockedAddress
from polyport.net.egress import EgressPolicy
from polyport.net.wire import Deadlines, Wire

Resolve = Callable[[str], Awaitable[list[str]]]


class Pool(TCPConnector):
    """Makes wires, and never hands out a kept one on which something arrived unasked: that would be taken for the next request's answer."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory: partial[Any] = partial(Wire, loop=self._loop)
        self.deadlines = Deadlines(self._loop)

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout, *, fresh: bool = False) -> Connection:
        """A connection, kept or new; a ``fresh`` one has carried nothing yet."""
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = cast("Wire", connection.protocol)
            if not protocol.should_close and not (fresh and protocol.served):
                return connection
            connection.close()

    def kept(self, key: ConnectionKey) -> Wire | None:
        """A kept wire that can be used at once, or ``None``: what ``connect`` does first, without its way there. Give it to ``give_back``."""
        waiting = self._conns.get(key)
        if waiting is None:
            return None
        oldest = monotonic() - (self._keepalive_timeout or 0.0)
        found: Wire | None = None
        while waiting and found is None:
            wire: Any
            wire, since = waiting.popleft()
            if since >= oldest and wire.is_connected() and not wire.should_close:
                found = wire
            else:
                wire.close()
        if not waiting:
            del self._conns[key]
        if found is not None:
            self._acquired.add(found)
            if self._limit_per_host:
                self._acquired_per_host[key].add(found)
        return found

    def give_back(self, key: ConnectionKey, wire: Wire, *, reusable: bool) -> None:
        """A wire that ``kept`` gave has done its work: it is kept again, or closed."""
        self._release(key, wire, should_close=not reusable)


class GuardedResolver(AbstractResolver):
    """Gives only addresses that the policy allows. aiohttp keeps them for a few seconds and asks once for many callers."""

    def __init__(self, policy: EgressPolicy, resolve: Resolve) -> None:
        self._policy = policy
        self._resolve = resolve

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_UNSPEC) -> list[ResolveResult]:
        """The addresses of a name. Raises ``BlockedAddress`` when none of them may be called."""
        del family  # the connector itself keeps to the family that it asks for
        addresses = await self._resolve(host)
        allowed = [address for address in addresses if self._policy.allows(address)]
        if addresses and not allowed:
            # The addresses are not told: they describe the network this server stands in.
            raise BlockedAddress(f"{host} leads to no public address, and this server's operator has not allowed the one it leads to.")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in allowed
        ]

    async def close(self) -> None:
        """There is nothing to close."""


async def ask_system(host: str) -> list[str]:
    """The addresses that the system knows of a name. Raises ``OSError``."""
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [str(address[0]) for _, _, _, _, address in found]
