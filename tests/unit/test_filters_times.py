from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.kinds.fields import coerce_datetime
from polyport.kinds.filters import FILTERS
from polyport.template import RenderFault

_AT = "2026-11-04T09:05:07.000089Z"
_ZONES = st.sampled_from(["UTC", "Europe/Paris", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia"])
_MOMENTS = st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2099, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  bounds have no zone


@pytest.mark.parametrize(
    ("directive", "text"),
    [("%Y", "2026"), ("%y", "26"), ("%m", "11"), ("%d", "04"), ("%-d", "4"), ("%j", "308"), ("%H", "09"), ("%-H", "9"), ("%I", "09"), ("%p", "AM"), ("%M", "05"),
     ("%-M", "5"), ("%S", "07"), ("%f", "000089"), ("%B", "November"), ("%b", "Nov"), ("%A", "Wednesday"), ("%a", "Wed"), ("%z", "+0000"), ("%Z", "UTC"),
     ("%s", "1793783107"), ("%G-W%V-%u", "2026-W45-3"), ("100%%", "100%"), ("%%d", "%d"), ("", "")],
)  # fmt: skip
def test_every_part_of_a_pattern_is_written(directive, text):
    assert FILTERS["date"](_AT, directive) == text


@pytest.mark.parametrize(
    ("value", "pattern", "zone", "text"),
    [
        ("2026-11-24T00:30:00Z", "%-I:%M %p", "UTC", "12:30 AM"),
        ("2026-11-24T12:30:00Z", "%-I:%M %p %-S", "UTC", "12:30 PM 0"),
        ("2026-11-24", "%d.%m.%Y %H:%M %z", "America/New_York", "24.11.2026 00:00 -0500"),
        (0, "%Y-%m-%d %H:%M:%S %z %Z", "Asia/Kathmandu", "1970-01-01 05:30:00 +0530 +0530"),
        ("0001-01-01T00:00:00Z", "%Y %y", "UTC", "0001 01"),
    ],
)
def test_a_moment_is_written_as_the_clocks_of_a_zone_show_it(value, pattern, zone, text):
    assert FILTERS["date"](value, pattern, zone) == text


@pytest.mark.parametrize(
    ("text", "pattern", "moment"),
    [
        ("24/11/26 9:5", "%d/%m/%y %H:%M", "2026-11-24T09:05:00Z"),
        ("1/1/69", "%d/%m/%y", "1969-01-01T00:00:00Z"),
        ("Nov 24, 2026 12:05 am", "%b %d, %Y %I:%M %p", "2026-11-24T00:05:00Z"),
        ("november 24 2026 12 PM", "%B %d %Y %I %p", "2026-11-24T12:00:00Z"),
        ("TUESDAY 24 nov 2026", "%A %d %B %Y", "2026-11-24T00:00:00Z"),
        ("20261124T093000Z", "%Y%m%dT%H%M%S%z", "2026-11-24T09:30:00Z"),
        ("2026-11-24 09:30:00.5 +05:45", "%Y-%m-%d %H:%M:%S.%f %z", "2026-11-24T03:45:00.500000Z"),
        ("2026-11-24 -03", "%Y-%m-%d %z", "2026-11-24T03:00:00Z"),
        ("2024-366", "%Y-%j", "2024-12-31T00:00:00Z"),
        ("@1795512600", "@%s", "2026-11-24T09:30:00Z"),
        ("-1", "%s", "1969-12-31T23:59:59Z"),
        (" (2026.11.24) 100% ", "(%Y.%m.%d) 100%%", "2026-11-24T00:00:00Z"),
    ],
)
def test_a_text_is_read_with_a_pattern(text, pattern, moment):
    assert FILTERS["parse_date"](text, pattern) == moment


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("2026-02-29", "%Y-%m-%d"),
        ("2026-00-01", "%Y-%m-%d"),
        ("0000-01-01", "%Y-%m-%d"),
        ("2023-366", "%Y-%j"),
        ("2023-000", "%Y-%j"),
        ("9999-366", "%Y-%j"),
        ("24:00 2026-11-24", "%H:%M %Y-%m-%d"),
        ("13 PM 2026-11-24", "%I %p %Y-%m-%d"),
        ("11 2026-11-24", "%I %Y-%m-%d"),
        ("Monday 2026-11-24", "%A %Y-%m-%d"),
        ("2026-11-24 +25", "%Y-%m-%d %z"),
        ("0001-01-01 +05", "%Y-%m-%d %z"),
        ("999999999999", "%s"),
        ("2026-11", "%Y-%m"),
        ("11-24", "%m-%d"),
        ("2026-11-24", "%Y-%m-%d %H"),
        ("2026 2026", "%Y %Y"),
        ("UTC 2026-11-24", "%Z %Y-%m-%d"),
        ("2026", "%"),
        ("2026", "%Q"),
        ("2026", "%-Y"),
        ("2026", "%-"),
        ("٢٠٢٦-11-24", "%Y-%m-%d"),
    ],
)
def test_a_text_that_does_not_fit_is_refused(text, pattern):
    with pytest.raises(RenderFault):
        FILTERS["parse_date"](text, pattern)


@pytest.mark.parametrize(
    "zone", ["", "Nope/Nope", "../../etc/passwd", "/etc/localtime", "Europe", "Europe/Paris\0", "a" * 999, "local", "é"]
)
def test_what_is_no_zone_is_refused(zone):
    with pytest.raises(RenderFault):
        FILTERS["date"]("2026-11-24T09:30:00Z", "%Y", zone)
    with pytest.raises(RenderFault):
        FILTERS["parse_date"]("2026", "%Y-01-01", zone)


@pytest.mark.parametrize(
    ("value", "amount", "unit", "zone", "moment"),
    [
        ("2026-01-31T12:00:00Z", 1, "months", "UTC", "2026-02-28T12:00:00Z"),
        ("2024-02-29T12:00:00Z", 1, "years", "UTC", "2025-02-28T12:00:00Z"),
        ("2026-03-28T11:00:00Z", 1, "days", "Europe/Berlin", "2026-03-29T10:00:00Z"),
        ("2026-03-28T11:00:00Z", 24, "hours", "Europe/Berlin", "2026-03-29T11:00:00Z"),
        ("2026-03-28T01:30:00Z", 1, "days", "Europe/Berlin", "2026-03-29T01:30:00Z"),
        ("2026-11-24", "-2", "weeks", "UTC", "2026-11-10T00:00:00Z"),
        ("2026-11-24", -1, "seconds", "UTC", "2026-11-23T23:59:59Z"),
    ],
)
def test_time_is_added_as_the_calendar_of_a_zone_counts(value, amount, unit, zone, moment):
    assert FILTERS["add_time"](value, amount, unit, zone) == moment
    assert FILTERS["shift_time"](value, "later", amount, unit, zone) == moment
    assert FILTERS["subtract_time"](value, -int(amount), unit, zone) == moment


@pytest.mark.parametrize(
    ("one", "two", "unit", "zone", "amount"),
    [
        ("2026-11-24T09:30:02Z", "2026-11-24T09:30:00.5Z", "seconds", "UTC", "1.5"),
        ("2026-11-24T09:30:00Z", "2026-11-24T09:30:00.5Z", "seconds", "UTC", "-0.5"),
        ("2026-11-24T09:30:00Z", "2026-11-24T09:31:30Z", "minutes", "UTC", "-1"),
        ("2026-03-29T22:00:00Z", "2026-03-28T23:00:00Z", "days", "Europe/Berlin", "1"),
        ("2026-03-29T22:00:00Z", "2026-03-28T23:00:00Z", "hours", "Europe/Berlin", "23"),
        ("2027-01-01", "2025-01-02", "years", "UTC", "1"),
        ("2026-11-24", "2026-11-24", "weeks", "UTC", "0"),
    ],
)
def test_a_difference_counts_full_units(one, two, unit, zone, amount):
    assert str(FILTERS["difference"](one, two, unit, zone)) == amount


@pytest.mark.parametrize(
    ("unit", "moment"),
    [("year", "2025-12-31T23:00:00Z"), ("quarter", "2026-09-30T22:00:00Z"), ("month", "2026-10-31T23:00:00Z"), ("week", "2026-11-22T23:00:00Z"),
     ("sunday_week", "2026-11-21T23:00:00Z"), ("day", "2026-11-23T23:00:00Z"), ("hour", "2026-11-24T09:00:00Z"), ("minute", "2026-11-24T09:30:00Z"),
     ("second", "2026-11-24T09:30:15Z")],
)  # fmt: skip
def test_the_start_of_a_period_is_that_of_the_zone(unit, moment):
    assert FILTERS["start_of"]("2026-11-24T09:30:15.25Z", unit, "Europe/Paris") == moment


@pytest.mark.parametrize(
    ("name", "value", "arguments"),
    [
        ("moment", "2026-11-24T09:30:00Z", ("fortnight",)),
        ("moment", "soon", ()),
        ("date", "2026-11-24T09:30:00", ("%Y",)),
        ("date", "2026-02-30", ("%Y",)),
        ("date", "0001-01-01T00:00:00Z", ("%Y", "America/New_York")),
        ("date", "0001-01-01", ("%Y", "Asia/Tokyo")),
        ("start_of", "0001-01-01T02:00:00Z", ("year", "Asia/Tokyo")),
        ("start_of", "2026-11-24", ("decade",)),
        ("add_time", "2026-11-24", (9_000, "years")),
        ("add_time", "2026-11-24", (10**12, "years")),
        ("add_time", "2026-11-24", (1, "moons")),
        ("add_time", "2026-11-24", (1.5, "days")),
        ("shift_time", "2026-11-24", ("sideways", 1, "days")),
        ("difference", "2026-11-24", ("2026-11-24", "moons")),
    ],
)
def test_a_time_filter_refuses(name, value, arguments):
    with pytest.raises(RenderFault):
        FILTERS[name](value, *arguments)


@given(_MOMENTS, _ZONES)
def test_a_moment_that_is_written_with_its_offset_is_read_again(moment, zone):
    for pattern in ("%A, %d %B %Y %H:%M:%S.%f %z", "%Y-%j %I.%M.%S %p %f%z"):
        written = FILTERS["date"](moment.isoformat(), pattern, zone)
        assert coerce_datetime(FILTERS["parse_date"](written, pattern, "UTC")) == moment


@given(_MOMENTS, _ZONES)
def test_what_is_written_agrees_with_the_standard_library(moment, zone):
    pattern = "%Y-%m-%d %H:%M:%S.%f %y %j %I %p %B %b %A %a %z %Z %G %V %u %%"
    assert FILTERS["date"](moment.isoformat(), pattern, zone) == moment.astimezone(ZoneInfo(zone)).strftime(pattern)


@given(_MOMENTS, st.integers(-1_000_000, 1_000_000), _ZONES)
def test_seconds_added_are_the_seconds_between(moment, amount, zone):
    later = FILTERS["add_time"](moment.isoformat(), amount, "seconds", zone)
    assert FILTERS["difference"](later, moment.isoformat(), "seconds", zone) == amount


@given(_MOMENTS, st.sampled_from(["year", "quarter", "month", "week", "day", "hour", "minute"]), _ZONES)
def test_the_start_of_a_period_is_not_after_and_is_its_own_start(moment, unit, zone):
    start = FILTERS["start_of"](moment.isoformat(), unit, zone)
    assert coerce_datetime(start) <= moment
    assert FILTERS["start_of"](start, unit, zone) == start
