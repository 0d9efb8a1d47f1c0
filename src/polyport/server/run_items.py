"""What a run looks like on the wire, described; ``polyport.items`` makes it."""

from __future__ import annotations

from typing import Any

from polyport.engine.record import Done
from polyport.items import run_item
from polyport.runtime import Runtime
from polyport.server.routing import Body
from polyport.store.records import RunStatus


class RunTimings(Body):
    """What a run took, in milliseconds.

    ``queueMs``: it was due, and no worker was free or its partner took no calls. ``waitMs``: it was not to be tried yet (``notBefore``, between attempts). ``upstreamMs``: the partner's time. ``oursMs``: all else, known
    at the end.
    """

    queue_ms: int
    wait_ms: int
    upstream_ms: int
    ours_ms: int | None


class RunNext(Body):
    """What happens next without anybody's doing, and ``at`` which unix second if that is known.

    ``action`` is ``attempt`` (a first or another one), ``answer`` (a request is under way), ``stop`` (it was asked to, or its time is over before it can go on), ``probe`` (the partner is asked what became of it) or ``nothing`` (it ended). ``note`` says it
    in a sentence, and what a caller can do. ``waitsFor`` says of an ``attempt`` what it waits for: its ``time`` (``notBefore``, between attempts), its ``partner`` (which takes no calls for
    now; told of a run that is read, not in lists, where the runs before it wait for that) or a ``worker``.
    """

    action: str
    at: int | None
    waits_for: str | None
    note: str


class RunSettled(Body):
    """How a doubt was looked into: ``how`` is ``probe``, ``found`` whether the partner has what the run would have made, ``at`` the unix second of the last look."""

    how: str
    found: bool
    at: int


class RunAnswer(Body):
    """A run. ``partnerVersion`` is the version of a partner of your own that it was accepted with, and goes on with. Times are unix seconds, durations milliseconds."""

    run_id: str
    status: RunStatus
    mode: str
    partner_id: int
    partner_version: int | None
    trigger_action_id: int | None
    credential_id: int | None
    external_user_id: str | None
    priority: str
    attempts: int
    created_at: int
    started_at: int | None
    finished_at: int | None
    cancel_requested_at: int | None
    next_attempt_at: int | None = None
    duration_ms: int | None
    upstream_ms: int | None
    timings: RunTimings
    next: RunNext
    replay_of: str | None
    idempotency_key: str | None
    settled: RunSettled | None
    metadata: dict[str, Any]
    result: Any = None
    raw: Any = None
    error: dict[str, Any] | None = None


def shown_run(done: Done, runtime: Runtime, *, behind: int | None = None) -> dict[str, Any]:
    """A run as it stands on the wire; result and error are there when they are known. ``behind``: until when those before it are held back."""
    most = runtime.settings.runs.attempts
    return run_item(done.run, now=runtime.now_ms(), most=most, behind=behind, result=done.result, raw=done.raw, error=done.error)
