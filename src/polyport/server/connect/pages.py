"""The pages of a link: the form, its end, and why there is none. Opening one changes nothing: what fetches it may be a robot that previews links."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from starlette.datastructures import QueryParams

from polyport.accounts import OwnSettings, origin_of, read_own
from polyport.catalog import icon_address
from polyport.engine.caller import connection_fields
from polyport.engine.connect import checked_fields
from polyport.engine.links import TRIES_SECONDS, check_open, count_try, find_link, finish_by_fields, finished_by
from polyport.engine.sign_in import GRANTED, Visitor
from polyport.errors import (
    BlockedAddress,
    Conflict,
    Details,
    LinkUsed,
    NotFound,
    PartnerFault,
    PolyportError,
    RateLimited,
    ValidationFailed,
)
from polyport.manifest.model import AuthChoice, Partner
from polyport.server.connect import oauth
from polyport.server.connect.forms import MARK, Control, control, given_fields, read_form, with_errors
from polyport.server.connect.show import COOKIE, Look, base_path, brand_css, page
from polyport.server.connect.words import LANGUAGES, choose_language
from polyport.server.routing import Answer, Call, Endpoint
from polyport.store.records import Link

FORM_LIMIT: Final = 256 * 1024
TOLD_IN_THE_FORM: Final = (ValidationFailed, PartnerFault, BlockedAddress, Conflict)  # the customer may try again
_SESSION: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_COLOR: Final = re.compile(r"[0-9a-fA-F]{6}")
_STATIC: Final = {"connect.css": "text/css; charset=utf-8", "connect.js": "text/javascript; charset=utf-8"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Somebody with a link's token in a browser. ``session`` is the browser's secret, ``cookie`` the header that gives it one, if it had none."""

    link: Link
    token: str = field(repr=False)
    partner: Partner
    own: OwnSettings
    look: Look
    session: str = field(repr=False)
    cookie: Mapping[str, str] = field(repr=False)

    @property
    def title(self) -> str:
        """The partner's name in the customer's language."""
        return self.partner.file.titles.get(self.look.language, self.partner.file.title)

    def url(self, base: str, **more: str) -> str:
        """The page's address with other words in its query."""
        query = {"id": str(self.link.link_id), "token": self.token, "language": self.look.language}
        return f"{base}/connect?{urlencode({**query, **more})}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What a form was filled in with, and what is wrong with that; or the ``problem`` (``oauth.PROBLEMS``) with which a customer came back from a sign-in."""

    fields: Mapping[str, Any] | None = field(default=None, repr=False)
    scopes: Sequence[str] | None = None
    error: PolyportError | None = None
    problem: str | None = None


async def show(call: Call) -> Answer:
    """GET /connect."""
    params = call.http.query_params
    visit = await _visit(call, params)
    if finished_by(visit.link, visit.session):
        return await _end(call, visit)
    check_open(visit.link)
    problem = params.get("problem")
    return await _form(call, visit, params.get("auth"), Filled(problem=problem if problem in oauth.PROBLEMS else None))


async def submit(call: Call) -> Answer:
    """POST /connect."""
    form = read_form(call.content)
    visit = await _visit(call, form)
    choice = await _chosen(call, visit, form)
    if choice is None:
        return _to_the_end(call, visit)
    given = given_fields(form, connection_fields(visit.partner, choice.name))
    try:
        await finish_by_fields(call.engine.desk, visit.link, choice.name, given, visit.session)
    except LinkUsed:
        held = await find_link(call.engine.runtime, str(visit.link.link_id), visit.token)
        if not finished_by(held, visit.session):  # two tabs at once: in this browser the other one has brought it to its end
            raise
    except TOLD_IN_THE_FORM as error:
        return await _form(call, visit, choice.name, Filled(fields=given, error=error))
    return _to_the_end(call, visit)


async def authorize(call: Call) -> Answer:
    """POST /connect/authorize."""
    form = read_form(call.content)
    visit = await _visit(call, form)
    choice = await _chosen(call, visit, form)
    if choice is None:
        return _to_the_end(call, visit)
    given, added = given_fields(form, connection_fields(visit.partner, choice.name)), oauth.chosen(form)
    try:
        fields = checked_fields(visit.partner, choice, given)
        visitor = Visitor(token=visit.token, session=visit.session, language=visit.look.language)
        url = await oauth.begin(call, visit.link, choice, fields, added, visitor)
    except TOLD_IN_THE_FORM as error:
        return await _form(call, visit, choice.name, Filled(fields=given, scopes=added, error=error))
    return page("hop.html", visit.look, headers=visit.cookie, base=base_path(call), icon=_icon(call, visit), partner=visit.title, url=url)


async def opened(call: Call) -> Answer:
    """POST /connect/opened."""
    form = read_form(call.content)
    link = await find_link(call.engine.runtime, form.get("id", ""), form.get("token", ""))
    await call.engine.runtime.repo.links.opened(link, call.engine.runtime.now_ms())
    return Answer(content=b"", status=204, media_type="text/plain")


async def _visit(call: Call, told: Mapping[str, str] | QueryParams) -> Visit:
    """Whose browser this is and what it may see. Raises ``NotFound``. What is known by then decides how an error looks."""
    accepted = call.http.headers.get("accept-language", "")
    call.http.state.look = look = Look(language=choose_language(told.get("language"), accepted=accepted))
    runtime = call.engine.runtime
    token = told.get("token", "")
    link = await find_link(runtime, told.get("id", ""), token)
    own = await read_own(runtime.repo, link.account_id)
    language = choose_language(told.get("language"), link.language, accepted=accepted)
    call.http.state.look = look = Look(language=language, branding=own.branding)
    session = call.http.cookies.get(COOKIE, "")
    cookie = {}
    if not _SESSION.fullmatch(session):
        session = secrets.token_urlsafe(32)
        secure = "; Secure" if runtime.settings.origin.startswith("https:") else ""
        cookie = {"Set-Cookie": f"{COOKIE}={session}; Path={base_path(call) or '/'}; HttpOnly; SameSite=Lax{secure}"}
    partner = await runtime.catalog.seen_by(link.account_id).partner(link.partner_id)
    return Visit(link=link, token=token, partner=partner, own=own, look=look, session=session, cookie=cookie)


async def _choices(call: Call, visit: Visit) -> list[AuthChoice]:
    """The ways of authorisation that a customer has here: to sign in at the partner first, which asks for no secret, then in the order of the partner's folder."""
    spec = visit.partner.file.connection
    told = spec.auth if spec is not None else ()
    offered = [choice for choice in told if not choice.scheme.by_link_only or await oauth.offered(call, visit.link, choice)]
    return sorted(offered, key=lambda choice: not choice.scheme.by_link_only)


async def _chosen(call: Call, visit: Visit, form: Mapping[str, str]) -> AuthChoice | None:
    """The way that a form was filled in for; ``None`` when this browser has used the link already.

    Raises ``LinkUsed`` or ``LinkExpired``, ``RateLimited`` after too many tries, ``NotFound`` for a way that there is not.
    """
    if finished_by(visit.link, visit.session):
        return None
    check_open(visit.link)
    if wait := await count_try(call.engine.runtime, visit.link):
        raise RateLimited(None, Details(retry_after_ms=wait))
    signs_in = call.http.url.path.endswith("/authorize")
    for choice in await _choices(call, visit):
        if choice.name == form.get("auth") and choice.scheme.by_link_only is signs_in:
            return choice
    raise NotFound


def _to_the_end(call: Call, visit: Visit) -> Answer:
    """From a form on to its end, which can be looked at again without sending the form again."""
    headers = {"Location": visit.url(base_path(call)), "Referrer-Policy": "no-referrer", **visit.cookie}
    return Answer(content=b"", status=303, media_type="text/plain", headers=headers)


async def _form(call: Call, visit: Visit, auth: str | None, filled: Filled) -> Answer:
    choices = await _choices(call, visit)
    before, kept = await _before(call, visit)
    choice = next((each for name in (auth, before) for each in choices if each.name == name), choices[0] if choices else None)
    variables = connection_fields(visit.partner, choice.name) if choice is not None else ()
    values = kept if filled.fields is None else filled.fields
    controls: Sequence[Control] = [control(variable, values.get(variable.name)) for variable in variables]
    rest: tuple[str, ...] = ()
    status = 200
    if filled.error is not None:
        controls, rest = with_errors(controls, filled.error, visit.look.words, visit.title)
        status = filled.error.status
    elif filled.problem is not None:
        rest = (visit.look.words[f"problem_{filled.problem}"].format(partner=visit.title),)
        status = oauth.PROBLEMS[filled.problem]
    faulty = [each for each in controls if each.error]
    base = base_path(call)
    return page(
        "form.html",
        visit.look,
        status=status,
        headers=visit.cookie,
        base=base,
        icon=_icon(call, visit),
        partner=visit.title,
        renews=visit.link.renews,
        link_id=visit.link.link_id,
        token=visit.token,
        mark=MARK,
        choices=[{"name": each.name, "label": each.label, "url": visit.url(base, auth=each.name)} for each in choices],
        choice=None
        if choice is None
        else {"name": choice.name, "hint": choice.hint if len(choices) > 1 else None, "signs_in": choice.scheme.by_link_only},
        controls=controls,
        first=faulty[0].name if faulty else None,
        faults=[*({"id": None, "label": "", "message": text} for text in rest), *map(_listed, faulty)],
        problem=filled.problem,
        scopes=await _scopes(call, visit, choice, filled.scopes if filled.scopes is not None else kept.get(GRANTED)),
        scope_mark=oauth.MARK,
        secrets=any(each.secret for each in controls),
        language_urls={code: visit.url(base, language=code, **({"auth": choice.name} if choice is not None else {})) for code in LANGUAGES},
    )


async def _scopes(call: Call, visit: Visit, choice: AuthChoice | None, ticked: Sequence[str] | None) -> list[dict[str, Any]]:
    """What a customer may allow beside what is needed anyway; of a connection that is renewed, what it was allowed before is ticked."""
    offered = await oauth.scopes(call, visit.link, choice) if choice is not None else {}
    return [{"name": name, "allows": text, "ticked": name in (ticked or ())} for name, text in offered.items()]


def _listed(faulty: Control) -> dict[str, str | None]:
    return {"id": faulty.id, "label": faulty.label, "message": faulty.error}


async def _before(call: Call, visit: Visit) -> tuple[str | None, Mapping[str, Any]]:
    """The way and the fields of the connection that a link renews, as they may be shown; its secrets are asked for anew."""
    if not visit.link.renews:
        return None, {}
    record = await call.engine.runtime.repo.connections.get(visit.link.account_id, visit.link.connection_id or 0)
    return (record.auth, json.loads(record.shown)) if record is not None else (None, {})


async def _end(call: Call, visit: Visit) -> Answer:
    link = visit.link
    record = await call.engine.runtime.repo.connections.get(link.account_id, link.connection_id or 0)
    told = {"status": "done", "linkId": link.link_id, "credentialId": link.connection_id, "partnerId": link.partner_id}
    return page(
        "end.html",
        visit.look,
        headers=visit.cookie,
        base=base_path(call),
        icon=_icon(call, visit),
        partner=visit.title,
        account=record.account_label if record is not None else None,
        back=_with_query(link.redirect_url, told) if link.redirect_url is not None else None,
        message=json.dumps({"type": "polyport.connected", **told}),
        origins=json.dumps([origin_of(link.redirect_url)] if link.redirect_url is not None else visit.own.origins),
    )


def _with_query(url: str, told: Mapping[str, Any]) -> str:
    """An address with more in its query."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query=urlencode([*parse_qsl(parts.query, keep_blank_values=True), *told.items()])))


async def show_at_root(call: Call) -> Answer:
    """GET /, which without a link is a path like any other that there is not; a browser that has only the address of this server is led to the console."""
    if _has_link(call):
        return await show(call)
    if not call.engine.runtime.settings.console.enabled or "text/html" not in call.http.headers.get("accept", "").lower():
        raise NotFound("There is no such path.")
    headers = {"Location": f"{base_path(call)}/console", "Vary": "Accept", "Cache-Control": "no-store"}
    return Answer(content=b"", status=303, media_type="text/plain", headers=headers)


def _has_link(call: Call) -> bool:
    return "id" in call.http.query_params or "token" in call.http.query_params


def show_error(call: Call, error: PolyportError) -> Answer | None:
    """Why there is no form: a page in place of the API's error, with the same status."""
    if call.http.url.path == "/" and not _has_link(call):
        return None
    look: Look = getattr(call.http.state, "look", None) or Look(
        language=choose_language(accepted=call.http.headers.get("accept-language", ""))
    )
    known = f"ended_{error.code}"
    key = known if known in look.words else "ended"
    headers = {"Retry-After": str(TRIES_SECONDS)} if isinstance(error, RateLimited) else {}
    return page(
        "ended.html",
        look,
        status=error.status,
        headers=headers,
        base=base_path(call),
        icon=None,
        heading=look.words[key],
        text=look.words[f"{key}_text"],
        request_id=call.request_id if key == "ended" else None,
    )


def _icon(call: Call, visit: Visit) -> str | None:
    return icon_address(visit.partner, base_path(call)) if visit.partner.icon is not None else None


async def static(call: Call) -> Answer:
    """GET /connect/static/{name}."""
    name = call.text("name")
    if name not in _STATIC:
        raise NotFound
    content = files("polyport.server.connect").joinpath("static", name).read_bytes()
    return Answer(content=content, media_type=_STATIC[name], headers={"X-Content-Type-Options": "nosniff"}, etag=True)


async def brand(call: Call) -> Answer:
    """GET /connect/brand/{color}."""
    color = call.text("color")
    if not _COLOR.fullmatch(color):
        raise NotFound
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "public, max-age=86400"}
    return Answer(content=brand_css(color).encode(), media_type="text/css; charset=utf-8", headers=headers)


def _page(method: str, path: str, handler: Any, summary: str, *, form: bool = False) -> Endpoint:
    return Endpoint(
        method=method,
        path=path,
        handler=handler,
        tag="Connect page",
        summary=summary,
        scope=None,
        raw=True,
        form_limit=FORM_LIMIT if form else None,
        show_error=show_error,
    )


# Pages for people: they are no part of the API and of its description.
PAGES: Final = (
    _page("GET", "/connect", show, "The page of a link"),
    _page("GET", "/", show_at_root, "The same page"),
    _page("POST", "/connect", submit, "The form of the page", form=True),
    _page("POST", "/connect/authorize", authorize, "The way to the partner's sign-in", form=True),
    _page("GET", "/connect/callback", oauth.callback, "The way back from the partner's sign-in"),
    _page("GET", "/connect/lost", oauth.lost, "A sign-in that cannot be finished"),
    _page("POST", "/connect/opened", opened, "A person looks at the page", form=True),
    Endpoint(method="GET", path="/connect/static/{name}", handler=static, tag="Connect page", summary="Its files", scope=None, raw=True),
    Endpoint(method="GET", path="/connect/brand/{color}", handler=brand, tag="Connect page", summary="Its colour", scope=None, raw=True),
)
