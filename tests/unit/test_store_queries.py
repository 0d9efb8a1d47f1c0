"""Named statements: how they are read, and that those of the package are whole and find their rows by an index."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import apsw
import pytest

from polyport.store.queries import load_migrations, load_queries, merge_queries, parse_queries


def test_a_statement_has_a_name_a_description_and_a_body() -> None:
    one, two = parse_queries("-- name: one\n-- First,\n-- in two lines.\nSELECT 1\n, 2;\n\n-- name: two\n-- Second.\nSELECT 3;\n", "x.sql")
    assert (one.name, one.description, one.sql) == ("one", "First, in two lines.", "SELECT 1\n, 2")
    assert (two.name, two.description, two.sql) == ("two", "Second.", "SELECT 3")


@pytest.mark.parametrize(
    "text", ["-- name: bare\nSELECT 1;\n", "-- name: empty\n-- Says much.\n", "-- name: semicolon\n-- Says much.\n;\n"]
)
def test_a_statement_without_its_description_or_its_body_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"x\.sql: the query \w+ lacks"):
        parse_queries(text, "x.sql")


def test_what_statements_share_stands_once_as_a_part_of_them() -> None:
    text = "-- part: columns\n-- All of it.\na,\n    b\n\n-- name: one\n-- First.\nSELECT {columns} FROM t WHERE m = '{}';\n\n-- name: two\n-- Second.\nSELECT c, {columns};\n"
    assert [query.sql for query in parse_queries(text, "x.sql")] == ["SELECT a,\n    b FROM t WHERE m = '{}'", "SELECT c, a,\n    b"]


def test_a_part_that_is_not_there_or_not_described_is_refused() -> None:
    with pytest.raises(ValueError, match=r"x\.sql: the query one has a part that is not there: columns"):
        parse_queries("-- name: one\n-- First.\nSELECT {columns};\n", "x.sql")
    with pytest.raises(ValueError, match=r"x\.sql: the part columns lacks"):
        parse_queries("-- part: columns\na, b\n", "x.sql")


def test_a_name_stands_once_within_a_file_and_across_files() -> None:
    group = parse_queries("-- name: one\n-- First.\nSELECT 1;\n", "x.sql")
    with pytest.raises(ValueError, match="one stands twice"):
        merge_queries([group, group])
    with pytest.raises(ValueError, match="one stands twice"):
        merge_queries([[*group, *group]])


def test_migrations_are_numbered_from_one_without_gaps() -> None:
    assert [version for version, _script in load_migrations()] == list(range(1, len(load_migrations()) + 1))


def test_every_change_of_a_runs_status_is_counted_by_triggers_but_those_that_their_unit_counts() -> None:
    changing = {
        name: " counting = counting," in query.sql
        for name, query in load_queries().items()
        if re.search(r"UPDATE runs SET .*\bstatus = ", query.sql.partition("WHERE")[0], re.DOTALL)
    }
    assert {name for name, counted in changing.items() if not counted} == {"finish_run", "claim_lane", "claim_one"}
    assert {"claim_lane", "cancel_run", "settle_run", "cancel_runs_of_user", "hold_restored_queue"} <= changing.keys()


@pytest.fixture
def schema() -> Iterator[apsw.Connection]:
    with contextlib.closing(apsw.Connection(":memory:")) as connection:
        for _version, script in load_migrations():
            connection.execute(script)
        yield connection


def plan(schema: apsw.Connection, name: str) -> str:
    sql = load_queries()[name].sql
    given = dict.fromkeys(re.findall(r":(\w+)", sql), 1)
    rows = schema.execute(f"EXPLAIN QUERY PLAN {sql}", given).fetchall()
    return "; ".join(row[3] for row in rows)


@pytest.mark.parametrize("name", sorted(load_queries()))
def test_every_statement_fits_the_schema(schema: apsw.Connection, name: str) -> None:
    assert isinstance(plan(schema, name), str)


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("lanes_after", "runs_by_lane"),
        ("next_due", "runs_due"),
        ("runs_to_stop", "runs_to_stop"),
        ("running_owners", "runs_by_owner"),
        ("strip_ended_runs", "runs_ended"),
        ("delete_ended_runs", "runs_ended"),
        ("runs_of_owner", "runs_by_owner"),
        ("delete_old_keys", "idempotency_keys_by_age"),
        ("mend_keys", "idempotency_keys_by_age"),
        ("delete_expired_tokens", "tokens_by_expiry"),
        ("users_being_deleted", "end_users_deleting"),
        ("connections_of_user", "connections_by_user"),
        ("delete_links_of_user", "links_by_user"),
        ("delete_files_of_user", "files_by_user"),
        ("stop_runs_of_user", "runs_by_user"),
        ("usage_of_user", "runs_by_user"),
        ("delete_events_of_user", "outbox_of_user"),
        ("delete_tokens_of_user", "tokens_by_user"),
        ("cancel_runs_of_user", "runs_by_user"),
        ("redact_runs_of_user", "runs_by_user"),
        ("forget_end_user", "runs_by_user"),
        ("due_grants", "grants_by_refresh"),
        ("delete_old_leases", "leases_by_end"),
        ("why_a_lane_waits", "runs_by_lane (account_id=? AND place=? AND operation_id=? AND priority=? AND due_at<?)"),
        ("connections_newest", "connections_by_account"),
        ("connections_oldest", "connections_by_account"),
        ("connections_by_title", "connections_by_title (account_id=? AND title_key>?)"),
        ("connections_by_title_down", "connections_by_title (account_id=? AND title_key<?)"),
        ("connections_of_partner_newest", "connections_by_partner (account_id=? AND partner_id=? AND connection_id<?)"),
        ("connections_of_partner_oldest", "connections_by_partner (account_id=? AND partner_id=? AND connection_id>?)"),
        ("connections_of_external_user_newest", "connections_by_user (account_id=? AND external_user_id=? AND connection_id<?)"),
        ("connections_of_external_user_oldest", "connections_by_user (account_id=? AND external_user_id=? AND connection_id>?)"),
        ("count_connections_titled", "connections_by_title"),
        ("count_connections_narrowed", "connections_by_account"),
        ("count_connections", "COVERING INDEX connections_by_status"),
        ("count_connections_unverified", "COVERING INDEX connections_unverified"),
        ("connection_changes", "connection_changes_by_connection (connection_id=? AND change_id<?)"),
    ],
)
def test_a_statement_over_many_rows_uses_its_index_and_sorts_nothing(schema: apsw.Connection, name: str, index: str) -> None:
    found = plan(schema, name)
    assert index in found
    assert "TEMP B-TREE FOR ORDER BY" not in found
    assert not re.search(r"SCAN (runs|tokens|idempotency_keys|grants|connections|leases)(?! USING)", found)


@pytest.mark.parametrize("name", ["delete_old_keys", "mend_keys"])
def test_a_few_keys_are_found_by_their_age_and_not_held_against_all_keys_of_their_accounts(schema: apsw.Connection, name: str) -> None:
    assert "PRIMARY KEY" not in plan(schema, name)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("places_of_runs", "sqlite_autoindex_runs_1 (account_id=? AND run_id>? AND run_id<?)"),
        ("places_by_connection", "runs_by_connection (account_id=? AND connection_id=? AND run_id>? AND run_id<?)"),
        ("places_by_user", "runs_by_user (account_id=? AND external_user_id=? AND run_id>? AND run_id<?)"),
        ("places_by_status", "runs_by_status (account_id=? AND status=? AND run_id>? AND run_id<?)"),
        ("places_by_operation", "runs_by_operation (account_id=? AND operation_id=? AND run_id>? AND run_id<?)"),
        ("places_by_partner", "runs_by_partner (account_id=? AND partner_id=? AND run_id>? AND run_id<?)"),
    ],
)
def test_each_filter_of_runs_is_answered_from_its_index_alone_and_sorts_nothing(schema: apsw.Connection, name: str, found: str) -> None:
    assert plan(schema, name) == f"SEARCH runs USING COVERING INDEX {found}"


def test_runs_with_an_error_are_found_in_its_index_and_none_of_them_is_read(schema: apsw.Connection) -> None:
    """No index on a column that is made of another one is said to cover a statement; what tells is which cursor values are read from."""
    sql = load_queries()["places_by_error"].sql
    steps = list(schema.execute(f"EXPLAIN {sql}", dict.fromkeys(re.findall(r":(\w+)", sql), 1)))
    (table,) = {step[2] for step in steps if step[1] == "OpenRead" and not str(step[5]).startswith("k(")}

    assert "runs_by_error (account_id=? AND error_code=? AND run_id>? AND run_id<?)" in plan(schema, "places_by_error")
    assert not [step for step in steps if step[1] == "Column" and step[2] == table]


def test_further_filters_of_runs_are_told_from_their_indexes_alone(schema: apsw.Connection) -> None:
    found = plan(schema, "places_that_fit")
    for index, column in (("user", "external_user_id"), ("status", "status"), ("operation", "operation_id"), ("partner", "partner_id")):
        assert f"SEARCH runs USING COVERING INDEX runs_by_{index} (account_id=? AND {column}=? AND run_id=?)" in found


def test_runs_at_places_are_found_by_their_places(schema: apsw.Connection) -> None:
    assert "SEARCH runs USING INTEGER PRIMARY KEY (rowid=?)" in plan(schema, "runs_at")


@pytest.mark.parametrize("name", ["claim_lane", "claim_one"])
def test_claiming_looks_for_each_priority_in_its_own_stretch_of_the_index(schema: apsw.Connection, name: str) -> None:
    found = plan(schema, name)
    assert found.count("runs_by_lane (account_id=? AND place=? AND operation_id=? AND priority=? AND due_at<?)") == 3
    assert not re.search(r"SCAN runs(?! USING)", found)


@pytest.mark.parametrize("name", sorted(load_queries()))
def test_no_statement_reads_the_whole_table_of_runs(schema: apsw.Connection, name: str) -> None:
    assert not re.search(r"SCAN runs(?! USING (COVERING )?INDEX runs_(due|by_lane|by_owner|to_stop))", plan(schema, name))
