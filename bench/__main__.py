"""``make bench``: measure Polyport on this machine, print a report, keep it under ``bench/results``."""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from bench.catalogue import Loaded
from bench.machine import describe_machine
from bench.measure import Drain, Memory, Paced, Plan, Row, measure_async, measure_starts, measure_sync
from bench.micro import Micro
from bench.processes import ROOT, Cores, NotMeasured, choose_cores, pinned
from bench.report import Results, write_report
from bench.scale import main as measure_catalogue
from bench.servers import Restart, open_stage

RESULTS: Final = ROOT / "bench" / "results"
# The measured server writes to the project's own disk: a folder in memory would make its records cheaper than they are.
VAR: Final = ROOT / "var"
STARTS: Final = 3
PARTS: Final = ("sync", "async", "micro")


@dataclass(slots=True, kw_only=True)
class _Found:
    """What has been measured so far."""

    sync: list[Row] = field(default_factory=list)
    asynchronous: list[Drain] = field(default_factory=list)
    paced: list[Paced] = field(default_factory=list)
    memory: Memory | None = None
    starts: list[Restart] = field(default_factory=list)
    micro: Micro | None = None
    catalogue: Loaded | None = None
    missing: list[str] = field(default_factory=list)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="some two minutes: shorter and fewer rounds, rougher figures")
    parser.add_argument("--seconds", type=float, help="seconds of one job (default 2)")
    parser.add_argument("--rounds", type=int, help="rounds (default 5)")
    parser.add_argument("--only", choices=PARTS, help="only one part")
    parser.add_argument(
        "--catalogue", action="store_true", help="instead: a catalogue of 1,500 partners, made from the descriptions in POLYPORT_CORPUS"
    )
    parser.add_argument("--keep", type=Path, help="write the report into this folder too, as runs.md")
    parser.add_argument(
        "--memory",
        action="store_true",
        help="instead: memory over a million runs; what else is given goes to python -m bench.memory, which see",
    )
    parser.add_argument(
        "--growth", action="store_true", help="instead: curves; what else is given goes to python -m bench.growth, which see"
    )
    given = parser.parse_args(arguments)
    if (given.seconds is not None and not 0.1 <= given.seconds <= 600) or (given.rounds is not None and not 1 <= given.rounds <= 1000):
        parser.error("--seconds takes 0.1 to 600, --rounds 1 to 1000")
    return given


def _plan(given: argparse.Namespace) -> Plan:
    seconds = given.seconds or (0.5 if given.quick else 2.0)
    rounds = given.rounds or (2 if given.quick else 5)
    return Plan(seconds=seconds, warmup=min(0.3, seconds / 4), rounds=rounds)


def _measure_throughput(found: _Found, plan: Plan, only: str | None, folder: Path, cores: Cores) -> None:
    try:
        with open_stage(folder, cores, unrecorded=True) as stage:
            process = stage.polyport.served.process
            (started, _peak), busy = process.memory(), 0.0
            try:
                if only != "async":
                    with _noting(found, folder):
                        busy = measure_sync(stage, plan, _say, found.sync)
                        stage.polyport.settle()
                if only != "sync":
                    with _noting(found, folder):
                        measure_async(stage, plan, _say, found.asynchronous, found.paced)
            finally:
                loaded, peak = process.memory()
                found.memory = Memory(started=started, busy=busy, loaded=loaded, peak=peak) if loaded else None
    except (NotMeasured, OSError) as error:
        found.missing.append(_with_log(error, folder))


@contextlib.contextmanager
def _noting(found: _Found, folder: Path) -> Iterator[None]:
    """What cannot be measured in here is noted, and the rest goes on."""
    try:
        yield
    except NotMeasured as error:
        found.missing.append(_with_log(error, folder))


def _with_log(error: Exception, folder: Path) -> str:
    """The error, and what the server said last."""
    try:
        lines = (folder / "polyport.log").read_text("utf-8", errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return f"{error} (the server said last: {lines[-1][:500] if lines else 'nothing'})"


def _measure_micro(found: _Found, cores: Cores) -> None:
    try:
        found.micro = msgspec.json.decode(_run_alone("bench.micro", cores), type=Micro)
        found.catalogue = msgspec.json.decode(_run_alone("bench.catalogue", cores), type=Loaded)
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError) as error:
        found.missing.append(f"the single steps: {error}")


def _run_alone(module: str, cores: Cores) -> bytes:
    """What a program of the benchmark prints, in a process of its own on the server's core."""
    with pinned(cores.server):
        return subprocess.run([sys.executable, "-m", module], cwd=ROOT, capture_output=True, check=True, timeout=300).stdout


def _measure_parts(found: _Found, plan: Plan, only: str | None, folder: Path, cores: Cores) -> None:
    if only in {None, "sync", "async"}:
        _measure_throughput(found, plan, only, folder, cores)
    if only is None:
        try:
            found.starts = measure_starts(folder, cores, min(plan.rounds, STARTS), _say)
        except (NotMeasured, OSError) as error:
            found.missing.append(f"starts: {_with_log(error, folder)}")
    if only in {None, "micro"}:
        _measure_micro(found, cores)


def _measure(plan: Plan, only: str | None, folder: Path) -> Results:
    cores, found = choose_cores(), _Found()
    machine = describe_machine(folder, cores)
    _say(f"server on core {cores.server}, upstream on core {cores.upstream}, callers on core {cores.load}; data in {folder}")
    try:
        _measure_parts(found, plan, only, folder, cores)
    except KeyboardInterrupt:
        found.missing.append("the rest: it was interrupted")
    return Results(
        machine=machine,
        plan=plan,
        sync=found.sync,
        asynchronous=found.asynchronous,
        paced=found.paced,
        memory=found.memory,
        starts=found.starts,
        micro=found.micro,
        catalogue=found.catalogue,
        missing=found.missing,
    )


def _measure_growth(arguments: Sequence[str]) -> int:
    from bench.growth.__main__ import main as measure  # noqa: PLC0415  it imports this module

    return measure(arguments)


def _measure_memory(arguments: Sequence[str]) -> int:
    from bench.memory import main as measure  # noqa: PLC0415  it imports this module

    return measure(arguments)


def main(arguments: Sequence[str]) -> int:
    """Measure and report. 0 when everything could be measured, whatever the figures; 1 when something could not."""
    if sys.platform != "linux":
        print("The benchmark pins processes to cores and reads /proc: it needs Linux.", file=sys.stderr)
        return 1
    for name, measure in (("--growth", _measure_growth), ("--memory", _measure_memory)):
        if name in arguments:
            return measure([argument for argument in arguments if argument != name])
    given = _options(arguments)
    VAR.mkdir(exist_ok=True)
    if given.catalogue:
        return measure_catalogue()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=VAR) as folder:
        results = _measure(_plan(given), given.only, Path(folder))
    report = write_report(results)
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / time.strftime("%Y-%m-%d-%H%M%S.json")
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results)) + b"\n")
    path.with_suffix(".md").write_text(report, "utf-8")
    if given.keep is not None:
        given.keep.mkdir(parents=True, exist_ok=True)
        (given.keep / "runs.md").write_text(report, "utf-8")
    print(report)
    print(f"Kept in {path.relative_to(ROOT)} and {path.with_suffix('.md').relative_to(ROOT)}")
    return 1 if results.missing else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
