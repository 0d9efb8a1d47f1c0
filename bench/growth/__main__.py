"""``make bench ARGS=--growth``: measure curves, draw them, keep them. What was measured is kept after each curve."""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from bench.__main__ import RESULTS, VAR
from bench.growth.curves import CURVES, Setting
from bench.growth.fit import verdict
from bench.growth.picture import draw
from bench.growth.served import CALLERS, ROUNDS, Point
from bench.machine import Machine, describe_machine
from bench.processes import NotMeasured, choose_cores
from bench.report import describe_shortly, table

STORED: Final = 1_000_000.0
METHOD: Final = f"""\
Each point is a server with that much of the one thing and little of the others, {CALLERS} callers, a partner that answers at once, and medians of {ROUNDS} rounds in
turn after one that does not count. What is held to be flat, linear or steeper is the CPU time (user and system) of the server for a run: it is what other
programs on the machine disturb least. "others" is what programs that have no part in this took of the server's core; rates and latencies suffer from them."""


@dataclass(slots=True, kw_only=True)
class Grown:
    """What has been measured so far, each curve where and when it was (``made``); ``missing`` names what could not be, and why."""

    machine: Machine
    made: dict[str, Machine] = field(default_factory=dict)
    curves: dict[str, list[Point]] = field(default_factory=dict)
    verdicts: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def main(arguments: Sequence[str]) -> int:
    """Measure, draw, keep. 0 when every curve could be measured and none is steeper than linear; 1 else."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--only", help=f"which curves, with commas between: {', '.join(CURVES)} (default: all)")
    parser.add_argument("--most", type=float, help="the largest number of anything (default: 1,000,000 stored runs, all else in full)")
    parser.add_argument("--seconds", type=float, default=1.0, help="seconds of one job (default 1)")
    parser.add_argument("--keep", type=Path, help="write page and pictures into this folder, in place of those of the same curves")
    parser.add_argument("--into", type=Path, default=RESULTS, help="where figures are kept (default bench/results)")
    given = parser.parse_args(arguments)
    wanted = given.only.split(",") if given.only else list(CURVES)
    if unknown := sorted(set(wanted) - set(CURVES)):
        parser.error(f"there is no curve {', '.join(unknown)}")
    if not 0.1 <= given.seconds <= 600 or not 1 <= (given.most or 1) <= 1e9:
        parser.error("--seconds takes 0.1 to 600, --most 1 to 1e9")
    VAR.mkdir(exist_ok=True)
    given.into.mkdir(parents=True, exist_ok=True)
    cores = choose_cores()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=VAR) as folder:
        grown = Grown(machine=describe_machine(Path(folder), cores))
    path = given.into / time.strftime("growth-%Y-%m-%d-%H%M%S.json")
    for name in wanted:
        with tempfile.TemporaryDirectory(prefix="bench-", dir=VAR) as folder:
            setting = Setting(
                folder=Path(folder), cores=cores, seconds=given.seconds, most=given.most or math.inf, stored=given.most or STORED
            )
            if not _measure(name, setting, grown):
                break
        path.write_bytes(msgspec.json.format(msgspec.json.encode(grown)) + b"\n")
    if given.keep is not None:
        keep(grown, given.keep)
    print(_page(grown, pictures=False))
    print(f"Kept in {path}")
    return int(bool(grown.missing) or any(told.startswith("steeper") for told in grown.verdicts.values()))


def _measure(name: str, setting: Setting, grown: Grown) -> bool:
    """Measure a curve; whether to go on."""
    began = time.monotonic()
    try:
        points = CURVES[name].measure(setting)
    except (NotMeasured, OSError) as error:
        grown.missing.append(f"{name}: {error}")
        print(f"{name}: not measured: {error}", file=sys.stderr, flush=True)
        return True
    except KeyboardInterrupt:
        grown.missing.append(f"{name} and what follows: it was interrupted")
        return False
    grown.curves[name] = points
    grown.made[name] = grown.machine
    grown.verdicts[name] = verdict([(point.x, point.cpu_us) for point in points])
    print(f"{name}: {grown.verdicts[name]}, after {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return True


def keep(grown: Grown, kept: Path) -> None:
    """The page and its pictures; the figures too, so that curves that are measured later join those that are there."""
    kept.mkdir(parents=True, exist_ok=True)
    figures = kept / "growth.json"
    if figures.exists():
        before = msgspec.json.decode(figures.read_bytes(), type=Grown)
        order = [name for name in CURVES if name in before.curves or name in grown.curves]
        grown.curves = {name: grown.curves.get(name) or before.curves[name] for name in order}
        grown.verdicts = {name: grown.verdicts.get(name) or before.verdicts[name] for name in order}
        grown.made = {name: grown.made.get(name) or before.made.get(name, before.machine) for name in order}
    figures.write_bytes(msgspec.json.format(msgspec.json.encode(grown)) + b"\n")
    for name, points in grown.curves.items():
        curve = CURVES[name]
        (kept / f"{name}.svg").write_text(
            draw(f"{curve.title}: CPU of a run, us", curve.x, "us", [(each.x, each.cpu_us) for each in points]), "utf-8"
        )
    (kept / "growth.md").write_text(_page(grown, pictures=True), "utf-8")


def _page(grown: Grown, *, pictures: bool) -> str:
    summary = [
        [CURVES[name].title, f"{points[0].x:,.0f} to {points[-1].x:,.0f}", grown.verdicts[name]] for name, points in grown.curves.items()
    ]
    parts = ["# What a run costs as things grow", describe_shortly(grown.machine), METHOD, table(["", "from, to", "CPU of a run"], summary)]
    for name, points in grown.curves.items():
        parts += _section(name, points, grown, pictures=pictures)
    if grown.missing:
        parts += ["## Not measured", "\n".join(f"- {reason}" for reason in grown.missing)]
    return "\n\n".join(parts) + "\n"


def _section(name: str, points: Sequence[Point], grown: Grown, *, pictures: bool) -> list[str]:
    curve, told, made = CURVES[name], grown.verdicts[name], grown.made[name]
    lines = [
        [
            f"{each.x:,.0f}",
            f"{each.cpu_us:,.0f}",
            f"{each.rate:,.0f}",
            f"{each.p50:.1f}",
            f"{each.p99:.1f}",
            f"{each.mb:.0f}",
            f"{each.others:.0%}",
        ]
        for each in points
    ]
    head = [curve.x, "CPU us a run", "runs/s", "p50 ms", "p99 ms", "memory MB", "others"]
    picture = [f"![{curve.title}]({name}.svg)"] if pictures else []
    elsewhere = [] if made == grown.machine else [f"Measured at another time:\n\n{describe_shortly(made)}"]
    return [f"## {curve.title}", f"{told[0].upper()}{told[1:]}. {curve.why}", *elsewhere, *picture, table(head, lines)]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
