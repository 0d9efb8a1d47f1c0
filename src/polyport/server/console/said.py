"""What the next page says of what was done, and what it shows this once: a key, the secret of a webhook, a link.

A form is answered by leading on to a page, so that to load that page anew does nothing twice. What it has to say until then is kept by the browser, in a cookie that
lasts for a minute, that no script reads, and that only this sign-in opens: it is encrypted by a key that is made of the sign-in's secret, of which the server keeps
a hash alone. The page that shows it takes it away.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from polyport.runtime import Runtime
from polyport.server.console.member import Member, base_path
from polyport.server.routing import Call

COOKIE: Final = "polyport_said"
SECONDS: Final = 60
LONGEST: Final = 3_500  # browsers keep cookies of 4,096 bytes
_NONCE: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What was done, in words; ``bad`` says that it was not. ``once`` is what is shown this once, by names that the page knows."""

    words: str = ""
    bad: bool = False
    once: Mapping[str, str] = field(default_factory=dict, repr=False)


class _Kept(msgspec.Struct):
    at: str
    words: str
    bad: bool
    once: dict[str, str]


NOTHING: Final = Said()
_DECODER: Final = msgspec.json.Decoder(_Kept)


def keep(runtime: Runtime, member: Member, path: str, said: Said) -> str:
    """The ``Set-Cookie`` header with what the page at a path of the console is to say."""
    plain = msgspec.json.encode(_Kept(at=path, words=said.words, bad=said.bad, once=dict(said.once)))
    nonce = secrets.token_bytes(_NONCE)
    sealed = nonce + AESGCM(member.seal).encrypt(nonce, plain, None)
    text = base64.urlsafe_b64encode(sealed).decode().rstrip("=")
    return _cookie(runtime, text, SECONDS) if len(text) <= LONGEST else _cookie(runtime, "", 0)


def take(call: Call, member: Member | None, path: str) -> tuple[Said, str | None]:
    """What this page is to say, and the header that takes it away; nothing for a page that it is not meant for."""
    text = call.http.cookies.get(COOKIE, "")
    if not text or member is None or call.http.method != "GET" or call.http.headers.get("hx-request"):
        return NOTHING, None
    gone = _cookie(call.engine.runtime, "", 0)
    try:
        sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        kept = _DECODER.decode(AESGCM(member.seal).decrypt(sealed[:_NONCE], sealed[_NONCE:], None))
    except (binascii.Error, ValueError, InvalidTag, msgspec.DecodeError):
        return NOTHING, gone
    if kept.at != path:
        return NOTHING, None
    return Said(words=kept.words, bad=kept.bad, once=kept.once), gone


def _cookie(runtime: Runtime, value: str, seconds: int) -> str:
    secure = "; Secure" if runtime.settings.origin.startswith("https:") else ""
    return f"{COOKIE}={value}; Path={base_path(runtime)}/console; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
