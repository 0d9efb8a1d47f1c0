"""A small partner in a folder that meets every rule of the quality scale but the live ones; tests break it in one place."""

from datetime import date
from pathlib import Path

from polyport.manifest.lint import lint_folder
from polyport.manifest.rules import RULES
from polyport.manifest.rules.base import Evidence

TODAY = date(2026, 11, 25)
BASE = "https://api.box.com/v1"
FIELDS = """result:
  fields:
    - {name: id, type: integer, label: Item ID, sample: 42}
    - {name: name, type: string, label: Title, sample: Blue}
"""


def action(number, name, method, **more):
    told = {"idempotent": "false", "body": '\n  body: {name: "{{name}}", group_id: "{{group_id}}"}', "flags": ""} | more
    path = "/items" if method in {"POST", "GET"} else "/items/7"
    return f"""id: {number}
name: {name}
title: {name}
description: What it does.
idempotent: {told["idempotent"]}{told["flags"]}
fields:
  - {{name: name, type: string, label: Title, required: true}}
  - {{name: group_id, type: integer, label: Group, list: groups}}
customFields: {{list: fields}}
call:
  method: {method}
  path: {path}{told["body"]}
{FIELDS}"""


REPLY = "{status: 200, json: {id: 42, name: Blue}}"
READS = {"body": '\n  query: {q: "{{name}}"}', "idempotent": "true", "flags": "\nreadOnly: true"}


def ok(method, body=", json: {name: Blue}", path="/items"):
    sent = "query: {q: Blue}" if method == "GET" else body.removeprefix(", ")
    return f"""title: It works
input: {{name: Blue}}
exchanges:
  - {{request: {{method: GET, url: "{BASE}/fields"}}, reply: {{json: []}}}}
  - {{request: {{method: {method}, url: "{BASE}{path}", {sent}}}, reply: {REPLY}}}
result: {{id: 42, name: Blue}}
"""


def refusal(status, error, headers="{}", body="{error: No.}"):
    return f"""title: A refusal
input: {{name: Blue}}
exchanges:
  - {{request: {{method: GET, url: "{BASE}/fields"}}, reply: {{json: []}}}}
  - {{request: {{method: POST, url: "{BASE}/items", json: {{name: Blue}}}}, reply: {{status: {status}, headers: {headers}, json: {body}}}}}
error: {error}
"""


FILES = {
    "partner.yaml": f"""id: 9
slug: box
title: Box
description: Items and groups.
owners: [ada, bob]
docs: https://docs.box.com
base: {BASE}
connection:
  auth:
    - name: token
      label: Token
      fields: [{{name: api_token, type: string, label: API token, secret: true}}]
      scheme: {{kind: bearer, token: "{{{{connection.api_token}}}}"}}
    - name: sign_in
      label: Sign in
      scheme: {{kind: oauth2, authorizeUrl: "https://box.com/authorize", tokenUrl: "https://box.com/token", scopes: [items]}}
  verify: {{call: {{path: /me}}, account: "{{{{answer.name}}}}"}}
errors:
  - {{status: [401], kind: invalid_connection, message: error}}
  - {{status: [404], kind: not_found, message: error}}
  - {{status: [400, 422], kind: invalid_input, message: error, field: field}}
  - {{status: [429], kind: rate_limited, message: error, retryAfter: {{header: Retry-After}}}}
  - {{status: [5xx], kind: unavailable, message: error}}
verified: {{how: live, on: "2026-11-24"}}
""",
    "actions/create_item.yaml": action(90001, "create_item", "POST"),
    "actions/update_item.yaml": action(90002, "update_item", "PATCH"),
    "actions/delete_item.yaml": action(90003, "delete_item", "DELETE", flags="\ndestructive: true"),
    "actions/find_items.yaml": action(90004, "find_items", "GET", **READS),
    "actions/list_items.yaml": action(90005, "list_items", "GET", **READS),
    "triggers/new_items.yaml": f"""id: 90011
name: new_items
title: New items
description: Gives new ones.
call: {{path: /items, query: {{page: "{{{{page.number}}}}"}}}}
items: items
key: id
pager: {{kind: page, size: 1}}
{FIELDS}""",
    "triggers/told_items.yaml": "id: 90012\nname: told_items\ntitle: Told items\ndescription: Sent by Box.\ntype: webhook\nhook: {manual: Paste the address under Settings.}\n",
    "lists/groups.yaml": 'name: groups\ntitle: Groups\ncall: {path: /groups, query: {name: "{{name}}"}}\ndependsOn: [name]\n',
    "lists/fields.yaml": "name: fields\ntitle: Fields\ncall: {path: /fields}\ncustomFields: {key: id, label: name, type: kind}\n",
    "cases/connection.yaml": "auth: token\nfields: {api_token: test-token-1234567890}\n",
    "cases/create_item/ok.yaml": ok("POST"),
    "cases/create_item/refused_token.yaml": refusal(401, "{code: connection_invalid}"),
    "cases/create_item/refused_value.yaml": refusal(
        422, "{code: partner_error, fields: [{path: runnerData.name}]}", body="{error: No., field: name}"
    ),
    "cases/create_item/too_many.yaml": refusal(429, "{code: partner_rate_limited, retryAfterMs: 5000}", headers='{Retry-After: "5"}'),
    "cases/create_item/down.yaml": refusal(503, "{code: partner_unavailable}"),
    "cases/update_item/ok.yaml": ok("PATCH", path="/items/7"),
    "cases/delete_item/ok.yaml": ok("DELETE", path="/items/7"),
    "cases/find_items/ok.yaml": ok("GET"),
    "cases/list_items/ok.yaml": ok("GET"),
    "cases/new_items/ok.yaml": f"""title: One page, and an empty one
exchanges:
  - {{request: {{method: GET, url: "{BASE}/items", query: {{page: "1"}}}}, reply: {{json: {{items: [{{id: 42, name: Blue}}]}}}}}}
  - {{request: {{method: GET, url: "{BASE}/items", query: {{page: "2"}}}}, reply: {{json: {{items: []}}}}}}
items: [{{id: 42, name: Blue}}]
""",
    "cases/lists/groups/ok.yaml": f"""title: Groups
input: {{name: Blue}}
exchanges: [{{request: {{method: GET, url: "{BASE}/groups", query: {{name: Blue}}}}, reply: {{json: [{{id: 7, name: Boxes}}]}}}}]
options: [{{key: 7, label: Boxes}}]
""",
    "notes.md": """# Box

## Get credentials

Log in, open Settings, copy the token.

## Scopes

`items` is for reading and writing items.

## Limits

A hundred calls a minute are taken.

## Times and numbers

All times are in UTC, numbers have a point.

## Errors

A refusal has a sentence under `error`.

## Versions

Version 1; an end is announced a year before.

## Known gaps

Groups cannot be changed with this folder.

## Sources

create_item, update_item, delete_item, find_items, list_items, new_items, told_items: <https://docs.box.com/items>
""",
}
CLAIMS = "\n".join(f"{name}: done" for name in RULES)
IDS = """
ids:
  partner: 9
  operations: {create_item: 90001, update_item: 90002, delete_item: 90003, find_items: 90004, list_items: 90005, new_items: 90011, told_items: 90012}
"""


def write_box(folder: Path, **changes):
    """The folder ``box``; a change maps a file (``/`` as ``__``, no ``.yaml``) to its text, to ``(old, new)``, or to ``None`` for no file."""
    box = folder / "box"
    named = {name.replace("__", "/") + ("" if "." in name else ".yaml"): change for name, change in changes.items()}
    files = FILES | {"quality.yaml": CLAIMS + IDS}
    for name, change in named.items():
        if isinstance(change, tuple):
            assert change[0] in files[name], (name, change)
            files[name] = files[name].replace(*change)
        else:
            files[name] = change
    for name, text in files.items():
        if text is not None:
            (box / name).parent.mkdir(parents=True, exist_ok=True)
            (box / name).write_text(text)
    return box


def evidence(folder, **more):
    linted = lint_folder(folder, more.pop("others", ()), RULES)
    assert linted.partner is not None, [str(problem) for problem in linted.problems]
    return Evidence(linted=linted, partner=linted.partner, today=TODAY, random_faults=more.pop("random_faults", ()), **more)
