"""How an account does, told from sums that are kept beside its runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from e2e.depot import ASK, CREATE, PARTNER, Bay, open_bay, open_depot
from e2e.served import answer
from polyport.engine.sums import LATE_MS, RunSummer
from polyport.runtime import DATABASE
from polyport.server.overview import percentiles
from stored import opened_file

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Hours:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
async def clock() -> Hours:
    return Hours()


@pytest.fixture
async def depot(anyio_backend):
    async with open_depot() as found:
        yield found


@pytest.fixture
async def bay(tmp_path, depot, clock):
    async with open_bay(tmp_path, depot, clock=clock, login_token_lifetime=100_000_000) as found:
        yield found


async def told(bay: Bay, query: str = "") -> dict:
    found = await bay.served.fetch("GET", f"/overview{query}")
    assert found.status == 200, found.content
    return found.json["data"]


async def summed(bay: Bay, clock: Hours) -> None:
    clock.now += timedelta(milliseconds=LATE_MS + 1)
    await RunSummer(bay.served.runtime).work()


async def test_a_run_that_just_ended_is_told_before_and_after_it_is_in_the_sums(bay, depot, clock):
    for _number in range(3):
        await bay.run(ASK)
    depot.answers["GET /ask"] = answer(400)
    await bay.run(ASK)
    before = await told(bay)
    await summed(bay, clock)
    assert await bay.served.runtime.repo.run_sums.until() > NOON.timestamp() * 1000
    after = await told(bay)
    for found in (before, after):
        assert found["totals"] == {"succeeded": 3, "failed": 1, "uncertain": 0, "cancelled": 0}
        assert found["errors"] == [{"code": "partner_error", "runs": 1}]
        assert found["partners"] == [{"partnerId": PARTNER, "title": "Depot", "runs": 4, "bad": 1}]
        assert sum(slot["runs"]["succeeded"] for slot in found["slots"]) == 3
        assert len(found["slots"]) == 60
        assert found["connections"] == {"active": 1}
        assert found["latency"]["own"]["p50"] is not None
    assert before["latency"] == after["latency"]


async def test_what_ended_is_summed_once_whoever_sums(bay, clock):
    await bay.run(ASK)
    await summed(bay, clock)
    await summed(bay, clock)
    assert (await told(bay))["totals"]["succeeded"] == 1


async def test_each_range_has_its_slots_and_older_runs_leave_them(bay, clock):
    await bay.run(ASK)
    await summed(bay, clock)
    clock.now += timedelta(hours=2)
    await bay.run(ASK)
    await summed(bay, clock)
    widths = {name: await told(bay, f"?range={name}") for name in ("hour", "day", "month")}
    assert {name: (found["slotSeconds"], len(found["slots"]), found["totals"]["succeeded"]) for name, found in widths.items()} == {
        "hour": (60, 60, 1),
        "day": (900, 96, 2),
        "month": (21_600, 120, 2),
    }
    clock.now += timedelta(days=40)
    await RunSummer(bay.served.runtime).work()
    assert (await told(bay, "?range=month"))["totals"]["succeeded"] == 0
    left = await bay.served.runtime.repo.run_sums.read(1, 21_600, 0)
    assert left == []


async def test_a_partner_is_told_apart_and_another_account_sees_nothing(bay, clock):
    await bay.run(ASK)
    await summed(bay, clock)
    assert (await told(bay, f"?partnerId={PARTNER}"))["totals"]["succeeded"] == 1
    other = await told(bay, "?partnerId=225")
    assert (other["totals"]["succeeded"], other["connections"]) == (0, {})
    token = await bay.served.second_account()
    theirs = (await bay.served.fetch("GET", "/overview", token=token)).json["data"]
    assert (theirs["totals"]["succeeded"], theirs["partners"], theirs["connections"]) == (0, [], {})
    _user, limited = await bay.served.end_user("ada")
    hers = (await bay.served.fetch("GET", "/overview", token=limited)).json["data"]
    assert (hers["totals"]["succeeded"], hers["partners"], hers["connections"]) == (0, [], {})


async def test_a_doubt_that_is_settled_counts_as_what_it_was_settled_to(bay, depot, clock):
    depot.answers["POST /things"] = answer(500)
    await bay.run(CREATE, {"name": "Lamp"})
    await summed(bay, clock)
    assert (await told(bay))["totals"]["uncertain"] == 1
    with opened_file(bay.served.runtime.settings.data / DATABASE) as database, database:
        database.execute("UPDATE runs SET status = 'succeeded', counting = counting WHERE status = 'uncertain'")
    for name in ("hour", "day", "month"):
        totals = (await told(bay, f"?range={name}"))["totals"]
        assert (totals["uncertain"], totals["succeeded"]) == (0, 1)


async def test_a_clock_that_was_ahead_and_is_set_back_stops_no_picture(bay, clock):
    await bay.run(ASK)
    clock.now += timedelta(days=400)
    await bay.run(ASK)
    await summed(bay, clock)
    clock.now -= timedelta(days=400)
    await RunSummer(bay.served.runtime).work()
    await summed(bay, clock)
    assert (await told(bay))["totals"]["succeeded"] == 1


@pytest.mark.parametrize(("query", "fault"), [("range=year", ("range", "unknown_option")), ("partnerId=x", ("partnerId", "wrong_type"))])
async def test_ranges_and_partners_that_are_none_are_refused(bay, query, fault):
    found = await bay.served.fetch("GET", f"/overview?{query}")
    assert (found.status, [(each["path"], each["code"]) for each in found.json["error"]["fields"]]) == (422, [fault])


def test_percentiles_lie_in_the_middle_of_their_bins():
    assert percentiles({}) == {"p50": None, "p95": None, "p99": None}
    assert percentiles({3: 1}) == {"p50": 3, "p95": 3, "p99": 3}
    assert percentiles({20: 90, 100: 6, 5000: 3, 1_000_000: 1}) == {"p50": 21, "p95": 105, "p99": 5250}
    assert percentiles({1_000_000: 1})["p99"] == 1_000_000
