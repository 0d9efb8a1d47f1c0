"""Field schemas in the dialects of tool-calling models: what they say, that dialects accept them, that the validator accepts what they accept."""

import json
import re
from decimal import Decimal

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bundled
from bounds import examples
from polyport.engine.dialects import (
    DESCRIPTION_LIMIT,
    DIALECTS,
    NAME_LIMIT,
    STRICT_LEVELS,
    STRICT_PROPERTIES,
    tool_name,
    tool_schema,
)
from polyport.engine.json_schema import LABELS_TOLD
from polyport.engine.schema import Choices, build_schema
from samples import checked, custom, faults, field, list_spec, schema_of

OPTIONS = [{"key": "1", "label": "Owner"}, {"key": "3", "label": "Everyone"}]
CHOICES = {"owners": Choices(items=((5, "Ann"), (7, "Bob")))}


def rows(*fields, name="rows", **keys):
    return {"name": name, "label": name.title(), "fields": list(fields)} | keys


def whole(**keys):
    return schema_of(
        field("name", required=True, hint="Full name"),
        field("age", "integer", min=0, max=150),
        field("visible_to", options=OPTIONS),
        sections=[rows(field("value", format="email"), name="email")],
        **keys,
    )


def parameters(schema, dialect):
    told = tool_schema(schema, dialect, "example")
    return {
        "json-schema": lambda: told,
        "openai": lambda: told["function"]["parameters"],
        "anthropic": lambda: told["input_schema"],
        "gemini": lambda: told.get("parameters", {"type": "object", "properties": {}}),
    }[dialect]()


def one(dialect, kind="string", choices=None, lists=None, **keys):
    return parameters(schema_of(field("value", kind, **keys), choices=choices, lists=lists), dialect)["properties"]["value"]


def walk(part):
    yield part
    inner = [*part.get("properties", {}).values(), *part.get("anyOf", ()), *part.get("oneOf", ())]
    for deeper in [*inner, part["items"]] if "items" in part else inner:
        yield from walk(deeper)


def refused(schema, data):
    found = checked(schema, data)
    return faults(found), found.wanted


def accepts(part, value):
    return jsonschema.Draft202012Validator(part, format_checker=jsonschema.FormatChecker()).is_valid(value)


def without_nulls(value):
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


# JSON Schema


def test_the_json_schema_says_all_that_is_known():
    assert tool_schema(whole(), "json-schema") == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Do it",
        "type": "object",
        "properties": {
            "name": {"title": "Name", "description": "Full name.", "type": "string", "minLength": 1},
            "age": {"title": "Age", "type": ["integer", "null"], "minimum": 0, "maximum": 150},
            "visible_to": {
                "title": "Visible_To",
                "description": "One of: 1 = Owner; 3 = Everyone.",
                "type": ["string", "null"],
                "enum": ["1", "3", None],
                "oneOf": [
                    {"const": "1", "title": "Owner"},
                    {"const": "3", "title": "Everyone"},
                    {"const": None, "title": "Nothing"},
                ],
            },
            "email": {
                "title": "Email",
                "type": ["array", "null"],
                "maxItems": 10_000,
                "items": {
                    "type": "object",
                    "properties": {"value": {"title": "Value", "type": ["string", "null"], "maxLength": 254, "format": "email"}},
                    "additionalProperties": False,
                },
            },
        },
        "required": ["name"],
        "additionalProperties": False,
    }


def test_properties_have_their_public_names_in_order():
    schema = schema_of(field("b"), field("a"), sections=[rows(field("a"), sections=[rows(field("a"), name="deep")])])
    found = tool_schema(schema, "json-schema")
    assert list(found["properties"]) == ["b", "a", "rows"]
    inner = found["properties"]["rows"]["items"]
    assert list(inner["properties"]) == ["a_", "deep"]
    assert list(inner["properties"]["deep"]["items"]["properties"]) == ["a__"]


def test_only_custom_fields_that_can_be_written_are_said():
    entries = (custom("mine"), custom("theirs", writable=False))
    written = schema_of(custom_fields=entries, customFields={"list": "owners"})
    read = schema_of(custom_fields=entries, customFields={"list": "owners", "writable": False})
    bare = schema_of(custom_fields=entries)
    assert list(tool_schema(written, "json-schema")["properties"]) == [entries[0].field.name]
    assert [tool_schema(schema, "json-schema")["properties"] for schema in (read, bare)] == [{}, {}]


def test_a_required_field_with_a_default_may_be_left_out_but_not_cleared():
    schema = schema_of(field("value", required=True, default="x"))
    found = tool_schema(schema, "json-schema")
    assert "required" not in found
    assert found["properties"]["value"]["default"] == "x"
    assert not accepts(found, {"value": None})
    assert accepts(found, {})


def test_a_section_that_needs_rows_is_required_and_not_nullable():
    found = tool_schema(schema_of(sections=[rows(field("value"), required=True, minRows=2, maxRows=4)]), "json-schema")
    assert found["required"] == ["rows"]
    assert (found["properties"]["rows"]["type"], found["properties"]["rows"]["minItems"], found["properties"]["rows"]["maxItems"]) == (
        "array",
        2,
        4,
    )


def test_times_are_unix_seconds_or_iso_texts_with_a_zone():
    part = one("json-schema", "datetime")
    assert [accepts(part, value) for value in (0, 1.5, "2026-11-24T09:30:00Z", "2026-11-24T09:30:00.5+02:00", None)] == [True] * 5
    assert [accepts(part, value) for value in ("2026-11-24T09:30:00", "yesterday", 1e12, True)] == [False] * 4


def test_decimals_are_numbers_or_texts_that_keep_their_digits():
    part = one("json-schema", "decimal", max=10)
    assert [accepts(part, value) for value in (1.5, "1.50", "-.5e3")] == [True] * 3
    assert [accepts(part, value) for value in (11, "one", "1.5.0", True)] == [False] * 4


def test_files_are_one_of_three_shapes():
    part = one("json-schema", "file")
    good = [{"url": "https://x.example/a"}, {"fileId": "f1", "name": "a.txt"}, {"base64": "AA==", "contentType": "text/plain"}, None]
    assert [accepts(part, value) for value in good] == [True] * 4
    bad = [{}, {"url": "u", "fileId": "f"}, {"base64": "A"}, {"url": "u", "more": 1}, "u"]
    assert [accepts(part, value) for value in bad] == [False] * 5


def test_free_form_json_is_anything_and_only_empty_where_it_may_be():
    assert one("json-schema", "object") == {"title": "Value", "description": "Any JSON."}
    required = one("json-schema", "object", required=True)
    assert [accepts(required, value) for value in ({}, 0, [None], "x", None, "", [])] == [True] * 4 + [False] * 3


def test_a_pattern_is_whole_and_stands_only_where_it_means_the_same():
    assert one("json-schema", pattern="a|b")["pattern"] == "^(?:a|b)$"
    assert one("json-schema", pattern="^https?://\\S+[a-z.-]{2,5}$")["pattern"] == "^(?:^https?://\\S+[a-z.-]{2,5}$)$"
    for pattern in ("(?i)abc", "\\pL+", "(?P<n>x)", "\\s", "[[:alpha:]]", "a{", "\\Aa\\z"):
        part = one("json-schema", pattern=pattern)
        assert "pattern" not in part
        assert part["description"] == f"Has to match this RE2 pattern: {pattern}."


def test_telephone_numbers_need_a_country_code_only_where_the_partner_does():
    assert not accepts(one("json-schema", "phone"), "0171 123")
    assert accepts(one("json-schema", "phone"), "+49 171 1234567")
    assert accepts(one("json-schema", "phone", wire="given"), "0171 123")
    assert not accepts(one("json-schema", "phone", wire="given"), "  ")


def test_formats_lengths_media_and_secrets_are_said():
    assert one("json-schema", format="uri", minLength=3, maxLength=9) == {
        "title": "Value", "type": ["string", "null"], "minLength": 3, "maxLength": 9, "format": "uri",
    }  # fmt: skip
    assert one("json-schema", format="html")["contentMediaType"] == "text/html"
    assert one("json-schema", format="email", maxLength=20)["maxLength"] == 20
    hidden = one("json-schema", secret=True, default="canary", sample="canary")
    assert hidden == {"title": "Value", "type": ["string", "null"], "writeOnly": True}


def test_dependent_fields_name_what_they_depend_on():
    schema = schema_of(field("a"), field("value", dependsOn=["a", "sheet"]))
    assert parameters(schema, "json-schema")["properties"]["value"]["description"] == "Depends on a, sheet."


# Choices


def test_a_list_that_was_read_whole_is_closed():
    part = one("json-schema", "integer", list="owners", choices=CHOICES)
    assert part["enum"] == [5, 7, None]
    assert part["oneOf"][0] == {"const": 5, "title": "Ann"}


def test_a_list_with_more_than_was_read_stays_open():
    choices = {"owners": Choices(items=CHOICES["owners"].items, complete=False)}
    part = one("anthropic", "integer", list="owners", choices=choices)
    assert "enum" not in part
    assert part["description"] == "Value. Among the choices: 5 = Ann; 7 = Bob; and others, by key or by their exact label."


@pytest.mark.parametrize("choices", [{}, {"owners": Choices(items=())}])
def test_a_list_without_known_choices_takes_any_value(choices):
    assert one("anthropic", "integer", list="owners", choices=choices) == {"description": "Value.", "type": ["integer", "null"]}


def test_a_long_list_is_told_in_part():
    options = [{"key": str(number), "label": f"L{number}"} for number in range(LABELS_TOLD + 1)]
    part = one("anthropic", options=options)
    assert len(part["enum"]) == LABELS_TOLD + 2
    assert part["description"].endswith(f"{LABELS_TOLD - 1} = L{LABELS_TOLD - 1}; and more.")


def test_keys_have_the_type_that_they_have_whatever_the_field_is():
    numbers = [{"key": 1, "label": "One"}, {"key": 2, "label": "Two"}]
    assert one("json-schema", options=numbers)["type"] == ["integer", "null"]
    assert one("json-schema", "boolean", options=[{"key": True, "label": "Yes"}])["type"] == ["boolean", "null"]


def test_keys_of_several_types_and_decimals_are_said_as_texts():
    mixed = Choices(items=((1, "One"), ("1", "Again"), ("two", "Two"), (1.5, "More")))
    part = one("json-schema", list="owners", choices={"owners": mixed})
    assert part["enum"] == ["1", "two", "1.5", None]
    assert one("json-schema", "decimal", list="owners", choices={"owners": Choices(items=((Decimal("0.50"), "Half"),))})["enum"] == [
        "0.50",
        None,
    ]


def test_keys_that_the_field_refuses_are_not_offered():
    keys = ("5", "five", "99", 10**500, 7)
    choices = {"owners": Choices(items=tuple((key, "L") for key in keys))}
    assert one("json-schema", "integer", max=50, list="owners", choices=choices)["enum"] == ["5", "7", None]
    assert one("json-schema", required=True, options=[{"key": "", "label": "None"}, *OPTIONS])["enum"] == ["1", "3"]
    assert one("json-schema", "phone", options=[{"key": "+442079460000", "label": "Desk"}])["enum"] == ["+442079460000", None]


# Defaults and examples


@pytest.mark.parametrize(
    ("kind", "keys", "value", "said"),
    [
        ("integer", {}, "3", 3),
        ("decimal", {}, "1.50 ", "1.50"),
        ("decimal", {}, 1.5, 1.5),
        ("decimal", {}, 2, 2),
        ("decimal", {}, "1e300", None),
        ("boolean", {}, "yes", True),
        ("nullable_boolean", {}, "no", False),
        ("datetime", {}, 1795512600, "2026-11-24T09:30:00Z"),
        ("date", {}, "2026-11-24", "2026-11-24"),
        ("phone", {}, " +44 20 7946 0000", "+44 20 7946 0000"),
        ("phone", {}, "ask", None),
        ("phone", {"wire": "given"}, "1" * 65, None),
        ("file", {}, {"url": "https://x.example/", "name": None}, {"url": "https://x.example/"}),
        ("file", {}, "a.txt", None),
        ("object", {}, {"a": [1]}, {"a": [1]}),
        ("integer", {"max": 2}, 3, None),
        ("string", {"required": True}, "", None),
        ("string", {}, "", ""),
        ("string", {"pattern": "a+"}, "b", None),
        ("string", {"options": OPTIONS}, 3, "3"),
        ("string", {"options": OPTIONS}, "Everyone", None),
        ("string", {"options": OPTIONS}, ["3"], None),
        ("string[]", {}, "a, b", ["a", "b"]),
        ("integer[]", {}, ["1", 2], [1, 2]),
        ("integer[]", {}, ["one"], None),
        ("integer[]", {}, 1, None),
        ("object[]", {}, "a,b", None),
        ("string[]", {"maxItems": 1}, ["a", "b"], None),
        ("string[]", {"required": True, "separator": ";"}, ["a", ""], None),
    ],
)  # fmt: skip
def test_defaults_and_examples_are_said_as_the_schema_takes_them_or_not_at_all(kind, keys, value, said):
    part = one("json-schema", kind, default=value, sample=value, **keys)
    assert (part.get("default"), part.get("examples")) == (said, None if said is None else [said])
    assert said is None or accepts(part, said)


def test_the_sample_of_an_open_list_is_not_said_for_its_key_is_of_another_account():
    assert "examples" not in one("json-schema", "integer", list="owners", sample=9001)
    assert one("json-schema", "integer", list="owners", sample=7, choices=CHOICES)["examples"] == [7]


def test_tool_dialects_tell_defaults_and_short_examples_in_words():
    assert one("anthropic", default="a", sample="b")["description"] == 'Value. Default: "a". Example: "b".'
    assert one("anthropic", sample="b" * 300)["description"] == "Value."


# Tool definitions


def test_an_anthropic_tool_is_plain_json_schema_without_a_union_at_the_top():
    told = tool_schema(whole(description="Makes a person"), "anthropic", "example")
    assert (told["name"], list(told)) == ("example_do_it", ["name", "description", "input_schema"])
    assert told["description"] == "Do it. Makes a person. Leave out what you do not set: null clears a field."
    assert set(told["input_schema"]) == {"type", "properties", "required", "additionalProperties"}
    assert told["input_schema"]["properties"]["visible_to"] == {
        "description": "Visible_To. One of: 1 = Owner; 3 = Everyone.", "type": ["string", "null"], "enum": ["1", "3", None],
    }  # fmt: skip


def test_an_openai_function_is_strict_and_says_that_null_means_not_set():
    function = tool_schema(whole(), "openai", "example")["function"]
    assert (function["name"], function["strict"]) == ("example_do_it", True)
    assert function["description"] == "Do it. Give null for what you do not set."
    assert function["parameters"] == {
        "type": "object",
        "properties": {
            "name": {"description": "Name. Full name.", "type": "string"},
            "age": {"description": "Age.", "type": ["integer", "null"], "minimum": 0, "maximum": 150},
            "visible_to": {
                "description": "Visible_To. One of: 1 = Owner; 3 = Everyone.",
                "type": ["string", "null"],
                "enum": ["1", "3", None],
            },
            "email": {
                "description": "Email.",
                "type": ["array", "null"],
                "items": {
                    "type": "object",
                    "properties": {
                        "value": {"description": "Value. At most 254 characters.", "type": ["string", "null"], "format": "email"}
                    },
                    "additionalProperties": False,
                    "required": ["value"],
                },
            },
        },
        "required": ["name", "age", "visible_to", "email"],
        "additionalProperties": False,
    }


def test_in_strict_mode_a_default_is_reached_by_null():
    part = one("openai", required=True, default="x")
    assert part["type"] == ["string", "null"]


def test_in_strict_mode_an_optional_file_is_a_union_with_null():
    part = one("openai", "file")
    assert [shape.get("required") for shape in part["anyOf"]] == [
        ["url", "name", "contentType"], ["fileId", "name", "contentType"], ["base64", "name", "contentType"], None,
    ]  # fmt: skip
    assert part["anyOf"][-1] == {"type": "null"}


def test_a_format_that_openai_refuses_becomes_words():
    assert one("openai", format="uri") == {"description": "Value. Format: uri.", "type": ["string", "null"]}
    assert one("openai", format="uuid")["format"] == "uuid"


def deep(levels):
    sections = [rows(field("value"), name="leaf")]
    for level in range(levels - 1):
        sections = [rows(name=f"s{level}", sections=sections)]
    return schema_of(sections=sections)


def many(count, label="L", key="k"):
    return [{"key": f"{key}{number}", "label": label} for number in range(count)]


@pytest.mark.parametrize(
    ("strict", "schema"),
    [
        (True, schema_of()),
        (False, schema_of(field("value", "object"))),
        (False, schema_of(field("value", "object[]"))),
        (True, deep((STRICT_LEVELS - 1) // 2)),
        (False, deep((STRICT_LEVELS + 1) // 2)),
        (True, schema_of(*(field(f"f{number}") for number in range(STRICT_PROPERTIES)))),
        (False, schema_of(*(field(f"f{number}") for number in range(STRICT_PROPERTIES + 1)))),
        (True, schema_of(*(field(f"f{number}", options=many(249), required=True) for number in range(4)))),
        (False, schema_of(*(field(f"f{number}", options=many(249), required=True) for number in range(5)))),
        (True, schema_of(field("value", options=many(250, key="k" * 100), required=True))),
        (False, schema_of(field("value", options=many(251, key="k" * 100), required=True))),
        (False, schema_of(*(field(f"f{number}", options=many(200, key="k" * 160), required=True) for number in range(4)))),
    ],
)  # fmt: skip
def test_strict_mode_is_asked_for_only_within_its_limits(strict, schema):
    function = tool_schema(schema, "openai")["function"]
    assert function["strict"] is strict


def test_without_strict_mode_null_clears_and_optional_fields_may_be_left_out():
    function = tool_schema(schema_of(field("value", "object"), field("link", format="uri", minLength=2)), "openai")["function"]
    assert function["description"] == "Do it. Leave out what you do not set: null clears a field."
    assert function["parameters"]["properties"] == {
        "value": {"description": "Value. Any JSON."},
        "link": {"description": "Link. Format: uri.", "type": ["string", "null"], "minLength": 2},
    }


def test_a_long_description_is_cut_for_openai_but_keeps_the_rule_about_null():
    told = tool_schema(whole(description="word " * 1000), "openai")["function"]["description"]
    assert len(told) <= DESCRIPTION_LIMIT
    assert told.endswith("word… Give null for what you do not set.")
    assert len(tool_schema(schema_of(description="x" * 5000), "openai")["function"]["description"]) <= DESCRIPTION_LIMIT


def test_a_gemini_declaration_has_neither_unions_nor_closed_objects():
    told = tool_schema(whole(), "gemini", "example")
    assert told == {
        "name": "example_do_it",
        "description": "Do it. Leave out what you do not set: null clears a field.",
        "parameters": {
            "type": "object",
            "properties": {
                "name": {"description": "Name. Full name.", "type": "string", "minLength": 1},
                "age": {"description": "Age.", "type": "integer", "nullable": True, "minimum": 0, "maximum": 150},
                "visible_to": {
                    "description": "Visible_To. One of: 1 = Owner; 3 = Everyone.",
                    "type": "string",
                    "nullable": True,
                    "format": "enum",
                    "enum": ["1", "3"],
                },
                "email": {
                    "description": "Email.",
                    "type": "array",
                    "nullable": True,
                    "items": {
                        "type": "object",
                        "properties": {
                            "value": {"description": "Value. Format: email.", "type": "string", "nullable": True, "maxLength": 254}
                        },
                    },
                },
            },
            "required": ["name"],
        },
    }


def test_gemini_gets_choices_as_texts_times_with_a_format_and_a_file_as_one_object():
    assert one("gemini", "integer", list="owners", choices=CHOICES, required=True) == {
        "description": "Value. One of: 5 = Ann; 7 = Bob.", "type": "string", "format": "enum", "enum": ["5", "7"],
    }  # fmt: skip
    assert one("gemini", "datetime")["format"] == "date-time"
    assert "format" not in one("gemini", "date")
    part = one("gemini", "file")
    assert (part["type"], part["nullable"], list(part["properties"])) == (
        "object",
        True,
        ["url", "name", "contentType", "fileId", "base64"],
    )
    assert part["description"] == 'Value. A file: exactly one of "url", "fileId" and "base64".'
    assert "nullable" not in one("gemini", "file", required=True)
    assert one("gemini", "decimal", multipleOf=0.05)["description"] == "Value. A multiple of 0.05."
    assert {one(dialect, "decimal", multipleOf=0.05).get("multipleOf") for dialect in ("json-schema", "openai", "anthropic")} == {0.05}
    assert one("json-schema", format="regex")["format"] == "regex"


def test_gemini_leaves_out_optional_free_form_values_and_says_so():
    told = tool_schema(schema_of(field("name"), field("more", "object"), sections=[rows(field("x", "object[]"))]), "gemini")
    assert list(told["parameters"]["properties"]) == ["name"]
    assert told["description"].endswith("Not offered here: more, rows.x, rows.")


def test_gemini_gets_no_parameters_where_there_are_none():
    assert tool_schema(schema_of(), "gemini") == {"name": "do_it", "description": "Do it."}


def test_a_required_free_form_value_is_refused_for_gemini():
    with pytest.raises(ValueError, match='"more" is required and takes any JSON'):
        tool_schema(schema_of(field("more", "object", required=True)), "gemini")


# Names


def test_an_unknown_dialect_is_refused_with_the_ones_there_are():
    with pytest.raises(ValueError, match="json-schema, openai, anthropic, gemini"):
        tool_schema(schema_of(), "cobol")


def test_a_tool_name_is_slug_and_operation():
    assert tool_name("polyport-tools", "add") == "polyport-tools_add"
    assert tool_name("", "add") == "add"


def test_tool_names_that_had_to_be_changed_stay_apart():
    names = [tool_name("slug", "n" * 80), tool_name("slug", "n" * 81), tool_name("a.b", "c"), tool_name("a b", "c")]
    assert len(set(names)) == 4
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in names)
    assert len(names[0]) == NAME_LIMIT


@pytest.mark.parametrize(
    ("name", "refusing"), [("a-b", {"gemini"}), ("n" * 64, set()), ("n" * 65, {"anthropic", "gemini"}), ("_x9", set())]
)
@pytest.mark.parametrize("inside", [False, True])
def test_a_property_name_that_a_dialect_refuses_is_a_fault_and_never_another_name(name, refusing, inside):
    schema = schema_of(sections=[rows(field(name))]) if inside else schema_of(field(name))
    for dialect in DIALECTS:
        if dialect in refusing:
            with pytest.raises(ValueError, match=f'"{name}" cannot be named in the dialect {dialect}'):
                tool_schema(schema, dialect)
        else:
            assert f'"{name}"' in str(tool_schema(schema, dialect)).replace("'", '"')


# What dialects accept


def check_anthropic(told):
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", told["name"])
    jsonschema.Draft202012Validator.check_schema(told["input_schema"])
    assert not {"oneOf", "anyOf", "allOf", "$ref"} & told["input_schema"].keys()
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name) for part in walk(told["input_schema"]) for name in part.get("properties", ()))


STRICT_WORDS = {
    "type", "description", "enum", "anyOf", "items", "properties", "required", "additionalProperties", "pattern", "format", "minimum",
    "maximum", "minItems", "maxItems",
}  # fmt: skip


def check_openai(told):
    function = told["function"]
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", function["name"])
    jsonschema.Draft202012Validator.check_schema(function["parameters"])
    for part in walk(function["parameters"]):
        assert part.get("format") in {None, "date-time", "date", "email", "hostname", "uuid"}
        if function["strict"]:
            assert part.keys() <= STRICT_WORDS
            assert "type" in part or "anyOf" in part
            if "properties" in part:
                assert part["additionalProperties"] is False
                assert part["required"] == list(part["properties"])


GEMINI_WORDS = {
    "type", "description", "nullable", "enum", "format", "items", "properties", "required", "minimum", "maximum", "minItems", "maxItems",
    "minLength", "maxLength", "pattern",
}  # fmt: skip


def check_gemini(told):
    assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", told["name"])
    for part in walk(told.get("parameters", {"type": "string"})):
        assert part.keys() <= GEMINI_WORDS
        assert part["type"] in {"string", "number", "integer", "boolean", "array", "object"}
        assert part.get("format") in {None, "enum", "date-time"}
        if "enum" in part:
            assert part["type"] == "string"
            assert all(isinstance(key, str) for key in part["enum"])
        if part["type"] == "object":
            assert part["properties"]
            assert set(part.get("required", ())) <= part["properties"].keys()
            assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", name) for name in part["properties"])
        assert ("items" in part) == (part["type"] == "array")


def check_json_schema(told):
    jsonschema.Draft202012Validator.check_schema(told)
    for part in walk(told):
        for value in [*part.get("examples", ()), *([part["default"]] if "default" in part else ())]:
            assert accepts(part, value)


CHECKS = {"json-schema": check_json_schema, "openai": check_openai, "anthropic": check_anthropic, "gemini": check_gemini}


@pytest.mark.no_cover  # what it passes is measured by the small ones above; checking schemas takes three times as long while it is
@pytest.mark.parametrize("slug", bundled.FOLDERS)
def test_every_operation_of_the_bundled_partners_can_be_said_in_every_dialect_that_has_words_for_it(slug):
    partner = bundled.partner(slug)
    for operation in partner.operations:
        schema = build_schema(operation, lists=partner.lists)
        free = any(field.required and field.base_type == "object" for field in operation.fields)
        open_rows = any(section.required and section.custom_fields is not None and not section.fields for section in operation.sections)
        for dialect, check in CHECKS.items():
            if dialect == "gemini" and (free or open_rows):
                with pytest.raises(ValueError, match="takes any JSON" if free else "once its selectors are chosen"):
                    tool_schema(schema, dialect, partner.file.slug)
            else:
                check(tool_schema(schema, dialect, partner.file.slug))


# What the schema accepts, the validator accepts


def texts(part):
    if part.get("format") == "email":
        return st.from_regex(r"[a-z]{1,9}@[a-z]{1,9}\.[a-z]{2,3}", fullmatch=True)
    if part.get("format") == "date-time":
        return st.datetimes().map(lambda moment: moment.isoformat() + "+02:00").filter(lambda text: text[:4] not in {"0001", "9999"})
    if "pattern" in part and part["pattern"].startswith("^[0-9]{4}-") and "T" not in part["pattern"]:
        return st.dates().map(lambda day: day.isoformat())
    if "pattern" in part and "[0-9 ().-]" in part["pattern"]:
        return st.sampled_from(["+442079460000", "0049 171 1234567", "+1 (212) 555-0123"])
    if part.get("maxLength") == 255:  # a file's name, which is printable: no schema can say that
        return st.from_regex(r"[ -~]{0,9}", fullmatch=True)
    if "pattern" in part:
        found = st.from_regex(
            re.compile(part["pattern"].removesuffix("$") + r"\Z" if part["pattern"].endswith("$") else part["pattern"], re.ASCII)
        )
        return found.filter(lambda text: part.get("minLength", 0) <= len(text) <= part.get("maxLength", 99))
    return st.text(st.characters(exclude_categories=["Cs"]), min_size=part.get("minLength", 0), max_size=min(part.get("maxLength", 9), 99))


def instances(part):
    """Values that a schema of ours accepts, in any of the dialects."""
    if "enum" in part:
        found = st.sampled_from(part["enum"])
    elif union := part.get("oneOf", part.get("anyOf")):
        found = st.one_of([instances(shape) for shape in union])
    elif "type" not in part:
        leaf = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3)
        found = st.recursive(
            leaf, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2), max_leaves=4
        )
        found = found.filter(lambda value: value not in (None, "", []))  # the tool dialects cannot say that a required one is not empty
    else:
        words = part["type"] if isinstance(part["type"], list) else [part["type"]]
        found = st.one_of([of_type(word, part) for word in words])
    return found | st.none() if part.get("nullable") else found


def of_type(word, part):
    low, high = part.get("minimum"), part.get("maximum")
    if word == "integer":
        return st.integers(low, high)
    if word == "number":
        return st.floats(low, high, allow_nan=False, allow_infinity=False) | st.integers(low, high)
    if word == "array":
        return st.lists(
            instances(part["items"]), min_size=part.get("minItems", 0), max_size=min(part.get("maxItems", 3), part.get("minItems", 0) + 2)
        )
    if word == "object":
        needed = set(part.get("required", ()))
        parts = {name: instances(inner) for name, inner in part["properties"].items()}
        return st.fixed_dictionaries(
            {name: inner for name, inner in parts.items() if name in needed},
            optional={name: inner for name, inner in parts.items() if name not in needed},
        )
    return {"null": st.none(), "boolean": st.booleans(), "string": texts(part)}[word]


KEYS = {
    "string": [
        {}, {"minLength": 2, "maxLength": 5}, {"format": "email"}, {"pattern": "[a-c]{2,4}|x\\d"}, {"options": OPTIONS},
        {"options": [{"key": 1, "label": "One"}, {"key": "", "label": "Empty"}]},
    ],
    "integer": [{}, {"min": -3, "max": 9}, {"list": "owners"}, {"options": [{"key": 1, "label": "One"}, {"key": "x", "label": "Not one"}]}],
    "decimal": [{}, {"options": [{"key": "1.5", "label": "One and a half"}]}],
    "boolean": [{}], "nullable_boolean": [{}], "datetime": [{}], "date": [{}],
    "phone": [{}, {"wire": "given"}, {"wire": "e164_or_given"}],
    "file": [{}], "object": [{}],
}  # fmt: skip


@st.composite
def fields(draw, name, free):
    base = draw(st.sampled_from(sorted(KEYS) if free else sorted(KEYS.keys() - {"object", "file"})))
    keys = dict(draw(st.sampled_from(KEYS[base])))
    keys["required"] = draw(st.booleans())
    if draw(st.booleans()):
        keys |= draw(st.sampled_from([{}, {"maxItems": 2}] if base in {"object", "file"} else [{}, {"maxItems": 2}, {"separator": ";"}]))
        base += "[]"
    return field(name, base, **keys)


@st.composite
def schemas(draw, free=True):
    def section(name, depth):
        inner = [draw(fields(key, free)) for key in draw(st.sampled_from([["value"], ["value", "other"]]))]
        deeper = [section("deep", depth - 1)] if depth and draw(st.booleans()) else []
        limits = draw(st.sampled_from([{}, {"required": True}, {"minRows": 1, "maxRows": 2}]))
        return rows(*inner, name=name, sections=deeper, **limits)

    top = [draw(fields(key, free)) for key in draw(st.sampled_from([["a"], ["a", "value"]]))]
    return schema_of(*top, choices=CHOICES, lists={"owners": list_spec()}, sections=[section("rows", 1)] if draw(st.booleans()) else [])


relaxed = settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


@relaxed
@given(schemas(), st.data())
def test_what_the_json_schema_accepts_the_validator_accepts(schema, data):
    told = tool_schema(schema, "json-schema")
    check_json_schema(told)
    value = data.draw(instances(told))
    assert accepts(told, value)
    assert refused(schema, value) == ([], set())


@relaxed
@given(schemas(), st.data())
def test_what_an_openai_function_accepts_the_validator_accepts_without_its_nulls(schema, data):
    told = tool_schema(schema, "openai")
    check_openai(told)
    value = data.draw(instances(told["function"]["parameters"]))
    if told["function"]["strict"]:  # it has no word for lengths, so for empty texts and file names neither
        found, wanted = refused(schema, without_nulls(value))
        assert {code for _path, code in found} <= {"required", "too_short", "too_long", "invalid_file"}
        assert not wanted
    else:
        assert refused(schema, value) == ([], set())


@relaxed
@given(schemas(), st.data())
def test_what_an_anthropic_tool_accepts_the_validator_accepts(schema, data):
    told = tool_schema(schema, "anthropic")
    check_anthropic(told)
    assert refused(schema, data.draw(instances(told["input_schema"]))) == ([], set())


@relaxed
@given(schemas(free=False), st.data())
def test_what_a_gemini_function_accepts_the_validator_accepts(schema, data):
    told = tool_schema(schema, "gemini")
    check_gemini(told)
    found, wanted = refused(schema, data.draw(instances(told["parameters"])))
    assert {code for _path, code in found} <= {"wrong_format"}  # it has no word for the format of a text but that of a time
    assert not wanted


def test_the_kind_of_json_that_a_field_takes_is_told() -> None:
    told = schema_of(
        field("a", "object", holds="object"), field("b", "object", holds="list"), field("c", "object[]", holds="object", minItems=2)
    )
    found = tool_schema(told, "json-schema")["properties"]
    assert "object" in found["a"]["type"]
    assert "array" in found["b"]["type"]
    assert (found["c"]["items"]["type"], found["c"]["minItems"]) == ("object", 2)


def test_that_one_of_several_sets_is_needed_is_told_where_json_schema_has_words_for_it():
    told = schema_of(field("a"), field("b"), field("c", default="x"), needsOneOf=[[["a"], ["b", "c"]]])
    found = tool_schema(told, "json-schema")
    check_json_schema(found)
    assert [accepts(found, data) for data in ({"a": "1"}, {"b": "1"}, {"a": None, "b": "1"})] == [True] * 3
    assert [accepts(found, data) for data in ({}, {"a": None}, {"a": ""}, {"c": "1"})] == [False] * 4


@pytest.mark.parametrize("dialect", ["openai", "anthropic", "gemini"])
def test_that_one_of_several_sets_is_needed_is_told_in_words_to_models(dialect):
    section = rows(field("c"), name="rows")
    told = json.dumps(
        tool_schema(schema_of(field("a"), field("b"), field("d"), sections=[section], needsOneOf=[[["a"], ["b", "rows"]]]), dialect)
    )
    assert told.count("One of these is needed here: a; b and rows.") == 3
