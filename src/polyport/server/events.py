"""Outgoing events over HTTP: what was told, what was not, and telling it again. Section 8 of the wire contract."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from pydantic import Field

from polyport.errors import Conflict, Fault, NotFound, ValidationFailed
from polyport.events import EVENT_TYPES, TEST
from polyport.items import event_item, told_item
from polyport.server.routing import Answer, Body, Call, Endpoint, Param
from polyport.server.wire import PER_PAGE, PER_PAGE_MOST, known_filters, read_list_query
from polyport.store.base import Stale
from polyport.store.outbox import LAST, STEP, EventFilter
from polyport.store.records import EventStatus, OutgoingEvent
from polyport.vault import VaultFault

REPLAY_MOST: Final = 10_000
TYPES: Final = (*EVENT_TYPES, TEST)
_NAMES: Final = ("type", "status", "endpointId")
_ID: Final = re.compile(r"evt_[0-9a-f]{32}", re.ASCII)
_PENDING: Final = "This event is being sent right now, or waits for an endpoint that is paused."


class Delivery(Body):
    """What came of one attempt: when it began (unix seconds), how long it took (milliseconds), the receiver's status if it answered, the error unless it went well."""

    at: int
    ms: int
    status: int | None
    error: str | None


class EventAnswer(Body):
    """An event for one receiver. ``nextAttemptAt`` is there while it is pending, unless it is being sent or its endpoint is paused.

    Times are unix seconds.
    ``payload`` is what is sent, ``deliveries`` are its last ten attempts, the oldest first; ``GET /events`` has neither.
    """

    event_id: str
    type: str
    status: EventStatus
    endpoint_id: str | None
    url: str
    attempts: int
    next_attempt_at: int | None
    last_status: int | None
    last_error: str | None
    created_at: int
    delivered_at: int | None
    ended_at: int | None
    deliveries: list[Delivery] | None = None
    payload: dict[str, Any] | None = None


class ReplayBody(Body):
    """Which dead letters are sent anew; all of them if nothing is said."""

    type: str | None = Field(default=None, max_length=100)
    endpoint_id: str | None = Field(default=None, max_length=100)


class ReplayAnswer(Body):
    """How many dead letters are sent anew. ``more``: there are more, ask again."""

    replayed: int
    more: bool


async def read_many(call: Call) -> Answer:
    """GET /events."""
    params = call.http.query_params
    query = read_list_query(params, _NAMES, numbered=False)
    known_filters(query.filters, [(name, "eq") for name in _NAMES])
    event_type, status, endpoint_id = (query.filters.get((name, "eq")) for name in _NAMES)
    cursor = params.get("cursor") or None
    faults = _type_faults(event_type)
    if status is not None and status not in list(EventStatus):
        faults.append(Fault(path="status", code="unknown_option", message=f"A status is one of: {', '.join(EventStatus)}."))
    if cursor is not None and not _ID.fullmatch(cursor):
        faults.append(Fault(path="cursor", code="invalid_cursor", message="This is no cursor of a list of events."))
    if faults:
        raise ValidationFailed.of(*faults)
    wanted = EventFilter(status=status, type=event_type, endpoint_id=endpoint_id, before=cursor or LAST)
    limit = query.per_page
    found = await call.engine.runtime.repo.outbox.page(call.principal.account_id, wanted, limit=limit + 1)
    following = found[limit - 1].event_id if len(found) > limit else None
    meta = {"perPage": limit, "nextCursor": following, "hasMore": following is not None}
    return Answer(data=[event_item(event) for event in found[:limit]], meta=meta)


async def read(call: Call) -> Answer:
    """GET /events/{eventId}."""
    event = await _event(call)
    try:
        payload = json.loads(await call.engine.runtime.events.body(event))
    except VaultFault:
        payload = None
    return Answer(data=told_item(event) | {"payload": payload})


async def replay(call: Call) -> Answer:
    """POST /events/{eventId}/replay."""
    call.body(Body)
    runtime, event = call.engine.runtime, await _event(call)
    try:
        await runtime.repo.outbox.replay(event.account_id, event.event_id, runtime.now_ms())
    except Stale:
        raise Conflict(_PENDING) from None
    runtime.events.announce()
    return Answer(data=told_item(await _event(call)), status=202)


async def replay_many(call: Call) -> Answer:
    """POST /events/replay."""
    body = call.body(ReplayBody)
    if faults := _type_faults(body.type):
        raise ValidationFailed.of(*faults)
    runtime = call.engine.runtime
    wanted, before = EventFilter(type=body.type, endpoint_id=body.endpoint_id), runtime.now_ms()
    replayed, more = 0, True
    while more and replayed < REPLAY_MOST:
        count = await runtime.repo.outbox.replay_dead(call.principal.account_id, wanted, before=before, now=runtime.now_ms())
        replayed, more = replayed + count, count >= STEP
        runtime.events.announce()
    return Answer(data={"replayed": replayed, "more": more}, status=202)


async def _event(call: Call) -> OutgoingEvent:
    found = await call.engine.runtime.repo.outbox.get(call.principal.account_id, call.text("eventId"))
    if found is None:
        raise NotFound("There is no event with this id.")
    return found


def _type_faults(event_type: str | None) -> list[Fault]:
    if event_type is None or event_type in TYPES:
        return []
    return [Fault(path="type", code="unknown_option", message=f"A type is one of: {', '.join(TYPES)}.")]


_TAG: Final = "Events"
_PATH: Final = "/events"

ENDPOINTS: Final = (
    Endpoint(
        method="GET", path=_PATH, handler=read_many, tag=_TAG, summary="List outgoing events, newest first", scope="admin",
        answer=EventAnswer, many=True,
        query=(
            Param(
                name="per-page", description="Events a page.",
                schema={"type": "integer", "minimum": 1, "maximum": PER_PAGE_MOST, "default": PER_PAGE},
            ),
            Param(name="cursor", description="meta.nextCursor of the page before."),
            Param(name="type", description="One type.", schema={"type": "string", "enum": list(TYPES)}),
            Param(name="status", description="One status.", schema={"type": "string", "enum": [status.value for status in EventStatus]}),
            Param(name="endpointId", description="The endpoint's id."),
        ),
    ),
    Endpoint(method="GET", path=_PATH + "/{eventId}", handler=read, tag=_TAG, summary="Read an event with what it tells", scope="admin", answer=EventAnswer),
    Endpoint(
        method="POST", path=_PATH + "/{eventId}/replay", handler=replay, tag=_TAG, summary="Send an event anew, or now",
        scope="admin", body=Body, answer=EventAnswer, status=202, errors=("conflict",),
        description=(
            "One that was delivered or given up is sent anew, from its first attempt; one that waits for another attempt is sent now. Its id stays: a receiver that has it already can tell. "
            "Refused (409) while it is being sent, and while its endpoint is paused."
        ),
    ),
    Endpoint(
        method="POST", path=_PATH + "/replay", handler=replay_many, tag=_TAG, summary="Send dead letters anew", scope="admin",
        body=ReplayBody, answer=ReplayAnswer, status=202, description=f"At most {REPLAY_MOST:,} at once; `more` says whether to ask again.",
    ),
)  # fmt: skip
