"""Field types: what a caller may send (lenient in), what a partner gets (exact out), what comes back.

Each type is one row of ``TYPES``: its wire code, a ``coerce`` that reads what callers send, a ``read`` that reads what partners answer, and the
``wires`` a value can be written as. ``coerce`` raises ``ValueFault`` with a code and a sentence that never repeats the value.
"""

from __future__ import annotations

import base64
import binascii
import email.utils
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, Final

from polyport.net.message import Source

DIGITS_LIMIT: Final = 400
BITS_LIMIT: Final = 1_329  # what 400 digits need
EXPONENT_LIMIT: Final = 400
DEPTH_LIMIT: Final = 64

_INTEGER: Final = re.compile(r"\s*[+-]?\d{1,400}\s*", re.ASCII)
_DECIMAL: Final = re.compile(r"\s*[+-]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,3})?\s*", re.ASCII)
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_RFC2822: Final = re.compile(r"(?:[A-Z][a-z]{2}, )?\d{1,2} [A-Z][a-z]{2} [12]\d{3} \d{2}:\d{2}:\d{2} (?:[+-]\d{4}|GMT|UTC?)", re.ASCII)
_TRUE: Final = frozenset({"true", "1", "yes", "on", "y"})
_FALSE: Final = frozenset({"false", "0", "no", "off", "n"})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ValueFault(ValueError):
    """A value that a field does not take: a stable code and a sentence without the value."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class FileValue:
    """A file on its way to a partner: exactly one of ``url``, ``file_id``, ``content`` and ``source`` (read while it is sent) is set.

    No dataclass: the JSON encoder writes those out as objects by itself, and a file in JSON is the base64 of its content.
    """

    __slots__ = ("content", "content_type", "file_id", "name", "source", "url")

    def __init__(
        self,
        *,
        url: str | None = None,
        file_id: str | None = None,
        content: bytes | None = None,
        name: str | None = None,
        content_type: str | None = None,
        source: Source | None = None,
    ) -> None:
        self.source = source
        self.url, self.file_id, self.content, self.name, self.content_type = url, file_id, content, name, content_type

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FileValue) and all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # as of every value that is equal by its parts and not frozen

    def __repr__(self) -> str:
        return f"<FileValue {self.name!r} ({'elsewhere' if self.content is None else f'{len(self.content)} bytes'})>"


Coerce = Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldType:
    """A field type. ``wires`` maps the name of a wire format to its writer; the first is the default."""

    name: str
    code: int
    title: str
    coerce: Coerce
    read: Coerce
    wires: Mapping[str, Coerce]
    schema: Mapping[str, Any]


def _identity(value: Any) -> Any:
    return value


def coerce_string(value: Any) -> str:
    """A text; numbers become their digits."""
    if isinstance(value, str):
        if not value.isprintable() and any("\ud800" <= char <= "\udfff" for char in value):
            raise ValueFault("invalid_text", "This text has half of a character pair (a lone surrogate).")
        return value
    if isinstance(value, bool) or not isinstance(value, int | Decimal | float):
        raise ValueFault("wrong_type", "A text is needed here.")
    if isinstance(value, float):
        value = Decimal(repr(value))
    return str(_sized(value)) if isinstance(value, int) else _plain(value)


def _sized(value: int) -> int:
    """The number, unless it has more digits than any partner takes (and than Python writes out)."""
    if value.bit_length() > BITS_LIMIT:
        raise ValueFault("too_large", f"A number has at most {DIGITS_LIMIT} digits.")
    return value


def coerce_integer(value: Any) -> int:
    """A whole number, also as text (``"3"``) or as a decimal without a fraction (``3.0``)."""
    if isinstance(value, bool):
        raise ValueFault("wrong_type", "A whole number is needed here, not a boolean.")
    if isinstance(value, int):
        return _sized(value)
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        value = Decimal(value.strip())
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) <= EXPONENT_LIMIT and value == value.to_integral_value():
        return int(value)
    raise ValueFault("wrong_type", "A whole number is needed here.")


def coerce_decimal(value: Any) -> Decimal | int:
    """A number with all its digits: JSON numbers and texts with a decimal point."""
    if isinstance(value, bool):
        raise ValueFault("wrong_type", "A number is needed here, not a boolean.")
    if isinstance(value, int):
        return _sized(value)
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        value = Decimal(value.strip())
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) <= EXPONENT_LIMIT:
        return value
    raise ValueFault("wrong_type", "A number is needed here, with a point before the fraction.")


def coerce_boolean(value: Any) -> bool:
    """``true``, ``"true"``, ``1``, ``"1"``, ``"yes"`` and their opposites."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return value == 1
    if isinstance(value, str):
        folded = value.strip().lower()
        if folded in _TRUE:
            return True
        if folded in _FALSE:
            return False
    raise ValueFault("wrong_type", "A boolean is needed here: true or false.")


def coerce_nullable_boolean(value: Any) -> bool | None:
    """A boolean, or null or an empty text for "not set"."""
    if value is None or value == "":
        return None
    return coerce_boolean(value)


def coerce_datetime(value: Any) -> datetime:
    """A moment: unix seconds (with a fraction if need be), or ISO 8601 with a zone. In UTC inside."""
    if isinstance(value, bool):
        raise ValueFault("wrong_type", "A time is needed here, not a boolean.")
    if isinstance(value, str):
        text = value.strip()
        if _DECIMAL.fullmatch(text):
            value = Decimal(text)
        else:
            return _iso_moment(text)
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, int | Decimal) and (not isinstance(value, Decimal) or value.is_finite()) and -62135596800 <= value <= 253402300799:
        return _EPOCH + timedelta(microseconds=int(value * 1_000_000))
    raise ValueFault("wrong_type", "A time is needed here: unix seconds, or ISO 8601 with a zone such as 2026-11-24T09:30:00Z.")


def _iso_moment(text: str) -> datetime:
    if len(text) <= 64:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is not None and moment.tzinfo is not None:
            try:
                return moment.astimezone(UTC)
            except OverflowError:
                moment = None
        if moment is not None:
            raise ValueFault("missing_zone", "This time has no zone: add Z or an offset such as +02:00.")
    raise ValueFault("wrong_type", "A time is needed here: unix seconds, or ISO 8601 with a zone such as 2026-11-24T09:30:00Z.")


def coerce_date(value: Any) -> date:
    """A calendar day, ``YYYY-MM-DD``."""
    if isinstance(value, str) and _DATE.fullmatch(value.strip()):
        try:
            return date.fromisoformat(value.strip())
        except ValueError:
            pass
    raise ValueFault("wrong_type", "A day is needed here, written YYYY-MM-DD, and it has to exist.")


@dataclass(frozen=True, slots=True)
class PhoneValue:
    """A phone number: ``e164`` if it could be read as an international one, and what was ``given``."""

    given: str
    e164: str | None


def coerce_phone(value: Any, region: str | None = None) -> PhoneValue:
    """A phone number. ``00`` before the country code is read as ``+``; whether E.164 is needed is for the wire format to say."""
    text = coerce_string(value).strip()
    if not text or len(text) > 64:
        raise ValueFault("invalid_phone", "A phone number is needed here.")
    return PhoneValue(text, _phones()("+" + text[2:] if text.startswith("00") else text, region))


@cache
def _phones() -> Callable[[str, str | None], str | None]:
    from polyport.kinds.phones import e164_of  # noqa: PLC0415  its tables cost 20 MB: only who sends phone numbers pays

    return e164_of


def _e164(value: PhoneValue) -> str:
    if value.e164 is None:
        raise ValueFault("invalid_phone", "A phone number with its country code is needed here, such as +442079460000.")
    return value.e164


def coerce_file(value: Any) -> FileValue:
    """A file: ``{"url"}``, ``{"fileId"}`` or ``{"name", "contentType", "base64"}``."""
    if not isinstance(value, dict):
        raise ValueFault("wrong_type", 'A file is needed here: {"url"}, {"fileId"} or {"name", "contentType", "base64"}.')
    texts = {key: value.get(key) for key in ("url", "fileId", "name", "contentType", "base64")}
    sources = [key for key in ("url", "fileId", "base64") if texts[key] is not None]
    if len(sources) != 1 or set(value) - set(texts) or any(text is not None and not isinstance(text, str) for text in texts.values()):
        raise ValueFault("invalid_file", 'A file has exactly one of "url", "fileId" and "base64", and maybe "name" and "contentType".')
    name, content_type = texts["name"], texts["contentType"]
    if any(text is not None and (len(text) > 255 or not text.isprintable()) for text in (name, content_type)):
        raise ValueFault("invalid_file", "The name and the content type of a file are short and have no line breaks.")
    if texts["base64"] is None:
        return FileValue(url=texts["url"], file_id=texts["fileId"], name=name, content_type=content_type)
    try:
        content = base64.b64decode(texts["base64"], validate=True)
    except (binascii.Error, ValueError):
        raise ValueFault("invalid_file", '"base64" is not valid base64.') from None
    return FileValue(content=content, name=name, content_type=content_type)


def coerce_object(value: Any) -> Any:
    """Any JSON, up to ``DEPTH_LIMIT`` levels."""
    if _deeper_than(value, DEPTH_LIMIT):
        raise ValueFault("too_deep", f"This JSON nests more than {DEPTH_LIMIT} levels.")
    return value


def _deeper_than(value: Any, limit: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    if limit == 0:
        return True
    return any(_deeper_than(inner, limit - 1) for inner in (value.values() if isinstance(value, dict) else value))


def _plain(value: Decimal) -> str:
    """Digits without an exponent; only numbers of an absurd size keep it."""
    if not value.is_finite():
        raise ValueFault("wrong_type", "A finite number is needed here.")
    return format(value, "f") if abs(value.adjusted()) <= EXPONENT_LIMIT else str(value)


def iso_text(value: datetime) -> str:
    """ISO 8601 in UTC: ``2026-11-24T09:30:00Z``, with a fraction only where there is one."""
    return value.replace(tzinfo=None).isoformat() + "Z"


def unix_number(value: datetime, scale: int = 1) -> int | Decimal:
    """Unix time times ``scale``: a whole number where there is no fraction."""
    if not value.microsecond:
        return int(value.timestamp()) * scale  # whole seconds are exact
    microseconds = (value - _EPOCH) // timedelta(microseconds=1) * scale
    whole, rest = divmod(microseconds, 1_000_000)
    return whole if rest == 0 else Decimal(microseconds) / 1_000_000


def _read_moment(value: Any) -> int | Decimal:
    """A partner's time as unix seconds: a number, ISO 8601 or RFC 2822; a text without a zone is read as UTC, as the field's notes have to say."""
    if isinstance(value, str):
        if value[4:5] == "-" and value[-1:] == "Z" and len(value) == 20:  # to the second, in UTC: as most partners write it
            return unix_number(datetime.fromisoformat(value))
        text = value.strip()
        if (
            text[4:5] == "-" and text[:4].isdecimal() and len(text) <= 64
        ):  # nothing else that is read here begins like ISO 8601 but a number: 1000-1 is none
            return _unix_of_iso(text)
        if _RFC2822.fullmatch(text):
            return unix_number(email.utils.parsedate_to_datetime(text).astimezone(UTC))
        if not _DECIMAL.fullmatch(text) and len(text) <= 64:
            return _unix_of_iso(text)
    return unix_number(coerce_datetime(value))


def _unix_of_iso(text: str) -> int | Decimal:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not UTC:
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return unix_number(moment)


def _read_file(value: Any) -> Any:
    """A partner's word about a file: its URL or its own id, as a file that can be sent on."""
    return {"url": value} if isinstance(value, str) else value


def _read_date(value: Any) -> str:
    return coerce_date(value[:10] if isinstance(value, str) else value).isoformat()


_MOMENTS: Final[Mapping[str, Coerce]] = {
    "iso8601": iso_text,
    "unix": unix_number,
    "unix_seconds": lambda value: math.floor(unix_number(value)),
    "unix_ms": lambda value: math.floor(unix_number(value, 1000)),
    "unix_text": lambda value: str(math.floor(unix_number(value))),
    "unix_ms_text": lambda value: str(math.floor(unix_number(value, 1000))),
    "space": lambda value: value.replace(microsecond=0, tzinfo=None).isoformat(" "),
    "rfc3339_offset": lambda value: value.isoformat(),
    "date": lambda value: value.date().isoformat(),
    "rfc2822": lambda value: email.utils.format_datetime(value, usegmt=True),
}

_ROWS: Final = (
    FieldType(
        name="string", code=1, title="String", coerce=coerce_string, read=coerce_string, wires={"text": _identity}, schema={"type": "string"}
    ),
    FieldType(
        name="integer", code=2, title="Integer", coerce=coerce_integer, read=coerce_integer,
        wires={"number": _identity, "text": str}, schema={"type": "integer"},
    ),
    FieldType(
        name="decimal", code=3, title="Decimal", coerce=coerce_decimal, read=coerce_decimal,
        wires={"number": _identity, "text": coerce_string}, schema={"type": "number"},
    ),
    FieldType(
        name="boolean", code=4, title="Boolean", coerce=coerce_boolean, read=coerce_boolean,
        wires={"boolean": _identity, "number": int, "text": lambda value: "true" if value else "false"}, schema={"type": "boolean"},
    ),
    FieldType(
        name="datetime", code=5, title="DateTime", coerce=coerce_datetime, read=_read_moment, wires=_MOMENTS,
        schema={"type": "integer", "description": "unix seconds"},
    ),
    FieldType(
        name="phone", code=6, title="Phone", coerce=coerce_phone, read=coerce_string,
        wires={"e164": _e164, "e164_or_given": lambda value: value.e164 or value.given, "given": lambda value: value.given},
        schema={"type": "string"},
    ),
    FieldType(
        name="file", code=7, title="File", coerce=coerce_file, read=_read_file, wires={"file": _identity}, schema={"type": "object"}
    ),
    FieldType(
        name="date", code=8, title="Date", coerce=coerce_date, read=_read_date,
        wires={"iso8601": lambda value: value.isoformat(), "compact": lambda value: value.isoformat().replace("-", "")},
        schema={"type": "string", "format": "date"},
    ),
    FieldType(
        name="nullable_boolean", code=9, title="Nullable Boolean", coerce=coerce_nullable_boolean, read=coerce_nullable_boolean,
        wires={"boolean": _identity}, schema={"type": ["boolean", "null"]},
    ),
    FieldType(
        name="object", code=10, title="Object", coerce=coerce_object, read=_identity, wires={"json": _identity}, schema={}
    ),
)  # fmt: skip

TYPES: Final[Mapping[str, FieldType]] = {row.name: row for row in _ROWS}
ARRAY: Final = 100


def read_decimal(value: Any) -> Decimal | None:
    """A number of any JSON form, or ``None``; for filters and tools that must not fail on texts."""
    try:
        return Decimal(coerce_decimal(value))
    except (ValueFault, InvalidOperation):
        return None
