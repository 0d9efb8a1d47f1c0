"""What the codes of errors mean to the person who looks at a run, and what to do next. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

# code: (what it means, what to do)
_MEANINGS: Final[Mapping[str, tuple[str, str]]] = {
    "partner_error": (
        "The partner read the request and refused it.",
        "Look at what the partner says, correct the input or the rights of the connection, then run it again.",
    ),
    "partner_rate_limited": (
        "The partner takes no more calls for a while.",
        "Wait as long as it asks. Queued runs wait by themselves; a limit in the partner's folder lets them do so before the partner complains.",
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
_UNCERTAIN: Final = (
    "The request may have reached the partner, and no answer came back. It is not sent again by itself: it could take effect twice.",
    "Look at the partner whether it took effect. If it did not, replay it; if it did, leave it.",
)
_SUCCEEDED: Final = "The partner did what was asked."


def meaning_of(run: Mapping[str, Any]) -> dict[str, str | None] | None:
    """What the end of a run means and what to do, for one that did not simply succeed."""
    if run["status"] == "uncertain":
        means, advice = _UNCERTAIN
    elif run.get("error") is None:
        return None
    else:
        error = run["error"]
        means, advice = _MEANINGS.get(error["code"], (error["message"], ""))
        advice = error.get("suggestedFix") or advice
    return {"means": means, "advice": advice or None, "next": run["next"]["note"]}
