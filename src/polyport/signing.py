"""What signs outgoing events, by Standard Webhooks (v1): a receiver's secrets, their rotation, the headers of one attempt.

During a rotation the old secret goes on for a while: an event then carries a signature of each, and a receiver may hold either.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from standardwebhooks.webhooks import Webhook

from polyport.net.message import Pairs

PREFIX: Final = "whsec_"
KEPT_MOST: Final = 5  # secrets of one receiver that sign at the same time


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """One signing secret: ``whsec_`` and 32 random bytes in base64. ``until`` is when it ends, in unix milliseconds; the repr does not show it."""

    text: str
    made_at: int
    until: int | None = None

    @property
    def hint(self) -> str:
        """Its end, for people to tell secrets apart."""
        return f"...{self.text[-4:]}"

    def __repr__(self) -> str:
        return "<Secret>"


def new_secret(now: int) -> Secret:
    """A fresh secret."""
    return Secret(text=PREFIX + base64.b64encode(secrets.token_bytes(32)).decode(), made_at=now)


def rotated(held: Sequence[Secret], *, keep_ms: int, now: int) -> list[Secret]:
    """A fresh secret in front of those that are held; the newest of these goes on for ``keep_ms``, older ones as long as they were to."""
    older = [msgspec.structs.replace(secret, until=now + keep_ms if secret.until is None else secret.until) for secret in held]
    return [new_secret(now), *valid(older, now)][:KEPT_MOST]


def valid(held: Sequence[Secret], now: int) -> list[Secret]:
    """The secrets that sign now, the newest first."""
    return [secret for secret in held if secret.until is None or secret.until > now]


def pack(held: Sequence[Secret]) -> bytes:
    """Secrets to be sealed."""
    return msgspec.json.encode(held)


def unpack(content: bytes) -> list[Secret]:
    """The secrets that ``pack`` wrote."""
    return msgspec.json.decode(content, type=list[Secret])


def headers_of(event_id: str, body: bytes, held: Sequence[Secret], now: int) -> Pairs:
    """The headers of an attempt that is made now: id, time, and a signature of each valid secret."""
    moment = datetime.fromtimestamp(now // 1000, UTC)
    text = body.decode()
    signatures = [Webhook(secret.text).sign(event_id, moment, text) for secret in valid(held, now)]
    return (("webhook-id", event_id), ("webhook-timestamp", str(now // 1000)), ("webhook-signature", " ".join(signatures)))
