"""Drill: the disk of a server under load is full, again and again; what it accepts is kept, what it refuses was never there, and it heals by itself.

``make drill`` runs it with 20 full disks; ``--quick`` is the short form that runs with the tests. Where the system allows it, the data folder is a small
file system of its own (tmpfs) that a ballast file fills to the last byte; else the process may write no file beyond its first byte (RLIMIT_FSIZE), which
SQLite meets as another error. In every fourth round the server is killed while the disk is full, and started again once there is room.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import itertools
import json
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp

from drilling import FINAL, Report, read_records, run_drill
from e2e.depot import CREATE, PARTNER, SECRET, Asked, Bay, open_depot
from e2e.killable import Process, running_process
from e2e.served import answer

ROUNDS: Final = {False: 20, True: 2}
CALLERS: Final = {False: 8, True: 4}
FULL_SECONDS: Final = 2.0
SIZE: Final = 64 << 20
_NEWNS, _NEWUSER, _PRIVATE, _DETACH = 0x20000, 0x10000000, 0x44000, 2


@dataclass(slots=True)
class Told:
    """What callers heard: the names of calls by answer. ``ran`` are runs that were accepted, with their names."""

    ran: dict[str, str] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    cut: set[str] = field(default_factory=set)
    strange: list[str] = field(default_factory=list)


class Disk:
    """The disk of the data folder; ``kind`` says what it is."""

    def __init__(self, data: Path) -> None:
        self._ballast = data / "ballast"
        data.mkdir()
        self._data = data
        self._own = _own_mounts() and _mount(b"tmpfs", data, f"size={SIZE},mode=700")
        self.kind = f"a tmpfs of {SIZE >> 20} MB, filled to the last byte (ENOSPC)" if self._own else "RLIMIT_FSIZE (EFBIG)"

    def fill(self, server: Process) -> None:
        """From now on nothing more fits."""
        if not self._own:
            server.fill_disk()
            return
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                if not file.write(b"\0" * 65_536):
                    break
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"\0"):
                pass

    def free(self, server: Process) -> None:
        """There is room again."""
        if self._own:
            self._ballast.unlink(missing_ok=True)
        elif server.child.poll() is None:
            server.free_disk()

    def leave(self) -> None:
        """Nothing is left of it."""
        if self._own:
            ctypes.CDLL(None).umount2(os.fsencode(self._data), _DETACH)


def _own_mounts() -> bool:
    """Let this process and its children have mounts that nobody else sees; needs no rights where users may have namespaces."""
    libc, user, group = ctypes.CDLL(None), os.getuid(), os.getgid()
    if user != 0:
        if libc.unshare(_NEWUSER | _NEWNS):
            return False
        Path("/proc/self/setgroups").write_text("deny", "ascii")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1", "ascii")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1", "ascii")
    elif libc.unshare(_NEWNS):
        return False
    return not libc.mount(b"none", b"/", None, _PRIVATE, None)


def _mount(kind: bytes, path: Path, options: str) -> bool:
    return not ctypes.CDLL(None).mount(b"none", os.fsencode(path), kind, 0, options.encode())


async def _call(bay: Bay, name: str, mode: str, told: Told) -> None:
    try:
        found = await bay.run(CREATE, {"name": name}, mode=mode, metadata={"name": name})
    except (aiohttp.ClientError, ConnectionError):
        told.cut.add(name)
        return
    if found.status in {200, 202}:
        told.ran[found.json["data"]["runId"]] = name
    elif found.status == 503 and found.json["error"]["code"] == "overloaded":
        told.refused.add(name)
        await asyncio.sleep(0.05)
    else:
        told.strange.append(f"{found.status} {found.content[:200]!r}")
    bay.served.replies.clear()


async def _load(bay: Bay, names: itertools.count[int], told: Told, stop: asyncio.Event) -> None:
    while not stop.is_set():
        number = next(names)
        await _call(bay, f"n{number}", ("sync", "async")[number % 2], told)


async def _until_ready(bay: Bay, *, ready: bool) -> float:
    """Seconds until ``readyz`` says so, and whatever it says until then."""
    began = time.perf_counter()
    async with asyncio.timeout(60):
        while ((await bay.served.fetch("GET", "/readyz", token=None)).status == 200) is not ready:  # noqa: ASYNC110  as a balancer asks
            await asyncio.sleep(0.05)
    return time.perf_counter() - began


async def _fill_and_free(
    server: Process, bay: Bay, disk: Disk, told: Told, names: itertools.count[int], *, callers: int, kill: bool
) -> float:
    """One full disk under load; seconds from the moment there is room again until the server is ready, or -1 when it was killed."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _caller in range(callers):
            group.create_task(_load(bay, names, told, stop))
        await asyncio.sleep(0.5)
        disk.fill(server)
        await _until_ready(bay, ready=False)
        await asyncio.sleep(FULL_SECONDS)
        if kill:
            stop.set()
            await server.kill()
            disk.free(server)
            return -1
        disk.free(server)
        healed = await _until_ready(bay, ready=True)
        await asyncio.sleep(0.5)
        stop.set()
    return healed


async def drill(folder: Path, quick: bool, report: Report) -> None:
    """The whole drill."""

    async def late(asked: Asked) -> bytes:
        await asyncio.sleep(0.02)
        return answer(201, {"data": {"id": 1, **json.loads(asked.body)}})

    disk, told, names, healed, token, connection = Disk(folder / "data"), Told(), itertools.count(), list[float](), "", 0
    try:
        async with open_depot() as depot:
            depot.answers["POST /things"] = late
            rounds = list(range(ROUNDS[quick]))
            while rounds:
                async with running_process(folder, depot, token=token) as server:
                    token, connection = server.served.token, connection or await server.served.connect(PARTNER, {"key": SECRET})
                    bay = server.bay(depot, connection)
                    while rounds and server.child.poll() is None:
                        kill = rounds.pop(0) % 4 == 0
                        healed.append(await _fill_and_free(server, bay, disk, told, names, callers=CALLERS[quick], kill=kill))
            async with running_process(folder, depot, token=token) as server:
                records = await read_records(server.bay(depot, connection))
            arrivals = Counter(json.loads(asked.body)["name"] for asked in depot.of("POST /things"))
    finally:
        disk.leave()
    times = sorted(seconds for seconds in healed if seconds >= 0)
    known = {run["metadata"]["name"] for run in records.values()}
    report.say(f"{len(healed)} full disks: {disk.kind}; {healed.count(-1)} kills meanwhile")
    report.say(
        f"  {len(told.ran)} runs accepted, {len(told.refused)} calls refused, {len(told.cut)} cut by kills; ready again after {times[0]:.2f} to {times[-1]:.2f} s"
    )
    report.say(f"  ends: {dict(Counter(run['status'] for run in records.values()).most_common())}")
    report.check("calls were refused in the meantime", bool(told.refused), True)
    report.check("accepted runs without a record", len(told.ran.keys() - records.keys()), 0)
    report.check("runs that did not end", sum(run["status"] not in FINAL for run in records.values()), 0)
    report.check("refused calls that came to the partner", len(told.refused & arrivals.keys()), 0)
    report.check("refused calls with a record", len(told.refused & known), 0)
    report.check("requests that came twice", sum(count - 1 for count in arrivals.values()), 0)
    report.check("arrivals that no record tells of", len(arrivals.keys() - known), 0)
    report.check("answers that nobody may get", told.strange[:3], [])


if __name__ == "__main__":
    sys.exit(run_drill(__doc__, drill))
