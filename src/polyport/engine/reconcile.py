"""What became of a run in doubt: the partner is asked whether there is what the run would have made. Reading only, a few times, each time later."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

import msgspec
import structlog

from polyport.engine.calls import exchange
from polyport.engine.operation import build_scope
from polyport.engine.record import ask_of, attempt_record, decode
from polyport.engine.render import compile_call
from polyport.engine.results import read_item
from polyport.engine.run import Engine, Prepared
from polyport.engine.steps import is_due, repeat_key
from polyport.engine.trace import CallFailed, Trace
from polyport.errors import ConnectionInvalid, Details, PartnerUnavailable, PolyportError
from polyport.kinds.filters import FILTERS
from polyport.manifest.model import Action, Reconcile
from polyport.paths import MISSING, get
from polyport.store.base import Stale
from polyport.store.records import FIRST_LOOK_MS, Run, RunStatus
from polyport.template import RenderFault, compile_value, to_text

LOOKS_MS: Final = (FIRST_LOOK_MS, 15_000, 2 * 60_000, 15 * 60_000)  # after the end of the run
LOOK_SECONDS: Final = 1.0
AT_ONCE: Final = 20
CHOSEN_FROM: Final = 60  # runs that are due, with all that is kept of them
LOOK_LIMIT_MS: Final = 3 * 60_000  # a look that another process took and did not end is due again after this

_log: Final = structlog.get_logger("polyport.runs")


class _Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a look saw: the ``record`` if there is one. ``clear``: the partner answered, so that nothing seen means that it shows none."""

    record: Any = MISSING
    clear: bool = True


class Reconciler:
    """Looks for what runs in doubt have made, for one process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._runtime = engine.runtime

    async def sweep(self) -> None:
        """Look for those runs whose time it is, some at a time: of runs in doubt many are of a partner that does not answer, and others need not wait for it."""
        due = await self._runtime.repo.runs.to_probe(self._runtime.now_ms(), CHOSEN_FROM)
        ended = await asyncio.gather(*map(self._take, in_turns(due)), return_exceptions=True)
        if faults := [fault for fault in ended if fault is not None]:
            raise faults[0]

    async def _take(self, run: Run) -> None:
        with contextlib.suppress(Stale):  # another process was first
            await self._look_safely(await self._runtime.repo.runs.take_probe(run, self._runtime.now_ms() + LOOK_LIMIT_MS))

    async def _look_safely(self, run: Run) -> None:
        """Look; a defect of ours must not keep other runs waiting, nor this one be looked for for ever."""
        try:
            await self._look(run)
        except Stale:  # it was settled meanwhile
            return
        except Exception:  # noqa: BLE001  as said above
            _log.exception("a run in doubt could not be looked for", run=run.run_id)
            if following(run, self._runtime.now_ms()) is None:
                await self._engine.ledger.settle(run, RunStatus.UNCERTAIN, None, found=False)

    async def _look(self, run: Run) -> None:
        started, clock = self._runtime.now_ms(), time.perf_counter()
        traces: list[Trace] = []
        last = following(run, started) is None
        try:
            prepared, probe = await self._prepare(run)
            seen = await _see(prepared, probe, run, traces)
        except PolyportError as error:
            # A partner that is down or left alone may answer later, and a sign-in may be mended.
            if not last and (error.retryable or isinstance(error, ConnectionInvalid)):
                entry = attempt_record(run.attempts, started, clock, traces, error) | {"probe": True}
                return await self._engine.ledger.look_later(run, entry, following(run, started))
            # The connection, the input or the action is not what it was: nothing can be looked for any more.
            _log.info("a run in doubt can no longer be looked for", run=run.run_id, code=error.code)
            return await self._engine.ledger.settle(run, RunStatus.UNCERTAIN, None, found=False)
        entry = attempt_record(run.attempts, started, clock, traces, None) | {"probe": True}
        ledger = self._engine.ledger
        if seen.record is not MISSING:
            result = read_item(prepared.understood.schema, get(seen.record, probe.at))
            return await ledger.settle(run, RunStatus.SUCCEEDED, entry, found=True, result=result)
        if not last:
            return await ledger.look_later(run, entry, following(run, started))
        if probe.absent == "failed" and seen.clear:
            return await ledger.settle(run, RunStatus.FAILED, entry, found=False, error=_no_effect())
        return await ledger.settle(run, RunStatus.UNCERTAIN, entry, found=False)

    async def _prepare(self, run: Run) -> tuple[Prepared, Reconcile]:
        box = await self._engine.desk.box(run.account_id)
        content = decode(box.open(run.sealed_input or b"", f"run/{run.run_id}/input"))
        prepared = await self._engine.prepare(ask_of(run, content))
        operation = prepared.program.operation
        if not isinstance(operation, Action) or operation.reconcile is None:
            raise PartnerUnavailable("The operation no longer says how to look for its runs.", Details(retryable=False))
        return prepared, operation.reconcile


def in_turns(due: Sequence[Run]) -> list[Run]:
    """Which of the runs that are due, the longest first, are looked for together: partners in turn."""
    turns: dict[int, int] = {}
    numbered = []
    for run in due:
        turns[run.partner_id] = turn = turns.get(run.partner_id, 0) + 1
        numbered.append((turn, run))
    return [run for _turn, run in sorted(numbered, key=itemgetter(0))[:AT_ONCE]]


def following(run: Run, now: int) -> int | None:
    """When to look again after a look at ``now``; ``None`` after the last."""
    ended = run.finished_at or now
    return next((ended + offset for offset in LOOKS_MS if ended + offset > now), None)


async def _see(prepared: Prepared, probe: Reconcile, run: Run, traces: list[Trace]) -> _Seen:
    program, caller = prepared.program, prepared.bench.caller
    call = compile_call(probe.call, program.partner.file.headers)
    scope = build_scope(program, caller, prepared.understood, prepared.selected, run.run_id)
    scope["run"] = {"id": run.run_id, "key": repeat_key(run.run_id, len(program.calls) - 1, 0)}
    if not is_due(call, scope):
        return _Seen(clear=False)
    try:
        answer = await exchange(caller, call, scope, program.operation.errors, step="reconcile")
    except CallFailed as failed:
        traces.extend(failed.traces)
        return _Seen(clear=failed.kind == "not_found")
    traces.extend((*answer.earlier, answer.trace))
    return _Seen(record=_record(probe, answer.value, scope))


def _record(probe: Reconcile, answer: Any, scope: Mapping[str, Any]) -> Any:
    """The first record of an answer that is the run's."""
    listed = get(answer, probe.items)
    wanted = None if probe.marker is None else _text(compile_value(probe.marker.value, FILTERS).render(scope))
    for record in listed if isinstance(listed, list) else [listed]:
        if record is MISSING or record is None or not all(match.holds(record) for match in probe.where):
            continue
        if probe.marker is None or (wanted is not None and _text(get(record, probe.marker.at)) == wanted):
            return record
    return MISSING


def _text(value: Any) -> str | None:
    try:
        return None if value is MISSING or value is None else to_text(value)
    except RenderFault:
        return None


def _no_effect() -> PolyportError:
    return PartnerUnavailable(
        "No answer came, and the partner has nothing that this run would have made: it took no effect.",
        Details(retryable=True, suggested_fix="Run it again."),
    )
