"""What every database keeps: units are whole, alone, durable, and told the truth about."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

import stored
from polyport.store.base import Database, Duplicate, Stale, Statement, StoreFault, StoreUnavailable
from polyport.store.records import RunStatus
from polyport.store.repo import Repo
from polyport.store.rows import params
from polyport.store.runs import RunFilter

pytestmark = pytest.mark.anyio


async def test_a_unit_that_fails_at_its_end_leaves_nothing_of_its_beginning(database: Database, repo: Repo) -> None:
    before = await repo.tokens.epoch()
    with pytest.raises(Stale):
        await database.write(stored.bump(), Statement(query="clear_throttle", params={"key": "nobody"}, expect=1))
    assert await repo.tokens.epoch() == before


async def test_a_statement_that_changes_more_rows_than_expected_is_undone(database: Database, repo: Repo, account_id: int) -> None:
    await repo.tokens.insert(*(stored.token(account_id, bytes([number])) for number in range(3)))
    neighbour = asyncio.create_task(repo.throttles.hit("key", window_ms=1_000, now=1_000))
    with pytest.raises(Stale):
        await database.write(Statement(query="delete_family", params={"family": "family"}, expect=1))
    assert await repo.tokens.by_hash(bytes([2])) is not None
    assert await neighbour == (1, 2_000)


async def test_a_failing_unit_does_not_disturb_its_neighbours(repo: Repo, account_id: int) -> None:
    runs = [stored.run(account_id) for _number in range(60)]
    doubled = [runs[0], runs[1]]
    told = await asyncio.gather(*(repo.runs.insert(run) for run in [*runs, *doubled]), return_exceptions=True)
    assert not any(isinstance(end, BaseException) for end in told[:60])
    assert [type(error) for error in told[60:]] == [Duplicate, Duplicate]
    assert len((await repo.runs.page(account_id, RunFilter(), limit=100)).runs) == 60


async def test_what_units_add_to_sums_is_added_once_for_each_that_stands(database: Database, repo: Repo, account_id: int) -> None:
    runs = [stored.run(account_id) for _number in range(60)]
    told = await asyncio.gather(*(repo.runs.insert(run) for run in [*runs, runs[0], runs[1]]), return_exceptions=True)
    assert sum(isinstance(error, Duplicate) for error in told) == 2
    assert list(await database.read("queue_depth")) == [(60,)]
    held = [replace(stored.running(account_id, "me"), attempts=2, upstream_ms=5) for _number in range(20)]
    await asyncio.gather(*(repo.runs.insert(run) for run in held))
    ends = [replace(run, status=RunStatus.SUCCEEDED, finished_at=86_400_000) for run in held]
    keyed = stored.key(account_id, held[0], "a")
    lost = asyncio.gather(repo.runs.insert(held[0], keyed), *(repo.runs.finish(end) for end in [*ends, ends[3]]), return_exceptions=True)
    assert [type(error) for error in await lost if isinstance(error, BaseException)] == [Duplicate, Stale]
    (row,) = await repo.runs.usage(account_id, 0, 9, None)
    assert (row.day, row.status, row.runs, row.attempts, row.upstream_ms) == (1, "succeeded", 20, 40, 100)


async def test_what_is_added_for_an_account_that_is_gone_disturbs_nobody(database: Database, repo: Repo, account_id: int) -> None:
    nobody = Statement(query="count_waiting", params={"account_id": 4711, "partner_id": 1}, adds={"runs": 1})
    run = stored.run(account_id)
    await asyncio.gather(database.write(nobody), repo.runs.insert(run))
    assert list(await database.read("queue_depth")) == [(1,)]


async def test_units_that_swap_the_same_row_have_one_winner(repo: Repo, account_id: int) -> None:
    held = stored.running(account_id, "me")
    await repo.runs.insert(held)
    ends = [replace(held, status=status) for status in (RunStatus.SUCCEEDED, RunStatus.FAILED)] * 10
    told = await asyncio.gather(*(repo.runs.finish(end) for end in ends), return_exceptions=True)
    assert [type(error) for error in told if isinstance(error, BaseException)] == [Stale] * 19


async def test_a_duplicate_names_what_was_taken(repo: Repo, account_id: int) -> None:
    first = stored.run(account_id)
    await repo.runs.insert(first, stored.key(account_id, first))
    second = stored.run(account_id)
    with pytest.raises(Duplicate) as caught:
        await repo.runs.insert(second, stored.key(account_id, second))
    assert "idempotency_keys" in caught.value.constraint
    assert await repo.runs.get(account_id, second.run_id) is None


async def test_a_row_that_refers_to_nothing_is_stale_and_not_a_duplicate(repo: Repo) -> None:
    with pytest.raises(Stale):
        await repo.runs.insert(stored.run(4711))


@pytest.mark.parametrize("title", ["\ud800", 2**80, object()])
async def test_a_value_that_cannot_be_stored_fails_its_unit_alone_and_the_writer_lives(
    database: Database, repo: Repo, account_id: int, title: object
) -> None:
    bad = params(stored.connection(account_id, 1)) | {"title": title}
    alone, in_company, good = await asyncio.gather(
        database.write(Statement(query="insert_connection", params=bad)),
        database.write(stored.bump(), Statement(query="insert_connection", params=bad)),
        repo.connections.insert(stored.connection(account_id, 2)),
        return_exceptions=True,
    )
    assert [type(alone), type(in_company), good] == [StoreFault, StoreFault, None]
    assert await repo.connections.get(account_id, 2) is not None


async def test_a_value_that_breaks_a_rule_of_the_schema_is_a_fault_and_not_a_duplicate(repo: Repo, account_id: int) -> None:
    with pytest.raises(StoreFault) as caught:
        await repo.runs.insert(stored.run(account_id, mode="never"))
    assert type(caught.value) is StoreFault


async def test_a_missing_parameter_is_a_fault_of_the_caller_and_reading_goes_on(database: Database, repo: Repo) -> None:
    with pytest.raises(StoreFault) as caught:
        await database.read("run", {})
    assert not isinstance(caught.value, StoreUnavailable)
    assert await repo.tokens.epoch() == 0


async def test_a_caller_that_is_cancelled_takes_nothing_back(repo: Repo, account_id: int) -> None:
    runs = [stored.run(account_id) for _number in range(20)]
    tasks = [asyncio.ensure_future(repo.runs.insert(run)) for run in runs]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    told = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(end, asyncio.CancelledError) for end in told) == 10
    assert not any(isinstance(end, BaseException) for end in told[1::2])
    assert len((await repo.runs.page(account_id, RunFilter(), limit=100)).runs) == 20


async def test_what_was_accepted_before_a_close_is_carried_out(database: Database, repo: Repo, account_id: int) -> None:
    tasks = [asyncio.ensure_future(repo.runs.insert(stored.run(account_id))) for _number in range(100)]
    await asyncio.sleep(0)
    await database.close()
    assert len(await asyncio.gather(*tasks)) == 100


async def test_a_closed_database_refuses_with_a_fault_and_closes_twice(database: Database, repo: Repo) -> None:
    await database.close()
    await database.close()
    with pytest.raises(StoreUnavailable):
        await database.ready()
    with pytest.raises(StoreUnavailable):
        await repo.tokens.epoch()


async def test_a_read_sees_what_was_written_before_it(repo: Repo, account_id: int) -> None:
    for _number in range(20):
        run = stored.run(account_id)
        await repo.runs.insert(run)
        assert await repo.runs.get(account_id, run.run_id) == run
