"""How a value of a field is written for the partner and read from its answers: what ``TYPES`` leaves open and a field's own file says.

A ``Form`` is what the file says; ``compile_form`` makes the three functions of it, once for all fields of the same form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any, Final
from zoneinfo import ZoneInfo

from polyport.kinds.fields import TYPES, PhoneValue, ValueFault, coerce_date, coerce_integer, coerce_phone, read_decimal, unix_number
from polyport.kinds.filters.patterns import scan, write

Step = Callable[[Any], Any]

LOCAL_WIRES: Final = frozenset({"space", "rfc3339_offset", "date"})
_THOUSAND: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The type without ``[]``, and what the field says of how its values are written."""

    type: str
    wire: str | None = None
    zone: str | None = None
    scale: int | None = None
    words: tuple[str | int, str | int] | None = None
    point: str | None = None
    thousands: str | None = None
    region: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """``coerce`` reads what callers send, ``write`` is ``None`` where the partner gets just that, ``read`` takes what the partner answers.

    ``coerce`` and ``write`` raise ``ValueFault``; ``read`` raises any ``ValueError`` or ``ArithmeticError`` for what is none of the type.
    """

    coerce: Step
    write: Step | None
    read: Step


@lru_cache(maxsize=4096)
def compile_form(form: Form) -> Steps:
    """The functions of a form."""
    kind = TYPES[form.type]
    coerce, read = kind.coerce, kind.read
    first = next(iter(kind.wires))
    writes: Step | None = kind.wires[form.wire or first] if form.wire is None or "%" not in form.wire else None
    if form.wire in {None, first} and kind.name not in {"datetime", "phone", "date"}:
        writes = None
    if kind.name == "datetime":
        writes, read = _moments(form, writes)
    elif kind.name == "date":
        writes, read = _days(form, writes)
    elif kind.name == "phone" and form.region is not None:
        coerce, read = partial(coerce_phone, region=form.region), partial(_read_phone, region=form.region)
    elif form.words is not None:
        writes, read = _of_words(form.words, kind.read)
    elif form.scale is not None or form.point is not None or form.thousands is not None:
        writes, read = _numbers(form, writes)
    return Steps(coerce=coerce, write=writes, read=read)


def check_pattern(pattern: str, *, reads: bool) -> None:
    """Raises ``ValueError`` with a sentence when a pattern cannot be written, or read where it has to be."""
    sample = write(datetime(2026, 11, 24, 9, 30, tzinfo=UTC), pattern)
    if reads:
        scan(sample, pattern)


def _moments(form: Form, named: Step | None) -> tuple[Step, Step]:
    zone: tzinfo = ZoneInfo(form.zone) if form.zone is not None else UTC
    if named is None:
        pattern = form.wire or ""
        return lambda value: write(_local(value, zone), pattern), lambda value: _read_pattern(value, pattern, zone)
    local = form.zone is not None and form.wire in LOCAL_WIRES
    writes = (lambda value: named(_local(value, zone))) if local else named
    milliseconds = form.wire in {"unix_ms", "unix_ms_text"}

    def read(value: Any) -> Any:
        if isinstance(value, str) and form.zone is not None and len(value) <= 64:
            moment = _plain_moment(value.strip())
            if moment is not None:
                return unix_number(moment.replace(tzinfo=zone).astimezone(UTC))
        number = read_decimal(value) if milliseconds else None
        return TYPES["datetime"].read(value if number is None else number / _THOUSAND)

    return writes, read if milliseconds or form.zone is not None else TYPES["datetime"].read


def _plain_moment(text: str) -> datetime | None:
    """A time in ISO 8601 that says no zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is None else None


def _local(moment: datetime, zone: tzinfo) -> datetime:
    try:
        return moment.astimezone(zone)
    except OverflowError:
        raise ValueFault("out_of_range", "This time is beyond the years that the partner's time zone can show.") from None


def _read_pattern(value: Any, pattern: str, zone: tzinfo) -> Any:
    text = str(coerce_integer(value)) if isinstance(value, int) else value
    if not isinstance(text, str) or len(text) > 200:
        raise ValueFault("wrong_type", "A time is needed here.")
    moment, knows_zone = scan(text, pattern)
    return unix_number(moment if knows_zone else moment.replace(tzinfo=zone).astimezone(UTC))


def _days(form: Form, named: Step | None) -> tuple[Step, Step]:
    if named is None:
        pattern = form.wire or ""
        return lambda value: write(_midnight(value), pattern), lambda value: _read_day(value, pattern)
    return named, _read_compact if form.wire == "compact" else TYPES["date"].read


def _midnight(value: date) -> datetime:
    return datetime(value.year, value.month, value.day, tzinfo=UTC)


def _read_day(value: Any, pattern: str) -> str:
    text = str(coerce_integer(value)) if isinstance(value, int) else value
    if not isinstance(text, str) or len(text) > 200:
        raise ValueFault("wrong_type", "A day is needed here.")
    return scan(text, pattern)[0].date().isoformat()


def _read_compact(value: Any) -> str:
    text = str(coerce_integer(value)) if isinstance(value, int) else value
    if isinstance(text, str) and len(text) == 8 and text.isdecimal():
        text = f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return coerce_date(text).isoformat()


def _read_phone(value: Any, region: str) -> str:
    if value == "":
        return ""
    phone: PhoneValue = coerce_phone(value, region=region)
    return phone.e164 or phone.given


def _of_words(words: tuple[str | int, str | int], otherwise: Step) -> tuple[Step, Step]:
    true, false = words
    meaning = {_folded(true): True, _folded(false): False}

    def writes(value: Any) -> Any:
        return None if value is None else true if value else false

    def read(value: Any) -> Any:
        known = None if isinstance(value, bool | dict | list) else meaning.get(_folded(value))
        return otherwise(value) if known is None else known

    return writes, read


def _folded(word: Any) -> Any:
    return str(word).strip().casefold()


def _numbers(form: Form, named: Step | None) -> tuple[Step, Step]:
    """Numbers in minor units, or as text in the partner's own writing."""
    plain, scale = TYPES[form.type].read, form.scale
    as_text = form.point is not None or form.thousands is not None
    point, thousands = form.point or ".", form.thousands or ""

    def writes(value: Any) -> Any:
        number = value if scale is None else _in_minor_units(value, scale)
        if as_text:
            return _grouped(TYPES["string"].coerce(number), point, thousands)
        return number if named is None else named(number)

    def read(value: Any) -> Any:
        number = plain(_ungrouped(value, point, thousands) if as_text and isinstance(value, str) else value)
        return number if scale is None else _in_major_units(number, scale)

    return writes, read


def _in_minor_units(value: Decimal | int, scale: int) -> int:
    sign, digits, exponent = Decimal(value).as_tuple()
    whole: int = int("".join(map(str, digits)))
    shift = int(exponent) + scale
    if shift >= 0:
        whole *= _power(shift)
    else:
        whole, lost = divmod(whole, _power(-shift))
        if lost:
            raise ValueFault("too_precise", f"At most {scale} decimal places are taken here.")
    return -whole if sign else whole


def _power(exponent: int) -> int:
    return int(10**exponent)


def _in_major_units(value: Decimal | int, scale: int) -> Decimal:
    sign, digits, exponent = Decimal(value).as_tuple()
    return Decimal((sign, digits, int(exponent) - scale))


def _grouped(text: str, point: str, thousands: str) -> str:
    sign = "-" if text.startswith("-") else ""
    whole, _, fraction = text.removeprefix("-").partition(".")
    if thousands:
        head = len(whole) % 3
        whole = thousands.join(([whole[:head]] if head else []) + [whole[start : start + 3] for start in range(head, len(whole), 3)])
    return f"{sign}{whole}{point if fraction else ''}{fraction}"


def _ungrouped(text: str, point: str, thousands: str) -> str:
    bare = text.replace(thousands, "") if thousands else text
    if point != "." and "." in bare:
        raise ValueFault("wrong_type", "A number in the partner's own writing is needed here.")
    return bare.replace(point, ".")
