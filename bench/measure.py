"""The measurements over HTTP: rounds of the same jobs in turn, so that whatever else the machine does falls on all of them alike."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from bench.load import Job, Load
from bench.partner import FORWARDED, run_body
from bench.processes import Cores, NotMeasured, Process
from bench.servers import RUN_PATH, Stage, start_polyport, start_upstream

CALLERS: Final = (1, 16, 64)
MOST_CALLERS: Final = CALLERS[-1]
STARTS: Final = 3
DRAIN_SECONDS: Final = 300.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One job: answers a second, latencies in ms, CPU time of the measured server for each answer in us, the generator's share of its core."""

    rate: float
    p50: float
    p99: float
    cpu_us: float
    generator_busy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The samples of one job, one a round."""

    name: str
    callers: int
    samples: list[Sample]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """One round of asynchronous runs.

    ``accepted`` and ``finished`` are runs a second: accepted while the callers call, finished from the first accept to the last finish. ``draining`` is
    finished a second after the last accept, when nothing else is asked of the server; ``left`` is how many were left then. ``forwarder`` is what the
    forwarder did just before. CPU time is per run, in us, accepting and working together.
    """

    accepted: float
    finished: float
    draining: float | None
    left: int
    runs: int
    p50: float
    p99: float
    cpu_us: float
    forwarder: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Resident memory of the server in MB: after its start, after the load, and at its highest."""

    started: float
    loaded: float
    peak: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long: seconds of a job and of its warm-up, and how many rounds."""

    seconds: float
    warmup: float
    rounds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """One thing that can be called, and the process whose CPU time it costs."""

    name: str
    port: int
    path: str
    body: str
    expect: int
    process: Process
    token: str = ""


def _subjects(stage: Stage) -> dict[str, _Subject]:
    polyport, forwarder, upstream = stage.polyport, stage.forwarder, stage.upstream
    body = run_body(polyport.connection)
    dry = run_body(polyport.connection, dry_run=True)
    own = {"port": polyport.served.port, "process": polyport.served.process, "token": polyport.token}
    found = (
        _Subject(name="direct", port=upstream.port, path=FORWARDED, body=body, expect=201, process=upstream.process),
        _Subject(name="forwarder", port=forwarder.port, path="/", body=body, expect=201, process=forwarder.process),
        _Subject(name="polyport sync", path=f"{RUN_PATH}/sync", body=body, expect=200, **_typed(own)),
        _Subject(name="polyport dry run", path=f"{RUN_PATH}/sync", body=dry, expect=200, **_typed(own)),
        _Subject(name="polyport async", path=f"{RUN_PATH}/async", body=body, expect=202, **_typed(own)),
    )
    return {subject.name: subject for subject in found}
