"""What real credentials look like. Made-up ones in cases are words and plain digits."""

from __future__ import annotations

import re
from typing import Final

PATTERNS: Final = {
    "AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{40,})",
    "Slack token": r"\bxox[abeoprs]-\d{9,}-\d{9,}-[A-Za-z0-9-]{16,}",
    "Stripe key": r"\b[srp]k_live_[A-Za-z0-9]{16,}",
    "Google key": r"\bAIza[0-9A-Za-z_-]{35}\b",
    "Google token": r"\bya29\.[0-9A-Za-z_-]{30,}",
    "OpenAI key": r"\bsk-(?:proj-)?[A-Za-z0-9]{32,}",
    "SendGrid key": r"\bSG\.[\w-]{22}\.[\w-]{43}",
    "HubSpot token": r"\bpat-(?:na|eu)\d-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "private key": r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----",
    "JSON web token": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
}
_COMPILED: Final = {name: re.compile(pattern) for name, pattern in PATTERNS.items()}


def credentials_in(text: str) -> list[str]:
    """The kinds of real credentials that a text seems to hold."""
    return [name for name, pattern in _COMPILED.items() if pattern.search(text)]
