"""Whether a caller of a simulated partner is known: the token it carries, its account, and its signature, checked as the partner would."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote

from oauthlib.oauth1.rfc5849 import signature as oauth1

from polyport.engine.signatures import Incoming as Signed
from polyport.engine.signatures import SignatureCheck, Unsigned
from polyport.kinds.filters import FILTERS
from polyport.manifest.proofs import Credentials, SignedCalls
from polyport.paths import MISSING, get
from polyport.template import RenderFault, compile_value, to_text
from polyport.testing.bodies import Malformed
from polyport.testing.tokens import Tokens, basic_pair
from polyport.testing.traffic import Incoming

NONCES: Final = 10_000
_CREDENTIAL: Final = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=([^/,\s]+)/(\d{8})/([^/,\s]+)/([^/,\s]+)/aws4_request,\s*SignedHeaders=([a-z0-9;_-]+),\s*Signature=([0-9a-f]{64})"
)


class Gate:
    """A partner's ``auth``, compiled: it knows its callers."""

    def __init__(self, auth: Credentials, tokens: Tokens) -> None:
        self._auth = auth
        self._tokens = tokens
        self._paths = [
            re.compile(re.escape(pattern).replace(r"\{token\}", "([^/]+)") + "(?=/|$)" * pattern.endswith("}")) for pattern in auth.path
        ]
        signed = auth.signed
        self._check = SignatureCheck(signed.signature) if signed is not None and signed.signature is not None else None
        self._key_id = compile_value(signed.key_id, FILTERS) if signed is not None and signed.key_id is not None else None
        self._nonces: dict[tuple[str, str], None] = {}

    def token(self, request: Incoming) -> str:
        """The token that a request carries, or an empty text. Of Basic credentials it is the user, or the password where there is no user."""
        auth = self._auth
        for pattern in self._paths:
            found = pattern.match(request.path)
            if found is not None:
                return unquote(found[1])
        for name in auth.headers:
            value = request.header(name.lower()).strip()
            if value and name.lower() != "authorization":
                return value
        if auth.bearer or any(name.lower() == "authorization" for name in auth.headers):
            token = _authorization(request)
            if token:
                return token
        return self._elsewhere(request)

    def _elsewhere(self, request: Incoming) -> str:
        auth = self._auth
        query = request.parameters() if auth.query else {}
        found = _first_text(query.get(name) for name in auth.query)
        if not found and auth.cookies:
            pairs = (pair.strip().partition("=") for pair in request.header("cookie").split(";"))
            found = next((value for name, _, value in pairs if name in auth.cookies), "")
        if not found and auth.body:
            try:
                body = request.content()
            except Malformed:
                return ""
            found = _first_text(get(body, path) for path in auth.body)
        return found

    def plain_path(self, path: str) -> str:
        """The path without the token in it."""
        for pattern in self._paths:
            found = pattern.match(path)
            if found is not None:
                return path[: found.start(1)] + path[found.end(1) :]
        return path

    def knows(self, request: Incoming, now: datetime) -> bool:
        """Whether the caller may come in."""
        auth = self._auth
        scope = {"header": request.named_headers(), "query": request.parameters()}
        if not all(condition.holds(scope) for condition in auth.all_of):
            return False
        if auth.signed is not None:
            return self._is_signed(auth.signed, request, now)
        user, password = basic_pair(request.header("authorization"))
        if user or password:
            if auth.basic == "refused" or (auth.accounts and auth.accounts.get(user) != password):
                return False
        elif auth.basic == "required":
            return False
        token = self.token(request)
        if not token or token in auth.refused:
            return False
        judged = self._tokens.judge(token, now.timestamp())
        return judged if judged is not None else not auth.issued

    def _is_signed(self, spec: SignedCalls, request: Incoming, now: datetime) -> bool:
        if spec.kind == "sigv4":
            return is_sigv4(request, self._auth.accounts, now, spec.tolerance)
        if spec.kind == "oauth1":
            return self._is_oauth1(spec, request, now)
        secret = self._secret(request)
        sent = Signed(method=request.method, url=request.url(), headers=request.headers, body=request.body)
        try:
            if self._check is not None:
                self._check.check(sent, secret, now)
        except Unsigned:
            return False
        return secret is not None

    def _secret(self, request: Incoming) -> str | None:
        accounts = self._auth.accounts
        if self._key_id is None:
            return next(iter(accounts.values()), None)
        try:
            body = request.content()
            scope = {"header": request.named_headers(), "query": request.parameters()} | ({} if body is MISSING else {"body": body})
            name = self._key_id.render(scope)
            return accounts.get(to_text(name)) if name is not MISSING else None
        except (Malformed, RenderFault):
            return None

    def _is_oauth1(self, spec: SignedCalls, request: Incoming, now: datetime) -> bool:
        told = _oauth_parameters(request)
        secret = self._auth.accounts.get(told.get("oauth_consumer_key", ""))
        token_secret = spec.tokens.get(told["oauth_token"]) if "oauth_token" in told else ""
        stamp, nonce = told.get("oauth_timestamp", ""), told.get("oauth_nonce", "")
        if secret is None or token_secret is None or not (stamp.isdigit() and len(stamp) < 12 and nonce):
            return False
        if abs(int(stamp) - now.timestamp()) > spec.tolerance or (stamp, nonce) in self._nonces:
            return False
        if not is_oauth1(request, told, secret, token_secret):
            return False
        self._nonces[stamp, nonce] = None
        while len(self._nonces) > NONCES:
            del self._nonces[next(iter(self._nonces))]
        return True


def _first_text(values: Iterable[Any]) -> str:
    return next((value for value in values if isinstance(value, str) and value), "")


def _authorization(request: Incoming) -> str:
    scheme, _, token = request.header("authorization").strip().partition(" ")
    if scheme.lower() == "basic":
        user, password = basic_pair(request.header("authorization"))
        return user or password
    return token.strip()


def _oauth_parameters(request: Incoming) -> dict[str, str]:
    """The parameters of OAuth 1.0 in the header, or else in the query (RFC 5849, 3.5)."""
    scheme, _, text = request.header("authorization").strip().partition(" ")
    if scheme.lower() == "oauth":
        pairs = (part.strip().partition("=") for part in text.split(",")[:50])
        return {unquote(name): unquote(value.strip('"')) for name, _, value in pairs}
    return {name: value for name, value in request.parameters().items() if isinstance(value, str) and name.startswith("oauth_")}


def is_oauth1(request: Incoming, told: Mapping[str, str], secret: str, token_secret: str) -> bool:
    """Whether a signature is that of RFC 5849, 3.4, with HMAC-SHA1, HMAC-SHA256 or PLAINTEXT. The realm is not signed."""
    method, signed = told.get("oauth_signature_method", ""), told.get("oauth_signature", "")
    key = f"{quote(secret, safe='~')}&{quote(token_secret, safe='~')}"
    if method == "PLAINTEXT":
        return hmac.compare_digest(key.encode(), signed.encode())
    digest = {"HMAC-SHA1": "sha1", "HMAC-SHA256": "sha256"}.get(method)
    if digest is None:
        return False
    is_form = request.header("content-type").partition(";")[0].strip() == "application/x-www-form-urlencoded"
    body = parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True) if is_form else []
    try:
        parameters: Any = list(body)
        parameters += [pair for pair in told.items() if pair[0] not in {"realm", "oauth_signature"}]
        parameters += [pair for pair in parse_qsl(request.query, keep_blank_values=True) if not pair[0].startswith("oauth_")]
        address = oauth1.base_string_uri(request.url())
    except ValueError:
        return False
    verb: Any = request.method
    base = oauth1.signature_base_string(verb, address, oauth1.normalize_parameters(parameters))
    wanted = base64.b64encode(hmac.digest(key.encode(), base.encode(), digest))
    return hmac.compare_digest(wanted, signed.encode())


def is_sigv4(request: Incoming, accounts: Mapping[str, str], now: datetime, tolerance: int) -> bool:
    """Whether a request is signed as AWS Signature Version 4 asks, in its header form. ``UNSIGNED-PAYLOAD`` is taken where the service is S3."""
    found = _CREDENTIAL.fullmatch(request.header("authorization").strip())
    stamp = request.header("x-amz-date")
    if found is None or found[1] not in accounts or not stamp.startswith(found[2]):
        return False
    key_id, day, region, service, names, signed = found.groups()
    try:
        moment = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return False
    told = request.header("x-amz-content-sha256")
    actual = hashlib.sha256(request.body).hexdigest()
    if abs((moment - now).total_seconds()) > tolerance or (told and told not in {actual, "UNSIGNED-PAYLOAD"}):
        return False
    if (told == "UNSIGNED-PAYLOAD" and service != "s3") or "host" not in names.split(";"):
        return False
    headers = "".join(f"{name}:{_folded(request, name)}\n" for name in names.split(";"))
    canonical = "\n".join(
        [request.method, _canonical_path(request.path, service), _canonical_query(request.query), headers, names, told or actual]
    )
    scope = f"{day}/{region}/{service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{accounts[key_id]}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex(), signed)


def _folded(request: Incoming, name: str) -> str:
    return ",".join(" ".join(value.split()) for key, value in request.headers if key == name)


def _canonical_path(path: str, service: str) -> str:
    """S3 signs the path as it is sent; every other service signs it encoded once more, without dot segments and doubled slashes."""
    if service == "s3":
        return path or "/"
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            kept = kept[:-1]
        elif segment not in {"", "."}:
            kept.append(quote(segment, safe="~"))
    return "/" + "/".join(kept) + ("/" if kept and path.endswith("/") else "")


def _canonical_query(query: str) -> str:
    pairs = [(quote(name, safe="~"), quote(value, safe="~")) for name, value in parse_qsl(query, keep_blank_values=True)]
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))
