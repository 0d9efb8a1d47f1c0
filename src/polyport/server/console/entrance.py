"""Coming in and going out: signing in, the link of a new user, signing out here and everywhere."""

from __future__ import annotations

import re
from typing import Final

from polyport.console_users import PLACEHOLDER, read_email, user_of_link
from polyport.errors import NotFound, RateLimited, Unauthenticated, ValidationFailed
from polyport.server.console.member import Member, base_path, begin_session, ended_cookie, find_member
from polyport.server.console.packing import masked
from polyport.server.console.said import Said
from polyport.server.console.screen import ENDED_AS, form, open_screen, screen
from polyport.server.console.show import LOOK_COOKIE, LOOKS, PAGE_HEADERS, cursor, moved, page, pager
from polyport.server.console.within import ask
from polyport.server.routing import Answer, Call
from polyport.server.sign_ins import PASSWORD_LEAST, PASSWORD_MOST
from polyport.server.users import note_failed
from polyport.store.records import User

PER_PAGE: Final = 20
# Why one is at the sign-in: words, and whether they are good news.
WHY: Final = {
    "1": ("You are signed out.", ""),
    "everywhere": ("You are signed out, in all browsers and programs.", ""),
    "password": ("Your password is changed. Sign in with it.", "good"),
    ENDED_AS: ("Your sign-in has ended: it was long ago, or it was ended elsewhere, as it is when a role or a password changes.", "warn"),
}
# The token of a link stands in the page's address: not even the files of the page are told of it.
WELCOME_HEADERS: Final = {"Referrer-Policy": "strict-origin"}
LOOK_SECONDS: Final = 365 * 86_400
_NEXT: Final = re.compile(r"/console(/[A-Za-z0-9_.~/-]*)?(\?[A-Za-z0-9_.~/%?=&+:,*-]*)?")


async def sign_in_form(call: Call) -> Answer:
    """GET /console/sign-in."""
    if await find_member(call) is not None:
        return moved(call, "")
    told = call.http.query_params
    return _sign_in(call, following=told.get("next", ""), why=WHY.get(told.get("out", "")))


def _sign_in(
    call: Call, *, following: str, email: str = "", fault: str | None = None, status: int = 200, why: tuple[str, str] | None = None
) -> Answer:
    told = following if _NEXT.fullmatch(following) else ""
    return page(call, None, "sign_in.html", title="Sign in", status=status, following=told, email=email, fault=fault, why=why)


async def sign_in(call: Call) -> Answer:
    """POST /console/sign-in."""
    given = form(call)
    email, following = given.get("email", "").strip(), given.get("next", "")
    try:
        user = await call.services.access.check_password(email[:320], given.get("password", "")[:PASSWORD_MOST], call.address)
    except Unauthenticated as error:
        await note_failed(call, email[:320], "console sign-in", "console")
        return _sign_in(call, following=following, email=email, fault=error.message, status=401)
    except RateLimited as error:
        return _sign_in(call, following=following, email=email, fault=_too_many(error), status=429)
    cookie = await begin_session(call, user)
    await _note(call, user, "console sign-in")
    path = following.removeprefix("/console") if _NEXT.fullmatch(following) else ""
    return moved(call, path, headers={"Set-Cookie": cookie})


def _too_many(error: RateLimited) -> str:
    minutes = -(-(error.details.retry_after_ms or 60_000) // 60_000)
    return f"Too many tries. Wait {minutes} {'minute' if minutes == 1 else 'minutes'}, then try again."


async def _note(call: Call, user: User, action: str) -> None:
    await call.services.audit.note(
        user.account_id, via="console", actor=(f"user/{user.user_id}", user.email), action=action, target="", status=200,
        came=(call.address, call.request_id),
    )  # fmt: skip


async def sign_out(call: Call, member: Member) -> Answer:
    """POST /console/sign-out."""
    await ask(call, member, "POST /user/logout")
    return _out(call, "1")


async def sign_out_everywhere(call: Call, member: Member) -> Answer:
    """POST /console/sign-out-everywhere."""
    await ask(call, member, "POST /user/logout-everywhere")
    return _out(call, "everywhere")


async def sign_out_one(call: Call, member: Member) -> Answer:
    """POST /console/you/sessions/{id}/sign-out: another browser, or this one."""
    session_id = call.text("id")
    try:
        await ask(call, member, "DELETE /user/sessions/{id}", id=session_id)
    except NotFound:
        return moved(call, "/you", said=Said(words="You were signed out there already."))
    if session_id == member.session.session_id:
        return _out(call, "1")
    return moved(call, "/you", said=Said(words="You are signed out in that browser."))


def _out(call: Call, why: str) -> Answer:
    headers = {"Set-Cookie": ended_cookie(call.engine.runtime), "Clear-Site-Data": '"cache", "storage"'}
    return moved(call, "/sign-in", headers=headers, out=why)


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


def _welcome(
    call: Call, token: str, email: str, faults: dict[str, str] | None = None, status: int = 200, given: str | None = None
) -> Answer:
    return page(
        call, None, "welcome_link.html", title="Welcome to Polyport", status=status, token=token, email=email, given=given,
        nameless=email == PLACEHOLDER, faults=faults or {}, least=PASSWORD_LEAST, headers=WELCOME_HEADERS,
    )  # fmt: skip


async def welcome(call: Call) -> Answer:
    """POST /console/welcome. The e-mail address is that of the invitation, whatever the form says; only a first owner has none yet, and gives it."""
    given, runtime = form(call), call.engine.runtime
    token = given.get("token", "")
    try:
        user = await user_of_link(runtime.repo, token, runtime.now_ms())
    except NotFound:
        return _no_welcome(call)
    email = given.get("email", "").strip() if user.email == PLACEHOLDER else None
    password = given.get("password", "")
    faults = _chosen(password, given.get("again", ""), "password")
    if email is not None:
        try:
            read_email(email)
        except ValidationFailed as error:
            faults["email"] = error.details.fields[0].message
    body = {"token": token, "password": password} | ({"email": email} if email is not None else {})
    if not faults:
        try:
            await ask(call, None, "POST /user/welcome", body=body)
        except NotFound:
            return _no_welcome(call)
        except ValidationFailed as error:
            faults = {fault.path if fault.path in {"email", "password"} else "password": fault.message for fault in error.details.fields}
    if faults:
        return _welcome(call, token, user.email, faults, 422, email)
    return moved(call, "", headers={"Set-Cookie": await begin_session(call, user)})


def _chosen(password: str, again: str, name: str) -> dict[str, str]:
    """What is wrong with a password that somebody chose, by the field of the form."""
    if not PASSWORD_LEAST <= len(password) <= PASSWORD_MOST:
        return {name: f"A password has at least {PASSWORD_LEAST} characters, and at most {PASSWORD_MOST:,}."}
    return {} if password == again else {"again": "This is not the same password."}


async def password_form(call: Call, member: Member) -> Answer:
    """GET /console/you."""
    return await _you(call, member)


async def _you(call: Call, member: Member, faults: dict[str, str] | None = None, status: int = 200) -> Answer:
    sessions = await ask(call, member, "GET /user/sessions", query={"cursor": cursor(call), "per-page": PER_PAGE})
    return page(
        call, member, "you.html", title="You", status=status, sessions=sessions.data, pager=pager(call, sessions.meta or {}),
        faults=faults or {}, least=PASSWORD_LEAST,
    )  # fmt: skip


async def tell_proof(_call: Call, member: Member) -> Answer:
    """GET /console/you/proof: who is signed in, and what forms carry now. A page that is older than the sign-in asks before it sends a form."""
    return Answer(body={"member": member.user.email, "proof": masked(member.proof)}, headers=PAGE_HEADERS)


async def change_password(call: Call, member: Member) -> Answer:
    """POST /console/you/password."""
    given = form(call)
    password = given.get("new", "")
    faults = _chosen(password, given.get("again", ""), "new")
    if not faults and not given.get("present"):
        faults["present"] = "This has to be filled in."
    if not faults:
        try:
            await ask(call, member, "POST /user/password", body={"password": given["present"][:PASSWORD_MOST], "newPassword": password})
        except Unauthenticated as error:
            faults["present"] = error.message
        except RateLimited as error:
            faults["present"] = _too_many(error)
        except ValidationFailed as error:
            faults["new"] = error.details.fields[0].message
    if faults:
        return await _you(call, member, faults, 422)
    return moved(call, "/sign-in", headers={"Set-Cookie": ended_cookie(call.engine.runtime)}, out="password")


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
    screen("POST", "/you/sessions/{id}/sign-out", sign_out_one, "Sign out in one browser", scope=""),
    screen("GET", "/you", password_form, "Your sign-ins and your password", scope=""),
    screen("GET", "/you/proof", tell_proof, "What the forms of this browser carry", scope=""),
    screen("POST", "/you/look", change_look, "Light or dark", scope=""),
    screen("POST", "/you/password", change_password, "Change your password", scope=""),
)
