"""Where a run begins: the look at its idempotency key, the bounds of the queue, the first record of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from polyport.engine.desk import Desk
from polyport.engine.ledger import Ledger
from polyport.engine.operation import Program
from polyport.engine.record import Ask, Done, digest_of, encode, new_run_id
from polyport.errors import Conflict, Details, IdempotencyInProgress, IdempotencyMismatch, Overloaded
from polyport.manifest.model import Action
from polyport.store.base import Duplicate, StoreUnavailable
from polyport.store.records import FINAL, Connection, IdempotencyKey, Run, RunStatus
from polyport.vault import Box

SYNC_LIMIT_MS: Final = 120_000
ASYNC_LIMIT_MS: Final = 7 * 24 * 3_600_000  # what the longest wait that a partner is believed takes
_ACCOUNT_FULL: Final = "As many runs of this account wait as may: nothing was accepted, try again when some have ended."

_RUN_GONE: Final = (
    "The run that this Idempotency-Key was used for is no longer kept: nobody can say here what came of it, so it is not run again."
)


class Intake:
    """Accepts runs for one process. ``begun`` counts those that were understood."""

    def __init__(self, desk: Desk, ledger: Ledger) -> None:
        self._desk = desk
        self._runtime = desk.runtime
        self._ledger = ledger
        self.begun = 0

    async def earlier(self, ask: Ask) -> Done | None:
        """The stored answer of an idempotency key. Raises when its run is still under way, was another or, ``Conflict``, is no longer kept."""
        repo = self._runtime.repo.runs
        key = await self.held(ask.account_id, ask.idempotency_key or "")
        if key is None:
            return None
        if key.digest != digest_of(ask):
            raise IdempotencyMismatch
        run = await repo.get(ask.account_id, key.run_id)
        if run is None:
            if await repo.key(ask.account_id, key.key) is None:
                return None  # both were let go between the two looks
            raise Conflict(_RUN_GONE, Details(suggested_fix="Look at the partner for what it did, then call again under another key."))
        if run.mode == "sync" and run.status not in FINAL:
            raise IdempotencyInProgress
        if run.status is RunStatus.FAILED and run.sealed_result is None and await repo.key(ask.account_id, key.key) is None:
            return None  # settled between the two looks, for a process that died before it sent anything: its key was given back
        return replace(await self._ledger.reveal(run), replayed=True)

    async def held(self, account_id: int, text: str) -> IdempotencyKey | None:
        """A key that is still remembered."""
        repo = self._runtime.repo.runs
        before = self._runtime.now_ms() - self._runtime.settings.runs.idempotency_hours * 3_600_000
        key = await repo.key(account_id, text)
        if key is not None and key.created_at < before:
            await repo.forget_key(account_id, key.key, before=before)
            return None
        return key

    async def check_load(self, account_id: int, runs: int) -> None:
        """Raise ``Overloaded`` when so many more runs would be too many in the queue, or too many of one account: before anything is done for them."""
        limits, queue = self._runtime.settings.runs, self._runtime.queue
        most = min(limits.queue_limit, limits.queue_limit_per_account)
        if runs > most:
            raise Overloaded(f"The queue never has room for {runs:,} runs at once: nothing was accepted, send at most {most:,} together.")
        if await queue.depth() + runs > limits.queue_limit:
            raise Overloaded
        if await queue.depth(account_id) + runs > limits.queue_limit_per_account:
            raise Overloaded(_ACCOUNT_FULL)

    async def take_room(self, account_id: int, runs: int = 1) -> None:
        """Keep room in the queue for runs that are about to be accepted, until ``leave_room``. Raises ``Overloaded``."""
        limits = self._runtime.settings.runs
        among_all, in_account = await self._runtime.queue.take_room(account_id, runs, limits.queue_limit, limits.queue_limit_per_account)
        if not among_all:
            raise Overloaded
        if not in_account:
            raise Overloaded(_ACCOUNT_FULL)

    async def accept(self, ask: Ask, run: Run, *, touch: bool) -> Done | None:
        """Make a run durable, and due if it is a queued one; the stored answer instead when its key was used meanwhile. ``touch``: its connection was used.

        Raises ``IdempotencyInProgress``, ``IdempotencyMismatch`` or ``Overloaded``; then nothing was accepted.
        """
        try:
            await self._runtime.repo.runs.insert(run, key_of(ask, run), touch=touch)
        except Duplicate:
            earlier = await self.earlier(ask)
            if earlier is None:
                raise IdempotencyInProgress from None
            return earlier
        except StoreUnavailable:
            raise Overloaded("This server cannot write its records now: nothing was accepted.") from None
        if run.mode == "async":
            self._runtime.queue.announce(run)
        return None

    async def new_run(self, ask: Ask, program: Program, record: Connection | None) -> Run:
        """The run of an ask that was understood, as it is to be recorded."""
        self.begun += 1
        now = self._runtime.now_ms()
        sync = ask.mode == "sync"
        operation = program.operation
        timeout = ask.timeout_ms or (SYNC_LIMIT_MS if sync else None)
        due = now if ask.not_before is None else max(now, ask.not_before)
        run_id = new_run_id(now)
        box = self._runtime.boxes.opened(ask.account_id) or await self._desk.box(ask.account_id)
        return Run(
            run_id=run_id,
            account_id=ask.account_id,
            partner_id=program.partner.file.id,
            operation_id=operation.id,
            connection_id=record.connection_id if record is not None else None,
            external_user_id=ask.external_user_id or (record.external_user_id if record is not None else None),
            mode=ask.mode,
            status=RunStatus.RUNNING if sync else RunStatus.QUEUED,
            sending=sync and not program.repeatable and bool(program.calls),
            repeatable=program.repeatable,
            owner=self._runtime.owner if sync else None,
            attempts=1 if sync else 0,
            priority=ask.priority,
            due_at=due,
            deadline_at=due + timeout if timeout is not None else None,
            created_at=now,
            started_at=now if sync else None,
            finished_at=None,
            cancel_at=None,
            queued_ms=0,
            waited_ms=due - now,
            upstream_ms=None,
            idempotency_key=ask.idempotency_key,
            replay_of=ask.replay_of,
            reconciles=isinstance(operation, Action) and operation.reconcile is not None,
            probe_at=None,
            settled=None,
            partner_version=program.partner.file.version,
            callback_url=ask.callback_url,
            metadata=encode(dict(ask.metadata)).decode() if ask.metadata else "{}",
            error=None,
            sealed_input=self._sealed(box, ask, run_id),
            sealed_result=None,
            sealed_attempts=None,
        )

    def _sealed(self, box: Box, ask: Ask, run_id: str) -> bytes:
        content: Mapping[str, Any] = ask.content()
        return box.seal(encode(content), f"run/{run_id}/input")


def key_of(ask: Ask, run: Run) -> IdempotencyKey | None:
    """The idempotency key that a run is started under, if its caller gave one."""
    if ask.idempotency_key is None:
        return None
    return IdempotencyKey(
        account_id=ask.account_id, key=ask.idempotency_key, digest=digest_of(ask), run_id=run.run_id, created_at=run.created_at
    )
