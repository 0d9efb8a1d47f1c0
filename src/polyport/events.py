"""Outgoing events: what is told of a change, to whom, signed with what. Sending them is the work of ``deliveries``.

An event is a row for each receiver, written in the unit of the change. Who listens stays in memory and goes with the cache epoch: a run that nobody
listens for costs one look into a dictionary. An endpoint that was made in another process is therefore told what happens a quarter of a second later.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from polyport.accounts import URL_LONGEST, AccountBoxes, origin_of
from polyport.errors import BlockedAddress, Fault, PolyportError
from polyport.items import connection_item, link_item, run_item
from polyport.net.egress import EgressPolicy
from polyport.signing import Secret, new_secret, pack, unpack
from polyport.store.base import Stale, Statement
from polyport.store.outbox import Endpoints, insert_event
from polyport.store.records import CallbackSecrets, Connection, Endpoint, EndpointStatus, EventStatus, Link, OutgoingEvent, Run

EVENT_TYPES: Final = {
    "run.finished": "A run ended: succeeded, failed, uncertain or cancelled.",
    "link.completed": "A customer connected by a link.",
    "connection.created": "There is a new connection.",
    "connection.updated": "A connection has another title, other fields, or works again.",
    "connection.invalid": "A connection is no longer accepted by its partner.",
    "connection.deleted": "A connection was deleted.",
}
TEST: Final = "endpoint.test"
PATTERNS: Final = ("*", "connection.*")
KEPT_MOST: Final = 10_000
Whose = tuple[int, str | None]  # the account, and its end user if it is of one: what is told of a user is erased with the user
_CALLBACK_CONTEXT: Final = "callback/secrets"
_INTERNAL: Final = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


def new_event_id(now_ms: int) -> str:
    """An event id: its order is that of time."""
    return f"evt_{now_ms:012x}{secrets.token_hex(10)}"


def new_endpoint_id() -> str:
    """An endpoint id."""
    return f"ep_{secrets.token_hex(12)}"


def wants(endpoint: Endpoint, event_type: str) -> bool:
    """Whether an endpoint is told of events of a type."""
    if endpoint.status is EndpointStatus.DISABLED:
        return False
    types: list[str] = json.loads(endpoint.event_types)
    return event_type in types or "*" in types or f"{event_type.partition('.')[0]}.*" in types


def receiver_fault(policy: EgressPolicy, url: str, path: str) -> Fault | None:
    """What is wrong with an address that events are to be sent to, if that can be told already: the addresses of its name are judged at each send."""
    if len(url) > URL_LONGEST:
        return Fault(path=path, code="too_long", message=f"An address has at most {URL_LONGEST} characters.")
    try:
        host = policy.check_url(url)
    except BlockedAddress as error:
        return Fault(path=path, code=error.code, message=error.message)
    if urlsplit(url).scheme.lower() != "https" and not _is_inside(policy, host):
        message = "This has to be an https address; http is for networks that this server's operator has allowed (POLYPORT_ALLOW_NETWORKS)."
        return Fault(path=path, code="not_https", message=message)
    return None


def _is_inside(policy: EgressPolicy, host: str) -> bool:
    """Whether a host stands in a network that the operator allows, as far as its name says."""
    networks = [ip_network(text.strip(), strict=False) for text in policy.allow_networks]
    try:
        address = ip_address(host)
    except ValueError:
        name = host.rstrip(".").lower()
        return bool(networks) and ("." not in name or name.endswith(_INTERNAL))
    return any(address in network for network in networks)


class Events:
    """The ``Herald`` of a running process, and what deliveries have to know about receivers. ``now`` gives the time in unix milliseconds.

    ``result_limit`` is the most bytes of a run's result that an event carries. ``watched`` says whether this server proves connections
    in the background. ``woken`` is set when there may be something to send.
    """

    def __init__(self, endpoints: Endpoints, boxes: AccountBoxes, now: Callable[[], int], *, result_limit: int, watched: bool) -> None:
        self._store = endpoints
        self._boxes = boxes
        self._now = now
        self._result_limit = result_limit
        self._watched = watched
        self._listening: dict[int, tuple[Endpoint, ...]] = {}
        self._callback_secrets: dict[int, list[Secret]] = {}
        self._changes = 0
        self.woken = asyncio.Event()

    def announce(self) -> None:
        """Events were written: those who send look at once."""
        self.woken.set()

    def forget(self) -> None:
        """Drop what is kept in memory: something changed."""
        self._changes += 1
        self._listening.clear()
        self._callback_secrets.clear()

    async def endpoints(self, account_id: int) -> tuple[Endpoint, ...]:
        """All endpoints of an account, from memory where they are there."""
        held = self._listening.get(account_id)
        return held if held is not None else await self._read(account_id)

    async def _read(self, account_id: int) -> tuple[Endpoint, ...]:
        before = self._changes
        found = tuple(await self._store.all(account_id))
        if before == self._changes:  # what changed while this was read is not kept
            if len(self._listening) > KEPT_MOST:
                self._listening.clear()
            self._listening[account_id] = found
        return found

    async def listens(self, account_id: int, event_type: str) -> bool:
        """Whether anybody wants events of this type."""
        return any(wants(endpoint, event_type) for endpoint in await self.endpoints(account_id))

    async def connection(self, event_type: str, record: Connection, *, becomes: str | None = None) -> Sequence[Statement]:
        """The events of a connection as it stands after the change; with ``becomes`` only if it stands at another status before."""
        endpoints = await self.endpoints(record.account_id)
        if not endpoints:
            return ()
        item, whose = connection_item(record, watched=self._watched), (record.account_id, record.external_user_id)
        if event_type == "connection.deleted":  # that it is gone outlives its end user; what it was does not
            item, whose = item | {"account": None, "fields": {}, "lastError": None}, (record.account_id, None)
        told = await self._made(event_type, whose, item, endpoints)
        swap = (record.connection_id, record.generation, becomes) if becomes is not None else None
        return [insert_event(event, connection=swap) for event in told]

    async def link(self, link: Link) -> Sequence[Statement]:
        """The events of a link that was used, also for the address that it names itself."""
        endpoints = await self.endpoints(link.account_id)
        if not endpoints and link.callback_url is None:
            return ()
        told = await self._made("link.completed", (link.account_id, link.external_user_id), link_item(link), endpoints, link.callback_url)
        return [insert_event(event) for event in told]

    def silent(self, run: Run) -> bool:
        """Whether it is known already that nobody wants to hear of a run."""
        return self._listening.get(run.account_id) == () and run.callback_url is None

    async def run(self, run: Run, *, result: Any = None, error: PolyportError | None = None) -> Sequence[Statement]:
        """The events of a run that ended, also for the address that it names itself. A large result is left out: it is read with the run."""
        endpoints = self._listening.get(run.account_id)
        if endpoints is None:
            endpoints = await self._read(run.account_id)
        if not endpoints and run.callback_url is None:
            return ()
        item = run_item(run, now=self._now(), error=error)
        if result is not None:
            fits = len(_ENCODER.encode(result)) <= self._result_limit
            item |= {"result": result} if fits else {"resultOmitted": True}
        told = await self._made("run.finished", (run.account_id, run.external_user_id), item, endpoints, run.callback_url, run.run_id)
        return [insert_event(event) for event in told]

    async def test(self, endpoint: Endpoint) -> OutgoingEvent:
        """An event that tells nothing, for one endpoint."""
        return await self._event(
            TEST, (endpoint.account_id, None), {"endpointId": endpoint.endpoint_id}, endpoint.url, endpoint.endpoint_id
        )

    async def body(self, event: OutgoingEvent) -> bytes:
        """What an event tells, in the clear."""
        return (await self._boxes.of(event.account_id)).open(event.sealed, f"event/{event.event_id}")

    async def _made(
        self,
        event_type: str,
        whose: Whose,
        data: Any,
        endpoints: Sequence[Endpoint],
        callback_url: str | None = None,
        subject: str | None = None,
    ) -> list[OutgoingEvent]:
        told = [
            await self._event(event_type, whose, data, endpoint.url, endpoint.endpoint_id, subject)
            for endpoint in endpoints
            if wants(endpoint, event_type)
        ]
        if callback_url is not None:
            told.append(await self._event(event_type, whose, data, callback_url, None, subject))
        return told

    async def _event(
        self, event_type: str, whose: Whose, data: Any, url: str, endpoint_id: str | None, subject: str | None = None
    ) -> OutgoingEvent:
        now, (account_id, external_user_id) = self._now(), whose
        event_id = new_event_id(now)
        told = {"type": event_type, "timestamp": datetime.fromtimestamp(now / 1000, UTC).isoformat(timespec="milliseconds"), "data": data}
        return OutgoingEvent(
            event_id=event_id,
            account_id=account_id,
            external_user_id=external_user_id,
            type=event_type,
            endpoint_id=endpoint_id,
            url=url,
            lane=f"{account_id} {origin_of(url)}",
            status=EventStatus.PENDING,
            attempts=0,
            due_at=now,
            owner=None,
            last_status=None,
            last_error=None,
            created_at=now,
            ended_at=None,
            sealed=(await self._boxes.of(account_id)).seal(_ENCODER.encode(told), f"event/{event_id}"),
            subject=subject,
        )

    async def seal_secrets(self, account_id: int, endpoint_id: str | None, held: Sequence[Secret]) -> bytes:
        """Signing secrets as they are kept: those of an endpoint, or those of the account's callbacks."""
        return (await self._boxes.of(account_id)).seal(pack(held), _context(endpoint_id))

    async def endpoint_secrets(self, endpoint: Endpoint) -> list[Secret]:
        """The signing secrets of an endpoint, in the clear."""
        return unpack((await self._boxes.of(endpoint.account_id)).open(endpoint.secrets, _context(endpoint.endpoint_id)))

    async def callback_secrets(self, account_id: int) -> list[Secret]:
        """The signing secrets of an account's callbacks, made when they are first needed."""
        held = self._callback_secrets.get(account_id)
        if held is None:
            before = self._changes
            held = (await self.kept_callback_secrets(account_id))[1]
            if before == self._changes:
                self._callback_secrets[account_id] = held
        return held

    async def kept_callback_secrets(self, account_id: int) -> tuple[CallbackSecrets, list[Secret]]:
        """What the store has of an account's callback secrets, made if need be, and the same in the clear."""
        kept = await self._store.callback_secrets(account_id)
        while kept is None:
            now = self._now()
            sealed = await self.seal_secrets(account_id, None, [new_secret(now)])
            with contextlib.suppress(Stale):  # another process was first: its secret counts
                await self._store.put_callback_secrets(CallbackSecrets(account_id=account_id, secrets=sealed, generation=0, updated_at=now))
            kept = await self._store.callback_secrets(account_id)
        return kept, unpack((await self._boxes.of(account_id)).open(kept.secrets, _CALLBACK_CONTEXT))


def _context(endpoint_id: str | None) -> str:
    return _CALLBACK_CONTEXT if endpoint_id is None else f"endpoint/{endpoint_id}/secrets"
