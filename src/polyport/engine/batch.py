"""Many runs of one operation at once: each is understood by itself, those that can be are accepted together in one durable unit."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from polyport.engine.intake import key_of
from polyport.engine.record import Ask, digest_of_body
from polyport.engine.run import Engine
from polyport.errors import Fault, IdempotencyInProgress, IdempotencyMismatch, Overloaded, PolyportError, ValidationFailed
from polyport.store.base import Duplicate, StoreUnavailable
from polyport.store.records import IdempotencyKey, Run

BATCH_MOST: Final = 1_000
TOGETHER: Final = 16  # runs that are understood at the same time: some may have to ask the partner for a list
TRIES: Final = 5


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one ask: a run, or why there is none. ``replayed``: its key was used before, this is the run of then."""

    run: Run | None = None
    error: PolyportError | None = None
    replayed: bool = False


class BatchKey(msgspec.Struct, frozen=True, kw_only=True):
    """The idempotency key of a batch as a whole, and the body that came with it."""

    key: str
    body: Mapping[str, Any]


async def start_batch(engine: Engine, account_id: int, asks: Sequence[Ask | PolyportError], whole: BatchKey | None) -> list[Placed]:
    """Accept the asks that can be; what became of each, in their order. An ask that is no more than an error stays one.

    Raises ``Overloaded``, ``IdempotencyMismatch`` or ``IdempotencyInProgress`` for the batch as a whole; then nothing was accepted.
    """
    mark = await _mark_of(engine, account_id, whole) if whole is not None else None
    keyed = _with_keys(asks, whole)
    await _check_load(engine, account_id, keyed, whole if mark is None else None)
    for _try in range(TRIES):
        placed: list[Placed] = []
        for first in range(0, len(keyed), TOGETHER):
            placed += await asyncio.gather(*(_understand(engine, ask) for ask in keyed[first : first + TOGETHER]))
            await asyncio.sleep(0)  # others are served in between
        try:
            await _insert(engine, keyed, placed, mark)
        except Duplicate:  # a key was used by another call meanwhile: the next look finds its run
            mark = await _mark_of(engine, account_id, whole) if whole is not None else None
            continue
        except StoreUnavailable:
            raise Overloaded("This server cannot write its records now: nothing was accepted.") from None
        return placed
    raise IdempotencyInProgress("Runs with keys of this batch are being accepted by other calls: repeat it in a moment.")


async def _check_load(engine: Engine, account_id: int, asks: Sequence[Ask | PolyportError], again: BatchKey | None) -> None:
    """Raise ``Overloaded`` when the queue has no room for what is new: who repeats what was accepted hears of that also when it is full.

    ``again`` is the key of a batch that was accepted before. Which runs are new is looked for only where all would be too many.
    """
    try:
        await engine.intake.check_load(account_id, len(asks))
    except Overloaded:
        keys = [ask.idempotency_key for ask in asks if isinstance(ask, Ask) and ask.idempotency_key is not None]
        own = [key for key in keys if again is not None or "\n" not in key]
        known = sum([await engine.intake.held(account_id, key) is not None for key in own])
        if not known:
            raise
        if known < len(asks):
            await engine.intake.check_load(account_id, len(asks) - known)


async def _mark_of(engine: Engine, account_id: int, whole: BatchKey) -> IdempotencyKey | None:
    """The mark that the batch was accepted under its key; ``None`` when it is there. Raises ``IdempotencyMismatch`` for another body."""
    digest = digest_of_body(whole.body)
    held = await engine.intake.held(account_id, whole.key)
    if held is None:
        return IdempotencyKey(account_id=account_id, key=whole.key, digest=digest, run_id="", created_at=engine.runtime.now_ms())
    if held.digest != digest:
        raise IdempotencyMismatch
    return None


def _with_keys(asks: Sequence[Ask | PolyportError], whole: BatchKey | None) -> list[Ask | PolyportError]:
    """The asks, each under a key where it or the batch has one; a key that stands twice is a fault of the later ask."""
    found: list[Ask | PolyportError] = []
    seen: set[str] = set()
    for index, ask in enumerate(asks):
        if isinstance(ask, PolyportError):
            found.append(ask)
            continue
        key = ask.idempotency_key
        if key is not None and key in seen:
            found.append(
                ValidationFailed.of(Fault(path="idempotencyKey", code="duplicate_key", message="This key stands twice in the batch."))
            )
            continue
        if key is not None:
            seen.add(key)
        elif whole is not None:  # a line break: no key of a caller's can be the same
            key = f"{whole.key}\n{index}"
        found.append(replace(ask, idempotency_key=key))
    return found


async def _understand(engine: Engine, ask: Ask | PolyportError) -> Placed:
    if isinstance(ask, PolyportError):
        return Placed(error=ask)
    try:
        if ask.idempotency_key is not None and (earlier := await engine.intake.earlier(ask)) is not None:
            return Placed(run=earlier.run, replayed=True)
        prepared = await engine.prepare(ask)
        return Placed(run=await engine.intake.new_run(ask, prepared.program, prepared.bench.record))
    except PolyportError as error:
        return Placed(error=error)


async def _insert(engine: Engine, asks: Sequence[Ask | PolyportError], placed: Sequence[Placed], mark: IdempotencyKey | None) -> None:
    """Keep the new runs with their keys, all in one unit, and say that they are due."""
    fresh = [
        (each.run, key_of(ask, each.run))
        for ask, each in zip(asks, placed, strict=True)
        if isinstance(ask, Ask) and each.run is not None and not each.replayed
    ]
    if not fresh:
        return
    account_id, queue = fresh[0][0].account_id, engine.runtime.queue
    await engine.intake.take_room(account_id, len(fresh))
    try:
        await engine.runtime.repo.runs.insert_many(fresh, mark)
        for run, _key in fresh:
            queue.announce(run)
    finally:
        queue.leave_room(account_id, len(fresh))
