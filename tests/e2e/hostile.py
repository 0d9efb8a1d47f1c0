"""A server whose names, answers and descriptions were written by somebody who means ill: markup, templates, other directions, ten thousand characters."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from e2e.served import Asked, Served, answer, running_server, upstream

PARTNER, MAKE = 990021, 99002101
MARK = "<x-hostile onload=alert(1)>"
EVIL = f"{MARK}</textarea></script>\"' onfocus=x {{{{ 7*7 }}}} \u202egnp.\u05d0\u05d1 {{% raw %}}"
LONG = MARK + "W" * 10_000


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """The server, and the pages that show what was planted."""

    served: Served
    pages: tuple[str, ...]


def _folder() -> dict[str, str]:
    evil, label = json.dumps(EVIL), json.dumps(EVIL[:100])
    return {
        "partner.yaml": f"""
id: {PARTNER}
slug: hostile
title: {label}
description: {evil}
owners: [polyport]
base: https://hostile.example.com
connection:
  auth:
    - {{name: key, label: {label}, hint: {evil}, fields: [{{name: key, type: string, label: {label}, hint: {evil}, required: true, secret: true}}], scheme: {{kind: bearer, token: "{{{{connection.key}}}}"}}}}
errors: [{{status: [400], kind: invalid_input, message: error}}]
verified: {{how: cases, on: "2026-11-24"}}
""",
        "actions/make.yaml": f"""
id: {MAKE}
name: make
title: {label}
description: {evil}
idempotent: false
fields: [{{name: name, type: string, label: {label}, hint: {evil}}}]
sections: [{{name: rows, label: {label}, fields: [{{name: cell, type: string, label: {label}}}]}}]
call: {{method: POST, path: /make, body: {{name: "{{{{name}}}}", rows: "{{{{rows}}}}"}}}}
result: {{fields: [{{name: made, type: string, label: {label}}}]}}
""",
        "notes.md": EVIL,
    }


@contextlib.asynccontextmanager
async def open_hostile(folder: Path) -> AsyncIterator[Hostile]:
    """Run the server, and let it all happen."""
    for name, text in _folder().items():
        path = folder / "partners" / "hostile" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    async def reply(asked: Asked) -> bytes:
        body = asked.body.decode()
        return answer(400 if "refuse" in body else 200, {"made": LONG, "error": LONG, EVIL: [EVIL, LONG]}, {"X-Evil": "<x-hostile>"})

    async with (
        upstream(reply) as up,
        running_server(folder, connectors=str(folder / "partners"), partner_hostile_base_url=up.origin, runs_attempts=1) as served,
    ):
        yield Hostile(served=served, pages=await _plant(served))


async def _plant(served: Served) -> tuple[str, ...]:
    made = {"title": EVIL, "externalUserId": EVIL, "metadata": {EVIL: LONG[:3_000]}}
    connection = await served.connect(PARTNER, {"key": "made-up-key-1"}, verify=False, **made)
    runs = []
    for name in (LONG, "refuse"):
        body = {
            "credentialData": {"0": {"value": connection}},
            "runnerData": {"name": name, "rows": [{"cell": LONG}]},
            "metadata": {"k": EVIL},
        }
        await served.fetch("POST", f"/partners/trigger-actions/{MAKE}/run/sync", body)
        runs.append((await served.call("GET", "/runs?per-page=1"))[2]["data"][0]["runId"])
    await served.call("POST", "/credentials/grant-access-sharing", {"partnerId": PARTNER, **made})
    await served.call("POST", "/api-keys", {"title": EVIL[:100], "scopes": ["runs:read"]})
    hook = {"url": "https://hooks.example.com/" + "x" * 500, "title": EVIL[:100], "eventTypes": ["*"]}
    endpoint = (await served.call("POST", "/event-endpoints", hook))[2]["data"]["endpointId"]
    await served.fetch("POST", f"/console-users/{'9' * 5}/link", {})
    return (
        "/console/start",
        "/console/overview",
        "/console/catalogue?q=hostile",
        f"/console/catalogue/{PARTNER}",
        "/console/connections",
        f"/console/connections/{connection}",
        f"/console/connections/new?partnerId={PARTNER}",
        "/console/connections/links",
        "/console/runs",
        *(f"/console/runs/{run}" for run in runs),
        "/console/try?q=hostile",
        f"/console/try/{MAKE}?connection={connection}",
        "/console/settings/keys",
        "/console/settings/webhooks",
        f"/console/settings/webhooks/{endpoint}",
        "/console/settings/audit",
        f"/console/docs?q={MARK}",
    )
