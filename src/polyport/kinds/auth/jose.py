"""Signed tokens (JWS, RFC 7515; JWT, RFC 7519) for the kinds that prove a connection with a key of its own."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from polyport.template import RenderFault

Algorithm = Literal["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA"]

_KINDS: Final[Mapping[str, type[OctKey | RSAKey | ECKey | OKPKey]]] = {
    "HS": OctKey,
    "RS": RSAKey,
    "PS": RSAKey,
    "ES": ECKey,
    "Ed": OKPKey,
}
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


def signed_token(algorithm: Algorithm, key: str | bytes, claims: Mapping[str, Any] | bytes, header: Mapping[str, Any] | None = None) -> str:
    """A compact JWS over the claims (or these very bytes). ``key`` is the shared secret (HS...) or a private key in PEM.

    Raises ``RenderFault`` when the key does not fit the algorithm; nothing of it is repeated.
    """
    payload = claims if isinstance(claims, bytes) else _ENCODER.encode(claims)
    protected = {"alg": algorithm, **(header or {})}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a partner's short secret is the partner's choice: there is no other to sign with
            return jws.serialize_compact(protected, payload, _imported(algorithm, key), algorithms=[algorithm])
    except (JoseError, ValueError, TypeError):
        needed = "a shared secret" if algorithm.startswith("HS") else f"a private key in PEM that fits {algorithm}"
        raise RenderFault(f"the key of the connection cannot sign: {needed} is needed, whole, with its first and last line") from None


@lru_cache(maxsize=64)
def _imported(algorithm: Algorithm, key: str | bytes) -> Any:
    kind = _KINDS[algorithm[:2]]
    if kind is OctKey:
        return OctKey.import_key(key)
    # Keys that came through a one-line form field have their line breaks written out.
    text = key.decode("utf-8", "replace") if isinstance(key, bytes) else key
    found = kind.import_key(text.replace("\\n", "\n").strip())
    if not found.is_private:
        raise ValueError("a public key signs nothing")
    return found
