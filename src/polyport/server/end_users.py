"""The customer's own users over HTTP, and the tokens that see their things alone: section 2 of the wire contract.

Not the people who sign in for an account: those are in ``users``.
"""

from __future__ import annotations

import json
import secrets
from typing import Any, Final, Literal

from pydantic import Field

from polyport.engine.erasure import begin_erasure
from polyport.errors import Conflict, Fault, NotFound, ValidationFailed
from polyport.passwords import TokenPrefix, new_token
from polyport.server.access import END_USER_SCOPES
from polyport.server.routing import CURSOR, Answer, Body, Call, Endpoint, Param
from polyport.server.wire import ExternalUserId, encode, known_filters, read_list_query
from polyport.store.base import Stale
from polyport.store.end_users import EndUserChange, EndUserFilter
from polyport.store.records import EndUser, Token

METADATA_LIMIT: Final = 16 * 1024
LIFETIME_SECONDS: Final = 3600
LIFETIME_LEAST: Final = 60
LIFETIME_MOST: Final = 24 * 3600
SORTS: Final = ("title", "-title", "externalId", "-externalId", "id", "-id")
STATUSES: Final = ("active", "deleting")
_FILTERS: Final = (("externalId", "eq"), ("externalId", "like"), ("title", "eq"), ("title", "like"), ("status", "eq"))


class UserPatch(Body):
    """What changes; what is left out stays, ``null`` clears it."""

    title: str | None = Field(default=None, min_length=1, max_length=300)
    email: str | None = Field(default=None, min_length=1, max_length=320)
    metadata: dict[str, Any] | None = None


class UserBody(UserPatch):
    """A user by your own id of it. Known already, it is changed in what is given here."""

    external_id: ExternalUserId = Field(description="Your id of the user: any text in one line, compared character by character.")


class UserAnswer(Body):
    """One of your users. ``status`` is ``active`` or ``deleting``. Times are unix seconds."""

    id: int
    external_id: str
    title: str | None
    email: str | None
    metadata: dict[str, Any]
    status: Literal["active", "deleting"]
    created_at: int
    updated_at: int


class TokenBody(Body):
    """How long the token lasts, in seconds, and what it may do: everything of a user if nothing is said."""

    expires_in: int = Field(default=LIFETIME_SECONDS, ge=LIFETIME_LEAST, le=LIFETIME_MOST)
    scopes: list[str] | None = Field(default=None, min_length=1, max_length=20, examples=[["catalog:read", "connections:read"]])


class TokenAnswer(Body):
    """A token that sees one user's things; shown once. ``expiresAt`` is in unix seconds."""

    token: str
    expires_at: int
    external_user_id: str
    scopes: list[str]


async def create(call: Call) -> Answer:
    """POST /users."""
    body = call.body(UserBody)
    runtime = call.engine.runtime
    try:
        user = await runtime.repo.end_users.put(call.principal.account_id, body.external_id, _change(body), runtime.now_ms())
    except Stale:
        raise Conflict("This user is being deleted: make it again once it is gone.") from None
    return Answer(data=_item(user), status=201 if user.generation == 1 else 200)


async def patch(call: Call) -> Answer:
    """PATCH /users/{userId}."""
    change = _change(call.body(UserPatch))
    user, runtime = await _user(call), call.engine.runtime
    try:
        return Answer(data=_item(await runtime.repo.end_users.patch(user.account_id, user.end_user_id, change, runtime.now_ms())))
    except Stale:
        raise Conflict("This user is being deleted.") from None


def _change(body: UserPatch) -> EndUserChange:
    sent = body.model_fields_set
    metadata = encode(body.metadata or {}).decode() if "metadata" in sent else None
    if metadata is not None and len(metadata.encode()) > METADATA_LIMIT:
        message = f"Metadata takes at most {METADATA_LIMIT} bytes of JSON."
        raise ValidationFailed.of(Fault(path="metadata", code="too_long", message=message))
    return EndUserChange(title=body.title, has_title="title" in sent, email=body.email, has_email="email" in sent, metadata=metadata)


async def read(call: Call) -> Answer:
    """GET /users/{userId}."""
    return Answer(data=_item(await _user(call)))


async def read_many(call: Call) -> Answer:
    """GET /users."""
    query = read_list_query(call.http.query_params, ("externalId", "title", "status"))
    known_filters(query.filters, _FILTERS)
    status, faults = query.filters.get(("status", "eq")), list[Fault]()
    if status is not None and status not in STATUSES:
        faults.append(Fault(path="filter[status]", code="unknown_option", message=f"A status is one of: {', '.join(STATUSES)}."))
    if query.sort is not None and query.sort not in SORTS:
        faults.append(Fault(path="sort", code="unknown_sort", message=f"Users are sorted by {', '.join(SORTS)}."))
    if faults:
        raise ValidationFailed.of(*faults)
    wanted = EndUserFilter(
        external_id=query.filters.get(("externalId", "eq")),
        external_id_like=query.filters.get(("externalId", "like")),
        title=query.filters.get(("title", "eq")),
        title_like=query.filters.get(("title", "like")),
        status=status,
    )
    found, total = await call.engine.runtime.repo.end_users.page(
        call.principal.account_id, wanted, sort=query.sort, limit=query.limit, offset=query.offset, after=query.after(str, int)
    )
    shown, meta = query.cut(found, total, lambda user: (_placed(user, query.sort), user.end_user_id))
    return Answer(data=[_item(user) for user in shown], meta=meta)


def _placed(user: EndUser, sort: str | None) -> str:
    """What places a user in an order that is not that of ids."""
    return {"title": user.title or "", "externalId": user.external_id}.get((sort or "").removeprefix("-"), "")


async def delete(call: Call) -> Answer:
    """DELETE /users/{userId}."""
    await begin_erasure(call.engine.desk, await _user(call))
    call.services.access.forget()
    return Answer(data=_item(await _user(call)), status=202)


async def create_token(call: Call) -> Answer:
    """POST /users/{userId}/token."""
    body = call.body(TokenBody)
    user, runtime = await _user(call), call.engine.runtime
    scopes = list(dict.fromkeys(body.scopes if body.scopes is not None else END_USER_SCOPES))
    message = f"The token of a user has no such scope; there are: {', '.join(END_USER_SCOPES)}."
    faults = [
        Fault(path=f"scopes[{index}]", code="unknown_option", message=message)
        for index, scope in enumerate(body.scopes or ())
        if scope not in END_USER_SCOPES
    ]
    if faults:
        raise ValidationFailed.of(*faults)
    text, token_hash = new_token(TokenPrefix.END_USER)
    now = runtime.now_ms()
    expires = now + body.expires_in * 1000
    token = Token(
        token_id=0,
        token_hash=token_hash,
        kind="end_user",
        account_id=user.account_id,
        user_id=None,
        family=secrets.token_hex(16),
        title="",
        prefix=text[:8],
        scopes=" ".join(scopes),
        created_at=now,
        expires_at=expires,
        last_used_at=None,
        external_user_id=user.external_id,
    )
    try:
        await runtime.repo.end_users.insert_token(user, token)
    except Stale:
        raise Conflict("This user is being deleted.") from None
    data = {"token": text, "expiresAt": expires // 1000, "externalUserId": user.external_id, "scopes": scopes}
    return Answer(data=data, status=201)


async def _user(call: Call) -> EndUser:
    user = await call.engine.runtime.repo.end_users.get(call.principal.account_id, call.id("userId"))
    if user is None:
        raise NotFound("There is no user with this id.")
    return user


def _item(user: EndUser) -> dict[str, Any]:
    return {
        "id": user.end_user_id,
        "externalId": user.external_id,
        "title": user.title,
        "email": user.email,
        "metadata": json.loads(user.metadata),
        "status": user.status,
        "createdAt": user.created_at // 1000,
        "updatedAt": user.updated_at // 1000,
    }


_TAG: Final = "End users"
_PATH: Final = "/users"

ENDPOINTS: Final = (
    Endpoint(
        method="POST", path=_PATH, handler=create, tag=_TAG, summary="Make one of your users known, or change it", scope="admin",
        body=UserBody, answer=UserAnswer, status=201, also=((200, UserAnswer),), errors=("conflict",),
        description="201 for a user that is new, 200 for one that was known by this `externalId`: what is given is changed then, what is left out stays.",
    ),
    Endpoint(
        method="GET", path=_PATH, handler=read_many, tag=_TAG, summary="List your users", scope="admin", answer=UserAnswer, many=True,
        query=(
            Param(name="page", description="From 1.", schema={"type": "integer", "minimum": 1, "default": 1}),
            CURSOR,
            Param(name="per-page", description="Items a page.", schema={"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
            Param(name="sort", description="title, -title, externalId, -externalId, id or -id."),
            Param(name="filter[externalId]", description="Your id of the user; also as [like], a part of it."),
            Param(name="filter[title]", description="The title; also as [like], a part of it, in any case."),
            Param(name="filter[status]", description="active or deleting.", schema={"type": "string", "enum": list(STATUSES)}),
        ),
    ),
    Endpoint(method="GET", path=_PATH + "/{userId}", handler=read, tag=_TAG, summary="Read a user", scope="admin", answer=UserAnswer),
    Endpoint(
        method="PATCH", path=_PATH + "/{userId}", handler=patch, tag=_TAG, summary="Change a user", scope="admin", body=UserPatch,
        answer=UserAnswer, errors=("conflict",),
    ),
    Endpoint(
        method="DELETE", path=_PATH + "/{userId}", handler=delete, tag=_TAG, summary="Delete a user with everything", scope="admin",
        answer=UserAnswer, status=202,
        description="The user's tokens end at once. Connections with their secrets, links and files go within seconds; runs that wait are cancelled, and of "
        "those that ended stays a record without input, result or name. Read the user until it is not found: then all of it is done.",
    ),
    Endpoint(
        method="POST", path=_PATH + "/{userId}/token", handler=create_token, tag=_TAG,
        summary="Make a short-lived token that sees this user's things alone", scope="admin", body=TokenBody, answer=TokenAnswer,
        status=201, errors=("conflict",),
        description="Shown once. It reads, makes and changes connections, links, runs and files of this user; those of anybody else are not found.",
    ),
)  # fmt: skip
