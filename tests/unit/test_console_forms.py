"""An input that is put into a form comes back as it was: over every bundled operation, and over every type there is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bundled
from bounds import examples
from html_forms import sent_of
from polyport.engine.operation import compile_operation
from polyport.engine.schema import Schema, build_schema, describe_schema
from polyport.errors import Fault
from polyport.kinds.fields import TYPES
from polyport.manifest.model import Action
from polyport.server.console.controls import id_of, level_of, selectors_of
from polyport.server.console.filled import Filled, change_rows, json_value, read_filled
from polyport.server.console.placing import at_their_fields
from polyport.server.console.show import _environment
from polyport.server.wire import encode
from polyport.testing.inputs import JSON, inputs, open_lists

pytestmark = pytest.mark.no_cover  # forms are none of what has to be covered whole, and take three times as long while coverage is measured
some = settings(max_examples=2, deadline=None, database=None, suppress_health_check=list(HealthCheck))
many = settings(max_examples=examples(60), deadline=None, database=None, suppress_health_check=list(HealthCheck))
in_order = msgspec.json.Encoder(order="deterministic", decimal_format="number")


def html_of(level: Any) -> str:
    around = {"trial": SimpleNamespace(kept={}), "url": str, "may": bool, "file_most": 1}
    return str(_environment().get_template("try_fields.html").make_module(around).level(level, "/console/try/1"))


def through_a_form(told: dict[str, Any], data: dict[str, Any]) -> Filled:
    """What comes back of an input, by way of the HTML that people see."""
    return read_filled(sent_of(html_of(level_of(told, Filled(data=data)))))


def assert_same(back: Filled, data: dict[str, Any]) -> None:
    assert back.faults == {}
    assert in_order.encode(back.data) == in_order.encode(data)


@pytest.mark.parametrize("slug", bundled.FOLDERS)
def test_inputs_of_every_bundled_operation_come_back_as_they_were(slug: str):
    partner = bundled.partner(slug)
    for operation in partner.operations:
        secrets = {field.name for field in operation.fields if field.secret}
        assert_inputs_come_back(open_lists(compile_operation(partner, operation).schema, list(partner.lists)), secrets)


def assert_inputs_come_back(schema: Schema, secrets: set[str]) -> None:
    @some
    @given(inputs(schema))
    def check(made: dict[str, Any]) -> None:
        data = json_value(encode(made).decode())
        back = through_a_form(describe_schema(schema, data), data)
        assert_same(back, {name: value for name, value in data.items() if name not in secrets or value in (None, "")})

    check()


def operation(**told: Any) -> Action:
    return Action.model_validate({"id": 1, "name": "a", "title": "A", "idempotent": True, "call": {"path": "/a"}} | told)


EVERYTHING = operation(
    fields=[
        *({"name": kind, "type": kind, "label": kind} for kind in TYPES),
        *({"name": f"{kind}_list", "type": f"{kind}[]", "label": kind} for kind in TYPES),
        {"name": "chosen", "type": "string", "label": "Chosen", "options": [{"key": "1", "label": "One"}, {"key": "two words", "label": "Two"}]},
        {"name": "chosen_list", "type": "integer[]", "label": "Chosen", "options": [{"key": 1, "label": "One"}, {"key": 2, "label": "Two"}]},
        {"name": "long", "type": "string", "label": "Long", "format": "multiline"},
    ],
    sections=[
        {
            "name": "rows", "label": "Rows",
            "fields": [{"name": "kind", "type": "string", "label": "Kind", "options": [{"key": "a", "label": "A"}, {"key": "b", "label": "B"}]},
                       {"name": "only_a", "type": "integer", "label": "Only with A", "when": {"at": "kind", "equals": "a"}}],
            "sections": [{"name": "deep", "label": "Deep", "fields": [{"name": "c", "type": "boolean", "label": "C"}]}, {"name": "again", "label": "Again", "like": "rows"}],
        }
    ],
)  # fmt: skip
SCHEMA = build_schema(EVERYTHING)


@many
@given(
    st.one_of(
        inputs(SCHEMA),
        st.dictionaries(st.sampled_from([*TYPES, "rows", "chosen", "chosen_list", "string_list", "nobody knows"]), JSON, max_size=5),
    )
)
def test_any_input_at_all_comes_back_as_it_was_valid_or_not(made: dict[str, Any]):
    data = json_value(encode(made).decode())

    assert_same(through_a_form(describe_schema(SCHEMA, data), data), data)


@many
@given(st.lists(st.tuples(st.sampled_from(["s:d.a", "rows:d.r", "j:d.r[0].x", "more:d", "how:d.a", "rows:d.r[0].r", "k:c.1", "n:d.r[1].y", "lk:d.l", "s:d", "q", "s:d.a[", "rows:d", "f:d.r"]), st.text(max_size=8)), max_size=12))  # fmt: skip
def test_no_form_whatever_is_in_it_breaks_the_reader(pairs: list[tuple[str, str]]):
    found = read_filled(pairs)

    html_of(level_of(describe_schema(SCHEMA, found.data), found))


def test_an_empty_control_leaves_no_trace():
    assert through_a_form(describe_schema(SCHEMA), {}).data == {}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("n", "3", 3),
        ("n", "12345678901234567890", 12345678901234567890),
        ("n", "three", "three"),
        ("b", "true", True),
        ("k", '"3"', "3"),
        ("k", "3", 3),
        ("u", "https://x.example/a.png", {"url": "https://x.example/a.png"}),
        ("f", "file_1", {"fileId": "file_1"}),
        ("ls", "a\r\nb", ["a", "b"]),
        ("ln", "1\r\n2", [1, 2]),
        ("j", '{"a": [1]}', {"a": [1]}),
        ("s", "a\r\nb", "a\nb"),
    ],
)
def test_texts_become_values_by_the_kind_in_their_name(name: str, text: str, value: Any):
    assert read_filled([(f"{name}:d.x", text)]).data == {"x": value}


def test_what_is_no_json_stands_at_its_field_and_stays_there():
    found = read_filled([("j:d.object", '{"a": }'), ("more:d", "[1]")])

    assert found.data == {}
    assert found.faults == {
        "d.object": "This is not valid JSON (line 1, column 7).",
        "more:d": "An object with further members is needed here.",
    }
    html = html_of(level_of(describe_schema(SCHEMA), found))
    assert "{&#34;a&#34;: }</textarea>" in html
    assert "This is not valid JSON (line 1, column 7)." in html


def test_a_form_does_not_ask_for_more_memory_than_it_has_sent():
    found = read_filled([("rows:d.a", "99999"), ("rows:d.b", "1500"), ("rows:d.c", "1500")])

    assert {name: len(rows) for name, rows in found.data.items()} == {"b": 1500}


ROWS = [("rows:d.rows", "3"), ("s:d.rows[0].a", "x"), ("s:d.rows[1].a", "y"), ("s:d.rows[2].a", "z")]


@pytest.mark.parametrize(
    ("action", "path", "left", "at"),
    [
        ("add", "d.rows", "xyz-", "d.rows[3]"),
        ("copy", "d.rows[0]", "xxyz", "d.rows[1]"),
        ("up", "d.rows[2]", "xzy", "d.rows[1]"),
        ("up", "d.rows[0]", "xyz", "d.rows[0]"),
        ("down", "d.rows[0]", "yxz", "d.rows[1]"),
        ("down", "d.rows[2]", "xyz", "d.rows[2]"),
        ("remove", "d.rows[1]", "xz", "d.rows[1]"),
        ("remove", "d.rows[2]", "xy", "d.rows[1]"),
        ("remove", "d.rows[7]", "xyz", None),
        ("up", "d.nothing[0]", "xyz", None),
        ("copy", "nonsense[", "xyz", None),
        ("add", "d.rows[9].deep", "xyz", None),
    ],
)
def test_rows_are_added_copied_moved_and_removed(action: str, path: str, left: str, at: str | None):
    found = read_filled(ROWS)

    assert change_rows(found, action, path) == at
    assert "".join(row.get("a", "-") for row in found.data["rows"]) == left


def test_a_copied_row_is_one_of_its_own_with_the_rows_in_it():
    found = read_filled([("rows:d.rows", "1"), ("rows:d.rows[0].deep", "1"), ("b:d.rows[0].deep[0].c", "true")])
    change_rows(found, "copy", "d.rows[0]")
    found.data["rows"][1]["deep"][0]["c"] = False

    assert found.data == {"rows": [{"deep": [{"c": True}]}, {"deep": [{"c": False}]}]}


def test_the_last_row_that_is_removed_takes_the_section_with_it():
    found = read_filled([*ROWS[:2], ("rows:d.rows", "1")])
    change_rows(found, "remove", "d.rows[0]")

    assert found.data == {}


def test_a_section_that_is_like_one_around_it_opens_once_it_has_a_row():
    found = read_filled([("rows:d.rows", "1")])
    change_rows(found, "add", "d.rows[0].again")
    html = html_of(level_of(describe_schema(SCHEMA, found.data), found))

    assert 'name="k:d.rows[0].again[0].kind"' in html
    assert 'value="add:d.rows[0].again[0].again"' in html


def test_what_does_not_apply_to_a_row_is_asked_for_only_if_it_is_filled_in():
    data = {"rows": [{"kind": "a"}, {"kind": "b"}, {"kind": "b", "only_a": 3}]}
    html = html_of(level_of(describe_schema(SCHEMA, data), Filled(data=data)))

    assert 'name="n:d.rows[0].only_a"' in html
    assert 'name="n:d.rows[1].only_a"' not in html
    assert 'name="n:d.rows[2].only_a"' in html
    assert html.count("does not apply") == 1


def test_faults_stand_at_their_fields_the_rest_above():
    told = describe_schema(SCHEMA, {"rows": [{}]})
    filled = Filled(data={"rows": [{}], "odd": 1})
    level = level_of(told, filled)
    paths = ["runnerData.string", "runnerData.rows[0].kind", "runnerData.string_list[2]", "runnerData.odd", "runnerData.rows", "runnerData", "window.from", "credentialData.0"]  # fmt: skip
    placed, rest = at_their_fields(level, [], [Fault(path=path, code="x", message="No.") for path in paths])

    assert placed == {
        "d.string": "No.",
        "d.rows[0].kind": "No.",
        "d.string_list": "runnerData.string_list[2]: No.",
        "more:d": "runnerData.odd: No. No.",
        "d.rows": "No.",
    }
    assert [fault.path for fault in rest] == ["window.from", "credentialData.0"]


def test_selectors_decide_what_else_there_is():
    told = {
        "credentialData": [
            {"position": "0"},
            {"position": "1", "name": "sheet", "type": 1, "label": "Sheet", "isRequired": True, "search": True},
        ]
    }
    [control] = selectors_of(told, Filled(select={"1": "abc"}))

    assert (control.name, control.decides, [choice.label for choice in control.choices]) == ("k:c.1", True, ["abc"])


def test_no_two_paths_have_the_same_id():
    paths = ["d.a", "d.a[0]", "d.a-0", "d.a_0", "d.a[0].b", "d.a.b"]

    assert len({id_of(path) for path in paths}) == len(paths)


def test_hostile_text_is_text():
    evil = '"><script>alert(1)</script>\u202e</textarea>{{7*7}}'
    data = {"string": evil, "long": evil, "rows": [{"kind": evil}], evil: evil, "string_list": [evil]}
    html = html_of(level_of(describe_schema(SCHEMA, data), Filled(data=data)))

    assert "<script" not in html
    assert_same(through_a_form(describe_schema(SCHEMA, data), data), data)
