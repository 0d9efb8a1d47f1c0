"""A server as a process of its own, as operators run it: it can be killed, stopped, and robbed of its disk."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from e2e.depot import Bay, Depot, write_depot
from e2e.served import EMAIL, PASSWORD, Served
from e2e.starter import Running, begin, ended
from first_day import bring_account, bring_catalogue


@dataclass(slots=True, kw_only=True)
class Process:
    """A running ``polyport serve``."""

    pid: int
    served: Served
    child: Running

    async def kill(self) -> None:
        """SIGKILL: nothing of it gets to end."""
        self.child.kill()
        await ended(self.child)

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.child.send_signal(signal.SIGTERM)
        return await ended(self.child)

    def fill_disk(self) -> None:
        """From now on the process can write no file beyond its first byte."""
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))

    def free_disk(self) -> None:
        """It can write again."""
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def bay(self, depot: Depot, connection: int) -> Bay:
        """The process with a connection at the depot."""
        return Bay(served=self.served, depot=depot, connection=connection)


@contextlib.asynccontextmanager
async def running_process(folder: Path, depot: Depot, *, token: str = "", **settings: Any) -> AsyncIterator[Process]:
    """``polyport serve`` over ``folder/data`` on a free port. Without a ``token`` it is signed in to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {
        "bootstrap_email": EMAIL,
        "bootstrap_password": PASSWORD,
        "allow_networks": "127.0.0.0/8",
        "connectors": write_depot(folder),
        "partner_depot_base_url": depot.origin,
        **settings,
    }
    bring_catalogue(folder / "data", str(given["connectors"]).split(","))
    if (given["bootstrap_email"], given["bootstrap_password"]) == (EMAIL, PASSWORD) and "master_key" not in given:
        bring_account(folder / "data")
    kept = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }  # starts are quicker with compiled modules
    environ = kept | {f"POLYPORT_{name.upper()}": str(value) for name, value in given.items()}
    arguments = ["serve", "--port", str(port), "--data", str(folder / "data")]
    with (folder / "server.log").open("ab") as log:
        # Root may write what nobody may: without that power permissions hold for the program as for any other user's.
        child = begin(arguments, env=environ, outputs=(log.fileno(), log.fileno()), powerless=True)
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as client:
            served = Served(origin=f"http://127.0.0.1:{port}", token=token, runtime=None, services=None, client=client)
            await _answers(served, child)
            if not token:
                served.token = str((await served.sign_in())["authToken"])
            yield Process(pid=child.pid, served=served, child=child)
    finally:
        child.kill()
        await ended(child)


def children(pid: int) -> list[int]:
    """The server processes that a supervisor started."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return [int(child) for child in listed if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


async def _answers(served: Served, child: Running) -> None:
    async with asyncio.timeout(90):
        while True:
            assert child.poll() is None
            with contextlib.suppress(aiohttp.ClientError):
                if (await served.fetch("GET", "/healthz", token=None)).status == 200:
                    return
            await asyncio.sleep(0.02)
