"""Inputs that break a rule of the description."""

from __future__ import annotations

from typing import Any

from corpus.documents import Trial


def break_rules(_trial: Trial, _only: frozenset[str]) -> dict[str, Any]:
    """Nothing is broken yet."""
    return {}
