"""How the console looks: templates, the headers that go with every page, and what templates have at hand."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

import msgspec

from polyport import __version__
from polyport.errors import NotFound, PolyportError
from polyport.kinds.decoders import looks_shallow
from polyport.server.answers import entity_tag
from polyport.server.console.member import FIELD, HEADER, OLD, Member, base_path
from polyport.server.console.packing import LEAST, masked, pack, takes_gzip
from polyport.server.console.painted import as_json, painted, ticked
from polyport.server.console.said import NOTHING, Said, keep, take
from polyport.server.cursors import BEGIN
from polyport.server.routing import Answer, Call
from polyport.server.wire import encode

if TYPE_CHECKING:
    from jinja2 import Environment

JSON_MOST: Final = 200_000
NAMELESS: Final = "nameless"  # what is typed for a name that cannot be
LOOK_COOKIE: Final = "polyport_look"
LOOKS: Final = ("light", "dark")  # neither is as the system has it

# Nothing from elsewhere, nothing inline, in nobody's frame; partners' icons come from this server.
PAGE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Vary": "HX-Request, Accept-Encoding",
}
# What pages load, each of the files that it is made of: one file that all pages need is there sooner than two are.
_STATIC: Final = {
    "console.css": ("console.css", "charts.css"),
    "console.js": ("htmx.min.js", "console.js"),
    "charts.js": ("charts.js",),
    "try.css": ("try.css",),
    "try.js": ("try.js", "try_files.js", "try_kept.js"),
    "docs.css": ("docs.css",),
    "runs.css": ("runs.css",),
    "settings.css": ("settings.css",),
    "settings.js": ("settings.js",),
}
_KINDS: Final = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
_FROM: Final = {"htmx.min.js": ("js_lib_htmx", "static/htmx")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry of the navigation. It is shown to who has the ``scope``; ``place`` orders the entries; ``icon`` is one of ``icons.html``."""

    title: str
    path: str
    icon: str
    place: int
    scope: str = ""


class Navigation:
    """The entries of all pages there are."""

    entries: tuple[Entry, ...] = ()


def page(
    call: Call,
    member: Member | None,
    template: str,
    /,
    *,
    title: str,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Answer:
    """A page of a template. Templates have ``member``, ``may(scope)``, ``url(path, **query)``, ``here`` (the path), ``proof`` and what is in ``more``."""
    runtime = call.engine.runtime
    base = f"{base_path(runtime)}/console"
    query, look = call.http.url.query, call.http.cookies.get(LOOK_COOKIE, "")
    proof = masked(member.proof) if member is not None else ""
    here = call.http.url.path.removeprefix("/console") or "/"
    heard, taken = take(call, member, here)

    def url(path: str = "", **query: Any) -> str:
        given = {name: value for name, value in query.items() if value not in {None, ""}}
        return base + path + (f"?{urlencode(given)}" if given else "")

    html = (
        _environment()
        .get_template(template)
        .render(
            title=title,
            member=member,
            may=member.may if member is not None else lambda _scope: False,
            entries=[entry for entry in Navigation.entries if member is not None and member.may(entry.scope)],
            url=url,
            root=base_path(runtime),
            asset=lambda name: f"{base}/static/{name}?v={_asset_tag(name)}",
            here=here,
            place=here + (f"?{query}" if query else "") if call.http.method == "GET" else "/you",
            look=look if look in LOOKS else "",
            query=dict(call.http.query_params),
            proof=proof,
            proof_field=FIELD,
            proof_headers=encode({HEADER: proof}).decode() if proof else "{}",
            version=__version__,
            said=heard,
            **more,
        )
    )
    content, told = html.encode(), PAGE_HEADERS | ({"Set-Cookie": taken} if taken else {}) | dict(headers or {})
    if not heard.once and call.http.method == "GET" and len(content) >= LEAST and takes_gzip(call.http.headers.get("accept-encoding", "")):
        content, told = pack(content), told | {"Content-Encoding": "gzip"}
    return Answer(content=content, status=status, media_type="text/html; charset=utf-8", headers=told)


def moved(call: Call, path: str, *, said: Said = NOTHING, headers: Mapping[str, str] | None = None, **query: Any) -> Answer:
    """On to another page of the console: the answer to a form, and to a page that is elsewhere. ``said`` is what that page then says of what was done."""
    member: Member | None = getattr(call.http.state, "member", None)
    if said is not NOTHING and member is not None:
        headers = {"Set-Cookie": keep(call.engine.runtime, member, path, said), **(headers or {})}
    given = {name: value for name, value in query.items() if value not in {None, ""}}
    location = f"{base_path(call.engine.runtime)}/console{path}" + (f"?{urlencode(given)}" if given else "")
    # A script that follows the redirect of a form by itself would put the whole page into a part of it: it is told to go there.
    told = {"HX-Redirect": location} if call.http.headers.get("hx-request") else {"Location": location}
    status = 200 if "HX-Redirect" in told else 303
    return Answer(content=b"", status=status, media_type="text/plain", headers=PAGE_HEADERS | told | dict(headers or {}))


FAILED: Final = "That did not work"
OLD_PAGE: Final = "This page is too old"
_HEADINGS: Final = {
    401: "You are signed out",
    403: "This is not yours to do",
    404: "Not found",
    413: "This is too much at once",
    503: "Not now",
}


def problem(call: Call, member: Member | None, error: PolyportError) -> Answer:
    """An error as a page; for a part of a page, as a notice in it."""
    part = bool(call.http.headers.get("hx-request"))
    lost_place = [fault.path for fault in error.details.fields] == ["cursor"]
    # What asked may look for a part of its page in the answer: it is told to take the notice instead, or it would take nothing and show nothing.
    headers = {"HX-Retarget": "#notice", "HX-Reswap": "innerHTML", "HX-Reselect": "[data-notice]"} if part else {}
    return page(
        call,
        member,
        "notice.html" if part else "problem.html",
        title="Not found" if isinstance(error, NotFound) else "That did not work",
        status=error.status,
        headers=headers,
        error=error,
        heading="This page of the list is not there"
        if lost_place
        else OLD_PAGE
        if error.message == OLD
        else _HEADINGS.get(error.status, FAILED),
        lost_place=lost_place,
        request_id=call.request_id,
        came_from=_came_from(call),
    )


def _came_from(call: Call) -> str:
    """The page that a form stood on, for the sign-in to lead back to."""
    told = urlsplit(call.http.headers.get("referer", ""))
    path = told.path.removeprefix(base_path(call.engine.runtime))
    if told.netloc != call.http.headers.get("host", "") or not path.startswith("/console"):
        return ""
    return path + (f"?{told.query}" if told.query else "")


async def static(call: Call) -> Answer:
    """GET /console/static/{name}."""
    name = call.text("name")
    if name not in _STATIC:
        raise NotFound
    headers = {"X-Content-Type-Options": "nosniff", "Vary": "Accept-Encoding"}
    content = _asset(name)
    if takes_gzip(call.http.headers.get("accept-encoding", "")):
        content, headers["Content-Encoding"] = _packed(name), "gzip"
    if call.http.query_params.get("v") == _asset_tag(name):
        headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return Answer(content=content, media_type=_KINDS[name.rpartition(".")[2]], headers=headers, etag=True)


async def nothing(_call: Call, _member: Member) -> Answer:
    """GET /console/{path}, whatever there is not: a page says so."""
    raise NotFound


@cache
def _asset(name: str) -> bytes:
    parts: list[bytes] = []
    for part in _STATIC[name]:
        package, folder = _FROM.get(part, ("polyport.server.console", "static"))
        parts.append(files(package).joinpath(folder, part).read_bytes())
    return b"\n".join(parts)


@cache
def _packed(name: str) -> bytes:
    return gzip.compress(_asset(name), 9, mtime=0)


@cache
def _asset_tag(name: str) -> str:
    return entity_tag(_asset(name)).strip('"')[:12]


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined  # noqa: PLC0415  the server starts faster without it

    folder = files("polyport.server.console").joinpath("templates")
    made = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(lambda name: folder.joinpath(name).read_text("utf-8")),
    )
    made.filters |= {
        "iso": iso,
        "moment": moment,
        "pretty": pretty,
        "thousands": thousands,
        "took": took,
        "span": span,
        "cut": cut,
        "readable": readable,
        "browser_name": browser_name,
        "asked_name": asked_name,
        "painted": painted,
        "as_json": as_json,
        "ticked": ticked,
    }
    return made


# Embeddings, overrides and isolates of a direction, and their ends.
_TURNING: Final = {code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}


def iso(seconds: float) -> str:
    """A time in unix seconds as ISO 8601, for machines."""
    return datetime.fromtimestamp(float(seconds), UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def moment(seconds: float) -> str:
    """A time in unix seconds for people without script: in UTC, and it says so."""
    return datetime.fromtimestamp(float(seconds), UTC).strftime("%d %b %Y, %H:%M UTC")


_TOO_DEEP: Final = "(It nests too deeply to be shown.)"


def pretty(value: Any) -> str:
    """JSON for people, cut where it is too long to be looked at; what turns the direction of text round is written as an escape, so that it turns nothing."""
    try:
        plain = encode(value)
    except RecursionError:
        return _TOO_DEEP
    # How deep the encoder goes differs between versions of Python, and what is indented grows with the square of it.
    if not looks_shallow(plain):
        return _TOO_DEEP
    text = msgspec.json.format(plain, indent=2).decode().translate(_TURNING)
    return text if len(text) <= JSON_MOST else f"{text[:JSON_MOST]}\n... and {len(text) - JSON_MOST:,} more characters"


def readable(text: str) -> str:
    """The body of a request or of an answer: JSON in lines, anything else as it is."""
    if not text.lstrip().startswith(("{", "[")) or len(text) > JSON_MOST:
        return text
    try:
        plain = text.encode()
        return msgspec.json.format(plain, indent=2).decode() if looks_shallow(plain) else text
    except (msgspec.DecodeError, UnicodeError):  # other people's text
        return text


def thousands(value: int) -> str:
    """A number with thousands apart."""
    return f"{value:,}"


def took(milliseconds: float | None) -> str:
    """How long something took."""
    if milliseconds is None:
        return "\N{EN DASH}"
    if milliseconds < 1_000:
        return f"{milliseconds:.0f} ms"
    seconds = float(milliseconds) / 1_000
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"


_SPANS: Final = (("day", 86_400), ("hour", 3_600), ("minute", 60))


def span(seconds: float) -> str:
    """A length of time that somebody chose: an hour, 10 seconds, 31 days."""
    for name, size in _SPANS:
        if seconds >= size and seconds % size == 0:
            many = int(seconds // size)
            return f"{many} {name}s" if many > 1 else f"{'an' if name == 'hour' else 'a'} {name}"
    return f"{seconds:g} seconds" if seconds != 1 else "a second"


def cut(text: object, most: int = 120) -> str:
    """The beginning of a text that may be very long; what turns the direction of text round is written as an escape, so that it turns nothing."""
    whole = str(text)
    shown = whole if len(whole) <= most else whole[: most - 1] + "…"
    return shown if shown.isascii() else shown.translate(_TURNING)


def plain_name(name: str, most: int = 80) -> str:
    """A name as people can type it: on one line, its words one space apart, without what cannot be seen; its beginning if it is very long."""
    seen = "".join(each if each.isprintable() else " " if each.isspace() else "" for each in name)
    words = " ".join(seen.split())
    return words if len(words) <= most else words[:most].rstrip()


def asked_name(name: str) -> str:
    """The name that is asked for before something is taken away."""
    return plain_name(name) or NAMELESS


@dataclass(frozen=True, slots=True, kw_only=True)
class Pager:
    """The ways through a list that goes on by cursor: to its beginning and to the next page; ``total`` is how many items there are, where that is known."""

    first: str | None = None
    after: str | None = None
    total: int | None = None


def pager(call: Call, meta: Mapping[str, Any], at: str | None = None) -> Pager:
    """The pager of an answer's ``meta``; ``at`` is the path of the list, for a page that answers forms sent to other paths as well."""
    query = {name: value for name, value in call.http.query_params.items() if value and name != "cursor"}
    path = base_path(call.engine.runtime) + (call.http.url.path if at is None else f"/console{at}")

    def to(**more: Any) -> str:
        given = query | more
        return path + (f"?{urlencode(given)}" if given else "")

    following = meta["nextCursor"]
    begun = cursor(call) != BEGIN
    return Pager(first=to() if begun else None, after=to(cursor=following) if following else None, total=meta.get("totalItemsCount"))


def cursor(call: Call) -> str:
    """Where the list of this page goes on, or ``*``: it begins."""
    return call.http.query_params.get("cursor") or BEGIN


def chosen(call: Call, *names: str) -> dict[str, str]:
    """What the query string says of some filters; empty ones are not there."""
    return {name: value for name in names if (value := call.http.query_params.get(name, "").strip())}


_BROWSERS: Final = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS: Final = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)


def browser_name(told: str) -> str:
    """A browser as people call it, from what it says of itself; what is not known stays as it is."""
    browser = next((name for mark, name in _BROWSERS if mark in told), None)
    system = next((name for mark, name in _SYSTEMS if mark in told), None)
    if browser is None:
        return cut(told, 70) or "Unknown"
    return f"{browser} on {system}" if system is not None else browser


def options(pairs: Sequence[tuple[str, str]], now: str | None, empty: str) -> list[dict[str, Any]]:
    """The options of a select, the empty one first."""
    return [{"key": "", "label": empty, "chosen": not now}, *({"key": key, "label": label, "chosen": key == now} for key, label in pairs)]
