"""A partner whose forms have what no bundled one has together: yes, no or not set, lists of numbers, files, rows in rows, lists that depend on others or are searched."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from e2e.served import Asked, Handler, Served, Upstream, answer, running_server, upstream

SHOP: Final = 900030
ORDER: Final = 90003001
LATEST: Final = 90003002
PATIENT: Final = 90003003
STAGES: Final = {"1": [("11", "First"), ("12", "Second")], "2": [("21", "Other")]}

_LIST: Final = 'items: ""\nkey: id\nlabel: "{{item.name}}"\n'
_FILES: Final = {
    "partner.yaml": f"""
id: {SHOP}
slug: oddshop
title: Odd shop
owners: [tests]
base: https://shop.example.com/v1
connection:
  auth:
    - name: key
      label: Key
      fields: [{{name: key, type: string, label: Key, required: true, secret: true}}]
      scheme: {{kind: api_key, in: header, param: x-key, value: "{{{{connection.key}}}}"}}
verified: {{how: cases, on: "2026-11-24"}}
""",
    "lists/pipelines.yaml": "name: pipelines\ntitle: Pipelines\ncall: {path: /pipelines}\n" + _LIST,
    "lists/stages.yaml": 'name: stages\ntitle: Stages\ncall: {path: /stages, query: {p: "{{pipeline}}"}}\ndependsOn: [pipeline]\n' + _LIST,
    "lists/people.yaml": 'name: people\ntitle: People\ncall: {path: /people, query: {q: "{{query}}"}}\nsearch: remote\n' + _LIST,
    "actions/order.yaml": f"""
id: {ORDER}
name: order
title: Place an order
idempotent: false
fields:
  - {{name: title, type: string, label: Title, sample: Blue chair}}
  - {{name: speed, type: string, label: Speed, required: true, default: slow, options: [{{key: slow, label: Not in a hurry}}, {{key: fast, label: At once}}]}}
  - {{name: agreed, type: nullable_boolean, label: Agreed}}
  - {{name: scores, type: "decimal[]", label: Scores}}
  - {{name: picture, type: file, label: Picture}}
  - {{name: pipeline, type: string, label: Pipeline, list: pipelines}}
  - {{name: stage, type: string, label: Stage, list: stages, dependsOn: [pipeline]}}
  - {{name: person, type: string, label: Person, list: people}}
sections:
  - name: boxes
    label: Boxes
    fields: [{{name: colour, type: string, label: Colour}}]
    sections:
      - name: things
        label: Things
        fields: [{{name: what, type: string, label: What}}, {{name: count, type: integer, label: How many}}]
call:
  method: POST
  path: /orders
  body: {{title: "{{{{title}}}}", agreed: "{{{{agreed}}}}", scores: "{{{{scores}}}}", boxes: "{{{{boxes}}}}"}}
  timeout: 2
result: {{fields: [{{name: ok, type: boolean, label: Fine}}]}}
""",
    "actions/patient_order.yaml": f"""
id: {PATIENT}
name: patient_order
title: Place an order and wait
idempotent: false
fields: [{{name: title, type: string, label: Title}}]
call: {{method: POST, path: /orders, body: {{title: "{{{{title}}}}"}}, timeout: 60}}
result: {{fields: [{{name: ok, type: boolean, label: Fine}}]}}
""",
    "triggers/latest.yaml": f"""
id: {LATEST}
name: latest
title: Latest orders
type: api
order: newest_first
call: {{path: /orders, query: {{page: "{{{{page.number}}}}"}}}}
items: orders
key: id
pager: {{kind: page, size: 2}}
result:
  fields: [{{name: id, type: integer, label: Id}}, {{name: at, type: datetime, label: At}}, {{name: what, type: string, label: What}}]
""",
}


def _listed(target: str) -> Any:
    url = urlsplit(target)
    asked = parse_qs(url.query)
    if url.path.endswith("/pipelines"):
        return [{"id": key, "name": f"Pipeline {key}"} for key in STAGES]
    if url.path.endswith("/stages"):
        return [{"id": key, "name": name} for key, name in STAGES[asked["p"][0]]]
    if url.path.endswith("/people"):
        return [{"id": f"p{number}", "name": f"{asked['q'][0]} number {number}"} for number in range(3)]
    page = int(asked["page"][0])
    return {
        "orders": [{"id": page * 10 + number, "at": 1_700_000_000 + number, "what": "A chair"} for number in range(2)] if page < 4 else []
    }


async def usual(asked: Asked) -> bytes:
    """What the shop answers."""
    if asked.method == "POST":
        return answer(200, {"ok": True, "given": json.loads(asked.body)})
    return answer(200, _listed(asked.target))


@contextlib.asynccontextmanager
async def open_shop(folder: Path, handler: Handler = usual, **settings: Any) -> AsyncIterator[tuple[Served, Upstream]]:
    """A server that knows the shop, with one connection to it, and the shop itself."""
    for name, text in _FILES.items():
        path = folder / "partners" / "oddshop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    async with upstream(handler) as there:
        given = {"partner_oddshop_base_url": there.origin, "partner_breaker_failures": 0} | settings
        async with running_server(folder, connectors=str(folder / "partners"), **given) as served:
            await served.connect(SHOP, {"key": "k"}, verify=False)
            yield served, there
