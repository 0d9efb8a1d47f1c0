"""Try it: what is run, dry or in earnest, asked for again, cancelled or saved as a case."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

from polyport.errors import Conflict, Forbidden, NotFound, PolyportError, ValidationFailed
from polyport.server.console.member import Member
from polyport.server.console.outcomes import Outcome, outcome_of
from polyport.server.console.trial import Trial
from polyport.server.console.within import ask
from polyport.server.routing import Call
from polyport.server.wire import encode
from polyport.store.records import FINAL

TIMEOUT_MS: Final = 60_000
_RUN: Final = re.compile(r"run_[0-9a-z_]{1,60}", re.ASCII)
_MARK: Final = re.compile(r"[0-9a-f]{16}", re.ASCII)


def key_of(nonce: str) -> str:
    """What the idempotency keys of a form's runs begin with."""
    return f"console-{nonce}-"


async def run(call: Call, member: Member, trial: Trial, *, dry: bool) -> Outcome | None:
    """Run it, or only say what would be sent. ``None`` where the input has faults: they stand at their fields."""
    if trial.broken:
        return None
    mark = trial.mark
    # The body is that of the code beside the form; how long it may take is said by the console alone.
    body = trial.body() | ({"dryRun": True} if dry else {"timeoutMs": TIMEOUT_MS})
    # One press is one run: what is sent twice has the same key, what was changed in between has another.
    key = None if dry else f"{key_of(trial.nonce)}{hashlib.sha256(encode(body)).hexdigest()[:24]}"
    try:
        answer = await ask(call, member, "POST /partners/trigger-actions/{id}/run/sync", id=trial.id, body=body, key=key)
    except ValidationFailed as error:
        trial.tell(error)
        return None
    except Forbidden:
        raise
    except PolyportError as error:
        run_id = call.run_id
        if run_id is None:
            return Outcome(kind="fault", error=error, of=mark)
        kept, attempts = await recorded(call, member, run_id)
        return Outcome(kind="fault", error=error, run=kept, run_id=run_id, attempts=attempts, of=mark)
    if dry:
        return Outcome(kind="dry", requests=answer.data["requests"], of=mark)
    kept, attempts = await recorded(call, member, answer.data["runId"])
    trial.nonce = hashlib.sha256(trial.nonce.encode()).hexdigest()[:16]
    replayed = "Idempotent-Replayed" in answer.headers
    return Outcome(kind="run", run={**kept, **answer.data}, run_id=answer.data["runId"], attempts=attempts, replayed=replayed, of=mark)


async def recorded(call: Call, member: Member, run_id: str) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    """A run and its attempts, as they are kept."""
    kept = (await ask(call, member, "GET /runs/{runId}", runId=run_id)).data
    attempts = (await ask(call, member, "GET /runs/{runId}/attempts", runId=run_id)).data
    return kept, attempts


async def again(call: Call, member: Member, own: Mapping[str, str]) -> Outcome | None:
    """What came of the run before, which the form remembers by its id."""
    run_id, of = own.get("run", ""), own.get("run_of", "")
    if not _RUN.fullmatch(run_id):
        return None
    try:
        kept, attempts = await recorded(call, member, run_id)
    except NotFound:
        return None
    return outcome_of(kept, attempts, of if _MARK.fullmatch(of) else "")


async def cancel(call: Call, member: Member, operation_id: int, nonce: str) -> int:
    """Cancel what a form has under way; how many runs that were."""
    if not (nonce.isalnum() and nonce.isascii() and len(nonce) <= 32):
        return 0
    runs = (await ask(call, member, "GET /runs", query={"triggerActionId": operation_id, "per-page": 50})).data
    begins = key_of(nonce)
    found = [each["runId"] for each in runs if (each["idempotencyKey"] or "").startswith(begins) and each["status"] not in FINAL]
    for run_id in found:
        with contextlib.suppress(Conflict):  # it ended meanwhile
            await ask(call, member, "POST /runs/{runId}/cancel", runId=run_id)
    return len(found)


async def save_case(call: Call, member: Member, own: Mapping[str, str]) -> dict[str, Any]:
    """Save a run as a case; what was asked for, and what came of it."""
    asked = {"run_id": own.get("run", "")[:100], "name": own.get("case", "").strip(), "title": own.get("case_title", "").strip()}
    if "/" in asked["run_id"] or not asked["run_id"]:
        return asked | {"fault": "Run it first: a case is made of a run."}
    if not asked["name"] or not asked["title"]:
        return asked | {"fault": "Say what the file is called, and what the case shows."}
    body = {"name": asked["name"], "title": asked["title"]}
    try:
        saved = await ask(call, member, "POST /runs/{runId}/case", runId=asked["run_id"], body=body)
    except Forbidden:
        raise
    except PolyportError as error:
        told = " ".join(f"{fault.path}: {fault.message}" for fault in error.details.fields)
        return asked | {"fault": told or error.message}
    return asked | {"saved": saved.data}
