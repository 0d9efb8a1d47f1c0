"""How much an account has run: counts by day, partner and outcome, kept as runs end."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from polyport.errors import Fault, ValidationFailed
from polyport.server.routing import Answer, Body, Call, Endpoint, Param
from polyport.server.wire import id_filter, known_filters, read_list_query

DAYS: Final = 30
DAYS_MOST: Final = 366
_EPOCH: Final = date(1970, 1, 1)


class UsageRow(Body):
    """Runs of one partner that ended on one day (UTC) in one way."""

    day: date
    partner_id: int
    status: str
    runs: int
    attempts: int
    upstream_ms: int


class Usage(Body):
    """The runs that ended from one day to another, both included. ``totals`` are runs by status."""

    first: date
    last: date
    totals: dict[str, int]
    days: list[UsageRow]


async def read(call: Call) -> Answer:
    """GET /usage."""
    params = call.http.query_params
    query = read_list_query(params, ("partnerId", "externalUserId"))
    known_filters(query.filters, (("partnerId", "eq"), ("externalUserId", "eq")))
    faults: list[Fault] = []
    today = datetime.fromtimestamp(call.engine.runtime.now_ms() / 1000, UTC).date()
    last = _day(params.get("to"), "to", faults) or today
    first = _day(params.get("from"), "from", faults) or _EPOCH + timedelta(days=max(0, (last - _EPOCH).days - DAYS + 1))
    if not faults and not 0 <= (last - first).days < DAYS_MOST:
        faults.append(Fault(path="from", code="out_of_range", message=f"From the first to the last day there are 1 to {DAYS_MOST} days."))
    if faults:
        raise ValidationFailed.of(*faults)
    partner_id = id_filter(query.filters.get(("partnerId", "eq")), "partnerId")
    user = query.filters.get(("externalUserId", "eq"))
    rows = await call.engine.runtime.repo.runs.usage(
        call.principal.account_id, (first - _EPOCH).days, (last - _EPOCH).days, partner_id, user
    )
    totals: dict[str, int] = {}
    days: list[dict[str, Any]] = []
    for row in rows:
        totals[row.status] = totals.get(row.status, 0) + row.runs
        days.append(
            {
                "day": (_EPOCH + timedelta(days=row.day)).isoformat(),
                "partnerId": row.partner_id,
                "status": row.status,
                "runs": row.runs,
                "attempts": row.attempts,
                "upstreamMs": row.upstream_ms,
            }
        )
    return Answer(data={"first": first.isoformat(), "last": last.isoformat(), "totals": totals, "days": days})


def _day(text: str | None, name: str, faults: list[Fault]) -> date | None:
    if not text:
        return None
    try:
        if len(text) == 10:
            return date.fromisoformat(text)
    except ValueError:
        pass
    faults.append(Fault(path=name, code="wrong_type", message="A day is needed here, such as 2026-11-24."))
    return None


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/usage",
        handler=read,
        tag="Runs",
        summary="Count the runs that ended, by day, partner and status",
        description=(
            "Days are UTC, and a run counts on the day it ended. The counts are kept as runs end, so they stay when runs are deleted, and cost the same however many there are. The last 30 days if "
            f"nothing is said, {DAYS_MOST} at most."
        ),
        scope="runs:read",
        answer=Usage,
        query=(
            Param(name="from", description="The first day.", schema={"type": "string", "format": "date"}),
            Param(name="to", description="The last day.", schema={"type": "string", "format": "date"}),
            Param(name="partnerId", description="The partner's id.", schema={"type": "integer"}),
            Param(name="externalUserId", description="Your user's id: its runs alone, as far as they are still kept."),
        ),
    ),
)
