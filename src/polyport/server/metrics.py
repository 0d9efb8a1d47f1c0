"""What ``/metrics`` tells beside requests: how runs and events stand in the store, and what came of this process's deliveries.

What waits is counted in the store when somebody asks, up to a bound, so that it is the same whichever process answers and costs the same however much waits.
What happened is counted by the process in which it did.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily, Metric

from polyport.breakers import Breakers
from polyport.runtime import Runtime
from polyport.store.base import StoreFault

COUNTED_MOST: Final = 10_000


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
