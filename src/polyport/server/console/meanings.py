"""What a run's standing and the codes of errors mean to the person who looks at it, and what to do next, in words for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from polyport.errors import BY_CODE
from polyport.server.console.show import took
from polyport.store.records import FINAL

# code: (what it means, what to do)
_MEANINGS: Final[Mapping[str, tuple[str, str]]] = {
    "partner_error": (
        "The partner read the request and refused it.",
        "Look at what the partner says, correct the input or the rights of the connection, then run it again.",
    ),
    "partner_rate_limited": (
        "The partner takes no more calls for a while.",
        "Run it again once that time is over, or queue it: queued runs wait by themselves.",
    ),
    "partner_unavailable": (
        "The partner could not be reached, or answered with a fault of its own.",
        "Look at the partner's status page. What did no harm to repeat was repeated already.",
    ),
    "partner_timeout": ("The partner did not answer in time.", "Look at the partner whether it took effect before you run it again."),
    "connection_invalid": (
        "The partner no longer takes this connection.",
        "The customer has to connect again: open the connection and make a link. Its id stays.",
    ),
    "validation_failed": ("The input does not fit the fields of the operation.", "Correct the fields that are named, then run it again."),
    "blocked_address": (
        "The address is one that this server must not call.",
        "Private networks are closed unless the operator opens them (POLYPORT_ALLOW_NETWORKS).",
    ),
    "cancelled": ("Somebody cancelled it.", "Replay it if that was a mistake."),
    "overloaded": ("This server had no room for it.", "Try again in a moment."),
    "internal_error": ("Something went wrong in Polyport itself.", "The server's log says more under the request id."),
}
_DOUBT_ADVICE: Final = "Look at the partner whether it took effect. If it did not, replay it; if it did, leave it."
_NO_ANSWER: Final = (
    "The request may have reached the partner, and no answer came back. It is not sent again by itself: it could take effect twice."
)
_NO_WORD: Final = "The partner answered, but its answer does not say whether it did what was asked. It is not sent again by itself: it could take effect twice."
_BY_ITSELF: Final = "Nothing: it goes on by itself."
# What is said to programs names endpoints and fields of answers: people are told in other words.
_FOR_PROGRAMS: Final = ("GET /", "POST /", "PATCH /", "retryAfterMs")


def meaning_of(run: Mapping[str, Any]) -> dict[str, str | None] | None:
    """What an error of a run means and what to do, for one that met one; ``said`` is what the error adds to that."""
    error = run.get("error")
    if run["status"] == "uncertain":
        answered = error is not None and (error.get("upstream") or {}).get("status") is not None
        means, advice = _NO_WORD if answered else _NO_ANSWER, _DOUBT_ADVICE
    elif error is None:
        return None
    else:
        means, advice = _MEANINGS.get(error["code"], (error["message"], ""))
        told = error.get("suggestedFix") or ""
        advice = told if told and not any(mark in told for mark in _FOR_PROGRAMS) else advice
        if run["status"] not in FINAL:
            advice = _BY_ITSELF
    kind = BY_CODE.get((error or {}).get("code", ""))
    general = {means, kind.__doc__ if kind is not None else None}  # an error that has nothing of its own to say says what its kind is
    said = error["message"] if error is not None and error["message"] not in general else None
    wait = (error or {}).get("retryAfterMs")
    return {"means": means, "said": said, "advice": advice or None, "wait": f"It asked to wait {took(wait)}." if wait else None}


def next_of(run: Mapping[str, Any]) -> dict[str, Any] | None:
    """What happens next, as a sentence with a time in it: what stands before it, the time, what stands after it; ``None``: nothing does."""
    before, after = _next_words(run)
    return {"before": before, "at": run["next"]["at"] if after else None, "after": after} if before else None


def _next_words(run: Mapping[str, Any]) -> tuple[str, str]:
    action, at = run["next"]["action"], run["next"]["at"]
    if action == "nothing":
        return _end_words(run), ""
    if action == "probe":
        return "Polyport asks the partner whether it took effect,", ". Nothing is sent again."
    if action == "answer":
        return f"Attempt {run['attempts']} is under way: there is no answer yet.", ""
    if action == "stop" and at is None:
        return "It stops before its next request. One that is under way is not undone.", ""
    if action == "stop":
        return "Its time is over before it can go on: it fails", "."
    return _attempt_words(run)


def _attempt_words(run: Mapping[str, Any]) -> tuple[str, str]:
    waits_for, waiting = run["next"]["waitsFor"], run["status"] == "waiting"
    if waits_for == "partner" and waiting:
        return "Nothing of it was sent yet. It keeps its place, and goes on", ", when the partner takes calls again."
    if waits_for == "partner":
        return "It waits behind other runs of its connection, which go on", ", when the partner takes calls again."
    if waiting:
        return f"Attempt {run['attempts'] + 1} begins", "."
    return ("It starts", ", as it was asked to.") if waits_for == "time" else ("It starts as soon as a worker is free.", "")


def _end_words(run: Mapping[str, Any]) -> str:
    if run["status"] != "failed":
        return ""
    retryable = (run.get("error") or {}).get("retryable")
    return "No further attempt is made by itself." + (" To run it again does no harm." if retryable else "")
