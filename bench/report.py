"""What was measured, as a page to read: Markdown whose tables also line up on a screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from bench.catalogue import MEGABYTES, SECONDS, Loaded
from bench.machine import Machine
from bench.measure import MOST_CALLERS, UNRECORDED, Drain, Memory, Paced, Plan, Ratio, Row, ratio_of, rows_by_key
from bench.micro import Micro
from bench.servers import Restart

# With more than this share of the server's core gone to other programs, rates, ratios and times are not the server's own any more.
DISTURBED: Final = 0.1
METHOD: Final = """\
One server process on a core of its own; upstream (nginx) and load generator (wrk) on the rest; where these are not installed, our own do their work. Each
caller keeps one connection and sends its next request when it has the answer. The rows take turns, round after round; a figure is the median of its rounds, a
ratio is made within each round, and what stands in brackets are the lowest and the highest. An answer with an error ends the measurement, and what arrived at
the upstream is counted: as many as runs were answered, or it is none. "CPU us each" is user and system time of the server for one answer; "by CPU time" is the
forwarder's over this row's, the ratio that other programs on the machine disturb least. "upstream ms" is what the upstream lets pass before it answers;
"added" is over calling it directly. "generator" and "upstream" are their shares of their core: near 100 % together, they are the limit and not what is
measured. "others" is what programs that have no part in this took of the server's core.

direct            the callers straight at the upstream: what the load generator and the upstream can do
nginx             as a proxy: one worker, kept connections, posts the body to the upstream
forwarder         raw ASGI on uvicorn, aiohttp: posts the body to the upstream, gives the answer back; no JSON, no authentication, no checks, no record
polyport sync     POST run/sync of Pipedrive's "create a person": token, sealed connection, schema with custom fields, e-mail and phone rows, the call,
                  the answer read, run and attempt sealed and on the disk (fdatasync) before the answer
polyport dry run  the same without sending and without a record
polyport trigger  POST run/sync of "new persons": ten items read, mapped, recorded; nothing is changed at the partner
polyport          the same server without its record (bench/unrecorded.py): nothing of a run is sealed or written. What "polyport sync" costs more than this
unrecorded        is what the record adds
polyport async    POST run/async: accepted is on the disk; finished is worked off by the same process, on the same core"""


_PACED: Final = """\
The same at half of what was accepted just before at this number of callers: they send at set times, and a latency counts from when the run was to be sent.
What is accepted is worked on meanwhile, on the same core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """One benchmark. What was not asked for is empty; ``missing`` names what could not be measured, and why."""

    machine: Machine
    plan: Plan
    sync: list[Row] = field(default_factory=list)
    asynchronous: list[Drain] = field(default_factory=list)
    paced: list[Paced] = field(default_factory=list)
    memory: Memory | None = None
    starts: list[Restart] = field(default_factory=list)
    micro: Micro | None = None
    catalogue: Loaded | None = None
    missing: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What is aimed at, what was measured, and what that means. There is no verdict where other programs took too much of the server's core."""

    title: str
    wanted: str
    measured: str
    verdict: str


def rate_ratio(rows: Sequence[Row], name: str, callers: int, delay: int = 0) -> Ratio:
    """Answers/s of a row over those of the forwarder."""
    known = rows_by_key(rows)
    own, bare = known[name, callers, delay].samples, known["forwarder", callers, delay].samples
    return ratio_of([sample.rate for sample in own], [sample.rate for sample in bare])


def added_ms(rows: Sequence[Row], name: str, callers: int, delay: int) -> tuple[float, float]:
    """What a row adds to the median latency and to the 99th percentile of calling the upstream directly, in ms."""
    known = rows_by_key(rows)
    pairs = list(zip(known[name, callers, delay].samples, known["direct", callers, delay].samples, strict=True))
    return median(own.p50 - bare.p50 for own, bare in pairs), median(own.p99 - bare.p99 for own, bare in pairs)


def cpu_ratio(rows: Sequence[Row], name: str, callers: int, delay: int = 0) -> Ratio:
    """CPU time of the forwarder for an answer over that of a row: what the first ratio would be with a core of one's own."""
    known = rows_by_key(rows)
    own, bare = known[name, callers, delay].samples, known["forwarder", callers, delay].samples
    return ratio_of([sample.cpu_us for sample in bare], [sample.cpu_us for sample in own])


def _drained(rounds: Sequence[Drain]) -> list[float]:
    return [found.draining if found.draining is not None else found.finished for found in rounds]


def find_aims(results: Results) -> list[Aim]:
    """The aims of this version, as far as they were measured."""
    aims: list[Aim] = []

    def add(title: str, value: float, limit: float, show: Callable[[float], str], *, least: bool = True, others: float = 0.0) -> None:
        reached = value >= limit if least else value < limit
        verdict = "reached" if reached else "not reached"
        if others > DISTURBED:
            verdict = f"no verdict: others took {others:.0%}"
        aims.append(Aim(title=title, wanted=f"{'at least' if least else 'under'} {show(limit)}", measured=show(value), verdict=verdict))

    if rows := results.sync:
        known = rows_by_key(rows)
        pair = [known[name, MOST_CALLERS, 0].samples for name in ("polyport sync", "forwarder")]
        others = max(median(sample.others for sample in samples) for samples in pair)
        title = f"sync at {MOST_CALLERS} callers, of the forwarder"
        for aim in (0.45, 0.60):
            add(title, rate_ratio(rows, "polyport sync", MOST_CALLERS).median, aim, _whole_percent, others=others)
            add("the same by CPU time", cpu_ratio(rows, "polyport sync", MOST_CALLERS).median, aim, _whole_percent)
        added, bare = (added_ms(rows, name, 1, 0)[0] for name in ("polyport sync", "forwarder"))
        add("added p50 at one caller, times the forwarder's", added / bare, 2.0, "{:.1f}".format, least=False, others=others)
        cost = median(sample.cpu_us for sample in known["polyport sync", MOST_CALLERS, 0].samples)
        add("CPU of a synchronous run, us", cost, 300, show_count, least=False)
        if (UNRECORDED, MOST_CALLERS, 0) in known:
            bare_us = median(sample.cpu_us for sample in known[UNRECORDED, MOST_CALLERS, 0].samples)
            add("what the record adds to that", cost / bare_us - 1, 0.25, _whole_percent, least=False)
    if rounds := [found for found in results.asynchronous if found.callers == MOST_CALLERS]:
        others = median(found.others for found in rounds)
        add("async, accepted/s", median(found.accepted for found in rounds), 8000, show_count, others=others)
        add("async, finished/s", median(_drained(rounds)), 4000, show_count, others=others)
    if paced := results.paced:
        others = median(found.others for found in paced)
        add(
            "async, p99 of an acceptance at half of that load, ms",
            median(found.p99 for found in paced),
            20.0,
            "{:.1f}".format,
            least=False,
            others=others,
        )
    if results.memory is not None and results.memory.busy:
        add(f"memory of the server at {MOST_CALLERS} callers, MB", results.memory.busy, 120, show_count, least=False)
    if starts := results.starts:
        others = median(start.empty.others for start in starts)
        add(
            "first answer after the start, s",
            median(start.empty.seconds for start in starts),
            2.0,
            "{:.2f}".format,
            least=False,
            others=others,
        )
    if (many := results.catalogue) is not None:
        title = f"loading {many.partners} partners of {many.files} files"
        add(f"{title}, s", many.seconds, SECONDS, "{:.2f}".format, least=False)
        add(f"{title}, MB", many.mb, MEGABYTES, show_count, least=False)
    return aims


def _whole_percent(value: float) -> str:
    return f"{value:.0%}"


def show_count(value: float) -> str:
    return f"{value:,.0f}"


def write_report(results: Results) -> str:
    """The whole page."""
    parts = ["# Polyport benchmark", describe(results.machine, results.plan)]
    if aims := find_aims(results):
        rows = [[aim.title, aim.wanted, aim.measured, aim.verdict] for aim in aims]
        parts += ["## Aims", table(["", "aim", "measured", ""], rows)]
    if results.sync:
        parts += ["## Synchronous runs", _sync(results.sync)]
    if results.asynchronous:
        parts += ["## Asynchronous runs", _async(results.asynchronous)]
    if results.paced:
        parts += [_PACED, _paced(results.paced)]
    if results.memory is not None or results.starts:
        parts += ["## The process", _process(results)]
    if results.micro is not None:
        parts += ["## Steps of a run, CPU time on one core", _micro(results.micro)]
    if results.missing:
        parts += ["## Not measured", "\n".join(f"- {reason}" for reason in results.missing)]
    parts += ["## Method", f"```\n{METHOD}\n```"]
    return "\n\n".join(parts) + "\n"


def describe(machine: Machine, plan: Plan) -> str:
    """The machine and the plan, as a list."""
    return f"{describe_shortly(machine)}\n- {plan.rounds} rounds of {plan.seconds:g} s for each row, {plan.warmup:g} s to warm up"


def describe_shortly(machine: Machine) -> str:
    """The machine, as a list."""
    libraries = ", ".join(f"{name} {version}" for name, version in machine.libraries.items())
    tools = ", ".join(f"{name} {version}" for name, version in machine.tools.items()) or "upstream and load generator are our own"
    place = (
        f"server on core {machine.server_core}, upstream on core {machine.upstream_core}, callers on core {machine.load_core}"
        if machine.server_core != machine.load_core
        else "ONE core for everything: the figures are those of server, upstream and callers together"
    )
    return "\n".join(
        [
            f"- {machine.date}, commit {machine.commit or 'unknown'}",
            f"- {machine.cpu}, {machine.cores} cores, {machine.memory_gb:.0f} GB, {machine.system}; {place}",
            f"- {machine.python}; {libraries}; {tools}",
            f"- load average before: {machine.load_average:.2f}; 4 KiB on the disk of the data folder: {machine.sync_ms:.2f} ms",
        ]
    )


def _sync(rows: Sequence[Row]) -> str:
    lines: list[list[str]] = []
    for row in sorted(rows, key=lambda row: (row.delay, row.callers)):
        rates = [sample.rate for sample in row.samples]
        beside = row.name not in {"direct", "forwarder"}
        shown = [
            str(row.delay),
            str(row.callers),
            row.name,
            show_spread(rates),
            f"{median(sample.p50 for sample in row.samples):.2f}",
            f"{median(sample.p99 for sample in row.samples):.2f}",
            *(f"{added:.2f}" if row.name != "direct" else "" for added in added_ms(rows, row.name, row.callers, row.delay)),
            f"{median(sample.cpu_us for sample in row.samples):.0f}",
            show_percent(rate_ratio(rows, row.name, row.callers, row.delay)) if beside else "",
            show_percent(cpu_ratio(rows, row.name, row.callers, row.delay)) if beside else "",
            f"{median(sample.generator for sample in row.samples):.0%}",
            f"{median(sample.upstream for sample in row.samples):.0%}",
            f"{median(sample.others for sample in row.samples):.0%}",
        ]
        lines.append(shown)
    head = [
        "upstream ms",
        "callers",
        "row",
        "answers/s",
        "p50 ms",
        "p99 ms",
        "added p50 ms",
        "added p99 ms",
        "CPU us each",
        "of the forwarder",
        "by CPU time",
        "generator",
        "upstream",
        "others",
    ]
    return table(head, lines)


def _async(rounds: Sequence[Drain]) -> str:
    lines: list[list[str]] = []
    for callers in sorted({found.callers for found in rounds}):
        own = [found for found in rounds if found.callers == callers]
        bare = [found.forwarder for found in own]
        draining = [found.draining for found in own if found.draining is not None]
        lines.append(
            [
                str(callers),
                show_spread([found.accepted for found in own]),
                show_percent(ratio_of([found.accepted for found in own], bare)),
                show_spread([found.finished for found in own]),
                show_percent(ratio_of([found.finished for found in own], bare)),
                show_spread(draining) if draining else "nothing was left",
                f"{median(found.left for found in own):,.0f} of {median(found.runs for found in own):,.0f}",
                f"{median(found.p50 for found in own):.2f}",
                f"{median(found.p99 for found in own):.2f}",
                show_spread([found.cpu_us for found in own]),
                f"{median(found.others for found in own):.0%}",
            ]
        )
    head = [
        "callers",
        "accepted/s",
        "of the forwarder",
        "finished/s, first accept to last finish",
        "of the forwarder",
        "finished/s, after the last accept",
        "left at the last accept",
        "accept p50 ms",
        "accept p99 ms",
        "CPU us a run, accepted and worked on",
        "others",
    ]
    return table(head, lines)


def _paced(rounds: Sequence[Paced]) -> str:
    shown = [
        str(rounds[0].callers),
        show_spread([found.pace for found in rounds]),
        show_spread([found.accepted for found in rounds]),
        show_spread([found.p50 for found in rounds], ".1f"),
        show_spread([found.p99 for found in rounds], ".1f"),
        f"{median(found.others for found in rounds):.0%}",
    ]
    return table(["callers", "asked for/s", "accepted/s", "accept p50 ms", "accept p99 ms", "others"], [shown])


def _process(results: Results) -> str:
    lines: list[list[str]] = []
    if results.memory is not None:
        memory = results.memory
        lines += [
            ["memory after the start", f"{memory.started:.0f} MB"],
            *([[f"memory at {MOST_CALLERS} callers", f"{memory.busy:.0f} MB"]] if memory.busy else []),
            ["memory after the load", f"{memory.loaded:.0f} MB"],
            ["memory at its highest", f"{memory.peak:.0f} MB"],
        ]
    if results.starts:
        lines += [
            ["start to first answer, empty data folder", f"{show_spread([start.empty.seconds for start in results.starts], '.2f')} s"],
            ["its CPU time", f"{show_spread([start.empty.cpu for start in results.starts], '.2f')} s"],
            ["start to first answer, the same folder again", f"{show_spread([start.again.seconds for start in results.starts], '.2f')} s"],
            ["and to the answer of the first run", f"{show_spread([start.first_run for start in results.starts], '.2f')} s"],
            ["others meanwhile", f"{median(start.empty.others for start in results.starts):.0%}"],
        ]
    return table(["", ""], lines)


def _micro(micro: Micro) -> str:
    lines = [[step.name, f"{step.median:.1f} [{step.lowest:.1f} - {step.highest:.1f}]"] for step in micro.steps]
    loaded = f"{micro.partners} partners with {micro.operations} operations: loaded in {micro.load_seconds * 1000:.0f} ms, {micro.load_mb:.1f} MB"
    return table(["step", "us"], lines) + "\n\n" + loaded


def show_spread(values: Sequence[float], form: str = ",.0f") -> str:
    return f"{median(values):{form}} [{min(values):{form}} - {max(values):{form}}]"


def show_ratio(ratio: Ratio) -> str:
    """A ratio that says how many times."""
    return f"{_short(ratio.median)} [{_short(ratio.lowest)} - {_short(ratio.highest)}]"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 else f"{value:.1f}" if value >= 2 else f"{value:.2f}"


def show_percent(ratio: Ratio) -> str:
    return f"{ratio.median:.0%} [{ratio.lowest:.0%} - {ratio.highest:.0%}]"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[index]) for row in [head, *rows]) for index in range(len(head))]
    rule = ["-" * max(3, width) for width in widths]
    shown = [" | ".join(cell.ljust(max(3, width)) for cell, width in zip(row, widths, strict=True)) for row in [head, rule, *rows]]
    return "\n".join(f"| {line} |" for line in shown)
