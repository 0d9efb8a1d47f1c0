"""What a measurement was made on."""

from __future__ import annotations

import gc
import os
import platform
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Final

from bench.nginx import find_nginx, nginx_version
from bench.processes import ROOT, Cores
from bench.wrk import find_wrk, wrk_version

LIBRARIES: Final = (
    "polyport",
    "uvicorn",
    "uvloop",
    "httptools",
    "starlette",
    "aiohttp",
    "msgspec",
    "pydantic",
    "cryptography",
    "structlog",
)
SYNCS: Final = 50
STEPS: Final = 20_000
LOOPS: Final = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """``load_average`` is that of the minute before; ``sync_ms`` is the median time of writing 4 KiB and ``fdatasync`` on the disk of the data folder.

    ``python`` names the interpreter and its speed: builds of one version differ by half, with and without optimisation by a profile.
    """

    date: str
    commit: str
    cpu: str
    cores: int
    server_core: int
    load_core: int
    upstream_core: int
    memory_gb: float
    system: str
    python: str
    libraries: dict[str, str]
    tools: dict[str, str]
    load_average: float
    sync_ms: float


def describe_machine(folder: Path, cores: Cores) -> Machine:
    """This machine, now; ``folder`` is where the measured server writes."""
    return Machine(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=_commit(),
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        server_core=cores.server,
        load_core=cores.load,
        upstream_core=cores.upstream,
        memory_gb=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9,
        system=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()} ({_step_ns():.0f} ns a step of a fixed loop)",
        libraries={name: _version(name) for name in LIBRARIES},
        tools=_tools(),
        load_average=os.getloadavg()[0],
        sync_ms=_sync_ms(folder),
    )


def resident() -> float:
    """Resident memory of this process in MB."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * 4096 / 1e6


class _Stepped:
    """What the fixed loop calls: methods, attributes, a dictionary."""

    def __init__(self) -> None:
        self.total = 0
        self.kept: dict[int, int] = {}

    def step(self, number: int) -> int:
        """Two calls, a look-up, a list."""
        return self.keep(number) + sum([each + 1 for each in (number, self.total)])

    def keep(self, number: int) -> int:
        """One of eight places."""
        self.kept[number & 7] = number
        return self.kept.get(number & 3, 1)


def _step_ns() -> float:
    """What a step of pure Python takes this interpreter in CPU time, at best."""
    best = float("inf")
    for _loop in range(LOOPS):
        stepped, began = _Stepped(), time.process_time_ns()
        for number in range(STEPS):
            stepped.total = stepped.step(number) & 0xFFFF
        best = min(best, (time.process_time_ns() - began) / STEPS)
    return best


def _commit() -> str:
    """The commit, and whether the program differs from it; empty outside a clone."""
    try:
        head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
        changed = subprocess.run(["git", "status", "--porcelain", "src"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip() + (" with changes" if changed.stdout.strip() else "")


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _tools() -> dict[str, str]:
    """What measures, as far as it is not our own: nothing for what is not installed."""
    nginx, wrk = find_nginx(), find_wrk()
    found = {"nginx": nginx_version(nginx)} if nginx is not None else {}
    return found | ({"wrk": wrk_version(wrk)} if wrk is not None else {})


def _sync_ms(folder: Path) -> float:
    path, found = folder / "sync", list[float]()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for _turn in range(SYNCS):
            began = time.perf_counter()
            os.write(descriptor, bytes(4096))
            os.fdatasync(descriptor)
            found.append((time.perf_counter() - began) * 1000)
    finally:
        os.close(descriptor)
        path.unlink()
    return median(found)
