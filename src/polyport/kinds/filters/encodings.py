"""Filters that encode texts and make digests of them. Texts are in UTF-8."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import html
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

import re2

from polyport.kinds.filters.limits import bounded, bytes_of, choice_of, text_of
from polyport.kinds.filters.markup import unescaped
from polyport.template import Filter, RenderFault

_ALGORITHMS: Final[Mapping[str, str]] = {name: name for name in ("md5", "sha1", "sha256", "sha512")}
_DIGESTS: Final[Mapping[str, Callable[[bytes], str]]] = {
    "hex": bytes.hex,
    "base64": lambda digest: base64.b64encode(digest).decode(),
    "base64url": lambda digest: base64.urlsafe_b64encode(digest).decode().rstrip("="),
}
_MARKDOWN: Final = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_{}[]<>()#+-.!|~&=:"})
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


def hmac_is(value: Any, signature: Any, key: Any, algorithm: Any = "sha256", encoding: Any = "hex") -> bool:
    """Whether a signature is the keyed digest (HMAC) of the text. The comparison tells nothing by its time.

    Arguments: the signature, then as in ``hmac``; capitals do not count in hex, and padding does not in base64.
    ``{{"Ada" | hmac_is: "F9BADC8818073CB250AEB7CF4C18BA47", "key", "md5"}}`` gives ``true``.
    """
    digest, given = to_hmac(value, key, algorithm, encoding), text_of(signature).strip()
    given = given.lower() if encoding == "hex" else given
    return hmac.compare_digest(digest.rstrip("=").encode(), bytes_of(given.rstrip("=")))


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


def escape_html(value: Any) -> str:
    """The text as it can stand in HTML and XML, between tags and in quoted attributes.

    ``{{"<b> & 'c'" | escape_html}}`` gives ``"&lt;b&gt; &amp; &#x27;c&#x27;"``.
    """
    return bounded(html.escape(text_of(value)))


def unescape_html(value: Any) -> str:
    """The text with HTML's entities as characters. What it gives is not safe to show as HTML.

    ``{{"caf&eacute; &#60;" | unescape_html}}`` gives ``"café <"``.
    """
    return bounded(unescaped(text_of(value)))


def escape_markdown(value: Any) -> str:
    r"""The text as it can stand in Markdown, a backslash before every sign that may mean something there. Line breaks and spaces stay.

    ``{{"*1* [a]" | escape_markdown}}`` gives ``"\\*1\\* \\[a\\]"``.
    """
    return bounded(text_of(value).translate(_MARKDOWN))


def escape_pattern(value: Any) -> str:
    r"""The text as a regular expression that finds just this text.

    ``{{"1.5" | escape_pattern}}`` gives ``"1\\.5"``.
    """
    return bounded(str(re2.escape(bytes_of(value).decode())))


_CONVERSIONS: Final[Mapping[str, Callable[[Any], str]]] = {
    "base64": to_base64,
    "unbase64": from_base64,
    "url_encode": url_encode,
    "url_decode": url_decode,
    "escape_html": escape_html,
    "unescape_html": unescape_html,
    "escape_markdown": escape_markdown,
    "escape_pattern": escape_pattern,
}


def encode(value: Any, conversion: Any) -> str:
    """The text under a conversion that is itself a value: the name of one of the other filters of this part that take no arguments.

    ``{{"Ada" | encode: "base64"}}`` gives ``"QWRh"``.
    """
    return choice_of(conversion, _CONVERSIONS, "conversion")(value)


ENCODINGS: Final[dict[str, Filter]] = {
    "base64": to_base64,
    "unbase64": from_base64,
    "hash": to_hash,
    "hmac": to_hmac,
    "hmac_is": hmac_is,
    "url_encode": url_encode,
    "url_decode": url_decode,
    "escape_html": escape_html,
    "unescape_html": unescape_html,
    "escape_markdown": escape_markdown,
    "escape_pattern": escape_pattern,
    "encode": encode,
}
