"""What is known of partners, in words: how they were verified, what they let callers do, what their categories and operations are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

KINDS: Final = {
    "action": "Action",
    "apiTrigger": "Trigger, read on demand",
    "webhookTrigger": "Trigger, sent by the partner",
    "tool": "Tool",
}
GROUPS: Final = {"action": "Actions", "apiTrigger": "Triggers", "webhookTrigger": "Triggers", "tool": "Tools"}
AUTH_NAMES: Final = {
    "api_key": "API key",
    "basic": "Name and password",
    "bearer": "Token",
    "certificate": "Certificate",
    "jwt": "Signed token",
    "jwt_bearer": "Signed token for a sign-in",
    "none": "No authorisation",
    "oauth1": "OAuth 1",
    "oauth2": "OAuth 2",
    "session": "Session",
    "signature": "Signature",
    "sigv4": "AWS signature",
}
VERIFIED: Final = {
    "live": "Verified at the partner",
    "sandbox": "Verified in the partner's sandbox",
    "spec": "Verified against the partner's description",
    "cases": "Verified by written cases",
    "imported": "Not verified: imported from a description",
}
# What that means, and what it does not.
MEANT: Final = {
    "live": "Its operations were run against a real account, and the record of it was kept.",
    "sandbox": "Its operations were run in the partner's sandbox.",
    "spec": "Every request of its cases is one that the partner's own machine-readable description accepts. Nothing is said of a real account.",
    "cases": "Each operation is held against requests and answers that are written down, mostly after the partner's documentation. Nothing is said of a real account.",
    "imported": "It is made of an API description, and nobody has run it yet.",
}
_CATEGORIES: Final = {"crm": "CRM", "erp": "ERP", "e-commerce": "E-commerce", "hr": "HR", "ai": "AI", "sms": "SMS"}
_SPANS: Final = {1: "a second", 60: "a minute", 3_600: "an hour", 86_400: "a day", 604_800: "a week"}
_UNITS: Final = ((86_400, "days"), (3_600, "hours"), (60, "minutes"), (1, "seconds"))
_PER: Final = {"connection": "for each connection", "app": "for all connections together", "endpoint": "for each operation of a connection"}


def category(slug: str) -> str:
    """What a category is called."""
    return _CATEGORIES.get(slug) or slug.replace("-", " ").capitalize()


def limit(budget: Mapping[str, Any]) -> dict[str, str]:
    """What a partner lets callers do, as the API tells it: its name, how much of it there is, for whom, and the public page that says so."""
    parts: list[str] = []
    if budget.get("limit") is not None:
        parts.append(f"{budget['limit']:,} {_span(budget['seconds'])}")
    if budget.get("concurrency") is not None:
        parts.append(f"{budget['concurrency']:,} at a time")
    source = str(budget.get("source") or "")
    return {
        "name": str(budget["name"]).replace("_", " ").replace("-", " ").capitalize(),
        "amount": ", ".join(parts),
        "per": _PER.get(budget["per"], str(budget["per"])),
        "source": source if source.startswith("https://") else "",
    }


def _span(seconds: int) -> str:
    if seconds in _SPANS:
        return _SPANS[seconds]
    size, unit = next((size, unit) for size, unit in _UNITS if seconds % size == 0)
    return f"in {seconds // size:,} {unit}"
