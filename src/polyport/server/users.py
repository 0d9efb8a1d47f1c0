"""Signing in and out, and API keys: sections 2 of the wire contract."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from polyport.errors import Fault, NotFound, Unauthenticated, ValidationFailed
from polyport.kinds.fields import coerce_datetime, unix_number
from polyport.passwords import TokenPrefix, new_token
from polyport.server.access import SCOPES, SignedIn
from polyport.server.routing import CURSOR, Answer, Body, Call, Endpoint, Param
from polyport.server.wire import Seen, read_list_query
from polyport.store.base import Stale
from polyport.store.records import Token


class SignInBody(Body):
    """E-mail address and password of a user."""

    email: str = Field(min_length=1, max_length=320, examples=["you@example.com"])
    password: str = Field(min_length=1, max_length=1024, json_schema_extra={"writeOnly": True})


class RefreshBody(Body):
    """A refresh token."""

    refresh_token: str = Field(min_length=1, max_length=512, json_schema_extra={"writeOnly": True})


class PasswordBody(Body):
    """The present password and a new one."""

    password: str = Field(min_length=1, max_length=1024, json_schema_extra={"writeOnly": True})
    new_password: str = Field(min_length=8, max_length=1024, json_schema_extra={"writeOnly": True})


class TokensAnswer(Body):
    """Tokens of a sign-in. Times are unix seconds."""

    auth_token: str
    expires_at: int
    refresh_token: str


class KeyBody(Body):
    """A new API key. ``expiresAt``: unix seconds or ISO 8601 with a zone."""

    title: Annotated[str, Field(min_length=1, max_length=200), Seen]
    scopes: list[str] = Field(min_length=1, max_length=20, examples=[["catalog:read", "runs:write"]])
    expires_at: Annotated[
        int | None, BeforeValidator(lambda value: None if value is None else _moment(value), json_schema_input_type=int | str | None)
    ] = None


class KeyAnswer(Body):
    """An API key as lists show it. ``createdBy`` is the e-mail address of who made it, null where that user is gone. Times are unix seconds."""

    id: int
    title: str
    prefix: str
    scopes: list[str]
    created_at: int
    created_by: str | None
    expires_at: int | None
    last_used_at: int | None


class NewKeyAnswer(KeyAnswer):
    """A new API key with its text, which is never shown again."""

    key: str


def _moment(value: object) -> int:
    return int(unix_number(coerce_datetime(value)) // 1)


def _tokens(signed: SignedIn) -> Answer:
    return Answer(data={"authToken": signed.token, "expiresAt": signed.expires_at // 1000, "refreshToken": signed.refresh_token})


async def sign_in(call: Call) -> Answer:
    """POST /user/auth."""
    body = call.body(SignInBody)
    try:
        return _tokens(await call.services.access.sign_in(body.email, body.password, call.address))
    except Unauthenticated:
        await note_failed(call, body.email, "POST /user/auth", "api")
        raise


async def note_failed(call: Call, email: str, action: str, via: str) -> None:
    """Note in the audit log that somebody did not get in as a user that there is."""
    user = await call.engine.runtime.repo.accounts.user_by_email(email)
    if user is not None:
        came = (call.address, call.request_id)
        call.services.audit.failed(user.account_id, user.user_id, via=via, name=user.email, action=action, came=came)


async def refresh(call: Call) -> Answer:
    """POST /user/refresh."""
    return _tokens(await call.services.access.refresh(call.body(RefreshBody).refresh_token))


async def sign_out(call: Call) -> Answer:
    """POST /user/logout."""
    await call.services.access.sign_out(call.principal)
    return Answer()


async def change_password(call: Call) -> Answer:
    """POST /user/password."""
    body = call.body(PasswordBody)
    await call.services.access.change_password(call.principal, body.password, body.new_password, call.address)
    return Answer()


async def create_key(call: Call) -> Answer:
    """POST /api-keys."""
    body = call.body(KeyBody)
    unknown = [index for index, scope in enumerate(body.scopes) if scope not in SCOPES]
    now = call.engine.runtime.now_ms()
    faults = [
        Fault(path=f"scopes[{index}]", code="unknown_option", message=f"This is no scope; there are: {', '.join(SCOPES)}.")
        for index in unknown
    ]
    if body.expires_at is not None and body.expires_at * 1000 <= now:
        faults.append(Fault(path="expiresAt", code="too_small", message="This time is in the past."))
    if faults:
        raise ValidationFailed.of(*faults)
    text, token_hash = new_token(TokenPrefix.API_KEY)
    token = Token(
        token_id=0,
        token_hash=token_hash,
        kind="api_key",
        account_id=call.principal.account_id,
        user_id=call.principal.user_id,
        family=secrets.token_hex(16),
        title=body.title,
        prefix=text[:8],
        scopes=" ".join(dict.fromkeys(body.scopes)),
        created_at=now,
        expires_at=body.expires_at * 1000 if body.expires_at is not None else None,
        last_used_at=None,
    )
    (token_id,) = await call.engine.runtime.repo.tokens.insert(token)
    return Answer(data=_key(token, token_id, await _makers(call)) | {"key": text}, status=201)


async def list_keys(call: Call) -> Answer:
    """GET /api-keys."""
    wanted = read_list_query(call.http.query_params)
    if wanted.filters:
        raise ValidationFailed.of(Fault(path="filter", code="unknown_filter", message="API keys are not filtered."))
    after = wanted.after(int)
    found, total = await call.engine.runtime.repo.tokens.api_keys(
        call.principal.account_id, limit=wanted.limit, offset=wanted.offset, before=int(after[0]) if after is not None else None
    )
    shown, meta = wanted.cut(found, total, lambda token: (token.token_id,))
    makers = await _makers(call)
    return Answer(data=[_key(token, token.token_id, makers) for token in shown], meta=meta)


async def _makers(call: Call) -> Mapping[int, str]:
    """The e-mail addresses of the account's users."""
    return {user.user_id: user.email for user in await call.engine.runtime.repo.console_users.of(call.principal.account_id)}


async def read_key(call: Call) -> Answer:
    """GET /api-keys/{id}."""
    found = await call.engine.runtime.repo.tokens.api_key(call.principal.account_id, call.id("id"))
    if found is None:
        raise NotFound(_NO_KEY)
    return Answer(data=_key(found, found.token_id, await _makers(call)))


async def delete_key(call: Call) -> Answer:
    """DELETE /api-keys/{id}."""
    found = await call.engine.runtime.repo.tokens.api_key(call.principal.account_id, call.id("id"))
    call.thing = found.title if found is not None else ""
    try:
        await call.engine.runtime.repo.tokens.revoke_api_key(call.principal.account_id, call.id("id"))
    except Stale:
        raise NotFound(_NO_KEY) from None
    call.services.access.forget()
    return Answer()


_NO_KEY: Final = "There is no API key with this id."


def _key(token: Token, token_id: int, makers: Mapping[int, str]) -> dict[str, object]:
    return {
        "id": token_id,
        "title": token.title,
        "prefix": token.prefix,
        "scopes": token.scopes.split(),
        "createdAt": token.created_at // 1000,
        "createdBy": makers.get(token.user_id or 0),
        "expiresAt": token.expires_at // 1000 if token.expires_at is not None else None,
        "lastUsedAt": token.last_used_at // 1000 if token.last_used_at is not None else None,
    }


ENDPOINTS: Final = (
    Endpoint(
        method="POST", path="/user/auth", handler=sign_in, tag="Users", summary="Sign in", scope=None, body=SignInBody,
        answer=TokensAnswer, errors=("unauthenticated", "rate_limited"),
        description="Wrong e-mail address and wrong password answer alike. Tries are limited per e-mail address and per client address.",
    ),
    Endpoint(
        method="POST", path="/user/refresh", handler=refresh, tag="Users", summary="Exchange a refresh token for new tokens", scope=None,
        body=RefreshBody, answer=TokensAnswer, errors=("unauthenticated", "token_expired"),
    ),
    Endpoint(method="POST", path="/user/logout", handler=sign_out, tag="Users", summary="Sign out: the sign-in's tokens end"),
    Endpoint(
        method="POST", path="/user/password", handler=change_password, tag="Users", summary="Change the password; every sign-in ends",
        body=PasswordBody,
    ),
    Endpoint(
        method="POST", path="/api-keys", handler=create_key, tag="API keys", summary="Make an API key; its text is shown once", scope="admin",
        body=KeyBody, answer=NewKeyAnswer, status=201,
    ),
    Endpoint(
        method="GET", path="/api-keys", handler=list_keys, tag="API keys", summary="List API keys", scope="admin", answer=KeyAnswer, many=True,
        query=(
            Param(name="page", description="From 1.", schema={"type": "integer", "minimum": 1, "default": 1}),
            CURSOR,
            Param(name="per-page", description="Items a page.", schema={"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
        ),
    ),
    Endpoint(method="GET", path="/api-keys/{id}", handler=read_key, tag="API keys", summary="Read about an API key", scope="admin", answer=KeyAnswer),
    Endpoint(method="DELETE", path="/api-keys/{id}", handler=delete_key, tag="API keys", summary="Delete an API key", scope="admin"),
)  # fmt: skip
