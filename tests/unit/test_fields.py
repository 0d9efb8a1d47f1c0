"""Field types: lenient in, exact out, and safe on anything."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.kinds.fields import DEPTH_LIMIT, TYPES, FileValue, PhoneValue, ValueFault, read_decimal

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.decimals() | st.text(alphabet=st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def coerced(kind, value):
    return TYPES[kind].coerce(value)


def outcome(function, value):
    try:
        return function(value), None
    except ValueFault as fault:
        return None, fault


def refused(kind, value):
    with pytest.raises(ValueFault) as caught:
        coerced(kind, value)
    return caught.value.code


@pytest.mark.parametrize(
    ("kind", "code"),
    [("string", 1), ("integer", 2), ("decimal", 3), ("boolean", 4), ("datetime", 5), ("phone", 6), ("file", 7), ("date", 8),
     ("nullable_boolean", 9), ("object", 10)],
)  # fmt: skip
def test_the_wire_codes_are_those_of_the_contract(kind, code):
    assert TYPES[kind].code == code


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        ("string", "x", "x"),
        ("string", "", ""),
        ("string", 3, "3"),
        ("string", 1.5, "1.5"),
        ("string", Decimal("1.50"), "1.50"),
        ("string", 1e22, "10000000000000000000000"),
        ("string", Decimal("1E+999"), "1E+999"),
        ("string", "a\r\nb\x00", "a\r\nb\x00"),
        ("integer", 3, 3),
        ("integer", "3", 3),
        ("integer", " -3 ", -3),
        ("integer", "+3", 3),
        ("integer", 3.0, 3),
        ("integer", Decimal("3.00"), 3),
        ("integer", "3.0", 3),
        ("integer", "1e3", 1000),
        ("integer", 10**30, 10**30),
        ("integer", "9" * 400, int("9" * 400)),
        ("decimal", 3, 3),
        ("decimal", 0.1, Decimal("0.1")),
        ("decimal", "0.10", Decimal("0.10")),
        ("decimal", ".5", Decimal("0.5")),
        ("decimal", "5.", Decimal(5)),
        ("decimal", "-1.5e-3", Decimal("-0.0015")),
        ("decimal", "12345678901234567890.123456789012345678901", Decimal("12345678901234567890.123456789012345678901")),
        ("boolean", True, True),
        ("boolean", "true", True),
        ("boolean", " TRUE ", True),
        ("boolean", 1, True),
        ("boolean", "1", True),
        ("boolean", "yes", True),
        ("boolean", False, False),
        ("boolean", 0, False),
        ("boolean", "no", False),
        ("nullable_boolean", None, None),
        ("nullable_boolean", "", None),
        ("nullable_boolean", "yes", True),
        ("date", "2026-11-24", date(2026, 11, 24)),
        ("date", "2024-02-29", date(2024, 2, 29)),
        ("date", "0001-01-01", date(1, 1, 1)),
        ("date", "9999-12-31", date(9999, 12, 31)),
        ("object", {"a": [1, None]}, {"a": [1, None]}),
        ("object", "text", "text"),
    ],
)
def test_what_callers_send_is_read_leniently(kind, value, found):
    got = coerced(kind, value)
    assert got == found
    assert type(got) is type(found)


@pytest.mark.parametrize(
    ("kind", "value", "code"),
    [
        ("string", True, "wrong_type"),
        ("string", None, "wrong_type"),
        ("string", [], "wrong_type"),
        ("string", {}, "wrong_type"),
        ("string", "\ud800", "invalid_text"),
        ("string", "ok \udfff", "invalid_text"),
        pytest.param("string", 10**5000, "too_large", id="huge-string"),
        ("string", float("nan"), "wrong_type"),
        ("integer", True, "wrong_type"),
        ("integer", "", "wrong_type"),
        ("integer", "3.5", "wrong_type"),
        ("integer", 3.5, "wrong_type"),
        ("integer", "٣", "wrong_type"),
        ("integer", "3 4", "wrong_type"),
        ("integer", "0x10", "wrong_type"),
        ("integer", "1_000", "wrong_type"),
        ("integer", "9" * 5000, "wrong_type"),
        ("integer", "1e999999999", "wrong_type"),
        ("integer", Decimal("1E+999999999"), "wrong_type"),
        ("integer", float("inf"), "wrong_type"),
        pytest.param("integer", 10**5000, "too_large", id="huge-integer"),
        ("integer", [3], "wrong_type"),
        ("decimal", True, "wrong_type"),
        ("decimal", "1,5", "wrong_type"),
        ("decimal", ".", "wrong_type"),
        ("decimal", "NaN", "wrong_type"),
        ("decimal", "Infinity", "wrong_type"),
        ("decimal", float("nan"), "wrong_type"),
        ("decimal", float("-inf"), "wrong_type"),
        ("decimal", Decimal("sNaN"), "wrong_type"),
        ("decimal", "1e999999999", "wrong_type"),
        ("decimal", Decimal("1E-999999999"), "wrong_type"),
        pytest.param("decimal", 10**5000, "too_large", id="huge-decimal"),
        ("decimal", "\u0661\u066b\u0665", "wrong_type"),
        ("boolean", 2, "wrong_type"),
        ("boolean", 1.0, "wrong_type"),
        ("boolean", "maybe", "wrong_type"),
        ("boolean", None, "wrong_type"),
        ("boolean", "", "wrong_type"),
        ("boolean", [], "wrong_type"),
        ("nullable_boolean", "maybe", "wrong_type"),
        ("date", "2026-02-30", "wrong_type"),
        ("date", "2026-1-1", "wrong_type"),
        ("date", "0000-01-01", "wrong_type"),
        ("date", "20261124", "wrong_type"),
        ("date", "2026-11-24T00:00:00Z", "wrong_type"),
        ("date", "٢٠٢٦-11-24", "wrong_type"),
        ("date", 1795521600, "wrong_type"),
    ],
)
def test_what_is_none_of_a_type_is_refused_with_a_code(kind, value, code):
    assert refused(kind, value) == code


# DateTime


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (1795521600, NOON),
        ("1795521600", NOON),
        (1795521600.25, NOON.replace(microsecond=250_000)),
        (Decimal("1795521600.000001"), NOON.replace(microsecond=1)),
        ("2026-11-24T12:00:00Z", NOON),
        ("2026-11-24T14:00:00+02:00", NOON),
        ("2026-11-24T12:00:00.5Z", NOON.replace(microsecond=500_000)),
        ("20261124T120000Z", NOON),
        (" 2026-11-24 12:00:00+00:00 ", NOON),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (-62135596800, datetime(1, 1, 1, tzinfo=UTC)),
        (253402300799, datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ],
)
def test_a_moment_is_unix_seconds_or_iso_8601_with_a_zone(value, found):
    assert coerced("datetime", value) == found


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("2026-11-24T12:00:00", "missing_zone"),
        ("2026-11-24", "missing_zone"),
        ("2026-11-24T12:00:60Z", "wrong_type"),
        ("2026-11-24T12:00:00+25:00", "wrong_type"),
        ("2026-13-01T00:00:00Z", "wrong_type"),
        ("0001-01-01T00:00:00+02:00", "wrong_type"),
        ("9999-12-31T23:59:59-02:00", "wrong_type"),
        (-62135596801, "wrong_type"),
        (253402300800, "wrong_type"),
        pytest.param(10**5000, "wrong_type", id="huge"),
        (float("nan"), "wrong_type"),
        (Decimal("Infinity"), "wrong_type"),
        ("1e999999999", "wrong_type"),
        (True, "wrong_type"),
        (None, "wrong_type"),
        ("", "wrong_type"),
        ("soon", "wrong_type"),
        ("2" * 100_000, "wrong_type"),
        ("\ud800", "wrong_type"),
        ([], "wrong_type"),
    ],
)
def test_what_is_no_moment_is_refused(value, code):
    assert refused("datetime", value) == code


@pytest.mark.parametrize(
    ("wire", "written"),
    [
        ("iso8601", "2026-11-24T12:00:00.250000Z"),
        ("unix", Decimal("1795521600.25")),
        ("unix_seconds", 1795521600),
        ("unix_ms", 1795521600250),
        ("unix_text", "1795521600"),
        ("unix_ms_text", "1795521600250"),
        ("space", "2026-11-24 12:00:00"),
        ("rfc3339_offset", "2026-11-24T12:00:00.250000+00:00"),
        ("date", "2026-11-24"),
        ("rfc2822", "Tue, 24 Nov 2026 12:00:00 GMT"),
    ],
)
def test_a_moment_is_written_in_the_format_of_its_field(wire, written):
    assert TYPES["datetime"].wires[wire](NOON.replace(microsecond=250_000)) == written


def test_a_whole_second_has_no_fraction_on_the_wire():
    assert TYPES["datetime"].wires["iso8601"](NOON) == "2026-11-24T12:00:00Z"
    assert TYPES["datetime"].wires["unix"](NOON) == 1795521600


def test_years_of_fewer_than_four_digits_are_written_with_four():
    first = datetime(1, 1, 1, tzinfo=UTC)
    wires = TYPES["datetime"].wires
    assert wires["space"](first) == "0001-01-01 00:00:00"
    assert wires["rfc2822"](first) == "Mon, 01 Jan 0001 00:00:00 GMT"
    assert TYPES["date"].wires["compact"](date(1, 1, 1)) == "00010101"


def test_moments_before_the_epoch_round_down():
    before = datetime(1969, 12, 31, 23, 59, 58, 500_000, tzinfo=UTC)
    assert TYPES["datetime"].wires["unix_seconds"](before) == -2
    assert TYPES["datetime"].wires["unix_ms"](before) == -1500


def test_a_day_is_written_in_the_format_of_its_field():
    assert TYPES["date"].wires["iso8601"](date(2026, 11, 24)) == "2026-11-24"
    assert TYPES["date"].wires["compact"](date(2026, 11, 24)) == "20261124"


def test_numbers_and_booleans_can_be_written_as_texts_and_numbers():
    assert TYPES["integer"].wires["text"](3) == "3"
    assert TYPES["decimal"].wires["text"](Decimal("1.50")) == "1.50"
    assert [TYPES["boolean"].wires[wire](True) for wire in ("boolean", "number", "text")] == [True, 1, "true"]
    assert TYPES["boolean"].wires["text"](False) == "false"


# Phone


@pytest.mark.parametrize(
    ("given", "e164"),
    [
        ("+44 20 7946 0000", "+442079460000"),
        ("0044 20 7946 0000", "+442079460000"),
        ("020 7946 0000", None),
        ("+1", None),
        ("+1 23", None),
        ("hello", None),
    ],
)
def test_a_phone_number_is_parsed(given, e164):
    assert coerced("phone", given) == PhoneValue(given, e164)


def test_a_phone_number_goes_out_as_e164_unless_the_partner_wants_otherwise():
    national, international = coerced("phone", "020 7946 0000"), coerced("phone", "+44 20 7946 0000")
    wires = TYPES["phone"].wires
    assert next(iter(wires)) == "e164"
    assert wires["e164"](international) == "+442079460000"
    assert wires["given"](international) == "+44 20 7946 0000"
    assert wires["e164_or_given"](national) == "020 7946 0000"
    with pytest.raises(ValueFault, match="country code"):
        wires["e164"](national)


@pytest.mark.parametrize("value", ["", "   ", "1" * 65])
def test_what_cannot_be_a_phone_number_is_refused(value):
    assert refused("phone", value) == "invalid_phone"


# File


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"url": "https://x.example/a"}, FileValue(url="https://x.example/a")),
        ({"fileId": "f1", "name": "a.txt"}, FileValue(file_id="f1", name="a.txt")),
        (
            {"base64": "aGk=", "name": "a.txt", "contentType": "text/plain"},
            FileValue(content=b"hi", name="a.txt", content_type="text/plain"),
        ),
        ({"base64": "", "name": "empty"}, FileValue(content=b"", name="empty")),
    ],
)
def test_a_file_comes_as_an_address_an_id_or_its_content(value, found):
    assert coerced("file", value) == found


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("https://x.example/a", "wrong_type"),
        (None, "wrong_type"),
        ({}, "invalid_file"),
        ({"name": "a"}, "invalid_file"),
        ({"url": "https://x", "fileId": "f"}, "invalid_file"),
        ({"url": "https://x", "other": 1}, "invalid_file"),
        ({"url": 5}, "invalid_file"),
        ({"base64": "a"}, "invalid_file"),
        ({"base64": "aGk=\n"}, "invalid_file"),
        ({"base64": "é"}, "invalid_file"),
        ({"base64": "aGk=", "name": "a\r\nContent-Type: text/html"}, "invalid_file"),
        ({"base64": "aGk=", "contentType": "text/html\r\nX: 1"}, "invalid_file"),
        ({"base64": "aGk=", "name": "\ud800"}, "invalid_file"),
        ({"base64": "aGk=", "name": "a" * 256}, "invalid_file"),
    ],
)
def test_what_is_no_file_is_refused(value, code):
    assert refused("file", value) == code


def test_the_content_of_a_file_is_not_in_its_repr():
    assert repr(FileValue(content=b"s3cret", name="a")) == "<FileValue 'a' (6 bytes)>"
    assert repr(FileValue(url="https://x.example/s3cret")) == "<FileValue None (elsewhere)>"


# Object


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


def test_free_json_has_a_depth_limit_that_costs_no_stack():
    assert coerced("object", nested(DEPTH_LIMIT)) == nested(DEPTH_LIMIT)
    assert refused("object", nested(DEPTH_LIMIT + 1)) == "too_deep"
    assert refused("object", nested(100_000)) == "too_deep"


# All


@given(st.sampled_from(list(TYPES)), JSON)
def test_no_value_makes_a_type_fail_in_any_other_way(kind, value):
    row = TYPES[kind]
    found, fault = outcome(row.coerce, value)
    if fault is not None:
        assert fault.code
        assert fault.message.endswith(".")
        return
    for wire in row.wires.values():
        _written, fault = outcome(wire, found)
        assert fault is None or fault.code == "invalid_phone"


@given(st.text(min_size=12, max_size=40))
def test_a_fault_never_repeats_the_value(value):
    value = f"canary {value}"
    for row in TYPES.values():
        _found, fault = outcome(row.coerce, value)
        assert fault is None or value not in fault.message


def test_a_number_of_any_form_is_read_for_filters():
    assert read_decimal("1.50") == Decimal("1.50")
    assert read_decimal(3) == Decimal(3)
    assert read_decimal("x") is None
    assert read_decimal(True) is None
    assert read_decimal(10**5000) is None
