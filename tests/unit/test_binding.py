"""Statements as the driver gets them: parameters by place."""

import sqlite3
from contextlib import closing

import pytest

from polyport.store.binding import bind
from polyport.store.records import Priority, RunStatus


def run(sql, given):
    text, take = bind(sql)
    with closing(sqlite3.connect(":memory:")) as database:
        return database.execute(text, take(given)).fetchall()


@pytest.mark.parametrize(
    ("sql", "given", "row"),
    [
        ("SELECT 1", {"unused": 1}, (1,)),
        ("SELECT :a", {"a": "x"}, ("x",)),
        ("SELECT :b, :a, :b", {"a": 1, "b": 2, "c": 3}, (2, 1, 2)),
        ("SELECT ':a', 'it''s :b', :a", {"a": 1}, (":a", "it's :b", 1)),
        ("SELECT :a, :b, :c, :d", {"a": None, "b": True, "c": b"\0", "d": False}, (None, 1, b"\0", 0)),
        ("SELECT :a, :b", {"a": RunStatus.QUEUED, "b": Priority.HIGH}, ("queued", 2)),
    ],
)
def test_each_parameter_stands_where_its_name_stood(sql, given, row):
    assert run(sql, given) == [row]


def test_a_parameter_that_is_missing_is_a_fault():
    with pytest.raises(KeyError):
        run("SELECT :a, :b", {"a": 1})
