r"""Keeps secrets out of whatever is shown or recorded: known values wherever they occur, and whatever is named like a credential.

Known values are found in these forms (``forms``), which the leak detector of ``polyport.testing`` searches for as well:

- ``plain``    the value itself
- ``escaped``  with its special characters as URLs, JSON, JavaScript or HTML write them, once or nested (``%2F``, ``%252F``, ``\/``,
  ``\u002f``, ``\\u002f``, ``\x2f``, ``&#47;``, ``&#x2f;``, ``&amp;``, ``+`` for a space)
- ``percent``, ``unicode``, ``html``  with every single character written as ``%XX``, ``\uXXXX`` or ``&#N;`` (up to 256 bytes)
- ``hex``      the bytes in hexadecimal, either case
- ``base64``   anywhere inside base64 or base64url text, at each of the three alignments: so also in ``Basic`` credentials and JWT

A secret of fewer than four characters would blot out ordinary text: it is masked only where it is a whole value.
One of more than 4,096 characters is masked as a whole in its plain, JSON, percent and base64 writings.
All searches are linear in the text (RE2), whatever a partner answers.
"""

from __future__ import annotations

import base64
import html.entities
import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote_plus

import re2

from polyport.net.message import Pairs

MASK: Final = "[secret]"
TOO_DEEP: Final = "[too deep]"
SHORTEST: Final = 4
LONGEST: Final = 4096
DEEPEST: Final = 200
_WHOLLY_ESCAPED: Final = 256
_LONGEST_KEY: Final = 32

# Keys of JSON, forms and XML whose value is a credential, whatever it is. Case, "_", "-" and spaces make no difference.
CREDENTIAL_KEYS: Final = (
    "access key", "access token", "api key", "api secret", "api token", "app secret", "auth token", "authorization", "bearer token",
    "client assertion", "client secret", "code verifier", "consumer secret", "device code", "id token", "oauth token", "oauth token secret",
    "pass phrase", "passwd", "password", "private key", "refresh token", "secret", "secret access key", "secret key", "security token",
    "session id", "session token", "shared secret", "signing secret", "token", "webhook secret",
)  # fmt: skip
_CREDENTIAL_KEYS: Final = frozenset(name.replace(" ", "") for name in CREDENTIAL_KEYS)

# Names of headers and query parameters. "tokens" are counted, page tokens say where to go on: neither is a credential.
_SECRET_NAME: Final = re.compile(
    r"token|secret|passw|passphrase|pwd|api-?key|access-?key|private-?key|signature|authori[sz]ation|credential|session|cookie|assertion"
    r"|(^|-)(auth|jwt|sig|key|code|otp|hapikey)$"
)
_HARMLESS_NAME: Final = re.compile(r"tokens|(page|sync|cursor|continuation)-?token$|token-(type|expires?)|idempotency-key$|cache-key$")

_FOLD: Final = str.maketrans("", "", "_- ")


class Redactor:
    """Masks these secrets, in every form, in all that goes through it. Cheap to make again with the same secrets; shows nothing."""

    __slots__ = ("_long", "_numeric", "_pattern", "_whole")

    def __init__(self, secrets: Iterable[str]) -> None:
        self._whole, self._long, self._pattern, self._numeric = _compiled(frozenset(secrets))

    def text(self, text: str) -> str:
        """The text with all secrets masked, and the values of ``CREDENTIAL_KEYS`` in what looks like JSON, a form or XML."""
        if text in self._whole:
            return MASK
        data = text.encode("utf-8", "surrogatepass")
        return self._bytes(data).decode("utf-8", "surrogatepass") if self._touches(data) else text

    def value(self, value: Any) -> Any:
        """A JSON-like value (its keys too) with all secrets masked, and wholly what stands under one of ``CREDENTIAL_KEYS``.

        Returns the very same object when there was nothing to mask. What lies deeper than 200 levels is left out.
        """
        texts = _texts(value, numbers=self._numeric)
        return value if texts is not None and self._clean(texts) else self._masked(value, 0)

    def headers(self, pairs: Pairs) -> Pairs:
        """Headers with all secrets masked, and wholly the values of headers that carry credentials."""
        shown = named_headers(pairs)
        if self._clean([value for _, value in shown]):
            return shown
        return tuple((name, self.text(value)) for name, value in shown)

    def together(self, texts: list[str]) -> list[str]:
        """Each of these texts with all secrets masked: one search over all of them, which nearly always finds nothing."""
        return texts if self._clean(texts) else [self.text(text) for text in texts]

    def url(self, url: str) -> str:
        """The URL without user and password, with all secrets masked, and wholly the parameters that are named like a credential."""
        base, hashed, fragment = self.text(url).partition("#")
        base, asked, query = base.partition("?")
        scheme, separator, rest = base.partition("://")
        authority, slash, path = rest.partition("/")
        host = authority.rpartition("@")[2]
        if not separator:
            scheme, host, slash, path = "", base, "", ""
        return f"{scheme}{separator}{host}{slash}{path}{asked}{_parameters(query)}{hashed}{_parameters(fragment)}"

    def _clean(self, texts: list[str]) -> bool:
        # One search over everything costs a fraction of one for each; nearly always it finds nothing.
        return self._whole.isdisjoint(texts) and not self._touches("\n".join(texts).encode("utf-8", "surrogatepass"))

    def _touches(self, data: bytes) -> bool:
        if _ASSIGNED.search(data) is not None or (self._pattern is not None and self._pattern.search(data) is not None):
            return True
        return bool(self._long) and any(long in data for long in self._long)

    def _bytes(self, data: bytes) -> bytes:
        for long in self._long:
            data = data.replace(long, _MASK)
        if self._pattern is not None:
            data = self._pattern.sub(lambda _: _MASK, data)
        shown: bytes = _ASSIGNED.sub(_keep_name, data)
        return shown

    def _masked(self, value: Any, depth: int) -> Any:
        if depth > DEEPEST:
            return TOO_DEEP
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {
                self.text(key): MASK if _is_credential(key) and _is_filled(item) else self._masked(item, depth + 1)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._masked(item, depth + 1) for item in value]
        if self._numeric and isinstance(value, int | float) and self.text(str(value)) != str(value):
            return MASK
        return value

    def __repr__(self) -> str:
        return "<Redactor>"


def named_headers(pairs: Pairs) -> Pairs:
    """Headers with the values of those that carry credentials masked wholly; the others as they are."""
    return tuple([(pair[0], MASK) if pair[1] and _judge(pair[0][:100]) else pair for pair in pairs])


def mask(secret: str) -> str:
    """What may be shown of a secret so that its owner knows it again: the last four of at least twelve characters, else nothing."""
    return "••••" + (secret[-4:] if len(secret) >= 12 else "")


def forms(secret: str) -> Iterator[tuple[str, str]]:
    """Each form in which a secret can be met: its name and an RE2 pattern over UTF-8 bytes (compile with ``compile_bytes``).

    ``escaped`` matches the plain form too, and is left out when the secret has no special characters.
    """
    data = secret.encode("utf-8", "surrogatepass")
    yield "plain", _literal(data)
    if not (secret.isascii() and secret.isalnum()):
        yield "escaped", "".join(char if char.isascii() and char.isalnum() else _escapes(char) for char in secret)
    if len(data) <= _WHOLLY_ESCAPED:
        yield "percent", "".join(_percent(byte) for byte in data)
        yield "unicode", "".join(_unicode(char) for char in secret)
        yield "html", "".join(_reference(char) for char in secret)
    yield "hex", "".join(_hex(f"{byte:02x}") for byte in data)
    yield "base64", "|".join(_base64(data, shift) for shift in range(3))


def compile_bytes(pattern: str) -> Any:
    """An RE2 pattern that searches bytes and prefers the longest match."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.longest_match = True
    options.log_errors = False
    options.max_mem = 256 << 20  # a ceiling for very many long secrets; usual ones take kilobytes
    return re2.compile(pattern.encode("ascii"), options)


@lru_cache(maxsize=512)
def _compiled(secrets: frozenset[str]) -> tuple[frozenset[str], tuple[bytes, ...], Any, bool]:
    whole = {variant for secret in secrets for variant in (secret, secret.strip()) if variant}
    long = sorted((form for secret in whole if len(secret) > LONGEST for form in _writings(secret)), key=len, reverse=True)
    usual = sorted(secret for secret in whole if SHORTEST <= len(secret) <= LONGEST)
    patterns = [f"(?:{pattern})" for secret in usual for _, pattern in forms(secret)]
    numeric = any(re.fullmatch(r"[0-9.eE+-]+", secret) for secret in whole)
    return frozenset(whole), tuple(long), compile_bytes("|".join(patterns)) if patterns else None, numeric


def _writings(secret: str) -> Iterator[bytes]:
    data = secret.encode("utf-8", "surrogatepass")
    yield data
    for text in (
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(data, safe=""),
        quote(data),
        quote_plus(data),
    ):
        yield text.encode("utf-8", "surrogatepass")
    yield base64.b64encode(data).rstrip(b"=")
    yield base64.urlsafe_b64encode(data).rstrip(b"=")


def _texts(value: Any, *, numbers: bool) -> list[str] | None:
    # Every string inside, and numbers as text if asked for. None: something is masked by its key, or lies too deep.
    texts: list[str] = []
    level = [value]
    for _ in range(DEEPEST + 1):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, str):
                texts.append(item)
            elif isinstance(item, dict):
                for key, part in item.items():
                    if len(key) <= _LONGEST_KEY and _is_listed(key) and _is_filled(part):
                        return None
                    texts.append(key)
                    inner.append(part)
            elif isinstance(item, list | tuple):
                inner.extend(item)
            elif numbers and isinstance(item, int | float):
                texts.append(str(item))
        if not inner:
            return texts
        level = inner
    return None


def _is_filled(value: Any) -> bool:
    return value is not None and value != "" and not isinstance(value, bool)


def _is_credential(key: str) -> bool:
    return len(key) <= _LONGEST_KEY and _is_listed(key)


@lru_cache(maxsize=4096)
def _is_listed(key: str) -> bool:
    return key.lower().translate(_FOLD) in _CREDENTIAL_KEYS


@lru_cache(maxsize=2048)
def _judge(name: str) -> bool:
    folded = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[_ .]", "-", name).lower()
    return _SECRET_NAME.search(folded) is not None and _HARMLESS_NAME.search(folded) is None


def _names_secret(name: str) -> bool:
    return _judge(name[:100])


def _parameters(query: str) -> str:
    shown = []
    for pair in query.split("&"):
        name, equals, value = pair.partition("=")
        shown.append(f"{name}={MASK}" if value and _names_secret(unquote_plus(name)) else f"{name}{equals}{value}")
    return "&".join(shown)


def _keep_name(match: Any) -> bytes:
    kept: bytes = next(group for group in match.groups() if group is not None)
    return kept + _MASK + (b"@" if kept == b"://" else b"")


def _literal(data: bytes) -> str:
    return "".join(_BYTES[byte] for byte in data)


def _hex(digits: str) -> str:
    return "".join(digit if digit.isdigit() else f"[{digit}{digit.upper()}]" for digit in digits)


def _percent(byte: int) -> str:
    return "%(?:25)*" + _hex(f"{byte:02x}")


def _unicode(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(r"\\+u" + _hex(units[start : start + 2].hex()) for start in range(0, len(units), 2))


def _reference(char: str) -> str:
    code = ord(char)
    return f"&(?:amp;)*#(?:0*{code}|[xX]0*{_hex(f'{code:x}')});"


@lru_cache(maxsize=256)
def _escapes(char: str) -> str:
    data = char.encode("utf-8", "surrogatepass")
    found = [_literal(data), "".join(_percent(byte) for byte in data), _unicode(char), _reference(char)]
    if char.isascii():
        found.append(r"\\+" + _literal(data))
    if name := _ENTITIES.get(ord(char)):
        found.append(f"&(?:amp;)*{name};")
    if letter := _LETTERS.get(char):
        found.append(r"\\+" + letter)
    if char == " ":
        found.append(r"\+")
    if ord(char) < 256:
        found.append(r"\\+x" + _hex(f"{ord(char):02x}"))
    return f"(?:{'|'.join(found)})"


def _base64(data: bytes, shift: int) -> str:
    # Inside longer base64 the secret starts at one of three alignments. The characters at its edges hold some bits of its
    # neighbours: there every value of those bits is taken, so that the match has nothing left of the secret beside it.
    text = base64.b64encode(bytes(shift) + data).rstrip(b"=").decode()
    text = text[8 * shift // 6 :]
    before, after = 8 * shift % 6, -8 * (shift + len(data)) % 6
    first, last = _ALPHABET.index(text[0]), _ALPHABET.index(text[-1])
    inner = "".join(_SPECIAL.get(char, char) for char in text[1:-1])
    return "".join(
        [
            _sextets(frozenset(first | bits << (6 - before) for bits in range(1 << before))),
            inner,
            _sextets(frozenset(last | bits for bits in range(1 << after))),
        ]
    )


def _sextets(values: frozenset[int]) -> str:
    plain = "".join(_ALPHABET[value] for value in sorted(values) if value < 62)
    found = [f"[{plain}]"] if plain else []
    if 62 in values:
        found += [r"[\x2b-]", "%(?:25)*2[Bb]"]
    if 63 in values:
        found += [r"[\x2f_]", r"%(?:25)*2[Ff]", r"\\+\x2f"]
    return found[0] if len(found) == 1 else f"(?:{'|'.join(found)})"


_MASK: Final = MASK.encode()
_BYTES: Final = tuple(chr(byte) if chr(byte).isascii() and chr(byte).isalnum() else rf"\x{byte:02x}" for byte in range(256))
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_SPECIAL: Final = {"+": _sextets(frozenset({62})), "/": _sextets(frozenset({63}))}
_ENTITIES: Final = {**html.entities.codepoint2name, ord("'"): "apos"}
_LETTERS: Final = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}
_NAMES: Final = "(?:" + "|".join(name.replace(" ", "[_ -]?") for name in CREDENTIAL_KEYS) + ")"
# Name and value as they stand in JSON (plain, and inside a JSON string), in a form or query, in XML, and before the host of a URL.
# The value may be cut off. Each group is what stays.
_ASSIGNED: Final = compile_bytes(
    rf'(?i)("{_NAMES}"\s*:\s*")(?:[^"\\]|\\(?s:.))+'
    rf'|(\\+"{_NAMES}\\+"\s*:\s*\\+")[^"\\](?:[^"]*[^"\\])?'
    rf'|(\\*"{_NAMES}\\*"\s*:\s*)-?[0-9][0-9.eE+-]*'
    rf"|((?:^|[?&\s;,]){_NAMES}=)[^&\s;,\"'<>]+"
    rf"|(<(?:[a-z0-9]+:)?{_NAMES}(?:\s[^<>]*)?>)[^<]+"
    r"|(://)[^/?#\s@\"'<>]*:[^/?#\s@\"'<>]*@"
)
