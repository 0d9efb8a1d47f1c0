"""How values are written for partners and read from their answers, beyond what a type says by itself."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from acting import run
from polyport.engine.dialects import tool_schema
from polyport.engine.results import read_item
from polyport.engine.schema import build_schema, custom_fields, custom_name
from polyport.engine.validate import compile_validator
from polyport.manifest.variables import CustomFieldShape, InputField, OutputField
from samples import action, checked, faults, field, schema_of


def written(value: Any, kind: str, **keys: Any) -> Any:
    found = checked(schema_of(field("value", kind, **keys)), {"value": value})
    return found.values["value"] if not found.faults else faults(found)[0][1]


def read(value: Any, kind: str, **keys: Any) -> Any:
    schema = build_schema(action(result={"fields": [field("value", kind, **keys)]}))
    return read_item(schema, {"value": value}).get("value", "nothing")


MOMENT = 1795599000.25  # 2026-11-25T09:30:00.25Z
SUMMER = 1782466200  # 2026-06-26T09:30:00Z


@pytest.mark.parametrize(
    ("kind", "keys", "value", "wire"),
    [
        ("decimal", {"scale": 2}, "10.50", 1050),
        ("decimal", {"scale": 2}, -3, -300),
        ("decimal", {"scale": 3}, "1e2", 100_000),
        ("decimal", {"scale": 2}, "1.500", 150),
        ("decimal", {"scale": 2}, "0.005", "too_precise"),
        ("decimal", {"scale": 2, "wire": "text"}, "10.5", "1050"),
        ("decimal", {"scale": 2}, "9" * 60 + ".99", int("9" * 62)),
        ("decimal[]", {"scale": 1, "separator": ";"}, [1, "2.5"], "10;25"),
        ("decimal", {"decimalPoint": ",", "thousands": "."}, "-1234567.5", "-1.234.567,5"),
        ("decimal", {"decimalPoint": ","}, "0.25", "0,25"),
        ("integer", {"thousands": ","}, 123456, "123,456"),
        ("integer", {"thousands": ","}, 12, "12"),
        ("integer", {"wire": "text"}, 12, "12"),
        ("boolean", {"words": ["Y", "N"]}, True, "Y"),
        ("boolean", {"words": [1, 0]}, "no", 0),
        ("nullable_boolean", {"words": ["Y", "N"]}, "", None),
        ("datetime", {"wire": "%d.%m.%Y %H:%M", "zone": "Europe/Berlin"}, SUMMER, "26.06.2026 11:30"),
        ("datetime", {"wire": "%d.%m.%Y %H:%M"}, SUMMER, "26.06.2026 09:30"),
        ("datetime", {"wire": "space", "zone": "America/New_York"}, SUMMER, "2026-06-26 05:30:00"),
        ("datetime", {"wire": "date", "zone": "Pacific/Auckland"}, 1795640400, "2026-11-26"),
        ("datetime", {"zone": "Europe/Berlin"}, SUMMER, "2026-06-26T09:30:00Z"),
        ("datetime", {"wire": "rfc3339_offset", "zone": "Europe/Berlin"}, SUMMER, "2026-06-26T11:30:00+02:00"),
        ("date", {"wire": "%d/%m/%y"}, "2026-11-05", "05/11/26"),
        ("date", {"wire": "compact"}, "2026-11-05", "20261105"),
        ("phone", {"region": "GB"}, "020 7946 0000", "+442079460000"),
        ("phone", {"region": "GB"}, "+33 1 70 18 99 00", "+33170189900"),
    ],
)
def test_a_value_is_written_as_its_field_says(kind: str, keys: Any, value: Any, wire: Any) -> None:
    assert written(value, kind, **keys) == wire


@pytest.mark.parametrize(
    ("kind", "keys", "wire", "value"),
    [
        ("decimal", {"scale": 2}, 1050, Decimal("10.50")),
        ("decimal", {"scale": 2}, "1050", Decimal("10.50")),
        ("decimal", {"scale": 2}, "x", "nothing"),
        ("decimal", {"decimalPoint": ",", "thousands": "."}, "-1.234.567,5", Decimal("-1234567.5")),
        ("decimal", {"decimalPoint": ",", "thousands": " "}, "1 234,5", Decimal("1234.5")),
        ("decimal", {"decimalPoint": ","}, "1.5", "nothing"),
        ("decimal", {"decimalPoint": ","}, 1.5, Decimal("1.5")),
        ("integer", {"thousands": ","}, "123,456", 123456),
        ("boolean", {"words": ["Y", "N"]}, "y", True),
        ("boolean", {"words": ["Y", "N"]}, "N ", False),
        ("boolean", {"words": ["Y", "N"]}, True, True),
        ("boolean", {"words": ["Y", "N"]}, "maybe", "nothing"),
        ("boolean", {"words": ["Y", "N"]}, {"a": 1}, "nothing"),
        ("boolean", {"words": [1, 2]}, 2, False),
        ("datetime", {"wire": "%d.%m.%Y %H:%M", "zone": "Europe/Berlin"}, "26.06.2026 11:30", SUMMER),
        ("datetime", {"wire": "%d.%m.%Y %H:%M"}, "26.06.2026 09:30", SUMMER),
        ("datetime", {"wire": "%Y-%m-%d %H:%M %z"}, "2026-06-26 11:30 +0200", SUMMER),
        ("datetime", {"wire": "%Y%m%d%H%M%S"}, 20260626093000, SUMMER),
        ("datetime", {"wire": "%d.%m.%Y"}, "2026-06-26", "nothing"),
        ("datetime", {"wire": "%d.%m.%Y"}, ["26.06.2026"], "nothing"),
        ("datetime", {"wire": "%d.%m.%Y"}, " " * 300, "nothing"),
        ("datetime", {"zone": "Europe/Berlin"}, "2026-06-26T11:30:00", SUMMER),
        ("datetime", {"zone": "Europe/Berlin"}, "2026-06-26T11:30:00+02:00", SUMMER),
        ("datetime", {"zone": "Europe/Berlin"}, "soon", "nothing"),
        ("datetime", {"zone": "Europe/Berlin"}, SUMMER, SUMMER),
        ("datetime", {"wire": "unix_ms"}, SUMMER * 1000, SUMMER),
        ("datetime", {"wire": "unix_ms"}, str(SUMMER * 1000), SUMMER),
        ("datetime", {"wire": "unix_ms_text"}, "2026-06-26T09:30:00Z", SUMMER),
        ("datetime[]", {"wire": "unix_ms"}, [SUMMER * 1000, None], [SUMMER]),
        ("date", {"wire": "%d/%m/%y"}, "05/11/26", "2026-11-05"),
        ("date", {"wire": "%Y%m%d"}, 20261105, "2026-11-05"),
        ("date", {"wire": "%d/%m/%y"}, ["05/11/26"], "nothing"),
        ("date", {"wire": "%d/%m/%y"}, "5" * 300, "nothing"),
        ("date", {"wire": "compact"}, "20261105", "2026-11-05"),
        ("date", {"wire": "compact"}, 20261105, "2026-11-05"),
        ("date", {"wire": "compact"}, "2026-11-05", "2026-11-05"),
        ("phone", {"region": "GB"}, "020 7946 0000", "+442079460000"),
        ("phone", {"region": "GB"}, "ext. 5", "ext. 5"),
        ("phone", {"region": "GB"}, "", ""),
        ("string[]", {"separator": ", "}, "a, b", ["a", "b"]),
        ("integer[]", {"separator": ";"}, "1;2", [1, 2]),
    ],
)
def test_a_value_is_read_as_its_field_says(kind: str, keys: Any, wire: Any, value: Any) -> None:
    assert read(wire, kind, **keys) == value


def test_a_time_that_the_pattern_cannot_show_is_a_fault() -> None:
    assert written("9999-12-31T23:59:59Z", "datetime", wire="%d.%m.%Y", zone="Pacific/Auckland") == "out_of_range"


@pytest.mark.parametrize(
    ("kind", "keys", "words"),
    [
        ("integer", {"scale": 2}, '"scale" is for decimal; this is a integer'),
        ("string", {"zone": "UTC"}, '"zone" is for datetime'),
        ("date", {"words": ["a", "b"]}, '"words" is for boolean and nullable_boolean'),
        ("string", {"thousands": ","}, '"thousands" is for decimal and integer'),
        ("string", {"decimalPoint": ","}, '"decimalPoint" is for'),
        ("string", {"region": "GB"}, '"region" is for phone'),
        ("datetime", {"zone": "Mars/Base"}, "is not a time zone"),
        ("datetime", {"wire": "%q"}, "a pattern is made of"),
        ("datetime", {"wire": "iso"}, "and patterns such as"),
        ("boolean", {"wire": "%Y"}, "is not a wire format of boolean; there are: boolean, number, text"),
        ("boolean", {"words": ["Y", "y"]}, "the words for true and false are two"),
        ("boolean", {"words": ["Y", "N"], "wire": "text"}, "leave out wire"),
        ("decimal", {"thousands": "."}, "are two signs"),
        ("string", {"separator": ","}, "a separator is for lists"),
    ],
)
def test_a_form_that_does_not_fit_the_type_is_refused_when_the_folder_is_read(kind: str, keys: Any, words: str) -> None:
    for model in (InputField, OutputField):
        with pytest.raises(ValidationError) as caught:
            model.model_validate({"name": "x", "type": kind, "label": "X"} | keys)
        assert words in str(caught.value)


def test_a_pattern_that_is_only_written_is_for_inputs_alone() -> None:
    told = {"name": "x", "type": "datetime", "label": "X", "wire": "%Y-W%V"}
    assert InputField.model_validate(told).wire == "%Y-W%V"
    with pytest.raises(ValidationError):
        OutputField.model_validate(told)


def test_custom_fields_may_have_patterns_and_come_back_by_them() -> None:
    shape = CustomFieldShape.model_validate(
        {"key": "id", "label": "id", "type": "t", "types": {"d": "date", "t": "string"}, "wires": {"d": "%d.%m.%Y", "t": "%d.%m.%Y"}}
    )
    fields = custom_fields(shape, [{"id": "a", "t": "d"}, {"id": "b", "t": "t"}])
    schema = build_schema(action(customFields={"list": "x", "resultAt": "held"}), fields)
    sent = compile_validator(schema).check({custom_name("a"): "2026-11-05", custom_name("b"): "x"})
    assert sent.custom == {"a": "05.11.2026", "b": "x"}
    assert read_item(schema, {"held": sent.custom}) == {custom_name("a"): "2026-11-05", custom_name("b"): "x"}


def test_a_wire_format_of_custom_fields_that_no_type_has_is_refused() -> None:
    with pytest.raises(ValidationError):
        CustomFieldShape.model_validate({"key": "id", "label": "id", "wires": {"d": "%d.%m.%Y"}})


def test_models_are_told_how_precise_an_amount_may_be_and_that_a_region_takes_national_numbers() -> None:
    schema = schema_of(field("amount", "decimal", scale=2), field("phone", "phone", region="GB"))
    shown = tool_schema(schema, "json-schema")["properties"]
    assert "At most 2 decimal places." in shown["amount"]["description"]
    assert shown["phone"]["pattern"] == r"\S"


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**30), max_value=10**30))
def test_an_amount_in_minor_units_comes_back_the_same(amount: Decimal) -> None:
    assert read(written(str(amount), "decimal", scale=4), "decimal", scale=4) == amount


@pytest.mark.anyio
async def test_amounts_go_out_in_cents_and_come_back_in_euros() -> None:
    made = action(
        fields=[field("amount", "decimal", scale=2)],
        call={"method": "POST", "path": "/x", "body": {"cents": "{{amount}}"}},
        result={"fields": [field("amount", "decimal", scale=2, at="cents")]},
    )
    found = await run(made, {"amount": "10.50"}, {"cents": 1050})
    assert found.body == {"cents": 1050}
    assert found.result == {"amount": Decimal("10.50")}


@pytest.mark.anyio
async def test_the_body_and_the_answer_may_be_a_bare_list_or_a_bare_value() -> None:
    rows = {"name": "rows", "label": "Rows", "fields": [field("a")]}
    made = action(
        sections=[rows],
        call={"method": "POST", "path": "/x", "body": "{{rows}}"},
        result={"sections": [rows | {"at": ""}]},
    )
    found = await run(made, {"rows": [{"a": "1"}]}, [{"a": "1"}, {"a": "2"}])
    assert found.body == [{"a": "1"}]
    assert found.result == {"rows": [{"a": "1"}, {"a": "2"}]}
    scalar = action(
        fields=[field("text")],
        call={"method": "POST", "path": "/x", "body": "{{text}}"},
        result={"fields": [field("count", "integer", at="")]},
    )
    found = await run(scalar, {"text": "hello"}, 5)
    assert found.body == "hello"
    assert found.result == {"count": 5}


@pytest.mark.parametrize(
    "kind", ["string", "integer", "decimal", "boolean", "datetime", "phone", "date", "nullable_boolean", "object", "string[]", "file"]
)
def test_null_of_any_type_clears(kind: str) -> None:
    assert checked(schema_of(field("value", kind)), {"value": None}).values == {"value": None}
