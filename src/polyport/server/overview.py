"""How an account does: its runs over an hour, a day or a month, what waits, what is used up of budgets, how its connections stand."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple

from polyport.errors import Fault, NotFound, ValidationFailed
from polyport.manifest.budgets import Budget
from polyport.server.routing import Answer, Body, Call, Endpoint, Param
from polyport.server.wire import id_filter
from polyport.store.reach import only_user
from polyport.store.sums import ALL, Ends, Sum

Range = Literal["hour", "day", "month"]
TIMES: Final = ("own", "queue", "partner")
STATUSES: Final = ("succeeded", "failed", "uncertain", "cancelled")
PERCENTILES: Final = (50, 95, 99)
COUNTED_MOST: Final = 10_000
FRESH_MOST: Final = 20_000  # runs that are not in the sums yet
PARTNERS_MOST: Final = 20
ERRORS_MOST: Final = 20
BUDGETS_MOST: Final = 20
KEYS_MOST: Final = 200
LEFT_MOST: Final = 20


class Width(NamedTuple):
    """A range: its slots, in seconds, and how many there are."""

    grain: int
    slots: int


RANGES: Final[Mapping[str, Width]] = {"hour": Width(60, 60), "day": Width(900, 96), "month": Width(21_600, 120)}


class Percentiles(Body):
    """Milliseconds that half, 95 and 99 of a hundred runs did not exceed, off by a tenth at most; null where there was no run."""

    p50: int | None
    p95: int | None
    p99: int | None


class Latency(Body):
    """``own``: what Polyport took; ``queue``: for how long a run was due and had no place; ``partner``: what the partner's answers took. Waiting for a retry is in none."""

    own: Percentiles
    queue: Percentiles
    partner: Percentiles


class Slot(Body):
    """One stretch of time. ``runs`` are those that ended in it, by status; ``waiting`` is the most runs that waited at a time. ``at`` is in unix seconds."""

    at: int
    runs: dict[str, int]
    waiting: int
    latency: Latency


class ErrorCount(Body):
    """How many runs ended with an error."""

    code: str
    runs: int


class PartnerCount(Body):
    """How many runs of a partner ended; ``bad`` are those that failed or are uncertain."""

    partner_id: int
    title: str | None
    runs: int
    bad: int


class BudgetUse(Body):
    """How much of a partner's budget is in use now. ``seconds`` is null for requests at a time."""

    partner_id: int
    partner_title: str
    budget: str
    per: str
    credential_id: int | None
    credential_title: str | None
    used: int
    limit: int
    seconds: int | None


class LeftAloneAnswer(Body):
    """A host, or one connection, that failed again and again and is left alone until ``retryAt``. ``credentialId`` is null for a whole host."""

    host: str
    credential_id: int | None
    title: str | None
    partner_id: int
    partner_title: str
    failures: int
    retry_at: int


class Overview(Body):
    """How an account does. ``leftAlone`` is what the process that answers leaves alone; each process learns that by itself. ``standing`` are runs that have not ended, each counted up to 10,000. Times are unix seconds."""

    range: Range
    first: int
    last: int
    slot_seconds: int
    partner_id: int | None
    totals: dict[str, int]
    latency: Latency
    slots: list[Slot]
    errors: list[ErrorCount]
    partners: list[PartnerCount]
    standing: dict[str, int]
    connections: dict[str, int]
    budgets: list[BudgetUse]
    left_alone: list[LeftAloneAnswer]


class Pile:
    """Counts of one slot, or of all."""

    __slots__ = ("errors", "runs", "times", "waiting")

    def __init__(self) -> None:
        self.runs: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.times: dict[str, defaultdict[int, int]] = {name: defaultdict(int) for name in TIMES}
        self.waiting = 0

    def put(self, what: str, counts: Mapping[str, int]) -> None:
        """Add sums of one kind, by key."""
        if what == "status":
            self.runs.update(counts)
        elif what == "error":
            self.errors.update(counts)
        elif what == "waiting":
            self.waiting = max((self.waiting, *counts.values()))
        else:
            times = self.times[what]
            for edge, n in counts.items():
                times[int(edge)] += n

    def latency(self) -> dict[str, dict[str, int | None]]:
        """The percentiles of all times."""
        return {name: percentiles(self.times[name]) for name in TIMES}


def percentiles(bins: Mapping[int, int]) -> dict[str, int | None]:
    """The percentiles of times that are counted by the lower edges of their bins: the middle of the bin in which each lies."""
    total = sum(bins.values())
    found: dict[str, int | None] = dict.fromkeys((f"p{each}" for each in PERCENTILES), None)
    if not total:
        return found
    ordered, passed, pending = sorted(bins.items()), 0, list(PERCENTILES)
    for edge, n in ordered:
        passed += n
        while pending and passed * 100 >= pending[0] * total:
            found[f"p{pending.pop(0)}"] = edge + _width(edge) // 2
    return found


def _width(edge: int) -> int:
    """How wide the bin of a lower edge is; the same widths as in ``sums_of_ends``."""
    if edge >= 1_000_000:
        return 0
    scale = 1
    while edge >= 100 * scale:
        scale *= 10
    tens = edge // scale
    return scale if tens < 20 else 2 * scale if tens < 50 else 5 * scale


async def read(call: Call) -> Answer:
    """GET /overview."""
    params = call.http.query_params
    chosen, partner_id = params.get("range") or "hour", id_filter(params.get("partnerId") or None, "partnerId")
    if chosen not in RANGES:
        raise ValidationFailed.of(Fault(path="range", code="unknown_option", message=f"A range is one of: {', '.join(RANGES)}."))
    runtime, account_id, width = call.engine.runtime, call.principal.account_id, RANGES[chosen]
    sums, now = runtime.repo.run_sums, runtime.now_ms()
    last = now // 1000 // width.grain * width.grain
    first = last - (width.slots - 1) * width.grain
    kept, ranked, until, standing, connections = await asyncio.gather(
        sums.read(account_id, width.grain, first, partner_id or ALL),
        sums.by_partner(account_id, width.grain, first, PARTNERS_MOST),
        sums.until(),
        sums.standing(account_id, COUNTED_MOST),
        runtime.repo.connections.by_status(account_id, partner_id),
    )
    fresh = await sums.of_ends(max(until, first * 1000), now + 1, account_id=account_id, limit=FRESH_MOST)
    slots, whole = _piles(kept, fresh, first, width, partner_id)
    runs, bad = Counter({each.partner_id: each.runs for each in ranked}), Counter({each.partner_id: each.bad for each in ranked})
    for end in fresh:
        if end.what == "status":
            runs[end.partner_id] += end.n
            bad[end.partner_id] += end.n if end.key in {"failed", "uncertain"} else 0
    top = runs.most_common(PARTNERS_MOST)
    titles = {each: await _title(call, each) for each, _runs in top}
    return Answer(
        data={
            "range": chosen,
            "first": first,
            "last": now // 1000,
            "slotSeconds": width.grain,
            "partnerId": partner_id,
            "totals": _statuses(whole.runs),
            "latency": whole.latency(),
            "slots": [
                {"at": at, "runs": _statuses(pile.runs), "waiting": pile.waiting, "latency": pile.latency()} for at, pile in slots.items()
            ],
            "errors": [{"code": code, "runs": n} for code, n in whole.errors.most_common(ERRORS_MOST)],
            "partners": [{"partnerId": each, "title": titles[each], "runs": n, "bad": bad[each]} for each, n in top],
            "standing": standing,
            "connections": connections,
            "leftAlone": await _left_alone(call, partner_id),
            "budgets": await _budgets(call, [partner_id] if partner_id is not None else [each for each, _runs in top]),
        }
    )


def _piles(kept: Iterable[Sum], fresh: Iterable[Ends], first: int, width: Width, partner_id: int | None) -> tuple[dict[int, Pile], Pile]:
    """The sums by slot, none left out, and all together; with those that are not kept yet."""
    slots = {first + number * width.grain: Pile() for number in range(width.slots)}
    whole = Pile()
    found: list[tuple[int, str, Mapping[str, int]]] = [*kept]
    found += [(end.slot // width.grain * width.grain, end.what, {end.key: end.n}) for end in fresh if partner_id in {None, end.partner_id}]
    for at, what, counts in found:
        if at in slots:
            slots[at].put(what, counts)
            whole.put(what, counts)
    return slots, whole


def _statuses(runs: Mapping[str, int]) -> dict[str, int]:
    return {status: runs.get(status, 0) for status in STATUSES}


async def _title(call: Call, partner_id: int) -> str | None:
    """A partner's title; ``None`` for one that is gone."""
    try:
        return (await call.engine.runtime.catalog.seen_by(call.principal.account_id).partner(partner_id)).file.title
    except NotFound:
        return None


async def _budgets(call: Call, partner_ids: Iterable[int]) -> list[dict[str, Any]]:
    """What is in use of the budgets of some partners: those that are shared, and those of the account's own connections; the fullest first."""
    if only_user() is not None:
        return []
    runtime, account_id = call.engine.runtime, call.principal.account_id
    seen, now = runtime.catalog.seen_by(account_id), runtime.now_ms()
    found: list[dict[str, Any]] = []
    for partner_id in partner_ids:
        try:
            partner = (await seen.partner(partner_id)).file
        except NotFound:
            continue
        declared = {budget.name: budget for budget in partner.budgets}
        for key, used in await runtime.repo.budget_uses.in_use(f"{partner_id}/", now, KEYS_MOST) if declared else ():
            name, scope, *rest = key.split("/")[1:]
            if (budget := declared.get(name)) is not None:
                found.append(_use(partner_id, partner.title, budget, scope, used, places=rest[-1:] == ["places"]))
    titles = await runtime.repo.connections.titles(account_id, sorted({each["credentialId"] for each in found if each["credentialId"]}))
    mine = [each | {"credentialTitle": titles.get(each["credentialId"])} for each in found if each["credentialId"] in {None, *titles}]
    return sorted(mine, key=lambda each: -each["used"] / each["limit"])[:BUDGETS_MOST]


async def _left_alone(call: Call, only: int | None) -> list[dict[str, Any]]:
    """What is left alone of what the account's connections call, the longest first; what other accounts' connections call is nobody's business here."""
    runtime, account_id = call.engine.runtime, call.principal.account_id
    found: list[dict[str, Any]] = []
    for each in runtime.breakers.left_alone()[:LEFT_MOST]:
        titles = await runtime.repo.connections.titles(account_id, [place for place in each.places if place > 0][:KEYS_MOST])
        for connection_id in titles:
            record = await runtime.repo.connections.get(account_id, connection_id)
            if record is None or only not in {None, record.partner_id}:
                continue
            found.append(
                {
                    "host": each.host,
                    "credentialId": None if each.whole else connection_id,
                    "title": None if each.whole else record.title,
                    "partnerId": record.partner_id,
                    "partnerTitle": await _title(call, record.partner_id) or f"Partner {record.partner_id}",
                    "failures": each.failures,
                    "retryAt": runtime.now_ms() // 1000 + round(each.seconds),
                }
            )
            if each.whole:
                break
    return sorted(found, key=lambda each: (each["credentialId"] is not None, -each["retryAt"]))[:LEFT_MOST]


def _use(partner_id: int, title: str, budget: Budget, scope: str, used: int, *, places: bool) -> dict[str, Any]:
    place = int(scope) if scope.lstrip("-").isdecimal() else 0
    return {
        "partnerId": partner_id,
        "partnerTitle": title,
        "budget": budget.name,
        "per": budget.per,
        "credentialId": place if place > 0 else None,
        "used": used,
        "limit": (budget.concurrency if places else budget.limit) or 1,
        "seconds": None if places else budget.seconds,
    }


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/overview",
        handler=read,
        tag="Runs",
        summary="Read how the account does: runs, times, errors, what waits, budgets, connections",
        description=(
            "The last hour by minute, the last day by quarter of an hour, or the last thirty days by six hours (UTC). It is read from sums that are kept beside the runs, so it costs the same "
            "however many there are. A doubt that was settled counts as what it was settled to; errors stay as the runs ended."
        ),
        scope="runs:read",
        answer=Overview,
        query=(
            Param(name="range", description="How far back.", schema={"type": "string", "enum": list(RANGES), "default": "hour"}),
            Param(name="partnerId", description="Runs, budgets and connections of this partner alone.", schema={"type": "integer"}),
        ),
    ),
)
