"""What exchanges for a token have in common: the answer, where things stand in it, and when the token ends (RFC 6749, section 5)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import re2
from pydantic import BaseModel, BeforeValidator, Field

from polyport.kinds.auth.base import CONFIG, At, ExchangeRefused, Grant, Moment, Pattern
from polyport.kinds.bodies import encode_whole
from polyport.kinds.decoders import DECODERS
from polyport.kinds.fields import ValueFault, coerce_datetime, read_decimal
from polyport.net.message import Pairs, Reply, Request
from polyport.paths import MISSING, Path, get
from polyport.template import RenderFault, to_text

ExpiryUnit = Literal["seconds", "milliseconds", "unix", "unix_ms", "iso8601"]

TOKEN_LIMIT: Final = 65_536
LEARNED_LIMIT: Final = 2_000
_LONGEST_SECONDS: Final = 20 * 366 * 86_400
_CODES: Final[tuple[Path, ...]] = (("error",), ("errorCode",), ("code",))
_MESSAGES: Final[tuple[Path, ...]] = (
    ("error_description",),
    ("error", "message"),
    ("errorDescription",),
    ("message",),
    ("detail",),
    ("errors", 0, "message"),
    ("error",),
)


class LearnedAt(BaseModel):
    """A value of an answer that belongs to the connection: where it stands, and the pattern that it has to match whole."""

    model_config = CONFIG

    at: At
    pattern: Pattern | None = None


def _as_learned(value: Any) -> Any:
    return {"at": value} if isinstance(value, str | list) else value


Learn = dict[str, Annotated[LearnedAt, BeforeValidator(_as_learned, json_schema_input_type=LearnedAt | str | list[str | int])]]


class TokenAnswer(BaseModel):
    """Where things stand in the answer of a token endpoint.

    ``expires_unit``: ``seconds`` or ``milliseconds`` from now, or a moment as ``unix``, ``unix_ms`` or ``iso8601``. ``lifetime`` is in seconds, for partners
    whose answers do not say when a token ends. ``learn`` names values that belong to the connection from then on and may be shown, such as the address
    of the account: ``{instance_url: instance_url}``, or ``{instance_url: {at: instance_url, pattern: "https://[a-z0-9-]+[.]example[.]com"}}``.
    """

    model_config = CONFIG

    access_token: At = ("access_token",)
    refresh_token: At = ("refresh_token",)
    expires_in: At = ("expires_in",)
    expires_unit: ExpiryUnit = "seconds"
    lifetime: int | None = Field(default=None, ge=1)
    learn: Learn = Field(default_factory=dict)

    def read_grant(self, reply: Reply, moment: Moment) -> Grant:
        """The grant of an answer. Raises ``ExchangeRefused`` with the partner's own words."""
        answer = read_exchange(reply)
        token = text_at(answer, self.access_token)
        if token is None:
            raise refused(reply, answer)
        values = {"access_token": token}
        further = text_at(answer, self.refresh_token)
        if further is not None:
            values["refresh_token"] = further
        return Grant(
            values=values,
            learned=learned_at(answer, self.learn),
            expires_at=read_expiry(get(answer, self.expires_in), self.expires_unit, self.lifetime, moment),
        )


def read_exchange(reply: Reply) -> Any:
    """The value of an answer: JSON, or a form where the answer says so. Raises ``ExchangeRefused``."""
    kind = (reply.header("content-type") or "").partition(";")[0].strip().lower()
    form = kind == "application/x-www-form-urlencoded" or (kind.startswith("text/") and not reply.body.lstrip().startswith(b"{"))
    try:
        answer = DECODERS["form" if form else "json"](reply)
    except ValueError:
        raise ExchangeRefused(reply) from None
    if not 200 <= reply.status < 300:
        raise refused(reply, answer)
    return answer


def refused(reply: Reply, answer: Any) -> ExchangeRefused:
    """The refusal that an answer means."""
    found = (text_at(answer, path) for path in _MESSAGES)
    codes = (text_at(answer, path) for path in _CODES)
    return ExchangeRefused(reply, next((text[:1_000] for text in found if text), None), next((text[:100] for text in codes if text), None))


def text_at(answer: Any, path: Path) -> str | None:
    """The text (or number) at a path of an answer, if there is one of a sensible size."""
    value = get(answer, path)
    if value is MISSING or value is None or isinstance(value, dict | list | bool):
        return None
    try:
        text = to_text(value)
    except RenderFault:
        return None
    return text if 0 < len(text) <= TOKEN_LIMIT else None


def learned_at(answer: Any, learn: Learn) -> dict[str, Any]:
    """What an answer tells about the connection; what is not there, is no short text or does not match its pattern is left out."""
    learned: dict[str, Any] = {}
    for name, told in learn.items():
        text = text_at(answer, told.at)
        if text is not None and len(text) <= LEARNED_LIMIT and (told.pattern is None or re2.fullmatch(told.pattern, text)):
            learned[name] = text
    return learned


def read_expiry(told: Any, unit: ExpiryUnit, lifetime: int | None, moment: Moment) -> float | None:
    """When a grant ends, in unix seconds; ``None`` where neither the answer nor the file says so in a way that makes sense."""
    now = moment.now.timestamp()
    if told is not MISSING and told is not None:
        end = _date(told) if unit == "iso8601" else _counted(told, unit, now)
        if end is not None and -_LONGEST_SECONDS < end - now < _LONGEST_SECONDS:
            return end
    return now + lifetime if lifetime is not None else None


def _date(told: Any) -> float | None:
    try:
        found = coerce_datetime(told)
    except ValueFault:
        return None
    return found.timestamp()


def _counted(told: Any, unit: ExpiryUnit, now: float) -> float | None:
    number = read_decimal(told.strip() if isinstance(told, str) else told)
    if number is None or not -Decimal(10**18) < number < Decimal(10**18):
        return None
    number = number / 1000 if unit in {"milliseconds", "unix_ms"} else number
    return float(number) if unit in {"unix", "unix_ms"} else now + float(number)


def ask_token(
    url: str, body: Mapping[str, Any], *, encoding: Literal["form", "json"], headers: Pairs = (), secrets: tuple[str, ...] = ()
) -> Request:
    """The request to a token endpoint. Redirects are not followed: what it holds is for this address alone."""
    kind, content = encode_whole(encoding, dict(body))
    told = (("Accept", "application/json"), *((("Content-Type", kind),) if kind is not None else ()), *headers)
    return Request(method="POST", url=url, headers=told, body=content, follow_redirects=False).with_secrets(*secrets)
