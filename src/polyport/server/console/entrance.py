"""Coming in and going out: signing in, the link of a new user, signing out here and everywhere."""

from __future__ import annotations

import re
from typing import Final

import anyio
import anyio.to_thread

from polyport.console_users import read_email, user_of_link
from polyport.errors import NotFound, RateLimited, Unauthenticated, ValidationFailed
from polyport.passwords import digest, hash_password
from polyport.server.console.member import Member, base_path, begin_session, ended_cookie, find_member
from polyport.server.console.packing import masked
from polyport.server.console.screen import form, open_screen, screen
from polyport.server.console.show import LOOK_COOKIE, LOOKS, PAGE_HEADERS, moved, page
from polyport.server.routing import Answer, Call
from polyport.store.base import Duplicate, Stale
from polyport.store.records import User

PASSWORD_LEAST: Final = 8
# The token of a link stands in the page's address: not even the files of the page are told of it.
WELCOME_HEADERS: Final = {"Referrer-Policy": "strict-origin"}
LOOK_SECONDS: Final = 365 * 86_400
_NEXT: Final = re.compile(r"/console(/[A-Za-z0-9_.~/-]*)?(\?[A-Za-z0-9_.~/%?=&+:,*-]*)?")


async def sign_in_form(call: Call) -> Answer:
    """GET /console/sign-in."""
    if await find_member(call) is not None:
        return moved(call, "")
    return _sign_in(call, following=call.http.query_params.get("next", ""), out=call.http.query_params.get("out") == "1")


def _sign_in(call: Call, *, following: str, email: str = "", fault: str | None = None, status: int = 200, out: bool = False) -> Answer:
    told = following if _NEXT.fullmatch(following) else ""
    return page(call, None, "sign_in.html", title="Sign in", status=status, following=told, email=email, fault=fault, out=out)


async def sign_in(call: Call) -> Answer:
    """POST /console/sign-in."""
    given = form(call)
    email, following = given.get("email", "").strip(), given.get("next", "")
    try:
        user = await call.services.access.check_password(email[:320], given.get("password", "")[:1024], call.address)
    except Unauthenticated as error:
        return _sign_in(call, following=following, email=email, fault=error.message, status=401)
    except RateLimited as error:
        minutes = -(-(error.details.retry_after_ms or 60_000) // 60_000)
        fault = f"Too many tries. Wait {minutes} {'minute' if minutes == 1 else 'minutes'}, then try again."
        return _sign_in(call, following=following, email=email, fault=fault, status=429)
    cookie = await begin_session(call, user)
    await _note(call, user, "console sign-in")
    path = following.removeprefix("/console") if _NEXT.fullmatch(following) else ""
    return moved(call, path, headers={"Set-Cookie": cookie})


async def _note(call: Call, user: User, action: str) -> None:
    await call.services.audit.note(
        user.account_id, via="console", actor=(f"user/{user.user_id}", user.email), action=action, target="", status=200,
        came=(call.address, call.request_id),
    )  # fmt: skip


async def sign_out(call: Call, member: Member) -> Answer:
    """POST /console/sign-out."""
    await call.engine.runtime.repo.console_sessions.end(member.session.session_hash)
    await _note(call, member.user, "console sign-out")
    return _out(call)


async def sign_out_everywhere(call: Call, member: Member) -> Answer:
    """POST /console/sign-out-everywhere."""
    await call.engine.runtime.repo.tokens.revoke_sessions(member.user.user_id)
    call.services.access.forget()
    await _note(call, member.user, "console sign-out everywhere")
    return _out(call)


def _out(call: Call) -> Answer:
    headers = {"Set-Cookie": ended_cookie(call.engine.runtime), "Clear-Site-Data": '"cache", "storage"'}
    return moved(call, "/sign-in", headers=headers, out="1")


async def welcome_form(call: Call) -> Answer:
    """GET /console/welcome. Opening it changes nothing: what fetches it may be a robot that previews links."""
    token = call.http.query_params.get("token", "")
    runtime = call.engine.runtime
    try:
        user = await user_of_link(runtime.repo, token, runtime.now_ms())
    except NotFound:
        return _no_welcome(call)
    return _welcome(call, token, user.email)


def _no_welcome(call: Call) -> Answer:
    """A link that is none, or none any more: which of these it is, is nobody's business."""
    return page(call, None, "welcome_gone.html", title="This link does not work", status=404)


def _welcome(call: Call, token: str, email: str, faults: dict[str, str] | None = None, status: int = 200) -> Answer:
    return page(
        call, None, "welcome_link.html", title="Welcome to Polyport", status=status, token=token, email=email,
        faults=faults or {}, least=PASSWORD_LEAST, headers=WELCOME_HEADERS,
    )  # fmt: skip


async def welcome(call: Call) -> Answer:
    """POST /console/welcome."""
    given, runtime = form(call), call.engine.runtime
    token, now = given.get("token", ""), runtime.now_ms()
    try:
        user = await user_of_link(runtime.repo, token, now)
    except NotFound:
        return _no_welcome(call)
    email, password = given.get("email", ""), given.get("password", "")
    faults: dict[str, str] = {}
    try:
        email = read_email(email)
    except ValidationFailed as error:
        faults["email"] = error.details.fields[0].message
    if not PASSWORD_LEAST <= len(password) <= 1024:
        faults["password"] = f"A password has at least {PASSWORD_LEAST} characters."
    elif password != given.get("again", ""):
        faults["again"] = "This is not the same password."
    if faults:
        return _welcome(call, token, email, faults, 422)
    hashed = await anyio.to_thread.run_sync(hash_password, password)
    try:
        await runtime.repo.console_users.use_link(user, digest(token), email=email, password_hash=hashed, now=now)
    except Stale:
        return _no_welcome(call)
    except Duplicate:
        return _welcome(call, token, email, {"email": "Somebody else has this e-mail address."}, 422)
    call.services.access.forget()
    cookie = await begin_session(call, user)
    await _note(call, user, "console welcome")
    return moved(call, "", headers={"Set-Cookie": cookie})


async def password_form(call: Call, member: Member) -> Answer:
    """GET /console/you."""
    return await _you(call, member)


async def _you(call: Call, member: Member, faults: dict[str, str] | None = None, status: int = 200) -> Answer:
    runtime = call.engine.runtime
    now = runtime.now_ms()
    idle_before = now - runtime.settings.console.idle * 1000
    sessions = await runtime.repo.console_sessions.of(member.user.user_id, now=now, idle_before=idle_before)
    return page(call, member, "you.html", title="You", status=status, sessions=sessions, faults=faults or {}, least=PASSWORD_LEAST)


async def tell_proof(_call: Call, member: Member) -> Answer:
    """GET /console/you/proof: who is signed in, and what forms carry now. A page that is older than the sign-in asks before it sends a form."""
    return Answer(body={"member": member.user.email, "proof": masked(member.proof)}, headers=PAGE_HEADERS)


async def change_password(call: Call, member: Member) -> Answer:
    """POST /console/you/password."""
    given = form(call)
    password = given.get("new", "")
    faults: dict[str, str] = {}
    if not PASSWORD_LEAST <= len(password) <= 1024:
        faults["new"] = f"A password has at least {PASSWORD_LEAST} characters."
    elif password != given.get("again", ""):
        faults["again"] = "This is not the same password."
    if not faults:
        try:
            await call.services.access.change_password(member.principal, given.get("present", ""), password, call.address)
        except Unauthenticated as error:
            faults["present"] = error.message
        except ValidationFailed as error:
            faults["new"] = error.details.fields[0].message
    if faults:
        return await _you(call, member, faults, 422)
    await _note(call, member.user, "console password")
    return moved(call, "/sign-in", headers={"Set-Cookie": ended_cookie(call.engine.runtime)}, out="1")


async def change_look(call: Call, _member: Member) -> Answer:
    """POST /console/you/look: light, dark, or as the system has it. Back to where one was."""
    given, base = form(call), base_path(call.engine.runtime)
    look = given.get("look", "") if given.get("look") in LOOKS else ""
    back = given.get("back", "")
    secure = "; Secure" if call.engine.runtime.settings.origin.startswith("https:") else ""
    age = LOOK_SECONDS if look else 0
    cookie = f"{LOOK_COOKIE}={look}; Path={base}/console; Max-Age={age}; HttpOnly; SameSite=Lax{secure}"
    return moved(call, back if _NEXT.fullmatch(f"/console{back}") else "/you", headers={"Set-Cookie": cookie})


SCREENS: Final = (
    open_screen("GET", "/sign-in", sign_in_form, "Sign in"),
    open_screen("POST", "/sign-in", sign_in, "Sign in"),
    open_screen("GET", "/welcome", welcome_form, "The link of a new user"),
    open_screen("POST", "/welcome", welcome, "A new user comes in"),
    screen("POST", "/sign-out", sign_out, "Sign out", scope=""),
    screen("POST", "/sign-out-everywhere", sign_out_everywhere, "Sign out in all browsers", scope=""),
    screen("GET", "/you", password_form, "Your sign-ins and your password", scope=""),
    screen("GET", "/you/proof", tell_proof, "What the forms of this browser carry", scope=""),
    screen("POST", "/you/look", change_look, "Light or dark", scope=""),
    screen("POST", "/you/password", change_password, "Change your password", scope=""),
)
