"""What the upstream stands in for: the few answers of Pipedrive that the measured run needs, and the run itself."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

OPERATION: Final = 2250101
TRIGGER: Final = 2250501
TRIGGER_ITEMS: Final = 10
PARTNER: Final = 225
PERSONS: Final = "/api/v2/persons"
# The direct callers and the forwarder post here: the same answer, counted apart from what Polyport sends.
FORWARDED: Final = "/forwarded"
ARRIVALS: Final = "/arrivals"
# Behind it comes how many milliseconds the upstream lets pass before it answers, from now on.
DELAY: Final = "/delay/"

TIER: Final = "0bb397cdbaedaf09d02c1b294f4442218e4b0259"
ACCOUNT_NUMBER: Final = "dca458e00f3bf2cd4e6f8f194d405ff972994acc"
DIRECT_LINE: Final = "28a431fcd085d3be0a2ac5e5a527b68a1781abad"

CONNECTION: Final[dict[str, Any]] = {
    "partnerId": PARTNER,
    "title": "Benchmark",
    "fields": {"company": "acme", "api_token": "bench-api-token-0123456789"},
    "auth": "api_token",
}

_USER: Final[dict[str, Any]] = {
    "id": 9001,
    "name": "Ada Example",
    "email": "ada@example.com",
    "company_name": "Acme",
    "company_domain": "acme",
    "active_flag": True,
}


def _field(name: str, code: str, kind: str, *, custom: bool = True, options: Any = None) -> dict[str, Any]:
    return {
        "field_name": name,
        "field_code": code,
        "field_type": kind,
        "options": options,
        "subfields": None,
        "is_custom_field": custom,
        "is_optional_response_field": False,
    }


PERSON_FIELDS: Final[list[dict[str, Any]]] = [
    _field("Name", "name", "varchar", custom=False),
    _field("Tier", TIER, "enum", options=[{"id": 11, "label": "Gold"}, {"id": 12, "label": "Silver"}]),
    _field("Direct line", DIRECT_LINE, "phone"),
    _field("Account number", ACCOUNT_NUMBER, "varchar"),
]

PERSON: Final[dict[str, Any]] = {
    "id": 1042,
    "name": "Ada Lovelace",
    "first_name": "Ada",
    "last_name": "Lovelace",
    "owner_id": 9001,
    "org_id": None,
    "add_time": "2026-11-24T09:30:00Z",
    "update_time": "2026-11-24T10:00:00Z",
    "emails": [{"value": "ada@example.com", "primary": True, "label": "work"}],
    "phones": [{"value": "+442079460000", "primary": True, "label": "work"}],
    "is_deleted": False,
    "visible_to": 3,
    "label_ids": [],
    "picture_id": None,
    "custom_fields": {TIER: 11, DIRECT_LINE: None, ACCOUNT_NUMBER: "AC-1815"},
}


def custom_name(code: str) -> str:
    """The public name of one of the account's own fields."""
    return "cf__" + hashlib.md5(code.encode(), usedforsecurity=False).hexdigest()


def runner_data() -> dict[str, Any]:
    """The input of the measured run: plain fields, two of the account's own, an e-mail row, a phone row."""
    return {
        "name": "Ada Lovelace",
        "visible_to": "3",
        custom_name(ACCOUNT_NUMBER): "AC-1815",
        custom_name(TIER): "11",
        "email": [{"value": "ada@example.com", "label": "work", "primary": True}],
        "phone": [{"value_": "+44 20 7946 0000", "label_": "work", "primary_": True}],
    }


def run_body(connection: int, *, dry_run: bool = False) -> str:
    """The JSON body of a run."""
    body: dict[str, Any] = {"credentialData": {"0": {"value": connection}}, "runnerData": runner_data()}
    return json.dumps(body | {"dryRun": True} if dry_run else body)


def trigger_body(connection: int) -> str:
    """The JSON body of a run that reads the newest persons."""
    return json.dumps({"credentialData": {"0": {"value": connection}}, "limit": TRIGGER_ITEMS})


def answers() -> dict[tuple[str, str], tuple[int, Any]]:
    """Method and path to status and JSON."""
    created = (201, {"success": True, "data": PERSON})
    return {
        ("POST", PERSONS): created,
        ("POST", FORWARDED): created,
        ("GET", PERSONS): (
            200,
            {
                "success": True,
                "data": [PERSON | {"id": 2000 - index} for index in range(TRIGGER_ITEMS)],
                "additional_data": {"next_cursor": None},
            },
        ),
        ("GET", "/api/v1/users/me"): (200, {"success": True, "data": _USER}),
        ("GET", "/api/v1/users"): (200, {"success": True, "data": [_USER]}),
        ("GET", "/api/v2/personFields"): (200, {"success": True, "data": PERSON_FIELDS, "additional_data": {"next_cursor": None}}),
    }
