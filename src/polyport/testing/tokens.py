"""Tokens that a simulated partner hands out: how long they last, and what becomes of refresh tokens that are used twice."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from polyport.kinds.auth.oauth2 import challenge_of
from polyport.kinds.filters import FILTERS
from polyport.manifest.proofs import TokenIssue
from polyport.paths import get
from polyport.template import Scope, compile_value, to_text

HELD: Final = 10_000


class Untaken(ValueError):
    """A request for a token that is not served; ``reason`` is the word of RFC 6749, 5.2."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True, kw_only=True)
class _Family:
    """All tokens that go back to one consent. ``current`` is the refresh token that serves next."""

    alive: bool = True
    current: str = ""


class Tokens:
    """The tokens in memory; at most ``HELD`` of each kind, the oldest are forgotten and then count as never seen."""

    def __init__(self, fresh_id: Callable[[], str]) -> None:
        self._fresh_id = fresh_id
        self._access: dict[str, tuple[float, _Family]] = {}
        self._refresh: dict[str, _Family] = {}
        self._codes: set[str] = set()
        self._granted: dict[str, tuple[str, str]] = {}

    def reset(self) -> None:
        """Forget all."""
        self._access.clear()
        self._refresh.clear()
        self._codes.clear()
        self._granted.clear()

    def grant_code(self, challenge: str, redirect_uri: str) -> str:
        """A code for a sign-in: it serves with the verifier of ``challenge`` (if there is one) and the same address alone."""
        code = f"code-{self._fresh_id()}"
        self._granted[code] = (challenge, redirect_uri)
        while len(self._granted) > HELD:
            del self._granted[next(iter(self._granted))]
        return code

    def judge(self, token: str, now: float) -> bool | None:
        """Whether an access token that was handed out here still serves; ``None`` for one that was not."""
        held = self._access.get(token)
        return None if held is None else held[1].alive and now < held[0]

    def check_code(self, code: str, verifier: str, redirect_uri: str) -> None:
        """Whether a code of ``grant_code`` comes with what it was given for; others are not known, and pass. Raises ``Untaken``."""
        challenge, wanted = self._granted.get(code, ("", redirect_uri))
        if redirect_uri != wanted or (challenge and challenge_of(verifier) != challenge):
            raise Untaken("invalid_grant")

    def issue(self, grant: str, *, refresh: str, code: str, rotates: bool, seconds: int, now: float) -> dict[str, Any]:
        """New tokens for a grant. Raises ``Untaken``."""
        family = self._family(grant, refresh=refresh, code=code, rotates=rotates)
        access = f"access-{self._fresh_id()}-{len(self._access)}"
        self._access[access] = (now + seconds, family)
        if rotates or not family.current:
            family.current = f"refresh-{self._fresh_id()}-{len(self._refresh)}"
            self._refresh[family.current] = family
        for held in (self._access, self._refresh):
            while len(held) > HELD:
                del held[next(iter(held))]
        return {"access": access, "refresh": family.current, "seconds": seconds}

    def _family(self, grant: str, *, refresh: str, code: str, rotates: bool) -> _Family:
        if grant == "refresh_token":
            if not refresh:
                raise Untaken("invalid_request")
            # A refresh token that was never handed out here begins a family: people bring made-up ones.
            family = self._refresh.setdefault(refresh, _Family(current=refresh))
            if rotates and family.current != refresh:
                family.alive = False  # used a second time: one of the two holders is a thief (RFC 9700, 4.14.2)
            if not family.alive:
                raise Untaken("invalid_grant")
            return family
        if grant == "authorization_code":
            if not code or code in self._codes:
                raise Untaken("invalid_grant")
            if len(self._codes) >= HELD:
                self._codes.clear()
            self._codes.add(code)
        return _Family()


class TokenDesk:
    """One token route, compiled."""

    def __init__(self, spec: TokenIssue, tokens: Tokens, refused: tuple[str, ...]) -> None:
        self._spec = spec
        self._tokens = tokens
        self._refused = refused
        self._texts = {name: compile_value(getattr(spec, name), FILTERS) for name in ("grant", "refresh", "code", "user", "password")}

    def serve(self, scope: Scope, now: float) -> dict[str, Any]:
        """Tokens for a request. Raises ``Untaken``."""
        spec, given = self._spec, {name: self._text(name, scope) for name in self._texts}
        if spec.clients and not _is_client(spec.clients, scope):
            raise Untaken("invalid_client")
        if given["grant"] not in spec.grants:
            raise Untaken("unsupported_grant_type")
        if {given["refresh"], given["code"]} & set(self._refused):
            raise Untaken("invalid_grant")
        wants_user = given["grant"] == "password" and spec.users
        if wants_user and (not given["password"] or spec.users.get(given["user"]) != given["password"]):
            raise Untaken("invalid_grant")
        if given["grant"] == "authorization_code":
            proof = [get(scope, ("body", name)) for name in ("code_verifier", "redirect_uri")]
            verifier, redirect_uri = (text if isinstance(text, str) and text.isascii() else "" for text in proof)
            self._tokens.check_code(given["code"], verifier, redirect_uri)
        return self._tokens.issue(
            given["grant"], refresh=given["refresh"], code=given["code"], rotates=spec.rotates, seconds=spec.seconds, now=now
        )

    def _text(self, name: str, scope: Scope) -> str:
        value = self._texts[name].render(scope)
        return to_text(value) if isinstance(value, str | int) else ""


def _is_client(clients: dict[str, str], scope: Scope) -> bool:
    name, secret = basic_pair(str(scope["header"].get("authorization", "")))
    if not name:
        name, secret = (
            found if isinstance(found, str) else "" for found in (get(scope, ("body", key)) for key in ("client_id", "client_secret"))
        )
    return name in clients and clients[name] == secret


def basic_pair(header: str) -> tuple[str, str]:
    """User and password of an ``Authorization: Basic`` header; empty texts where it is none."""
    scheme, _, token = header.strip().partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(token.strip(), validate=True).decode("utf-8", "replace").partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return user, password
