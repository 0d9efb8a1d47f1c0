"""What differs between two JSON values, as a person reads it."""

from decimal import Decimal

import pytest

from polyport.testing.differences import MOST, differences, same_json, text_differences

WANTED = {"name": "Ada", "rows": [{"id": 1}, {"id": 2}], "when": None}


@pytest.mark.parametrize(
    ("got", "lines"),
    [
        (WANTED, []),
        (WANTED | {"name": "Bob"}, ['body.name: expected "Ada", got "Bob"']),
        ({**WANTED, "extra": 1}, ["body.extra: not expected, got 1"]),
        ({"nmae": "Ada", "rows": WANTED["rows"], "when": None}, ['body.name: expected "Ada", but it is missing (there is "nmae")', 'body.nmae: not expected, got "Ada"']),
        (WANTED | {"rows": [{"id": 1}, {"id": "2"}]}, ['body.rows[1].id: expected 2, got "2"']),
        (WANTED | {"rows": [{"id": 1}]}, ["body.rows: expected 2 elements, got 1 element"]),
        (WANTED | {"when": False}, ["body.when: expected null, got false"]),
        ([], ['body: expected {"name":"Ada","rows":[{"id":1},{"id":2}],"when":null}, got []']),
    ],
)  # fmt: skip
def test_each_place_that_differs_is_named_with_both_values(got, lines):
    assert differences(WANTED, got, "body") == lines


def test_a_key_with_odd_characters_is_quoted():
    assert differences({"a.b": 1}, {"a.b": 2}, "body") == ['body["a.b"]: expected 1, got 2']


def test_a_long_value_is_cut_with_its_length():
    (line,) = differences("x", "y" * 900, "body")
    assert line.endswith("... (902 characters)")
    assert len(line) < 300


def test_very_many_differences_end_with_a_word_that_there_are_more():
    found = differences(list(range(99)), list(range(1, 100)), "rows")
    assert len(found) == MOST + 1
    assert found[-1] == f"rows: and more differences than these {MOST}"


def test_a_value_that_is_no_json_is_shown_all_the_same():
    assert differences({"a": 1}, {"a": object}, "body") == ["body.a: expected 1, got <class 'object'>"]


def test_numbers_are_compared_by_value_and_booleans_are_none():
    assert same_json(Decimal("1.50"), 1.5)
    assert not same_json(1, True)


def test_texts_are_shown_as_a_diff_of_their_lines():
    assert text_differences("a\nb\nc", "a\nx\nc", "body") == ["body differs (- expected, + got):\n     a\n    -b\n    +x\n     c"]
    assert text_differences("a", "a", "body") == []
    assert text_differences("\n".join("a" * 99), "\n".join("b" * 99), "body")[0].endswith("\n    ...")
