"""What an account has run, counted by day, partner and outcome."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from e2e.depot import ASK, CREATE, PARTNER, open_bay, open_depot
from e2e.served import answer

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


async def test_runs_are_counted_on_the_day_they_end(tmp_path):
    now = [NOON]
    async with open_depot() as depot, open_bay(tmp_path, depot, clock=lambda: now[0], login_token_lifetime=10_000_000) as bay:
        for _number in range(3):
            await bay.run(ASK)
        depot.answers["GET /ask"] = answer(400)
        await bay.run(ASK)
        now[0] += timedelta(days=1)
        depot.answers["POST /things"] = answer(500)
        await bay.run(CREATE, {"name": "Lamp"})
        told = (await bay.served.fetch("GET", "/usage")).json["data"]
        assert (told["first"], told["last"]) == ("2026-10-27", "2026-11-25")
        assert told["totals"] == {"succeeded": 3, "failed": 1, "uncertain": 1}
        assert [(row["day"], row["partnerId"], row["status"], row["runs"], row["attempts"]) for row in told["days"]] == [
            ("2026-11-24", PARTNER, "failed", 1, 1),
            ("2026-11-24", PARTNER, "succeeded", 3, 3),
            ("2026-11-25", PARTNER, "uncertain", 1, 1),
        ]
        one = (await bay.served.fetch("GET", f"/usage?from=2026-11-25&to=2026-11-25&partnerId={PARTNER}")).json["data"]
        assert one["totals"] == {"uncertain": 1}
        assert (await bay.served.fetch("GET", "/usage?partnerId=225")).json["data"]["days"] == []
        other = await bay.served.second_account()
        assert (await bay.served.fetch("GET", "/usage", token=other)).json["data"]["days"] == []
        _user, theirs = await bay.served.end_user("ada")
        assert (await bay.served.fetch("GET", "/usage", token=theirs)).json["data"]["days"] == []


@pytest.mark.parametrize(
    ("query", "faults"),
    [
        ("from=yesterday", [("from", "wrong_type")]),
        ("from=2026-13-01&to=20261124", [("to", "wrong_type"), ("from", "wrong_type")]),
        ("from=2026-11-24&to=2026-11-23", [("from", "out_of_range")]),
        ("from=2020-01-01&to=2026-11-23", [("from", "out_of_range")]),
        ("from=9999-12-31&to=9999-12-31&partnerId=x", [("partnerId", "wrong_type")]),
        ("to=0001-01-02", [("from", "out_of_range")]),
    ],
)
async def test_days_that_are_none_are_refused(house, query: str, faults: list[tuple[str, str]]):
    told = await house.fetch("GET", f"/usage?{query}")
    assert (told.status, [(fault["path"], fault["code"]) for fault in told.json["error"]["fields"]]) == (422, faults)
