"""What the peers did, as a page to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from bench.machine import Machine
from bench.measure import MOST_CALLERS, Plan, Row, ratio_of
from bench.peers.install import N8N, NODE, NODE_RED, QUEUES
from bench.peers.measure import Found
from bench.report import describe, show_count, show_ratio, show_spread, table

METHOD: Final = """\
The same work everywhere: a caller with a token posts a person; the service looks up the stored credential, posts the person to the partner (nginx, instant) and
answers with what the partner said. All servers share one core, one at work at a time; upstream and callers have the rest. The rows take turns, round after round:
a figure is the median of its rounds, a ratio is made within each round, brackets hold the lowest and the highest. What arrived at the partner is counted: as
many as were answered, or the row is dropped. CPU is user and system time of the server and its children. n8n and Node-RED are as npm installs them, telemetry
off; n8n keeps its data in SQLite, which is how it comes. "others" is what programs that have no part in this took of the server's core.

Node-RED keeps no record, checks no input and stores its credential in a file; with the flow off the disk, a run that a crash cuts has never been.
The week service writes a row before and after the call and checks the input's shape; it has no repeat protection, no retries, no recovery after a crash.
n8n "saving" keeps each run's data after it ended; "not saving" keeps none. "vm" is its default engine for expressions, "legacy" its former one.
Polyport does all that `make bench` lists: validation against the account's own fields, the record before and after the call on the disk, sealed.

The queues' job does nothing: what is measured is the queue. Polyport's run is a whole one, with the call to the partner, and is accepted over HTTP with a token;
the jobs are put by a program on the other core that calls the library. Celery takes a job from the queue when it is done (acks_late), with its default pool;
procrastinate works on 16 jobs at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerResults:
    """One comparison."""

    machine: Machine
    plan: Plan
    versions: dict[str, str]
    found: Found


def versions() -> dict[str, str]:
    """What was pinned."""
    return {"Node.js": NODE[1], "Node-RED": NODE_RED[1], "n8n": N8N[1], **QUEUES}


def write_peers(results: PeerResults) -> str:
    """The whole page."""
    found = results.found
    told = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    parts = ["# Polyport beside its peers", f"{describe(results.machine, results.plan)}\n- {told}"]
    if found.rows:
        parts += ["## One run, asked for and answered", _rows(found.rows)]
    if found.sizes:
        lines = [[each.name, f"{each.started:.0f}", f"{each.loaded:.0f}"] for each in found.sizes]
        parts += ["## Memory, MB", table(["", "after its start", "after the load"], lines)]
    if found.batches or found.ours:
        parts += ["## Accepted and worked off", _queues(found)]
    if found.missing:
        parts += ["## Not measured", "\n".join(f"- {reason}" for reason in found.missing)]
    return "\n\n".join([*parts, "## Method", f"```\n{METHOD}\n```"]) + "\n"


def _rows(rows: Sequence[Row]) -> str:
    known = {(row.name, row.callers): row for row in rows}
    lines: list[list[str]] = []
    for row in sorted(rows, key=lambda row: row.callers):
        samples, ours = row.samples, known.get(("polyport sync", row.callers))
        beside = ours is not None and row.name != "polyport sync" and len(ours.samples) == len(samples)
        lines.append(
            [
                str(row.callers),
                row.name,
                show_spread([sample.rate for sample in samples]),
                f"{median(sample.p50 for sample in samples):.2f}",
                f"{median(sample.p99 for sample in samples):.2f}",
                f"{median(sample.cpu_us for sample in samples):,.0f}",
                _times([one.rate for one in ours.samples], [sample.rate for sample in samples]) if beside and ours else "",
                _times([sample.cpu_us for sample in samples], [one.cpu_us for one in ours.samples]) if beside and ours else "",
                f"{median(sample.others for sample in samples):.0%}",
            ]
        )
    return table(
        ["callers", "row", "runs/s", "p50 ms", "p99 ms", "CPU us each", "Polyport's rate over it", "its CPU over Polyport's", "others"],
        lines,
    )


def _times(ours: Sequence[float], theirs: Sequence[float]) -> str:
    return show_ratio(ratio_of(ours, theirs))


def _queues(found: Found) -> str:
    lines = [
        [
            name,
            show_spread([batch.accepted for batch in batches]),
            show_spread([batch.finished for batch in batches]),
            show_count(median(batch.cpu_us for batch in batches)),
        ]
        for name, batches in found.batches.items()
    ]
    if ours := found.ours:
        lines.append(
            [
                f"Polyport, whole runs, {MOST_CALLERS} callers",
                show_spread([each.accepted for each in ours]),
                show_spread([each.finished for each in ours]),
                show_count(median(each.cpu_us for each in ours)),
            ]
        )
    return table(["", "accepted/s", "finished/s", "CPU us each"], lines)
