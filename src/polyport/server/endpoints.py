"""Who is told of events: endpoints of an account, and the secret that signs what goes to callback addresses. Section 8 of the wire contract."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field

from polyport.accounts import URL_LONGEST
from polyport.errors import Conflict, NotFound, ValidationFailed
from polyport.events import EVENT_TYPES, PATTERNS, new_endpoint_id, receiver_fault
from polyport.items import event_item, seconds
from polyport.runtime import Runtime
from polyport.server.events import EventAnswer
from polyport.server.routing import LEAFED, Answer, Body, Call, Endpoint
from polyport.server.wire import Seen, known_filters, read_list_query
from polyport.signing import Secret, new_secret, rotated, valid
from polyport.store.base import Stale
from polyport.store.outbox import ENDPOINTS_MOST
from polyport.store.records import Endpoint as StoredEndpoint
from polyport.store.records import EndpointStatus

KEEP_SECONDS: Final = 24 * 3600
PLACED_BY: Final = 200
KEEP_MOST: Final = 7 * 24 * 3600
_CHANGED: Final = "Somebody else changed this at the same time; read it and try again."


def _is_type(text: str) -> str:
    if text not in EVENT_TYPES and text not in PATTERNS:
        raise ValueError(f"a type of event is needed here: {', '.join((*EVENT_TYPES, *PATTERNS))}")
    return text


EventTypes = Annotated[list[Annotated[str, AfterValidator(_is_type)]], Field(min_length=1, max_length=20)]


class EndpointBody(Body):
    """A new endpoint. ``eventTypes`` are types or patterns: ``connection.*``, ``*``."""

    url: str = Field(min_length=1, max_length=URL_LONGEST, examples=["https://example.com/hooks/polyport"])
    title: Annotated[str, Field(max_length=200), Seen] = ""
    event_types: EventTypes = Field(default_factory=lambda: ["*"])


class EndpointPatch(Body):
    """What changes; what is left out stays. While an endpoint is ``paused`` its events wait; ``active`` also brings a disabled one back."""

    url: str | None = Field(default=None, min_length=1, max_length=URL_LONGEST)
    title: Annotated[str, Field(max_length=200), Seen] | None = None
    event_types: EventTypes | None = None
    status: Literal["active", "paused"] | None = None


class RotateBody(Body):
    """For how many seconds the old secret signs as well; 0: not at all."""

    keep_for: int = Field(default=KEEP_SECONDS, ge=0, le=KEEP_MOST)


class SecretAnswer(Body):
    """A signing secret by its end. ``until`` is when it ends, in unix seconds; the newest has none."""

    hint: str
    created_at: int
    until: int | None


class SecretsAnswer(Body):
    """What signs: the newest secret first."""

    secrets: list[SecretAnswer]


class NewSecretAnswer(SecretsAnswer):
    """The same with the newest secret, which is never shown again."""

    secret: str


class EndpointAnswer(SecretsAnswer):
    """An endpoint. ``reason`` says why it is disabled. Times are unix seconds."""

    endpoint_id: str
    url: str
    title: str
    event_types: list[str]
    status: EndpointStatus
    reason: str | None
    created_at: int
    updated_at: int


class NewEndpointAnswer(EndpointAnswer):
    """A new endpoint with its secret, which is never shown again."""

    secret: str


async def create(call: Call) -> Answer:
    """POST /event-endpoints."""
    body = call.body(EndpointBody)
    runtime = call.engine.runtime
    _check_url(runtime, body.url)
    now, endpoint_id, account_id = runtime.now_ms(), new_endpoint_id(), call.principal.account_id
    secret = new_secret(now)
    made = StoredEndpoint(
        endpoint_id=endpoint_id,
        account_id=account_id,
        url=body.url,
        event_types=json.dumps(body.event_types),
        title=body.title,
        status=EndpointStatus.ACTIVE,
        reason=None,
        secrets=await runtime.events.seal_secrets(account_id, endpoint_id, [secret]),
        generation=1,
        created_at=now,
        updated_at=now,
    )
    try:
        await runtime.repo.endpoints.insert(made)
    except Stale:
        raise Conflict(f"An account has at most {ENDPOINTS_MOST} endpoints: delete one first.") from None
    runtime.events.forget()
    return Answer(data=_item(made, [secret]) | {"secret": secret.text}, status=201)


async def read_many(call: Call) -> Answer:
    """GET /event-endpoints."""
    runtime = call.engine.runtime
    query = read_list_query(call.http.query_params)
    known_filters(query.filters, ())
    found = sorted(await runtime.repo.endpoints.all(call.principal.account_id), key=_place)
    shown, meta = query.leaf(found, _place)
    return Answer(data=[_item(endpoint, await _valid(runtime, endpoint)) for endpoint in shown], meta=meta)


def _place(endpoint: StoredEndpoint) -> str:
    """Where an endpoint stands in the list: by what it is called, and those of one name by their ids."""
    return f"{(endpoint.title or endpoint.url).casefold()[:PLACED_BY]} {endpoint.endpoint_id}"


async def read(call: Call) -> Answer:
    """GET /event-endpoints/{endpointId}."""
    found = await _endpoint(call)
    return Answer(data=_item(found, await _valid(call.engine.runtime, found)))


async def patch(call: Call) -> Answer:
    """PATCH /event-endpoints/{endpointId}."""
    found = await _endpoint(call)
    body = call.body(EndpointPatch)
    runtime = call.engine.runtime
    if body.url is not None:
        _check_url(runtime, body.url)
    status = EndpointStatus(body.status) if body.status is not None else found.status
    changed = replace(
        found,
        url=body.url if body.url is not None else found.url,
        title=body.title if body.title is not None else found.title,
        event_types=json.dumps(body.event_types) if body.event_types is not None else found.event_types,
        status=status,
        reason=None if status is not EndpointStatus.DISABLED else found.reason,
    )
    await _update(runtime, changed)
    if status is not found.status:
        call.change = f"{found.status} to {status}"
    if status is EndpointStatus.ACTIVE and found.status is not EndpointStatus.ACTIVE:
        await _resume(runtime, found.endpoint_id)
    return await read(call)


async def delete(call: Call) -> Answer:
    """DELETE /event-endpoints/{endpointId}."""
    runtime, found = call.engine.runtime, await _endpoint(call)
    call.thing = found.title
    try:
        await runtime.repo.endpoints.delete(found.account_id, found.endpoint_id)
    except Stale:
        raise NotFound(_NONE) from None
    runtime.events.forget()
    await _resume(runtime, found.endpoint_id)  # what waited for it is given up then: it is due, and has nowhere to go
    return Answer()


async def rotate(call: Call) -> Answer:
    """POST /event-endpoints/{endpointId}/rotate-secret."""
    runtime, found = call.engine.runtime, await _endpoint(call)
    call.thing = found.title
    keep_ms = call.body(RotateBody).keep_for * 1000
    secrets = rotated(await runtime.events.endpoint_secrets(found), keep_ms=keep_ms, now=runtime.now_ms())
    await _update(runtime, replace(found, secrets=await runtime.events.seal_secrets(found.account_id, found.endpoint_id, secrets)))
    return Answer(data=_secrets(secrets) | {"secret": secrets[0].text})


async def test(call: Call) -> Answer:
    """POST /event-endpoints/{endpointId}/test."""
    runtime, found = call.engine.runtime, await _endpoint(call)
    call.body(Body)
    call.thing = found.title
    if found.status is not EndpointStatus.ACTIVE:
        raise Conflict(f"This endpoint is {found.status}: set its status to active first.")
    event = await runtime.events.test(found)
    await runtime.repo.outbox.insert(event)
    runtime.events.announce()
    return Answer(data=event_item(event), status=202, headers={"Location": f"/events/{event.event_id}"})


async def read_callback_secret(call: Call) -> Answer:
    """GET /account/callback-secret."""
    runtime = call.engine.runtime
    _kept, secrets = await runtime.events.kept_callback_secrets(call.principal.account_id)
    return Answer(data=_secrets(valid(secrets, runtime.now_ms())))


async def rotate_callback_secret(call: Call) -> Answer:
    """POST /account/callback-secret/rotate."""
    runtime = call.engine.runtime
    body, now = call.body(RotateBody), runtime.now_ms()
    kept, held = await runtime.events.kept_callback_secrets(call.principal.account_id)
    secrets = rotated(held, keep_ms=body.keep_for * 1000, now=now)
    sealed = await runtime.events.seal_secrets(kept.account_id, None, secrets)
    try:
        await runtime.repo.endpoints.put_callback_secrets(replace(kept, secrets=sealed, updated_at=now))
    except Stale:
        raise Conflict(_CHANGED) from None
    runtime.events.forget()
    return Answer(data=_secrets(secrets) | {"secret": secrets[0].text})


_NONE: Final = "There is no endpoint with this id."


async def _endpoint(call: Call) -> StoredEndpoint:
    found = await call.engine.runtime.repo.endpoints.get(call.principal.account_id, call.text("endpointId"))
    if found is None:
        raise NotFound(_NONE)
    return found


def _check_url(runtime: Runtime, url: str) -> None:
    fault = receiver_fault(runtime.policy, url, "url")
    if fault is not None:
        raise ValidationFailed.of(fault)


async def _update(runtime: Runtime, changed: StoredEndpoint) -> None:
    try:
        await runtime.repo.endpoints.update(replace(changed, updated_at=runtime.now_ms()))
    except Stale:
        raise Conflict(_CHANGED) from None
    runtime.events.forget()


async def _resume(runtime: Runtime, endpoint_id: str) -> None:
    while await runtime.repo.outbox.resume(endpoint_id, runtime.now_ms()):
        runtime.events.announce()


async def _valid(runtime: Runtime, endpoint: StoredEndpoint) -> Sequence[Secret]:
    return valid(await runtime.events.endpoint_secrets(endpoint), runtime.now_ms())


def _secrets(secrets: Sequence[Secret]) -> dict[str, Any]:
    return {"secrets": [{"hint": one.hint, "createdAt": seconds(one.made_at), "until": seconds(one.until)} for one in secrets]}


def _item(endpoint: StoredEndpoint, secrets: Sequence[Secret]) -> dict[str, Any]:
    return {
        "endpointId": endpoint.endpoint_id,
        "url": endpoint.url,
        "title": endpoint.title,
        "eventTypes": json.loads(endpoint.event_types),
        "status": endpoint.status,
        "reason": endpoint.reason,
        "createdAt": seconds(endpoint.created_at),
        "updatedAt": seconds(endpoint.updated_at),
        **_secrets(secrets),
    }


_TAG: Final = "Events"
_PATH: Final = "/event-endpoints"
_ONE: Final = _PATH + "/{endpointId}"

ENDPOINTS: Final = (
    Endpoint(
        method="POST", path=_PATH, handler=create, tag=_TAG, summary="Make an endpoint that is told of events", scope="admin",
        body=EndpointBody, answer=NewEndpointAnswer, status=201, errors=("conflict",),
        description="`secret` is shown here and never again: with it the receiver checks the signatures (Standard Webhooks).",
    ),
    Endpoint(method="GET", path=_PATH, handler=read_many, tag=_TAG, summary="List endpoints, by their titles", scope="admin", answer=EndpointAnswer, many=True, query=LEAFED),
    Endpoint(method="GET", path=_ONE, handler=read, tag=_TAG, summary="Read an endpoint", scope="admin", answer=EndpointAnswer),
    Endpoint(
        method="PATCH", path=_ONE, handler=patch, tag=_TAG, summary="Change, pause or bring back an endpoint", scope="admin",
        body=EndpointPatch, answer=EndpointAnswer, errors=("conflict",),
    ),
    Endpoint(method="DELETE", path=_ONE, handler=delete, tag=_TAG, summary="Delete an endpoint; what waits for it becomes a dead letter", scope="admin"),
    Endpoint(
        method="POST", path=_ONE + "/rotate-secret", handler=rotate, tag=_TAG, summary="Give an endpoint another secret", scope="admin",
        body=RotateBody, answer=NewSecretAnswer, errors=("conflict",),
        description="Events carry a signature of the old secret as well, for a day if `keepFor` says nothing else.",
    ),
    Endpoint(
        method="POST", path=_ONE + "/test", handler=test, tag=_TAG, summary="Send an endpoint an event that tells nothing", scope="admin",
        body=Body, answer=EventAnswer, status=202, errors=("conflict",), description="`GET /events/{eventId}` says what came of it.",
    ),
    Endpoint(
        method="GET", path="/account/callback-secret", handler=read_callback_secret, tag=_TAG,
        summary="Read what signs events to callback addresses, masked", scope="admin", answer=SecretsAnswer,
    ),
    Endpoint(
        method="POST", path="/account/callback-secret/rotate", handler=rotate_callback_secret, tag=_TAG,
        summary="Get another secret for events to callback addresses", scope="admin", body=RotateBody, answer=NewSecretAnswer,
        errors=("conflict",), description="This is how the first one is got, too: it is shown here and never again.",
    ),
)  # fmt: skip
