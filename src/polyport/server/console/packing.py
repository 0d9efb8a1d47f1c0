"""Pages in fewer bytes, and what keeps their sizes from telling what is in them.

A page that is packed and repeats what its address says could be guessed letter by letter: who sees how large it is tries one address after the other. The one secret
of a page, the proof of its forms, is therefore another text in each page, and each page is longer by an amount that nobody can foresee. Pages that answer a form,
and those that show a key or a secret once, are not packed at all.
"""

from __future__ import annotations

import base64
import secrets
import zlib
from typing import Final

LEVEL: Final = 4
LEAST: Final = 1_000
FILLER_MOST: Final = 96
_GZIP: Final = zlib.MAX_WBITS | 16


def pack(html: bytes) -> bytes:
    """A page as gzip, with a comment of a random length at its end."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP)
    filler = base64.b64encode(secrets.token_bytes(secrets.randbelow(FILLER_MOST + 1)), altchars=b"._")
    return packer.compress(html) + packer.compress(b"<!-- " + filler + b" -->") + packer.flush()


def takes_gzip(accepted: str) -> bool:
    """Whether a browser that accepts these encodings takes gzip: it is named and not refused (``gzip;q=0``)."""
    for each in accepted.lower().split(","):
        name, _, rest = each.partition(";")
        if name.strip() == "gzip":
            weight = rest.replace(" ", "")
            return not (weight.startswith("q=0") and not weight.strip("q=0."))
    return False


def masked(proof: str) -> str:
    """A proof as another text each time: random bytes, and the proof laid over them."""
    plain = proof.encode()
    over = secrets.token_bytes(len(plain))
    return base64.urlsafe_b64encode(over + _laid(plain, over)).decode().rstrip("=")


def unmasked(told: str) -> str:
    """The proof in what a form told; ``""`` for what is none."""
    try:
        whole = base64.urlsafe_b64decode(told + "=" * (-len(told) % 4))
        half = len(whole) // 2
        return _laid(whole[half:], whole[:half]).decode() if whole and len(whole) % 2 == 0 else ""
    except ValueError:
        return ""


def _laid(one: bytes, other: bytes) -> bytes:
    return bytes(left ^ right for left, right in zip(one, other, strict=True))
