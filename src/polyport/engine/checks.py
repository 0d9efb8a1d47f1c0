"""When a connection is proved again, and what is said of a refusal. Pure: times in unix milliseconds, ``jitter`` a random number in [0, 1)."""

from __future__ import annotations

from typing import Final

from polyport.engine.caller import connection_fields
from polyport.errors import PolyportError
from polyport.manifest.model import Partner
from polyport.store.records import ConnectionStatus, Finding

DAY_MS: Final = 24 * 3_600_000
SECOND_LOOK_MS: Final = 120_000
FIRST_DISTANCE_MS: Final = 3_600_000
LONGEST_DISTANCE_MS: Final = 7 * DAY_MS
ERROR_LONGEST: Final = 500


def is_verified(partner: Partner) -> bool:
    """Whether the partner has a verify call."""
    return partner.file.connection is not None and partner.file.connection.verify is not None


def can_be_asked(partner: Partner, auth: str) -> bool:
    """Whether there is anything to ask the partner about a connection: its verify call, or the token that calls are authorised by."""
    choices = partner.file.connection.auth if partner.file.connection is not None else ()
    scheme = next((choice.scheme for choice in choices if choice.name == auth), None)
    return is_verified(partner) or (scheme is not None and (scheme.exchanges or scheme.keeps))


def next_check(now: int, every_seconds: int, jitter: float) -> int:
    """When a connection that works is proved again: a tenth earlier or later than is set, so that those made together do not stay together."""
    every = every_seconds * 1000 or DAY_MS
    return now + int(every * (0.9 + 0.2 * jitter))


def second_look(now: int, jitter: float) -> int:
    """When a connection that was refused for the first time is looked at again."""
    return now + int(SECOND_LOOK_MS * (0.75 + 0.5 * jitter))


def look_again(now: int, refusals: int, jitter: float) -> int:
    """When an invalid connection is looked at again: after an hour, then two, then four, at last once a week."""
    distance = min(LONGEST_DISTANCE_MS, FIRST_DISTANCE_MS << min(max(0, refusals - 2), 16))
    return now + int(distance * (0.9 + 0.2 * jitter))


def found_working(check_at: int | None, *, account: str | None) -> Finding:
    """What is noted of a connection that the partner took."""
    return Finding(
        status=ConnectionStatus.ACTIVE,
        proved=True,
        account_label=account,
        last_error=None,
        check_at=check_at,
        refusals=0,
    )


def found_refused(now: int, refusals: int, jitter: float, *, words: str) -> Finding:
    """What is noted of a connection that the partner refused, and at a second look too. ``refusals``: how often so far, this time left out."""
    counted = max(2, refusals + 1)
    return Finding(
        status=ConnectionStatus.INVALID,
        proved=False,
        account_label=None,
        last_error=words[:ERROR_LONGEST],
        check_at=look_again(now, counted, jitter),
        refusals=counted,
    )


def refusal_words(partner: Partner, auth: str, error: PolyportError) -> str:
    """A refusal for people: who refused what, and what the partner said of it."""
    secret = next((variable.label for variable in connection_fields(partner, auth) if variable.secret), None)
    what = f"this {secret}" if secret is not None else "this connection"
    upstream = error.details.upstream
    said = upstream.message.strip().rstrip(".") if upstream is not None else ""
    return f"{partner.file.title} refused {what}: {said}." if said else f"{partner.file.title} refused {what}."
