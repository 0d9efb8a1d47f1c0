import collections
import csv
import io
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.kinds.filters import FILTERS
from polyport.kinds.filters.addresses import PARAMETER_LIMIT, URL_LIMIT
from polyport.kinds.filters.limits import ITEM_LIMIT, TEXT_LIMIT
from polyport.paths import MISSING
from polyport.template import RenderFault, compile_value

_CELLS = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)


@pytest.mark.parametrize(
    ("name", "value", "arguments", "result"),
    [
        ("where", MISSING, ("a",), MISSING),
        ("where", [{"a": 1}, {"a": None}, {}], ("a",), [{"a": 1}]),
        ("where", [{"a": 1}, {"a": None}, {}], ("a", "missing"), [{"a": None}, {}]),
        ("where", [{"a": "B"}, {"a": "c"}, {}], ("a", "not_equals", "b"), [{"a": "c"}]),
        ("where", [{"a": ""}, {"a": "c"}, {}], ("a", "equals"), [{"a": ""}]),
        ("where", [{"a": 10}, {"a": 9}], ("a", "at_least", 10), [{"a": 10}, {"a": 9}]),
        ("where", [{"a": 10}, {"a": 9}], ("a", "at_least", "10", "number"), [{"a": 10}]),
        ("where", [{"a": "ab"}, {"a": "ba"}], ("a", "starts_with", "A"), [{"a": "ab"}]),
        ("where", [{"a": "ab"}, {"a": "ba"}], ("a", "ends_with", "a"), [{"a": "ba"}]),
        ("where", [{"a": "ab"}, {"a": "c"}], ("a", "not_contains", "b", "number"), [{"a": "c"}]),
        ("where", [{"a": "2026-11-24"}, {"a": 0}], ("a", "at_most", "1970-01-01T00:00:00Z", "time"), [{"a": 0}]),
        ("sort", [3, None, "10", 2], ("", "descending", "number"), ["10", 3, 2, None]),
        ("sort", [{"a": "b"}, {"a": "B", "n": 1}, {"a": "a"}], ("a",), [{"a": "a"}, {"a": "b"}, {"a": "B", "n": 1}]),
        ("sort", [{"a": 1}, {"a": 1, "n": 1}, {"a": 2}], ("a", "descending", "number"), [{"a": 2}, {"a": 1}, {"a": 1, "n": 1}]),
        ("summary", MISSING, (), MISSING),
        ("summary", [None, "1.5"], (), {"count": 1, "sum": Decimal("1.5"), "average": Decimal("1.5"), "minimum": Decimal("1.5"), "maximum": Decimal("1.5")}),
        ("summary", [{"a": {"b": 2}}, {}], ("a.b",), {"count": 1, "sum": 2, "average": 2, "minimum": 2, "maximum": 2}),
        ("summary", [], (), {"count": 0, "sum": 0}),
        ("group", MISSING, ("a",), MISSING),
        ("group", [{"a": 1}, {"a": "1"}, {}], ("a",), [{"key": 1, "count": 1}, {"key": "1", "count": 1}, {"key": None, "count": 1}]),
        ("group", [{"n": 2}, {}], (MISSING, "n"), [{"key": None, "count": 1, "sum": 2, "average": 2, "minimum": 2, "maximum": 2}]),
        ("positions", ["a", None, "A", 1, [1], "1", True], ("1",), [3, 5]),
        ("positions", ["a", "b", "a", "a"], ("a", 2), [0, 2]),
        ("positions", [], ("a",), []),
        ("numbered", ["a", [1]], (), [{"number": 0, "value": "a"}, {"number": 1, "value": [1]}]),
        ("numbered", ["a"], (-2, "row", "cells"), [{"row": -2, "cells": "a"}]),
        ("put", [{"a": 1}, {"b": {"x": 2}}, {"b": {"c": "own"}}], ("b.c", "EUR"), [{"a": 1, "b": {"c": "EUR"}}, {"b": {"x": 2, "c": "EUR"}}, {"b": {"c": "own"}}]),
        ("put", [{}], ("a", True), [{"a": True}]),
        ("put", [{}], ("a", MISSING), [{}]),
        ("put", None, ("a", 1), None),
        ("put", MISSING, ("a", 1), MISSING),
        ("unique", MISSING, (), MISSING),
        ("parse_csv", "", (), []),
        ("parse_csv", "\ufeffa,b", (), []),
        ("parse_csv", "a, b ,\n1,2,3", (), [{"a": "1", "b": "2", "column3": "3"}]),
        ("parse_csv", "a\n\n1\n", (), [{"a": "1"}]),
        ("parse_csv", '"x\ny",1', (",", False), [["x\ny", "1"]]),
        ("csv", MISSING, (), MISSING),
        ("csv", [{"a": None, "b": True}, {"c": {"d": [1]}}], (), 'a,b,c\r\n,true,\r\n,,"{""d"":[1]}"\r\n'),
        ("csv", [], (",", MISSING), "\r\n"),
        ("csv", [], (",", ["a"], False), ""),
        ("parse_url", "mailto://x?", (), {"scheme": "mailto", "host": "x", "path": "", "segments": [], "query": "", "parameters": [], "fragment": ""}),
        ("build_url", MISSING, (), MISSING),
        ("build_url", "https://e.com/a/#top", (), "https://e.com/a/#top"),
        ("build_url", "https://e.com/a/", (["b"],), "https://e.com/a/b"),
        ("build_url", "https://e.com", (MISSING, {"a": [1, None, 2], "b": None}, 7), "https://e.com?a=1&a=2#7"),
        ("build_url", "https://e.com?x=1", (MISSING, [{"name": "a", "value": "é"}, {"value": 1}]), "https://e.com?x=1&a=%C3%A9"),
        ("segments", "/a//b c/", (), ["", "a", "", "b c", ""]),
        ("escape_html", "\"a\" & 'b'", (), "&quot;a&quot; &amp; &#x27;b&#x27;"),
        ("unescape_html", "&#99999999999999; &amp;amp;", (), "\ufffd &amp;"),
        ("escape_markdown", "1. a_b", (), "1\\. a\\_b"),
        ("hmac_is", "Ada", ("+bytiBgHOyUK6resTPGLpHug==", "key", "md5", "base64"), False),
        ("hmac_is", "Ada", ("é", "key"), False),
        ("in_zone", 0, (), {"iso": "1970-01-01T00:00:00+00:00", "year": 1970, "month": 1, "day": 1, "hour": 0, "minute": 0, "second": 0, "weekday": 4,
                            "week": 1, "weekYear": 1970, "dayOfYear": 1, "offset": "+00:00", "offsetMinutes": 0, "abbreviation": "UTC"}),
    ],
)  # fmt: skip
def test_a_filter_over_lists_tables_and_addresses_gives(name, value, arguments, result):
    assert FILTERS[name](value, *arguments) == result


@pytest.mark.parametrize(
    ("name", "value", "arguments"),
    [
        ("where", [{"a": 1}], ("a", "like", 1)),
        ("segments", "/" * ITEM_LIMIT, ()),
        ("positions", ["a"], ([],)),
        ("positions", ["a"], ("a", -1)),
        ("numbered", ["a"], (1, "x", "x")),
        ("numbered", ["a"], ("1",)),
        ("put", [{"a": 1}], ("a.b", 1)),
        ("put", [{}], ("a[0]", 1)),
        ("put", [{}], ("", 1)),
        ("put", [{}], ("a", [1])),
        ("put", [{}], ("a", "x" * 1_001)),
        ("put", [1], ("a", 1)),
        ("where", [{"a": 1}], ("a", "equals", 1, "money")),
        ("where", [{"a": "x"}], ("a", "equals", 1, "number")),
        ("where", [{"a": [1]}], ("a", "equals", 1)),
        ("where", [1], ("a",)),
        ("sort", [1], ("", "sideways")),
        ("sort", ["x"], ("", "ascending", "time")),
        ("summary", ["x"], ()),
        ("group", [1], ("a",)),
        ("parse_csv", 'a\n"b', ()),
        ("parse_csv", 'a\n"b"c', ()),
        ("parse_csv", "a,a\n1,2", ()),
        ("parse_csv", "a\n1,2", ()),
        ("parse_csv", "a", (",,",)),
        ("parse_csv", "a", ('"',)),
        ("parse_csv", "a", (",", "no")),
        ("parse_csv", "a" * 140_000, ()),
        ("parse_csv", "," * 1_000, ()),
        ("parse_csv", "a\n" * (ITEM_LIMIT + 2), ()),
        ("csv", [{str(index): 1 for index in range(1_001)}], ()),
        ("csv", [{}] * ITEM_LIMIT, (",", [str(index) for index in range(1_000)])),
        ("csv", [{"a": "x" * TEXT_LIMIT}], ()),
        ("parse_url", "/a", ()),
        ("parse_url", "https://", ()),
        ("parse_url", "https://e.com:x", ()),
        ("parse_url", "https://[e.com", ()),
        ("parse_url", "https://e.com\\@f.com", ()),
        ("parse_url", "https://e.com/a\nb", ()),
        ("parse_url", "https://e.com/" + "a" * URL_LIMIT, ()),
        ("parse_url", "https://e.com?" + "a&" * (PARAMETER_LIMIT + 1), ()),
        ("build_url", "https://e.com", (["a" * URL_LIMIT],)),
        ("build_url", "https://e.com", ([""],)),
        ("build_url", "https://e.com", (["."],)),
        ("build_url", "https://e.com", (MISSING, {"a": [1] * (ITEM_LIMIT + 1)})),
        ("random_number", "s", (2, 1)),
        ("random_number", "s", (0, 10**19)),
        ("random_text", "s", (0,)),
        ("random_text", "s", (8, "runes")),
        ("shuffle", "abc", ("s",)),
    ],
)
def test_what_is_no_list_table_or_address_is_refused(name, value, arguments):
    with pytest.raises(RenderFault):
        FILTERS[name](value, *arguments)


@given(st.lists(st.lists(_CELLS, min_size=2, max_size=2), max_size=6))
def test_csv_that_is_written_is_read_back(rows):
    given_rows = [{"a": first.replace("\x00", ""), "b": second.replace("\x00", "")} for first, second in rows]
    text = FILTERS["csv"](given_rows, ";", ["a", "b"])
    assert FILTERS["parse_csv"](text, ";") == given_rows
    assert [dict(row) for row in csv.DictReader(io.StringIO(text, newline=""), delimiter=";")] == given_rows


@given(
    st.lists(_CELLS.filter(lambda text: text not in {"", ".", ".."}), min_size=1, max_size=4), st.dictionaries(_CELLS, _CELLS, max_size=4)
)
def test_a_url_that_is_built_is_taken_apart_again_and_keeps_its_host(segments, parameters):
    found = FILTERS["parse_url"](FILTERS["build_url"]("https://example.com", segments, parameters))
    assert (found["scheme"], found["host"], found["segments"]) == ("https", "example.com", segments)
    assert {row["name"]: row["value"] for row in found["parameters"]} == parameters


@given(st.integers(-(10**18), 10**18), st.integers(0, 10**17), st.text(max_size=40))
def test_a_random_number_lies_between_its_bounds_and_follows_from_the_seed(least, span, seed):
    most = min(least + span, 10**18)
    number = FILTERS["random_number"](seed, least, most)
    assert least <= number <= most
    assert number == FILTERS["random_number"](seed, least, most)


def test_chance_prefers_nothing():
    seeds = [f"seed {index}" for index in range(6_000)]
    dice = collections.Counter(FILTERS["random_number"](seed, 1, 6) for seed in seeds)
    orders = collections.Counter("".join(FILTERS["shuffle"](["a", "b", "c"], seed)) for seed in seeds)
    letters = collections.Counter(letter for seed in seeds[:600] for letter in FILTERS["random_text"](seed, 100, "hex"))
    for counted, kinds in ((dice, 6), (orders, 6), (letters, 16)):
        expected = counted.total() / kinds
        assert len(counted) == kinds
        assert all(abs(count - expected) < 6 * expected**0.5 for count in counted.values())


def test_a_random_order_leaves_the_given_list_as_it_was():
    given_list = [1, 2, 3, 4]
    assert sorted(FILTERS["shuffle"](given_list, "x")) == given_list == [1, 2, 3, 4]


def test_an_argument_that_was_not_given_leaves_optional_arguments_of_these_filters_at_their_defaults():
    scope = {"rows": [{"a": 2}, {"a": 2}], "url": "https://e.com"}
    assert compile_value("{{rows | unique: gone}}", FILTERS).render(scope) == [{"a": 2}]
    assert compile_value("{{rows | group: gone, gone}}", FILTERS).render(scope) == [{"key": None, "count": 2}]
    assert compile_value("{{url | build_url: gone, gone, gone}}", FILTERS).render(scope) == "https://e.com"
