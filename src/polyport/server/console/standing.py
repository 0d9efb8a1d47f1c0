"""How connections stand, in words. One that is in use though nothing has ever proved it is not said to work: it is told apart, in lists, counts and filters alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

UNVERIFIED: Final = "unverified"
STANDS: Final = {
    "active": "Works",
    UNVERIFIED: "Not checked",
    "pending": "To be checked",
    "invalid": "Refused",
    "expired": "Sign-in expired",
}


def stands(item: Mapping[str, Any]) -> dict[str, Any]:
    """How one stands: a name and its words, and what its last check came to that could not be made."""
    name = UNVERIFIED if item["status"] == "active" and item["lastVerifiedAt"] is None else str(item["status"])
    return {"name": name, "label": STANDS[name], "doubt": item["lastError"] if item["status"] in {"active", "pending"} else None}


def counted(counts: Mapping[str, int]) -> list[tuple[str, str, int]]:
    """How many stand how, from what the API counts: a name, its words, a number."""
    own = {**counts, "active": counts.get("active", 0) - counts.get(UNVERIFIED, 0)}
    return [(name, label, own.get(name, 0)) for name, label in STANDS.items()]


def filtered(name: str | None) -> dict[str, Any]:
    """The filters of the API that find those that stand so."""
    if name == UNVERIFIED:
        return {"filter[status]": "active", "filter[verified]": "false"}
    return {"filter[status]": name} | ({"filter[verified]": "true"} if name == "active" else {})
