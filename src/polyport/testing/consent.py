"""The page of a simulated partner where a customer allows access: two links back, one with a code, one without."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from polyport.testing.tokens import Tokens
from polyport.testing.traffic import Outgoing

_HEADERS: Final = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'"),
    (b"referrer-policy", b"no-referrer"),
)
_PAGE: Final = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Simulated sign-in</title>
<style>body {{ max-width: 30rem; margin: 3rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif }} a {{ display: inline-block; padding: .75rem 1rem }}</style></head>
<body><main><h1>{heading}</h1>{content}</main></body>
</html>
"""


def consent_page(query: Mapping[str, Any], tokens: Tokens) -> Outgoing:
    """The page for a request to sign in (RFC 6749, 4.1.1), or why there is none. The code serves once, with the proof key and the address of this request."""
    asked = {name: value if isinstance(value, str) else "" for name, value in query.items()}
    back = asked.get("redirect_uri", "")
    wrong = _wrong(asked, back)
    if wrong is not None:
        return _page(400, "This sign-in is not possible", f"<p>{html.escape(wrong)}</p>")
    code = tokens.grant_code(asked.get("code_challenge", ""), back)
    state = {"state": asked["state"]} if "state" in asked else {}
    scopes = "".join(f"<li>{html.escape(scope)}</li>" for scope in asked.get("scope", "").replace(",", " ").split()[:100])
    content = (
        f"<p>{html.escape(asked['client_id'])} asks for access. This partner is simulated: nobody's password is needed.</p>"
        f"{f'<ul>{scopes}</ul>' if scopes else ''}"
        f'<p><a href="{_back(back, {"code": code, **state})}">Allow</a> <a href="{_back(back, {"error": "access_denied", **state})}">Cancel</a></p>'
    )
    return _page(200, "Allow access?", content)


def _wrong(asked: Mapping[str, str], back: str) -> str | None:
    if urlsplit(back).scheme not in {"http", "https"} or not urlsplit(back).netloc:
        return "redirect_uri has to be an address that begins with http:// or https://."
    if not asked.get("client_id"):
        return "client_id is missing."
    if asked.get("response_type", "code") != "code":
        return 'response_type has to be "code".'
    if asked.get("code_challenge") and asked.get("code_challenge_method") != "S256":
        return 'code_challenge_method has to be "S256".'
    return None


def _back(url: str, told: Mapping[str, str]) -> str:
    return html.escape(f"{url}{'&' if '?' in url else '?'}{urlencode(told)}")


def _page(status: int, heading: str, content: str) -> Outgoing:
    return Outgoing(status=status, headers=_HEADERS, body=_PAGE.format(heading=heading, content=content).encode())
