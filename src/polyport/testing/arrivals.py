"""What arrived at a simulated partner: the last requests, and counts of all of them. Credentials are masked when they are shown."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from polyport.redaction import MASK, Redactor
from polyport.testing.traffic import Incoming

KEPT: Final = 1_000
BODY_KEPT: Final = 16 * 1024
NAMES_KEPT: Final = 10_000
RUNS_KEPT: Final = 100_000
RUN_HEADERS: Final = ("x-polyport-run", "x-run-id", "idempotency-key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One request: its number (from 1), its moment (ISO 8601), the fault it met, the token it carried (never shown), and the run it names, if any."""

    number: int
    time: str
    request: Incoming
    size: int
    run: str
    fault: str | None
    token: str = field(repr=False)

    def shown(self) -> dict[str, Any]:
        """The arrival as JSON, with credentials masked."""
        redactor = Redactor([self.token] if self.token else [])
        query = redactor.url(f"?{self.request.query}").partition("?")[2] if self.request.query else ""
        found: dict[str, Any] = {
            "number": self.number,
            "time": self.time,
            "method": self.request.method,
            "path": redactor.text(self.request.path),
            "query": query,
            "headers": {name: MASK if name == "cookie" else value for name, value in redactor.headers(self.request.headers)},
            "body": redactor.value(_body(self.request)),
            "bodyBytes": self.size,
        }
        return found | ({"run": self.run} if self.run else {}) | ({"fault": self.fault} if self.fault else {})


class Arrivals:
    """The last ``KEPT`` requests and the counts. Memory is bounded: long bodies are cut, rare names and runs beyond the limits go uncounted."""

    def __init__(self) -> None:
        self.total = 0
        self._last: deque[Arrival] = deque(maxlen=KEPT)
        self._routes: Counter[str] = Counter()
        self._runs: Counter[str] = Counter()

    def reset(self) -> None:
        """Forget all."""
        self.total = 0
        self._last.clear()
        self._routes.clear()
        self._runs.clear()

    def add(self, request: Incoming, *, time: str, token: str, fault: str | None) -> None:
        """Note one request."""
        self.total += 1
        run = next((value[:200] for value in map(request.header, RUN_HEADERS) if value), "")
        name = f"{request.method} {request.path}"[:500]
        size = len(request.body)
        if size > BODY_KEPT:
            request = replace(request, body=request.body[:BODY_KEPT])
        self._last.append(Arrival(number=self.total, time=time, request=request, size=size, run=run, fault=fault, token=token))
        self._routes[name if name in self._routes or len(self._routes) < NAMES_KEPT else "*"] += 1
        if run and (run in self._runs or len(self._runs) < RUNS_KEPT):
            self._runs[run] += 1

    def shown(self) -> list[dict[str, Any]]:
        """The last requests, oldest first."""
        return [arrival.shown() for arrival in self._last]

    def counts(self) -> dict[str, Any]:
        """All arrivals, by method and path; how many runs were named, and the runs that arrived more than once."""
        repeated = {run: count for run, count in self._runs.items() if count > 1}
        return {"total": self.total, "routes": dict(self._routes), "runs": len(self._runs), "repeated": repeated}


def _body(request: Incoming) -> Any:
    if not request.body:
        return None
    try:
        return msgspec.json.decode(request.body)
    except (ValueError, RecursionError):
        return request.body.decode("utf-8", "replace")
