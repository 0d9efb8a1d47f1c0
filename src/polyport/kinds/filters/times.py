"""Filters over moments and days.

A moment is unix seconds or ISO 8601 with a zone; a day (``2026-11-24``) counts as the midnight that begins it in the zone of the filter.
Zones are names of the IANA database such as ``Europe/Paris``. A local time that a clock change skips is moved on by the length of the gap, one that occurs
twice is the first. What is a moment again comes as ISO 8601 in UTC: ``moment`` gives other formats. The years are 1 to 9999.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import re2

from polyport.kinds.fields import TYPES, coerce_date, coerce_datetime, iso_text
from polyport.kinds.filters.limits import argument_of, choice_of, read
from polyport.kinds.filters.numbers import to_int
from polyport.kinds.filters.patterns import scan, write
from polyport.template import Filter, RenderFault

if TYPE_CHECKING:
    from whenever import ZonedDateTime

AMOUNT_LIMIT: Final = 10**12
_DAY: Final = re2.compile(r"\s*[0-9]{4}-[0-9]{2}-[0-9]{2}\s*")
_UNITS: Final[Mapping[str, str]] = {unit: unit for unit in ("years", "months", "weeks", "days", "hours", "minutes", "seconds")}
_STARTS: Final[Mapping[str, str]] = {
    "year": "year",
    "quarter": "month",
    "month": "month",
    "week": "week_mon",
    "sunday_week": "week_sun",
    "day": "day",
    "hour": "hour",
    "minute": "minute",
    "second": "second",
}


def moment(value: Any, wire: Any = "iso8601") -> Any:
    """A moment in one of the wire formats of the datetime type: iso8601, unix, unix_seconds, unix_ms, date, rfc2822, ...

    ``{{1795599000 | moment}}`` gives ``"2026-11-25T09:30:00Z"``.
    """
    return choice_of(wire, TYPES["datetime"].wires, "format")(read(coerce_datetime, value))


def format_time(value: Any, pattern: Any, zone: Any = "UTC") -> str:
    """A moment as the clocks of a zone show it, in a pattern such as ``%d.%m.%Y %H:%M``.

    Arguments: the pattern (see the list of its parts), and the zone.
    ``{{"2026-11-24T09:30:00Z" | date: "%-d %B %Y, %H:%M", "Europe/Paris"}}`` gives ``"24 November 2026, 10:30"``.
    """
    return write(local_time(value, zone).to_stdlib(), argument_of(pattern))


def parse_time(value: Any, pattern: Any, zone: Any = "UTC") -> str:
    """The moment that a text shows, read with a pattern; what the text does not say of the time of day is zero.

    Arguments: the pattern (see the list of its parts), and the zone, for texts that do not say theirs.
    ``{{"24.11.2026 10:30" | parse_date: "%d.%m.%Y %H:%M", "Europe/Paris"}}`` gives ``"2026-11-24T09:30:00Z"``.
    """
    at, knows_zone = scan(argument_of(value), argument_of(pattern))
    return iso_text(at) if knows_zone else _moment(_placed(at, zone))


def add_time(value: Any, amount: Any, unit: Any, zone: Any = "UTC") -> str:
    """The moment so much later, as the calendar of a zone counts: a month after 31 January is the end of February, a day may have 23 hours.

    Arguments: a whole number (below zero goes back), years, months, weeks, days, hours, minutes or seconds, and the zone.
    ``{{"2026-01-31T12:00:00Z" | add_time: 1, "months"}}`` gives ``"2026-02-28T12:00:00Z"``.
    """
    return _later(local_time(value, zone), to_int(amount), unit)


def subtract_time(value: Any, amount: Any, unit: Any, zone: Any = "UTC") -> str:
    """The moment so much earlier, counted as in ``add_time``.

    ``{{"2026-03-31T12:00:00Z" | subtract_time: 1, "months"}}`` gives ``"2026-02-28T12:00:00Z"``.
    """
    return _later(local_time(value, zone), -to_int(amount), unit)


def shift_time(value: Any, direction: Any, amount: Any, unit: Any, zone: Any = "UTC") -> str:
    """``add_time`` or ``subtract_time``, by a direction that is itself a value: later or earlier.

    ``{{"2026-11-24T09:30:00Z" | shift_time: "earlier", 90, "minutes"}}`` gives ``"2026-11-24T08:00:00Z"``.
    """
    sign = choice_of(direction, {"later": 1, "earlier": -1}, "direction")
    return _later(local_time(value, zone), sign * to_int(amount), unit)


def difference(value: Any, other: Any, unit: Any = "seconds", zone: Any = "UTC") -> Decimal | int:
    """How much later the first moment is than the second: below zero if it is earlier.

    Arguments: the other moment, the unit as in ``add_time``, and the zone whose calendar counts. Only full units count; seconds keep their fraction.
    ``{{"2026-11-24" | difference: "2026-10-23", "months"}}`` gives ``1``.
    """
    later, earlier = local_time(value, zone), local_time(other, zone)
    name = choice_of(unit, _UNITS, "unit")
    if name == "seconds":
        nanoseconds = later.timestamp(unit="nanosecond") - earlier.timestamp(unit="nanosecond")
        whole, rest = divmod(nanoseconds, 10**9)
        return whole if rest == 0 else Decimal(nanoseconds // 1000) / 10**6
    return int(dict(later.since(earlier, in_units=[name]))[name])  # type: ignore[list-item,index]  # the name is one of its units


def start_of(value: Any, unit: Any, zone: Any = "UTC") -> str:
    """The moment at which the year, quarter, month, week (from Monday), sunday_week, day, hour, minute or second around a moment began in a zone.

    ``{{"2026-11-24T09:30:00Z" | start_of: "month", "Europe/Paris"}}`` gives ``"2026-10-31T23:00:00Z"``.
    """
    local = local_time(value, zone)
    boundary = choice_of(unit, _STARTS, "unit")
    try:
        if unit == "quarter":
            local = local.start_of("month").subtract(months=(local.month - 1) % 3, disambiguation="compatible")
        return _moment(local.start_of(boundary))  # type: ignore[arg-type]  # the word is one of its units
    except ValueError:
        raise RenderFault("this moment is out of range") from None


def in_zone(value: Any, zone: Any = "UTC") -> dict[str, Any]:
    """A moment taken apart as the clocks of a zone show it: iso, year, month, day, hour, minute, second, weekday, week, weekYear, dayOfYear, offset.

    Weekday is 1-7 from Monday, week and weekYear are those of ISO 8601; offsetMinutes and abbreviation tell of the zone at that moment. Argument: the zone.
    ``{{"2026-11-24T09:30:00Z" | in_zone: "Europe/Paris" | item: "iso"}}`` gives ``"2026-11-24T10:30:00+01:00"``.
    """
    at = local_time(value, zone).to_stdlib()
    week = at.isocalendar()
    minutes = int((at.utcoffset() or timedelta(0)).total_seconds() // 60)
    sign, hours, rest = "-" if minutes < 0 else "+", *divmod(abs(minutes), 60)
    return {
        "iso": at.isoformat(),
        **{name: getattr(at, name) for name in ("year", "month", "day", "hour", "minute", "second")},
        "weekday": week.weekday,
        "week": week.week,
        "weekYear": week.year,
        "dayOfYear": at.timetuple().tm_yday,
        "offset": f"{sign}{hours:02}:{rest:02}",
        "offsetMinutes": minutes,
        "abbreviation": at.tzname(),
    }


def _zone(zone: Any) -> str:
    from whenever import Instant, TimeZoneNotFoundError  # noqa: PLC0415  it is loaded when the first template asks for a time

    name = argument_of(zone)
    try:
        Instant.from_timestamp(0).to_tz(name)
    except TimeZoneNotFoundError:
        raise RenderFault("the zone is a name such as UTC or Europe/Paris") from None
    return name


def _placed(local: datetime, zone: Any) -> ZonedDateTime:
    """A local time in a zone."""
    from whenever import PlainDateTime  # noqa: PLC0415  as above

    name = _zone(zone)
    try:
        return PlainDateTime(local).assume_tz(name, disambiguation="compatible")
    except ValueError:
        raise RenderFault("this moment is out of range") from None


def local_time(value: Any, zone: Any) -> ZonedDateTime:
    """A moment as the clocks of a zone show it."""
    from whenever import Instant  # noqa: PLC0415  as above

    if isinstance(value, str) and len(value) < 100 and _DAY.fullmatch(value):
        return _placed(datetime.combine(read(coerce_date, value), datetime.min.time()), zone)
    at = read(coerce_datetime, value)
    name = _zone(zone)
    try:
        return Instant(at).to_tz(name)
    except ValueError:
        raise RenderFault("this moment is out of range") from None


def _later(local: ZonedDateTime, amount: int, unit: Any) -> str:
    name = choice_of(unit, _UNITS, "unit")
    if abs(amount) > AMOUNT_LIMIT:
        raise RenderFault(f"an amount of time is at most {AMOUNT_LIMIT}")
    try:
        return _moment(local.add(**{name: amount}, disambiguation="compatible"))
    except (ValueError, OverflowError):
        raise RenderFault("this moment is out of range") from None


def _moment(local: ZonedDateTime) -> str:
    return iso_text(local.to_stdlib().astimezone(UTC))


TIMES: Final[dict[str, Filter]] = {
    "moment": moment,
    "date": format_time,
    "parse_date": parse_time,
    "add_time": add_time,
    "subtract_time": subtract_time,
    "shift_time": shift_time,
    "difference": difference,
    "start_of": start_of,
    "in_zone": in_zone,
}
