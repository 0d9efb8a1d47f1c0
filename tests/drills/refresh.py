"""Drill: tokens are renewed once per expiry, and no connection is lost, by four processes that share one data folder.

``make drill`` runs it. It prints what was done, on which machine, and its figures; it ends with 1 when a promise is broken.
The provider takes longer than the lease under which a token is renewed, rotates refresh tokens, and ends a whole sign-in when a refresh token comes twice:
one exchange too many is the end of a connection here. ``--quick`` is the short form that runs with the tests.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from bench.machine import describe_machine
from bench.processes import choose_cores

from e2e.served import upstream
from oidc.provider import running_provider
from polyport.engine.renewal import LEASE_MS
from polyport.kinds.auth.base import Grant
from renewing import CLIENT, CLIENT_SECRET, Counting, Fleet, fleet, told

PROCESSES: Final = 4
DELAY: Final = LEASE_MS / 1000 + 1
TIMEOUT: Final = 20  # of an exchange, in seconds: longer than the provider takes, also for a process that stood still for a while
OIDC_SECONDS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is done. ``oidc`` is (connections, expiries of each) at the real OAuth server, none for no such part."""

    connections: int
    rounds: int
    calls: int
    killed: int
    stopped: int
    repeats: int
    oidc: tuple[int, int]


FULL: Final = Size(connections=125, rounds=8, calls=2, killed=20, stopped=20, repeats=3, oidc=(60, 6))
QUICK: Final = Size(connections=12, rounds=1, calls=2, killed=4, stopped=4, repeats=1, oidc=(0, 0))


@dataclass(slots=True)
class Report:
    """What is printed, and which promises were broken."""

    broken: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        """One line of the report."""
        print(line, flush=True)  # noqa: T201  it is a program that prints

    def check(self, what: str, found: Any, expected: Any) -> None:
        """One promise."""
        kept = found == expected
        self.say(f"  {'kept  ' if kept else 'BROKEN'}  {what}: {found}" + ("" if kept else f" (has to be {expected})"))
        if not kept:
            self.broken.append(what)


async def all_calls(ships: Fleet, connections: list[int], calls: int, processes: range) -> list[dict[str, Any]]:
    """Every connection called by every process at the same time."""
    return await asyncio.gather(
        *(ships.call(process, connection) for connection in connections for process in processes for _call in range(calls))
    )


async def expiries(ships: Fleet, provider: Counting, size: Size, report: Report) -> None:
    """All tokens expire at once; every process wants every connection at once."""
    names = [f"plain-{number}" for number in range(size.connections)]
    connections = [await ships.sign_in(provider.sign_in(name)) for name in names]
    answers, begun = [], time.monotonic()
    for _round in range(size.rounds):
        provider.expire(names)
        answers += await all_calls(ships, connections, size.calls, range(PROCESSES))
    count = size.connections * size.rounds
    report.say(
        f"{count} expiries of {size.connections} connections, {len(answers)} calls by {PROCESSES} processes, in {time.monotonic() - begun:.0f} s"
    )
    report.check("token requests that arrived at the provider", sum(provider.arrived[name] for name in names), count)
    report.check("sign-ins renewed another number of times than they expired", _others(provider, names, size.rounds), 0)
    report.check("refresh tokens that came twice", sum(provider.refused[name] for name in names), 0)
    report.check("what calls got", told(answers), f'{{"200": {len(answers)}}}')
    report.check("connections lost", await lost(ships, connections), 0)


def _others(provider: Counting, names: list[str], times: int) -> int:
    return sum(provider.granted[name] != times for name in names)


async def lost(ships: Fleet, connections: list[int]) -> int:
    """How many connections are no longer active."""
    return sum([(await ships.read(connection))["status"] != "active" for connection in connections])


async def arrivals(provider: Counting, names: list[str]) -> None:
    """Until the provider has been asked for every one of these."""
    async with asyncio.timeout(60):
        while any(not provider.arrived[name] for name in names):  # noqa: ASYNC110  the provider counts, it does not tell
            await asyncio.sleep(0.02)


async def killed(ships: Fleet, provider: Counting, size: Size, report: Report) -> None:
    """The process that renews is killed while the provider still works on it: what was not carried out is renewed by another, what was is said to be lost."""
    undone, done = ([f"{kind}-{number}" for number in range(size.killed)] for kind in ("undone", "done"))
    first = [await ships.sign_in(provider.sign_in(name)) for name in undone]
    second = [await ships.sign_in(provider.sign_in(name)) for name in done]
    provider.drops = set(undone)
    provider.expire([*undone, *done])
    provider.hold([*undone, *done])
    victims = [asyncio.create_task(_quietly(ships.call(0, connection))) for connection in (*first, *second)]
    await arrivals(provider, [*undone, *done])
    await ships.processes[0].kill()
    provider.release([*undone, *done])
    begun = time.monotonic()
    others = range(1, PROCESSES)
    answers, gone = await asyncio.gather(all_calls(ships, first, 1, others), all_calls(ships, second, 1, others))
    await asyncio.gather(*victims)
    report.say(
        f"kill -9 of the process that renews {2 * size.killed} connections; the others went on within {time.monotonic() - begun:.0f} s"
    )
    report.check("not carried out by the provider: new grants per sign-in other than one", _others(provider, undone, 1), 0)
    report.check("not carried out by the provider: what calls of the others got", told(answers), f'{{"200": {len(answers)}}}')
    report.check("not carried out by the provider: connections lost", await lost(ships, first), 0)
    report.check("answer lost with the process: what calls got", told(gone), f'{{"409 connection_invalid": {len(gone)}}}')
    report.check(
        "answer lost with the process: answers without a link to reconnect",
        sum("reconnectUrl" not in one.get("error", {}) for one in gone),
        0,
    )
    errors = [(await ships.read(connection))["lastError"] or "" for connection in second]
    report.check("answer lost with the process: connections that do not say so", sum("was interrupted" not in error for error in errors), 0)


async def stopped(ships: Fleet, provider: Counting, size: Size, report: Report, victim: int, label: str) -> None:
    """The process that renews stands still longer than its lease, and goes on."""
    names = [f"{label}-{number}" for number in range(size.stopped)]
    connections = [await ships.sign_in(provider.sign_in(name)) for name in names]
    provider.expire(names)
    provider.hold(names)
    own = [asyncio.create_task(ships.call(victim, connection)) for connection in connections]
    await arrivals(provider, names)
    ships.signal(victim, signal.SIGSTOP)
    provider.release(names)
    calls = asyncio.create_task(all_calls(ships, connections, 1, range(victim + 1, PROCESSES)))
    await asyncio.sleep(DELAY + 1)
    ships.signal(victim, signal.SIGCONT)
    answers = [*await asyncio.gather(*own), *await calls]
    report.say(
        f"SIGSTOP for {DELAY + 1:.0f} s (the lease is {LEASE_MS / 1000:.0f} s) of the process that renews {size.stopped} connections"
    )
    report.check("token requests that arrived at the provider", sum(provider.arrived[name] for name in names), size.stopped)
    report.check("what calls got", told(answers), f'{{"200": {len(answers)}}}')
    report.check("connections lost", await lost(ships, connections), 0)


async def _quietly(work: Any) -> None:
    with contextlib.suppress(OSError, Exception):  # the process that was to answer is killed
        await work


async def simulated(folder: Path, size: Size, report: Report) -> None:
    """The parts that need a provider which does as it is told."""
    provider = Counting(delay=DELAY)
    async with upstream(provider) as served:
        provider.origin = served.origin
        for number in range(size.repeats):
            async with fleet(folder / f"run{number}", provider, partner_timeout=TIMEOUT) as ships:
                if number == 0:
                    await expiries(ships, provider, size, report)
                async with asyncio.TaskGroup() as group:
                    group.create_task(stopped(ships, provider, size, report, 1, f"stopped{number}"))
                    group.create_task(killed(ships, provider, size, report))
            for counted in (provider.arrived, provider.granted, provider.refused):
                counted.clear()


async def at_a_real_server(folder: Path, size: Size, report: Report) -> None:
    """The tokens of a server that no one here wrote expire by themselves, again and again."""
    count, rounds = size.oidc
    if not count:
        return
    try:
        async with (
            running_provider(accessSeconds=OIDC_SECONDS, tokenDelayAfterMs=DELAY * 1000) as provider,
            fleet(folder, provider) as ships,
        ):
            await provider.add_client(CLIENT, client_secret=CLIENT_SECRET)
            connections = []
            for _number in range(count):
                granted = await provider.tokens(CLIENT)
                values = {name: granted[name] for name in ("access_token", "refresh_token")}
                connections.append(await ships.sign_in(Grant(values=values, expires_at=time.time() + granted["expires_in"])))
            answers: list[dict[str, Any]] = []
            before = sum([await ships.generation(connection) for connection in connections])
            for _round in range(rounds):
                await asyncio.sleep(OIDC_SECONDS + 1)
                answers += await all_calls(ships, connections, 1, range(PROCESSES))
            grants = sum([await ships.generation(connection) for connection in connections]) - before
            asked = [entry for entry in await provider.asked() if entry["grant"] == "refresh_token"]
            report.say(f"{grants} expiries of {count} connections at npm oidc-provider, {len(answers)} calls by {PROCESSES} processes")
            report.check("token requests that arrived at the provider", len(asked), grants)
            report.check("token requests that it refused", sum(entry["status"] != 200 for entry in asked), 0)
            report.check("every token that was let expire was renewed", grants >= count * rounds, True)
            report.check("what calls got", told(answers), f'{{"200": {len(answers)}}}')
            report.check("connections lost", await lost(ships, connections), 0)
    except pytest.skip.Exception as missing:
        report.say(f"NOT DONE, npm oidc-provider: {missing}")


def main() -> int:
    """Run the drill; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the short form")
    size = QUICK if parser.parse_args().quick else FULL
    report = Report()
    report.say(
        f"{PROCESSES} processes of polyport serve on one SQLite data folder; the provider answers after {DELAY:.0f} s, the lease is {LEASE_MS / 1000:.0f} s"
    )
    with tempfile.TemporaryDirectory() as folder:
        machine = describe_machine(Path(folder), choose_cores())
        report.say(
            f"{machine.date}, commit {machine.commit}, {machine.cpu}, {machine.cores} cores, {machine.memory_gb:.0f} GB, {machine.system}, {machine.python}, "
            f"load average {machine.load_average:.1f}"
        )
        asyncio.run(simulated(Path(folder) / "simulated", size, report))
        asyncio.run(at_a_real_server(Path(folder) / "real", size, report))
    report.say(f"BROKEN: {len(report.broken)} promises" if report.broken else "All promises kept.")
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
