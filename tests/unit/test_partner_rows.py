"""Rows whose fields the partner's account defines, and values that the partner wraps by their type."""

import pytest
from pydantic import ValidationError

from acting import refused, run
from polyport.engine.dialects import tool_schema
from polyport.engine.schema import CustomField, custom_fields, custom_name, custom_places, describe_schema
from polyport.manifest.variables import CustomFieldShape
from samples import action, field, list_spec

pytestmark = pytest.mark.anyio

COLUMNS = list_spec(
    "columns",
    call={"path": "/sheets/{{sheet}}/columns"},
    dependsOn=["sheet"],
    customFields={"key": "id", "label": "name", "type": "type", "types": {"num": "decimal", "formula": "string"}, "readOnly": {"at": "type", "equals": "formula"}},
)  # fmt: skip
HEADINGS = list_spec("headings", items="values[0]", customFields={"key": "", "label": ""})
FOUND = [{"id": "c1", "name": "Name"}, {"id": "c2", "name": "Size", "type": "num"}, {"id": "c3", "name": "Both", "type": "formula"}]
C1, C2, C3 = map(custom_name, ("c1", "c2", "c3"))


def sheet(section=None, output=None, **keys):
    rows = {"name": "rows", "label": "Rows"} | (section or {})
    told = {"sections": [rows], "call": {"method": "POST", "path": "/rows", "body": {"rows": "{{rows}}"}}}
    if output is not None:
        told["result"] = {"sections": [{"name": "rows", "label": "Rows"} | output]}
    return action(**(told | keys))


SELECTOR = [field("sheet", list="sheets")]
CUSTOM = {"list": "columns"}


async def test_the_rows_of_a_section_hold_the_fields_that_the_chosen_sheet_defines():
    made = sheet({"customFields": CUSTOM}, selectors=SELECTOR)
    found = await run(made, {"rows": [{C1: "a", C2: "1.5"}, {C1: "b"}]}, FOUND, {}, lists={"columns": COLUMNS}, selected={"sheet": "s1"})
    assert found.requests[0].url == "https://api.example.com/v1/sheets/s1/columns"
    assert found.body == {"rows": [{"c1": "a", "c2": 1.5}, {"c1": "b"}]}


async def test_custom_fields_of_a_row_stand_where_the_section_says():
    made = sheet({"fields": [field("id")], "customFields": CUSTOM | {"at": "cells"}}, selectors=SELECTOR)
    found = await run(made, {"rows": [{"id": "7", C1: "a"}, {"id": "8"}]}, FOUND, {}, lists={"columns": COLUMNS}, selected={"sheet": "s"})
    assert found.body == {"rows": [{"id": "7", "cells": {"c1": "a"}}, {"id": "8"}]}


async def test_custom_fields_of_a_row_may_be_pairs_or_values_in_the_order_of_the_definitions():
    for shape, cells in (("pairs", [{"id": "c2", "value": 2}]), ("list", [None, 2])):
        made = sheet({"customFields": CUSTOM | {"at": "cells", "shape": shape}}, selectors=SELECTOR)
        found = await run(made, {"rows": [{C2: 2}]}, FOUND, {}, lists={"columns": COLUMNS}, selected={"sheet": "s"})
        assert found.body == {"rows": [{"cells": cells}]}


async def test_a_list_of_bare_names_defines_fields_and_an_empty_name_keeps_its_place():
    made = action(
        customFields={"list": "headings", "shape": "list", "resultAt": "row"},
        call={"method": "POST", "path": "/rows", "body": {"values": ["{{custom}}"]}},
    )
    data = {custom_name("Size"): "L"}
    found = await run(made, data, {"values": [["Name", "", "Size"]]}, {"row": ["x", "y", "z"]}, lists={"headings": HEADINGS})
    assert found.body == {"values": [[None, None, "L"]]}
    assert found.result == {custom_name("Name"): "x", custom_name("Size"): "z"}


async def test_what_the_partner_computes_cannot_be_sent_in_a_row_and_what_it_does_not_have_is_no_field():
    made = sheet({"customFields": CUSTOM}, selectors=SELECTOR)
    data = {"rows": [{C3: "x", custom_name("zz"): 1}]}
    faults = await refused(made, data, FOUND, FOUND, lists={"columns": COLUMNS}, selected={"sheet": "s"})
    assert faults == [(f"runnerData.rows[0].{C3}", "not_editable"), (f"runnerData.rows[0].{custom_name('zz')}", "unknown_field")]


async def test_cleared_values_of_rows_are_written_as_the_section_says():
    made = sheet({"customFields": CUSTOM | {"cleared": ""}}, selectors=SELECTOR)
    found = await run(made, {"rows": [{C1: None}]}, FOUND, {}, lists={"columns": COLUMNS}, selected={"sheet": "s"})
    assert found.body == {"rows": [{"c1": ""}]}


async def test_rows_of_a_result_give_custom_fields_under_the_same_names():
    output = {"fields": [field("id")], "customFields": CUSTOM | {"resultAt": "cells"}}
    made = sheet({"customFields": CUSTOM | {"at": "cells"}}, output, selectors=SELECTOR)
    answer = {"rows": [{"id": "1", "cells": {"c1": "a", "c2": "2", "c3": "a2", "zz": 1}}, {"id": "2"}]}
    found = await run(made, {}, FOUND, answer, lists={"columns": COLUMNS}, selected={"sheet": "s"})
    assert found.result == {"rows": [{"id": "1", C1: "a", C2: 2, C3: "a2"}, {"id": "2"}]}


async def test_rows_of_a_result_alone_are_looked_into_themselves():
    made = action(result={"sections": [{"name": "rows", "label": "Rows", "customFields": CUSTOM}]}, selectors=SELECTOR)
    found = await run(made, {}, FOUND, {"rows": [{"c1": "a"}]}, lists={"columns": COLUMNS}, selected={"sheet": "s"})
    assert found.result == {"rows": [{C1: "a"}]}
    (section,) = describe_schema(found.understood.schema)["rowSections"]
    assert [(shown["name"], shown["isEditable"]) for shown in section["variables"]] == [(C1, False), (C2, False), (C3, False)]


async def test_names_of_several_places_with_custom_fields_are_kept_apart():
    made = sheet({"customFields": CUSTOM, "sections": [{"name": "deep", "label": "Deep", "customFields": CUSTOM}]}, customFields=CUSTOM, selectors=SELECTOR)  # fmt: skip
    data = {C1: "top", "rows": [{f"{C1}_": "row", "deep": [{f"{C1}__": "deep"}]}]}
    found = await run(made, data, FOUND, {}, lists={"columns": COLUMNS}, selected={"sheet": "s"})
    assert found.body == {"rows": [{"c1": "row", "deep": [{"c1": "deep"}]}]}
    assert found.understood.checked.custom == {"c1": "top"}
    assert len(found.requests) == 2
    assert [custom.suffix for custom in custom_places(made)] == ["", "_", "__"]


async def test_a_section_describes_its_custom_fields_to_people_and_to_models():
    made = sheet({"customFields": CUSTOM}, selectors=SELECTOR)
    found = await run(made, {}, FOUND, {}, lists={"columns": COLUMNS}, selected={"sheet": "s"})
    (section,) = describe_schema(found.understood.schema)["rowSections"]
    assert [(shown["name"], shown["label"], shown["isEditable"]) for shown in section["variables"]] == [
        (C1, "Name", True),
        (C2, "Size", True),
        (C3, "Both", False),
    ]
    assert list(tool_schema(found.understood.schema, "json-schema")["properties"]["rows"]["items"]["properties"]) == [C1, C2]


def test_a_section_that_only_reads_says_so():
    assert not custom_places(sheet({"customFields": CUSTOM | {"writable": False}}))[0].writes
    assert custom_places(sheet({"customFields": CUSTOM}))[0].writes


# Values wrapped by their type

WRAPPED = {
    "key": "id",
    "label": "id",
    "type": "type",
    "types": {"number": "decimal", "many": "string[]"},
    "writes": {
        "title": {"title": [{"text": {"content": "{{value}}"}}]},
        "number": {"number": "{{value}}"},
        "many": {"multi_select": '{{value | rows: "name"}}', "of": "{{key}}"},
        "date": {"date": {"start": '{{value | date: "%Y"}}'}},
        "odd": "{{value.nothing}}",
    },
    "reads": {"title": '{{value.title[*].plain_text | join: ""}}', "number": "{{value.number}}", "many": "{{value.multi_select[*].name}}", "odd": "{{value | int}}"},
    "clears": {"number": {"number": None}},
}  # fmt: skip
PROPERTIES = list_spec("properties", customFields=WRAPPED)
DEFINED = [{"id": kind, "type": kind} for kind in ("title", "number", "many", "date", "odd", "plain")]
PAGE = action(
    customFields={"list": "properties", "resultAt": "properties", "cleared": ""},
    call={"method": "POST", "path": "/pages", "body": {"properties": "{{custom}}"}},
)


async def sent(data):
    found = await run(PAGE, {custom_name(key): value for key, value in data.items()}, DEFINED, {}, lists={"properties": PROPERTIES})
    return found.body


async def test_a_value_is_wrapped_as_its_type_wants_it():
    assert await sent({"title": "Hello", "number": "1.5", "many": ["a", "b"], "plain": "x"}) == {
        "properties": {
            "title": {"title": [{"text": {"content": "Hello"}}]},
            "number": {"number": 1.5},
            "many": {"multi_select": [{"name": "a"}, {"name": "b"}], "of": "many"},
            "plain": "x",
        }
    }


async def test_a_cleared_value_is_written_as_its_type_says_else_as_the_operation_says():
    assert await sent({"number": None, "title": None}) == {"properties": {"number": {"number": None}, "title": ""}}


async def test_a_wrapping_that_has_no_place_for_the_value_leaves_no_trace():
    assert await sent({"odd": "x"}) == {}


async def test_a_value_that_its_wrapping_does_not_take_is_a_fault():
    faults = await refused(PAGE, {custom_name("date"): "soon"}, DEFINED, lists={"properties": PROPERTIES})
    assert faults == [(f"runnerData.{custom_name('date')}", "wrong_format")]
    faults = await refused(PAGE, {custom_name("number"): "soon"}, DEFINED, lists={"properties": PROPERTIES})
    assert faults == [(f"runnerData.{custom_name('number')}", "wrong_type")]


async def test_a_wrapped_value_is_read_back_bare():
    answer = {
        "title": {"title": [{"plain_text": "Hel"}, {"plain_text": "lo"}]},
        "number": {"number": 2},
        "many": {"multi_select": [{"name": "a"}]},
        "odd": "x",
        "plain": "p",
        "date": {},
    }
    found = await run(PAGE, {}, DEFINED, {"properties": answer}, lists={"properties": PROPERTIES})
    assert found.result == {
        custom_name("title"): "Hello",
        custom_name("number"): 2,
        custom_name("many"): ["a"],
        custom_name("plain"): "p",
    }


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"writes": {"a": {"b": "{{name}}"}}}, "reads {{value}}, and nothing but key, value"),
        ({"writes": {"a": {"b": "c"}}}, "reads {{value}}"),
        ({"writes": {"a": "{{value"}}, "not closed"),
        ({"reads": {"a": "{{key}}"}}, "reads {{value}}, and nothing but value"),
        ({"reads": {"a": "title"}}, "reads {{value}}"),
        ({"types": {"a": "file"}, "writes": {"a": "{{value}}"}}, '"a" is of type file'),
    ],
)
def test_a_wrapping_that_cannot_be_is_refused_when_the_folder_is_read(keys, words):
    with pytest.raises(ValidationError, match=words.replace("{", "[{]").replace("}", "[}]")):
        CustomFieldShape.model_validate({"key": "id", "label": "id"} | keys)


def test_a_second_word_chooses_the_wrapping_too():
    shape = CustomFieldShape.model_validate({"key": "id", "label": "id", "type": "t", "variant": "v", "writes": {"t.v": "{{value}}!"}})
    (one, two) = custom_fields(shape, [{"id": 1, "t": "t", "v": "v"}, {"id": 2, "t": "t"}])
    assert isinstance(one, CustomField)
    assert one.write is not None
    assert two.write is None
