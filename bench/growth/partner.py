"""A partner whose operations can be made as large as one likes, and what it answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

PARTNER: Final = 990
SLUG: Final = "growth"
TEXT: Final = 9_900_001
ROWS: Final = 9_900_002
SIZED: Final = 9_900_003
MANY: Final = 9_900_004
FIELDS: Final = 9_901_000  # the action of n fields has this id and n
BASE_VARIABLE: Final = "POLYPORT_PARTNER_GROWTH_BASE_URL"
TOKEN: Final = "growth-token-0123456789"  # noqa: S105  it opens nothing but the benchmark's partner

_PARTNER: Final = f"""\
id: {PARTNER}
slug: {SLUG}
title: Growth
description: What grows.
categories: [test]
owners: [bench]
docs: https://www.example.com/docs
base: https://api.example.com
connection:
  auth:
    - name: api_token
      label: API token
      fields: [{{name: token, type: string, label: API token, required: true, secret: true}}]
      scheme: {{kind: bearer, token: "{{{{connection.token}}}}"}}
verified: {{how: cases, on: "2026-11-26"}}
"""
_RESULT: Final = "result: {at: data, fields: [{name: id, type: integer, label: ID}, {name: name, type: string, label: Name}]}\n"
_TEXT: Final = """\
fields: [{name: text, type: string, label: Text, required: true}]
call: {method: POST, path: /forwarded, body: {text: "{{text}}"}}
"""
_ROWS: Final = """\
sections:
  - name: items
    label: Items
    fields:
      - {name: title, type: string, label: Title, required: true}
      - {name: count, type: integer, label: Count}
      - {name: open, type: boolean, label: Open}
call: {method: POST, path: /forwarded, body: {items: "{{items}}"}}
"""
_SIZED: Final = """\
readOnly: true
fields: [{name: size, type: integer, label: Size, required: true}]
call: {method: GET, path: "/sized/{{size}}"}
result: {fields: [{name: text, type: string, label: Text}]}
"""
_MANY: Final = """\
readOnly: true
fields: [{name: count, type: integer, label: Count, required: true}]
call: {method: GET, path: "/many/{{count}}"}
result:
  sections:
    - name: items
      label: Items
      at: items
      fields:
        - {name: title, type: string, label: Title}
        - {name: count, type: integer, label: Count}
        - {name: open, type: boolean, label: Open}
"""


def write_partner(folder: Path, fields: Sequence[int]) -> Path:
    """Write the partner's folder into ``folder``, with an action for each number of fields; the folder of partners."""
    home = folder / "partners" / SLUG
    (home / "actions").mkdir(parents=True)
    (home / "partner.yaml").write_text(_PARTNER, "utf-8")
    made = {
        "take_text": (TEXT, "false", _TEXT + _RESULT),
        "take_rows": (ROWS, "false", _ROWS + _RESULT),
        "read_sized": (SIZED, "true", _SIZED),
        "read_many": (MANY, "true", _MANY),
        **{f"take_{count}_fields": (FIELDS + count, "false", _action(count) + _RESULT) for count in fields},
    }
    for name, (number, safe, text) in made.items():
        head = f"id: {number}\nname: {name}\ntitle: {name}\ndescription: What grows.\nidempotent: {safe}\n"
        (home / "actions" / f"{name}.yaml").write_text(head + text, "utf-8")
    return folder / "partners"


def _action(count: int) -> str:
    fields = "".join(f"  - {{name: f{number}, type: string, label: Field {number}, maxLength: 100}}\n" for number in range(count))
    body = "".join(f'    f{number}: "{{{{f{number}}}}}"\n' for number in range(count))
    return f"fields:\n{fields}call:\n  method: POST\n  path: /forwarded\n  body:\n{body}"


def item(number: int) -> dict[str, Any]:
    """A row."""
    return {"title": f"Item {number}", "count": number, "open": number % 2 == 0}


def run_body(connection: int, data: Any) -> str:
    """The body of a run."""
    return json.dumps({"credentialData": {"0": {"value": connection}}, "runnerData": data})


def write_answers(answers: Path, sizes: Sequence[int], counts: Sequence[int]) -> None:
    """What the partner answers to reads: files that nginx serves."""
    for kind, told in (("sized", {size: {"text": "x" * size} for size in sizes}), ("many", {count: _items(count) for count in counts})):
        (answers / kind).mkdir(parents=True, exist_ok=True)
        for number, value in told.items():
            (answers / kind / f"{number}.json").write_text(json.dumps(value), "utf-8")


def _items(count: int) -> dict[str, Any]:
    return {"items": [item(number) for number in range(count)]}
