"""Links by which customers connect: section 4 of the wire contract. The page that they lead to is in ``connect``."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

from pydantic import Field

from polyport.accounts import URL_LONGEST, read_own
from polyport.engine.links import (
    LIFETIME_LEAST,
    LIFETIME_MOST,
    LIFETIME_SECONDS,
    NewLink,
    create_link,
    link_url,
    regenerate_link,
    revoke_link,
)
from polyport.errors import Fault, NotFound, ValidationFailed
from polyport.events import receiver_fault
from polyport.items import link_item
from polyport.server.connect.words import LANGUAGES, known_language
from polyport.server.routing import CURSOR, Answer, Body, Call, Endpoint, Param
from polyport.server.wire import ExternalUserId, Seen, encode, id_filter, known_filters, read_list_query
from polyport.store.links import LinkFilter
from polyport.store.records import Link, LinkStatus

METADATA_LIMIT: Final = 16 * 1024
SORTS: Final = ("title", "-title", "id", "-id")

Lifetime = Annotated[int, Field(ge=LIFETIME_LEAST, le=LIFETIME_MOST, description="Seconds that the link can be used.")]


class _Leading(Body):
    """Where a link leads, and for how long."""

    redirect_url: str | None = Field(
        default=None, max_length=URL_LONGEST, description="Where the customer goes afterwards; its host is one of the account's."
    )
    callback_url: str | None = Field(default=None, max_length=URL_LONGEST, description="Where the event link.completed goes.")
    expires_in: Lifetime = LIFETIME_SECONDS
    language: str | None = Field(default=None, max_length=20, description=f"The page's language: {', '.join(LANGUAGES)}.")


class LinkBody(_Leading):
    """A new link. ``title``, ``externalUserId`` and ``metadata`` are those of the connection that it leads to."""

    partner_id: int = Field(ge=1, le=2**53)
    title: Annotated[str, Field(min_length=1, max_length=300), Seen]
    external_user_id: ExternalUserId | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)


class ReconnectBody(_Leading):
    """A link that gives a connection new secrets."""


class RegenerateBody(Body):
    """For how long the link can be used from now on."""

    expires_in: Lifetime = LIFETIME_SECONDS


class LinkAnswer(Body):
    """A link. ``token`` and ``url`` are told at creation and regeneration, never again. Times are unix seconds.

    ``status``: 0 waiting, 1 done (``credentialId`` is set), 2 opened, 3 the last try failed (``lastError``), 4 expired, 5 revoked.
    """

    id: int
    partner_id: int
    token: str | None
    status: int = Field(ge=0, le=5)
    credential_id: int | None
    title: str
    date_created: int
    url: str | None
    expires_at: int
    last_error: str | None
    external_user_id: str | None
    redirect_url: str | None
    callback_url: str | None
    metadata: dict[str, Any]
    language: str | None
    opened_at: int | None
    used_at: int | None


async def create(call: Call) -> Answer:
    """POST /credentials/grant-access-sharing."""
    body = call.body(LinkBody)
    faults = await _faults(call, body)
    if len(encode(body.metadata)) > METADATA_LIMIT:
        faults.append(Fault(path="metadata", code="too_long", message=f"Metadata takes at most {METADATA_LIMIT} bytes of JSON."))
    if faults:
        raise ValidationFailed.of(*faults)
    new = NewLink(
        account_id=call.principal.account_id,
        partner_id=body.partner_id,
        title=body.title,
        external_user_id=body.external_user_id,
        metadata=body.metadata,
        redirect_url=body.redirect_url,
        callback_url=body.callback_url,
        language=known_language(body.language),
        lifetime=body.expires_in,
    )
    try:
        link, token = await create_link(call.engine.runtime, new)
    except NotFound as error:
        raise ValidationFailed.of(Fault(path="partnerId", code="not_found", message=error.message)) from None
    return Answer(data=_item(call, link, token), status=201)


async def reconnect(call: Call) -> Answer:
    """POST /credentials/{credentialId}/reconnect."""
    runtime = call.engine.runtime
    record = await runtime.connections.record(call.principal.account_id, call.id("credentialId"))
    body = call.body(ReconnectBody)
    if faults := await _faults(call, body):
        raise ValidationFailed.of(*faults)
    new = NewLink(
        account_id=record.account_id,
        partner_id=record.partner_id,
        title=record.title,
        renews=record.connection_id,
        external_user_id=record.external_user_id,
        metadata=json.loads(record.metadata),
        redirect_url=body.redirect_url,
        callback_url=body.callback_url,
        language=known_language(body.language),
        lifetime=body.expires_in,
    )
    link, token = await create_link(runtime, new)
    return Answer(data=_item(call, link, token), status=201)


async def _faults(call: Call, body: _Leading) -> list[Fault]:
    faults: list[Fault] = []
    if body.redirect_url is not None and not (await read_own(call.engine.runtime.repo, call.principal.account_id)).allows(
        body.redirect_url
    ):
        message = "This has to be an https address on a host that the account allows: PATCH /account sets allowedRedirectHosts."
        faults.append(Fault(path="redirectUrl", code="not_allowed", message=message))
    if body.callback_url is not None:
        fault = receiver_fault(call.engine.runtime.policy, body.callback_url, "callbackUrl")
        faults += [fault] if fault is not None else []
    if body.language is not None and known_language(body.language) is None:
        faults.append(Fault(path="language", code="unknown_option", message=f"The page speaks: {', '.join(LANGUAGES)}."))
    return faults


async def read(call: Call) -> Answer:
    """GET /credentials/grant-access-sharing/{linkId}."""
    return Answer(data=_item(call, await _link(call)))


async def regenerate(call: Call) -> Answer:
    """PUT /credentials/grant-access-sharing/{linkId}."""
    body = call.body(RegenerateBody)
    link, token = await regenerate_link(call.engine.runtime, await _link(call), body.expires_in)
    return Answer(data=_item(call, link, token))


async def revoke(call: Call) -> Answer:
    """DELETE /credentials/grant-access-sharing/{linkId}."""
    await revoke_link(call.engine.runtime, await _link(call))
    return Answer()


async def read_many(call: Call) -> Answer:
    """GET /credentials/grant-access-sharing."""
    runtime = call.engine.runtime
    query = read_list_query(call.http.query_params, ("partnerId", "status", "externalUserId", "title"))
    known_filters(query.filters, (("partnerId", "eq"), ("status", "eq"), ("externalUserId", "eq"), ("title", "eq"), ("title", "like")))
    if query.sort is not None and query.sort not in SORTS:
        raise ValidationFailed.of(Fault(path="sort", code="unknown_sort", message=f"Links are sorted by {', '.join(SORTS)}."))
    status = query.filters.get(("status", "eq"))
    if status is not None and status not in {str(int(known)) for known in LinkStatus}:
        message = "A status is one of 0 waiting, 1 done, 2 opened, 3 failed, 4 expired, 5 revoked."
        raise ValidationFailed.of(Fault(path="filter[status]", code="unknown_option", message=message))
    wanted = LinkFilter(
        partner_id=id_filter(query.filters.get(("partnerId", "eq")), "filter[partnerId]"),
        status=int(status) if status is not None else None,
        external_user_id=query.filters.get(("externalUserId", "eq")),
        title=query.filters.get(("title", "eq")),
        title_like=query.filters.get(("title", "like")),
    )
    found, total = await runtime.repo.links.page(
        call.principal.account_id,
        wanted,
        sort=query.sort,
        limit=query.limit,
        offset=query.offset,
        after=query.after(str, int),
        now=runtime.now_ms(),
    )
    titled = query.sort in {"title", "-title"}
    shown, meta = query.cut(found, total, lambda link: (link.title if titled else "", link.link_id))
    return Answer(data=[_item(call, link) for link in shown], meta=meta)


async def _link(call: Call) -> Link:
    runtime = call.engine.runtime
    link = await runtime.repo.links.get(call.principal.account_id, call.id("linkId"), runtime.now_ms())
    if link is None:
        raise NotFound("There is no link with this id.")
    return link


def _item(call: Call, link: Link, token: str | None = None) -> dict[str, Any]:
    return link_item(link, token=token, url=link_url(call.engine.runtime, link, token) if token is not None else None)


_TAG: Final = "Links"
_PATH: Final = "/credentials/grant-access-sharing"

ENDPOINTS: Final = (
    Endpoint(
        method="POST", path=_PATH, handler=create, tag=_TAG, summary="Make a link by which a customer connects", scope="connections:write",
        body=LinkBody, answer=LinkAnswer, status=201,
        description="Send the customer to `url`. The link serves once, for 48 hours if `expiresIn` says nothing else. Read it until `status` is 1.",
    ),
    Endpoint(
        method="GET", path=_PATH, handler=read_many, tag=_TAG, summary="List links", scope="connections:read", answer=LinkAnswer, many=True,
        query=(
            Param(name="page", description="From 1.", schema={"type": "integer", "minimum": 1, "default": 1}),
            CURSOR,
            Param(name="per-page", description="Items a page.", schema={"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
            Param(name="sort", description="title, -title, id or -id (the newest first, which it is anyway)."),
            Param(name="filter[partnerId]", description="The partner's id.", schema={"type": "integer"}),
            Param(name="filter[status]", description="0 to 5.", schema={"type": "integer", "minimum": 0, "maximum": 5}),
            Param(name="filter[externalUserId]", description="Your user's id."),
            Param(name="filter[title][like]", description="A part of the title, in any case."),
        ),
    ),
    Endpoint(
        method="GET", path=_PATH + "/{linkId}", handler=read, tag=_TAG, summary="Read a link", scope="connections:read", answer=LinkAnswer
    ),
    Endpoint(
        method="PUT", path=_PATH + "/{linkId}", handler=regenerate, tag=_TAG, summary="Give a link another token; the old one ends",
        scope="connections:write", body=RegenerateBody, answer=LinkAnswer, errors=("link_used", "conflict"),
    ),
    Endpoint(
        method="DELETE", path=_PATH + "/{linkId}", handler=revoke, tag=_TAG, summary="Revoke a link that was not used",
        scope="connections:write", errors=("link_used",),
    ),
    Endpoint(
        method="POST", path="/credentials/{credentialId}/reconnect", handler=reconnect, tag=_TAG,
        summary="Make a link by which the customer connects the same connection again", scope="connections:write",
        body=ReconnectBody, answer=LinkAnswer, status=201, description="The connection keeps its id; what runs with it goes on.",
    ),
)  # fmt: skip
