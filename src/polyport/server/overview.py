"""How an account does: its runs over an hour, a day or a month, what waits, what is used up of budgets, how its connections stand."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from polyport.errors import Fault, NotFound, ValidationFailed
from polyport.manifest.budgets import Budget
from polyport.server.piles import RANGES, Pile, Range, Width, piled, under_way
from polyport.server.routing import Answer, Body, Call, Endpoint, Param
from polyport.server.wire import id_filter
from polyport.store.connections import Named
from polyport.store.reach import only_user
from polyport.store.records import ConnectionStatus
from polyport.store.sums import ALL, STANDING, Ends, Latest, PartnerSum

STATUSES: Final = ("succeeded", "failed", "uncertain", "cancelled")
LOOKED_AT: Final = 2_000  # runs of each status that have not ended
FRESH_MOST: Final = 20_000  # runs that are not in the sums yet
READ_MOST: Final = 20_000  # of one connection, or of one external user
BUSIEST_OF: Final = 5_000
CONNECTIONS_MOST: Final = 20
ACCEPTED_BEFORE: Final = 86_400  # seconds: runs that end in a range may have been accepted before it
BAD: Final = frozenset({"failed", "uncertain"})
PARTNERS_MOST: Final = 20
ERRORS_MOST: Final = 20
BUDGETS_MOST: Final = 20
KEYS_MOST: Final = 200
LEFT_MOST: Final = 20


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
    """One stretch of time. ``runs`` are those that ended in it, by status; ``waiting`` is the most runs that waited at a time, of one connection or external user those that had not ended at its end. ``at`` is in unix seconds."""

    at: int
    runs: dict[str, int]
    waiting: int
    latency: Latency


class ErrorCount(Body):
    """How many runs ended with an error."""

    code: str
    runs: int


class PartnerCount(Body):
    """How many runs of a partner ended; ``bad`` are those that failed or are uncertain, the rest but those that ``succeeded`` was cancelled."""

    partner_id: int
    title: str | None
    runs: int
    succeeded: int
    bad: int


class ConnectionCount(Body):
    """How many of the latest runs were with a connection; ``title`` is null for one that is gone."""

    credential_id: int
    title: str | None
    partner_id: int
    partner_title: str
    external_user_id: str | None
    runs: int
    succeeded: int
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
    """How an account does, or one connection or external user of it. ``complete`` is false when those have more runs than are read: the latest 20,000 are told. ``busiest`` are the connections with the most of the latest 5,000 runs. ``leftAlone`` is what the process that answers leaves alone; each process learns that by itself. ``standing`` are runs that have not ended: those that are due, those that are ``scheduled`` for later, those that wait for another attempt or for a budget, those under way. Times are unix seconds."""

    range: Range
    first: int
    last: int
    slot_seconds: int
    partner_id: int | None
    credential_id: int | None
    external_user_id: str | None
    complete: bool
    totals: dict[str, int]
    latency: Latency
    slots: list[Slot]
    errors: list[ErrorCount]
    partners: list[PartnerCount]
    busiest: list[ConnectionCount]
    standing: dict[str, int]
    connections: dict[str, int]
    budgets: list[BudgetUse]
    left_alone: list[LeftAloneAnswer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Whose runs are asked for, and how far back. ``first`` and ``now`` are unix seconds and milliseconds."""

    account_id: int
    range: str
    partner_id: int | None
    connection_id: int | None
    external_user_id: str | None
    now: int

    @property
    def width(self) -> Width:
        """The slots of the range."""
        return RANGES[self.range]

    @property
    def first(self) -> int:
        """Where the first slot begins."""
        return (self.now // 1000 // self.width.grain - self.width.slots + 1) * self.width.grain

    def latest(self, limit: int) -> Latest:
        """The latest runs that may have ended in the range."""
        return Latest(self.account_id, f"run_{max(0, self.first - ACCEPTED_BEFORE) * 1000:012x}", self.first * 1000, self.now, limit)


@dataclass(slots=True, kw_only=True)
class Found:
    """What was found of the runs that are asked for. ``partners`` are those with the most runs: how many, and how many of those badly."""

    slots: dict[int, Pile]
    whole: Pile
    partners: list[PartnerSum]
    standing: dict[str, int]
    complete: bool


def _wanted(call: Call) -> Wanted:
    params = call.http.query_params
    given = {name: params.get(name) or None for name in ("partnerId", "credentialId", "externalUserId")}
    chosen = params.get("range") or "hour"
    if chosen not in RANGES:
        raise ValidationFailed.of(Fault(path="range", code="unknown_option", message=f"A range is one of: {', '.join(RANGES)}."))
    if given["credentialId"] and given["externalUserId"]:
        message = "Ask for a connection or for an external user, not for both."
        raise ValidationFailed.of(Fault(path="externalUserId", code="not_allowed", message=message))
    return Wanted(
        account_id=call.principal.account_id,
        range=chosen,
        partner_id=id_filter(given["partnerId"], "partnerId"),
        connection_id=id_filter(given["credentialId"], "credentialId"),
        external_user_id=given["externalUserId"] or (None if given["credentialId"] else only_user()),
        now=call.engine.runtime.now_ms(),
    )


async def read(call: Call) -> Answer:
    """GET /overview."""
    wanted = _wanted(call)
    narrowed = wanted.connection_id is not None or wanted.external_user_id is not None
    found = await (_of_latest if narrowed else _of_sums)(call, wanted)
    busiest = [] if wanted.connection_id is not None else await _busiest(call, wanted)
    used = [wanted.partner_id] if wanted.partner_id is not None else [each.partner_id for each in found.partners]
    return Answer(
        data={
            "range": wanted.range,
            "first": wanted.first,
            "last": wanted.now // 1000,
            "slotSeconds": wanted.width.grain,
            "partnerId": wanted.partner_id,
            "credentialId": wanted.connection_id,
            "externalUserId": wanted.external_user_id,
            "complete": found.complete,
            "totals": _statuses(found.whole.runs),
            "latency": found.whole.latency(),
            "slots": [
                {"at": at, "runs": _statuses(pile.runs), "waiting": pile.waiting, "latency": pile.latency()}
                for at, pile in found.slots.items()
            ],
            "errors": [{"code": code, "runs": n} for code, n in found.whole.errors.most_common(ERRORS_MOST)],
            "partners": [
                {
                    "partnerId": each.partner_id,
                    "title": await _title(call, each.partner_id),
                    "runs": each.runs,
                    "succeeded": each.succeeded,
                    "bad": each.bad,
                }
                for each in found.partners
            ],
            "busiest": busiest,
            "standing": found.standing,
            "connections": await _health(call, wanted),
            "leftAlone": await _left_alone(call, wanted),
            "budgets": await _budgets(call, wanted, used),
        }
    )


async def _of_sums(call: Call, wanted: Wanted) -> Found:
    """The runs of the whole account, or of a partner within it: from the sums, and those that are not in them yet."""
    sums, account_id, grain, first = call.engine.runtime.repo.run_sums, wanted.account_id, wanted.width.grain, wanted.first
    kept, ranked, until, standing = await asyncio.gather(
        sums.read(account_id, grain, first, wanted.partner_id or ALL),
        sums.by_partner(account_id, grain, first, PARTNERS_MOST),
        sums.until(),
        sums.standing(account_id, LOOKED_AT, wanted.now, wanted.partner_id),
    )
    fresh = await sums.of_ends(max(until, first * 1000), wanted.now + 1, account_id=account_id, limit=FRESH_MOST)
    slots, whole = piled(kept, _of_partner(fresh, wanted), first, wanted.width)
    return Found(slots=slots, whole=whole, partners=_ranked(ranked, fresh), standing=standing, complete=True)


async def _of_latest(call: Call, wanted: Wanted) -> Found:
    """The runs of one connection or of one external user: no sums are kept of those, their latest runs are read."""
    found = await call.engine.runtime.repo.run_sums.of_latest(
        wanted.latest(READ_MOST), connection_id=wanted.connection_id, external_user_id=wanted.external_user_id
    )
    mine = _of_partner(found, wanted)
    ends = [end for end in mine if end.what not in {"came", "went", "stands"}]
    slots, whole = piled((), ends, wanted.first, wanted.width)
    under_way([end for end in mine if end.what in {"came", "went"}], slots, wanted.width)
    standing: Counter[str] = Counter()
    for end in mine:
        if end.what == "stands":
            standing[end.key] += end.n
    return Found(
        slots=slots,
        whole=whole,
        partners=_ranked((), ends),
        standing={name: standing[name] for name in STANDING},
        complete=sum(end.n for end in found if end.what == "stands") < READ_MOST,
    )


def _of_partner(ends: Sequence[Ends], wanted: Wanted) -> list[Ends]:
    return [end for end in ends if wanted.partner_id in {None, end.partner_id}]


def _ranked(kept: Iterable[PartnerSum], ends: Iterable[Ends]) -> list[PartnerSum]:
    """The partners with the most runs."""
    runs, well, bad = Counter[int](), Counter[int](), Counter[int]()
    for each in kept:
        runs[each.partner_id], well[each.partner_id], bad[each.partner_id] = each.runs, each.succeeded, each.bad
    for end in ends:
        if end.what == "status":
            runs[end.partner_id] += end.n
            well[end.partner_id] += end.n if end.key == "succeeded" else 0
            bad[end.partner_id] += end.n if end.key in BAD else 0
    return [PartnerSum(partner_id, n, well[partner_id], bad[partner_id]) for partner_id, n in runs.most_common(PARTNERS_MOST)]


async def _busiest(call: Call, wanted: Wanted) -> list[dict[str, Any]]:
    """The connections with the most of the latest runs."""
    repo, latest = call.engine.runtime.repo, wanted.latest(BUSIEST_OF)
    found = await repo.run_sums.busiest(latest, CONNECTIONS_MOST, partner_id=wanted.partner_id, external_user_id=wanted.external_user_id)
    named = await repo.connections.titles(wanted.account_id, [each.connection_id for each in found])
    gone = Named("", None)
    return [
        {
            "credentialId": each.connection_id,
            "title": named.get(each.connection_id, gone).title or None,
            "partnerId": each.partner_id,
            "partnerTitle": await _title(call, each.partner_id) or f"Partner {each.partner_id}",
            "externalUserId": named.get(each.connection_id, gone).external_user_id,
            "runs": each.runs,
            "succeeded": each.succeeded,
            "bad": each.bad,
        }
        for each in found
    ]


async def _health(call: Call, wanted: Wanted) -> dict[str, int]:
    """How many of the connections that are asked for stand how; ``unverified`` are those of the active ones that nothing has ever proved."""
    connections = call.engine.runtime.repo.connections
    if wanted.connection_id is None:
        narrowed = (wanted.account_id, wanted.partner_id, wanted.external_user_id)
        unverified = await connections.unverified(*narrowed)
        return await connections.by_status(*narrowed) | ({"unverified": unverified} if unverified else {})
    record = await connections.get(wanted.account_id, wanted.connection_id)
    if record is None or wanted.partner_id not in {None, record.partner_id}:
        return {}
    unverified = record.status is ConnectionStatus.ACTIVE and record.last_verified_at is None
    return {record.status: 1} | ({"unverified": 1} if unverified else {})


def _statuses(runs: Mapping[str, int]) -> dict[str, int]:
    return {status: runs.get(status, 0) for status in STATUSES}


async def _title(call: Call, partner_id: int) -> str | None:
    """A partner's title; ``None`` for one that is gone."""
    try:
        return (await call.engine.runtime.catalog.seen_by(call.principal.account_id).partner(partner_id)).file.title
    except NotFound:
        return None


async def _budgets(call: Call, wanted: Wanted, partner_ids: Iterable[int]) -> list[dict[str, Any]]:
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
    titles = {each: named for each, named in titles.items() if _is_meant(wanted, each, named.external_user_id)}
    mine = [
        each | {"credentialTitle": titles[each["credentialId"]].title if each["credentialId"] else None}
        for each in found
        if each["credentialId"] in {None, *titles}
    ]
    return sorted(mine, key=lambda each: -each["used"] / each["limit"])[:BUDGETS_MOST]


async def _left_alone(call: Call, wanted: Wanted) -> list[dict[str, Any]]:
    """What is left alone of what the account's connections call, the longest first; what other accounts' connections call is nobody's business here."""
    runtime, account_id = call.engine.runtime, call.principal.account_id
    found: list[dict[str, Any]] = []
    for each in runtime.breakers.left_alone()[:LEFT_MOST]:
        titles = await runtime.repo.connections.titles(account_id, [place for place in each.places if place > 0][:KEYS_MOST])
        for connection_id in titles:
            record = await runtime.repo.connections.get(account_id, connection_id)
            if (
                record is None
                or wanted.partner_id not in {None, record.partner_id}
                or not _is_meant(wanted, connection_id, record.external_user_id)
            ):
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


def _is_meant(wanted: Wanted, connection_id: int, external_user_id: str | None) -> bool:
    return wanted.connection_id in {None, connection_id} and wanted.external_user_id in {None, external_user_id}


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
            "however many there are. Of one connection or one external user the runs themselves are read, the latest 20,000 of those that were accepted in the range or within a day before it. "
            "A doubt that was settled counts as what it was settled to; errors stay as the runs ended."
        ),
        scope="runs:read",
        answer=Overview,
        query=(
            Param(name="range", description="How far back.", schema={"type": "string", "enum": list(RANGES), "default": "hour"}),
            Param(name="partnerId", description="Runs, budgets and connections of this partner alone.", schema={"type": "integer"}),
            Param(name="credentialId", description="Runs with this connection alone.", schema={"type": "integer"}),
            Param(name="externalUserId", description="Runs and connections of this user of yours alone."),
        ),
    ),
)
