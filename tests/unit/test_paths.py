"""The path language."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.paths import EVERY, LIMIT, MISSING, format_path, get, getter, parse_path, put, read_path


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("", ()),
        ("a", ("a",)),
        ("a.b[0].c", ("a", "b", 0, "c")),
        ("[0]", (0,)),
        ("items[-1]", ("items", -1)),
        ('a["b.c"].d', ("a", "b.c", "d")),
        ("a[*].b", ("a", EVERY, "b")),
        ("a.0", ("a", "0")),
    ],
)
def test_a_path_has_a_text_form(text, steps):
    assert parse_path(text) == steps
    assert parse_path(format_path(steps)) == steps


@pytest.mark.parametrize(
    "text", [".a", "a..b", "a.", "a[", "a[x]", "a]b", "a b", '["\\q"]', '["a\nb"]', "a[1234567]", ".".join("a" * (LIMIT + 1))]
)
def test_what_is_no_path_is_refused_with_a_sentence(text):
    with pytest.raises(ValueError, match=r"path|JSON's writing"):
        parse_path(text)


@given(st.lists(st.text() | st.integers(-99999, 99999), max_size=8))
def test_the_text_form_reads_back_whatever_the_keys_are(steps):
    assert parse_path(format_path(steps)) == tuple(steps)


@given(st.text(alphabet=st.characters(categories=("Cs", "Cc", "Ll")), max_size=5))
def test_a_shown_path_can_be_written_as_json_even_for_hostile_keys(key):
    assert format_path((key,)).encode("utf-8")


def test_files_may_give_a_list_of_keys():
    assert read_path(["a.b", 0]) == ("a.b", 0)
    assert read_path("a.b") == ("a", "b")
    assert read_path(("a",)) == ("a",)


@pytest.mark.parametrize("value", [None, 5, {"a": 1}, [True], [None], [["a"]]])
def test_anything_else_is_no_path(value):
    with pytest.raises(ValueError, match="a path is a text"):
        read_path(value)


@pytest.mark.parametrize(
    ("value", "path", "found"),
    [
        ({"a": None}, "a", None),
        ({"a": 1}, "b", MISSING),
        ([1], "a", MISSING),
        ({"a": [1, 2]}, "a[1]", 2),
        ({"a": [1, 2]}, "a[2]", MISSING),
        ({"a": [1, 2]}, "a[-2]", 1),
        ({"a": [1, 2]}, "a[-3]", MISSING),
        ({"a": {"0": 1}}, "a[0]", MISSING),
        ({"a": [{"b": 1}, {}, 5, {"b": None}]}, "a[*].b", [1, None]),
        ({"a": 1}, "a[*]", MISSING),
        ("text", "", "text"),
    ],
)
def test_what_stands_at_a_path(value, path, found):
    assert get(value, parse_path(path)) == found
    assert getter(parse_path(path))(value) == found


def test_the_getter_of_one_key_is_safe_on_anything():
    assert getter(("a",))([1]) is MISSING
    assert getter(("a",))({"a": 1}) == 1


def test_missing_and_every_have_words_for_the_log():
    assert repr(MISSING) == "MISSING"
    assert repr(EVERY) == "[*]"
    assert not MISSING


def test_putting_makes_the_objects_on_the_way():
    target = {}
    put(target, ("a", "b", "c"), 1)
    put(target, ("a", "d"), 2)
    assert target == {"a": {"b": {"c": 1}, "d": 2}}


def test_putting_into_a_value_is_refused():
    with pytest.raises(ValueError, match="cannot hold other values"):
        put({"a": 1}, ("a", "b"), 2)


def test_every_member_of_an_object_is_met_in_order():
    assert get({"fields": {"b": {"id": 2}, "a": {"id": 1}, "c": "text"}}, parse_path("fields[*].id")) == [2, 1]


def test_lists_in_lists_come_out_as_one():
    value = {"groups": [{"items": [{"id": 1}, {"id": 2}]}, {"items": []}, {"none": 0}, {"items": [{"id": 3}]}]}
    assert get(value, parse_path("groups[*].items[*].id")) == [1, 2, 3]
    assert get(value, parse_path("groups[*].items[*]")) == [{"id": 1}, {"id": 2}, {"id": 3}]
    assert get(value, parse_path("groups[*].items")) == [[{"id": 1}, {"id": 2}], [], [{"id": 3}]]
