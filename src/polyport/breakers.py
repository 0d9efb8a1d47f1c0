"""Circuit breakers: a partner's host, or one connection, that failed again and again is left alone for a while, then asked by one call at a time.

What a process knows stays in that process: a breaker protects the process's own places and its callers' time, each process learns from a
handful of calls, and nothing that has to be right depends on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

LONGEST: Final = 60.0
CONNECTIONS: Final = 3  # a host has failed when so many connections found it so; one alone may be at fault itself
PROBE_SECONDS: Final = 150.0  # longer than any call: a probe whose end was not told is forgotten
KNOWN_MOST: Final = 50_000

Key = int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftAlone:
    """What is left alone: a connection, or a whole host (then ``places`` are the connections that called it). ``seconds`` until it is asked again."""

    host: str
    places: tuple[int, ...]
    whole: bool
    failures: int
    seconds: float


class _Circuit:
    """How one host or one connection has done of late. ``open_until`` is a reading of the clock; 0 while it is closed."""

    __slots__ = ("failures", "open_until", "places", "probed_at", "wait")

    def __init__(self) -> None:
        self.failures = 0
        self.places: set[int] = set()
        self.open_until = 0.0
        self.wait = 0.0
        self.probed_at: float | None = None


class Breakers:
    """The breakers of a process. ``failures`` in a row open one for ``seconds``, then for longer and longer; 0 failures turns them off.

    A place is a connection's id; partners without connections have a negative one, which stands for no one alone and has no breaker of its own.
    """

    def __init__(self, failures: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = failures
        self._seconds = seconds
        self._clock = clock
        self._circuits: dict[Key, _Circuit] = {}
        self._hosts: dict[int, str] = {}
        self.opened = 0

    def wait(self, place: int, host: str | None) -> float:
        """For how long (seconds) nothing should be sent; 0 when a call may go."""
        if not self._circuits:
            return 0.0
        now = self._clock()
        return max(_wait(self._circuits.get(place), now), _wait(self._circuits.get(host), now) if host is not None else 0.0)

    def wait_of(self, place: int) -> float:
        """``wait`` for a connection, with the host that it called last."""
        return self.wait(place, self._hosts.get(place)) if self._circuits else 0.0

    def enter(self, place: int, host: str) -> float:
        """``wait``; where it is 0 the call goes, and is the probe of what was open."""
        if place not in self._hosts:
            if len(self._hosts) >= KNOWN_MOST:
                self._hosts.clear()
            self._hosts[place] = host
        found = self.wait(place, host)
        if not found and self._circuits:
            for circuit in self._of(place, host):
                if circuit.open_until:
                    circuit.probed_at = self._clock()
        return found

    def succeeded(self, place: int, host: str) -> None:
        """The partner answered: all is well."""
        if self._circuits:
            self._circuits.pop(host, None)
            self._circuits.pop(place, None)

    def abandoned(self, place: int, host: str) -> None:
        """A call ended and tells nothing of the partner."""
        for circuit in self._of(place, host):
            circuit.probed_at = None

    def failed(self, place: int, host: str) -> None:
        """The partner could not be reached, did not answer in time or answered that it is out of order."""
        if not self._most:
            return
        if len(self._circuits) >= KNOWN_MOST:
            self._circuits.clear()
        for key in (host, place) if place >= 0 else (host,):
            circuit = self._circuits.get(key)
            if circuit is None:
                circuit = self._circuits[key] = _Circuit()
            circuit.failures += 1
            circuit.places.add(place)
            several = key == place or place < 0 or len(circuit.places) >= CONNECTIONS
            if circuit.failures >= self._most and several:
                self._open(circuit)

    def counts(self) -> tuple[int, int]:
        """How many hosts and how many connections are left alone now."""
        open_keys = [key for key, circuit in self._circuits.items() if circuit.open_until]
        hosts = sum(isinstance(key, str) for key in open_keys)
        return hosts, len(open_keys) - hosts

    def left_alone(self) -> list[LeftAlone]:
        """What is open now, with the connections that it is about."""
        now, found = self._clock(), []
        for key, circuit in self._circuits.items():
            if not circuit.open_until:
                continue
            whole = isinstance(key, str)
            host = key if isinstance(key, str) else self._hosts.get(key, "")
            places = tuple(place for place, called in self._hosts.items() if called == key) if whole else (int(key),)
            seconds = max(0.0, circuit.open_until - now)
            found.append(LeftAlone(host=host, places=places, whole=whole, failures=circuit.failures, seconds=seconds))
        return found

    def _open(self, circuit: _Circuit) -> None:
        now = self._clock()
        if circuit.open_until > now:
            return  # a call that was under way when it opened
        circuit.wait = min(LONGEST, circuit.wait * 2 or self._seconds)
        circuit.open_until = now + circuit.wait
        circuit.probed_at = None
        self.opened += 1

    def _of(self, place: int, host: str) -> list[_Circuit]:
        return [circuit for key in (place, host) if (circuit := self._circuits.get(key)) is not None]


def _wait(circuit: _Circuit | None, now: float) -> float:
    if circuit is None or not circuit.open_until:
        return 0.0
    if circuit.open_until > now:
        return circuit.open_until - now
    if circuit.probed_at is not None and now - circuit.probed_at < PROBE_SECONDS:
        return max(1.0, circuit.wait / 4)
    return 0.0
