"""What ``/metrics`` tells beside requests: how runs and events stand in the store, and what came of this process's deliveries.

What waits is counted in the store when somebody asks, up to a bound, so that it is the same whichever process answers and costs the same however much waits.
What happened is counted by the process in which it did.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate
from math import isinf
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from polyport.breakers import Breakers
from polyport.runtime import Runtime
from polyport.store.base import StoreFault

COUNTED_MOST: Final = 10_000
_BOUNDS: Final = tuple(map(float, Histogram.DEFAULT_BUCKETS))
_TOLD: Final = tuple("+Inf" if isinf(bound) else str(bound) for bound in _BOUNDS)


class Answered:
    """The answers of one route: how many of each status, and how long they took."""

    __slots__ = ("method", "route", "seconds", "slots", "statuses")

    def __init__(self, method: str, route: str) -> None:
        self.method = method
        self.route = route
        self.statuses: dict[int, int] = {}
        self.slots = [0] * len(_BOUNDS)
        self.seconds = 0.0

    def note(self, status: int, seconds: float) -> None:
        """One more."""
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.slots[bisect_left(_BOUNDS, seconds)] += 1
        self.seconds += seconds


class RequestMetrics:
    """Requests by route and status. They are counted as plain numbers of this process's one thread: the library's own counters take locks, ten calls a request."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._routes: dict[tuple[str, str], Answered] = {}
        registry.register(self)

    def of(self, method: str, route: str) -> Answered:
        """What counts the answers of a route."""
        return self._routes.setdefault((method, route), Answered(method, route))

    def collect(self) -> Iterable[Metric]:
        """What was counted; asked for by the registry."""
        requests = CounterMetricFamily("polyport_http_requests", "Requests by route and status.", labels=["method", "route", "status"])
        durations = HistogramMetricFamily("polyport_http_request_seconds", "Time to answer, by route.", labels=["method", "route"])
        for answered in self._routes.values():
            where = [answered.method, answered.route]
            for status, count in answered.statuses.items():
                requests.add_metric([*where, str(status)], count)
            if answered.statuses:
                durations.add_metric(where, list(zip(_TOLD, accumulate(answered.slots), strict=True)), answered.seconds)
        return requests, durations


class StoreMetrics:
    """How runs and events stand, as ``look`` found it. What could not be read is not told."""

    def __init__(self, runtime: Runtime, registry: CollectorRegistry) -> None:
        self._runtime = runtime
        self._found: list[Metric] = []
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """What was found; asked for by the registry."""
        return self._found

    async def look(self) -> None:
        """Ask the store."""
        self._found = []
        runtime = self._runtime
        try:
            runs = await runtime.queue.depth()
            events = await runtime.repo.outbox.census(COUNTED_MOST)
        except StoreFault:
            return
        age = 0.0 if events.oldest is None else max(0, runtime.now_ms() - events.oldest) / 1000
        most = f"; counted up to {COUNTED_MOST}."
        self._found = [
            GaugeMetricFamily("polyport_runs_waiting", "Runs that wait: for a free place, for their time or for another attempt.", runs),
            GaugeMetricFamily("polyport_events_waiting", f"Events that wait for an attempt{most}", events.waiting),
            GaugeMetricFamily("polyport_events_paused", f"Events that wait for a paused endpoint{most}", events.paused),
            GaugeMetricFamily("polyport_events_dead", f"Dead letters{most}", events.dead),
            GaugeMetricFamily("polyport_events_oldest_seconds", "Age of the oldest event that waits for an attempt.", age),
        ]


def count_deliveries(registry: CollectorRegistry) -> Counter:
    """The attempts of this process to send events."""
    about = "Attempts to send an event: delivered, failed (another one follows) or dead (the last one)."
    return Counter("polyport_event_attempts", about, ["type", "outcome"], registry=registry)


def watch_breakers(breakers: Breakers, registry: CollectorRegistry) -> None:
    """The circuit breakers of this process."""
    circuits = Gauge("polyport_circuits_open", "Hosts and connections of partners that are left alone now.", ["of"], registry=registry)
    circuits.labels("host").set_function(lambda: breakers.counts()[0])
    circuits.labels("connection").set_function(lambda: breakers.counts()[1])
    opened = Gauge("polyport_circuits_opened_total", "How often a host or a connection began to be left alone.", registry=registry)
    opened.set_function(lambda: breakers.opened)
