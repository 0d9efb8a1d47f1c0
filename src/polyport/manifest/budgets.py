"""What a partner lets callers do in a while: declarations, and what its answers tell of the rest. Nothing here counts or waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, Literal, Self

from pydantic import Field as Key
from pydantic import model_validator

from polyport.kinds.fields import read_decimal
from polyport.manifest.base import Name, Node, Text
from polyport.net.message import Reply


class BudgetHeaders(Node):
    """The headers that tell of a budget: its ``limit``, what is left of it (``remaining``) or ``used``, and when it is full again (``reset``).

    ``used_of_limit`` is a header that has both, such as Shopify's ``32/40``. ``unit`` is that of ``reset``: ``seconds`` and ``milliseconds`` from now, ``unix`` and ``unix_ms`` (moments), ``date`` (ISO 8601 or that of HTTP).
    """

    limit: str | None = None
    remaining: str | None = None
    used: str | None = None
    used_of_limit: str | None = None
    reset: str | None = None
    unit: Literal["seconds", "milliseconds", "unix", "unix_ms", "date"] = "seconds"

    @model_validator(mode="after")
    def _tells_something(self) -> Self:
        if not any((self.limit, self.remaining, self.used, self.used_of_limit, self.reset)):
            raise ValueError("name at least one header")
        return self


class Budget(Node):
    """One limit of the partner: ``limit`` units in ``seconds``, or ``concurrency`` requests at a time, or both.

    ``per``: each ``connection`` has its own, all connections of one ``app`` share it, or each ``endpoint`` (operation) of a connection has its own. An operation takes one unit of each, unless its ``costs`` say otherwise; with
    ``only_costs`` it takes none unless its ``costs`` say so (a budget for searches alone). ``source`` is the partner's page that says so.
    """

    name: Name
    per: Literal["connection", "app", "endpoint"] = "connection"
    limit: int | None = Key(default=None, ge=1, le=10**12)
    seconds: int | None = Key(default=None, ge=1, le=31 * 86_400)
    concurrency: int | None = Key(default=None, ge=1, le=100_000)
    only_costs: bool = False
    headers: BudgetHeaders | None = None
    source: Text | None = None

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if (self.limit is None) != (self.seconds is None):
            raise ValueError("limit and seconds go together: how much, in how long")
        if self.limit is None and self.concurrency is None:
            raise ValueError("a budget has a limit with seconds, or a concurrency")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """What an answer tells of a budget; what it does not tell is ``None``. ``resets`` is when the budget is full again."""

    limit: int | None = None
    remaining: int | None = None
    resets: datetime | None = None


def costs_of(budgets: Sequence[Budget], costs: Mapping[str, int]) -> dict[str, int]:
    """What one call of an operation takes of each budget, by its name; budgets of which it takes nothing are left out."""
    found = {budget.name: costs.get(budget.name, 0 if budget.only_costs else 1) for budget in budgets}
    return {name: cost for name, cost in found.items() if cost}


def read_rest(budget: Budget, reply: Reply, now: datetime) -> Rest | None:
    """What an answer tells of a budget, or ``None`` where it tells nothing. Never raises; absurd values count as not told."""
    spec = budget.headers
    if spec is None:
        return None
    limit, remaining, used = (_count(_header(reply, name)) for name in (spec.limit, spec.remaining, spec.used))
    pair = (_header(reply, spec.used_of_limit) or "").partition("/")
    if pair[1]:
        used, limit = _count(pair[0]), _count(pair[2])
    whole = limit if limit is not None else budget.limit
    if remaining is None and used is not None and whole is not None:
        remaining = max(0, whole - used)
    resets = _moment(_header(reply, spec.reset), spec.unit, now)
    if limit is None and remaining is None and resets is None:
        return None
    return Rest(limit=limit, remaining=remaining, resets=resets)


def shown(budget: Budget) -> dict[str, Any]:
    """A budget as the API shows it."""
    told = {"limit": budget.limit, "seconds": budget.seconds, "concurrency": budget.concurrency, "source": budget.source}
    return {"name": budget.name, "per": budget.per} | {name: value for name, value in told.items() if value is not None}


def _header(reply: Reply, name: str | None) -> str | None:
    return reply.header(name) if name is not None else None


def _count(text: str | None) -> int | None:
    number = read_decimal(text.strip()) if text is not None else None
    return int(number) if number is not None and 0 <= number <= 10**12 else None


def _moment(text: str | None, unit: str, now: datetime) -> datetime | None:
    if text is None:
        return None
    try:
        if unit == "date":
            return _date(text.strip())
        number = read_decimal(text.strip())
        if number is None or not 0 <= number < 10**14:
            return None
        seconds = float(number / 1_000 if unit in {"milliseconds", "unix_ms"} else Decimal(number))
        return datetime.fromtimestamp(seconds, UTC) if unit in {"unix", "unix_ms"} else now + timedelta(seconds=seconds)
    except (ValueError, OverflowError, OSError):
        return None


def _date(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = parsedate_to_datetime(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
