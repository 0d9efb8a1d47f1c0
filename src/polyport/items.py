"""Things of an account as they stand on the wire: what the API answers with, and what events tell. Secrets only masked; times are unix seconds."""

from __future__ import annotations

import json
from typing import Any

from polyport.errors import PolyportError
from polyport.store.outbox import PARKED
from polyport.store.records import Connection, EventStatus, Link, OutgoingEvent, Run, RunStatus


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


def run_item(run: Run, *, result: Any = None, raw: Any = None, error: PolyportError | None = None) -> dict[str, Any]:
    """A run; result and error are there when they are known."""
    shown: dict[str, Any] = {
        "runId": run.run_id,
        "status": run.status,
        "mode": run.mode,
        "partnerId": run.partner_id,
        "triggerActionId": run.operation_id,
        "credentialId": run.connection_id,
        "externalUserId": run.external_user_id,
        "attempts": run.attempts,
        "createdAt": seconds(run.created_at),
        "startedAt": seconds(run.started_at),
        "finishedAt": seconds(run.finished_at),
        "durationMs": duration_ms(run),
        "upstreamMs": run.upstream_ms,
        "metadata": json.loads(run.metadata),
    }
    if run.status is RunStatus.WAITING:
        shown["nextAttemptAt"] = seconds(run.due_at)
    if result is not None:
        shown["result"] = result
    if raw is not None:
        shown["raw"] = raw
    if error is not None:
        shown["error"] = error.as_record()
    elif run.error is not None:
        shown["error"] = json.loads(run.error)
    return shown


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
