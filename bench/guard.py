"""Is a run as cheap as it was? ``python -m bench.guard``: CPU time of a run over that of the bare forwarder, measured in turn in the same minute.

A ratio of CPU times says the same on a slow machine and on a busy one, within a third or so; the bounds are twice what was measured when they were set. It
ends with 1 when a bound is passed three times: something on the way of every run has become much dearer.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Final

from bench.__main__ import VAR
from bench.measure import MOST_CALLERS, Plan, call, subjects_of
from bench.processes import NotMeasured, choose_cores
from bench.servers import open_stage

PLAN: Final = Plan(seconds=0.4, warmup=0.05, rounds=5)
TRIES: Final = 3
# How many times the forwarder's CPU time an answer may cost.
BOUNDS: Final[Mapping[str, float]] = {"polyport sync": 7.0, "polyport async": 9.0}


def main() -> int:
    """Measure, print, compare; what is over its bound is measured again before it counts: a machine that is full makes ratios uneven."""
    VAR.mkdir(exist_ok=True)
    for _try in range(TRIES):
        with tempfile.TemporaryDirectory(prefix="bench-", dir=VAR) as folder:
            try:
                found = _measure(Path(folder))
            except (NotMeasured, OSError) as error:
                print(f"not measured: {error}", file=sys.stderr)
                return 1
        for name, ratios in found.items():
            told = f"{median(ratios):.1f} [{min(ratios):.1f} - {max(ratios):.1f}] times the forwarder's CPU time, at most {BOUNDS[name]:g}"
            print(f"{name}: {told}")
        if all(median(ratios) <= BOUNDS[name] for name, ratios in found.items()):
            return 0
    return 1


def _measure(folder: Path) -> dict[str, list[float]]:
    """The ratios of each round. What was accepted is worked off before the next job is measured."""
    found: dict[str, list[float]] = {name: [] for name in BOUNDS}
    with open_stage(folder, choose_cores()) as stage:
        subjects = subjects_of(stage)
        for name in ("forwarder", *BOUNDS):  # what is compiled and connected once is not a run's
            call(stage, subjects[name], MOST_CALLERS, PLAN, warmup=0.0)
        stage.polyport.settle()
        for _round in range(PLAN.rounds):
            _load, bare = call(stage, subjects["forwarder"], MOST_CALLERS, PLAN, warmup=PLAN.warmup)
            for name, ratios in found.items():
                before = stage.polyport.served.process.cpu_seconds()
                load, _sample = call(stage, subjects[name], MOST_CALLERS, PLAN, warmup=PLAN.warmup)
                stage.polyport.settle()
                ratios.append((stage.polyport.served.process.cpu_seconds() - before) / load.total * 1e6 / bare.cpu_us)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
