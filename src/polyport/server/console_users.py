"""The people who sign in for an account, over HTTP: their roles, and the links by which they come in. Not the customer's own users."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field

from polyport.console_users import EMAIL_LONGEST, LINK_SECONDS, add_user, change_role, new_link, remove_user, scopes_of
from polyport.errors import NotFound
from polyport.items import seconds
from polyport.server.routing import LEAFED, Answer, Body, Call, Endpoint
from polyport.server.wire import known_filters, read_list_query
from polyport.store.records import User

Role = Literal["owner", "developer", "viewer"]


class AddBody(Body):
    """A new user of the account: an owner may do everything, a developer works with connections and runs, a viewer only looks."""

    email: str = Field(min_length=3, max_length=EMAIL_LONGEST, examples=["ada@example.com"])
    role: Role


class RoleBody(Body):
    """Another role."""

    role: Role


class ConsoleUserAnswer(Body):
    """A user of the account. ``scopes`` are what the role may do. ``hasPassword``: whether the user has come in at least once. Times are unix seconds."""

    id: int
    email: str
    role: Role
    scopes: list[str]
    has_password: bool
    created_at: int


class LinkedUserAnswer(ConsoleUserAnswer):
    """A user with a link that is shown once: whoever opens it sets the user's password and comes in."""

    url: str
    expires_at: int


async def create(call: Call) -> Answer:
    """POST /console-users."""
    body, runtime = call.body(AddBody), call.engine.runtime
    user = await add_user(runtime.repo, call.principal.account_id, body.email, body.role, runtime.now_ms())
    return Answer(data=await _linked(call, user), status=201)


async def read_many(call: Call) -> Answer:
    """GET /console-users."""
    found = await call.engine.runtime.repo.console_users.of(call.principal.account_id)
    query = read_list_query(call.http.query_params)
    known_filters(query.filters, ())
    shown, meta = query.leaf(found, lambda user: user.user_id)
    return Answer(data=[shown_user(user) for user in shown], meta=meta)


async def read(call: Call) -> Answer:
    """GET /console-users/{consoleUserId}."""
    return Answer(data=shown_user(await _user(call)))


async def patch(call: Call) -> Answer:
    """PATCH /console-users/{consoleUserId}."""
    known = await _user(call)
    user = await change_role(call.engine.runtime.repo, known.account_id, known.user_id, call.body(RoleBody).role)
    call.change = f"{known.role} to {user.role}"
    call.services.access.forget()
    return Answer(data=shown_user(user))


async def delete(call: Call) -> Answer:
    """DELETE /console-users/{consoleUserId}."""
    call.thing = (await _user(call)).email
    await remove_user(call.engine.runtime.repo, call.principal.account_id, call.id("consoleUserId"))
    call.services.access.forget()
    return Answer()


async def link(call: Call) -> Answer:
    """POST /console-users/{consoleUserId}/link."""
    call.body(Body)
    return Answer(data=await _linked(call, await _user(call)), status=201)


async def sign_out(call: Call) -> Answer:
    """POST /console-users/{consoleUserId}/sign-out."""
    call.body(Body)
    user = await _user(call)
    call.thing = user.email
    await call.engine.runtime.repo.tokens.revoke_sessions(user.user_id)
    call.services.access.forget()
    return Answer()


async def _user(call: Call) -> User:
    user = await call.engine.runtime.repo.accounts.user(call.principal.account_id, call.id("consoleUserId"))
    if user is None:
        raise NotFound("There is no user with this id.")
    return user


async def _linked(call: Call, user: User) -> dict[str, Any]:
    runtime = call.engine.runtime
    url, expires_at = await new_link(runtime.repo, runtime.settings, user, runtime.now_ms())
    return shown_user(user) | {"url": url, "expiresAt": seconds(expires_at)}


def shown_user(user: User) -> dict[str, Any]:
    """A user as the API shows it."""
    return {
        "id": user.user_id,
        "email": user.email,
        "role": user.role,
        "scopes": list(scopes_of(user.role)),
        "hasPassword": bool(user.password_hash),
        "createdAt": seconds(user.created_at),
    }


_TAG: Final = "Console users"
_PATH: Final = "/console-users"
_ONE: Final = _PATH + "/{consoleUserId}"

ENDPOINTS: Final = (
    Endpoint(
        method="POST", path=_PATH, handler=create, tag=_TAG, summary="Add a user of the account", scope="admin", body=AddBody,
        answer=LinkedUserAnswer, status=201, errors=("conflict",),
        description=f"The answer has a link by which the user sets a password and comes in, once, within {LINK_SECONDS // 3600} hours.",
    ),
    Endpoint(
        method="GET", path=_PATH, handler=read_many, tag=_TAG, summary="List the users of the account", scope="admin",
        answer=ConsoleUserAnswer, many=True, query=LEAFED,
    ),
    Endpoint(method="GET", path=_ONE, handler=read, tag=_TAG, summary="Read about a user", scope="admin", answer=ConsoleUserAnswer),
    Endpoint(
        method="PATCH", path=_ONE, handler=patch, tag=_TAG, summary="Give a user another role; all its sign-ins end", scope="admin",
        body=RoleBody, answer=ConsoleUserAnswer, errors=("conflict",),
    ),
    Endpoint(
        method="DELETE", path=_ONE, handler=delete, tag=_TAG, summary="Remove a user; API keys that it made stay", scope="admin",
        errors=("conflict",),
    ),
    Endpoint(
        method="POST", path=_ONE + "/link", handler=link, tag=_TAG, summary="Make a link by which a user sets a password; an older one ends",
        scope="admin", body=Body, answer=LinkedUserAnswer, status=201,
    ),
    Endpoint(
        method="POST", path=_ONE + "/sign-out", handler=sign_out, tag=_TAG, summary="Sign a user out everywhere", scope="admin", body=Body,
    ),
)  # fmt: skip
