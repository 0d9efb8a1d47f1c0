"""Microbenchmarks: the CPU time of the single steps of a run, and what the catalogue costs. Run as ``python -m bench.micro``: JSON on standard output."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any, Final

import msgspec

from bench.machine import resident
from bench.partner import CONNECTION, OPERATION, PERSON, PERSON_FIELDS, runner_data
from polyport.catalog import Catalog, Wanted
from polyport.engine.caller import Caller, open_caller
from polyport.engine.calls import ListItems, exchange, list_custom_fields
from polyport.engine.operation import Program, Understood, build_scope, compile_operation, understand
from polyport.engine.render import render_call
from polyport.engine.results import read_item
from polyport.manifest.model import ListSpec
from polyport.net.message import Reply, Request
from polyport.vault import Keyring, Vault

REPEATS: Final = 7
SLICE_SECONDS: Final = 0.04


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """CPU time of one step in us: the median of several series, the lowest and the highest."""

    name: str
    median: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Micro:
    """``load_seconds`` and ``load_mb`` are those of the bundled partners, in a process that had not loaded them before."""

    partners: int
    operations: int
    load_seconds: float
    load_mb: float
    steps: list[Step]


class _Instant:
    """A network that answers at once, always the same."""

    def __init__(self) -> None:
        headers = (("content-type", "application/json"),)
        self._reply = Reply(status=201, headers=headers, body=json.dumps({"success": True, "data": PERSON}).encode())

    async def send(self, _request: Request) -> Reply:
        """The answer."""
        return self._reply


class _ReadLists:
    """Lists that have been read before."""

    def __init__(self, found: ListItems) -> None:
        self._found = found

    async def get(self, _spec: ListSpec, _values: Any, *, query: str | None = None, fresh: bool = False) -> ListItems:
        """The items."""
        del query, fresh
        return self._found


def _time(name: str, work: Callable[[], object]) -> Step:
    """The CPU time of one call."""
    count = 1
    while True:
        used = _series(work, count)
        if used >= SLICE_SECONDS / 4:
            break
        count *= 4
    count = max(1, int(count * SLICE_SECONDS / used))
    found = [_series(work, count) / count * 1e6 for _repeat in range(REPEATS)]
    return Step(name=name, median=median(found), lowest=min(found), highest=max(found))


def _series(work: Callable[[], object], count: int) -> float:
    began = time.process_time()
    for _turn in range(count):
        work()
    return time.process_time() - began


def _drive(start: Callable[[], Awaitable[object]]) -> Callable[[], object]:
    """A coroutine that never really waits, as a plain call: no event loop is measured with it."""

    def run() -> None:
        steps = start().__await__()
        try:
            while True:
                next(steps)
        except StopIteration:
            return

    return run


def _steps(program: Program, caller: Caller) -> list[Step]:
    found = ListItems(items=[item for item in PERSON_FIELDS if item["is_custom_field"]], complete=True)
    lists, data = _ReadLists(found), runner_data()
    understood: Understood = asyncio.run(understand(program, data, lists))
    if understood.checked.faults:
        raise SystemExit(f"the sample does not fit the schema: {understood.checked.faults}")
    scope = build_scope(program, caller, understood)
    partner, call = program.partner, program.calls[0]
    box = _box()
    kept = msgspec.json.encode({"credentialData": {"0": {"value": 1}}, "runnerData": data})
    sealed = box.seal(kept, "run/1/input")
    return [
        _time("compile the operation", lambda: compile_operation(partner, program.operation)),
        _time("read the custom fields' definitions", lambda: list_custom_fields(partner, "person_fields", found.items)),
        _time("validate the input, custom fields and rows included", _drive(lambda: understand(program, data, lists))),
        _time("make the scope", lambda: build_scope(program, caller, understood)),
        _time("render the request", lambda: render_call(call, scope, caller.base, 30.0)),
        _time("a whole call on an instant network (render, sign, judge, redact)", _drive(lambda: exchange(caller, call, scope))),
        _time("read the result", lambda: read_item(understood.schema, PERSON)),
        _time(f"seal {len(kept)} bytes", lambda: box.seal(kept, "run/1/input")),
        _time(f"open {len(kept)} bytes", lambda: box.open(sealed, "run/1/input")),
    ]


def _box() -> Any:
    vault = Vault(Keyring(secrets.token_bytes(32)))
    return vault.box("account/1", vault.new_key("account/1"))


def main() -> None:
    """Measure, and print JSON."""
    before, began = resident(), time.perf_counter()
    catalog = Catalog.load((), "http://127.0.0.1:8080")
    seconds = time.perf_counter() - began
    grown = resident() - before
    seen = catalog.seen_by(None)
    partner, operation = asyncio.run(seen.operation(OPERATION))
    program = compile_operation(partner, operation)
    caller = open_caller(
        partner,
        CONNECTION["auth"],
        CONNECTION["fields"],
        _Instant(),
        replaced="http://127.0.0.1:9",
        timeout=30.0,
        clock=lambda: datetime.now(UTC),
    )
    operations = asyncio.run(seen.list_operations(Wanted())).total
    micro = Micro(partners=catalog.count, operations=operations, load_seconds=seconds, load_mb=grown, steps=_steps(program, caller))
    sys.stdout.write(msgspec.json.encode(micro).decode() + "\n")


if __name__ == "__main__":
    main()
