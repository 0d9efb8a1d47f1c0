"""A server with the growing partner, and a measurement of one point of a curve."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from bench.growth.partner import BASE_VARIABLE, PARTNER, TOKEN
from bench.jobs import Job
from bench.load import Generator
from bench.processes import Cores, Meter, NotMeasured, free_port, start_process, wait_until_idle
from bench.servers import EMAIL, PASSWORD, Polyport, ask, polyport_environment, serve, start_generator

CALLERS: Final = 16
ROUNDS: Final = 3
_READY_SECONDS: Final = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Medians of rounds: runs a second, ms, CPU of the server for each in us, resident memory after in MB. ``others``: their share of the server's core."""

    x: float
    rate: float
    p50: float
    p99: float
    cpu_us: float
    mb: float
    others: float


@contextlib.contextmanager
def serving(folder: Path, core: int, upstream: int, partners: str, data: str, *, workers: int = 1) -> Iterator[tuple[Polyport, float]]:
    """A server on a data folder, signed in to, with the connection that the folder has or else a new one; and the seconds of its start."""
    port = free_port()
    environment = polyport_environment(upstream) | {
        "POLYPORT_CONNECTORS": partners,
        BASE_VARIABLE: f"http://127.0.0.1:{upstream}",
        "POLYPORT_RUNS_KEEP_DAYS": "36500",  # the runs that are built are old
        "POLYPORT_RUNS_KEEP_PAYLOAD_DAYS": "36500",
    }
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((folder / "polyport.log").open("ab"))
        program = str(Path(sys.executable).with_name("polyport"))
        command = [program, "serve", "--port", str(port), "--data", str(folder / data), "--workers", str(workers)]
        began = time.perf_counter()
        process = start_process("polyport", command, core, log=log, environment=environment)
        stack.callback(process.stop)
        served = serve(process, port, "/healthz", seconds=_READY_SECONDS)
        seconds = time.perf_counter() - began
        token = ask(port, "POST", "/user/auth", {"email": EMAIL, "password": PASSWORD})["data"]["authToken"]
        kept = ask(port, "GET", f"/credentials?filter[partnerId]={PARTNER}&per-page=1", token=token)["data"]
        yield Polyport(served=served, token=token, connection=_connection(kept, port, token)), seconds


def _connection(kept: Sequence[Mapping[str, int]], port: int, token: str) -> int:
    if kept:
        return int(kept[0]["credentialId"])
    made = {"partnerId": PARTNER, "title": "Growth", "auth": "api_token", "fields": {"token": TOKEN}}
    return int(ask(port, "POST", "/credentials", made, token=token, expect=201)["data"]["credentialId"])


@contextlib.contextmanager
def generating(folder: Path, cores: Cores) -> Iterator[Generator]:
    """The load generator: our own, which waits for what is under way; the points here are slow ones."""
    with contextlib.ExitStack() as stack:
        yield start_generator(stack, folder, cores.load)


def run_job(polyport: Polyport, operation: int, bodies: Sequence[str], seconds: float, callers: int = CALLERS) -> Job:
    """Runs of an operation, the bodies in turn."""
    return Job(
        port=polyport.served.port,
        path=f"/partners/trigger-actions/{operation}/run/sync",
        body=bodies[0],
        bodies=list(bodies[1:]),
        expect=200,
        callers=callers,
        seconds=seconds,
        token=polyport.token,
        whole=True,
    )


def measure_points(polyport: Polyport, generator: Generator, jobs: Mapping[float, Job]) -> list[Point]:
    """A point for each job, the jobs in turn, round after round, after one round that does not count."""
    process = polyport.served.process
    found: dict[float, list[Point]] = {x: [] for x in jobs}
    for number in range(ROUNDS + 1):
        for x, job in jobs.items():
            wait_until_idle(process)
            meter = Meter(process)
            load = generator.run(job)
            if load.errors or not load.total:
                raise NotMeasured(f"at {x:,.0f}: {load.errors} errors, the first: {load.first_error}")
            used, others = meter.used(), meter.others()
            if number:
                cpu = used / load.total * 1e6
                found[x].append(Point(x=x, rate=load.rate, p50=load.p50, p99=load.p99, cpu_us=cpu, mb=process.memory()[0], others=others))
    return [_middle(points) for points in found.values()]


def _middle(points: Sequence[Point]) -> Point:
    def middle(name: str) -> float:
        return float(median(getattr(point, name) for point in points))

    return Point(**{name: middle(name) for name in Point.__slots__})
