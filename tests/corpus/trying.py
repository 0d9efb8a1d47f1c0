"""Operations run through Polyport against the mock: the real engine with its store, the real transport, inputs made from the fields alone."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from msgspec.structs import replace

from corpus.breaking import Breaker
from corpus.documents import Trial
from corpus.examples import inputs_of
from corpus.mock import Verdict, verdict_of
from polyport.catalog import Catalog
from polyport.engine.connect import NewConnection, create_connection
from polyport.engine.desk import Desk
from polyport.engine.operation import compile_operation
from polyport.engine.record import Ask
from polyport.engine.run import Engine
from polyport.errors import PolyportError, ValidationFailed
from polyport.manifest.model import Action
from polyport.net.egress import EgressPolicy
from polyport.net.message import Network, NetworkFault, Reply, Request
from polyport.net.send import Sender
from polyport.runtime import create_account, open_runtime
from polyport.settings import load_settings
from polyport.testing.inputs import fields, inputs, open_lists
from polyport.testing.spec import check_request


@dataclass(slots=True)
class Detour:
    """A network that sends what goes to the document's servers to the mock instead, and keeps what went and came.

    ``formats`` are headers that tell the mock how to read it, ``beneath`` is where the path stands in its document.
    """

    network: Network
    origin: str
    servers: tuple[str, ...]
    formats: Mapping[str, str] = field(default_factory=dict)
    beneath: str = ""
    sent: list[tuple[Request, Request, Reply]] = field(default_factory=list)

    async def send(self, request: Request) -> Reply:
        """Send to the mock."""
        body = request.body
        if request.stream is not None:
            body = b"".join([piece async for piece in request.stream.pieces()])
        plain = replace(request, body=body, stream=None, follow_redirects=False)  # what is judged is the call, not where its answer leads
        base = max((one for one in self.servers if _is_beneath(request.url, one)), key=len, default="")
        moved = replace(plain, url=f"{self.origin}{self.beneath}{request.url[len(base) :]}", timeout=20.0)
        if moved.header("Authorization") is None:  # what a connection with a way of authorisation adds; some documents call it a parameter
            moved = moved.with_header("Authorization", "Bearer none")
        for name, value in self.formats.items():
            moved = moved.with_header(name, value)
        try:
            reply = await self.network.send(moved)
        except NetworkFault as fault:
            self.sent.append((plain, moved, Reply(status=0, headers=(("x-steady-error-1-code", f"no answer: {fault.message}"),))))
            raise
        self.sent.append((plain, moved, reply))
        return reply


def _is_beneath(url: str, base: str) -> bool:
    return url.startswith(base) and url[len(base) : len(base) + 1] in {"/", "?", ""}


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of one operation: ``faults`` by input, and what the mock, the second judge and the engine said.

    ``own`` is what came of the document's own examples of its body.
    """

    name: str
    call: str
    tried: int = 0
    sent: int = 0
    accepted: int = 0
    read: int = 0
    refused: list[str] = field(default_factory=list)
    mock_errs: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    judged: list[str] = field(default_factory=list)
    unsent: list[str] = field(default_factory=list)
    own: Outcome | None = None
    stopped: bool | None = None

    @property
    def is_accepted(self) -> bool:
        """Whether the mock took every request of it."""
        return 0 < self.accepted == self.tried

    @property
    def is_callable(self) -> bool:
        """Whether every input led to a request."""
        return 0 < self.sent == self.tried


class Trier:
    """Runs the operations of one partner."""

    def __init__(self, trial: Trial, engine: Engine, detour: Detour, account: int, connection: int) -> None:
        self._trial = trial
        self._engine = engine
        self._detour = detour
        self._account = account
        self._connection = connection
        self.breaker: Breaker | None = None

    async def attempt(self, action: Action, many: int) -> Outcome:
        """Run an action with ``many`` inputs, the least one first."""
        found = Outcome(name=action.name, call=self._trial.calls[action.id])
        self._detour.formats = self._trial.formats.get(found.call, {})
        self._detour.beneath = self._trial.beneath.get(found.call.partition(" ")[2], "")
        try:
            made = make_inputs(self._trial, action, many)
        except Exception as error:  # noqa: BLE001  whatever it is, the operation could not be tried
            found.tried += 1
            found.unsent.append(f"no input could be made: {type(error).__name__}: {str(error)[:200]}")
            return found
        for data in made:
            await self._run(found, action, data)
        await self._examples(found, action, made[0])
        if self.breaker is not None:
            broken = await self.breaker.attempt(action, max(made, key=lambda data: len(str(data))))
            if broken is not None:
                found.stopped = await self._stops(action, broken)
        return found

    async def _examples(self, found: Outcome, action: Action, rest: Mapping[str, Any]) -> None:
        """Run the document's own examples of the body; what else is needed is that of ``rest``."""
        endpoint = self._trial.endpoints.get(found.call)
        if endpoint is None:
            return
        own = Outcome(name=found.name, call=found.call)
        for data in inputs_of(action, self._trial.written(action.name), endpoint, self._trial.references, rest):
            if data is None:
                own.tried += 1
                own.unsent.append("no fields lead to this example")
            else:
                await self._run(own, action, data)
        found.own = own if own.tried else None

    async def _stops(self, action: Action, data: Mapping[str, Any]) -> bool:
        """Whether the engine refuses an input with every fault, and nothing is sent."""
        self._detour.sent.clear()
        ask = Ask(
            account_id=self._account, operation_id=action.id, mode="sync", credential_data={"0": self._connection}, runner_data=dict(data)
        )
        try:
            await self._engine.run_sync(ask)
        except ValidationFailed as error:
            return not self._detour.sent and bool(error.details.fields)
        return False

    async def _run(self, found: Outcome, action: Action, data: Mapping[str, Any]) -> None:
        found.tried += 1
        self._detour.sent.clear()
        ask = Ask(
            account_id=self._account, operation_id=action.id, mode="sync", credential_data={"0": self._connection}, runner_data=dict(data), timeout_ms=20_000
        )  # fmt: skip
        why = ""
        try:
            done = await self._engine.run_sync(ask)
            found.read += done.run.status == "succeeded"
            if done.error is not None:
                why = _sentence(done.error)
        except PolyportError as error:
            why = _sentence(error)
        except Exception as error:  # noqa: BLE001  a crash is what is looked for
            why = f"CRASH {type(error).__name__}: {error}"
        if not self._detour.sent:
            found.unsent.append(f"{why[:400]} for {str(dict(data))[:200]}")
            return
        found.sent += 1
        original, moved, reply = self._detour.sent[-1]
        verdict = verdict_of(reply)
        faults = self._second(original, replace(moved, url=moved.url.replace(self._detour.beneath, "", 1)))
        self._note(found, verdict, faults, moved)

    def _note(self, found: Outcome, verdict: Verdict, faults: list[str], moved: Request) -> None:
        found.accepted += verdict.valid
        shown = f" [{moved.method} {moved.url.partition('/')[2].partition('/')[2].partition('/')[2][:200]} {(moved.body or b'')[:300]!r}]"
        if not verdict.valid:
            why = "; ".join(verdict.found[:4]) + shown
            (found.refused if faults else found.mock_errs).append(why)
        found.notes += [one + shown for one in verdict.notes]
        found.judged += [one + shown for one in faults]

    def _second(self, original: Request, moved: Request) -> list[str]:
        """What the second judge says: another reader of descriptions, which reads Swagger 2 and Google discovery as they are."""
        servers = self._trial.judge.servers
        google = "discoveryVersion" in self._trial.judge.data and bool(servers)
        try:
            found = check_request([self._trial.judge], original if google else moved, None if google else self._detour.origin)
        except (LookupError, OSError, ValueError) as error:
            return [f"the second judge cannot follow a reference: {error}"]
        return [str(one) for one in found]


def _sentence(error: PolyportError) -> str:
    faults = [f"{fault.path} {fault.code}: {fault.message}" for fault in error.details.fields]
    return f"{type(error).__name__}: {'; '.join(faults) or error.message}"


def make_inputs(trial: Trial, action: Action, many: int) -> list[dict[str, Any]]:
    """Valid inputs of an action. Raises what Hypothesis raises where there are none."""
    program = compile_operation(trial.partner, action)
    found: list[dict[str, Any]] = []

    @settings(
        max_examples=many, database=None, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(inputs(open_lists(program.schema, list(trial.partner.lists)), plain=True, nulls=False))
    def take(data: dict[str, Any]) -> None:
        found.append(copy.deepcopy(data))

    take()
    return found


def _connection_fields(trial: Trial) -> dict[str, Any]:
    spec = trial.partner.file.connection
    made: list[dict[str, Any]] = []
    if spec is None or not spec.fields:
        return {}

    @settings(
        max_examples=1, database=None, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(fields(spec.fields, plain=True))
    def take(data: dict[str, Any]) -> None:
        made.append(data)

    take()
    needed = {one.name: one.sample for one in spec.fields if one.required}
    return {name: needed[name] or value for name, value in made[0].items() if name in needed}


def _usual(trial: Trial) -> dict[str, Any]:
    """What a connection has where nothing is given for it."""
    spec = trial.partner.file.connection
    return {one.name: one.default for one in spec.fields if one.default is not None} if spec is not None else {}


@contextlib.asynccontextmanager
async def open_trier(trial: Trial, origin: str, folder: Path) -> AsyncIterator[Trier]:
    """An engine over a store of its own, with one connection to the partner."""
    given_ = load_settings({"POLYPORT_PARTNER_BREAKER_FAILURES": "100000"}, data=folder / "data")
    catalog = Catalog([trial.partner], [], "http://127.0.0.1")
    async with Sender(
        EgressPolicy(("127.0.0.0/8",)), connections=20, connections_per_host=20, answer_limit=2**24, timeout_limit=60.0
    ) as sender:
        detour = Detour(sender, origin, ())
        async with open_runtime(given_, catalog=catalog, network=detour) as runtime:
            account = await create_account(runtime.repo, runtime.vault, title="A", email="a@b.example", password="long enough", now=1)
            engine = Engine(Desk(runtime))
            held = _connection_fields(trial)
            new = NewConnection(account_id=account, partner_id=trial.partner.file.id, title="Mock", fields=held, auth="none")
            connection = await create_connection(engine.desk, new)
            caller = await engine.desk.tester(connection)
            base = f"{caller.base.origin}{caller.base.prefix}" if caller.base is not None else ""
            detour.servers = tuple(dict.fromkeys(one for one in (base, *trial.servers) if one))
            trier = Trier(trial, engine, detour, account, connection.connection_id)
            trier.breaker = Breaker(trial, _usual(trial) | held)
            yield trier
            await engine.drain(1)
