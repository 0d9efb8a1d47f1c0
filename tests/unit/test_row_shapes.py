"""The shapes that rows have on the wire, and rows in rows to any depth."""

from typing import Any

import pytest
from pydantic import ValidationError

from acting import refused, run
from polyport.engine.dialects import tool_schema
from polyport.engine.results import read_item
from polyport.engine.schema import build_schema, custom_name, describe_schema
from polyport.engine.validate import compile_validator
from polyport.manifest.variables import InputSection, OutputSection
from samples import action, checked, faults, field, list_spec, schema_of

KEY = field("key", required=True)


def written(rows: Any, **section: Any) -> Any:
    found = checked(schema_of(sections=[{"name": "rows", "label": "Rows"} | section]), {"rows": rows})
    return found.values["rows"] if not found.faults else faults(found)


def read(answer: Any, **section: Any) -> Any:
    schema = build_schema(action(result={"sections": [{"name": "rows", "label": "Rows"} | section]}))
    return read_item(schema, {"rows": answer}).get("rows", "nothing")


PAIR = {"shape": "map", "fields": [KEY, field("value", "integer")]}
THINGS = {"shape": "map", "fields": [KEY, field("a"), field("b", at="in.b")]}
LISTS = {"shape": "lists", "fields": [field("a"), field("n", "integer")]}
VALUES = {"shape": "values", "fields": [field("n", "integer")]}
ONE = {"shape": "object", "fields": [field("a"), field("b", at="in.b")]}
CHOSEN = {
    "fields": [
        field("kind", required=True, sent=False),
        field("x", at="v", when={"at": "kind", "equals": "a"}),
        field("y", "integer", at="v", when={"at": "kind", "equals": "b"}),
    ]
}


@pytest.mark.parametrize(
    ("section", "rows", "wire"),
    [
        (PAIR, [{"key": "x", "value": "1"}, {"key": "y", "value": None}, {"key": "z"}], {"x": 1, "y": None}),
        (PAIR, [], {}),
        (PAIR, None, None),
        (THINGS, [{"key": "x", "a": "1", "b": "2"}, {"key": "y"}], {"x": {"a": "1", "in": {"b": "2"}}, "y": {}}),
        ({"shape": "map", "fields": [field("key", "integer", required=True), field("v")]}, [{"key": 7, "v": "a"}], {"7": "a"}),
        (LISTS, [{"a": "x", "n": "1"}, {"n": 2}, {}], [["x", 1], [None, 2], [None, None]]),
        (VALUES, [{"n": "1"}, {}, {"n": None}], [1, None]),
        ({"shape": "values", "fields": [field("list", "integer[]")]}, [{"list": [1, 2]}, {"list": "3"}], [[1, 2], [3]]),
        (ONE, [{"a": "1", "b": "2"}], {"a": "1", "in": {"b": "2"}}),
        (ONE, {"a": "1"}, {"a": "1"}),
        (ONE, [{}], {}),
        (ONE, None, None),
        (ONE, [{}, {}], [("runnerData.rows", "too_many")]),
        (ONE | {"required": True}, [], [("runnerData.rows", "too_few")]),
        (CHOSEN, [{"kind": "a", "x": "1"}, {"kind": "b", "y": 2}], [{"v": "1"}, {"v": 2}]),
        (CHOSEN, [{"kind": "b", "x": "1"}], [("runnerData.rows[0].x", "not_applicable")]),
    ],
)
def test_rows_take_their_shape_on_the_wire(section: Any, rows: Any, wire: Any) -> None:
    assert written(rows, **section) == wire


@pytest.mark.parametrize(
    ("section", "wire", "rows"),
    [
        (PAIR, {"x": 1, "y": None, "z": "?"}, [{"key": "x", "value": 1}, {"key": "y"}, {"key": "z"}]),
        (PAIR, [], []),
        (PAIR, "text", "nothing"),
        (THINGS, {"x": {"a": "1", "in.b": 2}}, [{"key": "x", "a": "1"}]),
        ({"shape": "map", "fields": [field("key", "integer"), field("v")]}, {"?": "a"}, [{"v": "a"}]),
        (LISTS, [["x", 1], [None, "2"], "odd", []], [{"a": "x", "n": 1}, {"n": 2}, {}, {}]),
        (LISTS, {"a": 1}, "nothing"),
        (VALUES, [1, None, "2"], [{"n": 1}, {}, {"n": 2}]),
        (VALUES, 1, [{"n": 1}]),
        (VALUES, None, "nothing"),
        ({"shape": "lists", "fields": [field("second", at="[1]")]}, [["a", "b"]], [{"second": "b"}]),
    ],
)
def test_rows_are_read_from_their_shape(section: Any, wire: Any, rows: Any) -> None:
    told = section | {"fields": [{key: value for key, value in one.items() if key != "required"} for one in section["fields"]]}
    assert read(wire, **told) == rows


def test_a_key_that_stands_twice_is_a_fault_of_its_second_row() -> None:
    assert written([{"key": "x", "value": 1}, {"key": "x"}], **PAIR) == [("runnerData.rows[1].key", "duplicate_key")]


def test_a_map_needs_its_keys() -> None:
    assert written([{"value": 1}], **PAIR) == [("runnerData.rows[0].key", "required")]
    assert written(["x", {"key": "x"}], **PAIR) == [("runnerData.rows[0]", "wrong_type")]


def test_a_map_of_objects_may_hold_rows_and_lists_in_rows() -> None:
    inner = {"name": "tags", "label": "Tags"} | VALUES
    section = {"shape": "map", "fields": [KEY], "sections": [inner]}
    assert written([{"key": "x", "tags": [{"n": 1}]}], **section) == {"x": {"tags": [1]}}
    assert read({"x": {"tags": [1]}}, **(section | {"fields": [field("key")]})) == [{"key": "x", "tags": [{"n": 1}]}]


@pytest.mark.anyio
async def test_rows_that_are_lists_hold_the_columns_of_a_sheet_behind_their_fields() -> None:
    columns = list_spec("columns", customFields={"key": "", "label": ""})
    section = {
        "name": "rows",
        "label": "Rows",
        "fields": [field("a")],
        "shape": "lists",
        "customFields": {"list": "columns", "shape": "list"},
    }
    made = action(
        sections=[section],
        call={"method": "POST", "path": "/x", "body": {"values": "{{rows}}"}},
        result={"sections": [section | {"at": "values"}]},
    )
    two = custom_name("two")
    found = await run(
        made, {"rows": [{"a": "1", two: "2"}, {}]}, ["one", "two"], {"values": [["1", "x", "y"], "odd"]}, lists={"columns": columns}
    )
    assert found.body == {"values": [["1", None, "2"], [None]]}
    assert found.result == {"rows": [{"a": "1", custom_name("one"): "x", two: "y"}, {}]}


@pytest.mark.anyio
async def test_a_map_may_be_of_the_fields_that_the_account_defines() -> None:
    columns = list_spec("columns", customFields={"key": "id", "label": "id"})
    section = {"name": "rows", "label": "Rows", "fields": [KEY], "shape": "map", "customFields": {"list": "columns"}}
    made = action(sections=[section], call={"method": "POST", "path": "/x", "body": {"rows": "{{rows}}"}})
    found = await run(made, {"rows": [{"key": "k", custom_name("one"): "2"}]}, [{"id": "one"}], {}, lists={"columns": columns})
    assert found.body == {"rows": {"k": {"one": "2"}}}


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"shape": "values", "fields": [field("a"), field("b")]}, "exactly one field"),
        ({"shape": "values"}, "exactly one field"),
        ({"shape": "lists", "sections": [{"name": "x", "label": "X"}]}, "no sections"),
        ({"shape": "map", "fields": [field("a", "boolean", required=True), field("b")]}, "the first field of a map is its key"),
        ({"shape": "map"}, "the first field of a map is its key"),
        ({"shape": "map", "fields": [KEY]}, "a map has a key and something under it"),
        ({"like": "up", "fields": [KEY]}, "leave out fields"),
    ],
)
def test_fields_that_rows_of_a_shape_cannot_have_are_refused(section: Any, words: str) -> None:
    for model in (InputSection, OutputSection):
        told = section | (
            {"fields": [{k: v for k, v in one.items() if k != "required"} for one in section["fields"]]}
            if model is OutputSection and "fields" in section
            else {}
        )
        with pytest.raises(ValidationError, match=words):
            model.model_validate({"name": "rows", "label": "Rows"} | told)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"shape": "map", "fields": [field("key"), field("b")]}, "required: true"),
        ({"shape": "map", "fields": [KEY, field("b", at="c")]}, 'leave out "at"'),
        ({"shape": "map", "fields": [KEY | {"at": "x"}, field("b"), field("c")]}, 'leave out "at"'),
        ({"shape": "lists", "fields": [field("b", "file")]}, "no value is a file"),
    ],
)
def test_inputs_that_rows_of_a_shape_cannot_have_are_refused(section: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        InputSection.model_validate({"name": "rows", "label": "Rows"} | section)


# Rows like the rows around them

FILTER = {
    "name": "filter",
    "label": "Filter",
    "fields": [field("name"), field("id", at="key")],
    "sections": [
        {"name": "and", "label": "All of", "like": "filter", "at": "all"},
        {"name": "or", "label": "Any of", "like": "filter"},
    ],
}
TREE = action(
    sections=[FILTER | {"sections": [FILTER["sections"][0], FILTER["sections"][1] | {"maxRows": 2}]}], result={"sections": [FILTER]}
)


def nest(levels: int) -> dict[str, Any]:
    row: dict[str, Any] = {"name": "leaf"}
    for _level in range(levels):
        row = {"and": [row]}
    return row


def test_rows_in_rows_have_the_same_fields_at_any_depth() -> None:
    data = {"filter": [{"name": "a", "and": [{"id": "1", "or": [{"name": "b"}]}, {"and": [{"id": "2"}]}]}]}
    found = compile_validator(build_schema(TREE)).check(data)
    assert found.faults == []
    assert found.values == {"filter": [{"name": "a", "all": [{"key": "1", "or": [{"name": "b"}]}, {"all": [{"key": "2"}]}]}]}


def test_faults_of_deep_rows_have_their_path() -> None:
    data = {"filter": [{"and": [{"or": [{"nope": 1}, {}, {}]}, {"or": [{"name": []}]}]}]}
    found = compile_validator(build_schema(TREE)).check(data)
    assert faults(found) == [
        ("runnerData.filter[0].and[0].or", "too_many"),
        ("runnerData.filter[0].and[1].or[0].name", "wrong_type"),
    ]


def test_sixteen_levels_are_taken_and_no_more() -> None:
    validator = compile_validator(build_schema(TREE))
    assert validator.check({"filter": [nest(15)]}).faults == []
    assert [code for _path, code in faults(validator.check({"filter": [nest(16)]}))] == ["too_deep"]
    assert [code for _path, code in faults(validator.check({"filter": [nest(800)]}))] == ["too_deep"]


def test_a_result_is_read_to_the_same_depth() -> None:
    def answer(levels: int) -> Any:
        row: dict[str, Any] = {"name": "leaf"}
        for _level in range(levels):
            row = {"all": [row]}
        return {"filter": row}

    deep = read_item(build_schema(action(result={"sections": [FILTER]})), answer(800))
    levels = 0
    while deep:
        deep = next(iter(deep.values()))[0] if isinstance(next(iter(deep.values())), list) else {}
        levels += 1
    assert levels == 16


def shape(sections: Any) -> Any:
    return {section["name"]: shape(section.get("rowSections", [])) if section["variables"] else section["like"] for section in sections}


def test_rows_in_rows_are_described_one_level_beyond_what_was_given() -> None:
    schema = build_schema(TREE)
    leaf = {"and": "filter", "or": "filter"}
    assert shape(describe_schema(schema)["rowSections"]) == {"filter": {"and": leaf, "or": leaf}}
    given = {"filter": [{"and": [{"name": "x"}]}]}
    assert shape(describe_schema(schema, given)["rowSections"]) == {"filter": {"and": {"and": leaf, "or": leaf}, "or": leaf}}
    odd = {"filter": {"and": {"or": "x"}}}
    assert shape(describe_schema(schema, odd)["rowSections"]) == {"filter": {"and": {"and": leaf, "or": leaf}, "or": leaf}}
    text = str(describe_schema(schema, {"filter": [nest(100)]}))
    assert text.count("'like'") < 100


def test_public_names_of_deep_rows_are_those_of_the_rows_they_are_like() -> None:
    made = action(fields=[field("name")], sections=[FILTER])
    (section,) = describe_schema(build_schema(made))["rowSections"]
    assert [shown["name"] for shown in section["rowSections"][0]["variables"]] == ["name_", "id"]


def test_models_are_shown_rows_in_rows_some_levels_deep() -> None:
    for dialect in ("json-schema", "openai", "anthropic", "gemini"):
        told = tool_schema(build_schema(TREE), dialect, "x")
        text = str(told)
        assert text.count("'name':") < 40
    rows = tool_schema(build_schema(TREE), "json-schema")["properties"]["filter"]["items"]
    assert "or" in rows["properties"]["and"]["items"]["properties"]
    assert "and" not in rows["properties"]["and"]["items"]["properties"]["or"]["items"]["properties"]


@pytest.mark.anyio
async def test_a_tree_is_sent_and_comes_back() -> None:
    made = action(
        sections=[FILTER],
        call={"method": "POST", "path": "/x", "body": {"filter": "{{filter}}"}},
        result={"sections": [FILTER]},
    )
    found = await run(made, {"filter": [{"name": "a", "and": [{"name": "b"}]}]}, {"filter": [{"name": "a", "all": [{"name": "b"}]}]})
    assert found.body == {"filter": [{"name": "a", "all": [{"name": "b"}]}]}
    assert found.result == {"filter": [{"name": "a", "and": [{"name": "b"}]}]}
    assert await refused(made, {"filter": [nest(20)]}) == [("runnerData.filter[0]" + ".and[0]" * 15 + ".and", "too_deep")]


NODE = {
    "name": "node",
    "label": "Node",
    "shape": "object",
    "fields": [field("name")],
    "sections": [{"name": "next", "label": "Next", "like": "node", "shape": "object"}, {"name": "all", "label": "All", "like": "node"}],
}


def test_an_object_may_hold_objects_and_lists_like_itself() -> None:
    found = checked(schema_of(sections=[NODE]), {"node": [{"name": "a", "next": {"name": "b"}, "all": [{"name": "c"}, {"next": [{}]}]}]})
    assert found.values == {"node": {"name": "a", "next": {"name": "b"}, "all": [{"name": "c"}, {"next": {}}]}}


def test_an_object_without_a_row_leaves_no_trace() -> None:
    assert checked(schema_of(sections=[{"name": "rows", "label": "Rows"} | ONE]), {"rows": []}).values == {}


def test_models_are_told_that_an_object_is_one_row() -> None:
    told = tool_schema(schema_of(sections=[NODE]), "json-schema")
    assert told["properties"]["node"]["maxItems"] == 1


def test_one_object_is_read_as_one_row() -> None:
    assert read({"a": "1", "in": {"b": "2"}}, **ONE) == [{"a": "1", "b": "2"}]


@pytest.mark.parametrize("extra", [{"maxRows": 2}, {"minRows": 2}])
def test_an_object_has_no_numbers_of_rows(extra: Any) -> None:
    with pytest.raises(ValidationError, match="is one row"):
        InputSection.model_validate({"name": "rows", "label": "Rows"} | ONE | extra)


def test_a_field_that_is_not_sent_stands_nowhere() -> None:
    with pytest.raises(ValidationError, match="stands nowhere"):
        InputSection.model_validate({"name": "rows", "label": "Rows", "fields": [field("a", sent=False, at="b.c")]})


def test_what_is_not_sent_is_no_part_of_a_row_with_custom_fields_either() -> None:
    from polyport.engine.rows import row_writer  # noqa: PLC0415  the writer alone is looked at

    section = InputSection.model_validate(
        {"name": "rows", "label": "Rows", "fields": [field("kind", sent=False)], "customFields": {"list": "columns"}}
    )
    write = row_writer(section, ())
    assert write is not None
    assert write({"kind": "a", "b": 1}, {"own": 2}) == {"b": 1, "own": 2}
