"""Statements as the driver gets them: parameters by place."""

from contextlib import closing

import apsw
import pytest

from polyport.store.base import Statement
from polyport.store.binding import bind
from polyport.store.records import IdempotencyKey, Priority, RunStatus


def run(sql, given):
    text, take, _take_record = bind(sql)
    with closing(apsw.Connection(":memory:")) as database:
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


@pytest.mark.parametrize(
    ("sql", "row"),
    [
        ("SELECT :key, :only_user, :digest, :key", ("k", "mine", "d", "k")),
        ("SELECT :key", ("k",)),
        ("SELECT :key, :only_user", ("k", "mine")),
        ("SELECT 1", (1,)),
    ],
)
def test_the_fields_of_a_record_stand_where_their_names_stood_and_the_reach_beside_them(sql, row):
    record = IdempotencyKey(account_id=1, key="k", digest="d", run_id="r", created_at=2)
    text, _take, take_record = bind(sql)
    with closing(apsw.Connection(":memory:")) as database:
        assert database.execute(text, take_record(Statement(query="", record=record, params={"only_user": "mine"}))).fetchall() == [row]
