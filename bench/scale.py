"""A server with a catalogue of 1,500 partners and 60,000 operations, beside one with the bundled partners alone: starts, memory, lists, searches, schemas.

``make bench ARGS=--catalogue``. The folders are generated from the descriptions in POLYPORT_CORPUS (``bench.many``) under var/bench-catalogue, and kept: the
first time takes long. One caller asks over HTTP, one request at a time, with its own core where there is one.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from bench.machine import describe_machine
from bench.many import generate, import_all
from bench.processes import ROOT, Process, choose_cores, free_port, start_process, wait_for_answer
from bench.servers import EMAIL, PASSWORD, ask

LOOK_SECONDS: Final = 20.0
HOME: Final = ROOT / "var" / "bench-catalogue"
ASKED: Final = 400
UNSEEN: Final = 150
STARTS: Final = 3


@dataclass(frozen=True, slots=True)
class Times:
    """How long requests took, in milliseconds, and the CPU time of the server for one."""

    what: str
    sorted_ms: Sequence[float]
    cpu_ms: float

    def line(self) -> str:
        """A row of the table."""
        count = len(self.sorted_ms)
        p50, p99 = self.sorted_ms[count // 2], self.sorted_ms[min(count - 1, int(count * 0.99))]
        return f"| {self.what} | {count} | {p50:.2f} | {p99:.2f} | {self.sorted_ms[-1]:.2f} | {self.cpu_ms:.2f} |"


class Server:
    """A server that runs, and a connection to it."""

    def __init__(self, process: Process, port: int, seconds: float, cpu: float) -> None:
        self.process = process
        self.port = port
        self.seconds = seconds
        self.cpu = cpu
        self.started_mb = process.memory()[0]
        self.token = str(ask(port, "POST", "/user/auth", {"email": EMAIL, "password": PASSWORD})["data"]["authToken"])
        self._wire = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def get(self, path: str) -> tuple[float, Any]:
        """A GET: milliseconds until the answer was read, and the answer; ``None`` for one that is no success."""
        began = time.perf_counter()
        self._wire.request("GET", path, headers={"Authorization": f"Bearer {self.token}"})
        answer = self._wire.getresponse()
        content = answer.read()
        took = (time.perf_counter() - began) * 1000
        return took, json.loads(content) if answer.status == 200 else None

    def times(self, what: str, paths: Sequence[str], *, warm: int = 10) -> Times:
        """How long these take; the first few are not counted."""
        for path in paths[:warm]:
            self.get(path)
        cpu = self.process.cpu_seconds()
        took = sorted(self.get(path)[0] for path in paths[warm:])
        return Times(what, took, (self.process.cpu_seconds() - cpu) / max(1, len(took)) * 1000)


def _nowhere(extra: str) -> dict[str, str]:
    """Settings by which every partner stands at an address that may not be called.

    Schemas ask partners for their lists. Were they looked for by name, a name server would be measured too: one that missed a question cost five seconds.
    """
    roots = [Path(str(files("polyport").joinpath("connectors"))), *([Path(extra)] if extra else [])]
    slugs = [folder.name for root in roots for folder in root.iterdir() if folder.is_dir()]
    return {f"POLYPORT_PARTNER_{re.sub('[^A-Z0-9]', '_', slug.upper())}_BASE_URL": "http://127.0.0.1:9" for slug in slugs}


@contextlib.contextmanager
def _server(folder: Path, extra: str, core: int, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POLYPORT_")} | {
        "POLYPORT_BOOTSTRAP_EMAIL": EMAIL,
        "POLYPORT_BOOTSTRAP_PASSWORD": PASSWORD,
        "POLYPORT_CONNECTORS": extra,
        **(settings or {}),
    }
    with (folder.parent / f"{folder.name}.log").open("ab") as log:
        command = [str(Path(sys.executable).with_name("polyport")), "serve", "--port", str(port), "--data", str(folder)]
        began = time.perf_counter()
        process = start_process("polyport", command, core, log=log, environment=environment)
        try:
            wait_for_answer(process, port, "/healthz", seconds=3600)
            yield Server(process, port, time.perf_counter() - began, process.cpu_seconds())
        finally:
            process.stop()


def _typo(word: str, dice: random.Random) -> str:
    """A word without one of its inner letters."""
    if len(word) < 5:
        return word
    at = dice.randrange(1, len(word) - 1)
    return word[:at] + word[at + 1 :]


def _questions(server: Server, total: int, dice: random.Random) -> dict[str, list[str]]:
    """What is searched: words of operations that there are, whole, with typos and begun; and words that stand everywhere."""
    sample: list[tuple[str, str]] = []
    while len(sample) < ASKED + 10:
        page = server.get(f"/partners/trigger-actions/info?per-page=20&page={dice.randint(1, max(1, total // 20))}")[1]
        partner = server.get(f"/partners/{page['data'][0]['partnerId']}")[1]["data"]["title"]
        sample += [(item["title"], partner) for item in page["data"]]
    exact, typos, begun = [], [], []
    for title, partner in sample:
        words = [word for word in title.split() if word.isalnum()][:3] or ["create"]
        brand = partner.split()[-1]
        exact.append(" ".join([*words[:2], brand]))
        typos.append(" ".join(_typo(word, dice) for word in [*words[:2], brand]))
        begun.append(" ".join(word[:4] for word in words[:2]))
    broad = [
        dice.choice(["create", "get", "list", "update user", "delete", "a", "c", "get list", "add record", "user", "new", "file"])
        for _each in sample
    ]
    return {"exact words": exact, "words with typos": typos, "beginnings": begun, "words that stand everywhere": broad}


def _lists(server: Server, dice: random.Random) -> tuple[list[Times], int]:
    partners = server.get("/partners/info?per-page=1")[1]["meta"]["totalItemsCount"]
    total = server.get("/partners/trigger-actions/info?per-page=1")[1]["meta"]["totalItemsCount"]

    def pages(path: str, count: int, size: int) -> list[str]:
        return [f"{path}per-page={size}&page={dice.randint(1, max(1, count // size))}" for _each in range(ASKED)]

    ids = [each["partnerId"] for each in server.get("/partners/info?per-page=100")[1]["data"]]
    found = [
        server.times("partners/info, any page of 20", pages("/partners/info?", partners, 20)),
        server.times("trigger-actions/info, any page of 20", pages("/partners/trigger-actions/info?", total, 20)),
        server.times("the same, pages of 100", pages("/partners/trigger-actions/info?", total, 100)),
        server.times("the same, sorted by title", pages("/partners/trigger-actions/info?sort=title&", total, 20)),
        server.times(
            "the same, of one partner", [f"/partners/trigger-actions/info?filter[partnerId]={dice.choice(ids)}" for _each in range(ASKED)]
        ),
        server.times(
            "the same, actions that are not deprecated",
            pages("/partners/trigger-actions/info?filter[isAction]=1&filter[deprecated]=0&", total, 20),
        ),
        server.times(
            "the same, a part of the title",
            [
                f"/partners/trigger-actions/info?filter[title][like]={dice.choice(['user', 'create', 'list%20of', 'webh'])}"
                for _each in range(100)
            ],
        ),
    ]
    for what, questions in _questions(server, total, dice).items():
        found.append(server.times(f"q, {what}", [f"/partners/trigger-actions/info?q={quote(question)}" for question in questions]))
    found.append(
        server.times("q over partners", [f"/partners/info?q={quote(word)}" for word in ("slck", "google sheets", "pay", "mail") * 60])
    )
    return found, total


def _connected(server: Server, dice: random.Random) -> list[str]:
    """Schemas to read: of operations of many partners, with connections that are made here."""
    paths: list[str] = []
    total = server.get("/partners/info?per-page=1")[1]["meta"]["totalItemsCount"]
    while len(paths) < UNSEEN:
        page = server.get(f"/partners/info?per-page=1&page={dice.randint(1, total)}")[1]["data"][0]
        partner = page["partnerId"]
        asked = server.get(f"/partners/{partner}/credential-fields")[1]["data"]
        fitting = [way for way in asked if not way["byLinkOnly"]]
        query = ""
        if asked and not fitting:
            continue
        if fitting:
            fields = {each["name"]: "abc-12345" for each in fitting[0]["fields"] if each["isRequired"]}
            body = {"partnerId": partner, "title": "B", "auth": fitting[0]["auth"], "fields": fields}
            try:
                made = ask(server.port, "POST", "/credentials", body, token=server.token, expect=201)
            except Exception:  # noqa: BLE001, S112  a partner that wants fields of another shape: there are others
                continue
            query = f"?credentialId={made['data']['credentialId']}"
        operations = server.get(f"/partners/trigger-actions/info?filter[partnerId]={partner}&per-page=100")[1]["data"]
        chosen = dice.sample(operations, min(3, len(operations)))
        paths += [f"/partners/trigger-actions/{each['triggerActionId']}/schema{query}" for each in chosen]
    return paths


def _begin_anew(folder: Path) -> None:
    """Keep the index alone: what else a server kept may be of another version, which cannot read it."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir() and path.name != "catalog":
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()


def _let_look(server: Server) -> None:
    """Wait until the process that looks at the folders' files has come and gone: it shares the server's core, for the first seconds alone."""
    seen, until = False, time.monotonic() + LOOK_SECONDS
    while time.monotonic() < until:
        busy = len(server.process.family()) > 1
        if seen and not busy:
            time.sleep(1)  # what it found is taken up
            return
        seen = seen or busy
        time.sleep(0.05)


def _measure(name: str, extra: str, core: int, tell: Callable[[str], None]) -> None:
    folder, dice = HOME / f"data-{name}", random.Random(1)  # noqa: S311  it chooses what is asked
    tell(f"\n## {name}\n")
    _begin_anew(folder)
    alone = _nowhere(extra)
    with _server(folder, extra, core, alone) as server:
        paths = _connected(server, dice)
    starts: list[Server] = []
    for _start in range(STARTS):
        with _server(folder, extra, core) as server:
            starts.append(server)
    told = ", ".join(f"{each.seconds:.2f} s ({each.cpu:.2f} s of CPU, {each.started_mb:.0f} MB)" for each in starts)
    tell(f"Starts with an index, from the program's start to its first answer: {told}.\n")
    with _server(folder, extra, core, alone) as server:
        _let_look(server)
        found = [server.times("schema of an operation that nobody asked for yet", paths, warm=3)]
        found.append(server.times("the same operations again", paths, warm=3))
        lists, total = _lists(server, dice)
        now, peak = server.process.memory()
        ready = server.get("/readyz")[1]["data"]["checks"]
    tell(f"{ready['partners']} partners, {total} operations. Memory after all that follows: {now:.0f} MB, at its highest {peak:.0f} MB.\n")
    tell("| | requests | p50 ms | p99 ms | longest ms | CPU ms |\n|---|---|---|---|---|---|")
    for times in [*found, *lists]:
        tell(times.line())


def main() -> int:
    """Generate what is not there, measure, print. 0 when everything could be measured."""
    corpus = os.environ.get("POLYPORT_CORPUS")
    folders = HOME / "partners"
    HOME.mkdir(parents=True, exist_ok=True)
    if not folders.is_dir():
        if corpus is None:
            print("POLYPORT_CORPUS has to name the folder of API descriptions.", file=sys.stderr)
            return 1
        import_all(Path(corpus), HOME / "imported")
        generate(HOME / "imported", folders)
    cores = choose_cores()
    machine = describe_machine(HOME, cores)
    print("# A catalogue of many partners\n")
    print(
        f"{machine.date}, commit {machine.commit}, {machine.cpu}, {machine.cores} cores, {machine.memory_gb:.0f} GB, {machine.system}, {machine.python}; load of the minute before: {machine.load_average:.1f}."
    )
    print(
        "One caller over HTTP on 127.0.0.1, one request at a time; times are those of the caller. The server's data is on disk, the index warm in the system's memory."
    )
    for name, extra in (("bundled", ""), ("many", str(folders))):
        _measure(name, extra, cores.server, print)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
