"""What pages of the console take with much in the house. ``python -m bench.console``: 1,500 partners, a million runs, 20,000 connections, 5,000 links.

The partners are made of the bundled ones; the runs ended within the last 31 days, with all of the partners, a hundredth of them with one connection, and are summed as
a server sums them; two thousand wait. A server of its own is asked by one caller, one page after the other, as a browser that takes gzip asks. The bytes are those on
the wire; the weight of a first visit is that of the page with all that it loads. The first page of all that the server is asked for is told apart. It ends with
exit code 1 if a first page (overview, catalogue) weighs 100 KB or more, or takes 300 ms or more in any visit.
With ``--browser`` the pages are opened in Chromium as well, in a browser that is open and has nothing of them: until the first text is painted, until what it calls the
load event, and what its page took of the processor until then. ``--keep`` leaves the folder for the next time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import apsw

from bench.__main__ import VAR
from bench.many import generate
from bench.processes import ROOT, Process, choose_cores, free_port, start_process, wait_for_answer
from bench.servers import EMAIL, PASSWORD
from polyport.engine.sums import RunSummer
from polyport.runtime import create_account, open_runtime
from polyport.settings import load_settings

PARTNERS: Final = 1_500
OPERATIONS: Final = 15_000
RUNS: Final = 1_000_000
CONNECTIONS: Final = 20_000
LINKS: Final = 5_000
BATCH: Final = 20_000
SPAN_MS: Final = 31 * 86_400_000
WAITING: Final = 2_000
HEAVIEST: Final = 100_000  # bytes of a first visit
SLOWEST: Final = 300.0  # milliseconds of any visit
ONE: Final = 1000  # the connection with many runs
PAGES: Final = (
    ("overview, last hour", "/console/overview"),
    ("overview, last day", "/console/overview?range=day"),
    ("overview, last 30 days", "/console/overview?range=month"),
    ("overview of a partner", "/console/overview?range=day&partnerId=1000000007"),
    ("overview of a connection", f"/console/overview?range=month&credentialId={ONE}"),
    ("overview of a user", "/console/overview?range=day&externalUserId=user+7"),
    ("catalogue", "/console/catalogue"),
    ("catalogue, searched", "/console/catalogue?q=create+contact"),
    ("connections", "/console/connections"),
    ("connections, by title", "/console/connections?sort=title"),
    ("connections, searched", "/console/connections?q=customer+77"),
    ("try it, choosing", "/console/try"),
    ("runs", "/console/runs"),
    ("runs that failed", "/console/runs?status=failed"),
    ("runs of a user", "/console/runs?q=user+77"),
    ("runs, two that fit none", "/console/runs?status=cancelled&partnerId=1000000007"),
    ("runs of 30 days", "/console/runs?since=30d"),
    ("a connection", f"/console/connections/{ONE}"),
    ("a partner", "/console/catalogue/1000000007"),
)
FIRST: Final = frozenset(
    name for name, path in PAGES if path.startswith(("/console/overview", "/console/catalogue")) and "searched" not in name
)
_LOADED: Final = re.compile(r'(?:src|href)="(/console/(?:static|logos)/[^"]+)"')
# The browser tells of the paint when the picture is on the screen, which may be after the load event: it is waited for, and a page that is never painted ends the bench.
PAINTED: Final = """() => new Promise((told, failed) => {
    new PerformanceObserver((found) => {
        for (const each of found.getEntriesByName("first-contentful-paint")) told(each.startTime);
    }).observe({ type: "paint", buffered: true });
    setTimeout(() => failed(new Error("nothing was painted within 30 s")), 30000);
})"""
_ROWS: Final = """
    WITH RECURSIVE
        numbers (number) AS (SELECT :first UNION ALL SELECT number + 1 FROM numbers WHERE number + 1 < :last),
        drawn AS (SELECT number, :start + number * :span / :runs AS at, (number * 2654435761) % 4294967296 AS draw FROM numbers)
    INSERT INTO runs (run_id, account_id, partner_id, operation_id, connection_id, external_user_id, mode, status, sending, repeatable, attempts,
        priority, reconciles, due_at, created_at, started_at, finished_at, queued_ms, waited_ms, upstream_ms, metadata, error, sealed_input, sealed_result,
        sealed_attempts)
    SELECT printf('run_%012x%020x', at, draw), 1, 1000000000 + draw % :partners, 3000000000000001 + draw % 60,
        CASE WHEN number % 100 = 0 THEN 1000 ELSE 1000 + draw / 64 % :connections END, 'user ' || (draw / 128 % 2000), 'async', CASE WHEN draw % 5000 = 7 THEN 'uncertain' WHEN draw % 33 = 0 THEN 'failed' ELSE 'succeeded' END, 0, 0, 1,
        1, 0, at, at, at, at + 90 + draw % 300, draw % 7, 0, 80 + draw % 290, '{}',
        CASE WHEN draw % 5000 = 7 OR draw % 33 = 0 THEN
            '{"code":"' || (CASE draw % 4 WHEN 0 THEN 'partner_error' WHEN 1 THEN 'partner_timeout' WHEN 2 THEN 'rate_limited' ELSE 'invalid_input' END)
            || '","message":"It said no.","retryable":false}' END,
        zeroblob(200), zeroblob(200), zeroblob(200)
    FROM drawn
"""
_WAITING: Final = """
    WITH RECURSIVE numbers (number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM numbers WHERE number + 1 < :count)
    INSERT INTO runs (run_id, account_id, partner_id, operation_id, connection_id, mode, status, sending, repeatable, attempts, priority, reconciles, due_at, created_at,
        queued_ms, waited_ms, metadata, sealed_input)
    SELECT printf('run_%012xffffffff%012x', :now, number), 1, 1000000000 + number % 12, 3000000000000001, 1001, 'async', 'queued', 0, 1, 0, 1, 0,
        :now + 31536000000, :now, 0, 0, '{}', zeroblob(200)
    FROM numbers
"""
_CONNECTIONS: Final = """
    WITH RECURSIVE numbers (number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM numbers WHERE number + 1 < :count)
    INSERT INTO connections (connection_id, account_id, partner_id, title, title_key, status, auth, account_label, external_user_id, metadata, shown, data_key, sealed,
        generation, data_status, refusals, created_at, updated_at, simulated)
    SELECT 1000 + number, 1, 1000000000 + number % :partners, 'Customer ' || (number * 7919 % :count), 'customer ' || (number * 7919 % :count), CASE WHEN number % 40 = 0 THEN 'invalid' ELSE 'active' END,
        'token', 'Acme ' || number, 'user ' || (number % 2000), '{}', '{}', zeroblob(60), zeroblob(120), 1, 0, 0, :now, :now, 0
    FROM numbers
"""
_LINKS: Final = """
    WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < :count)
    INSERT INTO links (account_id, partner_id, token_hash, status, renews, title, metadata, created_at, expires_at)
    SELECT 1, 1000000000 + number % :partners, randomblob(32), number % 4, 0, 'Customer ' || number, '{}', :now - number * 1000, :now + 172800000 - number * 60000
    FROM numbers
"""


@dataclass(frozen=True, slots=True)
class Page:
    """What a page took: milliseconds of the first visit and of all others, sorted, the processor's time of the server for one, and the bytes of the page and of a first visit."""

    name: str
    first: float
    took: Sequence[float]
    cpu: float
    size: int
    weight: int

    def line(self) -> str:
        """A row of the table."""
        return f"{self.name:26} {self.took[len(self.took) // 2]:>9.1f} {self.took[-1]:>9.1f} {self.cpu:>9.1f} {self.size / 1000:>9.1f} {self.weight / 1000:>9.1f}"

    def is_over(self) -> bool:
        """Whether it is too slow or too heavy for a first page."""
        return self.weight >= HEAVIEST or max(self.first, *self.took) >= SLOWEST


class Browser:
    """Who asks for pages: one connection, a session, gzip."""

    def __init__(self, port: int) -> None:
        self._wire = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._origin = f"http://127.0.0.1:{port}"
        self.cookie = ""
        form = urlencode({"email": EMAIL, "password": PASSWORD})
        kind = {"Content-Type": "application/x-www-form-urlencoded", "Origin": self._origin}
        self._wire.request("POST", "/console/sign-in", form, kind)
        answer = self._wire.getresponse()
        answer.read()
        self.cookie = str(answer.headers["set-cookie"]).partition(";")[0]

    def get(self, path: str) -> tuple[float, int, str]:
        """Milliseconds, bytes on the wire, and the page as text."""
        began = time.perf_counter()
        self._wire.request("GET", path, headers={"Cookie": self.cookie, "Accept-Encoding": "gzip"})
        answer = self._wire.getresponse()
        content = answer.read()
        took = (time.perf_counter() - began) * 1000
        if answer.status != 200:
            raise SystemExit(f"{path} answered {answer.status}")
        head = sum(len(name) + len(text) + 4 for name, text in answer.headers.items())
        return took, len(content) + head, _text(content, answer.headers.get("content-encoding"))

    def visit(self, name: str, path: str, times: int, process: Process) -> Page:
        """Open a page again and again; what it loads is weighed once."""
        first, size, text = self.get(path)
        weight = size + sum(self.get(each)[1] for each in dict.fromkeys(_LOADED.findall(text)))
        before = process.cpu_seconds()
        took = sorted(self.get(path)[0] for _time in range(times))
        return Page(name, first, took, (process.cpu_seconds() - before) / times * 1000, size, weight)


def _text(content: bytes, encoding: str | None) -> str:
    import gzip  # noqa: PLC0415  for this alone

    return (gzip.decompress(content) if encoding == "gzip" else content).decode()


def main(arguments: Sequence[str]) -> int:
    """Build, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.console", description=__doc__)
    parser.add_argument("--partners", type=int, default=PARTNERS)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--times", type=int, default=25, help="visits of each page (default 25)")
    parser.add_argument("--browser", action="store_true", help="open the pages in Chromium as well")
    parser.add_argument("--keep", type=Path, help="a folder to build in, or to find what was built")
    given = parser.parse_args(arguments)
    VAR.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="console-", dir=VAR) as made:
        folder = given.keep or Path(made)
        if not (folder / "built").exists():
            folder.mkdir(parents=True, exist_ok=True)
            asyncio.run(_build(folder, given.partners, given.runs, given.connections))
        with _server(folder) as (port, process):
            browser = Browser(port)
            print(f"{given.partners:,} partners, {given.runs:,} runs; one caller; load {os.getloadavg()[0]:.1f}\n")
            print(f"{'page':26} {'p50 ms':>9} {'most ms':>9} {'CPU ms':>9} {'page KB':>9} {'first KB':>9}")
            found = [browser.visit(name, path, given.times, process) for name, path in PAGES]
            print(*(page.line() for page in found), sep="\n")
            print(f"\nthe very first page of the server: {found[0].first:.1f} ms")
            if given.browser:
                asyncio.run(_look(port, browser.cookie, given.times))
    over = [page.name for page in found if page.name in FIRST and page.is_over()]
    print(f"over 300 ms or 100 KB: {', '.join(over)}" if over else "every first page within 300 ms and 100 KB")
    return 1 if over else 0


async def _build(folder: Path, partners: int, runs: int, connections: int) -> None:
    generate(ROOT / "src" / "polyport" / "connectors", folder / "partners", partners, OPERATIONS * partners // PARTNERS)
    settings = load_settings({"POLYPORT_DATA": str(folder / "data")})
    async with open_runtime(settings) as runtime:
        await create_account(runtime.repo, runtime.vault, title="A company", email=EMAIL, password=PASSWORD, now=runtime.now_ms())
        now = runtime.now_ms()
    connection = apsw.Connection(str(folder / "data" / "polyport.db"))
    for pragma in ("journal_mode=WAL", "synchronous=OFF", "cache_size=-400000", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(_CONNECTIONS, {"count": connections, "partners": partners, "now": now})
    connection.execute(_LINKS, {"count": LINKS, "partners": partners, "now": now})
    began = time.monotonic()
    for first in range(0, runs, BATCH):
        told = {
            "first": first,
            "last": min(runs, first + BATCH),
            "start": now - SPAN_MS,
            "span": SPAN_MS,
            "runs": runs,
            "connections": connections,
            "partners": partners,
        }
        connection.execute(_ROWS, told)
        print(f"{first:,} of {runs:,} runs after {time.monotonic() - began:.0f} s", end="\r", file=sys.stderr, flush=True)
    connection.execute(_WAITING, {"count": WAITING, "now": now})
    connection.execute(
        "INSERT INTO waiting_runs SELECT account_id, partner_id, COUNT(*) FROM runs WHERE status = 'queued' GROUP BY account_id, partner_id"
    )
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    async with open_runtime(settings) as runtime:
        await RunSummer(runtime, stretch=3_600_000).work()
    (folder / "built").touch()
    print(f"built in {time.monotonic() - began:.0f} s" + " " * 40, file=sys.stderr)


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[tuple[int, Process]]:
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POLYPORT_")}
    environment |= {"POLYPORT_CONNECTORS": str(folder / "partners")}
    with (folder / "server.log").open("ab") as log:
        command = [str(Path(sys.executable).with_name("polyport")), "serve", "--port", str(port), "--data", str(folder / "data")]
        process: Process = start_process("polyport", command, choose_cores().server, log=log, environment=environment)
        try:
            wait_for_answer(process, port, "/healthz", seconds=3600)
            yield port, process
        finally:
            process.stop()


async def _look(port: int, cookie: str, times: int) -> None:
    """Open the pages in Chromium, each time as who was never there."""
    from playwright.async_api import async_playwright  # noqa: PLC0415  only for this; it comes with the tools of the tests

    origin = f"http://127.0.0.1:{port}"
    name, _, value = cookie.partition("=")
    print(f"\n{'in Chromium, p50 of':24} {'paint ms':>9} {'load ms':>9} {'least':>9} {'CPU ms':>9}")
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-dev-shm-usage"])
        for title, path in [each for each in PAGES if each[1] in {"/console/overview", "/console/catalogue"}]:
            found = [await _opened(browser, origin, path, {"name": name, "value": value, "url": origin}) for _time in range(times)]
            half = [sorted(each)[times // 2] for each in zip(*found, strict=True)]
            quick = min(loaded for _painted, loaded, _cpu in found)
            print(f"{title:24} {half[0]:>9.1f} {half[1]:>9.1f} {quick:>9.1f} {half[2]:>9.1f}")
        await browser.close()


async def _opened(browser: Any, origin: str, path: str, cookie: dict[str, str]) -> tuple[float, float, float]:
    """Milliseconds until the first text and until the load event, and of the processor in the page's own thread."""
    context = await browser.new_context()
    await context.add_cookies([cookie])
    page = await context.new_page()
    # The browser has begun a process for this server by then, as that of a person at work has; a page with other headers of who may have opened it would not do.
    await page.goto(f"{origin}/console/you/proof")
    session = await context.new_cdp_session(page)
    await session.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = await _busy(session)
    await page.goto(origin + path, wait_until="load")
    cpu = await _busy(session) - before
    loaded = await page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    painted = await page.evaluate(PAINTED)
    await context.close()
    return float(painted), float(loaded), cpu * 1000


async def _busy(session: Any) -> float:
    found = {each["name"]: float(each["value"]) for each in (await session.send("Performance.getMetrics"))["metrics"]}
    return found["TaskDuration"]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
