"""What every call into the engine needs, kept warm: compiled operations, open connections, lists that were read.

All of it is a cache over the store and the folders; ``forget`` drops what another process may have changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from polyport.catalog import Operation
from polyport.connections import check_reach, is_usable
from polyport.engine.caller import Caller, Documents, GrantHolder, open_caller
from polyport.engine.checks import next_check
from polyport.engine.gate import Gate
from polyport.engine.lists import KeptLists, ListMemory
from polyport.engine.operation import Program, compile_operation
from polyport.engine.renewal import Clients, Renewals, reconnect_advice
from polyport.errors import Conflict, ConnectionInvalid, Details, Fault, NotFound, UnsupportedTrigger, ValidationFailed
from polyport.manifest.model import Partner, Trigger
from polyport.manifest.passing import partner_of, passing
from polyport.net.message import Network
from polyport.quotas import Toll
from polyport.runtime import Runtime
from polyport.store.base import StoreFault
from polyport.store.records import Connection, ConnectionStatus, RunProof
from polyport.vault import Box

CALLERS_MOST: Final = 1_024
CALLER_SECONDS: Final = 60.0
TAGS_MOST: Final = 4_096
OLDER_MOST: Final = 256
TOUCH_SECONDS: Final = 60.0
PROOFS_A_CYCLE: Final = 24
_NO_OPERATION: Final = "There is no trigger or action with this id."
_EXPIRED: Final = "The sign-in of this connection has expired: the customer has to connect again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """An open connection ready for calls; ``record`` is ``None`` for partners that need none."""

    record: Connection | None
    caller: Caller
    opened_at: float


class Tags:
    """The entity tags of schemas whose content was seen, by their version: what is hashed once need not even be made again."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Any, ...], str] = OrderedDict()

    def get(self, version: tuple[Any, ...] | None) -> str | None:
        """The tag of a version, if it is known."""
        return self._kept.get(version) if version is not None else None

    def keep(self, version: tuple[Any, ...] | None, tag: str) -> str:
        """Keep the tag of a version, and give it back."""
        if version is not None:
            self._kept[version] = tag
            while len(self._kept) > TAGS_MOST:
                self._kept.popitem(last=False)
        return tag


class Positions(msgspec.Struct, frozen=True, kw_only=True):
    """``credentialData`` understood: the connection's id and the selectors' values by position."""

    connection_id: int | None
    selectors: Mapping[int, Any]


class Desk:
    """The warm state of one process."""

    def __init__(self, runtime: Runtime, clients: Clients | None = None) -> None:
        self.runtime = runtime
        self.renewals = Renewals(runtime, runtime.apps if clients is None else clients)
        self._programs: dict[int, Program] = {}
        runtime.catalog.on_drop(self._drop_program)
        self._older: OrderedDict[tuple[int, int, int], Program] = OrderedDict()
        self._benches: OrderedDict[tuple[int, int], Bench] = OrderedDict()
        self._memory = ListMemory(runtime)
        self.tags = Tags()
        self._grants: OrderedDict[tuple[int, int, int], GrantHolder] = OrderedDict()
        self._documents = Documents()
        self._touched: dict[int, float] = {}
        self._proved: dict[int, int] = {}

    async def program(self, account_id: int, operation_id: int, pinned: tuple[int, int] | None = None) -> Program:
        """A compiled operation that an account sees, in the version that the catalogue has now, or in that of the account's own partner which is ``pinned``.

        Raises ``NotFound``.
        """
        if pinned is not None:
            return await self._pinned(account_id, operation_id, *pinned)
        held = self._programs.get(operation_id)
        if held is not None and self.runtime.catalog.holds(account_id, held.partner, held.operation):
            return held
        partner, operation = await self._operation(account_id, operation_id)
        found = self._programs.get(operation_id)
        if found is None or found.operation is not operation or found.partner is not partner:
            found = self._programs[operation_id] = await asyncio.to_thread(compile_operation, partner, operation)
        return found

    async def _pinned(self, account_id: int, operation_id: int, partner_id: int, version: int) -> Program:
        """An operation as it was in the version of its partner that a run was accepted with."""
        if (await self.runtime.catalog.seen_by(account_id).partner(partner_id)).file.version == version:
            return await self.program(account_id, operation_id)
        key = (partner_id, operation_id, version)
        found = self._older.get(key)
        if found is None:
            partner = await self.runtime.private.version(account_id, partner_id, version)
            if partner_of(operation_id) is not None:
                operation: Operation | None = passing(operation_id)
            else:
                operation = next((each for each in partner.operations if each.id == operation_id), None)
            if operation is None:
                raise NotFound(_NO_OPERATION)
            found = self._older[key] = await asyncio.to_thread(compile_operation, partner, operation)
            while len(self._older) > OLDER_MOST:
                self._older.popitem(last=False)
        return found

    def _drop_program(self, operation_id: int) -> None:
        self._programs.pop(operation_id, None)

    def held_program(self, operation_id: int) -> Program | None:
        """An operation that was compiled already, whoever asked for it."""
        return self._programs.get(operation_id)

    async def _operation(self, account_id: int, operation_id: int) -> tuple[Partner, Operation]:
        """What a partner's folder says, or the operation that passes requests on to a partner with an address."""
        seen = self.runtime.catalog.seen_by(account_id)
        partner_id = partner_of(operation_id)
        if partner_id is None:
            try:
                return await seen.operation(operation_id)
            except NotFound:
                raise self.runtime.private.lost(account_id, operation_id) or NotFound(_NO_OPERATION) from None
        partner = await seen.partner(partner_id)
        if partner.file.base is None:
            raise NotFound("This partner has no address of its own that requests could be passed on to.")
        return partner, passing(operation_id)

    async def runnable(self, account_id: int, operation_id: int, pinned: tuple[int, int] | None = None) -> Program:
        """A compiled operation that an account sees and that can be run; ``pinned`` as for ``program``. Raises ``NotFound`` or ``UnsupportedTrigger``."""
        program = await self.program(account_id, operation_id, pinned)
        if isinstance(program.operation, Trigger) and program.operation.type == "webhook":
            raise UnsupportedTrigger
        return program

    async def bench(self, account_id: int, partner: Partner, connection_id: int | None) -> Bench:
        """An open connection. Raises ``NotFound``, ``ValidationFailed`` (none given, or of another partner) or ``ConnectionInvalid``."""
        if partner.file.connection is None:
            return self._without_connection(partner)
        if connection_id is None:
            raise ValidationFailed.of(
                Fault(path="credentialData.0", code="required", message="A connection of this partner is needed here.")
            )
        held = self._benches.get((account_id, connection_id))
        if held is None or held.caller.partner.digest != partner.digest or time.monotonic() - held.opened_at > CALLER_SECONDS:
            held = await self._open(account_id, partner, connection_id)
        record: Any = held.record  # what ``_open`` gives has one
        check_reach(record)
        if record.partner_id != partner.file.id:
            message = f"This connection is not one of {partner.file.title}."
            raise ValidationFailed.of(Fault(path="credentialData.0", code="wrong_partner", message=message))
        check_usable(record)
        return held

    async def _open(self, account_id: int, partner: Partner, connection_id: int) -> Bench:
        """Open a connection for this version of its partner, or for whichever serves where it is of another one."""
        opened = await self.runtime.connections.open(account_id, connection_id)
        record = opened.record
        if record.partner_id != partner.file.id:
            partner = await self.runtime.catalog.seen_by(account_id).partner(record.partner_id)
        check_auth(partner, record)
        caller = self.caller(partner, record.auth, opened.fields, record.connection_id, simulated=record.simulated)
        if caller.scheme is not None and (caller.scheme.exchanges or caller.scheme.keeps):
            grants = self._grants.get(_grant_key(record), caller.grants)
            if caller.scheme.keeps and grants.keeper is None:
                grants = GrantHolder(keeper=self.renewals.keeper(record))
            caller = replace(caller, grants=grants)
            self.keep_grant(record, caller.grants)
        bench = Bench(record=record, caller=caller, opened_at=time.monotonic())
        self._benches[(account_id, connection_id)] = bench
        self._benches.move_to_end((account_id, connection_id))
        while len(self._benches) > CALLERS_MOST:
            self._benches.popitem(last=False)
        return bench

    def _without_connection(self, partner: Partner) -> Bench:
        key = (0, partner.file.id)
        held = self._benches.get(key)
        if held is None or held.caller.partner.digest != partner.digest:
            held = self._benches[key] = Bench(record=None, caller=self.caller(partner, None, {}), opened_at=time.monotonic())
        return held

    def keep_grant(self, record: Connection, grants: GrantHolder) -> None:
        """Keep a connection's grant longer than the open connection, until its secrets are replaced: partners count what they grant."""
        self._grants[_grant_key(record)] = grants
        self._grants.move_to_end(_grant_key(record))
        while len(self._grants) > CALLERS_MOST:
            self._grants.popitem(last=False)

    def drop_grant(self, record: Connection) -> None:
        """Forget the grant of a connection that is gone."""
        self._grants.pop(_grant_key(record), None)

    def toll(self, program: Program, place: int) -> Toll | None:
        """What one call of an operation takes of its partner's budgets."""
        operation = program.operation
        return self._toll(program.partner, place, operation.costs, operation.id)

    def _toll(self, partner: Partner, place: int, costs: Mapping[str, int], operation_id: int) -> Toll | None:
        file = partner.file
        return self.runtime.budgets.toll(file.budgets, costs, partner_id=file.id, place=place, operation_id=operation_id)

    def gate(self, program: Program, bench: Bench, patience: float, noted: str | None = None) -> Gate:
        """The gate of one attempt. ``noted`` is the run for which it is noted when a request leaves that may change something."""
        place = bench.record.connection_id if bench.record is not None else -program.partner.file.id
        toll = self.toll(program, place) if program.partner.file.budgets else None  # most partners declare none
        leaves = partial(self.runtime.departures.note, noted) if noted is not None else None
        return Gate(self.runtime.budgets, self.runtime.breakers, toll, place, patience=patience, leaves=leaves)

    def caller(
        self, partner: Partner, auth: str | None, fields: Mapping[str, Any], connection_id: int = 0, *, simulated: bool = False
    ) -> Caller:
        """A caller with these fields; what it calls outside of runs goes through a gate of its own. Raises ``ValidationFailed`` when they make no address.

        One that is ``simulated`` talks to the partner's simulator in this process, never to the partner. Raises ``Conflict`` where there are none.
        """
        settings = self.runtime.settings
        place = connection_id if partner.file.connection is not None else -partner.file.id
        toll = self._toll(partner, place, {}, 0)
        gate = Gate(self.runtime.budgets, self.runtime.breakers, toll, place, patience=settings.runs.sync_wait, several=True)
        network: Network = self.runtime.network
        replaced = settings.partner_base_urls.get(partner.file.slug) if partner.file.version is None else None
        if simulated:
            if self.runtime.simulated is None:
                raise Conflict("This is a simulated connection: the server alone can use it.")
            network, replaced = self.runtime.simulated, self.runtime.simulated.origin(partner.file.slug)
        opened = open_caller(
            partner,
            auth,
            fields,
            network,
            replaced=replaced,
            timeout=settings.partner.timeout,
            clock=self.runtime.clock,
        )
        return replace(opened, documents=self._documents, gate=gate)

    async def tester(self, record: Connection) -> Caller:
        """A stored connection, opened for a test of its own: a partner that refused it before is asked again. Raises what ``caller`` raises, or ``ConnectionInvalid``."""
        partner = await self.runtime.catalog.seen_by(record.account_id).partner(record.partner_id)
        fields = self.runtime.connections.unseal(record)
        caller = self.caller(partner, record.auth, fields, record.connection_id, simulated=record.simulated)
        if caller.scheme is not None and caller.scheme.keeps:
            return replace(caller, grants=GrantHolder(keeper=self.renewals.keeper(record, insists=True)))
        return caller

    async def box(self, account_id: int) -> Box:
        """The box that seals an account's runs. Raises ``Overloaded`` when the master key for it is not here."""
        return await self.runtime.boxes.of(account_id)

    def lists(self, bench: Bench, *, until: float | None = None, form: bool = False) -> KeptLists:
        """The lists of an open connection, for a ``form`` or for a run. ``until`` is when all of them have to be there, by the clock of event loops (``time.monotonic``); after it ``TimeoutError`` is raised."""
        return KeptLists(self._memory, bench.record, bench.caller, until, form=form)

    async def suspect_fields(self, bench: Bench, program: Program, selected: Mapping[str, Any]) -> None:
        """A refused run had custom fields: the next one is checked against what the partner says of them now."""
        lists = self.lists(bench)
        with contextlib.suppress(StoreFault):
            for spec in program.definitions:
                await lists.suspect(spec, selected)

    def due_touch(self, record: Connection) -> bool:
        """Whether to note that a connection was used: at most once a minute each."""
        now = time.monotonic()
        if now - self._touched.get(record.connection_id, -TOUCH_SECONDS) < TOUCH_SECONDS:
            return False
        if len(self._touched) > 100_000:
            self._touched.clear()
        self._touched[record.connection_id] = now
        return True

    def due_proof(self, record: Connection) -> RunProof | None:
        """That the success of a run proves its connection: noted with the run, now and then, and not with every one."""
        every = self.runtime.settings.health.check_every
        if not every or record.check_at is None or record.status is not ConnectionStatus.ACTIVE:
            return None
        now = self.runtime.now_ms()
        if now < self._proved.get(record.connection_id, 0):
            return None
        if len(self._proved) > 100_000:
            self._proved.clear()
        self._proved[record.connection_id] = now + every * 1000 // PROOFS_A_CYCLE
        check_at = next_check(now, every, random.random())  # noqa: S311  it spreads checks, it protects nothing
        return RunProof(connection_id=record.connection_id, generation=record.generation, check_at=check_at)

    def forget(self) -> None:
        """Drop open connections and lists: something changed."""
        self.runtime.connections.forget()
        self._benches.clear()
        self._memory.forget()

    def close(self) -> None:
        """Give up what is read in the background."""
        self._memory.close()


def check_auth(partner: Partner, record: Connection) -> None:
    """Raise ``ConnectionInvalid`` for a connection that was made in a way which its partner has no more."""
    spec = partner.file.connection
    if spec is not None and all(choice.name != record.auth for choice in spec.auth):
        message = f"{partner.file.title} has no more the way of authorisation that this connection was made with: connect again."
        details = Details(suggested_fix=reconnect_advice(record.connection_id), connection_id=record.connection_id)
        raise ConnectionInvalid(message, details)


def check_usable(record: Connection) -> None:
    """Raise ``ConnectionInvalid`` for a connection that runs may not use."""
    if not is_usable(record):
        message = _EXPIRED if record.status is ConnectionStatus.EXPIRED else None
        details = Details(suggested_fix=reconnect_advice(record.connection_id), connection_id=record.connection_id)
        raise ConnectionInvalid(message, details)


def _grant_key(record: Connection) -> tuple[int, int, int]:
    return (record.account_id, record.connection_id, record.generation)


def read_positions(program: Program, data: Any) -> Positions:
    """Understand ``credentialData``. Raises ``ValidationFailed`` with every fault."""
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ValidationFailed.of(
            Fault(path="credentialData", code="wrong_type", message='An object such as {"0": {"value": 12345}} is needed here.')
        )
    faults: list[Fault] = []
    values: dict[int, Any] = {}
    most = len(program.operation.selectors)
    for position, given in data.items():
        path = f"credentialData.{position}"
        if not position.isdecimal() or not position.isascii() or len(position) > 3 or int(position) > most:
            faults.append(Fault(path=path, code="unknown_field", message=f"This operation has the positions 0 to {most}."))
            continue
        if isinstance(given, dict) and not given.keys() <= {"value"}:
            extra = given.keys() - {"value"}
            faults.extend(Fault(path=f"{path}.{key}", code="unknown_field", message='A position is {"value": ...}.') for key in extra)
        values[int(position)] = given.get("value") if isinstance(given, dict) else given
    connection_id = _connection_id(values.pop(0, None), faults)
    if faults:
        raise ValidationFailed.of(*faults)
    return Positions(connection_id=connection_id, selectors={position: value for position, value in values.items() if value is not None})


def _connection_id(given: Any, faults: list[Fault]) -> int | None:
    if given is None:
        return None
    if isinstance(given, str) and given.isdecimal() and given.isascii() and len(given) < 18:
        return int(given)
    if isinstance(given, bool) or not isinstance(given, int) or not 0 < given < 2**53:
        faults.append(
            Fault(path="credentialData.0.value", code="wrong_type", message="The id of a connection (a whole number) is needed here.")
        )
        return None
    return given
