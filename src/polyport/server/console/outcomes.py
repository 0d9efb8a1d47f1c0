"""What came of a run that was tried: what was sent, what came back, and when. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from polyport.errors import PolyportError

WIDTH: Final = 600  # of the picture, in its own units
LEAST: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One stretch of the time line: from where to where of the whole, and what it was."""

    label: str
    detail: str
    kind: str
    start_ms: float
    took_ms: float
    left: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is shown: ``kind`` is ``dry``, ``run`` or ``fault``. ``attempts`` are redacted exchanges as the API tells them."""

    kind: str
    requests: Sequence[Mapping[str, Any]] = ()
    run: Mapping[str, Any] = field(default_factory=dict)
    run_id: str | None = None
    attempts: Sequence[Mapping[str, Any]] = ()
    error: PolyportError | None = None
    replayed: bool = False

    @property
    def exchanges(self) -> list[Mapping[str, Any]]:
        """All exchanges with the partner, in order."""
        return [exchange for attempt in self.attempts for exchange in attempt["exchanges"]]

    @property
    def bars(self) -> list[Bar]:
        """The time line: the run as a whole, each exchange below it."""
        return bars(self.run, self.attempts)


def bars(run: Mapping[str, Any], attempts: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """The stretches of a run in the order of time, measured from its acceptance."""
    spans: list[tuple[str, str, str, float, float]] = []
    for attempt in attempts:
        for exchange in attempt["exchanges"]:
            status = str(exchange["reply"]["status"]) if exchange.get("reply") else "no answer"
            detail = f"{exchange['request']['method']}, {status}"
            spans.append((str(exchange["step"]), detail, "partner", float(exchange["startedAt"]) * 1000, float(exchange["durationMs"])))
    if not spans:
        return []
    begin = min(start for _label, _detail, _kind, start, _took in spans)
    end = max(start + took for _label, _detail, _kind, start, took in spans)
    whole = float(run.get("durationMs") or 0)
    ours = max(0.0, whole - (end - begin))
    total = max(whole, end - begin, 1.0)
    # What Polyport itself took is not split by the API into before and after: it is drawn before, where nearly all of it is.
    shown = [("Whole run", f"{len(attempts)} {'attempt' if len(attempts) == 1 else 'attempts'}", "whole", 0.0, total)]
    if ours > 0:
        shown.append(("Polyport", "checks, lists, records", "ours", 0.0, ours))
    shown += [(label, detail, kind, ours + start - begin, took) for label, detail, kind, start, took in spans]
    return [
        Bar(
            label=label,
            detail=detail,
            kind=kind,
            start_ms=start,
            took_ms=took,
            left=round(start / total * (WIDTH - LEAST), 1),
            width=round(max(LEAST, took / total * WIDTH), 1),
        )
        for label, detail, kind, start, took in shown
    ]


def flat(value: Any, path: str = "", most: int = 200) -> list[tuple[str, Any]]:
    """A mapped result as rows of path and value, for people: at most so many."""
    found: list[tuple[str, Any]] = []
    pending: list[tuple[str, Any]] = [(path, value)]
    while pending and len(found) < most:
        place, each = pending.pop(0)
        if isinstance(each, dict) and each:
            pending[:0] = [(f"{place}.{name}" if place else str(name), inner) for name, inner in each.items()]
        elif isinstance(each, list) and each and any(isinstance(inner, dict | list) for inner in each):
            pending[:0] = [(f"{place}[{index}]", inner) for index, inner in enumerate(each)]
        else:
            found.append((place, each))
    return found
