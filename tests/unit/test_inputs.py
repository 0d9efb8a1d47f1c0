"""Inputs made from a schema are valid, whatever the schema asks for."""

import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from bounds import examples
from polyport.engine.schema import Choices, build_schema
from polyport.engine.validate import compile_fields, compile_validator
from polyport.kinds.fields import TYPES
from polyport.manifest.model import Action
from polyport.manifest.variables import InputField
from polyport.testing.inputs import fields, inputs, matching, open_lists, value_of
from samples import field, schema_of

some = settings(
    max_examples=examples(30), deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def variable(kind="string", **told):
    return InputField.model_validate({"name": "a", "type": kind, "label": "A"} | told)


EACH = [
    *(pytest.param(variable(kind + array, required=required), id=f"{kind}{array}{required}") for kind in TYPES for array in ("", "[]") for required in (True, False)),
    variable(minLength=5, maxLength=7),
    variable(maxLength=1),
    variable(pattern="[a-z]{2}|[0-9]+", maxLength=3),
    variable(format="email"),
    variable(format="uri"),
    variable(format="uuid"),
    variable(format="hostname"),
    variable(format="json"),
    variable(options=[{"key": "1", "label": "One"}, {"key": "2", "label": "Two"}]),
    variable("integer", min=3, max=4),
    variable("integer", max=-3),
    variable("decimal", min=0.5, max=1),
    variable("decimal", scale=1),
    variable("string[]", maxItems=1),
    variable("string[]", separator=","),
]  # fmt: skip


@pytest.mark.parametrize("told", EACH)
def test_what_is_made_for_a_field_is_taken(told):
    validator = compile_fields([told])

    @some
    @given(fields([told]))
    def check(data):
        assert [fault.code for fault in validator.check(data).faults] == []

    check()


def operation(**told):
    return Action.model_validate({"id": 1, "name": "a", "title": "A", "idempotent": True, "call": {"path": "/a"}} | told)


ROWS = operation(
    fields=[{"name": "a", "type": "string", "label": "A", "list": "colours"}, {"name": "b", "type": "integer", "label": "B", "required": True}],
    sections=[
        {
            "name": "rows",
            "label": "Rows",
            "required": True,
            "maxRows": 1,
            "fields": [{"name": "a", "type": "date", "label": "A", "required": True}],
            "sections": [{"name": "deep", "label": "Deep", "fields": [{"name": "c", "type": "boolean", "label": "C"}]}],
        }
    ],
)  # fmt: skip


@some
@given(st.data())
def test_rows_in_rows_are_made_under_their_public_names(drawn):
    schema = open_lists(build_schema(ROWS), ["colours"])
    data = drawn.draw(inputs(schema))
    checked = compile_validator(schema).check(data)
    assert checked.faults == []
    assert checked.wanted == set()
    assert len(data["rows"]) == 1
    assert "a_" in data["rows"][0]


def test_what_may_be_left_out_is_left_out_sometimes_and_null_sometimes():
    made = fields([variable()])
    assert find(made, lambda data: "a" not in data, settings=settings(database=None)) == {}
    assert find(made, lambda data: data.get("a", 0) is None, settings=settings(database=None)) == {"a": None}


def test_a_list_that_was_read_gives_its_keys():
    made = value_of(variable(list="colours"), choices=Choices(items=(("7", "Red"),)))
    assert find(made, lambda _key: True, settings=settings(database=None)) == "7"


def test_keys_of_a_list_that_was_not_read_match_its_pattern():
    made = value_of(variable(list="colours"), key_pattern="[0-9]{3}")
    assert len(find(made, lambda _key: True, settings=settings(database=None))) == 3


@some
@given(value_of(variable(list="talks", sample='123 or "last"'), key_pattern="[0-9]{3}", plain=True))
def test_a_sample_that_no_list_takes_for_a_key_is_no_input(key):
    assert len(key) == 3


@pytest.mark.parametrize(("kind", "sample"), [("string", "123"), ("string[]", ["123", "456"])])
def test_a_sample_that_a_list_takes_for_a_key_is_one(kind, sample):
    made = value_of(variable(kind, list="talks", sample=sample), key_pattern="[0-9]{3}", plain=True)
    assert find(made, lambda key: key == sample, settings=settings(database=None)) == sample


def test_raw_json_is_taken_from_the_sample_where_it_is_asked_for():
    made = value_of(variable("object", sample={"kind": "a"}), samples=True)
    assert find(made, lambda _value: True, settings=settings(database=None)) == {"kind": "a"}


@some
@given(matching("[a-c]+", 2, 3))
def test_texts_of_a_pattern_keep_to_lengths(text):
    assert 2 <= len(text) <= 3


VARIANTS = operation(
    fields=[
        {"name": "kind", "type": "string", "label": "Kind", "required": True, "options": [{"key": "card", "label": "Card"}, {"key": "cash", "label": "Cash"}]},
        {"name": "number", "type": "string", "label": "Number", "required": True, "when": {"at": "kind", "equals": "card"}},
        {"name": "code", "type": "string", "label": "Code", "when": {"at": "number"}},
    ],
    sections=[{"name": "coins", "label": "Coins", "when": {"at": "kind", "equals": "cash"}, "required": True, "fields": [{"name": "value", "type": "integer", "label": "Value"}]}],
)  # fmt: skip
SHAPES = operation(
    sections=[
        {"name": "pairs", "label": "Pairs", "shape": "map", "fields": [{"name": "key", "type": "integer", "label": "Key", "min": 1, "max": 2, "required": True}, {"name": "value", "type": "string", "label": "Value"}]},
        {"name": "bare", "label": "Bare", "shape": "values", "fields": [{"name": "one", "type": "date", "label": "One"}]},
        {"name": "tree", "label": "Tree", "fields": [{"name": "leaf", "type": "string", "label": "Leaf"}], "sections": [{"name": "branches", "label": "Branches", "like": "tree"}]},
    ]
)  # fmt: skip


@pytest.mark.parametrize("told", [VARIANTS, SHAPES], ids=["variants", "shapes"])
def test_variants_maps_and_rows_like_those_around_them_are_valid(told):
    schema = build_schema(told)
    validator = compile_validator(schema)

    @settings(some, max_examples=examples(100))
    @given(inputs(schema))
    def check(data):
        assert [(fault.path, fault.code) for fault in validator.check(data).faults] == []

    check()


def test_rows_like_those_around_them_are_made_some_levels_deep():
    made = inputs(build_schema(SHAPES), nulls=False)
    found = find(
        made,
        lambda data: bool(data.get("tree")) and bool(data["tree"][0].get("branches")),
        settings=settings(database=None, max_examples=2000),
    )
    assert "branches" in found["tree"][0]


@given(st.data())
def test_inputs_have_all_of_one_set_where_one_is_needed(data):
    section = {"name": "rows", "label": "Rows", "fields": [field("c"), field("d")], "needsOneOf": [[["c"], ["d"]]]}
    told = schema_of(field("a"), field("b"), sections=[section], needsOneOf=[[["a"], ["b", "rows"]]])
    value = data.draw(inputs(told))
    assert compile_validator(told).check(value).faults == []
