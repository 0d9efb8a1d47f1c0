"""What came of a run that was tried: what was sent, what came back, and when. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from polyport.errors import PolyportError

WIDTH: Final = 600  # of the picture, in its own units
LEAST: Final = 3
_UNDER_WAY: Final = frozenset({"queued", "waiting", "running"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One stretch of the time line: from where to where of the whole, and what it was. ``kind`` is ``whole``, ``ours``, ``partner``, ``failed`` or ``wait``."""

    label: str
    detail: str
    kind: str
    start_ms: float
    took_ms: float
    left: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is shown: ``kind`` is ``dry``, ``run`` or ``fault``. ``attempts`` are redacted exchanges as the API tells them.

    ``error`` is what it was refused with. ``of`` is the mark of the input that it came of.
    """

    kind: str
    requests: Sequence[Mapping[str, Any]] = ()
    run: Mapping[str, Any] = field(default_factory=dict)
    run_id: str | None = None
    attempts: Sequence[Mapping[str, Any]] = ()
    error: PolyportError | None = None
    replayed: bool = False
    of: str = ""

    @property
    def status(self) -> str:
        """How the run stands."""
        return str(self.run.get("status", "failed"))

    @property
    def heading(self) -> str:
        """How it went, in words."""
        if self.kind == "run":
            return "It ran"
        if self.status in _UNDER_WAY:
            return "It is under way"
        return {"uncertain": "It may have taken effect", "cancelled": "It was cancelled"}.get(self.status, "It did not work")

    @property
    def following(self) -> str | None:
        """The cursor of the next page, for a trigger that has one."""
        result = self.run.get("result")
        found = result.get("nextCursor") if self.kind == "run" and isinstance(result, dict) else None
        return found if isinstance(found, str) and found else None

    @property
    def exchanges(self) -> list[tuple[int, Mapping[str, Any]]]:
        """All exchanges with the partner, in order, each with the number of its attempt."""
        return [(int(attempt["number"]), exchange) for attempt in self.attempts for exchange in attempt["exchanges"]]

    @property
    def bars(self) -> list[Bar]:
        """The time line: the run as a whole, each exchange below it."""
        return bars(self.run, self.attempts)


def outcome_of(run: Mapping[str, Any], attempts: Sequence[Mapping[str, Any]], of: str) -> Outcome:
    """What came of a run, from its record."""
    error = PolyportError.from_record(run["error"]) if run.get("error") else None
    return Outcome(kind="run" if "result" in run else "fault", run=run, run_id=str(run["runId"]), attempts=attempts, error=error, of=of)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    label: str
    detail: str
    kind: str
    start: float
    took: float


def _spans(attempts: Sequence[Mapping[str, Any]]) -> Iterator[_Span]:
    """The exchanges, and the waits between attempts, in unix milliseconds."""
    ended: float | None = None
    many = len(attempts) > 1
    for attempt in attempts:
        begins = True
        for exchange in attempt["exchanges"]:
            start, took = float(exchange["startedAt"]) * 1000, float(exchange["durationMs"])
            if begins and ended is not None and start > ended:
                yield _Span(label="Wait", detail=f"before attempt {attempt['number']}", kind="wait", start=ended, took=start - ended)
            status = exchange["reply"]["status"] if exchange.get("reply") else None
            failed = status is None or status >= 400
            words = ["failed"] if failed else []
            words = [
                *([f"attempt {attempt['number']}"] if many else []),
                str(exchange["request"]["method"]),
                str(status or "no answer"),
                *words,
            ]
            yield _Span(
                label=str(exchange["step"]), detail=", ".join(words), kind="failed" if failed else "partner", start=start, took=took
            )
            begins, ended = False, max(ended or 0.0, start + took)


def bars(run: Mapping[str, Any], attempts: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """The stretches of a run in the order of time, measured from its acceptance."""
    spans = list(_spans(attempts))
    if not spans:
        return []
    begin = min(each.start for each in spans)
    end = max(each.start + each.took for each in spans)
    whole = float(run.get("durationMs") or 0)
    ours = max(0.0, whole - (end - begin))
    total = max(whole, end - begin, 1.0)
    # What Polyport itself took is not split by the API into before and after: it is drawn before, where nearly all of it is.
    shown = [_Span(label="Whole run", detail=f"{len(attempts)} {'attempt' if len(attempts) == 1 else 'attempts'}", kind="whole", start=0.0, took=total)]  # fmt: skip
    if ours > 0:
        shown.append(_Span(label="Polyport", detail="checks, lists, records", kind="ours", start=0.0, took=ours))
    shown += [
        _Span(label=each.label, detail=each.detail, kind=each.kind, start=ours + each.start - begin, took=each.took) for each in spans
    ]
    return [
        Bar(
            label=each.label,
            detail=each.detail,
            kind=each.kind,
            start_ms=each.start,
            took_ms=each.took,
            left=round(each.start / total * (WIDTH - LEAST), 1),
            width=round(max(LEAST, each.took / total * WIDTH), 1),
        )
        for each in shown
    ]
