"""The field schema: public names, custom fields, what is shown on the wire."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.engine.schema import (
    CUSTOM_LIMIT,
    OPTIONS_SHOWN,
    Choices,
    build_schema,
    custom_fields,
    custom_name,
    describe_schema,
    describe_selectors,
    public_names,
    type_words,
)
from polyport.manifest.variables import CustomFieldShape
from samples import action, custom, field, list_spec, schema_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "label", "type", "options", "id", "x"]), inner, max_size=5)
    ),
    max_leaves=12,
)


def shape(**keys):
    return CustomFieldShape.model_validate({"key": "name", "label": "label", "type": "type"} | keys)


# Names


def test_a_clash_of_section_variables_gets_one_more_underscore_each_time():
    rows = [field("value"), field("label")]
    found = public_names(
        action(
            fields=[field("value")],
            sections=[{"name": "email", "label": "E", "fields": rows}, {"name": "phone", "label": "P", "fields": rows}],
        )
    )
    assert found == {
        ((), "value"): "value", (("email",), "value"): "value_", (("email",), "label"): "label", (("phone",), "value"): "value__",
        (("phone",), "label"): "label_",
    }  # fmt: skip


def test_a_name_that_looks_like_a_made_one_is_not_taken_twice():
    sections = [
        {"name": "a", "label": "A", "fields": [field("value")]},
        {"name": "b", "label": "B", "fields": [field("value_"), field("value")]},
    ]
    found = public_names(action(fields=[field("value")], sections=sections))
    assert sorted(found.values()) == ["value", "value_", "value__", "value___"]


def test_outputs_come_after_inputs_and_share_the_name_at_the_same_place():
    rows = {"name": "rows", "label": "R"}
    found = public_names(
        action(
            fields=[field("name")],
            sections=[rows | {"fields": [field("id"), field("name")]}],
            result={"fields": [field("id"), field("name")], "sections": [rows | {"fields": [field("id"), field("more")]}]},
        )
    )
    assert found[((), "name")] == "name"
    assert found[(("rows",), "id")] == "id"
    assert found[(("rows",), "name")] == "name_"
    assert found[((), "id")] == "id_"
    assert found[(("rows",), "more")] == "more"


NAME = st.sampled_from(["value", "value_", "label", "id"])


@given(st.lists(NAME, unique=True, max_size=3), st.lists(st.lists(NAME, unique=True, max_size=3), max_size=4))
def test_public_names_are_unique_within_the_whole_operation(top, rows):
    sections = [{"name": f"s{index}", "label": "S", "fields": [field(name) for name in names]} for index, names in enumerate(rows)]
    found = public_names(action(fields=[field(name) for name in top], sections=sections))
    assert len(set(found.values())) == len(found)
    assert all(found[((), name)].startswith(name) for name in top)


def test_a_custom_field_is_named_by_the_md5_of_the_partners_key():
    assert custom_name("email") == "cf__0c83f57c786a0b4a39efab23731c7ebc"
    assert custom_name("E mail é") == "cf__" + hashlib.md5("E mail é".encode(), usedforsecurity=False).hexdigest()
    assert custom_name("\ud800").startswith("cf__")


# Custom fields


def test_the_items_of_a_list_become_custom_fields():
    made = shape(
        types={"number": "decimal", "set": "string[]", "date": "datetime"}, hint="hint", required={"at": "must", "equals": True}, options="options",
        readOnly={"at": "calculated", "equals": True}, where=[{"at": "hidden", "negate": True}], wires={"date": "unix_ms"},
    )  # fmt: skip
    items = [
        {"name": "size", "label": "Size", "type": "number", "hint": "cm", "must": True},
        {
            "name": "tags",
            "label": "",
            "type": "set",
            "options": [{"id": 1, "label": "One"}, {"id": "b"}, {"id": 1, "label": "Again"}, 5, {"id": True}],
        },
        {"name": "born", "type": "date", "calculated": True},
        {"name": "size", "label": "Again", "type": "number"},
        {"name": "secret", "type": "x", "hidden": True},
        {"name": 12, "label": "Number", "type": 7},
        {"name": True},
        {"name": ""},
        {"label": "no key"},
        "text",
        None,
    ]
    found = custom_fields(made, items, required=("12",))
    assert [(entry.key, entry.field.type, entry.field.label, entry.field.required, entry.writable) for entry in found] == [
        ("size", "decimal", "Size", True, True),
        ("tags", "string[]", "tags", False, True),
        ("born", "datetime", "born", False, False),
        ("12", "string", "Number", True, True),
    ]
    assert found[0].field.hint == "cm"
    assert [(option.key, option.label) for option in found[1].field.options] == [(1, "One"), ("b", "b")]
    assert found[2].field.wire == "unix_ms"
    assert found[0].field.name == custom_name("size")


def test_a_wire_format_that_does_not_fit_the_type_is_not_used():
    made = shape(types={"a": "datetime", "a.b": "date"}, wires={"a": "unix_ms"}, variant="variant")
    first, second = custom_fields(made, [{"name": "x", "type": "a"}, {"name": "y", "type": "a", "variant": "b"}])
    assert (first.field.wire, second.field.type, second.field.wire) == ("unix_ms", "date", None)


def test_choices_of_a_type_that_has_none_are_passed_over():
    (found,) = custom_fields(shape(types={"b": "boolean"}, options="options"), [{"name": "x", "type": "b", "options": [{"id": 1}]}])
    assert found.field.options is None
    (found,) = custom_fields(shape(options="options"), [{"name": "x", "options": [{"nothing": 1}]}])
    assert found.field.options is None


def test_an_account_with_endless_fields_is_cut():
    found = custom_fields(shape(), [{"name": f"f{index}"} for index in range(CUSTOM_LIMIT + 5)])
    assert len(found) == CUSTOM_LIMIT


@given(st.lists(JSON, max_size=4))
def test_no_answer_makes_reading_definitions_fail(items):
    made = shape(
        types={"x": "integer"}, options="options", hint="x", variant="x", required={"at": "x"}, where=[{"at": "id", "negate": True}]
    )
    for entry in custom_fields(made, items):
        assert entry.field.name == custom_name(entry.key)


# The wire


def test_a_variable_shows_every_fact_that_it_has():
    told = field(
        "size", "integer", required=True, hint="In cm", default=3, sample=4, min=1, max=9, dependsOn=["owner"], secret=True
    ) | {"options": [{"key": 1, "label": "One"}]}  # fmt: skip
    shown = describe_schema(schema_of(field("owner"), told))["variables"][1]
    assert shown == {
        "type": 2, "name": "size", "label": "Size", "isRequired": True, "isEditable": True, "data": [{"key": 1, "label": "One"}],
        "hint": "In cm", "default": 3, "sample": 4, "dependsOn": ["owner"], "min": 1, "max": 9, "isSecret": True,
    }  # fmt: skip


def test_a_variable_shows_nothing_that_it_has_not():
    (shown,) = describe_schema(schema_of(field("a", "string[]")))["variables"]
    assert shown == {"type": 101, "name": "a", "label": "A", "isRequired": False, "isEditable": True}


def test_lengths_pattern_and_format_are_shown():
    told = field("a", "string[]", minLength=1, maxLength=2, pattern="a+", format="email", maxItems=3)
    (shown,) = describe_schema(schema_of(told))["variables"]
    assert (shown["minLength"], shown["maxLength"], shown["pattern"], shown["format"], shown["maxItems"]) == (1, 2, "a+", "email", 3)


@pytest.mark.parametrize(
    ("choices", "shown", "search"),
    [
        (None, None, True),
        (Choices(items=((1, "One"),)), [{"key": 1, "label": "One"}], False),
        (Choices(items=((1, "One"),), complete=False), [{"key": 1, "label": "One"}], True),
        (Choices(items=()), [], False),
    ],
)
def test_a_list_is_shown_as_far_as_it_was_read(choices, shown, search):
    found = schema_of(field("a", "integer", list="owners"), choices={"owners": choices} if choices else {})
    (variable,) = describe_schema(found)["variables"]
    assert variable.get("data") == shown
    assert variable.get("search", False) is search


def test_a_long_list_is_to_be_searched():
    choices = Choices(items=tuple((index, str(index)) for index in range(OPTIONS_SHOWN + 1)))
    (variable,) = describe_schema(schema_of(field("a", "integer", list="owners"), choices={"owners": choices}))["variables"]
    assert len(variable["data"]) == OPTIONS_SHOWN
    assert variable["search"] is True


def test_custom_fields_stand_after_the_operations_own_and_outputs_after_all():
    found = schema_of(
        field("name"), customFields={"list": "people"}, result={"fields": [field("id", "integer", hint="H", sample=1), field("name")]},
        custom_fields=(custom("email", required=True), custom("made", writable=False, required=True)),
    )  # fmt: skip
    shown = describe_schema(found)["variables"]
    assert [(entry["name"], entry["isEditable"], entry["isRequired"]) for entry in shown] == [
        ("name", True, False),
        (custom_name("email"), True, True),
        (custom_name("made"), False, False),
        ("id", False, False),
    ]
    assert (shown[3]["hint"], shown[3]["sample"]) == ("H", 1)


def test_custom_fields_that_the_operation_does_not_write_are_outputs():
    found = schema_of(customFields={"list": "people", "writable": False}, custom_fields=(custom("email"),))
    assert describe_schema(found)["variables"][0]["isEditable"] is False


def test_sections_nest_and_join_inputs_with_outputs():
    deep = {"name": "deep", "label": "Deep", "fields": [field("x")]}
    found = schema_of(
        sections=[{"name": "rows", "label": "Rows", "hint": "H", "required": True, "fields": [field("a")], "sections": [deep]}],
        result={
            "sections": [
                {"name": "rows", "label": "R", "fields": [field("a"), field("b")], "sections": [deep | {"fields": [field("y")]}]},
                {"name": "only", "label": "Only", "fields": [field("c")]},
            ]
        },
    )
    rows, only = describe_schema(found)["rowSections"]
    assert (rows["name"], rows["label"], rows["isRequired"], rows["hint"]) == ("rows", "Rows", True, "H")
    assert [(entry["name"], entry["isEditable"]) for entry in rows["variables"]] == [("a", True), ("b", False)]
    assert [(entry["name"], entry["isEditable"]) for entry in rows["rowSections"][0]["variables"]] == [("x", True), ("y", False)]
    assert (only["isRequired"], only["variables"][0]["isEditable"], "rowSections" in only) == (False, False, False)


def test_selectors_count_from_one_and_show_what_was_chosen():
    found = build_schema(action(selectors=[field("sheet"), field("tab", "integer")]))
    first, second = describe_selectors(found, {2: 7})
    assert (first["position"], first["name"], "value" in first) == ("1", "sheet", False)
    assert (second["position"], second["value"], second["isEditable"]) == ("2", 7, True)


def test_key_patterns_come_from_the_lists():
    found = build_schema(action(), lists={"owners": list_spec(keyPattern="[0-9]+"), "plain": list_spec("plain")})
    assert found.key_patterns == {"owners": "[0-9]+"}


def test_every_code_has_a_word():
    words = type_words()
    assert words[1] == "String"
    assert words[105] == "array of DateTime"
    assert len(words) == 20
