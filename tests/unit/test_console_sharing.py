"""What of an input may stand in a link, in code that is copied, in colours and in a time line."""

from __future__ import annotations

import ast
import base64
import json
import zlib
from html import unescape
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bounds import examples
from polyport.server.console.filled import json_value
from polyport.server.console.outcomes import bars
from polyport.server.console.painted import as_json, painted
from polyport.server.console.results import shown_result
from polyport.server.console.sharing import INFLATED_MOST, left_out, packed, shared, unpacked
from polyport.server.console.snippets import SECRET, curl, javascript, python_literal, without_secrets
from polyport.server.wire import encode
from polyport.testing.inputs import JSON

some = settings(max_examples=examples(40), deadline=None, database=None, suppress_health_check=list(HealthCheck))
EVIL = "'\"`$(id)\\\n</script>\u202e\U0001f600\nJSON\n"


def told(name: str, kind: int = 1, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "label": name, "isRequired": False, "isEditable": True} | more


SHOWN = {
    "variables": [
        told("text"), told("number", 2), told("yes", 4), told("day", 8), told("time", 5), told("json", 10), told("file", 7),
        told("choice", data=[{"key": "a", "label": "A"}]), told("choices", 101, data=[{"key": "a", "label": "A"}]), told("key", isSecret=True),
        told("choice_and_secret", isSecret=True, data=[{"key": "a", "label": "A"}]),
    ],
    "rowSections": [{"name": "rows", "label": "Rows", "variables": [told("text"), told("yes", 4), told("key", isSecret=True)]}],
}  # fmt: skip
DATA = {
    "text": "private", "number": 7, "yes": True, "day": "2026-11-24", "time": 1, "json": {"password": "p", "a": 1}, "file": {"fileId": "f"},
    "choice": "a", "choices": ["a"], "key": "s3cret", "choice_and_secret": "a", "odd": "unknown",
    "rows": [{"text": "private", "yes": False, "key": "s3cret"}],
}  # fmt: skip


def test_a_link_holds_choices_and_what_cannot_be_a_secret():
    assert shared(SHOWN, DATA, texts=False) == {
        "yes": True, "day": "2026-11-24", "time": 1, "choice": "a", "choices": ["a"], "rows": [{"yes": False}],
    }  # fmt: skip


def test_with_texts_a_link_still_holds_no_secret_and_nothing_that_is_named_like_one():
    found = shared(SHOWN, DATA, texts=True)

    assert found["text"] == "private"
    assert found["rows"] == [{"text": "private", "yes": False}]
    assert not found.keys() & {"key", "choice_and_secret", "json"}
    assert left_out(DATA, found) == ["json", "key", "choice_and_secret", "rows[0].key"]


def test_members_that_the_schema_does_not_know_are_texts_and_held_unless_they_are_secret_by_name():
    data = {"odd": {"deep": 1, "pin": "p"}, "password": "p", "pin": "p", "rows": "no rows"}
    found = shared(SHOWN, data, texts=True, hidden=frozenset({"pin"}))

    assert found == {"odd": {"deep": 1}, "rows": "no rows"}
    assert left_out(data, found) == ["odd.pin", "password", "pin"]
    assert shared(SHOWN, data, texts=False, hidden=frozenset({"pin"})) == {}
    assert left_out([1, 2], [1], "list") == ["list"]


@pytest.mark.parametrize("given", [{"choice": "typed by hand"}, {"choices": ["a", "typed"]}, {"yes": {"a": "typed"}}, {"day": "x" * 100}])
def test_what_was_typed_in_place_of_a_choice_is_no_choice(given: dict[str, Any]):
    assert shared(SHOWN, given, texts=False) == {}


@some
@given(st.dictionaries(st.text(max_size=5), JSON, max_size=3))
def test_what_is_packed_comes_out_as_it_was(content: dict[str, Any]):
    content = json_value(encode(content).decode())
    text = packed(content)

    assert text is not None
    assert encode(unpacked(text)) == encode(content)


BOMB = base64.urlsafe_b64encode(zlib.compress(b"[" + b" " * (INFLATED_MOST * 4) + b"]", 9)).decode().rstrip("=")


@pytest.mark.parametrize(
    "text", ["", "a", "\u00e9", "A" * 7_000, BOMB, "eJw", str(packed({}))[:-3], base64.urlsafe_b64encode(zlib.compress(b"[1]")).decode()]
)
def test_what_is_no_link_is_refused_in_little_memory(text: str):
    with pytest.raises(ValueError, match=r"."):
        unpacked(text)


def test_a_link_that_would_be_too_long_is_none():
    assert packed({"d": [str(number * 7919) for number in range(5_000)]}) is None


@some
@given(JSON)
def test_python_reads_the_code_as_the_same_value(value: Any):
    value = json.loads(json.dumps(value))

    assert ast.literal_eval(python_literal(json_value(json.dumps(value)))) == value


def test_no_digit_of_a_number_is_lost_in_code():
    assert ast.literal_eval(python_literal(json_value("0.1234567890123456789012"))) == "0.1234567890123456789012"


@pytest.mark.parametrize("made", [curl, javascript])
def test_no_text_breaks_out_of_code(made: Any):
    code = made("http://localhost/x", {"runnerData": {"a": EVIL}})

    assert json.dumps(EVIL, ensure_ascii=False)[1:-1].split("\\n")[0] in code
    assert sum(line == "JSON" for line in code.split("\n")) == (1 if made is curl else 0)


def test_secrets_have_a_stand_in_in_code():
    found = without_secrets(frozenset({"key"}), DATA)

    assert (found["key"], found["rows"][0]["key"], found["text"]) == (SECRET, SECRET, "private")
    assert "s3cret" not in str(found)


def test_secrets_are_left_out_of_json_at_any_depth_whatever_shape_they_have():
    found = without_secrets(frozenset({"key"}), {**DATA, "more": [{"deep": {"key": ["s3cret"]}}]}, None)

    assert "key" not in str(found)
    assert (found["text"], found["more"]) == ("private", [{"deep": {}}])


@pytest.mark.parametrize("language", ["json", "curl", "Python", "JavaScript"])
@pytest.mark.parametrize("text", ["<b>&amp;</b>", EVIL, '{"a": [1, true, "<img>"]}', "x" * 70_000])
def test_colours_change_no_text_and_let_no_markup_through(language: str, text: str):
    html = str(painted(text, language))

    assert "<b>" not in html
    assert "<img" not in html
    assert "style=" not in html
    plain = html.replace("</span>", "")
    while "<span" in plain:
        start = plain.index("<span")
        plain = plain[:start] + plain[plain.index(">", start) + 1 :]
    assert unescape(plain) == text


def test_a_body_that_is_json_is_shown_in_lines_all_others_as_they_are():
    assert "\n" in str(as_json('{"a":1}'))
    assert str(as_json("{broken <b>")) == "{broken &lt;b&gt;"
    assert str(as_json("a=1&b=2")) == "a=1&amp;b=2"


def test_a_time_line_has_the_run_what_was_ours_and_each_exchange():
    exchange = {"step": "call", "startedAt": 100.02, "durationMs": 30, "request": {"method": "GET"}, "reply": {"status": 200}}
    lost = {"step": "again", "startedAt": 100.06, "durationMs": 40, "request": {"method": "GET"}}
    found = bars({"durationMs": 100}, [{"number": 1, "exchanges": [exchange, lost]}])

    assert [(bar.label, bar.detail, round(bar.start_ms), round(bar.took_ms)) for bar in found] == [
        ("Whole run", "1 attempt", 0, 100),
        ("Polyport", "checks, lists, records", 0, 20),
        ("call", "GET, 200", 20, 30),
        ("again", "GET, no answer, failed", 60, 40),
    ]
    assert all(bar.left >= 0 and bar.width > 0 for bar in found)
    assert bars({}, []) == []


def test_what_failed_and_what_was_waited_for_stand_in_the_time_line():
    def told(step, at, took, status=None):
        reply = {"reply": {"status": status}} if status else {}
        return {"step": step, "startedAt": at, "durationMs": took, "request": {"method": "GET"}} | reply

    attempts = [{"number": 1, "exchanges": [told("call", 1.0, 100, 503)]}, {"number": 2, "exchanges": [told("call", 1.6, 100, 200)]}]
    found = bars({"durationMs": 700}, attempts)

    assert [(bar.label, bar.detail, bar.kind, round(bar.start_ms), round(bar.took_ms)) for bar in found] == [
        ("Whole run", "2 attempts", "whole", 0, 700),
        ("call", "attempt 1, GET, 503, failed", "failed", 0, 100),
        ("Wait", "before attempt 2", "wait", 100, 500),
        ("call", "attempt 2, GET, 200", "partner", 600, 100),
    ]


FIELDS = {
    "variables": [{"name": "at", "type": 5}, {"name": "n", "type": 2}],
    "rowSections": [{"name": "rows", "variables": [{"name": "due", "type": 5}]}],
}


def test_a_result_is_shown_field_by_field_up_to_a_bound():
    found = shown_result({"a": 1, "b": [{"c": None}], "d": [1, 2], "e": {}, "at": 17, "n": 18}, FIELDS)

    assert [(path, cell.value, cell.moment) for path, cell in found.rows] == [
        ("a", 1, None),
        ("b[0].c", None, None),
        ("d", [1, 2], None),
        ("e", {}, None),
        ("at", 17, 17.0),
        ("n", 18, None),
    ]
    assert not found.more
    many = shown_result({str(number): number for number in range(5_000)}, {})
    assert (len(many.rows), many.more) == (200, True)


def test_lists_of_objects_are_tables_that_say_what_they_leave_out():
    found = shown_result({"rows": [{"due": 5, "x": "file_" + "a" * 32}, {"y": 2}] + [{}] * 200, "nextCursor": None}, FIELDS)

    (table,) = found.tables
    assert (table.path, table.columns, table.more_rows, table.more_columns) == ("rows", ["due", "x", "y"], 102, 0)
    assert [cell and (cell.moment, cell.file) for cell in table.rows[0]] == [(5.0, None), (None, "file_" + "a" * 32), None]
    assert [path for path, _cell in found.rows] == ["nextCursor"]
    paged = shown_result({"items": [{"at": 3}, {"at": 4}]}, FIELDS).tables[0]
    assert [row[0].moment for row in paged.rows] == [3.0, 4.0]
    wide = shown_result([{str(number): 1 for number in range(40)}] * 2, {}).tables[0]
    assert (wide.path, len(wide.columns), wide.more_columns) == ("", 24, 16)
