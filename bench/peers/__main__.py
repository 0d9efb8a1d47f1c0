"""``make bench-peers``: install what is missing, measure, print a report, keep it under ``bench/results``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.__main__ import RESULTS, VAR
from bench.machine import describe_machine
from bench.measure import Plan
from bench.peers.measure import PEERS, Found, measure_peers
from bench.peers.report import PeerResults, versions, write_peers
from bench.processes import NotMeasured, choose_cores


def main(arguments: Sequence[str]) -> int:
    """Measure and report. 0 when something could be measured, whatever is missing here; 1 else."""
    if sys.platform != "linux":
        print("The benchmark pins processes to cores and reads /proc: it needs Linux.", file=sys.stderr)
        return 1
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--only", help=f"which peers, with commas between: {', '.join(PEERS)} (default: all)")
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds of one job (default 2; 5 at least for n8n)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--keep", type=Path, help="write the page into this folder too")
    parser.add_argument("--into", type=Path, default=RESULTS, help="where figures and page are kept (default bench/results)")
    given = parser.parse_args(arguments)
    wanted = given.only.split(",") if given.only else list(PEERS)
    if unknown := sorted(set(wanted) - set(PEERS)):
        parser.error(f"there is no peer {', '.join(unknown)}")
    if not 0.1 <= given.seconds <= 600 or not 1 <= given.rounds <= 1000:
        parser.error("--seconds takes 0.1 to 600, --rounds 1 to 1000")
    VAR.mkdir(exist_ok=True)
    cores, found = choose_cores(), Found()
    plan = Plan(seconds=given.seconds, warmup=min(0.3, given.seconds / 4), rounds=given.rounds)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=VAR) as name:
        machine = describe_machine(Path(name), cores)
        try:
            measure_peers(Path(name), cores, plan, wanted, _say, found)
        except (NotMeasured, OSError, KeyboardInterrupt) as error:
            found.missing.append(f"the rest: {error!r}")
    _write(PeerResults(machine=machine, plan=plan, versions=versions(), found=found), given.keep, given.into)
    return 0 if found.rows or found.batches else 1


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _write(results: PeerResults, kept: Path | None, into: Path) -> None:
    report = write_peers(results)
    into.mkdir(parents=True, exist_ok=True)
    path = into / time.strftime("peers-%Y-%m-%d-%H%M%S.json")
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results)) + b"\n")
    path.with_suffix(".md").write_text(report, "utf-8")
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        (kept / "peers.md").write_text(report, "utf-8")
    print(report)
    print(f"Kept in {path} and {path.with_suffix('.md')}")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
