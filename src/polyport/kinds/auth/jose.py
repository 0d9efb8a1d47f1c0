"""Signed tokens (JWS, RFC 7515; JWT, RFC 7519) for the kinds that prove a connection with a key of its own."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec

from polyport.template import RenderFault

Algorithm = Literal["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA"]

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


def signed_token(algorithm: Algorithm, key: str | bytes, claims: Mapping[str, Any] | bytes, header: Mapping[str, Any] | None = None) -> str:
    """A compact JWS over the claims (or these very bytes). ``key`` is the shared secret (HS...) or a private key in PEM.

    Raises ``RenderFault`` when the key does not fit the algorithm; nothing of it is repeated.
    """
    from joserfc import jws  # noqa: PLC0415  few partners want signed tokens: a server starts faster without
    from joserfc.errors import JoseError  # noqa: PLC0415  as above

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
    from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey  # noqa: PLC0415  as above

    if algorithm.startswith("HS"):
        return OctKey.import_key(key)
    kinds: Mapping[str, type[RSAKey | ECKey | OKPKey]] = {"RS": RSAKey, "PS": RSAKey, "ES": ECKey, "Ed": OKPKey}
    kind = kinds[algorithm[:2]]
    # Keys that came through a one-line form field have their line breaks written out.
    text = key.decode("utf-8", "replace") if isinstance(key, bytes) else key
    found = kind.import_key(text.replace("\\n", "\n").strip())
    if not found.is_private:
        raise ValueError("a public key signs nothing")
    return found
