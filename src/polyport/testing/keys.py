"""Keys and signed tokens in cases: a folder holds no private key, so a case names a stand-in, and says of a token that is signed with it what the token says."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

STAND_IN: Final = "(a private key)"


@cache
def private_key() -> str:
    """An RSA key in PEM on one line, its line breaks written out: the same one as long as the process lives, and no one's."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return text.strip().replace("\n", "\\n")


def with_keys(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a case's connection, with a key for each stand-in."""
    return {
        name: value.replace(STAND_IN, private_key()) if isinstance(value, str) and STAND_IN in value else value
        for name, value in fields.items()
    }


def read_token(text: str) -> tuple[Any, Any]:
    """The header and the claims of a signed token in its compact form. Raises ``ValueError`` for what is none; the signature is not looked at."""
    parts = text.split(".")
    if len(parts) != 3:
        raise ValueError("a signed token has three parts")
    try:
        header, claims = (msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in parts[:2])
    except (msgspec.DecodeError, binascii.Error):
        raise ValueError("the parts of a signed token are JSON in base64") from None
    return header, claims
