"""The way to a partner's sign-in and back, for ways of authorisation that need the customer's browser.

Whoever comes back is sent on at once, so that the address with the code stands neither in the browser's history nor in a referrer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from polyport.engine.sign_in import Back, SignInLost, Visitor, begin_sign_in, finish_sign_in, serving_app
from polyport.kinds.auth.oauth2 import OAuth2
from polyport.manifest.model import AuthChoice
from polyport.server.connect.show import COOKIE, Look, base_path, page
from polyport.server.connect.words import choose_language
from polyport.server.routing import Answer, Call
from polyport.store.records import Link

MARK: Final = "scope."  # in front of the names of the scopes that a customer may add
_STATE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_ONCE: Final = ("state", "code", "error", "error_description", "iss")

# What a sign-in can come to, and the status of the page that says so.
PROBLEMS: Final[Mapping[str, int]] = {
    "sign_in_denied": 403,
    "sign_in_refused": 424,
    "sign_in_mixed_up": 400,
    "sign_in_repeated": 409,
    "sign_in_expired": 410,
    "partner_rate_limited": 424,
    "partner_unavailable": 502,
    "partner_timeout": 504,
    "conflict": 409,
}


async def offered(call: Call, link: Link, choice: AuthChoice) -> bool:
    """Whether a customer can sign in that way: whether there is an app for it."""
    runtime = call.engine.runtime
    partner = await runtime.catalog.seen_by(link.account_id).partner(link.partner_id)
    return await serving_app(runtime, link.account_id, partner, choice) is not None


async def scopes(call: Call, link: Link, choice: AuthChoice) -> dict[str, str]:
    """The scopes that a customer may add, with what each allows."""
    runtime = call.engine.runtime
    partner = await runtime.catalog.seen_by(link.account_id).partner(link.partner_id)
    app = await serving_app(runtime, link.account_id, partner, choice)
    return app.choices(choice.scheme) if app is not None and isinstance(choice.scheme, OAuth2) else {}


def chosen(form: Mapping[str, str]) -> list[str]:
    """The scopes that a customer ticked."""
    return [name.removeprefix(MARK) for name, value in form.items() if name.startswith(MARK) and value == "true"]


async def begin(call: Call, link: Link, choice: AuthChoice, fields: Mapping[str, Any], added: Sequence[str], visitor: Visitor) -> str:
    """The address at the partner where the customer signs in. ``fields`` are checked; raises what ``begin_sign_in`` raises."""
    return await begin_sign_in(call.engine.desk, link, choice, fields, added, visitor)


async def callback(call: Call) -> Answer:
    """GET /connect/callback."""
    if call.http.method != "GET":  # what only looks whether there is something uses nothing up
        return Answer(content=b"", status=204, media_type="text/plain")
    given = call.http.query_params.multi_items()
    told = {name: value for name, value in given if name in _ONCE}
    back = Back(
        state=told.get("state", ""),
        code=told.get("code"),
        error=told.get("error"),
        description=told.get("error_description"),
        issuer=told.get("iss"),
        doubled=len(told) != sum(name in _ONCE for name, _value in given),
    )
    base = base_path(call)
    nowhere = _on(f"{base}/connect/lost")
    if not _STATE.fullmatch(back.state):
        return nowhere
    try:
        landing = await finish_sign_in(call.engine.desk, back, call.http.cookies.get(COOKIE, ""))
    except SignInLost:
        return nowhere
    query = {"id": landing.link_id, "token": landing.token, "language": landing.language, "auth": landing.auth}
    if landing.problem is not None:
        query["problem"] = landing.problem
    return _on(f"{base}/connect?{urlencode(query)}")


def _on(location: str) -> Answer:
    headers = {"Location": location, "Referrer-Policy": "no-referrer"}
    return Answer(content=b"", status=303, media_type="text/plain", headers=headers)


async def lost(call: Call) -> Answer:
    """GET /connect/lost."""
    look = Look(language=choose_language(accepted=call.http.headers.get("accept-language", "")))
    key = "ended_sign_in_lost"
    return page(
        "ended.html", look, status=400, base=base_path(call), icon=None, heading=look.words[key], text=look.words[f"{key}_text"],
        request_id=None,
    )  # fmt: skip
