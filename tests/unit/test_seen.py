"""What a poller remembers: each item once, again when it changed, within bounds."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.engine.seen import mark_of, seen

ID = ("id",)


def read(remembered, *items, changed=None, limit=100):
    found = seen(remembered, items, ID, changed, limit=limit)
    return [item["id"] for item in found.fresh], found.remembered


def test_an_item_counts_once():
    first, marks = read((), {"id": 1}, {"id": 2})
    second, marks = read(marks, {"id": 2}, {"id": 3})

    assert (first, second, len(marks)) == ([1, 2], [3], 3)


def test_an_item_that_stands_twice_in_one_reading_counts_once():
    assert read((), {"id": 1}, {"id": 1})[0] == [1]


def test_an_item_counts_again_when_it_changed():
    _, marks = read((), {"id": 1, "at": 5}, changed=("at",))

    assert read(marks, {"id": 1, "at": 5}, changed=("at",))[0] == []
    assert read(marks, {"id": 1, "at": 6}, changed=("at",))[0] == [1]
    assert read(marks, {"id": 1}, changed=("at",))[0] == [1]


def test_what_was_met_longest_ago_gives_way():
    _, marks = read((), {"id": 1}, {"id": 2}, {"id": 3}, limit=3)
    _, marks = read(marks, {"id": 1}, {"id": 4}, limit=3)

    assert read(marks, {"id": 1}, {"id": 3}, {"id": 4}, limit=3)[0] == []
    assert read(marks, {"id": 2}, limit=3)[0] == [2]
    assert read((), {"id": 1}, limit=0) == ([1], ())


@pytest.mark.parametrize("item", [{}, {"id": None}, 5, None, {"id": object()}])
def test_an_item_without_a_key_always_counts(item):
    assert seen(seen((), [item], ID).remembered, [item], ID).fresh == [item]


def test_marks_tell_types_apart_and_numbers_by_their_digits():
    marks = {mark_of({"id": value}, ID) for value in (1, "1", Decimal("1.10"), "1.1", True)}

    assert len(marks) == 5
    assert all(len(mark) == 22 for mark in marks)
    assert mark_of({"id": {"a": 1, "b": 2}}, ID) == mark_of({"id": {"b": 2, "a": 1}}, ID)


def test_a_mark_shows_nothing_of_its_item():
    assert "ada" not in mark_of({"id": "ada@example.com"}, ID)


@given(st.lists(st.integers(0, 30), max_size=60), st.lists(st.integers(0, 30), max_size=60))
def test_nothing_counts_twice_and_nothing_new_is_lost(first, second):
    one = seen((), [{"id": number} for number in first], ID)
    two = seen(one.remembered, [{"id": number} for number in second], ID)

    assert [item["id"] for item in one.fresh] == list(dict.fromkeys(first))
    assert [item["id"] for item in two.fresh] == [number for number in dict.fromkeys(second) if number not in first]
