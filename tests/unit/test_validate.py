"""What a caller sends: coerced, in its wire format, every fault at once with its path."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.engine.formats import put_together
from polyport.engine.json_schema import input_schema
from polyport.engine.schema import Choices, custom_name, describe_schema
from polyport.engine.validate import FAULTS_LIMIT, ROWS_LIMIT, compile_fields, compile_validator
from polyport.kinds.fields import TYPES, FileValue, ValueFault
from polyport.manifest.variables import InputField
from samples import checked, custom, faults, field, schema_of

SIMPLE = {
    "string": ("x", "x"), "integer": ("3", 3), "decimal": ("1.50", Decimal("1.50")), "boolean": ("yes", True),
    "datetime": (1795521600, "2026-11-24T12:00:00Z"), "phone": ("0044 20 7946 0000", "+442079460000"), "date": ("2026-11-24", "2026-11-24"),
    "file": ({"url": "https://x.example/a"}, FileValue(url="https://x.example/a")), "nullable_boolean": ("no", False), "object": ({"a": 1}, {"a": 1}),
}  # fmt: skip


def rows(*fields, name="rows", **keys):
    return {"name": name, "label": name, "fields": list(fields)} | keys


def one(told, value):
    return checked(schema_of(told), {"a": value})


@pytest.mark.parametrize("kind", list(TYPES))
def test_a_value_of_every_type_reaches_the_templates_in_its_wire_format(kind):
    sent, written = SIMPLE[kind]
    found = one(field("a", kind), sent)
    assert found.faults == []
    assert found.values == {"a": written}


@pytest.mark.parametrize("kind", list(TYPES))
def test_a_field_that_was_not_given_leaves_no_trace(kind):
    found = checked(schema_of(field("a", kind), field("b", f"{kind}[]")), {})
    assert (found.values, found.faults) == ({}, [])


@pytest.mark.parametrize("kind", [name + array for name in TYPES for array in ("", "[]")])
def test_null_clears_a_field_of_any_type(kind):
    found = one(field("a", kind), None)
    assert (found.values, found.faults) == ({"a": None}, [])


@pytest.mark.parametrize("kind", [name + array for name in TYPES for array in ("", "[]")])
@pytest.mark.parametrize("value", [None, ""])
def test_null_or_empty_is_not_enough_for_a_field_that_is_needed(kind, value):
    assert faults(one(field("a", kind, required=True), value)) == [("runnerData.a", "required")]
    assert faults(checked(schema_of(field("a", kind, required=True)), {})) == [("runnerData.a", "required")]


@pytest.mark.parametrize("value", [[], " , ,", ","])
def test_a_list_of_nothing_is_not_enough_for_a_list_that_is_needed(value):
    assert faults(one(field("a", "string[]", required=True), value)) == [("runnerData.a", "required")]


@pytest.mark.parametrize(("kind", "value"), [("integer", 0), ("boolean", False), ("decimal", Decimal(0)), ("object", {}), ("string", " ")])
def test_zero_and_false_are_values(kind, value):
    found = one(field("a", kind, required=True), value)
    assert (found.values, found.faults) == ({"a": value}, [])


@pytest.mark.parametrize(
    ("kind", "found"),
    [("string", []), ("object", []), ("nullable_boolean", []), ("integer", ["wrong_type"]), ("decimal", ["wrong_type"]), ("boolean", ["wrong_type"]),
     ("datetime", ["wrong_type"]), ("date", ["wrong_type"]), ("phone", ["invalid_phone"]), ("file", ["wrong_type"])],
)  # fmt: skip
def test_an_empty_text_is_a_value_only_where_the_type_has_one(kind, found):
    assert [code for _path, code in faults(one(field("a", kind), ""))] == found


def test_an_empty_text_for_a_nullable_boolean_means_not_set():
    assert one(field("a", "nullable_boolean"), "").values == {"a": None}


def test_booleans_are_no_numbers_and_numbers_no_booleans():
    assert faults(checked(schema_of(field("a", "integer"), field("b", "boolean")), {"a": True, "b": 7})) == [
        ("runnerData.a", "wrong_type"), ("runnerData.b", "wrong_type"),
    ]  # fmt: skip


def test_a_default_stands_in_for_what_was_not_sent_but_not_for_null():
    told = schema_of(field("a", "integer", default="3"), field("b", "boolean", default=False))
    assert checked(told, {}).values == {"a": 3, "b": False}
    assert checked(told, {"a": None, "b": True}).values == {"a": None, "b": True}


def test_a_default_serves_a_field_that_is_needed():
    assert checked(schema_of(field("a", required=True, default="x")), {}).faults == []


@pytest.mark.parametrize("data", [None, [], "text", 5, True])
def test_runner_data_is_an_object(data):
    assert faults(checked(schema_of(), data)) == [("runnerData", "wrong_type")]


# Arrays


@pytest.mark.parametrize("value", [["1", 2], "1,2", " 1 , 2 ,"])
def test_a_list_may_be_sent_as_text_with_commas(value):
    assert one(field("a", "integer[]"), value).values == {"a": [1, 2]}


@pytest.mark.parametrize("value", [5, True, {"a": 1}])
def test_anything_else_is_no_list(value):
    assert faults(one(field("a", "integer[]"), value)) == [("runnerData.a", "wrong_type")]


def test_a_list_of_objects_or_files_is_no_text():
    for kind in ("object[]", "file[]"):
        assert faults(one(field("a", kind), "a,b")) == [("runnerData.a", "wrong_type")]


def test_every_faulty_element_is_named():
    assert faults(one(field("a", "integer[]"), [1, "x", None, True, 2])) == [
        (f"runnerData.a[{index}]", "wrong_type") for index in (1, 2, 3)
    ]


def test_a_list_has_a_limit():
    assert faults(one(field("a", "string[]", maxItems=2), "a,b,c")) == [("runnerData.a", "too_many")]
    assert faults(one(field("a", "string[]"), ["x"] * (ROWS_LIMIT + 1))) == [("runnerData.a", "too_many")]


def test_a_list_may_be_written_as_one_text():
    assert one(field("a", "integer[]", separator=";"), [1, 2]).values == {"a": "1;2"}
    assert faults(one(field("a", "nullable_boolean[]", separator=";"), ["", "yes"])) == [("runnerData.a", "wrong_type")]


# Names


def test_unknown_keys_and_outputs_are_told_apart_and_named():
    told = schema_of(
        field("a"), sections=[rows(field("value"), name="email")],
        result={"fields": [field("id")], "sections": [rows(field("value"), field("at"), name="email"), rows(name="made")]},
    )  # fmt: skip
    found = checked(told, {"id": 1, "nope": 2, "made": [], "email": [{"value": "x", "at": 1, "b.c": 2}, {"x y": 1}]})
    assert sorted(faults(found)) == [
        ("runnerData.email[0].at", "not_editable"), ('runnerData.email[0]["b.c"]', "unknown_field"), ('runnerData.email[1]["x y"]', "unknown_field"),
        ("runnerData.id", "not_editable"), ("runnerData.made", "not_editable"), ("runnerData.nope", "unknown_field"),
    ]  # fmt: skip


def test_outputs_of_deeper_sections_are_not_editable_either():
    deep = rows(rows_in := field("x"), name="deep")
    told = schema_of(
        sections=[rows(name="outer", sections=[deep])],
        result={"sections": [rows(name="outer", sections=[rows(rows_in, field("y"), name="deep"), rows(name="other")])]},
    )
    found = checked(told, {"outer": [{"deep": [{"x": "1", "y": "2"}], "other": []}]})
    assert sorted(faults(found)) == [("runnerData.outer[0].deep[0].y", "not_editable"), ("runnerData.outer[0].other", "not_editable")]


def test_rows_are_sent_under_public_names_and_read_under_their_own():
    told = schema_of(sections=[rows(field("value"), name="email"), rows(field("value", at=["v.w", "x"]), name="phone")])
    found = checked(told, {"email": [{"value": "a"}], "phone": [{"value_": "b"}]})
    assert found.values == {"email": [{"value": "a"}], "phone": [{"v.w": {"x": "b"}}]}
    assert faults(checked(told, {"phone": [{"value": "b"}]})) == [("runnerData.phone[0].value", "unknown_field")]


# Sections


def three_deep(**keys):
    inner = rows(field("c", "integer", required=True), name="three")
    return schema_of(sections=[rows(field("a"), name="one", sections=[rows(field("b"), name="two", sections=[inner])], **keys)])


def test_sections_nest_three_deep():
    data = {"one": [{"a": "x", "two": [{"b": "y", "three": [{"c": "1"}, {"c": 2}]}]}]}
    assert checked(three_deep(), data).values == {"one": [{"a": "x", "two": [{"b": "y", "three": [{"c": 1}, {"c": 2}]}]}]}


def test_a_fault_in_a_deep_section_has_its_whole_path():
    data = {"one": [{"two": [{"three": [{"c": 1}, {"c": "x"}, {}]}]}, {"two": 5}, 7]}
    assert faults(checked(three_deep(), data)) == [
        ("runnerData.one[0].two[0].three[1].c", "wrong_type"), ("runnerData.one[0].two[0].three[2].c", "required"),
        ("runnerData.one[1].two", "wrong_type"), ("runnerData.one[2]", "wrong_type"),
    ]  # fmt: skip


def test_a_single_object_counts_as_one_row():
    assert checked(schema_of(sections=[rows(field("a"))]), {"rows": {"a": "x"}}).values == {"rows": [{"a": "x"}]}


def test_rows_that_are_missing_leave_no_trace_null_clears_and_none_are_none():
    told = schema_of(sections=[rows(field("a"))])
    assert checked(told, {}).values == {}
    assert checked(told, {"rows": None}).values == {"rows": None}
    assert checked(told, {"rows": []}).values == {"rows": []}


@pytest.mark.parametrize(("data", "code"), [({}, "required"), ({"rows": None}, "required"), ({"rows": []}, "too_few")])
def test_rows_that_are_needed_are_asked_for(data, code):
    assert faults(checked(schema_of(sections=[rows(field("a"), required=True)]), data)) == [("runnerData.rows", code)]


@pytest.mark.parametrize(("count", "code"), [(1, "too_few"), (4, "too_many")])
def test_rows_have_bounds(count, code):
    told = schema_of(sections=[rows(field("a"), required=True, minRows=2, maxRows=3)])
    assert faults(checked(told, {"rows": [{}] * count})) == [("runnerData.rows", code)]
    assert faults(checked(told, {"rows": [{}] * 2})) == []


def test_a_row_that_is_needed_only_inside_rows_is_asked_for_per_row():
    told = schema_of(sections=[rows(field("a", required=True))])
    assert faults(checked(told, {"rows": [{}, {"a": ""}, {"a": "x"}]})) == [
        ("runnerData.rows[0].a", "required"),
        ("runnerData.rows[1].a", "required"),
    ]


def test_a_section_may_stand_deeper_on_the_wire_inside_its_row():
    told = schema_of(sections=[rows(name="outer", sections=[rows(field("a"), name="inner", at=["data", "in.ner"])])])
    assert checked(told, {"outer": [{"inner": [{"a": "x"}]}]}).values == {"outer": [{"data": {"in.ner": [{"a": "x"}]}}]}
    assert checked(told, {"outer": [{"inner": None}]}).values == {"outer": [{"data": {"in.ner": None}}]}


def test_every_fault_comes_at_once():
    told = schema_of(
        field("a", required=True), field("b", "integer", max=5), field("c", format="email"), field("d", options=[{"key": "k", "label": "K"}]),
        sections=[rows(field("e", "date"))],
    )  # fmt: skip
    found = checked(told, {"b": 9, "c": "x", "d": "z", "rows": [{"e": "soon"}], "nope": 1})
    assert sorted(faults(found)) == [
        ("runnerData.a", "required"), ("runnerData.b", "too_large"), ("runnerData.c", "wrong_format"), ("runnerData.d", "unknown_option"),
        ("runnerData.nope", "unknown_field"), ("runnerData.rows[0].e", "wrong_type"),
    ]  # fmt: skip


def test_the_number_of_faults_that_are_told_is_bounded():
    found = checked(schema_of(field("a", "integer[]")), {"a": ["x"] * 5000})
    assert len(found.faults) == FAULTS_LIMIT


# Checks


@pytest.mark.parametrize(
    ("keys", "good", "bad", "code"),
    [
        ({"kind": "integer", "min": 1}, 1, 0, "too_small"),
        ({"kind": "decimal", "max": 1.5}, "1.5", "1.50000000000000000000000000001", "too_large"),
        ({"kind": "integer", "multipleOf": 5}, -10, 12, "wrong_step"),
        ({"kind": "decimal", "multipleOf": 0.1}, 0.3, 0.35, "wrong_step"),
        ({"kind": "decimal", "multipleOf": 0.01}, "4.35", "4.355", "wrong_step"),
        ({"kind": "decimal", "multipleOf": 0.1}, "123456789012345678901234567890.7", "123456789012345678901234567890.75", "wrong_step"),
        ({"kind": "decimal", "multipleOf": 1e-7}, 3e-7, "0.00000005", "wrong_step"),
        ({"kind": "decimal", "multipleOf": 0.25, "max": 1}, 0.75, 1.25, "too_large"),
        ({"kind": "decimal", "multipleOf": 2}, "1e300", 3, "wrong_step"),
        ({"kind": "string", "format": "regex"}, "^(?<a>[a-z]+)-\\k<a>$", "(", "wrong_format"),
        ({"kind": "string", "minLength": 2}, "ab", "a", "too_short"),
        ({"kind": "string", "maxLength": 2}, "é😀", "abc", "too_long"),
        ({"kind": "string", "pattern": "[a-c]+"}, "abc", "abcd", "wrong_format"),
        ({"kind": "string", "pattern": "^a$"}, "a", "a\n", "wrong_format"),
        ({"kind": "string", "pattern": "a+", "maxLength": 3}, "aaa", "aaaa", "too_long"),
        ({"kind": "string", "format": "uuid"}, "123e4567-e89b-12d3-a456-426614174000", "123e4567", "wrong_format"),
        ({"kind": "string", "format": "hostname"}, "api.example.com", "api.example.com/x", "wrong_format"),
        ({"kind": "string", "format": "hostname"}, "a", "a" * 254, "wrong_format"),
        ({"kind": "string", "format": "multiline"}, "a\nb", 5.5j, "wrong_type"),
    ],
)
def test_a_value_keeps_to_the_limits_of_its_field(keys, good, bad, code):
    told = field("a", keys["kind"], **{name: value for name, value in keys.items() if name != "kind"})
    assert one(told, good).faults == []
    assert faults(one(told, bad)) == [("runnerData.a", code)]


@pytest.mark.parametrize("value", ["a@b", "ada@example.com", "a.b+c@x.y.z", "ü@exämple.com"])
def test_an_email_address(value):
    assert one(field("a", format="email"), value).faults == []


@pytest.mark.parametrize(
    "value", ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b\r\nBcc: x@y", "a@b,c@d", "<a@b>", "a\x00@b", "a" * 250 + "@b.cd"]
)
def test_what_is_no_email_address(value):
    assert faults(one(field("a", format="email"), value)) == [("runnerData.a", "wrong_format")]


@pytest.mark.parametrize("value", ["https://x.example/a?b#c", "mailto:a@b", "http://[::1]:80/"])
def test_a_web_address(value):
    assert one(field("a", format="uri"), value).faults == []


@pytest.mark.parametrize("value", ["", "x", "//x", "https://", "https://x y", "https://x\r\n", "http://[::1", "https://x\x00"])
def test_what_is_no_web_address(value):
    assert faults(one(field("a", format="uri"), value)) == [("runnerData.a", "wrong_format")]


def test_a_hostile_pattern_input_costs_little():
    assert faults(one(field("a", pattern="(a+)+$"), "a" * 100_000 + "b")) == [("runnerData.a", "wrong_format")]


# Choices

OPTIONS = [
    {"key": "1", "label": "Owner"},
    {"key": "3", "label": "Company"},
    {"key": "5", "label": "Twice"},
    {"key": "6", "label": "twice "},
    {"key": "Owner2", "label": "1"},
]


@pytest.mark.parametrize(("value", "key"), [("1", "1"), (1, "1"), (" 3 ", "3"), ("owner", "1"), ("COMPANY ", "3"), ("Owner2", "Owner2")])
def test_a_dictionary_field_takes_the_key_first_and_then_a_label(value, key):
    assert one(field("a", options=OPTIONS), value).values == {"a": key}


@pytest.mark.parametrize(
    ("value", "code"),
    [("Twice", "ambiguous_option"), ("9", "unknown_option"), ("", "unknown_option"), ([], "wrong_type"), ({}, "wrong_type")],
)
def test_a_label_that_is_not_unique_or_unknown_is_refused(value, code):
    assert faults(one(field("a", options=OPTIONS), value)) == [("runnerData.a", code)]


def test_the_choices_are_named_in_the_fault_up_to_ten():
    many = [{"key": str(index), "label": f"L{index}"} for index in range(12)]
    (fault,) = one(field("a", options=many), "x").faults
    assert '"9" (L9) and 2 more.' in fault.message
    (fault,) = one(field("a", options=OPTIONS[:1]), "x").faults
    assert fault.message == 'This is none of the choices: "1" (Owner).'


def test_choices_keep_the_type_of_their_field():
    numbers = [{"key": "1", "label": "One"}, {"key": 2, "label": "Two"}]
    for value, key in (("1", 1), (2, 2), ("two", 2)):
        found = one(field("a", "integer", options=numbers), value).values["a"]
        assert (found, type(found)) == (key, int)


def test_choices_work_inside_lists():
    found = one(field("a", "string[]", options=OPTIONS), "owner, 3")
    assert found.values == {"a": ["1", "3"]}
    assert faults(one(field("a", "string[]", options=OPTIONS), ["Owner", "Twice"])) == [("runnerData.a[1]", "ambiguous_option")]


def test_a_choice_is_the_same_each_time_that_it_is_made():
    validator = compile_validator(schema_of(field("a", "integer", options=[{"key": "3", "label": "Three"}])))
    assert [validator.check({"a": told}).values for told in ("3", 3, "Three", " 3 ", "3")] == [{"a": 3}] * 5
    assert faults(validator.check({"a": "4"})) == [("runnerData.a", "unknown_option")]


def test_a_value_within_its_bounds_is_what_it_is_coerced_to():
    assert one(field("a", "integer", max=5), "3").values == {"a": 3}
    assert one(field("a", maxLength=5), 3).values == {"a": "3"}
    assert one(field("a", "integer", max=5, wire="text"), "3").values == {"a": "3"}
    assert faults(one(field("a", "integer", max=5, wire="text"), "6")) == [("runnerData.a", "too_large")]


def test_a_number_of_absurd_size_is_no_choice():
    assert faults(one(field("a", options=OPTIONS), 10**5000)) == [("runnerData.a", "wrong_type")]


def listed(value, kind="string", choices=None, pattern=None):
    lists = {} if pattern is None else {"owners": _Spec(pattern)}
    told = schema_of(field("a", kind, list="owners"), choices={} if choices is None else {"owners": choices}, lists=lists)
    return checked(told, {"a": value})


class _Spec:
    def __init__(self, key_pattern):
        self.key_pattern = key_pattern


PEOPLE = Choices(items=((7, "Ada"), (8, "Bob"), (9, "bob"), (10, "8"), (7, "Ada")))


def test_a_text_that_may_be_a_label_asks_for_the_list():
    found = listed("Ada")
    assert (found.wanted, found.faults, found.values) == ({"owners"}, [], {})


def test_a_number_is_taken_for_a_key_without_reading_the_list():
    found = listed("7", "integer")
    assert (found.wanted, found.values) == (set(), {"a": 7})
    assert listed("Ada", "integer").wanted == {"owners"}


def test_a_text_that_matches_the_key_pattern_is_taken_for_a_key():
    assert listed("U123", pattern="U[0-9]+").values == {"a": "U123"}
    assert listed("U123 x", pattern="U[0-9]+").wanted == {"owners"}


@pytest.mark.parametrize(("value", "key"), [("7", 7), (7, 7), ("ada", 7), ("8", 8), ("10", 10)])
def test_a_list_that_was_read_gives_keys_before_labels(value, key):
    assert listed(value, "integer", PEOPLE).values == {"a": key}


@pytest.mark.parametrize("pattern", [None, "U[0-9]+"])
def test_a_label_of_a_list_has_to_be_unique_and_known(pattern):
    assert faults(listed("Bob", "string", PEOPLE, pattern)) == [("runnerData.a", "ambiguous_option")]
    assert faults(listed("Carl", "string", PEOPLE, pattern)) == [("runnerData.a", "unknown_option")]


def test_a_list_that_is_not_complete_lets_an_unknown_key_pass():
    assert listed("Carl", "string", Choices(items=PEOPLE.items, complete=False)).values == {"a": "Carl"}
    assert faults(listed("x", "integer", Choices(items=PEOPLE.items, complete=False))) == [("runnerData.a", "wrong_type")]


@pytest.mark.parametrize("value", [{}, [], True])
def test_what_is_neither_text_nor_number_is_refused_without_reading_the_list(value):
    found = listed(value)
    assert (faults(found), found.wanted) == ([("runnerData.a", "wrong_type")], set())


# Custom fields


def test_custom_fields_are_collected_under_the_partners_keys():
    told = schema_of(customFields={"list": "people"}, custom_fields=(custom("email"), custom("size", "integer")))
    found = checked(told, {custom_name("email"): "a", custom_name("size"): "3"})
    assert (found.values, found.custom, found.faults) == ({}, {"email": "a", "size": 3}, [])
    assert checked(told, {custom_name("email"): None}).custom == {"email": None}


def test_custom_fields_that_cannot_be_written_are_refused_by_name():
    told = schema_of(customFields={"list": "people"}, custom_fields=(custom("made", writable=False), custom("n", "integer", required=True)))
    found = checked(told, {custom_name("made"): "a", "cf__0": 1})
    assert sorted(faults(found)) == sorted(
        [
            (f"runnerData.{custom_name('made')}", "not_editable"),
            ("runnerData.cf__0", "unknown_field"),
            (f"runnerData.{custom_name('n')}", "required"),
        ]
    )


# Files


def test_files_whose_content_is_elsewhere_are_named_with_their_place():
    told = schema_of(
        field("a", "file"), field("b", "file[]"), sections=[rows(field("c", "file", at=["x", "y"]))],
        customFields={"list": "people"}, custom_fields=(custom("photo", "file"),),
    )  # fmt: skip
    url, content = {"url": "https://x.example/a"}, {"base64": "aGk="}
    found = checked(told, {"a": url, "b": [content, url], "rows": [{"c": url}, {"c": content}], custom_name("photo"): url})
    assert found.faults == []
    for holder, key, file, _where in found.files:
        assert holder[key] is file
        holder[key] = FileValue(content=b"fetched")
    assert [where for *_rest, where in found.files] == [
        ("runnerData", "a"), ("runnerData", "b", 1), ("runnerData", custom_name("photo")), ("runnerData", "rows", 0, "c"),
    ]  # fmt: skip
    assert found.values["a"].content == found.values["b"][1].content == found.values["rows"][0]["x"]["y"].content == b"fetched"
    assert found.custom["photo"].content == b"fetched"
    assert found.values["b"][0].content == found.values["rows"][1]["x"]["y"].content == b"hi"


# Fields outside of operations


def test_fields_of_a_connection_are_checked_alike():
    validator = compile_fields([InputField(name="key", type="string", label="Key", required=True)])
    assert [fault.path for fault in validator.check({}, "fields").faults] == ["fields.key"]
    assert validator.check({"key": "k"}).values == {"key": "k"}


# Anything

KEYS = st.sampled_from(
    [*TYPES, *(f"{name}_list" for name in TYPES), "picked", "owner", "rows", "deep", "made", custom_name("email"), "x", ""]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**400, 10**500)
    | st.floats()
    | st.decimals()
    | st.text(alphabet=st.characters())
    | st.sampled_from(["1", "Ada", "k"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(), inner, max_size=5),
    max_leaves=15,
)
EVERYTHING = schema_of(
    *(field(name, name) for name in TYPES),
    *(field(f"{name}_list", f"{name}[]") for name in TYPES),
    field("picked", options=OPTIONS),
    field("owner", "integer", list="owners", min=1),
    sections=[
        rows(field("string_", at=["a.b", "c"]), sections=[rows(field("integer_", "integer", required=True), name="deep")], minRows=1)
    ],
    result={"fields": [field("made")]},
    customFields={"list": "people"},
    custom_fields=(custom("email"), custom("sizes", "decimal[]", separator=";")),
    choices={"owners": PEOPLE},
)
VALIDATOR = compile_validator(EVERYTHING)


@given(st.dictionaries(KEYS, JSON, max_size=8) | JSON)
def test_no_input_makes_a_check_fail(data):
    found = VALIDATOR.check(data)
    for fault in found.faults:
        assert fault.path.startswith("runnerData")
        assert fault.code
        assert fault.message.endswith(".")
        fault.path.encode()


def test_rows_that_may_be_left_out_keep_to_their_least_number_once_there_are_any() -> None:
    told = schema_of(sections=[rows(field("a"), minRows=2)])
    assert checked(told, {}).values == {}
    assert faults(checked(told, {"rows": [{"a": "1"}]})) == [("runnerData.rows", "too_few")]


def test_a_list_has_at_least_so_many_values_where_it_is_given() -> None:
    told = schema_of(field("a", "string[]", minItems=2))
    assert checked(told, {}).values == {}
    assert faults(checked(told, {"a": ["x"]})) == [("runnerData.a", "too_few")]
    assert checked(told, {"a": "x, y"}).values == {"a": ["x", "y"]}


def test_a_list_of_values_that_stand_once_takes_none_twice() -> None:
    told = schema_of(field("a", "integer[]", uniqueItems=True), field("b", "string[]", separator=",", uniqueItems=True))
    assert checked(told, {"a": [1, 2], "b": "x, y"}).values == {"a": [1, 2], "b": "x,y"}
    assert faults(checked(told, {"a": [1, "x", "1", 2, 1], "b": ["x", "x"]})) == [
        ("runnerData.a[1]", "wrong_type"),
        ("runnerData.a[2]", "duplicate_value"),
        ("runnerData.a[4]", "duplicate_value"),
        ("runnerData.b[1]", "duplicate_value"),
    ]
    assert input_schema(told, wide=True)["properties"]["a"]["uniqueItems"] is True


def test_a_field_for_json_may_take_only_an_object_or_only_a_list() -> None:
    told = schema_of(field("a", "object", holds="object"), field("b", "object", holds="list"), field("c", "object[]", holds="object"))
    assert checked(told, {"a": {}, "b": [], "c": [{"x": 1}]}).values == {"a": {}, "b": [], "c": [{"x": 1}]}
    assert faults(checked(told, {"a": [], "b": {}, "c": [1]})) == [
        ("runnerData.a", "wrong_type"),
        ("runnerData.b", "wrong_type"),
        ("runnerData.c[0]", "wrong_type"),
    ]


def test_of_several_sets_of_variables_one_has_to_be_given_whole():
    told = schema_of(
        field("a"),
        field("b"),
        field("c", "integer", default=5),
        sections=[rows(field("a"), field("d", "string[]"), needsOneOf=[[["a"], ["d"]]])],
        needsOneOf=[[["a"], ["b", "rows"]], [["c"], ["a"]]],
    )
    needed = "One of these is needed here: a; b and rows."
    assert faults(checked(told, {"a": "1"})) == []
    assert faults(checked(told, {"b": "1", "rows": [{"d": ["x"]}]})) == []
    for data in ({}, {"b": "1"}, {"a": None, "b": "1"}, {"a": "", "rows": [{"a_": "1"}]}):
        assert [(fault.path, fault.code, fault.message) for fault in checked(told, data).faults] == [("runnerData", "required", needed)]
    assert faults(checked(told, {"a": "1", "rows": [{}, {"a_": "1"}, {"d": []}]})) == [
        ("runnerData.rows[0]", "required"),
        ("runnerData.rows[2]", "required"),
    ]


def test_what_one_of_several_sets_needs_is_shown_in_public_names():
    told = schema_of(field("a"), sections=[rows(field("a"), field("b"), needsOneOf=[[["a"], ["b"]]])], needsOneOf=[[["a"], ["rows"]]])
    shown = describe_schema(told)
    assert shown["needsOneOf"] == [[["a"], ["rows"]]]
    assert shown["rowSections"][0]["needsOneOf"] == [[["a_"], ["b"]]]
    assert "needsOneOf" not in describe_schema(schema_of(field("a")))


def test_a_needed_field_whose_value_the_partner_writes_as_nothing_is_not_given():
    told = field("a", "boolean", required=True, words=["yes", ""])
    assert one(told, "true").values == {"a": "yes"}
    assert faults(one(told, "false")) == [("runnerData.a", "required")]


def test_a_value_is_checked_as_it_was_read_and_before_it_is_written():
    def small(value):
        if value > 9:
            raise ValueFault("too_large", "At most 9.")

    convert = put_together(int, small, lambda value: f"#{value}")
    assert convert("7") == "#7"
    with pytest.raises(ValueFault):
        convert("10")
