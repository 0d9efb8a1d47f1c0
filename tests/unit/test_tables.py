"""CSV answers: rows by header, by given names, or as lists."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.kinds.decoders import DECODERS, UnreadableAnswer, decode_csv
from polyport.kinds.tables import COLUMNS_LIMIT, ROWS_LIMIT
from polyport.net.message import Reply


def read(body, **shape):
    return decode_csv(Reply(status=200, headers=(("Content-Type", "text/csv"),), body=body.encode()), **shape)


def test_the_first_row_names_the_values_of_the_others():
    assert read('\ufeffid, name ,id\r\n1,"Ada ""L"", x",9\r\n\r\n2\n3,"a\nb",8,more\n') == [
        {"id": "1", "name": 'Ada "L", x'},
        {"id": "2"},
        {"id": "3", "name": "a\nb"},
    ]


def test_rows_may_have_given_names_or_be_lists():
    assert read("1;x\n2;y", delimiter=";", header=("id", "name")) == [{"id": "1", "name": "x"}, {"id": "2", "name": "y"}]
    assert read("1\tx\n2", delimiter="\t", header=False) == [["1", "x"], ["2"]]


def test_nothing_has_no_rows():
    assert read("") == []
    assert read("a,b\n") == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('a\n"b', "is not CSV"),
        ('a\n"b"c', "is not CSV"),
        ("a\n" + "x" * 200_000, "is not CSV"),
        ("a\n" * (ROWS_LIMIT + 2), f"more than {ROWS_LIMIT} rows"),
        ("," * COLUMNS_LIMIT, f"more than {COLUMNS_LIMIT} columns"),
    ],
)
def test_what_is_no_csv_or_too_much_is_unreadable(body, message):
    with pytest.raises(UnreadableAnswer, match=message):
        read(body)


@given(st.binary(max_size=60))
def test_any_bytes_are_rows_or_unreadable(body):
    with contextlib.suppress(UnreadableAnswer):
        assert isinstance(DECODERS["csv"](Reply(status=200, body=body)), list)
