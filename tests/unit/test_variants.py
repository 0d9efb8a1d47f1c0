"""Fields and sections that apply only with a certain choice."""

from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from acting import refused, run
from bounds import examples
from polyport.engine.dialects import tool_schema
from polyport.engine.schema import build_schema, custom_name, describe_schema
from polyport.engine.validate import compile_validator
from polyport.manifest.variables import InputField
from samples import action, checked, custom, faults, field, list_spec, schema_of

CARD, CASH = {"at": "kind", "in": ["card"]}, {"at": "kind", "equals": "cash"}
KIND = field("kind", options=[{"key": "card", "label": "Card"}, {"key": "cash", "label": "Cash"}])
FIELDS = [
    field("cvc", when={"at": "number"}),  # before what it depends on
    field("number", required=True, when=CARD),
    field("till", "integer", default=1, when=CASH),
    field("tip", when={"at": "kind", "equals": "cash", "negate": True}),
    KIND,
]
PAY = action(
    fields=FIELDS,
    sections=[
        {
            "name": "coins",
            "label": "Coins",
            "required": True,
            "when": CASH,
            "fields": [field("value", "integer"), field("till_", when=CASH)],
        }
    ],
    call={
        "method": "POST",
        "path": "/pay",
        "body": {name: "{{" + name + "}}" for name in ("kind", "number", "cvc", "till", "tip", "coins")},
    },
)
COINS = [{"value": 1}]


def check(data: Any, made: Any = PAY) -> Any:
    found = compile_validator(build_schema(made)).check(data)
    return faults(found) or found.values


def test_what_applies_is_taken_and_what_does_not_has_no_default_and_is_not_needed() -> None:
    assert check({"kind": "card", "number": "4", "cvc": "1", "tip": "x"}) == {"kind": "card", "number": "4", "cvc": "1", "tip": "x"}
    assert check({"kind": "cash", "coins": COINS}) == {"kind": "cash", "till": 1, "coins": COINS}
    assert check({"kind": "Cash", "coins": [{"value": 1, "till_": "x"}]})["coins"] == [{"value": 1, "till_": "x"}]


def test_without_a_choice_only_what_needs_none_applies() -> None:
    assert check({"tip": "x"}) == {"tip": "x"}
    assert check({"kind": None}) == {"kind": None}


def test_what_applies_may_be_needed() -> None:
    assert check({"kind": "card"}) == [("runnerData.number", "required")]
    assert check({"kind": "cash"}) == [("runnerData.coins", "required")]


def test_what_does_not_apply_may_not_be_sent() -> None:
    assert check({"kind": "cash", "number": "4", "tip": None, "coins": COINS}) == [
        ("runnerData.number", "not_applicable"),
        ("runnerData.tip", "not_applicable"),
    ]
    assert check({"kind": "card", "number": "4", "coins": COINS}) == [("runnerData.coins", "not_applicable")]
    found = checked(build_schema(PAY), {"kind": "card", "number": "4", "till": 2})
    assert found.faults[0].message == 'This applies only when "kind" is cash.'
    found = checked(build_schema(PAY), {"kind": "cash", "tip": 2, "coins": COINS})
    assert found.faults[0].message == 'This applies only when "kind" is not cash.'
    found = checked(build_schema(PAY), {"cvc": "1"})
    assert found.faults[0].message == 'This applies only when "number" is given.'


def test_a_choice_that_is_none_is_one_fault_and_what_was_sent_is_still_looked_at() -> None:
    assert check({"kind": "gold", "till": "x"}) == [("runnerData.kind", "unknown_option"), ("runnerData.till", "wrong_type")]


def test_the_default_of_the_choice_counts() -> None:
    made = action(fields=[KIND | {"default": "card"}, field("number", required=True, when=CARD)])
    assert check({}, made) == [("runnerData.number", "required")]


def test_rows_decide_for_themselves() -> None:
    rows = {"name": "rows", "label": "Rows", "fields": [KIND | {"at": "in.kind"}, field("number", required=True, when=CARD)]}
    made = action(sections=[rows | {"sections": [{"name": "deep", "label": "Deep", "when": CASH, "fields": [field("x")]}]}])
    data = {"rows": [{"kind": "card", "number": "4"}, {"kind": "cash", "deep": [{"x": "1"}]}, {"kind": "card", "deep": []}]}
    assert check(data, made) == [("runnerData.rows[2].number", "required"), ("runnerData.rows[2].deep", "not_applicable")]
    del data["rows"][2]
    assert check(data, made) == {"rows": [{"in": {"kind": "card"}, "number": "4"}, {"in": {"kind": "cash"}, "deep": [{"x": "1"}]}]}


def test_conditions_may_stand_in_a_chain_and_a_circle_ends() -> None:
    made = action(fields=[field("c", when={"at": "b"}), field("b", when={"at": "a"}), field("a")])
    assert check({"a": "1", "b": "2", "c": "3"}, made) == {"a": "1", "b": "2", "c": "3"}
    assert check({"b": "2"}, made) == [("runnerData.b", "not_applicable")]
    circle = action(fields=[field("b", when={"at": "a"}), field("a", when={"at": "b"})])
    assert check({"a": "1"}, circle) == [("runnerData.a", "not_applicable")]


@pytest.mark.anyio
async def test_a_choice_by_a_label_of_a_list_counts_once_the_list_was_read() -> None:
    made = action(
        fields=[field("kind", list="kinds"), field("number", required=True, when=CARD), field("till", when=CASH)],
        call={"method": "POST", "path": "/pay", "body": {"kind": "{{kind}}", "number": "{{number}}"}},
    )
    kinds = {"kinds": list_spec("kinds")}
    items = [{"id": "card", "name": "By card"}]
    found = await run(made, {"kind": "By card", "number": "4"}, items, {}, lists=kinds)
    assert found.body == {"kind": "card", "number": "4"}
    assert await refused(made, {"kind": "By card"}, items, lists=kinds) == [("runnerData.number", "required")]


# On the wire


def names(shown: Any) -> list[str]:
    return [variable["name"] for variable in shown["variables"]] + [section["name"] for section in shown["rowSections"]]


def test_conditions_are_described() -> None:
    shown = describe_schema(build_schema(PAY))
    by_name = {part["name"]: part.get("showWhen") for part in (*shown["variables"], *shown["rowSections"])}
    assert by_name == {
        "kind": None,
        "number": {"name": "kind", "in": ["card"]},
        "cvc": {"name": "number", "given": True},
        "till": {"name": "kind", "in": ["cash"]},
        "tip": {"name": "kind", "notIn": ["cash"]},
        "coins": {"name": "kind", "in": ["cash"]},
    }
    assert shown["rowSections"][0]["variables"][1]["showWhen"] == {"name": "kind", "in": ["cash"]}


def test_once_the_choice_is_known_only_what_applies_is_listed() -> None:
    schema = build_schema(PAY)
    assert names(describe_schema(schema, {}, {})) == ["cvc", "number", "till", "tip", "kind", "coins"]
    assert names(describe_schema(schema, {}, {"kind": "cash"})) == ["cvc", "till", "kind", "coins"]
    assert names(describe_schema(schema, {}, {"kind": "card"})) == ["cvc", "number", "tip", "kind"]


def test_rows_that_decide_for_themselves_are_always_listed_whole() -> None:
    rows = {"name": "rows", "label": "Rows", "fields": [KIND, field("number", when=CARD)]}
    shown = describe_schema(build_schema(action(fields=[KIND], sections=[rows])), {}, {"kind": "cash"})
    assert [variable["name"] for variable in shown["rowSections"][0]["variables"]] == ["kind_", "number"]
    assert shown["rowSections"][0]["variables"][1]["showWhen"]["name"] == "kind_"


def test_models_are_told_when_a_field_applies() -> None:
    for dialect in ("openai", "anthropic", "gemini"):
        assert 'Only when \\"kind\\" is card' in str(tool_schema(build_schema(PAY), dialect)).replace('"kind"', '\\"kind\\"')
    told = tool_schema(build_schema(PAY), "anthropic")["input_schema"]
    assert "required" not in told
    assert "allOf" not in told


INPUT = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(["card", "cash", None]),
        "number": st.sampled_from(["4", None]),
        "cvc": st.sampled_from(["1", None]),
        "till": st.sampled_from([1, None]),
        "tip": st.just("x"),
        "coins": st.just(COINS),
    },
)


@settings(max_examples=examples(300))
@given(INPUT, st.booleans())
def test_the_json_schema_takes_just_what_the_validator_takes(data: Any, default: bool) -> None:
    made = PAY.model_copy(update={"fields": tuple(one.model_copy(update={"default": "card"}) if one.name == "kind" and default else one for one in PAY.fields)})  # fmt: skip
    schema = build_schema(made)
    assert jsonschema.Draft202012Validator(tool_schema(schema, "json-schema")).is_valid(data) == (not checked(schema, data).faults)


@pytest.mark.parametrize("when", [{"at": "a.b"}, {"at": ["a", 0]}, {"at": ""}, {"at": "a", "contains": "x"}, {"at": "[0]"}])
def test_a_condition_is_on_the_value_of_one_field(when: Any) -> None:
    with pytest.raises(ValidationError, match="a field applies when another field has a value"):
        InputField.model_validate(field("x", when=when))


# Files among custom fields of rows


@pytest.mark.parametrize(("keys", "at"), [({}, ("f",)), ({"at": "in"}, ("in", "f")), ({"at": "in", "shape": "pairs"}, ("in", 0, "value"))])
def test_files_in_custom_fields_of_rows_are_noted_where_the_row_has_them(keys: Any, at: Any) -> None:
    section = {"name": "rows", "label": "Rows", "customFields": {"list": "x"} | keys}
    made = action(sections=[section])
    schema = build_schema(made)
    schema = type(schema)(operation=made, names=schema.names, row_custom={("rows",): (custom("f", "file"), custom("g", "string"))})
    found = checked(schema, {"rows": [{custom_name("f"): {"url": "https://x.example/a"}}, {custom_name("g"): "x"}]})
    ((holder, key, file, where),) = found.files
    value: Any = found.values["rows"][0]
    for step in at:
        value = value[step]
    assert value is file
    assert holder[key] is file
    assert where[1:3] == ("rows", 0)


def test_files_in_rows_of_plain_fields_stay_where_they_are() -> None:
    section = {"name": "rows", "label": "Rows", "fields": [field("f", "file")], "customFields": {"list": "x"}}
    found = checked(schema_of(sections=[section]), {"rows": [{"f": {"url": "https://x.example/a"}}]})
    ((holder, key, file, _where),) = found.files
    assert holder[key] is file is found.values["rows"][0]["f"]
