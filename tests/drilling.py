"""What the drills of keys and backups have in common: a report that keeps promises and broken ones apart, and callers that go on until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.machine import describe_machine
from bench.processes import choose_cores

from e2e.depot import Bay
from e2e.starter import begin, ended

FINAL: Final = frozenset({"succeeded", "failed", "uncertain", "cancelled"})


@dataclass(slots=True)
class Report:
    """What is printed, and which promises were broken."""

    broken: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        """One line of the report."""
        print(line, flush=True)  # noqa: T201  drills are programs that print

    def check(self, what: str, found: Any, expected: Any) -> None:
        """One promise."""
        kept = found == expected
        self.say(f"  {'kept  ' if kept else 'BROKEN'}  {what}: {found}" + ("" if kept else f" (has to be {expected})"))
        if not kept:
            self.broken.append(what)


@dataclass(slots=True)
class Callers:
    """Calls of several kinds, again and again by several callers each. ``taken`` holds the milliseconds of every call with when it began."""

    taken: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _stopping: bool = False

    def begin(self, name: str, work: Callable[[], Awaitable[str]], callers: int) -> None:
        """Let callers do this until the end; ``work`` gives what went wrong, or nothing."""
        self.taken[name] = []
        self._tasks += [asyncio.create_task(self._go(name, work)) for _caller in range(callers)]

    async def _go(self, name: str, work: Callable[[], Awaitable[str]]) -> None:
        while not self._stopping:
            began = time.perf_counter()
            try:
                wrong = await work()
            except Exception as error:  # noqa: BLE001  whatever it is, a call failed
                wrong = f"{type(error).__name__}: {error}"
            self.taken[name].append((began, (time.perf_counter() - began) * 1000))
            if wrong:
                self.failed.append(f"{name}: {wrong}")

    async def end(self) -> None:
        """Let every caller end its call."""
        self._stopping = True
        await asyncio.gather(*self._tasks)

    def count(self) -> int:
        """How many calls ended."""
        return sum(map(len, self.taken.values()))

    def spread(self, begin: float, end: float) -> str:
        """Median, 99th percentile and longest of the calls that began within a time."""
        found = sorted(taken for calls in self.taken.values() for began, taken in calls if begin <= began < end)
        if not found:
            return "no call"
        return f"{len(found)} calls, p50 {found[len(found) // 2]:.0f} ms, p99 {found[int(len(found) * 0.99)]:.0f} ms, longest {found[-1]:.0f} ms"


async def polyport(*arguments: object) -> tuple[int, str, float]:
    """Run the program to its end: exit code, output, seconds."""
    with tempfile.TemporaryFile() as told:
        began = time.perf_counter()
        code = await ended(begin(arguments, env=os.environ, outputs=(told.fileno(), told.fileno())))
        seconds = time.perf_counter() - began
        told.seek(0)
        return code, told.read().decode(), seconds


async def read_records(bay: Bay) -> dict[str, dict[str, Any]]:
    """Every run on record, once all have ended or a minute went by."""
    async with asyncio.timeout(600):
        end = time.monotonic() + 60
        while True:
            found: dict[str, dict[str, Any]] = {}
            cursor = ""
            while True:
                page = (await bay.served.fetch("GET", f"/runs?per-page=100&cursor={cursor}")).json
                found |= {run["runId"]: run for run in page["data"]}
                if not page["meta"]["hasMore"]:
                    break
                cursor = page["meta"]["nextCursor"]
            if all(run["status"] in FINAL for run in found.values()) or time.monotonic() > end:
                return found
            await asyncio.sleep(0.5)


def run_drill(doc: str | None, drill: Callable[[Path, bool, Report], Awaitable[None]]) -> int:
    """Run a drill in a folder of its own, in full or (``--quick``) in short; the exit code."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--quick", action="store_true", help="the short form")
    quick, report = parser.parse_args().quick, Report()
    report.say((doc or "").partition("\n")[0])
    with tempfile.TemporaryDirectory() as folder:
        machine = describe_machine(Path(folder), choose_cores())
        report.say(
            f"{machine.date}, commit {machine.commit}, {machine.cpu}, {machine.cores} cores, {machine.memory_gb:.0f} GB, {machine.system}, "
            f"{machine.python}, fsync {machine.sync_ms:.1f} ms, load average {machine.load_average:.1f}"
        )
        asyncio.run(drill(Path(folder), quick, report))
    report.say(f"BROKEN: {len(report.broken)} promises" if report.broken else "All promises kept.")
    sys.stdout.flush()
    return 1 if report.broken else 0
