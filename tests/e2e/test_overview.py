"""How an account does, told from sums that are kept beside its runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from e2e.depot import ASK, CREATE, PARTNER, SECRET, Bay, open_bay, open_depot
from e2e.served import answer
from polyport.engine.sums import LATE_MS, RunSummer
from polyport.runtime import DATABASE
from polyport.server import overview
from polyport.server.piles import percentiles
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
        assert found["partners"] == [{"partnerId": PARTNER, "title": "Depot", "runs": 4, "succeeded": 3, "bad": 1}]
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


async def test_a_connection_and_an_external_user_are_told_apart(bay, depot, clock):
    other = await bay.served.connect(PARTNER, {"key": SECRET}, title="Ada's", externalUserId="ada")
    for _number in range(2):
        await bay.run(ASK)
    depot.answers["GET /ask"] = answer(400)
    await bay.run(ASK, credentialData={"0": {"value": other}})
    await summed(bay, clock)
    hers, theirs, of_all = await told(bay, "?externalUserId=ada"), await told(bay, f"?credentialId={bay.connection}"), await told(bay)
    assert hers == await told(bay, f"?credentialId={other}") | {"credentialId": None, "externalUserId": "ada", "busiest": hers["busiest"]}
    assert [(found["totals"]["succeeded"], found["totals"]["failed"]) for found in (hers, theirs, of_all)] == [(0, 1), (2, 0), (2, 1)]
    assert (hers["errors"], hers["partners"]) == (
        [{"code": "partner_error", "runs": 1}],
        [{"partnerId": PARTNER, "title": "Depot", "runs": 1, "succeeded": 0, "bad": 1}],
    )
    assert [slot["runs"]["failed"] for slot in hers["slots"] if any(slot["runs"].values())] == [1]
    assert hers["latency"]["own"]["p50"] is not None
    assert (hers["connections"], theirs["connections"], of_all["connections"]) == ({"active": 1}, {"active": 1}, {"active": 2})
    assert [each["complete"] for each in (hers, theirs, of_all)] == [True] * 3
    assert (await told(bay, "?externalUserId=ada&partnerId=225"))["totals"]["failed"] == 0
    nobody = await told(bay, "?credentialId=999999")
    assert (nobody["totals"]["succeeded"], nobody["connections"], nobody["budgets"]) == (0, {}, [])


async def test_the_connections_with_the_most_runs_are_named_with_whose_they_are(bay, depot, clock):
    other = await bay.served.connect(PARTNER, {"key": SECRET}, title="Ada's", externalUserId="ada")
    for _number in range(2):
        await bay.run(ASK, credentialData={"0": {"value": other}})
    depot.answers["GET /ask"] = answer(400)
    await bay.run(ASK)
    ada = {
        "credentialId": other,
        "title": "Ada's",
        "partnerId": PARTNER,
        "partnerTitle": "Depot",
        "externalUserId": "ada",
        "runs": 2,
        "succeeded": 2,
        "bad": 0,
    }
    found = (await told(bay))["busiest"]
    assert found[0] == ada
    assert [(each["credentialId"], each["runs"], each["bad"]) for each in found] == [(other, 2, 0), (bay.connection, 1, 1)]
    assert (await told(bay, f"?partnerId={PARTNER}"))["busiest"] == found
    assert (await told(bay, "?partnerId=225"))["busiest"] == []
    assert (await told(bay, "?externalUserId=ada"))["busiest"] == [ada]
    assert (await told(bay, f"?credentialId={other}"))["busiest"] == []
    assert (await bay.served.fetch("DELETE", f"/credentials/{other}")).status == 200
    assert (await told(bay))["busiest"][0]["title"] is None


async def test_an_end_users_token_sees_that_users_runs_alone(bay, depot, clock):
    mine = await bay.served.connect(PARTNER, {"key": SECRET}, title="Ada's", externalUserId="ada")
    await bay.run(ASK)
    await bay.run(ASK, credentialData={"0": {"value": mine}})
    _user, limited = await bay.served.end_user("ada")
    _user, other = await bay.served.end_user("grace")
    for query in ("", "?externalUserId=ada", f"?credentialId={mine}"):
        found = (await bay.served.fetch("GET", f"/overview{query}", token=limited)).json["data"]
        assert (found["totals"]["succeeded"], found["connections"]) == (1, {"active": 1})
        theirs = (await bay.served.fetch("GET", f"/overview{query}", token=other)).json["data"]
        assert (theirs["totals"]["succeeded"], theirs["connections"], theirs["busiest"]) == (0, {}, [])


async def test_of_a_connection_with_more_runs_than_are_read_the_latest_are_told(bay, clock, monkeypatch):
    monkeypatch.setattr(overview, "READ_MOST", 3)
    for number in range(4):
        await bay.run(ASK)
        found = await told(bay, f"?credentialId={bay.connection}")
        assert (found["complete"], found["totals"]["succeeded"]) == (number < 2, min(number + 1, 3))


async def test_what_a_connection_has_under_way_is_told_by_slot(bay, depot, clock):
    await bay.run(ASK)
    later = int(clock.now.timestamp()) + 180
    asked = await bay.run(ASK, mode="async", notBefore=later)
    assert asked.status == 202, asked.content
    clock.now += timedelta(seconds=60)
    found = await told(bay, f"?credentialId={bay.connection}")
    assert [slot["waiting"] for slot in found["slots"]][-3:] == [0, 1, 1]
    assert found["standing"] == {"queued": 0, "scheduled": 1, "waiting": 0, "running": 0}
    assert (await told(bay))["standing"] == found["standing"]
    assert found["totals"]["succeeded"] == 1


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("range=year", ("range", "unknown_option")),
        ("partnerId=x", ("partnerId", "wrong_type")),
        ("credentialId=x", ("credentialId", "wrong_type")),
        ("credentialId=1&externalUserId=ada", ("externalUserId", "not_allowed")),
    ],
)
async def test_ranges_and_partners_that_are_none_are_refused(bay, query, fault):
    found = await bay.served.fetch("GET", f"/overview?{query}")
    assert (found.status, [(each["path"], each["code"]) for each in found.json["error"]["fields"]]) == (422, [fault])


def test_percentiles_lie_in_the_middle_of_their_bins():
    assert percentiles({}) == {"p50": None, "p95": None, "p99": None}
    assert percentiles({3: 1}) == {"p50": 3, "p95": 3, "p99": 3}
    assert percentiles({20: 90, 100: 6, 5000: 3, 1_000_000: 1}) == {"p50": 21, "p95": 105, "p99": 5250}
    assert percentiles({1_000_000: 1})["p99"] == 1_000_000
