"""The measurements over HTTP: rounds of the same jobs in turn, so that whatever else the machine does falls on all of them alike."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Final

from bench.jobs import Job, Load
from bench.partner import FORWARDED, run_body, trigger_body
from bench.processes import Cores, Meter, NotMeasured, Process, wait_until_idle
from bench.servers import RUN_PATH, SLOW_MS, TRIGGER_PATH, Polyport, Restart, Stage, measure_restart, start_upstream

CALLERS: Final = (1, 16, 64, 256)
MOST_CALLERS: Final = 64  # what ratios and aims are told for
# With a partner that takes a while, few callers tell nothing of what a server can do: it is hidden behind their waiting.
DELAYED_CALLERS: Final = (1, 64, 256)
UNRECORDED: Final = "polyport unrecorded"
READS: Final = 4  # what may be read of the partner beside the runs: the account's own fields, when they are looked at anew
DRAIN_SECONDS: Final = 300.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One job: answers a second, latencies in ms, CPU time of the measured server for each answer in us.

    ``generator`` and ``upstream`` are the shares of a core that the load generator and the partner took, ``others`` what programs that have nothing to do with
    the measurement took of the server's. ``by`` is the generator: "wrk" or "own".
    """

    rate: float
    p50: float
    p99: float
    cpu_us: float
    generator: float
    upstream: float
    others: float
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The samples of one job, one a round. ``delay`` is what the upstream takes for an answer, in ms."""

    name: str
    callers: int
    delay: int = 0
    samples: list[Sample]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """One round of asynchronous runs, of so many callers.

    ``accepted`` and ``finished`` are runs a second: accepted while the callers call, finished from the first accept to the last finish. ``draining`` is
    finished a second after the last accept, when nothing else is asked of the server; ``left`` is how many were left then. ``forwarder`` is what the
    forwarder did just before. CPU time is per run, in us, accepting and working together. ``others`` as in a ``Sample``.
    """

    callers: int
    accepted: float
    finished: float
    draining: float | None
    left: int
    runs: int
    p50: float
    p99: float
    cpu_us: float
    others: float
    forwarder: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Paced:
    """One round of asynchronous runs at half of what was accepted just before: ``pace`` is runs a second asked for, ``accepted`` those that were, in ms the rest.

    Latencies count from when a run was to be sent.
    """

    callers: int
    pace: float
    accepted: float
    p50: float
    p99: float
    others: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Resident memory of the server in MB: after its start, with 64 callers (0 if it was not asked), after all of the load, and at its highest."""

    started: float
    busy: float
    loaded: float
    peak: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long: seconds of a job and of its warm-up, and how many rounds."""

    seconds: float
    warmup: float
    rounds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One thing that can be called, and the process whose CPU time it costs."""

    name: str
    port: int
    path: str
    body: str
    expect: int
    process: Process
    token: str = ""
    counted: bool = False  # as many requests have to arrive at the upstream as were answered
    whole: bool = False  # so slow that what is under way at the end has to be waited for

    def job(self, callers: int, seconds: float) -> Job:
        """What the load generator is asked to do."""
        return Job(
            port=self.port,
            path=self.path,
            body=self.body,
            expect=self.expect,
            callers=callers,
            seconds=seconds,
            token=self.token,
            whole=self.whole,
        )


def subjects_of(stage: Stage) -> dict[str, Subject]:
    """What can be called, by name."""
    polyport, forwarder, upstream, nginx = stage.polyport, stage.forwarder, stage.upstream, stage.nginx
    body = run_body(polyport.connection)

    def run(name: str, mode: str, sent: str, expect: int) -> Subject:
        served = polyport.served
        path = f"{TRIGGER_PATH if name == 'polyport trigger' else RUN_PATH}/{mode}"
        return Subject(
            name=name,
            port=served.port,
            path=path,
            body=sent,
            expect=expect,
            process=served.process,
            token=polyport.token,
            counted=name == "polyport sync",
        )

    found = (
        Subject(name="direct", port=upstream.port, path=FORWARDED, body=body, expect=201, process=upstream.served.process),
        Subject(name="forwarder", port=forwarder.port, path="/", body=body, expect=201, process=forwarder.process),
        *(() if nginx is None else (Subject(name="nginx", port=nginx.port, path=FORWARDED, body=body, expect=201, process=nginx.process),)),
        run("polyport sync", "sync", body, 200),
        run("polyport trigger", "sync", trigger_body(polyport.connection), 200),
        run("polyport dry run", "sync", run_body(polyport.connection, dry_run=True), 200),
        run("polyport async", "async", body, 202),
        *(() if stage.unrecorded is None else (_unrecorded(stage.unrecorded),)),
    )
    return {subject.name: subject for subject in found}


def _unrecorded(polyport: Polyport) -> Subject:
    served = polyport.served
    body, path = run_body(polyport.connection), f"{RUN_PATH}/sync"
    return Subject(
        name=UNRECORDED, port=served.port, path=path, body=body, expect=200, process=served.process, token=polyport.token, counted=True
    )


def call(stage: Stage, subject: Subject, callers: int, plan: Plan, *, warmup: float) -> tuple[Load, Sample]:
    """Run a job. Raises ``NotMeasured`` for any error."""
    job = subject.job(callers, plan.seconds)
    if warmup:
        _checked(subject, callers, stage.generator.run(replace(job, seconds=warmup, whole=True)))
    meter, partner = Meter(subject.process, stage.processes()), Meter(stage.upstream.served.process)
    load = stage.generator.run(job)
    if load.generator == "wrk" and not load.errors and load.total <= callers:
        # So slow that wrk, which waits for nobody, saw next to no answers. What it left under way may still arrive.
        wait_until_idle(subject.process)
        meter, partner = Meter(subject.process, stage.processes()), Meter(stage.upstream.served.process)
        load = replace(stage.generator.run(replace(job, whole=True)), more=2 * callers)
    _checked(subject, callers, load)
    seconds, used, worked, others = load.ended - load.began, meter.used(), partner.used(), meter.others()
    if load.more:
        wait_until_idle(subject.process)
    # wrk is gone when the core is looked at, and with it what the process list knows of its time.
    shared = load.busy if load.generator == "wrk" and subject.process.core == stage.generator.process.core else 0.0
    return load, Sample(
        rate=load.rate,
        p50=load.p50,
        p99=load.p99,
        cpu_us=used / load.total * 1e6,
        generator=load.busy,
        upstream=worked / seconds,
        others=max(0.0, others - shared),
        by=load.generator,
    )


def _checked(subject: Subject, callers: int, load: Load) -> Load:
    if load.errors or not load.total:
        raise NotMeasured(f"{subject.name} at {callers} callers: {load.errors} errors, the first: {load.first_error}")
    return load


def measure_sync(stage: Stage, plan: Plan, say: Say, kept: list[Row]) -> float:
    """Throughput and latency of all rows, in turn, round after round; the memory of the server in MB when it had 64 callers and not yet more.

    Whole rounds go into ``kept`` as they end, so that a fault loses no more than its own.
    """
    subjects, busy = subjects_of(stage), 0.0
    order = _order(subjects)
    try:
        for number in range(1, plan.rounds + 1):
            samples: list[Sample] = []
            for name, callers, delay in order:
                stage.upstream.delay(delay)
                samples.append(measure_counted(stage, subjects[name], callers, plan))
                if not busy and (name, callers) == ("polyport sync", MOST_CALLERS):
                    busy = stage.polyport.served.process.memory()[0]
            if not kept:
                kept.extend(Row(name=name, callers=callers, delay=delay, samples=[]) for name, callers, delay in order)
            for row, sample in zip(kept, samples, strict=True):
                row.samples.append(sample)
            done = rows_by_key(kept)["polyport sync", MOST_CALLERS, 0].samples[-1]
            say(f"sync round {number} of {plan.rounds}: {done.rate:,.0f} runs/s at {MOST_CALLERS} callers")
    finally:
        stage.upstream.delay(0)
    return busy


def measure_counted(stage: Stage, subject: Subject, callers: int, plan: Plan) -> Sample:
    """Run a job; of runs as many have to arrive at the upstream as were answered, and no more than were asked for."""
    if not subject.counted:
        return call(stage, subject, callers, plan, warmup=plan.warmup)[1]
    if plan.warmup:
        call(stage, subject, callers, replace(plan, seconds=plan.warmup), warmup=0.0)
    before = stage.upstream.arrivals()
    load, sample = call(stage, subject, callers, plan, warmup=0.0)
    arrived = stage.upstream.arrivals() - before
    if not load.total <= arrived <= load.total + load.more + READS:
        raise NotMeasured(f"{subject.name}: {load.total} were answered, but {arrived} persons arrived at the upstream")
    return sample


def _order(subjects: Mapping[str, Subject]) -> list[tuple[str, int, int]]:
    """The jobs of a round by name, callers and the upstream's delay: what is compared stands side by side."""
    compared = [name for name in ("direct", "nginx", "forwarder", "polyport sync") if name in subjects]
    found = [(name, callers, 0) for callers in CALLERS for name in compared]
    found += [(UNRECORDED, MOST_CALLERS, 0)] if UNRECORDED in subjects else []
    found += [(name, callers, 0) for callers in CALLERS for name in ("polyport trigger", "polyport dry run")]
    return found + [(name, callers, SLOW_MS) for callers in DELAYED_CALLERS for name in compared]


def measure_async(stage: Stage, plan: Plan, say: Say, kept: list[Drain], paced: list[Paced]) -> None:
    """Accepting and working, round after round, into ``kept``; a forwarder's job before each. Then accepting at half of that, into ``paced``."""
    subjects = subjects_of(stage)
    for number in range(1, plan.rounds + 1):
        for callers in CALLERS:
            bare, _sample = call(stage, subjects["forwarder"], callers, plan, warmup=plan.warmup)
            kept.append(measure_drain(stage, subjects["polyport async"], callers, plan, bare.rate))
        done = next(drain for drain in reversed(kept) if drain.callers == MOST_CALLERS)
        paced.append(measure_paced(stage, subjects["polyport async"], plan, done.accepted / 2))
        say(
            f"async round {number} of {plan.rounds}: {done.accepted:,.0f} accepted/s, {done.finished:,.0f} finished/s; "
            f"p99 {paced[-1].p99:,.1f} ms at half of it"
        )
    for status in ("failed", "uncertain", "waiting"):
        if stage.polyport.count(status):
            raise NotMeasured(f"there are asynchronous runs that are {status}")


def measure_drain(stage: Stage, subject: Subject, callers: int, plan: Plan, forwarder: float) -> Drain:
    """Accept for a while, then wait until every accepted run has ended. What was accepted after its caller had gone counts as finished, not as accepted."""
    partner, meter = stage.upstream, Meter(subject.process, stage.processes())
    arrived = partner.arrivals()
    load, _sample = call(stage, subject, callers, plan, warmup=0.0)
    accepted_at, left = time.monotonic(), max(0, load.total - (partner.arrivals() - arrived))
    # The upstream is asked, not the server: watching shall cost what is watched nothing.
    while partner.arrivals() - arrived < load.total:
        if time.monotonic() > accepted_at + DRAIN_SECONDS:
            raise NotMeasured(f"{load.total - (partner.arrivals() - arrived)} of {load.total} accepted runs never arrived at the upstream")
        time.sleep(0.02)
    while stage.polyport.count("running") or stage.polyport.count("queued"):
        if time.monotonic() > accepted_at + DRAIN_SECONDS:
            raise NotMeasured("accepted runs arrived at the upstream and did not end")
        time.sleep(0.005)
    ended, finished = time.monotonic(), partner.arrivals() - arrived
    if not load.total <= finished <= load.total + load.more + READS:
        raise NotMeasured(f"{load.total} runs were accepted, but {finished} persons arrived at the upstream")
    return Drain(
        callers=callers,
        accepted=load.rate,
        finished=finished / (ended - load.began),
        # Fewer than a tenth left over tell nothing about a rate.
        draining=(left + finished - load.total) / (ended - accepted_at) if left > load.total / 10 else None,
        left=left,
        runs=finished,
        p50=load.p50,
        p99=load.p99,
        cpu_us=meter.used() / finished * 1e6,
        others=meter.others(),
        forwarder=forwarder,
    )


def measure_paced(stage: Stage, subject: Subject, plan: Plan, pace: float) -> Paced:
    """Accept at a pace, and work on what is accepted meanwhile."""
    meter = Meter(subject.process, stage.processes())
    job = replace(subject.job(MOST_CALLERS, plan.seconds), pace=pace, warmup=plan.warmup)
    load = _checked(subject, MOST_CALLERS, stage.generator.run(job))
    others = meter.others()
    stage.polyport.settle()
    return Paced(callers=MOST_CALLERS, pace=pace, accepted=load.rate, p50=load.p50, p99=load.p99, others=others)


def measure_starts(folder: Path, cores: Cores, count: int, say: Say) -> list[Restart]:
    """Start ``polyport serve`` on an empty data folder, and again on what it left there, several times, with nothing else at work."""
    found: list[Restart] = []
    with contextlib.ExitStack() as stack:
        upstream = start_upstream(stack, folder, cores.upstream)
        found += [measure_restart(folder, cores.server, upstream.port, f"start-{number}") for number in range(count)]
    say(f"starts: {', '.join(f'{each.empty.seconds:.2f} s, {each.first_run:.2f} s to the first run' for each in found)}")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A ratio of two rows, made round by round: the median, the lowest and the highest."""

    median: float
    lowest: float
    highest: float


def ratio_of(measured: Sequence[float], yardstick: Sequence[float]) -> Ratio:
    """Round by round, what was measured over the yardstick of the same round."""
    found = [one / other for one, other in zip(measured, yardstick, strict=True) if other]
    if not found:
        raise NotMeasured("the yardstick was never above 0")
    return Ratio(median=median(found), lowest=min(found), highest=max(found))


def rows_by_key(rows: Sequence[Row]) -> Mapping[tuple[str, int, int], Row]:
    """Rows by name, callers and delay."""
    return {(row.name, row.callers, row.delay): row for row in rows}
