"""Filters that encode texts and make digests of them. Texts are in UTF-8."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

from polyport.kinds.filters.limits import bounded, bytes_of, choice_of, text_of
from polyport.template import Filter, RenderFault

_ALGORITHMS: Final[Mapping[str, str]] = {name: name for name in ("md5", "sha1", "sha256", "sha512")}
_DIGESTS: Final[Mapping[str, Callable[[bytes], str]]] = {
    "hex": bytes.hex,
    "base64": lambda digest: base64.b64encode(digest).decode(),
    "base64url": lambda digest: base64.urlsafe_b64encode(digest).decode().rstrip("="),
}
_URL_SAFE: Final = str.maketrans("-_", "+/")


def to_base64(value: Any) -> str:
    """Standard base64 of the text, with padding.

    ``{{"Ada" | base64}}`` gives ``"QWRh"``.
    """
    return bounded(base64.b64encode(bytes_of(value)).decode())


def from_base64(value: Any) -> str:
    """The text that base64 stands for; the standard and the URL alphabet are read, padding or not. What is not text in UTF-8 is refused.

    ``{{"QWRh" | unbase64}}`` gives ``"Ada"``.
    """
    plain = text_of(value).strip().rstrip("=").translate(_URL_SAFE)
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        raise RenderFault("this is not base64 of a text") from None


def to_hash(value: Any, algorithm: Any = "sha256", encoding: Any = "hex") -> str:
    """The digest of the text: md5, sha1, sha256 or sha512.

    Arguments: the algorithm, and how the digest is written: hex (small letters), base64 or base64url.
    ``{{"Ada" | hash: "md5"}}`` gives ``"1a382809b7c03f686e12dd15677c5497"``.
    """
    digest = hashlib.new(choice_of(algorithm, _ALGORITHMS, "algorithm"), bytes_of(value), usedforsecurity=False).digest()
    return choice_of(encoding, _DIGESTS, "encoding")(digest)


def to_hmac(value: Any, key: Any, algorithm: Any = "sha256", encoding: Any = "hex") -> str:
    """The keyed digest (HMAC, RFC 2104) of the text.

    Arguments: the key as text, the algorithm and the encoding as in ``hash``.
    ``{{"Ada" | hmac: "key", "md5"}}`` gives ``"f9badc8818073cb250aeb7cf4c18ba47"``.
    """
    digest = hmac.digest(bytes_of(key), bytes_of(value), choice_of(algorithm, _ALGORITHMS, "algorithm"))
    return choice_of(encoding, _DIGESTS, "encoding")(digest)


def url_encode(value: Any) -> str:
    """The text percent-encoded, as it can stand in any part of a URL.

    ``{{"a b&c" | url_encode}}`` gives ``"a%20b%26c"``.
    """
    return bounded(quote(bytes_of(value), safe=""))


def url_decode(value: Any) -> str:
    """The text that a percent-encoded one stands for; what is not text in UTF-8 is refused.

    ``{{"a%20b" | url_decode}}`` gives ``"a b"``.
    """
    try:
        return unquote_to_bytes(text_of(value)).decode()
    except UnicodeDecodeError:
        raise RenderFault("this is not percent-encoded text in UTF-8") from None


_CONVERSIONS: Final[Mapping[str, Callable[[Any], str]]] = {
    "base64": to_base64,
    "unbase64": from_base64,
    "url_encode": url_encode,
    "url_decode": url_decode,
}


def encode(value: Any, conversion: Any) -> str:
    """The text under a conversion that is itself a value: base64, unbase64, url_encode or url_decode.

    ``{{"Ada" | encode: "base64"}}`` gives ``"QWRh"``.
    """
    return choice_of(conversion, _CONVERSIONS, "conversion")(value)


ENCODINGS: Final[dict[str, Filter]] = {
    "base64": to_base64,
    "unbase64": from_base64,
    "hash": to_hash,
    "hmac": to_hmac,
    "url_encode": url_encode,
    "url_decode": url_decode,
    "encode": encode,
}
