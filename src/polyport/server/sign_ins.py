"""A user's sign-ins to the console over HTTP: where they are, ending one or all of them, and the link by which a user comes in."""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic import Field

from polyport.console_users import EMAIL_LONGEST
from polyport.errors import Forbidden, NotFound
from polyport.items import seconds
from polyport.server.access import Principal
from polyport.server.console_users import ConsoleUserAnswer, shown_user
from polyport.server.routing import CURSOR, Answer, Body, Call, Endpoint, Param
from polyport.server.wire import known_filters, read_list_query
from polyport.store.base import Stale
from polyport.store.console import ConsoleSession

PASSWORD_LEAST: Final = 8
PASSWORD_MOST: Final = 1024
_ID: Final = re.compile(r"[0-9a-f]{24}")


class SessionAnswer(Body):
    """A browser that is signed in to the console. ``current``: it is the one that asks. Times are unix seconds; ``seenAt`` is exact to a minute."""

    id: str
    browser: str
    address: str
    created_at: int
    seen_at: int
    expires_at: int
    current: bool


class WelcomeBody(Body):
    """The token of a link (what stands behind ``token=`` in its address) and a password. ``email`` is for the link of a first start alone, whose owner has no address yet."""

    token: str = Field(min_length=1, max_length=200, json_schema_extra={"writeOnly": True})
    password: str = Field(min_length=PASSWORD_LEAST, max_length=PASSWORD_MOST, json_schema_extra={"writeOnly": True})
    email: str | None = Field(default=None, max_length=EMAIL_LONGEST, examples=["ada@example.com"])


def _user(principal: Principal) -> int:
    """The user who asks. Raises ``Forbidden`` for a token that is none of a user's."""
    if principal.kind not in {"session", "console"} or principal.user_id is None:
        raise Forbidden("This token is none of a user's sign-in: sign in to see and end yours.")
    return principal.user_id


async def read_many(call: Call) -> Answer:
    """GET /user/sessions."""
    user_id, runtime = _user(call.principal), call.engine.runtime
    query = read_list_query(call.http.query_params)
    known_filters(query.filters, ())
    now = runtime.now_ms()
    found, total = await runtime.repo.console_sessions.of(
        user_id,
        now=now,
        idle_before=now - runtime.settings.console.idle * 1000,
        limit=query.limit,
        offset=query.offset,
        after=query.after(int, str),
    )
    shown, meta = query.cut(found, total, lambda session: (session.created_at, session.session_id))
    return Answer(data=[_item(session, call.principal) for session in shown], meta=meta)


async def end(call: Call) -> Answer:
    """DELETE /user/sessions/{id}."""
    user_id, session_id = _user(call.principal), call.text("id")
    try:
        if not _ID.fullmatch(session_id):
            raise NotFound(_NONE)
        await call.engine.runtime.repo.console_sessions.end_one(user_id, session_id)
    except Stale:
        raise NotFound(_NONE) from None
    return Answer()


async def end_all(call: Call) -> Answer:
    """POST /user/logout-everywhere."""
    await call.engine.runtime.repo.tokens.revoke_sessions(_user(call.principal))
    call.services.access.forget()
    return Answer()


async def welcome(call: Call) -> Answer:
    """POST /user/welcome."""
    body = call.body(WelcomeBody)
    before, user = await call.services.access.welcome(body.token, body.password, body.email)
    done = [("POST /user/welcome", f"/console-users/{user.user_id}")]
    if user.email != before.email:
        done.append(("console e-mail address", f"{before.email} is {user.email} now"))
    for action, target in done:
        await call.services.audit.note(
            user.account_id, via="console" if call.within else "api", actor=(f"user/{user.user_id}", user.email), action=action,
            target=target, status=200, came=(call.address, call.request_id),
        )  # fmt: skip
    return Answer(data=shown_user(user))


_NONE: Final = "You are signed in in no browser with this id."


def _item(session: ConsoleSession, principal: Principal) -> dict[str, Any]:
    return {
        "id": session.session_id,
        "browser": session.browser,
        "address": session.address,
        "createdAt": seconds(session.created_at),
        "seenAt": seconds(session.seen_at),
        "expiresAt": seconds(session.expires_at),
        "current": session.session_hash == principal.token_hash,
    }


ENDPOINTS: Final = (
    Endpoint(
        method="GET", path="/user/sessions", handler=read_many, tag="Users", summary="List the browsers in which you are signed in to the console",
        answer=SessionAnswer, many=True,
        query=(
            Param(name="page", description="From 1.", schema={"type": "integer", "minimum": 1, "default": 1}),
            CURSOR,
            Param(name="per-page", description="Items a page.", schema={"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
        ),
        description="The latest first. It takes the token of a user: API keys and tokens of end users sign in to no console.",
    ),
    Endpoint(method="DELETE", path="/user/sessions/{id}", handler=end, tag="Users", summary="Sign a browser out"),
    Endpoint(
        method="POST", path="/user/logout-everywhere", handler=end_all, tag="Users",
        summary="Sign out everywhere: all browsers, and all tokens of sign-ins, this one as well",
    ),
    Endpoint(
        method="POST", path="/user/welcome", handler=welcome, tag="Users", summary="Come in by a link: set the password, once", scope=None,
        body=WelcomeBody, answer=ConsoleUserAnswer, errors=("not_found",),
        description="The link ends, and so do all sign-ins of the user. Sign in with the password from then on.",
    ),
)  # fmt: skip
