"""The peers' rows, in turn with Polyport's and the forwarder's; then the queues."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from bench.measure import MOST_CALLERS, Drain, Plan, Row, Say, Subject, call, measure_counted, measure_drain, subjects_of
from bench.peers.n8n import ENGINES, N8n
from bench.peers.node_red import start_node_red
from bench.peers.queues import STARTS, Batch
from bench.peers.week import start_week
from bench.processes import Cores, NotMeasured
from bench.servers import Stage, open_stage

CALLERS: Final = (1, MOST_CALLERS)
OURS: Final = ("forwarder", "polyport sync")
PEERS: Final = ("week", "node-red", "n8n", "queues")
JOBS: Final = 1_000
WARM: Final = 2
SLOW_SECONDS: Final = 5.0  # for what does some tens of runs a second


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Memory of a peer and its children in MB, after its start and after all that was asked of it."""

    name: str
    started: float
    loaded: float


@dataclass(slots=True, kw_only=True)
class Found:
    """What has been measured so far; ``missing`` names what could not be, and why."""

    rows: list[Row] = field(default_factory=list)
    sizes: list[Size] = field(default_factory=list)
    batches: dict[str, list[Batch]] = field(default_factory=dict)
    ours: list[Drain] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def measure_peers(folder: Path, cores: Cores, plan: Plan, wanted: Sequence[str], say: Say, found: Found) -> None:
    """Everything, into ``found`` as it comes."""
    with open_stage(folder, cores) as stage, contextlib.ExitStack() as stack:
        own = subjects_of(stage)
        subjects = [own[name] for name in OURS] + _start(stack, stage, folder, cores, wanted, say, found)
        started = {subject.process.name: (subject.process, subject.process.memory()[0]) for subject in subjects}
        keys = [(subject, callers) for callers in CALLERS for subject in subjects]
        for subject in subjects:  # what is compiled while it runs has to be: Node.js takes seconds to become fast
            with contextlib.suppress(NotMeasured, OSError):
                call(stage, subject, MOST_CALLERS, replace(plan, seconds=plan.seconds * WARM), warmup=0.0)
        for number in range(1, plan.rounds + 1):
            _round(stage, keys, plan, found)
            say(f"round {number} of {plan.rounds} of {len(keys)} rows is done")
        found.sizes += [Size(name=name, started=before, loaded=process.memory()[0]) for name, (process, before) in started.items()]
    if "queues" in wanted:
        _queues(folder, cores, plan, say, found)


def _start(
    stack: contextlib.ExitStack, stage: Stage, folder: Path, cores: Cores, wanted: Sequence[str], say: Say, found: Found
) -> list[Subject]:
    upstream, core = stage.upstream.port, cores.server
    starts: dict[str, tuple[str, Callable[[contextlib.ExitStack], list[Subject]]]] = {
        "week": ("week", lambda own: [start_week(own, folder, core, upstream)]),
        "node-red": ("node-red", lambda own: [start_node_red(own, folder, core, upstream)]),
    }
    n8n = N8n(folder, core, upstream)
    for engine in ENGINES:
        starts[f"n8n, {engine}"] = ("n8n", lambda own, engine=engine: n8n.start(own, engine))  # type: ignore[misc]  # a default binds the name
    subjects: list[Subject] = []
    for name, (peer, start) in starts.items():
        if peer not in wanted:
            continue
        say(f"starting {name}")
        try:
            with contextlib.ExitStack() as own:
                subjects += start(own)
                stack.enter_context(own.pop_all())
        except (NotMeasured, OSError) as error:
            found.missing.append(f"{name}: {error}")
            say(f"skipped: {name}: {error}")
    return subjects


def _round(stage: Stage, keys: Sequence[tuple[Subject, int]], plan: Plan, found: Found) -> None:
    """One sample of each row; a row that fails is dropped, with a word, and the rest go on."""
    known = {(row.name, row.callers): row for row in found.rows}
    failed = {name for name, _space, _why in (line.partition(": ") for line in found.missing)}
    for subject, callers in keys:
        if subject.name in failed:
            continue
        wanted = replace(plan, seconds=max(plan.seconds, SLOW_SECONDS)) if subject.whole and plan.seconds >= 1 else plan
        try:
            sample = measure_counted(stage, subject, callers, wanted)
        except (NotMeasured, OSError) as error:
            found.missing.append(f"{subject.name}: {error}")
            failed.add(subject.name)
            continue
        row = known.get((subject.name, callers))
        if row is None:
            row = Row(name=subject.name, callers=callers, samples=[])
            found.rows.append(row)
        row.samples.append(sample)
    found.rows = [row for row in found.rows if row.name not in failed]


def _queues(folder: Path, cores: Cores, plan: Plan, say: Say, found: Found) -> None:
    jobs = JOBS if plan.seconds >= 1 else JOBS // 10
    for name, start in STARTS.items():
        try:
            with contextlib.ExitStack() as stack:
                queue = start(stack, folder, cores)
                queue.run(jobs // 10, cores.load)
                found.batches[name] = [queue.run(jobs, cores.load) for _round in range(plan.rounds)]
        except (NotMeasured, OSError) as error:
            found.missing.append(f"{name}: {error}")
            say(f"skipped: {name}: {error}")
            continue
        say(f"{name}: {found.batches[name][-1].finished:,.0f} jobs/s")
    home = folder / "polyport-queue"
    home.mkdir()
    with open_stage(home, cores) as stage:
        subjects = subjects_of(stage)
        call(stage, subjects["polyport sync"], 1, plan, warmup=0.0)
        for _round in range(plan.rounds):
            bare, _sample = call(stage, subjects["forwarder"], MOST_CALLERS, plan, warmup=plan.warmup)
            found.ours.append(measure_drain(stage, subjects["polyport async"], MOST_CALLERS, plan, bare.rate))
