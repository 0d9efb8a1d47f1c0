"""Passwords (argon2id) and the random tokens that stand for a signed-in caller.

Hashing takes tens of milliseconds and 24 MiB and lets go of the interpreter lock: call it in a thread, a few at a time.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import unicodedata
from enum import StrEnum
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from polyport.errors import Fault, ValidationFailed

LONGEST_PASSWORD: Final = 1024

# Above each of OWASP's equivalent minimums (19 MiB and 2 passes, 12 MiB and 3 passes, all with one lane).
_HASHER: Final = PasswordHasher(time_cost=3, memory_cost=24 * 1024, parallelism=1, hash_len=32, salt_len=16, type=Type.ID)
# No password leads to this hash, but it takes as long to find that out as with a real one.
_DUMMY: Final = "$argon2id$v=19$m={},t={},p={}${}${}".format(
    _HASHER.memory_cost,
    _HASHER.time_cost,
    _HASHER.parallelism,
    base64.b64encode(bytes(16)).rstrip(b"=").decode(),
    base64.b64encode(bytes(32)).rstrip(b"=").decode(),
)


class TokenPrefix(StrEnum):
    """What a token starts with, so that people and secret scanners can tell what they found."""

    SESSION = "ppt_"
    REFRESH = "ppr_"
    API_KEY = "ppk_"
    LINK = "ppl_"
    END_USER = "ppu_"
    CONSOLE = "ppc_"
    WELCOME = "ppw_"


def hash_password(password: str, *, path: str = "password") -> str:
    """The argon2id hash of a password of 1 to 1024 characters, salted, in PHC format.

    ``path`` is where the password stands in the body. Raises ``ValidationFailed`` for another length.
    """
    if not password:
        raise ValidationFailed.of(Fault(path=path, code="required", message="A password is needed."))
    if len(password) > LONGEST_PASSWORD:
        raise ValidationFailed.of(Fault(path=path, code="too_long", message=f"A password has at most {LONGEST_PASSWORD} characters."))
    return _HASHER.hash(_prepare(password))


def verify_password(password_hash: str | None, password: str) -> bool:
    """Whether the password is the one that was hashed.

    ``None`` (there is no such user) is false and takes the same time as a wrong password. So does a hash that cannot be read.
    A password that could never have been set is refused at once, whoever the user is.
    """
    if not 0 < len(password) <= LONGEST_PASSWORD:
        return False
    secret = _prepare(password)
    try:
        return _HASHER.verify(password_hash or _DUMMY, secret)
    except InvalidHashError:
        return verify_password(None, password)
    except VerificationError:
        return False


def needs_rehash(password_hash: str) -> bool:
    """Whether the hash was made with other parameters than today's: hash again after the next successful sign-in."""
    return _HASHER.check_needs_rehash(password_hash)


def new_token(prefix: str) -> tuple[str, bytes]:
    """A token of 256 random bits behind ``prefix`` (see ``TokenPrefix``), and the digest of it: only that is stored."""
    text = prefix + secrets.token_urlsafe(32)
    return text, digest(text)


def digest(text: str) -> bytes:
    """The SHA-256 of a token, 32 bytes. A token has 256 random bits, so neither salt nor slow hashing is needed."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def matches(text: str, expected: bytes) -> bool:
    """Whether ``expected`` is the digest of this token, in constant time: for tokens that are looked up by another id."""
    return hmac.compare_digest(digest(text), expected)


def _prepare(password: str) -> bytes:
    # Keyboards differ in how they compose an accented letter (NIST SP 800-63B asks for NFKC or NFKD).
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
