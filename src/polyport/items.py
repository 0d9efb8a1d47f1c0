"""Things of an account as they stand on the wire: what the API answers with, and what events tell. Secrets only masked; times are unix seconds."""

from __future__ import annotations

import json
from typing import Any, Final

from polyport.errors import PolyportError
from polyport.manifest.passing import partner_of
from polyport.store.outbox import PARKED
from polyport.store.records import FINAL, Connection, EventStatus, Link, OutgoingEvent, Priority, Run, RunStatus


def connection_item(record: Connection, *, watched: bool = True) -> dict[str, Any]:
    """A connection. ``watched``: whether this server proves connections in the background."""
    return {
        "credentialId": record.connection_id,
        "partnerId": record.partner_id,
        "title": record.title,
        "status": record.status,
        "account": record.account_label,
        "auth": record.auth,
        "fields": json.loads(record.shown),
        "lastError": record.last_error,
        "lastUsedAt": seconds(record.last_used_at),
        "lastVerifiedAt": seconds(record.last_verified_at),
        "nextCheckAt": seconds(record.check_at) if watched else None,
        "externalUserId": record.external_user_id,
        "metadata": json.loads(record.metadata),
        "simulated": record.simulated,
        "createdAt": seconds(record.created_at),
        "updatedAt": seconds(record.updated_at),
    }


def link_item(link: Link, *, token: str | None = None, url: str | None = None) -> dict[str, Any]:
    """A link; its token and its address are known only where it was made just now."""
    return {
        "id": link.link_id,
        "partnerId": link.partner_id,
        "token": token,
        "status": int(link.status),
        "credentialId": link.connection_id,
        "title": link.title,
        "dateCreated": seconds(link.created_at),
        "url": url,
        "expiresAt": seconds(link.expires_at),
        "lastError": link.last_error,
        "externalUserId": link.external_user_id,
        "redirectUrl": link.redirect_url,
        "callbackUrl": link.callback_url,
        "metadata": json.loads(link.metadata),
        "language": link.language,
        "openedAt": seconds(link.opened_at),
        "usedAt": seconds(link.used_at),
    }


def run_item(
    run: Run, *, now: int, most: int = 1, behind: int | None = None, result: Any = None, raw: Any = None, error: PolyportError | None = None
) -> dict[str, Any]:
    """A run at the time ``now``; result and error are there when they are known. ``most`` is how many attempts it may have.

    ``behind`` is until when those are held back that are before it.
    """
    shown: dict[str, Any] = {
        "runId": run.run_id,
        "status": run.status,
        "mode": run.mode,
        "partnerId": run.partner_id,
        "partnerVersion": run.partner_version,
        "triggerActionId": run.operation_id if partner_of(run.operation_id) is None else None,
        "credentialId": run.connection_id,
        "externalUserId": run.external_user_id,
        "priority": Priority(run.priority).name.lower(),
        "attempts": run.attempts,
        "createdAt": seconds(run.created_at),
        "startedAt": seconds(run.started_at),
        "finishedAt": seconds(run.finished_at),
        "cancelRequestedAt": seconds(run.cancel_at),
        "durationMs": duration_ms(run),
        "upstreamMs": run.upstream_ms,
        "timings": _timings(run, now),
        "next": _next(run, most, now, behind),
        "replayOf": run.replay_of,
        "idempotencyKey": run.idempotency_key,
        "settled": json.loads(run.settled) if run.settled is not None else None,
        "metadata": json.loads(run.metadata),
    }
    if run.status is RunStatus.WAITING or (run.status is RunStatus.QUEUED and run.due_at > now):
        shown["nextAttemptAt"] = seconds(max(run.due_at, held_until(run) or 0))
    if result is not None:
        shown["result"] = result
    if raw is not None:
        shown["raw"] = raw
    if error is not None:
        shown["error"] = error.as_record()
    elif run.error is not None:
        shown["error"] = {name: value for name, value in json.loads(run.error).items() if name != "until"}
    return shown


def held_until(run: Run) -> int | None:
    """Until when a run is held back of which nothing was sent, if it is (unix milliseconds)."""
    if run.status is not RunStatus.WAITING or run.error is None:
        return None
    return held_until_by(run.error)


def held_until_by(error: str) -> int | None:
    """Until when a run is held back, as the record of its error says."""
    until: int | None = json.loads(error).get("until")
    return until


def _timings(run: Run, now: int) -> dict[str, int | None]:
    queued, waited = run.queued_ms, run.waited_ms
    if run.status in {RunStatus.QUEUED, RunStatus.WAITING}:
        waited -= max(0, run.due_at - now)
        queued += max(0, now - run.due_at)
    elif run.status is RunStatus.CANCELLED and run.finished_at is not None and run.attempts == 0:
        waited -= max(0, run.due_at - run.finished_at)
    upstream = run.upstream_ms or 0
    whole = None if run.finished_at is None else run.finished_at - run.created_at
    ours = None if whole is None else max(0, whole - queued - waited - upstream)
    return {"queueMs": queued, "waitMs": max(0, waited), "upstreamMs": upstream, "oursMs": ours}


_ENDS: Final = {
    RunStatus.SUCCEEDED: "It is done.",
    RunStatus.UNCERTAIN: "Nothing is sent again on its own. Look at the partner whether it took effect, before you run it again.",
    RunStatus.CANCELLED: "It was cancelled. POST /runs/{runId}/replay runs it anew.",
}


def _next(run: Run, most: int, now: int, behind: int | None = None) -> dict[str, Any]:
    action, at, waits_for, note = _next_of(run, most, now, behind)
    return {"action": action, "at": seconds(at), "waitsFor": waits_for, "note": note}


def _next_of(run: Run, most: int, now: int, behind: int | None) -> tuple[str, int | None, str | None, str]:
    if run.probe_at is not None:
        return "probe", run.probe_at, None, "The partner is asked whether it took effect; nothing is sent again."
    if run.status in FINAL:
        return "nothing", None, None, _ENDS.get(run.status) or _after_failure(run)
    if run.status is RunStatus.RUNNING:
        if run.cancel_at is not None:
            return "stop", None, None, "It stops before its next request; one that is under way is not undone."
        return "answer", None, None, f"Attempt {run.attempts} is under way."
    held = held_until(run)
    goes_on = max(run.due_at, held or 0, behind or 0, now)
    if run.deadline_at is not None and run.deadline_at <= goes_on:
        return "stop", run.deadline_at, None, "Its time is over before it can go on: it fails then."
    waits_for = "partner" if held is not None or behind is not None else "time" if run.due_at > now else "worker"
    if held is not None:
        note = "Nothing of it was sent yet: it goes on when the partner takes calls again, as the error says. Its turn is kept."
    elif run.status is RunStatus.WAITING:
        note = f"Attempt {run.attempts + 1} of at most {most}; the one before failed as the error says."
    elif run.due_at > now:
        note = "It is not to start before that time."
    elif behind is not None:
        note = "It waits behind other runs of its connection and operation: their partner takes no calls until then."
    else:
        note = "It starts as soon as a worker is free."
    return "attempt", goes_on, waits_for, note


def _after_failure(run: Run) -> str:
    if run.error is not None and json.loads(run.error).get("retryable"):
        return "No further attempt is made on its own. Running it again does no harm: POST /runs/{runId}/replay."
    return "No further attempt is made: the error says what to change."


def told_item(event: OutgoingEvent) -> dict[str, Any]:
    """An outgoing event with what came of its last attempts, the oldest first; without what it tells."""
    return event_item(event) | {"deliveries": [{**each, "at": seconds(each["at"])} for each in json.loads(event.deliveries)]}


def event_item(event: OutgoingEvent) -> dict[str, Any]:
    """An outgoing event, without what it tells. What is being sent right now, or waits for a paused endpoint, has no next attempt."""
    waits = event.status is EventStatus.PENDING and event.due_at != PARKED and event.owner is None
    return {
        "eventId": event.event_id,
        "type": event.type,
        "status": event.status,
        "endpointId": event.endpoint_id,
        "url": event.url,
        "attempts": event.attempts,
        "nextAttemptAt": seconds(event.due_at) if waits else None,
        "lastStatus": event.last_status,
        "lastError": event.last_error,
        "createdAt": seconds(event.created_at),
        "deliveredAt": seconds(event.ended_at) if event.status is EventStatus.DELIVERED else None,
        "endedAt": seconds(event.ended_at),
    }


def seconds(milliseconds: int | None) -> int | None:
    """A time of the store as a time of the wire."""
    return milliseconds // 1000 if milliseconds is not None else None


def duration_ms(run: Run) -> int | None:
    """How long a run took, if it ended."""
    if run.started_at is None or run.finished_at is None:
        return None
    return max(0, run.finished_at - run.started_at)
