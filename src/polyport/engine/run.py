"""The order of a run's steps, once: ``start`` accepts it, ``run_once`` makes one attempt, ``finish`` records the outcome.

Sync and async differ only in who calls ``run_once``: the request that waits, or a worker that claimed the run. The shell and batches call the same functions.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import structlog
from msgspec.structs import replace

from polyport.bulkheads import Bulkheads
from polyport.engine.caller import Caller, hiding
from polyport.engine.connect import confirm_refusal, note_working
from polyport.engine.desk import Bench, Desk, Positions, read_positions
from polyport.engine.files import check_files, files_in_place, keep_files, pretend_files
from polyport.engine.fresh import Fresh
from polyport.engine.gate import is_held
from polyport.engine.hidden import hidden_values
from polyport.engine.intake import SYNC_LIMIT_MS, Intake
from polyport.engine.ledger import Ledger, cancelled
from polyport.engine.operation import (
    Outcome,
    Program,
    Reading,
    Understood,
    act,
    build_scope,
    compute,
    read_reading,
    read_trigger,
    select,
    understand,
)
from polyport.engine.outcome import in_doubt, settled, too_late
from polyport.engine.plan import plan
from polyport.engine.record import Ask, Done, ask_again, ask_of, attempt_record, decode, pinned_of
from polyport.engine.retry import Decision, Failure, decide, policy_of
from polyport.engine.trace import CallFailed, Trace
from polyport.errors import (
    Conflict,
    ConnectionInvalid,
    Fault,
    InternalError,
    NotFound,
    Overloaded,
    PartnerError,
    PartnerTimeout,
    PolyportError,
    RunCancelled,
    ValidationFailed,
)
from polyport.manifest.model import SAFE_METHODS, Trigger
from polyport.net.marked import MarkedNetwork
from polyport.store.base import Stale, StoreFault, StoreUnavailable
from polyport.store.records import FINAL, ConnectionStatus, Lane, Run, RunStatus

_log: Final = structlog.get_logger("polyport.runs")
STORE_SECONDS: Final = 0.5
HOLD_SECONDS: Final = 0.2  # a queued run that would wait longer for its partner goes back, so that its place here is another's


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """An ask that was understood: everything an attempt needs."""

    program: Program
    positions: Positions
    bench: Bench
    understood: Understood
    selected: Mapping[str, Any]
    reading: Reading | None
    hidden: frozenset[str]
    raw: bool
    patient: bool


class Engine:
    """Runs operations for one process."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.runtime = desk.runtime
        self.ledger = Ledger(desk)
        self.intake = Intake(desk, self.ledger)
        self._fresh: Fresh[Prepared] = Fresh()
        runs = self.runtime.settings.runs
        self._bulkheads = Bulkheads(runs.sync_limit, partner=runs.partner_share, connection=runs.connection_share)
        self._open = self._working = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    async def drain(self, seconds: float) -> None:
        """Wait for the synchronous runs that are under way, also those whose caller went away; ``seconds`` at most. What is read in the background is given up.

        An exchange of tokens has the whole grace time once more: cut, it may cost the connection.
        """
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        self._fresh.forget()
        await self.desk.renewals.drain(self.runtime.settings.http.grace)
        self.desk.close()

    async def prepare(self, ask: Ask, known: tuple[Program, Positions] | None = None) -> Prepared:
        """Understand an ask. Raises ``NotFound``, ``UnsupportedTrigger``, ``ValidationFailed`` (every fault) or ``ConnectionInvalid``."""
        program, positions = known or await self._aim(ask)
        reading = _reading(program, ask)
        bench = await self.desk.bench(ask.account_id, program.partner, positions.connection_id)
        _check_user(ask, bench)
        try:
            selected, understood = await self._understand(ask, program, positions, bench)
        except ConnectionInvalid as refused:  # a list of the partner, or its custom fields, could not be read
            raise await confirm_refusal(self.desk, bench, refused) from None
        faults, files = understood.checked.faults, understood.checked.files
        if faults := [*faults, *await check_files(self.desk, ask.account_id, files)] if files else faults:
            raise ValidationFailed.of(*faults)
        return Prepared(
            program=program,
            positions=positions,
            bench=bench,
            understood=understood,
            selected=selected,
            reading=reading,
            hidden=hidden_values(program.hidden, ask.runner_data),
            raw=ask.raw,
            patient=ask.timeout_ms is not None,
        )

    async def _understand(self, ask: Ask, program: Program, positions: Positions, bench: Bench) -> tuple[Mapping[str, Any], Understood]:
        """The selectors and the input, within the caller's time: lists and custom fields are read from the partner."""
        data = {} if ask.runner_data is None else ask.runner_data
        lists = self.desk.lists(bench, until=time.monotonic() + min(ask.timeout_ms or SYNC_LIMIT_MS, SYNC_LIMIT_MS) / 1000)
        try:
            if not program.operation.selectors:  # ``read_positions`` has refused every position there is not
                return {}, await understand(program, data, lists)
            selected = await select(program, positions.selectors, lists)
            if selected.faults:
                raise ValidationFailed.of(*selected.faults)
            return selected.values, await understand(program, data, lists, selected.values)
        except TimeoutError:
            raise PartnerTimeout("The partner did not give its lists in time; the run was not begun.") from None

    async def dry_run(self, ask: Ask) -> list[dict[str, Any]]:
        """The exact requests an ask would send, redacted; nothing is sent, nothing is kept."""
        prepared = await self.prepare(ask)
        await pretend_files(self.desk, ask.account_id, prepared.understood.checked.files)
        caller = hiding(prepared.bench.caller, prepared.hidden)
        scope = build_scope(prepared.program, caller, prepared.understood, prepared.selected)
        if prepared.program.compute is not None:
            compute(prepared.program, prepared.understood.schema, scope)
            return []
        return plan(caller, prepared.program, scope, prepared.reading, prepared.understood.schema)

    async def _aim(self, ask: Ask) -> tuple[Program, Positions]:
        """What an ask is for: its operation, and where with. Raises ``NotFound``, ``UnsupportedTrigger`` or ``ValidationFailed``."""
        program = await self.desk.runnable(ask.account_id, ask.operation_id, ask.pinned)
        return program, read_positions(program, ask.credential_data)

    async def start(self, ask: Ask, known: tuple[Program, Positions] | None = None) -> tuple[Done | None, Run, Prepared | None]:
        """Accept a run: understood, then durable. Gives the stored answer instead when the key was used before. ``known``: what it is for.

        Raises what ``prepare`` raises, ``IdempotencyInProgress``, ``IdempotencyMismatch`` or ``Overloaded``; then nothing was accepted.
        """
        if ask.idempotency_key is not None:
            earlier = await self.intake.earlier(ask)
            if earlier is not None:
                return earlier, earlier.run, None
        queued = ask.mode == "async"
        if queued:
            await self.intake.take_room(ask.account_id)  # before anything is done for it
        try:
            prepared = await self.prepare(ask, known)
            record = prepared.bench.record
            run = await self.intake.new_run(ask, prepared.program, record)
            earlier = await self.intake.accept(ask, run, touch=record is not None and self.desk.due_touch(record))
        finally:
            if queued:
                self.runtime.queue.leave_room(ask.account_id, 1)
        if earlier is not None:
            return earlier, earlier.run, None
        if queued and not prepared.understood.checked.files:
            self._fresh.keep(run, prepared)
        return None, run, prepared

    async def replay(self, account_id: int, run_id: str, idempotency_key: str | None = None) -> tuple[Done | None, Run, Prepared | None]:
        """Accept a fresh run with the input of one that ended. Raises ``NotFound``, ``Conflict`` when that cannot be, and what ``start`` raises."""
        run = await self.runtime.repo.runs.get(account_id, run_id)
        if run is None:
            raise NotFound("There is no run with this id.")
        if run.status not in FINAL:
            raise Conflict(f"The run has not ended: its status is {run.status}.")
        if run.probe_at is not None:
            raise Conflict("It is being looked for at the partner whether the run took effect: wait until that is settled.")
        if run.sealed_input is None:
            raise Conflict("The input of this run is no longer kept: start a new run with the input itself.")
        box = await self.desk.box(account_id)
        content = decode(box.open(run.sealed_input, f"run/{run.run_id}/input"))
        return await self.start(ask_again(run, content, idempotency_key))

    async def look_for_stops(self) -> None:
        """Learn which runs were asked to stop through another process, if any is under way here."""
        if self._open or self._working:
            await self.ledger.look_for_stops()

    async def run_sync(self, ask: Ask, *, uncut: bool = False) -> Done:
        """Accept and run, to the end. What happened is recorded before this returns, also when the caller goes away: unless it is ``uncut``, it may be cancelled."""
        known = await self._aim(ask)
        lane = _lane(ask, *known)
        if self._open >= self.runtime.settings.runs.sync_limit:
            raise Overloaded
        if not self._bulkheads.enter(lane):
            raise Overloaded(
                "Too many calls to this partner or with this connection are under way: nothing was accepted, try again shortly."
            )
        self._open += 1
        task = asyncio.current_task() if uncut else None
        if task is not None:
            self._tasks.add(task)
        try:
            earlier, run, prepared = await self.start(ask, known)
            if earlier is not None or prepared is None:
                return earlier or Done(run=run)
            return await (self._to_the_end(run, prepared) if uncut else self._shielded(run, prepared))
        finally:
            self._open -= 1
            self._bulkheads.leave(lane)
            if task is not None:
                self._tasks.discard(task)

    async def _shielded(self, run: Run, prepared: Prepared) -> Done:
        """``_to_the_end``, which goes on when the caller is cancelled."""
        task = asyncio.create_task(self._to_the_end(run, prepared))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def _to_the_end(self, run: Run, prepared: Prepared) -> Done:
        """Attempt after attempt within the deadline, in this process."""
        attempts: list[dict[str, Any]] = []
        while True:
            result, decision = await self._attempt(run, prepared, attempts)
            if decision is None or decision.status != "waiting" or decision.wait_ms is None:
                return result
            await asyncio.sleep(decision.wait_ms / 1000)
            run = replace(result.run, attempts=run.attempts + 1)

    async def run_once(self, run: Run) -> Done:
        """One attempt of a run that a worker claimed; afterwards it is final, or waits for its next attempt."""
        self._working += 1
        try:
            return await self._work(run)
        finally:
            self._working -= 1

    async def _work(self, run: Run) -> Done:
        box = self.runtime.boxes.opened(run.account_id) or await self.desk.box(run.account_id)
        attempts: list[dict[str, Any]] = []
        started, clock = self.runtime.now_ms(), time.perf_counter()
        try:
            if run.sealed_attempts is not None:
                attempts = decode(box.open(run.sealed_attempts, f"run/{run.run_id}/attempts"))
            prepared = await self._still_understood(run)
            if prepared is None:
                content = decode(box.open(run.sealed_input or b"", f"run/{run.run_id}/input"))
                prepared = await self._prepare_stored(ask_of(run, content))
        except PolyportError as error:
            if not is_held(error):
                attempts.append(attempt_record(run.attempts, started, clock, [], error))
            return (await self._conclude(run, attempts, Failure(error=error, reached=False, answered=True)))[0]
        except Exception:  # noqa: BLE001  a defect of ours must end the run honestly, not leave it running
            _log.exception("a run could not be prepared", run=run.run_id)
            return await self.ledger.finish(run, RunStatus.FAILED, attempts, error=InternalError())
        return (await self._attempt(run, prepared, attempts))[0]

    async def _still_understood(self, run: Run) -> Prepared | None:
        """What was understood when the run was accepted here a moment ago, if its operation and its connection are the same since. Raises what ``prepare`` raises."""
        prepared = self._fresh.take(run)
        if prepared is None:
            return None
        with contextlib.suppress(StoreFault):
            program = await self.desk.runnable(run.account_id, run.operation_id)
            bench = await self.desk.bench(run.account_id, program.partner, prepared.positions.connection_id)
            if program is prepared.program and bench is prepared.bench:
                return prepared
        return None

    async def _prepare_stored(self, ask: Ask) -> Prepared:
        """``prepare`` for a run that was accepted: a store that cannot be read is waited for, not taken for an answer."""
        while True:
            try:
                return await self.prepare(ask)
            except StoreUnavailable as error:
                _log.warning("the store cannot be read, trying again", reason=str(error))
            await asyncio.sleep(STORE_SECONDS)

    async def _attempt(self, run: Run, prepared: Prepared, attempts: list[dict[str, Any]]) -> tuple[Done, Decision | None]:
        """One attempt, recorded. A decision comes back when the attempt failed."""
        traces: list[Trace] = []
        started, clock = self.runtime.now_ms(), time.perf_counter()
        error: PolyportError
        caller = self._within_deadline(run, prepared)
        try:
            run = await self._make_ready(run, caller)
            perform = self._with_files if prepared.understood.checked.files else self._carry_out
            outcome = await perform(run, prepared, caller, traces)
        except RunCancelled:
            return await self._stopped(run, started, clock, attempts, traces), None
        except CallFailed as failed:
            error = await confirm_refusal(self.desk, prepared.bench, failed.failure.error)
            if isinstance(error, PartnerError) and prepared.understood.checked.custom:
                await self.desk.suspect_fields(prepared.bench, prepared.program, prepared.selected)
            failure = _of_all_steps(replace(failed.failure, error=error), traces)
        except PolyportError as refused:
            error, failure = refused, Failure(error=refused, reached=any(_changes(trace) for trace in traces), answered=True)
        except Stale:
            raise
        except Exception:  # noqa: BLE001  as above
            _log.exception("an attempt failed in a way that nobody foresaw", run=run.run_id)
            error = InternalError()
            failure = Failure(error=error, reached=bool(traces) or run.sending, answered=False)
        else:
            attempts.append(attempt_record(run.attempts, started, clock, traces, None))
            return await self._succeed(run, prepared, outcome, attempts), None
        finally:
            if caller.gate is not None:
                caller.gate.close()
        if traces or not is_held(error):
            attempts.append(attempt_record(run.attempts, started, clock, traces, error))
        return await self._conclude(run, attempts, failure)

    async def _make_ready(self, run: Run, caller: Caller) -> Run:
        """See to it that the first request can leave, then note durably that it may have, unless the claim did so."""
        if run.deadline_at is not None and run.deadline_at <= self.runtime.now_ms():
            raise too_late(run.attempts)
        if caller.gate is None:  # a tool: it sends nothing
            return run
        self.runtime.budgets.unclaim(run.run_id)  # from here on it is one of those who wait
        await caller.gate.ready(caller.base.origin if caller.base is not None else None, caller.until)
        return run if run.repeatable or run.sending else await self.ledger.mark_sending(run)

    async def _stopped(self, run: Run, started: int, clock: float, attempts: list[dict[str, Any]], traces: list[Trace]) -> Done:
        """The end of a run that stopped because it was asked to: before anything was sent, or in the middle."""
        error = cancelled(sent=bool(traces or attempts))
        if traces:
            attempts.append(attempt_record(run.attempts, started, clock, traces, error))
        return await self.ledger.finish(run, RunStatus.CANCELLED, attempts, error=error)

    async def _conclude(self, run: Run, attempts: list[dict[str, Any]], failure: Failure) -> tuple[Done, Decision]:
        """What follows from a failed attempt: another one later, or the end."""
        error = failure.error
        if is_held(error) and not failure.reached:
            return await self._hold_back(run, attempts, error)
        decision = await self._decide(run, failure, attempts)
        cut = failure.stopped and run.mode == "sync" and decision.status != "uncertain"
        if cut:  # nothing is sent from here any more; whoever comes again, under the same key too, finds who comes after
            decision = Decision(status="failed")
        if decision.status == "waiting" and decision.wait_ms is not None:
            if run.mode == "sync":
                return Done(run=replace(run, waited_ms=run.waited_ms + decision.wait_ms), error=error), decision
            try:
                return await self.ledger.wait(run, attempts, error, decision.wait_ms), decision
            except RunCancelled:
                return await self.ledger.finish(run, RunStatus.CANCELLED, attempts, error=cancelled(sent=True)), decision
        status = RunStatus(decision.status)
        final = in_doubt(error) if status is RunStatus.UNCERTAIN else settled(error, repeatable=run.repeatable or not failure.reached)
        return await self.ledger.finish(run, status, attempts, error=final, frees=cut), decision

    async def _hold_back(self, run: Run, attempts: list[dict[str, Any]], error: PolyportError) -> tuple[Done, Decision]:
        """What follows when nothing could be sent yet: who waits for the answer is told, a queued run keeps its place."""
        wait = error.details.retry_after_ms or 1_000
        ends = run.deadline_at is not None and run.deadline_at <= self.runtime.now_ms() + wait
        if run.mode == "sync" or ends:
            return await self.ledger.finish(run, RunStatus.FAILED, attempts, error=error), Decision(status="failed")
        try:
            return await self.ledger.hold(run, error, wait), Decision(status="waiting", wait_ms=wait)
        except RunCancelled:
            end = cancelled(sent=bool(attempts))
            return await self.ledger.finish(run, RunStatus.CANCELLED, attempts, error=end), Decision(status="failed")

    async def _succeed(self, run: Run, prepared: Prepared, outcome: Outcome, attempts: list[dict[str, Any]]) -> Done:
        try:
            record = prepared.bench.record
            proof = self.desk.due_proof(record) if record is not None and prepared.program.calls else None
            done = await self.ledger.finish(run, RunStatus.SUCCEEDED, attempts, outcome=outcome, raw=prepared.raw, proof=proof)
        except (TypeError, ValueError, OverflowError, RecursionError):
            _log.exception("a result could not be recorded", run=run.run_id)
        else:
            if record is not None and record.status is ConnectionStatus.PENDING and prepared.program.calls:
                with contextlib.suppress(StoreFault):  # the watch proves it in its time
                    await note_working(self.desk, prepared.program.partner, record, None)
            return done
        status = RunStatus.FAILED if run.repeatable else RunStatus.UNCERTAIN
        error: PolyportError = InternalError() if run.repeatable else in_doubt(InternalError())
        return await self.ledger.finish(run, status, [], error=error)

    async def _with_files(self, run: Run, prepared: Prepared, caller: Caller, traces: list[Trace]) -> Outcome:
        program = prepared.program
        files = prepared.understood.checked.files
        streamed = frozenset[str]() if caller.scheme is not None and caller.scheme.reads_body else program.streamed
        async with files_in_place(self.desk, run.account_id, files, streamed, caller.until):
            return await self._carry_out(run, prepared, caller, traces)

    async def _carry_out(self, run: Run, prepared: Prepared, caller: Caller, traces: list[Trace]) -> Outcome:
        program = prepared.program
        scope = build_scope(program, caller, prepared.understood, prepared.selected, run.run_id)
        if program.compute is not None:
            return compute(program, prepared.understood.schema, scope)
        if prepared.reading is not None:
            outcome = await read_trigger(caller, program, prepared.understood, scope, prepared.reading, traces.append)
        else:
            outcome = await act(caller, program, prepared.understood, scope, traces.append)
        if program.gives_files:
            await keep_files(self.desk, run.account_id, outcome, run.external_user_id)
        return outcome

    def _within_deadline(self, run: Run, prepared: Prepared) -> Caller:
        """The caller, bound to the run's deadline; a caller who named a time is given all of it."""
        caller = hiding(prepared.bench.caller, prepared.hidden)
        stopping, run_id, network, until, timeout = self.ledger.stopping, run.run_id, caller.network, caller.until, caller.timeout
        if caller.base is not None and caller.base.replaced is not None:
            network = MarkedNetwork(network, run_id)
        runs = self.runtime.settings.runs
        patience = HOLD_SECONDS if run.mode == "async" else SYNC_LIMIT_MS / 1000 if prepared.patient else runs.sync_wait
        noted = None if run.repeatable else run_id
        gate = self.desk.gate(prepared.program, prepared.bench, patience, noted) if prepared.program.calls else None
        if run.deadline_at is not None:
            left = (run.deadline_at - self.runtime.now_ms()) / 1000
            until = time.monotonic() + left
            timeout = min(self.runtime.settings.partner.timeout_limit, left) if prepared.patient else timeout
        return replace(caller, network=network, stopped=lambda: run_id in stopping, gate=gate, until=until, timeout=timeout)

    async def _decide(self, run: Run, failure: Failure, attempts: list[dict[str, Any]]) -> Decision:
        settings, now, retry = self.runtime.settings.runs, self.runtime.now_ms(), None
        with contextlib.suppress(NotFound):  # an operation that is gone meanwhile: the run ends by this failure
            retry = (await self.desk.program(run.account_id, run.operation_id, pinned_of(run))).operation.retry
        policy = policy_of(retry, settings.attempts)
        first = int(attempts[0]["startedAt"] * 1000) if attempts else now
        bounds = [
            int(settings.sync_wait * 1000) + 1 if run.mode == "sync" else None,
            None if run.deadline_at is None else run.deadline_at - now,
            policy.left_ms(now - first),
        ]
        return decide(
            failure,
            repeatable=run.repeatable,
            attempt=run.attempts,
            policy=policy,
            left_ms=min((bound for bound in bounds if bound is not None), default=None),
            jitter=random.random(),  # noqa: S311  it spreads retries, it protects nothing
        )


def _lane(ask: Ask, program: Program, positions: Positions) -> Lane:
    """What an ask belongs to, before more is known of it than what it is for."""
    connection_id, partner_id = positions.connection_id, program.partner.file.id
    return Lane(ask.account_id, connection_id if connection_id is not None else -partner_id, ask.operation_id, partner_id)


def _of_all_steps(failure: Failure, traces: list[Trace]) -> Failure:
    """The failure of the last step, seen as that of the whole attempt.

    A step that never left still must not be repeated when an earlier one has changed something; one that only reads leaves nothing in doubt.
    """
    *earlier, last = traces
    if any(_changes(trace) for trace in earlier):
        return replace(failure, reached=True, answered=False)
    return replace(failure, reached=failure.reached and _changes(last))


def _changes(trace: Trace) -> bool:
    """Whether an exchange may have changed something at the partner."""
    return not trace.harmless and trace.method not in SAFE_METHODS


def _check_user(ask: Ask, bench: Bench) -> None:
    """Raise ``ValidationFailed`` for a run of one end user with the connection of another."""
    owner = bench.record.external_user_id if bench.record is not None else None
    if None not in {owner, ask.external_user_id} and owner != ask.external_user_id:
        fault = Fault(path="externalUserId", code="wrong_user", message="The connection is of another end user.")
        raise ValidationFailed.of(fault)


def _reading(program: Program, ask: Ask) -> Reading | None:
    if isinstance(program.operation, Trigger):
        return read_reading(ask.window, ask.cursor, ask.limit)
    if ask.window is None and ask.cursor is None and ask.limit is None:
        return None
    given = {"window": ask.window, "cursor": ask.cursor, "limit": ask.limit}
    faults = [
        Fault(path=name, code="unknown_field", message="Only triggers take this.") for name, value in given.items() if value is not None
    ]
    raise ValidationFailed.of(*faults)
