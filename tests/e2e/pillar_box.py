"""A partner that takes letters: of several fields one is needed, one is secret, and very many accounts are connected to it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from e2e.served import Asked, Served, answer, running_server, upstream

LETTERS: Final = 900020
SEND: Final = 90002001

_FILES: Final = {
    "partner.yaml": f"""
id: {LETTERS}
slug: letters
title: Letters
owners: [tests]
base: https://letters.example.com/v1
connection:
  auth:
    - name: key
      label: Key
      fields: [{{name: key, type: string, label: Key, required: true, secret: true}}]
      scheme: {{kind: api_key, in: header, param: x-key, value: "{{{{connection.key}}}}"}}
verified: {{how: cases, on: "2026-11-24"}}
""",
    "actions/send.yaml": f"""
id: {SEND}
name: send
title: Send a letter
idempotent: true
needsOneOf:
  - [[email], [phone, country]]
fields:
  - {{name: email, type: string, label: E-mail address}}
  - {{name: phone, type: string, label: Phone number}}
  - {{name: country, type: string, label: Country of the phone}}
  - {{name: pin, type: string, label: Pin, secret: true}}
sections:
  - name: copies
    label: Copies
    needsOneOf: [[[to], [desk]]]
    fields:
      - {{name: to, type: string, label: To whom}}
      - {{name: desk, type: string, label: To which desk}}
call: {{method: POST, path: /letters, body: {{email: "{{{{email}}}}", pin: "{{{{pin}}}}"}}}}
result: {{fields: [{{name: ok, type: boolean, label: Fine}}]}}
""",
}


@contextlib.asynccontextmanager
async def open_pillar_box(folder: Path) -> AsyncIterator[Served]:
    """A server that knows the partner, and the partner itself, which takes everything."""
    for name, text in _FILES.items():
        path = folder / "partners" / "letters" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    async def reply(_asked: Asked) -> bytes:
        return answer(200, {"ok": True})

    async with (
        upstream(reply) as there,
        running_server(folder, connectors=str(folder / "partners"), partner_letters_base_url=there.origin) as served,
    ):
        yield served


async def connect_many(served: Served, count: int) -> list[int]:
    """So many connections, ``Customer 0`` and so on, each of its own external user; their ids."""
    return [
        await served.connect(LETTERS, {"key": "k"}, verify=False, title=f"Customer {number}", externalUserId=f"user-{number}")
        for number in range(count)
    ]
