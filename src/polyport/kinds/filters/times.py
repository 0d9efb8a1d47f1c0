"""Filters over moments and days. A moment is unix seconds or ISO 8601 with a zone."""

from __future__ import annotations

from typing import Any, Final

from polyport.kinds.fields import TYPES, coerce_datetime
from polyport.template import Filter


def moment(value: Any, wire: str = "iso8601") -> Any:
    """A moment in one of the wire formats of the datetime type: iso8601, unix, unix_ms, date, ..."""
    wires = TYPES["datetime"].wires
    if wire not in wires:
        raise ValueError(f"the formats are {', '.join(wires)}")
    return wires[wire](coerce_datetime(value))


TIMES: Final[dict[str, Filter]] = {"moment": moment}
