"""A page of the console as a route: who may see it, and the proof that a form is one of ours, are looked at here, once, for all of them."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import anyio.to_thread

from polyport.console_users import ROLE_SCOPES
from polyport.errors import Forbidden, PolyportError, Unauthenticated
from polyport.server.connect.forms import FIELDS_MOST, read_form
from polyport.server.console.member import COOKIE, FIELD, HEADER, Member, base_path, check_origin, check_proof, find_member
from polyport.server.console.show import moved, problem
from polyport.server.routing import Answer, Call, Endpoint
from polyport.settings import Settings
from polyport.store.base import StoreFault

FORM_LIMIT: Final = 1024 * 1024
ENDED_AS: Final = "ended"  # what the sign-in is told of a browser that comes with a sign-in that stands no more
ENDED: Final = "Your sign-in has ended, so nothing was done."
Handler = Callable[[Call, Member], Awaitable[Answer]]
OpenHandler = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """A page or an action. ``scope`` is what a role needs for it: ``""`` for everybody who is signed in, ``None`` for those who are not."""

    endpoint: Endpoint
    scope: str | None


def screen(
    method: str,
    path: str,
    handler: Handler,
    summary: str,
    *,
    scope: str,
    fields_most: int = FIELDS_MOST,
    limit: int | Callable[[Settings], int] | None = FORM_LIMIT,
) -> Screen:
    """A page for people who are signed in; a form of at most so many fields and bytes is read into ``call.http.state.form`` (``form(call)``).

    Where the ``limit`` depends on settings, only who may send the form at all sends more than forms have elsewhere. Without a ``limit``
    what is sent is no form: the handler reads it, once it is known who sends it, and the proof stands in the header.
    """

    async def most(call: Call) -> int:
        if not callable(limit):
            return FORM_LIMIT
        await _find_reader(call)
        member: Member | None = getattr(call.http.state, "member", None)
        return limit(call.engine.runtime.settings) if member is not None and member.may(scope) else FORM_LIMIT

    async def enter(call: Call) -> Answer:
        member = call.http.state.member = await find_member(call)
        if member is None and method != "GET" and not path.startswith("/sign-out"):
            raise Unauthenticated(ENDED)
        if member is None:
            return _to_sign_in(call)
        if not member.may(scope):
            able = [role for role, scopes in ROLE_SCOPES.items() if scope in scopes or "admin" in scopes]
            raise Forbidden(f"You are signed in as a {member.user.role}. This is for {' and '.join(f'{role}s' for role in able)}.")
        if method != "GET":
            check_origin(call)
            if limit is not None:
                # What takes long to read holds up nobody else.
                call.http.state.form = (
                    read_form(call.content, fields_most)
                    if len(call.content) <= FORM_LIMIT
                    else await anyio.to_thread.run_sync(read_form, call.content, fields_most)
                )
            check_proof(member, call.http.headers.get(HEADER) or form(call).get(FIELD, ""))
        return await handler(call, member)

    return Screen(endpoint=_endpoint(method, path, enter, summary, most if callable(limit) else limit), scope=scope)


def open_screen(method: str, path: str, handler: OpenHandler, summary: str) -> Screen:
    """A page for people who are not signed in."""

    async def enter(call: Call) -> Answer:
        if method != "GET":
            check_origin(call)
            call.http.state.form = read_form(call.content)
        return await handler(call)

    return Screen(endpoint=_endpoint(method, path, enter, summary), scope=None)


def form(call: Call) -> Mapping[str, str]:
    """What the form of this call was filled in with."""
    found: Mapping[str, str] = getattr(call.http.state, "form", {})
    return found


def _to_sign_in(call: Call) -> Answer:
    """To the sign-in, and back from there: to this page, or to the one that this is a part of."""
    url = call.http.url
    path, query = url.path, url.query
    if call.http.headers.get("hx-request"):
        around = urlsplit(call.http.headers.get("hx-current-url", ""))
        path, query = around.path.removeprefix(base_path(call.engine.runtime)), around.query
    out = ENDED_AS if call.http.cookies.get(COOKIE) else ""
    if call.http.method != "GET" or path in {"", "/console"}:
        return moved(call, "/sign-in", out=out)
    return moved(call, "/sign-in", next=path + (f"?{query}" if query else ""), out=out)


async def _find_reader(call: Call) -> None:
    """Who reads the page of an error, where it came up before that was looked at: a form that is too large, for one."""
    if not hasattr(call.http.state, "member"):
        with contextlib.suppress(StoreFault):
            call.http.state.member = await find_member(call)


def _show_error(call: Call, error: PolyportError) -> Answer:
    return problem(call, getattr(call.http.state, "member", None), error)


def _endpoint(
    method: str, path: str, handler: OpenHandler, summary: str, limit: int | Callable[[Call], Awaitable[int]] | None = FORM_LIMIT
) -> Endpoint:
    return Endpoint(
        method=method,
        path=f"/console{path}",
        handler=handler,
        tag="Console",
        summary=summary,
        scope=None,
        raw=True,
        form_limit=limit if method != "GET" else None,
        reads_itself=limit is None,
        show_error=_show_error,
        before_error=_find_reader,
    )
