"""Filters over numbers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from polyport.kinds.fields import coerce_decimal, coerce_integer
from polyport.template import Filter


def to_int(value: Any) -> int:
    """A whole number, from a number or its text."""
    return coerce_integer(value)


def to_number(value: Any) -> Decimal | int:
    """A number with all its digits, from a number or its text."""
    return coerce_decimal(value)


NUMBERS: Final[dict[str, Filter]] = {"int": to_int, "number": to_number}
