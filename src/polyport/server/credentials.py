"""Connections over HTTP: direct creation, reading, changing, proving; section 4 of the wire contract."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from polyport.engine.checks import can_be_asked
from polyport.engine.connect import NewConnection, create_connection, replace_fields, test_connection
from polyport.engine.erasure import erase_connection
from polyport.errors import Conflict, Fault, NotFound, ValidationFailed
from polyport.items import connection_item
from polyport.server.routing import CURSOR, Answer, Body, Call, Endpoint, Noted, Param
from polyport.server.wire import ExternalUserId, Seen, encode, id_filter, known_filters, read_list_query, yes_or_no
from polyport.store.base import Stale
from polyport.store.connections import ConnectionFilter
from polyport.store.records import Connection, ConnectionStatus

METADATA_LIMIT: Final = 16 * 1024
_PARTS: Final = ("title", "fields", "externalUserId", "metadata")
SORTS: Final = ("title", "-title", "credentialId", "-credentialId")


class CreateBody(Body):
    """A new connection by its fields. ``auth`` names the way of authorisation; left out, the way that fits the fields is taken.

    ``verify: false`` keeps it without asking the partner: it is ``pending`` then, and proved soon after. ``simulated: true`` makes one that talks to a
    simulator of the partner within this server, for first steps: it needs no ``fields``, and nothing that runs with it leaves the server.
    """

    partner_id: int = Field(ge=1, le=2**53)
    title: Annotated[str, Field(min_length=1, max_length=300), Seen]
    simulated: bool = Field(default=False, strict=True)
    fields: dict[str, Any] | None = Field(default=None, validate_default=True)
    auth: str | None = Field(default=None, max_length=100)
    external_user_id: ExternalUserId | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    verify: bool = Field(default=True, strict=True)

    @field_validator("fields")
    @classmethod
    def _are_given_or_made_up(cls, value: dict[str, Any] | None, told: ValidationInfo) -> dict[str, Any] | None:
        if value is None and not told.data.get("simulated"):
            raise PydanticCustomError("missing", "This field is needed")
        return value


class PatchBody(Body):
    """What changes; what is left out stays. New ``fields`` are proved before they replace the old ones, field by field."""

    title: Annotated[str, Field(min_length=1, max_length=300), Seen] | None = None
    metadata: dict[str, Any] | None = None
    external_user_id: ExternalUserId | None = None
    fields: dict[str, Any] | None = None
    auth: str | None = Field(default=None, max_length=100)


class ConnectionAnswer(Body):
    """A connection; secrets only masked. Times are unix seconds."""

    credential_id: int
    partner_id: int
    title: str
    status: ConnectionStatus
    account: str | None
    auth: str
    fields: dict[str, Any]
    last_error: str | None
    last_used_at: int | None
    last_verified_at: int | None
    next_check_at: int | None
    external_user_id: str | None
    metadata: dict[str, Any]
    simulated: bool
    created_at: int
    updated_at: int


class TestAnswer(Body):
    """What the verify call found. ``asked``: whether there was anything to ask; where it is false, ``ok`` says that nothing spoke against it."""

    ok: bool
    asked: bool
    credential: ConnectionAnswer
    error: dict[str, Any] | None = None


class UpdateAnswer(Body):
    """0 new, 1 queued, 2 running, 3 done, 4 queued again."""

    update_status: int = Field(ge=0, le=4)


class CountsAnswer(Body):
    """How many connections stand how. ``unverified``: of those that are active, how many nothing has ever proved (``lastVerifiedAt`` is null)."""

    active: int
    invalid: int
    expired: int
    pending: int
    unverified: int


async def create(call: Call) -> Answer:
    """POST /credentials."""
    body = call.body(CreateBody)
    _check_metadata(body.metadata)
    new = NewConnection(
        account_id=call.principal.account_id,
        partner_id=body.partner_id,
        title=body.title,
        fields=body.fields or {},
        auth=body.auth,
        external_user_id=body.external_user_id,
        metadata=body.metadata,
        verify=body.verify,
        simulated=body.simulated,
    )
    try:
        record = await create_connection(call.engine.desk, new)
    except NotFound as error:
        raise ValidationFailed.of(Fault(path="partnerId", code="not_found", message=error.message)) from None
    return Answer(data=_item(call, record), status=201)


async def read_many(call: Call) -> Answer:
    """GET /credentials."""
    query = read_list_query(call.http.query_params, ("q", "partnerId", "status", "externalUserId", "title"))
    plain = ("q", "partnerId", "status", "externalUserId", "title", "verified")
    known = (*((name, "eq") for name in plain), ("title", "like"))
    known_filters(query.filters, known)
    _check_sort(query.sort)
    given = {name: query.filters.get((name, "eq")) for name in ("status", "externalUserId", "title")}
    if given["status"] is not None and given["status"] not in list(ConnectionStatus):
        message = f"A status is one of: {', '.join(ConnectionStatus)}."
        raise ValidationFailed.of(Fault(path="filter[status]", code="unknown_option", message=message))
    wanted = ConnectionFilter(
        partner_id=id_filter(query.filters.get(("partnerId", "eq")), "filter[partnerId]"),
        status=given["status"],
        external_user_id=given["externalUserId"],
        title=given["title"],
        title_like=query.filters.get(("title", "like")),
        sought=query.filters.get(("q", "eq")) or None,
        verified=yes_or_no(query.filters.get(("verified", "eq")), "filter[verified]"),
    )
    found, total = await call.engine.runtime.repo.connections.page(
        call.principal.account_id, wanted, sort=query.sort, limit=query.limit, offset=query.offset, after=query.after(str, int)
    )
    titled = query.sort in {"title", "-title"}
    shown, meta = query.cut(found, total, lambda record: (record.title if titled else "", record.connection_id))
    return Answer(data=[_item(call, record) for record in shown], meta=meta)


async def read_counts(call: Call) -> Answer:
    """GET /credentials/by-status."""
    asked = call.http.query_params
    narrowed = (call.principal.account_id, id_filter(asked.get("partnerId") or None, "partnerId"), asked.get("externalUserId") or None)
    connections = call.engine.runtime.repo.connections
    found = await connections.by_status(*narrowed)
    counts = {status.value: found.get(status.value, 0) for status in ConnectionStatus}
    return Answer(data=counts | {"unverified": await connections.unverified(*narrowed)})


async def read(call: Call) -> Answer:
    """GET /credentials/{credentialId}."""
    return Answer(data=_item(call, await _record(call)))


async def patch(call: Call) -> Answer:
    """PATCH /credentials/{credentialId}."""
    body = call.body(PatchBody)
    record = await _record(call)
    sent = body.model_fields_set
    if "title" in sent and body.title is None:
        raise ValidationFailed.of(Fault(path="title", code="required", message="A connection has a title."))
    if body.metadata is not None:
        _check_metadata(body.metadata)
    if body.auth is not None and body.fields is None:
        raise ValidationFailed.of(Fault(path="fields", code="required", message="Another way of authorisation needs its fields."))
    if body.fields is not None:
        record = await replace_fields(call.engine.desk, record, body.fields, body.auth)
    if sent & {"title", "metadata", "external_user_id"}:
        await _patch(call, record, body)
    parts = [name for name in _PARTS if name in call.json()]
    return Answer(data=_item(call, await _record(call)), noted=Noted(part=", ".join(parts)))


async def _patch(call: Call, record: Connection, body: PatchBody) -> None:
    runtime = call.engine.runtime
    metadata = record.metadata
    if "metadata" in body.model_fields_set:
        metadata = encode(body.metadata or {}).decode()
    try:
        await runtime.repo.connections.patch(
            record.account_id,
            record.connection_id,
            title=body.title or record.title,
            metadata=metadata,
            external_user_id=body.external_user_id if "external_user_id" in body.model_fields_set else record.external_user_id,
            now=runtime.now_ms(),
        )
    except Stale:
        raise Conflict("This connection was deleted at the same time.") from None
    call.engine.desk.forget()


async def delete(call: Call) -> Answer:
    """DELETE /credentials/{credentialId}."""
    record = await _record(call)
    call.thing = record.title if record.external_user_id is None else ""
    try:
        await erase_connection(call.engine.desk, record)
    except Stale:
        raise NotFound("There is no connection with this id.") from None
    return Answer()


async def test(call: Call) -> Answer:
    """POST /credentials/{credentialId}/test."""
    call.body(Body)
    record, error = await test_connection(call.engine.desk, call.principal.account_id, call.id("credentialId"))
    partner = await call.engine.runtime.catalog.seen_by(record.account_id).partner(record.partner_id)
    asked = can_be_asked(partner, record.auth)
    data: dict[str, Any] = {"ok": error is None, "asked": asked, "credential": _item(call, record)}
    if error is None:
        return Answer(data=data, noted=Noted(part="" if asked else "nothing to ask"))
    return Answer(data=data | {"error": error.as_record()}, noted=Noted(status=error.status))


async def update_data(call: Call) -> Answer:
    """POST /credentials/{partnerId}/{credentialId}/update-user-data."""
    call.body(Body)
    record = await _record(call)
    if record.partner_id != call.id("partnerId"):
        raise NotFound("This partner has no connection with this id.")
    await call.engine.runtime.catalog.seen_by(record.account_id).partner(record.partner_id)
    status = await call.services.rereader.ask(record.account_id, record.connection_id)
    return Answer(data={"updateStatus": status})


async def _record(call: Call) -> Connection:
    return await call.engine.runtime.connections.record(call.principal.account_id, call.id("credentialId"))


def _item(call: Call, record: Connection) -> dict[str, Any]:
    return connection_item(record, watched=call.engine.runtime.settings.health.check_every > 0)


def _check_metadata(metadata: dict[str, Any]) -> None:
    if len(encode(metadata)) > METADATA_LIMIT:
        raise ValidationFailed.of(
            Fault(path="metadata", code="too_long", message=f"Metadata takes at most {METADATA_LIMIT} bytes of JSON.")
        )


def _check_sort(sort: str | None) -> None:
    if sort is not None and sort not in SORTS:
        raise ValidationFailed.of(Fault(path="sort", code="unknown_sort", message=f"Connections are sorted by {', '.join(SORTS)}."))


_TAG: Final = "Connections"

ENDPOINTS: Final = (
    Endpoint(
        method="POST",
        path="/credentials",
        handler=create,
        tag=_TAG,
        summary="Make a connection by its fields",
        scope="connections:write",
        body=CreateBody,
        answer=ConnectionAnswer,
        status=201,
        errors=("partner_error", "partner_rate_limited", "partner_unavailable", "partner_timeout"),
        description="The fields are those of GET /partners/{partnerId}/credential-fields. They are proved by the partner's verify call.",
    ),
    Endpoint(
        method="GET",
        path="/credentials",
        handler=read_many,
        tag=_TAG,
        summary="List connections",
        scope="connections:read",
        answer=ConnectionAnswer,
        many=True,
        query=(
            Param(name="page", description="From 1.", schema={"type": "integer", "minimum": 1, "default": 1}),
            CURSOR,
            Param(name="per-page", description="Items a page.", schema={"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
            Param(name="sort", description="title, -title, credentialId or -credentialId."),
            Param(name="filter[partnerId]", description="The partner's id.", schema={"type": "integer"}),
            Param(name="filter[status]", description="active, invalid, expired or pending."),
            Param(name="filter[externalUserId]", description="Your user's id."),
            Param(name="filter[title][like]", description="A part of the title, in any case."),
            Param(
                name="filter[verified]",
                description="Whether anything has ever proved it: a check, or a run that succeeded.",
                schema={"type": "boolean"},
            ),
            Param(name="q", description="An id, a part of the title or of the account at the partner, or how the externalUserId begins."),
        ),
    ),
    Endpoint(
        method="GET",
        path="/credentials/by-status",
        handler=read_counts,
        tag=_TAG,
        summary="Count connections by how they stand",
        scope="connections:read",
        answer=CountsAnswer,
        query=(
            Param(name="partnerId", description="Those to this partner alone.", schema={"type": "integer"}),
            Param(name="externalUserId", description="Those of this user of yours alone."),
        ),
    ),
    Endpoint(
        method="GET",
        path="/credentials/{credentialId}",
        handler=read,
        tag=_TAG,
        summary="Read a connection",
        scope="connections:read",
        answer=ConnectionAnswer,
    ),
    Endpoint(
        method="PATCH",
        path="/credentials/{credentialId}",
        handler=patch,
        tag=_TAG,
        summary="Change a connection",
        scope="connections:write",
        body=PatchBody,
        answer=ConnectionAnswer,
        errors=("conflict", "partner_error", "partner_rate_limited", "partner_unavailable", "partner_timeout"),
    ),
    Endpoint(
        method="DELETE",
        path="/credentials/{credentialId}",
        handler=delete,
        tag=_TAG,
        summary="Delete a connection with its secrets",
        scope="connections:write",
    ),
    Endpoint(
        method="POST",
        path="/credentials/{credentialId}/test",
        handler=test,
        tag=_TAG,
        summary="Prove a connection now",
        scope="connections:write",
        answer=TestAnswer,
        description="Runs the partner's verify call and notes what it found: the answer is 200 either way, `ok` says which.",
    ),
    Endpoint(
        method="POST",
        path="/credentials/{partnerId}/{credentialId}/update-user-data",
        handler=update_data,
        tag=_TAG,
        summary="Read a connection's lists and custom fields again",
        scope="connections:write",
        answer=UpdateAnswer,
        errors=("connection_invalid",),
        description="0 new, 1 queued, 2 running, 3 done, 4 queued again. Ask again until it is 3.",
    ),
)
