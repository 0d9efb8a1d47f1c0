"""A partner of the tests' own, as a folder, and a server that is this partner: it counts what arrives and answers as a test says."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from e2e.served import Asked, Reply, Served, Upstream, answer, running_server, upstream
from polyport.catalog import Catalog

PARTNER: Final = 900001
CREATE, PUT, FILES, SHELVE, ASK, NEW, HOOK, STEPS, RESERVE, FETCH, ORDER, KEEP, STAY = range(90000101, 90000114)
SECRET: Final = "depot-key-4f7a19c2"

_FILES: Final[dict[str, str]] = {
    "partner.yaml": """
id: 900001
slug: depot
title: Depot
owners: [tests]
base: https://depot.example.com/v1
connection:
  fields: [{name: room, type: string, label: Room}]
  auth:
    - name: key
      label: Key
      fields: [{name: key, type: string, label: Key, required: true, secret: true}]
      scheme: {kind: api_key, in: header, param: x-key, value: "{{connection.key}}"}
  verify: {call: {path: /me}, account: "{{answer.name}}"}
errors:
  - {status: [422], body: {at: field}, kind: invalid_input, message: message, code: code, field: field, fields: {title: name}}
verified: {how: cases, on: "2026-11-24"}
""",
    "actions/create_thing.yaml": """
id: 90000101
name: create_thing
title: Create a thing
idempotent: false
fields:
  - {name: name, type: string, label: Name, required: true, maxLength: 40}
  - {name: size, type: integer, label: Size, min: 1, max: 100}
  - {name: price, type: decimal, label: Price}
  - {name: ready, type: boolean, label: Ready}
  - {name: since, type: datetime, label: Since}
  - {name: due, type: date, label: Due}
  - {name: phone, type: phone, label: Phone}
  - {name: extra, type: object, label: Extra}
  - {name: tags, type: "string[]", label: Tags}
  - {name: email, type: string, label: E-mail, format: email}
  - name: colour
    type: string
    label: Colour
    options: [{key: r, label: Red}, {key: b, label: Blue}, {key: s, label: Blue}]
  - {name: owner, type: integer, label: Owner, list: owners}
  - {name: maker, type: integer, label: Maker, list: makers}
  - {name: country, type: string, label: Country, list: countries}
  - {name: town, type: string, label: Town, list: towns}
sections:
  - name: rows
    label: Rows
    maxRows: 3
    fields:
      - {name: quantity, type: integer, label: Quantity, required: true}
      - {name: kind, type: string, label: Kind, options: [{key: big, label: Big}, {key: small, label: Small}]}
    sections:
      - {name: parts, label: Parts, fields: [{name: code, type: string, label: Code, required: true}]}
call:
  method: POST
  path: /things
  body:
    name: "{{name}}"
    size: "{{size}}"
    price: "{{price}}"
    ready: "{{ready}}"
    since: "{{since}}"
    due: "{{due}}"
    phone: "{{phone}}"
    extra: "{{extra}}"
    tags: "{{tags}}"
    email: "{{email}}"
    colour: "{{colour}}"
    owner: "{{owner}}"
    maker: "{{maker}}"
    town: "{{town}}"
    rows: "{{rows}}"
result:
  at: data
  fields:
    - {name: thing_id, type: integer, label: ID, at: id}
    - {name: name, type: string, label: Name}
""",
    "actions/put_thing.yaml": """
id: 90000102
name: put_thing
title: Put a thing
idempotent: true
fields:
  - {name: id, type: string, label: ID, required: true}
  - {name: name, type: string, label: Name}
call: {method: PUT, path: "/things/{{id}}", body: {name: "{{name}}"}}
result: {at: data, fields: [{name: name, type: string, label: Name}]}
""",
    "actions/send_files.yaml": """
id: 90000103
name: send_files
title: Send files
idempotent: false
fields:
  - {name: title, type: string, label: Title}
  - {name: photo, type: file, label: Photo}
  - {name: others, type: "file[]", label: Others}
sections:
  - {name: pages, label: Pages, fields: [{name: scan, type: file, label: Scan}]}
call:
  method: POST
  path: /files
  encoding: multipart
  body: {title: "{{title}}", photo: "{{photo}}", others: "{{others}}", pages: "{{pages}}"}
result: {fields: [{name: ok, type: boolean, label: Fine}]}
""",
    "actions/shelve.yaml": """
id: 90000104
name: shelve
title: Put on a shelf
idempotent: false
selectors:
  - {name: hall, type: integer, label: Hall, required: true, list: halls}
  - {name: shelf, type: string, label: Shelf, list: shelves}
fields:
  - {name: note, type: string, label: Note}
call: {method: POST, path: "/halls/{{hall}}/notes", body: {shelf: "{{shelf}}", note: "{{note}}"}}
result: {fields: [{name: ok, type: boolean, label: Fine}]}
""",
    "actions/ask.yaml": """
id: 90000105
name: ask
title: Ask
idempotent: false
readOnly: true
fields: [{name: q, type: string, label: Question}]
call: {path: /ask, query: {q: "{{q}}"}}
result: {fields: [{name: answer, type: string, label: Answer}]}
""",
    "triggers/new_things.yaml": """
id: 90000106
name: new_things
title: New things
order: newest_first
call:
  path: /things
  query: {limit: "{{page.size}}", cursor: "{{page.cursor}}", since: "{{window.from}}"}
items: data
key: id
time: {at: at}
pager: {kind: cursor, next: next, size: 3}
result: {fields: [{name: id, type: integer, label: ID}, {name: at, type: datetime, label: At}]}
""",
    "triggers/thing_hook.yaml": """
id: 90000107
name: thing_hook
title: Things as they come
type: webhook
hook: {manual: Paste the address under Settings.}
result: {fields: [{name: id, type: integer, label: ID}]}
""",
    "actions/two_steps.yaml": """
id: 90000108
name: two_steps
title: Find, then change
idempotent: false
fields:
  - {name: name, type: string, label: Name, required: true}
calls:
  - {path: /find, query: {name: "{{name}}"}, save: found}
  - {method: POST, path: "/things/{{steps.found.id}}/touch", body: {name: "{{name}}"}}
result: {fields: [{name: ok, type: boolean, label: Fine}]}
""",
    "actions/reserve.yaml": """
id: 90000109
name: reserve
title: Reserve, then confirm
idempotent: false
calls:
  - {method: POST, path: /reserve, save: made}
  - {method: POST, path: "/reserve/{{steps.made.id}}/confirm"}
result: {fields: [{name: ok, type: boolean, label: Fine}]}
""",
    "actions/fetch_report.yaml": """
id: 90000110
name: fetch_report
title: Fetch a report and send it on
idempotent: false
fields: [{name: send, type: boolean, label: Send it on}]
calls:
  - {path: /report, decode: file, save: report}
  - {method: POST, path: /inbox, encoding: multipart, body: {report: "{{steps.report}}"}, when: {at: send, equals: true}}
result: {value: {report: "{{steps.report}}"}, fields: [{name: report, type: file, label: Report}]}
""",
    "actions/make_order.yaml": """
id: 90000111
name: make_order
title: Make an order
idempotent: false
fields: [{name: name, type: string, label: Name, required: true}]
call: {method: POST, path: /orders, body: {name: "{{name}}", reference: "{{run.key}}"}}
reconcile:
  call: {path: /orders, query: {reference: "{{run.key}}"}}
  items: orders
  marker: {at: reference, value: "{{run.key}}"}
result: {fields: [{name: id, type: integer, label: ID}]}
""",
    "actions/keep_thing.yaml": """
id: 90000112
name: keep_thing
title: Keep a thing
idempotent: false
call: {method: POST, path: /kept}
retry: {attempts: 20, firstWait: 0.1, longestWait: 1}
result: {fields: [{name: ok, type: boolean, label: Fine}]}
""",
    "actions/stay_with_thing.yaml": """
id: 90000113
name: stay_with_thing
title: Stay with a thing
idempotent: true
call: {method: PUT, path: /stayed}
retry: {attempts: 2, firstWait: 0.1, longestWait: 1, within: 5}
result: {fields: [{name: ok, type: boolean, label: Fine}]}
""",
    "lists/owners.yaml": """
name: owners
title: Owners
call: {path: /owners, query: {limit: "{{page.size}}", cursor: "{{page.cursor}}"}}
pager: {kind: cursor, next: next, size: 100}
items: data
lifetime: 600
""",
    "lists/makers.yaml": """
name: makers
title: Makers
search: remote
minQuery: 2
call: {path: /makers, query: {q: "{{query}}"}}
items: data
""",
    "lists/countries.yaml": "{name: countries, title: Countries, call: {path: /countries}, items: data}",
    "lists/towns.yaml": 'name: towns\ntitle: Towns\ncall: {path: /towns, query: {country: "{{country}}"}}\nitems: data\ndependsOn: [country]\n',
    "lists/halls.yaml": "{name: halls, title: Halls, call: {path: /halls}, items: data}",
    "lists/shelves.yaml": 'name: shelves\ntitle: Shelves\ncall: {path: "/halls/{{hall}}/shelves"}\nitems: data\ndependsOn: [hall]\n',
}


def write_depot(root: Path) -> str:
    """Write the partner's folder under ``root/connectors``; what the setting ``connectors`` takes."""
    for name, text in _FILES.items():
        path = root / "connectors" / "depot" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return str(root / "connectors")


@functools.cache
def depot_catalog() -> Catalog:
    """The catalogue with the depot in it, loaded once for all tests of a process."""
    with tempfile.TemporaryDirectory() as folder:
        catalog = Catalog.load((write_depot(Path(folder)),), "http://127.0.0.1")
    assert not catalog.problems
    return catalog


Told = bytes | Callable[[Asked], "bytes | Awaitable[bytes | None] | None"]


@dataclass(slots=True, kw_only=True)
class Depot:
    """The partner's server. ``answers`` maps ``METHOD /path`` (or ``*``) to an answer or to what makes one; ``None`` ends the connection."""

    wire: Upstream
    answers: dict[str, Told] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        return self.wire.origin

    def of(self, line: str) -> list[Asked]:
        """What came for ``METHOD /path``, in order."""
        return [asked for asked in self.wire.asked if _line(asked) == line]

    def count(self, line: str) -> int:
        """How many requests came for ``METHOD /path``."""
        return len(self.of(line))

    async def arrived(self, line: str, times: int = 1, seconds: float = 60.0) -> None:
        """Wait until that many requests came for ``METHOD /path``."""
        async with asyncio.timeout(seconds):
            while self.count(line) < times:  # noqa: ASYNC110  the partner's handler is the test's, it signals nothing
                await asyncio.sleep(0.005)

    async def reply(self, asked: Asked) -> bytes | None:
        """What this request is answered with."""
        told = self.answers.get(_line(asked), self.answers.get("*"))
        if told is None:
            return _usual(asked, len(self.wire.asked))
        if isinstance(told, bytes):
            return told
        found = told(asked)
        return found if isinstance(found, bytes) or found is None else await found


def _line(asked: Asked) -> str:
    return f"{asked.method} {asked.target.partition('?')[0].removeprefix('/v1')}"


_LISTS: Final[dict[str, list[dict[str, Any]]]] = {
    "GET /owners": [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Grace"}, {"id": 3, "name": "Twin"}, {"id": 4, "name": "Twin"}],
    "GET /makers": [{"id": 7, "name": "Acme works"}, {"id": 8, "name": "Acne creams"}],
    "GET /countries": [{"id": "fr", "name": "France"}, {"id": "it", "name": "Italy"}],
    "GET /towns": [{"id": "par", "name": "Paris"}],
    "GET /halls": [{"id": 1, "name": "North"}, {"id": 2, "name": "South"}],
    "GET /halls/1/shelves": [{"id": "a", "name": "Upper"}, {"id": "b", "name": "Lower"}],
}


def _usual(asked: Asked, number: int) -> bytes:
    line = _line(asked)
    if line == "GET /me":
        return answer(200, {"name": "Depot of Ada"})
    if line in _LISTS:
        return answer(200, {"data": _LISTS[line]})
    if line.startswith(("POST /things", "PUT /things")):
        return answer(201, {"data": {"id": number, **json.loads(asked.body)}, "ok": True})
    return answer(200, {"ok": True, "answer": "yes", "id": 5})


@contextlib.asynccontextmanager
async def open_depot() -> AsyncIterator[Depot]:
    """Serve the partner on a free port while the block runs."""
    depots: list[Depot] = []

    async def handle(asked: Asked) -> bytes | None:
        return await depots[0].reply(asked)

    async with upstream(handle) as wire:
        depots.append(Depot(wire=wire))
        yield depots[0]


@dataclass(slots=True, kw_only=True)
class Bay:
    """A server with a connection at the depot."""

    served: Served
    depot: Depot
    connection: int

    async def afresh(self) -> Bay:
        """The same server with a new connection, and a partner that has seen nothing."""
        self.depot.answers.clear()
        connection = await self.served.connect(PARTNER, {"key": SECRET})
        self.depot.wire.asked.clear()
        return Bay(served=self.served, depot=self.depot, connection=connection)

    async def run(self, operation: int, data: Any = None, *, mode: str = "sync", key: str | None = None, **body: Any) -> Reply:
        """Run an operation with the connection."""
        asked = {"credentialData": {"0": {"value": self.connection}}, "runnerData": {} if data is None else data, **body}
        headers = {"Idempotency-Key": key} if key is not None else {}
        return await self.served.fetch("POST", f"/partners/trigger-actions/{operation}/run/{mode}", asked, headers=headers)

    async def read(self, run_id: str) -> dict[str, Any]:
        """A run as it stands."""
        found = await self.served.fetch("GET", f"/runs/{run_id}")
        assert found.status == 200, found.json
        return dict(found.json["data"])

    async def attempts(self, run_id: str) -> list[dict[str, Any]]:
        """The attempts of a run."""
        found = await self.served.fetch("GET", f"/runs/{run_id}/attempts")
        assert found.status == 200, found.json
        return list(found.json["data"])

    async def until(self, run_id: str, *statuses: str, seconds: float = 60.0) -> dict[str, Any]:
        """The run once it stands in one of these statuses; without any, once it ended."""
        wanted = statuses or ("succeeded", "failed", "uncertain", "cancelled")
        async with asyncio.timeout(seconds):
            while (run := await self.read(run_id))["status"] not in wanted:  # noqa: ASYNC110  runs are read as a caller reads them
                await asyncio.sleep(0.02)
        return run

    async def count_runs(self) -> int:
        """How many runs the account has (at most 100 are counted)."""
        return len((await self.served.fetch("GET", "/runs?per-page=100")).json["data"])


@contextlib.asynccontextmanager
async def open_bay(folder: Path, depot: Depot, **settings: Any) -> AsyncIterator[Bay]:
    """A server over ``folder/data`` that knows the depot, with a connection."""
    async with running_server(folder, catalog=depot_catalog(), partner_depot_base_url=depot.origin, **settings) as served:
        yield Bay(served=served, depot=depot, connection=await served.connect(PARTNER, {"key": SECRET}))
