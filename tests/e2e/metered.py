"""A partner that lets callers do only so much, as a folder, and a server that is this partner: it notes when each request came, and for whom."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from e2e.served import PASSWORD, Asked, Handler, Served, Upstream, answer, make_settings, upstream
from first_day import bring_first_day
from polyport.catalog import Catalog
from polyport.runtime import create_account, open_runtime

METERED: Final = 900002
PLAIN, COSTLY, PARALLEL, FREE, TOLD = range(90000201, 90000206)
LIMIT, SECONDS, AT_ONCE, SHARED = 5, 1, 3, 8

_PARTNER: Final = f"""
id: {METERED}
slug: metered
title: Metered
owners: [tests]
base: https://metered.example.com/v1
connection:
  auth:
    - name: key
      label: Key
      fields: [{{name: key, type: string, label: Key, required: true, secret: true}}]
      scheme: {{kind: api_key, in: header, param: x-key, value: "{{{{connection.key}}}}"}}
budgets:
  - {{name: burst, limit: {LIMIT}, seconds: {SECONDS}, onlyCosts: true}}
  - {{name: all, per: app, limit: {SHARED}, seconds: {SECONDS}, onlyCosts: true}}
  - {{name: parallel, concurrency: {AT_ONCE}, onlyCosts: true}}
  - {{name: told, limit: 1000, seconds: 60, onlyCosts: true, headers: {{remaining: x-left, reset: x-reset}}}}
verified: {{how: cases, on: "2026-11-24"}}
"""


def _action(id_: int, name: str, costs: str, extra: str = "") -> str:
    return f"""
id: {id_}
name: {name}
title: {name.title()}
idempotent: true
costs: {costs}
fields: [{{name: n, type: string, label: N}}]
call: {{method: PUT, path: "/{name}/{{{{n}}}}"}}
result: {{fields: [{{name: ok, type: boolean, label: Fine}}]}}
{extra}"""


_FILES: Final = {
    "partner.yaml": _PARTNER,
    "actions/plain.yaml": _action(PLAIN, "plain", "{burst: 1}"),
    "actions/costly.yaml": _action(COSTLY, "costly", "{all: 2, burst: 1}"),
    "actions/parallel.yaml": _action(PARALLEL, "parallel", "{parallel: 1}"),
    "actions/free.yaml": _action(FREE, "free", "{}"),
    "actions/told.yaml": _action(TOLD, "told", "{told: 1}"),
}


def write_metered(root: Path, budgets: str = "", plain: str = "") -> str:
    """Write the partner's folder under ``root/metered``; what the setting ``connectors`` takes. With ``budgets`` there is one action, whose costs are ``plain``."""
    files = dict(_FILES)
    if budgets:
        head, tail = _PARTNER.partition("budgets:")[0], "verified:" + _PARTNER.partition("verified:")[2]
        files = {"partner.yaml": f"{head}budgets:{budgets}{tail}", "actions/plain.yaml": _action(PLAIN, "plain", plain)}
    for name, text in files.items():
        path = root / "metered" / "metered" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return str(root / "metered")


def metered_catalog(root: Path) -> Catalog:
    """The catalogue with the partner in it."""
    catalog = Catalog.load((write_metered(root),), "http://127.0.0.1")
    assert not catalog.problems, catalog.problems
    return catalog


@dataclass(slots=True)
class Meter:
    """The partner's server. ``came`` has for each path's first part the moments (``time.monotonic``) and keys of its requests; ``most`` is how many were there at once.

    ``lag`` is the longest time (seconds) that this program itself stood still since the first request: what came meanwhile was noted late, all at once.
    """

    wire: Upstream
    hold: float = 0.0
    told: bytes = field(default=b"")
    came: dict[str, list[tuple[float, str, str]]] = field(default_factory=lambda: defaultdict(list))
    open: int = 0
    most: int = 0
    lag: float = 0.0

    @property
    def origin(self) -> str:
        return self.wire.origin

    async def watch(self) -> None:
        """Note how long this program stands still."""
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            if self.came:  # before the first request nothing could be noted late: the server that starts in this program takes its time
                self.lag = max(self.lag, time.monotonic() - began - 0.01)

    async def reply(self, asked: Asked) -> bytes:
        """Note a request, answer it."""
        _root, _version, name, which = asked.target.split("/", 3)
        self.came[name].append((time.monotonic(), asked.headers.get("x-key", ""), which))
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            await asyncio.sleep(self.hold)
        finally:
            self.open -= 1
        return self.told or answer(200, {"ok": True})


def most_of(meter: Meter, seconds: float, path: str, key: str | None = None) -> int:
    """The most requests for a path that came in any stretch of a window, shorter by what this program noted late."""
    moments = (moment for moment, other, _which in meter.came[path] if key in {None, other})
    return most_in(moments, max(0.0, seconds - meter.lag))


def most_in(moments: Iterable[float], seconds: float) -> int:
    """The most that came in any stretch of so many seconds."""
    times = sorted(moments)
    most = start = 0
    for end, moment in enumerate(times):
        while start < end and times[start] <= moment - seconds:
            start += 1
        most = max(most, end - start + 1)
    return most


@contextlib.asynccontextmanager
async def open_meter() -> AsyncIterator[Meter]:
    """Serve the partner on a free port."""
    meters: list[Meter] = []

    async def handle(asked: Asked) -> bytes:
        return await meters[0].reply(asked)

    handler: Handler = handle
    async with upstream(handler) as wire:
        meters.append(Meter(wire))
        watching = asyncio.create_task(meters[0].watch())
        yield meters[0]
        watching.cancel()


async def make_accounts(data: Path, *emails: str) -> None:
    """Make the first account of a data folder, and others, before a server is started on it."""
    settings = make_settings(data)
    bring_first_day(data)
    async with open_runtime(settings) as runtime:
        for email in emails:
            await create_account(runtime.repo, runtime.vault, title=email, email=email, password=PASSWORD, now=runtime.now_ms())


def body(connection: int, n: object, **more: Any) -> dict[str, Any]:
    """The body of a run."""
    return {"credentialData": {"0": connection}, "runnerData": {"n": str(n)}, **more}


async def run(served: Served, operation: int, connection: int, n: object, mode: str = "async", *, token: str = "", **more: Any) -> Any:
    """Run an operation; status and JSON."""
    path = f"/partners/trigger-actions/{operation}/run/{mode}"
    status, headers, told = await served.call("POST", path, body(connection, n, **more), token=token)
    return status, headers, told


async def ended(served: Served, run_id: str, *, token: str = "", seconds: float = 60.0) -> dict[str, Any]:
    """A run at its end."""
    async with asyncio.timeout(seconds):
        while True:
            found = (await served.call("GET", f"/runs/{run_id}", token=token))[2]["data"]
            if found["status"] in {"succeeded", "failed", "uncertain", "cancelled"}:
                return dict(found)
            await asyncio.sleep(0.05)
