"""Answers: what they mean, how long to wait, what the result is; safe on anything a partner may answer."""

import email.utils
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.engine.parse import (
    FAULTS_LIMIT,
    MESSAGE_LIMIT,
    WAIT_LIMIT_MS,
    in_window,
    judge,
    read_answer,
    read_items,
    read_listed,
    read_refusal,
    read_wait,
)
from polyport.engine.results import read_item, read_value
from polyport.engine.schema import custom_name
from polyport.kinds.decoders import UnreadableAnswer
from polyport.kinds.fields import TYPES
from polyport.manifest.base import Match
from polyport.manifest.model import Call
from polyport.manifest.refusals import ErrorRule, RetryAfter
from polyport.net.message import Reply
from polyport.paths import MISSING, parse_path
from samples import custom, field, json_reply, list_spec, schema_of, trigger

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
UNIX = 1795521600
ENCODER = msgspec.json.Encoder(decimal_format="number")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(10**400, 10**410) | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters(exclude_categories=("Cs",))) | st.sampled_from(["", "2026-11-24", "2026-11-24T12:00:00Z", "-1", "1e999", "x", Decimal("1E+999999")]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["a", "id", "rows", "deep", "custom", "key", "value", "error", "message", "errors", "retry", "next"]), inner, max_size=5),
    max_leaves=15,
)  # fmt: skip


def rule(**keys):
    return ErrorRule.model_validate(keys, by_alias=True, by_name=False)


def verdict(answer, status=200, *rules, **headers):
    return judge([rule(**keys) for keys in rules], json_reply(status=status, **headers), answer, NOW)


# Verdicts


@pytest.mark.parametrize(
    ("faults", "answer", "found"),
    [
        ({"at": "errors"}, {"errors": {"summary": "is needed", "due": ["is past", "is odd"]}}, [("summary", "is needed", None), ("when", "is past", None)]),
        ({"at": "errors", "message": "text", "code": "kind"}, {"errors": {"a": {"text": "no", "kind": "taken"}}}, [("a", "no", "taken")]),
        (
            {"at": "errors", "field": "path", "message": "text"},
            {"errors": [{"path": "due", "text": "no"}, {"text": "of the whole"}, 7, {"path": "b", "text": {}}]},
            [("when", "no", None), ("b", "The partner refuses this.", None)],
        ),
        ({"at": "errors", "field": "path"}, {"errors": {"a": "an object where a list was declared"}}, []),
        ({"at": "errors"}, {"errors": ["a list where an object was declared"]}, []),
        ({"at": "errors"}, "nothing of the kind", []),
    ],
)  # fmt: skip
def test_a_rule_reads_every_faulty_field_that_the_answer_lists(faults, answer, found):
    told = verdict(answer, 400, {"status": [400], "kind": "invalid_input", "faults": faults, "fields": {"due": "when"}})
    assert [(fault.field, fault.message, fault.code) for fault in told.faults] == found


def test_the_first_faulty_field_is_the_message_where_the_rule_names_no_other():
    keys = {"status": [400], "kind": "invalid_input", "faults": {"at": "errors"}}
    answer = {"errors": {"name": "is needed"}, "title": "Bad request"}
    assert verdict(answer, 400, keys).message == "name: is needed"
    assert verdict(answer, 400, keys | {"message": "title"}).message == "Bad request"


def test_a_long_list_of_faulty_fields_is_cut():
    keys = {"status": [400], "kind": "invalid_input", "faults": {"at": "errors"}}
    assert len(verdict({"errors": {f"f{n}": "no" for n in range(1_000)}}, 400, keys).faults) == FAULTS_LIMIT


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_input"), (422, "invalid_input"), (401, "invalid_connection"), (403, "forbidden"), (404, "not_found"), (410, "not_found"),
     (409, "conflict"), (429, "rate_limited"), (408, "unavailable"), (500, "unavailable"), (503, "unavailable"), (599, "unavailable"),
     (402, "failed"), (418, "failed"), (301, "failed"), (304, "failed"), (100, "failed"), (600, "failed"), (999, "failed")],
)  # fmt: skip
def test_without_a_rule_the_status_says_what_an_answer_means(status, kind):
    found = verdict({"message": "why"}, status)
    assert (found.kind, found.status, found.message) == (kind, status, "why")


def test_an_answer_that_points_elsewhere_says_nothing_of_what_was_asked_unless_a_rule_knows():
    assert [status for status in (200, 300, 301, 302, 303, 304, 307, 308, 404) if (found := verdict({}, status)) and found.elsewhere] == [
        302,
        303,
    ]
    known = verdict({}, 302, {"status": [302], "kind": "conflict"})
    assert (known.kind, known.elsewhere) == ("conflict", False)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_a_success_is_one_without_any_rule(status):
    assert verdict({"error": "x"}, status) is None


def test_a_200_that_carries_an_error_is_caught_by_a_rule():
    slack = {"status": [200], "body": {"at": "ok", "equals": False}, "kind": "failed", "message": "error", "code": "error"}
    limited = {"body": {"at": "error", "equals": "ratelimited"}, "kind": "rate_limited", "retryAfter": {"header": "Retry-After"}}
    found = verdict({"ok": False, "error": "channel_not_found"}, 200, slack)
    assert (found.kind, found.message, found.code) == ("failed", "channel_not_found", "channel_not_found")
    assert verdict({"ok": False, "error": "ratelimited"}, 200, limited, slack, retry_after="30").retry_after_ms == 30_000
    assert verdict({"ok": True}, 200, slack) is None


def test_the_first_rule_that_fits_decides():
    first = {"status": ["4xx"], "kind": "conflict"}
    assert verdict({}, 404, first, {"status": [404], "kind": "forbidden"}).kind == "conflict"
    assert verdict({}, 404, {"status": ["40"], "kind": "forbidden"} | {"status": ["405"]}, first).kind == "conflict"
    assert verdict({}, 500, first).kind == "unavailable"


def test_all_conditions_of_a_rule_have_to_hold():
    told = {"status": ["404"], "header": "X-Reason", "body": {"at": "code", "in": ["gone", 7]}, "kind": "expired_token"}
    assert verdict({"code": 7}, 404, told, x_reason="1").kind == "expired_token"
    assert verdict({"code": 7}, 404, told).kind == "not_found"
    assert verdict({"code": 8}, 404, told, x_reason="1").kind == "not_found"
    assert verdict({"code": 7}, 403, told, x_reason="1").kind == "forbidden"


def test_a_rule_names_the_field_in_the_callers_words():
    told = {"status": [400], "kind": "invalid_input", "message": "errors[0].text", "code": "errors[0].code", "field": "errors[0].field",
            "fields": {"emails": "email"}, "suggestedFix": "Do this."}  # fmt: skip
    found = verdict({"errors": [{"text": " bad ", "code": 7, "field": "emails"}]}, 400, told)
    assert (found.message, found.code, found.field, found.suggested_fix) == ("bad", "7", "email", "Do this.")
    assert verdict({"errors": [{"field": "other"}]}, 400, told).field == "other"
    assert verdict({}, 400, told).field is None


@pytest.mark.parametrize(
    "answer",
    [{"error": {"message": "M"}}, {"message": "M"}, {"error": "x", "error_description": "M"}, {"error": "M"}, {"errors": [{"message": "M"}]},
     {"errors": [{"detail": "M"}]}, {"detail": "M"}, {"title": "M"}, {"errors": ["M"]}, {"description": "M"}],
)  # fmt: skip
def test_the_usual_places_of_a_message_are_looked_at(answer):
    assert verdict(answer, 500).message == "M"


@pytest.mark.parametrize(
    "answer", [None, [], "", 5, {}, {"message": None}, {"message": {"a": 1}}, {"message": ""}, {"message": True}, {"message": 10**5000}]
)
def test_without_a_message_the_status_is_said(answer):
    assert verdict(answer, 500).message == "The partner answered with status 500."


def test_a_message_is_cut():
    assert len(verdict({"message": "a" * 10_000}, 500).message) == MESSAGE_LIMIT


# Waits


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("30", 30_000), (" 30 ", 30_000), ("0", 0), ("1.5", 1_500), ("0.0001", 1),
        (str(UNIX + 60), 60_000), (str(UNIX - 60), 0),
        ("Tue, 24 Nov 2026 12:00:30 GMT", 30_000), ("Tue, 24 Nov 2026 11:59:00 GMT", 0), ("2026-11-24T12:01:00Z", 60_000), ("2026-11-24T12:01:00", 60_000),
        ("604800", WAIT_LIMIT_MS),
        ("-5", None), ("-0.5", None), ("604801", None), ("1e300", None), ("9" * 500, None), ("soon", None), ("", None), ("NaN", None), ("Infinity", None),
        (str(UNIX * 1000), 0), (str(UNIX * 1000 + 5_000), 5_000), (str(UNIX * 1000 - 5_000), 0), (str(UNIX * 2000), None), ("Tue, 24 Nov 2020 12:00:00 GMT", None), ("Tue, 24 Nov 2036 12:00:00 GMT", None),
        ("Tue, 99 Nov 2026 12:00:30 GMT", None), ("Tue, 24 Nov 99999999999999999999 12:00:30 GMT", None), ("24 Nov 2026 12:00:30 +9999999999", None),
        ("x" * 100_000, None),
    ],
)  # fmt: skip
def test_an_honest_retry_after_is_seconds_or_a_date(header, wait):
    reply = json_reply(status=429, retry_after=header)
    assert read_wait(RetryAfter(header="Retry-After"), reply, None, NOW) == wait
    assert judge([], reply, None, NOW).retry_after_ms == wait


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry_after_ms": "2500"}, 2_500), ({"x_ms_retry_after_ms": "30"}, 30), ({"retry_after": "3", "retry_after_ms": "2500"}, 3_000),
        ({"retry_after": "soon", "retry_after_ms": "2500"}, 2_500), ({"retry_after_ms": "-1"}, None), ({"retry_after_ms": "604800001"}, None),
    ],
)  # fmt: skip
def test_where_no_rule_says_otherwise_a_wait_may_be_told_in_milliseconds(headers, wait):
    assert [verdict({}, status, **headers).retry_after_ms for status in (429, 503)] == [wait, wait]
    own = {"status": [429], "kind": "rate_limited", "retryAfter": {"at": "wait"}}
    assert verdict({}, 429, own, **headers).retry_after_ms is None


@pytest.mark.parametrize(
    ("unit", "told", "wait"),
    [
        ("seconds", 30, 30_000), ("seconds", UNIX, None), ("seconds", -1, None), ("seconds", Decimal("0.25"), 250),
        ("milliseconds", "250", 250), ("milliseconds", -1, None), ("milliseconds", Decimal("0.2"), 1),
        ("unix", UNIX + 5, 5_000), ("unix", UNIX - 5, 0), ("unix", 5, None), ("unix", -5, None),
        ("unix_ms", UNIX * 1000 + 5, 5), ("unix_ms", 5, None),
        ("date", "2026-11-24T12:00:05Z", 5_000), ("date", 5, None), ("date", "5", None), ("seconds", "2026-11-24T12:00:05Z", None),
        ("auto", True, None), ("auto", None, None), ("auto", [], None), ("auto", {}, None), ("auto", Decimal("1E-300"), 1),
        ("seconds", Decimal("1E+399"), None), ("seconds", 10**399, None), ("seconds", 10**4000, None),
    ],
    ids=str,
)  # fmt: skip
def test_a_wait_may_stand_in_the_body_in_any_unit(unit, told, wait):
    assert read_wait(RetryAfter(at=("retry",), unit=unit), json_reply(), {"retry": told}, NOW) == wait


def test_a_wait_that_only_the_documentation_tells_is_told_as_it_stands_there():
    assert read_wait(RetryAfter(fixed=30), json_reply(), {}, NOW) == 30_000
    assert read_wait(RetryAfter(fixed=0.5), json_reply(), {}, NOW) == 500


def test_the_items_of_a_list_may_stand_inside_the_part_that_was_chosen():
    spec = list_spec("columns", items="fields", inside={"at": "tables", "field": "table"})
    answer = {"tables": [{"id": "t1", "fields": [{"id": "a"}]}, "odd", {"id": "t2", "fields": [{"id": "b"}, {"id": "c"}]}, {"id": "t3"}]}
    assert read_listed(spec, answer, {"table": "t2"}) == [{"id": "b"}, {"id": "c"}]
    assert read_listed(spec, answer, {"table": "t3"}) == read_listed(spec, answer, {"table": "t9"}) == read_listed(spec, answer, {}) == []
    assert read_listed(spec, "nothing of the kind", {"table": "t2"}) == []


def test_a_wait_that_is_not_there_is_none():
    assert read_wait(RetryAfter(at=("retry",)), json_reply(), {}, NOW) is None
    assert read_wait(RetryAfter(header="x"), json_reply(), {}, NOW) is None


@given(st.text(max_size=70) | st.datetimes().map(email.utils.format_datetime) | st.from_regex(r"[A-Z][a-z]{2}, \d{1,30} Nov \d{1,30} \d{1,30}:\d\d:\d\d [+-]\d{1,30}", fullmatch=True))  # fmt: skip
def test_no_header_makes_reading_a_wait_fail(header):
    found = read_wait(RetryAfter(header="retry-after"), json_reply(retry_after=header), None, NOW)
    assert found is None or 0 <= found <= WAIT_LIMIT_MS


@given(st.integers(-(10**6), 10**6))
def test_a_date_never_gives_a_negative_wait(seconds):
    header = email.utils.format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    found = read_wait(RetryAfter(header="retry-after"), json_reply(retry_after=header), None, NOW)
    assert found == (None if abs(seconds) * 1000 > WAIT_LIMIT_MS else max(seconds, 0) * 1000)


# Answers


def test_an_answer_is_decoded_as_the_call_says():
    assert read_answer(Call(path="/"), json_reply('{"a": 1}')) == {"a": 1}
    assert read_answer(Call(path="/", decode="text"), json_reply("x")) == "x"
    with pytest.raises(UnreadableAnswer):
        read_answer(Call(path="/"), json_reply("<html>"))


def test_an_envelope_holds_status_headers_and_body():
    found = read_answer(
        Call(path="/", envelope=True), Reply(status=201, headers=(("Content-Type", "application/json"), ("X-A", "b")), body=b"[1]")
    )
    assert found == {"status": 201, "headers": {"content-type": "application/json", "x-a": "b"}, "body": [1]}


def test_a_refusal_is_read_as_far_as_it_is_json():
    assert read_refusal(json_reply('{"a": 1}', 400)) == {"a": 1}
    assert read_refusal(json_reply("<html>", 400)) is None


def plain(text, status=400, kind="text/plain; charset=utf-8"):
    return Reply(status=status, headers=(("Content-Type", kind),), body=text.encode())


def test_a_refusal_that_is_plain_text_is_a_text_and_its_own_message():
    assert read_refusal(plain(" invalid id\n")) == "invalid id"
    assert read_refusal(plain("x" * 5_000)) == "x" * 2_000
    assert read_refusal(plain(" ")) is None
    assert read_refusal(plain("<html>", kind="text/html")) is None
    rules = [rule(status=[401], body={"at": "", "contains": "permission"}, kind="forbidden")]
    refused = judge(rules, plain("no", 401), read_refusal(plain("no permission")), NOW)
    assert (refused.kind, refused.message) == ("forbidden", "no permission")
    assert judge(rules, plain("", 401), read_refusal(plain("invalid token")), NOW).kind == "invalid_connection"


def test_the_name_of_a_field_is_found_inside_a_text():
    told = {"status": [400], "kind": "invalid_input", "fieldPattern": r"invalid value for (\w+)", "fields": {"idList": "list"}}
    plain_rule = rule(**told, field="")
    for text, named in (("invalid value for idList", "list"), ("invalid value for due", "due"), ("invalid id", None)):
        assert judge([plain_rule], plain(text), text, NOW).field == named
    listed = rule(**told, faults={"at": "e", "field": "m"})
    answer = {"e": [{"m": "invalid value for idList"}, {"m": "no"}, {"m": "invalid value for pos"}]}
    assert [fault.field for fault in judge([listed], plain(""), answer, NOW).faults] == ["list", "pos"]


# Values


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        ("string", "x", "x"), ("string", "", ""), ("string", 5, "5"), ("string", True, MISSING), ("string", {}, MISSING),
        ("integer", "5", 5), ("integer", "", MISSING), ("integer", "x", MISSING), ("integer", Decimal("5.0"), 5), ("integer", 10**500, MISSING),
        ("decimal", Decimal("1.10"), Decimal("1.10")), ("decimal", "1.10", Decimal("1.10")), ("decimal", "1,10", MISSING),
        ("boolean", "yes", True), ("boolean", 0, False), ("boolean", "", MISSING), ("boolean", 5, MISSING),
        ("datetime", "2026-11-24T12:00:00Z", UNIX), ("datetime", "2026-11-24T12:00:00", UNIX), ("datetime", "2026-11-24T14:00:00+02:00", UNIX),
        ("datetime", UNIX, UNIX), ("datetime", str(UNIX), UNIX), ("datetime", "2026-11-24T12:00:00.5Z", Decimal("1795521600.5")), ("datetime", "soon", MISSING),
        ("datetime", "2026-11-24", UNIX - 43_200), ("datetime", "0001-01-01T00:00:00+05:00", MISSING), ("datetime", 10**500, MISSING), ("datetime", "", MISSING),
        ("datetime", "2026-11-24T12:00:60Z", MISSING), ("datetime", "x" * 70, MISSING),
        ("datetime", "Tue, 24 Nov 2026 12:00:00 +0000", UNIX), ("datetime", " 24 Nov 2026 14:00:00 +0200 ", UNIX), ("datetime", "Tue, 24 Nov 2026 12:00:00 GMT", UNIX),
        ("datetime", "Tue, 32 Nov 2026 12:00:00 GMT", MISSING), ("datetime", "Mon, 01 Jan 0001 00:00:00 +0100", MISSING), ("datetime", "24 Nov 2026", MISSING),
        ("phone", "+44 20", "+44 20"), ("file", "https://x.example/f", {"url": "https://x.example/f"}), ("file", {"id": 1}, {"id": 1}),
        ("date", "2026-11-24", "2026-11-24"), ("date", "2026-11-24T12:00:00Z", "2026-11-24"), ("date", 5, MISSING), ("date", "2026", MISSING),
        ("nullable_boolean", "no", False), ("nullable_boolean", "", MISSING), ("object", {"a": [1]}, {"a": [1]}), ("object", "", MISSING),
        ("string[]", ["a", 1, None, {}], ["a", "1"]), ("string[]", "a", ["a"]), ("integer[]", [], []), ("integer[]", ["x"], []),
    ],
    ids=lambda value: str(value)[:20] if not isinstance(value, int) or value < 10**20 else "huge",
)  # fmt: skip
def test_a_partners_value_is_read_by_type_or_left_out(kind, value, found):
    assert read_value(kind, value) == found
    assert type(read_value(kind, value)) is type(found)


@pytest.mark.parametrize("kind", [name + array for name in TYPES for array in ("", "[]")])
def test_what_is_null_or_absent_is_left_out(kind):
    assert read_value(kind, None) is MISSING
    assert read_value(kind, MISSING) is MISSING


# Items

ROWS = {"name": "rows", "label": "R", "at": "list", "fields": [field("id", "integer"), field("more", at="m")], "sections": [
    {"name": "deep", "label": "D", "fields": [field("id")]}]}  # fmt: skip
SCHEMA = schema_of(
    result={"fields": [field("id", "integer"), field("first", at="list[0].id"), field("has", "boolean", at="flag", exists=True)], "sections": [ROWS]},
    customFields={"list": "people", "resultAt": "custom"}, custom_fields=(custom("email"), custom("7", "integer"), custom("tags", "string[]", separator=",")),
)  # fmt: skip


def test_an_item_is_read_under_public_names():
    item = {
        "id": "5",
        "flag": "x",
        "list": [{"id": 1, "m": "a", "deep": {"id": "d"}}, 5, {"id": None}],
        "custom": {"email": "e", "7": "8", "tags": "a,,b", "nope": 1},
    }
    assert read_item(SCHEMA, item) == {
        "id": 5, "first": "1", "has": True, "rows": [{"id_": 1, "more": "a", "deep": [{"id__": "d"}]}, {}, {}],
        custom_name("email"): "e", custom_name("7"): 8, custom_name("tags"): ["a", "b"],
    }  # fmt: skip


@pytest.mark.parametrize("value", [None, "", [], {}, MISSING])
def test_whether_something_exists_is_always_told(value):
    item = {} if value is MISSING else {"flag": value}
    assert read_item(SCHEMA, item) == {"has": False}


@pytest.mark.parametrize("item", [None, [], "x", 5, {"list": "x", "custom": "x"}, {"list": None, "custom": None}])
def test_an_item_of_another_shape_gives_nothing(item):
    assert read_item(SCHEMA, item) == {"has": False}


def test_custom_fields_may_come_as_pairs():
    pairs = schema_of(
        customFields={"list": "people", "resultAt": "", "shape": "pairs", "pairKey": "k", "pairValue": "v"},
        custom_fields=(custom("email"), custom("7")),
    )
    rows = [
        {"k": "email", "v": "e"},
        {"k": 7, "v": "s"},
        {"k": {"a": 1}, "v": 1},
        {"k": [], "v": 1},
        {"k": "x", "v": 1},
        {},
        5,
        {"k": 10**5000, "v": 1},
        {"k": "7", "v": None},
    ]
    assert read_item(pairs, rows) == {custom_name("email"): "e", custom_name("7"): "s"}


def test_custom_fields_that_do_not_come_back_are_not_looked_for():
    assert read_item(schema_of(customFields={"list": "people"}, custom_fields=(custom("email"),)), {"email": "e"}) == {}


@given(JSON)
def test_no_answer_makes_reading_an_item_fail_and_the_result_is_json(item):
    everything = schema_of(
        result={"fields": [field(f"f{index}", kind, at="a") for index, kind in enumerate([*TYPES, *(f"{name}[]" for name in TYPES)])], "sections": [
            {"name": "rows", "label": "R", "fields": [field("id")], "sections": [{"name": "deep", "label": "D", "fields": [field("id")]}]}]},
        customFields={"list": "people", "resultAt": "custom", "shape": "pairs", "pairKey": "key"}, custom_fields=(custom("x"), custom("id", "datetime")),
    )  # fmt: skip
    ENCODER.encode(read_item(everything, item))


@given(JSON, st.integers(100, 999), st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=20))
def test_no_answer_makes_a_verdict_fail(answer, status, header):
    told = [
        {
            "status": [200],
            "body": {"at": "error"},
            "kind": "failed",
            "message": "message",
            "code": "errors",
            "field": "error",
            "retryAfter": {"at": "retry"},
        },
        {"body": {"at": "errors[*].message", "contains": "x"}, "kind": "failed"},
        {"status": ["5xx"], "kind": "unavailable", "message": "errors[0]", "retryAfter": {"header": "X-Wait", "unit": "unix_ms"}},
    ]
    found = verdict(answer, status, *told, x_wait=header)
    assert found is not None or 200 <= status < 300
    if found is not None:
        assert found.message
        assert found.retry_after_ms is None or 0 <= found.retry_after_ms <= WAIT_LIMIT_MS


# Lists


@pytest.mark.parametrize(
    ("answer", "at", "items"),
    [
        ([1, 2], "", [1, 2]),
        ({"data": [1]}, "data", [1]),
        ({"data": {"a": 1}}, "data", [{"a": 1}]),
        ({"data": None}, "data", []),
        ({}, "data", []),
        ("x", "", []),
        (None, "", []),
        ({"groups": [{"rows": [1, 2]}, {"rows": []}, {}, {"rows": [3]}]}, "groups[*].rows", [1, 2, 3]),
        ({"groups": [{"rows": [{"id": 1}]}, {"rows": [{"id": 2}]}]}, "groups[*].rows[*].id", [1, 2]),
        ({"a": [{"b": [{"c": [1]}, {"c": [2, 3]}]}]}, "a[*].b[*].c", [1, 2, 3]),
        ({"groups": [{"first": {"id": 1}}, {"first": {"id": 2}}]}, "groups[*].first", [{"id": 1}, {"id": 2}]),
        ({"rows": [[1, 2], [3, 4]]}, "rows[*]", [[1, 2], [3, 4]]),
        ({"groups": 5}, "groups[*].rows", []),
    ],
)
def test_the_items_of_a_list(answer, at, items):
    assert read_items(answer, parse_path(at)) == items


def test_items_may_have_to_meet_conditions():
    conditions = [Match(at=("type",), equals="a"), Match(at=("hidden",), negate=True)]
    items = [{"type": "a"}, {"type": "b"}, {"type": "a", "hidden": True}, 5]
    assert read_items(items, (), conditions) == [{"type": "a"}]


@pytest.mark.parametrize(
    ("keys", "value", "true"),
    [
        ({"equals": True}, {"a": True}, True), ({"equals": True}, {"a": 1}, False), ({"equals": 1}, {"a": True}, False), ({"equals": 1}, {"a": 1}, True),
        ({"equals": 1}, {"a": Decimal("1.0")}, True), ({"equals": None}, {"a": None}, True), ({"equals": None}, {}, False),
        ({"one_of": ("x", None)}, {"a": None}, True), ({"one_of": ("x",)}, {"a": "y"}, False), ({"one_of": ()}, {"a": "y"}, False),
        ({"contains": "ell"}, {"a": "hello"}, True), ({"contains": "ell"}, {"a": ["ell"]}, False), ({"contains": "ell"}, {}, False),
        ({}, {"a": 0}, True), ({}, {"a": None}, False), ({}, {}, False), ({"negate": True}, {}, True), ({"equals": 1, "negate": True}, {"a": 1}, False),
        ({"equals": "x"}, {"a": {"x": 1}}, False),
    ],
)  # fmt: skip
def test_a_condition_on_json(keys, value, true):
    assert Match(at=("a",), **keys).holds(value) is true


# Windows


@pytest.mark.parametrize(
    ("start", "end", "inside"),
    [
        (None, None, True),
        (UNIX, None, True),
        (UNIX + 1, None, False),
        (None, UNIX, False),
        (None, UNIX + 1, True),
        (UNIX - 1, UNIX + 1, True),
    ],
)
def test_a_window_begins_with_its_start_and_ends_before_its_end(start, end, inside):
    told = trigger(time={"at": "at"})
    bounds = [None if moment is None else Decimal(moment) for moment in (start, end)]
    assert in_window(told, {"at": "2026-11-24T12:00:00Z"}, *bounds) is inside


def test_an_item_without_a_time_is_always_inside():
    assert in_window(trigger(time={"at": "at"}), {"at": "soon"}, Decimal(1), Decimal(2))
    assert in_window(trigger(), {"at": 5}, Decimal(1), Decimal(2))


SOAP = (
    '<s:Envelope xmlns:s="u"><s:Body><s:Fault><faultcode>s:Client</faultcode><faultstring>No.</faultstring></s:Fault></s:Body></s:Envelope>'
)
SOAP_12 = '<s:Envelope xmlns:s="u"><s:Body><s:Fault><s:Reason><s:Text xml:lang="en">No.</s:Text></s:Reason></s:Fault></s:Body></s:Envelope>'


@pytest.mark.parametrize("fault", [SOAP, SOAP_12])
def test_the_text_of_a_soap_fault_is_the_message(fault):
    reply = Reply(status=500, body=fault.encode())
    verdict = judge((), reply, read_refusal(reply, "xml"), NOW)
    assert (verdict.kind, verdict.message) == ("unavailable", "No.")
    assert read_refusal(reply) is None


@pytest.mark.parametrize("kind", ["application/xml", "text/xml; charset=utf-8", "Application/Problem+XML"])
def test_a_refusal_that_says_it_is_xml_is_read_as_such_whatever_the_call_expects(kind):
    reply = Reply(status=404, headers=(("Content-Type", kind),), body=b"<Error><Code>NoSuchKey</Code></Error>")
    assert read_refusal(reply, "file") == {"Error": {"Code": "NoSuchKey"}}
    assert read_refusal(Reply(status=404, headers=(("Content-Type", "text/html"),), body=b"<a/>"), "file") is None


def test_a_csv_or_xml_answer_is_read_in_the_shape_the_call_says():
    table = Call.model_validate({"path": "/", "decode": "csv", "csv": {"delimiter": ";", "header": ["a", "b"]}})
    assert read_answer(table, Reply(status=200, body=b"1;2")) == [{"a": "1", "b": "2"}]
    document = Call.model_validate({"path": "/", "decode": "xml", "xml": {"lists": ["b"]}})
    assert read_answer(document, Reply(status=200, body=b"<a><b>1</b></a>")) == {"a": {"b": ["1"]}}
    enveloped = Call.model_validate({"path": "/", "decode": "xml", "envelope": True})
    assert read_answer(enveloped, Reply(status=200, body=b"<a/>")) == {"status": 200, "headers": {}, "body": {"a": None}}


@pytest.mark.parametrize("shape", [{"csv": {}}, {"xml": {"lists": ["a"]}, "decode": "csv"}, {"csv": {"delimiter": "\n"}, "decode": "csv"}])
def test_a_shape_stands_with_its_own_decoding(shape):
    with pytest.raises(ValueError, match=r"decode: (csv|xml)|delimiter"):
        Call.model_validate({"path": "/", **shape})
