"""Does a server grow? ``make bench ARGS=--memory``: a million synchronous runs by 64 callers, and its resident memory as they go by.

The first third is for what fills once: caches, pools, the allocator. What the other two thirds grow by, held against their length, is the verdict.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.__main__ import VAR
from bench.machine import Machine, describe_machine
from bench.measure import MOST_CALLERS, subjects_of
from bench.processes import NotMeasured, choose_cores
from bench.report import describe_shortly, table
from bench.servers import Stage, open_stage

RUNS: Final = 1_000_000
LOOKS: Final = 30
MOST_MB: Final = 2.0  # by which a hundred thousand runs may grow the server
_HUNDRED_THOUSAND: Final = 100_000
_METHOD: Final = f"""One server process at its defaults, a partner that answers at once, {MOST_CALLERS} callers that each send their next run when they have the answer, one run after
another without a pause. The resident memory of the process is read every few seconds. The first third fills what is filled once: caches, pools, the allocator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How many runs there were, and the memory of the server in MB."""

    runs: int
    mb: float


def main(arguments: Sequence[str]) -> int:
    """Run, look, print. 0 when the server does not grow, 1 when it does or could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="how many runs (default 1,000,000: some ten minutes, and 3 GB of disk)")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long between two looks (default 10)")
    parser.add_argument("--keep", type=Path, help="write the report into this folder too, as memory.md")
    given = parser.parse_args(arguments)
    VAR.mkdir(exist_ok=True)
    looks: list[Look] = []
    cores = choose_cores()
    machine = describe_machine(VAR, cores)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=VAR) as folder:
        try:
            with open_stage(Path(folder), cores) as stage:
                _run(stage, given.runs, given.seconds, looks)
        except (NotMeasured, OSError, KeyboardInterrupt) as error:
            print(f"it ended early: {error!r}", file=sys.stderr)
    if len(looks) < 4:
        return 1
    page = report(machine, looks)
    print(page)
    if given.keep is not None:
        given.keep.mkdir(parents=True, exist_ok=True)
        (given.keep / "memory.md").write_text(page, encoding="utf-8")
    return int(growth(looks) > MOST_MB)


def report(machine: Machine, looks: Sequence[Look]) -> str:
    """The page: machine, method, some of the looks, and the verdict."""
    step = max(1, len(looks) // LOOKS)
    shown = [look for index, look in enumerate(looks) if index % step == 0 or index == len(looks) - 1]
    rows = table(["runs", "memory MB"], [[f"{look.runs:,}", f"{look.mb:.1f}"] for look in shown])
    grown = growth(looks)
    verdict = f"After the first third: {grown:+.2f} MB for a hundred thousand runs; at most {MOST_MB:g} is allowed: {'it grows' if grown > MOST_MB else 'it does not grow'}."
    return "\n\n".join(["# Memory over many runs", describe_shortly(machine), _METHOD, verdict, rows]) + "\n"


def growth(looks: Sequence[Look]) -> float:
    """MB for a hundred thousand runs, by least squares over what follows the first third."""
    told = looks[len(looks) // 3 :]
    middle_runs, middle_mb = sum(look.runs for look in told) / len(told), sum(look.mb for look in told) / len(told)
    spread = sum((look.runs - middle_runs) ** 2 for look in told)
    slope = sum((look.runs - middle_runs) * (look.mb - middle_mb) for look in told) / spread if spread else 0.0
    return slope * _HUNDRED_THOUSAND


def _run(stage: Stage, runs: int, seconds: float, looks: list[Look]) -> None:
    subject, done = subjects_of(stage)["polyport sync"], 0
    while done < runs:
        load = stage.generator.run(subject.job(MOST_CALLERS, seconds))
        if load.errors or not load.total:
            raise NotMeasured(f"after {done:,} runs: {load.errors} errors, the first: {load.first_error}")
        done += load.total
        looks.append(Look(runs=done, mb=subject.process.memory()[0]))
        print(f"{done:,} of {runs:,} runs, {looks[-1].mb:.1f} MB", end="\r", file=sys.stderr, flush=True)
    print(file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
