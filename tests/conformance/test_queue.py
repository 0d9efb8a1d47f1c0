"""What every queue keeps: each due run goes to one process, soon, and is settled when that process dies."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import stored
from polyport.queue.base import Queue
from polyport.queue.processes import ProcessLock
from polyport.store.base import Stale
from polyport.store.records import PRIORITY_LEAD_MS, Lane, Priority, Run, RunStatus
from polyport.store.repo import Repo

pytestmark = pytest.mark.anyio
DEAD = "1-dead"


async def stands(repo: Repo, run: Run) -> Run:
    found = await repo.runs.get(run.account_id, run.run_id)
    assert found is not None
    return found


async def test_a_claimed_run_is_running_with_its_owner_and_its_attempt_counted(repo: Repo, queue: Queue, account_id: int) -> None:
    run = stored.run(account_id, at=1_000)
    await repo.runs.insert(run)
    claimed = replace(run, status=RunStatus.RUNNING, owner="me", attempts=1, started_at=2_000, queued_ms=1_000)
    assert await queue.claim("me", 10, 2_000) == [claimed]
    assert await stands(repo, run) == claimed
    assert not await queue.claim("me", 10, 2_000)


async def test_what_may_not_be_repeated_is_marked_by_the_claim_where_it_is_sent_at_once(repo: Repo, queue: Queue, account_id: int) -> None:
    for operation in (1, 2):
        for repeatable in (False, True):
            await repo.runs.insert_many(
                [(stored.run(account_id, operation_id=operation, repeatable=repeatable), None) for _number in range(operation)]
            )
    claimed = [*await queue.claim("me", 2, 2_000, sends=lambda lane: lane.operation_id == 1)]
    claimed += await queue.claim("me", 9, 2_000, sends=lambda lane: lane.operation_id == 1)
    assert len(claimed) == 6
    for run in claimed:
        assert run.sending is (run.operation_id == 1 and not run.repeatable)
        assert await stands(repo, run) == run


async def test_the_oldest_due_runs_come_first_and_at_most_as_many_as_asked(repo: Repo, queue: Queue, account_id: int) -> None:
    runs = [stored.run(account_id, at=at) for at in (5_000, 3_000, 4_000, 1_000)]
    for run in runs:
        await repo.runs.insert(run)
    assert [run.due_at for run in await queue.claim("me", 2, 9_000)] == [1_000, 3_000]
    assert [run.due_at for run in await queue.claim("me", 9, 9_000)] == [4_000, 5_000]


async def test_a_run_that_is_not_due_is_not_claimed(repo: Repo, queue: Queue, account_id: int) -> None:
    await repo.runs.insert(stored.run(account_id, at=1_000, due_at=5_000))
    queue.announce()
    assert not await queue.claim("me", 10, 4_999)
    assert len(await queue.claim("me", 10, 5_000)) == 1


async def test_workers_that_claim_at_once_never_get_one_run_twice(repo: Repo, queue: Queue, account_id: int) -> None:
    await asyncio.gather(*(repo.runs.insert(stored.run(account_id)) for _number in range(300)))

    async def work(owner: str) -> list[str]:
        mine: list[str] = []
        while runs := await queue.claim(owner, 7, 2_000):
            mine += [run.run_id for run in runs]
        return mine

    shares = await asyncio.gather(*(work(f"worker {number}") for number in range(4)))
    claimed = [run_id for share in shares for run_id in share]
    assert len(claimed) == 300
    assert len(set(claimed)) == 300


async def test_a_run_that_waits_comes_back_when_it_is_due_and_keeps_its_first_start(repo: Repo, queue: Queue, account_id: int) -> None:
    await repo.runs.insert(stored.run(account_id))
    (run,) = await queue.claim("me", 1, 2_000)
    await repo.runs.reschedule(replace(run, due_at=8_000, sealed_attempts=b"one"))
    assert (await stands(repo, run)).status is RunStatus.WAITING
    assert not await queue.claim("me", 1, 7_999)
    (again,) = await queue.claim("me", 1, 8_000)
    assert (again.attempts, again.started_at, again.sealed_attempts) == (2, 2_000, b"one")


async def test_only_the_owner_ends_a_run_and_only_once(repo: Repo, queue: Queue, account_id: int) -> None:
    await repo.runs.insert(stored.run(account_id))
    (run,) = await queue.claim("me", 1, 2_000)
    with pytest.raises(Stale):
        await repo.runs.finish(replace(run, owner="another", status=RunStatus.FAILED))
    with pytest.raises(Stale):
        await repo.runs.mark_sending(replace(run, owner="another"))
    await repo.runs.mark_sending(run)
    assert (await stands(repo, run)).sending
    await repo.runs.finish(replace(run, status=RunStatus.SUCCEEDED, finished_at=3_000, sealed_result=b"result"))
    ended = await stands(repo, run)
    assert (ended.status, ended.owner, ended.sending, ended.sealed_result) == (RunStatus.SUCCEEDED, None, False, b"result")
    with pytest.raises(Stale):
        await repo.runs.reschedule(run)


async def quickest(once: Callable[[], Awaitable[float]]) -> float:
    """The shortest of a few measurements: a machine that is busy makes some longer, none shorter."""
    return min([await once() for _time in range(5)])


async def test_an_announcement_ends_the_wait_at_once(queue: Queue) -> None:
    async def once() -> float:
        await queue.claim("me", 1, 1_000)
        waiting = asyncio.create_task(queue.wait(10))
        await asyncio.sleep(0.01)
        began = time.monotonic()
        queue.announce()
        await waiting
        return time.monotonic() - began

    assert await quickest(once) < 0.1


async def test_without_an_announcement_the_wait_ends_in_time_to_see_what_other_processes_accepted(queue: Queue) -> None:
    assert not await queue.claim("me", 1, 1_000)
    began = time.monotonic()
    await queue.wait(10)
    assert 0.2 < time.monotonic() - began < 5


async def test_the_wait_ends_when_the_next_run_is_due(repo: Repo, queue: Queue, account_id: int) -> None:
    await repo.runs.insert(stored.run(account_id, at=1_000, due_at=1_050))

    async def once() -> float:
        assert not await queue.claim("me", 1, 1_000)
        began = time.monotonic()
        await queue.wait(10)
        return time.monotonic() - began

    assert 0.02 < await quickest(once) < 0.2


async def test_what_other_processes_accepted_is_claimed_without_an_announcement(repo: Repo, queue: Queue, account_id: int) -> None:
    assert not await queue.claim("me", 1, 1_000)
    await repo.runs.insert(stored.run(account_id))
    assert len(await queue.claim("me", 1, 2_000)) == 1


async def test_a_wait_after_a_full_claim_ends_at_once_because_more_may_be_due(repo: Repo, queue: Queue, account_id: int) -> None:
    for _number in range(2):
        await repo.runs.insert(stored.run(account_id))
    await queue.claim("me", 1, 2_000)

    async def once() -> float:
        began = time.monotonic()
        await queue.wait(10)
        return time.monotonic() - began

    assert await quickest(once) < 0.1


async def test_the_depth_counts_what_waits_and_follows_announcements_and_claims(repo: Repo, queue: Queue, account_id: int) -> None:
    runs = [stored.run(account_id) for _number in range(3)]
    for run in runs:
        await repo.runs.insert(run)
    assert (await queue.depth(), await queue.depth(account_id), await queue.depth(account_id + 1)) == (3, 3, 0)
    queue.announce(runs[0])
    assert (await queue.depth(), await queue.depth(account_id), await queue.depth(account_id + 1)) == (4, 4, 0)
    await queue.claim("me", 2, 2_000)
    assert (await queue.depth(), await queue.depth(account_id), await queue.depth(account_id + 1)) == (2, 2, 0)


async def test_room_for_runs_is_bounded_by_what_waits_what_came_and_what_came_back(repo: Repo, queue: Queue, account_id: int) -> None:
    runs = [stored.run(account_id, at=1_000 + number) for number in range(3)]
    await repo.runs.insert_many([(run, None) for run in runs])
    assert await queue.take_room(account_id, 3, 5, 9) == (False, True)
    assert await queue.take_room(account_id, 2, 5, 9) == (True, True)
    queue.leave_room(account_id, 2)
    (claimed,) = await queue.claim("me", 1, 2_000)
    assert await queue.take_room(account_id, 3, 5, 9) == (True, True)
    queue.leave_room(account_id, 3)
    await repo.runs.reschedule(replace(claimed, due_at=9_000))
    queue.came_back(claimed)
    assert await queue.take_room(account_id, 3, 9, 5) == (True, False)


async def test_the_depth_is_right_whatever_became_of_runs(repo: Repo, queue: Queue, account_id: int) -> None:
    other = await stored.account(repo, "other@example.com")
    for number in range(6):
        await repo.runs.insert(stored.run(other if number == 5 else account_id, at=1_000 + number))
    await repo.runs.insert(stored.running(account_id, "me"))
    first, second, third, fourth, _fifth = [run for run in await queue.claim("me", 9, 2_000) if run.account_id == account_id]
    await repo.runs.reschedule(replace(first, due_at=9_000))
    await repo.runs.finish(replace(second, status=RunStatus.SUCCEEDED, finished_at=2_500))
    await repo.runs.reschedule(replace(third, due_at=9_000))
    await repo.runs.hold(Lane.of(third), error="{}", limit=9, now=9_500)
    await repo.runs.reschedule(replace(fourth, due_at=9_000))
    await repo.runs.cancel(fourth, error="{}", now=3_000)
    assert (await queue.depth(), await queue.depth(account_id), await queue.depth(other)) == (2, 2, 0)


async def test_lanes_beyond_those_of_one_look_are_found(repo: Repo, queue: Queue, account_id: int) -> None:
    runs = [stored.run(account_id, at=1_000 + number, connection_id=1_000 + number, operation_id=number % 3) for number in range(450)]
    runs += [stored.run(account_id, at=1_000, connection_id=1_000, operation_id=7), stored.run(account_id, at=99_000, connection_id=5)]
    await repo.runs.insert_many([(run, None) for run in runs])
    claimed: list[str] = []
    while found := await queue.claim("me", 64, 2_000):
        claimed += [run.run_id for run in found]
    assert sorted(claimed) == sorted(run.run_id for run in runs if run.due_at <= 2_000)


@pytest.mark.parametrize(
    ("found", "becomes"),
    [
        ({"mode": "async", "sending": False, "repeatable": False}, "queued"),
        ({"mode": "async", "sending": False, "repeatable": True}, "queued"),
        ({"mode": "async", "sending": True, "repeatable": True}, "queued"),
        ({"mode": "async", "sending": True, "repeatable": False}, "uncertain"),
        ({"mode": "sync", "sending": True, "repeatable": False}, "uncertain"),
        ({"mode": "sync", "sending": False, "repeatable": False}, "failed"),
        ({"mode": "sync", "sending": True, "repeatable": True}, "failed"),
        ({"mode": "async", "sending": False, "repeatable": False, "cancel_at": 2_000}, "cancelled"),
        ({"mode": "async", "sending": True, "repeatable": True, "cancel_at": 2_000}, "cancelled"),
        ({"mode": "async", "sending": True, "repeatable": False, "cancel_at": 2_000}, "uncertain"),
    ],
)
async def test_a_dead_process_leaves_its_run(repo: Repo, queue: Queue, account_id: int, found: dict[str, Any], becomes: str) -> None:
    run = stored.running(account_id, DEAD, **found)
    await repo.runs.insert(run)
    assert await queue.recover(5_000) == 1
    left = await stands(repo, run)
    assert (left.status, left.owner, left.sending) == (becomes, None, False)
    error = json.loads(left.error) if left.error else None
    if becomes == "queued":
        assert (error, left.due_at, left.finished_at) == (None, 5_000, None)
        assert [claimed.run_id for claimed in await queue.claim("me", 1, 5_000)] == [run.run_id]
    else:
        assert left.finished_at == 5_000
        assert error is not None
        assert (error["code"], error["retryable"], error.get("outcome")) == (
            {
                "uncertain": ("partner_unavailable", False, "uncertain"),
                "failed": ("internal_error", True, None),
                "cancelled": ("cancelled", False, None),
            }[becomes]
        )


@pytest.mark.parametrize(
    ("mode", "noted", "becomes"),
    [("async", True, "uncertain"), ("async", False, "queued"), ("sync", True, "uncertain"), ("sync", False, "failed")],
)
async def test_of_a_dead_process_only_what_it_noted_as_sent_is_in_doubt(
    repo: Repo, queue: Queue, tmp_path: Path, account_id: int, mode: str, noted: bool, becomes: str
) -> None:
    gone = ProcessLock(tmp_path / "processes")
    run, other = (stored.running(account_id, gone.owner, mode=mode, sending=True, idempotency_key=key) for key in ("a", "b"))
    for each in (run, other):
        await repo.runs.insert(each, stored.key(account_id, each, each.idempotency_key or ""))
    departures = gone.departures(4)
    departures.note(run.run_id if noted else other.run_id)
    departures.close()
    gone.release()
    assert await queue.recover(5_000) == 2
    left = await stands(repo, run)
    assert (left.status, left.owner, left.sending) == (becomes, None, False)
    assert (await repo.runs.key(account_id, "a") is None) == (becomes == "failed")


async def test_a_key_that_means_another_run_by_now_is_not_given_back(repo: Repo, queue: Queue, account_id: int) -> None:
    run, other = stored.running(account_id, DEAD, mode="sync", idempotency_key="a"), stored.run(account_id, idempotency_key="a")
    await repo.runs.insert(run)
    await repo.runs.insert(other, stored.key(account_id, other, "a"))
    assert await queue.recover(5_000) == 1
    found = await repo.runs.key(account_id, "a")
    assert (await stands(repo, run)).status == "failed"
    assert found is not None
    assert found.run_id == other.run_id


async def test_runs_of_the_living_are_left_alone(repo: Repo, queue: Queue, processes: ProcessLock, account_id: int) -> None:
    run = stored.running(account_id, processes.owner, sending=True)
    await repo.runs.insert(run)
    assert await queue.recover(5_000) == 0
    assert await stands(repo, run) == run


async def test_many_runs_of_a_dead_process_are_settled_once_by_two_that_recover_at_once(repo: Repo, queue: Queue, account_id: int) -> None:
    await asyncio.gather(*(repo.runs.insert(stored.running(account_id, DEAD)) for _number in range(1_200)))
    assert sum(await asyncio.gather(queue.recover(5_000), queue.recover(5_000))) == 1_200
    assert await queue.recover(5_000) == 0


async def test_a_higher_priority_leads_and_a_lower_one_is_not_starved(repo: Repo, queue: Queue, account_id: int) -> None:
    lead = PRIORITY_LEAD_MS
    due = {
        "old low": (Priority.LOW, 0),
        "normal": (Priority.NORMAL, lead + 1),
        "low": (Priority.LOW, lead),
        "high": (Priority.HIGH, lead + 2),
    }
    runs = {name: stored.run(account_id, at=at, priority=priority) for name, (priority, at) in due.items()}
    names = {run.run_id: name for name, run in runs.items()}
    for run in runs.values():
        await repo.runs.insert(run)
    claimed = [names[run.run_id] for _time in range(4) for run in await queue.claim("me", 1, 10 * lead)]
    assert claimed == ["high", "old low", "normal", "low"]


async def test_a_claim_of_many_takes_the_first_of_all_priorities_together(repo: Repo, queue: Queue, account_id: int) -> None:
    for number in range(30):
        await repo.runs.insert(stored.run(account_id, at=1_000 + number, priority=Priority(number % 3)))
    taken = [run.priority for _time in range(3) for run in await queue.claim("me", 10, 9_000)]
    assert taken == [Priority.HIGH] * 10 + [Priority.NORMAL] * 10 + [Priority.LOW] * 10


async def test_a_claim_notes_for_how_long_a_run_was_due(repo: Repo, queue: Queue, account_id: int) -> None:
    await repo.runs.insert(stored.run(account_id, at=1_000, due_at=4_000))
    (run,) = await queue.claim("me", 1, 4_250)
    await repo.runs.reschedule(replace(run, due_at=6_000, waited_ms=1_700))
    (again,) = await queue.claim("me", 1, 6_050)
    assert (run.queued_ms, again.queued_ms, again.waited_ms) == (250, 300, 1_700)


async def test_a_run_that_was_asked_to_stop_is_sent_no_further_and_does_not_wait(repo: Repo, queue: Queue, account_id: int) -> None:
    await repo.runs.insert(stored.run(account_id))
    (run,) = await queue.claim("me", 1, 2_000)
    assert await repo.runs.to_stop("me") == set()
    await repo.runs.ask_to_stop(run, 2_500)
    await repo.runs.ask_to_stop(run, 2_600)
    for change in (
        repo.runs.mark_sending(run),
        repo.runs.reschedule(replace(run, due_at=9_000)),
        repo.runs.cancel(run, error="{}", now=2_700),
    ):
        with pytest.raises(Stale):
            await change
    assert (await repo.runs.to_stop("me"), (await stands(repo, run)).cancel_at) == ({run.run_id}, 2_500)
    await repo.runs.finish(replace(run, status=RunStatus.CANCELLED, finished_at=3_000))
    assert await repo.runs.to_stop("me") == set()


async def test_a_run_that_has_not_begun_is_cancelled_once_and_never_claimed(repo: Repo, queue: Queue, account_id: int) -> None:
    run = stored.run(account_id)
    await repo.runs.insert(run)
    await repo.runs.cancel(run, error='{"code": "cancelled"}', now=1_500)
    for change in (repo.runs.cancel(run, error="{}", now=1_600), repo.runs.ask_to_stop(run, 1_600)):
        with pytest.raises(Stale):
            await change
    assert not await queue.claim("me", 10, 2_000)
    ended = await stands(repo, run)
    assert (ended.status, ended.finished_at, ended.cancel_at) == (RunStatus.CANCELLED, 1_500, 1_500)


async def test_an_account_with_a_backlog_shares_each_claim_with_one_that_comes_later(repo: Repo, queue: Queue, account_id: int) -> None:
    other = await stored.account(repo, "other@example.com")
    await asyncio.gather(*(repo.runs.insert(stored.run(account_id, connection_id=5)) for _number in range(50)))
    await queue.claim("me", 4, 2_000)
    late = [stored.run(other, at=1_900, connection_id=6) for _number in range(3)]
    for run in late:
        await repo.runs.insert(run)
        queue.announce(run)
    assert sorted(run.account_id for run in await queue.claim("me", 6, 2_000)) == [account_id] * 3 + [other] * 3


async def test_connections_of_an_account_take_turns_and_each_goes_on_in_order(repo: Repo, queue: Queue, account_id: int) -> None:
    for at in range(1_000, 1_040):
        await repo.runs.insert(stored.run(account_id, at=at, connection_id=5))
    for at in range(1_100, 1_103):
        await repo.runs.insert(stored.run(account_id, at=at, connection_id=6))
    claimed = await queue.claim("me", 6, 2_000)
    assert [run.due_at for run in claimed] == [1_000, 1_001, 1_002, 1_100, 1_101, 1_102]


async def test_a_lane_that_is_not_admitted_stays_and_is_claimed_once_it_is(repo: Repo, queue: Queue, account_id: int) -> None:
    for place in (5, 6):
        await repo.runs.insert(stored.run(account_id, connection_id=place))
    assert [run.connection_id for run in await queue.claim("me", 9, 2_000, lambda lane: lane.place == 6)] == [6]
    waiting = asyncio.create_task(queue.wait(10))
    queue.wake()
    await waiting
    assert [run.connection_id for run in await queue.claim("me", 9, 2_000)] == [5]


async def test_lanes_of_partners_without_connections_and_of_many_accounts_are_all_found(repo: Repo, queue: Queue, account_id: int) -> None:
    accounts = [account_id, *[await stored.account(repo, f"a{number}@example.com") for number in range(2, 5)]]
    for account in accounts:
        for changes in (
            {},
            {"partner_id": 1, "operation_id": 3},
            {"connection_id": 7},
            {"connection_id": 7, "operation_id": 2},
            {"due_at": 9_000},
        ):
            await repo.runs.insert(stored.run(account, **changes))
    claimed = [run for _claim in range(3) for run in await queue.claim("me", 64, 2_000)]
    assert sorted(run.account_id for run in claimed) == sorted(accounts * 4)
    assert len(await queue.claim("me", 64, 9_000)) == len(accounts)
