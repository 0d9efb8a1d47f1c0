"""Processes on chosen cores, and what Linux says of them: CPU time, memory."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

ROOT: Final = Path(__file__).resolve().parent.parent
STOP_SECONDS: Final = 40.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class NotMeasured(Exception):
    """Something could not be measured; the message says what and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """``server`` is the core of what is measured, ``load`` that of the load generator, ``upstream`` that of the partner: as far as there are so many."""

    server: int
    load: int
    upstream: int


def choose_cores() -> Cores:
    """Three cores this process may use: the server's own first, no other shares its physical core where that can be told."""
    allowed = sorted(os.sched_getaffinity(0))
    first = allowed[0]
    siblings = _siblings(first)
    others = [core for core in allowed if core not in siblings] or [core for core in allowed if core != first] or [first]
    return Cores(server=first, load=others[0], upstream=others[-1])


def _siblings(core: int) -> set[int]:
    try:
        text = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list").read_text("ascii").strip()
    except OSError:
        return {core}
    found: set[int] = set()
    for part in text.split(","):
        start, _dash, end = part.partition("-")
        found.update(range(int(start), int(end or start) + 1))
    return found


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """Whatever is started in here runs on this core, from its first instruction."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def core_seconds(core: int) -> float:
    """How long a core has worked for programs, its own or another guest's, since the machine started; interrupts are not counted."""
    for line in Path("/proc/stat").read_text("ascii").splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            user, nice, system, steal = (int(ticks[index]) for index in (0, 1, 2, 7))
            return (user + nice + system + steal) / _TICKS
    raise NotMeasured(f"/proc/stat knows no core {core}")


class Meter:
    """CPU time of a process, and of the core it is pinned to, from now on. ``ours`` are all processes of the measurement that share the core."""

    def __init__(self, process: Process, ours: Sequence[Process] = ()) -> None:
        self._process = process
        self._ours = {process.popen.pid: process} | {other.popen.pid: other for other in ours if other.core == process.core}
        self._used, self._began = process.cpu_seconds(), time.monotonic()
        self._foreign = self._foreign_seconds()

    def _foreign_seconds(self) -> float:
        return core_seconds(self._process.core) - sum(process.cpu_seconds() for process in self._ours.values())

    def used(self) -> float:
        """CPU time of the process, in seconds."""
        return self._process.cpu_seconds() - self._used

    def others(self) -> float:
        """The share of the core that programs took which have no part in the measurement."""
        return max(0.0, self._foreign_seconds() - self._foreign) / (time.monotonic() - self._began)


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process that was started here."""

    name: str
    popen: subprocess.Popen[bytes]
    core: int

    def cpu_seconds(self) -> float:
        """User and system time so far, of this process and its children, to the nanosecond: the ticks of /proc are ten milliseconds long."""
        found = 0.0
        for pid in self.family():
            with contextlib.suppress(OSError):
                found += time.clock_gettime(_clock_of(pid))
        return found

    def memory(self) -> tuple[float, float]:
        """Resident memory now and at its highest, in MB (10^6 bytes), of this process and its children."""
        now = peak = 0.0
        for pid in self.family():
            with contextlib.suppress(OSError):
                found = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines())
                now += int(found["VmRSS"].split()[0]) * 1024 / 1e6
                peak += int(found["VmHWM"].split()[0]) * 1024 / 1e6
        return now, peak

    def spread(self) -> None:
        """Let it and its children use every core that we may use."""
        for pid in self.family():
            for task in Path(f"/proc/{pid}/task").glob("*"):
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(int(task.name), os.sched_getaffinity(0))

    def family(self) -> list[int]:
        """Its process id, and those of its children and theirs."""
        found = [self.popen.pid]
        for pid in found:
            for path in Path(f"/proc/{pid}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    found.extend(int(child) for child in path.read_text("ascii").split())
        return found

    def stop(self) -> None:
        """Ask it to end, and end it if it does not."""
        if self.popen.poll() is None:
            self.popen.terminate()
        try:
            self.popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        for stream in (self.popen.stdin, self.popen.stdout):
            if stream is not None:
                stream.close()


def _clock_of(pid: int) -> int:
    """The id of the clock of a process's CPU time, as clock_getcpuclockid(3) makes it on Linux."""
    return (~pid << 3) | 2


def start_process(
    name: str, command: Sequence[str], core: int, *, log: IO[bytes], environment: Mapping[str, str] | None = None, piped: bool = False
) -> Process:
    """Start a command on a core, in the project's folder; its output goes to ``log``, or with ``piped`` to pipes.

    It may keep its bytecode, as what is installed has it: to compile all modules anew takes as long as all else of a start.
    """
    told = os.environ if environment is None else environment
    with pinned(core):
        popen = subprocess.Popen(
            command,
            cwd=ROOT,
            env={name: value for name, value in told.items() if name != "PYTHONDONTWRITEBYTECODE"},
            stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
            stdout=subprocess.PIPE if piped else log,
            stderr=log,
        )
    return Process(name=name, popen=popen, core=core)


def start_module(module: str, *arguments: object, core: int, log: IO[bytes], piped: bool = False) -> Process:
    """Start one of the benchmark's own programs."""
    return start_process(module, [sys.executable, "-m", f"bench.{module}", *map(str, arguments)], core, log=log, piped=piped)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_answer(process: Process, port: int, path: str, *, seconds: float = 60.0) -> None:
    """Return when ``GET path`` has its first answer. Raises ``NotMeasured`` when the process ends or the time is over."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.popen.poll() is not None:
            raise NotMeasured(f"{process.name} ended with exit code {process.popen.returncode} before it answered")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
                connection.sendall(request)
                if connection.recv(16):
                    return
        except OSError:
            pass
        time.sleep(0.005)
    raise NotMeasured(f"{process.name} gave no answer within {seconds:.0f} seconds")


def wait_until_idle(process: Process, *, seconds: float = 30.0) -> None:
    """Return when a process has done nothing worth telling for a moment: callers that went away leave work behind."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        used, began = process.cpu_seconds(), time.monotonic()
        time.sleep(0.05)
        if process.cpu_seconds() - used < 0.05 * (time.monotonic() - began):
            return
