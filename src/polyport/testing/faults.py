"""Faults that a simulated partner shows on request: armed for the next matching requests, or asked for by a header of one request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import Field, ValidationError

from polyport.manifest.base import Node
from polyport.testing.traffic import Incoming

HEADER: Final = "x-simulate"
ARMED_LIMIT: Final = 1_000

FaultKind = Literal[
    "rate_limited",
    "expired",
    "rotated",
    "error_before",
    "error_after",
    "slow",
    "hang",
    "hang_after",
    "cut",
    "reset",
    "reset_after",
    "html",
    "big",
    "duplicate_hook",
    "lost_hook",
    "redirect",
]


class Fault(Node):
    """One fault. ``times`` is for how many requests (0: until reset), ``match`` for which: ``METHOD /path``, ``*`` at the end stands for anything.

    ``seconds`` is the wait of ``slow``, ``retry_after`` the seconds of ``rate_limited``, ``location`` and ``status`` are those of ``redirect``, ``size``
    are the bytes of ``big``.
    """

    kind: FaultKind
    times: int = Field(default=1, ge=0, le=1_000_000)
    match: str = Field(default="*", max_length=500)
    seconds: float = Field(default=5.0, ge=0, le=600)
    retry_after: int = Field(default=1, ge=0, le=86_400)
    location: str = Field(default="http://127.0.0.1:9/", max_length=2_000, pattern=r"^[\x21-\x7e]+$")
    status: int = Field(default=302, ge=300, le=399)
    size: int = Field(default=100_000_000, ge=1, le=10_000_000_000)

    def meets(self, method: str, path: str) -> bool:
        """Whether this request is meant."""
        asked = f"{method} {path}"
        return asked.startswith(self.match[:-1]) if self.match.endswith("*") else asked == self.match


class BadFault(ValueError):
    """What was asked for is no fault; the message says what is wrong."""


class Armed:
    """The faults that wait for requests, first come, first shown."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Fault, int]] = []

    def arm(self, data: Any) -> Fault:
        """Add a fault. Raises ``BadFault``."""
        fault = _read(data)
        if len(self._waiting) >= ARMED_LIMIT:
            raise BadFault(f"at most {ARMED_LIMIT} faults wait at a time")
        self._waiting.append((fault, fault.times))
        return fault

    def clear(self) -> None:
        """Forget all."""
        self._waiting.clear()

    def waiting(self) -> list[dict[str, Any]]:
        """What waits, with the ``times`` that are left (0: until reset)."""
        return [fault.model_dump(by_alias=True) | {"times": left} for fault, left in self._waiting]

    def take(self, request: Incoming) -> Fault | None:
        """The fault of this request, if any. Its header goes first. Raises ``BadFault`` for a header that names none."""
        asked = request.header(HEADER)
        if asked:
            return _read(_parameters(asked))
        for index, (fault, left) in enumerate(self._waiting):
            if fault.meets(request.method, request.path):
                if left == 1:
                    del self._waiting[index]
                elif left > 1:
                    self._waiting[index] = (fault, left - 1)
                return fault
        return None


def _parameters(text: str) -> Mapping[str, str]:
    """``slow; seconds=2`` as data."""
    kind, *rest = (part.strip() for part in text.split(";"))
    pairs = (part.partition("=") for part in rest if part)
    return {"kind": kind} | {name.strip(): value.strip() for name, _, value in pairs}


def _read(data: Any) -> Fault:
    try:
        return Fault.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "fault"
        raise BadFault(f"{place}: {first['msg']}") from None
