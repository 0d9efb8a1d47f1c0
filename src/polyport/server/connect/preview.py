"""The form of a link with a look that somebody tries out: what customers will see, to the letter, and nothing in it can be pressed or sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from polyport.accounts import Branding
from polyport.catalog import icon_address
from polyport.engine.caller import connection_fields
from polyport.manifest.model import AuthChoice, Partner
from polyport.server.connect import oauth
from polyport.server.connect.forms import MARK, control
from polyport.server.connect.show import Look, base_path, page
from polyport.server.connect.words import LANGUAGES
from polyport.server.routing import Answer, Call

# It stands in a frame of the console, which no other page may do; it runs no script, and sends nothing.
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'",
    "X-Frame-Options": "SAMEORIGIN",
}
NOBODY: Final = "Pipedrive"  # who is named where there is no partner at all


def preview(call: Call, branding: Branding, partner: Partner | None) -> Answer:
    """The page for a partner, with a look."""
    choice = _choice(partner)
    fields = connection_fields(partner, choice.name) if partner is not None and choice is not None else ()
    base = base_path(call)
    return page(
        "form.html",
        Look(branding=branding, preview=True),
        headers=HEADERS,
        base=base,
        icon=icon_address(partner, base) if partner is not None and partner.icon is not None else None,
        partner=partner.file.title if partner is not None else NOBODY,
        renews=False,
        link_id="",
        token="",
        mark=MARK,
        choices=(),
        choice=_shown(choice),
        controls=[control(field) for field in fields],
        first=None,
        faults=(),
        problem=None,
        scopes=(),
        scope_mark=oauth.MARK,
        secrets=False,
        language_urls=dict.fromkeys(LANGUAGES, "#"),
    )


def _choice(partner: Partner | None) -> AuthChoice | None:
    """A way with fields, if there is one: it shows the most of the page."""
    spec = partner.file.connection if partner is not None else None
    found = sorted(spec.auth if spec is not None else (), key=lambda choice: choice.scheme.by_link_only)
    return found[0] if found else None


def _shown(choice: AuthChoice | None) -> Mapping[str, Any]:
    return {"name": choice.name if choice is not None else "", "hint": None, "signs_in": choice is None or choice.scheme.by_link_only}
